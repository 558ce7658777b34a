//! Push and pull over S3, to a server of the protocol: moto's, from PyPI. A proxy between cuts transfers.

mod common;

use common::*;
use mmh_store::{Remote, S3, S3Access, Store, pull, push};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// moto's server, ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// None, with the reason on stderr, where there is no moto.
    fn start(test: &str) -> Option<Self> {
        let python = std::env::var("MMH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let there = Command::new(&python)
            .args(["-c", "import moto.server"])
            .output();
        if !there.is_ok_and(|output| output.status.success()) {
            let required = std::env::var_os("MMH_REQUIRE_ALL").is_some_and(|all| all == "1");
            assert!(!required, "MMH_PYTHON names no Python with moto[server]");
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED {test}: no Python with moto[server]; MMH_PYTHON may name one"
            );
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new(python)
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port };
        for _ in 0..600 {
            if let Some(answer) = server.ask("PUT", "/models") {
                assert!(answer.contains("200"), "{answer}");
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("moto does not answer");
    }

    /// A request that is not signed.
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned()).filter(|answer| !answer.is_empty())
    }
}

/// Passes connections on to the server; once `left` bytes went either way all connections are cut, until it is set again.
#[derive(Clone)]
struct Proxy {
    port: u16,
    left: Arc<AtomicI64>,
    passed: Arc<AtomicU64>,
}

impl Proxy {
    fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            left: Arc::new(AtomicI64::new(i64::MAX)),
            passed: Arc::default(),
        };
        let mine = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", to)))
                else {
                    continue;
                };
                for (from, into) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    let mine = mine.clone();
                    std::thread::spawn(move || mine.pass(from, into));
                }
            }
        });
        proxy
    }

    fn pass(&self, mut from: TcpStream, mut into: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut buffer) {
            let left = self.left.fetch_sub(count as i64, Ordering::SeqCst) - count as i64;
            if count == 0 || left < 0 || into.write_all(&buffer[..count]).is_err() {
                break;
            }
            self.passed.fetch_add(count as u64, Ordering::SeqCst);
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = into.shutdown(Shutdown::Both);
    }
}

fn access(port: u16) -> S3Access {
    S3Access {
        key: "user".to_owned(),
        secret: "secret".to_owned(),
        token: None,
        region: None,
        endpoint: Some(format!("http://127.0.0.1:{port}")),
    }
}

