//! Walks a program in order and writes the schedule.

use crate::causal::Masks;
use crate::decide::{Decisions, complete, decide, is_pointwise, operands};
use crate::group::{Fate, Group, Scene};
use crate::kernel::{Element, Kernel};
use crate::memory;
use crate::schedule::{Arg, Buffer, Home, KernelId, Output, RandomStep, Schedule, Step};
use crate::view::{BufferId, View};
use mmh_ir::plan::Program;
use mmh_ir::{Axis, DType, Graph, Op, Shape, ValueId};
use std::collections::BTreeMap;

/// The schedule of a program.
pub fn lower(program: &Program) -> Schedule {
    lower_with(program, true)
}

/// The schedule of a program for a device whose memory holds words: nothing is stored as bf16.
pub fn lower_to_words(program: &Program) -> Schedule {
    lower_with(program, false)
}

fn lower_with(program: &Program, narrow: bool) -> Schedule {
    let run = |in_place| Lowering::new(program, in_place, narrow).run();
    run(true).unwrap_or_else(|Hazard| run(false).unwrap_or_default())
}

/// A state slot would be read after it was overwritten in place.
#[derive(Debug)]
pub(crate) struct Hazard;

pub(crate) enum Item {
    Step(Box<Step>),
    Group(usize),
}

/// How many groups back a root may look for company.
const LOOK_BACK: usize = 16;

pub(crate) struct Lowering<'a> {
    program: &'a Program,
    pub(crate) graph: &'a Graph,
    pub(crate) decisions: Decisions,
    pub(crate) masks: Masks,
    pub(crate) views: Vec<Option<View>>,
    /// Number of items after which each value is there.
    pub(crate) ready: Vec<usize>,
    pub(crate) items: Vec<Item>,
    pub(crate) groups: Vec<Option<Group>>,
    pub(crate) outputs: Vec<Vec<BufferId>>,
    schedule: Schedule,
    inputs: BTreeMap<(u8, u32), BufferId>,
    copies: BTreeMap<(ValueId, Vec<Axis>), View>,
    committed: BTreeMap<BufferId, usize>,
    in_place: bool,
    commit: usize,
}

impl<'a> Lowering<'a> {
    fn new(program: &'a Program, in_place: bool, narrow: bool) -> Self {
        let graph = &program.graph;
        let count = graph.nodes.len();
        let decisions = decide(program, narrow);
        Self {
            program,
            graph,
            masks: Masks::of(program, &decisions),
            decisions,
            views: vec![None; count],
            ready: vec![0; count],
            items: Vec::new(),
            groups: Vec::new(),
            outputs: Vec::new(),
            schedule: Schedule::default(),
            inputs: BTreeMap::new(),
            copies: BTreeMap::new(),
            committed: BTreeMap::new(),
            in_place,
            commit: 0,
        }
    }

    fn run(mut self) -> Result<Schedule, Hazard> {
        let late = self.late_values();
        for value in self.graph.values() {
            if self.decisions.live[value.index()] && !late[value.index()] {
                self.value(value)?;
            }
        }
        self.commit = self.items.len();
        self.updates(&late)?;
        let program = self.program;
        let view = |this: &Self, v: ValueId| this.views[v.index()].clone();
        self.schedule.guards = program
            .guards
            .iter()
            .filter_map(|n| view(&self, n.value))
            .collect();
        self.schedule.results = program
            .results
            .iter()
            .filter_map(|n| {
                let ty = self.graph.ty(n.value);
                Some(Output {
                    dtype: ty.dtype,
                    view: view(&self, n.value)?,
                    axes: ty.shape.axes().cloned().collect(),
                })
            })
            .collect();
        self.close();
        memory::place(&mut self.schedule, &[]);
        Ok(self.schedule)
    }

