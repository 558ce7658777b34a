//! Admission: what a device reports is no evidence. It works only after it has computed the right bits for every operation,
//! for expressions that compilers like to rewrite, for the contract's functions, for a fold and for products; an operation
//! that fails is tried one rung further down, and a device without a rung left is refused, with the vector it failed on.

use crate::check::{self, Failed, load};
use crate::check_products::{Form, long_product, product};
use crate::core::Core;
use crate::rungs::{Fault, Keep, Operation, Rungs, Way};
use crate::spirv;
use crate::tiles::{REACH, Reads, Tiling};
use mmh_ir::DType;
use mmh_lower::kernel::{Instr, Kernel, Kind, Mode, Pattern, Recorder, Reg, Store};
use mmh_lower::schedule::{Arg, KernelId, Loop, ReduceStep};
use mmh_lower::view::BufferId;
use mmh_numerics::{Ops, functions};
use mmh_vectors::{Source, traps};

/// Words of each operand in the tests of single operations.
const ELEMENTS: usize = 16_384;

/// A probe: a name, the operation it stands for, and the kernel.
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) operation: Option<Operation>,
    pub(crate) kernel: Kernel,
}

/// A kernel over f32 operands (i32 where said) with one result.
fn kernel(dtypes: &[DType], build: impl FnOnce(&mut Recorder, &[Reg]) -> Reg) -> Kernel {
    let mut o = Recorder::default();
    let operands: Vec<Reg> = (0..dtypes.len())
        .map(|n| o.emit(Instr::Load(n as u8)))
        .collect();
    let value = build(&mut o, &operands);
    let mut kernel = Kernel {
        loads: dtypes.iter().map(|dtype| load(*dtype)).collect(),
        body: o.body,
        stores: Vec::new(),
    };
    let dtype = match kernel.kind(value) {
        Kind::Float => DType::F32,
        Kind::Int => DType::I32,
        Kind::Mask => DType::Bool,
    };
    kernel.stores.push(Store {
        value,
        dtype: dtype.into(),
        pattern: Pattern::Unit,
        mode: Mode::Write,
    });
    kernel
}

const F: DType = DType::F32;

/// Single operations.
pub(crate) fn operations() -> Vec<Probe> {
    let probe = |name, operation, kernel| Probe {
        name,
        operation,
        kernel,
    };
    vec![
        probe(
            "add",
            Some(Operation::Add),
            kernel(&[F, F], |o, x| o.add(x[0], x[1])),
        ),
        probe(
            "subtract",
            Some(Operation::Add),
            kernel(&[F, F], |o, x| o.sub(x[0], x[1])),
        ),
        probe(
            "multiply",
            Some(Operation::Multiply),
            kernel(&[F, F], |o, x| o.mul(x[0], x[1])),
        ),
        probe(
            "fma",
            Some(Operation::Fma),
            kernel(&[F, F, F], |o, x| o.fma(x[0], x[1], x[2])),
        ),
        probe(
            "divide",
            Some(Operation::Divide),
            kernel(&[F, F], |o, x| o.div(x[0], x[1])),
        ),
        probe(
            "sqrt",
            Some(Operation::Sqrt),
            kernel(&[F], |o, x| o.sqrt(x[0])),
        ),
        probe(
            "less",
            Some(Operation::Compare),
            kernel(&[F, F], |o, x| o.lt(x[0], x[1])),
        ),
        probe(
            "less or equal",
            Some(Operation::Compare),
            kernel(&[F, F], |o, x| o.le(x[0], x[1])),
        ),
        probe(
            "equal",
            Some(Operation::Compare),
            kernel(&[F, F], |o, x| o.eq(x[0], x[1])),
        ),
        probe(
            "minimum",
            Some(Operation::Compare),
            kernel(&[F, F], |o, x| o.min(x[0], x[1])),
        ),
        probe(
            "maximum",
            Some(Operation::Compare),
            kernel(&[F, F], |o, x| o.max(x[0], x[1])),
        ),
        probe(
            "from integer",
            Some(Operation::Convert),
            kernel(&[DType::I32], |o, x| o.to_float(x[0])),
        ),
        probe("to integer", None, kernel(&[F], |o, x| o.to_int(x[0]))),
        probe(
            "integer arithmetic",
            None,
            kernel(&[DType::I32, DType::I32], |o, x| {
                let (product, sum) = (o.imul(x[0], x[1]), o.iadd(x[0], x[1]));
                let (left, right) = (o.shl(product, 7), o.shr(sum, 9));
                let down = o.sar(product, 5);
                let mixed = o.ixor(left, right);
                o.isub(mixed, down)
            }),
        ),
    ]
}

