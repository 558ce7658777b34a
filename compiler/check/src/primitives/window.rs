//! Windows, contractions, look-ups and samples.

use super::pointwise::over;
use super::shape::{class_count, new_axis, one_axis};
use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::poly::Poly;
use crate::value::{Dim, Eval, Loc, Tensor, Value};
use mmh_diag::Code;
use mmh_ir::{Axis, DType, Literal, Op, Window};

/// How windows lie over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// As many windows as elements, divided by the stride and rounded up.
    Same,
    /// Windows that lie inside.
    Valid,
}

pub(super) fn padding<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Padding> {
    match cx.arg(bound, "padding")? {
        None | Some((Value::Unknown, _)) => Ok(Padding::Same),
        Some((Value::Text(t), _)) if t == "same" => Ok(Padding::Same),
        Some((Value::Text(t), _)) if t == "valid" => Ok(Padding::Valid),
        Some((_, loc)) => cx.fail(
            Code::SettingType,
            loc,
            "`padding` is \"same\" or \"valid\"",
            "",
        ),
    }
}

/// Windows of `size` along `axis`, `stride` apart; window 0 starts `(size − 1) // 2` before the first element if padded.
#[expect(clippy::too_many_arguments, reason = "a window has these parts")]
pub(super) fn windows(
    cx: &mut Cx<'_>,
    x: &Tensor,
    axis: &str,
    size: &Poly,
    tap: &str,
    stride: &Poly,
    padding: Padding,
    fill: f32,
    loc: Loc,
) -> Eval<Tensor> {
    let Some(at) = x.dims.iter().position(|d| d.axis.as_str() == axis) else {
        return Err(crate::value::Reported);
    };
    let Some(dim) = x.dims.get(at).cloned() else {
        return Err(crate::value::Reported);
    };
    let one = Poly::number(1);
    let (places, offset) = match padding {
        Padding::Same => (
            dim.size.add(stride).subtract(&one),
            (size.integer().unwrap_or(1) - 1) / 2,
        ),
        Padding::Valid => (dim.size.subtract(size).add(stride), 0),
    };
    let places = places
        .divide(stride)
        .unwrap_or(one.clone())
        .floor(&cx.whole);
    if places.integer().is_some_and(|n| n < 1) {
        return cx.fail(
            Code::ShapeAxisSize,
            loc,
            format!("a window of {size} does not fit into {axis} = {}", dim.size),
            "take a smaller window, or pad with \"same\"",
        );
    }
    let mut dims = x.dims.clone();
    let out = Dim {
        axis: dim.axis.clone(),
        size: places,
        loc: if *stride == one { dim.loc } else { loc },
    };
    dims.splice(
        at..=at,
        [
            out,
            Dim {
                axis: Axis::new(tap),
                size: size.clone(),
                loc,
            },
        ],
    );
    let window = Window {
        axis: dim.axis.clone(),
        out: dim.axis.clone(),
        tap: Axis::new(tap),
        stride: stride.integer().map_or(1, |n| n as i64),
        dilation: 1,
        offset: -(offset as i64),
        divide: 1,
        fill: Literal(fill),
    };
    cx.push(Op::Window(window), &[x], x.dtype, dims)
}

/// A whole number of at least one, known now.
pub(super) fn small<'p>(
    cx: &mut Cx<'p>,
    bound: &Bound<'p, '_>,
    name: &str,
    default: Option<i128>,
) -> Eval<Poly> {
    let size = cx.size_arg(bound, name, default)?;
    match size.integer() {
        Some(n) if (1..=4096).contains(&n) => Ok(size),
        None if cx.generic => {
            cx.asked = true;
            Ok(size)
        }
        _ => {
            let loc = bound.get(name).map_or(bound.loc, Given::loc);
            cx.fail(
                Code::ValueRange,
                loc,
                format!("`{name}` is a whole number from 1 to 4096, not {size}"),
                "",
            )
        }
    }
}

pub(super) fn window<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let axis = one_axis(cx, bound, "axis", &x)?;
    let size = cx.size_arg(bound, "size", None)?;
    let stride = small(cx, bound, "stride", Some(1))?;
    let tap = new_axis(cx, bound, "tap", "tap", &x, &[])?;
    let padding = padding(cx, bound)?;
    let fill = cx.float_arg(bound, "fill", Some(0.0))?;
    windows(
        cx,
        &x,
        axis.as_str(),
        &size,
        tap.as_str(),
        &stride,
        padding,
        fill as f32,
        bound.loc,
    )
    .map(Value::Tensor)
}

