//! Random numbers with addresses: a seed and a path give a key, a key and a nonce a stream, an index a word.
//!
//! Read [`Key::derive`], then [`Stream::word`]. Nothing here has a state, so who draws when cannot change a draw.

mod chacha;
mod draw;
mod key;

pub use chacha::{Stream, chacha8_block};
pub use draw::{
    below, dropout_keeps, dropout_scale, from_range, normal_pair, normals, shuffle, uniform,
    uniforms,
};
pub use key::{Component, Key, Seed, SeedError};
