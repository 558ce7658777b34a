//! Codes of moments that no text brings about and that no other test names: each is brought about here.

use crate::common::{Place, Ran};
use serde_json::{Value, json};
use std::process::Command;

fn said(ran: &Ran, status: i32, code: &str) {
    assert_eq!(ran.status, status, "{}", ran.err);
    assert!(ran.err.contains(code), "{code} is to be said:\n{}", ran.err);
}

/// `run::proofs-differ`.
#[test]
fn proofs_of_two_seeds() {
    let place = Place::new();
    place.write(
        "other.mmh",
        &place.read("points.mmh").replace("seed 7", "seed 8"),
    );
    for name in ["points", "other"] {
        let (recipe, out) = (format!("{name}.mmh"), format!("{name}.proof"));
        place
            .mmhc(&["proof", &recipe, "--limit", "2 steps", "--out", &out])
            .ends(0);
    }
    let ran = place.mmhc(&["proof", "--compare", "points.proof", "other.proof"]);
    said(&ran, 1, "run::proofs-differ");
}

/// `run::file`.
#[test]
fn a_folder_below_a_file() {
    let place = Place::new();
    let ran = place.mmhc(&[
        "run",
        "points.mmh",
        "--limit",
        "2 steps",
        "--out",
        "points.csv/out",
    ]);
    assert_ne!(ran.status, 0);
    assert!(ran.err.contains("run::file"), "{}", ran.err);
    assert_eq!(place.read("points.csv").lines().count(), 61);
}

/// `run::device`.
#[test]
fn no_device_but_the_processor() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmhc"));
    command.args(["run", "points.mmh", "--device", "gpu", "--limit", "1 step"]);
    // The drivers of graphics processors are named by these.
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(name, "/nowhere.json");
    }
    let ran = Ran::from(
        command
            .current_dir(place.path(""))
            .output()
            .expect("mmhc ends"),
    );
    match ran.err.contains("capability::not-yet") {
        true => eprintln!("skipped: this mmhc was built without graphics processors"),
        false => said(&ran, 3, "run::device"),
    }
}

/// `audit::not-reproduced`: a loss is made up, and the journal's hashes with it.
#[test]
fn steps_that_were_made_up() {
    let place = Place::new();
    place.mmhc(&["run", "points.mmh", "--out", "out"]).ends(0);
    place.mmhc(&["verify", "out", "--replay"]).ends(0);
    let (mut text, mut before, mut changed) = (String::new(), None, false);
    for line in place.read("out/journal").lines() {
        let line: Value = serde_json::from_str(line).expect("a line");
        let mut entry = line["entry"].clone();
        let first = line["prev"].as_str().expect("a hash").to_owned();
        let prev = before.take().unwrap_or(first);
        if let Some(loss) = entry.pointer_mut("/epoch/loss")
            && !changed
        {
            *loss = json!(0.125);
            changed = true;
        }
        let hashed = format!(r#"{{"n":{},"prev":"{prev}","entry":{entry}"#, line["n"]);
        let mut hasher = blake3::Hasher::new_derive_key("mmh journal 1");
        hasher.update(hashed.as_bytes());
        let hash = hasher.finalize().to_hex().to_string();
        text += &format!("{hashed},\"hash\":\"{hash}\",\"wall\":{}}}\n", line["wall"]);
        before = Some(hash);
    }
    assert!(changed, "the journal holds no loss:\n{text}");
    place.write("out/journal", &text);
    let ran = place.mmhc(&["verify", "out", "--replay"]);
    said(&ran, 1, "audit::not-reproduced");
}

/// `run::edition`.
#[test]
fn a_folder_of_another_version() {
    let place = Place::new();
    place
        .mmhc(&["run", "points.mmh", "--limit", "2 steps", "--out", "out"])
        .ends(0);
    let journal = place.read("out/journal");
    let other = journal.replacen("\"edition\":1", "\"edition\":999", 1);
    assert_ne!(journal, other, "{journal}");
    place.write("out/journal", &other);
    said(&place.mmhc(&["verify", "out"]), 1, "run::edition");
}

/// `store::missing`.
#[test]
fn an_object_that_was_deleted() {
    let place = Place::new();
    let store = [("MMH_STORE", "kept")];
    place
        .mmhc(&["run", "points.mmh", "--limit", "2 steps", "--out", "out"])
        .ends(0);
    place.with(&["store", "add", "out"], &store).ends(0);
    place.with(&["fsck"], &store).ends(0);
    let mut folders = vec![place.path("kept/objects")];
    let mut object = None;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => object = Some(path),
            }
        }
    }
    std::fs::remove_file(object.expect("an object")).expect("removed");
    said(&place.with(&["fsck"], &store), 1, "store::missing");
}
