//! Every verb but `run`: exit status, stdout, and the shape of what is written there.

mod common;

use common::{Place, RECIPE};

const BROKEN: &str = "mmh 1\n\nseed 7\n\ntrain fit {\n  length = 30 epochs\n  loss   = (1 + 2\n}\n";

fn unknown_setting() -> String {
    RECIPE.replace("adamw(lr", "adamw(learning_rate")
}

#[test]
fn a_sound_recipe_is_checked_in_silence() {
    let place = Place::new();
    let ran = place.mmhc(&["check", "points.mmh"]).ends(0);
    assert!(
        ran.out.is_empty() && ran.err == "no errors\n",
        "{}",
        ran.err
    );
    let stdin = place.with_stdin(&["check", "-"], RECIPE.as_bytes()).ends(0);
    assert_eq!(stdin.err, "no errors\n");
    assert!(!place.path("runs").exists());
}

#[test]
fn people_see_the_place_the_help_and_a_count() {
    let place = Place::new();
    place.write("wrong.mmh", &unknown_setting());
    place.write("broken.mmh", BROKEN);
    let ran = place
        .mmhc(&["check", "wrong.mmh", "points.mmh", "broken.mmh"])
        .ends(1);
    assert!(ran.out.is_empty());
    for part in [
        "setting::unknown",
        "wrong.mmh:21:",
        "`learning_rate`",
        "syntax::unclosed",
        "broken.mmh:7:",
        "help:",
    ] {
        assert!(ran.err.contains(part), "{part} in\n{}", ran.err);
    }
    assert!(ran.err.ends_with("2 errors\n"), "{}", ran.err);
    assert!(!ran.err.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn findings_as_json_have_places_and_fixes() {
    let place = Place::new();
    place.write("wrong.mmh", &unknown_setting());
    let ran = place
        .mmhc(&["check", "wrong.mmh", "--format", "json"])
        .ends(1);
    let (json, text) = (ran.json(), unknown_setting());
    let found = &json["diagnostics"][0];
    assert_eq!(
        (&found["code"], &found["severity"]),
        (&"setting::unknown".into(), &"error".into())
    );
    assert!(found["message"].is_string() && found["help"].is_string() && found["fixes"].is_array());
    let label = &found["labels"][0];
    let (start, end) = (&label["start"], &label["end"]);
    let (from, to) = (
        start["offset"].as_u64().expect("a place"),
        end["offset"].as_u64().expect("a place"),
    );
    assert!(text[from as usize..to as usize].starts_with("learning_rate"));
    assert_eq!(
        (&start["line"], &start["column"], &label["file"]),
        (&21.into(), &20.into(), &"wrong.mmh".into())
    );
    assert_eq!(
        (&json["summary"]["errors"], &json["summary"]["warnings"]),
        (&1.into(), &0.into())
    );
    let sound = place
        .mmhc(&["check", "points.mmh", "--format", "json"])
        .ends(0)
        .json();
    assert_eq!(sound["diagnostics"].as_array().map(Vec::len), Some(0));
}

#[test]
fn findings_as_sarif_name_rules_and_regions() {
    let place = Place::new();
    place.write("with space.mmh", BROKEN);
    let log = place
        .mmhc(&["check", "with space.mmh", "--format", "sarif"])
        .ends(1)
        .json();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let result = &run["results"][0];
    let index = result["ruleIndex"].as_u64().expect("a number") as usize;
    assert_eq!(
        (&rules[index]["id"], &result["level"]),
        (&result["ruleId"], &"error".into())
    );
    assert!(
        rules[index]["help"]["markdown"]
            .as_str()
            .is_some_and(|page| page.starts_with("# "))
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "with%20space.mmh");
    assert_eq!(place["region"]["startLine"], 7);
    assert!(result["message"]["text"].is_string());
}

#[test]
fn fixes_are_applied_and_what_is_left_is_told() {
    let place = Place::new();
    place.write("broken.mmh", BROKEN);
    let before = place
        .mmhc(&["check", "broken.mmh", "--format", "json"])
        .ends(1)
        .json();
    assert_eq!(
        before["diagnostics"][0]["fixes"].as_array().map(Vec::len),
        Some(1),
        "{before}"
    );
    let ran = place.mmhc(&["check", "--fix", "broken.mmh"]);
    assert!(ran.err.contains("1 fix applied"), "{}", ran.err);
    assert!(
        place.read("broken.mmh").contains("(1 + 2)"),
        "{}",
        place.read("broken.mmh")
    );
    assert!(!ran.err.contains("syntax::unclosed"), "{}", ran.err);
    let piped = place.with_stdin(&["check", "--fix", "-"], BROKEN.as_bytes());
    assert_eq!(piped.out, place.read("broken.mmh"));
    let names: Vec<_> = std::fs::read_dir(place.path(""))
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains(".new")),
        "{names:?}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let place = Place::new();
    let missing = place.mmhc(&["check", "no.mmh"]).ends(1);
    assert!(
        missing.err.contains("file::not-found") && missing.err.contains("no.mmh"),
        "{}",
        missing.err
    );
    std::fs::write(place.path("bytes.mmh"), [0xff, 0xfe, 0x00]).expect("written");
    let bytes = place.mmhc(&["check", "bytes.mmh"]).ends(1);
    assert!(bytes.err.contains("UTF-8"), "{}", bytes.err);
    place.mmhc(&["check", "."]).ends(1);
    place.write(
        "inside/a.mmh",
        "mmh 1\nseed 7\nuse \"../points.mmh\" { net }\n",
    );
    let escape = place.mmhc(&["check", "inside/a.mmh"]).ends(1);
    assert!(escape.err.contains("file::escape"), "{}", escape.err);
}

#[test]
fn formatting_happens_or_is_only_asked_for() {
    let place = Place::new();
    let messy = RECIPE
        .replace("loss     =", "loss=")
        .replace("  rows  ", "       rows  ");
    place.write("messy.mmh", &messy);
    let asked = place
        .mmhc(&["fmt", "--check", "messy.mmh", "points.mmh"])
        .ends(1);
    assert!(
        asked.err.contains("messy.mmh") && !asked.err.contains("points.mmh"),
        "{}",
        asked.err
    );
    assert_eq!(place.read("messy.mmh"), messy);
    place.mmhc(&["fmt", "messy.mmh"]).ends(0);
    assert_eq!(place.read("messy.mmh"), RECIPE);
    place.mmhc(&["fmt", "--check"]).ends(0);
    let piped = place.with_stdin(&["fmt", "-"], messy.as_bytes()).ends(0);
    assert_eq!(piped.out, RECIPE);
    place
        .with_stdin(&["fmt", "--check", "-"], messy.as_bytes())
        .ends(1);
    place.mmhc(&["fmt", "no.mmh"]).ends(1);
}

#[test]
fn codes_are_explained() {
    let place = Place::new();
    let page = place.mmhc(&["explain", "unit::missing"]).ends(0);
    assert!(
        page.out.starts_with("unit::missing\n")
            && page.out.contains("    ")
            && !page.out.contains("```")
    );
    let all = place.mmhc(&["explain"]).ends(0);
    assert!(all.out.lines().count() > 50 && all.out.contains("loss::double-softmax"));
    let slip = place.mmhc(&["explain", "unit::mising"]).ends(2);
    assert!(
        slip.out.is_empty() && slip.err.contains("`unit::missing`"),
        "{}",
        slip.err
    );
}

#[test]
fn every_stage_is_shown() {
    let place = Place::new();
    let shown = |stage: &str, part: &str| {
        let ran = place.mmhc(&["show", stage, "points.mmh"]).ends(0);
        assert!(ran.out.contains(part), "{stage}: {part} in\n{}", ran.out);
    };
    shown("tree", "file");
    shown("types", "label");
    shown("graph", "contract");
    shown("plan", "\"edition\"");
    shown("kernel", "k0 = ");
    let schedule = place
        .mmhc(&["show", "plan", "--schedule", "points.mmh"])
        .ends(0);
    assert!(schedule.out.contains("schedule arena"), "{}", schedule.out);
    for stage in ["clif", "wgsl"] {
        let ran = place.mmhc(&["show", stage, "points.mmh"]).ends(1);
        assert!(ran.out.is_empty() && ran.err.contains("capability::not-yet"));
    }
    place
        .with_stdin(&["show", "tree", "-"], BROKEN.as_bytes())
        .ends(0);
    place.write("broken.mmh", BROKEN);
    let broken = place.mmhc(&["show", "graph", "broken.mmh"]).ends(1);
    assert!(broken.out.is_empty() && broken.err.contains("syntax::unclosed"));
}

#[test]
fn a_lock_pins_what_was_there() {
    let place = Place::new();
    place.write("more.mmh", "mmh 1\nseed 7\nuse \"points.mmh\" { net }\n");
    place.mmhc(&["lock"]).ends(0);
    let lock = place.read("mmh.lock");
    let hash = blake3::hash(place.read("points.csv").as_bytes()).to_hex();
    assert!(
        lock.contains("points.csv")
            && lock.contains(hash.as_str())
            && lock.contains("\"points.mmh\""),
        "{lock}"
    );
    place.mmhc(&["check", "points.mmh"]).ends(0);
    place.write(
        "points.csv",
        &place.read("points.csv").replace("\n0,", "\n1,"),
    );
    let changed = place.mmhc(&["check", "points.mmh"]).ends(1);
    assert!(changed.err.contains("data::wrong-hash"), "{}", changed.err);
    place.mmhc(&["lock", "points.mmh"]).ends(0);
    place.mmhc(&["check", "points.mmh"]).ends(0);
    assert_ne!(place.read("mmh.lock"), lock);
    // So is a recipe that another uses.
    place.mmhc(&["check", "more.mmh"]).ends(0);
    place.write("points.mmh", &RECIPE.replace("4 epochs", "5 epochs"));
    let changed = place.mmhc(&["check", "more.mmh"]).ends(1);
    for part in [
        "file::changed",
        "`points.mmh`",
        "its blake3 was",
        "mmhc lock",
    ] {
        assert!(changed.err.contains(part), "{part}: {}", changed.err);
    }
    place.mmhc(&["lock"]).ends(0);
    place.mmhc(&["check", "more.mmh"]).ends(0);
}

#[test]
fn a_recipe_of_several_files_runs_from_anywhere() {
    let place = Place::new();
    let net = "mmh 1\n\nuse \"sizes.mmh\" { classes }\n\nblock head(x: f32[batch, feature]) -> f32[batch, class = 3] {\n  x |> linear(class = classes)\n}\n";
    place.write("parts/net.mmh", net);
    place.write("parts/sizes.mmh", "mmh 1\n\nlet classes = 3\n");
    let main = RECIPE
        .replace("seed 7\n", "use \"./parts/net.mmh\" { head }\n\nseed 7\n")
        .replace("x |> linear(class = 3)", "x |> head");
    place.write("several.mmh", &main);
    let here = place
        .mmhc(&["run", "several.mmh", "--limit", "2 steps", "--json"])
        .ends(0)
        .json();
    place.mmhc(&["lock", "several.mmh"]).ends(0);
    assert!(place.read("mmh.lock").contains("\"parts/sizes.mmh\""));
    // The run folder holds all of it, and is a recipe itself.
    assert_eq!(place.read("runs/several/recipe/parts/net.mmh"), net);
    let whole = place.path("several.mmh");
    let from = [
        "run",
        whole.to_str().expect("text"),
        "--limit",
        "2 steps",
        "--json",
        "--out",
        "elsewhere",
    ];
    let there = place.mmhc(&from).ends(0).json();
    assert_eq!(here["model_hash"], there["model_hash"]);
    place.write(
        "parts/sizes.mmh",
        "mmh 1\n\nuse \"net.mmh\" { head }\n\nlet classes = 3\n",
    );
    let circle = place.mmhc(&["check", "several.mmh"]).ends(1);
    assert!(circle.err.contains("file::c"), "{}", circle.err);
}

#[test]
fn seeds_are_fresh_and_ready_to_paste() {
    let place = Place::new();
    let [a, b] = [(), ()].map(|()| place.mmhc(&["seed"]).ends(0).out);
    assert!(a != b && a.starts_with("seed ") && a.lines().count() == 1);
    place.write("points.mmh", &RECIPE.replace("seed 7\n", &a));
    place.mmhc(&["check", "points.mmh"]).ends(0);
}

#[test]
fn devices_are_measured() {
    let place = Place::new();
    let json = place.mmhc(&["devices", "--json"]).ends(0).json();
    let cpu = &json["devices"][0];
    assert!(
        cpu["gflops"].as_f64().is_some_and(|speed| speed > 0.0),
        "{json}"
    );
    assert!(cpu["isas"].as_array().is_some_and(|isas| {
        isas.iter()
            .any(|isa| isa["isa"] == "scalar" && isa["admitted"] == true)
    }));
    assert_eq!(json["devices"][1]["device"], "interpret");
}

#[test]
fn verbs_of_later_versions_say_what_to_do_instead() {
    let place = Place::new();
    for verb in ["serve", "export", "import", "search", "worker", "federate"] {
        let ran = place.mmhc(&[verb, "a", "--steps", "1..2"]).ends(1);
        assert!(
            ran.out.is_empty()
                && ran.err.contains("capability::not-yet")
                && ran.err.contains("help:"),
            "{verb}: {}",
            ran.err
        );
    }
    let json = place.mmhc(&["serve", "--json"]).ends(1).json();
    assert_eq!(json["diagnostics"][0]["code"], "capability::not-yet");
}

#[test]
fn packs_of_v1_are_read() {
    let place = Place::new();
    place.write("no.mmh", "nothing of a pack");
    let ran = place
        .mmhc(&["legacy", "inspect", "no.mmh", "--json"])
        .ends(1);
    assert!(ran.json().is_object());
    let replay = place
        .mmhc(&[
            "legacy", "replay", "--seed", "1", "--size", "1MiB", "--json",
        ])
        .ends(0);
    assert_eq!(replay.json()["replay_seed"], 1);
}

#[test]
fn help_and_version_are_results() {
    let place = Place::new();
    let help = place.mmhc(&["--help"]).ends(0);
    assert!(help.out.contains("Exit status") && help.err.is_empty());
    assert!(place.mmhc(&["--version"]).ends(0).out.starts_with("mmhc "));
    assert!(
        place
            .mmhc(&["run", "--help"])
            .ends(0)
            .out
            .contains("--no-search")
    );
}

#[test]
fn no_text_brings_it_down() {
    let place = Place::new();
    let mut texts: Vec<Vec<u8>> = vec![
        vec![],
        vec![0; 64],
        vec![0xff; 64],
        b"mmh 1\n".to_vec(),
        "mmh 1\n\u{feff}seed \u{10ffff}".as_bytes().to_vec(),
        [b"mmh 1\nlet x = ".as_slice(), "(".repeat(20_000).as_bytes()].concat(),
        [
            b"mmh 1\nlet x = ".as_slice(),
            "-".repeat(20_000).as_bytes(),
            b"1",
        ]
        .concat(),
    ];
    // Parts of a sound recipe, cut anywhere, and with a byte of it replaced.
    for at in (0..RECIPE.len()).step_by(37) {
        texts.push(RECIPE.as_bytes()[..at].to_vec());
        let mut other = RECIPE.as_bytes().to_vec();
        other[at] = b"(){}|~=.,\"0"[at % 11];
        texts.push(other);
    }
    for text in texts {
        let ran = place.with_stdin(&["check", "-"], &text);
        assert!(
            ran.status == 0 || ran.status == 1,
            "{} for {:?}",
            ran.status,
            String::from_utf8_lossy(&text)
        );
        let json = place.with_stdin(&["check", "--format", "json", "-"], &text);
        json.json();
        assert_eq!(json.status, ran.status);
    }
}
