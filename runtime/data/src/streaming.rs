//! What is too large for memory, and where its rows are kept instead. None of it changes a bit of what is read.

use std::path::Path;
use std::sync::OnceLock;

use crate::stored::Limits;

/// How files are read that are too large to be held in memory.
#[derive(Clone, Copy, Debug)]
pub struct Streaming {
    /// The folder of packed rows.
    pub folder: &'static Path,
    /// Bytes that one source may take in memory. Beyond, as guessed from the size of its file, it is streamed.
    pub memory: u64,
    /// Bytes that all packed rows may take.
    pub cache: u64,
    /// Is told, in whole lines, when rows are packed, and when packed rows were found damaged.
    pub told: fn(&str),
}

impl PartialEq for Streaming {
    fn eq(&self, other: &Self) -> bool {
        (self.folder, self.memory, self.cache) == (other.folder, other.memory, other.cache)
    }
}

impl Eq for Streaming {}

static OF_PROCESS: OnceLock<Streaming> = OnceLock::new();

impl Streaming {
    /// Makes this the way in which the whole process reads; the first call counts.
    pub fn use_in_process(self) {
        let _ = OF_PROCESS.set(self);
    }
}

impl Limits {
    /// The limits with the process's way of streaming; without one, as [`Limits::default`].
    pub fn of_process() -> Self {
        Limits {
            streaming: OF_PROCESS.get().copied(),
            ..Limits::default()
        }
    }
}

/// Bytes of memory that a source takes for each byte of its file: a text's characters take four bytes each beside the text,
/// a table's fields the same beside the table, and numbers.
const OF_TEXT: u64 = 8;
const OF_TABLE: u64 = 3;
const OF_IDX: u64 = 2;
/// How much larger files are once unpacked, as a guess; if they are larger yet, that is found while they are read.
const UNPACKED: u64 = 4;

/// What kind of file it is, as far as memory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    Idx,
    Text,
}

/// Whether a file of so many bytes is too large to be held in memory.
pub(crate) fn is_too_large(kind: Kind, stored: u64, gzip: bool, memory: u64) -> bool {
    let unpacked = if gzip { UNPACKED } else { 1 };
    stored.saturating_mul(unpacked).saturating_mul(factor(kind)) > memory
}

/// The limits within which a file may be read into memory.
pub(crate) fn within(kind: Kind, limits: Limits, memory: u64) -> Limits {
    Limits {
        decoded_bytes: limits.decoded_bytes.min(memory / factor(kind)),
        ..limits
    }
}

fn factor(kind: Kind) -> u64 {
    match kind {
        Kind::Table => OF_TABLE,
        Kind::Idx => OF_IDX,
        Kind::Text => OF_TEXT,
    }
}
