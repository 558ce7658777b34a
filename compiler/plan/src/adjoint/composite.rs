//! Composites: gradients of their own, made of what the forward pass kept.

use super::Rule;
use crate::autodiff::Tape;
use crate::builder::Builder;
use crate::lower::{Saved, one_hot};
use mmh_ir::{Axis, Composite, Literal, MapOp, Shape, ValueId};

impl Rule<'_> {
    pub(super) fn composite(&self, tape: &mut Tape<'_>, composite: &Composite) {
        let saved = tape.saved(self.value);
        match (composite, saved) {
            (Composite::Softmax { over }, Saved::Softmax { y }) => {
                self.one(tape, |b, g, shape| softmax(b, over, y, g, shape));
            }
            (Composite::LogSumExp { .. }, Saved::Exponentials { e, s }) => {
                self.one(tape, |b, g, shape| {
                    let p = b.map_to(MapOp::Div, &[e, s], shape);
                    b.map_to(MapOp::Mul, &[g, p], shape)
                });
            }
            (Composite::CrossEntropy { class }, Saved::Exponentials { e, s }) => {
                let label = self.now(tape, 1);
                self.one(tape, |b, g, shape| {
                    let hot = one_hot(b, class, shape.size(class).unwrap_or(0), label);
                    let p = b.map_to(MapOp::Div, &[e, s], shape);
                    let away = b.map_to(MapOp::Sub, &[p, hot], shape);
                    b.map_to(MapOp::Mul, &[g, away], shape)
                });
            }
            (Composite::Normalise { over, .. }, Saved::Normalise { r, y }) => {
                let follow = [1, 2]
                    .iter()
                    .any(|&n| self.operand(n).is_some_and(|v| tape.needs(v)));
                self.one(tape, |b, g, shape| {
                    if follow {
                        normalise(b, over, [r, y, g], shape)
                    } else {
                        b.map_to(MapOp::Mul, &[g, r], shape)
                    }
                });
            }
            (Composite::Attend { scale, narrow, .. }, Saved::Attend { e, s }) => {
                self.attend(tape, *scale, [e, s], *narrow);
            }
            (Composite::StopGradient, _) => {}
            // Each composite keeps its own kind, so that nothing else can meet here.
            (_, _) => {}
        }
    }

    /// With z = sum(e), y the result, h = g / z: dv = contract(e, h); de = contract(h, v) − contract(h, y) over v's own axes;
    /// ds = de·e; dq, dk = contract(ds, k), contract(ds, q), times scale. In bf16, g, h and ds are rounded.
    fn attend(&self, tape: &mut Tape<'_>, scale: Literal, [e, z]: [ValueId; 2], narrow: bool) {
        let [q, k, v] = [0, 1, 2].map(|n| self.now(tape, n));
        let [on_q, on_k, on_v] = [0, 1, 2].map(|n| self.operand(n).is_some_and(|x| tape.needs(x)));
        let y = self.result(tape);
        let mut b = self.builder(tape);
        let result = b.shape(y);
        let round = |b: &mut Builder<'_>, x| {
            if narrow { b.map(MapOp::Bf16, &[x]) } else { x }
        };
        let g = round(&mut b, self.g);
        let h = b.map_to(MapOp::Div, &[g, z], &result);
        let h = round(&mut b, h);
        if on_v {
            self.give(tape, 2, |b, _, shape| b.contract_to(h, e, shape));
        }
        if on_q || on_k {
            let mut b = self.builder(tape);
            let scores = b.shape(e);
            let toward = b.contract_to(h, v, &scores);
            let rest = b.shape(z);
            let along = b.contract_to(h, y, &rest);
            let de = b.map_to(MapOp::Sub, &[toward, along], &scores);
            let ds = b.map_to(MapOp::Mul, &[de, e], &scores);
            let ds = round(&mut b, ds);
            for (n, other) in [(0, k), (1, q)] {
                self.give(tape, n, |b, _, shape| {
                    let product = b.contract_to(ds, other, shape);
                    let scale = b.constant(scale.0);
                    b.map(MapOp::Mul, &[product, scale])
                });
            }
        }
    }
}

/// `y·(g − sum(g·y))`.
fn softmax(b: &mut Builder<'_>, over: &[Axis], y: ValueId, g: ValueId, shape: &Shape) -> ValueId {
    let product = b.map_to(MapOp::Mul, &[g, y], shape);
    let sum = b.sum(over, product);
    let away = b.map_to(MapOp::Sub, &[g, sum], shape);
    b.map_to(MapOp::Mul, &[y, away], shape)
}

/// `r·(g − mean(g) − y·mean(g·y))`.
fn normalise(
    b: &mut Builder<'_>,
    over: &[Axis],
    [r, y, g]: [ValueId; 3],
    shape: &Shape,
) -> ValueId {
    let mean = b.mean(over, g);
    let product = b.map_to(MapOp::Mul, &[g, y], shape);
    let slope = b.mean(over, product);
    let centred = b.map_to(MapOp::Sub, &[g, mean], shape);
    let along = b.map_to(MapOp::Mul, &[y, slope], shape);
    let rest = b.map_to(MapOp::Sub, &[centred, along], shape);
    b.map_to(MapOp::Mul, &[r, rest], shape)
}
