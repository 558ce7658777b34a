//! Kernel form: what one fused loop computes for each element, as straight-line code over scalars.
//!
//! A kernel is the one source for every backend: Rust SIMD at build time, Cranelift at run time, the scalar evaluator,
//! later shaders. It knows no sizes and no strides, only how each operand moves along the inner loop, so that one
//! compiled kernel serves every layer of the same form. The functions of the contract (`exp` …) are expanded into it from
//! their one definition in `mmh-numerics`.

use mmh_ir::DType;
use mmh_numerics::{Ops, functions};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

/// Loops at most: places that [`Instr::Index`] may ask for.
pub const PLACES: usize = 32;
/// Constants at most that a kernel may be handed at run time.
pub const PARAMETERS: usize = 16;

/// The number of an instruction, and of the value it computes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(pub u16);

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// How an operand moves along the inner loop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pattern {
    /// Element after element.
    Unit,
    /// The same element for the whole inner loop.
    Splat,
    /// By a stride known at run time.
    Strided,
}

/// The type of elements in memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Element {
    /// f32.
    F32,
    /// i32.
    I32,
    /// A byte.
    U8,
    /// A truth value, in a byte.
    Bool,
    /// The upper half of an f32 whose lower half is zero. What is stored so is rounded before: whether it is cannot be seen.
    Bf16,
}

impl Element {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bf16 => 2,
            other => other.value().bytes(),
        }
    }

    /// The name in text forms.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            other => other.value().name(),
        }
    }

    /// The type of the values, once they are read.
    pub fn value(self) -> DType {
        match self {
            Self::F32 | Self::Bf16 => DType::F32,
            Self::I32 => DType::I32,
            Self::U8 => DType::U8,
            Self::Bool => DType::Bool,
        }
    }
}

impl From<DType> for Element {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::F32,
            DType::I32 => Self::I32,
            DType::U8 => Self::U8,
            DType::Bool => Self::Bool,
        }
    }
}

/// An operand that is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Load {
    /// Element type in memory. U8 and Bool arrive as integers 0–255 and truth values.
    pub dtype: Element,
    /// Movement along the inner loop.
    pub pattern: Pattern,
}

/// What a store does with the value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// Overwrites.
    Write,
    /// `memory = memory + value`
    Sum,
    /// `memory = memory > value ? memory : value`
    Max,
    /// `memory = memory < value ? memory : value`
    Min,
}

/// A value that is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Store {
    /// The value.
    pub value: Reg,
    /// Element type in memory: F32, I32, Bool, or Bf16 for what is rounded.
    pub dtype: Element,
    /// Movement along the inner loop: Unit or Strided.
    pub pattern: Pattern,
    /// What happens to memory.
    pub mode: Mode,
}

/// Which kind of scalar a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// f32.
    Float,
    /// i32.
    Int,
    /// Truth value.
    Mask,
}

/// One scalar operation. Meanings are those of [`mmh_numerics::Ops`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    missing_docs,
    reason = "named after the methods of mmh_numerics::Ops, which say what they mean"
)]
pub enum Instr {
    /// Operand n as f32 (F32), i32 (I32, U8) or mask (Bool).
    Load(u8),
    /// Place along loop axis n: 0 rows, 1 columns, from 2 on the outer axes.
    Index(u8),
    /// f32 by its bits.
    F32(u32),
    /// f32 handed over at run time: the constant that [`Kernel::lifted`] took out as number n.
    Param(u8),
    I32(i32),
    Add(Reg, Reg),
    Sub(Reg, Reg),
    Mul(Reg, Reg),
    Div(Reg, Reg),
    Fma(Reg, Reg, Reg),
    Neg(Reg),
    Abs(Reg),
    Sqrt(Reg),
    Min(Reg, Reg),
    Max(Reg, Reg),
    Lt(Reg, Reg),
    Le(Reg, Reg),
    Eq(Reg, Reg),
    Ne(Reg, Reg),
    Select(Reg, Reg, Reg),
    SelectI(Reg, Reg, Reg),
    AndB(Reg, Reg),
    OrB(Reg, Reg),
    NotB(Reg),
    Bits(Reg),
    FromBits(Reg),
    IAdd(Reg, Reg),
    ISub(Reg, Reg),
    IMul(Reg, Reg),
    IAnd(Reg, Reg),
    IOr(Reg, Reg),
    IXor(Reg, Reg),
    Shl(Reg, u8),
    Shr(Reg, u8),
    Sar(Reg, u8),
    ILt(Reg, Reg),
    IEq(Reg, Reg),
    IUlt(Reg, Reg),
    ToInt(Reg),
    ToFloat(Reg),
}

