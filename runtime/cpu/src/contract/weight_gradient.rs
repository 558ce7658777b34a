//! The weight gradient of a convolution: for each (tap, channel), a product over all output places.
//!
//! The rows of this product are (row tap, column tap, in-channel), the contracted index is (image, row, column) of the
//! output. Blocks of output places are read without the places that a tap has outside (`trim.rs`) or, where taps share
//! tiles, through a padded window (`unfold.rs`).

use std::ops::Range;

use super::geometry::{Convolution, check_length};
use super::kernel::{PanelCopy, Segment};
use super::tiling::{Order, Panel, Panels, Right, RowTable, Tables, Take, part_of, sweep};
use super::trim::{Operands, Trimming};
use super::unfold::Unfolding;
use super::{Context, K_BLOCK, K_GROUP, Misfit};
use crate::memory::{Scratch, scratch};

/// Floats of block results, at most, that threads which share the blocks keep until all are there.
const KEPT: usize = 1 << 20;

/// Computes `weight_gradient[row tap, column tap, in, out]` from the input and the output gradient `dy` of a
/// convolution.
///
/// # Errors
/// If a buffer is too short or the geometry impossible.
pub fn weight_gradient(
    context: &Context<'_>,
    geometry: &Convolution,
    x: &[f32],
    dy: &[f32],
    weight_gradient: &mut [f32],
) -> Result<(), Misfit> {
    geometry.check()?;
    check_length("input", x.len(), geometry.input_length())?;
    check_length("output gradient", dy.len(), geometry.output_length())?;
    check_length(
        "weight gradient",
        weight_gradient.len(),
        geometry.weight_length(),
    )?;
    if geometry.weight_length() != Some(0) {
        Gradient::new(context, geometry, x, dy, weight_gradient.as_mut_ptr()).run();
    }
    Ok(())
}

/// A checked call.
struct Gradient<'a> {
    context: &'a Context<'a>,
    geometry: &'a Convolution,
    dy: &'a [f32],
    output: *mut f32,
    panels: Panels,
    reading: Reading<'a>,
}

// SAFETY: threads write disjoint rows or blocks behind `output` and `kept`, and only read the rest.
unsafe impl Sync for Gradient<'_> {}

