//! Trials that other studies have trained are taken from the store, and nothing but the time it takes changes.

use crate::support::{Place, Ran, examples};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RECIPE: &str = r#"mmh 1

seed 3

data penguins {
  source  = csv("data/penguins.csv")
  sizes: f32[feature = 3] = [source.bill_depth_mm, source.flipper_length_mm, source.body_mass_g] |> impute(median) |> standardise
  species: class[source.species.classes] = source.species
  split   = stratified(by = species, train = 70%, valid = 15%, test = 15%)
}

model net(sizes: f32[batch, feature = 3]) -> f32[batch, class = penguins.species.classes] {
  sizes |> linear(hidden = 16) |> gelu |> dropout(0.2) |> linear(class = penguins.species.classes)
}

train fit {
  rows     = penguins.train |> shuffle |> batch(32)
  predict  = net(rows.sizes)
  loss     = cross_entropy(predict, rows.species)
  optimize = adamw(lr = 1e-2 ~ choice(1e-3, 1e-2, 3e-2, 1e-1))
  length   = 9 epochs
  watch    = cross_entropy(predict, rows.species, on = penguins.valid)
}

search tune {
  run      = fit
  minimize = fit.watch
  propose  = grid
  method   = halving(rungs = [2 epochs, 5 epochs], keep = 1 / 2)
  budget   = 4 trials
}

evaluate final {
  model   = fit.best
  rows    = penguins.test
  metrics = [accuracy]
}
"#;

/// Another study: another name, another method, more settings, some of them the same.
fn other() -> String {
    let text = RECIPE.replace("search tune", "search again");
    let text = text.replace("choice(1e-3, 1e-2, 3e-2, 1e-1)", "choice(2e-2, 3e-2, 1e-2)");
    let (head, rest) = text.split_once("  method ").expect("a method");
    let (_, tail) = rest.split_once('\n').expect("its end");
    format!("{head}{tail}").replace("  metrics = [accuracy]", "  metrics = [confusion]")
}

fn place() -> Place {
    let place = Place::new();
    let data = std::fs::read(examples().join("data/penguins.csv")).expect("the data");
    place.write("data/penguins.csv", data);
    place.write("first.mmh", RECIPE);
    place.write("other.mmh", other());
    place
}

fn search(place: &Place, recipe: &str, out: &str, more: &[&str]) -> Ran {
    place.mmhc(&[&["run", recipe, "--json", "--out", out], more].concat())
}

fn lasting(place: &Place, out: &str) -> [Vec<u8>; 3] {
    ["model.safetensors", "study/metrics.json", "recipe.mmh"]
        .map(|name| place.read(&format!("{out}/{name}")))
}

/// Steps that each result took from the store.
fn stored(place: &Place, out: &str) -> Vec<u64> {
    let text = String::from_utf8(place.read(&format!("{out}/study/journal"))).expect("text");
    let results = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let result = line["entry"].get("result")?;
        Some(result["stored"].as_u64().unwrap_or(0))
    });
    results.collect()
}

/// Epochs that the trials of a search did themselves: those told of that were not taken.
fn trained(place: &Place, out: &str) -> u64 {
    let mut trained = 0;
    let folders = std::fs::read_dir(place.path(&format!("{out}/study/trials"))).expect("trials");
    for folder in folders.flatten() {
        let text = std::fs::read_to_string(folder.path().join("journal")).expect("a journal");
        let (mut taken, mut epochs) = (0, Vec::new());
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let step = |name: &str| line["entry"].get(name).map(|it| it["step"].as_u64());
            if let Some(step) = step("taken").flatten() {
                taken = step;
            }
            if let Some(step) = step("epoch").flatten() {
                epochs.push(step);
            }
        }
        trained += epochs.iter().filter(|step| **step > taken).count() as u64;
    }
    trained
}

/// The objects of the store that are checkpoints.
fn checkpoints(store: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(store.join("objects")).expect("objects");
    let all = folders
        .flatten()
        .flat_map(|it| std::fs::read_dir(it.path()).expect("a folder").flatten());
    let is_one = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("an object");
        bytes.starts_with(b"mmh checkpoint 1")
    };
    all.map(|it| it.path()).filter(is_one).collect()
}

