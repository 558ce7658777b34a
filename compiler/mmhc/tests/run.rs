//! `mmhc run` and `mmhc predict`.

mod common;

use common::{Place, RECIPE};
use serde_json::Value;

#[test]
fn a_run_gives_its_result_on_stdout_and_words_on_stderr() {
    let place = Place::new();
    let plain = place.mmhc(&["run", "points.mmh"]).ends(0);
    let hash = plain.out.trim_end();
    assert!(
        hash.starts_with("blake3:") && hash.len() == 71 && plain.out.lines().count() == 1,
        "{}",
        plain.out
    );
    for part in [
        "fit: 36 rows, 20 steps",
        "epoch 4/4",
        "rows/s",
        "final",
        "accuracy",
        "runs/points",
    ] {
        assert!(plain.err.contains(part), "{part} in\n{}", plain.err);
    }
    assert_eq!(
        plain
            .err
            .lines()
            .filter(|line| line.contains("epoch "))
            .count(),
        4,
        "{}",
        plain.err
    );
    for name in [
        "model.safetensors",
        "recipe.mmh",
        "mmh.lock",
        "plan",
        "journal",
        "metrics.json",
        "report.html",
    ] {
        assert!(place.path("runs/points").join(name).is_file(), "{name}");
    }
    assert_eq!(place.read("runs/points/recipe.mmh"), RECIPE);

    let json = place
        .mmhc(&["run", "points.mmh", "--json", "--out", "other"])
        .ends(0)
        .json();
    assert_eq!(json["model_hash"], hash);
    for name in ["recipe_hash", "plan_hash", "data_hash", "model_hash"] {
        assert!(
            json[name]
                .as_str()
                .is_some_and(|hash| hash.starts_with("blake3:") && hash.len() == 71),
            "{name}: {json}"
        );
    }
    for name in ["seed", "device", "isa", "out"] {
        assert!(json[name].is_string(), "{name}: {json}");
    }
    for name in ["steps", "threads", "seconds"] {
        assert!(json[name].is_number(), "{name}: {json}");
    }
    assert!(json["metrics"]["fit"]["valid"]["accuracy"].is_number());
    assert!(json["metrics"]["final"]["test"]["accuracy"].is_number());
}

