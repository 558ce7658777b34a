//! Workers of a search as processes: the same study as by threads, whatever of them is killed.

use crate::support::{Place, Ran, examples};
use serde_json::Value;
use std::time::Duration;

fn recipe() -> String {
    let recipe = examples().join("search.mmh");
    recipe.to_str().expect("a path in UTF-8").to_owned()
}

/// The example with few trials by several figures, in order: the accuracy on validation rows and the number of parameters.
const SEVERAL: &[&str] = &[
    "--set",
    "tune.minimize=[fit.watch, parameters]",
    "--set",
    "tune.method=full",
    "--set",
    "tune.propose=nsga2(population = 4 trials)",
    "--set",
    "tune.budget=12 trials",
    "--set",
    "fit.length=3 epochs",
    "--set",
    "fit.schedule=cosine(3 epochs)",
];

/// The example with few trials and rungs.
const RUNGS: &[&str] = &[
    "--set",
    "tune.budget=10 trials",
    "--set",
    "tune.propose=tpe(startup = 4 trials)",
];

fn search(place: &Place, out: &str, set: &[&str], more: &[&str]) -> Ran {
    let recipe = recipe();
    let words = [
        &["run", &recipe, "--json", "--no-store", "--out", out],
        set,
        more,
    ]
    .concat();
    place.mmhc(&words)
}

fn lasting(place: &Place, out: &str) -> [Vec<u8>; 3] {
    ["model.safetensors", "study/metrics.json", "recipe.mmh"]
        .map(|name| place.read(&format!("{out}/{name}")))
}

#[test]
fn processes_and_threads_give_one_study() {
    let place = Place::new();
    for (name, set) in [("several", SEVERAL), ("rungs", RUNGS)] {
        let wanted = search(&place, name, set, &[]).ends(0).json();
        let files = lasting(&place, name);
        for workers in ["1", "2", "4"] {
            let out = format!("{name}-{workers}");
            let more = ["--isolate", "process", "--workers", workers];
            let found = search(&place, &out, set, &more).ends(0).json();
            assert_eq!(found["study"], wanted["study"], "{out}");
            assert!(lasting(&place, &out) == files, "{out}: other files");
        }
    }
}

#[test]
fn several_figures_have_a_front() {
    let place = Place::new();
    let found = search(&place, "out", SEVERAL, &["--workers", "2"])
        .ends(0)
        .json();
    let study = &found["study"];
    let front = study["front"].as_array().expect("a front");
    let figures = |trial: &Value| {
        let number = |name: &str| trial["figures"][name].as_f64().expect("a number");
        [number("watch"), number("parameters")]
    };
    assert!(
        front
            .iter()
            .any(|trial| trial["trial"] == study["best"]["trial"])
    );
    for a in front {
        for b in front {
            let (a, b) = (figures(a), figures(b));
            assert!(
                a == b || !(a[0] <= b[0] && a[1] <= b[1]),
                "{a:?} beats {b:?}"
            );
        }
    }
    // Parameters are those of the model in the folder.
    let model = place.read("out/model.safetensors");
    let length = u64::from_le_bytes(model[..8].try_into().expect("8 bytes")) as usize;
    let header: Value = serde_json::from_slice(&model[8..8 + length]).expect("JSON");
    let tensors = header.as_object().expect("an object").iter();
    let elements = |it: &Value| -> f64 {
        let sizes = it["shape"].as_array().into_iter().flatten();
        sizes.map(|size| size.as_f64().expect("a number")).product()
    };
    let count: f64 = tensors
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(_, tensor)| elements(tensor))
        .sum();
    let best = front
        .iter()
        .find(|it| it["trial"] == study["best"]["trial"]);
    assert_eq!(figures(best.expect("the best"))[1], count);
    let page = String::from_utf8(place.read("out/study/report.html")).expect("text");
    assert!(page.contains("id=\"front\"") && page.contains("<th>parameters</th>"));
}

/// The processes whose parent is `parent`.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or_default();
        rest.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    numbers.filter(is_child).collect()
}

#[cfg(target_os = "linux")]
fn kill(process: u32) {
    let mut command = std::process::Command::new("kill");
    // It may be gone by now.
    let _ = command.args(["-9", &process.to_string()]).output();
}

