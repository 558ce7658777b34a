//! The standard library, written in `.mmh` over the checker's primitives. Nothing flows in; out flow [`FILES`], whose
//! declarations are in scope of every recipe.

/// Every file: its name and its text, in the order they are read.
pub const FILES: &[(&str, &str)] = &[
    ("nn.mmh", include_str!("../nn.mmh")),
    ("aug.mmh", include_str!("../aug.mmh")),
    ("loss.mmh", include_str!("../loss.mmh")),
];
