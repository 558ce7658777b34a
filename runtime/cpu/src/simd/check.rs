//! The test that vectors pass before they are used: every operation on traps, against the scalar reading.

use super::lanes::{Lanes, MOST_LANES};
use super::portable::One;
use crate::isa::Isa;
use mmh_numerics::{Ops, Scalar};
use std::sync::OnceLock;

/// Whether the lanes of an instruction set give the bits of the scalar reading. Asked once per process.
pub(crate) fn is_sound(isa: Isa) -> bool {
    static VERDICTS: [OnceLock<bool>; 4] = [const { OnceLock::new() }; 4];
    let verdict = match isa {
        Isa::Scalar => &VERDICTS[0],
        Isa::Neon => &VERDICTS[1],
        Isa::Avx2 => &VERDICTS[2],
        Isa::Avx512 => &VERDICTS[3],
    };
    *verdict.get_or_init(|| isa.is_reported() && first_fault(isa).is_none())
}

/// The first operation that gives other bits, on an instruction set that is there.
pub(crate) fn first_fault(isa: Isa) -> Option<&'static str> {
    match isa {
        // SAFETY: portable code.
        Isa::Scalar => unsafe { fault::<One>() },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if isa.is_reported() => {
            #[target_feature(enable = "avx2,fma")]
            unsafe fn test() -> Option<&'static str> {
                // SAFETY: enabled here.
                unsafe { fault::<super::x86::Avx2>() }
            }
            // SAFETY: the processor reports it.
            unsafe { test() }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if isa.is_reported() => {
            #[target_feature(enable = "avx512f,avx2,fma")]
            unsafe fn test() -> Option<&'static str> {
                // SAFETY: enabled here.
                unsafe { fault::<super::x86::Avx512>() }
            }
            // SAFETY: the processor reports it.
            unsafe { test() }
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => {
            #[target_feature(enable = "neon")]
            unsafe fn test() -> Option<&'static str> {
                // SAFETY: enabled here.
                unsafe { fault::<super::neon::Neon>() }
            }
            // SAFETY: every AArch64 processor has it.
            unsafe { test() }
        }
        _ => Some("absent"),
    }
}

/// Signs of zero, subnormals, halves and ties, the edges of i32, infinities, NaN of both signs and kinds; as integers,
/// the edges of both readings.
const TRAPS: [u32; 32] = [
    0x0000_0000,
    0x8000_0000,
    0x0000_0001,
    0x8000_0001,
    0x007f_ffff,
    0x0080_0000,
    0x3f80_0000,
    0xbf80_0000,
    0x3f80_0001,
    0x3f7f_ffff,
    0x3f00_0000,
    0xbf00_0000,
    0x4020_0000,
    0xc020_0000,
    0x3eaa_aaab,
    0x1f80_0001,
    0x4b00_0000,
    0x4b80_0001,
    0x4eff_ffff,
    0x4f00_0000,
    0xcf00_0000,
    0xcf00_0001,
    0x5f00_0000,
    0xdf80_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_0001,
    0x7f80_0001,
    0xffff_ffff,
];

type Vector = [u32; MOST_LANES];

/// How floats are compared: NaN has one face.
fn number(bits: u32) -> u32 {
    if f32::from_bits(bits).is_nan() {
        0x7fc0_0000
    } else {
        bits
    }
}

/// How everything else is compared.
fn exact(bits: u32) -> u32 {
    bits
}

/// # Safety
/// The instruction set of `L`.
#[inline(always)]
unsafe fn fault<L: Lanes>() -> Option<&'static str> {
    for turn in 0..TRAPS.len() {
        for start in (0..TRAPS.len()).step_by(L::LANES) {
            let pick = |from: usize, step: usize| -> Vector {
                std::array::from_fn(|n| TRAPS[(from + n * step) % TRAPS.len()])
            };
            let (a, b, c) = (
                pick(start, 1),
                pick(start + turn, 1),
                pick(start + 3 * turn, 5),
            );
            // SAFETY: the caller's contract.
            let found = unsafe {
                numbers::<L>(&a, &b, &c)
                    .or_else(|| integers::<L>(&a, &b))
                    .or_else(|| truths::<L>(&a, &b, &c))
            };
            if found.is_some() {
                return found;
            }
        }
    }
    // SAFETY: the caller's contract.
    unsafe { memory::<L>() }
}

