//! From files to batches.

use mmh_ir::device::Tensor;
use mmh_ir::plan::*;
use mmh_ir::{DType, Shape, Type};
use mmh_numerics::random::Seed;
use mmh_runtime::{Dataset, RunFailure};
use std::path::Path;

fn file(folder: &Path, name: &str, bytes: &[u8]) -> FilePlan {
    std::fs::write(folder.join(name), bytes).unwrap();
    FilePlan {
        path: name.into(),
        blake3: blake3::hash(bytes).to_hex().to_string(),
        within: Within::Plain,
    }
}

fn column(name: &str, kind: ColumnKind, dtype: DType, dims: &[(&str, usize)]) -> ColumnPlan {
    ColumnPlan {
        name: name.into(),
        kind,
        ty: Type::new(dtype, Shape::of(dims)),
    }
}

fn statistic(
    column: u32,
    kind: StatisticKind,
    dtype: DType,
    dims: &[(&str, usize)],
) -> StatisticPlan {
    StatisticPlan {
        column,
        kind,
        ty: Type::new(dtype, Shape::of(dims)),
    }
}

fn load(plan: &DataPlan, folder: &Path) -> Result<Dataset, RunFailure> {
    Dataset::load(
        plan,
        folder,
        &Seed::from_integer(3),
        mmh_data::Limits::default(),
    )
}

fn gather(data: &Dataset, rows: &[u32]) -> Vec<Tensor> {
    let mut columns = Vec::new();
    data.gather(rows, &vec![true; data.width()], &mut columns)
        .unwrap();
    columns
}

fn split(kind: SplitKind, shares: [u32; 3]) -> SplitPlan {
    SplitPlan {
        kind,
        shares,
        site: "d.split".into(),
    }
}

fn table(folder: &Path) -> DataPlan {
    let text = "a,b,kind,label\n1,10,x,no\n2,,y,no\n3,30,,yes\n4,40,y,yes\n";
    DataPlan {
        name: "d".into(),
        source: SourcePlan::Csv {
            file: file(folder, "t.csv", text.as_bytes()),
            delimiter: Some(','),
        },
        columns: vec![
            column(
                "ab",
                ColumnKind::Numbers {
                    fields: vec!["b".into(), "a".into()],
                },
                DType::F32,
                &[("f", 2)],
            ),
            column(
                "kind",
                ColumnKind::Levels {
                    field: "kind".into(),
                    levels: vec!["y".into(), "x".into()],
                },
                DType::I32,
                &[],
            ),
            column(
                "label",
                ColumnKind::Levels {
                    field: "label".into(),
                    levels: vec!["no".into(), "yes".into()],
                },
                DType::I32,
                &[],
            ),
        ],
        rows: 4,
        split: split(SplitKind::Sequential, [1_000_000, 0, 0]),
        statistics: vec![
            statistic(0, StatisticKind::Mean, DType::F32, &[("f", 2)]),
            statistic(0, StatisticKind::Median, DType::F32, &[("f", 2)]),
            statistic(1, StatisticKind::Mode, DType::I32, &[]),
        ],
    }
}

#[test]
fn a_table_with_missing_values() {
    let folder = tempfile::tempdir().unwrap();
    let data = load(&table(folder.path()), folder.path()).unwrap();
    let columns = gather(&data, &[3, 1, 2]);
    let numbers: Vec<u32> = columns[0]
        .as_f32()
        .unwrap()
        .iter()
        .map(|x| x.to_bits())
        .collect();
    let wanted = [
        40.0,
        4.0,
        f32::from_bits(mmh_numerics::NAN_BITS),
        2.0,
        30.0,
        3.0,
    ]
    .map(f32::to_bits);
    assert_eq!(numbers, wanted);
    assert_eq!(columns[1], Tensor::I32(vec![0, 0, -1]));
    assert_eq!(columns[2], Tensor::I32(vec![1, 0, 1]));
    let mean = [80.0_f64 / 3.0, 2.5].map(|x| x as f32).to_vec();
    assert_eq!(
        data.statistics,
        [
            Tensor::F32(mean),
            Tensor::F32(vec![30.0, 2.0]),
            Tensor::I32(vec![0])
        ]
    );
    let mut columns = Vec::new();
    assert!(data.gather(&[4], &[true; 3], &mut columns).is_err());
}

