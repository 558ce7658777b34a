//! The training loop.

use crate::checkpoint::{Progress, saved_every};
use crate::data::Dataset;
use crate::evaluate::{Evaluator, Metrics};
use crate::failure::RunFailure;
use crate::init::initial_state;
use crate::journal::Event;
use crate::model::{check_state, entries, model_hash};
use crate::observe::{Diagnose, Observer, StateReport, StepReport, TrainingReport, WatchReport};
use crate::record::Recorder;
use crate::schedule::Powers;
use crate::step::Stepper;
use crate::watch::{Measured, Watching};
use mmh_ir::device::{Device, State};
use mmh_ir::plan::{Training, Watch};
use mmh_numerics::random::Seed;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A training with all it needs.
pub struct Job<'a> {
    /// What is to be done.
    pub plan: &'a Training,
    /// Its data.
    pub data: &'a Dataset,
    /// The data of its watch; the same as `data` if it watches nothing.
    pub watched: &'a Dataset,
    /// Root seed.
    pub seed: &'a Seed,
    /// What runs the programs.
    pub device: &'a dyn Device,
    /// Steps after which to end, at most the plan's.
    pub end: u64,
    /// Whether a training that ends ahead of the plan's end is measured there.
    pub measured_at_end: bool,
    /// Set to end after the step at hand.
    pub cancel: &'a AtomicBool,
    /// Traces what is not finite.
    pub diagnose: Option<&'a dyn Diagnose>,
}

impl Progress {
    /// A training ahead of its first step; `data` has the weights it begins with, if it does.
    pub fn start(plan: &Training, seed: &Seed, data: &Dataset) -> Result<Self, RunFailure> {
        let weights = data.weights_of(&plan.name);
        Ok(Self {
            step: 0,
            state: initial_state(&plan.state, seed, weights)?,
            powers: Powers::new(&plan.groups),
            losses: (0.0, 0),
            epochs: Vec::new(),
            watching: Watching::default(),
        })
    }

    /// The best state by watch, or the last one.
    pub fn model(&self, best: bool) -> &State {
        match &self.watching.best {
            Some(found) if best => &found.state,
            Some(_) | None => &self.state,
        }
    }

    /// Whether nothing is left to do until step `end`.
    pub(crate) fn is_done(&self, end: u64) -> bool {
        self.step >= end || self.watching.stopped
    }
}

/// Goes on from `progress` to the job's end, or until patience runs out. Checkpoints stand between steps, after the watch of
/// their step.
///
/// Errors: [`RunFailure::Interrupted`] after a checkpoint was saved; [`RunFailure::NotFinite`] ahead of any update.
pub fn train(
    job: &Job<'_>,
    mut progress: Progress,
    recorder: &mut Recorder<'_>,
    observer: &mut dyn Observer,
) -> Result<Progress, RunFailure> {
    let plan = job.plan;
    check_state(&plan.state, &progress.state)?;
    let mut stepper = Stepper::new(plan, job.data, job.seed, job.device)?;
    let mut watch = Watcher::new(job)?;
    let rows = job.data.rows(plan.part).len() as u64;
    let (name, total, epoch_steps) = (plan.name.as_str(), job.end, plan.epoch_steps);
    observer.training(&TrainingReport {
        name,
        done: progress.step,
        total,
        epoch_steps,
        rows,
    });
    let (began, mut rows_done, saved_every) = (Instant::now(), 0, saved_every(plan));
    let mut saved = (progress.step > 0).then_some(progress.step);
    report_state(plan, &progress, job.end, observer);
    recorder.mark(plan, &progress, &mut stepper, false)?;
    // From here on the state may be on the device: it is settled ahead of all that reads it.
    while !progress.is_done(job.end) {
        if job.cancel.load(Ordering::Relaxed) {
            stepper.settle(&mut progress)?;
            recorder.save(plan, &progress, observer)?;
            observer.recorded(name, recorder.spent());
            return Err(RunFailure::Interrupted {
                step: progress.step,
            });
        }
        let (loss, rows) = stepper
            .advance(&mut progress, job.diagnose)
            .inspect_err(|failure| {
                // The failure itself is what the user must see, even where it cannot be written down.
                let _ = note_failure(recorder, plan, failure);
            })?;
        rows_done += rows;
        let (ends, due) = (progress.is_done(job.end), watch.is_due(progress.step));
        let saves = recorder.is_due(saved_every, progress.step);
        let is_read = observer.reads_state(plan, progress.step, ends);
        if ends || due || saves || is_read || recorder.marks(progress.step, ends) {
            stepper.settle(&mut progress)?;
        }
        observer.step(&StepReport {
            step: progress.step,
            total,
            epoch: (progress.step - 1) / epoch_steps + 1,
            epochs: total.div_ceil(epoch_steps),
            loss,
            rows_per_second: rows_done as f64 / began.elapsed().as_secs_f64().max(1e-9),
        });
        report_state(plan, &progress, job.end, observer);
        note_epoch(plan, &mut progress, loss, &mut stepper, recorder)?;
        if due {
            watch.measure(plan, &mut progress, recorder, observer)?;
        }
        recorder.mark(plan, &progress, &mut stepper, progress.is_done(job.end))?;
        if saves {
            recorder.save(plan, &progress, observer)?;
            saved = Some(progress.step);
        }
    }
    recorder.mark(plan, &progress, &mut stepper, true)?;
    if saved != Some(progress.step) {
        recorder.save(plan, &progress, observer)?;
    }
    // A limit ends a training where the plan does not: its last measurement is for this result alone, so that a run that
    // goes on from here is the one that was never limited.
    let is_ahead = job.measured_at_end && progress.step < plan.steps;
    if is_ahead && !progress.watching.stopped && !watch.is_due(progress.step) {
        watch.measure(plan, &mut progress, recorder, observer)?;
    }
    observer.recorded(name, recorder.spent());
    observer.trained(name, progress.step);
    Ok(progress)
}

