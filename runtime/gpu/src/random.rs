//! Addressed draws: a thread makes one ChaCha8 block in integers, and the elements that its 16 words give.

use crate::builder::{Builder, Launch, Words};
use crate::kernel::{self, Names};
use mmh_ir::RandomKind;
use mmh_lower::kernel::{Element, Instr, Kernel, Load, Mode, Pattern, Recorder, Reg, Store};
use mmh_lower::schedule::RandomStep;
use mmh_numerics::random::{normal_pair, uniform};
use std::fmt::Write;

/// The sixteen words of block `counter` of the stream of (`key` at a word of memory, `nonce`), into `block`.
fn chacha() -> String {
    let mut out = String::from(
        "var<private> block: array<u32, 16>;\n\
         fn turn(x: u32, by: u32) -> u32 { return (x << by) | (x >> (32u - by)); }\n\
         fn chacha(key: u32, counter: u32, nonce: u32) {\n",
    );
    let constants = ["0x61707865u", "0x3320646eu", "0x79622d32u", "0x6b206574u"];
    let start: Vec<String> = (0..16)
        .map(|i| match i {
            0..4 => constants[i].to_string(),
            4..12 => format!("mem[key + {}u]", i - 4),
            12 => "counter".to_string(),
            14 => "nonce".to_string(),
            _ => "0u".to_string(),
        })
        .collect();
    for (i, word) in start.iter().enumerate() {
        let _ = writeln!(out, "let s{i} = {word}; var x{i} = s{i};");
    }
    out += "for (var round = 0u; round < 4u; round = round + 1u) {\n";
    let quarter = |out: &mut String, a: usize, b: usize, c: usize, d: usize| {
        let _ = writeln!(
            out,
            "x{a} = x{a} + x{b}; x{d} = turn(x{d} ^ x{a}, 16u); x{c} = x{c} + x{d}; x{b} = turn(x{b} ^ x{c}, 12u);\n\
             x{a} = x{a} + x{b}; x{d} = turn(x{d} ^ x{a}, 8u); x{c} = x{c} + x{d}; x{b} = turn(x{b} ^ x{c}, 7u);"
        );
    };
    for i in 0..4 {
        quarter(&mut out, i, 4 + i, 8 + i, 12 + i);
    }
    for i in 0..4 {
        quarter(
            &mut out,
            i,
            4 + (i + 1) % 4,
            8 + (i + 2) % 4,
            12 + (i + 3) % 4,
        );
    }
    out += "}\n";
    for i in 0..16 {
        let _ = writeln!(out, "block[{i}] = x{i} + s{i};");
    }
    out += "}\n";
    out
}

/// A kernel of two integer operands, `block[at]` and `block[at + 1]`.
fn drawn(kind: RandomKind) -> Kernel {
    let mut o = Recorder::default();
    let (w0, w1) = (o.emit(Instr::Load(0)), o.emit(Instr::Load(1)));
    let values: Vec<Reg> = if kind == RandomKind::Normal {
        let (even, odd) = normal_pair(&mut o, w0, w1);
        vec![even, odd]
    } else {
        vec![uniform(&mut o, w0), uniform(&mut o, w1)]
    };
    let load = Load {
        dtype: Element::I32,
        pattern: Pattern::Unit,
    };
    let store = |value| Store {
        value,
        dtype: Element::F32,
        pattern: Pattern::Unit,
        mode: Mode::Write,
    };
    Kernel {
        loads: vec![load, load],
        body: o.body,
        stores: values.into_iter().map(store).collect(),
    }
}

/// The high word of the 96-bit product of a u64 draw (two words of the block) and n, shifted down by 64.
const BELOW: &str = "\
fn wide(a: u32, b: u32) -> vec2<u32> {
  let a1 = a >> 16u; let a0 = a & 0xffffu; let b1 = b >> 16u; let b0 = b & 0xffffu;
  let low = a0 * b0; let middle = a1 * b0 + (low >> 16u); let other = a0 * b1 + (middle & 0xffffu);
  return vec2<u32>(a1 * b1 + (middle >> 16u) + (other >> 16u), (other << 16u) | (low & 0xffffu));
}
fn below(low: u32, high: u32, n: u32) -> u32 {
  let carried = wide(low, n).x; let product = wide(high, n);
  return product.x + select(0u, 1u, product.y + carried < carried);
}
";

pub(crate) fn random(words: &Words, step: &RandomStep) -> Launch {
    let [rows, width] = step.size;
    let per_block = if matches!(step.kind, RandomKind::Below(_)) {
        8
    } else {
        16
    };
    let blocks = width.div_ceil(per_block);
    let mut b = Builder::new();
    let [key, nonce, out] = [step.key, step.nonce, step.out].map(|buffer| words.0[buffer.index()]);
    let (key, nonce, out) = (b.size(key), b.size(nonce), b.size(out));
    let (count, across) = (b.size(blocks), b.size(width));
    b.line(format!(
        "let row = flat / {count}; let counter = flat % {count};\n\
         chacha({key}, counter, mem[{nonce} + row]);\n\
         let start_at = {out} + row * {across}; let first = counter * {per_block}u;"
    ));
    b.line("for (var at = 0u; at < 16u; at = at + 2u) {");
    if let RandomKind::Below(n) = step.kind {
        let n = b.word(n);
        b.line(format!(
            "let e = first + at / 2u;\n\
             if (e < {across}) {{ put(start_at + e, below(block[at], block[at + 1u], {n})); }}"
        ));
    } else {
        let kernel = drawn(step.kind);
        let names = Names {
            operand: &|n| format!("block[at + {n}u]"),
            place: &|_| "0u".to_string(),
            constant: &|_| "0u".to_string(),
        };
        b.line(kernel::body(&kernel, &names));
        for (n, store) in kernel.stores.iter().enumerate() {
            b.line(format!(
                "if (first + at + {n}u < {across}) {{ put_f(start_at + first + at + {n}u, {}); }}",
                kernel::name(store.value)
            ));
        }
    }
    b.line("}");
    let mut launch = b.by_threads(rows * blocks);
    launch.source.insert_str(0, BELOW);
    launch.source.insert_str(0, &chacha());
    launch
}
