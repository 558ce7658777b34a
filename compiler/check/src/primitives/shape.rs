//! Axes: renamed, split, merged, cut, joined.

use crate::call::Bound;
use crate::core::Cx;
use crate::poly::Poly;
use crate::value::{Dim, Eval, Loc, Tensor, Value};
use mmh_diag::Code;
use mmh_ir::{Axis, DType, Op};

pub(super) fn rename<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let mut x = cx.tensor_arg(bound, "x")?;
    if bound.extra.is_empty() {
        return cx.fail(
            Code::SettingMissing,
            bound.loc,
            "`rename` needs an axis",
            "write `rename(old = new)`",
        );
    }
    for (from, to) in &bound.extra {
        let at = cx.at(from.span);
        cx.axes_of(&x, &[(from.text.clone(), at)], "rename")?;
        let names = cx.axis_names(to, bound.scope)?;
        let [(to, loc)] = names.as_slice() else {
            return cx.fail(
                Code::TypeMismatch,
                at,
                "`rename` gives an axis one new name",
                "",
            );
        };
        if x.has(to) && *to != from.text {
            return cx.fail(
                Code::ShapeAxisDuplicate,
                *loc,
                format!("there is an axis `{to}` already"),
                format!("it has {}", x.axes_text()),
            );
        }
        x = cx.rename(&x, &from.text, to)?;
    }
    Ok(Value::Tensor(x))
}

/// The new axes of a call: those of `shape`, then those named beside it.
pub(super) fn named_sizes<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Vec<Dim>> {
    let mut dims = cx.shape_arg(bound, "shape")?.unwrap_or_default();
    for (name, size) in &bound.extra {
        let loc = cx.at(name.span.to(size.span()));
        let size = cx.axis_size(size, bound.scope, &name.text)?;
        let axis = Axis::new(&name.text);
        cx.add_axis(Dim { axis, size, loc }, loc, &mut dims)?;
    }
    Ok(dims)
}

pub(super) fn one_axis<'p>(
    cx: &mut Cx<'p>,
    bound: &Bound<'p, '_>,
    setting: &str,
    x: &Tensor,
) -> Eval<Axis> {
    let names = cx.axes_arg(bound, setting)?;
    match names.as_deref() {
        Some([one]) => {
            let axes = cx.axes_of(x, std::slice::from_ref(one), &bound.name)?;
            axes.into_iter().next().ok_or(crate::value::Reported)
        }
        _ => cx.fail(
            Code::SettingMissing,
            bound.loc,
            format!("`{}` needs one axis as `{setting}`", bound.name),
            format!("it has {}", x.axes_text()),
        ),
    }
}

pub(super) fn new_axis<'p>(
    cx: &mut Cx<'p>,
    bound: &Bound<'p, '_>,
    setting: &str,
    default: &str,
    taken: &Tensor,
    gone: &[Axis],
) -> Eval<Axis> {
    let (name, loc) = match cx.axes_arg(bound, setting)?.as_deref() {
        None => (default.to_string(), bound.loc),
        Some([one]) => one.clone(),
        Some(_) => {
            return cx.fail(
                Code::SettingType,
                bound.loc,
                format!("`{setting}` is one axis name"),
                "",
            );
        }
    };
    if taken
        .dims
        .iter()
        .any(|d| d.axis.as_str() == name && !gone.contains(&d.axis))
    {
        return cx.fail(
            Code::ShapeAxisDuplicate,
            loc,
            format!("there is an axis `{name}` already"),
            format!("it has {}", taken.axes_text()),
        );
    }
    Ok(Axis::new(&name))
}

pub(super) fn split<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.tensor_arg(bound, "x")?;
    let axis = one_axis(cx, bound, "axis", &x)?;
    let into = named_sizes(cx, bound)?;
    let total = into
        .iter()
        .fold(Poly::number(1), |p, d| p.multiply(&d.size));
    let Some(at) = x.dims.iter().position(|d| d.axis == axis) else {
        return Err(crate::value::Reported);
    };
    let before = x.dims.get(at).map_or(Poly::number(1), |d| d.size.clone());
    if !cx.equal(&total, &before) {
        return cx.fail(
            Code::ShapeAxisSize,
            bound.loc,
            format!("`split` makes {total} of the {before} elements of `{axis}`"),
            "the sizes must multiply to the whole",
        );
    }
    for dim in &into {
        if x.dims.iter().any(|d| d.axis == dim.axis && d.axis != axis) {
            return cx.fail(
                Code::ShapeAxisDuplicate,
                dim.loc,
                format!("there is an axis `{}` already", dim.axis),
                "",
            );
        }
    }
    let mut dims = x.dims.clone();
    let names = into.iter().map(|d| d.axis.clone()).collect();
    dims.splice(at..=at, into);
    cx.push(Op::Split { axis, into: names }, &[&x], x.dtype, dims)
        .map(Value::Tensor)
}

