//! Columns of data, made ready with statistics of the training rows.

use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::poly::Poly;
use crate::value::{Dim, Eval, Made, Reported, Tensor, Value};
use mmh_diag::Code;
use mmh_ir::plan::StatisticKind;
use mmh_ir::{DType, Input, MapOp};

fn raw<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<(Tensor, u32)> {
    let x = cx.tensor_arg(bound, "x")?;
    match x.made {
        Made::Column(number) => Ok((x, number)),
        Made::Plain | Made::Softmax(_) => {
            let loc = bound.get("x").map_or(bound.loc, Given::loc);
            cx.fail(
                Code::TypeMismatch,
                loc,
                format!("`{}` works on a column of the source", bound.name),
                "apply it first: `standardise(source.x)`",
            )
        }
    }
}

fn statistic(cx: &mut Cx<'_>, x: &Tensor, column: u32, kind: StatisticKind) -> Eval<Tensor> {
    let dims: Vec<Dim> = x
        .dims
        .iter()
        .filter(|d| d.axis.as_str() != "batch")
        .cloned()
        .collect();
    let number = cx.statistic(column, kind, x.dtype, &dims)?;
    cx.input(Input::Statistic(number), x.dtype, dims)
}

pub(super) fn standardise<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let (x, column) = raw(cx, bound)?;
    if x.dtype != DType::F32 {
        let loc = bound.get("x").map_or(bound.loc, Given::loc);
        cx.no_words(&x, loc)?;
        return cx.fail(
            Code::TypeDtype,
            bound.loc,
            "`standardise` works on numbers, and classes arrive",
            "",
        );
    }
    let mean = statistic(cx, &x, column, StatisticKind::Mean)?;
    let deviation = statistic(cx, &x, column, StatisticKind::Deviation)?;
    let centred = cx.map(MapOp::Sub, &[&x, &mean])?;
    cx.map(MapOp::Div, &[&centred, &deviation])
        .map(Value::Tensor)
}

pub(super) fn impute<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let (x, column) = raw(cx, bound)?;
    let words = cx.axes_arg(bound, "with")?;
    let kind = match words.as_deref() {
        Some([(word, loc)]) => match (word.as_str(), x.dtype) {
            ("mean", DType::F32) => StatisticKind::Mean,
            ("median", DType::F32) => StatisticKind::Median,
            ("mode", DType::I32) => StatisticKind::Mode,
            _ => {
                if matches!(word.as_str(), "mean" | "median") {
                    let loc = bound.get("x").map_or(bound.loc, Given::loc);
                    cx.no_words(&x, loc)?;
                }
                let help = if x.dtype == DType::F32 {
                    "for numbers: mean or median"
                } else {
                    "for classes: mode"
                };
                return cx.fail(
                    Code::SettingType,
                    *loc,
                    format!("`impute` cannot fill in the {word}"),
                    help,
                );
            }
        },
        _ => {
            return cx.fail(
                Code::SettingMissing,
                bound.loc,
                "`impute` needs what to fill in",
                "write `impute(mean)`, `impute(median)` or `impute(mode)`",
            );
        }
    };
    let fill = statistic(cx, &x, column, kind)?;
    // Missing numbers arrive as NaN, missing classes as −1.
    let there = if x.dtype == DType::F32 {
        cx.map(MapOp::Eq, &[&x, &x])?
    } else {
        let zero = cx.integer(0)?;
        cx.map(MapOp::Ge, &[&x, &zero])?
    };
    let mut out = cx.map(MapOp::Select, &[&there, &x, &fill])?;
    cx.handled(column);
    out.made = x.made;
    out.classes = x.classes;
    Ok(Value::Tensor(out))
}

pub(super) fn optional<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    if let Some(reading) = &mut cx.reading {
        reading.optional = true;
    }
    let (x, column) = raw(cx, bound)?;
    let Some((classes, loc)) = x.classes.clone() else {
        return cx.fail(
            Code::TypeDtype,
            bound.loc,
            "`optional` works on classes",
            "fill numbers in with `impute(mean)`",
        );
    };
    let zero = cx.integer(0)?;
    let there = cx.map(MapOp::Ge, &[&x, &zero])?;
    let levels = classes
        .integer()
        .and_then(|n| i32::try_from(n).ok())
        .ok_or(Reported)?;
    let last = cx.integer(levels)?;
    let mut out = cx.map(MapOp::Select, &[&there, &x, &last])?;
    cx.handled(column);
    out.classes = Some((classes.add(&Poly::number(1)), loc));
    Ok(Value::Tensor(out))
}
