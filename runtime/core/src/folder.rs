//! The run folder: what stands where, and how a run begins, goes on and ends in it.
//!
//! | name | holds |
//! |---|---|
//! | `journal` | what happened, hash-chained |
//! | `checkpoints/TRAINING/` | the newest checkpoint of each training |
//! | `plan`, `recipe.mmh`, `recipe/` | the plan; the recipe and the files it uses |
//! | `mmh.lock` | hashes of the data |
//! | `model.safetensors`, `statistics.json` | the model, and what it knows of its training rows |
//! | `metrics.json`, `report.html` | the result |
//! | `study/` | of a search: its journal and its trials, each a run folder |
//! | `signatures/` | signatures, where the run was signed |
//! | `previous/` | journal, checkpoints, study and signatures of the run that a new one took the place of |

use crate::data::{Dataset, data_hash};
use crate::failure::RunFailure;
use crate::files::{Files, read_if_there, remove_if_there, replace, replace_all};
use crate::journal::{Base, EDITION, Event, Journal, Line, Parent, TrailEnd, now, read};
use crate::trail::Trail;
use mmh_ir::Plan;
use mmh_ir::plan::Training;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The names that a run folder holds.
pub fn run_files() -> &'static [&'static str] {
    &[
        ".lock",
        "checkpoints",
        "journal",
        "metrics.json",
        "mmh.lock",
        "model.safetensors",
        "plan",
        "previous",
        "recipe",
        "recipe.mmh",
        "report.html",
        "signatures",
        "statistics.json",
        "study",
        "trace.json",
    ]
}

/// The text of a recipe and of the files it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipeText {
    /// The recipe.
    pub text: String,
    /// Files it uses, by path relative to it.
    pub used: Vec<(String, String)>,
}

/// A run folder at work. Another process cannot open it while this lives.
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// Its journal.
    pub journal: Journal,
    /// Lines that were in the journal when it was opened; none for a new run.
    pub lines: Vec<Line>,
    /// The trails of the trainings that are done.
    pub trails: Vec<TrailEnd>,
    /// How it is written to.
    pub files: Arc<dyn Files>,
    _lock: Option<Lock>,
}

/// What a run is known by.
pub(crate) struct Identity<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) plan_hash: &'a str,
    pub(crate) data: &'a [Dataset],
    pub(crate) recipe: &'a RecipeText,
}

impl RunFolder {
    /// Opens a folder to go on with the run in it (`resume`), or to start one. A run that is there and not gone on with is
    /// put aside in `previous/`.
    ///
    /// Errors: the run there has another plan or data; its journal was changed; another process is at work.
    pub(crate) fn open(
        files: Arc<dyn Files>,
        path: &Path,
        resume: bool,
        identity: &Identity<'_>,
    ) -> Result<Self, RunFailure> {
        files
            .make_folder(path)
            .map_err(|error| RunFailure::io(path, &error))?;
        let lock = lock(path)?;
        let journal_path = path.join("journal");
        if resume
            && let Some((journal, lines)) = Journal::open(Arc::clone(&files), &journal_path)?
            && let Some(first) = lines.first()
        {
            check_identity(first, identity)?;
            return Ok(Self {
                path: path.to_path_buf(),
                journal,
                lines,
                trails: Vec::new(),
                files,
                _lock: lock,
            });
        }
        let parent = parent(&*files, path);
        set_aside(&*files, path)?;
        let given = write_inputs(&*files, path, identity)?;
        let mut journal = Journal::create(Arc::clone(&files), &journal_path);
        let start = Event::Start {
            edition: EDITION,
            plan_hash: identity.plan_hash.to_owned(),
            recipe_hash: identity.plan.recipe_hash.clone(),
            seed: identity.plan.seed.clone(),
            data_hash: data_hash(identity.data),
            files: given,
            parent,
            bases: bases(identity.data),
        };
        journal.add(
            &start,
            json!({ "time": now(), "version": env!("CARGO_PKG_VERSION") }),
            true,
        )?;
        Ok(Self {
            path: path.to_path_buf(),
            journal,
            lines: Vec::new(),
            trails: Vec::new(),
            files,
            _lock: lock,
        })
    }

    /// Writes a file of the folder whole and gives its blake3.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<String, RunFailure> {
        replace(&*self.files, &self.path.join(name), bytes)?;
        Ok(blake3::hash(bytes).to_hex().to_string())
    }

    /// Takes down what the trail of a training that is done comes to.
    pub(crate) fn close(&mut self, training: &Training, trail: &Trail) {
        self.trails.retain(|other| other.training != training.name);
        self.trails.push(TrailEnd {
            training: training.name.clone(),
            marks: trail.marks().len() as u64,
            root: trail.root().to_hex().to_string(),
        });
    }

    /// Whether the journal names a checkpoint of this hash.
    pub(crate) fn has_checkpoint(&self, hash: &str) -> bool {
        self.lines.iter().any(|line| match &line.entry {
            Event::Checkpoint { checkpoint, .. } => checkpoint == hash,
            Event::Resume { checkpoint, .. } => checkpoint.as_deref() == Some(hash),
            _ => false,
        })
    }

    /// Whether the journal has a line of this hash.
    pub(crate) fn knows(&self, head: &str) -> bool {
        self.lines.iter().any(|line| line.hash == head)
    }
}

/// The folder of a training's checkpoints.
pub(crate) fn checkpoint_folder(path: &Path, training: usize, name: &str) -> PathBuf {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    path.join("checkpoints").join(format!("{training}-{plain}"))
}

