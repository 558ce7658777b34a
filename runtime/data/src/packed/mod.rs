//! Sources that are not held in memory: read once from front to back into a file of rows of equal length, which is then read by
//! place. What is asked of a source is answered from what was noted on the way.
//!
//! | module | holds |
//! |---|---|
//! | `about` | what is known of a packed source, and where what is wrong with it stands |
//! | `blocks` | a file block after block, hashed and unpacked |
//! | `cache` | the folder of packed files: found by hash, checked, kept below a limit |
//! | `table`, `field`, `words` | tables: rows, one column's cells, its words |
//! | `plain` | IDX files and texts |
//! | `ask` | columns and errors of a packed source |
//!
//! A packed file is `rows` records, then [`About`] as JSON, then a trailer: the length of the JSON (u64), the blake3 of all
//! that is ahead of the trailer, and [`MAGIC`]. Numbers are little endian.

mod about;
mod ask;
mod blocks;
pub(crate) mod cache;
mod field;
mod plain;
mod table;
#[cfg(test)]
mod tests;
mod words;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

pub(crate) use about::{About, Element, Field, Form, Odd, Spot, Word};
pub(crate) use ask::{levels_of, member_of, sorted};

/// Ends every packed file; another edition of the form has another number.
pub(crate) const MAGIC: &[u8; 16] = b"mmh packed data1";

/// Bytes of the trailer.
const TRAILER: u64 = 8 + 32 + 16;

/// A missing value in a column of numbers: a NaN, which no cell can hold.
pub(crate) const NO_NUMBER: u32 = mmh_numerics::NAN_BITS;

/// A missing value in a column of words.
pub(crate) const NO_WORD: u32 = u32::MAX;

/// The most bytes of a packed file's description.
const MOST_ABOUT: u64 = 1 << 30;

/// A packed file that was read through and found whole.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) about: About,
    file: File,
    stamp: Stamp,
}

/// What changes when somebody writes to a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    place: Vec<i64>,
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Stamp> {
        let about = file.metadata()?;
        Ok(Stamp {
            bytes: about.len(),
            modified: about.modified().ok(),
            place: place_of(&about),
        })
    }
}

#[cfg(unix)]
fn place_of(about: &std::fs::Metadata) -> Vec<i64> {
    use std::os::unix::fs::MetadataExt;
    let number = about.ino().cast_signed();
    vec![
        about.dev().cast_signed(),
        number,
        about.ctime(),
        about.ctime_nsec(),
    ]
}

#[cfg(not(unix))]
fn place_of(_: &std::fs::Metadata) -> Vec<i64> {
    Vec::new()
}

impl Packed {
    /// Opens a packed file, if it is whole: every byte is read and hashed.
    pub(crate) fn open(path: &Path) -> io::Result<Packed> {
        Packed::read_from(path, true)
    }

    /// Opens a packed file whose bytes were `checked` or are to be believed.
    fn read_from(path: &Path, check: bool) -> io::Result<Packed> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let file = File::open(path)?;
        let stamp = Stamp::of(&file)?;
        let ahead = stamp.bytes.checked_sub(TRAILER);
        let ahead = ahead.ok_or_else(|| wrong("it is too short"))?;
        let mut trailer = [0; TRAILER as usize];
        read_at(&file, ahead, &mut trailer)?;
        let (length, rest) = trailer.split_at(8);
        let (hash, magic) = rest.split_at(32);
        if magic != MAGIC {
            return Err(wrong("it is no packed file of this edition"));
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let rows = ahead.checked_sub(length).filter(|_| length <= MOST_ABOUT);
        let rows = rows.ok_or_else(|| wrong("its description is too long"))?;
        if check && hash_of(&file, ahead)?.as_bytes() != hash {
            return Err(wrong("it is not what was written"));
        }
        let mut text = vec![0; length as usize];
        read_at(&file, rows, &mut text)?;
        let about: About = serde_json::from_slice(&text)?;
        if about.rows.checked_mul(about.record) != Some(rows) {
            return Err(wrong("it has another number of rows than it says"));
        }
        Ok(Packed { about, file, stamp })
    }

    /// Reads the bytes from `at` on.
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        read_at(&self.file, at, out)
    }

    /// Errors where the file was written to since it was found whole.
    pub(crate) fn check_unchanged(&self) -> io::Result<()> {
        match Stamp::of(&self.file)? == self.stamp {
            true => Ok(()),
            false => Err(io::Error::other("it was changed while it was in use")),
        }
    }
}

/// The trailer of a file whose rows are followed by a description of `length` bytes.
fn trailer(length: u64, hash: blake3::Hash) -> Vec<u8> {
    let length = length.to_le_bytes();
    [&length[..], hash.as_bytes(), MAGIC].concat()
}

/// The blake3 of the first `bytes` bytes.
fn hash_of(file: &File, bytes: u64) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK.min(bytes.max(1) as usize)];
    let mut at = 0;
    while at < bytes {
        let length = block.len().min((bytes - at) as usize);
        let (here, _) = block.split_at_mut(length);
        read_at(file, at, here)?;
        hasher.update(here);
        at += length as u64;
    }
    Ok(hasher.finalize())
}

/// Bytes that are read at once.
pub(crate) const BLOCK: usize = 2 << 20;

#[cfg(unix)]
pub(crate) fn read_at(file: &File, at: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(not(unix))]
pub(crate) fn read_at(file: &File, at: u64, out: &mut [u8]) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    use std::sync::Mutex;
    // The place in the file is shared by all who read it.
    static ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE.lock();
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(out)
}

/// The blake3 of a file as it is stored, and its size.
pub(crate) fn hash_stored(file: &File) -> io::Result<(blake3::Hash, u64)> {
    let (mut hasher, mut bytes, mut file) = (blake3::Hasher::new(), 0, file);
    let mut block = vec![0; BLOCK];
    loop {
        let length = match file.read(&mut block) {
            Ok(0) => return Ok((hasher.finalize(), bytes)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(block.get(..length).unwrap_or_default());
        bytes += length as u64;
    }
}
