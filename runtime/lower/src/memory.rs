//! Places for buffers in one arena, reused as soon as nobody reads them any more.

use crate::bands::Band;
use crate::schedule::{Home, Schedule};
use crate::view::BufferId;

const ALIGNMENT: usize = 64;

/// When a buffer is used: first and last step; and what that comes to where steps run slice by slice.
#[derive(Clone, Copy, Default)]
pub(crate) struct Life {
    first: usize,
    last: usize,
    /// The same, to the ends of bands.
    from: usize,
    to: usize,
    /// Whether slices keep to their own chunks in the band of the first and of the last step.
    is_apart: [bool; 2],
}

impl Life {
    /// Steps that run whole.
    pub(crate) fn plain(first: usize, last: usize) -> Self {
        Self {
            first,
            last,
            from: first,
            to: last,
            is_apart: [false; 2],
        }
    }

    fn meets(&self, other: &Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// Whether `next` may overlay this buffer though one band has both: slices are done with their chunks of this one before
    /// they begin with those of the other.
    fn makes_room_for(&self, next: &Self) -> bool {
        self.last < next.first && self.is_apart[1] && next.is_apart[0]
    }
}

/// A place that was given away.
struct Taken {
    life: Life,
    at: usize,
    bytes: usize,
}

/// All places that were given away.
#[derive(Default)]
pub(crate) struct Places {
    taken: Vec<Taken>,
    /// Bytes of all.
    pub(crate) top: usize,
}

impl Places {
    /// The first place of `bytes` bytes that nobody else uses meanwhile.
    pub(crate) fn find(&mut self, life: Life, bytes: usize) -> usize {
        let bytes = bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let meanwhile = |taken: &&Taken| taken.life.meets(&life);
        // Chunks lie alike only in buffers of one size at one place.
        let overlays = |taken: &Taken| {
            let in_turn = taken.life.makes_room_for(&life) || life.makes_room_for(&taken.life);
            taken.bytes == bytes && in_turn
        };
        let met: Vec<&Taken> = self.taken.iter().filter(meanwhile).collect();
        let mut starts: Vec<usize> = vec![0];
        starts.extend(met.iter().map(|taken| taken.at + taken.bytes));
        starts.extend(met.iter().filter(|t| overlays(t)).map(|t| t.at));
        starts.sort_unstable();
        let is_free = |at: &usize| {
            met.iter().all(|taken| {
                let is_beside = at + bytes <= taken.at || taken.at + taken.bytes <= *at;
                is_beside || (taken.at == *at && overlays(taken))
            })
        };
        let at = starts.into_iter().find(is_free).unwrap_or(self.top);
        self.top = self.top.max(at + bytes);
        self.taken.push(Taken { life, at, bytes });
        at
    }
}

/// Gives every arena buffer its place: first fit over lifetimes, in order of first use. What a band touches lives through all
/// of it, unless slices keep apart; a band's own buffers have no place here.
pub(crate) fn place(schedule: &mut Schedule, bands: &[Band]) {
    let mut lives = lifetimes(schedule, bands);
    let own = bands.iter().flat_map(|band| &band.own);
    own.for_each(|(buffer, _)| lives[buffer.index()] = None);
    let mut order: Vec<(usize, Life)> = lives
        .into_iter()
        .enumerate()
        .filter_map(|(b, life)| life.map(|life| (b, life)))
        .collect();
    order.sort_by_key(|(_, life)| life.first);
    let mut places = Places::default();
    for (b, life) in order {
        let buffer = &mut schedule.buffers[b];
        if !matches!(buffer.home, Home::Input(_)) {
            let bytes = buffer.elements * buffer.dtype.bytes();
            buffer.home = Home::Arena(places.find(life, bytes));
        }
    }
    schedule.arena = places.top;
}

/// When each buffer is used; what is handed back lives to the end.
fn lifetimes(schedule: &Schedule, bands: &[Band]) -> Vec<Option<Life>> {
    let mut lives: Vec<Option<Life>> = vec![None; schedule.buffers.len()];
    let mut touch = |buffer: BufferId, at: usize, band: Option<&Band>| {
        let is_apart = band.is_some_and(|band| band.apart.contains(&buffer));
        let (from, to) = band.map_or((at, at), |band| (band.steps.start, band.steps.end - 1));
        let life = lives[buffer.index()].get_or_insert(Life {
            first: at,
            last: at,
            from,
            to,
            is_apart: [is_apart; 2],
        });
        (life.last, life.to, life.is_apart[1]) = (at, to, is_apart);
    };
    for (at, step) in schedule.steps.iter().enumerate() {
        let band = bands.iter().find(|band| band.steps.contains(&at));
        let (reads, writes) = step.buffers();
        let all = reads.into_iter().chain(writes);
        all.for_each(|b| touch(b, at, band));
    }
    let end = schedule.steps.len();
    let guards = schedule.guards.iter().map(|v| v.buffer);
    let results = schedule.results.iter().map(|o| o.view.buffer);
    guards.chain(results).for_each(|b| touch(b, end, None));
    lives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_overlay_only_what_slices_are_done_with() {
        let band = |first, last, is_apart| Life {
            first,
            last,
            from: 0,
            to: 9,
            is_apart: [is_apart; 2],
        };
        let mut places = Places::default();
        assert_eq!(places.find(band(0, 3, true), 640), 0);
        assert_eq!(
            places.find(band(4, 5, true), 640),
            0,
            "of one size, in turn"
        );
        assert_eq!(places.find(band(6, 7, true), 320), 640, "of another size");
        assert_eq!(places.find(band(6, 7, false), 640), 960, "not apart");
        assert_eq!(places.find(band(5, 7, true), 640), 1600, "at one time");
        assert_eq!(places.find(Life::plain(10, 11), 64), 0, "after the band");
    }
}
