//! A small regression with noise, momentum, a schedule, running state and a watch, run by the interpreter.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of it"
)]

mod fault;

pub(crate) use fault::{Faulty, Power};
use mmh_interpret::Interpreter;
use mmh_ir::plan::*;
use mmh_ir::{
    Axis, DType, Graph, Input, Literal, MapOp, Op, Origin, Plan, RandomKind, ReduceKind, Shape,
    Type, ValueId,
};
use mmh_runtime::{Observer, Options, RunFailure, RunSummary, Session, observe};
use std::path::Path;

pub(crate) const ROWS: usize = 80;
pub(crate) const BATCH: u64 = 16;
pub(crate) const STEPS: u64 = 24;

/// Writes the data and gives the plan for it.
pub(crate) fn plan(folder: &Path) -> Plan {
    let mut text = String::from("x_0,x_1,x_2,y\n");
    let mut state = 12345_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1 << 24) as f64 * 2.0 - 1.0
    };
    for _ in 0..ROWS {
        let x = [next(), next(), next()];
        let y = 0.7 * x[0] - 0.4 * x[1] + 0.1 * x[2] + 0.05 * next() + 0.3;
        text += &format!("{},{},{},{y}\n", x[0], x[1], x[2]);
    }
    // A process that is killed must not leave half of it.
    if !folder.join("data.csv").exists() {
        std::fs::write(folder.join("data.csv"), &text).unwrap();
    }
    let train_rows = 56; // 70 % of 80
    let evaluation = |name: &str, part, rows: u64| Evaluation {
        name: name.into(),
        training: "fit".into(),
        best: true,
        data: 0,
        part,
        batch: 8,
        programs: [8, rows % 8]
            .into_iter()
            .filter(|n| *n > 0)
            .map(|n| evaluate(n as usize))
            .collect(),
        metrics: metrics(),
    };
    Plan {
        edition: 1,
        seed: format!("{:064x}", 7),
        recipe_hash: format!("blake3:{}", "0".repeat(64)),
        data: vec![data(blake3::hash(text.as_bytes()).to_hex().to_string())],
        trainings: vec![Training {
            precision: mmh_ir::plan::Precision::F32,
            name: "fit".into(),
            data: 0,
            part: Part::Train,
            batch: BATCH,
            shuffle: Some("fit.shuffle".into()),
            epoch_steps: 4,
            steps: STEPS,
            state: state_slots(),
            sites: vec!["fit.noise".into()],
            groups: vec![OptimiserGroup::Adam {
                lr: 0.2,
                betas: [0.9, 0.99],
                epsilon: 1e-8,
                decay: 0.0,
                decoupled: true,
            }],
            scalars: vec![StepScalar::AdamRate(0)],
            schedule: vec![
                Segment {
                    steps: 4,
                    curve: Curve::Warmup,
                },
                Segment {
                    steps: 20,
                    curve: Curve::Cosine { floor: 0.1 },
                },
            ],
            programs: vec![step(16), step(train_rows % 16)],
            watch: Some(Watch {
                evaluation: evaluation("fit", Part::Valid, 12),
                maximise: false,
                every: 3,
                patience: None,
            }),
            checkpoint: 5,
            start: None,
            predict: vec![predict(8), predict(1)],
        }],
        evaluations: vec![evaluation("final", Part::Test, 12)],
    }
}

fn metrics() -> Vec<Metric> {
    let metric = |name: &str, kind| Metric {
        name: name.into(),
        kind,
    };
    vec![
        metric("rmse", MetricKind::RootMean(0)),
        metric("accuracy", MetricKind::Share(1)),
        metric(
            "confusion",
            MetricKind::Confusion {
                label: 2,
                predicted: 3,
                classes: vec!["low".into(), "high".into()],
            },
        ),
    ]
}

