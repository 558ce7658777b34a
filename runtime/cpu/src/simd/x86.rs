//! AVX2 with FMA, and AVX-512.

use super::lanes::{Lanes, methods};
use std::arch::x86_64::*;

/// Eight lanes; needs `avx2` and `fma`.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// Sixteen lanes; needs `avx512f`, `avx2` and `fma`.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// Loading eight words at `8 - count` gives a mask of the first `count` lanes.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// 2³¹, the first f32 that no i32 holds.
const TOO_LARGE: f32 = 2_147_483_648.0;

impl Lanes for Avx2 {
    type F = __m256;
    type I = __m256i;
    type M = __m256i;
    const LANES: usize = 8;

    methods! {
        splat(value: f32) -> __m256 = _mm256_set1_ps(value);
        splat_i(value: i32) -> __m256i = _mm256_set1_epi32(value);
        iota() -> __m256i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        neg(a: __m256) -> __m256 = _mm256_xor_ps(a, _mm256_set1_ps(-0.0));
        abs(a: __m256) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        // The instruction is `a < b ? a : b`, the second operand where either is NaN or both are zeros; so for max.
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        lt(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b));
        le(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b));
        eq(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
        ne(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_NEQ_UQ>(a, b));
        select(which: __m256i, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, _mm256_castsi256_ps(which));
        select_i(which: __m256i, a: __m256i, b: __m256i) -> __m256i = _mm256_blendv_epi8(b, a, which);
        and_b(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        or_b(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        not_b(a: __m256i) -> __m256i = _mm256_xor_si256(a, _mm256_set1_epi32(-1));
        bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        from_bits(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        iadd(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        isub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        imul(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        iand(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        ior(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        ixor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        shl<const N>(a: __m256i) -> __m256i = _mm256_slli_epi32::<N>(a);
        shr<const N>(a: __m256i) -> __m256i = _mm256_srli_epi32::<N>(a);
        sar<const N>(a: __m256i) -> __m256i = _mm256_srai_epi32::<N>(a);
        ilt(a: __m256i, b: __m256i) -> __m256i = _mm256_cmpgt_epi32(b, a);
        ieq(a: __m256i, b: __m256i) -> __m256i = _mm256_cmpeq_epi32(a, b);
        iult(a: __m256i, b: __m256i) -> __m256i = {
            let sign = _mm256_set1_epi32(i32::MIN);
            _mm256_cmpgt_epi32(_mm256_xor_si256(b, sign), _mm256_xor_si256(a, sign))
        };
        // The instruction gives i32::MIN for whatever does not fit: too large becomes i32::MAX, NaN becomes 0.
        to_int(a: __m256) -> __m256i = {
            let large = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GE_OQ>(a, _mm256_set1_ps(TOO_LARGE)));
            let number = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(a, a));
            _mm256_and_si256(_mm256_xor_si256(_mm256_cvttps_epi32(a), large), number)
        };
        to_float(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
    }

    #[inline(always)]
    unsafe fn load<const FULL: bool>(from: *const u8, count: usize) -> __m256 {
        // SAFETY: the caller vouches for the elements; `count < 8` keeps the mask inside its table, and masked lanes are not read.
        unsafe {
            if FULL {
                return _mm256_loadu_ps(from.cast());
            }
            let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast());
            _mm256_maskload_ps(from.cast(), mask)
        }
    }

    /// Tails by halves: a masked store takes dozens of cycles on AMD before Zen 5.
    #[inline(always)]
    unsafe fn store<const FULL: bool>(to: *mut u8, value: __m256, count: usize) {
        // SAFETY: the caller vouches for the elements; the three parts are `count` elements together.
        unsafe {
            if FULL {
                return _mm256_storeu_ps(to.cast(), value);
            }
            let (mut rest, mut to) = (_mm256_castps256_ps128(value), to.cast::<f32>());
            if count & 4 != 0 {
                _mm_storeu_ps(to, rest);
                (rest, to) = (_mm256_extractf128_ps::<1>(value), to.add(4));
            }
            if count & 2 != 0 {
                _mm_storel_pd(to.cast(), _mm_castps_pd(rest));
                (rest, to) = (_mm_movehl_ps(rest, rest), to.add(2));
            }
            if count & 1 != 0 {
                _mm_store_ss(to, rest);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_u8<const FULL: bool>(from: *const u8, count: usize) -> __m256i {
        let mut bytes = [0u8; 8];
        // SAFETY: the caller vouches for the elements, 8 or fewer.
        unsafe {
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), if FULL { 8 } else { count });
            _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes)))
        }
    }

    #[inline(always)]
    unsafe fn store_u8<const FULL: bool>(to: *mut u8, value: __m256i, count: usize) {
        // SAFETY: the caller vouches for the elements, 8 or fewer.
        unsafe {
            let first = _mm256_set1_epi32(0x0c08_0400);
            let fours = _mm256_shuffle_epi8(value, first);
            let (low, high) = (
                _mm256_castsi256_si128(fours),
                _mm256_extracti128_si256::<1>(fours),
            );
            let bytes = _mm_cvtsi128_si64(_mm_unpacklo_epi32(low, high)).to_le_bytes();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, if FULL { 8 } else { count });
        }
    }

    #[inline(always)]
    unsafe fn load_bf16<const FULL: bool>(from: *const u8, count: usize) -> __m256 {
        let mut halves = [0u16; 8];
        // SAFETY: the caller vouches for the elements, 8 or fewer.
        unsafe {
            let bytes = if FULL { 16 } else { 2 * count };
            std::ptr::copy_nonoverlapping(from, halves.as_mut_ptr().cast(), bytes);
            let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16<const FULL: bool>(to: *mut u8, value: __m256, count: usize) {
        let mut halves = [0u16; 8];
        // SAFETY: the caller vouches for the elements, 8 or fewer.
        unsafe {
            let words = _mm256_srli_epi32::<16>(_mm256_castps_si256(value));
            let (low, high) = (
                _mm256_castsi256_si128(words),
                _mm256_extracti128_si256::<1>(words),
            );
            _mm_storeu_si128(halves.as_mut_ptr().cast(), _mm_packus_epi32(low, high));
            let bytes = if FULL { 16 } else { 2 * count };
            std::ptr::copy_nonoverlapping(halves.as_ptr().cast(), to, bytes);
        }
    }
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;
    const LANES: usize = 16;

    methods! {
        splat(value: f32) -> __m512 = _mm512_set1_ps(value);
        splat_i(value: i32) -> __m512i = _mm512_set1_epi32(value);
        iota() -> __m512i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        neg(a: __m512) -> __m512 = _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(i32::MIN)));
        abs(a: __m512) -> __m512 = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(i32::MAX)));
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        // The instruction is `a < b ? a : b`, the second operand where either is NaN or both are zeros; so for max.
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        ne(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(a, b);
        select(which: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(which, b, a);
        select_i(which: __mmask16, a: __m512i, b: __m512i) -> __m512i = _mm512_mask_blend_epi32(which, b, a);
        and_b(a: __mmask16, b: __mmask16) -> __mmask16 = a & b;
        or_b(a: __mmask16, b: __mmask16) -> __mmask16 = a | b;
        not_b(a: __mmask16) -> __mmask16 = !a;
        bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        from_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        iadd(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        isub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        imul(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        iand(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        ior(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        ixor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        shl<const N>(a: __m512i) -> __m512i = _mm512_sll_epi32(a, _mm_cvtsi32_si128(N));
        shr<const N>(a: __m512i) -> __m512i = _mm512_srl_epi32(a, _mm_cvtsi32_si128(N));
        sar<const N>(a: __m512i) -> __m512i = _mm512_sra_epi32(a, _mm_cvtsi32_si128(N));
        ilt(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmplt_epi32_mask(a, b);
        ieq(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        iult(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmplt_epu32_mask(a, b);
        // The instruction gives i32::MIN for whatever does not fit: too large becomes i32::MAX, NaN becomes 0.
        to_int(a: __m512) -> __m512i = {
            let large = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, _mm512_set1_ps(TOO_LARGE));
            let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(a, a);
            let whole = _mm512_maskz_mov_epi32(number, _mm512_cvttps_epi32(a));
            _mm512_mask_blend_epi32(large, whole, _mm512_set1_epi32(i32::MAX))
        };
        to_float(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
    }

    #[inline(always)]
    unsafe fn load<const FULL: bool>(from: *const u8, count: usize) -> __m512 {
        // SAFETY: the caller vouches for the elements; masked lanes are not read.
        unsafe {
            if FULL {
                return _mm512_loadu_ps(from.cast());
            }
            _mm512_maskz_loadu_ps(first(count), from.cast())
        }
    }

    #[inline(always)]
    unsafe fn store<const FULL: bool>(to: *mut u8, value: __m512, count: usize) {
        // SAFETY: the caller vouches for the elements; masked lanes are not written.
        unsafe {
            if FULL {
                return _mm512_storeu_ps(to.cast(), value);
            }
            _mm512_mask_storeu_ps(to.cast(), first(count), value);
        }
    }

    #[inline(always)]
    unsafe fn load_u8<const FULL: bool>(from: *const u8, count: usize) -> __m512i {
        let mut bytes = [0u8; 16];
        // SAFETY: the caller vouches for the elements, 16 or fewer.
        unsafe {
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), if FULL { 16 } else { count });
            _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()))
        }
    }

    #[inline(always)]
    unsafe fn store_u8<const FULL: bool>(to: *mut u8, value: __m512i, count: usize) {
        let mut bytes = [0u8; 16];
        // SAFETY: the caller vouches for the elements, 16 or fewer.
        unsafe {
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(value));
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, if FULL { 16 } else { count });
        }
    }

    #[inline(always)]
    unsafe fn load_bf16<const FULL: bool>(from: *const u8, count: usize) -> __m512 {
        let mut halves = [0u16; 16];
        // SAFETY: the caller vouches for the elements, 16 or fewer.
        unsafe {
            let bytes = if FULL { 32 } else { 2 * count };
            std::ptr::copy_nonoverlapping(from, halves.as_mut_ptr().cast(), bytes);
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(halves.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16<const FULL: bool>(to: *mut u8, value: __m512, count: usize) {
        let mut halves = [0u16; 16];
        // SAFETY: the caller vouches for the elements, 16 or fewer.
        unsafe {
            let words = _mm512_srli_epi32::<16>(_mm512_castps_si512(value));
            _mm256_storeu_si256(halves.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(words));
            let bytes = if FULL { 32 } else { 2 * count };
            std::ptr::copy_nonoverlapping(halves.as_ptr().cast(), to, bytes);
        }
    }
}

/// The first `count < 16` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}
