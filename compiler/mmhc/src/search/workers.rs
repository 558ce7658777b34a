//! Threads that train trials. Each has a device of its own.

use super::trials::Instance;
use crate::args::DeviceArgs;
use crate::device;
use mmh_ir::plan::Watch;
use mmh_runtime::checkpoint::Progress;
use mmh_runtime::{Limit, Options, RunFailure, Session, Silent};
use mmh_search::{Job, Outcome};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

/// Stack of a worker, which lowers programs by recursion; only what is used is mapped.
const STACK: usize = 64 << 20;

/// A piece of work.
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) instance: Arc<Instance>,
    pub(crate) training: usize,
    pub(crate) place: PathBuf,
    pub(crate) limit: Limit,
    pub(crate) cancel: Arc<AtomicBool>,
}

/// What came of it.
pub(crate) struct Done {
    pub(crate) job: Job,
    pub(crate) plan_hash: String,
    pub(crate) result: Result<Trained, RunFailure>,
}

/// A figure with the curve that led to it.
#[derive(Clone, Debug)]
pub(crate) struct Trained {
    pub(crate) outcome: Outcome,
    pub(crate) curve: Vec<(u64, f64)>,
}

/// Starts `count` workers that share `threads` and take tasks until there are no more.
pub(crate) fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    count: usize,
    args: &'env DeviceArgs,
    tasks: &'env Mutex<Receiver<Task>>,
    done: &Sender<Done>,
) -> std::io::Result<Vec<ScopedJoinHandle<'scope, ()>>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or(cores, usize::from) / count;
    let own = DeviceArgs {
        threads: Some(threads.clamp(1, 1024) as u16),
        ..args.clone()
    };
    let worker = |_| {
        let (own, done) = (own.clone(), done.clone());
        let builder = std::thread::Builder::new().stack_size(STACK);
        builder.spawn_scoped(scope, move || work(&own, tasks, &done))
    };
    (0..count).map(worker).collect()
}

fn work(args: &DeviceArgs, tasks: &Mutex<Receiver<Task>>, done: &Sender<Done>) {
    // The same arguments gave a device before.
    let Ok(device) = device::choose(args, None, false) else {
        return;
    };
    loop {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = next else { return };
        let trained = catch_unwind(AssertUnwindSafe(|| train(&task, &*device)));
        let result = trained.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(RunFailure::Device(said.unwrap_or_else(|| {
                "it stopped for an unknown reason".to_owned()
            })))
        });
        let plan_hash = task.instance.plan_hash.clone();
        if done
            .send(Done {
                job: task.job,
                plan_hash,
                result,
            })
            .is_err()
        {
            return;
        }
    }
}

fn train(task: &Task, device: &dyn mmh_ir::device::Device) -> Result<Trained, RunFailure> {
    let instance = &task.instance;
    let options = Options {
        out: Some(task.place.clone()),
        resume: true,
        limit: Some(task.limit),
        recipe: instance.texts.clone(),
        cancel: Arc::clone(&task.cancel),
        ..Options::default()
    };
    let session = Session::with_data(&instance.plan, Arc::clone(&instance.data), device, options)?;
    let progress = match session.train_one(task.training, &mut Silent) {
        Ok(progress) => progress,
        Err(RunFailure::NotFinite(at)) => {
            return Ok(Trained {
                outcome: Outcome::Diverged { step: at.step },
                curve: Vec::new(),
            });
        }
        Err(failure) => return Err(failure),
    };
    let training = instance.plan.trainings.get(task.training);
    let watch = training.and_then(|training| training.watch.as_ref());
    let end = match task.limit {
        Limit::Steps(steps) | Limit::Epochs(steps) => steps,
    };
    let curve = curve(
        &progress,
        watch,
        training.map_or(0, |training| training.steps),
        end,
    );
    Ok(Trained {
        outcome: Outcome::Value(best(&curve, watch)),
        curve,
    })
}

/// What was measured up to step `end`, where the recipe measures or at the end itself.
fn curve(progress: &Progress, watch: Option<&Watch>, steps: u64, end: u64) -> Vec<(u64, f64)> {
    let every = watch.map_or(1, |watch| watch.every.max(1));
    let counts = |step: u64| step <= end && (step.is_multiple_of(every) || step == steps);
    let measured = progress.watching.measured.iter();
    let within: Vec<(u64, f64)> = measured
        .filter(|at| counts(at.step))
        .map(|at| (at.step, at.value))
        .collect();
    if !within.is_empty() {
        return within;
    }
    // A limit ahead of the first measurement: the one at the limit is all there is.
    progress
        .watching
        .measured
        .iter()
        .filter(|at| at.step <= end)
        .map(|at| (at.step, at.value))
        .collect()
}

fn best(curve: &[(u64, f64)], watch: Option<&Watch>) -> f64 {
    let maximise = watch.is_some_and(|watch| watch.maximise);
    curve.iter().fold(f64::NAN, |best, (_, value)| {
        let better = if maximise {
            *value > best
        } else {
            *value < best
        };
        if better || best.is_nan() {
            *value
        } else {
            best
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_figure_is_no_nan_if_there_is_a_number() {
        assert_eq!(
            best(&[(1, f64::NAN), (2, 3.0), (3, 1.0), (4, f64::NAN)], None),
            1.0
        );
        assert!(best(&[], None).is_nan());
    }
}
