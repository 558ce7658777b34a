//! Reads the packs that MMH-RS V1 wrote (V1.0.2, V1.1.0, V1.2.0), and regenerates its benchmark data.
//!
//! In flows a pack file, of which every byte is distrusted; out flow a typed description ([`inspect`]), a proof of a
//! stated strength ([`verify`]), files ([`unpack`]), a data manifest ([`import`]) or bytes ([`read_payload`]).
//! Read [`sniff`] first, then [`Pack::open`]: it turns bytes into a [`Layout`], and everything else walks that.
//!
//! - F0 is one bare zstd stream, F1 a three-line header before one, F2 a directory of them. V1 had no other format, and
//!   V2 and V3 published neither code nor format.
//! - Memory is bounded by the zstd window ([`Limits::window_log`]) and a few fixed buffers, whatever the pack says.
//! - Nothing is visible under its own name before it is whole and checked: files are written aside, then renamed.
//! - [`replay`] has its own half: a seed in, the V1 benchmark data set and its recorded hash out.

mod archive;
mod error;
mod frame;
mod header;
mod inspect;
mod kind;
mod limits;
mod manifest;
mod names;
mod pack;
pub mod replay;
mod stream;
mod unpack;
mod verify;
mod walk;

pub use error::{Error, Result};
pub use frame::FrameHeader;
pub use header::{ContentId, DirectoryHeader, Release, TaggedHeader};
pub use inspect::{Inspection, PackForm, RecordSummary, inspect, inspect_pack};
pub use kind::{
    Kind, LookAlike, MAGIC_BYTES, Refusal, look_alike, refuse_in_place_of_recipe, sniff,
};
pub use limits::Limits;
pub use manifest::{
    Contents, Hashed, Manifest, ManifestMember, Member, Provenance, collect_members, import,
    read_members, read_payload,
};
pub use names::{NameFault, check_name, escape_name};
pub use pack::{Layout, Pack, Record, Span};
pub use unpack::{UnpackOptions, Unpacked, UnpackedFile, unpack};
pub use verify::{ArchiveSummary, Proof, Verified, verify, verify_pack};

/// The name given to the blob that holds the tiny files of an F2 pack, whose names and boundaries were never stored.
pub const TINY_BLOB_NAME: &str = "tiny_files.blob";
