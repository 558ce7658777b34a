//! Softmax and its kin, losses, attention.

use super::pointwise::over;
use super::shape::class_count;
use crate::call::{Bound, Given};
use crate::core::{Cx, LossParts};
use crate::value::{Dim, Eval, Made, Tensor, Value};
use mmh_diag::{Code, Diagnostic};
use mmh_ir::{Axis, Composite, DType, Literal, MapOp, Op};

pub(super) fn softmax<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let over = over(cx, bound, &x)?;
    let mut out = cx.push(
        Op::Composite(Composite::Softmax { over }),
        &[&x],
        DType::F32,
        x.dims.clone(),
    )?;
    out.made = Made::Softmax(cx.here.last().copied().unwrap_or(bound.loc));
    Ok(Value::Tensor(out))
}

pub(super) fn log_sum_exp<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let over = over(cx, bound, &x)?;
    let dims = x
        .dims
        .iter()
        .filter(|d| !over.contains(&d.axis))
        .cloned()
        .collect();
    cx.push(
        Op::Composite(Composite::LogSumExp { over }),
        &[&x],
        DType::F32,
        dims,
    )
    .map(Value::Tensor)
}

/// The class axis of scores: the one that the labels have not.
pub(crate) fn class_axis(
    cx: &mut Cx<'_>,
    x: &Tensor,
    label: &Tensor,
    bound: &Bound<'_, '_>,
) -> Eval<Dim> {
    let own: Vec<&Dim> = x
        .dims
        .iter()
        .filter(|d| !label.has(d.axis.as_str()))
        .collect();
    let lacking: Vec<&Dim> = label
        .dims
        .iter()
        .filter(|d| !x.has(d.axis.as_str()))
        .collect();
    match (own.as_slice(), lacking.as_slice()) {
        ([class], []) => Ok((*class).clone()),
        _ => {
            let message = format!(
                "`{}` takes scores with one axis more than the labels: {} against {}",
                bound.name,
                x.text(),
                label.text()
            );
            let help = if own.len() > 1 {
                "reduce the scores to one axis beside those of the labels"
            } else {
                "the scores need an axis of classes"
            };
            cx.fail(Code::ShapeRank, bound.loc, message, help)
        }
    }
}

pub(super) fn cross_entropy<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    cx.need(bound, "label")?;
    let label = cx.tensor_arg(bound, "label")?;
    if label.dtype != DType::I32 {
        let loc = bound.get("label").map_or(bound.loc, Given::loc);
        return cx.fail(
            Code::TypeDtype,
            loc,
            format!(
                "`cross_entropy` takes class labels, and {} arrives",
                label.text()
            ),
            "for numbers use `mse` or `mae`",
        );
    }
    if let Made::Softmax(at) = x.made {
        let diagnostic = Diagnostic::error(
            Code::LossDoubleSoftmax,
            "`cross_entropy` already applies softmax",
        )
        .at(bound.loc.source, bound.loc.span, "applied again here")
        .and(at.source, at.span, "applied here")
        .help("drop `softmax`, or use `nll`");
        return Err(cx.report(diagnostic));
    }
    let class = class_axis(cx, &x, &label, bound)?;
    if let Some((classes, at)) = label.classes.clone()
        && !cx.equal(&classes, &class.size)
    {
        return class_count(
            cx,
            bound.loc,
            &class.size,
            &classes,
            class.loc,
            at,
            "cross_entropy",
        );
    }
    let dims: Vec<Dim> = x
        .dims
        .iter()
        .filter(|d| d.axis != class.axis)
        .cloned()
        .collect();
    let label = ordered(cx, &label, &dims)?;
    let op = Op::Composite(Composite::CrossEntropy { class: class.axis });
    let each = cx.push(op, &[&x, &label], DType::F32, dims)?;
    finish(cx, "cross_entropy", x, label, each)
}

fn ordered(cx: &mut Cx<'_>, value: &Tensor, dims: &[Dim]) -> Eval<Tensor> {
    for dim in dims {
        if let Some(twin) = value.dims.iter().find(|d| d.axis == dim.axis).cloned() {
            cx.same_size(&twin, dim)?;
        }
    }
    cx.broadcast(value, dims)
}

