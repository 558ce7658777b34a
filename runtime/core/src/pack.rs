//! Data files inside packs of MMH-RS V1: found by name, checked by the hash of the pack.

use mmh_data::{Cut, DataError, Limits, Open, Source};
use mmh_ir::plan::Within;
use mmh_legacy::{Contents, Error, TINY_BLOB_NAME};
use std::path::Path;

/// What the only file of a pack is called that stores no name.
const PAYLOAD: &str = "payload";

/// A data file on the disk, and where in it the content is.
#[derive(Clone, Copy, Debug)]
pub struct DataFile<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// What it is called in errors: the path as the recipe writes it.
    pub shown: &'a str,
    /// The blake3 it must have, 64 hex digits.
    pub pinned: Option<&'a str>,
    /// Where its content is.
    pub within: &'a Within,
    /// How much may be read.
    pub limits: Limits,
}

impl DataFile<'_> {
    /// Opens the content as `read` says. In a pack, that is the file named, or the only one there is.
    ///
    /// Errors: those of the data crate and those of packs, `legacy::…`; `data::missing-file` for a name that the pack does
    /// not hold, and where there are several to choose from.
    pub fn read(
        &self,
        read: impl FnOnce(Open<'_>) -> Result<Source, DataError>,
    ) -> Result<Source, DataError> {
        let name = match self.within {
            Within::Plain => {
                let open = Open::path(self.path).shown_as(self.shown);
                return read(open.pinned(self.pinned).limits(self.limits));
            }
            Within::Pack => None,
            Within::PackFile(name) => Some(name.as_str()),
        };
        let contents = self.contents()?;
        let (name, bytes) = self.choose(contents.files, name)?;
        let shown = format!("{}:{name}", self.shown);
        let open = Open::bytes(&shown, &bytes).taken_from(contents.hash);
        read(open.limits(self.limits))
    }

    /// Opens the content as rows of bytes: of all files of a pack, if none is named.
    ///
    /// Errors as [`DataFile::read`].
    pub fn rows_of_bytes(&self, window: u64, stride: u64) -> Result<Source, DataError> {
        let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let cut = Cut {
            window: narrow(window),
            stride: narrow(stride),
        };
        let mut contents = self.contents()?;
        if let Within::PackFile(name) = self.within {
            contents.files = vec![self.choose(contents.files, Some(name))?];
        }
        Source::rows_of_bytes(self.shown, contents.files, cut, contents.hash, &self.limits)
    }

    /// Every file of the pack; a plain file is the only one of its own.
    fn contents(&self) -> Result<Files, DataError> {
        if !self.path.is_file() {
            // The data crate has the words for what is not there.
            Open::path(self.path).shown_as(self.shown).text()?;
        }
        if self.within.is_plain() {
            let open = Open::path(self.path).shown_as(self.shown);
            let (bytes, hash) = open
                .pinned(self.pinned)
                .limits(self.limits)
                .bytes_stored()?;
            return Ok(Files {
                hash,
                files: vec![(PAYLOAD.to_owned(), bytes)],
            });
        }
        let limits = mmh_legacy::Limits {
            max_output: self.limits.decoded_bytes,
            ..mmh_legacy::Limits::default()
        };
        let Contents { container, members } =
            mmh_legacy::read_members(self.path, self.pinned, limits)
                .map_err(|error| self.refused(&error))?;
        let files = members.into_iter().map(|member| {
            let unnamed = match member.tiny_files {
                Some(_) => TINY_BLOB_NAME,
                None => PAYLOAD,
            };
            let name = member.name.unwrap_or_else(|| unnamed.to_owned());
            (name, member.bytes)
        });
        Ok(Files {
            hash: container,
            files: files.collect(),
        })
    }

    fn choose(
        &self,
        mut files: Vec<(String, Vec<u8>)>,
        name: Option<&str>,
    ) -> Result<(String, Vec<u8>), DataError> {
        let found = match name {
            Some(name) => files.iter().position(|(other, _)| other == name),
            None => (files.len() == 1).then_some(0),
        };
        if let Some(found) = found {
            return Ok(files.swap_remove(found));
        }
        let message = match (name, files.len()) {
            (_, 0) => "the pack is empty".to_owned(),
            (Some(name), _) => format!("the pack holds no file `{}`", name.escape_debug()),
            (None, count) => format!("the pack holds {count} files, and one is needed"),
        };
        let some: Vec<String> = files
            .iter()
            .take(8)
            .map(|(name, _)| name.escape_debug().to_string())
            .collect();
        let help = match files.len() {
            0 => String::new(),
            9.. => format!("name one with `file`: {}, …", some.join(", ")),
            _ => format!("name one with `file`: {}", some.join(", ")),
        };
        Err(self.error("data::missing-file", message, help))
    }

    fn refused(&self, error: &Error) -> DataError {
        let help = match error {
            Error::PinMismatch { .. } => {
                "get the pack that was pinned, or pin this one with `mmhc lock`"
            }
            Error::OutputTooLarge { .. } => "take the files out with `mmhc legacy unpack`",
            other => other.help().unwrap_or("see `mmhc legacy verify`"),
        };
        self.error(error.code(), error.to_string(), help.to_owned())
    }

    fn error(&self, code: &'static str, message: String, help: String) -> DataError {
        DataError {
            code,
            file: self.shown.into(),
            line: None,
            row: None,
            column: None,
            message,
            help,
        }
    }
}

/// Files with their names, and the blake3 of what they came in.
struct Files {
    hash: blake3::Hash,
    files: Vec<(String, Vec<u8>)>,
}
