//! `mmhc diff`: what went into two runs, what came out, and how far apart their parameters are.

use crate::args::PairArgs;
use crate::audit;
use crate::outcome::Outcome;
use crate::system;
use mmh_runtime::StoredModel;
use mmh_runtime::audit::Examined;
use mmh_runtime::audit::compare::{self, Difference, Distance, Parting};
use serde_json::{Value, json};
use std::fmt::Write;

/// Differing settings that are shown at most; JSON has them all.
const MOST: usize = 40;

/// All that is compared.
struct Compared {
    recipe: Vec<String>,
    settings: Vec<Difference>,
    metrics: Vec<Difference>,
    parameters: Vec<Distance>,
    partings: Vec<(String, Parting)>,
    same_model: bool,
}

pub(crate) fn diff(args: &PairArgs) -> Outcome {
    let a = audit::open_whole(&args.a, args.json)?;
    let b = audit::open_whole(&args.b, args.json)?;
    let compared = compare(&a, &b);
    match args.json {
        true => system::say(&format!("{:#}\n", document(&a, &b, &compared))),
        false => system::say(&words(&a, &b, &compared)),
    }
    Ok(())
}

fn compare(a: &Examined, b: &Examined) -> Compared {
    let text =
        |found: &Examined| system::read_text(&found.folder.join("recipe.mmh")).unwrap_or_default();
    let settings = match (&a.plan, &b.plan) {
        (Some(a), Some(b)) => compare::settings(a, b),
        _ => Vec::new(),
    };
    let models = [a, b].map(|found| StoredModel::read(&found.folder));
    let parameters = match &models {
        [Ok(a), Ok(b)] => compare::distances(a, b),
        _ => Vec::new(),
    };
    let names = a.plan.iter().flat_map(|plan| &plan.trainings);
    let in_both = names.filter(|training| {
        let other = b.plan.iter().flat_map(|plan| &plan.trainings);
        other.into_iter().any(|other| other.name == training.name)
    });
    let partings = in_both.map(|training| {
        (
            training.name.clone(),
            compare::parting(a, b, &training.name),
        )
    });
    Compared {
        recipe: lines_apart(&text(a), &text(b)),
        settings,
        metrics: compare::metrics(a, b),
        parameters,
        partings: partings.collect(),
        same_model: a.model_hash().is_some() && a.model_hash() == b.model_hash(),
    }
}

fn document(a: &Examined, b: &Examined, compared: &Compared) -> Value {
    let list = |differ: &[Difference]| -> Vec<Value> {
        differ
            .iter()
            .map(|it| json!({ "path": it.path, "a": it.a, "b": it.b }))
            .collect()
    };
    let parameters = compared.parameters.iter().map(|it| {
        json!({
            "path": it.path, "distance": it.distance, "relative": it.relative, "largest": it.largest,
            "changed": it.changed, "elements": it.elements,
        })
    });
    let partings = compared
        .partings
        .iter()
        .map(|(name, it)| json!({ "training": name, "same_until": it.same, "apart_at": it.apart }));
    json!({
        "a": a.folder.display().to_string(),
        "b": b.folder.display().to_string(),
        "same_model": compared.same_model,
        "recipe": compared.recipe,
        "settings": list(&compared.settings),
        "metrics": list(&compared.metrics),
        "parameters": parameters.collect::<Vec<_>>(),
        "states": partings.collect::<Vec<_>>(),
    })
}

