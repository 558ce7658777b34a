//! Powers and the reciprocal square root.

use super::exponential::exp;
use super::logarithm::log;
use crate::ops::Ops;

/// `x` to the `y`.
pub fn pow<O: Ops>(o: &mut O, x: O::F, y: O::F) -> O::F {
    let l = log(o, x);
    let p = o.mul(l, y);
    exp(o, p)
}

/// `1 / √x`, both steps correctly rounded.
pub fn rsqrt<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (one, root) = (o.f32(1.0), o.sqrt(x));
    o.div(one, root)
}
