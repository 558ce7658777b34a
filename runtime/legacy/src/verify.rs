//! Proving as much about a pack as its format allows, and saying how much that is.

use std::io::{Read, Seek};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::pack::{Layout, Pack};
use crate::walk::Discard;

/// How much a successful verification proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "strength", rename_all = "kebab-case")]
pub enum Proof {
    /// F0: every zstd frame is well formed and the file ends with the last one.
    StructureOnly,
    /// F1: the content's SHA-256 begins with the 64 bits in the header.
    #[serde(rename = "content-id-64-bit")]
    ContentId64 {
        /// The id, in the header and of the content.
        content_id: String,
    },
    /// F2: every record has its declared size, and they add up to the header's totals.
    SizesAndTotalsOnly,
}

impl Proof {
    /// What it means, in one sentence.
    pub fn statement(&self) -> &'static str {
        match self {
            Self::StructureOnly => {
                "structure only: the zstd frames are whole, but F0 stores no hash, so changed content can go unnoticed"
            }
            Self::ContentId64 { .. } => {
                "64-bit content id: the content hashes to the id in the header; that finds damage, not forgery, for whoever changes the content can change the id"
            }
            Self::SizesAndTotalsOnly => {
                "sizes and totals only: every record has its declared size and the sums agree, but F2 stores no hash, so changed content can go unnoticed"
            }
        }
    }
}

/// The plain files of the archive inside a benchmark's pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSummary {
    /// How many.
    pub members: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A pack that was decoded to its end and found consistent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Its format.
    pub kind: Kind,
    /// How much that proves.
    pub proof: Proof,
    /// The same in one sentence.
    pub statement: &'static str,
    /// Size of the file in bytes.
    pub container_bytes: u64,
    /// Decoded size in bytes.
    pub payload_bytes: u64,
    /// The benchmark archive inside, where the payload is one.
    pub archive: Option<ArchiveSummary>,
}

/// Verifies the pack at `path`; a wrong content id is an error.
pub fn verify(path: &Path, limits: Limits) -> Result<Verified> {
    verify_pack(&mut Pack::open_path(path, limits)?)
}

/// Verifies an opened pack.
pub fn verify_pack<R: Read + Seek + Send>(pack: &mut Pack<R>) -> Result<Verified> {
    let walked = pack.walk(true, &mut Discard)?;
    let proof = proof_of(&pack.layout);
    Ok(Verified {
        kind: pack.layout.kind(),
        statement: proof.statement(),
        proof,
        container_bytes: pack.len,
        payload_bytes: walked.payload_bytes,
        archive: walked.archive,
    })
}

/// What a successful walk of this layout has proved.
pub(crate) fn proof_of(layout: &Layout) -> Proof {
    match layout {
        Layout::Bare { .. } => Proof::StructureOnly,
        Layout::Tagged { header, .. } => Proof::ContentId64 {
            content_id: header.content_id.to_string(),
        },
        Layout::Directory { .. } => Proof::SizesAndTotalsOnly,
    }
}
