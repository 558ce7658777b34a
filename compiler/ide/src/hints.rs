//! What the editor writes between the words: the shape behind every `|>`, steps of an epoch, parameters of a model.

use crate::{Analysis, MAIN};
use mmh_diag::{SourceId, Span};
use mmh_syntax::ast::Item;

/// A few words that are not part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Where they stand: behind this byte.
    pub offset: u32,
    /// The words.
    pub label: String,
    /// More of them, for who asks.
    pub tooltip: String,
}

impl Analysis {
    /// The hints in some bytes of the main file, in order.
    pub fn hints(&self, within: Span) -> Vec<Hint> {
        let mut hints = Vec::new();
        let mut before: Option<(Span, &str)> = None;
        for (loc, note) in &self.notes().flows {
            if loc.source != SourceId(0) {
                continue;
            }
            let (span, note) = (loc.span, note.as_str());
            let unchanged = before.is_some_and(|(last, text)| {
                text == note
                    && !Span::new(last.end, span.start)
                        .text(self.text())
                        .contains('\n')
            });
            before = Some((span, note));
            if span.end < within.start || within.end < span.end {
                continue;
            }
            hints.extend(self.hint(span, note, unchanged));
        }
        hints.sort_by_key(|hint| hint.offset);
        hints
    }

    fn hint(&self, span: Span, note: &str, unchanged: bool) -> Option<Hint> {
        let written = span.text(self.text());
        if written == note {
            return None;
        }
        let hint = |offset: u32, label: String, tooltip: &str| Hint {
            offset,
            label,
            tooltip: tooltip.to_owned(),
        };
        if note.ends_with("parameters") {
            return Some(hint(
                self.behind_head(span),
                format!(" {note}"),
                "what training changes",
            ));
        }
        if note.ends_with(" steps") {
            return Some(hint(span.end, format!(" = {note}"), "the length in steps"));
        }
        if note.ends_with(" rows") || note.ends_with(" per epoch") {
            return Some(hint(
                span.end,
                format!(" {note}"),
                "of the rows that arrive here",
            ));
        }
        let label = match unchanged {
            true => ": same shape".to_owned(),
            false => format!(": {note}"),
        };
        Some(hint(span.end, label, note))
    }

    /// Behind the result type of the block whose name stands at `name`.
    fn behind_head(&self, name: Span) -> u32 {
        let items = self.file(MAIN).map_or(&[][..], |file| &file.ast.items);
        let block = items.iter().find_map(|item| match item {
            Item::Block(block) if block.name.span == name => Some(block),
            _ => None,
        });
        let returns = block.and_then(|block| block.returns.as_ref());
        returns.map_or(name.end, |ty| ty.span().end)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{DIGITS, analyse};
    use mmh_diag::Span;

    /// The text with its hints in place, trimmed lines.
    fn shown(text: &str) -> String {
        let analysis = analyse(text);
        let mut out = text.to_owned();
        for hint in analysis.hints(Span::new(0, u32::MAX)).iter().rev() {
            out.insert_str(hint.offset as usize, &format!("⟨{}⟩", hint.label));
        }
        out
    }

    #[test]
    fn steps_of_a_flow_show_their_shapes() {
        let out = shown(DIGITS);
        for line in [
            "|> conv(wide, kernel = 3)⟨: f32[batch, channel = 24, height = 8, width = 8]⟩ |> norm⟨: same shape⟩ |> relu⟨: same shape⟩\n",
            "|> repeat(depth, residual)⟨: f32[batch, channel = 24, height = 8, width = 8]⟩\n",
            "|> down(to = 2 * wide)⟨: f32[batch, channel = 48, height = 4, width = 4]⟩\n",
            "|> linear(class = 10)⟨: f32[batch, class = 10]⟩\n",
            "|> batch(64)⟨ 20 steps per epoch⟩\n",
            "length   = 30 epochs⟨ = 600 steps⟩\n",
        ] {
            assert!(out.contains(line), "{line}\n{out}");
        }
        assert!(
            out.contains("class = 10]⟨ ") && out.contains(" parameters⟩ {"),
            "{out}"
        );
    }

    #[test]
    fn a_mistake_elsewhere_takes_no_hint_away() {
        let wrong = DIGITS.replace("adamw(lr", "adamw(learning_rate");
        let count = |text: &str| analyse(text).hints(Span::new(0, u32::MAX)).len();
        assert_eq!(count(&wrong), count(DIGITS));
        assert!(count(DIGITS) > 20);
    }

    #[test]
    fn only_what_is_asked_for() {
        let analysis = analyse(DIGITS);
        let at = DIGITS.find("model net").expect("a model") as u32;
        let all = analysis.hints(Span::new(0, u32::MAX));
        let some = analysis.hints(Span::new(at, u32::MAX));
        assert!(!some.is_empty() && some.len() < all.len());
        assert!(some.iter().all(|hint| hint.offset >= at));
    }
}
