//! The oracle: runs a program op by op, in logical order, one element after another.
//!
//! What flows in: a [`Program`], its [`State`] and a [`Feed`]. What flows out: its results and the next state, or which guard
//! tripped. Every other device must give these bits. Read `Machine::run` first, then `operation` (one arm per op).
//!
//! A value is a [`Tensor`] in row-major order of its node's shape; nothing is fused, skipped, reordered or kept in another layout.
//! [`values`] gives every node's value, for tests and bisection; [`trace`] names the node where a tripped guard's NaN or
//! infinity was born.

mod fold;
mod input;
mod lookup;
mod map;
mod movement;
mod operand;
mod random;
mod trace;

pub use trace::trace;

use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_ir::{Graph, Node, Op, ValueId};
use operand::{Operand, broken};

/// The reference device: one thread, no vectors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interpreter;

impl Device for Interpreter {
    fn name(&self) -> &str {
        "interpret"
    }

    fn isa(&self) -> &str {
        "scalar"
    }

    fn threads(&self) -> usize {
        1
    }

    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        check(program, state)?;
        Ok(Box::new(Machine {
            last_use: last_uses(program),
            program: program.clone(),
        }))
    }
}

/// A program with the node after which each value is no longer needed.
struct Machine {
    program: Program,
    last_use: Vec<usize>,
}

impl Executable for Machine {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let graph = &self.program.graph;
        let mut values: Vec<Option<Tensor>> = vec![None; graph.nodes.len()];
        for value in graph.values() {
            let result = operation(graph, value, &values, state, feed)?;
            values[value.index()] = Some(result);
            for input in &graph.node(value).inputs {
                if self.last_use[input.index()] == value.index() {
                    values[input.index()] = None;
                }
            }
        }
        finish(&self.program, &values, state)
    }
}

/// The value of every node, by [`ValueId`]; guards are not checked and state stays as it is.
///
/// # Errors
/// A look-up out of range, or a program that does not fit its state and feed.
pub fn values(program: &Program, state: &State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
    let graph = &program.graph;
    let mut values: Vec<Option<Tensor>> = vec![None; graph.nodes.len()];
    for value in graph.values() {
        values[value.index()] = Some(operation(graph, value, &values, state, feed)?);
    }
    Ok(values.into_iter().flatten().collect())
}

/// Checks guards, then writes all updates, then hands out results.
fn finish(
    program: &Program,
    values: &[Option<Tensor>],
    state: &mut State,
) -> Result<Vec<Tensor>, RunError> {
    for (guard, named) in program.guards.iter().enumerate() {
        if !trace::is_finite(kept(values, named.value)?) {
            return Err(RunError::NotFinite { guard });
        }
    }
    let results = program.results.iter();
    let results = results.map(|named| Ok(observable(kept(values, named.value)?)));
    let results = results.collect::<Result<Vec<_>, RunError>>()?;
    for update in &program.updates {
        let slot = state.slots.get_mut(update.slot as usize);
        let slot = slot.ok_or_else(|| broken("an update names no state slot"))?;
        *slot = observable(kept(values, update.value)?);
    }
    Ok(results)
}

/// A copy in which every NaN has the contract's bits.
fn observable(tensor: &Tensor) -> Tensor {
    match tensor {
        Tensor::F32(data) => {
            Tensor::F32(data.iter().map(|&x| mmh_numerics::canonical(x)).collect())
        }
        Tensor::I32(_) | Tensor::U8(_) | Tensor::Bool(_) => tensor.clone(),
    }
}

fn kept(values: &[Option<Tensor>], value: ValueId) -> Result<&Tensor, RunError> {
    let there = values.get(value.index()).and_then(Option::as_ref);
    there.ok_or_else(|| broken(&format!("{value} has no value")))
}

