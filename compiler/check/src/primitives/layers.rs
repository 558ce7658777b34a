//! What has parameters or running statistics.

use super::shape::named_sizes;
use super::window::{Padding, contracted, looked_up, padding, small, windows};
use crate::call::{Binding, Bound, Given};
use crate::core::{Cx, Mode};
use crate::poly::Poly;
use crate::value::{Dim, Eval, Loc, Reported, Tensor, Value};
use mmh_diag::{Code, Diagnostic};
use mmh_ir::plan::{Init, Role};
use mmh_ir::{Axis, Composite, DType, Literal, MapOp, Op, RandomKind};
use mmh_numerics::double;
use mmh_syntax::ast::Expr;

/// How first values spread.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spread {
    Constant(f64),
    /// Uniform with the variance `gain / fan`.
    Fan(f64),
    /// Uniform with the variance `2 / (fan in + fan out)`.
    Both,
    Uniform(f64),
    Normal(f64),
}

const INITS: &[&str] = &[
    "zeros", "ones", "he", "lecun", "xavier", "normal", "uniform",
];

// he, lecun and xavier: He et al. 2015, LeCun et al. 1998, Glorot & Bengio 2010, in their uniform form.
fn spread<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>, default: Spread) -> Eval<Spread> {
    let Some(given) = bound.get("init") else {
        return Ok(default);
    };
    let loc = given.loc();
    let Given::Expr(expr, _) = given else {
        return Ok(default);
    };
    let (name, args): (&str, &'p [mmh_syntax::ast::Arg]) = match expr.ungrouped() {
        Expr::Path(path) => (path.single().map_or("", |n| n.text.as_str()), &[]),
        Expr::Call(call) => (
            call.callee.single().map_or("", |n| n.text.as_str()),
            &call.args,
        ),
        Expr::Missing(_) => return Err(Reported),
        _ => {
            let (value, loc) = cx.need(bound, "init")?;
            return cx.float_of(value, loc, "init").map(Spread::Constant);
        }
    };
    let setting: &[&str] = match name {
        "normal" => &["std"],
        "uniform" => &["bound"],
        _ => &[],
    };
    let (inner, binding) = cx.bind(name, setting, false, args, None, bound.scope, loc);
    if binding != Binding::Whole {
        return Err(Reported);
    }
    match name {
        "zeros" => Ok(Spread::Constant(0.0)),
        "ones" => Ok(Spread::Constant(1.0)),
        "he" => Ok(Spread::Fan(2.0)),
        "lecun" => Ok(Spread::Fan(1.0)),
        "xavier" => Ok(Spread::Both),
        "normal" => cx.float_arg(&inner, "std", Some(0.02)).map(Spread::Normal),
        "uniform" => cx
            .float_arg(&inner, "bound", Some(0.05))
            .map(Spread::Uniform),
        other => {
            let near = mmh_diag::suggest(other, INITS.iter().copied());
            let help = near.map_or_else(
                || format!("there are: {}", INITS.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            cx.fail(
                Code::NameUnknown,
                loc,
                format!("`{other}` is no way to start a parameter"),
                help,
            )
        }
    }
}

fn init(spread: Spread, fan_in: &Poly, fan_out: &Poly, site: String) -> Init {
    let number = |p: &Poly| p.constant().map_or(1.0, |r| r.to_f64()).max(1.0);
    let uniform = |variance: f64, site| Init::Uniform {
        bound: Literal(double::sqrt(3.0 * variance) as f32),
        site,
    };
    match spread {
        Spread::Constant(value) => Init::Constant(Literal(value as f32)),
        Spread::Fan(gain) => uniform(gain / number(fan_in), site),
        Spread::Both => uniform(2.0 / (number(fan_in) + number(fan_out)), site),
        Spread::Uniform(bound) => Init::Uniform {
            bound: Literal(bound as f32),
            site,
        },
        Spread::Normal(deviation) => Init::Normal {
            deviation: Literal(deviation as f32),
            site,
        },
    }
}

fn product(dims: &[Dim]) -> Poly {
    dims.iter()
        .fold(Poly::number(1), |p, d| p.multiply(&d.size))
}

pub(super) fn param<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let dims = named_sizes(cx, bound)?;
    let spread = spread(cx, bound, Spread::Constant(0.0))?;
    let fan = match bound.get("fan") {
        Some(_) => cx.size_arg(bound, "fan", None)?,
        None => product(dims.split_last().map_or(&[][..], |(_, rest)| rest)),
    };
    let out = dims.last().map_or(Poly::number(1), |d| d.size.clone());
    let path = cx.path();
    let init = init(spread, &fan, &out, path.clone());
    cx.state_slot(&path, Role::Parameter, init, dims)
        .map(|(t, _)| Value::Tensor(t))
}

const NUMBERS: &[&str] = &[
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight",
];

fn in_words(n: usize) -> String {
    NUMBERS
        .get(n)
        .map_or_else(|| n.to_string(), |w| (*w).to_string())
}

// The one axis beside `batch`.
fn only_axis(cx: &mut Cx<'_>, x: &Tensor, bound: &Bound<'_, '_>) -> Eval<Vec<Axis>> {
    let axes: Vec<Axis> = x
        .dims
        .iter()
        .map(|d| d.axis.clone())
        .filter(|a| a.as_str() != "batch")
        .collect();
    if axes.len() == 1 {
        return Ok(axes);
    }
    let arrive = if x.dims.len() == 1 {
        "arrives"
    } else {
        "arrive"
    };
    let message = format!(
        "`{}` works on two axes, but {} {arrive}",
        bound.name,
        in_words(x.dims.len())
    );
    let picture = ["height", "width"].iter().all(|a| x.has(a));
    let help = if picture {
        "reduce the picture first: `mean(over = [height, width])`".to_string()
    } else if axes.is_empty() {
        "it contracts one axis beside `batch`, and there is none".to_string()
    } else {
        let last = axes.last().map_or("", |a| a.as_str());
        format!("say what it contracts: `from = {last}`")
    };
    let at = bound.get("x").map_or(bound.loc, Given::loc);
    let diagnostic = Diagnostic::error(Code::ShapeRank, message)
        .at(
            bound.loc.source,
            bound.loc.span,
            format!("{} arrive here", x.axes_text()),
        )
        .and(at.source, at.span, format!("this is {}", x.text()))
        .help(help);
    Err(cx.report(diagnostic))
}

// A call without the axes it gives, or with a shape that has none.
fn no_axes<T>(cx: &mut Cx<'_>, bound: &Bound<'_, '_>, message: &str, example: &str) -> Eval<T> {
    let Some(shape) = bound.get("shape").map(Given::loc) else {
        let help = format!("write `{example}`");
        return cx.fail(Code::SettingMissing, bound.loc, message, help);
    };
    let diagnostic = Diagnostic::error(Code::SettingMissing, message)
        .at(shape.source, shape.span, "this has no axes")
        .help("give a shape with at least one axis");
    let diagnostic = cx.with_call(diagnostic);
    Err(cx.report(diagnostic))
}

pub(super) fn linear<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let from = match cx.axes_arg(bound, "from")? {
        Some(names) => cx.axes_of(&x, &names, "linear")?,
        None => only_axis(cx, &x, bound)?,
    };
    let to = named_sizes(cx, bound)?;
    if to.is_empty() {
        return no_axes(
            cx,
            bound,
            "`linear` needs the axis it gives, and its size",
            "linear(class = 10)",
        );
    }
    for dim in &to {
        if x.dims
            .iter()
            .any(|d| d.axis == dim.axis && !from.contains(&d.axis))
        {
            return cx.fail(
                Code::ShapeAxisDuplicate,
                dim.loc,
                format!("there is an axis `{}` already", dim.axis),
                format!(
                    "it has {}; contract it with `from`, or name the new one otherwise",
                    x.axes_text()
                ),
            );
        }
    }
    let mut input = x.clone();
    let mut over = Vec::new();
    for axis in &from {
        let clash = to.iter().any(|d| d.axis == *axis);
        let name = if clash {
            format!("from.{axis}")
        } else {
            axis.to_string()
        };
        input = cx.rename(&input, axis.as_str(), &name)?;
        over.push(Axis::new(&name));
    }
    let mut dims: Vec<Dim> = over
        .iter()
        .filter_map(|a| input.dims.iter().find(|d| d.axis == *a))
        .cloned()
        .collect();
    let (fan_in, fan_out) = (product(&dims), product(&to));
    dims.extend(to.iter().cloned());
    let spread = spread(cx, bound, Spread::Fan(1.0))?;
    let path = format!("{}.weight", cx.path());
    let (weight, _) = cx.state_slot(
        &path,
        Role::Parameter,
        init(spread, &fan_in, &fan_out, path.clone()),
        dims,
    )?;
    let out = contracted(cx, &input, &weight, &over, None)?;
    biased(cx, bound, out, to).map(Value::Tensor)
}

