//! Two runs side by side: what went in, what came out, how far apart the parameters are, and from which step on.

use super::{Examined, files_of};
use crate::checkpoint::Progress;
use crate::data::Dataset;
use crate::failure::RunFailure;
use crate::model::entries;
use crate::predict::StoredModel;
use crate::session::prefix;
use crate::state_hash::state_hash;
use crate::step::Stepper;
use crate::trail::mark_of;
use blake3::Hash;
use mmh_ir::Plan;
use mmh_ir::device::{Device, Feed, Tensor};
use mmh_ir::plan::{Program, Training};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A value that two runs have differently.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where, such as `fit.batch`.
    pub path: String,
    /// In the first run; null where it has none.
    pub a: Value,
    /// In the second run.
    pub b: Value,
}

/// How far a parameter of one model is from that of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Path, such as `net.conv1.weight`.
    pub path: String,
    /// Root of the sum of squared differences; none where the shapes differ or one has it alone.
    pub distance: Option<f64>,
    /// The same, divided by the norm of the first.
    pub relative: Option<f64>,
    /// Largest difference of an element.
    pub largest: Option<f64>,
    /// Elements with other bits.
    pub changed: u64,
    /// Elements.
    pub elements: u64,
}

/// Settings of the plan that differ: seed, data, and what each training and evaluation is told.
pub fn settings(a: &Plan, b: &Plan) -> Vec<Difference> {
    let mut differ = Vec::new();
    differences("", &told(a), &told(b), &mut differ);
    differ
}

/// Metrics that differ.
pub fn metrics(a: &Examined, b: &Examined) -> Vec<Difference> {
    let of = |found: &Examined| found.end().map_or(Value::Null, |end| end.metrics.clone());
    let mut differ = Vec::new();
    differences("", &of(a), &of(b), &mut differ);
    differ
}

/// The plan without its programs, by names.
fn told(plan: &Plan) -> Value {
    let data = plan.data.iter().map(|data| {
        let files: BTreeMap<String, String> = files_of(&data.source)
            .iter()
            .map(|file| (file.path.clone(), file.blake3.clone()))
            .collect();
        let about = json!({ "files": files, "rows": data.rows, "split": data.split });
        (data.name.clone(), about)
    });
    let trainings = plan.trainings.iter().map(|training| {
        let state: BTreeMap<&str, String> = training
            .state
            .iter()
            .map(|slot| (slot.path.as_str(), slot.ty.to_string()))
            .collect();
        let watch = training.watch.as_ref().map(|watch| {
            json!({ "maximise": watch.maximise, "every": watch.every, "patience": watch.patience })
        });
        let about = json!({
            "batch": training.batch,
            "shuffle": training.shuffle.is_some(),
            "epoch_steps": training.epoch_steps,
            "steps": training.steps,
            "state": state,
            "optimisers": training.groups,
            "schedule": training.schedule,
            "watch": watch,
            "checkpoint": training.checkpoint,
        });
        (training.name.clone(), about)
    });
    json!({
        "seed": plan.seed,
        "data": data.collect::<serde_json::Map<_, _>>(),
        "trainings": trainings.collect::<serde_json::Map<_, _>>(),
    })
}

fn differences(path: &str, a: &Value, b: &Value, differ: &mut Vec<Difference>) {
    if a == b {
        return;
    }
    let join = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match (a, b) {
        (Value::Object(here), Value::Object(there)) => {
            let keys: std::collections::BTreeSet<&String> =
                here.keys().chain(there.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                differences(&join(key), &of(here), &of(there), differ);
            }
        }
        (Value::Array(here), Value::Array(there)) if here.len() == there.len() => {
            for (at, (a, b)) in here.iter().zip(there).enumerate() {
                differences(&join(&at.to_string()), a, b, differ);
            }
        }
        _ => differ.push(Difference {
            path: path.to_owned(),
            a: a.clone(),
            b: b.clone(),
        }),
    }
}

/// How far apart the models are, parameter by parameter, in path order.
pub fn distances(a: &StoredModel, b: &StoredModel) -> Vec<Distance> {
    let (a, b) = (tensors(a), tensors(b));
    let paths: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    paths
        .into_iter()
        .map(|path| match (a.get(path), b.get(path)) {
            (Some(a), Some(b)) if a.len() == b.len() => apart(path, a, b),
            (a, b) => Distance {
                path: path.clone(),
                distance: None,
                relative: None,
                largest: None,
                changed: 0,
                elements: a.or(b).map_or(0, |values| values.len() as u64),
            },
        })
        .collect()
}