/// The contraction of two values; result axes in the order of `order`, or the left's, then the right's.
pub(super) fn contracted(
    cx: &mut Cx<'_>,
    a: &Tensor,
    b: &Tensor,
    over: &[Axis],
    order: Option<&[Axis]>,
) -> Eval<Tensor> {
    let mut dims: Vec<Dim> = Vec::new();
    for dim in a.dims.iter().chain(&b.dims) {
        let twin = a.dims.iter().find(|d| d.axis == dim.axis).cloned();
        if let Some(twin) = twin {
            cx.same_size(&twin, dim)?;
        }
        if !over.contains(&dim.axis) && !dims.iter().any(|d| d.axis == dim.axis) {
            dims.push(dim.clone());
        }
    }
    if let Some(order) = order {
        dims.sort_by_key(|d| {
            order
                .iter()
                .position(|a| *a == d.axis)
                .unwrap_or(order.len())
        });
    }
    cx.push(
        Op::Contract {
            over: over.to_vec(),
        },
        &[a, b],
        DType::F32,
        dims,
    )
}

pub(super) fn contract<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let a = cx.float_tensor(bound, "a")?;
    cx.need(bound, "b")?;
    let b = cx.float_tensor(bound, "b")?;
    let axes = over(cx, bound, &a)?;
    let names: Vec<(String, Loc)> = axes.iter().map(|a| (a.to_string(), bound.loc)).collect();
    cx.axes_of(&b, &names, "contract")?;
    contracted(cx, &a, &b, &axes, None).map(Value::Tensor)
}

pub(super) fn gather<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let index = cx.tensor_arg(bound, "index")?;
    cx.need(bound, "table")?;
    let table = cx.float_tensor(bound, "table")?;
    let axis = one_axis(cx, bound, "over", &table)?;
    if index.dtype != DType::I32 {
        return cx.fail(
            Code::TypeDtype,
            bound.loc,
            format!(
                "`gather` looks up by class numbers, and {} arrives",
                index.text()
            ),
            "",
        );
    }
    if let (Some((classes, at)), Some(dim)) =
        (index.classes.clone(), table.dim(axis.as_str()).cloned())
        && !cx.equal(&classes, &dim.size)
    {
        return class_count(cx, bound.loc, &dim.size, &classes, dim.loc, at, "gather");
    }
    looked_up(cx, &index, &table, &axis).map(Value::Tensor)
}

pub(super) fn looked_up(
    cx: &mut Cx<'_>,
    index: &Tensor,
    table: &Tensor,
    axis: &Axis,
) -> Eval<Tensor> {
    let mut dims = index.dims.clone();
    for dim in table.dims.iter().filter(|d| d.axis != *axis) {
        match dims.iter().find(|d| d.axis == dim.axis).cloned() {
            Some(twin) => cx.same_size(&twin, dim)?,
            None => dims.push(dim.clone()),
        }
    }
    cx.push(
        Op::Gather { axis: axis.clone() },
        &[table, index],
        DType::F32,
        dims,
    )
}

pub(super) fn sample<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let image = cx.float_tensor(bound, "image")?;
    cx.need(bound, "row")?;
    cx.need(bound, "column")?;
    let row = cx.float_tensor(bound, "row")?;
    let column = cx.float_tensor(bound, "column")?;
    let here = bound.loc;
    cx.axes_of(
        &image,
        &[("height".into(), here), ("width".into(), here)],
        "sample",
    )?;
    for place in [&row, &column] {
        for dim in &place.dims {
            match image.dims.iter().find(|d| d.axis == dim.axis).cloned() {
                Some(twin) => cx.same_size(&twin, dim)?,
                None => {
                    return cx.fail(
                        Code::ShapeAxisUnknown,
                        here,
                        format!("the image has no axis `{}`", dim.axis),
                        "",
                    );
                }
            }
        }
    }
    let op = Op::Sample {
        row: Axis::new("height"),
        column: Axis::new("width"),
    };
    cx.push(op, &[&image, &row, &column], DType::F32, image.dims.clone())
        .map(Value::Tensor)
}
