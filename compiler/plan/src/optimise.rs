//! Optimisers as expressions: from gradients to the next values of parameters and moments.
//!
//! Formulas (`fma` where written, each f64 constant rounded to f32 once):
//! - SGD (Robbins & Monro 1951): `p = fma(−lr, g, p)`; with momentum (Polyak 1964) `v = fma(μ, v, g)`, `p = fma(−lr, v, p)`;
//!   Nesterov's `p = fma(−lr, fma(μ, v, g), p)`; L2 decay `g = fma(decay, p, g)` first.
//! - Adam (Kingma & Ba 2015): `m = fma(β1, m, (1 − β1)·g)`, `v = fma(β2, v, (1 − β2)·(g·g))`,
//!   `p = fma(−α, m / (√v + ε′), p)` with the step's `α` and `ε′`; L2 decay as above.
//! - AdamW (Loshchilov & Hutter 2019): the same without L2, and `p·(1 − lr·λ)` in place of `p`.
//! - Clipping by global norm (Pascanu, Mikolov & Bengio 2013): `n = √S`, S the sum over the parameters' own sums of `g·g`, in
//!   ascending order of path; where `n > c`, `g = g·(c / n)`.

use crate::builder::Builder;
use mmh_ir::plan::{Init, OptimiserGroup, Role, StateDecl, StepScalar, Update};
use mmh_ir::{Axis, DType, Dim, Graph, Input, Literal, MapOp, Op, Origin, Shape, Type, ValueId};

/// One trained parameter.
#[derive(Clone, Debug)]
pub(crate) struct Trained {
    /// Its slot.
    pub(crate) slot: u32,
    /// Number of its optimiser group.
    pub(crate) group: u32,
    /// Its value before the step.
    pub(crate) value: ValueId,
    /// Its gradient.
    pub(crate) gradient: ValueId,
}

/// State and step scalars that grow as optimisers ask for them.
pub(crate) struct Optimiser<'a> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) groups: &'a [OptimiserGroup],
    pub(crate) state: &'a mut Vec<StateDecl>,
    pub(crate) scalars: &'a mut Vec<StepScalar>,
}