fn tensors(model: &StoredModel) -> BTreeMap<String, Vec<f64>> {
    let mut found = BTreeMap::new();
    for (training, state) in model.plan.trainings.iter().zip(&model.states) {
        for entry in entries(&training.state, state, &prefix(&model.plan, training)) {
            let values = match entry.tensor {
                Tensor::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
                Tensor::I32(values) => values.iter().map(|value| f64::from(*value)).collect(),
                Tensor::U8(values) | Tensor::Bool(values) => {
                    values.iter().map(|value| f64::from(*value)).collect()
                }
            };
            found.insert(entry.path, values);
        }
    }
    found
}

fn apart(path: &str, a: &[f64], b: &[f64]) -> Distance {
    let pairs = || a.iter().zip(b);
    let squares: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
    let norm: f64 = a.iter().map(|a| a * a).sum();
    let distance = squares.sqrt();
    Distance {
        path: path.to_owned(),
        distance: Some(distance),
        relative: (norm > 0.0).then(|| distance / norm.sqrt()),
        largest: Some(pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)),
        changed: pairs().filter(|(a, b)| a.to_bits() != b.to_bits()).count() as u64,
        elements: a.len() as u64,
    }
}

/// Where the recorded states of two trainings part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The last recorded step at which they are the same; none if they start differently.
    pub same: Option<u64>,
    /// The first recorded step at which they differ; none if they are the same as far as both go.
    pub apart: Option<u64>,
    /// Pairs of states that were compared.
    pub compared: u64,
}

/// Where lists part of which no entry follows from the one before, as in a file that anyone may have written: every pair
/// that both have is compared.
pub fn first_of_all<S: PartialEq>(a: &BTreeMap<u64, S>, b: &BTreeMap<u64, S>) -> Parting {
    let mut parting = Parting {
        same: None,
        apart: None,
        compared: 0,
    };
    for (step, state) in a {
        let Some(other) = b.get(step) else {
            continue;
        };
        parting.compared += 1;
        if other != state {
            parting.apart = Some(*step);
            break;
        }
        parting.same = Some(*step);
    }
    parting
}

/// Where the states that both have part, by the number of steps done. What parted stays apart, so it is searched by halves.
pub fn first_difference<S: PartialEq>(a: &BTreeMap<u64, S>, b: &BTreeMap<u64, S>) -> Parting {
    let both: Vec<(u64, bool)> = a
        .iter()
        .filter_map(|(step, state)| Some((*step, b.get(step)? == state)))
        .collect();
    let mut compared = 0;
    let (mut low, mut high) = (0, both.len());
    while low < high {
        let middle = low + (high - low) / 2;
        compared += 1;
        match both.get(middle) {
            Some((_, true)) => low = middle + 1,
            _ => high = middle,
        }
    }
    Parting {
        same: low
            .checked_sub(1)
            .and_then(|at| both.get(at))
            .map(|(step, _)| *step),
        apart: both.get(low).map(|(step, _)| *step),
        compared,
    }
}

/// Where the states part that two runs recorded of the training of this name.
pub fn parting(a: &Examined, b: &Examined, training: &str) -> Parting {
    first_difference(&states(a, training), &states(b, training))
}

/// Hashes of the states that a run recorded of a training.
fn states(found: &Examined, training: &str) -> BTreeMap<u64, Hash> {
    let marks = found
        .lines
        .iter()
        .filter_map(|line| mark_of(&line.entry, training)?);
    marks.map(|mark| (mark.step, mark.state)).collect()
}

/// A training of a run, step by step.
pub struct Walker<'a> {
    training: &'a Training,
    stepper: Stepper<'a>,
    progress: Progress,
}

impl<'a> Walker<'a> {
    /// Stands at `progress`.
    pub fn new(
        training: &'a Training,
        data: &'a Dataset,
        seed: &'a mmh_numerics::random::Seed,
        device: &dyn Device,
        progress: Option<Progress>,
    ) -> Result<Self, RunFailure> {
        let progress = match progress {
            Some(progress) => progress,
            None => Progress::start(training, seed, data)?,
        };
        Ok(Self {
            training,
            stepper: Stepper::new(training, data, seed, device)?,
            progress,
        })
    }

    /// Goes on to the state after `step` steps.
    pub fn walk(&mut self, step: u64) -> Result<(), RunFailure> {
        while self.progress.step < step {
            self.stepper.run(&mut self.progress, None)?;
        }
        Ok(())
    }

    /// Where it stands.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Hash of the state.
    pub fn hash(&self) -> Hash {
        state_hash(&self.training.state, &self.progress.state)
    }

    /// The program of the next step and what it is fed with.
    pub fn upcoming(&mut self) -> Result<(&'a Program, &Feed), RunFailure> {
        self.stepper.next(&self.progress)
    }
}
