//! A search gives one study, one best model, one hash: for any number of workers, and killed at any moment.

use crate::support::{Place, Ran, examples, skip};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The example, with few short trials.
const SHORT: &[&str] = &[
    "--set",
    "tune.budget=12 trials",
    "--set",
    "tune.propose=tpe(startup = 4 trials)",
];

fn arguments<'a>(recipe: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [
        &["run", recipe, "--json", "--no-store", "--out", out],
        SHORT,
        more,
    ]
    .concat()
}

fn recipe() -> String {
    examples()
        .join("search.mmh")
        .to_str()
        .expect("a path in UTF-8")
        .to_owned()
}

fn search(place: &Place, out: &str, more: &[&str]) -> Ran {
    place.mmhc(&arguments(&recipe(), out, more)).ends(0)
}

fn lasting(place: &Place, out: &str) -> [Vec<u8>; 3] {
    ["model.safetensors", "study/metrics.json", "recipe.mmh"]
        .map(|name| place.read(&format!("{out}/{name}")))
}

#[test]
fn workers_change_nothing() {
    let place = Place::new();
    let one = search(&place, "one", &["--workers", "1"]).json();
    let wanted = lasting(&place, "one");
    for workers in ["2", "4"] {
        let many = search(&place, workers, &["--workers", workers, "--threads", "2"]).json();
        assert_eq!(many["study"], one["study"], "{workers} workers");
        assert_eq!(many["model_hash"], one["model_hash"]);
        assert!(
            lasting(&place, workers) == wanted,
            "{workers} workers: other files"
        );
    }
    // The lines of both journals tell of the same trials, in whatever order they ended.
    let results = |out: &str| -> BTreeSet<String> {
        let journal = String::from_utf8(place.read(&format!("{out}/study/journal"))).expect("text");
        let entries = journal.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["entry"].to_string()
        });
        entries
            .filter(|entry| entry.contains("\"result\""))
            .collect()
    };
    assert_eq!(results("one"), results("4"));
    let trials = one["study"]["trials"].as_u64().expect("a number");
    assert!(
        trials == 12 && one["study"]["stopped"].as_u64().expect("a number") > 4,
        "{one}"
    );
}

#[test]
fn the_best_trial_is_a_run_like_any_other() {
    let place = Place::new();
    let found = search(&place, "tuned", &[]).json();
    mmh_runtime::audit::verify(&place.path("tuned")).expect("the folder is whole");
    assert!(
        found["metrics"]["final"]["test"]["accuracy"]
            .as_f64()
            .expect("a number")
            > 0.6
    );
    // The recipe in the folder has the settings found as its defaults: without a search it gives the model again.
    let data = std::fs::read(examples().join("data/penguins.csv")).expect("the data");
    place.write("tuned/data/penguins.csv", data);
    let again = place
        .mmhc(&[
            "run",
            "tuned/recipe.mmh",
            "--no-search",
            "--json",
            "--out",
            "again",
        ])
        .ends(0);
    assert_eq!(again.json()["model_hash"], found["model_hash"]);
    let rows = "bill_depth_mm,flipper_length_mm,body_mass_g\n13.2,225,5600\n";
    place.write("rows.csv", rows);
    let said = place.mmhc(&["predict", "tuned", "rows.csv"]).ends(0);
    assert!(said.out.contains("Gentoo"), "{}", said.out);
    // Gone on with, a finished search is repeated, and its journal left as it is.
    let journal = place.read("tuned/study/journal");
    let repeated = search(&place, "tuned", &["--resume"]).json();
    assert_eq!(
        (&repeated["study"], place.read("tuned/study/journal")),
        (&found["study"], journal)
    );
    // Another search in its place is refused.
    let other = place.mmhc(&arguments(
        &recipe(),
        "tuned",
        &["--resume", "--set", "tune.where=hidden * layers <= 128"],
    ));
    assert!(other.ends(1).err.contains("run::resume-mismatch"));
}

