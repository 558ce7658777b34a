//! What an executor carries out: steps over buffers, in order.
//!
//! A schedule is outside every hash. Any executor that carries out its steps gives the bits of the graph it came from.

use crate::kernel::{Element, Kernel, Mode};
use crate::view::{BufferId, View};
use mmh_ir::{Axis, DType, Input, RandomKind};

/// Number of a kernel in a [`Schedule`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KernelId(pub u32);

/// Where a buffer lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// Fed from outside, row-major.
    Input(Input),
    /// At this byte of the arena, a multiple of 64.
    Arena(usize),
}

/// One piece of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buffer {
    /// Element type.
    pub dtype: Element,
    /// Number of elements.
    pub elements: usize,
    /// Where it lives.
    pub home: Home,
}

/// An operand of a kernel: a place and a stride for every loop, in elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arg {
    /// The memory.
    pub buffer: BufferId,
    /// First element.
    pub offset: usize,
    /// Stride of every loop, outermost first.
    pub strides: Vec<isize>,
}

/// Runs a kernel for every element of nested loops. The last loop is the kernel's columns, the one before its rows.
#[derive(Clone, PartialEq, Debug)]
pub struct MapStep {
    /// The kernel.
    pub kernel: KernelId,
    /// Loop sizes, outermost first; at least two (padded with 1).
    pub loops: Vec<usize>,
    /// Loads, then stores.
    pub args: Vec<Arg>,
}

/// One loop of a reduction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loop {
    /// Iterations.
    pub size: usize,
    /// Whether the reduction folds over it.
    pub reduced: bool,
}

/// Folds the kernel's values over the reduced loops, in the order of their flattened number, by the contract's lanes
/// and tree. Either the last loop is reduced (rows form: `kept…, reduced…`) or it is kept (columns form:
/// `kept…, reduced…, column`).
#[derive(Clone, PartialEq, Debug)]
pub struct ReduceStep {
    /// Computes the elements; one store per result.
    pub kernel: KernelId,
    /// How elements are combined: Sum, Max or Min.
    pub fold: Mode,
    /// Loops, outermost first; at least two.
    pub loops: Vec<Loop>,
    /// Loads.
    pub loads: Vec<Arg>,
    /// Results; strides of reduced loops are 0.
    pub results: Vec<Arg>,
}

/// First place of the largest element over the reduced loops (rows form).
#[derive(Clone, PartialEq, Debug)]
pub struct ArgMaxStep {
    /// Kept loops, then reduced ones in fold order.
    pub loops: Vec<Loop>,
    /// f32 operand.
    pub load: Arg,
    /// i32 result.
    pub result: Arg,
}

/// The part of a product that a causal mask leaves out; its work may be skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// All of it is there.
    #[default]
    Nothing,
    /// Row i contracts only over k ≤ i. Elements `a[i][k]` with k > i may be read and are zero.
    ContractedAfterRow,
    /// Row i contracts only over k ≥ i. Elements `a[i][k]` with k < i may be read and are zero.
    ContractedBeforeRow,
    /// Only outputs (i, j) with j ≤ i are asked for; the others become the product or zero.
    OutputAfterRow,
}

/// A batched strict-order matrix product `c[m, n] = Σ_k a[m, k]·b[k, n]`.
#[derive(Clone, PartialEq, Debug)]
pub struct ContractStep {
    /// Sizes m, n, k.
    pub size: [usize; 3],
    /// Batch loops, outermost first.
    pub batch: Vec<usize>,
    /// Left operand: strides of the batch loops, then m, k.
    pub a: Arg,
    /// Right operand: strides of the batch loops, then k, n.
    pub b: Arg,
    /// Result: strides of the batch loops, then m, n.
    pub c: Arg,
    /// What need not be computed.
    pub absent: Absent,
}

