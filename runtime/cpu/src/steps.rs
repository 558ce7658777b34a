//! Steps that are not kernels: contractions, look-ups, draws, samples, windows.
#![expect(
    unsafe_code,
    reason = "buffers are addressed by pointer; the schedule keeps every step inside them"
)]

use crate::contract::{
    Axis, Context, Convolution, Gemm, Operand, Output, Weight, convolution, gemm, scatter_rows,
    weight_gradient,
};
use crate::launch::{MOST, Memory, SERIAL, places};
use crate::pool::Pool;
use crate::widen::read;
use mmh_ir::RandomKind;
use mmh_ir::device::RunError;
use mmh_lower::Part;
use mmh_lower::schedule::{
    Arg, ContractStep, ConvStep, ConvWeightStep, GatherStep, RandomStep, SampleStep, ScatterStep,
    Spatial, WindowStep,
};
use mmh_lower::view::BufferId;
use mmh_numerics::random::{Key, Stream, below, normals, uniforms};
use mmh_numerics::sample::bilinear;
use std::sync::{Mutex, PoisonError};

/// The elements behind a result.
#[expect(
    clippy::mut_from_ref,
    reason = "steps run one after another and write each buffer from one place"
)]
fn write(memory: &Memory, buffer: BufferId, offset: usize, reach: usize) -> &mut [f32] {
    let length = memory.elements[buffer.index()]
        .saturating_sub(offset)
        .min(reach);
    // SAFETY: the buffer holds that many f32 elements, or a chunk of it does that the result keeps to; this step alone uses these elements now.
    unsafe {
        std::slice::from_raw_parts_mut(
            memory.base[buffer.index()].cast::<f32>().add(offset),
            length,
        )
    }
}

fn ints(memory: &Memory, buffer: BufferId) -> &[i32] {
    // SAFETY: the schedule says that the buffer holds this many i32 elements.
    unsafe {
        std::slice::from_raw_parts(
            memory.base[buffer.index()].cast::<i32>(),
            memory.elements[buffer.index()],
        )
    }
}

/// The same words without a sign: a negative index becomes one that no table has.
fn indices(memory: &Memory, buffer: BufferId) -> &[u32] {
    let ints = ints(memory, buffer);
    // SAFETY: i32 and u32 have the same layout.
    unsafe { std::slice::from_raw_parts(ints.as_ptr().cast(), ints.len()) }
}

fn failed(what: impl std::fmt::Display) -> RunError {
    RunError::Device(what.to_string())
}

fn stride(arg: &Arg, at: usize) -> usize {
    arg.strides[at].unsigned_abs()
}

/// Elements from the first to past the last that loops of these sizes reach.
pub(crate) fn reach(sizes: impl Iterator<Item = usize>, strides: &[isize]) -> usize {
    let spans = sizes
        .zip(strides)
        .map(|(n, s)| n.saturating_sub(1) * s.unsigned_abs());
    spans.sum::<usize>() + 1
}

