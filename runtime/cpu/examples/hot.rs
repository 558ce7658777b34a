//! Writes the set of kernels that the build compiles ahead: those of the given plans, in canonical order. With `--check`
//! in front it writes nothing, and says how many kernels of each plan the set lacks: they run, but at 128 bits.
//!
//! ```sh
//! cd examples
//! for recipe in digits tabular chars mnist; do mmhc show plan $recipe.mmh > /tmp/$recipe.json; done
//! mmhc show plan - < ../runtime/cpu/hot/layers.mmh > /tmp/layers.json
//! for w in a b c d; do mmh-bench --workload $w --count 1 --data /tmp/$w; mmhc show plan /tmp/$w/$w.mmh > /tmp/$w.json; done
//! cargo run -p mmh-cpu --release --example hot -- ../runtime/cpu/hot/examples.kernel /tmp/*.json
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
        Step::Reduce(step) if step.loops.last().is_some_and(|l| !l.reduced) => Some(
            schedule
                .kernels
                .get(step.kernel.0 as usize)?
                .with_mode(step.fold),
        ),
        _ => None,
    });
    folding
        .chain(schedule.kernels.iter().cloned())
        .map(|kernel| kernel.lifted().0)
        .collect()
}

/// `known` and the kernels of the plans; says how many each plan adds.
fn collect(known: BTreeSet<Kernel>, paths: &[String]) -> Result<BTreeSet<Kernel>, String> {
    let mut all = known;
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        let plan = Plan::from_text(&text).map_err(|e| format!("{path}: {e}"))?;
        let before = all.len();
        all.extend(
            programs(&plan)
                .flat_map(kernels)
                .filter(|k| k.body.len() <= MOST_INSTRUCTIONS),
        );
        println!("{path}: {} kernels more", all.len() - before);
    }
    Ok(all)
}

fn check(set: &str, paths: &[String]) -> Result<(), String> {
    let text = std::fs::read_to_string(set).map_err(|e| format!("{set}: {e}"))?;
    let known = Kernel::read_all(&text).map_err(|e| format!("{set}: {e}"))?;
    collect(known.into_iter().collect(), paths).map(|_| ())
}

fn write(set: &str, paths: &[String]) -> Result<(), String> {
    let all = collect(BTreeSet::new(), paths)?;
    let texts: Vec<String> = all.iter().map(Kernel::to_string).collect();
    let head = "# Kernels of the examples, of the workloads of benches and of layers.mmh, compiled by the build. Written by the example `hot`.\n";
    std::fs::write(set, head.to_string() + &texts.concat()).map_err(|e| format!("{set}: {e}"))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.as_slice() {
        [flag, set, paths @ ..] if flag == "--check" && !paths.is_empty() => check(set, paths),
        [set, paths @ ..] if set != "--check" && !paths.is_empty() => write(set, paths),
        _ => {
            eprintln!("usage: hot [--check] SET PLAN…");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
