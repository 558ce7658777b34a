//! A run that is cut anywhere and gone on with ends as if it had not been.

mod common;

use common::*;
use mmh_interpret::Interpreter;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_runtime::{Options, RunSummary, Session, Silent};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn whole(plan: &mmh_ir::Plan, base: &Path) -> RunSummary {
    run(plan, base, Options::default()).0.unwrap()
}

fn assert_same(found: &RunSummary, wanted: &RunSummary, what: &str) {
    assert_eq!(
        (&found.model_hash, &found.metrics, found.steps),
        (&wanted.model_hash, &wanted.metrics, wanted.steps),
        "{what}"
    );
}

/// File operations of a run that is not cut.
fn operations(plan: &mmh_ir::Plan, base: &Path) -> i64 {
    let files = Faulty::killed_after(1 << 40);
    run(
        plan,
        base,
        Options {
            files: files.clone(),
            ..into(&base.join("count"))
        },
    )
    .0
    .unwrap();
    (1 << 40) - files.left.load(Ordering::Relaxed)
}

#[test]
fn killed_at_every_file_operation() {
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    plan.trainings[0].checkpoint = 2;
    let (wanted, all) = (whole(&plan, base.path()), operations(&plan, base.path()));
    assert!(all > 100, "{all} operations are too few to mean much");
    for at in 0..all {
        let out = base.path().join(format!("cut {at}"));
        run(
            &plan,
            base.path(),
            Options {
                files: Faulty::killed_after(at),
                ..into(&out)
            },
        )
        .0
        .unwrap_err();
        // Cut again while going on, at another place each time.
        let again = Options {
            files: Faulty::killed_after(at * 7 % 61),
            ..resume(&out)
        };
        let _ = run(&plan, base.path(), again).0;
        let whole = Faulty::killed_after(i64::MAX);
        let (found, _) = run(
            &plan,
            base.path(),
            Options {
                files: whole,
                ..resume(&out)
            },
        );
        assert_same(
            &found.unwrap(),
            &wanted,
            &format!("killed at operation {at}"),
        );
        let journal = std::fs::read(out.join("journal")).unwrap();
        assert_eq!(
            mmh_runtime::journal::read::<mmh_runtime::journal::Event>(&journal)
                .unwrap()
                .1,
            journal.len()
        );
        assert!(!out.join("model.safetensors.new").exists());
        let examined = mmh_runtime::audit::examine(&out).unwrap();
        assert_eq!(examined.changes, [], "killed at operation {at}");
    }
}

/// Notes at which steps it was told that the training is saved, and how many steps were done.
#[derive(Default)]
struct Promises {
    saved: u64,
    steps: u64,
}

impl mmh_runtime::Observer for Promises {
    fn step(&mut self, _report: &mmh_runtime::observe::StepReport) {
        self.steps += 1;
    }

    fn saved(&mut self, step: u64) {
        self.saved = step;
    }
}

#[test]
fn without_power_at_two_hundred_random_moments() {
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    plan.trainings[0].checkpoint = 3;
    let (wanted, all) = (whole(&plan, base.path()), operations(&plan, base.path()));
    let (mut failed, mut finished) = (0, 0);
    for seed in 0..260_u64 {
        let out = base.path().join(format!("power {seed}"));
        // Some of the moments lie behind the end of the run.
        let power = Power::new(&out, seed, seed * 7919 % (all as u64 + 12));
        let mut told = Promises::default();
        let options = Options {
            files: power.clone(),
            ..into(&out)
        };
        let ended = Session::new(&plan, base.path(), &Interpreter, options)
            .and_then(|session| session.run(&mut told));
        power.cut();
        failed += u32::from(ended.is_err());
        if ended.is_ok() {
            finished += 1;
            let examined = mmh_runtime::audit::examine(&out).unwrap();
            assert_eq!(examined.changes, [], "{seed}: it had finished");
            assert_eq!(
                examined.model_hash(),
                Some(wanted.model_hash.as_str()),
                "{seed}"
            );
        }
        let mut again = Promises::default();
        let options = Options {
            files: Faulty::killed_after(i64::MAX),
            ..resume(&out)
        };
        let found = Session::new(&plan, base.path(), &Interpreter, options)
            .and_then(|session| session.run(&mut again));
        let what = format!("without power at moment {seed}");
        assert_same(
            &found.unwrap_or_else(|failure| panic!("{what}: {failure}")),
            &wanted,
            &what,
        );
        assert!(
            again.steps <= STEPS - told.saved,
            "{what}: a checkpoint that was saved is lost"
        );
        let examined = mmh_runtime::audit::examine(&out).unwrap();
        assert_eq!(examined.changes, [], "{what}");
    }
    assert!(
        failed >= 200 && finished >= 5,
        "{failed} cut, {finished} finished"
    );
}