fn data(blake3: String) -> DataPlan {
    DataPlan {
        name: "points".into(),
        source: SourcePlan::Csv {
            file: FilePlan {
                path: "data.csv".into(),
                blake3,
                within: Within::Plain,
            },
            delimiter: None,
        },
        columns: vec![
            ColumnPlan {
                name: "x".into(),
                kind: ColumnKind::Numbers {
                    fields: vec!["x_0".into(), "x_1".into(), "x_2".into()],
                },
                ty: f32s(&[("feature", 3)]),
            },
            ColumnPlan {
                name: "y".into(),
                kind: ColumnKind::Numbers {
                    fields: vec!["y".into()],
                },
                ty: f32s(&[]),
            },
        ],
        rows: ROWS as u64,
        split: SplitPlan {
            kind: SplitKind::Random,
            shares: [700_000, 150_000, 150_000],
            site: "points.split".into(),
        },
        statistics: vec![StatisticPlan {
            column: 1,
            kind: StatisticKind::Mean,
            ty: f32s(&[]),
        }],
    }
}

fn state_slots() -> Vec<StateDecl> {
    let slot = |path: &str, role, ty, init| StateDecl {
        path: path.into(),
        role,
        ty,
        init,
    };
    let zero = || Init::Constant(Literal(0.0));
    vec![
        slot(
            "net.weight",
            Role::Parameter,
            f32s(&[("feature", 3)]),
            Init::Uniform {
                bound: Literal(0.5),
                site: "net.weight".into(),
            },
        ),
        slot("net.bias", Role::Parameter, f32s(&[]), zero()),
        slot(
            "net.weight.momentum",
            Role::Optimiser,
            f32s(&[("feature", 3)]),
            zero(),
        ),
        slot("net.drift", Role::Persistent, f32s(&[]), zero()),
    ]
}

pub(crate) fn f32s(dims: &[(&str, usize)]) -> Type {
    Type::f32(Shape::of(dims))
}

/// A graph with short names for what is needed here.
pub(crate) struct Builder(pub(crate) Graph);

impl Builder {
    pub(crate) fn input(&mut self, input: Input, ty: Type) -> ValueId {
        self.0.push(Op::Input(input), vec![], ty, Origin(0))
    }

    pub(crate) fn map(&mut self, op: MapOp, inputs: &[ValueId]) -> ValueId {
        self.0.map(op, inputs, Origin(inputs[0].0 + 100))
    }

    pub(crate) fn number(&mut self, value: f32) -> ValueId {
        self.0.constant(value, Origin(0))
    }
}

fn forward(b: &mut Builder, x: ValueId) -> ValueId {
    let weight = b.input(Input::State(0), f32s(&[("feature", 3)]));
    let bias = b.input(Input::State(1), f32s(&[]));
    let product = b.0.contract(x, weight, &[Axis::new("feature")], Origin(1));
    b.map(MapOp::Add, &[product, bias])
}

fn columns(b: &mut Builder, n: usize) -> (ValueId, ValueId) {
    let x = b.input(Input::Column(0), f32s(&[("batch", n), ("feature", 3)]));
    let y = b.input(Input::Column(1), f32s(&[("batch", n)]));
    let mean = b.input(Input::Statistic(0), f32s(&[]));
    (x, b.map(MapOp::Sub, &[y, mean]))
}

/// The value of the step program that holds the rows with noise.
pub(crate) const NOISY: &str = "noisy";

