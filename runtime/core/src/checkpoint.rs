//! Checkpoints: all that a training needs to go on as if it had never stopped.
//!
//! A file is the 16 bytes `mmh checkpoint 1`, the length of the header as u64, the header (JSON), the tensors, and the
//! blake3 (derived for `mmh checkpoint 1`) of all that. Numbers of the header that are not whole stand as the hex digits of
//! their bits. Files are named by their step; an older one is removed only after the newer one has been read back.
//!
//! Some are kept for whoever wants to do a part of the steps again: see [`kept_every`].

use crate::failure::RunFailure;
use crate::files::{ASIDE, Files, remove_if_there, replace};
use crate::model::{in_model, read_elements, write_elements};
use crate::schedule::Powers;
use crate::trail::{state_bytes, step_nanoseconds};
use crate::watch::{Best, Measured, Watching};
use mmh_ir::device::{State, Tensor};
use mmh_ir::plan::{StateDecl, Training};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"mmh checkpoint 1";
const HASH_BYTES: usize = 32;
const SUFFIX: &str = ".checkpoint";

/// Checkpoints of a training that are kept at most, beside the newest.
const MOST_KEPT: u64 = 16;
/// Bytes of state in all those of a training that are kept, at most.
const MOST_KEPT_BYTES: u64 = 256 << 20;

/// Nanoseconds that saving is taken to need beside the bytes: journal, file and folder are made lasting, which takes a disk
/// milliseconds each.
const SAVE_NANOSECONDS: u64 = 10_000_000;
/// Nanoseconds for a byte of state: it is encoded, hashed, written, read back and hashed again.
const NANOSECONDS_A_BYTE: u64 = 2;
/// The steps between two checkpoints that no recipe asks for are to take so many times what it costs to save one.
const SHARE: u64 = 400;

/// Steps between the checkpoints that are kept, a multiple of the plan's cadence; 0 where none is but the newest. Like the
/// steps between marks it follows from the plan alone: the bytes of state, the operations of a step, and the length.
pub fn kept_every(training: &Training) -> u64 {
    let bytes = state_bytes(training);
    let most = (MOST_KEPT_BYTES / bytes.max(1)).min(MOST_KEPT);
    let cadence = training.checkpoint;
    if most == 0 || cadence == 0 {
        return 0;
    }
    let apart = match is_asked_for(training) {
        true => 1,
        false => {
            let cost = SAVE_NANOSECONDS.saturating_add(bytes.saturating_mul(NANOSECONDS_A_BYTE));
            cost.saturating_mul(SHARE)
                .div_ceil(step_nanoseconds(training))
        }
    };
    let every = training.steps.div_ceil(most).max(apart);
    every.div_ceil(cadence).max(1).saturating_mul(cadence)
}

/// Steps between the checkpoints that are saved whatever the clock says; 0 where none is but the last.
pub(crate) fn saved_every(training: &Training) -> u64 {
    match is_asked_for(training) {
        true => training.checkpoint,
        false => kept_every(training),
    }
}

/// Whether the recipe has a cadence of its own: it is then kept to, whatever it costs. An epoch is what stands in the plan of a
/// recipe that says nothing.
fn is_asked_for(training: &Training) -> bool {
    training.checkpoint != training.epoch_steps.max(1)
}

/// A training between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// All state.
    pub state: State,
    /// Powers of the optimisers' β.
    pub powers: Powers,
    /// Losses of this epoch's steps added up, and how many.
    pub losses: (f64, u64),
    /// Mean loss of each epoch that ended.
    pub epochs: Vec<f64>,
    /// Measurements and the best state.
    pub watching: Watching,
}

#[derive(Serialize, Deserialize)]
struct Header {
    plan_hash: String,
    training: String,
    step: u64,
    journal: String,
    powers: Vec<[Bits; 2]>,
    loss: Bits,
    loss_steps: u64,
    epochs: Vec<Bits>,
    measured: Vec<(u64, Bits)>,
    best: Option<BestHeader>,
    since_best: u64,
    stopped: bool,
}

#[derive(Serialize, Deserialize)]
struct BestHeader {
    step: u64,
    value: Bits,
    metrics: Value,
}

/// An f64 as the hex digits of its bits.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Bits(String);

impl From<f64> for Bits {
    fn from(value: f64) -> Self {
        Self(format!("{:016x}", value.to_bits()))
    }
}

impl Bits {
    fn value(&self) -> Result<f64, String> {
        u64::from_str_radix(&self.0, 16)
            .map(f64::from_bits)
            .map_err(|error| error.to_string())
    }
}

/// The checkpoints of one training.
pub struct Store<'a> {
    files: &'a dyn Files,
    folder: PathBuf,
    plan_hash: &'a str,
    training: &'a str,
    slots: &'a [StateDecl],
    kept_every: u64,
}

