//! Pointwise operations on traps, with their gradients, and expressions that compilers like to rewrite.

use crate::maker::Maker;
use crate::{Case, bits};
use mmh_ir::{DType, MapOp, ValueId};
use mmh_vectors::{Source, traps};

/// The functions of one f32 that give an f32.
pub const ONE_ARGUMENT: [MapOp; 16] = {
    use MapOp::*;
    [
        Neg, Abs, Sqrt, Rsqrt, Exp, Log, Tanh, Sigmoid, Erf, Erfc, Gelu, Relu, Sin, Cos, Floor,
        Bf16,
    ]
};

/// Operand types of an operation, each a case. Whoever adds an operation meets this match.
fn signatures(op: MapOp) -> Vec<Vec<DType>> {
    use DType::{Bool, F32, I32, U8};
    use MapOp::*;
    match op {
        Sqrt | Rsqrt | Exp | Log | Tanh | Sigmoid | Erf | Erfc | Gelu | Relu | Sin | Cos
        | Floor | Bf16 => {
            vec![vec![F32]]
        }
        Neg | Abs => vec![vec![F32], vec![I32]],
        Not => vec![vec![Bool]],
        ToF32 => vec![vec![I32], vec![U8], vec![Bool]],
        ToI32 => vec![vec![F32], vec![U8], vec![Bool]],
        Div | Pow => vec![vec![F32, F32]],
        Add | Sub | Mul | Min | Max | Lt | Le | Gt | Ge | Eq | Ne => {
            vec![vec![F32, F32], vec![I32, I32]]
        }
        And | Or => vec![vec![Bool, Bool]],
        Select => vec![vec![Bool, F32, F32], vec![Bool, I32, I32]],
        Fma => vec![vec![F32, F32, F32]],
    }
}

/// All pointwise operations, in the order of the table.
const ALL: [MapOp; 36] = {
    use MapOp::*;
    [
        Neg, Abs, Sqrt, Rsqrt, Exp, Log, Tanh, Sigmoid, Erf, Erfc, Gelu, Relu, Sin, Cos, Floor,
        Bf16, Not, ToF32, ToI32, Add, Sub, Mul, Div, Min, Max, Pow, Lt, Le, Gt, Ge, Eq, Ne, And,
        Or, Select, Fma,
    ]
};

/// The word of the text form.
pub(crate) fn word(op: MapOp) -> String {
    match serde_json::to_value(op) {
        Ok(serde_json::Value::String(word)) => word,
        _ => format!("{op:?}"),
    }
}

/// Elements of operand `n` of an operation: traps against traps, then a stream.
fn elements(n: usize, of: usize, dtype: DType) -> Vec<u32> {
    let source = Source::default();
    let all = traps();
    if of == 1 {
        let mut words = source.operand(n, dtype, 512);
        if dtype == DType::F32 {
            words.splice(..all.len(), all);
        }
        return words;
    }
    // Every third trap, paired with every one of them.
    let few: Vec<u32> = all.iter().copied().step_by(3).collect();
    let pairs = few.len() * few.len();
    let mut words = source.operand(n, dtype, pairs + 256);
    if dtype == DType::F32 && n + 2 >= of {
        for (at, word) in words.iter_mut().take(pairs).enumerate() {
            let at = if n + 2 == of {
                at / few.len()
            } else {
                at % few.len()
            };
            *word = few[at];
        }
    }
    words
}

/// Triples at which a multiply-add that rounds twice, in f32 or in f64, shows itself.
fn fused(a: &mut [u32], b: &mut [u32], c: &mut [u32]) {
    let f = f32::from_bits;
    for at in (0..a.len()).step_by(3) {
        // What is left of a product when its rounded self is taken away.
        c[at] = bits(-(f(a[at]) * f(b[at])));
    }
    for (at, scale) in (1..a.len()).step_by(37).zip((0..60).cycle()) {
        // A sum that lies beside the middle of two numbers by less than f64 can tell.
        let size = 2_f32.powi_exact(scale - 30);
        let sign = if at % 2 == 0 { 1.0 } else { -1.0 };
        let tiny = 2_f32.powi_exact(-24) * size;
        (a[at], b[at], c[at]) = (
            (tiny * 1.000_000_1).to_bits(),
            (sign * 0.999_999_9_f32).to_bits(),
            (size * 1.000_000_1).to_bits(),
        );
    }
}

