//! Packs of MMH-RS V1: every sample through every verb, in the place of a recipe, and as data of one.

mod common;

use common::{Place, Ran};
use serde_json::Value;
use std::path::{Path, PathBuf};

const RELEASES: [&str; 3] = ["v1.0.2", "v1.1.0", "v1.2.0"];
const PACKS: [&str; 9] = [
    "archive.tar.gz.mmh",
    "bench.seed",
    "dir.mmh",
    "empty.dat.mmh",
    "hello.txt.mmh",
    "many_tiny.mmh",
    "noext.mmh",
    "sample.täxt.mmh",
    "weights.bin.mmh",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sample(release: &str, name: &str) -> Vec<u8> {
    let path = root().join("runtime/legacy/tests/samples");
    std::fs::read(path.join(release).join(name)).expect("a sample")
}

/// A folder with a sample in it, as `old.mmh`.
fn with(release: &str, name: &str) -> Place {
    let place = Place::new();
    std::fs::write(place.path("old.mmh"), sample(release, name)).expect("written");
    place
}

fn is_directory(name: &str) -> bool {
    name == "dir.mmh" || name == "many_tiny.mmh"
}

/// What went wrong, as JSON.
fn error(ran: &Ran) -> (String, String) {
    let error = &ran.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

#[test]
fn every_sample_goes_through_every_verb() {
    for release in RELEASES {
        for name in PACKS {
            let place = with(release, name);
            let json = |verb: &str, more: &[&str]| {
                let arguments = [&["legacy", verb, "old.mmh", "--json"], more].concat();
                place.mmhc(&arguments).ends(0).json()
            };
            let (kind, strength) = match (release, is_directory(name)) {
                (_, true) => ("F2", "sizes-and-totals-only"),
                ("v1.0.2", false) => ("F0", "structure-only"),
                (_, false) => ("F1", "content-id-64-bit"),
            };
            let inspected = json("inspect", &[]);
            assert_eq!(inspected["kind"], kind, "{release}/{name}");
            let verified = json("verify", &[]);
            assert_eq!(verified["proof"]["strength"], strength, "{release}/{name}");
            let unpacked = json("unpack", &["--to", "out"]);
            let files = unpacked["files"].as_array().expect("files");
            let bytes: u64 = files.iter().filter_map(|file| file["bytes"].as_u64()).sum();
            if name != "bench.seed" {
                assert_eq!(verified["payload_bytes"], bytes, "{release}/{name}");
            }
            for file in files {
                let path = place.path(file["path"].as_str().expect("a path"));
                let size = std::fs::metadata(path).expect("an unpacked file").len();
                assert_eq!(file["bytes"], size, "{release}/{name}");
            }
            let imported = json("import", &[]);
            assert_eq!(imported["path"], "old.mmh.manifest.json");
            let pack = blake3::hash(&sample(release, name)).to_hex();
            let hash = &imported["manifest"]["container"]["blake3"];
            assert_eq!(*hash, format!("blake3:{pack}"));
        }
    }
}

#[test]
fn every_verb_says_in_words_what_it_did() {
    let place = with("v1.2.0", "dir.mmh");
    for (verb, said) in [
        ("inspect", "names and boundaries were never stored"),
        ("verify", "proof: sizes and totals only"),
        ("unpack", "tiny_files.blob"),
        ("import", "source = legacy(\"old.mmh\", blake3 = \""),
    ] {
        let ran = place.mmhc(&["legacy", verb, "old.mmh"]).ends(0);
        assert!(ran.out.contains(said), "{verb}:\n{}", ran.out);
        assert!(ran.err.is_empty(), "{verb}:\n{}", ran.err);
    }
    let again = place.mmhc(&["legacy", "unpack", "old.mmh"]).ends(1);
    assert!(again.err.contains("legacy::output-exists"), "{}", again.err);
}

#[test]
fn a_changed_pack_with_an_id_fails_and_leaves_nothing() {
    for release in ["v1.1.0", "v1.2.0"] {
        let place = with(release, "weights.bin.mmh");
        let mut bytes = sample(release, "weights.bin.mmh");
        // A digit of the content id.
        let digit = &mut bytes[14 + 24 + 3];
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        std::fs::write(place.path("old.mmh"), bytes).expect("written");
        for verb in ["verify", "unpack", "import"] {
            let ran = place.mmhc(&["legacy", verb, "old.mmh", "--json"]).ends(1);
            assert_eq!(error(&ran).0, "legacy::content-id", "{verb}");
        }
        assert!(!place.path("old").exists() && !place.path("old.bin").exists());
    }
}

#[test]
fn what_only_looks_like_a_pack_is_named() {
    let place = Place::new();
    for (text, name) in [
        ("MMH-RS V2.0.0\n", "V2 and V3 published no code"),
        ("HPC1....", "Exo-Suit"),
        ("{\"agent\": 1}", "JSON"),
        ("mmh 1\nseed 7\n", "recipe"),
    ] {
        place.write("old.mmh", text);
        let ran = place
            .mmhc(&["legacy", "verify", "old.mmh", "--json"])
            .ends(1);
        let (code, message) = error(&ran);
        assert_eq!(code, "legacy::look-alike", "{text}");
        assert!(message.contains(name), "{message}");
    }
    place.mmhc(&["legacy", "verify", "none.mmh"]).ends(1);
    place.mmhc(&["legacy", "verify"]).ends(2);
    place.mmhc(&["legacy", "replay"]).ends(2);
}

#[test]
fn the_benchmark_is_replayed() {
    let place = Place::new();
    let replay = [
        "legacy", "replay", "--seed", "12345", "--json", "--rows", "r.csv",
    ];
    let json = place.mmhc(&replay).ends(0).json();
    assert_eq!(
        (&json["matches"], &json["rows"]["count"]),
        (&true.into(), &12_847.into())
    );
    // The pack of the example holds this table.
    let packed = root().join("examples/data/replay.csv.zst");
    std::fs::copy(packed, place.path("replay.csv.zst")).expect("a copy");
    place
        .mmhc(&["legacy", "unpack", "replay.csv.zst", "--to", "out"])
        .ends(0);
    assert_eq!(place.read("out/replay.csv"), place.read("r.csv"));

    let vectors = root().join("runtime/legacy/tests/samples/replay_vectors.json");
    let vectors = std::fs::read_to_string(vectors).expect("the recorded reports");
    let vectors: Value = serde_json::from_str(&vectors).expect("JSON");
    let mut report = vectors["vectors"][0].clone();
    report["input_hash"] = report["input_hash_sha256"].clone();
    place.write("report.json", &report.to_string());
    place
        .mmhc(&["legacy", "replay", "--report", "report.json"])
        .ends(0);
    report["input_hash"] = "0".repeat(64).into();
    place.write("report.json", &report.to_string());
    let ran = place
        .mmhc(&["legacy", "replay", "--report", "report.json", "--json"])
        .ends(1);
    assert_eq!(error(&ran).0, "legacy::replay-mismatch");
}

#[test]
fn a_pack_is_no_recipe() {
    for release in RELEASES {
        for name in PACKS {
            let place = with(release, name);
            for verb in ["run", "check"] {
                let ran = place.mmhc(&[verb, "old.mmh"]).ends(1);
                for part in ["legacy::not-a-recipe", "old.mmh", "mmhc legacy inspect"] {
                    assert!(ran.err.contains(part), "{part} in\n{}", ran.err);
                }
                let stdin = place
                    .with_stdin(&[verb, "-"], &sample(release, name))
                    .ends(1);
                assert!(stdin.err.contains("legacy::not-a-recipe"), "{}", stdin.err);
            }
        }
    }
    let place = with("v1.1.0", "hello.txt.mmh");
    for format in ["json", "sarif"] {
        let ran = place
            .mmhc(&["check", "old.mmh", "--format", format])
            .ends(1);
        ran.json();
        assert!(ran.out.contains("legacy::not-a-recipe"), "{}", ran.out);
    }
    place.write("old.mmh", "{\"agent\": 1}");
    let ran = place.mmhc(&["check", "old.mmh"]).ends(1);
    assert!(
        ran.err.contains("legacy::not-a-recipe") && ran.err.contains("JSON"),
        "{}",
        ran.err
    );
}

/// Learns which file of the packed folder a row of bytes is from.
fn recipe(source: &str) -> String {
    format!(
        "mmh 1\n\nseed 3\n\ndata old {{\n  source = {source}\n  x: f32[byte = 128] = source.bytes / 255\n  \
         file: class[source.file.classes] = source.file\n  split = random(train = 80%, test = 20%)\n}}\n\n\
         model net(x: f32[batch, byte = 128]) -> f32[batch, class = old.file.classes] {{\n  \
         x |> linear(hidden = 32) |> relu |> linear(class = old.file.classes)\n}}\n\n\
         train fit {{\n  rows     = old.train |> shuffle |> batch(64)\n  predict  = net(rows.x)\n  \
         loss     = cross_entropy(predict, rows.file)\n  optimize = adamw(lr = 1e-2)\n  length   = 2 epochs\n}}\n\n\
         evaluate final {{\n  model   = fit.last\n  rows    = old.test\n  metrics = [accuracy]\n}}\n"
    )
}

#[test]
fn a_recipe_takes_a_pack_as_data() {
    let place = with("v1.0.2", "dir.mmh");
    place.mmhc(&["legacy", "import", "old.mmh"]).ends(0);
    let pin = blake3::hash(&sample("v1.0.2", "dir.mmh")).to_hex();
    let mut hashes = Vec::new();
    for (name, source) in [
        (
            "pinned",
            format!("legacy(\"old.mmh\", blake3 = \"{pin}\", window = 128)"),
        ),
        (
            "manifest",
            format!("legacy(\"old.mmh.manifest.json\", blake3 = \"{pin}\", window = 128)"),
        ),
        (
            "open",
            "legacy(\"old.mmh\", as = bytes, window = 128)".to_owned(),
        ),
    ] {
        let file = format!("{name}.mmh");
        place.write(&file, &recipe(&source));
        let json = place
            .mmhc(&["run", &file, "--json", "--out", name])
            .ends(0)
            .json();
        let accuracy = json["metrics"]["final"]["test"]["accuracy"].as_f64();
        assert!(accuracy.is_some_and(|accuracy| accuracy > 0.85), "{json:#}");
        hashes.push((json["data_hash"].clone(), json["model_hash"].clone()));
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");

    // A plain file's bytes, as the pack's were taken.
    place
        .mmhc(&["legacy", "unpack", "old.mmh", "--to", "out"])
        .ends(0);
    let json = place
        .mmhc(&["predict", "pinned", "out/b_medium.txt", "--json"])
        .ends(0)
        .json();
    assert!(json.to_string().contains("b_medium.txt"), "{json:#}");

    place.mmhc(&["lock", "open.mmh"]).ends(0);
    assert!(place.read("mmh.lock").contains(pin.as_str()));
    std::fs::write(place.path("old.mmh"), sample("v1.1.0", "dir.mmh")).expect("written");
    for name in ["pinned.mmh", "manifest.mmh", "open.mmh"] {
        let ran = place.mmhc(&["check", name]).ends(1);
        assert!(
            ran.err.contains("legacy::pin-mismatch"),
            "{name}:\n{}",
            ran.err
        );
        assert!(ran.err.contains("mmhc lock"), "{name}:\n{}", ran.err);
    }
}

#[test]
fn a_source_that_is_no_pack_says_so() {
    let place = with("v1.2.0", "many_tiny.mmh");
    for (source, code, said) in [
        ("legacy(\"points.csv\")", "legacy::not-a-pack", "points.csv"),
        (
            "legacy(\"odl.mmh\")",
            "data::missing-file",
            "did you mean `old.mmh`?",
        ),
        (
            "legacy(\"old.mmh\", as = csv)",
            "data::missing-file",
            "2 files",
        ),
        (
            "legacy(\"old.mmh\", file = \"z.csv\")",
            "data::missing-file",
            "z_small.csv",
        ),
        (
            "legacy(\"old.mmh\", window = 20_000)",
            "data::truncated",
            "12585",
        ),
        (
            "legacy(\"old.mmh\", as = cvs)",
            "name::unknown",
            "did you mean `csv`?",
        ),
    ] {
        place.write("r.mmh", &recipe(source));
        let ran = place.mmhc(&["check", "r.mmh"]).ends(1);
        assert!(
            ran.err.contains(code) && ran.err.contains(said),
            "{source}:\n{}",
            ran.err
        );
    }
}

#[test]
fn the_example_tells_kinds_of_files_apart() {
    let place = Place::new();
    let recipe = root().join("examples/legacy.mmh");
    let recipe = recipe.to_str().expect("a path");
    let json = place
        .mmhc(&["run", recipe, "--json", "--out", "out"])
        .ends(0)
        .json();
    let accuracy = json["metrics"]["final"]["test"]["accuracy"].as_f64();
    assert!(
        accuracy.is_some_and(|accuracy| accuracy >= 0.99),
        "{json:#}"
    );
}
