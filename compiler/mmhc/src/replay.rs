//! `mmhc replay`: steps of a run done again, and the hash of the state after each.

use crate::args::ReplayArgs;
use crate::audit::{self, Bench};
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use mmh_runtime::RunFailure;
use mmh_runtime::audit::{nearest, replay as steps_again};
use mmh_runtime::journal::Event;
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) fn replay(args: &ReplayArgs) -> Outcome {
    let found = audit::open_whole(&args.folder, args.json)?;
    let bench = Bench::new(&found, &args.data, &args.device, args.json)?;
    let fail = |failure: RunFailure| audit::failed(&failure, args.json);
    let trainings = &bench.plan.trainings;
    let number = match &args.training {
        None => trainings.len().checked_sub(1),
        Some(name) => trainings.iter().position(|training| training.name == *name),
    };
    let missing = || {
        fail(RunFailure::Request(
            "the run has no such training".to_owned(),
        ))
    };
    let number = number.ok_or_else(missing)?;
    let training = trainings.get(number).ok_or_else(missing)?;
    let steps = args.steps.clone().unwrap_or(0..training.steps + 1);
    if steps.start > training.steps {
        let reason = format!("`{}` has {} steps", training.name, training.steps);
        return Err(fail(RunFailure::Request(reason)));
    }
    let start = nearest(&found, number, steps.start).map_err(fail)?;
    let from = start.as_ref().map_or(0, |progress| progress.step);
    let done = steps_again(
        &bench.plan,
        number,
        &bench.data,
        &*bench.device,
        start,
        steps,
    )
    .map_err(fail)?;
    let mut told = BTreeMap::new();
    for line in &found.lines {
        if let Event::State {
            training: name,
            step,
            state,
            ..
        } = &line.entry
            && *name == training.name
        {
            told.insert(*step, state.as_str());
        }
    }
    let verdict = |step: u64, state: &str| match told.get(&step) {
        None => "",
        Some(there) if *there == state => "as in the journal",
        Some(_) => "NOT as in the journal",
    };
    let differ = done
        .iter()
        .any(|(step, state)| told.get(step).is_some_and(|there| there != state));
    if args.json {
        let rows = done.iter().map(
            |(step, state)| json!({ "step": step, "state": state, "journal": told.get(step) }),
        );
        let document = json!({
            "training": training.name, "from": from, "same": !differ, "steps": rows.collect::<Vec<_>>(),
        });
        system::say(&format!("{document:#}\n"));
    } else {
        system::tell(&format!(
            "`{}`, from the state after {from} steps\n",
            training.name.escape_debug()
        ));
        for (step, state) in &done {
            system::say(format!("{step}\t{state}\t{}", verdict(*step, state)).trim_end());
            system::say("\n");
        }
    }
    match differ {
        false => Ok(()),
        true => Err(Failure::Said(Exit::Fault)),
    }
}
