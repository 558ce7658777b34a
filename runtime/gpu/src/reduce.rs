//! Reductions: a workgroup folds a block of 4,096 elements with a thread for each of the contract's 64 lanes, then the
//! tree; block results are folded again.

use crate::builder::{Builder, Launch, THREADS, Words};
use crate::elementwise::axis_of;
use crate::kernel::{self, Names};
use crate::rungs::Fault;
use mmh_lower::kernel::{Element, Instr, Kernel, Load, Mode, Pattern, Reg, Store};
use mmh_lower::schedule::{Arg, Loop, ReduceStep};
use mmh_lower::view::BufferId;
use mmh_numerics::reduce::{BLOCK, LANES};

const _: () = assert!(THREADS == LANES);

/// Words that block results of a step take.
pub(crate) fn partial_words(step: &ReduceStep) -> usize {
    let (items, mut length) = sizes(step);
    let mut words = 0;
    while length > BLOCK {
        length = length.div_ceil(BLOCK);
        words += items * length * step.results.len();
    }
    words
}

fn sizes(step: &ReduceStep) -> (usize, usize) {
    let of = |reduced: bool| {
        step.loops
            .iter()
            .filter(|l| l.reduced == reduced)
            .map(|l| l.size)
            .product()
    };
    (of(false), of(true))
}

/// The dispatches of a reduction; `partial` is the first word for block results.
pub(crate) fn reduce(
    words: &Words,
    kernel: &Kernel,
    step: &ReduceStep,
    partial: usize,
    fault: Option<Fault>,
) -> Vec<Launch> {
    let (items, length) = sizes(step);
    let blocks = length.div_ceil(BLOCK).max(1);
    if blocks == 1 {
        return vec![level(words, kernel, step, None, fault)];
    }
    let mut launches = vec![level(words, kernel, step, Some(partial), fault)];
    // The results of blocks, folded as a reduction of their own for each result.
    let next = partial + items * blocks * step.results.len();
    let taken = |root: usize| next + root * rest_of(items, blocks);
    for (root, result) in step.results.iter().enumerate() {
        let (words, step) = second(words, step, result, partial + root * items * blocks, blocks);
        launches.extend(reduce(&words, &identity(), &step, taken(root), fault));
    }
    launches
}

/// Words that the levels above need for one result.
fn rest_of(items: usize, mut length: usize) -> usize {
    let mut words = 0;
    while length > BLOCK {
        length = length.div_ceil(BLOCK);
        words += items * length;
    }
    words
}

fn identity() -> Kernel {
    Kernel {
        loads: vec![Load {
            dtype: Element::F32,
            pattern: Pattern::Strided,
        }],
        body: vec![Instr::Load(0)],
        stores: vec![Store {
            value: Reg(0),
            dtype: Element::F32,
            pattern: Pattern::Strided,
            mode: Mode::Write,
        }],
    }
}

/// The reduction of block results that stand at word `from`, dense over kept loops and blocks.
fn second(
    words: &Words,
    step: &ReduceStep,
    result: &Arg,
    from: usize,
    blocks: usize,
) -> (Words, ReduceStep) {
    let kept: Vec<usize> = (0..step.loops.len())
        .filter(|&i| !step.loops[i].reduced)
        .collect();
    let mut strides = vec![1isize];
    let mut stride = blocks as isize;
    for &i in kept.iter().rev() {
        strides.insert(0, stride);
        stride *= step.loops[i].size as isize;
    }
    let mut loops: Vec<Loop> = kept.iter().map(|&i| step.loops[i]).collect();
    loops.push(Loop {
        size: blocks,
        reduced: true,
    });
    let mut of_result: Vec<isize> = kept.iter().map(|&i| result.strides[i]).collect();
    of_result.push(0);
    let arg = |buffer, strides| Arg {
        buffer: BufferId(buffer),
        offset: 0,
        strides,
    };
    let step = ReduceStep {
        kernel: step.kernel,
        fold: step.fold,
        loops,
        loads: vec![arg(0, strides)],
        results: vec![arg(1, of_result)],
    };
    (Words(vec![from, words.of(result)]), step)
}

