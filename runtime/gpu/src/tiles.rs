//! Products by tiles: both operands pass through workgroup memory; every result element stays one chain in ascending order of
//! k, in blocks of 256 and groups of 65,536.
//!
//! Where a product has few results and long chains, each block of its chains is a workgroup of its own, and a second dispatch
//! adds the blocks in their order: the contract's blocks make that the same sum.

use crate::builder::{Builder, Launch};
use mmh_numerics::contract::{K_BLOCK, K_GROUP};
use std::fmt::Write;

/// k of a tile.
const DEEP: usize = 16;
const _: () = assert!(K_BLOCK.is_multiple_of(DEEP) && K_GROUP.is_multiple_of(K_BLOCK));

/// k that one dispatch goes through; longer chains are taken up again by the next. Mesa's lavapipe ends every loop of a thread without
/// a word once they have turned 65,535 times together, and a tile of 16 turns at most 33 times.
pub(crate) const REACH: usize = 16_384;
const _: () = assert!(REACH.is_multiple_of(K_BLOCK) && K_GROUP.is_multiple_of(REACH));

/// Workgroups that keep a large device busy.
const BUSY: usize = 192;
/// Words that may lie between the two dispatches of a split product.
const BETWEEN: usize = 1 << 24;

/// How an operand comes into workgroup memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Reads {
    /// Word by word.
    One,
    /// Four words along k.
    FourAlong,
    /// Four words along the result's rows or columns.
    FourAcross,
}

/// How threads go about a product.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Tiling {
    /// Threads along a side of a workgroup.
    pub(crate) side: usize,
    /// Result elements of a thread along a side.
    pub(crate) each: usize,
    /// Whether each block of the chains is a workgroup of its own.
    pub(crate) split: bool,
    /// Whether chains go beyond a group.
    pub(crate) beyond: bool,
    pub(crate) left: Reads,
    pub(crate) right: Reads,
    /// k that one dispatch goes through: [`REACH`], less in checks.
    pub(crate) reach: usize,
}

impl Tiling {
    /// Sides and elements of a thread, large tiles first: a large tile reads each operand less often.
    pub(crate) const SHAPES: [[usize; 2]; 5] = [[16, 8], [16, 4], [8, 4], [8, 2], [8, 1]];

    /// The largest tiles that make workgroups enough; else chains are split, if they are long; else tiles are small.
    pub(crate) fn of([m, n, k]: [usize; 3], batch: usize) -> Self {
        let groups = |[side, each]: [usize; 2]| {
            let tile = side * each;
            batch * m.div_ceil(tile) * n.div_ceil(tile)
        };
        let blocks = k.div_ceil(K_BLOCK);
        // A tile that is far outside the result is a waste.
        let fits = |[side, each]: [usize; 2]| 4 * m >= 3 * side * each && 4 * n >= 3 * side * each;
        let large = |times: usize| {
            let mut shapes = Self::SHAPES[..3].iter().copied();
            shapes.find(|shape| fits(*shape) && groups(*shape) * times >= BUSY)
        };
        let room = blocks > 2 && blocks * batch * m * n <= BETWEEN;
        let small = if groups([8, 2]) >= BUSY {
            [8, 2]
        } else {
            [8, 1]
        };
        let (shape, split) = match (large(1), large(blocks)) {
            (Some(shape), _) => (shape, false),
            (None, Some(shape)) if room => (shape, true),
            _ if room => ([8, 2], true),
            _ => (small, false),
        };
        Self {
            side: shape[0],
            each: shape[1],
            split,
            beyond: k > K_GROUP,
            left: Reads::One,
            right: Reads::One,
            reach: REACH,
        }
    }

    /// Words that the dispatches of a product of this size leave to each other, beside its result.
    pub(crate) fn words([m, n, k]: [usize; 3], batch: usize) -> usize {
        let tiling = Self::of([m, n, k], batch);
        match (tiling.split, tiling.beyond) {
            (true, _) => k.div_ceil(K_BLOCK) * batch * m * n,
            (false, true) => batch * m * n,
            (false, false) => 0,
        }
    }

    /// Four words at once are for threads that use them.
    pub(crate) fn settled(mut self) -> Self {
        if !self.by_fours() {
            (self.left, self.right) = (Reads::One, Reads::One);
        }
        self
    }

    /// Whether workgroup memory is in fours.
    fn by_fours(&self) -> bool {
        self.each.is_multiple_of(4)
    }

    /// Rows, and columns, of a tile.
    pub(crate) fn tile(&self) -> usize {
        self.side * self.each
    }
}

