//! Sine and cosine: a reduction to an eighth of a turn, two polynomials, the quadrant as selects and a sign.

use super::polynomial;
use crate::ops::Ops;

/// 1.5 · 2²³: adding it rounds to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;

/// The sine of `x` radians; NaN where |x| > 2²⁰.
pub fn sin<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (quadrant, r) = reduce(o, x);
    let (sin, cos) = near_zero(o, r);
    turned(o, quadrant, sin, cos)
}

/// The cosine of `x` radians; NaN where |x| > 2²⁰.
pub fn cos<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (quadrant, r) = reduce(o, x);
    let one = o.i32(1);
    let quadrant = o.iadd(quadrant, one);
    let (sin, cos) = near_zero(o, r);
    turned(o, quadrant, sin, cos)
}

/// Sine and cosine of `turn · 2⁻²⁴` turns, for `turn` from 0 to 2²⁴ − 1.
pub fn sin_cos_turn<O: Ops>(o: &mut O, turn: O::I) -> (O::F, O::F) {
    let (half, one) = (o.i32(1 << 21), o.i32(1));
    let shifted = o.iadd(turn, half);
    let quadrant = o.shr(shifted, 22);
    let whole = o.shl(quadrant, 22);
    let rest = o.isub(turn, whole);
    let (rest, scale) = (
        o.to_float(rest),
        o.f32(std::f32::consts::TAU * 5.960_464_5e-8),
    );
    let r = o.mul(rest, scale);
    let (sin, cos) = near_zero(o, r);
    let next = o.iadd(quadrant, one);
    (turned(o, quadrant, sin, cos), turned(o, next, sin, cos))
}

/// Sine or cosine by the quadrant's lowest bit, negated by the next one.
fn turned<O: Ops>(o: &mut O, quadrant: O::I, sin: O::F, cos: O::F) -> O::F {
    let (zero, one, two) = (o.i32(0), o.i32(1), o.i32(2));
    let odd = o.iand(quadrant, one);
    let even = o.ieq(odd, zero);
    let value = o.select(even, sin, cos);
    let upper = o.iand(quadrant, two);
    let (sign, bits) = (o.shl(upper, 30), o.bits(value));
    let signed = o.ixor(bits, sign);
    o.from_bits(signed)
}

/// Sine and cosine on [−π/4, π/4].
fn near_zero<O: Ops>(o: &mut O, r: O::F) -> (O::F, O::F) {
    let square = o.mul(r, r);
    let s = polynomial(
        o,
        square,
        &[-0.000_195_179_09, 0.008_332_187, -0.166_666_55],
    );
    let cube = o.mul(r, square);
    let sin = o.fma(s, cube, r);
    let cos = polynomial(
        o,
        square,
        &[2.443_233_6e-5, -0.001_388_731, 0.041_666_646, -0.5, 1.0],
    );
    (sin, cos)
}

/// Beyond this the reduction is no longer exact enough.
const FARTHEST: f32 = 1_048_576.0;

/// `x = quadrant · π/2 + r` (Cody & Waite 1980); the quadrant counts modulo 4. `r` is NaN where |x| > 2²⁰.
///
/// The first step is exact: `n · 1.5707964` is a multiple of 2⁻²³ and the difference is below 2.
fn reduce<O: Ops>(o: &mut O, x: O::F) -> (O::I, O::F) {
    let (per_quadrant, round) = (o.f32(std::f32::consts::FRAC_2_PI), o.f32(ROUND));
    let shifted = o.fma(x, per_quadrant, round);
    let n = o.sub(shifted, round);
    let quadrant = o.bits(shifted);
    let mut r = x;
    for part in [-1.570_796_4, 4.371_139e-8, 1.715_124_5e-15] {
        let part = o.f32(part);
        r = o.fma(n, part, r);
    }
    let (size, farthest, nan) = (o.abs(x), o.f32(FARTHEST), o.f32(f32::NAN));
    let inside = o.le(size, farthest);
    (quadrant, o.select(inside, r, nan))
}
