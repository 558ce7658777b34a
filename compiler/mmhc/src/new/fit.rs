//! A recipe that fits a table: which columns are numbers, which are words, and what is to be predicted.

use mmh_check::{ColumnFact, DataFacts, FactKind, column_name};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Different words or whole numbers of a target up to which it is taken as classes.
const MOST_CLASSES: usize = 1000;
const MOST_NUMBERED_CLASSES: usize = 20;
/// Different words of a column beyond which a net of this size learns nothing from them.
const MOST_WORDS: usize = 256;
/// Steps of training aimed at.
const STEPS: u64 = 2000;
/// Words with a meaning of their own in the recipe that is written.
const TAKEN: &[&str] = &[
    "and", "augment", "batch", "block", "class", "data", "else", "evaluate", "export", "federate",
    "feature", "final", "fit", "hidden", "if", "image", "let", "like", "mmh", "model", "net",
    "not", "numbers", "one", "or", "rows", "search", "seed", "source", "split", "train",
    "training", "use",
];

/// One input of the model.
enum Column {
    /// Numbers that go in side by side.
    Number { source: String, missing: bool },
    /// Words, each with a vector of its own.
    Words {
        name: String,
        source: String,
        levels: usize,
        missing: bool,
    },
    /// Numbers of a picture.
    Picture {
        source: String,
        height: u64,
        width: u64,
        missing: bool,
    },
    /// Many numbers that belong together.
    Family {
        name: String,
        source: String,
        size: u64,
        missing: bool,
    },
}

enum Target {
    Classes,
    Number,
}

/// What is written about a table.
struct Plan {
    data: String,
    path: String,
    rows: u64,
    columns: Vec<Column>,
    left_out: Vec<String>,
    target: Target,
    name: String,
    source: String,
}

/// The recipe for the table at `path`, which predicts the column `target`, or the last one.
///
/// # Errors
/// Why there is none, in words, and what to do.
pub(super) fn recipe(
    path: &str,
    facts: &DataFacts,
    target: Option<&str>,
) -> Result<String, (String, String)> {
    if facts.rows < 8 {
        return Err((
            format!("`{path}` has {} rows, too few to learn from", facts.rows),
            "a table needs at least eight rows under its header".to_owned(),
        ));
    }
    let singles = singles(facts);
    let goal = goal(path, &singles, target)?;
    let plan = plan(path, facts, &singles, goal)?;
    let text = plan.text();
    Ok(mmh_syntax::format(&mmh_syntax::parse(&text).tree))
}

/// Columns that are not part of a family, in the file's order.
fn singles(facts: &DataFacts) -> Vec<&ColumnFact> {
    let members: Vec<&String> = facts
        .columns
        .iter()
        .filter_map(|column| match &column.kind {
            FactKind::Vector { fields, .. } => Some(fields),
            _ => None,
        })
        .flatten()
        .collect();
    let own = |column: &&ColumnFact| {
        !matches!(column.kind, FactKind::Vector { .. }) && !members.contains(&&column.name)
    };
    facts.columns.iter().filter(own).collect()
}

fn goal<'f>(
    path: &str,
    singles: &[&'f ColumnFact],
    wanted: Option<&str>,
) -> Result<&'f ColumnFact, (String, String)> {
    let found = match wanted {
        None => singles.last(),
        Some(wanted) => singles
            .iter()
            .find(|column| column.name == wanted || column_name(&column.name) == wanted),
    };
    let names: Vec<&str> = singles.iter().map(|column| column.name.as_str()).collect();
    let Some(found) = found else {
        let wanted = wanted.unwrap_or("its last");
        let near = mmh_diag::suggest(wanted, names.iter().copied());
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", names.join(", ")),
        };
        return Err((format!("`{path}` has no column `{wanted}`"), help));
    };
    if found.missing > 0 {
        return Err((
            format!(
                "`{}`, which is to be predicted, is empty in {} rows",
                found.name, found.missing
            ),
            "take those rows out, or name another column with `--target`".to_owned(),
        ));
    }
    let levels = levels(found);
    if levels == Some(1)
        || matches!(found.kind, FactKind::Category { .. }) && levels > Some(MOST_CLASSES)
    {
        return Err((
            format!(
                "`{}`, which is to be predicted, has {} different values",
                found.name,
                levels.unwrap_or(0)
            ),
            "name another column with `--target`".to_owned(),
        ));
    }
    Ok(found)
}

