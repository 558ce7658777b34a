//! Convolutions as products without an unfolded input: tiles read their left operands from the input itself.
//!
//! Output places fall into phases: those of one phase have the same taps present and read evenly spaced places, so each
//! phase is a dense convolution with fewer taps. Places at the borders, whose taps lie partly outside the picture, are
//! phases of their own; so are the residues of a convolution that divides (an input gradient of stride 2, say). Taps
//! that are absent are skipped. Blocks still count all taps.

use std::ops::Range;

use super::geometry::{Axis, Convolution, Weight, check_length};
use super::kernel::{PanelCopy, Segment};
use super::operand::check_reach;
use super::tiling::{
    Order, Panel, Panels, Right, RowTable, Tables, Take, even_parts, part_of, sweep,
};
use super::{Context, K_BLOCK, K_GROUP, Misfit};
use crate::memory::{Scratch, scratch};

/// Output places of a strip, at most.
const STRIP_PLACES: usize = 512;

/// Computes `y` from `x` and the weight; see [`Convolution`].
///
/// # Errors
/// If a buffer is too short or the geometry impossible.
pub fn convolution(
    context: &Context<'_>,
    geometry: &Convolution,
    x: &[f32],
    weight: Weight<'_>,
    y: &mut [f32],
) -> Result<(), Misfit> {
    geometry.check()?;
    check_length("input", x.len(), geometry.input_length())?;
    check_length("output", y.len(), geometry.output_length())?;
    let weight_axes = [
        (geometry.taps(), weight.tap_stride),
        (geometry.in_channels, weight.in_stride),
        (geometry.out_channels, weight.out_stride),
    ];
    check_reach("weight", weight.data.len(), &weight_axes)?;
    if geometry.output_length() != Some(0) {
        Layer::new(context, geometry, x, y.as_mut_ptr()).run(&weight);
    }
    Ok(())
}

/// Outputs along one axis with the same taps present.
struct AxisPhase {
    /// First output place, the step to the next, and how many there are.
    first: usize,
    period: usize,
    count: usize,
    /// Present taps, and the input place that each reads at the first output.
    taps: Vec<(usize, isize)>,
    /// Input places from one output of the phase to the next.
    advance: isize,
}

impl AxisPhase {
    fn all(axis: &Axis) -> Vec<Self> {
        let residues = 0..axis.phases().min(axis.output);
        residues
            .flat_map(|first| Self::of_residue(axis, first))
            .collect()
    }

    /// The outputs of one residue, cut where a tap enters or leaves the input.
    fn of_residue(axis: &Axis, first: usize) -> Vec<Self> {
        let (period, divide) = (axis.phases(), axis.divide as isize);
        let advance = (period * axis.stride / axis.divide) as isize;
        let count = (axis.output - first).div_ceil(period);
        let whole = |tap: &usize| axis.step(first, *tap).rem_euclid(divide) == 0;
        let place = |tap: usize| (tap, axis.step(first, tap).div_euclid(divide));
        let taps: Vec<_> = (0..axis.taps).filter(whole).map(place).collect();
        // A tap at `place` is present for the numbers n with 0 ≤ place + n · advance < input.
        let number = |distance: isize| {
            let number = distance.max(0).unsigned_abs();
            number.div_ceil(advance.unsigned_abs()).min(count)
        };
        let present = |place: isize| number(-place)..number(axis.input as isize - place);
        let mut cuts = vec![0, count];
        for &(_, place) in &taps {
            cuts.extend([present(place).start, present(place).end]);
        }
        cuts.sort_unstable();
        cuts.dedup();
        let phase = |cut: &[usize]| Self {
            first: first + cut[0] * period,
            period,
            count: cut[1] - cut[0],
            taps: taps
                .iter()
                .filter(|(_, place)| present(*place).contains(&cut[0]))
                .map(|&(tap, place)| (tap, place + cut[0] as isize * advance))
                .collect(),
            advance,
        };
        cuts.windows(2).map(phase).collect()
    }

    /// Numbers within the phase of those outputs that lie in `outputs`.
    fn numbers(&self, outputs: &Range<usize>) -> Range<usize> {
        let number = |end: usize| {
            let distance = end.saturating_sub(self.first);
            distance.div_ceil(self.period).min(self.count)
        };
        number(outputs.start)..number(outputs.end)
    }
}

/// One block of a phase: what is present of 256 flattened indices.
struct PhaseBlock {
    segments: Vec<Segment>,
    number: usize,
}

impl PhaseBlock {
    fn group(&self) -> usize {
        self.number * K_BLOCK / K_GROUP
    }
}

/// The product of one row phase and one column phase.
struct Phase {
    row: usize,
    column: usize,
    blocks: Vec<PhaseBlock>,
}

/// A checked call.
struct Layer<'a> {
    context: &'a Context<'a>,
    geometry: &'a Convolution,
    x: &'a [f32],
    y: *mut f32,
    panels: Panels,
    row_phases: Vec<AxisPhase>,
    column_phases: Vec<AxisPhase>,
    phases: Vec<Phase>,
}

// SAFETY: threads write disjoint strips behind `y`, and only read the rest.
unsafe impl Sync for Layer<'_> {}

