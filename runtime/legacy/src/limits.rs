//! What a pack may cost the machine that reads it.

use crate::error::{Error, Result};

/// Bounds on output, memory and counts while a pack is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest total of decoded bytes.
    pub max_output: u64,
    /// Base-2 logarithm of the largest zstd window in bytes, 10 to 31; V1 wrote 21.
    pub window_log: u32,
    /// Largest number of records in a directory pack, or members in an archive.
    pub max_records: u64,
}

impl Default for Limits {
    /// 4 GiB of output, an 8 MiB window, a million records.
    fn default() -> Self {
        Self {
            max_output: 4 << 30,
            window_log: 23,
            max_records: 1_000_000,
        }
    }
}

impl Limits {
    /// The window bound in bytes.
    pub(crate) fn window_bytes(&self) -> u64 {
        1 << self.window_log.clamp(10, 31)
    }

    /// Fails when `total` decoded bytes are more than allowed.
    pub(crate) fn allow_output(&self, total: u64) -> Result<()> {
        if total > self.max_output {
            return Err(Error::OutputTooLarge {
                limit: self.max_output,
            });
        }
        Ok(())
    }
}
