//! AVX2 with FMA, and AVX-512.

use std::arch::x86_64::*;

use super::vector::Vector;

/// Eight lanes; needs `avx2` and `fma`.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

/// Sixteen lanes; needs `avx512f`, `avx2` and `fma`.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

/// Loading eight words at `8 - count` gives a mask of the first `count` lanes.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Vector for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: needs only the instruction set.
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller vouches for one element.
        Self(unsafe { _mm256_broadcast_ss(&*from) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for eight elements.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for eight elements.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: `count ≤ 8` keeps the mask inside the table; masked lanes are not read.
        unsafe {
            let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast());
            Self(_mm256_maskload_ps(from, mask))
        }
    }

    /// By halves: a masked store takes dozens of cycles on AMD before Zen 5.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: the three parts are `count` elements together.
        unsafe {
            if count >= 8 {
                return self.store(to);
            }
            let (mut rest, mut to) = (_mm256_castps256_ps128(self.0), to);
            if count & 4 != 0 {
                _mm_storeu_ps(to, rest);
                (rest, to) = (_mm256_extractf128_ps::<1>(self.0), to.add(4));
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
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: needs only the instruction set.
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: needs only the instruction set.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn prefetch(place: *const f32) {
        // SAFETY: prefetching touches no memory and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }

    #[inline(always)]
    fn keep_order() {
        // SAFETY: no instruction; that it may touch memory keeps loads in their places.
        unsafe { std::arch::asm!("", options(nostack, preserves_flags)) }
    }

    #[inline(always)]
    unsafe fn transpose8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller vouches for 8 rows of 8 elements on both sides.
        unsafe { transpose8(from, from_stride, to, to_stride) }
    }
}

/// Pairs, then quads, then halves.
///
/// # Safety
/// AVX, and 8 rows of 8 elements on both sides.
#[inline(always)]
unsafe fn transpose8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        // Two half rows of the source, four apart, make one register: the last step of exchanging halves is a load.
        let half = |row: usize, column: usize| {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(from.add(row * from_stride + column)));
            _mm256_insertf128_ps::<1>(
                low,
                _mm_loadu_ps(from.add((row + 4) * from_stride + column)),
            )
        };
        for column in [0, 4] {
            let (r0, r1, r2, r3) = (
                half(0, column),
                half(1, column),
                half(2, column),
                half(3, column),
            );
            let (p0, p1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
            let (p2, p3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
            let to = to.add(column * to_stride);
            _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(p0, p2));
            _mm256_storeu_ps(to.add(to_stride), _mm256_shuffle_ps::<0xee>(p0, p2));
            _mm256_storeu_ps(to.add(2 * to_stride), _mm256_shuffle_ps::<0x44>(p1, p3));
            _mm256_storeu_ps(to.add(3 * to_stride), _mm256_shuffle_ps::<0xee>(p1, p3));
        }
    }
}

impl Vector for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: needs only the instruction set.
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the caller vouches for one element.
        Self(unsafe { _mm512_set1_ps(*from) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for sixteen elements.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for sixteen elements.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: masked lanes are not read.
        Self(unsafe { _mm512_maskz_loadu_ps(first_lanes(count), from) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(to, first_lanes(count), self.0) }
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: needs only the instruction set.
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: needs only the instruction set.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn prefetch(place: *const f32) {
        // SAFETY: prefetching touches no memory and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }

    #[inline(always)]
    unsafe fn transpose8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: AVX is part of AVX-512; the caller vouches for 8 rows of 8 elements on both sides.
        unsafe { transpose8(from, from_stride, to, to_stride) }
    }
}

#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}
