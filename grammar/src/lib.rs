//! The `.mmh` grammar. What flows in is text, what flows out is a lossless [`Tree`] with its mistakes named, and over it
//! the owned [`ast::File`] that the checker reads. Read [`parse`] first.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

pub mod ast;