fn levels(column: &ColumnFact) -> Option<usize> {
    match &column.kind {
        FactKind::Number { levels } => levels.as_ref().map(Vec::len),
        FactKind::Category { levels } => Some(levels.len()),
        _ => None,
    }
}

fn plan(
    path: &str,
    facts: &DataFacts,
    singles: &[&ColumnFact],
    goal: &ColumnFact,
) -> Result<Plan, (String, String)> {
    let stem = path.rsplit('/').next().unwrap_or(path);
    let stem = stem.split('.').next().unwrap_or(stem);
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    for column in &facts.columns {
        *written.entry(column_name(&column.name)).or_default() += 1;
    }
    let data = own_name(&column_name(stem).to_lowercase(), "table");
    let mut plan = Plan {
        name: own_name(&column_name(&goal.name), "target"),
        data,
        path: path.to_owned(),
        rows: facts.rows,
        columns: Vec::new(),
        left_out: Vec::new(),
        target: match (&goal.kind, levels(goal)) {
            (FactKind::Category { .. }, Some(_)) => Target::Classes,
            (_, Some(count)) if count <= MOST_NUMBERED_CLASSES => Target::Classes,
            _ => Target::Number,
        },
        source: column_name(&goal.name),
    };
    plan.families(facts);
    for column in singles.iter().filter(|column| column.name != goal.name) {
        let name = column_name(&column.name);
        if written.get(&name) != Some(&1) && column.name != name {
            plan.leave_out(column, "another column is written the same way");
            continue;
        }
        plan.single(column, name);
    }
    if plan.columns.is_empty() {
        return Err((
            format!("`{path}` has no column to predict `{}` from", goal.name),
            "a column of numbers, or of words that come up again, is needed".to_owned(),
        ));
    }
    Ok(plan)
}

/// A name that means nothing else in the recipe.
fn own_name(name: &str, fallback: &str) -> String {
    match (TAKEN.contains(&name), name) {
        (true, "data") => fallback.to_owned(),
        (true, _) => format!("{name}_{fallback}"),
        (false, _) => name.to_owned(),
    }
}

impl Plan {
    fn leave_out(&mut self, column: &ColumnFact, why: &str) {
        let name = column.name.replace(['\n', '\r'], " ");
        self.left_out.push(format!("{name}: {why}"));
    }

    /// Families under the last of their names, which is the plural where that is free.
    fn families(&mut self, facts: &DataFacts) {
        let mut families: BTreeMap<&Vec<String>, (&ColumnFact, &Vec<u64>)> = BTreeMap::new();
        for column in &facts.columns {
            if let FactKind::Vector { dims, fields } = &column.kind {
                families.insert(fields, (column, dims));
            }
        }
        for (fields, (column, dims)) in families {
            let missing = column.missing > 0;
            let source = column_name(&column.name);
            let pictures = self
                .columns
                .iter()
                .any(|column| matches!(column, Column::Picture { .. }));
            self.columns.push(match dims.as_slice() {
                [height, width] if *height >= 4 && *width >= 4 && !pictures => Column::Picture {
                    source,
                    height: *height,
                    width: *width,
                    missing,
                },
                _ => Column::Family {
                    name: own_name(&source, "columns"),
                    source,
                    size: fields.len() as u64,
                    missing,
                },
            });
        }
    }

    fn single(&mut self, column: &ColumnFact, name: String) {
        let missing = column.missing > 0;
        let rows = self.rows as usize;
        match &column.kind {
            _ if levels(column) == Some(1) && !missing => {
                self.leave_out(column, "it is always the same")
            }
            FactKind::Number {
                levels: Some(levels),
            } if levels.len() == rows && is_key(&name) => {
                self.leave_out(column, "it numbers the rows");
            }
            FactKind::Number { .. } => self.columns.push(Column::Number {
                source: name,
                missing,
            }),
            FactKind::Category { levels } if levels.len() > MOST_WORDS.min(rows / 2) => {
                self.leave_out(column, "nearly every row has a word of its own");
            }
            FactKind::Category { levels } => self.columns.push(Column::Words {
                name: own_name(&name, "column"),
                source: name,
                levels: levels.len(),
                missing,
            }),
            FactKind::Vector { .. } | FactKind::Images { .. } | FactKind::Labels { .. } => {}
        }
    }

