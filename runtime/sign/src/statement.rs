//! What a signature vouches for.

use crate::SignError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A way to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// RFC 8032.
    Ed25519,
    /// FIPS 204, category 3.
    #[serde(rename = "ml-dsa-65")]
    MlDsa65,
}

/// Which signatures there must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Ed25519 alone.
    Classical,
    /// Ed25519 and ML-DSA-65, both: safe as long as either is.
    #[default]
    Hybrid,
}

impl Policy {
    /// The signatures it wants.
    pub fn algorithms(self) -> Vec<Algorithm> {
        match self {
            Self::Classical => vec![Algorithm::Ed25519],
            Self::Hybrid => vec![Algorithm::Ed25519, Algorithm::MlDsa65],
        }
    }
}

impl Algorithm {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa65 => "ml-dsa-65",
        }
    }
}

/// The facts of a run, and of its folder, that a signer vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `mmh statement 1`.
    pub format: String,
    /// Hash of the model.
    pub model_hash: String,
    /// Hash of the recipe.
    pub recipe_hash: String,
    /// Hash of the plan.
    pub plan_hash: String,
    /// Hash of the data.
    pub data_hash: String,
    /// Root seed.
    pub seed: String,
    /// Steps of all trainings.
    pub steps: u64,
    /// Where the journal ends: nobody can cut lines off.
    pub journal: Head,
    /// The Merkle root over the states of each training.
    pub trails: Vec<TrailRoot>,
    /// blake3 of every file of the folder that is signed, by name.
    pub files: BTreeMap<String, String>,
    /// The signatures there must be.
    pub policy: Vec<Algorithm>,
}

/// The end of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Hash of the last line.
    pub hash: String,
    /// Number of lines.
    pub lines: u64,
}

/// What the states of a training come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrailRoot {
    /// Declared name.
    pub training: String,
    /// Number of states.
    pub marks: u64,
    /// The root.
    pub root: String,
}

/// The format's name.
pub(crate) const FORMAT: &str = "mmh statement 1";

impl Statement {
    /// The bytes that are signed.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        format!(
            "{}\n",
            serde_json::to_string_pretty(self).unwrap_or_default()
        )
        .into_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SignError> {
        let statement: Self = serde_json::from_slice(bytes)
            .map_err(|error| SignError::new(format!("it is no statement: {error}")))?;
        match statement.format == FORMAT {
            true => Ok(statement),
            false => Err(SignError::new("it is no statement of this version")),
        }
    }
}
