//! Statistics of a column's training rows, in f64, rounded to f32 once.

use crate::failure::RunFailure;
use mmh_data::{Column, moments, moments_of_all, most_frequent};
use mmh_ir::DType;
use mmh_ir::device::Tensor;
use mmh_ir::plan::{StatisticKind, StatisticPlan};

/// A statistic: one per element of a row, or one over all elements where the plan wants a single number.
pub(crate) fn statistic(
    plan: &StatisticPlan,
    column: Option<&Column>,
    rows: &[u32],
) -> Result<Tensor, RunFailure> {
    let wrong = || {
        RunFailure::Plan(format!(
            "statistic {:?} does not fit column {}",
            plan.kind, plan.column
        ))
    };
    let column = column.ok_or_else(wrong)?;
    let wanted = plan.ty.shape.elements();
    if wanted != 1 && wanted != column.width() {
        return Err(wrong());
    }
    let each = wanted == column.width();
    let found: Vec<f64> = match plan.kind {
        StatisticKind::Mean | StatisticKind::Deviation => {
            let found = if each {
                moments(column, rows)
            } else {
                vec![moments_of_all(column, rows)]
            };
            let deviation = plan.kind == StatisticKind::Deviation;
            found
                .iter()
                .map(|moments| {
                    if deviation {
                        or_one(moments.std)
                    } else {
                        moments.mean
                    }
                })
                .collect()
        }
        StatisticKind::Median if each => (0..wanted)
            .map(|place| lower_median(column, rows, place..place + 1))
            .collect(),
        StatisticKind::Median => vec![lower_median(column, rows, 0..column.width())],
        StatisticKind::Mode => vec![f64::from(most_frequent(column, rows).unwrap_or(0))],
    };
    match plan.ty.dtype {
        DType::F32 => Ok(Tensor::F32(
            found.iter().map(|value| *value as f32).collect(),
        )),
        DType::I32 => Ok(Tensor::I32(
            found.iter().map(|value| *value as i32).collect(),
        )),
        DType::U8 | DType::Bool => Err(wrong()),
    }
}

fn or_one(deviation: f64) -> f64 {
    if deviation == 0.0 { 1.0 } else { deviation }
}

/// The value at place `⌊(n − 1) / 2⌋` of those that are there, in order; 0 where none is.
fn lower_median(column: &Column, rows: &[u32], places: std::ops::Range<usize>) -> f64 {
    let width = column.width();
    let mut values: Vec<f64> = rows
        .iter()
        .flat_map(|&row| {
            places
                .clone()
                .map(move |place| row as usize * width + place)
        })
        .filter_map(|element| column.number(element))
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_data::{Bitmap, Values};
    use mmh_ir::{Shape, Type};

    #[test]
    fn one_per_element_or_one_for_all() {
        let mut missing = Bitmap::new(8);
        missing.set(1);
        let values = Values::F32(vec![1.0, 0.0, 3.0, 5.0, 5.0, 5.0, 99.0, 99.0]);
        let column = Column {
            name: "x".into(),
            shape: vec![2],
            values,
            missing: Some(missing),
        };
        let take = |kind, n: usize| {
            let shape = if n == 1 {
                Shape::scalar()
            } else {
                Shape::of(&[("n", n)])
            };
            let plan = StatisticPlan {
                column: 0,
                kind,
                ty: Type::f32(shape),
            };
            statistic(&plan, Some(&column), &[0, 1, 2])
                .unwrap()
                .as_f32()
                .unwrap()
                .to_vec()
        };
        assert_eq!(take(StatisticKind::Mean, 2), [3.0, 5.0]);
        assert_eq!(
            take(StatisticKind::Deviation, 2),
            [(8.0_f64 / 3.0).sqrt() as f32, 1.0]
        );
        assert_eq!(take(StatisticKind::Mean, 1), [3.8]);
        assert_eq!(take(StatisticKind::Median, 2), [3.0, 5.0]);
        assert_eq!(take(StatisticKind::Median, 1), [5.0]);
    }
}
