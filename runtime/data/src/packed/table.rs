//! A table of any length, row after row into a packed file. Rows are taken apart by the same scanner as in memory.

use std::collections::BTreeSet;
use std::io::Write;

use super::about::{Form, Spot};
use super::blocks::Blocks;
use super::cache::Aside;
use super::field::{Filling, translate};
use super::{BLOCK, read_at};
use crate::cells::leading_f32;
use crate::error::{Code, DataError};
use crate::scanner::{NEVER_CLOSED, Scanner, delimiter_of};
use crate::stored::Limits;
use crate::table::{CsvOptions, valid};

/// The longest row, in bytes.
const LONGEST_ROW: usize = 64 << 20;

/// The most rows: a row is numbered by 32 bits.
const MOST_ROWS: u64 = u32::MAX as u64 - 1;

/// What a pass over a table came to.
pub(crate) struct Passed {
    pub(crate) form: Form,
    pub(crate) rows: u64,
    /// Columns whose words have to be kept in another pass.
    pub(crate) again: BTreeSet<usize>,
}

/// A pass over a table.
struct Pass<'a> {
    file: &'a str,
    options: CsvOptions,
    limits: &'a Limits,
    forced: &'a BTreeSet<usize>,
    delimiter: u8,
    names: Vec<String>,
    fields: Vec<Filling>,
    rows: u64,
    /// Lines and bytes ahead of the text at hand.
    lines: u64,
    bytes: u64,
    written: Vec<u8>,
}

/// Reads a table to its end, and writes its rows.
pub(crate) fn pack(
    blocks: &mut Blocks,
    file: &str,
    options: CsvOptions,
    limits: &Limits,
    forced: &BTreeSet<usize>,
    out: &mut Aside,
) -> Result<Passed, DataError> {
    let mut pass = Pass {
        file,
        options,
        limits,
        forced,
        delimiter: 0,
        names: Vec::new(),
        fields: Vec::new(),
        rows: 0,
        lines: 0,
        bytes: 0,
        written: Vec::with_capacity(2 * BLOCK),
    };
    let mut buffer = Vec::with_capacity(2 * BLOCK);
    loop {
        let ends = !blocks.next(&mut buffer)?;
        let text = valid(file, &buffer, ends, pass.lines, pass.bytes)?;
        let used = pass.take(text, ends, out)?;
        pass.bytes += used as u64;
        if ends {
            break;
        }
        buffer.drain(..used);
        if buffer.len() > LONGEST_ROW {
            return Err(pass.too_long());
        }
    }
    out.write_all(&pass.written)
        .map_err(|error| out.failed(&error))?;
    pass.finish(out)
}

