//! What a causal mask leaves out of products: keys that lie behind the query.
//!
//! The contract calls masked keys absent: an executor may skip them or run them with a zero factor. Attention is spelled
//! out in primitives before it gets here, so the mask is found again by what the primitives do: a value is −∞ behind the
//! mask, its exponential is zero there, and so is every multiple of that.

use crate::decide::Decisions;
use mmh_ir::plan::Program;
use mmh_ir::{Axis, Graph, MapOp, Op, ReduceKind, ValueId};

/// Two axes over whose places a mask compares: a place is present where its `key` is at most its `query`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mask {
    pub(crate) key: Axis,
    pub(crate) query: Axis,
}

/// What a value holds behind a mask.
#[derive(Clone, PartialEq, Eq)]
enum Behind {
    /// `true` before it, `false` behind.
    False(Mask),
    NegativeInfinity(Mask),
    Zero(Mask),
}

/// What is known about every value of a graph.
pub(crate) struct Masks {
    behind: Vec<Option<Behind>>,
    /// Values whose elements behind this mask nobody sees.
    unseen: Vec<Option<Mask>>,
}

impl Masks {
    pub(crate) fn of(program: &Program, decisions: &Decisions) -> Self {
        let graph = &program.graph;
        let mut masks = Self {
            behind: Vec::with_capacity(graph.nodes.len()),
            unseen: vec![None; graph.nodes.len()],
        };
        for value in graph.values() {
            let behind = masks.hold(graph, value);
            masks.behind.push(behind);
        }
        if masks.behind.iter().any(Option::is_some) {
            masks.unseen = masks.look(program, decisions);
        }
        masks
    }

    /// The mask behind which a value is zero.
    pub(crate) fn zero(&self, value: ValueId) -> Option<&Mask> {
        match self.behind.get(value.index())? {
            Some(Behind::Zero(mask)) => Some(mask),
            _ => None,
        }
    }

    /// The mask behind which nobody asks what a value is, so long as it is finite.
    pub(crate) fn unseen(&self, value: ValueId) -> Option<&Mask> {
        self.unseen.get(value.index())?.as_ref()
    }

    fn hold(&self, graph: &Graph, value: ValueId) -> Option<Behind> {
        let node = graph.node(value);
        let of = |n: usize| self.behind.get(node.inputs.get(n)?.index())?.clone();
        match (&node.op, node.inputs.as_slice()) {
            (Op::Map(MapOp::Le), &[key, query]) => Some(Behind::False(Mask {
                key: position(graph, key)?,
                query: position(graph, query)?,
            })),
            (Op::Map(MapOp::Select), &[_, _, other]) => match (of(0)?, constant(graph, other)) {
                (Behind::False(mask), Some(f32::NEG_INFINITY)) => {
                    Some(Behind::NegativeInfinity(mask))
                }
                _ => None,
            },
            // The largest of each row is one that is present.
            (Op::Map(MapOp::Sub), &[scores, largest]) => match of(0)? {
                kept @ Behind::NegativeInfinity(_) if is_largest(graph, largest, scores) => {
                    Some(kept)
                }
                _ => None,
            },
            (Op::Map(MapOp::Exp), _) => match of(0)? {
                Behind::NegativeInfinity(mask) => Some(Behind::Zero(mask)),
                _ => None,
            },
            (Op::Map(MapOp::Mul), _) => [0, 1].into_iter().filter_map(of).find(is_zero),
            (Op::Map(MapOp::Div), _) => of(0).filter(is_zero),
            (Op::Broadcast, _) => of(0),
            (Op::Map(MapOp::Bf16), _) => of(0).filter(is_zero),
            _ => None,
        }
    }

