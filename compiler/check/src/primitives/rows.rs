//! Blocks repeated, and rows on their way to a batch.

use crate::call::Bound;
use crate::core::Cx;
use crate::value::{Eval, Loc, Reported, Rows, Value};
use mmh_diag::{Code, suggest};

const MOST_REPEATS: i128 = 4096;

pub(super) fn repeat<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let (mut value, _) = cx.need(bound, "x")?;
    let n = cx.size_arg(bound, "n", None)?;
    let block = match bound.get("block") {
        Some(crate::call::Given::Expr(expr, _)) => cx.block_value(expr, bound.scope)?,
        Some(crate::call::Given::Value(Value::Block(block), _)) => block.clone(),
        _ => {
            return cx.fail(
                Code::SettingMissing,
                bound.loc,
                "`repeat` needs a block",
                "write `repeat(3, residual)`",
            );
        }
    };
    let loc = bound.get("block").map_or(bound.loc, |g| g.loc());
    let times = match n.integer() {
        Some(n) if (0..=MOST_REPEATS).contains(&n) => n,
        None => 1,
        Some(n) => {
            return cx.fail(
                Code::ValueRange,
                bound.loc,
                format!("a block cannot be repeated {n} times"),
                format!("from 0 to {MOST_REPEATS} times"),
            );
        }
    };
    for _ in 0..times {
        value = cx.apply(&block, value, loc, bound.scope)?;
    }
    Ok(value)
}

fn rows<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Rows> {
    match cx.need(bound, "rows")? {
        (Value::Rows(rows), _) => Ok(*rows),
        (Value::Data(number), loc) => {
            let name = cx
                .data
                .get(number)
                .map_or(String::new(), |d| d.name.clone());
            cx.fail(
                Code::TypeMismatch,
                loc,
                format!(
                    "`{name}` is a data set, and `{}` takes rows of one part",
                    bound.name
                ),
                format!("write `{name}.train`"),
            )
        }
        (other, loc) => cx.fail(
            Code::TypeMismatch,
            loc,
            format!("`{}` takes rows of data, not {}", bound.name, other.kind()),
            "start with `digits.train`",
        ),
    }
}

pub(super) fn map<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let mut rows = rows(cx, bound)?;
    for (name, block) in &bound.extra {
        let at = cx.at(name.span);
        let Some(set) = cx.data.get(rows.data) else {
            return Err(Reported);
        };
        if !set.columns.iter().any(|c| c.name == name.text) && !set.broken {
            let known: Vec<&str> = set.columns.iter().map(|c| c.name.as_str()).collect();
            let near = suggest(&name.text, known.iter().copied()).map(str::to_owned);
            let message = format!("`{}` has no column `{}`", set.name, name.text);
            let has = format!("it has {}", known.join(", "));
            let code = Code::DataUnknownColumn;
            return cx.misspelt(code, at, message, near.as_deref(), || has);
        }
        let loc: Loc = cx.at(block.span());
        let block = cx.block_value(block, bound.scope)?;
        rows.maps.push((name.text.clone(), block, loc));
    }
    Ok(Value::Rows(Box::new(rows)))
}

pub(super) fn shuffle<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let mut rows = rows(cx, bound)?;
    rows.shuffle = Some(bound.loc);
    Ok(Value::Rows(Box::new(rows)))
}

pub(super) fn batch<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    let mut rows = rows(cx, bound)?;
    let size = cx.size_arg(bound, "size", None)?;
    match size.integer().and_then(|n| u64::try_from(n).ok()) {
        Some(n) if (1..=1 << 20).contains(&n) => rows.batch = Some(n),
        _ => {
            let loc = bound.get("size").map_or(bound.loc, |g| g.loc());
            return cx.fail(
                Code::ValueRange,
                loc,
                format!("a batch cannot have {size} rows"),
                "from 1 to 1,048,576",
            );
        }
    }
    Ok(Value::Rows(Box::new(rows)))
}

fn not_yet(cx: &mut Cx<'_>, bound: &Bound<'_, '_>, instead: &str) -> Eval<Value> {
    cx.fail(
        Code::CapabilityNotYet,
        bound.loc,
        format!("this version cannot run `{}`", bound.name),
        instead,
    )
}

pub(super) fn scan<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    not_yet(
        cx,
        bound,
        "use `attention` over the axis, or unfold a few steps with `slice`",
    )
}

pub(super) fn mixup<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    not_yet(cx, bound, "augment single rows with `map`")
}

pub(super) fn fold<'p>(cx: &mut Cx<'p>, bound: &Bound<'p, '_>) -> Eval<Value> {
    not_yet(cx, bound, "split once, with `stratified` or `random`")
}
