//! Every page of docs/errors is a test: what stands under Wrong gives the page's code and no other, what stands under Right
//! gives nothing, in JSON and SARIF, and what can be mended by `--fix` is.
//!
//! An example shows what matters. All else stands as in `examples/digits.mmh`: a declaration there gives way to one of the
//! same name, and the settings that a section does not show are those of its namesake there. The words behind ` ```mmh ` say
//! where it is otherwise:
//!
//! | words | the block |
//! |---|---|
//! | `without=WORD` | stands in a recipe that has no such declaration, such as `seed` |
//! | `bare` | its sections have the settings shown and no others |
//! | `whole` | is the whole text of the recipe |
//! | `file=PATH` | is a file beside the recipe, `recipe.mmh` |
//! | `told` | is about a moment that no text alone brings about; [`ELSEWHERE`] names the test of its code |

#![allow(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

#[path = "../common/mod.rs"]
mod common;
mod example;
mod fixes;
mod moments;
mod sarif;

use common::Place;
use example::{blocks, lay_out, place};
use mmh_diag::Code;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The codes that come of running, of folders and of old packs, and the file whose tests bring them about.
const ELSEWHERE: &[(&str, &str)] = &[
    ("file::exists", "compiler/mmhc/tests/begin.rs"),
    ("file::changed", "compiler/mmhc/tests/cli.rs"),
    ("data::cache", "compiler/mmhc/tests/streaming.rs"),
    ("weights::format", "compiler/mmhc/tests/weights.rs"),
    ("weights::missing", "compiler/mmhc/tests/weights.rs"),
    ("weights::shape", "compiler/mmhc/tests/weights.rs"),
    ("run::log", "tests/run/logs.rs"),
    ("run::edition", "compiler/mmhc/tests/errors/moments.rs"),
    ("store::busy", "runtime/store/tests/store.rs"),
    ("store::damaged", "runtime/store/tests/store.rs"),
    ("store::file", "runtime/store/tests/faults.rs"),
    ("store::missing", "compiler/mmhc/tests/errors/moments.rs"),
    ("store::name", "runtime/store/tests/store.rs"),
    ("store::remote", "runtime/store/tests/s3.rs"),
    ("store::unknown", "runtime/store/tests/store.rs"),
    ("store::untrusted", "compiler/mmhc/tests/store.rs"),
    ("run::not-finite", "tests/run/faults.rs"),
    ("run::disk-full", "tests/run/faults.rs"),
    ("run::resume-mismatch", "compiler/mmhc/tests/run.rs"),
    ("run::device", "compiler/mmhc/tests/errors/moments.rs"),
    ("run::plan", "runtime/core/tests/data.rs"),
    ("run::index-range", "runtime/interpret/tests/ops.rs"),
    ("run::file", "compiler/mmhc/tests/errors/moments.rs"),
    ("run::damaged", "runtime/core/tests/run.rs"),
    ("run::busy", "runtime/core/tests/run.rs"),
    ("run::interrupted", "runtime/core/tests/run.rs"),
    (
        "run::proofs-differ",
        "compiler/mmhc/tests/errors/moments.rs",
    ),
    ("run::request", "runtime/core/tests/predict.rs"),
    ("run::not-repeated", "runtime/core/src/trail.rs"),
    ("audit::changed", "compiler/mmhc/tests/audit.rs"),
    (
        "audit::not-reproduced",
        "compiler/mmhc/tests/errors/moments.rs",
    ),
    ("audit::signature", "tests/run/signatures.rs"),
    ("audit::key", "tests/run/signatures.rs"),
    ("audit::data-missing", "compiler/mmhc/tests/audit.rs"),
    ("legacy::archive", "runtime/legacy/tests/hostile.rs"),
    ("legacy::bad-pin", "runtime/legacy/tests/samples.rs"),
    ("legacy::content-id", "runtime/legacy/tests/hostile.rs"),
    ("legacy::document", "runtime/legacy/tests/samples.rs"),
    ("legacy::duplicate-name", "runtime/legacy/tests/hostile.rs"),
    ("legacy::frame", "runtime/legacy/tests/hostile.rs"),
    ("legacy::io", "runtime/legacy/tests/hostile.rs"),
    ("legacy::look-alike", "runtime/legacy/tests/hostile.rs"),
    ("legacy::malformed", "runtime/legacy/tests/hostile.rs"),
    ("legacy::not-a-pack", "runtime/legacy/tests/hostile.rs"),
    ("legacy::not-a-recipe", "compiler/mmhc/tests/legacy.rs"),
    ("legacy::output-exists", "runtime/legacy/tests/hostile.rs"),
    (
        "legacy::output-too-large",
        "runtime/legacy/tests/hostile.rs",
    ),
    ("legacy::pin-mismatch", "runtime/legacy/tests/samples.rs"),
    ("legacy::replay-mismatch", "runtime/legacy/tests/replay.rs"),
    ("legacy::size-mismatch", "runtime/legacy/tests/hostile.rs"),
    (
        "legacy::too-many-records",
        "runtime/legacy/tests/hostile.rs",
    ),
    ("legacy::total-mismatch", "runtime/legacy/tests/hostile.rs"),
    ("legacy::trailing-bytes", "runtime/legacy/tests/hostile.rs"),
    ("legacy::truncated", "runtime/legacy/tests/samples.rs"),
    ("legacy::unsafe-name", "runtime/legacy/tests/hostile.rs"),
    (
        "legacy::window-too-large",
        "runtime/legacy/tests/hostile.rs",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The codes found, each with its severity.
fn found(place: &Place) -> Vec<(String, String)> {
    let found = place
        .mmhc(&["check", "recipe.mmh", "--format", "json"])
        .json();
    let found = found["diagnostics"].as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    found
        .iter()
        .map(|one| (text(&one["code"]), text(&one["severity"])))
        .collect()
}

fn only(found: &[(String, String)]) -> Vec<&str> {
    found.iter().map(|one| one.0.as_str()).collect()
}

#[test]
fn every_page_gives_its_code_and_its_cure() {
    let mut wrong = String::new();
    let mut shown = 0;
    for code in Code::ALL {
        let blocks = blocks(code.page());
        for right in [false, true] {
            let place = place();
            if !lay_out(&place, &blocks, right) {
                let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == code.name());
                if !elsewhere {
                    wrong += &format!("{code}: no example, and no test elsewhere\n");
                }
                continue;
            }
            let found = found(&place);
            let wanted = if right { vec![] } else { vec![code.name()] };
            let mut codes = only(&found);
            codes.dedup();
            if codes != wanted {
                let why = place.mmhc(&["check", "recipe.mmh"]).err;
                wrong += &format!(
                    "{code}, {}: {found:?}\n{why}\n",
                    if right { "Right" } else { "Wrong" }
                );
            }
            shown += usize::from(!right);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(shown >= 60, "{shown} codes are shown by their pages");
}

#[test]
fn every_other_code_has_a_test() {
    for (name, file) in ELSEWHERE {
        let code = Code::find(name).unwrap_or_else(|| panic!("there is no {name}"));
        let told = blocks(code.page())
            .iter()
            .all(|block| block.words == ["told"]);
        assert!(told, "{name}: its examples are to be `told`");
        let text = std::fs::read_to_string(root().join(file)).expect(file);
        // By its name, or as the variant it has in the crate that brings it about: `RunFailure::Interrupted`.
        let variant = format!("{code:?}");
        let family = code.family();
        let own = variant
            .get(family.len()..)
            .expect("a variant begins with its family");
        assert!(
            text.contains(name) || text.contains(&format!("::{own}")),
            "{file} says nothing of {name}"
        );
        assert!(text.contains("#[test]"), "{file}");
    }
}

#[test]
fn examples_are_laid_out_once_and_mean_the_same() {
    for code in Code::ALL {
        for block in blocks(code.page()) {
            let tree = mmh_syntax::parse(&block.text).tree;
            let once = mmh_syntax::format(&tree);
            let again = mmh_syntax::parse(&once).tree;
            assert_eq!(mmh_syntax::format(&again), once, "{code}");
            assert_eq!(
                mmh_syntax::skeleton(&again),
                mmh_syntax::skeleton(&tree),
                "{code}"
            );
        }
    }
}
