//! What TensorBoard and MLflow are told, read by their own readers.

use crate::support::{Place, examples, skip};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The Python of `MMH_PYTHON` if it has a module; where all is required, it must.
fn python(test: &str, module: &str) -> Option<String> {
    let required = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|all| all == "1");
    let Ok(python) = std::env::var("MMH_PYTHON") else {
        assert!(
            !required,
            "MMH_PYTHON is not set, and MMH_REQUIRE_ALL asks for it"
        );
        skip(test, "MMH_PYTHON is not set");
        return None;
    };
    let import = format!("import {module}");
    let there = Command::new(&python)
        .args(["-c", &import])
        .output()
        .is_ok_and(|it| it.status.success());
    if !there {
        assert!(
            !required,
            "{python} has no {module}, and MMH_REQUIRE_ALL asks for it"
        );
        skip(test, &format!("{python} has no {module}"));
        return None;
    }
    Some(python)
}

fn said(output: &Output) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

fn recipe(name: &str) -> String {
    let recipe = examples().join(name);
    recipe.to_str().expect("a path in UTF-8").to_owned()
}

/// A search of few trials.
const SHORT: &[&str] = &[
    "--set",
    "tune.budget=4 trials",
    "--set",
    "tune.propose=random",
];

const READER: &str = r#"
import json, os, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
found = {}
for folder, _, files in os.walk(sys.argv[1]):
    if not any(name.startswith("events.out.tfevents") for name in files):
        continue
    run = EventAccumulator(folder, size_guidance={"scalars": 0})
    run.Reload()
    scalars = {tag: [[it.step, it.value] for it in run.Scalars(tag)] for tag in run.Tags()["scalars"]}
    settings, status = {}, None
    try:
        plugin = run.PluginTagToContent("hparams")
    except KeyError:
        plugin = {}
    for content in plugin.values():
        data = plugin_data_pb2.HParamsPluginData.FromString(content)
        for name, value in data.session_start_info.hparams.items():
            settings[name] = value.number_value if value.HasField("number_value") else value.string_value
        if data.HasField("session_end_info"):
            status = data.session_end_info.status
    found[os.path.relpath(folder, sys.argv[1])] = {"scalars": scalars, "settings": settings, "status": status}
json.dump(found, sys.stdout)
"#;

#[test]
fn tensorboard_reads_runs_and_searches() {
    let Some(python) = python("tensorboard_reads_runs_and_searches", "tensorboard") else {
        return;
    };
    let place = Place::new();
    let read = |folder: &str| -> Value {
        let folder = place.path(folder);
        said(
            &Command::new(&python)
                .args(["-c", READER])
                .arg(folder)
                .output()
                .expect("Python starts"),
        )
    };

    let words = [
        "run",
        &recipe("tabular.mmh"),
        "--json",
        "--out",
        "table",
        "--limit",
        "3 epochs",
        "--log",
        "tensorboard=logs/run",
    ];
    let ran = place.mmhc(&words).ends(0).json();
    let scalars = &read("logs/run")["."]["scalars"];
    let losses = scalars["fit/loss"].as_array().expect("losses");
    assert_eq!(losses.len() as u64, ran["steps"].as_u64().expect("steps"));
    assert_eq!(losses[0][0], 1);
    let close = |a: &Value, b: &Value| {
        let [a, b] = [a, b].map(|it| it.as_f64().expect("a number"));
        assert!((a - b).abs() <= 1e-6 * b.abs(), "{a} {b}");
    };
    let accuracy = scalars["final/test/accuracy"]
        .as_array()
        .expect("an accuracy");
    close(
        &accuracy[0][1],
        &ran["metrics"]["final"]["test"]["accuracy"],
    );
    let watched = scalars["fit/watch/cross_entropy"]
        .as_array()
        .expect("measurements");
    assert_eq!(watched.len(), 3);

    let recipe = recipe("search.mmh");
    let words = [
        &[
            "run",
            &recipe,
            "--json",
            "--out",
            "tuned",
            "--log",
            "tensorboard=logs/search",
        ],
        SHORT,
    ]
    .concat();
    let ran = place.mmhc(&words).ends(0).json();
    let found = read("logs/search");
    assert_eq!(found.as_object().expect("runs").len(), 5, "{found}");
    let best = &ran["study"]["best"];
    let trial = &found[format!("trial-{}", best["trial"].as_u64().expect("a number") + 1)];
    let figure = trial["scalars"]["figure/watch"]
        .as_array()
        .expect("a figure");
    close(&figure[0][1], &best["value"]);
    assert_eq!(trial["status"], 1);
    for (name, text) in best["settings"].as_object().expect("settings") {
        let text = text.as_str().expect("a text");
        match text.parse::<f64>() {
            Ok(number) => assert_eq!(trial["settings"][name].as_f64(), Some(number), "{name}"),
            Err(_) => assert_eq!(trial["settings"][name], text),
        }
    }
    assert_eq!(
        found["."]["scalars"]["trials/watch"]
            .as_array()
            .expect("figures")
            .len(),
        4
    );
}

