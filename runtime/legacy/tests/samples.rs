//! Every pack of every release: inspected, verified, unpacked and imported to exactly what was packed.

mod common;

use std::fs;
use std::path::Path;

use common::{RELEASES, all_packs, expected, listing, sample, sha256};
use mmh_legacy::{
    Inspection, Kind, Limits, Manifest, PackForm, Proof, TINY_BLOB_NAME, UnpackOptions, Unpacked,
    import, inspect, read_members, read_payload, sniff, unpack, verify,
};

/// The single-file packs and the originals they hold.
const SINGLES: [(&str, &str, &str); 6] = [
    ("archive.tar.gz.mmh", "archive.tar.gz", "gz"),
    ("empty.dat.mmh", "empty.dat", "dat"),
    ("hello.txt.mmh", "hello.txt", "txt"),
    ("noext.mmh", "noext", ""),
    ("sample.täxt.mmh", "sample.täxt", "täxt"),
    ("weights.bin.mmh", "weights.bin", "bin"),
];

fn unpacked(pack: &str, to: &Path) -> Unpacked {
    unpack(&sample(pack), to, UnpackOptions::default()).expect("a genuine pack")
}

fn assert_is(path: &Path, original: &str) {
    let bytes = fs::read(path).expect("an unpacked file");
    assert_eq!(
        (bytes.len() as u64, sha256(&bytes)),
        expected(original),
        "{}",
        path.display()
    );
}

fn inspected(pack: &str) -> Inspection {
    inspect(&sample(pack), Limits::default()).expect("a genuine pack")
}

#[test]
fn samples_are_the_recorded_ones() {
    for name in all_packs() {
        assert_is(&sample(&name), &name);
    }
}

#[test]
fn every_pack_verifies_with_the_strength_of_its_format() {
    for name in all_packs() {
        let bytes = common::sample_bytes(&name);
        let verified = verify(&sample(&name), Limits::default()).expect("a genuine pack");
        assert_eq!(sniff(&bytes), Some(verified.kind), "{name}");
        let directory = name.ends_with("dir.mmh") || name.ends_with("many_tiny.mmh");
        match &verified.proof {
            Proof::SizesAndTotalsOnly => assert!(directory, "{name}"),
            Proof::StructureOnly => assert!(!directory && name.starts_with("v1.0.2"), "{name}"),
            Proof::ContentId64 { content_id } => {
                assert!(!directory && !name.starts_with("v1.0.2"), "{name}");
                assert!(
                    bytes
                        .windows(content_id.len())
                        .any(|window| window == content_id.as_bytes())
                );
            }
        }
        assert_eq!(
            verified
                .archive
                .map(|archive| (archive.members, archive.bytes)),
            name.ends_with("bench.seed").then_some((2, 2660))
        );
    }
}

#[test]
fn single_files_come_back_under_their_names() {
    for release in RELEASES {
        for (pack, original, extension) in SINGLES {
            let folder = tempfile::tempdir().expect("a folder");
            let name = format!("{release}/{pack}");
            let unpacked = unpacked(&name, folder.path());
            assert_eq!(listing(folder.path()), [original]);
            assert_eq!(unpacked.files.len(), 1);
            assert_is(
                &folder.path().join(original),
                &format!("originals/{original}"),
            );
            match inspected(&name).form {
                PackForm::Bare { frame, archive } => {
                    assert_eq!(release, "v1.0.2");
                    assert!(
                        frame.is_some_and(|frame| !frame.checksum && !frame.dictionary) && !archive
                    );
                }
                PackForm::Tagged {
                    header,
                    extension_fault,
                    ..
                } => {
                    assert_eq!(header.extension, extension);
                    assert_eq!(format!("v{}", header.release.number()), release);
                    assert_eq!(extension_fault, None);
                }
                PackForm::Directory { .. } => panic!("{name} is no directory"),
            }
        }
    }
}

#[test]
fn a_renamed_pack_takes_its_extension_from_the_header() {
    let folder = tempfile::tempdir().expect("a folder");
    let renamed = folder.path().join("renamed.mmh");
    fs::copy(sample("v1.2.0/hello.txt.mmh"), &renamed).expect("a copy");
    let out = folder.path().join("out");
    unpack(&renamed, &out, UnpackOptions::default()).expect("a genuine pack");
    assert_eq!(listing(&out), ["renamed.txt"]);
}

