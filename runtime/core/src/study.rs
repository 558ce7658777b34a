//! The folder of a search: its journal, the run folders of its trials, and the best of them as the folder's own run.
//!
//! | name | holds |
//! |---|---|
//! | `study/journal` | what happened, hash-chained, in the order in which it happened |
//! | `study/trials/HASH/` | the run folder of the trials with that plan |
//!
//! The journal's order depends on who was done first; the study itself, and its hash, do not.

use crate::failure::RunFailure;
use crate::files::{Files, read_if_there, replace};
use crate::folder::{Lock, RecipeText, inside, lock, set_aside};
use crate::journal::{Journal, Line, now};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One thing that happened in a search. Figures stand as the hex digits of their bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StudyEvent {
    /// A search began.
    Start {
        /// Edition of the folder's format: [`crate::journal::EDITION`].
        edition: u32,
        /// Hash of the recipe.
        recipe_hash: String,
        /// All that decides the search, as text.
        search: String,
        /// Steps after which every training is ended, as asked for.
        limit: Option<String>,
    },
    /// It was gone on with.
    Resume,
    /// A trial was proposed.
    Trial {
        /// Its number, from 0.
        trial: u64,
        /// Its settings by name.
        settings: Value,
    },
    /// A trial was trained to a rung.
    Result {
        /// Its number.
        trial: u64,
        /// The rung, from 0.
        rung: u64,
        /// Hash of its plan.
        plan_hash: String,
        /// What came of it.
        outcome: Stored,
        /// The figures beside the first, in the order of the search.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<String>,
        /// The watched figure by steps, as far as it was measured.
        curve: Vec<(u64, String)>,
    },
    /// A trial failed for a reason that is none of its settings; it is tried once more, alone.
    Failed {
        /// Its number.
        trial: u64,
        /// The rung.
        rung: u64,
        /// What happened.
        reason: String,
    },
    /// The search is over.
    End {
        /// Hash of the study.
        study_hash: String,
        /// Number of the best trial.
        best: u64,
        /// Hash of its model.
        model_hash: String,
    },
}

/// What came of training a trial to a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stored {
    /// The figure.
    Value(String),
    /// A value stopped being finite after so many steps.
    Diverged(u64),
    /// It needs so many bytes, more than the recipe allows.
    Infeasible(u64),
}

/// A search's folder at work. Another process cannot open it while this lives.
pub struct StudyFolder {
    /// The folder of the whole run.
    pub path: PathBuf,
    /// The study's journal.
    pub journal: Journal,
    /// What was in the journal when it was opened; nothing for a new search.
    pub lines: Vec<Line<StudyEvent>>,
    files: Arc<dyn Files>,
    _lock: Option<Lock>,
}

impl StudyFolder {
    /// Opens a folder to go on with the search in it (`resume`), or to start one. What is there and not gone on with is put
    /// aside in `previous/`.
    ///
    /// Errors: the search there is another one; its journal was changed; another process is at work.
    pub fn open(
        files: Arc<dyn Files>,
        path: &Path,
        resume: bool,
        start: &StudyEvent,
    ) -> Result<Self, RunFailure> {
        let io = |path: &Path, error| RunFailure::io(path, &error);
        files.make_folder(path).map_err(|error| io(path, error))?;
        let lock = lock(path)?;
        let study = path.join("study");
        let place = study.join("journal");
        if resume
            && let Some((journal, lines)) = Journal::open::<StudyEvent>(Arc::clone(&files), &place)?
            && let Some(first) = lines.first()
        {
            same(&first.entry, start)?;
            let path = path.to_path_buf();
            let mut folder = Self {
                path,
                journal,
                lines,
                files,
                _lock: lock,
            };
            if !matches!(
                folder.lines.last().map(|line| &line.entry),
                Some(StudyEvent::End { .. })
            ) {
                folder.add(&StudyEvent::Resume, false)?;
            }
            return Ok(folder);
        }
        set_aside(&*files, path)?;
        files
            .make_folder(&study)
            .map_err(|error| io(&study, error))?;
        let journal = Journal::create(Arc::clone(&files), &place);
        let path = path.to_path_buf();
        let mut folder = Self {
            path,
            journal,
            lines: Vec::new(),
            files,
            _lock: lock,
        };
        folder.add(start, true)?;
        Ok(folder)
    }

    /// Adds a line; `sync` makes it last before this returns.
    pub fn add(&mut self, event: &StudyEvent, sync: bool) -> Result<(), RunFailure> {
        self.journal.add(event, json!({ "time": now() }), sync)
    }

    /// The run folder of the trials whose plan has this hash.
    pub fn trial(&self, plan_hash: &str) -> PathBuf {
        let digits = plan_hash.rsplit(':').next().unwrap_or_default();
        let short: String = digits
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(24)
            .collect();
        self.path.join("study").join("trials").join(short)
    }

    /// Makes a finished trial's run the folder's own, file by file as its journal has them. `metrics` and `report` tell of the
    /// whole study, and lie in `study`.
    pub fn adopt(
        &self,
        trial: &Path,
        recipe: &RecipeText,
        metrics: &Value,
        report: &str,
    ) -> Result<(), RunFailure> {
        let files = &*self.files;
        for name in [
            "model.safetensors",
            "statistics.json",
            "recipe.mmh",
            "mmh.lock",
            "plan",
            "journal",
            "metrics.json",
            "report.html",
        ] {
            let from = trial.join(name);
            let missing = || RunFailure::File {
                path: from.clone(),
                reason: "it is not there".to_owned(),
            };
            let bytes = read_if_there(files, &from)?.ok_or_else(missing)?;
            replace(files, &self.path.join(name), &bytes)?;
        }
        for (name, text) in &recipe.used {
            let target = self.path.join("recipe").join(inside(name));
            if let Some(folder) = target.parent() {
                files
                    .make_folder(folder)
                    .map_err(|error| RunFailure::io(folder, &error))?;
            }
            replace(files, &target, text.as_bytes())?;
        }
        replace(
            files,
            &self.path.join("study").join("metrics.json"),
            format!("{metrics:#}\n").as_bytes(),
        )?;
        let page = self.path.join("study").join("report.html");
        replace(files, &page, report.as_bytes())
    }
}

fn same(stored: &StudyEvent, wanted: &StudyEvent) -> Result<(), RunFailure> {
    let (
        StudyEvent::Start {
            recipe_hash,
            search,
            limit,
            ..
        },
        StudyEvent::Start {
            recipe_hash: recipe,
            search: wanted,
            limit: until,
            ..
        },
    ) = (stored, wanted)
    else {
        return Ok(());
    };
    let shown = |limit: &Option<String>| limit.clone().unwrap_or_else(|| "none".to_owned());
    for (what, stored, wanted) in [
        ("recipe", recipe_hash.clone(), recipe.clone()),
        ("search", search.clone(), wanted.clone()),
        ("limit", shown(limit), shown(until)),
    ] {
        if stored != wanted {
            return Err(RunFailure::ResumeMismatch {
                what,
                stored,
                wanted,
            });
        }
    }
    Ok(())
}
