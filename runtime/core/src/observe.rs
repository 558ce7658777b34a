//! What a run tells whoever watches it.

use crate::evaluate::Metrics;
use crate::failure::Culprit;
use mmh_ir::device::{Feed, State};
use mmh_ir::plan::{Part, Program, StateDecl, Training};
use std::time::Duration;

/// Told of progress; the command line draws bars from it. Nothing it does can change a bit.
pub trait Observer {
    /// A training begins or goes on.
    fn training(&mut self, _about: &TrainingReport<'_>) {}
    /// A step was done.
    fn step(&mut self, _report: &StepReport) {}
    /// Whether [`Observer::state`] is to be called after step `step`, which is the last one if it `ends`. A state that nobody
    /// reads stays on the device.
    fn reads_state(&self, _training: &Training, _step: u64, _ends: bool) -> bool {
        false
    }
    /// The state after a step, or ahead of the first, where it was asked for.
    fn state(&mut self, _report: &StateReport<'_>) {}
    /// The watched metric was measured.
    fn watched(&mut self, _report: &WatchReport<'_>) {}
    /// A checkpoint was saved after this many steps.
    fn saved(&mut self, _step: u64) {}
    /// What journal, marks and checkpoints of a training took of this process's time, told once at its end.
    fn recorded(&mut self, _name: &str, _spent: Duration) {}
    /// A training ended after this many steps.
    fn trained(&mut self, _name: &str, _step: u64) {}
    /// An evaluation ended.
    fn evaluated(&mut self, _name: &str, _part: Part, _metrics: &Metrics) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A training that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingReport<'a> {
    /// Declared name.
    pub name: &'a str,
    /// Steps done already.
    pub done: u64,
    /// Steps it will have done at its end.
    pub total: u64,
    /// Steps of an epoch.
    pub epoch_steps: u64,
    /// Rows of the training part.
    pub rows: u64,
}

/// A step that was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done.
    pub step: u64,
    /// Steps at the end.
    pub total: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Epochs at the end, a begun one counted.
    pub epochs: u64,
    /// The loss, if the program gives one.
    pub loss: Option<f32>,
    /// Rows a second since this process began the training.
    pub rows_per_second: f64,
}

/// A training's state between two steps.
#[derive(Clone, Copy, Debug)]
pub struct StateReport<'a> {
    /// The training.
    pub training: &'a Training,
    /// Steps done.
    pub step: u64,
    /// Whether this is where the training is to end.
    pub ends: bool,
    /// All state.
    pub state: &'a State,
}

/// A measurement of the watched metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchReport<'a> {
    /// Steps done.
    pub step: u64,
    /// All metrics.
    pub metrics: &'a Metrics,
    /// Whether it is the best so far.
    pub best: bool,
    /// Whether patience ran out with it.
    pub stops: bool,
}

/// Finds the operation that first gave a NaN or infinity; the interpreter's trace does.
pub trait Diagnose: Send + Sync {
    /// Runs the program anew on the state and feed of the step that failed.
    fn locate(
        &self,
        program: &Program,
        slots: &[StateDecl],
        state: &State,
        feed: &Feed,
    ) -> Option<Culprit>;
}
