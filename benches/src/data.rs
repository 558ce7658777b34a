//! Made-up data: uniform bytes, classes and letters, drawn from one seed.

use mmh_numerics::random::{Key, Stream, below};
use std::io;
use std::path::Path;

/// What all draws start from.
const KEY: Key = Key([1234; 8]);

fn draws(nonce: u64, count: usize, n: u64) -> impl Iterator<Item = u8> {
    let stream = Stream::new(KEY, nonce);
    (0..count as u64).map(move |i| below(stream.double_word(i), n) as u8)
}

/// `rows` pictures of `side` x `side` bytes and their classes of 10, as IDX files.
pub(crate) fn pictures(folder: &Path, rows: usize, side: usize) -> io::Result<()> {
    let word = |n: usize| (n as u32).to_be_bytes();
    let mut images = [word(0x803), word(rows), word(side), word(side)].concat();
    images.extend(draws(1, rows * side * side, 256));
    let mut labels = [word(0x801), word(rows)].concat();
    labels.extend(draws(2, rows, 10));
    std::fs::write(folder.join("images.idx"), images)?;
    std::fs::write(folder.join("labels.idx"), labels)
}

/// A text of `count` characters and one more, of 65 different ones.
pub(crate) fn letters(folder: &Path, count: usize) -> io::Result<()> {
    let text: Vec<u8> = draws(3, count + 1, 65)
        .map(|letter| b'0' + letter)
        .collect();
    std::fs::write(folder.join("letters.txt"), text)
}
