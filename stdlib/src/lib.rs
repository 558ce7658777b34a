//! The standard library, written in .mmh.
