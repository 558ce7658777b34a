//! What has an order: sums and other folds, contractions, convolutions.

use crate::Case;
use crate::maker::{Maker, window};
use mmh_ir::{DType, ReduceKind, ValueId};
use mmh_vectors::Source;

pub(crate) fn cases() -> Vec<Case> {
    let mut all = folds();
    all.extend(contractions());
    all.extend(convolutions());
    all
}

/// The word of the text form.
pub(crate) fn word(kind: ReduceKind) -> &'static str {
    match kind {
        ReduceKind::Sum => "sum",
        ReduceKind::Max => "max",
        ReduceKind::Min => "min",
        ReduceKind::ArgMax => "argmax",
    }
}

/// The folds, each of lengths about those of lanes and blocks, of several axes in two orders, of zeros, and of traps.
fn folds() -> Vec<Case> {
    let mut all = Vec::new();
    for kind in [
        ReduceKind::Sum,
        ReduceKind::Max,
        ReduceKind::Min,
        ReduceKind::ArgMax,
    ] {
        let name = word(kind);
        for length in [1, 2, 63, 64, 65, 129, 1_000, 4_096, 4_097, 8_300] {
            let mut m = Maker::default();
            let x = m.spread(&[("element", length)]);
            let y = m.reduce(kind, &["element"], x);
            all.push(m.case(format!("{name} of {length}"), &[y]));
        }
        for (order, over) in [["column", "row"], ["row", "column"]]
            .into_iter()
            .enumerate()
        {
            let grid = |m: &mut Maker| {
                let x = m.spread(&[("row", 9), ("kept", 5), ("column", 13)]);
                m.reduce(kind, &over, x)
            };
            let mut m = Maker::default();
            let y = grid(&mut m);
            all.push(m.case(format!("{name} over two axes, order {order}"), &[y]));
            let mut m = Maker::default();
            let y = grid(&mut m);
            all.extend(
                m.with_gradients(&format!("{name} over two axes, order {order}"), y)
                    .filter(grows),
            );
        }
        let mut m = Maker::default();
        let zeros = (0..300)
            .map(|at| if at % 7 == 3 { 0x8000_0000 } else { 0 })
            .collect();
        let x = m.operand(DType::F32, &[("row", 3), ("column", 100)], zeros);
        let y = m.reduce(kind, &["column"], x);
        all.push(m.case(format!("{name} of zeros"), &[y]));
        let mut m = Maker::default();
        let x = m.operand(
            DType::F32,
            &[("row", 16), ("column", 70)],
            Source::default().operand(3, DType::F32, 1_120),
        );
        let y = m.reduce(kind, &["column"], x);
        all.push(m.case(format!("{name} of traps"), &[y]));
    }
    all
}

/// Whether a case has a gradient beside its result.
fn grows(case: &Case) -> bool {
    case.results.len() > 1
}

/// Chains about a block long, beyond the second level, with batch axes, of several axes.
fn contractions() -> Vec<Case> {
    let mut all = Vec::new();
    for depth in [1, 2, 255, 256, 257, 513, 700] {
        let build = |m: &mut Maker| {
            let a = m.spread(&[("m", 3), ("k", depth)]);
            let b = m.spread(&[("k", depth), ("n", 5)]);
            m.contract(a, b, &["k"])
        };
        let name = format!("contraction of depth {depth}");
        let mut m = Maker::default();
        let y = build(&mut m);
        all.push(m.case(&name, &[y]));
        let mut m = Maker::default();
        let y = build(&mut m);
        all.extend(m.with_gradients(&name, y));
    }
    let mut m = Maker::default();
    let a = m.spread(&[("k", 66_000)]);
    let b = m.spread(&[("k", 66_000)]);
    let y = m.contract(a, b, &["k"]);
    all.push(m.case("contraction of depth 66000", &[y]));
    let shared = |m: &mut Maker| {
        let a = m.spread(&[("batch", 2), ("m", 7), ("k", 11), ("l", 9)]);
        let b = m.spread(&[("l", 9), ("batch", 2), ("n", 6), ("k", 11)]);
        m.contract(a, b, &["k", "l"])
    };
    let mut m = Maker::default();
    let y = shared(&mut m);
    all.push(m.case("contraction of two axes with a batch", &[y]));
    let mut m = Maker::default();
    let y = shared(&mut m);
    all.extend(m.with_gradients("contraction of two axes with a batch", y));
    let mut m = Maker::default();
    let zeros = vec![0x8000_0000; 4 * 20];
    let a = m.operand(DType::F32, &[("m", 4), ("k", 20)], zeros);
    let b = m.spread(&[("k", 20), ("n", 3)]);
    let y = m.contract(a, b, &["k"]);
    all.push(m.case("contraction of zeros", &[y]));
    all
}

/// A picture through a window, with weights.
fn convolved(m: &mut Maker, [stride, dilation, offset]: [i64; 3], places: usize) -> ValueId {
    let x = m.spread(&[("batch", 2), ("height", 9), ("width", 6), ("channel", 5)]);
    let w = m.spread(&[("row", 3), ("column", 3), ("channel", 5), ("filter", 4)]);
    let tall = m.window(
        x,
        window("height", "row", [stride, dilation, offset], 0.0),
        places,
        3,
    );
    let wide = m.window(tall, window("width", "column", [1, 1, -1], 0.0), 6, 3);
    m.contract(wide, w, &["row", "column", "channel"])
}

fn convolutions() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, form, places) in [
        ("convolution", [1, 1, -1], 9),
        ("convolution of stride 2", [2, 1, -1], 5),
        ("convolution of dilation 2", [1, 2, -2], 9),
    ] {
        let mut m = Maker::default();
        let y = convolved(&mut m, form, places);
        all.push(m.case(name, &[y]));
        let mut m = Maker::default();
        let y = convolved(&mut m, form, places);
        all.extend(m.with_gradients(name, y));
    }
    for (kind, fill) in [(ReduceKind::Sum, 0.0), (ReduceKind::Max, f32::NEG_INFINITY)] {
        let pooled = |m: &mut Maker| {
            let x = m.spread(&[("batch", 2), ("height", 8), ("width", 7)]);
            let tall = m.window(x, window("height", "row", [2, 1, 0], fill), 4, 2);
            let wide = m.window(tall, window("width", "column", [2, 1, -1], fill), 4, 3);
            m.reduce(kind, &["row", "column"], wide)
        };
        let name = format!("pool by {}", word(kind));
        let mut m = Maker::default();
        let y = pooled(&mut m);
        all.push(m.case(&name, &[y]));
        let mut m = Maker::default();
        let y = pooled(&mut m);
        all.extend(m.with_gradients(&name, y));
    }
    let mut m = Maker::default();
    let x = m.spread(&[("height", 11)]);
    let y = m.window(x, window("height", "row", [3, 2, -3], -7.5), 5, 4);
    all.push(m.case("window", &[y]));
    all
}