/// Geometry of one spatial axis: tap t of output o reads source `(o·stride + t·dilation + offset) / divide`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spatial {
    /// Places of the source.
    pub source: usize,
    /// Places of the output.
    pub out: usize,
    /// Taps.
    pub taps: usize,
    /// See above.
    pub stride: i64,
    /// See above.
    pub dilation: i64,
    /// See above.
    pub offset: i64,
    /// See above.
    pub divide: i64,
}

impl Spatial {
    /// An axis that is not there.
    pub const NONE: Self = Self {
        source: 1,
        out: 1,
        taps: 1,
        stride: 1,
        dilation: 1,
        offset: 0,
        divide: 1,
    };
}

/// `y[b, oh, ow, n] = Σ_(kh, kw, c) x[b, window(oh, kh), window(ow, kw), c] · w[kh, kw, c, n]`; x and y dense in this order.
#[derive(Clone, PartialEq, Debug)]
pub struct ConvStep {
    /// Rows of the batch.
    pub batch: usize,
    /// Channels of x and of y.
    pub channels: [usize; 2],
    /// Rows and columns of the picture.
    pub spatial: [Spatial; 2],
    /// Source.
    pub x: BufferId,
    /// Weights: strides of the taps (kh and kw as one), c, n.
    pub w: Arg,
    /// Result.
    pub y: BufferId,
}

/// `dw[kh, kw, c, n] = Σ_(b, oh, ow) x[b, window(oh, kh), window(ow, kw), c] · g[b, oh, ow, n]`; x, g and dw dense.
#[derive(Clone, PartialEq, Debug)]
pub struct ConvWeightStep {
    /// Rows of the batch.
    pub batch: usize,
    /// Channels of x and of g.
    pub channels: [usize; 2],
    /// Rows and columns of the picture.
    pub spatial: [Spatial; 2],
    /// Source.
    pub x: BufferId,
    /// Gradient of the result.
    pub g: BufferId,
    /// Gradient of the weights, dense.
    pub dw: BufferId,
}

/// `out[v, …] = Σ_p [index[p] = v] · g[p, …]`: the contraction with one-hot rows.
#[derive(Clone, PartialEq, Debug)]
pub struct ScatterStep {
    /// i32, dense, one per position.
    pub index: BufferId,
    /// f32, dense `[positions, width]`.
    pub g: BufferId,
    /// f32, dense `[rows, width]`.
    pub out: BufferId,
    /// Positions, rows, width.
    pub size: [usize; 3],
}

/// `out[loops] = table[loops but the looked-up axis, index[loops]]`.
#[derive(Clone, PartialEq, Debug)]
pub struct GatherStep {
    /// Loop sizes.
    pub loops: Vec<usize>,
    /// Any 4-byte or 1-byte elements.
    pub table: Arg,
    /// Elements between neighbours along the looked-up axis, and its size.
    pub axis: (isize, usize),
    /// i32.
    pub index: Arg,
    /// Result.
    pub out: Arg,
}

impl GatherStep {
    /// Whether the last loop copies neighbours, so that one look-up serves a whole row.
    pub fn copies_rows(&self) -> bool {
        let last = |arg: &Arg| arg.strides.last().copied().unwrap_or(0);
        last(&self.index) == 0 && last(&self.table) == 1 && last(&self.out) == 1
    }
}

/// Addressed draws into a dense buffer.
#[derive(Clone, PartialEq, Debug)]
pub struct RandomStep {
    /// What is drawn.
    pub kind: RandomKind,
    /// i32, 8 words.
    pub key: BufferId,
    /// i32: one nonce for all, or one for each row.
    pub nonce: BufferId,
    /// Rows with a nonce each, and elements of a row.
    pub size: [usize; 2],
    /// Result.
    pub out: BufferId,
}

/// Bilinear sampling of planes.
#[derive(Clone, PartialEq, Debug)]
pub struct SampleStep {
    /// Loops around the picture, then rows, columns.
    pub loops: Vec<usize>,
    /// Picture.
    pub image: Arg,
    /// Row places.
    pub row: Arg,
    /// Column places.
    pub column: Arg,
    /// Result.
    pub out: Arg,
}

