//! Checks of products: each shader on a small product of which every cell of a tile is part.

use crate::builder::{Launch, Words};
use crate::check::{Failed, HEAD, Mismatch, run};
use crate::contract;
use crate::core::{Core, Stretch};
use crate::tiles::{REACH, Reads, Tiling};
use mmh_ir::DType;
use mmh_lower::schedule::{Absent, Arg, ContractStep, ConvStep, ConvWeightStep, Spatial};
use mmh_lower::view::BufferId;
use mmh_numerics::contract::{K_BLOCK, K_GROUP, chain_present};
use mmh_vectors::Source;

/// Which operands a product has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Two matrices.
    Contract,
    /// A picture through a window, and weights.
    Conv,
    /// A picture through a window, and a gradient.
    Weight,
}

/// A picture of 5 by 4, kernel 3 by 3, stride 2 by 1, one place ahead.
const PICTURE: [Spatial; 2] = [
    Spatial {
        source: 5,
        out: 3,
        taps: 3,
        stride: 2,
        dilation: 1,
        offset: -1,
        divide: 1,
    },
    Spatial {
        source: 4,
        out: 4,
        taps: 3,
        stride: 1,
        dilation: 1,
        offset: -1,
        divide: 1,
    },
];

/// Small products by the shaders of `tiling`: a tile and a bit more, with chains of some blocks, each taken up by a dispatch of
/// its own; and of chains beyond a group, a few such.
pub(crate) fn product(core: &Core, tiling: Tiling, batch: usize, form: Form) -> Result<(), Failed> {
    let edge = tiling.tile() + 4;
    let beyond = K_GROUP + K_BLOCK + 44;
    let small = |is_long: bool| match form {
        Form::Contract if is_long => Small::matrices([4, 8, beyond], tiling),
        Form::Contract => Small::matrices([edge, edge + 4, 2 * K_BLOCK + 44], tiling),
        Form::Conv if is_long => Small::window(tiling, [1, beyond.div_ceil(36) * 4, 4], false),
        Form::Conv => Small::window(tiling, [edge.div_ceil(12), 60, edge + 4], false),
        // The chains of a weight go through the rows of pictures.
        Form::Weight if is_long => Small::window(tiling, [beyond.div_ceil(12), 4, 4], true),
        Form::Weight => Small::window(tiling, [60, edge.div_ceil(36) * 4, edge + 4], true),
    };
    let first = small(false);
    let in_blocks = Tiling {
        reach: K_BLOCK,
        ..tiling
    };
    let (launches, _) = first.launches(in_blocks, batch, form);
    if launches.iter().all(|it| core.knows(&it.source)) {
        return Ok(());
    }
    looked_at(core, &first, in_blocks, batch, form)?;
    match tiling.beyond {
        true => looked_at(core, &small(true), tiling, batch, form),
        false => Ok(()),
    }
}

/// The longest chain of one dispatch: what a driver that ends loops early cannot do. Its shader is looked at again by [`product`].
pub(crate) fn long_product(core: &Core, each: usize) -> Result<(), Failed> {
    let tiling = Tiling {
        side: 8,
        each,
        split: false,
        beyond: false,
        left: Reads::One,
        right: Reads::One,
        reach: REACH,
    };
    let small = Small::matrices([1, 1, REACH], tiling);
    looked_at(core, &small, tiling, 0, Form::Contract)?;
    let (launches, _) = small.launches(tiling, 0, Form::Contract);
    launches.iter().for_each(|it| core.forget(&it.source));
    Ok(())
}

/// Operands of a small product, and what is to come out.
struct Small {
    size: [usize; 3],
    /// Pictures, channels on both sides.
    pictures: [usize; 3],
    a: Vec<u32>,
    b: Vec<u32>,
    wanted: Vec<u32>,
}

impl Small {
    fn operands(words: [usize; 2]) -> [Vec<u32>; 2] {
        let source = Source::default();
        let of = |n: usize| source.spread(n, DType::F32, words[n].next_multiple_of(4));
        [of(0), of(1)]
    }

    /// Two matrices, each stored along the axis that `tiling` reads.
    fn matrices(size: [usize; 3], tiling: Tiling) -> Self {
        let [m, n, k] = size;
        let [mut a, b] = Self::operands([m * k, k * n]);
        let (left, right) = (Self::left(size, tiling), Self::right(size, tiling));
        // Results that are zero show what is rewritten where `x + 0` is taken for `x`.
        if m > 1 {
            (0..k).for_each(|at| a[left[1] * at] = 0x8000_0000);
        }
        let wanted = wanted(
            &size,
            |i, at| Some(a[i * left[0] + at * left[1]]),
            |at, j| b[at * right[0] + j * right[1]],
        );
        Self {
            size,
            pictures: [0; 3],
            a,
            b,
            wanted,
        }
    }

    /// Strides of the left matrix along m, k.
    fn left([m, _, k]: [usize; 3], tiling: Tiling) -> [usize; 2] {
        match tiling.left {
            Reads::FourAcross => [1, m],
            Reads::One | Reads::FourAlong => [k, 1],
        }
    }

    /// Strides of the right matrix along k, n.
    fn right([_, n, k]: [usize; 3], tiling: Tiling) -> [usize; 2] {
        match tiling.right {
            Reads::FourAlong => [1, k],
            Reads::One | Reads::FourAcross => [n, 1],
        }
    }

