//! One piece of work: a trial trained to a rung. Threads and worker processes do it alike.

use mmh_ir::Plan;
use mmh_ir::device::Device;
use mmh_ir::plan::Watch;
use mmh_runtime::checkpoint::Progress;
use mmh_runtime::evaluate::Figure;
use mmh_runtime::{Dataset, Limit, Options, RecipeText, RunFailure, Session, Silent};
use mmh_search::{Direction, Outcome};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a folder may be held by a process that is about to end: the worker of a search that was killed saves a checkpoint
/// when it finds itself alone.
const HELD: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Number of the training in the plan.
    pub(crate) training: usize,
    /// The trial's run folder.
    pub(crate) place: PathBuf,
    /// Steps after which it ends.
    pub(crate) end: u64,
    /// The run folder of a trial that begins like this one.
    pub(crate) donor: Option<PathBuf>,
    /// Evaluations and metrics to measure there.
    pub(crate) measures: Vec<(String, String)>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trained {
    /// The best of what was watched, or that it diverged.
    pub(crate) outcome: Outcome,
    /// What was asked for in `measures`.
    pub(crate) measured: Vec<f64>,
    /// What was watched, by steps.
    pub(crate) curve: Vec<(u64, f64)>,
}

/// Trains, and waits for the folder where another process holds it.
pub(crate) fn train(
    order: &Order,
    plan: &Plan,
    data: &Arc<Vec<Dataset>>,
    recipe: &RecipeText,
    device: &dyn Device,
    cancel: &Arc<AtomicBool>,
) -> Result<Trained, RunFailure> {
    let began = Instant::now();
    loop {
        let options = Options {
            out: Some(order.place.clone()),
            resume: true,
            limit: Some(Limit::Steps(order.end)),
            donor: order.donor.clone(),
            recipe: recipe.clone(),
            cancel: Arc::clone(cancel),
            ..Options::default()
        };
        let session = Session::with_data(plan, Arc::clone(data), device, options)?;
        match to_rung(order, plan, &session) {
            Err(RunFailure::Busy { .. }) if began.elapsed() < HELD => {
                if cancel.load(Ordering::Relaxed) {
                    return Err(RunFailure::Interrupted { step: 0 });
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            ended => return ended,
        }
    }
}

fn to_rung(order: &Order, plan: &Plan, session: &Session<'_>) -> Result<Trained, RunFailure> {
    let progress = match session.train_one(order.training, &mut Silent) {
        Ok(progress) => progress,
        Err(RunFailure::NotFinite(at)) => {
            return Ok(Trained {
                outcome: Outcome::Diverged { step: at.step },
                measured: Vec::new(),
                curve: Vec::new(),
            });
        }
        Err(failure) => return Err(failure),
    };
    let training = plan.trainings.get(order.training);
    let watch = training.and_then(|training| training.watch.as_ref());
    let steps = training.map_or(0, |training| training.steps);
    let curve = curve(&progress, watch, steps, order.end);
    let mut measured = Vec::new();
    for (evaluation, metric) in &order.measures {
        let metrics = session.measure(evaluation, &progress)?;
        let named = metrics.0.iter().find(|(name, _)| name == metric);
        measured.push(match named {
            Some((_, Figure::Number(number))) => *number,
            Some((_, Figure::Table { .. })) | None => f64::NAN,
        });
    }
    Ok(Trained {
        outcome: Outcome::Value(best(&curve, watch)),
        measured,
        curve,
    })
}

/// What a training of `steps` steps measures up to step `end`, if a curve of one that begins alike and went as far has it all:
/// the figures, and the best of them. Nothing where it measures at a place of its own.
pub(crate) fn within(
    curve: &[(u64, f64)],
    watch: &Watch,
    steps: u64,
    end: u64,
) -> Option<(f64, Vec<(u64, f64)>)> {
    let every = watch.every.max(1);
    if end >= steps && !steps.is_multiple_of(every) {
        return None;
    }
    let counts = |at: &&(u64, f64)| at.0 <= end && at.0.is_multiple_of(every);
    let within: Vec<(u64, f64)> = curve.iter().filter(counts).copied().collect();
    let value = best(&within, Some(watch));
    (!within.is_empty()).then_some((value, within))
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
    best_of(
        curve,
        match watch.is_some_and(|watch| watch.maximise) {
            true => Direction::Maximise,
            false => Direction::Minimise,
        },
    )
}

/// The best figure of a curve; no number if there is none.
pub(crate) fn best_of(curve: &[(u64, f64)], direction: Direction) -> f64 {
    curve.iter().fold(f64::NAN, |best, (_, value)| {
        let better = match direction {
            Direction::Maximise => *value > best,
            Direction::Minimise => *value < best,
        };
        if better || best.is_nan() {
            *value
        } else {
            best
        }
    })
}

/// A value as it is written down: the hex digits of its bits.
pub(crate) fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

/// A value that was written down.
pub(crate) fn number(bits: &str) -> Option<f64> {
    u64::from_str_radix(bits, 16).ok().map(f64::from_bits)
}

/// A folder as a worker process finds it, wherever it runs.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
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
        assert!(number(&bits(f64::NAN)).is_some_and(f64::is_nan));
        assert_eq!(number(&bits(-0.1)), Some(-0.1));
    }
}
