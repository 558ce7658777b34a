//! The random stream of V1: ChaCha12 under the seeding and range rules of the libraries it used.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// A stream of 32-bit words. All ranges are 64-bit or 32-bit by name, never by the machine's word.
pub(super) struct Draws {
    rng: ChaCha12Rng,
}

impl Draws {
    /// Expands a 64-bit seed by eight PCG32 outputs into the ChaCha key (rand_core 0.6, `seed_from_u64`).
    pub(super) fn from_seed(seed: u64) -> Self {
        let mut state = seed;
        let mut key = [0; 32];
        for word in key.chunks_exact_mut(4) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(11_634_580_027_462_260_723);
            let mixed = (((state >> 18) ^ state) >> 27) as u32;
            word.copy_from_slice(&mixed.rotate_right((state >> 59) as u32).to_le_bytes());
        }
        Self {
            rng: ChaCha12Rng::from_seed(key),
        }
    }

    /// How many words were drawn.
    pub(super) fn position(&self) -> u128 {
        self.rng.get_word_pos()
    }

    /// Goes to the word at `position`.
    pub(super) fn seek(&mut self, position: u128) {
        self.rng.set_word_pos(position);
    }

    /// The next word.
    pub(super) fn word(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// Uniform in `0..n`, from 32-bit draws; `n` is not zero (rand 0.8, `UniformInt::sample_single`).
    pub(super) fn below(&mut self, n: u32) -> u32 {
        let zone = (n << n.leading_zeros()).wrapping_sub(1);
        loop {
            let product = u64::from(self.word()) * u64::from(n);
            if product as u32 <= zone {
                return (product >> 32) as u32;
            }
        }
    }

    /// Uniform in `0..n`, from 64-bit draws, low word first; `n` is not zero.
    pub(super) fn below_wide(&mut self, n: u64) -> u64 {
        let zone = (n << n.leading_zeros()).wrapping_sub(1);
        loop {
            let low = u64::from(self.word());
            let draw = u64::from(self.word()) << 32 | low;
            let product = u128::from(draw) * u128::from(n);
            if product as u64 <= zone {
                return (product >> 64) as u64;
            }
        }
    }
}