/// A checkpoint read back.
pub struct Loaded {
    /// Its hash, 64 hex digits.
    pub hash: String,
    /// The training's progress.
    pub progress: Progress,
    /// Head of the journal when it was written.
    pub journal: String,
}

/// What a file holds: nothing where its hash is wrong, words where it does not fit the plan.
pub type Opened = Result<Option<Loaded>, String>;

impl<'a> Store<'a> {
    /// The checkpoints of `training` in `folder`, which is made with the first of them.
    pub fn new(
        files: &'a dyn Files,
        folder: &Path,
        plan_hash: &'a str,
        training: &'a Training,
    ) -> Self {
        Self {
            files,
            folder: folder.to_path_buf(),
            plan_hash,
            training: &training.name,
            slots: &training.state,
            kept_every: kept_every(training),
        }
    }

    /// Saves, reads back what was saved, then removes older ones. Gives the checkpoint's hash, 64 hex digits.
    pub fn save(&self, progress: &Progress, journal: &str) -> Result<String, RunFailure> {
        let bytes = self.encode(progress, journal)?;
        let hash = hash_of(&bytes);
        let name = format!("{:012}{SUFFIX}", progress.step);
        let path = self.folder.join(&name);
        self.files
            .make_folder(&self.folder)
            .map_err(|error| RunFailure::io(&self.folder, &error))?;
        replace(self.files, &path, &bytes)?;
        // One copy at a time: state may be most of the memory there is.
        drop(bytes);
        let read = self
            .files
            .read(&path)
            .map_err(|error| RunFailure::io(&path, &error))?;
        if hash_of(&read) != hash || content(&read).is_none() {
            let reason = "what was written does not read back".to_owned();
            return Err(RunFailure::Damaged { path, reason });
        }
        let names = self.names()?;
        let others = names.iter().filter(|other| **other != name);
        for other in others.filter(|other| !self.is_kept(other)) {
            remove_if_there(self.files, &self.folder.join(other))?;
        }
        Ok(hash)
    }

    /// The newest checkpoint that is whole, if there is one.
    ///
    /// Errors: a whole one of another plan.
    pub fn load(&self) -> Result<Option<Loaded>, RunFailure> {
        let names = self.names()?;
        for name in names.iter().rev().filter(|name| name.ends_with(SUFFIX)) {
            let path = self.folder.join(name);
            let bytes = self
                .files
                .read(&path)
                .map_err(|error| RunFailure::io(&path, &error))?;
            if let Some(loaded) = self.decode(&path, &bytes) {
                return loaded.map(Some);
            }
        }
        Ok(None)
    }

    /// Every checkpoint by its file's name.
    pub fn all(&self) -> Result<Vec<(String, Opened)>, RunFailure> {
        let mut all = Vec::new();
        for name in self.names()? {
            let path = self.folder.join(&name);
            let bytes = self
                .files
                .read(&path)
                .map_err(|error| RunFailure::io(&path, &error))?;
            let loaded = match self.decode(&path, &bytes).transpose() {
                Err(RunFailure::Damaged { reason, .. }) => Err(reason),
                Err(other) => Err(other.to_string()),
                Ok(loaded) => Ok(loaded),
            };
            all.push((name, loaded));
        }
        Ok(all)
    }

    /// Whether two trainings stand at the same place, bit for bit.
    pub(crate) fn are_same(&self, a: &Progress, b: &Progress) -> Result<bool, RunFailure> {
        Ok(self.encode(a, "")? == self.encode(b, "")?)
    }

    /// Whether a file stays when a newer one is there.
    fn is_kept(&self, name: &str) -> bool {
        let step = name.strip_suffix(SUFFIX).and_then(|step| step.parse().ok());
        step.is_some_and(|step: u64| self.kept_every > 0 && step.is_multiple_of(self.kept_every))
    }

    /// What a file holds; nothing where its hash is wrong.
    fn decode(&self, path: &Path, bytes: &[u8]) -> Option<Result<Loaded, RunFailure>> {
        let (header, tensors) = open(bytes)?;
        let loaded = self.decode_content(header, tensors, hash_of(bytes));
        Some(loaded.map_err(|reason| match reason {
            Wrong::Plan(stored) => RunFailure::ResumeMismatch {
                what: "plan",
                stored,
                wanted: self.plan_hash.to_owned(),
            },
            Wrong::Content(reason) => RunFailure::Damaged {
                path: path.to_path_buf(),
                reason,
            },
        }))
    }

    fn names(&self) -> Result<Vec<String>, RunFailure> {
        let mut names = self
            .files
            .list(&self.folder)
            .map_err(|error| RunFailure::io(&self.folder, &error))?;
        let ours = |name: &str| name.strip_suffix(ASIDE).unwrap_or(name).ends_with(SUFFIX);
        names.retain(|name| ours(name));
        Ok(names)
    }

