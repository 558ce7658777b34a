//! The header text of F1 and F2, read strictly: every key, digit and line end is where the releases put it, or the
//! pack is refused.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Seek};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::kind::{F1_V110, F1_V120, F2_V10};

/// Longest header line that carries no name.
const LINE_BYTES: u64 = 4096;
/// Longest line that carries a name.
const NAME_LINE_BYTES: u64 = 65_536;

/// The release that an F1 header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Release {
    /// V1.1.0.
    #[serde(rename = "1.1.0")]
    V110,
    /// V1.2.0.
    #[serde(rename = "1.2.0")]
    V120,
}

impl Release {
    /// As the release called itself, without the `V`.
    pub fn number(self) -> &'static str {
        match self {
            Self::V110 => "1.1.0",
            Self::V120 => "1.2.0",
        }
    }
}

/// The first 64 bits of the content's SHA-256, printed `file_` and 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContentId(pub [u8; 8]);

impl ContentId {
    /// Parses `file_[0-9a-f]{16}`; uppercase digits were never written.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text
            .strip_prefix("file_")
            .filter(|digits| digits.len() == 16)?;
        if !digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return None;
        }
        u64::from_str_radix(digits, 16)
            .ok()
            .map(|value| Self(value.to_be_bytes()))
    }

    /// The id of content with this SHA-256.
    pub fn of_sha256(digest: &[u8; 32]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(id)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file_{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for ContentId {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What an F1 header says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaggedHeader {
    /// Who wrote it.
    pub release: Release,
    /// What the content must hash to.
    pub content_id: ContentId,
    /// The original's last suffix without the dot; empty where it had none. Untrusted.
    pub extension: String,
}

/// What an F2 header says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectoryHeader {
    /// Number of files packed, tiny ones included.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub total_bytes: u64,
    /// When it was packed, RFC 3339 in UTC, as written.
    pub packed_at: String,
}

/// The header of one F2 record, before its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordHeader {
    /// Tiny files run together.
    Batch {
        index: u64,
        files: u64,
        bytes: u64,
        compressed: u64,
    },
    /// One file.
    File {
        name: String,
        bytes: u64,
        compressed: u64,
    },
}

/// Reads lines and skips payloads, and knows at which byte it is.
pub(crate) struct HeaderReader<R> {
    reader: BufReader<R>,
    offset: u64,
    line: Vec<u8>,
    line_start: u64,
}

impl<R: Read + Seek> HeaderReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(16 * 1024, reader),
            offset: 0,
            line: Vec::new(),
            line_start: 0,
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Moves past `bytes` that the caller knows to be there.
    pub(crate) fn skip(&mut self, bytes: u64) -> Result<()> {
        let distance = i64::try_from(bytes).map_err(|_| Error::Truncated {
            offset: self.offset,
        })?;
        self.reader.seek_relative(distance)?;
        self.offset += bytes;
        Ok(())
    }

    /// Reads one line of at most `limit` bytes and returns it without its LF.
    fn line(&mut self, limit: u64, expected: &'static str) -> Result<&str> {
        self.line.clear();
        self.line_start = self.offset;
        let read = (&mut self.reader)
            .take(limit + 1)
            .read_until(b'\n', &mut self.line)? as u64;
        self.offset += read;
        if self.line.last() != Some(&b'\n') {
            if read > limit {
                return Err(self.malformed(expected));
            }
            return Err(Error::Truncated {
                offset: self.offset,
            });
        }
        self.line.pop();
        match std::str::from_utf8(&self.line) {
            Ok(text) => Ok(text),
            Err(_) => Err(Error::Malformed {
                offset: self.line_start,
                expected,
            }),
        }
    }

    fn malformed(&self, expected: &'static str) -> Error {
        Error::Malformed {
            offset: self.line_start,
            expected,
        }
    }

    /// Reads `<key><value>` and returns what `parse` makes of the value.
    fn field<T>(
        &mut self,
        limit: u64,
        key: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let line = self.line(limit, expected)?;
        let value = line.strip_prefix(key).and_then(parse);
        value.ok_or_else(|| self.malformed(expected))
    }

    /// The three lines of F1.
    pub(crate) fn tagged(&mut self) -> Result<TaggedHeader> {
        let release = self.field(
            LINE_BYTES,
            "",
            "`MMH-RS V1.1.0` or `MMH-RS V1.2.0`",
            |line| {
                [(F1_V110, Release::V110), (F1_V120, Release::V120)]
                    .into_iter()
                    .find(|(magic, _)| magic.strip_suffix(b"\n") == Some(line.as_bytes()))
                    .map(|(_, release)| release)
            },
        )?;
        let content_id = self.field(
            LINE_BYTES,
            "DETERMINISTIC_ID: ",
            "`DETERMINISTIC_ID: file_` and 16 lowercase hex digits",
            ContentId::parse,
        )?;
        let extension = self.field(
            LINE_BYTES,
            "FILE_EXTENSION: ",
            "`FILE_EXTENSION: ` and a suffix without a dot, slash or control character",
            |value| is_extension(value).then(|| value.to_owned()),
        )?;
        Ok(TaggedHeader {
            release,
            content_id,
            extension,
        })
    }

    /// The four lines of F2.
    pub(crate) fn directory(&mut self) -> Result<DirectoryHeader> {
        self.field(LINE_BYTES, "", "`MMH-RS V1.0`", |line| {
            (F2_V10.strip_suffix(b"\n") == Some(line.as_bytes())).then_some(())
        })?;
        let files = self.field(
            LINE_BYTES,
            "Files: ",
            "`Files: ` and a count above zero",
            |value| decimal(value).filter(|files| *files > 0),
        )?;
        let total_bytes = self.field(
            LINE_BYTES,
            "Total Size: ",
            "`Total Size: ` and a number of bytes",
            decimal,
        )?;
        let packed_at = self.field(
            LINE_BYTES,
            "Timestamp: ",
            "`Timestamp: ` and an RFC 3339 time that ends in `+00:00`",
            |value| is_utc_time(value).then(|| value.to_owned()),
        )?;
        Ok(DirectoryHeader {
            files,
            total_bytes,
            packed_at,
        })
    }

    /// The two or three lines before an F2 payload.
    pub(crate) fn record(&mut self) -> Result<RecordHeader> {
        const EXPECTED: &str = "`BATCH_`, `FILE: ` or the footer `END_MMH`";
        if self.line(NAME_LINE_BYTES, EXPECTED)?.is_empty() {
            return Err(self.after_footer(EXPECTED));
        }
        let line = std::str::from_utf8(&self.line).unwrap_or_default();
        if let Some(name) = line
            .strip_prefix("FILE: ")
            .filter(|name| is_base_name(name))
        {
            let name = name.to_owned();
            let bytes = self.field(
                LINE_BYTES,
                "SIZE: ",
                "`SIZE: ` and a number of bytes",
                decimal,
            )?;
            let compressed = self.compressed_size()?;
            return Ok(RecordHeader::File {
                name,
                bytes,
                compressed,
            });
        }
        let Some((index, files, bytes)) = line.strip_prefix("BATCH_").and_then(batch_fields) else {
            return Err(self.malformed(EXPECTED));
        };
        let compressed = self.compressed_size()?;
        Ok(RecordHeader::Batch {
            index,
            files,
            bytes,
            compressed,
        })
    }

    /// Tells a footer that is not at the end from a line that is none at all.
    fn after_footer(&mut self, expected: &'static str) -> Error {
        let blank = self.malformed(expected);
        match self.line(LINE_BYTES, expected) {
            Ok("END_MMH") => Error::TrailingBytes {
                offset: self.offset,
            },
            Ok(_) | Err(_) => blank,
        }
    }

    /// Whether the next bytes are these.
    pub(crate) fn matches(&mut self, expected: &[u8]) -> Result<bool> {
        let mut bytes = vec![0; expected.len()];
        self.reader.read_exact(&mut bytes)?;
        self.offset += bytes.len() as u64;
        Ok(bytes == expected)
    }

    fn compressed_size(&mut self) -> Result<u64> {
        self.field(
            LINE_BYTES,
            "COMPRESSED_SIZE: ",
            "`COMPRESSED_SIZE: ` and a number of bytes",
            decimal,
        )
    }
}

