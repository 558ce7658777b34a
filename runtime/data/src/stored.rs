//! A file as it is stored: read within limits, hashed while reading, unpacked if gzip.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Code, DataError, nearest};
use crate::packed::cache::{How, Wanted};
use crate::source::Source;
use crate::streaming::{self, Kind, Streaming};
use crate::table::CsvOptions;

/// How much may be read; beyond it is `limit::too-large`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file as stored.
    pub stored_bytes: u64,
    /// Bytes of a file once unpacked; at most 2³² − 2 whatever is written here.
    pub decoded_bytes: u64,
    /// Fields of a table, characters of a text, or values of an IDX file that holds no bytes.
    pub fields: u64,
    /// Columns of a table.
    pub columns: u64,
    /// How a file is read that is too large to be held in memory; without it, that is an error.
    pub streaming: Option<Streaming>,
}

impl Default for Limits {
    /// 2 GiB stored, 2 GiB unpacked, 2²⁸ fields, 65,536 columns; nothing is streamed.
    fn default() -> Self {
        Limits {
            stored_bytes: 2 << 30,
            decoded_bytes: 2 << 30,
            fields: 1 << 28,
            columns: 65_536,
            streaming: None,
        }
    }
}

/// How a source is opened. Start with [`Open::path`], end with [`Open::csv`], [`Open::idx`] or [`Open::text`].
#[derive(Clone, Debug)]
pub struct Open<'a> {
    from: From<'a>,
    shown: String,
    pinned: Option<&'a str>,
    container: Option<blake3::Hash>,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
enum From<'a> {
    Path(&'a Path),
    Bytes(&'a [u8]),
}

/// What a file held: its bytes once unpacked, and the hash of those it was stored as.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) file: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: blake3::Hash,
    pub(crate) limits: Limits,
}

impl<'a> Open<'a> {
    /// A file, named in errors as the path is written.
    pub fn path(path: &'a Path) -> Self {
        Open {
            from: From::Path(path),
            shown: path.display().to_string(),
            pinned: None,
            container: None,
            limits: Limits::default(),
        }
    }

    /// Bytes already in memory, as a file of this name would hold them.
    pub fn bytes(name: &str, bytes: &'a [u8]) -> Self {
        Open {
            from: From::Bytes(bytes),
            shown: name.to_owned(),
            pinned: None,
            container: None,
            limits: Limits::default(),
        }
    }

    /// The name to show in errors instead of the path.
    pub fn shown_as(mut self, name: &str) -> Self {
        self.shown = name.to_owned();
        self
    }

    /// The blake3 the stored bytes must have: 64 hex digits, with or without `blake3:` before them.
    pub fn pinned(mut self, hash: Option<&'a str>) -> Self {
        self.pinned = hash;
        self
    }

    /// The blake3 of the file these bytes were taken out of, which then counts as the source's.
    pub fn taken_from(mut self, container: blake3::Hash) -> Self {
        self.container = Some(container);
        self
    }

    /// Other limits than [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens a table of text, plain or gzip.
    pub fn csv(self, options: CsvOptions) -> Result<Source, DataError> {
        self.open(Kind::Table, How::Csv(options), |stored| {
            Source::table(stored, options)
        })
    }

    /// Opens an IDX file (LeCun, Cortes & Burges, the MNIST database), plain or gzip.
    pub fn idx(self) -> Result<Source, DataError> {
        self.open(Kind::Idx, How::Idx, Source::idx)
    }

    /// Opens a UTF-8 text as a sequence of characters, plain or gzip.
    pub fn text(self) -> Result<Source, DataError> {
        self.open(Kind::Text, How::Text, Source::text)
    }

    /// Reads into memory what fits there, and streams what does not, where that is allowed.
    fn open(
        self,
        kind: Kind,
        how: How,
        read: impl FnOnce(Stored) -> Result<Source, DataError>,
    ) -> Result<Source, DataError> {
        let (From::Path(path), Some(streaming)) = (self.from, self.limits.streaming) else {
            return read(self.read()?);
        };
        let (shown, limits) = (self.shown.clone(), self.limits);
        let wanted = Wanted {
            path,
            shown: &shown,
            pinned: self.pinned,
            limits,
            streaming,
        };
        let stream = || Source::packed(wanted.open(how)?, &shown);
        if is_beyond(path, kind, streaming.memory) {
            return stream();
        }
        let mut within = self.clone();
        within.limits = streaming::within(kind, limits, streaming.memory);
        match within.read().and_then(read) {
            Err(error) if error.code == Code::TooLarge.name() => stream(),
            read => read,
        }
    }

    /// The bytes as they are stored, and their blake3; nothing is unpacked.
    pub fn bytes_stored(self) -> Result<(Vec<u8>, blake3::Hash), DataError> {
        self.raw().map(|(stored, hash, _)| (stored, hash))
    }

    fn read(self) -> Result<Stored, DataError> {
        let limits = self.limits;
        let container = self.container;
        let (stored, hash, file) = self.raw()?;
        let bytes = unpack(&file, stored, &limits)?;
        Ok(Stored {
            file,
            bytes,
            hash: container.unwrap_or(hash),
            limits,
        })
    }

