//! `mmhc store`, `tag`, `fsck`, `push` and `pull`, and verbs that find runs in the store by name.

mod common;

use common::Place;
use serde_json::Value;

/// Every test has a store of its own.
fn trained() -> Place {
    let place = Place::new();
    place.mmhc(&["run", "points.mmh", "--out", "a"]).ends(0);
    place
}

/// `mmhc` with the store in this folder, and keys.
fn at(place: &Place, arguments: &[&str]) -> common::Ran {
    place.with(
        arguments,
        &[
            ("MMH_STORE", "kept"),
            ("MMH_KEYS", "keys"),
            ("MMH_PASSPHRASE", "correct horse"),
        ],
    )
}

#[test]
fn a_run_is_kept_found_by_name_and_written_out_again() {
    let place = trained();
    let added = at(&place, &["store", "add", "a", "--json"]).ends(0).json();
    let head = added["added"][0]["head"]
        .as_str()
        .expect("a head")
        .to_owned();
    assert_eq!(added["added"][0]["data"], 1, "its table is kept: {added:#}");
    at(&place, &["tag", "best", &head[..8]]).ends(0);
    let listed = at(&place, &["store", "list"]).ends(0);
    assert!(
        listed.out.contains("(best)") && listed.out.contains(&head[..12]),
        "{}",
        listed.out
    );
    at(&place, &["store", "get", "best", "b"]).ends(0);
    assert_eq!(place.read("a/journal"), place.read("b/journal"));
    at(&place, &["verify", "b"]).ends(0);

    // Without folder and without data, what looks back works from the store alone.
    for gone in ["a", "b"] {
        std::fs::remove_dir_all(place.path(gone)).expect("removed");
    }
    std::fs::remove_file(place.path("points.csv")).expect("removed");
    let verified = at(&place, &["verify", "best", "--replay"]).ends(0);
    assert!(
        verified.out.contains("all 20 steps were done again"),
        "{}",
        verified.out
    );
    at(&place, &["log", "best"]).ends(0);
    let model = at(&place, &["log", &head[..9], "--json"]).ends(0).json();
    let digits = model["model_hash"].as_str().expect("a hash");
    at(&place, &["diff", "best", &digits[..20]]).ends(0);
    let views = std::fs::read_dir(place.path("kept/views")).map_or(0, Iterator::count);
    assert_eq!(views, 0, "what was looked at is tidied up");

    let none = at(&place, &["log", "worst"]).ends(1);
    assert!(
        none.err.contains("no run folder, and no run of the store"),
        "{}",
        none.err
    );
    let taken = at(&place, &["store", "get", "best", "keys/.."]).ends(1);
    assert!(taken.err.contains("store::name"), "{}", taken.err);
}

#[test]
fn what_is_damaged_is_named_with_what_needs_it_and_repaired() {
    let place = trained();
    at(&place, &["tag", "best", "a"]).ends(0);
    at(&place, &["fsck"]).ends(0);
    let manifest = at(&place, &["tag", "best", "--json"]).ends(0).json();
    let head = manifest["head"].as_str().expect("a head");
    let hash = blake3::hash(place.read("a/metrics.json").as_bytes())
        .to_hex()
        .to_string();
    let object = format!("kept/objects/{}/{}", &hash[..2], &hash[2..]);
    std::fs::remove_file(place.path(&object)).expect("removed");
    place.write(&object, "{}");
    let found = at(&place, &["fsck"]).ends(1);
    for part in [
        "store::damaged",
        &object,
        "it was cut short: 2 of ",
        &format!("it is metrics.json of run {head} (best)"),
    ] {
        assert!(found.err.contains(part), "{part} in\n{}", found.err);
    }
    let json = at(&place, &["fsck", "--json"]).ends(1).json();
    assert_eq!(
        (&json["whole"], &json["problems"][0]["object"]),
        (&Value::from(false), &Value::from(hash))
    );
    at(&place, &["store", "get", "best", "b"]).ends(1);
    at(&place, &["fsck", "--repair", "points.csv"]).ends(1);
    let mended = at(&place, &["fsck", "--repair", "a"]).ends(0);
    assert!(
        mended.out.contains("repaired") && mended.out.contains("whole"),
        "{}",
        mended.out
    );
    at(&place, &["fsck"]).ends(0);
}