    fn numbers(&self) -> Vec<(&str, bool)> {
        let numbers = self.columns.iter().filter_map(|column| match column {
            Column::Number { source, missing } => Some((source.as_str(), *missing)),
            _ => None,
        });
        numbers.collect()
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let file = self.path.rsplit('/').next().unwrap_or(&self.path);
        let _ = writeln!(
            out,
            "// `{}` from the other columns of {}.\nmmh 1\n\nseed 1\n",
            self.source,
            one_line(file)
        );
        out.push_str("let hidden = 64 ~ choice(32, 64, 128)\n\n");
        self.data_section(&mut out);
        self.model(&mut out);
        self.sections(&mut out);
        out
    }

    fn data_section(&self, out: &mut String) {
        let path = self.path.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(out, "data {} {{\n  source = csv(\"{path}\")\n", self.data);
        for line in &self.left_out {
            let _ = writeln!(out, "  // Left out: {line}.");
        }
        out.push_str(&self.number_lines());
        for column in &self.columns {
            out.push_str(&column.lines());
        }
        let (name, source) = (&self.name, &self.source);
        let (ty, split) = match self.target {
            Target::Classes => (
                format!("class[source.{source}.classes] = source.{source}"),
                format!("stratified(by = {name}, train = 70%, valid = 15%, test = 15%)"),
            ),
            Target::Number => (
                format!("f32 = source.{source} |> standardise"),
                "random(train = 70%, valid = 15%, test = 15%)".to_owned(),
            ),
        };
        let _ = writeln!(out, "  {name}: {ty}\n  split = {split}\n}}\n");
    }

    /// All single numbers as one value.
    fn number_lines(&self) -> String {
        let numbers = self.numbers();
        if numbers.is_empty() {
            return String::new();
        }
        let list: Vec<String> = numbers
            .iter()
            .map(|(name, _)| format!("source.{name}"))
            .collect();
        format!(
            "  // Scaled by mean and deviation of the training rows.\n  numbers: f32[feature = {}] = [\n    {},\n  ]{} |> standardise\n",
            list.len(),
            list.join(",\n    "),
            fill(numbers.iter().any(|(_, missing)| *missing))
        )
    }

    /// The model's inputs: their names and types.
    fn inputs(&self) -> Vec<(String, String)> {
        let mut inputs = Vec::new();
        let numbers = self.numbers().len();
        if numbers > 0 {
            inputs.push((
                "numbers".to_owned(),
                format!("f32[batch, feature = {numbers}]"),
            ));
        }
        inputs.extend(self.columns.iter().filter_map(|column| {
            Some(match column {
                Column::Number { .. } => return None,
                Column::Words { name, .. } => (
                    name.clone(),
                    format!("class[{}.{name}.classes, batch]", self.data),
                ),
                Column::Picture { height, width, .. } => (
                    "image".to_owned(),
                    format!("f32[batch, channel = 1, height = {height}, width = {width}]"),
                ),
                Column::Family { name, size, .. } => {
                    (name.clone(), format!("f32[batch, feature = {size}]"))
                }
            })
        }));
        inputs
    }

    fn model(&self, out: &mut String) {
        let params: Vec<String> = self
            .inputs()
            .iter()
            .map(|(name, ty)| format!("{name}: {ty}"))
            .collect();
        let classes = format!("{}.{}.classes", self.data, self.name);
        let result = match self.target {
            Target::Classes => format!("f32[batch, class = {classes}]"),
            Target::Number => "f32[batch]".to_owned(),
        };
        let _ = writeln!(
            out,
            "model net(\n  {},\n) -> {result} {{",
            params.join(",\n  ")
        );
        let numbers = (!self.numbers().is_empty()).then(|| "numbers".to_owned());
        let mut parts: Vec<String> = numbers.into_iter().collect();
        for column in &self.columns {
            let (line, part) = column.vector();
            out.push_str(&line);
            parts.extend(part);
        }
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        let _ = writeln!(out, "  {first}");
        for part in parts {
            let _ = writeln!(out, "    |> concat({part}, over = feature)");
        }
        out.push_str(
            "    |> linear(hidden = hidden) |> gelu\n    |> linear(hidden = hidden) |> gelu\n",
        );
        out.push_str(&match self.target {
            Target::Classes => format!("    |> linear(class = {classes})\n}}\n\n"),
            Target::Number => "    |> linear(one = 1)\n    |> sum(over = one)\n}\n\n".to_owned(),
        });
    }

