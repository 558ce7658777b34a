//! How elements are combined: 64 strided lanes, a halving tree, recursion over blocks.
#![allow(
    unsafe_code,
    reason = "the same code is compiled for wider vectors, which the caller has admitted"
)]

use crate::isa::Isa;
use mmh_lower::kernel::Mode;
use mmh_numerics::reduce::{BLOCK, LANES};

/// Folds `b` onto `a`, element by element.
#[inline(always)]
fn combine(fold: Mode, a: &mut [f32], b: &[f32]) {
    match fold {
        Mode::Sum | Mode::Write => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
        Mode::Max => a
            .iter_mut()
            .zip(b)
            .for_each(|(a, b)| *a = if *a > *b { *a } else { *b }),
        Mode::Min => a
            .iter_mut()
            .zip(b)
            .for_each(|(a, b)| *a = if *a < *b { *a } else { *b }),
    }
}

/// The halving tree over `lanes` rows of `width`; the result is row 0.
pub(super) fn tree(fold: Mode, data: &mut [f32], lanes: usize, width: usize) {
    let mut present = lanes;
    for half in [32, 16, 8, 4, 2, 1] {
        for lane in half..present.min(2 * half) {
            let (low, high) = data.split_at_mut(lane * width);
            combine(
                fold,
                &mut low[(lane - half) * width..(lane - half + 1) * width],
                &high[..width],
            );
        }
        present = present.min(half);
    }
}

/// Folds `rows` rows of `width` into row 0, by lanes and tree; at most a block of rows.
fn fold_rows(fold: Mode, data: &mut [f32], rows: usize, width: usize) {
    for row in LANES..rows {
        let (low, high) = data.split_at_mut(row * width);
        let lane = row % LANES;
        combine(
            fold,
            &mut low[lane * width..(lane + 1) * width],
            &high[..width],
        );
    }
    tree(fold, data, rows.min(LANES), width);
}

/// Folds block results, by recursion over blocks.
pub(super) fn fold_blocks(fold: Mode, data: &mut [f32], rows: usize, width: usize) {
    let mut rows = rows;
    while rows > BLOCK {
        let blocks = rows.div_ceil(BLOCK);
        for block in 0..blocks {
            let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(rows));
            fold_rows(fold, &mut data[from * width..to * width], to - from, width);
            data.copy_within(from * width..(from + 1) * width, block * width);
        }
        rows = blocks;
    }
    if rows > 1 {
        fold_rows(fold, data, rows, width);
    }
}

/// One row of up to a block of elements.
#[inline(always)]
fn fold_line(fold: Mode, line: &mut [f32]) -> f32 {
    match fold {
        Mode::Sum | Mode::Write => line_of(fold, line, |a, b| a + b),
        Mode::Max => line_of(fold, line, |a, b| if a > b { a } else { b }),
        Mode::Min => line_of(fold, line, |a, b| if a < b { a } else { b }),
    }
}

/// The same for one way to fold, so that lanes and tree of a long row stay in registers.
#[inline(always)]
fn line_of(mode: Mode, line: &mut [f32], fold: impl Fn(f32, f32) -> f32) -> f32 {
    let Some((lanes, rest)) = line.split_first_chunk::<LANES>() else {
        if line.is_empty() {
            return empty(mode);
        }
        let mut present = line.len();
        for half in [32, 16, 8, 4, 2, 1] {
            if present > half {
                let (low, high) = line.split_at_mut(half);
                let folded = low.iter_mut().zip(&high[..present - half]);
                folded.for_each(|(a, b)| *a = fold(*a, *b));
                present = half;
            }
        }
        return line[0];
    };
    let mut lanes = *lanes;
    let (chunks, tail) = rest.as_chunks::<LANES>();
    for chunk in chunks {
        (0..LANES).for_each(|l| lanes[l] = fold(lanes[l], chunk[l]));
    }
    let present = lanes.iter_mut().zip(tail);
    present.for_each(|(lane, x)| *lane = fold(*lane, *x));
    (0..32).for_each(|l| lanes[l] = fold(lanes[l], lanes[l + 32]));
    (0..16).for_each(|l| lanes[l] = fold(lanes[l], lanes[l + 16]));
    (0..8).for_each(|l| lanes[l] = fold(lanes[l], lanes[l + 8]));
    (0..4).for_each(|l| lanes[l] = fold(lanes[l], lanes[l + 4]));
    (0..2).for_each(|l| lanes[l] = fold(lanes[l], lanes[l + 2]));
    fold(lanes[0], lanes[1])
}

/// How rows are folded on this machine: the same code, compiled for wider vectors where there are some.
#[derive(Clone, Copy)]
pub(super) enum Lines {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Lines {
    /// `isa` is admitted.
    pub(super) fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => Self::Avx2,
            _ => Self::Plain,
        }
    }

    pub(super) fn fold(self, fold: Mode, line: &mut [f32]) -> f32 {
        match self {
            Self::Plain => fold_line(fold, line),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `of` gives this for instruction sets that are admitted and hold AVX2.
            Self::Avx2 => unsafe { fold_line_avx2(fold, line) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fold_line_avx2(fold: Mode, line: &mut [f32]) -> f32 {
    fold_line(fold, line)
}

fn empty(fold: Mode) -> f32 {
    match fold {
        Mode::Sum | Mode::Write => 0.0,
        Mode::Max => f32::NEG_INFINITY,
        Mode::Min => f32::INFINITY,
    }
}

pub(super) fn finished(fold: Mode, value: f32) -> f32 {
    match fold {
        Mode::Sum | Mode::Write => value,
        Mode::Max | Mode::Min => value + 0.0,
    }
}