/// Unsigned decimal without sign, padding or overflow.
fn decimal(text: &str) -> Option<u64> {
    let padded = text.len() > 1 && text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if padded || !digits {
        return None;
    }
    text.parse().ok()
}

/// `<index, at least three digits>: <k> files, <bytes> bytes`.
fn batch_fields(text: &str) -> Option<(u64, u64, u64)> {
    let (index, rest) = text.split_once(": ")?;
    let (files, rest) = rest.split_once(" files, ")?;
    let bytes = rest.strip_suffix(" bytes")?;
    let unpadded = match index.len() {
        0..=2 => return None,
        3 => index.trim_start_matches('0'),
        _ => index,
    };
    let index = if unpadded.is_empty() {
        0
    } else {
        decimal(unpadded)?
    };
    Some((index, decimal(files)?, decimal(bytes)?))
}

/// A last suffix, as any release could have taken it from a file name.
fn is_extension(text: &str) -> bool {
    !text.contains(['.', '/']) && !text.contains(char::is_control)
}

/// A base name, as any release could have taken it from a directory entry.
fn is_base_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '\0'])
}

/// `YYYY-MM-DDTHH:MM:SS[.digits]+00:00`.
fn is_utc_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let (Some(whole), Some(rest)) = (bytes.get(..SHAPE.len()), bytes.get(SHAPE.len()..)) else {
        return false;
    };
    let fits = whole.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        literal => byte == literal,
    });
    let Some(fraction) = rest.strip_suffix(b"+00:00") else {
        return false;
    };
    let fraction_fits = match fraction.split_first() {
        None => true,
        Some((b'.', digits)) => {
            (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
        Some(_) => false,
    };
    fits && fraction_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_decimal() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for text in [
            "",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "18446744073709551616",
            "１",
        ] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
    }

    #[test]
    fn batches_are_numbered_with_three_digits_or_more() {
        assert_eq!(batch_fields("000: 3 files, 1039 bytes"), Some((0, 3, 1039)));
        assert_eq!(batch_fields("099: 100 files, 0 bytes"), Some((99, 100, 0)));
        assert_eq!(batch_fields("1000: 1 files, 1 bytes"), Some((1000, 1, 1)));
        for text in [
            "00: 3 files, 1 bytes",
            "0001: 3 files, 1 bytes",
            "000: 3 files, 1 byte",
            "000:3 files, 1 bytes",
        ] {
            assert_eq!(batch_fields(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_are_utc() {
        assert!(is_utc_time("2025-07-22T16:28:09+00:00"));
        assert!(is_utc_time("2026-11-23T00:31:36.944021682+00:00"));
        for text in [
            "",
            "2025-07-22T16:28:09Z",
            "2025-07-22T16:28:09.+00:00",
            "2025-07-22 16:28:09+00:00",
        ] {
            assert!(!is_utc_time(text), "{text:?}");
        }
    }
}
