//! Statistics of streamed columns over given rows, as those of columns in memory: by the contract's order, whatever is read when.

use mmh_numerics::reduce::{BLOCK, sum_f64};

use crate::error::DataError;
use crate::stats::Moments;
use crate::streamed::{Elements, Streamed};

/// Bytes that a pass may take for sums or counts.
const MEMORY: usize = 64 << 20;

/// Values of a radix step: half of 32 bits.
const BUCKETS: usize = 1 << 16;

/// Sums of many series of values that come one by one, each in the order of the contract.
struct Sums {
    /// The block at hand of every series.
    blocks: Vec<f64>,
    filled: Vec<usize>,
    results: Vec<Vec<f64>>,
    counts: Vec<u64>,
}

impl Sums {
    fn new(series: usize) -> Self {
        Sums {
            blocks: vec![0.0; series * BLOCK],
            filled: vec![0; series],
            results: vec![Vec::new(); series],
            counts: vec![0; series],
        }
    }

    #[inline]
    fn add(&mut self, series: usize, value: f64) {
        let filled = self.filled[series];
        self.blocks[series * BLOCK + filled] = value;
        self.filled[series] = filled + 1;
        if filled + 1 == BLOCK {
            self.close(series);
        }
    }

    fn close(&mut self, series: usize) {
        let filled = std::mem::take(&mut self.filled[series]);
        let block = &self.blocks[series * BLOCK..series * BLOCK + filled];
        self.results[series].push(sum_f64(filled, |place| block[place]));
        self.counts[series] += filled as u64;
    }

    /// The sum and count of every series.
    fn finish(mut self) -> Vec<(f64, u64)> {
        (0..self.filled.len()).for_each(|series| {
            if self.filled[series] > 0 {
                self.close(series);
            }
        });
        let sums = self
            .results
            .iter()
            .map(|results| sum_f64(results.len(), |place| results[place]));
        sums.zip(self.counts).collect()
    }
}

/// Which elements of a row a pass takes, and whether they are one series or one each.
#[derive(Clone, Copy)]
struct Taken {
    from: usize,
    to: usize,
    together: bool,
}

impl Taken {
    /// All elements of `width` as one series, or as many series at a time as take `each` bytes within the memory of a pass.
    fn passes(width: usize, together: bool, each: usize) -> Vec<Taken> {
        if together {
            return vec![Taken {
                from: 0,
                to: width,
                together,
            }];
        }
        let at_once = (MEMORY / each).max(1);
        (0..width)
            .step_by(at_once)
            .map(|from| Taken {
                from,
                to: width.min(from + at_once),
                together,
            })
            .collect()
    }

    fn series(self) -> usize {
        if self.together {
            1
        } else {
            self.to - self.from
        }
    }
}

impl Streamed {
    /// Calls `each` with series and value of what is there in `rows`, which ascend.
    fn each_value(
        &self,
        rows: &[u32],
        taken: Taken,
        mut each: impl FnMut(usize, f64),
    ) -> Result<(), DataError> {
        let width = self.width();
        let mut rest = rows;
        self.blocks(|first, block| {
            let end = first + (block.len() / width.max(1)) as u64;
            let count = rest.partition_point(|&row| u64::from(row) < end);
            let (here, later) = rest.split_at(count);
            rest = later;
            for &row in here {
                let start = (u64::from(row) - first) as usize * width;
                for element in taken.from..taken.to {
                    let series = if taken.together {
                        0
                    } else {
                        element - taken.from
                    };
                    match block {
                        Elements::F32(values) => {
                            let value = values[start + element];
                            if !value.is_nan() {
                                each(series, f64::from(value));
                            }
                        }
                        Elements::I32(values) => {
                            let value = values[start + element];
                            if value >= 0 || !self.has_levels() {
                                each(series, f64::from(value));
                            }
                        }
                        Elements::U8(values) => each(series, f64::from(values[start + element])),
                    }
                }
            }
        })
    }
}

/// [`crate::moments`] of a streamed column over ascending `rows`; with `together`, [`crate::moments_of_all`] as the only one.
/// Rows are gone through twice.
///
/// Errors: packed rows cannot be read, or were changed.
pub fn streamed_moments(
    column: &Streamed,
    rows: &[u32],
    together: bool,
) -> Result<Vec<Moments>, DataError> {
    let mut found = Vec::new();
    for taken in Taken::passes(column.width(), together, 8 * BLOCK) {
        let mut sums = Sums::new(taken.series());
        column.each_value(rows, taken, |series, value| sums.add(series, value))?;
        let sums = sums.finish();
        let mean = |(sum, count): &(f64, u64)| match count {
            0 => 0.0,
            count => sum / *count as f64,
        };
        let means: Vec<f64> = sums.iter().map(mean).collect();
        let mut squares = Sums::new(taken.series());
        column.each_value(rows, taken, |series, value| {
            let apart = value - means[series];
            squares.add(series, apart * apart);
        })?;
        let squares = squares.finish();
        found.extend(
            means
                .iter()
                .zip(squares)
                .map(|(&mean, (squares, count))| Moments {
                    mean,
                    std: match count {
                        0 => 0.0,
                        count => (squares / count as f64).sqrt(),
                    },
                    count,
                }),
        );
    }
    Ok(found)
}

