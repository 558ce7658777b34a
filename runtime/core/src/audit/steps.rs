//! The steps as the journal tells them: marks, epochs, measurements and checkpoints, each where the plan has it.

use super::Examined;
use crate::checkpoint::{Loaded, Store, kept_every};
use crate::failure::RunFailure;
use crate::files::Disk;
use crate::folder::checkpoint_folder;
use crate::journal::Event;
use crate::model::{entries, model_hash};
use crate::predict::StoredModel;
use crate::state_hash::state_hash;
use crate::trail::{Mark, Trail, mark_of};
use mmh_ir::plan::{Training, Watch};
use serde_json::Value;
use std::collections::BTreeMap;

/// Changes of one kind that are named at most.
const MOST: usize = 6;

pub(crate) fn check(found: &mut Examined) -> Result<(), RunFailure> {
    let Some(plan) = found.plan.clone() else {
        return Ok(());
    };
    let Some((plan_hash, data_hash)) = found
        .start()
        .map(|start| (start.plan_hash.to_owned(), start.data_hash.to_owned()))
    else {
        return Ok(());
    };
    names(found, &plan.trainings);
    let mut steps = 0;
    for (number, training) in plan.trainings.iter().enumerate() {
        let told = Told::of(found, training);
        marks(
            found,
            training,
            &told,
            Trail::new(training, &plan_hash, &data_hash),
        );
        if let Some(end) = told.end() {
            epochs(found, training, &told, end);
            watches(found, training, &told, end);
            steps += end;
        }
        checkpoints(found, number, training, &told, &plan_hash)?;
    }
    if let Some(end) = found.end()
        && end.steps != steps
    {
        let what = format!(
            "its last line counts {} steps, its marks end after {steps}",
            end.steps
        );
        found.add("journal", what);
    }
    Ok(())
}

/// What the journal tells of a training, each step's last word.
struct Told {
    marks: BTreeMap<u64, Mark>,
    epochs: BTreeMap<u64, (u64, String)>,
    watches: BTreeMap<u64, Measured>,
    checkpoints: BTreeMap<u64, Vec<(String, Option<String>)>>,
    wrong: Vec<String>,
}

/// A measurement as the journal tells it.
struct Measured {
    metrics: Value,
    best: bool,
    model: Option<String>,
}

impl Told {
    fn of(found: &Examined, of: &Training) -> Self {
        let mut told = Self {
            marks: BTreeMap::new(),
            epochs: BTreeMap::new(),
            watches: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            wrong: Vec::new(),
        };
        for line in &found.lines {
            let place = line.n + 1;
            match &line.entry {
                Event::State { .. } => told.mark(mark_of(&line.entry, &of.name), place),
                Event::Epoch {
                    training,
                    epoch,
                    step,
                    order,
                    ..
                } if *training == of.name => {
                    told.epochs.insert(*epoch, (*step, order.clone()));
                }
                Event::Watch {
                    training,
                    step,
                    metrics,
                    best,
                    model,
                } if *training == of.name => {
                    let measured = Measured {
                        metrics: metrics.clone(),
                        best: *best,
                        model: model.clone(),
                    };
                    told.watches.insert(*step, measured);
                }
                Event::Checkpoint {
                    training,
                    step,
                    checkpoint,
                    state,
                } if *training == of.name => {
                    let known = told.checkpoints.entry(*step).or_default();
                    known.push((checkpoint.clone(), Some(state.clone())));
                }
                Event::Resume {
                    training,
                    step,
                    checkpoint: Some(hash),
                } if *training == of.name => {
                    let known = told.checkpoints.entry(*step).or_default();
                    if known.iter().all(|(other, _)| other != hash) {
                        known.push((hash.clone(), None));
                    }
                }
                _ => {}
            }
        }
        told
    }

    /// Takes a mark in, if the line holds one of this training.
    fn mark(&mut self, mark: Option<Option<Mark>>, place: u64) {
        let Some(mark) = mark else { return };
        let Some(mark) = mark else {
            self.wrong
                .push(format!("line {place}: its hashes are none"));
            return;
        };
        let before = self.marks.insert(mark.step, mark);
        if before.is_some_and(|before| before.state != mark.state) {
            let step = mark.step;
            self.wrong.push(format!(
                "line {place}: step {step} was done twice, and the states differ"
            ));
        }
    }

    /// The last step there is a mark of.
    fn end(&self) -> Option<u64> {
        self.marks.keys().next_back().copied()
    }
}

/// Lines about trainings that the plan does not have.
fn names(found: &mut Examined, trainings: &[Training]) {
    let mut wrong = Vec::new();
    for line in &found.lines {
        let name = match &line.entry {
            Event::Resume { training, .. }
            | Event::Taken { training, .. }
            | Event::State { training, .. }
            | Event::Epoch { training, .. }
            | Event::Watch { training, .. }
            | Event::Checkpoint { training, .. }
            | Event::NotFinite { training, .. } => training,
            Event::Start { .. } | Event::End { .. } => continue,
        };
        if trainings.iter().all(|training| training.name != *name) {
            wrong.push(format!(
                "line {}: the plan has no training `{}`",
                line.n + 1,
                name.escape_debug()
            ));
        }
    }
    all(found, wrong);
}

