//! Doing steps of a run again: all of them, or some segments between checkpoints that nobody could foresee.

use super::{Examined, files_of};
use crate::checkpoint::{Loaded, Progress, Store};
use crate::data::{Dataset, seed_of};
use crate::failure::RunFailure;
use crate::files::Disk;
use crate::folder::checkpoint_folder;
use crate::journal::Event;
use crate::model::model_hash;
use crate::observe::Observer;
use crate::record::Recorder;
use crate::session::Session;
use crate::state_hash::state_hash;
use crate::step::Stepper;
use crate::train::{Job, train};
use mmh_ir::Plan;
use mmh_ir::device::Device;
use mmh_ir::plan::{FilePlan, SourcePlan, Training, Within};
use mmh_numerics::random::{Component, Key, Seed, Stream, shuffle};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A run folder that was examined, with its plan and data and a device, to be done again.
pub struct Again<'a> {
    /// The folder.
    pub found: &'a Examined,
    /// The run on this machine. Its options name no folder.
    pub session: &'a Session<'a>,
}

/// How far a check got.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// What did not come out as the journal says; empty if all did.
    pub differ: Vec<String>,
    /// Steps that were done again.
    pub steps: u64,
    /// Steps of the run.
    pub of: u64,
}

/// What spot checks did.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// What came out.
    pub reached: Reached,
    /// Segments between checkpoints that were done again.
    pub segments: u64,
    /// Segments of the run.
    pub of: u64,
    /// Segments that are always done: the first and the last of each training.
    pub always: u64,
}

/// A stretch of steps from one checkpoint to the next.
struct Segment<'a> {
    training: usize,
    from: Option<&'a Loaded>,
    to: &'a Loaded,
}

impl<'a> Again<'a> {
    /// Trains all anew and compares every mark, epoch, measurement, metric and the model.
    ///
    /// Errors: the run has not ended; the device or data fail.
    pub fn everything(&self, observer: &mut dyn Observer) -> Result<Reached, RunFailure> {
        let end = self.found.end().ok_or_else(not_ended)?;
        let (mut differ, mut trained) = (Vec::new(), Vec::new());
        for (number, training) in self.session.plan().trainings.iter().enumerate() {
            let wanted = end.wanted.get(number).copied().unwrap_or(training.steps);
            let job = self.session.job(training, wanted.min(training.steps))?;
            let start = self.session.start(training)?;
            let (progress, told) = self.stretch(&job, start, observer)?;
            self.compare(training, &told, 0..u64::MAX, &mut differ);
            trained.push(progress);
        }
        let steps = trained.iter().map(|progress| progress.step).sum();
        self.result(&mut trained, &mut differ, observer)?;
        Ok(Reached {
            differ,
            steps,
            of: end.steps,
        })
    }

    /// Does the first `steps` steps of one training again and compares every mark, epoch and measurement, as of a trial that
    /// did not go to its end. One that `diverges` is to stop behind them at a value that is not finite.
    ///
    /// Errors: no such training; the device or data fail.
    pub fn beginning(
        &self,
        training: &str,
        steps: u64,
        diverges: bool,
        observer: &mut dyn Observer,
    ) -> Result<Reached, RunFailure> {
        let mut trainings = self.session.plan().trainings.iter();
        let training = trainings
            .find(|it| it.name == training)
            .ok_or_else(|| RunFailure::Request(format!("there is no training `{training}`")))?;
        let end = steps + u64::from(diverges);
        let job = self.session.job(training, end.min(training.steps))?;
        let mut recorder = Recorder::remember(self.session.trail(training));
        let ended = train(&job, self.session.start(training)?, &mut recorder, observer);
        let mut differ = Vec::new();
        let stopped = match ended {
            Ok(_) => None,
            Err(RunFailure::NotFinite(at)) => Some(at.step),
            Err(failure) => return Err(failure),
        };
        if stopped != diverges.then_some(steps) {
            differ.push(match stopped {
                Some(at) => format!("`{}` diverges after {at} steps", training.name),
                None => format!("`{}` does not diverge after {steps} steps", training.name),
            });
        }
        let told = recorder.into_parts().1;
        self.compare(training, &told, 0..u64::MAX, &mut differ);
        Ok(Reached {
            differ,
            steps: stopped.unwrap_or(end),
            of: steps,
        })
    }

