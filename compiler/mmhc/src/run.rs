//! `mmhc run`: check, plan, train, evaluate.

use crate::args::{DeviceArgs, Isolate, RunArgs};
use crate::findings::Finding;
use crate::front::{self, Checked};
use crate::logs::{About, Both, Logs};
use crate::outcome::{Exit, Failure, Outcome};
use crate::placement::Placement;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::{device, not_yet, search, system};
use mmh_check::Recipe;
use mmh_diag::{Code, Diagnostic, SourceId, Span};
use mmh_interpret::trace;
use mmh_ir::Op;
use mmh_ir::device::{Device, Feed, State};
use mmh_ir::plan::{FilePlan, Plan, Program, SourcePlan, StateDecl};
use mmh_runtime::folder::run_files;
use mmh_runtime::{
    Culprit, Dataset, Diagnose, Options, RunFailure, RunSummary, Session, load_data,
};
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn run(args: &RunArgs) -> Outcome {
    let json = args.json;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| default_out(&args.recipe));
    if !is_free(&out) {
        let message = format!(
            "`{}` holds files that are no run; choose another folder with `--out`",
            out.display()
        );
        return Err(Failure::Usage(message));
    }
    if args.trial_timeout.is_some() && args.isolate != Isolate::Process {
        let message = "`--trial-timeout` ends a process; give `--isolate process` as well";
        return Err(Failure::Usage(message.to_owned()));
    }
    let checked = front::check(front::open(&args.recipe, json)?, &args.changes.set);
    let recipe = checked.recipe(json)?;
    runnable(&checked, recipe, args.no_search, json)?;
    let args = &RunArgs {
        device: DeviceArgs {
            audit: audits(recipe),
            ..args.device.clone()
        },
        ..args.clone()
    };
    if let Some(search) = recipe
        .declarations
        .search
        .as_ref()
        .filter(|_| !args.no_search)
    {
        if args.profile {
            let message = "`--profile` measures one run; take it with `--no-search`";
            return Err(Failure::Usage(message.to_owned()));
        }
        return search::run(args, &checked, search, &out);
    }
    if args.workers != 1 || args.isolate != Isolate::Thread {
        let message = "`--workers` share the trials of a search, and none is run here";
        return Err(Failure::Usage(message.to_owned()));
    }
    let profile = args.profile.then(Profile::begin);
    let plan = mmh_plan::plan(recipe);
    let plan = plan
        .map_err(|found| checked.failure(found.into_iter().map(Finding::from).collect(), json))?;
    let data = load_data(&plan, &checked.world.folder);
    let data = Arc::new(data.map_err(|failure| failed(&failure, &checked, recipe, json))?);
    let device = match profile.is_none() && device::is_a_choice(&args.device) {
        true => placed(&plan, &data, &args.device),
        false => device::choose(&args.device, profile.as_ref().map(Profile::trace), json)?,
    };
    let options = Options {
        out: Some(out.clone()),
        resume: args.resume,
        limit: args.changes.limit,
        recipe: checked.texts.clone(),
        cancel: cancel_on_signal(),
        diagnose: Some(Arc::new(Tracer)),
        ..Options::default()
    };
    let name = project(&args.recipe);
    let mut logs = Logs::open(&args.log, &name, json)?;
    let mut progress = Progress::new();
    let session = Session::with_data(&plan, data, &*device, options);
    logs.begin(&About {
        name,
        trial: None,
        settings: args.changes.set.clone(),
        tags: vec![
            ("recipe_hash".to_owned(), plan.recipe_hash.clone()),
            ("plan_hash".to_owned(), plan.hash()),
        ],
    });
    let ended = session.and_then(|session| session.run(&mut Both(&mut progress, &mut logs)));
    logs.end(ended.is_ok());
    progress.clear();
    let summary = ended.map_err(|failure| failed(&failure, &checked, recipe, json))?;
    system::tell(&words(&summary));
    if let Some(profile) = profile {
        profile.end(&out, json)?;
    }
    match json {
        true => system::say(&format!(
            "{}\n",
            serde_json::to_string_pretty(&summary).unwrap_or_default()
        )),
        false => system::say(&format!("{}\n", summary.model_hash)),
    }
    Ok(())
}

/// One step in so many, by name of training, that the recipe wants done twice.
fn audits(recipe: &Recipe) -> Vec<(String, u64)> {
    let trainings = recipe.declarations.trainings.iter();
    trainings
        .filter_map(|training| Some((training.name.clone(), training.audit?)))
        .collect()
}

/// The device that was found the fastest for each training.
fn placed(plan: &Plan, data: &Arc<Vec<Dataset>>, args: &DeviceArgs) -> Box<dyn Device> {
    let placement = Placement::measure(plan, data, args, false);
    if placement.candidates.len() > 1 {
        system::tell(&placement.words(plan));
    }
    device::audited(placement.into_device(plan), args)
}