    /// Turns groups into steps and kernels.
    fn close(&mut self) {
        let mut known: BTreeMap<Kernel, KernelId> = BTreeMap::new();
        let mut kernels = Vec::new();
        for (at, item) in std::mem::take(&mut self.items).into_iter().enumerate() {
            if at == self.commit {
                self.schedule.commit = self.schedule.steps.len();
            }
            let step = match item {
                Item::Step(step) => *step,
                Item::Group(number) => {
                    let Some(group) = self.groups[number].take() else {
                        continue;
                    };
                    group.finish(|kernel| {
                        *known.entry(kernel.clone()).or_insert_with(|| {
                            kernels.push(kernel);
                            KernelId(kernels.len() as u32 - 1)
                        })
                    })
                }
            };
            self.schedule.steps.push(step);
        }
        if self.commit >= self.schedule.steps.len() {
            self.schedule.commit = self.schedule.steps.len();
        }
        self.schedule.kernels = kernels;
    }

    /// Update values that nothing before the commit needs: they are computed straight into state.
    fn late_values(&self) -> Vec<bool> {
        let count = self.graph.nodes.len();
        let mut late = vec![false; count];
        if !self.in_place {
            return late;
        }
        let mut updated = vec![false; count];
        self.program
            .updates
            .iter()
            .for_each(|u| updated[u.value.index()] = true);
        // Whether every reader runs behind the guards, found from the last node to the first.
        let mut behind = vec![true; count];
        let outside = self
            .program
            .results
            .iter()
            .chain(&self.program.guards)
            .map(|n| n.value);
        outside.for_each(|v| behind[v.index()] = false);
        for value in self
            .graph
            .values()
            .rev()
            .filter(|v| self.decisions.live[v.index()])
        {
            let i = value.index();
            let inline = matches!(self.graph.node(value).op, Op::Map(_))
                && (updated[i] || !self.decisions.buffered[i]);
            behind[i] &= inline;
            late[i] = behind[i] && updated[i];
            if !behind[i] {
                for operand in operands(self.graph, &self.decisions.forms, value) {
                    behind[operand.index()] = false;
                }
            }
        }
        late
    }

    fn updates(&mut self, late: &[bool]) -> Result<(), Hazard> {
        for value in self.graph.values().filter(|v| late[v.index()]) {
            for update in self.program.updates.iter().filter(|u| u.value == value) {
                let to = self.state(update.slot, value);
                self.root(&Fate::Map, value, value, &to)?;
                self.committed.insert(to.buffer, self.ready[value.index()]);
                if self.views[value.index()].is_none() {
                    self.views[value.index()] = Some(to);
                }
            }
        }
        for update in self
            .program
            .updates
            .iter()
            .filter(|u| !late[u.value.index()])
        {
            let to = self.state(update.slot, update.value);
            self.root(&Fate::Map, update.value, update.value, &to)?;
        }
        Ok(())
    }

    fn state(&mut self, slot: u32, value: ValueId) -> View {
        let ty = self.graph.ty(value).clone();
        let buffer = self.input(mmh_ir::Input::State(slot), ty.dtype, ty.shape.elements());
        View::dense(
            buffer,
            &ty.shape,
            &ty.shape.axes().cloned().collect::<Vec<_>>(),
        )
    }

    fn input(&mut self, input: mmh_ir::Input, dtype: DType, elements: usize) -> BufferId {
        let key = match input {
            mmh_ir::Input::Column(n) => (0, n),
            mmh_ir::Input::Rows => (1, 0),
            mmh_ir::Input::Step => (2, 0),
            mmh_ir::Input::Key(n) => (3, n),
            mmh_ir::Input::State(n) => (4, n),
            mmh_ir::Input::Scalar(n) => (5, n),
            mmh_ir::Input::Statistic(n) => (6, n),
        };
        if let Some(buffer) = self.inputs.get(&key) {
            return *buffer;
        }
        let buffer = self.push_buffer(Buffer {
            dtype: dtype.into(),
            elements,
            home: Home::Input(input),
        });
        self.inputs.insert(key, buffer);
        buffer
    }

    fn push_buffer(&mut self, buffer: Buffer) -> BufferId {
        self.schedule.buffers.push(buffer);
        BufferId(self.schedule.buffers.len() as u32 - 1)
    }

