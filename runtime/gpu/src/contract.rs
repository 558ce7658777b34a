//! Contractions: tiles of both operands pass through workgroup memory; every result element stays one chain in ascending
//! order of k, in blocks of 256 and groups of 65,536.
//!
//! A convolution and its weight gradient are the same product, with operands read through the window: what lies outside the
//! picture reads as +0, which on finite operands gives the bits of leaving it out.

use crate::builder::{Builder, Launch, Words};
use mmh_lower::schedule::{ContractStep, ConvStep, ConvWeightStep, Spatial, Step};
use mmh_numerics::contract::{K_BLOCK, K_GROUP};
use std::fmt::Write;

/// Threads along a side of a workgroup; k of a tile.
const SIDE: usize = 8;
/// k of a tile.
const DEEP: usize = 16;
const _: () = assert!(K_BLOCK.is_multiple_of(DEEP) && K_GROUP.is_multiple_of(K_BLOCK));

/// k that one dispatch goes through; longer chains are taken up again by the next. Mesa's lavapipe ends every loop of a thread without
/// a word once they have turned 65,535 times together, and a tile of 16 turns at most 33 times.
pub(crate) const REACH: usize = 16_384;
const _: () = assert!(REACH.is_multiple_of(K_BLOCK) && K_GROUP.is_multiple_of(REACH));

/// Whether the chains of a step go beyond a group.
pub(crate) fn is_beyond(step: &Step) -> bool {
    partial_words(step) > 0
}

/// Words that the dispatches of a product leave to each other, beside its result.
pub(crate) fn partial_words(step: &Step) -> usize {
    let of = |size: [usize; 3], batch: usize| match size[2] > K_GROUP {
        true => batch * size[0] * size[1],
        false => 0,
    };
    match step {
        Step::Contract(s) => of(s.size, s.batch.iter().product()),
        Step::Conv(s) => of(conv_size(s), 1),
        Step::ConvWeight(s) => of(conv_weight_size(s), 1),
        _ => 0,
    }
}

/// A product as the tiles see it.
#[derive(Clone)]
struct Product {
    builder: Builder,
    size: [usize; 3],
    batch: usize,
    /// Expressions over `i`, `k`: the bits of the left operand. Bounds are checked around them.
    left: String,
    /// Expressions over `k`, `j`.
    right: String,
    /// Expression over `i`, `j`: a word of memory.
    out: String,
    /// Places of a batch, taken from `batch`.
    ahead: String,
}

/// `each`: result elements of a thread along a side, where it is not to be chosen by size.
pub(crate) fn contract(
    words: &Words,
    step: &ContractStep,
    each: Option<usize>,
    partial: Option<usize>,
) -> Vec<Launch> {
    let mut b = Builder::new();
    let depth = step.batch.len();
    let places = if depth == 0 {
        Vec::new()
    } else {
        b.places("batch", "p", &step.batch)
    };
    let mut base = |name: &str, arg: &mmh_lower::schedule::Arg| {
        let at = b.address(words.of(arg), &places, &arg.strides[..depth]);
        b.line(format!("let {name} = {at};"));
        [depth, depth + 1].map(|i| b.word((arg.strides[i] as i32).cast_unsigned()))
    };
    let [am, ak] = base("at_a", &step.a);
    let [bk, bn] = base("at_b", &step.b);
    let [cm, cn] = base("at_c", &step.c);
    let ahead = std::mem::take(&mut b.text);
    in_reach(
        each,
        partial,
        Product {
            builder: b,
            size: step.size,
            batch: step.batch.iter().product(),
            left: format!("value = mem[at_a + i * {am} + k * {ak}];"),
            right: format!("value = mem[at_b + k * {bk} + j * {bn}];"),
            out: format!("at_c + i * {cm} + j * {cn}"),
            ahead,
        },
    )
}

