//! What a vector of an instruction set can do: the only code that differs between instruction sets.

/// A vector of `f32`. All arithmetic is IEEE 754, lane by lane.
///
/// # Safety
/// Every method needs the instruction set of the implementing type, and is inlined into a function that enables it.
/// Pointers must be valid for the number of elements each method names; no alignment is needed.
pub(crate) trait Vector: Copy {
    /// Elements per vector.
    const LANES: usize;

    /// All lanes +0.
    unsafe fn zero() -> Self;

    /// All lanes `*from`.
    unsafe fn splat(from: *const f32) -> Self;

    /// Reads `LANES` elements.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes `LANES` elements.
    unsafe fn store(self, to: *mut f32);

    /// Reads `count ≤ LANES` elements; the other lanes are +0.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;

    /// Writes the first `count ≤ LANES` elements.
    unsafe fn store_first(self, to: *mut f32, count: usize);

    /// `a · b + self`, rounded once.
    unsafe fn fma(self, a: Self, b: Self) -> Self;

    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;

    /// Asks for the cache line at `_place`, which need not be there.
    #[inline(always)]
    fn prefetch(_place: *const f32) {}

    /// Where it stands, the compiler moves no load past. A load moved up holds a register that the sums need.
    #[inline(always)]
    fn keep_order() {}

    /// `to[j · to_stride + i] = from[i · from_stride + j]` for `i, j < 8`.
    unsafe fn transpose8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        for i in 0..8 {
            for j in 0..8 {
                // SAFETY: the caller vouches for 8 rows of 8 elements on both sides.
                unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) }
            }
        }
    }
}

/// Two vectors as one: the columns of the second follow those of the first.
#[derive(Clone, Copy)]
pub(crate) struct Two<A, B>(A, B);

impl<A: Vector, B: Vector> Vector for Two<A, B> {
    const LANES: usize = A::LANES + B::LANES;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's contract, for both halves; so in all methods below.
        unsafe { Self(A::zero(), B::zero()) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(A::splat(from), B::splat(from)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(A::load(from), B::load(from.add(A::LANES))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see `zero`.
        unsafe {
            self.0.store(to);
            self.1.store(to.add(A::LANES));
        }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: see `zero`; a half without elements reads none, wherever its pointer leads.
        unsafe {
            let second = from.wrapping_add(A::LANES);
            Self(
                A::load_first(from, count.min(A::LANES)),
                B::load_first(second, count.saturating_sub(A::LANES)),
            )
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: see `load_first`.
        unsafe {
            self.0.store_first(to, count.min(A::LANES));
            self.1
                .store_first(to.wrapping_add(A::LANES), count.saturating_sub(A::LANES));
        }
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(self.0.fma(a.0, b.0), self.1.fma(a.1, b.1)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(self.0.add(other.0), self.1.add(other.1)) }
    }

    #[inline(always)]
    fn prefetch(place: *const f32) {
        A::prefetch(place);
    }

    #[inline(always)]
    fn keep_order() {
        A::keep_order();
    }
}
