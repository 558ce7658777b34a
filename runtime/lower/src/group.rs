//! Groups of pointwise roots, or of reductions, that become one kernel.

use crate::expand::expand;
use crate::kernel::{Element, Instr, Kernel, Load, Mode, Pattern, Recorder, Reg, Store};
use crate::schedule::{Arg, Buffer, KernelId, Loop, MapStep, ReduceStep, Step};
use crate::view::{BufferId, View, merged};
use mmh_ir::{Axis, DType, Graph, Op, ReduceKind, Shape, ValueId};
use mmh_numerics::Ops;
use std::collections::BTreeMap;

/// What the group's values turn into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// They are stored.
    Map,
    /// They are folded over these axes, in this order.
    Reduce(Mode, Vec<Axis>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Operand {
    buffer: BufferId,
    offset: usize,
    strides: Vec<isize>,
    dtype: Element,
}

struct Root {
    reg: Reg,
    to: Operand,
}

/// Places of an expression's axes where they are not the loop of the same name.
pub(crate) type Renames = Vec<(Axis, Place)>;

/// Where an expression is computed along one of its axes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Along a loop.
    Loop(Axis),
    /// At one place.
    At(usize),
}

/// One kernel in the making.
pub(crate) struct Group {
    pub(crate) fate: Fate,
    /// Loop axes, outermost first.
    pub(crate) axes: Shape,
    recorder: Recorder,
    loads: Vec<Operand>,
    roots: Vec<Root>,
    memo: BTreeMap<(ValueId, Renames), Reg>,
    /// Number of the value-carrying roots, for hoisting decisions.
    pub(crate) members: Vec<ValueId>,
}

/// What expressions are built from: the graph, and the views of what is buffered.
pub(crate) struct Scene<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) views: &'a [Option<View>],
    pub(crate) buffers: &'a [Buffer],
}

impl Scene<'_> {
    /// The element type of the memory behind a view.
    fn element(&self, view: &View) -> Element {
        self.buffers[view.buffer.index()].dtype
    }
}

const MOST_OPERANDS: usize = 20;
const MOST_INSTRUCTIONS: usize = 900;

impl Group {
    pub(crate) fn new(fate: Fate, axes: Shape) -> Self {
        Self {
            fate,
            axes,
            recorder: Recorder::default(),
            loads: vec![],
            roots: vec![],
            memo: BTreeMap::new(),
            members: vec![],
        }
    }

    /// Whether there is room for another root.
    pub(crate) fn has_room(&self) -> bool {
        self.loads.len() + self.roots.len() < MOST_OPERANDS
            && self.recorder.body.len() < MOST_INSTRUCTIONS
    }

    /// Adds `value`, stored through `to` (a view over the loop axes, or for a reduction over the kept ones).
    pub(crate) fn add(&mut self, scene: &Scene<'_>, value: ValueId, member: ValueId, to: &View) {
        let dtype = scene.element(to);
        let reg = self.expression(scene, value, &Vec::new());
        let strides = self.axes.axes().map(|a| to.stride(a)).collect();
        self.roots.push(Root {
            reg,
            to: Operand {
                buffer: to.buffer,
                offset: to.offset,
                strides,
                dtype,
            },
        });
        self.members.push(member);
    }

    /// Stores zeros through `to`.
    pub(crate) fn add_zero(&mut self, to: &View, dtype: Element) {
        let reg = if dtype.value() == DType::F32 {
            self.recorder.f32(0.0)
        } else {
            self.recorder.i32(0)
        };
        let strides = self.axes.axes().map(|a| to.stride(a)).collect();
        self.roots.push(Root {
            reg,
            to: Operand {
                buffer: to.buffer,
                offset: to.offset,
                strides,
                dtype,
            },
        });
    }

    /// Whether the kernel reads the memory behind `to` only at the place that it would write.
    pub(crate) fn reads_only_at(&self, to: &View) -> bool {
        let strides: Vec<isize> = self.axes.axes().map(|a| to.stride(a)).collect();
        self.loads
            .iter()
            .filter(|o| o.buffer == to.buffer)
            .all(|o| o.offset == to.offset && o.strides == strides)
    }

    /// Whether the kernel reads the memory behind `view` already.
    pub(crate) fn reads(&self, view: Option<&View>) -> bool {
        view.is_some_and(|v| self.loads.iter().any(|o| o.buffer == v.buffer))
    }

