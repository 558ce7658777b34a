//! Columns of a source, read as what the declared type asks for.

use crate::core::Cx;
use crate::data::Reading;
use crate::poly::Poly;
use crate::types::Expected;
use crate::value::{Dim, Eval, Loc, Made, Reported, Tensor, Value};
use crate::world::{ColumnFact, DataFault, FactKind, SourceRequest, Wanted};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::plan::{ColumnKind, ColumnPlan, StatisticKind, StatisticPlan};
use mmh_ir::{DType, Dim as IrDim, Input, MapOp, Shape, Type};
use mmh_syntax::ast::Name;
use std::collections::BTreeSet;

/// How a recipe writes a column of a file: what no name may hold is `_`, `Bill_Length_mm` for `Bill Length (mm)`.
pub fn column_name(header: &str) -> String {
    let mut name = String::with_capacity(header.len());
    for letter in header.chars() {
        match letter.is_ascii_alphanumeric() || letter == '_' {
            true => name.push(letter),
            false if name.ends_with('_') || name.is_empty() => {}
            false => name.push('_'),
        }
    }
    let name = match name.trim_end_matches('_') {
        "" => "column",
        trimmed if header.ends_with('_') => name.get(..=trimmed.len()).unwrap_or(trimmed),
        trimmed => trimmed,
    };
    match name.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name.to_owned(),
    }
}

/// The file's own name of a column: the one written, or the only one that is written so.
fn real_name<'c>(columns: &'c [ColumnFact], written: &'c str) -> &'c str {
    if columns.iter().any(|column| column.name == written) {
        return written;
    }
    let mut alike = columns
        .iter()
        .filter(|column| column_name(&column.name) == written);
    match (alike.next(), alike.next()) {
        (Some(only), None) => &only.name,
        _ => written,
    }
}

