//! Random graphs, and what it means that a device has the oracle's bits on them.

use mmh_ir::device::{Device, Feed, State, Tensor};
use mmh_ir::plan::{Init, Named, Program, Role, StateDecl, Update};
use mmh_ir::*;

/// A small generator, so that a failing graph is named by one number.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        dice.below(2);
        dice
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn float(&mut self) -> f32 {
        let specials = [0.0, -0.0, 1.0, -1.0, 1e-39, 3e38, -2.5];
        if self.below(40) == 0 {
            self.pick(&specials)
        } else {
            (self.below(20_001) as f32 - 10_000.0) / 4_096.0
        }
    }
}

const UNARY: [MapOp; 14] = [
    MapOp::Neg,
    MapOp::Abs,
    MapOp::Sqrt,
    MapOp::Rsqrt,
    MapOp::Exp,
    MapOp::Log,
    MapOp::Tanh,
    MapOp::Sigmoid,
    MapOp::Erf,
    MapOp::Gelu,
    MapOp::Relu,
    MapOp::Sin,
    MapOp::Cos,
    MapOp::Floor,
];
const BINARY: [MapOp; 7] = [
    MapOp::Add,
    MapOp::Sub,
    MapOp::Mul,
    MapOp::Div,
    MapOp::Min,
    MapOp::Max,
    MapOp::Pow,
];
const O: Origin = Origin(0);

/// A program with its state.
pub(crate) struct Case {
    pub(crate) program: Program,
    state: Vec<StateDecl>,
    values: State,
}

impl Case {
    /// A program that is well formed.
    pub(crate) fn new(program: Program, state: Vec<StateDecl>, values: State) -> Self {
        let verified = program.graph.verify();
        verified.unwrap_or_else(|e| panic!("{}: {e}", program.name));
        Self {
            program,
            state,
            values,
        }
    }
}

pub(crate) fn decl(path: String, ty: &Type) -> StateDecl {
    StateDecl {
        path,
        role: Role::Parameter,
        ty: ty.clone(),
        init: Init::Constant(Literal(0.0)),
    }
}

/// The graph of that number.
pub(crate) fn grow(seed: u64) -> Case {
    grown(seed, false)
}

/// The graph of that number, with values rounded as in bf16.
pub(crate) fn grow_narrow(seed: u64) -> Case {
    grown(seed, true)
}

fn grown(seed: u64, narrow: bool) -> Case {
    let mut dice = Dice::new(seed);
    let sizes = [
        ("batch", 1 + dice.below(70)),
        ("time", 1 + dice.below(9)),
        ("feature", 1 + dice.below(130)),
        ("head", 1 + dice.below(5)),
    ];
    let mut graph = Graph::default();
    let mut pool = Vec::new();
    let mut state = Vec::new();
    let mut values = State::default();
    for slot in 0..4u32 {
        let mut dims: Vec<(&str, usize)> = sizes
            .iter()
            .copied()
            .filter(|_| dice.below(3) > 0)
            .collect();
        if dice.below(3) == 0 {
            dims.reverse();
        }
        let ty = Type::f32(Shape::of(&dims));
        values.slots.push(Tensor::F32(
            (0..ty.shape.elements()).map(|_| dice.float()).collect(),
        ));
        state.push(decl(format!("s{slot}"), &ty));
        pool.push(graph.push(Op::Input(Input::State(slot)), vec![], ty, O));
    }
    let states = pool.clone();
    for _ in 0..4 + dice.below(14) {
        let x = dice.pick(&pool);
        let y = dice.pick(&pool);
        let (x, y) = if narrow && dice.below(2) == 0 {
            (round(&mut graph, x), round(&mut graph, y))
        } else {
            (x, y)
        };
        let mut value = step(&mut dice, &mut graph, x, y);
        if narrow && dice.below(2) == 0 {
            value = round(&mut graph, value);
        }
        if graph.shape(value).elements() < 300_000 {
            pool.push(value);
        }
    }
    let mut updates = Vec::new();
    for (slot, &old) in states.iter().enumerate() {
        let shape = graph.shape(old).clone();
        let fits: Vec<ValueId> = pool
            .iter()
            .copied()
            .filter(|v| {
                graph
                    .shape(*v)
                    .0
                    .iter()
                    .all(|d| shape.size(&d.axis) == Some(d.size))
            })
            .collect();
        if dice.below(3) > 0 {
            let from = dice.pick(&fits);
            let from = graph.broadcast(from, &shape, O);
            let value = graph.map(MapOp::Fma, &[old, from, old], O);
            let value = graph.broadcast(value, &shape, O);
            updates.push(Update {
                slot: slot as u32,
                value,
            });
        }
    }
    let named = |value: ValueId| Named {
        name: format!("{value}"),
        value,
    };
    let results: Vec<Named> = pool.iter().rev().take(3).copied().map(named).collect();
    let program = Program {
        name: format!("seed {seed}"),
        batch: 1,
        graph,
        updates,
        results,
        guards: vec![],
    };
    Case::new(program, state, values)
}