    fn encode(&self, progress: &Progress, journal: &str) -> Result<Vec<u8>, RunFailure> {
        let watching = &progress.watching;
        let header = Header {
            plan_hash: self.plan_hash.to_owned(),
            training: self.training.to_owned(),
            step: progress.step,
            journal: journal.to_owned(),
            powers: progress
                .powers
                .0
                .iter()
                .map(|powers| powers.map(Bits::from))
                .collect(),
            loss: progress.losses.0.into(),
            loss_steps: progress.losses.1,
            epochs: progress.epochs.iter().map(|loss| (*loss).into()).collect(),
            measured: watching
                .measured
                .iter()
                .map(|at| (at.step, at.value.into()))
                .collect(),
            best: watching.best.as_ref().map(|best| BestHeader {
                step: best.step,
                value: best.value.into(),
                metrics: best.metrics.clone(),
            }),
            since_best: watching.since_best,
            stopped: watching.stopped,
        };
        let header =
            serde_json::to_vec(&header).map_err(|error| RunFailure::Plan(error.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for tensor in &progress.state.slots {
            write_elements(tensor, &mut bytes);
        }
        if let Some(best) = &watching.best {
            for (_, tensor) in self
                .slots
                .iter()
                .zip(&best.state.slots)
                .filter(|(slot, _)| in_model(slot.role))
            {
                write_elements(tensor, &mut bytes);
            }
        }
        let hash = digest(&bytes);
        bytes.extend(hash.as_bytes());
        Ok(bytes)
    }

    fn decode_content(
        &self,
        header: Header,
        mut tensors: &[u8],
        hash: String,
    ) -> Result<Loaded, Wrong> {
        if header.plan_hash != self.plan_hash || header.training != self.training {
            return Err(Wrong::Plan(header.plan_hash));
        }
        let state = self.take_state(&mut tensors, false)?;
        let best = match header.best {
            None => None,
            Some(best) => Some(Best {
                step: best.step,
                value: best.value.value()?,
                metrics: best.metrics,
                state: self.take_state(&mut tensors, true)?,
            }),
        };
        let powers: Result<Vec<[f64; 2]>, String> = header
            .powers
            .iter()
            .map(|[first, second]| Ok([first.value()?, second.value()?]))
            .collect();
        let epochs: Result<Vec<f64>, String> = header.epochs.iter().map(Bits::value).collect();
        let measured: Result<Vec<Measured>, String> = header
            .measured
            .iter()
            .map(|(step, value)| {
                Ok(Measured {
                    step: *step,
                    value: value.value()?,
                })
            })
            .collect();
        let watching = Watching {
            measured: measured?,
            best,
            since_best: header.since_best,
            stopped: header.stopped,
        };
        let progress = Progress {
            step: header.step,
            state,
            powers: Powers(powers?),
            losses: (header.loss.value()?, header.loss_steps),
            epochs: epochs?,
            watching,
        };
        Ok(Loaded {
            hash,
            progress,
            journal: header.journal,
        })
    }

    /// Takes a tensor for every slot off the front; of a best state those outside the model are zeros.
    fn take_state(&self, bytes: &mut &[u8], model_only: bool) -> Result<State, Wrong> {
        let mut slots = Vec::with_capacity(self.slots.len());
        for slot in self.slots {
            if model_only && !in_model(slot.role) {
                slots.push(Tensor::zeros(slot.ty.dtype, slot.ty.shape.elements()));
                continue;
            }
            let length = slot.ty.shape.elements() * slot.ty.dtype.bytes();
            let short = || Wrong::Content(format!("`{}` is cut short", slot.path));
            let (mine, rest) = bytes.split_at_checked(length).ok_or_else(short)?;
            slots.push(read_elements(slot, mine).ok_or_else(short)?);
            *bytes = rest;
        }
        Ok(State { slots })
    }
}

enum Wrong {
    Plan(String),
    Content(String),
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self::Content(reason)
    }
}

/// Header and tensors of a file whose hash is right.
fn open(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (length, rest) = content(bytes)?
        .strip_prefix(MAGIC.as_slice())?
        .split_first_chunk::<8>()?;
    let (header, tensors) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((serde_json::from_slice(header).ok()?, tensors))
}

/// All of a file ahead of its hash, if the hash is right.
fn content(bytes: &[u8]) -> Option<&[u8]> {
    let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
    (digest(content).as_bytes().as_slice() == hash).then_some(content)
}

fn digest(bytes: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("mmh checkpoint 1");
    hasher.update(bytes);
    hasher.finalize()
}

fn hash_of(bytes: &[u8]) -> String {
    let tail = bytes.len().saturating_sub(HASH_BYTES);
    bytes
        .get(tail..)
        .unwrap_or_default()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
