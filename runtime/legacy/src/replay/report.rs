//! V1's `report.json`: the four fields that can be checked, and two that say where it came from.

use serde::{Deserialize, Serialize};

use super::ReplaySeed;
use crate::error::{Error, Result};

/// What a benchmark report recorded. Its speeds and its other hashes cannot be reproduced and are not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The release that wrote it.
    #[serde(default)]
    pub mmh_version: Option<String>,
    /// When.
    #[serde(default)]
    pub timestamp_utc: Option<String>,
    /// The seed, exact above 2^53 too.
    pub replay_seed: u64,
    /// How many files.
    pub total_files: u64,
    /// Their bytes.
    pub total_size_bytes: u64,
    /// SHA-256 of all contents in the order of their names, 64 lowercase hex digits.
    pub input_hash: String,
}

impl Recorded {
    /// What regenerates its data set.
    pub fn seed(&self) -> ReplaySeed {
        ReplaySeed {
            seed: self.replay_seed,
            total_bytes: self.total_size_bytes,
        }
    }
}

/// `replay_seed total_size_bytes total_files input_hash mmh_version`, from the reports published with V1 (MIT, © 2024
/// Robert Long).
const PUBLISHED: &str = include_str!("recorded.txt");

/// What the reports published with V1 recorded, by seed.
pub fn published() -> impl Iterator<Item = Recorded> {
    PUBLISHED.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let mut number = || fields.next()?.parse().ok();
        let (replay_seed, total_size_bytes, total_files) = (number()?, number()?, number()?);
        Some(Recorded {
            replay_seed,
            total_files,
            total_size_bytes,
            input_hash: fields.next()?.to_owned(),
            mmh_version: fields.next().map(str::to_owned),
            timestamp_utc: None,
        })
    })
}

/// What a published report recorded for this data set, if one did.
pub fn published_for(seed: ReplaySeed) -> Option<Recorded> {
    published().find(|recorded| recorded.seed() == seed)
}

/// Reads a report; fields beyond the known ones are passed over, as the five generations of reports differ in them.
pub fn parse_report(json: &[u8]) -> Result<Recorded> {
    let refuse = |message: String| Error::Document {
        what: "benchmark report",
        message,
    };
    let recorded: Recorded =
        serde_json::from_slice(json).map_err(|error| refuse(error.to_string()))?;
    let hash = &recorded.input_hash;
    if hash.len() != 64
        || !hash
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(refuse(
            "`input_hash` is not 64 lowercase hex digits".to_owned(),
        ));
    }
    Ok(recorded)
}
