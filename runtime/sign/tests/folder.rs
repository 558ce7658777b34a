//! Folders that are signed, and what becomes of them.

use mmh_sign::{
    Algorithm, BaseModel, DataFile, Described, Head, Metric, Policy, Ring, SecretKey, Signed,
    TrailRoot, check, sign,
};
use std::fs;
use std::path::{Path, PathBuf};

fn key(number: u8) -> SecretKey {
    SecretKey::from_master([number; 32])
}

fn facts() -> Signed {
    Signed {
        model_hash: "blake3:1".into(),
        recipe_hash: "blake3:2".into(),
        plan_hash: "blake3:3".into(),
        data_hash: "blake3:4".into(),
        seed: "5".into(),
        steps: 24,
        journal: Head {
            hash: "6".into(),
            lines: 30,
        },
        trails: vec![TrailRoot {
            training: "fit".into(),
            marks: 3,
            root: "7".into(),
        }],
        described: Described {
            model: "net".into(),
            edition: 1,
            version: "0.1.0".into(),
            began: Some(1_795_646_096.5),
            ended: Some(1_795_646_100.0),
            device: "cpu (avx2, 2 threads)".into(),
            parents: vec![("8".into(), Some("blake3:9".into()))],
            bases: vec![BaseModel {
                training: "fit".into(),
                path: "base/model.safetensors".into(),
                blake3: "b".repeat(64),
                model_hash: Some(format!("blake3:{}", "c".repeat(64))),
                head: Some("d".repeat(64)),
            }],
            data: vec![DataFile {
                set: "points".into(),
                path: "points.csv".into(),
                blake3: "a".repeat(64),
                rows: 60,
            }],
            parameters: vec![("net.weight".into(), "f32[class = 3]".into())],
            elements: 3,
            inputs: vec!["x: f32[feature = 2]".into()],
            metrics: vec![Metric {
                section: "final".into(),
                part: "test".into(),
                name: "accuracy".into(),
                value: 0.75,
            }],
        },
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in [
            ("journal", "one\n"),
            ("model.safetensors", "two"),
            ("checkpoints/0-fit/5.checkpoint", "three"),
            ("checkpoints-and-more", "four"),
            (".lock", ""),
            ("previous/journal", "old"),
        ] {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sign(&self, policy: Policy) {
        sign(self.0.path(), &facts(), &key(1), policy).unwrap();
    }

    fn signatures(&self) -> Vec<Vec<u8>> {
        [
            "statement.json",
            "signature.json",
            "openssf.sig",
            "provenance.json",
            "bom.json",
        ]
        .map(|name| fs::read(self.path("signatures").join(name)).unwrap())
        .to_vec()
    }

    fn faults(&self) -> Vec<(String, String)> {
        let public = key(1).public().unwrap();
        check(self.0.path(), &facts(), &public, Policy::Hybrid)
            .unwrap()
            .unwrap()
            .faults
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.path(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
}

#[test]
fn the_same_folder_and_key_give_the_same_bytes() {
    let folder = Folder::new();
    folder.sign(Policy::Hybrid);
    let first = folder.signatures();
    folder.sign(Policy::Hybrid);
    assert_eq!(folder.signatures(), first);
    assert_eq!(folder.faults(), []);
    let public = key(1).public().unwrap();
    assert_eq!(
        mmh_sign::PublicKey::from_text(&public.to_text()),
        Ok(public.clone())
    );
    assert_eq!(public.id(), key(1).public().unwrap().id());
    assert_ne!(public.id(), key(2).public().unwrap().id());
}

#[test]
fn what_is_not_signed_may_change() {
    let folder = Folder::new();
    folder.sign(Policy::Hybrid);
    fs::write(folder.path("previous/journal"), "older").unwrap();
    fs::remove_file(folder.path(".lock")).unwrap();
    assert_eq!(folder.faults(), []);
}

type Tamper = fn(&Folder);

#[test]
fn every_change_is_found_and_named() {
    let kinds: &[(&str, Tamper, &str, &str)] = &[
        (
            "a file changed",
            |it| it.edit("model.safetensors", "two", "twO"),
            "model.safetensors",
            "not the file that was signed",
        ),
        (
            "a file removed",
            |it| fs::remove_file(it.path("checkpoints/0-fit/5.checkpoint")).unwrap(),
            "checkpoints/0-fit/5.checkpoint",
            "is missing",
        ),
        (
            "a file added",
            |it| fs::write(it.path("more"), "").unwrap(),
            "more",
            "added after",
        ),
        (
            "the statement",
            |it| {
                it.edit(
                    "signatures/statement.json",
                    "\"steps\": 24",
                    "\"steps\": 25",
                )
            },
            "signatures/signature.json",
            "ed25519 is not one",
        ),
        (
            "the statement's layout",
            |it| {
                it.edit(
                    "signatures/statement.json",
                    "\"steps\": 24",
                    "\"steps\":  24",
                )
            },
            "signatures/signature.json",
            "ml-dsa-65 is not one",
        ),
        (
            "the policy",
            |it| it.edit("signatures/statement.json", ",\n    \"ml-dsa-65\"", ""),
            "signatures/signature.json",
            "ed25519 is not one",
        ),
        (
            "one signature",
            |it| {
                it.edit(
                    "signatures/signature.json",
                    "\"ml-dsa-65\": \"",
                    "\"ml-dsa-65\": \"00",
                )
            },
            "signatures/signature.json",
            "ml-dsa-65 is not one",
        ),
        (
            "the bundle",
            |it| it.edit("signatures/openssf.sig", "\"sig\":\"M", "\"sig\":\"N"),
            "signatures/openssf.sig",
            "not one of this key",
        ),
        (
            "the bundle removed",
            |it| fs::remove_file(it.path("signatures/openssf.sig")).unwrap(),
            "signatures/openssf.sig",
            "is missing",
        ),
        (
            "the provenance",
            |it| {
                it.edit(
                    "signatures/provenance.json",
                    "\"payload\": \"e",
                    "\"payload\": \"f",
                )
            },
            "signatures/provenance.json",
            "not those of this key",
        ),
        (
            "the provenance's second signature",
            |it| {
                it.edit(
                    "signatures/provenance.json",
                    "\"sig\": \"ME",
                    "\"sig\": \"MF",
                )
            },
            "signatures/provenance.json",
            "not those of this key",
        ),
        (
            "the bill of materials",
            |it| it.edit("signatures/bom.json", "\"0.75\"", "\"0.95\""),
            "signatures/bom.json",
            "another run",
        ),
        (
            "the bill of materials removed",
            |it| fs::remove_file(it.path("signatures/bom.json")).unwrap(),
            "signatures/bom.json",
            "is missing",
        ),
        (
            "the provenance of other facts",
            |it| {
                let bytes = fs::read(it.path("signatures/provenance.json")).unwrap();
                let mut other = facts();
                other.described.data[0].rows += 1;
                sign(it.0.path(), &other, &key(1), Policy::Hybrid).unwrap();
                assert_ne!(
                    fs::read(it.path("signatures/provenance.json")).unwrap(),
                    bytes
                );
            },
            "signatures/provenance.json",
            "another run",
        ),
        (
            "the statement removed",
            |it| fs::remove_file(it.path("signatures/statement.json")).unwrap(),
            "signatures/statement.json",
            "is missing",
        ),
        (
            "signed by another",
            |it| sign(it.0.path(), &facts(), &key(2), Policy::Hybrid).unwrap(),
            "signatures/signature.json",
            "it is by key",
        ),
        (
            "a weaker policy",
            |it| it.sign(Policy::Classical),
            "signatures/signature.json",
            "by ml-dsa-65 is missing",
        ),
        (
            "no JSON",
            |it| fs::write(it.path("signatures/signature.json"), "{").unwrap(),
            "signatures/signature.json",
            "no signature",
        ),
        (
            "facts of a longer journal",
            |it| {
                let mut longer = facts();
                longer.journal.lines += 1;
                sign(it.0.path(), &longer, &key(1), Policy::Hybrid).unwrap();
            },
            "journal",
            "31 lines were signed, 30 are here",
        ),
        (
            "facts of another model",
            |it| {
                let other = Signed {
                    model_hash: "blake3:9".into(),
                    ..facts()
                };
                sign(it.0.path(), &other, &key(1), Policy::Hybrid).unwrap();
            },
            "journal",
            "`model_hash` is not the one that was signed",
        ),
    ];
    for (kind, tamper, file, words) in kinds {
        let folder = Folder::new();
        folder.sign(Policy::Hybrid);
        tamper(&folder);
        let faults = folder.faults();
        let said = faults
            .iter()
            .any(|(name, why)| name == file && why.contains(words));
        assert!(said, "{kind}: {faults:#?}");
    }
}

#[test]
fn a_policy_is_the_signers_and_the_verifiers() {
    let folder = Folder::new();
    let public = key(1).public().unwrap();
    assert_eq!(
        check(folder.0.path(), &facts(), &public, Policy::Classical),
        Ok(None)
    );
    folder.sign(Policy::Classical);
    let checked = check(folder.0.path(), &facts(), &public, Policy::Classical)
        .unwrap()
        .unwrap();
    assert_eq!(
        (checked.faults, checked.algorithms),
        (vec![], vec![Algorithm::Ed25519])
    );
    // Who signs with both wants both checked, whatever the verifier asks for.
    folder.sign(Policy::Hybrid);
    folder.edit(
        "signatures/signature.json",
        "\"ml-dsa-65\": \"",
        "\"ml-dsa-65\": \"00",
    );
    let checked = check(folder.0.path(), &facts(), &public, Policy::Classical)
        .unwrap()
        .unwrap();
    assert_eq!(checked.faults.len(), 1);
}

#[cfg(unix)]
#[test]
fn links_are_not_signed() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/etc/passwd", folder.path("link")).unwrap();
    let refused = sign(folder.0.path(), &facts(), &key(1), Policy::Hybrid).unwrap_err();
    assert!(refused.to_string().contains("neither a file nor a folder"));
}

#[test]
fn keys_are_kept_under_their_passphrase() {
    let place = tempfile::tempdir().unwrap();
    let ring = Ring::at(&place.path().join("keys"));
    assert_eq!(ring.list(), Ok(vec![]));
    for (name, passphrase, words) in [
        ("a", "short", "8 characters"),
        ("../a", "long enough", "a key's name"),
        (".a", "long enough", "a key's name"),
        ("", "long enough", "a key's name"),
    ] {
        assert!(
            ring.create(name, passphrase)
                .unwrap_err()
                .to_string()
                .contains(words),
            "{name}"
        );
    }
    let public = ring.create("alice", "correct horse").unwrap();
    assert!(
        ring.create("alice", "another one")
            .unwrap_err()
            .to_string()
            .contains("already")
    );
    let held = ring.list().unwrap();
    assert_eq!(
        (held.len(), &held[0].public, held[0].has_secret),
        (1, &public, true)
    );
    let opened = ring.open("alice", "correct horse").unwrap();
    assert_eq!(opened.public(), Ok(public));
    for wrong in ["correct horsf", ""] {
        assert!(ring.open("alice", wrong).is_err());
    }
    assert!(ring.open("bob", "correct horse").is_err());
    private(&place.path().join("keys/alice.key"), &ring);
    // The secret is nowhere in the file, and a change of the public half is noticed.
    let path = place.path().join("keys/alice.key");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replacen("\"ed25519\": \"", "\"ed25519\": \"0", 1),
    )
    .unwrap();
    assert!(ring.open("alice", "correct horse").is_err());
}

#[cfg(unix)]
fn private(path: &Path, ring: &Ring) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path), mode(path.parent().unwrap())), (0o600, 0o700));
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(
        ring.open("alice", "correct horse")
            .err()
            .unwrap()
            .to_string()
            .contains("chmod 600")
    );
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
fn private(_path: &Path, _ring: &Ring) {}
