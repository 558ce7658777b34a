//! The different words of a column, numbered in order of first sight.

use std::collections::HashMap;

use super::about::{Spot, Word};
use crate::gather::{SMALL, small_number};

/// The different words of a column.
#[derive(Debug, Default)]
pub(crate) struct Words {
    words: Vec<Word>,
    /// Looked up only, never gone through.
    numbers: HashMap<String, u32>,
    /// The same for whole numbers below [`SMALL`].
    small: Vec<Option<u32>>,
    last: usize,
    bytes: usize,
}

impl Words {
    /// The number of a word that was seen before.
    pub(crate) fn known(&mut self, text: &str) -> Option<u32> {
        let is_last = |word: &&mut Word| word.text == text;
        if let Some(word) = self.words.get_mut(self.last).filter(is_last) {
            word.count += 1;
            return Some(self.last as u32);
        }
        let number = match small_number(text) {
            Some(small) => self.small.get(small).copied().flatten(),
            None => self.numbers.get(text).copied(),
        }?;
        self.last = number as usize;
        if let Some(word) = self.words.get_mut(self.last) {
            word.count += 1;
        }
        Some(number)
    }

    /// Numbers a word that comes up for the first time.
    pub(crate) fn add(&mut self, text: &str, at: Spot) -> u32 {
        let number = self.words.len() as u32;
        self.last = self.words.len();
        self.words.push(Word {
            text: text.to_owned(),
            at,
            count: 1,
        });
        self.bytes += text.len();
        match small_number(text) {
            Some(small) => {
                self.small.resize(SMALL, None);
                if let Some(place) = self.small.get_mut(small) {
                    *place = Some(number);
                }
            }
            None => {
                self.numbers.insert(text.to_owned(), number);
            }
        }
        number
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Their bytes in all.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them in order.
    pub(crate) fn into_words(self) -> Vec<Word> {
        self.words
    }

    /// All of them in order.
    pub(crate) fn words(&self) -> &[Word] {
        &self.words
    }
}
