//! Decoding a whole pack, item by item, into a sink. Verifying, unpacking and importing differ in the sink alone.

use std::io::{Read, Seek, SeekFrom};

use crate::archive::{self, ChunkReader};
use crate::error::{Error, Result};
use crate::frame::FrameDecoder;
use crate::header::ContentId;
use crate::limits::Limits;
use crate::pack::{Layout, Pack, Record, Span};
use crate::stream::{Chunks, Inline, Payload, Threaded};
use crate::verify::ArchiveSummary;

/// Compressed bytes from which a stream is worth threads.
const THREADED_BYTES: u64 = 1 << 20;

/// What a sink is about to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// The one payload of F0 or F1.
    Whole {
        /// Whether it is the archive of a benchmark run, left closed.
        archive: bool,
    },
    /// All tiny files of F2, run together.
    TinyBlob { files: u64 },
    /// A file of F2.
    File { name: &'a str },
    /// A file of the archive inside F0 or F1.
    Member { name: &'a str },
}

/// Where decoded items go. What it received counts only if the walk succeeds.
pub(crate) trait Sink {
    fn begin(&mut self, item: Item<'_>) -> Result<()>;
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
    fn end(&mut self) -> Result<()>;
}

/// A sink that only lets the checks happen.
pub(crate) struct Discard;

impl Sink for Discard {
    fn begin(&mut self, _item: Item<'_>) -> Result<()> {
        Ok(())
    }
    fn data(&mut self, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What a successful walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    pub(crate) payload_bytes: u64,
    pub(crate) archive: Option<ArchiveSummary>,
}

/// How the one payload of F0 or F1 is to be taken.
#[derive(Clone, Copy)]
struct Single {
    span: Span,
    content_id: Option<ContentId>,
    open_archive: bool,
    limits: Limits,
}

impl<R: Read + Seek + Send> Pack<R> {
    /// Decodes and checks everything; an archive of a benchmark run is opened if `open_archive`.
    pub(crate) fn walk(&mut self, open_archive: bool, sink: &mut dyn Sink) -> Result<Walked> {
        let limits = self.limits;
        let single = |span, content_id| Single {
            span,
            content_id,
            open_archive,
            limits,
        };
        match &self.layout {
            Layout::Bare { payload } => walk_single(&mut self.reader, single(*payload, None), sink),
            Layout::Tagged { header, payload } => walk_single(
                &mut self.reader,
                single(*payload, Some(header.content_id)),
                sink,
            ),
            Layout::Directory { header, records } => {
                walk_records(&mut self.reader, records, &limits, sink)?;
                Ok(Walked {
                    payload_bytes: header.total_bytes,
                    archive: None,
                })
            }
        }
    }
}

fn walk_single<R: Read + Seek + Send>(
    reader: &mut R,
    single: Single,
    sink: &mut dyn Sink,
) -> Result<Walked> {
    let Span { start, len } = single.span;
    reader.seek(SeekFrom::Start(start))?;
    let decoder = FrameDecoder::new(reader, start, len, single.limits)?;
    let hashed = single.content_id.is_some();
    if len < THREADED_BYTES {
        return drain_single(&mut Inline::new(decoder, hashed), single, sink);
    }
    std::thread::scope(|scope| {
        let mut payload = Threaded::spawn(scope, decoder, hashed);
        drain_single(&mut payload, single, sink)
    })
}

/// The decoded stream of F0 or F1, counted.
struct Counted<'a> {
    payload: &'a mut dyn Payload,
    bytes: u64,
}

impl Counted<'_> {
    fn check(&mut self, declared: Option<ContentId>) -> Result<()> {
        let (Some(declared), Some(digest)) = (declared, self.payload.digest()?) else {
            return Ok(());
        };
        let actual = ContentId::of_sha256(&digest);
        if actual != declared {
            return Err(Error::ContentIdMismatch {
                declared: declared.to_string(),
                actual: actual.to_string(),
            });
        }
        Ok(())
    }
}

impl Chunks for Counted<'_> {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        let chunk = self.payload.next_chunk()?;
        self.bytes += chunk.map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }
}

fn drain_single(payload: &mut dyn Payload, single: Single, sink: &mut dyn Sink) -> Result<Walked> {
    let mut payload = Counted { payload, bytes: 0 };
    let first = payload
        .next_chunk()?
        .map(<[u8]>::to_vec)
        .unwrap_or_default();
    let is_archive = archive::is_benchmark(&first);
    let mut summary = None;
    if is_archive && single.open_archive {
        let mut reader = ChunkReader::new(&mut payload, first);
        summary = Some(archive::walk(&mut reader, &single.limits, sink)?);
    } else {
        sink.begin(Item::Whole {
            archive: is_archive,
        })?;
        sink.data(&first)?;
        while let Some(chunk) = payload.next_chunk()? {
            sink.data(chunk)?;
        }
        sink.end()?;
    }
    payload.check(single.content_id)?;
    let payload_bytes = payload.bytes;
    Ok(Walked {
        payload_bytes,
        archive: summary,
    })
}

fn walk_records<R: Read + Seek>(
    reader: &mut R,
    records: &[Record],
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<()> {
    let tiny_files = records.iter().map(|record| match record {
        Record::Batch { files, .. } => *files,
        Record::File { .. } => 0,
    });
    let tiny_files = tiny_files.sum();
    if tiny_files > 0 {
        sink.begin(Item::TinyBlob { files: tiny_files })?;
        for record in records {
            if let Record::Batch { bytes, payload, .. } = record {
                drain_record(
                    reader,
                    *payload,
                    crate::TINY_BLOB_NAME,
                    *bytes,
                    limits,
                    sink,
                )?;
            }
        }
        sink.end()?;
    }
    for record in records {
        if let Record::File {
            name,
            bytes,
            payload,
        } = record
        {
            sink.begin(Item::File { name })?;
            drain_record(reader, *payload, name, *bytes, limits, sink)?;
            sink.end()?;
        }
    }
    Ok(())
}

/// Decodes one record, which must have the size it declares.
fn drain_record<R: Read + Seek>(
    reader: &mut R,
    span: Span,
    name: &str,
    declared: u64,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<()> {
    reader.seek(SeekFrom::Start(span.start))?;
    let mut decoder = FrameDecoder::new(reader, span.start, span.len, *limits)?;
    let mut actual = 0;
    while let Some(chunk) = decoder.next_chunk()? {
        actual += chunk.len() as u64;
        if actual > declared {
            break;
        }
        sink.data(chunk)?;
    }
    if actual != declared {
        return Err(Error::SizeMismatch {
            name: name.to_owned(),
            declared,
            actual,
        });
    }
    Ok(())
}
