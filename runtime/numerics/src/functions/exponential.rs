//! Exponentials: Cody and Waite's reduction, a polynomial of degree 6, and the power of two in two factors.

use super::polynomial;
use crate::ops::Ops;

/// 1.5 · 2²³ + 254: adding it rounds to an integer and leaves `n + 254` in the low bits.
const ROUND: f32 = 12_583_166.0;

/// e to the `x`. At most 1 ulp.
pub fn exp<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let r = reduce(o, x);
    raise(o, r)
}

/// e to the `x + low`, for a `low` much smaller than `x`.
pub(super) fn exp_of_sum<O: Ops>(o: &mut O, x: O::F, low: O::F) -> O::F {
    let mut reduced = reduce(o, x);
    reduced.rest = o.add(reduced.rest, low);
    raise(o, reduced)
}

/// `x = n · ln 2 + rest`, with `n + 254` in the low bits of `shifted`.
struct Reduced<F> {
    shifted: F,
    rest: F,
}

fn reduce<O: Ops>(o: &mut O, x: O::F) -> Reduced<O::F> {
    let (top, bottom) = (o.f32(89.0), o.f32(-104.0));
    let x = o.min(top, x);
    let x = o.max(bottom, x);
    let (log2_e, round) = (o.f32(std::f32::consts::LOG2_E), o.f32(ROUND));
    let shifted = o.fma(x, log2_e, round);
    let n = o.sub(shifted, round);
    let (high, low) = (o.f32(-0.693_145_75), o.f32(-1.428_606_8e-6));
    let rest = o.fma(n, high, x);
    let rest = o.fma(n, low, rest);
    Reduced { shifted, rest }
}

fn raise<O: Ops>(o: &mut O, Reduced { shifted, rest: r }: Reduced<O::F>) -> O::F {
    let p = polynomial(
        o,
        r,
        &[
            0.001_381_893_9,
            0.008_368_704,
            0.041_668_29,
            0.166_665_21,
            0.499_999_94,
            1.0,
        ],
    );
    let (first, second) = halves(o, shifted);
    let scaled = o.mul(r, first);
    let value = o.fma(p, scaled, first);
    o.mul(value, second)
}

/// Two powers of two whose product is 2ⁿ, each a normal number.
fn halves<O: Ops>(o: &mut O, shifted: O::F) -> (O::F, O::F) {
    let j = o.bits(shifted);
    let lesser = o.shr(j, 1);
    let greater = o.isub(j, lesser);
    let (lesser, greater) = (o.shl(lesser, 23), o.shl(greater, 23));
    (o.from_bits(lesser), o.from_bits(greater))
}

/// 2 to the `x`.
pub fn exp2<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (top, bottom, round) = (o.f32(129.0), o.f32(-151.0), o.f32(ROUND));
    let x = o.min(top, x);
    let x = o.max(bottom, x);
    let shifted = o.add(x, round);
    let n = o.sub(shifted, round);
    let r = o.sub(x, n);
    let p = polynomial(
        o,
        r,
        &[
            0.000_153_292_64,
            0.001_339_096_9,
            0.009_618_499,
            0.055_503_596,
            0.240_226_48,
            std::f32::consts::LN_2,
        ],
    );
    let (first, second) = halves(o, shifted);
    let scaled = o.mul(r, first);
    let value = o.fma(p, scaled, first);
    o.mul(value, second)
}