fn biased<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>, out: Tensor, dims: Vec<Dim>) -> Eval<Tensor> {
    if !cx.bool_arg(bound, "bias", true)? {
        return Ok(out);
    }
    let path = format!("{}.bias", cx.path());
    let (bias, _) = cx.state_slot(&path, Role::Parameter, Init::Constant(Literal(0.0)), dims)?;
    cx.map(MapOp::Add, &[&out, &bias])
}

pub(super) fn conv<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    picture_axes(cx, &x, bound)?;
    let to = cx.size_arg(bound, "to", None)?;
    let at = bound.get("to").map_or(bound.loc, Given::loc);
    let kernel = cx.size_arg(bound, "kernel", Some(3))?;
    let stride = small(cx, bound, "stride", Some(1))?;
    let padding = padding(cx, bound)?;
    if padding == Padding::Same
        && stride == Poly::number(1)
        && kernel.integer().is_some_and(|k| k % 2 == 0)
    {
        let loc = bound.get("kernel").map_or(bound.loc, Given::loc);
        return cx.fail(
            Code::ValueRange,
            loc,
            format!("a kernel of {kernel} has no middle"),
            "take an odd kernel, or `padding = \"valid\"`",
        );
    }
    let channel = x.dim("channel").cloned().ok_or(Reported)?;
    let order: Vec<Axis> = x.dims.iter().map(|d| d.axis.clone()).collect();
    let input = cx.rename(&x, "channel", "from.channel")?;
    let rows = windows(
        cx,
        &input,
        "height",
        &kernel,
        "kernel.row",
        &stride,
        padding,
        0.0,
        bound.loc,
    )?;
    let taps = windows(
        cx,
        &rows,
        "width",
        &kernel,
        "kernel.column",
        &stride,
        padding,
        0.0,
        bound.loc,
    )?;
    let over: Vec<Axis> = ["kernel.row", "kernel.column", "from.channel"]
        .map(Axis::new)
        .to_vec();
    let tap = |name: &str| Dim {
        axis: Axis::new(name),
        size: kernel.clone(),
        loc: bound.loc,
    };
    let out = Dim {
        axis: Axis::new("channel"),
        size: to,
        loc: at,
    };
    let fans = vec![
        tap("kernel.row"),
        tap("kernel.column"),
        Dim {
            axis: Axis::new("from.channel"),
            ..channel
        },
    ];
    let fan_in = product(&fans);
    let fan_out = kernel.multiply(&kernel).multiply(&out.size);
    let dims: Vec<Dim> = fans.into_iter().chain([out.clone()]).collect();
    let spread = spread(cx, bound, Spread::Fan(2.0))?;
    let path = format!("{}.weight", cx.path());
    let (weight, _) = cx.state_slot(
        &path,
        Role::Parameter,
        init(spread, &fan_in, &fan_out, path.clone()),
        dims,
    )?;
    let result = contracted(cx, &taps, &weight, &over, Some(&order))?;
    biased(cx, bound, result, vec![out]).map(Value::Tensor)
}

