//! The suite has every operation, its file reads back, and a device with a mistake is found out.

use mmh_conform::{Case, ONE_ARGUMENT, Vector, cases, exhaustive, file};
use mmh_interpret::Interpreter;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_ir::text::write_graph;
use mmh_ir::{DType, MapOp};

fn vectors() -> Vec<Vector> {
    let vector = |case: &Case| {
        assert_eq!(case.graph.verify(), Ok(()), "{}", case.name);
        Vector::of(case, &Interpreter).unwrap_or_else(|error| panic!("{}: {error}", case.name))
    };
    cases().iter().map(vector).collect()
}

/// The bits of the whole file. They change with the suite, and else with an edition of the contract.
const FILE: &str = "2196c322161aa768bc0cc4320b36e4aa8526bd559d286c11b5bb2e50b389e145";

#[test]
fn the_file_is_the_same_everywhere_and_reads_back() {
    let all = vectors();
    let text = file::write(&all, 1);
    assert_eq!(file::read(&text, 1).expect("reads back"), all);
    assert!(file::read(&text, 2).is_err());
    assert_eq!(
        blake3::hash(text.as_bytes()).to_hex().as_str(),
        FILE,
        "{} bytes",
        text.len()
    );
}

#[test]
fn names_are_not_given_twice() {
    let mut names: Vec<String> = cases().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_primitive_has_a_case_and_every_function_a_gradient() {
    let all = cases();
    let graphs: String = all.iter().map(|case| write_graph(&case.graph)).collect();
    let others = [
        "input(",
        "constant(",
        "integer(",
        "position",
        "random(uniform",
        "random(normal",
        "random(",
        "broadcast",
        "rename(",
        "merge(",
        "split(",
        "slice(",
        "pad(",
        "concat(",
        "window(",
        "reduce(kind = sum",
        "reduce(kind = max",
        "reduce(kind = min",
        "reduce(kind = arg-max",
        "contract(",
        "gather(",
        "one-hot(",
        "sample(",
    ];
    for op in others {
        assert!(graphs.contains(&format!("= {op}")), "{op}");
    }
    for op in ONE_ARGUMENT {
        let name = exhaustive::names()
            [ONE_ARGUMENT.iter().position(|it| *it == op).expect("there")]
        .clone();
        assert!(all.iter().any(|case| case.name == name), "{name}");
        // Rounding has no gradient.
        let has = all
            .iter()
            .any(|case| case.name == format!("{name}, gradient"));
        assert_eq!(has, op != MapOp::Floor, "{name}");
    }
}

/// The interpreter with a mistake: one bit of one function.
struct Wrong;

impl Device for Wrong {
    fn name(&self) -> &str {
        "wrong"
    }
    fn isa(&self) -> &str {
        "scalar"
    }
    fn threads(&self) -> usize {
        1
    }
    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        Ok(Box::new(WrongProgram(
            Interpreter.load(program, state)?,
            program.name.starts_with("tanh"),
        )))
    }
}

struct WrongProgram(Box<dyn Executable>, bool);

impl Executable for WrongProgram {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let mut results = self.0.run(state, feed)?;
        if let (true, Some(Tensor::F32(values))) = (self.1, results.first_mut()) {
            let at = values.iter().position(|x| *x > 0.25).expect("an element");
            values[at] = f32::from_bits(values[at].to_bits() + 1);
        }
        Ok(results)
    }
}

#[test]
fn a_wrong_bit_is_found_and_named() {
    let mut parted = Vec::new();
    for vector in vectors() {
        assert_eq!(vector.check(&Interpreter), Ok(None), "{}", vector.case);
        if let Some(mismatch) = vector.check(&Wrong).expect("it runs") {
            assert_eq!(mismatch.found, mismatch.wanted + 1);
            parted.push(vector.case.clone());
        }
    }
    assert_eq!(parted, ["tanh", "tanh, gradient"]);
    let swept = exhaustive::sweep(
        MapOp::Tanh,
        &Interpreter,
        &[&Wrong, &Interpreter],
        65_537,
        2,
    )
    .expect("it runs");
    assert!(
        swept[0].1.is_some() && swept[1] == (65_536, None),
        "{swept:?}"
    );
}

#[test]
fn files_that_were_tampered_with_are_refused_by_line() {
    let one = vectors().into_iter().next().expect("a case");
    let text = file::write(std::slice::from_ref(&one), 1);
    for (from, to, says) in [
        ("mmh vectors 1", "mmh vectors 9", "first line"),
        ("element = 512", "element = 99999999999", "line 2"),
        ("map(neg)", "map(cube)", "line 2"),
        (
            "\"results\":[{\"value\":1",
            "\"results\":[{\"value\":77",
            "no value",
        ),
        ("80000000 ", "8000000 ", "hexadecimal"),
        ("80000000 ", "", "are given"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        let error = file::read(&changed, 1).expect_err(from);
        assert!(error.contains(says), "{from}: {error}");
    }
    assert_eq!(one.graph.node(mmh_ir::ValueId(0)).ty.dtype, DType::F32);
}
