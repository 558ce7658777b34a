//! A folder that was signed, checked by `mmhc` and by OpenSSF's own tool.

use crate::support::{Place, examples, skip};
use std::process::Command;

/// A Python that has these modules: `MMH_PYTHON`, or the system's. None, with words, where there is none.
fn python(test: &str, modules: &str) -> Option<String> {
    let python = std::env::var("MMH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let ran = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .output();
    if ran.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let required = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|all| all == "1");
    assert!(!required, "MMH_PYTHON names no Python with {modules}");
    skip(
        test,
        &format!("no Python with {modules}; MMH_PYTHON may name one"),
    );
    None
}

fn keyed(place: &Place, arguments: &[&str]) -> (bool, String) {
    let mut command = place.command(arguments);
    command.env("MMH_KEYS", place.path("keys"));
    command.env("MMH_PASSPHRASE", "correct horse");
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let output = command.output().expect("mmhc runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// A short run, signed by `alice`.
fn signed() -> Place {
    let place = Place::new();
    let recipe = examples().join("digits.mmh");
    let recipe = recipe.to_str().expect("a path in UTF-8");
    place
        .mmhc(&["run", recipe, "--limit", "2 steps", "--out", "out"])
        .ends(0);
    for verb in [
        &["keys", "new", "alice"][..],
        &["sign", "out", "--key", "alice"],
    ] {
        let (done, said) = keyed(&place, verb);
        assert!(done, "{said}");
    }
    place
}

#[test]
fn a_signed_folder_is_authentic_until_it_is_touched() {
    let place = signed();
    let verify = |more: &[&str]| keyed(&place, &[&["verify", "out"], more].concat());
    let (done, said) = verify(&["--key", "keys/alice.pub"]);
    assert!(
        done && said.contains("out: authentic") && said.contains("(ed25519 and ml-dsa-65)"),
        "{said}"
    );
    let (done, said) = verify(&[]);
    assert!(
        done && said.contains("out: consistent") && said.contains("signed, but not checked"),
        "{said}"
    );
    let (_, listed) = keyed(&place, &["keys", "list"]);
    assert!(listed.contains("  alice"), "{listed}");

    keyed(&place, &["keys", "new", "bob"]);
    let (done, said) = verify(&["--key", "bob"]);
    assert!(
        !done && said.contains("audit::signature") && said.contains("it is by key"),
        "{said}"
    );
    // The clock's facts are outside the journal's hashes, and inside what is signed.
    let journal = String::from_utf8(place.read("out/journal")).expect("text");
    place.write(
        "out/journal",
        journal.replacen("\"time\":", "\"time\":1", 1),
    );
    let (done, _) = verify(&[]);
    assert!(done);
    let (done, said) = verify(&["--key", "alice"]);
    assert!(
        !done && said.contains("journal") && said.contains("not the file that was signed"),
        "{said}"
    );
    let wrong = keyed(&place, &["sign", "out", "--key", "carol"]);
    assert!(!wrong.0 && wrong.1.contains("audit::key"), "{}", wrong.1);
}

#[test]
fn openssf_accepts_the_signature_and_refuses_a_change() {
    let test = "openssf_accepts_the_signature_and_refuses_a_change";
    let Some(python) = python(test, "model_signing, OpenSSL") else {
        return;
    };
    let place = signed();
    let verify = || {
        let path = |name: &str| place.path(name);
        let output = Command::new(&python)
            .args(["-m", "model_signing", "verify", "key"])
            .arg(path("out"))
            .arg("--signature")
            .arg(path("out/signatures/openssf.sig"))
            .arg("--public_key")
            .arg(path("keys/alice.pem"))
            .output()
            .expect("Python runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (accepted, said) = verify();
    assert!(accepted, "{said}");
    let mut model = place.read("out/model.safetensors");
    *model.last_mut().expect("bytes") ^= 1;
    place.write("out/model.safetensors", model);
    let (accepted, said) = verify();
    assert!(!accepted, "{said}");
}

/// The documents of provenance, read by the libraries of those who define them.
#[test]
fn provenance_and_materials_are_what_their_schemas_want() {
    let test = "provenance_and_materials_are_what_their_schemas_want";
    let modules = "cyclonedx, jsonschema, in_toto_attestation, google.protobuf, cryptography";
    let Some(python) = python(test, modules) else {
        return;
    };
    let place = signed();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let check = |folder: &str| {
        let output = Command::new(&python)
            .arg(root.join("tests/run/provenance.py"))
            .arg(place.path(folder))
            .arg(place.path("keys/alice.pem"))
            .output()
            .expect("Python runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (accepted, said) = check("out");
    assert!(accepted && said.contains("all is well"), "{said}");
    // Of a model that begins with the weights of another, the other one is an ancestor and a dependency.
    let recipe = std::fs::read_to_string(examples().join("digits.mmh")).expect("a recipe");
    let data = std::fs::read(examples().join("data/digits.csv")).expect("the data");
    place.write("data/digits.csv", data);
    let start = "train fit {\n  start = weights(\"out/model.safetensors\")";
    place.write("tuned.mmh", recipe.replacen("train fit {", start, 1));
    let words = ["run", "tuned.mmh", "--limit", "2 steps", "--out", "tuned"];
    place.mmhc(&words).ends(0);
    let (done, said) = keyed(&place, &["sign", "tuned", "--key", "alice"]);
    assert!(done, "{said}");
    let (accepted, said) = check("tuned");
    assert!(accepted && said.contains("all is well"), "{said}");
    let text = String::from_utf8(place.read("tuned/signatures/bom.json")).expect("text");
    assert!(text.contains("\"ancestors\""), "{text}");
    // What is shown is what is signed, and the same every time.
    let (_, first) = keyed(&place, &["show", "bom", "out"]);
    assert_eq!(first.into_bytes(), place.read("out/signatures/bom.json"));
    let (_, first) = keyed(&place, &["show", "provenance", "out"]);
    assert!(first.contains("https://slsa.dev/provenance/v1"), "{first}");
    let before = place.read("out/signatures/provenance.json");
    let (done, said) = keyed(&place, &["sign", "out", "--key", "alice"]);
    assert!(done, "{said}");
    assert_eq!(place.read("out/signatures/provenance.json"), before);
    // The same readers refuse documents that were changed.
    let text = String::from_utf8(place.read("out/signatures/bom.json")).expect("text");
    let other = text.replacen("machine-learning-model", "machine-learning-modul", 1);
    place.write("out/signatures/bom.json", other);
    assert!(!check("out").0);
    place.write("out/signatures/bom.json", text);
    let text = String::from_utf8(before).expect("text");
    place.write(
        "out/signatures/provenance.json",
        text.replacen("\"payload\": \"e", "\"payload\": \"f", 1),
    );
    assert!(!check("out").0);
}
