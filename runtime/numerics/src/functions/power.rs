//! Powers and the reciprocal square root.

use super::exponential::exp_of_sum;
use super::logarithm::split;
use super::polynomial;
use crate::ops::Ops;

/// 2/3 minus the f32 nearest to it.
const TWO_THIRDS_LOW: f32 = -1.986_821_6e-8;

/// `x` to the `y`, with the special cases of IEEE 754's `pow`.
pub fn pow<O: Ops>(o: &mut O, x: O::F, y: O::F) -> O::F {
    let magnitude = o.abs(x);
    let (high, low) = log_in_two(o, magnitude);
    let product = o.mul(y, high);
    let negated = o.neg(product);
    let error = o.fma(y, high, negated);
    let error = o.fma(y, low, error);
    let (far, zero, size) = (o.f32(256.0), o.f32(0.0), o.abs(product));
    let moderate = o.lt(size, far);
    let error = o.select(moderate, error, zero);
    let value = exp_of_sum(o, product, error);
    let value = signed(o, x, y, value);
    let one = o.f32(1.0);
    let is_one = always_one(o, x, y);
    o.select(is_one, one, value)
}

/// ln of a magnitude as `high + low`; `high` is ±∞ at the edges and NaN at NaN.
fn log_in_two<O: Ops>(o: &mut O, x: O::F) -> (O::F, O::F) {
    let (exponent, f) = split(o, x);
    // ln(1 + f) = 2 artanh(s) = 2s + (2/3 + …) s³, s = f / (2 + f).
    let s = quotient_in_two(o, f);
    let tail = tail_in_two(o, &s);
    let (ln_high, ln_low, two) = (o.f32(0.693_145_75), o.f32(1.428_606_8e-6), o.f32(2.0));
    let (whole, double) = (o.mul(exponent, ln_high), o.mul(two, s.high));
    let sum = sum_in_two(o, whole, double);
    let low = o.fma(exponent, ln_low, sum.low);
    let low = o.fma(two, s.low, low);
    let low = o.add(low, tail.low);
    let sum = sum_in_two(o, sum.high, tail.high);
    let low = o.add(low, sum.low);
    let (zero, infinity, minus_infinity) =
        (o.f32(0.0), o.f32(f32::INFINITY), o.f32(f32::NEG_INFINITY));
    let (positive, finite, is_zero) = (o.lt(zero, x), o.lt(x, infinity), o.eq(x, zero));
    let inside = o.and_b(positive, finite);
    let edge = o.select(is_zero, minus_infinity, x);
    (o.select(inside, sum.high, edge), low)
}

/// A number as an unevaluated sum (Dekker 1971).
struct InTwo<F> {
    high: F,
    low: F,
}

/// `a + b` exactly, for |a| ≥ |b| or `a = 0`.
fn sum_in_two<O: Ops>(o: &mut O, a: O::F, b: O::F) -> InTwo<O::F> {
    let high = o.add(a, b);
    let left = o.sub(a, high);
    let low = o.add(left, b);
    InTwo { high, low }
}

/// `f / (2 + f)`.
fn quotient_in_two<O: Ops>(o: &mut O, f: O::F) -> InTwo<O::F> {
    let (one, two) = (o.f32(1.0), o.f32(2.0));
    let d = sum_in_two(o, two, f);
    let inverse = o.div(one, d.high);
    let high = o.mul(f, inverse);
    let negative = o.neg(high);
    let rest = o.fma(negative, d.high, f);
    let rest = o.fma(negative, d.low, rest);
    let low = o.mul(rest, inverse);
    InTwo { high, low }
}

/// `2 artanh(s) − 2s = s³ · (2/3 + 2s²/5 + …)`.
fn tail_in_two<O: Ops>(o: &mut O, s: &InTwo<O::F>) -> InTwo<O::F> {
    let square = product_in_two(o, s.high, s.high);
    let twice = o.add(s.high, s.high);
    let square_low = o.fma(twice, s.low, square.low);
    let cube = product_in_two(o, s.high, square.high);
    let cube_low = o.fma(s.high, square_low, cube.low);
    let cube_low = o.fma(square.high, s.low, cube_low);
    let series = polynomial(o, square.high, &[0.238_760_43, 0.285_254_24, 0.400_003_94]);
    let (two_thirds, two_thirds_low) = (o.f32(0.666_666_7), o.f32(TWO_THIRDS_LOW));
    let series = o.fma(series, square.high, two_thirds_low);
    let factor = sum_in_two(o, two_thirds, series);
    let product = product_in_two(o, factor.high, cube.high);
    let low = o.fma(factor.high, cube_low, product.low);
    let low = o.fma(factor.low, cube.high, low);
    InTwo {
        high: product.high,
        low,
    }
}

/// `a · b` exactly, unless its last bits are too small for the format.
fn product_in_two<O: Ops>(o: &mut O, a: O::F, b: O::F) -> InTwo<O::F> {
    let high = o.mul(a, b);
    let negative = o.neg(high);
    let low = o.fma(a, b, negative);
    InTwo { high, low }
}

/// The sign of a power: that of `x` where `y` is odd; NaN where `x` is negative and finite and `y` no integer.
fn signed<O: Ops>(o: &mut O, x: O::F, y: O::F, value: O::F) -> O::F {
    let (whole_from, even_from) = (o.f32(8_388_608.0), o.f32(16_777_216.0));
    let (one, zero, sign) = (o.i32(1), o.i32(0), o.i32(i32::MIN));
    let size = o.abs(y);
    let truncated = o.to_int(y);
    let back = o.to_float(truncated);
    let (same, large) = (o.eq(back, y), o.le(whole_from, size));
    let whole = o.or_b(same, large);
    let last = o.iand(truncated, one);
    let (last_is_one, exact) = (o.ieq(last, one), o.lt(size, even_from));
    let odd = o.and_b(same, last_is_one);
    let odd = o.and_b(odd, exact);
    let (x_bits, value_bits) = (o.bits(x), o.bits(value));
    let x_sign = o.iand(x_bits, sign);
    let flip = o.select_i(odd, x_sign, zero);
    let flipped = o.ixor(value_bits, flip);
    let value = o.from_bits(flipped);
    let (f_zero, minus_infinity, nan) = (o.f32(0.0), o.f32(f32::NEG_INFINITY), o.f32(f32::NAN));
    let (negative, finite, broken) = (o.lt(x, f_zero), o.lt(minus_infinity, x), o.not_b(whole));
    let undefined = o.and_b(negative, finite);
    let undefined = o.and_b(undefined, broken);
    o.select(undefined, nan, value)
}

/// `y = 0`, `x = 1`, or `|x| = 1` and `y` infinite: 1 whatever the other is.
fn always_one<O: Ops>(o: &mut O, x: O::F, y: O::F) -> O::B {
    let (zero, one, infinity) = (o.f32(0.0), o.f32(1.0), o.f32(f32::INFINITY));
    let (x_size, y_size) = (o.abs(x), o.abs(y));
    let (no_power, unit) = (o.eq(y, zero), o.eq(x, one));
    let (unit_size, endless) = (o.eq(x_size, one), o.eq(y_size, infinity));
    let limit = o.and_b(unit_size, endless);
    let either = o.or_b(no_power, unit);
    o.or_b(either, limit)
}

/// `1 / √x`, both steps correctly rounded.
pub fn rsqrt<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (one, root) = (o.f32(1.0), o.sqrt(x));
    o.div(one, root)
}
