//! The texts that are open, as the client says they are.

use super::text::{Encoding, Lines};
use lsp_types::TextDocumentContentChangeEvent;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One open text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// The address by which the client knows it.
    pub(super) uri: String,
    /// The version the client gave the text.
    pub(super) version: i32,
    pub(super) text: String,
}

/// Open texts by path.
pub(super) type Documents = BTreeMap<PathBuf, Document>;

impl Document {
    /// Applies changes in their order; each is about the text that the one before it left.
    pub(super) fn change(
        &mut self,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
        encoding: Encoding,
    ) {
        for change in changes {
            match change.range {
                None => self.text = change.text,
                Some(range) => {
                    let span = Lines::new(&self.text, encoding).span(range);
                    self.text
                        .replace_range(span.start as usize..span.end as usize, &change.text);
                }
            }
        }
        self.version = version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsp_types::{Position, Range};

    #[test]
    fn changes_follow_each_other() {
        let change = |range: Option<[u32; 4]>, text: &str| TextDocumentContentChangeEvent {
            range: range.map(|[a, b, c, d]| Range::new(Position::new(a, b), Position::new(c, d))),
            range_length: None,
            text: text.into(),
        };
        let mut document = Document {
            uri: String::new(),
            version: 1,
            text: "old".into(),
        };
        let changes = vec![
            change(None, "let a = 1\nlet 😀 = 2\n"),
            change(Some([1, 4, 1, 6]), "b"),
            change(Some([1, 8, 1, 9]), "3"),
            change(Some([9, 0, 9, 0]), "end"),
        ];
        document.change(7, changes, Encoding::Utf16);
        assert_eq!(
            (document.version, document.text.as_str()),
            (7, "let a = 1\nlet b = 3\nend")
        );
    }
}