#[test]
fn the_report_shows_the_study() {
    let place = Place::new();
    search(&place, "out", &[]);
    let page = String::from_utf8(place.read("out/study/report.html")).expect("text");
    for id in [
        "study",
        "history",
        "curves",
        "parallel",
        "importance",
        "trials",
    ] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(
        !page.contains("<script") && !page.contains("http"),
        "the page stands alone"
    );
    assert!(page.contains("sgd(…)") && !page.contains("NaN"));
    let parallel = page.split("id=\"parallel\"").nth(1).expect("the axes");
    let axes = parallel.split("</svg>").next().expect("their picture");
    for value in [">16<", ">128<", ">adamw(…)<"] {
        assert!(
            axes.contains(value),
            "{value} stands beside its axis: {axes}"
        );
    }
}

/// The page as a browser reads it: every part is where it belongs, and something is drawn.
#[test]
fn a_browser_draws_the_report() {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let there = |name: &&&str| {
        std::process::Command::new(name)
            .arg("--version")
            .output()
            .is_ok()
    };
    let Some(browser) = names.iter().find(there) else {
        let required = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|all| all == "1");
        assert!(
            !required,
            "chromium is not installed, and MMH_REQUIRE_ALL asks for it"
        );
        return skip("a_browser_draws_the_report", "there is no chromium");
    };
    let place = Place::new();
    search(&place, "out", &[]);
    let page = format!("file://{}", place.path("out/study/report.html").display());
    let picture = place.path("page.png");
    let ask = |more: &str| {
        let mut command = std::process::Command::new(browser);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=900,2400",
            more,
            &page,
        ]);
        command.output().expect("the browser starts")
    };
    let dom = String::from_utf8(ask("--dump-dom").stdout).expect("text");
    let study = dom.find("<section id=\"study\">").expect("the study");
    let end = dom[study..].find("</section>").expect("its end") + study;
    for id in ["history", "curves", "parallel", "importance", "trials"] {
        let at = dom
            .find(&format!("id=\"{id}\""))
            .unwrap_or_else(|| panic!("{id}"));
        assert!((study..end).contains(&at), "{id} is in the study");
    }
    assert_eq!(
        dom[study..end].matches("<tr>").count(),
        dom[study..end].matches("</tr>").count()
    );
    ask(&format!("--screenshot={}", picture.display()));
    let bytes = std::fs::read(&picture).expect("a picture");
    assert!(
        bytes.len() > 20_000,
        "{} bytes: a page without drawings",
        bytes.len()
    );
}

#[cfg(unix)]
#[test]
fn killed_at_many_moments_the_study_is_the_same() {
    use std::os::unix::process::ExitStatusExt;
    let place = Place::new();
    let began = Instant::now();
    let wanted = search(&place, "whole", &["--workers", "2"]).json();
    let whole = began.elapsed();
    let files = lasting(&place, "whole");
    let (mut kills, mut round) = (0, 0);
    while kills < 6 {
        round += 1;
        assert!(
            round < 20,
            "{kills} of {round} searches were killed before their end"
        );
        let out = format!("killed-{round}");
        for go in 0..4 {
            // The number of workers may change on the way. The last go is left in peace.
            let workers = ["1", "3", "2", "4"][go];
            let words = recipe();
            let mut command = place.command(&arguments(
                &words,
                &out,
                &["--resume", "--workers", workers],
            ));
            let mut child = command.spawn().expect("it starts");
            if go < 3 {
                let share = (f64::from(round * 3 + go as u32) * 0.618_033_988_749_894_9) % 1.0;
                std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
                let _ = child.kill();
            }
            let status = child.wait().expect("it ends");
            assert!(
                status.signal().is_some() || status.success(),
                "round {round}: {status}"
            );
            kills += u32::from(status.signal().is_some());
        }
        let found = search(&place, &out, &["--resume"]).json();
        assert_eq!(found["study"], wanted["study"], "round {round}");
        assert!(lasting(&place, &out) == files, "round {round}: other files");
    }
}

