//! What `check --format sarif` writes is SARIF 2.1.0, as the schema of the standard says it: for every code that a recipe can
//! bring about, and for every code as a rule.

use crate::common::{Place, RECIPE};
use crate::example::{blocks, lay_out, place};
use mmh_diag::Code;
use serde_json::{Value, json};
use std::process::Command;

/// Says what in any of some logs does not fit the schema.
const VALIDATE: &str = "import json, sys, jsonschema
schema, logs = (json.load(open(path)) for path in sys.argv[1:])
check = jsonschema.Draft7Validator(schema)
check.check_schema(schema)
sys.exit('\\n'.join(f'{n}, {e.json_path}: {e.message[:300]}' for n, log in enumerate(logs) for e in check.iter_errors(log)) or 0)";

fn python() -> Option<String> {
    let python = std::env::var("MMH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let ran = Command::new(&python)
        .args(["-c", "import jsonschema"])
        .output();
    if ran.is_ok_and(|ran| ran.status.success()) {
        return Some(python);
    }
    let required = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|all| all == "1");
    assert!(!required, "MMH_PYTHON names no Python with jsonschema");
    eprintln!("skipped: no Python with jsonschema; MMH_PYTHON may name one");
    None
}

fn log(place: &Place, recipes: &[&str]) -> Value {
    let arguments = [&["check", "--format", "sarif"], recipes].concat();
    place.mmhc(&arguments).json()
}

/// A log for each page, and one of several recipes with warnings and without findings.
fn logs() -> Vec<Value> {
    let mut logs = Vec::new();
    for code in Code::ALL {
        let place = place();
        if lay_out(&place, &blocks(code.page()), false) {
            logs.push(log(&place, &["recipe.mmh"]));
        }
    }
    let place = Place::new();
    let short = "  schedule = [cosine(2 epochs)]\n  length   = 4 epochs";
    let warned = RECIPE.replace("  length   = 4 epochs", short);
    place.write("warned.mmh", &warned);
    place.write("ä b/broken.mmh", "mmh 1\nlet 😀 = (1\n");
    logs.push(log(
        &place,
        &[
            "warned.mmh",
            "ä b/broken.mmh",
            "points.mmh",
            "not-there.mmh",
        ],
    ));
    logs
}

#[test]
fn logs_fit_the_schema_of_the_standard() {
    let Some(python) = python() else { return };
    let logs = logs();
    let results = || {
        let runs = logs.iter().map(|log| &log["runs"][0]["results"]);
        runs.flat_map(|results| results.as_array().expect("results"))
    };
    let with = |name: &str| results().filter(|result| result[name].is_array()).count();
    assert!(with("fixes") > 5 && with("relatedLocations") > 10);
    assert!(results().any(|result| result["level"] == "warning"));
    assert!(results().all(|result| result["ruleIndex"].is_u64()));
    assert_eq!(
        logs[0]["runs"][0]["tool"]["driver"]["rules"]
            .as_array()
            .map(Vec::len),
        Some(Code::ALL.len())
    );
    let place = Place::new();
    place.write("logs.json", &json!(logs).to_string());
    let schema = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/errors/schema/sarif-2.1.0.json"
    );
    let said = Command::new(python)
        .args(["-c", VALIDATE, schema])
        .arg(place.path("logs.json"))
        .output()
        .expect("Python starts");
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{errors}");
}
