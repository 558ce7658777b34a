//! The weight gradient of a convolution: for each (tap, channel), a product over all output places.
//!
//! The rows of this product are (row tap, column tap, in-channel), the contracted index is (image, row, column) of the
//! output. Each block of output places reads its input through a padded window, in which a row's operands of one
//! output line lie evenly spaced.

use std::ops::Range;

use super::geometry::{Convolution, check_length};
use super::kernel::{PanelCopy, Segment};
use super::tiling::{Order, Panel, Panels, Right, RowTable, Tables, Take, part_of, sweep};
use super::unfold::Unfolding;
use super::{Context, Epilogue, Finished, K_BLOCK, K_GROUP, Misfit};
use crate::memory::{Scratch, scratch};

/// Computes `weight_gradient[row tap, column tap, in, out]` from the input and the output gradient `dy` of a
/// convolution. The epilogue's rows are the flattened (row tap, column tap, in).
///
/// # Errors
/// If a buffer is too short or the geometry impossible.
pub fn weight_gradient(
    context: &Context<'_>,
    geometry: &Convolution,
    x: &[f32],
    dy: &[f32],
    weight_gradient: &mut [f32],
    epilogue: Epilogue<'_>,
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
        Gradient::new(
            context,
            geometry,
            x,
            dy,
            weight_gradient.as_mut_ptr(),
            epilogue,
        )
        .run();
    }
    Ok(())
}

/// A checked call.
struct Gradient<'a> {
    context: &'a Context<'a>,
    geometry: &'a Convolution,
    dy: &'a [f32],
    output: *mut f32,
    epilogue: Epilogue<'a>,
    panels: Panels,
    unfolding: Unfolding<'a>,
}

// SAFETY: threads write disjoint rows behind `output`, and only read the rest.
unsafe impl Sync for Gradient<'_> {}

/// Memory of one thread.
struct Workspace {
    window: Scratch,
    packed: Scratch,
    tables: Tables,
    group_tables: Tables,
    /// Sums of a group of blocks after the first.
    group: Scratch,
    segments: Vec<Segment>,
}

impl<'a> Gradient<'a> {
    fn new(
        context: &'a Context<'a>,
        geometry: &'a Convolution,
        x: &'a [f32],
        dy: &'a [f32],
        output: *mut f32,
        epilogue: Epilogue<'a>,
    ) -> Self {
        let panels = Panels::new(context.kernels, geometry.out_channels);
        let unfolding = Unfolding::new(geometry, x);
        Self {
            context,
            geometry,
            dy,
            output,
            epilogue,
            panels,
            unfolding,
        }
    }

    fn rows(&self) -> usize {
        self.geometry.taps() * self.geometry.in_channels
    }

    fn block(&self, start: usize) -> Range<usize> {
        start..self.geometry.places().min(start + K_BLOCK)
    }

    fn run(&self) {
        let parts = self
            .context
            .pool
            .threads()
            .min(self.rows().div_ceil(self.panels.rows));
        self.context.pool.run(parts, &|part| {
            let rows = part_of(self.rows(), parts, part);
            // SAFETY: the parts are disjoint, and `weight_gradient` checked that all buffers hold them.
            unsafe { self.run_rows(rows.clone()) }
            if let Some(epilogue) = self.epilogue {
                let columns = self.geometry.out_channels;
                let first = self.output.wrapping_add(rows.start * columns);
                epilogue(Finished {
                    batch: 0,
                    rows,
                    columns,
                    first,
                    row_stride: columns,
                });
            }
        });
    }

    /// # Safety
    /// No other thread touches these rows of the output.
    unsafe fn run_rows(&self, rows: Range<usize>) {
        let (places, channels) = (self.geometry.places(), self.geometry.out_channels);
        let group_rows = if places > K_GROUP { rows.len() } else { 0 };
        let mut workspace = Workspace {
            window: scratch(self.unfolding.length()),
            packed: scratch(self.panels.padded() * K_BLOCK.min(places)),
            tables: Tables::new(rows.len()),
            group_tables: Tables::new(group_rows),
            group: scratch(group_rows * channels),
            segments: Vec::new(),
        };
        // SAFETY: the workspace has room for these rows; blocks lie inside the buffers.
        unsafe {
            self.place_rows(rows.clone(), group_rows > 0, &mut workspace);
            for start in (0..places.max(1)).step_by(K_BLOCK) {
                let block = self.block(start);
                self.unfolding
                    .fill(&block, &mut workspace.window, &mut workspace.segments);
                self.pack(&block, &mut workspace.packed);
                self.run_block(rows.len(), &block, &mut workspace);
            }
        }
    }

    /// Fills the tables. The window's place is the same for all blocks.
    unsafe fn place_rows(&self, rows: Range<usize>, has_groups: bool, workspace: &mut Workspace) {
        let channels = self.geometry.out_channels;
        let first = self.unfolding.first(&workspace.window);
        let (lefts, outputs) = (workspace.tables.lefts(), workspace.tables.outputs());
        let (group_outputs, group) = (
            workspace.group_tables.outputs(),
            workspace.group.as_mut_ptr(),
        );
        for (place, row) in rows.enumerate() {
            // SAFETY: the tables were made for all of `rows`.
            unsafe {
                *lefts.add(place) = first.wrapping_offset(self.unfolding.row_offset(row));
                *outputs.add(place) = self.output.wrapping_add(row * channels);
                if has_groups {
                    *group_outputs.add(place) = group.add(place * channels);
                }
            }
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

    unsafe fn run_block(&self, count: usize, block: &Range<usize>, workspace: &mut Workspace) {
        let (kernels, channels) = (self.context.kernels, self.geometry.out_channels);
        let in_later_group = block.start >= K_GROUP;
        let outputs = if in_later_group {
            workspace.group_tables.outputs()
        } else {
            workspace.tables.outputs()
        };
        let table = RowTable {
            count,
            rows: workspace.tables.lefts(),
            outputs,
            segments: &workspace.segments,
            a_step: self.unfolding.step(),
            add: !block.start.is_multiple_of(K_GROUP),
            order: Order::RowsFirst,
        };
        let (dy, packed) = (self.dy.as_ptr(), workspace.packed.as_ptr());
        let right = |panel: Panel| match self.reads_in_place() {
            true => Right {
                first: dy.wrapping_add(block.start * channels),
                step: channels,
            },
            false => Right {
                first: packed.wrapping_add(panel.start * block.len()),
                step: panel.width,
            },
        };
        // SAFETY: the caller's contract: tables, segments and right operands are those of this block.
        unsafe {
            sweep(kernels, &self.panels, &table, right, |_, _, _| Take::Whole);
            let ends_group =
                block.end.is_multiple_of(K_GROUP) || block.end == self.geometry.places();
            if in_later_group && ends_group {
                for row in 0..count {
                    (kernels.add_row)(
                        *workspace.tables.outputs().add(row),
                        *outputs.add(row),
                        channels,
                        true,
                    );
                }
            }
        }
    }
}
