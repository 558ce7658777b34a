//! `mmhc store`, `fsck`, `tag`, `push` and `pull`; and runs that other verbs find in the store by name.

pub(crate) mod args;
mod check;
mod transfer;

pub(crate) use check::fsck;
pub(crate) use transfer::{pull, push};

use crate::audit;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::{streaming, system};
use args::{StoreArgs, StoreVerb, TagArgs, Which};
use mmh_diag::Code;
use mmh_runtime::audit::{Examined, find_file, inputs_of};
use mmh_store::{Added, Ancestor, DataFile, Facts, Kept, Store, StoreFailure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

pub(crate) fn store(args: &StoreArgs) -> Outcome {
    let (which, json) = (&args.which, args.which.json);
    match &args.verb {
        StoreVerb::Add {
            folders,
            data,
            no_data,
        } => {
            let store = open(which)?;
            let mut all = Vec::new();
            for folder in folders {
                let here = [PathBuf::from(".")];
                let places: &[PathBuf] = match (no_data, data.as_slice()) {
                    (true, _) => &[],
                    (false, []) => &here,
                    (false, places) => places,
                };
                let added = add(&store, folder, places, json)?;
                system::tell(&said(folder, &added));
                if !json {
                    system::say(&format!("{}\n", added.head));
                }
                all.push(added_json(&added));
            }
            if json {
                system::say(&format!("{:#}\n", json!({ "added": all })));
            }
            Ok(())
        }
        StoreVerb::List => list(which),
        StoreVerb::Get { run, folder } => {
            let store = open(which)?;
            let run = store.find(run).map_err(|failure| failed(&failure, json))?;
            let bytes = store
                .get(&run, folder)
                .map_err(|failure| failed(&failure, json))?;
            let files = run.manifest.files.len();
            system::tell(&format!("{files} files, {}\n", amount(bytes)));
            let said = json!({ "head": run.head, "folder": folder.display().to_string(), "files": files, "bytes": bytes });
            system::say(&match json {
                true => format!("{said:#}\n"),
                false => format!("{}\n", folder.display()),
            });
            Ok(())
        }
        StoreVerb::Remove { run } => {
            let store = open(which)?;
            let run = store.find(run).map_err(|failure| failed(&failure, json))?;
            store
                .remove(&run.head)
                .map_err(|failure| failed(&failure, json))?;
            system::tell(&match run.tags.as_slice() {
                [] => "`mmhc store gc` takes what nothing else needs\n".to_owned(),
                tags => format!("it stays while it has the tag {}\n", tags.join(", ")),
            });
            if json {
                system::say(&format!(
                    "{:#}\n",
                    json!({ "head": run.head, "tags": run.tags })
                ));
            }
            Ok(())
        }
        StoreVerb::Gc { grace, dry_run } => collect(which, *grace, *dry_run),
    }
}

/// A failure of the store.
pub(crate) fn failed(failure: &StoreFailure, json: bool) -> Failure {
    let code = Code::find(failure.code()).unwrap_or(Code::StoreFile);
    let finding = Finding::error(code, failure.to_string(), failure.help());
    Failure::of(finding, json, Exit::Fault)
}

/// Where the store is: `--store`, MMH_STORE, or `mmh/store` where the system keeps a user's data.
fn place(which: &Which) -> Option<PathBuf> {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let data = || {
        of("XDG_DATA_HOME")
            .or_else(|| of("LOCALAPPDATA"))
            .or_else(|| of("HOME").map(|home| home.join(".local/share")))
            .map(|folder| folder.join("mmh").join("store"))
    };
    which
        .store
        .clone()
        .or_else(|| of("MMH_STORE"))
        .or_else(data)
}

/// Opens the store, or makes it.
pub(crate) fn open(which: &Which) -> Result<Store, Failure> {
    let missing =
        || Failure::Usage("no folder for the store: say with `--store` where it is".to_owned());
    Store::open(&place(which).ok_or_else(missing)?).map_err(|failure| failed(&failure, which.json))
}

/// The store that other verbs look into, if there is one.
pub(crate) fn known() -> Option<Store> {
    let place = place(&Which::default())?;
    Store::is_at(&place)
        .then(|| Store::open(&place).ok())
        .flatten()
}

/// What the store wants to know of a run that ended; none if it did not.
pub(crate) fn facts(found: &Examined) -> Option<Facts> {
    let (start, end) = (found.start()?, found.end()?);
    let data = found.plan.iter().flat_map(inputs_of);
    let data = data.map(|(name, file)| DataFile {
        name: name.to_owned(),
        path: file.path.clone(),
        blake3: file.blake3.clone(),
    });
    let bases = start.bases.iter().filter_map(|base| base.run.as_ref());
    let parents = start.parent.into_iter().chain(bases);
    let parents = parents.map(|parent| Ancestor {
        head: parent.head.clone(),
        recipe_hash: parent.recipe_hash.clone(),
        model_hash: parent.model_hash.clone(),
    });
    Some(Facts {
        model_hash: end.model_hash.to_owned(),
        recipe_hash: start.recipe_hash.to_owned(),
        plan_hash: start.plan_hash.to_owned(),
        data_hash: start.data_hash.to_owned(),
        seed: start.seed.to_owned(),
        head: found.head().to_owned(),
        steps: end.steps,
        metrics: end.metrics.clone(),
        parents: parents.collect(),
        data: data.collect(),
    })
}

/// Puts a run folder that is whole and ended into the store, with what of its data is found in `places`.
fn add(store: &Store, folder: &Path, places: &[PathBuf], json: bool) -> Result<Added, Failure> {
    let found = audit::open_folder(folder, json)?;
    if !found.changes.is_empty() {
        return Err(Failure::Found {
            report: audit::changes(&found),
            json,
            exit: Exit::Fault,
        });
    }
    let facts = facts(&found).ok_or_else(|| audit::not_ended(json))?;
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    if let (Some(start), Some(end)) = (found.start(), found.end()) {
        known.extend(start.files.clone());
        known.extend(end.files.clone());
    }
    let mut data = Vec::new();
    for file in &facts.data {
        let path = find_file(&file.path, &file.blake3, places)
            .map_err(|failure| audit::failed(&failure, json))?;
        match path {
            Some(path) => data.push((file.clone(), path)),
            None if places.is_empty() => {}
            None => system::tell(&format!(
                "note: `{}` was not found and is left out; `--data PATH` says where it is\n",
                file.path.escape_debug()
            )),
        }
    }
    store
        .add(folder, facts, &known, &data)
        .map_err(|failure| failed(&failure, json))
}

fn said(folder: &Path, added: &Added) -> String {
    format!(
        "{}: {} objects, {}, {} of it new\n",
        folder.display(),
        added.objects,
        amount(added.bytes),
        amount(added.new_bytes)
    )
}

fn added_json(added: &Added) -> Value {
    json!({
        "head": added.head, "run": added.run, "objects": added.objects, "bytes": added.bytes,
        "new_bytes": added.new_bytes, "data": added.data,
    })
}

fn list(which: &Which) -> Outcome {
    let (store, json) = (open(which)?, which.json);
    let mut runs = Vec::new();
    for head in store.heads().map_err(|failure| failed(&failure, json))? {
        runs.extend(store.run(&head).map_err(|failure| failed(&failure, json))?);
    }
    if json {
        let runs: Vec<Value> = runs.iter().map(run_json).collect();
        system::say(&format!(
            "{:#}\n",
            json!({ "store": store.root().display().to_string(), "runs": runs })
        ));
        return Ok(());
    }
    if runs.is_empty() {
        let root = store.root().display();
        system::tell(&format!(
            "no runs in {root}; `mmhc store add DIR` puts one there\n"
        ));
    }
    for run in &runs {
        system::say(&format!("{}\n", line(run)));
    }
    Ok(())
}

/// A run in a line: head, model, parents, tags.
fn line(run: &Kept) -> String {
    let short = |hash: &str| {
        let digits = hash.strip_prefix("blake3:").unwrap_or(hash);
        digits
            .chars()
            .take(12)
            .collect::<String>()
            .escape_debug()
            .to_string()
    };
    let facts = &run.manifest.facts;
    let from = match facts.parents.first() {
        Some(parent) => format!("  from {}", short(&parent.head)),
        None => String::new(),
    };
    let tags = match run.tags.as_slice() {
        [] => String::new(),
        tags => format!("  ({})", tags.join(", ")),
    };
    let dropped = if run.reference.kept { "" } else { "  removed" };
    format!(
        "{}  model {}{from}{tags}{dropped}",
        short(&run.head),
        short(&facts.model_hash)
    )
}

fn run_json(run: &Kept) -> Value {
    json!({
        "head": run.head, "run": run.reference.run, "kept": run.reference.kept, "tags": run.tags,
        "data": run.reference.data, "facts": run.manifest.facts,
    })
}

fn collect(which: &Which, hours: u32, dry: bool) -> Outcome {
    let (store, json) = (open(which)?, which.json);
    drop_old_views(&store);
    let grace = Duration::from_secs(u64::from(hours) * 3600);
    let found = store
        .collect(grace, dry)
        .map_err(|failure| failed(&failure, json))?;
    let would = if dry { "would go" } else { "went" };
    let (packed, packed_bytes) = match streaming::folder() {
        Some(folder) => mmh_data::collect_packed(&folder, grace, dry),
        None => (0, 0),
    };
    system::tell(&format!(
        "{} objects, {} runs and {} trials {would}, {}; {} objects are needed, {} are too young to go\n",
        found.objects,
        found.runs,
        found.beginnings,
        amount(found.bytes),
        found.needed,
        found.young
    ));
    if packed > 0 {
        let bytes = amount(packed_bytes);
        system::tell(&format!("{packed} packed data sources {would}, {bytes}\n"));
    }
    if json {
        let found = json!({
            "objects": found.objects, "runs": found.runs, "trials": found.beginnings, "bytes": found.bytes, "needed": found.needed,
            "young": found.young, "packed_sources": packed, "packed_bytes": packed_bytes, "dry_run": dry,
        });
        system::say(&format!("{found:#}\n"));
    }
    Ok(())
}

pub(crate) fn tag(args: &TagArgs) -> Outcome {
    let (store, json) = (open(&args.which)?, args.which.json);
    let fail = |failure: StoreFailure| failed(&failure, json);
    let Some(name) = &args.name else {
        let tags = store.tags().map_err(fail)?;
        if json {
            let tags: BTreeMap<&String, &String> =
                tags.iter().map(|(tag, head)| (tag, head)).collect();
            system::say(&format!("{:#}\n", json!({ "tags": tags })));
        } else {
            for (tag, head) in tags {
                system::say(&format!("{head}  {tag}\n"));
            }
        }
        return Ok(());
    };
    if args.delete {
        return match store.untag(name).map_err(fail)? {
            true => Ok(()),
            false => Err(fail(StoreFailure::Unknown {
                name: name.clone(),
                known: Vec::new(),
            })),
        };
    }
    let Some(run) = &args.run else {
        let run = store.find(name).map_err(fail)?;
        system::say(&match json {
            true => format!("{:#}\n", run_json(&run)),
            false => format!("{}\n", line(&run)),
        });
        return Ok(());
    };
    let folder = Path::new(run);
    let head = match folder.join("journal").is_file() {
        true => add(&store, folder, &[], json)?.head,
        false => store.find(run).map_err(fail)?.head,
    };
    store.tag(name, &head, args.moves).map_err(fail)?;
    system::say(&match json {
        true => format!("{:#}\n", json!({ "tag": name, "head": head })),
        false => format!("{head}\n"),
    });
    Ok(())
}

/// Folders that were made to look into runs of the store; they go when the process ends.
static VIEWS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A run of the store as a folder to read from.
fn view(store: &Store, run: &Kept, json: bool) -> Result<PathBuf, Failure> {
    let mut random = [0; 8];
    let drawn = getrandom::fill(&mut random);
    let number = match drawn {
        Ok(()) => u64::from_le_bytes(random),
        Err(_) => u64::from(std::process::id()),
    };
    let top = store.root().join("views").join(format!("{number:016x}"));
    if let Ok(mut views) = VIEWS.lock() {
        views.push(top.clone());
    }
    // Its name is what a person would call it.
    let name = run.tags.first().cloned();
    let folder = top.join(name.unwrap_or_else(|| run.head.chars().take(12).collect()));
    store
        .view(run, &folder)
        .map_err(|failure| failed(&failure, json))?;
    Ok(folder)
}

/// Removes what [`view`] made.
pub(crate) fn drop_views() {
    if let Ok(mut views) = VIEWS.lock() {
        for view in views.drain(..) {
            // What stays is removed by a later `mmhc store gc`.
            let _ = std::fs::remove_dir_all(view);
        }
    }
}

/// Removes views that killed processes left.
fn drop_old_views(store: &Store) {
    for entry in std::fs::read_dir(store.root().join("views"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let age = entry.metadata().and_then(|about| about.modified());
        let age = age.ok().and_then(|then| then.elapsed().ok());
        if age.is_some_and(|age| age > Duration::from_secs(24 * 3600)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The run folder that `name` means: one that is there, or a run of the store, to read from.
///
/// Errors: the store does not know it either.
pub(crate) fn locate(name: &Path, json: bool) -> Result<Option<PathBuf>, Failure> {
    if name.join("journal").is_file() {
        return Ok(Some(name.to_path_buf()));
    }
    let (Some(text), Some(store)) = (name.to_str(), known()) else {
        return Ok(None);
    };
    match store.find(text) {
        Ok(run) => view(&store, &run, json).map(Some),
        Err(StoreFailure::Unknown { .. }) => Ok(None),
        Err(failure) => Err(failed(&failure, json)),
    }
}

/// A run of the store by its head, and a folder to read it from; none where the store does not have it.
pub(crate) fn look_into(head: &str, json: bool) -> Result<Option<(Kept, PathBuf)>, Failure> {
    let Some(store) = known() else {
        return Ok(None);
    };
    let run = store.run(head).map_err(|failure| failed(&failure, json))?;
    let Some(run) = run else {
        return Ok(None);
    };
    let folder = view(&store, &run, json)?;
    Ok(Some((run, folder)))
}

/// The tags of a run in the store.
pub(crate) fn tags_of(head: &str) -> Vec<String> {
    let tags = known()
        .and_then(|store| store.tags().ok())
        .unwrap_or_default();
    let of = tags.into_iter().filter(|(_, other)| other == head);
    of.map(|(tag, _)| tag).collect()
}

/// A number of bytes for people.
pub(crate) fn amount(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.0} KB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
