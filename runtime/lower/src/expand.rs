//! Graph-level pointwise operations as kernel instructions.

use crate::kernel::{Instr, Recorder, Reg};
use mmh_ir::{DType, MapOp};
use mmh_numerics::{Ops, functions};

/// Records `op` over operands of element type `dtype` (that of the values compared or combined).
pub(crate) fn expand(o: &mut Recorder, op: MapOp, dtype: DType, args: &[Reg]) -> Reg {
    let a = args.first().copied().unwrap_or(Reg(0));
    let b = args.get(1).copied().unwrap_or(a);
    let c = args.get(2).copied().unwrap_or(a);
    match dtype {
        DType::F32 => float(o, op, a, b, c),
        DType::I32 | DType::U8 => int(o, op, a, b, c),
        DType::Bool => mask(o, op, a, b, c),
    }
}

fn float(o: &mut Recorder, op: MapOp, a: Reg, b: Reg, c: Reg) -> Reg {
    match op {
        MapOp::Neg => o.neg(a),
        MapOp::Abs => o.abs(a),
        MapOp::Sqrt => o.sqrt(a),
        MapOp::Rsqrt => functions::rsqrt(o, a),
        MapOp::Exp => functions::exp(o, a),
        MapOp::Log => functions::log(o, a),
        MapOp::Tanh => functions::tanh(o, a),
        MapOp::Sigmoid => functions::sigmoid(o, a),
        MapOp::Erf => functions::erf(o, a),
        MapOp::Erfc => functions::erfc(o, a),
        MapOp::Gelu => functions::gelu(o, a),
        MapOp::Relu => {
            let zero = o.f32(0.0);
            o.max(zero, a)
        }
        MapOp::Sin => functions::sin(o, a),
        MapOp::Cos => functions::cos(o, a),
        MapOp::Floor => floor(o, a),
        MapOp::Bf16 => functions::bf16(o, a),
        MapOp::ToF32 => a,
        MapOp::ToI32 => o.to_int(a),
        MapOp::Add => o.add(a, b),
        MapOp::Sub => o.sub(a, b),
        MapOp::Mul => o.mul(a, b),
        MapOp::Div => o.div(a, b),
        MapOp::Min => o.min(a, b),
        MapOp::Max => o.max(a, b),
        MapOp::Pow => functions::pow(o, a, b),
        MapOp::Lt => o.lt(a, b),
        MapOp::Le => o.le(a, b),
        MapOp::Gt => o.lt(b, a),
        MapOp::Ge => o.le(b, a),
        MapOp::Eq => o.eq(a, b),
        MapOp::Ne => o.ne(a, b),
        MapOp::Select => o.select(a, b, c),
        MapOp::Fma => o.fma(a, b, c),
        MapOp::Not | MapOp::And | MapOp::Or => mask(o, op, a, b, c),
    }
}

/// IEEE floor by integers: exact below 2^23, above which every f32 is whole.
fn floor(o: &mut Recorder, a: Reg) -> Reg {
    let whole = o.to_int(a);
    let near = o.to_float(whole);
    let above = o.lt(a, near);
    let (one, large) = (o.f32(1.0), o.f32(8_388_608.0));
    let below = o.sub(near, one);
    let floored = o.select(above, below, near);
    let size = o.abs(a);
    let small = o.lt(size, large);
    let zero = o.f32(0.0);
    let is_zero = o.eq(a, zero);
    let fractional = o.not_b(is_zero);
    let moves = o.and_b(small, fractional);
    o.select(moves, floored, a)
}

fn int(o: &mut Recorder, op: MapOp, a: Reg, b: Reg, c: Reg) -> Reg {
    match op {
        MapOp::Neg => {
            let zero = o.i32(0);
            o.isub(zero, a)
        }
        MapOp::Abs => {
            let zero = o.i32(0);
            let (negative, negated) = (o.ilt(a, zero), o.isub(zero, a));
            o.select_i(negative, negated, a)
        }
        MapOp::ToF32 => o.to_float(a),
        MapOp::Add => o.iadd(a, b),
        MapOp::Sub => o.isub(a, b),
        MapOp::Mul => o.imul(a, b),
        MapOp::Min => {
            let less = o.ilt(a, b);
            o.select_i(less, a, b)
        }
        MapOp::Max => {
            let greater = o.ilt(b, a);
            o.select_i(greater, a, b)
        }
        MapOp::Lt => o.ilt(a, b),
        MapOp::Gt => o.ilt(b, a),
        MapOp::Le => {
            let greater = o.ilt(b, a);
            o.not_b(greater)
        }
        MapOp::Ge => {
            let less = o.ilt(a, b);
            o.not_b(less)
        }
        MapOp::Eq => o.ieq(a, b),
        MapOp::Ne => {
            let equal = o.ieq(a, b);
            o.not_b(equal)
        }
        MapOp::Select => o.select_i(a, b, c),
        // The graph verifier admits no other operation on integers.
        MapOp::ToI32
        | MapOp::Sqrt
        | MapOp::Rsqrt
        | MapOp::Exp
        | MapOp::Log
        | MapOp::Tanh
        | MapOp::Sigmoid
        | MapOp::Erf
        | MapOp::Erfc
        | MapOp::Gelu
        | MapOp::Relu
        | MapOp::Sin
        | MapOp::Cos
        | MapOp::Floor
        | MapOp::Bf16
        | MapOp::Div
        | MapOp::Pow
        | MapOp::Fma
        | MapOp::Not
        | MapOp::And
        | MapOp::Or => a,
    }
}

fn mask(o: &mut Recorder, op: MapOp, a: Reg, b: Reg, c: Reg) -> Reg {
    match op {
        MapOp::Not => o.not_b(a),
        MapOp::And => o.and_b(a, b),
        MapOp::Or => o.or_b(a, b),
        MapOp::ToF32 => {
            let (one, zero) = (o.f32(1.0), o.f32(0.0));
            o.select(a, one, zero)
        }
        MapOp::ToI32 => {
            let (one, zero) = (o.i32(1), o.i32(0));
            o.select_i(a, one, zero)
        }
        MapOp::Select => {
            let not = o.not_b(a);
            let (yes, no) = (o.and_b(a, b), o.and_b(not, c));
            o.or_b(yes, no)
        }
        MapOp::Eq | MapOp::Ne => {
            let (na, nb) = (o.not_b(a), o.not_b(b));
            let (both, neither) = (o.and_b(a, b), o.and_b(na, nb));
            let same = o.or_b(both, neither);
            if op == MapOp::Eq { same } else { o.not_b(same) }
        }
        _ => o.emit(Instr::NotB(a)),
    }
}

/// A rough price of one operation, in additions.
pub(crate) fn price(op: MapOp) -> usize {
    match op {
        MapOp::Exp | MapOp::Sigmoid | MapOp::Tanh | MapOp::Log => 16,
        MapOp::Erf | MapOp::Erfc | MapOp::Gelu | MapOp::Sin | MapOp::Cos | MapOp::Pow => 40,
        MapOp::Sqrt | MapOp::Rsqrt | MapOp::Div | MapOp::Bf16 => 6,
        _ => 1,
    }
}
