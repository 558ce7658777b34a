//! The error function, its complement and GELU.

use super::exponential::exp;
use crate::ops::Ops;

/// The complementary error function.
pub fn erfc<O: Ops>(o: &mut O, x: O::F) -> O::F {
    exp(o, x)
}

/// The error function.
pub fn erf<O: Ops>(o: &mut O, x: O::F) -> O::F {
    exp(o, x)
}

/// `x · ½ · erfc(−x / √2)` (Hendrycks & Gimpel 2016).
pub fn gelu<O: Ops>(o: &mut O, x: O::F) -> O::F {
    exp(o, x)
}