/// Compares one operation: the vector's lanes and the scalar reading of each lane.
macro_rules! same {
    ($lanes:ty, $face:ident, $name:literal, $vector:expr, |$n:ident| $scalar:expr) => {{
        let mut got = [0u32; MOST_LANES];
        <$lanes>::store::<true>(got.as_mut_ptr().cast(), $vector, <$lanes>::LANES);
        for $n in 0..<$lanes>::LANES {
            let want: u32 = $scalar;
            if $face(got[$n]) != $face(want) {
                return Some($name);
            }
        }
    }};
}

/// # Safety
/// The instruction set of `L`.
#[inline(always)]
unsafe fn numbers<L: Lanes>(a: &Vector, b: &Vector, c: &Vector) -> Option<&'static str> {
    let o = &mut Scalar;
    let f = |v: &Vector, n: usize| f32::from_bits(v[n]);
    // SAFETY: the caller's contract; vectors hold more lanes than any instruction set has.
    unsafe {
        let load = |v: &Vector| L::load::<true>(v.as_ptr().cast(), L::LANES);
        let (x, y, z) = (load(a), load(b), load(c));
        same!(L, number, "add", L::add(x, y), |n| o
            .add(f(a, n), f(b, n))
            .to_bits());
        same!(L, number, "sub", L::sub(x, y), |n| o
            .sub(f(a, n), f(b, n))
            .to_bits());
        same!(L, number, "mul", L::mul(x, y), |n| o
            .mul(f(a, n), f(b, n))
            .to_bits());
        same!(L, number, "div", L::div(x, y), |n| o
            .div(f(a, n), f(b, n))
            .to_bits());
        same!(L, number, "fma", L::fma(x, y, z), |n| o
            .fma(f(a, n), f(b, n), f(c, n))
            .to_bits());
        same!(L, exact, "neg", L::neg(x), |n| o.neg(f(a, n)).to_bits());
        same!(L, exact, "abs", L::abs(x), |n| o.abs(f(a, n)).to_bits());
        same!(L, number, "sqrt", L::sqrt(x), |n| o.sqrt(f(a, n)).to_bits());
        same!(L, number, "min", L::min(x, y), |n| o
            .min(f(a, n), f(b, n))
            .to_bits());
        same!(L, number, "max", L::max(x, y), |n| o
            .max(f(a, n), f(b, n))
            .to_bits());
        same!(L, exact, "to_int", L::from_bits(L::to_int(x)), |n| o
            .to_int(f(a, n))
            .cast_unsigned());
        same!(L, number, "to_float", L::to_float(L::bits(x)), |n| o
            .to_float(a[n].cast_signed())
            .to_bits());
        same!(L, exact, "splat", L::splat(f(a, 0)), |_n| a[0]);
        same!(L, exact, "iota", L::from_bits(L::iota()), |n| n as u32);
    }
    None
}

