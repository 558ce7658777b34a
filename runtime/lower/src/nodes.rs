//! Nodes that are neither pointwise nor contractions: reductions, views, look-ups, pads.

use crate::contraction::spatial;
use crate::decide::complete;
use crate::group::{Fate, Group};
use crate::kernel::Mode;
use crate::lowering::{Hazard, Item, Lowering, arg};
use crate::schedule::{ArgMaxStep, GatherStep, Loop, SampleStep, Step, WindowStep};
use crate::view::{Lane, View};
use mmh_ir::{Axis, DType, Op, ReduceKind, Shape, ValueId};

/// Elements, operands and operations up to which a reduction is unrolled into a kernel.
const SHORT: usize = 16;
const SHORT_OPERANDS: usize = 24;
const SHORT_PRICE: usize = 256;

impl Lowering<'_> {
    pub(crate) fn reduce(
        &mut self,
        value: ValueId,
        kind: ReduceKind,
        over: &[Axis],
    ) -> Result<(), Hazard> {
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
        let length: usize = over
            .iter()
            .filter_map(|a| self.graph.shape(input).size(a))
            .product();
        let mut leaves = Vec::new();
        self.leaves(input, false, &mut leaves);
        (1..=SHORT).contains(&length)
            && length * leaves.len() <= SHORT_OPERANDS
            && length * self.inline_price(input) <= SHORT_PRICE
    }

    /// The price of an expression down to what has memory.
    fn inline_price(&self, value: ValueId) -> usize {
        let node = self.graph.node(value);
        if self.views[value.index()].is_some() {
            return 0;
        }
        let own = if let Op::Map(op) = &node.op {
            crate::expand::price(*op)
        } else {
            0
        };
        own + node
            .inputs
            .iter()
            .map(|&v| self.inline_price(v))
            .sum::<usize>()
    }

    /// A value that shows another's elements: a view where memory allows, otherwise a copy.
    pub(crate) fn show(&mut self, value: ValueId) -> Result<(), Hazard> {
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

    pub(crate) fn gather(&mut self, value: ValueId, axis: &Axis) -> Result<(), Hazard> {
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

    pub(crate) fn sample(
        &mut self,
        value: ValueId,
        row: &Axis,
        column: &Axis,
    ) -> Result<(), Hazard> {
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

    pub(crate) fn pad(
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
            group.add_zero(&to, self.element(&to));
            self.groups.push(Some(group));
            self.outputs.push(vec![to.buffer]);
            self.items.push(Item::Group(self.groups.len() - 1));
        }
        self.copy_into(node.inputs[0], &to.slice(axis, before, step, size))?;
        self.define(value, to);
        Ok(())
    }

    pub(crate) fn concat(&mut self, value: ValueId, axis: &Axis) -> Result<(), Hazard> {
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
}
