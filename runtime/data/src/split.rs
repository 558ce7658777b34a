//! Which rows train, validate and test: deterministic, of exact sizes.
//!
//! Sizes follow the largest remainder: every part gets the whole rows of its share, and the rows left over go one each to
//! the parts with the largest fractions, of equal ones to the earlier part. Chance comes in as a permutation of the rows,
//! drawn by the caller from the recipe's seed (`mmh_numerics::random::shuffle`).

use crate::column::{Column, Values};
use crate::error::{Code, DataError, nearest, shown};

/// The shares of the parts in any common unit: 70, 15, 15 or 0.7, 0.15, 0.15 scaled to whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Share of the training rows.
    pub train: u64,
    /// Share of the validation rows.
    pub valid: u64,
    /// Share of the test rows.
    pub test: u64,
}

/// The rows of each part, ascending. No row is in two parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Training rows.
    pub train: Vec<u32>,
    /// Validation rows.
    pub valid: Vec<u32>,
    /// Test rows.
    pub test: Vec<u32>,
}

impl Parts {
    /// Parts drawn from all rows: of the permutation `order` the first go to training, the next to validation, the last to test.
    ///
    /// Errors: `data::empty-split` where a share above 0 gets no row. Panics unless `order` is a permutation of its indices.
    pub fn random(order: &[u32], shares: Shares) -> Result<Parts, DataError> {
        let order = Permutation::new(order, order.len());
        let mut parts = Parts::default();
        parts.deal(order.rows, shares);
        parts.finish(shares)
    }

    /// Parts that keep the classes of `by` in proportion: each class is split as [`Parts::random`] splits all rows, so every
    /// part has its share of every class to within one row.
    ///
    /// Errors: `data::missing-value` where a class is missing, `data::format` if `by` has no classes, `data::empty-split`.
    /// Panics unless `order` is a permutation of the rows of `by`.
    pub fn stratified(by: &Column, order: &[u32], shares: Shares) -> Result<Parts, DataError> {
        let (levels, ids) = classes_of(by)?;
        let order = Permutation::new(order, ids.len());
        let mut strata = vec![Vec::new(); levels.len()];
        for &row in order.rows {
            let class = ids
                .get(row as usize)
                .and_then(|&id| strata.get_mut(id as usize));
            class.into_iter().for_each(|rows| rows.push(row));
        }
        let mut parts = Parts::default();
        for rows in &strata {
            parts.deal(rows, shares);
        }
        parts.finish(shares)
    }

    /// Contiguous parts in the order of the rows: for texts and time series.
    ///
    /// Errors: `data::empty-split` where a share above 0 gets no row.
    pub fn sequential(rows: u32, shares: Shares) -> Result<Parts, DataError> {
        let order: Vec<u32> = (0..rows).collect();
        let mut parts = Parts::default();
        parts.deal(&order, shares);
        parts.finish(shares)
    }

    /// Parts that a column of the file names: its categories are `train`, `valid` and `test`.
    ///
    /// Errors: `data::class-range` for another category, `data::missing-value`, `data::empty-split` where none trains.
    pub fn named(by: &Column) -> Result<Parts, DataError> {
        let (levels, ids) = classes_of(by)?;
        let mut parts = Parts::default();
        for (row, &id) in (0u32..).zip(ids) {
            match levels.get(id as usize).map_or("", String::as_str) {
                "train" => parts.train.push(row),
                "valid" => parts.valid.push(row),
                "test" => parts.test.push(row),
                other => return Err(no_part(by, row, other)),
            }
        }
        parts.finish(Shares {
            train: 1,
            valid: 0,
            test: 0,
        })
    }

    fn deal(&mut self, rows: &[u32], shares: Shares) {
        let sizes = sizes(
            rows.len() as u64,
            &[shares.train, shares.valid, shares.test],
        );
        let mut rest = rows;
        for (part, size) in [&mut self.train, &mut self.valid, &mut self.test]
            .into_iter()
            .zip(sizes)
        {
            let (mine, others) = rest.split_at_checked(size as usize).unwrap_or((rest, &[]));
            part.extend_from_slice(mine);
            rest = others;
        }
    }

    /// Sorts each part and refuses an empty one that was given a share.
    fn finish(mut self, shares: Shares) -> Result<Parts, DataError> {
        let rows = self.train.len() + self.valid.len() + self.test.len();
        let named = [
            ("train", shares.train, &mut self.train),
            ("valid", shares.valid, &mut self.valid),
            ("test", shares.test, &mut self.test),
        ];
        for (name, share, part) in named {
            if share > 0 && part.is_empty() {
                let message = format!("the part `{name}` gets none of the {rows} rows");
                return Err(DataError::new(
                    Code::EmptySplit,
                    "",
                    message,
                    format!("raise the share of `{name}`, or add rows"),
                ));
            }
            part.sort_unstable();
        }
        Ok(self)
    }
}

