//! The data set as a table for a classifier: windows of bytes, each with the class of the file it is from.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::{DataSet, ReplaySeed};
use crate::error::{Error, Result};
use crate::unpack::aside;

/// Which windows become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Bytes in a row.
    pub width: usize,
    /// Bytes from the start of one window to the next within a file; at least 1.
    pub every: usize,
}

impl Default for RowShape {
    /// 64 bytes every 4096: about 12,800 rows of 50 MiB.
    fn default() -> Self {
        Self {
            width: 64,
            every: 4096,
        }
    }
}

/// Writes a CSV table with the columns `class` (0 to 6, see [`super::FileClass`]), `byte_0`, `byte_1`, … (0 to 255) and
/// returns the number of its rows. Windows that would reach beyond a file's end are left out.
pub fn write_rows(seed: ReplaySeed, shape: RowShape, to: &Path) -> Result<u64> {
    if to.symlink_metadata().is_ok() {
        return Err(Error::OutputExists {
            path: to.to_path_buf(),
        });
    }
    let failed = |error| Error::io(to, error);
    let parent = to
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = aside(parent).map_err(failed)?;
    let mut table = BufWriter::new(file.as_file_mut());
    let mut line = String::from("class");
    for column in 0..shape.width {
        // Writing to a string cannot fail.
        let _ = write!(line, ",byte_{column}");
    }
    writeln!(table, "{line}").map_err(failed)?;
    let mut rows = 0;
    for file in DataSet::new(seed) {
        let windows = (0..file.bytes.len()).step_by(shape.every.max(1));
        for window in
            windows.filter_map(|start| file.bytes.get(start..start.checked_add(shape.width)?))
        {
            line.clear();
            let _ = write!(line, "{}", file.class.label());
            for byte in window {
                let _ = write!(line, ",{byte}");
            }
            writeln!(table, "{line}").map_err(failed)?;
            rows += 1;
        }
    }
    table.flush().map_err(failed)?;
    drop(table);
    file.into_temp_path()
        .persist_noclobber(to)
        .map_err(|error| failed(error.error))?;
    Ok(rows)
}
