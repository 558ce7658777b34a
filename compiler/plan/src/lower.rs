//! From the forward graph to primitives alone.
//!
//! Every composite becomes the expression that defines it, and the intermediates its gradient shares are kept aside.

use crate::builder::Builder;
use mmh_ir::{Axis, Composite, Graph, Literal, MapOp, Node, Op, ReduceKind, Shape, ValueId};

/// What the gradient of a lowered composite takes from its forward expression.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Saved {
    /// Not a composite that keeps anything.
    Nothing,
    /// Softmax: the result.
    Softmax { y: ValueId },
    /// LogSumExp and CrossEntropy: exp(x − max) and its sum.
    Exponentials { e: ValueId, s: ValueId },
    /// Normalise: rsqrt(variance + ε) and the result.
    Normalise { r: ValueId, y: ValueId },
    /// Attend: exp(score − max) and its sum over keys.
    Attend { e: ValueId, s: ValueId },
}

/// A graph of primitives with where each value of the original went.
pub(crate) struct Lowered {
    pub(crate) graph: Graph,
    pub(crate) values: Vec<ValueId>,
    pub(crate) saved: Vec<Saved>,
}

/// Replaces every composite by primitives; the other nodes are copied in order. State inputs of one slot become one node.
pub(crate) fn lower(forward: &Graph) -> Lowered {
    let mut lowered = Lowered {
        graph: Graph::default(),
        values: Vec::with_capacity(forward.nodes.len()),
        saved: Vec::with_capacity(forward.nodes.len()),
    };
    for node in &forward.nodes {
        let inputs = node.inputs.iter();
        let inputs: Vec<ValueId> = inputs
            .filter_map(|v| lowered.values.get(v.index()).copied())
            .collect();
        let mut builder = Builder {
            graph: &mut lowered.graph,
            origin: node.origin,
        };
        let (value, saved) = match &node.op {
            Op::Composite(composite) => expand(&mut builder, composite, &inputs, &node.ty.shape),
            Op::Input(_) => (leaf(&mut builder, node), Saved::Nothing),
            op => (
                builder.push(op.clone(), &inputs, node.ty.clone()),
                Saved::Nothing,
            ),
        };
        lowered.values.push(value);
        lowered.saved.push(saved);
    }
    lowered
}

fn leaf(b: &mut Builder<'_>, node: &Node) -> ValueId {
    let mut values = b.graph.values();
    let same = values.find(|&v| b.graph.node(v).op == node.op && b.graph.ty(v) == &node.ty);
    same.unwrap_or_else(|| b.push(node.op.clone(), &[], node.ty.clone()))
}

fn expand(
    b: &mut Builder<'_>,
    composite: &Composite,
    inputs: &[ValueId],
    shape: &Shape,
) -> (ValueId, Saved) {
    match (composite, inputs) {
        (Composite::Softmax { over }, &[x]) => {
            let (_, e, s) = exponentials(b, over, x);
            let y = b.map_to(MapOp::Div, &[e, s], shape);
            (y, Saved::Softmax { y })
        }
        (Composite::LogSumExp { over }, &[x]) => {
            let (m, e, s) = exponentials(b, over, x);
            (log_sum_exp(b, m, s), Saved::Exponentials { e, s })
        }
        (Composite::CrossEntropy { class }, &[x, label]) => {
            let (m, e, s) = exponentials(b, std::slice::from_ref(class), x);
            let total = log_sum_exp(b, m, s);
            let picked = pick(b, class, x, label);
            let loss = b.map_to(MapOp::Sub, &[total, picked], shape);
            (loss, Saved::Exponentials { e, s })
        }
        (Composite::Normalise { epsilon, .. }, &[x, mean, variance]) => {
            normalise(b, *epsilon, [x, mean, variance], shape)
        }
        (
            Composite::Attend {
                over,
                key,
                scale,
                causal,
                narrow,
            },
            &[q, k, v],
        ) => {
            let scores = scores(b, [q, k], over, *scale);
            let scores = match causal {
                Some(axis) => masked(b, scores, key, axis),
                None => scores,
            };
            let over = std::slice::from_ref(key);
            let round = |b: &mut Builder<'_>, x| {
                if *narrow { b.map(MapOp::Bf16, &[x]) } else { x }
            };
            let (_, e) = raised(b, over, scores);
            let e = round(b, e);
            let s = b.sum(over, e);
            let weighted = b.contract(e, v, over, shape);
            let result = b.map_to(MapOp::Div, &[weighted, s], shape);
            (round(b, result), Saved::Attend { e, s })
        }
        (Composite::StopGradient, &[x]) => (x, Saved::Nothing),
        // Only a graph that `verify` refuses gets here; it stays as it is and is refused again.
        (_, _) => {
            let op = Op::Composite(composite.clone());
            (b.f32(op, inputs, shape.clone()), Saved::Nothing)
        }
    }
}