fn default_out(recipe: &Path) -> PathBuf {
    Path::new("runs").join(project(recipe))
}

/// What a recipe is called: its file's name.
pub(crate) fn project(recipe: &Path) -> String {
    match recipe.as_os_str() == "-" {
        true => "stdin".to_owned(),
        false => recipe
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    }
}

/// Whether a run may be written there: nothing is there, or only a run.
fn is_free(out: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(out) else {
        // A folder that is not there is made; what cannot be made or read is said by the run.
        return !out.exists() || out.is_dir();
    };
    let names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let ours = |name: &String| run_files().contains(&name.strip_suffix(".new").unwrap_or(name));
    names
        .iter()
        .any(|name| name == "journal" || name == "study")
        || names.iter().all(ours)
}

/// Refuses what is checked but cannot run yet. A second search may be passed over.
pub(crate) fn runnable(
    checked: &Checked,
    recipe: &Recipe,
    no_search: bool,
    json: bool,
) -> Result<(), Failure> {
    let sections = recipe.declarations.not_yet.iter();
    let missing = sections.filter(|it| !(no_search && it.section.starts_with("search")));
    let findings: Vec<Finding> = missing
        .map(|it| {
            Diagnostic::error(
                Code::CapabilityNotYet,
                format!("`{}` cannot run in this version", it.section),
            )
            .at(SourceId(0), it.span, "")
            .help(not_yet::instead_of_section(&it.section))
            .into()
        })
        .collect();
    if findings.is_empty() {
        return Ok(());
    }
    let mut report = checked.report.clone();
    report.findings = findings;
    Err(Failure::Found {
        report,
        json,
        exit: Exit::Fault,
    })
}

/// Set by Ctrl-C or a request to end; a second one ends at once.
pub(crate) fn cancel_on_signal() -> Arc<AtomicBool> {
    let cancel = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancel);
    // Without a handler the run is ended at once, and `--resume` goes on from the last checkpoint all the same.
    let _ = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(Exit::Interrupted.status()));
        }
        system::tell("\nsaving a checkpoint; once more to end at once\n");
    });
    cancel
}

/// Finds with the interpreter where a number stopped being finite.
struct Tracer;

impl Diagnose for Tracer {
    fn locate(
        &self,
        program: &Program,
        _slots: &[StateDecl],
        state: &State,
        feed: &Feed,
    ) -> Option<Culprit> {
        let value = trace(program, state, feed).ok().flatten()?;
        let node = program.graph.node(value);
        Some(Culprit {
            value,
            op: op_name(&node.op),
            origin: node.origin,
        })
    }
}

