//! Bands: neighbouring steps that run slice by slice, all of them on one slice before the next.
//!
//! A slice is some rows of the batch, so small that what one step writes is still in the cache when the next reads it. Values
//! that nobody outside the band needs have no memory of their own but a slice's worth for each thread: the scores of
//! attention, say, or what a convolution gives before bias and activation, never exist as a whole. Threads take slices apart
//! from each other and meet at the band's end alone.
//!
//! Nothing here can be seen in the bits: each step does what it would do, on the same operands. Steps that cannot be cut
//! (products of rows, sums over the batch, gradients of weights) wait until the band's end, or run before it if they read
//! nothing of it.

use crate::memory::{self, Life, Places};
use crate::schedule::{Home, Schedule, Step};
use crate::slices::Sliced;
use crate::view::BufferId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Bytes of a slice's own values that a core keeps close.
const CLOSE: usize = 640 << 10;
/// Slices at most: more save nothing and cost calls.
const MOST_SLICES: usize = 64;
/// Bytes of operands that waiting steps may keep alive, from the most to the least that is tried.
const PATIENCE: [usize; 5] = [usize::MAX, 32 << 20, 8 << 20, 2 << 20, 0];

/// When steps become bands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slicing {
    /// Threads that share the slices.
    pub threads: usize,
    /// Bytes that a band must keep out of memory to pay.
    pub least: usize,
}

impl Slicing {
    /// Bands where they pay.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            least: 2 << 20,
        }
    }

    /// Bands wherever they can be, for tests.
    pub fn wherever(threads: usize) -> Self {
        Self { threads, least: 1 }
    }

    /// No bands at all.
    pub fn never() -> Self {
        Self {
            threads: usize::MAX,
            least: usize::MAX,
        }
    }

    /// Into how many slices a batch may be cut.
    fn counts(&self, batch: usize) -> impl Iterator<Item = usize> {
        let threads = self.threads;
        let even = move |n: &usize| n.is_multiple_of(threads) || *n / 4 >= threads;
        (2..=batch.min(MOST_SLICES))
            .filter(move |n| batch.is_multiple_of(*n))
            .filter(even)
    }
}

/// Some steps of a schedule that run slice by slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Band {
    /// The steps.
    pub steps: Range<usize>,
    /// Number of slices. Each step divides into as many parts, and reads of what the band writes only the slice's chunk.
    pub slices: usize,
    /// Buffers that have no place in the arena, and where a slice's chunk of each lies in a thread's own memory, in bytes.
    pub own: Vec<(BufferId, usize)>,
    /// Bytes of a thread's own memory.
    pub bytes: usize,
    /// Buffers of which every slice touches its own chunk alone.
    pub(crate) apart: BTreeSet<BufferId>,
}

impl Schedule {
    /// Puts steps together that can run slice by slice over a batch of `batch` rows, in another order where that helps. The
    /// schedule takes no more memory than before.
    pub fn into_bands(self, batch: usize, slicing: &Slicing) -> (Self, Vec<Band>) {
        let sooner = self.sooner();
        let Some(count) = best_count(&sooner, batch, slicing) else {
            return (self, Vec::new());
        };
        let sliced = Steps::new(&sooner, count);
        for patience in PATIENCE {
            let pieces = Sorting::new(&sliced, slicing, patience).run();
            if let Some(found) = build(&sooner, &sliced, &pieces, slicing) {
                return found;
            }
        }
        (self, Vec::new())
    }
}

/// The number of slices that keeps the most bytes out of memory; of equals the smallest.
fn best_count(schedule: &Schedule, batch: usize, slicing: &Slicing) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for count in slicing.counts(batch) {
        let steps = Steps::new(schedule, count);
        let pieces = Sorting::new(&steps, slicing, PATIENCE[1]).run();
        let kept = pieces.iter().map(|piece| match piece {
            Piece::Step(_) => 0,
            Piece::Band(members) => steps.own_bytes(members),
        });
        let kept = kept.sum();
        if kept > 0 && best.is_none_or(|(most, _)| kept > most) {
            best = Some((kept, count));
        }
    }
    best.map(|(_, count)| count)
}

/// The steps before the commit, cut into a number of slices.
struct Steps<'a> {
    schedule: &'a Schedule,
    slices: usize,
    /// How each step may be cut, and which of its operands keep to the slice's chunk.
    cuts: Vec<Option<(Sliced, Vec<bool>)>>,
    reads: Vec<BTreeSet<BufferId>>,
    writes: Vec<BTreeSet<BufferId>>,
    /// The steps that touch each buffer of the arena; what is handed back or looked at has a user behind all steps.
    users: BTreeMap<BufferId, Vec<usize>>,
}

impl<'a> Steps<'a> {
    fn new(schedule: &'a Schedule, slices: usize) -> Self {
        let steps = &schedule.steps[..schedule.commit];
        let cut = |step: &Step| {
            let sliced = Sliced::of(schedule, step)?;
            let apart = sliced.keeps_apart(schedule, slices)?;
            Some((sliced, apart))
        };
        let touched = |step: &Step| {
            let (reads, writes) = schedule.touched(step);
            (reads.into_iter().collect(), writes.into_iter().collect())
        };
        let (reads, writes) = steps.iter().map(touched).unzip();
        Self {
            schedule,
            slices,
            cuts: steps.iter().map(cut).collect(),
            reads,
            writes,
            users: users(schedule),
        }
    }

