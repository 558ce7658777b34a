//! The activations made of exponentials: tanh, sigmoid, silu, softplus.

use super::exponential::exp;
use super::logarithm::log_near_one;
use super::polynomial;
use crate::ops::Ops;

/// The hyperbolic tangent: `x · P(x²) / Q(x²)` on [−9.03, 9.03].
pub fn tanh<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (top, bottom) = (o.f32(9.03), o.f32(-9.03));
    let x = o.min(top, x);
    let x = o.max(bottom, x);
    let square = o.mul(x, x);
    let p = polynomial(
        o,
        square,
        &[
            5.123_479_2e-8,
            3.166_396_7e-5,
            0.004_010_367_7,
            0.137_864_35,
            1.0,
        ],
    );
    let q = polynomial(
        o,
        square,
        &[
            7.494_607e-10,
            1.625_404_3e-6,
            0.000_421_191_5,
            0.027_742_956,
            0.471_197_66,
            1.0,
        ],
    );
    let numerator = o.mul(x, p);
    let value = o.div(numerator, q);
    // The last units before saturation would overshoot.
    let (one, minus_one) = (o.f32(1.0), o.f32(-1.0));
    let value = o.min(one, value);
    o.max(minus_one, value)
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

/// log(1 + eˣ) = max(0, x) + log(1 + e^−|x|).
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