fn check_identity(first: &Line, identity: &Identity<'_>) -> Result<(), RunFailure> {
    let Event::Start {
        plan_hash,
        data_hash: stored,
        ..
    } = &first.entry
    else {
        return Ok(());
    };
    let wanted = data_hash(identity.data);
    let mismatch = |what, stored: &str, wanted: &str| RunFailure::ResumeMismatch {
        what,
        stored: stored.to_owned(),
        wanted: wanted.to_owned(),
    };
    if plan_hash != identity.plan_hash {
        return Err(mismatch("plan", plan_hash, identity.plan_hash));
    }
    if *stored != wanted {
        return Err(mismatch("data", stored, &wanted));
    }
    Ok(())
}

/// The run that is in the folder, if its journal can be read: a new one takes its place all the same.
fn parent(files: &dyn Files, path: &Path) -> Option<Parent> {
    let bytes = read_if_there(files, &path.join("journal")).ok()??;
    let (lines, _) = read::<Event>(&bytes).ok()?;
    let Event::Start { recipe_hash, .. } = &lines.first()?.entry else {
        return None;
    };
    let last = lines.last()?;
    let model_hash = match &last.entry {
        Event::End { model_hash, .. } => Some(model_hash.clone()),
        _ => None,
    };
    Some(Parent {
        head: last.hash.clone(),
        recipe_hash: recipe_hash.clone(),
        model_hash,
    })
}

pub(crate) fn set_aside(files: &dyn Files, path: &Path) -> Result<(), RunFailure> {
    let names = files
        .list(path)
        .map_err(|error| RunFailure::io(path, &error))?;
    let there = |name: &str| names.iter().any(|known| known == name);
    if !there("journal") && !there("checkpoints") && !there("study") {
        return Ok(());
    }
    let previous = path.join("previous");
    remove_if_there(files, &previous)?;
    let moved = files.make_folder(&previous).and_then(|()| {
        // The journal goes last: while it is there, what is left can be gone on with.
        for name in ["checkpoints", "study", "signatures", "journal"]
            .into_iter()
            .filter(|name| there(name))
        {
            files.rename(&path.join(name), &previous.join(name))?;
        }
        files.sync_folder(path)
    });
    moved.map_err(|error| RunFailure::io(&previous, &error))
}

/// Writes what the run is given and gives the blake3 of each file by its name.
fn write_inputs(
    files: &dyn Files,
    path: &Path,
    identity: &Identity<'_>,
) -> Result<BTreeMap<String, String>, RunFailure> {
    let mut inputs = vec![
        ("plan".to_owned(), identity.plan.to_text()),
        ("recipe.mmh".to_owned(), identity.recipe.text.clone()),
    ];
    for (name, text) in &identity.recipe.used {
        let folder = Path::new("recipe").join(inside(name));
        inputs.push((slashed(&folder), text.clone()));
    }
    inputs.push(("mmh.lock".to_owned(), lock_text(identity.data)));
    let mut written = Vec::new();
    for (name, text) in &inputs {
        let target = path.join(name);
        if let Some(folder) = target.parent() {
            files
                .make_folder(folder)
                .map_err(|error| RunFailure::io(folder, &error))?;
        }
        written.push((target, text.as_bytes()));
    }
    replace_all(files, &written)?;
    let hash = |text: &String| blake3::hash(text.as_bytes()).to_hex().to_string();
    Ok(inputs
        .iter()
        .map(|(name, text)| (name.clone(), hash(text)))
        .collect())
}

/// A path inside the folder, the same on every system.
pub(crate) fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

/// The path without anything that leads out of a folder.
pub(crate) fn inside(name: &str) -> PathBuf {
    let plain = Path::new(name)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    plain.collect()
}

/// The models that trainings begin with.
fn bases(data: &[Dataset]) -> Vec<Base> {
    let weights = data.iter().flat_map(|set| &set.weights);
    weights
        .map(|(training, weights)| Base {
            training: training.clone(),
            path: weights.path.clone(),
            blake3: weights.blake3.clone(),
            model_hash: weights.model_hash.clone(),
            run: weights.run.clone(),
        })
        .collect()
}

fn lock_text(data: &[Dataset]) -> String {
    let entry = |set: &Dataset| {
        let file = |(path, hash): &(String, String)| json!({ "path": path, "blake3": hash });
        json!({
            "name": set.name,
            "content": format!("blake3:{}", set.hash.to_hex()),
            "files": set.files.iter().map(file).collect::<Vec<_>>(),
        })
    };
    let mut text = json!({ "data": data.iter().map(entry).collect::<Vec<_>>() });
    let weights: Vec<_> = bases(data)
        .iter()
        .map(|base| json!({ "training": base.training, "path": base.path, "blake3": base.blake3 }))
        .collect();
    if let Some(fields) = text.as_object_mut().filter(|_| !weights.is_empty()) {
        fields.insert("weights".to_owned(), weights.into());
    }
    format!("{text:#}\n")
}

/// A locked file.
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Unlocks by name: a child process forked a moment ago may still hold the file open.
    fn drop(&mut self) {
        // The system unlocks it in any case when the last holder ends.
        let _ = self.0.unlock();
    }
}

/// Locks the folder for this process; the system unlocks it however the process ends.
pub(crate) fn lock(path: &Path) -> Result<Option<Lock>, RunFailure> {
    let name = path.join(".lock");
    let file = File::create(&name).map_err(|error| RunFailure::io(&name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Err(RunFailure::Busy {
            path: path.to_path_buf(),
        }),
        // Some network file systems have no locks; a run there is not guarded.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(TryLockError::Error(error)) => Err(RunFailure::io(&name, &error)),
    }
}