    fn bytes(&self, buffer: BufferId) -> usize {
        let buffer = &self.schedule.buffers[buffer.index()];
        buffer.elements * buffer.dtype.bytes()
    }

    /// Buffers that these steps alone touch, and the first and last of the steps that does.
    fn own(&self, members: &[usize]) -> BTreeMap<BufferId, (usize, usize)> {
        let mut own: BTreeMap<BufferId, (usize, usize)> = BTreeMap::new();
        for (place, &step) in members.iter().enumerate() {
            for buffer in self.reads[step].iter().chain(&self.writes[step]) {
                let is_member = |user: &usize| members.binary_search(user).is_ok();
                if let Some(life) = own.get_mut(buffer) {
                    life.1 = place;
                } else if self
                    .users
                    .get(buffer)
                    .is_some_and(|u| u.iter().all(is_member))
                {
                    own.insert(*buffer, (place, place));
                }
            }
        }
        own
    }

    /// Bytes of all slices that never reach memory.
    fn own_bytes(&self, members: &[usize]) -> usize {
        self.own(members)
            .keys()
            .map(|buffer| self.bytes(*buffer))
            .sum()
    }

    /// Buffers of which every slice of these steps touches its own chunk alone.
    fn apart(&self, members: &[usize]) -> BTreeSet<BufferId> {
        let mut all: BTreeMap<BufferId, bool> = BTreeMap::new();
        for (sliced, apart) in members.iter().filter_map(|&step| self.cuts[step].as_ref()) {
            for (access, apart) in sliced.accesses.iter().zip(apart) {
                *all.entry(access.buffer).or_insert(true) &= apart;
            }
        }
        let apart = all.into_iter().filter(|(_, apart)| *apart);
        apart.map(|(buffer, _)| buffer).collect()
    }
}

/// The steps that touch each buffer of the arena, in order; what is handed back or looked at has a user behind all steps.
pub(crate) fn users(schedule: &Schedule) -> BTreeMap<BufferId, Vec<usize>> {
    let mut users: BTreeMap<BufferId, Vec<usize>> = BTreeMap::new();
    let mut add = |buffer: BufferId, at: usize| {
        if matches!(schedule.buffers[buffer.index()].home, Home::Arena(_)) {
            users.entry(buffer).or_default().push(at);
        }
    };
    for (at, step) in schedule.steps.iter().enumerate() {
        let (reads, writes) = step.buffers();
        reads.into_iter().chain(writes).for_each(|b| add(b, at));
    }
    let end = schedule.steps.len();
    schedule
        .guards
        .iter()
        .for_each(|view| add(view.buffer, end));
    let results = schedule.results.iter();
    results.for_each(|output| add(output.view.buffer, end));
    users
}

/// What a schedule is put together from again.
enum Piece {
    Step(usize),
    Band(Vec<usize>),
}

/// How a band uses a buffer.
#[derive(Clone, Copy)]
struct Use {
    is_written: bool,
    is_apart: bool,
}

/// Sorts steps into bands, those that go before and those that wait.
struct Sorting<'a> {
    steps: &'a Steps<'a>,
    slicing: &'a Slicing,
    patience: usize,
    pieces: Vec<Piece>,
    before: Vec<usize>,
    band: Vec<usize>,
    uses: BTreeMap<BufferId, Use>,
    late: Vec<usize>,
    late_reads: BTreeSet<BufferId>,
    late_writes: BTreeSet<BufferId>,
}

impl<'a> Sorting<'a> {
    fn new(steps: &'a Steps<'a>, slicing: &'a Slicing, patience: usize) -> Self {
        Self {
            steps,
            slicing,
            patience,
            pieces: Vec::new(),
            before: Vec::new(),
            band: Vec::new(),
            uses: BTreeMap::new(),
            late: Vec::new(),
            late_reads: BTreeSet::new(),
            late_writes: BTreeSet::new(),
        }
    }

    fn run(mut self) -> Vec<Piece> {
        for step in 0..self.steps.reads.len() {
            if self.joins(step) {
                self.join(step);
            } else if self.is_cut(step) {
                self.flush();
                self.join(step);
            } else if self.is_apart(step) {
                self.before.push(step);
            } else if self.waits(step) {
                self.late.push(step);
                self.late_reads.extend(&self.steps.reads[step]);
                self.late_writes.extend(&self.steps.writes[step]);
            } else {
                self.flush();
                self.pieces.push(Piece::Step(step));
            }
        }
        self.flush();
        self.pieces
    }

    /// Whether a step can be cut so that slices write apart.
    fn is_cut(&self, step: usize) -> bool {
        self.steps.cuts[step]
            .as_ref()
            .is_some_and(|(sliced, apart)| {
                let mut operands = sliced.accesses.iter().zip(apart);
                operands.all(|(access, apart)| *apart || !access.writes)
            })
    }