#[test]
fn every_device_and_every_number_of_threads_gives_the_same_bits() {
    let place = Place::new();
    let mut hashes: Vec<Value> = Vec::new();
    let ways: &[&[&str]] = &[
        &["--threads", "1"],
        &["--threads", "5"],
        &["--isa", "scalar"],
        &["--device", "cpu"],
        &["--device", "interpret"],
    ];
    for way in ways {
        let arguments = [&["run", "points.mmh", "--limit", "5 steps", "--json"], *way].concat();
        let json = place.mmhc(&arguments).ends(0).json();
        assert_eq!(json["steps"], 5);
        hashes.push(json["model_hash"].clone());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn a_run_goes_on_where_it_was_left() {
    let place = Place::new();
    let whole = place.mmhc(&["run", "points.mmh", "--json"]).ends(0).json();
    place
        .mmhc(&["run", "points.mmh", "--out", "cut", "--limit", "7 steps"])
        .ends(0);
    let rest = place
        .mmhc(&["run", "points.mmh", "--out", "cut", "--resume", "--json"])
        .ends(0)
        .json();
    assert_eq!(rest["model_hash"], whole["model_hash"]);
    let again = place
        .mmhc(&["run", "points.mmh", "--out", "cut", "--resume", "--json"])
        .ends(0)
        .json();
    assert_eq!(again["model_hash"], whole["model_hash"]);
    let other = place
        .mmhc(&[
            "run",
            "points.mmh",
            "--out",
            "cut",
            "--resume",
            "--set",
            "seed=8",
        ])
        .ends(1);
    assert!(other.err.contains("run::resume-mismatch"), "{}", other.err);
}

#[test]
fn values_are_replaced_by_path() {
    let place = Place::new();
    let json = place
        .mmhc(&[
            "run",
            "points.mmh",
            "--json",
            "--set",
            "fit.length=2 epochs",
        ])
        .ends(0)
        .json();
    assert_eq!(json["steps"], 10);
    let wrong = place
        .mmhc(&["run", "points.mmh", "--set", "fit.lenght=2 epochs"])
        .ends(1);
    assert!(wrong.err.contains("fit.length"), "{}", wrong.err);
    place
        .mmhc(&["run", "points.mmh", "--set", "fit.length"])
        .ends(2);
}

#[test]
fn folders_with_other_files_are_left_alone() {
    let place = Place::new();
    place.write("mine/thesis.tex", "years of work");
    let refused = place.mmhc(&["run", "points.mmh", "--out", "mine"]).ends(2);
    assert!(refused.err.contains("no run"), "{}", refused.err);
    assert_eq!(place.read("mine/thesis.tex"), "years of work");
    assert!(!place.path("mine/journal").exists());
    let limited = ["run", "points.mmh", "--limit", "2 steps", "--out", "again"];
    place.mmhc(&limited).ends(0);
    place.mmhc(&limited).ends(0);
}

#[test]
fn faults_of_recipe_and_data_end_with_1() {
    let place = Place::new();
    let missing = place.mmhc(&["run", "no.mmh", "--json"]).ends(1);
    assert_eq!(missing.json()["diagnostics"][0]["code"], "file::not-found");
    assert!(missing.err.contains("no.mmh"), "{}", missing.err);
    place.write("points.csv", "x_0,x_1,heap\n1,2,0\n1,2\n");
    let ragged = place.mmhc(&["run", "points.mmh", "--json"]).ends(1);
    let found = &ragged.json()["diagnostics"][0];
    assert_eq!(found["code"], "data::ragged-row");
    assert!(
        found["message"]
            .as_str()
            .is_some_and(|message| message.contains("row 2")),
        "{found}"
    );
    assert_eq!(found["labels"][0]["start"]["line"], 7);
    assert!(!place.path("runs").exists());
}

#[test]
fn wrong_usage_ends_with_2() {
    let place = Place::new();
    let wrong: &[&[&str]] = &[
        &[],
        &["fly"],
        &["run"],
        &["run", "points.mmh", "--isa", "sse"],
        &["run", "points.mmh", "--threads", "0"],
        &["run", "points.mmh", "--limit", "5"],
        &["run", "points.mmh", "--device", "abacus"],
        &["check"],
        &["show", "nothing", "points.mmh"],
        &["show", "tree", "points.mmh", "--schedule"],
        &["check", "points.mmh", "--format", "xml"],
    ];
    for arguments in wrong {
        let ran = place.mmhc(arguments).ends(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}");
    }
    if cfg!(target_arch = "x86_64") {
        place.mmhc(&["run", "points.mmh", "--isa", "neon"]).ends(2);
    }
}

#[test]
fn sections_that_cannot_run_are_refused() {
    let place = Place::new();
    let search = "\nsearch tune {\n  run      = fit\n  maximize = fit.watch\n  method   = full\n  budget   = 4 trials\n}\n";
    let recipe = RECIPE.replace("lr = 1e-1", "lr = 1e-1 ~ log(1e-2 .. 1e0)") + search;
    place.write(
        "points.mmh",
        &(recipe.clone() + &search.replace("tune", "more")),
    );
    let refused = place.mmhc(&["run", "points.mmh"]).ends(1);
    assert!(
        refused.err.contains("capability::not-yet") && refused.err.contains("--no-search"),
        "{}",
        refused.err
    );
    place
        .mmhc(&["run", "points.mmh", "--no-search", "--limit", "1 step"])
        .ends(0);
    place.write("points.mmh", &recipe);
    let workers = ["run", "points.mmh", "--no-search", "--workers", "2"];
    assert!(place.mmhc(&workers).ends(2).err.contains("--workers"));
    let timeout = ["run", "points.mmh", "--trial-timeout", "3"];
    assert!(
        place
            .mmhc(&timeout)
            .ends(2)
            .err
            .contains("--isolate process")
    );
}

#[test]
fn a_model_classifies_rows() {
    let place = Place::new();
    place.mmhc(&["run", "points.mmh", "--out", "m"]).ends(0);
    place.write("new.csv", "x_0,x_1\n0,0\n23,-10\n");
    let plain = place.mmhc(&["predict", "m", "new.csv"]).ends(0);
    let fields: Vec<Vec<&str>> = plain
        .out
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!((fields.len(), fields[0].len()), (2, 3), "{}", plain.out);
    let json = place
        .mmhc(&["predict", "m/model.safetensors", "new.csv", "--json"])
        .ends(0)
        .json();
    let rows = json["rows"].as_array().expect("rows");
    for (row, line) in rows.iter().zip(&fields) {
        assert_eq!(row["class"], line[1]);
        let sum: f64 = row["probabilities"]
            .as_object()
            .expect("classes")
            .values()
            .filter_map(Value::as_f64)
            .sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
    let none = place.mmhc(&["predict", "nowhere", "new.csv"]).ends(1);
    assert!(none.err.contains("no run folder"), "{}", none.err);
    place.write("bad.csv", "x_0\n0\n");
    place.mmhc(&["predict", "m", "bad.csv"]).ends(1);
}

#[cfg(unix)]
#[test]
fn a_request_to_end_saves_and_ends_with_130() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mmhc"))
        .args([
            "run",
            "points.mmh",
            "--out",
            "long",
            "--set",
            "fit.length=1000000 epochs",
        ])
        .current_dir(place.path(""))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("mmhc starts");
    let began = Instant::now();
    while !place.path("long/journal").exists() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(signal.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(place.path("long/checkpoints").exists());
}

/// A model of characters.
const TEXT_RECIPE: &str = r#"mmh 1

seed 7

data book {
  source = text("book.txt", window = 8, stride = 4)
  now:  class[source.characters.classes, time = 8] = source.characters
  next: class[source.next.classes, time = 8] = source.next
  split = sequential(train = 80%, valid = 20%)
}

model net(now: class[book.now.classes, batch, time = 8]) -> f32[batch, time = 8, class = book.now.classes] {
  now |> embed(feature = 8) |> linear(class = book.now.classes, from = feature)
}

train fit {
  rows     = book.train |> shuffle |> batch(8)
  predict  = net(rows.now)
  loss     = cross_entropy(predict, rows.next)
  optimize = adamw(lr = 1e-1)
  length   = 4 epochs
}
"#;

#[test]
fn a_text_is_continued_the_same_way_from_the_same_seed() {
    let place = Place::new();
    place.write("book.txt", &"the quick brown fox. ".repeat(20));
    place.write("book.mmh", TEXT_RECIPE);
    place.mmhc(&["run", "book.mmh"]).ends(0);
    let ask = |more: &[&str]| {
        place
            .mmhc(&[&["predict", "runs/book", "the ", "--length", "30"], more].concat())
            .ends(0)
    };
    let (first, again, other) = (ask(&[]), ask(&["--seed", "0"]), ask(&["--seed", "1"]));
    assert!(
        first.out.starts_with("the ") && first.out.chars().count() == 4 + 30 + 1,
        "{:?}",
        first.out
    );
    assert_eq!(first.out, again.out);
    assert_ne!(first.out, other.out);
    assert_eq!(
        ask(&["--temperature", "0"]).out,
        ask(&["--temperature", "0", "--seed", "9"]).out
    );
    let json = ask(&["--json"]).json();
    assert_eq!(
        format!("the {}\n", json["text"].as_str().expect("a text")),
        first.out
    );
    let strange = place.mmhc(&["predict", "runs/book", "Ω"]).ends(1);
    assert!(strange.err.contains("vocabulary"), "{}", strange.err);
    place
        .mmhc(&["predict", "runs/book", "the", "--temperature", "-1"])
        .ends(2);
}

/// A model of small pictures.
const PICTURES: &str = r#"mmh 1

seed 7

data marks {
  source = idx(images = ["a-images", "b-images"], labels = ["a-labels", "b-labels"])
  image: f32[channel = 1, height = 4, width = 4] = source.images / 255
  label: class[2] = source.labels
  split  = files(train = 75%, valid = 25%)
}

model net(image: f32[batch, channel = 1, height = 4, width = 4]) -> f32[batch, class = 2] {
  image |> flatten(into = feature) |> linear(class = 2)
}

train fit {
  rows     = marks.train |> shuffle |> batch(8)
  predict  = net(rows.image)
  loss     = cross_entropy(predict, rows.label)
  optimize = adamw(lr = 1e-1)
  length   = 4 epochs
  watch    = accuracy(predict, rows.label, on = marks.valid)
}

evaluate final {
  model   = fit.best
  rows    = marks.test
  metrics = [accuracy]
}
"#;

/// Pictures whose upper or lower half is bright, and which half it is.
fn write_pictures(place: &Place, name: &str, rows: u8) {
    let (mut images, mut labels) = (
        vec![0, 0, 8, 3, 0, 0, 0, rows, 0, 0, 0, 4, 0, 0, 0, 4],
        vec![0, 0, 8, 1, 0, 0, 0, rows],
    );
    for row in 0..rows {
        images.extend((0..16).map(|at| {
            if (at < 8) == (row % 2 == 0) {
                250 - row
            } else {
                row
            }
        }));
        labels.push(row % 2);
    }
    std::fs::write(place.path(&format!("{name}-images")), images).expect("written");
    std::fs::write(place.path(&format!("{name}-labels")), labels).expect("written");
}

#[test]
fn pictures_are_read_split_by_files_and_classified() {
    let place = Place::new();
    write_pictures(&place, "a", 40);
    place.write("marks.mmh", PICTURES);
    let missing = place.mmhc(&["run", "marks.mmh", "--json"]).ends(1);
    assert_eq!(
        missing.json()["diagnostics"][0]["code"],
        "data::missing-file"
    );
    write_pictures(&place, "b", 20);
    let ran = place.mmhc(&["run", "marks.mmh", "--json"]).ends(0);
    assert!(ran.err.contains("fit: 30 rows, 16 steps"), "{}", ran.err);
    assert_eq!(ran.json()["metrics"]["final"]["test"]["accuracy"], 1.0);
    let rows = place.mmhc(&["predict", "runs/marks", "b-images"]).ends(0);
    let classes: Vec<&str> = rows
        .out
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    assert_eq!((classes.len(), &classes[..3]), (20, &["0", "1", "0"][..]));
    let text = place.mmhc(&["predict", "runs/marks", "a-labels"]).ends(1);
    assert!(text.out.is_empty(), "{}", text.out);
}

#[test]
fn a_recipe_from_stdin_is_run() {
    let place = Place::new();
    let named = place
        .mmhc(&["run", "points.mmh", "--limit", "2 steps"])
        .ends(0);
    let piped = place
        .with_stdin(&["run", "-", "--limit", "2 steps"], RECIPE.as_bytes())
        .ends(0);
    assert_eq!(named.out, piped.out);
    assert!(place.path("runs/stdin/journal").is_file());
}

#[test]
fn a_profile_is_a_table_and_a_trace_and_changes_no_bit() {
    let place = Place::new();
    let plain = place.mmhc(&["run", "points.mmh"]).ends(0);
    let profiled = place
        .mmhc(&["run", "points.mmh", "--out", "seen", "--profile"])
        .ends(0);
    assert_eq!(profiled.out, plain.out);
    for part in [
        "where the time went",
        "contract",
        "guards",
        "between",
        "perfetto",
    ] {
        assert!(profiled.err.contains(part), "{part} in\n{}", profiled.err);
    }
    let trace: Value = serde_json::from_str(&place.read("seen/trace.json")).expect("JSON");
    let spans = trace["traceEvents"].as_array().expect("spans");
    let steps = spans
        .iter()
        .filter(|span| span["args"]["step"] != "")
        .count();
    assert!(steps > 20, "{steps} steps in {} spans", spans.len());
    // A folder with a trace is a run's and may be run into again.
    place
        .mmhc(&["run", "points.mmh", "--out", "seen", "--limit", "1 step"])
        .ends(0);
    let words = place
        .mmhc(&["run", "points.mmh", "--profile", "--device", "interpret"])
        .ends(1);
    assert!(words.err.contains("capability::not-yet"), "{}", words.err);
}

/// Steps that are done again on another device leave the model as it is, and are counted.
#[test]
fn steps_are_audited_where_the_recipe_says_so() {
    let place = Place::new();
    let plain = place.mmhc(&["run", "points.mmh", "--out", "plain"]).ends(0);
    let audit = |what: &str| {
        let line = format!("length   = 4 epochs\n  audit    = {what}");
        place.write("points.mmh", &RECIPE.replace("length   = 4 epochs", &line));
    };
    audit("1/2 steps");
    for options in [&["--isa", "scalar"][..], &[], &["--device", "interpret"]] {
        let mut words = vec!["run", "points.mmh", "--out", "audited"];
        words.extend(options);
        let ran = place.mmhc(&words).ends(0);
        assert_eq!(ran.out, plain.out, "{options:?}");
        assert!(
            ran.err.contains("done again on"),
            "{options:?}: {}",
            ran.err
        );
        assert!(ran.err.contains("bit for bit the same"), "{}", ran.err);
    }
    for wrong in ["3 epochs", "2/3 steps", "1/1000", "1/2 deg", "0.1"] {
        audit(wrong);
        let refused = place.mmhc(&["check", "points.mmh"]).ends(1);
        assert!(refused.err.contains("audit"), "{wrong}: {}", refused.err);
    }
}
