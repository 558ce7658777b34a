//! Data larger than memory: the same bits as in memory, whatever happens on the way.

#![allow(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

#[path = "common/mod.rs"]
mod common;

use common::{Place, RECIPE, Ran};
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A table of so many rows, some cells empty, and a recipe that reads all of it.
fn table(place: &Place, rows: usize, columns: usize) {
    let mut text = String::from("kind,");
    (0..columns).for_each(|column| write!(text, "x_{column},").expect("written"));
    text.push_str("label\n");
    let mut state = 1_u64;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i64
    };
    for row in 0..rows {
        write!(text, "k{},", draw() % 5).expect("written");
        let mut sum = 0;
        for column in 0..columns {
            let value = draw() % 20_001 - 10_000;
            sum += if column < 3 { value } else { 0 };
            match (row + column) % 97 {
                0 => text.push(','),
                _ => write!(text, "{}.{:04},", value / 10_000, value.abs() % 10_000)
                    .expect("written"),
            }
        }
        writeln!(text, "{}", i64::from(sum > 0) + i64::from(sum > 9000)).expect("written");
    }
    place.write("big.csv", &text);
    let recipe = RECIPE.replace("csv(\"points.csv\")", "csv(\"big.csv\")").replace(
        "  x: f32[feature = 2] = source.x\n  label: class[3] = source.heap\n",
        "  x: f32[feature = N] = source.x |> impute(median) |> standardise\n  kind: class[5] = source.kind\n  label: class[3] = source.label\n",
    );
    let recipe = recipe.replace("x: f32[batch, feature = 2]", "x: f32[batch, feature = N]");
    let recipe = recipe.replace("feature = N", &format!("feature = {columns}"));
    place.write(
        "big.mmh",
        &recipe
            .replace("batch(8)", "batch(256)")
            .replace("4 epochs", "2 epochs"),
    );
}

fn figures(ran: &Ran) -> [Value; 4] {
    let json = ran.json();
    ["data_hash", "plan_hash", "model_hash", "metrics"].map(|name| json[name].clone())
}

/// The packed files, and what is left of those that were being written.
fn packed(place: &Place) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = std::fs::read_dir(place.path("cache/mmhc/data"));
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|it| it.path())
        .collect();
    paths.sort();
    let ends = |end: &str| {
        let matching = paths
            .iter()
            .filter(|path| path.extension().is_some_and(|it| it == end));
        matching.cloned().collect::<Vec<PathBuf>>()
    };
    (ends("rows"), ends("new"))
}

const STREAMED: &[&str] = &["--data-memory", "0"];

fn run(place: &Place, recipe: &str, out: &str, more: &[&str]) -> Ran {
    let arguments = [&["run", recipe, "--json", "--out", out][..], more].concat();
    place.mmhc(&arguments).ends(0)
}

