//! One model, one hash: every example, shortened, on every device, instruction set and thread count.
//!
//! `hashes.txt` holds a line for each case below. `MMH_BLESS=1` writes it anew; a change of it is a change of bits, and
//! needs a new edition of the numerics contract once a version is released.

mod conform;
#[cfg(feature = "gpu")]
mod gpu;
#[path = "../run/support.rs"]
mod support;
mod tiny;

use mmh_cpu::isa::{Isa, admit};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use support::{Place, examples, skip};

/// Where `mmhc` remembers devices while these tests run: they are tested once, and nothing of the user's is touched.
static CACHE: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// An example, shortened.
struct Case {
    /// Its name in `hashes.txt`.
    name: &'static str,
    /// `--limit`.
    limit: &'static str,
    /// `--set`.
    set: &'static [&'static str],
    /// Whether it is small enough for the interpreter and the scalar kernels.
    everywhere: bool,
}

#[test]
fn digits() {
    let case = Case {
        name: "digits",
        limit: "2 steps",
        set: &[],
        everywhere: true,
    };
    case.check(&examples().join("digits.mmh"));
}

/// `precision = bf16`, set from outside: convolutions and batch norm, and a transformer.
#[test]
fn in_bf16() {
    let case = Case {
        name: "digits-bf16",
        limit: "2 steps",
        set: &["fit.precision=bf16"],
        everywhere: true,
    };
    case.check(&examples().join("digits.mmh"));
    let case = Case {
        name: "chars-few-bf16",
        limit: "1 step",
        set: &[CHARS_FEW[0], CHARS_FEW[1], "fit.precision=bf16"],
        everywhere: true,
    };
    case.check(&examples().join("chars.mmh"));
}

#[test]
fn tabular() {
    let case = Case {
        name: "tabular",
        limit: "12 steps",
        set: &[],
        everywhere: true,
    };
    case.check(&examples().join("tabular.mmh"));
}

/// The defaults, like any recipe; then the study, for different numbers of workers.
#[test]
fn search() {
    let case = Case {
        name: "search",
        limit: "4 steps",
        set: &[],
        everywhere: true,
    };
    let recipe = examples().join("search.mmh");
    case.check(&recipe);
    let recipe = recipe.to_str().expect("a path in UTF-8");
    for workers in ["1", "3"] {
        let place = Place::new();
        let words = [
            "run",
            recipe,
            "--json",
            "--out",
            "out",
            "--workers",
            workers,
        ];
        let json = place.mmhc(&words).ends(0).json();
        for (name, found) in [
            ("search-study", &json["study"]["study_hash"]),
            ("search-best", &json["model_hash"]),
        ] {
            let found = found.as_str().expect("a hash");
            assert_eq!(found, golden(name, found), "{name}, {workers} workers");
        }
    }
}

#[test]
fn legacy() {
    let case = Case {
        name: "legacy",
        limit: "2 steps",
        set: &[],
        everywhere: true,
    };
    case.check(&examples().join("legacy.mmh"));
}

#[test]
fn chars() {
    let case = Case {
        name: "chars",
        limit: "2 steps",
        set: &[],
        everywhere: false,
    };
    case.check(&examples().join("chars.mmh"));
}

/// What leaves few rows of the texts.
const CHARS_FEW: [&str; 2] = [
    "gospels.split=sequential(train = 99.8%, valid = 0.1%, test = 0.1%)",
    "fit.rows=gospels.train |> shuffle |> batch(4)",
];

/// The same model on few rows, where the slow devices follow.
#[test]
fn chars_on_few_rows() {
    let case = Case {
        name: "chars-few",
        limit: "1 step",
        set: &CHARS_FEW,
        everywhere: true,
    };
    case.check(&examples().join("chars.mmh"));
}

/// What leaves few rows of MNIST.
const MNIST_FEW: [&str; 2] = [
    "mnist.split=files(train = 99.9%, valid = 0.1%)",
    "final.rows=mnist.valid",
];

/// The files are not in the repository: they are looked for in `MMH_MNIST`, then where the recipe has them.
#[test]
fn mnist_on_few_rows() {
    let place = Place::new();
    let home = std::env::var_os("MMH_MNIST").map(PathBuf::from);
    let home = home.unwrap_or_else(|| examples().join("data/mnist"));
    if let Err(missing) = collect_mnist(&home, &place) {
        let how = "examples/data/README.md says how to get MNIST";
        return skip(
            "mnist_on_few_rows",
            &format!("no {}; {how}", missing.display()),
        );
    }
    let recipe = std::fs::read(examples().join("mnist.mmh")).expect("the recipe");
    place.write("mnist.mmh", recipe);
    let case = Case {
        name: "mnist-few",
        limit: "1 step",
        set: &MNIST_FEW,
        everywhere: true,
    };
    case.check(&place.path("mnist.mmh"));
}

/// Puts the four files, plain or gzip, under the names that the recipe has. The error is a file that is missing.
fn collect_mnist(home: &Path, place: &Place) -> Result<(), PathBuf> {
    for part in [
        "train-images-idx3",
        "train-labels-idx1",
        "t10k-images-idx3",
        "t10k-labels-idx1",
    ] {
        let plain = home.join(format!("{part}-ubyte"));
        let packed = home.join(format!("{part}-ubyte.gz"));
        let bytes = std::fs::read(&plain)
            .or_else(|_| std::fs::read(packed))
            .map_err(|_| plain)?;
        place.write(&format!("data/mnist/{part}-ubyte"), bytes);
    }
    Ok(())
}

