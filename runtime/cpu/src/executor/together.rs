//! Neighbouring steps that have nothing to do with each other: the updates of all parameters.

use mmh_lower::BufferId;
use mmh_lower::schedule::{Home, Schedule, Step};
use std::collections::BTreeSet;
use std::ops::Range;

/// Runs of two and more map steps behind the commit that write state alone, of which none reads or writes what another writes.
/// What is written to the arena may lie where the step before still reads.
pub(super) fn independent(schedule: &Schedule) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut reads, mut writes) = (BTreeSet::new(), BTreeSet::new());
    let mut start = schedule.commit;
    for (at, step) in schedule.steps.iter().enumerate().skip(schedule.commit) {
        let update = update(schedule, step);
        let joins = update.as_ref().is_some_and(|(read, written)| {
            read.is_disjoint(&writes) && written.is_disjoint(&writes) && written.is_disjoint(&reads)
        });
        if !joins {
            runs.push(start..at);
            (reads, writes) = (BTreeSet::new(), BTreeSet::new());
            start = at + usize::from(update.is_none());
        }
        if let Some((read, written)) = update {
            reads.extend(read);
            writes.extend(written);
        }
    }
    runs.push(start..schedule.steps.len());
    runs.retain(|run| run.len() > 1);
    runs
}

/// What a map step that writes state alone reads and writes.
fn update(schedule: &Schedule, step: &Step) -> Option<(BTreeSet<BufferId>, BTreeSet<BufferId>)> {
    if !matches!(step, Step::Map(_)) {
        return None;
    }
    let (reads, writes) = schedule.touched(step);
    let is_state = |b: &BufferId| matches!(schedule.buffers[b.index()].home, Home::Input(_));
    let writes_state = writes.iter().all(is_state);
    writes_state.then(|| (reads.into_iter().collect(), writes.into_iter().collect()))
}
