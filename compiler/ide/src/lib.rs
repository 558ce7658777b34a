//! What an editor asks of a recipe. A [`World`] and the path of a recipe flow in; out flows an [`Analysis`], which answers
//! every question about the texts it was made of. Read [`Analysis::new`] first, then `names`, which says what every word of
//! a text means.
//!
//! Everything is plain data: places are bytes in a text, nothing is read or written here, and no protocol is known.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod actions;
mod calls;
mod complete;
mod docs;
mod files;
mod hints;
mod hover;
mod names;
mod reference;
mod rename;
mod scope;
mod shapes;
mod signature;
mod symbols;
#[cfg(test)]
mod testing;
mod tokens;

pub use actions::Action;
pub use complete::{Completion, CompletionKind};
pub use files::SourceFile;
pub use hints::Hint;
pub use hover::Hover;
pub use names::{Place, SymbolKind};
pub use reference::{Chapter, Entry, Row, library};
pub use rename::{Change, Project, RenameFault};
pub use signature::{Parameter, Signature};
pub use symbols::Outline;
pub use tokens::{Token, TokenKind};

use mmh_check::editor::Notes;
use mmh_check::{Earlier, SourceText, World, plain_path};
use mmh_diag::{Diagnostic, Span};
use mmh_syntax::ast::Item;
use names::Names;
use std::cell::OnceCell;
use std::sync::{Arc, LazyLock};

/// Number of a file in [`Analysis::files`].
pub type FileId = usize;

/// The main file, which questions are about.
pub const MAIN: FileId = 0;

/// All that is known of one recipe at one moment. What its words mean is found out when it is first asked.
#[derive(Debug)]
pub struct Analysis {
    diagnostics: Vec<Diagnostic>,
    sources: Vec<SourceText>,
    /// Nothing where only mistakes were looked for.
    notes: Option<Notes>,
    files: OnceCell<Vec<Arc<SourceFile>>>,
    names: OnceCell<Names>,
}

impl Analysis {
    /// Reads and checks the recipe at `main` with all it uses. Never fails: what cannot be read is a diagnostic.
    pub fn new(world: &dyn World, main: &str) -> Self {
        Self::first(world, main).0
    }

    /// The same, with what [`Analysis::again`] may build on.
    pub fn first(world: &dyn World, main: &str) -> (Self, Option<Earlier>) {
        let (checked, earlier) = mmh_check::check_first(world, main);
        (Self::of(checked, true), earlier)
    }

    /// Looks for mistakes alone, and only where they may have come or gone since an earlier time. Nothing if that may be
    /// anywhere. Types, shapes and numbers of rows are not known then: [`Analysis::is_whole`] says so.
    pub fn again(world: &dyn World, main: &str, earlier: &Earlier) -> Option<Self> {
        let checked = mmh_check::check_again(world, main, earlier)?;
        Some(Self::of(checked, false))
    }

    fn of(checked: mmh_check::Checked, whole: bool) -> Self {
        Self {
            diagnostics: checked.diagnostics,
            sources: checked.sources,
            notes: whole.then_some(checked.notes),
            files: OnceCell::new(),
            names: OnceCell::new(),
        }
    }

    /// Whether all is known that hovers and hints show.
    pub fn is_whole(&self) -> bool {
        self.notes.is_some()
    }

    /// What was found, in the order of the text; a label's source is a [`FileId`].
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The texts, by [`FileId`]: the main file, the files it uses and the standard library, in this order.
    pub fn sources(&self) -> &[SourceText] {
        &self.sources
    }

    /// The same, read.
    pub fn files(&self) -> &[Arc<SourceFile>] {
        self.files.get_or_init(|| {
            let sources = self.sources.iter().cloned();
            sources
                .map(|source| files::of(source.path, source.text, source.library))
                .collect()
        })
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(|| Names::of(self.files()))
    }

    fn notes(&self) -> &Notes {
        static NONE: LazyLock<Notes> = LazyLock::new(Notes::default);
        self.notes.as_ref().unwrap_or(&NONE)
    }

    /// The text of the main file.
    pub fn text(&self) -> &str {
        self.sources
            .get(MAIN)
            .map_or("", |source| source.text.as_str())
    }

    /// The main file in the one layout.
    pub fn formatted(&self) -> Option<String> {
        let file = self.files().first()?;
        Some(mmh_syntax::format(&file.tree))
    }

    /// Where the name at a byte is declared.
    pub fn definition(&self, offset: u32) -> Option<Place> {
        let found = self.names().at(MAIN, offset)?;
        self.names().declaration(found)
    }

    /// Where the main file says that it uses another; nothing for what it uses through a third.
    pub fn used_at(&self, id: FileId) -> Option<Span> {
        let path = plain_path(&self.file(id)?.path);
        let mut items = self.file(MAIN)?.ast.items.iter();
        items.find_map(|item| match item {
            Item::Use(it) => {
                let file = it.file.as_ref()?;
                (plain_path(&file.value) == path).then_some(file.span)
            }
            Item::Seed(_) | Item::Let(_) | Item::Block(_) | Item::Section(_) => None,
        })
    }

    fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files().get(id).map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{analyse, marked};

    #[test]
    fn definitions_are_found_in_every_scope() {
        for text in [
            "mmh 1\nlet «depth» = 2\nlet twice = 2 * dep/*cursor*/th\n",
            "mmh 1\nblock b(«x»: f32[batch, feature]) -> like x {\n  relu(/*cursor*/x)\n}\n",
            "mmh 1\nblock b(x: f32[batch]) -> like x {\n  let «y» = relu(x)\n  y/*cursor*/ + x\n}\n",
            "mmh 1\nblock b(x: f32[batch], «p»: float = 0.1) -> like x {\n  x\n}\nblock c(x: f32[batch]) -> like x {\n  x |> b(/*cursor*/p = 1)\n}\n",
            "mmh 1\ndata d {\n  source = csv(\"d.csv\")\n  «label»: class[2] = source.y\n  split = stratified(by = label, train = 70%)\n}\ntrain t {\n  rows = d.train |> batch(2)\n  loss = cross_entropy(rows.x, rows./*cursor*/label)\n}\n",
            "mmh 1\ntrain t {\n  «predict» = 1\n  loss = /*cursor*/predict\n}\n",
            "mmh 1\nmodel «net»(x: f32[batch]) -> like x {\n  x\n}\ntrain t {\n  predict = /*cursor*/net(1)\n}\n",
        ] {
            let (text, cursor, wanted) = marked(text);
            let analysis = analyse(&text);
            let place = analysis.definition(cursor).expect(&text);
            assert_eq!(
                (place.file, place.span.text(&text)),
                (0, wanted[0].text(&text)),
                "{text}"
            );
            assert_eq!(place.span, wanted[0], "{text}");
        }
    }

    #[test]
    fn the_library_is_a_file_like_others() {
        let (text, cursor, _) = marked(
            "mmh 1\nblock b(x: f32[batch, feature]) -> like x {\n  x |> layer_/*cursor*/norm\n}\n",
        );
        let analysis = analyse(&text);
        let place = analysis.definition(cursor).expect("a definition");
        let file = &analysis.files()[place.file];
        assert_eq!((file.path.as_str(), file.library), ("std/nn.mmh", true));
        assert_eq!(place.span.text(&file.text), "layer_norm");
    }
}
