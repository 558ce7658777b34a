//! The evaluator's state: where it stands, what it has built, what it has found wrong.

use crate::data::DataSet;
use crate::known::KnownCall;
use crate::poly::Poly;
use crate::program::Program;
use crate::value::{Dim, Eval, Loc, Made, Reported, Tensor, Value};
use crate::world::World;
use mmh_diag::{Code, Diagnostic, SourceId, Span};
use mmh_ir::plan::{Part, StateDecl};
use mmh_ir::{Axis, DType, Dim as IrDim, Graph, MapOp, Op, Origin, Shape, Type, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Which of the two modes a graph is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Training,
    Evaluation,
}

/// One call that is being evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) declared: usize,
    pub(crate) call: Loc,
}

/// A name space for parameters and draws: calls inside get ordinals here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) counts: BTreeMap<String, u32>,
    pub(crate) taken: BTreeSet<String>,
    /// The name that the next call with parameters or draws takes.
    pub(crate) pinned: Option<String>,
}

/// The column maps of the rows being read: which part, and where the map is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Augmenting {
    pub(crate) part: Option<Part>,
    pub(crate) loc: Loc,
}

/// A type that was noted, and whether it is that of a signature alone.
#[derive(Clone, Debug)]
pub(crate) struct Hover {
    pub(crate) text: String,
    pub(crate) generic: bool,
}

/// What a loss was made of, for metrics of the same name.
#[derive(Clone, Debug)]
pub(crate) struct LossParts {
    pub(crate) name: &'static str,
    pub(crate) predicted: Tensor,
    pub(crate) target: Tensor,
    /// Before the mean: one number a row and place.
    pub(crate) each: Tensor,
}

/// A `let` at the top of a file.
#[derive(Clone, Debug)]
pub(crate) enum Memo {
    Running,
    Done(Value),
}

/// The abstract evaluator.
pub(crate) struct Cx<'p> {
    pub(crate) program: &'p Program,
    /// Who knows the data files; nobody once the recipe is checked.
    pub(crate) world: Option<&'p dyn World>,
    pub(crate) source: SourceId,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) seen: BTreeSet<(Code, SourceId, Span)>,
    pub(crate) graph: Graph,
    /// Whether nodes are made: then every size is a number.
    pub(crate) emit: bool,
    /// Whether a block is checked on its signature alone.
    pub(crate) generic: bool,
    pub(crate) mode: Mode,
    pub(crate) batch: Poly,
    pub(crate) whole: Vec<Poly>,
    pub(crate) data: Vec<DataSet>,
    pub(crate) choices: BTreeMap<Loc, usize>,
    pub(crate) lets: BTreeMap<usize, Memo>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) places: Vec<Place>,
    pub(crate) state: Vec<StateDecl>,
    pub(crate) state_values: Vec<ValueId>,
    pub(crate) state_next: BTreeMap<usize, ValueId>,
    pub(crate) state_index: BTreeMap<String, usize>,
    pub(crate) sites: Vec<String>,
    pub(crate) site_values: BTreeMap<String, ValueId>,
    pub(crate) inputs: BTreeMap<String, Tensor>,
    pub(crate) here: Vec<Loc>,
    pub(crate) augmenting: Option<Augmenting>,
    pub(crate) losses: Vec<LossParts>,
    pub(crate) poisoned: BTreeSet<usize>,
    /// Blocks that do not give the shape they declare.
    pub(crate) misdeclared: BTreeSet<usize>,
    /// Something was not looked at, since only callers of the block say what it is.
    pub(crate) open: bool,
    /// The failure that is under way is one of these.
    pub(crate) opening: bool,
    /// A value was taken as its declaration says, since what makes it is wrong.
    pub(crate) assumed: bool,
    /// Calls of models whose outcome is known, by declaration.
    pub(crate) calls: BTreeMap<usize, Vec<KnownCall>>,
    /// The same of blocks, with sizes as a signature has them.
    pub(crate) symbolic_calls: BTreeMap<usize, Vec<KnownCall>>,
    /// The outcome depended on the mode, or on sizes being open.
    pub(crate) asked: bool,
    /// The state that was used, by slot.
    pub(crate) used: BTreeSet<usize>,
    /// The same of values at the top of a file.
    pub(crate) let_slots: BTreeMap<usize, BTreeSet<usize>>,
    /// Sizes are those of a signature: what is noted of a place gives way to what a call gives.
    pub(crate) symbolic: bool,
    /// Diagnostics reported ahead of this walk.
    pub(crate) told: usize,
    /// A number that stands for all sizes so far, where choices are compared.
    pub(crate) sizes: Option<u64>,
    /// The type of a place as the first call gives it, or, until there is one, as the signature of its block does.
    pub(crate) hovers: Option<BTreeMap<Loc, Hover>>,
    /// The first type noted of a place: in a block, the one that its signature alone gives.
    pub(crate) types: BTreeMap<Loc, String>,
    /// What an editor writes behind a place: a step's type, steps of an epoch, parameters of a model.
    pub(crate) flows: BTreeMap<Loc, String>,
    /// A parameter's size was left open, so parameters cannot be counted.
    pub(crate) vague: bool,
    /// Mismatches of a model's result that a later message may explain better: the place of the size, and which.
    pub(crate) tentative: Vec<(Loc, usize)>,
    pub(crate) reading: Option<crate::data::Reading>,
    /// Columns whose classes are being counted.
    pub(crate) counting: Vec<(usize, String)>,
    pub(crate) makes: BTreeMap<usize, Option<bool>>,
    /// How many calls of an expression make parameters, where it does not depend on the arguments of its block.
    pub(crate) makers: BTreeMap<Loc, usize>,
    /// Steps of this walk, and of the whole check.
    pub(crate) work: u64,
    pub(crate) spent: u64,
}

