//! Trainings that begin alike: a trial whose plan differs from another's in its length alone goes on from there.
//!
//! What a training comes to after some steps is a function of its plan up to there. So a fresh run folder may take the
//! states, measurements and the checkpoint of another one, bit for bit what it would compute itself; the journal says so.

use crate::checkpoint::{Loaded, Progress, Store};
use crate::failure::RunFailure;
use crate::files::read_if_there;
use crate::folder::{RunFolder, checkpoint_folder, lock};
use crate::journal::{Event, now, read};
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

/// Whether a training that is `steps` long measures after `step` steps just as any longer one does.
fn measures_alike(training: &Training, step: u64) -> bool {
    let every = training
        .watch
        .as_ref()
        .map_or(1, |watch| watch.every.max(1));
    step < training.steps || step.is_multiple_of(every)
}

/// A fresh run that looks for its first steps elsewhere.
pub(crate) struct Heir<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) number: usize,
    pub(crate) training: &'a Training,
    pub(crate) data_hash: &'a str,
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
    /// wrong, if that run is at work, damaged or another one.
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
        let state = crate::state_hash::state_hash(&self.training.state, &progress.state);
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
            (1..=self.end).contains(&step)
                && measures_alike(training, step)
                && measures_alike(self.training, step)
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
                    (*at, 2)
                }
                _ => continue,
            };
            // A measurement where a limit ended the training is none of this one's.
            let every = training
                .watch
                .as_ref()
                .map_or(1, |watch| watch.every.max(1));
            if place.0 <= step && (place.1 != 1 || place.0.is_multiple_of(every)) {
                told.insert(place, line.entry.clone());
            }
        }
        // Without the mark at its last step, the trail would not hold the state that is taken.
        told.contains_key(&(step, 2)).then(|| Estate {
            plan_hash: plan_hash.clone(),
            loaded,
            told,
        })
    }
}
