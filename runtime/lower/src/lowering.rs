//! Walks a program in order and writes the schedule.

use crate::contraction::{Form, spatial};
use crate::decide::{Decisions, complete, decide, is_pointwise, operands};
use crate::group::{Fate, Group, Scene};
use crate::kernel::{Kernel, Mode};
use crate::memory;
use crate::schedule::{
    Arg, ArgMaxStep, Buffer, GatherStep, Home, KernelId, Loop, Output, RandomStep, SampleStep,
    Schedule, Step, WindowStep,
};
use crate::view::{BufferId, Lane, View};
use mmh_ir::plan::Program;
use mmh_ir::{Axis, DType, Graph, Op, ReduceKind, Shape, ValueId};
use std::collections::BTreeMap;

/// The schedule of a program.
pub fn lower(program: &Program) -> Schedule {
    Lowering::new(program, true)
        .run()
        .unwrap_or_else(|Hazard| Lowering::new(program, false).run().unwrap_or_default())
}

/// A state slot would be read after it was overwritten in place.
#[derive(Debug)]
pub(crate) struct Hazard;

enum Item {
    Step(Box<Step>),
    Group(usize),
}

/// Elements, operands and operations up to which a reduction is unrolled into a kernel.
const SHORT: usize = 16;
const SHORT_OPERANDS: usize = 24;
const SHORT_PRICE: usize = 256;

/// How many groups back a root may look for company.
const LOOK_BACK: usize = 16;

pub(crate) struct Lowering<'a> {
    program: &'a Program,
    pub(crate) graph: &'a Graph,
    pub(crate) decisions: Decisions,
    pub(crate) views: Vec<Option<View>>,
    /// Number of items after which each value is there.
    ready: Vec<usize>,
    items: Vec<Item>,
    groups: Vec<Option<Group>>,
    outputs: Vec<Vec<BufferId>>,
    schedule: Schedule,
    inputs: BTreeMap<(u8, u32), BufferId>,
    copies: BTreeMap<(ValueId, Vec<Axis>), View>,
    committed: BTreeMap<BufferId, usize>,
    in_place: bool,
    commit: usize,
}

