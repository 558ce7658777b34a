//! Recipes as they are written, from text to steps in the interpreter.

mod support;

use mmh_check::{
    ColumnFact, DataFacts, DataFault, FactKind, SourceRequest, TextFault, World, check,
};
use mmh_interpret::{Interpreter, values};
use mmh_ir::device::{Device, Feed, State, Tensor};
use mmh_ir::plan::{Init, Plan, Role, StepScalar, Training};
use mmh_ir::{DType, Graph, Input, Op, Type};
use mmh_plan::plan;
use support::noise;

/// One text, and a table of 100 training rows with 64 pixels and a digit.
struct Table(String);

impl World for Table {
    fn read_text(&self, _: &str) -> Result<String, TextFault> {
        Ok(self.0.clone())
    }

    fn data_facts(&self, request: &SourceRequest) -> Result<DataFacts, DataFault> {
        let pinned = match request {
            SourceRequest::Csv { file, .. }
            | SourceRequest::Text { file, .. }
            | SourceRequest::Bytes { file, .. } => file.blake3.clone(),
            SourceRequest::Idx { .. } => None,
        };
        let fields = (0..64)
            .map(|i| format!("pixel_{}_{}", i / 8, i % 8))
            .collect();
        let levels = Some((0..10).map(|i| i.to_string()).collect());
        let column = |name: &str, kind| ColumnFact {
            name: name.into(),
            kind,
            missing: 0,
        };
        Ok(DataFacts {
            files: vec![pinned.unwrap_or_else(|| "0".repeat(64))],
            rows: 140,
            rows_per_file: vec![140],
            columns: vec![
                column(
                    "pixels",
                    FactKind::Vector {
                        dims: vec![8, 8],
                        fields,
                    },
                ),
                column("digit", FactKind::Number { levels }),
            ],
            vocabulary: "abcdefghij".chars().collect(),
        })
    }

    fn part_rows(
        &self,
        _: &SourceRequest,
        _: &mmh_ir::plan::SplitPlan,
        _: Option<&str>,
    ) -> Result<[u64; 3], DataFault> {
        Ok([100, 20, 20])
    }
}

fn planned(text: &str) -> Plan {
    let checked = check(&Table(text.into()), "main.mmh", &[]);
    let recipe = checked
        .recipe
        .unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    plan(&recipe).expect("a plan")
}

/// Elements of a column or of first state: labels below 10, pixels up to 16, zeros, ones or noise.
fn tensor(ty: &Type, seed: u64, scale: f64) -> Tensor {
    let data = noise(seed, ty.shape.elements());
    match ty.dtype {
        DType::F32 => Tensor::F32(data.into_iter().map(|x| (x * scale) as f32).collect()),
        DType::I32 => Tensor::I32(
            data.into_iter()
                .map(|x| ((x + 1.0) * 4.999) as i32)
                .collect(),
        ),
        DType::U8 => Tensor::U8(
            data.into_iter()
                .map(|x| ((x + 1.0) * 127.0) as u8)
                .collect(),
        ),
        DType::Bool => Tensor::Bool(vec![0; data.len()]),
    }
}

fn feed(graph: &Graph, training: &Training, step: i32) -> Feed {
    let mut feed = Feed {
        step,
        keys: vec![[7; 8]; training.sites.len()],
        scalars: training
            .scalars
            .iter()
            .map(|s| match s {
                StepScalar::Rate(_) => 0.05,
                StepScalar::AdamRate(_) => 0.01,
                StepScalar::AdamEpsilon(_) => 1e-8,
                StepScalar::DecayFactor(_) => 0.9999,
            })
            .collect(),
        ..Feed::default()
    };
    for node in &graph.nodes {
        match node.op {
            Op::Input(Input::Column(n)) => {
                feed.columns.resize(
                    (n as usize + 1).max(feed.columns.len()),
                    Tensor::F32(vec![]),
                );
                feed.columns[n as usize] = tensor(&node.ty, u64::from(n) + 5, 8.0);
            }
            Op::Input(Input::Rows) => feed.rows = (0..node.ty.shape.elements() as i32).collect(),
            _ => {}
        }
    }
    feed
}

