//! The weight gradient of a convolution: for each (tap, channel), a product over all output places.
//!
//! The rows of this product are (row tap, column tap, in-channel), the contracted index is (image, row, column) of the
//! output. Each block of output places reads its input through a padded window, in which a row's operands of one
//! output line lie evenly spaced.

use std::ops::Range;

use super::geometry::{Convolution, check_length};
use super::kernel::{PanelCopy, Segment};
use super::tiling::{Panel, Panels, Right, RowTable, Tables, Take, part_of, sweep};
use super::window::Frame;
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
    x: &'a [f32],
    dy: &'a [f32],
    output: *mut f32,
    epilogue: Epilogue<'a>,
    panels: Panels,
    frame: Frame,
    in_place: bool,
    /// Floats that the window of any block needs.
    window: usize,
}

// SAFETY: threads write disjoint rows behind `output`, and only read the rest.
unsafe impl Sync for Gradient<'_> {}

/// Output lines of one image inside a block.
struct Piece {
    image: usize,
    lines: Range<usize>,
}

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
        let Convolution {
            rows,
            columns,
            out_channels,
            ..
        } = *geometry;
        let has_places = geometry.places() > 0;
        let steps = if has_places {
            columns.steps(0..columns.output)
        } else {
            0..0
        };
        let frame = Frame {
            columns: steps,
            spread: [rows.divide, columns.divide],
        };
        let in_place = has_places && frame.is_inside(geometry, &rows.steps(0..rows.output));
        let panels = Panels::new(context.kernels, out_channels);
        let mut gradient = Self {
            context,
            geometry,
            x,
            dy,
            output,
            epilogue,
            panels,
            frame,
            in_place,
            window: 0,
        };
        if !in_place {
            let blocks = (0..geometry.places()).step_by(K_BLOCK);
            gradient.window = blocks
                .map(|start| gradient.window_length(start))
                .max()
                .unwrap_or(0);
        }
        gradient
    }

    fn rows(&self) -> usize {
        self.geometry.taps() * self.geometry.in_channels
    }

    fn block(&self, start: usize) -> Range<usize> {
        start..self.geometry.places().min(start + K_BLOCK)
    }

    /// The images that a block of output places touches.
    fn pieces(&self, block: Range<usize>) -> impl Iterator<Item = Piece> + use<> {
        let (lines, columns) = (self.geometry.rows.output, self.geometry.columns.output);
        let image_places = lines * columns;
        (block.start / image_places..block.end.div_ceil(image_places)).map(move |image| {
            let start = block.start.saturating_sub(image * image_places) / columns;
            let end = (block.end - image * image_places)
                .div_ceil(columns)
                .min(lines);
            Piece {
                image,
                lines: start..end,
            }
        })
    }

    fn window_length(&self, start: usize) -> usize {
        let rows = self
            .pieces(self.block(start))
            .map(|piece| self.geometry.rows.steps(piece.lines).len());
        rows.sum::<usize>() * self.frame.row_length(self.geometry)
    }

    fn row_length(&self) -> usize {
        if self.in_place {
            return self.geometry.columns.input * self.geometry.in_channels;
        }
        self.frame.row_length(self.geometry)
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
            window: scratch(self.window),
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
                self.fill_window(&block, &mut workspace);
                self.pack(&block, &mut workspace.packed);
                self.run_block(rows.len(), &block, &mut workspace);
            }
        }
    }

    /// Fills the tables. The window's place is the same for all blocks.
    unsafe fn place_rows(&self, rows: Range<usize>, has_groups: bool, workspace: &mut Workspace) {
        let Convolution {
            rows: row_axis,
            columns,
            in_channels,
            out_channels,
            ..
        } = *self.geometry;
        let first = if self.in_place {
            self.x.as_ptr()
        } else {
            workspace.window.as_ptr()
        };
        let (lefts, outputs) = (workspace.tables.lefts(), workspace.tables.outputs());
        let (group_outputs, group) = (
            workspace.group_tables.outputs(),
            workspace.group.as_mut_ptr(),
        );
        let lowest = |dilation: isize, taps: usize| dilation.min(0) * (taps as isize - 1);
        for (place, row) in rows.enumerate() {
            let (tap, channel) = (row / in_channels, row % in_channels);
            let (row_tap, column_tap) =
                ((tap / columns.taps) as isize, (tap % columns.taps) as isize);
            let down = row_tap * row_axis.dilation - lowest(row_axis.dilation, row_axis.taps);
            let right = column_tap * columns.dilation - lowest(columns.dilation, columns.taps);
            let offset =
                down * self.row_length() as isize + right * in_channels as isize + channel as isize;
            // SAFETY: the tables were made for all of `rows`.
            unsafe {
                *lefts.add(place) = first.wrapping_offset(offset);
                *outputs.add(place) = self.output.wrapping_add(row * out_channels);
                if has_groups {
                    *group_outputs.add(place) = group.add(place * out_channels);
                }
            }
        }
    }

    /// Copies what a block reads and lists its runs: one per output line, from the lowest tap's place.
    fn fill_window(&self, block: &Range<usize>, workspace: &mut Workspace) {
        let Convolution {
            rows,
            columns,
            in_channels,
            ..
        } = *self.geometry;
        let (row_length, image_length) =
            (self.row_length(), rows.input * columns.input * in_channels);
        workspace.segments.clear();
        let mut filled = 0;
        if block.is_empty() {
            return;
        }
        for Piece { image, lines } in self.pieces(block.clone()) {
            let steps = rows.steps(lines.clone());
            let mut start = (image * image_length) as isize + steps.start * row_length as isize;
            if self.in_place {
                start += columns.steps(0..1).start * in_channels as isize;
            } else {
                let length = steps.len() * row_length;
                let to = &mut workspace.window[filled..filled + length];
                self.frame.copy(
                    self.geometry,
                    &self.x[image * image_length..][..image_length],
                    steps,
                    to,
                );
                start = filled as isize;
                filled += length;
            }
            for (number, line) in lines.enumerate() {
                let first = (image * rows.output + line) * columns.output;
                let run = first.max(block.start)..(first + columns.output).min(block.end);
                let offset = number * rows.stride * row_length
                    + (run.start - first) * columns.stride * in_channels;
                self.push(
                    &mut workspace.segments,
                    Segment {
                        offset: start + offset as isize,
                        length: run.len(),
                    },
                );
            }
        }
    }

    /// Appends a run; one that continues the last becomes part of it.
    fn push(&self, segments: &mut Vec<Segment>, segment: Segment) {
        match segments.last_mut() {
            Some(last) if last.offset + (last.length * self.step()) as isize == segment.offset => {
                last.length += segment.length;
            }
            _ => segments.push(segment),
        }
    }

    /// Floats from an output place's operand to the next one's.
    fn step(&self) -> usize {
        self.geometry.columns.stride * self.geometry.in_channels
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
            a_step: self.step(),
            column: 0,
            add: !block.start.is_multiple_of(K_GROUP),
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
