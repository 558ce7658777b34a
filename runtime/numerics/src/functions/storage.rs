//! Rounding to the numbers of a storage format.

use crate::ops::Ops;

/// The bf16 nearest to `x`, ties to even, as an f32: what [`crate::convert::bf16_from_f32`] stores, widened. NaN is canonical.
pub fn bf16<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let bits = o.bits(x);
    let shifted = o.shr(bits, 16);
    let (one, half, mask) = (
        o.i32(1),
        o.i32(0x7fff),
        o.i32(0xffff_0000_u32.cast_signed()),
    );
    let odd = o.iand(shifted, one);
    let up = o.iadd(half, odd);
    let rounded = o.iadd(bits, up);
    let kept = o.iand(rounded, mask);
    let nearest = o.from_bits(kept);
    // The addition could carry a NaN's payload into its sign. As integers, because some compilers of shaders take for
    // granted that no float is NaN.
    let (without_sign, infinity) = (o.i32(0x7fff_ffff), o.i32(0x7f80_0000));
    let magnitude = o.iand(bits, without_sign);
    let is_nan = o.ilt(infinity, magnitude);
    let nan = o.f32(f32::NAN);
    o.select(is_nan, nan, nearest)
}