    /// New memory for `value`, axes in `order`.
    pub(crate) fn fresh(&mut self, value: ValueId, order: &[Axis]) -> View {
        let ty = self.graph.ty(value).clone();
        let dtype = if self.decisions.narrow[value.index()] {
            Element::Bf16
        } else {
            ty.dtype.into()
        };
        let buffer = self.push_buffer(Buffer {
            dtype,
            elements: ty.shape.elements(),
            home: Home::Arena(0),
        });
        View::dense(buffer, &ty.shape, &complete(order, &ty.shape))
    }

    /// The element type of the memory behind a view.
    pub(crate) fn element(&self, view: &View) -> Element {
        self.schedule.buffers[view.buffer.index()].dtype
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.items.push(Item::Step(Box::new(step)));
    }

    /// Says that `value` lies at `view` from here on.
    pub(crate) fn define(&mut self, value: ValueId, view: View) {
        self.views[value.index()] = Some(view);
        self.ready[value.index()] = self.items.len();
    }

    pub(crate) fn layout(&self, value: ValueId) -> Vec<Axis> {
        complete(
            &self.decisions.layout[value.index()],
            self.graph.shape(value),
        )
    }

    fn value(&mut self, value: ValueId) -> Result<(), Hazard> {
        let node = self.graph.node(value).clone();
        match &node.op {
            Op::Input(input) => {
                let buffer = self.input(*input, node.ty.dtype, node.ty.shape.elements());
                self.views[value.index()] = Some(View::dense(
                    buffer,
                    &node.ty.shape,
                    &node.ty.shape.axes().cloned().collect::<Vec<_>>(),
                ));
            }
            op if is_pointwise(op) => {
                if self.decisions.buffered[value.index()] {
                    let to = self.fresh(value, &self.layout(value));
                    self.root(&Fate::Map, value, value, &to)?;
                    self.views[value.index()] = Some(to);
                }
            }
            Op::Broadcast
            | Op::Rename { .. }
            | Op::Merge { .. }
            | Op::Split { .. }
            | Op::Slice { .. }
            | Op::Window(_) => self.show(value)?,
            Op::Reduce { kind, over } => self.reduce(value, *kind, over)?,
            Op::Contract { .. } => crate::steps::lower(self, value)?,
            Op::Random(kind) => {
                let (key, nonce) = (self.dense(node.inputs[0])?, self.dense(node.inputs[1])?);
                let rows = self.graph.shape(node.inputs[1]).elements();
                let to = self.fresh(value, &node.ty.shape.axes().cloned().collect::<Vec<_>>());
                let size = [rows, node.ty.shape.elements() / rows.max(1)];
                self.push(Step::Random(RandomStep {
                    kind: *kind,
                    key: key.buffer,
                    nonce: nonce.buffer,
                    size,
                    out: to.buffer,
                }));
                self.define(value, to);
            }
            Op::Gather { axis } => self.gather(value, axis)?,
            Op::Sample { row, column } => self.sample(value, row, column)?,
            Op::Pad { axis, before, step } => self.pad(value, axis, *before, *step)?,
            Op::Concat { axis } => self.concat(value, axis)?,
            Op::Constant(_)
            | Op::Integer(_)
            | Op::Position
            | Op::Map(_)
            | Op::OneHot { .. }
            | Op::Composite(_) => {}
        }
        Ok(())
    }

