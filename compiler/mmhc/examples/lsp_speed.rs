//! From a keystroke to its diagnostics: `cargo build --release -p mmhc --bins --examples`, then
//! `target/release/examples/lsp_speed`.
//!
//! A client of the Language Server Protocol starts `mmhc lsp` beside it (or the program named as the argument), opens a
//! recipe that it makes, and types into it letter by letter. A time is that from a `didChange` being written to the
//! diagnostics of that version being read: both ends of the pipe count, as they do in an editor. An editor asks for colours
//! and hints after that; how long both take is measured apart.

#[path = "../../check/tests/common/generated.rs"]
mod generated;

use lsp_server::{Message, Notification, Request};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

type Res<T> = Result<T, Box<dyn Error>>;

/// What is typed, and behind which text it is typed; the last place that holds it.
const TYPED: [(&str, &str, &str); 7] = [
    ("a comment", "// the gate weighs every channel", " and more"),
    ("a number in a block", "x * (1 - rate", " - 0.125"),
    (
        "a new step in a block",
        "|> linear(channel = channel)",
        " |> relu",
    ),
    (
        "a new line in a model",
        "|> repeat(depth, residual_",
        "0)\n    |> norm",
    ),
    (
        "a setting of a training",
        "decay = 1e-2",
        ", betas = [0.9, 0.999]",
    ),
    (
        "a column of the data",
        "label: class[10] = source.digit",
        "\n  more: f32 = source.pixel_0_0",
    ),
    (
        "a new declaration",
        "metrics = [accuracy, confusion]\n}\n",
        "\nlet wide = 2 * depth",
    ),
];

/// How often each text is typed and taken away again.
const ROUNDS: usize = 6;

fn main() -> Res<()> {
    let beside = std::env::current_exe()?;
    let folder = beside.parent().and_then(Path::parent);
    let found = folder.map(|folder| folder.join("mmhc"));
    let program = std::env::args().nth(1).map(PathBuf::from).or(found);
    let program = program.ok_or("no `mmhc` is named")?;
    println!(
        "milliseconds from keystroke to diagnostics{:>16}{:>8}{:>8}{:>8}",
        "median", "p99", "worst", "keys"
    );
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/digits.mmh");
    let digits = std::fs::read_to_string(digits)?;
    for text in [digits, generated::recipe(500), generated::recipe(2_000)] {
        let lines = text.lines().count();
        let mut client = Client::start(&program, &text)?;
        let mut all = Vec::new();
        for (what, behind, typed) in TYPED {
            if !text.contains(behind) {
                continue;
            }
            let times = client.types(behind, typed)?;
            row(&format!("{lines} lines, {what}"), &times);
            all.extend(times);
        }
        row(&format!("{lines} lines, all"), &all);
        row(
            &format!("{lines} lines, then colours and hints"),
            &std::mem::take(&mut client.after),
        );
        client.stop()?;
    }
    Ok(())
}

fn row(what: &str, times: &[f64]) {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (times.len() as f64 * share).ceil() as usize;
        times
            .get(index.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    };
    println!(
        "{what:<50}{:>8.2}{:>8.2}{:>8.2}{:>8}",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}

struct Client {
    child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
    uri: String,
    text: String,
    version: i64,
    asked: i32,
    /// Milliseconds of the colours and hints asked for behind each text.
    after: Vec<f64>,
}

impl Client {
    fn start(program: &Path, text: &str) -> Res<Self> {
        let mut child = Command::new(program)
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = BufWriter::new(child.stdin.take().ok_or("no stdin")?);
        let from = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let examples = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../examples")
            .canonicalize()?;
        let mut client = Self {
            child,
            to,
            from,
            uri: format!("file://{}/typed.mmh", examples.display()),
            text: text.to_owned(),
            version: 0,
            asked: 0,
            after: Vec::new(),
        };
        client.ask(
            "initialize",
            json!({ "capabilities": { "general": { "positionEncodings": ["utf-8"] } } }),
        )?;
        client.tell("initialized", json!({}))?;
        let document =
            json!({ "uri": client.uri, "languageId": "mmh", "version": 0, "text": text });
        client.tell("textDocument/didOpen", json!({ "textDocument": document }))?;
        let found = client.diagnostics()?;
        match found.as_array().is_some_and(Vec::is_empty) {
            true => Ok(client),
            false => Err(format!("the recipe has mistakes: {found}").into()),
        }
    }

    fn send(&mut self, message: Message) -> Res<()> {
        message.write(&mut self.to)?;
        Ok(self.to.flush()?)
    }

    fn tell(&mut self, method: &str, params: Value) -> Res<()> {
        self.send(Message::Notification(Notification::new(
            method.to_owned(),
            params,
        )))
    }

    fn ask(&mut self, method: &str, params: Value) -> Res<Value> {
        self.asked += 1;
        let id = self.asked;
        self.send(Message::Request(Request::new(
            id.into(),
            method.to_owned(),
            params,
        )))?;
        loop {
            if let Message::Response(response) = self.hear()?
                && response.id == id.into()
            {
                return response
                    .response_result
                    .map_err(|error| error.message.into());
            }
        }
    }

    fn hear(&mut self) -> Res<Message> {
        Message::read(&mut self.from)?.ok_or_else(|| "the server ended".into())
    }

    /// The diagnostics of the text as it is.
    fn diagnostics(&mut self) -> Res<Value> {
        loop {
            if let Message::Notification(note) = self.hear()?
                && note.method == "textDocument/publishDiagnostics"
                && note.params["version"] == self.version
            {
                return Ok(note.params["diagnostics"].clone());
            }
        }
    }

    /// Types a text letter by letter and deletes it again, some rounds over; the time of each key.
    fn types(&mut self, behind: &str, typed: &str) -> Res<Vec<f64>> {
        let start = self.text.rfind(behind).ok_or(format!("no `{behind}`"))? + behind.len();
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let mut at = start;
            for letter in typed.chars() {
                let letter = letter.to_string();
                times.push(self.key(at, at, &letter)?);
                at += letter.len();
            }
            let time = self.colours()?;
            self.after.push(time);
            for letter in typed.chars().rev() {
                let before = at - letter.len_utf8();
                times.push(self.key(before, at, "")?);
                at = before;
            }
        }
        Ok(times)
    }

    fn key(&mut self, start: usize, end: usize, letter: &str) -> Res<f64> {
        let range = json!({ "start": self.position(start), "end": self.position(end) });
        self.text.replace_range(start..end, letter);
        self.version += 1;
        let begin = Instant::now();
        self.tell(
            "textDocument/didChange",
            json!({
                "textDocument": { "uri": self.uri, "version": self.version },
                "contentChanges": [{ "range": range, "text": letter }],
            }),
        )?;
        self.diagnostics()?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    }

    fn position(&self, offset: usize) -> Value {
        let before = self.text.get(..offset).unwrap_or("");
        let line = before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        json!({ "line": line, "character": column })
    }

    fn colours(&mut self) -> Res<f64> {
        let begin = Instant::now();
        let document = json!({ "uri": self.uri });
        let window = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 60, "character": 0 } });
        self.ask(
            "textDocument/semanticTokens/full",
            json!({ "textDocument": document }),
        )?;
        self.ask(
            "textDocument/inlayHint",
            json!({ "textDocument": document, "range": window }),
        )?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    }

    fn stop(mut self) -> Res<()> {
        self.ask("shutdown", Value::Null)?;
        self.tell("exit", Value::Null)?;
        self.child.wait()?;
        Ok(())
    }
}
