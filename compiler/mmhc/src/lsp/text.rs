//! Bytes of a text and the protocol's lines and columns, in either encoding.

use crate::findings::boundary;
use lsp_types::{Position, Range};
use mmh_diag::Span;

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes.
    Utf8,
    /// Units of UTF-16, which every client knows.
    Utf16,
}

/// A text and where its lines start.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    encoding: Encoding,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, encoding: Encoding) -> Self {
        let mut starts = vec![0];
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let alone = *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n');
            if *byte == b'\n' || alone {
                starts.push(at + 1);
            }
        }
        Self {
            text,
            starts,
            encoding,
        }
    }

    /// Where a byte stands. A byte inside a character counts as its start.
    pub(super) fn position(&self, offset: u32) -> Position {
        let offset = boundary(self.text, offset as usize);
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let start = self.starts.get(line).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or("");
        Position::new(line as u32, self.length(before))
    }

    pub(super) fn range(&self, span: Span) -> Range {
        Range::new(self.position(span.start), self.position(span.end))
    }

    /// Columns of a text.
    pub(super) fn length(&self, text: &str) -> u32 {
        match self.encoding {
            Encoding::Utf8 => text.len() as u32,
            Encoding::Utf16 => text.chars().map(|letter| letter.len_utf16() as u32).sum(),
        }
    }

    /// The byte at a place; beyond the end of a line, its end, and beyond the text, the end of it.
    pub(super) fn offset(&self, position: Position) -> u32 {
        let Some(&start) = self.starts.get(position.line as usize) else {
            return self.text.len() as u32;
        };
        let next = self.starts.get(position.line as usize + 1).copied();
        let line = self
            .text
            .get(start..next.unwrap_or(self.text.len()))
            .unwrap_or("")
            .trim_end_matches(['\n', '\r']);
        let inside = match self.encoding {
            Encoding::Utf8 => boundary(line, position.character as usize),
            Encoding::Utf16 => {
                let mut units = 0;
                let mut letters = line.char_indices();
                let beyond = letters.find(|(_, letter)| {
                    units += letter.len_utf16() as u32;
                    units > position.character
                });
                beyond.map_or(line.len(), |(at, _)| at)
            }
        };
        (start + inside) as u32
    }

    pub(super) fn span(&self, range: Range) -> Span {
        let (start, end) = (self.offset(range.start), self.offset(range.end));
        Span::new(start, end.max(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n// 😀ä b\r\nlast";

    #[test]
    fn every_boundary_goes_there_and_back() {
        for encoding in [Encoding::Utf8, Encoding::Utf16] {
            let lines = Lines::new(TEXT, encoding);
            for (at, letter) in TEXT.char_indices() {
                if !matches!(letter, '\n' | '\r') {
                    assert_eq!(lines.offset(lines.position(at as u32)), at as u32);
                }
            }
        }
    }

    #[test]
    fn columns_count_what_was_agreed() {
        let after = TEXT.find('ä').expect("it") as u32;
        let column = |encoding| Lines::new(TEXT, encoding).position(after).character;
        assert_eq!(column(Encoding::Utf8), 7);
        assert_eq!(column(Encoding::Utf16), 5);
    }

    #[test]
    fn places_that_are_not_there_are_the_nearest() {
        let lines = Lines::new(TEXT, Encoding::Utf16);
        let inside_pair = Position::new(1, 4);
        assert_eq!(
            lines.offset(inside_pair),
            TEXT.find('😀').expect("it") as u32
        );
        assert_eq!(lines.offset(Position::new(0, 99)), 5);
        assert_eq!(lines.offset(Position::new(99, 0)), TEXT.len() as u32);
        let backwards = Range::new(Position::new(2, 2), Position::new(0, 0));
        assert!(lines.span(backwards).is_empty());
    }
}
