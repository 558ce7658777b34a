//! Every compiled shader is run once on a small adversarial tensor before its first real use, and must give the bits that
//! the processor gives.

use crate::builder::{Launch, Words};
use crate::check_others as others;
use crate::check_products::{Form, product};
use crate::contract;
use crate::core::{Core, Stretch};
use crate::elementwise;
use crate::evaluate::registers;
use crate::reduce;
use mmh_ir::DType;
use mmh_lower::kernel::{Kernel, Kind, Mode, Pattern};
use mmh_lower::schedule::{Arg, MapStep, ReduceStep, Schedule, Step};
use mmh_lower::view::BufferId;
use mmh_numerics::{NAN_BITS, Ops, Scalar, reduce as fold};
use mmh_vectors::Source;

/// Elements of a check; more than a workgroup, and no multiple of one.
const ELEMENTS: usize = 1_000;
/// Rows that a fold is checked on: two orders of a sum often give one result.
const ROUNDS: usize = 8;
/// Words ahead of what a check places in memory.
pub(crate) const HEAD: usize = 64;

/// Every bit pattern of a NaN is one.
pub(crate) fn canonical(word: u32, is_float: bool) -> u32 {
    if is_float && word & 0x7fff_ffff > 0x7f80_0000 {
        NAN_BITS
    } else {
        word
    }
}

/// What a device computed where the processor computes something else.
pub(crate) struct Mismatch {
    /// What was computed.
    pub(crate) what: String,
    /// Operands, by their bits.
    pub(crate) operands: Vec<u32>,
    /// Bits that came out.
    pub(crate) found: u32,
    /// Bits that are right.
    pub(crate) wanted: u32,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operands: Vec<String> = self.operands.iter().map(|w| format!("{w:#010x}")).collect();
        write!(
            f,
            "{}({}) gave {:#010x}, not {:#010x}",
            self.what,
            operands.join(", "),
            self.found,
            self.wanted
        )
    }
}

/// Why a check did not pass.
pub(crate) enum Failed {
    /// Other bits.
    Bits(Box<Mismatch>),
    /// The device could not do it at all.
    Device(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bits(mismatch) => mismatch.fmt(f),
            Self::Device(reason) => f.write_str(reason),
        }
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self::Device(reason)
    }
}

/// Runs dispatches over memory filled with `contents` at their places; gives the words of `read`.
pub(crate) fn run(
    core: &Core,
    launches: &[Launch],
    words: usize,
    contents: &[(usize, Vec<u32>)],
    read: Stretch,
) -> Result<Vec<u32>, String> {
    let tape = core.tape(launches, launches.len(), words, read.count)?;
    core.write(&tape, 0, &[0; 16]);
    for (at, words) in contents {
        core.write(&tape, *at, words);
    }
    core.run(&tape, &[read], &mut || ())
}

/// Checks all shaders of a schedule that were not compiled before.
pub(crate) fn all(core: &Core, schedule: &Schedule, words: &Words) -> Result<(), String> {
    let refused = |at: usize, failed: Failed| {
        let step = mmh_lower::step_text(&schedule.steps[at]);
        format!("the device computes other bits, and is not used: {failed} in the step {step}")
    };
    for (at, step) in schedule.steps.iter().enumerate() {
        let outcome = match step {
            Step::Map(s) => {
                let kernel = &schedule.kernels[s.kernel.0 as usize];
                map(core, kernel, s.loops.len(), "kernel")
            }
            Step::Reduce(s) => {
                let kernel = &schedule.kernels[s.kernel.0 as usize];
                self::reduce(core, kernel, s)
            }
            Step::Contract(s) => {
                let tiling = contract::of_contract(words, s);
                product(core, tiling, s.batch.len(), Form::Contract)
            }
            Step::Conv(s) => product(core, contract::of_conv(words, s), 0, Form::Conv),
            Step::ConvWeight(s) => {
                let tiling = contract::of_conv_weight(words, s);
                product(core, tiling, 0, Form::Weight)
            }
            Step::ArgMax(s) => others::arg_max(core, s),
            Step::Gather(s) => others::gather(core, s),
            Step::Scatter(s) => others::scatter(core, s),
            Step::Random(s) => others::draws(core, s),
            Step::Sample(s) => others::sample(core, s),
            Step::Window(s) => {
                let bytes = schedule.buffers[s.out.buffer.index()].dtype.bytes();
                others::window(core, s, bytes)
            }
        };
        outcome.map_err(|failed| refused(at, failed))?;
    }
    for guard in &schedule.guards {
        others::guard(core, guard.lanes.len()).map_err(|failed| {
            format!("the device sees other numbers as not finite, and is not used: {failed}")
        })?;
    }
    Ok(())
}

