//! Functions of f64 that give the same bits everywhere: made of the numerics contract's [`exp`] and [`log`] and of IEEE 754's
//! operations, in the order written here.

pub use mmh_numerics::double::{exp, log};
use std::sync::OnceLock;

/// ln 2 in two parts, the first short enough for exact products with an exponent.
const LN_2: [f64; 2] = [
    f64::from_bits(0x3fe6_2e42_fee0_0000),
    f64::from_bits(0x3dea_39ef_3579_2000),
];

/// √(2π).
const SQRT_TAU: f64 = 2.506_628_274_631_000_7;

/// `log(exp(a) + exp(b) + …)` of terms in their order; −∞ of none. The terms are overwritten.
pub fn log_sum_exp(terms: &mut [f64]) -> f64 {
    let mut largest = f64::NEG_INFINITY;
    for term in terms.iter() {
        largest = if *term > largest { *term } else { largest };
    }
    if !largest.is_finite() {
        return largest;
    }
    for term in terms.iter_mut() {
        *term = quick_exp(*term - largest);
    }
    let mut sum = 0.0;
    for term in terms.iter() {
        sum += term;
    }
    largest + log(sum)
}

/// `exp(x)` for x in [−690, 0], to 53 bits or nearly: for sums, where the last bit of a term does not matter. Only sums and
/// products without a branch, so that a loop of it runs on vectors.
#[inline(always)]
pub(crate) fn quick_exp(x: f64) -> f64 {
    /// Added, a number loses its fraction; the low bits of the sum are the number.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    let x = if x > -690.0 { x } else { -690.0 };
    let shifted = x * std::f64::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = x - n * LN_2[0] - n * LN_2[1];
    // Taylor's series on [−ln 2 / 2, ln 2 / 2].
    let mut sum = 1.0 / 6_227_020_800.0;
    for factorial in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
        1.0,
    ] {
        sum = sum * r + 1.0 / factorial;
    }
    f64::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 52))
}

/// The natural logarithm of a normal positive number, to 52 bits or nearly: for sums, as [`quick_exp`].
pub(crate) fn quick_log(x: f64) -> f64 {
    let bits = x.to_bits();
    // Above √2 the mantissa is halved: the exponent field of half of it is one less.
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let high = mantissa > std::f64::consts::SQRT_2;
    let (m, carry) = if high {
        (0.5 * mantissa, 1.0)
    } else {
        (mantissa, 0.0)
    };
    let e = (bits >> 52) as i32 as f64 - 1023.0 + carry;
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 1.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    e * LN_2[0] + (2.0 * s * sum + e * LN_2[1])
}

/// The distance of the places where [`normal_cdf`] is tabulated.
const STEP: f64 = 1.0 / 32.0;

/// Below this the normal distribution function is 0.
const LOWEST: f64 = -38.0;

/// Distribution function and density of the normal distribution at `−STEP · i`.
fn table() -> &'static [(f64, f64)] {
    static TABLE: OnceLock<Vec<(f64, f64)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let places = (-LOWEST / STEP) as usize + 1;
        (0..=places)
            .map(|i| {
                let z = STEP * i as f64;
                let density = exp(-0.5 * z * z) / SQRT_TAU;
                (upper_tail(z, density), density)
            })
            .collect()
    })
}

