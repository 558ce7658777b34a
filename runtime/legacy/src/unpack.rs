//! Writing a pack's files: aside first, under their own names only when all of them are whole and checked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::{Builder, NamedTempFile, TempPath};

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::limits::Limits;
use crate::names::{check_name, escape_name};
use crate::pack::{Layout, Pack, Record};
use crate::verify::{Proof, proof_of};
use crate::walk::{Item, Sink};

/// How to unpack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnpackOptions {
    /// The bounds.
    pub limits: Limits,
    /// Write a benchmark's archive as the `.tar` it is, instead of its files.
    pub keep_tar: bool,
    /// Write files with unfit names under escaped names, instead of refusing the pack.
    pub escape_names: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unpacked {
    /// The pack's format.
    pub kind: Kind,
    /// How much was proved on the way.
    pub proof: Proof,
    /// The files, in the pack's order.
    pub files: Vec<UnpackedFile>,
}

/// One file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnpackedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// For the blob of an F2 pack: how many tiny files are in it, without names and boundaries.
    pub tiny_files: Option<u64>,
}

/// Unpacks the pack at `path` into the folder `to`, which is made if it is not there. Files in the way are an error and
/// stay as they are.
pub fn unpack(path: &Path, to: &Path, options: UnpackOptions) -> Result<Unpacked> {
    let mut pack = Pack::open_path(path, options.limits)?;
    let folder = TargetFolder::make(to)?;
    let mut files = Files {
        folder: to,
        options,
        single_name: single_name(path, &pack.layout, options)?,
        taken: BTreeSet::new(),
        current: None,
        written: Vec::new(),
    };
    reserve_file_names(&mut files, &pack.layout)?;
    pack.walk(!options.keep_tar, &mut files)?;
    let files = files.commit()?;
    folder.keep();
    Ok(Unpacked {
        kind: pack.layout.kind(),
        proof: proof_of(&pack.layout),
        files,
    })
}

/// Refuses unfit and occupied names of F2 before anything is decoded.
fn reserve_file_names(files: &mut Files<'_>, layout: &Layout) -> Result<()> {
    if let Layout::Directory { records, .. } = layout {
        for record in records {
            if let Record::File { name, .. } = record {
                let target = files.target(name)?;
                if !files.taken.insert(target) {
                    return Err(Error::DuplicateName { name: name.clone() });
                }
            }
        }
    }
    Ok(())
}

/// The name for the one file of F0 or F1: the pack's own, less V1's suffix, with F1's extension.
fn single_name(path: &Path, layout: &Layout, options: UnpackOptions) -> Result<String> {
    let pack_name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = [".mmh", ".seed", ".dna", ".zst"]
        .iter()
        .find_map(|suffix| pack_name.strip_suffix(suffix))
        .filter(|stem| !stem.is_empty())
        .map_or_else(|| format!("{pack_name}.unpacked"), str::to_owned);
    let Layout::Tagged { header, .. } = layout else {
        return Ok(stem);
    };
    let suffix = format!(".{}", header.extension);
    if header.extension.is_empty() || stem.ends_with(&suffix) {
        return Ok(stem);
    }
    let name = format!("{stem}{suffix}");
    match check_name(&name) {
        Err(fault) if !options.escape_names => Err(Error::UnsafeName { name, fault }),
        Ok(()) | Err(_) => Ok(name),
    }
}

/// The target folder, removed again if it was made here and nothing came of it.
struct TargetFolder<'a> {
    path: &'a Path,
    made: bool,
}

impl<'a> TargetFolder<'a> {
    fn make(path: &'a Path) -> Result<Self> {
        let made = !path.exists();
        fs::create_dir_all(path).map_err(|error| Error::io(path, error))?;
        Ok(Self { path, made })
    }

    fn keep(mut self) {
        self.made = false;
    }
}

impl Drop for TargetFolder<'_> {
    fn drop(&mut self) {
        if self.made {
            // Only an empty folder goes, so the failure to remove it loses nothing.
            let _ = fs::remove_dir(self.path);
        }
    }
}

/// A sink that writes files aside.
struct Files<'a> {
    folder: &'a Path,
    options: UnpackOptions,
    single_name: String,
    /// The paths that named files of F2 will take.
    taken: BTreeSet<PathBuf>,
    current: Option<(NamedTempFile, UnpackedFile)>,
    written: Vec<(TempPath, UnpackedFile)>,
}

impl Files<'_> {
    /// The path for a file of this name.
    fn target(&self, name: &str) -> Result<PathBuf> {
        let name = match check_name(name) {
            Ok(()) => name.to_owned(),
            Err(_) if self.options.escape_names => escape_name(name),
            Err(fault) => {
                return Err(Error::UnsafeName {
                    name: name.to_owned(),
                    fault,
                });
            }
        };
        // Escaping mends every fault but the length, which it can add to.
        check_name(&name).map_err(|fault| Error::UnsafeName {
            name: name.clone(),
            fault,
        })?;
        let path = self.folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path });
        }
        Ok(path)
    }

    fn start(&mut self, path: PathBuf, tiny_files: Option<u64>) -> Result<()> {
        let file = aside(self.folder).map_err(|error| Error::io(self.folder, error))?;
        self.current = Some((
            file,
            UnpackedFile {
                path,
                bytes: 0,
                tiny_files,
            },
        ));
        Ok(())
    }

    /// A name for the blob that no file of the pack has.
    fn blob_target(&self) -> Result<PathBuf> {
        let mut path = self.folder.join(crate::TINY_BLOB_NAME);
        let mut number = 1;
        while self.taken.contains(&path) {
            path = self.folder.join(format!("tiny_files.{number}.blob"));
            number += 1;
        }
        if path.symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path });
        }
        Ok(path)
    }

    /// Gives all files their names, or none.
    fn commit(self) -> Result<Vec<UnpackedFile>> {
        let mut named = Vec::with_capacity(self.written.len());
        for (aside, file) in self.written {
            if let Err(error) = aside.persist_noclobber(&file.path) {
                for UnpackedFile { path, .. } in named {
                    // Best effort: the error that stopped the work is the one to report.
                    let _ = fs::remove_file(path);
                }
                return Err(match error.error.kind() {
                    std::io::ErrorKind::AlreadyExists => Error::OutputExists { path: file.path },
                    _ => Error::io(&file.path, error.error),
                });
            }
            named.push(file);
        }
        Ok(named)
    }
}

impl Sink for Files<'_> {
    fn begin(&mut self, item: Item<'_>) -> Result<()> {
        let (path, tiny_files) = match item {
            Item::Whole { archive } => {
                let needs_suffix = archive && !self.single_name.ends_with(".tar");
                let suffix = if needs_suffix { ".tar" } else { "" };
                (self.target(&format!("{}{suffix}", self.single_name))?, None)
            }
            Item::TinyBlob { files } => (self.blob_target()?, Some(files)),
            Item::File { name } | Item::Member { name } => (self.target(name)?, None),
        };
        self.start(path, tiny_files)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((file, description)) = &mut self.current else {
            return Ok(());
        };
        file.as_file_mut()
            .write_all(bytes)
            .map_err(|error| Error::io(self.folder, error))?;
        description.bytes += bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some((file, description)) = self.current.take() {
            // Closing it here keeps the number of open files at one.
            self.written.push((file.into_temp_path(), description));
        }
        Ok(())
    }
}

/// A file beside its target, with the permissions a plain new file would have.
pub(crate) fn aside(folder: &Path) -> std::io::Result<NamedTempFile<File>> {
    let mut builder = Builder::new();
    builder.prefix(".mmh-aside-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
