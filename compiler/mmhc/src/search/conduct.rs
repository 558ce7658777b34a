//! Carries a study out: what is needed goes to workers, what comes back is written down and decided upon.
//!
//! Results arrive in any order; the study does not care. A trial that fails for a reason that is none of its settings is tried
//! once more, alone; then the search ends, and can be gone on with.

use super::figures::{figures, measures};
use super::shared::{Shared, Wanted};
use super::show::Board;
use super::trained::{Order, Trained, absolute, bits, number, within};
use super::trials::{Instance, Trials};
use super::workers::{Crew, Done, MakeDevice, Task, start};
use super::{failed_twice, failure_of};
use crate::args::RunArgs;
use crate::outcome::Failure;
use mmh_check::recipe::Search;
use mmh_runtime::RunFailure;
use mmh_runtime::prefix::prefix_hash;
use mmh_runtime::study::{Stored, StudyEvent, StudyFolder, Witness};
use mmh_search::{Job, Outcome, Study, point_text};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A watched figure by steps.
pub(crate) type Curve = Vec<(u64, f64)>;

/// What a trial came to at a rung.
#[derive(Clone, Debug)]
struct Reached {
    /// The first figure, or why there is none.
    outcome: Outcome,
    /// The figures beside it.
    others: Vec<f64>,
    curve: Curve,
    /// The plan of the trial that shows it, where that is another one.
    of: Option<String>,
    /// Steps that were taken from the store.
    stored: u64,
}

/// What is to be done about a job.
enum Next {
    Wait,
    Known(String, Reached),
    Run(Task),
}

/// What a trial need not compute.
enum Inherited {
    Nothing,
    /// All: this is what it comes to.
    Result(Reached),
    /// The first steps: so many at most, of which this run folder holds some.
    Steps(u64, PathBuf),
}

/// What came of a search.
pub(crate) struct Conducted<'a> {
    pub(crate) study: Study,
    pub(crate) trials: Trials<'a>,
    pub(crate) folder: StudyFolder,
    pub(crate) curves: BTreeMap<usize, Curve>,
    /// Steps of trials that were taken from the store.
    pub(crate) stored: BTreeMap<usize, u64>,
}

/// A search at work.
pub(crate) struct Conductor<'a> {
    args: &'a RunArgs,
    study: Study,
    trials: RefCell<Trials<'a>>,
    folder: StudyFolder,
    cancel: Arc<AtomicBool>,
    /// Makes the device of a worker that is a thread.
    device: MakeDevice<'a>,
    /// Trials of this and other searches.
    shared: &'a Shared,
    stored: BTreeMap<usize, u64>,
    board: Board,
    /// Trials written into the journal.
    noted: usize,
    /// What is known of plans, by hash and rung.
    known: BTreeMap<(String, usize), Reached>,
    curves: BTreeMap<usize, Curve>,
    /// Jobs at work, with their recipes.
    flying: BTreeMap<Job, Arc<Instance>>,
    /// Trials that differ in their length and schedule alone, by what they have in common.
    kin: BTreeMap<String, BTreeSet<usize>>,
    /// Jobs that failed once and wait to be tried alone.
    failed: BTreeSet<Job>,
    /// The one of them that is tried alone now.
    alone: Option<Job>,
}

impl<'a> Conductor<'a> {
    pub(crate) fn new(
        args: &'a RunArgs,
        study: Study,
        trials: Trials<'a>,
        folder: StudyFolder,
        cancel: Arc<AtomicBool>,
        (device, shared): (MakeDevice<'a>, &'a Shared),
    ) -> Self {
        let board = Board::new(&study);
        Self {
            args,
            study,
            trials: RefCell::new(trials),
            folder,
            cancel,
            device,
            shared,
            stored: BTreeMap::new(),
            board,
            noted: 0,
            known: BTreeMap::new(),
            curves: BTreeMap::new(),
            flying: BTreeMap::new(),
            kin: BTreeMap::new(),
            failed: BTreeSet::new(),
            alone: None,
        }
    }