/// The recipes that a second implementation trains as well.
#[test]
fn second_implementation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/second");
    for (name, recipe) in [("second-mlp", "mlp.mmh"), ("second-conv", "conv.mmh")] {
        let case = Case {
            name,
            limit: "100 epochs",
            set: &[],
            everywhere: true,
        };
        case.check(&folder.join(recipe));
    }
}

/// Who does the work.
#[derive(Clone, Copy, Debug)]
enum Worker {
    Cpu { isa: Isa, threads: usize },
    Interpreter,
}

impl Worker {
    fn options(self) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
        match self {
            Self::Cpu { isa, threads } => {
                let threads = threads.to_string();
                owned(&[
                    "--device",
                    "cpu",
                    "--isa",
                    isa.name(),
                    "--threads",
                    &threads,
                ])
            }
            Self::Interpreter => owned(&["--device", "interpret"]),
        }
    }

    /// `device`, `isa` and `threads` of the result.
    fn names(self) -> [Value; 3] {
        match self {
            Self::Cpu { isa, threads } => ["cpu".into(), isa.name().into(), threads.into()],
            Self::Interpreter => ["interpret".into(), "scalar".into(), 1.into()],
        }
    }
}

/// The fastest first.
fn workers(everywhere: bool) -> Vec<Worker> {
    let admitted = Isa::ALL.into_iter().rev().filter(|isa| admit(*isa).is_ok());
    let vectors: Vec<Isa> = admitted.filter(|isa| *isa != Isa::Scalar).collect();
    let mut workers: Vec<Worker> = vectors
        .iter()
        .flat_map(|isa| [2, 1, 5].map(|threads| Worker::Cpu { isa: *isa, threads }))
        .collect();
    if vectors.is_empty() {
        workers.extend([2, 1, 5].map(|threads| Worker::Cpu {
            isa: Isa::Scalar,
            threads,
        }));
    } else if everywhere {
        workers.extend([2, 1, 5].map(|threads| Worker::Cpu {
            isa: Isa::Scalar,
            threads,
        }));
    }
    if everywhere {
        workers.push(Worker::Interpreter);
    }
    workers
}

/// An instruction set that is there but fails its own test would be left out of every comparison without a word.
#[test]
fn every_instruction_set_of_this_machine_takes_part() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_reported()) {
        assert_eq!(admit(isa), Ok(()), "{isa}");
        let takes_part =
            |worker: &Worker| matches!(worker, Worker::Cpu { isa: own, .. } if *own == isa);
        let parts = workers(true).into_iter().filter(takes_part).count();
        assert_eq!(parts, 3, "{isa}: threads 1, 2 and 5");
    }
}

/// What must be equal wherever the case is run.
#[derive(PartialEq)]
struct Found {
    hash: String,
    model: Vec<u8>,
    metrics: Vec<u8>,
}

impl Case {
    fn check(&self, recipe: &Path) {
        let mut workers = workers(self.everywhere).into_iter();
        let first = self.run(recipe, workers.next().expect("a worker"));
        let wanted = golden(self.name, &first.hash);
        assert_eq!(
            first.hash, wanted,
            "{}: the golden hash (MMH_BLESS=1 writes it anew)",
            self.name
        );
        for worker in workers {
            let found = self.run(recipe, worker);
            let who = format!("{}, {worker:?}", self.name);
            assert_eq!(found.hash, first.hash, "{who}");
            assert!(found.metrics == first.metrics, "{who}: other metrics");
            assert!(found.model == first.model, "{who}: another model file");
        }
    }

    fn run(&self, recipe: &Path, worker: Worker) -> Found {
        let place = Place::new();
        let recipe = recipe.to_str().expect("a path in UTF-8");
        let mut arguments = vec![
            "run",
            recipe,
            "--no-search",
            "--json",
            "--out",
            "out",
            "--limit",
            self.limit,
        ];
        arguments.extend(self.set.iter().flat_map(|set| ["--set", *set]));
        let options = worker.options();
        arguments.extend(options.iter().map(String::as_str));
        let json = place.mmhc(&arguments).ends(0).json();
        assert_eq!(
            ["device", "isa", "threads"].map(|key| json[key].clone()),
            worker.names()
        );
        Found {
            hash: json["model_hash"].as_str().expect("a hash").to_owned(),
            model: place.read("out/model.safetensors"),
            metrics: place.read("out/metrics.json"),
        }
    }
}

/// The hash that is stored for a case; with `MMH_BLESS=1`, `found` is stored first.
fn golden(name: &str, found: &str) -> String {
    static FILE: Mutex<()> = Mutex::new(());
    let _alone = FILE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = hashes();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    let mut hashes: std::collections::BTreeMap<&str, &str> = pairs.collect();
    if std::env::var_os("MMH_BLESS").is_some_and(|bless| bless == "1") {
        hashes.insert(name, found);
        let lines: String = hashes
            .iter()
            .map(|(name, hash)| format!("{name} {hash}\n"))
            .collect();
        std::fs::write(&path, lines).expect("tests/golden/hashes.txt is written");
    }
    hashes
        .get(name)
        .unwrap_or_else(|| panic!("`{name}` has no golden hash; MMH_BLESS=1 writes it"))
        .to_string()
}

#[test]
fn every_example_has_its_hash() {
    let text = std::fs::read_to_string(hashes()).expect("tests/golden/hashes.txt");
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split([' ', '-']).next())
        .collect();
    for entry in std::fs::read_dir(examples())
        .expect("the examples")
        .flatten()
    {
        let path = entry.path();
        if path.extension().is_some_and(|it| it == "mmh") {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            assert!(names.contains(&name.as_str()), "`{name}` has no case here");
        }
    }
}

fn hashes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/hashes.txt")
}
