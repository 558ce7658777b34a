//! A hash of what was decoded, wherever and however it was stored.

use crate::column::{Column, Values};
use crate::error::DataError;
use crate::streamed::{Elements, Streamed};

/// A column, wherever its rows are.
#[derive(Clone, Copy, Debug)]
pub enum AnyColumn<'a> {
    /// In memory.
    Memory(&'a Column),
    /// On the disk.
    Streamed(&'a Streamed),
}

impl AnyColumn<'_> {
    fn name(&self) -> &str {
        match self {
            AnyColumn::Memory(column) => &column.name,
            AnyColumn::Streamed(column) => &column.name,
        }
    }
}

/// The blake3 (derived for `mmh data 1`) of the columns' names, kinds, shapes, values and missing marks.
///
/// Columns count in the order of their names, so the order given does not matter. Every count is a u64, every value little
/// endian. Path, format, compression and the spelling of a number do not matter.
pub fn data_hash(columns: &[&Column]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("mmh data 1");
    let mut sorted = columns.to_vec();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    count(&mut hasher, sorted.len());
    sorted
        .iter()
        .for_each(|column| in_memory(&mut hasher, column));
    hasher.finalize()
}

/// [`data_hash`] of columns that may be on the disk. A streamed one is gone through once, twice where values are missing.
///
/// Errors: packed rows cannot be read, or were changed.
pub fn data_hash_of(columns: &[AnyColumn<'_>]) -> Result<blake3::Hash, DataError> {
    let mut hasher = blake3::Hasher::new_derive_key("mmh data 1");
    let mut sorted = columns.to_vec();
    sorted.sort_by(|a, b| a.name().cmp(b.name()));
    count(&mut hasher, sorted.len());
    for column in sorted {
        match column {
            AnyColumn::Memory(column) => in_memory(&mut hasher, column),
            AnyColumn::Streamed(column) => on_disk(&mut hasher, column)?,
        }
    }
    Ok(hasher.finalize())
}

fn head(hasher: &mut blake3::Hasher, name: &str, shape: &[u32], elements: usize) {
    text(hasher, name);
    count(hasher, shape.len());
    shape.iter().for_each(|&size| count(hasher, size as usize));
    count(hasher, elements);
}

fn in_memory(hasher: &mut blake3::Hasher, column: &Column) {
    head(hasher, &column.name, &column.shape, column.values.len());
    values(hasher, &column.values);
    // None missing is the same content, however it is marked.
    let missing = column
        .missing
        .as_ref()
        .filter(|missing| missing.count() > 0);
    let words = missing.map_or(&[][..], |missing| missing.words());
    count(hasher, words.len());
    numbers(hasher, words, |word| word.to_le_bytes());
}

fn on_disk(hasher: &mut blake3::Hasher, column: &Streamed) -> Result<(), DataError> {
    let elements = column.rows() as usize * column.width();
    head(hasher, &column.name, &column.shape, elements);
    kind(hasher, &column.no_elements(), column.levels());
    let mut missing = 0_u64;
    column.blocks(|_, block| {
        column.each_missing(block, |_| missing += 1);
        match block {
            Elements::F32(values) => numbers(hasher, values, |value| {
                let there = if value.is_nan() { 0.0 } else { value };
                there.to_le_bytes()
            }),
            Elements::I32(values) if column.has_levels() => {
                numbers(hasher, values, |level| level.max(0).to_le_bytes());
            }
            Elements::I32(values) => numbers(hasher, values, i32::to_le_bytes),
            Elements::U8(values) => {
                hasher.update(values);
            }
        }
    })?;
    if missing == 0 {
        count(hasher, 0);
        return Ok(());
    }
    count(hasher, elements.div_ceil(64));
    let (mut word, mut base) = (0_u64, 0);
    column.blocks(|_, block| {
        let mut at = base / 64;
        column.each_missing(block, |place| {
            let place = base + place;
            while at < place / 64 {
                hasher.update(&word.to_le_bytes());
                (word, at) = (0, at + 1);
            }
            word |= 1 << (place % 64);
        });
        base += block.len();
        while at < base / 64 {
            hasher.update(&word.to_le_bytes());
            (word, at) = (0, at + 1);
        }
    })?;
    if !base.is_multiple_of(64) {
        hasher.update(&word.to_le_bytes());
    }
    Ok(())
}

fn kind(hasher: &mut blake3::Hasher, elements: &Elements, levels: Option<&[String]>) {
    match (elements, levels) {
        (Elements::F32(_), _) => text(hasher, "f32"),
        (Elements::U8(_), _) => text(hasher, "u8"),
        (Elements::I32(_), None) => text(hasher, "i32"),
        (Elements::I32(_), Some(levels)) => {
            text(hasher, "class");
            count(hasher, levels.len());
            levels.iter().for_each(|level| text(hasher, level));
        }
    }
}

fn values(hasher: &mut blake3::Hasher, values: &Values) {
    match values {
        Values::F32(values) => {
            text(hasher, "f32");
            numbers(hasher, values, |value| {
                mmh_numerics::canonical(value).to_le_bytes()
            });
        }
        Values::U8(values) => {
            text(hasher, "u8");
            hasher.update(values);
        }
        Values::I32(values) => {
            text(hasher, "i32");
            numbers(hasher, values, i32::to_le_bytes);
        }
        Values::Class { levels, ids } => {
            text(hasher, "class");
            count(hasher, levels.len());
            levels.iter().for_each(|level| text(hasher, level));
            numbers(hasher, ids, u32::to_le_bytes);
        }
    }
}

fn count(hasher: &mut blake3::Hasher, number: usize) {
    hasher.update(&(number as u64).to_le_bytes());
}

fn text(hasher: &mut blake3::Hasher, text: &str) {
    count(hasher, text.len());
    hasher.update(text.as_bytes());
}

fn numbers<T: Copy, const N: usize>(
    hasher: &mut blake3::Hasher,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) {
    let mut buffer = Vec::with_capacity(8192 * N);
    for chunk in values.chunks(8192) {
        buffer.clear();
        chunk
            .iter()
            .for_each(|&value| buffer.extend_from_slice(&bytes(value)));
        hasher.update(&buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bitmap;

    fn column(name: &str, values: Values) -> Column {
        Column {
            name: name.into(),
            shape: vec![],
            values,
            missing: None,
        }
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let a = column("a", Values::U8(vec![1, 2]));
        let b = column("b", Values::F32(vec![1.0, 2.0]));
        let base = data_hash(&[&a, &b]);
        assert_eq!(base, data_hash(&[&b, &a]));
        let mut marked = a.clone();
        marked.missing = Some(Bitmap::new(2));
        assert_eq!(base, data_hash(&[&marked, &b]));
        marked.missing.iter_mut().for_each(|missing| missing.set(0));
        let mut shaped = a.clone();
        shaped.shape = vec![1];
        let others = [
            marked,
            shaped,
            column("c", a.values.clone()),
            column("a", Values::U8(vec![2, 1])),
            column("a", Values::I32(vec![1, 2])),
            column(
                "a",
                Values::Class {
                    levels: vec!["x".into(), "y".into(), "z".into()],
                    ids: vec![1, 2],
                },
            ),
        ];
        for other in &others {
            assert_ne!(base, data_hash(&[other, &b]), "{other:?}");
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let mut expected = blake3::Hasher::new_derive_key("mmh data 1");
        let word = |number: u64| number.to_le_bytes();
        for part in [
            &word(1)[..],
            &word(1),
            b"a",
            &word(0),
            &word(2),
            &word(3),
            b"i32",
            &[1, 0, 0, 0],
            &[255; 4],
            &word(0),
        ] {
            expected.update(part);
        }
        assert_eq!(
            data_hash(&[&column("a", Values::I32(vec![1, -1]))]),
            expected.finalize()
        );
    }
}