fn report_state(plan: &Training, progress: &Progress, end: u64, observer: &mut dyn Observer) {
    if !observer.reads_state(plan, progress.step, progress.is_done(end)) {
        return;
    }
    observer.state(&StateReport {
        training: plan,
        step: progress.step,
        ends: progress.is_done(end),
        state: &progress.state,
    });
}

fn note_failure(
    recorder: &mut Recorder<'_>,
    plan: &Training,
    failure: &RunFailure,
) -> Result<(), RunFailure> {
    let RunFailure::NotFinite(at) = failure else {
        return Ok(());
    };
    recorder.add(&Event::NotFinite {
        training: plan.name.clone(),
        step: at.step,
        guard: at.guard.clone(),
    })
}

fn note_epoch(
    plan: &Training,
    progress: &mut Progress,
    loss: Option<f32>,
    stepper: &mut Stepper<'_>,
    recorder: &mut Recorder<'_>,
) -> Result<(), RunFailure> {
    if let Some(loss) = loss {
        progress.losses = (progress.losses.0 + f64::from(loss), progress.losses.1 + 1);
    }
    if !progress.step.is_multiple_of(plan.epoch_steps) {
        return Ok(());
    }
    let began = Instant::now();
    let (sum, count) = std::mem::take(&mut progress.losses);
    let mean = (count > 0).then(|| sum / count as f64);
    progress.epochs.extend(mean);
    let (training, step) = (plan.name.clone(), progress.step);
    recorder.add(&Event::Epoch {
        training,
        epoch: step / plan.epoch_steps,
        step,
        loss: mean,
        order: stepper.order_hash(step).to_hex().to_string(),
    })?;
    recorder.charge(began);
    Ok(())
}

/// The watch of a training, if it has one.
struct Watcher<'a> {
    watch: Option<(&'a Watch, Evaluator<'a>)>,
    end: u64,
}

impl<'a> Watcher<'a> {
    fn new(job: &Job<'a>) -> Result<Self, RunFailure> {
        let plan = job.plan;
        let watch = match &plan.watch {
            None => None,
            Some(watch) => Some((
                watch,
                Evaluator::new(&watch.evaluation, job.watched, &plan.state, job.device)?,
            )),
        };
        Ok(Self {
            watch,
            end: plan.steps,
        })
    }

    /// Whether the plan measures after `step` steps.
    fn is_due(&self, step: u64) -> bool {
        let every = self.watch.as_ref().map_or(0, |(watch, _)| watch.every);
        step == self.end || (every > 0 && step.is_multiple_of(every))
    }

    fn measure(
        &mut self,
        plan: &Training,
        progress: &mut Progress,
        recorder: &mut Recorder<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), RunFailure> {
        let Some((watch, evaluator)) = &mut self.watch else {
            return Ok(());
        };
        let metrics: Metrics = evaluator.run(&mut progress.state)?;
        let json = metrics.to_json();
        let at = Measured {
            step: progress.step,
            value: metrics.first_number().unwrap_or(f64::NAN),
        };
        let best = progress
            .watching
            .take(watch, at, json.clone(), &plan.state, &progress.state);
        let began = Instant::now();
        let kept = best && recorder.listens();
        recorder.add(&Event::Watch {
            training: plan.name.clone(),
            step: progress.step,
            metrics: json,
            best,
            model: kept.then(|| model_hash(&entries(&plan.state, &progress.state, ""))),
        })?;
        recorder.charge(began);
        let stops = progress.watching.stopped;
        observer.watched(&WatchReport {
            step: progress.step,
            metrics: &metrics,
            best,
            stops,
        });
        Ok(())
    }
}
