//! `mmhc show`: the text form of a stage of the compiler.

use crate::args::{DeviceArgs, ShowArgs, Stage};
use crate::findings::Finding;
use crate::front;
use crate::outcome::{Exit, Failure, Outcome};
use crate::placement::Placement;
use crate::{card, run, search, system};
use mmh_diag::Code;
use mmh_ir::Plan;
use mmh_ir::plan::Program;
use mmh_runtime::load_data;
use std::fmt::Write;
use std::sync::Arc;

pub(crate) fn show(args: &ShowArgs) -> Outcome {
    if args.schedule && args.stage != Stage::Plan {
        return Err(Failure::Usage(
            "`--schedule` goes with `show plan`".to_owned(),
        ));
    }
    let of_a_run = matches!(args.stage, Stage::Model | Stage::Provenance | Stage::Bom);
    if of_a_run && !args.set.is_empty() {
        return Err(Failure::Usage(
            "`--set` goes with stages of a recipe, and this one is of a run".to_owned(),
        ));
    }
    if args.placement && args.stage != Stage::Plan {
        return Err(Failure::Usage(
            "`--placement` goes with `show plan`".to_owned(),
        ));
    }
    let text = match args.stage {
        Stage::Tree => tree(args)?,
        Stage::Types => checked(args)?.recipe(false)?.types(),
        Stage::Graph => graphs(&plan(args)?),
        Stage::Plan if args.placement => placement(args)?,
        Stage::Plan if args.schedule => schedules(&plan(args)?),
        Stage::Plan => format!("{}\n", plan(args)?.to_text()),
        Stage::Space => space(args)?,
        Stage::Kernel => kernels(&plan(args)?),
        Stage::Clif => return Err(not_yet("clif")),
        Stage::Wgsl => return Err(not_yet("wgsl")),
        Stage::Model => card::model(&args.recipe)?,
        Stage::Provenance => card::provenance(&args.recipe)?,
        Stage::Bom => card::bom(&args.recipe)?,
    };
    system::say(&text);
    Ok(())
}

fn not_yet(stage: &str) -> Failure {
    let message = format!("`show {stage}` is not in this version");
    let help = "`mmhc show kernel` prints the fused loops it would be made from";
    Failure::of(
        Finding::error(Code::CapabilityNotYet, message, help),
        false,
        Exit::Fault,
    )
}

/// A tree can be shown whatever is wrong with the text.
fn tree(args: &ShowArgs) -> Result<String, Failure> {
    let stdin = args.recipe.as_os_str() == "-";
    let text = match stdin {
        true => system::read_stdin(),
        false => system::read_text(&args.recipe),
    };
    let text =
        text.map_err(|error| Failure::of(Finding::file(&args.recipe, &error), false, Exit::Fault))?;
    Ok(mmh_syntax::parse(&text).tree.dump())
}

fn checked(args: &ShowArgs) -> Result<front::Checked, Failure> {
    Ok(front::check(front::open(&args.recipe, false)?, &args.set))
}

fn plan(args: &ShowArgs) -> Result<Plan, Failure> {
    checked(args)?.plan(false)
}

/// Every training tried on every device.
fn placement(args: &ShowArgs) -> Result<String, Failure> {
    let checked = checked(args)?;
    let plan = checked.plan(false)?;
    let data = load_data(&plan, &checked.world.folder);
    let data =
        data.map_err(|failure| Failure::of(Finding::from(&failure), false, run::exit(&failure)))?;
    let how = DeviceArgs::default();
    Ok(Placement::measure(&plan, &Arc::new(data), &how, true).words(&plan))
}

fn space(args: &ShowArgs) -> Result<String, Failure> {
    let checked = checked(args)?;
    let recipe = checked.recipe(false)?;
    let Some(search) = &recipe.declarations.search else {
        let message = "the recipe has no `search`";
        let help = "add `search tune { run = fit  maximize = fit.watch  budget = 64 trials }`";
        let finding = Finding::error(Code::SettingMissing, message, help);
        return Err(Failure::of(finding, false, Exit::Fault));
    };
    let mut texts = vec![checked.texts.text.clone()];
    texts.extend(checked.texts.used.iter().map(|(_, text)| text.clone()));
    Ok(search::space(search, &texts))
}

/// The programs of the trainings' steps, each with the name of its training.
fn steps(plan: &Plan) -> impl Iterator<Item = (&str, &Program)> {
    plan.trainings.iter().flat_map(|training| {
        training
            .programs
            .iter()
            .map(|program| (training.name.as_str(), program))
    })
}

fn heading(training: &str, program: &Program) -> String {
    format!("// {training}: {}, {} rows\n", program.name, program.batch)
}

fn graphs(plan: &Plan) -> String {
    let mut out = String::new();
    for (training, program) in steps(plan) {
        out.push_str(&heading(training, program));
        out.push_str(&mmh_ir::text::write_graph(&program.graph));
        for update in &program.updates {
            let _ = writeln!(out, "update slot {} = {}", update.slot, update.value);
        }
        for (word, values) in [("result", &program.results), ("guard", &program.guards)] {
            for named in values {
                let _ = writeln!(out, "{word} {} = {}", named.name, named.value);
            }
        }
        out.push('\n');
    }
    out
}

fn schedules(plan: &Plan) -> String {
    let own = |training: &mmh_ir::plan::Training| {
        let more = training
            .watch
            .iter()
            .flat_map(|watch| &watch.evaluation.programs);
        training
            .programs
            .iter()
            .chain(more)
            .chain(&training.predict)
            .map(|program| schedule(&training.name, program))
            .collect::<String>()
    };
    let evaluations = plan.evaluations.iter().flat_map(|evaluation| {
        evaluation
            .programs
            .iter()
            .map(|program| schedule(&evaluation.name, program))
    });
    plan.trainings.iter().map(own).chain(evaluations).collect()
}

fn schedule(section: &str, program: &Program) -> String {
    format!(
        "{}{}\n",
        heading(section, program),
        mmh_lower::lower(program)
    )
}

fn kernels(plan: &Plan) -> String {
    let mut out = String::new();
    for (training, program) in steps(plan) {
        out.push_str(&heading(training, program));
        for (number, kernel) in mmh_lower::lower(program).kernels.iter().enumerate() {
            let _ = write!(out, "k{number} = {kernel}");
        }
        out.push('\n');
    }
    out
}