/// Where an element of an operand lies.
#[derive(Clone)]
pub(crate) struct Operand {
    /// Text ahead.
    pub(crate) ahead: String,
    /// Whether it is anywhere; +0 else. Empty where it always is.
    pub(crate) inside: String,
    /// Its word in memory.
    pub(crate) at: String,
}

impl Operand {
    pub(crate) fn at(at: String) -> Self {
        Self {
            ahead: String::new(),
            inside: String::new(),
            at,
        }
    }

    /// With text ahead of its own.
    pub(crate) fn behind(mut self, text: &str) -> Self {
        self.ahead.insert_str(0, text);
        self
    }

    /// Text that reads one word, or four, into `value`.
    fn read(&self, four: bool) -> String {
        let word = match four {
            true => format!("value = mem4[({}) >> 2u];", self.at),
            false => format!("value = mem[{}];", self.at),
        };
        match self.inside.as_str() {
            "" => format!("{}{word}", self.ahead),
            inside => format!("{}if ({inside}) {{ {word} }}", self.ahead),
        }
    }
}

/// A product as the tiles see it.
#[derive(Clone)]
pub(crate) struct Product {
    pub(crate) builder: Builder,
    pub(crate) size: [usize; 3],
    pub(crate) batch: usize,
    /// Over `i`, `k`, whose bounds are checked around it.
    pub(crate) left: Operand,
    /// Over `k`, `j`.
    pub(crate) right: Operand,
    /// Expression over `i`, `j`: a word of memory.
    pub(crate) out: String,
    /// Places of a batch, taken from `batch`.
    pub(crate) ahead: String,
}

/// The dispatches of a product. `partial`: the first of [`Tiling::words`].
pub(crate) fn launches(product: Product, tiling: Tiling, partial: usize) -> Vec<Launch> {
    if tiling.split {
        return vec![
            blocks(product.clone(), tiling, partial),
            added(product, tiling, partial),
        ];
    }
    let k = product.size[2];
    (0..k.max(1))
        .step_by(tiling.reach)
        .map(|from| reach(product.clone(), tiling, partial, from))
        .collect()
}

/// Names of sizes, and the cells of a thread.
struct Names {
    m: String,
    n: String,
    k: String,
    down: String,
    across: String,
    cells: Vec<(usize, usize)>,
    tiling: Tiling,
}

impl Names {
    fn of(b: &mut Builder, size: [usize; 3], tiling: Tiling) -> (Self, usize) {
        let [m, n, k] = size;
        let tiles = [m, n].map(|side| side.div_ceil(tiling.tile()));
        let names = Self {
            m: b.size(m),
            n: b.size(n),
            k: b.size(k),
            down: b.size(tiles[0]),
            across: b.size(tiles[1]),
            cells: (0..tiling.each)
                .flat_map(|i| (0..tiling.each).map(move |j| (i, j)))
                .collect(),
            tiling,
        };
        (names, tiles[0] * tiles[1])
    }

    /// A thread's row `at` within the tile; columns likewise.
    fn line(&self, thread: &str, at: usize) -> String {
        let side = self.tiling.side;
        match self.tiling.by_fours() {
            true => format!("{thread} * 4u + {}u", at / 4 * 4 * side + at % 4),
            false => format!("{thread} + {}u", at * side),
        }
    }

    /// `inside` for a cell that is part of the result, with its `i` and `j`.
    fn kept(&self, i: usize, j: usize, inside: &str) -> String {
        format!(
            "{{ let i = i0 + {}; let j = j0 + {}; if (i < {} && j < {}) {{ {inside} }} }}\n",
            self.line("ti", i),
            self.line("tj", j),
            self.m,
            self.n
        )
    }

    /// The tile of this workgroup: `i0`, `j0`, `part` (what number of tiles comes before), and the thread's place.
    fn place(&self) -> String {
        let (down, across, tile, side) = (
            &self.down,
            &self.across,
            self.tiling.tile(),
            self.tiling.side,
        );
        format!(
            "let part = flat / ({down} * {across});\n\
             let i0 = ((flat / {across}) % {down}) * {tile}u; let j0 = (flat % {across}) * {tile}u;\n\
             let ti = l / {side}u; let tj = l % {side}u;\n"
        )
    }