/// The value at place `⌊(n − 1) / 2⌋` of those that are there in ascending `rows`, in order; 0 where none is. One of each
/// element of a row, or one of all `together`. Found by counting, in two passes for every 128 elements.
///
/// Errors: packed rows cannot be read, or were changed.
pub fn lower_medians(
    column: &Streamed,
    rows: &[u32],
    together: bool,
) -> Result<Vec<f64>, DataError> {
    let is_float = matches!(column.no_elements(), Elements::F32(_));
    let mut found = Vec::new();
    for taken in Taken::passes(column.width(), together, 8 * BUCKETS) {
        let mut counts = vec![0_u64; taken.series() * BUCKETS];
        column.each_value(rows, taken, |series, value| {
            counts[series * BUCKETS + (key(value, is_float) >> 16) as usize] += 1;
        })?;
        let chosen: Vec<Option<(u32, u64)>> = counts
            .chunks(BUCKETS)
            .map(|counts| place_in(counts, counts.iter().sum::<u64>().checked_sub(1)? / 2))
            .collect();
        counts.fill(0);
        column.each_value(rows, taken, |series, value| {
            let key = key(value, is_float);
            if chosen[series].is_some_and(|(high, _)| high == key >> 16) {
                counts[series * BUCKETS + (key & 0xffff) as usize] += 1;
            }
        })?;
        found.extend(counts.chunks(BUCKETS).zip(chosen).map(|(counts, chosen)| {
            let low = chosen.and_then(|(high, rest)| Some((high, place_in(counts, rest)?.0)));
            low.map_or(0.0, |(high, low)| value_of(high << 16 | low, is_float))
        }));
    }
    Ok(found)
}

/// The bucket that holds the value at `place`, and its place among those of the bucket.
fn place_in(counts: &[u64], mut place: u64) -> Option<(u32, u64)> {
    for (bucket, &count) in (0u32..).zip(counts) {
        if place < count {
            return Some((bucket, place));
        }
        place -= count;
    }
    None
}

/// A number of the same order as the value's: that of `total_cmp` for an f32, that of whole numbers else.
fn key(value: f64, is_float: bool) -> u32 {
    const SIGN: u32 = 1 << 31;
    if !is_float {
        return (value as i32).cast_unsigned() ^ SIGN;
    }
    let bits = (value as f32).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn value_of(key: u32, is_float: bool) -> f64 {
    const SIGN: u32 = 1 << 31;
    if !is_float {
        return f64::from((key ^ SIGN).cast_signed());
    }
    let bits = if key & SIGN == 0 { !key } else { key ^ SIGN };
    f64::from(f32::from_bits(bits))
}

/// How often each level comes up in ascending `rows`; nothing for a column without levels.
///
/// Errors: packed rows cannot be read, or were changed.
pub fn class_counts(column: &Streamed, rows: &[u32]) -> Result<Vec<u64>, DataError> {
    let mut counts = vec![0; column.levels().map_or(0, <[String]>::len)];
    if counts.is_empty() {
        return Ok(counts);
    }
    let taken = Taken {
        from: 0,
        to: 1,
        together: true,
    };
    column.each_value(rows, taken, |_, value| {
        if let Some(count) = counts.get_mut(value as usize) {
            *count += 1;
        }
    })?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_contracts() {
        let value = |i: usize| ((i * 2_654_435_761) % 1_000_003) as f64 * 1e-3 - 300.0;
        for count in [0, 1, 63, 4096, 4097, 20_000] {
            let mut sums = Sums::new(3);
            (0..count).for_each(|i| sums.add(1, value(i)));
            let found = sums.finish();
            assert_eq!(found[0], (0.0, 0));
            assert_eq!(
                found[1].0.to_bits(),
                sum_f64(count, value).to_bits(),
                "{count}"
            );
            assert_eq!(found[1].1, count as u64);
        }
    }

    #[test]
    fn keys_keep_the_order() {
        let floats = [f32::MIN, -1.5, -1e-45, -0.0, 0.0, 1e-45, 2.0, f32::MAX].map(f64::from);
        let whole = [f64::from(i32::MIN), -7.0, 0.0, 5.0, f64::from(i32::MAX)];
        for (values, is_float) in [(&floats[..], true), (&whole[..], false)] {
            for pair in values.windows(2) {
                assert!(key(pair[0], is_float) < key(pair[1], is_float), "{pair:?}");
            }
            for &value in values {
                let back = value_of(key(value, is_float), is_float);
                assert_eq!(back.to_bits(), value.to_bits());
            }
        }
    }
}
