//! Runs compiled kernels over loops, on all threads.
#![expect(
    unsafe_code,
    reason = "kernels address operands by pointer; the schedule keeps them inside their buffers"
)]

use crate::jit::Code;
use crate::pool::Pool;
use mmh_lower::Part;
use mmh_lower::kernel::{PARAMETERS, PLACES};
use mmh_lower::schedule::Arg;
use std::ops::Range;
use std::sync::Arc;

/// Operands and loops of a kernel at most.
pub(crate) const MOST: usize = PLACES;

/// Elements of a kernel below which waking another thread costs more than it saves.
pub(crate) const SERIAL: usize = 6_000;

/// Base pointers and element sizes of a schedule's buffers.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) base: Vec<*mut u8>,
    pub(crate) bytes: Arc<[usize]>,
    pub(crate) elements: Arc<[usize]>,
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

/// A kernel with its operands' strides, made once for a step.
#[derive(Clone)]
pub(crate) struct Form {
    entry: Code,
    pub(crate) row: [i64; MOST],
    pub(crate) column: [i64; MOST],
    /// Places, then constants.
    pub(crate) index: [i32; MOST + PARAMETERS],
    pub(crate) count: usize,
}

impl Form {
    pub(crate) fn new(entry: Code) -> Self {
        let mut index = [0; MOST + PARAMETERS];
        index[PLACES..].copy_from_slice(&entry.constants);
        Self {
            entry,
            row: [0; MOST],
            column: [0; MOST],
            index,
            count: 0,
        }
    }

    /// Adds an operand by its byte strides along rows and columns.
    pub(crate) fn push(&mut self, row: i64, column: i64) {
        self.row[self.count] = row;
        self.column[self.count] = column;
        self.count += 1;
    }

    /// Runs over `rows` rows and `columns` columns from `pointers`, at the places of `index`.
    pub(crate) fn run(
        &self,
        pointers: &[*mut u8; MOST],
        index: &[i32; MOST + PARAMETERS],
        rows: usize,
        columns: usize,
    ) {
        // SAFETY: pointers and strides stay inside their buffers for these rows and columns (the schedule's loops).
        unsafe {
            (self.entry.function)(
                pointers.as_ptr(),
                self.row.as_ptr(),
                self.column.as_ptr(),
                rows as i64,
                columns as i64,
                index.as_ptr(),
            );
        }
    }
}

/// A kernel with all its operands, for one call.
pub(crate) struct Launch {
    pub(crate) form: Form,
    pub(crate) pointers: [*mut u8; MOST],
}

impl Launch {
    pub(crate) fn new(entry: Code) -> Self {
        Self {
            form: Form::new(entry),
            pointers: [std::ptr::null_mut(); MOST],
        }
    }

    /// Adds an operand: its first element and byte strides along rows and columns.
    pub(crate) fn push(&mut self, pointer: *mut u8, row: i64, column: i64) {
        self.pointers[self.form.count] = pointer;
        self.form.push(row, column);
    }

    /// Runs over `rows` rows and `columns` columns from the current pointers.
    pub(crate) fn run(&self, rows: usize, columns: usize) {
        self.form
            .run(&self.pointers, &self.form.index, rows, columns);
    }
}

/// Places along outer loops, from a flat number.
pub(crate) fn places(mut flat: usize, sizes: &[usize], out: &mut [usize]) {
    for (place, size) in out.iter_mut().zip(sizes).rev() {
        *place = flat % size;
        flat /= size;
    }
}

/// A map step, ready to run: a kernel over nested loops.
pub(crate) struct Map {
    form: Form,
    /// Buffer and first byte of each operand.
    starts: Vec<(usize, usize)>,
    outer: Vec<usize>,
    /// Byte strides along the outer loops, operand by operand.
    strides: Vec<isize>,
    rows: usize,
    columns: usize,
}

/// How a step is cut for threads: the rows and the columns of a task.
struct Share {
    tasks: usize,
    rows: usize,
    columns: usize,
}

/// Runs steps that have nothing to do with each other, such as the updates of all parameters, as one job of all threads.
pub(crate) fn run_together(pool: &Pool, memory: &Memory, maps: &[&Map]) {
    let threads = pool.threads();
    let shares: Vec<Share> = maps.iter().map(|map| map.share(threads)).collect();
    let tasks = if shares.iter().any(|share| share.tasks > 1) {
        threads
    } else {
        1
    };
    pool.run(tasks, &|task| {
        for (number, (map, share)) in maps.iter().zip(&shares).enumerate() {
            // Small ones go round.
            let own = if share.tasks == 1 {
                (number % tasks == task).then_some(0)
            } else {
                (task < share.tasks).then_some(task)
            };
            if let Some(own) = own {
                map.task(&map.bases(memory), share, own);
            }
        }
    });
}