fn finish(
    cx: &mut Cx<'_>,
    name: &'static str,
    predicted: Tensor,
    target: Tensor,
    each: Tensor,
) -> Eval<Value> {
    let axes: Vec<Axis> = each.dims.iter().map(|d| d.axis.clone()).collect();
    let mean = cx.mean(&each, &axes)?;
    cx.losses.push(LossParts {
        name,
        predicted,
        target,
        each,
    });
    Ok(Value::Tensor(mean))
}

fn difference<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<(Tensor, Tensor, Tensor)> {
    let x = cx.float_tensor(bound, "x")?;
    cx.need(bound, "target")?;
    let target = cx.float_tensor(bound, "target")?;
    let own = |a: &Tensor, b: &Tensor| {
        a.dims
            .iter()
            .find(|d| !b.has(d.axis.as_str()))
            .map(|d| d.axis.to_string())
    };
    if let Some(axis) = own(&x, &target).or_else(|| own(&target, &x)) {
        let message = format!(
            "`{}` compares {} with {}: only one has the axis `{axis}`",
            bound.name,
            x.text(),
            target.text()
        );
        return cx.fail(
            Code::ShapeRank,
            bound.loc,
            message,
            format!("take it away, such as by `slice` or `mean(over = {axis})`"),
        );
    }
    let difference = cx.map(MapOp::Sub, &[&x, &target])?;
    Ok((x, target, difference))
}

pub(super) fn mse<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let (x, target, difference) = difference(cx, bound)?;
    let each = cx.map(MapOp::Mul, &[&difference, &difference])?;
    finish(cx, "mse", x, target, each)
}

pub(super) fn mae<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let (x, target, difference) = difference(cx, bound)?;
    let each = cx.map(MapOp::Abs, &[&difference])?;
    finish(cx, "mae", x, target, each)
}

pub(super) fn attend<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let q = cx.float_tensor(bound, "q")?;
    cx.need(bound, "k")?;
    cx.need(bound, "v")?;
    let k = cx.float_tensor(bound, "k")?;
    let v = cx.float_tensor(bound, "v")?;
    let over = over(cx, bound, &q)?;
    let names: Vec<_> = over.iter().map(|a| (a.to_string(), bound.loc)).collect();
    cx.axes_of(&k, &names, "attend")?;
    let key = cx
        .axes_arg(bound, "key")?
        .and_then(|n| n.into_iter().next())
        .unwrap_or(("key".into(), bound.loc));
    cx.axes_of(&k, std::slice::from_ref(&key), "attend")?;
    cx.axes_of(&v, std::slice::from_ref(&key), "attend")?;
    if q.has(&key.0) {
        return cx.fail(
            Code::ShapeAxisDuplicate,
            key.1,
            format!("the queries have the axis `{}` too", key.0),
            format!("rename it on one side: `rename(time = {})`", key.0),
        );
    }
    let scale = cx.float_arg(bound, "scale", Some(1.0))?;
    let causal = match cx.axes_arg(bound, "causal")? {
        Some(names) => cx.axes_of(&q, &names, "attend")?.into_iter().next(),
        None => None,
    };
    let mut dims: Vec<Dim> = q
        .dims
        .iter()
        .filter(|d| !over.contains(&d.axis))
        .cloned()
        .collect();
    for dim in k
        .dims
        .iter()
        .filter(|d| !over.contains(&d.axis))
        .chain(&v.dims)
    {
        match dims.iter().find(|d| d.axis == dim.axis).cloned() {
            Some(twin) => cx.same_size(&twin, dim)?,
            None if dim.axis.as_str() == key.0 => {}
            None => dims.push(dim.clone()),
        }
    }
    let op = Composite::Attend {
        over,
        key: Axis::new(&key.0),
        scale: Literal(scale as f32),
        causal,
        narrow: false,
    };
    cx.push(Op::Composite(op), &[&q, &k, &v], DType::F32, dims)
        .map(Value::Tensor)
}
