//! What the contraction tests share: values, the definition in plain Rust, and every context.
#![allow(dead_code, reason = "each test file uses a part")]

use mmh_cpu::contract::{Context, K_BLOCK, K_GROUP};
use mmh_cpu::isa::{Isa, Refusal};
use mmh_cpu::pool::Pool;

/// A small generator (SplitMix64), so that a failing case comes back.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit as u64) as usize
    }

    /// Below one of the limits, itself chosen at random.
    pub(crate) fn below_one_of<const N: usize>(&mut self, limits: [usize; N]) -> usize {
        let place = self.below(N);
        self.below(limits[place])
    }

    /// Signed values of widely different sizes, so that a changed order changes bits.
    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        let value = |word: u64| {
            let fraction = (word >> 32) as i32 as f32 / 2_147_483_648.0;
            fraction * f32::from_bits(((119 + (word & 15)) << 23) as u32)
        };
        (0..count).map(|_| value(self.word())).collect()
    }
}

/// The definition: chains in blocks, blocks in groups, groups in order.
pub(crate) fn plain(k: usize, left: impl Fn(usize) -> f32, right: impl Fn(usize) -> f32) -> f32 {
    plain_present(k, |l| Some((left(l), right(l))))
}

/// The same with absent terms.
pub(crate) fn plain_present(k: usize, term: impl Fn(usize) -> Option<(f32, f32)>) -> f32 {
    let mut total = 0.0f32;
    for group in (0..k).step_by(K_GROUP) {
        let mut sum = 0.0f32;
        for block in (group..k.min(group + K_GROUP)).step_by(K_BLOCK) {
            let mut chain = 0.0f32;
            for (a, b) in (block..k.min(block + K_BLOCK)).filter_map(&term) {
                chain = a.mul_add(b, chain);
            }
            sum += chain;
        }
        total += sum;
    }
    total + 0.0
}

/// Calls `test` with every instruction set this machine has, and 1, 2, 3 and 7 threads.
pub(crate) fn contexts(test: impl Fn(&Context<'_>, &str)) {
    static POOLS: std::sync::LazyLock<Vec<Pool>> =
        std::sync::LazyLock::new(|| [1, 2, 3, 7].into_iter().map(Pool::new).collect());
    for isa in Isa::ALL {
        for pool in POOLS.iter() {
            match Context::new(pool, isa) {
                Ok(context) => test(&context, &format!("{isa}, {} threads", pool.threads())),
                Err(Refusal::Absent(_)) => {}
                Err(refusal) => panic!("{refusal}"),
            }
        }
    }
}

/// Equal bits; a NaN equals a NaN.
pub(crate) fn assert_same(got: &[f32], expected: &[f32], label: &str) {
    assert_eq!(got.len(), expected.len(), "{label}");
    let differs = |(x, y): (&f32, &f32)| x.to_bits() != y.to_bits() && !(x.is_nan() && y.is_nan());
    if let Some(place) = got.iter().zip(expected).position(differs) {
        panic!(
            "{label}: element {place} is {:e}, not {:e}",
            got[place], expected[place]
        );
    }
}
