//! `mmhc bisect`: the first step at which two runs part, and the first operation in it.
//!
//! The states that both recorded are searched first, by halves. Then both are done again from their last checkpoints ahead
//! of the parting, step by step; and the step that parts them, value by value with the interpreter.

use crate::args::BisectArgs;
use crate::audit::{self, Bench};
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use mmh_interpret::values;
use mmh_ir::device::{Feed, State, Tensor};
use mmh_ir::plan::Program;
use mmh_ir::{Graph, Op, ValueId};
use mmh_numerics::random::Seed;
use mmh_runtime::RunFailure;
use mmh_runtime::audit::compare::{Parting, Walker, parting};
use mmh_runtime::audit::{Examined, nearest};
use mmh_runtime::journal::Event;
use serde_json::{Value, json};

/// What was found.
struct Found {
    parting: Parting,
    /// The step, counted from 1, that parts the two when both are done again here.
    step: Option<u64>,
    /// The first operation of that step whose value differs.
    operation: Option<String>,
    /// Whether the state at the parting came out here as in a, and as in b.
    reproduced: Option<[bool; 2]>,
    steps_done: u64,
}

pub(crate) fn bisect(args: &BisectArgs) -> Outcome {
    let json = args.pair.json;
    let [a, b] = [
        audit::open_whole(&args.pair.a, json)?,
        audit::open_whole(&args.pair.b, json)?,
    ];
    let name = training(args, &a, json)?;
    let parting = parting(&a, &b, &name);
    let mut found = Found {
        parting,
        step: None,
        operation: None,
        reproduced: None,
        steps_done: 0,
    };
    if let Some(apart) = parting.apart {
        narrow(args, [&a, &b], &name, apart, &mut found)?;
    }
    match json {
        true => system::say(&format!("{:#}\n", document(&name, &found))),
        false => system::say(&words(&name, [&a, &b], &found)),
    }
    match parting.apart {
        None => Ok(()),
        Some(_) => Err(Failure::Said(Exit::Fault)),
    }
}

fn training(args: &BisectArgs, a: &Examined, json: bool) -> Result<String, Failure> {
    let mut names = a
        .plan
        .iter()
        .flat_map(|plan| &plan.trainings)
        .map(|training| &training.name);
    let found = match &args.training {
        Some(wanted) => names.find(|name| *name == wanted),
        None => names.next_back(),
    };
    let missing = || RunFailure::Request("the first run has no such training".to_owned());
    found
        .cloned()
        .ok_or_else(|| audit::failed(&missing(), json))
}

/// Does both again, from the last recorded state that is the same to the first that is not.
fn narrow(
    args: &BisectArgs,
    pair: [&Examined; 2],
    name: &str,
    apart: u64,
    found: &mut Found,
) -> Result<(), Failure> {
    let json = args.pair.json;
    let fail = |failure: RunFailure| audit::failed(&failure, json);
    let missing = || {
        fail(RunFailure::Request(format!(
            "one of the runs has no training `{name}`"
        )))
    };
    let same = found.parting.same.unwrap_or(0);
    let benches = pair.map(|it| Bench::new(it, &args.data, &args.device, json));
    let [bench_a, bench_b] = benches;
    let benches = [bench_a?, bench_b?];
    let mut seeds = Vec::new();
    for bench in &benches {
        let seed = Seed::from_hex(&bench.plan.seed)
            .map_err(|error| fail(RunFailure::Plan(error.to_string())))?;
        seeds.push(seed);
    }
    let mut walkers = Vec::new();
    for ((bench, seed), it) in benches.iter().zip(&seeds).zip(pair) {
        let mut trainings = bench.plan.trainings.iter().enumerate();
        let (number, training) = trainings
            .find(|(_, training)| training.name == name)
            .ok_or_else(missing)?;
        let start = nearest(it, number, same).map_err(fail)?;
        let from = start.as_ref().map_or(0, |progress| progress.step);
        let data = bench.data.get(training.data as usize).ok_or_else(missing)?;
        let mut walker = Walker::new(training, data, seed, &*bench.device, start).map_err(fail)?;
        walker.walk(same).map_err(fail)?;
        found.steps_done += same - from;
        walkers.push(walker);
    }
    let [a, b] = walkers.as_mut_slice() else {
        return Ok(());
    };
    if a.hash() != b.hash() {
        found.step = Some(0);
        found.operation = slots_apart(a, b, &benches, name);
    }
    let mut step = same;
    while found.step.is_none() && step < apart {
        let before = [a.progress().state.clone(), b.progress().state.clone()];
        let operation = {
            let (program_a, feed_a) = a.upcoming().map_err(fail)?;
            let feed_a = feed_a.clone();
            let (program_b, feed_b) = b.upcoming().map_err(fail)?;
            (program_a, feed_a, program_b, feed_b.clone())
        };
        step += 1;
        for walker in [&mut *a, &mut *b] {
            walker.walk(step).map_err(fail)?;
            found.steps_done += 1;
        }
        if a.hash() != b.hash() {
            let (program_a, feed_a, program_b, feed_b) = operation;
            found.step = Some(step);
            let [state_a, state_b] = &before;
            found.operation =
                first_apart((program_a, state_a, &feed_a), (program_b, state_b, &feed_b));
        }
    }
    if found.step.is_none() {
        found.reproduced =
            Some(pair.map(|it| recorded(it, name, apart) == Some(a.hash().to_hex().to_string())));
    }
    Ok(())
}