fn words(a: &Examined, b: &Examined, compared: &Compared) -> String {
    let mut out = format!("a  {}\nb  {}\n", a.folder.display(), b.folder.display());
    if compared.same_model {
        let _ = writeln!(
            out,
            "the models are the same, bit for bit: {}",
            shown(a.model_hash().unwrap_or_default())
        );
    }
    if !compared.recipe.is_empty() {
        out.push_str("\nrecipe\n");
        for line in compared.recipe.iter().take(MOST) {
            let _ = writeln!(out, "  {}", shown(line));
        }
    }
    for (title, differ) in [
        ("settings", &compared.settings),
        ("metrics", &compared.metrics),
    ] {
        if differ.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{title}");
        for it in differ.iter().take(MOST) {
            let _ = writeln!(
                out,
                "  {}  {} → {}",
                shown(&it.path),
                brief(&it.a),
                brief(&it.b)
            );
        }
        if differ.len() > MOST {
            let _ = writeln!(
                out,
                "  and {} more; `--json` has them all",
                differ.len() - MOST
            );
        }
    }
    let apart: Vec<&Distance> = compared
        .parameters
        .iter()
        .filter(|it| it.distance.is_none_or(|it| it != 0.0))
        .collect();
    if !apart.is_empty() {
        out.push_str("\nparameters (distance, relative to a, largest difference)\n");
        let wide = apart
            .iter()
            .map(|it| shown(&it.path).len())
            .max()
            .unwrap_or(0);
        for it in apart {
            let number =
                |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3e}"));
            let figures = match it.distance {
                None => "in one alone, or of another shape".to_owned(),
                distance => format!(
                    "{}  {}  {}",
                    number(distance),
                    number(it.relative),
                    number(it.largest)
                ),
            };
            let _ = writeln!(out, "  {:wide$}  {figures}", shown(&it.path));
        }
    }
    out.push_str("\nstates\n");
    for (name, it) in &compared.partings {
        let words = match (it.same, it.apart) {
            (_, None) => "the same in all states that both recorded".to_owned(),
            (None, Some(_)) => "different from the start".to_owned(),
            (Some(same), Some(apart)) => format!(
                "the same after {same} steps, different after {apart}; `mmhc bisect` finds the step"
            ),
        };
        let _ = writeln!(out, "  {}: {words}", shown(name));
    }
    out
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.chars().count() > 60 {
        true => format!("{}…", shown(&text.chars().take(60).collect::<String>())),
        false => shown(&text),
    }
}

/// Text out of a folder that may be anybody's, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_debug().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Lines that one text has and the other has not, in order, by the longest common subsequence.
pub(crate) fn lines_apart(a: &str, b: &str) -> Vec<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    if a == b {
        return Vec::new();
    }
    let same_start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (
        a.get(same_start..).unwrap_or_default(),
        b.get(same_start..).unwrap_or_default(),
    );
    let same_end = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (a, b) = (
        a.get(..a.len() - same_end).unwrap_or_default(),
        b.get(..b.len() - same_end).unwrap_or_default(),
    );
    /// Lines beyond which the middle is shown whole.
    const MOST_LINES: usize = 2000;
    let removed = |line: &&str| format!("- {line}");
    let added = |line: &&str| format!("+ {line}");
    if a.len() > MOST_LINES || b.len() > MOST_LINES {
        return a.iter().map(removed).chain(b.iter().map(added)).collect();
    }
    let width = b.len() + 1;
    let mut common = vec![0_u32; (a.len() + 1) * width];
    let at = |common: &[u32], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    for (i, left) in a.iter().enumerate().rev() {
        for (j, right) in b.iter().enumerate().rev() {
            let value = match left == right {
                true => at(&common, i + 1, j + 1) + 1,
                false => at(&common, i + 1, j).max(at(&common, i, j + 1)),
            };
            if let Some(cell) = common.get_mut(i * width + j) {
                *cell = value;
            }
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while let (Some(left), Some(right)) = (a.get(i), b.get(j)) {
        if left == right {
            (i, j) = (i + 1, j + 1);
        } else if at(&common, i + 1, j) >= at(&common, i, j + 1) {
            out.push(removed(left));
            i += 1;
        } else {
            out.push(added(right));
            j += 1;
        }
    }
    out.extend(a.get(i..).unwrap_or_default().iter().map(removed));
    out.extend(b.get(j..).unwrap_or_default().iter().map(added));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_apart_are_few() {
        assert_eq!(lines_apart("a\nb\nc\nd\n", "a\nx\nc\nd\n"), ["- b", "+ x"]);
        assert_eq!(lines_apart("a\nb\n", "b\nc\n"), ["- a", "+ c"]);
        assert_eq!(lines_apart("a\n", "a\n"), Vec::<String>::new());
        assert_eq!(lines_apart("", "a\n"), ["+ a"]);
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(shown("a\u{1b}[2J é"), "a\\u{1b}[2J é");
    }
}