    /// Adds a pointwise root to a fitting group, or opens one.
    pub(crate) fn root(
        &mut self,
        fate: &Fate,
        expression: ValueId,
        member: ValueId,
        to: &View,
    ) -> Result<(), Hazard> {
        let axes = self.loop_axes(expression, fate, to);
        let mut leaves = Vec::new();
        self.leaves(expression, true, &mut leaves);
        let floor = if self.commit > 0 && self.items.len() >= self.commit && self.in_commit(to) {
            self.commit
        } else {
            0
        };
        let at = self.company(fate, &axes, &leaves, floor, to);
        self.check_hazard(&leaves, at.unwrap_or(self.items.len()), to)?;
        let at = at.unwrap_or_else(|| {
            self.groups.push(Some(Group::new(fate.clone(), axes)));
            self.outputs.push(Vec::new());
            self.items.push(Item::Group(self.groups.len() - 1));
            self.items.len() - 1
        });
        if let Item::Group(number) = self.items[at] {
            let scene = Scene {
                graph: self.graph,
                views: &self.views,
                buffers: &self.schedule.buffers,
            };
            if let Some(group) = &mut self.groups[number] {
                group.add(&scene, expression, member, to);
            }
            self.outputs[number].push(to.buffer);
        }
        self.ready[member.index()] = at + 1;
        Ok(())
    }

    fn in_commit(&self, to: &View) -> bool {
        matches!(
            self.schedule.buffers[to.buffer.index()].home,
            Home::Input(_)
        )
    }

    fn check_hazard(&self, leaves: &[(ValueId, bool)], at: usize, to: &View) -> Result<(), Hazard> {
        for (leaf, _) in leaves {
            let Some(view) = &self.views[leaf.index()] else {
                continue;
            };
            let overwritten = self
                .committed
                .get(&view.buffer)
                .is_some_and(|&ready| ready <= at);
            let old = self.reads_old(*leaf);
            // Within one kernel an element is read before it is written only at the same place.
            let moved = view.buffer == to.buffer
                && view
                    .lanes
                    .iter()
                    .map(|l| (&l.axis, l.stride))
                    .ne(to.lanes.iter().map(|l| (&l.axis, l.stride)));
            if (overwritten && old) || moved {
                return Err(Hazard);
            }
        }
        Ok(())
    }

    /// The newest group that the root can join, by item number.
    fn company(
        &self,
        fate: &Fate,
        axes: &Shape,
        leaves: &[(ValueId, bool)],
        floor: usize,
        to: &View,
    ) -> Option<usize> {
        let large = axes.elements();
        for at in (floor..self.items.len()).rev().take(LOOK_BACK * 4) {
            let Item::Group(number) = self.items[at] else {
                continue;
            };
            let Some(group) = &self.groups[number] else {
                continue;
            };
            if group.fate != *fate || group.axes != *axes || !group.has_room() {
                continue;
            }
            let outputs = &self.outputs[number];
            let fits = leaves.iter().all(|(leaf, plain)| {
                let Some(view) = &self.views[leaf.index()] else {
                    return true;
                };
                let shared = outputs.contains(&view.buffer);
                let itself = *plain && *fate == Fate::Map;
                match (shared, self.reads_old(*leaf)) {
                    (true, true) => itself && matches!(self.graph.node(*leaf).op, Op::Input(_)),
                    (true, false) => itself && group.members.contains(leaf),
                    (false, _) => self.ready[leaf.index()] <= at,
                }
            });
            let shares = leaves.iter().any(|(leaf, _)| {
                let big = self.graph.shape(*leaf).elements() * 2 >= large;
                big && (group.members.contains(leaf)
                    || group.reads(self.views[leaf.index()].as_ref()))
            });
            if fits && shares && self.may_overwrite(at, group, to) {
                return Some(at);
            }
        }
        None
    }

    /// Whether a kernel at `at` may write `to`: nobody behind it reads the memory, and itself only at the same place.
    fn may_overwrite(&self, at: usize, group: &Group, to: &View) -> bool {
        let behind = self.items.iter().skip(at + 1).all(|item| match item {
            Item::Step(_) => true,
            Item::Group(number) => !self.groups[*number]
                .as_ref()
                .is_some_and(|g| g.reads(Some(to))),
        });
        !self.in_commit(to) || (behind && group.reads_only_at(to))
    }

    /// Whether a leaf shows what was fed, so that it must not be read after it was overwritten.
    fn reads_old(&self, leaf: ValueId) -> bool {
        let node = self.graph.node(leaf);
        match &node.op {
            Op::Input(_) => true,
            op if crate::decide::is_view(op) => self.reads_old(node.inputs[0]),
            _ => false,
        }
    }

