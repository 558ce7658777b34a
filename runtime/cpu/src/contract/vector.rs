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

    /// Reads `count < LANES` elements; the other lanes are +0.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;

    /// Writes the first `count < LANES` elements.
    unsafe fn store_first(self, to: *mut f32, count: usize);

    /// `a · b + self`, rounded once.
    unsafe fn fma(self, a: Self, b: Self) -> Self;

    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;

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
