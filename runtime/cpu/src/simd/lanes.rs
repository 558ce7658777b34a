//! What a vector of an instruction set can do: the operations of kernels, many elements at a time.

/// The most lanes any vector has.
pub(crate) const MOST_LANES: usize = 16;

/// Vectors of one instruction set: floats, integers and truth values of as many lanes. Every operation gives each lane the
/// bits that [`mmh_numerics::Scalar`] gives; NaN payloads are free.
///
/// Loads and stores of `FULL` vectors touch `LANES` elements, others the first `count < LANES`; lanes beyond are 0.
///
/// # Safety
/// Every method needs the instruction set of the implementing type, and is inlined into a function that enables it.
/// Pointers must be valid for the elements each method names; no alignment is needed. Strides are in bytes.
pub(crate) trait Lanes: Copy {
    /// f32 lanes.
    type F: Copy;
    /// i32 lanes.
    type I: Copy;
    /// Truth values.
    type M: Copy;
    /// Elements of a vector.
    const LANES: usize;

    unsafe fn splat(value: f32) -> Self::F;
    unsafe fn splat_i(value: i32) -> Self::I;
    /// 0, 1, 2 …
    unsafe fn iota() -> Self::I;

    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    unsafe fn neg(a: Self::F) -> Self::F;
    unsafe fn abs(a: Self::F) -> Self::F;
    unsafe fn sqrt(a: Self::F) -> Self::F;
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn lt(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn le(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn eq(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn ne(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn select(which: Self::M, a: Self::F, b: Self::F) -> Self::F;
    unsafe fn select_i(which: Self::M, a: Self::I, b: Self::I) -> Self::I;
    unsafe fn and_b(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn or_b(a: Self::M, b: Self::M) -> Self::M;
    unsafe fn not_b(a: Self::M) -> Self::M;
    unsafe fn bits(a: Self::F) -> Self::I;
    unsafe fn from_bits(a: Self::I) -> Self::F;
    unsafe fn iadd(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn isub(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn imul(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn iand(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn ior(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn ixor(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn shl<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn shr<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn sar<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn ilt(a: Self::I, b: Self::I) -> Self::M;
    unsafe fn ieq(a: Self::I, b: Self::I) -> Self::M;
    unsafe fn iult(a: Self::I, b: Self::I) -> Self::M;
    unsafe fn to_int(a: Self::F) -> Self::I;
    unsafe fn to_float(a: Self::I) -> Self::F;

    /// Elements one behind another.
    unsafe fn load<const FULL: bool>(from: *const u8, count: usize) -> Self::F;
    /// The mirror of `load`.
    unsafe fn store<const FULL: bool>(to: *mut u8, value: Self::F, count: usize);
    /// Bytes one behind another, 0 to 255.
    unsafe fn load_u8<const FULL: bool>(from: *const u8, count: usize) -> Self::I;
    /// The low byte of every lane, one behind another.
    unsafe fn store_u8<const FULL: bool>(to: *mut u8, value: Self::I, count: usize);

    /// Elements `step` bytes apart.
    #[inline(always)]
    unsafe fn gather<const FULL: bool>(from: *const u8, step: isize, count: usize) -> Self::F {
        let mut lanes = [0f32; MOST_LANES];
        let count = if FULL { Self::LANES } else { count };
        for (n, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for the elements.
            *lane = unsafe {
                from.offset(n as isize * step)
                    .cast::<f32>()
                    .read_unaligned()
            };
        }
        // SAFETY: the array holds a vector.
        unsafe { Self::load::<true>(lanes.as_ptr().cast(), Self::LANES) }
    }

    /// The mirror of `gather`.
    #[inline(always)]
    unsafe fn scatter<const FULL: bool>(to: *mut u8, step: isize, value: Self::F, count: usize) {
        let mut lanes = [0f32; MOST_LANES];
        // SAFETY: the array holds a vector.
        unsafe { Self::store::<true>(lanes.as_mut_ptr().cast(), value, Self::LANES) }
        let count = if FULL { Self::LANES } else { count };
        for (n, lane) in lanes.iter().enumerate().take(count) {
            // SAFETY: the caller vouches for the elements.
            unsafe {
                to.offset(n as isize * step)
                    .cast::<f32>()
                    .write_unaligned(*lane)
            }
        }
    }

    /// Bytes `step` bytes apart, 0 to 255.
    #[inline(always)]
    unsafe fn gather_u8<const FULL: bool>(from: *const u8, step: isize, count: usize) -> Self::I {
        let mut lanes = [0u8; MOST_LANES];
        let count = if FULL { Self::LANES } else { count };
        for (n, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for the elements.
            *lane = unsafe { from.offset(n as isize * step).read() };
        }
        // SAFETY: the array holds a vector.
        unsafe { Self::load_u8::<true>(lanes.as_ptr(), Self::LANES) }
    }

    /// The mirror of `gather_u8`.
    #[inline(always)]
    unsafe fn scatter_u8<const FULL: bool>(to: *mut u8, step: isize, value: Self::I, count: usize) {
        let mut lanes = [0u8; MOST_LANES];
        // SAFETY: the array holds a vector.
        unsafe { Self::store_u8::<true>(lanes.as_mut_ptr(), value, Self::LANES) }
        let count = if FULL { Self::LANES } else { count };
        for (n, lane) in lanes.iter().enumerate().take(count) {
            // SAFETY: the caller vouches for the elements.
            unsafe { to.offset(n as isize * step).write(*lane) }
        }
    }

    /// bf16 one behind another.
    #[inline(always)]
    unsafe fn load_bf16<const FULL: bool>(from: *const u8, count: usize) -> Self::F {
        // SAFETY: the caller vouches for the elements.
        unsafe { Self::gather_bf16::<FULL>(from, 2, count) }
    }

    /// The upper half of every lane, one behind another.
    #[inline(always)]
    unsafe fn store_bf16<const FULL: bool>(to: *mut u8, value: Self::F, count: usize) {
        // SAFETY: the caller vouches for the elements.
        unsafe { Self::scatter_bf16::<FULL>(to, 2, value, count) }
    }

    /// bf16 `step` bytes apart.
    #[inline(always)]
    unsafe fn gather_bf16<const FULL: bool>(from: *const u8, step: isize, count: usize) -> Self::F {
        let mut lanes = [0u32; MOST_LANES];
        let count = if FULL { Self::LANES } else { count };
        for (n, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for the elements.
            let half = unsafe {
                from.offset(n as isize * step)
                    .cast::<u16>()
                    .read_unaligned()
            };
            *lane = u32::from(half) << 16;
        }
        // SAFETY: the array holds a vector.
        unsafe { Self::load::<true>(lanes.as_ptr().cast(), Self::LANES) }
    }

    /// The mirror of `gather_bf16`.
    #[inline(always)]
    unsafe fn scatter_bf16<const FULL: bool>(
        to: *mut u8,
        step: isize,
        value: Self::F,
        count: usize,
    ) {
        let mut lanes = [0u32; MOST_LANES];
        // SAFETY: the array holds a vector.
        unsafe { Self::store::<true>(lanes.as_mut_ptr().cast(), value, Self::LANES) }
        let count = if FULL { Self::LANES } else { count };
        for (n, lane) in lanes.iter().enumerate().take(count) {
            let half = (lane >> 16) as u16;
            // SAFETY: the caller vouches for the elements.
            unsafe {
                to.offset(n as isize * step)
                    .cast::<u16>()
                    .write_unaligned(half)
            }
        }
    }

    /// Truth values of integers: which are not 0.
    #[inline(always)]
    unsafe fn nonzero(a: Self::I) -> Self::M {
        // SAFETY: needs only the instruction set.
        unsafe { Self::not_b(Self::ieq(a, Self::splat_i(0))) }
    }

    /// 1 where true, 0 elsewhere.
    #[inline(always)]
    unsafe fn truth(a: Self::M) -> Self::I {
        // SAFETY: needs only the instruction set.
        unsafe { Self::select_i(a, Self::splat_i(1), Self::splat_i(0)) }
    }
}

/// Methods of [`Lanes`] from expressions: one `unsafe` for all of them, whose argument is the trait's contract.
macro_rules! methods {
    ($($name:ident $(<const $n:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name $(<const $n: i32>)? ($($arg: $ty),*) -> $out {
                // SAFETY: needs only the instruction set, which the caller vouches for.
                #[allow(unused_unsafe, reason = "portable lanes need none")]
                unsafe { $body }
            }
        )*
    };
}
pub(crate) use methods;
