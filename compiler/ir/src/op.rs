//! The closed table of primitive operations.
//!
//! Axes are named: pointwise operations broadcast by name, reductions and contractions say which axes they take away and
//! in which order. [`Composite`] operations exist only before autodiff, each with a gradient of its own; lowering replaces
//! them by the rest of the table.

use crate::shape::Axis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An `f32` written in a graph, compared and printed by its bits.
#[derive(Clone, Copy)]
pub struct Literal(pub f32);

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Literal {}

impl std::hash::Hash for Literal {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for Literal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// What the runtime feeds into a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Column `n` of the training's data, for the rows of this batch: `[batch, …]`.
    Column(u32),
    /// The data-set row number of every row of the batch: `i32[batch]`.
    Rows,
    /// The global step, counted from 0: `i32`.
    Step,
    /// The key of random site `n` in this epoch, eight little-endian words: `i32[word = 8]`.
    Key(u32),
    /// State slot `n`: a parameter, running statistic or optimiser moment.
    State(u32),
    /// Step scalar `n`, computed by the host in f64 and rounded once: `f32`.
    Scalar(u32),
    /// Statistic `n` of the data's training rows, computed once when data is loaded.
    Statistic(u32),
}

/// Pointwise operations: one result element from one element of each operand. Axes broadcast by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapOp {
    /// `-a`
    Neg,
    /// `|a|`
    Abs,
    /// IEEE square root.
    Sqrt,
    /// `1 / sqrt(a)` as the contract defines it.
    Rsqrt,
    /// The contract's exponential.
    Exp,
    /// The contract's natural logarithm.
    Log,
    /// The contract's hyperbolic tangent.
    Tanh,
    /// The contract's logistic function.
    Sigmoid,
    /// The contract's error function.
    Erf,
    /// The contract's complementary error function.
    Erfc,
    /// `a · ½ · erfc(−a / √2)`
    Gelu,
    /// `max(0, a)`, passing NaN.
    Relu,
    /// The contract's sine.
    Sin,
    /// The contract's cosine.
    Cos,
    /// Largest integer not above `a`, as f32.
    Floor,
    /// The bf16 nearest to `a`, ties to even, as f32.
    Bf16,
    /// Logical not of a bool.
    Not,
    /// i32, u8 or bool to f32, rounded to nearest even.
    ToF32,
    /// f32 (truncated, saturated, NaN → 0), u8 or bool to i32.
    ToI32,
    /// `a + b` (f32, or i32 wrapping)
    Add,
    /// `a - b` (f32, or i32 wrapping)
    Sub,
    /// `a * b` (f32, or i32 wrapping)
    Mul,
    /// IEEE `a / b`
    Div,
    /// `a < b ? a : b`
    Min,
    /// `a > b ? a : b`
    Max,
    /// The contract's power.
    Pow,
    /// `a < b` as bool
    Lt,
    /// `a <= b` as bool
    Le,
    /// `a > b` as bool
    Gt,
    /// `a >= b` as bool
    Ge,
    /// `a == b` as bool
    Eq,
    /// `a != b` as bool
    Ne,
    /// Both bools.
    And,
    /// Either bool.
    Or,
    /// `c ? a : b`, operands in the order c, a, b.
    Select,
    /// Fused `a * b + c`.
    Fma,
}

impl MapOp {
    /// Number of operands.
    pub fn arity(self) -> usize {
        match self {
            Self::Neg
            | Self::Abs
            | Self::Sqrt
            | Self::Rsqrt
            | Self::Exp
            | Self::Log
            | Self::Tanh
            | Self::Sigmoid
            | Self::Erf
            | Self::Erfc
            | Self::Gelu
            | Self::Relu
            | Self::Sin
            | Self::Cos
            | Self::Floor
            | Self::Bf16
            | Self::Not
            | Self::ToF32
            | Self::ToI32 => 1,
            Self::Add
            | Self::Sub
            | Self::Mul
            | Self::Div
            | Self::Min
            | Self::Max
            | Self::Pow
            | Self::Lt
            | Self::Le
            | Self::Gt
            | Self::Ge
            | Self::Eq
            | Self::Ne
            | Self::And
            | Self::Or => 2,
            Self::Select | Self::Fma => 3,
        }
    }

    /// Whether the result is a truth value.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Lt | Self::Le | Self::Gt | Self::Ge | Self::Eq | Self::Ne
        )
    }
}

/// How a reduction folds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReduceKind {
    /// Sum by the contract's lanes and tree; empty is +0.
    Sum,
    /// Largest element; the first of equals.
    Max,
    /// Smallest element; the first of equals.
    Min,
    /// Flattened number (i32, in the order of `over`) of the first largest element.
    ArgMax,
}

/// What a random site draws, per element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RandomKind {
    /// f32 in `[0, 1)`: word i.
    Uniform,
    /// Standard normal f32: words 2⌊i/2⌋ and 2⌊i/2⌋ + 1.
    Normal,
    /// i32 below `n`: words 2i and 2i + 1.
    Below(u32),
}

