//! Columns of a packed source, and what is wrong with them, from what was noted when it was packed.

use std::collections::BTreeMap;

use super::{Field, Form, NO_NUMBER, Odd, Packed, Spot};
use crate::cells::{parse_f32, sorted_levels, why_not_a_number};
use crate::error::{Code, DataError, shown};
use crate::gather::{missing_value, why_not_whole};
use crate::source::{ColumnInfo, Kind, Missing};
use crate::streamed::Run;

impl Packed {
    /// The fields of a table.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.about.form {
            Form::Table { fields } => fields,
            Form::Idx { .. } | Form::Text { .. } => &[],
        }
    }

    /// The names of a table's columns.
    pub(crate) fn names(&self) -> Vec<String> {
        self.fields()
            .iter()
            .map(|field| field.name.clone())
            .collect()
    }

    /// Every column of a table by itself.
    pub(crate) fn columns(&self) -> Vec<ColumnInfo> {
        let info = |field: &Field| ColumnInfo {
            name: field.name.clone(),
            shape: Vec::new(),
            kind: field.kind(),
            missing: field.missing,
        };
        self.fields().iter().map(info).collect()
    }

    /// The first cell of some columns, row after row, that is no number, or missing where none may be.
    pub(crate) fn check_numbers(
        &self,
        file: &str,
        members: &[usize],
        missing: Missing,
    ) -> Result<(), DataError> {
        let mut first: Option<(u64, DataError)> = None;
        for field in members
            .iter()
            .filter_map(|&member| self.fields().get(member))
        {
            let gap = field.first_missing.filter(|_| missing == Missing::Refused);
            let gap = gap.map(|at| (at.row, field.missing_at(file, at)));
            let odd = field.word.as_ref().map(|odd| {
                let (what, help) = why_not_a_number(&odd.text);
                (odd.at.row, field.odd_at(file, odd, what, help))
            });
            for (row, error) in gap.into_iter().chain(odd) {
                if first.as_ref().is_none_or(|(least, _)| row < *least) {
                    first = Some((row, error));
                }
            }
        }
        first.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The first cell of some columns that is no whole number of 32 bits.
    pub(crate) fn check_whole(&self, file: &str, members: &[usize]) -> Result<(), DataError> {
        let fields = members
            .iter()
            .filter_map(|&member| self.fields().get(member));
        let odd = fields.filter_map(|field| Some((field, field.fraction.as_ref()?)));
        match odd.min_by_key(|(_, odd)| odd.at.row) {
            None => Ok(()),
            Some((field, odd)) => {
                let (what, help) = why_not_whole(&odd.text);
                Err(field.odd_at(file, odd, what, help))
            }
        }
    }
}

impl Field {
    /// The narrowest kind all its values are of.
    pub(crate) fn kind(&self) -> Kind {
        match (&self.word, &self.fraction) {
            (Some(_), _) => Kind::Category,
            (None, Some(_)) => Kind::Number,
            (None, None) => Kind::Whole,
        }
    }

    pub(crate) fn missing_at(&self, file: &str, at: Spot) -> DataError {
        let (message, help) = missing_value(&self.name);
        self.error(Code::MissingValue, file, at, message, help)
    }

    fn odd_at(&self, file: &str, odd: &Odd, what: &str, help: String) -> DataError {
        let message = format!("`{}` {what}", shown(&odd.text));
        self.error(Code::NotANumber, file, odd.at, message, help)
    }

    /// An error about a cell.
    pub(crate) fn error(
        &self,
        code: Code,
        file: &str,
        at: Spot,
        message: String,
        help: String,
    ) -> DataError {
        let error = DataError::new(code, file, message, help);
        error
            .at_line(at.line)
            .at_row(at.row + 1)
            .in_column(&self.name)
    }

    /// The words of the column, or why they are not kept.
    pub(crate) fn known_words(&self, file: &str) -> Result<&[super::Word], DataError> {
        if let Some(words) = &self.words {
            return Ok(words);
        }
        let what = if self.lost { "words" } else { "numbers" };
        let message = format!(
            "`{}` has too many different {what} for classes",
            shown(&self.name)
        );
        let help = match self.lost {
            true => "leave the column out, or replace its words by numbers".to_owned(),
            false => "take the column as a number".to_owned(),
        };
        let error = DataError::new(Code::TooLarge, file, message, help);
        Err(error.in_column(&self.name))
    }
}

/// A member of a column of numbers: where it is in a row, and how it becomes a number.
pub(crate) fn member_of(member: usize, field: &Field) -> Run {
    let at = 4 * member;
    match &field.words {
        None => Run::Bits { at, count: 1 },
        Some(words) => Run::Words {
            at,
            bits: member_values(words),
        },
    }
}

/// The bits of the numbers that words are.
pub(crate) fn member_values(words: &[super::Word]) -> Vec<u32> {
    let bits = |text: &str| parse_f32(text).map_or(NO_NUMBER, f32::to_bits);
    words.iter().map(|word| bits(&word.text)).collect()
}

/// The levels that words are, sorted; and each word's place among `levels`, −1 where it is none of them.
pub(crate) fn levels_of(words: &[super::Word], levels: &[String]) -> Vec<i32> {
    let index: BTreeMap<&str, i32> = levels.iter().map(String::as_str).zip(0..).collect();
    let place = |word: &super::Word| index.get(word.text.as_str()).copied().unwrap_or(-1);
    words.iter().map(place).collect()
}

/// The different words, sorted as levels are.
pub(crate) fn sorted(words: &[super::Word]) -> Vec<String> {
    sorted_levels(words.iter().map(|word| word.text.clone()).collect())
}
