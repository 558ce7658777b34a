//! Recipes so small that slow machines follow: together they use every operation, and every architecture runs them.

use crate::support::Place;
use crate::{Case, support};
use mmh_ir::{DType, MapOp, RandomKind, ReduceKind};
use serde_json::Value;
use std::path::PathBuf;

pub(crate) const NAMES: [(&str, &str); 4] = [
    ("halves", "tiny-halves"),
    ("picture", "tiny-picture"),
    ("table", "tiny-table"),
    ("words", "tiny-words"),
];

/// The recipe of that name.
pub(crate) fn recipe(name: &str) -> PathBuf {
    support::examples()
        .join("../tests/golden-tiny")
        .join(format!("{name}.mmh"))
}

#[test]
fn tiny_recipes() {
    for (name, golden) in NAMES {
        let case = Case {
            name: golden,
            limit: "12 steps",
            set: &[],
            everywhere: true,
        };
        case.check(&recipe(name));
    }
}

/// The text form's word for one choice of a table.
fn word(choice: impl serde::Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(Value::String(word)) => word,
        other => panic!("{other:?} is no word"),
    }
}

/// All pointwise operations: whoever adds one meets the match below.
fn pointwise() -> Vec<MapOp> {
    use MapOp::*;
    let all = [
        Neg, Abs, Sqrt, Rsqrt, Exp, Log, Tanh, Sigmoid, Erf, Erfc, Gelu, Relu, Sin, Cos, Floor,
        Bf16, Not, ToF32, ToI32, Add, Sub, Mul, Div, Min, Max, Pow, Lt, Le, Gt, Ge, Eq, Ne, And,
        Or, Select, Fma,
    ];
    for op in all {
        match op {
            Neg | Abs | Sqrt | Rsqrt | Exp | Log | Tanh | Sigmoid | Erf | Erfc | Gelu | Relu
            | Sin | Cos | Floor | Bf16 | Not | ToF32 | ToI32 | Add | Sub | Mul | Div | Min
            | Max | Pow | Lt | Le | Gt | Ge | Eq | Ne | And | Or | Select | Fma => {}
        }
    }
    all.to_vec()
}

#[test]
fn tiny_recipes_use_every_operation() {
    let place = Place::new();
    let graphs: String = NAMES
        .iter()
        .map(|(name, _)| {
            let path = recipe(name);
            let path = path.to_str().expect("a path in UTF-8");
            place.mmhc(&["show", "graph", path]).ends(0).out
        })
        .collect();
    let mut wanted: Vec<String> = pointwise()
        .into_iter()
        .map(|op| format!("= map({})", word(op)))
        .collect();
    let folds = [
        ReduceKind::Sum,
        ReduceKind::Max,
        ReduceKind::Min,
        ReduceKind::ArgMax,
    ];
    wanted.extend(folds.map(|kind| format!("= reduce(kind = {}", word(kind))));
    wanted.extend(
        [RandomKind::Uniform, RandomKind::Normal].map(|kind| format!("= random({})", word(kind))),
    );
    let others = [
        "input(",
        "constant(",
        "integer(",
        "position",
        "broadcast",
        "rename(",
        "merge(",
        "split(",
        "slice(",
        "pad(",
        "concat(",
        "window(",
        "contract(",
        "gather(",
        "one-hot(",
        "sample(",
    ];
    wanted.extend(others.map(|op| format!("= {op}")));
    let types = [DType::F32, DType::I32, DType::Bool];
    wanted.extend(types.map(|dtype| format!(": {}[", dtype.name())));
    let missing: Vec<&String> = wanted
        .iter()
        .filter(|op| !graphs.contains(op.as_str()))
        .collect();
    assert!(missing.is_empty(), "no tiny recipe uses {missing:?}");
}
