//! Graphs by hand.

use mmh_ir::{
    Axis, DType, Dim, Graph, Input, Literal, MapOp, Op, Origin, ReduceKind, Shape, Type, ValueId,
    Window,
};

/// Builds graphs for tests.
#[derive(Default)]
pub(crate) struct Maker {
    pub(crate) graph: Graph,
    slots: u32,
    /// Running statistics: slot and next value.
    pub(crate) next: Vec<(u32, ValueId)>,
}

impl Maker {
    pub(crate) fn param(&mut self, dims: &[(&str, usize)]) -> ValueId {
        let op = Op::Input(Input::State(self.slots));
        self.slots += 1;
        self.f32(op, &[], Shape::of(dims))
    }

    /// An i32 column with numbers below `below`.
    pub(crate) fn index(&mut self, below: u32, dims: &[(&str, usize)]) -> ValueId {
        let ty = Type::new(DType::I32, Shape::of(dims));
        self.graph
            .push(Op::Input(Input::Column(below)), vec![], ty, Origin(0))
    }

    pub(crate) fn f32(&mut self, op: Op, inputs: &[ValueId], shape: Shape) -> ValueId {
        self.graph
            .push(op, inputs.to_vec(), Type::f32(shape), Origin(0))
    }

    pub(crate) fn map(&mut self, op: MapOp, inputs: &[ValueId]) -> ValueId {
        self.graph.map(op, inputs, Origin(0))
    }

    pub(crate) fn constant(&mut self, value: f32) -> ValueId {
        self.graph.constant(value, Origin(0))
    }

    pub(crate) fn contract(&mut self, a: ValueId, b: ValueId, over: &[&str]) -> ValueId {
        self.graph.contract(a, b, &axes(over), Origin(0))
    }

    pub(crate) fn reduce(&mut self, kind: ReduceKind, over: &[&str], x: ValueId) -> ValueId {
        self.graph.reduce(kind, &axes(over), x, Origin(0))
    }

    /// `x` kept away from kinks and poles: `x·x + ½`.
    pub(crate) fn positive(&mut self, x: ValueId) -> ValueId {
        let half = self.constant(0.5);
        self.map(MapOp::Fma, &[x, x, half])
    }

    /// A sum of the elements with different weights, so that no adjoint is constant.
    pub(crate) fn loss(&mut self, y: ValueId) -> ValueId {
        let shape = self.graph.shape(y).clone();
        let over: Vec<Axis> = shape.axes().cloned().collect();
        let op = Op::Input(Input::Column(1_000));
        let weights = self.f32(op, &[], shape);
        let weighted = self.map(MapOp::Mul, &[y, weights]);
        if over.is_empty() {
            return weighted;
        }
        self.graph
            .reduce(ReduceKind::Sum, &over, weighted, Origin(0))
    }

    pub(crate) fn window(
        &mut self,
        x: ValueId,
        window: Window,
        places: usize,
        taps: usize,
    ) -> ValueId {
        let mut dims = self.graph.shape(x).0.clone();
        for dim in &mut dims {
            if dim.axis == window.axis {
                *dim = Dim {
                    axis: window.out.clone(),
                    size: places,
                };
            }
        }
        dims.push(Dim {
            axis: window.tap.clone(),
            size: taps,
        });
        self.f32(Op::Window(window), &[x], Shape(dims))
    }
}

pub(crate) fn axes(names: &[&str]) -> Vec<Axis> {
    names.iter().map(|n| Axis::new(n)).collect()
}

pub(crate) fn window(
    axis: &str,
    tap: &str,
    [stride, dilation, offset]: [i64; 3],
    fill: f32,
) -> Window {
    Window {
        axis: axis.into(),
        out: axis.into(),
        tap: tap.into(),
        stride,
        dilation,
        offset,
        divide: 1,
        fill: Literal(fill),
    }
}
