//! The .mmh grammar: lossless tree, typed views, formatter.
