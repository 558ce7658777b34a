//! Packs that are damaged, forged or meant to do harm: each is refused by name, nothing panics and nothing is left behind.

mod common;

use std::fs;
use std::path::Path;

use common::{
    all_packs, code, f1, f2, f2_file, f2_header, listing, sample_bytes, verify_bytes,
    verify_within, zstd,
};
use mmh_legacy::{
    Error, Kind, Limits, LookAlike, NameFault, UnpackOptions, Unpacked, import, look_alike,
    refuse_in_place_of_recipe, sniff, unpack,
};

/// Writes `bytes` as `old.mmh` in a fresh folder and unpacks it into `out` below; both folders must show no trace of a
/// refused pack.
fn unpack_bytes(
    bytes: &[u8],
    options: UnpackOptions,
) -> (tempfile::TempDir, Result<Unpacked, Error>) {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = folder.path().join("old.mmh");
    fs::write(&pack, bytes).expect("a pack");
    let result = unpack(&pack, &folder.path().join("out"), options);
    if result.is_err() {
        assert_eq!(listing(folder.path()), ["old.mmh"], "{result:?}");
    }
    (folder, result)
}

fn refused(bytes: &[u8]) -> Error {
    unpack_bytes(bytes, UnpackOptions::default())
        .1
        .expect_err("this must be refused")
}

#[test]
fn truncation_at_every_byte_is_refused() {
    for name in all_packs() {
        let bytes = sample_bytes(&name);
        for len in 0..bytes.len() {
            let result = verify_bytes(&bytes[..len]);
            assert!(result.is_err(), "{name} cut to {len} bytes: {result:?}");
        }
    }
}

#[test]
fn truncated_packs_leave_no_files() {
    for name in [
        "v1.2.0/bench.seed",
        "v1.2.0/hello.txt.mmh",
        "v1.0.2/many_tiny.mmh",
    ] {
        let bytes = sample_bytes(name);
        for len in (0..bytes.len()).step_by(7) {
            refused(&bytes[..len]);
        }
    }
}

#[test]
fn every_bit_flip_of_f1_fails_or_decodes_the_same() {
    let mut same = 0;
    for name in all_packs() {
        let bytes = sample_bytes(&name);
        if sniff(&bytes) != Some(Kind::F1) {
            continue;
        }
        let whole = verify_bytes(&bytes).expect("a genuine pack");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(verified) = verify_bytes(&flipped) {
                // The id held, so the content is the same; the flip was in a bit that carries none.
                assert_eq!(
                    verified.payload_bytes, whole.payload_bytes,
                    "{name} bit {bit}"
                );
                same += 1;
            }
        }
    }
    assert!(
        same > 0,
        "the version digit and the extension are such bits"
    );
}

#[test]
fn no_bit_flip_of_f0_or_f2_panics_or_breaks_a_total() {
    for name in all_packs() {
        let bytes = sample_bytes(&name);
        let whole = verify_bytes(&bytes).expect("a genuine pack");
        // The directory packs of the three releases differ in their time alone, and the large one is slow.
        let repeated = whole.kind == Kind::F2 && !name.starts_with("v1.2.0");
        if whole.kind == Kind::F1 || repeated {
            continue;
        }
        let mut undetected = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match verify_bytes(&flipped) {
                Ok(verified) if verified.kind == Kind::F2 => {
                    assert_eq!(
                        verified.payload_bytes, whole.payload_bytes,
                        "{name} bit {bit}"
                    );
                    undetected += 1;
                }
                Ok(_) => undetected += 1,
                Err(_) => {}
            }
        }
        // This is what `structure only` and `sizes and totals only` mean.
        let all_header = name.ends_with("empty.dat.mmh");
        assert!(undetected > 0 || all_header, "{name}");
    }
}

