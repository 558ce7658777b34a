//! Places for buffers in one arena, reused as soon as nobody reads them any more.

use crate::schedule::{Home, Schedule};
use crate::view::BufferId;

const ALIGNMENT: usize = 64;

/// Gives every arena buffer its place: first fit over lifetimes, in order of first use.
pub(crate) fn place(schedule: &mut Schedule) {
    let lives = lifetimes(schedule);
    let mut placed: Vec<(usize, usize, usize, usize)> = Vec::new(); // start, end, first byte, last byte + 1
    let mut order: Vec<usize> = (0..schedule.buffers.len())
        .filter(|&b| lives[b].is_some())
        .collect();
    order.sort_by_key(|&b| lives[b].map_or(0, |(start, _)| start));
    let mut top = 0;
    for b in order {
        let Some((start, end)) = lives[b] else {
            continue;
        };
        let buffer = &mut schedule.buffers[b];
        if matches!(buffer.home, Home::Input(_)) {
            continue;
        }
        let bytes = (buffer.elements * buffer.dtype.bytes())
            .next_multiple_of(ALIGNMENT)
            .max(ALIGNMENT);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|p| p.0 <= end && start <= p.1)
            .map(|p| (p.2, p.3))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (low, high) in taken {
            if at + bytes <= low {
                break;
            }
            at = at.max(high);
        }
        buffer.home = Home::Arena(at);
        top = top.max(at + bytes);
        placed.push((start, end, at, at + bytes));
    }
    schedule.arena = top;
}

/// First and last step that touches each buffer; what is handed back lives to the end.
fn lifetimes(schedule: &Schedule) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; schedule.buffers.len()];
    let mut touch = |buffer: BufferId, at: usize| {
        let life = lives[buffer.index()].get_or_insert((at, at));
        *life = (life.0.min(at), life.1.max(at));
    };
    for (at, step) in schedule.steps.iter().enumerate() {
        let (reads, writes) = step.buffers();
        reads.into_iter().chain(writes).for_each(|b| touch(b, at));
    }
    let end = schedule.steps.len();
    schedule.guards.iter().for_each(|v| touch(v.buffer, end));
    schedule
        .results
        .iter()
        .for_each(|o| touch(o.view.buffer, end));
    lives
}