fn merged(cx: &mut Cx<'_>, x: &Tensor, axes: &[Axis], into: Axis, loc: Loc) -> Eval<Value> {
    let Some(first) = axes
        .first()
        .and_then(|a| x.dims.iter().position(|d| &d.axis == a))
    else {
        return cx.fail(Code::ShapeAxisUnknown, loc, "there is no axis to merge", "");
    };
    // Axes are brought together in the order named, at the place of the first.
    let mut order: Vec<Dim> = x
        .dims
        .iter()
        .filter(|d| !axes.contains(&d.axis))
        .cloned()
        .collect();
    let at = x
        .dims
        .iter()
        .take(first)
        .filter(|d| !axes.contains(&d.axis))
        .count();
    let moved: Vec<Dim> = axes
        .iter()
        .filter_map(|a| x.dims.iter().find(|d| &d.axis == a))
        .cloned()
        .collect();
    let size = Cx::count(x, axes);
    order.splice(at..at, moved);
    let x = cx.broadcast(x, &order)?;
    let mut dims: Vec<Dim> = order
        .into_iter()
        .filter(|d| !axes.contains(&d.axis))
        .collect();
    dims.insert(
        at,
        Dim {
            axis: into.clone(),
            size,
            loc,
        },
    );
    cx.push(
        Op::Merge {
            axes: axes.to_vec(),
            into,
        },
        &[&x],
        x.dtype,
        dims,
    )
    .map(Value::Tensor)
}

pub(super) fn merge<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.tensor_arg(bound, "x")?;
    let Some(names) = cx.axes_arg(bound, "axes")? else {
        return cx.fail(
            Code::SettingMissing,
            bound.loc,
            "`merge` needs axes",
            "write `merge([height, width], into = place)`",
        );
    };
    let axes = cx.axes_of(&x, &names, "merge")?;
    let into = new_axis(cx, bound, "into", "merged", &x, &axes)?;
    merged(cx, &x, &axes, into, bound.loc)
}

pub(super) fn flatten<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.tensor_arg(bound, "x")?;
    let axes: Vec<Axis> = x
        .dims
        .iter()
        .map(|d| d.axis.clone())
        .filter(|a| a.as_str() != "batch")
        .collect();
    let into = new_axis(cx, bound, "into", "feature", &x, &axes)?;
    merged(cx, &x, &axes, into, bound.loc)
}

pub(super) fn slice<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let mut x = cx.tensor_arg(bound, "x")?;
    for (name, range) in &bound.extra {
        let at = cx.at(name.span);
        let loc = cx.at(range.span());
        let axes = cx.axes_of(&x, &[(name.text.clone(), at)], "slice")?;
        let (Some(axis), Some(dim)) = (axes.into_iter().next(), x.dim(&name.text).cloned()) else {
            return Err(crate::value::Reported);
        };
        let (lo, hi) = match cx.expr(range, bound.scope)? {
            Value::Range(lo, hi) => (cx.size_of(*lo, loc, "from")?, cx.size_of(*hi, loc, "to")?),
            other => {
                return cx.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`slice` takes a range, not {}", other.kind()),
                    format!("write `slice({} = 0 .. 4)`", name.text),
                );
            }
        };
        let size = hi.subtract(&lo);
        let inside = dim.size.subtract(&hi).integer().is_none_or(|n| n >= 0)
            && lo.integer().is_none_or(|n| n >= 0)
            && size.integer().is_none_or(|n| n >= 1);
        if !inside {
            return cx.fail(
                Code::ValueRange,
                loc,
                format!(
                    "`{}` has {} elements, and {lo} .. {hi} is asked for",
                    name.text, dim.size
                ),
                "the end is left out: `0 .. 4` are four",
            );
        }
        let start = lo
            .integer()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0);
        let dims = x
            .dims
            .iter()
            .map(|d| {
                if d.axis == axis {
                    Dim {
                        size: size.clone(),
                        loc,
                        ..d.clone()
                    }
                } else {
                    d.clone()
                }
            })
            .collect();
        let classes = x.classes.clone();
        x = cx.push(
            Op::Slice {
                axis,
                start,
                step: 1,
            },
            &[&x],
            x.dtype,
            dims,
        )?;
        x.classes = classes;
    }
    Ok(Value::Tensor(x))
}