#[test]
fn a_full_disk_is_named_and_leaves_the_last_checkpoint() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let (wanted, all) = (whole(&plan, base.path()), operations(&plan, base.path()));
    let mut stopped = 0;
    for at in (0..all).step_by(3) {
        let out = base.path().join(format!("full {at}"));
        let (failed, count) = run(
            &plan,
            base.path(),
            Options {
                files: Faulty::full_after(at),
                ..into(&out)
            },
        );
        let Err(failure) = failed else { continue };
        stopped += 1;
        assert_eq!(failure.code(), "run::disk-full");
        let (found, rest) = run(&plan, base.path(), resume(&out));
        assert_same(&found.unwrap(), &wanted, &format!("full at operation {at}"));
        let lost = count.steps + rest.steps - STEPS;
        assert!(
            lost <= plan.trainings[0].checkpoint,
            "{lost} steps were done again"
        );
    }
    assert!(stopped > 20);
}

#[test]
fn a_damaged_checkpoint_is_not_gone_on_with() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let wanted = whole(&plan, base.path());
    let out = base.path().join("out");
    let limit = Some(mmh_runtime::Limit::Steps(10));
    run(
        &plan,
        base.path(),
        Options {
            limit,
            ..into(&out)
        },
    )
    .0
    .unwrap();
    let folder = out.join("checkpoints/0-fit");
    let name = folder.join("000000000010.checkpoint");
    let mut bytes = std::fs::read(&name).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&name, bytes).unwrap();
    let (found, count) = run(&plan, base.path(), resume(&out));
    assert_same(&found.unwrap(), &wanted, "damaged checkpoint");
    // The one before is still there.
    assert_eq!(count.steps, STEPS - 5);
}

/// The interpreter, slowed down so that a signal lands between its steps.
struct Slow;

struct SlowProgram(Box<dyn Executable>);

impl Device for Slow {
    fn name(&self) -> &str {
        "slow"
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
        Ok(Box::new(SlowProgram(Interpreter.load(program, state)?)))
    }
}

impl Executable for SlowProgram {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        std::thread::sleep(Duration::from_millis(3));
        self.0.run(state, feed)
    }
}

const CHILD: &str = "MMH_CRASH_TEST_FOLDER";

/// What the killed processes do; nothing where it is not asked for.
#[test]
fn child() {
    let Some(base) = std::env::var_os(CHILD) else {
        return;
    };
    let base = Path::new(&base);
    let plan = plan(base);
    let options = Options {
        checkpoint_seconds: Some(0.001),
        ..resume(&base.join("out"))
    };
    let _ = Session::new(&plan, base, &Slow, options).and_then(|session| session.run(&mut Silent));
}

#[test]
fn killed_by_a_signal_many_times() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let wanted = whole(&plan, base.path());
    let mut kills = 0;
    for round in 0..6 {
        let home = base.path().join(format!("round {round}"));
        std::fs::create_dir(&home).unwrap();
        std::fs::copy(base.path().join("data.csv"), home.join("data.csv")).unwrap();
        for turn in 0..6_u64 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["child", "--exact"])
                .env(CHILD, &home)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(3 + (turn * 5 + round * 7) % 23));
            let running = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            kills += u32::from(running);
        }
        let (found, _) = run(&plan, &home, resume(&home.join("out")));
        assert_same(&found.unwrap(), &wanted, "killed by a signal");
    }
    assert!(kills >= 20, "only {kills} kills");
}
