//! Pointwise operations. Every adjoint is made over the whole result and then summed over what an operand lacks.

use super::Rule;
use crate::autodiff::Tape;
use crate::builder::Builder;
use mmh_ir::{Input, MapOp, Op, ValueId};

/// 2 / √π.
const TWO_BY_ROOT_PI: f32 = std::f32::consts::FRAC_2_SQRT_PI;
/// 1 / √(2π).
const BY_ROOT_TWO_PI: f32 = 0.398_942_3;
/// −1 / √2.
const MINUS_BY_ROOT_TWO: f32 = -std::f32::consts::FRAC_1_SQRT_2;

impl Rule<'_> {
    pub(super) fn pointwise(&self, tape: &mut Tape<'_>, op: MapOp) {
        let y = self.result(tape);
        let [a, b] = [0, 1].map(|n| self.now(tape, n));
        match op {
            MapOp::Neg
            | MapOp::Abs
            | MapOp::Sqrt
            | MapOp::Rsqrt
            | MapOp::Exp
            | MapOp::Log
            | MapOp::Tanh
            | MapOp::Sigmoid
            | MapOp::Erf
            | MapOp::Erfc
            | MapOp::Gelu
            | MapOp::Relu
            | MapOp::Sin
            | MapOp::Cos
            | MapOp::ToF32 => self.one(tape, |m, g, _| unary(m, op, g, a, y)),
            MapOp::Add | MapOp::Sub | MapOp::Mul | MapOp::Div => {
                self.arithmetic(tape, op, [a, b, y])
            }
            MapOp::Min | MapOp::Max | MapOp::Select => self.choice(tape, op, [a, b]),
            MapOp::Pow => self.power(tape, [a, b, y]),
            MapOp::Bf16 => self.rounding(tape),
            MapOp::Fma => {
                self.give(tape, 0, |m, g, _| self.scaled(m, g, b));
                self.give(tape, 1, |m, g, _| self.scaled(m, g, a));
                self.give(tape, 2, |_, g, _| g);
            }
            MapOp::Floor
            | MapOp::Not
            | MapOp::ToI32
            | MapOp::Lt
            | MapOp::Le
            | MapOp::Gt
            | MapOp::Ge
            | MapOp::Eq
            | MapOp::Ne
            | MapOp::And
            | MapOp::Or => {}
        }
    }

    /// The adjoint of a rounding is rounded as well; only the gradient of a parameter that is read stays as it is.
    fn rounding(&self, tape: &mut Tape<'_>) {
        let read = self
            .operand(0)
            .is_some_and(|v| matches!(tape.forward.node(v).op, Op::Input(Input::State(_))));
        self.one(
            tape,
            |m, g, _| {
                if read { g } else { m.map(MapOp::Bf16, &[g]) }
            },
        );
    }

    /// `g · factor` over the node's shape.
    fn scaled(&self, m: &mut Builder<'_>, g: ValueId, factor: ValueId) -> ValueId {
        m.map_to(MapOp::Mul, &[g, factor], &self.node.ty.shape)
    }

    fn arithmetic(&self, tape: &mut Tape<'_>, op: MapOp, [a, b, y]: [ValueId; 3]) {
        let shape = &self.node.ty.shape;
        match op {
            MapOp::Mul => {
                self.give(tape, 0, |m, g, _| self.scaled(m, g, b));
                self.give(tape, 1, |m, g, _| self.scaled(m, g, a));
            }
            MapOp::Div => {
                let needed = [0, 1].map(|n| self.operand(n).is_some_and(|v| tape.needs(v)));
                if needed == [false, false] {
                    return;
                }
                let quotient = self.builder(tape).map_to(MapOp::Div, &[self.g, b], shape);
                self.give(tape, 0, |_, _, _| quotient);
                self.give(tape, 1, |m, _, _| {
                    let product = m.map_to(MapOp::Mul, &[quotient, y], shape);
                    m.map(MapOp::Neg, &[product])
                });
            }
            _ => {
                self.give(tape, 0, |_, g, _| g);
                self.give(tape, 1, |m, g, shape| match op {
                    // Negation passes through sums exactly, so it is done on the smaller value.
                    MapOp::Sub => {
                        let summed = self.fitted(m, g, shape);
                        m.map(MapOp::Neg, &[summed])
                    }
                    _ => g,
                });
            }
        }
    }

    /// The adjoint goes to the operand that was chosen.
    fn choice(&self, tape: &mut Tape<'_>, op: MapOp, [a, b]: [ValueId; 2]) {
        let shape = &self.node.ty.shape;
        let first = usize::from(op == MapOp::Select);
        let needed = [first, first + 1].map(|n| self.operand(n).is_some_and(|v| tape.needs(v)));
        if needed == [false, false] {
            return;
        }
        let mut m = self.builder(tape);
        let chosen = match op {
            MapOp::Select => a,
            MapOp::Min => m.map_to(MapOp::Lt, &[a, b], shape),
            _ => m.map_to(MapOp::Gt, &[a, b], shape),
        };
        let zero = m.constant(0.0);
        self.give(tape, first, |m, g, _| {
            m.map_to(MapOp::Select, &[chosen, g, zero], shape)
        });
        self.give(tape, first + 1, |m, g, _| {
            m.map_to(MapOp::Select, &[chosen, zero, g], shape)
        });
    }

    fn power(&self, tape: &mut Tape<'_>, [a, b, y]: [ValueId; 3]) {
        self.give(tape, 0, |m, g, _| {
            let one = m.constant(1.0);
            let exponent = m.map(MapOp::Sub, &[b, one]);
            let power = m.map(MapOp::Pow, &[a, exponent]);
            let slope = m.map(MapOp::Mul, &[b, power]);
            self.scaled(m, g, slope)
        });
        self.give(tape, 1, |m, g, _| {
            let log = m.map(MapOp::Log, &[a]);
            let slope = m.map(MapOp::Mul, &[y, log]);
            self.scaled(m, g, slope)
        });
    }
}

