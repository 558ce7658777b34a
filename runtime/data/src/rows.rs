//! Bytes of one or several files, cut into rows of one length.

use crate::column::{Column, Values};
use crate::error::{Code, DataError};
use crate::gather::Words;
use crate::stored::{Limits, too_large};

/// The name of the column with the bytes.
pub(crate) const BYTES: &str = "bytes";
/// The name of the column that says which file a row is from.
pub(crate) const FILE: &str = "file";

/// How files are cut into rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of a row.
    pub window: u32,
    /// Bytes from one row's start to the next's, within a file.
    pub stride: u32,
}

/// Rows of bytes. A row never reaches into the next file, and what is left over at a file's end is no row.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    file: String,
    files: Vec<(String, Vec<u8>)>,
    cut: Cut,
    pub(crate) rows: usize,
}

impl Rows {
    pub(crate) fn read(
        file: &str,
        files: Vec<(String, Vec<u8>)>,
        cut: Cut,
        limits: &Limits,
    ) -> Result<Rows, DataError> {
        let error = |code, message: String, help: &str| DataError::new(code, file, message, help);
        if cut.window == 0 || cut.stride == 0 {
            let message = "rows of bytes have a length and a stride of at least 1".to_owned();
            return Err(error(Code::Format, message, "give both as whole numbers"));
        }
        let rows: usize = files
            .iter()
            .map(|(_, bytes)| windows(bytes, cut).count())
            .sum();
        let limit = limits.decoded_bytes.min(u64::from(u32::MAX) - 1);
        if (rows as u64).saturating_mul(u64::from(cut.window)) > limit {
            return Err(too_large(file, "cut into rows", limit));
        }
        if rows == 0 {
            let longest = files
                .iter()
                .map(|(_, bytes)| bytes.len())
                .max()
                .unwrap_or(0);
            let message = format!(
                "no file in it has {} bytes, the longest has {longest}",
                cut.window
            );
            return Err(error(Code::Truncated, message, "take a smaller `window`"));
        }
        Ok(Rows {
            file: file.to_owned(),
            files,
            cut,
            rows,
        })
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn shape(&self) -> Vec<u32> {
        vec![self.cut.window]
    }

    /// All rows, one behind another.
    pub(crate) fn column(&self) -> Column {
        let mut values = Vec::with_capacity(self.rows * self.cut.window as usize);
        for (_, bytes) in &self.files {
            windows(bytes, self.cut).for_each(|row| values.extend_from_slice(row));
        }
        Column {
            name: BYTES.to_owned(),
            shape: self.shape(),
            values: Values::U8(values),
            missing: None,
        }
    }

    /// The name of every row's file.
    pub(crate) fn words(&self) -> Words {
        let mut ids = Vec::with_capacity(self.rows);
        for ((_, bytes), file) in self.files.iter().zip(0u32..) {
            ids.extend(windows(bytes, self.cut).map(|_| file));
        }
        // A file too short for a row is no class.
        let mut names: Vec<String> = Vec::new();
        let mut kept: Option<u32> = None;
        for id in &mut ids {
            if kept != Some(*id) {
                kept = Some(*id);
                let name = self.files.get(*id as usize).map_or("", |(name, _)| name);
                names.push(name.to_owned());
            }
            *id = names.len() as u32 - 1;
        }
        Words {
            names,
            ids,
            missing: None,
            column: 0,
        }
    }

    pub(crate) fn error(&self, code: Code, row: usize, message: String, help: String) -> DataError {
        DataError::new(code, &self.file, message, help)
            .at_row(row as u64 + 1)
            .in_column(FILE)
    }
}

fn windows(bytes: &[u8], cut: Cut) -> impl Iterator<Item = &[u8]> {
    bytes
        .windows(cut.window as usize)
        .step_by(cut.stride as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(window: u32, stride: u32) -> Result<Rows, DataError> {
        let files = [("b", &b"abcdefg"[..]), ("short", b"x"), ("a", b"hij")];
        let files = files
            .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
            .to_vec();
        Rows::read("old.mmh", files, Cut { window, stride }, &Limits::default())
    }

    #[test]
    fn rows_stay_in_their_file() {
        let cut = rows(3, 2).expect("rows");
        assert_eq!(cut.rows, 4);
        assert_eq!(cut.column().values, Values::U8(b"abccdeefghij".to_vec()));
        let words = cut.words();
        assert_eq!(words.names, ["b", "a"]);
        assert_eq!(words.ids, [0, 0, 0, 1]);
    }

    #[test]
    fn what_gives_no_row_is_refused() {
        let codes = [
            (8, 1, "data::truncated"),
            (0, 1, "data::format"),
            (1, 0, "data::format"),
        ];
        for (window, stride, code) in codes {
            assert_eq!(
                rows(window, stride)
                    .map(|rows| rows.rows)
                    .map_err(|e| e.code),
                Err(code)
            );
        }
        let limits = Limits {
            decoded_bytes: 11,
            ..Limits::default()
        };
        let files = vec![("a".to_owned(), vec![0; 6])];
        let cut = Cut {
            window: 3,
            stride: 1,
        };
        let error = Rows::read("a", files, cut, &limits).expect_err("12 bytes of rows");
        assert_eq!(error.code, "limit::too-large");
    }
}
