//! The `.mmh` grammar. What flows in is text, what flows out is a lossless [`Tree`] with its mistakes named, and over it
//! the owned [`ast::File`] that the checker reads. Read [`parse`] first.
//!
//! Parsing never fails: what cannot be read is a node of the tree and a diagnostic, and the rest is read as usual.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

pub mod ast;
mod diagnose;
mod format;
mod guard;
mod kind;
mod layout;
mod lower;
mod messages;
mod parser;
mod scan;
mod tree;

pub use format::{format, skeleton};
pub use kind::Kind;
pub use tree::{NodeId, Tree};

use mmh_diag::{Diagnostic, SourceId};

/// The edition this grammar reads.
pub const EDITION: &str = "1";

/// A text that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse {
    /// Every byte of it.
    pub tree: Tree,
    /// The mistakes, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parse {
    /// What the text says, with spans, for the checker.
    pub fn file(&self) -> ast::File {
        lower::file(&self.tree)
    }
}

/// Reads a text on its own; its labels name source 0. Never fails and never panics.
pub fn parse(text: &str) -> Parse {
    parse_source(SourceId(0), text)
}

/// Reads a text whose labels name `source`. Never fails and never panics.
pub fn parse_source(source: SourceId, text: &str) -> Parse {
    if let Some(excess) = guard::excess(text) {
        let diagnostics = vec![diagnose::excess(source, excess)];
        return Parse {
            tree: parser::unread(text),
            diagnostics,
        };
    }
    let tree = parser::tree(text);
    let diagnostics = diagnose::diagnostics(source, &tree);
    Parse { tree, diagnostics }
}