/// Training and validation rows of fold `fold` (from 0) of `folds`: the permutation `order` is cut into contiguous folds, earlier
/// ones larger by one row where it does not divide; the fold validates, the others train.
///
/// Errors: `data::empty-split` where a fold or what trains has no row, or there is no such fold. Panics unless `order` is a
/// permutation of its indices.
pub fn fold(order: &[u32], folds: u32, fold: u32) -> Result<Parts, DataError> {
    let order = Permutation::new(order, order.len());
    let rows = order.rows.len();
    if fold >= folds || folds < 2 || folds as usize > rows {
        let message = format!("fold {fold} of {folds} cannot be taken from {rows} rows");
        let help = "take at least 2 folds, at most one a row, and count them from 0";
        return Err(DataError::new(Code::EmptySplit, "", message, help));
    }
    let (size, larger) = (rows / folds as usize, rows % folds as usize);
    let start = |fold: usize| fold * size + fold.min(larger);
    let here = start(fold as usize)..start(fold as usize + 1);
    let mut parts = Parts::default();
    for (place, &row) in order.rows.iter().enumerate() {
        if here.contains(&place) {
            parts.valid.push(row)
        } else {
            parts.train.push(row)
        }
    }
    parts.finish(Shares {
        train: 1,
        valid: 1,
        test: 0,
    })
}

/// Sizes of parts that add up to `rows`, by largest remainder; all 0 where every share is 0.
pub fn sizes(rows: u64, shares: &[u64]) -> Vec<u64> {
    let whole: u128 = shares.iter().map(|&share| u128::from(share)).sum();
    if whole == 0 {
        return vec![0; shares.len()];
    }
    let exact = |share: u64| u128::from(rows) * u128::from(share);
    let mut sizes: Vec<u64> = shares
        .iter()
        .map(|&share| (exact(share) / whole) as u64)
        .collect();
    let left = rows - sizes.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|&part| std::cmp::Reverse(exact(shares[part]) % whole));
    for part in order.into_iter().take(left as usize) {
        sizes[part] += 1;
    }
    sizes
}

/// An order of the rows in which each stands once. The caller draws it, so a wrong one is a defect, not bad data.
struct Permutation<'a> {
    rows: &'a [u32],
}

impl<'a> Permutation<'a> {
    fn new(rows: &'a [u32], count: usize) -> Self {
        let mut seen = vec![false; count];
        for &row in rows {
            let place = seen.get_mut(row as usize);
            assert!(
                place.is_some_and(|seen| !std::mem::replace(seen, true)),
                "row {row} is out of range or drawn twice"
            );
        }
        assert_eq!(rows.len(), count, "the order leaves rows out");
        Permutation { rows }
    }
}

fn classes_of(by: &Column) -> Result<(&[String], &[u32]), DataError> {
    let Values::Class { levels, ids } = &by.values else {
        let message = format!(
            "a split by `{}` needs categories, it holds numbers",
            shown(&by.name)
        );
        return Err(
            DataError::new(Code::Format, "", message, "declare the column as a class")
                .in_column(&by.name),
        );
    };
    if let Some(row) = (0..ids.len()).find(|&row| by.is_missing(row)) {
        let message = format!(
            "the split goes by `{}`, which is missing in row {}",
            shown(&by.name),
            row + 1
        );
        let error = DataError::new(
            Code::MissingValue,
            "",
            message,
            "fill the value in, or leave the row out",
        );
        return Err(error.at_row(row as u64 + 1).in_column(&by.name));
    }
    Ok((levels, ids))
}

