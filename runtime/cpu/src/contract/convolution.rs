//! Convolutions as products without an unfolded input: tiles read their left operands from a padded window.
//!
//! A convolution that divides (an input gradient of stride 2, say) falls into phases: outputs of one phase have the
//! same taps present and read evenly spaced places, so each phase is a dense convolution with fewer taps. Blocks still
//! count all taps.

use std::ops::Range;

use super::geometry::{Axis, Convolution, Weight, check_length};
use super::kernel::{PanelCopy, Segment};
use super::operand::check_reach;
use super::tiling::{Order, Panel, Panels, Right, RowTable, Tables, Take, even_parts, sweep};
use super::window::Frame;
use super::{Context, Epilogue, Finished, K_BLOCK, K_GROUP, Misfit};
use crate::memory::{Scratch, scratch};

/// Floats of a window that stay in the second cache level beside the weights.
const WINDOW: usize = 24 * 1024;
/// Output places of a strip, at most, when no window limits them.
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
    epilogue: Epilogue<'_>,
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
        Layer::new(context, geometry, x, y.as_mut_ptr(), epilogue).run(&weight);
    }
    Ok(())
}

/// The outputs of one residue along one axis.
struct AxisPhase {
    /// First output place, and the step to the next.
    first: usize,
    period: usize,
    /// Present taps, and the input place that each reads at the first output.
    taps: Vec<(usize, isize)>,
    /// Input places from one output of the phase to the next.
    advance: isize,
}

impl AxisPhase {
    fn all(axis: &Axis) -> Vec<Self> {
        let (period, divide) = (axis.phases(), axis.divide as isize);
        let phase = |first| {
            let taps = (0..axis.taps).map(|tap| (tap, axis.step(first, tap)));
            let taps = taps.filter(|&(_, step)| step.rem_euclid(divide) == 0);
            let taps = taps
                .map(|(tap, step)| (tap, step.div_euclid(divide)))
                .collect();
            Self {
                first,
                period,
                taps,
                advance: (period * axis.stride / axis.divide) as isize,
            }
        };
        (0..period.min(axis.output)).map(phase).collect()
    }

    /// Numbers within the phase of those outputs that lie in `outputs`.
    fn numbers(&self, outputs: &Range<usize>) -> Range<usize> {
        let number = |end: usize| end.saturating_sub(self.first).div_ceil(self.period);
        number(outputs.start)..number(outputs.end)
    }

    fn lowest(&self) -> Option<isize> {
        self.taps.iter().map(|&(_, place)| place).min()
    }

    /// Input places that the phase reads for `outputs`; `None` when it reads nothing.
    fn reads(&self, outputs: &Range<usize>) -> Option<Range<isize>> {
        let numbers = self.numbers(outputs);
        let highest = self.taps.iter().map(|&(_, place)| place).max()?;
        let last = numbers.end.checked_sub(1).filter(|_| !numbers.is_empty())? as isize;
        Some(
            self.lowest()? + self.advance * numbers.start as isize
                ..highest + self.advance * last + 1,
        )
    }
}

/// Input places that any phase reads for `outputs`.
fn reads(phases: &[AxisPhase], outputs: &Range<usize>) -> Range<isize> {
    let ranges = phases.iter().filter_map(|phase| phase.reads(outputs));
    ranges
        .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
        .unwrap_or(0..0)
}

/// One block of a phase: what is present of 256 flattened indices.
struct PhaseBlock {
    segments: Vec<Segment>,
    /// Where its weights come from: (tap, first channel, channels), in order.
    runs: Vec<(usize, usize, usize)>,
    depth: usize,
    /// Rows of packed weights before it.
    packed: usize,
    group: usize,
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
    epilogue: Epilogue<'a>,
    panels: Panels,
    row_phases: Vec<AxisPhase>,
    column_phases: Vec<AxisPhase>,
    frame: Frame,
    /// The input serves as the window of all its images.
    in_place: bool,
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
    fn new(
        context: &'a Context<'a>,
        geometry: &'a Convolution,
        x: &'a [f32],
        y: *mut f32,
        epilogue: Epilogue<'a>,
    ) -> Self {
        let (row_phases, column_phases) = (
            AxisPhase::all(&geometry.rows),
            AxisPhase::all(&geometry.columns),
        );
        let columns = reads(&column_phases, &(0..geometry.columns.output));
        let frame = Frame {
            columns,
            stride: 1,
            spread: [1, 1],
        };
        let in_place = frame.is_inside(geometry, &reads(&row_phases, &(0..geometry.rows.output)));
        let panels = Panels::new(context.kernels, geometry.out_channels);
        let phases = Vec::new();
        let mut layer = Self {
            context,
            geometry,
            x,
            y,
            epilogue,
            panels,
            row_phases,
            column_phases,
            frame,
            in_place,
            phases,
        };
        let mut packed = 0;
        for row in 0..layer.row_phases.len() {
            for column in 0..layer.column_phases.len() {
                let blocks = layer.blocks(row, column, &mut packed);
                layer.phases.push(Phase {
                    row,
                    column,
                    blocks,
                });
            }
        }
        layer
    }

