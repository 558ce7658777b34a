//! Eigenvalues of symmetric matrices by Jacobi's rotations: only sums, products, quotients and square roots, in fixed order.

/// A square matrix, row by row.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// Sweeps at most; convergence is quadratic and takes about eight.
const SWEEPS: usize = 40;

/// Eigenvalues and, column by column, eigenvectors of a symmetric matrix.
#[allow(
    clippy::needless_range_loop,
    reason = "rows and columns are turned together"
)]
pub(crate) fn symmetric(matrix: &Matrix) -> (Vec<f64>, Matrix) {
    let n = matrix.len();
    let mut a = matrix.clone();
    let mut vectors: Matrix = (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..SWEEPS {
        let (mut off, mut all) = (0.0, 0.0);
        for i in 0..n {
            for j in 0..n {
                let square = a[i][j] * a[i][j];
                all += square;
                off += if i == j { 0.0 } else { square };
            }
        }
        if off <= all * 1e-30 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let sign = if theta < 0.0 { -1.0 } else { 1.0 };
                let t = sign / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k][p], a[k][q]);
                    (a[k][p], a[k][q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p][k], a[q][k]);
                    (a[p][k], a[q][k]) = (c * x - s * y, s * x + c * y);
                }
                for row in &mut vectors {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_its_vectors_times_its_values() {
        let n = 7;
        let entry =
            |i: usize, j: usize| 1.0 / (i.min(j) as f64 + 1.5) + if i == j { 2.0 } else { 0.0 };
        let matrix: Matrix = (0..n)
            .map(|i| (0..n).map(|j| entry(i, j)).collect())
            .collect();
        let (values, vectors) = symmetric(&matrix);
        for i in 0..n {
            for j in 0..n {
                let sum: f64 = (0..n)
                    .map(|k| vectors[i][k] * values[k] * vectors[j][k])
                    .sum();
                assert!((sum - matrix[i][j]).abs() < 1e-13);
                let dot: f64 = (0..n).map(|k| vectors[k][i] * vectors[k][j]).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-13);
            }
        }
    }
}
