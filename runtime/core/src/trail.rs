//! The trail of a training: the hash of its whole state at steps that the plan decides, each chained to the one before.
//!
//! A mark holds the number of steps done, the hash of the order in which the epoch at hand takes its rows, the
//! [`state_hash`](crate::state_hash), and the chain: BLAKE3's key derivation with context `mmh step chain 1` over the chain
//! of the mark before, the step as u64, the order and the state. Ahead of the first mark stands the derivation with context
//! `mmh step chain start 1` over the plan's hash, the data's hash and the training's name, each with its length as u64
//! ahead. The root is the [`merkle`] root over step, order and state of every mark. Numbers are little-endian.
//!
//! Marks stand after 0 steps, after every [`interval`] and at the end. Nothing of the machine or the clock is in them: the
//! same recipe and data give the same trail wherever, and however often it was interrupted.

use crate::failure::RunFailure;
use crate::journal::{Event, Line};
use crate::merkle;
use blake3::{Hash, Hasher};
use mmh_ir::plan::{Program, Training};
use mmh_ir::{Graph, Node, Op};
use std::collections::BTreeMap;

/// Bytes that are taken to be hashed in a nanosecond; a core does 1 to 6.
const BYTES_A_NANOSECOND: u64 = 1;
/// Nanoseconds of a mark beside its bytes: its line in the journal.
const LINE_NANOSECONDS: u64 = 20_000;
/// Floating-point operations that are taken to be done in a nanosecond.
const OPERATIONS_A_NANOSECOND: u64 = 64;
/// A step is to take so many times what it costs to mark one.
const SHARE: u64 = 200;

/// A training at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Steps done.
    pub step: u64,
    /// Hash of the order of the rows in the epoch of the last step; zeros ahead of the first.
    pub order: Hash,
    /// Hash of the state.
    pub state: Hash,
    /// The chain up to here.
    pub chain: Hash,
}

/// The marks of a training.
#[derive(Clone, Debug)]
pub struct Trail {
    every: u64,
    start: Hash,
    marks: Vec<Mark>,
    /// What the journal says of steps that are done again.
    expected: BTreeMap<u64, Hash>,
}

/// Steps between marks: a function of the bytes of state and the operations of a step alone, such that marks take about half
/// a hundredth of the time.
pub fn interval(training: &Training) -> u64 {
    let mark = LINE_NANOSECONDS + state_bytes(training) / BYTES_A_NANOSECOND;
    (mark * SHARE).div_ceil(step_nanoseconds(training)).max(1)
}

/// Bytes of a training's state.
pub(crate) fn state_bytes(training: &Training) -> u64 {
    let slots = training.state.iter();
    slots
        .map(|slot| (slot.ty.shape.elements() * slot.ty.dtype.bytes()) as u64)
        .sum()
}

/// Nanoseconds that a step is taken to need, by its operations; at least 1.
pub(crate) fn step_nanoseconds(training: &Training) -> u64 {
    let operations = training.programs.first().map_or(0, operations);
    (operations / OPERATIONS_A_NANOSECOND).max(1)
}

/// Floating-point operations of a program: two for each product of a contraction, one for each element of anything else.
pub fn operations(program: &Program) -> u64 {
    let graph = &program.graph;
    graph
        .nodes
        .iter()
        .map(|node| node_operations(graph, node))
        .fold(0, u64::saturating_add)
}

fn node_operations(graph: &Graph, node: &Node) -> u64 {
    let elements = node.ty.shape.elements() as u64;
    match (&node.op, node.inputs.first()) {
        (Op::Contract { over }, Some(left)) => {
            let left = &graph.node(*left).ty.shape;
            let chain = over.iter().filter_map(|axis| left.size(axis));
            chain
                .map(|size| size as u64)
                .fold(elements.saturating_mul(2), u64::saturating_mul)
        }
        (Op::Reduce { .. }, Some(operand)) => graph.node(*operand).ty.shape.elements() as u64,
        _ => elements,
    }
}

/// The hash of the order in which an epoch takes its rows: BLAKE3's key derivation with context `mmh row order 1` over the
/// row numbers as u32, little-endian.
pub fn order_hash(rows: &[u32]) -> Hash {
    let mut hasher = Hasher::new_derive_key("mmh row order 1");
    let mut bytes = [0; 1 << 14];
    for part in rows.chunks(1 << 12) {
        let (places, _) = bytes.as_chunks_mut::<4>();
        for (place, row) in places.iter_mut().zip(part) {
            *place = row.to_le_bytes();
        }
        hasher.update(bytes.get(..part.len() * 4).unwrap_or_default());
    }
    hasher.finalize()
}