    fn raw(self) -> Result<(Vec<u8>, blake3::Hash, String), DataError> {
        let limit = self.limits.stored_bytes;
        let mut stored = Vec::new();
        match self.from {
            From::Path(path) => {
                let file = File::open(path).map_err(|cause| missing(path, &self.shown, &cause))?;
                if file.metadata().is_ok_and(|about| about.is_dir()) {
                    return Err(folder(&self.shown));
                }
                file.take(limit.saturating_add(1))
                    .read_to_end(&mut stored)
                    .map_err(|cause| missing(path, &self.shown, &cause))?;
            }
            From::Bytes(bytes) => stored.extend_from_slice(bytes),
        }
        if stored.len() as u64 > limit {
            return Err(too_large(&self.shown, "as stored", limit));
        }
        let hash = blake3::hash(&stored);
        check_hash(&self.shown, self.pinned, hash)?;
        Ok((stored, hash, self.shown))
    }
}

/// Whether what is in a file is too large for memory, as far as can be told from outside.
fn is_beyond(path: &Path, kind: Kind, memory: u64) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    let about = file.metadata().ok().filter(|about| about.is_file());
    let mut start = [0; 2];
    let gzip = file.read_exact(&mut start).is_ok() && start == [0x1f, 0x8b];
    about.is_some_and(|about| streaming::is_too_large(kind, about.len(), gzip, memory))
}

pub(crate) fn too_large(file: &str, what: &str, limit: u64) -> DataError {
    let message = format!("the file {what} is larger than {limit} bytes");
    DataError::new(
        Code::TooLarge,
        file,
        message,
        "data are held in memory: take fewer rows, or fewer columns",
    )
}

/// Refuses more values than the limits allow; `what` names them.
pub(crate) fn check_fields(
    file: &str,
    what: &str,
    count: u64,
    limits: &Limits,
) -> Result<(), DataError> {
    if count <= limits.fields {
        return Ok(());
    }
    let message = format!("the file has more than {} {what}", limits.fields);
    let help = "data are held in memory: take a smaller part of it";
    Err(DataError::new(Code::TooLarge, file, message, help))
}

fn folder(file: &str) -> DataError {
    let message = "this is a folder, a file is needed".to_owned();
    DataError::new(
        Code::MissingFile,
        file,
        message,
        "name a file inside the folder",
    )
}

pub(crate) fn missing(path: &Path, file: &str, cause: &io::Error) -> DataError {
    if cause.kind() != io::ErrorKind::NotFound {
        let message = format!(
            "the file cannot be read: {}",
            cause.to_string().to_lowercase()
        );
        return DataError::new(
            Code::MissingFile,
            file,
            message,
            "check that it is a file you may read",
        );
    }
    let wanted = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let beside = neighbours(path);
    let help = match nearest(&wanted, beside.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "paths are taken from the folder of the recipe".to_owned(),
    };
    DataError::new(
        Code::MissingFile,
        file,
        "there is no such file".to_owned(),
        help,
    )
}

/// The names of up to 1,000 files beside `path`, sorted.
fn neighbours(path: &Path) -> Vec<String> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .take(1000)
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

pub(crate) fn check_hash(
    file: &str,
    pinned: Option<&str>,
    found: blake3::Hash,
) -> Result<(), DataError> {
    let Some(pinned) = pinned else { return Ok(()) };
    let digits = pinned.strip_prefix("blake3:").unwrap_or(pinned);
    let Ok(wanted) = blake3::Hash::from_hex(digits) else {
        let message = "the pinned blake3 is not 64 hex digits".to_owned();
        return Err(DataError::new(
            Code::WrongHash,
            file,
            message,
            format!("the file's is `{found}`"),
        ));
    };
    if wanted == found {
        return Ok(());
    }
    let message = format!("the file's blake3 is `{found}`, the recipe pins `{wanted}`");
    Err(DataError::new(
        Code::WrongHash,
        file,
        message,
        "get the file that was pinned, or pin this one with `mmhc lock`",
    ))
}

/// Unpacks gzip, known by its first bytes, and stops where the limit is reached.
fn unpack(file: &str, stored: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, DataError> {
    // Fields are addressed by u32, and one value is kept to mean none.
    let limit = limits.decoded_bytes.min(u64::from(u32::MAX) - 1);
    let bytes = if stored.starts_with(&[0x1f, 0x8b]) {
        let mut bytes = Vec::new();
        let mut reader = flate2::bufread::MultiGzDecoder::new(&stored[..]).take(limit + 1);
        reader
            .read_to_end(&mut bytes)
            .map_err(|cause| broken_gzip(file, &cause))?;
        bytes
    } else {
        stored
    };
    if bytes.len() as u64 > limit {
        return Err(too_large(file, "once unpacked", limit));
    }
    Ok(bytes)
}

pub(crate) fn broken_gzip(file: &str, cause: &io::Error) -> DataError {
    if cause.kind() == io::ErrorKind::UnexpectedEof {
        let message = "the gzip file ends too early".to_owned();
        return DataError::new(Code::Truncated, file, message, "fetch the file again");
    }
    let message = format!("the gzip file is damaged: {cause}");
    DataError::new(Code::Format, file, message, "fetch the file again")
}