#[test]
fn trailing_garbage_is_refused() {
    for name in all_packs() {
        for garbage in [
            &b"\0"[..],
            b"\n",
            b"END_MMH\n",
            b"\nEND_MMH\n",
            &[0x28, 0xB5],
            &[0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0],
        ] {
            let mut bytes = sample_bytes(&name);
            bytes.extend(garbage);
            let result = verify_bytes(&bytes);
            assert!(result.is_err(), "{name} and {garbage:?}: {result:?}");
        }
    }
    let mut pack = f1(b"content", "txt");
    pack.extend(b"tail");
    assert_eq!(code(verify_bytes(&pack)), "legacy::trailing-bytes");
    let mut pack = f2(&[("a.bin", &[7; 2000])]);
    pack.extend(b"tail");
    assert_eq!(code(verify_bytes(&pack)), "legacy::trailing-bytes");
}

#[test]
fn frames_in_a_row_are_one_content() {
    let mut pack = f1(b"one two", "txt");
    let header = pack.len() - zstd(b"one two").len();
    pack.truncate(header);
    pack.extend([zstd(b"one "), zstd(b""), zstd(b"two")].concat());
    let (folder, result) = unpack_bytes(&pack, UnpackOptions::default());
    result.expect("the decoder of V1 read these too");
    assert_eq!(
        fs::read(folder.path().join("out/old.txt")).expect("the file"),
        b"one two"
    );
}

#[test]
fn forged_ids_are_refused() {
    let genuine = f1(b"content", "txt");
    verify_bytes(&genuine).expect("a true id");
    for (from, to) in [
        ("file_", "file_0"),
        ("file_", "FILE_"),
        ("DETERMINISTIC_ID: ", "DETERMINISTIC_ID:"),
        ("file_", "file_ "),
    ] {
        let text = String::from_utf8_lossy(&genuine[..54]).replacen(from, to, 1);
        let forged = [text.as_bytes(), &genuine[54..]].concat();
        assert_eq!(code(verify_bytes(&forged)), "legacy::malformed", "{to}");
    }
    let mut forged = genuine.clone();
    forged[37..53].copy_from_slice(b"0123456789abcdef");
    assert_eq!(code(verify_bytes(&forged)), "legacy::content-id");
    assert_eq!(refused(&forged).code(), "legacy::content-id");
    let mut upper = genuine;
    upper[37..53].make_ascii_uppercase();
    assert_eq!(code(verify_bytes(&upper)), "legacy::malformed");
}

#[test]
fn hostile_extensions_never_reach_a_path() {
    for extension in [
        "x/../evil",
        "x\\..\\evil",
        "../evil",
        "a.b",
        "..",
        "x\0",
        "x\ty",
    ] {
        assert_eq!(
            refused(&f1(b"x", extension)).code(),
            "legacy::malformed",
            "{extension:?}"
        );
    }
    // A release could have written these, so the content stays in reach; the name does not.
    for (extension, escaped) in [
        ("x\\evil", "old.x%5Cevil"),
        ("a:b", "old.a%3Ab"),
        ("x ", "old.x%20"),
    ] {
        let pack = f1(b"x", extension);
        verify_bytes(&pack).expect("the content is sound");
        assert_eq!(
            refused(&pack).code(),
            "legacy::unsafe-name",
            "{extension:?}"
        );
        let (folder, result) = unpack_bytes(
            &pack,
            UnpackOptions {
                escape_names: true,
                ..UnpackOptions::default()
            },
        );
        result.expect("an escaped name");
        assert_eq!(listing(&folder.path().join("out")), [escaped]);
    }
}

