//! A column whose rows stay on the disk.

use std::sync::Arc;

use crate::column::{Bitmap, Column, Values};
use crate::error::{Code, DataError};
use crate::packed::{BLOCK, Element, NO_NUMBER, NO_WORD, Packed};

/// A named column of rows on the disk, as [`Column`] is one in memory.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// The name it was asked for by.
    pub name: String,
    /// The axes of one row; empty for one value a row.
    pub shape: Vec<u32>,
    pub(crate) file: String,
    pub(crate) levels: Option<Vec<String>>,
    pub(crate) decode: Decode,
    /// Files of equal rows, one behind another.
    pub(crate) parts: Vec<Arc<Packed>>,
}

/// How the bytes of a row become the elements of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decode {
    /// Numbers side by side; a missing one is the contract's NaN.
    Numbers(Vec<Run>),
    /// A level, by the number of the word at this byte; −1 where missing.
    Level { at: usize, of_word: Vec<i32> },
    /// A level, by the number of a character.
    Character { of_number: Vec<i32> },
    /// The whole row.
    Raw(Element),
}

/// Fields of a row that become numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Run {
    /// So many fields from this byte on hold the bits of numbers.
    Bits { at: usize, count: usize },
    /// The field at this byte holds the number of a word, and this is what the words are as numbers.
    Words { at: usize, bits: Vec<u32> },
}

