//! Writes the set of kernels that the build compiles ahead: those of the given plans, in canonical order.
//!
//! ```sh
//! mmhc show plan examples/digits.mmh > digits.json
//! cargo run -p mmh-cpu --release --example hot -- runtime/cpu/hot/examples.kernel digits.json …
//! ```

use mmh_ir::Plan;
use mmh_ir::plan::Program;
use mmh_lower::kernel::Kernel;
use mmh_lower::lower;
use mmh_lower::schedule::Step;
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Kernels above this many instructions are left to the code generator: they would cost more build time than they save.
const MOST_INSTRUCTIONS: usize = 400;

fn programs(plan: &Plan) -> impl Iterator<Item = &Program> {
    let trained = plan.trainings.iter().flat_map(|t| {
        let watched = t.watch.iter().flat_map(|w| &w.evaluation.programs);
        t.programs.iter().chain(watched).chain(&t.predict)
    });
    trained.chain(plan.evaluations.iter().flat_map(|e| &e.programs))
}

/// What an executor asks for: every kernel, and the folding form of those that reduce along columns; constants lifted.
fn kernels(program: &Program) -> Vec<Kernel> {
    let schedule = lower(program);
    let folding = schedule.steps.iter().filter_map(|step| match step {
        Step::Reduce(step) if step.loops.last().is_some_and(|l| !l.reduced) => {
            Some(schedule.kernels.get(step.kernel.0 as usize)?.with_mode(step.fold))
        }
        _ => None,
    });
    folding.chain(schedule.kernels.iter().cloned()).map(|kernel| kernel.lifted().0).collect()
}

fn collect(paths: &[String]) -> Result<BTreeSet<Kernel>, String> {
    let mut all = BTreeSet::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        let plan = Plan::from_text(&text).map_err(|e| format!("{path}: {e}"))?;
        let before = all.len();
        all.extend(programs(&plan).flat_map(kernels).filter(|k| k.body.len() <= MOST_INSTRUCTIONS));
        println!("{path}: {} kernels more", all.len() - before);
    }
    Ok(all)
}

fn main() -> ExitCode {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.len() < 2 {
        eprintln!("usage: hot OUTPUT PLAN…");
        return ExitCode::from(2);
    }
    let output = paths.remove(0);
    let written = collect(&paths).and_then(|all| {
        let texts: Vec<String> = all.iter().map(Kernel::to_string).collect();
        let head = "# Kernels of the examples, compiled by the build. Written by the example `hot`.\n";
        std::fs::write(&output, head.to_string() + &texts.concat()).map_err(|e| format!("{output}: {e}"))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
