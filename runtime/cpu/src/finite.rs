//! Looks through guards for NaN and infinities.
#![expect(
    unsafe_code,
    reason = "guards are buffers, addressed by pointer inside what the schedule says they hold"
)]

use crate::isa::Isa;
use crate::launch::{Memory, SERIAL};
use crate::pool::Pool;
use mmh_lower::View;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All bits of a float but its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;
/// The magnitude of infinity; those of NaN are larger.
const INFINITE: i32 = 0x7f80_0000;

/// The first guard that holds a NaN or infinity. Large ones are looked through by all threads, each where it wrote.
pub(crate) fn first_not_finite(
    pool: &Pool,
    isa: Isa,
    memory: &Memory,
    guards: &[View],
) -> Option<usize> {
    let first = AtomicUsize::new(usize::MAX);
    let large = |view: &View| view.elements() >= SERIAL;
    let tasks = if guards.iter().any(large) {
        pool.threads()
    } else {
        1
    };
    pool.run(tasks, &|task| {
        for (guard, view) in guards.iter().enumerate() {
            let part = if large(view) {
                let share = view.elements().div_ceil(tasks).next_multiple_of(16);
                task * share..(task + 1) * share
            } else {
                0..if task == 0 { view.elements() } else { 0 }
            };
            if !is_finite(isa, memory, view, part) {
                first.fetch_min(guard, Ordering::Relaxed);
            }
        }
    });
    Some(first.into_inner()).filter(|&guard| guard != usize::MAX)
}

/// Whether the elements of `part`, counted through the view, are finite.
fn is_finite(isa: Isa, memory: &Memory, view: &View, part: Range<usize>) -> bool {
    let base = memory.base[view.buffer.index()].cast::<f32>();
    let elements = memory.elements[view.buffer.index()];
    if view.elements() == elements && view.offset == 0 {
        // SAFETY: the whole buffer, of f32 elements.
        let all = unsafe { std::slice::from_raw_parts(base, elements) };
        let part = part.start.min(elements)..part.end.min(elements);
        return all[part].chunks(4096).all(|c| are_finite(isa, c));
    }
    let (mut finite, mut number) = (true, 0);
    walk(view, |at| {
        if part.contains(&number) {
            // SAFETY: a view addresses elements of its buffer only.
            finite &=
                unsafe { base.wrapping_add(view.offset).wrapping_offset(at).read() }.is_finite();
        }
        number += 1;
    });
    finite
}

fn are_finite(isa: Isa, values: &[f32]) -> bool {
    match isa {
        // SAFETY: the instruction set is admitted, and AVX-512 has AVX2.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => unsafe { are_finite_avx2(values) },
        _ => are_finite_by_magnitude(values),
    }
}

/// The same code, compiled with a maximum of the processor's own.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn are_finite_avx2(values: &[f32]) -> bool {
    are_finite_by_magnitude(values)
}

#[inline(always)]
fn are_finite_by_magnitude(values: &[f32]) -> bool {
    let magnitude = |x: &f32| (x.to_bits() & MAGNITUDE).cast_signed();
    values.iter().map(magnitude).fold(0, i32::max) < INFINITE
}

/// Calls `each` with the element offset of every element of a view, in logical order.
pub(crate) fn walk(view: &View, mut each: impl FnMut(isize)) {
    let mut place = vec![0usize; view.lanes.len()];
    for _ in 0..view.elements() {
        each(
            place
                .iter()
                .zip(&view.lanes)
                .map(|(p, l)| *p as isize * l.stride)
                .sum(),
        );
        for (at, lane) in view.lanes.iter().enumerate().rev() {
            place[at] += 1;
            if place[at] < lane.size {
                break;
            }
            place[at] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_found_wherever_it_stands() {
        let isas = Isa::ALL
            .into_iter()
            .filter(|isa| crate::isa::admit(*isa).is_ok());
        for isa in isas {
            let mut values = vec![-f32::MAX; 100];
            values[7] = -0.0;
            values[8] = f32::from_bits(1);
            assert!(are_finite(isa, &values));
            for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
                for place in [0, 31, 64, 99] {
                    let mut values = values.clone();
                    values[place] = bad;
                    assert!(!are_finite(isa, &values), "{bad} at {place}, {isa}");
                }
            }
        }
    }
}