    fn expression(&mut self, scene: &Scene<'_>, value: ValueId, renames: &Renames) -> Reg {
        let key = (value, renames.clone());
        if let Some(reg) = self.memo.get(&key) {
            return *reg;
        }
        let node = scene.graph.node(value);
        let reg = if let Some(view) = &scene.views[value.index()] {
            self.load(view, scene.element(view), renames)
        } else {
            match &node.op {
                Op::Constant(literal) => self.recorder.f32(literal.0),
                Op::Integer(n) => self.recorder.i32(*n),
                Op::Position => self.place(node.ty.shape.axes().next(), renames),
                Op::Map(op) => {
                    let args: Vec<Reg> = node
                        .inputs
                        .iter()
                        .map(|&v| self.expression(scene, v, renames))
                        .collect();
                    let judged = usize::from(matches!(op, mmh_ir::MapOp::Select));
                    let dtype = node
                        .inputs
                        .get(judged)
                        .map_or(DType::F32, |&v| scene.graph.ty(v).dtype);
                    expand(&mut self.recorder, *op, dtype, &args)
                }
                Op::OneHot { axis } => {
                    let index = self.expression(scene, node.inputs[0], renames);
                    let place = self.place(Some(axis), renames);
                    let hit = self.recorder.ieq(index, place);
                    let (one, zero) = (self.recorder.f32(1.0), self.recorder.f32(0.0));
                    self.recorder.select(hit, one, zero)
                }
                Op::Rename { from, to } => {
                    let target = renamed(to, renames);
                    let mut inner: Renames = renames
                        .iter()
                        .filter(|(name, _)| name != to && name != from)
                        .cloned()
                        .collect();
                    inner.push((from.clone(), target));
                    inner.sort();
                    self.expression(scene, node.inputs[0], &inner)
                }
                Op::Reduce { kind, over } => {
                    self.unrolled(scene, node.inputs[0], *kind, over, renames)
                }
                _ => self.expression(scene, node.inputs[0], renames),
            }
        };
        self.memo.insert(key, reg);
        reg
    }

    /// A short reduction element by element: the tree of a single group of lanes, or the scan of an arg max.
    fn unrolled(
        &mut self,
        scene: &Scene<'_>,
        input: ValueId,
        kind: ReduceKind,
        over: &[Axis],
        renames: &Renames,
    ) -> Reg {
        let shape = scene.graph.shape(input);
        let sizes: Vec<usize> = over.iter().map(|a| shape.size(a).unwrap_or(1)).collect();
        let mut lanes: Vec<Reg> = Vec::new();
        for flat in 0..sizes.iter().product() {
            let mut at = flat;
            let mut inner: Renames = renames
                .iter()
                .filter(|(name, _)| !over.contains(name))
                .cloned()
                .collect();
            for (axis, size) in over.iter().zip(&sizes).rev() {
                inner.push((axis.clone(), Place::At(at % size)));
                at /= size;
            }
            inner.sort();
            lanes.push(self.expression(scene, input, &inner));
        }
        if kind == ReduceKind::ArgMax {
            return self.first_largest(&lanes);
        }
        for half in [32, 16, 8, 4, 2, 1] {
            for lane in half..lanes.len().min(2 * half) {
                lanes[lane - half] = match kind {
                    ReduceKind::Max => self.recorder.max(lanes[lane - half], lanes[lane]),
                    ReduceKind::Min => self.recorder.min(lanes[lane - half], lanes[lane]),
                    ReduceKind::Sum | ReduceKind::ArgMax => {
                        self.recorder.add(lanes[lane - half], lanes[lane])
                    }
                };
            }
            lanes.truncate(half);
        }
        let zero = self.recorder.f32(0.0);
        match (kind, lanes.first()) {
            (ReduceKind::Sum, Some(sum)) => *sum,
            (_, Some(best)) => self.recorder.add(*best, zero),
            (_, None) => zero,
        }
    }

    fn first_largest(&mut self, elements: &[Reg]) -> Reg {
        let mut place = self.recorder.i32(0);
        let Some((&first, rest)) = elements.split_first() else {
            return place;
        };
        let mut best = first;
        for (i, &element) in rest.iter().enumerate() {
            let greater = self.recorder.lt(best, element);
            let here = self.recorder.i32(i as i32 + 1);
            place = self.recorder.select_i(greater, here, place);
            best = self.recorder.select(greater, element, best);
        }
        place
    }

