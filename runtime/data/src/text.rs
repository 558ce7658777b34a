//! A text as a sequence of characters: one row a character, exactly as stored but for a byte order mark.

use std::collections::BTreeMap;

use crate::error::{Code, DataError};
use crate::stored::{Stored, check_fields};
use crate::table::decode;

/// The name of a text's one column.
pub(crate) const TEXT: &str = "text";

#[derive(Clone, Debug)]
pub(crate) struct Text {
    file: String,
    text: String,
    pub(crate) characters: usize,
}

impl Text {
    pub(crate) fn read(stored: Stored) -> Result<Text, DataError> {
        let mut text = decode(&stored.file, stored.bytes)?;
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let characters = text.chars().count();
        check_fields(
            &stored.file,
            "characters",
            characters as u64,
            &stored.limits,
        )?;
        Ok(Text {
            file: stored.file,
            text,
            characters,
        })
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Each character's place in order of first sight, and those characters.
    pub(crate) fn interned(&self) -> (Vec<String>, Vec<u32>) {
        let mut seen: BTreeMap<char, u32> = BTreeMap::new();
        let mut names = Vec::new();
        let mut ids = Vec::with_capacity(self.characters);
        for character in self.text.chars() {
            let next = names.len() as u32;
            let id = *seen.entry(character).or_insert(next);
            if id == next {
                names.push(character.to_string());
            }
            ids.push(id);
        }
        (names, ids)
    }

    pub(crate) fn error(&self, code: Code, row: usize, message: String, help: String) -> DataError {
        let line = 1 + self
            .text
            .chars()
            .take(row)
            .filter(|&character| character == '\n')
            .count() as u64;
        DataError::new(code, &self.file, message, help)
            .at_line(line)
            .at_row(row as u64 + 1)
            .in_column(TEXT)
    }
}
