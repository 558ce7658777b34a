//! An MLflow server, by its REST interface: an experiment for a recipe, a run for a run, and for each trial a run below the
//! search's.

use super::{About, Scalar, Sink, now};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Figures that a server takes at once, by its documentation.
const MOST_FIGURES: usize = 1000;

/// Settings that it takes at once.
const MOST_SETTINGS: usize = 100;

/// The largest answer that is read, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// A server, and the run at hand.
pub(crate) struct MlFlow {
    server: Server,
    experiment: String,
    /// The run of the search, which those of its trials belong to.
    parent: Option<String>,
    run: Option<String>,
}

impl MlFlow {
    /// Finds the experiment of this name, or makes it.
    pub(crate) fn open(url: &str, experiment: &str) -> Result<Self, String> {
        let server = Server::of(url)?;
        let asked = server.post("experiments/create", &json!({ "name": experiment }));
        let answer = match asked {
            Ok(answer) => answer,
            Err(reason) if reason.contains("RESOURCE_ALREADY_EXISTS") => {
                let path = format!(
                    "experiments/get-by-name?experiment_name={}",
                    encoded(experiment)
                );
                let found = server.get(&path)?;
                found.get("experiment").cloned().unwrap_or(Value::Null)
            }
            Err(reason) => return Err(reason),
        };
        Ok(Self {
            server,
            experiment: text(&answer, "experiment_id")?,
            parent: None,
            run: None,
        })
    }
}

impl Sink for MlFlow {
    fn begin(&mut self, about: &About) -> Result<(), String> {
        let name = match about.trial {
            Some(trial) => format!("{} trial {trial}", about.name),
            None => about.name.clone(),
        };
        let mut tags: Vec<Value> = about
            .tags
            .iter()
            .map(|(key, value)| pair(key, value))
            .collect();
        if about.trial.is_some()
            && let Some(parent) = &self.parent
        {
            tags.push(pair("mlflow.parentRunId", parent));
        }
        let request = json!({
            "experiment_id": self.experiment, "run_name": name, "start_time": milliseconds(now()), "tags": tags,
        });
        let answer = self.server.post("runs/create", &request)?;
        let info = answer.pointer("/run/info").cloned().unwrap_or(Value::Null);
        let run = text(&info, "run_id")?;
        for part in about.settings.chunks(MOST_SETTINGS) {
            let settings: Vec<Value> = part.iter().map(|(key, value)| pair(key, value)).collect();
            self.server.post(
                "runs/log-batch",
                &json!({ "run_id": run, "params": settings }),
            )?;
        }
        if about.trial.is_none() {
            self.parent = Some(run.clone());
        }
        self.run = Some(run);
        Ok(())
    }

    fn scalars(&mut self, scalars: &[Scalar]) -> Result<(), String> {
        let Some(run) = self.run.clone() else {
            return Ok(());
        };
        let finite: Vec<&Scalar> = scalars.iter().filter(|it| it.value.is_finite()).collect();
        for part in finite.chunks(MOST_FIGURES) {
            let figure = |it: &&Scalar| json!({ "key": it.tag, "value": it.value, "step": it.step, "timestamp": milliseconds(it.time) });
            let figures: Vec<Value> = part.iter().map(figure).collect();
            self.server.post(
                "runs/log-batch",
                &json!({ "run_id": run, "metrics": figures }),
            )?;
        }
        Ok(())
    }

    fn end(&mut self, well: bool) -> Result<(), String> {
        let Some(run) = self.run.take() else {
            return Ok(());
        };
        let status = if well { "FINISHED" } else { "FAILED" };
        let request = json!({ "run_id": run, "status": status, "end_time": milliseconds(now()) });
        self.server.post("runs/update", &request).map(|_| ())
    }
}

fn pair(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value })
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

fn text(answer: &Value, field: &str) -> Result<String, String> {
    let found = answer.get(field).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .ok_or_else(|| format!("its answer has no `{field}`"))
}

/// A text as part of an address.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A server by HTTP/1.1, a connection for each request.
struct Server {
    host: String,
    port: u16,
    /// What stands ahead of `/api`.
    base: String,
}

impl Server {
    fn of(url: &str) -> Result<Self, String> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err("the address begins with `http://`; encrypted ones cannot be reached in this version".to_owned());
        };
        let (place, base) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (
                host,
                port.parse().map_err(|_| format!("`{port}` is no port"))?,
            ),
            None => (place, 80),
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("the address names no host".to_owned());
        }
        let base = base.trim_end_matches('/');
        Ok(Self {
            host: host.to_owned(),
            port,
            base: if base.is_empty() {
                String::new()
            } else {
                format!("/{base}")
            },
        })
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.ask("POST", path, &body.to_string())
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        self.ask("GET", path, "")
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let request = format!(
            "{method} {}/api/2.0/mlflow/{path} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.base,
            self.host,
            self.port,
            body.len()
        );
        let answer = self
            .exchange(request.as_bytes())
            .map_err(|error| error.to_string())?;
        let (status, body) = parted(&answer).ok_or("it does not answer in HTTP")?;
        let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status == 200 {
            return Ok(value);
        }
        let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        Err(format!(
            "it answers {status} {} {}",
            field("error_code"),
            field("message")
        )
        .trim_end()
        .to_owned())
    }

    fn exchange(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut last = std::io::Error::other("it has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            let mut stream = match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => stream,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(request)?;
            let mut answer = Vec::new();
            stream.take(MOST_BYTES).read_to_end(&mut answer)?;
            return Ok(answer);
        }
        Err(last)
    }
}

/// Status and body of an answer.
fn parted(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at_checked(end)?;
    let body = rest.get(4..)?;
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = head.lines();
    let status = lines.next()?.split_whitespace().nth(1)?.parse().ok()?;
    let is_chunked =
        lines.any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
    match is_chunked {
        true => Some((status, joined(body)?)),
        false => Some((status, body.to_vec())),
    }
}

/// A body out of its chunks.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|it| it == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let begin = end + 2;
        body.extend(rest.get(begin..begin.checked_add(size)?)?);
        rest = rest.get(begin + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parted() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parted(plain), Some((200, b"{}".to_vec())));
        let chunked = b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=1\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(parted(chunked), Some((404, b"{\"a\":1}".to_vec())));
        assert_eq!(parted(b"ssh-2.0"), None);
        for wrong in [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"[..],
            b"HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(parted(wrong), None);
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let server = Server::of("http://localhost:5000/flow/").expect("an address");
        assert_eq!(
            (server.host.as_str(), server.port, server.base.as_str()),
            ("localhost", 5000, "/flow")
        );
        assert!(
            Server::of("https://a").is_err()
                && Server::of("http://:5").is_err()
                && Server::of("http://a:b").is_err()
        );
        assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
    }
}
