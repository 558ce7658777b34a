//! How a step divides into slices: equal parts of its outer loops, which write apart from each other.

use crate::schedule::{Arg, ContractStep, Schedule, Step};
use crate::view::BufferId;
use std::ops::Range;

/// One of some equal parts of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its number, from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl Part {
    /// All of a step.
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    /// Whether it is all of the step.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// Its share of `count` places, which the number of parts divides.
    pub fn range(self, count: usize) -> Range<usize> {
        self.number * count / self.of..(self.number + 1) * count / self.of
    }
}

impl ContractStep {
    /// The products of one part of the batch.
    pub fn part(&self, part: Part) -> Self {
        let mut step = self.clone();
        let Some(cut) = Cut::new(&self.batch, part.of) else {
            return step;
        };
        let starts = cut.starts(part.number);
        for arg in [&mut step.a, &mut step.b, &mut step.c] {
            let places = starts.iter().zip(&arg.strides);
            arg.offset += places
                .map(|(place, stride)| place * stride.unsigned_abs())
                .sum::<usize>();
        }
        step.batch = cut.extents;
        step
    }
}

/// A nest of loops cut into equal slices: each has these extents of the loops.
struct Cut {
    extents: Vec<usize>,
    /// How many slices lie along each loop.
    counts: Vec<usize>,
}

impl Cut {
    /// Outer loops are cut through before inner ones are cut; `None` if the sizes do not divide.
    fn new(loops: &[usize], slices: usize) -> Option<Self> {
        let mut left = slices;
        let mut counts = Vec::with_capacity(loops.len());
        for &size in loops {
            let count = if left.is_multiple_of(size.max(1)) {
                size.max(1)
            } else if size.is_multiple_of(left) {
                left
            } else {
                return None;
            };
            left /= count;
            counts.push(count);
        }
        (left == 1).then(|| Self {
            extents: loops.iter().zip(&counts).map(|(l, c)| l / c).collect(),
            counts,
        })
    }

    /// The first place of a slice along each loop.
    fn starts(&self, mut slice: usize) -> Vec<usize> {
        let mut starts = vec![0; self.counts.len()];
        let loops = self.counts.iter().zip(&self.extents);
        for (start, (count, extent)) in starts.iter_mut().zip(loops).rev() {
            *start = slice % count * extent;
            slice /= count;
        }
        starts
    }
}

/// An operand as slices see it.
pub(crate) struct Access {
    pub(crate) buffer: BufferId,
    pub(crate) writes: bool,
    offset: isize,
    /// Strides of the loops that may be cut.
    outer: Vec<isize>,
    /// Size and stride of every other loop.
    inner: Vec<(usize, isize)>,
}

impl Access {
    /// `at`: the operand's strides that belong to the loops that may be cut; `inner`: the sizes of the other loops and which
    /// of its strides they have.
    fn new(arg: &Arg, writes: bool, at: &[usize], inner: &[(usize, usize)]) -> Self {
        Self {
            buffer: arg.buffer,
            writes,
            offset: arg.offset as isize,
            outer: at.iter().map(|&i| arg.strides[i]).collect(),
            inner: inner.iter().map(|&(n, i)| (n, arg.strides[i])).collect(),
        }
    }

    /// A buffer in equal stretches, one for each place of the only loop.
    fn dense(buffer: BufferId, writes: bool, elements: usize, places: usize) -> Self {
        let each = elements / places.max(1);
        Self {
            buffer,
            writes,
            offset: 0,
            outer: vec![each as isize],
            inner: vec![(each, 1)],
        }
    }

    /// A buffer that every slice may read anywhere.
    fn anywhere(buffer: BufferId, elements: usize, loops: usize) -> Self {
        Self {
            buffer,
            writes: false,
            offset: 0,
            outer: vec![0; loops],
            inner: vec![(elements, 1)],
        }
    }

    /// First and last element that a slice touches.
    fn reach(&self, cut: &Cut, starts: &[usize]) -> (isize, isize) {
        let at = starts.iter().zip(&self.outer).map(|(p, s)| *p as isize * s);
        let first = self.offset + at.sum::<isize>();
        let outer = cut.extents.iter().copied().zip(self.outer.iter().copied());
        let spans = outer.chain(self.inner.iter().copied());
        spans.fold((first, first), |(low, high), (size, stride)| {
            let span = size.saturating_sub(1) as isize * stride;
            (low + span.min(0), high + span.max(0))
        })
    }
}

/// A step as slices see it.
pub(crate) struct Sliced {
    loops: Vec<usize>,
    pub(crate) accesses: Vec<Access>,
}