    pub(crate) fn into_parts(self) -> Conducted<'a> {
        Conducted {
            study: self.study,
            trials: self.trials.into_inner(),
            folder: self.folder,
            curves: self.curves,
            stored: self.stored,
        }
    }

    /// Runs to the end of the study.
    pub(crate) fn conduct(&mut self) -> Result<(), Failure> {
        self.recall()?;
        let workers = (self.args.workers as usize).max(1);
        let (give, take) = channel::<Task>();
        let (done, ended) = channel::<Done>();
        let tasks = Mutex::new(take);
        let crew = Crew {
            count: workers,
            args: &self.args.device,
            isolate: self.args.isolate,
            most: self.args.trial_timeout.map(Duration::from_secs_f64),
            device: self.device,
            shared: self.shared,
        };
        let result = std::thread::scope(|scope| {
            let started = start(scope, crew, &tasks, &done);
            drop(done);
            let result = match started {
                Err(error) => Err(failure_of(
                    &RunFailure::Device(error.to_string()),
                    self.args.json,
                )),
                Ok(_) => self.rounds(workers, &give, &ended),
            };
            // Workers end when there are no more tasks; what they are at ends early.
            drop(give);
            if result.is_err() {
                self.cancel.store(true, Ordering::Relaxed);
            }
            result
        });
        self.board.clear();
        result
    }

    fn rounds(
        &mut self,
        workers: usize,
        give: &Sender<Task>,
        ended: &std::sync::mpsc::Receiver<Done>,
    ) -> Result<(), Failure> {
        loop {
            let jobs = self.advance()?;
            if self.cancel.load(Ordering::Relaxed) {
                return Err(failure_of(
                    &RunFailure::Interrupted { step: self.steps() },
                    self.args.json,
                ));
            }
            if self.dispatch(jobs, workers, give)? {
                continue;
            }
            if self.flying.is_empty() {
                return Ok(());
            }
            let Ok(done) = ended.recv() else {
                let reason = "the workers are gone".to_owned();
                return Err(failure_of(&RunFailure::Device(reason), self.args.json));
            };
            self.take(done)?;
        }
    }

    /// Gives work to workers that are free. Whether a result came of it at once.
    fn dispatch(
        &mut self,
        jobs: Vec<Job>,
        workers: usize,
        give: &Sender<Task>,
    ) -> Result<bool, Failure> {
        for job in jobs {
            if self.flying.len() >= workers {
                break;
            }
            if self.flying.contains_key(&job) {
                continue;
            }
            match self.next(job)? {
                Next::Wait => {}
                Next::Known(hash, reached) => {
                    self.record(job, hash, reached)?;
                    return Ok(true);
                }
                Next::Run(task) => {
                    // The workers are there until the sender is dropped.
                    let _ = give.send(task);
                }
            }
        }
        Ok(false)
    }

    fn steps(&self) -> u64 {
        self.curves
            .values()
            .filter_map(|curve| curve.last())
            .map(|(step, _)| step)
            .sum()
    }

    /// Proposes and decides, and writes new trials down.
    fn advance(&mut self) -> Result<Vec<Job>, Failure> {
        let jobs = self.propose()?;
        for trial in self.noted..self.study.trials().len() {
            let proposed = self.study.trials().get(trial);
            let event = StudyEvent::Trial {
                trial: trial as u64,
                settings: self.trials.borrow().settings(&self.study, trial).into(),
                point: proposed.map_or(String::new(), |it| point_text(&it.point)),
                attempt: proposed.map_or(0, mmh_search::Trial::attempt),
                refused: proposed.is_some_and(mmh_search::Trial::is_refused),
            };
            self.write(&event, false)?;
        }
        self.noted = self.noted.max(self.study.trials().len());
        Ok(jobs)
    }

    /// Proposes and decides.
    fn propose(&mut self) -> Result<Vec<Job>, Failure> {
        let mut wrong = None;
        let trials = &self.trials;
        let constrained = trials.borrow().search().condition.is_some();
        let jobs = self.study.advance(&mut |point| match constrained {
            false => true,
            true => match trials.borrow_mut().at(point) {
                Ok(instance) => instance.holds,
                Err(failure) => {
                    wrong = Some(failure);
                    true
                }
            },
        });
        wrong.map_or(Ok(jobs), Err)
    }

    fn write(&mut self, event: &StudyEvent, sync: bool) -> Result<(), Failure> {
        let json = self.args.json;
        self.folder
            .add(event, sync)
            .map_err(|failure| failure_of(&failure, json))
    }

    /// Takes in what an earlier process wrote down.
    fn recall(&mut self) -> Result<(), Failure> {
        let lines = std::mem::take(&mut self.folder.lines);
        self.noted = lines
            .iter()
            .filter(|line| matches!(line.entry, StudyEvent::Trial { .. }))
            .count();
        for line in &lines {
            let StudyEvent::Result {
                trial,
                rung,
                plan_hash,
                outcome,
                others,
                curve,
                witness,
                stored,
            } = &line.entry
            else {
                continue;
            };
            self.propose()?;
            let job = Job {
                trial: *trial as usize,
                rung: *rung as usize,
            };
            let Some(outcome) = read(outcome) else {
                continue;
            };
            let curve = curve
                .iter()
                .filter_map(|(step, bits)| Some((*step, number(bits)?)))
                .collect();
            let others = others.iter().filter_map(|bits| number(bits)).collect();
            let witness = witness.as_ref().map(|it| it.plan_hash.clone());
            let reached = Reached {
                outcome,
                others,
                curve,
                of: witness.filter(|of| of != plan_hash),
                stored: *stored,
            };
            self.keep(job, plan_hash.clone(), reached);
        }
        self.folder.lines = lines;
        self.propose()?;
        self.board.resumed(&self.study);
        Ok(())
    }

    /// Notes a result in memory.
    fn keep(&mut self, job: Job, plan_hash: String, reached: Reached) {
        self.failed.remove(&job);
        self.known.insert((plan_hash, job.rung), reached.clone());
        self.study.record_all(job, reached.outcome, &reached.others);
        if reached.stored > 0 {
            self.stored.insert(job.trial, reached.stored);
        }
        if !reached.curve.is_empty() {
            self.curves.insert(job.trial, reached.curve);
        }
    }

    /// Writes a result down, then notes it.
    fn record(&mut self, job: Job, plan_hash: String, reached: Reached) -> Result<(), Failure> {
        let event = StudyEvent::Result {
            trial: job.trial as u64,
            rung: job.rung as u64,
            plan_hash: plan_hash.clone(),
            outcome: stored(reached.outcome),
            others: reached.others.iter().map(|value| bits(*value)).collect(),
            curve: reached
                .curve
                .iter()
                .map(|(step, value)| (*step, bits(*value)))
                .collect(),
            witness: self.witness(job, &plan_hash, &reached)?,
            stored: reached.stored,
        };
        let stored = reached.stored;
        self.write(&event, true)?;
        self.keep(job, plan_hash, reached);
        let settings = self.trials.borrow().settings(&self.study, job.trial);
        self.board.result(&self.study, job, &settings, stored);
        Ok(())
    }

    /// The run folder that shows a result.
    fn witness(
        &self,
        job: Job,
        plan_hash: &str,
        reached: &Reached,
    ) -> Result<Option<Witness>, Failure> {
        let instance = self.trials.borrow_mut().instance(&self.study, job.trial)?;
        let trials = self.trials.borrow();
        let search = trials.search();
        let end = match reached.outcome {
            Outcome::Value(_) => instance.end(search, job.rung, self.args.changes.limit),
            Outcome::Diverged { step } => step,
            Outcome::Infeasible { .. } => return Ok(None),
        };
        let training = instance.plan.trainings.get(search.training);
        let of = reached.of.as_deref().unwrap_or(plan_hash);
        Ok(training.and_then(|training| self.folder.witness(of, &training.name, end)))
    }

    /// What is to be done about a job: it waits for another with the same plan, or for one that is tried alone; what is known
    /// of its plan, or not allowed, needs no work.
    fn next(&mut self, job: Job) -> Result<Next, Failure> {
        let first = self.failed.first().copied();
        let waits = first.is_some_and(|first| first != job || !self.flying.is_empty());
        if self.alone.is_some() || waits {
            return Ok(Next::Wait);
        }
        let instance: Arc<Instance> = self.trials.borrow_mut().instance(&self.study, job.trial)?;
        let hash = instance.plan_hash.clone();
        let trials = self.trials.borrow();
        if trials
            .search()
            .memory
            .is_some_and(|most| instance.bytes > most)
        {
            let outcome = Outcome::Infeasible {
                bytes: instance.bytes,
            };
            return Ok(Next::Known(
                hash,
                Reached {
                    outcome,
                    others: Vec::new(),
                    curve: Vec::new(),
                    of: None,
                    stored: 0,
                },
            ));
        }
        if let Some(reached) = self.known.get(&(hash.clone(), job.rung)) {
            let stored = 0;
            return Ok(Next::Known(
                hash,
                Reached {
                    stored,
                    ..reached.clone()
                },
            ));
        }
        // Two that begin alike are not trained at once: the second takes from the first.
        if self
            .flying
            .values()
            .any(|flying| flying.kin == instance.kin)
        {
            return Ok(Next::Wait);
        }
        drop(trials);
        let (known, donor) = match self.inherit(job, &instance)? {
            Inherited::Result(reached) => return Ok(Next::Known(hash, reached)),
            Inherited::Steps(steps, donor) => (steps, Some(donor)),
            Inherited::Nothing => (0, None),
        };
        let (donor, is_stored) = match self.shared(job, &instance, known) {
            Some(stored) => (Some(stored), true),
            None => (donor, false),
        };
        let trials = self.trials.borrow();
        self.alone = first;
        self.flying.insert(job, Arc::clone(&instance));
        let search = trials.search();
        let order = Order {
            training: search.training,
            place: absolute(&self.folder.trial(&instance.plan_hash)),
            end: instance.end(search, job.rung, self.args.changes.limit),
            donor: donor.map(|donor| absolute(&donor)),
            measures: measures(&search.figures),
        };
        Ok(Next::Run(Task {
            job,
            order,
            base: absolute(trials.base()),
            is_stored,
            cancel: Arc::clone(&self.cancel),
            instance,
        }))
    }

    /// What a trial gets of those that begin like it: its result, where one went as far; else the folder of the one that came
    /// furthest.
    fn inherit(&mut self, job: Job, instance: &Arc<Instance>) -> Result<Inherited, Failure> {
        let kin = self.kin.entry(instance.kin.clone()).or_default();
        let others: Vec<usize> = kin.iter().copied().collect();
        kin.insert(job.trial);
        let (mut furthest, mut donor) = (0, None);
        for trial in others {
            let other = self.trials.borrow_mut().instance(&self.study, trial)?;
            let trials = self.trials.borrow();
            let search = trials.search();
            let end = instance.end(search, job.rung, self.args.changes.limit);
            for rung in 0..search.spec.rungs {
                let Some(reached) = self.known.get(&(other.plan_hash.clone(), rung)) else {
                    continue;
                };
                let went = other.end(search, rung, self.args.changes.limit);
                if let Some(mut reached) = inherited(search, instance, &other, reached, end, went) {
                    reached.of.get_or_insert_with(|| other.plan_hash.clone());
                    return Ok(Inherited::Result(reached));
                }
                if went > furthest && matches!(reached.outcome, Outcome::Value(_)) {
                    (furthest, donor) = (went, Some(self.folder.trial(&other.plan_hash)));
                }
            }
        }
        let donor = donor.filter(|donor| donor.join("journal").exists());
        Ok(donor.map_or(Inherited::Nothing, |it| Inherited::Steps(furthest, it)))
    }

    /// What the store has of a trial, beyond the steps that are `known` and those of its own last rung.
    fn shared(&self, job: Job, instance: &Arc<Instance>, known: u64) -> Option<PathBuf> {
        let trials = self.trials.borrow();
        let search = trials.search();
        let end = |rung| instance.end(search, rung, self.args.changes.limit);
        let before = |rung: &usize| {
            self.known
                .contains_key(&(instance.plan_hash.clone(), *rung))
        };
        let own = (0..job.rung).rev().find(before).map_or(0, end);
        self.shared.find(&Wanted {
            instance,
            training: search.training,
            known: known.max(own),
            end: end(job.rung),
            place: &self.folder.stored(&instance.plan_hash),
        })
    }

    /// The figures of a trial that was trained, in the order of the search.
    fn reached(&self, job: Job, trained: Trained) -> Result<Reached, Failure> {
        let Outcome::Value(watch) = trained.outcome else {
            return Ok(Reached {
                outcome: trained.outcome,
                others: Vec::new(),
                curve: trained.curve,
                of: None,
                stored: 0,
            });
        };
        let instance = self.trials.borrow_mut().instance(&self.study, job.trial)?;
        let trials = self.trials.borrow();
        let search = trials.search();
        let mut all = figures(search, &instance, watch, &trained.measured).into_iter();
        Ok(Reached {
            outcome: Outcome::Value(all.next().unwrap_or(f64::NAN)),
            others: all.collect(),
            curve: trained.curve,
            of: None,
            stored: 0,
        })
    }

    fn take(&mut self, done: Done) -> Result<(), Failure> {
        self.flying.remove(&done.job);
        if done.stored > 0 {
            // It was a copy, and is of no more use.
            let _ = std::fs::remove_dir_all(self.folder.stored(&done.plan_hash));
        }
        let was_alone = self.alone.take_if(|job| *job == done.job).is_some();
        match done.result {
            Ok(trained) => {
                let reached = Reached {
                    stored: done.stored,
                    ..self.reached(done.job, trained)?
                };
                self.record(done.job, done.plan_hash, reached)
            }
            // The loop sees that it was cancelled.
            Err(RunFailure::Interrupted { .. }) => Ok(()),
            Err(failure) => {
                let event = StudyEvent::Failed {
                    trial: done.job.trial as u64,
                    rung: done.job.rung as u64,
                    reason: failure.to_string(),
                };
                self.write(&event, true)?;
                if was_alone {
                    return Err(failed_twice(done.job.trial, &failure, self.args.json));
                }
                self.board.failed(done.job.trial, &failure);
                self.failed.insert(done.job);
                Ok(())
            }
        }
    }
}