#[test]
fn garbage_goes_and_what_is_needed_stays() {
    let place = trained();
    at(&place, &["store", "add", "a", "--no-data"]).ends(0);
    place
        .mmhc(&[
            "run",
            "points.mmh",
            "--out",
            "a",
            "--set",
            "fit.length=2 epochs",
        ])
        .ends(0);
    let second = at(&place, &["tag", "best", "a"]).ends(0);
    for run in [second.out.trim(), "best"] {
        at(&place, &["store", "remove", run]).ends(0);
    }
    let listed = at(&place, &["store", "list", "--json"]).ends(0).json();
    let runs = listed["runs"].as_array().expect("runs");
    let of = |run: &Value| run["facts"]["parents"][0]["head"].clone();
    let child = runs
        .iter()
        .find(|run| of(run) != Value::Null)
        .expect("a run with a parent");
    let parent = runs
        .iter()
        .find(|run| run["head"] == of(child))
        .expect("its parent");
    at(
        &place,
        &["store", "remove", parent["head"].as_str().expect("a head")],
    )
    .ends(0);
    let kept = at(&place, &["store", "gc", "--grace", "0", "--json"])
        .ends(0)
        .json();
    assert_eq!(
        (&kept["objects"], &kept["runs"]),
        (&Value::from(0), &Value::from(0)),
        "{kept:#}"
    );
    at(&place, &["tag", "best", "--delete"]).ends(0);
    let young = at(&place, &["store", "gc", "--json", "--dry-run"])
        .ends(0)
        .json();
    assert_eq!(
        (&young["objects"], &young["runs"]),
        (&Value::from(0), &Value::from(2))
    );
    let gone = at(&place, &["store", "gc", "--grace", "0", "--json"])
        .ends(0)
        .json();
    assert!(
        gone["objects"].as_u64() > Some(8) && gone["needed"] == 0,
        "{gone:#}"
    );
}

#[test]
fn a_run_of_elsewhere_is_taken_signed_or_done_again_and_not_otherwise() {
    let place = trained();
    at(&place, &["store", "add", "a"]).ends(0);
    at(&place, &["tag", "plain", "a"]).ends(0);
    at(&place, &["push", "there", "plain"]).ends(0);
    let other = |arguments: &[&str]| {
        place.with(
            arguments,
            &[
                ("MMH_STORE", "other"),
                ("MMH_KEYS", "keys"),
                ("MMH_PASSPHRASE", "correct horse"),
            ],
        )
    };
    let listed = other(&["pull", "there"]).ends(0);
    assert!(listed.out.contains("(plain)"), "{}", listed.out);
    let refused = other(&["pull", "there", "plain"]).ends(1);
    assert!(refused.err.contains("store::untrusted"), "{}", refused.err);
    at(&place, &["keys", "new", "alice"]).ends(0);
    let unsigned = other(&["pull", "there", "plain", "--key", "alice"]).ends(1);
    assert!(
        unsigned.err.contains("audit::signature"),
        "{}",
        unsigned.err
    );
    let listed = other(&["store", "list", "--json"]).ends(0).json();
    assert_eq!(listed["runs"], Value::Array(Vec::new()));
    other(&["pull", "there", "plain", "--replay"]).ends(0);
    other(&["verify", "plain"]).ends(0);

    at(&place, &["sign", "a", "--key", "alice"]).ends(0);
    at(&place, &["tag", "signed", "a"]).ends(0);
    at(&place, &["push", "there", "signed"]).ends(0);
    other(&["pull", "there", "signed", "--key", "keys/alice.pub"]).ends(0);
    let verified = other(&["verify", "signed", "--key", "alice"]).ends(0);
    assert!(verified.out.contains("authentic"), "{}", verified.out);
    at(&place, &["keys", "new", "bob"]).ends(0);
    other(&["pull", "there", "signed", "--key", "bob"]).ends(1);

    // A folder that was made up, hashes and all, fits itself; it does not come out again.
    place
        .mmhc(&[
            "run",
            "points.mmh",
            "--out",
            "c",
            "--set",
            "fit.optimize.lr=2e-1",
        ])
        .ends(0);
    let plan = place.read("c/plan");
    assert_ne!(plan, place.read("a/plan"));
    for wrong in ["ftp://there", "nowhere"] {
        let failed = other(&["pull", wrong]).ends(1);
        assert!(failed.err.contains("store::remote"), "{}", failed.err);
    }
    other(&["push", "s3://models", "plain"]).ends(1);
    other(&["push", "elsewhere", "worst"]).ends(1);
}

#[test]
fn wrong_use_is_told_apart() {
    let place = Place::new();
    for wrong in [
        &["store"][..],
        &["store", "add"],
        &["store", "get", "best"],
        &["tag", "--delete"],
        &["pull"],
        &["pull", "there", "--key", "alice"],
        &["push", "there"],
    ] {
        at(&place, wrong).ends(2);
    }
    at(&place, &["store", "add", "points.mmh"]).ends(1);
    place.write("thesis/chapter", "one");
    let refused = at(&place, &["store", "list", "--store", "thesis"]).ends(1);
    assert!(refused.err.contains("it is no store"), "{}", refused.err);
    at(&place, &["store", "list"]).ends(0);
}
