//! `mmhc show model`, `provenance` and `bom`: what a model is, in words and in the forms that others read.

use crate::audit;
use crate::outcome::Failure;
use crate::sign;
use crate::store;
use mmh_ir::plan::{DataPlan, Part, Role, Training};
use mmh_ir::{Input, Op, Plan};
use mmh_runtime::audit::{Examined, files_of};
use mmh_runtime::journal::Base;
use mmh_sign::{BaseModel, DataFile, Described, FOLDER, Metric};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Parameters that are named one by one, at most.
const MOST: usize = 40;

/// SLSA provenance of a run, not signed.
pub(crate) fn provenance(name: &Path) -> Result<String, Failure> {
    let found = audit::open_whole(name, false)?;
    let facts = sign::facts(&found).ok_or_else(|| audit::not_ended(false))?;
    mmh_sign::provenance_statement(&found.folder, &facts)
        .map_err(|error| sign::failed(&error, false))
}

/// The bill of materials of a run's model.
pub(crate) fn bom(name: &Path) -> Result<String, Failure> {
    let found = audit::open_whole(name, false)?;
    let facts = sign::facts(&found).ok_or_else(|| audit::not_ended(false))?;
    mmh_sign::bill_of_materials(&found.folder, &facts).map_err(|error| sign::failed(&error, false))
}

/// What a run is made of, out of its plan and journal.
pub(crate) fn described(found: &Examined) -> Described {
    let Some(plan) = &found.plan else {
        return Described::default();
    };
    let wall = |first: bool, name: &str| {
        let line = if first {
            found.lines.first()
        } else {
            found.lines.last()
        };
        line.and_then(|line| line.wall.get(name))
            .cloned()
            .unwrap_or_default()
    };
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let parameters: Vec<_> = plan.trainings.iter().flat_map(parameters).collect();
    let parents = found.start().and_then(|start| start.parent);
    let bases = found.start().map(|start| start.bases);
    let threads = wall(false, "threads").as_u64().unwrap_or(0);
    Described {
        model: model_name(plan),
        edition: plan.edition,
        version: text(wall(true, "version")),
        began: wall(true, "time").as_f64(),
        ended: wall(false, "time").as_f64(),
        device: format!(
            "{} ({}, {threads} threads)",
            text(wall(false, "device")),
            text(wall(false, "isa"))
        ),
        parents: parents
            .map(|parent| (parent.head.clone(), parent.model_hash.clone()))
            .into_iter()
            .collect(),
        bases: bases.into_iter().flatten().map(base).collect(),
        data: plan.data.iter().flat_map(data_files).collect(),
        elements: parameters.iter().map(|(_, _, elements)| elements).sum(),
        parameters: parameters
            .into_iter()
            .map(|(path, ty, _)| (path, ty))
            .collect(),
        inputs: inputs(plan),
        metrics: found
            .end()
            .map(|end| metrics(end.metrics))
            .unwrap_or_default(),
    }
}

/// The name before the first dot of the parameters' paths, which is the model's in the recipe.
fn model_name(plan: &Plan) -> String {
    let slots = plan.trainings.iter().flat_map(|training| &training.state);
    let first = slots
        .filter(|slot| slot.role == Role::Parameter)
        .map(|slot| &slot.path);
    let names: BTreeSet<&str> = first.filter_map(|path| path.split('.').next()).collect();
    match names.len() {
        0 => "model".to_owned(),
        _ => names.into_iter().collect::<Vec<_>>().join("+"),
    }
}

/// Path, type and number of elements of each parameter.
fn parameters(training: &Training) -> Vec<(String, String, u64)> {
    let slots = training
        .state
        .iter()
        .filter(|slot| slot.role == Role::Parameter);
    slots
        .map(|slot| {
            let elements = slot.ty.shape.elements() as u64;
            (slot.path.clone(), slot.ty.to_string(), elements)
        })
        .collect()
}

fn base(base: &Base) -> BaseModel {
    BaseModel {
        training: base.training.clone(),
        path: base.path.clone(),
        blake3: base.blake3.clone(),
        model_hash: base.model_hash.clone(),
        head: base.run.as_ref().map(|run| run.head.clone()),
    }
}

fn data_files(set: &DataPlan) -> Vec<DataFile> {
    let files = files_of(&set.source).into_iter();
    files
        .map(|file| DataFile {
            set: set.name.clone(),
            path: file.path.clone(),
            blake3: file.blake3.clone(),
            rows: set.rows,
        })
        .collect()
}

