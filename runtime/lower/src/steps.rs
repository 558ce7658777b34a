//! Contractions as steps.

use crate::contraction::Form;
use crate::contraction::Picture;
use crate::lowering::{Hazard, Lowering, arg};
use crate::schedule::{Absent, Arg, ContractStep, ConvStep, ConvWeightStep, ScatterStep, Step};
use crate::view::{View, merged};
use mmh_ir::{Axis, ValueId};

pub(crate) fn lower(l: &mut Lowering<'_>, value: ValueId) -> Result<(), Hazard> {
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
    let channel = picture
        .channel
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
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
    mut left: ValueId,
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
        left = right;
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
        absent: absent(l, value, left, [&m, &n, over]),
    };
    l.push(Step::Contract(step));
    l.define(value, c);
    Ok(())
}

/// What a causal mask leaves out of `value`, a product with `left` on its left.
fn absent(l: &Lowering<'_>, value: ValueId, left: ValueId, [m, n, k]: [&[Axis]; 3]) -> Absent {
    let is = |axes: &[Axis], axis: &Axis| axes == std::slice::from_ref(axis);
    if let Some(mask) = l.masks.zero(left) {
        if is(m, &mask.query) && is(k, &mask.key) {
            return Absent::ContractedAfterRow;
        }
        if is(m, &mask.key) && is(k, &mask.query) {
            return Absent::ContractedBeforeRow;
        }
    }
    match l.masks.unseen(value) {
        Some(mask) if is(m, &mask.query) && is(n, &mask.key) => Absent::OutputAfterRow,
        _ => Absent::Nothing,
    }
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