/// Output rows `lines` of `images`; either one image or whole images.
struct Strip {
    images: Range<usize>,
    lines: Range<usize>,
}

impl<'a> Layer<'a> {
    fn new(context: &'a Context<'a>, geometry: &'a Convolution, x: &'a [f32], y: *mut f32) -> Self {
        let mut layer = Self {
            context,
            geometry,
            x,
            y,
            panels: Panels::new(context.kernels, geometry.out_channels),
            row_phases: AxisPhase::all(&geometry.rows),
            column_phases: AxisPhase::all(&geometry.columns),
            phases: Vec::new(),
        };
        let columns = layer.column_phases.len();
        for (row, column) in
            (0..layer.row_phases.len() * columns).map(|n| (n / columns, n % columns))
        {
            let blocks = layer.blocks(row, column);
            layer.phases.push(Phase {
                row,
                column,
                blocks,
            });
        }
        layer
    }

    /// Floats from one row of an image to the next.
    fn row_length(&self) -> usize {
        self.geometry.columns.input * self.geometry.in_channels
    }

    /// Contracted indices, absent ones included.
    fn depth(&self) -> usize {
        self.geometry.taps() * self.geometry.in_channels
    }

    /// The present parts of each block of a phase. Segments lead from the place that tap 0 would read in row and column
    /// 0 of the image.
    fn blocks(&self, row: usize, column: usize) -> Vec<PhaseBlock> {
        let (rows, columns) = (&self.row_phases[row], &self.column_phases[column]);
        let (channels, row_length) = (self.geometry.in_channels, self.row_length() as isize);
        let mut blocks: Vec<PhaseBlock> = Vec::new();
        for &(row_tap, row) in &rows.taps {
            for &(column_tap, column) in &columns.taps {
                let tap = row_tap * self.geometry.columns.taps + column_tap;
                let place = row * row_length + column * channels as isize;
                let mut channel = 0;
                while channel < channels {
                    let index = tap * channels + channel;
                    let (number, right) = (index / K_BLOCK, index % K_BLOCK);
                    let length = (channels - channel).min(K_BLOCK - right);
                    if blocks.last().is_none_or(|block| block.number != number) {
                        let segments = Vec::new();
                        blocks.push(PhaseBlock { segments, number });
                    }
                    let left = place + channel as isize;
                    if let Some(block) = blocks.last_mut() {
                        Segment {
                            left,
                            right,
                            length,
                        }
                        .push_to(&mut block.segments, 1);
                    }
                    channel += length;
                }
            }
        }
        if blocks.is_empty() {
            // Without a tap the outputs are zeros, which an empty block delivers.
            let segments = Vec::new();
            blocks.push(PhaseBlock {
                segments,
                number: 0,
            });
        }
        blocks
    }

    fn run(&self, weight: &Weight<'_>) {
        let mut packed = scratch(self.depth() * self.panels.padded());
        self.pack(weight, &mut packed);
        let strips = self.strips();
        let weights = Weights(packed.as_ptr());
        self.context.pool.run(strips.len(), &|place| {
            if let Some(strip) = strips.get(place) {
                // SAFETY: strips are disjoint, and `convolution` checked that `x` and `y` hold them.
                unsafe { self.run_strip(strip, &weights) }
            }
        });
    }

    /// Copies the weights into panels, each with all contracted indices in order.
    fn pack(&self, weight: &Weight<'_>, packed: &mut [f32]) {
        let channels = self.geometry.in_channels;
        for panel in self.panels.all() {
            for tap in 0..self.geometry.taps() {
                let from = tap * weight.tap_stride + panel.start * weight.out_stride;
                let start = panel.start * self.depth() + tap * channels * panel.width;
                let copy = PanelCopy {
                    from: weight.data[from..].as_ptr(),
                    row_stride: weight.in_stride,
                    column_stride: weight.out_stride,
                    depth: channels,
                    columns: panel.columns,
                    width: panel.width,
                    to: packed[start..start + channels * panel.width].as_mut_ptr(),
                    panels: 1,
                };
                // SAFETY: the reach of the weight was checked; the destination is the slice taken above.
                unsafe { (self.context.kernels.copy_panel)(&copy) }
            }
        }
    }

    /// Strips small enough for the cache and, where there is work for them, as many for every thread.
    fn strips(&self) -> Vec<Strip> {
        let Convolution {
            batch,
            rows,
            columns,
            ..
        } = *self.geometry;
        let (places, threads) = (rows.output * columns.output, self.context.pool.threads());
        if places <= STRIP_PLACES {
            let images = (STRIP_PLACES / places)
                .min(batch.div_ceil(3 * threads))
                .max(1);
            let strips = batch.div_ceil(images).next_multiple_of(threads).min(batch);
            let lines = 0..rows.output;
            return (0..strips)
                .map(|strip| Strip {
                    images: part_of(batch, strips, strip),
                    lines: lines.clone(),
                })
                .collect();
        }
        let period = rows.phases();
        let lines = (STRIP_PLACES / columns.output / period).max(1) * period;
        let parts = move |image| {
            even_parts(rows.output, lines).map(move |lines| Strip {
                images: image..image + 1,
                lines,
            })
        };
        (0..batch).flat_map(parts).collect()
    }

