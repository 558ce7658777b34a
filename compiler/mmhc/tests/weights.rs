//! Trainings that begin with the weights of another model: what they come to, who their parents are, and what is wrong with
//! files and recipes that do not fit.

mod common;

use common::{Place, RECIPE, Ran};
use serde_json::{Value, json};
use std::fs;

/// The small recipe, begun with the model of `a`.
fn tuned(start: &str) -> String {
    let begun = format!("train fit {{\n  start    = {start}\n");
    let text = RECIPE.replace("train fit {\n", &begun);
    text.replace("length   = 4 epochs", "length   = 2 epochs")
}

/// With a run of the small recipe in `a`, and a recipe that begins with its model.
fn place() -> Place {
    let place = Place::new();
    place.mmhc(&["run", "points.mmh", "--out", "a"]).ends(0);
    place.write("tuned.mmh", &tuned("weights(\"a/model.safetensors\")"));
    place
}

fn first_entry(place: &Place, folder: &str) -> Value {
    let journal = place.read(&format!("{folder}/journal"));
    let line: Value = serde_json::from_str(journal.lines().next().expect("a line")).expect("JSON");
    line["entry"]["start"].clone()
}

/// The elements of a tensor in a run's model.
fn tensor(place: &Place, folder: &str, name: &str) -> Vec<u8> {
    let bytes = fs::read(place.path(&format!("{folder}/model.safetensors"))).expect("a model");
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).expect("JSON");
    let at = |n: usize| header[name]["data_offsets"][n].as_u64().expect("an offset") as usize;
    data[at(0)..at(1)].to_vec()
}

/// A safetensors file.
fn safetensors(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), data].concat()
}

fn said(ran: &Ran, code: &str, words: &str) {
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(
        ran.err.contains(code) && ran.err.contains(words),
        "{code}: {words} in\n{}",
        ran.err
    );
}

#[test]
fn a_training_begins_with_the_weights_of_another() {
    let place = place();
    place.mmhc(&["check", "tuned.mmh"]).ends(0);
    let ran = place
        .mmhc(&["run", "tuned.mmh", "--out", "b", "--json"])
        .ends(0)
        .json();
    let hash = ran["model_hash"].clone();
    // The bits are the same however it is done, and however often it is cut.
    for more in [
        &["--threads", "1"][..],
        &["--isa", "scalar"],
        &["--device", "interpret"],
    ] {
        let words = [&["run", "tuned.mmh", "--out", "c", "--json"], more].concat();
        assert_eq!(place.mmhc(&words).ends(0).json()["model_hash"], hash);
    }
    place
        .mmhc(&["run", "tuned.mmh", "--out", "d", "--limit", "3 steps"])
        .ends(0);
    let resumed = place
        .mmhc(&["run", "tuned.mmh", "--out", "d", "--resume", "--json"])
        .ends(0);
    assert_eq!(resumed.json()["model_hash"], hash);
    let own = place
        .mmhc(&[
            "run",
            "points.mmh",
            "--out",
            "e",
            "--limit",
            "2 epochs",
            "--json",
        ])
        .ends(0);
    assert_ne!(own.json()["model_hash"], hash, "the weights count");

    // What no optimiser moves is what the base model had.
    let frozen = tuned("weights(\"a/model.safetensors\")")
        .replace("adamw(lr = 1e-1)", "sgd(lr = 1e-1, on = net.linear1.bias)");
    place.write("frozen.mmh", &frozen);
    place.mmhc(&["run", "frozen.mmh", "--out", "f"]).ends(0);
    let [base, frozen] = ["a", "f"].map(|folder| tensor(&place, folder, "net.linear1.weight"));
    assert_eq!(base, frozen);
    // And what is not under `on` begins with values of its own.
    let part = tuned("weights(\"a/model.safetensors\", on = net.linear1.bias)")
        .replace("adamw(lr = 1e-1)", "sgd(lr = 1e-1, on = net.linear1.bias)");
    place.write("part.mmh", &part);
    place.mmhc(&["run", "part.mmh", "--out", "g"]).ends(0);
    assert_ne!(base, tensor(&place, "g", "net.linear1.weight"));
}

