//! Hand-built recipes from forward graph to trained model, in the interpreter.

mod support;

use mmh_check::recipe::{
    Declarations, Evaluate, Forward, OptimiserSpec, Purpose, Train, WatchSpec,
};
use mmh_diag::{Code, Diagnostic, Span};
use mmh_interpret::Interpreter;
use mmh_ir::device::{Device, Feed, State, Tensor};
use mmh_ir::plan::{
    Init, Metric, MetricKind, Named, OptimiserGroup, Part, Plan, Role, StateDecl, StepScalar,
    Training, Update,
};
use mmh_ir::{
    Composite, DType, Input, Literal, MapOp, Op, Origin, ReduceKind, Shape, Type, ValueId,
};
use mmh_plan::{Model, Source, StepPlan, plan, step_program};
use support::maker::{Maker, axes, window};
use support::noise;

const SGD: OptimiserGroup = OptimiserGroup::Sgd {
    lr: 0.1,
    momentum: 0.9,
    nesterov: false,
    decay: 0.0,
};
const ADAMW: OptimiserGroup = OptimiserGroup::Adam {
    lr: 0.01,
    betas: [0.9, 0.999],
    epsilon: 1e-8,
    decay: 0.01,
    decoupled: true,
};

/// Declarations of one training of 20 rows in batches of 8, with a network made by a function.
struct Recipe {
    declarations: Declarations,
    network: fn(&mut Maker, ValueId, bool) -> ValueId,
    input: Vec<(&'static str, usize)>,
    paths: Vec<(&'static str, Role)>,
}

impl Recipe {
    fn new(
        network: fn(&mut Maker, ValueId, bool) -> ValueId,
        input: &[(&'static str, usize)],
        paths: &[(&'static str, Role)],
        optimiser: OptimiserGroup,
    ) -> Self {
        let train = Train {
            name: "fit".into(),
            span: Span::default(),
            data: 0,
            part: Part::Train,
            rows: 20,
            batch: 8,
            shuffle: None,
            epoch_steps: 3,
            steps: 60,
            optimisers: vec![OptimiserSpec {
                group: optimiser,
                on: vec![],
            }],
            clip: Some(5.0),
            schedule: vec![],
            checkpoint: 10,
            start: None,
            audit: None,
            precision: mmh_ir::plan::Precision::F32,
            watch: Some(WatchSpec {
                data: 0,
                part: Part::Valid,
                rows: 300,
                maximise: true,
                every: 3,
                patience: None,
            }),
        };
        let evaluate = Evaluate {
            name: "final".into(),
            training: 0,
            best: true,
            data: 0,
            part: Part::Test,
            rows: 5,
        };
        let declarations = Declarations {
            recipe_hash: "blake3:0".into(),
            seed: [0xab; 32],
            data: vec![],
            trainings: vec![train],
            evaluations: vec![evaluate],
            search: None,
            not_yet: vec![],
        };
        Self {
            declarations,
            network,
            input: input.to_vec(),
            paths: paths.to_vec(),
        }
    }
}

impl Source for Recipe {
    fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    fn forward(&self, _: usize, purpose: Purpose, batch: u64) -> Result<Forward, Vec<Diagnostic>> {
        let batch = batch as usize;
        let mut m = Maker::default();
        let dims: Vec<_> = std::iter::once(("batch", batch))
            .chain(self.input.iter().copied())
            .collect();
        let x = m.f32(Op::Input(Input::Column(0)), &[], Shape::of(&dims));
        let scores = (self.network)(&mut m, x, purpose == Purpose::Step);
        let label = m.index(1, &[("batch", batch)]);
        let output = |name: &str, value| Named {
            name: name.into(),
            value,
        };
        let mut updates = vec![];
        let (outputs, metrics) = match purpose {
            Purpose::Step => {
                let entropy = Op::Composite(Composite::CrossEntropy {
                    class: "class".into(),
                });
                let each = m.f32(entropy, &[scores, label], Shape::of(&[("batch", batch)]));
                let sum = m.reduce(ReduceKind::Sum, &["batch"], each);
                let count = m.constant(batch as f32);
                updates.extend(m.next.drain(..).map(|(slot, value)| Update { slot, value }));
                (
                    vec![output("loss", m.map(MapOp::Div, &[sum, count]))],
                    vec![],
                )
            }
            Purpose::Predict => (vec![output("predict", scores)], vec![]),
            Purpose::Watch | Purpose::Evaluate(_) => {
                let best = m.reduce(ReduceKind::ArgMax, &["class"], scores);
                let hit = m.map(MapOp::Eq, &[best, label]);
                let metric = Metric {
                    name: "accuracy".into(),
                    kind: MetricKind::Share(0),
                };
                (vec![output("hit", hit)], vec![metric])
            }
        };
        let state = support::state_inputs(&m.graph).into_iter().zip(&self.paths);
        let state = state.map(|(value, (path, role))| StateDecl {
            path: (*path).into(),
            role: *role,
            ty: m.graph.ty(value).clone(),
            init: Init::Constant(Literal(0.0)),
        });
        let state = state.collect();
        Ok(Forward {
            state,
            graph: m.graph,
            sites: vec![],
            updates,
            outputs,
            metrics,
        })
    }
}

fn mlp(m: &mut Maker, x: ValueId, _: bool) -> ValueId {
    let w = m.param(&[("pixel", 6), ("feature", 5)]);
    let b = m.param(&[("feature", 5)]);
    let h = m.contract(x, w, &["pixel"]);
    let h = m.map(MapOp::Add, &[h, b]);
    let h = m.map(MapOp::Gelu, &[h]);
    let w = m.param(&[("feature", 5), ("class", 3)]);
    m.contract(h, w, &["feature"])
}

/// Convolution, normalisation with a running mean, relu, pool, linear.
fn conv_net(m: &mut Maker, x: ValueId, training: bool) -> ValueId {
    let p = m.window(x, window("height", "row", [1, 1, -1], 0.0), 6, 3);
    let p = m.window(p, window("width", "column", [1, 1, -1], 0.0), 6, 3);
    let w = m.param(&[("row", 3), ("column", 3), ("channel", 2), ("filter", 4)]);
    let y = m.contract(p, w, &["row", "column", "channel"]);
    let y = normalised(m, y, training);
    let y = m.map(MapOp::Relu, &[y]);
    let low = f32::NEG_INFINITY;
    let p = m.window(y, window("height", "row", [2, 1, 0], low), 3, 2);
    let p = m.window(p, window("width", "column", [2, 1, 0], low), 3, 2);
    let y = m.reduce(ReduceKind::Max, &["row", "column"], p);
    let w = m.param(&[("height", 3), ("width", 3), ("filter", 4), ("class", 3)]);
    m.contract(y, w, &["height", "width", "filter"])
}

fn normalised(m: &mut Maker, y: ValueId, training: bool) -> ValueId {
    let running = m.param(&[("filter", 4)]);
    if !training {
        return m.map(MapOp::Sub, &[y, running]);
    }
    let over = ["batch", "height", "width"];
    let shape = m.graph.shape(y).clone();
    let count = m.constant((shape.elements() / 4) as f32);
    let sum = m.reduce(ReduceKind::Sum, &over, y);
    let mean = m.map(MapOp::Div, &[sum, count]);
    let centred = m.map(MapOp::Sub, &[y, mean]);
    let square = m.map(MapOp::Mul, &[centred, centred]);
    let sum = m.reduce(ReduceKind::Sum, &over, square);
    let variance = m.map(MapOp::Div, &[sum, count]);
    let away = m.map(MapOp::Sub, &[mean, running]);
    let momentum = m.constant(0.125);
    let next = m.map(MapOp::Fma, &[momentum, away, running]);
    m.next.push((1, next));
    let normalise = Composite::Normalise {
        over: axes(&over),
        epsilon: Literal(1e-5),
    };
    m.f32(Op::Composite(normalise), &[y, mean, variance], shape)
}

/// Runs a training's steps over 20 rows and gives the losses.
fn train(training: &Training, row: usize) -> (Vec<f32>, State) {
    let programs = training.programs.iter();
    let mut machines: Vec<_> = programs
        .map(|p| Interpreter.load(p, &training.state).expect("loads"))
        .collect();
    let slots = training.state.iter().enumerate().map(|(n, slot)| {
        let data = noise(n as u64 + 1, slot.ty.shape.elements());
        let scale = if slot.role == Role::Parameter {
            0.3
        } else {
            0.0
        };
        Tensor::F32(data.into_iter().map(|x| (x * scale) as f32).collect())
    });
    let mut state = State {
        slots: slots.collect(),
    };
    let pixels: Vec<f32> = noise(99, 20 * row).into_iter().map(|x| x as f32).collect();
    let labels: Vec<i32> = pixels
        .chunks(row)
        .map(|r| (r[0] > 0.0) as i32 + (r[1] > 0.0) as i32)
        .collect();
    let mut losses = vec![];
    for step in 0..training.steps as i32 {
        let start = step as usize % 3 * 8;
        let end = (start + 8).min(20);
        let columns = vec![
            Tensor::F32(pixels[start * row..end * row].to_vec()),
            Tensor::I32(labels[start..end].to_vec()),
        ];
        let scalars = training.scalars.iter().map(|s| scalar(*s)).collect();
        let feed = Feed {
            columns,
            scalars,
            step,
            ..Feed::default()
        };
        let machine = &mut machines[usize::from(end - start != 8)];
        let results = machine.run(&mut state, &feed).expect("runs");
        losses.push(results[0].as_f32().expect("f32")[0]);
    }
    (losses, state)
}

fn scalar(scalar: StepScalar) -> f32 {
    match scalar {
        StepScalar::Rate(_) => 0.1,
        StepScalar::AdamRate(_) => 0.01,
        StepScalar::AdamEpsilon(_) => 1e-8,
        StepScalar::DecayFactor(_) => 1.0 - 1e-4,
    }
}

fn falls(losses: &[f32]) {
    let (first, last) = (
        losses[..3].iter().sum::<f32>(),
        losses[losses.len() - 3..].iter().sum::<f32>(),
    );
    assert!(last < 0.5 * first, "{first} to {last}: {losses:?}");
}

#[test]
fn a_perceptron_learns() {
    let paths = [
        ("net.a.weight", Role::Parameter),
        ("net.a.bias", Role::Parameter),
        ("net.b.weight", Role::Parameter),
    ];
    let recipe = Recipe::new(mlp, &[("pixel", 6)], &paths, SGD);
    let plan = plan(&recipe).expect("a plan");
    let training = &plan.trainings[0];
    falls(&train(training, 6).0);
    let names: Vec<&str> = training.state.iter().map(|s| s.path.as_str()).collect();
    let moments = ["net.a.weight/v", "net.a.bias/v", "net.b.weight/v"];
    assert_eq!(
        names,
        [
            &["net.a.weight", "net.a.bias", "net.b.weight"][..],
            &moments
        ]
        .concat()
    );
    assert_eq!(training.scalars, [StepScalar::Rate(0)]);
}

#[test]
fn a_convolution_learns_and_keeps_statistics() {
    let paths = [
        ("net.conv.weight", Role::Parameter),
        ("net.norm.mean", Role::Persistent),
        ("net.out.weight", Role::Parameter),
    ];
    let recipe = Recipe::new(
        conv_net,
        &[("height", 6), ("width", 6), ("channel", 2)],
        &paths,
        ADAMW,
    );
    let plan = plan(&recipe).expect("a plan");
    let training = &plan.trainings[0];
    let (losses, state) = train(training, 72);
    falls(&losses);
    assert!(
        state.slots[1]
            .as_f32()
            .expect("f32")
            .iter()
            .all(|x| *x != 0.0)
    );
    let guards: Vec<&str> = training.programs[0]
        .guards
        .iter()
        .map(|g| g.name.as_str())
        .collect();
    assert_eq!(
        guards,
        [
            "loss",
            "gradient of net.conv.weight",
            "gradient of net.out.weight"
        ]
    );
    for program in &training.programs {
        let updated: Vec<u32> = program.updates.iter().map(|u| u.slot).collect();
        assert_eq!(updated, [0, 1, 2, 3, 4, 5, 6]);
    }
    let scalars = [
        StepScalar::AdamRate(0),
        StepScalar::AdamEpsilon(0),
        StepScalar::DecayFactor(0),
    ];
    assert_eq!(training.scalars, scalars);
}

#[test]
fn programs_cover_every_batch_and_share_slots() {
    let paths = [
        ("w", Role::Parameter),
        ("b", Role::Parameter),
        ("v", Role::Parameter),
    ];
    let plan = plan(&Recipe::new(mlp, &[("pixel", 6)], &paths, ADAMW)).expect("a plan");
    let training = &plan.trainings[0];
    let batches =
        |programs: &[mmh_ir::plan::Program]| programs.iter().map(|p| p.batch).collect::<Vec<_>>();
    assert_eq!(batches(&training.programs), [8, 4]);
    assert_eq!(batches(&training.predict), [1, 256]);
    let watch = training.watch.as_ref().expect("watched");
    assert_eq!(batches(&watch.evaluation.programs), [256, 44]);
    assert_eq!(
        (watch.evaluation.batch, watch.evaluation.name.as_str()),
        (256, "fit")
    );
    assert_eq!(batches(&plan.evaluations[0].programs), [5]);
    assert_eq!(plan.evaluations[0].metrics.len(), 1);
    assert_eq!(plan.seed, "ab".repeat(32));
    for program in training.predict.iter().chain(&plan.evaluations[0].programs) {
        assert!(program.updates.is_empty());
        Interpreter
            .load(program, &training.state)
            .expect("the slots fit");
    }
}

#[test]
fn plans_read_back() {
    let paths = [
        ("w", Role::Parameter),
        ("b", Role::Parameter),
        ("v", Role::Parameter),
    ];
    let plan = plan(&Recipe::new(mlp, &[("pixel", 6)], &paths, ADAMW)).expect("a plan");
    let text = plan.to_text();
    let back = Plan::from_text(&text).expect("reads back");
    assert_eq!(back.to_text(), text);
    assert_eq!(back.hash(), plan.hash());
    assert!(text.contains("contract(over = [pixel])"));
}

#[test]
fn a_loss_without_parameters_is_a_mistake() {
    fn constant(m: &mut Maker, x: ValueId, _: bool) -> ValueId {
        let stop = Op::Composite(Composite::StopGradient);
        let y = mlp(m, x, true);
        let shape = m.graph.shape(y).clone();
        m.f32(stop, &[y], shape)
    }
    let paths = [
        ("w", Role::Parameter),
        ("b", Role::Parameter),
        ("v", Role::Parameter),
    ];
    let mistakes =
        plan(&Recipe::new(constant, &[("pixel", 6)], &paths, SGD)).expect_err("no gradient");
    assert_eq!(mistakes.first().map(|m| m.code), Some(Code::LossNoGradient));
}

/// One step of `loss = p·x` with two parameters, and the state after it: gradients are the columns.
fn one_step(
    group: OptimiserGroup,
    clip: Option<f64>,
    scalars: &[(StepScalar, f32)],
    state: &[[f32; 2]],
) -> Vec<Tensor> {
    let mut m = Maker::default();
    let a = m.param(&[("i", 2)]);
    let b = m.param(&[("i", 2)]);
    let column = |m: &mut Maker, n| m.f32(Op::Input(Input::Column(n)), &[], Shape::of(&[("i", 2)]));
    let (x, y) = (column(&mut m, 0), column(&mut m, 1));
    let (left, right) = (m.map(MapOp::Mul, &[a, x]), m.map(MapOp::Mul, &[b, y]));
    let sum = m.map(MapOp::Add, &[left, right]);
    let loss = m.reduce(ReduceKind::Sum, &["i"], sum);
    let decl = |path: &str| StateDecl {
        path: path.into(),
        role: Role::Parameter,
        ty: Type::f32(Shape::of(&[("i", 2)])),
        init: Init::Constant(Literal(0.0)),
    };
    let forward = Forward {
        graph: m.graph,
        state: vec![decl("net.a"), decl("net.b")],
        sites: vec![],
        updates: vec![],
        outputs: vec![Named {
            name: "loss".into(),
            value: loss,
        }],
        metrics: vec![],
    };
    let mut model = Model::default();
    model.add(&forward);
    let mut declared = vec![];
    let optimisers = [OptimiserSpec {
        group,
        on: vec!["net".into()],
    }];
    let how = StepPlan {
        optimisers: &optimisers,
        clip,
    };
    let program =
        step_program("step", 1, &forward, &mut model, &mut declared, how).expect("trains");
    let fed = declared
        .iter()
        .map(|s| scalars.iter().find(|(t, _)| t == s).expect("wanted").1);
    let feed = Feed {
        columns: vec![Tensor::F32(vec![3.0, -4.0]), Tensor::F32(vec![12.0, 0.0])],
        scalars: fed.collect(),
        ..Feed::default()
    };
    let mut state = State {
        slots: state.iter().map(|s| Tensor::F32(s.to_vec())).collect(),
    };
    let mut machine = Interpreter.load(&program, &model.state).expect("loads");
    machine.run(&mut state, &feed).expect("runs");
    state.slots
}

fn near(found: &Tensor, expected: [f64; 2]) {
    let found = found.as_f32().expect("f32");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6 * (1.0 + expected.abs()),
            "{found} is not {expected}"
        );
    }
}

#[test]
fn sgd_by_hand() {
    let rate = [(StepScalar::Rate(0), 0.5)];
    let plain = OptimiserGroup::Sgd {
        lr: 0.5,
        momentum: 0.0,
        nesterov: false,
        decay: 0.25,
    };
    // g = 0.25·p + (3, −4); p − 0.5·g.
    let after = one_step(plain, None, &rate, &[[1.0, 2.0], [0.0, 0.0]]);
    assert_eq!(after.len(), 2);
    near(&after[0], [1.0 - 0.5 * 3.25, 2.0 + 0.5 * 3.5]);
    let state = [[1.0, 2.0], [0.0, 0.0], [10.0, 20.0], [0.0, 0.0]];
    let momentum = OptimiserGroup::Sgd {
        lr: 0.5,
        momentum: 0.5,
        nesterov: false,
        decay: 0.0,
    };
    // v = 0.5·(10, 20) + (3, −4) = (8, 6).
    let after = one_step(momentum, None, &rate, &state);
    near(&after[2], [8.0, 6.0]);
    near(&after[0], [1.0 - 4.0, 2.0 - 3.0]);
    let nesterov = OptimiserGroup::Sgd {
        lr: 0.5,
        momentum: 0.5,
        nesterov: true,
        decay: 0.0,
    };
    // 0.5·(8, 6) + (3, −4) = (7, −1).
    let after = one_step(nesterov, None, &rate, &state);
    near(&after[2], [8.0, 6.0]);
    near(&after[0], [1.0 - 3.5, 2.0 + 0.5]);
}

#[test]
fn adam_by_hand() {
    let scalars = [
        (StepScalar::AdamRate(0), 0.5),
        (StepScalar::AdamEpsilon(0), 0.125),
        (StepScalar::DecayFactor(0), 0.75),
    ];
    // Slots: a, b, a/m, a/v, b/m, b/v.
    let state = [
        [1.0, 2.0],
        [0.0, 0.0],
        [2.0, 4.0],
        [9.0, 1.0],
        [0.0, 0.0],
        [0.0, 0.0],
    ];
    let group = |decay, decoupled| OptimiserGroup::Adam {
        lr: 0.1,
        betas: [0.5, 0.75],
        epsilon: 1e-8,
        decay,
        decoupled,
    };
    let (m, v) = ([2.5, 0.0], [9.0, 4.75_f64]);
    let expected = |p: [f64; 2], m: [f64; 2], v: [f64; 2]| {
        [0, 1].map(|i| p[i] - 0.5 * (m[i] / (v[i].sqrt() + 0.125)))
    };
    let after = one_step(group(0.0, true), None, &scalars, &state);
    near(&after[2], m);
    near(&after[3], v);
    near(&after[0], expected([1.0, 2.0], m, v));
    let after = one_step(group(0.01, true), None, &scalars, &state);
    near(&after[0], expected([0.75, 1.5], m, v));
    // Coupled decay 2: g = 2·(1, 2) + (3, −4) = (5, 0).
    let after = one_step(group(2.0, false), None, &scalars, &state);
    let (m, v) = ([3.5, 2.0], [0.75 * 9.0 + 0.25 * 25.0, 0.75]);
    near(&after[2], m);
    near(&after[3], v);
    near(&after[0], expected([1.0, 2.0], m, v));
}

#[test]
fn clipping_by_hand() {
    let rate = [(StepScalar::Rate(0), 1.0)];
    let sgd = OptimiserGroup::Sgd {
        lr: 1.0,
        momentum: 0.0,
        nesterov: false,
        decay: 0.0,
    };
    // The common norm of (3, −4) and (12, 0) is 13.
    let after = one_step(sgd.clone(), Some(6.5), &rate, &[[0.0, 0.0], [0.0, 0.0]]);
    assert_eq!(
        after,
        [Tensor::F32(vec![-1.5, 2.0]), Tensor::F32(vec![-6.0, 0.0])]
    );
    let after = one_step(sgd, Some(13.0), &rate, &[[0.0, 0.0], [0.0, 0.0]]);
    assert_eq!(
        after,
        [Tensor::F32(vec![-3.0, 4.0]), Tensor::F32(vec![-12.0, 0.0])]
    );
}

#[test]
fn groups_go_by_path_and_others_stay() {
    let sgd = OptimiserGroup::Sgd {
        lr: 1.0,
        momentum: 0.0,
        nesterov: false,
        decay: 0.0,
    };
    let mut m = Maker::default();
    let params: Vec<ValueId> = (0..3).map(|_| m.param(&[])).collect();
    let product = m.map(MapOp::Mul, &params[..2]);
    let loss = m.map(MapOp::Mul, &[product, params[2]]);
    let decl = |path: &str| StateDecl {
        path: path.into(),
        role: Role::Parameter,
        ty: Type::new(DType::F32, Shape::scalar()),
        init: Init::Constant(Literal(1.0)),
    };
    let forward = Forward {
        graph: m.graph,
        state: ["net.body", "net.body2", "net.head"].map(decl).to_vec(),
        sites: vec![],
        updates: vec![],
        outputs: vec![Named {
            name: "loss".into(),
            value: loss,
        }],
        metrics: vec![],
    };
    let on = |path: &str| OptimiserSpec {
        group: sgd.clone(),
        on: vec![path.into()],
    };
    let optimisers = [on("net.body"), on("net.head")];
    let (mut model, mut scalars) = (Model::default(), vec![]);
    model.add(&forward);
    let how = StepPlan {
        optimisers: &optimisers,
        clip: None,
    };
    let program = step_program("step", 1, &forward, &mut model, &mut scalars, how).expect("trains");
    assert_eq!(
        program.updates.iter().map(|u| u.slot).collect::<Vec<_>>(),
        [0, 2]
    );
    assert_eq!(scalars, [StepScalar::Rate(0), StepScalar::Rate(1)]);
    assert_eq!(program.guards.len(), 3);
    assert_eq!(
        program.graph.node(program.guards[0].value).origin,
        Origin(0)
    );
}
