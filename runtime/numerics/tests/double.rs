//! Double precision against the platform's functions, and against values computed with 200 digits.

use mmh_numerics::double;

/// The platform's functions are within one unit in the last place; ours are correctly rounded.
fn assert_close(found: f64, platform: f64, what: &str) {
    if platform.is_nan() || platform.is_infinite() || platform == 0.0 {
        assert!(
            found == platform || (found.is_nan() && platform.is_nan()),
            "{what}: {found:e}, not {platform:e}"
        );
        return;
    }
    let distance = found.to_bits().abs_diff(platform.to_bits());
    assert!(
        distance <= 1,
        "{what}: {found:e}, {distance} ulp from {platform:e}"
    );
}

fn sample(count: u32, mut check: impl FnMut(f64, f64)) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / 9_007_199_254_740_992.0
    };
    for _ in 0..count {
        check(next(), next());
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the platform's functions are what ours are compared with"
)]
fn close_to_the_platform() {
    sample(3_000, |u, v| {
        let x = (u - 0.5) * 1500.0;
        assert_close(double::exp(x), x.exp(), &format!("exp({x:e})"));
        let x = f64::from_bits((u * f64::INFINITY.to_bits() as f64) as u64);
        assert_close(double::log(x), x.ln(), &format!("log({x:e})"));
        let near = 1.0 + (v - 0.5) * 1e-3;
        assert_close(double::log(near), near.ln(), &format!("log({near:e})"));
        assert_close(double::sin(x), x.sin(), &format!("sin({x:e})"));
        assert_close(double::cos(-x), x.cos(), &format!("cos({x:e})"));
        let angle = (v - 0.5) * 100.0;
        assert_close(double::sin(angle), angle.sin(), &format!("sin({angle:e})"));
        assert_close(double::cos(angle), angle.cos(), &format!("cos({angle:e})"));
        let (base, power) = (u * 10.0, (v - 0.5) * 600.0);
        assert_close(
            double::pow(base, power),
            base.powf(power),
            &format!("pow({base:e}, {power:e})"),
        );
    });
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the platform's special cases are IEEE 754's"
)]
fn special_cases() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        inf,
        -inf,
        nan,
        5e-324,
        f64::MAX,
        1e-300,
        1e300,
        9_007_199_254_740_993.0,
        1.0 + f64::EPSILON,
    ];
    for x in values {
        assert_close(double::exp(x), x.exp(), &format!("exp({x:e})"));
        assert_close(double::log(x), x.ln(), &format!("log({x:e})"));
        assert_close(double::sin(x), x.sin(), &format!("sin({x:e})"));
        assert_close(double::cos(x), x.cos(), &format!("cos({x:e})"));
        for y in values {
            let (found, wanted) = (double::pow(x, y), x.powf(y));
            assert_close(found, wanted, &format!("pow({x:e}, {y:e})"));
            assert!(
                found.is_nan() || found.is_sign_negative() == wanted.is_sign_negative(),
                "pow({x:e}, {y:e})"
            );
        }
    }
}

#[test]
fn ties_and_exact_results() {
    assert_eq!(double::pow(3.0, 2.0), 9.0);
    assert_eq!(double::pow(10.0, 22.0), 1e22);
    assert_eq!(double::pow(0.25, 0.5), 0.5);
    // (2²⁷ + 1)² = 2⁵⁴ + 2²⁸ + 1 lies a quarter of a unit above a double; (2²⁶ + ½)·2 squared lies on a tie.
    assert_eq!(
        double::pow(134_217_729.0, 2.0),
        134_217_729.0 * 134_217_729.0
    );
    assert_eq!(double::pow(94_906_267.0, 2.0), 94_906_267.0 * 94_906_267.0);
    assert_eq!(double::pow(2.0, -1074.0), 5e-324);
    assert_eq!(double::pow(2.0, -1075.0), 0.0);
    assert_eq!(double::exp(0.0), 1.0);
    assert_eq!(double::log(1.0).to_bits(), 0);
}

#[test]
fn correctly_rounded_where_it_is_hard() {
    for line in include_str!("double.txt").lines() {
        let mut parts = line.split_whitespace();
        let name = parts.next().expect("a name");
        let bits: Vec<f64> = parts
            .map(|p| f64::from_bits(u64::from_str_radix(p, 16).expect("hexadecimal bits")))
            .collect();
        let found = match (name, bits.as_slice()) {
            ("exp", [x, _]) => double::exp(*x),
            ("log", [x, _]) => double::log(*x),
            ("sin", [x, _]) => double::sin(*x),
            ("cos", [x, _]) => double::cos(*x),
            ("pow", [x, y, _]) => double::pow(*x, *y),
            _ => panic!("no such function: {line}"),
        };
        assert_eq!(found.to_bits(), bits[bits.len() - 1].to_bits(), "{line}");
    }
}
