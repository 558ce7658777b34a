//! What an expression can be while a recipe is checked.

use crate::poly::Poly;
use mmh_diag::{SourceId, Span};
use mmh_ir::plan::Part;
use mmh_ir::{Axis, DType, ValueId};
use std::fmt::Write as _;
use std::rc::Rc;

/// A place in a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loc {
    /// The source.
    pub source: SourceId,
    /// The bytes.
    pub span: Span,
}

/// One axis of a tensor, its size, and the place that gave it its size.
#[derive(Clone, Debug)]
pub(crate) struct Dim {
    pub(crate) axis: Axis,
    pub(crate) size: Poly,
    pub(crate) loc: Loc,
}

/// What a later step wants to know about how a tensor was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Plain,
    /// By `softmax` at this place.
    Softmax(Loc),
    /// It is a raw column of the data, perhaps with the missing values filled in.
    Column(u32),
}

/// A value of the graph with its type. Outside of emission `id` means nothing.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) id: ValueId,
    pub(crate) dtype: DType,
    pub(crate) dims: Vec<Dim>,
    /// For class numbers: how many classes, and who says so.
    pub(crate) classes: Option<(Poly, Loc)>,
    pub(crate) made: Made,
}

impl Tensor {
    pub(crate) fn dim(&self, axis: &str) -> Option<&Dim> {
        self.dims.iter().find(|d| d.axis.as_str() == axis)
    }

    pub(crate) fn has(&self, axis: &str) -> bool {
        self.dim(axis).is_some()
    }

    /// `f32[batch, class = 10]`.
    pub(crate) fn text(&self) -> String {
        let word = match self.classes {
            Some(_) => "class",
            None => self.dtype.name(),
        };
        let mut out = String::with_capacity(64);
        out.push_str(word);
        let mut gap = "[";
        if let Some((classes, _)) = &self.classes {
            let _ = write!(out, "{gap}{classes}");
            gap = ", ";
        }
        write_axes(&mut out, gap, &self.dims);
        out
    }

    /// `batch, channel and height`.
    pub(crate) fn axes_text(&self) -> String {
        and_list(self.dims.iter().map(|d| shown(d.axis.as_str())))
    }
}

/// Axes behind `gap`, with the bracket that closes them.
fn write_axes(out: &mut String, mut gap: &str, dims: &[Dim]) {
    for dim in dims {
        let name = dim.axis.as_str();
        let _ = write!(out, "{gap}{}", shown(name));
        let before = out.len();
        let _ = write!(out, " = {}", dim.size);
        if name.starts_with("...") || out.get(before + 3..) == Some(name) {
            out.truncate(before);
        }
        gap = ", ";
    }
    if gap == ", " {
        out.push(']');
    }
}

/// The name of an axis as a reader knows it: one that stands for the axes of a shape has that shape's.
pub(crate) fn shown(axis: &str) -> &str {
    axis.strip_prefix("...")
        .filter(|name| !name.is_empty())
        .unwrap_or(axis)
}

/// `[row = 14, column = 14]`.
pub(crate) fn shape_text(dims: &[Dim]) -> String {
    let mut out = String::new();
    write_axes(&mut out, "[", dims);
    if out.is_empty() { "[]".to_owned() } else { out }
}

