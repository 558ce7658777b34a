//! NEON, which every AArch64 processor has.

use super::lanes::{Lanes, methods};
use std::arch::aarch64::*;

/// Four lanes; needs `neon`.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Lanes for Neon {
    type F = float32x4_t;
    type I = int32x4_t;
    type M = uint32x4_t;
    const LANES: usize = 4;

    methods! {
        splat(value: f32) -> float32x4_t = vdupq_n_f32(value);
        splat_i(value: i32) -> int32x4_t = vdupq_n_s32(value);
        iota() -> int32x4_t = vld1q_s32([0, 1, 2, 3].as_ptr());
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        neg(a: float32x4_t) -> float32x4_t = vnegq_f32(a);
        abs(a: float32x4_t) -> float32x4_t = vabsq_f32(a);
        sqrt(a: float32x4_t) -> float32x4_t = vsqrtq_f32(a);
        // The instructions named min and max pass NaN from either side.
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        lt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcltq_f32(a, b);
        le(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcleq_f32(a, b);
        eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vceqq_f32(a, b);
        ne(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vmvnq_u32(vceqq_f32(a, b));
        select(which: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(which, a, b);
        select_i(which: uint32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t = vbslq_s32(which, a, b);
        and_b(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vandq_u32(a, b);
        or_b(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t = vorrq_u32(a, b);
        not_b(a: uint32x4_t) -> uint32x4_t = vmvnq_u32(a);
        bits(a: float32x4_t) -> int32x4_t = vreinterpretq_s32_f32(a);
        from_bits(a: int32x4_t) -> float32x4_t = vreinterpretq_f32_s32(a);
        iadd(a: int32x4_t, b: int32x4_t) -> int32x4_t = vaddq_s32(a, b);
        isub(a: int32x4_t, b: int32x4_t) -> int32x4_t = vsubq_s32(a, b);
        imul(a: int32x4_t, b: int32x4_t) -> int32x4_t = vmulq_s32(a, b);
        iand(a: int32x4_t, b: int32x4_t) -> int32x4_t = vandq_s32(a, b);
        ior(a: int32x4_t, b: int32x4_t) -> int32x4_t = vorrq_s32(a, b);
        ixor(a: int32x4_t, b: int32x4_t) -> int32x4_t = veorq_s32(a, b);
        shl<const N>(a: int32x4_t) -> int32x4_t = vshlq_s32(a, vdupq_n_s32(N));
        // A shift by a negative count goes right.
        shr<const N>(a: int32x4_t) -> int32x4_t = vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vdupq_n_s32(-N)));
        sar<const N>(a: int32x4_t) -> int32x4_t = vshlq_s32(a, vdupq_n_s32(-N));
        ilt(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vcltq_s32(a, b);
        ieq(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vceqq_s32(a, b);
        iult(a: int32x4_t, b: int32x4_t) -> uint32x4_t = vcltq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b));
        // Saturates, and NaN gives 0.
        to_int(a: float32x4_t) -> int32x4_t = vcvtq_s32_f32(a);
        to_float(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
    }

    #[inline(always)]
    unsafe fn load<const FULL: bool>(from: *const u8, count: usize) -> float32x4_t {
        let mut lanes = [0f32; 4];
        // SAFETY: the caller vouches for the elements, 4 or fewer.
        unsafe {
            std::ptr::copy_nonoverlapping(
                from,
                lanes.as_mut_ptr().cast(),
                if FULL { 16 } else { count * 4 },
            );
            vld1q_f32(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store<const FULL: bool>(to: *mut u8, value: float32x4_t, count: usize) {
        let mut lanes = [0f32; 4];
        // SAFETY: the caller vouches for the elements, 4 or fewer.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(
                lanes.as_ptr().cast(),
                to,
                if FULL { 16 } else { count * 4 },
            );
        }
    }

    #[inline(always)]
    unsafe fn load_u8<const FULL: bool>(from: *const u8, count: usize) -> int32x4_t {
        let mut bytes = [0u8; 8];
        // SAFETY: the caller vouches for the elements, 4 or fewer.
        unsafe {
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), if FULL { 4 } else { count });
            let words = vmovl_u8(vld1_u8(bytes.as_ptr()));
            vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(words)))
        }
    }

    #[inline(always)]
    unsafe fn store_u8<const FULL: bool>(to: *mut u8, value: int32x4_t, count: usize) {
        let mut bytes = [0u8; 8];
        // SAFETY: the caller vouches for the elements, 4 or fewer.
        unsafe {
            let halves = vmovn_u32(vreinterpretq_u32_s32(value));
            vst1_u8(bytes.as_mut_ptr(), vmovn_u16(vcombine_u16(halves, halves)));
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, if FULL { 4 } else { count });
        }
    }
}