#[test]
fn a_base_model_is_a_parent() {
    let place = place();
    place.mmhc(&["run", "tuned.mmh", "--out", "b"]).ends(0);
    let base = first_entry(&place, "b")["bases"][0].clone();
    let log = place.mmhc(&["log", "a", "--json"]).ends(0).json();
    assert_eq!(base["model_hash"], log["model_hash"]);
    assert_eq!(base["run"]["head"], log["head"]);
    let file = fs::read(place.path("a/model.safetensors")).expect("a model");
    assert_eq!(base["blake3"], blake3::hash(&file).to_hex().as_str());
    let lock: Value = serde_json::from_str(&place.read("b/mmh.lock")).expect("JSON");
    assert_eq!(lock["weights"][0]["blake3"], base["blake3"]);

    let shown = place.mmhc(&["log", "b"]).ends(0).out;
    let model = log["model_hash"].as_str().expect("a hash");
    assert!(
        shown.contains(&format!("base    {model}"))
            && shown.contains("`fit` begins with a/model.safetensors"),
        "{shown}"
    );
    let card = place.mmhc(&["show", "model", "b"]).ends(0).out;
    assert!(card.contains(&format!("base        {model}")), "{card}");
    let provenance = place.mmhc(&["show", "provenance", "b"]).ends(0).out;
    assert!(provenance.contains("baseModelOf"), "{provenance}");
    let bom = place.mmhc(&["show", "bom", "b"]).ends(0).out;
    assert!(bom.contains("\"ancestors\""), "{bom}");

    // In the store, a run and the run whose weights it begins with are a graph; a grandchild has both.
    let store = [("MMH_STORE", "kept")];
    place.write("more.mmh", &tuned("weights(\"b/model.safetensors\")"));
    place.mmhc(&["run", "more.mmh", "--out", "c"]).ends(0);
    for folder in ["a", "b", "c"] {
        place.with(&["tag", folder, folder], &store).ends(0);
    }
    let history = place.with(&["log", "c", "--json"], &store).ends(0).json();
    let links: Vec<&Value> = history["history"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|run| &run["tags"][0])
        .collect();
    assert_eq!(links, ["b", "a"], "{history}");
    assert_eq!(history["history"][1]["link"], "weights");
    let words = place.with(&["log", "c"], &store).ends(0).out;
    assert!(words.contains("begins with the weights of"), "{words}");
    // The base is kept as long as the run that needs it, also without a name of its own.
    place.with(&["tag", "a", "--delete"], &store).ends(0);
    place.with(&["tag", "b", "--delete"], &store).ends(0);
    place.with(&["store", "remove", "b"], &store);
    place.with(&["store", "gc", "--grace", "0"], &store).ends(0);
    for folder in ["a", "b"] {
        fs::remove_dir_all(place.path(folder)).expect("removed");
    }
    place.with(&["fsck"], &store).ends(0);
    let again = place.with(&["verify", "c", "--replay"], &store).ends(0);
    assert!(again.out.contains("steps were done again"), "{}", again.out);
}

