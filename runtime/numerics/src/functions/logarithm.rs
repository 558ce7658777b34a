//! Logarithms: the exponent taken off as an integer, a polynomial of degree 10 about 1.

use super::polynomial;
use crate::ops::Ops;

/// (ln(1 + f) − f + f²/2) / f³ on [−1/3, 1/3].
const TAIL: [f32; 8] = [
    -0.128_742_64,
    0.139_867_07,
    -0.121_883_82,
    0.140_053_4,
    -0.166_801_8,
    0.200_104_45,
    -0.249_998_05,
    0.333_332_15,
];

/// The natural logarithm. At most 1 ulp.
pub fn log<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (exponent, f) = split(o, x);
    let near_one = log_near_one(o, f);
    let ln_2 = o.f32(std::f32::consts::LN_2);
    let value = o.fma(exponent, ln_2, near_one);
    with_edges(o, x, value)
}

/// The logarithm to base 2.
pub fn log2<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (exponent, f) = split(o, x);
    let near_one = log_near_one(o, f);
    let (log2_e, low) = (o.f32(std::f32::consts::LOG2_E), o.f32(1.925_963e-8));
    let correction = o.mul(near_one, low);
    let part = o.fma(near_one, log2_e, correction);
    let value = o.add(exponent, part);
    with_edges(o, x, value)
}

/// `x = 2^exponent · (1 + f)`, `f` in [−1/3, 1/3); for positive finite `x`.
pub(super) fn split<O: Ops>(o: &mut O, x: O::F) -> (O::F, O::F) {
    let (least, up, down, zero, one) = (
        o.f32(f32::MIN_POSITIVE),
        o.f32(8_388_608.0),
        o.f32(-23.0),
        o.f32(0.0),
        o.f32(1.0),
    );
    let subnormal = o.lt(x, least);
    let raised = o.mul(x, up);
    let x = o.select(subnormal, raised, x);
    let offset = o.select(subnormal, down, zero);
    let (bits, two_thirds) = (o.bits(x), o.i32(0x3f2a_aaab));
    let above = o.isub(bits, two_thirds);
    let k = o.sar(above, 23);
    let shift = o.shl(k, 23);
    let mantissa = o.isub(bits, shift);
    let mantissa = o.from_bits(mantissa);
    let k = o.to_float(k);
    (o.add(k, offset), o.sub(mantissa, one))
}

/// ln(1 + f) for `f` in [−1/3, 1/3].
pub(super) fn log_near_one<O: Ops>(o: &mut O, f: O::F) -> O::F {
    let tail = polynomial(o, f, &TAIL);
    let minus_half = o.f32(-0.5);
    let rest = o.fma(tail, f, minus_half);
    let square = o.mul(f, f);
    o.fma(rest, square, f)
}

/// `value` where `x` is positive and finite; −∞ at 0, NaN below, `x` itself at +∞ and NaN.
fn with_edges<O: Ops>(o: &mut O, x: O::F, value: O::F) -> O::F {
    let (zero, infinity, minus_infinity, nan) = (
        o.f32(0.0),
        o.f32(f32::INFINITY),
        o.f32(f32::NEG_INFINITY),
        o.f32(f32::NAN),
    );
    let (positive, finite) = (o.lt(zero, x), o.lt(x, infinity));
    let inside = o.and_b(positive, finite);
    let (is_zero, negative) = (o.eq(x, zero), o.lt(x, zero));
    let edge = o.select(negative, nan, x);
    let edge = o.select(is_zero, minus_infinity, edge);
    o.select(inside, value, edge)
}
