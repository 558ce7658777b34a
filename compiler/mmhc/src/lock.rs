//! `mmhc lock`, and the file it writes: `mmh.lock` beside the recipes names the blake3 of every data file and of every
//! text they use, by path as written. What a recipe pins itself comes first.

use crate::args::LockArgs;
use crate::findings::Finding;
use crate::fmt::recipes;
use crate::front;
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file's name.
const NAME: &str = "mmh.lock";

/// Hashes by path as written, 64 hexadecimal digits each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    /// Of data files.
    pub(crate) data: BTreeMap<String, String>,
    /// Of texts that recipes use.
    pub(crate) uses: BTreeMap<String, String>,
}

impl Lock {
    fn from_text(text: &str) -> Option<Self> {
        let whole: Value = serde_json::from_str(text).ok()?;
        let list = |name: &str| -> Option<BTreeMap<String, String>> {
            let entries = whole.get(name)?.as_array()?;
            let pair = |entry: &Value| {
                let text = |name: &str| entry.get(name)?.as_str().map(str::to_owned);
                Some((text("path")?, text("blake3")?))
            };
            entries.iter().map(pair).collect()
        };
        Some(Self {
            data: list("data")?,
            uses: list("uses")?,
        })
    }

    fn to_text(&self) -> String {
        let list = |map: &BTreeMap<String, String>| -> Vec<Value> {
            map.iter()
                .map(|(path, hash)| json!({ "path": path, "blake3": hash }))
                .collect()
        };
        format!(
            "{:#}\n",
            json!({ "data": list(&self.data), "uses": list(&self.uses) })
        )
    }
}

/// The hashes locked in a folder; none if there is no lock. A lock that cannot be read counts as none and is said.
pub(crate) fn read(folder: &Path) -> Lock {
    let path = folder.join(NAME);
    let Ok(text) = system::read_text(&path) else {
        return Lock::default();
    };
    Lock::from_text(&text).unwrap_or_else(|| {
        system::tell(&format!(
            "warning: `{}` is no lock file and is not used; `mmhc lock` writes it anew\n",
            path.display()
        ));
        Lock::default()
    })
}

pub(crate) fn lock(args: &LockArgs) -> Outcome {
    let mut folders: BTreeMap<PathBuf, Lock> = BTreeMap::new();
    for recipe in recipes(&args.recipes)? {
        if recipe.as_os_str() == "-" {
            return Err(Failure::Usage(
                "a lock stands beside a recipe; stdin has no place".to_owned(),
            ));
        }
        let checked = front::check(front::open(&recipe, false)?.unlocked(), &[]);
        checked.recipe(false)?;
        let folder = checked.world.folder.clone();
        let found = checked.world.hashes();
        let lock =
            folders
                .entry(folder)
                .or_insert_with_key(|folder| match args.recipes.is_empty() {
                    // Other recipes of the folder keep what was locked for them.
                    false => read(folder),
                    true => Lock::default(),
                });
        lock.data.extend(found.data);
        lock.uses.extend(found.uses);
    }
    for (folder, lock) in folders {
        let path = folder.join(NAME);
        let written = system::replace(&path, &lock.to_text());
        written.map_err(|error| Failure::of(Finding::file(&path, &error), false, Exit::Fault))?;
        system::tell(&format!(
            "wrote {}: {} data files, {} imports\n",
            path.display(),
            lock.data.len(),
            lock.uses.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_reads_back() {
        let mut lock = Lock::default();
        lock.data.insert("data/a.csv".into(), "00".into());
        lock.uses.insert("b.mmh".into(), "11".into());
        assert_eq!(Lock::from_text(&lock.to_text()), Some(lock));
        for wrong in [
            "",
            "{}",
            "{\"data\": 1, \"uses\": []}",
            "{\"data\": [{}], \"uses\": []}",
        ] {
            assert_eq!(Lock::from_text(wrong), None, "{wrong}");
        }
    }
}
