//! The first-order tensor graph.

use crate::op::{Composite, Input, MapOp, Op, ReduceKind};
use crate::shape::{Axis, DType, Shape, Type};
use std::fmt;

/// The number of a value: the node that defines it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

impl ValueId {
    /// As an index into [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Debug for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a node came from, meaningful only to who made the graph. Outside every hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origin(pub u32);

/// One operation with its operands and the type of its result.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Its operands, all defined earlier.
    pub inputs: Vec<ValueId>,
    /// Type of the result.
    pub ty: Type,
    /// Where it came from.
    pub origin: Origin,
}

/// Nodes in definition order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// The nodes; a [`ValueId`] is an index into them.
    pub nodes: Vec<Node>,
}

/// Why a graph is not well formed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// The offending value.
    pub value: ValueId,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.value, self.reason)
    }
}

impl Graph {
    /// Appends a node and gives its value.
    pub fn push(&mut self, op: Op, inputs: Vec<ValueId>, ty: Type, origin: Origin) -> ValueId {
        let id = ValueId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            op,
            inputs,
            ty,
            origin,
        });
        id
    }

    /// The node that defines `value`.
    pub fn node(&self, value: ValueId) -> &Node {
        &self.nodes[value.index()]
    }

    /// Type of `value`.
    pub fn ty(&self, value: ValueId) -> &Type {
        &self.node(value).ty
    }

    /// Shape of `value`.
    pub fn shape(&self, value: ValueId) -> &Shape {
        &self.node(value).ty.shape
    }

    /// All values, in definition order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = ValueId> + use<> {
        (0..self.nodes.len() as u32).map(ValueId)
    }

    /// Pointwise node whose type follows from its operands: the union of axes in operand order.
    pub fn map(&mut self, op: MapOp, inputs: &[ValueId], origin: Origin) -> ValueId {
        let mut shape = Shape::scalar();
        for &input in inputs {
            shape = shape.union(self.shape(input));
        }
        let dtype = map_dtype(
            op,
            &inputs.iter().map(|&v| self.ty(v).dtype).collect::<Vec<_>>(),
        );
        self.push(
            Op::Map(op),
            inputs.to_vec(),
            Type::new(dtype, shape),
            origin,
        )
    }

    /// A rank-0 f32.
    pub fn constant(&mut self, value: f32, origin: Origin) -> ValueId {
        self.push(
            Op::Constant(crate::Literal(value)),
            vec![],
            Type::f32(Shape::scalar()),
            origin,
        )
    }

    /// Reduction over `over`.
    pub fn reduce(
        &mut self,
        kind: ReduceKind,
        over: &[Axis],
        input: ValueId,
        origin: Origin,
    ) -> ValueId {
        let shape = self.shape(input).without(over);
        let dtype = if kind == ReduceKind::ArgMax {
            DType::I32
        } else {
            self.ty(input).dtype
        };
        self.push(
            Op::Reduce {
                kind,
                over: over.to_vec(),
            },
            vec![input],
            Type::new(dtype, shape),
            origin,
        )
    }

    /// Contraction over `over`: result axes are shared batch axes and the left's others in the left's order, then the right's.
    pub fn contract(
        &mut self,
        left: ValueId,
        right: ValueId,
        over: &[Axis],
        origin: Origin,
    ) -> ValueId {
        let shape = self
            .shape(left)
            .without(over)
            .union(&self.shape(right).without(over));
        self.push(
            Op::Contract {
                over: over.to_vec(),
            },
            vec![left, right],
            Type::f32(shape),
            origin,
        )
    }

    /// `value` with the axes of `shape`, in its order; `value` itself if nothing changes.
    pub fn broadcast(&mut self, value: ValueId, shape: &Shape, origin: Origin) -> ValueId {
        if self.shape(value) == shape {
            return value;
        }
        let ty = Type::new(self.ty(value).dtype, shape.clone());
        self.push(Op::Broadcast, vec![value], ty, origin)
    }

    /// Whether composites are left.
    pub fn has_composites(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n.op, Op::Composite(_)))
    }

    /// Which values the given roots need, as a mask over nodes.
    pub fn live(&self, roots: &[ValueId]) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        for root in roots {
            live[root.index()] = true;
        }
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if live[i] {
                for input in &node.inputs {
                    live[input.index()] = true;
                }
            }
        }
        live
    }

    /// Checks the invariants of every node: definition before use, arity, unique axes, and the type each op implies.
    pub fn verify(&self) -> Result<(), Malformed> {
        for value in self.values() {
            let node = self.node(value);
            let fail = |reason: String| Err(Malformed { value, reason });
            if let Some(late) = node.inputs.iter().find(|v| **v >= value) {
                return fail(format!("uses {late} before it is defined"));
            }
            for (i, dim) in node.ty.shape.0.iter().enumerate() {
                if node.ty.shape.0[..i].iter().any(|d| d.axis == dim.axis) {
                    return fail(format!("axis `{}` stands twice", dim.axis));
                }
            }
            if let Err(reason) = self.verify_node(node) {
                return fail(reason);
            }
        }
        Ok(())
    }

    fn verify_node(&self, node: &Node) -> Result<(), String> {
        let shapes: Vec<&Shape> = node.inputs.iter().map(|&v| self.shape(v)).collect();
        let dtypes: Vec<DType> = node.inputs.iter().map(|&v| self.ty(v).dtype).collect();
        let out = &node.ty.shape;
        let arity = |n: usize| {
            if shapes.len() == n {
                Ok(())
            } else {
                Err(format!("{} operands, not {n}", shapes.len()))
            }
        };
        match &node.op {
            Op::Input(_) => arity(0),
            Op::Constant(_) => arity(0).and_then(|()| {
                want(
                    out.rank() == 0 && node.ty.dtype == DType::F32,
                    "a constant is a rank-0 f32",
                )
            }),
            Op::Integer(_) => arity(0).and_then(|()| {
                want(
                    out.rank() == 0 && node.ty.dtype == DType::I32,
                    "an integer is a rank-0 i32",
                )
            }),
            Op::Position => arity(0).and_then(|()| {
                want(
                    out.rank() == 1 && node.ty.dtype == DType::I32,
                    "a position is i32 over one axis",
                )
            }),
            Op::Random(_) => {
                arity(2)?;
                want(dtypes == [DType::I32, DType::I32], "key and nonce are i32")?;
                want(shapes[0].elements() == 8, "a key has 8 words")?;
                want(
                    shapes[1].rank() <= 1 && shapes[1].axes().all(|a| out.position(a) == Some(0)),
                    "the nonce's axis leads the result",
                )
            }
            Op::Map(op) => {
                arity(op.arity())?;
                for shape in &shapes {
                    for dim in &shape.0 {
                        want(
                            out.size(&dim.axis) == Some(dim.size),
                            &format!("axis `{}` does not broadcast", dim.axis),
                        )?;
                    }
                }
                want(
                    out.0.iter().all(|d| shapes.iter().any(|s| s.has(&d.axis))),
                    "an axis comes from nowhere",
                )?;
                want(
                    map_dtype(*op, &dtypes) == node.ty.dtype,
                    "wrong element type",
                )
            }
            Op::Broadcast => {
                arity(1)?;
                want(
                    shapes[0]
                        .0
                        .iter()
                        .all(|d| out.size(&d.axis) == Some(d.size)),
                    "an axis is lost or resized",
                )
            }
            Op::Rename { from, to } => {
                arity(1)?;
                let same = shapes[0].0.iter().zip(&out.0).all(|(a, b)| {
                    a.size == b.size && (a.axis == b.axis || (&a.axis == from && &b.axis == to))
                });
                want(
                    same && shapes[0].rank() == out.rank() && shapes[0].has(from),
                    "not a renaming",
                )
            }
            Op::Merge { axes, into } => {
                arity(1)?;
                let first = axes
                    .first()
                    .and_then(|a| shapes[0].position(a))
                    .ok_or("the first axis is missing")?;
                let adjacent = axes
                    .iter()
                    .enumerate()
                    .all(|(i, a)| shapes[0].position(a) == Some(first + i));
                let size: usize = axes.iter().filter_map(|a| shapes[0].size(a)).product();
                want(
                    adjacent && out.position(into) == Some(first) && out.size(into) == Some(size),
                    "not a merge of adjacent axes",
                )?;
                want(out.elements() == shapes[0].elements(), "elements lost")
            }
            Op::Split { axis, into } => {
                arity(1)?;
                let at = shapes[0].position(axis).ok_or("the axis is missing")?;
                let there = into
                    .iter()
                    .enumerate()
                    .all(|(i, a)| out.position(a) == Some(at + i));
                want(
                    there && out.elements() == shapes[0].elements(),
                    "not a split",
                )
            }
            Op::Slice { axis, start, step } => {
                arity(1)?;
                let (n, m) = (
                    shapes[0].size(axis).ok_or("the axis is missing")?,
                    out.size(axis).ok_or("the axis is lost")?,
                );
                want(
                    *step > 0 && (m == 0 || start + (m - 1) * step < n),
                    "reads past the end",
                )?;
                want(
                    out.without(std::slice::from_ref(axis))
                        == shapes[0].without(std::slice::from_ref(axis)),
                    "another axis changes",
                )
            }
            Op::Pad { axis, before, step } => {
                arity(1)?;
                let (n, m) = (
                    shapes[0].size(axis).ok_or("the axis is missing")?,
                    out.size(axis).ok_or("the axis is lost")?,
                );
                want(
                    *step > 0 && (n == 0 || before + (n - 1) * step < m),
                    "the operand does not fit",
                )
            }
            Op::Concat { axis } => {
                let total: usize = shapes.iter().filter_map(|s| s.size(axis)).sum();
                want(
                    !shapes.is_empty()
                        && shapes.iter().all(|s| s.has(axis))
                        && out.size(axis) == Some(total),
                    "sizes do not add up",
                )?;
                want(
                    shapes
                        .iter()
                        .all(|s| s.rank() == out.rank() && s.axes().eq(out.axes())),
                    "other axes differ",
                )
            }
            Op::Window(w) => {
                arity(1)?;
                want(w.divide > 0 && shapes[0].has(&w.axis), "bad window")?;
                want(
                    out.has(&w.out) && out.has(&w.tap) && out.rank() == shapes[0].rank() + 1,
                    "window axes are missing",
                )
            }
            Op::Reduce { kind, over } => {
                arity(1)?;
                want(
                    over.iter().all(|a| shapes[0].has(a)),
                    "a reduced axis is missing",
                )?;
                want(*out == shapes[0].without(over), "wrong result shape")?;
                want(
                    (*kind == ReduceKind::ArgMax) == (node.ty.dtype == DType::I32)
                        || dtypes[0] == DType::I32,
                    "wrong element type",
                )
            }
            Op::Contract { over } => {
                arity(2)?;
                want(
                    dtypes == [DType::F32, DType::F32] && node.ty.dtype == DType::F32,
                    "contractions are f32",
                )?;
                want(
                    over.iter()
                        .all(|a| shapes[0].has(a) && shapes[0].size(a) == shapes[1].size(a)),
                    "a contracted axis is not on both sides",
                )?;
                let shared = shapes[0]
                    .0
                    .iter()
                    .all(|d| shapes[1].size(&d.axis).is_none_or(|n| n == d.size));
                let all = shapes[0].without(over).union(&shapes[1].without(over));
                want(
                    shared
                        && all.rank() == out.rank()
                        && all.0.iter().all(|d| out.size(&d.axis) == Some(d.size)),
                    "wrong result shape",
                )
            }
            Op::Gather { axis } => {
                arity(2)?;
                want(
                    dtypes[1] == DType::I32 && shapes[0].has(axis) && !shapes[1].has(axis),
                    "needs a table with the axis and an i32 index",
                )?;
                want(
                    *out == shapes[1].union(&shapes[0].without(std::slice::from_ref(axis))),
                    "wrong result shape",
                )
            }
            Op::OneHot { axis } => {
                arity(1)?;
                let mut expect = shapes[0].clone();
                expect
                    .0
                    .extend(out.0.last().filter(|d| &d.axis == axis).cloned());
                want(
                    dtypes[0] == DType::I32 && expect == *out && node.ty.dtype == DType::F32,
                    "wrong result",
                )
            }
            Op::Sample { row, column } => {
                arity(3)?;
                want(
                    shapes[0].has(row) && shapes[0].has(column),
                    "the image lacks an axis",
                )?;
                want(*out == *shapes[0], "the result has the image's shape")?;
                want(
                    shapes[1..]
                        .iter()
                        .all(|s| s.0.iter().all(|d| out.size(&d.axis) == Some(d.size))),
                    "places do not broadcast",
                )
            }
            Op::Composite(c) => verify_composite(c, &shapes, out),
        }
    }
}

