//! A run from a plan to its result.

use crate::checkpoint::{Progress, Store};
use crate::data::{Dataset, data_hash, load_data, seed_of};
use crate::evaluate::{Evaluator, Metrics};
use crate::failure::RunFailure;
use crate::files::{Disk, Files, read_if_there};
use crate::folder::{Identity, RecipeText, RunFolder, checkpoint_folder};
use crate::journal::{Event, now};
use crate::model::{Entry, entries, from_safetensors, model_hash, to_safetensors};
use crate::observe::{Diagnose, Observer};
use crate::predict::{STATISTICS, statistics_to_json};
use crate::prefix::Heir;
use crate::proof::{ValueHash, values};
use crate::record::{Recorder, Target};
use crate::report::report;
use crate::summary::{RunSummary, put};
use crate::trail::Trail;
use crate::train::{Job, train};
use mmh_ir::Plan;
use mmh_ir::device::Device;
use mmh_ir::plan::{Evaluation, Training};
use mmh_numerics::random::Seed;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The edition of the numerics contract that is carried out here.
pub const EDITION: u32 = 1;

/// How a run is done. None of it can change a bit of the result, but for `limit`.
#[derive(Clone)]
pub struct Options {
    /// The run folder; `None` writes nothing.
    pub out: Option<PathBuf>,
    /// Go on with what is in the folder.
    pub resume: bool,
    /// End every training there, the schedule left as it is.
    pub limit: Option<Limit>,
    /// Longest time between checkpoints in seconds; `None` leaves them to the plan.
    pub checkpoint_seconds: Option<f64>,
    /// A run folder whose training may begin like this one's: steps that were done there and not here are taken from there.
    pub donor: Option<PathBuf>,
    /// The recipe's text, stored in the folder.
    pub recipe: RecipeText,
    /// How files are written.
    pub files: Arc<dyn Files>,
    /// Set to save a checkpoint and end with [`RunFailure::Interrupted`].
    pub cancel: Arc<AtomicBool>,
    /// Traces what is not finite.
    pub diagnose: Option<Arc<dyn Diagnose>>,
}

impl Default for Options {
    /// No folder, no limit, a checkpoint every ten seconds.
    fn default() -> Self {
        Self {
            out: None,
            resume: false,
            limit: None,
            checkpoint_seconds: Some(10.0),
            donor: None,
            recipe: RecipeText::default(),
            files: Arc::new(Disk),
            cancel: Arc::new(AtomicBool::new(false)),
            diagnose: None,
        }
    }
}

/// Where trainings end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After so many steps.
    Steps(u64),
    /// After so many epochs.
    Epochs(u64),
}

/// A plan with its data and a device, ready to run.
pub struct Session<'a> {
    plan: &'a Plan,
    data: Arc<Vec<Dataset>>,
    device: &'a dyn Device,
    options: Options,
    seed: Seed,
    plan_hash: String,
}

impl<'a> Session<'a> {
    /// Reads the plan's data; paths are taken from `base`, the recipe's folder.
    pub fn new(
        plan: &'a Plan,
        base: &Path,
        device: &'a dyn Device,
        options: Options,
    ) -> Result<Self, RunFailure> {
        Self::with_data(plan, Arc::new(load_data(plan, base)?), device, options)
    }

    /// With data that is already read, as for the trials of a search.
    pub fn with_data(
        plan: &'a Plan,
        data: Arc<Vec<Dataset>>,
        device: &'a dyn Device,
        options: Options,
    ) -> Result<Self, RunFailure> {
        if plan.edition != EDITION {
            return Err(RunFailure::Plan(format!(
                "it is of edition {}, this is edition {EDITION}",
                plan.edition
            )));
        }
        let (seed, plan_hash) = (seed_of(plan)?, plan.hash());
        Ok(Self {
            plan,
            data,
            device,
            options,
            seed,
            plan_hash,
        })
    }