/// # Safety
/// The instruction set of `L`.
#[inline(always)]
unsafe fn integers<L: Lanes>(a: &Vector, b: &Vector) -> Option<&'static str> {
    let o = &mut Scalar;
    let i = |v: &Vector, n: usize| v[n].cast_signed();
    // SAFETY: the caller's contract; vectors hold more lanes than any instruction set has.
    unsafe {
        let load = |v: &Vector| L::bits(L::load::<true>(v.as_ptr().cast(), L::LANES));
        let (x, y) = (load(a), load(b));
        same!(L, exact, "iadd", L::from_bits(L::iadd(x, y)), |n| o
            .iadd(i(a, n), i(b, n))
            .cast_unsigned());
        same!(L, exact, "isub", L::from_bits(L::isub(x, y)), |n| o
            .isub(i(a, n), i(b, n))
            .cast_unsigned());
        same!(L, exact, "imul", L::from_bits(L::imul(x, y)), |n| o
            .imul(i(a, n), i(b, n))
            .cast_unsigned());
        same!(L, exact, "iand", L::from_bits(L::iand(x, y)), |n| o
            .iand(i(a, n), i(b, n))
            .cast_unsigned());
        same!(L, exact, "ior", L::from_bits(L::ior(x, y)), |n| o
            .ior(i(a, n), i(b, n))
            .cast_unsigned());
        same!(L, exact, "ixor", L::from_bits(L::ixor(x, y)), |n| o
            .ixor(i(a, n), i(b, n))
            .cast_unsigned());
        same!(L, exact, "shl 0", L::from_bits(L::shl::<0>(x)), |n| a[n]);
        same!(L, exact, "shl", L::from_bits(L::shl::<23>(x)), |n| o
            .shl(i(a, n), 23)
            .cast_unsigned());
        same!(L, exact, "shr 0", L::from_bits(L::shr::<0>(x)), |n| a[n]);
        same!(L, exact, "shr", L::from_bits(L::shr::<31>(x)), |n| o
            .shr(i(a, n), 31)
            .cast_unsigned());
        same!(L, exact, "sar 0", L::from_bits(L::sar::<0>(x)), |n| a[n]);
        same!(L, exact, "sar", L::from_bits(L::sar::<23>(x)), |n| o
            .sar(i(a, n), 23)
            .cast_unsigned());
        same!(
            L,
            exact,
            "splat_i",
            L::from_bits(L::splat_i(i(a, 0))),
            |_n| a[0]
        );
    }
    None
}

/// # Safety
/// The instruction set of `L`.
#[inline(always)]
unsafe fn truths<L: Lanes>(a: &Vector, b: &Vector, c: &Vector) -> Option<&'static str> {
    let o = &mut Scalar;
    let f = |v: &Vector, n: usize| f32::from_bits(v[n]);
    let i = |v: &Vector, n: usize| v[n].cast_signed();
    // SAFETY: the caller's contract; vectors hold more lanes than any instruction set has.
    unsafe {
        let load = |v: &Vector| L::load::<true>(v.as_ptr().cast(), L::LANES);
        let (x, y, z) = (load(a), load(b), load(c));
        let (p, q) = (L::lt(x, y), L::le(y, z));
        let (one, two) = (|n: usize| f(a, n) < f(b, n), |n: usize| f(b, n) <= f(c, n));
        let shown = |m: L::M| L::from_bits(L::truth(m));
        same!(L, exact, "lt", shown(p), |n| u32::from(
            o.lt(f(a, n), f(b, n))
        ));
        same!(L, exact, "le", shown(L::le(x, y)), |n| u32::from(
            o.le(f(a, n), f(b, n))
        ));
        same!(L, exact, "eq", shown(L::eq(x, y)), |n| u32::from(
            o.eq(f(a, n), f(b, n))
        ));
        same!(L, exact, "ne", shown(L::ne(x, y)), |n| u32::from(
            o.ne(f(a, n), f(b, n))
        ));
        same!(
            L,
            exact,
            "ilt",
            shown(L::ilt(L::bits(x), L::bits(y))),
            |n| u32::from(o.ilt(i(a, n), i(b, n)))
        );
        same!(
            L,
            exact,
            "ieq",
            shown(L::ieq(L::bits(x), L::bits(y))),
            |n| u32::from(o.ieq(i(a, n), i(b, n)))
        );
        same!(
            L,
            exact,
            "iult",
            shown(L::iult(L::bits(x), L::bits(y))),
            |n| u32::from(o.iult(i(a, n), i(b, n)))
        );
        same!(L, exact, "and_b", shown(L::and_b(p, q)), |n| u32::from(
            one(n) & two(n)
        ));
        same!(L, exact, "or_b", shown(L::or_b(p, q)), |n| u32::from(
            one(n) | two(n)
        ));
        same!(L, exact, "not_b", shown(L::not_b(p)), |n| u32::from(!one(
            n
        )));
        same!(L, exact, "nonzero", shown(L::nonzero(L::bits(x))), |n| {
            u32::from(a[n] != 0)
        });
        same!(L, exact, "select", L::select(p, x, z), |n| if one(n) {
            a[n]
        } else {
            c[n]
        });
        same!(
            L,
            exact,
            "select_i",
            L::from_bits(L::select_i(q, L::bits(y), L::bits(x))),
            |n| if two(n) { b[n] } else { a[n] }
        );
    }
    None
}