fn picture_axes(cx: &mut Cx<'_>, x: &Tensor, bound: &Bound<'_, '_>) -> Eval<()> {
    let missing: Vec<&str> = ["channel", "height", "width"]
        .into_iter()
        .filter(|a| !x.has(a))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing
        .iter()
        .map(|m| format!("`{m}`"))
        .collect::<Vec<_>>()
        .join(" and ");
    cx.fail(
        Code::ShapeAxisUnknown,
        bound.loc,
        format!(
            "`{}` works on channel, height and width, and {} has no {names}",
            bound.name,
            x.text()
        ),
        "rename an axis, or use `linear`",
    )
}

pub(super) fn norm<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let momentum = cx.float_arg(bound, "momentum", Some(0.1))?;
    let epsilon = cx.float_arg(bound, "epsilon", Some(1e-5))?;
    let named = cx.axes_arg(bound, "along")?;
    let along = match named {
        Some(names) => cx.axes_of(&x, &names, "norm")?,
        None if x.has("channel") => vec![Axis::new("channel")],
        None => only_axis(cx, &x, bound)?,
    };
    let over: Vec<Axis> = x
        .dims
        .iter()
        .map(|d| d.axis.clone())
        .filter(|a| !along.contains(a))
        .collect();
    let kept: Vec<Dim> = x
        .dims
        .iter()
        .filter(|d| along.contains(&d.axis))
        .cloned()
        .collect();
    let path = cx.path();
    let slot = |cx: &mut Cx<'p>, name: &str, role, value: f32| {
        cx.state_slot(
            &format!("{path}.{name}"),
            role,
            Init::Constant(Literal(value)),
            kept.clone(),
        )
    };
    let (scale, _) = slot(cx, "scale", Role::Parameter, 1.0)?;
    let (shift, _) = slot(cx, "shift", Role::Parameter, 0.0)?;
    let (mean, mean_slot) = slot(cx, "mean", Role::Persistent, 0.0)?;
    let (variance, variance_slot) = slot(cx, "variance", Role::Persistent, 1.0)?;
    let normal = if cx.mode == Mode::Training {
        let of_batch = cx.mean(&x, &over)?;
        let spread = cx.variance(&x, &of_batch, &over)?;
        running(cx, momentum, &of_batch, mean, mean_slot)?;
        running(cx, momentum, &spread, variance, variance_slot)?;
        let op = Op::Composite(Composite::Normalise {
            over,
            epsilon: Literal(epsilon as f32),
        });
        cx.push(op, &[&x, &of_batch, &spread], DType::F32, x.dims.clone())?
    } else {
        let epsilon = cx.constant(epsilon)?;
        let centred = cx.map(MapOp::Sub, &[&x, &mean])?;
        let total = cx.map(MapOp::Add, &[&variance, &epsilon])?;
        let factor = cx.map(MapOp::Rsqrt, &[&total])?;
        cx.map(MapOp::Mul, &[&centred, &factor])?
    };
    cx.map(MapOp::Fma, &[&normal, &scale, &shift])
        .map(Value::Tensor)
}

