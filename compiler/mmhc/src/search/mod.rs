//! `mmhc run` of a recipe with a `search`: trials on workers, the best of them as the result.
//!
//! The study itself is [`mmh_search::Study`]; here are the recipes of its trials ([`trials`]), the threads and processes that train them
//! ([`workers`], [`process`]), the order in which results are written down and given back ([`conduct`]), and what people see ([`show`],
//! [`page`]).

mod conduct;
#[cfg(test)]
mod faults;
mod figures;
mod page;
pub(crate) mod process;
mod shared;
mod show;
mod trained;
mod trials;
pub(crate) mod verify;
mod workers;

pub(crate) use show::space;

use crate::args::{DeviceArgs, RunArgs};
use crate::findings::Finding;
use crate::front::Checked;
use crate::logs::{About, Logs};
use crate::outcome::{Exit, Failure, Outcome};
use crate::progress::Progress;
use crate::{device, run, system};
use conduct::{Conducted, Conductor, Curve};
use mmh_check::recipe::Search;
use mmh_diag::Code;
use mmh_runtime::journal::EDITION;
use mmh_runtime::study::{StudyEvent, StudyFolder};
use mmh_runtime::{Disk, Limit, Options, RunFailure, RunSummary, Session, Silent};
use mmh_search::{Status, Study};
use serde_json::{Map, Value, json};
use shared::Shared;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use trials::Trials;

/// A study that came to its end.
pub(crate) struct Searched<'a> {
    search: &'a Search,
    study: Study,
    /// The settings of each trial, as they are written in the recipe.
    settings: Vec<Map<String, Value>>,
    /// The watched figure of each trial by steps.
    curves: BTreeMap<usize, Curve>,
    /// Steps of trials that were taken from the store.
    stored: BTreeMap<usize, u64>,
    /// Whether large watched figures are good.
    watch_is_large: bool,
}

/// Runs the search of a checked recipe in `out`.
pub(crate) fn run(args: &RunArgs, checked: &Checked, search: &Search, out: &Path) -> Outcome {
    let began = Instant::now();
    let json = args.json;
    let failed = |failure: RunFailure| failure_of(&failure, json);
    // Asked for here so that a device that is not there is said before anything runs.
    let own = device::choose(&args.device, None, json)?;
    let mut logs = Logs::open(&args.log, &run::project(&args.recipe), json)?;
    let cancel = run::cancel_on_signal();
    let start = StudyEvent::Start {
        edition: EDITION,
        recipe_hash: checked.recipe(json)?.declarations.recipe_hash.clone(),
        search: search.spec.text(),
        run: searched_training(checked, search, json)?,
        limit: args.changes.limit.map(|limit| format!("{limit:?}")),
    };
    let study = Study::new(search.spec.clone());
    let study = study.map_err(|reason| impossible(checked, search, &reason, json))?;
    let folder = StudyFolder::open(Arc::new(Disk), out, args.resume, &start).map_err(failed)?;
    let trials = Trials::new(checked, search, json);
    let make = |own: &DeviceArgs| device::choose(own, None, false).ok();
    let shared = Shared::open(args);
    let cancelled = Arc::clone(&cancel);
    let mut conductor = Conductor::new(args, study, trials, folder, cancelled, (&make, &shared));
    let conducted = conductor.conduct();
    let Conducted {
        study,
        mut trials,
        mut folder,
        curves,
        stored,
    } = conductor.into_parts();
    conducted?;

    let Some((best, value)) = study.best() else {
        return Err(no_best(&study, search, json));
    };
    let settings = (0..study.trials().len())
        .map(|number| trials.settings(&study, number))
        .collect();
    let mut searched = Searched {
        search,
        study,
        settings,
        curves,
        stored,
        watch_is_large: false,
    };
    let instance = trials.instance(&searched.study, best)?;
    let watch = instance
        .plan
        .trainings
        .get(search.training)
        .and_then(|it| it.watch.as_ref());
    searched.watch_is_large = watch.is_some_and(|watch| watch.maximise);
    let rung = searched.study.last_value(best).map_or(0, |(rung, _)| rung);
    let whole = rung + 1 == search.spec.rungs;
    let place = folder.trial(&instance.plan_hash);
    let options = Options {
        out: Some(place.clone()),
        resume: true,
        limit: match whole {
            true => args.changes.limit,
            false => Some(Limit::Steps(instance.end(search, rung, args.changes.limit))),
        },
        recipe: instance.texts.clone(),
        cancel,
        ..Options::default()
    };
    let session = Session::with_data(&instance.plan, Arc::clone(&instance.data), &*own, options);
    let mut progress = Progress::new();
    // The training that was searched is done; others are shown.
    let ended = session.and_then(|session| match instance.plan.trainings.len() {
        1 => session.run(&mut Silent),
        _ => session.run(&mut progress),
    });
    progress.clear();
    let mut summary = ended.map_err(failed)?;
    summary.seconds = began.elapsed().as_secs_f64();
    summary.out = Some(out.display().to_string());
    let account = searched.account(best, value);
    let mut metrics = summary.lasting();
    if let Value::Object(fields) = &mut metrics {
        fields.insert("study".to_owned(), account.clone());
    }
    let report = std::fs::read_to_string(place.join("report.html")).unwrap_or_default();
    let report = page::with_study(&report, &searched, best);
    // Empty by now, and of no more use.
    let _ = std::fs::remove_dir_all(out.join("study").join("stored"));
    let adopted = folder.adopt(&place, &instance.texts, &metrics, &report);
    let files = adopted.map_err(failed)?;
    finish(&mut folder, &searched, best, &summary, files).map_err(failed)?;
    searched.log(&mut logs, &summary);
    say(&summary, &searched, best, value, account, json);
    Ok(())
}

