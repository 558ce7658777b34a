//! The binary at work in a folder of its own.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's examples.
pub(crate) fn examples() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    root.canonicalize().expect("the examples are there")
}

/// Says why a test was not done, past the harness, which hides what a passing test prints.
pub(crate) fn skip(test: &str, reason: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// A temporary folder in which the binary is run.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, content).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `mmhc` with these arguments, not started yet. Nothing that it says is shown.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mmhc"));
        command.args(arguments).current_dir(self.0.path());
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        // What is known of the devices here is the user's own.
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.env_remove("MMH_STORE");
        command.env("XDG_DATA_HOME", self.path("data-home"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs `mmhc` to its end.
    pub(crate) fn mmhc(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().expect("mmhc starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let ran = Ran {
            arguments: arguments.join(" "),
            status: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        ran
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) arguments: String,
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Fails with all that was said unless the exit status is this.
    #[track_caller]
    pub(crate) fn ends(self, status: i32) -> Self {
        let Self {
            arguments,
            out,
            err,
            ..
        } = &self;
        assert_eq!(self.status, Some(status), "mmhc {arguments}\n{out}\n{err}");
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}