fn all(found: &mut Examined, wrong: Vec<String>) {
    for what in wrong.into_iter().take(MOST) {
        found.add("journal", what);
    }
}

/// Every mark the plan wants is there, continues the chain, and the root at the end is theirs.
fn marks(found: &mut Examined, training: &Training, told: &Told, mut trail: Trail) {
    let name = training.name.escape_debug().to_string();
    let mut wrong = told.wrong.clone();
    let finished = found.end().is_some();
    let Some(end) = told.end() else {
        if finished {
            found.add("journal", format!("it holds no state of `{name}`"));
        }
        return;
    };
    let mut due = 0;
    for mark in told.marks.values() {
        while due < mark.step {
            wrong.push(format!(
                "the state of `{name}` after {due} steps is missing"
            ));
            due += trail.every();
        }
        due = match trail.is_regular(mark.step) {
            true => mark.step + trail.every(),
            false => due,
        };
        if trail.add(mark.step, mark.order, mark.state).ok() != Some(*mark) {
            wrong.push(format!(
                "the state of `{name}` after {} steps does not continue the chain of states",
                mark.step
            ));
            break;
        }
    }
    found.marks += trail.marks().len() as u64;
    if let Some(over) = found.end() {
        let number = over
            .trails
            .iter()
            .find(|trail| trail.training == training.name);
        let same = number.is_some_and(|it| {
            it.marks == trail.marks().len() as u64 && it.root == trail.root().to_hex().as_str()
        });
        if !same {
            wrong.push(format!(
                "the root over the states of `{name}` is not the one of its last line"
            ));
        }
        if end > training.steps {
            wrong.push(format!(
                "`{name}` has {} steps, and states after {end}",
                training.steps
            ));
        }
    }
    all(found, wrong);
}

/// Every epoch is there, and its rows came in the order that the marks name.
fn epochs(found: &mut Examined, training: &Training, told: &Told, end: u64) {
    let mut wrong = Vec::new();
    let name = training.name.escape_debug();
    let length = training.epoch_steps.max(1);
    for epoch in 1..=end / length {
        match told.epochs.get(&epoch) {
            None => wrong.push(format!("epoch {epoch} of `{name}` is missing")),
            Some((step, _)) if *step != epoch * length => {
                wrong.push(format!(
                    "epoch {epoch} of `{name}` ends after {step} steps, not {}",
                    epoch * length
                ));
            }
            Some(_) => {}
        }
    }
    for mark in told.marks.values().filter(|mark| mark.step > 0) {
        let epoch = (mark.step - 1) / length + 1;
        if let Some((_, order)) = told.epochs.get(&epoch)
            && *order != mark.order.to_hex().as_str()
        {
            wrong.push(format!(
                "the order of the rows in epoch {epoch} of `{name}` is not the one its states name"
            ));
            break;
        }
    }
    all(found, wrong);
}

/// The watch was measured where the plan wants it, and the best is the best.
fn watches(found: &mut Examined, training: &Training, told: &Told, end: u64) {
    let Some(watch) = &training.watch else {
        return;
    };
    let mut wrong = Vec::new();
    let name = training.name.escape_debug();
    let due =
        |step: u64| step == training.steps || (watch.every > 0 && step.is_multiple_of(watch.every));
    if watch.every > 0 {
        for step in (watch.every..=end).step_by(usize::try_from(watch.every).unwrap_or(usize::MAX))
        {
            if !told.watches.contains_key(&step) {
                wrong.push(format!(
                    "the measurement of `{name}` after {step} steps is missing"
                ));
            }
        }
    }
    let mut best: Option<f64> = None;
    let mut model = None;
    for (step, measured) in told
        .watches
        .iter()
        .filter(|(step, _)| due(**step) || **step == end)
    {
        let value = watched(watch, &measured.metrics);
        let better = match best {
            None => !value.is_nan(),
            Some(best) if watch.maximise => value > best,
            Some(best) => value < best,
        };
        if better != measured.best {
            let word = if measured.best {
                "is called the best and is not"
            } else {
                "is the best and is not called so"
            };
            wrong.push(format!(
                "the measurement of `{name}` after {step} steps {word}"
            ));
        }
        if better {
            best = Some(value);
            model = measured.model.as_deref().map(|model| (*step, model));
        }
    }
    if let Some((step, best)) = model
        && own_model(found, training).is_some_and(|own| own != best)
    {
        wrong.push(format!(
            "the model of `{name}` is not the one that was best, after {step} steps"
        ));
    }
    all(found, wrong);
}

