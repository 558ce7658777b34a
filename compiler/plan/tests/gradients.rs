//! Every rule of autodiff against central differences in f64, over random shapes; and the f32 interpreter against f64.

mod support;

use mmh_interpret::values;
use mmh_ir::device::{Feed, State, Tensor};
use mmh_ir::plan::Program;
use mmh_ir::{
    Axis, Composite, DType, Graph, Input, Literal, MapOp, Op, Origin, ReduceKind, Shape, Type,
    ValueId,
};
use mmh_plan::differentiate;
use proptest::prelude::*;
use support::maker::{Maker, axes, window};
use support::{evaluate, noise, state_inputs};

/// Elements of an input: i32 columns count below their number, all else is noise.
fn element(graph: &Graph, seed: u64, input: Input) -> Vec<f64> {
    let node = graph
        .nodes
        .iter()
        .find(|n| n.op == Op::Input(input))
        .expect("read somewhere");
    let n = node.ty.shape.elements();
    match (input, node.ty.dtype) {
        (Input::Column(below), DType::I32) => {
            let below = f64::from(below);
            noise(seed + 7, n)
                .iter()
                .map(|x| ((x + 1.0) / 2.0 * below).floor().min(below - 1.0))
                .collect()
        }
        (Input::State(slot), _) => noise(seed + 100 + u64::from(slot), n),
        _ => noise(seed + 50, n),
    }
}

/// Differentiates the weighted sum of `y` by all parameters and compares with central differences.
fn check(mut m: Maker, y: ValueId, seed: u64) -> Result<(), TestCaseError> {
    let loss = m.loss(y);
    let graph = m.graph;
    prop_assert_eq!(graph.verify(), Ok(()));
    let by = state_inputs(&graph);
    let result = differentiate(&graph, loss, &by).expect("differentiable");
    prop_assert_eq!(result.graph.verify(), Ok(()));
    prop_assert!(!result.graph.has_composites());
    let all = evaluate(&result.graph, &|input| element(&graph, seed, input));
    for (slot, (&value, gradient)) in by.iter().zip(&result.gradients).enumerate() {
        let gradient = gradient.expect("reaches the loss");
        prop_assert_eq!(result.graph.ty(gradient), graph.ty(value));
        let found = &all[gradient.index()].data;
        for (at, &found) in found.iter().enumerate() {
            let moved = |by: f64| {
                let input = |input| {
                    let mut data = element(&graph, seed, input);
                    if input == Input::State(slot as u32) {
                        data[at] += by;
                    }
                    data
                };
                evaluate(&graph, &input)[loss.index()].data[0]
            };
            let step = 1e-5;
            let expected = (moved(step) - moved(-step)) / (2.0 * step);
            let close = (found - expected).abs() <= 2e-6 * (1.0 + expected.abs());
            prop_assert!(
                close,
                "slot {} element {}: {} is not {}",
                slot,
                at,
                found,
                expected
            );
        }
    }
    in_f32(&graph, &result.graph, seed, &all)
}

/// The interpreter's f32 values lie near the f64 values, node by node.
fn in_f32(
    forward: &Graph,
    graph: &Graph,
    seed: u64,
    all: &[support::Value],
) -> Result<(), TestCaseError> {
    let slots = state_inputs(forward);
    let f32s = |data: Vec<f64>| Tensor::F32(data.into_iter().map(|x| x as f32).collect());
    let state = (0..slots.len() as u32).map(|n| f32s(element(forward, seed, Input::State(n))));
    let state = State {
        slots: state.collect(),
    };
    let mut feed = Feed {
        columns: vec![Tensor::F32(vec![]); 1_001],
        ..Feed::default()
    };
    for node in &forward.nodes {
        if let Op::Input(Input::Column(n)) = node.op {
            let data = element(forward, seed, Input::Column(n));
            feed.columns[n as usize] = match node.ty.dtype {
                DType::I32 => Tensor::I32(data.into_iter().map(|x| x as i32).collect()),
                _ => f32s(data),
            };
        }
    }
    let program = Program {
        name: String::new(),
        batch: 1,
        graph: graph.clone(),
        updates: vec![],
        results: vec![],
        guards: vec![],
    };
    let found = values(&program, &state, &feed).expect("runs");
    for (value, (found, expected)) in found.iter().zip(all).enumerate() {
        let Tensor::F32(found) = found else { continue };
        for (found, expected) in found.iter().zip(&expected.data) {
            let (found, expected) = (f64::from(*found), *expected);
            let close =
                found == expected || (found - expected).abs() <= 2e-4 * (1.0 + expected.abs());
            prop_assert!(close, "%{}: {} is not {}", value, found, expected);
        }
    }
    Ok(())
}