/// Whole vectors and tails, near and strided, of words and bytes; what lies beyond must stay as it is.
///
/// # Safety
/// The instruction set of `L`.
#[inline(always)]
unsafe fn memory<L: Lanes>() -> Option<&'static str> {
    const STEP: usize = 3;
    const ROOM: usize = MOST_LANES * STEP + 1;
    let words: [u32; ROOM] = std::array::from_fn(|n| 0x3f80_0000 + n as u32 * 77);
    let halves: [u16; ROOM] = std::array::from_fn(|n| 0x3f80 + n as u16 * 3);
    let bytes: [u8; ROOM] = std::array::from_fn(|n| (n * 37 + 131) as u8);
    for count in 1..=L::LANES {
        let full = count == L::LANES;
        let (mut near, mut far) = ([7u32; ROOM], [7u32; ROOM]);
        let (mut near_bytes, mut far_bytes) = ([7u8; ROOM], [7u8; ROOM]);
        let (mut near_halves, mut far_halves) = ([7u16; ROOM], [7u16; ROOM]);
        // SAFETY: the caller's contract; the arrays hold all strided elements.
        unsafe {
            let (from, to) = (words.as_ptr().cast::<u8>(), near.as_mut_ptr().cast::<u8>());
            let (from_bytes, far_to) = (bytes.as_ptr(), far.as_mut_ptr().cast::<u8>());
            let step = STEP as isize;
            let from_halves = halves.as_ptr().cast::<u8>();
            let near_to = near_halves.as_mut_ptr().cast::<u8>();
            let far_halves_to = far_halves.as_mut_ptr().cast::<u8>();
            if full {
                let (v, w) = (
                    L::gather_bf16::<true>(from_halves, 2 * step, count),
                    L::load_bf16::<true>(from_halves, count),
                );
                L::store_bf16::<true>(near_to, v, count);
                L::scatter_bf16::<true>(far_halves_to, 2 * step, w, count);
            } else {
                let (v, w) = (
                    L::gather_bf16::<false>(from_halves, 2 * step, count),
                    L::load_bf16::<false>(from_halves, count),
                );
                L::store_bf16::<false>(near_to, v, count);
                L::scatter_bf16::<false>(far_halves_to, 2 * step, w, count);
            }
            if full {
                L::store::<true>(to, L::gather::<true>(from, 4 * step, count), count);
                L::scatter::<true>(far_to, 4 * step, L::load::<true>(from, count), count);
                L::store_u8::<true>(
                    near_bytes.as_mut_ptr(),
                    L::gather_u8::<true>(from_bytes, step, count),
                    count,
                );
                L::scatter_u8::<true>(
                    far_bytes.as_mut_ptr(),
                    step,
                    L::load_u8::<true>(from_bytes, count),
                    count,
                );
            } else {
                L::store::<false>(to, L::gather::<false>(from, 4 * step, count), count);
                L::scatter::<false>(far_to, 4 * step, L::load::<false>(from, count), count);
                L::store_u8::<false>(
                    near_bytes.as_mut_ptr(),
                    L::gather_u8::<false>(from_bytes, step, count),
                    count,
                );
                L::scatter_u8::<false>(
                    far_bytes.as_mut_ptr(),
                    step,
                    L::load_u8::<false>(from_bytes, count),
                    count,
                );
            }
        }
        for n in 0..ROOM {
            let taken = n < count;
            let spread = n % STEP == 0 && n / STEP < count;
            if near[n] != if taken { words[n * STEP] } else { 7 }
                || far[n] != if spread { words[n / STEP] } else { 7 }
            {
                return Some("memory of words");
            }
            if near_bytes[n] != if taken { bytes[n * STEP] } else { 7 }
                || far_bytes[n] != if spread { bytes[n / STEP] } else { 7 }
            {
                return Some("memory of bytes");
            }
            if near_halves[n] != if taken { halves[n * STEP] } else { 7 }
                || far_halves[n] != if spread { halves[n / STEP] } else { 7 }
            {
                return Some("memory of bf16");
            }
        }
    }
    None
}
