//! Folders that were tampered with, and runs that are done again.

mod common;

use common::*;
use mmh_interpret::Interpreter;
use mmh_numerics::random::Seed;
use mmh_runtime::audit::{self, Again, Examined, find_data};
use mmh_runtime::journal::{Event, FIRST, read};
use mmh_runtime::{Limit, Options, Session, Silent};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with a run in it.
struct Run {
    base: tempfile::TempDir,
    out: PathBuf,
}

impl Run {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let out = base.path().join("out");
        let given = mmh_runtime::RecipeText {
            text: "mmh 1\n".into(),
            used: vec![("lib/a.mmh".into(), "mmh 1\n// used\n".into())],
        };
        let options = Options {
            recipe: given,
            ..into(&out)
        };
        run(&plan(base.path()), base.path(), options).0.unwrap();
        Self { base, out }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let mut bytes = self.read(name);
        let at = bytes
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .unwrap_or_else(|| panic!("{name} has no {from}"));
        bytes.splice(at..at + from.len(), to.bytes());
        self.write(name, bytes);
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.read("journal")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn write_lines(&self, lines: &[String]) {
        self.write("journal", lines.join("\n") + "\n");
    }

    /// Numbers, links and hashes of all lines made anew, as somebody would who knows the format.
    fn forge(&self, change: impl Fn(&mut Vec<Value>)) {
        let mut entries: Vec<Value> = Vec::new();
        for line in self.lines() {
            let line: Value = serde_json::from_str(&line).unwrap();
            entries.push(line["entry"].clone());
        }
        change(&mut entries);
        let (mut text, mut prev) = (String::new(), FIRST.to_owned());
        for (n, entry) in entries.iter().enumerate() {
            let hashed = format!(r#"{{"n":{n},"prev":"{prev}","entry":{entry}"#);
            let mut hasher = blake3::Hasher::new_derive_key("mmh journal 1");
            hasher.update(hashed.as_bytes());
            prev = hasher.finalize().to_hex().to_string();
            text += &format!("{hashed},\"hash\":\"{prev}\",\"wall\":{{\"time\":0.0}}}}\n");
        }
        assert!(read::<Event>(text.as_bytes()).is_ok());
        self.write("journal", text);
    }

    /// As [`Run::forge`], for the first entry of a kind.
    fn forge_entry(&self, kind: &str, change: impl Fn(&mut Value)) {
        self.forge(|entries| {
            let mut of_kind = entries.iter_mut().filter_map(|entry| entry.get_mut(kind));
            change(of_kind.next().expect("there is one"));
        });
    }

    /// A file is changed and its hash in the journal with it.
    fn forge_file(&self, line: &str, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        let hash = blake3::hash(bytes).to_hex().to_string();
        self.forge_entry(line, |entry| entry["files"][name] = json!(hash));
    }

    fn examined(&self) -> Examined {
        audit::examine(&self.out).unwrap()
    }

    fn checkpoints(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("checkpoints/0-fit"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|name| format!("checkpoints/0-fit/{name}"))
            .collect()
    }
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 1;
}

type Tamper = fn(&Run);

/// What is done to a folder, the file that must be named, and words that must be said.
const KINDS: &[(&str, Tamper, &str, &str)] = &[
    (
        "a parameter",
        |run| {
            let mut bytes = run.read("model.safetensors");
            let last = bytes.len() - 1;
            flip(&mut bytes, last);
            run.write("model.safetensors", bytes);
        },
        "model.safetensors",
        "its parameters were changed",
    ),
    (
        "a parameter and its file's hash",
        |run| {
            let mut bytes = run.read("model.safetensors");
            let last = bytes.len() - 1;
            flip(&mut bytes, last);
            run.forge_file("end", "model.safetensors", &bytes);
        },
        "model.safetensors",
        "`net.weight` of `fit` differ from the last checkpoint",
    ),
    (
        "the model cut short",
        |run| {
            let bytes = run.read("model.safetensors");
            run.write("model.safetensors", &bytes[..bytes.len() / 2]);
        },
        "model.safetensors",
        "it cannot be read",
    ),
    (
        "the model removed",
        |run| fs::remove_file(run.path("model.safetensors")).unwrap(),
        "model.safetensors",
        "it is missing",
    ),
    (
        "the model's own words",
        |run| {
            run.edit(
                "model.safetensors",
                "\"plan_hash\":\"blake3:",
                "\"plan_hash\":\"blake4:",
            )
        },
        "model.safetensors",
        "it was changed",
    ),
    (
        "a metric",
        |run| run.edit("metrics.json", "\"accuracy\": ", "\"accuracy\": 1"),
        "metrics.json",
        "`metrics.",
    ),
    (
        "a metric and its file's hash",
        |run| {
            let text = String::from_utf8(run.read("metrics.json")).unwrap();
            let text = text.replacen("\"accuracy\": ", "\"accuracy\": 1", 1);
            run.forge_file("end", "metrics.json", text.as_bytes());
        },
        "metrics.json",
        "accuracy` is ",
    ),
    (
        "a metric everywhere but in the measurement's rank",
        |run| {
            run.forge_entry("watch", |watch| {
                watch["metrics"]["rmse"] = json!(1e-9);
            })
        },
        "journal",
        "is the best and is not called so|is called the best and is not",
    ),
    (
        "the report",
        |run| run.edit("report.html", "<table>", "<table >"),
        "report.html",
        "it was changed",
    ),
    (
        "the statistics",
        |run| run.write("statistics.json", "[[[0.5]]]\n"),
        "statistics.json",
        "it was changed",
    ),
    (
        "the recipe",
        |run| run.write("recipe.mmh", "mmh 1\n// more\n"),
        "recipe.mmh",
        "it was changed",
    ),
    (
        "the recipe emptied",
        |run| run.write("recipe.mmh", ""),
        "recipe.mmh",
        "it was emptied",
    ),
    (
        "a file the recipe uses",
        |run| run.write("recipe/lib/a.mmh", "mmh 1\n"),
        "recipe/lib/a.mmh",
        "it was changed",
    ),
    (
        "a file added to the recipe",
        |run| run.write("recipe/lib/b.mmh", "mmh 1\n"),
        "recipe/lib/b.mmh",
        "it was added",
    ),
    (
        "the plan's rate",
        |run| run.edit("plan", "\"lr\": 0.2", "\"lr\": 0.3"),
        "plan",
        "its hash is",
    ),
    (
        "the plan and its file's hash",
        |run| {
            let text = String::from_utf8(run.read("plan")).unwrap().replacen(
                "\"lr\": 0.2",
                "\"lr\": 0.3",
                1,
            );
            run.forge_file("start", "plan", text.as_bytes());
        },
        "plan",
        "its hash is",
    ),
    (
        "the plan is no plan",
        |run| run.write("plan", "{}"),
        "plan",
        "it cannot be read",
    ),
    (
        "the seed in the journal",
        |run| run.forge_entry("start", |start| start["seed"] = json!("0".repeat(64))),
        "plan",
        "its seed is",
    ),
    (
        "the lock's content hash",
        |run| {
            let text = String::from_utf8(run.read("mmh.lock")).unwrap();
            let at = text.find("\"content\": \"blake3:").unwrap() + 19;
            let mut bytes = text.into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            run.forge_file("start", "mmh.lock", &bytes);
        },
        "mmh.lock",
        "not the data of the journal",
    ),
    (
        "the lock's file hash",
        |run| {
            let text = String::from_utf8(run.read("mmh.lock")).unwrap();
            let at = text.rfind("\"blake3\": \"").unwrap() + 11;
            let mut bytes = text.into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            run.forge_file("start", "mmh.lock", &bytes);
        },
        "mmh.lock",
        "the files of `points` are not those of the plan",
    ),
    (
        "the data's hash in the journal",
        |run| {
            run.forge_entry("start", |start| {
                start["data_hash"] = json!(format!("blake3:{}", "0".repeat(64)));
            })
        },
        "journal",
        "does not continue the chain of states",
    ),
    (
        "the order of rows of an epoch",
        |run| {
            run.forge(|entries| {
                let mut epochs = entries
                    .iter_mut()
                    .filter_map(|entry| entry.get_mut("epoch"));
                epochs.next_back().unwrap()["order"] = json!("0".repeat(64));
            });
        },
        "journal",
        "the order of the rows in epoch 6 of `fit`",
    ),
    (
        "the order of rows of a mark",
        |run| run.forge_entry("state", |state| state["order"] = json!("1".repeat(64))),
        "journal",
        "does not continue the chain of states",
    ),
    (
        "a state",
        |run| run.forge_entry("state", |state| state["state"] = json!("1".repeat(64))),
        "journal",
        "does not continue the chain of states",
    ),
    (
        "the root",
        |run| {
            run.forge_entry("end", |end| {
                end["trails"][0]["root"] = json!("1".repeat(64))
            })
        },
        "journal",
        "the root over the states of `fit`",
    ),
    (
        "a mark left out",
        |run| {
            run.forge(|entries| {
                let at = entries
                    .iter()
                    .position(|entry| entry["state"]["step"] == 0)
                    .unwrap();
                entries.remove(at);
            })
        },
        "journal",
        "does not continue the chain of states",
    ),
    (
        "an epoch left out",
        |run| run.forge(|entries| entries.retain(|entry| entry["epoch"]["epoch"] != 2)),
        "journal",
        "epoch 2 of `fit` is missing",
    ),
    (
        "a measurement left out",
        |run| run.forge(|entries| entries.retain(|entry| entry["watch"]["step"] != 6)),
        "journal",
        "the measurement of `fit` after 6 steps is missing",
    ),
    (
        "the number of steps",
        |run| run.forge_entry("end", |end| end["steps"] = json!(25)),
        "journal",
        "counts 25 steps",
    ),
    (
        "a training that is not there",
        |run| run.forge_entry("epoch", |epoch| epoch["training"] = json!("fib")),
        "journal",
        "the plan has no training `fib`",
    ),
    (
        "a line removed",
        |run| {
            let mut lines = run.lines();
            lines.remove(4);
            run.write_lines(&lines);
        },
        "journal",
        "a line is missing ahead of line 5: number 4",
    ),
    (
        "lines removed",
        |run| {
            let mut lines = run.lines();
            lines.drain(4..7);
            run.write_lines(&lines);
        },
        "journal",
        "numbers 4 to 6 were removed or moved",
    ),
    (
        "a line added",
        |run| {
            let mut lines = run.lines();
            lines.insert(5, lines[3].clone());
            run.write_lines(&lines);
        },
        "journal",
        "line 6 repeats line 4",
    ),
    (
        "lines exchanged",
        |run| {
            let mut lines = run.lines();
            lines.swap(4, 5);
            run.write_lines(&lines);
        },
        "journal",
        "a line is missing ahead of line 5",
    ),
    (
        "a bit of a line",
        |run| {
            let mut lines = run.lines();
            lines[5] = lines[5].replacen("\"training\":\"fit\"", "\"training\":\"fiu\"", 1);
            run.write_lines(&lines);
        },
        "journal",
        "line 6 was changed",
    ),
    (
        "a line that is no JSON",
        |run| {
            let mut lines = run.lines();
            lines[5].remove(0);
            run.write_lines(&lines);
        },
        "journal",
        "line 6 is no line of a journal",
    ),
    (
        "lines of the end removed",
        |run| {
            let mut lines = run.lines();
            lines.truncate(lines.len() - 3);
            run.write_lines(&lines);
        },
        "journal",
        "the lines of its end are missing",
    ),
    (
        "the journal cut short",
        |run| {
            let bytes = run.read("journal");
            run.write("journal", &bytes[..bytes.len() - 20]);
        },
        "journal",
        "is torn",
    ),
    (
        "the journal emptied",
        |run| run.write("journal", ""),
        "journal",
        "it holds no line",
    ),
    (
        "a line made anew",
        |run| {
            let mut lines = run.lines();
            let other = Run::new().lines();
            lines[0] = other[0].replacen("\"n\":0", "\"n\":0 ", 1);
            run.write_lines(&lines);
        },
        "journal",
        "line 1 was changed",
    ),
    (
        "a checkpoint's bit",
        |run| {
            let name = &run.checkpoints()[1];
            let mut bytes = run.read(name);
            let middle = bytes.len() / 2;
            flip(&mut bytes, middle);
            run.write(name, bytes);
        },
        "checkpoints/0-fit/000000000010.checkpoint",
        "it is damaged",
    ),
    (
        "checkpoints exchanged",
        |run| {
            let names = run.checkpoints();
            run.write(&names[1], run.read(&names[0]));
        },
        "checkpoints/0-fit/000000000010.checkpoint",
        "it holds the state after 5 steps",
    ),
    (
        "a checkpoint of another run",
        |run| {
            let other = tempfile::tempdir().unwrap();
            let mut plan = plan(other.path());
            plan.trainings[0].checkpoint = 10;
            plan.trainings[0].checkpoint = 5;
            let limited = Options {
                limit: Some(Limit::Steps(10)),
                ..into(&other.path().join("out"))
            };
            run_(&plan, other.path(), limited);
            let name = &run.checkpoints()[1];
            let other = fs::read(other.path().join("out").join(name)).unwrap();
            run.write(name, other);
        },
        "checkpoints/0-fit/000000000010.checkpoint",
        "the journal names another checkpoint",
    ),
    (
        "a checkpoint removed",
        |run| fs::remove_file(run.path(&run.checkpoints()[1])).unwrap(),
        "checkpoints/0-fit/000000000010.checkpoint",
        "it is missing",
    ),
    (
        "a file outside the folder",
        |run| {
            run.forge_entry("start", |start| {
                start["files"]["../x"] = json!("0".repeat(64))
            })
        },
        "journal",
        "outside the folder",
    ),
];

fn run_(plan: &mmh_ir::Plan, base: &Path, options: Options) {
    run(plan, base, options).0.unwrap();
}

#[test]
fn every_kind_of_tampering_is_named() {
    for (kind, tamper, file, words) in KINDS {
        let run = Run::new();
        assert_eq!(run.examined().changes, [], "{kind}: before");
        tamper(&run);
        let changes = run.examined().changes;
        let said = |change: &audit::Change| {
            change.file == *file && words.split('|').any(|words| change.what.contains(words))
        };
        assert!(changes.iter().any(said), "{kind}: {changes:#?}");
    }
    assert!(KINDS.len() >= 20);
}

#[test]
fn a_finished_folder_is_whole_whatever_happened_on_the_way() {
    let base = tempfile::tempdir().unwrap();
    let plan = plan(base.path());
    let out = base.path().join("out");
    for limit in [7, 10, 13, 24] {
        let options = Options {
            limit: Some(Limit::Steps(limit)),
            ..resume(&out)
        };
        run_(&plan, base.path(), options);
        let found = audit::verify(&out).unwrap();
        assert_eq!((found.changes.len(), found.notes.len()), (0, 0), "{limit}");
    }
    let whole = base.path().join("whole");
    run_(&plan, base.path(), into(&whole));
    let (a, b) = (audit::verify(&out).unwrap(), audit::verify(&whole).unwrap());
    assert_eq!(a.end().unwrap().trails, b.end().unwrap().trails);
    assert_eq!(a.marks, b.marks);
    assert!(a.head() != b.head());
}

#[test]
fn a_run_that_takes_the_place_of_another_names_it() {
    let base = tempfile::tempdir().unwrap();
    let mut plan = plan(base.path());
    let out = base.path().join("out");
    run_(&plan, base.path(), into(&out));
    let first = audit::verify(&out).unwrap();
    assert_eq!(first.start().unwrap().parent, None);
    plan.trainings[0].batch = BATCH;
    plan.seed = format!("{:064x}", 8);
    run_(&plan, base.path(), into(&out));
    let second = audit::verify(&out).unwrap();
    let parent = second.start().unwrap().parent.unwrap();
    assert_eq!(parent.head, first.head());
    assert_eq!(parent.model_hash.as_deref(), first.model_hash());
}

/// Does something with a run that can be done again.
fn again<T>(run: &Run, then: impl FnOnce(&Again<'_>) -> T) -> T {
    let found = run.examined();
    let plan = found.plan.clone().unwrap();
    let here = find_data(&plan, &[run.base.path().to_path_buf()]).unwrap();
    let data = mmh_runtime::load_data(&here, Path::new("")).unwrap();
    let session = Session::with_data(&plan, data.into(), &Interpreter, Options::default()).unwrap();
    then(&Again {
        found: &found,
        session: &session,
    })
}

#[test]
fn done_again_a_run_comes_out() {
    let run = Run::new();
    again(&run, |again| {
        let all = again.everything(&mut Silent).unwrap();
        assert_eq!((all.differ, all.steps, all.of), (vec![], STEPS, STEPS));
        let seed = Seed::from_integer(1);
        let spot = again.spots(0.01, &seed, &mut Silent).unwrap();
        // Checkpoints stand after 5, 10, 15, 20 and 24 steps.
        assert_eq!((spot.segments, spot.of, spot.always), (3, 5, 2));
        assert_eq!(spot.reached.differ, Vec::<String>::new());
        assert_eq!(spot.reached.steps, 5 + 5 + 4);
        assert!((spot.detection(1) - 1.0 / 3.0).abs() < 1e-12);
        assert!((spot.detection(2) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((spot.detection(0), spot.detection(3)), (0.0, 1.0));
        let every = again.spots(1.0, &seed, &mut Silent).unwrap();
        assert_eq!((every.segments, every.reached.steps), (5, STEPS));
    });
}

#[test]
fn what_is_forged_consistently_does_not_come_out_again() {
    // All hashes are made anew: reading alone cannot find it.
    let run = Run::new();
    run.forge_entry("epoch", |epoch| epoch["loss"] = json!(0.001));
    assert_eq!(run.examined().changes, []);
    again(&run, |again| {
        let all = again.everything(&mut Silent).unwrap();
        assert_eq!(all.differ.len(), 1);
        assert!(
            all.differ[0].contains("`fit`, step 4: the epoch's loss is"),
            "{:?}",
            all.differ
        );
    });
    // The metrics of the test rows.
    let run = Run::new();
    run.forge(|entries| {
        let end = entries.last_mut().unwrap();
        end["end"]["metrics"]["final"]["test"]["rmse"] = json!(0.0001);
    });
    let text = String::from_utf8(run.read("metrics.json")).unwrap();
    let mut metrics: Value = serde_json::from_str(&text).unwrap();
    metrics["metrics"]["final"]["test"]["rmse"] = json!(0.0001);
    let text = format!("{metrics:#}\n");
    run.forge_file("end", "metrics.json", text.as_bytes());
    assert_eq!(run.examined().changes, []);
    again(&run, |again| {
        let spot = again
            .spots(0.01, &Seed::from_integer(3), &mut Silent)
            .unwrap();
        assert!(
            spot.reached.differ[0].contains("`metrics.final.test.rmse` is"),
            "{spot:?}"
        );
    });
}

#[test]
fn data_is_found_by_its_hash_alone() {
    let run = Run::new();
    let plan = run.examined().plan.unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("data.csv"), "x\n1\n").unwrap();
    let missing = find_data(&plan, &[other.path().to_path_buf()]).unwrap_err();
    assert_eq!(missing.code(), "audit::data-missing");
    fs::create_dir(other.path().join("deep")).unwrap();
    fs::copy(
        run.base.path().join("data.csv"),
        other.path().join("deep/renamed"),
    )
    .unwrap();
    let found = find_data(&plan, &[other.path().to_path_buf()]).unwrap();
    let path = &audit::files_of(&found.data[0].source)[0].path;
    assert!(path.ends_with("deep/renamed"), "{path}");
}
