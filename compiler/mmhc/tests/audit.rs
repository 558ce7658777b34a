//! `mmhc verify`, `replay`, `log`, `diff` and `bisect`.

mod common;

use common::{Place, RECIPE};
use serde_json::Value;

fn trained() -> Place {
    let place = Place::new();
    place.mmhc(&["run", "points.mmh", "--out", "a"]).ends(0);
    place
}

#[test]
fn a_whole_folder_is_consistent_and_comes_out_again() {
    let place = trained();
    let quick = place.mmhc(&["verify", "a"]).ends(0);
    for part in [
        "a: consistent",
        "model blake3:",
        "not signed: it is consistent, not authentic",
    ] {
        assert!(quick.out.contains(part), "{part} in\n{}", quick.out);
    }
    let json = place.mmhc(&["verify", "a", "--json"]).ends(0).json();
    assert_eq!(
        (&json["verdict"], &json["finished"]),
        (&Value::from("consistent"), &Value::from(true))
    );
    assert!(
        json["files"].as_u64() >= Some(7) && json["states"].as_u64() >= Some(2),
        "{json:#}"
    );

    let all = place
        .mmhc(&["verify", "a", "--replay", "--threads", "1"])
        .ends(0);
    assert!(
        all.out.contains("all 20 steps were done again"),
        "{}",
        all.out
    );
    let spot = place
        .mmhc(&["verify", "a", "--spot", "1%", "--seed", "3", "--json"])
        .ends(0)
        .json();
    assert_eq!(spot["again"]["kind"], "spot");
    assert!(
        spot["again"]["detects_one_false_segment"].as_f64() <= Some(1.0),
        "{spot:#}"
    );
    let spot = place.mmhc(&["verify", "a", "--spot", "50%"]).ends(0);
    assert!(
        spot.out
            .contains("segments between checkpoints were done again")
            && spot.out.contains("--seed"),
        "{}",
        spot.out
    );
}

#[test]
fn tampering_is_said_with_its_place_and_status_one() {
    let place = trained();
    let metrics = place.read("a/metrics.json");
    place.write(
        "a/metrics.json",
        &metrics.replacen("\"steps\": 20", "\"steps\": 21", 1),
    );
    let ran = place.mmhc(&["verify", "a"]).ends(1);
    assert!(ran.out.is_empty(), "{}", ran.out);
    for part in [
        "audit::changed",
        "a/metrics.json",
        "`steps` is 21, the journal says 20",
    ] {
        assert!(ran.err.contains(part), "{part} in\n{}", ran.err);
    }
    let json = place.mmhc(&["verify", "a", "--json"]).ends(1).json();
    assert_eq!(
        (&json["verdict"], &json["changes"][0]["file"]),
        (&Value::from("changed"), &Value::from("metrics.json"))
    );
    assert_eq!(json["diagnostics"][0]["code"], "audit::changed");
    // What works on runs wants them whole.
    place.mmhc(&["replay", "a"]).ends(1);
    place.mmhc(&["diff", "a", "a"]).ends(1);
    assert!(
        place
            .mmhc(&["log", "a"])
            .ends(0)
            .err
            .contains("was changed")
    );
}

#[test]
fn wrong_use_is_told_from_wrong_folders() {
    let place = trained();
    for wrong in [
        &["verify"][..],
        &["verify", "a", "--spot", "5"],
        &["verify", "a", "--spot", "0%"],
        &["verify", "a", "--spot", "5%", "--replay"],
        &["verify", "a", "--seed", "5"],
        &["replay", "a", "--steps", "5..5"],
        &["diff", "a"],
    ] {
        place.mmhc(wrong).ends(2);
    }
    let none = place.mmhc(&["verify", "points.csv"]).ends(1);
    assert!(none.err.contains("is no run folder"), "{}", none.err);
    place.mmhc(&["replay", "a", "--steps", "100..101"]).ends(1);
    place.mmhc(&["replay", "a", "--training", "fib"]).ends(1);
}

#[test]
fn data_is_found_by_hash_and_its_absence_is_said() {
    let place = trained();
    let table = place.read("points.csv");
    place.write("points.csv", "x_0,x_1,heap\n1,2,0\n");
    let missing = place.mmhc(&["verify", "a", "--replay"]).ends(1);
    for part in ["audit::data-missing", "points.csv", "--data"] {
        assert!(missing.err.contains(part), "{part} in\n{}", missing.err);
    }
    place.write("elsewhere.bin", &table);
    place
        .mmhc(&["verify", "a", "--replay", "--data", "elsewhere.bin"])
        .ends(0);
}