/// Expressions that are rewritten where a compiler takes floats for real numbers.
pub(crate) fn expressions() -> Vec<Probe> {
    let probe = |name, kernel| Probe {
        name,
        operation: None,
        kernel,
    };
    vec![
        probe(
            "(a + b) - a",
            kernel(&[F, F], |o, x| {
                let s = o.add(x[0], x[1]);
                o.sub(s, x[0])
            }),
        ),
        probe(
            "the error of a + b",
            kernel(&[F, F], |o, x| {
                let s = o.add(x[0], x[1]);
                let t = o.sub(s, x[0]);
                let u = o.sub(s, t);
                let (p, q) = (o.sub(x[0], u), o.sub(x[1], t));
                o.add(p, q)
            }),
        ),
        probe(
            "a * b + c",
            kernel(&[F, F, F], |o, x| {
                let p = o.mul(x[0], x[1]);
                o.add(p, x[2])
            }),
        ),
        probe(
            "a * b + a * c",
            kernel(&[F, F, F], |o, x| {
                let (p, q) = (o.mul(x[0], x[1]), o.mul(x[0], x[2]));
                o.add(p, q)
            }),
        ),
        probe(
            "(a + 1.5) + 2.5",
            kernel(&[F], |o, x| {
                let (p, q) = (o.f32(1.5), o.f32(2.5));
                let s = o.add(x[0], p);
                o.add(s, q)
            }),
        ),
        probe(
            "a * 3 - a * 2",
            kernel(&[F], |o, x| {
                let (p, q) = (o.f32(3.0), o.f32(2.0));
                let (s, t) = (o.mul(x[0], p), o.mul(x[0], q));
                o.sub(s, t)
            }),
        ),
        probe(
            "a / b / c",
            kernel(&[F, F, F], |o, x| {
                let q = o.div(x[0], x[1]);
                o.div(q, x[2])
            }),
        ),
        probe(
            "1 / sqrt(|a|)",
            kernel(&[F], |o, x| {
                let one = o.f32(1.0);
                let size = o.abs(x[0]);
                let root = o.sqrt(size);
                o.div(one, root)
            }),
        ),
        probe(
            "a + 0",
            kernel(&[F], |o, x| {
                let zero = o.f32(0.0);
                o.add(x[0], zero)
            }),
        ),
        probe(
            "a * 0",
            kernel(&[F], |o, x| {
                let zero = o.f32(0.0);
                o.mul(x[0], zero)
            }),
        ),
        probe(
            "-(a - b)",
            kernel(&[F, F], |o, x| {
                let d = o.sub(x[0], x[1]);
                o.neg(d)
            }),
        ),
        probe(
            "a * b, through its bits, + c",
            kernel(&[F, F, F], |o, x| {
                let p = o.mul(x[0], x[1]);
                let bits = o.bits(p);
                let p = o.from_bits(bits);
                o.add(p, x[2])
            }),
        ),
        probe("a - a", kernel(&[F], |o, x| o.sub(x[0], x[0]))),
        probe(
            "a is a number",
            kernel(&[F], |o, x| {
                let itself = o.ne(x[0], x[0]);
                o.not_b(itself)
            }),
        ),
    ]
}

