//! The contract's functions as algorithms: integer steps, chains of fma and selects; no branch, no table, no libm.
//!
//! Each is written once over [`Ops`], for every f32 input: subnormal numbers, infinities and NaN included. The worst errors,
//! measured over all inputs, stand in `docs/numerics.md`. [`exp`] is the pattern for the others.

mod error;
mod exponential;
mod hyperbolic;
mod logarithm;
mod power;
pub mod scalar;
mod storage;
mod trigonometric;

pub use error::{erf, erfc, gelu};
pub use exponential::{exp, exp2};
pub use hyperbolic::{sigmoid, silu, softplus, tanh};
pub use logarithm::{log, log2};
pub use power::{pow, rsqrt};
pub use storage::bf16;
pub use trigonometric::{cos, sin, sin_cos_turn};

use crate::ops::Ops;

/// The polynomial with these coefficients, that of the highest power first, by Horner's rule in fma.
fn polynomial<O: Ops>(o: &mut O, x: O::F, coefficients: &[f32]) -> O::F {
    let (&highest, rest) = coefficients
        .split_first()
        .expect("a polynomial has a coefficient");
    let mut value = o.f32(highest);
    for &coefficient in rest {
        let c = o.f32(coefficient);
        value = o.fma(value, x, c);
    }
    value
}
