//! The folder of a search: its journal, the run folders of its trials, and that each result is what its run shows.
//!
//! How settings came about and what was decided from the results is the search's business: whoever knows it goes on from the
//! lines that are given here.

use super::{Change, Examined, chain, examine};
use crate::failure::RunFailure;
use crate::files::{Disk, read_if_there};
use crate::journal::{Event, Line, check_edition};
use crate::study::{Stored, StudyEvent, Witness, trial_folder};
use mmh_ir::plan::Training;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The study's journal, by its name in the folder.
pub const STUDY_JOURNAL: &str = "study/journal";

/// A search that was read.
#[derive(Clone, Debug)]
pub struct ExaminedStudy {
    /// Lines of its journal.
    pub lines: Vec<Line<StudyEvent>>,
    /// The runs of its trials by the hash of their plan.
    pub trials: BTreeMap<String, Examined>,
    /// What is not as the search left it.
    pub changes: Vec<Change>,
    /// What is no change but worth knowing.
    pub notes: Vec<String>,
    /// Results that a run shows.
    pub shown: u64,
}

/// Reads the search that a run folder came from, if it came from one.
///
/// Errors: its journal, or that of a trial, cannot be read at all.
pub fn examine_study(root: &Examined) -> Result<Option<ExaminedStudy>, RunFailure> {
    let place = root.folder.join(STUDY_JOURNAL);
    let Some(bytes) = read_if_there(&Disk, &place)? else {
        return Ok(None);
    };
    check_edition(&place, &bytes)?;
    let (lines, changes) = chain::follow::<StudyEvent>(STUDY_JOURNAL, &bytes);
    let mut found = ExaminedStudy {
        lines,
        trials: BTreeMap::new(),
        changes,
        notes: Vec::new(),
        shown: 0,
    };
    let Some(StudyEvent::Start { run, .. }) = found.lines.first().map(|line| &line.entry) else {
        found.add(
            STUDY_JOURNAL,
            "it does not begin with the start of a search",
        );
        return Ok(Some(found));
    };
    let run = run.clone();
    found.read_trials(&root.folder)?;
    found.compare_results(&run);
    found.compare_end(root)?;
    Ok(Some(found))
}

impl ExaminedStudy {
    /// Names what is not as the search left it.
    pub fn add(&mut self, file: &str, what: impl Into<String>) {
        self.changes.push(Change {
            file: file.to_owned(),
            what: what.into(),
        });
    }

    /// Reads the run folders that results name, and notes those that none names.
    fn read_trials(&mut self, folder: &Path) -> Result<(), RunFailure> {
        let named: BTreeSet<String> = self
            .lines
            .iter()
            .filter_map(|line| witness(&line.entry))
            .map(|witness| witness.plan_hash.clone())
            .collect();
        // A result that another run shows may have a run of its own, such as that of the best.
        let own = self.lines.iter().filter_map(|line| match &line.entry {
            StudyEvent::Result { plan_hash, .. } => Some(plan_hash.clone()),
            _ => None,
        });
        let own = own.filter(|own| folder.join(shown(own)).join("journal").is_file());
        let named: BTreeSet<String> = named.into_iter().chain(own).collect();
        let mut known = BTreeSet::new();
        for plan_hash in named {
            let name = shown(&plan_hash);
            let place = folder.join(&name);
            known.insert(name.clone());
            if !place.join("journal").is_file() {
                self.add(&name, "it is missing: results of the search name it");
                continue;
            }
            let trial = examine(&place)?;
            for change in &trial.changes {
                self.add(&format!("{name}/{}", change.file), change.what.clone());
            }
            match trial.start().map(|start| start.plan_hash.to_owned()) {
                Some(own) if own != plan_hash => self.add(
                    &name,
                    "it was exchanged: it holds the run of another plan than the results name",
                ),
                Some(_) | None => {}
            }
            self.trials.insert(plan_hash, trial);
        }
        let trials = folder.join("study").join("trials");
        let mut strangers: Vec<String> = std::fs::read_dir(trials)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| format!("study/trials/{}", entry.file_name().to_string_lossy()))
            .filter(|name| !known.contains(name))
            .collect();
        strangers.sort_unstable();
        if !strangers.is_empty() {
            let names = strangers.join("`, `");
            self.notes
                .push(format!("no result of the search names `{names}`"));
        }
        Ok(())
    }

    /// Every result against the run that is to show it.
    fn compare_results(&mut self, run: &str) {
        let mut wrong = Vec::new();
        let mut shown_by_run = 0;
        for line in &self.lines {
            let StudyEvent::Result {
                trial,
                outcome,
                curve,
                witness,
                ..
            } = &line.entry
            else {
                continue;
            };
            let place = format!("line {}, trial {}", line.n + 1, trial + 1);
            let Some(witness) = witness else {
                if !matches!(outcome, Stored::Infeasible(_)) {
                    wrong.push(format!("{place}: it names no run that shows it"));
                }
                continue;
            };
            let Some(examined) = self.trials.get(&witness.plan_hash) else {
                continue;
            };
            let said = differs(examined, run, outcome, curve, witness);
            shown_by_run += u64::from(said.is_none());
            wrong.extend(said.map(|said| format!("{place}: {said}")));
        }
        self.shown = shown_by_run;
        for what in wrong {
            self.add(STUDY_JOURNAL, what);
        }
    }

    /// The last line against the run in the folder and the files that tell of the search.
    fn compare_end(&mut self, root: &Examined) -> Result<(), RunFailure> {
        let last = self.lines.last().map(|line| line.entry.clone());
        let Some(StudyEvent::End {
            model_hash,
            head,
            files,
            ..
        }) = last
        else {
            let has_result =
                root.end().is_some() || root.folder.join("study").join("metrics.json").exists();
            match has_result {
                true => self.add(
                    STUDY_JOURNAL,
                    "the search has a result, but the journal ends before it: the lines of its end are missing",
                ),
                false => self.notes.push("the search has not ended".to_owned()),
            }
            return Ok(());
        };
        if root.model_hash() != Some(model_hash.as_str()) {
            self.add(
                STUDY_JOURNAL,
                "the model in its last line is not the model of the run in the folder",
            );
        }
        if root.head() != head {
            self.add(
                "journal",
                "it was exchanged: the run in the folder is not the one that the search ended with",
            );
        }
        for name in ["metrics.json", "report.html"] {
            let shown = format!("study/{name}");
            let bytes = read_if_there(&Disk, &root.folder.join(&shown))?;
            let hash = bytes.map(|bytes| blake3::hash(&bytes).to_hex().to_string());
            match (hash, files.get(name)) {
                (None, _) => self.add(&shown, "it is missing"),
                (Some(_), None) => self.add(
                    STUDY_JOURNAL,
                    format!("its last line does not name `{name}`"),
                ),
                (Some(own), Some(named)) if own != *named => self.add(
                    &shown,
                    "it was changed: its blake3 is not the one in the journal",
                ),
                (Some(_), Some(_)) => {}
            }
        }
        Ok(())
    }
}

