//! Operands that tell a right device from a nearly right one: what admission, the checks of shaders and the conformance suite
//! feed their programs with. The same every time.

#![forbid(unsafe_code)]

use mmh_ir::DType;

/// Bit patterns at which implementations differ: zeros, subnormals, the ends of the range, halfway products, divisors
/// next to a power of two (Markstein), numbers around which conversion and rounding change their mind.
const TRAPS: [u32; 64] = [
    0x0000_0000, // +0
    0x0000_0001, // smallest subnormal
    0x0000_0002,
    0x0000_0fff,
    0x0040_0000, // middle subnormal
    0x007f_fffe,
    0x007f_ffff, // largest subnormal
    0x0080_0000, // smallest normal
    0x0080_0001,
    0x00ff_ffff,
    0x0100_0000,
    0x1f80_0000, // 2^-64: products of two are subnormal or vanish
    0x1fff_ffff,
    0x2000_0001,
    0x2b00_0001,
    0x3000_0001,
    0x3300_0000, // 2^-25
    0x3380_0000, // 2^-24
    0x3380_0001,
    0x3400_0000, // 2^-23
    0x3480_0001,
    0x3980_0001,
    0x3eaa_aaab, // 1/3
    0x3f00_0000, // 1/2
    0x3f00_0001,
    0x3f7f_ffff, // below 1
    0x3f80_0000, // 1
    0x3f80_0001, // above 1
    0x3f80_0003,
    0x3f80_0800, // 1 + 2^-12: squares end on a tie
    0x3f80_1000,
    0x3fb5_04f3, // root of 2
    0x3fff_ffff, // below 2: the hardest divisor
    0x3fff_fffe,
    0x4000_0000,
    0x4040_0000, // 3
    0x4049_0fdb, // pi
    0x40e0_0000, // 7
    0x4120_0000,
    0x42b1_7218, // log of the largest number
    0x42d0_0000, // 104
    0x4b00_0000, // 2^23
    0x4b00_0001,
    0x4b7f_ffff, // 2^24 - 1
    0x4b80_0000,
    0x4b80_0001,
    0x4eff_ffff, // largest below 2^31
    0x4f00_0000, // 2^31
    0x4f80_0000,
    0x5f00_0000,
    0x5f7f_ffff,
    0x5f80_0001, // squares overflow
    0x7e80_0000,
    0x7f00_0000,
    0x7f7f_fffe,
    0x7f7f_ffff, // largest
    0x7f80_0000, // infinity
    0x7fc0_0000, // NaN
    0x7f80_0001, // signalling NaN
    0x3f80_0002,
    0x3f7f_fffd,
    0x3dcc_cccd, // 0.1
    0x3e4c_cccd, // 0.2
    0x3e99_999a, // 0.3
];

/// The patterns with both signs.
pub fn traps() -> Vec<u32> {
    TRAPS
        .iter()
        .flat_map(|bits| [*bits, *bits ^ 0x8000_0000])
        .collect()
}

/// A stream of operands, the same every time.
pub struct Source {
    traps: Vec<u32>,
}

impl Default for Source {
    fn default() -> Self {
        Self { traps: traps() }
    }
}

/// Word `at` of stream `stream` (SplitMix64).
fn word(stream: usize, at: usize) -> u64 {
    let mut x = (stream as u64)
        .wrapping_mul(0xa076_1d64_78bd_642f)
        .wrapping_add((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Source {
    /// Operand `n` of a kernel: traps, numbers of any size, numbers near each other.
    pub fn operand(&self, n: usize, dtype: DType, count: usize) -> Vec<u32> {
        (0..count).map(|at| self.element(n, dtype, at)).collect()
    }

    fn element(&self, n: usize, dtype: DType, at: usize) -> u32 {
        let drawn = word(n, at);
        let low = drawn as u32;
        match dtype {
            DType::Bool => low & 1,
            DType::U8 => low & 0xff,
            DType::I32 if drawn >> 62 == 0 => low,
            DType::I32 => low % 40,
            DType::F32 => match drawn >> 61 {
                0..=2 => self.traps[(low as usize) % self.traps.len()],
                3 => low,
                // Significands of any kind, sizes around one: sums cancel, products stay in range.
                _ => (low & 0x807f_ffff) | ((120 + (drawn >> 40) as u32 % 14) << 23),
            },
        }
    }

    /// Operand `n` of a sum: finite, of sizes 2⁻¹² to 2¹², so that every order gives another result.
    pub fn spread(&self, n: usize, dtype: DType, count: usize) -> Vec<u32> {
        if dtype != DType::F32 {
            return self.operand(n, dtype, count);
        }
        let element = |at| {
            let drawn = word(n, at);
            (drawn as u32 & 0x807f_ffff) | ((115 + (drawn >> 40) as u32 % 25) << 23)
        };
        (0..count).map(element).collect()
    }
}