/// A batched product; batch loops beyond two run one after another.
pub(crate) fn contract(
    context: &Context<'_>,
    memory: &Memory,
    step: &ContractStep,
) -> Result<(), RunError> {
    let depth = step.batch.len();
    let outer = depth.saturating_sub(2);
    let inner: Vec<usize> = (outer..depth).collect();
    let pick = |values: &dyn Fn(usize) -> usize, none: usize| match inner.as_slice() {
        [] => [none, none],
        [a] => [none, values(*a)],
        [a, b, ..] => [values(*a), values(*b)],
    };
    let [m, n, k] = step.size;
    let sizes = Gemm {
        batch: pick(&|i| step.batch[i], 1),
        m,
        n,
        k,
        absent: step.absent,
    };
    let mut place = [0usize; MOST];
    for flat in 0..step.batch[..outer].iter().product() {
        places(flat, &step.batch[..outer], &mut place[..outer]);
        let offset =
            |arg: &Arg| arg.offset + (0..outer).map(|i| place[i] * stride(arg, i)).sum::<usize>();
        let reach = |arg: &Arg, rows: usize, columns: usize| {
            let sizes = step.batch[outer..].iter().copied().chain([rows, columns]);
            reach(sizes, &arg.strides[outer..])
        };
        let floats = |arg: &Arg, rows: usize, columns: usize| {
            let reach = reach(arg, rows, columns);
            read(context.pool(), memory, arg.buffer, offset(arg), reach)
        };
        let (a, b) = (floats(&step.a, m, k), floats(&step.b, k, n));
        let operand = |arg: &Arg, right: bool| Operand {
            data: if right { &b } else { &a },
            row_stride: stride(arg, depth),
            column_stride: stride(arg, depth + 1),
            batch_strides: pick(&|i| stride(arg, i), 0),
        };
        let output = Output {
            data: write(memory, step.c.buffer, offset(&step.c), reach(&step.c, m, n)),
            row_stride: stride(&step.c, depth),
            batch_strides: pick(&|i| stride(&step.c, i), 0),
        };
        gemm(
            context,
            &sizes,
            operand(&step.a, false),
            operand(&step.b, true),
            output,
        )
        .map_err(failed)?;
    }
    Ok(())
}

fn axis(s: &Spatial) -> Axis {
    Axis {
        input: s.source,
        output: s.out,
        taps: s.taps,
        stride: s.stride.unsigned_abs() as usize,
        dilation: s.dilation as isize,
        offset: s.offset as isize,
        divide: s.divide.unsigned_abs() as usize,
    }
}

fn geometry(batch: usize, channels: [usize; 2], spatial: &[Spatial; 2]) -> Convolution {
    let [rows, columns] = spatial;
    Convolution {
        batch,
        rows: axis(rows),
        columns: axis(columns),
        in_channels: channels[0],
        out_channels: channels[1],
    }
}

/// A part of a convolution: some of its pictures.
pub(crate) fn conv(
    context: &Context<'_>,
    memory: &Memory,
    step: &ConvStep,
    part: Part,
) -> Result<(), RunError> {
    let shape = geometry(step.batch / part.of, step.channels, &step.spatial);
    let pool = context.pool();
    let w = read(pool, memory, step.w.buffer, step.w.offset, usize::MAX);
    let weight = Weight {
        data: &w,
        tap_stride: stride(&step.w, 0),
        in_stride: stride(&step.w, 1),
        out_stride: stride(&step.w, 2),
    };
    let chunk = |buffer: BufferId| part.range(memory.elements[buffer.index()]);
    let (x, y) = (chunk(step.x), chunk(step.y));
    convolution(
        context,
        &shape,
        &read(pool, memory, step.x, x.start, x.len()),
        weight,
        write(memory, step.y, y.start, y.len()),
    )
    .map_err(failed)
}

pub(crate) fn conv_weight(
    context: &Context<'_>,
    memory: &Memory,
    step: &ConvWeightStep,
) -> Result<(), RunError> {
    let shape = geometry(step.batch, step.channels, &step.spatial);
    let all = |buffer| read(context.pool(), memory, buffer, 0, usize::MAX);
    let (x, g) = (all(step.x), all(step.g));
    weight_gradient(
        context,
        &shape,
        &x,
        &g,
        write(memory, step.dw, 0, usize::MAX),
    )
    .map_err(failed)
}

pub(crate) fn scatter(
    context: &Context<'_>,
    memory: &Memory,
    step: &ScatterStep,
) -> Result<(), RunError> {
    let [positions, rows, width] = step.size;
    let index = &indices(memory, step.index)[..positions];
    let g = read(context.pool(), memory, step.g, 0, usize::MAX);
    scatter_rows(
        context,
        index,
        &g[..positions * width],
        width,
        &mut write(memory, step.out, 0, usize::MAX)[..rows * width],
    )
    .map_err(failed)
}

