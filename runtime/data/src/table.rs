//! A table of text, by the rules [`CsvOptions`] states. Fields stay where they are in the text; only their starts are kept.

use std::borrow::Cow;

use crate::error::{Code, DataError, shown};
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

/// The content of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell<'a> {
    pub(crate) text: Cow<'a, str>,
    quoted: bool,
}

impl Cell<'_> {
    /// Whether the field stands for a missing value.
    pub(crate) fn is_missing(&self) -> bool {
        self.text.is_empty() || (!self.quoted && self.text == "NA")
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
        let delimiter = match options.delimiter {
            Delimiter::Auto => find_delimiter(text.get(first..).unwrap_or_default()),
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
        };
        let mut table = Table {
            file,
            text,
            delimiter,
            names: Vec::new(),
            starts: Vec::new(),
        };
        table.names_and_rows(first, options.header, &limits)?;
        Ok(table)
    }

    fn names_and_rows(
        &mut self,
        first: usize,
        header: bool,
        limits: &Limits,
    ) -> Result<(), DataError> {
        if self.ended(first) {
            let message = "the file is empty".to_owned();
            return Err(DataError::new(
                Code::Truncated,
                &self.file,
                message,
                "a table needs at least one line",
            ));
        }
        if !self.text.contains('\n') && self.text.trim_end_matches('\r').contains('\r') {
            let message = "the lines end in a carriage return alone".to_owned();
            return Err(self.broken(first, message, "save the file with line feeds"));
        }
        if self.empty_line(first) {
            return Err(self.broken(first, "the first line is empty".to_owned(), "remove it"));
        }
        let mut row = Vec::new();
        let second = self.record(first, &mut row, limits)?;
        self.check_columns(row.len(), limits)?;
        self.name_columns(&row, header)?;
        self.rows_from(if header { second } else { first }, limits)
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
        let field = start.and_then(|&start| self.field(start as usize).ok());
        field.map_or(
            Cell {
                text: Cow::Borrowed(""),
                quoted: false,
            },
            |field| field.cell,
        )
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
            .at_line(self.line(start as usize))
            .at_row(row as u64 + 1)
            .in_column(name)
    }

    fn line(&self, at: usize) -> u64 {
        1 + self
            .text
            .bytes()
            .take(at)
            .filter(|&byte| byte == b'\n')
            .count() as u64
    }

    fn check_columns(&self, columns: usize, limits: &Limits) -> Result<(), DataError> {
        if columns as u64 <= limits.columns {
            return Ok(());
        }
        let message = format!(
            "the table has {columns} columns, at most {} may be read",
            limits.columns
        );
        Err(DataError::new(
            Code::TooLarge,
            &self.file,
            message,
            "drop columns, or store them as an IDX file",
        ))
    }

    fn name_columns(&mut self, row: &[u32], header: bool) -> Result<(), DataError> {
        if !header {
            self.names = (1..=row.len())
                .map(|number| format!("column_{number}"))
                .collect();
            return Ok(());
        }
        for &start in row {
            self.names
                .push(self.field(start as usize)?.cell.text.into_owned());
        }
        let mut sorted: Vec<&str> = self
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .collect();
        sorted.sort_unstable();
        match sorted
            .windows(2)
            .find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]))
        {
            None => Ok(()),
            Some(name) => {
                let message = format!("two columns are named `{}`", shown(name));
                Err(DataError::new(
                    Code::Format,
                    &self.file,
                    message,
                    "rename one of them in the header",
                )
                .at_line(1)
                .in_column(name))
            }
        }
    }

    fn rows_from(&mut self, mut at: usize, limits: &Limits) -> Result<(), DataError> {
        let mut row = Vec::new();
        let mut count = 0u64;
        while !self.ended(at) {
            let start = at;
            count += 1;
            if self.empty_line(at) {
                return Err(self.ragged(start, count, 0));
            }
            at = self
                .record(at, &mut row, limits)
                .map_err(|error| self.in_row(error, count, row.len()))?;
            if row.len() != self.names.len() {
                return Err(self.ragged(start, count, row.len()));
            }
            self.starts.extend_from_slice(&row);
            check_fields(&self.file, "fields", self.starts.len() as u64, limits)?;
        }
        Ok(())
    }

    /// An error in the last of the `fields` of a row that were begun.
    fn in_row(&self, error: DataError, row: u64, fields: usize) -> DataError {
        let error = error.at_row(row);
        match self.names.get(fields.saturating_sub(1)) {
            Some(name) => error.in_column(name),
            None => error,
        }
    }

    fn ragged(&self, start: usize, row: u64, fields: usize) -> DataError {
        let wanted = self.names.len();
        let (message, help) = if fields == 0 {
            ("the line is empty".to_owned(), "remove it".to_owned())
        } else if fields < wanted {
            let name = self.names.get(fields).map_or("", String::as_str);
            let message = format!("the row has {fields} fields, the table has {wanted} columns");
            (
                message,
                format!("`{}` and what follows it are missing", shown(name)),
            )
        } else {
            let message = format!("the row has {fields} fields, the table has {wanted} columns");
            (
                message,
                "put a field that holds the delimiter in quotes".to_owned(),
            )
        };
        let error = DataError::new(Code::RaggedRow, &self.file, message, help);
        error.at_line(self.line(start)).at_row(row)
    }

    /// Whether nothing but empty lines is left.
    fn ended(&self, at: usize) -> bool {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        rest.iter().all(|byte| matches!(byte, b'\n' | b'\r'))
    }

    fn empty_line(&self, at: usize) -> bool {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    }

    /// Puts the starts of one line's fields into `starts` and returns where the next line starts. A line of too many
    /// fields is left after one more than `limits.columns`, which both callers refuse.
    fn record(
        &self,
        mut at: usize,
        starts: &mut Vec<u32>,
        limits: &Limits,
    ) -> Result<usize, DataError> {
        starts.clear();
        loop {
            starts.push(u32::try_from(at).unwrap_or(u32::MAX));
            let field = self.field(at)?;
            at = field.next;
            if field.last || starts.len() as u64 > limits.columns {
                return Ok(at);
            }
        }
    }

    fn field(&self, start: usize) -> Result<Field<'_>, DataError> {
        let rest = self.text.get(start..).unwrap_or_default();
        let blank: &[char] = if self.delimiter == b'\t' {
            &[' ']
        } else {
            &[' ', '\t']
        };
        if let Some(inside) = rest.strip_prefix('"') {
            return self.quoted(start, inside, blank);
        }
        let stop = |byte: &u8| *byte == self.delimiter || *byte == b'\n';
        let end = rest.as_bytes().iter().position(stop).unwrap_or(rest.len());
        let raw = rest.get(..end).unwrap_or_default();
        let after = rest.as_bytes().get(end).copied();
        let line_ends = after != Some(self.delimiter);
        let raw = if line_ends {
            raw.strip_suffix('\r').unwrap_or(raw)
        } else {
            raw
        };
        let ends_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        // Most fields have nothing to trim, and this is seen sooner than trimmed.
        let text = match ends_blank(raw.as_bytes().first()) || ends_blank(raw.as_bytes().last()) {
            true => raw.trim_matches(blank),
            false => raw,
        };
        if text.starts_with('"') {
            let message = "a space stands before a quote".to_owned();
            return Err(self.broken(
                start,
                message,
                "remove the space, so that the field starts with its quote",
            ));
        }
        let next = start + end + usize::from(after.is_some());
        Ok(Field {
            cell: Cell {
                text: Cow::Borrowed(text),
                quoted: false,
            },
            next,
            last: line_ends,
        })
    }

    /// A field in quotes; `inside` is what follows the opening one.
    fn quoted<'a>(
        &self,
        start: usize,
        inside: &'a str,
        blank: &[char],
    ) -> Result<Field<'a>, DataError> {
        let bytes = inside.as_bytes();
        let mut end = 0;
        let mut doubled = false;
        loop {
            match bytes
                .get(end..)
                .and_then(|rest| rest.iter().position(|&byte| byte == b'"'))
            {
                None => {
                    return Err(self.broken(
                        start,
                        "this quote is never closed".to_owned(),
                        "add `\"` at the end of the field",
                    ));
                }
                Some(length) if bytes.get(end + length + 1) == Some(&b'"') => {
                    doubled = true;
                    end += length + 2;
                }
                Some(length) => {
                    end += length;
                    break;
                }
            }
        }
        let raw = inside.get(..end).unwrap_or_default();
        let text = if doubled {
            Cow::Owned(raw.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(raw)
        };
        let rest = inside.get(end + 1..).unwrap_or_default();
        let tail = rest.trim_start_matches(blank);
        let tail = tail
            .strip_prefix('\r')
            .filter(|after| after.is_empty() || after.starts_with('\n'))
            .unwrap_or(tail);
        let first = tail.as_bytes().first().copied();
        if first.is_some_and(|byte| byte != self.delimiter && byte != b'\n') {
            let message = "text stands after a closing quote".to_owned();
            return Err(self.broken(
                start,
                message,
                "write a quote inside a quoted field twice: `\"\"`",
            ));
        }
        let next = start + 2 + end + (rest.len() - tail.len()) + usize::from(first.is_some());
        Ok(Field {
            cell: Cell { text, quoted: true },
            next,
            last: first != Some(self.delimiter),
        })
    }

    fn broken(&self, start: usize, message: String, help: &str) -> DataError {
        DataError::new(Code::Format, &self.file, message, help).at_line(self.line(start))
    }
}