    /// Does segments between checkpoints again: the first and the last of each training, and `share` (0 to 1) of the
    /// others, at least one, chosen by `seed`. Then the model and the metrics of the last state.
    ///
    /// Errors: the run has not ended; there are no checkpoints; the device or data fail.
    pub fn spots(
        &self,
        share: f64,
        seed: &Seed,
        observer: &mut dyn Observer,
    ) -> Result<Spot, RunFailure> {
        let end = self.found.end().ok_or_else(not_ended)?;
        let kept = self.kept()?;
        let mut segments = Vec::new();
        for (number, checkpoints) in kept.iter().enumerate() {
            let mut from = None;
            for to in checkpoints {
                segments.push(Segment {
                    training: number,
                    from,
                    to,
                });
                from = Some(to);
            }
        }
        let chosen = choose(&segments, kept.len(), share, seed);
        let (mut differ, mut steps) = (Vec::new(), 0);
        for segment in segments
            .iter()
            .zip(&chosen)
            .filter(|(_, is)| **is)
            .map(|(it, _)| it)
        {
            steps += self.segment(segment, &mut differ, observer)?;
        }
        let mut trained: Vec<Progress> = Vec::new();
        for (training, checkpoints) in self.session.plan().trainings.iter().zip(&kept) {
            let last = checkpoints.last().map(|loaded| loaded.progress.clone());
            let last = last.ok_or_else(|| no_checkpoints(training))?;
            let job = self.session.job(training, last.step)?;
            // The measurement at an end that a limit set is not in the checkpoint.
            trained.push(self.stretch(&job, last, observer)?.0);
        }
        self.result(&mut trained, &mut differ, observer)?;
        Ok(Spot {
            reached: Reached {
                differ,
                steps,
                of: end.steps,
            },
            segments: chosen.iter().filter(|is| **is).count() as u64,
            of: segments.len() as u64,
            always: segments_always(&segments, kept.len())
                .iter()
                .filter(|is| **is)
                .count() as u64,
        })
    }

    /// The checkpoints of each training that are whole, by step.
    fn kept(&self) -> Result<Vec<Vec<Loaded>>, RunFailure> {
        let mut kept = Vec::new();
        for (number, training) in self.session.plan().trainings.iter().enumerate() {
            let place = checkpoint_folder(&self.found.folder, number, &training.name);
            let store = Store::new(&Disk, &place, self.session.plan_hash(), training);
            let all = store.all()?.into_iter();
            let mut whole: Vec<Loaded> = all.filter_map(|(_, loaded)| loaded.ok()?).collect();
            whole.sort_by_key(|loaded| loaded.progress.step);
            if whole.is_empty() {
                return Err(no_checkpoints(training));
            }
            kept.push(whole);
        }
        Ok(kept)
    }

    fn segment(
        &self,
        segment: &Segment<'_>,
        differ: &mut Vec<String>,
        observer: &mut dyn Observer,
    ) -> Result<u64, RunFailure> {
        let missing = || RunFailure::Plan("a training is missing".to_owned());
        let training = self
            .session
            .plan()
            .trainings
            .get(segment.training)
            .ok_or_else(missing)?;
        let start = match segment.from {
            Some(loaded) => loaded.progress.clone(),
            None => self.session.start(training)?,
        };
        let (from, to) = (start.step, &segment.to.progress);
        let job = Job {
            measured_at_end: false,
            ..self.session.job(training, to.step)?
        };
        let (progress, told) = self.stretch(&job, start, observer)?;
        self.compare(
            training,
            &told,
            from + u64::from(from > 0)..to.step + 1,
            differ,
        );
        let place = checkpoint_folder(&self.found.folder, segment.training, &training.name);
        let store = Store::new(&Disk, &place, self.session.plan_hash(), training);
        if !store.are_same(&progress, to)? {
            differ.push(format!(
                "`{}`, steps {} to {}: they do not lead from the checkpoint before to the checkpoint behind",
                training.name, from + 1, to.step
            ));
        }
        Ok(to.step - from)
    }