    /// Values with memory under an expression, and whether their axes keep their names on the way.
    pub(crate) fn leaves(&self, value: ValueId, plain: bool, out: &mut Vec<(ValueId, bool)>) {
        if self.views[value.index()].is_some() {
            if !out.contains(&(value, plain)) {
                out.push((value, plain));
            }
            return;
        }
        let node = self.graph.node(value);
        let plain = plain && !matches!(node.op, Op::Rename { .. } | Op::Reduce { .. });
        node.inputs.iter().for_each(|&v| self.leaves(v, plain, out));
    }

    fn loop_axes(&self, expression: ValueId, fate: &Fate, to: &View) -> Shape {
        let shape = self.graph.shape(expression);
        let order = match fate {
            Fate::Map => {
                let lanes: Vec<Axis> = to.memory_order();
                complete(&lanes, shape)
            }
            Fate::Reduce(..) => self.layout(expression),
        };
        Shape(
            order
                .iter()
                .filter_map(|a| shape.0.iter().find(|d| &d.axis == a).cloned())
                .collect(),
        )
    }

    /// Writes an expression into part of another value's memory, in a kernel of its own.
    pub(crate) fn copy_into(&mut self, value: ValueId, to: &View) -> Result<(), Hazard> {
        let axes = self.loop_axes(value, &Fate::Map, to);
        let mut group = Group::new(Fate::Map, axes);
        group.add(
            &Scene {
                graph: self.graph,
                views: &self.views,
                buffers: &self.schedule.buffers,
            },
            value,
            value,
            to,
        );
        self.groups.push(Some(group));
        self.outputs.push(vec![to.buffer]);
        self.items.push(Item::Group(self.groups.len() - 1));
        Ok(())
    }

    /// The memory of a value, wherever it is.
    pub(crate) fn placed(&mut self, value: ValueId) -> Result<View, Hazard> {
        if let Some(view) = &self.views[value.index()] {
            return Ok(view.clone());
        }
        let to = self.fresh(value, &self.layout(value));
        self.root(&Fate::Map, value, value, &to)?;
        self.views[value.index()] = Some(to.clone());
        Ok(to)
    }

    /// The memory of a value, row-major in logical order.
    fn dense(&mut self, value: ValueId) -> Result<View, Hazard> {
        let order: Vec<Axis> = self.graph.shape(value).axes().cloned().collect();
        self.ordered(value, &order)
    }

    /// The memory of a value without gaps, axes in `order`; a copy where it lies otherwise.
    pub(crate) fn ordered(&mut self, value: ValueId, order: &[Axis]) -> Result<View, Hazard> {
        let view = self.placed(value)?;
        let shape = self.graph.shape(value);
        let dense = View::dense(view.buffer, shape, &complete(order, shape));
        let same = view.offset == 0
            && view
                .lanes
                .iter()
                .zip(&dense.lanes)
                .all(|(a, b)| a.size == 1 || a.stride == b.stride);
        let whole = self.schedule.buffers[view.buffer.index()].elements == shape.elements();
        if same && whole {
            Ok(view)
        } else {
            self.copied(value, order)
        }
    }

    /// A copy of a value with its axes in `order`, made once.
    pub(crate) fn copied(&mut self, value: ValueId, order: &[Axis]) -> Result<View, Hazard> {
        let key = (value, order.to_vec());
        if let Some(view) = self.copies.get(&key) {
            return Ok(view.clone());
        }
        let to = self.fresh(value, order);
        self.copy_into(value, &to)?;
        self.copies.insert(key, to.clone());
        Ok(to)
    }
}

/// An operand with its strides along `axes`.
pub(crate) fn arg(view: &View, axes: &[Axis]) -> Arg {
    Arg {
        buffer: view.buffer,
        offset: view.offset,
        strides: axes.iter().map(|a| view.stride(a)).collect(),
    }
}
