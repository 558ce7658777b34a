//! `precision = bf16`: roundings put into a forward graph, before it is differentiated.
//!
//! What flows in: the graph of one purpose. What flows out: the same graph in which every parameter is read rounded, every
//! contraction has rounded operands, and its result, or the result with a bias added, is rounded (contract, §6.11). Sums, norms,
//! losses, running statistics and optimisers stay in f32. Read [`narrow`] first.

use mmh_check::recipe::Forward;
use mmh_ir::plan::{Role, StateDecl};
use mmh_ir::{Composite, DType, Graph, Input, MapOp, Node, Op, ValueId};
use std::collections::BTreeMap;

/// Rounds what a training in bf16 rounds.
pub(crate) fn narrow(forward: &mut Forward) {
    let old = std::mem::take(&mut forward.graph);
    let mut outside = vec![false; old.nodes.len()];
    let outputs = forward.outputs.iter().map(|output| output.value);
    for value in outputs.chain(forward.updates.iter().map(|update| update.value)) {
        if let Some(seen) = outside.get_mut(value.index()) {
            *seen = true;
        }
    }
    let narrowing = Narrowing {
        state: &forward.state,
        biased: biased(&old, &forward.state, &outside),
        graph: Graph::default(),
        values: Vec::with_capacity(old.nodes.len()),
        reads: BTreeMap::new(),
        rounded: BTreeMap::new(),
    };
    let (graph, values) = narrowing.run(&old);
    let new = |value: &mut ValueId| *value = values.get(value.index()).copied().unwrap_or(*value);
    for output in &mut forward.outputs {
        new(&mut output.value);
    }
    for update in &mut forward.updates {
        new(&mut update.value);
    }
    forward.graph = graph;
}

struct Narrowing<'a> {
    state: &'a [StateDecl],
    /// For each contraction of the old graph, whether a bias is added before it is rounded; for each such addition, that it is one.
    biased: Vec<bool>,
    graph: Graph,
    /// Where the values of the old graph went.
    values: Vec<ValueId>,
    /// The rounded read of each parameter, by slot.
    reads: BTreeMap<u32, ValueId>,
    /// The rounded twin of values that are contracted.
    rounded: BTreeMap<ValueId, ValueId>,
}

impl Narrowing<'_> {
    fn run(mut self, old: &Graph) -> (Graph, Vec<ValueId>) {
        for value in old.values() {
            let node = old.node(value);
            let inputs = node.inputs.iter();
            let inputs: Vec<ValueId> = inputs
                .filter_map(|v| self.values.get(v.index()).copied())
                .collect();
            let biased = self.biased.get(value.index()).copied().unwrap_or(false);
            let new = match &node.op {
                Op::Input(Input::State(slot)) if is_parameter(self.state, *slot) => {
                    self.read(node, *slot)
                }
                Op::Contract { .. } => {
                    let inputs = self.operands(&inputs);
                    let sum = self.push(node, node.op.clone(), inputs);
                    if biased { sum } else { self.round(sum) }
                }
                Op::Composite(Composite::Attend {
                    over,
                    key,
                    scale,
                    causal,
                    ..
                }) => {
                    let inputs = self.operands(&inputs);
                    let attend = Composite::Attend {
                        over: over.clone(),
                        key: key.clone(),
                        scale: *scale,
                        causal: causal.clone(),
                        narrow: true,
                    };
                    self.push(node, Op::Composite(attend), inputs)
                }
                op => {
                    let same = self.push(node, op.clone(), inputs);
                    if biased { self.round(same) } else { same }
                }
            };
            self.values.push(new);
        }
        (self.graph, self.values)
    }

    fn push(&mut self, like: &Node, op: Op, inputs: Vec<ValueId>) -> ValueId {
        self.graph.push(op, inputs, like.ty.clone(), like.origin)
    }

    fn round(&mut self, value: ValueId) -> ValueId {
        let origin = self.graph.node(value).origin;
        let ty = self.graph.ty(value).clone();
        self.graph
            .push(Op::Map(MapOp::Bf16), vec![value], ty, origin)
    }

    /// A parameter, rounded once however often it is read.
    fn read(&mut self, node: &Node, slot: u32) -> ValueId {
        if let Some(&read) = self.reads.get(&slot) {
            return read;
        }
        let value = self.push(node, node.op.clone(), vec![]);
        let read = self.round(value);
        self.reads.insert(slot, read);
        read
    }

    fn operands(&mut self, values: &[ValueId]) -> Vec<ValueId> {
        values.iter().map(|&value| self.operand(value)).collect()
    }

    /// `value` rounded. What only moves elements stays around the rounding, and a rounding is not rounded again.
    fn operand(&mut self, value: ValueId) -> ValueId {
        if let Some(&known) = self.rounded.get(&value) {
            return known;
        }
        let node = self.graph.node(value).clone();
        let rounded = match &node.op {
            Op::Map(MapOp::Bf16) | Op::OneHot { .. } => value,
            Op::Composite(Composite::Attend { narrow: true, .. }) => value,
            op if moves(op) => {
                let moved = if matches!(op, Op::Concat { .. }) {
                    node.inputs.len()
                } else {
                    1
                };
                let twins: Vec<ValueId> = (node.inputs.iter().enumerate())
                    .map(|(n, &v)| if n < moved { self.operand(v) } else { v })
                    .collect();
                if twins == node.inputs {
                    value
                } else {
                    self.push(&node, op.clone(), twins)
                }
            }
            _ => self.round(value),
        };
        self.rounded.insert(value, rounded);
        rounded
    }
}

