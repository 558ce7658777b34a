//! Runs from a plan to a result.

mod common;

use common::*;
use mmh_interpret::Interpreter;
use mmh_ir::device::{Feed, State};
use mmh_ir::plan::{OptimiserGroup, Program, StateDecl};
use mmh_runtime::{
    Culprit, Diagnose, Limit, Observer, Options, RunFailure, RunSummary, Session, audit, observe,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn done(plan: &mmh_ir::Plan, base: &Path, options: Options) -> (RunSummary, Count) {
    let (result, count) = run(plan, base, options);
    (result.unwrap(), count)
}

#[test]
fn a_run_learns_and_fills_its_folder() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let out = base.path().join("out");
    let recipe = mmh_runtime::RecipeText {
        text: "mmh 1\n".into(),
        used: vec![("../../parts/net.mmh".into(), "block".into())],
    };
    let (summary, count) = done(
        &plan,
        base.path(),
        Options {
            recipe,
            ..into(&out)
        },
    );
    assert_eq!(
        (count.steps, count.watched, summary.steps),
        (STEPS, 8, STEPS)
    );
    assert!(
        count.losses[23] < 0.2 * count.losses[0],
        "{:?}",
        count.losses
    );
    let rmse = summary.metrics["final"]["test"]["rmse"].as_f64().unwrap();
    assert!(
        rmse < 0.3
            && summary.metrics["fit"]["valid"]["accuracy"]
                .as_f64()
                .unwrap()
                > 0.8,
        "{:?}",
        summary.metrics
    );
    let counts = summary.metrics["final"]["test"]["confusion"]["counts"].to_string();
    assert!(counts.matches(char::is_numeric).count() >= 4, "{counts}");
    for name in [
        "model.safetensors",
        "recipe.mmh",
        "recipe/parts/net.mmh",
        "mmh.lock",
        "plan",
        "journal",
        "metrics.json",
        "report.html",
    ] {
        assert!(out.join(name).is_file(), "{name}");
    }
    assert!(
        !base.path().join("parts").exists(),
        "a used file leads out of the folder"
    );
    let stored: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(
        (&stored["model_hash"], &stored["metrics"]),
        (
            &summary.model_hash.clone().into(),
            &summary.metrics.clone().into()
        )
    );
    assert_eq!(
        mmh_ir::Plan::from_text(&std::fs::read_to_string(out.join("plan")).unwrap())
            .unwrap()
            .hash(),
        summary.plan_hash
    );

    let (without, _) = done(&plan, base.path(), Options::default());
    assert_eq!(
        (without.model_hash, without.metrics),
        (summary.model_hash, summary.metrics)
    );
}

#[test]
fn a_finished_run_is_repeated_without_a_step() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let out = base.path().join("out");
    let (first, _) = done(&plan, base.path(), into(&out));
    let (again, count) = done(&plan, base.path(), resume(&out));
    assert_eq!((again, count.steps), (first.clone(), 0));
    // A model that was changed is made again from the checkpoint.
    let path = out.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (again, count) = done(&plan, base.path(), resume(&out));
    assert_eq!((again.model_hash, count.steps), (first.model_hash, 0));
    bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_limit_leaves_the_run_as_it_was() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let (whole, _) = done(&plan, base.path(), Options::default());
    for limit in [
        Limit::Steps(0),
        Limit::Steps(1),
        Limit::Steps(7),
        Limit::Epochs(3),
        Limit::Steps(99),
    ] {
        let out = base.path().join(format!("{limit:?}"));
        let (short, _) = done(
            &plan,
            base.path(),
            Options {
                limit: Some(limit),
                ..into(&out)
            },
        );
        let (free, count) = done(
            &plan,
            base.path(),
            Options {
                limit: Some(limit),
                ..Options::default()
            },
        );
        assert_eq!(
            (short.model_hash, short.steps),
            (free.model_hash.clone(), count.steps)
        );
        assert_eq!(
            free.model_hash == whole.model_hash,
            limit == Limit::Steps(99)
        );
        let (again, count) = done(
            &plan,
            base.path(),
            Options {
                limit: Some(limit),
                ..resume(&out)
            },
        );
        assert_eq!((again.model_hash, count.steps), (free.model_hash, 0));
        let (gone_on, _) = done(&plan, base.path(), resume(&out));
        assert_eq!(
            (&gone_on.model_hash, &gone_on.metrics),
            (&whole.model_hash, &whole.metrics),
            "{limit:?}"
        );
        let refused = run(
            &plan,
            base.path(),
            Options {
                limit: Some(Limit::Steps(3)),
                ..resume(&out)
            },
        )
        .0
        .unwrap_err();
        assert_eq!(refused.code(), "run::request");
    }
}

