//! BLAKE3 of files, on all cores, without ever holding a file in memory.
//!
//! BLAKE3 is a tree over blocks of 1 KiB. Pieces of 1 MiB are whole subtrees: each is read and hashed by whichever thread is
//! free, and the pieces' chaining values are joined as the tree says. The result is the plain BLAKE3 of the file.

use blake3::Hash;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a piece; a power of two.
const PIECE: u64 = 1 << 20;
/// Bytes that are read at a time: they stay in a core's own cache until they are hashed.
const READ: usize = 128 << 10;
/// Threads that hash one file at most.
const MOST_THREADS: usize = 16;

/// The BLAKE3 of a file, and how many bytes it has.
///
/// Errors: it cannot be read; it changed its length meanwhile.
pub fn hash_file(path: &Path) -> io::Result<(Hash, u64)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    hash_file_on(path, threads.min(MOST_THREADS))
}

/// The same with so many threads.
pub fn hash_file_on(path: &Path, threads: usize) -> io::Result<(Hash, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length <= PIECE {
        let mut bytes = Vec::new();
        file.take(PIECE + 1).read_to_end(&mut bytes)?;
        return Ok((blake3::hash(&bytes), bytes.len() as u64));
    }
    let pieces = length.div_ceil(PIECE);
    let next = AtomicU64::new(0);
    let work = |file: &mut File| -> io::Result<Vec<(u64, ChainingValue)>> {
        let (mut done, mut buffer) = (Vec::new(), vec![0; READ]);
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return Ok(done);
            }
            done.push((piece, subtree(file, piece * PIECE, length, &mut buffer)?));
        }
    };
    let mut parts = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(usize::try_from(pieces).unwrap_or(threads)))
            .map(|_| scope.spawn(|| work(&mut File::open(path)?)))
            .collect();
        let mut parts = work(&mut file)?;
        for other in others {
            let done = other
                .join()
                .map_err(|_| io::Error::other("a thread that hashed has failed"))?;
            parts.extend(done?);
        }
        Ok::<_, io::Error>(parts)
    })?;
    parts.sort_unstable_by_key(|(piece, _)| *piece);
    let values: Vec<ChainingValue> = parts.into_iter().map(|(_, value)| value).collect();
    if file.metadata()?.len() != length {
        return Err(io::Error::other("it changed while it was read"));
    }
    let (left, right) = halves(length, &values);
    Ok((
        merge_subtrees_root(&joined(left), &joined(right), Mode::Hash),
        length,
    ))
}

/// The chaining value of the piece at `offset`.
fn subtree(
    file: &mut File,
    offset: u64,
    length: u64,
    buffer: &mut [u8],
) -> io::Result<ChainingValue> {
    file.seek(SeekFrom::Start(offset))?;
    let mut left = PIECE.min(length - offset);
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    while left > 0 {
        let count = left.min(buffer.len() as u64) as usize;
        let part = buffer.get_mut(..count).unwrap_or_default();
        file.read_exact(part)?;
        hasher.update(part);
        left -= count as u64;
    }
    Ok(hasher.finalize_non_root())
}

type Part<'a> = (u64, &'a [ChainingValue]);

/// The two subtrees of one that has more than a piece.
fn halves(length: u64, values: &[ChainingValue]) -> (Part<'_>, Part<'_>) {
    let left = left_subtree_len(length);
    let at = usize::try_from(left / PIECE).unwrap_or(usize::MAX);
    let (first, second) = values.split_at(at.min(values.len()));
    ((left, first), (length - left, second))
}

fn joined((length, values): Part<'_>) -> ChainingValue {
    match values {
        [only] => *only,
        _ => {
            let (left, right) = halves(length, values);
            merge_subtrees_non_root(&joined(left), &joined(right), Mode::Hash)
        }
    }
}

/// The 64 hex digits of a hash, if it is one: lower case, no more and no less.
pub fn is_hash(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_kind_of_length_have_their_plain_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let piece = PIECE as usize;
        for length in [
            0,
            1,
            1024,
            piece - 1,
            piece,
            piece + 1,
            2 * piece,
            3 * piece,
            3 * piece + 17,
            5 * piece - 1,
            8 * piece,
            9 * piece + 1024,
        ] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 + at / 977) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            for threads in [1, 2, 5] {
                let found = hash_file_on(&path, threads).unwrap();
                assert_eq!(found, (blake3::hash(&bytes), length as u64), "{length}");
            }
        }
    }

    #[test]
    fn only_whole_hashes_are_hashes() {
        assert!(is_hash(&"0a".repeat(32)));
        for wrong in [
            "",
            "0a",
            &"0A".repeat(32),
            &"0g".repeat(32),
            &"0a".repeat(33),
            "../x",
        ] {
            assert!(!is_hash(wrong), "{wrong}");
        }
    }
}