#[test]
fn hostile_file_names_never_reach_a_path() {
    let content = [1; 1500];
    for name in ["../evil", "/etc/evil", "a/b", "a\0b"] {
        assert_eq!(
            refused(&f2(&[(name, &content)])).code(),
            "legacy::malformed",
            "{name:?}"
        );
    }
    for name in [
        "..",
        ".",
        "..\\evil",
        "C:evil",
        "NUL",
        "com1.txt",
        "bell\u{7}",
        "dot.",
    ] {
        let error = refused(&f2(&[("good.bin", &content), (name, &content)]));
        assert_eq!(error.code(), "legacy::unsafe-name", "{name:?}");
        let escape = UnpackOptions {
            escape_names: true,
            ..UnpackOptions::default()
        };
        let (folder, result) = unpack_bytes(&f2(&[(name, &content)]), escape);
        result.expect("an escaped name");
        assert_eq!(listing(folder.path()), ["old.mmh", "out"], "{name:?}");
        assert_eq!(listing(&folder.path().join("out")).len(), 1, "{name:?}");
    }
    let long = "n".repeat(300);
    let error = refused(&f2(&[(&long, &content)]));
    assert!(
        matches!(
            error,
            Error::UnsafeName {
                fault: NameFault::TooLong,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        code(verify_bytes(&f2(&[(&"n".repeat(70_000), &content)]))),
        "legacy::malformed"
    );
    assert_eq!(
        code(verify_bytes(&f2(&[("a\nb", &content)]))),
        "legacy::malformed"
    );
    assert_eq!(
        refused(&f2(&[("a", &content), ("a", &content)])).code(),
        "legacy::duplicate-name"
    );
}

#[test]
fn archive_members_never_leave_the_folder() {
    let plain = tar::EntryType::Regular;
    let start = common::tar_entry("bench_temp/good", b"good", plain);
    let hostile = [
        ("bench_temp/../evil", plain, "legacy::archive"),
        ("../evil", plain, "legacy::archive"),
        ("/evil", plain, "legacy::archive"),
        ("bench_temp", plain, "legacy::unsafe-name"),
        ("bench_temp/..", plain, "legacy::unsafe-name"),
        ("bench_temp/a\\b", plain, "legacy::unsafe-name"),
        ("bench_temp/sub/evil", plain, "legacy::archive"),
        ("bench_temp_evil", plain, "legacy::archive"),
        ("bench_temp/good", plain, "legacy::duplicate-name"),
        (
            "bench_temp/link",
            tar::EntryType::Symlink,
            "legacy::archive",
        ),
        ("bench_temp/link", tar::EntryType::Link, "legacy::archive"),
        ("bench_temp/device", tar::EntryType::Char, "legacy::archive"),
        ("bench_temp/pipe", tar::EntryType::Fifo, "legacy::archive"),
        (
            "bench_temp/sparse",
            tar::EntryType::GNUSparse,
            "legacy::archive",
        ),
        (
            "bench_temp/sub",
            tar::EntryType::Directory,
            "legacy::archive",
        ),
    ];
    for (path, kind, expected) in hostile {
        let mut archive = [start.clone(), common::tar_entry(path, b"evil", kind)].concat();
        archive.resize(archive.len() + 1024, 0);
        for pack in [zstd(&archive), f1(&archive, "tar")] {
            assert_eq!(refused(&pack).code(), expected, "{path} {kind:?}");
            let (folder, result) = unpack_bytes(
                &pack,
                UnpackOptions {
                    keep_tar: true,
                    ..UnpackOptions::default()
                },
            );
            result.expect("the archive itself is a file like others");
            assert_eq!(
                fs::read(folder.path().join("out/old.tar")).expect("the archive"),
                archive
            );
        }
    }
}

#[test]
fn extended_headers_give_names_and_nothing_else() {
    let plain = tar::EntryType::Regular;
    let with = |first, kind, record: &[u8]| {
        let mut archive = match first {
            true => common::tar_entry("bench_temp/first", b"", plain),
            false => Vec::new(),
        };
        archive.extend(common::tar_entry("pax", record, kind));
        archive.extend(common::tar_entry("bench_temp/short", b"text", plain));
        archive.resize(archive.len() + 1024, 0);
        archive
    };
    for (kind, record) in [
        (tar::EntryType::XHeader, &b"25 path=bench_temp/named\n"[..]),
        (tar::EntryType::GNULongName, b"bench_temp/named\0"),
    ] {
        let (folder, result) =
            unpack_bytes(&zstd(&with(true, kind, record)), UnpackOptions::default());
        result.expect("a long name");
        assert_eq!(listing(&folder.path().join("out")), ["first", "named"]);
        let (folder, result) =
            unpack_bytes(&zstd(&with(false, kind, record)), UnpackOptions::default());
        result.expect("an archive that begins with an extended header");
        assert_eq!(listing(&folder.path().join("out")), ["named"]);
    }
    for (kind, record) in [
        (tar::EntryType::XHeader, &b"22 path=bench_temp/../e\n"[..]),
        (tar::EntryType::XHeader, b"10 size=9\n"),
        (tar::EntryType::XGlobalHeader, b"23 path=bench_temp/all\n"),
        (tar::EntryType::XHeader, b"22 GNU.sparse.major=1\n"),
        (tar::EntryType::XHeader, b"garbage"),
        (tar::EntryType::GNULongName, b"bench_temp/../../evil\0"),
        (tar::EntryType::XHeader, &[b'x'; 70_000]),
    ] {
        let shown = String::from_utf8_lossy(&record[..record.len().min(40)]).into_owned();
        assert_eq!(
            refused(&zstd(&with(true, kind, record))).code(),
            "legacy::archive",
            "{shown}"
        );
    }
}

#[test]
fn damaged_archives_are_refused() {
    let good = common::tar(&[("bench_temp/a", &[b'a'; 700])]);
    verify_bytes(&zstd(&good)).expect("a good archive");
    for len in [513, 600] {
        assert_eq!(
            code(verify_bytes(&zstd(&good[..len]))),
            "legacy::size-mismatch",
            "cut to {len}"
        );
    }
    for len in [1212, 1536, 1537, 2048] {
        assert_eq!(
            code(verify_bytes(&zstd(&good[..len]))),
            "legacy::archive",
            "cut to {len}"
        );
    }
    let mut tail = good.clone();
    tail.extend(b"hidden");
    assert_eq!(code(verify_bytes(&zstd(&tail))), "legacy::archive");
}

#[test]
fn declared_sizes_and_totals_bind() {
    let content = [5; 3000];
    let sealed = |files, total, size| {
        let mut pack = f2_header(files, total);
        pack.extend(f2_file("a.bin", size, &zstd(&content)));
        pack.extend(b"\nEND_MMH\n");
        verify_bytes(&pack)
    };
    sealed(1, 3000, 3000).expect("a good pack");
    assert_eq!(code(sealed(1, 2999, 2999)), "legacy::size-mismatch");
    assert_eq!(code(sealed(1, 3001, 3001)), "legacy::size-mismatch");
    assert_eq!(code(sealed(2, 3000, 3000)), "legacy::total-mismatch");
    assert_eq!(code(sealed(1, 3000, 2999)), "legacy::total-mismatch");
    assert_eq!(code(sealed(0, 3000, 3000)), "legacy::malformed");
}

#[test]
fn sizes_that_overflow_are_refused() {
    let huge = u64::MAX;
    for record in [
        format!("FILE: a\nSIZE: 2\nCOMPRESSED_SIZE: {huge}\n"),
        format!("FILE: a\nSIZE: {huge}\nCOMPRESSED_SIZE: 9\n"),
        format!(
            "FILE: a\nSIZE: {huge}\nCOMPRESSED_SIZE: 0\nFILE: b\nSIZE: 2\nCOMPRESSED_SIZE: 0\n"
        ),
        format!("BATCH_000: 1 files, {huge} bytes\nCOMPRESSED_SIZE: 9\n"),
        format!("BATCH_000: {huge} files, 1 bytes\nCOMPRESSED_SIZE: 9\n"),
        format!("FILE: a\nSIZE: 2\nCOMPRESSED_SIZE: {}\n", i64::MAX),
    ] {
        let pack = [
            f2_header(1, 2),
            record.clone().into_bytes(),
            b"\nEND_MMH\n".to_vec(),
        ]
        .concat();
        let result = verify_bytes(&pack);
        assert!(result.is_err(), "{record}: {result:?}");
    }
}

#[test]
fn markers_inside_a_payload_are_payload() {
    let text = b"FILE: evil\nSIZE: 1\nCOMPRESSED_SIZE: 1\nx\nEND_MMH\n".repeat(30);
    let stored = zstd(&text);
    let (folder, result) = unpack_bytes(&f2(&[("markers.bin", &text)]), UnpackOptions::default());
    result.expect("lengths rule, not markers");
    assert!(
        stored.windows(8).any(|window| window == b"END_MMH\n"),
        "the marker must show in the file"
    );
    assert_eq!(listing(&folder.path().join("out")), ["markers.bin"]);
}

#[test]
fn a_file_named_like_the_blob_does_not_meet_it() {
    let tiny = b"tiny";
    let content = [3; 1500];
    let batch = zstd(tiny);
    let mut pack = f2_header(2, tiny.len() + content.len());
    pack.extend(
        format!(
            "BATCH_000: 1 files, 4 bytes\nCOMPRESSED_SIZE: {}\n",
            batch.len()
        )
        .into_bytes(),
    );
    pack.extend(batch);
    pack.extend(f2_file("tiny_files.blob", content.len(), &zstd(&content)));
    pack.extend(b"\nEND_MMH\n");
    let (folder, result) = unpack_bytes(&pack, UnpackOptions::default());
    result.expect("two files");
    assert_eq!(
        listing(&folder.path().join("out")),
        ["tiny_files.1.blob", "tiny_files.blob"]
    );
}

#[test]
fn bombs_stop_at_the_cap() {
    let limits = Limits {
        max_output: 1 << 20,
        ..Limits::default()
    };
    let bomb = vec![0; 64 << 20];
    let packed = zstd(&bomb);
    assert!(packed.len() < 10_000);
    for pack in [
        packed.clone(),
        f1(&bomb, "bin"),
        packed.repeat(50),
        f2(&[("bomb", &bomb)]),
    ] {
        assert_eq!(
            code(verify_within(&pack, limits)),
            "legacy::output-too-large"
        );
        let (_, result) = unpack_bytes(
            &pack,
            UnpackOptions {
                limits,
                ..UnpackOptions::default()
            },
        );
        assert_eq!(code(result), "legacy::output-too-large");
    }
    // A record that decodes to more than it declares stops at what it declares.
    let mut liar = f2_header(1, 2000);
    liar.extend(f2_file("liar", 2000, &packed));
    liar.extend(b"\nEND_MMH\n");
    assert_eq!(code(verify_within(&liar, limits)), "legacy::size-mismatch");
}

#[test]
fn frames_that_ask_for_much_memory_are_refused() {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.window_log(27).expect("a window");
    encoder.include_contentsize(false).expect("no size");
    std::io::Write::write_all(&mut encoder, b"small").expect("memory");
    let wide = encoder.finish().expect("memory");
    assert_eq!(code(verify_bytes(&wide)), "legacy::window-too-large");
    verify_within(
        &wide,
        Limits {
            window_log: 27,
            ..Limits::default()
        },
    )
    .expect("allowed on request");
    let mut single = vec![0x28, 0xB5, 0x2F, 0xFD, 0xE0];
    single.extend(u64::MAX.to_le_bytes());
    single.extend([1, 0, 0]);
    assert_eq!(code(verify_bytes(&single)), "legacy::window-too-large");
}

#[test]
fn too_many_records_are_refused() {
    let limits = Limits {
        max_records: 3,
        ..Limits::default()
    };
    let files: Vec<_> = (0..4).map(|number| format!("f{number}")).collect();
    let content = [0; 1024];
    let named: Vec<_> = files
        .iter()
        .map(|name| (name.as_str(), &content[..]))
        .collect();
    assert_eq!(
        code(verify_within(&f2(&named), limits)),
        "legacy::too-many-records"
    );
    verify_within(&f2(&named[..3]), limits).expect("three are allowed");
    let members: Vec<_> = (0..4)
        .map(|number| format!("bench_temp/f{number}"))
        .collect();
    let members: Vec<_> = members
        .iter()
        .map(|path| (path.as_str(), &b"x"[..]))
        .collect();
    assert_eq!(
        code(verify_within(&zstd(&common::tar(&members)), limits)),
        "legacy::too-many-records"
    );
}

#[test]
fn files_in_the_way_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = folder.path().join("old.mmh");
    let content = [9; 1200];
    fs::write(&pack, f2(&[("a", &content), ("b", &content)])).expect("a pack");
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join("b"), "mine").expect("a file");
    assert_eq!(
        code(unpack(&pack, &out, UnpackOptions::default())),
        "legacy::output-exists"
    );
    assert_eq!(listing(&out), ["b"]);
    assert_eq!(fs::read(out.join("b")).expect("the file"), b"mine");
    let manifest = folder.path().join("old.mmh.manifest.json");
    fs::write(&manifest, "mine").expect("a file");
    assert_eq!(
        code(import(&pack, None, Limits::default())),
        "legacy::output-exists"
    );
    assert_eq!(fs::read(&manifest).expect("the file"), b"mine");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_way_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = folder.path().join("old.txt.mmh");
    fs::write(&pack, f1(b"text", "txt")).expect("a pack");
    let outside = folder.path().join("outside");
    std::os::unix::fs::symlink(&outside, folder.path().join("old.txt")).expect("a link");
    assert_eq!(
        code(unpack(&pack, folder.path(), UnpackOptions::default())),
        "legacy::output-exists"
    );
    assert!(!outside.exists());
    assert_eq!(
        code(mmh_legacy::verify(
            Path::new("/dev/zero"),
            Limits::default()
        )),
        "legacy::io"
    );
}