    /// Trains from a state to the job's end and gives what would stand in the journal.
    fn stretch(
        &self,
        job: &Job<'_>,
        start: Progress,
        observer: &mut dyn Observer,
    ) -> Result<(Progress, Vec<Event>), RunFailure> {
        let mut recorder = Recorder::remember(self.session.trail(job.plan));
        let progress = train(job, start, &mut recorder, observer)?;
        Ok((progress, recorder.into_parts().1))
    }

    /// What was told now against the journal, for the steps in `range`. Chains start elsewhere in a segment and are left out:
    /// they follow from the states, which `examine` checks.
    fn compare(
        &self,
        training: &Training,
        told: &[Event],
        range: Range<u64>,
        differ: &mut Vec<String>,
    ) {
        let mut known: BTreeMap<(u8, u64), &Event> = BTreeMap::new();
        for line in &self.found.lines {
            if let Some(key) = key(&line.entry, &training.name) {
                known.insert(key, &line.entry);
            }
        }
        let mut count = 0;
        for event in told {
            let Some(key) = key(event, &training.name).filter(|(_, step)| range.contains(step))
            else {
                continue;
            };
            let words = match known.get(&key) {
                Some(there) => disagreement(event, there),
                // Marks at an end that the run did not have, and measurements there.
                None => continue,
            };
            if let Some(words) = words {
                count += 1;
                if count <= 3 {
                    differ.push(format!("`{}`, step {}: {words}", training.name, key.1));
                }
            }
        }
        if count > 3 {
            differ.push(format!(
                "`{}`: {} more like these",
                training.name,
                count - 3
            ));
        }
    }

    /// The model and the metrics of what was trained, against the last line.
    fn result(
        &self,
        trained: &mut [Progress],
        differ: &mut Vec<String>,
        observer: &mut dyn Observer,
    ) -> Result<(), RunFailure> {
        let end = self.found.end().ok_or_else(not_ended)?;
        let hash = model_hash(&self.session.model(trained));
        if hash != end.model_hash {
            differ.push(format!(
                "the model: here `{hash}`, in the journal `{}`",
                end.model_hash.escape_debug()
            ));
        }
        let metrics = self.session.evaluate(trained, observer)?;
        super::files::differences("metrics", &Value::Object(metrics), end.metrics, differ);
        Ok(())
    }
}

/// What kind of event of a training, and of which step.
fn key(event: &Event, of: &str) -> Option<(u8, u64)> {
    let (name, kind, step) = match event {
        Event::State { training, step, .. } => (training, 0, step),
        Event::Epoch { training, step, .. } => (training, 1, step),
        Event::Watch { training, step, .. } => (training, 2, step),
        Event::Start { .. }
        | Event::Resume { .. }
        | Event::Taken { .. }
        | Event::Checkpoint { .. }
        | Event::NotFinite { .. }
        | Event::End { .. } => return None,
    };
    (name == of).then_some((kind, *step))
}

/// In words, what differs between an event now and the one in the journal.
fn disagreement(now: &Event, then: &Event) -> Option<String> {
    match (now, then) {
        (
            Event::State { order, state, .. },
            Event::State {
                order: order_then,
                state: state_then,
                ..
            },
        ) => {
            if order != order_then {
                Some("the rows came in another order than the journal says".to_owned())
            } else {
                (state != state_then).then(|| "the state is not the one in the journal".to_owned())
            }
        }
        (
            Event::Epoch { loss, order, .. },
            Event::Epoch {
                loss: loss_then,
                order: order_then,
                ..
            },
        ) => {
            if order != order_then {
                return Some(
                    "the epoch's rows came in another order than the journal says".to_owned(),
                );
            }
            let same = loss.map(f64::to_bits) == loss_then.map(f64::to_bits);
            (!same).then(|| {
                format!(
                    "the epoch's loss is {}, the journal says {}",
                    shown(*loss),
                    shown(*loss_then)
                )
            })
        }
        (
            Event::Watch { metrics, model, .. },
            Event::Watch {
                metrics: metrics_then,
                model: model_then,
                ..
            },
        ) => {
            let mut words = Vec::new();
            super::files::differences("", metrics, metrics_then, &mut words);
            if let (Some(now), Some(then)) = (model, model_then)
                && now != then
            {
                words.push("the best model is not the one in the journal".to_owned());
            }
            (!words.is_empty()).then(|| words.join("; "))
        }
        _ => Some("the journal has another kind of line here".to_owned()),
    }
}

