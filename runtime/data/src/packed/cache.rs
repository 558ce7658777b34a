//! The folder of packed files. A file is named by the hash of its source and of how that is read, hashed before it is
//! believed, written aside and renamed. What was not used for longest goes where the folder would grow beyond its limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::about::{About, Form};
use super::blocks::Blocks;
use super::{Packed, Stamp, hash_of, hash_stored, plain, table, trailer};
use crate::error::{Code, DataError};
use crate::stored::{Limits, check_hash, missing};
use crate::streaming::Streaming;
use crate::table::{CsvOptions, Delimiter};

/// Blocks that wait to be written.
const WAITING: usize = 2;

/// Ends the name of a packed file.
const PACKED: &str = "rows";
/// Ends the name of an empty file whose age tells when the packed one was used last.
const USED: &str = "used";
/// Ends the name of a file that is being written.
const ASIDE: &str = "new";

/// How a file is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Csv(CsvOptions),
    Idx,
    Text,
}

impl How {
    /// What tells it from another way.
    fn word(self) -> String {
        let delimiter = |delimiter| match delimiter {
            Delimiter::Auto => "auto",
            Delimiter::Comma => "comma",
            Delimiter::Semicolon => "semicolon",
            Delimiter::Tab => "tab",
        };
        match self {
            How::Csv(options) => format!("csv {} {}", delimiter(options.delimiter), options.header),
            How::Idx => "idx".to_owned(),
            How::Text => "text".to_owned(),
        }
    }
}

/// A file of the disk that is to be streamed.
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a Path,
    pub(crate) shown: &'a str,
    pub(crate) pinned: Option<&'a str>,
    pub(crate) limits: Limits,
    pub(crate) streaming: Streaming,
}

/// What this process has opened, by path and way of reading.
type Opened = BTreeMap<(PathBuf, String), (Stamp, Arc<Packed>)>;

static OPENED: Mutex<Opened> = Mutex::new(BTreeMap::new());

impl Wanted<'_> {
    /// The packed form of the file: from the folder, or made now.
    pub(crate) fn open(&self, how: How) -> Result<Arc<Packed>, DataError> {
        let unreadable = |error: io::Error| missing(self.path, self.shown, &error);
        let file = File::open(self.path).map_err(unreadable)?;
        let stamp = Stamp::of(&file).map_err(unreadable)?;
        let path = self.path.canonicalize().map_err(unreadable)?;
        let key = (path, how.word());
        // One file is packed at a time: it takes all that a disk gives.
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, packed)) = opened.get(&key)
            && *then == stamp
            && packed.check_unchanged().is_ok()
        {
            let hash = blake3::Hash::from_hex(&packed.about.source).ok();
            hash.map_or(Ok(()), |hash| check_hash(self.shown, self.pinned, hash))?;
            return Ok(Arc::clone(packed));
        }
        let (hash, _) = hash_stored(&file).map_err(unreadable)?;
        check_hash(self.shown, self.pinned, hash)?;
        let packed = Arc::new(self.find_or_pack(hash, how)?);
        opened.insert(key, (stamp, Arc::clone(&packed)));
        Ok(packed)
    }

    fn find_or_pack(&self, hash: blake3::Hash, how: How) -> Result<Packed, DataError> {
        let mut name = blake3::Hasher::new_derive_key("mmh packed data 1");
        name.update(hash.as_bytes());
        name.update(how.word().as_bytes());
        let name = name.finalize().to_hex().to_string();
        let path = self.streaming.folder.join(&name).with_extension(PACKED);
        let tell = self.streaming.told;
        match Packed::open(&path) {
            Ok(packed) if packed.about.source == hash.to_hex().as_str() => {
                return Ok(used(packed, &path));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => {
                tell(&format!(
                    "warning: the packed form of `{}` is damaged, it is made again\n",
                    self.shown
                ));
                // It is replaced in any case.
                let _ = fs::remove_file(&path);
            }
        }
        tell(&format!(
            "`{}` is larger than is held in memory: its rows are packed once\n",
            self.shown
        ));
        self.pack(hash, how, &path)
    }

    fn pack(&self, hash: blake3::Hash, how: How, path: &Path) -> Result<Packed, DataError> {
        let mut forced = BTreeSet::new();
        loop {
            let file =
                File::open(self.path).map_err(|error| missing(self.path, self.shown, &error))?;
            let mut out = Aside::begin(path, self.shown, self.streaming)?;
            let mut blocks = Blocks::of(file, self.shown).map_err(|error| out.failed(&error))?;
            let (form, rows, record) = match how {
                How::Csv(options) => {
                    let (file, limits) = (self.shown, &self.limits);
                    let passed =
                        table::pack(&mut blocks, file, options, limits, &forced, &mut out)?;
                    if !passed.again.is_empty() && passed.again != forced {
                        forced = passed.again;
                        continue;
                    }
                    let record = match &passed.form {
                        Form::Table { fields } => 4 * fields.len() as u64,
                        Form::Idx { .. } | Form::Text { .. } => 0,
                    };
                    (passed.form, passed.rows, record)
                }
                How::Idx => plain::pack_idx(&mut blocks, self.shown, &mut out)?,
                How::Text => plain::pack_text(&mut blocks, self.shown, &mut out)?,
            };
            if blocks.hash() != Some(hash) {
                let message = "the file was changed while it was read".to_owned();
                let help = "begin again once nobody writes to it";
                return Err(DataError::new(Code::WrongHash, self.shown, message, help));
            }
            return out.finish(&About {
                source: hash.to_hex().to_string(),
                rows,
                record,
                form,
            });
        }
    }
}

