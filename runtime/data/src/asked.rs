//! A streamed source asked for its columns.

use crate::column::Bitmap;
use crate::error::{Code, DataError};
use crate::gather::{Words, number_words, with_families};
use crate::idx::VALUES;
use crate::packed::{Element, Form, Packed, Word, levels_of, member_of};
use crate::source::{ColumnInfo, Content, Kind, Missing, Source, info};
use crate::streamed::{Decode, Elements, Run, Streamed};
use crate::text::TEXT;
use std::sync::Arc;

impl Source {
    /// Whether its rows stay on the disk.
    pub fn is_streamed(&self) -> bool {
        matches!(self.content, Content::Packed(..))
    }

    /// [`Source::numeric`] of a streamed source, without reading its rows.
    ///
    /// Errors as there; and for a source that is in memory.
    pub fn stream_numbers(&self, name: &str, missing: Missing) -> Result<Streamed, DataError> {
        let Content::Packed(packed, file) = &self.content else {
            return Err(self.in_memory(name));
        };
        match &packed.about.form {
            Form::Text { .. } => Err(self.no_numbers(name)),
            Form::Idx {
                element,
                shape,
                odd,
            } => {
                self.only(name, VALUES)?;
                if let Some(row) = odd {
                    return Err(not_finite(file, *row));
                }
                Ok(self.stream(packed, name, shape.clone(), Decode::Raw(*element)))
            }
            Form::Table { fields } => {
                let (shape, members) = self.find(&packed.names(), name)?;
                packed.check_numbers(file, &members, missing)?;
                let mut runs = Vec::new();
                for &member in &members {
                    if let Some(field) = fields.get(member) {
                        Run::push(&mut runs, member_of(member, field));
                    }
                }
                Ok(self.stream(packed, name, shape, Decode::Numbers(runs)))
            }
        }
    }

    /// [`Source::category_of`] of a streamed table or text, without reading its rows.
    ///
    /// Errors as there; and for a source that is in memory.
    pub fn stream_levels(
        &self,
        name: &str,
        levels: &[String],
        missing: Missing,
    ) -> Result<Streamed, DataError> {
        let Content::Packed(packed, file) = &self.content else {
            return Err(self.in_memory(name));
        };
        let (words, column) = self.words_of(packed, file, name, missing)?;
        let places = levels_of(words, levels);
        if let Some(strange) = places.iter().position(|place| *place < 0) {
            let row = words.get(strange).map_or(0, |word| word.at.row as usize);
            let names: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
            return Err(self.strange(&names, strange, row, column, levels));
        }
        let decode = match &packed.about.form {
            Form::Text { .. } => Decode::Character { of_number: places },
            Form::Table { .. } | Form::Idx { .. } => Decode::Level {
                at: 4 * column,
                of_word: places,
            },
        };
        let mut streamed = self.stream(packed, name, Vec::new(), decode);
        streamed.levels = Some(levels.to_vec());
        Ok(streamed)
    }

    /// The different words of a column, sorted as levels are, with the rows of each; none where they are not kept, being too
    /// many. For sources in memory, and IDX files, all rows are gone through.
    ///
    /// Errors as [`Source::category`].
    pub fn levels(
        &self,
        name: &str,
        missing: Missing,
    ) -> Result<Option<Vec<(String, u64)>>, DataError> {
        if let Content::Packed(packed, file) = &self.content
            && !matches!(packed.about.form, Form::Idx { .. })
        {
            let words = match self.words_of(packed, file, name, missing) {
                Ok((words, _)) => words,
                Err(error) if error.code == Code::TooLarge.name() => return Ok(None),
                Err(error) => return Err(error),
            };
            let counts: std::collections::BTreeMap<&str, u64> = words
                .iter()
                .map(|word| (word.text.as_str(), word.count))
                .collect();
            let levels = crate::packed::sorted(words).into_iter().map(|level| {
                let count = counts.get(level.as_str()).copied().unwrap_or(0);
                (level, count)
            });
            return Ok(Some(levels.collect()));
        }
        let column = self.category(name, missing)?;
        let crate::Values::Class { levels, ids } = column.values else {
            return Ok(None);
        };
        let mut rows = vec![0; levels.len()];
        for (row, id) in ids.iter().enumerate() {
            let is_missing = column
                .missing
                .as_ref()
                .is_some_and(|missing| missing.get(row));
            if let Some(rows) = rows.get_mut(*id as usize).filter(|_| !is_missing) {
                *rows += 1;
            }
        }
        Ok(Some(levels.into_iter().zip(rows).collect()))
    }

