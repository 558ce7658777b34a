//! Why a run ended without a result.

use crate::journal::EDITION;
use mmh_data::DataError;
use mmh_ir::device::RunError;
use mmh_ir::plan::Part;
use mmh_ir::{Origin, ValueId};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a run ended without a result. What was saved before stays saved.
#[derive(Clone, Debug, PartialEq)]
pub enum RunFailure {
    /// A data file is missing, changed or malformed.
    Data(DataError),
    /// A part of a split gets no row.
    EmptyPart {
        /// The data set.
        data: String,
        /// The part.
        part: Part,
    },
    /// The plan contradicts itself or its data; a recipe that was checked never gives one.
    Plan(String),
    /// A guarded value became infinite or not a number.
    NotFinite(Box<NotFinite>),
    /// A look-up index lies outside its table.
    IndexRange {
        /// Where it happened, such as `fit, step 12`.
        place: String,
        /// What was looked up.
        what: String,
    },
    /// The device failed.
    Device(String),
    /// The run folder belongs to another plan, seed or data.
    ResumeMismatch {
        /// What differs: `plan` or `data`.
        what: &'static str,
        /// Hash in the folder.
        stored: String,
        /// Hash of this run.
        wanted: String,
    },
    /// The disk is full; the last checkpoint is whole.
    DiskFull {
        /// The file that could not be written.
        path: PathBuf,
    },
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file of the run folder was changed or is damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process runs in the folder.
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The run was cancelled; a checkpoint was saved.
    Interrupted {
        /// Steps done in the training at hand.
        step: u64,
    },
    /// What was asked of a prediction does not fit the model.
    Request(String),
    /// No file that was looked at has the content of a data file.
    DataNotFound {
        /// As the recipe wrote it.
        name: String,
        /// The blake3 wanted.
        blake3: String,
    },
    /// A run folder is of another edition than this program reads.
    Edition {
        /// Its journal.
        path: PathBuf,
        /// The edition it names; 0 where it names none.
        edition: u32,
    },
    /// A step that was done twice gave two states.
    NotRepeated {
        /// Steps done then.
        step: u64,
    },
}

/// Where a value stopped being finite.
#[derive(Clone, Debug, PartialEq)]
pub struct NotFinite {
    /// Declared name of the training.
    pub training: String,
    /// Step, from 0.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Name of the guard, such as `loss`.
    pub guard: String,
    /// The first operation that gave such a value, where it was traced.
    pub culprit: Option<Culprit>,
}

/// The operation that first gave a value that is not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Culprit {
    /// The value in the program's graph.
    pub value: ValueId,
    /// The operation in words, such as `log`.
    pub op: String,
    /// Where it came from, for who made the graph.
    pub origin: Origin,
}

impl RunFailure {
    /// The code that `mmhc explain` knows.
    pub fn code(&self) -> &str {
        match self {
            Self::Data(error) => error.code,
            Self::EmptyPart { .. } => "data::empty-split",
            Self::Plan(_) => "run::plan",
            Self::NotFinite(_) => "run::not-finite",
            Self::IndexRange { .. } => "run::index-range",
            Self::Device(_) => "run::device",
            Self::ResumeMismatch { .. } => "run::resume-mismatch",
            Self::DiskFull { .. } => "run::disk-full",
            Self::File { .. } => "run::file",
            Self::Damaged { .. } => "run::damaged",
            Self::Busy { .. } => "run::busy",
            Self::Interrupted { .. } => "run::interrupted",
            Self::Request(_) => "run::request",
            Self::NotRepeated { .. } => "run::not-repeated",
            Self::DataNotFound { .. } => "audit::data-missing",
            Self::Edition { .. } => "run::edition",
        }
    }

