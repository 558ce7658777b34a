//! Describing a pack from its header text and the first frame, without decoding it.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Serialize;

use crate::archive;
use crate::error::Result;
use crate::frame::FrameDecoder;
use crate::frame::FrameHeader;
use crate::header::{DirectoryHeader, TaggedHeader};
use crate::kind::Kind;
use crate::limits::Limits;
use crate::names::{NameFault, check_name};
use crate::pack::{Layout, Pack, Record, Span};
use crate::stream::Chunks;

/// What can be said about a pack at a glance. Nothing in it has been proved; see [`crate::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its format.
    pub kind: Kind,
    /// Size of the file in bytes.
    pub container_bytes: u64,
    /// What its format adds.
    #[serde(flatten)]
    pub form: PackForm,
}

/// What the three formats say of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PackForm {
    /// F0 says nothing.
    Bare {
        /// The first frame.
        frame: Option<FrameHeader>,
        /// Whether the payload starts like a benchmark archive.
        archive: bool,
    },
    /// F1.
    Tagged {
        /// The three lines.
        #[serde(flatten)]
        header: TaggedHeader,
        /// Why the extension is unfit for a file name, if it is.
        extension_fault: Option<NameFault>,
        /// The first frame.
        frame: Option<FrameHeader>,
        /// Whether the payload starts like a benchmark archive.
        archive: bool,
    },
    /// F2.
    Directory {
        /// The four lines.
        #[serde(flatten)]
        header: DirectoryHeader,
        /// Files whose names and boundaries are lost.
        tiny_files: u64,
        /// Their bytes together.
        tiny_bytes: u64,
        /// The files that have names.
        records: Vec<RecordSummary>,
    },
}

/// A named file of an F2 pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordSummary {
    /// Its base name.
    pub name: String,
    /// Why that is unfit for a file name, if it is.
    pub fault: Option<NameFault>,
    /// Its declared size in bytes.
    pub bytes: u64,
    /// Its compressed size in bytes.
    pub compressed: u64,
}

/// Inspects the pack at `path`.
pub fn inspect(path: &Path, limits: Limits) -> Result<Inspection> {
    inspect_pack(&mut Pack::open_path(path, limits)?)
}

/// Inspects an opened pack.
pub fn inspect_pack<R: Read + Seek>(pack: &mut Pack<R>) -> Result<Inspection> {
    let form = match &pack.layout {
        Layout::Bare { payload } => {
            let (frame, archive) = peek(&mut pack.reader, *payload, pack.limits)?;
            PackForm::Bare { frame, archive }
        }
        Layout::Tagged { header, payload } => {
            let (frame, archive) = peek(&mut pack.reader, *payload, pack.limits)?;
            PackForm::Tagged {
                header: header.clone(),
                extension_fault: extension_fault(&header.extension),
                frame,
                archive,
            }
        }
        Layout::Directory { header, records } => directory_form(header, records),
    };
    Ok(Inspection {
        kind: pack.layout.kind(),
        container_bytes: pack.len,
        form,
    })
}

/// An empty extension is no fault: the original had none.
fn extension_fault(extension: &str) -> Option<NameFault> {
    check_name(&format!("x.{extension}x")).err()
}

/// The first frame's header, and whether what it starts with is a benchmark archive. Damage is for `verify` to find.
fn peek<R: Read + Seek>(
    reader: &mut R,
    span: Span,
    limits: Limits,
) -> Result<(Option<FrameHeader>, bool)> {
    let mut head = Vec::new();
    reader.seek(SeekFrom::Start(span.start))?;
    (&mut *reader).take(64).read_to_end(&mut head)?;
    reader.seek(SeekFrom::Start(span.start))?;
    let mut decoder = FrameDecoder::new(reader, span.start, span.len, limits)?;
    let archive = match decoder.next_chunk() {
        Ok(Some(chunk)) => archive::is_benchmark(chunk),
        Ok(None) | Err(_) => false,
    };
    Ok((FrameHeader::parse(&head), archive))
}

fn directory_form(header: &DirectoryHeader, records: &[Record]) -> PackForm {
    let (mut tiny_files, mut tiny_bytes, mut named) = (0, 0, Vec::new());
    for record in records {
        match record {
            Record::Batch { files, bytes, .. } => {
                tiny_files += files;
                tiny_bytes += bytes;
            }
            Record::File {
                name,
                bytes,
                payload,
            } => named.push(RecordSummary {
                name: name.clone(),
                fault: check_name(name).err(),
                bytes: *bytes,
                compressed: payload.len,
            }),
        }
    }
    PackForm::Directory {
        header: header.clone(),
        tiny_files,
        tiny_bytes,
        records: named,
    }
}
