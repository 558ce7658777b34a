//! The folder of a search, tampered with in many ways: each is named, by the file and what was done to it.

use crate::support::{Place, Ran, examples};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A search that ended, and copies of its folder.
struct Study {
    place: Place,
}

/// A copy to do something to.
struct Copy<'a> {
    place: &'a Place,
    folder: PathBuf,
}

impl Study {
    fn new() -> Self {
        let place = Place::new();
        let recipe = examples().join("search.mmh");
        let recipe = recipe.to_str().expect("a path in UTF-8");
        let words = [
            "run",
            recipe,
            "--out",
            "whole",
            "--set",
            "tune.budget=12 trials",
            "--set",
            "tune.propose=tpe(startup = 4 trials)",
        ];
        place.mmhc(&words).ends(0);
        Self { place }
    }

    fn copy(&self) -> Copy<'_> {
        let folder = self.place.path("copy");
        let _ = fs::remove_dir_all(&folder);
        copy_folder(&self.place.path("whole"), &folder);
        Copy {
            place: &self.place,
            folder,
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

impl Copy<'_> {
    fn verify(&self, more: &[&str]) -> Ran {
        let data = examples();
        let data = data.to_str().expect("a path in UTF-8");
        self.place
            .mmhc(&[&["verify", "copy", "--json", "--data", data], more].concat())
    }

    fn lines(&self, journal: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join(journal)).expect("a journal");
        text.lines().map(str::to_owned).collect()
    }

    fn write_lines(&self, lines: &[String]) {
        let text = lines.join("\n") + "\n";
        fs::write(self.folder.join("study/journal"), text).expect("written");
    }

