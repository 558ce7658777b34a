//! Every operation on values worked out by hand.

use mmh_interpret::{Interpreter, trace, values};
use mmh_ir::device::{Device, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Init, Named, Program, Role, StateDecl, Update};
use mmh_ir::text::read_graph;
use mmh_ir::{Literal, Type, ValueId};
use mmh_numerics::random::{Key, Stream, normals};

/// A program over a graph in text form, updating and guarding nothing.
fn program(text: &str) -> Program {
    let graph = read_graph(text).expect("the graph is well formed");
    Program {
        name: "test".into(),
        batch: 1,
        graph,
        updates: vec![],
        results: vec![],
        guards: vec![],
    }
}

/// The last value of the graph when fed with these columns.
fn last(text: &str, columns: Vec<Tensor>) -> Result<Tensor, RunError> {
    let feed = Feed {
        columns,
        keys: vec![[1, 2, 3, 4, 5, 6, 7, 8]],
        rows: vec![5, -1],
        step: 9,
        scalars: vec![0.5],
        statistics: vec![],
    };
    let all = values(&program(text), &State::default(), &feed)?;
    Ok(all.last().cloned().expect("the graph is not empty"))
}

fn f32s(values: &[f32]) -> Tensor {
    Tensor::F32(values.to_vec())
}

fn i32s(values: &[i32]) -> Tensor {
    Tensor::I32(values.to_vec())
}

fn gives(text: &str, columns: Vec<Tensor>, expected: &Tensor) {
    assert_eq!(last(text, columns).as_ref(), Ok(expected), "{text}");
}

#[test]
fn leaves() {
    gives("%0: i32 = integer(-7)", vec![], &i32s(&[-7]));
    gives("%0: f32 = constant(\"1.5\")", vec![], &f32s(&[1.5]));
    gives("%0: i32[a = 3] = position", vec![], &i32s(&[0, 1, 2]));
    gives("%0: i32[batch = 2] = input(rows)", vec![], &i32s(&[5, -1]));
    gives("%0: i32 = input(step)", vec![], &i32s(&[9]));
    gives("%0: f32 = input(scalar = 0)", vec![], &f32s(&[0.5]));
    let words: Vec<i32> = (1..9).collect();
    gives(
        "%0: i32[word = 8] = input(key = 0)",
        vec![],
        &Tensor::I32(words),
    );
    assert!(last("%0: f32 = input(scalar = 1)", vec![]).is_err());
    assert!(last("%0: f32[a = 2] = input(column = 0)", vec![f32s(&[1.0])]).is_err());
}

#[test]
fn pointwise_broadcasts_by_name() {
    let text = "%0: f32[a = 2] = input(column = 0)\n%1: f32[b = 2] = input(column = 1)\n\
                %2: f32[a = 2, b = 2] = map(sub) %0, %1";
    let columns = || vec![f32s(&[1.0, 2.0]), f32s(&[10.0, 20.0])];
    gives(text, columns(), &f32s(&[-9.0, -19.0, -8.0, -18.0]));
    let turned = text.replace("a = 2, b = 2", "b = 2, a = 2");
    gives(&turned, columns(), &f32s(&[-9.0, -8.0, -19.0, -18.0]));
    let spread = "%0: f32[a = 2] = input(column = 0)\n%1: f32[b = 2, a = 2] = broadcast %0";
    gives(spread, columns(), &f32s(&[1.0, 2.0, 1.0, 2.0]));
}

