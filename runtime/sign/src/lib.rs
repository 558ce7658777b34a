//! Who vouches for a run folder: keys, statements, signatures.
//!
//! In flow the facts of a run and a folder, out flow five files in `signatures/`: `statement.json` says what is vouched for
//! (recipe, plan, data, seed, model, the journal's head and length, every file, and the policy), `signature.json` holds the
//! signatures over its bytes, `openssf.sig` is a bundle that OpenSSF's `model_signing verify key` reads, `provenance.json`
//! tells how the model came to be as SLSA wants it, signed as well, and `bom.json` is its bill of materials. The same folder
//! and key give the same bytes.
//!
//! Read [`sign`] and [`check`] first.
//!
//! | module | holds |
//! |---|---|
//! | `folder` | signing a folder and checking it |
//! | `statement` | what is vouched for, and the policy |
//! | `signature` | Ed25519 (RFC 8032) and ML-DSA-65 (FIPS 204) over a statement |
//! | `described`, `provenance`, `bom` | what a run is made of: in words, as SLSA provenance, as a CycloneDX bill of materials |
//! | `openssf` | the bundle: in-toto, DSSE, ECDSA P-256 with the nonces of RFC 6979 |
//! | `key`, `ring`, `seal` | key pairs, the folder they are kept in, their encryption by a passphrase |

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod bom;
mod described;
mod folder;
mod hex;
mod key;
mod openssf;
mod provenance;
mod ring;
mod seal;
mod signature;
mod statement;

pub use described::{BaseModel, DataFile, Described, Metric};
pub use folder::{Checked, FOLDER, Signed, bill_of_materials, check, provenance_statement, sign};
pub use key::{PublicKey, SecretKey};
pub use ring::{Held, Ring};
pub use statement::{Algorithm, Head, Policy, Statement, TrailRoot};

use std::fmt;

/// Why a key or a signature cannot be made or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignError(pub String);

impl SignError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self(format!("`{}`: {error}", path.display()))
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SignError {}