/// The columns that the models read when they are asked.
fn inputs(plan: &Plan) -> Vec<String> {
    let mut inputs = Vec::new();
    for training in &plan.trainings {
        let Some(set) = plan.data.get(training.data as usize) else {
            continue;
        };
        let programs = training.predict.first();
        let nodes = programs
            .into_iter()
            .flat_map(|program| &program.graph.nodes);
        let read: BTreeSet<u32> = nodes
            .filter_map(|node| match node.op {
                Op::Input(Input::Column(column)) => Some(column),
                _ => None,
            })
            .collect();
        for column in read.iter().filter_map(|at| set.columns.get(*at as usize)) {
            let input = format!("{}: {}", column.name, column.ty);
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
    }
    inputs
}

fn metrics(all: &Value) -> Vec<Metric> {
    let none = Map::new();
    let mut found = Vec::new();
    for (section, parts) in all.as_object().unwrap_or(&none) {
        for (part, metrics) in parts.as_object().unwrap_or(&none) {
            for (name, value) in metrics.as_object().unwrap_or(&none) {
                if let Some(value) = value.as_f64() {
                    found.push(Metric {
                        section: section.clone(),
                        part: part.clone(),
                        name: name.clone(),
                        value,
                    });
                }
            }
        }
    }
    found
}

/// The card of a run's model, for people.
pub(crate) fn model(name: &Path) -> Result<String, Failure> {
    let found = audit::open_whole(name, false)?;
    let (Some(plan), Some(start), Some(end)) = (&found.plan, found.start(), found.end()) else {
        return Err(audit::not_ended(false));
    };
    let about = described(&found);
    let mut out = format!("{}  {}\n", shown(&about.model), shown(end.model_hash));
    let mut row = |name: &str, text: &str| {
        let _ = writeln!(out, "{name:11} {text}");
    };
    row(
        "steps",
        &format!("{} on {}", end.steps, shown(&about.device)),
    );
    for input in &about.inputs {
        row("reads", &shown(input));
    }
    row(
        "parameters",
        &format!(
            "{} numbers in {} tensors",
            about.elements,
            about.parameters.len()
        ),
    );
    for (path, ty) in about.parameters.iter().take(MOST) {
        row("", &format!("{}  {}", shown(path), shown(ty)));
    }
    if about.parameters.len() > MOST {
        row("", &format!("and {} more", about.parameters.len() - MOST));
    }
    for training in &plan.trainings {
        row("training", &shown(&training_words(training)));
    }
    for set in &plan.data {
        let [train, valid, test] = [Part::Train, Part::Valid, Part::Test].map(|part| {
            let share = set.split.shares.get(part as usize).copied().unwrap_or(0);
            format!("{}%", f64::from(share) / 10_000.0)
        });
        let words = format!(
            "{}: {} rows, train {train}, valid {valid}, test {test}",
            set.name, set.rows
        );
        row("data", &shown(&words));
        for file in files_of(&set.source) {
            row(
                "",
                &format!("{}  {}", shown(&file.blake3), shown(&file.path)),
            );
        }
    }
    for it in &about.metrics {
        let words = format!("{} {}  {} {}", it.section, it.part, it.name, it.value);
        row("metric", &shown(&words));
    }
    row("recipe", &shown(start.recipe_hash));
    row("plan", &shown(start.plan_hash));
    row("data hash", &shown(start.data_hash));
    row("seed", &shown(start.seed));
    row("head", &shown(found.head()));
    for (head, model) in &about.parents {
        let model = model.as_deref().unwrap_or("a run that did not end");
        row("parent", &format!("{}  {}", shown(head), shown(model)));
    }
    for base in &about.bases {
        let model = base.model_hash.as_deref().unwrap_or(&base.blake3);
        row("base", &format!("{}  {}", shown(model), shown(&base.path)));
    }
    let tags = store::tags_of(found.head());
    if !tags.is_empty() {
        row("tags", &tags.join(", "));
    }
    let signed = found.folder.join(FOLDER).join("signature.json").is_file();
    row(
        "signatures",
        match signed {
            true => "there; `mmhc verify --key KEY` says whether they are right",
            false => "none",
        },
    );
    Ok(out)
}

fn training_words(training: &Training) -> String {
    let optimisers: Vec<String> = training
        .groups
        .iter()
        .filter_map(|group| match serde_json::to_value(group).ok()? {
            Value::Object(fields) => {
                let (name, settings) = fields.into_iter().next()?;
                let lr = settings
                    .get("lr")
                    .map_or(String::new(), |lr| format!(" lr {lr}"));
                Some(format!("{name}{lr}"))
            }
            other => other.as_str().map(str::to_owned),
        })
        .collect();
    format!(
        "{}: {} steps of {} rows, {}",
        training.name,
        training.steps,
        training.batch,
        optimisers.join(", ")
    )
}

/// Text out of a folder that may be anybody's, fit for a terminal.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
