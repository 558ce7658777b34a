//! The tar inside a benchmark's `.seed`: plain files directly below `bench_temp`, and nothing else.

use std::collections::BTreeSet;
use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::stream::Chunks;
use crate::verify::ArchiveSummary;
use crate::walk::{Item, Sink};

const BLOCK: usize = 512;
/// The folder that V1's benchmark packed, and that its reader dropped.
const FOLDER: &[u8] = b"bench_temp";
/// Longest extended header.
const EXTENSION_BYTES: u64 = 64 << 10;
/// An archive ends in two blocks of zeros.
const END_BYTES: u64 = 2 * BLOCK as u64;

/// Reads a stream of chunks as bytes, and remembers in how many zeros it ended.
pub(crate) struct ChunkReader<'a> {
    chunks: &'a mut dyn Chunks,
    pending: Vec<u8>,
    at: usize,
    trailing_zeros: u64,
}

impl<'a> ChunkReader<'a> {
    /// `first` was taken from `chunks` already.
    pub(crate) fn new(chunks: &'a mut dyn Chunks, first: Vec<u8>) -> Self {
        let mut reader = Self {
            chunks,
            pending: first,
            at: 0,
            trailing_zeros: 0,
        };
        reader.count_zeros();
        reader
    }

    fn count_zeros(&mut self) {
        let zeros = self
            .pending
            .iter()
            .rev()
            .take_while(|byte| **byte == 0)
            .count();
        let before = if zeros == self.pending.len() {
            self.trailing_zeros
        } else {
            0
        };
        self.trailing_zeros = before + zeros as u64;
    }
}

impl Read for ChunkReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.pending.len() {
            match self.chunks.next_chunk().map_err(io::Error::other)? {
                None => return Ok(0),
                Some(chunk) => {
                    self.pending.clear();
                    self.pending.extend_from_slice(chunk);
                    self.at = 0;
                }
            }
            self.count_zeros();
        }
        let count = self.pending.len().saturating_sub(self.at).min(into.len());
        into[..count].copy_from_slice(&self.pending[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Whether a payload that starts like this is the archive of a benchmark run.
pub(crate) fn is_benchmark(mut head: &[u8]) -> bool {
    while let Some((header, rest)) = head.split_first_chunk::<BLOCK>() {
        let header = Header::from_byte_slice(header);
        if !has_checksum(header) {
            return false;
        }
        if !is_extension(header.entry_type()) {
            return below_folder(&header.path_bytes()).is_some();
        }
        let blocks = header
            .entry_size()
            .unwrap_or(u64::MAX)
            .div_ceil(BLOCK as u64);
        let skipped = usize::try_from(blocks)
            .unwrap_or(usize::MAX)
            .saturating_mul(BLOCK);
        head = rest.get(skipped..).unwrap_or_default();
    }
    false
}

/// Gives every file of the archive to `sink`, and reads to the end of the stream.
pub(crate) fn walk(
    reader: &mut ChunkReader<'_>,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<ArchiveSummary> {
    let mut members = Members {
        limits,
        names: BTreeSet::new(),
        bytes: 0,
        next_path: None,
    };
    let mut archive = tar::Archive::new(&mut *reader);
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        members.take(&mut entry.map_err(damaged)?, sink)?;
    }
    let mut rest = [0; 4096];
    loop {
        let count = reader.read(&mut rest)?;
        if rest[..count].iter().any(|byte| *byte != 0) {
            return Err(Error::Archive {
                member: String::new(),
                message: "has bytes after its end".to_owned(),
            });
        }
        if count == 0 {
            break;
        }
    }
    if reader.trailing_zeros < END_BYTES {
        return Err(Error::Archive {
            member: String::new(),
            message: "has no end mark".to_owned(),
        });
    }
    Ok(ArchiveSummary {
        members: members.names.len() as u64,
        bytes: members.bytes,
    })
}

/// The members so far.
struct Members<'a> {
    limits: &'a Limits,
    names: BTreeSet<String>,
    bytes: u64,
    /// A path that an extended header gives to the next entry.
    next_path: Option<Vec<u8>>,
}

