//! The language server as an editor meets it: the real binary over stdio, and editors that no one here wrote.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

mod client;
mod editing;
mod editors;
mod questions;

use std::path::PathBuf;

/// The example that most questions are asked of.
const DIGITS: &str = include_str!("../../examples/digits.mmh");

/// The examples' folder, where the data is.
fn examples() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    folder.canonicalize().expect("the examples")
}