    /// What to do about it; empty where there is nothing to add.
    pub fn help(&self) -> String {
        match self {
            Self::Data(error) => error.help.clone(),
            Self::EmptyPart { .. } => "raise its share, or add rows".to_owned(),
            Self::Plan(_) | Self::Request(_) => String::new(),
            Self::NotFinite(_) => "try a smaller `lr`, a `warmup`, or clipped gradients".to_owned(),
            Self::IndexRange { .. } => {
                "check that labels and characters lie in their range".to_owned()
            }
            Self::Device(_) => "`mmhc devices` lists what this machine offers".to_owned(),
            Self::ResumeMismatch { .. } => {
                "choose another folder with `--out`, or put the recipe and its data back".to_owned()
            }
            Self::DiskFull { .. } => {
                "make room or choose another folder with `--out`, then go on with `--resume`"
                    .to_owned()
            }
            Self::File { .. } => "check that the folder is there and may be written".to_owned(),
            Self::Damaged { .. } => {
                "put the file back, or start anew without `--resume`".to_owned()
            }
            Self::Busy { .. } => "wait for it, or choose another folder with `--out`".to_owned(),
            Self::Interrupted { .. } => "go on with `--resume`".to_owned(),
            Self::DataNotFound { .. } => {
                "say with `--data PATH` where it may be: files are found by their hash, whatever they are called"
                    .to_owned()
            }
            Self::Edition { edition, .. } => match *edition < EDITION {
                true => "it is older: use the mmhc that made it, or train anew with `mmhc run`, in another folder or in this one, whose journal then goes to `previous/`",
                false => "it is newer: use a newer mmhc",
            }
            .to_owned(),
            Self::NotRepeated { .. } => {
                "test the memory of this machine, then run anew without `--resume`, or with `--isa scalar`".to_owned()
            }
        }
    }

    /// A failed read or write of `path`, a full disk told apart.
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull { path },
            _ => Self::File {
                path,
                reason: error.to_string(),
            },
        }
    }

    /// A failed call of a device outside of training steps.
    pub(crate) fn device(error: RunError, place: &str) -> Self {
        match error {
            RunError::NotFinite { guard } => {
                Self::Device(format!("{place}: guard {guard} is not finite"))
            }
            RunError::IndexRange { what } => Self::IndexRange {
                place: place.to_owned(),
                what,
            },
            RunError::Device(reason) => Self::Device(reason),
        }
    }
}

impl From<DataError> for RunFailure {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

impl fmt::Display for RunFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(error) => f.write_str(&error.message),
            Self::EmptyPart { data, part } => {
                write!(f, "part `{}` of `{data}` gets no row", part.name())
            }
            Self::Plan(reason) => write!(f, "the plan cannot be run: {reason}"),
            Self::NotFinite(at) => at.fmt(f),
            Self::IndexRange { place, what } => {
                write!(f, "{place}: an index into {what} is out of range")
            }
            Self::Device(reason) => write!(f, "the device failed: {reason}"),
            Self::ResumeMismatch {
                what,
                stored,
                wanted,
            } => write!(
                f,
                "the run folder was made with another {what}: it holds `{stored}`, this run has `{wanted}`"
            ),
            Self::DiskFull { path } => write!(
                f,
                "the disk is full or a limit is reached: `{}` could not be written",
                path.display()
            ),
            Self::File { path, reason } => write!(f, "`{}`: {reason}", path.display()),
            Self::Damaged { path, reason } => {
                write!(f, "`{}` is damaged: {reason}", path.display())
            }
            Self::Busy { path } => write!(f, "another run is at work in `{}`", path.display()),
            Self::Interrupted { step } => {
                write!(f, "interrupted after {step} steps; a checkpoint was saved")
            }
            Self::Request(reason) => f.write_str(reason),
            Self::DataNotFound { name, blake3 } => write!(
                f,
                "no file here has the content of `{}` (blake3 {blake3})",
                name.escape_debug()
            ),
            Self::Edition { path, edition } => write!(
                f,
                "`{}` is of edition {edition} of the run folder, this is edition {EDITION}",
                path.display()
            ),
            Self::NotRepeated { step } => write!(
                f,
                "the steps up to {step} were done twice, and their states differ: this machine, or the one before, computed wrongly"
            ),
        }
    }
}

impl std::error::Error for RunFailure {}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not finite in step {} (epoch {}) of `{}`",
            self.guard,
            self.step + 1,
            self.epoch + 1,
            self.training
        )?;
        match &self.culprit {
            Some(culprit) => write!(f, "; first in `{}`", culprit.op),
            None => Ok(()),
        }
    }
}
