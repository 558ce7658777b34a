//! The error function, its complement and GELU.

use super::exponential::{exp, exp_of_sum};
use super::polynomial;
use crate::ops::Ops;

/// The complementary error function.
pub fn erfc<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (end, zero, two) = (o.f32(10.06), o.f32(0.0), o.f32(2.0));
    let magnitude = o.abs(x);
    let a = o.min(end, magnitude);
    let scaled = scaled_erfc(o, a);
    let minus_a = o.neg(a);
    let gauss = exp_of_product(o, minus_a, a);
    let value = o.mul(scaled, gauss);
    let mirrored = o.sub(two, value);
    let negative = o.lt(x, zero);
    o.select(negative, mirrored, value)
}

/// `x · ½ · erfc(−x / √2)` (Hendrycks & Gimpel 2016), as `max(0, x) − |x|/2 · erfc(|x| / √2)`.
pub fn gelu<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (end, zero, minus_half, root_half) = (
        o.f32(14.5),
        o.f32(0.0),
        o.f32(-0.5),
        o.f32(std::f32::consts::FRAC_1_SQRT_2),
    );
    let magnitude = o.abs(x);
    let a = o.min(end, magnitude);
    let argument = o.mul(a, root_half);
    let scaled = scaled_erfc(o, argument);
    let minus_half_a = o.mul(minus_half, a);
    let gauss = exp_of_product(o, minus_half_a, a);
    let part = o.mul(minus_half_a, scaled);
    let positive = o.max(zero, x);
    o.fma(part, gauss, positive)
}

/// e to the `a · b`, the product taken exactly.
fn exp_of_product<O: Ops>(o: &mut O, a: O::F, b: O::F) -> O::F {
    let product = o.mul(a, b);
    let negated = o.neg(product);
    let low = o.fma(a, b, negated);
    exp_of_sum(o, product, low)
}

/// erfc(a) · exp(a²) for `a` in [0, 10.06]: a polynomial in `q = (a − 3) / (a + 3)`, divided by `a + 3`.
fn scaled_erfc<O: Ops>(o: &mut O, a: O::F) -> O::F {
    let (one, three, minus_six) = (o.f32(1.0), o.f32(3.0), o.f32(-6.0));
    let denominator = o.add(a, three);
    let w = o.div(one, denominator);
    let q = o.fma(minus_six, w, one);
    let h = polynomial(
        o,
        q,
        &[
            -0.000_323_615_65,
            -0.000_485_313_27,
            0.003_069_577_7,
            -0.001_232_127_2,
            -0.026_835_462,
            0.119_532_17,
            -0.310_466_47,
            0.590_227_9,
            -0.883_394_5,
            1.074_006_9,
        ],
    );
    o.mul(w, h)
}

/// The error function: a polynomial below 0.9, `1 − exp(polynomial)` above.
pub fn erf<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (end, seam, one, sign) = (o.f32(4.0), o.f32(0.9), o.f32(1.0), o.i32(i32::MIN));
    let magnitude = o.abs(x);
    let near = erf_near_zero(o, x);
    let a = o.min(end, magnitude);
    let exponent = polynomial(
        o,
        a,
        &[
            0.000_203_675_02,
            -0.003_117_851_4,
            0.022_519_078,
            -0.104_526_01,
            -0.636_518_84,
            -1.128_061,
            -0.000_104_515_54,
        ],
    );
    let complement = exp(o, exponent);
    let far = o.sub(one, complement);
    let (x_bits, far_bits) = (o.bits(x), o.bits(far));
    let x_sign = o.iand(x_bits, sign);
    let far = o.ior(far_bits, x_sign);
    let far = o.from_bits(far);
    let is_near = o.lt(magnitude, seam);
    o.select(is_near, near, far)
}

fn erf_near_zero<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let square = o.mul(x, x);
    let p = polynomial(
        o,
        square,
        &[
            -0.000_604_735_16,
            0.005_003_452_8,
            -0.026_773_045,
            0.112_819_76,
            -0.376_125_07,
            0.128_379_15,
        ],
    );
    o.fma(x, p, x)
}
