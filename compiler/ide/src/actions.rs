//! What the editor's light bulb offers: the fixes of the diagnostics.

use crate::{Analysis, MAIN};
use mmh_diag::{Edit, Span};

/// A change of the main file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// As the menu shows it.
    pub title: String,
    /// Number of the diagnostic it mends, in [`Analysis::diagnostics`].
    pub mends: usize,
    /// The replacements, none overlapping.
    pub edits: Vec<Edit>,
}

impl Analysis {
    /// The fixes of the mistakes that touch some bytes of the main file.
    pub fn actions(&self, within: Span) -> Vec<Action> {
        let mut actions = Vec::new();
        for (mends, found) in self.diagnostics.iter().enumerate() {
            let here = found.primary().filter(|label| {
                label.source.0 as usize == MAIN
                    && label.span.start <= within.end
                    && within.start <= label.span.end
            });
            if here.is_none() {
                continue;
            }
            actions.extend(found.fixes.iter().map(|fix| Action {
                title: fix.title.clone(),
                mends,
                edits: fix.edits.clone(),
            }));
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{DIGITS, analyse};
    use mmh_diag::Span;

    #[test]
    fn an_unknown_setting_is_renamed() {
        let text = DIGITS.replace("adamw(lr", "adamw(learning_rate");
        let analysis = analyse(&text);
        let at = text.find("learning_rate").expect("it") as u32;
        let actions = analysis.actions(Span::at(at + 3));
        let [action] = actions.as_slice() else {
            panic!("{actions:?}");
        };
        assert_eq!(action.edits[0].span.text(&text), "learning_rate");
        assert_eq!(action.edits[0].text, "lr");
        assert_eq!(analysis.actions(Span::at(0)), []);
    }
}
