//! Logs for other programs: TensorBoard's event files and an MLflow server.
//!
//! Nothing that is told here comes back: a log decides nothing, and one that breaks in mid-run is given up with a warning.

mod mlflow;
mod tensorboard;

use crate::args::LogTarget;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure};
use crate::system;
use mlflow::MlFlow;
use mmh_diag::Code;
use mmh_ir::plan::Part;
use mmh_runtime::Observer;
use mmh_runtime::evaluate::{Figure, Metrics};
use mmh_runtime::observe::{StepReport, TrainingReport, WatchReport};
use std::time::{Duration, Instant};
use tensorboard::TensorBoard;

/// How often what was told is passed on.
const PASSED_ON: Duration = Duration::from_secs(2);

/// One figure of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) tag: String,
    pub(crate) step: u64,
    pub(crate) value: f64,
    /// Seconds since 1970.
    pub(crate) time: f64,
}

/// What a run is, ahead of its figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The run's name.
    pub(crate) name: String,
    /// The trial of a search, from 1.
    pub(crate) trial: Option<usize>,
    /// Settings, as they are written.
    pub(crate) settings: Vec<(String, String)>,
    /// Hashes and the like.
    pub(crate) tags: Vec<(String, String)>,
}

/// Somewhere to log to. Errors are words.
trait Sink {
    /// A run begins; the one before has ended.
    fn begin(&mut self, about: &About) -> Result<(), String>;
    fn scalars(&mut self, scalars: &[Scalar]) -> Result<(), String>;
    /// The run has ended, well or not.
    fn end(&mut self, well: bool) -> Result<(), String>;
}

/// Where a run is logged to, and what is still to be passed on.
pub(crate) struct Logs {
    sinks: Vec<(String, Box<dyn Sink>)>,
    waiting: Vec<Scalar>,
    passed: Instant,
    training: String,
    watched: String,
    last: u64,
}

impl Logs {
    /// Opens the logs asked for.
    ///
    /// Errors: one that cannot be written to or reached.
    pub(crate) fn open(targets: &[LogTarget], project: &str, json: bool) -> Result<Self, Failure> {
        let mut sinks: Vec<(String, Box<dyn Sink>)> = Vec::new();
        for target in targets {
            let (name, sink): (String, Result<Box<dyn Sink>, String>) = match target {
                LogTarget::TensorBoard(folder) => (
                    format!("TensorBoard in `{}`", folder.display()),
                    TensorBoard::open(folder).map(|it| Box::new(it) as Box<dyn Sink>),
                ),
                LogTarget::MlFlow(url) => (
                    format!("MLflow at {url}"),
                    MlFlow::open(url, project).map(|it| Box::new(it) as Box<dyn Sink>),
                ),
            };
            let refused = |reason| {
                let help = "start the server or choose another folder, or leave `--log` away: the result is the same";
                let message = format!("{name} cannot be logged to: {reason}");
                Failure::of(
                    Finding::error(Code::RunLog, message, help),
                    json,
                    Exit::Fault,
                )
            };
            sinks.push((name.clone(), sink.map_err(refused)?));
        }
        Ok(Self {
            sinks,
            waiting: Vec::new(),
            passed: Instant::now(),
            training: String::new(),
            watched: String::new(),
            last: 0,
        })
    }

    /// Whether anything is logged.
    pub(crate) fn is_on(&self) -> bool {
        !self.sinks.is_empty()
    }

    pub(crate) fn begin(&mut self, about: &About) {
        self.each(|sink| sink.begin(about));
    }

    /// Takes a figure in.
    pub(crate) fn scalar(&mut self, tag: String, step: u64, value: f64) {
        if self.sinks.is_empty() {
            return;
        }
        let time = now();
        self.waiting.push(Scalar {
            tag,
            step,
            value,
            time,
        });
        if self.passed.elapsed() >= PASSED_ON {
            self.pass_on();
        }
    }

    pub(crate) fn end(&mut self, well: bool) {
        self.pass_on();
        self.each(|sink| sink.end(well));
    }

    fn pass_on(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.each(|sink| sink.scalars(&waiting));
        }
        self.passed = Instant::now();
    }

    /// Has every sink do something; one that fails is given up.
    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<(), String>) {
        self.sinks
            .retain_mut(|(name, sink)| match act(sink.as_mut()) {
                Ok(()) => true,
                Err(reason) => {
                    system::tell(&format!(
                        "warning: {name} is no longer logged to: {reason}; the run goes on\n"
                    ));
                    false
                }
            });
    }

    fn metrics(&mut self, prefix: &str, step: u64, metrics: &Metrics) {
        for (name, figure) in &metrics.0 {
            if let Figure::Number(value) = figure {
                self.scalar(format!("{prefix}/{name}"), step, *value);
            }
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// Who watches a run: two observers as one.
pub(crate) struct Both<'a>(pub(crate) &'a mut dyn Observer, pub(crate) &'a mut Logs);

impl Observer for Both<'_> {
    fn training(&mut self, about: &TrainingReport<'_>) {
        self.0.training(about);
        about.name.clone_into(&mut self.1.training);
        self.1.watched = format!("{}/watch", about.name);
        self.1.last = about.done;
    }

    fn step(&mut self, report: &StepReport) {
        self.0.step(report);
        self.1.last = report.step;
        if let Some(loss) = report.loss {
            let tag = format!("{}/loss", self.1.training);
            self.1.scalar(tag, report.step, f64::from(loss));
        }
    }

    fn reads_state(&self, training: &mmh_ir::plan::Training, step: u64, ends: bool) -> bool {
        self.0.reads_state(training, step, ends)
    }

    fn state(&mut self, report: &mmh_runtime::observe::StateReport<'_>) {
        self.0.state(report);
    }

    fn watched(&mut self, report: &WatchReport<'_>) {
        self.0.watched(report);
        let prefix = self.1.watched.clone();
        self.1.metrics(&prefix, report.step, report.metrics);
    }

    fn saved(&mut self, step: u64) {
        self.0.saved(step);
    }

    fn trained(&mut self, name: &str, step: u64) {
        self.0.trained(name, step);
    }

    fn evaluated(&mut self, name: &str, part: Part, metrics: &Metrics) {
        self.0.evaluated(name, part, metrics);
        let (prefix, step) = (format!("{name}/{}", part.name()), self.1.last);
        self.1.metrics(&prefix, step, metrics);
    }
}
