//! Every way in which a pack can be refused.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kind::LookAlike;
use crate::names::NameFault;

/// The result of reading a pack.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a pack, manifest or report was refused. Offsets and sizes are in bytes.
#[derive(Debug)]
pub enum Error {
    /// The operating system failed.
    Io {
        /// What was read or written, where known.
        path: Option<PathBuf>,
        /// The system's own error.
        source: io::Error,
    },
    /// The bytes are no MMH-RS V1 file.
    NotAPack,
    /// The bytes look like a format that was described or prototyped, and that no release ever wrote.
    LookAlike(LookAlike),
    /// The header text departs from what the releases wrote.
    Malformed {
        /// Where the line or field starts.
        offset: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// The file ends early.
    Truncated {
        /// Where more bytes were needed.
        offset: u64,
    },
    /// Bytes follow the end of the pack.
    TrailingBytes {
        /// Where they start.
        offset: u64,
    },
    /// A zstd frame is damaged.
    Frame {
        /// What the decoder said.
        message: String,
    },
    /// A zstd frame asks for more memory than allowed.
    WindowTooLarge {
        /// The window it asks for.
        window: u64,
        /// The window that is allowed.
        limit: u64,
    },
    /// The pack decodes to more than allowed.
    OutputTooLarge {
        /// The bytes that are allowed.
        limit: u64,
    },
    /// The pack holds more records than allowed.
    TooManyRecords {
        /// The records that are allowed.
        limit: u64,
    },
    /// A record decodes to another size than it declares.
    SizeMismatch {
        /// The record.
        name: String,
        /// The size in its header.
        declared: u64,
        /// The size decoded, or a lower bound of it.
        actual: u64,
    },
    /// The records do not add up to the pack's header.
    TotalMismatch {
        /// The header's field.
        field: &'static str,
        /// Its value.
        declared: u64,
        /// The sum over the records.
        actual: u64,
    },
    /// The content is not the one the header names.
    ContentIdMismatch {
        /// The id in the header.
        declared: String,
        /// The id of the decoded content.
        actual: String,
    },
    /// A name could leave the target folder or fail on another system.
    UnsafeName {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// Two files of one pack have the same name.
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The benchmark archive holds something other than plain files below one folder.
    Archive {
        /// The member, where known.
        member: String,
        /// What is wrong with it.
        message: String,
    },
    /// The output is there already.
    OutputExists {
        /// The file in the way.
        path: PathBuf,
    },
    /// The file is not the one that was pinned.
    PinMismatch {
        /// What was hashed.
        what: &'static str,
        /// The hash that was asked for.
        expected: String,
        /// The hash of the bytes.
        actual: String,
    },
    /// A pin is not 64 lowercase hex digits.
    BadPin {
        /// What was given.
        pin: String,
    },
    /// A data manifest or a report cannot be understood.
    Document {
        /// Which document.
        what: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The regenerated data set is not the recorded one.
    ReplayMismatch {
        /// The recorded field.
        field: &'static str,
        /// Its value.
        recorded: String,
        /// What was regenerated.
        actual: String,
    },
}

impl Error {
    /// Wraps a system error with the path it came from.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: Some(path.to_path_buf()),
            source,
        }
    }

    /// A stable word for the kind of failure, `legacy::…`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "legacy::io",
            Self::NotAPack => "legacy::not-a-pack",
            Self::LookAlike(_) => "legacy::look-alike",
            Self::Malformed { .. } => "legacy::malformed",
            Self::Truncated { .. } => "legacy::truncated",
            Self::TrailingBytes { .. } => "legacy::trailing-bytes",
            Self::Frame { .. } => "legacy::frame",
            Self::WindowTooLarge { .. } => "legacy::window-too-large",
            Self::OutputTooLarge { .. } => "legacy::output-too-large",
            Self::TooManyRecords { .. } => "legacy::too-many-records",
            Self::SizeMismatch { .. } => "legacy::size-mismatch",
            Self::TotalMismatch { .. } => "legacy::total-mismatch",
            Self::ContentIdMismatch { .. } => "legacy::content-id",
            Self::UnsafeName { .. } => "legacy::unsafe-name",
            Self::DuplicateName { .. } => "legacy::duplicate-name",
            Self::Archive { .. } => "legacy::archive",
            Self::OutputExists { .. } => "legacy::output-exists",
            Self::PinMismatch { .. } => "legacy::pin-mismatch",
            Self::BadPin { .. } => "legacy::bad-pin",
            Self::Document { .. } => "legacy::document",
            Self::ReplayMismatch { .. } => "legacy::replay-mismatch",
        }
    }

    /// What to do about it, where there is something to do.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::WindowTooLarge { .. } => Some(
                "no release of MMH-RS wrote such a frame; if you trust the file, raise `--window-log`",
            ),
            Self::OutputTooLarge { .. } => Some("if you trust the file, raise `--max-output`"),
            Self::ContentIdMismatch { .. } => {
                Some("the pack was damaged or altered after it was written; nothing was unpacked")
            }
            Self::UnsafeName { .. } => {
                Some("`--escape-names` writes such files with the unsafe characters as `%XX`")
            }
            Self::Archive { .. } => {
                Some("`--keep-tar` writes the archive itself and opens nothing in it")
            }
            Self::OutputExists { .. } => {
                Some("name another folder with `--to`, or move the file away")
            }
            Self::BadPin { .. } => Some("write the 64 hex digits of the file's BLAKE3 hash"),
            Self::NotAPack => Some(
                "packs begin with a zstd frame or with `MMH-RS V1.`; the file's name does not count",
            ),
            Self::Io { .. }
            | Self::LookAlike(_)
            | Self::Malformed { .. }
            | Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::Frame { .. }
            | Self::TooManyRecords { .. }
            | Self::SizeMismatch { .. }
            | Self::TotalMismatch { .. }
            | Self::DuplicateName { .. }
            | Self::PinMismatch { .. }
            | Self::Document { .. }
            | Self::ReplayMismatch { .. } => None,
        }
    }

    /// The form that `--json` prints: `{"error": {"code", "message", "help"}}`.
    pub fn to_json(&self) -> Value {
        json!({ "error": { "code": self.code(), "message": self.to_string(), "help": self.help() } })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                path: Some(path),
                source,
            } => write!(f, "`{}`: {source}", path.display()),
            Self::Io { path: None, source } => write!(f, "{source}"),
            Self::NotAPack => write!(f, "this is not an MMH-RS V1 file"),
            Self::LookAlike(look_alike) => write!(f, "{look_alike}"),
            Self::Malformed { offset, expected } => write!(
                f,
                "the header is malformed at byte {offset}: expected {expected}"
            ),
            Self::Truncated { offset } => {
                write!(f, "the file ends early, more was needed at byte {offset}")
            }
            Self::TrailingBytes { offset } => {
                write!(f, "bytes that belong to no frame start at byte {offset}")
            }
            Self::Frame { message } => write!(f, "a zstd frame is damaged: {message}"),
            Self::WindowTooLarge { window, limit } => {
                write!(
                    f,
                    "a zstd frame asks for a window of {window} bytes, the limit is {limit}"
                )
            }
            Self::OutputTooLarge { limit } => {
                write!(f, "the pack decodes to more than {limit} bytes")
            }
            Self::TooManyRecords { limit } => write!(f, "the pack holds more than {limit} records"),
            Self::SizeMismatch {
                name,
                declared,
                actual,
            } => {
                write!(
                    f,
                    "`{}` declares {declared} bytes and decodes to {actual}",
                    name.escape_debug()
                )
            }
            Self::TotalMismatch {
                field,
                declared,
                actual,
            } => {
                write!(
                    f,
                    "the header says `{field}: {declared}`, the records add up to {actual}"
                )
            }
            Self::ContentIdMismatch { declared, actual } => {
                write!(
                    f,
                    "the content is not what the header names: `{declared}` there, `{actual}` decoded"
                )
            }
            Self::UnsafeName { name, fault } => {
                write!(f, "the name `{}` {fault}", name.escape_debug())
            }
            Self::DuplicateName { name } => {
                write!(f, "the name `{}` occurs twice", name.escape_debug())
            }
            Self::Archive { member, message } if member.is_empty() => {
                write!(f, "the archive inside {message}")
            }
            Self::Archive { member, message } => {
                write!(
                    f,
                    "the archive inside has a member `{}` that {message}",
                    member.escape_debug()
                )
            }
            Self::OutputExists { path } => write!(f, "`{}` is there already", path.display()),
            Self::PinMismatch {
                what,
                expected,
                actual,
            } => {
                write!(
                    f,
                    "{what} is not the pinned one: `{expected}` was asked for, this is `{actual}`"
                )
            }
            Self::BadPin { pin } => write!(f, "`{}` is not a BLAKE3 hash", pin.escape_debug()),
            Self::Document { what, message } => write!(f, "the {what} cannot be used: {message}"),
            Self::ReplayMismatch {
                field,
                recorded,
                actual,
            } => {
                write!(
                    f,
                    "the regenerated data set differs in `{field}`: `{recorded}` recorded, `{actual}` regenerated"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io { source, .. } = self {
            return Some(source);
        }
        None
    }
}

impl From<io::Error> for Error {
    /// Unwraps an [`Error`] that travelled inside an [`io::Error`].
    fn from(source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self::Io { path: None, source },
        }
    }
}