#[test]
fn benchmark_archives_give_their_files_or_the_tar() {
    for release in RELEASES {
        let folder = tempfile::tempdir().expect("a folder");
        let name = format!("{release}/bench.seed");
        unpacked(&name, folder.path());
        assert_eq!(
            listing(folder.path()),
            ["ai_model_000000.weights", "log_000001.log"]
        );
        for file in listing(folder.path()) {
            assert_is(
                &folder.path().join(&file),
                &format!("originals/bench_temp/{file}"),
            );
        }
        let closed = folder.path().join("closed");
        let options = UnpackOptions {
            keep_tar: true,
            ..UnpackOptions::default()
        };
        unpack(&sample(&name), &closed, options).expect("a genuine pack");
        assert_eq!(listing(&closed), ["bench.tar"]);
        assert_is(&closed.join("bench.tar"), "originals/bench.seed.tar");
    }
}

#[test]
fn directories_give_named_files_and_one_blob() {
    for release in RELEASES {
        let folder = tempfile::tempdir().expect("a folder");
        let files = unpacked(&format!("{release}/dir.mmh"), folder.path()).files;
        assert_eq!(files[0].tiny_files, Some(3));
        let named = [
            "a_large.bin",
            "b_medium.txt",
            "c_small_1024.bin",
            "e_small_markers.bin",
            "h_small.json",
        ];
        for name in named {
            assert_is(&folder.path().join(name), &format!("originals/dir/{name}"));
        }
        assert_is(&folder.path().join(TINY_BLOB_NAME), "blob/dir");
        assert_eq!(listing(folder.path()).len(), named.len() + 1);

        let folder = tempfile::tempdir().expect("a folder");
        let files = unpacked(&format!("{release}/many_tiny.mmh"), folder.path()).files;
        assert_eq!(files[0].tiny_files, Some(205));
        assert_eq!(listing(folder.path()), [TINY_BLOB_NAME, "z_small.csv"]);
        assert_is(&folder.path().join(TINY_BLOB_NAME), "blob/many_tiny");
    }
}

#[test]
fn directories_are_described_without_decoding() {
    let inspection = inspected("v1.1.0/dir.mmh");
    assert_eq!(inspection.kind, Kind::F2);
    let PackForm::Directory {
        header,
        tiny_files,
        tiny_bytes,
        records,
    } = inspection.form
    else {
        panic!("this is a directory");
    };
    assert_eq!(
        (header.files, header.total_bytes, tiny_files, tiny_bytes),
        (8, 1_195_135, 3, 1039)
    );
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "c_small_1024.bin",
            "e_small_markers.bin",
            "h_small.json",
            "b_medium.txt",
            "a_large.bin"
        ]
    );
}

#[test]
fn imported_packs_are_read_by_pin() {
    for name in all_packs() {
        let folder = tempfile::tempdir().expect("a folder");
        let pack = folder.path().join("old.mmh");
        fs::copy(sample(&name), &pack).expect("a copy");
        let limits = Limits::default();
        let (path, manifest) = import(&pack, None, limits).expect("a genuine pack");
        assert_eq!(path, folder.path().join("old.mmh.manifest.json"));
        let written = fs::read(&path).expect("the manifest");
        assert_eq!(
            Manifest::parse(&written).expect("a manifest"),
            Some(manifest.clone())
        );
        import(&pack, None, limits).expect("importing again changes nothing");

        let pin = &manifest.container.blake3;
        let payload = read_payload(&pack, pin, limits).expect("the pinned pack");
        assert_eq!(
            format!("blake3:{}", blake3::hash(&payload)),
            manifest.payload.blake3
        );
        assert_eq!(payload.len() as u64, manifest.payload.bytes);
        let digits = pin.trim_start_matches("blake3:").to_uppercase();
        assert_eq!(
            read_payload(&path, &digits, limits).expect("by manifest"),
            payload
        );

        let contents = read_members(&pack, Some(pin), limits).expect("the pinned pack");
        assert_eq!(format!("blake3:{}", contents.container), *pin);
        let by_manifest = read_members(&path, None, limits).expect("by manifest");
        assert_eq!(by_manifest, contents);
        assert_eq!(read_members(&pack, None, limits).expect("a pack"), contents);
        let members = contents.members;
        assert_eq!(members.len(), manifest.members.len());
        for (member, described) in members.iter().zip(&manifest.members) {
            assert_eq!(
                (&member.name, member.tiny_files),
                (&described.name, described.tiny_files)
            );
            assert_eq!(
                format!("blake3:{}", blake3::hash(&member.bytes)),
                described.blake3
            );
        }
    }
}