/// `a, b and c`.
pub(crate) fn and_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.collect();
    match items.as_slice() {
        [] => "none".to_string(),
        [one] => (*one).to_string(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// What a number with a unit measures. Values are kept in the SI or base unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitKind {
    Epochs,
    Steps,
    Angle,
    Pixels,
    Seconds,
    Share,
    Bytes,
    Clients,
    Rounds,
    Trials,
}

/// Every unit word, what it measures and its factor.
pub(crate) const UNITS: &[(&str, UnitKind, f64)] = &[
    ("epochs", UnitKind::Epochs, 1.0),
    ("epoch", UnitKind::Epochs, 1.0),
    ("steps", UnitKind::Steps, 1.0),
    ("step", UnitKind::Steps, 1.0),
    ("deg", UnitKind::Angle, std::f64::consts::PI / 180.0),
    ("rad", UnitKind::Angle, 1.0),
    ("px", UnitKind::Pixels, 1.0),
    ("s", UnitKind::Seconds, 1.0),
    ("ms", UnitKind::Seconds, 1e-3),
    ("min", UnitKind::Seconds, 60.0),
    ("h", UnitKind::Seconds, 3600.0),
    ("%", UnitKind::Share, 0.01),
    ("B", UnitKind::Bytes, 1.0),
    ("KiB", UnitKind::Bytes, 1024.0),
    ("MiB", UnitKind::Bytes, 1_048_576.0),
    ("GiB", UnitKind::Bytes, 1_073_741_824.0),
    ("clients", UnitKind::Clients, 1.0),
    ("client", UnitKind::Clients, 1.0),
    ("rounds", UnitKind::Rounds, 1.0),
    ("round", UnitKind::Rounds, 1.0),
    ("trials", UnitKind::Trials, 1.0),
    ("trial", UnitKind::Trials, 1.0),
];

impl UnitKind {
    /// What it measures, in words.
    pub(crate) fn measures(self) -> &'static str {
        match self {
            Self::Epochs => "passes over the training rows",
            Self::Steps => "updates of the parameters",
            Self::Angle => "an angle",
            Self::Pixels => "a distance in pixels",
            Self::Seconds => "a time",
            Self::Share => "a share of the whole",
            Self::Bytes => "an amount of memory",
            Self::Clients => "a number of clients",
            Self::Rounds => "rounds of federated training",
            Self::Trials => "trials of a search",
        }
    }

    /// The unit as written in help texts.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Epochs => "epochs",
            Self::Steps => "steps",
            Self::Angle => "deg",
            Self::Pixels => "px",
            Self::Seconds => "s",
            Self::Share => "%",
            Self::Bytes => "MiB",
            Self::Clients => "clients",
            Self::Rounds => "rounds",
            Self::Trials => "trials",
        }
    }
}

/// A number with a unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantity {
    pub(crate) value: f64,
    pub(crate) kind: UnitKind,
}

/// Rows of a data set on their way to a batch.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) data: usize,
    pub(crate) part: Option<Part>,
    /// Column, the block that changes it, and where that is said.
    pub(crate) maps: Vec<(String, Block, Loc)>,
    pub(crate) shuffle: Option<Loc>,
    pub(crate) batch: Option<u64>,
}

/// A block that can be called: a declaration with the settings already given.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) callee: Callee,
    pub(crate) given: Rc<Vec<(String, Value)>>,
}

/// What a call may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    Declared(usize),
    Primitive(usize),
}

/// The value of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Tensor(Tensor),
    /// A whole number or an exact fraction.
    Size(Poly),
    Float(f64),
    Bool(bool),
    Text(String),
    Quantity(Quantity),
    Range(Box<Value>, Box<Value>),
    List(Vec<Value>),
    Block(Block),
    Axes(Vec<String>),
    /// Axes with their sizes.
    Shape(Vec<Dim>),
    Rows(Box<Rows>),
    /// A data set.
    Data(usize),
    /// The `source` of the data section that is being read.
    Source,
    /// Columns of that source, not yet read as anything.
    Fields(Vec<(String, Loc)>),
    /// A training.
    Train(usize),
    /// Known only when the block is called.
    Unknown,
    /// Already reported.
    Error,
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Tensor(t) => format!("`{}`", t.text()),
            Self::Size(p) => match p.integer() {
                Some(n) => format!("the number {n}"),
                None => format!("the size {p}"),
            },
            Self::Float(v) => format!("the number {v}"),
            Self::Bool(v) => format!("`{v}`"),
            Self::Text(_) => "a text".into(),
            Self::Quantity(q) => format!("a number of {}", q.kind.word()),
            Self::Range(..) => "a range".into(),
            Self::List(_) => "a list".into(),
            Self::Block(_) => "a block".into(),
            Self::Axes(_) => "axis names".into(),
            Self::Shape(dims) => format!("`shape{}`", shape_text(dims)),
            Self::Rows(_) => "rows of data".into(),
            Self::Data(_) => "a data set".into(),
            Self::Source => "a data source".into(),
            Self::Fields(_) => "columns of a data source".into(),
            Self::Train(_) => "a training".into(),
            Self::Unknown | Self::Error => "something unknown".into(),
        }
    }
}

/// A mistake has been reported; whoever needs the value says nothing more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported;

pub(crate) type Eval<T> = Result<T, Reported>;