fn verify_composite(composite: &Composite, shapes: &[&Shape], out: &Shape) -> Result<(), String> {
    let arity = |n: usize| {
        if shapes.len() == n {
            Ok(())
        } else {
            Err(format!("{} operands, not {n}", shapes.len()))
        }
    };
    match composite {
        Composite::Softmax { over } => arity(1).and_then(|()| {
            want(
                over.iter().all(|a| shapes[0].has(a)) && out == shapes[0],
                "wrong result shape",
            )
        }),
        Composite::LogSumExp { over } => {
            arity(1).and_then(|()| want(*out == shapes[0].without(over), "wrong result shape"))
        }
        Composite::CrossEntropy { class } => {
            arity(2)?;
            want(
                *out == shapes[0].without(std::slice::from_ref(class))
                    && out.rank() == shapes[1].rank(),
                "wrong result shape",
            )
        }
        Composite::Normalise { over, .. } => {
            arity(3)?;
            let kept = shapes[0].without(over);
            want(
                out == shapes[0] && *shapes[1] == kept && *shapes[2] == kept,
                "statistics have the kept axes",
            )
        }
        Composite::Attend {
            over, key, causal, ..
        } => {
            arity(3)?;
            want(
                over.iter().all(|a| shapes[0].has(a) && shapes[1].has(a)),
                "q and k share the contracted axes",
            )?;
            want(
                shapes[1].has(key) && shapes[2].has(key) && !shapes[0].has(key),
                "k and v have the key axis, q has not",
            )?;
            want(
                causal.as_ref().is_none_or(|a| shapes[0].has(a)),
                "q lacks the causal axis",
            )
        }
        Composite::StopGradient => {
            arity(1).and_then(|()| want(out == shapes[0], "wrong result shape"))
        }
    }
}

fn want(holds: bool, reason: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(reason.to_string())
    }
}

/// Element type of a pointwise result.
pub fn map_dtype(op: MapOp, inputs: &[DType]) -> DType {
    match op {
        _ if op.is_comparison() => DType::Bool,
        MapOp::Not | MapOp::And | MapOp::Or => DType::Bool,
        MapOp::ToF32 => DType::F32,
        MapOp::ToI32 => DType::I32,
        MapOp::Select => inputs.get(1).copied().unwrap_or(DType::F32),
        _ => inputs.first().copied().unwrap_or(DType::F32),
    }
}

/// Whether a leaf input stays the same for every row of a batch.
pub fn is_per_row(input: Input) -> bool {
    matches!(input, Input::Column(_) | Input::Rows)
}
