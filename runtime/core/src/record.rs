//! Writing down what a training does, where there is a run folder.

use crate::checkpoint::{Progress, Store};
use crate::failure::RunFailure;
use crate::journal::{Event, Journal, now};
use crate::observe::Observer;
use crate::state_hash::state_hash;
use crate::step::Stepper;
use crate::trail::Trail;
use blake3::Hash;
use mmh_ir::plan::Training;
use serde_json::json;
use std::time::{Duration, Instant};

/// Saves by the clock take this part of the time at most.
const MOST_TIME: u32 = 100;

/// Where a training writes to.
pub struct Recorder<'a> {
    sink: Sink<'a>,
    trail: Option<Trail>,
    /// The step whose state was hashed last, and the hash.
    marked: Option<(u64, Hash)>,
    interval: Option<Duration>,
    last: Instant,
    cost: Duration,
    spent: Duration,
}

/// What becomes of what a training tells.
enum Sink<'a> {
    Nowhere,
    Folder(Target<'a>),
    /// Kept, to be compared with a journal.
    Memory(Vec<Event>),
}

/// The journal and checkpoints of a training.
pub(crate) struct Target<'a> {
    pub(crate) journal: &'a mut Journal,
    pub(crate) store: Store<'a>,
}

impl<'a> Recorder<'a> {
    /// Writes nothing.
    pub fn nowhere() -> Self {
        Self {
            sink: Sink::Nowhere,
            trail: None,
            marked: None,
            interval: None,
            last: Instant::now(),
            cost: Duration::ZERO,
            spent: Duration::ZERO,
        }
    }

    /// Writes to a folder, by the clock at least every `interval`.
    pub(crate) fn to(target: Target<'a>, trail: Trail, interval: Option<Duration>) -> Self {
        Self {
            sink: Sink::Folder(target),
            trail: Some(trail),
            interval,
            ..Self::nowhere()
        }
    }

    /// Keeps in memory what would stand in the journal, without checkpoints.
    pub(crate) fn remember(trail: Trail) -> Self {
        Self {
            sink: Sink::Memory(Vec::new()),
            trail: Some(trail),
            ..Self::nowhere()
        }
    }

    /// The trail, and what was kept in memory.
    pub(crate) fn into_parts(self) -> (Option<Trail>, Vec<Event>) {
        match self.sink {
            Sink::Memory(events) => (self.trail, events),
            Sink::Nowhere | Sink::Folder(_) => (self.trail, Vec::new()),
        }
    }

    /// Whether [`Recorder::mark`] reads the state after `step` steps.
    pub(crate) fn marks(&self, step: u64, ends: bool) -> bool {
        self.trail
            .as_ref()
            .is_some_and(|trail| trail.is_due(step, ends))
    }

    /// Notes the hash of the state where the plan decides it, and at the end of the training.
    pub(crate) fn mark(
        &mut self,
        plan: &Training,
        progress: &Progress,
        stepper: &mut Stepper<'_>,
        ends: bool,
    ) -> Result<(), RunFailure> {
        let Some(trail) = &mut self.trail else {
            return Ok(());
        };
        if !trail.is_due(progress.step, ends) {
            return Ok(());
        }
        let began = Instant::now();
        let order = stepper.order_hash(progress.step);
        let state = state_hash(&plan.state, &progress.state);
        let mark = trail.add(progress.step, order, state)?;
        self.marked = Some((progress.step, state));
        self.add(&mark.event(&plan.name))?;
        self.charge(began);
        Ok(())
    }

    /// Counts the time since `began` as spent on recording.
    pub(crate) fn charge(&mut self, began: Instant) {
        self.spent += began.elapsed();
    }

    /// The time that recording took so far.
    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// Whether what is told is kept anywhere.
    pub(crate) fn listens(&self) -> bool {
        !matches!(self.sink, Sink::Nowhere)
    }

    /// Adds a line to the journal.
    pub(crate) fn add(&mut self, event: &Event) -> Result<(), RunFailure> {
        match &mut self.sink {
            Sink::Folder(target) => target.journal.add(event, json!({ "time": now() }), false),
            Sink::Memory(events) => {
                events.push(event.clone());
                Ok(())
            }
            Sink::Nowhere => Ok(()),
        }
    }

    /// Whether a checkpoint is due after `step` steps, by what follows from the plan (0 for none) or by the clock.
    pub(crate) fn is_due(&self, every: u64, step: u64) -> bool {
        let by_clock = self
            .interval
            .is_some_and(|interval| self.last.elapsed() >= interval.max(self.cost * MOST_TIME));
        (every > 0 && step.is_multiple_of(every)) || by_clock
    }

    /// Saves a checkpoint and notes it.
    pub(crate) fn save(
        &mut self,
        plan: &Training,
        progress: &Progress,
        observer: &mut dyn Observer,
    ) -> Result<(), RunFailure> {
        let Sink::Folder(target) = &mut self.sink else {
            return Ok(());
        };
        let began = Instant::now();
        // The checkpoint names the head of the journal, which must outlive it.
        target.journal.flush()?;
        let checkpoint = target.store.save(progress, target.journal.head())?;
        let state = match self.marked {
            Some((step, state)) if step == progress.step => state,
            Some(_) | None => state_hash(&plan.state, &progress.state),
        };
        let (training, step) = (plan.name.clone(), progress.step);
        target.journal.add(
            &Event::Checkpoint {
                training,
                step,
                checkpoint,
                state: state.to_hex().to_string(),
            },
            json!({ "time": now() }),
            false,
        )?;
        target.journal.write_out()?;
        (self.last, self.cost) = (Instant::now(), began.elapsed());
        self.charge(began);
        observer.saved(progress.step);
        Ok(())
    }
}
