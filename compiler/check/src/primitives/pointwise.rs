//! Element by element, and reductions.

use crate::call::Bound;
use crate::core::Cx;
use crate::value::{Eval, Tensor, Value};
use mmh_diag::Code;
use mmh_ir::{Axis, Composite, DType, MapOp, Op, ReduceKind};
use mmh_numerics::double;

fn unary(cx: &mut Cx<'_>, tensor: &Tensor, op: MapOp) -> Eval<Value> {
    cx.map(op, &[tensor]).map(Value::Tensor)
}

// A number known while checking stays one, in f64.
fn scalar_or<'p>(
    cx: &mut Cx<'p>,
    bound: &Bound<'p, '_>,
    op: MapOp,
    known: fn(f64) -> f64,
) -> Eval<Value> {
    match cx.arg(bound, "x")? {
        Some((Value::Size(p), loc)) if p.constant().is_some() || !cx.generic => {
            let v = cx.float_of(Value::Size(p), loc, "x")?;
            Ok(Value::Float(known(v)))
        }
        Some((Value::Size(_) | Value::Unknown, _)) => {
            cx.asked = true;
            Ok(Value::Unknown)
        }
        Some((Value::Float(v), _)) => Ok(Value::Float(known(v))),
        _ => {
            let tensor = cx.float_tensor(bound, "x")?;
            unary(cx, &tensor, op)
        }
    }
}

macro_rules! elementwise {
    ($($name:ident $op:ident;)*) => {$(
        pub(super) fn $name<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
            let tensor = cx.float_tensor(bound, "x")?;
            unary(cx, &tensor, MapOp::$op)
        }
    )*};
}

elementwise! {
    relu Relu;
    gelu Gelu;
    tanh Tanh;
    sigmoid Sigmoid;
    erf Erf;
    erfc Erfc;
}

macro_rules! known {
    ($($name:ident $op:ident $known:expr;)*) => {$(
        pub(super) fn $name<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
            scalar_or(cx, bound, MapOp::$op, $known)
        }
    )*};
}

known! {
    exp Exp double::exp;
    log Log double::log;
    sqrt Sqrt double::sqrt;
    rsqrt Rsqrt |v| 1.0 / double::sqrt(v);
    abs Abs f64::abs;
    sin Sin double::sin;
    cos Cos double::cos;
    floor Floor f64::floor;
}

fn convert<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>, op: MapOp, to: DType) -> Eval<Value> {
    let tensor = cx.tensor_arg(bound, "x")?;
    if tensor.dtype == to {
        return Ok(Value::Tensor(Tensor {
            classes: None,
            ..tensor
        }));
    }
    unary(cx, &tensor, op)
}

pub(super) fn float<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    convert(cx, bound, MapOp::ToF32, DType::F32)
}

pub(super) fn whole<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    convert(cx, bound, MapOp::ToI32, DType::I32)
}

fn of_floats<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>, names: &[&str], op: MapOp) -> Eval<Value> {
    let mut tensors = Vec::new();
    for name in names {
        cx.need(bound, name)?;
        tensors.push(cx.float_tensor(bound, name)?);
    }
    let tensors: Vec<&Tensor> = tensors.iter().collect();
    cx.map(op, &tensors).map(Value::Tensor)
}

pub(super) fn maximum<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    of_floats(cx, bound, &["a", "b"], MapOp::Max)
}

pub(super) fn minimum<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    of_floats(cx, bound, &["a", "b"], MapOp::Min)
}

pub(super) fn pow<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    of_floats(cx, bound, &["x", "exponent"], MapOp::Pow)
}

pub(super) fn fma<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    of_floats(cx, bound, &["a", "b", "c"], MapOp::Fma)
}

pub(super) fn select<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.tensor_arg(bound, "x")?;
    let (condition, at) = cx.need(bound, "condition")?;
    let (other, loc) = cx.need(bound, "else")?;
    let other = cx.lift(&other, Some(&x), loc)?;
    let condition = match condition {
        Value::Bool(true) | Value::Unknown => return Ok(Value::Tensor(x)),
        value => cx.lift(&value, Some(&x), at)?,
    };
    if condition.dtype != DType::Bool {
        return cx.fail(
            Code::TypeDtype,
            at,
            format!(
                "`where` decides by true and false, and {} arrives",
                condition.text()
            ),
            "compare something, such as `x > 0`",
        );
    }
    if x.dtype != other.dtype {
        return cx.fail(
            Code::TypeDtype,
            loc,
            format!(
                "`where` chooses between {} and {}",
                x.dtype.name(),
                other.dtype.name()
            ),
            "",
        );
    }
    cx.map(MapOp::Select, &[&condition, &x, &other])
        .map(Value::Tensor)
}

pub(super) fn stop_gradient<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.tensor_arg(bound, "x")?;
    let (dtype, dims) = (x.dtype, x.dims.clone());
    cx.push(Op::Composite(Composite::StopGradient), &[&x], dtype, dims)
        .map(Value::Tensor)
}

/// The axes of `over`, as written; without it a setting is missing.
pub(super) fn over<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>, tensor: &Tensor) -> Eval<Vec<Axis>> {
    match cx.axes_arg(bound, "over")? {
        Some(names) => cx.axes_of(tensor, &names, &bound.name),
        None => {
            let axes: Vec<&str> = tensor
                .dims
                .iter()
                .map(|d| d.axis.as_str())
                .filter(|a| *a != "batch")
                .collect();
            let help = format!("write `{}(over = [{}])`", bound.name, axes.join(", "));
            cx.fail(
                Code::SettingMissing,
                bound.loc,
                format!("`{}` needs `over`: the axes it takes away", bound.name),
                help,
            )
        }
    }
}

fn reduced<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>, kind: ReduceKind) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let axes = over(cx, bound, &x)?;
    cx.reduce(kind, &x, &axes).map(Value::Tensor)
}

pub(super) fn sum<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    reduced(cx, bound, ReduceKind::Sum)
}

pub(super) fn max<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    reduced(cx, bound, ReduceKind::Max)
}

pub(super) fn min<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    reduced(cx, bound, ReduceKind::Min)
}

pub(super) fn mean<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let axes = over(cx, bound, &x)?;
    cx.mean(&x, &axes).map(Value::Tensor)
}

pub(super) fn variance<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let axes = over(cx, bound, &x)?;
    let mean = cx.mean(&x, &axes)?;
    cx.variance(&x, &mean, &axes).map(Value::Tensor)
}

pub(super) fn argmax<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let axes = over(cx, bound, &x)?;
    let classes = Cx::count(&x, &axes);
    let mut out = cx.reduce(ReduceKind::ArgMax, &x, &axes)?;
    out.classes = Some((classes, bound.loc));
    Ok(Value::Tensor(out))
}

impl Cx<'_> {
    /// Biased, in two passes.
    pub(crate) fn variance(&mut self, x: &Tensor, mean: &Tensor, over: &[Axis]) -> Eval<Tensor> {
        let centred = self.map(MapOp::Sub, &[x, mean])?;
        let squared = self.map(MapOp::Mul, &[&centred, &centred])?;
        self.mean(&squared, over)
    }
}
