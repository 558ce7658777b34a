//! A remote that speaks S3: Amazon's, or any server of the same protocol.
//!
//! Requests are signed by `rusty-s3` and sent by `ureq`, one at a time. What is larger than a part goes up in parts; the upload's
//! id is kept in the store, so that one that was cut goes on. Requests that failed on the way are tried again.

use crate::content::is_hash;
use crate::remote::{Remote, Sink};
use crate::{Store, StoreFailure};
use rusty_s3::actions::{
    CompleteMultipartUploadResponse, CreateMultipartUpload, ListObjectsV2, ListParts, S3Action,
};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

/// How long a signature is good for.
const SIGNED: Duration = Duration::from_secs(3600);
/// Bytes of a part at least; S3 wants 5 MiB.
const PART: u64 = 16 << 20;
/// Parts of an upload at most; S3 allows 10,000.
const MOST_PARTS: u64 = 9_000;
/// Bytes that are handed on at a time.
const HANDED: usize = 1 << 20;
/// Bytes of an answer that is read whole, at most.
const ANSWER: u64 = 64 << 20;
/// How often a server is asked to end an upload.
const ENDINGS: u32 = 3;
/// Waiting times ahead of another attempt, in milliseconds.
const AGAIN: [u64; 4] = [200, 800, 2_000, 5_000];

/// How to get in.
#[derive(Clone, Default)]
pub struct S3Access {
    /// `AWS_ACCESS_KEY_ID`.
    pub key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: String,
    /// `AWS_SESSION_TOKEN`, where there is one.
    pub token: Option<String>,
    /// `AWS_REGION`; `us-east-1` where it is not said.
    pub region: Option<String>,
    /// The server, such as `http://localhost:9000`; Amazon's where it is not said.
    pub endpoint: Option<String>,
}

/// A prefix in a bucket.
pub struct S3 {
    name: String,
    prefix: String,
    bucket: Bucket,
    credentials: Credentials,
    agent: Agent,
    uploads: Store,
}

/// An upload that is under way, as the store remembers it.
#[derive(Serialize, Deserialize)]
struct Upload {
    key: String,
    id: String,
    part: u64,
    bytes: u64,
}

/// Size and tag of each part that is there, by number.
type PartsDone = BTreeMap<u16, (u64, String)>;

/// What is sent with a request.
enum Sent<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Part {
        path: &'a Path,
        from: u64,
        bytes: u64,
    },
}

impl S3 {
    /// The place that `address` names, `s3://BUCKET/PREFIX`. `store` remembers uploads that are under way.
    ///
    /// Errors: the address or the endpoint is none; there are no credentials.
    pub fn open(address: &str, access: &S3Access, store: &Store) -> Result<Self, StoreFailure> {
        let wrong = |reason: &str| StoreFailure::Remote {
            remote: address.to_owned(),
            reason: reason.to_owned(),
        };
        let path = address
            .strip_prefix("s3://")
            .ok_or_else(|| wrong("write it as s3://BUCKET/PREFIX"))?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        let prefix = prefix.trim_matches('/');
        let odd = prefix.split('/').any(|part| matches!(part, "." | ".."));
        if bucket.is_empty() || !path.chars().all(plain) || odd {
            return Err(wrong(
                "write it as s3://BUCKET/PREFIX, of letters, digits, `.`, `_` and `-`",
            ));
        }
        if access.key.is_empty() || access.secret.is_empty() {
            return Err(wrong(
                "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        let region = access.region.clone().unwrap_or("us-east-1".to_owned());
        let (endpoint, style) = match &access.endpoint {
            Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
            None => (
                format!("https://s3.{region}.amazonaws.com"),
                if bucket.contains('.') {
                    UrlStyle::Path
                } else {
                    UrlStyle::VirtualHost
                },
            ),
        };
        let endpoint = endpoint
            .parse()
            .map_err(|_| wrong("AWS_ENDPOINT_URL is no address"))?;
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), region)
            .map_err(|error| wrong(&error.to_string()))?;
        let credentials = match &access.token {
            None => Credentials::new(&access.key, &access.secret),
            Some(token) => Credentials::new_with_token(&access.key, &access.secret, token),
        };
        let prefix = match prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self {
            name: address.to_owned(),
            prefix,
            bucket,
            credentials,
            agent: agent(),
            uploads: store.clone(),
        })
    }

    fn failed(&self, reason: impl Into<String>) -> StoreFailure {
        StoreFailure::Remote {
            remote: self.name.clone(),
            reason: reason.into(),
        }
    }