    /// One tile of both operands from `k0` on, and its part of every chain.
    fn turn(&self, left: &Operand, right: &Operand) -> String {
        let tile = self.tiling.tile();
        let mut text = String::from("workgroupBarrier();\n");
        text += &self.load("left", "i", &self.m, left, self.tiling.left);
        text += &self.load("right", "j", &self.n, right, self.tiling.right);
        let _ = writeln!(
            text,
            "workgroupBarrier();\nfor (var kk = 0u; kk < {DEEP}u; kk = kk + 1u) {{"
        );
        if self.tiling.by_fours() {
            for four in 0..self.tiling.each / 4 {
                for (name, from, thread) in [("a", "left", "ti"), ("b", "right", "tj")] {
                    let _ = writeln!(
                        text,
                        "let {name}_{four} = bitcast<vec4<f32>>({from}[kk * {}u + {thread} + {}u]);",
                        tile / 4,
                        four * self.tiling.side
                    );
                }
            }
        } else {
            for at in 0..self.tiling.each {
                let place = at * self.tiling.side;
                let _ = writeln!(
                    text,
                    "let a{at} = bitcast<f32>(left[kk * {tile}u + ti + {place}u]); let b{at} = bitcast<f32>(right[kk * {tile}u + tj + {place}u]);"
                );
            }
        }
        let of = |name: &str, at: usize| match self.tiling.by_fours() {
            true => format!("{name}_{}.{}", at / 4, ["x", "y", "z", "w"][at % 4]),
            false => format!("{name}{at}"),
        };
        for (i, j) in &self.cells {
            let (a, b) = (of("a", *i), of("b", *j));
            let _ = writeln!(text, "acc{i}_{j} = fma_({a}, {b}, acc{i}_{j});");
        }
        text += "}\n";
        text
    }

    /// Brings a tile of one operand into workgroup memory, by k first: `name[k][x]`.
    fn load(
        &self,
        name: &str,
        other: &str,
        bound: &str,
        operand: &Operand,
        reads: Reads,
    ) -> String {
        let (tile, k_size) = (self.tiling.tile(), &self.k);
        let threads = self.tiling.side * self.tiling.side;
        // Neighbours read neighbouring words: the left operand's mostly lie along k.
        let along_first = match reads {
            Reads::One => name == "left",
            Reads::FourAlong => true,
            Reads::FourAcross => false,
        };
        let (along, across) = match reads {
            Reads::One => (1, 1),
            Reads::FourAlong => (4, 1),
            Reads::FourAcross => (1, 4),
        };
        let place = match along_first {
            true => format!(
                "let x = (t / {0}u) * {across}u; let y = (t % {0}u) * {along}u;",
                DEEP / along
            ),
            false => format!(
                "let y = (t / {0}u) * {along}u; let x = (t % {0}u) * {across}u;",
                tile / across
            ),
        };
        let four = reads != Reads::One;
        let zero = if four { "vec4<u32>()" } else { "0u" };
        let stores = match (reads, self.tiling.by_fours()) {
            (Reads::One, false) => format!("{name}[y * {tile}u + x] = value;"),
            (Reads::One, true) => format!("{name}[y * {}u + (x >> 2u)][x & 3u] = value;", tile / 4),
            (Reads::FourAcross, _) => format!("{name}[y * {}u + (x >> 2u)] = value;", tile / 4),
            (Reads::FourAlong, _) => (0..4)
                .map(|c| {
                    format!(
                        "{name}[(y + {c}u) * {}u + (x >> 2u)][x & 3u] = value[{c}];",
                        tile / 4
                    )
                })
                .collect(),
        };
        format!(
            "for (var t = l; t < {}u; t = t + {threads}u) {{\n{place}\nlet {other} = {other}0 + x; let k = k0 + y;\n\
             var value = {zero};\nif ({other} < {bound} && k < {k_size}) {{\n{}\n}}\n{stores}\n}}\n",
            tile * DEEP / along / across,
            operand.read(four)
        )
    }

    /// The whole shader around `text`.
    fn shader(&self, text: &str) -> String {
        let words = self.tiling.tile() * DEEP;
        let (kind, count) = match self.tiling.by_fours() {
            true => ("vec4<u32>", words / 4),
            false => ("u32", words),
        };
        let fours = match (self.tiling.left, self.tiling.right) {
            (Reads::One, Reads::One) => "",
            _ => "@group(0) @binding(2) var<storage, read_write> mem4: array<vec4<u32>>;\n",
        };
        format!(
            "{fours}var<workgroup> left: array<{kind}, {count}>;\nvar<workgroup> right: array<{kind}, {count}>;\n\
             @compute @workgroup_size({threads})\n\
             fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) l: u32) {{\n\
             start();\n\
             let flat = w.y * par[2] + w.x;\n\
             if (flat >= par[3]) {{ return; }}\n{text}}}\n",
            threads = self.tiling.side * self.tiling.side
        )
    }
}

