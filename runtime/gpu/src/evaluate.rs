//! Kernels element by element, on the processor: what a shader must give.

use mmh_ir::DType;
use mmh_lower::kernel::{Instr, Kernel, Reg};
use mmh_numerics::{Ops, Scalar};

/// The bits of every register of `kernel` for one element; truth values are 0 and 1. `loads` are the operands' words,
/// `place` the places along the kernel's axes.
pub(crate) fn registers(kernel: &Kernel, loads: &[u32], place: &dyn Fn(u8) -> u32) -> Vec<u32> {
    let mut values: Vec<u32> = Vec::with_capacity(kernel.body.len());
    for instr in &kernel.body {
        let value = match *instr {
            Instr::Load(n) => match kernel.loads[usize::from(n)].dtype.value() {
                DType::Bool => u32::from(loads[usize::from(n)] != 0),
                _ => loads[usize::from(n)],
            },
            Instr::Index(axis) => place(axis),
            instr => compute(instr, &values),
        };
        values.push(value);
    }
    values
}

fn compute(instr: Instr, values: &[u32]) -> u32 {
    let o = &mut Scalar;
    let raw = |r: Reg| values[usize::from(r.0)];
    let f = |r: Reg| f32::from_bits(raw(r));
    let i = |r: Reg| raw(r).cast_signed();
    let b = |r: Reg| raw(r) != 0;
    let float = |x: f32| x.to_bits();
    let int = |x: i32| x.cast_unsigned();
    match instr {
        // Taken by the caller, or taken out of kernels that are checked.
        Instr::Load(_) | Instr::Index(_) | Instr::Param(_) => 0,
        Instr::F32(bits) => bits,
        Instr::I32(n) => int(n),
        Instr::Add(x, y) => float(o.add(f(x), f(y))),
        Instr::Sub(x, y) => float(o.sub(f(x), f(y))),
        Instr::Mul(x, y) => float(o.mul(f(x), f(y))),
        Instr::Div(x, y) => float(o.div(f(x), f(y))),
        Instr::Fma(x, y, z) => float(o.fma(f(x), f(y), f(z))),
        Instr::Neg(x) => float(o.neg(f(x))),
        Instr::Abs(x) => float(o.abs(f(x))),
        Instr::Sqrt(x) => float(o.sqrt(f(x))),
        Instr::Min(x, y) => float(o.min(f(x), f(y))),
        Instr::Max(x, y) => float(o.max(f(x), f(y))),
        Instr::Lt(x, y) => o.lt(f(x), f(y)).into(),
        Instr::Le(x, y) => o.le(f(x), f(y)).into(),
        Instr::Eq(x, y) => o.eq(f(x), f(y)).into(),
        Instr::Ne(x, y) => o.ne(f(x), f(y)).into(),
        Instr::Select(c, x, y) | Instr::SelectI(c, x, y) => raw(if b(c) { x } else { y }),
        Instr::AndB(x, y) => o.and_b(b(x), b(y)).into(),
        Instr::OrB(x, y) => o.or_b(b(x), b(y)).into(),
        Instr::NotB(x) => o.not_b(b(x)).into(),
        Instr::Bits(x) | Instr::FromBits(x) => raw(x),
        Instr::IAdd(x, y) => int(o.iadd(i(x), i(y))),
        Instr::ISub(x, y) => int(o.isub(i(x), i(y))),
        Instr::IMul(x, y) => int(o.imul(i(x), i(y))),
        Instr::IAnd(x, y) => raw(x) & raw(y),
        Instr::IOr(x, y) => raw(x) | raw(y),
        Instr::IXor(x, y) => raw(x) ^ raw(y),
        Instr::Shl(x, n) => int(o.shl(i(x), n.into())),
        Instr::Shr(x, n) => int(o.shr(i(x), n.into())),
        Instr::Sar(x, n) => int(o.sar(i(x), n.into())),
        Instr::ILt(x, y) => o.ilt(i(x), i(y)).into(),
        Instr::IEq(x, y) => o.ieq(i(x), i(y)).into(),
        Instr::IUlt(x, y) => o.iult(i(x), i(y)).into(),
        Instr::ToInt(x) => int(o.to_int(f(x))),
        Instr::ToFloat(x) => float(o.to_float(i(x))),
    }
}