/// One fused loop body.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Kernel {
    /// Operands that are read, by number.
    pub loads: Vec<Load>,
    /// Instructions in order; each defines the register of its place.
    pub body: Vec<Instr>,
    /// What is written, in order; operand numbers go on behind the loads.
    pub stores: Vec<Store>,
}

impl Kernel {
    /// The kind of scalar an instruction computes.
    pub fn kind(&self, reg: Reg) -> Kind {
        match self.body[reg.0 as usize] {
            Instr::Load(n) => match self.loads[n as usize].dtype {
                Element::F32 | Element::Bf16 => Kind::Float,
                Element::I32 | Element::U8 => Kind::Int,
                Element::Bool => Kind::Mask,
            },
            Instr::F32(_)
            | Instr::Param(_)
            | Instr::Add(..)
            | Instr::Sub(..)
            | Instr::Mul(..)
            | Instr::Div(..)
            | Instr::Fma(..)
            | Instr::Neg(_)
            | Instr::Abs(_)
            | Instr::Sqrt(_)
            | Instr::Min(..)
            | Instr::Max(..)
            | Instr::Select(..)
            | Instr::FromBits(_)
            | Instr::ToFloat(_) => Kind::Float,
            Instr::Lt(..)
            | Instr::Le(..)
            | Instr::Eq(..)
            | Instr::Ne(..)
            | Instr::AndB(..)
            | Instr::OrB(..)
            | Instr::NotB(_)
            | Instr::ILt(..)
            | Instr::IEq(..)
            | Instr::IUlt(..) => Kind::Mask,
            Instr::Index(_)
            | Instr::I32(_)
            | Instr::SelectI(..)
            | Instr::Bits(_)
            | Instr::IAdd(..)
            | Instr::ISub(..)
            | Instr::IMul(..)
            | Instr::IAnd(..)
            | Instr::IOr(..)
            | Instr::IXor(..)
            | Instr::Shl(..)
            | Instr::Shr(..)
            | Instr::Sar(..)
            | Instr::ToInt(_) => Kind::Int,
        }
    }

    /// The kernel with constants of its own turned into parameters, and their bits by number: kernels that differ in a
    /// rate, a count or an epsilon become one. Constants of the contract's functions and the plainest numbers stay.
    pub fn lifted(&self) -> (Self, Vec<u32>) {
        let mut kernel = self.clone();
        let mut constants = Vec::new();
        for instr in &mut kernel.body {
            let Instr::F32(bits) = *instr else { continue };
            if constants.len() < PARAMETERS && !fixed_constants().contains(&bits) {
                *instr = Instr::Param(constants.len() as u8);
                constants.push(bits);
            }
        }
        (kernel, constants)
    }

    /// The kernel with its parameters replaced by constants: the reverse of [`Kernel::lifted`].
    pub fn with_constants(&self, constants: &[u32]) -> Self {
        let mut kernel = self.clone();
        for instr in &mut kernel.body {
            if let Instr::Param(n) = *instr {
                *instr = Instr::F32(constants.get(usize::from(n)).copied().unwrap_or_default());
            }
        }
        kernel
    }

    /// The same kernel with every store in the given mode.
    pub fn with_mode(&self, mode: Mode) -> Self {
        let mut kernel = self.clone();
        for store in &mut kernel.stores {
            store.mode = mode;
        }
        kernel
    }
}