// r = fma(momentum, batch − r, r); a model called twice in a step updates twice.
fn running(
    cx: &mut Cx<'_>,
    momentum: f64,
    batch: &Tensor,
    mut kept: Tensor,
    slot: usize,
) -> Eval<()> {
    if let Some(next) = cx.state_next.get(&slot) {
        kept.id = *next;
    }
    let momentum = cx.constant(momentum)?;
    let difference = cx.map(MapOp::Sub, &[batch, &kept])?;
    let next = cx.map(MapOp::Fma, &[&momentum, &difference, &kept])?;
    let next = cx.broadcast(&next, &kept.dims)?;
    cx.state_next.insert(slot, next.id);
    Ok(())
}

pub(super) fn dropout<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.float_tensor(bound, "x")?;
    let p = cx.float_arg(bound, "p", Some(0.1))?;
    if !(0.0..1.0).contains(&p) {
        let loc = bound.get("p").map_or(bound.loc, Given::loc);
        return cx.fail(
            Code::ValueRange,
            loc,
            format!("`dropout` cannot drop a share of {p}"),
            "the share lies from 0 up to, not including, 1",
        );
    }
    if cx.mode == Mode::Evaluation || p == 0.0 {
        return Ok(Value::Tensor(x));
    }
    let path = cx.path();
    let key = cx.site_key(&path)?;
    let step = cx.input(mmh_ir::Input::Step, DType::I32, vec![])?;
    let drawn = cx.push(
        Op::Random(RandomKind::Uniform),
        &[&key, &step],
        DType::F32,
        x.dims.clone(),
    )?;
    let share = cx.constant(p)?;
    let keep = cx.map(MapOp::Ge, &[&drawn, &share])?;
    let factor = cx.constant(1.0 / (1.0 - p))?;
    let scaled = cx.map(MapOp::Mul, &[&x, &factor])?;
    let zero = cx.constant(0.0)?;
    cx.map(MapOp::Select, &[&keep, &scaled, &zero])
        .map(Value::Tensor)
}

pub(super) fn embed<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let x = cx.tensor_arg(bound, "x")?;
    let Some((classes, _)) = x.classes.clone() else {
        return cx.fail(
            Code::TypeDtype,
            bound.loc,
            format!("`embed` takes classes, and {} arrives", x.text()),
            "give it a column of type `class`",
        );
    };
    let to = named_sizes(cx, bound)?;
    if to.is_empty() {
        return no_axes(
            cx,
            bound,
            "`embed` needs the axis of its vectors",
            "embed(feature = 32)",
        );
    }
    let level = Axis::new("level");
    let mut dims = vec![Dim {
        axis: level.clone(),
        size: classes,
        loc: Loc::default(),
    }];
    dims.extend(to);
    let spread = spread(cx, bound, Spread::Normal(0.02))?;
    let path = format!("{}.table", cx.path());
    let init = init(spread, &Poly::number(1), &Poly::number(1), path.clone());
    let (table, _) = cx.state_slot(&path, Role::Parameter, init, dims)?;
    looked_up(cx, &x, &table, &level).map(Value::Tensor)
}
