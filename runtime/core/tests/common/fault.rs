//! Files that fail: killed or full after a number of operations, or without power, when what was not synced is lost or torn.

use mmh_runtime::Files;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

const DISK: mmh_runtime::Disk = mmh_runtime::Disk;

/// Files that fail after a number of operations: for good, as when the process is killed, or at every write, as when the disk
/// is full. The first failing write leaves a part of its bytes. Nothing is synced: a process that dies does not lose what it
/// wrote.
pub(crate) struct Faulty {
    pub(crate) left: AtomicI64,
    pub(crate) full: bool,
}

impl Faulty {
    pub(crate) fn killed_after(operations: i64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(operations),
            full: false,
        })
    }

    pub(crate) fn full_after(operations: i64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(operations),
            full: true,
        })
    }

    fn step(&self, is_write: bool) -> io::Result<()> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        match (self.full, left) {
            (_, 1..) => Ok(()),
            (false, _) => Err(io::Error::other("killed")),
            (true, _) if is_write => Err(io::Error::from(io::ErrorKind::StorageFull)),
            (true, _) => Ok(()),
        }
    }

    /// Whether the operation that just failed was the first to.
    fn is_first(&self) -> bool {
        self.left.load(Ordering::Relaxed) == -1
    }
}

impl Files for Faulty {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.step(false)?;
        DISK.read(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step(true).or_else(|error| {
            if self.is_first() {
                std::fs::write(path, &bytes[..bytes.len() / 2])?;
            }
            Err(error)
        })?;
        std::fs::write(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8], _sync: bool) -> io::Result<()> {
        self.step(true).or_else(|error| {
            if self.is_first() {
                DISK.append(path, &bytes[..bytes.len() / 2], false)?;
            }
            Err(error)
        })?;
        DISK.append(path, bytes, false)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        self.step(false)?;
        DISK.truncate(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(false)?;
        DISK.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(false)?;
        DISK.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.step(false)?;
        DISK.list(folder)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.step(false)?;
        DISK.make_folder(folder)
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        self.step(false)
    }
}

/// Bytes that a disk writes at once.
const SECTOR: usize = 512;

/// Files on a disk whose power fails at some operation. What was synced by then stays. Of the rest, a file keeps any of its new
/// sectors, at its old length, its new one or one between; and a folder keeps its changes of names up to some moment.
pub(crate) struct Power {
    root: PathBuf,
    world: Mutex<World>,
}

#[derive(Default)]
struct World {
    random: u64,
    /// Operations until the power fails.
    left: u64,
    out: bool,
    files: Vec<File>,
    /// Names as a process sees them, and as they are on the disk.
    names: BTreeMap<PathBuf, usize>,
    lasting: BTreeMap<PathBuf, usize>,
    /// Changes of names that are not on the disk yet.
    pending: Vec<Change>,
}

#[derive(Clone, Default)]
struct File {
    now: Vec<u8>,
    lasting: Vec<u8>,
}

/// A change of names, whole or not at all.
struct Change {
    folders: Vec<PathBuf>,
    /// New holders of names; none where a name goes.
    names: Vec<(PathBuf, Option<usize>)>,
}

impl World {
    /// SplitMix64.
    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below.max(1) as u64) as usize
    }

    fn step(&mut self) -> io::Result<bool> {
        if self.out {
            return Err(io::Error::other("no power"));
        }
        self.out = self.left == 0;
        self.left = self.left.saturating_sub(1);
        Ok(self.out)
    }

    /// The file of this name, made if there is none.
    fn file(&mut self, path: &Path) -> usize {
        if let Some(number) = self.names.get(path) {
            return *number;
        }
        let number = self.files.len();
        self.files.push(File::default());
        self.names.insert(path.to_path_buf(), number);
        self.change(vec![(path.to_path_buf(), Some(number))]);
        number
    }

    fn change(&mut self, names: Vec<(PathBuf, Option<usize>)>) {
        let mut folders: Vec<PathBuf> = names
            .iter()
            .filter_map(|(path, _)| path.parent().map(Path::to_path_buf))
            .collect();
        folders.dedup();
        self.pending.push(Change { folders, names });
    }

    /// Names at a path or below it.
    fn below(&self, path: &Path) -> Vec<(PathBuf, usize)> {
        let names = self.names.iter().filter(|(name, _)| name.starts_with(path));
        names
            .map(|(name, number)| (name.clone(), *number))
            .collect()
    }

    fn apply(&mut self, change: Change) {
        for (path, number) in change.names {
            match number {
                Some(number) => self.lasting.insert(path, number),
                None => self.lasting.remove(&path),
            };
        }
    }

    /// What of a file is there when the power is back.
    fn torn(&mut self, number: usize) -> Vec<u8> {
        let File { now, lasting } = self.files[number].clone();
        if now == lasting {
            return now;
        }
        let length = match self.random(3) {
            0 => lasting.len(),
            1 => now.len(),
            _ => lasting.len().min(now.len()) + self.random(lasting.len().abs_diff(now.len()) + 1),
        };
        let mut found = vec![0; length];
        for start in (0..length).step_by(SECTOR) {
            let is_new = self.random(2) == 0;
            for (at, byte) in found.iter_mut().enumerate().skip(start).take(SECTOR) {
                let (old, new) = (lasting.get(at).copied(), now.get(at).copied());
                *byte = if is_new { new.or(old) } else { old }.unwrap_or(0);
            }
        }
        found
    }
}