/// The product from `from` on, as far as a dispatch reaches. What comes in between is left where the result will be (the
/// sum of the group at hand) and, of chains beyond a group, from word `partial` on (the sum of the groups before).
fn reach(product: Product, tiling: Tiling, partial: usize, from: usize) -> Launch {
    let Product {
        builder: mut b,
        size,
        batch,
        left,
        right,
        out,
        ahead,
    } = product;
    let (names, tiles) = Names::of(&mut b, size, tiling);
    let (m, n, k_size) = (&names.m, &names.n, &names.k);
    let (k_from, k_to) = (b.size(from), b.size(size[2].min(from + tiling.reach)));
    let groups = tiling.beyond;
    let partial = match groups {
        true => b.size(partial),
        false => String::new(),
    };
    let cells = &names.cells;
    let mut text = names.place();
    let _ = writeln!(text, "let batch = part;\n{ahead}");
    for (i, j) in cells {
        let all = match groups {
            true => format!(" var all{i}_{j} = zero_();"),
            false => String::new(),
        };
        let _ = writeln!(
            text,
            "var acc{i}_{j} = zero_(); var sum{i}_{j} = zero_();{all}"
        );
    }
    let spot = format!("{partial} + (batch * {m} + i) * {n} + j");
    let _ = writeln!(text, "if ({k_from} > 0u) {{");
    for (i, j) in cells {
        let all = match groups {
            true => format!(" all{i}_{j} = load_f({spot});"),
            false => String::new(),
        };
        text += &names.kept(*i, *j, &format!("sum{i}_{j} = load_f({out});{all}"));
    }
    let _ = writeln!(
        text,
        "}}\nfor (var k0 = {k_from}; k0 < {k_to}; k0 = k0 + {DEEP}u) {{\n\
         if (k0 > {k_from} && k0 % {K_BLOCK}u == 0u) {{"
    );
    text += &flush(cells, "k0", groups);
    text += "}\n";
    text += &names.turn(&left, &right);
    let _ = writeln!(text, "}}\nif ({k_to} < {k_size}) {{");
    text += &flush(cells, &k_to, groups);
    for (i, j) in cells {
        let all = match groups {
            true => format!(" put_f({spot}, all{i}_{j});"),
            false => String::new(),
        };
        text += &names.kept(*i, *j, &format!("put_f({out}, sum{i}_{j});{all}"));
    }
    let _ = writeln!(text, "}} else {{\nif ({k_size} > 0u) {{");
    text += &finish(cells, k_size, groups);
    text += "}\n";
    for (i, j) in cells {
        text += &names.kept(*i, *j, &format!("put_f({out}, add_(sum{i}_{j}, zero_()));"));
    }
    text += "}\n";
    Launch {
        source: names.shader(&text),
        params: b.params,
        count: batch * tiles,
        by_groups: true,
    }
}

/// Every block of every chain, each left in a word of its own from `partial` on.
fn blocks(product: Product, tiling: Tiling, partial: usize) -> Launch {
    let Product {
        builder: mut b,
        size,
        batch,
        left,
        right,
        ahead,
        ..
    } = product;
    let (names, tiles) = Names::of(&mut b, size, tiling);
    let (m, n, k_size) = (&names.m, &names.n, &names.k);
    let (batches, partial) = (b.size(batch), b.size(partial));
    let mut text = names.place();
    let _ = writeln!(
        text,
        "let batch = part % {batches}; let k_from = (part / {batches}) * {K_BLOCK}u;\n\
         let k_to = min(k_from + {K_BLOCK}u, {k_size});\n{ahead}"
    );
    for (i, j) in &names.cells {
        let _ = writeln!(text, "var acc{i}_{j} = zero_();");
    }
    let _ = writeln!(
        text,
        "for (var k0 = k_from; k0 < k_to; k0 = k0 + {DEEP}u) {{"
    );
    text += &names.turn(&left, &right);
    text += "}\n";
    for (i, j) in &names.cells {
        let spot = format!("{partial} + (part * {m} + i) * {n} + j");
        text += &names.kept(*i, *j, &format!("put_f({spot}, acc{i}_{j});"));
    }
    Launch {
        source: names.shader(&text),
        params: b.params,
        count: size[2].div_ceil(K_BLOCK) * batch * tiles,
        by_groups: true,
    }
}