    fn joins(&self, step: usize) -> bool {
        let Some((sliced, apart)) = &self.steps.cuts[step] else {
            return false;
        };
        let is_after = !self.steps.reads[step].is_disjoint(&self.late_writes)
            || !self.steps.writes[step].is_disjoint(&self.late_writes)
            || !self.steps.writes[step].is_disjoint(&self.late_reads);
        let fits = |(access, apart): (&crate::slices::Access, &bool)| {
            let before = self.uses.get(&access.buffer).copied().unwrap_or(Use {
                is_written: false,
                is_apart: true,
            });
            let is_written = before.is_written || self.steps.writes[step].contains(&access.buffer);
            !is_written || (before.is_apart && *apart)
        };
        self.is_cut(step) && !is_after && sliced.accesses.iter().zip(apart).all(fits)
    }

    fn join(&mut self, step: usize) {
        self.band.push(step);
        let Some((sliced, apart)) = &self.steps.cuts[step] else {
            return;
        };
        for (access, apart) in sliced.accesses.iter().zip(apart) {
            let uses = self.uses.entry(access.buffer).or_insert(Use {
                is_written: false,
                is_apart: true,
            });
            uses.is_written |= access.writes;
            uses.is_apart &= apart;
        }
    }

    /// Whether a step has nothing to do with the band, nor with what waits for its end.
    fn is_apart(&self, step: usize) -> bool {
        let (reads, writes) = (&self.steps.reads[step], &self.steps.writes[step]);
        let of_band = |buffer: &BufferId| self.uses.contains_key(buffer);
        let written = |buffer: &BufferId| {
            self.uses.get(buffer).is_some_and(|u| u.is_written) || self.late_writes.contains(buffer)
        };
        !reads.iter().any(written)
            && !writes.iter().any(of_band)
            && writes.is_disjoint(&self.late_writes)
            && writes.is_disjoint(&self.late_reads)
    }

    /// Whether a step may wait for the band's end without keeping too much alive.
    fn waits(&self, step: usize) -> bool {
        if self.band.is_empty() {
            return false;
        }
        let mut kept: BTreeSet<BufferId> = self.late_reads.clone();
        kept.extend(&self.steps.reads[step]);
        let of_band = |buffer: &&BufferId| self.uses.get(buffer).is_some_and(|u| u.is_written);
        let bytes = kept.iter().filter(of_band).map(|b| self.steps.bytes(*b));
        bytes.sum::<usize>() <= self.patience
    }

    fn flush(&mut self) {
        let before = std::mem::take(&mut self.before);
        self.pieces.extend(before.into_iter().map(Piece::Step));
        let band = std::mem::take(&mut self.band);
        let is_close = || own_places(self.steps, &band).1 <= CLOSE;
        if self.steps.own_bytes(&band) >= self.slicing.least && is_close() {
            self.pieces.push(Piece::Band(band));
        } else {
            self.pieces.extend(band.into_iter().map(Piece::Step));
        }
        let late = std::mem::take(&mut self.late);
        self.pieces.extend(late.into_iter().map(Piece::Step));
        self.uses.clear();
        self.late_reads.clear();
        self.late_writes.clear();
    }
}

/// The schedule in its new order, if it takes no more memory; `None` without a band, too.
fn build(
    schedule: &Schedule,
    steps: &Steps<'_>,
    pieces: &[Piece],
    slicing: &Slicing,
) -> Option<(Schedule, Vec<Band>)> {
    let mut order = Vec::with_capacity(schedule.steps.len());
    let mut bands = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Step(step) => order.push(*step),
            Piece::Band(members) => {
                let start = order.len();
                order.extend(members);
                let (own, bytes) = own_places(steps, members);
                bands.push(Band {
                    steps: start..order.len(),
                    slices: steps.slices,
                    own,
                    bytes,
                    apart: steps.apart(members),
                });
            }
        }
    }
    order.extend(schedule.commit..schedule.steps.len());
    let mut sorted = Schedule {
        steps: order.iter().map(|&at| schedule.steps[at].clone()).collect(),
        ..schedule.clone()
    };
    memory::place(&mut sorted, &bands);
    let most = bands.iter().map(|band| band.bytes).max()?;
    let bytes = sorted.arena + most * slicing.threads;
    (bytes <= schedule.arena).then_some((sorted, bands))
}

/// Where a slice's chunks of the band's own buffers lie, and the bytes of all together.
fn own_places(steps: &Steps<'_>, members: &[usize]) -> (Vec<(BufferId, usize)>, usize) {
    let mut order: Vec<_> = steps.own(members).into_iter().collect();
    order.sort_by_key(|(_, (first, _))| *first);
    let mut places = Places::default();
    let mut place = |(buffer, life): (BufferId, (usize, usize))| {
        let chunk = steps.bytes(buffer) / steps.slices;
        (buffer, places.find(Life::plain(life.0, life.1), chunk))
    };
    let own = order.into_iter().map(&mut place).collect();
    (own, places.top)
}