    fn load(&mut self, view: &View, dtype: Element, renames: &Renames) -> Reg {
        let mut strides = vec![0isize; self.axes.rank()];
        let mut offset = view.offset;
        for lane in view.lanes.iter().filter(|l| l.size != 1) {
            match renamed(&lane.axis, renames) {
                Place::Loop(axis) => {
                    if let Some(at) = self.axes.position(&axis) {
                        strides[at] += lane.stride;
                    }
                }
                Place::At(at) => offset = offset.wrapping_add_signed(at as isize * lane.stride),
            }
        }
        let operand = Operand {
            buffer: view.buffer,
            offset,
            strides,
            dtype,
        };
        let number = self
            .loads
            .iter()
            .position(|o| *o == operand)
            .unwrap_or_else(|| {
                self.loads.push(operand);
                self.loads.len() - 1
            });
        self.recorder.emit(Instr::Load(number as u8))
    }

    /// The index along an axis, numbered by its place in `axes` until the loops are settled.
    fn place(&mut self, axis: Option<&Axis>, renames: &Renames) -> Reg {
        let at = match axis.map(|a| renamed(a, renames)) {
            Some(Place::At(at)) => return self.recorder.i32(at as i32),
            Some(Place::Loop(axis)) => self.axes.position(&axis),
            None => None,
        };
        match at {
            Some(at) if self.axes.0[at].size > 1 => self.recorder.emit(Instr::Index(at as u8)),
            _ => self.recorder.i32(0),
        }
    }

    /// The step, and its kernel through `intern`.
    pub(crate) fn finish(self, intern: impl FnOnce(Kernel) -> KernelId) -> Step {
        let loops = self.loops();
        let number = |at: u8| -> u8 {
            let place = loops
                .iter()
                .position(|l| l.members.contains(&(at as usize)))
                .unwrap_or(0);
            match loops.len() - 1 - place {
                0 => 1,
                1 => 0,
                _ => 2 + place as u8,
            }
        };
        let mut body = self.recorder.body.clone();
        for instr in &mut body {
            if let Instr::Index(at) = instr {
                *at = number(*at);
            }
        }
        let stride = |o: &Operand, l: &Fused| l.members.last().map_or(0, |&m| o.strides[m]);
        let arg = |o: &Operand| Arg {
            buffer: o.buffer,
            offset: o.offset,
            strides: loops.iter().map(|l| stride(o, l)).collect(),
        };
        let inner = |o: &Operand| loops.last().map_or(0, |l| stride(o, l));
        let loads = self
            .loads
            .iter()
            .map(|o| Load {
                dtype: o.dtype,
                pattern: pattern(inner(o)),
            })
            .collect();
        let folding = matches!(self.fate, Fate::Reduce(..));
        let stores = self.roots.iter().map(|r| {
            let pattern =
                if folding || inner(&r.to) == 1 || loops.last().is_none_or(|l| l.size == 1) {
                    Pattern::Unit
                } else {
                    Pattern::Strided
                };
            Store {
                value: r.reg,
                dtype: r.to.dtype,
                pattern,
                mode: Mode::Write,
            }
        });
        let kernel = intern(Kernel {
            loads,
            body,
            stores: stores.collect(),
        });
        let load_args: Vec<Arg> = self.loads.iter().map(arg).collect();
        let results: Vec<Arg> = self.roots.iter().map(|r| arg(&r.to)).collect();
        match self.fate {
            Fate::Map => {
                let args = load_args.into_iter().chain(results).collect();
                Step::Map(MapStep {
                    kernel,
                    loops: loops.iter().map(|l| l.size).collect(),
                    args,
                })
            }
            Fate::Reduce(fold, _) => {
                let loops = loops
                    .iter()
                    .map(|l| Loop {
                        size: l.size,
                        reduced: l.reduced,
                    })
                    .collect();
                Step::Reduce(ReduceStep {
                    kernel,
                    fold,
                    loops,
                    loads: load_args,
                    results,
                })
            }
        }
    }

