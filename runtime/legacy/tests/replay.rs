//! The benchmark data set against what V1's own reports recorded.

mod common;

use mmh_legacy::replay::{
    DataSet, Recorded, ReplaySeed, RowShape, parse_report, published, published_for, replay,
    write_files, write_rows,
};
use serde_json::{Value, json};

fn vectors() -> Value {
    serde_json::from_slice(&common::sample_bytes("replay_vectors.json")).expect("valid JSON")
}

/// The recorded reports, in the form that V1 wrote them.
fn recorded() -> Vec<Recorded> {
    let vectors = vectors();
    let reports = vectors["vectors"].as_array().expect("a list").iter();
    let reports = reports.map(|vector| {
        let report = json!({
            "mmh_version": vector["report_mmh_version"],
            "replay_seed": vector["replay_seed"],
            "total_files": vector["total_files"],
            "total_size_bytes": vector["total_size_bytes"],
            "input_hash": vector["input_hash_sha256"],
            "pack_speed_mb_s": 1.5,
        });
        parse_report(report.to_string().as_bytes()).expect("a report")
    });
    reports.collect()
}

fn check(report: &Recorded) {
    replay(report.seed())
        .check(report)
        .expect("the recorded data set");
}

#[test]
fn the_first_files_are_the_recorded_ones() {
    let set = DataSet::new(ReplaySeed {
        seed: 12345,
        total_bytes: 50 << 20,
    });
    let vectors = vectors();
    let recorded = vectors["seed_12345_50MiB_first_files_in_generation_order"]
        .as_array()
        .expect("a list");
    for (file, recorded) in set.zip(recorded) {
        assert_eq!(recorded["name"], file.name.as_str());
        assert_eq!(recorded["len"], file.len);
        assert_eq!(
            recorded["sha256"],
            common::sha256(&file.bytes).as_str(),
            "{}",
            file.name
        );
    }
}

#[test]
fn reports_of_50_mib_regenerate() {
    let reports = recorded();
    let mut small: Vec<_> = reports
        .iter()
        .filter(|report| report.total_size_bytes == 50 << 20)
        .collect();
    assert_eq!(small.len(), 104);
    // Every eighth, and both seeds at the ends of the range; `every_report_in_reach` takes them all.
    small.sort_by_key(|report| report.replay_seed);
    small
        .iter()
        .step_by(8)
        .chain(small.last())
        .for_each(|report| check(report));
}

/// All reports up to 2 GiB: minutes of work.
#[test]
#[ignore = "takes minutes; run with --ignored"]
fn every_report_in_reach() {
    let reports = recorded();
    let reach = reports
        .iter()
        .filter(|report| report.total_size_bytes <= 2 << 30);
    let mut wrong = Vec::new();
    for report in reach {
        if let Err(error) = replay(report.seed()).check(report) {
            wrong.push(format!(
                "{} of {} bytes: {error}",
                report.replay_seed, report.total_size_bytes
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_changed_report_is_noticed() {
    let mut report = recorded()
        .into_iter()
        .find(|report| report.replay_seed == 12345)
        .expect("the first");
    let replayed = replay(report.seed());
    replayed.check(&report).expect("unchanged");
    report.total_files += 1;
    assert_eq!(
        common::code(replayed.check(&report)),
        "legacy::replay-mismatch"
    );
    report.total_files -= 1;
    report.input_hash.replace_range(0..1, "0");
    assert_eq!(
        common::code(replayed.check(&report)),
        "legacy::replay-mismatch"
    );
}

#[test]
fn reports_that_lack_or_garble_a_field_are_refused() {
    let hash = "5e".repeat(32);
    let good = json!({"replay_seed": u64::MAX, "total_files": 1, "total_size_bytes": 1, "input_hash": hash});
    let report = parse_report(good.to_string().as_bytes()).expect("complete");
    assert_eq!(report.replay_seed, u64::MAX);
    for (field, value) in [
        ("replay_seed", json!(1.8e19)),
        ("replay_seed", json!(-1)),
        ("total_files", json!("97")),
        ("total_size_bytes", Value::Null),
        ("input_hash", json!("5E".repeat(32))),
        ("input_hash", json!("5e")),
    ] {
        let mut report = good.clone();
        report[field] = value;
        assert_eq!(
            common::code(parse_report(report.to_string().as_bytes())),
            "legacy::document",
            "{field}"
        );
    }
    assert_eq!(common::code(parse_report(b"[]")), "legacy::document");
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("set");
    let seed = ReplaySeed {
        seed: 3,
        total_bytes: 3_000_000,
    };
    write_files(seed, &to).expect("a free name");
    let written: Vec<_> = common::listing(&to);
    let mut generated: Vec<_> = DataSet::new(seed).map(|file| file.name).collect();
    generated.sort();
    assert_eq!(written, generated);
    for file in DataSet::new(seed) {
        assert_eq!(
            std::fs::read(to.join(&file.name)).expect("the file"),
            file.bytes
        );
    }
    assert_eq!(
        common::code(write_files(seed, &to)),
        "legacy::output-exists"
    );
    assert_eq!(common::listing(folder.path()), ["set"]);
}

#[test]
fn the_published_reports_are_known_by_seed() {
    let mut recorded = recorded();
    recorded.sort_by_key(|report| (report.replay_seed, report.total_size_bytes));
    let published: Vec<_> = published().collect();
    assert_eq!(published, recorded);
    let seed = ReplaySeed {
        seed: 12345,
        total_bytes: 50 << 20,
    };
    assert_eq!(
        published_for(seed).map(|report| report.total_files),
        Some(97)
    );
    assert_eq!(
        published_for(ReplaySeed {
            seed: 12346,
            ..seed
        }),
        None
    );
}

#[test]
fn rows_are_windows_with_the_class_of_their_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("rows.csv");
    let seed = ReplaySeed {
        seed: 12345,
        total_bytes: 2_000_000,
    };
    let shape = RowShape {
        width: 4,
        every: 100_000,
    };
    let rows = write_rows(seed, shape, &to).expect("a free name");
    let text = std::fs::read_to_string(&to).expect("the table");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("class,byte_0,byte_1,byte_2,byte_3"));
    let mut expected = Vec::new();
    for file in DataSet::new(seed) {
        for start in (0..file.bytes.len()).step_by(100_000) {
            if let Some([a, b, c, d]) = file.bytes.get(start..start + 4) {
                expected.push(format!("{},{a},{b},{c},{d}", file.class.label()));
            }
        }
    }
    assert_eq!(lines.collect::<Vec<_>>(), expected);
    assert_eq!(rows, expected.len() as u64);
    assert_eq!(
        common::code(write_rows(seed, shape, &to)),
        "legacy::output-exists"
    );
    assert_eq!(common::listing(folder.path()), ["rows.csv"]);
}

/// The pin that a recipe which trains on this table carries.
#[test]
fn the_table_of_the_example_has_its_pin() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("replay.csv");
    let seed = ReplaySeed {
        seed: 12345,
        total_bytes: 50 << 20,
    };
    let rows = write_rows(seed, RowShape::default(), &to).expect("a free name");
    let table = std::fs::read(&to).expect("the table");
    let hash = blake3::hash(&table).to_hex().to_string();
    assert_eq!((rows, table.len()), (12_847, 2_830_738));
    assert_eq!(
        hash,
        "9d8aba21a0723bc47075f0393dc227fc1a4130f9a8efc65a51b30d1745fd6c87"
    );
}