    /// Some pictures through the window. Without fours, channels are no multiple of one.
    fn window(tiling: Tiling, [rows, c, o]: [usize; 3], is_weight: bool) -> Self {
        let c = c + usize::from(tiling.left == Reads::One);
        let o = o + usize::from(tiling.right == Reads::One);
        let size = match is_weight {
            false => [rows * 12, o, 9 * c],
            true => [9 * c, o, rows * 12],
        };
        let [mut a, b] = Self::operands([rows * 20 * c, size[2] * o]);
        a[..c].fill(0x8000_0000);
        let wanted = wanted(
            &size,
            |i, k| match is_weight {
                false => through_window(&a, c, i, k / c, k % c),
                true => through_window(&a, c, k, i / c, i % c),
            },
            |k, j| b[k * o + j],
        );
        Self {
            size,
            pictures: [rows, c, o],
            a,
            b,
            wanted,
        }
    }

    /// The dispatches over its memory, and the words of that.
    fn launches(&self, tiling: Tiling, batch: usize, form: Form) -> (Vec<Launch>, usize) {
        let at_b = HEAD + self.a.len();
        let at_c = at_b + self.b.len();
        let partial = at_c + self.wanted.len().next_multiple_of(4);
        let words = Words(vec![HEAD, at_b, at_c]);
        let arg = |buffer: u32, inner: &[usize]| Arg {
            buffer: BufferId(buffer),
            offset: 0,
            strides: std::iter::repeat_n(0, batch)
                .chain(inner.iter().map(|s| *s as isize))
                .collect(),
        };
        let [rows, c, o] = self.pictures;
        let launches = match form {
            Form::Contract => {
                let step = ContractStep {
                    size: self.size,
                    batch: vec![1; batch],
                    a: arg(0, &Self::left(self.size, tiling)),
                    b: arg(1, &Self::right(self.size, tiling)),
                    c: arg(2, &[self.size[1], 1]),
                    absent: Absent::Nothing,
                };
                contract::contract(&words, &step, tiling, partial)
            }
            Form::Conv => {
                let step = ConvStep {
                    batch: rows,
                    channels: [c, o],
                    spatial: PICTURE,
                    x: BufferId(0),
                    w: Arg {
                        strides: vec![(c * o) as isize, o as isize, 1],
                        ..arg(1, &[])
                    },
                    y: BufferId(2),
                };
                contract::conv(&words, &step, tiling, partial)
            }
            Form::Weight => {
                let step = ConvWeightStep {
                    batch: rows,
                    channels: [c, o],
                    spatial: PICTURE,
                    x: BufferId(0),
                    g: BufferId(1),
                    dw: BufferId(2),
                };
                contract::conv_weight(&words, &step, tiling, partial)
            }
        };
        let blocks = self.size[2].div_ceil(K_BLOCK).max(1);
        (launches, partial + (blocks + 1) * self.wanted.len())
    }
}

fn looked_at(
    core: &Core,
    small: &Small,
    tiling: Tiling,
    batch: usize,
    form: Form,
) -> Result<(), Failed> {
    let (launches, words) = small.launches(tiling, batch, form);
    let shaders: Vec<String> = launches.iter().map(|it| it.source.clone()).collect();
    let read = Stretch {
        from: HEAD + small.a.len() + small.b.len(),
        count: small.wanted.len(),
    };
    let contents = [
        (HEAD, small.a.clone()),
        (HEAD + small.a.len(), small.b.clone()),
    ];
    let found = run(core, &launches, words, &contents, read)?;
    let Some(at) = (0..read.count).find(|at| found[*at] != small.wanted[*at]) else {
        return Ok(());
    };
    shaders.iter().for_each(|shader| core.forget(shader));
    Err(Failed::Bits(Box::new(Mismatch {
        what: format!("{form:?}: result {at} of a product").to_lowercase(),
        operands: Vec::new(),
        found: found[at],
        wanted: small.wanted[at],
    })))
}

/// All results of a product by the contract's chain.
fn wanted(
    size: &[usize; 3],
    left: impl Fn(usize, usize) -> Option<u32>,
    right: impl Fn(usize, usize) -> u32,
) -> Vec<u32> {
    let [m, n, k] = *size;
    let mut out = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let pair = |k| Some((f32::from_bits(left(i, k)?), f32::from_bits(right(k, j))));
            out.push(chain_present(k, pair).to_bits());
        }
    }
    out
}

/// The element of [`PICTURE`] under a tap of an output place; `None` outside.
fn through_window(
    x: &[u32],
    channels: usize,
    place: usize,
    tap: usize,
    channel: usize,
) -> Option<u32> {
    let [rows, columns] = PICTURE;
    let at = |s: &Spatial, out: usize, tap: usize| {
        usize::try_from(out as i64 * s.stride + tap as i64 * s.dilation + s.offset)
            .ok()
            .filter(|at| *at < s.source)
    };
    let (across, down, row) = (
        place % columns.out,
        place / columns.out % rows.out,
        place / columns.out / rows.out,
    );
    let down = at(&rows, down, tap / columns.taps)?;
    let across = at(&columns, across, tap % columns.taps)?;
    Some(x[((row * rows.source + down) * columns.source + across) * channels + channel])
}
