//! How cases are put together.

use crate::Case;
use mmh_ir::{Axis, DType, Dim, Graph, Input, MapOp, Op, Origin, ReduceKind, Shape, Type, ValueId};
use mmh_ir::{Literal, Window};
use mmh_vectors::Source;

const O: Origin = Origin(0);

/// A case that grows.
#[derive(Default)]
pub(crate) struct Maker {
    pub(crate) graph: Graph,
    operands: Vec<Vec<u32>>,
    inputs: Vec<ValueId>,
    pub(crate) rows: Vec<i32>,
    pub(crate) key: Option<[u32; 8]>,
}

impl Maker {
    /// An operand with these elements.
    pub(crate) fn operand(
        &mut self,
        dtype: DType,
        dims: &[(&str, usize)],
        words: Vec<u32>,
    ) -> ValueId {
        let op = Op::Input(Input::Column(self.operands.len() as u32));
        let value = self
            .graph
            .push(op, vec![], Type::new(dtype, Shape::of(dims)), O);
        self.operands.push(words);
        if dtype == DType::F32 {
            self.inputs.push(value);
        }
        value
    }

    /// A float operand whose sums and products differ with every order: finite, of sizes 2⁻¹² to 2¹².
    pub(crate) fn spread(&mut self, dims: &[(&str, usize)]) -> ValueId {
        let count = Shape::of(dims).elements();
        let words = Source::default().spread(self.operands.len() + 11, DType::F32, count);
        self.operand(DType::F32, dims, words)
    }

    /// Whole numbers below `below`.
    pub(crate) fn index(&mut self, below: u32, dims: &[(&str, usize)]) -> ValueId {
        let count = Shape::of(dims).elements();
        let words = Source::default().operand(self.operands.len() + 31, DType::F32, count);
        let words = words.iter().map(|word| (word >> 3) % below).collect();
        self.operand(DType::I32, dims, words)
    }

    pub(crate) fn push(
        &mut self,
        op: Op,
        inputs: &[ValueId],
        dtype: DType,
        dims: &[(&str, usize)],
    ) -> ValueId {
        self.graph
            .push(op, inputs.to_vec(), Type::new(dtype, Shape::of(dims)), O)
    }

    pub(crate) fn map(&mut self, op: MapOp, inputs: &[ValueId]) -> ValueId {
        self.graph.map(op, inputs, O)
    }

    pub(crate) fn constant(&mut self, value: f32) -> ValueId {
        self.graph.constant(value, O)
    }

    pub(crate) fn reduce(&mut self, kind: ReduceKind, over: &[&str], x: ValueId) -> ValueId {
        self.graph.reduce(kind, &axes(over), x, O)
    }

    pub(crate) fn contract(&mut self, a: ValueId, b: ValueId, over: &[&str]) -> ValueId {
        self.graph.contract(a, b, &axes(over), O)
    }

    /// `x` with `axis` turned into `places` windows of `taps`.
    pub(crate) fn window(
        &mut self,
        x: ValueId,
        window: Window,
        places: usize,
        taps: usize,
    ) -> ValueId {
        let mut dims = self.graph.shape(x).0.clone();
        for dim in dims.iter_mut().filter(|dim| dim.axis == window.axis) {
            *dim = Dim {
                axis: window.out.clone(),
                size: places,
            };
        }
        dims.push(Dim {
            axis: window.tap.clone(),
            size: taps,
        });
        let ty = Type::new(self.graph.ty(x).dtype, Shape(dims));
        self.graph.push(Op::Window(window), vec![x], ty, O)
    }

    /// The case that compares these values.
    pub(crate) fn case(self, name: impl Into<String>, results: &[ValueId]) -> Case {
        Case {
            name: name.into(),
            graph: self.graph,
            operands: self.operands,
            rows: self.rows,
            key: self.key,
            results: results.to_vec(),
        }
    }

    /// The case that compares `y`, composites lowered, and the gradients of its weighted sum by every float operand that
    /// reaches it.
    pub(crate) fn with_gradients(mut self, name: &str, y: ValueId) -> Option<Case> {
        let by = std::mem::take(&mut self.inputs);
        let shape = self.graph.shape(y).clone();
        let dims: Vec<(&str, usize)> = shape.0.iter().map(|d| (d.axis.as_str(), d.size)).collect();
        let weights = self.spread(&dims);
        let mut loss = self.map(MapOp::Mul, &[y, weights]);
        if !dims.is_empty() {
            let over: Vec<Axis> = shape.axes().cloned().collect();
            loss = self.graph.reduce(ReduceKind::Sum, &over, loss, O);
        }
        let found = mmh_plan::differentiate(&self.graph, loss, &by).ok()?;
        let mut results: Vec<ValueId> = found.values.get(y.index()).copied().into_iter().collect();
        results.extend(found.gradients.iter().flatten());
        self.graph = found.graph;
        Some(self.case(format!("{name}, gradient"), &results))
    }
}

pub(crate) fn axes(names: &[&str]) -> Vec<Axis> {
    names.iter().map(|name| Axis::new(name)).collect()
}

/// A forward window along an axis that keeps its name.
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
