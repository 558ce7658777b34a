//! Powers and the reciprocal square root.

use super::exponential::exp_of_sum;
use super::logarithm::split;
use super::polynomial;
use crate::ops::Ops;

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
    let (zero, one, two) = (o.f32(0.0), o.f32(1.0), o.f32(2.0));
    // ln(1 + f) = 2 artanh(s), s = f / (2 + f) = quotient + rest.
    let d = o.add(f, two);
    let d_whole = o.sub(d, two);
    let d_low = o.sub(f, d_whole);
    let inverse = o.div(one, d);
    let quotient = o.mul(f, inverse);
    let negative = o.neg(quotient);
    let rest = o.fma(negative, d, f);
    let rest = o.fma(negative, d_low, rest);
    let rest = o.mul(rest, inverse);
    let square = o.mul(quotient, quotient);
    let tail = polynomial(
        o,
        square,
        &[0.241_515_92, 0.285_035_16, 0.400_009_33, 0.666_666_6],
    );
    let cube = o.mul(quotient, square);
    let (ln_high, ln_low) = (o.f32(0.693_145_75), o.f32(1.428_606_8e-6));
    let whole = o.mul(exponent, ln_high);
    let double = o.mul(two, quotient);
    let high = o.add(whole, double);
    let left = o.sub(whole, high);
    let low = o.add(left, double);
    let low = o.fma(exponent, ln_low, low);
    let low = o.fma(two, rest, low);
    let low = o.fma(tail, cube, low);
    // Make `low` as small as a rounding error again.
    let sum = o.add(high, low);
    let moved = o.sub(sum, high);
    let (high, low) = (sum, o.sub(low, moved));
    let (infinity, minus_infinity) = (o.f32(f32::INFINITY), o.f32(f32::NEG_INFINITY));
    let (positive, finite, is_zero) = (o.lt(zero, x), o.lt(x, infinity), o.eq(x, zero));
    let inside = o.and_b(positive, finite);
    let edge = o.select(is_zero, minus_infinity, x);
    (o.select(inside, high, edge), low)
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
