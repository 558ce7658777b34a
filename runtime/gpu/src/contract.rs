//! Contractions: what is multiplied, and where its elements lie. How the threads go about it is in `tiles`.
//!
//! A convolution and its weight gradient are the same product, with operands read through the window: what lies outside the
//! picture reads as +0, which on finite operands gives the bits of leaving it out.

use crate::builder::{Builder, Launch, Words};
use crate::tiles::{Operand, Product, Reads, Tiling, launches};
use mmh_lower::schedule::{Arg, ContractStep, ConvStep, ConvWeightStep, Spatial, Step};
use std::fmt::Write;

/// Words that the dispatches of a product leave to each other, beside its result.
pub(crate) fn partial_words(step: &Step) -> usize {
    match step {
        Step::Contract(s) => Tiling::words(s.size, s.batch.iter().product()),
        Step::Conv(s) => Tiling::words(conv_size(s), 1),
        Step::ConvWeight(s) => Tiling::words(conv_weight_size(s), 1),
        _ => 0,
    }
}

/// How the threads go about a product in this memory.
pub(crate) fn of_contract(words: &Words, step: &ContractStep) -> Tiling {
    let mut tiling = Tiling::of(step.size, step.batch.iter().product());
    let depth = step.batch.len();
    let [m, n, k] = step.size;
    // Four words in a row: along one axis without a gap, whole along it, and begun at a multiple of four wherever else it stands.
    let fours = |arg: &Arg, along: usize, other: usize, size: usize| {
        arg.strides.get(depth + along) == Some(&1)
            && size.is_multiple_of(4)
            && words.of(arg).is_multiple_of(4)
            && arg.strides.iter().enumerate().all(|(at, s)| {
                at == depth + along || (at != depth + other && at >= depth) || s % 4 == 0
            })
    };
    tiling.left = match () {
        () if fours(&step.a, 1, 0, k) => Reads::FourAlong,
        () if fours(&step.a, 0, 1, m) => Reads::FourAcross,
        () => Reads::One,
    };
    tiling.right = match () {
        () if fours(&step.b, 1, 0, n) => Reads::FourAcross,
        () if fours(&step.b, 0, 1, k) => Reads::FourAlong,
        () => Reads::One,
    };
    tiling.settled()
}

/// [`of_contract`] for a convolution.
pub(crate) fn of_conv(words: &Words, step: &ConvStep) -> Tiling {
    let mut tiling = Tiling::of(conv_size(step), 1);
    let [c, n] = step.channels;
    if c.is_multiple_of(4) && words.0[step.x.index()].is_multiple_of(4) {
        tiling.left = Reads::FourAlong;
    }
    let [of_tap, of_in, of_out] = [0, 1, 2].map(|i| step.w.strides[i]);
    let starts = words.of(&step.w).is_multiple_of(4) && of_tap % 4 == 0 && of_in % 4 == 0;
    if of_out == 1 && n.is_multiple_of(4) && starts {
        tiling.right = Reads::FourAcross;
    }
    tiling.settled()
}

/// [`of_contract`] for a convolution's weight gradient.
pub(crate) fn of_conv_weight(words: &Words, step: &ConvWeightStep) -> Tiling {
    let mut tiling = Tiling::of(conv_weight_size(step), 1);
    let [c, n] = step.channels;
    if c.is_multiple_of(4) && words.0[step.x.index()].is_multiple_of(4) {
        tiling.left = Reads::FourAcross;
    }
    if n.is_multiple_of(4) && words.0[step.g.index()].is_multiple_of(4) {
        tiling.right = Reads::FourAcross;
    }
    tiling.settled()
}

/// A product of matrices; `partial`: the first of [`partial_words`].
pub(crate) fn contract(
    words: &Words,
    step: &ContractStep,
    tiling: Tiling,
    partial: usize,
) -> Vec<Launch> {
    let mut b = Builder::new();
    let depth = step.batch.len();
    let places = if depth == 0 {
        Vec::new()
    } else {
        b.places("batch", "p", &step.batch)
    };
    let mut base = |name: &str, arg: &Arg| {
        let at = b.address(words.of(arg), &places, &arg.strides[..depth]);
        b.line(format!("let {name} = {at};"));
        [depth, depth + 1].map(|i| b.word((arg.strides[i] as i32).cast_unsigned()))
    };
    let [am, ak] = base("at_a", &step.a);
    let [bk, bn] = base("at_b", &step.b);
    let [cm, cn] = base("at_c", &step.c);
    let ahead = std::mem::take(&mut b.text);
    let product = Product {
        builder: b,
        size: step.size,
        batch: step.batch.iter().product(),
        left: Operand::at(format!("at_a + i * {am} + k * {ak}")),
        right: Operand::at(format!("at_b + k * {bk} + j * {bn}")),
        out: format!("at_c + i * {cm} + j * {cn}"),
        ahead,
    };
    launches(product, tiling, partial)
}

/// What is under a tap of the window at an output place.
fn through_window(b: &mut Builder, x: usize, channels: usize, spatial: &[Spatial; 2]) -> Operand {
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
    Operand {
        ahead: out,
        inside: inside.join(" && "),
        at: format!(
            "{x} + ((row * {height} + down_from) * {width} + across_from) * {channels} + channel"
        ),
    }
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

/// A convolution.
pub(crate) fn conv(words: &Words, step: &ConvStep, tiling: Tiling, partial: usize) -> Vec<Launch> {
    let mut b = Builder::new();
    let [c, n] = step.channels;
    let mut places = output_place(&mut b, "i", &step.spatial);
    places += &tap_place(&mut b, "k", c, &step.spatial);
    let left = through_window(&mut b, words.0[step.x.index()], c, &step.spatial).behind(&places);
    let weights = b.size(words.of(&step.w));
    let [of_tap, of_in, of_out] =
        [0, 1, 2].map(|i| b.word((step.w.strides[i] as i32).cast_unsigned()));
    let channels = b.size(c);
    let (y, across) = (b.size(words.0[step.y.index()]), b.size(n));
    let right = Operand::at(format!(
        "{weights} + (k / {channels}) * {of_tap} + (k % {channels}) * {of_in} + j * {of_out}"
    ));
    let product = Product {
        builder: b,
        size: conv_size(step),
        batch: 1,
        left,
        right,
        out: format!("{y} + i * {across} + j"),
        ahead: String::new(),
    };
    launches(product, tiling, partial)
}

/// A convolution's weight gradient.
pub(crate) fn conv_weight(
    words: &Words,
    step: &ConvWeightStep,
    tiling: Tiling,
    partial: usize,
) -> Vec<Launch> {
    let mut b = Builder::new();
    let [c, n] = step.channels;
    let mut places = output_place(&mut b, "k", &step.spatial);
    places += &tap_place(&mut b, "i", c, &step.spatial);
    let left = through_window(&mut b, words.0[step.x.index()], c, &step.spatial).behind(&places);
    let (g, dw, across) = (
        b.size(words.0[step.g.index()]),
        b.size(words.0[step.dw.index()]),
        b.size(n),
    );
    let product = Product {
        builder: b,
        size: conv_weight_size(step),
        batch: 1,
        left,
        right: Operand::at(format!("{g} + k * {across} + j")),
        out: format!("{dw} + i * {across} + j"),
        ahead: String::new(),
    };
    launches(product, tiling, partial)
}