#[test]
fn another_study_takes_what_is_there() {
    let place = place();
    let wanted = search(&place, "first.mmh", "alone", &["--no-store"]).ends(0);
    let files = lasting(&place, "alone");
    assert!(trained(&place, "alone") > 0 && stored(&place, "alone").iter().all(|it| *it == 0));
    assert!(
        !place.path("data-home").exists(),
        "`--no-store` leaves it alone"
    );

    let first = search(&place, "first.mmh", "first", &[]).ends(0);
    assert_eq!(first.json()["study"], wanted.json()["study"]);
    // Done again, by threads and by processes, nothing is trained.
    for (out, more) in [
        ("again", &["--workers", "1"][..]),
        ("two", &["--workers", "2"]),
        ("four", &["--workers", "4", "--isolate", "process"]),
    ] {
        let again = search(&place, "first.mmh", out, more).ends(0);
        assert_eq!(again.json()["study"], wanted.json()["study"], "{out}");
        assert_eq!(again.json()["model_hash"], wanted.json()["model_hash"]);
        assert!(lasting(&place, out) == files, "{out}: other files");
        assert_eq!(trained(&place, out), 0, "{out}");
        assert!(stored(&place, out).iter().all(|steps| *steps > 0), "{out}");
        assert!(again.err.contains("from the store"), "{}", again.err);
        assert!(!place.path(&format!("{out}/study/stored")).exists());
        let verified = place.mmhc(&["verify", out, "--replay", "--json"]).ends(0);
        assert_eq!(verified.json()["verdict"], "consistent");
    }
    let page = String::from_utf8(place.read("again/study/report.html")).expect("text");
    assert!(page.contains("steps from the store"));

    // Another study goes on where the first one's trials ended: 3e-2 and 1e-2 of three.
    let wanted = search(&place, "other.mmh", "other-alone", &["--no-store"]).ends(0);
    assert_eq!(trained(&place, "other-alone"), 27);
    for (out, workers) in [("other", "2"), ("other-again", "1")] {
        let found = search(&place, "other.mmh", out, &["--workers", workers]).ends(0);
        assert_eq!(found.json()["study"], wanted.json()["study"]);
        assert!(lasting(&place, out) == lasting(&place, "other-alone"));
    }
    let taken = stored(&place, "other").iter().filter(|it| **it > 0).count();
    assert_eq!(taken, 2, "{:?}", stored(&place, "other"));
    assert!(trained(&place, "other") < 27);
    assert_eq!(trained(&place, "other-again"), 0);
}

#[test]
fn what_was_tampered_with_is_trained_again() {
    let place = place();
    let wanted = search(&place, "first.mmh", "first", &["--store", "kept"]).ends(0);
    let store = place.path("kept");
    place.mmhc(&["fsck", "--store", "kept"]).ends(0);
    let all = checkpoints(&store);
    assert!(all.len() >= 7, "{} checkpoints", all.len());
    for path in &all {
        let mut bytes = std::fs::read(path).expect("an object");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(path).expect("removed");
        std::fs::write(path, bytes).expect("written");
    }
    assert!(
        place
            .mmhc(&["fsck", "--store", "kept"])
            .ends(1)
            .out
            .contains("problem")
    );
    let found = search(&place, "first.mmh", "found", &["--store", "kept"]).ends(0);
    assert_eq!(found.json()["study"], wanted.json()["study"]);
    assert!(lasting(&place, "found") == lasting(&place, "first"));
    assert!(found.err.contains("trained instead"), "{}", found.err);
    assert!(stored(&place, "found").iter().all(|steps| *steps == 0));
    // What was trained took the place of what was damaged.
    place.mmhc(&["fsck", "--store", "kept"]).ends(0);
    search(&place, "first.mmh", "healed", &["--store", "kept"]).ends(0);
    assert_eq!(trained(&place, "healed"), 0);

    // A reference that leads to another training is none.
    let trials = store.join("refs/trials");
    let mut references = Vec::new();
    for key in std::fs::read_dir(&trials).expect("keys").flatten() {
        for name in std::fs::read_dir(key.path()).expect("names").flatten() {
            references.push(name.path());
        }
    }
    references.sort();
    let first = std::fs::read(&references[0]).expect("a reference");
    for reference in &references[1..] {
        std::fs::remove_file(reference).expect("removed");
        std::fs::write(reference, &first).expect("written");
    }
    let found = search(&place, "first.mmh", "misled", &["--store", "kept"]).ends(0);
    assert_eq!(found.json()["study"], wanted.json()["study"]);
    assert!(lasting(&place, "misled") == lasting(&place, "first"));
}

