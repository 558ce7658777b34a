//! Draws, look-ups, sampling, movement, and the composites as they are lowered.

use crate::Case;
use crate::maker::{Maker, axes};
use mmh_ir::{Composite, DType, Input, Literal, MapOp, Op, RandomKind, ReduceKind, ValueId};
use mmh_vectors::Source;

pub(crate) fn cases() -> Vec<Case> {
    let mut all = draws();
    all.extend(lookups());
    all.extend(movements());
    all.extend(composites());
    all
}

/// Appends a case and the one with its gradients.
fn both(all: &mut Vec<Case>, name: &str, build: impl Fn(&mut Maker) -> ValueId) {
    let mut m = Maker::default();
    let y = build(&mut m);
    let has_composites = m.graph.has_composites();
    if !has_composites {
        all.push(m.case(name, &[y]));
    }
    let mut m = Maker::default();
    let y = build(&mut m);
    all.extend(
        m.with_gradients(name, y)
            .filter(|case| case.results.len() > 1),
    );
}

fn draws() -> Vec<Case> {
    let kinds = [
        ("uniform draws", RandomKind::Uniform, DType::F32),
        ("normal draws", RandomKind::Normal, DType::F32),
        ("draws below 7", RandomKind::Below(7), DType::I32),
        ("draws below 2^31", RandomKind::Below(1 << 31), DType::I32),
    ];
    let make = |(name, kind, dtype): (&str, RandomKind, DType)| {
        let mut m = Maker::default();
        m.rows = vec![0, 1, 977, i32::MAX, -1];
        m.key = Some([1, 2, 3, 0xffff_ffff, 0x8000_0000, 6, 7, 0xdead_beef]);
        let key = m.push(Op::Input(Input::Key(0)), &[], DType::I32, &[("word", 8)]);
        let rows = m.push(Op::Input(Input::Rows), &[], DType::I32, &[("batch", 5)]);
        let y = m.push(
            Op::Random(kind),
            &[key, rows],
            dtype,
            &[("batch", 5), ("element", 53)],
        );
        m.case(name, &[y])
    };
    kinds.into_iter().map(make).collect()
}

fn lookups() -> Vec<Case> {
    let mut all = Vec::new();
    both(&mut all, "gather", |m| {
        let table = m.spread(&[("class", 13), ("feature", 6)]);
        let index = m.index(13, &[("batch", 4), ("time", 90)]);
        let dims = [("batch", 4), ("time", 90), ("feature", 6)];
        m.push(
            Op::Gather {
                axis: "class".into(),
            },
            &[table, index],
            DType::F32,
            &dims,
        )
    });
    both(&mut all, "gather of a class of each row", |m| {
        let table = m.spread(&[("batch", 40), ("class", 5)]);
        let index = m.index(5, &[("batch", 40)]);
        m.push(
            Op::Gather {
                axis: "class".into(),
            },
            &[table, index],
            DType::F32,
            &[("batch", 40)],
        )
    });
    both(&mut all, "one-hot", |m| {
        let index = m.index(7, &[("batch", 30)]);
        m.push(
            Op::OneHot {
                axis: "class".into(),
            },
            &[index],
            DType::F32,
            &[("batch", 30), ("class", 7)],
        )
    });
    both(&mut all, "sample", |m| {
        let image = m.spread(&[("batch", 2), ("height", 6), ("width", 5)]);
        let place = |stream: usize, size: f32| {
            let words = Source::default().spread(stream, DType::F32, 60);
            // Inside the picture, on its edges and outside.
            let place = |(at, word): (usize, &u32)| {
                let inside = (word & 0xffff) as f32 / 65_536.0 * (size + 3.0) - 2.0;
                let place = if at % 5 == 0 {
                    (inside as i32) as f32
                } else {
                    inside
                };
                place.to_bits()
            };
            words.iter().enumerate().map(place).collect::<Vec<u32>>()
        };
        let (rows, columns) = (place(71, 6.0), place(72, 5.0));
        let dims = [("batch", 2), ("height", 6), ("width", 5)];
        let row = m.operand(DType::F32, &dims, rows);
        let column = m.operand(DType::F32, &dims, columns);
        let op = Op::Sample {
            row: "height".into(),
            column: "width".into(),
        };
        m.push(op, &[image, row, column], DType::F32, &dims)
    });
    all
}

