//! Reverse-mode differentiation.
//!
//! What flows in: a forward graph, its loss and the values to differentiate by. What flows out: one graph of primitives with
//! the forward pass followed by every gradient as an expression in the op table. Read [`differentiate`] first.
//!
//! The order of additions is part of the result: adjoints that meet in one value add left to right in the order in which the
//! forward graph uses the value; absent ones are not added; what a broadcast spread is summed over the axes it added, in the
//! order they have in the forward result. Rules, with `g` the adjoint of the result `y`:
//!
//! | op | adjoint |
//! |---|---|
//! | `−a`, `a + b`, `a − b` | `−g`; `g`, `g`; `g`, `−g` |
//! | `a · b`, `fma(a, b, c)` | `g·b`, `g·a`, `g` |
//! | `a / b` | `q = g / b`, `−(q·y)` |
//! | `abs` | `a < 0 ? −g : (a > 0 ? g : 0)` |
//! | `sqrt`, `rsqrt` | `(g·½) / y`, `((g·−½)·y)·(y·y)` |
//! | `exp`, `log` | `g·y`, `g / a` |
//! | `tanh`, `sigmoid` | `g·(1 − y·y)`, `g·(y·(1 − y))` |
//! | `erf`, `erfc` | `(g·±2/√π)·exp(−(a·a))` |
//! | `gelu` | `g·fma(a, c·exp((−½·a)·a), ½·erfc(a·−1/√2))`, `c = 1/√(2π)` |
//! | `relu` | `a > 0 ? g : 0` |
//! | `bf16` | `bf16(g)`; of a state that is read: `g` |
//! | `sin`, `cos` | `g·cos a`, `−(g·sin a)` |
//! | `min`, `max` | `g` to the one chosen, 0 to the other |
//! | `pow` | `g·(b·pow(a, b − 1))`, `g·(y·log a)` |
//! | `select` | `c ? g : 0`, `c ? 0 : g` |
//! | broadcast, sum | each the other's |
//! | rename, merge, split, slice, pad, concat | their inverses |
//! | reduce max, min | `g` to the first index of the largest (of −a: smallest), else 0 |
//! | contraction | `g` contracted with the other operand over the axes only those two have, in `g`'s order |
//! | windows, alone or contracted | see `adjoint::window` |
//! | gather | one-hot of the index contracted with `g` over the index's own axes; times `g` if it has none |
//! | composites | as [`mmh_ir::Composite`] says, sharing the forward pass's intermediates; a normalisation by statistics that do |
//! | | not depend on what is differentiated: `g·r` |
//! | attention | `p = e / s`; `dv = contract(p, g)`; `dp = contract(g, v)`; `ds = p·(dp − sum(p·dp))`; `dq`, `dk` = `contract(ds, k)·scale`, `contract(ds, q)·scale` |

use crate::adjoint;
use crate::builder::Builder;
use crate::lower::{Saved, lower};
use mmh_ir::{Composite, DType, Graph, MapOp, Node, Op, Origin, ReduceKind, ValueId};
use std::collections::BTreeMap;

/// A forward graph and its gradients, in primitives alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Differentiated {
    /// The forward pass and behind it the adjoints.
    pub graph: Graph,
    /// Where every value of the forward graph went.
    pub values: Vec<ValueId>,
    /// For each value differentiated by, in the order given: its gradient, of its own type; `None` if it does not reach the loss.
    pub gradients: Vec<Option<ValueId>>,
}

/// Why a loss cannot be differentiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDifferentiable {
    /// The node without a gradient.
    pub origin: Origin,
    /// What it is.
    pub reason: String,
}

/// Gradients of `loss`, a rank-0 f32, by each of `by`, which are inputs of `forward`.
///
/// # Errors
/// A node between `by` and `loss` that has no gradient.
pub fn differentiate(
    forward: &Graph,
    loss: ValueId,
    by: &[ValueId],
) -> Result<Differentiated, NotDifferentiable> {
    let lowered = lower(forward);
    let mut tape = Tape {
        forward,
        needs: needs(forward, by),
        first: forward
            .values()
            .map(|v| first_of_input(forward, v))
            .collect(),
        values: lowered.values,
        saved: lowered.saved,
        graph: lowered.graph,
        adjoints: BTreeMap::new(),
    };
    let mut gradients = vec![None; by.len()];
    if tape.needs(loss) {
        let one = tape.builder(forward.node(loss).origin).constant(1.0);
        tape.add(
            loss,
            Use {
                node: loss,
                operand: 0,
                through: loss,
            },
            one,
        );
    }
    for value in forward.values().collect::<Vec<_>>().into_iter().rev() {
        let Some(adjoint) = tape.total(value) else {
            continue;
        };
        for (gradient, _) in gradients
            .iter_mut()
            .zip(by)
            .filter(|(_, b)| tape.first(**b) == value)
        {
            *gradient = Some(adjoint);
        }
        adjoint::propagate(&mut tape, value, adjoint)?;
    }
    Ok(Differentiated {
        graph: tape.graph,
        values: tape.values,
        gradients,
    })
}