/// Text that reads `x[row, window(down, tap_down), window(across, tap_across), channel]` into `value`, 0 outside.
fn through_window(b: &mut Builder, x: usize, channels: usize, spatial: &[Spatial; 2]) -> String {
    let mut out = String::new();
    let mut inside = Vec::new();
    for (name, s) in ["down", "across"].into_iter().zip(spatial) {
        let [stride, dilation, offset, divide, source] =
            [s.stride, s.dilation, s.offset, s.divide, s.source as i64].map(|v| b.signed(v));
        let _ = writeln!(
            out,
            "let {name}_at = bitcast<i32>({name}) * {stride} + bitcast<i32>(tap_{name}) * {dilation} + {offset};"
        );
        inside.push(format!(
            "{name}_at >= 0 && {name}_at % {divide} == 0 && {name}_at / {divide} < {source}"
        ));
        let _ = writeln!(out, "let {name}_from = bitcast<u32>({name}_at / {divide});");
    }
    let (height, width) = (b.size(spatial[0].source), b.size(spatial[1].source));
    let (x, channels) = (b.size(x), b.size(channels));
    let _ = writeln!(
        out,
        "if ({}) {{ value = mem[{x} + ((row * {height} + down_from) * {width} + across_from) * {channels} + channel]; }}",
        inside.join(" && ")
    );
    out
}

/// Takes `from` apart into row, down, across (places of the output).
fn output_place(b: &mut Builder, from: &str, spatial: &[Spatial; 2]) -> String {
    let (height, width) = (b.size(spatial[0].out), b.size(spatial[1].out));
    format!(
        "let across = {from} % {width}; let down = ({from} / {width}) % {height}; let row = {from} / {width} / {height};\n"
    )
}

/// Takes `from` apart into taps and channel.
fn tap_place(b: &mut Builder, from: &str, channels: usize, spatial: &[Spatial; 2]) -> String {
    let (channels, taps) = (b.size(channels), b.size(spatial[1].taps));
    format!(
        "let channel = {from} % {channels}; let tap = {from} / {channels};\n\
         let tap_across = tap % {taps}; let tap_down = tap / {taps};\n"
    )
}

fn taps(spatial: &[Spatial; 2]) -> usize {
    spatial[0].taps * spatial[1].taps
}

fn pixels(spatial: &[Spatial; 2]) -> usize {
    spatial[0].out * spatial[1].out
}

fn conv_size(step: &ConvStep) -> [usize; 3] {
    let [c, n] = step.channels;
    [
        step.batch * pixels(&step.spatial),
        n,
        taps(&step.spatial) * c,
    ]
}

fn conv_weight_size(step: &ConvWeightStep) -> [usize; 3] {
    let [c, n] = step.channels;
    [
        taps(&step.spatial) * c,
        n,
        step.batch * pixels(&step.spatial),
    ]
}

/// [`per_thread`] of a convolution.
pub(crate) fn of_conv(step: &ConvStep) -> usize {
    per_thread(&conv_size(step), 1)
}

/// [`per_thread`] of a convolution's weight gradient.
pub(crate) fn of_conv_weight(step: &ConvWeightStep) -> usize {
    per_thread(&conv_weight_size(step), 1)
}

pub(crate) fn conv(
    words: &Words,
    step: &ConvStep,
    each: Option<usize>,
    partial: Option<usize>,
) -> Vec<Launch> {
    let mut b = Builder::new();
    let [c, n] = step.channels;
    let mut left = output_place(&mut b, "i", &step.spatial);
    left += &tap_place(&mut b, "k", c, &step.spatial);
    left += &through_window(&mut b, words.0[step.x.index()], c, &step.spatial);
    let weights = b.size(words.of(&step.w));
    let [of_tap, of_in, of_out] =
        [0, 1, 2].map(|i| b.word((step.w.strides[i] as i32).cast_unsigned()));
    let channels = b.size(c);
    let (y, across) = (b.size(words.0[step.y.index()]), b.size(n));
    in_reach(
        each,
        partial,
        Product {
            builder: b,
            size: conv_size(step),
            batch: 1,
            left,
            right: format!(
                "value = mem[{weights} + (k / {channels}) * {of_tap} + (k % {channels}) * {of_in} + j * {of_out}];"
            ),
            out: format!("{y} + i * {across} + j"),
            ahead: String::new(),
        },
    )
}

pub(crate) fn conv_weight(
    words: &Words,
    step: &ConvWeightStep,
    each: Option<usize>,
    partial: Option<usize>,
) -> Vec<Launch> {
    let mut b = Builder::new();
    let [c, n] = step.channels;
    let mut left = output_place(&mut b, "k", &step.spatial);
    left += &tap_place(&mut b, "i", c, &step.spatial);
    left += &through_window(&mut b, words.0[step.x.index()], c, &step.spatial);
    let (g, dw, across) = (
        b.size(words.0[step.g.index()]),
        b.size(words.0[step.dw.index()]),
        b.size(n),
    );
    in_reach(
        each,
        partial,
        Product {
            builder: b,
            size: conv_weight_size(step),
            batch: 1,
            left,
            right: format!("value = mem[{g} + k * {across} + j];"),
            out: format!("{dw} + i * {across} + j"),
            ahead: String::new(),
        },
    )
}