/// Runs `kernel` over [`ELEMENTS`] trap operands, as the last of `rank` loops.
pub(crate) fn map(core: &Core, kernel: &Kernel, rank: usize, what: &str) -> Result<(), Failed> {
    let source = Source::default();
    let operands: Vec<Vec<u32>> = kernel
        .loads
        .iter()
        .enumerate()
        .map(|(n, load)| source.operand(n, load.dtype.value(), ELEMENTS))
        .collect();
    map_over(core, kernel, rank, what, &operands)
}

/// [`map`] over given operands, all of one length.
pub(crate) fn map_over(
    core: &Core,
    kernel: &Kernel,
    rank: usize,
    what: &str,
    operands: &[Vec<u32>],
) -> Result<(), Failed> {
    let elements = operands.first().map_or(ELEMENTS, Vec::len);
    let mut loops = vec![1; rank.max(2)];
    *loops.last_mut().unwrap_or(&mut 1) = elements;
    let count = kernel.loads.len() + kernel.stores.len();
    let mut strides = vec![0isize; loops.len()];
    *strides.last_mut().unwrap_or(&mut 0) = 1;
    let arg = |n: usize| Arg {
        buffer: BufferId(n as u32),
        offset: 0,
        strides: strides.clone(),
    };
    let step = MapStep {
        kernel: mmh_lower::schedule::KernelId(0),
        loops,
        args: (0..count).map(arg).collect(),
    };
    let words = Words((0..count).map(|n| HEAD + n * elements).collect());
    let launch = elementwise::map(&words, kernel, &step);
    if core.knows(&launch.source) {
        return Ok(());
    }
    let shader = launch.source.clone();
    let contents: Vec<(usize, Vec<u32>)> = operands
        .iter()
        .enumerate()
        .map(|(n, words)| (HEAD + n * elements, words.clone()))
        .collect();
    let read = Stretch {
        from: HEAD + kernel.loads.len() * elements,
        count: kernel.stores.len() * elements,
    };
    let found = run(core, &[launch], HEAD + count * elements, &contents, read)?;
    for element in 0..elements {
        let loads: Vec<u32> = operands.iter().map(|o| o[element]).collect();
        let place = |axis: u8| if axis == 1 { element as u32 } else { 0 };
        let values = registers(kernel, &loads, &place);
        for (n, store) in kernel.stores.iter().enumerate() {
            let is_float = kernel.kind(store.value) == Kind::Float;
            let value = values[usize::from(store.value.0)];
            let wanted = canonical(onto_zero(store.mode, value), is_float);
            let found = canonical(found[n * elements + element], is_float);
            if found != wanted {
                core.forget(&shader);
                return Err(Failed::Bits(Box::new(Mismatch {
                    what: what.to_string(),
                    operands: loads,
                    found,
                    wanted,
                })));
            }
        }
    }
    Ok(())
}

/// What a store leaves where +0 was.
fn onto_zero(mode: Mode, value: u32) -> u32 {
    let new = f32::from_bits(value);
    let folded = match mode {
        Mode::Write => return value,
        Mode::Sum => 0.0 + new,
        Mode::Max => Scalar.max(0.0, new),
        Mode::Min => Scalar.min(0.0, new),
    };
    folded.to_bits()
}

