//! Devices that fail while a search is at work: a failure is never a result.

use super::conduct::Conductor;
use super::shared::Shared;
use super::trials::Trials;
use super::workers::MakeDevice;
use crate::args::{Cli, DeviceArgs, RunArgs, Verb};
use crate::front::{self, Checked};
use crate::outcome::{Exit, Failure};
use clap::Parser;
use mmh_cpu::Cpu;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_runtime::Disk;
use mmh_runtime::study::{StudyEvent, StudyFolder};
use mmh_search::{Status, Study};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Which runs of programs fail, counted over all devices of a search: from the first so many.
#[derive(Debug)]
struct Faults {
    runs: AtomicU64,
    first: u64,
    count: u64,
}

struct Faulty {
    inner: Cpu,
    faults: Arc<Faults>,
}

struct FaultyProgram {
    inner: Box<dyn Executable>,
    faults: Arc<Faults>,
}

impl Device for Faulty {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn isa(&self) -> &str {
        self.inner.isa()
    }

    fn threads(&self) -> usize {
        self.inner.threads()
    }

    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        Ok(Box::new(FaultyProgram {
            inner: self.inner.load(program, state)?,
            faults: Arc::clone(&self.faults),
        }))
    }
}

impl Executable for FaultyProgram {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let run = self.faults.runs.fetch_add(1, Ordering::SeqCst);
        match run.checked_sub(self.faults.first) {
            Some(since) if since < self.faults.count => {
                Err(RunError::Device("the bus is gone".to_owned()))
            }
            _ => self.inner.run(state, feed),
        }
    }
}

fn arguments(out: &Path, resume: bool) -> RunArgs {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/search.mmh");
    let mut words = vec!["mmhc".into(), "run".into(), recipe.into_os_string()];
    for set in [
        "tune.budget=8 trials",
        "tune.propose=tpe(startup = 3 trials)",
        "tune.method=full",
        "fit.length=2 epochs",
        "fit.schedule=cosine(2 epochs)",
    ] {
        words.extend(["--set".into(), set.into()]);
    }
    words.extend(["--workers".into(), "2".into(), "--out".into(), out.into()]);
    words.push("--no-store".into());
    if resume {
        words.push("--resume".into());
    }
    let Verb::Run(args) = Cli::try_parse_from(words).expect("arguments").verb else {
        unreachable!("the verb is `run`");
    };
    args
}

/// Runs the search with a device that fails; gives the study, what is in its journal, and how it ended.
fn search(
    out: &Path,
    resume: bool,
    first: u64,
    count: u64,
) -> (Study, Vec<StudyEvent>, Result<(), Failure>) {
    let args = arguments(out, resume);
    let checked: Checked = front::check(
        front::open(&args.recipe, false).expect("open"),
        &args.changes.set,
    );
    let recipe = checked.recipe(false).expect("a recipe");
    let search = recipe.declarations.search.as_ref().expect("a search");
    let start = StudyEvent::Start {
        edition: mmh_runtime::journal::EDITION,
        recipe_hash: recipe.declarations.recipe_hash.clone(),
        search: search.spec.text(),
        run: "fit".to_owned(),
        limit: None,
    };
    let folder = StudyFolder::open(Arc::new(Disk), out, resume, &start).expect("a folder");
    let faults = Arc::new(Faults {
        runs: AtomicU64::new(0),
        first,
        count,
    });
    let make = |own: &DeviceArgs| -> Option<Box<dyn Device>> {
        Some(Box::new(Faulty {
            inner: Cpu::new(own.threads.map_or(0, usize::from), own.isa),
            faults: Arc::clone(&faults),
        }))
    };
    let make: MakeDevice<'_> = &make;
    let study = Study::new(search.spec.clone()).expect("a study");
    let trials = Trials::new(&checked, search, false);
    let cancel = Arc::new(AtomicBool::new(false));
    let shared = Shared::open(&args);
    let mut conductor = Conductor::new(&args, study, trials, folder, cancel, (make, &shared));
    let ended = conductor.conduct();
    let study = conductor.into_parts().study;
    let journal = std::fs::read_to_string(out.join("study/journal")).expect("a journal");
    let entry = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let entry = line.get("entry").cloned().expect("an entry");
        serde_json::from_value(entry).expect("an event")
    };
    (study, journal.lines().map(entry).collect(), ended)
}

fn failed(events: &[StudyEvent]) -> Vec<u64> {
    let trial = |event: &StudyEvent| match event {
        StudyEvent::Failed { trial, reason, .. } => {
            assert!(reason.contains("the bus is gone"), "{reason}");
            Some(*trial)
        }
        _ => None,
    };
    events.iter().filter_map(trial).collect()
}

#[test]
fn a_device_that_fails_once_changes_nothing() {
    let place = tempfile::tempdir().expect("a folder");
    let (whole, events, ended) = search(&place.path().join("whole"), false, u64::MAX, 0);
    ended.expect("it ends");
    assert!(whole.is_done() && failed(&events).is_empty());
    for first in [0, 7, 40] {
        let out = place.path().join(format!("once-{first}"));
        let (study, events, ended) = search(&out, false, first, 1);
        ended.expect("it ends");
        assert_eq!(failed(&events).len(), 1, "at run {first}");
        assert_eq!(study.account(), whole.account(), "at run {first}");
    }
}

#[test]
fn a_device_that_stays_broken_ends_the_search_and_it_can_be_gone_on_with() {
    let place = tempfile::tempdir().expect("a folder");
    let (whole, _, ended) = search(&place.path().join("whole"), false, u64::MAX, 0);
    ended.expect("it ends");
    let out = place.path().join("broken");
    let (study, events, ended) = search(&out, false, 25, u64::MAX);
    let Err(Failure::Found { report, exit, .. }) = ended else {
        unreachable!("it ends with findings: {ended:?}");
    };
    assert_eq!(exit, Exit::Device);
    let mut said = report.findings.iter().map(|it| it.message.as_str());
    assert!(said.any(|it| it.contains("failed twice")), "{report:?}");
    // Beside the trial that was tried again, others may have been at work when the device broke. None of them has a result.
    let failed = failed(&events);
    let twice = failed.last().expect("a failure");
    assert_eq!(
        failed.iter().filter(|trial| *trial == twice).count(),
        2,
        "{failed:?}"
    );
    assert!(!study.is_done());
    for trial in 0..study.trials().len() {
        let status = study.status(trial);
        assert!(
            matches!(status, Status::Running | Status::Finished),
            "{status:?}"
        );
    }
    let (resumed, _, ended) = search(&out, true, u64::MAX, 0);
    ended.expect("it ends");
    assert_eq!(resumed.account(), whole.account());
}
