//! The order of additions in gradients, and that simplifying changes no bit.

mod support;

use mmh_interpret::values;
use mmh_ir::device::{Feed, State, Tensor};
use mmh_ir::plan::{Named, Program};
use mmh_ir::{Graph, Input, MapOp, Op, Origin, ReduceKind, Shape, Type, ValueId};
use mmh_plan::{differentiate, simplify};
use support::maker::Maker;
use support::{noise, state_inputs};

fn program(graph: Graph, value: ValueId) -> Program {
    Program {
        name: String::new(),
        batch: 1,
        graph,
        updates: vec![],
        results: vec![Named {
            name: "value".into(),
            value,
        }],
        guards: vec![],
    }
}

#[test]
fn adjoints_add_in_the_order_of_use() {
    let (big, small) = (16_777_216.0_f32, 1.0_f32);
    // d(x·a + x·b + x·c)/dx = (a + b) + c: 2^24 + 1 − 2^24 is 0, in every other order it is 1.
    let mut m = Maker::default();
    let x = m.param(&[]);
    let products = [big, small, -big].map(|factor| {
        let factor = m.constant(factor);
        m.map(MapOp::Mul, &[x, factor])
    });
    let tail = m.map(MapOp::Add, &[products[1], products[2]]);
    let loss = m.map(MapOp::Add, &[products[0], tail]);
    let by = state_inputs(&m.graph);
    let made = differentiate(&m.graph, loss, &by).expect("differentiable");
    let gradient = made.gradients[0].expect("reaches the loss");
    let state = State {
        slots: vec![Tensor::F32(vec![1.0])],
    };
    let all = values(&program(made.graph, gradient), &state, &Feed::default()).expect("runs");
    assert_eq!(all[gradient.index()], Tensor::F32(vec![0.0]));
}

#[test]
fn one_slot_read_twice_has_one_gradient() {
    let mut m = Maker::default();
    let x = m.param(&[]);
    let again = m.f32(Op::Input(Input::State(0)), &[], Shape::scalar());
    let loss = m.map(MapOp::Mul, &[x, again]);
    let made = differentiate(&m.graph, loss, &[again]).expect("differentiable");
    let gradient = made.gradients[0].expect("reaches the loss");
    let state = State {
        slots: vec![Tensor::F32(vec![3.0])],
    };
    let all = values(&program(made.graph, gradient), &state, &Feed::default()).expect("runs");
    assert_eq!(all[gradient.index()], Tensor::F32(vec![6.0]));
}

#[test]
fn broadcast_adjoints_sum_in_the_order_of_the_result() {
    let mut m = Maker::default();
    let x = m.param(&[("b", 3)]);
    let wide = Type::f32(Shape::of(&[("c", 2), ("b", 3), ("a", 4)]));
    let y = m.graph.push(Op::Broadcast, vec![x], wide, Origin(0));
    let loss = m.loss(y);
    let made = differentiate(&m.graph, loss, &[x]).expect("differentiable");
    let gradient = made.gradients[0].expect("reaches the loss");
    let expected = Op::Reduce {
        kind: ReduceKind::Sum,
        over: vec!["c".into(), "a".into()],
    };
    assert_eq!(made.graph.node(gradient).op, expected);
}

#[test]
fn simplifying_changes_no_bit() {
    let mut m = Maker::default();
    let x = m.param(&[("a", 3), ("b", 4)]);
    let w = m.param(&[("b", 4)]);
    let twice = [m.map(MapOp::Exp, &[x]), m.map(MapOp::Exp, &[x])];
    let unused = m.map(MapOp::Sin, &[x]);
    let s = m.reduce(ReduceKind::Sum, &["a"], twice[0]);
    let product = m.map(MapOp::Mul, &[twice[1], w]);
    let y = m.map(MapOp::Sub, &[product, s]);
    let loss = m.loss(y);
    let by = state_inputs(&m.graph);
    let made = differentiate(&m.graph, loss, &by).expect("differentiable");
    let gradient = made.gradients[0].expect("reaches the loss");
    let full = program(made.graph, gradient);
    let mut lean = full.clone();
    simplify(&mut lean);
    assert_eq!(lean.graph.verify(), Ok(()));
    let count = |p: &Program, wanted: &Op| p.graph.nodes.iter().filter(|n| n.op == *wanted).count();
    assert_eq!(
        (
            count(&full, &Op::Map(MapOp::Exp)),
            count(&lean, &Op::Map(MapOp::Exp))
        ),
        (2, 1)
    );
    assert_eq!(
        (
            count(&full, &Op::Map(MapOp::Sin)),
            count(&lean, &Op::Map(MapOp::Sin))
        ),
        (1, 0)
    );
    assert!(
        unused.index() < full.graph.nodes.len()
            && count(&lean, &Op::Broadcast) < count(&full, &Op::Broadcast)
    );

    let f32s = |seed, n| Tensor::F32(noise(seed, n).into_iter().map(|x| x as f32).collect());
    let state = State {
        slots: vec![f32s(1, 12), f32s(2, 4)],
    };
    let mut feed = Feed {
        columns: vec![Tensor::F32(vec![]); 1_001],
        ..Feed::default()
    };
    feed.columns[1_000] = f32s(3, 12);
    let last =
        |p: &Program| values(p, &state, &feed).expect("runs")[p.results[0].value.index()].clone();
    assert_eq!(last(&full), last(&lean));
}