    fn whole(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Does a request until it is answered, and gives the answer, whatever it says. Each attempt is signed anew.
    fn ask<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        method: &str,
        range: Option<u64>,
        sent: &Sent<'_>,
    ) -> Result<Response<Body>, StoreFailure> {
        let mut waits = AGAIN.iter();
        loop {
            let answer = self.once(action, method, range, sent)?;
            let wait = waits.next();
            match (answer, wait) {
                (Ok(answer), None) => return Ok(answer),
                (Ok(answer), Some(_)) if !is_passing(answer.status().as_u16()) => {
                    return Ok(answer);
                }
                (Err(reason), None) => return Err(self.failed(reason)),
                (_, Some(wait)) => std::thread::sleep(Duration::from_millis(*wait)),
            }
        }
    }

    /// One attempt. What failed on the way is in the inner result.
    fn once<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        method: &str,
        range: Option<u64>,
        sent: &Sent<'_>,
    ) -> Result<Result<Response<Body>, String>, StoreFailure> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(action.sign(SIGNED).as_str());
        if let Some(from) = range {
            request = request.header("range", format!("bytes={from}-"));
        }
        let answer = match sent {
            Sent::Nothing if method == "PUT" || method == "POST" => {
                let request = request
                    .body("")
                    .map_err(|error| self.failed(error.to_string()))?;
                self.agent.run(request)
            }
            Sent::Nothing => {
                let request = request
                    .body(())
                    .map_err(|error| self.failed(error.to_string()))?;
                self.agent.run(request)
            }
            Sent::Bytes(bytes) => {
                let request = request
                    .body(*bytes)
                    .map_err(|error| self.failed(error.to_string()))?;
                self.agent.run(request)
            }
            Sent::Part { path, from, bytes } => {
                let io = |error: std::io::Error| StoreFailure::io(path, &error);
                let mut file = File::open(path).map_err(io)?;
                file.seek(SeekFrom::Start(*from)).map_err(io)?;
                let mut part = file.take(*bytes);
                let request = request
                    .header("content-length", bytes.to_string())
                    .body(SendBody::from_reader(&mut part))
                    .map_err(|error| self.failed(error.to_string()))?;
                self.agent.run(request)
            }
        };
        Ok(answer.map_err(|error| words(&error)))
    }

    /// The answer's text where it is a good one.
    fn text(&self, mut answer: Response<Body>, doing: &str) -> Result<String, StoreFailure> {
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER)
            .read_to_string();
        let text = text.map_err(|error| self.failed(format!("{doing}: {}", words(&error))))?;
        match answer.status().is_success() {
            true => Ok(text),
            false => Err(self.refused(answer.status().as_u16(), &text, doing)),
        }
    }

    fn refused(&self, status: u16, text: &str, doing: &str) -> StoreFailure {
        let between = |tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            rest.split_once("</")
                .map(|(inner, _)| inner.chars().take(200).collect::<String>())
        };
        let said = match (between("Code"), between("Message")) {
            (Some(code), Some(message)) => format!(" ({code}: {message})"),
            (Some(code), None) => format!(" ({code})"),
            _ => String::new(),
        };
        self.failed(format!("{doing}: the server answers {status}{said}"))
    }

    fn put(&self, key: &str, sent: &Sent<'_>) -> Result<(), StoreFailure> {
        let whole = self.whole(key);
        let action = self.bucket.put_object(Some(&self.credentials), &whole);
        let answer = self.ask(&action, "PUT", None, sent)?;
        self.text(answer, &format!("sending {key}")).map(drop)
    }

    /// Sends a large file in parts, going on with an upload that was cut.
    fn send_parts(&self, key: &str, path: &Path, bytes: u64) -> Result<u64, StoreFailure> {
        let whole = self.whole(key);
        let name = format!(
            "uploads/{}",
            blake3::hash(format!("{}\n{whole}", self.bucket.base_url()).as_bytes()).to_hex()
        );
        let (upload, mut done) = match self.resumed(&name, &whole, bytes)? {
            Some(known) => known,
            None => (self.begin(&name, &whole, bytes)?, BTreeMap::new()),
        };
        let mut sent = 0;
        for number in 1..=bytes.div_ceil(upload.part) {
            let from = (number - 1) * upload.part;
            let count = upload.part.min(bytes - from);
            let small = u16::try_from(number).map_err(|_| self.failed("it has too many parts"))?;
            if done.get(&small).is_some_and(|(size, _)| *size == count) {
                continue;
            }
            let credentials = Some(&self.credentials);
            let action = self
                .bucket
                .upload_part(credentials, &whole, small, &upload.id);
            let part = Sent::Part {
                path,
                from,
                bytes: count,
            };
            let answer = self.ask(&action, "PUT", None, &part)?;
            let etag = answer.headers().get("etag");
            let etag = etag
                .and_then(|etag| etag.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            self.text(answer, &format!("sending part {number} of {key}"))?;
            done.insert(small, (count, etag));
            sent += count;
        }
        let etags: Vec<&str> = done.values().map(|(_, etag)| etag.as_str()).collect();
        self.end(key, &upload, &etags, bytes)?;
        // What is left of the note only takes room.
        let _ = self.uploads.files().remove(&self.uploads.root().join(name));
        Ok(sent)
    }

    /// Makes one file of `bytes` bytes of all parts. A server that takes long may say 200 first and then that it failed, and is asked
    /// again; or it has made the file, and its answer was lost.
    fn end(
        &self,
        key: &str,
        upload: &Upload,
        etags: &[&str],
        bytes: u64,
    ) -> Result<(), StoreFailure> {
        let (whole, doing) = (self.whole(key), format!("ending the upload of {key}"));
        let mut attempt = 1;
        loop {
            let credentials = Some(&self.credentials);
            let etags = etags.iter().copied();
            let action =
                self.bucket
                    .complete_multipart_upload(credentials, &whole, &upload.id, etags);
            let body = action.clone().body();
            let answer = self.ask(&action, "POST", None, &Sent::Bytes(body.as_bytes()))?;
            let text = self.text(answer, &doing)?;
            let is_done = CompleteMultipartUploadResponse::parse(&text).is_ok();
            if is_done || self.size(key)? == Some(bytes) {
                return Ok(());
            }
            if attempt == ENDINGS {
                return Err(self.refused(200, &text, &doing));
            }
            attempt += 1;
        }
    }

    /// An upload of the same file that was cut, and the parts that are there.
    fn resumed(
        &self,
        name: &str,
        whole: &str,
        bytes: u64,
    ) -> Result<Option<(Upload, PartsDone)>, StoreFailure> {
        let Some(note) = self.uploads.small(name)? else {
            return Ok(None);
        };
        let Ok(upload) = serde_json::from_slice::<Upload>(&note) else {
            return Ok(None);
        };
        if upload.key != whole || upload.bytes != bytes || upload.part < (5 << 20) {
            return Ok(None);
        }
        let (mut done, mut after) = (BTreeMap::new(), None);
        loop {
            let mut action =
                ListParts::new(&self.bucket, Some(&self.credentials), whole, &upload.id);
            if let Some(after) = after {
                action.set_part_number_marker(after);
            }
            let answer = self.ask(&action, "GET", None, &Sent::Nothing)?;
            if answer.status().as_u16() == 404 {
                // The server has forgotten it.
                return Ok(None);
            }
            let text = self.text(answer, "asking for what was sent")?;
            // Some servers name the answer after the request.
            let text = text.replace("ListPartsResponse", "ListPartsResult");
            let parts = ListParts::parse_response(&text)
                .map_err(|error| self.failed(format!("asking for what was sent: {error}")))?;
            for part in parts.parts {
                done.insert(part.number, (part.size, part.etag));
            }
            match parts.next_part_number_marker {
                Some(next) => after = Some(next),
                None => return Ok(Some((upload, done))),
            }
        }
    }

    fn begin(&self, name: &str, whole: &str, bytes: u64) -> Result<Upload, StoreFailure> {
        let credentials = Some(&self.credentials);
        let action = self.bucket.create_multipart_upload(credentials, whole);
        let answer = self.ask(&action, "POST", None, &Sent::Nothing)?;
        let text = self.text(answer, "beginning an upload")?;
        let begun = CreateMultipartUpload::parse_response(&text)
            .map_err(|error| self.failed(format!("beginning an upload: {error}")))?;
        let upload = Upload {
            key: whole.to_owned(),
            id: begun.upload_id().to_owned(),
            part: bytes
                .div_ceil(MOST_PARTS)
                .next_multiple_of(1 << 20)
                .max(PART),
            bytes,
        };
        self.uploads.replace(
            name,
            serde_json::to_string(&upload)
                .unwrap_or_default()
                .as_bytes(),
        )?;
        Ok(upload)
    }
}

