//! Samples, and packs forged for a purpose.

#![allow(dead_code, reason = "every test file uses another part")]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use mmh_legacy::{Error, Limits, Pack, Verified, verify_pack};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) const RELEASES: [&str; 3] = ["v1.0.2", "v1.1.0", "v1.2.0"];

/// The path of a sample.
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(name)
}

/// The bytes of a sample.
pub(crate) fn sample_bytes(name: &str) -> Vec<u8> {
    fs::read(sample(name)).expect("the sample is in the repository")
}

/// Size and SHA-256 of an original.
pub(crate) fn expected(name: &str) -> (u64, String) {
    let all: Value = serde_json::from_slice(&sample_bytes("expected.json")).expect("valid JSON");
    let entry = &all[name];
    let size = entry["size"].as_u64().expect("a size");
    (size, entry["sha256"].as_str().expect("a hash").to_owned())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Every pack in the samples.
pub(crate) fn all_packs() -> Vec<String> {
    let mut names = Vec::new();
    for release in RELEASES {
        for entry in fs::read_dir(sample(release)).expect("the sample folder") {
            let name = entry.expect("a folder entry").file_name();
            names.push(format!("{release}/{}", name.to_str().expect("UTF-8")));
        }
    }
    names.sort();
    assert_eq!(names.len(), 27);
    names
}

pub(crate) fn verify_bytes(bytes: &[u8]) -> Result<Verified, Error> {
    verify_within(bytes, Limits::default())
}

pub(crate) fn verify_within(bytes: &[u8], limits: Limits) -> Result<Verified, Error> {
    verify_pack(&mut Pack::open(Cursor::new(bytes), limits)?)
}

/// The stable word for the failure.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.expect_err("this must be refused").code()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).expect("memory")
}

/// An F1 pack with a true id.
pub(crate) fn f1(content: &[u8], extension: &str) -> Vec<u8> {
    let id = &sha256(content)[..16];
    let mut pack =
        format!("MMH-RS V1.2.0\nDETERMINISTIC_ID: file_{id}\nFILE_EXTENSION: {extension}\n")
            .into_bytes();
    pack.extend(zstd(content));
    pack
}

/// An F2 pack of named files.
pub(crate) fn f2(files: &[(&str, &[u8])]) -> Vec<u8> {
    let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut pack = f2_header(files.len(), total);
    for (name, bytes) in files {
        pack.extend(f2_file(name, bytes.len(), &zstd(bytes)));
    }
    pack.extend(b"\nEND_MMH\n");
    pack
}

pub(crate) fn f2_header(files: usize, total: usize) -> Vec<u8> {
    format!(
        "MMH-RS V1.0\nFiles: {files}\nTotal Size: {total}\nTimestamp: 2025-07-22T16:28:09.5+00:00\n"
    )
    .into_bytes()
}

pub(crate) fn f2_file(name: &str, size: usize, payload: &[u8]) -> Vec<u8> {
    let mut record = format!(
        "FILE: {name}\nSIZE: {size}\nCOMPRESSED_SIZE: {}\n",
        payload.len()
    )
    .into_bytes();
    record.extend(payload);
    record
}

/// A tar of regular files, paths as they are given.
pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, bytes) in members {
        archive.extend(tar_entry(path, bytes, tar::EntryType::Regular));
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// One tar entry with its padding.
pub(crate) fn tar_entry(path: &str, bytes: &[u8], kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    // `set_path` refuses what these tests need.
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(bytes.len() as u64);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend(bytes);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

/// The files in a folder, by name, hidden ones too.
pub(crate) fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
