//! Trainings that begin alike: a trial whose plan differs from another's in its length alone goes on from there.
//!
//! What a training comes to after some steps is a function of its plan up to there. So a fresh run folder may take the
//! states, measurements and the checkpoint of another one, bit for bit what it would compute itself; the journal says so.

use crate::checkpoint::{Loaded, Progress, Store};
use crate::failure::RunFailure;
use crate::files::read_if_there;
use crate::folder::{RunFolder, checkpoint_folder, lock, slashed};
use crate::journal::{Event, Line, now, read};
use crate::state_hash::state_hash;
use crate::trail::{Trail, mark_of};
use blake3::Hash;
use mmh_ir::Plan;
use mmh_ir::plan::{Curve, Segment, Training};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// The hash of all that decides the first `steps` steps of a training: its plan without the length, the recipe's text, what
/// is evaluated afterwards, and the schedule after them. None if there is no such training.
pub fn prefix_hash(plan: &Plan, training: usize, steps: u64) -> Option<Hash> {
    let mut part = plan.trainings.get(training)?.clone();
    part.schedule = begun(&part.schedule, steps);
    (part.steps, part.checkpoint) = (0, 0);
    let head = Plan {
        edition: plan.edition,
        seed: plan.seed.clone(),
        recipe_hash: String::new(),
        data: plan.data.clone(),
        trainings: vec![part],
        evaluations: Vec::new(),
    };
    let text = serde_json::to_string(&head).unwrap_or_default();
    let mut hasher = blake3::Hasher::new_derive_key("mmh prefix 1");
    hasher.update(text.as_bytes());
    Some(hasher.finalize())
}

/// The segments that begin within `steps`. How long the last of them is matters only to curves that are drawn over it.
fn begun(schedule: &[Segment], steps: u64) -> Vec<Segment> {
    let mut kept = Vec::new();
    let mut start = 0u64;
    for segment in schedule {
        if start >= steps {
            break;
        }
        start = start.saturating_add(segment.steps);
        kept.push(segment.clone());
    }
    if let Some(last) = kept.last_mut()
        && start >= steps
        && let Curve::Constant | Curve::Step { .. } = last.curve
    {
        last.steps = 0;
    }
    kept
}

/// Whether two trainings measure after `step` steps alike: each measures at its end, and regularly.
fn measure_alike(one: &Training, other: &Training, step: u64) -> bool {
    let every = one.watch.as_ref().map_or(1, |watch| watch.every.max(1));
    let is_inside = step < one.steps && step < other.steps;
    is_inside || one.steps == other.steps || step.is_multiple_of(every)
}

/// What a run folder has for trainings that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Steps after which its newest checkpoint stands.
    pub steps: u64,
    /// The files that are needed to go on from there, by name, `/` between folders.
    pub files: Vec<String>,
}

/// What the run folder `folder` has of training `number`, called `name`.
pub fn offer(folder: &Path, number: usize, name: &str) -> Option<Offer> {
    let place = checkpoint_folder(folder, number, name);
    let names = std::fs::read_dir(&place).ok()?.flatten();
    let step = |name: std::ffi::OsString| -> Option<(u64, String)> {
        let name = name.into_string().ok()?;
        let step = name.strip_suffix(".checkpoint")?.parse().ok()?;
        Some((step, name))
    };
    let (steps, newest) = names.filter_map(|it| step(it.file_name())).max()?;
    let within = slashed(&place.strip_prefix(folder).ok()?.join(newest));
    let files = vec!["plan".to_owned(), "journal".to_owned(), within];
    Some(Offer { steps, files })
}

/// Whether training `number` of `plan`, on data of this hash, begins like the one in the run folder `donor`, which has done `steps` steps.
/// Whether what lies there is whole is for [`crate::Options::donor`] to look at.
pub fn fits(donor: &Path, steps: u64, (plan, number): (&Plan, usize), data_hash: &str) -> bool {
    let told = || {
        let text = std::fs::read_to_string(donor.join("plan")).ok()?;
        let other = Plan::from_text(&text).ok()?;
        let lines = lines(&donor.join("journal"))?;
        let Event::Start {
            plan_hash,
            data_hash: data,
            ..
        } = &lines.first()?.entry
        else {
            return None;
        };
        let [one, two] = [plan, &other].map(|plan| plan.trainings.get(number));
        let alike = prefix_hash(&other, number, steps) == prefix_hash(plan, number, steps);
        let same = other.hash() == *plan_hash && data == data_hash;
        Some(same && alike && measure_alike(one?, two?, steps))
    };
    told().unwrap_or(false)
}

/// Steps that the run in a folder took from another one.
pub fn taken(folder: &Path) -> u64 {
    let lines = lines(&folder.join("journal")).unwrap_or_default();
    let step = |event: &Event| match event {
        Event::Taken { step, .. } => Some(*step),
        _ => None,
    };
    lines
        .iter()
        .filter_map(|line| step(&line.entry))
        .max()
        .unwrap_or(0)
}

fn lines(journal: &Path) -> Option<Vec<Line>> {
    let bytes = std::fs::read(journal).ok()?;
    Some(read::<Event>(&bytes).ok()?.0)
}

