//! Products whose results are single numbers, many of them: each a chain of fused multiply-adds over its own operands.
//!
//! The tiles of [`crate::contract`] live on results that share operands; here none do, so eight chains run side by side
//! to hide the latency of one.
#![expect(
    unsafe_code,
    reason = "operands are addressed by pointer; the schedule keeps every step inside its buffers"
)]

use crate::contract::K_BLOCK;
use crate::isa::Isa;
use crate::launch::{MOST, Memory, SERIAL, places};
use crate::pool::Pool;
use crate::steps::reach;
use crate::widen::read;
use mmh_lower::Part;
use mmh_lower::schedule::{Arg, ContractStep};

/// Chains side by side.
const CHAINS: usize = 8;

/// Whether this is the way to carry out a step: one number a product, of one block of contracted indices.
pub(crate) fn are_dots(step: &ContractStep) -> bool {
    let [m, n, k] = step.size;
    m == 1 && n == 1 && k <= K_BLOCK && step.batch.len() <= MOST
}

/// Operands of a step in memory.
struct Dots<'a> {
    step: &'a ContractStep,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    /// Elements between neighbours along the contracted index.
    along: [isize; 2],
}

// SAFETY: the operands are only read, and every task writes other results.
unsafe impl Sync for Dots<'_> {}

/// Computes a part of the results.
pub(crate) fn dots(pool: &Pool, isa: Isa, memory: &Memory, step: &ContractStep, part: Part) {
    let depth = step.batch.len();
    // Chains without work of their own stand at the first operands, and of a slice nothing else is there.
    let cut = (!part.is_whole()).then(|| step.part(part));
    let step = cut.as_ref().unwrap_or(step);
    let of = |arg: &Arg, last: [usize; 2]| {
        let sizes = step.batch.iter().copied().chain(last);
        let reach = reach(sizes, &arg.strides);
        read(pool, memory, arg.buffer, arg.offset, reach)
    };
    let length = step.size[2];
    let (a, b) = (of(&step.a, [1, length]), of(&step.b, [length, 1]));
    let dots = Dots {
        step,
        a: a.as_ptr(),
        b: b.as_ptr(),
        c: memory.at(&step.c).cast(),
        along: [step.a.strides[depth + 1], step.b.strides[depth]],
    };
    let count: usize = step.batch.iter().product();
    let tasks = if count * step.size[2] < SERIAL {
        1
    } else {
        pool.threads()
    };
    let share = count.div_ceil(tasks).next_multiple_of(CHAINS);
    let run = |task: usize| {
        let bound = |task: usize| (task * share).min(count);
        let part = bound(task)..bound(task + 1);
        // SAFETY: the schedule's loops stay inside the buffers; the instruction set is admitted.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 | Isa::Avx512 => dots.part_fma(part),
                _ => dots.part(part),
            }
        }
    };
    if tasks == 1 {
        run(0)
    } else {
        pool.run(tasks, &run)
    }
}

impl Dots<'_> {
    /// The same code, compiled with a fused multiply-add of the processor's own.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn part_fma(&self, part: std::ops::Range<usize>) {
        // SAFETY: as the caller vouches.
        unsafe { self.part(part) }
    }

    #[inline(always)]
    unsafe fn part(&self, part: std::ops::Range<usize>) {
        let depth = self.step.batch.len();
        let mut at = part.start;
        while at < part.end {
            let count = CHAINS.min(part.end - at);
            let (mut a, mut b) = ([self.a; CHAINS], [self.b; CHAINS]);
            let mut c = [self.c; CHAINS];
            for chain in 0..count {
                let mut place = [0usize; MOST];
                places(at + chain, &self.step.batch, &mut place[..depth]);
                let offset = |arg: &Arg| -> isize {
                    let pairs = place[..depth].iter().zip(&arg.strides);
                    pairs.map(|(p, s)| *p as isize * s).sum()
                };
                a[chain] = a[chain].wrapping_offset(offset(&self.step.a));
                b[chain] = b[chain].wrapping_offset(offset(&self.step.b));
                c[chain] = c[chain].wrapping_offset(offset(&self.step.c));
            }
            // SAFETY: operands of places inside the step's loops; chains beyond `count` stand at its first place.
            unsafe {
                let sums = self.chains(&a, &b);
                for (to, sum) in c.iter().zip(sums).take(count) {
                    to.write(sum + 0.0);
                }
            }
            at += count;
        }
    }

    #[inline(always)]
    unsafe fn chains(&self, a: &[*const f32; CHAINS], b: &[*const f32; CHAINS]) -> [f32; CHAINS] {
        let mut sums = [0f32; CHAINS];
        for k in 0..self.step.size[2] as isize {
            for (chain, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller vouches for both operands along the whole contracted index.
                let (x, y) = unsafe {
                    (
                        a[chain].wrapping_offset(k * self.along[0]).read(),
                        b[chain].wrapping_offset(k * self.along[1]).read(),
                    )
                };
                *sum = x.mul_add(y, *sum);
            }
        }
        sums
    }
}
