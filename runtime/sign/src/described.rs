//! What a run is made of, in the words that documents of provenance use.

use std::fmt::Write;

/// What provenance and the bill of materials say of a run beside its hashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// The model's name.
    pub model: String,
    /// Edition of the numerics contract.
    pub edition: u32,
    /// The version of mmhc that began the run.
    pub version: String,
    /// When it began and ended, in seconds since 1970, as the machine's clock had it.
    pub began: Option<f64>,
    /// The same of its end.
    pub ended: Option<f64>,
    /// What did the work, such as `cpu (avx2, 8 threads)`.
    pub device: String,
    /// The runs it comes from: the journal's last hash, and the model's where there is one.
    pub parents: Vec<(String, Option<String>)>,
    /// The models whose weights its trainings begin with.
    pub bases: Vec<BaseModel>,
    /// The files of its data.
    pub data: Vec<DataFile>,
    /// Parameters with their types, by path.
    pub parameters: Vec<(String, String)>,
    /// Numbers in all parameters.
    pub elements: u64,
    /// What the model reads, such as `image: f32[channel = 1, height = 8, width = 8]`.
    pub inputs: Vec<String>,
    /// Metrics with one number.
    pub metrics: Vec<Metric>,
}

/// A model whose weights a training begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseModel {
    /// The training.
    pub training: String,
    /// Its path in the recipe.
    pub path: String,
    /// BLAKE3 of the file, 64 hex digits.
    pub blake3: String,
    /// Hash of the model, where it is one of ours.
    pub model_hash: Option<String>,
    /// Hash of the last line of its run's journal, where that is known.
    pub head: Option<String>,
}

/// A file of a run's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// The data set.
    pub set: String,
    /// Its path in the recipe.
    pub path: String,
    /// Its BLAKE3, 64 hex digits.
    pub blake3: String,
    /// Rows of the whole set.
    pub rows: u64,
}

/// A figure of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The section it is from.
    pub section: String,
    /// The part of the data.
    pub part: String,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// A moment as RFC 3339 has it, in UTC and whole seconds.
pub(crate) fn moment(seconds: f64) -> Option<String> {
    if !(0.0..253_402_300_800.0).contains(&seconds) {
        return None;
    }
    let seconds = seconds as u64;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut left) = (1970, days);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let length = |year: u64| if leap(year) { 366 } else { 365 };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    let mut text = String::new();
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let written = write!(
        text,
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        left + 1
    );
    written.ok().map(|()| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0.0, "1970-01-01T00:00:00Z"),
            (951_782_399.9, "2000-02-28T23:59:59Z"),
            (951_782_400.0, "2000-02-29T00:00:00Z"),
            (1_709_251_200.0, "2024-03-01T00:00:00Z"),
            (1_795_646_096.0, "2026-11-25T22:34:56Z"),
            (4_107_542_399.0, "2100-02-28T23:59:59Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(seconds).as_deref(), Some(text));
        }
        assert_eq!(
            (moment(-1.0), moment(f64::NAN), moment(1e300)),
            (None, None, None)
        );
    }
}
