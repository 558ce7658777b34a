//! A hash of what was decoded, wherever and however it was stored.

use crate::column::{Column, Values};

/// The blake3 (derived for `mmh data 1`) of the columns' names, kinds, shapes, values and missing marks.
///
/// Columns count in the order of their names, so the order given does not matter. Every count is a u64, every value little
/// endian. Path, format, compression and the spelling of a number do not matter.
pub fn data_hash(columns: &[&Column]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key("mmh data 1");
    let mut sorted = columns.to_vec();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    count(&mut hasher, sorted.len());
    for column in sorted {
        text(&mut hasher, &column.name);
        count(&mut hasher, column.shape.len());
        column
            .shape
            .iter()
            .for_each(|&size| count(&mut hasher, size as usize));
        count(&mut hasher, column.values.len());
        values(&mut hasher, &column.values);
        // None missing is the same content, however it is marked.
        let missing = column
            .missing
            .as_ref()
            .filter(|missing| missing.count() > 0);
        let words = missing.map_or(&[][..], |missing| missing.words());
        count(&mut hasher, words.len());
        numbers(&mut hasher, words, |word| word.to_le_bytes());
    }
    hasher.finalize()
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
    for chunk in values.chunks(4096) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|&value| bytes(value)).collect();
        hasher.update(&bytes);
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
