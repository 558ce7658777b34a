//! What a search follows beside the watch: figures of a plan, and metrics of evaluations.

use super::trials::Instance;
use mmh_check::recipe::{Figure, Search};
use mmh_ir::Plan;
use mmh_ir::plan::{Role, StateDecl};
use mmh_runtime::trail::operations;

/// Evaluations and metrics that a worker must measure.
pub(crate) fn measures(figures: &[Figure]) -> Vec<(String, String)> {
    let measured = figures.iter().filter_map(|figure| match figure {
        Figure::Metric { evaluation, metric } => Some((evaluation.clone(), metric.clone())),
        Figure::Watch | Figure::Parameters | Figure::Memory | Figure::Flops => None,
    });
    measured.collect()
}

/// The figures of a trial in the order of the search. `measured` are those that [`measures`] asks for.
pub(crate) fn figures(
    search: &Search,
    instance: &Instance,
    watch: f64,
    measured: &[f64],
) -> Vec<f64> {
    let mut measured = measured.iter();
    let number = |figure: &Figure| match figure {
        Figure::Watch => watch,
        Figure::Parameters => parameters(&instance.plan, search.training) as f64,
        Figure::Memory => instance.bytes as f64,
        Figure::Flops => flops(&instance.plan, search.training),
        Figure::Metric { .. } => measured.next().copied().unwrap_or(f64::NAN),
    };
    search.figures.iter().map(number).collect()
}

/// Numbers in the parameters of a training.
fn parameters(plan: &Plan, training: usize) -> u64 {
    let slots = plan.trainings.get(training).map(|it| it.state.as_slice());
    let parameters = slots.unwrap_or_default().iter();
    parameters
        .filter(|slot| slot.role == Role::Parameter)
        .map(|slot| slot.ty.shape.elements() as u64)
        .sum()
}

/// Floating-point operations of the prediction of one row.
fn flops(plan: &Plan, training: usize) -> f64 {
    let programs = plan.trainings.get(training).map(|it| it.predict.as_slice());
    let one = programs
        .unwrap_or_default()
        .iter()
        .min_by_key(|it| it.batch);
    one.map_or(f64::NAN, |program| {
        operations(program) as f64 / program.batch.max(1) as f64
    })
}

/// Bytes of a training's state and of the largest of its programs, as planned.
pub(crate) fn bytes(plan: &Plan, training: usize) -> u64 {
    let Some(training) = plan.trainings.get(training) else {
        return 0;
    };
    let slot = |slot: &StateDecl| slot.ty.shape.elements() * slot.ty.dtype.bytes();
    let state: usize = training.state.iter().map(slot).sum();
    let watch = training
        .watch
        .iter()
        .flat_map(|watch| &watch.evaluation.programs);
    let programs = training.programs.iter().chain(watch);
    let arena = programs
        .map(|program| mmh_lower::lower(program).arena)
        .max();
    (state + arena.unwrap_or(0)) as u64
}
