//! Which rows train, validate and test.

use crate::failure::RunFailure;
use mmh_data::{Column, Values, sizes};
use mmh_ir::plan::{Part, SplitKind, SplitPlan};
use mmh_numerics::random::{Stream, shuffle};
use std::ops::Range;

/// Rows of train, valid and test, each ascending.
pub type PartRows = [Vec<u32>; 3];

/// The whole of the shares.
const WHOLE: u64 = 1_000_000;

/// Sizes of train, valid and test out of `rows` rows by largest remainder; what the shares leave over belongs to none.
fn shared(rows: u64, shares: [u32; 3]) -> [u64; 3] {
    let [train, valid, test] = shares.map(u64::from);
    let rest = WHOLE.saturating_sub(train + valid + test);
    let found = sizes(rows, &[train, valid, test, rest]);
    let size = |part: usize| found.get(part).copied().unwrap_or(0);
    [size(0), size(1), size(2)]
}

/// How far a text's targets lie ahead of its windows, whether a recipe reads them or not: the `ahead` of every data set.
pub const NEXT: u64 = 1;

/// The rows of each part of a text of so many characters that is split in order, in windows of `window` characters
/// with targets `ahead` characters on.
///
/// Row `r` starts at character `r · stride`. The characters are dealt to the parts in order, by largest remainder of the
/// shares; a row belongs to the part that holds its characters and targets, so no two parts share a character.
/// Rows across a border belong to none.
pub fn text_rows(
    characters: u64,
    window: u64,
    stride: u64,
    ahead: u64,
    shares: [u32; 3],
) -> [Range<u64>; 3] {
    let (span, stride) = (window.saturating_add(ahead), stride.max(1));
    let mut start = 0;
    shared(characters, shares).map(|size| {
        let end = start + size;
        let first = u64::div_ceil(start, stride);
        let last = end.checked_sub(span).map_or(0, |last| last / stride + 1);
        start = end;
        first..last.max(first)
    })
}

/// How many windows, each with its targets, a text has when it is not cut into parts.
pub fn text_windows(characters: u64, window: u64, stride: u64, ahead: u64) -> u64 {
    let last = characters.checked_sub(window.saturating_add(ahead));
    last.map_or(0, |last| last / stride.max(1) + 1)
}

/// Rows of train, valid and test of a split of `rows` rows; of a text in order [`text_rows`] tells. `classes` are the rows of
/// every class of a stratified split, `last` those of the last file of a split by files.
pub fn part_sizes(split: &SplitPlan, rows: u64, classes: &[u64], last: u64) -> [u64; 3] {
    match split.kind {
        SplitKind::Random | SplitKind::Sequential => shared(rows, split.shares),
        SplitKind::Stratified { .. } => {
            classes.iter().fold([0; 3], |[train, valid, test], class| {
                let [more_train, more_valid, more_test] = shared(*class, split.shares);
                [train + more_train, valid + more_valid, test + more_test]
            })
        }
        SplitKind::Files => {
            let [train, valid] = before_last(rows.saturating_sub(last), split.shares);
            [train, valid, last.min(rows)]
        }
    }
}

/// Sizes of train and valid out of the rows ahead of the last file: their shares count as the whole; without any, all train.
fn before_last(rows: u64, [train, valid, _]: [u32; 3]) -> [u64; 2] {
    let train = if train == 0 && valid == 0 { 1 } else { train };
    let found = sizes(rows, &[u64::from(train), u64::from(valid)]);
    [0, 1].map(|part| found.get(part).copied().unwrap_or(0))
}

/// Deals `rows` rows; the permutation comes from `stream`. `by` is the class column of a stratified split, `last` the number
/// of rows in the last file of a split by files.
pub(crate) fn deal(
    data: &str,
    split: &SplitPlan,
    rows: u32,
    stream: &Stream,
    by: Option<&Column>,
    last: u32,
) -> Result<PartRows, RunFailure> {
    let mut parts = PartRows::default();
    match &split.kind {
        SplitKind::Random => hand_out(&mut parts, &shuffle(rows, stream), split.shares),
        SplitKind::Sequential => {
            hand_out(&mut parts, &(0..rows).collect::<Vec<u32>>(), split.shares)
        }
        SplitKind::Stratified { by: name } => {
            for stratum in strata(name, by, &shuffle(rows, stream))? {
                hand_out(&mut parts, &stratum, split.shares);
            }
        }
        SplitKind::Files => {
            let dealt = rows.saturating_sub(last);
            let [size, _] = before_last(u64::from(dealt), split.shares);
            let order = shuffle(dealt, stream);
            let (first, second) = order
                .split_at_checked(size as usize)
                .unwrap_or((&order, &[]));
            let [train, valid, test] = &mut parts;
            train.extend(first);
            valid.extend(second);
            test.extend(dealt..rows);
        }
    }
    finish(data, split, parts)
}