#[test]
fn pointwise_edges() {
    let nan = f32::NAN;
    let unary =
        |op: &str| format!("%0: f32[a = 4] = input(column = 0)\n%1: f32[a = 4] = map({op}) %0");
    let x = || vec![f32s(&[-1.5, -0.0, 0.25, f32::INFINITY])];
    gives(
        &unary("relu"),
        x(),
        &f32s(&[0.0, -0.0, 0.25, f32::INFINITY]),
    );
    gives(
        &unary("floor"),
        x(),
        &f32s(&[-2.0, -0.0, 0.0, f32::INFINITY]),
    );
    gives(
        &unary("neg"),
        x(),
        &f32s(&[1.5, 0.0, -0.25, f32::NEG_INFINITY]),
    );
    let to = unary("to-i32").replace("%1: f32", "%1: i32");
    gives(
        &to,
        vec![f32s(&[nan, 3e9, -3e9, -1.9])],
        &i32s(&[0, i32::MAX, i32::MIN, -1]),
    );
    let pair = "%0: f32[a = 2] = input(column = 0)\n%1: f32[a = 2] = input(column = 1)\n";
    let max = format!("{pair}%2: f32[a = 2] = map(max) %0, %1");
    gives(
        &max,
        vec![f32s(&[nan, 0.0]), f32s(&[1.0, -0.0])],
        &f32s(&[1.0, -0.0]),
    );
    let equal = format!("{pair}%2: bool[a = 2] = map(eq) %0, %1");
    gives(
        &equal,
        vec![f32s(&[nan, 0.0]), f32s(&[nan, -0.0])],
        &Tensor::Bool(vec![0, 1]),
    );
    let chosen = format!("{equal}\n%3: f32[a = 2] = map(select) %2, %0, %1");
    gives(
        &chosen,
        vec![f32s(&[1.0, 3.0]), f32s(&[2.0, 3.0])],
        &f32s(&[2.0, 3.0]),
    );
    let fused = format!("{pair}%2: f32[a = 2] = map(fma) %0, %1, %0");
    gives(
        &fused,
        vec![f32s(&[3.0, 2.0]), f32s(&[5.0, 7.0])],
        &f32s(&[18.0, 16.0]),
    );
    let wraps = "%0: i32 = integer(2147483647)\n%1: i32 = integer(2)\n%2: i32 = map(add) %0, %1";
    gives(wraps, vec![], &i32s(&[i32::MIN + 1]));
}

#[test]
fn movement() {
    let x = || vec![f32s(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])];
    let on = |line: &str| format!("%0: f32[a = 2, b = 3] = input(column = 0)\n%1: {line} %0");
    let slice = on("f32[a = 2, b = 2] = slice(axis = b, start = 0, step = 2)");
    gives(&slice, x(), &f32s(&[0.0, 2.0, 3.0, 5.0]));
    let pad = on("f32[a = 4, b = 3] = pad(axis = a, before = 1, step = 2)");
    let padded = [0., 0., 0., 0., 1., 2., 0., 0., 0., 3., 4., 5.];
    gives(&pad, x(), &f32s(&padded));
    let merge = on("f32[c = 6] = merge(axes = [a, b], into = c)");
    gives(&merge, x(), &x()[0]);
    let split = on("f32[a = 2, c = 3, d = 1] = split(axis = b, into = [c, d])");
    gives(&split, x(), &x()[0]);
    let rename = on("f32[a = 2, c = 3] = rename(from = b, to = c)");
    gives(&rename, x(), &x()[0]);
    let concat = "%0: f32[a = 2, b = 3] = input(column = 0)\n\
                  %1: f32[a = 2, b = 1] = input(column = 1)\n\
                  %2: f32[a = 2, b = 4] = concat(axis = b) %0, %1";
    let both = vec![x().remove(0), f32s(&[8.0, 9.0])];
    gives(
        concat,
        both,
        &f32s(&[0.0, 1.0, 2.0, 8.0, 3.0, 4.0, 5.0, 9.0]),
    );
}

#[test]
fn windows_forward_and_in_gather_form() {
    let x = || vec![f32s(&[1.0, 2.0, 3.0, 4.0])];
    let forward = "%0: f32[a = 4] = input(column = 0)\n\
        %1: f32[a = 2, tap = 3] = window(axis = a, out = a, tap = tap, stride = 2, dilation = 1, offset = -1, divide = 1, fill = \"-inf\") %0";
    let low = f32::NEG_INFINITY;
    gives(forward, x(), &f32s(&[low, 1.0, 2.0, 2.0, 3.0, 4.0]));
    let adjoint = "%0: f32[o = 2] = input(column = 0)\n\
        %1: f32[tap = 3, a = 4] = window(axis = o, out = a, tap = tap, stride = 1, dilation = -1, offset = 1, divide = 2, fill = \"0.0\") %0";
    // Source places 2o + t − 1: place a is read by (o, t) with o = (a − t + 1) / 2.
    let expected = [
        [0.0, 20.0, 0.0, 0.0],
        [10.0, 0.0, 20.0, 0.0],
        [0.0, 10.0, 0.0, 20.0],
    ];
    gives(
        adjoint,
        vec![f32s(&[10.0, 20.0])],
        &f32s(&expected.concat()),
    );
}

