//! Looking back at a run: is its folder whole, and what was the state after each step?

use crate::checkpoint::Progress;
use crate::data::{Dataset, seed_of};
use crate::failure::RunFailure;
use crate::files::{Disk, Files};
use crate::journal::{Event, Line, read};
use crate::model::{Entry, entries, model_hash};
use crate::predict::StoredModel;
use crate::session::prefix;
use crate::step::Stepper;
use mmh_ir::Plan;
use mmh_ir::device::Device;
use std::ops::Range;
use std::path::Path;

/// A run folder whose parts agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Lines of the journal.
    pub lines: Vec<Line>,
    /// Hash of the plan.
    pub plan_hash: String,
    /// Hash of the model; none while the run is not finished.
    pub model_hash: Option<String>,
}

/// Checks the journal's chain, the plan against the journal's first line, and the model against its last.
///
/// Errors: [`RunFailure::Damaged`] names the file that does not agree.
pub fn verify(folder: &Path) -> Result<Verified, RunFailure> {
    let damaged = |name: &str, reason: &str| RunFailure::Damaged {
        path: folder.join(name),
        reason: reason.to_owned(),
    };
    let file = |name: &str| {
        let path = folder.join(name);
        Disk.read(&path)
            .map_err(|error| RunFailure::io(&path, &error))
    };
    let (lines, _) = read(&file("journal")?).map_err(|reason| damaged("journal", &reason))?;
    let Some(Event::Start { plan_hash, .. }) = lines.first().map(|line| &line.entry) else {
        return Err(damaged(
            "journal",
            "it does not begin with the start of a run",
        ));
    };
    let plan_hash = plan_hash.clone();
    let plan = Plan::from_text(&String::from_utf8_lossy(&file("plan")?))
        .map_err(|reason| damaged("plan", &reason))?;
    if plan.hash() != plan_hash {
        return Err(damaged("plan", "its hash is not the one in the journal"));
    }
    let Some(Event::End {
        model_hash: wanted, ..
    }) = lines.last().map(|line| &line.entry)
    else {
        return Ok(Verified {
            lines,
            plan_hash,
            model_hash: None,
        });
    };
    let found = StoredModel::read(folder)?.hash();
    if found != *wanted {
        return Err(damaged(
            "model.safetensors",
            "its hash is not the one in the journal",
        ));
    }
    Ok(Verified {
        lines,
        plan_hash,
        model_hash: Some(found),
    })
}

impl StoredModel {
    /// Hash of the model.
    pub fn hash(&self) -> String {
        let mut model: Vec<Entry<'_>> = Vec::new();
        for (training, state) in self.plan.trainings.iter().zip(&self.states) {
            model.extend(entries(
                &training.state,
                state,
                &prefix(&self.plan, training),
            ));
        }
        model.sort_by(|a, b| a.path.cmp(&b.path));
        model_hash(&model)
    }
}

/// Does the steps of training `number` again and gives, for each step count in `steps`, the hash of parameters and persistent
/// state after so many steps. Two machines that disagree do so first where these do.
pub fn replay(
    plan: &Plan,
    number: usize,
    data: &[Dataset],
    device: &dyn Device,
    steps: Range<u64>,
) -> Result<Vec<(u64, String)>, RunFailure> {
    let missing = || RunFailure::Request(format!("there is no training {number}"));
    let training = plan.trainings.get(number).ok_or_else(missing)?;
    let data = data.get(training.data as usize).ok_or_else(missing)?;
    let seed = seed_of(plan)?;
    let mut progress = Progress::start(training, &seed)?;
    let mut stepper = Stepper::new(training, data, &seed, device)?;
    let mut hashes = Vec::new();
    while progress.step < steps.end && progress.step <= training.steps {
        if steps.contains(&progress.step) {
            hashes.push((
                progress.step,
                model_hash(&entries(&training.state, &progress.state, "")),
            ));
        }
        if progress.step == training.steps {
            break;
        }
        stepper.run(&mut progress, None)?;
    }
    Ok(hashes)
}
