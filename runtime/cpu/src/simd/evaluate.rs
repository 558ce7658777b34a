//! Kernels element by element: the definition that compiled kernels are held to.

use mmh_lower::kernel::{Element, Instr, Kernel, Mode, PLACES, Reg};
use mmh_numerics::{Ops, Scalar};

/// One scalar of any kind, by its bits; truth values are 0 and 1.
type Bits = u32;

/// Runs `kernel` with the arguments of a compiled one ([`crate::jit::Entry`]).
///
/// # Safety
/// As for a compiled kernel: operands must be valid for all rows and columns.
pub(crate) unsafe fn evaluate(
    kernel: &Kernel,
    pointers: &[*mut u8],
    row_steps: &[i64],
    column_steps: &[i64],
    rows: i64,
    columns: i64,
    index: &[i32],
) {
    let loads = kernel.loads.len();
    for row in 0..rows {
        for column in 0..columns {
            let place = |n: usize| {
                pointers[n]
                    .wrapping_offset((row * row_steps[n] + column * column_steps[n]) as isize)
            };
            let at = |axis: u8| match axis {
                0 => index[0].wrapping_add(row as i32),
                1 => index[1].wrapping_add(column as i32),
                axis => index[usize::from(axis)],
            };
            let mut values: Vec<Bits> = Vec::with_capacity(kernel.body.len());
            for instr in &kernel.body {
                let value = match *instr {
                    // SAFETY: the caller's contract.
                    Instr::Load(n) => unsafe {
                        load(kernel.loads[usize::from(n)].dtype, place(n.into()))
                    },
                    Instr::Index(axis) => at(axis).cast_unsigned(),
                    Instr::Param(n) => index[PLACES + usize::from(n)].cast_unsigned(),
                    instr => compute(instr, &values),
                };
                values.push(value);
            }
            for (n, store) in kernel.stores.iter().enumerate() {
                let (to, value) = (place(loads + n), values[usize::from(store.value.0)]);
                // SAFETY: the caller's contract.
                unsafe { write(store.dtype, to, folded(store.mode, store.dtype, to, value)) }
            }
        }
    }
}

/// # Safety
/// `from` must be valid for an element.
unsafe fn load(dtype: Element, from: *const u8) -> Bits {
    // SAFETY: the caller's contract.
    unsafe {
        match dtype {
            Element::F32 | Element::I32 => from.cast::<u32>().read_unaligned(),
            Element::U8 => from.read().into(),
            Element::Bool => u32::from(from.read() != 0),
            Element::Bf16 => u32::from(from.cast::<u16>().read_unaligned()) << 16,
        }
    }
}

/// # Safety
/// `to` must be valid for an element.
unsafe fn write(dtype: Element, to: *mut u8, value: Bits) {
    // SAFETY: the caller's contract.
    unsafe {
        match dtype {
            Element::F32 | Element::I32 => to.cast::<u32>().write_unaligned(value),
            Element::U8 | Element::Bool => to.write(value as u8),
            Element::Bf16 => to.cast::<u16>().write_unaligned((value >> 16) as u16),
        }
    }
}

/// # Safety
/// `to` must be valid for an element.
unsafe fn folded(mode: Mode, dtype: Element, to: *const u8, value: Bits) -> Bits {
    if mode == Mode::Write {
        return value;
    }
    // SAFETY: the caller's contract.
    let (old, new) = (
        f32::from_bits(unsafe { load(dtype, to) }),
        f32::from_bits(value),
    );
    let folded = match mode {
        Mode::Write => new,
        Mode::Sum => old + new,
        Mode::Max => Scalar.max(old, new),
        Mode::Min => Scalar.min(old, new),
    };
    folded.to_bits()
}

fn compute(instr: Instr, values: &[Bits]) -> Bits {
    let o = &mut Scalar;
    let raw = |r: Reg| values[usize::from(r.0)];
    let f = |r: Reg| f32::from_bits(raw(r));
    let i = |r: Reg| raw(r).cast_signed();
    let b = |r: Reg| raw(r) != 0;
    match instr {
        Instr::Load(_) | Instr::Index(_) | Instr::Param(_) => 0,
        Instr::F32(bits) => bits,
        Instr::I32(n) => n.cast_unsigned(),
        Instr::Add(x, y) => o.add(f(x), f(y)).to_bits(),
        Instr::Sub(x, y) => o.sub(f(x), f(y)).to_bits(),
        Instr::Mul(x, y) => o.mul(f(x), f(y)).to_bits(),
        Instr::Div(x, y) => o.div(f(x), f(y)).to_bits(),
        Instr::Fma(x, y, z) => o.fma(f(x), f(y), f(z)).to_bits(),
        Instr::Neg(x) => o.neg(f(x)).to_bits(),
        Instr::Abs(x) => o.abs(f(x)).to_bits(),
        Instr::Sqrt(x) => o.sqrt(f(x)).to_bits(),
        Instr::Min(x, y) => o.min(f(x), f(y)).to_bits(),
        Instr::Max(x, y) => o.max(f(x), f(y)).to_bits(),
        Instr::Lt(x, y) => o.lt(f(x), f(y)).into(),
        Instr::Le(x, y) => o.le(f(x), f(y)).into(),
        Instr::Eq(x, y) => o.eq(f(x), f(y)).into(),
        Instr::Ne(x, y) => o.ne(f(x), f(y)).into(),
        Instr::Select(c, x, y) | Instr::SelectI(c, x, y) => {
            if b(c) {
                raw(x)
            } else {
                raw(y)
            }
        }
        Instr::AndB(x, y) => o.and_b(b(x), b(y)).into(),
        Instr::OrB(x, y) => o.or_b(b(x), b(y)).into(),
        Instr::NotB(x) => o.not_b(b(x)).into(),
        Instr::Bits(x) | Instr::FromBits(x) => raw(x),
        Instr::IAdd(x, y) => o.iadd(i(x), i(y)).cast_unsigned(),
        Instr::ISub(x, y) => o.isub(i(x), i(y)).cast_unsigned(),
        Instr::IMul(x, y) => o.imul(i(x), i(y)).cast_unsigned(),
        Instr::IAnd(x, y) => raw(x) & raw(y),
        Instr::IOr(x, y) => raw(x) | raw(y),
        Instr::IXor(x, y) => raw(x) ^ raw(y),
        Instr::Shl(x, n) => o.shl(i(x), n.into()).cast_unsigned(),
        Instr::Shr(x, n) => o.shr(i(x), n.into()).cast_unsigned(),
        Instr::Sar(x, n) => o.sar(i(x), n.into()).cast_unsigned(),
        Instr::ILt(x, y) => o.ilt(i(x), i(y)).into(),
        Instr::IEq(x, y) => o.ieq(i(x), i(y)).into(),
        Instr::IUlt(x, y) => o.iult(i(x), i(y)).into(),
        Instr::ToInt(x) => o.to_int(f(x)).cast_unsigned(),
        Instr::ToFloat(x) => o.to_float(i(x)).to_bits(),
    }
}