/// Marks a packed file as used now, and keeps it from being collected while it is open.
fn used(packed: Packed, path: &Path) -> Packed {
    // Where there are no locks, a file that is collected stays readable for whom it is open.
    let _ = packed.file.try_lock_shared();
    let _ = File::create(path.with_extension(USED));
    packed
}

/// A thread that writes what it is sent.
type Writer = (SyncSender<Vec<u8>>, JoinHandle<io::Result<()>>);

/// A packed file that is being written. It is locked; what was left by a process that died is not.
pub(crate) struct Aside {
    file: File,
    /// Writes while rows are taken apart, until all are.
    writer: Option<Writer>,
    at: PathBuf,
    path: PathBuf,
    shown: String,
    streaming: Streaming,
    bytes: u64,
}

impl Aside {
    fn begin(path: &Path, shown: &str, streaming: Streaming) -> Result<Aside, DataError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |error: io::Error| failed(shown, streaming, &error);
        fs::create_dir_all(streaming.folder).map_err(failed)?;
        remove_left_over(streaming.folder);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let at = path.with_extension(format!("{}-{number}.{ASIDE}", std::process::id()));
        let mut how = OpenOptions::new();
        let file = how
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&at);
        let file = file.map_err(failed)?;
        let _ = file.try_lock();
        let (send, blocks) = sync_channel::<Vec<u8>>(WAITING);
        let mut behind = file.try_clone().map_err(failed)?;
        let write = move || blocks.iter().try_for_each(|block| behind.write_all(&block));
        let writer = std::thread::Builder::new().name("mmh rows".to_owned());
        let writer = writer.spawn(write).map_err(failed)?;
        Ok(Aside {
            file,
            writer: Some((send, writer)),
            at,
            path: path.to_path_buf(),
            shown: shown.to_owned(),
            streaming,
            bytes: 0,
        })
    }

    /// What a failure to write means.
    pub(crate) fn failed(&self, error: &io::Error) -> DataError {
        failed(&self.shown, self.streaming, error)
    }

    /// Changes what was written; `change` leaves the length as it is.
    pub(crate) fn change(
        &mut self,
        change: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), DataError> {
        use std::io::{Seek, SeekFrom};
        self.settle().map_err(|error| self.failed(&error))?;
        let changed = change(&mut self.file).and_then(|()| self.file.seek(SeekFrom::End(0)));
        changed.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Writes the description and the trailer, and gives the file its name.
    fn finish(mut self, about: &About) -> Result<Packed, DataError> {
        self.seal(about).map_err(|error| self.failed(&error))?;
        make_room(self.streaming, self.bytes);
        fs::rename(&self.at, &self.path).map_err(|error| self.failed(&error))?;
        // It was hashed just now.
        let packed = Packed::read_from(&self.path, false);
        let packed = packed.map_err(|error| self.failed(&error))?;
        Ok(used(packed, &self.path))
    }

    /// Waits until all that was handed to the writer is written.
    fn settle(&mut self) -> io::Result<()> {
        let Some((send, writer)) = self.writer.take() else {
            return Ok(());
        };
        drop(send);
        let ended = writer.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the writer came to grief")))
    }

    fn seal(&mut self, about: &About) -> io::Result<()> {
        self.settle()?;
        let text = serde_json::to_vec(about)?;
        self.write_all(&text)?;
        let hash = hash_of(&self.file, self.bytes)?;
        self.write_all(&trailer(text.len() as u64, hash))
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes + bytes.len() as u64 > self.streaming.cache {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let written = match &self.writer {
            None => self.file.write(bytes)?,
            Some((send, _)) => match send.send(bytes.to_vec()) {
                Ok(()) => bytes.len(),
                // The writer has ended at an error.
                Err(_) => return self.settle().map(|()| 0),
            },
        };
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = self.settle();
        // Under its last name it is no longer there.
        let _ = fs::remove_file(&self.at);
    }
}

fn failed(shown: &str, streaming: Streaming, error: &io::Error) -> DataError {
    let folder = streaming.folder.display();
    let (code, message, help) = match error.kind() {
        io::ErrorKind::QuotaExceeded => (
            Code::TooLarge,
            format!("its packed rows are more than {} bytes", streaming.cache),
            "allow more with MMH_DATA_CACHE_LIMIT, or take fewer rows or columns".to_owned(),
        ),
        io::ErrorKind::StorageFull => (
            Code::Cache,
            format!("there is no room for its packed rows in `{folder}`"),
            "make room, or name another folder with MMH_DATA_CACHE".to_owned(),
        ),
        _ => (
            Code::Cache,
            format!("its packed rows cannot be kept in `{folder}`: {error}"),
            "name a folder that you may write to with MMH_DATA_CACHE".to_owned(),
        ),
    };
    DataError::new(code, shown, message, help)
}

/// Removes what processes that died were writing.
fn remove_left_over(folder: &Path) {
    for path in files_of(folder, ASIDE) {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if matches!(file.try_lock(), Ok(())) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The files of a folder whose names end so, sorted.
fn files_of(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|found| found == end))
        .collect();
    found.sort_unstable();
    found
}

/// Packed files with when they were used last and their bytes, the longest unused first.
fn by_use(folder: &Path) -> Vec<(SystemTime, PathBuf, u64)> {
    let time = |path: &Path| fs::metadata(path).and_then(|about| about.modified());
    let mut found: Vec<_> = files_of(folder, PACKED)
        .into_iter()
        .filter_map(|path| {
            let used = time(&path.with_extension(USED))
                .or_else(|_| time(&path))
                .ok()?;
            let bytes = fs::metadata(&path).ok()?.len();
            Some((used, path, bytes))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Removes a packed file unless it is in use.
fn remove(path: &Path) -> bool {
    let is_in_use =
        File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
    if is_in_use {
        return false;
    }
    let _ = fs::remove_file(path.with_extension(USED));
    fs::remove_file(path).is_ok()
}

fn make_room(streaming: Streaming, bytes: u64) {
    let known = by_use(streaming.folder);
    let mut all: u64 = known.iter().map(|(_, _, bytes)| bytes).sum();
    for (_, path, size) in known {
        if all + bytes <= streaming.cache {
            return;
        }
        if remove(&path) {
            all -= size;
        }
    }
}

/// Removes packed files that were not used for `grace`, and what was left by processes that died; with `dry`, only counts.
/// Gives their number and bytes.
pub fn collect(folder: &Path, grace: Duration, dry: bool) -> (u64, u64) {
    let (mut count, mut all) = (0, 0);
    if !dry {
        remove_left_over(folder);
    }
    for (used, path, bytes) in by_use(folder) {
        let age = SystemTime::now().duration_since(used).unwrap_or_default();
        if age >= grace && (dry || remove(&path)) {
            count += 1;
            all += bytes;
        }
    }
    (count, all)
}
