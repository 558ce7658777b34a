//! What was found, with the texts it was found in: the one form that is drawn or written out.

use mmh_diag::{Code, Diagnostic, Edit, Fix, Label, Severity, SourceId, Span};
use mmh_runtime::RunFailure;
use std::path::Path;

/// One file that labels point into.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceFile {
    /// As it is shown.
    pub(crate) name: String,
    /// All of it.
    pub(crate) text: String,
}

/// One mistake.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) code: String,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) labels: Vec<Label>,
    pub(crate) help: Option<String>,
    pub(crate) fixes: Vec<Fix>,
}

/// The findings in one recipe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Texts, by [`SourceId`].
    pub(crate) sources: Vec<SourceFile>,
    pub(crate) findings: Vec<Finding>,
}

/// How many of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
    pub(crate) notes: usize,
}

impl From<Diagnostic> for Finding {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            code: diagnostic.code.name().to_owned(),
            severity: diagnostic.severity,
            message: diagnostic.message,
            labels: diagnostic.labels,
            help: diagnostic.help,
            fixes: diagnostic.fixes,
        }
    }
}

impl From<&RunFailure> for Finding {
    fn from(failure: &RunFailure) -> Self {
        let help = failure.help();
        Self {
            code: failure.code().to_owned(),
            severity: Severity::Error,
            message: place_of(failure),
            labels: Vec::new(),
            help: (!help.is_empty()).then_some(help),
            fixes: Vec::new(),
        }
    }
}

/// The message of a failure, a data file's place included.
fn place_of(failure: &RunFailure) -> String {
    let RunFailure::Data(error) = failure else {
        return failure.to_string();
    };
    let mut place = Vec::new();
    place.extend((!error.file.is_empty()).then(|| error.file.to_string()));
    place.extend(error.line.map(|line| format!("line {line}")));
    place.extend(error.row.map(|row| format!("row {row}")));
    place.extend(error.column.as_ref().map(|name| format!("column `{name}`")));
    match place.is_empty() {
        true => error.message.clone(),
        false => format!("{} ({})", error.message, place.join(", ")),
    }
}

impl Finding {
    /// An error without a place.
    pub(crate) fn error(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Diagnostic::error(code, message).help(help).into()
    }

    /// An error of reading or writing a file.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let (message, help) = match missing {
            true => ("there is no such file".to_owned(), "check the path"),
            false => (
                error.to_string(),
                "check that the file is there and may be used",
            ),
        };
        Self::error(
            Code::FileNotFound,
            format!("`{}`: {message}", path.display()),
            help,
        )
    }

    /// The label where the mistake is shown.
    pub(crate) fn primary(&self) -> Option<&Label> {
        let mut labels = self.labels.iter();
        labels.find(|label| label.primary).or(self.labels.first())
    }
}

impl Report {
    /// The text a label points into.
    pub(crate) fn source(&self, id: SourceId) -> Option<&SourceFile> {
        self.sources.get(id.0 as usize)
    }

    /// Whether the recipe cannot run.
    pub(crate) fn has_errors(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.severity == Severity::Error)
    }
}

/// Counts over several recipes.
pub(crate) fn count(reports: &[Report]) -> Counts {
    let mut counts = Counts::default();
    for finding in reports.iter().flat_map(|report| &report.findings) {
        match finding.severity {
            Severity::Error => counts.errors += 1,
            Severity::Warning => counts.warnings += 1,
            Severity::Note => counts.notes += 1,
        }
    }
    counts
}

impl Counts {
    /// `3 errors, 1 warning`; `no errors` where nothing was found.
    pub(crate) fn line(self) -> String {
        let some = |count: usize, one: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{count} {one}s")),
        };
        let parts = [
            some(self.errors, "error"),
            some(self.warnings, "warning"),
            some(self.notes, "note"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => "no errors".to_owned(),
            false => parts.join(", "),
        }
    }
}

/// Where the lines of a text start, to turn bytes into lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(breaks.map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    /// Line and column from 1, the column in characters. A byte inside a character counts as its start.
    pub(crate) fn place(&self, offset: u32) -> (usize, usize) {
        let offset = boundary(self.text, offset as usize);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self
            .starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or("");
        (line, before.chars().count() + 1)
    }

    /// The byte after the last of a line, from 1, without its break.
    pub(crate) fn end_of(&self, line: usize) -> usize {
        match self.starts.get(line) {
            Some(next) => next.saturating_sub(1),
            None => self.text.len(),
        }
    }
}

/// The nearest start of a character at or before `offset`.
pub(crate) fn boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The text with the edits done, or nothing if they overlap or do not fit.
pub(crate) fn apply(text: &str, edits: &[Edit]) -> Option<String> {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        let Span { start, end } = edit.span;
        let (start, end) = (start as usize, end as usize);
        if start < done || end < start {
            return None;
        }
        out.push_str(text.get(done..start)?);
        text.get(start..end)?;
        out.push_str(&edit.text);
        done = end;
    }
    out.push_str(text.get(done..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let lines = Lines::new("aä\nb\n");
        assert_eq!(lines.place(0), (1, 1));
        assert_eq!(lines.place(2), (1, 2));
        assert_eq!(lines.place(3), (1, 3));
        assert_eq!(lines.place(4), (2, 1));
        assert_eq!(lines.place(99), (3, 1));
        assert_eq!(
            (lines.end_of(1), lines.end_of(2), lines.end_of(9)),
            (3, 5, 6)
        );
    }

    #[test]
    fn edits_are_done_in_order_or_not_at_all() {
        let edit = |start, end, text: &str| Edit {
            span: Span::new(start, end),
            text: text.into(),
        };
        let both = [edit(4, 5, "y"), edit(0, 1, "xx")];
        assert_eq!(apply("a = b", &both).as_deref(), Some("xx = y"));
        assert_eq!(apply("a = b", &[edit(0, 3, ""), edit(2, 4, "")]), None);
        assert_eq!(apply("ä", &[edit(1, 1, "x")]), None);
        assert_eq!(apply("a", &[edit(0, 9, "x")]), None);
    }

    #[test]
    fn summaries_read_well() {
        let counts = |errors, warnings| Counts {
            errors,
            warnings,
            notes: 0,
        };
        assert_eq!(counts(3, 1).line(), "3 errors, 1 warning");
        assert_eq!(counts(0, 0).line(), "no errors");
    }
}
