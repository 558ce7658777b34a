//! One lane, in portable Rust.

use super::lanes::{Lanes, methods};
use mmh_numerics::{Ops, Scalar};

/// One lane; needs nothing.
#[derive(Clone, Copy)]
pub(crate) struct One;

macro_rules! through_scalar {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($arg: $ty),*) -> $out {
                Ops::$name(&mut Scalar, $($arg),*)
            }
        )*
    };
}

impl Lanes for One {
    type F = f32;
    type I = i32;
    type M = bool;
    const LANES: usize = 1;

    through_scalar! {
        add(a: f32, b: f32) -> f32;
        sub(a: f32, b: f32) -> f32;
        mul(a: f32, b: f32) -> f32;
        div(a: f32, b: f32) -> f32;
        fma(a: f32, b: f32, c: f32) -> f32;
        neg(a: f32) -> f32;
        abs(a: f32) -> f32;
        sqrt(a: f32) -> f32;
        min(a: f32, b: f32) -> f32;
        max(a: f32, b: f32) -> f32;
        lt(a: f32, b: f32) -> bool;
        le(a: f32, b: f32) -> bool;
        eq(a: f32, b: f32) -> bool;
        ne(a: f32, b: f32) -> bool;
        select(which: bool, a: f32, b: f32) -> f32;
        select_i(which: bool, a: i32, b: i32) -> i32;
        and_b(a: bool, b: bool) -> bool;
        or_b(a: bool, b: bool) -> bool;
        not_b(a: bool) -> bool;
        bits(a: f32) -> i32;
        from_bits(a: i32) -> f32;
        iadd(a: i32, b: i32) -> i32;
        isub(a: i32, b: i32) -> i32;
        imul(a: i32, b: i32) -> i32;
        iand(a: i32, b: i32) -> i32;
        ior(a: i32, b: i32) -> i32;
        ixor(a: i32, b: i32) -> i32;
        ilt(a: i32, b: i32) -> bool;
        ieq(a: i32, b: i32) -> bool;
        iult(a: i32, b: i32) -> bool;
        to_int(a: f32) -> i32;
        to_float(a: i32) -> f32;
    }

    methods! {
        splat(value: f32) -> f32 = value;
        splat_i(value: i32) -> i32 = value;
        iota() -> i32 = 0;
        shl<const N>(a: i32) -> i32 = Scalar.shl(a, N as u32);
        shr<const N>(a: i32) -> i32 = Scalar.shr(a, N as u32);
        sar<const N>(a: i32) -> i32 = Scalar.sar(a, N as u32);
    }

    #[inline(always)]
    unsafe fn load<const FULL: bool>(from: *const u8, _count: usize) -> f32 {
        // SAFETY: the caller vouches for one element.
        unsafe { from.cast::<f32>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store<const FULL: bool>(to: *mut u8, value: f32, _count: usize) {
        // SAFETY: the caller vouches for one element.
        unsafe { to.cast::<f32>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn load_u8<const FULL: bool>(from: *const u8, _count: usize) -> i32 {
        // SAFETY: the caller vouches for one element.
        i32::from(unsafe { from.read() })
    }

    #[inline(always)]
    unsafe fn store_u8<const FULL: bool>(to: *mut u8, value: i32, _count: usize) {
        // SAFETY: the caller vouches for one element.
        unsafe { to.write(value as u8) }
    }

    #[inline(always)]
    unsafe fn gather<const FULL: bool>(from: *const u8, _step: isize, _count: usize) -> f32 {
        // SAFETY: the caller vouches for one element.
        unsafe { Self::load::<true>(from, 1) }
    }

    #[inline(always)]
    unsafe fn scatter<const FULL: bool>(to: *mut u8, _step: isize, value: f32, _count: usize) {
        // SAFETY: the caller vouches for one element.
        unsafe { Self::store::<true>(to, value, 1) }
    }

    #[inline(always)]
    unsafe fn gather_u8<const FULL: bool>(from: *const u8, _step: isize, _count: usize) -> i32 {
        // SAFETY: the caller vouches for one element.
        unsafe { Self::load_u8::<true>(from, 1) }
    }

    #[inline(always)]
    unsafe fn scatter_u8<const FULL: bool>(to: *mut u8, _step: isize, value: i32, _count: usize) {
        // SAFETY: the caller vouches for one element.
        unsafe { Self::store_u8::<true>(to, value, 1) }
    }
}