#[test]
fn divergence_is_a_result_and_a_limit_of_memory_too() {
    let place = Place::new();
    let wild = "fit.optimize=sgd(lr = 1e-1 ~ choice(1e-1, 1e30, 1e35))";
    let more = [
        "--set",
        wild,
        "--set",
        "tune.propose=random",
        "--set",
        "tune.method=full",
    ];
    let found = search(&place, "wild", &more).json();
    let study = &found["study"];
    assert!(study["diverged"].as_u64().expect("a number") > 0, "{study}");
    assert!(
        study["best"]["settings"].to_string().contains("1e-1"),
        "{study}"
    );

    // Only a limit that stands in the recipe makes a trial infeasible.
    let data = std::fs::read(examples().join("data/penguins.csv")).expect("the data");
    place.write("data/penguins.csv", data);
    let text = std::fs::read_to_string(recipe()).expect("the example");
    let limited = |memory: &str| {
        let line = format!("budget   = 12 trials\n  memory   = {memory}");
        text.replace("budget   = 27 trials", &line)
    };
    place.write("small.mmh", limited("64 KiB"));
    let found = place.mmhc(&["run", "small.mmh", "--json"]).ends(0).json();
    let study = &found["study"];
    assert!(
        study["infeasible"].as_u64().expect("a number") > 0,
        "{study}"
    );
    place.write("none.mmh", limited("1 B"));
    let none = place.mmhc(&["run", "none.mmh"]).ends(1);
    assert!(none.err.contains("none of the 12 trials"), "{}", none.err);
}

#[test]
fn what_the_training_does_not_use_is_not_chosen() {
    let place = Place::new();
    let data = std::fs::read(examples().join("data/penguins.csv")).expect("the data");
    place.write("data/penguins.csv", data);
    let text = std::fs::read_to_string(recipe()).expect("the example");
    let spare = format!("{text}\nlet spare = half\nlet half = 1 ~ choice(1, 2)\n");
    place.write("spare.mmh", &spare);
    place.write(
        "used.mmh",
        spare.replace("repeat(layers, ", "repeat(layers * spare, "),
    );
    let shown = |name| place.mmhc(&["show", "space", name]).ends(0).out;
    assert!(!shown("spare.mmh").contains("half"));
    assert!(shown("used.mmh").contains("  half "));
}

#[test]
fn truth_values_are_drawn() {
    let place = Place::new();
    let recipe = std::fs::read_to_string(recipe()).expect("the example");
    let recipe = recipe
        .replace("~ int(1 .. 3)", "~ int(1 .. 2)")
        .replace(
            "\ndata penguins",
            "\nlet normed = false ~ bool\n\ndata penguins",
        )
        .replace(
            "hidden = hidden) |> gelu\n}",
            "hidden = hidden) |> gelu |> dropout(if normed { 0.1 } else { 0.2 })\n}",
        )
        .replace("budget   = 27 trials", "budget   = 9 trials");
    place.write("truth.mmh", recipe);
    let data = examples().join("data/penguins.csv");
    place.write("data/penguins.csv", std::fs::read(data).expect("the table"));
    let shown = place.mmhc(&["show", "space", "truth.mmh"]).ends(0).out;
    assert!(shown.contains("normed    bool"), "{shown}");
    let words = ["run", "truth.mmh", "--out", "out", "--no-store"];
    let said = place.mmhc(&words).ends(0).err;
    assert!(said.contains("normed = true") && said.contains("normed = false"));
    place
        .mmhc(&["verify", "out", "--replay", "--data", "data"])
        .ends(0);
}

#[test]
fn spaces_are_shown() {
    let place = Place::new();
    let limited = ["show", "space", &recipe(), "--set", "tune.memory=1 MiB"];
    let shown = place.mmhc(&limited).ends(0).out;
    for line in [
        "int(1 .. 3)",
        "choice(16, 32, 64, 128)",
        "if optimize = sgd(",
        "rungs: 3 epochs, 8 epochs, the end",
        "where hidden * layers <= 256",
        "at most 1048576 B of memory",
    ] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
}