impl Members<'_> {
    fn take<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>, sink: &mut dyn Sink) -> Result<()> {
        let kind = entry.header().entry_type();
        if is_extension(kind) {
            return self.extend(kind, entry);
        }
        let path = self
            .next_path
            .take()
            .unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let shown = String::from_utf8_lossy(&path).into_owned();
        let refuse = |message: &str| {
            Err(Error::Archive {
                member: shown.clone(),
                message: message.to_owned(),
            })
        };
        let Some(name) = below_folder(&path) else {
            return refuse("is not below the folder `bench_temp`");
        };
        if kind == EntryType::Directory {
            return if name.is_empty() {
                Ok(())
            } else {
                refuse("is a folder inside the folder")
            };
        }
        if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
            return refuse("is no plain file");
        }
        let Ok(name) = std::str::from_utf8(name) else {
            return refuse("has a name that is not UTF-8");
        };
        if name.contains('/') {
            return refuse("lies in a folder inside the folder");
        }
        if self.names.len() as u64 >= self.limits.max_records {
            return Err(Error::TooManyRecords {
                limit: self.limits.max_records,
            });
        }
        if !self.names.insert(name.to_owned()) {
            return Err(Error::DuplicateName {
                name: name.to_owned(),
            });
        }
        self.copy(name, entry, sink)
    }

    fn copy<R: Read>(
        &mut self,
        name: &str,
        entry: &mut tar::Entry<'_, R>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let declared = entry.header().entry_size().map_err(damaged)?;
        sink.begin(Item::Member { name })?;
        let mut buffer = vec![0; 64 << 10];
        let mut actual = 0;
        loop {
            let count = entry.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                break;
            }
            sink.data(&buffer[..count])?;
            actual += count as u64;
        }
        if actual != declared {
            return Err(Error::SizeMismatch {
                name: name.to_owned(),
                declared,
                actual,
            });
        }
        self.bytes += actual;
        sink.end()
    }

    /// Reads an extended header; only the path in it is of use here, and a size in it would be a second truth.
    fn extend<R: Read>(&mut self, kind: EntryType, entry: &mut tar::Entry<'_, R>) -> Result<()> {
        let refuse = |message: &str| {
            Err(Error::Archive {
                member: String::new(),
                message: message.to_owned(),
            })
        };
        let mut text = Vec::new();
        entry
            .take(EXTENSION_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(damaged)?;
        if text.len() as u64 > EXTENSION_BYTES {
            return refuse("has an extended header above 64 KiB");
        }
        if kind == EntryType::GNULongName {
            let end = text
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(text.len());
            text.truncate(end);
            self.next_path = Some(text);
            return Ok(());
        }
        for record in PaxExtensions::new(&text) {
            let record = record.map_err(damaged)?;
            match record.key_bytes() {
                b"path" if kind == EntryType::XHeader => {
                    self.next_path = Some(record.value_bytes().to_vec())
                }
                b"path" | b"size" => return refuse("changes names or sizes in an extended header"),
                key if key.starts_with(b"GNU.sparse") => return refuse("holds sparse files"),
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName
    )
}

/// The path without the benchmark's folder: empty for the folder itself.
fn below_folder(path: &[u8]) -> Option<&[u8]> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    match path.strip_prefix(FOLDER)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// The sum of the header's bytes, its own field counted as spaces.
fn has_checksum(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let sum = bytes.iter().enumerate().map(|(at, byte)| {
        let counted = if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        };
        u32::from(counted)
    });
    header
        .cksum()
        .is_ok_and(|checksum| checksum == sum.sum::<u32>())
}

/// An error of the tar reader, or one of ours that travelled through it.
fn damaged(error: io::Error) -> Error {
    match Error::from(error) {
        Error::Io { source, .. } if is_verdict(source.kind()) => Error::Archive {
            member: String::new(),
            message: format!("is damaged: {source}"),
        },
        other => other,
    }
}

/// The kinds by which the tar reader speaks of the archive rather than of the system.
fn is_verdict(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::Other
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput
    )
}
