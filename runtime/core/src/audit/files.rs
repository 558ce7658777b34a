//! The files of a run folder against its journal: first their hashes, then what they say.

use super::{Examined, files_of};
use crate::failure::RunFailure;
use crate::predict::{STATISTICS, StoredModel};
use crate::session::metrics_text;
use mmh_ir::Plan;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Metrics that are named at most.
const MOST_NAMED: usize = 4;

pub(crate) fn check(found: &mut Examined) -> Result<(), RunFailure> {
    let Some(start) = found.start() else {
        found.add("journal", "it does not begin with the start of a run");
        return Ok(());
    };
    let given = start.files.clone();
    hashes(found, &given)?;
    plan(found)?;
    lock(found)?;
    bases(found);
    uses(found, &given);
    match found.end().map(|end| end.files.clone()) {
        Some(left) => {
            hashes(found, &left)?;
            metrics(found)?;
            model(found)?;
            for name in [
                "model.safetensors",
                "metrics.json",
                STATISTICS,
                "report.html",
            ] {
                if !left.contains_key(name) {
                    found.add("journal", format!("its last line does not name `{name}`"));
                }
            }
        }
        None => unfinished(found),
    }
    let strangers = found.strangers();
    if !strangers.is_empty() {
        let names = strangers.join("`, `");
        found
            .notes
            .push(format!("no part of the run, and not looked at: `{names}`"));
    }
    Ok(())
}

/// A run that did not end has no result yet.
fn unfinished(found: &mut Examined) {
    if found.folder.join("model.safetensors").exists() || found.folder.join("metrics.json").exists()
    {
        let what = "the run has a result, but the journal ends before it: the lines of its end are missing";
        found.add("journal", what);
    } else {
        found.notes.push("the run has not ended".to_owned());
    }
}

/// Compares the blake3 of files with what the journal names.
fn hashes(found: &mut Examined, wanted: &BTreeMap<String, String>) -> Result<(), RunFailure> {
    for (name, hash) in wanted {
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) || name.contains('\\') {
            found.add(
                "journal",
                format!(
                    "it names a file outside the folder, `{}`",
                    name.escape_debug()
                ),
            );
            continue;
        }
        match found.read(name)? {
            None => found.add(name, "it is missing"),
            Some(bytes) if blake3::hash(&bytes).to_hex().as_str() == hash => {}
            Some(bytes) if bytes.is_empty() => found.add(name, "it was emptied"),
            Some(_) => found.add(
                name,
                "it was changed: its blake3 is not the one in the journal",
            ),
        }
        found.files += 1;
    }
    Ok(())
}

fn plan(found: &mut Examined) -> Result<(), RunFailure> {
    let Some(bytes) = found.read("plan")? else {
        return Ok(());
    };
    let plan = match Plan::from_text(&String::from_utf8_lossy(&bytes)) {
        Ok(plan) => plan,
        Err(reason) => {
            found.add("plan", format!("it cannot be read: {reason}"));
            return Ok(());
        }
    };
    let mut wrong = Vec::new();
    if let Some(start) = found.start() {
        let pairs = [
            ("hash", plan.hash(), start.plan_hash),
            ("recipe's hash", plan.recipe_hash.clone(), start.recipe_hash),
            ("seed", plan.seed.clone(), start.seed),
        ];
        for (what, here, there) in pairs {
            if here != there {
                wrong.push(format!(
                    "its {what} is `{}`, the journal says `{}`",
                    here.escape_debug(),
                    there.escape_debug()
                ));
            }
        }
    }
    for what in wrong {
        found.add("plan", what);
    }
    found.plan = Some(plan);
    Ok(())
}

/// `mmh.lock` names the files of the plan and the data of the journal.
fn lock(found: &mut Examined) -> Result<(), RunFailure> {
    let (Some(bytes), Some(plan)) = (found.read("mmh.lock")?, found.plan.clone()) else {
        return Ok(());
    };
    let lock: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let sets = lock
        .get("data")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if sets.len() != plan.data.len() {
        found.add("mmh.lock", "it does not name the data sets of the plan");
        return Ok(());
    }
    for (set, plan) in sets.iter().zip(&plan.data) {
        let files = set
            .get("files")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let here: Vec<String> = files
            .iter()
            .filter_map(|file| Some(file.get("blake3")?.as_str()?.to_owned()))
            .collect();
        let there: Vec<String> = files_of(&plan.source)
            .iter()
            .map(|file| file.blake3.clone())
            .collect();
        if here != there {
            found.add(
                "mmh.lock",
                format!(
                    "the files of `{}` are not those of the plan",
                    plan.name.escape_debug()
                ),
            );
        }
    }
    let contents: Vec<(&str, &str)> = sets
        .iter()
        .filter_map(|set| Some((set.get("name")?.as_str()?, set.get("content")?.as_str()?)))
        .collect();
    let hash = crate::data::hash_of_sets(&contents);
    if let Some(start) = found.start()
        && hash.as_deref() != Some(start.data_hash)
    {
        found.add(
            "mmh.lock",
            "the data it names is not the data of the journal",
        );
    }
    Ok(())
}

