//! Products computed as their transpose: `cᵀ = bᵀ·aᵀ` has the same chains.
//!
//! A long weight gradient reads its left operand across rows that lie far apart. Where there are more such rows than columns
//! of the right operand, that one is the cheaper to read so: the other is read along its rows, as memory likes it.

use super::kernel::PanelCopy;
use super::operand::{Absent, Gemm, Operand, Output};
use super::tiling::part_of;
use super::{Context, K_BLOCK, Misfit, gemm};
use crate::memory::scratch;

/// Columns of the result in whole vectors of every instruction set.
const VECTOR: usize = 16;

/// Whether the transpose is the better product.
pub(super) fn pays(sizes: &Gemm, a: &Operand<'_>, b: &Operand<'_>, output: &Output<'_>) -> bool {
    let is_across = a.row_stride == 1 && a.column_stride > 1 && b.column_stride == 1;
    sizes.batch == [1, 1]
        && sizes.absent == Absent::Nothing
        && sizes.k > K_BLOCK
        && sizes.m >= 2 * sizes.n
        && sizes.n.is_multiple_of(VECTOR)
        && is_across
        && output.row_stride == sizes.n
}

/// Computes the transpose and turns it.
pub(super) fn run<'a>(
    context: &Context<'_>,
    sizes: &Gemm,
    a: Operand<'a>,
    b: Operand<'a>,
    output: Output<'_>,
) -> Result<(), Misfit> {
    let Gemm { m, n, .. } = *sizes;
    let turn = |operand: Operand<'a>| Operand {
        row_stride: operand.column_stride,
        column_stride: operand.row_stride,
        ..operand
    };
    let mut turned = scratch(m * n);
    let turned_sizes = Gemm {
        m: n,
        n: m,
        ..*sizes
    };
    let to = Output::rows(&mut turned[..m * n], m);
    gemm(context, &turned_sizes, turn(b), turn(a), to)?;
    let (from, to) = (
        Elements(turned.as_mut_ptr()),
        Elements(output.data.as_mut_ptr()),
    );
    let parts = context.pool.threads().min(m);
    context.pool.run(parts, &|part| {
        let rows = part_of(m, parts, part);
        let copy = PanelCopy {
            from: from.at(rows.start),
            row_stride: 1,
            column_stride: m,
            depth: rows.len(),
            columns: n,
            width: n,
            to: to.at(rows.start * n),
            panels: 1,
        };
        // SAFETY: both matrices have m times n elements, and the parts' rows are disjoint.
        unsafe { (context.kernels.copy_panel)(&copy) }
    });
    Ok(())
}

/// Elements that threads read, or write in places of their own.
struct Elements(*mut f32);

// SAFETY: threads write disjoint rows.
unsafe impl Sync for Elements {}

impl Elements {
    fn at(&self, place: usize) -> *mut f32 {
        self.0.wrapping_add(place)
    }
}