#[test]
fn folds() {
    let x = || vec![f32s(&[3.0, 1.0, 3.0, 0.0, 7.0, 7.0])];
    let on = |line: &str| format!("%0: f32[a = 2, b = 3] = input(column = 0)\n%1: {line} %0");
    gives(
        &on("f32[a = 2] = reduce(kind = sum, over = [b])"),
        x(),
        &f32s(&[7.0, 14.0]),
    );
    gives(
        &on("f32[b = 3] = reduce(kind = max, over = [a])"),
        x(),
        &f32s(&[3.0, 7.0, 7.0]),
    );
    gives(
        &on("f32[b = 3] = reduce(kind = min, over = [a])"),
        x(),
        &f32s(&[0.0, 1.0, 3.0]),
    );
    gives(
        &on("i32[a = 2] = reduce(kind = arg-max, over = [b])"),
        x(),
        &i32s(&[0, 1]),
    );
    gives(
        &on("i32 = reduce(kind = arg-max, over = [b, a])"),
        x(),
        &i32s(&[3]),
    );
    let empty = "%0: f32[a = 2, b = 0] = input(column = 0)\n%1: f32[a = 2] = reduce(kind = sum, over = [b]) %0";
    gives(empty, vec![f32s(&[])], &f32s(&[0.0, 0.0]));
}

#[test]
fn contractions_batch_over_shared_axes() {
    let text = "%0: f32[s = 2, i = 1, k = 2] = input(column = 0)\n\
                %1: f32[k = 2, j = 2, s = 2] = input(column = 1)\n\
                %2: f32[j = 2, s = 2, i = 1] = contract(over = [k]) %0, %1";
    let a = f32s(&[1.0, 2.0, 3.0, 4.0]);
    let b = f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    // s 0: [1, 2]·[[1, 3], [5, 7]] = [11, 17]; s 1: [3, 4]·[[2, 4], [6, 8]] = [30, 44].
    gives(text, vec![a, b], &f32s(&[11.0, 30.0, 17.0, 44.0]));
    let negative = "%0: f32[k = 1] = input(column = 0)\n%1: f32 = contract(over = [k]) %0, %0";
    let zero = last(negative, vec![f32s(&[-0.0])]).expect("runs");
    assert_eq!(zero.as_f32().map(|z| z[0].to_bits()), Some(0));
}

