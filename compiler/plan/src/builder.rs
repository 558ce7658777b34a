//! Short words for making nodes.

use mmh_ir::graph::map_dtype;
use mmh_ir::{Axis, DType, Dim, Graph, MapOp, Op, Origin, ReduceKind, Shape, Type, ValueId};

/// Makes nodes of one origin at the end of a graph.
pub(crate) struct Builder<'a> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) origin: Origin,
}

impl Builder<'_> {
    /// Shape of `value`.
    pub(crate) fn shape(&self, value: ValueId) -> Shape {
        self.graph.shape(value).clone()
    }

    /// Any node.
    pub(crate) fn push(&mut self, op: Op, inputs: &[ValueId], ty: Type) -> ValueId {
        self.graph.push(op, inputs.to_vec(), ty, self.origin)
    }

    /// An f32 node.
    pub(crate) fn f32(&mut self, op: Op, inputs: &[ValueId], shape: Shape) -> ValueId {
        self.push(op, inputs, Type::f32(shape))
    }

    /// Pointwise, over the union of axes in operand order.
    pub(crate) fn map(&mut self, op: MapOp, inputs: &[ValueId]) -> ValueId {
        self.graph.map(op, inputs, self.origin)
    }

    /// Pointwise, over `shape`; its axes are those of the operands, in any order.
    pub(crate) fn map_to(&mut self, op: MapOp, inputs: &[ValueId], shape: &Shape) -> ValueId {
        let dtypes: Vec<DType> = inputs.iter().map(|&v| self.graph.ty(v).dtype).collect();
        let ty = Type::new(map_dtype(op, &dtypes), shape.clone());
        self.push(Op::Map(op), inputs, ty)
    }

    /// A rank-0 f32.
    pub(crate) fn constant(&mut self, value: f32) -> ValueId {
        self.graph.constant(value, self.origin)
    }

    /// A rank-0 i32.
    pub(crate) fn integer(&mut self, value: i32) -> ValueId {
        let ty = Type::new(DType::I32, Shape::scalar());
        self.push(Op::Integer(value), &[], ty)
    }

    /// `0, 1, …` along `axis`.
    pub(crate) fn position(&mut self, axis: &Axis, size: usize) -> ValueId {
        let axis = axis.clone();
        let ty = Type::new(DType::I32, Shape(vec![Dim { axis, size }]));
        self.push(Op::Position, &[], ty)
    }

    /// A fold; `value` itself if `over` is empty.
    pub(crate) fn reduce(&mut self, kind: ReduceKind, over: &[Axis], value: ValueId) -> ValueId {
        if over.is_empty() {
            return value;
        }
        self.graph.reduce(kind, over, value, self.origin)
    }

    /// Sum over `over`.
    pub(crate) fn sum(&mut self, over: &[Axis], value: ValueId) -> ValueId {
        self.reduce(ReduceKind::Sum, over, value)
    }

    /// Mean over `over`: sum / f32(n).
    pub(crate) fn mean(&mut self, over: &[Axis], value: ValueId) -> ValueId {
        let shape = self.shape(value);
        let count: usize = over.iter().filter_map(|axis| shape.size(axis)).product();
        let sum = self.sum(over, value);
        let count = self.constant(count as f32);
        self.map(MapOp::Div, &[sum, count])
    }

    /// Contraction whose result has the axes of `shape`.
    pub(crate) fn contract(
        &mut self,
        a: ValueId,
        b: ValueId,
        over: &[Axis],
        shape: &Shape,
    ) -> ValueId {
        let over = over.to_vec();
        self.f32(Op::Contract { over }, &[a, b], shape.clone())
    }

    /// `adjoint` contracted with `other` over the axes both have and `shape` lacks, in the order of `adjoint`.
    pub(crate) fn contract_to(
        &mut self,
        adjoint: ValueId,
        other: ValueId,
        shape: &Shape,
    ) -> ValueId {
        let both = self.graph.shape(adjoint).axes();
        let both = both.filter(|a| self.graph.shape(other).has(a) && !shape.has(a));
        let over: Vec<Axis> = both.cloned().collect();
        self.contract(adjoint, other, &over, shape)
    }

    /// `value` with exactly the axes of `shape`: repeated along those it lacks, summed over those it has too many, in its own
    /// order of them.
    pub(crate) fn fit(&mut self, value: ValueId, shape: &Shape) -> ValueId {
        let extra: Vec<Axis> = missing(self.graph.shape(value), shape);
        let summed = self.sum(&extra, value);
        self.graph.broadcast(summed, shape, self.origin)
    }
}

/// Axes of `shape` that `other` lacks, in order.
pub(crate) fn missing(shape: &Shape, other: &Shape) -> Vec<Axis> {
    shape
        .axes()
        .filter(|axis| !other.has(axis))
        .cloned()
        .collect()
}

/// `shape` with `axis` of `size` elements behind the others.
pub(crate) fn with_last(shape: &Shape, axis: &Axis, size: usize) -> Shape {
    let mut dims = shape.0.clone();
    dims.push(Dim {
        axis: axis.clone(),
        size,
    });
    Shape(dims)
}

/// `shape` with `axis` called `to` and of `size` elements, with the axis `tap` behind it.
pub(crate) fn windowed(
    shape: &Shape,
    axis: &Axis,
    to: (&Axis, usize),
    tap: (&Axis, usize),
) -> Shape {
    let dim = |(axis, size): (&Axis, usize)| Dim {
        axis: axis.clone(),
        size,
    };
    let dims = shape.0.iter().flat_map(|d| {
        if &d.axis == axis {
            vec![dim(to), dim(tap)]
        } else {
            vec![d.clone()]
        }
    });
    Shape(dims.collect())
}

/// `shape` with `axis` called `to` and of `size` elements.
pub(crate) fn replaced(shape: &Shape, axis: &Axis, to: &Axis, size: usize) -> Shape {
    let dims = shape.0.iter().map(|dim| {
        if &dim.axis == axis {
            Dim {
                axis: to.clone(),
                size,
            }
        } else {
            dim.clone()
        }
    });
    Shape(dims.collect())
}