fn first_state(training: &Training) -> State {
    let slots = training
        .state
        .iter()
        .enumerate()
        .map(|(n, slot)| match &slot.init {
            Init::Constant(value) => Tensor::F32(vec![value.0; slot.ty.shape.elements()]),
            Init::Uniform { bound, .. } => tensor(&slot.ty, n as u64 + 1, f64::from(bound.0)),
            Init::Normal { deviation, .. } => {
                tensor(&slot.ty, n as u64 + 1, f64::from(deviation.0))
            }
            Init::Stored { tensor } => panic!("no recipe here begins with `{tensor}`"),
        });
    State {
        slots: slots.collect(),
    }
}

/// Six steps on one batch; the loss falls, every slot that learns has moved, and the last program runs too.
fn learns(text: &str) -> Plan {
    let plan = planned(text);
    let training = &plan.trainings[0];
    let mut state = first_state(training);
    let first = state.clone();
    let program = &training.programs[0];
    let mut machine = Interpreter.load(program, &training.state).expect("loads");
    let mut losses = vec![];
    for step in 0..6 {
        let results = machine
            .run(&mut state, &feed(&program.graph, training, step))
            .expect("runs");
        losses.push(results[0].as_f32().expect("f32")[0]);
    }
    assert!(losses[5] < losses[0], "{losses:?}");
    for (slot, (before, after)) in training
        .state
        .iter()
        .zip(first.slots.iter().zip(&state.slots))
    {
        assert_ne!(before, after, "{} stays", slot.path);
    }
    let watch = training.watch.iter().flat_map(|w| &w.evaluation.programs);
    let rest = training.programs[1..]
        .iter()
        .chain(watch)
        .chain(&training.predict[..1]);
    for program in rest.chain(plan.evaluations.iter().flat_map(|e| &e.programs)) {
        let all = values(program, &state, &feed(&program.graph, training, 9)).expect("runs");
        for named in &program.results {
            assert!(
                all[named.value.index()]
                    .as_f32()
                    .is_none_or(|x| x.iter().all(|x| x.is_finite())),
                "{}",
                named.name
            );
        }
    }
    plan
}

#[test]
fn the_digits_example() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/digits.mmh");
    let text = std::fs::read_to_string(path).expect("the example is there");
    // Narrower than the example, since the interpreter takes one step at a time.
    let plan = learns(&text.replace("24 ~ choice(16, 24, 32, 48)", "6"));
    let training = &plan.trainings[0];
    let batches: Vec<u64> = training.programs.iter().map(|p| p.batch).collect();
    assert_eq!(batches, [64, 36]);
    let contractions = |p: &mmh_ir::plan::Program| {
        p.graph
            .nodes
            .iter()
            .filter(|n| matches!(n.op, Op::Contract { .. }))
            .count()
    };
    // Ten convolutions and one linear layer: forward, weights, and inputs of all but the first.
    assert_eq!(contractions(&training.programs[0]), 11 + 11 + 10);
    assert!(training.state.iter().any(|s| s.role == Role::Persistent));
}

#[test]
fn pools_attention_and_momentum() {
    learns(
        r#"
mmh 1
seed 1
data digits {
  source = csv("data/digits.csv")
  image: f32[channel = 1, height = 8, width = 8] = source.pixels / 16
  label: class[10] = source.digit
  split  = random(train = 70%, valid = 15%, test = 15%)
}
model net(image: f32[batch, channel = 1, height = 8, width = 8]) -> f32[batch, class = 10] {
  image
    |> conv(8, kernel = 3) |> gelu |> max_pool(2)
    |> merge([height, width], into = time) |> rename(channel = feature)
    |> attention(heads = 2, causal = true) |> layer_norm
    |> mean(over = time) |> linear(class = 10)
}
train fit {
  rows     = digits.train |> shuffle |> batch(16)
  predict  = net(rows.image)
  loss     = cross_entropy(predict, rows.label)
  optimize = sgd(lr = 0.05, momentum = 0.9)
  length   = 2 epochs
}
"#,
    );
}
