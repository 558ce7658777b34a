//! A guard on speed that does not time: instructions of one step of every workload, counted by callgrind on one thread
//! with `--isa avx2` (valgrind knows no AVX-512), against `benches/instructions.txt`.
//!
//! A fused multiply-add takes valgrind a third of a microsecond, so a, b and c are counted with fewer rows and layers than
//! they are timed with ([`COUNTED`]). The arithmetic of a row is the same; what a step costs whatever its batch, such as
//! the optimiser, weighs more.
//!
//! A count more than 3 % above or below the record fails. Where the change is meant, [`RENEW`] writes the record anew.
//! Counts depend on the compiler, whose version is part of the record: under another one nothing is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Part of the record by which a step may differ.
const TOLERANCE: f64 = 0.03;

/// Writes the record.
const RENEW: &str = "cargo build --release -p mmhc && MMH_BLESS=1 cargo test --release -p mmh-bench --test instructions";

/// The only function that is counted, with all it calls: one step, from the choice of rows to the updated state.
const STEP: &str = "mmh_runtime::step::Stepper::advance";

/// Keeps glibc from clearing and copying by `rep stosb` and `rep movsb`: valgrind counts an instruction for every byte of
/// them, 4 % of b, and whether glibc takes them depends on its version.
const WITHOUT_REP: &str = "glibc.cpu.hwcaps=-ERMS,-FSRM";

/// What is counted of a workload.
struct Counted {
    workload: &'static str,
    /// Over how many steps, from the first one on, the mean is taken.
    steps: u32,
    /// What is replaced in the recipe, and by what.
    smaller: &'static [(&'static str, &'static str)],
}

const COUNTED: [Counted; 4] = [
    Counted {
        workload: "a",
        steps: 1,
        smaller: &[("batch(128)", "batch(32)")],
    },
    Counted {
        workload: "b",
        steps: 1,
        smaller: &[("batch(64)", "batch(4)")],
    },
    Counted {
        workload: "c",
        steps: 1,
        smaller: &[
            ("batch(16)", "batch(2)"),
            ("repeat(4, layer)", "repeat(1, layer)"),
        ],
    },
    // An epoch is 64 steps, and to draw its order costs as much as a step.
    Counted {
        workload: "d",
        steps: 64,
        smaller: &[],
    },
];

impl Counted {
    /// Instructions of one step.
    fn step(&self, folder: &Path) -> f64 {
        let data = folder.join(self.workload);
        self.prepare(&data);
        let output = Command::new("valgrind")
            .env("GLIBC_TUNABLES", WITHOUT_REP)
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(format!("--toggle-collect={STEP}"))
            .arg(env!("CARGO_BIN_EXE_mmh-bench"))
            .args(["--workload", self.workload, "--threads", "1"])
            .args(["--isa", "avx2", "--count", &self.steps.to_string()])
            .arg("--data")
            .arg(&data)
            .output()
            .expect("valgrind starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        let line = words
            .lines()
            .find_map(|line| line.split_once("Collected :"));
        let count: Option<f64> = line.and_then(|(_, count)| count.trim().parse().ok());
        let count = count.unwrap_or_else(|| panic!("no count in:\n{words}"));
        assert!(count > 1e5, "`{STEP}` was not met: {count} instructions");
        (count / f64::from(self.steps)).round()
    }

    /// Lets the bench write recipe and data, which under valgrind would be slow, and makes the recipe smaller.
    fn prepare(&self, data: &Path) {
        let made = Command::new(env!("CARGO_BIN_EXE_mmh-bench"))
            .args(["--workload", self.workload, "--count", "1", "--data"])
            .arg(data)
            .output()
            .expect("the bench starts");
        assert!(made.status.success(), "{made:?}");
        let recipe = data.join(format!("{}.mmh", self.workload));
        let mut text = std::fs::read_to_string(&recipe).expect("the recipe was written");
        for (large, small) in self.smaller {
            assert_eq!(
                text.matches(large).count(),
                1,
                "`{large}` in {}",
                self.workload
            );
            text = text.replace(large, small);
        }
        std::fs::write(&recipe, text).expect("the recipe is writable");
    }
}

/// The counts as of some change, by workload, and the compiler that they are of.
struct Record {
    compiler: String,
    steps: BTreeMap<String, f64>,
}

impl Record {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
    }

    /// Reads the file; a comment, the compiler, then a line for each workload.
    fn read() -> Self {
        let text = std::fs::read_to_string(Self::path()).expect("there is a record");
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let compiler = lines.next().expect("the record names a compiler").into();
        let steps = lines.map(|line| {
            let (workload, count) = line.split_once(' ').expect("a workload and its count");
            (workload.to_owned(), count.parse().expect("a count"))
        });
        Self {
            compiler,
            steps: steps.collect(),
        }
    }

    fn write(&self) {
        let head = "# Instructions of one step, by the compiler below; written by the test `instructions`.";
        let lines = self.steps.iter().map(|(name, n)| format!("{name} {n}\n"));
        let text = format!("{head}\n{}\n{}", self.compiler, lines.collect::<String>());
        std::fs::write(Self::path(), text).expect("the record is written");
    }
}

/// Name and version of the compiler that cargo takes here.
fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let output = output.expect("there is a rustc");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Why nothing can be counted here.
fn obstacle() -> Option<String> {
    let bench = Path::new(env!("CARGO_BIN_EXE_mmh-bench"));
    let mmhc = bench.with_file_name(format!("mmhc{}", std::env::consts::EXE_SUFFIX));
    if !cfg!(target_arch = "x86_64") {
        return Some("the record is of x86-64".to_owned());
    }
    if cfg!(debug_assertions) {
        return Some("the record is of the release profile".to_owned());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Some("there is no valgrind".to_owned());
    }
    (!mmhc.exists()).then(|| format!("{} is not built", mmhc.display()))
}

/// Why what is counted here cannot be compared with `record`.
fn other_compiler(record: &Record) -> Option<String> {
    let here = compiler();
    (here != record.compiler)
        .then(|| format!("the record is of {}, this is {here}", record.compiler))
}

/// Says that nothing is compared; a failure where everything has to be.
fn skip(why: &str) {
    assert!(
        std::env::var_os("MMH_REQUIRE_ALL").is_none(),
        "MMH_REQUIRE_ALL is set, but {why}; renew the record: {RENEW}"
    );
    println!("skipped: {why}");
}

#[test]
fn a_step_takes_the_instructions_recorded() {
    let renew = std::env::var_os("MMH_BLESS").is_some();
    let recorded = (!renew).then(Record::read);
    let obstacle = obstacle().or_else(|| recorded.as_ref().and_then(other_compiler));
    if let Some(why) = obstacle {
        return skip(&why);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let steps = COUNTED.map(|counted| (counted.workload.to_owned(), counted.step(folder.path())));
    let Some(recorded) = recorded else {
        let (compiler, steps) = (compiler(), steps.into());
        return Record { compiler, steps }.write();
    };
    let mut failures = Vec::new();
    for (workload, count) in steps {
        let was = recorded.steps.get(&workload).copied();
        let was = was.unwrap_or_else(|| panic!("no record of {workload}: {RENEW}"));
        let change = count / was - 1.0;
        let line = format!(
            "{workload}: {count} instructions a step, {was} recorded, {:+.2} %",
            100.0 * change
        );
        println!("{line}");
        if change.abs() > TOLERANCE {
            failures.push(line);
        }
    }
    assert!(
        failures.is_empty(),
        "more than 3 % off the record:\n{}\nif that is meant, renew it: {RENEW}",
        failures.join("\n")
    );
}