/// The contract's functions.
pub(crate) fn of_contract() -> Vec<Probe> {
    type Function = fn(&mut Recorder, Reg) -> Reg;
    let of_one: [(&'static str, Function); 14] = [
        ("exp", functions::exp),
        ("exp2", functions::exp2),
        ("log", functions::log),
        ("log2", functions::log2),
        ("tanh", functions::tanh),
        ("sigmoid", functions::sigmoid),
        ("silu", functions::silu),
        ("softplus", functions::softplus),
        ("erf", functions::erf),
        ("erfc", functions::erfc),
        ("gelu", functions::gelu),
        ("sin", functions::sin),
        ("cos", functions::cos),
        ("rsqrt", functions::rsqrt),
    ];
    let mut probes: Vec<Probe> = of_one
        .into_iter()
        .map(|(name, function)| Probe {
            name,
            operation: None,
            kernel: kernel(&[F], |o, x| function(o, x[0])),
        })
        .collect();
    probes.push(Probe {
        name: "pow",
        operation: None,
        kernel: kernel(&[F, F], |o, x| functions::pow(o, x[0], x[1])),
    });
    probes
}

/// Operands of a probe: all pairs of traps, then whatever comes.
fn operands(kernel: &Kernel) -> Vec<Vec<u32>> {
    let (source, traps) = (Source::default(), traps());
    let pairs = traps.len() * traps.len();
    let of = |n: usize, dtype: DType| {
        let mut words = source.operand(n, dtype, ELEMENTS + pairs);
        if dtype == F && n < 2 {
            for (at, word) in words.iter_mut().take(pairs).enumerate() {
                let at = if n == 0 {
                    at / traps.len()
                } else {
                    at % traps.len()
                };
                *word = traps[at];
            }
        }
        words
    };
    kernel
        .loads
        .iter()
        .enumerate()
        .map(|(n, load)| of(n, load.dtype.value()))
        .collect()
}

fn probed(core: &Core, probe: &Probe) -> Result<(), Failed> {
    check::map_over(core, &probe.kernel, 2, probe.name, &operands(&probe.kernel))
}

/// The sum of a row, in blocks too.
fn folds(core: &Core) -> Result<(), Failed> {
    let identity = kernel(&[F], |_, x| x[0]);
    for size in [100, 5_000] {
        let arg = |buffer, strides| Arg {
            buffer: BufferId(buffer),
            offset: 0,
            strides,
        };
        let step = ReduceStep {
            kernel: KernelId(0),
            fold: Mode::Sum,
            loops: vec![
                Loop {
                    size: 1,
                    reduced: false,
                },
                Loop {
                    size,
                    reduced: true,
                },
            ],
            loads: vec![arg(0, vec![0, 1])],
            results: vec![arg(1, vec![0, 0])],
        };
        check::reduce(core, &identity, &step)?;
    }
    Ok(())
}

/// Every form of product, whole and split, in some shapes of tile: what else a recipe needs is looked at when it does.
fn products(core: &Core) -> Result<(), Failed> {
    long_product(core, 4)?;
    for (form, [side, each], split, beyond) in [
        (Form::Contract, [8, 1], false, false),
        (Form::Contract, [8, 2], false, true),
        (Form::Contract, [8, 4], true, false),
        (Form::Conv, [8, 2], false, false),
        (Form::Weight, [8, 2], true, true),
    ] {
        let tiling = Tiling {
            side,
            each,
            split,
            beyond,
            left: Reads::One,
            right: Reads::FourAcross,
            reach: REACH,
        };
        product(core, tiling.settled(), 0, form)?;
    }
    Ok(())
}

/// Finds the rungs on which a device gives the right bits, and opens it on them: with expressions marked where the driver takes
/// SPIR-V, else hidden.
///
/// # Errors
/// Why the device is refused: the operation, and the vector.
pub(crate) fn best(adapter: &wgpu::Adapter, fault: Option<Fault>) -> Result<Core, String> {
    let start = Rungs::all(Way::Native);
    match spirv::offered(adapter) {
        None => admit(adapter, fault, start, true),
        Some(_) => admit(adapter, fault, start.kept(Keep::Marked), true)
            .or_else(|_| admit(adapter, fault, start, true)),
    }
}

/// Finds the rungs on which a device gives the right bits, from `start` down, and opens it on them. `thorough`: functions
/// and products too.
///
/// # Errors
/// Why the device is refused: the operation, and the vector.
pub(crate) fn admit(
    adapter: &wgpu::Adapter,
    fault: Option<Fault>,
    start: Rungs,
    thorough: bool,
) -> Result<Core, String> {
    let doubles = adapter
        .features()
        .contains(wgpu::Features::SHADER_F64 | wgpu::Features::SHADER_INT64);
    let mut rungs = start;
    let mut core = Core::open(adapter, rungs, fault)?;
    // Each failure takes one operation one rung down; what others passed stands.
    for probe in operations() {
        while let Err(failed) = probed(&core, &probe) {
            let next = probe
                .operation
                .and_then(|operation| rungs.down(operation, doubles));
            match (next, failed) {
                (Some(next), Failed::Bits(_)) => rungs = next,
                (_, failed) => return Err(failed.to_string()),
            }
            core = Core::open(adapter, rungs, fault)?;
        }
    }
    confirmed(core, thorough)
}

/// The tests beyond single operations: the order of sums first, then what compilers rewrite, then functions and products.
fn confirmed(core: Core, thorough: bool) -> Result<Core, String> {
    folds(&core).map_err(|failed| failed.to_string())?;
    let mut probes = expressions();
    if thorough {
        probes.extend(of_contract());
    }
    for probe in &probes {
        probed(&core, probe).map_err(|failed| failed.to_string())?;
    }
    if thorough {
        products(&core).map_err(|failed| failed.to_string())?;
    }
    Ok(core)
}
