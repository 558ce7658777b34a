//! How fast a device is just now.

use crate::builder::{Launch, Words};
use crate::contract;
use crate::core::{Core, Stretch};
use crate::elementwise;
use mmh_lower::kernel::{Element, Instr, Kernel, Load, Mode, Pattern, Reg, Store};
use mmh_lower::schedule::{Absent, Arg, ContractStep, KernelId, MapStep, Step};
use mmh_lower::view::BufferId;
use std::time::Instant;

/// Rows, columns and depth of the product.
const SIDE: usize = 512;
/// Words copied.
const COPIED: usize = 4 << 20;
/// Words ahead.
const HEAD: usize = 64;

fn arg(buffer: u32, strides: Vec<isize>) -> Arg {
    Arg {
        buffer: BufferId(buffer),
        offset: 0,
        strides,
    }
}

/// GFLOP/s of a product of square matrices.
pub(crate) fn product(core: &Core, side: usize) -> Result<f64, String> {
    let stride = side as isize;
    let step = ContractStep {
        size: [side; 3],
        batch: Vec::new(),
        a: arg(0, vec![stride, 1]),
        b: arg(1, vec![stride, 1]),
        c: arg(2, vec![stride, 1]),
        absent: Absent::Nothing,
    };
    let matrix = side * side;
    let words = Words((0..3).map(|n| HEAD + n * matrix).collect());
    let partial = HEAD + 3 * matrix;
    let tiling = contract::of_contract(&words, &step);
    let launches = contract::contract(&words, &step, tiling, partial);
    let total = partial + contract::partial_words(&Step::Contract(step));
    let product = seconds(core, &launches, total)?;
    Ok(2.0 * (side * side * side) as f64 / product / 1e9)
}

/// GFLOP/s of a product and GB/s of a copy.
pub(crate) fn speed(core: &Core) -> Result<[f64; 2], String> {
    let product = product(core, SIDE)?;
    let kernel = Kernel {
        loads: vec![Load {
            dtype: Element::F32,
            pattern: Pattern::Unit,
        }],
        body: vec![Instr::Load(0)],
        stores: vec![Store {
            value: Reg(0),
            dtype: Element::F32,
            pattern: Pattern::Unit,
            mode: Mode::Write,
        }],
    };
    let step = MapStep {
        kernel: KernelId(0),
        loops: vec![1, COPIED],
        args: vec![arg(0, vec![0, 1]), arg(1, vec![0, 1])],
    };
    let words = Words(vec![HEAD, HEAD + COPIED]);
    let launch = elementwise::map(&words, &kernel, &step);
    let copy = seconds(core, &[launch], HEAD + 2 * COPIED)?;
    Ok([product, 8.0 * COPIED as f64 / copy / 1e9])
}

/// Seconds of dispatches, the best of several, its start not counted: two lengths of tape are compared.
fn seconds(core: &Core, once: &[Launch], words: usize) -> Result<f64, String> {
    let flag = [Stretch { from: 0, count: 1 }];
    let timed = |times: usize| -> Result<f64, String> {
        let launches: Vec<Launch> = (0..times).flat_map(|_| once.iter().cloned()).collect();
        let tape = core.tape(&launches, launches.len(), words, 1)?;
        core.run(&tape, &flag, &mut || ())?;
        let mut best = f64::INFINITY;
        for _ in 0..2 {
            let once = Instant::now();
            core.run(&tape, &flag, &mut || ())?;
            best = best.min(once.elapsed().as_secs_f64());
        }
        Ok(best)
    };
    let (one, three) = (timed(1)?, timed(3)?);
    // Where timing noise outweighs two dispatches, one with its start is the honest figure.
    Ok(if three > one {
        (three - one) / 2.0
    } else {
        one
    })
}
