//! Looking back at a run: is its folder whole, and does it come out again?
//!
//! [`examine`] reads a folder and names everything that is not as the run left it, in seconds and without data. [`Again`]
//! does steps of the run again, some or all, and compares. [`compare`] sets two runs side by side.
//!
//! A folder without a signature that passes is *consistent*: its parts agree. Who rewrites all of them consistently is
//! found out by doing steps again alone.

mod again;
mod chain;
pub mod compare;
mod files;
mod steps;
mod study;

pub use again::{Again, Reached, Spot, find_data, find_file, nearest, replay};
pub use study::{ExaminedStudy, STUDY_JOURNAL, examine_study};

use crate::failure::RunFailure;
use crate::files::Disk;
use crate::folder::run_files;
use crate::journal::{Event, Line, TrailEnd, check_edition};
use crate::model::{Entry, entries, model_hash};
use crate::predict::StoredModel;
use crate::session::prefix;
use mmh_ir::Plan;
use mmh_ir::plan::{FilePlan, SourcePlan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Something that is not as the run left it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The file, by its name in the folder.
    pub file: String,
    /// What was changed, such as `line 7 was changed`.
    pub what: String,
}

/// A run folder that was read.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The folder.
    pub folder: PathBuf,
    /// What is not as the run left it, in the order in which it was found.
    pub changes: Vec<Change>,
    /// What is no change but worth knowing.
    pub notes: Vec<String>,
    /// Lines of the journal.
    pub lines: Vec<Line>,
    /// The plan, where it can be read.
    pub plan: Option<Plan>,
    /// Marks that were checked.
    pub marks: u64,
    /// Files whose hash was compared.
    pub files: u64,
}

/// The first line of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Hash of the plan.
    pub plan_hash: &'a str,
    /// Hash of the recipe.
    pub recipe_hash: &'a str,
    /// Root seed.
    pub seed: &'a str,
    /// Hash of the data.
    pub data_hash: &'a str,
    /// blake3 of the files given.
    pub files: &'a BTreeMap<String, String>,
    /// The run before it.
    pub parent: Option<&'a crate::journal::Parent>,
    /// The models that trainings begin with.
    pub bases: &'a [crate::journal::Base],
}

/// The last line of a journal of a run that ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Hash of the model.
    pub model_hash: &'a str,
    /// Steps of all trainings.
    pub steps: u64,
    /// Steps each training was to do.
    pub wanted: &'a [u64],
    /// Metrics by section, part and name.
    pub metrics: &'a Value,
    /// What each trail comes to.
    pub trails: &'a [TrailEnd],
    /// blake3 of the files left.
    pub files: &'a BTreeMap<String, String>,
    /// Device, threads and time.
    pub wall: &'a Value,
}

/// Reads a run folder and compares all its parts with one another.
///
/// Errors: the folder or its journal cannot be read at all. What is wrong with it is in the result.
pub fn examine(folder: &Path) -> Result<Examined, RunFailure> {
    let journal = folder.join("journal");
    let bytes = std::fs::read(&journal).map_err(|error| RunFailure::io(&journal, &error))?;
    check_edition(&journal, &bytes)?;
    let (lines, changes) = chain::follow("journal", &bytes);
    let mut found = Examined {
        changes,
        lines,
        ..Examined::nothing(folder)
    };
    files::check(&mut found)?;
    steps::check(&mut found)?;
    found.changes.dedup();
    Ok(found)
}

/// The same, for whoever wants a folder that is whole and no other.
///
/// Errors: [`RunFailure::Damaged`] names the first file that is not as the run left it.
pub fn verify(folder: &Path) -> Result<Examined, RunFailure> {
    let found = examine(folder)?;
    match found.changes.first() {
        None => Ok(found),
        Some(change) => Err(RunFailure::Damaged {
            path: folder.join(&change.file),
            reason: change.what.clone(),
        }),
    }
}

impl Examined {
    /// A folder in which no run is yet.
    pub fn nothing(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            changes: Vec::new(),
            notes: Vec::new(),
            lines: Vec::new(),
            plan: None,
            marks: 0,
            files: 0,
        }
    }

    /// The first line, if it is the start of a run.
    pub fn start(&self) -> Option<Start<'_>> {
        let Event::Start {
            plan_hash,
            recipe_hash,
            seed,
            data_hash,
            files,
            parent,
            bases,
            edition: _,
        } = &self.lines.first()?.entry
        else {
            return None;
        };
        Some(Start {
            plan_hash,
            recipe_hash,
            seed,
            data_hash,
            files,
            parent: parent.as_ref(),
            bases,
        })
    }

    /// The last line, if it is the end of a run.
    pub fn end(&self) -> Option<End<'_>> {
        let last = self.lines.last()?;
        let Event::End {
            model_hash,
            steps,
            wanted,
            metrics,
            trails,
            files,
        } = &last.entry
        else {
            return None;
        };
        Some(End {
            model_hash,
            steps: *steps,
            wanted,
            metrics,
            trails,
            files,
            wall: &last.wall,
        })
    }

    /// Hash of the model; none while the run has not ended.
    pub fn model_hash(&self) -> Option<&str> {
        self.end().map(|end| end.model_hash)
    }

    /// Hash of the journal's last line; empty if it has none.
    pub fn head(&self) -> &str {
        self.lines.last().map_or("", |line| &line.hash)
    }

    pub(crate) fn add(&mut self, file: &str, what: impl Into<String>) {
        self.changes.push(Change {
            file: file.to_owned(),
            what: what.into(),
        });
    }

    /// The bytes of a file of the folder; none where it is missing.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, RunFailure> {
        crate::files::read_if_there(&Disk, &self.folder.join(name))
    }

    /// Files in the folder that no run writes, sorted.
    pub(crate) fn strangers(&self) -> Vec<String> {
        let mut names = Vec::new();
        if let Ok(entries) = std::fs::read_dir(&self.folder) {
            names.extend(entries.flatten().map(|entry| entry.file_name()));
        }
        let mut names: Vec<String> = names
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| !run_files().contains(&name.as_str()))
            .collect();
        names.sort_unstable();
        names
    }
}

/// Every file that a run reads, beside the name of its data set or training: data, then weights.
pub fn inputs_of(plan: &Plan) -> Vec<(&str, &FilePlan)> {
    let data = plan.data.iter().flat_map(|set| {
        let files = files_of(&set.source).into_iter();
        files.map(|file| (set.name.as_str(), file))
    });
    let weights = plan
        .trainings
        .iter()
        .filter_map(|training| Some((training.name.as_str(), training.start.as_ref()?)));
    data.chain(weights).collect()
}

/// The files of a data source, in the plan's order.
pub fn files_of(source: &SourcePlan) -> Vec<&FilePlan> {
    match source {
        SourcePlan::Csv { file, .. }
        | SourcePlan::Text { file, .. }
        | SourcePlan::Bytes { file, .. } => vec![file],
        SourcePlan::Idx { images, labels } => images.iter().chain(labels).collect(),
    }
}

impl StoredModel {
    /// Hash of the model.
    pub fn hash(&self) -> String {
        let mut model: Vec<Entry<'_>> = Vec::new();
        for (training, state) in self.plan.trainings.iter().zip(&self.states) {
            model.extend(entries(
                &training.state,
                state,
                &prefix(&self.plan, training),
            ));
        }
        model.sort_by(|a, b| a.path.cmp(&b.path));
        model_hash(&model)
    }
}
