//! Trials that begin alike: what one has trained, the other takes.

use crate::support::{Place, examples};
use serde_json::Value;
use std::collections::BTreeMap;

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
  optimize = adamw(lr = 1e-2 ~ choice(1e-2, 3e-2))
  length   = 4 epochs ~ choice(2 epochs, 7 epochs, 4 epochs)
  watch    = cross_entropy(predict, rows.species, on = penguins.valid)
}

search tune {
  run      = fit
  minimize = fit.watch
  propose  = grid
  budget   = 6 trials
}

evaluate final {
  model   = fit.best
  rows    = penguins.test
  metrics = [accuracy]
}
"#;

fn place() -> Place {
    let place = Place::new();
    let data = std::fs::read(examples().join("data/penguins.csv")).expect("the data");
    place.write("data/penguins.csv", data);
    place.write("length.mmh", RECIPE);
    // Without the search, whose every choice is made by `--set`.
    let (head, rest) = RECIPE.split_once("search tune").expect("a search");
    let (_, tail) = rest.split_once("}\n").expect("its end");
    place.write("alone.mmh", format!("{head}{tail}"));
    place
}

fn entries(place: &Place, journal: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(journal)).expect("text");
    let entry = |line: &str| -> Value {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["entry"].clone()
    };
    text.lines().map(entry).collect()
}

#[test]
fn trials_that_differ_in_length_are_trained_once() {
    let place = place();
    let mut studies = Vec::new();
    for (out, more) in [
        ("one", &["--workers", "1"][..]),
        ("three", &["--workers", "3"]),
        ("apart", &["--workers", "2", "--isolate", "process"]),
    ] {
        let words = [
            &["run", "length.mmh", "--json", "--no-store", "--out", out],
            more,
        ]
        .concat();
        studies.push(place.mmhc(&words).ends(0).json());
    }
    assert_eq!(studies[0]["study"], studies[1]["study"]);
    assert_eq!(studies[0]["study"], studies[2]["study"]);

    // Every figure is what the training gives by itself.
    let alone = |lr: &str, length: &str| -> f64 {
        let (lr, length) = (
            format!("fit.optimize.lr={lr}"),
            format!("fit.length={length}"),
        );
        let words = [
            "run",
            "alone.mmh",
            "--json",
            "--out",
            "alone",
            "--set",
            &lr,
            "--set",
            &length,
        ];
        let ran = place.mmhc(&words).ends(0).json();
        ran["metrics"]["fit"]["valid"]["cross_entropy"]
            .as_f64()
            .expect("a number")
    };
    let mut settings = BTreeMap::new();
    let (mut results, mut trained) = (0, 0);
    for entry in entries(&place, "one/study/journal") {
        if let Some(trial) = entry.get("trial") {
            settings.insert(trial["trial"].as_u64(), trial["settings"].clone());
        }
        if let Some(result) = entry.get("result") {
            let chosen = &settings[&result["trial"].as_u64()];
            let bits = result["outcome"]["value"].as_str().expect("a value");
            let value = f64::from_bits(u64::from_str_radix(bits, 16).expect("bits"));
            let text = |name: &str| chosen[name].as_str().expect("a setting").to_owned();
            assert_eq!(value, alone(&text("lr"), &text("length")), "{chosen}");
            results += 1;
        }
    }
    assert_eq!(results, 6);
    // A result that another trial's run shows is seen there.
    let seen = place
        .mmhc(&["verify", "three", "--json", "--replay"])
        .ends(0)
        .json();
    assert_eq!(seen["study"]["shown"], 6, "{seen}");

    // Of 26 epochs 14 are done: 2, of which 7 goes on, of which 4 is a part; twice.
    let folders = std::fs::read_dir(place.path("one/study/trials")).expect("trials");
    let mut taken = 0;
    for folder in folders.flatten() {
        let journal = format!(
            "one/study/trials/{}/journal",
            folder.file_name().to_string_lossy()
        );
        let entries = entries(&place, &journal);
        let epochs = entries
            .iter()
            .filter(|it| it.get("epoch").is_some())
            .count();
        let from = entries.iter().find_map(|it| it.get("taken"));
        let before = from.map_or(0, |from| from["step"].as_u64().expect("a step") / 8);
        taken += usize::from(from.is_some());
        trained += epochs as u64 - before;
    }
    assert_eq!((taken, trained), (2, 14));
}

#[test]
fn a_run_that_took_its_first_steps_is_whole_and_comes_out_again() {
    let place = place();
    let words = [
        "run",
        "length.mmh",
        "--json",
        "--out",
        "out",
        "--set",
        "tune.budget=6 trials",
    ];
    let found = place.mmhc(&words).ends(0).json();
    let taken = entries(&place, "out/journal")
        .iter()
        .any(|it| it.get("taken").is_some());
    assert!(taken, "the best trial is one that took steps: {found}");
    let verified = place
        .mmhc(&["verify", "out", "--replay", "--json"])
        .ends(0)
        .json();
    assert_eq!(verified["verdict"], "consistent", "{verified}");
    let log = place.mmhc(&["log", "out"]).ends(0);
    assert!(log.out.contains("which begins alike"), "{}", log.out);
}
