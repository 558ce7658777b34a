//! Texts, read once.

use mmh_syntax::{Tree, ast};
use std::sync::{Arc, OnceLock};

/// One text and what it says.
#[derive(Debug)]
pub struct SourceFile {
    /// As written in the recipe, or `std/nn.mmh` for the standard library.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Whether it belongs to the standard library.
    pub library: bool,
    pub(crate) tree: Tree,
    pub(crate) ast: ast::File,
}

/// A text, read.
pub(crate) fn of(path: String, text: String, library: bool) -> Arc<SourceFile> {
    if library && let Some(known) = shared().iter().find(|f| f.path == path && f.text == text) {
        return known.clone();
    }
    Arc::new(read(path, text, library))
}

fn read(path: String, text: String, library: bool) -> SourceFile {
    let parsed = mmh_syntax::parse(&text);
    SourceFile {
        path,
        ast: parsed.file(),
        tree: parsed.tree,
        text,
        library,
    }
}

/// The standard library never changes while the program runs.
fn shared() -> &'static [Arc<SourceFile>] {
    static LIBRARY: OnceLock<Vec<Arc<SourceFile>>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let files = mmh_std::FILES.iter();
        files
            .map(|(name, text)| Arc::new(read(format!("std/{name}"), (*text).to_owned(), true)))
            .collect()
    })
}
