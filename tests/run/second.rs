//! A second implementation of the contract, in Python, trains the models of two recipes to the same hashes.

use crate::outputs::python;
use crate::support::Place;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/second")
}

/// What a script of the second implementation prints.
fn say(python: &str, script: &str, argument: &Path) -> String {
    let output = Command::new(python)
        .args(["-B", script])
        .arg(argument)
        .current_dir(folder())
        .output()
        .expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// The vectors of every primitive and gradient that the second implementation has.
#[test]
fn a_second_implementation_agrees_with_the_vectors() {
    let test = "a_second_implementation_agrees_with_the_vectors";
    let Some(python) = python(test, "numpy, blake3") else {
        return;
    };
    let place = Place::new();
    place.mmhc(&["conform", "--write", "vectors"]).ends(0);
    let said = say(&python, "vectors.py", &place.path("vectors"));
    let count: Option<u32> = said.split(' ').next().and_then(|it| it.parse().ok());
    assert!(count.is_some_and(|count| count > 100), "{said}");
}

#[test]
fn a_second_implementation_has_the_same_bits() {
    let Some(python) = python("a_second_implementation_has_the_same_bits", "numpy, blake3") else {
        return;
    };
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../runtime/numerics/tests/golden.txt")
        .canonicalize()
        .expect("the golden vectors");
    let checked = say(&python, "check.py", &vectors);
    assert!(checked.contains("golden vectors agree"), "{checked}");
    let golden = std::fs::read_to_string(folder().join("../golden/hashes.txt")).expect("hashes");
    for name in ["mlp", "conv"] {
        let found = say(&python, "train.py", Path::new(name));
        let recipe = folder().join(name).with_extension("mmh");
        let recipe = recipe.to_str().expect("a path in UTF-8");
        let ours = Place::new()
            .mmhc(&["run", recipe, "--out", "out"])
            .ends(0)
            .out;
        assert_eq!(found, ours, "{name}");
        let line = format!("second-{name} {}", found.trim());
        assert!(golden.lines().any(|known| known == line), "{line}");
    }
}
