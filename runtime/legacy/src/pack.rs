//! A pack's layout: what lies where, found by lengths alone and without decoding anything.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Result};
use crate::header::{DirectoryHeader, HeaderReader, RecordHeader, TaggedHeader};
use crate::kind::{F1_V110, F1_V120, F2_V10, Kind, MAGIC_BYTES, look_alike, sniff};
use crate::limits::Limits;

/// The last bytes of an F2 pack.
const FOOTER: &[u8; 9] = b"\nEND_MMH\n";
/// What follows the LF that ends a payload.
const FOOTER_BYTES: u64 = FOOTER.len() as u64;

/// A stretch of the file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it starts.
    pub start: u64,
    /// How long it is.
    pub len: u64,
}

/// One record of an F2 pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Up to 100 files below 1 KiB, run together; where one ends and what it was called is not stored.
    Batch {
        /// How many files.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Their frame.
        payload: Span,
    },
    /// One file of 1 KiB or more.
    File {
        /// Its base name. Untrusted.
        name: String,
        /// Its size in bytes.
        bytes: u64,
        /// Its frame.
        payload: Span,
    },
}

/// What lies where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// F0.
    Bare {
        /// The frames: the whole file.
        payload: Span,
    },
    /// F1.
    Tagged {
        /// The three lines.
        header: TaggedHeader,
        /// The frames: the rest of the file.
        payload: Span,
    },
    /// F2.
    Directory {
        /// The four lines.
        header: DirectoryHeader,
        /// The records, batches first.
        records: Vec<Record>,
    },
}

impl Layout {
    /// Which of the three formats it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bare { .. } => Kind::F0,
            Self::Tagged { .. } => Kind::F1,
            Self::Directory { .. } => Kind::F2,
        }
    }
}

/// An opened pack: its layout, and where to read it from.
#[derive(Debug)]
pub struct Pack<R> {
    pub(crate) reader: R,
    /// Size of the file in bytes.
    pub len: u64,
    /// What lies where.
    pub layout: Layout,
    /// The bounds under which it was opened and will be read.
    pub limits: Limits,
}

impl Pack<File> {
    /// Opens the pack at `path`.
    pub fn open_path(path: &Path, limits: Limits) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let metadata = file.metadata().map_err(|error| Error::io(path, error))?;
        if !metadata.is_file() {
            return Err(Error::io(
                path,
                std::io::Error::other("this is not a regular file"),
            ));
        }
        Self::open(file, limits)
    }
}

impl<R: Read + Seek> Pack<R> {
    /// Recognises the bytes, reads all header text and checks every size against the file and the header's totals.
    pub fn open(mut reader: R, limits: Limits) -> Result<Self> {
        let len = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        let mut head = Vec::with_capacity(MAGIC_BYTES);
        (&mut reader)
            .take(MAGIC_BYTES as u64)
            .read_to_end(&mut head)?;
        reader.rewind()?;
        let layout = match sniff(&head) {
            Some(Kind::F0) => Layout::Bare {
                payload: Span { start: 0, len },
            },
            Some(Kind::F1) => tagged_layout(&mut reader, len)?,
            Some(Kind::F2) => directory_layout(&mut reader, len, &limits)?,
            None if is_cut_magic(&head) => return Err(Error::Truncated { offset: len }),
            None => return Err(look_alike(&head).map_or(Error::NotAPack, Error::LookAlike)),
        };
        Ok(Self {
            reader,
            len,
            layout,
            limits,
        })
    }
}

/// A header that ends within its first line.
fn is_cut_magic(head: &[u8]) -> bool {
    head.starts_with(b"MMH-RS")
        && [F1_V110, F1_V120, F2_V10]
            .iter()
            .any(|magic| magic.starts_with(head))
}

fn tagged_layout<R: Read + Seek>(reader: R, len: u64) -> Result<Layout> {
    let mut lines = HeaderReader::new(reader);
    let header = lines.tagged()?;
    let start = lines.offset();
    Ok(Layout::Tagged {
        header,
        payload: Span {
            start,
            len: len.saturating_sub(start),
        },
    })
}