/// Looks a part of the elements up; an index outside the table is an error.
pub(crate) fn gather(
    pool: &Pool,
    memory: &Memory,
    step: &GatherStep,
    part: Part,
) -> Result<(), RunError> {
    let depth = step.loops.len();
    let size = memory.size(&step.table);
    let (table, index) = (
        Target(memory.at(&step.table)),
        Target(memory.at(&step.index)),
    );
    let out = Target(memory.at(&step.out));
    let row = step.loops.last().copied().unwrap_or(1);
    let (loops, width) = if step.copies_rows() {
        (&step.loops[..depth - 1], row)
    } else {
        (&step.loops[..], 1)
    };
    // Place in the loops and value of the first index that the table does not have.
    let wrong = Mutex::new(None::<(usize, i32)>);
    let look_up = |flat: usize| {
        let mut place = [0usize; MOST];
        places(flat, loops, &mut place[..loops.len()]);
        let offset = |arg: &Arg| {
            place
                .iter()
                .zip(&arg.strides[..loops.len()])
                .map(|(p, s)| *p as isize * s)
                .sum::<isize>()
        };
        let number = index
            .start()
            .cast::<i32>()
            .wrapping_offset(offset(&step.index));
        // SAFETY: inside the index's buffer by the step's loops.
        let number = unsafe { number.read() };
        let Some(at) = usize::try_from(number).ok().filter(|&at| at < step.axis.1) else {
            let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
            if wrong.is_none_or(|(first, _)| flat < first) {
                *wrong = Some((flat, number));
            }
            return;
        };
        let from = (offset(&step.table) + at as isize * step.axis.0) * size as isize;
        let to = offset(&step.out) * size as isize;
        // SAFETY: the index was checked, the rest is inside both buffers by the step's loops; no other place of the loops
        // is written here.
        unsafe {
            std::ptr::copy_nonoverlapping(
                table.start().wrapping_offset(from),
                out.start().wrapping_offset(to),
                width * size,
            )
        }
    };
    let all = part.range(loops.iter().product());
    let count = all.len();
    let tasks = if count * width < SERIAL {
        1
    } else {
        pool.threads()
    };
    let share = count.div_ceil(tasks);
    pool.run(tasks, &|task| {
        let bound = |task: usize| all.start + (task * share).min(count);
        (bound(task)..bound(task + 1)).for_each(look_up)
    });
    match wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some((_, at)) => Err(RunError::IndexRange {
            what: format!("a table of {} rows (index {at})", step.axis.1),
        }),
    }
}

/// A pointer that tasks write disjoint parts of.
struct Target(*mut u8);

// SAFETY: every task writes its own rows.
unsafe impl Sync for Target {}

impl Target {
    fn start(&self) -> *mut u8 {
        self.0
    }

    #[expect(clippy::mut_from_ref, reason = "tasks take disjoint parts")]
    fn part<T>(&self, start: usize, length: usize) -> &mut [T] {
        // SAFETY: inside the result's buffer; rows of different tasks do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.0.cast::<T>().add(start), length) }
    }
}

/// Elements a task draws.
const DRAWS: usize = 2_048;

pub(crate) fn random(pool: &Pool, memory: &Memory, step: &RandomStep) -> Result<(), RunError> {
    let [rows, width] = step.size;
    let words = ints(memory, step.key);
    let key = Key(std::array::from_fn(|i| {
        words.get(i).map_or(0, |w| w.cast_unsigned())
    }));
    let nonces = ints(memory, step.nonce);
    let target = Target(memory.base[step.out.index()]);
    let pieces = width.div_ceil(DRAWS).max(1);
    let run = |task: usize| {
        let (row, piece) = (task / pieces, task % pieces);
        let (from, to) = (piece * DRAWS, ((piece + 1) * DRAWS).min(width));
        let stream = Stream::new(key, u64::from(nonces[row].cast_unsigned()));
        let start = row * width + from;
        match step.kind {
            RandomKind::Uniform => uniforms(&stream, from as u64, target.part(start, to - from)),
            RandomKind::Normal => normals(&stream, from as u64, target.part(start, to - from)),
            RandomKind::Below(n) => {
                let out: &mut [i32] = target.part(start, to - from);
                for (i, value) in out.iter_mut().enumerate() {
                    *value = below(stream.double_word((from + i) as u64), u64::from(n)) as i32;
                }
            }
        }
    };
    if rows * width < DRAWS {
        (0..rows * pieces).for_each(run)
    } else {
        pool.run(rows * pieces, &run)
    }
    Ok(())
}

