//! Trainings as they stood after some steps, for others that begin alike: what one has computed, another goes on from.
//!
//! A key says what begins alike; it is for whoever puts one there to choose. What is here is kept for no one's sake: it goes with the
//! next collection after nobody used it for a while.

use crate::content::is_hash;
use crate::manifest::{MOST_BYTES, RunFile, is_inside};
use crate::{Store, StoreFailure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const FORMAT: &str = "mmh beginning 1";

/// The folder of the references, by key, then by name.
pub(crate) const FOLDER: &str = "refs/trials";

/// A training after some steps, as an object of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    format: String,
    /// What begins alike, 64 hex digits.
    pub key: String,
    /// Steps done.
    pub steps: u64,
    /// Hash of its plan.
    pub plan_hash: String,
    /// Its files by name, `/` between folders.
    pub files: BTreeMap<String, RunFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    object: String,
}

impl Store {
    /// Puts files of a run folder there, as a training that has done `steps` steps. Whether it was new.
    ///
    /// Errors: a key that is no hash; a file that cannot be read or written.
    pub fn put_beginning(
        &self,
        key: &str,
        steps: u64,
        plan_hash: &str,
        folder: &Path,
        names: &[String],
    ) -> Result<bool, StoreFailure> {
        if !is_hash(key) {
            return Err(StoreFailure::Name {
                name: key.to_owned(),
                reason: "it is no hash".to_owned(),
            });
        }
        let _lease = self.lease()?;
        let name = format!("{FOLDER}/{key}/{}", file_name(steps, plan_hash));
        if let Ok(Some(known)) = self.beginning(&name, key)
            && known.files.values().all(|it| self.holds(&it.blake3))
        {
            return Ok(false);
        }
        let mut files = BTreeMap::new();
        for name in names {
            let (blake3, bytes, _) = self.put_file(&folder.join(name))?;
            files.insert(name.clone(), RunFile { blake3, bytes });
        }
        let (key, plan_hash) = (key.to_owned(), plan_hash.to_owned());
        let beginning = Beginning {
            format: FORMAT.to_owned(),
            key,
            steps,
            plan_hash,
            files,
        };
        let text = serde_json::to_string_pretty(&beginning).unwrap_or_default();
        let object = self.put_bytes(format!("{text}\n").as_bytes())?;
        let text = serde_json::to_string(&Reference { object }).unwrap_or_default();
        self.replace(&name, format!("{text}\n").as_bytes())?;
        Ok(true)
    }

    /// What is here under a key, those with the most steps first. What cannot be read, or is not what its name says, is left out.
    pub fn beginnings(&self, key: &str) -> Result<Vec<Beginning>, StoreFailure> {
        if !is_hash(key) || !self.root().join(FOLDER).join(key).is_dir() {
            return Ok(Vec::new());
        }
        let names = self.names(&format!("{FOLDER}/{key}"))?;
        let found = names.iter().filter_map(|name| {
            let found = self.beginning(&format!("{FOLDER}/{key}/{name}"), key);
            found.ok().flatten()
        });
        let mut found: Vec<Beginning> = found.collect();
        found.sort_by(|a, b| b.steps.cmp(&a.steps).then(a.plan_hash.cmp(&b.plan_hash)));
        Ok(found)
    }

    /// Writes its files into a folder, each checked as it is copied.
    ///
    /// Errors: an object is missing, or is not what its name says.
    pub fn get_beginning(&self, it: &Beginning, folder: &Path) -> Result<(), StoreFailure> {
        let _lease = self.lease()?;
        for (name, file) in &it.files {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            self.make_folder(parent)?;
            let object = self.place(&file.blake3);
            if self.size(&file.blake3).is_none() {
                let of = format!("{name} of a training of plan {}", it.plan_hash);
                return Err(StoreFailure::Missing {
                    object: file.blake3.clone(),
                    of,
                });
            }
            let bytes = fs::read(&object).map_err(|error| StoreFailure::io(&object, &error))?;
            if blake3::hash(&bytes).to_hex().as_str() != file.blake3 {
                return Err(StoreFailure::damaged(
                    object.display().to_string(),
                    "its content is not what its name says",
                ));
            }
            fs::write(&path, bytes).map_err(|error| StoreFailure::io(&path, &error))?;
        }
        // It was of use: that keeps it.
        let name = file_name(it.steps, &it.plan_hash);
        if let Ok(file) = File::open(self.root().join(FOLDER).join(&it.key).join(name)) {
            let _ = file.set_modified(SystemTime::now());
        }
        Ok(())
    }

    /// The beginning that a reference names, if it is there.
    ///
    /// Errors: the reference or what it names is not what it should be.
    pub(crate) fn beginning(
        &self,
        reference: &str,
        key: &str,
    ) -> Result<Option<Beginning>, StoreFailure> {
        let Some(bytes) = self.small(reference)? else {
            return Ok(None);
        };
        let damaged = |reason: &str| StoreFailure::damaged(reference.to_owned(), reason);
        let named: Reference =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        if !is_hash(&named.object) {
            return Err(damaged("it names no object"));
        }
        let Some(bytes) = self.read(&named.object, MOST_BYTES)? else {
            let of = format!("the manifest of {reference}");
            return Err(StoreFailure::Missing {
                object: named.object,
                of,
            });
        };
        let found: Beginning =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
        let name = reference.rsplit('/').next().unwrap_or_default();
        let is_sound = found.format == FORMAT
            && found.key == key
            && file_name(found.steps, &found.plan_hash) == name
            && found
                .files
                .iter()
                .all(|(name, file)| is_inside(name) && is_hash(&file.blake3));
        match is_sound {
            true => Ok(Some(found)),
            false => Err(damaged("it names something else")),
        }
    }

    /// Every reference of a beginning: its key, its name below the root, its file.
    pub(crate) fn all_beginnings(&self) -> Result<Vec<(String, String, PathBuf)>, StoreFailure> {
        let mut all = Vec::new();
        if !self.root().join(FOLDER).is_dir() {
            return Ok(all);
        }
        for key in self.names(FOLDER)? {
            for name in self.names(&format!("{FOLDER}/{key}"))? {
                let name = format!("{FOLDER}/{key}/{name}");
                let path = self.root().join(&name);
                all.push((key.clone(), name, path));
            }
        }
        Ok(all)
    }

    /// The objects of a beginning: its manifest and its files. None where it cannot be read.
    pub(crate) fn objects_of_beginning(&self, name: &str, key: &str) -> Option<Vec<String>> {
        let found = self.beginning(name, key).ok()??;
        let bytes = self.small(name).ok()??;
        let named: Reference = serde_json::from_slice(&bytes).ok()?;
        let files = found.files.into_values().map(|file| file.blake3);
        Some([named.object].into_iter().chain(files).collect())
    }

    fn holds(&self, hash: &str) -> bool {
        self.has_whole(hash).unwrap_or(false)
    }
}

/// Steps so that names sort like them, and the beginning of the plan's hash.
fn file_name(steps: u64, plan_hash: &str) -> String {
    let digits = plan_hash.rsplit(':').next().unwrap_or_default();
    let short = digits.chars().filter(char::is_ascii_hexdigit).take(24);
    format!("{steps:012}-{}", short.collect::<String>())
}