    /// The words of a streamed column, and where it is in a row.
    fn words_of<'a>(
        &self,
        packed: &'a Packed,
        file: &str,
        name: &str,
        missing: Missing,
    ) -> Result<(&'a [Word], usize), DataError> {
        match &packed.about.form {
            Form::Text { names } => {
                self.only(name, TEXT)?;
                Ok((names, 0))
            }
            Form::Idx { .. } => {
                let help = "a class needs one value a row";
                Err(self.misuse(name, "holds no words", help))
            }
            Form::Table { fields } => {
                let (shape, members) = self.find(&packed.names(), name)?;
                if !shape.is_empty() {
                    let help = "a class needs one column";
                    return Err(self.misuse(name, "is several columns", help));
                }
                let column = members.first().copied().unwrap_or(0);
                let field = fields.get(column).ok_or_else(|| self.unknown(name))?;
                if let Some(at) = field.first_missing.filter(|_| missing == Missing::Refused) {
                    return Err(field.missing_at(file, at));
                }
                Ok((field.known_words(file)?, column))
            }
        }
    }

    /// The word of every row of a streamed column, gathered in memory.
    pub(crate) fn packed_words(
        &self,
        packed: &Arc<Packed>,
        name: &str,
        missing: Missing,
    ) -> Result<Words, DataError> {
        let Content::Packed(_, file) = &self.content else {
            return Err(self.in_memory(name));
        };
        if let Form::Idx { element, shape, .. } = &packed.about.form {
            return self.packed_labels(name, *element, shape);
        }
        let (words, column) = self.words_of(packed, file, name, missing)?;
        let of_word: Vec<i32> = (0..words.len()).map(|number| number as i32).collect();
        let decode = match &packed.about.form {
            Form::Text { .. } => Decode::Character { of_number: of_word },
            Form::Table { .. } | Form::Idx { .. } => Decode::Level {
                at: 4 * column,
                of_word,
            },
        };
        let rows = self.rows();
        let (mut ids, mut gaps) = (Vec::with_capacity(rows), None);
        self.stream(packed, name, Vec::new(), decode)
            .blocks(|_, block| {
                let Elements::I32(block) = block else { return };
                for &id in block {
                    if id < 0 {
                        gaps.get_or_insert_with(|| Bitmap::new(rows)).set(ids.len());
                    }
                    ids.push(id.max(0).cast_unsigned());
                }
            })?;
        Ok(Words {
            names: words.iter().map(|word| word.text.clone()).collect(),
            ids,
            missing: gaps,
            column,
        })
    }

    fn packed_labels(
        &self,
        name: &str,
        element: Element,
        shape: &[u32],
    ) -> Result<Words, DataError> {
        self.only(name, VALUES)?;
        if !shape.is_empty() {
            let help = "a class needs one value a row";
            return Err(self.misuse(name, "holds several values a row", help));
        }
        if element == Element::F32 {
            return Err(self.misuse(name, "holds numbers with fractions", "take it as a number"));
        }
        let mut numbers = Vec::with_capacity(self.rows());
        self.stream_numbers(name, Missing::Refused)?
            .blocks(|_, block| match block {
                Elements::U8(block) => numbers.extend(block.iter().map(|&byte| i32::from(byte))),
                Elements::I32(block) => numbers.extend_from_slice(block),
                Elements::F32(_) => {}
            })?;
        Ok(number_words(numbers.into_iter()))
    }

    fn stream(
        &self,
        packed: &Arc<Packed>,
        name: &str,
        shape: Vec<u32>,
        decode: Decode,
    ) -> Streamed {
        Streamed {
            name: name.to_owned(),
            shape,
            file: self.file().to_owned(),
            levels: None,
            decode,
            parts: vec![Arc::clone(packed)],
        }
    }

    fn in_memory(&self, name: &str) -> DataError {
        self.misuse(name, "is held in memory", "")
    }
}

impl Packed {
    /// Adds line and column to an error about a row: where a word came up first the line is known.
    pub(crate) fn place(&self, error: DataError, row: u64, column: usize) -> DataError {
        let line = |words: &[Word]| {
            let found = words.iter().find(|word| word.at.row == row);
            found.map(|word| word.at.line)
        };
        let (name, line) = match &self.about.form {
            Form::Idx { .. } => (VALUES, None),
            Form::Text { names } => (TEXT, line(names)),
            Form::Table { fields } => match fields.get(column) {
                None => ("", None),
                Some(field) => (field.name.as_str(), field.words.as_deref().and_then(line)),
            },
        };
        let error = error.in_column(name);
        match line {
            Some(line) => error.at_line(line),
            None => error,
        }
    }
}

/// Every column, then every family of columns.
pub(crate) fn packed_columns(packed: &Packed) -> Vec<ColumnInfo> {
    match &packed.about.form {
        Form::Table { .. } => with_families(&packed.names(), packed.columns()),
        Form::Text { .. } => vec![info(TEXT, &[], Kind::Character)],
        Form::Idx { element, shape, .. } => {
            let kind = if *element == Element::F32 {
                Kind::Number
            } else {
                Kind::Whole
            };
            vec![info(VALUES, shape, kind)]
        }
    }
}

fn not_finite(file: &str, row: u64) -> DataError {
    let message = "a value is not a finite number in f32".to_owned();
    let help = "replace nan and infinity before the file is written";
    let error = DataError::new(Code::NotANumber, file, message, help);
    error.at_row(row + 1).in_column(VALUES)
}
