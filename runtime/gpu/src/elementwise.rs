//! Steps in which a thread makes an element: fused loops, look-ups, windows, samples, guards, scatters.

use crate::builder::{Builder, Launch, Words};
use crate::kernel::{self, Names};
use mmh_lower::kernel::{Kernel, Mode};
use mmh_lower::schedule::{ArgMaxStep, GatherStep, MapStep, SampleStep, ScatterStep, WindowStep};

fn product(sizes: &[usize]) -> usize {
    sizes.iter().product()
}

/// The names of a kernel's axes among those of all loops: rows, columns, then the outer loops.
pub(crate) fn axis_of(places: &[String], axis: u8) -> String {
    let depth = places.len();
    let at = match axis {
        0 => depth.checked_sub(2),
        1 => depth.checked_sub(1),
        axis => Some(usize::from(axis) - 2),
    };
    at.and_then(|at| places.get(at))
        .cloned()
        .unwrap_or_else(|| "0u".to_string())
}

pub(crate) fn map(words: &Words, kernel: &Kernel, step: &MapStep) -> Launch {
    let (kernel, constants) = kernel.lifted();
    let mut b = Builder::new();
    let places = b.places("flat", "p", &step.loops);
    let addresses: Vec<String> = step
        .args
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
    for (n, store) in kernel.stores.iter().enumerate() {
        let to = &addresses[kernel.loads.len() + n];
        let value = match store.mode {
            Mode::Write => kernel::stored(&kernel, store.value),
            mode => format!(
                "bits_of({})",
                kernel::folded(mode, &format!("load_f({to})"), &kernel::name(store.value))
            ),
        };
        b.line(format!("put({to}, {value});"));
    }
    b.by_threads(product(&step.loops))
}

pub(crate) fn arg_max(words: &Words, step: &ArgMaxStep) -> Launch {
    let mut b = Builder::new();
    let sizes = |reduced: bool| -> Vec<usize> {
        step.loops
            .iter()
            .filter(|l| l.reduced == reduced)
            .map(|l| l.size)
            .collect()
    };
    let (kept, reduced) = (sizes(false), sizes(true));
    let mut places = b.places("flat", "p", &kept);
    let length = b.size(product(&reduced));
    b.line("var best = 0u; var largest = 0.0;");
    b.line(format!("for (var e = 0u; e < {length}; e = e + 1u) {{"));
    places.extend(b.places("e", "q", &reduced));
    let from = b.address(words.of(&step.load), &places, &step.load.strides);
    b.line(format!("let value = load_f({from});"));
    b.line("if (e == 0u || lt_(largest, value)) { best = e; largest = value; }\n}");
    let to = b.address(
        words.of(&step.result),
        &places[..kept.len()],
        &step.result.strides[..kept.len()],
    );
    b.line(format!("put({to}, best);"));
    b.by_threads(product(&kept))
}

/// Words of memory that say which look-up failed: the step's number plus one, and the index.
pub(crate) const LOOKUP_FAILED: usize = 1;

pub(crate) fn gather(words: &Words, step: &GatherStep, number: usize) -> Launch {
    let mut b = Builder::new();
    let places = b.places("flat", "p", &step.loops);
    let index = b.address(words.of(&step.index), &places, &step.index.strides);
    let table = b.address(words.of(&step.table), &places, &step.table.strides);
    let out = b.address(words.of(&step.out), &places, &step.out.strides);
    let rows = b.size(step.axis.1);
    let stride = b.word((step.axis.0 as i32).cast_unsigned());
    let number = b.size(number + 1);
    b.line(format!("let at = mem[{index}];"));
    b.line(format!(
        "if (at >= {rows}) {{ mem[{LOOKUP_FAILED}u] = {number}; mem[{}u] = at; mem[0] = 1u; return; }}",
        LOOKUP_FAILED + 1
    ));
    b.line(format!("put({out}, mem[{table} + at * {stride}]);"));
    b.by_threads(product(&step.loops))
}

/// One chain a result element, over the positions that name its row; blocks count all positions.
pub(crate) fn scatter(words: &Words, step: &ScatterStep) -> Launch {
    let [positions, rows, width] = step.size;
    let mut b = Builder::new();
    let [index, g, out] = [step.index, step.g, step.out].map(|buffer| words.0[buffer.index()]);
    let (index, g, out) = (b.size(index), b.size(g), b.size(out));
    let (positions, across) = (b.size(positions), b.size(width));
    let group = mmh_numerics::contract::K_GROUP;
    let block = mmh_numerics::contract::K_BLOCK;
    b.line(format!(
        "let row = flat / {across}; let column = flat % {across};\n\
         var total = zero_(); var sum = zero_(); var acc = zero_();\n\
         for (var k = 0u; k < {positions}; k = k + 1u) {{\n\
         if (k > 0u && k % {block}u == 0u) {{\n\
         if (k % {group}u == {block}u) {{ sum = acc; }} else {{ sum = add_(sum, acc); }}\n\
         acc = zero_();\n\
         if (k % {group}u == 0u) {{ if (k == {group}u) {{ total = sum; }} else {{ total = add_(total, sum); }} sum = zero_(); }}\n\
         }}\n\
         if (mem[{index} + k] == row) {{ acc = add_(acc, load_f({g} + k * {across} + column)); }}\n\
         }}\n\
         let last = ({positions} - 1u) % {group}u;\n\
         if (last < {block}u) {{ sum = acc; }} else {{ sum = add_(sum, acc); }}\n\
         if ({positions} > {group}u) {{ sum = add_(total, sum); }}\n\
         put_f({out} + flat, add_(sum, zero_()));"
    ));
    b.by_threads(rows * width)
}

