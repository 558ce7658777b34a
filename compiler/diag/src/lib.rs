//! Diagnostics as plain data: what flows in is a mistake found by any stage, what flows out is a [`Diagnostic`] that a
//! terminal, an editor or a JSON reader can show. Read [`Diagnostic::error`] first, then the list of codes in
//! `registry.rs`.
//!
//! No file is read and nothing is drawn here. A new code is one line in `registry.rs` and one page under `docs/errors`.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod elsewhere;
mod registry;
mod span;
mod suggest;

pub use elsewhere::{
    Elsewhere, all_elsewhere, line_elsewhere, name_elsewhere, setting_elsewhere, space_elsewhere,
    unit_elsewhere,
};
pub use registry::{Code, page_sections};
pub use span::{SourceId, Span};
pub use suggest::{edit_distance, suggest};

/// How bad it is. Errors end the command with exit status 1, warnings and notes do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// The recipe cannot run like this.
    Error,
}

impl Severity {
    /// The word that is printed: `error`, `warning` or `note`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A place in a source and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The source that `span` counts in.
    pub source: SourceId,
    /// The bytes meant.
    pub span: Span,
    /// What is to be said about them; may be empty for the primary label.
    pub text: String,
    /// True for the place where the mistake is shown first.
    pub primary: bool,
}

/// One replacement: the bytes of `span` in the primary label's source become `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes replaced; empty to insert.
    pub span: Span,
    /// What stands there afterwards.
    pub text: String,
}

/// A change that would mend the mistake, offered by `mmhc check --fix` and by editors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What the change does, as the editor's menu shows it.
    pub title: String,
    /// The replacements, none overlapping.
    pub edits: Vec<Edit>,
}

/// One mistake: its code, its message, the places, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which mistake.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// Lower case, no full stop, code in backticks.
    pub message: String,
    /// The places; the first primary one is where the mistake is shown.
    pub labels: Vec<Label>,
    /// What to do, in the user's own names.
    pub help: Option<String>,
    /// Changes that would mend it.
    pub fixes: Vec<Fix>,
}

impl Diagnostic {
    /// An error. Add at least one place with [`at`](Self::at).
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// A note.
    pub fn note(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    fn new(severity: Severity, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            severity,
            message,
            labels: Vec::new(),
            help: None,
            fixes: Vec::new(),
        }
    }

    /// Adds the place where the mistake is shown.
    #[must_use]
    pub fn at(self, source: SourceId, span: Span, text: impl Into<String>) -> Self {
        self.label(source, span, text, true)
    }

    /// Adds the other side of a conflict.
    #[must_use]
    pub fn and(self, source: SourceId, span: Span, text: impl Into<String>) -> Self {
        self.label(source, span, text, false)
    }

    fn label(
        mut self,
        source: SourceId,
        span: Span,
        text: impl Into<String>,
        primary: bool,
    ) -> Self {
        self.labels.push(Label {
            source,
            span,
            text: text.into(),
            primary,
        });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Offers a change of one place.
    #[must_use]
    pub fn fix(self, title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        self.fix_all(
            title,
            vec![Edit {
                span,
                text: text.into(),
            }],
        )
    }

    /// Offers a change of several places at once.
    #[must_use]
    pub fn fix_all(mut self, title: impl Into<String>, edits: Vec<Edit>) -> Self {
        self.fixes.push(Fix {
            title: title.into(),
            edits,
        });
        self
    }

    /// True if the recipe cannot run.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The label where the mistake is shown: the first primary one, or else the first.
    pub fn primary(&self) -> Option<&Label> {
        self.labels
            .iter()
            .find(|label| label.primary)
            .or(self.labels.first())
    }
}
