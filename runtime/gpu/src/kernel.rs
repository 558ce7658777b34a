//! Kernel form as WGSL: each instruction a `let`, floats through the functions of [`crate::rungs`].

use mmh_ir::DType;
use mmh_lower::kernel::{Instr, Kernel, Kind, Mode, Reg};
use std::fmt::Write;

/// What a kernel's surroundings are called in the shader around it.
pub(crate) struct Names<'a> {
    /// The word of memory of operand n.
    pub(crate) operand: &'a dyn Fn(usize) -> String,
    /// The place (u32) along kernel axis n.
    pub(crate) place: &'a dyn Fn(u8) -> String,
    /// The word of the parameters that holds constant n.
    pub(crate) constant: &'a dyn Fn(u8) -> String,
}

/// The body of a kernel: `r0`, `r1`, … are its registers.
pub(crate) fn body(kernel: &Kernel, names: &Names<'_>) -> String {
    let mut out = String::new();
    for (n, instr) in kernel.body.iter().enumerate() {
        let _ = writeln!(out, "  let r{n} = {};", expression(kernel, *instr, names));
    }
    out
}

/// The bits of a register, as they are stored.
pub(crate) fn stored(kernel: &Kernel, reg: Reg) -> String {
    let r = name(reg);
    match kernel.kind(reg) {
        Kind::Float => format!("bits_of({r})"),
        Kind::Int => format!("bitcast<u32>({r})"),
        Kind::Mask => format!("select(0u, 1u, {r})"),
    }
}

/// `memory ∘ value` of a float store.
pub(crate) fn folded(mode: Mode, memory: &str, value: &str) -> String {
    match mode {
        Mode::Write => value.to_string(),
        Mode::Sum => format!("add_({memory}, {value})"),
        Mode::Max => format!("max_({memory}, {value})"),
        Mode::Min => format!("min_({memory}, {value})"),
    }
}

pub(crate) fn name(reg: Reg) -> String {
    format!("r{}", reg.0)
}

fn expression(kernel: &Kernel, instr: Instr, names: &Names<'_>) -> String {
    let two = |function: &str, a: Reg, b: Reg| format!("{function}({}, {})", name(a), name(b));
    let infix = |a: Reg, sign: &str, b: Reg| format!("{} {sign} {}", name(a), name(b));
    let shift = |a: Reg, sign: &str, by: u8| {
        format!(
            "bitcast<i32>(bitcast<u32>({}) {sign} {}u)",
            name(a),
            by & 31
        )
    };
    match instr {
        Instr::Load(n) => {
            let word = (names.operand)(usize::from(n));
            match kernel.loads[usize::from(n)].dtype.value() {
                DType::F32 => format!("bitcast<f32>({word})"),
                DType::I32 | DType::U8 => format!("bitcast<i32>({word})"),
                DType::Bool => format!("({word} != 0u)"),
            }
        }
        Instr::Index(axis) => format!("bitcast<i32>({})", (names.place)(axis)),
        Instr::F32(bits) => format!("of_bits({bits:#x}u)"),
        Instr::Param(n) => format!("bitcast<f32>({})", (names.constant)(n)),
        Instr::I32(i32::MIN) => "(-2147483647 - 1)".to_string(),
        Instr::I32(n) => format!("({n})"),
        Instr::Add(a, b) => two("add_", a, b),
        Instr::Sub(a, b) => two("sub_", a, b),
        Instr::Mul(a, b) => two("mul_", a, b),
        Instr::Div(a, b) => two("div_", a, b),
        Instr::Fma(a, b, c) => format!("fma_({}, {}, {})", name(a), name(b), name(c)),
        Instr::Neg(a) => format!("neg_({})", name(a)),
        Instr::Abs(a) => format!("abs_({})", name(a)),
        Instr::Sqrt(a) => format!("sqrt_({})", name(a)),
        Instr::Min(a, b) => two("min_", a, b),
        Instr::Max(a, b) => two("max_", a, b),
        Instr::Lt(a, b) => two("lt_", a, b),
        Instr::Le(a, b) => two("le_", a, b),
        Instr::Eq(a, b) => two("eq_", a, b),
        Instr::Ne(a, b) => format!("!{}", two("eq_", a, b)),
        Instr::Select(c, a, b) => format!("choose({}, {}, {})", name(c), name(a), name(b)),
        Instr::SelectI(c, a, b) => format!("select({}, {}, {})", name(b), name(a), name(c)),
        Instr::AndB(a, b) => infix(a, "&", b),
        Instr::OrB(a, b) => infix(a, "|", b),
        Instr::NotB(a) => format!("!{}", name(a)),
        Instr::Bits(a) => format!("bitcast<i32>({})", name(a)),
        Instr::FromBits(a) => format!("of_bits(bitcast<u32>({}))", name(a)),
        Instr::IAdd(a, b) => infix(a, "+", b),
        Instr::ISub(a, b) => infix(a, "-", b),
        Instr::IMul(a, b) => infix(a, "*", b),
        Instr::IAnd(a, b) => infix(a, "&", b),
        Instr::IOr(a, b) => infix(a, "|", b),
        Instr::IXor(a, b) => infix(a, "^", b),
        Instr::Shl(a, by) => shift(a, "<<", by),
        Instr::Shr(a, by) => shift(a, ">>", by),
        Instr::Sar(a, by) => format!("{} >> {}u", name(a), by & 31),
        Instr::ILt(a, b) => infix(a, "<", b),
        Instr::IEq(a, b) => infix(a, "==", b),
        Instr::IUlt(a, b) => format!("bitcast<u32>({}) < bitcast<u32>({})", name(a), name(b)),
        Instr::ToInt(a) => format!("to_int({})", name(a)),
        Instr::ToFloat(a) => format!("to_float({})", name(a)),
    }
}