impl<'a> Lowering<'a> {
    fn new(program: &'a Program, in_place: bool) -> Self {
        let graph = &program.graph;
        let count = graph.nodes.len();
        Self {
            program,
            graph,
            decisions: decide(program),
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
        memory::place(&mut self.schedule);
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
            dtype,
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
        let buffer = self.push_buffer(Buffer {
            dtype: ty.dtype,
            elements: ty.shape.elements(),
            home: Home::Arena(0),
        });
        View::dense(buffer, &ty.shape, &complete(order, &ty.shape))
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
            Op::Contract { .. } => crate::lowering::contract::lower(self, value)?,
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
    fn root(
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
            };
            if let Some(group) = &mut self.groups[number] {
                group.add(&scene, expression, member, to, self.graph.ty(member).dtype);
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
            Item::Group(number) => !self.groups[*number].as_ref().is_some_and(|g| g.reads(Some(to))),
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
    fn leaves(&self, value: ValueId, plain: bool, out: &mut Vec<(ValueId, bool)>) {
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

    fn reduce(&mut self, value: ValueId, kind: ReduceKind, over: &[Axis]) -> Result<(), Hazard> {
        let input = self.graph.node(value).inputs[0];
        let to = self.fresh(value, &self.layout(value));
        if self.is_short(input, over) {
            self.copy_into(value, &to)?;
            self.define(value, to);
            return Ok(());
        }
        let fold = match kind {
            ReduceKind::Sum => Mode::Sum,
            ReduceKind::Max => Mode::Max,
            ReduceKind::Min => Mode::Min,
            ReduceKind::ArgMax => {
                let view = self.placed(input)?;
                let shape = self.graph.shape(input);
                let kept = shape.axes().filter(|a| !over.contains(a));
                let axes: Vec<Axis> = kept.chain(over).cloned().collect();
                let loops = axes
                    .iter()
                    .map(|a| Loop {
                        size: shape.size(a).unwrap_or(1),
                        reduced: over.contains(a),
                    })
                    .collect();
                let step = ArgMaxStep {
                    loops,
                    load: arg(&view, &axes),
                    result: arg(&to, &axes),
                };
                self.push(Step::ArgMax(step));
                self.define(value, to);
                return Ok(());
            }
        };
        self.root(&Fate::Reduce(fold, over.to_vec()), input, value, &to)?;
        self.views[value.index()] = Some(to);
        Ok(())
    }

    /// Whether a reduction is so short that a kernel does it element by element.
    fn is_short(&self, input: ValueId, over: &[Axis]) -> bool {
        let length: usize = over.iter().filter_map(|a| self.graph.shape(input).size(a)).product();
        let mut leaves = Vec::new();
        self.leaves(input, false, &mut leaves);
        (1..=SHORT).contains(&length) && length * leaves.len() <= SHORT_OPERANDS && length * self.inline_price(input) <= SHORT_PRICE
    }

    /// The price of an expression down to what has memory.
    fn inline_price(&self, value: ValueId) -> usize {
        let node = self.graph.node(value);
        if self.views[value.index()].is_some() {
            return 0;
        }
        let own = if let Op::Map(op) = &node.op { crate::expand::price(*op) } else { 0 };
        own + node.inputs.iter().map(|&v| self.inline_price(v)).sum::<usize>()
    }

    /// A value that shows another's elements: a view where memory allows, otherwise a copy.
    fn show(&mut self, value: ValueId) -> Result<(), Hazard> {
        let node = self.graph.node(value).clone();
        let input = node.inputs[0];
        let Some(view) = self.views[input.index()].clone() else {
            return Ok(());
        };
        let shown = match &node.op {
            Op::Broadcast => Some(view.broadcast(&node.ty.shape)),
            Op::Rename { from, to } => Some(view.rename(from, to)),
            Op::Merge { axes, into } => view.merge(axes, into),
            Op::Split { axis, into } => view.split(axis, into, &node.ty.shape),
            Op::Slice { axis, start, step } => {
                Some(view.slice(axis, *start, *step, node.ty.shape.size(axis).unwrap_or(0)))
            }
            _ => None,
        };
        match (shown, &node.op) {
            (Some(shown), _) => {
                self.views[value.index()] = Some(shown);
                self.ready[value.index()] = self.ready[input.index()];
            }
            (None, Op::Merge { axes, into }) => {
                let order: Vec<Axis> = self.graph.shape(input).axes().cloned().collect();
                let copy = self.copied(input, &order)?;
                self.views[value.index()] = copy.merge(axes, into);
                self.ready[value.index()] = self.items.len();
            }
            (None, Op::Window(_)) => self.window(value, &view)?,
            (None, _) => {}
        }
        Ok(())
    }

    fn window(&mut self, value: ValueId, view: &View) -> Result<(), Hazard> {
        let node = self.graph.node(value).clone();
        let (Op::Window(window), input) = (&node.op, node.inputs[0]) else {
            return Ok(());
        };
        let Some(geometry) = spatial(self.graph, value, window) else {
            return Ok(());
        };
        let stride = view.lane(&window.axis).map_or(0, |l| l.stride);
        let last = (geometry.out as i64 - 1) * geometry.stride
            + (geometry.taps as i64 - 1) * geometry.dilation
            + geometry.offset;
        let inside = geometry.divide == 1
            && geometry.offset >= 0
            && geometry.stride >= 0
            && geometry.dilation >= 0
            && last < geometry.source as i64;
        if inside {
            let mut shown = view.clone();
            shown.offset = shown
                .offset
                .wrapping_add_signed(geometry.offset as isize * stride);
            let lanes = node.ty.shape.0.iter().map(|d| {
                let stride = if d.axis == window.out {
                    geometry.stride as isize * stride
                } else if d.axis == window.tap {
                    geometry.dilation as isize * stride
                } else {
                    view.lane(&d.axis).map_or(0, |l| l.stride)
                };
                Lane {
                    axis: d.axis.clone(),
                    size: d.size,
                    stride,
                }
            });
            shown.lanes = lanes.collect();
            self.views[value.index()] = Some(shown);
            self.ready[value.index()] = self.ready[input.index()];
            return Ok(());
        }
        let order = self.layout(value);
        let to = self.fresh(value, &order);
        let axes: Vec<Axis> = to.memory_order();
        let axes = complete(&axes, &node.ty.shape);
        let place = |a: &Axis| axes.iter().position(|b| a == b).unwrap_or(0);
        let mut source = arg(view, &axes);
        source.strides[place(&window.out)] = 0;
        source.strides[place(&window.tap)] = 0;
        let step = WindowStep {
            loops: axes
                .iter()
                .map(|a| node.ty.shape.size(a).unwrap_or(1))
                .collect(),
            window: [place(&window.out), place(&window.tap)],
            spatial: geometry,
            source,
            stride,
            fill: if node.ty.dtype == DType::F32 {
                window.fill.0.to_bits()
            } else {
                (window.fill.0 as i32).cast_unsigned()
            },
            out: arg(&to, &axes),
        };
        self.push(Step::Window(step));
        self.define(value, to);
        Ok(())
    }

    fn gather(&mut self, value: ValueId, axis: &Axis) -> Result<(), Hazard> {
        let node = self.graph.node(value).clone();
        let (table, index) = (self.placed(node.inputs[0])?, self.placed(node.inputs[1])?);
        let to = self.fresh(value, &node.ty.shape.axes().cloned().collect::<Vec<_>>());
        let axes: Vec<Axis> = node.ty.shape.axes().cloned().collect();
        let looked_up = table.lane(axis).map_or((0, 0), |l| (l.stride, l.size));
        let step = GatherStep {
            loops: node.ty.shape.sizes(),
            table: arg(&table, &axes),
            axis: looked_up,
            index: arg(&index, &axes),
            out: arg(&to, &axes),
        };
        self.push(Step::Gather(step));
        self.define(value, to);
        Ok(())
    }

    fn sample(&mut self, value: ValueId, row: &Axis, column: &Axis) -> Result<(), Hazard> {
        let node = self.graph.node(value).clone();
        let image = self.placed(node.inputs[0])?;
        let (rows, columns) = (self.placed(node.inputs[1])?, self.placed(node.inputs[2])?);
        let mut axes: Vec<Axis> = node
            .ty
            .shape
            .axes()
            .filter(|a| *a != row && *a != column)
            .cloned()
            .collect();
        axes.extend([row.clone(), column.clone()]);
        let to = self.fresh(value, &axes);
        let loops = axes
            .iter()
            .map(|a| node.ty.shape.size(a).unwrap_or(1))
            .collect();
        let step = SampleStep {
            loops,
            image: arg(&image, &axes),
            row: arg(&rows, &axes),
            column: arg(&columns, &axes),
            out: arg(&to, &axes),
        };
        self.push(Step::Sample(step));
        self.define(value, to);
        Ok(())
    }

    fn pad(
        &mut self,
        value: ValueId,
        axis: &Axis,
        before: usize,
        step: usize,
    ) -> Result<(), Hazard> {
        let node = self.graph.node(value).clone();
        let to = self.fresh(value, &self.layout(value));
        let whole = node.ty.shape.size(axis).unwrap_or(0);
        let size = self.graph.shape(node.inputs[0]).size(axis).unwrap_or(0);
        if size < whole {
            let axes = complete(&to.memory_order(), &node.ty.shape);
            let mut group = Group::new(
                Fate::Map,
                Shape(
                    axes.iter()
                        .filter_map(|a| node.ty.shape.0.iter().find(|d| &d.axis == a).cloned())
                        .collect(),
                ),
            );
            group.add_zero(&to, node.ty.dtype);
            self.groups.push(Some(group));
            self.outputs.push(vec![to.buffer]);
            self.items.push(Item::Group(self.groups.len() - 1));
        }
        self.copy_into(node.inputs[0], &to.slice(axis, before, step, size))?;
        self.define(value, to);
        Ok(())
    }

    fn concat(&mut self, value: ValueId, axis: &Axis) -> Result<(), Hazard> {
        let node = self.graph.node(value).clone();
        let to = self.fresh(value, &self.layout(value));
        let mut start = 0;
        for &input in &node.inputs {
            let size = self.graph.shape(input).size(axis).unwrap_or(0);
            self.copy_into(input, &to.slice(axis, start, 1, size))?;
            start += size;
        }
        self.define(value, to);
        Ok(())
    }

    /// Writes an expression into part of another value's memory, in a kernel of its own.
    fn copy_into(&mut self, value: ValueId, to: &View) -> Result<(), Hazard> {
        let axes = self.loop_axes(value, &Fate::Map, to);
        let mut group = Group::new(Fate::Map, axes);
        group.add(
            &Scene {
                graph: self.graph,
                views: &self.views,
            },
            value,
            value,
            to,
            self.graph.ty(value).dtype,
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

mod contract {
    //! Contractions as steps.

    use super::{Form, Hazard, Lowering, arg};
    use crate::contraction::Picture;
    use crate::schedule::{Arg, ContractStep, ConvStep, ConvWeightStep, ScatterStep, Step};
    use crate::view::{View, merged};
    use mmh_ir::{Axis, ValueId};

    pub(super) fn lower(l: &mut Lowering<'_>, value: ValueId) -> Result<(), Hazard> {
        let Some(form) = l.decisions.forms[value.index()].clone() else {
            return Ok(());
        };
        match form {
            Form::Conv { picture, w, n } => conv(l, value, &picture, w, &n),
            Form::ConvWeight { picture, g, n } => conv_weight(l, value, &picture, g, &n),
            Form::Scatter {
                index,
                g,
                axis,
                over,
                width,
            } => {
                let index_view = l.ordered(index, &over)?;
                let g_view = l.ordered(g, &[over.as_slice(), &width].concat())?;
                let to = l.fresh(value, &[std::slice::from_ref(&axis), &width].concat());
                let shape = l.graph.shape(value);
                let rows = shape.size(&axis).unwrap_or(0);
                let size = [
                    l.graph.shape(index).elements(),
                    rows,
                    shape.elements() / rows.max(1),
                ];
                l.push(Step::Scatter(ScatterStep {
                    index: index_view.buffer,
                    g: g_view.buffer,
                    out: to.buffer,
                    size,
                }));
                l.define(value, to);
                Ok(())
            }
            Form::Product { a, b, over } => product(l, value, a, b, &over),
        }
    }

    /// One axis out of several by merging strides; a missing axis is one place.
    fn single(view: &View, axes: &[Axis]) -> Option<isize> {
        view.merged(axes).map(|(_, stride)| stride)
    }

    fn taps_and_channel(picture: &Picture) -> Vec<Vec<Axis>> {
        let channel = picture.channel.iter().map(|(name, _)| name.clone()).collect();
        vec![picture.taps.iter().flatten().cloned().collect(), channel]
    }

    fn channels(l: &Lowering<'_>, picture: &Picture) -> usize {
        picture
            .channel
            .as_ref()
            .and_then(|(_, x)| l.graph.shape(picture.x).size(x))
            .unwrap_or(1)
    }

    fn batch(l: &Lowering<'_>, picture: &Picture) -> usize {
        picture
            .batch
            .iter()
            .filter_map(|(_, x)| l.graph.shape(picture.x).size(x))
            .product()
    }

    fn conv(
        l: &mut Lowering<'_>,
        value: ValueId,
        picture: &Picture,
        w: ValueId,
        n: &[Axis],
    ) -> Result<(), Hazard> {
        let x = l.ordered(picture.x, &picture.order())?;
        let mut weights = l.placed(w)?;
        let mut axes = taps_and_channel(picture);
        axes.push(n.to_vec());
        if axes.iter().any(|a| single(&weights, a).is_none()) {
            weights = l.copied(w, &axes.concat())?;
        }
        let strides = axes
            .iter()
            .map(|a| single(&weights, a).unwrap_or(0))
            .collect();
        let to = l.fresh(value, &picture.result_order(n));
        let step = ConvStep {
            batch: batch(l, picture),
            channels: [
                channels(l, picture),
                n.iter()
                    .filter_map(|a| l.graph.shape(value).size(a))
                    .product(),
            ],
            spatial: picture.spatial,
            x: x.buffer,
            w: Arg {
                buffer: weights.buffer,
                offset: weights.offset,
                strides,
            },
            y: to.buffer,
        };
        l.push(Step::Conv(step));
        l.define(value, to);
        Ok(())
    }

    fn conv_weight(
        l: &mut Lowering<'_>,
        value: ValueId,
        picture: &Picture,
        g: ValueId,
        n: &[Axis],
    ) -> Result<(), Hazard> {
        let x = l.ordered(picture.x, &picture.order())?;
        let gradient = l.ordered(g, &picture.result_order(n))?;
        let to = l.fresh(value, &picture.weight_order(n));
        let step = ConvWeightStep {
            batch: batch(l, picture),
            channels: [
                channels(l, picture),
                n.iter()
                    .filter_map(|a| l.graph.shape(value).size(a))
                    .product(),
            ],
            spatial: picture.spatial,
            x: x.buffer,
            g: gradient.buffer,
            dw: to.buffer,
        };
        l.push(Step::ConvWeight(step));
        l.define(value, to);
        Ok(())
    }

    fn product(
        l: &mut Lowering<'_>,
        value: ValueId,
        left: ValueId,
        right: ValueId,
        over: &[Axis],
    ) -> Result<(), Hazard> {
        let mut a = folded(l, left, over)?;
        let mut b = folded(l, right, over)?;
        let shape = l.graph.shape(value).clone();
        let order = result_order(l, value, left, right);
        let c = l.fresh(value, &order);
        let (mut mine, mut theirs) = (l.graph.shape(left).clone(), l.graph.shape(right).clone());
        // The innermost axis of the result belongs to the right operand.
        let innermost = order
            .iter()
            .rev()
            .find(|x| shape.size(x).is_some_and(|s| s > 1));
        if innermost.is_some_and(|x| mine.has(x) && !theirs.has(x)) {
            std::mem::swap(&mut a, &mut b);
            std::mem::swap(&mut mine, &mut theirs);
        }
        let real = |x: &&Axis| shape.size(x).is_some_and(|s| s > 1);
        let ms: Vec<Axis> = order
            .iter()
            .filter(real)
            .filter(|x| !theirs.has(x))
            .cloned()
            .collect();
        let ns: Vec<Axis> = order
            .iter()
            .filter(real)
            .filter(|x| !mine.has(x))
            .cloned()
            .collect();
        let shared: Vec<Axis> = order
            .iter()
            .filter(real)
            .filter(|x| mine.has(x) && theirs.has(x))
            .cloned()
            .collect();
        let (outer_m, m) = inner_run(&ms, &[&a, &c]);
        let (outer_n, n) = inner_run(&ns, &[&b, &c]);
        let batch: Vec<Axis> = [shared, outer_m, outer_n].concat();
        let size = |axes: &[Axis]| axes.iter().filter_map(|x| shape.size(x)).product::<usize>();
        let (_, k_size) = (0, a.merged(over).map_or(1, |(s, _)| s));
        let with = |view: &View, first: &[Axis], second: &[Axis]| {
            let mut arg = arg(view, &batch);
            arg.strides.push(single(view, first).unwrap_or(0));
            arg.strides.push(single(view, second).unwrap_or(0));
            arg
        };
        let step = ContractStep {
            size: [size(&m), size(&n), k_size],
            batch: batch.iter().filter_map(|x| shape.size(x)).collect(),
            a: with(&a, &m, over),
            b: with(&b, over, &n),
            c: with(&c, &m, &n),
        };
        l.push(Step::Contract(step));
        l.define(value, c);
        Ok(())
    }

    /// The order of a product's axes in memory: as laid out, unless a batch axis would come to lie innermost.
    fn result_order(l: &Lowering<'_>, value: ValueId, left: ValueId, right: ValueId) -> Vec<Axis> {
        let order = l.layout(value);
        let (mine, theirs) = (l.graph.shape(left), l.graph.shape(right));
        let shared = |x: &Axis| mine.has(x) && theirs.has(x);
        let real = |x: &&Axis| l.graph.shape(value).size(x).is_some_and(|s| s > 1);
        if !order.iter().rev().find(real).is_some_and(shared) {
            return order;
        }
        let (batch, rest): (Vec<Axis>, Vec<Axis>) = order.into_iter().partition(|x| shared(x));
        [batch, rest].concat()
    }

    /// A view of an operand whose contracted axes merge into one.
    fn folded(l: &mut Lowering<'_>, value: ValueId, over: &[Axis]) -> Result<View, Hazard> {
        let view = l.placed(value)?;
        if view.merged(over).is_some() {
            return Ok(view);
        }
        let rest: Vec<Axis> = view
            .memory_order()
            .into_iter()
            .filter(|a| !over.contains(a))
            .collect();
        l.copied(value, &[rest.as_slice(), over].concat())
    }

    /// Splits `axes` into outer ones and the longest inner run that is one axis in every view.
    fn inner_run(axes: &[Axis], views: &[&View]) -> (Vec<Axis>, Vec<Axis>) {
        for start in 0..axes.len() {
            let run = &axes[start..];
            let one = |v: &&View| {
                merged(
                    &run.iter()
                        .filter_map(|x| v.lane(x))
                        .map(|l| (l.size, l.stride))
                        .collect::<Vec<_>>(),
                )
                .is_some()
            };
            if views.iter().all(one) {
                return (axes[..start].to_vec(), run.to_vec());
            }
        }
        (axes.to_vec(), vec![])
    }
}
