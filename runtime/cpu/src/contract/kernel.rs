//! The tile kernel, written once, and its table per instruction set.
//!
//! A [`Tile`] is a few output rows by a few vectors of output columns, over one block of the contracted index.
//! [`Kernels`] holds a function for every height and width, compiled for one instruction set.

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::scalar::Portable;
use super::vector::{Two, Vector};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};
use crate::isa::Isa;

/// A run of the contracted index whose operands lie evenly spaced on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Elements from a tile row's pointer to its left operand for the run's first index.
    pub(crate) left: isize,
    /// Right operands, in steps of the tile's `b_step`, before those of the run's first index.
    pub(crate) right: usize,
    /// Contracted indices in the run.
    pub(crate) length: usize,
}

impl Segment {
    /// Appends to runs with `a_step`; a run that continues the last on both sides becomes part of it.
    pub(crate) fn push_to(self, segments: &mut Vec<Self>, a_step: usize) {
        match segments.last_mut() {
            Some(last)
                if last.left + (last.length * a_step) as isize == self.left
                    && last.right + last.length == self.right =>
            {
                last.length += self.length;
            }
            _ => segments.push(self),
        }
    }
}

/// Tiles over one block, one below the other: `c[i][j] = (add ? c[i][j] : 0) + chain over k of fma(a[i][k], b[k][j], acc)`.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// One pointer per row of all tiles; a segment's offset leads from it to the left operands.
    pub(crate) rows: *const *const f32,
    /// Runs of at least one index.
    pub(crate) segments: *const Segment,
    pub(crate) segment_count: usize,
    /// Elements from one left operand to the next.
    pub(crate) a_step: usize,
    /// Right operands of index 0, from where segments count.
    pub(crate) b: *const f32,
    /// Elements from one index's right operands to the next one's.
    pub(crate) b_step: usize,
    /// One pointer per output row.
    pub(crate) outputs: *const *mut f32,
    /// Column of the output where the tile starts.
    pub(crate) column: usize,
    /// Columns to write; at most the width of the tile.
    pub(crate) columns: usize,
    pub(crate) add: bool,
    /// Tiles.
    pub(crate) repeat: usize,
    /// Whether the block is long enough to fetch the outputs beforehand.
    pub(crate) is_long: bool,
    pub(crate) ahead: Ahead,
}

/// Right operands of the next panel, fetched while the chains of this one run.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Those of the next index to fetch, which need not be there.
    pub(crate) next: *const f32,
    /// Elements from one index's operands to the next one's.
    pub(crate) step: usize,
    /// Indices to fetch.
    pub(crate) left: usize,
    /// Indices fetched at a time, for every [`LINE`] indices of a run.
    pub(crate) at_once: usize,
}

impl Ahead {
    pub(crate) const NOTHING: Self = Self {
        next: std::ptr::null(),
        step: 0,
        left: 0,
        at_once: 0,
    };

    /// Fetches some.
    #[inline(always)]
    fn fetch<V: Vector>(&mut self) {
        for _ in 0..self.at_once {
            for line in 0..V::LANES.div_ceil(LINE) {
                V::prefetch(self.next.wrapping_add(line * LINE));
            }
            self.next = self.next.wrapping_add(self.step);
        }
        self.left = self.left.saturating_sub(self.at_once);
    }
}

/// Floats of a cache line.
pub(crate) const LINE: usize = 16;

/// Columns of a tile from which it fetches for the next panel. A narrower one asks for a line every few cycles, and is
/// faster where a copy lays its lines side by side.
pub(crate) const WIDE_TILE: usize = 2 * LINE;

/// The kernel of one height and width.
///
/// # Safety
/// The instruction set of the table; pointers in the tile valid for what it describes. Right operands are read in whole
/// vectors, also beyond `columns`.
pub(crate) type TileFunction = unsafe fn(&Tile);

/// Copies the right operands of one panel: `to[k · width + j] = from[k · row_stride + j · column_stride]` for
/// `j < columns`, and +0 up to `width`.
pub(crate) struct PanelCopy {
    pub(crate) from: *const f32,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) width: usize,
    pub(crate) to: *mut f32,
    /// Neighbouring panels to copy alike, each to where the one before ends. More than one only if all their columns
    /// exist and lie next to each other. A vector may be written past the end of the last.
    pub(crate) panels: usize,
}