impl Sliced {
    /// How `step` may be cut; `None` if it may not.
    pub(crate) fn of(schedule: &Schedule, step: &Step) -> Option<Self> {
        let elements = |buffer: BufferId| schedule.buffers[buffer.index()].elements;
        let (loops, accesses) = match step {
            Step::Map(s) => {
                let loads = schedule.kernels[s.kernel.0 as usize].loads.len();
                let last = s.loops.len() - 1;
                // Rows, or the columns of a single one.
                let (at, inner): (Vec<usize>, Vec<(usize, usize)>) =
                    if s.loops[..last].iter().product::<usize>() > 1 {
                        ((0..last).collect(), vec![(s.loops[last], last)])
                    } else {
                        (vec![last], vec![])
                    };
                let args = s.args.iter().enumerate();
                let accesses = args.map(|(n, arg)| Access::new(arg, n >= loads, &at, &inner));
                let loops = at.iter().map(|&i| s.loops[i]).collect();
                (loops, accesses.collect())
            }
            Step::Reduce(s) if s.loops.last().is_some_and(|l| l.reduced) => {
                let pick = |reduced: bool| {
                    let all = 0..s.loops.len();
                    all.filter(move |&i| s.loops[i].reduced == reduced)
                };
                let at: Vec<usize> = pick(false).collect();
                let inner: Vec<_> = pick(true).map(|i| (s.loops[i].size, i)).collect();
                let access = |arg, writes| Access::new(arg, writes, &at, &inner);
                let loads = s.loads.iter().map(|arg| access(arg, false));
                let results = s.results.iter().map(|arg| access(arg, true));
                let loops = at.iter().map(|&i| s.loops[i].size).collect();
                (loops, loads.chain(results).collect())
            }
            // The rows of a product are not cut: every slice would copy the right operand again.
            Step::Contract(s) if s.batch.iter().product::<usize>() > 1 => {
                let ([m, n, k], depth) = (s.size, s.batch.len());
                let at: Vec<usize> = (0..depth).collect();
                let access = |arg, writes, rows, columns| {
                    Access::new(arg, writes, &at, &[(rows, depth), (columns, depth + 1)])
                };
                let accesses = vec![
                    access(&s.a, false, m, k),
                    access(&s.b, false, k, n),
                    access(&s.c, true, m, n),
                ];
                (s.batch.clone(), accesses)
            }
            Step::Conv(s) => {
                let taps = s.spatial[0].taps * s.spatial[1].taps;
                let dense =
                    |buffer, writes| Access::dense(buffer, writes, elements(buffer), s.batch);
                let weights = Access {
                    outer: vec![0],
                    ..Access::new(
                        &s.w,
                        false,
                        &[],
                        &[(taps, 0), (s.channels[0], 1), (s.channels[1], 2)],
                    )
                };
                let accesses = vec![dense(s.x, false), weights, dense(s.y, true)];
                (vec![s.batch], accesses)
            }
            Step::Gather(s) => {
                let last = s.loops.len() - 1;
                let (at, inner): (Vec<usize>, Vec<(usize, usize)>) = if s.copies_rows() {
                    ((0..last).collect(), vec![(s.loops[last], last)])
                } else {
                    ((0..=last).collect(), vec![])
                };
                let table = s.table.buffer;
                let accesses = vec![
                    Access::anywhere(table, elements(table), at.len()),
                    Access::new(&s.index, false, &at, &inner),
                    Access::new(&s.out, true, &at, &inner),
                ];
                (at.iter().map(|&i| s.loops[i]).collect(), accesses)
            }
            Step::Contract(_)
            | Step::Reduce(_)
            | Step::ArgMax(_)
            | Step::ConvWeight(_)
            | Step::Scatter(_)
            | Step::Random(_)
            | Step::Sample(_)
            | Step::Window(_) => return None,
        };
        Some(Self { loops, accesses })
    }

    /// For each operand, whether every slice keeps to its own chunk of the buffer; `None` if the step does not divide.
    pub(crate) fn keeps_apart(&self, schedule: &Schedule, slices: usize) -> Option<Vec<bool>> {
        let cut = Cut::new(&self.loops, slices)?;
        let mut apart: Vec<bool> = self
            .accesses
            .iter()
            .map(|a| {
                schedule.buffers[a.buffer.index()]
                    .elements
                    .is_multiple_of(slices)
            })
            .collect();
        for slice in 0..slices {
            let starts = cut.starts(slice);
            for (access, apart) in self.accesses.iter().zip(&mut apart) {
                let chunk = (schedule.buffers[access.buffer.index()].elements / slices) as isize;
                let (low, high) = access.reach(&cut, &starts);
                let (from, to) = (slice as isize * chunk, (slice as isize + 1) * chunk);
                *apart &= from <= low && high < to;
            }
        }
        Some(apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_every_place_once() {
        for (loops, slices) in [
            (vec![16, 4], 8),
            (vec![16, 4], 16),
            (vec![16, 4], 32),
            (vec![2, 3, 8], 12),
            (vec![6], 3),
            (vec![1, 6], 2),
        ] {
            let cut = Cut::new(&loops, slices).expect("it divides");
            let flat = |places: &[usize]| {
                places
                    .iter()
                    .zip(&loops)
                    .fold(0, |flat, (place, size)| flat * size + place)
            };
            let total: usize = loops.iter().product();
            for slice in 0..slices {
                let range = Part {
                    number: slice,
                    of: slices,
                }
                .range(total);
                assert_eq!(flat(&cut.starts(slice)), range.start);
                assert_eq!(cut.extents.iter().product::<usize>(), range.len());
            }
        }
        assert!(Cut::new(&[6, 4], 4).is_none());
        assert!(Cut::new(&[3], 6).is_none());
    }
}