#[test]
fn steps_are_done_again_from_the_nearest_checkpoint() {
    let place = trained();
    let ran = place.mmhc(&["replay", "a", "--steps", "18..21"]).ends(0);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert!(
        lines[0].starts_with("18\t") && lines[2].ends_with("\tas in the journal"),
        "{}",
        ran.out
    );
    let json = place.mmhc(&["replay", "a", "--json"]).ends(0).json();
    let steps = json["steps"].as_array().expect("a list");
    assert_eq!(
        (steps.len(), &json["from"], &json["same"]),
        (21, &Value::from(0), &Value::from(true))
    );
    assert_eq!(
        steps[18]["state"],
        lines[0].split('\t').nth(1).expect("a hash")
    );
}

#[test]
fn the_log_tells_where_a_model_comes_from() {
    let place = trained();
    let first = place.mmhc(&["log", "a", "--json"]).ends(0).json();
    let words = place.mmhc(&["log", "a"]).ends(0).out;
    for part in [
        "model   blake3:",
        "recipe  blake3:",
        "seed    ",
        "the run begins",
        "fit: epoch 4, step 20",
        "best so far",
        "the run ends after 20 steps",
    ] {
        assert!(words.contains(part), "{part} in\n{words}");
    }
    assert!(!words.contains("  state ") && !words.contains("parent"));
    assert!(
        place
            .mmhc(&["log", "a", "--all"])
            .ends(0)
            .out
            .contains("fit: step 20  state ")
    );
    place
        .mmhc(&[
            "run",
            "points.mmh",
            "--out",
            "a",
            "--set",
            "fit.optimize.lr=2e-1",
        ])
        .ends(0);
    let words = place.mmhc(&["log", "a"]).ends(0).out;
    assert!(
        words.contains(&format!(
            "parent  {}",
            first["model_hash"].as_str().expect("a hash")
        )),
        "{words}"
    );
}

#[test]
fn runs_are_compared_and_their_parting_is_found() {
    let place = trained();
    place
        .mmhc(&["run", "points.mmh", "--out", "same", "--threads", "1"])
        .ends(0);
    let same = place.mmhc(&["diff", "a", "same"]).ends(0).out;
    assert!(
        same.contains("the models are the same, bit for bit")
            && same.contains("the same in all states"),
        "{same}"
    );
    place.mmhc(&["bisect", "a", "same"]).ends(0);

    // Another schedule from step 7 on: the cosine begins with the factor 1.
    let schedule = "length   = 4 epochs\n  schedule = [constant(5 steps), cosine(15 steps)]";
    place.write(
        "later.mmh",
        &RECIPE.replace("length   = 4 epochs", schedule),
    );
    let ran = place.mmhc(&["run", "later.mmh", "--out", "b"]);
    let ran = ran.ends(0);
    assert!(ran.out.starts_with("blake3:"));
    let diff = place.mmhc(&["diff", "a", "b"]).ends(0).out;
    for part in [
        "+ ",
        "settings",
        "trainings.fit.schedule",
        "parameters",
        "net.",
    ] {
        assert!(diff.contains(part), "{part} in\n{diff}");
    }
    let json = place.mmhc(&["diff", "a", "b", "--json"]).ends(0).json();
    assert_eq!(json["same_model"], false);
    let found = place.mmhc(&["bisect", "a", "b", "--json"]).ends(1).json();
    assert_eq!(found["step"], 7, "{found:#}");
    let operation = found["operation"].as_str().expect("an operation");
    assert!(operation.contains("input Scalar("), "{operation}");
    let words = place.mmhc(&["bisect", "a", "b"]).ends(1).out;
    assert!(
        words.contains("they part in step 7") && words.contains("first at %"),
        "{words}"
    );

    // Another seed parts them at the start.
    place.write("seed.mmh", &RECIPE.replace("seed 7", "seed 8"));
    place.mmhc(&["run", "seed.mmh", "--out", "c"]).ends(0);
    let words = place.mmhc(&["bisect", "a", "c"]).ends(1).out;
    assert!(
        words.contains("ahead of the first step") && words.contains("net."),
        "{words}"
    );
}
