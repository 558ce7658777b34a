//! Operands of products as floats: where they lie, or widened from bf16 into scratch memory.
#![expect(
    unsafe_code,
    reason = "buffers are addressed by pointer; the schedule keeps every step inside them"
)]

use crate::launch::{Memory, SERIAL};
use crate::memory::{Scratch, scratch};
use crate::pool::Pool;
use mmh_lower::view::BufferId;
use std::ops::Deref;

/// Elements of an operand.
pub(crate) enum Floats<'m> {
    /// Stored as f32.
    There(&'m [f32]),
    /// Stored as bf16: so many elements of scratch.
    Widened(Scratch, usize),
}

impl Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::There(elements) => elements,
            Self::Widened(elements, length) => &elements[..*length],
        }
    }
}

/// Where threads write disjoint parts.
struct Target(*mut f32);

// SAFETY: every task writes its own elements.
unsafe impl Sync for Target {}

impl Target {
    fn at(&self, place: usize) -> *mut f32 {
        self.0.wrapping_add(place)
    }
}

/// The elements of a buffer from `offset` on, `reach` at most. What is stored as bf16 is widened, on all threads where that pays.
pub(crate) fn read<'m>(
    pool: &Pool,
    memory: &'m Memory,
    buffer: BufferId,
    offset: usize,
    reach: usize,
) -> Floats<'m> {
    let at = buffer.index();
    let length = memory.elements[at].saturating_sub(offset).min(reach);
    let base = memory.base[at].wrapping_add(offset * memory.bytes[at]);
    if memory.bytes[at] != 2 {
        // SAFETY: the buffer holds that many f32 elements, or a chunk of it does that the operand keeps to; no step writes
        // what it reads.
        return Floats::There(unsafe { std::slice::from_raw_parts(base.cast::<f32>(), length) });
    }
    // SAFETY: as above, of elements of two bytes.
    let halves = unsafe { std::slice::from_raw_parts(base.cast::<u16>(), length) };
    let mut wide = scratch(length);
    let target = Target(wide.as_mut_ptr());
    let tasks = if length < SERIAL { 1 } else { pool.threads() };
    let share = length.div_ceil(tasks).next_multiple_of(16);
    let run = |task: usize| {
        let part = (task * share).min(length)..((task + 1) * share).min(length);
        // SAFETY: the scratch memory holds `length` floats, and this task alone writes these.
        let to = unsafe { std::slice::from_raw_parts_mut(target.at(part.start), part.len()) };
        widen(&halves[part], to);
    };
    if tasks == 1 {
        run(0);
    } else {
        pool.run(tasks, &run);
    }
    Floats::Widened(wide, length)
}

fn widen(halves: &[u16], to: &mut [f32]) {
    for (to, half) in to.iter_mut().zip(halves) {
        *to = f32::from_bits(u32::from(*half) << 16);
    }
}