const MOST_ELEMENTS: i128 = 1 << 31;
const MOST_WORK: u64 = 400_000;
/// Steps of one check, all blocks and choices together: about half a second.
pub(crate) const MOST_SPENT: u64 = 1_200_000;
/// Steps beyond all that are taken: it has been said that there are too many.
const TOLD: u64 = u64::MAX / 2;
/// Expressions inside each other, through blocks and values.
const MOST_DEPTH: usize = 2_000;

impl<'p> Cx<'p> {
    pub(crate) fn new(program: &'p Program, data: Vec<DataSet>) -> Self {
        Self {
            program,
            world: None,
            source: SourceId(0),
            diagnostics: Vec::new(),
            seen: BTreeSet::new(),
            graph: Graph::default(),
            emit: false,
            generic: false,
            mode: Mode::Training,
            batch: Poly::variable("batch"),
            whole: Vec::new(),
            data,
            choices: BTreeMap::new(),
            lets: BTreeMap::new(),
            frames: Vec::new(),
            places: vec![Place::default()],
            state: Vec::new(),
            state_values: Vec::new(),
            state_next: BTreeMap::new(),
            state_index: BTreeMap::new(),
            sites: Vec::new(),
            site_values: BTreeMap::new(),
            inputs: BTreeMap::new(),
            here: Vec::new(),
            augmenting: None,
            losses: Vec::new(),
            poisoned: BTreeSet::new(),
            misdeclared: BTreeSet::new(),
            open: false,
            opening: false,
            assumed: false,
            calls: BTreeMap::new(),
            symbolic_calls: BTreeMap::new(),
            asked: false,
            used: BTreeSet::new(),
            let_slots: BTreeMap::new(),
            symbolic: false,
            told: 0,
            sizes: None,
            makers: BTreeMap::new(),
            hovers: None,
            types: BTreeMap::new(),
            flows: BTreeMap::new(),
            vague: false,
            tentative: Vec::new(),
            reading: None,
            counting: Vec::new(),
            makes: BTreeMap::new(),
            work: 0,
            spent: 0,
        }
    }

    pub(crate) fn at(&self, span: Span) -> Loc {
        Loc {
            source: self.source,
            span,
        }
    }

    pub(crate) fn text(&self, loc: Loc) -> String {
        one_line(self.program.text(loc))
    }

    pub(crate) fn hover(&mut self, loc: Loc, text: impl FnOnce() -> String) {
        if self.program.is_library(loc.source) {
            return;
        }
        let Some(hovers) = &mut self.hovers else {
            return;
        };
        let generic = self.symbolic;
        if hovers.get(&loc).is_some_and(|known| !known.generic) {
            return;
        }
        let text = text();
        self.types.entry(loc).or_insert_with(|| text.clone());
        hovers.insert(loc, Hover { text, generic });
    }

    /// Notes what an editor writes behind a place. The first note stays: a block is checked on its signature before it is
    /// unfolded with the sizes of one call.
    pub(crate) fn flow(&mut self, loc: Loc, text: impl FnOnce() -> String) {
        if self.hovers.is_some() && !self.program.is_library(loc.source) {
            self.flows.entry(loc).or_insert_with(text);
        }
    }