/// Turns `axis` of a value into `out` and `tap`: element `(o, t)` is the source element
/// `(o·stride + t·dilation + offset) / divide` where that is whole and inside the axis, else absent (reads as `fill`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Window {
    /// The axis that is read.
    pub axis: Axis,
    /// The axis of window places (its size is in the node's type). May equal `axis`.
    pub out: Axis,
    /// The axis of places inside a window.
    pub tap: Axis,
    /// Source step per window.
    pub stride: i64,
    /// Source step per tap.
    pub dilation: i64,
    /// Source place of window 0, tap 0.
    pub offset: i64,
    /// Divisor: 1 for a forward window, the forward stride for its adjoint.
    pub divide: i64,
    /// Value of absent elements.
    pub fill: Literal,
}

/// Operations with a gradient of their own, replaced by primitives after autodiff.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Composite {
    /// `exp(x − max) / sum` over `over`; gradient `y·(g − sum(g·y))`.
    Softmax {
        /// Axes that sum to one.
        over: Vec<Axis>,
    },
    /// `max + log(sum(exp(x − max)))` over `over`; gradient `g·softmax`.
    LogSumExp {
        /// Axes that are reduced.
        over: Vec<Axis>,
    },
    /// Operands logits `f32[…, class]` and label `i32[…]`: `logsumexp(x) − x[label]`; gradient `g·(softmax − onehot)`.
    CrossEntropy {
        /// The class axis.
        class: Axis,
    },
    /// Operands x, mean, variance (both over `over`): `(x − mean)·rsqrt(variance + ε)`. The gradient takes mean and
    /// variance as functions of x: `r·(g − mean(g) − y·mean(g·y))`.
    Normalise {
        /// Axes over which the statistics were taken.
        over: Vec<Axis>,
        /// Added to the variance.
        epsilon: Literal,
    },
    /// Operands q `[…, depth]`, k `[…, key, depth]`, v `[…, key, …]`: with scores `contract(q, k, over)·scale`,
    /// `e = exp(score − max)` over `key`: `contract(e, v, key) / sum(e)`.
    Attend {
        /// Contracted axes of q and k.
        over: Vec<Axis>,
        /// The axis of keys.
        key: Axis,
        /// Factor on the scores.
        scale: Literal,
        /// Where set, only keys at places ≤ the place along this axis of q are present.
        causal: Option<Axis>,
        /// Where set, `e`, the result and what flows back are rounded to bf16 (contract, §6.11).
        narrow: bool,
    },
    /// The operand itself, through which no gradient flows.
    StopGradient,
}

/// One operation of a graph.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Fed by the runtime.
    Input(Input),
    /// A rank-0 f32.
    Constant(Literal),
    /// A rank-0 i32.
    Integer(i32),
    /// `0, 1, …` along the one axis of the type: i32.
    Position,
    /// Operands key `i32[word = 8]` and nonce (`i32` for the whole value, or `i32[batch]` for each row): addressed draws.
    /// Elements are numbered in logical order, without the nonce's axis.
    Random(RandomKind),
    /// Pointwise, broadcasting by name to the node's shape.
    Map(MapOp),
    /// The operand repeated along the axes it lacks; axes in the order of the node's type. Also reorders axes.
    Broadcast,
    /// The operand with axis `from` called `to`.
    Rename {
        /// Name in the operand.
        from: Axis,
        /// Name in the result.
        to: Axis,
    },
    /// The axes (adjacent in the order given) flattened into one.
    Merge {
        /// Axes, outermost first.
        axes: Vec<Axis>,
        /// Name of the result axis, at the place of the first.
        into: Axis,
    },
    /// One axis taken apart; sizes are in the node's type.
    Split {
        /// The axis.
        axis: Axis,
        /// Result axes, outermost first.
        into: Vec<Axis>,
    },
    /// Elements `start, start + step, …` of an axis; the count is in the node's type.
    Slice {
        /// The axis.
        axis: Axis,
        /// First element.
        start: usize,
        /// Distance, at least 1.
        step: usize,
    },
    /// `before` zeros ahead of an axis, and zeros behind up to the size in the node's type; `step − 1` zeros between elements.
    Pad {
        /// The axis.
        axis: Axis,
        /// Zeros ahead.
        before: usize,
        /// Distance of elements in the result, at least 1.
        step: usize,
    },
    /// The operands one behind another along an axis.
    Concat {
        /// The axis.
        axis: Axis,
    },
    /// Windows along an axis.
    Window(Window),
    /// Takes axes away by folding, in the order given.
    Reduce {
        /// The fold.
        kind: ReduceKind,
        /// Axes, outermost first; elements fold by their flattened number in this order.
        over: Vec<Axis>,
    },
    /// Multiplies two operands and sums over axes both have, as one strict chain per result element. Other shared axes
    /// are batch axes.
    Contract {
        /// Contracted axes, outermost first.
        over: Vec<Axis>,
    },
    /// Operands table and index (i32): `table[axis = index]`. Axes shared by table and index are aligned; the result has
    /// the index's axes, then the table's others.
    Gather {
        /// The looked-up axis of the table.
        axis: Axis,
    },
    /// Operand index (i32): 1.0 where the place along the new last axis equals the index, else 0.0.
    OneHot {
        /// The new axis; its size is in the node's type.
        axis: Axis,
    },
    /// Operands image, row place, column place (f32, broadcastable to the result): bilinear sampling, outside +0.
    Sample {
        /// Row axis of the image.
        row: Axis,
        /// Column axis of the image.
        column: Axis,
    },
    /// Only before autodiff.
    Composite(Composite),
}