#[cfg(target_os = "linux")]
#[test]
fn workers_killed_at_random_change_nothing() {
    let place = Place::new();
    let wanted = search(&place, "whole", RUNGS, &[]).ends(0).json();
    let files = lasting(&place, "whole");
    let words = recipe();
    let (mut kills, mut ended_early) = (0, 0);
    for round in 0..24u32 {
        let out = format!("killed-{}", round / 4);
        let more = ["--resume", "--isolate", "process", "--workers", "2"];
        let arguments = [
            &["run", &words, "--json", "--no-store", "--out", &out],
            RUNGS,
            &more,
        ]
        .concat();
        let mut search = place.command(&arguments).spawn().expect("it starts");
        let status = loop {
            if let Some(status) = search.try_wait().expect("a status") {
                break status;
            }
            // One of the workers, after a while that is another each time.
            std::thread::sleep(Duration::from_millis(
                u64::from(round * 7 + kills * 5) % 41 + 3,
            ));
            let workers = children(search.id());
            if kills < round * 2 + 2
                && let Some(worker) = workers.get(kills as usize % workers.len().max(1))
            {
                kill(*worker);
                kills += 1;
            }
        };
        // Killed twice, a trial ends the search with a device's failure, and nothing else.
        assert!(matches!(status.code(), Some(0 | 3)), "{status}");
        ended_early += u32::from(status.code() == Some(3));
        if kills >= 12 && ended_early > 0 && round % 4 == 3 {
            break;
        }
    }
    assert!(kills >= 8, "{kills} workers were killed");
    for name in ["killed-0", "killed-1"]
        .iter()
        .filter(|name| place.path(name).exists())
    {
        let found = search(&place, name, RUNGS, &["--resume"]).ends(0).json();
        assert_eq!(found["study"], wanted["study"], "{name}");
        assert!(lasting(&place, name) == files, "{name}: other files");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn workers_do_not_outlive_a_search_that_is_killed() {
    let place = Place::new();
    let wanted = search(&place, "whole", RUNGS, &[]).ends(0).json();
    let words = recipe();
    let more = ["--isolate", "process", "--workers", "2"];
    let arguments = [
        &["run", &words, "--json", "--no-store", "--out", "killed"],
        RUNGS,
        &more,
    ]
    .concat();
    let mut child = place.command(&arguments).spawn().expect("it starts");
    let workers = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(2));
        let found = children(child.id());
        (found.len() == 2).then_some(found)
    });
    let workers = workers.expect("two workers");
    child.kill().expect("killed");
    child.wait().expect("it ends");
    // Gone on with at once: where a worker still holds a folder, it is waited for.
    let found = search(&place, "killed", RUNGS, &["--resume", "--workers", "2"])
        .ends(0)
        .json();
    assert_eq!(found["study"], wanted["study"]);
    let gone = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let alive = |process: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            stat.contains("mmhc") && !stat.contains(") Z")
        };
        !workers.iter().any(alive)
    });
    assert!(gone, "workers {workers:?} outlived their search");
}

#[test]
fn a_trial_that_takes_too_long_is_no_result() {
    let place = Place::new();
    let wanted = search(&place, "whole", RUNGS, &[]).ends(0).json();
    let more = ["--isolate", "process", "--trial-timeout", "0.000001"];
    let ended = search(&place, "slow", RUNGS, &more).ends(3);
    assert!(
        ended.err.contains("--trial-timeout") && ended.err.contains("--resume"),
        "{}",
        ended.err
    );
    let (again, twice) = (
        "trial 1/10  failed, and is tried again alone",
        "trial 1 failed twice",
    );
    assert!(
        ended.err.contains(again) && ended.err.contains(twice),
        "{}",
        ended.err
    );
    let journal = String::from_utf8(place.read("slow/study/journal")).expect("text");
    assert_eq!(journal.matches("\"failed\":").count(), 2, "{journal}");
    assert!(!journal.contains("\"result\":"), "{journal}");
    let found = search(&place, "slow", RUNGS, &["--resume"]).ends(0).json();
    assert_eq!(found["study"], wanted["study"]);
}