/// Powers of two by their bits, for −126 to 127.
trait Exact {
    fn powi_exact(self, exponent: i32) -> f32;
}

impl Exact for f32 {
    fn powi_exact(self, exponent: i32) -> f32 {
        f32::from_bits(((exponent + 127) as u32) << 23)
    }
}

/// A maker with the operands of an operation.
fn operands(op: MapOp, dtypes: &[DType]) -> (Maker, Vec<ValueId>) {
    let mut words: Vec<Vec<u32>> = (0..dtypes.len())
        .map(|n| elements(n, dtypes.len(), dtypes[n]))
        .collect();
    if op == MapOp::Fma
        && let [a, b, c] = words.as_mut_slice()
    {
        fused(a, b, c);
    }
    let mut m = Maker::default();
    let values = dtypes
        .iter()
        .zip(words)
        .map(|(dtype, words)| m.operand(*dtype, &[("element", words.len())], words))
        .collect();
    (m, values)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for op in ALL {
        for dtypes in signatures(op) {
            let is_float = dtypes.contains(&DType::F32);
            let name = match is_float {
                true => word(op),
                false => format!("{} of {}", word(op), dtypes.last().map_or("", |d| d.name())),
            };
            let (mut m, values) = operands(op, &dtypes);
            let y = m.map(op, &values);
            let has_gradient = is_float && m.graph.ty(y).dtype == DType::F32;
            all.push(m.case(&name, &[y]));
            if has_gradient {
                let (mut m, values) = operands(op, &dtypes);
                let y = m.map(op, &values);
                all.extend(
                    m.with_gradients(&name, y)
                        .filter(|case| case.results.len() > 1),
                );
            }
        }
    }
    all.extend(expressions());
    all
}

/// Expressions that are rewritten where floats are taken for real numbers.
fn expressions() -> Vec<Case> {
    type Build = fn(&mut Maker, &[ValueId]) -> ValueId;
    use MapOp::{Add, Div, Mul, Neg, Sqrt, Sub};
    let table: [(&str, usize, Build); 10] = [
        ("(a + b) - a", 2, |m, x| {
            let s = m.map(Add, &[x[0], x[1]]);
            m.map(Sub, &[s, x[0]])
        }),
        ("the error of a + b", 2, |m, x| {
            let s = m.map(Add, &[x[0], x[1]]);
            let t = m.map(Sub, &[s, x[0]]);
            let u = m.map(Sub, &[s, t]);
            let (p, q) = (m.map(Sub, &[x[0], u]), m.map(Sub, &[x[1], t]));
            m.map(Add, &[p, q])
        }),
        ("a * b + c", 3, |m, x| {
            let p = m.map(Mul, &[x[0], x[1]]);
            m.map(Add, &[p, x[2]])
        }),
        ("a * b + a * c", 3, |m, x| {
            let (p, q) = (m.map(Mul, &[x[0], x[1]]), m.map(Mul, &[x[0], x[2]]));
            m.map(Add, &[p, q])
        }),
        ("(a + 1.5) + 2.5", 1, |m, x| {
            let (p, q) = (m.constant(1.5), m.constant(2.5));
            let s = m.map(Add, &[x[0], p]);
            m.map(Add, &[s, q])
        }),
        ("a * 3 - a * 2", 1, |m, x| {
            let (p, q) = (m.constant(3.0), m.constant(2.0));
            let (s, t) = (m.map(Mul, &[x[0], p]), m.map(Mul, &[x[0], q]));
            m.map(Sub, &[s, t])
        }),
        ("a / b / c", 3, |m, x| {
            let q = m.map(Div, &[x[0], x[1]]);
            m.map(Div, &[q, x[2]])
        }),
        ("1 / sqrt(a)", 1, |m, x| {
            let one = m.constant(1.0);
            let root = m.map(Sqrt, &[x[0]]);
            m.map(Div, &[one, root])
        }),
        ("a + 0", 1, |m, x| {
            let zero = m.constant(0.0);
            m.map(Add, &[x[0], zero])
        }),
        ("-(a - b)", 2, |m, x| {
            let d = m.map(Sub, &[x[0], x[1]]);
            m.map(Neg, &[d])
        }),
    ];
    let make = |(name, count, build): (&str, usize, Build)| {
        let (mut m, values) = operands(MapOp::Add, &vec![DType::F32; count]);
        let y = build(&mut m, &values);
        m.case(name, &[y])
    };
    table.into_iter().map(make).collect()
}