/// The functions compiled for one instruction set.
pub(crate) struct Kernels {
    pub(crate) isa: Isa,
    /// Columns in which the widths of tiles are counted.
    pub(crate) lanes: usize,
    /// `tiles[width / lanes - 1][rows - 1]`.
    pub(crate) tiles: &'static [&'static [TileFunction]],
    /// See [`PanelCopy`]. Unsafe for the same reasons as a tile.
    pub(crate) copy_panel: unsafe fn(&PanelCopy),
    /// `to[i] = from[i] + (add ? to[i] : 0)` for `i < length`.
    pub(crate) add_row: unsafe fn(to: *mut f32, from: *const f32, length: usize, add: bool),
}

/// Tiles as wide as `V`, which is one vector or several.
#[inline(always)]
unsafe fn tiles<V: Vector, const ROWS: usize>(job: &Tile) {
    let mut job = *job;
    for _ in 0..job.repeat {
        // SAFETY: the contract of `TileFunction`, for each tile.
        unsafe {
            if V::LANES >= WIDE_TILE && job.ahead.left > 0 {
                tile::<V, ROWS, true>(&mut job);
            } else {
                tile::<V, ROWS, false>(&mut job);
            }
            job.rows = job.rows.add(ROWS);
            job.outputs = job.outputs.add(ROWS);
        }
    }
}

#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const FETCHES: bool>(tile: &mut Tile) {
    // SAFETY: the contract of `TileFunction`, which also covers every pointer formed here.
    unsafe {
        let mut sums = [V::zero(); ROWS];
        let rows: [*const f32; ROWS] = std::array::from_fn(|i| *tile.rows.add(i));
        let mut next = tile.segments;
        let end = next.add(tile.segment_count);
        let (a_step, b_step, first) = (tile.a_step, tile.b_step, tile.b);
        if tile.is_long {
            // The outputs are on their way while the chains run.
            for i in 0..ROWS {
                let to = (*tile.outputs.add(i)).wrapping_add(tile.column);
                for line in 0..V::LANES.div_ceil(LINE) {
                    V::prefetch(to.wrapping_add(line * LINE));
                }
            }
        }
        // One loop over all indices: with a loop inside a loop the compiler keeps sums twice and runs out of registers.
        let (mut a, mut b, mut length, mut rest) = (0, first, 0, 0);
        loop {
            if length == 0 {
                if rest == 0 {
                    if next == end {
                        break;
                    }
                    let segment = *next;
                    next = next.add(1);
                    a = segment.left;
                    b = first.wrapping_add(segment.right * b_step);
                    rest = segment.length;
                }
                length = rest;
                if FETCHES {
                    tile.ahead.fetch::<V>();
                    length = rest.min(LINE);
                }
                rest -= length;
            }
            let right = V::load(b);
            for i in 0..ROWS {
                V::keep_order();
                sums[i] = sums[i].fma(V::splat(rows[i].offset(a)), right);
            }
            a = a.wrapping_add_unsigned(a_step);
            b = b.wrapping_add(b_step);
            length -= 1;
        }
        store_tile::<V, ROWS>(tile, &sums);
    }
}

