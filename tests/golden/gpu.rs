//! The golden hashes from a graphics processor, or from a processor that plays one; and from a run that lost it half-way.

use crate::support::{self, Place, examples, skip};
use crate::{CACHE, collect_mnist, golden, tiny};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// What `mmhc devices` says of the graphics processors, if there is one.
static FOUND: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let listed = mmhc(&Place::new(), &["devices", "--json"]);
    let all = listed["devices"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|it| it["device"] == "gpu").collect()
});

fn mmhc(place: &Place, words: &[&str]) -> Value {
    said(place, words).0
}

/// The result, and what was said beside it.
fn said(place: &Place, words: &[&str]) -> (Value, String) {
    let mut command = place.command(words);
    command.env("XDG_CACHE_HOME", CACHE.path());
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let output = command.output().expect("mmhc starts");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "mmhc {words:?}\n{err}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), err)
}

/// Whether there is a graphics processor; where there must be one, there is.
fn is_there(test: &str) -> bool {
    if FOUND.is_empty() {
        let demanded = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|v| v == "1");
        assert!(!demanded, "no graphics adapter");
        skip(test, "no graphics adapter");
    }
    !FOUND.is_empty()
}

/// An example, shortened as in the other tests of golden hashes.
fn same(name: &str, recipe: &Path, limit: &str, set: &[&str], more: &[&str]) -> (Value, String) {
    let place = Place::new();
    let mut words = vec![
        "run",
        recipe.to_str().expect("a path in UTF-8"),
        "--no-search",
        "--json",
        "--out",
        "out",
        "--limit",
        limit,
        "--device",
        "gpu",
    ];
    words.extend(set.iter().flat_map(|set| ["--set", *set]));
    words.extend(more);
    let (json, err) = said(&place, &words);
    let hash = json["model_hash"].as_str().expect("a hash");
    assert_eq!(hash, golden(name, hash), "{name}");
    (json, err)
}

#[test]
fn devices_say_what_they_were_admitted_for() {
    if !is_there("devices_say_what_they_were_admitted_for") {
        return;
    }
    for gpu in FOUND.iter() {
        assert_eq!(gpu["admitted"], true, "{gpu}");
        let rung = gpu["rung"].as_str().expect("rungs");
        assert!(rung.contains("fma ") && rung.contains("sqrt "), "{rung}");
        for speed in ["gflops", "gbytes_per_second"] {
            assert!(gpu[speed].as_f64().is_some_and(|it| it >= 0.0), "{gpu}");
        }
    }
    let remembered = CACHE.path().join("mmhc/devices.json");
    let text = std::fs::read_to_string(remembered).expect("what was found is remembered");
    for gpu in FOUND.iter() {
        assert!(
            text.contains(gpu["rung"].as_str().expect("rungs")),
            "{text}"
        );
    }
}

#[test]
fn tiny_recipes_on_a_graphics_processor() {
    if !is_there("tiny_recipes_on_a_graphics_processor") {
        return;
    }
    for (name, of) in tiny::NAMES {
        let (json, _) = same(of, &tiny::recipe(name), "12 steps", &[], &[]);
        assert_eq!(json["device"], "gpu", "{name}");
    }
}

#[test]
fn examples_on_a_graphics_processor() {
    if !is_there("examples_on_a_graphics_processor") {
        return;
    }
    let example = |name: &str| examples().join(name);
    same("digits", &example("digits.mmh"), "2 steps", &[], &[]);
    same("tabular", &example("tabular.mmh"), "12 steps", &[], &[]);
    same("legacy", &example("legacy.mmh"), "2 steps", &[], &[]);
    same("search", &example("search.mmh"), "4 steps", &[], &[]);
    same(
        "chars-few",
        &example("chars.mmh"),
        "1 step",
        &crate::CHARS_FEW,
        &[],
    );
    mnist();
}

fn mnist() {
    let place = Place::new();
    let home = std::env::var_os("MMH_MNIST").map(PathBuf::from);
    let home = home.unwrap_or_else(|| examples().join("data/mnist"));
    if let Err(missing) = collect_mnist(&home, &place) {
        return skip(
            "mnist on a graphics processor",
            &format!("no {}", missing.display()),
        );
    }
    let recipe = std::fs::read(examples().join("mnist.mmh")).expect("the recipe");
    place.write("mnist.mmh", recipe);
    let recipe = place.path("mnist.mmh");
    same("mnist-few", &recipe, "1 step", &crate::MNIST_FEW, &[]);
}

/// Given up for good after five of twelve steps: the processor goes on from there, and the hash does not show it.
#[test]
fn a_graphics_processor_that_is_lost_in_mid_run() {
    if !is_there("a_graphics_processor_that_is_lost_in_mid_run") {
        return;
    }
    let drill = ["--lose-gpu-after", "5"];
    let recipe = tiny::recipe("table");
    let (json, err) = same("tiny-table", &recipe, "12 steps", &[], &drill);
    assert_eq!(json["device"], "gpu, then cpu");
    let told = err.matches("the processor goes on from the last good step");
    assert_eq!(told.count(), 1, "{err}");
}

/// Every training is tried on every device, and has the one that was fastest.
#[test]
fn placement_tries_every_device() {
    if !is_there("placement_tries_every_device") {
        return;
    }
    let recipe = tiny::recipe("table");
    let recipe = recipe.to_str().expect("a path in UTF-8");
    let place = Place::new();
    let mut command = place.command(&["show", "plan", "--placement", recipe]);
    command.env("XDG_CACHE_HOME", CACHE.path());
    command.stdout(std::process::Stdio::piped());
    let output = command.output().expect("mmhc starts");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let step = |line: &str| -> Option<f64> {
        let figure = line.split("  ").last()?.split(" ms a step").next()?;
        figure.trim().parse().ok()
    };
    let tried: Vec<(&str, f64)> = text
        .lines()
        .filter_map(|line| Some((line, step(line)?)))
        .collect();
    for device in ["cpu (", "gpu ("] {
        assert!(
            tried.iter().any(|(line, _)| line.contains(device)),
            "{text}"
        );
    }
    let fastest = tried
        .iter()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .expect("one was tried");
    let chosen = tried.iter().filter(|(line, _)| line.contains("->")).count();
    assert!(fastest.0.contains("->") && chosen == 1, "{text}");
}

/// Where the system offers none, the diagnostic says so, and the status is that of a device.
#[cfg(target_os = "linux")]
#[test]
fn without_a_graphics_processor_the_run_says_so() {
    let place = Place::new();
    let recipe = tiny::recipe("table");
    let recipe = recipe.to_str().expect("a path in UTF-8");
    let mut command = place.command(&["run", recipe, "--device", "gpu"]);
    // The loader of Vulkan then finds no driver.
    command
        .env("VK_DRIVER_FILES", "/dev/null")
        .env("VK_ICD_FILENAMES", "/dev/null");
    command.stderr(std::process::Stdio::piped());
    let output = command.output().expect("mmhc starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("no graphics processor may be used"), "{err}");
    assert!(
        !support::Place::path(&place, "runs").exists(),
        "nothing is written"
    );
}
