//! The operands of a weight gradient without the places at which a tap is outside the picture.
//!
//! For each tap the present output places of a block are runs, listed as segments. Wide pictures are read where they
//! are. Narrow ones would give runs of a few places, so that for each column tap the present columns of both operands
//! are copied next to each other: whole images become one run, but for the lines that a row tap has outside.

use std::ops::Range;

use super::Context;
use super::geometry::{Axis, Convolution};
use super::kernel::{PanelCopy, Segment};
use super::tiling::{Panel, Panels, Right};
use crate::memory::{Scratch, scratch};

/// Output columns below which the present ones are copied.
const NARROW: usize = 16;
/// Channels below which taps share tiles, which those of one tap would not fill.
const THIN: usize = 8;

/// How blocks are read: the same for all blocks of a call.
pub(super) struct Trimming<'a> {
    geometry: &'a Convolution,
    x: &'a [f32],
    dy: &'a [f32],
    panels: Panels,
    is_copied: bool,
    /// Present output lines of each row tap, and present output columns of each column tap.
    lines: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
}

/// Output columns of one line that lie in a block.
struct Line {
    image: usize,
    line: usize,
    columns: Range<usize>,
}

/// Output lines of one image in a block, and the input rows that they read.
struct Piece {
    image: usize,
    rows: Range<usize>,
    /// Floats of copied rows before it, for one float a row.
    before: usize,
}

/// What a block's tiles read.
pub(super) struct Operands {
    /// Where a column tap's left operands start.
    copies: Vec<Scratch>,
    /// A column tap's right operands, panel after panel; none where they are read in place.
    rights: Vec<Option<Scratch>>,
    /// Right operands of each column tap.
    counts: Vec<usize>,
    /// Runs of each tap.
    pub(super) segments: Vec<Vec<Segment>>,
    /// The block whose segments these are: its first place within its image, and its length.
    pattern: (usize, usize),
}

impl<'a> Trimming<'a> {
    /// `None` for convolutions that need the padded form: those that divide, and those of few channels.
    pub(super) fn new(
        geometry: &'a Convolution,
        x: &'a [f32],
        dy: &'a [f32],
        panels: Panels,
    ) -> Option<Self> {
        let Convolution { rows, columns, .. } = *geometry;
        if rows.divide > 1 || columns.divide > 1 || geometry.in_channels < THIN {
            return None;
        }
        let ranges = |axis: &Axis| (0..axis.taps).map(|tap| present(axis, tap)).collect();
        let (line_ranges, column_ranges): (_, Vec<_>) = (ranges(&rows), ranges(&columns));
        let whole = 0..columns.output;
        Some(Self {
            geometry,
            x,
            dy,
            panels,
            is_copied: columns.output < NARROW && column_ranges.iter().any(|r| *r != whole),
            lines: line_ranges,
            columns: column_ranges,
        })
    }

    /// Whether blocks are copied, which threads then do better not to repeat.
    pub(super) fn is_copied(&self) -> bool {
        self.is_copied
    }

    /// Floats from an output place's left operand to the next one's.
    pub(super) fn step(&self) -> usize {
        let channels = self.geometry.in_channels;
        if self.is_copied {
            channels
        } else {
            self.geometry.columns.stride * channels
        }
    }

    pub(super) fn operands(&self) -> Operands {
        Operands {
            copies: Vec::new(),
            rights: Vec::new(),
            counts: Vec::new(),
            segments: vec![Vec::new(); self.geometry.taps()],
            pattern: (usize::MAX, 0),
        }
    }

    /// Fills what the tiles of a block read.
    pub(super) fn fill(
        &self,
        context: &Context<'_>,
        block: &Range<usize>,
        operands: &mut Operands,
    ) {
        let lines: Vec<Line> = self.block_lines(block).collect();
        operands.rights.clear();
        operands.copies.clear();
        if !self.is_copied {
            let right = self.pack(context, &lines, &(0..self.geometry.columns.output));
            operands.rights.push(right);
            operands.counts = vec![block.len()];
            self.list(block, &lines, &[], &mut operands.segments);
            return;
        }
        let pieces = self.pieces(&lines);
        for (tap, columns) in self.columns.iter().enumerate() {
            operands.copies.push(self.copy(&pieces, tap));
            operands.rights.push(self.pack(context, &lines, columns));
        }
        let image = (self.geometry.rows.output * self.geometry.columns.output).max(1);
        let pattern = (block.start % image, block.len());
        if operands.pattern != pattern {
            operands.pattern = pattern;
            let count = |columns: &Range<usize>| {
                lines
                    .iter()
                    .map(|line| both(&line.columns, columns).len())
                    .sum()
            };
            operands.counts = self.columns.iter().map(count).collect();
            self.list(block, &lines, &pieces, &mut operands.segments);
        }
    }

