//! The store's folder: opening it, leases, objects.

use crate::StoreFailure;
use crate::content::{hash_file, is_hash};
use blake3::Hash;
use mmh_runtime::{Disk, Files};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

const FORMAT: &str = "mmh store 1\n";
/// Bytes that are copied at a time.
const PART: usize = 4 << 20;

/// A store in a folder. Any number of processes may work in it at once.
#[derive(Clone)]
pub struct Store {
    root: PathBuf,
    files: Arc<dyn Files>,
}

/// While it lives, nothing is collected: what a writer has put there stays until a reference holds it.
pub struct Lease {
    file: Option<File>,
}

impl Lease {
    /// Whether the file system knows locks. Where it does not, age alone guards what is being written.
    pub(crate) fn is_lock(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // The system unlocks it in any case when the process ends.
            let _ = file.unlock();
        }
    }
}

impl Store {
    /// Opens the store in `root`, or makes one there.
    ///
    /// Errors: there is something else; it is of another version; it cannot be written.
    pub fn open(root: &Path) -> Result<Self, StoreFailure> {
        Self::open_with(Arc::new(Disk), root)
    }

    /// The same, with the way files are written.
    pub fn open_with(files: Arc<dyn Files>, root: &Path) -> Result<Self, StoreFailure> {
        let store = Self {
            root: root.to_path_buf(),
            files,
        };
        match fs::read_to_string(root.join("format")) {
            Ok(text) if text == FORMAT => Ok(store),
            Ok(text) => Err(StoreFailure::damaged(
                root.join("format").display().to_string(),
                format!(
                    "it is `{}`, this version of mmhc reads `{}`",
                    text.trim().chars().take(40).collect::<String>(),
                    FORMAT.trim()
                ),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => store.make(),
            Err(error) => Err(StoreFailure::io(&root.join("format"), &error)),
        }
    }

    /// Whether a folder is a store.
    pub fn is_at(root: &Path) -> bool {
        fs::read_to_string(root.join("format")).is_ok_and(|text| text == FORMAT)
    }

    fn make(self) -> Result<Self, StoreFailure> {
        let names = self
            .files
            .list(&self.root)
            .map_err(|error| StoreFailure::io(&self.root, &error))?;
        let ours = ["objects", "refs", "incoming", "uploads", "damaged", ".lock"];
        if let Some(other) = names.iter().find(|name| !ours.contains(&name.as_str())) {
            return Err(StoreFailure::damaged(
                self.root.display().to_string(),
                format!("it is no store, and holds `{other}`"),
            ));
        }
        for name in ["objects", "refs/runs", "refs/tags", "incoming"] {
            self.make_folder(&self.root.join(name))?;
        }
        self.replace("format", FORMAT.as_bytes())?;
        Ok(self)
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn files(&self) -> &dyn Files {
        &*self.files
    }

    pub(crate) fn make_folder(&self, folder: &Path) -> Result<(), StoreFailure> {
        if folder.is_dir() {
            return Ok(());
        }
        self.files
            .make_folder(folder)
            .map_err(|error| StoreFailure::io(folder, &error))
    }

    /// Keeps garbage collection away while it lives; waits for one that is at work.
    pub fn lease(&self) -> Result<Lease, StoreFailure> {
        let (path, file) = self.lock_file()?;
        match file.lock_shared() {
            Ok(()) => Ok(Lease { file: Some(file) }),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Lease { file: None }),
            Err(error) => Err(StoreFailure::io(&path, &error)),
        }
    }

    /// The store alone.
    ///
    /// Errors: somebody is at work in it.
    pub(crate) fn alone(&self) -> Result<Lease, StoreFailure> {
        let (path, file) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Lease { file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreFailure::Busy {
                path: self.root.clone(),
            }),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Lease { file: None })
            }
            Err(TryLockError::Error(error)) => Err(StoreFailure::io(&path, &error)),
        }
    }

    fn lock_file(&self) -> Result<(PathBuf, File), StoreFailure> {
        let path = self.root.join(".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| StoreFailure::io(&path, &error))?;
        Ok((path, file))
    }

    /// Where an object is, or would be. `hash` is 64 hex digits.
    pub fn place(&self, hash: &str) -> PathBuf {
        let (folder, name) = hash.split_at_checked(2).unwrap_or(("", hash));
        self.root.join("objects").join(folder).join(name)
    }

    /// The size of an object; none if it is not here.
    pub fn size(&self, hash: &str) -> Option<u64> {
        let about = fs::metadata(self.place(hash)).ok()?;
        (is_hash(hash) && about.is_file()).then_some(about.len())
    }

    /// The bytes of a small object, checked.
    pub(crate) fn read(&self, hash: &str, most: u64) -> Result<Option<Vec<u8>>, StoreFailure> {
        let path = self.place(hash);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreFailure::io(&path, &error)),
        };
        let mut bytes = Vec::new();
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| StoreFailure::io(&path, &error))?;
        match blake3::hash(&bytes).to_hex().as_str() == hash && bytes.len() as u64 <= most {
            true => Ok(Some(bytes)),
            false => Err(StoreFailure::damaged(
                path.display().to_string(),
                "its content is not what its name says",
            )),
        }
    }

    /// Puts bytes there and gives their hash, 64 hex digits.
    pub(crate) fn put_bytes(&self, bytes: &[u8]) -> Result<String, StoreFailure> {
        let hash = blake3::hash(bytes).to_hex().to_string();
        if self.has_whole(&hash)? {
            return Ok(hash);
        }
        let aside = self.fresh()?;
        let written = self.files.write(&aside, bytes);
        written.map_err(|error| self.failed(&aside, &error))?;
        self.adopt(&aside, &hash)?;
        Ok(hash)
    }

    /// Puts a file's content there; gives its hash, its size, and whether it was new.
    ///
    /// The file may be changed meanwhile: what is stored is what its hash says in any case.
    pub(crate) fn put_file(&self, path: &Path) -> Result<(String, u64, bool), StoreFailure> {
        let failed = |error: io::Error| StoreFailure::io(path, &error);
        let (hash, bytes) = hash_file(path).map_err(failed)?;
        let hash = hash.to_hex().to_string();
        if self.has_whole(&hash)? {
            return Ok((hash, bytes, false));
        }
        let aside = self.fresh()?;
        let (copied, bytes) = self.copy(path, &aside)?;
        let hash = copied.to_hex().to_string();
        self.adopt(&aside, &hash)?;
        Ok((hash, bytes, true))
    }

    /// Copies a file part by part, to the disk; gives the hash of what was copied.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> Result<(Hash, u64), StoreFailure> {
        let failed = |error: io::Error| StoreFailure::io(from, &error);
        let mut source = File::open(from).map_err(failed)?;
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
        let mut buffer = vec![0; PART];
        loop {
            let count = fill(&mut source, &mut buffer).map_err(failed)?;
            let part = buffer.get(..count).unwrap_or_default();
            hasher.update(part);
            bytes += part.len() as u64;
            let ends = count < PART;
            let added = self.files.append(to, part, ends);
            added.map_err(|error| self.failed(to, &error))?;
            if ends {
                return Ok((hasher.finalize(), bytes));
            }
        }
    }

    /// Whether an object is here and is what its name says. One that is not is going to be replaced.
    pub(crate) fn has_whole(&self, hash: &str) -> Result<bool, StoreFailure> {
        let path = self.place(hash);
        match hash_file(&path) {
            Ok((found, _)) if found.to_hex().as_str() == hash => {
                // Where there are no locks, its age is all that guards it against being collected.
                if let Ok(file) = File::open(&path) {
                    let _ = file.set_modified(SystemTime::now());
                }
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreFailure::io(&path, &error)),
        }
    }

    /// Gives a file that is written and on the disk its name as an object.
    pub(crate) fn adopt(&self, aside: &Path, hash: &str) -> Result<(), StoreFailure> {
        let path = self.place(hash);
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        protect(aside);
        self.files
            .rename(aside, &path)
            .and_then(|()| self.files.sync_folder(folder))
            .map_err(|error| self.failed(aside, &error))
    }

    /// A name that nobody else writes to.
    pub(crate) fn fresh(&self) -> Result<PathBuf, StoreFailure> {
        let folder = self.root.join("incoming");
        self.make_folder(&folder)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| StoreFailure::io(&folder, &io::Error::other(error.to_string())))?;
        Ok(folder.join(format!("{:016x}", u64::from_le_bytes(random))))
    }

    /// Writes a small file of the store whole.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreFailure> {
        let (path, aside) = (self.root.join(name), self.fresh()?);
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        self.files
            .write(&aside, bytes)
            .and_then(|()| self.files.rename(&aside, &path))
            .and_then(|()| self.files.sync_folder(folder))
            .map_err(|error| self.failed(&aside, &error))
    }

    /// The failure, and what was written so far is removed.
    fn failed(&self, aside: &Path, error: &io::Error) -> StoreFailure {
        let _ = self.files.remove(aside);
        StoreFailure::io(aside, error)
    }

    /// Every file under `objects`: its name put together, and where it is. Sorted.
    pub(crate) fn objects(&self) -> Result<Vec<(String, PathBuf)>, StoreFailure> {
        let top = self.root.join("objects");
        let list = |folder: &Path| {
            self.files
                .list(folder)
                .map_err(|error| StoreFailure::io(folder, &error))
        };
        let mut found = Vec::new();
        for first in list(&top)? {
            let folder = top.join(&first);
            if !folder.is_dir() {
                found.push((first, folder));
                continue;
            }
            for rest in list(&folder)? {
                found.push((format!("{first}{rest}"), folder.join(&rest)));
            }
        }
        Ok(found)
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Guards an object against being written to by mistake.
#[cfg(unix)]
fn protect(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // It is a help, no more: fsck finds what was changed all the same.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o444));
}

#[cfg(not(unix))]
fn protect(_path: &Path) {}