#[test]
fn a_run_goes_to_a_bucket_and_comes_back_though_both_ways_are_cut() {
    let Some(server) =
        Server::start("a_run_goes_to_a_bucket_and_comes_back_though_both_ways_are_cut")
    else {
        return;
    };
    let place = Place::new();
    write_run(&place.path("large"), "large", 50 << 20);
    let added = place
        .store
        .add(
            &place.path("large"),
            facts("large", None),
            &Default::default(),
            &[],
        )
        .unwrap();
    place.store.tag("best", &added.head, false).unwrap();
    let run = place.store.find("best").unwrap();
    let proxy = Proxy::start(server.port);
    let open = |store: &Store| S3::open("s3://models/team/a", &access(proxy.port), store).unwrap();
    let remote = open(&place.store);

    // 50 MiB are four parts. The wire is cut for good within the third, and again within what was left.
    for cut in [40_i64 << 20, 10 << 20] {
        proxy.left.store(cut, Ordering::SeqCst);
        let failure = push(&place.store, &remote, std::slice::from_ref(&run), false).unwrap_err();
        assert_eq!(failure.code(), "store::remote", "{failure}");
        assert!(!failure.to_string().contains("Signature"), "{failure}");
        assert!(
            remote_is_empty(&server),
            "no run is named before all of it is there"
        );
    }
    proxy.left.store(i64::MAX, Ordering::SeqCst);
    proxy.passed.store(0, Ordering::SeqCst);
    let pushed = push(&place.store, &remote, std::slice::from_ref(&run), false).unwrap();
    assert!(
        pushed.bytes <= 34 << 20,
        "what was sent is not sent again: {pushed:?}"
    );
    assert!(proxy.passed.load(Ordering::SeqCst) < 35 << 20);
    let again = push(&place.store, &remote, std::slice::from_ref(&run), false).unwrap();
    assert_eq!((again.bytes, again.there), (0, again.objects));

    let other = Store::open(&place.path("other")).unwrap();
    let remote = open(&other);
    proxy.left.store(30 << 20, Ordering::SeqCst);
    assert_eq!(
        pull(&other, &remote, "best", trusting).unwrap_err().code(),
        "store::remote"
    );
    assert!(other.heads().unwrap().is_empty());
    proxy.left.store(i64::MAX, Ordering::SeqCst);
    proxy.passed.store(0, Ordering::SeqCst);
    let pulled = pull(&other, &remote, "best", trusting).unwrap();
    assert!(
        pulled.bytes < 25 << 20,
        "what came does not come again: {}",
        pulled.bytes
    );
    assert!(proxy.passed.load(Ordering::SeqCst) < 26 << 20);
    other.get(&pulled.run, &place.path("out")).unwrap();
    assert_eq!(tree(&place.path("out")), run_tree(&place.path("large")));
    assert_eq!(other.check().unwrap().problems, []);

    // By the beginning of its head and of its model's hash, too.
    let third = Store::open(&place.path("third")).unwrap();
    pull(&third, &open(&third), &added.head[..9], trusting).unwrap();
    let model = facts("large", None).model_hash;
    pull(&third, &open(&third), &model[..20], trusting).unwrap();
    let none = pull(&third, &open(&third), "0123456789", trusting).unwrap_err();
    assert_eq!(none.code(), "store::unknown");
}

fn remote_is_empty(server: &Server) -> bool {
    let listed = server
        .ask("GET", "/models?list-type=2&prefix=team/a/refs/")
        .unwrap();
    listed.contains("<KeyCount>0<") || !listed.contains("<Key>")
}

#[test]
fn a_bucket_that_is_not_there_and_a_server_that_is_not_there_are_said() {
    let Some(server) =
        Server::start("a_bucket_that_is_not_there_and_a_server_that_is_not_there_are_said")
    else {
        return;
    };
    let place = Place::new();
    place.add("first", None);
    let runs = [place.store.find(&facts("first", None).head).unwrap()];
    let remote = S3::open("s3://nowhere", &access(server.port), &place.store).unwrap();
    let failure = push(&place.store, &remote, &runs, false).unwrap_err();
    assert!(failure.to_string().contains("NoSuchBucket"), "{failure}");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let remote = S3::open("s3://models", &access(port), &place.store).unwrap();
    let failure = remote.list("refs/runs/").unwrap_err();
    assert_eq!(failure.code(), "store::remote");
    assert!(
        failure.to_string().starts_with("`s3://models`: "),
        "{failure}"
    );
}

#[test]
fn addresses_and_credentials_are_checked_first() {
    let place = Place::new();
    for (address, access, words) in [
        ("s3:/models", access(1), "s3://BUCKET/PREFIX"),
        ("s3://", access(1), "s3://BUCKET/PREFIX"),
        ("s3://models/a/../b", access(1), "s3://BUCKET/PREFIX"),
        ("s3://models/a?b", access(1), "s3://BUCKET/PREFIX"),
        ("s3://models", S3Access::default(), "AWS_ACCESS_KEY_ID"),
        (
            "s3://models",
            S3Access {
                endpoint: Some("not an address".to_owned()),
                ..access(1)
            },
            "AWS_ENDPOINT_URL",
        ),
    ] {
        let failure = S3::open(address, &access, &place.store)
            .map(drop)
            .unwrap_err();
        assert!(failure.to_string().contains(words), "{failure}");
    }
}
