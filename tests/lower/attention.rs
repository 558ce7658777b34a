//! Random attention, forward and backward: what a causal mask leaves out may be skipped, and the bits stay.

use crate::graphs::{Case, Dice, decl};
use mmh_ir::device::{State, Tensor};
use mmh_ir::plan::{Named, Program};
use mmh_ir::*;

const O: Origin = Origin(0);

/// Attention of that number with the gradients of all its operands.
pub(crate) fn attend(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let [batch, head] = [1 + dice.below(3), 1 + dice.below(4)];
    let [time, depth] = [1 + dice.below(80), 1 + dice.below(40)];
    let keys = if dice.below(3) == 0 {
        1 + dice.below(80)
    } else {
        time
    };
    let causal = dice.below(4) > 0;
    let mut graph = Graph::default();
    let (mut state, mut values) = (Vec::new(), State::default());
    let mut input = |graph: &mut Graph, place: (&'static str, usize)| {
        let mut dims = [("batch", batch), place, ("head", head), ("depth", depth)];
        if dice.below(3) == 0 {
            dims.swap(1, 2);
        }
        let ty = Type::f32(Shape::of(&dims));
        let float = |dice: &mut Dice| (dice.below(20_001) as f32 - 10_000.0) / 8_192.0;
        let data = (0..ty.shape.elements()).map(|_| float(&mut dice));
        values.slots.push(Tensor::F32(data.collect()));
        let slot = values.slots.len() as u32 - 1;
        state.push(decl(format!("s{slot}"), &ty));
        graph.push(Op::Input(Input::State(slot)), vec![], ty, O)
    };
    let [q, k, v, g] = [("time", time), ("key", keys), ("key", keys), ("time", time)]
        .map(|place| input(&mut graph, place));
    let attend = Composite::Attend {
        over: vec!["depth".into()],
        key: "key".into(),
        scale: Literal(0.5),
        causal: causal.then(|| "time".into()),
        narrow: dice.below(3) == 0,
    };
    let ty = graph.ty(q).clone();
    let y = graph.push(Op::Composite(attend), vec![q, k, v], ty, O);
    let weighted = graph.map(MapOp::Mul, &[y, g], O);
    let all: Vec<Axis> = graph.shape(weighted).axes().cloned().collect();
    let loss = graph.reduce(ReduceKind::Sum, &all, weighted, O);
    let made = mmh_plan::differentiate(&graph, loss, &[q, k, v]).expect("attention has gradients");
    let named = |(n, value): (usize, ValueId)| Named {
        name: format!("r{n}"),
        value,
    };
    let gradients = made.gradients.iter().flatten().copied();
    let results = std::iter::once(made.values[y.index()]).chain(gradients);
    let results: Vec<Named> = results.enumerate().map(named).collect();
    assert_eq!(results.len(), 4);
    let program = Program {
        name: format!("attention {seed}"),
        batch: 1,
        graph: made.graph,
        updates: vec![],
        results,
        guards: vec![],
    };
    Case::new(program, state, values)
}

#[test]
fn a_causal_mask_is_found_in_every_product() {
    use mmh_lower::schedule::{Absent, Step};
    let causal = (0..).map(attend).find(|case| {
        let nodes = &case.program.graph.nodes;
        nodes.iter().any(|n| n.op == Op::Map(MapOp::Le)) && nodes[0].ty.shape.elements() > 9_000
    });
    let schedule = mmh_lower::lower(&causal.expect("most are causal").program);
    let kinds: Vec<Absent> = schedule
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Contract(step) => Some(step.absent),
            _ => None,
        })
        .collect();
    let count = |kind| kinds.iter().filter(|k| **k == kind).count();
    // Scores and their gradient; values and queries' gradient; gradients of values and keys.
    assert_eq!(count(Absent::OutputAfterRow), 2, "{kinds:?}");
    assert_eq!(count(Absent::ContractedAfterRow), 2, "{kinds:?}");
    assert_eq!(count(Absent::ContractedBeforeRow), 2, "{kinds:?}");
}
