//! Runs compiled kernels over loops, on all threads.
#![expect(
    unsafe_code,
    reason = "kernels address operands by pointer; the schedule keeps them inside their buffers"
)]

use crate::jit::Code;
use crate::pool::Pool;
use mmh_lower::kernel::{PARAMETERS, PLACES};
use mmh_lower::schedule::Arg;

/// Operands and loops of a kernel at most.
pub(crate) const MOST: usize = PLACES;

/// Elements of a kernel below which waking another thread costs more than it saves.
const SERIAL: usize = 6_000;

/// Base pointers and element sizes of a schedule's buffers.
pub(crate) struct Memory {
    pub(crate) base: Vec<*mut u8>,
    pub(crate) bytes: Vec<usize>,
    pub(crate) elements: Vec<usize>,
}

// SAFETY: steps run one after another, and within a step threads write disjoint elements.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

impl Memory {
    /// First element of an operand.
    pub(crate) fn at(&self, arg: &Arg) -> *mut u8 {
        let b = arg.buffer.index();
        self.base[b].wrapping_add(arg.offset * self.bytes[b])
    }

    /// Size of the operand's elements.
    pub(crate) fn size(&self, arg: &Arg) -> usize {
        self.bytes[arg.buffer.index()]
    }
}

/// A kernel with its operands, ready to run on parts of its loops.
#[derive(Clone)]
pub(crate) struct Launch {
    entry: Code,
    pub(crate) pointers: [*mut u8; MOST],
    pub(crate) row: [i64; MOST],
    pub(crate) column: [i64; MOST],
    /// Places, then constants.
    pub(crate) index: [i32; MOST + PARAMETERS],
    pub(crate) count: usize,
}

impl Launch {
    pub(crate) fn new(entry: Code) -> Self {
        let mut index = [0; MOST + PARAMETERS];
        index[PLACES..].copy_from_slice(&entry.constants);
        Self {
            entry,
            pointers: [std::ptr::null_mut(); MOST],
            row: [0; MOST],
            column: [0; MOST],
            index,
            count: 0,
        }
    }

    /// Adds an operand: its first element and byte strides along rows and columns.
    pub(crate) fn push(&mut self, pointer: *mut u8, row: i64, column: i64) {
        self.pointers[self.count] = pointer;
        self.row[self.count] = row;
        self.column[self.count] = column;
        self.count += 1;
    }

    /// Runs over `rows` rows and `columns` columns from the current pointers.
    pub(crate) fn run(&self, rows: usize, columns: usize) {
        // SAFETY: pointers and strides stay inside their buffers for these rows and columns (the schedule's loops).
        unsafe {
            (self.entry.function)(
                self.pointers.as_ptr(),
                self.row.as_ptr(),
                self.column.as_ptr(),
                rows as i64,
                columns as i64,
                self.index.as_ptr(),
            );
        }
    }
}

/// Places along outer loops, from a flat number.
pub(crate) fn places(mut flat: usize, sizes: &[usize], out: &mut [usize]) {
    for (place, size) in out.iter_mut().zip(sizes).rev() {
        *place = flat % size;
        flat /= size;
    }
}

/// Runs a kernel over nested loops; `args` are its operands in order.
pub(crate) fn map(pool: &Pool, memory: &Memory, entry: Code, loops: &[usize], args: &[Arg]) {
    let depth = loops.len();
    let (rows, columns) = (loops[depth - 2], loops[depth - 1]);
    let outer = &loops[..depth - 2];
    let all_rows: usize = outer.iter().product::<usize>() * rows;
    let elements = all_rows * columns;
    if elements == 0 {
        return;
    }
    let mut base = Launch::new(entry);
    for arg in args {
        let size = memory.size(arg) as i64;
        base.push(
            memory.at(arg),
            arg.strides[depth - 2] as i64 * size,
            arg.strides[depth - 1] as i64 * size,
        );
    }
    let outer_strides: Vec<Vec<isize>> = args
        .iter()
        .map(|a| {
            a.strides[..depth - 2]
                .iter()
                .map(|s| s * memory.size(a) as isize)
                .collect()
        })
        .collect();
    let tasks = if elements < SERIAL {
        1
    } else {
        pool.threads().min(elements / (SERIAL / 2)).max(1)
    };
    if all_rows < tasks * 2 && columns >= tasks * 64 {
        let width = columns.div_ceil(tasks).next_multiple_of(16);
        let shared = Shared(&base);
        let run = |task: usize| {
            let (from, to) = (
                (task * width).min(columns),
                ((task + 1) * width).min(columns),
            );
            span(
                shared.get(),
                &outer_strides,
                outer,
                rows,
                0..all_rows,
                from..to,
            );
        };
        return pool.run(columns.div_ceil(width), &run);
    }
    let share = all_rows.div_ceil(tasks);
    let shared = Shared(&base);
    let run = |task: usize| {
        let (from, to) = (
            (task * share).min(all_rows),
            ((task + 1) * share).min(all_rows),
        );
        span(
            shared.get(),
            &outer_strides,
            outer,
            rows,
            from..to,
            0..columns,
        );
    };
    if tasks == 1 {
        run(0)
    } else {
        pool.run(tasks, &run)
    }
}

/// Lets threads read a launch, each taking a copy.
struct Shared<'a>(&'a Launch);

// SAFETY: the launch is only read.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    fn get(&self) -> &Launch {
        self.0
    }
}

/// Runs part of the rows (counted through all outer loops) and part of the columns.
fn span(
    base: &Launch,
    strides: &[Vec<isize>],
    outer: &[usize],
    rows: usize,
    part: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) {
    let mut at = part.start;
    let mut place = [0usize; MOST];
    while at < part.end {
        let (block, row) = (at / rows, at % rows);
        let count = (rows - row).min(part.end - at);
        let mut launch = base.clone();
        places(block, outer, &mut place[..outer.len()]);
        for (n, strides) in strides.iter().enumerate() {
            let mut offset = row as isize * launch.row[n] as isize
                + columns.start as isize * launch.column[n] as isize;
            for (p, stride) in place.iter().zip(strides) {
                offset += *p as isize * stride;
            }
            launch.pointers[n] = launch.pointers[n].wrapping_offset(offset);
        }
        launch.index[0] = row as i32;
        launch.index[1] = columns.start as i32;
        for (i, p) in place[..outer.len()].iter().enumerate() {
            launch.index[2 + i] = *p as i32;
        }
        launch.run(count, columns.len());
        at += count;
    }
}