impl<'p> Cx<'p> {
    /// `source.pixels`, or the number of its classes.
    pub(crate) fn source_column(&mut self, field: &'p Name, classes: bool) -> Eval<Value> {
        let loc = self.at(field.span);
        let Some(data) = self.reading.as_ref().map(|r| r.data) else {
            return Err(Reported);
        };
        let Some(set) = self.data.get(data) else {
            return Err(Reported);
        };
        let name = real_name(&set.facts.columns, &field.text).to_owned();
        if !classes {
            return Ok(Value::Fields(vec![(name, loc)]));
        }
        if set.broken {
            return Err(Reported);
        }
        let text = matches!(set.request, Some(SourceRequest::Text { .. }));
        if text && (field.text == "characters" || field.text == "next") {
            return Ok(Value::Size(Poly::from(set.facts.vocabulary.len() as u64)));
        }
        let fact = self.fact(data, &name, loc)?;
        match levels_of(&fact) {
            Some(levels) => Ok(Value::Size(Poly::from(levels.len() as u64))),
            None => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`{}` has no classes", field.text),
                "only words and few whole numbers are classes",
            ),
        }
    }

    pub(crate) fn fact(&mut self, data: usize, name: &str, loc: Loc) -> Eval<ColumnFact> {
        let Some(set) = self.data.get(data) else {
            return Err(Reported);
        };
        // `pixels` is the family of `pixel_0_0` and its like, as the data crate reads it.
        let plural = |c: &&ColumnFact| {
            matches!(c.kind, FactKind::Vector { .. }) && name.strip_suffix('s') == Some(&c.name)
        };
        let exact = set.facts.columns.iter().find(|c| c.name == name);
        if let Some(fact) = exact.or_else(|| set.facts.columns.iter().find(plural)) {
            return Ok(fact.clone());
        }
        let mut known: Vec<&str> = set
            .facts
            .columns
            .iter()
            .filter(|c| matches!(c.kind, FactKind::Vector { .. }))
            .map(|c| c.name.as_str())
            .collect();
        known.extend(
            set.facts
                .columns
                .iter()
                .filter(|c| !matches!(c.kind, FactKind::Vector { .. }))
                .map(|c| c.name.as_str()),
        );
        let near = suggest(name, known.iter().copied()).map(column_name);
        let has = format!("it has {}", shortened(&known));
        let message = format!("the source has no column `{name}`");
        self.misspelt(
            Code::DataUnknownColumn,
            loc,
            message,
            near.as_deref(),
            || has,
        )
    }

    /// Columns of a source become values where they are needed as such; a list of columns is a vector.
    pub(crate) fn read(&mut self, value: Value) -> Eval<Value> {
        match value {
            Value::Fields(fields) => self.materialise(&fields).map(Value::Tensor),
            Value::List(items)
                if !items.is_empty() && items.iter().all(|i| matches!(i, Value::Fields(_))) =>
            {
                let fields: Vec<(String, Loc)> = items
                    .into_iter()
                    .flat_map(|i| match i {
                        Value::Fields(fields) => fields,
                        _ => vec![],
                    })
                    .collect();
                self.materialise(&fields).map(Value::Tensor)
            }
            other => Ok(other),
        }
    }

    pub(crate) fn materialise(&mut self, fields: &[(String, Loc)]) -> Eval<Tensor> {
        let Some(reading) = self.reading.clone() else {
            return Err(Reported);
        };
        let Some(expected) = reading.expected.clone() else {
            return Err(Reported);
        };
        if let Some(reading) = &mut self.reading {
            reading
                .sources
                .extend(fields.iter().map(|(n, _)| n.clone()));
        }
        let Some(set) = self.data.get(reading.data) else {
            return Err(Reported);
        };
        if set.broken {
            let classes = expected.classes.map(|c| (c, reading.class_loc));
            let mut tensor = self.push(
                mmh_ir::Op::Input(Input::Column(0)),
                &[],
                expected.dtype,
                expected.dims,
            )?;
            tensor.classes = classes;
            tensor.made = Made::Column(u32::MAX);
            return Ok(tensor);
        }
        let request = set.request.clone();
        match request {
            Some(SourceRequest::Text { window, .. }) => {
                self.characters(fields, &expected, window, &reading)
            }
            _ => self.numbers_or_levels(fields, &expected, &reading),
        }
    }

    pub(crate) fn characters(
        &mut self,
        fields: &[(String, Loc)],
        expected: &Expected,
        window: u64,
        reading: &Reading,
    ) -> Eval<Tensor> {
        let Some((name, loc)) = fields.first() else {
            return Err(Reported);
        };
        let ahead = match name.as_str() {
            "characters" => 0,
            "next" => 1,
            _ => {
                return self.fail(
                    Code::DataUnknownColumn,
                    *loc,
                    format!("a text has no column `{name}`"),
                    "it has characters, next",
                );
            }
        };
        let vocabulary = self
            .data
            .get(reading.data)
            .map(|d| d.facts.vocabulary.clone())
            .unwrap_or_default();
        let count = Poly::from(vocabulary.len() as u64);
        self.note_levels(vocabulary.iter().map(char::to_string).collect());
        let dims = self.row_dims(expected, &[window], name, *loc)?;
        let kind = ColumnKind::Characters { ahead, vocabulary };
        self.raw(
            reading,
            kind,
            DType::I32,
            dims,
            Some((count, reading.class_loc)),
        )
    }

    /// The first cell of a column that is not what is wanted.
    pub(crate) fn odd_cell(&self, data: usize, column: &str, wanted: Wanted) -> Option<DataFault> {
        let request = self.data.get(data)?.request.as_ref()?;
        self.world?.odd_cell(request, column, wanted)
    }

    pub(crate) fn note_levels(&mut self, levels: Vec<String>) {
        if let Some(reading) = &mut self.reading {
            reading.levels = levels;
        }
    }

    pub(crate) fn numbers_or_levels(
        &mut self,
        fields: &[(String, Loc)],
        expected: &Expected,
        reading: &Reading,
    ) -> Eval<Tensor> {
        let mut facts = Vec::new();
        for (name, loc) in fields {
            facts.push((self.fact(reading.data, name, *loc)?, *loc));
        }
        let Some((first, loc)) = facts.first().cloned() else {
            return Err(Reported);
        };
        match (&first.kind, facts.len()) {
            (FactKind::Images { dims }, 1) => {
                let dims = self.row_dims(expected, dims, &first.name, loc)?;
                let raw = self.raw(reading, ColumnKind::Images, DType::U8, dims, None)?;
                self.map(MapOp::ToF32, &[&raw])
            }
            (FactKind::Labels { classes }, 1) => {
                let count = expected.classes.clone().unwrap_or(Poly::from(*classes));
                let wanted = count.integer().unwrap_or(0);
                if i128::from(*classes) > wanted {
                    let message = format!(
                        "the labels reach {}, and the type names {count} classes",
                        classes.saturating_sub(1)
                    );
                    let help = format!("write `class[{classes}]`, or correct the label");
                    return self.outside(reading.data, &first.name, wanted, loc, message, help);
                }
                self.note_levels((0..wanted).map(|n| n.to_string()).collect());
                let kind = ColumnKind::Labels {
                    classes: u32::try_from(wanted).unwrap_or(u32::MAX),
                };
                let dims = self.row_dims(expected, &[], &first.name, loc)?;
                self.raw(
                    reading,
                    kind,
                    DType::I32,
                    dims,
                    Some((count, reading.class_loc)),
                )
            }
            (FactKind::Category { .. }, 1) => self.levels(&first, expected, reading, loc),
            (FactKind::Number { .. }, 1) if expected.dtype == DType::I32 => {
                self.levels(&first, expected, reading, loc)
            }
            _ => {
                let name = fields.first().map_or("", |(n, _)| n.as_str());
                self.numbers(name, &facts, expected, reading, loc)
            }
        }
    }

    pub(crate) fn levels(
        &mut self,
        fact: &ColumnFact,
        expected: &Expected,
        reading: &Reading,
        loc: Loc,
    ) -> Eval<Tensor> {
        let Some(found) = levels_of(fact) else {
            if let Some(fault) = self.odd_cell(reading.data, &fact.name, Wanted::Whole) {
                let message = format!("{}; classes are words or whole numbers", fault.sentence());
                let help = "correct the cell, or take the column as a number: `f32`";
                return self.fail(Code::DataNotANumber, loc, message, help);
            }
            return self.fail(
                Code::DataNotANumber,
                loc,
                format!("`{}` has too many different values for classes", fact.name),
                "take it as a number: `f32`",
            );
        };
        let extra = i128::from(reading.optional);
        let wanted = expected
            .classes
            .as_ref()
            .and_then(Poly::integer)
            .map(|n| n - extra);
        let levels = match wanted {
            Some(n) => self.fitted(fact, found, n, reading.data, loc)?,
            None => found,
        };
        if fact.missing > 0 {
            let number = self
                .data
                .get(reading.data)
                .map_or(0, |d| d.raw.len() as u32);
            if let Some(reading) = &mut self.reading {
                reading
                    .open
                    .push((number, fact.name.clone(), fact.missing, loc));
            }
        }
        let mut names = levels.clone();
        if reading.optional {
            names.push("missing".into());
        }
        self.note_levels(names);
        let count = Poly::from(levels.len() as u64);
        let kind = ColumnKind::Levels {
            field: fact.name.clone(),
            levels,
        };
        let dims = self.row_dims(expected, &[], &fact.name, loc);
        let dims = match (expected.classes.is_some(), dims) {
            (true, dims) => dims?,
            (false, _) => vec![self.batch_dim()],
        };
        let tensor = self.raw(
            reading,
            kind,
            DType::I32,
            dims,
            Some((count, reading.class_loc)),
        )?;
        self.renumber(&tensor);
        Ok(tensor)
    }

    // The raw column may have been there before: what is open is open under its number.
    pub(crate) fn renumber(&mut self, tensor: &Tensor) {
        if let (Made::Column(number), Some(reading)) = (tensor.made, &mut self.reading)
            && let Some(last) = reading.open.last_mut()
        {
            last.0 = number;
        }
    }

    // Whole numbers 0.. are their own class; other words must be as many as are declared.
    pub(crate) fn fitted(
        &mut self,
        fact: &ColumnFact,
        found: Vec<String>,
        wanted: i128,
        data: usize,
        loc: Loc,
    ) -> Eval<Vec<String>> {
        let whole: Option<Vec<i128>> = found.iter().map(|l| l.parse().ok()).collect();
        if let Some(outside) = whole
            .as_ref()
            .filter(|w| w.first().is_some_and(|n| *n == 0))
            .and_then(|w| w.iter().find(|n| **n >= wanted))
        {
            let message = format!(
                "`{}` holds {outside}, and {wanted} classes are 0 to {}",
                fact.name,
                wanted - 1
            );
            let help = format!("write `class[{}]`, or correct the label", outside + 1);
            return self.outside(data, &fact.name, wanted, loc, message, help);
        }
        if whole.is_some_and(|w| w.iter().all(|n| (0..wanted).contains(n))) && wanted <= 1 << 20 {
            return Ok((0..wanted).map(|n| n.to_string()).collect());
        }
        if found.len() as i128 != wanted {
            let declared = match wanted {
                1 => "1 class is".to_owned(),
                _ => format!("{wanted} classes are"),
            };
            let message = format!(
                "`{}` holds {} different values, and {declared} declared",
                fact.name,
                found.len()
            );
            let classes = format!("`class[source.{}.classes]`", column_name(&fact.name));
            let help = match found.len() as i128 > wanted {
                true => format!("write {classes}, or correct the stranger"),
                false => format!("write {classes}"),
            };
            return self.outside(data, &fact.name, wanted, loc, message, help);
        }
        Ok(found)
    }

    /// A column does not fit its classes: the cell that does not, or else the message.
    fn outside<T>(
        &mut self,
        data: usize,
        column: &str,
        wanted: i128,
        loc: Loc,
        message: String,
        help: String,
    ) -> Eval<T> {
        let cell = u32::try_from(wanted)
            .ok()
            .and_then(|count| self.odd_cell(data, column, Wanted::Class(count)));
        let message = cell.map_or(message, |cell| cell.sentence());
        self.fail(Code::DataClassRange, loc, message, help)
    }

    pub(crate) fn numbers(
        &mut self,
        name: &str,
        facts: &[(ColumnFact, Loc)],
        expected: &Expected,
        reading: &Reading,
        loc: Loc,
    ) -> Eval<Tensor> {
        let mut fields = Vec::new();
        let mut sizes: Vec<u64> = Vec::new();
        let mut missing = 0;
        let data = reading.data;
        for (fact, loc) in facts {
            match &fact.kind {
                FactKind::Number { .. } => fields.push(fact.name.clone()),
                FactKind::Vector { dims, fields: own } => {
                    if let Some(words) = self.first_of_words(data, own) {
                        return self.words(data, &words, *loc);
                    }
                    fields.extend(own.iter().cloned());
                    sizes.clone_from(dims);
                }
                FactKind::Category { .. } => return self.words(data, &fact.name, *loc),
                FactKind::Images { .. } | FactKind::Labels { .. } => {
                    return self.fail(
                        Code::TypeMismatch,
                        *loc,
                        format!("`{}` cannot be joined with other columns", fact.name),
                        "take it alone",
                    );
                }
            }
            missing += fact.missing;
        }
        if facts.len() > 1 || fields.len() == 1 && expected.is_single() {
            sizes = vec![fields.len() as u64];
        }
        let dims = self.row_dims(expected, &sizes, name, loc)?;
        let tensor = self.raw(
            reading,
            ColumnKind::Numbers { fields },
            DType::F32,
            dims,
            None,
        )?;
        if let (Made::Column(number), true, Some(reading)) =
            (tensor.made, missing > 0, &mut self.reading)
        {
            reading.open.push((number, name.to_string(), missing, loc));
        }
        Ok(tensor)
    }

    /// The first of the columns that holds words.
    fn first_of_words(&self, data: usize, columns: &[String]) -> Option<String> {
        let facts = &self.data.get(data)?.facts.columns;
        let words: BTreeSet<&str> = facts
            .iter()
            .filter(|fact| matches!(fact.kind, FactKind::Category { .. }))
            .map(|fact| fact.name.as_str())
            .collect();
        let mut found = columns.iter().filter(|name| words.contains(name.as_str()));
        found.next().cloned()
    }

    /// A column of words where numbers are wanted: the first cell that is no number.
    fn words<T>(&mut self, data: usize, column: &str, loc: Loc) -> Eval<T> {
        let (message, help) = match self.odd_cell(data, column, Wanted::Number) {
            Some(cell) => (cell.sentence(), cell.help),
            None => (
                format!("`{column}` holds words, not numbers"),
                "declare it as `class[…]`".into(),
            ),
        };
        self.fail(Code::DataNotANumber, loc, message, help)
    }

    /// Says which cell keeps a column from being one of numbers, where the type declared is one of numbers and nothing turned
    /// the column into some.
    pub(crate) fn no_words(&mut self, tensor: &Tensor, loc: Loc) -> Eval<()> {
        let column = match (tensor.made, &self.reading) {
            (Made::Column(number), Some(reading))
                if reading
                    .expected
                    .as_ref()
                    .is_some_and(|e| e.dtype == DType::F32) =>
            {
                let set = self.data.get(reading.data);
                let raw = set.and_then(|set| set.raw.get(number as usize));
                match raw.map(|raw| &raw.kind) {
                    Some(ColumnKind::Levels { field, .. }) => Some((reading.data, field.clone())),
                    _ => None,
                }
            }
            _ => None,
        };
        match column {
            Some((data, column)) => self.words(data, &column, loc),
            None => Ok(()),
        }
    }

    /// The axes of a raw column: those of the declared type if it has as many elements.
    pub(crate) fn row_dims(
        &mut self,
        expected: &Expected,
        sizes: &[u64],
        name: &str,
        loc: Loc,
    ) -> Eval<Vec<Dim>> {
        let total: u64 = sizes.iter().product();
        let declared: Vec<Dim> = expected
            .dims
            .iter()
            .filter(|d| d.axis.as_str() != "batch")
            .cloned()
            .collect();
        let count = declared
            .iter()
            .fold(Poly::number(1), |p, d| p.multiply(&d.size));
        let batch = self.batch_dim();
        if sizes.is_empty() {
            return Ok(vec![batch]);
        }
        let plain: Vec<u64> = declared
            .iter()
            .filter_map(|d| d.size.integer().and_then(|n| u64::try_from(n).ok()))
            .filter(|n| *n != 1)
            .collect();
        let own: Vec<u64> = sizes.iter().copied().filter(|n| *n != 1).collect();
        let alike = own.len() < 2 || plain == own || plain.len() == 1;
        if count.integer() == Some(i128::from(total)) && alike {
            return Ok([batch].into_iter().chain(declared).collect());
        }
        let shape = sizes
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(" × ");
        let types = reading_type(self);
        let mut diagnostic = Diagnostic::error(
            Code::ShapeMismatch,
            format!("`source.{name}` has {shape} values a row, and the type asks for {count}"),
        )
        .at(loc.source, loc.span, format!("{shape} values"))
        .help(format!("give the type axes with {shape} elements"));
        if let Some(types) = types {
            diagnostic = diagnostic.and(types.source, types.span, "declared here");
        }
        Err(self.report(diagnostic))
    }

    pub(crate) fn raw(
        &mut self,
        reading: &Reading,
        kind: ColumnKind,
        dtype: DType,
        dims: Vec<Dim>,
        classes: Option<(Poly, Loc)>,
    ) -> Eval<Tensor> {
        let shape: Vec<IrDim> = dims
            .iter()
            .filter(|d| d.axis.as_str() != "batch")
            .filter_map(|d| {
                Some(IrDim {
                    axis: d.axis.clone(),
                    size: usize::try_from(d.size.integer()?).ok()?,
                })
            })
            .collect();
        let ty = Type::new(dtype, Shape(shape));
        let Some(set) = self.data.get_mut(reading.data) else {
            return Err(Reported);
        };
        let known = set.raw.iter().position(|c| c.kind == kind && c.ty == ty);
        let number = known.unwrap_or_else(|| {
            set.raw.push(ColumnPlan {
                name: reading.name.clone(),
                kind,
                ty,
            });
            set.raw.len() - 1
        }) as u32;
        let mut tensor = self.input(Input::Column(number), dtype, dims)?;
        tensor.classes = classes;
        tensor.made = Made::Column(number);
        Ok(tensor)
    }

    /// The number of a statistic of a raw column.
    pub(crate) fn statistic(
        &mut self,
        column: u32,
        kind: StatisticKind,
        dtype: DType,
        dims: &[Dim],
    ) -> Eval<u32> {
        let shape: Vec<IrDim> = dims
            .iter()
            .filter_map(|d| {
                Some(IrDim {
                    axis: d.axis.clone(),
                    size: usize::try_from(d.size.integer()?).ok()?,
                })
            })
            .collect();
        let wanted = StatisticPlan {
            column,
            kind,
            ty: Type::new(dtype, Shape(shape)),
        };
        let Some(set) = self
            .reading
            .as_ref()
            .map(|r| r.data)
            .and_then(|d| self.data.get_mut(d))
        else {
            return Err(Reported);
        };
        let known = set.statistics.iter().position(|s| *s == wanted);
        Ok(known.unwrap_or_else(|| {
            set.statistics.push(wanted);
            set.statistics.len() - 1
        }) as u32)
    }
}

fn reading_type(cx: &Cx<'_>) -> Option<Loc> {
    cx.reading
        .as_ref()
        .map(|r| r.class_loc)
        .filter(|l| !l.span.is_empty())
}

fn levels_of(fact: &ColumnFact) -> Option<Vec<String>> {
    match &fact.kind {
        FactKind::Number { levels } => levels.clone(),
        FactKind::Category { levels } => Some(levels.clone()),
        FactKind::Labels { classes } => Some((0..*classes).map(|n| n.to_string()).collect()),
        FactKind::Vector { .. } | FactKind::Images { .. } => None,
    }
}

fn shortened(names: &[&str]) -> String {
    match names {
        [a, b, c, d, e, f, g, h, _, ..] => {
            format!("{}, …", [*a, *b, *c, *d, *e, *f, *g, *h].join(", "))
        }
        few => few.join(", "),
    }
}
