//! Pointwise operations.

use crate::operand::{Operand, broken};
use mmh_ir::device::{RunError, Tensor};
use mmh_ir::{MapOp, Shape};
use mmh_numerics::convert;
use mmh_numerics::functions::scalar;

/// One result element from one element of each operand, all spread to `shape`.
pub(crate) fn map(op: MapOp, operands: &[Operand<'_>], shape: &Shape) -> Result<Tensor, RunError> {
    let spread = operands.iter().map(|operand| operand.spread(shape));
    let spread = spread.collect::<Result<Vec<_>, _>>()?;
    match spread.as_slice() {
        [a] => unary(op, a),
        [a, b] => binary(op, a, b),
        [a, b, c] => ternary(op, a, b, c),
        _ => None,
    }
    .ok_or_else(|| broken(&format!("{op:?} does not take operands of these types")))
}

fn unary(op: MapOp, a: &Tensor) -> Option<Tensor> {
    match a {
        Tensor::F32(a) => unary_f32(op, a),
        Tensor::I32(a) => match op {
            MapOp::Neg => Some(each(a, i32::wrapping_neg, Tensor::I32)),
            MapOp::Abs => Some(each(a, i32::wrapping_abs, Tensor::I32)),
            MapOp::ToF32 => Some(each(a, |x| x as f32, Tensor::F32)),
            MapOp::ToI32 => Some(Tensor::I32(a.clone())),
            _ => None,
        },
        Tensor::U8(a) | Tensor::Bool(a) => match op {
            MapOp::ToF32 => Some(each(a, f32::from, Tensor::F32)),
            MapOp::ToI32 => Some(each(a, i32::from, Tensor::I32)),
            MapOp::Not => Some(each(a, |x| u8::from(x == 0), Tensor::Bool)),
            _ => None,
        },
    }
}

fn unary_f32(op: MapOp, a: &[f32]) -> Option<Tensor> {
    let function: fn(f32) -> f32 = match op {
        MapOp::Neg => |x| -x,
        MapOp::Abs => f32::abs,
        MapOp::Sqrt => f32::sqrt,
        MapOp::Rsqrt => scalar::rsqrt,
        MapOp::Exp => scalar::exp,
        MapOp::Log => scalar::log,
        MapOp::Tanh => scalar::tanh,
        MapOp::Sigmoid => scalar::sigmoid,
        MapOp::Erf => scalar::erf,
        MapOp::Erfc => scalar::erfc,
        MapOp::Gelu => scalar::gelu,
        MapOp::Relu => |x| mmh_numerics::max(0.0, x),
        MapOp::Sin => scalar::sin,
        MapOp::Cos => scalar::cos,
        MapOp::Floor => f32::floor,
        MapOp::Bf16 => |x| convert::f32_from_bf16(convert::bf16_from_f32(x)),
        MapOp::ToF32 => |x| x,
        MapOp::ToI32 => return Some(each(a, |x| x as i32, Tensor::I32)),
        MapOp::Not
        | MapOp::Add
        | MapOp::Sub
        | MapOp::Mul
        | MapOp::Div
        | MapOp::Min
        | MapOp::Max
        | MapOp::Pow
        | MapOp::Lt
        | MapOp::Le
        | MapOp::Gt
        | MapOp::Ge
        | MapOp::Eq
        | MapOp::Ne
        | MapOp::And
        | MapOp::Or
        | MapOp::Select
        | MapOp::Fma => return None,
    };
    Some(each(a, function, Tensor::F32))
}

fn binary(op: MapOp, a: &Tensor, b: &Tensor) -> Option<Tensor> {
    match (a, b) {
        (Tensor::F32(a), Tensor::F32(b)) => binary_f32(op, a, b).or_else(|| compare(op, a, b)),
        (Tensor::I32(a), Tensor::I32(b)) => binary_i32(op, a, b).or_else(|| compare(op, a, b)),
        (Tensor::U8(a), Tensor::U8(b)) => compare(op, a, b),
        (Tensor::Bool(a), Tensor::Bool(b)) => match op {
            MapOp::And => Some(both(a, b, |a, b| a & b, Tensor::Bool)),
            MapOp::Or => Some(both(a, b, |a, b| a | b, Tensor::Bool)),
            _ => compare(op, a, b),
        },
        _ => None,
    }
}

fn binary_f32(op: MapOp, a: &[f32], b: &[f32]) -> Option<Tensor> {
    let function: fn(f32, f32) -> f32 = match op {
        MapOp::Add => |a, b| a + b,
        MapOp::Sub => |a, b| a - b,
        MapOp::Mul => |a, b| a * b,
        MapOp::Div => |a, b| a / b,
        MapOp::Min => mmh_numerics::min,
        MapOp::Max => mmh_numerics::max,
        MapOp::Pow => scalar::pow,
        _ => return None,
    };
    Some(both(a, b, function, Tensor::F32))
}

fn binary_i32(op: MapOp, a: &[i32], b: &[i32]) -> Option<Tensor> {
    let function: fn(i32, i32) -> i32 = match op {
        MapOp::Add => i32::wrapping_add,
        MapOp::Sub => i32::wrapping_sub,
        MapOp::Mul => i32::wrapping_mul,
        MapOp::Min => std::cmp::min,
        MapOp::Max => std::cmp::max,
        _ => return None,
    };
    Some(both(a, b, function, Tensor::I32))
}

fn compare<T: Copy + PartialOrd>(op: MapOp, a: &[T], b: &[T]) -> Option<Tensor> {
    let function: fn(T, T) -> bool = match op {
        MapOp::Lt => |a, b| a < b,
        MapOp::Le => |a, b| a <= b,
        MapOp::Gt => |a, b| a > b,
        MapOp::Ge => |a, b| a >= b,
        MapOp::Eq => |a, b| a == b,
        MapOp::Ne => |a, b| a != b,
        _ => return None,
    };
    Some(both(a, b, |a, b| u8::from(function(a, b)), Tensor::Bool))
}

fn ternary(op: MapOp, a: &Tensor, b: &Tensor, c: &Tensor) -> Option<Tensor> {
    match (op, a, b, c) {
        (MapOp::Fma, Tensor::F32(a), Tensor::F32(b), Tensor::F32(c)) => {
            let products = a.iter().zip(b).zip(c);
            let sums = products.map(|((a, b), c)| a.mul_add(*b, *c));
            Some(Tensor::F32(sums.collect()))
        }
        (MapOp::Select, Tensor::Bool(which), a, b) => select(which, a, b),
        _ => None,
    }
}

fn select(which: &[u8], a: &Tensor, b: &Tensor) -> Option<Tensor> {
    fn chosen<T: Copy>(which: &[u8], a: &[T], b: &[T]) -> Vec<T> {
        let pairs = which.iter().zip(a.iter().zip(b));
        pairs
            .map(|(&w, (&a, &b))| if w == 0 { b } else { a })
            .collect()
    }
    match (a, b) {
        (Tensor::F32(a), Tensor::F32(b)) => Some(Tensor::F32(chosen(which, a, b))),
        (Tensor::I32(a), Tensor::I32(b)) => Some(Tensor::I32(chosen(which, a, b))),
        (Tensor::U8(a), Tensor::U8(b)) => Some(Tensor::U8(chosen(which, a, b))),
        (Tensor::Bool(a), Tensor::Bool(b)) => Some(Tensor::Bool(chosen(which, a, b))),
        _ => None,
    }
}

fn each<T: Copy, U>(a: &[T], function: impl Fn(T) -> U, wrap: fn(Vec<U>) -> Tensor) -> Tensor {
    wrap(a.iter().map(|&x| function(x)).collect())
}

fn both<T: Copy, U>(
    a: &[T],
    b: &[T],
    function: impl Fn(T, T) -> U,
    wrap: fn(Vec<U>) -> Tensor,
) -> Tensor {
    wrap(a.iter().zip(b).map(|(&a, &b)| function(a, b)).collect())
}
