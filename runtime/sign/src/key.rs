//! Key pairs. One secret of 32 bytes gives the three private keys, by BLAKE3's key derivation with a context for each.

use crate::{SignError, hex};
use ed25519_dalek::SigningKey as Ed25519;
use ml_dsa::{ExpandedSigningKey, MlDsa65};
use p256::ecdsa::SigningKey as P256;
use p256::pkcs8::{EncodePublicKey, LineEnding};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What a signer keeps to themself.
pub struct SecretKey {
    master: Zeroizing<[u8; 32]>,
}

/// What everybody may know of a signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    format: String,
    /// Ed25519, 32 bytes as hex digits.
    pub(crate) ed25519: String,
    /// ML-DSA-65, 1952 bytes as hex digits.
    #[serde(rename = "ml-dsa-65")]
    pub(crate) ml_dsa_65: String,
    /// ECDSA P-256, SubjectPublicKeyInfo in PEM, for OpenSSF's tool.
    pub(crate) p256: String,
}

const FORMAT: &str = "mmh public key 1";

impl SecretKey {
    /// A new one, of the system's random numbers.
    ///
    /// Errors: the system has none.
    pub fn generate() -> Result<Self, SignError> {
        let mut master = Zeroizing::new([0; 32]);
        getrandom::fill(master.as_mut_slice()).map_err(|error| {
            SignError::new(format!("the system gives no random numbers: {error}"))
        })?;
        Ok(Self { master })
    }

    /// Of a secret that is there.
    pub fn from_master(master: [u8; 32]) -> Self {
        Self {
            master: Zeroizing::new(master),
        }
    }

    pub(crate) fn master(&self) -> &[u8; 32] {
        &self.master
    }

    fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.master.as_slice()))
    }

    pub(crate) fn ed25519(&self) -> Ed25519 {
        Ed25519::from_bytes(&self.derive("mmh key ed25519 1"))
    }

    pub(crate) fn ml_dsa_65(&self) -> ExpandedSigningKey<MlDsa65> {
        let seed = ml_dsa::Seed::from(*self.derive("mmh key ml-dsa-65 1"));
        ExpandedSigningKey::from_seed(&seed)
    }

    /// Errors: the secret gives no scalar of the curve, which happens for one of 2³² secrets.
    pub(crate) fn p256(&self) -> Result<P256, SignError> {
        P256::from_slice(self.derive("mmh key p256 1").as_slice())
            .map_err(|_| SignError::new("this secret gives no key on P-256; make another one"))
    }

    /// The public half.
    pub fn public(&self) -> Result<PublicKey, SignError> {
        let pem = self
            .p256()?
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| SignError::new(error.to_string()))?;
        Ok(PublicKey {
            format: FORMAT.to_owned(),
            ed25519: hex::encode(self.ed25519().verifying_key().as_bytes()),
            ml_dsa_65: hex::encode(&self.ml_dsa_65().verifying_key().encode()),
            p256: pem,
        })
    }
}

impl PublicKey {
    /// As it stands in a file.
    pub fn to_text(&self) -> String {
        format!(
            "{}\n",
            serde_json::to_string_pretty(self).unwrap_or_default()
        )
    }

    /// Reads what [`PublicKey::to_text`] wrote.
    pub fn from_text(text: &str) -> Result<Self, SignError> {
        let wrong =
            |reason: String| SignError::new(format!("this is no public key of mmhc: {reason}"));
        let key: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if key.format != FORMAT {
            return Err(wrong(format!(
                "its format is `{}`",
                key.format.escape_debug()
            )));
        }
        Ok(key)
    }

    /// The P-256 key in PEM, for OpenSSF's `model_signing verify key --public_key`.
    pub fn pem(&self) -> &str {
        &self.p256
    }

    /// Whether an Ed25519 signature over these bytes is one of this key.
    pub(crate) fn verify_ed25519(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = || {
            let bytes: [u8; 32] = hex::decode(&self.ed25519)?.try_into().ok()?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok()?;
            let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
            // Strict: no second form of a signature is taken, and no weak key.
            Some(key.verify_strict(message, &signature).is_ok())
        };
        checked() == Some(true)
    }

    /// Names the key: 64 hex digits over all of it.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("mmh key id 1");
        for part in [&self.ed25519, &self.ml_dsa_65, &self.p256] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}