impl Remote for S3 {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn size(&self, key: &str) -> Result<Option<u64>, StoreFailure> {
        let whole = self.whole(key);
        let action = self.bucket.head_object(Some(&self.credentials), &whole);
        let answer = self.ask(&action, "HEAD", None, &Sent::Nothing)?;
        let status = answer.status();
        if status.as_u16() == 404 {
            return Ok(None);
        }
        if !status.is_success() {
            let why = match status.as_u16() {
                401 | 403 => ": these credentials may not read there",
                _ => "",
            };
            return Err(self.failed(format!(
                "looking for {key}: the server answers {}{why}",
                status.as_u16()
            )));
        }
        let length = answer.headers().get("content-length");
        let length = length.and_then(|text| text.to_str().ok()?.parse().ok());
        length.map(Some).ok_or_else(|| {
            self.failed(format!(
                "looking for {key}: the server does not say how long it is"
            ))
        })
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreFailure> {
        let whole = self.whole(key);
        let action = self.bucket.get_object(Some(&self.credentials), &whole);
        let mut answer = self.ask(&action, "GET", None, &Sent::Nothing)?;
        if answer.status().as_u16() == 404 && !self.text_of(&mut answer).contains("NoSuchBucket") {
            return Ok(None);
        }
        if !answer.status().is_success() {
            let (status, text) = (answer.status().as_u16(), self.text_of(&mut answer));
            return Err(self.refused(status, &text, &format!("reading {key}")));
        }
        let bytes = answer.body_mut().with_config().limit(ANSWER).read_to_vec();
        bytes
            .map(Some)
            .map_err(|error| self.failed(format!("reading {key}: {}", words(&error))))
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFailure> {
        self.put(key, &Sent::Bytes(bytes))
    }

    fn send(&self, key: &str, path: &Path) -> Result<u64, StoreFailure> {
        let about = std::fs::metadata(path).map_err(|error| StoreFailure::io(path, &error))?;
        let bytes = about.len();
        if bytes > PART {
            return self.send_parts(key, path, bytes);
        }
        self.put(
            key,
            &Sent::Part {
                path,
                from: 0,
                bytes,
            },
        )?;
        Ok(bytes)
    }

    fn receive(&self, key: &str, from: u64, sink: &mut Sink<'_>) -> Result<(), StoreFailure> {
        let whole = self.whole(key);
        let (mut at, mut waits, mut buffer) = (from, AGAIN.iter(), vec![0; HANDED]);
        loop {
            let action = self.bucket.get_object(Some(&self.credentials), &whole);
            let range = (at > 0).then_some(at);
            let mut answer = self.ask(&action, "GET", range, &Sent::Nothing)?;
            match answer.status().as_u16() {
                206 => {}
                // The server does not know ranges, and begins at the start.
                200 => at = 0,
                status => {
                    let text = self.text_of(&mut answer);
                    return Err(self.refused(status, &text, &format!("receiving {key}")));
                }
            }
            let mut body = answer.body_mut().with_config().limit(u64::MAX).reader();
            let ended = loop {
                match fill(&mut body, &mut buffer) {
                    Ok((0, _)) => break Ok(()),
                    Ok((count, reason)) => {
                        sink(at, buffer.get(..count).unwrap_or_default())?;
                        at += count as u64;
                        if let Some(reason) = reason {
                            break Err(reason);
                        }
                    }
                    Err(reason) => break Err(reason),
                }
            };
            match (ended, waits.next()) {
                (Ok(()), _) => return Ok(()),
                (Err(reason), None) => {
                    return Err(self.failed(format!("receiving {key}: {reason}")));
                }
                (Err(_), Some(wait)) => std::thread::sleep(Duration::from_millis(*wait)),
            }
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreFailure> {
        let whole = self.whole(prefix);
        let (mut names, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut action = ListObjectsV2::new(&self.bucket, Some(&self.credentials));
            action.with_prefix(whole.clone());
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let answer = self.ask(&action, "GET", None, &Sent::Nothing)?;
            let text = self.text(answer, &format!("listing {prefix}"))?;
            let listed = ListObjectsV2::parse_response(&text)
                .map_err(|error| self.failed(format!("listing {prefix}: {error}")))?;
            let found = listed.contents.into_iter();
            names.extend(found.filter_map(|it| Some(it.key.strip_prefix(&whole)?.to_owned())));
            match listed.next_continuation_token {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        names.retain(|name| is_hash(name) || crate::refs::check_tag(name).is_ok());
        names.sort_unstable();
        Ok(names)
    }
}

impl S3 {
    fn text_of(&self, answer: &mut Response<Body>) -> String {
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER)
            .read_to_string();
        text.unwrap_or_default()
    }
}

/// Reads until the buffer is full or the body ends or breaks; what came before it broke counts.
fn fill(body: &mut impl Read, buffer: &mut [u8]) -> Result<(usize, Option<String>), String> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match body.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if count == 0 => return Err(error.to_string()),
            Err(error) => return Ok((count, Some(error.to_string()))),
        }
    }
    Ok((count, None))
}

/// Whether a status may be another one in a moment.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// What happened on the way, without the address, which is signed.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "the address cannot be used".to_owned(),
        other => other.to_string(),
    }
}

fn agent() -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("mmhc/", env!("CARGO_PKG_VERSION")))
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .timeout_per_write(Some(Duration::from_secs(60)))
        .tls_config(tls)
        .build()
        .into()
}
