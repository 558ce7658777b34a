//! What can be wrong with data, in words a user can act on.

use std::fmt;

/// The closed set of codes a [`DataError`] carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The file is not there or cannot be read.
    MissingFile,
    /// The file's blake3 is not the one the recipe pins.
    WrongHash,
    /// No column or family of columns has that name.
    UnknownColumn,
    /// A field is not a number, or not one of the kind asked for.
    NotANumber,
    /// A row has more or fewer fields than the header.
    RaggedRow,
    /// A label lies outside the classes.
    ClassRange,
    /// The file ends too early.
    Truncated,
    /// A part of the split gets no row.
    EmptySplit,
    /// A value is missing where none may be.
    MissingValue,
    /// The file is not in the format it is read as.
    Format,
    /// The file is larger than the limits allow.
    TooLarge,
    /// The rows of a file that is streamed cannot be kept or read.
    Cache,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Code; 12] = [
        Code::MissingFile,
        Code::WrongHash,
        Code::UnknownColumn,
        Code::NotANumber,
        Code::RaggedRow,
        Code::ClassRange,
        Code::Truncated,
        Code::EmptySplit,
        Code::MissingValue,
        Code::Format,
        Code::TooLarge,
        Code::Cache,
    ];

    /// The code as `family::name`.
    pub const fn name(self) -> &'static str {
        match self {
            Code::MissingFile => "data::missing-file",
            Code::WrongHash => "data::wrong-hash",
            Code::UnknownColumn => "data::unknown-column",
            Code::NotANumber => "data::not-a-number",
            Code::RaggedRow => "data::ragged-row",
            Code::ClassRange => "data::class-range",
            Code::Truncated => "data::truncated",
            Code::EmptySplit => "data::empty-split",
            Code::MissingValue => "data::missing-value",
            Code::Format => "data::format",
            Code::TooLarge => "limit::too-large",
            Code::Cache => "data::cache",
        }
    }
}

/// Something wrong with a data file: where it stands, what it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// One of [`Code::name`].
    pub code: &'static str,
    /// The file as the recipe writes it; empty where no file is at fault.
    pub file: Box<str>,
    /// The line in the file, from 1; text formats only.
    pub line: Option<u32>,
    /// The data row, from 1; a header is not a row.
    pub row: Option<u64>,
    /// The column as the file names it.
    pub column: Option<Box<str>>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl DataError {
    pub(crate) fn new(code: Code, file: &str, message: String, help: impl Into<String>) -> Self {
        DataError {
            code: code.name(),
            file: file.into(),
            line: None,
            row: None,
            column: None,
            message,
            help: help.into(),
        }
    }

    pub(crate) fn at_line(mut self, line: u64) -> Self {
        // A file of more lines than 32 bits count is told by row.
        self.line = u32::try_from(line).ok();
        self
    }

    pub(crate) fn at_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    pub(crate) fn in_column(mut self, column: &str) -> Self {
        self.column = Some(column.into());
        self
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        let mut place = Vec::new();
        if !self.file.is_empty() {
            place.push(self.file.to_string());
        }
        place.extend(self.line.map(|line| format!("line {line}")));
        place.extend(self.row.map(|row| format!("row {row}")));
        place.extend(self.column.as_ref().map(|name| format!("column `{name}`")));
        if !place.is_empty() {
            write!(f, " ({})", place.join(", "))?;
        }
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for DataError {}

/// The candidate of the first 4,096 nearest to `wanted`, if one is near enough to be a slip of the finger.
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // A candidate that shares no letter is no slip.
    let letters = wanted.chars().count();
    let allowed = (letters / 3 + 1).min(letters.saturating_sub(1));
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.take(4096) {
        let distance = edit_distance(&wanted.to_lowercase(), &candidate.to_lowercase());
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: insert, delete, replace, swap neighbours; texts are cut at 64 characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// A field of the user's file, shortened and without control characters, fit to stand in a message.
pub(crate) fn shown(field: &str) -> String {
    let mut text: String = field
        .chars()
        .take(40)
        .flat_map(char::escape_debug)
        .collect();
    if field.chars().count() > 40 {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_named_once_and_in_a_known_family() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 12);
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("data::") || name.starts_with("limit::"))
        );
    }

    #[test]
    fn nearest_finds_slips_and_leaves_strangers() {
        let names = ["bill_length_mm", "species", "sex"];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("bill_lenght_mm"), Some("bill_length_mm"));
        assert_eq!(near("Species"), Some("species"));
        assert_eq!(near("colour"), None);
        assert_eq!(nearest("b", ["a"].into_iter()), None);
        assert_eq!(edit_distance("ab", "ba"), 1);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn a_long_or_wild_field_is_made_fit_to_print() {
        assert_eq!(shown("a\u{1b}[31m"), "a\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(50)).chars().count(), 41);
    }

    #[test]
    fn an_error_reads_as_one_line() {
        let error = DataError::new(
            Code::NotANumber,
            "a.csv",
            "`x` is not a number".into(),
            "write a number",
        )
        .at_line(3)
        .at_row(2)
        .in_column("b");
        let text = "data::not-a-number: `x` is not a number (a.csv, line 3, row 2, column `b`); write a number";
        assert_eq!(error.to_string(), text);
    }
}