impl Pass<'_> {
    /// Takes the whole rows of a text; gives how many bytes they are, and counts their lines.
    fn take(&mut self, text: &str, ends: bool, out: &mut Aside) -> Result<usize, DataError> {
        let mut at = 0;
        let mut line = self.lines;
        if self.fields.is_empty() {
            match self.first(text, ends)? {
                None => return Ok(0),
                Some(first) => at = first,
            }
            line += lines_in(text, 0, at);
        }
        let scanner = self.scanner(text);
        // Without quotes every line feed ends a row.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let is_plain = !text.get(..whole).unwrap_or_default().contains('"');
        let mut row = Vec::new();
        loop {
            let is_known = is_plain && at < whole;
            if scanner.ended(at) || !is_known && !self.is_whole(scanner, at, &mut row, ends)? {
                self.lines = line;
                return Ok(at);
            }
            let next = self.row(scanner, at, line)?;
            line += if is_known {
                1
            } else {
                lines_in(text, at, next)
            };
            at = next;
            if self.written.len() >= BLOCK {
                out.write_all(&self.written)
                    .map_err(|error| out.failed(&error))?;
                self.written.clear();
            }
        }
    }

    fn scanner<'t>(&self, text: &'t str) -> Scanner<'t>
    where
        Self: 't,
    {
        Scanner {
            file: self.file,
            text,
            delimiter: self.delimiter,
            lines_before: self.lines,
        }
    }

    /// Reads the names; where the rows begin, or nothing while the first line is not whole.
    fn first(&mut self, text: &str, ends: bool) -> Result<Option<usize>, DataError> {
        let first = if text.starts_with('\u{feff}') { 3 } else { 0 };
        if !ends && !text.contains('\n') {
            return Ok(None);
        }
        self.delimiter = delimiter_of(self.options, text.get(first..).unwrap_or_default());
        let mut row = Vec::new();
        let scanner = self.scanner(text);
        let second = match scanner.first_line(first, &mut row, self.limits) {
            Ok(second) if ends || second < text.len() || text.ends_with('\n') => second,
            Ok(_) => return Ok(None),
            Err(error) if !ends && error.message == NEVER_CLOSED => return Ok(None),
            Err(error) => return Err(error),
        };
        self.names = scanner.names(&row, self.options.header)?;
        let names = self.names.iter().cloned().enumerate();
        let fields = names.map(|(place, name)| Filling::new(name, self.forced.contains(&place)));
        self.fields = fields.collect();
        Ok(Some(if self.options.header { second } else { first }))
    }

    /// Whether the row at `at` ends inside the text.
    fn is_whole(
        &self,
        scanner: Scanner<'_>,
        at: usize,
        row: &mut Vec<u32>,
        ends: bool,
    ) -> Result<bool, DataError> {
        match scanner.record(at, row, self.limits) {
            Ok(next) => Ok(ends || next < scanner.text.len() || scanner.text.ends_with('\n')),
            Err(error) if !ends && error.message == NEVER_CLOSED => Ok(false),
            Err(error) => Err(scanner.in_row(&self.names, error, self.rows + 1, row.len())),
        }
    }

    /// Takes one row; where the next one begins.
    fn row(&mut self, scanner: Scanner<'_>, start: usize, line: u64) -> Result<usize, DataError> {
        let row = self.rows;
        if scanner.empty_line(start) {
            return Err(scanner.ragged(&self.names, start, row + 1, 0));
        }
        if row >= MOST_ROWS {
            return Err(self.too_many());
        }
        let (mut at, mut count, wanted) = (start, 0, self.fields.len());
        let bytes = scanner.text.as_bytes();
        loop {
            if let Some(filling) = self.fields.get(count).filter(|it| it.holds_numbers())
                && let Some((code, next, ends)) = number(bytes, at, self.delimiter, filling)
            {
                self.written.extend_from_slice(&code.to_le_bytes());
                (at, count) = (next, count + 1);
                if ends {
                    break;
                }
                continue;
            }
            let field = scanner.field(at);
            let field =
                field.map_err(|error| scanner.in_row(&self.names, error, row + 1, count + 1))?;
            let place = || Spot {
                row,
                line: line + 1 + lines_in(scanner.text, start, at),
            };
            if let Some(filling) = self.fields.get_mut(count) {
                let code = filling.take(&field.cell, place);
                self.written.extend_from_slice(&code.to_le_bytes());
            }
            count += 1;
            at = field.next;
            if field.last || count as u64 > self.limits.columns {
                break;
            }
        }
        if count != wanted {
            return Err(scanner.ragged(&self.names, start, row + 1, count));
        }
        self.rows += 1;
        Ok(at)
    }

    /// Gives early rows the form of the later ones.
    fn finish(self, out: &mut Aside) -> Result<Passed, DataError> {
        let fields = self.fields.iter().enumerate();
        let again: BTreeSet<usize> = fields
            .filter(|(_, field)| field.overtaken)
            .map(|(place, _)| place)
            .collect();
        let early = self.fields.iter().filter_map(|field| field.early.as_ref());
        let early = early.map(|(rows, _)| *rows).max().unwrap_or(0);
        if again.is_empty() {
            out.change(|file| self.mend(early, file))?;
        }
        Ok(Passed {
            rows: self.rows,
            again,
            form: Form::Table {
                fields: self.fields.into_iter().map(Filling::finish).collect(),
            },
        })
    }

    fn mend(&self, early: u64, file: &mut std::fs::File) -> std::io::Result<()> {
        use std::io::{Seek, SeekFrom};
        let record = 4 * self.fields.len();
        let at_once = (BLOCK / record).max(1) as u64;
        let mut first = 0;
        while first < early {
            let rows = at_once.min(early - first);
            let mut block = vec![0; rows as usize * record];
            read_at(file, first * record as u64, &mut block)?;
            for (row, record) in (first..).zip(block.chunks_exact_mut(record)) {
                for (field, bytes) in self.fields.iter().zip(record.as_chunks_mut().0) {
                    if let Some((until, bits)) = &field.early
                        && row < *until
                    {
                        translate(bytes, bits);
                    }
                }
            }
            file.seek(SeekFrom::Start(first * record as u64))?;
            file.write_all(&block)?;
            first += rows;
        }
        Ok(())
    }

    fn too_long(&self) -> DataError {
        let message = format!("a row is longer than {LONGEST_ROW} bytes");
        let help = "is a quote left open, or does the file have no line feeds?";
        let error = DataError::new(Code::TooLarge, self.file, message, help);
        error.at_line(self.lines + 1).at_row(self.rows + 1)
    }

    fn too_many(&self) -> DataError {
        let message = format!("the table has more than {MOST_ROWS} rows");
        DataError::new(
            Code::TooLarge,
            self.file,
            message,
            "take a part of the rows",
        )
    }
}

/// The number of a cell that holds nothing else: what it is written as, where the next cell starts, and whether the line ends.
#[inline]
fn number(bytes: &[u8], at: usize, delimiter: u8, filling: &Filling) -> Option<(u32, usize, bool)> {
    let rest = bytes.get(at..)?;
    let found = leading_f32(rest)?;
    let code = filling.take_number(found)?;
    let next = at + found.length + 1;
    match rest.get(found.length..)? {
        [end, ..] if *end == delimiter => Some((code, next, false)),
        [b'\n', ..] => Some((code, next, true)),
        [b'\r', b'\n', ..] => Some((code, next + 1, true)),
        _ => None,
    }
}

/// Line feeds between two places.
fn lines_in(text: &str, from: usize, to: usize) -> u64 {
    let bytes = text.as_bytes().get(from..to).unwrap_or_default();
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}
