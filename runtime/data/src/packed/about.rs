//! What is known of a packed source.

use serde::{Deserialize, Serialize};

/// What stands behind the rows of a packed file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct About {
    /// The blake3 of the file's bytes as stored.
    pub(crate) source: String,
    /// Rows: lines of a table, the first axis of an IDX file, characters of a text.
    pub(crate) rows: u64,
    /// Bytes of a row.
    pub(crate) record: u64,
    /// What a row holds.
    pub(crate) form: Form,
}

/// What a row of a packed file holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Form {
    /// Four bytes a field: the bits of an f32, or the number of a word.
    Table { fields: Vec<Field> },
    /// The elements of a row: bytes, or four bytes each.
    Idx {
        /// `u8`, `i32` or `f32`.
        element: Element,
        /// The axes of a row.
        shape: Vec<u32>,
        /// The first row with a value that is not finite.
        odd: Option<u64>,
    },
    /// Two bytes a character: its number in order of first sight.
    Text { names: Vec<Word> },
}

/// Elements of an IDX file, once read.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Element {
    U8,
    I32,
    F32,
}

/// A column of a table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// How many values are missing.
    pub(crate) missing: u64,
    /// The first of them.
    pub(crate) first_missing: Option<Spot>,
    /// The first cell that is no whole number of 32 bits.
    pub(crate) fraction: Option<Odd>,
    /// The first cell that is no number.
    pub(crate) word: Option<Odd>,
    /// The words in order of first sight; none where rows hold numbers.
    pub(crate) words: Option<Vec<Word>>,
    /// Whether neither words nor numbers are there: too many different words.
    pub(crate) lost: bool,
}

/// A place in the source: row from 0, line from 1.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Spot {
    pub(crate) row: u64,
    pub(crate) line: u64,
}

/// A cell that is not what might be wanted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Odd {
    pub(crate) at: Spot,
    /// Its beginning.
    pub(crate) text: String,
}

/// A word, where it came up first, and how often in all.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) at: Spot,
    pub(crate) count: u64,
}