fn round(graph: &mut Graph, x: ValueId) -> ValueId {
    if graph.ty(x).dtype == DType::F32 {
        graph.map(MapOp::Bf16, &[x], O)
    } else {
        x
    }
}

fn step(dice: &mut Dice, graph: &mut Graph, x: ValueId, y: ValueId) -> ValueId {
    let axes: Vec<Axis> = graph.shape(x).axes().cloned().collect();
    match dice.below(12) {
        0 | 1 => graph.map(dice.pick(&UNARY), &[x], O),
        2 | 3 => graph.map(dice.pick(&BINARY), &[x, y], O),
        4 => {
            let c = graph.map(MapOp::Lt, &[x, y], O);
            graph.map(MapOp::Select, &[c, y, x], O)
        }
        5 | 6 if !axes.is_empty() => {
            let mut over: Vec<Axis> = axes
                .iter()
                .filter(|_| dice.below(2) == 0)
                .cloned()
                .collect();
            if over.is_empty() {
                over.push(dice.pick(&axes));
            }
            if dice.below(4) == 0 {
                over.reverse();
            }
            let kind = dice.pick(&[
                ReduceKind::Sum,
                ReduceKind::Sum,
                ReduceKind::Max,
                ReduceKind::Min,
                ReduceKind::ArgMax,
            ]);
            let r = graph.reduce(kind, &over, x, O);
            if kind == ReduceKind::ArgMax {
                graph.map(MapOp::ToF32, &[r], O)
            } else {
                r
            }
        }
        7 | 8 => {
            let shared: Vec<Axis> = axes
                .iter()
                .filter(|a| graph.shape(y).has(a))
                .cloned()
                .collect();
            let mut over: Vec<Axis> = shared
                .iter()
                .filter(|_| dice.below(2) == 0)
                .cloned()
                .collect();
            if dice.below(3) == 0 {
                over.reverse();
            }
            graph.contract(x, y, &over, O)
        }
        9 if !axes.is_empty() => {
            let axis = dice.pick(&axes);
            let size = graph.shape(x).size(&axis).unwrap_or(1);
            let start = dice.below(size);
            let mut ty = graph.ty(x).clone();
            for d in ty.shape.0.iter_mut().filter(|d| d.axis == axis) {
                d.size = size - start;
            }
            let part = graph.push(
                Op::Slice {
                    axis: axis.clone(),
                    start,
                    step: 1,
                },
                vec![x],
                ty,
                O,
            );
            let ty = graph.ty(x).clone();
            graph.push(
                Op::Pad {
                    axis,
                    before: dice.below(start + 1),
                    step: 1,
                },
                vec![part],
                ty,
                O,
            )
        }
        10 if !axes.is_empty() => {
            let axis = dice.pick(&axes);
            let ty = Type::new(
                DType::I32,
                Shape(vec![
                    graph
                        .shape(x)
                        .0
                        .iter()
                        .find(|d| d.axis == axis)
                        .cloned()
                        .unwrap_or(Dim { axis, size: 1 }),
                ]),
            );
            let p = graph.push(Op::Position, vec![], ty, O);
            let p = graph.map(MapOp::ToF32, &[p], O);
            graph.map(MapOp::Fma, &[x, p, y], O)
        }
        _ => {
            let z = graph.constant(dice.float(), O);
            graph.map(MapOp::Fma, &[x, z, y], O)
        }
    }
}

/// The bits of a value, every NaN the same.
fn bits(tensor: &Tensor) -> Vec<u32> {
    match tensor {
        Tensor::F32(v) => v
            .iter()
            .map(|x| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() })
            .collect(),
        Tensor::I32(v) => v.iter().map(|x| x.cast_unsigned()).collect(),
        Tensor::U8(v) | Tensor::Bool(v) => v.iter().map(|x| u32::from(*x)).collect(),
    }
}

/// What two steps give: results, then state.
pub(crate) fn run(device: &dyn Device, case: &Case) -> Vec<Vec<u32>> {
    let mut state = case.values.clone();
    let mut loaded = device
        .load(&case.program, &case.state)
        .unwrap_or_else(|e| panic!("{}: {e}", case.program.name));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let results = loaded
            .run(&mut state, &Feed::default())
            .unwrap_or_else(|e| panic!("{}: {e}", case.program.name));
        seen.extend(results.iter().map(bits));
    }
    seen.extend(state.slots.iter().map(bits));
    seen
}

/// Fails at the first element that differs.
pub(crate) fn compare(device: &dyn Device, case: &Case, want: &[Vec<u32>], what: &str) {
    let got = run(device, case);
    for (n, (got, want)) in got.iter().zip(want).enumerate() {
        if let Some(at) = got.iter().zip(want).position(|(g, w)| g != w) {
            let (g, w) = (f32::from_bits(got[at]), f32::from_bits(want[at]));
            panic!(
                "{} {what}: output {n} element {at} is {g:e}, not {w:e}\n{}",
                case.program.name,
                text::write_graph(&case.program.graph)
            );
        }
    }
}
