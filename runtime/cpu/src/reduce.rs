//! Reductions in the contract's order: 64 strided lanes, a halving tree, recursion over blocks of 4,096.
//!
//! Rows form: a kernel writes the elements of a row to scratch, which is folded. Columns form: a kernel adds 64 rows at
//! a time onto 64 lanes, each as wide as the columns, so that the inner loop runs along memory.
#![expect(
    unsafe_code,
    reason = "kernels and lanes are addressed by pointer inside scratch memory and buffers"
)]

use crate::isa::Isa;
use crate::jit::Code;
use crate::launch::{Launch, MOST, Memory, SERIAL, places};
use crate::memory::scratch;
use crate::pool::Pool;
use mmh_lower::kernel::Mode;
use mmh_lower::schedule::{Arg, ArgMaxStep, ReduceStep};
use mmh_numerics::reduce::{BLOCK, LANES};
use std::ops::Deref;

/// Floats of scratch a rows-form tile fills.
const TILE: usize = 8_192;
/// Floats of lanes per root and thread in columns form.
const LANE_FLOATS: usize = 16_384;

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
fn tree(fold: Mode, data: &mut [f32], lanes: usize, width: usize) {
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
fn fold_blocks(fold: Mode, data: &mut [f32], rows: usize, width: usize) {
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
enum Lines {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Lines {
    /// `isa` is admitted.
    fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => Self::Avx2,
            _ => Self::Plain,
        }
    }

    fn fold(self, fold: Mode, line: &mut [f32]) -> f32 {
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

fn finished(fold: Mode, value: f32) -> f32 {
    match fold {
        Mode::Sum | Mode::Write => value,
        Mode::Max | Mode::Min => value + 0.0,
    }
}

/// The kernels of a reduction: one that writes, one that folds onto memory.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) write: Code,
    pub(crate) more: Code,
}

/// An operand: its buffer and first byte, byte strides of kept loops, of reduced loops, of the column.
struct Operand {
    buffer: usize,
    start: usize,
    kept: Vec<isize>,
    reduced: Vec<isize>,
    column: isize,
}

/// A reduction, ready to run: loop sizes and byte strides of a step, split by role.
pub(crate) struct Reduction {
    entries: Entries,
    fold: Mode,
    /// Whether each loop is reduced, outermost first.
    roles: Vec<bool>,
    kept: Vec<usize>,
    reduced: Vec<usize>,
    columns: usize,
    is_rows: bool,
    loads: Vec<Operand>,
    results: Vec<Operand>,
    lines: Lines,
}

impl Reduction {
    /// `bytes` are the element sizes of all buffers.
    pub(crate) fn new(isa: Isa, entries: Entries, step: &ReduceStep, bytes: &[usize]) -> Self {
        let is_rows = step.loops.last().is_some_and(|l| l.reduced);
        let column = if is_rows {
            None
        } else {
            Some(step.loops.len() - 1)
        };
        let pick = |want: bool| -> Vec<usize> {
            let loops = step.loops.iter().enumerate();
            loops
                .filter(|(i, l)| l.reduced == want && Some(*i) != column)
                .map(|(i, _)| i)
                .collect()
        };
        let (kept, reduced) = (pick(false), pick(true));
        let operand = |arg: &Arg| {
            let size = bytes[arg.buffer.index()];
            let strides = |at: &[usize]| {
                at.iter()
                    .map(|&i| arg.strides[i] * size as isize)
                    .collect::<Vec<isize>>()
            };
            Operand {
                buffer: arg.buffer.index(),
                start: arg.offset * size,
                kept: strides(&kept),
                reduced: strides(&reduced),
                column: column.map_or(0, |c| arg.strides[c] * size as isize),
            }
        };
        let size = |at: &[usize]| at.iter().map(|&i| step.loops[i].size).collect::<Vec<_>>();
        Self {
            entries,
            fold: step.fold,
            roles: step.loops.iter().map(|l| l.reduced).collect(),
            loads: step.loads.iter().map(operand).collect(),
            results: step.results.iter().map(operand).collect(),
            kept: size(&kept),
            reduced: size(&reduced),
            columns: column.map_or(1, |c| step.loops[c].size),
            is_rows,
            lines: Lines::of(isa),
        }
    }

    fn items(&self) -> usize {
        self.kept.iter().product()
    }

    fn length(&self) -> usize {
        self.reduced.iter().product()
    }

    /// Carries it out.
    pub(crate) fn run(&self, pool: &Pool, memory: &Memory) {
        let mut frame = Frame {
            reduction: self,
            loads: [std::ptr::null_mut(); MOST],
            results: [std::ptr::null_mut(); MOST],
        };
        let first = |o: &Operand| memory.base[o.buffer].wrapping_add(o.start);
        for (pointer, load) in frame.loads.iter_mut().zip(&self.loads) {
            *pointer = first(load);
        }
        for (pointer, result) in frame.results.iter_mut().zip(&self.results) {
            *pointer = first(result);
        }
        if self.is_rows {
            rows_form(pool, &frame, self.entries)
        } else {
            columns_form(pool, &frame, self.entries)
        }
    }
}

/// A reduction with the first elements of its operands in this run.
struct Frame<'a> {
    reduction: &'a Reduction,
    loads: [*mut u8; MOST],
    results: [*mut u8; MOST],
}

// SAFETY: pointers are only read, or written at elements that belong to one task.
unsafe impl Sync for Frame<'_> {}

impl Deref for Frame<'_> {
    type Target = Reduction;

    fn deref(&self) -> &Reduction {
        self.reduction
    }
}

