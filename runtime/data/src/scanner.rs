//! Fields and lines of a table's text, or of a stretch of it that starts with a line.

use std::borrow::Cow;

use crate::error::{Code, DataError, shown};
use crate::stored::Limits;
use crate::table::{CsvOptions, Delimiter};

/// The content of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell<'a> {
    pub(crate) text: Cow<'a, str>,
    quoted: bool,
}

impl Cell<'_> {
    /// The cell of a place that is not there.
    pub(crate) fn empty() -> Self {
        Cell {
            text: Cow::Borrowed(""),
            quoted: false,
        }
    }

    /// Whether the field stands for a missing value.
    pub(crate) fn is_missing(&self) -> bool {
        self.text.is_empty() || (!self.quoted && self.text == "NA")
    }
}

/// What is said of a quote that the text ends in.
pub(crate) const NEVER_CLOSED: &str = "this quote is never closed";

/// A stretch of text and how it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    /// The file as it is shown in errors.
    pub(crate) file: &'a str,
    /// Whole lines, but perhaps for the last.
    pub(crate) text: &'a str,
    /// What stands between fields.
    pub(crate) delimiter: u8,
    /// Lines of the file ahead of this text.
    pub(crate) lines_before: u64,
}

impl<'a> Scanner<'a> {
    /// The line of a place in the text, from 1.
    pub(crate) fn line(&self, at: usize) -> u64 {
        self.lines_before
            + 1
            + self
                .text
                .bytes()
                .take(at)
                .filter(|&byte| byte == b'\n')
                .count() as u64
    }

    /// Whether nothing but empty lines is left.
    pub(crate) fn ended(&self, at: usize) -> bool {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        rest.iter().all(|byte| matches!(byte, b'\n' | b'\r'))
    }

    pub(crate) fn empty_line(&self, at: usize) -> bool {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    }

    /// The names of the columns: the first line's fields, or numbers where it is no header.
    ///
    /// Errors: two columns of one name.
    pub(crate) fn names(self, row: &[u32], header: bool) -> Result<Vec<String>, DataError> {
        if !header {
            return Ok((1..=row.len())
                .map(|number| format!("column_{number}"))
                .collect());
        }
        let mut names = Vec::with_capacity(row.len());
        for &start in row {
            names.push(self.field(start as usize)?.cell.text.into_owned());
        }
        let known = names.iter().map(String::as_str);
        let mut sorted: Vec<&str> = known.filter(|name| !name.is_empty()).collect();
        sorted.sort_unstable();
        let doubled = sorted.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        });
        match doubled {
            None => Ok(names),
            Some(name) => {
                let message = format!("two columns are named `{}`", shown(name));
                let help = "rename one of them in the header";
                let error = DataError::new(Code::Format, self.file, message, help);
                Err(error.at_line(1).in_column(name))
            }
        }
    }

    /// What can be wrong with the beginning of a table, and where its first line ends: the starts of its fields go to `row`.
    pub(crate) fn first_line(
        self,
        first: usize,
        row: &mut Vec<u32>,
        limits: &Limits,
    ) -> Result<usize, DataError> {
        if self.ended(first) {
            let message = "the file is empty".to_owned();
            let help = "a table needs at least one line";
            return Err(DataError::new(Code::Truncated, self.file, message, help));
        }
        if !self.text.contains('\n') && self.text.trim_end_matches('\r').contains('\r') {
            let message = "the lines end in a carriage return alone".to_owned();
            return Err(self.broken(first, message, "save the file with line feeds"));
        }
        if self.empty_line(first) {
            return Err(self.broken(first, "the first line is empty".to_owned(), "remove it"));
        }
        let second = self.record(first, row, limits)?;
        self.check_columns(row.len(), limits)?;
        Ok(second)
    }

    pub(crate) fn check_columns(self, columns: usize, limits: &Limits) -> Result<(), DataError> {
        if columns as u64 <= limits.columns {
            return Ok(());
        }
        let message = format!(
            "the table has {columns} columns, at most {} may be read",
            limits.columns
        );
        Err(DataError::new(
            Code::TooLarge,
            self.file,
            message,
            "drop columns, or store them as an IDX file",
        ))
    }

    /// An error in the last of the `fields` of a row that were begun.
    pub(crate) fn in_row(
        self,
        names: &[String],
        error: DataError,
        row: u64,
        fields: usize,
    ) -> DataError {
        let error = error.at_row(row);
        match names.get(fields.saturating_sub(1)) {
            Some(name) => error.in_column(name),
            None => error,
        }
    }

    pub(crate) fn ragged(
        self,
        names: &[String],
        start: usize,
        row: u64,
        fields: usize,
    ) -> DataError {
        let wanted = names.len();
        let (message, help) = if fields == 0 {
            ("the line is empty".to_owned(), "remove it".to_owned())
        } else if fields < wanted {
            let name = names.get(fields).map_or("", String::as_str);
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
        let error = DataError::new(Code::RaggedRow, self.file, message, help);
        error.at_line(self.line(start)).at_row(row)
    }

    /// Puts the starts of one line's fields into `starts` and returns where the next line starts. A line of too many
    /// fields is left after one more than `limits.columns`, which both callers refuse.
    pub(crate) fn record(
        self,
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

    pub(crate) fn field(self, start: usize) -> Result<Field<'a>, DataError> {
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
    fn quoted(self, start: usize, inside: &'a str, blank: &[char]) -> Result<Field<'a>, DataError> {
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
                        NEVER_CLOSED.to_owned(),
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

    pub(crate) fn broken(self, start: usize, message: String, help: &str) -> DataError {
        DataError::new(Code::Format, self.file, message, help).at_line(self.line(start))
    }
}

pub(crate) struct Field<'a> {
    pub(crate) cell: Cell<'a>,
    /// Where the next field or line starts.
    pub(crate) next: usize,
    /// Whether the line ends with this field.
    pub(crate) last: bool,
}

/// What stands between the fields of a text that starts like this.
pub(crate) fn delimiter_of(options: CsvOptions, text: &str) -> u8 {
    match options.delimiter {
        Delimiter::Auto => find_delimiter(text),
        Delimiter::Comma => b',',
        Delimiter::Semicolon => b';',
        Delimiter::Tab => b'\t',
    }
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
