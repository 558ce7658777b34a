//! Findings as people see them. The only file that knows miette.

use crate::findings::{Finding, Lines, Report, boundary, count};
use crate::system;
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, ThemeCharacters,
    ThemeStyles,
};
use mmh_diag::{Label, Severity};
use std::fmt;

/// Labels at most this many lines from the primary one share its picture.
const NEAR: usize = 4;

/// All findings of all recipes and a line that counts them.
pub(crate) fn human(reports: &[Report]) -> String {
    let mut out = drawn(reports);
    out.push_str(&count(reports).line());
    out.push('\n');
    out
}

/// All findings of all recipes.
pub(crate) fn drawn(reports: &[Report]) -> String {
    let handler = handler();
    let mut out = String::new();
    for report in reports {
        for finding in &report.findings {
            let picture = Picture::of(finding, report);
            if handler.render_report(&mut out, &picture).is_err() {
                out.push_str(&format!("{}: {}\n", finding.code, finding.message));
            }
            out.push('\n');
        }
    }
    out
}

fn handler() -> GraphicalReportHandler {
    let terminal = system::stderr_is_terminal();
    let theme = match system::colour(terminal) {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme {
            characters: ThemeCharacters::unicode(),
            styles: ThemeStyles::none(),
        },
    };
    let width = system::width();
    GraphicalReportHandler::new_themed(theme)
        .with_width(width.unwrap_or(100))
        .with_wrap_lines(width.is_some())
        .with_links(false)
        .with_context_lines(1)
        .without_cause_chain()
        .without_syntax_highlighting()
}

/// A finding, or one of its far labels, as miette takes it.
#[derive(Debug)]
struct Picture {
    code: Option<String>,
    severity: miette::Severity,
    message: String,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Self>,
}

impl Picture {
    fn of(finding: &Finding, report: &Report) -> Self {
        let mut picture = Self {
            code: Some(finding.code.clone()),
            severity: severity(finding.severity),
            message: finding.message.clone(),
            help: finding.help.clone(),
            source: None,
            labels: Vec::new(),
            related: Vec::new(),
        };
        let Some(primary) = finding.primary() else {
            return picture;
        };
        picture.show(primary, report);
        let text = report.source(primary.source).map_or("", |file| &file.text);
        let lines = Lines::new(text);
        let line = |label: &Label| lines.place(label.span.start).0;
        for label in finding
            .labels
            .iter()
            .filter(|label| !std::ptr::eq(*label, primary))
        {
            let near =
                label.source == primary.source && line(label).abs_diff(line(primary)) <= NEAR;
            if near {
                picture.labels.extend(span(label, text, &lines));
            } else {
                picture.related.push(Self::far(label, report));
            }
        }
        picture
    }

    /// The other side of a conflict, shown apart.
    fn far(label: &Label, report: &Report) -> Self {
        let mut picture = Self {
            code: None,
            severity: miette::Severity::Advice,
            message: match label.text.is_empty() {
                true => "and here".to_owned(),
                false => label.text.clone(),
            },
            help: None,
            source: None,
            labels: Vec::new(),
            related: Vec::new(),
        };
        let bare = Label {
            text: String::new(),
            primary: true,
            ..label.clone()
        };
        picture.show(&bare, report);
        picture
    }

    fn show(&mut self, label: &Label, report: &Report) {
        let Some(file) = report
            .source(label.source)
            .filter(|file| !file.text.is_empty())
        else {
            return;
        };
        self.source = Some(NamedSource::new(&file.name, file.text.clone()));
        self.labels
            .extend(span(label, &file.text, &Lines::new(&file.text)));
    }
}

/// A label fitted into its text: inside it, whole characters, and at most a few lines.
fn span(label: &Label, text: &str, lines: &Lines<'_>) -> Option<LabeledSpan> {
    let last = boundary(text, text.len().checked_sub(1)?);
    let start = boundary(text, label.span.start as usize).min(last);
    let mut end = boundary(text, label.span.end as usize).max(start);
    let (first_line, _) = lines.place(start as u32);
    let (last_line, _) = lines.place(end as u32);
    if last_line.abs_diff(first_line) > NEAR {
        end = lines.end_of(first_line).max(start);
    }
    let words = (!label.text.is_empty()).then(|| label.text.clone());
    let place = (start, end - start);
    Some(match label.primary {
        true => LabeledSpan::new_primary_with_span(words, place),
        false => LabeledSpan::new_with_span(words, place),
    })
}

fn severity(severity: Severity) -> miette::Severity {
    match severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
        Severity::Note => miette::Severity::Advice,
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Picture {}

impl miette::Diagnostic for Picture {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.code
            .as_ref()
            .map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related(&self) -> Option<Box<dyn Iterator<Item = &dyn miette::Diagnostic> + '_>> {
        if self.related.is_empty() {
            return None;
        }
        Some(Box::new(
            self.related
                .iter()
                .map(|picture| picture as &dyn miette::Diagnostic),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::SourceFile;
    use mmh_diag::{Code, Diagnostic, SourceId, Span};

    fn report(text: &str, diagnostic: Diagnostic) -> Report {
        let source = SourceFile {
            name: "a.mmh".into(),
            text: text.into(),
        };
        Report {
            sources: vec![source],
            findings: vec![diagnostic.into()],
        }
    }

    #[test]
    fn far_labels_stand_apart_and_near_ones_together() {
        let text = "first\n\n\n\n\n\n\n\nsecond third\n";
        let diagnostic = Diagnostic::error(Code::NameDuplicate, "`second` is declared twice")
            .at(SourceId(0), Span::new(13, 19), "again here")
            .and(SourceId(0), Span::new(20, 25), "beside it")
            .and(SourceId(0), Span::new(0, 5), "first here");
        let picture = Picture::of(
            &diagnostic.clone().into(),
            &report(text, diagnostic.clone()),
        );
        assert_eq!((picture.labels.len(), picture.related.len()), (2, 1));
        let drawn = human(&[report(text, diagnostic)]);
        for part in [
            "name::duplicate",
            "a.mmh:9:1",
            "again here",
            "beside it",
            "first here",
            "a.mmh:1:1",
            "1 error",
        ] {
            assert!(drawn.contains(part), "{part} in\n{drawn}");
        }
        assert!(!drawn.contains('\u{1b}'));
    }

    #[test]
    fn labels_outside_the_text_are_fitted_into_it() {
        for (text, span) in [
            ("", Span::new(0, 0)),
            ("a", Span::at(1)),
            ("ä\n", Span::new(1, 99)),
            ("x", Span::new(9, 3)),
        ] {
            let diagnostic =
                Diagnostic::error(Code::SyntaxUnclosed, "wild").at(SourceId(0), span, "here");
            let drawn = human(&[report(text, diagnostic)]);
            assert!(
                drawn.contains("wild") && !drawn.contains("Failed to read"),
                "{drawn}"
            );
        }
        let elsewhere =
            Diagnostic::error(Code::SyntaxUnclosed, "wild").at(SourceId(7), Span::at(0), "here");
        assert!(human(&[report("a", elsewhere)]).contains("wild"));
    }
}