/// Elements of some rows, row after row: missing numbers NaN, missing levels −1.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Numbers.
    F32(Vec<f32>),
    /// Whole numbers or levels.
    I32(Vec<i32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl Elements {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Elements::F32(values) => values.len(),
            Elements::I32(values) => values.len(),
            Elements::U8(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn clear(&mut self) {
        match self {
            Elements::F32(values) => values.clear(),
            Elements::I32(values) => values.clear(),
            Elements::U8(values) => values.clear(),
        }
    }
}

impl Decode {
    fn elements(&self) -> Elements {
        match self {
            Decode::Numbers(_) | Decode::Raw(Element::F32) => Elements::F32(Vec::new()),
            Decode::Raw(Element::U8) => Elements::U8(Vec::new()),
            Decode::Level { .. } | Decode::Character { .. } | Decode::Raw(Element::I32) => {
                Elements::I32(Vec::new())
            }
        }
    }
}

fn word(record: &[u8], at: usize) -> u32 {
    let bytes = record.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(NO_WORD, |bytes| u32::from_le_bytes(*bytes))
}

impl Streamed {
    /// Elements a row: the product of the shape, 1 for an empty one.
    pub fn width(&self) -> usize {
        self.shape.iter().map(|&size| size as usize).product()
    }

    /// Rows: of a text, characters.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.about.rows).sum()
    }

    /// The names of the levels, if it has any.
    pub fn levels(&self) -> Option<&[String]> {
        self.levels.as_deref()
    }

    /// Whether −1 means a level that is missing.
    pub(crate) fn has_levels(&self) -> bool {
        matches!(self.decode, Decode::Level { .. } | Decode::Character { .. })
    }

    /// Bytes of a row in the file.
    pub(crate) fn record(&self) -> usize {
        self.parts
            .first()
            .map_or(0, |part| part.about.record as usize)
    }

    /// No elements, of the right kind.
    pub fn no_elements(&self) -> Elements {
        self.decode.elements()
    }

    /// The elements of whole rows, as [`crate::Records`] has read them. What `out` held before is gone.
    ///
    /// Errors: `out` is of another kind.
    pub fn decode(&self, records: &[u8], out: &mut Elements) -> Result<(), DataError> {
        out.clear();
        let rows = records.chunks_exact(self.record().max(1));
        match (&self.decode, out) {
            (Decode::Numbers(runs), Elements::F32(out)) => {
                out.reserve(rows.len() * self.width());
                rows.for_each(|row| runs.iter().for_each(|run| run.append(row, out)));
            }
            (Decode::Level { at, of_word }, Elements::I32(out)) => {
                out.extend(rows.map(|row| {
                    let level = of_word.get(word(row, *at) as usize);
                    level.copied().unwrap_or(-1)
                }));
            }
            (Decode::Character { .. }, Elements::I32(out)) => self.characters(records, out),
            (Decode::Raw(Element::U8), Elements::U8(out)) => out.extend_from_slice(records),
            (Decode::Raw(Element::I32), Elements::I32(out)) => {
                out.extend(
                    records
                        .as_chunks()
                        .0
                        .iter()
                        .map(|bytes| i32::from_le_bytes(*bytes)),
                );
            }
            (Decode::Raw(Element::F32), Elements::F32(out)) => {
                out.extend(
                    records
                        .as_chunks()
                        .0
                        .iter()
                        .map(|bytes| f32::from_le_bytes(*bytes)),
                );
            }
            (_, _) => {
                let message = format!("`{}` holds elements of another kind", self.name);
                return Err(DataError::new(Code::Format, &self.file, message, ""));
            }
        }
        Ok(())
    }

    /// The levels of characters, two bytes each, added to `out`.
    pub fn characters(&self, bytes: &[u8], out: &mut Vec<i32>) {
        let Decode::Character { of_number } = &self.decode else {
            return;
        };
        out.extend(bytes.as_chunks().0.iter().map(|bytes| {
            let level = of_number.get(usize::from(u16::from_le_bytes(*bytes)));
            level.copied().unwrap_or(-1)
        }));
    }

    /// Columns of numbers of one file, side by side as one vector a row.
    ///
    /// Errors: a column that does not hold numbers.
    pub fn beside(
        name: &str,
        shape: Vec<u32>,
        columns: Vec<Streamed>,
    ) -> Result<Streamed, DataError> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut file, mut parts) = (String::new(), Vec::new());
        for column in columns {
            let Decode::Numbers(more) = column.decode else {
                let message = format!("`{}` holds no numbers", column.name);
                return Err(DataError::new(Code::Format, &column.file, message, ""));
            };
            more.into_iter().for_each(|run| Run::push(&mut runs, run));
            (file, parts) = (column.file, column.parts);
        }
        Ok(Streamed {
            name: name.to_owned(),
            shape,
            file,
            levels: None,
            decode: Decode::Numbers(runs),
            parts,
        })
    }

    /// The rows of another file behind these; false where they are of another kind.
    pub fn append(&mut self, other: Streamed) -> bool {
        let fits = self.shape == other.shape && self.decode == other.decode;
        if fits {
            self.parts.extend(other.parts);
        }
        fits
    }

    /// The whole column in memory.
    ///
    /// Errors: the packed rows cannot be read, or were changed.
    pub fn collect(&self) -> Result<Column, DataError> {
        let mut all = self.no_elements();
        let mut missing: Option<Bitmap> = None;
        let count = self.rows() as usize * self.width();
        self.blocks(|_, block| {
            let base = all.len();
            self.each_missing(block, |place| {
                missing
                    .get_or_insert_with(|| Bitmap::new(count))
                    .set(base + place);
            });
            match (&mut all, block) {
                (Elements::F32(all), Elements::F32(block)) => {
                    let there = |value: &f32| if value.is_nan() { 0.0 } else { *value };
                    all.extend(block.iter().map(there));
                }
                (Elements::I32(all), Elements::I32(block)) => all.extend_from_slice(block),
                (Elements::U8(all), Elements::U8(block)) => all.extend_from_slice(block),
                (_, _) => {}
            }
        })?;
        let values = match (all, &self.levels) {
            (Elements::F32(values), _) => Values::F32(values),
            (Elements::U8(values), _) => Values::U8(values),
            (Elements::I32(values), None) => Values::I32(values),
            (Elements::I32(values), Some(levels)) => Values::Class {
                levels: levels.clone(),
                ids: values.iter().map(|&id| id.max(0).cast_unsigned()).collect(),
            },
        };
        Ok(Column {
            name: self.name.clone(),
            shape: self.shape.clone(),
            values,
            missing,
        })
    }

    /// The places of a block whose elements are missing.
    pub(crate) fn each_missing(&self, block: &Elements, mut each: impl FnMut(usize)) {
        match block {
            Elements::F32(values) => {
                let places = values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| value.is_nan());
                places.for_each(|(place, _)| each(place));
            }
            Elements::I32(values) if self.has_levels() => {
                let places = values.iter().enumerate().filter(|(_, value)| **value < 0);
                places.for_each(|(place, _)| each(place));
            }
            Elements::I32(_) | Elements::U8(_) => {}
        }
    }

    /// All rows in order, some at a time, with the number of the first.
    ///
    /// Errors: the packed rows cannot be read, or were changed.
    pub(crate) fn blocks(&self, mut each: impl FnMut(u64, &Elements)) -> Result<(), DataError> {
        let record = self.record().max(1);
        let at_once = (BLOCK / record).max(1) as u64;
        let (mut bytes, mut elements, mut first) = (Vec::new(), self.no_elements(), 0);
        for part in &self.parts {
            let rows = part.about.rows;
            let mut row = 0;
            while row < rows {
                let count = at_once.min(rows - row);
                bytes.resize(count as usize * record, 0);
                part.read(row * record as u64, &mut bytes)
                    .map_err(|error| self.failed(&error))?;
                self.decode(&bytes, &mut elements)?;
                each(first + row, &elements);
                row += count;
            }
            part.check_unchanged()
                .map_err(|error| self.failed(&error))?;
            first += rows;
        }
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> DataError {
        unreadable(&self.file, error)
    }
}

/// Packed rows that can no longer be read.
pub(crate) fn unreadable(file: &str, error: &std::io::Error) -> DataError {
    let message = format!("its packed rows cannot be read: {error}");
    let help = "begin again: they are checked, and packed again if need be";
    DataError::new(Code::Cache, file, message, help)
}

impl Run {
    /// Adds a run behind others, as part of the last where it goes on there.
    pub(crate) fn push(runs: &mut Vec<Run>, run: Run) {
        if let (
            Some(Run::Bits { at, count }),
            Run::Bits {
                at: next,
                count: more,
            },
        ) = (runs.last_mut(), &run)
            && *at + 4 * *count == *next
        {
            *count += more;
            return;
        }
        runs.push(run);
    }

    fn append(&self, record: &[u8], out: &mut Vec<f32>) {
        match self {
            Run::Bits { at, count } => {
                let bytes = record.get(*at..at + 4 * count).unwrap_or_default();
                let numbers = bytes.as_chunks().0.iter();
                out.extend(numbers.map(|bytes| f32::from_bits(u32::from_le_bytes(*bytes))));
            }
            Run::Words { at, bits } => {
                let known = bits.get(word(record, *at) as usize);
                out.push(f32::from_bits(known.copied().unwrap_or(NO_NUMBER)));
            }
        }
    }
}