    /// Floats from one row of the window to the next.
    fn window_row(&self) -> usize {
        let columns = if self.in_place {
            self.geometry.columns.input
        } else {
            self.frame.columns.len()
        };
        columns * self.geometry.in_channels
    }

    /// The present parts of each block of a phase.
    fn blocks(&self, row: usize, column: usize, packed: &mut usize) -> Vec<PhaseBlock> {
        let (rows, columns) = (&self.row_phases[row], &self.column_phases[column]);
        let (channels, row_length) = (self.geometry.in_channels, self.window_row() as isize);
        let (lowest_row, lowest_column) =
            (rows.lowest().unwrap_or(0), columns.lowest().unwrap_or(0));
        let mut blocks: Vec<PhaseBlock> = Vec::new();
        let mut last = None;
        let taps = rows
            .taps
            .iter()
            .flat_map(|row| columns.taps.iter().map(move |column| (row, column)));
        for (&(row_tap, row), &(column_tap, column)) in taps {
            let tap = row_tap * self.geometry.columns.taps + column_tap;
            let place =
                (row - lowest_row) * row_length + (column - lowest_column) * channels as isize;
            let mut channel = 0;
            while channel < channels {
                let index = tap * channels + channel;
                let length = (channels - channel).min(K_BLOCK - index % K_BLOCK);
                if last != Some(index / K_BLOCK) {
                    last = Some(index / K_BLOCK);
                    blocks.push(PhaseBlock::new(*packed, index / K_GROUP));
                }
                if let Some(block) = blocks.last_mut() {
                    block.push(
                        Segment {
                            offset: place + channel as isize,
                            length,
                        },
                        (tap, channel, length),
                    );
                }
                *packed += length;
                channel += length;
            }
        }
        if blocks.is_empty() {
            // Without a tap the outputs are zeros, which an empty block delivers.
            blocks.push(PhaseBlock::new(*packed, 0));
        }
        blocks
    }

    fn run(&self, weight: &Weight<'_>) {
        let packed_rows = self.geometry.taps() * self.geometry.in_channels;
        let mut packed = scratch(packed_rows * self.panels.padded());
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

    /// Copies the weights into panels: for each block of each phase, one panel after another.
    fn pack(&self, weight: &Weight<'_>, packed: &mut [f32]) {
        for block in self.phases.iter().flat_map(|phase| &phase.blocks) {
            for panel in self.panels.all() {
                let mut start = block.packed * self.panels.padded() + panel.start * block.depth;
                for &(tap, channel, length) in &block.runs {
                    let from = tap * weight.tap_stride
                        + channel * weight.in_stride
                        + panel.start * weight.out_stride;
                    let copy = PanelCopy {
                        from: weight.data[from..].as_ptr(),
                        row_stride: weight.in_stride,
                        column_stride: weight.out_stride,
                        depth: length,
                        columns: panel.columns,
                        width: panel.width,
                        to: packed[start..start + length * panel.width].as_mut_ptr(),
                        panels: 1,
                    };
                    // SAFETY: the reach of the weight was checked; the destination is the slice taken above.
                    unsafe { (self.context.kernels.copy_panel)(&copy) }
                    start += length * panel.width;
                }
            }
        }
    }

    /// Strips small enough for the cache and, where there is work for them, enough for all threads.
    fn strips(&self) -> Vec<Strip> {
        let Convolution {
            batch,
            rows,
            columns,
            ..
        } = *self.geometry;
        let window =
            |lines: Range<usize>| reads(&self.row_phases, &lines).len() * self.window_row();
        let places = rows.output * columns.output;
        let whole = window(0..rows.output);
        if whole <= WINDOW || self.in_place && places <= STRIP_PLACES {
            let fitting = if self.in_place {
                STRIP_PLACES / places
            } else {
                (WINDOW / whole.max(1)).min(STRIP_PLACES / places)
            };
            let shared = batch.div_ceil(3 * self.context.pool.threads());
            let images = fitting.min(shared).max(1);
            return even_parts(batch, images)
                .map(|images| Strip {
                    images,
                    lines: 0..rows.output,
                })
                .collect();
        }
        let fits = |lines: usize| {
            if self.in_place {
                lines * columns.output <= STRIP_PLACES
            } else {
                window(0..lines.min(rows.output)) <= WINDOW
            }
        };
        let period = rows.phases();
        let mut lines = period;
        while lines < rows.output && fits(lines + period) {
            lines += period;
        }
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
            rows,
            columns,
            out_channels,
            ..
        } = *self.geometry;
        let places = strip.images.len() * strip.lines.len() * columns.output;
        let window = self.window(strip);
        let has_groups = self.geometry.taps() * self.geometry.in_channels > K_GROUP;
        let mut memory = StripMemory {
            tables: Tables::new(places),
            group_tables: Tables::new(if has_groups { places } else { 0 }),
            group: scratch(if has_groups { places * out_channels } else { 0 }),
        };
        for phase in &self.phases {
            let count = self.place(strip, phase, &window, &mut memory);
            // SAFETY: the tables hold `count` places, and the window what the phase reads for them.
            unsafe { self.run_phase(phase, weights, count, &mut memory) }
        }
        if let Some(epilogue) = self.epilogue {
            let start = (strip.images.start * rows.output + strip.lines.start) * columns.output;
            let first = self.y.wrapping_add(start * out_channels);
            let (rows, columns, row_stride) = (start..start + places, out_channels, out_channels);
            epilogue(Finished {
                batch: 0,
                rows,
                columns,
                first,
                row_stride,
            });
        }
    }