pub(crate) fn sample(pool: &Pool, memory: &Memory, step: &SampleStep) {
    let depth = step.loops.len();
    let (height, width) = (step.loops[depth - 2], step.loops[depth - 1]);
    let outer = &step.loops[..depth - 2];
    let base = |arg: &Arg| memory.at(arg) as usize;
    let (image, row, column, out) = (
        base(&step.image),
        base(&step.row),
        base(&step.column),
        base(&step.out),
    );
    let run = |plane: usize| {
        let mut place = [0usize; MOST];
        places(plane, outer, &mut place[..outer.len()]);
        let start = |from: usize, arg: &Arg| {
            let offset: isize = place
                .iter()
                .zip(&arg.strides[..depth - 2])
                .map(|(p, s)| *p as isize * s)
                .sum();
            (from as *mut f32).wrapping_offset(offset)
        };
        let (image, rows) = (start(image, &step.image), start(row, &step.row));
        let (columns, out) = (start(column, &step.column), start(out, &step.out));
        let at = |arg: &Arg, y: usize, x: usize| {
            y as isize * arg.strides[depth - 2] + x as isize * arg.strides[depth - 1]
        };
        let pixel = |y: i32, x: i32| {
            let inside = usize::try_from(y)
                .ok()
                .filter(|&y| y < height)
                .zip(usize::try_from(x).ok().filter(|&x| x < width));
            // SAFETY: inside the picture by the check.
            inside.map_or(0.0, |(y, x)| unsafe {
                image.wrapping_offset(at(&step.image, y, x)).read()
            })
        };
        for y in 0..height {
            for x in 0..width {
                // SAFETY: inside the buffers by the step's loops; this task alone writes this plane.
                unsafe {
                    let (py, px) = (
                        rows.wrapping_offset(at(&step.row, y, x)).read(),
                        columns.wrapping_offset(at(&step.column, y, x)).read(),
                    );
                    out.wrapping_offset(at(&step.out, y, x))
                        .write(bilinear(py, px, pixel));
                }
            }
        }
    };
    pool.run(outer.iter().product(), &run);
}

/// Copies windows element by element (pooling gradients and other rare cases).
pub(crate) fn window(pool: &Pool, memory: &Memory, step: &WindowStep) {
    let size = memory.size(&step.out);
    let (source, out) = (
        memory.at(&step.source) as usize,
        memory.at(&step.out) as usize,
    );
    let [places_loop, taps_loop] = step.window;
    let s = step.spatial;
    let first = step.loops.first().copied().unwrap_or(1);
    let rest: usize = step.loops.iter().skip(1).product();
    let run = |outer: usize| {
        let mut place = [0usize; MOST];
        for flat in 0..rest {
            places(
                outer * rest + flat,
                &step.loops,
                &mut place[..step.loops.len()],
            );
            let offset = |arg: &Arg| {
                place
                    .iter()
                    .zip(&arg.strides)
                    .map(|(p, s)| *p as isize * s)
                    .sum::<isize>()
            };
            let at = place[places_loop] as i64 * s.stride
                + place[taps_loop] as i64 * s.dilation
                + s.offset;
            let inside = at.rem_euclid(s.divide) == 0
                && (0..s.source as i64).contains(&at.div_euclid(s.divide));
            let to = (out as *mut u8).wrapping_offset(offset(&step.out) * size as isize);
            let from = offset(&step.source) + at.div_euclid(s.divide) as isize * step.stride;
            // SAFETY: inside both buffers by the check and the step's loops.
            unsafe {
                if inside {
                    std::ptr::copy_nonoverlapping(
                        (source as *const u8).wrapping_offset(from * size as isize),
                        to,
                        size,
                    );
                } else {
                    std::ptr::copy_nonoverlapping(step.fill.to_le_bytes().as_ptr(), to, size);
                }
            }
        }
    };
    pool.run(first, &run);
}
