//! A small client: messages out, answers and diagnostics in.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    heard: Receiver<Value>,
    notes: VecDeque<Value>,
    last: i64,
}

impl Client {
    /// Starts the server without a word said.
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mmhc"))
            .args(["lsp", "--stdio"])
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("mmhc starts");
        let (tell, heard) = channel();
        let output = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        Self {
            child,
            input,
            heard,
            notes: VecDeque::new(),
            last: 0,
        }
    }

    /// A server that was told about this client, which knows these encodings.
    pub(crate) fn ready(encodings: &[&str]) -> (Self, Value) {
        let mut client = Self::start();
        let capabilities = json!({
            "general": { "positionEncodings": encodings },
            "textDocument": {
                "publishDiagnostics": { "relatedInformation": true },
                "hover": { "contentFormat": ["markdown", "plaintext"] },
                "completion": { "completionItem": { "documentationFormat": ["markdown"] } },
                "signatureHelp": { "signatureInformation": { "documentationFormat": ["markdown"] } },
            },
        });
        let params = json!({ "processId": null, "rootUri": null, "capabilities": capabilities });
        let about = client.ask("initialize", params).expect("it starts");
        client.tell("initialized", json!({}));
        (client, about["capabilities"].clone())
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, text: &str) {
        let input = self.input.as_mut().expect("still open");
        input.write_all(text.as_bytes()).expect("it listens");
        input.flush().expect("it listens");
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = json!("2.0");
        let body = message.to_string();
        self.raw(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    }

    pub(crate) fn tell(&mut self, method: &str, params: Value) {
        self.send(json!({ "method": method, "params": params }));
    }

    /// Sends a request without waiting.
    pub(crate) fn begin(&mut self, method: &str, params: Value) -> i64 {
        self.last += 1;
        self.send(json!({ "id": self.last, "method": method, "params": params }));
        self.last
    }

    /// The answer to a request, or its error.
    pub(crate) fn answer(&mut self, id: i64) -> Result<Value, Value> {
        loop {
            let message = self.heard.recv_timeout(PATIENCE).expect("an answer");
            if message.get("id") == Some(&json!(id)) {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
            self.notes.push_back(message);
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Opens a text; gives its address.
    pub(crate) fn open(&mut self, path: &Path, text: &str) -> String {
        let uri = format!("file://{}", path.display());
        let document = json!({ "uri": uri, "languageId": "mmh", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
        uri
    }

    /// Replaces a whole text.
    pub(crate) fn replace(&mut self, uri: &str, version: i64, text: &str) {
        self.change(uri, version, json!([{ "text": text }]));
    }

    pub(crate) fn change(&mut self, uri: &str, version: i64, changes: Value) {
        let document = json!({ "uri": uri, "version": version });
        let params = json!({ "textDocument": document, "contentChanges": changes });
        self.tell("textDocument/didChange", params);
    }

    /// The next diagnostics of a text: its version, and what was found.
    pub(crate) fn diagnostics(&mut self, uri: &str) -> (i64, Vec<Value>) {
        loop {
            let message = match self.notes.pop_front() {
                Some(message) => message,
                None => self.heard.recv_timeout(PATIENCE).expect("diagnostics"),
            };
            let params = &message["params"];
            if message["method"] == "textDocument/publishDiagnostics" && params["uri"] == uri {
                let found = params["diagnostics"].as_array().expect("a list").clone();
                return (params["version"].as_i64().unwrap_or(0), found);
            }
        }
    }

    /// Every version whose diagnostics have come so far.
    pub(crate) fn versions(&mut self) -> Vec<i64> {
        let notes = self.notes.iter();
        notes
            .filter_map(|note| note["params"]["version"].as_i64())
            .collect()
    }

    /// Ends the conversation as the protocol wants it.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.ask("shutdown", Value::Null).expect("it shuts down");
        self.tell("exit", Value::Null);
        self.child.wait().expect("it ends")
    }

    /// Closes the pipe, or says `exit`, without `shutdown`.
    pub(crate) fn leave(mut self, exit: bool) -> ExitStatus {
        if exit {
            self.tell("exit", Value::Null);
        }
        self.input = None;
        self.child.wait().expect("it ends")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => {
                if let Some(number) = line.strip_prefix("Content-Length: ") {
                    length = number.parse().expect("a length");
                }
            }
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("JSON"))
}

/// The protocol's place of a byte, counted in UTF-16.
pub(crate) fn place(text: &str, offset: usize) -> Value {
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[start..].encode_utf16().count();
    json!({ "line": before.matches('\n').count(), "character": column })
}

/// Parameters that name a text and a place: `shift` bytes into the first `wanted`.
pub(crate) fn at(uri: &str, text: &str, wanted: &str, shift: usize) -> Value {
    let offset = text.find(wanted).expect(wanted) + shift;
    json!({ "textDocument": { "uri": uri }, "position": place(text, offset) })
}
