//! Neighbouring steps that have nothing to do with each other: the updates of all parameters.

use mmh_lower::BufferId;
use mmh_lower::schedule::{Arg, Home, Schedule, Step};
use std::collections::BTreeSet;
use std::ops::Range;

/// Runs of two and more map steps that write state alone, of which none reads or writes what another writes, on one side of the
/// commit. What is written to the arena may lie where the step before still reads.
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

/// What a map step that writes state alone reads and writes.
fn touched(schedule: &Schedule, step: &Step) -> Option<(BTreeSet<BufferId>, BTreeSet<BufferId>)> {
    let Step::Map(step) = step else {
        return None;
    };
    let loads = schedule.kernels[step.kernel.0 as usize].loads.len();
    let (read, written) = step.args.split_at(loads);
    let is_state = |arg: &Arg| matches!(schedule.buffers[arg.buffer.index()].home, Home::Input(_));
    if !written.iter().all(is_state) {
        return None;
    }
    let buffers = |args: &[Arg]| args.iter().map(|arg| arg.buffer).collect();
    Some((buffers(read), buffers(written)))
}