/// A place where the forward graph uses a value; adjoints add in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    /// The node that reads the value.
    pub(crate) node: ValueId,
    /// Which of its operands.
    pub(crate) operand: usize,
    /// The contraction that differentiates a window together with itself, else `node`.
    pub(crate) through: ValueId,
}

/// The state of one reverse pass.
pub(crate) struct Tape<'a> {
    pub(crate) forward: &'a Graph,
    pub(crate) graph: Graph,
    values: Vec<ValueId>,
    saved: Vec<Saved>,
    needs: Vec<bool>,
    first: Vec<ValueId>,
    adjoints: BTreeMap<ValueId, BTreeMap<Use, ValueId>>,
}

impl Tape<'_> {
    /// Makes nodes behind all others.
    pub(crate) fn builder(&mut self, origin: Origin) -> Builder<'_> {
        Builder {
            graph: &mut self.graph,
            origin,
        }
    }

    /// Whether the loss is to be differentiated by something `value` is made of.
    pub(crate) fn needs(&self, value: ValueId) -> bool {
        self.needs.get(value.index()).copied().unwrap_or(false)
    }

    /// Where a value of the forward graph went.
    pub(crate) fn value(&self, value: ValueId) -> ValueId {
        self.values.get(value.index()).copied().unwrap_or(value)
    }

    /// What the forward expression of a composite kept.
    pub(crate) fn saved(&self, value: ValueId) -> Saved {
        self.saved
            .get(value.index())
            .copied()
            .unwrap_or(Saved::Nothing)
    }

    /// One adjoint of `value`, of its type, from one use.
    pub(crate) fn add(&mut self, value: ValueId, at: Use, adjoint: ValueId) {
        let value = self.first(value);
        self.adjoints.entry(value).or_default().insert(at, adjoint);
    }

    /// The first input node that reads what `value` reads; `value` itself if it is no input.
    fn first(&self, value: ValueId) -> ValueId {
        self.first.get(value.index()).copied().unwrap_or(value)
    }

    /// The adjoints of `value` added up.
    fn total(&mut self, value: ValueId) -> Option<ValueId> {
        let parts = self.adjoints.remove(&value)?;
        let mut builder = self.builder(self.forward.node(value).origin);
        let parts = parts.into_values();
        parts.reduce(|sum, part| builder.map(MapOp::Add, &[sum, part]))
    }
}

/// Which values depend on `by` through differentiable operations.
fn needs(forward: &Graph, by: &[ValueId]) -> Vec<bool> {
    let by: Vec<ValueId> = by.iter().map(|&v| first_of_input(forward, v)).collect();
    let mut needs: Vec<bool> = Vec::with_capacity(forward.nodes.len());
    for value in forward.values() {
        let node = forward.node(value);
        let of = |v: &ValueId| needs.get(v.index()).copied().unwrap_or(false);
        let through = differentiable_operands(node).iter().any(of);
        needs.push(
            by.contains(&first_of_input(forward, value))
                || (node.ty.dtype == DType::F32 && through),
        );
    }
    needs
}

fn first_of_input(forward: &Graph, value: ValueId) -> ValueId {
    let op = &forward.node(value).op;
    if !matches!(op, Op::Input(_)) {
        return value;
    }
    let mut values = forward.values();
    values.find(|&v| &forward.node(v).op == op).unwrap_or(value)
}

/// The operands gradients flow to.
fn differentiable_operands(node: &Node) -> &[ValueId] {
    let all = node.inputs.as_slice();
    let first = all.get(..1).unwrap_or_default();
    match &node.op {
        Op::Map(MapOp::Floor) | Op::Random(_) | Op::OneHot { .. } => &[],
        Op::Map(MapOp::Select) => all.get(1..).unwrap_or_default(),
        Op::Reduce {
            kind: ReduceKind::ArgMax,
            ..
        } => &[],
        Op::Gather { .. } => first,
        Op::Composite(Composite::StopGradient) => &[],
        Op::Composite(Composite::CrossEntropy { .. } | Composite::Normalise { .. }) => first,
        Op::Composite(
            Composite::Softmax { .. } | Composite::LogSumExp { .. } | Composite::Attend { .. },
        )
        | Op::Input(_)
        | Op::Constant(_)
        | Op::Integer(_)
        | Op::Position
        | Op::Map(_)
        | Op::Broadcast
        | Op::Rename { .. }
        | Op::Merge { .. }
        | Op::Split { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Window(_)
        | Op::Reduce { .. }
        | Op::Contract { .. }
        | Op::Sample { .. } => all,
    }
}