impl Optimiser<'_> {
    /// Next values of the parameters and of their moments.
    pub(crate) fn step(&mut self, trained: &[Trained], clip: Option<f64>) -> Vec<Update> {
        let mut trained = trained.to_vec();
        if let Some(limit) = clip {
            self.clip(&mut trained, limit);
        }
        let updates = trained.iter().flat_map(|parameter| {
            let group = usize::try_from(parameter.group).ok();
            match group.and_then(|n| self.groups.get(n)).cloned() {
                Some(OptimiserGroup::Sgd {
                    momentum,
                    nesterov,
                    decay,
                    ..
                }) => self.sgd(parameter, momentum, nesterov, decay),
                Some(OptimiserGroup::Adam {
                    betas,
                    decay,
                    decoupled,
                    ..
                }) => self.adam(parameter, betas, decay, decoupled),
                None => vec![],
            }
        });
        updates.collect()
    }

    fn sgd(&mut self, p: &Trained, momentum: f64, nesterov: bool, decay: f64) -> Vec<Update> {
        let g = self.decayed(p, decay);
        let rate = self.scalar(StepScalar::Rate(p.group), p);
        let mut updates = Vec::new();
        let mut direction = g;
        if momentum != 0.0 {
            let (slot, old) = self.moment(p, "v");
            let mut b = self.builder(p);
            let mu = b.constant(momentum as f32);
            let v = b.map(MapOp::Fma, &[mu, old, g]);
            let v = b.fit(v, &b.shape(p.value));
            direction = if nesterov {
                b.map(MapOp::Fma, &[mu, v, g])
            } else {
                v
            };
            updates.push(Update { slot, value: v });
        }
        let next = self.descend(p, rate, direction, p.value);
        updates.insert(0, next);
        updates
    }

    fn adam(&mut self, p: &Trained, betas: [f64; 2], decay: f64, decoupled: bool) -> Vec<Update> {
        let g = self.decayed(p, if decoupled { 0.0 } else { decay });
        let (m_slot, m) = self.moment(p, "m");
        let (v_slot, v) = self.moment(p, "v");
        let rate = self.scalar(StepScalar::AdamRate(p.group), p);
        let epsilon = self.scalar(StepScalar::AdamEpsilon(p.group), p);
        let [beta1, beta2] = betas;
        let mut b = self.builder(p);
        let m = moving(&mut b, beta1, m, g);
        let square = b.map(MapOp::Mul, &[g, g]);
        let v = moving(&mut b, beta2, v, square);
        let root = b.map(MapOp::Sqrt, &[v]);
        let below = b.map(MapOp::Add, &[root, epsilon]);
        let direction = b.map(MapOp::Div, &[m, below]);
        let mut from = p.value;
        if decoupled && decay != 0.0 {
            let factor = self.scalar(StepScalar::DecayFactor(p.group), p);
            from = self.builder(p).map(MapOp::Mul, &[p.value, factor]);
        }
        let next = self.descend(p, rate, direction, from);
        let moments = [(m_slot, m), (v_slot, v)].map(|(slot, value)| Update { slot, value });
        std::iter::once(next).chain(moments).collect()
    }

    /// `fma(−rate, direction, from)`.
    fn descend(&mut self, p: &Trained, rate: ValueId, direction: ValueId, from: ValueId) -> Update {
        let mut b = self.builder(p);
        let shape = b.shape(p.value);
        let minus = b.map(MapOp::Neg, &[rate]);
        let value = b.map_to(MapOp::Fma, &[minus, direction, from], &shape);
        Update {
            slot: p.slot,
            value,
        }
    }

    /// `fma(decay, p, g)`; `g` where there is no decay.
    fn decayed(&mut self, p: &Trained, decay: f64) -> ValueId {
        if decay == 0.0 {
            return p.gradient;
        }
        let mut b = self.builder(p);
        let shape = b.shape(p.value);
        let decay = b.constant(decay as f32);
        b.map_to(MapOp::Fma, &[decay, p.value, p.gradient], &shape)
    }

    /// Scales all gradients down where their common norm exceeds `limit`.
    fn clip(&mut self, trained: &mut [Trained], limit: f64) {
        let mut order: Vec<(String, ValueId)> = Vec::new();
        for p in &*trained {
            let slot = usize::try_from(p.slot).ok().and_then(|n| self.state.get(n));
            order.push((slot.map(|s| s.path.clone()).unwrap_or_default(), p.gradient));
        }
        order.sort();
        let mut b = Builder {
            graph: self.graph,
            origin: Origin::default(),
        };
        let squares: Vec<ValueId> = order
            .iter()
            .map(|(_, g)| sum_of_squares(&mut b, *g))
            .collect();
        let total = sum_of_scalars(&mut b, &squares);
        let norm = b.map(MapOp::Sqrt, &[total]);
        let limit = b.constant(limit as f32);
        let one = b.constant(1.0);
        let over = b.map(MapOp::Gt, &[norm, limit]);
        let ratio = b.map(MapOp::Div, &[limit, norm]);
        // Multiplying by 1 changes no bit, so small norms need no selection per element.
        let factor = b.map(MapOp::Select, &[over, ratio, one]);
        for p in trained {
            p.gradient = b.map(MapOp::Mul, &[p.gradient, factor]);
        }
    }

    /// A moment of a parameter: zeros at first, at `path/name`.
    fn moment(&mut self, p: &Trained, name: &str) -> (u32, ValueId) {
        let ty = self.graph.ty(p.value).clone();
        let owner = usize::try_from(p.slot).ok().and_then(|n| self.state.get(n));
        let path = format!(
            "{}/{name}",
            owner.map(|s| s.path.as_str()).unwrap_or_default()
        );
        let place = self.state.iter().position(|s| s.path == path);
        let place = place.unwrap_or_else(|| {
            self.state.push(StateDecl {
                path,
                role: Role::Optimiser,
                ty: ty.clone(),
                init: Init::Constant(Literal(0.0)),
            });
            self.state.len() - 1
        });
        let slot = u32::try_from(place).unwrap_or(u32::MAX);
        (
            slot,
            self.builder(p).push(Op::Input(Input::State(slot)), &[], ty),
        )
    }

    fn scalar(&mut self, scalar: StepScalar, p: &Trained) -> ValueId {
        let place = self.scalars.iter().position(|s| *s == scalar);
        let place = place.unwrap_or_else(|| {
            self.scalars.push(scalar);
            self.scalars.len() - 1
        });
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        let ty = Type::new(DType::F32, Shape::scalar());
        self.builder(p)
            .push(Op::Input(Input::Scalar(number)), &[], ty)
    }

    fn builder(&mut self, p: &Trained) -> Builder<'_> {
        let origin = self.graph.node(p.value).origin;
        Builder {
            graph: self.graph,
            origin,
        }
    }
}

/// `fma(β, old, (1 − β)·new)`.
fn moving(b: &mut Builder<'_>, beta: f64, old: ValueId, new: ValueId) -> ValueId {
    let shape = b.shape(old);
    let share = b.constant((1.0 - beta) as f32);
    let beta = b.constant(beta as f32);
    let part = b.map(MapOp::Mul, &[share, new]);
    b.map_to(MapOp::Fma, &[beta, old, part], &shape)
}

fn sum_of_squares(b: &mut Builder<'_>, g: ValueId) -> ValueId {
    let square = b.map(MapOp::Mul, &[g, g]);
    let over: Vec<Axis> = b.shape(g).axes().cloned().collect();
    b.sum(&over, square)
}

/// One sum over rank-0 values, in order.
fn sum_of_scalars(b: &mut Builder<'_>, values: &[ValueId]) -> ValueId {
    let axis = Axis::new("parameter");
    let line = |size| {
        Shape(vec![Dim {
            axis: axis.clone(),
            size,
        }])
    };
    let parts: Vec<ValueId> = values
        .iter()
        .map(|&v| b.f32(Op::Broadcast, &[v], line(1)))
        .collect();
    let joined = b.f32(Op::Concat { axis: axis.clone() }, &parts, line(parts.len()));
    b.sum(std::slice::from_ref(&axis), joined)
}
