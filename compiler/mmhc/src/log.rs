//! `mmhc log`: where a model comes from and how its training went.

use crate::args::LogArgs;
use crate::outcome::Outcome;
use crate::system;
use crate::{audit, history};
use mmh_runtime::audit::Examined;
use mmh_runtime::journal::{Event, Line};
use serde_json::{Map, Value, json};
use std::fmt::Write;

pub(crate) fn log(args: &LogArgs) -> Outcome {
    let found = audit::open(&args.folder, args.json)?;
    let ancestors = history::of(&found, args.json)?;
    if args.json {
        let mut document = document(&found);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("history".to_owned(), history::document(&ancestors));
        }
        system::say(&format!("{document:#}\n"));
    } else {
        system::say(&lineage(&found));
        system::say(&history::words(&ancestors));
        for line in &found.lines {
            if let Some(words) = words(line, args.all) {
                system::say(&format!("{words}\n"));
            }
        }
    }
    if !found.changes.is_empty() {
        system::tell(&format!(
            "warning: the folder was changed in {} places; `mmhc verify {}` names them\n",
            found.changes.len(),
            found.folder.display()
        ));
    }
    Ok(())
}

fn document(found: &Examined) -> Value {
    let start = found.start();
    json!({
        "folder": found.folder.display().to_string(),
        "changed": !found.changes.is_empty(),
        "recipe_hash": start.map(|start| start.recipe_hash),
        "plan_hash": start.map(|start| start.plan_hash),
        "data_hash": start.map(|start| start.data_hash),
        "seed": start.map(|start| start.seed),
        "model_hash": found.model_hash(),
        "head": found.head(),
        "parent": start.and_then(|start| start.parent),
        "bases": start.map(|start| start.bases),
        "trails": found.end().map(|end| end.trails),
        "lines": found.lines,
    })
}

/// What went in and what came out.
fn lineage(found: &Examined) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:7} {}", shown(value));
    };
    if let Some(model) = found.model_hash() {
        row("model", model);
    }
    if let Some(start) = found.start() {
        row("recipe", start.recipe_hash);
        row("plan", start.plan_hash);
        row("data", start.data_hash);
        row("seed", start.seed);
        if let Some(parent) = start.parent {
            let model = parent
                .model_hash
                .as_deref()
                .unwrap_or("a run that did not end");
            row("parent", model);
            let change = match parent.recipe_hash == start.recipe_hash {
                true => "of the same recipe".to_owned(),
                false => format!("of recipe {}", parent.recipe_hash),
            };
            row("", &change);
        }
        for base in start.bases {
            let model = base.model_hash.as_deref().unwrap_or("of a kind of its own");
            row("base", model);
            let run = match &base.run {
                Some(run) => format!(", the run {}", run.head),
                None => String::new(),
            };
            row(
                "",
                &format!("`{}` begins with {}{run}", base.training, base.path),
            );
        }
    }
    row("head", found.head());
    out.push('\n');
    out
}

/// A line for people; states are left out unless all is wanted.
fn words(line: &Line, all: bool) -> Option<String> {
    let short = |hash: &str| {
        shown(hash.strip_prefix("blake3:").unwrap_or(hash))
            .chars()
            .take(16)
            .collect::<String>()
    };
    let what = match &line.entry {
        Event::Start { .. } => "the run begins".to_owned(),
        Event::Resume { training, step, .. } => {
            format!("{}: goes on after {step} steps", shown(training))
        }
        Event::Taken {
            training,
            step,
            plan_hash,
            ..
        } => {
            let (of, from) = (shown(training), short(plan_hash));
            format!("{of}: takes {step} steps from the run of plan {from}, which begins alike")
        }
        Event::State {
            training,
            step,
            state,
            ..
        } if all => {
            format!("{}: step {step}  state {}", shown(training), short(state))
        }
        Event::State { .. } => return None,
        Event::Epoch {
            training,
            epoch,
            step,
            loss,
            ..
        } => {
            let loss = loss.map_or(String::new(), |loss| format!("  loss {loss:.4}"));
            format!("{}: epoch {epoch}, step {step}{loss}", shown(training))
        }
        Event::Watch {
            training,
            step,
            metrics,
            best,
            ..
        } => {
            let best = if *best { "  best so far" } else { "" };
            format!(
                "{}: step {step}  {}{best}",
                shown(training),
                figures(metrics)
            )
        }
        Event::Checkpoint {
            training,
            step,
            checkpoint,
            ..
        } if all => {
            format!(
                "{}: step {step}  checkpoint {}",
                shown(training),
                short(checkpoint)
            )
        }
        Event::Checkpoint { .. } => return None,
        Event::NotFinite {
            training,
            step,
            guard,
        } => {
            format!(
                "{}: `{}` is not finite in step {}",
                shown(training),
                shown(guard),
                step + 1
            )
        }
        Event::End { steps, metrics, .. } => {
            let mut out = format!("the run ends after {steps} steps");
            for (section, parts) in metrics.as_object().unwrap_or(&Map::new()) {
                for (part, metrics) in parts.as_object().unwrap_or(&Map::new()) {
                    let _ = write!(
                        out,
                        "\n       {} {}  {}",
                        shown(section),
                        shown(part),
                        figures(metrics)
                    );
                }
            }
            out
        }
    };
    Some(format!("{:5}  {what}", line.n))
}

fn figures(metrics: &Value) -> String {
    let pairs = metrics.as_object().into_iter().flatten();
    let figures: Vec<String> = pairs
        .filter_map(|(name, value)| Some(format!("{} {:.4}", shown(name), value.as_f64()?)))
        .collect();
    figures.join(", ")
}

/// Text out of a folder that may be anybody's, fit for a terminal.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
