//! The lines between crates: who may depend on whom.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crate → direct dependencies (not for tests or build scripts).
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let mut all = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let normal = list(&package["dependencies"])
            .into_iter()
            .filter(|d| d["kind"].is_null());
        let names = normal.filter_map(|d| d["name"].as_str().map(str::to_string));
        all.insert(
            package["name"].as_str().unwrap_or_default().to_string(),
            names.collect(),
        );
    }
    assert!(
        all.len() >= 14,
        "the workspace has lost crates: {:?}",
        all.keys()
    );
    all
}

fn reach(all: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_string()];
    while let Some(name) = open.pop() {
        for next in all.get(&name).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

#[test]
fn the_runtime_never_links_the_front_half() {
    let all = dependencies();
    for part in [
        "mmh-runtime",
        "mmh-interpret",
        "mmh-cpu",
        "mmh-gpu",
        "mmh-vectors",
        "mmh-lower",
        "mmh-data",
        "mmh-numerics",
        "mmh-ir",
        "mmh-legacy",
        "mmh-search",
        "mmh-sign",
        "mmh-store",
    ] {
        let reached = reach(&all, part);
        for front in ["mmh-syntax", "mmh-std", "mmh-check", "mmh-plan", "mmhc"] {
            assert!(!reached.contains(front), "{part} reaches {front}");
        }
    }
}

#[test]
fn the_front_half_never_links_an_executor() {
    let all = dependencies();
    for part in ["mmh-diag", "mmh-syntax", "mmh-std", "mmh-check", "mmh-plan"] {
        let reached = reach(&all, part);
        for back in [
            "mmh-runtime",
            "mmh-interpret",
            "mmh-cpu",
            "mmh-gpu",
            "mmh-lower",
            "mmhc",
        ] {
            assert!(!reached.contains(back), "{part} reaches {back}");
        }
    }
}

#[test]
fn heavy_libraries_live_in_one_crate_each() {
    let all = dependencies();
    for (library, home) in [
        ("miette", "mmhc"),
        ("clap", "mmhc"),
        ("cranelift-jit", "mmh-cpu"),
        ("wgpu", "mmh-gpu"),
        ("ndarray", "mmh-interpret"),
        ("zstd", "mmh-legacy"),
        ("ed25519-dalek", "mmh-sign"),
        ("ml-dsa", "mmh-sign"),
        ("p256", "mmh-sign"),
        ("ureq", "mmh-store"),
        ("rustls", "mmh-store"),
        ("rusty-s3", "mmh-store"),
    ] {
        let users: Vec<&String> = all
            .iter()
            .filter(|(_, d)| d.contains(library))
            .map(|(n, _)| n)
            .collect();
        assert_eq!(users, [home], "{library}");
    }
}
