//! A secret under a passphrase: Argon2id (RFC 9106) makes a key of it, XChaCha20-Poly1305 seals.

use crate::{SignError, hex};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Memory in KiB, passes and lanes: the second choice of RFC 9106, section 4.
const COST: [u32; 3] = [64 << 10, 3, 4];
/// Memory in KiB that a file may ask for.
const MOST_MEMORY: u32 = 1 << 20;
/// Passes that a file may ask for.
const MOST_PASSES: u32 = 64;

/// Characters of a passphrase, at least.
pub(crate) const SHORTEST: usize = 8;

/// A secret that only the passphrase opens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    cipher: String,
    nonce: String,
    sealed: String,
}

const KDF: &str = "argon2id";
const CIPHER: &str = "xchacha20poly1305";

impl Sealed {
    /// Seals `secret`; `bound` must be the same when it is opened.
    pub(crate) fn seal(
        secret: &[u8; 32],
        passphrase: &str,
        bound: &[u8],
    ) -> Result<Self, SignError> {
        if passphrase.chars().count() < SHORTEST {
            return Err(SignError::new(format!(
                "a passphrase has {SHORTEST} characters at least"
            )));
        }
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        for bytes in [&mut salt[..], &mut nonce[..]] {
            getrandom::fill(bytes).map_err(|error| {
                SignError::new(format!("the system gives no random numbers: {error}"))
            })?;
        }
        let [memory_kib, passes, lanes] = COST;
        let mut made = Self {
            kdf: KDF.to_owned(),
            memory_kib,
            passes,
            lanes,
            salt: hex::encode(&salt),
            cipher: CIPHER.to_owned(),
            nonce: hex::encode(&nonce),
            sealed: String::new(),
        };
        let cipher = made.cipher(passphrase)?;
        let payload = Payload {
            msg: secret,
            aad: bound,
        };
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SignError::new("the secret cannot be sealed"))?;
        made.sealed = hex::encode(&sealed);
        Ok(made)
    }

    /// The secret.
    ///
    /// Errors: a wrong passphrase; a file that was changed.
    pub(crate) fn open(&self, passphrase: &str, bound: &[u8]) -> Result<[u8; 32], SignError> {
        let wrong =
            || SignError::new("the passphrase does not open this key, or the file was changed");
        let nonce: [u8; 24] = hex::decode(&self.nonce)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(wrong)?;
        let sealed = hex::decode(&self.sealed).ok_or_else(wrong)?;
        let payload = Payload {
            msg: &sealed,
            aad: bound,
        };
        let opened = self
            .cipher(passphrase)?
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| wrong())?;
        let opened = Zeroizing::new(opened);
        opened.as_slice().try_into().map_err(|_| wrong())
    }

    fn cipher(&self, passphrase: &str) -> Result<XChaCha20Poly1305, SignError> {
        let known = self.kdf == KDF && self.cipher == CIPHER;
        if !known || self.memory_kib > MOST_MEMORY || self.passes > MOST_PASSES || self.lanes > 64 {
            return Err(SignError::new(
                "the key is sealed in a way that this version does not know",
            ));
        }
        let salt =
            hex::decode(&self.salt).ok_or_else(|| SignError::new("the key file has no salt"))?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        let params = params.map_err(|error| SignError::new(error.to_string()))?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &salt, key.as_mut_slice())
            .map_err(|error| SignError::new(error.to_string()))?;
        XChaCha20Poly1305::new_from_slice(key.as_slice())
            .map_err(|_| SignError::new("the passphrase gives no key"))
    }
}
