//! Reductions and contractions: every order of additions.

use crate::operand::{Operand, broken, filtered, joined, named, spread};
use mmh_ir::device::{RunError, Tensor};
use mmh_ir::{Axis, ReduceKind, Shape};
use mmh_numerics::contract::{K_BLOCK, K_GROUP};
use mmh_numerics::reduce;

/// Folds over the axes `over`, by their flattened number.
pub(crate) fn reduce(
    kind: ReduceKind,
    over: &[Axis],
    operand: Operand<'_>,
) -> Result<Tensor, RunError> {
    let folded = named(operand.shape, over)?;
    let kept = operand.shape.without(over);
    let (rows, n) = (kept.elements(), folded.elements());
    let order = joined(&[&kept, &folded]);
    match operand.tensor {
        Tensor::F32(_) => {
            let data = operand.f32(&order)?;
            let row = |r: usize| &data[r * n..(r + 1) * n];
            let fold = |f: fn(&[f32]) -> f32| Tensor::F32((0..rows).map(|r| f(row(r))).collect());
            Ok(match kind {
                ReduceKind::Sum => fold(|x| reduce::sum(x.len(), |i| x[i])),
                ReduceKind::Max => fold(|x| reduce::max(x.len(), |i| x[i])),
                ReduceKind::Min => fold(|x| reduce::min(x.len(), |i| x[i])),
                ReduceKind::ArgMax => {
                    let place = |r| reduce::argmax(n, |i| row(r)[i]).unwrap_or(0) as i32;
                    Tensor::I32((0..rows).map(place).collect())
                }
            })
        }
        Tensor::I32(_) => {
            let data = operand.i32(&order)?;
            let row = |r: usize| data[r * n..(r + 1) * n].iter().copied();
            let fold = |f: &dyn Fn(usize) -> i32| Tensor::I32((0..rows).map(f).collect());
            Ok(match kind {
                ReduceKind::Sum => fold(&|r| row(r).fold(0, i32::wrapping_add)),
                ReduceKind::Max => fold(&|r| row(r).max().unwrap_or(i32::MIN)),
                ReduceKind::Min => fold(&|r| row(r).min().unwrap_or(i32::MAX)),
                ReduceKind::ArgMax => fold(&|r| first_largest(row(r))),
            })
        }
        Tensor::U8(_) | Tensor::Bool(_) => Err(broken("only f32 and i32 are folded")),
    }
}

fn first_largest(row: impl Iterator<Item = i32>) -> i32 {
    let best = (0..)
        .zip(row)
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(place, _)| place)
}

/// Contracts two operands over `over`: one strict chain for every result element.
pub(crate) fn contract(
    over: &[Axis],
    operands: &[Operand<'_>],
    shape: &Shape,
) -> Result<Tensor, RunError> {
    let [left, right] = operands else {
        return Err(broken("a contraction takes two operands"));
    };
    let chain_axes = named(left.shape, over)?;
    let shared = filtered(left.shape, |a| right.shape.has(a) && !over.contains(a));
    let rows = filtered(left.shape, |a| !right.shape.has(a));
    let columns = filtered(right.shape, |a| !left.shape.has(a));
    let a = left.f32(&joined(&[&shared, &rows, &chain_axes]))?;
    let b = right.f32(&joined(&[&shared, &columns, &chain_axes]))?;

    let (m, n, k) = (rows.elements(), columns.elements(), chain_axes.elements());
    let mut result = Vec::with_capacity(shared.elements() * m * n);
    for s in 0..shared.elements() {
        for i in 0..m {
            let a = &a[(s * m + i) * k..(s * m + i + 1) * k];
            for j in 0..n {
                let b = &b[(s * n + j) * k..(s * n + j + 1) * k];
                result.push(chain(a, b));
            }
        }
    }
    spread(&result, &joined(&[&shared, &rows, &columns]), shape).map(Tensor::F32)
}

/// [`mmh_numerics::contract::chain`] over slices.
fn chain(a: &[f32], b: &[f32]) -> f32 {
    let groups = a.chunks(K_GROUP).zip(b.chunks(K_GROUP));
    let sum = groups.map(|(a, b)| {
        let blocks = a.chunks(K_BLOCK).zip(b.chunks(K_BLOCK));
        left_to_right(blocks.map(|(a, b)| {
            let pairs = a.iter().zip(b);
            pairs.fold(0.0_f32, |acc, (a, b)| a.mul_add(*b, acc))
        }))
    });
    left_to_right(sum) + 0.0
}

fn left_to_right(values: impl Iterator<Item = f32>) -> f32 {
    values.reduce(|sum, value| sum + value).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_is_the_contract() {
        for n in [0, 1, 2, 255, 256, 257, 1000, 65_536, 65_537, 140_000] {
            let value = |i: usize, salt: usize| {
                let mixed = (i.wrapping_mul(2_654_435_761) ^ salt) % 1009;
                mixed as f32 / 504.0 - 1.0
            };
            let a: Vec<f32> = (0..n).map(|i| value(i, 1)).collect();
            let b: Vec<f32> = (0..n).map(|i| value(i, 77)).collect();
            let expected = mmh_numerics::contract::chain(n, |k| (a[k], b[k]));
            assert_eq!(chain(&a, &b).to_bits(), expected.to_bits(), "{n}");
        }
    }
}