/// Result elements of a thread along a side: few where the product is small, so that there are threads enough.
pub(crate) fn per_thread(size: &[usize; 3], batch: usize) -> usize {
    let results = size[0] * size[1] * batch;
    if results >= 128 * 1024 {
        4
    } else if results >= 8 * 1024 {
        2
    } else {
        1
    }
}

/// A dispatch for each [`REACH`] of the chain.
fn in_reach(each: Option<usize>, partial: Option<usize>, product: Product) -> Vec<Launch> {
    let k = product.size[2];
    (0..k.max(1))
        .step_by(REACH)
        .map(|from| tiled(each, partial, from, product.clone()))
        .collect()
}

/// The product from `from` on, as far as a dispatch reaches. What comes in between is left where the result will be (the
/// sum of the group at hand) and, with `partial`, from that word on (the sum of the groups before): so for chains beyond a group.
fn tiled(each: Option<usize>, partial: Option<usize>, from: usize, product: Product) -> Launch {
    let Product {
        builder: mut b,
        size,
        batch,
        left,
        right,
        out,
        ahead,
    } = product;
    let each = each.unwrap_or_else(|| per_thread(&size, batch));
    let tile = SIDE * each;
    let [m, n, k] = size;
    let (down, across) = (m.div_ceil(tile), n.div_ceil(tile));
    let (m, n, k_size) = (b.size(m), b.size(n), b.size(k));
    let (p_down, p_across) = (b.size(down), b.size(across));
    let (k_from, k_to) = (b.size(from), b.size(k.min(from + REACH)));
    let groups = partial.is_some();
    let partial = partial.map_or(String::new(), |at| b.size(at));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "let batch = flat / ({p_down} * {p_across});\n\
         let i0 = ((flat / {p_across}) % {p_down}) * {tile}u; let j0 = (flat % {p_across}) * {tile}u;\n\
         let ti = l / {SIDE}u; let tj = l % {SIDE}u;\n{ahead}"
    );
    let cells: Vec<(usize, usize)> = (0..each)
        .flat_map(|i| (0..each).map(move |j| (i, j)))
        .collect();
    for (i, j) in &cells {
        let _ = writeln!(
            text,
            "var acc{i}{j} = zero_(); var sum{i}{j} = zero_();{}",
            if groups {
                format!(" var all{i}{j} = zero_();")
            } else {
                String::new()
            }
        );
    }
    let kept = |i: usize, j: usize, inside: &str| {
        format!(
            "{{ let i = i0 + ti + {}u; let j = j0 + tj + {}u; if (i < {m} && j < {n}) {{ {inside} }} }}\n",
            i * SIDE,
            j * SIDE
        )
    };
    let spot = format!("{partial} + (batch * {m} + i) * {n} + j");
    let _ = writeln!(text, "if ({k_from} > 0u) {{");
    for (i, j) in &cells {
        let all = match groups {
            true => format!(" all{i}{j} = load_f({spot});"),
            false => String::new(),
        };
        text += &kept(*i, *j, &format!("sum{i}{j} = load_f({out});{all}"));
    }
    let _ = writeln!(
        text,
        "}}\nfor (var k0 = {k_from}; k0 < {k_to}; k0 = k0 + {DEEP}u) {{"
    );
    let _ = writeln!(text, "if (k0 > {k_from} && k0 % {K_BLOCK}u == 0u) {{");
    text += &flush(&cells, "k0", groups);
    let _ = writeln!(text, "}}\nworkgroupBarrier();");
    load(&mut text, "left", tile * DEEP, &m, &k_size, &left, true);
    load(&mut text, "right", tile * DEEP, &n, &k_size, &right, false);
    let _ = writeln!(
        text,
        "workgroupBarrier();\nfor (var kk = 0u; kk < {DEEP}u; kk = kk + 1u) {{"
    );
    for i in 0..each {
        let _ = writeln!(
            text,
            "let a{i} = bitcast<f32>(left[(ti + {}u) * {DEEP}u + kk]); let b{i} = bitcast<f32>(right[kk * {tile}u + tj + {}u]);",
            i * SIDE,
            i * SIDE
        );
    }
    for (i, j) in &cells {
        let _ = writeln!(text, "acc{i}{j} = fma_(a{i}, b{j}, acc{i}{j});");
    }
    let _ = writeln!(text, "}}\n}}\nif ({k_to} < {k_size}) {{");
    text += &flush(&cells, &k_to, groups);
    for (i, j) in &cells {
        let all = match groups {
            true => format!(" put_f({spot}, all{i}{j});"),
            false => String::new(),
        };
        text += &kept(*i, *j, &format!("put_f({out}, sum{i}{j});{all}"));
    }
    let _ = writeln!(text, "}} else {{\nif ({k_size} > 0u) {{");
    text += &finish(&cells, &k_size, groups);
    text += "}\n";
    for (i, j) in &cells {
        text += &kept(*i, *j, &format!("put_f({out}, add_(sum{i}{j}, zero_()));"));
    }
    text += "}\n";
    let source = format!(
        "var<workgroup> left: array<u32, {words}>;\nvar<workgroup> right: array<u32, {words}>;\n\
         @compute @workgroup_size({threads})\n\
         fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) l: u32) {{\n\
         start();\n\
         let flat = w.y * par[2] + w.x;\n\
         if (flat >= par[3]) {{ return; }}\n{text}}}\n",
        words = tile * DEEP,
        threads = SIDE * SIDE
    );
    Launch {
        source,
        params: b.params,
        count: batch * down * across,
        by_groups: true,
    }
}

