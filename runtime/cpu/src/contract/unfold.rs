//! The left operands of a weight gradient: what the taps of a block of output places read, laid out so that the
//! operands of one (tap, channel) lie evenly spaced along the block.

use std::ops::Range;

use super::K_BLOCK;
use super::geometry::{Axis, Convolution};
use super::kernel::Segment;
use super::window::Frame;

/// Output columns from which one padded copy serves all column taps. Narrower lines get a copy for each column tap:
/// without padding between them, the lines of an image become one run.
const WIDE: usize = 48;
/// Channels below which copying place by place costs more than the runs save.
const THIN: usize = 8;

/// How blocks are copied, or not: the same for all blocks of a call.
pub(super) struct Unfolding<'a> {
    geometry: &'a Convolution,
    x: &'a [f32],
    /// One per copy; none when the input itself is read.
    frames: Vec<Frame>,
    /// Floats from one row of the layout to the next.
    row_length: usize,
    /// Floats from an output column's operand to the next one's.
    step: usize,
    /// Floats from one column tap's operands to the next one's.
    column_tap: isize,
    /// Rows are sorted by their remainder by this, so that output lines read neighbouring rows.
    planes: usize,
    plane_length: usize,
}

/// Output lines of one image inside a block.
struct Piece {
    image: usize,
    lines: Range<usize>,
}

impl<'a> Unfolding<'a> {
    pub(super) fn new(geometry: &'a Convolution, x: &'a [f32]) -> Self {
        let Convolution {
            rows,
            columns,
            in_channels,
            ..
        } = *geometry;
        let (mut unfolding, steps) = (
            Self::of_input(geometry, x),
            columns.steps(0..columns.output.max(1)),
        );
        let whole = Frame {
            columns: steps,
            stride: 1,
            spread: [rows.divide, columns.divide],
        };
        if geometry.places() == 0 || whole.is_inside(geometry, &rows.steps(0..rows.output)) {
            return unfolding;
        }
        unfolding.planes = rows.stride;
        if columns.output < WIDE && in_channels >= THIN {
            let tap_frame = |tap: usize| {
                let start = columns.step(0, tap);
                let end = start + ((columns.output - 1) * columns.stride) as isize + 1;
                Frame {
                    columns: start..end,
                    stride: columns.stride,
                    ..whole
                }
            };
            unfolding.frames = (0..columns.taps).map(tap_frame).collect();
            unfolding.row_length = columns.output * in_channels;
            unfolding.step = in_channels;
        } else {
            unfolding.row_length = whole.row_length(geometry);
            unfolding.frames = vec![whole];
        }
        let blocks = (0..geometry.places()).step_by(K_BLOCK);
        let plane_rows = blocks
            .map(|start| unfolding.plane_rows(start..geometry.places().min(start + K_BLOCK)))
            .max();
        unfolding.plane_length = plane_rows.unwrap_or(0) * unfolding.row_length;
        if unfolding.frames.len() > 1 {
            unfolding.column_tap = unfolding.copy_length() as isize;
        }
        unfolding
    }

    /// The layout of the input itself.
    fn of_input(geometry: &'a Convolution, x: &'a [f32]) -> Self {
        let Convolution {
            columns,
            in_channels,
            ..
        } = *geometry;
        Self {
            geometry,
            x,
            frames: Vec::new(),
            row_length: columns.input * in_channels,
            step: columns.stride * in_channels,
            column_tap: columns.dilation * in_channels as isize,
            planes: 1,
            plane_length: 0,
        }
    }

    fn is_copied(&self) -> bool {
        !self.frames.is_empty()
    }

    fn copy_length(&self) -> usize {
        self.planes * self.plane_length
    }

    /// Floats that any block needs.
    pub(super) fn length(&self) -> usize {
        self.frames.len() * self.copy_length()
    }

    /// Floats from an output place's operand to the next one's.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// Where the operands lie: the copy, or the input.
    pub(super) fn first(&self, copy: &[f32]) -> *const f32 {
        if self.is_copied() {
            copy.as_ptr()
        } else {
            self.x.as_ptr()
        }
    }

    /// From the start of a run to the operand of row `row`, a flattened (row tap, column tap, channel).
    pub(super) fn row_offset(&self, row: usize) -> isize {
        let Convolution {
            rows,
            columns,
            in_channels,
            ..
        } = *self.geometry;
        let (tap, channel) = (row / in_channels, row % in_channels);
        let down = above_lowest(&rows, tap / columns.taps);
        let (plane, down) = (down % self.planes, down / self.planes);
        let mut right = (tap % columns.taps) as isize * self.column_tap;
        if self.frames.len() <= 1 {
            right = (above_lowest(&columns, tap % columns.taps) * in_channels) as isize;
        }
        (plane * self.plane_length + down * self.row_length + channel) as isize + right
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

    fn plane_rows(&self, block: Range<usize>) -> usize {
        let rows = |piece: Piece| {
            self.geometry
                .rows
                .steps(piece.lines)
                .len()
                .div_ceil(self.planes)
        };
        self.pieces(block).map(rows).sum()
    }

    /// Copies what a block reads, if it is copied, and lists its runs: where each starts, and its places.
    pub(super) fn fill(&self, block: &Range<usize>, copy: &mut [f32], segments: &mut Vec<Segment>) {
        let Convolution {
            rows,
            columns,
            in_channels,
            ..
        } = *self.geometry;
        segments.clear();
        if block.is_empty() {
            return;
        }
        let image_length = rows.input * columns.input * in_channels;
        let mut filled = 0;
        for Piece { image, lines } in self.pieces(block.clone()) {
            let steps = rows.steps(lines.clone());
            let mut start =
                (image * image_length) as isize + steps.start * self.row_length as isize;
            start += columns.steps(0..1).start * in_channels as isize;
            if self.is_copied() {
                start = filled as isize;
                filled += steps.len().div_ceil(self.planes) * self.row_length;
                self.copy_rows(
                    &self.x[image * image_length..][..image_length],
                    steps,
                    start as usize,
                    copy,
                );
            }
            for (number, line) in lines.enumerate() {
                let first = (image * rows.output + line) * columns.output;
                let run = first.max(block.start)..(first + columns.output).min(block.end);
                let down = number * (rows.stride / self.planes) * self.row_length;
                let offset = start + (down + (run.start - first) * self.step) as isize;
                let segment = Segment {
                    left: offset,
                    right: run.start - block.start,
                    length: run.len(),
                };
                segment.push_to(segments, self.step);
            }
        }
    }

    fn copy_rows(&self, image: &[f32], steps: Range<isize>, start: usize, copy: &mut [f32]) {
        for (number, frame) in self.frames.iter().enumerate() {
            for (row, step) in steps.clone().enumerate() {
                let (plane, row) = (row % self.planes, row / self.planes);
                let to = number * self.copy_length()
                    + plane * self.plane_length
                    + start
                    + row * self.row_length;
                frame.copy(
                    self.geometry,
                    image,
                    step,
                    &mut copy[to..to + self.row_length],
                );
            }
        }
    }
}

/// Steps from the lowest tap of an axis to this one.
fn above_lowest(axis: &Axis, tap: usize) -> usize {
    let tap = if axis.dilation < 0 {
        axis.taps - 1 - tap
    } else {
        tap
    };
    tap * axis.dilation.unsigned_abs()
}