fn no_part(by: &Column, row: u32, found: &str) -> DataError {
    let help = match nearest(found, ["train", "valid", "test"].into_iter()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "write `train`, `valid` or `test`".to_owned(),
    };
    let message = format!("`{}` is no part of a split", shown(found));
    DataError::new(Code::ClassRange, "", message, help)
        .at_row(u64::from(row) + 1)
        .in_column(&by.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARES: Shares = Shares {
        train: 70,
        valid: 15,
        test: 15,
    };

    fn column(words: &[&str]) -> Column {
        let levels =
            crate::cells::sorted_levels(words.iter().map(|&word| word.to_owned()).collect());
        let id = |word: &&str| levels.iter().position(|level| level == word).unwrap() as u32;
        let ids = words.iter().map(id).collect();
        Column {
            name: "kind".into(),
            shape: vec![],
            values: Values::Class { levels, ids },
            missing: None,
        }
    }

    fn lengths(parts: &Parts) -> [usize; 3] {
        [parts.train.len(), parts.valid.len(), parts.test.len()]
    }

    #[test]
    fn largest_remainders_and_their_ties() {
        assert_eq!(sizes(1797, &[70, 15, 15]), [1258, 270, 269]);
        assert_eq!(sizes(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(sizes(2, &[1, 1, 1]), [1, 1, 0]);
        assert_eq!(sizes(7, &[0, 0]), [0, 0]);
        assert_eq!(sizes(u64::MAX, &[u64::MAX, 0]), [u64::MAX, 0]);
    }

    #[test]
    fn a_random_split_deals_the_order_and_sorts() {
        let order: Vec<u32> = vec![3, 9, 0, 7, 1, 8, 2, 6, 5, 4];
        let parts = Parts::random(
            &order,
            Shares {
                train: 6,
                valid: 2,
                test: 2,
            },
        )
        .unwrap();
        assert_eq!(
            parts,
            Parts {
                train: vec![0, 1, 3, 7, 8, 9],
                valid: vec![2, 6],
                test: vec![4, 5]
            }
        );
    }

    #[test]
    fn a_stratified_split_keeps_every_class() {
        let words: Vec<&str> = (0..60)
            .map(|row| if row % 3 == 0 { "a" } else { "b" })
            .collect();
        let order: Vec<u32> = (0..60).rev().collect();
        let parts = Parts::stratified(&column(&words), &order, SHARES).unwrap();
        let of_a = |rows: &[u32]| rows.iter().filter(|&&row| row % 3 == 0).count();
        assert_eq!(lengths(&parts), [42, 9, 9]);
        assert_eq!(
            [of_a(&parts.train), of_a(&parts.valid), of_a(&parts.test)],
            [14, 3, 3]
        );
        assert_eq!(
            parts.test.first(),
            Some(&0),
            "the last of the order is the test part"
        );
    }

    #[test]
    fn sequential_named_and_folds() {
        let parts = Parts::sequential(
            10,
            Shares {
                train: 8,
                valid: 1,
                test: 1,
            },
        )
        .unwrap();
        assert_eq!((parts.valid, parts.test), (vec![8], vec![9]));
        let parts = Parts::named(&column(&["test", "train", "train"])).unwrap();
        assert_eq!(
            parts,
            Parts {
                train: vec![1, 2],
                valid: vec![],
                test: vec![0]
            }
        );
        let order = [2, 0, 1, 4, 3];
        assert_eq!(
            fold(&order, 2, 0).unwrap(),
            Parts {
                train: vec![3, 4],
                valid: vec![0, 1, 2],
                test: vec![]
            }
        );
        assert_eq!(
            fold(&order, 2, 1).unwrap(),
            Parts {
                train: vec![0, 1, 2],
                valid: vec![3, 4],
                test: vec![]
            }
        );
    }

    #[test]
    fn what_is_wrong_with_a_split() {
        let empty = Parts::sequential(2, SHARES).unwrap_err();
        assert_eq!(
            (empty.code, empty.message.as_str()),
            (
                "data::empty-split",
                "the part `valid` gets none of the 2 rows"
            )
        );
        assert_eq!(
            Parts::random(&[], SHARES).unwrap_err().code,
            "data::empty-split"
        );
        assert_eq!(fold(&[0, 1], 3, 0).unwrap_err().code, "data::empty-split");
        assert_eq!(fold(&[0, 1], 2, 2).unwrap_err().code, "data::empty-split");
        let named = Parts::named(&column(&["train", "validation"])).unwrap_err();
        assert_eq!((named.code, named.row), ("data::class-range", Some(2)));
        assert_eq!(
            Parts::named(&column(&["test"])).unwrap_err().code,
            "data::empty-split"
        );
        let mut by = column(&["a", "b"]);
        by.missing = Some(crate::Bitmap::new(2));
        by.missing.iter_mut().for_each(|missing| missing.set(1));
        let missing = Parts::stratified(&by, &[0, 1], SHARES).unwrap_err();
        assert_eq!(
            (missing.code, missing.row, missing.column.as_deref()),
            ("data::missing-value", Some(2), Some("kind"))
        );
        by.values = Values::U8(vec![0, 1]);
        assert_eq!(
            Parts::stratified(&by, &[0, 1], SHARES).unwrap_err().code,
            "data::format"
        );
    }

    #[test]
    #[should_panic(expected = "drawn twice")]
    fn an_order_with_a_row_twice_is_a_defect() {
        let _ = Parts::random(&[0, 0], SHARES);
    }

    proptest! {
        #[test]
        fn sizes_add_up_and_stay_within_one(rows in 0u64..100_000, shares in prop::collection::vec(0u64..1000, 1..6)) {
            let whole: u64 = shares.iter().sum();
            prop_assume!(whole > 0);
            let sizes = sizes(rows, &shares);
            prop_assert_eq!(sizes.iter().sum::<u64>(), rows);
            for (size, share) in sizes.iter().zip(&shares) {
                let floor = rows * share / whole;
                prop_assert!(*size == floor || (*size == floor + 1 && rows * share % whole > 0));
            }
        }

        #[test]
        fn every_row_is_in_one_part(order in Just((0u32..97).collect::<Vec<_>>()).prop_shuffle()) {
            let parts = Parts::random(&order, SHARES).unwrap();
            let ascending = |rows: &[u32]| rows.is_sorted();
            prop_assert!(ascending(&parts.train) && ascending(&parts.valid) && ascending(&parts.test));
            let mut all = [parts.train, parts.valid, parts.test].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..97).collect::<Vec<_>>());
        }
    }
}