/// First elements of a step's operands in this run.
struct Bases([*mut u8; MOST]);

// SAFETY: threads copy the pointers and write disjoint elements behind them.
unsafe impl Sync for Bases {}

impl Bases {
    fn get(&self) -> &[*mut u8; MOST] {
        &self.0
    }
}

impl Map {
    /// `args` are the kernel's operands in order, `bytes` the element sizes of all buffers.
    pub(crate) fn new(entry: Code, loops: &[usize], args: &[Arg], bytes: &[usize]) -> Self {
        let depth = loops.len();
        let size = |arg: &Arg| bytes[arg.buffer.index()];
        let mut form = Form::new(entry);
        for arg in args {
            let bytes = size(arg) as i64;
            form.push(
                arg.strides[depth - 2] as i64 * bytes,
                arg.strides[depth - 1] as i64 * bytes,
            );
        }
        let strides = args.iter().flat_map(|a| {
            let bytes = size(a) as isize;
            a.strides[..depth - 2].iter().map(move |s| s * bytes)
        });
        Self {
            form,
            starts: args
                .iter()
                .map(|a| (a.buffer.index(), a.offset * size(a)))
                .collect(),
            outer: loops[..depth - 2].to_vec(),
            strides: strides.collect(),
            rows: loops[depth - 2],
            columns: loops[depth - 1],
        }
    }

    /// Runs a part of it, on all threads where that pays.
    pub(crate) fn run(&self, pool: &Pool, memory: &Memory, part: Part) {
        if part.is_whole() {
            let share = self.share(pool.threads());
            let bases = self.bases(memory);
            return pool.run(share.tasks, &|task| self.task(&bases, &share, task));
        }
        let all_rows = self.all_rows();
        let (rows, columns) = if all_rows > 1 {
            (part.range(all_rows), 0..self.columns)
        } else {
            (0..all_rows, part.range(self.columns))
        };
        self.span(self.bases(memory).get(), rows, columns);
    }

    fn all_rows(&self) -> usize {
        self.outer.iter().product::<usize>() * self.rows
    }

    fn bases(&self, memory: &Memory) -> Bases {
        let mut bases = Bases([std::ptr::null_mut(); MOST]);
        for (base, (buffer, start)) in bases.0.iter_mut().zip(&self.starts) {
            *base = memory.base[*buffer].wrapping_add(*start);
        }
        bases
    }

    /// How the work is shared by so many threads.
    fn share(&self, threads: usize) -> Share {
        let (rows, columns) = (self.all_rows(), self.columns);
        let elements = rows * columns;
        let tasks = if elements < SERIAL {
            1
        } else {
            threads.min(elements / (SERIAL / 2)).max(1)
        };
        if rows < tasks * 2 && columns >= tasks * 64 {
            let width = columns.div_ceil(tasks).next_multiple_of(16);
            Share {
                tasks: columns.div_ceil(width),
                rows,
                columns: width,
            }
        } else {
            Share {
                tasks,
                rows: rows.div_ceil(tasks),
                columns,
            }
        }
    }

    /// Runs one of a share's tasks.
    fn task(&self, bases: &Bases, share: &Share, task: usize) {
        let (rows, columns) = (self.all_rows(), self.columns);
        let cut = |size: usize, all: usize| (task * size).min(all)..((task + 1) * size).min(all);
        if share.columns < columns {
            self.span(bases.get(), 0..rows, cut(share.columns, columns));
        } else {
            self.span(bases.get(), cut(share.rows, rows), 0..columns);
        }
    }

    /// Runs part of the rows (counted through all outer loops) and part of the columns.
    fn span(&self, bases: &[*mut u8; MOST], part: Range<usize>, columns: Range<usize>) {
        let (rows, depth) = (self.rows, self.outer.len());
        let mut at = part.start;
        let mut place = [0usize; MOST];
        let mut index = self.form.index;
        while at < part.end {
            let (block, row) = (at / rows, at % rows);
            let count = (rows - row).min(part.end - at);
            places(block, &self.outer, &mut place[..depth]);
            let mut pointers = *bases;
            for (n, pointer) in pointers.iter_mut().enumerate().take(self.form.count) {
                let mut offset = row as isize * self.form.row[n] as isize
                    + columns.start as isize * self.form.column[n] as isize;
                let strides = &self.strides[n * depth..(n + 1) * depth];
                for (p, stride) in place.iter().zip(strides) {
                    offset += *p as isize * stride;
                }
                *pointer = pointer.wrapping_offset(offset);
            }
            index[0] = row as i32;
            index[1] = columns.start as i32;
            for (i, p) in place[..depth].iter().enumerate() {
                index[2 + i] = *p as i32;
            }
            self.form.run(&pointers, &index, count, columns.len());
            at += count;
        }
    }
}
