//! Why the store cannot do what is asked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot do what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// A file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// There is no room.
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// What is there is not what its name, or a reference to it, says.
    Damaged {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// An object that a run needs is not there.
    Missing {
        /// Its BLAKE3, 64 hex digits.
        object: String,
        /// What it is of which run.
        of: String,
    },
    /// No run has this name.
    Unknown {
        /// As it was asked for.
        name: String,
        /// Names there are that could be meant.
        known: Vec<String>,
    },
    /// Several runs have this name.
    Ambiguous {
        /// As it was asked for.
        name: String,
        /// Heads of the runs.
        heads: Vec<String>,
    },
    /// A name that cannot be used, or is taken.
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process is at work there.
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// A remote cannot be reached or does not do what is asked.
    Remote {
        /// The remote, without secrets.
        remote: String,
        /// What happened.
        reason: String,
    },
}

impl StoreFailure {
    /// The code that `mmhc explain` knows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::DiskFull { .. } => "store::file",
            Self::Damaged { .. } => "store::damaged",
            Self::Missing { .. } => "store::missing",
            Self::Unknown { .. } | Self::Ambiguous { .. } => "store::unknown",
            Self::Name { .. } => "store::name",
            Self::Busy { .. } => "store::busy",
            Self::Remote { .. } => "store::remote",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::File { .. } => {
                "check that the folder is there and may be used; `--store DIR` or MMH_STORE name another store".to_owned()
            }
            Self::DiskFull { .. } => {
                "make room, for instance with `mmhc store gc`, and do it again: what is there already is not done twice".to_owned()
            }
            Self::Damaged { .. } => {
                "`mmhc fsck` lists all that is damaged, `mmhc fsck --repair FROM` takes copies from a folder or a remote".to_owned()
            }
            Self::Missing { .. } => {
                "`mmhc fsck --repair FROM` takes it from a folder or a remote that has it".to_owned()
            }
            Self::Unknown { known, .. } => match known.as_slice() {
                [] => "`mmhc store add DIR` puts a run into the store".to_owned(),
                known => format!("`mmhc store list` shows all; there is {}", known.join(", ")),
            },
            Self::Ambiguous { heads, .. } => {
                format!("say which by its head: {}", heads.join(", "))
            }
            Self::Name { .. } => "choose another name".to_owned(),
            Self::Busy { .. } => "wait until it is done, and do it again".to_owned(),
            Self::Remote { .. } => {
                "check address, bucket and credentials, and do it again: a transfer goes on where it was cut".to_owned()
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

    pub(crate) fn damaged(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged {
            place: place.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, reason } => write!(f, "`{}`: {reason}", path.display()),
            Self::DiskFull { path } => write!(
                f,
                "the disk is full or a limit is reached: `{}` could not be written",
                path.display()
            ),
            Self::Damaged { place, reason } => {
                write!(f, "`{}` is damaged: {reason}", place.escape_debug())
            }
            Self::Missing { object, of } => {
                write!(f, "object {object} is missing: {}", of.escape_debug())
            }
            Self::Unknown { name, .. } => {
                write!(f, "no run is called `{}`", name.escape_debug())
            }
            Self::Ambiguous { name, heads } => write!(
                f,
                "{} runs are meant by `{}`",
                heads.len(),
                name.escape_debug()
            ),
            Self::Name { name, reason } => {
                write!(f, "`{}` cannot be used: {reason}", name.escape_debug())
            }
            Self::Busy { path } => write!(
                f,
                "another process is at work in the store `{}`",
                path.display()
            ),
            Self::Remote { remote, reason } => {
                write!(f, "`{}`: {}", remote.escape_debug(), reason.escape_debug())
            }
        }
    }
}

impl std::error::Error for StoreFailure {}