/// The journal and `mmh.lock` name the weights of the plan.
fn bases(found: &mut Examined) {
    let Some(plan) = found.plan.clone() else {
        return;
    };
    let starts = plan.trainings.iter();
    let wanted: Vec<(&str, &str, &str)> = starts
        .filter_map(|training| {
            let file = training.start.as_ref()?;
            Some((
                training.name.as_str(),
                file.path.as_str(),
                file.blake3.as_str(),
            ))
        })
        .collect();
    let told = found.start().map(|start| start.bases.to_vec());
    let mut told: Vec<(String, String, String)> = told
        .unwrap_or_default()
        .into_iter()
        .map(|base| (base.training, base.path, base.blake3))
        .collect();
    let bytes = std::fs::read(found.folder.join("mmh.lock")).unwrap_or_default();
    let lock: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let locked = lock.get("weights").and_then(Value::as_array);
    let mut locked: Vec<(String, String, String)> = locked
        .into_iter()
        .flatten()
        .map(|entry| {
            let text = |name: &str| {
                entry
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            (text("training"), text("path"), text("blake3"))
        })
        .collect();
    told.sort_unstable();
    locked.sort_unstable();
    let mut wanted: Vec<(String, String, String)> = wanted
        .into_iter()
        .map(|(training, path, hash)| (training.to_owned(), path.to_owned(), hash.to_owned()))
        .collect();
    wanted.sort_unstable();
    if told != wanted {
        found.add(
            "journal",
            "the base models it names are not those of the plan",
        );
    }
    if locked != wanted {
        found.add("mmh.lock", "the weights it names are not those of the plan");
    }
}

/// Files beside those that the recipe uses would be read by whoever runs it again.
fn uses(found: &mut Examined, given: &BTreeMap<String, String>) {
    let mut open = vec!["recipe".to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(found.folder.join(&folder)) else {
            continue;
        };
        let mut names: Vec<_> = entries.flatten().collect();
        names.sort_unstable_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(name),
                _ if given.contains_key(&name) => {}
                _ => found.add(&name, "it was added: the recipe does not use it"),
            }
        }
    }
}

fn metrics(found: &mut Examined) -> Result<(), RunFailure> {
    let (Some(bytes), Some(start), Some(end)) =
        (found.read("metrics.json")?, found.start(), found.end())
    else {
        return Ok(());
    };
    let wanted = json!({
        "recipe_hash": start.recipe_hash,
        "plan_hash": start.plan_hash,
        "data_hash": start.data_hash,
        "model_hash": end.model_hash,
        "seed": start.seed,
        "steps": end.steps,
        "metrics": end.metrics,
    });
    if metrics_text(&wanted).into_bytes() == bytes {
        return Ok(());
    }
    let here: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let mut differ = Vec::new();
    differences("", &here, &wanted, &mut differ);
    let what = match differ.len() {
        0 => "it is not written as the run writes it".to_owned(),
        _ => differ.join("; "),
    };
    found.add("metrics.json", what);
    Ok(())
}

/// Where two documents differ, by path.
pub(crate) fn differences(path: &str, here: &Value, there: &Value, differ: &mut Vec<String>) {
    if here == there || differ.len() >= MOST_NAMED {
        return;
    }
    if let (Value::Object(a), Value::Object(b)) = (here, there) {
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let at = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            differences(&path, &at(a), &at(b), differ);
        }
        return;
    }
    let short = |value: &Value| value.to_string().chars().take(80).collect::<String>();
    differ.push(format!(
        "`{}` is {}, the journal says {}",
        path.escape_debug(),
        short(here),
        short(there)
    ));
}

/// The model against the hash in the journal.
fn model(found: &mut Examined) -> Result<(), RunFailure> {
    let Some(end) = found.end() else {
        return Ok(());
    };
    let wanted = end.model_hash.to_owned();
    let stored = match StoredModel::read(&found.folder) {
        Ok(stored) => stored,
        Err(RunFailure::Damaged { path, reason }) => {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            found.add(&name, format!("it cannot be read: {reason}"));
            return Ok(());
        }
        // What is missing was named when its hash was to be compared.
        Err(RunFailure::File { .. }) => return Ok(()),
        Err(other) => return Err(other),
    };
    let hash = stored.hash();
    if hash != wanted {
        let what = format!(
            "its parameters were changed: their hash is `{hash}`, the journal says `{}`",
            wanted.escape_debug()
        );
        found.add("model.safetensors", what);
    }
    Ok(())
}
