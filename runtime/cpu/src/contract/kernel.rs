//! The tile kernel, written once, and its table per instruction set.
//!
//! A [`Tile`] is a few output rows by a few vectors of output columns, over one block of the contracted index.
//! [`Kernels`] holds a function for every height and width, compiled for one instruction set.

use super::scalar::Portable;
use super::vector::Vector;
use crate::isa::Isa;

/// A run of the contracted index whose left operands lie evenly spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Elements from a tile row's pointer to its operand for the run's first index.
    pub(crate) offset: isize,
    /// Contracted indices in the run.
    pub(crate) length: usize,
}

/// One tile over one block: `c[i][j] = (add ? c[i][j] : 0) + chain over k of fma(a[i][k], b[k][j], acc)`.
pub(crate) struct Tile {
    /// One pointer per row; a segment's offset leads from it to the left operands.
    pub(crate) rows: *const *const f32,
    pub(crate) segments: *const Segment,
    pub(crate) segment_count: usize,
    /// Elements from one left operand to the next.
    pub(crate) a_step: usize,
    /// Right operands of the first index. All segments together read one evenly spaced sequence.
    pub(crate) b: *const f32,
    /// Elements from one index's right operands to the next one's.
    pub(crate) b_step: usize,
    /// One pointer per output row.
    pub(crate) outputs: *const *mut f32,
    /// Column of the output where the tile starts.
    pub(crate) column: usize,
    /// Columns to write; at most the width of the tile, and more than the width less one vector.
    pub(crate) columns: usize,
    pub(crate) add: bool,
}

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
    pub(crate) lanes: usize,
    /// `tiles[vectors - 1][rows - 1]`.
    pub(crate) tiles: [&'static [TileFunction]; MAX_VECTORS],
    /// See [`PanelCopy`]. Unsafe for the same reasons as a tile.
    pub(crate) copy_panel: unsafe fn(&PanelCopy),
    /// `to[i] = from[i] + (add ? to[i] : 0)` for `i < length`.
    pub(crate) add_row: unsafe fn(to: *mut f32, from: *const f32, length: usize, add: bool),
}

/// Widest tile, in vectors.
pub(crate) const MAX_VECTORS: usize = 3;
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
    // SAFETY: the contract of `TileFunction`, which also covers every pointer formed here.
    unsafe {
        let mut sums = [[V::zero(); VECTORS]; ROWS];
        let rows: [*const f32; ROWS] = std::array::from_fn(|i| *tile.rows.add(i));
        let mut b = tile.b;
        for place in 0..tile.segment_count {
            let segment = *tile.segments.add(place);
            let mut a = segment.offset;
            for _ in 0..segment.length {
                let right: [V; VECTORS] = std::array::from_fn(|v| V::load(b.add(v * V::LANES)));
                for i in 0..ROWS {
                    let left = V::splat(rows[i].offset(a));
                    for v in 0..VECTORS {
                        sums[i][v] = sums[i][v].fma(left, right[v]);
                    }
                }
                a = a.wrapping_add_unsigned(tile.a_step);
                b = b.wrapping_add(tile.b_step);
            }
        }
        store_tile::<V, ROWS, VECTORS>(tile, &sums);
    }
}

/// Adding a block to +0 first makes a −0 block +0. No later sum is −0, so this delivers `s + 0.0`.
#[inline(always)]
unsafe fn store_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
    tile: &Tile,
    sums: &[[V; VECTORS]; ROWS],
) {
    // SAFETY: as in `tile`; the last vector touches only the columns that are left.
    unsafe {
        let last = tile.columns - (VECTORS - 1) * V::LANES;
        for (i, sums) in sums.iter().enumerate() {
            let to = (*tile.outputs.add(i)).add(tile.column);
            for (v, &sum) in sums.iter().enumerate() {
                let to = to.add(v * V::LANES);
                if v + 1 < VECTORS || last == V::LANES {
                    let before = if tile.add { V::load(to) } else { V::zero() };
                    before.add(sum).store(to);
                } else {
                    let before = if tile.add {
                        V::load_first(to, last)
                    } else {
                        V::zero()
                    };
                    before.add(sum).store_first(to, last);
                }
            }
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

/// Compiles the generic functions above for one vector type, with the attributes that enable its instruction set.
macro_rules! kernels {
    ($name:ident, $isa:expr, $vector:ty, [$($attribute:meta),*], $one:tt, $two:tt, $three:tt) => {
        pub(crate) static $name: Kernels = {
            $(#[$attribute])*
            unsafe fn tile_for<const ROWS: usize, const VECTORS: usize>(job: &Tile) {
                // SAFETY: the attributes above enable the vector's instruction set; the rest is the caller's contract.
                unsafe { tile::<$vector, ROWS, VECTORS>(job) }
            }
            $(#[$attribute])*
            unsafe fn copy_panel_for(copy: &PanelCopy) {
                // SAFETY: as above.
                unsafe { copy_panel::<$vector>(copy) }
            }
            $(#[$attribute])*
            unsafe fn add_row_for(to: *mut f32, from: *const f32, length: usize, add: bool) {
                // SAFETY: as above.
                unsafe { add_row::<$vector>(to, from, length, add) }
            }
            Kernels {
                isa: $isa,
                lanes: <$vector as Vector>::LANES,
                tiles: [kernels!(@heights 1 $one), kernels!(@heights 2 $two), kernels!(@heights 3 $three)],
                copy_panel: copy_panel_for,
                add_row: add_row_for,
            }
        };
    };
    (@heights $vectors:literal [$($rows:literal)*]) => { &[$(tile_for::<$rows, $vectors>),*] };
}

// Heights: as many rows as leave registers for one vector of each right operand and one left operand. Above eight rows
// their pointers no longer fit the general registers, and the compiler then keeps sums in memory too (half the speed).
kernels!(SCALAR, Isa::Scalar, Portable<4>, [], [1 2 3 4], [1 2 3 4], [1 2]);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, Isa::Avx2, super::x86::Avx2, [target_feature(enable = "avx2,fma")],
    [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6], [1 2 3 4]);
#[cfg(target_arch = "x86_64")]
kernels!(AVX512, Isa::Avx512, super::x86::Avx512, [target_feature(enable = "avx512f,avx2,fma")],
    [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6 7 8], [1 2 3 4 5 6 7 8]);
#[cfg(target_arch = "aarch64")]
kernels!(NEON, Isa::Neon, super::neon::Neon, [target_feature(enable = "neon")],
    [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6 7 8]);

// Plain Rust in the shape of AVX-512, so that any machine tests its tiles.
#[cfg(test)]
kernels!(WIDE, Isa::Scalar, Portable<16>, [], [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3 4 5 6 7 8], [1 2 3 4 5 6 7 8]);

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