    /// Trains, evaluates, and writes the run folder.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<RunSummary, RunFailure> {
        let began = Instant::now();
        let mut folder = self.open_folder()?;
        if let Some(folder) = &folder
            && let Some(stored) = self.stored_result(folder)?
        {
            return Ok(stored);
        }
        let mut trained = Vec::new();
        for (number, training) in self.plan.trainings.iter().enumerate() {
            trained.push(self.train(number, training, folder.as_mut(), false, observer)?);
        }
        let metrics = self.evaluate(&mut trained, observer)?;
        self.finish(folder.as_mut(), &trained, metrics, began)
    }

    /// The plan that is run.
    pub fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// What runs the programs.
    pub fn device(&self) -> &'a dyn Device {
        self.device
    }

    /// Hash of the data.
    pub fn data_hash(&self) -> String {
        data_hash(&self.data)
    }

    /// The hash of every value of step `step` (from 1) of a training, which may be left unnamed where there is one.
    ///
    /// Errors: no such training or step; the device fails.
    pub fn values(
        &self,
        training: Option<&str>,
        step: u64,
    ) -> Result<(String, Vec<ValueHash>), RunFailure> {
        let trainings = &self.plan.trainings;
        let found = match (training, trainings.as_slice()) {
            (None, [only]) => Some(only),
            (name, _) => trainings.iter().find(|it| Some(it.name.as_str()) == name),
        };
        let found = found.ok_or_else(|| {
            let names: Vec<&str> = trainings.iter().map(|it| it.name.as_str()).collect();
            RunFailure::Request(format!(
                "name one of the trainings {} with `--training`",
                names.join(", ")
            ))
        })?;
        let job = self.job(found, step.min(found.steps))?;
        Ok((found.name.clone(), values(&job, step)?))
    }

    /// Does training `number` alone, as far as the limit says, and gives where it stands. What is in the folder is gone on
    /// with; a training that is further already is left as it is.
    pub fn train_one(
        &self,
        number: usize,
        observer: &mut dyn Observer,
    ) -> Result<Progress, RunFailure> {
        let mut folder = self.open_folder()?;
        let missing = || RunFailure::Plan(format!("there is no training {number}"));
        let training = self.plan.trainings.get(number).ok_or_else(missing)?;
        self.train(number, training, folder.as_mut(), true, observer)
    }

    fn open_folder(&self) -> Result<Option<RunFolder>, RunFailure> {
        let Some(out) = &self.options.out else {
            return Ok(None);
        };
        let identity = Identity {
            plan: self.plan,
            plan_hash: &self.plan_hash,
            data: &self.data,
            recipe: &self.options.recipe,
        };
        RunFolder::open(
            Arc::clone(&self.options.files),
            out,
            self.options.resume,
            &identity,
        )
        .map(Some)
    }

    fn dataset(&self, number: u32) -> Result<&Dataset, RunFailure> {
        let missing = || RunFailure::Plan(format!("there is no data set {number}"));
        self.data.get(number as usize).ok_or_else(missing)
    }

    /// Steps a training is to do.
    fn end(&self, training: &Training) -> u64 {
        match self.options.limit {
            None => training.steps,
            Some(Limit::Steps(steps)) => training.steps.min(steps),
            Some(Limit::Epochs(epochs)) => training
                .steps
                .min(epochs.saturating_mul(training.epoch_steps)),
        }
    }

    /// A training up to step `end`.
    pub(crate) fn job<'b>(
        &'b self,
        training: &'b Training,
        end: u64,
    ) -> Result<Job<'b>, RunFailure> {
        let watched = training
            .watch
            .as_ref()
            .map_or(training.data, |watch| watch.evaluation.data);
        Ok(Job {
            plan: training,
            data: self.dataset(training.data)?,
            watched: self.dataset(watched)?,
            seed: &self.seed,
            device: self.device,
            end,
            measured_at_end: true,
            cancel: &self.options.cancel,
            diagnose: self.options.diagnose.as_deref(),
        })
    }

    fn train(
        &self,
        number: usize,
        training: &Training,
        folder: Option<&mut RunFolder>,
        further: bool,
        observer: &mut dyn Observer,
    ) -> Result<Progress, RunFailure> {
        let job = self.job(training, self.end(training))?;
        let Some(folder) = folder else {
            return train(
                &job,
                self.start(training)?,
                &mut Recorder::nowhere(),
                observer,
            );
        };
        let files = Arc::clone(&folder.files);
        let place = checkpoint_folder(&folder.path, number, &training.name);
        let store = Store::new(&*files, &place, &self.plan_hash, training);
        let mut trail = self.trail(training);
        let progress = self.progress(folder, &place, &store, training, job.end, further)?;
        trail
            .restore(&folder.lines, &training.name, progress.step)
            .map_err(|reason| RunFailure::Damaged {
                path: folder.path.join("journal"),
                reason,
            })?;
        let taken = match &self.options.donor {
            Some(donor) if !progress.is_done(job.end) => {
                let data_hash = data_hash(&self.data);
                let mut heir = Heir {
                    plan: self.plan,
                    number,
                    training,
                    data_hash: &data_hash,
                    done: progress.step,
                    end: job.end,
                    trail: &mut trail,
                };
                heir.take(donor, folder, &store)?
            }
            Some(_) | None => None,
        };
        let progress = taken.unwrap_or(progress);
        if further && progress.step > job.end {
            folder.close(training, &trail);
            return Ok(progress);
        }
        let target = Target {
            journal: &mut folder.journal,
            store,
        };
        let interval = self
            .options
            .checkpoint_seconds
            .map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
        let mut recorder = Recorder::to(target, trail, interval);
        let trained = train(&job, progress, &mut recorder, observer)?;
        if let (Some(trail), _) = recorder.into_parts() {
            folder.close(training, &trail);
        }
        Ok(trained)
    }

    /// An empty trail of a training.
    pub(crate) fn trail(&self, training: &Training) -> Trail {
        Trail::new(training, &self.plan_hash, &data_hash(&self.data))
    }

    /// Where a training stands: at its last good checkpoint, or at its start.
    fn progress(
        &self,
        folder: &mut RunFolder,
        place: &Path,
        store: &Store<'_>,
        training: &Training,
        end: u64,
        further: bool,
    ) -> Result<Progress, RunFailure> {
        if folder.lines.is_empty() {
            return self.start(training);
        }
        let (progress, checkpoint) = match store.load()? {
            None => (self.start(training)?, None),
            Some(loaded) if folder.knows(&loaded.journal) => (loaded.progress, Some(loaded.hash)),
            Some(_) => {
                let reason = "the journal does not hold the line it was saved after".to_owned();
                return Err(RunFailure::Damaged {
                    path: place.to_path_buf(),
                    reason,
                });
            }
        };
        if progress.step > end && !further {
            return Err(RunFailure::Request(format!(
                "`{}` has done {} steps in this folder, more than the limit of {end}",
                training.name, progress.step
            )));
        }
        // A checkpoint that was saved just ahead of a kill may have no line yet.
        let is_noted = checkpoint
            .as_ref()
            .is_none_or(|hash| folder.has_checkpoint(hash));
        if !progress.is_done(end) || !is_noted {
            let event = Event::Resume {
                training: training.name.clone(),
                step: progress.step,
                checkpoint,
            };
            folder
                .journal
                .add(&event, json!({ "time": now() }), false)?;
        }
        Ok(progress)
    }

    /// The first state of a training.
    pub(crate) fn start(&self, training: &Training) -> Result<Progress, RunFailure> {
        Progress::start(training, &self.seed, self.dataset(training.data)?)
    }

    /// Hash of the plan.
    pub(crate) fn plan_hash(&self) -> &str {
        &self.plan_hash
    }

    /// Metrics by section, part and name: first those of each training's watch, then the evaluations.
    pub(crate) fn evaluate(
        &self,
        trained: &mut [Progress],
        observer: &mut dyn Observer,
    ) -> Result<Map<String, Value>, RunFailure> {
        let mut metrics = Map::new();
        for (training, progress) in self.plan.trainings.iter().zip(&*trained) {
            if let (Some(watch), Some(best)) = (&training.watch, &progress.watching.best) {
                put(
                    &mut metrics,
                    &training.name,
                    watch.evaluation.part,
                    best.metrics.clone(),
                );
            }
        }
        for evaluation in &self.plan.evaluations {
            if self.options.cancel.load(Ordering::Relaxed) {
                // The trainings are saved; what is left is done again from there.
                return Err(RunFailure::Interrupted {
                    step: trained.iter().map(|progress| progress.step).sum(),
                });
            }
            let (training, progress) = self.measured(evaluation, trained)?;
            let data = self.dataset(evaluation.data)?;
            let mut state = progress.model(evaluation.best).clone();
            let found =
                Evaluator::new(evaluation, data, &training.state, self.device)?.run(&mut state)?;
            observer.evaluated(&evaluation.name, evaluation.part, &found);
            put(
                &mut metrics,
                &evaluation.name,
                evaluation.part,
                found.to_json(),
            );
        }
        Ok(metrics)
    }

    /// Measures one evaluation of the training that `progress` belongs to.
    ///
    /// Errors: no such evaluation; the device fails.
    pub fn measure(&self, evaluation: &str, progress: &Progress) -> Result<Metrics, RunFailure> {
        let named = self
            .plan
            .evaluations
            .iter()
            .find(|it| it.name == evaluation);
        let missing = || RunFailure::Plan(format!("there is no evaluation `{evaluation}`"));
        let evaluation = named.ok_or_else(missing)?;
        let trainings = &self.plan.trainings;
        let training = trainings.iter().find(|it| it.name == evaluation.training);
        let training = training.ok_or_else(missing)?;
        let data = self.dataset(evaluation.data)?;
        let mut state = progress.model(evaluation.best).clone();
        Evaluator::new(evaluation, data, &training.state, self.device)?.run(&mut state)
    }

    fn measured<'b>(
        &self,
        evaluation: &Evaluation,
        trained: &'b [Progress],
    ) -> Result<(&Training, &'b Progress), RunFailure> {
        let mut pairs = self.plan.trainings.iter().zip(trained);
        pairs
            .find(|(training, _)| training.name == evaluation.training)
            .ok_or_else(|| {
                RunFailure::Plan(format!(
                    "`{}` measures `{}`, which is no training",
                    evaluation.name, evaluation.training
                ))
            })
    }

    /// The tensors of the model, in path order.
    pub(crate) fn model<'b>(&'b self, trained: &'b [Progress]) -> Vec<Entry<'b>> {
        let mut model: Vec<Entry<'_>> = Vec::new();
        for (training, progress) in self.plan.trainings.iter().zip(trained) {
            model.extend(entries(
                &training.state,
                progress.model(true),
                &prefix(self.plan, training),
            ));
        }
        model.sort_by(|a, b| a.path.cmp(&b.path));
        model
    }

    fn finish(
        &self,
        folder: Option<&mut RunFolder>,
        trained: &[Progress],
        metrics: Map<String, Value>,
        began: Instant,
    ) -> Result<RunSummary, RunFailure> {
        let model = self.model(trained);
        let summary = RunSummary {
            recipe_hash: self.plan.recipe_hash.clone(),
            plan_hash: self.plan_hash.clone(),
            data_hash: data_hash(&self.data),
            model_hash: model_hash(&model),
            seed: self.plan.seed.clone(),
            steps: trained.iter().map(|progress| progress.step).sum(),
            metrics,
            device: self.device.name().to_owned(),
            isa: self.device.isa().to_owned(),
            threads: self.device.threads() as u64,
            seconds: began.elapsed().as_secs_f64(),
            out: self
                .options
                .out
                .as_ref()
                .map(|out| out.display().to_string()),
        };
        if let Some(folder) = folder {
            self.write_result(folder, &summary, &model, trained)?;
        }
        Ok(summary)
    }

    fn write_result(
        &self,
        folder: &mut RunFolder,
        summary: &RunSummary,
        model: &[Entry<'_>],
        trained: &[Progress],
    ) -> Result<(), RunFailure> {
        let metadata = [
            ("format", "mmh model 1"),
            ("model_hash", summary.model_hash.as_str()),
            ("plan_hash", summary.plan_hash.as_str()),
            ("recipe_hash", summary.recipe_hash.as_str()),
            ("data_hash", summary.data_hash.as_str()),
            ("seed", summary.seed.as_str()),
        ];
        let statistics = statistics_to_json(&self.data);
        let results = [
            ("model.safetensors", to_safetensors(model, &metadata)),
            (STATISTICS, format!("{statistics}\n").into_bytes()),
            (
                "metrics.json",
                metrics_text(&summary.lasting()).into_bytes(),
            ),
            (
                "report.html",
                report(self.plan, summary, trained).into_bytes(),
            ),
        ];
        let mut files = BTreeMap::new();
        for (name, bytes) in results {
            files.insert(name.to_owned(), folder.write(name, &bytes)?);
        }
        let end = Event::End {
            model_hash: summary.model_hash.clone(),
            steps: summary.steps,
            wanted: self
                .plan
                .trainings
                .iter()
                .map(|training| self.end(training))
                .collect(),
            metrics: Value::Object(summary.metrics.clone()),
            trails: folder.trails.clone(),
            files,
        };
        let wall = json!({
            "time": now(),
            "seconds": summary.seconds,
            "device": summary.device,
            "isa": summary.isa,
            "threads": summary.threads,
        });
        folder.journal.add(&end, wall, true)
    }

    /// The result of a finished run in the folder, if its model is whole.
    fn stored_result(&self, folder: &RunFolder) -> Result<Option<RunSummary>, RunFailure> {
        let Some(last) = folder.lines.last() else {
            return Ok(None);
        };
        let Event::End {
            model_hash,
            steps,
            wanted,
            metrics: Value::Object(metrics),
            ..
        } = &last.entry
        else {
            return Ok(None);
        };
        let now: Vec<u64> = self
            .plan
            .trainings
            .iter()
            .map(|training| self.end(training))
            .collect();
        if *wanted != now || self.stored_model_hash(folder)?.as_ref() != Some(model_hash) {
            return Ok(None);
        }
        let text = |name: &str| {
            last.wall
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok(Some(RunSummary {
            recipe_hash: self.plan.recipe_hash.clone(),
            plan_hash: self.plan_hash.clone(),
            data_hash: data_hash(&self.data),
            model_hash: model_hash.clone(),
            seed: self.plan.seed.clone(),
            steps: *steps,
            metrics: metrics.clone(),
            device: text("device"),
            isa: text("isa"),
            threads: last
                .wall
                .get("threads")
                .and_then(Value::as_u64)
                .unwrap_or(0),
            seconds: last
                .wall
                .get("seconds")
                .and_then(Value::as_f64)
                .unwrap_or(0.0),
            out: Some(folder.path.display().to_string()),
        }))
    }

    /// Hash of the model in the folder; none if it is missing or not one of this plan.
    fn stored_model_hash(&self, folder: &RunFolder) -> Result<Option<String>, RunFailure> {
        let Some(bytes) = read_if_there(&*folder.files, &folder.path.join("model.safetensors"))?
        else {
            return Ok(None);
        };
        let mut states = Vec::new();
        for training in &self.plan.trainings {
            match from_safetensors(&bytes, &training.state, &prefix(self.plan, training)) {
                Ok(state) => states.push(state),
                Err(_) => return Ok(None),
            }
        }
        let mut model = Vec::new();
        for (training, state) in self.plan.trainings.iter().zip(&states) {
            model.extend(entries(
                &training.state,
                state,
                &prefix(self.plan, training),
            ));
        }
        model.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Some(model_hash(&model)))
    }
}

/// The text of `metrics.json`.
pub(crate) fn metrics_text(lasting: &Value) -> String {
    format!("{lasting:#}\n")
}

/// What stands before a training's paths in the model: nothing where there is one training, else its name and `/`.
pub(crate) fn prefix(plan: &Plan, training: &Training) -> String {
    if plan.trainings.len() == 1 {
        String::new()
    } else {
        format!("{}/", training.name)
    }
}