    /// Numbers, links and hashes of all lines made anew, as somebody would who knows the format.
    fn forge(&self, journal: &str, change: impl Fn(&mut Vec<Value>)) {
        let entry = |line: &String| -> Value {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["entry"].clone()
        };
        let mut entries: Vec<Value> = self.lines(journal).iter().map(entry).collect();
        change(&mut entries);
        let (mut text, mut prev) = (String::new(), "0".repeat(64));
        for (n, entry) in entries.iter().enumerate() {
            let hashed = format!(r#"{{"n":{n},"prev":"{prev}","entry":{entry}"#);
            let mut hasher = blake3::Hasher::new_derive_key("mmh journal 1");
            hasher.update(hashed.as_bytes());
            prev = hasher.finalize().to_hex().to_string();
            text += &format!("{hashed},\"hash\":\"{prev}\",\"wall\":{{}}}}\n");
        }
        fs::write(self.folder.join(journal), text).expect("written");
    }

    /// The same for the study's journal.
    fn forge_study(&self, change: impl Fn(&mut Vec<Value>)) {
        self.forge("study/journal", change);
    }

    /// The same for one entry of a kind.
    fn forge_entry(&self, kind: &str, number: usize, change: impl Fn(&mut Value)) {
        self.forge_study(|entries| {
            let mut of_kind = entries.iter_mut().filter_map(|entry| entry.get_mut(kind));
            change(of_kind.nth(number).expect("it is there"));
        });
    }

    fn entries(&self, kind: &str) -> Vec<Value> {
        let entry = |line: &String| -> Option<Value> {
            let line: Value = serde_json::from_str(line).expect("JSON");
            line["entry"].get(kind).cloned()
        };
        self.lines("study/journal")
            .iter()
            .filter_map(entry)
            .collect()
    }

    /// The run folder that shows a result.
    fn trial(&self, result: &Value) -> String {
        let plan = result["witness"]["plan_hash"].as_str().expect("a hash");
        format!("study/trials/{}", &plan["blake3:".len()..][..24])
    }
}

fn bits(value: f64) -> Value {
    json!(format!("{:016x}", value.to_bits()))
}

fn number(bits: &Value) -> f64 {
    let bits = bits.as_str().expect("bits");
    f64::from_bits(u64::from_str_radix(bits, 16).expect("hex digits"))
}

/// Changes a curve's last figure and the outcome with it.
fn improve(result: &mut Value) {
    let curve = result["curve"].as_array_mut().expect("a curve");
    let last = curve.last_mut().expect("a point");
    last[1] = bits(0.001);
    result["outcome"]["value"] = bits(0.001);
}

type Tamper = fn(&Copy<'_>);

/// What is done to the folder, the file that must be named, and words that must be said.
const KINDS: &[(&str, Tamper, &str, &str)] = &[
    (
        "a line",
        |copy| {
            let mut lines = copy.lines("study/journal");
            lines[4] = lines[4].replacen("\"trial\":", "\"trial\": ", 1);
            copy.write_lines(&lines);
        },
        "study/journal",
        "line 5 was changed",
    ),
    (
        "a trial's figure",
        |copy| {
            copy.forge_entry("result", 3, |result| {
                result["outcome"]["value"] = bits(0.01)
            })
        },
        "study/journal",
        "its figure is 0.01, the best that was watched is",
    ),
    (
        "a trial's figure and what was watched",
        |copy| copy.forge_entry("result", 3, improve),
        "study/journal",
        "is not what its run measured",
    ),
    (
        "a measurement left out",
        |copy| {
            copy.forge_entry("result", 3, |result| {
                result["curve"].as_array_mut().expect("a curve").remove(0);
            });
        },
        "study/journal",
        "is left out",
    ),
    (
        "a trial's figure, and its run with it",
        |copy| {
            let result = copy.entries("result").remove(0);
            let journal = format!("{}/journal", copy.trial(&result));
            copy.forge(&journal, |entries| {
                let mut watches = entries.iter_mut().filter_map(|it| it.get_mut("watch"));
                watches.nth(2).expect("a watch")["metrics"]["cross_entropy"] = json!(0.001);
            });
            copy.forge_entry("result", 0, improve);
        },
        "study/",
        "is the best and is not called so|are not those that follow|was not to be trained|is called the best and is not",
    ),
    (
        "the state a result names",
        |copy| {
            copy.forge_entry("result", 2, |result| {
                result["witness"]["state"] = json!("1".repeat(64));
            });
        },
        "study/journal",
        "its run does not have the state it names",
    ),
    (
        "a result without its run",
        |copy| {
            copy.forge_entry("result", 2, |result| {
                result.as_object_mut().expect("fields").remove("witness");
            });
        },
        "study/journal",
        "it names no run that shows it",
    ),
    (
        "a trial that diverged, as it is said",
        |copy| {
            copy.forge_entry("result", 2, |result| {
                result["outcome"] = json!({ "diverged": 5 });
            });
        },
        "study/journal",
        "it says that the training diverged after 5 steps, its run does not",
    ),
    (
        "a trial's settings",
        |copy| {
            copy.forge_entry("trial", 5, |trial| {
                let point = trial["point"].as_str().expect("a point");
                trial["point"] = json!(point.replacen('c', "c1", 1));
            });
        },
        "study/journal",
        "the settings of trial 6 are not those that follow from the results before it",
    ),
    (
        "a trial's plan",
        |copy| {
            copy.forge_study(|entries| {
                let mut results = entries.iter_mut().filter_map(|it| it.get_mut("result"));
                let later = results.find(|it| it["rung"] == 1).expect("a second rung");
                later["plan_hash"] = json!(format!("blake3:{}", "2".repeat(64)));
            });
        },
        "study/journal",
        "has another plan than before",
    ),
    (
        "the seed",
        |copy| {
            copy.forge_entry("start", 0, |start| {
                let text = start["search"].as_str().expect("text");
                let at = text.find("seed ").expect("a seed") + 5;
                let other = if text.as_bytes()[at] == b'0' {
                    "1"
                } else {
                    "0"
                };
                let mut text = text.to_owned();
                text.replace_range(at..=at, other);
                start["search"] = json!(text);
            });
        },
        "study/journal",
        "the settings of trial 1 are not those",
    ),
    (
        "how it is searched",
        |copy| {
            copy.forge_entry("start", 0, |start| {
                let text = start["search"].as_str().expect("text");
                start["search"] = json!(text.replace("budget 12", "budget many"));
            });
        },
        "study/journal",
        "the search cannot be read",
    ),
    (
        "the share that goes on",
        |copy| {
            copy.forge_entry("start", 0, |start| {
                let text = start["search"].as_str().expect("text");
                start["search"] =
                    json!(text.replace("halving 3fd5555555555555", "halving 3fe0000000000000"));
            });
        },
        "study/journal",
        "was not to be trained to there|ends ahead of trials and results",
    ),
    (
        "the order: a result ahead of its trial",
        |copy| {
            copy.forge_study(|entries| {
                let trial = entries.iter().position(|it| it["trial"]["trial"] == 6);
                let result = entries.iter().position(|it| it["result"]["trial"] == 6);
                let result = entries.remove(result.expect("a result"));
                entries.insert(trial.expect("a trial") - 2, result);
            });
        },
        "study/journal",
        "this trial was not to be trained to there",
    ),
    (
        "the order of two lines",
        |copy| {
            let mut lines = copy.lines("study/journal");
            lines.swap(3, 4);
            copy.write_lines(&lines);
        },
        "study/journal",
        "number 3 was removed or moved",
    ),
    (
        "a trial taken out",
        |copy| {
            copy.forge_study(|entries| entries.retain(|it| it["trial"]["trial"] != 4));
        },
        "study/journal",
        "it proposes trial 6, and trial 5 is due",
    ),
    (
        "a decision: one that was stopped goes on",
        |copy| {
            copy.forge_study(|entries| {
                let went: Vec<u64> = entries
                    .iter()
                    .filter(|it| it["result"]["rung"] == 1)
                    .filter_map(|it| it["result"]["trial"].as_u64())
                    .collect();
                let mut first = entries.iter().filter(|it| it["result"]["rung"] == 0);
                let stopped = first.find(|it| {
                    it["result"]["trial"]
                        .as_u64()
                        .is_some_and(|trial| !went.contains(&trial))
                });
                let mut more = stopped.expect("a stopped trial").clone();
                more["result"]["rung"] = json!(1);
                let end = entries.len() - 1;
                entries.insert(end, more);
            });
        },
        "study/journal",
        "this trial was not to be trained to there",
    ),
    (
        "a decision: one that was to go on is left out",
        |copy| {
            copy.forge_study(|entries| {
                let at = entries.iter().rposition(|it| it["result"]["rung"] == 1);
                entries.remove(at.expect("a second rung"));
            });
        },
        "study/journal",
        "was not to be trained to there|ends ahead of trials and results",
    ),
    (
        "the chosen best",
        |copy| {
            copy.forge_entry("end", 0, |end| {
                let best = end["best"].as_u64().expect("a number");
                end["best"] = json!((best + 1) % 12);
            });
        },
        "study/journal",
        "is called the best, and trial",
    ),
    (
        "the study's hash",
        |copy| {
            copy.forge_entry("end", 0, |end| {
                end["study_hash"] = json!(format!("blake3:{}", "3".repeat(64)));
            });
        },
        "study/journal",
        "the hash of the study is not that of its trials and results",
    ),
    (
        "the best model's hash",
        |copy| {
            copy.forge_entry("end", 0, |end| {
                end["model_hash"] = json!(format!("blake3:{}", "3".repeat(64)));
            });
        },
        "study/journal",
        "the model in its last line is not the model of the run in the folder",
    ),
    (
        "the journal cut at a line",
        |copy| {
            let mut lines = copy.lines("study/journal");
            lines.pop();
            copy.write_lines(&lines);
        },
        "study/journal",
        "the lines of its end are missing",
    ),
    (
        "the journal cut in a line",
        |copy| {
            let path = copy.folder.join("study/journal");
            let bytes = fs::read(&path).expect("a journal");
            fs::write(&path, &bytes[..bytes.len() - 30]).expect("written");
        },
        "study/journal",
        "is torn: the file was cut short",
    ),
    (
        "the journal emptied",
        |copy| fs::write(copy.folder.join("study/journal"), "").expect("written"),
        "study/journal",
        "it holds no line",
    ),
    (
        "the model of the best trial",
        |copy| {
            let name = format!(
                "{}/model.safetensors",
                copy.trial(copy.entries("result").last().expect("one"))
            );
            let path = copy.folder.join(name);
            let mut bytes = fs::read(&path).expect("a model");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(&path, bytes).expect("written");
        },
        "/model.safetensors",
        "its parameters were changed",
    ),
    (
        "the model in the folder",
        |copy| {
            let path = copy.folder.join("model.safetensors");
            let mut bytes = fs::read(&path).expect("a model");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(&path, bytes).expect("written");
        },
        "model.safetensors",
        "its parameters were changed",
    ),
    (
        "a trial's checkpoint",
        |copy| {
            let trial = copy.folder.join(copy.trial(&copy.entries("result")[1]));
            let place = trial.join("checkpoints/0-fit");
            let entry = fs::read_dir(place).expect("checkpoints").flatten().next();
            let path = entry.expect("a checkpoint").path();
            let mut bytes = fs::read(&path).expect("read");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).expect("written");
        },
        ".checkpoint",
        "it is damaged",
    ),
    (
        "a trial's run taken out",
        |copy| {
            let trial = copy.trial(&copy.entries("result")[1]);
            fs::remove_dir_all(copy.folder.join(trial)).expect("removed");
        },
        "study/trials/",
        "it is missing: results of the search name it",
    ),
    (
        "two trials' runs exchanged",
        |copy| {
            let results = copy.entries("result");
            let [one, other] = [0, 1].map(|at| copy.folder.join(copy.trial(&results[at])));
            let aside = copy.folder.join("aside");
            fs::rename(&one, &aside).expect("moved");
            fs::rename(&other, &one).expect("moved");
            fs::rename(&aside, &other).expect("moved");
        },
        "study/trials/",
        "it was exchanged: it holds the run of another plan",
    ),
    (
        "another run in the folder",
        |copy| {
            let data = examples().join("search.mmh");
            let recipe = data.to_str().expect("a path in UTF-8");
            let words = [
                "run",
                recipe,
                "--no-search",
                "--out",
                "other",
                "--set",
                "tune.budget=12 trials",
            ];
            copy.place.mmhc(&words).ends(0);
            for name in [
                "model.safetensors",
                "statistics.json",
                "recipe.mmh",
                "mmh.lock",
                "plan",
                "journal",
                "metrics.json",
                "report.html",
            ] {
                fs::copy(copy.place.path("other").join(name), copy.folder.join(name))
                    .expect("copied");
            }
        },
        "journal",
        "the run in the folder is not the one that the search ended with",
    ),
    (
        "the study's metrics",
        |copy| {
            let path = copy.folder.join("study/metrics.json");
            let text = fs::read_to_string(&path).expect("metrics");
            fs::write(&path, text.replacen("\"finished\": ", "\"finished\": 1", 1))
                .expect("written");
        },
        "study/metrics.json",
        "it was changed",
    ),
    (
        "the study's report",
        |copy| fs::remove_file(copy.folder.join("study/report.html")).expect("removed"),
        "study/report.html",
        "it is missing",
    ),
];

#[test]
fn every_change_of_a_search_is_named() {
    let study = Study::new();
    let whole = study
        .copy()
        .verify(&["--spot", "20%", "--seed", "5"])
        .ends(0)
        .json();
    assert_eq!(whole["verdict"], "consistent");
    assert_eq!(whole["study"]["trials"], 12);
    assert_eq!(whole["study"]["results"], whole["study"]["shown"]);
    assert_eq!(whole["trials_again"]["runs"], 3);
    for (what, tamper, file, words) in KINDS {
        let copy = study.copy();
        tamper(&copy);
        let found = copy.verify(&[]);
        let said = found.json();
        let changes = said["changes"].as_array().cloned().unwrap_or_default();
        let named = changes.iter().any(|change| {
            let text = change["what"].as_str().unwrap_or_default();
            change["file"].as_str().unwrap_or_default().contains(file)
                && words.split('|').any(|words| text.contains(words))
        });
        assert!(
            named && found.status == Some(1),
            "{what}: `{file}`, `{words}` in {changes:#?}\n{}",
            found.err
        );
    }
    assert!(KINDS.len() >= 30);
}

/// Who rewrites a trial and all that follows from it is found out by training it again.
#[test]
fn a_trial_that_was_made_up_does_not_come_out_again() {
    let study = Study::new();
    let copy = study.copy();
    let result = copy.entries("result").remove(0);
    let value = number(&result["outcome"]["value"]);
    // So little that no decision and no proposal is another one.
    let near = f64::from_bits(value.to_bits() + 1);
    let journal = format!("{}/journal", copy.trial(&result));
    copy.forge(&journal, |entries| {
        for watch in entries.iter_mut().filter_map(|it| it.get_mut("watch")) {
            if watch["metrics"]["cross_entropy"].as_f64() == Some(value) {
                watch["metrics"]["cross_entropy"] = json!(near);
            }
        }
    });
    copy.forge_study(|entries| {
        let results = entries.iter_mut().filter_map(|it| it.get_mut("result"));
        for other in results.filter(|other| other["trial"] == result["trial"]) {
            let curve = other["curve"].as_array_mut().expect("a curve");
            for point in curve.iter_mut().filter(|point| number(&point[1]) == value) {
                point[1] = bits(near);
            }
            if number(&other["outcome"]["value"]) == value {
                other["outcome"]["value"] = bits(near);
            }
        }
    });
    let seen = copy.verify(&[]).ends(1);
    assert!(
        seen.out.contains("the hash of the study is not that"),
        "{}",
        seen.out
    );
    // Of a search that did not end, nothing tells it but training again.
    copy.forge_study(|entries| {
        entries.pop();
    });
    for entry in fs::read_dir(&copy.folder).expect("a folder").flatten() {
        if entry.path().is_file() {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    for name in ["metrics.json", "report.html"] {
        fs::remove_file(copy.folder.join("study").join(name)).expect("removed");
    }
    let seen = copy.verify(&[]).ends(0).json();
    assert_eq!(seen["verdict"], "consistent", "{seen}");
    assert_eq!(seen["finished"], false);
    let seen = copy.verify(&["--replay"]).ends(1).json();
    assert_eq!(seen["verdict"], "not-reproduced", "{seen}");
    let differ = seen["trials_again"]["differ"].to_string();
    assert!(differ.contains("cross_entropy"), "{differ}");
}
