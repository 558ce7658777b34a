//! Proofs of runs: the same wherever they were made, and where they part if they are not.

use crate::support::Place;
use serde_json::{Value, json};

/// A table, and a recipe with dropout and AdamW over it.
fn place() -> Place {
    let place = Place::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/second");
    for name in ["mlp.mmh", "points.csv"] {
        place.write(name, std::fs::read(folder.join(name)).expect(name));
    }
    place
}

fn proof(place: &Place, out: &str, more: &[&str]) -> Value {
    let mut words = vec!["proof", "mlp.mmh", "--json", "--out", out];
    words.extend(more);
    place.mmhc(&words).ends(0).json()
}

/// What comparing two files gives, with the exit status it must end with.
fn compare(place: &Place, files: [&str; 2], status: i32) -> Value {
    let words = ["proof", "--compare", files[0], files[1], "--json"];
    place.mmhc(&words).ends(status).json()
}

/// Writes a proof with one hash of a training's states, or of a step's values, replaced.
fn falsify(place: &Place, out: &str, mut proof: Value, at: &str) {
    *proof.pointer_mut(at).expect(at) = json!("0".repeat(64));
    place.write(out, proof.to_string());
}

#[test]
fn proofs_of_two_devices_are_the_same_and_small() {
    let place = place();
    let fast = proof(&place, "a.proof", &[]);
    let slow = proof(&place, "b.proof", &["--device", "interpret"]);
    assert_eq!(fast["trainings"], slow["trainings"]);
    assert_eq!(slow["device"], "interpret");
    let run = place.mmhc(&["run", "mlp.mmh", "--json"]).ends(0).json();
    for key in [
        "recipe_hash",
        "plan_hash",
        "data_hash",
        "model_hash",
        "seed",
    ] {
        assert_eq!(fast[key], run[key], "{key}");
    }
    let states = fast["trainings"][0]["steps"].as_object().expect("states");
    assert_eq!(
        states.len() as u64,
        run["steps"].as_u64().expect("steps") + 1
    );
    assert!(place.read("a.proof").len() < 4096);
    let same = compare(&place, ["a.proof", "b.proof"], 0);
    assert_eq!(same["same"], true);
    let said = place
        .mmhc(&["proof", "--compare", "a.proof", "b.proof"])
        .ends(0);
    assert_eq!(said.out, "same\n");
    // The values of one step, fused on the one device and one by one on the other.
    let fast = proof(&place, "a.proof", &["--values", "7"]);
    let slow = proof(
        &place,
        "b.proof",
        &["--values", "7", "--device", "interpret"],
    );
    assert_eq!(fast["values"], slow["values"]);
    assert!(fast["values"]["values"].as_array().expect("values").len() > 100);
    assert_eq!(compare(&place, ["a.proof", "b.proof"], 0)["same"], true);
}

#[test]
fn the_step_and_the_operation_that_differ_are_named() {
    let place = place();
    let whole = proof(&place, "a.proof", &[]);
    falsify(&place, "b.proof", whole.clone(), "/trainings/0/steps/9");
    let found = compare(&place, ["a.proof", "b.proof"], 1);
    assert_eq!((&found["step"], &found["same"]), (&json!(9), &json!(false)));
    assert!(
        found["help"]
            .as_str()
            .is_some_and(|help| help.contains("--values 9")),
        "{found}"
    );
    falsify(&place, "b.proof", whole, "/trainings/0/steps/0");
    let found = compare(&place, ["a.proof", "b.proof"], 1);
    assert!(
        found["message"]
            .as_str()
            .is_some_and(|it| it.contains("first values")),
        "{found}"
    );

    let few = proof(&place, "c.proof", &["--steps", "8..8"]);
    falsify(&place, "d.proof", few, "/trainings/0/steps/8");
    let found = compare(&place, ["c.proof", "d.proof"], 1);
    assert!(
        found["help"]
            .as_str()
            .is_some_and(|help| help.contains("--steps 0..8")),
        "{found}"
    );

    let values = proof(&place, "a.proof", &["--values", "9"]);
    let text = |op: &Value| op["op"].as_str().expect("text").to_owned();
    let list = values["values"]["values"]
        .as_array()
        .expect("values")
        .clone();
    let gelu = list
        .iter()
        .position(|op| text(op).contains("map(gelu)"))
        .expect("gelu");
    falsify(
        &place,
        "b.proof",
        values,
        &format!("/values/values/{gelu}/hash"),
    );
    let found = compare(&place, ["a.proof", "b.proof"], 1);
    assert_eq!(
        (&found["step"], &found["op"]),
        (&json!(9), &list[gelu]["op"])
    );
    let recipe = String::from_utf8(place.read("mlp.mmh")).expect("UTF-8");
    let at = found["place"].as_str().expect("a place");
    let line: usize = at
        .split(':')
        .nth(1)
        .and_then(|line| line.parse().ok())
        .expect("a line");
    let line = recipe.lines().nth(line - 1).expect("a line of the recipe");
    assert!(line.contains("gelu"), "{at}: {line}");
}

#[test]
fn proofs_of_other_runs_and_other_files_are_refused() {
    let place = place();
    proof(&place, "a.proof", &[]);
    proof(&place, "b.proof", &["--set", "seed=7"]);
    let found = compare(&place, ["a.proof", "b.proof"], 1);
    let message = found["message"].as_str().expect("a message");
    assert!(
        message.contains("different runs") && message.contains("the seed"),
        "{message}"
    );
    place.write("c.proof", "{}");
    let found = compare(&place, ["a.proof", "c.proof"], 1);
    assert_eq!(found["diagnostics"][0]["code"], "run::damaged");
    let found = compare(&place, ["a.proof", "none.proof"], 1);
    assert_eq!(found["diagnostics"][0]["code"], "file::not-found");
    place
        .mmhc(&["proof", "mlp.mmh", "--values", "99", "--json"])
        .ends(1);
    place.mmhc(&["proof", "--compare", "a.proof"]).ends(2);
    place.mmhc(&["proof", "mlp.mmh", "--steps", "9..8"]).ends(2);
}
