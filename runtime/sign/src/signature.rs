//! Signatures over the bytes of a statement.

use crate::statement::{Algorithm, FORMAT};
use crate::{PublicKey, SecretKey, SignError, hex};
use ed25519_dalek::ed25519::signature::Signer;
use ml_dsa::MlDsa65;
use serde::{Deserialize, Serialize};

/// The signatures of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signatures {
    format: String,
    /// The key's id.
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ed25519: Option<String>,
    #[serde(default, rename = "ml-dsa-65", skip_serializing_if = "Option::is_none")]
    ml_dsa_65: Option<String>,
}

const SIGNATURE: &str = "mmh signature 1";

/// What Ed25519 signs: the format's name and a line break, then the statement. ML-DSA has a place of its own for the name.
fn message(statement: &[u8]) -> Vec<u8> {
    [FORMAT.as_bytes(), b"\n", statement].concat()
}

impl Signatures {
    /// Signs with every algorithm asked for. The same key and bytes give the same signatures.
    pub(crate) fn make(
        key: &SecretKey,
        statement: &[u8],
        wanted: &[Algorithm],
    ) -> Result<Self, SignError> {
        let mut made = Self {
            format: SIGNATURE.to_owned(),
            key: key.public()?.id(),
            ed25519: None,
            ml_dsa_65: None,
        };
        for algorithm in wanted {
            match algorithm {
                Algorithm::Ed25519 => {
                    let signature = key.ed25519().sign(&message(statement));
                    made.ed25519 = Some(hex::encode(&signature.to_bytes()));
                }
                Algorithm::MlDsa65 => {
                    let signature = key
                        .ml_dsa_65()
                        .sign_deterministic(statement, FORMAT.as_bytes());
                    let signature =
                        signature.map_err(|_| SignError::new("ML-DSA-65 gives no signature"))?;
                    made.ml_dsa_65 = Some(hex::encode(&signature.encode()));
                }
            }
        }
        Ok(made)
    }

    /// What is wrong with the signature of an algorithm.
    pub(crate) fn fault(
        &self,
        key: &PublicKey,
        statement: &[u8],
        algorithm: Algorithm,
    ) -> Option<String> {
        let (name, signature) = match algorithm {
            Algorithm::Ed25519 => (algorithm.name(), self.ed25519.as_deref()),
            Algorithm::MlDsa65 => (algorithm.name(), self.ml_dsa_65.as_deref()),
        };
        let Some(signature) = signature else {
            return Some(format!("the signature by {name} is missing"));
        };
        let right = match algorithm {
            Algorithm::Ed25519 => ed25519(key, statement, signature),
            Algorithm::MlDsa65 => ml_dsa_65(key, statement, signature),
        };
        (right != Some(true))
            .then(|| format!("the signature by {name} is not one of this key over this statement"))
    }

    pub(crate) fn to_text(&self) -> String {
        format!(
            "{}\n",
            serde_json::to_string_pretty(self).unwrap_or_default()
        )
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SignError> {
        let read: Self = serde_json::from_slice(bytes)
            .map_err(|error| SignError::new(format!("it is no signature: {error}")))?;
        match read.format == SIGNATURE {
            true => Ok(read),
            false => Err(SignError::new("it is no signature of this version")),
        }
    }
}

fn ed25519(key: &PublicKey, statement: &[u8], signature: &str) -> Option<bool> {
    Some(key.verify_ed25519(&message(statement), &hex::decode(signature)?))
}

fn ml_dsa_65(key: &PublicKey, statement: &[u8], signature: &str) -> Option<bool> {
    let encoded =
        ml_dsa::EncodedVerifyingKey::<MlDsa65>::try_from(hex::decode(&key.ml_dsa_65)?.as_slice())
            .ok()?;
    let key = ml_dsa::VerifyingKey::<MlDsa65>::decode(&encoded);
    let signature =
        ml_dsa::Signature::<MlDsa65>::try_from(hex::decode(signature)?.as_slice()).ok()?;
    Some(key.verify_with_context(statement, FORMAT.as_bytes(), &signature))
}
