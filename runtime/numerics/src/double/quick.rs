//! Exponentials and logarithms to some 70 bits: what they settle is the correctly rounded result, as nearly all is (Ziv 1991).

/// ln 2 in three parts, the first two short enough for exact products with an exponent.
const LN_2: [f64; 3] = [
    f64::from_bits(0x3fe6_2e42_fee0_0000),
    f64::from_bits(0x3dea_39ef_3579_2000),
    f64::from_bits(0x3b6c_7673_007e_5ed6),
];

/// Relative error that a fast result may have: 2⁻⁶⁸.
const DOUBT: f64 = 1.0 / (1u64 << 34) as f64 / (1u64 << 34) as f64;

/// A sum of two doubles, the second below half a unit in the last place of the first.
type Pair = (f64, f64);

fn two_sum(a: f64, b: f64) -> Pair {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

fn add(a: Pair, b: Pair) -> Pair {
    let (high, low) = two_sum(a.0, b.0);
    two_sum(high, low + (a.1 + b.1))
}

fn mul(a: Pair, b: Pair) -> Pair {
    let high = a.0 * b.0;
    let low = a.0.mul_add(b.0, -high) + (a.0 * b.1 + a.1 * b.0);
    two_sum(high, low)
}

/// The double nearest to `pair`, if an error of `doubt` cannot change it.
fn settled(pair: Pair, doubt: f64) -> Option<f64> {
    let (less, more) = (pair.0 + (pair.1 - doubt), pair.0 + (pair.1 + doubt));
    (less == more).then_some(less)
}

/// `2^n` for a normal result.
fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023).clamp(1, 2046) as u64) << 52)
}

/// `exp(x)` as a mantissa near 1 and an exponent, for |x| ≤ 700.
fn exp_pair(x: Pair) -> (Pair, i64) {
    let n = (x.0 * std::f64::consts::LOG2_E).round();
    let mut rest = two_sum(x.0, -n * LN_2[0]);
    rest = add(rest, (-n * LN_2[1], x.1));
    rest = add(rest, (-n * LN_2[2], 0.0));
    let q = (rest.0 / 256.0, rest.1 / 256.0);
    // e^q − 1 = q + q²/2 + q³·(1/6 + …); then e^2q − 1 = 2(e^q − 1) + (e^q − 1)², eight times.
    let square = mul(q, q);
    let tail = (1.0 / 720.0_f64)
        .mul_add(q.0, 1.0 / 120.0)
        .mul_add(q.0, 1.0 / 24.0);
    let tail = tail.mul_add(q.0, 1.0 / 6.0) * (square.0 * q.0);
    let mut less_one = add(add(q, (square.0 / 2.0, square.1 / 2.0)), (tail, 0.0));
    for _ in 0..8 {
        let square = mul(less_one, less_one);
        less_one = add((2.0 * less_one.0, 2.0 * less_one.1), square);
    }
    (add((1.0, 0.0), less_one), n as i64)
}

/// e to the `x`, where that is settled.
pub(super) fn exp(x: f64) -> Option<f64> {
    if !(-700.0..=700.0).contains(&x) {
        return None;
    }
    let (mantissa, exponent) = exp_pair((x, 0.0));
    let value = settled(mantissa, mantissa.0 * DOUBT)?;
    Some(value * power_of_two(exponent))
}

/// The natural logarithm, where that is settled.
pub(super) fn log(x: f64) -> Option<f64> {
    if !x.is_normal() || x < 0.0 {
        return None;
    }
    // x = m · 2^e with m in [0.7, 1.42).
    let bits = x.to_bits();
    let mut e = ((bits >> 52) as i64) - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        (m, e) = (m / 2.0, e + 1);
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..12).rev().fold(0.0, |sum: f64, k| {
        sum.mul_add(square, 1.0 / (2 * k + 1) as f64)
    });
    let near = 2.0 * s * series;
    // One step of Newton's method: log m = y + d − d²/2 with d = m·e^−y − 1.
    let (inverse, n) = exp_pair((-near, 0.0));
    let scale = power_of_two(n);
    let excess = add(
        mul((m, 0.0), (inverse.0 * scale, inverse.1 * scale)),
        (-1.0, 0.0),
    );
    let mut value = add((near, 0.0), excess);
    let whole = e as f64;
    value = add(value, (whole * LN_2[1], whole * LN_2[2]));
    value = add((whole * LN_2[0], 0.0), value);
    // The error of the exponential is absolute here: its result was near 1.
    let doubt = DOUBT * value.0.abs().max(1.0);
    settled(value, doubt).filter(|_| x != 1.0)
}

#[cfg(test)]
mod tests {
    use crate::double;
    use crate::random::{Key, Seed, Stream};

    fn numbers(count: u64) -> impl Iterator<Item = f64> {
        let stream = Stream::new(Key::derive(&Seed::from_integer(5), &[]), 0);
        (0..count).map(move |i| (stream.double_word(i) >> 11) as f64 / (1u64 << 53) as f64)
    }

    #[test]
    fn what_is_settled_is_what_the_definition_gives() {
        let (mut asked, mut settled) = (0, 0);
        let mut agree = |quick: Option<f64>, right: f64, what: &str| {
            asked += 1;
            if let Some(quick) = quick {
                settled += 1;
                assert_eq!(quick.to_bits(), right.to_bits(), "{what}");
            }
        };
        for u in numbers(20_000) {
            for x in [u, 20.0 * u - 10.0, 1400.0 * u - 700.0, 1e-9 * u, -1e-3 * u] {
                let right = double::exp_of(double::fixed_from(x));
                agree(super::exp(x), right, &format!("exp {x:e}"));
            }
            for x in [
                u,
                1.0 + 1e-6 * u,
                1.0 - 1e-9 * u,
                1e300 * u,
                1e-300 * u,
                40.0 * u,
            ] {
                let right = double::signed(double::log_of(x));
                agree(super::log(x), right, &format!("log {x:e}"));
            }
        }
        assert!(settled * 10 > asked * 8, "{settled} of {asked}");
    }

    #[test]
    fn ends_are_left_to_the_definition() {
        for x in [0.0, -1.0, 1.0, 1e-310, f64::INFINITY, f64::NAN] {
            assert_eq!(super::log(x), None, "{x}");
        }
        for x in [701.0, -701.0, f64::INFINITY, f64::NAN] {
            assert_eq!(super::exp(x), None, "{x}");
        }
    }
}
