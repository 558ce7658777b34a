//! Reductions in the contract's order: 64 strided lanes, a halving tree, recursion over blocks of 4,096.
//!
//! Rows form: a kernel writes the elements of a row to scratch, which is folded. Columns form: a kernel adds 64 rows at
//! a time onto 64 lanes, each as wide as the columns, so that the inner loop runs along memory.
#![expect(
    unsafe_code,
    reason = "kernels and lanes are addressed by pointer inside scratch memory and buffers"
)]

mod columns;
mod fold;

use crate::isa::Isa;
use crate::jit::Code;
use crate::launch::{Launch, MOST, Memory, SERIAL, places};
use crate::memory::scratch;
use crate::pool::Pool;
use mmh_lower::Part;
use mmh_lower::kernel::Mode;
use mmh_lower::schedule::{Arg, ArgMaxStep, ReduceStep};
use mmh_numerics::reduce::BLOCK;
use std::ops::{Deref, Range};

use columns::columns_form;
use fold::{Lines, finished, fold_blocks};

/// Floats of scratch a rows-form tile fills.
const TILE: usize = 8_192;

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

    /// Carries a part of it out. Columns form has no parts.
    pub(crate) fn run(&self, pool: &Pool, memory: &Memory, part: Part) {
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
            rows_form(pool, &frame, self.entries, part.range(self.items()))
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

/// The items of `part`, each folded over the reduced loops.
fn rows_form(pool: &Pool, frame: &Frame<'_>, entries: Entries, part: Range<usize>) {
    let (items, length, roots) = (part.len(), frame.length(), frame.reduction.results.len());
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
            let bound = |task: usize| part.start + (task * share).min(items);
            let (mut at, end) = (bound(task), bound(task + 1));
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
        fill(
            frame,
            entries.write,
            part.start + item,
            from..to,
            &mut space,
        );
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
            frame.write(root, part.start + item, 0, &line[..1]);
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
fn fill(frame: &Frame<'_>, entry: Code, item: usize, range: Range<usize>, space: &mut [f32]) {
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
