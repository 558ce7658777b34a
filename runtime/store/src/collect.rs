//! Garbage collection: what no tag and no run that is kept needs goes away. Trainings that others may go on from stay as long as they are
//! young: since they were put there or last used.
//!
//! It runs alone: every writer holds a lease until a reference holds what it put there. On file systems without locks, age
//! guards what is young; so it does what a transfer that was cut has left, which a later one goes on with.

use crate::content::is_hash;
use crate::{Reference, Store, StoreFailure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The least age of what is collected where the file system has no locks.
const WITHOUT_LOCKS: Duration = Duration::from_secs(3600);

/// What a collection came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects that went.
    pub objects: u64,
    /// Their bytes, and those of parts of transfers.
    pub bytes: u64,
    /// Runs that went.
    pub runs: u64,
    /// Trainings for others to go on from that went.
    pub beginnings: u64,
    /// Objects that nothing needs, and that are too young to go.
    pub young: u64,
    /// Objects that stay because something needs them.
    pub needed: u64,
}

impl Store {
    /// Removes what nothing needs and is older than `grace`; with `dry`, only counts it.
    ///
    /// Errors: another process is at work; a reference or manifest cannot be read, and so nobody can say what it needs.
    pub fn collect(&self, grace: Duration, dry: bool) -> Result<Collected, StoreFailure> {
        let alone = self.alone()?;
        let grace = match alone.is_lock() {
            true => grace,
            false => grace.max(WITHOUT_LOCKS),
        };
        let (mut needed, reached) = self.needed()?;
        let mut collected = Collected::default();
        for (key, name, path) in self.all_beginnings()? {
            match self.objects_of_beginning(&name, &key) {
                Some(objects) if is_younger(&path, grace) => needed.extend(objects),
                Some(_) | None => {
                    collected.beginnings += 1;
                    if !dry {
                        self.drop_file(&path)?;
                        // The folder of a key goes with the last of it.
                        let _ = path.parent().map(fs::remove_dir);
                    }
                }
            }
        }
        // References go ahead of what they point to.
        for head in self.heads()? {
            if !reached.contains(&head) {
                collected.runs += 1;
                if !dry {
                    self.drop_file(&self.root().join("refs/runs").join(head))?;
                }
            }
        }
        if !dry && collected.runs > 0 {
            let folder = self.root().join("refs/runs");
            let synced = self.files().sync_folder(&folder);
            synced.map_err(|error| StoreFailure::io(&folder, &error))?;
        }
        for (hash, path) in self.objects()? {
            if !is_hash(&hash) {
                continue;
            }
            if needed.contains(&hash) {
                collected.needed += 1;
            } else if is_younger(&path, grace) {
                collected.young += 1;
            } else {
                collected.objects += 1;
                collected.bytes += fs::metadata(&path).map_or(0, |about| about.len());
                if !dry {
                    self.drop_file(&path)?;
                }
            }
        }
        for folder in ["incoming", "uploads"] {
            for name in self.names(folder)? {
                let path = self.root().join(folder).join(name);
                if !is_younger(&path, grace) {
                    collected.bytes += fs::metadata(&path).map_or(0, |about| about.len());
                    if !dry {
                        self.drop_file(&path)?;
                    }
                }
            }
        }
        Ok(collected)
    }

    /// Objects that something needs, and the runs that are reached.
    fn needed(&self) -> Result<(BTreeSet<String>, BTreeSet<String>), StoreFailure> {
        let mut references: BTreeMap<String, Reference> = BTreeMap::new();
        for head in self.heads()? {
            if let Some(reference) = self.reference(&head)? {
                references.insert(head, reference);
            }
        }
        let tagged = self.tags()?.into_iter().map(|(_, head)| head);
        let kept = references.iter().filter(|(_, reference)| reference.kept);
        let mut open: Vec<String> = kept.map(|(head, _)| head.clone()).chain(tagged).collect();
        let (mut needed, mut reached) = (BTreeSet::new(), BTreeSet::new());
        while let Some(head) = open.pop() {
            let Some(reference) = references.get(&head) else {
                continue;
            };
            if !reached.insert(head.clone()) {
                continue;
            }
            needed.insert(reference.run.clone());
            needed.extend(reference.data.iter().cloned());
            let Some(run) = self.run(&head)? else {
                continue;
            };
            needed.extend(run.manifest.files.into_values().map(|file| file.blake3));
            let parents = run.manifest.facts.parents.into_iter();
            open.extend(parents.map(|parent| parent.head));
        }
        Ok((needed, reached))
    }

    fn drop_file(&self, path: &Path) -> Result<(), StoreFailure> {
        match self.files().remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreFailure::io(path, &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Whether a file was written or used within `grace`. A clock that was set back makes it young.
fn is_younger(path: &Path, grace: Duration) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|about| about.modified());
    match modified.map(|then| SystemTime::now().duration_since(then)) {
        Ok(Ok(age)) => age < grace,
        Ok(Err(_)) => grace > Duration::ZERO,
        // It went meanwhile.
        Err(_) => true,
    }
}
