//! What is asked of a trained model, and of single rows.

mod common;

use common::*;
use mmh_interpret::Interpreter;
use mmh_ir::device::{State, Tensor};
use mmh_ir::plan::*;
use mmh_ir::{Axis, DType, Graph, Input, Op, Origin, Shape, Type};
use mmh_numerics::random::Seed;
use mmh_runtime::{Predictor, Sampling, StoredModel, load_data, probe, sample_text, step};

#[test]
fn a_run_folder_predicts() {
    let base = tempfile::tempdir().unwrap();
    let out = base.path().join("out");
    run(&plan(base.path()), base.path(), into(&out)).0.unwrap();
    let stored = StoredModel::read(&out).unwrap();
    let (_, state) = stored.training(None).unwrap();
    let mut predictor = Predictor::new(&stored, None, &Interpreter).unwrap();
    let names: Vec<&str> = predictor
        .inputs()
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["x"]);
    let x: Vec<f32> = (0..33).map(|i| (i as f32 * 0.37) % 1.0).collect();
    let empty = Tensor::F32(vec![]);
    let all = predictor
        .predict(&[Tensor::F32(x.clone()), empty.clone()], 11)
        .unwrap();
    let weight = state.slots[0].as_f32().unwrap();
    for (row, guess) in all.as_f32().unwrap().iter().enumerate() {
        let alone = predictor
            .predict(
                &[Tensor::F32(x[row * 3..row * 3 + 3].to_vec()), empty.clone()],
                1,
            )
            .unwrap();
        assert_eq!(alone, Tensor::F32(vec![*guess]));
    }
    let first = weight
        .iter()
        .zip(&x)
        .fold(0.0_f32, |sum, (w, x)| w.mul_add(*x, sum))
        + state.slots[1].as_f32().unwrap()[0];
    assert_eq!(all.as_f32().unwrap()[0], first);
    let short = predictor.predict(&[Tensor::F32(x), empty], 12).unwrap_err();
    assert_eq!(
        (short.code(), short.to_string().as_str()),
        (
            "run::request",
            "`x` must be f32[feature = 3] for each of 12 rows"
        )
    );
    assert!(stored.training(Some("other")).is_err());

    std::fs::write(
        base.path().join("new.csv"),
        "x_2,x_1,x_0\n0.3,0.2,0.1\n0.6,0.5,0.4\n",
    )
    .unwrap();
    let (columns, rows) = predictor.read(&base.path().join("new.csv")).unwrap();
    assert_eq!(
        (&columns[0], rows),
        (&Tensor::F32(vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 2)
    );
    assert_eq!(predictor.predict(&columns, rows).unwrap().len(), 2);
    let data = load_data(&stored.plan, base.path()).unwrap();
    assert_eq!(stored.statistics[0], data[0].statistics);
}

#[test]
fn rows_of_an_epoch_alone_are_those_of_the_run() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let data = load_data(&plan, base.path()).unwrap();
    let (training, seed) = (&plan.trainings[0], Seed::from_hex(&plan.seed).unwrap());
    let value = training.programs[0]
        .results
        .iter()
        .find(|result| result.name == NOISY)
        .unwrap()
        .value;
    let take = |epoch, rows: &[u32]| {
        let found =
            probe::value_of_rows(training, &data[0], &seed, &Interpreter, value, epoch, rows)
                .unwrap();
        found.as_f32().unwrap().to_vec()
    };
    let order = step::epoch_order(training, &data[0], &seed, 3);
    let whole = take(3, &order);
    assert_eq!(whole.len(), order.len() * 3);
    for place in [0, 17, order.len() - 1] {
        assert_eq!(
            take(3, &order[place..place + 1]),
            whole[place * 3..place * 3 + 3]
        );
        assert_ne!(
            take(2, &order[place..place + 1]),
            whole[place * 3..place * 3 + 3]
        );
    }
    let loss = training.programs[0].results[0].value;
    assert!(probe::value_of_rows(training, &data[0], &seed, &Interpreter, loss, 0, &[0]).is_err());
    assert!(
        probe::value_of_rows(training, &data[0], &seed, &Interpreter, value, 0, &[999]).is_err()
    );
}