    /// Counts work, so that a recipe that repeats repeats of repeats ends with a message.
    pub(crate) fn spend(&mut self, loc: Loc) -> Eval<()> {
        self.work += 1;
        self.spent += 1;
        if self.is_spent() {
            // Said once, when it came about.
            if std::mem::replace(&mut self.spent, TOLD) >= TOLD {
                return Err(Reported);
            }
            return self.fail(
                Code::LimitTooLarge,
                loc,
                format!("checking the recipe takes more than {MOST_SPENT} steps"),
                "take parts of it away, or into recipes of their own",
            );
        }
        if self.here.len() > MOST_DEPTH {
            return self.fail(
                Code::LimitTooLarge,
                loc,
                format!("this stands more than {MOST_DEPTH} values and blocks deep"),
                "let fewer values and blocks lean on each other",
            );
        }
        if self.work > MOST_WORK {
            return self.fail(
                Code::LimitTooLarge,
                loc,
                format!("the recipe unfolds to more than {MOST_WORK} steps"),
                "repeat less often",
            );
        }
        Ok(())
    }

    /// Whether the whole check has taken as many steps as it may.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent > MOST_SPENT
    }

    pub(crate) fn origin(&self) -> Origin {
        let place = self
            .here
            .iter()
            .rev()
            .find(|l| !self.program.is_library(l.source));
        Origin(place.map_or(0, |l| self.program.origin(*l)))
    }

    pub(crate) fn shape(&mut self, dims: &[Dim]) -> Eval<Shape> {
        let mut shape = Vec::new();
        let mut elements: i128 = 1;
        for dim in dims {
            let loc = dim.loc;
            match dim.size.integer() {
                Some(n) if n >= 1 => {
                    elements = elements.saturating_mul(n);
                    shape.push(IrDim {
                        axis: dim.axis.clone(),
                        size: n as usize,
                    });
                }
                Some(n) => {
                    return self.fail(
                        Code::ValueRange,
                        loc,
                        format!("axis `{}` would have {n} elements", dim.axis),
                        "an axis has at least one",
                    );
                }
                None if self.emit => {
                    let what = format!(
                        "the size of axis `{}` is not known here: {}",
                        dim.axis, dim.size
                    );
                    return self.fail(Code::ShapeMismatch, loc, what, "give it as a number");
                }
                None => {}
            }
        }
        if elements > MOST_ELEMENTS {
            let loc = self.here.last().copied().unwrap_or_default();
            return self.fail(
                Code::LimitTooLarge,
                loc,
                format!("a value would have {elements} elements"),
                "the most is 2,147,483,648",
            );
        }
        Ok(Shape(shape))
    }

    /// A node, or its type alone.
    pub(crate) fn push(
        &mut self,
        op: Op,
        inputs: &[&Tensor],
        dtype: DType,
        dims: Vec<Dim>,
    ) -> Eval<Tensor> {
        let shape = self.shape(&dims)?;
        let loc = self.here.last().copied().unwrap_or_default();
        self.spend(loc)?;
        if let Some(sizes) = &mut self.sizes {
            for dim in &shape.0 {
                *sizes = (*sizes ^ dim.size as u64).wrapping_mul(0x0000_0100_0000_01b3);
            }
            *sizes = sizes.rotate_left(1) ^ shape.0.len() as u64;
        }
        let id = if self.emit {
            let ids = inputs.iter().map(|t| t.id).collect();
            let origin = self.origin();
            self.graph.push(op, ids, Type::new(dtype, shape), origin)
        } else {
            ValueId(0)
        };
        Ok(Tensor {
            id,
            dtype,
            dims,
            classes: None,
            made: Made::Plain,
        })
    }

    pub(crate) fn constant(&mut self, value: f64) -> Eval<Tensor> {
        self.push(
            Op::Constant(mmh_ir::Literal(value as f32)),
            &[],
            DType::F32,
            vec![],
        )
    }

    pub(crate) fn literal(&mut self, value: f32) -> Eval<Tensor> {
        self.push(
            Op::Constant(mmh_ir::Literal(value)),
            &[],
            DType::F32,
            vec![],
        )
    }

    pub(crate) fn integer(&mut self, value: i32) -> Eval<Tensor> {
        self.push(Op::Integer(value), &[], DType::I32, vec![])
    }

    /// Pointwise, axes broadcasting by name; the sizes must have been compared.
    pub(crate) fn map(&mut self, op: MapOp, inputs: &[&Tensor]) -> Eval<Tensor> {
        let mut dims: Vec<Dim> = Vec::new();
        for input in inputs {
            for dim in &input.dims {
                match dims.iter().find(|d| d.axis == dim.axis) {
                    None => dims.push(dim.clone()),
                    Some(first) => {
                        let first = first.clone();
                        self.same_size(&first, dim)?;
                    }
                }
            }
        }
        let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
        self.push(
            Op::Map(op),
            inputs,
            mmh_ir::graph::map_dtype(op, &dtypes),
            dims,
        )
    }

    /// Whether two sizes may be taken as equal.
    pub(crate) fn equal(&self, a: &Poly, b: &Poly) -> bool {
        a == b
            || (a.is_opaque() || b.is_opaque())
                && !(a.constant().is_some() && b.constant().is_some())
    }

    /// Reports two sizes of one axis.
    pub(crate) fn same_size(&mut self, a: &Dim, b: &Dim) -> Eval<()> {
        if self.equal(&a.size, &b.size) {
            return Ok(());
        }
        let here = self.here.last().copied().unwrap_or_default();
        let what = self.text(here);
        let verb = if what.contains(" + ") {
            "adds"
        } else if what.contains(" * ") {
            "multiplies"
        } else {
            "combines"
        };
        let sizes = if a.size.constant().is_some() && b.size.constant().is_some() {
            format!("{}: {} ≠ {}", a.axis, a.size, b.size)
        } else {
            format!("{} ≠ {}", named(a), named(b))
        };
        let mut diagnostic = Diagnostic::error(
            Code::ShapeAxisSize,
            format!("`{what}` {verb} axes of different size: {sizes}"),
        )
        .at(
            here.source,
            here.span,
            format!("axis `{}` has two sizes", a.axis),
        )
        .help("keep the size, or project one side first");
        let binary = what
            .split_once(" + ")
            .filter(|(l, r)| is_name(l) && is_name(r));
        if let Some((left, _)) = binary {
            diagnostic =
                diagnostic.help(format!("keep the size, or project `{left}` before the sum"));
        }
        for dim in [a, b] {
            if dim.loc != here && !dim.loc.span.is_empty() {
                diagnostic = diagnostic.and(
                    dim.loc.source,
                    dim.loc.span,
                    format!("{} = {}", dim.axis, dim.size),
                );
            }
        }
        Err(self.report(diagnostic))
    }

    pub(crate) fn broadcast(&mut self, value: &Tensor, dims: &[Dim]) -> Eval<Tensor> {
        let same = value.dims.len() == dims.len()
            && value.dims.iter().zip(dims).all(|(a, b)| a.axis == b.axis);
        if same {
            return Ok(value.clone());
        }
        let mut out = self.push(Op::Broadcast, &[value], value.dtype, dims.to_vec())?;
        out.classes = value.classes.clone();
        Ok(out)
    }

    pub(crate) fn rename(&mut self, value: &Tensor, from: &str, to: &str) -> Eval<Tensor> {
        if from == to {
            return Ok(value.clone());
        }
        let dims = value
            .dims
            .iter()
            .map(|d| Dim {
                axis: if d.axis.as_str() == from {
                    Axis::new(to)
                } else {
                    d.axis.clone()
                },
                ..d.clone()
            })
            .collect();
        let op = Op::Rename {
            from: Axis::new(from),
            to: Axis::new(to),
        };
        let mut out = self.push(op, &[value], value.dtype, dims)?;
        out.classes = value.classes.clone();
        Ok(out)
    }

    pub(crate) fn reduce(
        &mut self,
        kind: mmh_ir::ReduceKind,
        value: &Tensor,
        over: &[Axis],
    ) -> Eval<Tensor> {
        if over.is_empty() {
            return Ok(value.clone());
        }
        let dims: Vec<Dim> = value
            .dims
            .iter()
            .filter(|d| !over.contains(&d.axis))
            .cloned()
            .collect();
        let dtype = if kind == mmh_ir::ReduceKind::ArgMax {
            DType::I32
        } else {
            value.dtype
        };
        self.push(
            Op::Reduce {
                kind,
                over: over.to_vec(),
            },
            &[value],
            dtype,
            dims,
        )
    }

    /// The number of elements along some axes.
    pub(crate) fn count(value: &Tensor, over: &[Axis]) -> Poly {
        let sizes = value.dims.iter().filter(|d| over.contains(&d.axis));
        sizes.fold(Poly::number(1), |product, d| product.multiply(&d.size))
    }

    /// Sum divided by the count.
    pub(crate) fn mean(&mut self, value: &Tensor, over: &[Axis]) -> Eval<Tensor> {
        let sum = self.reduce(mmh_ir::ReduceKind::Sum, value, over)?;
        let count = Self::count(value, over);
        let n = self.size_constant(&count)?;
        self.map(MapOp::Div, &[&sum, &n])
    }

    /// A size as an f32 number of the graph.
    pub(crate) fn size_constant(&mut self, size: &Poly) -> Eval<Tensor> {
        let value = size.constant().map_or(1.0, |r| r.to_f64());
        self.constant(value)
    }
}

fn named(dim: &Dim) -> String {
    dim.size.to_string()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Source text on one line, shortened.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= 60 {
        return line;
    }
    let start: String = line.chars().take(57).collect();
    format!("{start}…")
}