#[test]
fn a_stratified_split_and_what_is_wrong_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = table(folder.path());
    plan.split = split(
        SplitKind::Stratified { by: "label".into() },
        [500_000, 500_000, 0],
    );
    let data = load(&plan, folder.path()).unwrap();
    for rows in [data.rows(Part::Train), data.rows(Part::Valid)] {
        let labels = &gather(&data, rows)[2];
        assert!(
            labels == &Tensor::I32(vec![0, 1]) && rows.is_sorted(),
            "{labels:?}"
        );
    }
    plan.split = split(
        SplitKind::Stratified { by: "kind".into() },
        [500_000, 500_000, 0],
    );
    assert_eq!(load(&plan, folder.path()).unwrap_err().code(), "run::plan");
    let mut plan = table(folder.path());
    plan.columns[0].ty = Type::f32(Shape::of(&[("f", 3)]));
    plan.statistics.clear();
    assert_eq!(load(&plan, folder.path()).unwrap_err().code(), "run::plan");
}

fn idx(axes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, axes.len() as u8];
    axes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(bytes);
    file
}

#[test]
fn pictures_of_two_files_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let pixels: Vec<u8> = (0..40).collect();
    let images = vec![
        file(folder.path(), "a", &idx(&[8, 2, 2], &pixels[..32])),
        file(folder.path(), "b", &idx(&[2, 2, 2], &pixels[32..])),
    ];
    let labels = vec![
        file(folder.path(), "c", &idx(&[8], &[0, 1, 2, 0, 1, 2, 0, 1])),
        file(folder.path(), "d", &idx(&[2], &[2, 0])),
    ];
    let plan = DataPlan {
        name: "d".into(),
        source: SourcePlan::Idx { images, labels },
        columns: vec![
            column(
                "image",
                ColumnKind::Images,
                DType::U8,
                &[("c", 1), ("h", 2), ("w", 2)],
            ),
            column("label", ColumnKind::Labels { classes: 3 }, DType::I32, &[]),
        ],
        rows: 10,
        split: split(SplitKind::Files, [750_000, 250_000, 0]),
        statistics: vec![statistic(0, StatisticKind::Mean, DType::F32, &[])],
    };
    let data = load(&plan, folder.path()).unwrap();
    assert_eq!(data.parts.each_ref().map(Vec::len), [6, 2, 2]);
    assert_eq!(data.rows(Part::Test), [8, 9]);
    assert_eq!(
        gather(&data, &[9, 0]),
        [
            Tensor::U8(vec![36, 37, 38, 39, 0, 1, 2, 3]),
            Tensor::I32(vec![0, 0])
        ]
    );
}

#[test]
fn windows_of_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = "abcdefghijklmnopqrstuvwxyz";
    let vocabulary: Vec<char> = text.chars().collect();
    let characters = |ahead| ColumnKind::Characters {
        ahead,
        vocabulary: vocabulary.clone(),
    };
    let plan = DataPlan {
        name: "d".into(),
        source: SourcePlan::Text {
            file: file(folder.path(), "t.txt", text.as_bytes()),
            window: 3,
            stride: 2,
        },
        columns: vec![
            column("text", characters(0), DType::I32, &[("time", 3)]),
            column("next", characters(1), DType::I32, &[("time", 3)]),
        ],
        rows: 10,
        split: split(SplitKind::Sequential, [500_000, 250_000, 250_000]),
        statistics: vec![],
    };
    let data = load(&plan, folder.path()).unwrap();
    // Characters 0..13, 13..20 and 20..26: a part's windows and targets lie inside.
    assert_eq!(data.parts, [vec![0, 1, 2, 3, 4], vec![7, 8], vec![10, 11]]);
    assert_eq!(
        gather(&data, &[4, 7]),
        [
            Tensor::I32(vec![8, 9, 10, 14, 15, 16]),
            Tensor::I32(vec![9, 10, 11, 15, 16, 17])
        ]
    );
    let rows = plan.clone();
    let random = DataPlan {
        split: split(SplitKind::Random, [1_000_000, 0, 0]),
        ..rows
    };
    assert_eq!(
        load(&random, folder.path())
            .unwrap()
            .rows(Part::Train)
            .len(),
        12
    );
}

/// A pack of the samples, copied into the folder.
fn pack(folder: &Path, name: &str, within: Within) -> FilePlan {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../legacy/tests/samples");
    let bytes = std::fs::read(Path::new(samples).join(name)).unwrap();
    FilePlan {
        within,
        ..file(folder, "old.mmh", &bytes)
    }
}

fn bytes_of(file: FilePlan, rows: u64, levels: &[&str]) -> DataPlan {
    let levels = levels.iter().map(|level| (*level).to_owned()).collect();
    let field = "file".into();
    DataPlan {
        name: "old".into(),
        source: SourcePlan::Bytes {
            file,
            window: 1024,
            stride: 1024,
        },
        columns: vec![
            column("x", ColumnKind::Images, DType::U8, &[("byte", 1024)]),
            column("y", ColumnKind::Levels { field, levels }, DType::I32, &[]),
        ],
        rows,
        split: split(SplitKind::Sequential, [1_000_000, 0, 0]),
        statistics: vec![],
    }
}

