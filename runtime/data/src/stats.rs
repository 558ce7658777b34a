//! Statistics of columns over given rows, in f64 by the reduction tree of the numerics contract. Missing values are skipped.

use mmh_numerics::reduce::sum_f64;

use crate::column::{Column, Values};

/// Mean and spread of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Sum divided by count; 0 where there is no value.
    pub mean: f64,
    /// Population standard deviation: √(sum of (x − mean)² divided by count), in a second pass; 0 where there is no value.
    pub std: f64,
    /// How many values were not missing.
    pub count: u64,
}

/// One [`Moments`] for each of the column's `width()` elements, over `rows` in the order given.
pub fn moments(column: &Column, rows: &[u32]) -> Vec<Moments> {
    let width = column.width();
    let of_element = |element| over(column, rows.len(), |i| place(rows, width, i, element));
    (0..width).map(of_element).collect()
}

/// One [`Moments`] for all elements of all `rows`: row after row, each in row-major order.
pub fn moments_of_all(column: &Column, rows: &[u32]) -> Moments {
    let width = column.width();
    over(column, rows.len() * width, |i| {
        place(rows, width, i / width, i % width)
    })
}

/// The middle value of each element over `rows`, of an even count the mean of the two; `None` where all are missing.
pub fn median(column: &Column, rows: &[u32]) -> Vec<Option<f64>> {
    (0..column.width())
        .map(|element| middle(present(column, rows, element)))
        .collect()
}

/// The index of the class met most often in `rows`, of equal ones the lowest; `None` for numbers or where all are missing.
pub fn most_frequent(column: &Column, rows: &[u32]) -> Option<u32> {
    let Values::Class { levels, ids } = &column.values else {
        return None;
    };
    let mut counts = vec![0u64; levels.len()];
    for &row in rows.iter().filter(|&&row| !column.is_missing(row as usize)) {
        let count = ids
            .get(row as usize)
            .and_then(|&id| counts.get_mut(id as usize));
        count.into_iter().for_each(|count| *count += 1);
    }
    let most = counts.iter().copied().max().filter(|&most| most > 0)?;
    (0u32..)
        .zip(counts)
        .find_map(|(id, count)| (count == most).then_some(id))
}

fn place(rows: &[u32], width: usize, row: usize, element: usize) -> usize {
    rows[row] as usize * width + element
}

fn present(column: &Column, rows: &[u32], element: usize) -> Vec<f64> {
    let width = column.width();
    (0..rows.len())
        .filter_map(|row| column.number(place(rows, width, row, element)))
        .collect()
}

/// Moments of the elements at `place(0) … place(count - 1)`.
fn over(column: &Column, count: usize, place: impl Fn(usize) -> usize) -> Moments {
    let there = |i: usize| column.number(place(i));
    // Copied only where some are missing: a large picture set would grow eightfold.
    if (0..count).all(|i| there(i).is_some()) {
        return of(count, |i| there(i).unwrap_or_default());
    }
    let values: Vec<f64> = (0..count).filter_map(there).collect();
    of(values.len(), |i| values[i])
}

fn of(count: usize, value: impl Fn(usize) -> f64) -> Moments {
    if count == 0 {
        return Moments {
            mean: 0.0,
            std: 0.0,
            count: 0,
        };
    }
    let n = count as f64;
    let mean = sum_f64(count, &value) / n;
    let squares = sum_f64(count, |i| (value(i) - mean) * (value(i) - mean));
    Moments {
        mean,
        std: (squares / n).sqrt(),
        count: count as u64,
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied()?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = values.get(values.len() / 2 - 1).copied()?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bitmap;

    fn numbers(shape: Vec<u32>, values: &[f32], missing: &[usize]) -> Column {
        let mut bits = Bitmap::new(values.len());
        missing.iter().for_each(|&place| bits.set(place));
        Column {
            name: "x".into(),
            shape,
            values: Values::F32(values.to_vec()),
            missing: Some(bits),
        }
    }

    #[test]
    fn moments_skip_what_is_missing_and_what_is_not_asked_for() {
        let column = numbers(
            vec![2],
            &[1.0, 10.0, 3.0, 99.0, 100.0, 100.0, 5.0, 30.0],
            &[3],
        );
        let found = moments(&column, &[0, 1, 3]);
        let eight_thirds = (8.0f64 / 3.0).sqrt();
        assert_eq!(
            found[0],
            Moments {
                mean: 3.0,
                std: eight_thirds,
                count: 3
            }
        );
        assert_eq!(
            found[1],
            Moments {
                mean: 20.0,
                std: 10.0,
                count: 2
            }
        );
        assert_eq!(moments_of_all(&column, &[0, 1]).mean, 14.0 / 3.0);
        assert_eq!(
            moments(&column, &[]),
            [Moments {
                mean: 0.0,
                std: 0.0,
                count: 0
            }; 2]
        );
    }

    #[test]
    fn sums_take_the_order_of_the_contract() {
        // Lane 0 meets 2^53, 1 and -2^53: the 1 is lost. A sum in row order would keep some of the ones.
        let big = 9_007_199_254_740_992.0f64;
        let values: Vec<f64> = (0..129)
            .map(|i| match i {
                0 => big,
                128 => -big,
                _ => 1.0,
            })
            .collect();
        assert_eq!(of(values.len(), |i| values[i]).mean, 126.0 / 129.0);
    }

    #[test]
    fn median_and_most_frequent() {
        let column = numbers(vec![], &[5.0, -1.0, 4.0, 7.0, 0.0], &[3]);
        assert_eq!(median(&column, &[0, 1, 2]), [Some(4.0)]);
        assert_eq!(median(&column, &[0, 2, 3]), [Some(4.5)]);
        assert_eq!(median(&column, &[3]), [None]);
        let levels = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let mut missing = Bitmap::new(5);
        missing.set(4);
        let values = Values::Class {
            levels,
            ids: vec![2, 1, 2, 1, 0],
        };
        let column = Column {
            name: "k".into(),
            shape: vec![],
            values,
            missing: Some(missing),
        };
        assert_eq!(most_frequent(&column, &[0, 1, 2, 3, 4]), Some(1));
        assert_eq!(most_frequent(&column, &[0, 2, 1]), Some(2));
        assert_eq!(most_frequent(&column, &[4]), None);
    }
}