    /// # Safety
    /// No other thread touches the outputs of the strip; `weights` is what `pack` filled.
    unsafe fn run_strip(&self, strip: &Strip, weights: &Weights) {
        let Convolution {
            columns,
            out_channels,
            ..
        } = *self.geometry;
        let places = strip.images.len() * strip.lines.len() * columns.output;
        let has_groups = self.depth() > K_GROUP;
        let mut memory = StripMemory {
            tables: Tables::new(places),
            group_tables: Tables::new(if has_groups { places } else { 0 }),
            group: scratch(if has_groups { places * out_channels } else { 0 }),
        };
        for phase in &self.phases {
            let count = self.place(strip, phase, &mut memory);
            // SAFETY: the tables hold `count` places, and the input what the phase reads for them.
            unsafe { self.run_phase(phase, weights, count, &mut memory) }
        }
    }

    /// Fills the tables with the places of a phase in a strip and returns how many there are.
    fn place(&self, strip: &Strip, phase: &Phase, memory: &mut StripMemory) -> usize {
        let Convolution {
            rows,
            columns,
            in_channels,
            out_channels,
            ..
        } = *self.geometry;
        let (row_phase, column_phase) = (
            &self.row_phases[phase.row],
            &self.column_phases[phase.column],
        );
        let image_length = rows.input * self.row_length();
        let (lefts, outputs) = (memory.tables.lefts(), memory.tables.outputs());
        let mut count = 0;
        for image in strip.images.clone() {
            let image_start = self.x.as_ptr().wrapping_add(image * image_length);
            for line in row_phase.numbers(&strip.lines) {
                let row = row_phase.advance * (line * self.row_length()) as isize;
                let row = image_start.wrapping_offset(row);
                let output_row = image * rows.output + row_phase.first + line * row_phase.period;
                for place in 0..column_phase.count {
                    let column = column_phase.advance * (place * in_channels) as isize;
                    let output = output_row * columns.output
                        + column_phase.first
                        + place * column_phase.period;
                    // SAFETY: the phases of a strip together have its places, for which the tables were made.
                    unsafe {
                        *lefts.add(count) = row.wrapping_offset(column);
                        *outputs.add(count) = self.y.wrapping_add(output * out_channels);
                    }
                    count += 1;
                }
            }
        }
        count
    }

    /// # Safety
    /// The tables hold `count` places, whose left operands all blocks can read.
    unsafe fn run_phase(
        &self,
        phase: &Phase,
        weights: &Weights,
        count: usize,
        memory: &mut StripMemory,
    ) {
        if count == 0 {
            return;
        }
        let (kernels, channels) = (self.context.kernels, self.geometry.out_channels);
        let mut blocks = phase.blocks.iter().peekable();
        let first_group = phase.blocks.first().map_or(0, PhaseBlock::group);
        let mut group_before = None;
        while let Some(block) = blocks.next() {
            let outputs = if block.group() == first_group {
                memory.tables.outputs()
            } else {
                memory.group_outputs(count, channels)
            };
            let table = RowTable {
                count,
                rows: memory.tables.lefts(),
                outputs,
                segments: &block.segments,
                a_step: 1,
                add: group_before == Some(block.group()),
                order: Order::PanelsFirst,
                after: None,
            };
            group_before = Some(block.group());
            let right = |panel: Panel| {
                let start = panel.start * self.depth() + block.number * K_BLOCK * panel.width;
                Right {
                    first: weights.0.wrapping_add(start),
                    step: panel.width,
                    far: 0,
                }
            };
            // SAFETY: the caller's contract; the packed weights hold every panel and index.
            unsafe {
                sweep(
                    kernels,
                    &self.panels,
                    &table,
                    right,
                    |_| 0,
                    |_, _, _| Take::Whole,
                )
            }
            let is_last = blocks
                .peek()
                .is_none_or(|next| next.group() != block.group());
            if is_last && block.group() != first_group {
                for place in 0..count {
                    // SAFETY: both tables hold `count` pointers to rows of `channels` elements.
                    unsafe {
                        (kernels.add_row)(
                            *memory.tables.outputs().add(place),
                            *outputs.add(place),
                            channels,
                            true,
                        )
                    }
                }
            }
        }
    }
}

/// Memory of a strip.
struct StripMemory {
    tables: Tables,
    group_tables: Tables,
    /// Sums of a group of blocks after the first.
    group: Scratch,
}

impl StripMemory {
    /// A table of `count` rows of the group's sums.
    fn group_outputs(&mut self, count: usize, channels: usize) -> *mut *mut f32 {
        let (table, group) = (self.group_tables.outputs(), self.group.as_mut_ptr());
        for place in 0..count {
            // SAFETY: both were made for all places of the strip, of which a phase has `count`.
            unsafe { *table.add(place) = group.add(place * channels) }
        }
        table
    }
}

/// Packed weights, read by all threads.
struct Weights(*const f32);

// SAFETY: nobody writes the weights while strips run.
unsafe impl Sync for Weights {}