/// Folds one long row, in the form of `step`: as many loops, as many results.
pub(crate) fn reduce(core: &Core, kernel: &Kernel, step: &ReduceStep) -> Result<(), Failed> {
    let all: usize = step
        .loops
        .iter()
        .filter(|l| l.reduced)
        .map(|l| l.size)
        .product();
    // Above a block, there are other shaders.
    let length = if all > fold::BLOCK { 5_000 } else { ELEMENTS };
    let mut small = step.clone();
    let last = small.loops.iter().rposition(|l| l.reduced).unwrap_or(0);
    for (at, l) in small.loops.iter_mut().enumerate() {
        l.size = if at == last { length } else { 1 };
    }
    let loads = kernel.loads.len();
    for (n, arg) in small.loads.iter_mut().enumerate() {
        *arg = along(n, last, small.loops.len());
    }
    for (n, arg) in small.results.iter_mut().enumerate() {
        *arg = along(loads + n, usize::MAX, small.loops.len());
    }
    let results = HEAD + loads * length;
    let roots = small.results.len();
    let words = Words(
        (0..loads)
            .map(|n| HEAD + n * length)
            .chain((0..roots).map(|n| results + n))
            .collect(),
    );
    let partial = results + roots;
    let launches = reduce::reduce(&words, kernel, &small, partial, core.fault);
    if launches.iter().all(|l| core.knows(&l.source)) {
        return Ok(());
    }
    let shaders: Vec<String> = launches.iter().map(|l| l.source.clone()).collect();
    let total = partial + reduce::partial_words(&small);
    let read = Stretch {
        from: results,
        count: roots,
    };
    let tape = core.tape(&launches, launches.len(), total, roots)?;
    for round in 0..ROUNDS {
        let source = Source::default();
        let operands: Vec<Vec<u32>> = kernel
            .loads
            .iter()
            .enumerate()
            .map(|(n, load)| match (round, load.dtype.value()) {
                // What is rewritten where `x + 0` is taken for `x`.
                (0, DType::F32) => vec![0x8000_0000; length],
                _ => source.spread(round * 64 + n, load.dtype.value(), length),
            })
            .collect();
        core.write(&tape, 0, &[0; 16]);
        for (n, words) in operands.iter().enumerate() {
            core.write(&tape, HEAD + n * length, words);
        }
        let found = core.run(&tape, &[read], &mut || ())?;
        if let Some(mismatch) = misfolded(kernel, &small, last, &operands, &found) {
            shaders.iter().for_each(|s| core.forget(s));
            return Err(Failed::Bits(Box::new(mismatch)));
        }
    }
    Ok(())
}

/// The first root that is not the contract's fold of one row of `operands` along loop `last`.
fn misfolded(
    kernel: &Kernel,
    step: &ReduceStep,
    last: usize,
    operands: &[Vec<u32>],
    found: &[u32],
) -> Option<Mismatch> {
    let (depth, length) = (step.loops.len(), step.loops.get(last)?.size);
    let wrong = |(root, found): (usize, &u32)| {
        let element = |e: usize| {
            let loads: Vec<u32> = operands.iter().map(|o| o[e]).collect();
            let place = |axis: u8| {
                let at = match axis {
                    0 => depth.wrapping_sub(2),
                    1 => depth - 1,
                    axis => usize::from(axis) - 2,
                };
                if at == last { e as u32 } else { 0 }
            };
            let values = registers(kernel, &loads, &place);
            f32::from_bits(values[usize::from(kernel.stores[root].value.0)])
        };
        let wanted = match step.fold {
            Mode::Sum | Mode::Write => fold::sum(length, element),
            Mode::Max => fold::max(length, element),
            Mode::Min => fold::min(length, element),
        };
        let (found, wanted) = (canonical(*found, true), canonical(wanted.to_bits(), true));
        (found != wanted).then(|| Mismatch {
            what: format!("{:?} of {length} elements", step.fold).to_lowercase(),
            operands: Vec::new(),
            found,
            wanted,
        })
    };
    found.iter().enumerate().find_map(wrong)
}

/// An operand that moves along one loop of `depth`.
fn along(buffer: usize, axis: usize, depth: usize) -> Arg {
    Arg {
        buffer: BufferId(buffer as u32),
        offset: 0,
        strides: (0..depth).map(|at| isize::from(at == axis)).collect(),
    }
}

/// A kernel of one instruction or function, over unit operands.
pub(crate) fn load(dtype: DType) -> mmh_lower::kernel::Load {
    mmh_lower::kernel::Load {
        dtype: dtype.into(),
        pattern: Pattern::Unit,
    }
}