#[test]
fn streamed_runs_have_the_bits_of_those_in_memory() {
    let place = Place::new();
    table(&place, 3000, 6);
    let memory = figures(&run(&place, "big.mmh", "memory", &[]));
    assert_eq!(packed(&place).0.len(), 0, "small data stay in memory");
    for threads in ["1", "2"] {
        let out = format!("streamed-{threads}");
        let ran = run(
            &place,
            "big.mmh",
            &out,
            &[STREAMED, &["--threads", threads]].concat(),
        );
        assert_eq!(figures(&ran), memory);
        assert_eq!(packed(&place).0.len(), 1);
    }
    for name in ["model.safetensors", "statistics.json", "metrics.json"] {
        let read = |out: &str| std::fs::read(place.path(out).join(name)).expect("read");
        assert!(read("memory") == read("streamed-2"), "{name} differs");
    }
    // A limit, then on from there with the rows in the other place.
    run(
        &place,
        "big.mmh",
        "cut",
        &[STREAMED, &["--limit", "7 steps"]].concat(),
    );
    assert_eq!(
        figures(&run(&place, "big.mmh", "cut", &["--resume"])),
        memory
    );
    // What was trained streamed is verified in memory, and the other way round.
    place
        .mmhc(&["verify", "streamed-1", "--replay", "--data", "."])
        .ends(0);
    place
        .mmhc(&[&["verify", "memory", "--replay", "--data", "."], STREAMED].concat())
        .ends(0);
    let header = place
        .read("big.csv")
        .lines()
        .take(4)
        .collect::<Vec<&str>>()
        .join("\n");
    place.write("few.csv", &format!("{header}\n"));
    let asked = |more: &[&str]| {
        place
            .mmhc(&[&["predict", "streamed-2", "few.csv"], more].concat())
            .ends(0)
            .out
    };
    assert_eq!(asked(STREAMED), asked(&[]));
    // gzip, and what a search trains many times.
    let squeezed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, place.read("big.csv").as_bytes()).expect("packed");
        encoder.finish().expect("packed")
    };
    std::fs::write(place.path("big.csv.gz"), squeezed).expect("written");
    place.write(
        "gz.mmh",
        &place.read("big.mmh").replace("big.csv", "big.csv.gz"),
    );
    let gz = figures(&run(&place, "gz.mmh", "gz", STREAMED));
    assert_eq!((&gz[0], &gz[2]), (&memory[0], &memory[2]));
    let recipe = place
        .read("big.mmh")
        .replace("lr = 1e-1", "lr = 1e-1 ~ choice(1e-1, 1e-2)");
    let search = "\nsearch tune {\n  run      = fit\n  maximize = fit.watch\n  propose  = grid\n  budget   = 2 trials\n}\n";
    place.write(
        "search.mmh",
        &recipe
            .replace("fit.best", "tune.best")
            .replace("\nevaluate", &format!("{search}\nevaluate")),
    );
    let isolated = ["--workers", "2", "--isolate", "process", "--no-store"];
    let found = run(
        &place,
        "search.mmh",
        "found",
        &[STREAMED, &isolated].concat(),
    );
    let known = run(&place, "search.mmh", "known", &["--no-store"]);
    assert_eq!(figures(&found), figures(&known));
}

#[test]
fn pictures_and_texts_are_streamed_too() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden-tiny");
    let place = Place::new();
    for name in ["picture.mmh", "words.mmh", "table.mmh"] {
        let recipe = format!("{examples}/{name}");
        let memory = figures(&run(
            &place,
            &recipe,
            &format!("m-{name}"),
            &["--limit", "9 steps"],
        ));
        let streamed = [STREAMED, &["--limit", "9 steps"]].concat();
        assert_eq!(
            figures(&run(&place, &recipe, &format!("s-{name}"), &streamed)),
            memory,
            "{name}"
        );
    }
    assert!(packed(&place).0.len() >= 2);
}

#[test]
fn a_wrong_cell_is_named() {
    let place = Place::new();
    table(&place, 20_000, 6);
    let text = place.read("big.csv");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let cells: Vec<&str> = lines[12_346].split(',').collect();
    lines[12_346] = [&cells[..4], &["12,5O"], &cells[5..]]
        .concat()
        .join(",")
        .replace("12,5O", "\"12,5\"");
    place.write("big.csv", &(lines.join("\n") + "\n"));
    let streamed = place
        .mmhc(&[&["check", "big.mmh"], STREAMED].concat())
        .ends(1)
        .err;
    let memory = place.mmhc(&["check", "big.mmh"]).ends(1).err;
    for word in [
        "big.csv, line 12347, row 12346, column `x_3`",
        "decimal comma",
        "12.5",
    ] {
        assert!(streamed.contains(word), "{streamed}");
    }
    let without_news = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("packed once"));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(without_news(&streamed), without_news(&memory));
}

/// The most memory that a process held so far, in MiB.
fn peak(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib >> 10)
}

