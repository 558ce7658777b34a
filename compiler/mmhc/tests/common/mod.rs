//! A folder with a small recipe and its data, and the binary to run in it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A small table, three classes, two numbers.
pub(crate) const RECIPE: &str = r#"// Three heaps of points.
mmh 1

seed 7

data points {
  source = csv("points.csv")
  x: f32[feature = 2] = source.x
  label: class[3] = source.heap
  split  = stratified(by = label, train = 60%, valid = 20%, test = 20%)
}

model net(x: f32[batch, feature = 2]) -> f32[batch, class = 3] {
  x |> linear(class = 3)
}

train fit {
  rows     = points.train |> shuffle |> batch(8)
  predict  = net(rows.x)
  loss     = cross_entropy(predict, rows.label)
  optimize = adamw(lr = 1e-1)
  length   = 4 epochs
  watch    = accuracy(predict, rows.label, on = points.valid)
}

evaluate final {
  model   = fit.best
  rows    = points.test
  metrics = [accuracy, confusion]
}
"#;

/// A temporary folder.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With `points.mmh` and `points.csv`.
    pub(crate) fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        place.write("points.mmh", RECIPE);
        let mut table = String::from("x_0,x_1,heap\n");
        for row in 0..60 {
            let heap = row % 3;
            let (x, y) = (heap * 10 + row % 7, heap * -5 + row % 5);
            table.push_str(&format!("{x},{y},{heap}\n"));
        }
        place.write("points.csv", &table);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("read")
    }

    /// Runs `mmhc` there.
    pub(crate) fn mmhc(&self, arguments: &[&str]) -> Ran {
        self.with_stdin(arguments, b"")
    }

    /// The same with variables of the environment.
    pub(crate) fn with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mmhc"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
            .env_remove("MMH_STORE")
            .env("XDG_DATA_HOME", self.path("data-home"));
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        Ran::from(command.output().expect("mmhc starts"))
    }

    pub(crate) fn with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mmhc"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("MMH_STORE")
            .env("XDG_DATA_HOME", self.path("data-home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mmhc starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // A program that does not read its stdin closes it.
        let _ = pipe.write_all(stdin);
        drop(pipe);
        Ran::from(child.wait_with_output().expect("mmhc ends"))
    }
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let ran = Self {
            status: output.status.code().expect("no signal"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        };
        for text in [&ran.out, &ran.err] {
            assert!(
                !text.contains("panicked") && !text.contains("internal error"),
                "{text}"
            );
        }
        ran
    }
}

impl Ran {
    /// Fails with all that was said unless the exit status is this.
    #[track_caller]
    pub(crate) fn ends(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "stdout:\n{}\nstderr:\n{}",
            self.out, self.err
        );
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in\n{}", self.out))
    }
}
