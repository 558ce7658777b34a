//! A table of text, by the rules [`CsvOptions`] states. Fields stay where they are in the text; only their starts are kept.

use crate::error::{Code, DataError};
use crate::scanner::{Cell, Scanner, delimiter_of};
use crate::stored::{Limits, Stored, check_fields};

/// What stands between fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// The one found most often outside quotes in the first line; of equals tab, then semicolon, then comma.
    #[default]
    Auto,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
}

/// How a table is read: fields, quotes as in RFC 4180, one row a line.
///
/// Spaces around an unquoted field do not count. A missing value is an empty field or an unquoted `NA`. A line feed inside
/// quotes belongs to the field. Lines end in LF or CRLF; empty lines may stand at the end of the file only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// What stands between fields.
    pub delimiter: Delimiter,
    /// Whether the first line names the columns; if not they are `column_1`, `column_2` and so on.
    pub header: bool,
}

impl Default for CsvOptions {
    /// The delimiter is found, the first line is a header.
    fn default() -> Self {
        CsvOptions {
            delimiter: Delimiter::Auto,
            header: true,
        }
    }
}

/// A table whose every row has as many fields as there are names.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    file: String,
    text: String,
    delimiter: u8,
    pub(crate) names: Vec<String>,
    /// Where each field starts in `text`, row after row; the header is not among them.
    starts: Vec<u32>,
}

impl Table {
    pub(crate) fn read(stored: Stored, options: CsvOptions) -> Result<Table, DataError> {
        let Stored {
            file,
            bytes,
            limits,
            ..
        } = stored;
        let text = decode(&file, bytes)?;
        let first = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let mut table = Table {
            file,
            delimiter: delimiter_of(options, text.get(first..).unwrap_or_default()),
            text,
            names: Vec::new(),
            starts: Vec::new(),
        };
        let mut row = Vec::new();
        let second = table.scanner().first_line(first, &mut row, &limits)?;
        table.names = table.scanner().names(&row, options.header)?;
        table.rows_from(if options.header { second } else { first }, &limits)?;
        Ok(table)
    }

    fn scanner(&self) -> Scanner<'_> {
        Scanner {
            file: &self.file,
            text: &self.text,
            delimiter: self.delimiter,
            lines_before: 0,
        }
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn rows(&self) -> usize {
        self.starts.len().checked_div(self.names.len()).unwrap_or(0)
    }

    /// The field in a row and column, both from 0; an empty one past the end.
    pub(crate) fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let start = self.starts.get(row * self.names.len() + column);
        let field = start.and_then(|&start| self.scanner().field(start as usize).ok());
        field.map_or(Cell::empty(), |field| field.cell)
    }

    /// An error about the field in a row and column, both from 0.
    pub(crate) fn error(
        &self,
        code: Code,
        row: usize,
        column: usize,
        message: String,
        help: String,
    ) -> DataError {
        let start = self
            .starts
            .get(row * self.names.len() + column)
            .copied()
            .unwrap_or(0);
        let name = self.names.get(column).map_or("", String::as_str);
        DataError::new(code, &self.file, message, help)
            .at_line(self.scanner().line(start as usize))
            .at_row(row as u64 + 1)
            .in_column(name)
    }

    fn rows_from(&mut self, mut at: usize, limits: &Limits) -> Result<(), DataError> {
        let mut row = Vec::new();
        let mut starts = Vec::new();
        let scanner = self.scanner();
        let mut count = 0u64;
        while !scanner.ended(at) {
            let start = at;
            count += 1;
            if scanner.empty_line(at) {
                return Err(scanner.ragged(&self.names, start, count, 0));
            }
            at = scanner
                .record(at, &mut row, limits)
                .map_err(|error| scanner.in_row(&self.names, error, count, row.len()))?;
            if row.len() != self.names.len() {
                return Err(scanner.ragged(&self.names, start, count, row.len()));
            }
            starts.extend_from_slice(&row);
            check_fields(&self.file, "fields", starts.len() as u64, limits)?;
        }
        self.starts = starts;
        Ok(())
    }
}

/// The bytes as UTF-8, or the line that is not.
pub(crate) fn decode(file: &str, bytes: Vec<u8>) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|cause| {
        let valid = cause.utf8_error().valid_up_to();
        no_utf8(file, cause.as_bytes(), valid, 0, 0)
    })
}

/// The bytes of a stretch that are UTF-8: all, but for a character that is cut by its end, where the file does not `end` there.
/// `lines` and `before` are the lines and bytes ahead of it.
pub(crate) fn valid<'a>(
    file: &str,
    bytes: &'a [u8],
    ends: bool,
    lines: u64,
    before: u64,
) -> Result<&'a str, DataError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(cause) if !ends && cause.error_len().is_none() => {
            let whole = bytes.get(..cause.valid_up_to()).unwrap_or_default();
            Ok(std::str::from_utf8(whole).unwrap_or_default())
        }
        Err(cause) => Err(no_utf8(file, bytes, cause.valid_up_to(), lines, before)),
    }
}

fn no_utf8(file: &str, bytes: &[u8], valid: usize, lines: u64, before: u64) -> DataError {
    let feeds = bytes.iter().take(valid).filter(|&&byte| byte == b'\n');
    let line = lines + 1 + feeds.count() as u64;
    let (message, help) = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] if before == 0 => {
            ("the text is UTF-16", "save the file as UTF-8")
        }
        _ => (
            "the text is not UTF-8",
            "save the file as UTF-8; is it a binary file?",
        ),
    };
    let message = format!("{message}, from byte {} on", before + valid as u64 + 1);
    DataError::new(Code::Format, file, message, help).at_line(line)
}
