//! Draws. In an augmentation they are addressed by the data-set row, elsewhere by the step.

use crate::call::{Bound, Given};
use crate::core::{Cx, Mode};
use crate::expr::as_f64;
use crate::value::{Dim, Eval, Tensor, Value};
use mmh_diag::{Code, Diagnostic};
use mmh_ir::plan::Part;
use mmh_ir::{DType, Input, MapOp, Op, RandomKind};
use mmh_syntax::ast::{BlockKind, Expr};

impl Cx<'_> {
    fn in_augment(&self) -> bool {
        self.frames.iter().any(|f| {
            self.program
                .block(f.declared)
                .is_some_and(|(b, _)| b.kind == BlockKind::Augment)
        })
    }
}

// The nonce, and the axis it brings.
fn nonce(cx: &mut Cx<'_>, bound: &Bound<'_, '_>) -> Eval<Tensor> {
    if cx.in_augment() {
        if let Some(augmenting) = cx.augmenting
            && augmenting.part != Some(Part::Train)
        {
            let rows = match augmenting.part {
                Some(Part::Valid) => "validation rows",
                Some(Part::Test) => "test rows",
                Some(Part::Train) | None => "rows that are not for training",
            };
            let inside = if cx.program.is_library(bound.loc.source) {
                cx.frames
                    .iter()
                    .rev()
                    .map(|f| f.call)
                    .find(|c| !cx.program.is_library(c.source))
            } else {
                Some(bound.loc)
            };
            let mut diagnostic = Diagnostic::error(
                Code::RandomOutsideTraining,
                format!("a random step reaches {rows}"),
            )
            .at(
                augmenting.loc.source,
                augmenting.loc.span,
                "these rows are measured, not trained on",
            )
            .help("leave the random steps to the training rows");
            if let Some(draw) = inside.filter(|d| *d != augmenting.loc) {
                diagnostic = diagnostic.and(draw.source, draw.span, "this draws");
            }
            return Err(cx.report(diagnostic));
        }
        let batch = cx.batch_dim();
        return cx.input(Input::Rows, DType::I32, vec![batch]);
    }
    cx.asked = true;
    if cx.mode == Mode::Evaluation && !cx.generic {
        return cx.fail(
            Code::RandomOutsideTraining,
            bound.loc,
            "a random step reaches rows that are not for training",
            "write `if training { … } else { … }` around it",
        );
    }
    cx.input(Input::Step, DType::I32, vec![])
}

/// The axes along which there is a draw for every element: those of a value, or a shape.
fn like<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Vec<Dim>> {
    let shape = match bound.get("like") {
        None => return Ok(Vec::new()),
        Some(Given::Value(value, _)) => value.clone(),
        Some(Given::Expr(expr, _)) => match expr.ungrouped() {
            Expr::List { .. } | Expr::Shape { .. } => cx.shape_or_other(expr, bound.scope)?,
            Expr::Path(path) => {
                let name = path.single();
                let shape = name.map(|name| cx.named_shape(name, bound.scope));
                let shape = shape.transpose()?.flatten();
                shape.map_or(Value::Unknown, |(dims, _)| Value::Shape(dims))
            }
            _ => Value::Unknown,
        },
    };
    match shape {
        Value::Shape(dims) => Ok(dims),
        _ => cx.tensor_arg(bound, "like").map(|tensor| tensor.dims),
    }
}

fn drawn<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>, kind: RandomKind) -> Eval<Tensor> {
    let nonce = nonce(cx, bound)?;
    let mut dims: Vec<Dim> = nonce.dims.clone();
    let like = like(cx, bound)?.into_iter();
    dims.extend(like.filter(|d| !nonce.has(d.axis.as_str())));
    let path = cx.path();
    let key = cx.site_key(&path)?;
    cx.push(Op::Random(kind), &[&key, &nonce], DType::F32, dims)
}

pub(super) fn random<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let (lo, hi) = match cx.arg(bound, "range")? {
        None => (0.0, 1.0),
        Some((Value::Range(lo, hi), _)) => (as_f64(&lo), as_f64(&hi)),
        Some((Value::Unknown, _)) => (0.0, 1.0),
        Some((other, loc)) => {
            return cx.fail(
                Code::TypeMismatch,
                loc,
                format!("`random` takes a range, not {}", other.kind()),
                "write `random(-1 .. 1)`",
            );
        }
    };
    let (low, high) = (lo as f32, hi as f32);
    if !low.is_finite() || !high.is_finite() || low > high {
        let loc = bound.get("range").map_or(bound.loc, Given::loc);
        return cx.fail(
            Code::ValueRange,
            loc,
            "the range ends before it starts",
            "write the smaller number first",
        );
    }
    let u = drawn(cx, bound, RandomKind::Uniform)?;
    if (low, high) == (0.0, 1.0) {
        return Ok(Value::Tensor(u));
    }
    // [a, b): fma(u, b − a, a), and the next number below b where that rounds up to b.
    let (a, width, below) = (
        cx.literal(low)?,
        cx.literal(high - low)?,
        cx.literal(high.next_down().max(low))?,
    );
    let placed = cx.map(MapOp::Fma, &[&u, &width, &a])?;
    cx.map(MapOp::Min, &[&placed, &below]).map(Value::Tensor)
}

pub(super) fn normal<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let std = cx.float_arg(bound, "std", Some(1.0))?;
    if std.is_nan() || std < 0.0 {
        let loc = bound.get("std").map_or(bound.loc, Given::loc);
        return cx.fail(
            Code::ValueRange,
            loc,
            format!("a standard deviation cannot be {std}"),
            "it is 0 or more",
        );
    }
    let z = drawn(cx, bound, RandomKind::Normal)?;
    let factor = cx.constant(std)?;
    cx.map(MapOp::Mul, &[&z, &factor]).map(Value::Tensor)
}