fn movements() -> Vec<Case> {
    let mut all = Vec::new();
    let spread = |m: &mut Maker| m.spread(&[("a", 6), ("b", 5)]);
    both(&mut all, "position", |m| {
        let place = m.push(Op::Position, &[], DType::I32, &[("a", 70)]);
        m.map(MapOp::ToF32, &[place])
    });
    both(&mut all, "integer", |m| {
        let five = m.push(Op::Integer(5), &[], DType::I32, &[]);
        let x = m.index(9, &[("a", 40)]);
        m.map(MapOp::Add, &[x, five])
    });
    both(&mut all, "broadcast", |m| {
        let x = spread(m);
        m.push(
            Op::Broadcast,
            &[x],
            DType::F32,
            &[("c", 3), ("b", 5), ("a", 6)],
        )
    });
    both(&mut all, "rename", |m| {
        let x = spread(m);
        let op = Op::Rename {
            from: "b".into(),
            to: "c".into(),
        };
        m.push(op, &[x], DType::F32, &[("a", 6), ("c", 5)])
    });
    both(&mut all, "merge", |m| {
        let x = spread(m);
        let op = Op::Merge {
            axes: axes(&["a", "b"]),
            into: "c".into(),
        };
        m.push(op, &[x], DType::F32, &[("c", 30)])
    });
    both(&mut all, "split", |m| {
        let x = spread(m);
        let op = Op::Split {
            axis: "a".into(),
            into: axes(&["c", "d"]),
        };
        m.push(op, &[x], DType::F32, &[("c", 2), ("d", 3), ("b", 5)])
    });
    both(&mut all, "slice", |m| {
        let x = spread(m);
        let op = Op::Slice {
            axis: "a".into(),
            start: 1,
            step: 2,
        };
        m.push(op, &[x], DType::F32, &[("a", 3), ("b", 5)])
    });
    both(&mut all, "pad", |m| {
        let x = spread(m);
        let op = Op::Pad {
            axis: "b".into(),
            before: 2,
            step: 3,
        };
        m.push(op, &[x], DType::F32, &[("a", 6), ("b", 17)])
    });
    both(&mut all, "concat", |m| {
        let (x, z) = (spread(m), m.spread(&[("a", 4), ("b", 5)]));
        m.push(
            Op::Concat { axis: "a".into() },
            &[x, z],
            DType::F32,
            &[("a", 10), ("b", 5)],
        )
    });
    all
}

fn composites() -> Vec<Case> {
    let mut all = Vec::new();
    let composite = |m: &mut Maker, it: Composite, inputs: &[ValueId], dims: &[(&str, usize)]| {
        m.push(Op::Composite(it), inputs, DType::F32, dims)
    };
    both(&mut all, "softmax", |m| {
        let x = m.spread(&[("row", 5), ("class", 70)]);
        let it = Composite::Softmax {
            over: axes(&["class"]),
        };
        composite(m, it, &[x], &[("row", 5), ("class", 70)])
    });
    both(&mut all, "logsumexp", |m| {
        let x = m.spread(&[("row", 5), ("class", 70)]);
        let it = Composite::LogSumExp {
            over: axes(&["class"]),
        };
        composite(m, it, &[x], &[("row", 5)])
    });
    both(&mut all, "cross-entropy", |m| {
        let x = m.spread(&[("row", 30), ("class", 10)]);
        let label = m.index(10, &[("row", 30)]);
        let it = Composite::CrossEntropy {
            class: "class".into(),
        };
        composite(m, it, &[x, label], &[("row", 30)])
    });
    both(&mut all, "normalise", normalised);
    for (name, causal) in [
        ("attention", None),
        ("causal attention", Some("time".into())),
    ] {
        both(&mut all, name, |m| {
            let with = |axis| [("batch", 2), (axis, 9), ("head", 2), ("depth", 8)];
            let (q, k, v) = (
                m.spread(&with("time")),
                m.spread(&with("key")),
                m.spread(&with("key")),
            );
            let it = Composite::Attend {
                over: axes(&["depth"]),
                key: "key".into(),
                scale: Literal(0.001),
                causal: causal.clone(),
                narrow: false,
            };
            composite(m, it, &[q, k, v], &with("time"))
        });
    }
    all
}

/// By the mean and the variance of what is normalised.
fn normalised(m: &mut Maker) -> ValueId {
    let dims = [("batch", 12), ("channel", 4)];
    let x = m.spread(&dims);
    let count = m.constant(12.0);
    let sum = m.reduce(ReduceKind::Sum, &["batch"], x);
    let mean = m.map(MapOp::Div, &[sum, count]);
    let centred = m.map(MapOp::Sub, &[x, mean]);
    let square = m.map(MapOp::Mul, &[centred, centred]);
    let sum = m.reduce(ReduceKind::Sum, &["batch"], square);
    let variance = m.map(MapOp::Div, &[sum, count]);
    let it = Composite::Normalise {
        over: axes(&["batch"]),
        epsilon: Literal(1e-5),
    };
    m.push(Op::Composite(it), &[x, mean, variance], DType::F32, &dims)
}