/// Bytes from the first element to the one at `places`.
fn offset(places: &[usize], strides: &[isize]) -> isize {
    places
        .iter()
        .zip(strides)
        .map(|(p, s)| *p as isize * s)
        .sum()
}

impl Frame<'_> {
    /// A launch whose operands stand at kept place `item` and reduced place `flat`; rows run along the innermost
    /// reduced loop (columns form) or along it as columns (rows form).
    fn launch(&self, entry: Code, item: usize, flat: usize) -> Launch {
        let mut launch = Launch::new(entry);
        let mut kept = [0usize; MOST];
        let mut reduced = [0usize; MOST];
        places(item, &self.kept, &mut kept[..self.kept.len()]);
        places(flat, &self.reduced, &mut reduced[..self.reduced.len()]);
        for (load, base) in self.reduction.loads.iter().zip(&self.loads) {
            let from = offset(&kept, &load.kept) + offset(&reduced, &load.reduced);
            let inner = load.reduced.last().copied().unwrap_or(0);
            let (row, column) = if self.is_rows {
                (0, inner)
            } else {
                (inner, load.column)
            };
            launch.push(base.wrapping_offset(from), row as i64, column as i64);
        }
        self.index(&mut launch, &kept, &reduced);
        launch
    }

    /// Places for kernels that ask where they are: rows, columns, then loops from the outside.
    fn index(&self, launch: &mut Launch, kept: &[usize], reduced: &[usize]) {
        let mut of_loop = [0i32; MOST];
        let (mut k, mut r) = (kept.iter(), reduced.iter());
        for (place, reduced) in of_loop.iter_mut().zip(&self.roles) {
            let next = if *reduced { r.next() } else { k.next() };
            *place = next.copied().unwrap_or(0) as i32;
        }
        let depth = self.roles.len();
        if !self.is_rows {
            of_loop[depth - 1] = 0;
        }
        launch.form.index[0] = of_loop[depth - 2];
        launch.form.index[1] = of_loop[depth - 1];
        launch.form.index[2..depth].copy_from_slice(&of_loop[..depth - 2]);
    }

    /// Where the first result of an item lies.
    fn result(&self, root: usize, item: usize) -> *mut u8 {
        let mut kept = [0usize; MOST];
        places(item, &self.kept, &mut kept[..self.kept.len()]);
        let strides = &self.reduction.results[root].kept;
        self.results[root].wrapping_offset(offset(&kept[..self.kept.len()], strides))
    }

    /// Writes the results of neighbouring items along the innermost kept loop.
    fn write_rows(&self, root: usize, item: usize, count: usize, value: impl FnMut(usize) -> f32) {
        let first = self.result(root, item);
        let stride = self.reduction.results[root].kept.last().copied();
        for (row, value) in (0..count).map(value).enumerate() {
            let to = first.wrapping_offset(row as isize * stride.unwrap_or(0));
            // SAFETY: a result element inside its buffer (the schedule's loops), written by one task only.
            unsafe { to.cast::<f32>().write(finished(self.fold, value)) }
        }
    }

    /// Writes results of an item from `column` on.
    fn write(&self, root: usize, item: usize, column: usize, values: &[f32]) {
        let result = &self.reduction.results[root];
        let first = self
            .result(root, item)
            .wrapping_offset(column as isize * result.column);
        for (n, value) in values.iter().enumerate() {
            // SAFETY: a result element inside its buffer (the schedule's loops), written by one task only.
            unsafe {
                first
                    .wrapping_offset(n as isize * result.column)
                    .cast::<f32>()
                    .write(finished(self.fold, *value))
            }
        }
    }
}

fn rows_form(pool: &Pool, frame: &Frame<'_>, entries: Entries) {
    let (items, length, roots) = (frame.items(), frame.length(), frame.reduction.results.len());
    let fold = frame.fold;
    if frame.reduced.len() == 1 && length <= BLOCK {
        let tile = (TILE / (length * roots).max(1)).clamp(1, items.max(1));
        let parallel = items * length >= SERIAL;
        let share = if parallel {
            items.div_ceil(pool.threads() * 2).max(1)
        } else {
            items.max(1)
        };
        let run = |task: usize| {
            let (mut at, end) = ((task * share).min(items), ((task + 1) * share).min(items));
            let mut space = scratch(tile * length * roots + 16);
            while at < end {
                at += short_rows(frame, entries, at, tile.min(end - at), &mut space, fold);
            }
        };
        return pool.run(items.div_ceil(share), &run);
    }
    let blocks = length.div_ceil(BLOCK).max(1);
    let mut results = vec![0f32; items * blocks * roots];
    let out = Cells(results.as_mut_ptr());
    let run = |task: usize| {
        let (item, block) = (task / blocks, task % blocks);
        let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(length));
        let mut space = scratch(BLOCK * roots);
        fill(frame, entries.write, item, from..to, &mut space);
        for root in 0..roots {
            let line = &mut space[root * BLOCK..root * BLOCK + (to - from)];
            out.set(
                (root * items + item) * blocks + block,
                frame.lines.fold(fold, line),
            );
        }
    };
    if items * length < SERIAL {
        (0..items * blocks).for_each(run)
    } else {
        pool.run(items * blocks, &run)
    }
    for root in 0..roots {
        for item in 0..items {
            let start = (root * items + item) * blocks;
            let line = &mut results[start..start + blocks];
            fold_blocks(fold, line, blocks, 1);
            frame.write(root, item, 0, &line[..1]);
        }
    }
}