#[test]
fn patience_ends_a_training_at_its_best() {
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    let watch = plan.trainings[0].watch.as_mut().unwrap();
    // The larger the error the better: the first measurement stays the best.
    (watch.maximise, watch.patience) = (true, Some(2));
    let (summary, count) = done(&plan, base.path(), into(&base.path().join("out")));
    assert_eq!((count.steps, summary.steps), (9, 9));
    let limited = Options {
        limit: Some(Limit::Steps(3)),
        ..Options::default()
    };
    let (short, _) = done(&plan, base.path(), limited);
    assert_eq!(short.model_hash, summary.model_hash);
}

struct Tracer;

impl Diagnose for Tracer {
    fn locate(
        &self,
        program: &Program,
        _: &[StateDecl],
        state: &State,
        feed: &Feed,
    ) -> Option<Culprit> {
        let value = mmh_interpret::trace(program, state, feed).ok()??;
        let node = program.graph.node(value);
        Some(Culprit {
            value,
            op: format!("{:?}", node.op),
            origin: node.origin,
        })
    }
}

#[test]
fn what_is_not_finite_stops_the_run_and_names_its_place() {
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    let OptimiserGroup::Adam { lr, .. } = &mut plan.trainings[0].groups[0] else {
        panic!()
    };
    *lr = 1e18;
    let out = base.path().join("out");
    let options = Options {
        diagnose: Some(Arc::new(Tracer)),
        ..into(&out)
    };
    let (result, count) = run(&plan, base.path(), options);
    let Err(RunFailure::NotFinite(at)) = &result else {
        panic!("{result:?}")
    };
    assert_eq!((at.guard.as_str(), at.step), ("loss", count.steps));
    assert!(
        at.culprit
            .as_ref()
            .is_some_and(|culprit| culprit.op.contains("Mul")),
        "{at:?}"
    );
    assert_eq!(result.unwrap_err().code(), "run::not-finite");
    assert!(
        std::fs::read_to_string(out.join("journal"))
            .unwrap()
            .contains("\"not-finite\"")
    );
    // The same again, from what was saved.
    assert_eq!(
        run(&plan, base.path(), resume(&out)).0.unwrap_err().code(),
        "run::not-finite"
    );
}

struct Cancels {
    after: u64,
    flag: Arc<AtomicBool>,
}

impl Observer for Cancels {
    fn step(&mut self, report: &observe::StepReport) {
        self.flag
            .store(report.step >= self.after, Ordering::Relaxed);
    }
}

#[test]
fn a_cancelled_run_saves_and_goes_on() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let (whole, _) = done(&plan, base.path(), Options::default());
    let out = base.path().join("out");
    let options = into(&out);
    let mut observer = Cancels {
        after: 7,
        flag: Arc::clone(&options.cancel),
    };
    let session = Session::new(&plan, base.path(), &Interpreter, options).unwrap();
    assert_eq!(
        session.run(&mut observer).unwrap_err(),
        RunFailure::Interrupted { step: 7 }
    );
    let (rest, count) = done(&plan, base.path(), resume(&out));
    assert_eq!(
        (rest.model_hash, count.steps),
        (whole.model_hash, STEPS - 7)
    );
}

#[test]
fn a_folder_keeps_to_its_run() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let out = base.path().join("out");
    let short = Options {
        limit: Some(Limit::Steps(6)),
        ..into(&out)
    };
    done(&plan, base.path(), short);

    let mut other = plan.clone();
    other.seed = format!("{:064x}", 8);
    let refused = run(&other, base.path(), resume(&out)).0.unwrap_err();
    assert_eq!(refused.code(), "run::resume-mismatch");

    let held = std::fs::File::create(out.join(".lock")).unwrap();
    held.lock().unwrap();
    assert_eq!(
        run(&plan, base.path(), resume(&out)).0.unwrap_err().code(),
        "run::busy"
    );
    drop(held);

    let before = std::fs::read(out.join("journal")).unwrap();
    let (_, count) = done(&other, base.path(), into(&out));
    assert_eq!(count.steps, STEPS);
    assert_eq!(std::fs::read(out.join("previous/journal")).unwrap(), before);
    assert!(out.join("previous/checkpoints").is_dir());
}

#[test]
fn a_changed_journal_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let out = base.path().join("out");
    done(&plan, base.path(), into(&out));
    let path = out.join("journal");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"rmse\":0.", "\"rmse\":0.0", 1)).unwrap();
    let refused = run(&plan, base.path(), resume(&out)).0.unwrap_err();
    assert_eq!(refused.code(), "run::damaged");
    assert!(refused.to_string().contains("journal"), "{refused}");
}