#[test]
fn lookups() {
    let table = || f32s(&[0.0, 1.0, 10.0, 11.0, 20.0, 21.0]);
    let text = "%0: f32[row = 3, b = 2] = input(column = 0)\n%1: i32[n = 2] = input(column = 1)\n\
                %2: f32[n = 2, b = 2] = gather(axis = row) %0, %1";
    gives(
        text,
        vec![table(), i32s(&[2, 0])],
        &f32s(&[20.0, 21.0, 0.0, 1.0]),
    );
    let outside = last(text, vec![table(), i32s(&[3, 0])]);
    assert!(matches!(outside, Err(RunError::IndexRange { .. })));
    let below = last(text, vec![table(), i32s(&[0, -1])]);
    assert!(matches!(below, Err(RunError::IndexRange { .. })));
    let aligned = "%0: f32[row = 3, b = 2] = input(column = 0)\n%1: i32[b = 2] = input(column = 1)\n\
                   %2: f32[b = 2] = gather(axis = row) %0, %1";
    gives(aligned, vec![table(), i32s(&[2, 1])], &f32s(&[20.0, 11.0]));
    let one_hot =
        "%0: i32[n = 2] = input(column = 0)\n%1: f32[n = 2, c = 3] = one-hot(axis = c) %0";
    gives(
        one_hot,
        vec![i32s(&[1, -1])],
        &f32s(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
    );
    let sample = "%0: f32[y = 2, x = 2] = input(column = 0)\n%1: f32[y = 2, x = 2] = input(column = 1)\n\
                  %2: f32[y = 2, x = 2] = input(column = 2)\n%3: f32[y = 2, x = 2] = sample(row = y, column = x) %0, %1, %2";
    let image = f32s(&[1.0, 2.0, 3.0, 4.0]);
    let rows = f32s(&[0.5, 0.0, -0.5, 9.0]);
    let columns = f32s(&[0.5, 1.0, 0.0, 0.0]);
    gives(
        sample,
        vec![image, rows, columns],
        &f32s(&[2.5, 2.0, 0.5, 0.0]),
    );
}

#[test]
fn draws_are_addressed() {
    let text = "%0: i32[word = 8] = input(key = 0)\n%1: i32[batch = 2] = input(rows)\n\
                %2: f32[batch = 2, a = 3] = random(normal) %0, %1";
    let mut expected = vec![0.0; 6];
    let key = Key([1, 2, 3, 4, 5, 6, 7, 8]);
    normals(&Stream::new(key, 5), 0, &mut expected[..3]);
    normals(
        &Stream::new(key, u64::from(u32::MAX)),
        0,
        &mut expected[3..],
    );
    gives(text, vec![], &f32s(&expected));
    let whole = "%0: i32[word = 8] = input(key = 0)\n%1: i32 = input(step)\n\
                 %2: i32[a = 64] = random(below = 5) %0, %1";
    let drawn = last(whole, vec![]).expect("runs");
    let drawn = drawn.as_i32().expect("i32").to_vec();
    assert!(drawn.iter().all(|x| (0..5).contains(x)) && drawn.contains(&0) && drawn.contains(&4));
}

fn stateful() -> (Program, Vec<StateDecl>) {
    let mut program = program(
        "%0: f32 = input(state = 0)\n%1: f32 = input(scalar = 0)\n%2: f32 = map(add) %0, %1\n\
         %3: f32 = map(log) %0\n%4: f32 = map(mul) %3, %1",
    );
    let slot = |path: &str| StateDecl {
        path: path.into(),
        role: Role::Parameter,
        ty: Type::f32(mmh_ir::Shape::scalar()),
        init: Init::Constant(Literal(0.0)),
    };
    let named = |name: &str, value| Named {
        name: name.into(),
        value: ValueId(value),
    };
    program.updates = vec![
        Update {
            slot: 0,
            value: ValueId(2),
        },
        Update {
            slot: 1,
            value: ValueId(0),
        },
    ];
    program.results = vec![named("old", 0)];
    program.guards = vec![named("fine", 2), named("loss", 4)];
    (program, vec![slot("a"), slot("b")])
}

#[test]
fn updates_are_written_at_once_and_only_behind_guards() {
    let (program, slots) = stateful();
    let mut machine = Interpreter.load(&program, &slots).expect("loads");
    let feed = |x| Feed {
        scalars: vec![x],
        ..Feed::default()
    };
    let mut state = State {
        slots: vec![f32s(&[1.0]), f32s(&[5.0])],
    };
    assert_eq!(machine.run(&mut state, &feed(2.0)), Ok(vec![f32s(&[1.0])]));
    assert_eq!(state.slots, vec![f32s(&[3.0]), f32s(&[1.0])]);
    assert_eq!(trace(&program, &state, &feed(2.0)), Ok(None));

    let mut bad = State {
        slots: vec![f32s(&[-1.0]), f32s(&[5.0])],
    };
    let before = bad.clone();
    let tripped = machine.run(&mut bad, &feed(2.0));
    assert_eq!(tripped, Err(RunError::NotFinite { guard: 1 }));
    assert_eq!(bad, before);
    assert_eq!(trace(&program, &bad, &feed(2.0)), Ok(Some(ValueId(3))));
}

#[test]
fn programs_that_do_not_fit_are_refused() {
    let (mut program, slots) = stateful();
    assert!(Interpreter.load(&program, &slots[..1]).is_err());
    program.updates[0].slot = 7;
    assert!(Interpreter.load(&program, &slots).is_err());
    let softmax =
        "%0: f32[a = 2] = input(column = 0)\n%1: f32[a = 2] = composite(softmax = {over = [a]}) %0";
    assert!(Interpreter.load(&self::program(softmax), &[]).is_err());
}

#[test]
fn tracing_passes_over_masks_and_finds_what_was_fed() {
    let mut masked = program(
        "%0: f32[a = 2] = input(column = 0)\n%1: f32 = constant(-inf)\n%2: i32[a = 2] = position\n\
         %3: i32 = integer(0)\n%4: bool[a = 2] = map(eq) %2, %3\n\
         %5: f32[a = 2] = map(select) %4, %0, %1\n%6: f32[a = 2] = map(exp) %5\n\
         %7: f32[a = 2] = map(log) %0\n%8: f32[a = 2] = map(mul) %6, %7",
    );
    masked.guards = vec![Named {
        name: "loss".into(),
        value: ValueId(8),
    }];
    let found = |x: f32| {
        let columns = vec![f32s(&[1.0, x])];
        let feed = Feed {
            columns,
            ..Feed::default()
        };
        trace(&masked, &State::default(), &feed)
    };
    assert_eq!(found(2.0), Ok(None));
    assert_eq!(found(-1.0), Ok(Some(ValueId(7))));
    assert_eq!(found(f32::NAN), Ok(Some(ValueId(0))));
}
