//! One rule per operation: from the adjoint of a node to adjoints of its operands.

mod composite;
mod linear;
mod pointwise;
mod window;

use crate::autodiff::{NotDifferentiable, Tape, Use};
use crate::builder::{Builder, missing};
use mmh_ir::{Node, Op, Shape, ValueId};

/// Adds the adjoints of the operands of `value`, whose own adjoint is `g`.
pub(crate) fn propagate(
    tape: &mut Tape<'_>,
    value: ValueId,
    g: ValueId,
) -> Result<(), NotDifferentiable> {
    let forward = tape.forward;
    let node = forward.node(value);
    let rule = Rule { value, node, g };
    match &node.op {
        Op::Map(op) => rule.pointwise(tape, *op),
        Op::Broadcast => rule.one(tape, |b, g, shape| b.fit(g, shape)),
        Op::Rename { from, to } => rule.rename(tape, from, to),
        Op::Merge { axes, into } => rule.merge(tape, axes, into),
        Op::Split { axis, into } => rule.split(tape, axis, into),
        Op::Slice { axis, start, step } => rule.slice(tape, axis, *start, *step),
        Op::Pad { axis, before, step } => rule.pad(tape, axis, *before, *step),
        Op::Concat { axis } => rule.concat(tape, axis),
        Op::Window(window) => return rule.window(tape, window),
        Op::Reduce { kind, over } => rule.reduce(tape, *kind, over),
        Op::Contract { over } => rule.contract(tape, over),
        Op::Gather { axis } => rule.gather(tape, axis),
        Op::Composite(composite) => rule.composite(tape, composite),
        Op::Sample { .. } => {
            return Err(rule.not_differentiable(
                "sampling has no gradient; pictures are sampled before the model",
            ));
        }
        Op::Input(_)
        | Op::Constant(_)
        | Op::Integer(_)
        | Op::Position
        | Op::Random(_)
        | Op::OneHot { .. } => {}
    }
    Ok(())
}

/// One node of the forward graph with its adjoint.
#[derive(Clone, Copy)]
struct Rule<'a> {
    value: ValueId,
    node: &'a Node,
    g: ValueId,
}

impl Rule<'_> {
    /// Operand `n` of the forward node.
    fn operand(&self, n: usize) -> Option<ValueId> {
        self.node.inputs.get(n).copied()
    }

    /// Where operand `n` went in the new graph.
    fn now(&self, tape: &Tape<'_>, n: usize) -> ValueId {
        self.operand(n).map_or(self.g, |v| tape.value(v))
    }

    /// Where the node's own result went.
    fn result(&self, tape: &Tape<'_>) -> ValueId {
        tape.value(self.value)
    }

    fn builder<'t>(&self, tape: &'t mut Tape<'_>) -> Builder<'t> {
        tape.builder(self.node.origin)
    }

    /// Gives operand `n`, if the loss is differentiated by it, the adjoint that `make` makes of `g` for its shape.
    fn give(
        &self,
        tape: &mut Tape<'_>,
        n: usize,
        make: impl FnOnce(&mut Builder<'_>, ValueId, &Shape) -> ValueId,
    ) {
        let Some(operand) = self.operand(n).filter(|&v| tape.needs(v)) else {
            return;
        };
        let shape = tape.forward.shape(operand).clone();
        let mut builder = self.builder(tape);
        let adjoint = make(&mut builder, self.g, &shape);
        let adjoint = self.fitted(&mut builder, adjoint, &shape);
        let at = Use {
            node: self.value,
            operand: n,
            through: self.value,
        };
        tape.add(operand, at, adjoint);
    }

    /// [`Self::give`] for the only operand.
    fn one(
        &self,
        tape: &mut Tape<'_>,
        make: impl FnOnce(&mut Builder<'_>, ValueId, &Shape) -> ValueId,
    ) {
        self.give(tape, 0, make);
    }

    /// The adjoint in the operand's shape: sums run over the axes it lacks, in the order of the node's result.
    fn fitted(&self, b: &mut Builder<'_>, adjoint: ValueId, shape: &Shape) -> ValueId {
        let extra = missing(b.graph.shape(adjoint), shape);
        let ordered: Vec<_> = self
            .node
            .ty
            .shape
            .axes()
            .filter(|a| extra.contains(a))
            .cloned()
            .collect();
        let over = if ordered.len() == extra.len() {
            ordered
        } else {
            extra
        };
        let summed = b.sum(&over, adjoint);
        b.fit(summed, shape)
    }

    fn not_differentiable(&self, reason: &str) -> NotDifferentiable {
        NotDifferentiable {
            origin: self.node.origin,
            reason: reason.to_string(),
        }
    }
}
