//! Triangular matrices, by rows. Every sum is added up in the order of its index; the loops are laid out so that sums stand side by side
//! and none waits for another, which changes no bit.

pub(crate) use crate::eigen::Matrix;

/// Points that are looked at together.
pub(crate) const LANES: usize = 8;

/// A number for each of them.
pub(crate) type Lanes = [f64; LANES];

/// Columns whose terms are subtracted in one go.
const BLOCK: usize = 4;

/// What stands under a root at least.
const LEAST: f64 = 1e-12;

/// The lower triangle `L` with `L·Lᵀ` the matrix, which is given by its lower triangle.
pub(crate) fn cholesky(mut a: Matrix) -> Matrix {
    let n = a.len();
    for first in (0..n).step_by(BLOCK) {
        let end = n.min(first + BLOCK);
        for i in first..n {
            for k in first..end.min(i + 1) {
                let mut sum = a[i][k];
                for (x, y) in a[i][first..k].iter().zip(&a[k][first..k]) {
                    sum -= x * y;
                }
                a[i][k] = match i == k {
                    true => sum.max(LEAST).sqrt(),
                    false => sum / a[k][k],
                };
            }
        }
        if end == n {
            break;
        }
        let column = |m: usize| -> Vec<f64> { a[end..].iter().map(|row| row[first + m]).collect() };
        let columns: [Vec<f64>; BLOCK] = [column(0), column(1), column(2), column(3)];
        for row in &mut a[end..] {
            let (done, rest) = row.split_at_mut(end);
            less(rest, &done[first..], &columns);
        }
    }
    a
}

/// `rest[j] −= factors[0]·columns[0][j]`, then the same of the others.
fn less(rest: &mut [f64], factors: &[f64], columns: &[Vec<f64>; BLOCK]) {
    let [a, b, c, d] = [0, 1, 2, 3].map(|m| &columns[m][..rest.len()]);
    let [fa, fb, fc, fd] = [0, 1, 2, 3].map(|m| factors[m]);
    for (j, value) in rest.iter_mut().enumerate() {
        *value = (((*value - fa * a[j]) - fb * b[j]) - fc * c[j]) - fd * d[j];
    }
}

/// The row that `L` gets when the matrix gets `row`, which ends with its diagonal.
pub(crate) fn next_row(lower: &Matrix, mut row: Vec<f64>) -> Vec<f64> {
    let n = lower.len();
    for j in 0..=n {
        let mut sum = row[j];
        for k in 0..j {
            let other = if j == n { row[k] } else { lower[j][k] };
            sum -= row[k] * other;
        }
        row[j] = if j == n {
            sum.max(LEAST).sqrt()
        } else {
            sum / lower[j][j]
        };
    }
    row
}

/// `(L·Lᵀ)⁻¹·b`.
pub(crate) fn solve(lower: &Matrix, b: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(b.len());
    for (i, row) in lower.iter().enumerate() {
        let mut sum = b[i];
        for (l, x) in row.iter().zip(&x) {
            sum -= l * x;
        }
        x.push(sum / row[i]);
    }
    for i in (0..x.len()).rev() {
        x[i] /= lower[i][i];
        let (before, rest) = x.split_at_mut(i);
        for (known, l) in before.iter_mut().zip(&lower[i]) {
            *known -= l * rest[0];
        }
    }
    x
}

/// The inverse of `L·Lᵀ`, its lower triangle.
pub(crate) fn inverse(lower: &Matrix) -> Matrix {
    let n = lower.len();
    // Rows of L⁻¹, filled up with zeros so that blocks of them are as long.
    let mut rows: Matrix = Vec::with_capacity(n);
    for (i, row) in lower.iter().enumerate() {
        let mut sums = vec![0.0; n];
        for first in (0..i).step_by(BLOCK) {
            let end = i.min(first + BLOCK);
            add(&mut sums[..end], &row[first..end], &rows[first..end]);
        }
        for sum in &mut sums[..i] {
            *sum = -*sum / row[i];
        }
        sums[i] = 1.0 / row[i];
        rows.push(sums);
    }
    let mut whole: Matrix = (0..n).map(|i| vec![0.0; i + 1]).collect();
    for first in (0..n).step_by(BLOCK) {
        let end = n.min(first + BLOCK);
        let block = &rows[first..end];
        for (i, row) in whole[..end].iter_mut().enumerate() {
            let factors: Vec<f64> = block.iter().map(|row| row[i]).collect();
            add(row, &factors, block);
        }
    }
    whole
}