/// The hash that a run recorded after so many steps.
fn recorded(found: &Examined, name: &str, at: u64) -> Option<String> {
    let mut lines = found.lines.iter().rev();
    lines.find_map(|line| match &line.entry {
        Event::State {
            training,
            step,
            state,
            ..
        } if training == name && *step == at => Some(state.clone()),
        _ => None,
    })
}

/// State slots that differ ahead of any step.
fn slots_apart(a: &Walker<'_>, b: &Walker<'_>, benches: &[Bench; 2], name: &str) -> Option<String> {
    let [bench, _] = benches;
    let training = bench
        .plan
        .trainings
        .iter()
        .find(|training| training.name == name)?;
    let states = (&a.progress().state.slots, &b.progress().state.slots);
    if states.0.len() != states.1.len() {
        return Some("they have other parameters".to_owned());
    }
    let pairs = training.state.iter().zip(states.0.iter().zip(states.1));
    let paths: Vec<String> = pairs
        .filter(|(_, (a, b))| !same_bits(a, b))
        .take(4)
        .map(|(slot, _)| format!("`{}`", slot.path))
        .collect();
    Some(format!("the first values of {}", paths.join(", ")))
}

/// The first value of a step that differs, its operation named.
fn first_apart(a: (&Program, &State, &Feed), b: (&Program, &State, &Feed)) -> Option<String> {
    let (of_a, of_b) = (values(a.0, a.1, a.2).ok()?, values(b.0, b.1, b.2).ok()?);
    let (graph_a, graph_b) = (&a.0.graph, &b.0.graph);
    for (value, (here, there)) in graph_a.values().zip(of_a.iter().zip(&of_b)) {
        let (node_a, node_b) = (graph_a.node(value), graph_b.nodes.get(value.index())?);
        if node_a.op != node_b.op || node_a.inputs != node_b.inputs || node_a.ty != node_b.ty {
            return Some(format!(
                "{value}: {} in a, {} in b",
                name_of(graph_a, value),
                name_of(graph_b, value)
            ));
        }
        if !same_bits(here, there) {
            let what = name_of(graph_a, value);
            return Some(format!("{value}: {what}, {}", element_apart(here, there)));
        }
    }
    Some(
        "no value of the step's graph: the two devices do not agree with the interpreter"
            .to_owned(),
    )
}

fn name_of(graph: &Graph, value: ValueId) -> String {
    let Some(node) = graph.nodes.get(value.index()) else {
        return "nothing".to_owned();
    };
    let words = match &node.op {
        Op::Input(input) => format!("input {input:?}"),
        other => crate::run::op_name(other),
    };
    format!("`{words}` {}", node.ty)
}

fn element_apart(a: &Tensor, b: &Tensor) -> String {
    let words = |at: usize, a: &dyn std::fmt::Debug, b: &dyn std::fmt::Debug| {
        format!("element {at}: {a:?} in a, {b:?} in b")
    };
    match (a, b) {
        (Tensor::F32(a), Tensor::F32(b)) => {
            let mut pairs = a.iter().zip(b).enumerate();
            let found = pairs.find(|(_, (a, b))| a.to_bits() != b.to_bits());
            found.map_or(String::new(), |(at, (a, b))| words(at, a, b))
        }
        (Tensor::I32(a), Tensor::I32(b)) => {
            let mut pairs = a.iter().zip(b).enumerate();
            let found = pairs.find(|(_, (a, b))| a != b);
            found.map_or(String::new(), |(at, (a, b))| words(at, a, b))
        }
        _ => "its elements".to_owned(),
    }
}

fn same_bits(a: &Tensor, b: &Tensor) -> bool {
    match (a, b) {
        (Tensor::F32(a), Tensor::F32(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        (a, b) => a == b,
    }
}

fn document(name: &str, found: &Found) -> Value {
    json!({
        "training": name,
        "same_until": found.parting.same,
        "apart_at": found.parting.apart,
        "states_compared": found.parting.compared,
        "steps_done_again": found.steps_done,
        "step": found.step,
        "operation": found.operation,
        "reproduced": found.reproduced.map(|[a, b]| json!({ "a": a, "b": b })),
    })
}

fn words(name: &str, pair: [&Examined; 2], found: &Found) -> String {
    let name = name.escape_debug();
    let Some(apart) = found.parting.apart else {
        return format!("`{name}`: the same in all states that both runs recorded\n");
    };
    let mut out = match found.parting.same {
        None => format!("`{name}`: the recorded states differ from the start\n"),
        Some(same) => format!(
            "`{name}`: the recorded states are the same after {same} steps and differ after {apart} ({} compared)\n",
            found.parting.compared
        ),
    };
    match (found.step, &found.operation, found.reproduced) {
        (Some(0), operation, _) => {
            let what = operation.as_deref().unwrap_or("their first states");
            out += &format!("done again, they differ ahead of the first step: {what}\n");
        }
        (Some(step), operation, _) => {
            out += &format!("done again here, they part in step {step}\n");
            if let Some(operation) = operation {
                out += &format!("first at {operation}\n");
            }
        }
        (None, _, Some([a, b])) => {
            out += "done again here, both come to one state: what the folders say does not follow from their plans\n";
            for (it, same) in pair.iter().zip([a, b]) {
                let word = if same {
                    "comes out here"
                } else {
                    "does NOT come out here"
                };
                out += &format!(
                    "  the state of {} after {apart} steps {word}\n",
                    it.folder.display()
                );
            }
        }
        (None, _, None) => {}
    }
    out
}