#[test]
fn collection_takes_what_nobody_used() {
    let place = place();
    search(&place, "first.mmh", "first", &[]).ends(0);
    place.mmhc(&["store", "gc"]).ends(0);
    search(&place, "first.mmh", "kept", &[]).ends(0);
    assert_eq!(trained(&place, "kept"), 0);
    let gone = place
        .mmhc(&["store", "gc", "--grace", "0", "--json"])
        .ends(0)
        .json();
    assert!(gone["trials"].as_u64().expect("a number") >= 7, "{gone}");
    assert_eq!(gone["needed"], 0, "{gone}");
    search(&place, "first.mmh", "anew", &[]).ends(0);
    assert!(trained(&place, "anew") > 0);
    place.mmhc(&["fsck"]).ends(0);
}

#[test]
fn divergence_is_seen_again_and_a_store_that_cannot_be_is_no_failure() {
    let place = place();
    let text = RECIPE.replace(
        "adamw(lr = 1e-2 ~ choice(1e-3, 1e-2, 3e-2, 1e-1))",
        "sgd(lr = 1e-1 ~ choice(1e-1, 1e35))",
    );
    place.write("wild.mmh", text);
    let first = search(&place, "wild.mmh", "first", &[]).ends(0).json();
    assert_eq!(first["study"]["diverged"], 1, "{first}");
    let again = search(&place, "wild.mmh", "again", &[]).ends(0).json();
    assert_eq!(again["study"], first["study"]);
    let taken = stored(&place, "again").iter().filter(|it| **it > 0).count();
    assert_eq!(taken + 1, stored(&place, "again").len());

    place.write("file", "no folder");
    let ran = search(&place, "wild.mmh", "none", &["--store", "file/store"]).ends(0);
    assert_eq!(ran.json()["study"], first["study"]);
    assert!(ran.err.contains("trials are not shared"), "{}", ran.err);
}

#[cfg(unix)]
#[test]
fn killed_while_it_takes_and_trains_the_study_is_the_same() {
    use std::os::unix::process::ExitStatusExt;
    let place = place();
    let began = Instant::now();
    let wanted = search(&place, "first.mmh", "whole", &["--no-store"])
        .ends(0)
        .json();
    let whole = began.elapsed();
    let files = lasting(&place, "whole");
    let mut kills = 0;
    for round in 0..6u32 {
        let out = format!("killed-{round}");
        for go in 0..4u32 {
            let workers = ["2", "1", "4", "2"][go as usize];
            let isolate = ["thread", "process"][(round % 2) as usize];
            let words = [
                "run",
                "first.mmh",
                "--json",
                "--resume",
                "--out",
                &out,
                "--workers",
                workers,
                "--isolate",
                isolate,
            ];
            let mut child = place.command(&words).spawn().expect("it starts");
            let share = (f64::from(round * 4 + go) * 0.618_033_988_749_894_9) % 1.0;
            std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
            let _ = child.kill();
            let status = child.wait().expect("it ends");
            kills += u32::from(status.signal().is_some());
        }
        let found = search(&place, "first.mmh", &out, &["--resume"])
            .ends(0)
            .json();
        assert_eq!(found["study"], wanted["study"], "round {round}");
        assert!(lasting(&place, &out) == files, "round {round}: other files");
        place.mmhc(&["fsck"]).ends(0);
    }
    assert!(kills >= 6, "{kills} searches were killed");
}
