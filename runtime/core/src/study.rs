//! The folder of a search: its journal, the run folders of its trials, and the best of them as the folder's own run.
//!
//! | name | holds |
//! |---|---|
//! | `study/journal` | what happened, hash-chained, in the order in which it happened |
//! | `study/trials/HASH/` | the run folder of the trials with that plan |
//! | `study/stored/HASH/` | what such a trial takes from the store, until it did |
//!
//! The journal's order depends on who was done first; the study itself, and its hash, do not.

use crate::failure::RunFailure;
use crate::files::{Files, read_if_there, replace};
use crate::folder::{Lock, RecipeText, inside, lock, set_aside};
use crate::journal::{Event, Journal, Line, now, read};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
        /// The training that trials run.
        run: String,
        /// Steps after which every training is ended, as asked for.
        limit: Option<String>,
    },
    /// It was gone on with.
    Resume,
    /// A trial was proposed.
    Trial {
        /// Its number, from 0.
        trial: u64,
        /// Its settings by name, for people.
        settings: Value,
        /// Its settings as the search has them, a word for each site.
        point: String,
        /// Proposals that the recipe's constraint refused before.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u64,
        /// Whether the constraint refused this one as well.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        refused: bool,
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
        /// Where it can be seen; nowhere if nothing was trained.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        witness: Option<Witness>,
        /// Steps that were taken from the store.
        #[serde(default, skip_serializing_if = "is_zero")]
        stored: u64,
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
        /// Hash of the last line of its journal.
        head: String,
        /// blake3 of the files in `study` that tell of the search.
        files: BTreeMap<String, String>,
    },
}

/// The run folder that shows a result: the trial's own, or that of one that began alike and went as far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Hash of its plan.
    pub plan_hash: String,
    /// The last step up to the rung whose state its journal has.
    pub step: u64,
    /// Hash of that state.
    pub state: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
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

    /// Hash of the last line of the journal that the folder itself holds, of the best trial's run; empty if there is none.
    pub fn head(&self) -> Result<String, RunFailure> {
        let bytes = read_if_there(&*self.files, &self.path.join("journal"))?;
        let lines = read::<Event>(&bytes.unwrap_or_default()).map(|(lines, _)| lines);
        let last = lines.unwrap_or_default().pop();
        Ok(last.map_or(String::new(), |line| line.hash))
    }

    /// The run folder of the trials whose plan has this hash.
    pub fn trial(&self, plan_hash: &str) -> PathBuf {
        self.path.join(trial_folder(plan_hash))
    }

    /// What the run folder of the trials with this plan shows of `training` up to step `end`; none if it shows nothing.
    pub fn witness(&self, plan_hash: &str, training: &str, end: u64) -> Option<Witness> {
        let journal = self.trial(plan_hash).join("journal");
        let bytes = read_if_there(&*self.files, &journal).ok()??;
        let (lines, _) = read::<Event>(&bytes).ok()?;
        let marks = lines.iter().filter_map(|line| match &line.entry {
            Event::State {
                training: of,
                step,
                state,
                ..
            } if of == training && *step <= end => Some((*step, state)),
            _ => None,
        });
        let (step, state) = marks.max_by_key(|(step, _)| *step)?;
        Some(Witness {
            plan_hash: plan_hash.to_owned(),
            step,
            state: state.clone(),
        })
    }

    /// Where what the store has for the trials with a plan of this hash is put while they take from it.
    pub fn stored(&self, plan_hash: &str) -> PathBuf {
        let trial = self.trial(plan_hash);
        let name = trial.file_name().unwrap_or_default();
        self.path.join("study").join("stored").join(name)
    }

    /// Makes a finished trial's run the folder's own, file by file as its journal has them. `metrics` and `report` tell of the
    /// whole study, and lie in `study`; their blake3 is given back.
    pub fn adopt(
        &self,
        trial: &Path,
        recipe: &RecipeText,
        metrics: &Value,
        report: &str,
    ) -> Result<BTreeMap<String, String>, RunFailure> {
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
        let mut hashes = BTreeMap::new();
        for (name, text) in [
            ("metrics.json", format!("{metrics:#}\n")),
            ("report.html", report.to_owned()),
        ] {
            replace(files, &self.path.join("study").join(name), text.as_bytes())?;
            let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
            hashes.insert(name.to_owned(), hash);
        }
        Ok(hashes)
    }
}

/// Where the run folder of the trials with this plan stands in a search's folder.
pub(crate) fn trial_folder(plan_hash: &str) -> PathBuf {
    let digits = plan_hash.rsplit(':').next().unwrap_or_default();
    let short: String = digits
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(24)
        .collect();
    Path::new("study").join("trials").join(short)
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
