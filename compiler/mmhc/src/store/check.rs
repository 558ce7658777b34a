//! `mmhc fsck`: is everything in the store what its name says, and is everything there?

use super::args::FsckArgs;
use super::{amount, failed, open};
use crate::findings::{Finding, Report};
use crate::outcome::{Exit, Failure, Outcome};
use crate::store::transfer::remote;
use crate::{audit, system};
use mmh_diag::Code;
use mmh_store::content::hash_file;
use mmh_store::{Checked, Problem, Remote, Store, StoreFailure, fetch_copy};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Files that are looked at in search of copies, at most.
const MOST_FILES: usize = 100_000;

pub(crate) fn fsck(args: &FsckArgs) -> Outcome {
    let (store, json) = (open(&args.which)?, args.which.json);
    let fail = |failure: StoreFailure| failed(&failure, json);
    let began = Instant::now();
    let mut checked = store.check().map_err(fail)?;
    let seconds = began.elapsed().as_secs_f64();
    if checked.left() > 0 && !args.repair.is_empty() {
        repair(&store, &mut checked, &args.repair, json)?;
    }
    let report = report(&checked);
    if json {
        system::say(&format!("{:#}\n", document(&store, &checked, &report)));
    } else {
        for problem in checked.problems.iter().filter(|it| it.repaired.is_some()) {
            let from = problem.repaired.as_deref().unwrap_or_default();
            system::say(&format!(
                "repaired {} from {}\n",
                problem.object.as_deref().unwrap_or_default(),
                from.escape_debug()
            ));
        }
        system::say(&format!(
            "{}: {}\n",
            store.root().display(),
            match report.findings.len() {
                0 => "whole".to_owned(),
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            }
        ));
    }
    system::tell(&format!(
        "{} objects, {} in {seconds:.2} s; {} runs, {} tags, {} trials, {} objects that nothing needs\n",
        checked.objects,
        amount(checked.bytes),
        checked.runs,
        checked.tags,
        checked.beginnings,
        checked.unneeded
    ));
    match report.findings.is_empty() {
        true => Ok(()),
        false => {
            audit::show(report);
            Err(Failure::Said(Exit::Fault))
        }
    }
}

fn report(checked: &Checked) -> Report {
    let left = checked.problems.iter().filter(|it| it.repaired.is_none());
    let finding = |problem: &Problem| {
        let needed = match problem.needed_by.as_slice() {
            [] => String::new(),
            [only] => format!("; it is {}", only.escape_debug()),
            [first, rest @ ..] => {
                format!("; it is {} and {} more", first.escape_debug(), rest.len())
            }
        };
        let missing = problem.what == "it is missing";
        let code = if missing {
            Code::StoreMissing
        } else {
            Code::StoreDamaged
        };
        let message = format!(
            "`{}`: {}{needed}",
            problem.path.display(),
            problem.what.escape_debug()
        );
        let help = match problem.object {
            Some(_) => {
                "`mmhc fsck --repair FROM` takes a whole copy from a run folder, data, another store or a remote"
            }
            None => {
                "put the run there again with `mmhc store add` or `mmhc pull`, or remove the file"
            }
        };
        Finding::error(code, message, help)
    };
    Report {
        findings: left.map(finding).collect(),
        ..Report::default()
    }
}

fn document(store: &Store, checked: &Checked, report: &Report) -> Value {
    let problem = |problem: &Problem| {
        json!({
            "object": problem.object, "file": problem.path.display().to_string(), "what": problem.what,
            "needed_by": problem.needed_by, "repaired_from": problem.repaired,
        })
    };
    json!({
        "store": store.root().display().to_string(),
        "whole": report.findings.is_empty(),
        "objects": checked.objects,
        "bytes": checked.bytes,
        "runs": checked.runs,
        "tags": checked.tags,
        "trials": checked.beginnings,
        "unneeded": checked.unneeded,
        "problems": checked.problems.iter().map(problem).collect::<Vec<_>>(),
        "diagnostics": audit::as_json(report),
    })
}

/// Takes copies from the places named, in their order.
fn repair(
    store: &Store,
    checked: &mut Checked,
    places: &[String],
    json: bool,
) -> Result<(), Failure> {
    let fail = |failure: StoreFailure| failed(&failure, json);
    let (mut remotes, mut files): (Vec<Box<dyn Remote>>, BTreeMap<String, PathBuf>) =
        Default::default();
    for place in places {
        let path = Path::new(place);
        if place.contains("://") || Store::is_at(path) {
            remotes.push(remote(place, store, json)?);
        } else {
            index(path, &mut files)
                .map_err(|error| Failure::of(Finding::file(path, &error), json, Exit::Fault))?;
        }
    }
    let mut parts = Vec::new();
    store
        .repair(checked, &mut |hash| {
            if let Some(path) = files.get(hash) {
                return Ok(Some((path.clone(), path.display().to_string())));
            }
            for remote in &remotes {
                if let Some(part) = fetch_copy(store, &**remote, hash)? {
                    let path = part.path.clone();
                    parts.push(part);
                    return Ok(Some((path, remote.name())));
                }
            }
            Ok(None)
        })
        .map_err(fail)?;
    for part in parts {
        // Its content has its name now.
        let _ = std::fs::remove_file(part.path);
    }
    Ok(())
}

/// The plain files below a place by their hash.
fn index(place: &Path, files: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    let about = std::fs::symlink_metadata(place)?;
    if about.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(place)?.flatten().collect();
        entries.sort_unstable_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if files.len() < MOST_FILES {
                index(&entry.path(), files)?;
            }
        }
    } else if about.is_file() {
        let (hash, _) = hash_file(place)?;
        files.insert(hash.to_hex().to_string(), place.to_path_buf());
    }
    Ok(())
}