/// The word of the text form.
pub(crate) fn op_name(op: &Op) -> String {
    match serde_json::to_value(op) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The failure with its place in the recipe, where it has one.
pub(crate) fn failed(
    failure: &RunFailure,
    checked: &Checked,
    recipe: &Recipe,
    json: bool,
) -> Failure {
    let mut finding = Finding::from(failure);
    if let RunFailure::NotFinite(at) = failure
        && let Some((source, span)) = at
            .culprit
            .as_ref()
            .and_then(|culprit| recipe.origin_span(culprit.origin))
    {
        let words = "here a number stopped being finite";
        finding.labels = Diagnostic::error(Code::RunNotFinite, "")
            .at(source, span, words)
            .labels;
    }
    if let Some((source, span)) = data_of(failure, recipe) {
        finding.labels = Diagnostic::error(Code::DataFormat, "")
            .at(source, span, "declared here")
            .labels;
    }
    let mut report = checked.report.clone();
    report.findings = vec![finding];
    let exit = exit(failure);
    Failure::Found { report, json, exit }
}

/// Where the data set is declared that a run failed over.
fn data_of(failure: &RunFailure, recipe: &Recipe) -> Option<(SourceId, Span)> {
    match failure {
        RunFailure::EmptyPart { data, .. } => recipe.data_span(data),
        RunFailure::Data(error) => {
            let sets = &recipe.declarations.data;
            let named = |file: &FilePlan| file.path == *error.file;
            let set = sets.iter().find(|set| match &set.source {
                SourcePlan::Idx { images, labels } => images.iter().chain(labels).any(named),
                SourcePlan::Csv { file, .. }
                | SourcePlan::Text { file, .. }
                | SourcePlan::Bytes { file, .. } => named(file),
            })?;
            recipe.data_span(&set.name)
        }
        _ => None,
    }
}

/// The exit status of a failed run.
pub(crate) fn exit(failure: &RunFailure) -> Exit {
    match failure {
        RunFailure::Interrupted { .. } => Exit::Interrupted,
        RunFailure::Device(_) => Exit::Device,
        RunFailure::Data(_)
        | RunFailure::EmptyPart { .. }
        | RunFailure::Plan(_)
        | RunFailure::NotFinite(_)
        | RunFailure::IndexRange { .. }
        | RunFailure::ResumeMismatch { .. }
        | RunFailure::DiskFull { .. }
        | RunFailure::File { .. }
        | RunFailure::Damaged { .. }
        | RunFailure::Busy { .. }
        | RunFailure::DataNotFound { .. }
        | RunFailure::Edition { .. }
        | RunFailure::Request(_) => Exit::Fault,
        RunFailure::NotRepeated { .. } => Exit::Device,
    }
}

/// The result for people.
pub(crate) fn words(summary: &RunSummary) -> String {
    let mut lines: Vec<[String; 3]> = Vec::new();
    for (section, parts) in &summary.metrics {
        for (part, metrics) in parts.as_object().unwrap_or(&Map::new()) {
            let mut figures = Vec::new();
            for (name, value) in metrics.as_object().unwrap_or(&Map::new()) {
                if let Some(number) = value.as_f64() {
                    figures.push(format!("{name} {number:.4}"));
                }
            }
            if !figures.is_empty() {
                lines.push([section.clone(), part.clone(), figures.join(", ")]);
            }
        }
    }
    let wide = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    let (first, second) = (wide(0), wide(1));
    let mut out = String::new();
    for [section, part, figures] in &lines {
        let _ = writeln!(out, "{section:first$}  {part:second$}  {figures}");
    }
    out.push_str(&tables(&summary.metrics));
    let threads = if summary.threads == 1 {
        "thread"
    } else {
        "threads"
    };
    let _ = writeln!(
        out,
        "{} steps in {:.2} s on {} ({}, {} {threads})",
        summary.steps, summary.seconds, summary.device, summary.isa, summary.threads
    );
    if let Some(folder) = &summary.out {
        let _ = writeln!(out, "in {folder}");
    }
    out
}

/// Tables of counts, a label a line.
fn tables(metrics: &Map<String, Value>) -> String {
    let mut out = String::new();
    for (section, parts) in metrics {
        for (part, metrics) in parts.as_object().unwrap_or(&Map::new()) {
            for (name, value) in metrics.as_object().unwrap_or(&Map::new()) {
                out.push_str(
                    &table(&format!("{section} {part} {name}"), value).unwrap_or_default(),
                );
            }
        }
    }
    out
}

/// Classes beyond which a table is left to `report.html`.
const MOST_CLASSES: usize = 20;

/// Characters of a class at the head of a column.
const WIDEST_HEAD: usize = 10;

fn table(title: &str, value: &Value) -> Option<String> {
    let classes: Vec<&str> = value
        .get("classes")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let rows = value.get("counts")?.as_array()?;
    if classes.len() > MOST_CLASSES {
        return Some(format!(
            "{title}: {} classes, drawn in report.html\n",
            classes.len()
        ));
    }
    let count = |cell: &Value| cell.as_u64().unwrap_or(0).to_string();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .filter_map(Value::as_array)
        .map(|row| row.iter().map(count).collect())
        .collect();
    let width = cells
        .iter()
        .flatten()
        .map(String::len)
        .chain(
            classes
                .iter()
                .map(|class| class.chars().count().min(WIDEST_HEAD)),
        )
        .max()?;
    let label = classes.iter().map(|class| class.chars().count()).max()?;
    let short = |class: &str| match class.chars().count() {
        ..=WIDEST_HEAD => class.to_owned(),
        _ => class.chars().take(WIDEST_HEAD - 1).chain(['…']).collect(),
    };
    let mut out = format!("{title} (label down, prediction across)\n{:label$}", "");
    for class in &classes {
        let _ = write!(out, "  {:>width$}", short(class));
    }
    out.push('\n');
    for (class, row) in classes.iter().zip(&cells) {
        let _ = write!(out, "{class:label$}");
        for cell in row {
            let _ = write!(out, "  {cell:>width$}");
        }
        out.push('\n');
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_run_folders_are_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        assert!(is_free(&at("new")) && is_free(folder.path()));
        for name in [".lock", "plan.new"] {
            std::fs::write(at(name), "").expect("written");
        }
        assert!(is_free(folder.path()));
        std::fs::write(at("thesis.tex"), "").expect("written");
        assert!(!is_free(folder.path()) && !is_free(&at("thesis.tex")));
        std::fs::write(at("journal"), "").expect("written");
        assert!(is_free(folder.path()));
    }

    #[test]
    fn tables_line_up() {
        let value = json!({ "classes": ["cat", "zebrafinch"], "counts": [[10, 2], [0, 300]] });
        let text = table("final test confusion", &value).expect("a table");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "                   cat  zebrafinch",
                "cat                 10           2",
                "zebrafinch           0         300"
            ]
        );
    }

    #[test]
    fn names_of_run_folders_follow_the_recipe() {
        assert_eq!(
            default_out(Path::new("examples/digits.mmh")),
            Path::new("runs/digits")
        );
        assert_eq!(default_out(Path::new("-")), Path::new("runs/stdin"));
    }
}