    /// The input of a strip with zeros around it, or the input itself.
    fn window(&self, strip: &Strip) -> Window {
        let Convolution {
            rows,
            columns,
            in_channels,
            ..
        } = *self.geometry;
        let image_length = rows.input * columns.input * in_channels;
        let images = &self.x[strip.images.start * image_length..strip.images.end * image_length];
        if self.in_place {
            let first = images.as_ptr();
            return Window {
                memory: None,
                first,
                image_stride: image_length,
                first_row: 0,
                first_column: 0,
            };
        }
        let read = reads(&self.row_phases, &strip.lines);
        let image_stride = read.len() * self.window_row();
        let mut memory = scratch(image_stride * strip.images.len());
        for number in 0..strip.images.len() {
            let image = &images[number * image_length..][..image_length];
            let to = &mut memory[number * image_stride..][..image_stride];
            for (row, to) in read
                .clone()
                .zip(to.chunks_exact_mut(self.window_row().max(1)))
            {
                self.frame.copy(self.geometry, image, row, to);
            }
        }
        let (first_row, first_column) = (read.start, self.frame.columns.start);
        Window {
            first: memory.as_ptr(),
            memory: Some(memory),
            image_stride,
            first_row,
            first_column,
        }
    }

    /// Fills the tables with the places of a phase in a strip and returns how many there are.
    fn place(
        &self,
        strip: &Strip,
        phase: &Phase,
        window: &Window,
        memory: &mut StripMemory,
    ) -> usize {
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
        let row_start = row_phase.lowest().unwrap_or(window.first_row) - window.first_row;
        let column_start =
            column_phase.lowest().unwrap_or(window.first_column) - window.first_column;
        let (lefts, outputs) = (memory.tables.lefts(), memory.tables.outputs());
        let mut count = 0;
        for (number, image) in strip.images.clone().enumerate() {
            let image_start = window.first.wrapping_add(number * window.image_stride);
            for line in row_phase.numbers(&strip.lines) {
                let row = row_start + row_phase.advance * line as isize;
                let row = image_start.wrapping_offset(row * self.window_row() as isize);
                let output_row = image * rows.output + row_phase.first + line * row_phase.period;
                for place in column_phase.numbers(&(0..columns.output)) {
                    let column = column_start + column_phase.advance * place as isize;
                    let output = output_row * columns.output
                        + column_phase.first
                        + place * column_phase.period;
                    // SAFETY: the phases of a strip together have its places, for which the tables were made.
                    unsafe {
                        *lefts.add(count) = row.wrapping_offset(column * in_channels as isize);
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
        let (kernels, channels) = (self.context.kernels, self.geometry.out_channels);
        let mut blocks = phase.blocks.iter().peekable();
        let first_group = phase.blocks.first().map_or(0, |block| block.group);
        let mut group_before = None;
        while let Some(block) = blocks.next() {
            let outputs = if block.group == first_group {
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
                add: group_before == Some(block.group),
                order: Order::PanelsFirst,
            };
            group_before = Some(block.group);
            let right = |panel: Panel| {
                let start = block.packed * self.panels.padded() + panel.start * block.depth;
                Right {
                    first: weights.0.wrapping_add(start),
                    step: panel.width,
                }
            };
            // SAFETY: the caller's contract; the packed weights hold every block and panel.
            unsafe { sweep(kernels, &self.panels, &table, right, |_, _, _| Take::Whole) }
            let is_last = blocks.peek().is_none_or(|next| next.group != block.group);
            if is_last && block.group != first_group {
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

/// Where a strip's input stands.
struct Window {
    /// Keeps the copy alive.
    #[expect(dead_code, reason = "owns what `first` points to")]
    memory: Option<Scratch>,
    first: *const f32,
    image_stride: usize,
    /// Input row and column of the first element.
    first_row: isize,
    first_column: isize,
}

/// Packed weights, read by all threads.
struct Weights(*const f32);

// SAFETY: nobody writes the weights while strips run.
unsafe impl Sync for Weights {}

impl PhaseBlock {
    fn new(packed: usize, group: usize) -> Self {
        Self {
            segments: Vec::new(),
            runs: Vec::new(),
            depth: 0,
            packed,
            group,
        }
    }

    /// Appends present indices; neighbours in the window become one segment.
    fn push(&mut self, segment: Segment, run: (usize, usize, usize)) {
        self.depth += segment.length;
        self.runs.push(run);
        match self.segments.last_mut() {
            Some(last) if last.offset + last.length as isize == segment.offset => {
                last.length += segment.length
            }
            _ => self.segments.push(segment),
        }
    }
}