pub(super) fn concat<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let a = cx.tensor_arg(bound, "a")?;
    cx.need(bound, "b")?;
    let b = cx.tensor_arg(bound, "b")?;
    let axis = one_axis(cx, bound, "over", &a)?;
    cx.axes_of(&b, &[(axis.to_string(), bound.loc)], "concat")?;
    let mut total = None;
    let mut dims = Vec::new();
    for dim in &a.dims {
        match b.dims.iter().find(|d| d.axis == dim.axis) {
            Some(other) if dim.axis == axis => {
                let size = dim.size.add(&other.size);
                total = Some(size.clone());
                dims.push(Dim {
                    size,
                    ..dim.clone()
                });
            }
            Some(other) => {
                let other = other.clone();
                cx.same_size(dim, &other)?;
                dims.push(dim.clone());
            }
            None => dims.push(dim.clone()),
        }
    }
    // Axes that only one side has are repeated along the other.
    dims.extend(
        b.dims
            .iter()
            .filter(|d| !a.has(d.axis.as_str()))
            .cloned()
            .collect::<Vec<_>>(),
    );
    let sized = |own: &Tensor| -> Vec<Dim> {
        dims.iter()
            .map(|d| {
                own.dims
                    .iter()
                    .find(|o| o.axis == d.axis)
                    .unwrap_or(d)
                    .clone()
            })
            .collect()
    };
    let (of_a, of_b) = (sized(&a), sized(&b));
    if a.dtype != b.dtype || total.is_none() {
        return cx.fail(
            Code::TypeDtype,
            bound.loc,
            format!("`concat` joins {} and {}", a.dtype.name(), b.dtype.name()),
            "",
        );
    }
    let (a, b) = (cx.broadcast(&a, &of_a)?, cx.broadcast(&b, &of_b)?);
    cx.push(Op::Concat { axis }, &[&a, &b], a.dtype, dims)
        .map(Value::Tensor)
}

pub(super) fn one_hot<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.tensor_arg(bound, "x")?;
    let dims = named_sizes(cx, bound)?;
    let [new] = dims.as_slice() else {
        return cx.fail(
            Code::SettingMissing,
            bound.loc,
            "`one_hot` needs the new axis and its size",
            "write `one_hot(class = 10)`",
        );
    };
    if x.dtype != DType::I32 {
        return cx.fail(
            Code::TypeDtype,
            bound.loc,
            format!("`one_hot` takes class numbers, and {} arrives", x.text()),
            "",
        );
    }
    if let Some((classes, at)) = x.classes.clone()
        && !cx.equal(&classes, &new.size)
    {
        return class_count(cx, bound.loc, &new.size, &classes, new.loc, at, "one_hot");
    }
    let mut all = x.dims.clone();
    all.push(new.clone());
    cx.push(
        Op::OneHot {
            axis: new.axis.clone(),
        },
        &[&x],
        DType::F32,
        all,
    )
    .map(Value::Tensor)
}

/// Two counts of classes.
pub(super) fn class_count<T>(
    cx: &mut Cx<'_>,
    here: Loc,
    model: &Poly,
    labels: &Poly,
    from: Loc,
    label: Loc,
    owner: &str,
) -> Eval<T> {
    // The model's own complaint about its declared shape is the same mistake.
    if let Some((_, index)) = cx
        .tentative
        .iter()
        .find(|(loc, _)| *loc == from && !from.span.is_empty())
        .copied()
    {
        if index < cx.diagnostics.len() {
            cx.diagnostics.remove(index);
        }
        cx.tentative.clear();
    }
    let message = format!("the model names {model} classes, the labels have {labels}");
    let at = if !from.span.is_empty() { from } else { here };
    let mut diagnostic = mmh_diag::Diagnostic::error(Code::ShapeClassCount, message).at(
        at.source,
        at.span,
        format!("{model} classes"),
    );
    if !label.span.is_empty() {
        diagnostic = diagnostic.and(label.source, label.span, format!("{labels} classes"));
    }
    if at != here {
        diagnostic = diagnostic.and(here.source, here.span, format!("compared by `{owner}`"));
    }
    let name = label_name(cx, label).map_or_else(|| labels.to_string(), |n| format!("{n}.classes"));
    Err(cx.report(diagnostic.help(format!("write `linear(class = {name})`"))))
}

fn label_name(cx: &Cx<'_>, label: Loc) -> Option<String> {
    cx.data.iter().find_map(|set| {
        let column = set
            .columns
            .iter()
            .find(|c| c.loc.source == label.source && c.loc.span.touches(label.span.start))?;
        Some(format!("{}.{}", set.name, column.name))
    })
}

pub(super) fn position<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let names = cx.axes_arg(bound, "axis")?;
    let Some([(name, at)]) = names.as_deref() else {
        return cx.fail(
            Code::SettingMissing,
            bound.loc,
            "`position` needs one axis",
            "write `position(time, of = x)`",
        );
    };
    let size = match (bound.get("of"), bound.get("size"), bound.scope.get(name)) {
        (Some(_), _, _) => {
            let of = cx.tensor_arg(bound, "of")?;
            cx.axes_of(&of, &[(name.clone(), *at)], "position")?;
            of.dim(name).map_or(Poly::number(1), |d| d.size.clone())
        }
        (None, Some(_), _) => cx.size_arg(bound, "size", None)?,
        (None, None, Some(Value::Size(size))) => size.clone(),
        (None, None, _) => {
            return cx.fail(
                Code::SettingMissing,
                *at,
                format!("the size of `{name}` is not known here"),
                format!("write `position({name}, of = x)`"),
            );
        }
    };
    let dims = vec![Dim {
        axis: Axis::new(name),
        size,
        loc: *at,
    }];
    cx.push(Op::Position, &[], DType::I32, dims)
        .map(Value::Tensor)
}
