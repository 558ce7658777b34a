//! Writing down what a training does, where there is a run folder.

use crate::checkpoint::{Progress, Store};
use crate::failure::RunFailure;
use crate::journal::{Event, Journal, now};
use crate::observe::Observer;
use serde_json::json;
use std::time::{Duration, Instant};

/// A save may take this part of the time at most, whatever the cadence by the clock.
const MOST_TIME: u32 = 20;

/// Where a training writes to. Without a folder it writes nothing.
pub struct Recorder<'a> {
    target: Option<Target<'a>>,
    interval: Option<Duration>,
    last: Instant,
    cost: Duration,
}

/// The journal and checkpoints of a training.
pub(crate) struct Target<'a> {
    pub(crate) journal: &'a mut Journal,
    pub(crate) store: Store<'a>,
    pub(crate) training: &'a str,
}

impl<'a> Recorder<'a> {
    /// Writes nothing.
    pub fn nowhere() -> Self {
        Self {
            target: None,
            interval: None,
            last: Instant::now(),
            cost: Duration::ZERO,
        }
    }

    /// Writes to a folder, by the clock at least every `interval`.
    pub(crate) fn to(target: Target<'a>, interval: Option<Duration>) -> Self {
        Self {
            target: Some(target),
            interval,
            ..Self::nowhere()
        }
    }

    /// Adds a line to the journal.
    pub(crate) fn add(&mut self, event: &Event) -> Result<(), RunFailure> {
        match &mut self.target {
            Some(target) => target.journal.add(event, json!({ "time": now() }), false),
            None => Ok(()),
        }
    }

    /// Whether a checkpoint is due after `step` steps, by the plan's cadence (0 for none) or the clock.
    pub(crate) fn is_due(&self, every: u64, step: u64) -> bool {
        let by_clock = self
            .interval
            .is_some_and(|interval| self.last.elapsed() >= interval.max(self.cost * MOST_TIME));
        (every > 0 && step.is_multiple_of(every)) || by_clock
    }

    /// Saves a checkpoint and notes it.
    pub(crate) fn save(
        &mut self,
        progress: &Progress,
        observer: &mut dyn Observer,
    ) -> Result<(), RunFailure> {
        let Some(target) = &mut self.target else {
            return Ok(());
        };
        let began = Instant::now();
        // The checkpoint names the head of the journal, which must outlive it.
        target.journal.flush()?;
        let checkpoint = target.store.save(progress, target.journal.head())?;
        let (training, step) = (target.training.to_owned(), progress.step);
        target.journal.add(
            &Event::Checkpoint {
                training,
                step,
                checkpoint,
            },
            json!({ "time": now() }),
            false,
        )?;
        (self.last, self.cost) = (Instant::now(), began.elapsed());
        observer.saved(progress.step);
        Ok(())
    }
}