fn say(
    summary: &RunSummary,
    searched: &Searched<'_>,
    best: usize,
    value: f64,
    account: Value,
    json: bool,
) {
    system::tell(&show::end(searched, best, value));
    system::tell(&run::words(summary));
    let text = match json {
        true => {
            let mut whole = serde_json::to_value(summary).unwrap_or_default();
            if let Value::Object(fields) = &mut whole {
                fields.insert("study".to_owned(), account);
            }
            format!("{whole:#}\n")
        }
        false => format!("{}\n", summary.model_hash),
    };
    system::say(&text);
}

/// Writes the end into the journal, once.
fn finish(
    folder: &mut StudyFolder,
    searched: &Searched<'_>,
    best: usize,
    summary: &RunSummary,
    files: BTreeMap<String, String>,
) -> Result<(), RunFailure> {
    let ended = folder
        .lines
        .iter()
        .any(|line| matches!(line.entry, StudyEvent::End { .. }));
    if ended {
        return Ok(());
    }
    let end = StudyEvent::End {
        study_hash: searched.study.hash(),
        best: best as u64,
        model_hash: summary.model_hash.clone(),
        head: folder.head()?,
        files,
    };
    folder.add(&end, true)
}

/// Name of the training that trials run.
fn searched_training(checked: &Checked, search: &Search, json: bool) -> Result<String, Failure> {
    let trainings = &checked.recipe(json)?.declarations.trainings;
    let training = trainings.get(search.training);
    Ok(training.map_or(String::new(), |training| training.name.clone()))
}