fn directory_layout<R: Read + Seek>(reader: R, len: u64, limits: &Limits) -> Result<Layout> {
    let mut lines = HeaderReader::new(reader);
    let header = lines.directory()?;
    limits.allow_output(header.total_bytes)?;
    let mut records = Records::default();
    // A payload may hold the footer's text, so only the file's length says where the records end.
    let records_end = len
        .checked_sub(FOOTER_BYTES)
        .ok_or(Error::Truncated { offset: len })?;
    while lines.offset() < records_end {
        if records.list.len() as u64 >= limits.max_records {
            return Err(Error::TooManyRecords {
                limit: limits.max_records,
            });
        }
        let offset = lines.offset();
        let record = lines.record()?;
        let start = lines.offset();
        let payload = records.add(record, offset, start)?;
        if payload.len > records_end.saturating_sub(start) {
            return Err(Error::Truncated { offset: len });
        }
        lines.skip(payload.len)?;
    }
    records.check_totals(&header)?;
    footer(lines, records_end)?;
    Ok(Layout::Directory {
        header,
        records: records.list,
    })
}

/// The file ends in the footer, and the last payload ends where it starts.
fn footer<R: Read + Seek>(mut lines: HeaderReader<R>, records_end: u64) -> Result<()> {
    if lines.offset() == records_end && lines.matches(FOOTER)? {
        return Ok(());
    }
    Err(Error::Malformed {
        offset: records_end,
        expected: "the footer `END_MMH` on a line of its own",
    })
}

/// The records so far, with their sums.
#[derive(Default)]
struct Records {
    list: Vec<Record>,
    names: BTreeSet<String>,
    batches: u64,
    files: u64,
    bytes: u64,
}

impl Records {
    /// Adds a record that starts at `offset` and whose payload starts at `start`; returns the payload's span.
    fn add(&mut self, record: RecordHeader, offset: u64, start: u64) -> Result<Span> {
        let overflow = Error::Malformed {
            offset,
            expected: "sizes that can be added up",
        };
        let (record, files, bytes, payload) = match record {
            RecordHeader::Batch {
                index,
                files,
                bytes,
                compressed,
            } => {
                let in_place = index == self.batches && self.names.is_empty();
                if !in_place || !(1..=100).contains(&files) || bytes > files * 1023 {
                    return Err(Error::Malformed {
                        offset,
                        expected: "a batch of 1 to 100 files below 1024 bytes each, in sequence and before all named files",
                    });
                }
                self.batches += 1;
                let payload = Span {
                    start,
                    len: compressed,
                };
                (
                    Record::Batch {
                        files,
                        bytes,
                        payload,
                    },
                    files,
                    bytes,
                    payload,
                )
            }
            RecordHeader::File {
                name,
                bytes,
                compressed,
            } => {
                if !self.names.insert(name.clone()) {
                    return Err(Error::DuplicateName { name });
                }
                let payload = Span {
                    start,
                    len: compressed,
                };
                (
                    Record::File {
                        name,
                        bytes,
                        payload,
                    },
                    1,
                    bytes,
                    payload,
                )
            }
        };
        let (Some(all_files), Some(all_bytes)) =
            (self.files.checked_add(files), self.bytes.checked_add(bytes))
        else {
            return Err(overflow);
        };
        (self.files, self.bytes) = (all_files, all_bytes);
        self.list.push(record);
        Ok(payload)
    }

    fn check_totals(&self, header: &DirectoryHeader) -> Result<()> {
        let totals = [
            ("Files", header.files, self.files),
            ("Total Size", header.total_bytes, self.bytes),
        ];
        match totals
            .into_iter()
            .find(|(_, declared, actual)| declared != actual)
        {
            Some((field, declared, actual)) => Err(Error::TotalMismatch {
                field,
                declared,
                actual,
            }),
            None => Ok(()),
        }
    }
}
