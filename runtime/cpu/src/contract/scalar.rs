//! The portable vector: lanes of plain Rust. It needs no instruction set.

use super::vector::Vector;

/// `N` floats; four of them the compiler may keep in one 128-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>([f32; N]);

/// Whether the build target has a fused multiply-add that `f32::mul_add` becomes.
const NATIVE_FMA: bool = cfg!(any(
    target_feature = "fma",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "powerpc64"
));

/// `a · b + c` rounded once, by double precision and rounding to odd (Boldo and Melquiond, "Emulation of FMA and
/// correctly rounded sums", 2008).
///
/// The product of two `f32` is exact in `f64`. The sum is rounded to odd at 53 bits: its exact error (TwoSum) tells
/// whether it was inexact and which way. 53 ≥ 24 + 2, so rounding that to `f32`, subnormal or not, rounds once.
#[inline(always)]
pub(crate) fn soft_fma(a: f32, b: f32, c: f32) -> f32 {
    let (product, addend) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + addend;
    let part = sum - product;
    let error = (product - (sum - part)) + (addend - part);
    // An infinite or NaN sum has a NaN error, for which both comparisons are false.
    let inexact = 0u64.wrapping_sub(u64::from((error < 0.0) | (error > 0.0)));
    let bits = sum.to_bits();
    let even = (bits & 1).wrapping_sub(1);
    let away = 1u64.wrapping_sub(((bits ^ error.to_bits()) >> 63) << 1);
    f64::from_bits(bits.wrapping_add(away & inexact & even)) as f32
}

#[inline(always)]
fn fma(a: f32, b: f32, c: f32) -> f32 {
    if NATIVE_FMA {
        a.mul_add(b, c)
    } else {
        soft_fma(a, b, c)
    }
}

impl<const N: usize> Vector for Portable<N> {
    const LANES: usize = N;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; N])
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller vouches for one element.
        Self([unsafe { *from }; N])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for `N` elements.
        Self(unsafe { from.cast::<[f32; N]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for `N` elements.
        unsafe { to.cast::<[f32; N]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; N];
        for (place, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` elements.
            *lane = unsafe { *from.add(place) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        for (place, lane) in self.0.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` elements.
            unsafe { *to.add(place) = lane }
        }
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            fma(a.0[lane], b.0[lane], self.0[lane])
        }))
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }
}

#[cfg(test)]
mod tests {
    use super::soft_fma;

    fn check(a: f32, b: f32, c: f32) {
        let (got, want) = (soft_fma(a, b, c), a.mul_add(b, c));
        let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(same, "fma({a:e}, {b:e}, {c:e}) is {want:e}, soft {got:e}");
    }

    fn power(exponent: i32) -> f32 {
        f32::from_bits(((127 + exponent) as u32) << 23)
    }

    /// Values around every place where rounding changes its behaviour.
    fn landmarks() -> Vec<f32> {
        let positive = [
            0.0,
            f32::from_bits(1),
            f32::from_bits(2),
            f32::from_bits(3),
            f32::from_bits(0x007f_ffff),
            f32::MIN_POSITIVE,
            f32::from_bits(0x0080_0001),
            1e-30,
            1.5e-23,
            power(-75),
            power(-74),
            power(-63),
            f32::EPSILON,
            f32::EPSILON / 2.0,
            0.1,
            0.5,
            1.0 - f32::EPSILON / 2.0,
            1.0,
            1.0 + f32::EPSILON,
            1.5,
            2.0,
            3.0,
            4097.0,
            16_777_215.0,
            16_777_216.0,
            power(63),
            power(64),
            power(104),
            power(127),
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
        ];
        positive.iter().flat_map(|&x| [x, -x]).collect()
    }

    #[test]
    fn soft_fma_equals_fma_at_landmarks() {
        let values = landmarks();
        for &a in &values {
            for &b in &values {
                values.iter().for_each(|&c| check(a, b, c));
            }
        }
    }

    #[test]
    fn soft_fma_equals_fma_on_random_bits_and_cancellations() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from_bits((state >> 16) as u32)
        };
        for _ in 0..3_000_000 {
            let (a, b, c) = (next(), next(), next());
            check(a, b, c);
            let near = -(a * b);
            check(a, b, near);
            check(a, b, f32::from_bits(near.to_bits() ^ 1));
            // An addend half an ulp of the product away, or far below it: ties and sticky bits.
            check(a, b, near * f32::EPSILON);
            check(a, b, near * 0.5 * f32::EPSILON);
            check(a, 1.0 + f32::EPSILON, c * 1e-12);
        }
    }
}
