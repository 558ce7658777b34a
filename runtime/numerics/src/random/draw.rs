//! What words become: uniforms, integers, normals, permutations, masks.

use super::Stream;
use crate::functions;
use crate::ops::{Ops, Scalar};

/// 2⁻²⁴.
const ULP: f32 = f32::from_bits(0x3380_0000);

/// A number in [0, 1): the top 24 bits of `word`, times 2⁻²⁴.
pub fn uniform<O: Ops>(o: &mut O, word: O::I) -> O::F {
    let top = o.shr(word, 8);
    let count = o.to_float(top);
    let ulp = o.f32(ULP);
    o.mul(count, ulp)
}

/// A number in [a, b): `fma(u, b − a, a)`, and if that is not below `b`, the next number below `b`.
pub fn from_range<O: Ops>(o: &mut O, word: O::I, a: O::F, b: O::F) -> O::F {
    let u = uniform(o, word);
    let width = o.sub(b, a);
    let value = o.fma(u, width, a);
    let below = o.lt(value, b);
    let last = next_below(o, b);
    o.select(below, value, last)
}

fn next_below<O: Ops>(o: &mut O, x: O::F) -> O::F {
    let (zero, one) = (o.f32(0.0), o.i32(1));
    let bits = o.bits(x);
    let (less, more) = (o.isub(bits, one), o.iadd(bits, one));
    let positive = o.lt(zero, x);
    let stepped = o.select_i(positive, less, more);
    let is_zero = o.eq(x, zero);
    let first_negative = o.i32(0x8000_0001_u32.cast_signed());
    let chosen = o.select_i(is_zero, first_negative, stepped);
    o.from_bits(chosen)
}

/// Two normal numbers (Box & Muller 1958) from two words.
///
/// `r = √(−2 · log(((w0 >> 8) + 1) · 2⁻²⁴))`; the pair is `r` times cosine and sine of `w1 >> 8` parts of 2²⁴ of a turn.
pub fn normal_pair<O: Ops>(o: &mut O, w0: O::I, w1: O::I) -> (O::F, O::F) {
    let (one, ulp, minus_two) = (o.i32(1), o.f32(ULP), o.f32(-2.0));
    let top = o.shr(w0, 8);
    let from_one = o.iadd(top, one);
    let count = o.to_float(from_one);
    let u = o.mul(count, ulp);
    let log = functions::log(o, u);
    let square = o.mul(minus_two, log);
    let radius = o.sqrt(square);
    let turn = o.shr(w1, 8);
    let (sin, cos) = functions::sin_cos_turn(o, turn);
    (o.mul(radius, cos), o.mul(radius, sin))
}

/// An integer below `n` from a u64 draw: the high half of their product; 0 where `n` is 0.
#[must_use]
pub fn below(draw: u64, n: u64) -> u64 {
    ((u128::from(draw) * u128::from(n)) >> 64) as u64
}

/// Whether dropout with probability `p` keeps the element that drew `word`: `uniform ≥ p`.
#[must_use]
pub fn dropout_keeps(word: u32, p: f32) -> bool {
    uniform(&mut Scalar, word.cast_signed()) >= p
}

/// What a kept element is multiplied by: `1 / (1 − p)` in f64, rounded to f32 once.
#[must_use]
pub fn dropout_scale(p: f64) -> f32 {
    (1.0 / (1.0 - p)) as f32
}

/// Writes the uniforms `first`, `first + 1`, … of a stream; element `i` is made of word `i`.
pub fn uniforms(stream: &Stream, first: u64, values: &mut [f32]) {
    let mut words = [0; 256];
    let mut at = first;
    for chunk in values.chunks_mut(words.len()) {
        let words = &mut words[..chunk.len()];
        stream.fill(at, words);
        at += chunk.len() as u64;
        for (value, &word) in chunk.iter_mut().zip(&*words) {
            *value = uniform(&mut Scalar, word.cast_signed());
        }
    }
}

/// Writes the normals `first`, `first + 1`, … of a stream; elements `2i` and `2i + 1` are made of words `2i` and `2i + 1`.
pub fn normals(stream: &Stream, first: u64, values: &mut [f32]) {
    let mut words = [0; 256];
    let (mut at, mut rest) = (first, values);
    while !rest.is_empty() {
        let skipped = (at % 2) as usize;
        let count = rest.len().min(words.len() - skipped);
        let (now, later) = rest.split_at_mut(count);
        let words = &mut words[..(skipped + count).next_multiple_of(2)];
        stream.fill(at - skipped as u64, words);
        let pairs = words.chunks_exact(2).flat_map(|w| {
            let (even, odd) = normal_pair(&mut Scalar, w[0].cast_signed(), w[1].cast_signed());
            [even, odd]
        });
        for (value, normal) in now.iter_mut().zip(pairs.skip(skipped)) {
            *value = normal;
        }
        at += count as u64;
        rest = later;
    }
}

/// The rows 0 to `n − 1` in the order of their draws: sorted by (u64 draw of the row, row).
#[must_use]
pub fn shuffle(n: u32, stream: &Stream) -> Vec<u32> {
    let mut draws = vec![0; 2 * n as usize];
    stream.fill(0, &mut draws);
    let draws: Vec<u64> = draws
        .chunks_exact(2)
        .map(|w| u64::from(w[0]) | u64::from(w[1]) << 32)
        .collect();
    // As draws are even, buckets by their leading bits have a row or two each, and what is left to sort is next to nothing.
    let bits = n.checked_ilog2().unwrap_or(0);
    let bucket = |draw: u64| draw.checked_shr(64 - bits).unwrap_or(0) as usize;
    let mut counts = vec![0usize; 1 << bits];
    draws.iter().for_each(|&draw| counts[bucket(draw)] += 1);
    let mut next = 0;
    for count in &mut counts {
        next += std::mem::replace(count, next);
    }
    let mut starts = counts;
    let mut rows = vec![(0, 0); draws.len()];
    for (&draw, row) in draws.iter().zip(0..n) {
        let start = &mut starts[bucket(draw)];
        rows[*start] = (draw, row);
        *start += 1;
    }
    // Each bucket now starts where the one behind it did.
    let mut from = 0;
    for end in starts {
        rows[from..end].sort_unstable();
        from = end;
    }
    rows.into_iter().map(|(_, row)| row).collect()
}
