//! Neighbouring steps that have nothing to do with each other.

use mmh_lower::BufferId;
use mmh_lower::schedule::{Schedule, Step};
use std::collections::BTreeSet;
use std::ops::Range;

/// Runs of two and more map steps of which none reads or writes what another writes, on one side of the commit.
pub(super) fn independent(schedule: &Schedule) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut reads, mut writes) = (BTreeSet::new(), BTreeSet::new());
    let mut start = 0;
    for (at, step) in schedule.steps.iter().enumerate() {
        let touched = touched(schedule, step);
        let joins = touched.as_ref().is_some_and(|(read, written)| {
            let is_apart = |buffers: &BTreeSet<BufferId>| buffers.is_disjoint(&writes);
            is_apart(read) && is_apart(written) && written.is_disjoint(&reads)
        });
        if !joins || at == schedule.commit {
            runs.push(start..at);
            (reads, writes) = (BTreeSet::new(), BTreeSet::new());
            start = at + usize::from(touched.is_none());
        }
        if let Some((read, written)) = touched {
            reads.extend(read);
            writes.extend(written);
        }
    }
    runs.push(start..schedule.steps.len());
    runs.retain(|run| run.len() > 1);
    runs
}

/// What a map step reads and writes.
fn touched(schedule: &Schedule, step: &Step) -> Option<(BTreeSet<BufferId>, BTreeSet<BufferId>)> {
    let Step::Map(step) = step else {
        return None;
    };
    let loads = schedule.kernels[step.kernel.0 as usize].loads.len();
    let (read, written) = step.args.split_at(loads);
    let buffers = |args: &[mmh_lower::schedule::Arg]| args.iter().map(|arg| arg.buffer).collect();
    Some((buffers(read), buffers(written)))
}