    /// Where the left operands of channel 0 start.
    pub(super) fn left(&self, operands: &Operands, tap: usize) -> *const f32 {
        let column_tap = tap % self.geometry.columns.taps;
        match operands.copies.get(column_tap) {
            Some(copy) => copy.as_ptr(),
            None => self.x.as_ptr(),
        }
    }

    /// Where the right operands of a panel start.
    pub(super) fn right(
        &self,
        operands: &Operands,
        block: &Range<usize>,
        tap: usize,
        panel: Panel,
    ) -> Right {
        let place = if self.is_copied {
            tap % self.geometry.columns.taps
        } else {
            0
        };
        match &operands.rights[place] {
            Some(packed) => Right {
                far: 0,
                first: packed
                    .as_ptr()
                    .wrapping_add(panel.start * operands.counts[place]),
                step: panel.width,
            },
            None => {
                let step = self.geometry.out_channels;
                let first = self
                    .dy
                    .as_ptr()
                    .wrapping_add(block.start * step + panel.start);
                Right {
                    first,
                    step,
                    far: 0,
                }
            }
        }
    }

    fn block_lines(&self, block: &Range<usize>) -> impl Iterator<Item = Line> + use<> {
        let (block, lines, columns) = (
            block.clone(),
            self.geometry.rows.output,
            self.geometry.columns.output,
        );
        let numbers = match block.is_empty() {
            true => 0..0,
            false => block.start / columns..block.end.div_ceil(columns),
        };
        numbers.map(move |number| {
            let first = number * columns;
            Line {
                image: number / lines,
                line: number % lines,
                columns: block.start.saturating_sub(first)..(block.end - first).min(columns),
            }
        })
    }

    /// The images that the lines belong to, with the input rows that any tap reads for them.
    fn pieces(&self, lines: &[Line]) -> Vec<Piece> {
        let axis = &self.geometry.rows;
        let clamp = |step: isize| step.clamp(0, axis.input as isize).unsigned_abs();
        let mut before = 0;
        let images = lines.chunk_by(|a, b| a.image == b.image);
        images
            .map(|lines| {
                let steps = axis.steps(lines[0].line..lines[lines.len() - 1].line + 1);
                let rows = clamp(steps.start)..clamp(steps.end);
                let piece = Piece {
                    image: lines[0].image,
                    rows,
                    before,
                };
                before += self.copied_rows(&piece);
                piece
            })
            .collect()
    }

    /// Rows that a piece takes in a copy.
    fn copied_rows(&self, piece: &Piece) -> usize {
        piece.rows.len().next_multiple_of(self.geometry.rows.stride)
    }

    /// Where an input row stands in a copy. Rows are sorted by their remainder by the stride, so that output lines read
    /// neighbouring ones.
    fn copied_row(&self, piece: &Piece, row: usize) -> usize {
        let (planes, row) = (self.geometry.rows.stride, row - piece.rows.start);
        piece.before + row % planes * (self.copied_rows(piece) / planes) + row / planes
    }

    /// The present columns of a column tap, of all rows of the pieces.
    fn copy(&self, pieces: &[Piece], tap: usize) -> Scratch {
        let Convolution {
            rows,
            columns,
            in_channels,
            ..
        } = *self.geometry;
        let present = &self.columns[tap];
        let length = present.len() * in_channels;
        let count = pieces.last().map_or(0, |p| p.before + self.copied_rows(p));
        let mut copy = scratch(count * length);
        if length == 0 {
            return copy;
        }
        let first = columns.step(present.start, tap).unsigned_abs();
        for piece in pieces {
            for row in piece.rows.clone() {
                let start = (piece.image * rows.input + row) * columns.input + first;
                let from = &self.x[start * in_channels..];
                let to = &mut copy[self.copied_row(piece, row) * length..][..length];
                if columns.stride == 1 {
                    to.copy_from_slice(&from[..length]);
                    continue;
                }
                let places = from.chunks(columns.stride * in_channels);
                for (to, from) in to.chunks_exact_mut(in_channels).zip(places) {
                    to.copy_from_slice(&from[..in_channels]);
                }
            }
        }
        copy
    }

