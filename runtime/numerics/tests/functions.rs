//! The functions against double precision, over a sample of all inputs, and at their edges.

mod reference;

use mmh_numerics::canonical_bits;
use mmh_numerics::functions::{self, scalar};
use mmh_numerics::ops::Scalar;
use reference::{FUNCTIONS, erf, erfc, error_in_ulp};

/// A prime, so that the sample meets every exponent at other mantissas.
const STEP: usize = 10_007;

fn assert_same(found: f32, wanted: f32, what: &str) {
    assert_eq!(
        canonical_bits(found),
        canonical_bits(wanted),
        "{what}: {found:e}, not {wanted:e}"
    );
}

#[test]
fn every_function_keeps_its_published_bound() {
    for function in &FUNCTIONS {
        for bits in (0..=u32::MAX).step_by(STEP) {
            let x = f32::from_bits(bits);
            let (found, exact) = ((function.ours)(x), (function.reference)(f64::from(x)));
            let error = error_in_ulp(found, exact);
            assert!(
                error <= function.bound,
                "{}({x:e}) = {found:e} is {error} ulp off {exact:e}",
                function.name
            );
        }
    }
}

#[test]
fn the_references_are_themselves_right() {
    // Abramowitz and Stegun, table 7.1.
    assert!((erf(0.5) - 0.520_499_877_813_046_5).abs() < 1e-15);
    assert!((erf(2.0) - 0.995_322_265_018_952_7).abs() < 1e-15);
    assert!((erfc(3.0) / 2.209_049_699_858_544e-5 - 1.0).abs() < 1e-13);
    assert!((erfc(-1.0) - 1.842_700_792_949_715).abs() < 1e-15);
}

#[test]
fn edges_are_what_the_limits_are() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let table: [(&str, f32, f32); 32] = [
        ("exp", inf, inf),
        ("exp", -inf, 0.0),
        ("exp", 0.0, 1.0),
        ("exp", 88.722_83, 3.402_798_5e38),
        ("exp", 88.722_85, inf),
        ("exp", -103.97, f32::from_bits(1)),
        ("exp2", -149.0, f32::from_bits(1)),
        ("exp2", 127.0, 1.701_411_8e38),
        ("exp2", 128.0, inf),
        ("log", 0.0, -inf),
        ("log", -0.0, -inf),
        ("log", -1.0, nan),
        ("log", 1.0, 0.0),
        ("log", inf, inf),
        ("log", f32::from_bits(1), -103.278_93),
        ("log2", 8.0, 3.0),
        ("log2", f32::from_bits(1), -149.0),
        ("tanh", inf, 1.0),
        ("tanh", -inf, -1.0),
        ("tanh", -0.0, -0.0),
        ("sigmoid", inf, 1.0),
        ("sigmoid", -inf, 0.0),
        ("sigmoid", 0.0, 0.5),
        ("erf", inf, 1.0),
        ("erf", -inf, -1.0),
        ("erf", -0.0, -0.0),
        ("erfc", inf, 0.0),
        ("erfc", -inf, 2.0),
        ("gelu", inf, inf),
        ("gelu", -inf, 0.0),
        ("softplus", inf, inf),
        ("softplus", -inf, 0.0),
    ];
    for (name, x, wanted) in table {
        let function = FUNCTIONS
            .iter()
            .find(|f| f.name == name)
            .expect("a function of the table");
        assert_same((function.ours)(x), wanted, &format!("{name}({x:e})"));
    }
}

#[test]
fn nan_stays_nan() {
    for bits in [
        0x7fc0_0000,
        0xffc0_0000,
        0x7f80_0001,
        0xffff_ffff,
        0x7fc1_2345,
    ] {
        let nan = f32::from_bits(bits);
        for function in &FUNCTIONS {
            assert!(
                (function.ours)(nan).is_nan(),
                "{} of {bits:x}",
                function.name
            );
        }
        assert!(scalar::pow(nan, 2.0).is_nan() && scalar::pow(2.0, nan).is_nan());
    }
}

#[test]
fn saturating_functions_stay_in_their_range() {
    for bits in (0..=u32::MAX)
        .step_by(STEP)
        .filter(|&bits| !f32::from_bits(bits).is_nan())
    {
        let x = f32::from_bits(bits);
        assert!(
            scalar::tanh(x).abs() <= 1.0 && scalar::erf(x).abs() <= 1.0,
            "{x:e}"
        );
        assert!(
            (0.0..=1.0).contains(&scalar::sigmoid(x)) && (0.0..=2.0).contains(&scalar::erfc(x)),
            "{x:e}"
        );
        assert!(scalar::exp(x) >= 0.0);
    }
}

#[test]
fn pow_keeps_the_special_cases_of_ieee_754() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let bases = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        inf,
        -inf,
        nan,
        f32::from_bits(1),
        f32::MAX,
    ];
    let exponents = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        3.0,
        -3.0,
        0.5,
        -0.5,
        16_777_217.0,
        2_147_483_648.0,
        inf,
        -inf,
        nan,
        1e-30,
    ];
    for x in bases {
        for y in exponents {
            let exact = reference::pow(f64::from(x), f64::from(y));
            let (found, wanted) = (scalar::pow(x, y), exact as f32);
            let error = error_in_ulp(found, exact);
            assert!(
                error <= 1.0,
                "pow({x:e}, {y:e}) = {found:e}, not {wanted:e}"
            );
            assert!(
                found.is_nan() || found.is_sign_negative() == wanted.is_sign_negative(),
                "pow({x:e}, {y:e})"
            );
        }
    }
}

#[test]
fn pow_keeps_its_published_bound() {
    let (mut bits, mut worst) = (1_u32, 0.0_f64);
    for _ in 0..400_000 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let x = f32::from_bits(bits >> 1);
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Exponents that reach every size of result.
        let reach = 104.0 / reference::log(f64::from(x)).abs().max(1e-7);
        let y = (reach * (f64::from(bits) / 2_147_483_648.0 - 1.0)) as f32;
        let (found, exact) = (
            scalar::pow(x, y),
            reference::pow(f64::from(x), f64::from(y)),
        );
        let error = error_in_ulp(found, exact);
        worst = worst.max(error);
        assert!(
            error <= 1.25,
            "pow({x:e}, {y:e}) = {found:e} is {error} ulp off {exact:e}"
        );
    }
    assert!(worst > 0.4, "the sample must reach real work: {worst}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the reference")]
fn parts_of_a_turn_reach_every_quadrant() {
    for turn in (0..1 << 24)
        .step_by(101)
        .chain([1 << 21, 1 << 22, 1 << 23, 3 << 22, (1 << 24) - 1])
    {
        let (sin, cos) = functions::sin_cos_turn(&mut Scalar, turn);
        let angle = f64::from(turn) * std::f64::consts::TAU / 16_777_216.0;
        assert!((f64::from(sin) - angle.sin()).abs() < 1e-7, "{turn}");
        assert!((f64::from(cos) - angle.cos()).abs() < 1e-7, "{turn}");
    }
}
