//! Statistics of a column's training rows, in f64, rounded to f32 once.

use crate::failure::RunFailure;
use crate::streamed::Held;
use mmh_data::{
    Column, Moments, class_counts, lower_medians, moments, moments_of_all, most_frequent,
    streamed_moments,
};
use mmh_ir::DType;
use mmh_ir::device::Tensor;
use mmh_ir::plan::{StatisticKind, StatisticPlan};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Statistics of the training rows of a data set. Moments are taken once for each column.
pub(crate) struct Statistics<'a> {
    rows: &'a [u32],
    /// By column, and whether they are of all elements together.
    moments: BTreeMap<(u32, bool), Vec<Moments>>,
}

impl<'a> Statistics<'a> {
    /// Of ascending rows.
    pub(crate) fn of(rows: &'a [u32]) -> Self {
        Self {
            rows,
            moments: BTreeMap::new(),
        }
    }

    /// A statistic: one per element of a row, or one over all elements where the plan wants a single number.
    pub(crate) fn take(
        &mut self,
        plan: &StatisticPlan,
        column: Option<&Held>,
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
        let together = wanted != column.width();
        let found: Vec<f64> = match plan.kind {
            StatisticKind::Mean => {
                let moments = self.moments(plan.column, column, together)?;
                moments.iter().map(|moments| moments.mean).collect()
            }
            StatisticKind::Deviation => {
                let moments = self.moments(plan.column, column, together)?;
                moments.iter().map(|moments| or_one(moments.std)).collect()
            }
            StatisticKind::Median => self.medians(column, together)?,
            StatisticKind::Mode => vec![f64::from(self.mode(column)?)],
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

    fn moments(
        &mut self,
        number: u32,
        column: &Held,
        together: bool,
    ) -> Result<&[Moments], RunFailure> {
        let found = match self.moments.entry((number, together)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(match column {
                Held::Memory(column) if together => vec![moments_of_all(column, self.rows)],
                Held::Memory(column) => moments(column, self.rows),
                Held::Streamed(column) => streamed_moments(column, self.rows, together)?,
            }),
        };
        Ok(found)
    }

    fn medians(&self, column: &Held, together: bool) -> Result<Vec<f64>, RunFailure> {
        let width = column.width();
        Ok(match column {
            Held::Streamed(column) => lower_medians(column, self.rows, together)?,
            Held::Memory(column) if together => vec![lower_median(column, self.rows, 0..width)],
            Held::Memory(column) => (0..width)
                .map(|place| lower_median(column, self.rows, place..place + 1))
                .collect(),
        })
    }

    /// The class met most often, of equal ones the lowest; 0 where there is none.
    fn mode(&self, column: &Held) -> Result<u32, RunFailure> {
        let column = match column {
            Held::Memory(column) => return Ok(most_frequent(column, self.rows).unwrap_or(0)),
            Held::Streamed(column) => column,
        };
        let counts = class_counts(column, self.rows)?;
        let most = counts.iter().copied().max().filter(|&most| most > 0);
        let place = most.and_then(|most| counts.iter().position(|&count| count == most));
        Ok(place.unwrap_or(0) as u32)
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
        let column = Held::Memory(Column {
            name: "x".into(),
            shape: vec![2],
            values,
            missing: Some(missing),
        });
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
            Statistics::of(&[0, 1, 2])
                .take(&plan, Some(&column))
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