    /// From the last node to the first, where every reader either puts something else behind the mask or multiplies
    /// by zero there, and that product is only ever contracted, which does not tell zeros of either sign apart.
    fn look(&self, program: &Program, decisions: &Decisions) -> Vec<Option<Mask>> {
        let graph = &program.graph;
        let mut readers: Vec<Vec<ValueId>> = vec![Vec::new(); graph.nodes.len()];
        for value in graph.values().filter(|v| decisions.live[v.index()]) {
            for operand in &graph.node(value).inputs {
                readers[operand.index()].push(value);
            }
        }
        let mut outside = vec![false; graph.nodes.len()];
        let named = program.results.iter().chain(&program.guards);
        named.for_each(|n| outside[n.value.index()] = true);
        program
            .updates
            .iter()
            .for_each(|u| outside[u.value.index()] = true);
        let mut unseen: Vec<Option<Mask>> = vec![None; graph.nodes.len()];
        for value in graph.values().rev().filter(|v| !outside[v.index()]) {
            let mut by_all = None;
            for (n, &reader) in readers[value.index()].iter().enumerate() {
                let by_this = self.hidden(graph, &readers, &unseen, value, reader);
                if by_this.is_none() || (n > 0 && by_this != by_all) {
                    by_all = None;
                    break;
                }
                by_all = by_this;
            }
            let shape = graph.shape(value);
            unseen[value.index()] = by_all.filter(|m| shape.has(&m.key) && shape.has(&m.query));
        }
        unseen
    }

    /// The mask behind which `reader` does not see `value`.
    fn hidden(
        &self,
        graph: &Graph,
        readers: &[Vec<ValueId>],
        unseen: &[Option<Mask>],
        value: ValueId,
        reader: ValueId,
    ) -> Option<Mask> {
        let node = graph.node(reader);
        match (&node.op, node.inputs.as_slice()) {
            (Op::Map(MapOp::Select), &[seen, kept, other]) if kept == value && other != value => {
                match self.behind[seen.index()].as_ref()? {
                    Behind::False(mask) => Some(mask.clone()),
                    _ => None,
                }
            }
            (Op::Map(MapOp::Mul), &[a, b]) if a != b => {
                let other = if a == value { b } else { a };
                let product = |v: &ValueId| matches!(graph.node(*v).op, Op::Contract { .. });
                // A zero that is rounded is a zero.
                let contracted = |v: &ValueId| match graph.node(*v).op {
                    Op::Map(MapOp::Bf16) => readers[v.index()].iter().all(product),
                    _ => product(v),
                };
                match self.zero(other) {
                    Some(mask) => readers[reader.index()]
                        .iter()
                        .all(contracted)
                        .then(|| mask.clone()),
                    None => unseen[reader.index()].clone(),
                }
            }
            (Op::Map(MapOp::Add | MapOp::Sub | MapOp::Neg | MapOp::Bf16), _) => {
                unseen[reader.index()].clone()
            }
            _ => None,
        }
    }
}

fn is_zero(behind: &Behind) -> bool {
    matches!(behind, Behind::Zero(_))
}

/// The axis whose places a value counts.
fn position(graph: &Graph, value: ValueId) -> Option<Axis> {
    let node = graph.node(value);
    match &node.op {
        Op::Position => node.ty.shape.axes().next().cloned(),
        Op::Broadcast => position(graph, *node.inputs.first()?),
        _ => None,
    }
}

fn constant(graph: &Graph, value: ValueId) -> Option<f32> {
    let node = graph.node(value);
    match &node.op {
        Op::Constant(literal) => Some(literal.0),
        Op::Broadcast => constant(graph, *node.inputs.first()?),
        _ => None,
    }
}

fn is_largest(graph: &Graph, value: ValueId, of: ValueId) -> bool {
    let node = graph.node(value);
    match &node.op {
        Op::Reduce {
            kind: ReduceKind::Max,
            ..
        } => node.inputs.first() == Some(&of),
        Op::Broadcast => node
            .inputs
            .first()
            .is_some_and(|v| is_largest(graph, *v, of)),
        _ => false,
    }
}
