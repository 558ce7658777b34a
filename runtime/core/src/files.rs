//! Writing so that what is there is whole: aside, synced, renamed.

use crate::failure::RunFailure;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file operations a run folder needs. [`Disk`] does them; a test may fail any of them.
pub trait Files: Send + Sync {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Makes or replaces a file, on the disk when this returns.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Adds to the end of a file, making it if it is not there; on the disk when this returns if `sync`.
    fn append(&self, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()>;
    /// Cuts a file to `length` bytes.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Gives a file or folder a new name, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, or a folder with all it holds.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, sorted; none if it is not there.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder and those above it; on the disk when this returns.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes names in a folder last.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn append(&self, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(bytes)?;
        if sync { file.sync_data() } else { Ok(()) }
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made: Vec<&Path> = folder.ancestors().take_while(missing).collect();
        fs::create_dir_all(folder)?;
        for folder in made {
            match folder.parent() {
                Some(above) if above.as_os_str().is_empty() => self.sync_folder(Path::new("."))?,
                Some(above) => self.sync_folder(above)?,
                None => {}
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// Ends the name of a file that is being written aside.
pub(crate) const ASIDE: &str = ".new";

/// Writes a file so that a crash leaves either the old one or the new one, whole.
pub(crate) fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> Result<(), RunFailure> {
    replace_all(files, &[(path.to_path_buf(), bytes)])
}

/// The same for several files; their folders are made lasting once, behind all of them.
pub(crate) fn replace_all(
    files: &dyn Files,
    written: &[(PathBuf, &[u8])],
) -> Result<(), RunFailure> {
    let mut folders: Vec<&Path> = Vec::new();
    for (path, bytes) in written {
        let aside = aside(path);
        let done = files
            .write(&aside, bytes)
            .and_then(|()| files.rename(&aside, path));
        done.map_err(|error| {
            // A half-written file aside only takes room; that it cannot be removed changes nothing.
            let _ = files.remove(&aside);
            RunFailure::io(path, &error)
        })?;
        match path.parent() {
            Some(folder) if !folders.contains(&folder) => folders.push(folder),
            _ => {}
        }
    }
    for folder in folders {
        files
            .sync_folder(folder)
            .map_err(|error| RunFailure::io(folder, &error))?;
    }
    Ok(())
}

/// The name under which `path` is written before it takes its own.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ASIDE);
    PathBuf::from(name)
}

/// Removes a file or folder that may not be there.
pub(crate) fn remove_if_there(files: &dyn Files, path: &Path) -> Result<(), RunFailure> {
    match files.remove(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(RunFailure::io(path, &error)),
    }
}

/// The bytes of a file that may not be there.
pub(crate) fn read_if_there(files: &dyn Files, path: &Path) -> Result<Option<Vec<u8>>, RunFailure> {
    match files.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RunFailure::io(path, &error)),
    }
}
