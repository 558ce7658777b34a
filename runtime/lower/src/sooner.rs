//! Steps that leave less in memory than they read run as soon as they can.
//!
//! A graph lists what the backward pass needs where the backward pass is: the places of the maxima of a pooling, say, for
//! which the whole input of the pooling would wait through the rest of the network. Right behind the input they take a
//! fraction of its memory, and share a band with it.

use crate::bands::users;
use crate::schedule::{Home, Schedule, Step};
use crate::view::BufferId;
use std::collections::BTreeMap;

impl Schedule {
    /// The schedule with such steps behind the last step that they need. Every step reads what it read before.
    pub(crate) fn sooner(&self) -> Self {
        let users = users(self);
        let mut order: Vec<usize> = Vec::with_capacity(self.steps.len());
        for at in 0..self.steps.len() {
            let place = match self.could_follow(at, &users) {
                Some(step) => order.iter().position(|it| *it == step).map(|it| it + 1),
                None => None,
            };
            order.insert(place.unwrap_or(order.len()), at);
        }
        Self {
            steps: order.iter().map(|&at| self.steps[at].clone()).collect(),
            ..self.clone()
        }
    }

    /// The step behind which a map frees more than it takes, if that is not the one before it.
    fn could_follow(&self, at: usize, users: &BTreeMap<BufferId, Vec<usize>>) -> Option<usize> {
        let step = &self.steps[at];
        if !matches!(step, Step::Map(_)) || at >= self.commit {
            return None;
        }
        let (reads, writes) = self.touched(step);
        let bytes = |buffer: &BufferId| {
            let buffer = &self.buffers[buffer.index()];
            buffer.elements * buffer.dtype.bytes()
        };
        let is_last = |buffer: &BufferId| {
            let users = users.get(buffer);
            users.is_some_and(|users| users.last() == Some(&at))
        };
        let is_new = |buffer: &BufferId| {
            let home = &self.buffers[buffer.index()].home;
            let first = users.get(buffer).and_then(|users| users.first());
            matches!(home, Home::Arena(_)) && first == Some(&at)
        };
        let mut freed: Vec<BufferId> = reads.iter().copied().filter(is_last).collect();
        freed.sort_unstable();
        freed.dedup();
        let frees: usize = freed.iter().map(bytes).sum();
        if !writes.iter().all(is_new) || frees <= writes.iter().map(bytes).sum() {
            return None;
        }
        let writes_it = |before: &usize| {
            let (_, written) = self.touched(&self.steps[*before]);
            written.iter().any(|buffer| reads.contains(buffer))
        };
        let last = (0..at).rev().find(writes_it)?;
        (last + 1 < at).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Element, Kernel, Load, Pattern};
    use crate::schedule::{Arg, Buffer, KernelId, MapStep};

    /// A schedule of maps: which buffers each reads, and which it writes.
    fn schedule(sizes: &[usize], maps: &[(&[u32], u32)]) -> Schedule {
        let arg = |buffer: u32| Arg {
            buffer: BufferId(buffer),
            offset: 0,
            strides: vec![0, 1],
        };
        let step = |(number, (reads, writes)): (usize, &(&[u32], u32))| {
            Step::Map(MapStep {
                kernel: KernelId(number as u32),
                loops: vec![1, 8],
                args: reads.iter().chain([writes]).map(|it| arg(*it)).collect(),
            })
        };
        let load = Load {
            dtype: Element::F32,
            pattern: Pattern::Unit,
        };
        let kernel = |(reads, _): &(&[u32], u32)| Kernel {
            loads: vec![load; reads.len()],
            body: Vec::new(),
            stores: Vec::new(),
        };
        let buffer = |elements: &usize| Buffer {
            dtype: Element::F32,
            elements: *elements,
            home: Home::Arena(0),
        };
        Schedule {
            buffers: sizes.iter().map(buffer).collect(),
            kernels: maps.iter().map(kernel).collect(),
            steps: maps.iter().enumerate().map(step).collect(),
            commit: maps.len(),
            ..Schedule::default()
        }
    }

    fn order(schedule: &Schedule) -> Vec<u32> {
        let number = |step: &Step| match step {
            Step::Map(map) => map.kernel.0,
            _ => u32::MAX,
        };
        schedule.sooner().steps.iter().map(number).collect()
    }

    #[test]
    fn what_frees_more_than_it_takes_goes_forward() {
        // The last step alone still needs the large first value.
        let sizes = [64, 32, 16, 8];
        let maps: [(&[u32], u32); 4] = [(&[], 0), (&[0], 1), (&[1], 2), (&[0], 3)];
        assert_eq!(order(&schedule(&sizes, &maps)), [0, 3, 1, 2]);
        // Not if what it leaves is as large,
        assert_eq!(order(&schedule(&[64, 32, 16, 64], &maps)), [0, 1, 2, 3]);
        // if something behind it reads the value too,
        let read: [(&[u32], u32); 5] = [(&[], 0), (&[0], 1), (&[1], 2), (&[0], 3), (&[0], 4)];
        assert_eq!(
            order(&schedule(&[64, 32, 16, 8, 64], &read)),
            [0, 1, 2, 3, 4]
        );
        // or if it needs what the steps between make.
        let needs: [(&[u32], u32); 4] = [(&[], 0), (&[0], 1), (&[1], 2), (&[0, 2], 3)];
        assert_eq!(order(&schedule(&sizes, &needs)), [0, 1, 2, 3]);
        // A buffer that is used again keeps its order.
        let again: [(&[u32], u32); 4] = [(&[], 0), (&[0], 3), (&[3], 1), (&[0], 3)];
        assert_eq!(order(&schedule(&sizes, &again)), [0, 1, 2, 3]);
    }
}
