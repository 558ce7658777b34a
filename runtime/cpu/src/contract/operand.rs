//! Sizes, strides and bounds of matrix operands.

use super::Misfit;
pub use mmh_lower::schedule::Absent;

/// Sizes of a batch of products: `c[p][i][j] = sum over l of a[p][i][l] · b[p][l][j]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemm {
    /// Two batch axes, for instance sequences and heads.
    pub batch: [usize; 2],
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// Contracted length.
    pub k: usize,
    /// Which part is not there.
    pub absent: Absent,
}

impl Gemm {
    /// One product with nothing absent.
    pub fn single(m: usize, n: usize, k: usize) -> Self {
        Self {
            batch: [1, 1],
            m,
            n,
            k,
            absent: Absent::Nothing,
        }
    }
}

/// A batch of matrices to read: element (i, j) of batch (p, q) lies at
/// `p · batch_strides[0] + q · batch_strides[1] + i · row_stride + j · column_stride`.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub column_stride: usize,
    /// Elements from one batch index to the next.
    pub batch_strides: [usize; 2],
}

impl<'a> Operand<'a> {
    /// A row-major matrix of `columns` columns.
    pub fn rows(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            row_stride: columns,
            column_stride: 1,
            batch_strides: [0, 0],
        }
    }

    /// The transpose of a row-major matrix of `columns` columns.
    pub fn transposed(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            row_stride: 1,
            column_stride: columns,
            batch_strides: [0, 0],
        }
    }
}

/// A batch of matrices to write, addressed like [`Operand`] with a column stride of 1.
pub struct Output<'a> {
    /// The elements; those that no (i, j) addresses are left alone.
    pub data: &'a mut [f32],
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one batch index to the next.
    pub batch_strides: [usize; 2],
}

impl<'a> Output<'a> {
    /// A row-major matrix of `columns` columns.
    pub fn rows(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data,
            row_stride: columns,
            batch_strides: [0, 0],
        }
    }
}

/// Elements from the first to past the last of an array, or `None` on overflow.
pub(super) fn reach(axes: &[(usize, usize)]) -> Option<usize> {
    if axes.iter().any(|&(count, _)| count == 0) {
        return Some(0);
    }
    let last = axes.iter().try_fold(0usize, |sum, &(count, stride)| {
        sum.checked_add((count - 1).checked_mul(stride)?)
    });
    last.and_then(|last| last.checked_add(1))
        .filter(|&reach| reach <= isize::MAX as usize / size_of::<f32>())
}

pub(super) fn check_reach(
    role: &'static str,
    length: usize,
    axes: &[(usize, usize)],
) -> Result<(), Misfit> {
    let fits = reach(axes).is_some_and(|reach| reach <= length);
    if fits {
        Ok(())
    } else {
        Err(Misfit::TooShort(role))
    }
}

/// Whether each axis, from the smallest stride up, steps over all of the smaller ones.
pub(super) fn is_disjoint(mut axes: [(usize, usize); 4]) -> bool {
    axes.sort_by_key(|&(_, stride)| stride);
    let used: Vec<_> = axes.into_iter().filter(|&(count, _)| count > 1).collect();
    (0..used.len()).all(|place| reach(&used[..place]).is_some_and(|inner| used[place].1 >= inner))
}