#[test]
fn data_that_changed_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let path = base.path().join("data.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "1,2,3,4\n").unwrap();
    assert_eq!(
        run(&plan, base.path(), Options::default())
            .0
            .unwrap_err()
            .code(),
        "data::wrong-hash"
    );
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        run(&plan, base.path(), Options::default())
            .0
            .unwrap_err()
            .code(),
        "data::missing-file"
    );
}

#[test]
fn a_folder_is_verified_and_its_steps_done_again() {
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    plan.trainings[0].watch = None;
    let out = base.path().join("out");
    let (summary, _) = done(&plan, base.path(), into(&out));
    let verified = audit::verify(&out).unwrap();
    assert_eq!(
        (verified.start().unwrap().plan_hash, verified.model_hash()),
        (&*summary.plan_hash, Some(&*summary.model_hash))
    );
    assert!(verified.lines.len() > 10);

    let data = mmh_runtime::load_data(&plan, base.path()).unwrap();
    let hashes = audit::replay(&plan, 0, &data, &Interpreter, None, 20..100).unwrap();
    assert_eq!(
        hashes.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [20, 21, 22, 23, 24]
    );
    let last = verified
        .lines
        .iter()
        .rev()
        .find_map(|line| match &line.entry {
            mmh_runtime::journal::Event::State {
                step: 24, state, ..
            } => Some(state.clone()),
            _ => None,
        });
    assert_eq!(Some(&hashes[4].1), last.as_ref());

    let path = out.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(
        audit::verify(&out)
            .unwrap_err()
            .to_string()
            .contains("model.safetensors")
    );
}

#[test]
fn trainings_share_a_folder() {
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    let (single, _) = done(&plan, base.path(), Options::default());
    let second = mmh_ir::plan::Training {
        name: "second".into(),
        steps: 9,
        ..plan.trainings[0].clone()
    };
    plan.trainings.push(second);
    let out = base.path().join("out");
    let (summary, count) = done(&plan, base.path(), into(&out));
    assert_eq!((summary.steps, count.steps), (STEPS + 9, STEPS + 9));
    assert_eq!(summary.metrics["fit"], single.metrics["fit"]);
    assert!(summary.metrics["second"]["valid"]["rmse"].is_number());
    assert_eq!(
        audit::verify(&out).unwrap().model_hash().map(str::to_owned),
        Some(summary.model_hash.clone())
    );
    let (again, count) = done(&plan, base.path(), resume(&out));
    assert_eq!((again, count.steps), (summary, 0));
}

/// Data order, first values, schedules, draws, reductions and the hash itself in one value: a change of any is a new edition.
#[test]
fn the_model_is_the_same_everywhere() {
    let base = tempfile::tempdir().unwrap();
    let (summary, _) = done(&plan(base.path()), base.path(), Options::default());
    assert_eq!(
        summary.model_hash,
        "blake3:db2e763d15fd75d29b41f3d0550e737b74e6d2915454101b243ef015ab4445ca"
    );
}

#[test]
fn checkpoints_that_no_recipe_asks_for_stand_as_far_apart_as_they_cost() {
    let base = tempfile::tempdir().unwrap();
    let names = |out: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(out.join("checkpoints/0-fit")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    // An epoch is what stands in the plan of a recipe that says nothing.
    let mut plan = plan(base.path());
    plan.trainings[0].checkpoint = plan.trainings[0].epoch_steps;
    let whole = run(&plan, base.path(), into(&base.path().join("rare"))).0;
    assert_eq!(
        names(&base.path().join("rare")),
        ["000000000024.checkpoint"]
    );
    plan.trainings[0].checkpoint = 6;
    let often = run(&plan, base.path(), into(&base.path().join("often"))).0;
    assert_eq!(names(&base.path().join("often")).len(), 4);
    assert_eq!(whole.unwrap().model_hash, often.unwrap().model_hash);

    // Four seconds of work, as the plan counts them, and not more than sixteen in all; whole epochs either way.
    let training = &mut plan.trainings[0];
    training.checkpoint = training.epoch_steps;
    training.steps = 1 << 40;
    let long = mmh_runtime::checkpoint::kept_every(training);
    assert!(long >= training.steps / 16 && long.is_multiple_of(training.epoch_steps));
    training.steps = 1 << 10;
    let short = mmh_runtime::checkpoint::kept_every(training);
    assert!(short > training.steps && short < long, "{short}");
    training.checkpoint = 6;
    let asked = mmh_runtime::checkpoint::kept_every(training);
    assert!(asked < short && asked.is_multiple_of(6), "{asked}");
}