/// Whether an operation only moves elements of its first operand, or, a concatenation, of all.
fn moves(op: &Op) -> bool {
    match op {
        Op::Window(window) => matches!(window.fill.0.to_bits() & 0xffff, 0),
        Op::Broadcast
        | Op::Rename { .. }
        | Op::Merge { .. }
        | Op::Split { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Gather { .. } => true,
        _ => false,
    }
}

fn is_parameter(state: &[StateDecl], slot: u32) -> bool {
    let decl = usize::try_from(slot).ok().and_then(|n| state.get(n));
    decl.is_some_and(|d| d.role == Role::Parameter && d.ty.dtype == DType::F32)
}

/// The contractions whose only use is the addition of a parameter that keeps their type, and those additions.
fn biased(graph: &Graph, state: &[StateDecl], outside: &[bool]) -> Vec<bool> {
    let count = graph.nodes.len();
    let mut users: Vec<Vec<ValueId>> = vec![Vec::new(); count];
    for value in graph.values() {
        for operand in &graph.node(value).inputs {
            if let Some(users) = users.get_mut(operand.index()) {
                users.push(value);
            }
        }
    }
    let mut biased = vec![false; count];
    for value in graph.values() {
        let Op::Contract { .. } = graph.node(value).op else {
            continue;
        };
        let used = users.get(value.index()).map_or(&[][..], Vec::as_slice);
        let (&[user], Some(false)) = (used, outside.get(value.index())) else {
            continue;
        };
        let node = graph.node(user);
        let other = match (&node.op, node.inputs.as_slice()) {
            (Op::Map(MapOp::Add), &[a, b]) if a == value => b,
            (Op::Map(MapOp::Add), &[a, b]) if b == value => a,
            _ => continue,
        };
        if node.ty == *graph.ty(value) && reads_parameter(graph, state, other) {
            for it in [value, user] {
                if let Some(mark) = biased.get_mut(it.index()) {
                    *mark = true;
                }
            }
        }
    }
    biased
}

/// Whether a value is a parameter, its axes perhaps renamed or spread.
fn reads_parameter(graph: &Graph, state: &[StateDecl], value: ValueId) -> bool {
    let node = graph.node(value);
    match (&node.op, node.inputs.first()) {
        (Op::Input(Input::State(slot)), _) => is_parameter(state, *slot),
        (Op::Broadcast | Op::Rename { .. } | Op::Merge { .. } | Op::Split { .. }, Some(&from)) => {
            reads_parameter(graph, state, from)
        }
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may stop")]
mod tests {
    use super::*;
    use mmh_ir::plan::{Init, Named};
    use mmh_ir::{Axis, Literal, Origin, Shape, Type, Window};

    const O: Origin = Origin(0);

    fn state(graph: &mut Graph, slot: u32, dims: &[(&str, usize)]) -> (ValueId, StateDecl) {
        let ty = Type::f32(Shape::of(dims));
        let decl = StateDecl {
            path: format!("p{slot}"),
            role: Role::Parameter,
            ty: ty.clone(),
            init: Init::Constant(Literal(0.0)),
        };
        let read = Op::Input(Input::State(slot));
        (graph.push(read, vec![], ty, O), decl)
    }

    fn narrowed(graph: Graph, state: Vec<StateDecl>, output: ValueId) -> Vec<String> {
        let mut forward = Forward {
            graph,
            state,
            sites: vec![],
            updates: vec![],
            outputs: vec![Named {
                name: "loss".into(),
                value: output,
            }],
            metrics: vec![],
        };
        narrow(&mut forward);
        forward.graph.verify().expect("well formed");
        let text = mmh_ir::text::write_graph(&forward.graph);
        let of = |line: &str| line.split_once("] = ").unwrap_or_default().1.to_owned();
        text.lines().map(of).collect()
    }

    #[test]
    fn a_layer_with_a_bias_is_rounded_once_behind_it() {
        let mut graph = Graph::default();
        let ty = Type::f32(Shape::of(&[("batch", 3), ("from", 4)]));
        let x = graph.push(Op::Input(Input::Column(0)), vec![], ty, O);
        let (w, weight) = state(&mut graph, 0, &[("from", 4), ("to", 5)]);
        let (b, bias) = state(&mut graph, 1, &[("to", 5)]);
        let product = graph.contract(x, w, &[Axis::new("from")], O);
        let sum = graph.map(MapOp::Add, &[product, b], O);
        let y = graph.map(MapOp::Relu, &[sum], O);
        let lines = narrowed(graph, vec![weight, bias], y);
        let roundings = lines.iter().filter(|l| l.starts_with("map(bf16)")).count();
        // Weight, bias, x, and the sum.
        assert_eq!(roundings, 4, "{lines:#?}");
        let at = |what: &str| lines.iter().position(|l| l.starts_with(what));
        let add = at("map(add)").expect("an addition");
        assert!(lines[add + 1].starts_with("map(bf16)"), "{lines:#?}");
        assert_eq!(at("contract").map(|n| n + 1), Some(add), "{lines:#?}");
    }

    #[test]
    fn what_is_read_through_windows_is_rounded_ahead_of_them() {
        let mut graph = Graph::default();
        let ty = Type::f32(Shape::of(&[("batch", 3), ("time", 6)]));
        let x = graph.push(Op::Input(Input::Column(0)), vec![], ty, O);
        let window = Window {
            axis: "time".into(),
            out: "time".into(),
            tap: "tap".into(),
            stride: 1,
            dilation: 1,
            offset: -1,
            divide: 1,
            fill: Literal(0.0),
        };
        let ty = Type::f32(Shape::of(&[("batch", 3), ("time", 6), ("tap", 3)]));
        let taps = graph.push(Op::Window(window), vec![x], ty, O);
        let (w, weight) = state(&mut graph, 0, &[("tap", 3), ("to", 5)]);
        let y = graph.contract(taps, w, &[Axis::new("tap")], O);
        let lines = narrowed(graph, vec![weight], y);
        let text = lines.join("\n");
        let last: Vec<&str> = lines.iter().rev().take(4).map(String::as_str).collect();
        // The window of the rounded picture, contracted, and rounded again.
        assert!(last[0].starts_with("map(bf16)"), "{text}");
        assert!(last[1].starts_with("contract"), "{text}");
        assert!(last[2].starts_with("window"), "{text}");
        assert!(last[3].starts_with("map(bf16)"), "{text}");
    }
}