impl Searched<'_> {
    /// What there is to say of a study, the same wherever it is done.
    fn account(&self, best: usize, value: f64) -> Value {
        let count = |status: Status| {
            (0..self.study.trials().len())
                .filter(|trial| self.study.status(*trial) == status)
                .count()
        };
        let mut account = json!({
            "name": self.search.name,
            "study_hash": self.study.hash(),
            "trials": self.study.trials().len(),
            "finished": count(Status::Finished),
            "stopped": count(Status::Stopped),
            "diverged": count(Status::Diverged),
            "infeasible": count(Status::Infeasible),
            "best": {
                "trial": best,
                "value": value,
                "settings": self.settings.get(best),
            },
        });
        if let Value::Object(fields) = &mut account
            && self.search.figures.len() > 1
        {
            fields.insert("front".to_owned(), self.front());
        }
        account
    }

    /// Tells other programs of the search and of each of its trials.
    fn log(&self, logs: &mut Logs, summary: &RunSummary) {
        if !logs.is_on() {
            return;
        }
        let hash = |name: &str, hash: &str| (name.to_owned(), hash.to_owned());
        logs.begin(&About {
            name: self.search.name.clone(),
            tags: vec![
                hash("recipe_hash", &summary.recipe_hash),
                hash("study_hash", &self.study.hash()),
                hash("model_hash", &summary.model_hash),
            ],
            ..About::default()
        });
        let objectives = &self.study.spec().objectives;
        let figures = |trial: usize| {
            let first = self.study.last_value(trial).map(|(_, value)| vec![value]);
            self.study.figures(trial).or(first).unwrap_or_default()
        };
        for trial in 0..self.study.trials().len() {
            for (objective, figure) in objectives.iter().zip(figures(trial)) {
                logs.scalar(format!("trials/{}", objective.name), trial as u64, figure);
            }
        }
        logs.end(true);
        for trial in 0..self.study.trials().len() {
            let settings = self.settings.get(trial).into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            logs.begin(&About {
                name: self.search.name.clone(),
                trial: Some(trial + 1),
                settings: settings
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect(),
                ..About::default()
            });
            let curve = self
                .curves
                .get(&trial)
                .map(Vec::as_slice)
                .unwrap_or_default();
            for (step, value) in curve {
                logs.scalar("watch".to_owned(), *step, *value);
            }
            let last = curve.last().map_or(0, |(step, _)| *step);
            for (objective, figure) in objectives.iter().zip(figures(trial)) {
                logs.scalar(format!("figure/{}", objective.name), last, figure);
            }
            let status = self.study.status(trial);
            logs.end(matches!(status, Status::Finished | Status::Stopped));
        }
    }

    /// The trials that no other one beats in every figure.
    fn front(&self) -> Value {
        let trial = |trial: usize| {
            let figures = self.study.figures(trial).unwrap_or_default();
            let named = self.study.spec().objectives.iter().zip(figures);
            let figures: Map<String, Value> = named
                .map(|(objective, figure)| (objective.name.clone(), json!(figure)))
                .collect();
            json!({ "trial": trial, "figures": figures, "settings": self.settings.get(trial) })
        };
        Value::Array(self.study.front().into_iter().map(trial).collect())
    }
}

pub(crate) fn failure_of(failure: &RunFailure, json: bool) -> Failure {
    Failure::of(Finding::from(failure), json, run::exit(failure))
}

/// A trial that failed, and again when nothing else was at work.
fn failed_twice(trial: usize, failure: &RunFailure, json: bool) -> Failure {
    let mut finding = Finding::from(failure);
    finding.message = format!(
        "trial {} failed twice, the second time alone: {}",
        trial + 1,
        show::reason(failure)
    );
    let first = match failure {
        RunFailure::Device(_) => {
            "it may need more time, or more memory than fewer `--workers` leave it".to_owned()
        }
        other => other.help(),
    };
    let rest = "the settings are not to blame; `--resume` goes on with the search";
    finding.help = Some(match first.is_empty() {
        true => rest.to_owned(),
        false => format!("{first}; {rest}"),
    });
    let exit = match failure {
        RunFailure::Data(_) => Exit::Fault,
        _ => Exit::Device,
    };
    Failure::of(finding, json, exit)
}

fn impossible(checked: &Checked, search: &Search, reason: &str, json: bool) -> Failure {
    let message = format!("`{}` cannot run: {reason}", search.name);
    let help = "raise `budget`, list fewer values, or propose by `tpe`, `sobol` or `random`";
    let finding = mmh_diag::Diagnostic::error(Code::ValueRange, message)
        .at(mmh_diag::SourceId(0), search.span, "")
        .help(help);
    checked.failure(vec![finding.into()], json)
}

fn no_best(study: &Study, search: &Search, json: bool) -> Failure {
    let count = study.trials().len();
    let message = format!(
        "none of the {count} trials of `{}` gave a figure",
        search.name
    );
    let help = "all of them diverged or were not allowed: lower the learning rates, widen `memory` or `where`";
    Failure::of(
        Finding::error(Code::RunNotFinite, message, help),
        json,
        Exit::Fault,
    )
}
