//! The operations a function definition may use, as a trait: one definition, many readings.
//!
//! [`Scalar`] computes; a SIMD backend computes many lanes; a code generator records what it is asked.
//! All of them must give the bits [`Scalar`] gives.

/// The closed set of operations that function definitions are written over.
///
/// Floats are IEEE 754 binary32, rounded to nearest even, subnormals kept. Integers are 32 bits, two's complement, wrapping.
/// Shift counts are constants from 0 to 31. There are no branches: a definition chooses by `select`.
#[expect(
    clippy::wrong_self_convention,
    reason = "`from_bits` is an operation of `self` upon its argument"
)]
pub trait Ops {
    /// A binary32 number, or a vector or a name of some.
    type F: Copy;
    /// A 32-bit integer, or a vector or a name of some.
    type I: Copy;
    /// A truth value, or a vector or a name of some.
    type B: Copy;

    /// The constant `value`.
    fn f32(&mut self, value: f32) -> Self::F;
    /// The constant `value`.
    fn i32(&mut self, value: i32) -> Self::I;

    /// `a + b`.
    fn add(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`.
    fn sub(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`.
    fn mul(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`, correctly rounded.
    fn div(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(&mut self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a` with its sign bit flipped.
    fn neg(&mut self, a: Self::F) -> Self::F;
    /// `a` with its sign bit cleared.
    fn abs(&mut self, a: Self::F) -> Self::F;
    /// The square root, correctly rounded.
    fn sqrt(&mut self, a: Self::F) -> Self::F;
    /// `a < b ? a : b`, so `b` where either is NaN.
    fn min(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a > b ? a : b`, so `b` where either is NaN.
    fn max(&mut self, a: Self::F, b: Self::F) -> Self::F;

    /// `a < b`; false on NaN.
    fn lt(&mut self, a: Self::F, b: Self::F) -> Self::B;
    /// `a ≤ b`; false on NaN.
    fn le(&mut self, a: Self::F, b: Self::F) -> Self::B;
    /// `a = b`; false on NaN, and −0 equals +0.
    fn eq(&mut self, a: Self::F, b: Self::F) -> Self::B;
    /// `a ≠ b`; true on NaN.
    fn ne(&mut self, a: Self::F, b: Self::F) -> Self::B;
    /// `which ? a : b`, the bits untouched.
    fn select(&mut self, which: Self::B, a: Self::F, b: Self::F) -> Self::F;
    /// `which ? a : b`.
    fn select_i(&mut self, which: Self::B, a: Self::I, b: Self::I) -> Self::I;
    /// Both.
    fn and_b(&mut self, a: Self::B, b: Self::B) -> Self::B;
    /// Either.
    fn or_b(&mut self, a: Self::B, b: Self::B) -> Self::B;
    /// The other.
    fn not_b(&mut self, a: Self::B) -> Self::B;

    /// The bits of `a`. A definition must not let a NaN's payload reach its result.
    fn bits(&mut self, a: Self::F) -> Self::I;
    /// The number whose bits are `a`.
    fn from_bits(&mut self, a: Self::I) -> Self::F;
    /// `a + b`, wrapping.
    fn iadd(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a − b`, wrapping.
    fn isub(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a · b`, wrapping.
    fn imul(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn iand(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn ior(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn ixor(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a` shifted left by `count` bits, zeros moving in.
    fn shl(&mut self, a: Self::I, count: u32) -> Self::I;
    /// `a` shifted right by `count` bits, zeros moving in.
    fn shr(&mut self, a: Self::I, count: u32) -> Self::I;
    /// `a` shifted right by `count` bits, copies of the sign moving in.
    fn sar(&mut self, a: Self::I, count: u32) -> Self::I;
    /// `a < b`, signed.
    fn ilt(&mut self, a: Self::I, b: Self::I) -> Self::B;
    /// `a = b`.
    fn ieq(&mut self, a: Self::I, b: Self::I) -> Self::B;
    /// `a < b`, unsigned.
    fn iult(&mut self, a: Self::I, b: Self::I) -> Self::B;

    /// The integer part of `a`, towards zero; saturates, and NaN gives 0.
    fn to_int(&mut self, a: Self::F) -> Self::I;
    /// The number nearest to the signed integer `a`, ties to even.
    fn to_float(&mut self, a: Self::I) -> Self::F;
}

/// The reading that computes one element: the reference for every other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar;

impl Ops for Scalar {
    type F = f32;
    type I = i32;
    type B = bool;

    #[inline(always)]
    fn f32(&mut self, value: f32) -> f32 {
        value
    }
    #[inline(always)]
    fn i32(&mut self, value: i32) -> i32 {
        value
    }
    #[inline(always)]
    fn add(&mut self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(&mut self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(&mut self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(&mut self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn fma(&mut self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn neg(&mut self, a: f32) -> f32 {
        -a
    }
    #[inline(always)]
    fn abs(&mut self, a: f32) -> f32 {
        a.abs()
    }
    #[inline(always)]
    fn sqrt(&mut self, a: f32) -> f32 {
        a.sqrt()
    }
    #[inline(always)]
    fn min(&mut self, a: f32, b: f32) -> f32 {
        crate::min(a, b)
    }
    #[inline(always)]
    fn max(&mut self, a: f32, b: f32) -> f32 {
        crate::max(a, b)
    }
    #[inline(always)]
    fn lt(&mut self, a: f32, b: f32) -> bool {
        a < b
    }
    #[inline(always)]
    fn le(&mut self, a: f32, b: f32) -> bool {
        a <= b
    }
    #[inline(always)]
    fn eq(&mut self, a: f32, b: f32) -> bool {
        a == b
    }
    #[inline(always)]
    fn ne(&mut self, a: f32, b: f32) -> bool {
        a != b
    }
    #[inline(always)]
    fn select(&mut self, which: bool, a: f32, b: f32) -> f32 {
        if which { a } else { b }
    }
    #[inline(always)]
    fn select_i(&mut self, which: bool, a: i32, b: i32) -> i32 {
        if which { a } else { b }
    }
    #[inline(always)]
    fn and_b(&mut self, a: bool, b: bool) -> bool {
        a & b
    }
    #[inline(always)]
    fn or_b(&mut self, a: bool, b: bool) -> bool {
        a | b
    }
    #[inline(always)]
    fn not_b(&mut self, a: bool) -> bool {
        !a
    }
    #[inline(always)]
    fn bits(&mut self, a: f32) -> i32 {
        a.to_bits().cast_signed()
    }
    #[inline(always)]
    fn from_bits(&mut self, a: i32) -> f32 {
        f32::from_bits(a.cast_unsigned())
    }
    #[inline(always)]
    fn iadd(&mut self, a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn isub(&mut self, a: i32, b: i32) -> i32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn imul(&mut self, a: i32, b: i32) -> i32 {
        a.wrapping_mul(b)
    }
    #[inline(always)]
    fn iand(&mut self, a: i32, b: i32) -> i32 {
        a & b
    }
    #[inline(always)]
    fn ior(&mut self, a: i32, b: i32) -> i32 {
        a | b
    }
    #[inline(always)]
    fn ixor(&mut self, a: i32, b: i32) -> i32 {
        a ^ b
    }
    #[inline(always)]
    fn shl(&mut self, a: i32, count: u32) -> i32 {
        a.wrapping_shl(count)
    }
    #[inline(always)]
    fn shr(&mut self, a: i32, count: u32) -> i32 {
        a.cast_unsigned().wrapping_shr(count).cast_signed()
    }
    #[inline(always)]
    fn sar(&mut self, a: i32, count: u32) -> i32 {
        a.wrapping_shr(count)
    }
    #[inline(always)]
    fn ilt(&mut self, a: i32, b: i32) -> bool {
        a < b
    }
    #[inline(always)]
    fn ieq(&mut self, a: i32, b: i32) -> bool {
        a == b
    }
    #[inline(always)]
    fn iult(&mut self, a: i32, b: i32) -> bool {
        a.cast_unsigned() < b.cast_unsigned()
    }
    #[inline(always)]
    fn to_int(&mut self, a: f32) -> i32 {
        a as i32
    }
    #[inline(always)]
    fn to_float(&mut self, a: i32) -> f32 {
        a as f32
    }
}