/// The sum of the blocks of every chain, in their order and by groups.
fn added(product: Product, tiling: Tiling, partial: usize) -> Launch {
    let Product {
        builder: mut b,
        size,
        batch,
        out,
        ahead,
        ..
    } = product;
    let [m, n, k] = size;
    let (rows, columns, partial) = (b.size(m), b.size(n), b.size(partial));
    let (blocks, results) = (b.size(k.div_ceil(K_BLOCK)), b.size(batch * m * n));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "let j = flat % {columns}; let i = (flat / {columns}) % {rows}; let batch = flat / {columns} / {rows};\n{ahead}\n\
         var sum = load_f({partial} + flat);"
    );
    if tiling.beyond {
        let per_group = K_GROUP / K_BLOCK;
        let _ = writeln!(
            text,
            "var all = zero_(); var first = true;\n\
             for (var block = 1u; block < {blocks}; block = block + 1u) {{\n\
             let next = load_f({partial} + block * {results} + flat);\n\
             if (block % {per_group}u == 0u) {{\n\
             if (first) {{ all = sum; first = false; }} else {{ all = add_(all, sum); }}\nsum = next;\n\
             }} else {{ sum = add_(sum, next); }}\n}}\n\
             if (!first) {{ sum = add_(all, sum); }}"
        );
    } else {
        let _ = writeln!(
            text,
            "for (var block = 1u; block < {blocks}; block = block + 1u) {{\n\
             sum = add_(sum, load_f({partial} + block * {results} + flat));\n}}"
        );
    }
    let _ = writeln!(text, "put_f({out}, add_(sum, zero_()));");
    b.text = text;
    b.by_threads(batch * m * n)
}

/// Adds the chains of a block to the group's sums, or begins those where the block is the group's first.
fn add_block(cells: &[(usize, usize)], is_first: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "if ({is_first}) {{");
    for (i, j) in cells {
        let _ = writeln!(out, "sum{i}_{j} = acc{i}_{j};");
    }
    let _ = writeln!(out, "}} else {{");
    for (i, j) in cells {
        let _ = writeln!(out, "sum{i}_{j} = add_(sum{i}_{j}, acc{i}_{j});");
    }
    let _ = writeln!(out, "}}");
    out
}

/// Ends the block of chains that stands before `k0`.
fn flush(cells: &[(usize, usize)], at: &str, groups: bool) -> String {
    let mut out = add_block(cells, &format!("{at} % {K_GROUP}u == {K_BLOCK}u"));
    for (i, j) in cells {
        let _ = writeln!(out, "acc{i}_{j} = zero_();");
    }
    if groups {
        let _ = writeln!(
            out,
            "if ({at} % {K_GROUP}u == 0u) {{ let first = {at} == {K_GROUP}u;"
        );
        for (i, j) in cells {
            let _ = writeln!(
                out,
                "if (first) {{ all{i}_{j} = sum{i}_{j}; }} else {{ all{i}_{j} = add_(all{i}_{j}, sum{i}_{j}); }}"
            );
        }
        let _ = writeln!(out, "}}");
    }
    out
}

/// Ends the last block, and the last group. A chain of one group whose shader knows of groups has none before.
fn finish(cells: &[(usize, usize)], k_size: &str, groups: bool) -> String {
    let first = format!("({k_size} - 1u) % {K_GROUP}u < {K_BLOCK}u");
    let mut out = add_block(cells, &first);
    if groups {
        let _ = writeln!(out, "if ({k_size} > {K_GROUP}u) {{");
        for (i, j) in cells {
            let _ = writeln!(out, "sum{i}_{j} = add_(all{i}_{j}, sum{i}_{j});");
        }
        let _ = writeln!(out, "}}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_products_have_large_tiles_and_long_thin_ones_are_split() {
        let shape = |size, batch| {
            let it = Tiling::of(size, batch);
            (it.tile(), it.split)
        };
        assert_eq!(shape([4096, 4096, 4096], 1), (128, false));
        assert_eq!(shape([1024, 1024, 1024], 1), (64, false));
        // The weights' gradient of a convolution: 144 blocks.
        assert_eq!(shape([288, 64, 36_864], 1), (64, true));
        assert_eq!(shape([512, 10, 128], 1), (8, false));
        assert_eq!(shape([128, 128, 32], 512), (128, false));
        assert_eq!(Tiling::words([288, 64, 36_864], 1), 144 * 288 * 64);
        assert_eq!(Tiling::words([4096, 4096, 4096], 1), 0);
        assert_eq!(Tiling::words([4096, 4096, 70_000], 1), 4096 * 4096);
    }
}
