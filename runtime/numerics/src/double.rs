//! Double precision for literals, schedules and powers of β.
//!
//! Every result is the correctly rounded one, so the definition needs no algorithm: this one evaluates power series with 320
//! bits after the point. A call takes microseconds, which literals and schedules can afford; for exponentials and logarithms, of which
//! searches need millions, 70 bits are tried first.

mod constants;
mod fixed;
mod quick;

use constants::{HALF_PI, LN_2, TWO_OVER_PI};
use fixed::Fixed;

/// Squarings that undo the halvings before a power series.
const HALVINGS: u32 = 16;

/// e to the `x`.
#[must_use]
pub fn exp(x: f64) -> f64 {
    match x {
        _ if x.is_nan() => f64::NAN,
        710.0.. => f64::INFINITY,
        ..=-746.0 => 0.0,
        _ => quick::exp(x).unwrap_or_else(|| exp_of(fixed_from(x))),
    }
}

fn exp_of(x: Fixed) -> f64 {
    let (n, rest) = modulo_ln_2(x);
    exp_series(rest).to_f64(n)
}

/// `x = n · ln 2 + rest`, `rest` in [0, ln 2).
fn modulo_ln_2(x: Fixed) -> (i32, Fixed) {
    let whole = x.0[5].cast_signed();
    let mut n = (whole as f64 * std::f64::consts::LOG2_E) as i64;
    let mut rest = x.sub(LN_2.mul_integer(n));
    while rest.is_negative() {
        rest = rest.add(LN_2);
        n -= 1;
    }
    while !rest.sub(LN_2).is_negative() {
        rest = rest.sub(LN_2);
        n += 1;
    }
    (n as i32, rest)
}

/// e to the `x`, for |x| < 1.
fn exp_series(x: Fixed) -> Fixed {
    let small = x.div_integer(1 << HALVINGS);
    let (mut sum, mut term) = (Fixed::ONE, Fixed::ONE);
    for n in 1..24 {
        term = term.mul(small).div_integer(n);
        sum = sum.add(term);
    }
    (0..HALVINGS).fold(sum, |power, _| power.mul(power))
}

/// The natural logarithm.
#[must_use]
pub fn log(x: f64) -> f64 {
    match x {
        0.0 => f64::NEG_INFINITY,
        f64::INFINITY => x,
        _ if x > 0.0 => quick::log(x).unwrap_or_else(|| signed(log_of(x))),
        _ => f64::NAN,
    }
}

/// ln x for a positive finite `x`: Newton's method on the exponential.
fn log_of(x: f64) -> Fixed {
    let (mantissa, exponent) = decode(x);
    // mantissa · 2^exponent = m · 2^e with m in [0.75, 1.5).
    let length = 64 - mantissa.leading_zeros() as i32;
    let lower = mantissa >> (length - 2).max(0) == 2 || length == 1;
    let shift = if lower { length - 1 } else { length };
    let (m, e) = (Fixed::scaled(mantissa, -shift), exponent + shift);
    let start = crate::functions::scalar::log(m.to_f64(0) as f32);
    let mut y = fixed_from(f64::from(start));
    for _ in 0..4 {
        let excess = m.mul(exp_series(y.neg())).sub(Fixed::ONE);
        y = y.add(excess);
    }
    y.add(LN_2.mul_integer(i64::from(e)))
}

/// `x` to the `y`, with the special cases of IEEE 754's `pow`.
#[must_use]
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 || (x == -1.0 && y.is_infinite()) {
        return 1.0;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let whole = y.trunc() == y;
    let odd = whole && (y / 2.0).trunc() != y / 2.0;
    let magnitude = pow_of_magnitude(x.abs(), y);
    if x < 0.0 && x.is_finite() && !whole {
        return f64::NAN;
    }
    if x.is_sign_negative() && odd {
        -magnitude
    } else {
        magnitude
    }
}

fn pow_of_magnitude(x: f64, y: f64) -> f64 {
    let grows = (x > 1.0) == (y > 0.0);
    let limit = if grows { f64::INFINITY } else { 0.0 };
    if x == 1.0 {
        return 1.0;
    }
    if x == 0.0 || x.is_infinite() || y.is_infinite() {
        return limit;
    }
    let log = log_of(x);
    let size = log.abs().to_f64(0) * y.abs();
    if size > 800.0 {
        return limit;
    }
    if size < 1e-30 {
        return 1.0;
    }
    exp_of(product(log, y))
}