/// Brings a tile of one operand into workgroup memory: `left[i][k]` or `right[k][j]`.
fn load(
    text: &mut String,
    name: &str,
    words: usize,
    rows: &str,
    k_size: &str,
    read: &str,
    is_left: bool,
) {
    let tile = words / DEEP;
    let (place, other, first) = if is_left {
        (
            format!("let x = t / {DEEP}u; let y = t % {DEEP}u;"),
            "i",
            "i0",
        )
    } else {
        (
            format!("let y = t / {tile}u; let x = t % {tile}u;"),
            "j",
            "j0",
        )
    };
    let _ = writeln!(
        text,
        "for (var t = l; t < {words}u; t = t + {}u) {{\n{place}\nlet {other} = {first} + x; let k = k0 + y;\n\
         var value = 0u;\nif ({other} < {rows} && k < {k_size}) {{\n{read}\n}}\n{name}[t] = value;\n}}",
        SIDE * SIDE
    );
}

/// Adds the chains of a block to the group's sums, or begins those where the block is the group's first.
fn add_block(cells: &[(usize, usize)], is_first: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "if ({is_first}) {{");
    for (i, j) in cells {
        let _ = writeln!(out, "sum{i}{j} = acc{i}{j};");
    }
    let _ = writeln!(out, "}} else {{");
    for (i, j) in cells {
        let _ = writeln!(out, "sum{i}{j} = add_(sum{i}{j}, acc{i}{j});");
    }
    let _ = writeln!(out, "}}");
    out
}

/// Ends the block of chains that stands before `k0`.
fn flush(cells: &[(usize, usize)], at: &str, groups: bool) -> String {
    let mut out = add_block(cells, &format!("{at} % {K_GROUP}u == {K_BLOCK}u"));
    for (i, j) in cells {
        let _ = writeln!(out, "acc{i}{j} = zero_();");
    }
    if groups {
        let _ = writeln!(
            out,
            "if ({at} % {K_GROUP}u == 0u) {{ let first = {at} == {K_GROUP}u;"
        );
        for (i, j) in cells {
            let _ = writeln!(
                out,
                "if (first) {{ all{i}{j} = sum{i}{j}; }} else {{ all{i}{j} = add_(all{i}{j}, sum{i}{j}); }}"
            );
        }
        let _ = writeln!(out, "}}");
    }
    out
}

/// Ends the last block, and the last group.
fn finish(cells: &[(usize, usize)], k_size: &str, groups: bool) -> String {
    let first = format!("({k_size} - 1u) % {K_GROUP}u < {K_BLOCK}u");
    let mut out = add_block(cells, &first);
    if groups {
        for (i, j) in cells {
            let _ = writeln!(out, "sum{i}{j} = add_(all{i}{j}, sum{i}{j});");
        }
    }
    out
}
