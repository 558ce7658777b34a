//! Proofs: what a run came through, as hashes small enough to be sent, so that two machines can find where they part.
//!
//! A proof holds the hash of each training's whole state after steps that its length decides, and the model's. Where two
//! proofs of one plan part between two steps, both are made anew with every step between; where they part in a step, with
//! every value of that step's Graph. The hash of a value is BLAKE3's key derivation with context `mmh value 1` over its
//! elements, little-endian, in logical order, every NaN the canonical one. Values are the Graph's, never the buffers of a
//! fusion, so any device can give them.

use crate::checkpoint::Progress;
use crate::failure::RunFailure;
use crate::model::write_elements;
use crate::observe::{Observer, StateReport};
use crate::state_hash::state_hash;
use crate::step::Stepper;
use crate::train::Job;
use blake3::Hasher;
use mmh_ir::Origin;
use mmh_ir::ValueId;
use mmh_ir::device::Tensor;
use mmh_ir::plan::{Named, Program};
use mmh_ir::text::write_graph;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Hashes of states that a proof holds of a training at most, where no range of steps is asked for.
const MOST_STATES: u64 = 1024;
/// Values that are held at a time.
const VALUES_AT_ONCE: usize = 16;

/// The hashes of a training's states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    /// Declared name.
    pub training: String,
    /// 64 hexadecimal digits by the number of steps done.
    pub steps: BTreeMap<u64, String>,
}

/// One value of a step's Graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueHash {
    /// Its line in the Graph's text: number, type, operation, operands.
    pub text: String,
    /// The place of the recipe it came from.
    pub origin: Origin,
    /// 64 hexadecimal digits.
    pub hash: String,
}

/// Notes states while a session runs, and passes all on.
pub struct Prover<'a> {
    steps: Option<RangeInclusive<u64>>,
    states: Vec<States>,
    next: &'a mut dyn Observer,
}

impl<'a> Prover<'a> {
    /// Notes the states after the steps in the range; without one, so many of each training that the proof stays small, the
    /// first and the last among them.
    pub fn new(steps: Option<RangeInclusive<u64>>, next: &'a mut dyn Observer) -> Self {
        Self {
            steps,
            states: Vec::new(),
            next,
        }
    }

    /// What was noted.
    pub fn states(self) -> Vec<States> {
        self.states
    }

    fn is_due(&self, training: &mmh_ir::plan::Training, step: u64, ends: bool) -> bool {
        match &self.steps {
            Some(range) => range.contains(&step),
            None => ends || step.is_multiple_of(training.steps.div_ceil(MOST_STATES).max(1)),
        }
    }
}

impl Observer for Prover<'_> {
    fn training(&mut self, about: &crate::observe::TrainingReport<'_>) {
        self.next.training(about);
    }

    fn step(&mut self, report: &crate::observe::StepReport) {
        self.next.step(report);
    }

    fn watched(&mut self, report: &crate::observe::WatchReport<'_>) {
        self.next.watched(report);
    }

    fn saved(&mut self, step: u64) {
        self.next.saved(step);
    }

    fn recorded(&mut self, name: &str, spent: std::time::Duration) {
        self.next.recorded(name, spent);
    }

    fn trained(&mut self, name: &str, step: u64) {
        self.next.trained(name, step);
    }

    fn evaluated(
        &mut self,
        name: &str,
        part: mmh_ir::plan::Part,
        metrics: &crate::evaluate::Metrics,
    ) {
        self.next.evaluated(name, part, metrics);
    }

    fn reads_state(&self, training: &mmh_ir::plan::Training, step: u64, ends: bool) -> bool {
        self.is_due(training, step, ends) || self.next.reads_state(training, step, ends)
    }

    fn state(&mut self, report: &StateReport<'_>) {
        let name = &report.training.name;
        if self.states.last().is_none_or(|last| last.training != *name) {
            self.states.push(States {
                training: name.clone(),
                steps: BTreeMap::new(),
            });
        }
        if self.is_due(report.training, report.step, report.ends)
            && let Some(states) = self.states.last_mut()
        {
            let hash = state_hash(&report.training.state, report.state);
            states.steps.insert(report.step, hash.to_hex().to_string());
        }
        self.next.state(report);
    }
}

/// The hash of every value of the Graph of step `step` (from 1) of a training, in the Graph's order.
///
/// Errors: a step that the training does not have; the device fails.
pub(crate) fn values(job: &Job<'_>, step: u64) -> Result<Vec<ValueHash>, RunFailure> {
    let training = job.plan;
    if step == 0 || step > training.steps {
        return Err(RunFailure::Request(format!(
            "`{}` has steps 1 to {}, and step {step} was asked for",
            training.name, training.steps
        )));
    }
    let mut progress = Progress::start(training, job.seed, job.data)?;
    let mut stepper = Stepper::new(training, job.data, job.seed, job.device)?;
    while progress.step + 1 < step {
        stepper.run(&mut progress, job.diagnose)?;
    }
    let (program, feed) = stepper.next(&progress)?;
    let all: Vec<ValueId> = (0..program.graph.nodes.len())
        .filter_map(|index| u32::try_from(index).ok().map(ValueId))
        .collect();
    let text = write_graph(&program.graph);
    let mut lines = text.lines();
    let mut found = Vec::new();
    for some in all.chunks(VALUES_AT_ONCE) {
        let wanted = giving(program, some);
        let failed =
            |error| RunFailure::device(error, &format!("`{}`, step {step}", training.name));
        let mut loaded = job.device.load(&wanted, &training.state).map_err(failed)?;
        let results = loaded
            .run(&mut progress.state.clone(), feed)
            .map_err(failed)?;
        for (value, tensor) in some.iter().zip(&results) {
            found.push(ValueHash {
                text: lines.next().unwrap_or_default().to_owned(),
                origin: program.graph.node(*value).origin,
                hash: value_hash(tensor),
            });
        }
    }
    Ok(found)
}

/// The program that gives these values and changes nothing.
fn giving(program: &Program, values: &[ValueId]) -> Program {
    let results = values.iter().map(|value| Named {
        name: value.to_string(),
        value: *value,
    });
    Program {
        name: format!("{} values", program.name),
        batch: program.batch,
        graph: program.graph.clone(),
        updates: Vec::new(),
        results: results.collect(),
        guards: Vec::new(),
    }
}

fn value_hash(tensor: &Tensor) -> String {
    let mut bytes = Vec::new();
    write_elements(tensor, &mut bytes);
    let mut hasher = Hasher::new_derive_key("mmh value 1");
    hasher.update(&bytes);
    hasher.finalize().to_hex().to_string()
}
