//! ChaCha8 with a 64-bit counter and a 64-bit nonce (Bernstein 2008), by address.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::Key;

/// An endless sequence of words: word `i` is word `i mod 16` of block `i / 16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    /// The key of the draw.
    pub key: Key,
    /// The row of the dataset or the step, where the draw has one; else 0.
    pub nonce: u64,
}

impl Stream {
    /// The stream of `key` and `nonce`.
    #[must_use]
    pub fn new(key: Key, nonce: u64) -> Self {
        Self { key, nonce }
    }

    /// Word `i`.
    #[must_use]
    pub fn word(&self, i: u64) -> u32 {
        chacha8_block(&self.key.0, i / 16, self.nonce)[(i % 16) as usize]
    }

    /// The u64 draw `i`: word `2i` is its low half, word `2i + 1` its high half.
    #[must_use]
    pub fn double_word(&self, i: u64) -> u64 {
        let block = chacha8_block(&self.key.0, i / 8, self.nonce);
        let low = (i % 8) as usize * 2;
        u64::from(block[low]) | u64::from(block[low + 1]) << 32
    }

    /// Writes the words from `first` on into `words`.
    pub fn fill(&self, first: u64, words: &mut [u32]) {
        let mut rng = ChaCha8Rng::from_seed(self.key.to_bytes());
        rng.set_stream(self.nonce);
        rng.set_word_pos(u128::from(first));
        for word in words {
            *word = rng.next_u32();
        }
    }
}

/// One block of ChaCha8: constants, key, counter in words 12 and 13, nonce in words 14 and 15; four double rounds.
#[must_use]
pub fn chacha8_block(key: &[u32; 8], counter: u64, nonce: u64) -> [u32; 16] {
    let start = initial_state(key, counter, nonce);
    let mut state = start;
    for _ in 0..4 {
        double_round(&mut state);
    }
    std::array::from_fn(|i| state[i].wrapping_add(start[i]))
}

fn initial_state(key: &[u32; 8], counter: u64, nonce: u64) -> [u32; 16] {
    let mut state = [0; 16];
    state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    state[4..12].copy_from_slice(key);
    state[12] = counter as u32;
    state[13] = (counter >> 32) as u32;
    state[14] = nonce as u32;
    state[15] = (nonce >> 32) as u32;
    state
}

fn double_round(state: &mut [u32; 16]) {
    for i in 0..4 {
        quarter_round(state, i, 4 + i, 8 + i, 12 + i);
    }
    for i in 0..4 {
        quarter_round(state, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
}

fn quarter_round(state: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(12);
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(7);
}