/// Runs the body for each row below `$rows`, with a constant number: an index that is not constant would keep the sums
/// in memory, and the compiler does not unroll long loops.
macro_rules! for_each_row {
    ($row:ident < $rows:ident, $body:block) => {
        for_each_row!(@ $row $rows $body 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $row:ident $rows:ident $body:block $($number:literal)*) => {
        $(if $number < $rows {
            let $row = $number;
            $body
        })*
    };
}

/// Adding a block to +0 first makes a −0 block +0. No later sum is −0, so this delivers `s + 0.0`.
#[inline(always)]
unsafe fn store_tile<V: Vector, const ROWS: usize>(tile: &Tile, sums: &[V; ROWS]) {
    // SAFETY: as in `tile`; a narrower tile touches only its columns.
    unsafe {
        let to = |row: usize| (*tile.outputs.add(row)).add(tile.column);
        if tile.columns < V::LANES {
            let mut rows = [V::zero(); ROWS];
            for_each_row!(row < ROWS, {
                sums[row].store((&raw mut rows[row]).cast());
            });
            for (row, &sum) in rows.iter().enumerate() {
                let before = if tile.add {
                    V::load_first(to(row), tile.columns)
                } else {
                    V::zero()
                };
                before.add(sum).store_first(to(row), tile.columns);
            }
        } else if tile.add {
            for_each_row!(row < ROWS, {
                V::load(to(row)).add(sums[row]).store(to(row));
            });
        } else {
            for_each_row!(row < ROWS, {
                V::zero().add(sums[row]).store(to(row));
            });
        }
    }
}

#[inline(always)]
unsafe fn copy_panel<V: Vector>(copy: &PanelCopy) {
    let mut column = 0;
    // SAFETY: columns and depths stay inside what the copy describes.
    unsafe {
        if copy.column_stride == 1 {
            return copy_rows::<V>(copy);
        }
        if copy.row_stride == 1 {
            while column + 8 <= copy.columns {
                let (from, to) = (
                    copy.from.add(column * copy.column_stride),
                    copy.to.add(column),
                );
                let mut depth = 0;
                while depth + 8 <= copy.depth {
                    V::transpose8(
                        from.add(depth),
                        copy.column_stride,
                        to.add(depth * copy.width),
                        copy.width,
                    );
                    depth += 8;
                }
                copy_elements(copy, depth..copy.depth, column..column + 8);
                column += 8;
            }
        }
        copy_elements(copy, 0..copy.depth, column..copy.width);
    }
}

#[inline(always)]
unsafe fn copy_rows<V: Vector>(copy: &PanelCopy) {
    let whole = copy.columns / V::LANES;
    let rest = copy.columns % V::LANES;
    // SAFETY: whole vectors end before `columns`; the rest is read by count and written up to `width`, a multiple of
    // the vector.
    unsafe {
        for depth in 0..copy.depth {
            let (mut from, mut to) = (
                copy.from.add(depth * copy.row_stride),
                copy.to.add(depth * copy.width),
            );
            for _ in 0..copy.panels {
                for v in 0..whole {
                    V::load(from.add(v * V::LANES)).store(to.add(v * V::LANES));
                }
                if rest > 0 {
                    let (tail, to) = (
                        V::load_first(from.add(whole * V::LANES), rest),
                        to.add(whole * V::LANES),
                    );
                    // Past the panel's end stands the next one, whose first rows are already there.
                    let end = depth * copy.width + (whole + 1) * V::LANES;
                    if copy.panels > 1 && end > copy.depth * copy.width {
                        tail.store_first(to, rest);
                    } else {
                        tail.store(to);
                    }
                }
                from = from.wrapping_add(copy.columns);
                to = to.wrapping_add(copy.depth * copy.width);
            }
        }
    }
}

#[inline(always)]
unsafe fn copy_elements(
    copy: &PanelCopy,
    depths: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) {
    for depth in depths {
        for column in columns.clone() {
            // SAFETY: the source is read for `column < columns` only; the panel has `width` columns.
            unsafe {
                let inside = column < copy.columns;
                let from = copy
                    .from
                    .wrapping_add(depth * copy.row_stride + column * copy.column_stride);
                *copy.to.add(depth * copy.width + column) = if inside { *from } else { 0.0 };
            }
        }
    }
}

#[inline(always)]
unsafe fn add_row<V: Vector>(to: *mut f32, from: *const f32, length: usize, add: bool) {
    // SAFETY: the caller vouches for `length` elements on both sides.
    unsafe {
        let mut place = 0;
        while place + V::LANES <= length {
            let before = if add {
                V::load(to.add(place))
            } else {
                V::zero()
            };
            before.add(V::load(from.add(place))).store(to.add(place));
            place += V::LANES;
        }
        let rest = length - place;
        if rest > 0 {
            let before = if add {
                V::load_first(to.add(place), rest)
            } else {
                V::zero()
            };
            before
                .add(V::load_first(from.add(place), rest))
                .store_first(to.add(place), rest);
        }
    }
}

/// Compiles the generic functions above with the attributes that enable an instruction set: tiles one vector of `$copy`
/// wide, two, and so on, each with its heights.
macro_rules! kernels {
    ($name:ident, $isa:expr, [$($attribute:meta),*], $copy:ty, $add:ty, [$($vector:ty: $rows:tt),*]) => {
        pub(crate) static $name: Kernels = {
            $(#[$attribute])*
            unsafe fn tile_for<V: Vector, const ROWS: usize>(job: &Tile) {
                // SAFETY: the attributes above enable the vector's instruction set; the rest is the caller's contract.
                unsafe { tiles::<V, ROWS>(job) }
            }
            $(#[$attribute])*
            unsafe fn copy_panel_for(copy: &PanelCopy) {
                // SAFETY: as above.
                unsafe { copy_panel::<$copy>(copy) }
            }
            $(#[$attribute])*
            unsafe fn add_row_for(to: *mut f32, from: *const f32, length: usize, add: bool) {
                // SAFETY: as above.
                unsafe { add_row::<$add>(to, from, length, add) }
            }
            Kernels {
                isa: $isa,
                lanes: <$copy as Vector>::LANES,
                tiles: &[$(kernels!(@heights $vector, $rows)),*],
                copy_panel: copy_panel_for,
                add_row: add_row_for,
            }
        };
    };
    (@heights $vector:ty, [$($rows:literal)*]) => { &[$(tile_for::<$vector, $rows>),*] };
}

// Heights: as many rows as leave registers for one vector of each right operand and one left operand. With more than
// eight rows of several vectors their pointers no longer fit the general registers, and the compiler then keeps sums in
// memory too, at half the speed. On processors that do a 512-bit vector in two halves, eight rows of one are enough.
kernels!(SCALAR, Isa::Scalar, [], Portable<4>, Portable<4>, [
    Portable<4>: [1 2 3 4],
    Two<Portable<4>, Portable<4>>: [1 2 3 4],
    Two<Two<Portable<4>, Portable<4>>, Portable<4>>: [1 2]
]);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, Isa::Avx2, [target_feature(enable = "avx2,fma")], Avx2, Avx2, [
    Avx2: [1 2 3 4 5 6 7 8 9 10 11 12],
    Two<Avx2, Avx2>: [1 2 3 4 5 6],
    Two<Two<Avx2, Avx2>, Avx2>: [1 2 3 4]
]);
#[cfg(target_arch = "x86_64")]
kernels!(AVX512, Isa::Avx512, [target_feature(enable = "avx512f,avx512vl,avx2,fma")], Avx2, Avx512, [
    Avx2: [1 2 3 4 5 6 7 8 9 10 11 12],
    Avx512: [1 2 3 4 5 6 7 8 9 10 11 12],
    Two<Two<Avx2, Avx2>, Avx2>: [1 2 3 4 5 6 7 8],
    Two<Avx512, Avx512>: [1 2 3 4 5 6 7 8],
    Two<Two<Avx512, Avx512>, Avx2>: [1 2 3 4 5 6 7 8],
    Two<Two<Avx512, Avx512>, Avx512>: [1 2 3 4 5 6 7 8]
]);
#[cfg(target_arch = "aarch64")]
kernels!(NEON, Isa::Neon, [target_feature(enable = "neon")], Neon, Neon, [
    Neon: [1 2 3 4 5 6 7 8 9 10 11 12],
    Two<Neon, Neon>: [1 2 3 4 5 6 7 8],
    Two<Two<Neon, Neon>, Neon>: [1 2 3 4 5 6 7 8]
]);

// Plain Rust in the shape of AVX-512, so that any machine tests its tiles.
#[cfg(test)]
kernels!(WIDE, Isa::Scalar, [], Portable<8>, Portable<16>, [
    Portable<8>: [1 2 3 4 5 6 7 8 9 10 11 12],
    Portable<16>: [1 2 3 4 5 6 7 8 9 10 11 12],
    Two<Portable<16>, Portable<8>>: [1 2 3 4 5 6 7 8],
    Two<Portable<16>, Portable<16>>: [1 2 3 4 5 6 7 8],
    Two<Two<Portable<16>, Portable<16>>, Portable<8>>: [1 2 3 4 5 6 7 8],
    Two<Two<Portable<16>, Portable<16>>, Portable<16>>: [1 2 3 4 5 6 7 8]
]);

/// The functions of an instruction set that the processor reports, or `None`.
pub(crate) fn kernels_of(isa: Isa) -> Option<&'static Kernels> {
    if !isa.is_reported() {
        return None;
    }
    match isa {
        Isa::Scalar => Some(&SCALAR),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Some(&AVX2),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Some(&AVX512),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Some(&NEON),
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => None,
        #[cfg(not(target_arch = "aarch64"))]
        Isa::Neon => None,
    }
}
