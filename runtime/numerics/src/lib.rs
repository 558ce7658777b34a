//! The numerics contract as scalar reference code: what a recipe's numbers mean, bit for bit.
//!
//! Numbers, a logical index, or a seed and a path flow in; the one right `f32` flows out. Everything that runs faster (SIMD,
//! compiled kernels, shaders) is derived from this crate or tested against it. The contract in prose is `docs/numerics.md`.
//!
//! Read [`functions::exp`] first: it is written over the trait [`Ops`], so that one definition serves a scalar, a vector and
//! a code generator. Then [`contract::chain`] and [`reduce::sum`], which fix the order of every addition, and
//! [`random::Stream`], in which a random number has an address.

pub mod contract;
pub mod convert;
pub mod double;
pub mod functions;
pub mod ops;
pub mod random;
pub mod reduce;
pub mod sample;

pub use ops::{Ops, Scalar};

/// The bits every NaN has wherever bits can be seen: a hash, a file, a comparison of results.
pub const NAN_BITS: u32 = 0x7fc0_0000;

/// `x`, with the one observable NaN in place of any other.
#[inline]
#[must_use]
pub fn canonical(x: f32) -> f32 {
    f32::from_bits(canonical_bits(x))
}

/// The observable bits of `x`: its own, or [`NAN_BITS`].
#[inline]
#[must_use]
pub fn canonical_bits(x: f32) -> u32 {
    if x.is_nan() { NAN_BITS } else { x.to_bits() }
}

/// `a < b ? a : b`, so `b` where either is NaN and where both are zeros.
#[inline(always)]
#[must_use]
pub fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// `a > b ? a : b`, so `b` where either is NaN and where both are zeros.
#[inline(always)]
#[must_use]
pub fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}