/// One fold of all elements, block by block; results go to the step's places, or to `partial` where there are more blocks.
fn level(
    words: &Words,
    kernel: &Kernel,
    step: &ReduceStep,
    partial: Option<usize>,
    fault: Option<Fault>,
) -> Launch {
    let (kernel, constants) = kernel.lifted();
    let (items, length) = sizes(step);
    let blocks = length.div_ceil(BLOCK).max(1);
    let roots = step.results.len();
    let mut b = Builder::new();
    let (count, all) = (b.size(blocks), b.size(length));
    b.line(format!(
        "let item = flat / {count}; let block = flat % {count};\n\
         let first = block * {BLOCK}u; let end = min(first + {BLOCK}u, {all});"
    ));
    let pick = |reduced: bool| -> Vec<usize> {
        let at = (0..step.loops.len()).filter(|&i| step.loops[i].reduced == reduced);
        at.collect()
    };
    let (kept, reduced) = (pick(false), pick(true));
    let of_loops =
        |at: &[usize]| -> Vec<usize> { at.iter().map(|&i| step.loops[i].size).collect() };
    let kept_names = b.places("item", "p", &of_loops(&kept));
    for root in 0..roots {
        b.line(format!("var acc{root} = zero_();"));
    }
    b.line(format!(
        "for (var e = first + l; e < end; e = e + {LANES}u) {{"
    ));
    let reduced_names = b.places("e", "q", &of_loops(&reduced));
    let mut places = vec![String::new(); step.loops.len()];
    kept.iter()
        .zip(&kept_names)
        .chain(reduced.iter().zip(&reduced_names))
        .for_each(|(&at, name)| places[at] = name.clone());
    let addresses: Vec<String> = step
        .loads
        .iter()
        .map(|arg| b.address(words.of(arg), &places, &arg.strides))
        .collect();
    let constants: Vec<String> = constants.into_iter().map(|c| b.word(c)).collect();
    let names = Names {
        operand: &|n| format!("mem[{}]", addresses[n]),
        place: &|axis| axis_of(&places, axis),
        constant: &|n| constants[usize::from(n)].clone(),
    };
    b.line(kernel::body(&kernel, &names));
    for root in 0..roots {
        let value = kernel::name(kernel.stores[root].value);
        let folded = kernel::folded(fold_mode(step.fold), &format!("acc{root}"), &value);
        b.line(format!(
            "if (e == first + l) {{ acc{root} = {value}; }} else {{ acc{root} = {folded}; }}"
        ));
    }
    b.line("}\nlet present = min(end - first, 64u);");
    for root in 0..roots {
        b.line(format!("lanes{root}[l] = bits_of(acc{root});"));
    }
    tree(&mut b, roots, fold_mode(step.fold), fault);
    b.line("if (l == 0u) {");
    for (root, result) in step.results.iter().enumerate() {
        let to = match partial {
            Some(partial) => {
                let base = b.size(partial + root * items * blocks);
                format!("{base} + flat")
            }
            None => {
                let strides: Vec<isize> = kept.iter().map(|&i| result.strides[i]).collect();
                b.address(words.of(result), &kept_names, &strides)
            }
        };
        b.line(format!(
            "put_f({to}, {});",
            finished(step.fold, &format!("bitcast<f32>(lanes{root}[0])"))
        ));
    }
    b.line("}");
    shader(b, roots, items * blocks)
}

/// What a fold of nothing gives, and what is done to its result.
fn finished(fold: Mode, value: &str) -> String {
    let (empty, of_some) = match fold {
        Mode::Sum | Mode::Write => ("zero_()".to_string(), value.to_string()),
        Mode::Max => (
            "of_bits(0xff800000u)".to_string(),
            format!("add_({value}, zero_())"),
        ),
        Mode::Min => (
            "of_bits(0x7f800000u)".to_string(),
            format!("add_({value}, zero_())"),
        ),
    };
    format!("choose(present == 0u, {empty}, {of_some})")
}

fn fold_mode(fold: Mode) -> Mode {
    if fold == Mode::Write { Mode::Sum } else { fold }
}

fn tree(b: &mut Builder, roots: usize, fold: Mode, fault: Option<Fault>) {
    let mut halves = [32, 16, 8, 4, 2, 1];
    if fault == Some(Fault::ReorderedSum) {
        halves = [32, 16, 8, 1, 2, 4];
    }
    for half in halves {
        b.line("workgroupBarrier();");
        // The fault adds neighbours first: all eight lanes are in, in another order.
        let (low, high) = match (fault, half) {
            (Some(Fault::ReorderedSum), 1) => ("l * 2u", "l * 2u + 1u"),
            (Some(Fault::ReorderedSum), 2) => ("l * 4u", "l * 4u + 2u"),
            (Some(Fault::ReorderedSum), 4) => ("l", "l + 4u"),
            _ => ("l", "l + HALF"),
        };
        let high = high.replace("HALF", &format!("{half}u"));
        let active = match (fault, half) {
            (Some(Fault::ReorderedSum), 1) => 4,
            (Some(Fault::ReorderedSum), 2) => 2,
            (Some(Fault::ReorderedSum), 4) => 1,
            _ => half,
        };
        b.line(format!("if (l < {active}u && {high} < present) {{"));
        for root in 0..roots {
            let (a, c) = (
                format!("bitcast<f32>(lanes{root}[{low}])"),
                format!("bitcast<f32>(lanes{root}[{high}])"),
            );
            b.line(format!(
                "lanes{root}[{low}] = bits_of({});",
                kernel::folded(fold, &a, &c)
            ));
        }
        b.line("}");
    }
}

fn shader(b: Builder, roots: usize, groups: usize) -> Launch {
    let lanes: String = (0..roots)
        .map(|root| format!("var<workgroup> lanes{root}: array<u32, {LANES}>;\n"))
        .collect();
    let source = format!(
        "{lanes}@compute @workgroup_size({THREADS})\n\
         fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) l: u32) {{\n\
         start();\n\
         let flat = w.y * par[2] + w.x;\n\
         if (flat >= par[3]) {{ return; }}\n{}}}\n",
        b.text
    );
    Launch {
        source,
        params: b.params,
        count: groups,
        by_groups: true,
    }
}