/// A run that looks for its first steps elsewhere.
pub(crate) struct Heir<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) number: usize,
    pub(crate) training: &'a Training,
    pub(crate) data_hash: &'a str,
    /// Steps it has done.
    pub(crate) done: u64,
    /// Steps it is to do.
    pub(crate) end: u64,
    pub(crate) trail: &'a mut Trail,
}

/// What a run folder has of a training.
struct Estate {
    plan_hash: String,
    loaded: Loaded,
    /// What its journal tells up to the checkpoint, by step: marks, epochs, measurements.
    told: BTreeMap<(u64, u8), Event>,
}

impl Heir<'_> {
    /// Takes what the run folder `donor` has of this training's first steps into `folder`. Nothing is taken, and nothing is
    /// wrong, if that run is at work, damaged, no further or another one.
    pub(crate) fn take(
        &mut self,
        donor: &Path,
        folder: &mut RunFolder,
        store: &Store<'_>,
    ) -> Result<Option<Progress>, RunFailure> {
        let Ok(held) = lock(donor) else {
            return Ok(None);
        };
        let found = self.estate(donor, folder);
        drop(held);
        let Some(estate) = found else {
            return Ok(None);
        };
        let step = estate.loaded.progress.step;
        let name = self.training.name.clone();
        folder.journal.add(
            &Event::Taken {
                training: name.clone(),
                step,
                plan_hash: estate.plan_hash,
                checkpoint: estate.loaded.hash,
            },
            json!({ "time": now() }),
            false,
        )?;
        for event in estate.told.into_values() {
            let event = match mark_of(&event, &name).flatten() {
                Some(mark) => self
                    .trail
                    .add(mark.step, mark.order, mark.state)?
                    .event(&name),
                None => event,
            };
            folder
                .journal
                .add(&event, json!({ "time": now() }), false)?;
        }
        let progress = estate.loaded.progress;
        folder.journal.flush()?;
        let checkpoint = store.save(&progress, folder.journal.head())?;
        let state = state_hash(&self.training.state, &progress.state);
        let saved = Event::Checkpoint {
            training: name,
            step,
            checkpoint,
            state: state.to_hex().to_string(),
        };
        folder.journal.add(&saved, json!({ "time": now() }), true)?;
        Ok(Some(progress))
    }

    fn estate(&self, donor: &Path, folder: &RunFolder) -> Option<Estate> {
        let files = &*folder.files;
        let text = String::from_utf8(read_if_there(files, &donor.join("plan")).ok()??).ok()?;
        let plan = Plan::from_text(&text).ok()?;
        let training = plan.trainings.get(self.number)?;
        let (lines, _) =
            read::<Event>(&read_if_there(files, &donor.join("journal")).ok()??).ok()?;
        let Event::Start {
            plan_hash,
            data_hash,
            ..
        } = &lines.first()?.entry
        else {
            return None;
        };
        if plan.hash() != *plan_hash || data_hash != self.data_hash {
            return None;
        }
        let place = checkpoint_folder(donor, self.number, &training.name);
        let all = Store::new(files, &place, plan_hash, training).all().ok()?;
        let whole = all
            .into_iter()
            .filter_map(|(_, opened)| opened.ok().flatten());
        let fits = |loaded: &Loaded| {
            let step = loaded.progress.step;
            step > self.done
                && step <= self.end
                && measure_alike(training, self.training, step)
                && lines.iter().any(|line| line.hash == loaded.journal)
                && prefix_hash(&plan, self.number, step)
                    == prefix_hash(self.plan, self.number, step)
        };
        let loaded = whole
            .filter(fits)
            .max_by_key(|loaded| loaded.progress.step)?;
        let step = loaded.progress.step;
        let mut told = BTreeMap::new();
        for line in &lines {
            let place = match &line.entry {
                Event::Epoch {
                    training: of, step, ..
                } if *of == training.name => (*step, 0),
                Event::Watch {
                    training: of, step, ..
                } if *of == training.name => (*step, 1),
                Event::State {
                    training: of,
                    step: at,
                    ..
                } if *of == training.name => {
                    // A mark at the end of a shorter training is none of a longer one.
                    if !self.trail.is_regular(*at) && *at != step {
                        continue;
                    }
                    // What stands in the trail by now is not said again.
                    let last = self.trail.marks().last();
                    if last.is_some_and(|last| *at <= last.step) {
                        continue;
                    }
                    (*at, 2)
                }
                _ => continue,
            };
            // A measurement where a limit ended the training is none of this one's.
            let every = training
                .watch
                .as_ref()
                .map_or(1, |watch| watch.every.max(1));
            let is_regular = place.1 != 1
                || place.0.is_multiple_of(every)
                || place.0 == training.steps && training.steps == self.training.steps;
            let is_new = place.1 == 2 || place.0 > self.done;
            if place.0 <= step && is_regular && is_new {
                told.insert(place, line.entry.clone());
            }
        }
        // The trail must hold the state that is taken, and no state that was another one here.
        let state = state_hash(&self.training.state, &loaded.progress.state);
        let last = mark_of(told.get(&(step, 2))?, &training.name)??;
        let contradicts = told.values().any(|event| {
            let mark = mark_of(event, &training.name).flatten();
            mark.is_some_and(|mark| self.trail.contradicts(mark.step, mark.state))
        });
        (last.state == state && !contradicts).then(|| Estate {
            plan_hash: plan_hash.clone(),
            loaded,
            told,
        })
    }
}
