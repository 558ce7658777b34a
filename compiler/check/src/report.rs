//! What is told: once for each code and place, in the user's own text, and not without end.

use crate::core::Cx;
use crate::value::{Eval, Loc, Reported};
use mmh_diag::{Code, Diagnostic};

/// More than these are not told at once.
pub(crate) const MOST_DIAGNOSTICS: usize = 100;

impl Cx<'_> {
    /// Keeps a diagnostic, once for each code and place, moved to the user's own text.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        let diagnostic = self.moved(diagnostic);
        if let Some(label) = diagnostic.primary()
            && !self.is_full()
            && !self.program.broken.hides(&diagnostic)
            && self
                .seen
                .insert((diagnostic.code, label.source, label.span))
        {
            self.diagnostics.push(diagnostic);
        }
        Reported
    }

    /// Whether nothing more will be told.
    pub(crate) fn is_full(&self) -> bool {
        self.told + self.diagnostics.len() >= MOST_DIAGNOSTICS
    }

    /// An error at one place.
    pub(crate) fn fail<T>(
        &mut self,
        code: Code,
        loc: Loc,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Eval<T> {
        let help = help.into();
        let mut diagnostic = Diagnostic::error(code, message).at(loc.source, loc.span, "");
        if !help.is_empty() {
            diagnostic = diagnostic.help(help);
        }
        Err(self.report(diagnostic))
    }

    /// An error over one word: what was probably meant, with a fix that writes it, or else what there is.
    pub(crate) fn misspelt<T>(
        &mut self,
        code: Code,
        loc: Loc,
        message: impl Into<String>,
        near: Option<&str>,
        known: impl FnOnce() -> String,
    ) -> Eval<T> {
        let diagnostic = Diagnostic::error(code, message).at(loc.source, loc.span, "");
        let diagnostic = match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")).fix(
                format!("write `{near}`"),
                loc.span,
                near,
            ),
            None => diagnostic.help(known()),
        };
        Err(self.report(diagnostic))
    }

    // A mistake inside the standard library is the caller's: it is shown at the call.
    pub(crate) fn moved(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let inside = diagnostic
            .primary()
            .is_some_and(|l| self.program.is_library(l.source));
        if !inside {
            diagnostic
                .labels
                .retain(|l| l.primary || !self.program.is_library(l.source));
            return diagnostic;
        }
        let call = self
            .frames
            .iter()
            .rev()
            .map(|f| f.call)
            .find(|c| !self.program.is_library(c.source));
        let Some(call) = call else { return diagnostic };
        for label in &mut diagnostic.labels {
            if label.primary {
                (label.source, label.span) = (call.source, call.span);
            }
        }
        diagnostic
            .labels
            .retain(|l| !self.program.is_library(l.source));
        diagnostic.fixes.clear();
        diagnostic
    }
}