fn start(place: &Place, arguments: &[&str]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmhc"));
    command.args(arguments).current_dir(place.path(""));
    command
        .env("XDG_CACHE_HOME", place.path("cache"))
        .env("XDG_DATA_HOME", place.path("data-home"));
    command
        .env_remove("MMH_STORE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("mmhc starts")
}

#[test]
fn killed_while_rows_are_packed() {
    let place = Place::new();
    table(&place, 200_000, 12);
    let arguments = [
        &[
            "run", "big.mmh", "--limit", "3 steps", "--json", "--out", "cut",
        ],
        STREAMED,
    ]
    .concat();
    for _ in 0..2 {
        let mut child = start(&place, &arguments);
        let until = Instant::now() + Duration::from_secs(60);
        while packed(&place).1.is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(20));
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(
            packed(&place).0.len(),
            0,
            "nothing has its name before it is whole"
        );
    }
    let streamed = figures(&place.mmhc(&arguments).ends(0));
    let (whole, left) = packed(&place);
    assert_eq!(
        (whole.len(), left.len()),
        (1, 0),
        "what dead processes left is gone"
    );
    let memory = figures(&run(&place, "big.mmh", "memory", &["--limit", "3 steps"]));
    assert_eq!(streamed, memory);
    // Tampered with: said, and made again.
    let mut bytes = std::fs::read(&whole[0]).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&whole[0], bytes).expect("written");
    let again = place
        .mmhc(&[&arguments[..5], &["--out", "again"], STREAMED].concat())
        .ends(0);
    assert!(
        again.err.contains("damaged, it is made again"),
        "{}",
        again.err
    );
    assert_eq!(figures(&again), memory);
    // `store gc` takes what was not used for a while.
    let kept = place.mmhc(&["store", "gc", "--json"]).ends(0);
    assert_eq!(kept.json()["packed_sources"], 0);
    let gone = place
        .mmhc(&["store", "gc", "--json", "--grace", "0"])
        .ends(0);
    assert_eq!(gone.json()["packed_sources"], 1);
    assert_eq!(packed(&place).0.len(), 0);
}

#[test]
fn rows_that_cannot_be_kept() {
    let place = Place::new();
    table(&place, 3000, 6);
    place.write("taken", "a file");
    let arguments = [&["check", "big.mmh"], STREAMED].concat();
    let taken = place.path("taken").display().to_string();
    let refused = place
        .with(&arguments, &[("MMH_DATA_CACHE", &taken)])
        .ends(1)
        .err;
    assert!(
        refused.contains("data::cache") && refused.contains("MMH_DATA_CACHE"),
        "{refused}"
    );
    let refused = place
        .with(&arguments, &[("MMH_DATA_CACHE_LIMIT", "1kB")])
        .ends(1)
        .err;
    assert!(
        refused.contains("limit::too-large") && refused.contains("MMH_DATA_CACHE_LIMIT"),
        "{refused}"
    );
    // A full disk, as a limit on the size of files makes one.
    if cfg!(target_os = "linux") {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "trap '' XFSZ; ulimit -f 20; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_mmhc"),
        ]);
        shell
            .args(&arguments)
            .current_dir(place.path(""))
            .env("XDG_CACHE_HOME", place.path("cache"));
        let full = Ran::from(shell.output().expect("a shell")).ends(1).err;
        assert!(full.contains("data::cache"), "{full}");
    }
    assert_eq!(
        packed(&place),
        (Vec::new(), Vec::new()),
        "nothing is left in part"
    );
}

#[test]
fn memory_is_bounded() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: /proc tells how much memory a process holds");
        return;
    }
    let place = Place::new();
    table(&place, 500_000, 24);
    let peak_of = |out: &str, more: &[&str]| {
        let mut child = start(
            &place,
            &[
                &["run", "big.mmh", "--limit", "200 steps", "--out", out][..],
                more,
            ]
            .concat(),
        );
        let mut most = 0;
        while child.try_wait().expect("a child").is_none() {
            most = most.max(peak(child.id()).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(child.wait().expect("a child").success());
        most
    };
    let (streamed, memory) = (peak_of("streamed", STREAMED), peak_of("memory", &[]));
    let table = std::fs::metadata(place.path("big.csv"))
        .expect("there")
        .len()
        >> 20;
    eprintln!("a table of {table} MiB: {streamed} MiB streamed, {memory} MiB in memory");
    assert!(
        streamed < 120 && streamed * 3 < memory,
        "{streamed} and {memory} MiB"
    );
    let read = |out: &str| std::fs::read(place.path(out).join("model.safetensors")).expect("read");
    assert!(read("streamed") == read("memory"));
}