/// `bytes`: the size of an element outside, to which the fill is cut.
pub(crate) fn window(words: &Words, step: &WindowStep, bytes: usize) -> Launch {
    let mut b = Builder::new();
    let places = b.places("flat", "p", &step.loops);
    let source = b.address(words.of(&step.source), &places, &step.source.strides);
    let out = b.address(words.of(&step.out), &places, &step.out.strides);
    let s = step.spatial;
    let [stride, dilation, offset, divide] =
        [s.stride, s.dilation, s.offset, s.divide].map(|v| b.signed(v));
    let size = b.signed(s.source as i64);
    let step_of_source = b.word((step.stride as i32).cast_unsigned());
    let fill = b.word(if bytes == 1 {
        step.fill & 0xff
    } else {
        step.fill
    });
    let [place, tap] = step.window.map(|at| format!("bitcast<i32>(p{at})"));
    b.line(format!(
        "let at = {place} * {stride} + {tap} * {dilation} + {offset};\n\
         var value = {fill};\n\
         if (at >= 0 && at % {divide} == 0 && at / {divide} < {size}) {{\n\
         value = mem[{source} + bitcast<u32>(at / {divide}) * {step_of_source}];\n}}\n\
         put({out}, value);"
    ));
    b.by_threads(product(&step.loops))
}

pub(crate) fn sample(words: &Words, step: &SampleStep) -> Launch {
    let mut b = Builder::new();
    let places = b.places("flat", "p", &step.loops);
    let outer = places.len() - 2;
    let image = b.address(
        words.of(&step.image),
        &places[..outer],
        &step.image.strides[..outer],
    );
    let of = |b: &mut Builder, arg| b.address(words.of(arg), &places, &arg.strides);
    let (row, column, out) = (
        of(&mut b, &step.row),
        of(&mut b, &step.column),
        of(&mut b, &step.out),
    );
    let [height, width] = [outer, outer + 1].map(|at| b.signed(step.loops[at] as i64));
    let [down, across] =
        [outer, outer + 1].map(|at| b.word((step.image.strides[at] as i32).cast_unsigned()));
    b.line(format!("let image = {image};"));
    b.line(format!("let y = load_f({row}); let x = load_f({column});"));
    b.line(
        "let top = floor_(y); let left = floor_(x);\n\
         let t = sub_(y, top); let u = sub_(x, left);\n\
         let r0 = to_int(top); let c0 = to_int(left); let r1 = r0 + 1; let c1 = c0 + 1;",
    );
    for (r, c) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        b.line(format!(
            "var v{r}{c} = zero_();\n\
             if (r{r} >= 0 && r{r} < {height} && c{c} >= 0 && c{c} < {width}) {{\n\
             v{r}{c} = load_f(image + bitcast<u32>(r{r}) * {down} + bitcast<u32>(c{c}) * {across});\n}}"
        ));
    }
    b.line(format!(
        "let above = fma_(u, sub_(v01, v00), v00); let below = fma_(u, sub_(v11, v10), v10);\n\
         put_f({out}, fma_(t, sub_(below, above), above));"
    ));
    let mut launch = b.by_threads(product(&step.loops));
    launch.source.insert_str(0, FLOOR);
    launch
}

/// Keeps zeros, NaN and what is whole by its size.
const FLOOR: &str = "\
fn floor_(x: f32) -> f32 {
  let size = bits_of(x) & 0x7fffffffu;
  if (size == 0u || size >= 0x4b000000u) { return x; }
  let near = to_float(to_int(x));
  if (lt_(x, near)) { return sub_(near, 1.0); }
  return of_bits(bits_of(near) | (bits_of(x) & 0x80000000u));
}
";

/// Words of memory ahead of the guards' flags.
pub(crate) const GUARDS: usize = 16;

/// Raises the flag of guard `number` if an element is not finite.
pub(crate) fn guard(base: usize, sizes: &[usize], strides: &[isize], number: usize) -> Launch {
    let mut b = Builder::new();
    let sizes = if sizes.is_empty() { &[1][..] } else { sizes };
    let places = b.places("flat", "p", sizes);
    let from = b.address(base, &places, strides);
    let flag = b.size(GUARDS + number);
    b.line(format!(
        "if ((mem[{from}] & 0x7f800000u) == 0x7f800000u) {{ mem[{flag}] = 1u; mem[0] = 1u; }}"
    ));
    b.by_threads(product(sizes))
}
