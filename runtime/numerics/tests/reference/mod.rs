//! What the functions are measured against: the same functions in double precision.
#![expect(
    clippy::disallowed_methods,
    reason = "the platform's libm is what the contract's functions are compared with"
)]

use mmh_numerics::functions::scalar;

/// A function of one argument, its reference, and the bound `docs/numerics.md` publishes.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) ours: fn(f32) -> f32,
    pub(crate) reference: fn(f64) -> f64,
    pub(crate) bound: f64,
}

pub(crate) const FUNCTIONS: [Function; 14] = [
    function("exp", scalar::exp, f64::exp, 1.0),
    function("exp2", scalar::exp2, f64::exp2, 1.0),
    function("log", scalar::log, f64::ln, 1.0),
    function("log2", scalar::log2, f64::log2, 2.0),
    function("tanh", scalar::tanh, f64::tanh, 6.0),
    function("sigmoid", scalar::sigmoid, sigmoid, 2.5),
    function("silu", scalar::silu, silu, 64.0),
    function("softplus", scalar::softplus, softplus, 2.25),
    function("erf", scalar::erf, erf, 1.25),
    function("erfc", scalar::erfc, erfc, 7.5),
    function("gelu", scalar::gelu, gelu, 8.0),
    function("sin", scalar::sin, sin, 2.0),
    function("cos", scalar::cos, cos, 2.0),
    function("rsqrt", scalar::rsqrt, rsqrt, 1.5),
];

const fn function(
    name: &'static str,
    ours: fn(f32) -> f32,
    reference: fn(f64) -> f64,
    bound: f64,
) -> Function {
    Function {
        name,
        ours,
        reference,
        bound,
    }
}

/// The range in which sine and cosine are defined.
const FARTHEST: f64 = 1_048_576.0;

fn sin(x: f64) -> f64 {
    if x.abs() <= FARTHEST {
        x.sin()
    } else {
        f64::NAN
    }
}

fn cos(x: f64) -> f64 {
    if x.abs() <= FARTHEST {
        x.cos()
    } else {
        f64::NAN
    }
}

/// The distance of `value` from `exact` in units in the last place of an f32 near `exact`.
pub(crate) fn error_in_ulp(value: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if value == rounded || (value.is_nan() && exact.is_nan()) {
        // Correctly rounded: at most half, exactly as much as the format itself loses.
        let loss = (f64::from(value) - exact).abs();
        return if loss.is_finite() {
            loss / ulp(exact)
        } else {
            0.0
        };
    }
    if value.is_infinite() && exact.abs() < 1e39 {
        // The number after the greatest one stands in for infinity.
        return (2.0_f64.powi(128).copysign(f64::from(value)) - exact).abs() / ulp(exact);
    }
    let error = (f64::from(value) - exact).abs() / ulp(exact);
    if error.is_nan() { f64::INFINITY } else { error }
}

fn ulp(exact: f64) -> f64 {
    let exponent = (exact.abs().to_bits() >> 52) as i64 - 1023;
    let unit = exponent.clamp(-126, 127) - 23;
    f64::from_bits(((unit + 1023) as u64) << 52)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p() + if x.is_nan() { x } else { 0.0 }
}

fn rsqrt(x: f64) -> f64 {
    1.0 / x.sqrt()
}

fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        0.0
    } else {
        x * 0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }
}

pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() < 2.0 {
        erf_series(x)
    } else {
        (1.0 - erfc_fraction(x.abs())).copysign(x)
    }
}

pub(crate) fn erfc(x: f64) -> f64 {
    match x {
        2.0.. => erfc_fraction(x),
        ..-2.0 => 2.0 - erfc_fraction(-x),
        _ => 1.0 - erf_series(x),
    }
}

/// erf x = 2/√π · e^(−x²) · (x + 2x³/3 + 4x⁵/15 + …): all terms of one sign.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// erfc x = e^(−x²) / √π / (x + ½/(x + 1/(x + 3⁄2/(x + …)))), for x ≥ 2.
fn erfc_fraction(x: f64) -> f64 {
    if x > 30.0 {
        return 0.0;
    }
    let tail = (1..=120)
        .rev()
        .fold(x, |tail, n| x + f64::from(n) * 0.5 / tail);
    let square = x * x;
    let low = x.mul_add(x, -square);
    (-square).exp() * (1.0 - low) * 0.5 * std::f64::consts::FRAC_2_SQRT_PI / tail
}

pub(crate) fn log(x: f64) -> f64 {
    x.ln()
}

pub(crate) fn pow(x: f64, y: f64) -> f64 {
    x.powf(y)
}