#[test]
fn rows_of_bytes_of_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        "a_large.bin",
        "b_medium.txt",
        "c_small_1024.bin",
        "e_small_markers.bin",
        "h_small.json",
        "tiny_files.blob",
    ];
    for release in ["v1.0.2", "v1.1.0", "v1.2.0"] {
        let whole = pack(folder.path(), &format!("{release}/dir.mmh"), Within::Pack);
        let plan = bytes_of(whole, 1165, &files);
        let data = load(&plan, folder.path()).unwrap();
        // The blob, then files of 1, 3, 2, 112 and 1046 whole rows.
        let rows = data.rows(Part::Train).len();
        assert_eq!(rows, 1165);
        let [Tensor::U8(bytes), Tensor::I32(classes)] = &gather(&data, &[0, 1, 2, 6, 7, 1164])[..]
        else {
            panic!("bytes and classes");
        };
        assert_eq!(classes, &[5, 2, 3, 4, 1, 0]);
        assert!(bytes[4 * 1024..].starts_with(b"medium compressible line"));

        let name = Within::PackFile("b_medium.txt".into());
        let one = pack(folder.path(), &format!("{release}/dir.mmh"), name);
        let one = load(&bytes_of(one, 112, &["b_medium.txt"]), folder.path()).unwrap();
        assert_eq!(one.rows(Part::Train).len(), 112);
    }
}

#[test]
fn a_table_and_a_text_in_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let name = Within::PackFile("z_small.csv".into());
    let table = DataPlan {
        source: SourcePlan::Csv {
            file: pack(folder.path(), "v1.1.0/many_tiny.mmh", name),
            delimiter: None,
        },
        columns: vec![column(
            "a",
            ColumnKind::Levels {
                field: "a".into(),
                levels: vec!["a".into()],
            },
            DType::I32,
            &[],
        )],
        ..bytes_of(
            pack(folder.path(), "v1.1.0/many_tiny.mmh", Within::Pack),
            599,
            &[],
        )
    };
    let data = load(&table, folder.path()).unwrap();
    assert_eq!(data.rows(Part::Train).len(), 599);
    assert_eq!(gather(&data, &[598]), [Tensor::I32(vec![0])]);

    let text = SourcePlan::Text {
        file: pack(folder.path(), "v1.2.0/hello.txt.mmh", Within::Pack),
        window: 4,
        stride: 1,
    };
    let vocabulary = ('\0'..='ÿ').collect();
    let kind = ColumnKind::Characters {
        ahead: 0,
        vocabulary,
    };
    let plan = DataPlan {
        source: text,
        columns: vec![column("c", kind, DType::I32, &[("time", 4)])],
        ..table
    };
    let data = load(&plan, folder.path()).unwrap();
    assert!(data.rows(Part::Train).len() > 4);
}

#[test]
fn packs_that_are_not_as_planned_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |file: FilePlan| match load(&bytes_of(file, 1, &[]), folder.path()) {
        Err(RunFailure::Data(error)) => (error.code, error.help),
        other => panic!("{other:?}"),
    };
    let whole = pack(folder.path(), "v1.2.0/dir.mmh", Within::Pack);
    let other = FilePlan {
        blake3: "0".repeat(64),
        ..whole.clone()
    };
    let (code, help) = refused(other);
    assert_eq!(code, "legacy::pin-mismatch");
    assert!(help.contains("mmhc lock"), "{help}");
    let absent = FilePlan {
        path: "odl.mmh".into(),
        ..whole.clone()
    };
    let (code, help) = refused(absent);
    assert_eq!(
        (code, help.as_str()),
        ("data::missing-file", "did you mean `old.mmh`?")
    );
    let (code, help) = refused(FilePlan {
        within: Within::PackFile("b_large.txt".into()),
        ..whole.clone()
    });
    assert_eq!(code, "data::missing-file");
    assert!(help.contains("tiny_files.blob, c_small_1024.bin"), "{help}");
    let (code, _) = refused(FilePlan {
        within: Within::Pack,
        ..file(folder.path(), "t.csv", b"a,b\n1,2\n")
    });
    assert_eq!(code, "legacy::not-a-pack");

    // Several files, and a table is one.
    let plan = DataPlan {
        source: SourcePlan::Csv {
            file: whole,
            delimiter: None,
        },
        ..bytes_of(file(folder.path(), "t.csv", b"a\n"), 1, &[])
    };
    match load(&plan, folder.path()) {
        Err(RunFailure::Data(error)) => {
            assert_eq!(error.code, "data::missing-file");
            assert!(error.message.contains("6 files"), "{}", error.message);
        }
        other => panic!("{other:?}"),
    }
}