/// max, exp(x − max) and their sum, over `over`.
fn exponentials(b: &mut Builder<'_>, over: &[Axis], x: ValueId) -> (ValueId, ValueId, ValueId) {
    let (m, e) = raised(b, over, x);
    let s = b.sum(over, e);
    (m, e, s)
}

/// max and exp(x − max), over `over`.
fn raised(b: &mut Builder<'_>, over: &[Axis], x: ValueId) -> (ValueId, ValueId) {
    let m = b.reduce(ReduceKind::Max, over, x);
    let centred = b.map(MapOp::Sub, &[x, m]);
    (m, b.map(MapOp::Exp, &[centred]))
}

fn log_sum_exp(b: &mut Builder<'_>, m: ValueId, s: ValueId) -> ValueId {
    let log = b.map(MapOp::Log, &[s]);
    b.map(MapOp::Add, &[m, log])
}

/// `x[axis = index]`, aligned along every axis of the index.
fn pick(b: &mut Builder<'_>, axis: &Axis, x: ValueId, index: ValueId) -> ValueId {
    let rest = b.shape(x).without(std::slice::from_ref(axis));
    let shape = b.shape(index).union(&rest);
    b.f32(Op::Gather { axis: axis.clone() }, &[x, index], shape)
}

fn normalise(
    b: &mut Builder<'_>,
    epsilon: Literal,
    [x, mean, variance]: [ValueId; 3],
    shape: &Shape,
) -> (ValueId, Saved) {
    let epsilon = b.constant(epsilon.0);
    let spread = b.map(MapOp::Add, &[variance, epsilon]);
    let r = b.map(MapOp::Rsqrt, &[spread]);
    let centred = b.map_to(MapOp::Sub, &[x, mean], shape);
    let y = b.map_to(MapOp::Mul, &[centred, r], shape);
    (y, Saved::Normalise { r, y })
}

fn scores(b: &mut Builder<'_>, [q, k]: [ValueId; 2], over: &[Axis], scale: Literal) -> ValueId {
    let shape = b.shape(q).without(over).union(&b.shape(k).without(over));
    let products = b.contract(q, k, over, &shape);
    let scale = b.constant(scale.0);
    b.map(MapOp::Mul, &[products, scale])
}

/// The scores where the key's place is at most the query's, −∞ elsewhere.
fn masked(b: &mut Builder<'_>, scores: ValueId, key: &Axis, query: &Axis) -> ValueId {
    let shape = b.shape(scores);
    let size = |axis: &Axis| shape.size(axis).unwrap_or(0);
    let key = b.position(key, size(key));
    let query = b.position(query, size(query));
    let seen = b.map(MapOp::Le, &[key, query]);
    let absent = b.constant(f32::NEG_INFINITY);
    b.map_to(MapOp::Select, &[seen, scores, absent], &shape)
}

/// Flattened number of every place along `over`, outermost first: i32 over those axes.
pub(crate) fn flat_position(b: &mut Builder<'_>, shape: &Shape, over: &[Axis]) -> Option<ValueId> {
    let mut stride = 1;
    let mut number: Option<ValueId> = None;
    for axis in over.iter().rev() {
        let size = shape.size(axis)?;
        let place = b.position(axis, size);
        let scaled = if stride == 1 {
            place
        } else {
            let stride = b.integer(i32::try_from(stride).ok()?);
            b.map(MapOp::Mul, &[place, stride])
        };
        number = Some(match number {
            Some(inner) => b.map(MapOp::Add, &[scaled, inner]),
            None => scaled,
        });
        stride *= size;
    }
    number
}

/// 1.0 at the index along `axis`, which is placed last.
pub(crate) fn one_hot(b: &mut Builder<'_>, axis: &Axis, size: usize, index: ValueId) -> ValueId {
    let shape = crate::builder::with_last(&b.shape(index), axis, size);
    b.f32(Op::OneHot { axis: axis.clone() }, &[index], shape)
}