struct Field<'a> {
    cell: Cell<'a>,
    /// Where the next field or line starts.
    next: usize,
    /// Whether the line ends with this field.
    last: bool,
}

/// The bytes as UTF-8, or the line that is not.
pub(crate) fn decode(file: &str, bytes: Vec<u8>) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|cause| {
        let valid = cause.utf8_error().valid_up_to();
        let line = 1 + cause
            .as_bytes()
            .iter()
            .take(valid)
            .filter(|&&byte| byte == b'\n')
            .count() as u64;
        let (message, help) = match cause.as_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("the text is UTF-16", "save the file as UTF-8"),
            _ => (
                "the text is not UTF-8",
                "save the file as UTF-8; is it a binary file?",
            ),
        };
        let message = format!("{message}, from byte {} on", valid + 1);
        DataError::new(Code::Format, file, message, help).at_line(line)
    })
}

fn find_delimiter(text: &str) -> u8 {
    let mut counts = [(0u32, b'\t'), (0, b';'), (0, b',')];
    let mut inside = false;
    for byte in text.bytes() {
        match byte {
            b'"' => inside = !inside,
            b'\n' if !inside => break,
            _ if inside => {}
            _ => {
                if let Some(count) = counts.iter_mut().find(|(_, delimiter)| *delimiter == byte) {
                    count.0 += 1;
                }
            }
        }
    }
    let most = counts.iter().map(|&(count, _)| count).max().unwrap_or(0);
    let found = counts
        .iter()
        .find(|&&(count, _)| count == most && count > 0);
    found.map_or(b',', |&(_, delimiter)| delimiter)
}