/// Hash of a training's own model in the folder of a run that ended, if nothing else is wrong with it.
fn own_model(found: &Examined, training: &Training) -> Option<String> {
    found.end()?;
    if found
        .changes
        .iter()
        .any(|change| change.file == "model.safetensors")
    {
        return None;
    }
    let stored = StoredModel::read(&found.folder).ok()?;
    let (_, state) = stored.training(Some(&training.name)).ok()?;
    Some(model_hash(&entries(&training.state, state, "")))
}

/// The figure that decides.
pub(super) fn watched(watch: &Watch, metrics: &Value) -> f64 {
    let figures = watch.evaluation.metrics.iter();
    let mut numbers = figures.filter_map(|metric| metrics.get(&metric.name)?.as_f64());
    numbers.next().unwrap_or(f64::NAN)
}

/// Each checkpoint is one the journal names, with the state it names, and those that are to be kept are there.
fn checkpoints(
    found: &mut Examined,
    number: usize,
    training: &Training,
    told: &Told,
    plan_hash: &str,
) -> Result<(), RunFailure> {
    let place = checkpoint_folder(&found.folder, number, &training.name);
    let shown = |name: &str| {
        let folder = place.file_name().unwrap_or_default().to_string_lossy();
        format!("checkpoints/{folder}/{name}")
    };
    if !place.exists() {
        if !told.checkpoints.is_empty() {
            found.notes.push(format!(
                "the checkpoints of `{}` are gone: its steps can be done again from the start alone",
                training.name.escape_debug()
            ));
        }
        return Ok(());
    }
    let store = Store::new(&Disk, &place, plan_hash, training);
    let mut there = Vec::new();
    for (name, loaded) in store.all()? {
        let wrong = match loaded {
            // A file aside is what a kill leaves; nobody reads it.
            Err(_) | Ok(None) if name.ends_with(".new") => continue,
            Err(reason) => Some(reason),
            Ok(None) => Some("it is damaged: its content is not what its hash says".to_owned()),
            Ok(Some(loaded)) => {
                there.push(loaded.progress.step);
                let wrong = misplaced(training, told, &name, &loaded);
                if wrong.is_none() && Some(loaded.progress.step) == told.end() {
                    last_model(found, training, &loaded);
                }
                wrong
            }
        };
        if let Some(wrong) = wrong {
            found.add(&shown(&name), wrong);
        }
    }
    let every = kept_every(training);
    for step in told.checkpoints.keys() {
        let newest = told.checkpoints.keys().next_back() == Some(step);
        if (newest || (every > 0 && step.is_multiple_of(every))) && !there.contains(step) {
            let name = shown(&format!("{step:012}.checkpoint"));
            if !found.changes.iter().any(|change| change.file == name) {
                found.add(&name, "it is missing");
            }
        }
    }
    Ok(())
}

/// What is wrong with a checkpoint that is whole.
fn misplaced(training: &Training, told: &Told, name: &str, loaded: &Loaded) -> Option<String> {
    let step = loaded.progress.step;
    if name != format!("{step:012}.checkpoint") {
        return Some(format!(
            "it was exchanged: it holds the state after {step} steps"
        ));
    }
    let known = told.checkpoints.get(&step);
    let Some((_, noted)) =
        known.and_then(|known| known.iter().find(|(hash, _)| *hash == loaded.hash))
    else {
        return Some(
            "it was exchanged: the journal names another checkpoint for this step".to_owned(),
        );
    };
    let state = state_hash(&training.state, &loaded.progress.state);
    let mark = told.marks.get(&step).is_none_or(|mark| mark.state == state);
    let line = noted
        .as_ref()
        .is_none_or(|noted| *noted == state.to_hex().as_str());
    (!mark || !line)
        .then(|| format!("its state is not the one that the journal has after {step} steps"))
}

/// The model against the state the training ended with, which is kept whole: the parameters that differ are named.
fn last_model(found: &mut Examined, training: &Training, last: &Loaded) {
    if found.end().is_none() {
        return;
    }
    let Ok(stored) = StoredModel::read(&found.folder) else {
        return;
    };
    let Ok((_, state)) = stored.training(Some(&training.name)) else {
        return;
    };
    // A limit may have measured once more after the checkpoint: then the last state itself is the best.
    let candidates = [last.progress.model(true), &last.progress.state];
    let own = model_hash(&entries(&training.state, state, ""));
    if candidates
        .iter()
        .any(|it| model_hash(&entries(&training.state, it, "")) == own)
    {
        return;
    }
    let here = entries(&training.state, state, "");
    let there = entries(&training.state, last.progress.model(true), "");
    let pairs = here.iter().zip(&there);
    let differ: Vec<String> = pairs
        .filter(|(a, b)| {
            model_hash(std::slice::from_ref(*a)) != model_hash(std::slice::from_ref(*b))
        })
        .map(|(entry, _)| format!("`{}`", entry.path.escape_debug()))
        .collect();
    let more = differ.len().saturating_sub(MOST);
    let mut what = differ.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
    if more > 0 {
        what += &format!(" and {more} more");
    }
    found.add(
        "model.safetensors",
        format!(
            "{what} of `{}` differ from the last checkpoint",
            training.name.escape_debug()
        ),
    );
}