/// How the operands of blocks are read.
enum Reading<'a> {
    /// Through a padded window, all taps alike.
    Padded(Unfolding<'a>),
    /// Each tap without what it has outside.
    Trimmed(Trimming<'a>),
}

/// How the work is cut: blocks first, which copies nothing twice, then rows.
struct Cut {
    blocks: usize,
    block_parts: usize,
    row_parts: usize,
    /// Results of the blocks after the first part's, which adds its own up.
    kept: Kept,
}

/// Memory of block results, which the caller of the threads holds.
struct Kept {
    first_block: usize,
    results: *mut f32,
}

// SAFETY: threads write disjoint blocks or rows.
unsafe impl Sync for Kept {}

/// Memory of one thread.
struct Workspace {
    window: Scratch,
    packed: Scratch,
    tables: Tables,
    /// Sums of a group of blocks after the first.
    group: Scratch,
    segments: Vec<Segment>,
    operands: Option<Operands>,
}

impl<'a> Gradient<'a> {
    fn new(
        context: &'a Context<'a>,
        geometry: &'a Convolution,
        x: &'a [f32],
        dy: &'a [f32],
        output: *mut f32,
    ) -> Self {
        let panels = Panels::new(context.kernels, geometry.out_channels);
        let reading = match Trimming::new(geometry, x, dy, panels) {
            Some(trimming) => Reading::Trimmed(trimming),
            None => Reading::Padded(Unfolding::new(geometry, x)),
        };
        Self {
            context,
            geometry,
            dy,
            output,
            panels,
            reading,
        }
    }

    fn rows(&self) -> usize {
        self.geometry.taps() * self.geometry.in_channels
    }

    /// Floats of the whole result.
    fn length(&self) -> usize {
        self.rows() * self.geometry.out_channels
    }

    fn block(&self, number: usize) -> Range<usize> {
        let places = self.geometry.places();
        number * K_BLOCK..places.min((number + 1) * K_BLOCK)
    }

    fn run(&self) {
        let threads = self.context.pool.threads();
        let blocks = self.geometry.places().div_ceil(K_BLOCK).max(1);
        let is_copied = match &self.reading {
            Reading::Padded(_) => true,
            Reading::Trimmed(trimming) => trimming.is_copied(),
        };
        let fits = blocks <= K_GROUP / K_BLOCK && blocks * self.length() <= KEPT;
        let block_parts = if is_copied && fits {
            threads.min(blocks)
        } else {
            1
        };
        let first_block = part_of(blocks, block_parts, 0).len();
        let mut kept = scratch((blocks - first_block) * self.length());
        let cut = Cut {
            blocks,
            block_parts,
            row_parts: (threads / block_parts).clamp(1, self.rows().div_ceil(self.panels.rows)),
            kept: Kept {
                first_block,
                results: kept.as_mut_ptr(),
            },
        };
        let tasks = cut.block_parts * cut.row_parts;
        self.context.pool.run(tasks, &|task| {
            let rows = part_of(self.rows(), cut.row_parts, task % cut.row_parts);
            let blocks = part_of(blocks, cut.block_parts, task / cut.row_parts);
            // SAFETY: the parts are disjoint, and `weight_gradient` checked that all buffers hold them.
            unsafe { self.run_part(&cut.kept, rows, blocks) }
        });
        let parts = threads.min(self.rows());
        self.context.pool.run(parts, &|part| {
            // SAFETY: the rows are disjoint, and all blocks are done.
            unsafe { self.finish(&cut, part_of(self.rows(), parts, part)) }
        });
    }

    /// Adds the blocks that were kept, in order.
    ///
    /// # Safety
    /// No other thread touches these rows of the output.
    unsafe fn finish(&self, cut: &Cut, rows: Range<usize>) {
        let channels = self.geometry.out_channels;
        let (start, length) = (rows.start * channels, rows.len() * channels);
        for block in cut.kept.first_block..cut.blocks {
            let kept = (block - cut.kept.first_block) * self.length() + start;
            // SAFETY: the caller's contract; a kept block is as long as the output.
            unsafe {
                let to = self.output.add(start);
                (self.context.kernels.add_row)(to, cut.kept.results.add(kept), length, true);
            }
        }
    }

    /// # Safety
    /// No other thread touches these rows of these blocks.
    unsafe fn run_part(&self, kept: &Kept, rows: Range<usize>, blocks: Range<usize>) {
        let (places, channels) = (self.geometry.places(), self.geometry.out_channels);
        let group_rows = if places > K_GROUP { rows.len() } else { 0 };
        let (window, packed, operands) = match &self.reading {
            Reading::Padded(unfolding) => {
                let packed = self.panels.padded() * K_BLOCK.min(places);
                (unfolding.length(), packed, None)
            }
            Reading::Trimmed(trimming) => (0, 0, Some(trimming.operands())),
        };
        let mut workspace = Workspace {
            window: scratch(window),
            packed: scratch(packed),
            tables: Tables::new(rows.len()),
            group: scratch(group_rows * channels),
            segments: Vec::new(),
            operands,
        };
        for number in blocks {
            // SAFETY: the workspace has room for these rows; blocks lie inside the buffers.
            unsafe { self.run_block(kept, &rows, number, &mut workspace) }
        }
    }

    /// Fills the table of output pointers: the output, the sums of a later group, or a kept block.
    unsafe fn place_outputs(
        &self,
        kept: &Kept,
        rows: &Range<usize>,
        number: usize,
        workspace: &mut Workspace,
    ) {
        let channels = self.geometry.out_channels;
        let (outputs, group) = (workspace.tables.outputs(), workspace.group.as_mut_ptr());
        for (place, row) in rows.clone().enumerate() {
            let to = if number >= kept.first_block {
                let start = (number - kept.first_block) * self.length();
                kept.results.wrapping_add(start + row * channels)
            } else if number * K_BLOCK >= K_GROUP {
                group.wrapping_add(place * channels)
            } else {
                self.output.wrapping_add(row * channels)
            };
            // SAFETY: the tables were made for all of `rows`.
            unsafe { *outputs.add(place) = to }
        }
    }

    /// Whether a single panel of whole vectors can read the output gradient where it is.
    fn reads_in_place(&self) -> bool {
        self.panels.count() == 1 && self.panels.padded() == self.panels.columns
    }

    unsafe fn pack(&self, block: &Range<usize>, packed: &mut [f32]) {
        let channels = self.geometry.out_channels;
        if self.reads_in_place() {
            return;
        }
        for panel in self.panels.all() {
            let copy = PanelCopy {
                from: self
                    .dy
                    .as_ptr()
                    .wrapping_add(block.start * channels + panel.start),
                row_stride: channels,
                column_stride: 1,
                depth: block.len(),
                columns: panel.columns,
                width: panel.width,
                to: packed[panel.start * block.len()..].as_mut_ptr(),
                panels: 1,
            };
            // SAFETY: the block's places and the panel's channels lie inside `dy`; `packed` holds all panels.
            unsafe { (self.context.kernels.copy_panel)(&copy) }
        }
    }

    unsafe fn run_block(
        &self,
        kept: &Kept,
        rows: &Range<usize>,
        number: usize,
        workspace: &mut Workspace,
    ) {
        let block = self.block(number);
        // SAFETY: the caller's contract: tables, segments and right operands are those of this block.
        unsafe {
            self.place_outputs(kept, rows, number, workspace);
            let add = number < kept.first_block && !block.start.is_multiple_of(K_GROUP);
            match &self.reading {
                Reading::Padded(unfolding) => {
                    self.run_padded(unfolding, rows, &block, add, workspace);
                }
                Reading::Trimmed(trimming) => {
                    self.run_trimmed(trimming, rows, &block, add, workspace);
                }
            }
            let ends_group =
                block.end.is_multiple_of(K_GROUP) || block.end == self.geometry.places();
            if block.start >= K_GROUP && ends_group {
                let channels = self.geometry.out_channels;
                let to = self.output.add(rows.start * channels);
                let length = rows.len() * channels;
                (self.context.kernels.add_row)(to, workspace.group.as_ptr(), length, true);
            }
        }
    }

    unsafe fn run_padded(
        &self,
        unfolding: &Unfolding<'_>,
        rows: &Range<usize>,
        block: &Range<usize>,
        add: bool,
        workspace: &mut Workspace,
    ) {
        let (dy, channels) = (self.dy.as_ptr(), self.geometry.out_channels);
        unfolding.fill(block, &mut workspace.window, &mut workspace.segments);
        // SAFETY: the caller's contract; the tables were made for all of `rows`.
        unsafe {
            self.pack(block, &mut workspace.packed);
            let first = unfolding.first(&workspace.window);
            let lefts = workspace.tables.lefts();
            for (place, row) in rows.clone().enumerate() {
                *lefts.add(place) = first.wrapping_offset(unfolding.row_offset(row));
            }
            let packed = workspace.packed.as_ptr();
            let right = |panel: Panel| match self.reads_in_place() {
                true => Right {
                    first: dy.wrapping_add(block.start * channels),
                    step: channels,
                    far: 0,
                },
                false => Right {
                    first: packed.wrapping_add(panel.start * block.len()),
                    step: panel.width,
                    far: 0,
                },
            };
            let table = RowTable {
                count: rows.len(),
                rows: lefts,
                outputs: workspace.tables.outputs(),
                segments: &workspace.segments,
                a_step: unfolding.step(),
                add,
                order: Order::RowsFirst,
                after: None,
            };
            let kernels = self.context.kernels;
            sweep(
                kernels,
                &self.panels,
                &table,
                right,
                |_| 0,
                |_, _, _| Take::Whole,
            );
        }
    }

    unsafe fn run_trimmed(
        &self,
        trimming: &Trimming<'_>,
        rows: &Range<usize>,
        block: &Range<usize>,
        add: bool,
        workspace: &mut Workspace,
    ) {
        let Some(operands) = &mut workspace.operands else {
            return;
        };
        trimming.fill(self.context, block, operands);
        let channels = self.geometry.in_channels;
        let mut row = rows.start;
        while row < rows.end {
            let tap = row / channels;
            let end = rows.end.min((tap + 1) * channels);
            let first = trimming.left(operands, tap).wrapping_add(row % channels);
            let (lefts, outputs) = (workspace.tables.lefts(), workspace.tables.outputs());
            for place in 0..end - row {
                // SAFETY: the tables were made for all of `rows`.
                unsafe { *lefts.add(place) = first.wrapping_add(place) }
            }
            let table = RowTable {
                count: end - row,
                rows: lefts,
                outputs: outputs.wrapping_add(row - rows.start),
                segments: &operands.segments[tap],
                a_step: trimming.step(),
                add,
                order: Order::RowsFirst,
                after: None,
            };
            let right = |panel: Panel| trimming.right(operands, block, tap, panel);
            // SAFETY: the caller's contract; the operands are those of this block.
            unsafe {
                let kernels = self.context.kernels;
                sweep(
                    kernels,
                    &self.panels,
                    &table,
                    right,
                    |_| 0,
                    |_, _, _| Take::Whole,
                );
            }
            row = end;
        }
    }
}