    /// The loops, neighbours fused where every operand allows it; at least two.
    fn loops(&self) -> Vec<Fused> {
        let indexed = self.indexed();
        let mut loops: Vec<Fused> = Vec::new();
        for (at, reduced) in self.order() {
            let size = self.axes.0[at].size;
            if size == 1 {
                continue;
            }
            let next = Fused {
                size,
                reduced,
                members: vec![at],
            };
            match loops.last_mut() {
                Some(last) if last.reduced == reduced && self.fuses(last, at, &indexed) => {
                    last.size *= size;
                    last.members.push(at);
                }
                _ => loops.push(next),
            }
        }
        let folding = matches!(self.fate, Fate::Reduce(..));
        if folding && !loops.iter().any(|l| l.reduced) {
            loops.push(Fused {
                size: 1,
                reduced: true,
                members: vec![],
            });
        }
        while loops.len() < 2 {
            loops.insert(
                0,
                Fused {
                    size: 1,
                    reduced: false,
                    members: vec![],
                },
            );
        }
        loops
    }

    /// Loop axes as (number, reduced) in the order they nest.
    fn order(&self) -> Vec<(usize, bool)> {
        let Fate::Reduce(_, over) = &self.fate else {
            return (0..self.axes.rank()).map(|at| (at, false)).collect();
        };
        let kept: Vec<usize> = (0..self.axes.rank())
            .filter(|&at| !over.contains(&self.axes.0[at].axis))
            .collect();
        let folded: Vec<usize> = over.iter().filter_map(|a| self.axes.position(a)).collect();
        let innermost = (0..self.axes.rank())
            .rev()
            .find(|&at| self.axes.0[at].size > 1);
        let last_folded = folded
            .iter()
            .rev()
            .copied()
            .find(|&at| self.axes.0[at].size > 1);
        let rows_form = innermost.is_none_or(|at| folded.contains(&at) && Some(at) == last_folded);
        let column = if rows_form {
            None
        } else {
            kept.iter()
                .rev()
                .copied()
                .find(|&at| self.axes.0[at].size > 1)
        };
        let split = column.map_or(kept.len(), |_| self.column_start(&kept, &folded));
        let (outer, inner) = kept.split_at(split);
        let mut order: Vec<(usize, bool)> = outer.iter().map(|&at| (at, false)).collect();
        order.extend(folded.iter().map(|&at| (at, true)));
        order.extend(inner.iter().map(|&at| (at, false)));
        order
    }

    /// First of the kept axes that make up the column: the last one, and those before it that fuse with it.
    fn column_start(&self, kept: &[usize], folded: &[usize]) -> usize {
        let real = |at: usize| self.axes.0[at].size > 1;
        let outside = folded
            .iter()
            .copied()
            .filter(|&at| real(at))
            .max()
            .unwrap_or(0);
        let Some(mut start) = kept.iter().rposition(|&at| real(at)) else {
            return kept.len();
        };
        let mut first = kept[start];
        while start > 0 {
            let before = kept[start - 1];
            let outer = Fused {
                size: 2,
                reduced: false,
                members: vec![before],
            };
            if real(before) && !(before > outside && self.fuses(&outer, first, &self.indexed())) {
                break;
            }
            start -= 1;
            first = if real(before) { before } else { first };
        }
        start
    }

    fn indexed(&self) -> Vec<usize> {
        self.recorder
            .body
            .iter()
            .filter_map(|i| {
                if let Instr::Index(at) = i {
                    Some(*at as usize)
                } else {
                    None
                }
            })
            .collect()
    }

    fn fuses(&self, outer: &Fused, inner: usize, indexed: &[usize]) -> bool {
        let Some(&last) = outer.members.last() else {
            return false;
        };
        if indexed.contains(&inner) || outer.members.iter().any(|m| indexed.contains(m)) {
            return false;
        }
        let size = self.axes.0[inner].size;
        let operands = self.loads.iter().chain(self.roots.iter().map(|r| &r.to));
        operands
            .into_iter()
            .all(|o| merged(&[(2, o.strides[last]), (size, o.strides[inner])]).is_some())
    }
}

/// Neighbouring loop axes as one loop.
struct Fused {
    size: usize,
    reduced: bool,
    members: Vec<usize>,
}

fn pattern(stride: isize) -> Pattern {
    match stride {
        0 => Pattern::Splat,
        1 => Pattern::Unit,
        _ => Pattern::Strided,
    }
}

fn renamed(axis: &Axis, renames: &Renames) -> Place {
    let found = renames.iter().find(|(name, _)| name == axis);
    found.map_or_else(|| Place::Loop(axis.clone()), |(_, place)| place.clone())
}