/// `log · y`, where the product is moderate although a factor may be great or tiny.
fn product(log: Fixed, y: f64) -> Fixed {
    let (mantissa, exponent) = decode(y);
    let mut value = log.mul(Fixed::scaled(mantissa, -53));
    let mut left = exponent + 53;
    while left != 0 {
        let step = left.clamp(-62, 62);
        value = value.shift(step);
        left -= step;
    }
    if y < 0.0 { value.neg() } else { value }
}

/// The sine of `x` radians.
#[must_use]
pub fn sin(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    // Below this, x − x³/6 rounds to x.
    if x.abs() < 1e-18 {
        return x;
    }
    let (quadrant, rest) = modulo_quadrant(x.abs());
    let value = circle(quadrant, rest);
    if x < 0.0 { -value } else { value }
}

/// The cosine of `x` radians.
#[must_use]
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (quadrant, rest) = modulo_quadrant(x.abs());
    circle(quadrant + 1, rest)
}

/// The sine of `quadrant · π/2 + rest`.
fn circle(quadrant: u64, rest: Fixed) -> f64 {
    let value = if quadrant.is_multiple_of(2) {
        sin_series(rest)
    } else {
        cos_series(rest)
    };
    signed(if quadrant & 2 == 0 {
        value
    } else {
        value.neg()
    })
}

/// `x = quadrant · π/2 + rest` for `x ≥ 0`, the quadrant modulo 4, `rest` in [−π/4, π/4] or so (Payne & Hanek 1983).
fn modulo_quadrant(x: f64) -> (u64, Fixed) {
    if x < 0.75 {
        return (0, fixed_from(x));
    }
    let (mantissa, exponent) = decode(x);
    // Bits of 2/π worth 4 and more after the product are whole turns.
    let skipped = (exponent - 2).max(0);
    let window = Fixed(std::array::from_fn(|i| {
        if i == 5 {
            0
        } else {
            bits_of_two_over_pi(skipped + 64 * (4 - i as i32))
        }
    }));
    let mut turns = window
        .mul_integer(mantissa.cast_signed())
        .shift(exponent - skipped);
    let nearest = turns.add(Fixed::scaled(1, -1)).0[5];
    turns.0[5] = turns.0[5].wrapping_sub(nearest);
    (nearest & 3, turns.mul(HALF_PI))
}

/// 64 bits of 2/π, the first of them `skipped` places after the point.
fn bits_of_two_over_pi(skipped: i32) -> u64 {
    let limb = |i: usize| {
        TWO_OVER_PI
            .len()
            .checked_sub(1 + i)
            .map_or(0, |i| TWO_OVER_PI[i])
    };
    let (whole, part) = (skipped as usize / 64, skipped % 64);
    let next = if part == 0 {
        0
    } else {
        limb(whole + 1) >> (64 - part)
    };
    limb(whole) << part | next
}

fn sin_series(x: Fixed) -> Fixed {
    alternating(x, x, 2)
}

fn cos_series(x: Fixed) -> Fixed {
    alternating(Fixed::ONE, x, 1)
}

/// `first · (1 − x²/(n(n+1)) + …)`.
fn alternating(first: Fixed, x: Fixed, n: u64) -> Fixed {
    let square = x.mul(x);
    let (mut sum, mut term) = (first, first);
    for n in (n..70).step_by(2) {
        term = term.mul(square).div_integer(n * (n + 1)).neg();
        sum = sum.add(term);
    }
    sum
}

/// The square root, as IEEE 754 defines it.
#[must_use]
pub fn sqrt(x: f64) -> f64 {
    x.sqrt()
}

/// `|x| = mantissa · 2^exponent` for a finite `x`.
fn decode(x: f64) -> (u64, i32) {
    let bits = x.abs().to_bits();
    let (field, fraction) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    if field == 0 {
        (fraction, -1074)
    } else {
        (fraction | 1 << 52, field - 1075)
    }
}

fn fixed_from(x: f64) -> Fixed {
    let (mantissa, exponent) = decode(x);
    let magnitude = Fixed::scaled(mantissa, exponent);
    if x < 0.0 { magnitude.neg() } else { magnitude }
}

fn signed(x: Fixed) -> f64 {
    let magnitude = x.abs().to_f64(0);
    if x.is_negative() {
        -magnitude
    } else {
        magnitude
    }
}