#[test]
fn look_alikes_are_named() {
    let mut envelope = b"MMH".to_vec();
    envelope.extend(5_u64.to_le_bytes());
    envelope.extend(1_700_000_000_u64.to_le_bytes());
    envelope.extend([0, 4, 0, 0, 0]);
    let mut pattern = vec![0xAA, 0, 4, 0, 0];
    pattern.extend((0..1024).map(|at| (at % 251) as u8));
    let cases: [(&[u8], LookAlike, &str); 8] = [
        (&envelope, LookAlike::Envelope, "envelope"),
        (
            b"\xA3dseed\x50aaaaaaaaaaaaaaaadalgohmmh-rs/3",
            LookAlike::CborSeedPack,
            "mmh-rs/3",
        ),
        (b"HPC1\x04\0\0\0", LookAlike::Hpc1, "HPC1"),
        (&pattern, LookAlike::PatternDump, "0xAA"),
        (
            b"{\"agent\": \"paradox\"}",
            LookAlike::KaiCoreJson,
            "Kai-Core",
        ),
        (
            b"MMH-RS V3.0\nFiles: 1\n",
            LookAlike::UnknownVersion,
            "V2 and V3 published no code",
        ),
        (b"// a recipe\nmmh 1\n", LookAlike::Recipe, "recipe"),
        (b"mmh 1\n\nseed 7\n", LookAlike::Recipe, "recipe"),
    ];
    for (bytes, expected, word) in cases {
        assert_eq!(sniff(bytes), None);
        assert_eq!(look_alike(bytes), Some(expected));
        let error = verify_bytes(bytes).expect_err("no pack");
        assert_eq!(error.code(), "legacy::look-alike");
        assert!(error.to_string().contains(word), "{error}");
    }
    for bytes in [
        &b""[..],
        b"MMH",
        b"PK\x03\x04",
        b"\x28\xB5\x2F",
        b"\x1f\x8b",
    ] {
        assert_eq!(look_alike(bytes), None, "{bytes:?}");
        assert_eq!(code(verify_bytes(bytes)), "legacy::not-a-pack");
    }
}

#[test]
fn run_and_check_are_told_what_they_were_given() {
    for name in all_packs() {
        let refusal = refuse_in_place_of_recipe(&sample_bytes(&name)).expect("a pack is no recipe");
        assert!(refusal.message.contains("pack of MMH-RS V1"), "{refusal:?}");
        assert!(refusal.help.contains("mmhc legacy"), "{refusal:?}");
    }
    assert!(
        refuse_in_place_of_recipe(b"{\"agent\": 1}")
            .is_some_and(|refusal| refusal.message.contains("Kai-Core"))
    );
    assert_eq!(refuse_in_place_of_recipe(b"// text\nmmh 1\nseed 3\n"), None);
    assert_eq!(refuse_in_place_of_recipe(b"seed 3\n"), None);
}

#[test]
fn a_frame_whose_blocks_are_damaged_is_told_as_such() {
    let text = b"rows and rows and rows of the same words".repeat(40);
    let whole = ::zstd::encode_all(&text[..], 3).expect("memory");
    verify_bytes(&whole).expect("it is whole");
    let damaged = (6..whole.len()).any(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        verify_bytes(&bytes).is_err_and(|error| error.code() == "legacy::frame")
    });
    assert!(damaged);
}