/// Bits of the constants that no kernel hands over: they belong to the contract's functions, or stand for nothing else.
fn fixed_constants() -> &'static BTreeSet<u32> {
    static CONSTANTS: OnceLock<BTreeSet<u32>> = OnceLock::new();
    CONSTANTS.get_or_init(|| {
        let mut o = Recorder::default();
        let (x, y, i) = (
            o.emit(Instr::Load(0)),
            o.emit(Instr::Load(1)),
            o.emit(Instr::Load(2)),
        );
        let of_one = [
            functions::exp,
            functions::exp2,
            functions::log,
            functions::log2,
            functions::tanh,
            functions::sigmoid,
            functions::silu,
            functions::softplus,
            functions::erf,
            functions::erfc,
            functions::gelu,
            functions::sin,
            functions::cos,
            functions::rsqrt,
        ];
        for function in of_one {
            function(&mut o, x);
        }
        functions::pow(&mut o, x, y);
        functions::sin_cos_turn(&mut o, i);
        let plain = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -0.5,
            2.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ];
        // Where floor changes its mind.
        let plain = plain.into_iter().chain([8_388_608.0]).map(f32::to_bits);
        let recorded = o.body.iter().filter_map(|instr| {
            if let Instr::F32(bits) = instr {
                Some(*bits)
            } else {
                None
            }
        });
        // Of these, people write numbers of few digits themselves: rates, counts.
        let unlikely = |bits: &u32| f32::from_bits(*bits).to_string().len() > 4;
        recorded.filter(unlikely).chain(plain).collect()
    })
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel {{")?;
        for (n, load) in self.loads.iter().enumerate() {
            writeln!(f, "  in {n}: {} {:?}", load.dtype.name(), load.pattern)?;
        }
        for (n, instr) in self.body.iter().enumerate() {
            match instr {
                Instr::F32(bits) if f32::from_bits(*bits).is_nan() => {
                    writeln!(f, "  r{n} = F32(bits:{bits:#010x})")?
                }
                Instr::F32(bits) => writeln!(f, "  r{n} = F32({:?})", f32::from_bits(*bits))?,
                other => writeln!(f, "  r{n} = {other:?}")?,
            }
        }
        for store in &self.stores {
            writeln!(
                f,
                "  out {} {:?} {:?} {:?}",
                store.dtype.name(),
                store.pattern,
                store.mode,
                store.value
            )?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Records what a function definition asks for, sharing equal instructions.
#[derive(Default)]
pub struct Recorder {
    /// The instructions so far.
    pub body: Vec<Instr>,
    known: BTreeMap<Instr, Reg>,
}

impl Recorder {
    /// Appends `instr`, or finds it.
    pub fn emit(&mut self, instr: Instr) -> Reg {
        if let Some(reg) = self.known.get(&instr) {
            return *reg;
        }
        let reg = Reg(u16::try_from(self.body.len()).unwrap_or(u16::MAX));
        self.body.push(instr);
        self.known.insert(instr, reg);
        reg
    }
}

macro_rules! record {
    ($($name:ident($($arg:ident),*) -> $out:ident = $instr:ident;)*) => {
        $(fn $name(&mut self, $($arg: Reg),*) -> Self::$out { self.emit(Instr::$instr($($arg),*)) })*
    };
}

impl Ops for Recorder {
    type F = Reg;
    type I = Reg;
    type B = Reg;

    fn f32(&mut self, value: f32) -> Reg {
        self.emit(Instr::F32(value.to_bits()))
    }
    fn i32(&mut self, value: i32) -> Reg {
        self.emit(Instr::I32(value))
    }
    fn shl(&mut self, a: Reg, count: u32) -> Reg {
        self.emit(Instr::Shl(a, count as u8))
    }
    fn shr(&mut self, a: Reg, count: u32) -> Reg {
        self.emit(Instr::Shr(a, count as u8))
    }
    fn sar(&mut self, a: Reg, count: u32) -> Reg {
        self.emit(Instr::Sar(a, count as u8))
    }
    record! {
        add(a, b) -> F = Add; sub(a, b) -> F = Sub; mul(a, b) -> F = Mul; div(a, b) -> F = Div;
        fma(a, b, c) -> F = Fma; neg(a) -> F = Neg; abs(a) -> F = Abs; sqrt(a) -> F = Sqrt;
        min(a, b) -> F = Min; max(a, b) -> F = Max;
        lt(a, b) -> B = Lt; le(a, b) -> B = Le; eq(a, b) -> B = Eq; ne(a, b) -> B = Ne;
        select(c, a, b) -> F = Select; select_i(c, a, b) -> I = SelectI;
        and_b(a, b) -> B = AndB; or_b(a, b) -> B = OrB; not_b(a) -> B = NotB;
        bits(a) -> I = Bits; from_bits(a) -> F = FromBits;
        iadd(a, b) -> I = IAdd; isub(a, b) -> I = ISub; imul(a, b) -> I = IMul;
        iand(a, b) -> I = IAnd; ior(a, b) -> I = IOr; ixor(a, b) -> I = IXor;
        ilt(a, b) -> B = ILt; ieq(a, b) -> B = IEq; iult(a, b) -> B = IUlt;
        to_int(a) -> I = ToInt; to_float(a) -> F = ToFloat;
    }
}
