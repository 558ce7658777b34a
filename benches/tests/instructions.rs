//! A guard on speed that does not time: instructions of one step of every workload, counted by callgrind on one thread
//! with `--isa avx2` (valgrind knows no AVX-512), against `benches/instructions.txt`.
//!
//! More than 3 % above the record is a failure; more than 3 % below it asks for a new record:
//! `MMH_BLESS=1 cargo test --release -p mmhc -p mmh-bench --test instructions`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Part of the record by which a step may differ.
const TOLERANCE: f64 = 0.03;

fn record() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

/// Why nothing can be counted here.
fn obstacle() -> Option<String> {
    let bench = Path::new(env!("CARGO_BIN_EXE_mmh-bench"));
    let compiler = bench.with_file_name(format!("mmhc{}", std::env::consts::EXE_SUFFIX));
    if !cfg!(target_arch = "x86_64") {
        return Some("the record is of x86-64".to_owned());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Some("there is no valgrind".to_owned());
    }
    if !compiler.exists() {
        return Some(format!("{} is not built", compiler.display()));
    }
    cfg!(debug_assertions).then(|| "the record is of the release profile".to_owned())
}

/// Instructions of a process that does `steps` steps.
fn instructions(workload: &str, data: &Path, steps: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_mmh-bench"))
        .args(["--workload", workload, "--threads", "1", "--isa", "avx2"])
        .args(["--count", &steps.to_string(), "--data"])
        .arg(data)
        .output()
        .expect("valgrind starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let line = words
        .lines()
        .find_map(|line| line.split_once("Collected :"));
    let count = line.and_then(|(_, count)| count.trim().parse().ok());
    count.unwrap_or_else(|| panic!("no count in:\n{words}"))
}

/// Of one step: what a process of more steps does beyond one of fewer.
fn one_step(workload: &str, data: &Path) -> f64 {
    let (few, many) = if workload == "d" { (10, 60) } else { (1, 2) };
    let difference = instructions(workload, data, many) - instructions(workload, data, few);
    difference / f64::from(many - few)
}

#[test]
fn a_step_takes_no_more_instructions_than_recorded() {
    if let Some(obstacle) = obstacle() {
        assert!(
            std::env::var_os("MMH_REQUIRE_ALL").is_none(),
            "MMH_REQUIRE_ALL is set, but {obstacle}"
        );
        println!("skipped: {obstacle}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let counted = ["a", "b", "c", "d"].map(|workload| {
        let data = folder.path().join(workload);
        (workload, one_step(workload, &data).round())
    });
    if std::env::var_os("MMH_BLESS").is_some() {
        let lines: String = counted.iter().map(|(w, n)| format!("{w} {n}\n")).collect();
        let head = "# Instructions of one step; written by the test `instructions`.\n";
        std::fs::write(record(), head.to_owned() + &lines).expect("the record is written");
        return;
    }
    let text = std::fs::read_to_string(record()).expect("there is a record");
    let recorded: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(workload, count)| Some((workload, count.parse().ok()?)))
        .collect();
    let mut failures = Vec::new();
    for (workload, count) in counted {
        let change = count / recorded[workload] - 1.0;
        println!(
            "{workload}: {count} instructions a step, {:+.2} %",
            100.0 * change
        );
        if change > TOLERANCE {
            failures.push(format!("{workload} takes {:.1} % more", 100.0 * change));
        } else if change < -TOLERANCE {
            println!("{workload} has become cheaper: record it with MMH_BLESS=1");
        }
    }
    assert!(failures.is_empty(), "{}", failures.join(", "));
}
