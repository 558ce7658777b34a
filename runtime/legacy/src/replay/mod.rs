//! The data set of V1's benchmark, regenerated from its seed, and the hash that its reports recorded.
//!
//! In flows a [`ReplaySeed`], by hand or from a report ([`parse_report`]); out flow the files ([`DataSet`]), their hash
//! ([`replay`]) and, where there is a report, the verdict ([`Replayed::check`]). Bits are the same on every machine.

mod draws;
mod files;
mod report;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

pub use files::{DataSet, FileClass, GeneratedFile};
pub use report::{Recorded, parse_report, published, published_for};
pub use rows::{RowShape, write_rows};

/// The size that V1 called 0: 50 MiB.
pub const DEFAULT_BYTES: u64 = 50 << 20;
/// Data sets up to this size are kept in memory, larger ones are generated twice.
const MEMORY_BYTES: u64 = 512 << 20;

/// What determines a benchmark data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReplaySeed {
    /// The recorded `replay_seed`.
    pub seed: u64,
    /// Total size in bytes; V1 offered 50 MiB and whole GiB.
    pub total_bytes: u64,
}

/// A regenerated data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The recorded `replay_seed`.
    pub replay_seed: u64,
    /// How many files.
    pub total_files: u64,
    /// Their bytes.
    pub total_size_bytes: u64,
    /// SHA-256 of all contents in the order of their names, 64 hex digits.
    pub input_hash: String,
}

impl Replayed {
    /// Compares with what a report recorded: size, number of files, hash.
    pub fn check(&self, recorded: &Recorded) -> Result<()> {
        let numbers = [
            ("replay_seed", recorded.replay_seed, self.replay_seed),
            (
                "total_size_bytes",
                recorded.total_size_bytes,
                self.total_size_bytes,
            ),
            ("total_files", recorded.total_files, self.total_files),
        ];
        for (field, recorded, actual) in numbers {
            if recorded != actual {
                return Err(Error::ReplayMismatch {
                    field,
                    recorded: recorded.to_string(),
                    actual: actual.to_string(),
                });
            }
        }
        self.check_hash(&recorded.input_hash)
    }

    /// Compares the hash alone.
    pub fn check_hash(&self, input_hash: &str) -> Result<()> {
        if self.input_hash == input_hash {
            return Ok(());
        }
        Err(Error::ReplayMismatch {
            field: "input_hash",
            recorded: input_hash.to_owned(),
            actual: self.input_hash.clone(),
        })
    }
}

/// Regenerates a data set and hashes it; memory is bounded for every size.
pub fn replay(seed: ReplaySeed) -> Replayed {
    replay_within(seed, MEMORY_BYTES)
}

/// As [`replay`], keeping up to `memory` bytes of content.
fn replay_within(seed: ReplaySeed, memory: u64) -> Replayed {
    let keep = seed.total_bytes <= memory;
    let mut set = DataSet::new(seed);
    let mut files: Vec<_> = (&mut set)
        .map(|mut file| {
            if !keep {
                file.bytes = Vec::new();
            }
            file
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = Sha256::new();
    for file in &files {
        if keep {
            hasher.update(&file.bytes);
        } else {
            hasher.update(set.again(file));
        }
    }
    Replayed {
        replay_seed: seed.seed,
        total_files: files.len() as u64,
        total_size_bytes: seed.total_bytes,
        input_hash: hex(&hasher.finalize()),
    }
}

/// Writes the data set's files into the folder `to`, which may not be there yet: they are written aside and the folder is
/// named when all are whole.
pub fn write_files(seed: ReplaySeed, to: &Path) -> Result<PathBuf> {
    if to.symlink_metadata().is_ok() {
        return Err(Error::OutputExists {
            path: to.to_path_buf(),
        });
    }
    let parent = to
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
    let aside = tempfile::Builder::new()
        .prefix(".mmh-aside-")
        .tempdir_in(parent)
        .map_err(|error| Error::io(parent, error))?;
    let folder = aside.path().join("files");
    fs::create_dir(&folder).map_err(|error| Error::io(&folder, error))?;
    for file in DataSet::new(seed) {
        let path = folder.join(&file.name);
        fs::write(&path, &file.bytes).map_err(|error| Error::io(&path, error))?;
    }
    fs::rename(&folder, to).map_err(|error| Error::io(to, error))?;
    Ok(to.to_path_buf())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_too_large_to_keep_hashes_the_same() {
        let seed = ReplaySeed {
            seed: 7,
            total_bytes: 9_000_001,
        };
        let kept = replay_within(seed, u64::MAX);
        assert_eq!(kept, replay_within(seed, 0));
        assert_ne!(
            kept.input_hash,
            replay(ReplaySeed { seed: 8, ..seed }).input_hash
        );
    }
}