    fn sections(&self, out: &mut String) {
        let (data, name) = (&self.data, &self.name);
        let train = (self.rows * 7 / 10).max(1);
        let batch = (train / 16).max(1).next_power_of_two().clamp(4, 128);
        let epochs = (STEPS * batch / train).clamp(6, 60);
        let inputs: Vec<String> = self
            .inputs()
            .iter()
            .map(|(name, _)| format!("rows.{name}"))
            .collect();
        let (loss, metrics) = match self.target {
            Target::Classes => ("cross_entropy", "accuracy, confusion"),
            Target::Number => ("mse", "rmse, mae"),
        };
        let _ = writeln!(
            out,
            "train fit {{\n  rows = {data}.train |> shuffle |> batch({batch})\n  predict = net({})\n  \
             loss = {loss}(predict, rows.{name})\n  optimize = adamw(lr = 3e-3 ~ log(3e-4 .. 3e-2), decay = 1e-2)\n  \
             schedule = [warmup(2 epochs), cosine({} epochs)]\n  length = {epochs} epochs\n  \
             watch = {loss}(predict, rows.{name}, on = {data}.valid)\n}}\n",
            inputs.join(", "),
            epochs - 2
        );
        if matches!(self.target, Target::Number) {
            let _ = writeln!(out, "// In standard deviations of `{}`.", self.source);
        }
        let _ = writeln!(
            out,
            "evaluate final {{\n  model = fit.best\n  rows = {data}.test\n  metrics = [{metrics}]\n}}"
        );
    }
}

fn fill(missing: bool) -> &'static str {
    if missing { " |> impute(median)" } else { "" }
}

impl Column {
    /// Its lines in the data section; numbers have theirs together.
    fn lines(&self) -> String {
        match self {
            Self::Number { .. } => String::new(),
            Self::Words {
                name,
                source,
                missing: true,
                ..
            } => format!(
                "  // Where it is missing, that is a class of its own.\n  {name}: class[source.{source}.classes + 1] = source.{source} |> optional\n"
            ),
            Self::Words { name, source, .. } => {
                format!("  {name}: class[source.{source}.classes] = source.{source}\n")
            }
            Self::Picture {
                source,
                height,
                width,
                missing,
            } => format!(
                "  image: f32[channel = 1, height = {height}, width = {width}] = source.{source}{} |> standardise\n",
                fill(*missing)
            ),
            Self::Family {
                name,
                source,
                size,
                missing,
            } => format!(
                "  {name}: f32[feature = {size}] = source.{source}{} |> standardise\n",
                fill(*missing)
            ),
        }
    }

    /// The line of the model that makes a vector of it, and what the vector is called.
    fn vector(&self) -> (String, Option<String>) {
        match self {
            Self::Number { .. } => (String::new(), None),
            Self::Family { name, .. } => (String::new(), Some(name.clone())),
            Self::Words { name, levels, .. } => {
                let size = (*levels as f64).sqrt().ceil().clamp(2.0, 16.0);
                let line = format!("  let {name}_vector = {name} |> embed(feature = {size})\n");
                (line, Some(format!("{name}_vector")))
            }
            Self::Picture { .. } => (
                "  let seen = image |> conv(32, kernel = 3) |> norm |> relu\n    \
                 |> conv(64, kernel = 3, stride = 2) |> norm |> relu\n    \
                 |> mean(over = [height, width]) |> rename(channel = feature)\n"
                    .to_owned(),
                Some("seen".to_owned()),
            ),
        }
    }
}

fn is_key(name: &str) -> bool {
    let name = name.to_lowercase();
    ["id", "key", "index", "row", "number", "unnamed_0"].contains(&name.as_str())
        || name.ends_with("_id")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