/// The result of a trial after `end` steps, out of what one that begins alike came to after `went`.
fn inherited(
    search: &Search,
    instance: &Instance,
    other: &Instance,
    reached: &Reached,
    end: u64,
    went: u64,
) -> Option<Reached> {
    let alike = |steps| {
        let [own, theirs] =
            [instance, other].map(|it| prefix_hash(&it.plan, search.training, steps));
        own == theirs
    };
    if let Outcome::Diverged { step } = reached.outcome {
        return (step < end && alike(step + 1)).then(|| reached.clone());
    }
    let training = instance.plan.trainings.get(search.training)?;
    if went < end || !measures(&search.figures).is_empty() || !alike(end) {
        return None;
    }
    let watch = training.watch.as_ref()?;
    let (value, curve) = within(&reached.curve, watch, training.steps, end)?;
    let mut all = figures(search, instance, value, &[]).into_iter();
    Some(Reached {
        outcome: Outcome::Value(all.next()?),
        others: all.collect(),
        curve,
        of: reached.of.clone(),
        stored: 0,
    })
}

fn stored(outcome: Outcome) -> Stored {
    match outcome {
        Outcome::Value(value) => Stored::Value(bits(value)),
        Outcome::Diverged { step } => Stored::Diverged(step),
        Outcome::Infeasible { bytes } => Stored::Infeasible(bytes),
    }
}

/// What a journal says came of a trial; nothing if that is no number.
pub(crate) fn read(stored: &Stored) -> Option<Outcome> {
    Some(match stored {
        Stored::Value(bits) => Outcome::Value(number(bits)?),
        Stored::Diverged(step) => Outcome::Diverged { step: *step },
        Stored::Infeasible(bytes) => Outcome::Infeasible { bytes: *bytes },
    })
}