impl Trail {
    /// An empty trail.
    pub fn new(training: &Training, plan_hash: &str, data_hash: &str) -> Self {
        let mut hasher = Hasher::new_derive_key("mmh step chain start 1");
        for text in [plan_hash, data_hash, &training.name] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Self {
            every: interval(training),
            start: hasher.finalize(),
            marks: Vec::new(),
            expected: BTreeMap::new(),
        }
    }

    /// Takes up the trail of a training that goes on after `step` steps. What the journal says of later steps must come out
    /// again.
    ///
    /// Errors: the line that does not continue the chain.
    pub(crate) fn restore(
        &mut self,
        lines: &[Line],
        training: &str,
        step: u64,
    ) -> Result<(), String> {
        for line in lines {
            let Some(mark) = mark_of(&line.entry, training) else {
                continue;
            };
            let mark = mark.ok_or_else(|| format!("line {}: it holds no hashes", line.n + 1))?;
            if mark.step > step {
                self.expected.insert(mark.step, mark.state);
            } else if self.marks.last().is_none_or(|last| last.step < mark.step)
                && (self.is_regular(mark.step) || mark.step == step)
                && self.add(mark.step, mark.order, mark.state).ok() != Some(mark)
            {
                return Err(format!(
                    "line {}: it does not continue the steps",
                    line.n + 1
                ));
            }
        }
        Ok(())
    }

    /// Whether the journal says that the state after `step` steps, which are done again, is another one.
    pub(crate) fn contradicts(&self, step: u64, state: Hash) -> bool {
        self.expected
            .get(&step)
            .is_some_and(|known| *known != state)
    }

    /// Whether a mark is due after `step` steps.
    pub(crate) fn is_due(&self, step: u64, ends: bool) -> bool {
        (ends || self.is_regular(step)) && self.marks.last().is_none_or(|last| last.step != step)
    }

    /// Whether every training of the plan has a mark there, wherever it was to end.
    pub fn is_regular(&self, step: u64) -> bool {
        step.is_multiple_of(self.every)
    }

    /// Steps between marks.
    pub fn every(&self) -> u64 {
        self.every
    }

    /// Adds a mark. One that stood at an earlier end only is taken out first.
    ///
    /// Errors: the step was done before and gave another state.
    pub(crate) fn add(&mut self, step: u64, order: Hash, state: Hash) -> Result<Mark, RunFailure> {
        if let Some(before) = self.expected.remove(&step)
            && before != state
        {
            return Err(RunFailure::NotRepeated { step });
        }
        if self
            .marks
            .last()
            .is_some_and(|last| !self.is_regular(last.step))
        {
            self.marks.pop();
        }
        let before = self.marks.last().map_or(self.start, |last| last.chain);
        let mut hasher = Hasher::new_derive_key("mmh step chain 1");
        hasher.update(before.as_bytes()).update(&step.to_le_bytes());
        hasher.update(order.as_bytes()).update(state.as_bytes());
        let mark = Mark {
            step,
            order,
            state,
            chain: hasher.finalize(),
        };
        self.marks.push(mark);
        Ok(mark)
    }

    /// The marks so far.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The root over all marks.
    pub fn root(&self) -> Hash {
        let leaves: Vec<Hash> = self.marks.iter().map(Mark::leaf).collect();
        merkle::root(&leaves)
    }
}

impl Mark {
    /// Its leaf in the tree over all marks.
    pub fn leaf(&self) -> Hash {
        let step = self.step.to_le_bytes();
        merkle::leaf(&[&step[..], self.order.as_bytes(), self.state.as_bytes()].concat())
    }

    /// As a line of the journal.
    pub(crate) fn event(&self, training: &str) -> Event {
        Event::State {
            training: training.to_owned(),
            step: self.step,
            order: self.order.to_hex().to_string(),
            state: self.state.to_hex().to_string(),
            chain: self.chain.to_hex().to_string(),
        }
    }
}

/// The mark that a line of the journal holds for a training; `Some(None)` if its hashes are none.
pub(crate) fn mark_of(event: &Event, of: &str) -> Option<Option<Mark>> {
    let Event::State {
        training,
        step,
        order,
        state,
        chain,
    } = event
    else {
        return None;
    };
    let mark = || {
        Some(Mark {
            step: *step,
            order: Hash::from_hex(order).ok()?,
            state: Hash::from_hex(state).ok()?,
            chain: Hash::from_hex(chain).ok()?,
        })
    };
    (training == of).then(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_does_not_come_out_again_is_said() {
        let (one, other) = (blake3::hash(b"one"), blake3::hash(b"other"));
        let mut trail = Trail {
            every: 1,
            start: one,
            marks: Vec::new(),
            expected: BTreeMap::from([(1, one), (2, one)]),
        };
        assert!(trail.add(1, one, one).is_ok());
        assert_eq!(
            trail.add(2, one, other),
            Err(RunFailure::NotRepeated { step: 2 })
        );
    }
}
