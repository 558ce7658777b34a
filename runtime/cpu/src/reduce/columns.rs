//! Columns form: rows are added onto 64 lanes, each as wide as the columns.
#![expect(
    unsafe_code,
    reason = "lanes and sums are addressed by pointer inside scratch memory"
)]

use super::fold::{fold_blocks, tree};
use super::{Cells, Entries, Frame};
use crate::launch::SERIAL;
use crate::memory::scratch;
use crate::pool::Pool;
use mmh_lower::kernel::Mode;
use mmh_numerics::reduce::{BLOCK, LANES};

/// Floats of lanes per root and thread in columns form.
const LANE_FLOATS: usize = 16_384;

/// How columns-form work is cut: pieces of columns, blocks of rows, parts of the 64 lanes.
struct Cut {
    width: usize,
    pieces: usize,
    blocks: usize,
    parts: usize,
}

pub(super) fn columns_form(pool: &Pool, frame: &Frame<'_>, entries: Entries) {
    let (items, length, roots, columns) = (
        frame.items(),
        frame.length(),
        frame.reduction.results.len(),
        frame.columns,
    );
    let fold = frame.fold;
    let width = columns.min((LANE_FLOATS / LANES / roots).max(16));
    let (pieces, blocks) = (columns.div_ceil(width), length.div_ceil(BLOCK).max(1));
    let work = items * length * columns;
    let wanted = if work < SERIAL { 1 } else { pool.threads() };
    let units = items * pieces * blocks;
    let parts = if units >= 2 * wanted || length < 2 * LANES {
        1
    } else {
        wanted.next_power_of_two().min(8)
    };
    let cut = Cut {
        width,
        pieces,
        blocks,
        parts,
    };
    // Lanes of every unit, kept only where several threads share them; block results of every unit.
    let lane_floats = LANES * width * roots;
    let mut lanes = scratch(if parts > 1 { units * lane_floats } else { 0 });
    let mut sums = scratch(units * roots * width);
    let (lane_cells, sum_cells) = (Cells(lanes.as_mut_ptr()), Cells(sums.as_mut_ptr()));
    let lane_work = |task: usize| {
        let (unit, part) = (task / parts, task % parts);
        if parts > 1 {
            accumulate(
                frame,
                entries,
                &cut,
                unit,
                part,
                lane_cells.from(unit * lane_floats),
            );
        } else {
            let mut own = scratch(lane_floats);
            accumulate(frame, entries, &cut, unit, 0, own.as_mut_ptr());
            settle(
                frame,
                &cut,
                unit,
                own.as_mut_ptr(),
                sum_cells.from(unit * roots * width),
            );
        }
    };
    if wanted == 1 {
        (0..units * parts).for_each(lane_work)
    } else {
        pool.run(units * parts, &lane_work)
    }
    if parts > 1 {
        for unit in 0..units {
            settle(
                frame,
                &cut,
                unit,
                lane_cells.from(unit * lane_floats),
                sum_cells.from(unit * roots * width),
            );
        }
    }
    for item in 0..items {
        for piece in 0..pieces {
            let here = width.min(columns - piece * width);
            for root in 0..roots {
                let first = ((item * pieces + piece) * blocks) * roots * width + root * width;
                let result = if blocks == 1 {
                    &sums[first..first + here]
                } else {
                    &gather_blocks(fold, &sums, first, roots * width, blocks, here)[..]
                };
                frame.write(root, item, piece * width, &result[..here]);
            }
        }
    }
}

fn gather_blocks(
    fold: Mode,
    sums: &[f32],
    first: usize,
    step: usize,
    blocks: usize,
    width: usize,
) -> Vec<f32> {
    let mut lines: Vec<f32> = (0..blocks)
        .flat_map(|b| {
            sums[first + b * step..first + b * step + width]
                .iter()
                .copied()
        })
        .collect();
    fold_blocks(fold, &mut lines, blocks, width);
    lines
}

/// Adds the rows of one block, of one part of the lanes, onto the lanes.
fn accumulate(
    frame: &Frame<'_>,
    entries: Entries,
    cut: &Cut,
    unit: usize,
    part: usize,
    lanes: *mut f32,
) {
    let (block, piece, item) = (
        unit % cut.blocks,
        unit / cut.blocks % cut.pieces,
        unit / cut.blocks / cut.pieces,
    );
    let length = frame.length();
    let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(length));
    let per_part = LANES / cut.parts;
    let width = cut.width.min(frame.columns - piece * cut.width);
    let inner = frame.reduced.last().copied().unwrap_or(1);
    let mut group = from;
    while group < to {
        let (mut at, end) = (
            (group + part * per_part).min(to),
            (group + (part + 1) * per_part).min(to),
        );
        let entry = if group == from {
            entries.write
        } else {
            entries.more
        };
        while at < end {
            let count = (inner - at % inner).min(end - at);
            let mut launch = frame.launch(entry, item, at);
            for n in 0..launch.form.count {
                let step = launch.form.column[n] as isize * (piece * cut.width) as isize;
                launch.pointers[n] = launch.pointers[n].wrapping_offset(step);
            }
            launch.form.index[1] = (piece * cut.width) as i32;
            for root in 0..frame.reduction.results.len() {
                let lane = lanes.wrapping_add((root * LANES + (at - group)) * cut.width);
                launch.push(lane.cast(), (cut.width * 4) as i64, 4);
            }
            launch.run(count, width);
            at += count;
        }
        group += LANES;
    }
}

/// The tree over the lanes of one unit; writes its block result.
fn settle(frame: &Frame<'_>, cut: &Cut, unit: usize, lanes: *mut f32, sums: *mut f32) {
    let block = unit % cut.blocks;
    let rows = BLOCK.min(frame.length() - block * BLOCK);
    let roots = frame.reduction.results.len();
    // SAFETY: the unit's lanes and sums, written by nobody else now.
    let (lanes, sums) = unsafe {
        (
            std::slice::from_raw_parts_mut(lanes, roots * LANES * cut.width),
            std::slice::from_raw_parts_mut(sums, roots * cut.width),
        )
    };
    for root in 0..roots {
        let own = &mut lanes[root * LANES * cut.width..(root + 1) * LANES * cut.width];
        tree(frame.fold, own, rows.min(LANES), cut.width);
        sums[root * cut.width..(root + 1) * cut.width].copy_from_slice(&own[..cut.width]);
    }
}
