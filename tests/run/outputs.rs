//! What a run folder holds, read by others.

use crate::support::{Place, examples, skip};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Prints `{"metadata": {…}, "tensors": {name: [type, shape, little-endian elements as hex digits]}}`.
const READ: &str = r#"
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="numpy") as file:
    tensors = {name: file.get_tensor(name) for name in file.keys()}
    print(json.dumps({
        "metadata": file.metadata(),
        "tensors": {n: [str(t.dtype), list(t.shape), t.astype("<f4").tobytes().hex()] for n, t in tensors.items()},
    }))
"#;

/// A Python that has these modules: `MMH_PYTHON`, or the system's. Without one the test is skipped, or fails where
/// `MMH_REQUIRE_ALL` is 1.
pub(crate) fn python(test: &str, modules: &str) -> Option<String> {
    let asked = std::env::var("MMH_PYTHON").ok();
    let python = asked.unwrap_or_else(|| "python3".to_owned());
    let ran = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .output();
    if ran.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let required = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|all| all == "1");
    assert!(!required, "MMH_PYTHON names no Python with {modules}");
    let reason = format!("no Python with {modules}; MMH_PYTHON may name one");
    skip(test, &reason);
    None
}

#[test]
fn the_model_opens_in_python() {
    let Some(python) = python("the_model_opens_in_python", "safetensors, numpy") else {
        return;
    };
    let place = Place::new();
    let recipe = examples().join("digits.mmh");
    let recipe = recipe.to_str().expect("a path in UTF-8");
    place
        .mmhc(&["run", recipe, "--limit", "1 step", "--out", "out"])
        .ends(0);
    let output = Command::new(python)
        .args(["-c", READ])
        .arg(place.path("out/model.safetensors"))
        .output();
    let output = output.expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let read: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));

    let metrics: Value = serde_json::from_slice(&place.read("out/metrics.json")).expect("JSON");
    assert_eq!(
        hash(read["tensors"].as_object().expect("tensors")),
        metrics["model_hash"]
    );
    assert_eq!(read["metadata"]["model_hash"], metrics["model_hash"]);
}

/// The model's hash, by the definition in `mmh_runtime::model`, of the tensors as Python read them.
fn hash(tensors: &serde_json::Map<String, Value>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("mmh model 1");
    let number = |hasher: &mut blake3::Hasher, it: usize| {
        hasher.update(&(it as u64).to_le_bytes());
    };
    let in_order: BTreeMap<&String, &Value> = tensors.iter().collect();
    assert!(in_order.len() > 50, "{} tensors", in_order.len());
    for (path, tensor) in in_order {
        assert_eq!(tensor[0], "float32", "{path}");
        for text in [path.as_str(), "f32"] {
            number(&mut hasher, text.len());
            hasher.update(text.as_bytes());
        }
        let shape: Vec<usize> = serde_json::from_value(tensor[1].clone()).expect("a shape");
        number(&mut hasher, shape.len());
        shape.iter().for_each(|size| number(&mut hasher, *size));
        let digits = tensor[2].as_str().expect("hex digits").as_bytes();
        assert_eq!(digits.len(), 8 * shape.iter().product::<usize>(), "{path}");
        let byte = |pair: &[u8]| {
            u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")
        };
        hasher.update(&digits.chunks(2).map(byte).collect::<Vec<u8>>());
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

#[test]
fn the_folder_holds_what_it_says() {
    let place = Place::new();
    let recipe = examples().join("tabular.mmh");
    let json = place
        .mmhc(&[
            "run",
            recipe.to_str().expect("UTF-8"),
            "--out",
            "out",
            "--json",
        ])
        .ends(0)
        .json();
    for name in [
        "model.safetensors",
        "statistics.json",
        "recipe.mmh",
        "mmh.lock",
        "plan",
        "journal",
        "report.html",
    ] {
        assert!(!place.read(&format!("out/{name}")).is_empty(), "{name}");
    }
    let metrics: Value = serde_json::from_slice(&place.read("out/metrics.json")).expect("JSON");
    assert_eq!(metrics["model_hash"], json["model_hash"]);
    assert_eq!(metrics["metrics"], json["metrics"]);
    assert_eq!(
        place.read("out/recipe.mmh"),
        std::fs::read(recipe).expect("the recipe")
    );
    mmh_runtime::audit::verify(&place.path("out")).expect("the folder is whole");
}