fn unary(m: &mut Builder<'_>, op: MapOp, g: ValueId, a: ValueId, y: ValueId) -> ValueId {
    match op {
        MapOp::Neg => m.map(MapOp::Neg, &[g]),
        MapOp::Abs => absolute(m, g, a),
        MapOp::Sqrt => {
            let half = m.constant(0.5);
            let scaled = m.map(MapOp::Mul, &[g, half]);
            m.map(MapOp::Div, &[scaled, y])
        }
        MapOp::Rsqrt => {
            let half = m.constant(-0.5);
            let scaled = m.map(MapOp::Mul, &[g, half]);
            let once = m.map(MapOp::Mul, &[scaled, y]);
            let square = m.map(MapOp::Mul, &[y, y]);
            m.map(MapOp::Mul, &[once, square])
        }
        MapOp::Log => m.map(MapOp::Div, &[g, a]),
        MapOp::Erf => bell(m, g, a, TWO_BY_ROOT_PI),
        MapOp::Erfc => bell(m, g, a, -TWO_BY_ROOT_PI),
        MapOp::Relu => {
            let zero = m.constant(0.0);
            let positive = m.map(MapOp::Gt, &[a, zero]);
            m.map(MapOp::Select, &[positive, g, zero])
        }
        MapOp::Cos => {
            let sine = m.map(MapOp::Sin, &[a]);
            let product = m.map(MapOp::Mul, &[g, sine]);
            m.map(MapOp::Neg, &[product])
        }
        _ => match slope(m, op, a, y) {
            Some(slope) => m.map(MapOp::Mul, &[g, slope]),
            None => g,
        },
    }
}

fn absolute(m: &mut Builder<'_>, g: ValueId, a: ValueId) -> ValueId {
    let zero = m.constant(0.0);
    let above = m.map(MapOp::Gt, &[a, zero]);
    let rest = m.map(MapOp::Select, &[above, g, zero]);
    let below = m.map(MapOp::Lt, &[a, zero]);
    let minus = m.map(MapOp::Neg, &[g]);
    m.map(MapOp::Select, &[below, minus, rest])
}

/// The derivative, for operations whose adjoint is `g` times it; `None` where it is 1.
fn slope(m: &mut Builder<'_>, op: MapOp, a: ValueId, y: ValueId) -> Option<ValueId> {
    Some(match op {
        MapOp::Exp => y,
        MapOp::Sin => m.map(MapOp::Cos, &[a]),
        MapOp::Tanh => {
            let one = m.constant(1.0);
            let square = m.map(MapOp::Mul, &[y, y]);
            m.map(MapOp::Sub, &[one, square])
        }
        MapOp::Sigmoid => {
            let one = m.constant(1.0);
            let rest = m.map(MapOp::Sub, &[one, y]);
            m.map(MapOp::Mul, &[y, rest])
        }
        MapOp::Gelu => gelu_slope(m, a),
        _ => return None,
    })
}

/// `(g · height) · exp(−(a·a))`.
fn bell(m: &mut Builder<'_>, g: ValueId, a: ValueId, height: f32) -> ValueId {
    let height = m.constant(height);
    let scaled = m.map(MapOp::Mul, &[g, height]);
    let square = m.map(MapOp::Mul, &[a, a]);
    let minus = m.map(MapOp::Neg, &[square]);
    let e = m.map(MapOp::Exp, &[minus]);
    m.map(MapOp::Mul, &[scaled, e])
}

/// The normal distribution's share below `a`, plus `a` times its density: `fma(a, c·exp((−½·a)·a), ½·erfc(a·−1/√2))`.
fn gelu_slope(m: &mut Builder<'_>, a: ValueId) -> ValueId {
    let scale = m.constant(MINUS_BY_ROOT_TWO);
    let half = m.constant(0.5);
    let inner = m.map(MapOp::Mul, &[a, scale]);
    let tail = m.map(MapOp::Erfc, &[inner]);
    let share = m.map(MapOp::Mul, &[half, tail]);
    let height = m.constant(BY_ROOT_TWO_PI);
    let minus_half = m.constant(-0.5);
    let halved = m.map(MapOp::Mul, &[minus_half, a]);
    let exponent = m.map(MapOp::Mul, &[halved, a]);
    let e = m.map(MapOp::Exp, &[exponent]);
    let density = m.map(MapOp::Mul, &[height, e]);
    m.map(MapOp::Fma, &[a, density, share])
}