fn witness(event: &StudyEvent) -> Option<&Witness> {
    match event {
        StudyEvent::Result { witness, .. } => witness.as_ref(),
        _ => None,
    }
}

/// A trial's folder, by its name in the folder of the search.
fn shown(plan_hash: &str) -> String {
    let parts = trial_folder(plan_hash);
    let parts: Vec<_> = parts.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// What a run shows otherwise than a result says.
fn differs(
    examined: &Examined,
    run: &str,
    outcome: &Stored,
    curve: &[(u64, String)],
    witness: &Witness,
) -> Option<String> {
    let plan = examined.plan.as_ref()?;
    let Some(training) = plan.trainings.iter().find(|it| it.name == run) else {
        return Some(format!("its run has no training `{}`", run.escape_debug()));
    };
    let has_state = examined.lines.iter().any(|line| match &line.entry {
        Event::State {
            training,
            step,
            state,
            ..
        } => training == run && *step == witness.step && *state == witness.state,
        _ => false,
    });
    if !has_state {
        return Some(format!(
            "its run does not have the state it names after {} steps",
            witness.step
        ));
    }
    match outcome {
        Stored::Value(_) => curve_differs(examined, training, curve, witness.step),
        Stored::Diverged(after) => {
            let told = examined.lines.iter().any(|line| match &line.entry {
                Event::NotFinite { training, step, .. } => training == run && step == after,
                _ => false,
            });
            (!told).then(|| {
                format!("it says that the training diverged after {after} steps, its run does not")
            })
        }
        Stored::Infeasible(_) => Some("a trial that is not allowed has a run".to_owned()),
    }
}

/// The watched figures of a result against the measurements of its run.
fn curve_differs(
    examined: &Examined,
    training: &Training,
    curve: &[(u64, String)],
    until: u64,
) -> Option<String> {
    let watch = training.watch.as_ref()?;
    let every = watch.every.max(1);
    let mut measured = BTreeMap::new();
    for line in &examined.lines {
        if let Event::Watch {
            training: of,
            step,
            metrics,
            ..
        } = &line.entry
            && *of == training.name
        {
            measured.insert(*step, super::steps::watched(watch, metrics));
        }
    }
    for (step, bits) in curve {
        let said = u64::from_str_radix(bits, 16).map(f64::from_bits);
        let same = |there: &f64| {
            said.as_ref().is_ok_and(|said| {
                said.to_bits() == there.to_bits() || said.is_nan() && there.is_nan()
            })
        };
        if !measured.get(step).is_some_and(same) {
            return Some(format!(
                "what was watched after {step} steps is not what its run measured"
            ));
        }
    }
    let counts = |step: u64| step.is_multiple_of(every) || step == training.steps;
    let due = measured
        .keys()
        .filter(|step| **step <= until && counts(**step));
    let said: BTreeSet<u64> = curve.iter().map(|(step, _)| *step).collect();
    due.copied()
        .find(|step| !said.contains(step))
        .map(|step| format!("what its run measured after {step} steps is left out"))
}
