//! A run folder into the store, and out of it.

use crate::manifest::{DataFile, Facts, Manifest, RunFile};
use crate::{Kept, Reference, Store, StoreFailure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Names in a run folder that are no part of the run.
const LEFT_OUT: [&str; 2] = [".lock", "previous"];

/// What adding a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Hash of the journal's last line: it names the run.
    pub head: String,
    /// The object that is its manifest.
    pub run: String,
    /// Objects it has.
    pub objects: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Bytes that were not here before.
    pub new_bytes: u64,
    /// Data files that are kept with it.
    pub data: u64,
}

impl Store {
    /// Puts a run folder there, and those of its data files that were found. The folder should be whole: what it says of itself
    /// is for who adds it to check. `known` has the BLAKE3 that files had when it was checked, by name.
    ///
    /// Errors: something in it is neither file nor folder; a file is another one than it was, or a data file than it should be.
    pub fn add(
        &self,
        folder: &Path,
        facts: Facts,
        known: &BTreeMap<String, String>,
        data: &[(DataFile, PathBuf)],
    ) -> Result<Added, StoreFailure> {
        let _lease = self.lease()?;
        let mut names = Vec::new();
        walk(folder, "", &mut names)?;
        names.sort_unstable();
        let mut added = Added {
            head: facts.head.clone(),
            run: String::new(),
            objects: 1,
            bytes: 0,
            new_bytes: 0,
            data: 0,
        };
        let mut files = BTreeMap::new();
        for name in names {
            let (blake3, bytes) = self.add_file(&folder.join(&name), &mut added)?;
            if known.get(&name).is_some_and(|known| *known != blake3) {
                return Err(changed(&folder.join(&name)));
            }
            files.insert(name, RunFile { blake3, bytes });
        }
        let mut held: Vec<String> = Vec::new();
        for (wanted, path) in data {
            let (hash, _) = self.add_file(path, &mut added)?;
            if hash != wanted.blake3 {
                return Err(changed(path));
            }
            held.push(hash);
        }
        let head = facts.head.clone();
        if let Some(before) = self.reference(&head)? {
            held.extend(before.data);
        }
        held.sort_unstable();
        held.dedup();
        added.data = held.len() as u64;
        let manifest = Manifest::new(facts, files).to_bytes();
        // Nothing goes in that would not come out.
        Manifest::from_bytes(&manifest, "of this folder")?;
        added.run = self.put_bytes(&manifest)?;
        self.set_reference(
            &head,
            &Reference {
                run: added.run.clone(),
                data: held,
                kept: true,
            },
        )?;
        Ok(added)
    }

    fn add_file(&self, path: &Path, added: &mut Added) -> Result<(String, u64), StoreFailure> {
        let (hash, bytes, new) = self.put_file(path)?;
        added.objects += 1;
        added.bytes += bytes;
        added.new_bytes += if new { bytes } else { 0 };
        Ok((hash, bytes))
    }

    /// Writes a run's files into a folder that is not there or empty, each checked as it is copied.
    ///
    /// Errors: the folder holds something; an object is missing or damaged.
    pub fn get(&self, run: &Kept, folder: &Path) -> Result<u64, StoreFailure> {
        self.make_folder(folder)?;
        let mut entries = fs::read_dir(folder).map_err(|error| StoreFailure::io(folder, &error))?;
        if entries.next().is_some() {
            return Err(StoreFailure::Name {
                name: folder.display().to_string(),
                reason: "it holds files".to_owned(),
            });
        }
        let _lease = self.lease()?;
        let mut bytes = 0;
        for (name, file) in &run.manifest.files {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            self.make_folder(parent)?;
            let aside = path.with_file_name(format!(
                "{}.new",
                path.file_name().unwrap_or_default().to_string_lossy()
            ));
            // What an earlier attempt left is no part of this one.
            let _ = fs::remove_file(&aside);
            let object = self.place(&file.blake3);
            if self.size(&file.blake3).is_none() {
                return Err(self.missing(&file.blake3, name, &run.head));
            }
            let (hash, count) = self.copy(&object, &aside)?;
            if hash.to_hex().as_str() != file.blake3 {
                let _ = fs::remove_file(&aside);
                return Err(StoreFailure::damaged(
                    object.display().to_string(),
                    "its content is not what its name says",
                ));
            }
            let named = self.files().rename(&aside, &path);
            named.map_err(|error| StoreFailure::io(&path, &error))?;
            bytes += count;
        }
        Ok(bytes)
    }

    /// A run's files in a folder to read from and nothing else: links to the objects where the system has them.
    pub fn view(&self, run: &Kept, folder: &Path) -> Result<(), StoreFailure> {
        let _lease = self.lease()?;
        for (name, file) in &run.manifest.files {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|error| StoreFailure::io(parent, &error))?;
            let object = self.place(&file.blake3);
            if self.size(&file.blake3).is_none() {
                return Err(self.missing(&file.blake3, name, &run.head));
            }
            if fs::hard_link(&object, &path).is_err() {
                let copied = fs::copy(&object, &path);
                copied.map_err(|error| StoreFailure::io(&path, &error))?;
            }
        }
        Ok(())
    }

    fn missing(&self, object: &str, name: &str, head: &str) -> StoreFailure {
        StoreFailure::Missing {
            object: object.to_owned(),
            of: format!("{name} of run {head}"),
        }
    }
}

fn changed(path: &Path) -> StoreFailure {
    StoreFailure::damaged(path.display().to_string(), "it changed meanwhile")
}

fn walk(folder: &Path, above: &str, names: &mut Vec<String>) -> Result<(), StoreFailure> {
    let failed = |error: std::io::Error| StoreFailure::io(folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        let refuse = |reason: &str| StoreFailure::Name {
            name: path.display().to_string(),
            reason: reason.to_owned(),
        };
        let name = name.to_str().ok_or_else(|| refuse("it is no text"))?;
        if above.is_empty() && LEFT_OUT.contains(&name) {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            walk(&path, &format!("{above}{name}/"), names)?;
        } else if kind.is_file() {
            names.push(format!("{above}{name}"));
        } else {
            return Err(refuse("it is neither a file nor a folder"));
        }
    }
    Ok(())
}