/// Several short rows at once; gives how many were done.
fn short_rows(
    frame: &Frame<'_>,
    entries: Entries,
    item: usize,
    most: usize,
    space: &mut [f32],
    fold: Mode,
) -> usize {
    let (length, roots) = (frame.length(), frame.reduction.results.len());
    let inner = frame.kept.last().copied().unwrap_or(1);
    let count = most.min(inner - item % inner);
    let mut launch = frame.launch(entries.write, item, 0);
    for (row, load) in launch.form.row.iter_mut().zip(&frame.reduction.loads) {
        *row = load.kept.last().copied().unwrap_or(0) as i64;
    }
    for root in 0..roots {
        launch.push(
            space[root * most * length..].as_mut_ptr().cast(),
            (length * 4) as i64,
            4,
        );
    }
    launch.run(count, length);
    for root in 0..roots {
        frame.write_rows(root, item, count, |row| {
            let start = (root * most + row) * length;
            frame.lines.fold(fold, &mut space[start..start + length])
        });
    }
    count
}

/// Computes the elements of `range` of an item into scratch, one line a root, `BLOCK` floats apart.
fn fill(
    frame: &Frame<'_>,
    entry: Code,
    item: usize,
    range: std::ops::Range<usize>,
    space: &mut [f32],
) {
    let inner = frame.reduced.last().copied().unwrap_or(1);
    let mut at = range.start;
    while at < range.end {
        let count = (inner - at % inner).min(range.end - at);
        let mut launch = frame.launch(entry, item, at);
        for root in 0..frame.reduction.results.len() {
            launch.push(
                space[root * BLOCK + (at - range.start)..]
                    .as_mut_ptr()
                    .cast(),
                0,
                4,
            );
        }
        launch.run(1, count);
        at += count;
    }
}

/// Results that tasks write at places of their own.
struct Cells(*mut f32);

// SAFETY: every task writes other places, inside the allocation.
unsafe impl Sync for Cells {}

impl Cells {
    fn set(&self, at: usize, value: f32) {
        // SAFETY: `at` lies inside the allocation and belongs to the calling task.
        unsafe { self.0.add(at).write(value) }
    }

    fn from(&self, at: usize) -> *mut f32 {
        self.0.wrapping_add(at)
    }
}

/// How columns-form work is cut: pieces of columns, blocks of rows, parts of the 64 lanes.
struct Cut {
    width: usize,
    pieces: usize,
    blocks: usize,
    parts: usize,
}

fn columns_form(pool: &Pool, frame: &Frame<'_>, entries: Entries) {
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

/// First place of the largest element.
pub(crate) fn arg_max(memory: &Memory, step: &ArgMaxStep) {
    let kept: Vec<usize> = step
        .loops
        .iter()
        .filter(|l| !l.reduced)
        .map(|l| l.size)
        .collect();
    let reduced: Vec<usize> = step
        .loops
        .iter()
        .filter(|l| l.reduced)
        .map(|l| l.size)
        .collect();
    let (items, length) = (
        kept.iter().product::<usize>(),
        reduced.iter().product::<usize>(),
    );
    let (load, result) = (
        memory.at(&step.load).cast::<f32>(),
        memory.at(&step.result).cast::<i32>(),
    );
    let mut place = [0usize; MOST];
    for item in 0..items {
        places(item, &kept, &mut place[..kept.len()]);
        let offset = |strides: &[isize], place: &[usize]| {
            place
                .iter()
                .zip(strides)
                .map(|(p, s)| *p as isize * s)
                .sum::<isize>()
        };
        let start = load.wrapping_offset(offset(&step.load.strides[..kept.len()], &place));
        let to = result.wrapping_offset(offset(&step.result.strides[..kept.len()], &place));
        let mut inner = [0usize; MOST];
        let mut element = |flat: usize| {
            places(flat, &reduced, &mut inner[..reduced.len()]);
            // SAFETY: inside the operand's buffer by the step's loops.
            unsafe {
                start
                    .wrapping_offset(offset(&step.load.strides[kept.len()..], &inner))
                    .read()
            }
        };
        let best = mmh_numerics::reduce::argmax(length, &mut element).unwrap_or(0);
        // SAFETY: inside the result's buffer by the step's loops.
        unsafe { to.write(best as i32) }
    }
}