#[test]
fn other_bytes_than_the_pinned_ones_are_refused() {
    let limits = Limits::default();
    let pack = sample("v1.2.0/hello.txt.mmh");
    let other = format!("blake3:{}", "0".repeat(64));
    assert_eq!(
        common::code(read_payload(&pack, &other, limits)),
        "legacy::pin-mismatch"
    );
    assert_eq!(
        common::code(read_payload(&pack, "blake3:12", limits)),
        "legacy::bad-pin"
    );
    assert_eq!(
        common::code(read_members(&pack, Some(&other), limits)),
        "legacy::pin-mismatch"
    );
}

#[test]
fn files_other_than_the_manifest_says_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = folder.path().join("old.mmh");
    fs::copy(sample("v1.2.0/hello.txt.mmh"), &pack).expect("a copy");
    let limits = Limits::default();
    let (path, manifest) = import(&pack, None, limits).expect("a genuine pack");
    let write = |changed: &Manifest| {
        let text = serde_json::to_vec(changed).expect("a document");
        fs::write(&path, text).expect("written");
        common::code(read_members(&path, None, limits))
    };
    let zeros = format!("blake3:{}", "0".repeat(64));
    let mut changed = manifest.clone();
    changed.members[0].blake3.clone_from(&zeros);
    assert_eq!(write(&changed), "legacy::pin-mismatch");
    changed = manifest.clone();
    changed.members.clear();
    assert_eq!(write(&changed), "legacy::document");
    changed = manifest.clone();
    changed.members[0].name = Some("other".into());
    assert_eq!(write(&changed), "legacy::document");
    changed = manifest;
    changed.container.blake3 = zeros;
    assert_eq!(write(&changed), "legacy::pin-mismatch");
}

/// Bytes that do not compress, so that the pack is large enough for threads.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn large_packs_are_decoded_and_hashed_whole() {
    let limits = Limits::default();
    for extra in 0..12 {
        let content = noise((6 << 20) + extra * 77_777);
        let pack = common::f1(&content, "bin");
        let verified = common::verify_bytes(&pack).expect("a true id");
        assert_eq!(verified.payload_bytes, content.len() as u64);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("noise.mmh");
        fs::write(&path, &pack).expect("a pack");
        let out = folder.path().join("out");
        unpack(&path, &out, UnpackOptions::default()).expect("a true id");
        assert!(fs::read(out.join("noise.bin")).expect("the file") == content);
        let pin = blake3::hash(&pack).to_hex();
        assert!(read_payload(&path, &pin, limits).expect("the pinned pack") == content);

        let mut damaged = pack.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        assert!(common::verify_bytes(&damaged).is_err());
        assert_eq!(
            common::code(common::verify_bytes(&pack[..middle])),
            "legacy::truncated"
        );
        let small = Limits {
            max_output: 5 << 20,
            ..limits
        };
        assert_eq!(
            common::code(common::verify_within(&pack, small)),
            "legacy::output-too-large"
        );
    }
}

#[test]
fn large_archives_are_opened_while_they_are_decoded() {
    let (first, second) = (noise(3 << 20), noise((2 << 20) + 1));
    let archive = common::tar(&[("bench_temp/a.bin", &first), ("bench_temp/b.bin", &second)]);
    for pack in [common::f1(&archive, "tar"), common::zstd(&archive)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("big.seed");
        fs::write(&path, &pack).expect("a pack");
        let out = folder.path().join("out");
        unpack(&path, &out, UnpackOptions::default()).expect("a good archive");
        assert!(fs::read(out.join("a.bin")).expect("the file") == first);
        assert!(fs::read(out.join("b.bin")).expect("the file") == second);
    }
}