/// Copies windows: loops are those of the result.
#[derive(Clone, PartialEq, Debug)]
pub struct WindowStep {
    /// Loop sizes of the result.
    pub loops: Vec<usize>,
    /// Loop of window places and loop of taps.
    pub window: [usize; 2],
    /// Geometry.
    pub spatial: Spatial,
    /// Source; strides of the two loops above are 0.
    pub source: Arg,
    /// Elements between neighbours of the windowed source axis.
    pub stride: isize,
    /// Value of absent elements: its bits, truncated to the element size.
    pub fill: u32,
    /// Result.
    pub out: Arg,
}

/// One step.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "each variant holds the step type of its name")]
pub enum Step {
    Map(MapStep),
    Reduce(ReduceStep),
    ArgMax(ArgMaxStep),
    Contract(ContractStep),
    Conv(ConvStep),
    ConvWeight(ConvWeightStep),
    Scatter(ScatterStep),
    Gather(GatherStep),
    Random(RandomStep),
    Sample(SampleStep),
    Window(WindowStep),
}

impl Step {
    /// A short name for profiles.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Map(_) => "map",
            Self::Reduce(_) => "reduce",
            Self::ArgMax(_) => "argmax",
            Self::Contract(_) => "contract",
            Self::Conv(_) => "conv",
            Self::ConvWeight(_) => "conv-weight",
            Self::Scatter(_) => "scatter",
            Self::Gather(_) => "gather",
            Self::Random(_) => "random",
            Self::Sample(_) => "sample",
            Self::Window(_) => "window",
        }
    }

    /// Buffers read and written, in that order.
    pub fn buffers(&self) -> (Vec<BufferId>, Vec<BufferId>) {
        let of = |args: &[Arg]| args.iter().map(|a| a.buffer).collect::<Vec<_>>();
        match self {
            Self::Map(s) => (of(&s.args), of(&s.args)),
            Self::Reduce(s) => (of(&s.loads), of(&s.results)),
            Self::ArgMax(s) => (vec![s.load.buffer], vec![s.result.buffer]),
            Self::Contract(s) => (vec![s.a.buffer, s.b.buffer], vec![s.c.buffer]),
            Self::Conv(s) => (vec![s.x, s.w.buffer], vec![s.y]),
            Self::ConvWeight(s) => (vec![s.x, s.g], vec![s.dw]),
            Self::Scatter(s) => (vec![s.index, s.g], vec![s.out]),
            Self::Gather(s) => (vec![s.table.buffer, s.index.buffer], vec![s.out.buffer]),
            Self::Random(s) => (vec![s.key, s.nonce], vec![s.out]),
            Self::Sample(s) => (
                vec![s.image.buffer, s.row.buffer, s.column.buffer],
                vec![s.out.buffer],
            ),
            Self::Window(s) => (vec![s.source.buffer], vec![s.out.buffer]),
        }
    }
}

/// A value handed back, gathered into logical row-major order.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    /// Element type.
    pub dtype: DType,
    /// Where it lies.
    pub view: View,
    /// Axes in logical order, for people.
    pub axes: Vec<Axis>,
}

/// A lowered program.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Schedule {
    /// All memory.
    pub buffers: Vec<Buffer>,
    /// All kernels, each once.
    pub kernels: Vec<Kernel>,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Number of steps that run before guards are checked; the rest writes state.
    pub commit: usize,
    /// Values that must be finite, by number of the program's guards.
    pub guards: Vec<View>,
    /// Values handed back, by number of the program's results.
    pub results: Vec<Output>,
    /// Bytes of the arena.
    pub arena: usize,
}

impl Schedule {
    /// Buffers that a step reads and those that it writes, operand by operand.
    pub fn touched(&self, step: &Step) -> (Vec<BufferId>, Vec<BufferId>) {
        let (mut reads, mut writes) = step.buffers();
        if let Step::Map(map) = step {
            let loads = self.kernels[map.kernel.0 as usize].loads.len();
            reads.truncate(loads);
            writes.drain(..loads);
        }
        (reads, writes)
    }
}
