//! The activations made of exponentials: tanh, sigmoid, silu, softplus.

use super::exponential::exp;
use super::logarithm::log_near_one;
use crate::ops::Ops;

/// The hyperbolic tangent.
pub fn tanh<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let two = o.f32(2.0);
    let one = o.f32(1.0);
    let twice = o.mul(two, x);
    let s = sigmoid(o, twice);
    let s = o.mul(two, s);
    o.sub(s, one)
}

/// 1 / (1 + e⁻ˣ).
pub fn sigmoid<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (zero, one) = (o.f32(0.0), o.f32(1.0));
    let magnitude = o.abs(x);
    let negated = o.neg(magnitude);
    let e = exp(o, negated);
    let negative = o.lt(x, zero);
    let numerator = o.select(negative, e, one);
    let denominator = o.add(one, e);
    o.div(numerator, denominator)
}

/// `x · sigmoid(x)` (Elfwing et al. 2018); NaN at −∞.
pub fn silu<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let s = sigmoid(o, x);
    o.mul(x, s)
}

/// log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|).
pub fn softplus<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (zero, half, minus_half, third, ln_2) = (
        o.f32(0.0),
        o.f32(0.5),
        o.f32(-0.5),
        o.f32(1.0 / 3.0),
        o.f32(std::f32::consts::LN_2),
    );
    let magnitude = o.abs(x);
    let negated = o.neg(magnitude);
    let e = exp(o, negated);
    // 1 + e is 1 + f or 2 · (1 + f).
    let halved = o.fma(e, half, minus_half);
    let small = o.lt(e, third);
    let f = o.select(small, e, halved);
    let offset = o.select(small, zero, ln_2);
    let near_one = log_near_one(o, f);
    let log = o.add(offset, near_one);
    let positive = o.max(zero, x);
    o.add(positive, log)
}