fn shown(loss: Option<f64>) -> String {
    loss.map_or("none".to_owned(), |loss| loss.to_string())
}

fn not_ended() -> RunFailure {
    RunFailure::Request("the run has not ended; go on with `mmhc run --resume` first".to_owned())
}

fn no_checkpoints(training: &Training) -> RunFailure {
    RunFailure::Request(format!(
        "`{}` has no whole checkpoints to start from; `--replay` does all its steps again",
        training.name
    ))
}

/// Which segments are done again.
fn choose(segments: &[Segment<'_>], trainings: usize, share: f64, seed: &Seed) -> Vec<bool> {
    let mut chosen = segments_always(segments, trainings);
    let others: Vec<usize> = (0..segments.len())
        .filter(|at| chosen.get(*at) == Some(&false))
        .collect();
    let wanted = (others.len() as f64 * share).ceil().max(1.0) as usize;
    let key = Key::derive(seed, &[Component::Text("audit.spot")]);
    let order = shuffle(
        u32::try_from(others.len()).unwrap_or(0),
        &Stream::new(key, 0),
    );
    for place in order.iter().take(wanted) {
        if let Some(mark) = others
            .get(*place as usize)
            .and_then(|at| chosen.get_mut(*at))
        {
            *mark = true;
        }
    }
    chosen
}

/// The first and the last segment of each training.
fn segments_always(segments: &[Segment<'_>], trainings: usize) -> Vec<bool> {
    let mut always = vec![false; segments.len()];
    for training in 0..trainings {
        let mine = |segment: &Segment<'_>| segment.training == training;
        for at in [
            segments.iter().position(mine),
            segments.iter().rposition(mine),
        ] {
            if let Some(mark) = at.and_then(|at| always.get_mut(at)) {
                *mark = true;
            }
        }
    }
    always
}

impl Spot {
    /// How likely these checks were to find a run in which `false_segments` of those that are not always done were made up.
    pub fn detection(&self, false_segments: u64) -> f64 {
        let (all, done) = (self.of - self.always, self.segments - self.always);
        let wrong = false_segments.min(all);
        // None of the segments that were chosen, one after the other, is a false one.
        let missed = (0..done).fold(1.0, |missed, at| {
            let (left, right) = (all - at, (all - wrong).saturating_sub(at));
            missed * right as f64 / left.max(1) as f64
        });
        if wrong == 0 { 0.0 } else { 1.0 - missed }
    }
}

/// The plan with the paths of its data files replaced by files in `places` that have the right blake3. What a run folder or
/// a recipe calls them does not matter.
///
/// Errors: the first file that none of them is, by name and hash.
pub fn find_data(plan: &Plan, places: &[PathBuf]) -> Result<Plan, RunFailure> {
    let mut plan = plan.clone();
    let mut found = Found::default();
    for data in &mut plan.data {
        let wanted: Vec<FilePlan> = files_of(&data.source).into_iter().cloned().collect();
        let mut paths = Vec::new();
        for file in &wanted {
            let path = found.file(file, places)?;
            paths.push(path.display().to_string());
        }
        let mut paths = paths.into_iter();
        for file in files_of_mut(&mut data.source) {
            if let Some(path) = paths.next() {
                file.path = path;
            }
        }
    }
    for file in plan.trainings.iter_mut().filter_map(|it| it.start.as_mut()) {
        file.path = found.file(file, places)?.display().to_string();
    }
    Ok(plan)
}

/// The file in `places` that has this blake3; `name` says where to look first. None where there is none.
pub fn find_file(
    name: &str,
    blake3: &str,
    places: &[PathBuf],
) -> Result<Option<PathBuf>, RunFailure> {
    let wanted = FilePlan {
        path: name.to_owned(),
        blake3: blake3.to_owned(),
        within: Within::Plain,
    };
    match Found::default().file(&wanted, places) {
        Ok(path) => Ok(Some(path)),
        Err(RunFailure::DataNotFound { .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Files that are looked at in search of data, at most.
const MOST_FILES: usize = 20_000;

/// Hashes of files that were read.
#[derive(Default)]
struct Found {
    hashes: BTreeMap<PathBuf, String>,
}

impl Found {
    fn file(&mut self, wanted: &FilePlan, places: &[PathBuf]) -> Result<PathBuf, RunFailure> {
        let mut files = Vec::new();
        for place in places {
            walk(place, &mut files);
        }
        // A name is a hint for where to look first, no more.
        let name = Path::new(&wanted.path).file_name();
        files.sort_by_key(|file| file.file_name() != name);
        for file in files {
            if self.hash(&file).as_deref() == Some(wanted.blake3.as_str()) {
                return file
                    .canonicalize()
                    .map_err(|error| RunFailure::io(&file, &error));
            }
        }
        Err(RunFailure::DataNotFound {
            name: wanted.path.clone(),
            blake3: wanted.blake3.clone(),
        })
    }

    fn hash(&mut self, file: &Path) -> Option<String> {
        if let Some(known) = self.hashes.get(file) {
            return Some(known.clone());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(file).ok()?).ok()?;
        let hash = hasher.finalize().to_hex().to_string();
        self.hashes.insert(file.to_path_buf(), hash.clone());
        Some(hash)
    }
}

/// The plain files of a folder and those in it, or the file itself; nothing hidden, no links.
fn walk(place: &Path, files: &mut Vec<PathBuf>) {
    if place.is_file() {
        files.push(place.to_path_buf());
        return;
    }
    let mut entries: Vec<_> = std::fs::read_dir(place)
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    entries.sort_unstable_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if hidden || files.len() >= MOST_FILES {
            continue;
        }
        if kind.is_dir() {
            walk(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

fn files_of_mut(source: &mut SourcePlan) -> Vec<&mut FilePlan> {
    match source {
        SourcePlan::Csv { file, .. }
        | SourcePlan::Text { file, .. }
        | SourcePlan::Bytes { file, .. } => vec![file],
        SourcePlan::Idx { images, labels } => images.iter_mut().chain(labels).collect(),
    }
}

/// The last whole checkpoint of training `number` at or before `step`; none where that is its start.
pub fn nearest(found: &Examined, number: usize, step: u64) -> Result<Option<Progress>, RunFailure> {
    let training = found
        .plan
        .as_ref()
        .and_then(|plan| plan.trainings.get(number));
    let (Some(training), Some(start)) = (training, found.start()) else {
        return Ok(None);
    };
    let place = checkpoint_folder(&found.folder, number, &training.name);
    let store = Store::new(&Disk, &place, start.plan_hash, training);
    let all = store.all()?.into_iter();
    let whole = all.filter_map(|(_, loaded)| Some(loaded.ok()??.progress));
    Ok(whole
        .filter(|progress| progress.step <= step)
        .max_by_key(|progress| progress.step))
}

/// Does the steps of training `number` again, from `start` (or the first state), and gives for each step count in `steps`
/// the hash of the state. Two machines that disagree do so first where these do.
pub fn replay(
    plan: &Plan,
    number: usize,
    data: &[Dataset],
    device: &dyn Device,
    start: Option<Progress>,
    steps: Range<u64>,
) -> Result<Vec<(u64, String)>, RunFailure> {
    let missing = || RunFailure::Request(format!("there is no training {number}"));
    let training = plan.trainings.get(number).ok_or_else(missing)?;
    let data = data.get(training.data as usize).ok_or_else(missing)?;
    let seed = seed_of(plan)?;
    let mut progress = match start {
        Some(start) => start,
        None => Progress::start(training, &seed, data)?,
    };
    let mut stepper = Stepper::new(training, data, &seed, device)?;
    let mut hashes = Vec::new();
    while progress.step < steps.end && progress.step <= training.steps {
        if steps.contains(&progress.step) {
            let hash = state_hash(&training.state, &progress.state);
            hashes.push((progress.step, hash.to_hex().to_string()));
        }
        if progress.step == training.steps {
            break;
        }
        stepper.run(&mut progress, None)?;
    }
    Ok(hashes)
}