/// Sorts the parts and refuses an empty one that was given a share.
pub(crate) fn finish(
    data: &str,
    split: &SplitPlan,
    mut parts: PartRows,
) -> Result<PartRows, RunFailure> {
    for ((part, rows), share) in [Part::Train, Part::Valid, Part::Test]
        .iter()
        .zip(&mut parts)
        .zip(split.shares)
    {
        if share > 0 && rows.is_empty() {
            return Err(RunFailure::EmptyPart {
                data: data.to_owned(),
                part: *part,
            });
        }
        rows.sort_unstable();
    }
    Ok(parts)
}

fn hand_out(parts: &mut PartRows, order: &[u32], shares: [u32; 3]) {
    let mut rest = order;
    for (part, size) in parts.iter_mut().zip(shared(order.len() as u64, shares)) {
        let (mine, others) = rest.split_at_checked(size as usize).unwrap_or((rest, &[]));
        part.extend_from_slice(mine);
        rest = others;
    }
}

/// The rows of every class, each in the order of the permutation.
fn strata(name: &str, by: Option<&Column>, order: &[u32]) -> Result<Vec<Vec<u32>>, RunFailure> {
    let wrong = |what: &str| RunFailure::Plan(format!("a split goes by `{name}`, which {what}"));
    let column = by.ok_or_else(|| wrong("is no column"))?;
    let Values::Class { levels, ids } = &column.values else {
        return Err(wrong("has no classes"));
    };
    let mut strata = vec![Vec::new(); levels.len()];
    for &row in order {
        if column.is_missing(row as usize) {
            return Err(wrong("is missing in a row"));
        }
        let class = ids
            .get(row as usize)
            .and_then(|&id| strata.get_mut(id as usize));
        class.ok_or_else(|| wrong("is too short"))?.push(row);
    }
    Ok(strata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_numerics::random::{Component, Key, Seed};

    #[test]
    fn windows_of_parts_share_no_character() {
        let (window, stride) = (8, 3);
        let parts = text_rows(1000, window, stride, NEXT, [800_000, 100_000, 100_000]);
        let spans = parts
            .clone()
            .map(|rows| (rows.start * stride, (rows.end - 1) * stride + window + NEXT));
        assert!(
            spans[0].1 <= 800
                && spans[1].0 >= 800
                && spans[1].1 <= 900
                && spans[2].0 >= 900
                && spans[2].1 <= 1000
        );
        assert_eq!(parts, [0..264, 267..298, 300..331]);
        assert_eq!(text_rows(10, 20, 1, NEXT, [1_000_000, 0, 0])[0], 0..0);
        assert_eq!(
            (text_windows(10, 4, 2, NEXT), text_windows(4, 4, 1, NEXT)),
            (3, 0)
        );
    }

    #[test]
    fn shares_below_the_whole_leave_rows_out() {
        let stream = Stream::new(
            Key::derive(&Seed::from_integer(1), &[Component::Text("split")]),
            0,
        );
        let split = |kind, shares| SplitPlan {
            kind,
            shares,
            site: "split".into(),
        };
        let parts = deal(
            "d",
            &split(SplitKind::Random, [500_000, 0, 100_000]),
            100,
            &stream,
            None,
            0,
        )
        .unwrap();
        assert_eq!(parts.clone().map(|rows| rows.len()), [50, 0, 10]);
        let files = deal(
            "d",
            &split(SplitKind::Files, [900_000, 100_000, 0]),
            100,
            &stream,
            None,
            30,
        )
        .unwrap();
        assert_eq!(files.clone().map(|rows| rows.len()), [63, 7, 30]);
        assert_eq!(files[2], (70..100).collect::<Vec<u32>>());
        let empty = deal(
            "d",
            &split(SplitKind::Sequential, [999_999, 1, 0]),
            10,
            &stream,
            None,
            0,
        )
        .unwrap_err();
        assert_eq!(empty.code(), "data::empty-split");
    }

    #[test]
    fn sizes_told_are_sizes_dealt() {
        let ids: Vec<u32> = (0..101).map(|row| u32::from(row % 7 == 0)).collect();
        let classes = [86, 15];
        let values = Values::Class {
            levels: vec!["a".into(), "b".into()],
            ids,
        };
        let by = Column {
            name: "by".into(),
            shape: vec![],
            values,
            missing: None,
        };
        let stream = Stream::new(
            Key::derive(&Seed::from_integer(1), &[Component::Text("split")]),
            0,
        );
        for shares in [
            [700_000, 150_000, 150_000],
            [333_333, 333_333, 333_333],
            [500_000, 100_000, 300_000],
        ] {
            for kind in [
                SplitKind::Random,
                SplitKind::Sequential,
                SplitKind::Files,
                SplitKind::Stratified { by: "by".into() },
            ] {
                let split = SplitPlan {
                    kind,
                    shares,
                    site: "split".into(),
                };
                let parts = deal("d", &split, 101, &stream, Some(&by), 20).unwrap();
                let told = part_sizes(&split, 101, &classes, 20);
                assert_eq!(parts.map(|rows| rows.len() as u64), told, "{split:?}");
            }
        }
        let files = SplitPlan {
            kind: SplitKind::Files,
            shares: [0; 3],
            site: "split".into(),
        };
        assert_eq!(part_sizes(&files, 70, &[], 10), [60, 0, 10]);
    }
}
