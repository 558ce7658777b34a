//! Right operands in panels: copied block by block, or once for many products.

use std::ops::Range;

use super::gemm::blocks;
use super::kernel::{Kernels, PanelCopy};
use super::operand::{Operand, check_reach};
use super::tiling::{Panel, Panels, Right};
use super::{Context, Misfit};

/// Columns whose packed right operands stay in the second or third cache level; whole panels of every width.
const COLUMN_CHUNK: usize = 3840;
/// Panels copied side by side.
const PANELS_TOGETHER: usize = 32;
/// Floats behind the last panel of an operand, as a whole vector may be written there.
pub(super) const SLACK: usize = 16;

/// A right operand in panels, ready for any number of products with it.
#[derive(Clone, Copy)]
pub struct Packed<'a>(&'a [f32]);

impl Packed<'_> {
    pub(super) fn check(&self, context: &Context<'_>, [n, k]: [usize; 2]) -> Result<(), Misfit> {
        let length = packed_length(context, n, k);
        check_reach("packed operand", self.0.len(), &[(length, 1)])
    }

    /// Where the panels of a chunk of columns and of a block of indices stand.
    pub(super) fn rights(
        &self,
        kernels: &Kernels,
        [n, k]: [usize; 2],
        indices: &Range<usize>,
        columns: &Range<usize>,
    ) -> Rights {
        let width = |columns: Range<usize>| Panels::new(kernels, columns.len()).padded();
        let before = chunks(0..n)
            .take_while(|chunk| chunk.start < columns.start)
            .map(width)
            .sum::<usize>();
        let start = before * k + width(columns.clone()) * indices.start;
        Rights {
            packed: self.0.as_ptr().wrapping_add(start),
            length: indices.len(),
            in_place: None,
        }
    }
}

/// Floats of a packed right operand of `n` columns and `k` rows.
pub fn packed_length(context: &Context<'_>, n: usize, k: usize) -> usize {
    let padded = |columns: Range<usize>| Panels::new(context.kernels, columns.len()).padded();
    chunks(0..n).map(padded).sum::<usize>() * k + SLACK
}

/// Copies a right operand of `n` columns and `k` rows into the first [`packed_length`] floats of `to`.
///
/// # Errors
/// If a buffer is too short.
pub fn pack_right<'a>(
    context: &Context<'_>,
    [n, k]: [usize; 2],
    b: &Operand<'_>,
    to: &'a mut [f32],
) -> Result<Packed<'a>, Misfit> {
    check_reach(
        "right operand",
        b.data.len(),
        &[(k, b.row_stride), (n, b.column_stride)],
    )?;
    let length = packed_length(context, n, k);
    check_reach("packed operand", to.len(), &[(length, 1)])?;
    let mut start = 0;
    for columns in chunks(0..n) {
        let panels = Panels::new(context.kernels, columns.len());
        for block in blocks(k) {
            let source = Source {
                kernels: context.kernels,
                first: b.data.as_ptr(),
                b,
            };
            // SAFETY: the reach of the operand was checked, and what is left holds all panels and the slack.
            unsafe { source.pack(&block.indices, &columns, &panels, &mut to[start..]) }
            start += panels.padded() * block.indices.len();
        }
    }
    Ok(Packed(&to[..length]))
}

/// Columns that are packed together.
pub(super) fn chunks(columns: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let starts = columns.clone().step_by(COLUMN_CHUNK);
    starts.map(move |start| start..columns.end.min(start + COLUMN_CHUNK))
}

/// A right operand that panels are copied from.
pub(super) struct Source<'a> {
    pub(super) kernels: &'static Kernels,
    /// Its first element.
    pub(super) first: *const f32,
    pub(super) b: &'a Operand<'a>,
}

impl Source<'_> {
    /// Copies all panels of some columns and indices, one after the other.
    ///
    /// # Safety
    /// The operand has these columns and indices; `packed` holds all panels.
    pub(super) unsafe fn pack(
        &self,
        indices: &Range<usize>,
        columns: &Range<usize>,
        panels: &Panels,
        packed: &mut [f32],
    ) {
        // SAFETY: the caller's contract.
        unsafe { self.pack_from(0, indices, columns, panels, packed) }
    }

    /// The same, from a panel on.
    ///
    /// # Safety
    /// As [`Self::pack`].
    pub(super) unsafe fn pack_from(
        &self,
        mut place: usize,
        indices: &Range<usize>,
        columns: &Range<usize>,
        panels: &Panels,
        packed: &mut [f32],
    ) {
        let (b, depth) = (self.b, indices.len());
        while place < panels.count() {
            let panel = panels.panel(place);
            // Row-major operands are copied some panels at a time: more of each row per visit.
            let whole = panels.columns / panels.width - place;
            let together = if b.column_stride == 1 {
                whole.clamp(1, PANELS_TOGETHER)
            } else {
                1
            };
            place += together;
            let from =
                indices.start * b.row_stride + (columns.start + panel.start) * b.column_stride;
            let copy = PanelCopy {
                from: self.first.wrapping_add(from),
                row_stride: b.row_stride,
                column_stride: b.column_stride,
                depth,
                columns: panel.columns,
                width: panel.width,
                to: packed[panel.start * depth..].as_mut_ptr(),
                panels: together,
            };
            // SAFETY: the caller's contract.
            unsafe { (self.kernels.copy_panel)(&copy) }
        }
    }
}

/// Where the right operands of a block lie.
pub(super) struct Rights {
    pub(super) packed: *const f32,
    /// Indices of the block.
    pub(super) length: usize,
    /// First element, step to the next index, and columns of what is read in place; the rest is packed.
    pub(super) in_place: Option<(*const f32, usize, usize)>,
}

impl Rights {
    pub(super) fn of(&self, panel: Panel) -> Right {
        match self.in_place {
            Some((first, step, columns)) if panel.start < columns => Right {
                first: first.wrapping_add(panel.start),
                step,
            },
            _ => Right {
                first: self.packed.wrapping_add(panel.start * self.length),
                step: panel.width,
            },
        }
    }
}
