//! Programs over the state of one training: the step, and everything that only reads the model.

use crate::autodiff::{NotDifferentiable, differentiate};
use crate::lower::lower;
use crate::optimise::{Optimiser, Trained};
use crate::simplify::simplify;
use mmh_check::recipe::{Forward, OptimiserSpec};
use mmh_ir::plan::{Named, OptimiserGroup, Program, Role, StateDecl, StepScalar, Update};
use mmh_ir::{Graph, Input, Op, ValueId};

/// State slots and random sites that all programs of one training share, by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Parameters and persistent state in order of first use; optimiser state behind them.
    pub state: Vec<StateDecl>,
    /// Paths of random sites in order of first use.
    pub sites: Vec<String>,
}

impl Model {
    /// Takes up the slots and sites of a graph that are not known yet.
    pub fn add(&mut self, forward: &Forward) {
        for slot in &forward.state {
            if self.slot(&slot.path).is_none() {
                self.state.push(slot.clone());
            }
        }
        for site in &forward.sites {
            if !self.sites.contains(site) {
                self.sites.push(site.clone());
            }
        }
    }

    fn slot(&self, path: &str) -> Option<usize> {
        self.state.iter().position(|slot| slot.path == path)
    }

    /// The graph with slots and sites numbered as here; what is not here keeps its number.
    fn numbered(&self, forward: &Forward) -> Graph {
        let mut graph = forward.graph.clone();
        for node in &mut graph.nodes {
            let new = match &node.op {
                Op::Input(Input::State(n)) => self.renumbered(forward, *n).map(Input::State),
                Op::Input(Input::Key(n)) => {
                    let path = usize::try_from(*n).ok().and_then(|n| forward.sites.get(n));
                    let place = path.and_then(|path| self.sites.iter().position(|s| s == path));
                    place.and_then(|n| u32::try_from(n).ok()).map(Input::Key)
                }
                _ => None,
            };
            if let Some(input) = new {
                node.op = Op::Input(input);
            }
        }
        graph
    }

    fn renumbered(&self, forward: &Forward, slot: u32) -> Option<u32> {
        let local = usize::try_from(slot)
            .ok()
            .and_then(|n| forward.state.get(n))?;
        self.slot(&local.path).and_then(|n| u32::try_from(n).ok())
    }
}

/// How parameters are trained.
#[derive(Clone, Copy, Debug)]
pub struct StepPlan<'a> {
    /// Each parameter belongs to the first group whose path prefix it has; one without any stays as it is.
    pub optimisers: &'a [OptimiserSpec],
    /// Clipping by global norm.
    pub clip: Option<f64>,
}

/// The training step of `forward`: results are its outputs, guards the loss and every gradient; moments join `model`.
///
/// # Errors
/// A node between a parameter and the loss that has no gradient, or a loss that no trained parameter reaches (origin of the
/// loss).
pub fn step_program(
    name: &str,
    batch: u64,
    forward: &Forward,
    model: &mut Model,
    scalars: &mut Vec<StepScalar>,
    how: StepPlan<'_>,
) -> Result<Program, NotDifferentiable> {
    let numbered = model.numbered(forward);
    let Some(loss) = forward
        .outputs
        .iter()
        .find(|o| o.name == "loss")
        .map(|o| o.value)
    else {
        return Err(NotDifferentiable {
            origin: Default::default(),
            reason: "there is no loss".into(),
        });
    };
    let parameters = parameters(&numbered, model, how.optimisers);
    let by: Vec<ValueId> = parameters.iter().map(|p| p.value).collect();
    let made = differentiate(&numbered, loss, &by)?;
    let value = |v: ValueId| made.values.get(v.index()).copied().unwrap_or(v);
    let mut trained = Vec::new();
    let mut guards = vec![Named {
        name: "loss".into(),
        value: value(loss),
    }];
    for (parameter, gradient) in parameters.iter().zip(&made.gradients) {
        let Some(gradient) = *gradient else { continue };
        guards.push(Named {
            name: format!("gradient of {}", parameter.path),
            value: gradient,
        });
        let (slot, group) = (parameter.slot, parameter.group);
        trained.push(Trained {
            slot,
            group,
            value: value(parameter.value),
            gradient,
        });
    }
    if trained.is_empty() {
        let origin = numbered.node(loss).origin;
        return Err(NotDifferentiable {
            origin,
            reason: "no trained parameter reaches the loss".into(),
        });
    }
    let groups: Vec<OptimiserGroup> = how.optimisers.iter().map(|o| o.group.clone()).collect();
    let mut updates: Vec<Update> = persistent(forward, model, &made.values);
    let results = named(&forward.outputs, &made.values);
    let mut graph = made.graph;
    let mut optimiser = Optimiser {
        graph: &mut graph,
        groups: &groups,
        state: &mut model.state,
        scalars,
    };
    updates.extend(optimiser.step(&trained, how.clip));
    updates.sort_by_key(|u| u.slot);
    let mut program = Program {
        name: name.into(),
        batch,
        graph,
        updates,
        results,
        guards,
    };
    simplify(&mut program);
    Ok(program)
}

/// A program that hands out the outputs of `forward` and changes nothing.
pub fn evaluation_program(name: &str, batch: u64, forward: &Forward, model: &Model) -> Program {
    let lowered = lower(&model.numbered(forward));
    let results = named(&forward.outputs, &lowered.values);
    let mut program = Program {
        name: name.into(),
        batch,
        graph: lowered.graph,
        updates: vec![],
        results,
        guards: vec![],
    };
    simplify(&mut program);
    program
}

fn named(outputs: &[Named], values: &[ValueId]) -> Vec<Named> {
    let moved = outputs.iter().map(|output| {
        let value = values.get(output.value.index()).copied();
        Named {
            name: output.name.clone(),
            value: value.unwrap_or(output.value),
        }
    });
    moved.collect()
}

/// Running statistics and what replaces them.
fn persistent(forward: &Forward, model: &Model, values: &[ValueId]) -> Vec<Update> {
    let updates = forward.updates.iter().filter_map(|update| {
        let slot = model.renumbered(forward, update.slot)?;
        let value = values.get(update.value.index()).copied()?;
        Some(Update { slot, value })
    });
    updates.collect()
}

/// A parameter that some group trains.
struct Parameter {
    path: String,
    slot: u32,
    group: u32,
    value: ValueId,
}

/// The trained parameters a graph reads, by slot.
fn parameters(graph: &Graph, model: &Model, optimisers: &[OptimiserSpec]) -> Vec<Parameter> {
    let mut found: Vec<Parameter> = Vec::new();
    for value in graph.values() {
        let Op::Input(Input::State(slot)) = graph.node(value).op else {
            continue;
        };
        let decl = usize::try_from(slot).ok().and_then(|n| model.state.get(n));
        let decl =
            decl.filter(|d| d.role == Role::Parameter && found.iter().all(|p| p.slot != slot));
        let Some(decl) = decl else { continue };
        let group = optimisers.iter().position(|o| trains(o, &decl.path));
        let group = group.and_then(|n| u32::try_from(n).ok());
        let path = decl.path.clone();
        found.extend(group.map(|group| Parameter {
            path,
            slot,
            group,
            value,
        }));
    }
    found.sort_by_key(|p| p.slot);
    found
}

/// Whether a path lies at or below one of the optimiser's prefixes.
fn trains(optimiser: &OptimiserSpec, path: &str) -> bool {
    let below = |prefix: &String| {
        let rest = path.strip_prefix(prefix.as_str());
        prefix.is_empty() || rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
    };
    optimiser.on.is_empty() || optimiser.on.iter().any(below)
}
