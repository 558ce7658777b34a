//! One column of a table while it is read: its cells become words while they are few, and numbers beyond.

use super::about::{Field, Odd, Spot};
use super::words::Words;
use super::{NO_NUMBER, NO_WORD};
use crate::cells::{Leading, parse_f32, parse_i32};
use crate::scanner::Cell;

/// Different numbers beyond which a column holds numbers and no words.
pub(crate) const MOST_NUMBERS: usize = 4096;

/// Different words of a column that are kept.
const MOST_WORDS: usize = 1 << 20;

/// Bytes of a column's words that are kept.
const MOST_BYTES: usize = 64 << 20;

/// Characters of a cell that are kept for a message.
const KEPT: usize = 80;

/// A column while it is read.
#[derive(Debug)]
pub(crate) struct Filling {
    name: String,
    holds: Holds,
    /// Whether words are kept however many they are.
    forced: bool,
    /// Whether a word came up behind so many numbers that those were not kept as words.
    pub(crate) overtaken: bool,
    missing: u64,
    first_missing: Option<Spot>,
    fraction: Option<Odd>,
    word: Option<Odd>,
    /// Rows ahead of which numbers of words were written, and the bits of those words.
    pub(crate) early: Option<(u64, Vec<u32>)>,
}

#[derive(Debug)]
enum Holds {
    Words(Words),
    Numbers,
    Nothing,
}

impl Filling {
    pub(crate) fn new(name: String, forced: bool) -> Self {
        Filling {
            name,
            holds: Holds::Words(Words::default()),
            forced,
            overtaken: false,
            missing: 0,
            first_missing: None,
            fraction: None,
            word: None,
            early: None,
        }
    }

    /// What a cell is written as; `at` tells its place.
    #[inline]
    pub(crate) fn take(&mut self, cell: &Cell<'_>, at: impl Fn() -> Spot) -> u32 {
        if cell.is_missing() {
            self.missing += 1;
            self.first_missing.get_or_insert_with(at);
            return match self.holds {
                Holds::Numbers => NO_NUMBER,
                Holds::Words(_) | Holds::Nothing => NO_WORD,
            };
        }
        let text = &*cell.text;
        if let Holds::Words(words) = &mut self.holds
            && let Some(known) = words.known(text)
        {
            return known;
        }
        let number = self.number(text, &at);
        match (&mut self.holds, number) {
            (Holds::Numbers, Some(number)) => number.to_bits(),
            (Holds::Numbers, None) => {
                self.overtaken = true;
                self.holds = Holds::Nothing;
                NO_WORD
            }
            (Holds::Words(words), _) => {
                let id = words.add(text, at());
                self.limit(at().row).unwrap_or(id)
            }
            (Holds::Nothing, _) => NO_WORD,
        }
    }

    /// What a cell is written as that starts with a number, where that is all there is to say.
    #[inline]
    pub(crate) fn take_number(&self, number: Leading) -> Option<u32> {
        let is_known = number.is_whole || self.fraction.is_some();
        (is_known && matches!(self.holds, Holds::Numbers)).then_some(number.value.to_bits())
    }

    /// Whether most cells are no news.
    #[inline]
    pub(crate) fn holds_numbers(&self) -> bool {
        matches!(self.holds, Holds::Numbers)
    }

    /// The number a cell holds, and whether it is the first of another kind.
    fn number(&mut self, text: &str, at: &impl Fn() -> Spot) -> Option<f32> {
        let odd = || Odd {
            at: at(),
            text: text.chars().take(KEPT).collect(),
        };
        if self.word.is_some() {
            return None;
        }
        if self.fraction.is_none() {
            match parse_i32(text) {
                // The whole number nothing has a sign as a float.
                Some(0) => return parse_f32(text),
                Some(whole) => return Some(whole as f32),
                None => self.fraction = Some(odd()),
            }
        }
        let number = parse_f32(text);
        if number.is_none() {
            self.word = Some(odd());
        }
        number
    }

    /// Turns to numbers, or gives up, where the words have become too many; what the word just added is written as then.
    fn limit(&mut self, row: u64) -> Option<u32> {
        let Holds::Words(words) = &self.holds else {
            return None;
        };
        if self.word.is_none() && !self.forced && words.len() > MOST_NUMBERS {
            let bits = |text: &str| parse_f32(text).map_or(NO_NUMBER, f32::to_bits);
            let bits: Vec<u32> = words.words().iter().map(|word| bits(&word.text)).collect();
            let last = bits.last().copied();
            self.early = Some((row, bits));
            self.holds = Holds::Numbers;
            return last;
        }
        if words.len() > MOST_WORDS || words.bytes() > MOST_BYTES {
            self.holds = Holds::Nothing;
            return Some(NO_WORD);
        }
        None
    }

    /// What is known once all rows are read.
    pub(crate) fn finish(self) -> Field {
        let lost = matches!(self.holds, Holds::Nothing);
        Field {
            name: self.name,
            missing: self.missing,
            first_missing: self.first_missing,
            fraction: self.fraction,
            word: self.word,
            words: match self.holds {
                Holds::Words(words) => Some(words.into_words()),
                Holds::Numbers | Holds::Nothing => None,
            },
            lost,
        }
    }
}

/// Turns numbers of words, as they were written ahead of `early`, into the bits they stand for.
pub(crate) fn translate(field: &mut [u8; 4], bits: &[u32]) {
    let found = match u32::from_le_bytes(*field) {
        NO_WORD => NO_NUMBER,
        word => bits.get(word as usize).copied().unwrap_or(NO_NUMBER),
    };
    *field = found.to_le_bytes();
}
