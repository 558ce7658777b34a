//! Proofs against a device that computes an operation wrongly from some step on.

mod common;

use common::{STEPS, plan};
use mmh_interpret::Interpreter;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_ir::{MapOp, Op, Plan, ValueId};
use mmh_runtime::proof::{Prover, States, ValueHash};
use mmh_runtime::{Options, Session, Silent};
use std::path::Path;

/// The first step, from 0, in which the device is wrong.
const WRONG_FROM: i32 = 9;

/// Takes a difference for a sum in the first subtraction of a training step, from a step on.
struct Wrong;

struct Both {
    right: Box<dyn Executable>,
    wrong: Box<dyn Executable>,
}

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
        let mut changed = program.clone();
        if let Some(place) = subtraction(program) {
            changed.graph.nodes[place.index()].op = Op::Map(MapOp::Add);
        }
        Ok(Box::new(Both {
            right: Interpreter.load(program, state)?,
            wrong: Interpreter.load(&changed, state)?,
        }))
    }
}

impl Executable for Both {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let is_training = !feed.scalars.is_empty();
        match is_training && feed.step >= WRONG_FROM {
            true => self.wrong.run(state, feed),
            false => self.right.run(state, feed),
        }
    }
}

fn subtraction(program: &Program) -> Option<ValueId> {
    let nodes = &program.graph.nodes;
    let place = nodes
        .iter()
        .position(|node| node.op == Op::Map(MapOp::Sub))?;
    u32::try_from(place).ok().map(ValueId)
}

fn states(plan: &Plan, folder: &Path, device: &dyn Device) -> States {
    let session = Session::new(plan, folder, device, Options::default()).expect("a session");
    let mut silent = Silent;
    let mut prover = Prover::new(None, &mut silent);
    session.run(&mut prover).expect("a run");
    prover.states().remove(0)
}

fn values(plan: &Plan, folder: &Path, device: &dyn Device, step: u64) -> Vec<ValueHash> {
    let session = Session::new(plan, folder, device, Options::default()).expect("a session");
    session.values(None, step).expect("values").1
}

#[test]
fn a_wrong_operation_is_found_by_step_and_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path());
    let right = states(&plan, folder.path(), &Interpreter);
    let wrong = states(&plan, folder.path(), &Wrong);
    assert_eq!(right.steps.len() as u64, STEPS + 1);
    let first = right
        .steps
        .iter()
        .find(|(step, hash)| wrong.steps[step] != **hash);
    let step = *first.expect("a difference").0;
    assert_eq!(step, WRONG_FROM as u64 + 1);

    let before = values(&plan, folder.path(), &Wrong, step - 1);
    assert_eq!(before, values(&plan, folder.path(), &Interpreter, step - 1));
    let right = values(&plan, folder.path(), &Interpreter, step);
    let wrong = values(&plan, folder.path(), &Wrong, step);
    let place = right.iter().zip(&wrong).position(|(a, b)| a.hash != b.hash);
    let program = &plan.trainings[0].programs[0];
    assert_eq!(place, subtraction(program).map(ValueId::index));
    assert!(right[place.expect("a place")].text.contains("map(sub)"));
}