/// Result of one node from the values before it.
fn operation(
    graph: &Graph,
    value: ValueId,
    values: &[Option<Tensor>],
    state: &State,
    feed: &Feed,
) -> Result<Tensor, RunError> {
    let node = graph.node(value);
    let operands = node.inputs.iter().map(|&input| {
        let tensor = kept(values, input)?;
        let shape = graph.shape(input);
        Ok(Operand { tensor, shape })
    });
    let operands = operands.collect::<Result<Vec<_>, RunError>>()?;
    let result = apply(node, &operands, state, feed).map_err(|error| place(error, value))?;
    if result.len() == node.ty.shape.elements() && result.dtype() == node.ty.dtype {
        Ok(result)
    } else {
        Err(broken(&format!("{value} is not of its type")))
    }
}

fn apply(
    node: &Node,
    operands: &[Operand<'_>],
    state: &State,
    feed: &Feed,
) -> Result<Tensor, RunError> {
    let shape = &node.ty.shape;
    let first = || {
        operands
            .first()
            .copied()
            .ok_or_else(|| broken("an operand is missing"))
    };
    match &node.op {
        Op::Input(input) => input::read(*input, &node.ty, state, feed),
        Op::Constant(literal) => Ok(Tensor::F32(vec![literal.0])),
        Op::Integer(integer) => Ok(Tensor::I32(vec![*integer])),
        Op::Position => Ok(Tensor::I32((0..).take(shape.elements()).collect())),
        Op::Random(kind) => random::draw(*kind, operands, shape),
        Op::Map(op) => map::map(*op, operands, shape),
        Op::Broadcast => first()?.spread(shape).map(std::borrow::Cow::into_owned),
        Op::Rename { .. } | Op::Merge { .. } | Op::Split { .. } => Ok(first()?.tensor.clone()),
        Op::Slice { axis, start, step } => movement::slice(first()?, axis, *start, *step, shape),
        Op::Pad { axis, before, step } => movement::pad(first()?, axis, *before, *step, shape),
        Op::Concat { axis } => movement::concat(operands, axis),
        Op::Window(window) => movement::window(first()?, window, shape),
        Op::Reduce { kind, over } => fold::reduce(*kind, over, first()?),
        Op::Contract { over } => fold::contract(over, operands, shape),
        Op::Gather { axis } => lookup::gather(axis, operands, shape),
        Op::OneHot { .. } => lookup::one_hot(first()?, shape),
        Op::Sample { row, column } => lookup::sample(row, column, operands, shape),
        Op::Composite(_) => Err(broken("a composite was not lowered")),
    }
}

/// The same error, saying at which value.
fn place(error: RunError, value: ValueId) -> RunError {
    match error {
        RunError::Device(reason) => RunError::Device(format!("{value}: {reason}")),
        RunError::NotFinite { .. } | RunError::IndexRange { .. } => error,
    }
}

fn check(program: &Program, state: &[StateDecl]) -> Result<(), RunError> {
    let graph = &program.graph;
    graph.verify().map_err(|e| broken(&e.to_string()))?;
    if graph.has_composites() {
        return Err(broken("a composite was not lowered"));
    }
    for update in &program.updates {
        let slot = state.get(update.slot as usize);
        let value = graph.nodes.get(update.value.index());
        if slot.zip(value).is_none_or(|(s, v)| s.ty != v.ty) {
            return Err(broken(&format!(
                "the update of slot {} does not fit it",
                update.slot
            )));
        }
    }
    let named = program.results.iter().chain(&program.guards);
    for name in named {
        if name.value.index() >= graph.nodes.len() {
            return Err(broken(&format!("`{}` names no value", name.name)));
        }
    }
    input::check(graph, state)
}

/// For each value the last node that reads it; never, for those the program hands out.
fn last_uses(program: &Program) -> Vec<usize> {
    let mut last = vec![usize::MAX; program.graph.nodes.len()];
    for (number, node) in program.graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last[input.index()] = number;
        }
    }
    let named = program.results.iter().chain(&program.guards);
    let named = named.map(|n| n.value);
    for value in named.chain(program.updates.iter().map(|u| u.value)) {
        last[value.index()] = usize::MAX;
    }
    last
}