/// An MLflow server of these tests' own: takes so many requests, and gives what was asked.
fn server(requests: usize) -> (String, std::thread::JoinHandle<Vec<(String, Value)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serve = move || {
        let mut asked = Vec::new();
        while asked.len() < requests {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
            let (head, body) = loop {
                let count = stream.read(&mut part).expect("a request");
                bytes.extend(&part[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head.split("Content-Length: ").nth(1).expect("a length");
                let length: usize = length
                    .lines()
                    .next()
                    .expect("a line")
                    .parse()
                    .expect("a number");
                if body.len() >= length {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let path = head.split_whitespace().nth(1).expect("a path").to_owned();
            let number = asked.len();
            let answer = match path.rsplit('/').next() {
                Some("create") if path.contains("experiments") => {
                    r#"{"experiment_id":"7"}"#.to_owned()
                }
                Some("create") => format!(r#"{{"run":{{"info":{{"run_id":"run{number}"}}}}}}"#),
                _ => "{}".to_owned(),
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}",
                answer.len()
            );
            stream.write_all(answer.as_bytes()).expect("an answer");
            asked.push((path, serde_json::from_str(&body).unwrap_or(Value::Null)));
        }
        asked
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn mlflow_is_told_of_every_trial() {
    let place = Place::new();
    // The experiment; the search with its figures and end; four trials, each with settings, figures and end.
    let (url, asked) = server(1 + 3 + 4 * 4);
    let (recipe, log) = (recipe("search.mmh"), format!("mlflow={url}"));
    let words = [
        &["run", &recipe, "--json", "--out", "tuned", "--log", &log],
        SHORT,
    ]
    .concat();
    let ran = place.mmhc(&words).ends(0).json();
    let asked = asked.join().expect("the server ends");
    let to = |path: &str| -> Vec<&Value> {
        let path = format!("/api/2.0/mlflow/{path}");
        asked
            .iter()
            .filter(|(to, _)| *to == path)
            .map(|(_, body)| body)
            .collect()
    };
    assert_eq!(to("experiments/create")[0]["name"], "search");
    let runs = to("runs/create");
    assert_eq!(runs.len(), 5);
    assert!(
        runs[0]["tags"]
            .to_string()
            .contains(ran["study"]["study_hash"].as_str().expect("a hash"))
    );
    assert!(
        runs[1]["tags"].to_string().contains("mlflow.parentRunId"),
        "{}",
        runs[1]
    );
    let figures = to("runs/log-batch");
    let best = ran["study"]["best"]["value"].as_f64().expect("a number");
    let told = |it: &&&Value| {
        let metrics = it["metrics"].as_array().into_iter().flatten();
        metrics
            .filter(|it| it["key"] == "figure/watch")
            .any(|it| it["value"].as_f64() == Some(best))
    };
    assert_eq!(figures.iter().filter(told).count(), 1);
    assert!(
        to("runs/update")
            .iter()
            .all(|it| it["status"] == "FINISHED")
    );
}

/// `mlflow server`, by the Python of `MMH_MLFLOW_PYTHON`; it and the processes it starts end with this.
struct MlFlowServer(std::process::Child, u16);

impl Drop for MlFlowServer {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

impl MlFlowServer {
    fn start(python: &str, folder: &std::path::Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        std::fs::create_dir_all(folder).expect("a folder");
        let mut command = Command::new(python);
        command
            .args(["-m", "mlflow", "server", "--host", "127.0.0.1"])
            .args(["--port", &port.to_string(), "--workers", "1"])
            .arg("--backend-store-uri")
            .arg(folder.join("runs"));
        command.current_dir(folder).env("HOME", folder);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().expect("the server starts"), port);
        let is_up = (0..1200).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(is_up, "the server does not answer");
        server
    }

    fn ask(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.1)).expect("a connection");
        let head = format!(
            "POST /api/2.0/mlflow/{path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

#[test]
fn mlflows_own_server_takes_runs_and_searches() {
    let test = "mlflows_own_server_takes_runs_and_searches";
    let Ok(python) = std::env::var("MMH_MLFLOW_PYTHON") else {
        let required = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|all| all == "1");
        assert!(
            !required,
            "MMH_MLFLOW_PYTHON is not set, and MMH_REQUIRE_ALL asks for it"
        );
        return skip(test, "MMH_MLFLOW_PYTHON is not set");
    };
    let place = Place::new();
    let server = MlFlowServer::start(&python, &place.path("server"));
    let (recipe, log) = (
        recipe("search.mmh"),
        format!("mlflow=http://127.0.0.1:{}", server.1),
    );
    let words = [
        &["run", &recipe, "--json", "--out", "tuned", "--log", &log],
        SHORT,
    ]
    .concat();
    let ran = place.mmhc(&words).ends(0);
    assert!(!ran.err.contains("warning"), "{}", ran.err);
    // Again, into the experiment that is there now: one run.
    let words = [
        "run",
        &recipe,
        "--no-search",
        "--limit",
        "2 epochs",
        "--out",
        "one",
        "--log",
        &log,
    ];
    let one = place.mmhc(&words).ends(0);
    assert!(!one.err.contains("warning"), "{}", one.err);
    let found = server.ask(
        "experiments/search",
        &json!({ "max_results": 10, "filter": "name = 'search'" }),
    );
    let experiment = found["experiments"][0]["experiment_id"]
        .as_str()
        .expect("an experiment");
    let found = server.ask(
        "runs/search",
        &json!({ "experiment_ids": [experiment], "max_results": 100 }),
    );
    let runs = found["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 1 + 4 + 1, "{found}");
    assert!(runs.iter().all(|run| run["info"]["status"] == "FINISHED"));
    let best = &ran.json()["study"]["best"];
    let name = format!(
        "tune trial {}",
        best["trial"].as_u64().expect("a number") + 1
    );
    let trial = runs
        .iter()
        .find(|run| run["info"]["run_name"] == *name)
        .expect("the best trial");
    let metrics = trial["data"]["metrics"].as_array().expect("metrics");
    let figure = metrics
        .iter()
        .find(|it| it["key"] == "figure/watch")
        .expect("its figure");
    assert_eq!(figure["value"], best["value"]);
    let settings = trial["data"]["params"].as_array().expect("settings");
    assert_eq!(
        settings.len(),
        best["settings"].as_object().expect("settings").len()
    );
}

#[test]
fn a_server_that_is_not_there_is_said_before_anything_runs() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "mlflow=http://{}",
        listener.local_addr().expect("an address")
    );
    drop(listener);
    let words = ["run", &recipe("tabular.mmh"), "--out", "out", "--log", &url];
    let ended = place.mmhc(&words).ends(1);
    assert!(
        ended.err.contains("run::log") && !place.path("out/journal").exists(),
        "{}",
        ended.err
    );
    let wrong = ["run", &recipe("tabular.mmh"), "--log", "wandb=x"];
    assert!(place.mmhc(&wrong).ends(2).err.contains("tensorboard=DIR"));
}
