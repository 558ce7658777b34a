//! What a run in the store is: its facts, its files by hash, its data by hash, and its parents.

use crate::StoreFailure;
use crate::content::is_hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The largest manifest that is read, in bytes.
pub(crate) const MOST_BYTES: u64 = 64 << 20;
const FORMAT: &str = "mmh run 1";

/// What a run went in with and came out with, as its journal has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Hash of the model, with `blake3:`.
    pub model_hash: String,
    /// Hash of the recipe.
    pub recipe_hash: String,
    /// Hash of the plan.
    pub plan_hash: String,
    /// Hash of the data.
    pub data_hash: String,
    /// Root seed.
    pub seed: String,
    /// Hash of the journal's last line: it names the run.
    pub head: String,
    /// Steps of all trainings.
    pub steps: u64,
    /// Metrics by section, part and name.
    pub metrics: Value,
    /// The runs it comes from, the nearest first.
    pub parents: Vec<Ancestor>,
    /// The files of its data.
    pub data: Vec<DataFile>,
}

/// A run that another one comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ancestor {
    /// Hash of its journal's last line.
    pub head: String,
    /// Hash of its recipe.
    pub recipe_hash: String,
    /// Hash of its model; none if it did not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_hash: Option<String>,
}

/// A file of a run's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// The data set's name.
    pub name: String,
    /// Its path in the recipe, a label alone.
    pub path: String,
    /// Its BLAKE3, 64 hex digits.
    pub blake3: String,
}

/// A file of a run folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Its BLAKE3, 64 hex digits.
    pub blake3: String,
    /// Its size.
    pub bytes: u64,
}

/// A run as an object of the store. The same folder gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `mmh run 1`.
    pub format: String,
    /// What its journal says.
    pub facts: Facts,
    /// Its files by name, `/` between folders.
    pub files: BTreeMap<String, RunFile>,
}

impl Manifest {
    /// Of facts and files.
    pub fn new(facts: Facts, files: BTreeMap<String, RunFile>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            facts,
            files,
        }
    }

    /// The bytes of the object.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!(
            "{}\n",
            serde_json::to_string_pretty(self).unwrap_or_default()
        )
        .into_bytes()
    }

    /// Reads what [`Manifest::to_bytes`] wrote. It may be anybody's: names that lead out of a folder and hashes that are none
    /// are refused.
    pub fn from_bytes(bytes: &[u8], object: &str) -> Result<Self, StoreFailure> {
        let wrong = |reason: String| StoreFailure::damaged(format!("object {object}"), reason);
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| wrong(format!("it is no run: {error}")))?;
        if manifest.format != FORMAT {
            return Err(wrong("it is no run of this version".to_owned()));
        }
        if let Some(name) = manifest.files.keys().find(|name| !is_inside(name)) {
            return Err(wrong(format!("it names a file outside the folder: {name}")));
        }
        let facts = &manifest.facts;
        let odd = manifest
            .files
            .values()
            .map(|file| &file.blake3)
            .chain(facts.data.iter().map(|file| &file.blake3))
            .chain(facts.parents.iter().map(|parent| &parent.head))
            .chain([&facts.head])
            .find(|hash| !is_hash(hash))
            .cloned();
        match odd {
            Some(hash) => Err(wrong(format!("it names `{hash}`, which is no hash"))),
            None => Ok(manifest),
        }
    }

    /// Whether the run is meant by `name`: the beginning of the hash of its model or its head, six digits at least.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let digits = name.strip_prefix("blake3:").unwrap_or(name);
        let model = self.facts.model_hash.strip_prefix("blake3:");
        digits.len() >= 6
            && (self.facts.head.starts_with(digits)
                || model.is_some_and(|model| model.starts_with(digits)))
    }
}

/// Whether a name stays in its folder, on every system.
pub(crate) fn is_inside(name: &str) -> bool {
    let part = |part: &str| {
        let device = part.split('.').next().unwrap_or_default();
        let reserved = ["con", "prn", "aux", "nul"].contains(&device.to_ascii_lowercase().as_str());
        !matches!(part, "" | "." | "..") && !reserved
    };
    !name.contains(['\\', ':', '\0']) && name.split('/').all(part) && name != ".lock"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_none() {
        for name in ["plan", "recipe/a/b.mmh", "checkpoints/0-fit/1.checkpoint"] {
            assert!(is_inside(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/.",
            "c:\\x",
            "a\\b",
            "nul",
            "x/AUX.txt",
            ".lock",
        ] {
            assert!(!is_inside(name), "{name}");
        }
    }
}