/// `sums[j] += factors[0]·rows[0][j]`, then the same of the others.
fn add(sums: &mut [f64], factors: &[f64], rows: &[Vec<f64>]) {
    let long = sums.len();
    if let ([fa, fb, fc, fd], [a, b, c, d]) = (factors, rows) {
        let [a, b, c, d] = [a, b, c, d].map(|row| &row[..long]);
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum = (((*sum + fa * a[j]) + fb * b[j]) + fc * c[j]) + fd * d[j];
        }
        return;
    }
    for (factor, row) in factors.iter().zip(rows) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += factor * x;
        }
    }
}

/// `L⁻¹·b` in place, for every lane.
pub(crate) fn forward(lower: &Matrix, b: &mut [Lanes]) {
    for first in (0..lower.len()).step_by(2) {
        let (known, rest) = b.split_at_mut(first);
        let Some(second) = lower.get(first + 1) else {
            let mut sum = rest[0];
            for (l, x) in lower[first].iter().zip(&*known) {
                less_times(&mut sum, *l, x);
            }
            rest[0] = sum.map(|sum| sum / lower[first][first]);
            return;
        };
        let (mut one, mut two) = (rest[0], rest[1]);
        for ((l, m), x) in lower[first].iter().zip(second).zip(&*known) {
            less_times(&mut one, *l, x);
            less_times(&mut two, *m, x);
        }
        rest[0] = one.map(|sum| sum / lower[first][first]);
        less_times(&mut two, second[first], &rest[0]);
        rest[1] = two.map(|sum| sum / second[first + 1]);
    }
}

/// `L⁻ᵀ·b` in place, for every lane.
pub(crate) fn backward(lower: &Matrix, b: &mut [Lanes]) {
    let mut left = lower.len();
    while left >= 2 {
        let (above, last) = (&lower[left - 2], &lower[left - 1]);
        let (known, rest) = b.split_at_mut(left - 2);
        let two = rest[1].map(|x| x / last[left - 1]);
        let mut one = rest[0];
        less_times(&mut one, last[left - 2], &two);
        let one = one.map(|x| x / above[left - 2]);
        (rest[0], rest[1]) = (one, two);
        for ((l, m), known) in last.iter().zip(above).zip(known) {
            less_times(known, *l, &two);
            less_times(known, *m, &one);
        }
        left -= 2;
    }
    if left == 1 {
        b[0] = b[0].map(|x| x / lower[0][0]);
    }
}

/// `sum −= factor·x`, lane by lane.
#[inline(always)]
fn less_times(sum: &mut Lanes, factor: f64, x: &Lanes) {
    for lane in 0..LANES {
        sum[lane] -= factor * x[lane];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of `n` rows that has an inverse.
    fn matrix(n: usize) -> Matrix {
        let entry = |i: usize, j: usize| {
            1.0 / ((i - j) as f64 + 1.5) + if i == j { 1.0 + 0.1 * i as f64 } else { 0.0 }
        };
        (0..n)
            .map(|i| (0..=i).map(|j| entry(i, j)).collect())
            .collect()
    }

    fn at(m: &Matrix, i: usize, j: usize) -> f64 {
        if i >= j { m[i][j] } else { m[j][i] }
    }

    #[test]
    fn a_matrix_is_its_triangle_squared_and_blocks_change_no_bit() {
        for n in [1, 3, 4, 5, 8, 23] {
            let whole = matrix(n);
            let lower = cholesky(whole.clone());
            let mut grown: Matrix = Vec::new();
            for row in &whole {
                grown.push(next_row(&grown, row.clone()));
            }
            assert_eq!(grown, lower, "{n} rows one by one");
            for i in 0..n {
                for j in 0..=i {
                    let sum: f64 = (0..=j).map(|k| lower[i][k] * lower[j][k]).sum();
                    assert!((sum - whole[i][j]).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn inverses_are_inverse() {
        for n in [1, 4, 6, 17] {
            let whole = matrix(n);
            let found = inverse(&cholesky(whole.clone()));
            for i in 0..n {
                for j in 0..n {
                    let sum: f64 = (0..n).map(|k| at(&whole, i, k) * at(&found, k, j)).sum();
                    assert!((sum - f64::from(u8::from(i == j))).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn lanes_solve_as_one_does() {
        let n = 9;
        let lower = cholesky(matrix(n));
        let b: Vec<f64> = (0..n).map(|i| 1.0 - 0.3 * i as f64).collect();
        let mut lanes: Vec<Lanes> = b
            .iter()
            .map(|b| std::array::from_fn(|lane| b * (1.0 + lane as f64)))
            .collect();
        forward(&lower, &mut lanes);
        backward(&lower, &mut lanes);
        for lane in [0, LANES - 1] {
            let scaled: Vec<f64> = b.iter().map(|b| b * (1.0 + lane as f64)).collect();
            let found: Vec<f64> = lanes.iter().map(|x| x[lane]).collect();
            assert_eq!(found, solve(&lower, &scaled));
        }
    }
}
