//! The gradient of a table lookup: the product with one-hot rows, without the zeros.

use std::ops::Range;

use super::kernel::Kernels;
use super::operand::check_reach;
use super::tiling::part_of;
use super::{Context, K_BLOCK, K_GROUP, Misfit};
use crate::memory::scratch;

/// Parts of the table per thread: frequent entries make parts uneven.
const PARTS_PER_THREAD: usize = 8;
/// Elements below which one thread does it all.
const SERIAL: usize = 32_768;

/// Computes `table[v] = sum over positions p with index[p] = v of gradients[p]`, rows of `width` elements, in the order
/// of the contraction with one-hot rows over all positions: blocks and groups count positions, absent ones included.
/// Rows that no index names become zero.
///
/// # Errors
/// If `gradients` is too short, `table` is not whole rows, or an index lies outside the table.
pub fn scatter_rows(
    context: &Context<'_>,
    index: &[u32],
    gradients: &[f32],
    width: usize,
    table: &mut [f32],
) -> Result<(), Misfit> {
    check_reach(
        "gradients",
        gradients.len(),
        &[(index.len(), width), (width, 1)],
    )?;
    if width == 0 {
        return Ok(());
    }
    if !table.len().is_multiple_of(width) {
        return Err(Misfit::TooShort("table"));
    }
    let entries = table.len() / width;
    let positions = Positions::of(index, entries)?;
    let scatter = Scatter {
        kernels: context.kernels,
        positions,
        gradients,
        width,
        table: table.as_mut_ptr(),
    };
    let is_small = gradients.len() + table.len() < SERIAL;
    let parts = if is_small {
        1
    } else {
        (PARTS_PER_THREAD * context.pool.threads()).min(entries)
    };
    context
        .pool
        .run(parts, &|part| scatter.run(part_of(entries, parts, part)));
    Ok(())
}

/// Positions sorted by entry, ascending within each.
struct Positions {
    sorted: Vec<u32>,
    /// Where each entry's positions start, and the end of the last.
    starts: Vec<u32>,
}

impl Positions {
    fn of(index: &[u32], entries: usize) -> Result<Self, Misfit> {
        if u32::try_from(index.len()).is_err() {
            return Err(Misfit::Index(u32::MAX as usize));
        }
        let mut starts = vec![0u32; entries + 2];
        for (position, &entry) in index.iter().enumerate() {
            if entry as usize >= entries {
                return Err(Misfit::Index(position));
            }
            starts[entry as usize + 2] += 1;
        }
        for entry in 2..starts.len() {
            starts[entry] += starts[entry - 1];
        }
        // starts[v + 1] is where v begins; placing a position moves it on, to where v ends and v + 1 begins.
        let mut sorted = vec![0u32; index.len()];
        for (position, &entry) in index.iter().enumerate() {
            let next = &mut starts[entry as usize + 1];
            sorted[*next as usize] = position as u32;
            *next += 1;
        }
        Ok(Self { sorted, starts })
    }

    fn of_entry(&self, entry: usize) -> &[u32] {
        &self.sorted[self.starts[entry] as usize..self.starts[entry + 1] as usize]
    }
}

/// A checked call.
struct Scatter<'a> {
    kernels: &'static Kernels,
    positions: Positions,
    gradients: &'a [f32],
    width: usize,
    table: *mut f32,
}

// SAFETY: threads write disjoint entries of the table.
unsafe impl Sync for Scatter<'_> {}

impl Scatter<'_> {
    fn run(&self, entries: Range<usize>) {
        let (mut chain, mut group_sum) = (scratch(self.width), scratch(self.width));
        for entry in entries {
            // SAFETY: the entry lies in the table, and only this thread has it.
            let row = unsafe {
                std::slice::from_raw_parts_mut(self.table.add(entry * self.width), self.width)
            };
            let positions = self.positions.of_entry(entry);
            if positions.is_empty() {
                row.fill(0.0);
            }
            let same_group = |a: &u32, b: &u32| *a as usize / K_GROUP == *b as usize / K_GROUP;
            for (number, group) in positions.chunk_by(same_group).enumerate() {
                if number == 0 {
                    self.add_group(group, row, &mut chain);
                } else {
                    self.add_group(group, &mut group_sum, &mut chain);
                    self.add(row, &group_sum, true);
                }
            }
        }
    }

    /// `sum` becomes the sum of a group's blocks.
    fn add_group(&self, group: &[u32], sum: &mut [f32], chain: &mut [f32]) {
        let same_block = |a: &u32, b: &u32| *a as usize / K_BLOCK == *b as usize / K_BLOCK;
        for (number, block) in group.chunk_by(same_block).enumerate() {
            // The chain of a single position is its row itself.
            if let [position] = block {
                self.add(sum, self.row(*position), number > 0);
                continue;
            }
            for (place, &position) in block.iter().enumerate() {
                self.add(chain, self.row(position), place > 0);
            }
            self.add(sum, chain, number > 0);
        }
    }

    fn row(&self, position: u32) -> &[f32] {
        &self.gradients[position as usize * self.width..][..self.width]
    }

    /// `to = from + (add ? to : 0)`; adding a row is `fma(1, row, to)`.
    fn add(&self, to: &mut [f32], from: &[f32], add: bool) {
        assert!(to.len() >= self.width && from.len() >= self.width);
        // SAFETY: both sides have `width` elements, and the context's instruction set was admitted.
        unsafe { (self.kernels.add_row)(to.as_mut_ptr(), from.as_ptr(), self.width, add) }
    }
}
