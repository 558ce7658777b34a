//! Operations that move, sum, look up or contract.

use super::Rule;
use crate::autodiff::Tape;
use crate::builder::{Builder, missing};
use crate::lower::{flat_position, one_hot};
use mmh_ir::{Axis, MapOp, Op, ReduceKind, Shape, ValueId};

impl Rule<'_> {
    pub(super) fn rename(&self, tape: &mut Tape<'_>, from: &Axis, to: &Axis) {
        let op = Op::Rename {
            from: to.clone(),
            to: from.clone(),
        };
        self.one(tape, |b, g, shape| b.f32(op, &[g], shape.clone()));
    }

    pub(super) fn merge(&self, tape: &mut Tape<'_>, axes: &[Axis], into: &Axis) {
        let op = Op::Split {
            axis: into.clone(),
            into: axes.to_vec(),
        };
        self.one(tape, |b, g, shape| b.f32(op, &[g], shape.clone()));
    }

    pub(super) fn split(&self, tape: &mut Tape<'_>, axis: &Axis, into: &[Axis]) {
        let op = Op::Merge {
            axes: into.to_vec(),
            into: axis.clone(),
        };
        self.one(tape, |b, g, shape| b.f32(op, &[g], shape.clone()));
    }

    pub(super) fn slice(&self, tape: &mut Tape<'_>, axis: &Axis, start: usize, step: usize) {
        let op = Op::Pad {
            axis: axis.clone(),
            before: start,
            step,
        };
        self.one(tape, |b, g, shape| b.f32(op, &[g], shape.clone()));
    }

    pub(super) fn pad(&self, tape: &mut Tape<'_>, axis: &Axis, before: usize, step: usize) {
        let op = Op::Slice {
            axis: axis.clone(),
            start: before,
            step,
        };
        self.one(tape, |b, g, shape| b.f32(op, &[g], shape.clone()));
    }

    pub(super) fn concat(&self, tape: &mut Tape<'_>, axis: &Axis) {
        let mut start = 0;
        for (n, &input) in self.node.inputs.iter().enumerate() {
            let op = Op::Slice {
                axis: axis.clone(),
                start,
                step: 1,
            };
            start += tape.forward.shape(input).size(axis).unwrap_or(0);
            self.give(tape, n, |b, g, shape| b.f32(op, &[g], shape.clone()));
        }
    }

    pub(super) fn reduce(&self, tape: &mut Tape<'_>, kind: ReduceKind, over: &[Axis]) {
        let x = self.now(tape, 0);
        match kind {
            ReduceKind::Sum => self.one(tape, |b, g, shape| b.fit(g, shape)),
            ReduceKind::Max => self.one(tape, |b, g, shape| to_first(b, x, g, over, shape)),
            ReduceKind::Min => self.one(tape, |b, g, shape| {
                let minus = b.map(MapOp::Neg, &[x]);
                to_first(b, minus, g, over, shape)
            }),
            ReduceKind::ArgMax => {}
        }
    }

    pub(super) fn contract(&self, tape: &mut Tape<'_>, over: &[Axis]) {
        for (n, other) in [(0, 1), (1, 0)] {
            let needed = self.operand(n).is_some_and(|v| tape.needs(v));
            if needed && !self.convolution(tape, over, n, other) {
                let other = self.now(tape, other);
                self.give(tape, n, |b, g, shape| b.contract_to(g, other, shape));
            }
        }
    }

    pub(super) fn gather(&self, tape: &mut Tape<'_>, axis: &Axis) {
        let index = self.now(tape, 1);
        self.give(tape, 0, |b, g, shape| {
            let hot = one_hot(b, axis, shape.size(axis).unwrap_or(0), index);
            let own = missing(b.graph.shape(index), shape);
            if own.is_empty() {
                b.map_to(MapOp::Mul, &[hot, g], shape)
            } else {
                b.contract(hot, g, &own, shape)
            }
        });
    }
}

/// `g` at the first place along `over` where `x` is largest, 0 elsewhere.
fn to_first(b: &mut Builder<'_>, x: ValueId, g: ValueId, over: &[Axis], shape: &Shape) -> ValueId {
    let Some(place) = flat_position(b, shape, over) else {
        return b.fit(g, shape);
    };
    let first = b.reduce(ReduceKind::ArgMax, over, x);
    let here = b.map_to(MapOp::Eq, &[place, first], shape);
    let zero = b.constant(0.0);
    b.map_to(MapOp::Select, &[here, g, zero], shape)
}