#[test]
fn every_epoch_has_an_order_of_its_own() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let data = load_data(&plan, base.path()).unwrap();
    let (training, seed) = (&plan.trainings[0], Seed::from_hex(&plan.seed).unwrap());
    let orders: Vec<Vec<u32>> = (0..3)
        .map(|epoch| step::epoch_order(training, &data[0], &seed, epoch))
        .collect();
    assert!(orders[0] != orders[1] && orders[1] != orders[2]);
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, data[0].rows(Part::Train));
    }
    let in_order = Training {
        shuffle: None,
        ..training.clone()
    };
    assert_eq!(
        step::epoch_order(&in_order, &data[0], &seed, 1),
        data[0].rows(Part::Train)
    );
}

const LETTERS: [char; 3] = ['a', 'b', 'c'];

/// A model in which each letter has logits for the next.
fn letters(window: usize) -> StoredModel {
    let table = Type::f32(Shape::of(&[("letter", 3), ("class", 3)]));
    let kind = ColumnKind::Characters {
        ahead: 0,
        vocabulary: LETTERS.to_vec(),
    };
    let text = Type::new(DType::I32, Shape::of(&[("time", window)]));
    let mut b = Builder(Graph::default());
    let column = b.input(
        Input::Column(0),
        Type::new(DType::I32, Shape::of(&[("batch", 1), ("time", window)])),
    );
    let weight = b.input(Input::State(0), table.clone());
    let ty = Type::f32(Shape::of(&[("batch", 1), ("time", window), ("class", 3)]));
    let logits = b.0.push(
        Op::Gather {
            axis: Axis::new("letter"),
        },
        vec![weight, column],
        ty,
        Origin(0),
    );
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    plan.data[0].columns = vec![ColumnPlan {
        name: "text".into(),
        kind,
        ty: text,
    }];
    let training = &mut plan.trainings[0];
    training.predict = vec![results("predict".into(), 1, b.0, &[logits])];
    training.state.truncate(1);
    training.state[0].ty = table;
    // After a always b, after b always c, after c either.
    let logits = vec![0.0, 90.0, 0.0, 0.0, 0.0, 90.0, 1.0, 1.0, -90.0];
    let states = vec![State {
        slots: vec![Tensor::F32(logits)],
    }];
    StoredModel {
        plan,
        states,
        statistics: vec![vec![]],
    }
}

#[test]
fn a_text_is_drawn_by_address() {
    let model = letters(4);
    let mut predictor = Predictor::new(&model, None, &Interpreter).unwrap();
    let how = Sampling {
        seed: Seed::from_integer(5),
        length: 200,
        temperature: 1.0,
    };
    let text = sample_text(&mut predictor, "ca", &how).unwrap();
    assert_eq!(text.chars().count(), 200);
    let pairs: Vec<char> = "a".chars().chain(text.chars()).collect();
    for pair in pairs.windows(2) {
        assert!(
            matches!(pair, ['a', 'b'] | ['b', 'c'] | ['c', 'a' | 'b']),
            "{pair:?}"
        );
    }
    assert!(text.contains("ca") && text.contains("cb"));
    assert_eq!(
        sample_text(&mut predictor, "ca", &Sampling { length: 50, ..how }).unwrap(),
        text[..50]
    );
    let other = Sampling {
        seed: Seed::from_integer(6),
        ..how
    };
    assert_ne!(sample_text(&mut predictor, "ca", &other).unwrap(), text);
    let cold = Sampling {
        temperature: 0.0,
        length: 4,
        ..how
    };
    assert_eq!(sample_text(&mut predictor, "c", &cold).unwrap(), "abca");
    for prompt in ["", "d"] {
        assert_eq!(
            sample_text(&mut predictor, prompt, &how)
                .unwrap_err()
                .code(),
            "run::request"
        );
    }
}