    /// The output gradient at some columns of the lines, in panels; `None` where it can be read in place.
    fn pack(
        &self,
        context: &Context<'_>,
        lines: &[Line],
        columns: &Range<usize>,
    ) -> Option<Scratch> {
        let channels = self.geometry.out_channels;
        let whole = *columns == (0..self.geometry.columns.output);
        if whole && self.panels.count() == 1 && self.panels.padded() == channels {
            return None;
        }
        let parts: Vec<(usize, usize)> = parts(self.geometry, lines, columns);
        let count: usize = parts.iter().map(|&(_, length)| length).sum();
        let mut packed = scratch(count * self.panels.padded());
        for panel in self.panels.all() {
            let mut start = panel.start * count;
            for &(place, length) in &parts {
                let copy = PanelCopy {
                    from: self.dy[place * channels + panel.start..].as_ptr(),
                    row_stride: channels,
                    column_stride: 1,
                    depth: length,
                    columns: panel.columns,
                    width: panel.width,
                    to: packed[start..start + length * panel.width].as_mut_ptr(),
                    panels: 1,
                };
                // SAFETY: the places and the panel's channels lie inside `dy`; the destination is the slice taken above.
                unsafe { (context.kernels.copy_panel)(&copy) }
                start += length * panel.width;
            }
        }
        Some(packed)
    }

    /// Lists the runs of each tap.
    fn list(
        &self,
        block: &Range<usize>,
        lines: &[Line],
        pieces: &[Piece],
        segments: &mut [Vec<Segment>],
    ) {
        let Convolution {
            rows,
            columns,
            in_channels,
            ..
        } = *self.geometry;
        for (tap, segments) in segments.iter_mut().enumerate() {
            let (row_tap, column_tap) = (tap / columns.taps, tap % columns.taps);
            let (present_lines, present) = (&self.lines[row_tap], &self.columns[column_tap]);
            segments.clear();
            let (mut piece, mut right) = (0, 0);
            for line in lines {
                while pieces.get(piece).is_some_and(|p| p.image < line.image) {
                    piece += 1;
                }
                let here = both(&line.columns, present);
                if present_lines.contains(&line.line) && !here.is_empty() {
                    let row = rows.step(line.line, row_tap).unsigned_abs();
                    let mut place = here.start - present.start;
                    let mut start = right;
                    match pieces.get(piece) {
                        Some(piece) => place += self.copied_row(piece, row) * present.len(),
                        None => {
                            let column = columns.step(here.start, column_tap).unsigned_abs();
                            place = (line.image * rows.input + row) * columns.input + column;
                            let first = (line.image * rows.output + line.line) * columns.output;
                            start = first + here.start - block.start;
                        }
                    }
                    Segment {
                        left: (place * in_channels) as isize,
                        right: start,
                        length: here.len(),
                    }
                    .push_to(segments, self.step());
                }
                right += here.len();
            }
        }
    }
}

/// Output places at which a tap of an axis that does not divide reads inside the input.
fn present(axis: &Axis, tap: usize) -> Range<usize> {
    let first = axis.step(0, tap);
    let number = |distance: isize| {
        let number = distance.max(0).unsigned_abs().div_ceil(axis.stride);
        number.min(axis.output)
    };
    let start = number(-first);
    start..number(axis.input as isize - first).max(start)
}

fn both(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// Runs of output places: the given columns of the lines. First place and length; neighbours are joined.
fn parts(geometry: &Convolution, lines: &[Line], columns: &Range<usize>) -> Vec<(usize, usize)> {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for line in lines {
        let here = both(&line.columns, columns);
        let first = (line.image * geometry.rows.output + line.line) * geometry.columns.output;
        let place = first + here.start;
        match parts.last_mut() {
            Some((start, length)) if *start + *length == place => *length += here.len(),
            _ if here.is_empty() => {}
            _ => parts.push((place, here.len())),
        }
    }
    parts
}