/// How many sums there are in the gradients of a convolution, whose loss is one element of it.
fn sums_of_convolution(graph: &Graph, y: ValueId, by: &[ValueId]) -> usize {
    let mut graph = graph.clone();
    let names: Vec<Axis> = graph.shape(y).axes().cloned().collect();
    let mut one = y;
    for axis in names {
        let zero = graph.push(
            Op::Integer(0),
            vec![],
            Type::new(DType::I32, Shape::scalar()),
            Origin(0),
        );
        let shape = graph.shape(one).without(std::slice::from_ref(&axis));
        one = graph.push(
            Op::Gather { axis },
            vec![one, zero],
            Type::f32(shape),
            Origin(0),
        );
    }
    let result = differentiate(&graph, one, by).expect("differentiable");
    let nodes = result.graph.nodes.iter();
    nodes.filter(|n| matches!(n.op, Op::Reduce { .. })).count()
}

fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
    (1..4_usize, 1..4_usize, 1..4_usize)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unary((a, b, _) in sizes(), seed in 0..1000_u64) {
        use MapOp::{Abs, Cos, Erf, Erfc, Exp, Gelu, Log, Neg, Relu, Rsqrt, Sigmoid, Sin, Sqrt, Tanh};
        for op in [Abs, Cos, Erf, Erfc, Exp, Gelu, Log, Neg, Relu, Rsqrt, Sigmoid, Sin, Sqrt, Tanh] {
            let mut m = Maker::default();
            let x = m.param(&[("a", a), ("b", b)]);
            let x = if matches!(op, Log | Rsqrt | Sqrt) { m.positive(x) } else { x };
            let y = m.map(op, &[x]);
            check(m, y, seed)?;
        }
    }

    #[test]
    fn binary_broadcasts((a, b, c) in sizes(), seed in 0..1000_u64) {
        use MapOp::{Add, Div, Max, Min, Mul, Pow, Sub};
        for op in [Add, Div, Max, Min, Mul, Pow, Sub] {
            let mut m = Maker::default();
            let x = m.param(&[("a", a), ("b", b)]);
            let z = m.param(&[("c", c), ("b", b)]);
            let x = if op == Pow { m.positive(x) } else { x };
            let z = if op == Div { m.positive(z) } else { z };
            let y = m.map(op, &[x, z]);
            check(m, y, seed)?;
        }
    }

    #[test]
    fn ternary((a, b, c) in sizes(), seed in 0..1000_u64) {
        let mut m = Maker::default();
        let x = m.param(&[("a", a), ("b", b)]);
        let z = m.param(&[("c", c)]);
        let w = m.param(&[("b", b)]);
        let y = m.map(MapOp::Fma, &[x, z, w]);
        let zero = m.constant(0.0);
        let which = m.map(MapOp::Gt, &[x, zero]);
        let y = m.map(MapOp::Select, &[which, y, w]);
        check(m, y, seed)?;
    }

    #[test]
    fn movement((a, b, c) in sizes(), before in 0..3_usize, step in 1..3_usize, seed in 0..1000_u64) {
        let mut m = Maker::default();
        let x = m.param(&[("a", a), ("b", b)]);
        let z = m.param(&[("d", c), ("b", b)]);
        let from = |from: &str, to: &str| Op::Rename { from: from.into(), to: to.into() };
        let x = m.f32(from("a", "d"), &[x], Shape::of(&[("d", a), ("b", b)]));
        let joined = m.f32(Op::Concat { axis: "d".into() }, &[x, z], Shape::of(&[("d", a + c), ("b", b)]));
        let size = before + (a + c - 1) * step + 2;
        let pad = Op::Pad { axis: "d".into(), before, step };
        let padded = m.f32(pad, &[joined], Shape::of(&[("d", size), ("b", b)]));
        let slice = Op::Slice { axis: "d".into(), start: 1, step: 2 };
        let half = (size - 1).div_ceil(2);
        let sliced = m.f32(slice, &[padded], Shape::of(&[("d", half), ("b", b)]));
        let turned = m.f32(Op::Broadcast, &[sliced], Shape::of(&[("b", b), ("e", 2), ("d", half)]));
        let merge = Op::Merge { axes: axes(&["e", "d"]), into: "f".into() };
        let merged = m.f32(merge, &[turned], Shape::of(&[("b", b), ("f", 2 * half)]));
        let split = Op::Split { axis: "f".into(), into: axes(&["g", "h"]) };
        let y = m.f32(split, &[merged], Shape::of(&[("b", b), ("g", half), ("h", 2)]));
        check(m, y, seed)?;
    }

    #[test]
    fn folds((a, b, c) in sizes(), seed in 0..1000_u64) {
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
            for over in [vec!["b"], vec!["c", "a"], vec!["a", "b", "c"]] {
                let mut m = Maker::default();
                let x = m.param(&[("a", a), ("b", b), ("c", c)]);
                let y = m.reduce(kind, &over, x);
                check(m, y, seed)?;
            }
        }
    }

    #[test]
    fn contractions((a, b, c) in sizes(), k in 1..5_usize, seed in 0..1000_u64) {
        let mut m = Maker::default();
        let x = m.param(&[("s", c), ("a", a), ("k", k), ("l", 2)]);
        let z = m.param(&[("l", 2), ("b", b), ("s", c), ("k", k)]);
        let y = m.contract(x, z, &["k", "l"]);
        let v = m.param(&[("b", b)]);
        let y = m.contract(y, v, &["b"]);
        check(m, y, seed)?;
    }

    #[test]
    fn convolutions(
        size in 3..7_usize, taps in 1..4_usize, stride in 1..4_i64, dilation in 1..3_i64, padding in 0..3_i64,
        seed in 0..1000_u64,
    ) {
        let reach = (taps as i64 - 1) * dilation;
        let places = (size as i64 + 2 * padding - reach - 1).div_euclid(stride) + 1;
        prop_assume!(places >= 1);
        let places = places as usize;
        for depthwise in [false, true] {
            let mut m = Maker::default();
            let x = m.param(&[("batch", 2), ("channel", 2), ("height", size), ("width", 4)]);
            let rows = window("height", "row", [stride, dilation, -padding], 0.0);
            let p = m.window(x, rows, places, taps);
            let p = m.window(p, window("width", "column", [1, 1, -1], 0.0), 4, 3);
            let over = if depthwise { vec!["row", "column"] } else { vec!["row", "column", "channel"] };
            let last = if depthwise { "channel" } else { "filter" };
            let mut weight = vec![("row", taps), ("column", 3), (last, 2)];
            if !depthwise {
                weight.push(("channel", 2));
            }
            let w = m.param(&weight);
            let y = m.contract(p, w, &over);
            let (graph, by) = (m.graph.clone(), state_inputs(&m.graph));
            check(m, y, seed)?;
            prop_assert_eq!(sums_of_convolution(&graph, y, &by), 0);
        }
    }

    #[test]
    fn lone_windows(
        size in 2..7_usize, taps in 1..4_usize, stride in 1..4_i64, dilation in 1..3_i64, padding in 0..2_i64,
        seed in 0..1000_u64,
    ) {
        let reach = (taps as i64 - 1) * dilation;
        let places = (size as i64 + 2 * padding - reach - 1).div_euclid(stride) + 1;
        prop_assume!(places >= 1);
        let places = places as usize;
        for kind in [ReduceKind::Sum, ReduceKind::Max] {
            let fill = if kind == ReduceKind::Sum { 0.0 } else { -9.0 };
            let mut m = Maker::default();
            let x = m.param(&[("batch", 2), ("height", size), ("width", 4)]);
            let p = m.window(x, window("height", "row", [stride, dilation, -padding], fill), places, taps);
            let p = m.window(p, window("width", "column", [2, 1, 0], fill), 2, 2);
            let y = m.reduce(kind, &["row", "column"], p);
            check(m, y, seed)?;
        }
    }

    #[test]
    fn lookups((a, b, c) in sizes(), seed in 0..1000_u64) {
        let mut m = Maker::default();
        let table = m.param(&[("row", a), ("b", b)]);
        let index = m.index(a as u32, &[("n", c), ("o", 2)]);
        let y = m.f32(Op::Gather { axis: "row".into() }, &[table, index], Shape::of(&[("n", c), ("o", 2), ("b", b)]));
        check(m, y, seed)?;

        let mut m = Maker::default();
        let table = m.param(&[("n", c), ("row", a), ("b", b)]);
        let index = m.index(a as u32, &[("n", c)]);
        let y = m.f32(Op::Gather { axis: "row".into() }, &[table, index], Shape::of(&[("n", c), ("b", b)]));
        check(m, y, seed)?;
    }

    #[test]
    fn softmax_and_entropy((a, b, c) in sizes(), seed in 0..1000_u64) {
        let mut m = Maker::default();
        let x = m.param(&[("a", a), ("b", b), ("c", c)]);
        let softmax = Composite::Softmax { over: axes(&["c", "a"]) };
        let p = m.f32(Op::Composite(softmax), &[x], Shape::of(&[("a", a), ("b", b), ("c", c)]));
        let total = Composite::LogSumExp { over: axes(&["a"]) };
        let y = m.f32(Op::Composite(total), &[p], Shape::of(&[("b", b), ("c", c)]));
        check(m, y, seed)?;

        let mut m = Maker::default();
        let x = m.param(&[("a", a), ("class", c), ("b", b)]);
        let label = m.index(c as u32, &[("a", a), ("b", b)]);
        let loss = Composite::CrossEntropy { class: "class".into() };
        let y = m.f32(Op::Composite(loss), &[x, label], Shape::of(&[("a", a), ("b", b)]));
        check(m, y, seed)?;
    }

    #[test]
    fn normalise(b in 2..4_usize, (a, c, _) in sizes(), seed in 0..1000_u64) {
        let mut m = Maker::default();
        let x = m.param(&[("b", b), ("a", a), ("c", c + 1)]);
        let count = m.constant((b * (c + 1)) as f32);
        let sum = m.reduce(ReduceKind::Sum, &["b", "c"], x);
        let mean = m.map(MapOp::Div, &[sum, count]);
        let centred = m.map(MapOp::Sub, &[x, mean]);
        let square = m.map(MapOp::Mul, &[centred, centred]);
        let sum = m.reduce(ReduceKind::Sum, &["b", "c"], square);
        let variance = m.map(MapOp::Div, &[sum, count]);
        let normalise = Composite::Normalise { over: axes(&["b", "c"]), epsilon: Literal(0.125) };
        let shape = m.graph.shape(x).clone();
        let y = m.f32(Op::Composite(normalise), &[x, mean, variance], shape);
        check(m, y, seed)?;
    }

    #[test]
    fn normalise_by_running_statistics((a, b, _) in sizes(), seed in 0..1000_u64) {
        let mut m = Maker::default();
        let x = m.param(&[("b", b), ("a", a)]);
        let mean = m.f32(Op::Input(Input::Column(1)), &[], Shape::of(&[("a", a)]));
        let variance = m.f32(Op::Input(Input::Column(2)), &[], Shape::of(&[("a", a)]));
        let variance = m.positive(variance);
        let normalise = Composite::Normalise { over: axes(&["b"]), epsilon: Literal(0.125) };
        let shape = m.graph.shape(x).clone();
        let y = m.f32(Op::Composite(normalise), &[x, mean, variance], shape);
        check(m, y, seed)?;
    }

    #[test]
    fn attention((time, head, depth) in sizes(), causal: bool, shared: bool, seed in 0..1000_u64) {
        let mut m = Maker::default();
        let q = m.param(&[("batch", 2), ("time", time), ("head", head), ("depth", depth)]);
        let with_head = [("batch", 2), ("key", time), ("head", head), ("depth", depth)];
        let keys: Vec<_> = with_head.into_iter().filter(|d| !shared || d.0 != "head").collect();
        let (k, v) = (m.param(&keys), m.param(&keys));
        let attend = Composite::Attend {
            over: axes(&["depth"]),
            key: "key".into(),
            scale: Literal(0.5),
            causal: causal.then(|| "time".into()),
            narrow: false,
        };
        let shape = m.graph.shape(q).clone();
        let y = m.f32(Op::Composite(attend), &[q, k, v], shape);
        check(m, y, seed)?;
    }

    #[test]
    fn stop_gradient((a, _, _) in sizes()) {
        let mut m = Maker::default();
        let x = m.param(&[("a", a)]);
        let z = m.param(&[("a", a)]);
        let shape = m.graph.shape(x).clone();
        let stopped = m.f32(Op::Composite(Composite::StopGradient), &[x], shape);
        let y = m.map(MapOp::Mul, &[stopped, z]);
        let by = state_inputs(&m.graph);
        let loss = m.loss(y);
        let result = differentiate(&m.graph, loss, &by).expect("differentiable");
        prop_assert_eq!(result.gradients[0], None);
        prop_assert!(result.gradients[1].is_some());
    }
}