#[test]
fn the_base_is_verified_and_found_by_its_hash() {
    let place = place();
    place.mmhc(&["run", "tuned.mmh", "--out", "b"]).ends(0);
    place.mmhc(&["verify", "b"]).ends(0);
    fs::create_dir(place.path("elsewhere")).expect("made");
    fs::rename(
        place.path("a/model.safetensors"),
        place.path("elsewhere/old"),
    )
    .expect("moved");
    for more in [&["--replay"][..], &["--spot", "5%"]] {
        let words = [
            &["verify", "b"],
            more,
            &["--data", "elsewhere", "--data", "points.csv"],
        ];
        place.mmhc(&words.concat()).ends(0);
        let words = [&["verify", "b"], more, &["--data", "points.csv"]];
        said(
            &place.mmhc(&words.concat()),
            "audit::data-missing",
            "a/model.safetensors",
        );
    }
    place.mmhc(&["replay", "b", "--steps", "0..2"]).ends(0);

    // Another base in the journal, and its hashes made anew.
    let journal = place.read("b/journal");
    let (mut text, mut prev) = (String::new(), "0".repeat(64));
    for (n, line) in journal.lines().enumerate() {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        if n == 0 {
            line["entry"]["start"]["bases"][0]["blake3"] = json!("1".repeat(64));
        }
        let entry = &line["entry"];
        let hashed = format!(r#"{{"n":{n},"prev":"{prev}","entry":{entry}"#);
        let mut hasher = blake3::Hasher::new_derive_key("mmh journal 1");
        hasher.update(hashed.as_bytes());
        prev = hasher.finalize().to_hex().to_string();
        text += &format!("{hashed},\"hash\":\"{prev}\",\"wall\":{{}}}}\n");
    }
    place.write("b/journal", &text);
    said(
        &place.mmhc(&["verify", "b"]),
        "audit::changed",
        "the base models it names are not those of the plan",
    );
}

#[test]
fn a_base_that_changed_is_refused() {
    let place = place();
    place.mmhc(&["lock", "tuned.mmh"]).ends(0);
    assert!(place.read("mmh.lock").contains("a/model.safetensors"));
    let mut bytes = fs::read(place.path("a/model.safetensors")).expect("a model");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(place.path("a/model.safetensors"), &bytes).expect("written");
    said(
        &place.mmhc(&["run", "tuned.mmh"]),
        "data::wrong-hash",
        "a/model.safetensors",
    );
    // A pin in the recipe is as good.
    fs::remove_file(place.path("mmh.lock")).expect("removed");
    let pinned = format!(
        "weights(\"a/model.safetensors\", blake3 = \"{}\")",
        "0".repeat(64)
    );
    place.write("tuned.mmh", &tuned(&pinned));
    said(
        &place.mmhc(&["check", "tuned.mmh"]),
        "data::wrong-hash",
        "pinned here",
    );
    place.write("tuned.mmh", &tuned("weights(\"b/model.safetensors\")"));
    said(
        &place.mmhc(&["check", "tuned.mmh"]),
        "data::missing-file",
        "b/model.safetensors",
    );
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let place = place();
    let recipe = tuned("weights(\"a/model.safetensors\")");
    place.write(
        "two.mmh",
        &recipe.replace(
            "x |> linear(class = 3)",
            "x |> linear(hidden = 4) |> relu |> linear(class = 3)",
        ),
    );
    said(
        &place.mmhc(&["check", "two.mmh"]),
        "weights::missing",
        "has no weights for `net.linear2.",
    );
    let wide = recipe
        .replace("class = 3", "class = 4")
        .replace("class[3]", "class[4]");
    place.write("wide.mmh", &wide);
    said(
        &place.mmhc(&["check", "wide.mmh"]),
        "weights::shape",
        "in the file",
    );
    place.write(
        "part.mmh",
        &tuned("weights(\"a/model.safetensors\", on = net.linear7)"),
    );
    said(&place.mmhc(&["check", "part.mmh"]), "", "net.linear7");
    place.write("word.mmh", &tuned("\"a/model.safetensors\""));
    assert_eq!(place.mmhc(&["check", "word.mmh"]).status, 1);
}

#[test]
fn files_that_are_no_weights_are_refused() {
    let place = place();
    place.write("tuned.mmh", &tuned("weights(\"bad\")"));
    let whole = fs::read(place.path("a/model.safetensors")).expect("a model");
    let mut long = whole.clone();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let tensor = |dtype: &str, shape: Value, range: [usize; 2]| json!({ "net.linear1.bias": { "dtype": dtype, "shape": shape, "data_offsets": range } });
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a table", place.read("points.csv").into_bytes()),
        ("cut in the header", whole[..20].to_vec()),
        ("cut in the tensors", whole[..whole.len() - 1].to_vec()),
        ("more behind", [&whole[..], b"more"].concat()),
        ("a header without end", long),
        (
            "a tensor out of the file",
            safetensors(&tensor("F32", json!([3]), [0, 12]), &[0; 8]),
        ),
        (
            "a tensor too small for its shape",
            safetensors(&tensor("F32", json!([3]), [0, 8]), &[0; 8]),
        ),
        (
            "sizes whose product overflows",
            safetensors(&tensor("F32", json!([u64::MAX, u64::MAX]), [0, 8]), &[0; 8]),
        ),
        ("no JSON", [&8u64.to_le_bytes()[..], b"{{{{{{{{"].concat()),
    ];
    for (what, bytes) in cases {
        fs::write(place.path("bad"), bytes).expect("written");
        let ran = place.mmhc(&["check", "tuned.mmh"]);
        assert!(
            ran.status == 1 && (ran.err.contains("weights::format") || what == "nothing"),
            "{what}:\n{}",
            ran.err
        );
    }
    // Every bit of the header that is changed gives words or another model, never a panic.
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("eight")) as usize;
    for at in (0..header).step_by(9) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(place.path("bad"), bytes).expect("written");
        assert!(place.mmhc(&["check", "tuned.mmh"]).status <= 1, "byte {at}");
    }
    let half = json!({
        "net.linear1.bias": { "dtype": "BF16", "shape": [3], "data_offsets": [0, 6] },
        "net.linear1.weight": { "dtype": "F32", "shape": [2, 3], "data_offsets": [6, 30] },
    });
    fs::write(place.path("bad"), safetensors(&half, &[0; 30])).expect("written");
    said(
        &place.mmhc(&["check", "tuned.mmh"]),
        "weights::shape",
        "bf16",
    );
}

#[test]
fn trials_of_a_search_begin_with_weights_too() {
    let place = place();
    let recipe = tuned("weights(\"a/model.safetensors\")")
        .replace("adamw(lr = 1e-1)", "adamw(lr = 1e-1 ~ choice(1e-2, 1e-1))");
    let search = "\nsearch tune {\n  run      = fit\n  maximize = fit.watch\n  propose  = grid\n  budget   = 2 trials\n}\n";
    place.write("tune.mmh", &format!("{recipe}{search}"));
    let one = place
        .mmhc(&["run", "tune.mmh", "--out", "s", "--json"])
        .ends(0)
        .json();
    let words = [
        "run",
        "tune.mmh",
        "--out",
        "p",
        "--json",
        "--isolate",
        "process",
        "--workers",
        "2",
    ];
    let other = place.mmhc(&words).ends(0).json();
    assert_eq!(one["study"], other["study"]);
    assert_eq!(one["model_hash"], other["model_hash"]);
    place.mmhc(&["verify", "s", "--replay"]).ends(0);
}