pub(crate) fn step(n: usize) -> Program {
    let mut b = Builder(Graph::default());
    let (x, y) = columns(&mut b, n);
    let key = b.input(
        Input::Key(0),
        Type::new(DType::I32, Shape::of(&[("word", 8)])),
    );
    let rows = b.input(
        Input::Rows,
        Type::new(DType::I32, Shape::of(&[("batch", n)])),
    );
    let noise = b.0.push(
        Op::Random(RandomKind::Normal),
        vec![key, rows],
        f32s(&[("batch", n), ("feature", 3)]),
        Origin(2),
    );
    let size = b.number(0.05);
    let x = b.map(MapOp::Fma, &[noise, size, x]);
    let guess = forward(&mut b, x);
    let error = b.map(MapOp::Sub, &[guess, y]);
    let square = b.map(MapOp::Mul, &[error, error]);
    let batch = [Axis::new("batch")];
    let sum = b.0.reduce(ReduceKind::Sum, &batch, square, Origin(3));
    let count = b.number(n as f32);
    let loss = b.map(MapOp::Div, &[sum, count]);
    let factor = b.number(2.0 / n as f32);
    let scaled = b.map(MapOp::Mul, &[error, factor]);
    let weight_gradient = b.0.contract(scaled, x, &batch, Origin(4));
    let bias_gradient = b.0.reduce(ReduceKind::Sum, &batch, scaled, Origin(5));
    let rate = b.input(Input::Scalar(0), f32s(&[]));
    let rate = b.map(MapOp::Neg, &[rate]);
    let [weight, bias, momentum, drift] = [(0, 3), (1, 1), (2, 3), (3, 1)].map(|(slot, size)| {
        let ty = if size == 3 {
            f32s(&[("feature", 3)])
        } else {
            f32s(&[])
        };
        b.input(Input::State(slot), ty)
    });
    let mu = b.number(0.5);
    let momentum = b.map(MapOp::Fma, &[mu, momentum, weight_gradient]);
    let weight = b.map(MapOp::Fma, &[rate, momentum, weight]);
    let bias = b.map(MapOp::Fma, &[rate, bias_gradient, bias]);
    let away = b.map(MapOp::Sub, &[bias_gradient, drift]);
    let tenth = b.number(0.1);
    let drift = b.map(MapOp::Fma, &[tenth, away, drift]);
    let updates = [weight, bias, momentum, drift]
        .into_iter()
        .zip(0..)
        .map(|(value, slot)| Update { slot, value });
    Program {
        name: format!("step {n}"),
        batch: n as u64,
        graph: b.0,
        updates: updates.collect(),
        results: vec![
            Named {
                name: "loss".into(),
                value: loss,
            },
            Named {
                name: NOISY.into(),
                value: x,
            },
        ],
        guards: vec![Named {
            name: "loss".into(),
            value: loss,
        }],
    }
}

fn evaluate(n: usize) -> Program {
    let mut b = Builder(Graph::default());
    let (x, y) = columns(&mut b, n);
    let guess = forward(&mut b, x);
    let error = b.map(MapOp::Sub, &[guess, y]);
    let square = b.map(MapOp::Mul, &[error, error]);
    let zero = b.number(0.0);
    let label = b.map(MapOp::Gt, &[y, zero]);
    let label = b.map(MapOp::ToI32, &[label]);
    let predicted = b.map(MapOp::Gt, &[guess, zero]);
    let predicted = b.map(MapOp::ToI32, &[predicted]);
    let right = b.map(MapOp::Eq, &[label, predicted]);
    results(
        format!("evaluate {n}"),
        n,
        b.0,
        &[square, right, label, predicted],
    )
}

fn predict(n: usize) -> Program {
    let mut b = Builder(Graph::default());
    let x = b.input(Input::Column(0), f32s(&[("batch", n), ("feature", 3)]));
    let guess = forward(&mut b, x);
    results(format!("predict {n}"), n, b.0, &[guess])
}

pub(crate) fn results(name: String, n: usize, graph: Graph, values: &[ValueId]) -> Program {
    let results = values
        .iter()
        .map(|value| Named {
            name: value.to_string(),
            value: *value,
        })
        .collect();
    Program {
        name,
        batch: n as u64,
        graph,
        updates: vec![],
        results,
        guards: vec![],
    }
}

/// Counts what it is told.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) steps: u64,
    pub(crate) saved: u64,
    pub(crate) watched: u64,
    pub(crate) losses: Vec<f32>,
}

impl Observer for Count {
    fn step(&mut self, report: &observe::StepReport) {
        self.steps += 1;
        self.losses.extend(report.loss);
    }

    fn saved(&mut self, _step: u64) {
        self.saved += 1;
    }

    fn watched(&mut self, _report: &observe::WatchReport<'_>) {
        self.watched += 1;
    }
}

pub(crate) fn run(
    plan: &Plan,
    base: &Path,
    options: Options,
) -> (Result<RunSummary, RunFailure>, Count) {
    let mut count = Count::default();
    let result =
        Session::new(plan, base, &Interpreter, options).and_then(|session| session.run(&mut count));
    (result, count)
}

pub(crate) fn into(folder: &Path) -> Options {
    Options {
        out: Some(folder.to_path_buf()),
        checkpoint_seconds: None,
        ..Options::default()
    }
}

pub(crate) fn resume(folder: &Path) -> Options {
    Options {
        resume: true,
        ..into(folder)
    }
}
