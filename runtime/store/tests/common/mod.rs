//! Made-up run folders, and a store beside them.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use mmh_store::{Ancestor, DataFile, Facts, Store};
use serde_json::json;
use std::path::{Path, PathBuf};

/// 64 hex digits that belong to some words.
pub(crate) fn digits(words: &str) -> String {
    blake3::hash(words.as_bytes()).to_hex().to_string()
}

/// A folder with a store and room for runs.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a run folder and puts it into the store. Gives its head.
    pub(crate) fn add(&self, name: &str, parent: Option<&str>) -> String {
        let run = self.path(name);
        write_run(&run, name, 100);
        self.store
            .add(&run, facts(name, parent), &Default::default(), &[])
            .unwrap()
            .head
    }
}

/// A folder as a run leaves it, with a model of so many bytes.
pub(crate) fn write_run(folder: &Path, name: &str, bytes: usize) {
    std::fs::create_dir_all(folder.join("checkpoints/0-fit")).unwrap();
    std::fs::create_dir_all(folder.join("previous")).unwrap();
    let model: Vec<u8> = (0..bytes)
        .map(|at| (at * 7 + at / 251 + name.len()) as u8)
        .collect();
    for (file, content) in [
        ("journal", format!("the journal of {name}\n").into_bytes()),
        ("plan", b"the plan of all\n".to_vec()),
        (
            "model.safetensors",
            [model, name.as_bytes().to_vec()].concat(),
        ),
        (
            "checkpoints/0-fit/000000000005.checkpoint",
            format!("state of {name}").into_bytes(),
        ),
        (".lock", Vec::new()),
        ("previous/journal", b"not of this run".to_vec()),
    ] {
        std::fs::write(folder.join(file), content).unwrap();
    }
}

pub(crate) fn facts(name: &str, parent: Option<&str>) -> Facts {
    let hash = |words: &str| format!("blake3:{}", digits(words));
    Facts {
        model_hash: hash(&format!("model {name}")),
        recipe_hash: hash("recipe"),
        plan_hash: hash("plan"),
        data_hash: hash("data"),
        seed: "07".to_owned(),
        head: digits(&format!("head {name}")),
        steps: 10,
        metrics: json!({ "final": { "test": { "accuracy": 0.5 } } }),
        parents: parent
            .map(|parent| Ancestor {
                head: digits(&format!("head {parent}")),
                recipe_hash: hash("recipe"),
                model_hash: Some(hash(&format!("model {parent}"))),
            })
            .into_iter()
            .collect(),
        data: vec![DataFile {
            name: "points".to_owned(),
            path: "data/points.csv".to_owned(),
            blake3: digits("the points"),
        }],
    }
}

/// Every file under a folder with its content, by name.
pub(crate) fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let inner = tree(&entry.path()).into_iter();
            found.extend(inner.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.push((name, std::fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

/// What of a run folder belongs to the run.
pub(crate) fn run_tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = tree(folder);
    found.retain(|(name, _)| name != ".lock" && !name.starts_with("previous/"));
    found
}

/// Writes to an object although it is guarded.
pub(crate) fn damage(store: &Store, hash: &str, content: &[u8]) {
    let path = store.place(hash);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Does nothing but agree.
pub(crate) fn trusting(_run: &mmh_store::Kept) -> Result<(), mmh_store::StoreFailure> {
    Ok(())
}