/// The normal distribution beyond `z ≥ 0`, whose density there is `density`.
fn upper_tail(z: f64, density: f64) -> f64 {
    if z < 3.0 {
        // Φ(z) − ½ = φ(z)·(z + z³/3 + z⁵/15 + …), all terms positive.
        let (mut sum, mut term, mut n) = (z, z, 1.0);
        while term > sum * 1e-18 {
            n += 2.0;
            term *= z * z / n;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // Laplace's continued fraction: φ(z) / (z + 1/(z + 2/(z + …))).
    let fraction = (1..=160).rev().fold(z, |rest, n| z + f64::from(n) / rest);
    density / fraction
}

/// The distribution function of the standard normal distribution, by Taylor's series from the nearest place of a table.
pub fn normal_cdf(z: f64) -> f64 {
    if z > 0.0 {
        return 1.0 - normal_cdf(-z);
    }
    if z.is_nan() || z <= LOWEST {
        return if z.is_nan() { z } else { 0.0 };
    }
    let index = (-z / STEP + 0.5) as usize;
    let place = index as f64;
    let (value, density) = table()[index];
    let (x, d) = (-place * STEP, z + place * STEP);
    // Derivatives of the density are Hermite polynomials times it.
    let (x2, x4) = (x * x, x * x * x * x);
    let c2 = -x / 2.0;
    let c3 = (x2 - 1.0) / 6.0;
    let c4 = -(x2 - 3.0) * x / 24.0;
    let c5 = (x4 - 6.0 * x2 + 3.0) / 120.0;
    let c6 = -(x4 - 10.0 * x2 + 15.0) * x / 720.0;
    let series = d * (1.0 + d * (c2 + d * (c3 + d * (c4 + d * (c5 + d * c6)))));
    value + density * series
}

/// The probability of `[a, b]` under the standard normal distribution, without cancellation in its tails.
pub fn normal_mass(a: f64, b: f64) -> f64 {
    if a > 0.0 {
        normal_cdf(-a) - normal_cdf(-b)
    } else {
        normal_cdf(b) - normal_cdf(a)
    }
}

/// Where the standard normal distribution function is `p`; ±38 at the ends.
pub fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    if p.is_nan() || p <= 0.0 {
        return if p.is_nan() { p } else { LOWEST };
    }
    let table = table();
    let at = table
        .partition_point(|(value, _)| *value > p)
        .min(table.len() - 1);
    let mut z = -(at as f64) * STEP;
    // Newton's method from at most one place away; in the tail on the logarithm, where the function is nearly a parabola.
    for _ in 0..4 {
        let (value, density) = (normal_cdf(z), quick_exp(-0.5 * z * z) / SQRT_TAU);
        let step = if p < 1e-3 {
            log(value / p) * value / density
        } else {
            (value - p) / density
        };
        z -= step;
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_numerics::random::{Key, Seed, Stream};

    fn numbers(count: u64) -> impl Iterator<Item = f64> {
        let stream = Stream::new(Key::derive(&Seed::from_integer(5), &[]), 0);
        (0..count).map(move |i| (stream.double_word(i) >> 11) as f64 / (1u64 << 53) as f64)
    }

    #[test]
    fn the_normal_distribution_is_right() {
        // Abramowitz & Stegun, tables 26.1 and 26.2.
        for (z, value) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (2.0, 0.977_249_868_051_821),
            (-3.0, 0.001_349_898_031_630_095),
            (-5.0, 2.866_515_718_791_94e-7),
            (-10.0, 7.619_853_024_160_5e-24),
        ] {
            assert!(
                (normal_cdf(z) / value - 1.0).abs() < 1e-12,
                "{z}: {}",
                normal_cdf(z)
            );
        }
        for u in numbers(5_000) {
            let z = normal_quantile(u);
            assert!((normal_cdf(z) - u).abs() < 1e-14, "{u}");
            let tail = u * 1e-12;
            assert!(
                (normal_cdf(normal_quantile(tail)) / tail - 1.0).abs() < 1e-9,
                "{tail}"
            );
        }
    }

    #[test]
    fn quick_logarithms_are_close() {
        for u in numbers(20_000) {
            for x in [
                u + 1e-9,
                1e300 * u + 1e290,
                1e-300 * u + 1e-305,
                1.0 + 1e-3 * u,
            ] {
                let (quick, right) = (quick_log(x), log(x));
                assert!(
                    (quick - right).abs() < 4e-16 * right.abs().max(1.0),
                    "{x:e}"
                );
            }
        }
        assert_eq!(quick_log(1.0), 0.0);
    }

    #[test]
    fn quick_exponentials_are_close() {
        for u in numbers(20_000) {
            for x in [-690.0 * u, -u, -1e-9 * u] {
                assert!((quick_exp(x) / exp(x) - 1.0).abs() < 5e-16, "{x:e}");
            }
        }
        assert_eq!(quick_exp(0.0), 1.0);
        assert!(quick_exp(f64::NEG_INFINITY) < 1e-290);
    }

    #[test]
    fn sums_of_exponentials_do_not_overflow() {
        assert!((log_sum_exp(&mut [1000.0, 1000.0]) - 1000.0 - log(2.0)).abs() < 1e-12);
        assert_eq!(log_sum_exp(&mut []), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp(&mut [f64::NEG_INFINITY, 3.0]), 3.0);
    }
}