impl Power {
    /// The power fails at operation `at`, from 0, done in part. `seed` decides what is left.
    pub(crate) fn new(root: &Path, seed: u64, at: u64) -> Arc<Self> {
        Arc::new(Self {
            root: root.to_path_buf(),
            world: Mutex::new(World {
                random: seed,
                left: at,
                ..World::default()
            }),
        })
    }

    /// The power is back: what is in the folder now is what the disk has. Call it when nothing works with the files any more.
    pub(crate) fn cut(&self) {
        let mut world = self.world.lock().unwrap();
        world.out = true;
        let mut keeps: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let pending = std::mem::take(&mut world.pending);
        for change in &pending {
            for folder in &change.folders {
                *keeps.entry(folder.clone()).or_default() += 1;
            }
        }
        for keep in keeps.values_mut() {
            *keep = world.random(*keep + 1);
        }
        for change in pending {
            let is_kept = change.folders.iter().all(|folder| keeps[folder] > 0);
            for folder in &change.folders {
                let keep = keeps.get_mut(folder).unwrap();
                // Once one is lost, all later ones of its folders are.
                *keep = if is_kept { *keep - 1 } else { 0 };
            }
            if is_kept {
                world.apply(change);
            }
        }
        let mut contents = Vec::new();
        for (path, number) in world.lasting.clone() {
            contents.push((path, world.torn(number)));
        }
        wipe(&self.root);
        for (path, content) in contents {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }
}

/// Removes all files of a folder and leaves the folders.
fn wipe(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            wipe(&path);
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

const NO_POWER: &str = "no power";

impl Files for Power {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.world.lock().unwrap().step()? {
            true => Err(io::Error::other(NO_POWER)),
            false => DISK.read(path),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        let fails = world.step()?;
        let number = world.file(path);
        world.files[number].now = bytes.to_vec();
        if fails {
            return Err(io::Error::other(NO_POWER));
        }
        world.files[number].lasting = bytes.to_vec();
        std::fs::write(path, bytes)
    }

    fn append(&self, path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        let fails = world.step()?;
        let number = world.file(path);
        world.files[number].now.extend(bytes);
        if fails {
            return Err(io::Error::other(NO_POWER));
        }
        if sync {
            world.files[number].lasting = world.files[number].now.clone();
        }
        DISK.append(path, bytes, false)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        let fails = world.step()?;
        let number = world.file(path);
        world.files[number].now.truncate(length as usize);
        if fails {
            return Err(io::Error::other(NO_POWER));
        }
        world.files[number].lasting = world.files[number].now.clone();
        DISK.truncate(path, length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        let fails = world.step()?;
        if !fails {
            DISK.rename(from, to)?;
        }
        let moved = world.below(from);
        let mut names = Vec::new();
        for (path, number) in moved {
            let rest = path.strip_prefix(from).unwrap();
            let target = if rest.as_os_str().is_empty() {
                to.to_path_buf()
            } else {
                to.join(rest)
            };
            names.push((path.clone(), None));
            names.push((target.clone(), Some(number)));
            world.names.remove(&path);
            world.names.insert(target, number);
        }
        let folders = [from, to].into_iter().filter_map(|path| path.parent());
        let folders = folders.map(Path::to_path_buf).collect();
        world.pending.push(Change { folders, names });
        match fails {
            true => Err(io::Error::other(NO_POWER)),
            false => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        let fails = world.step()?;
        if !fails {
            DISK.remove(path)?;
        }
        for (path, _) in world.below(path) {
            world.names.remove(&path);
            world.change(vec![(path, None)]);
        }
        match fails {
            true => Err(io::Error::other(NO_POWER)),
            false => Ok(()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        match self.world.lock().unwrap().step()? {
            true => Err(io::Error::other(NO_POWER)),
            false => DISK.list(folder),
        }
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        match self.world.lock().unwrap().step()? {
            true => Err(io::Error::other(NO_POWER)),
            // A folder that was made is on the disk: the real thing syncs it.
            false => std::fs::create_dir_all(folder),
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        if world.step()? {
            return Err(io::Error::other(NO_POWER));
        }
        let pending = std::mem::take(&mut world.pending);
        let is_here = |change: &Change| change.folders.iter().any(|other| other == folder);
        for change in pending {
            match is_here(&change) {
                true => world.apply(change),
                false => world.pending.push(change),
            }
        }
        Ok(())
    }
}
