//! Streamed sources against the same sources in memory. Blocks are 61 bytes here, so that rows are cut everywhere.

use std::path::Path;

use proptest::prelude::*;

use crate::{
    AnyColumn, Column, CsvOptions, DataError, Elements, Limits, Missing, Open, Records, Source,
    Streamed, Streaming, Values, class_counts, data_hash, data_hash_of, lower_medians, moments,
    moments_of_all, streamed_moments,
};

fn silent(_: &str) {}

/// A folder that lasts as long as the process.
fn folder() -> &'static Path {
    static FOLDER: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    FOLDER
        .get_or_init(|| tempfile::tempdir().expect("a folder"))
        .path()
}

fn streaming() -> Streaming {
    Streaming {
        folder: folder(),
        memory: 0,
        cache: 1 << 30,
        told: silent,
    }
}

#[derive(Clone, Copy)]
enum As {
    Csv,
    Idx,
    Text,
}

/// The same bytes in memory and streamed.
fn both(bytes: &[u8], kind: As) -> [Result<Source, DataError>; 2] {
    let file = tempfile::NamedTempFile::new_in(folder()).expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    let open = |streaming| {
        let limits = Limits {
            streaming,
            ..Limits::default()
        };
        let open = Open::path(file.path()).shown_as("t").limits(limits);
        match kind {
            As::Csv => open.csv(CsvOptions::default()),
            As::Idx => open.idx(),
            As::Text => open.text(),
        }
    };
    [open(None), open(Some(streaming()))]
}

/// Rows one by one and all at once are the column.
fn check_rows(streamed: &Streamed, column: &Column) {
    assert_eq!(&streamed.collect().expect("rows"), column);
    for memory in [0, u64::MAX] {
        let records = Records::of(streamed, None, memory).expect("rows");
        check_orders(&records, streamed, column);
    }
}

fn check_orders(records: &Records, streamed: &Streamed, column: &Column) {
    let rows = column.rows() as u32;
    let orders = [
        (0..rows).collect::<Vec<u32>>(),
        (0..rows).rev().collect(),
        (0..rows).map(|row| row * 7 % rows.max(1)).collect(),
        (0..rows).step_by(3).collect(),
    ];
    let mut all = streamed.no_elements();
    let mut bytes = Vec::new();
    records.read(&orders[0], &mut bytes).expect("rows");
    streamed.decode(&bytes, &mut all).expect("elements");
    for order in orders {
        for ahead in [false, true] {
            if ahead {
                records.expect(&order);
            }
            records.read(&order, &mut bytes).expect("rows");
            let mut found = streamed.no_elements();
            streamed.decode(&bytes, &mut found).expect("elements");
            let width = streamed.width();
            let places = order.iter().flat_map(|&row| {
                let start = row as usize * width;
                start..start + width
            });
            assert_eq!(
                bits(&found),
                places.map(|place| bits(&all)[place]).collect::<Vec<u32>>()
            );
        }
    }
    assert!(records.read(&[rows], &mut bytes).is_err());
}

fn bits(elements: &Elements) -> Vec<u32> {
    match elements {
        Elements::F32(values) => values.iter().map(|value| value.to_bits()).collect(),
        Elements::I32(values) => values.iter().map(|value| value.cast_unsigned()).collect(),
        Elements::U8(values) => values.iter().map(|value| u32::from(*value)).collect(),
    }
}

/// Statistics of some rows are those of the column in memory.
fn check_statistics(streamed: &Streamed, column: &Column) {
    let rows: Vec<u32> = (0..column.rows() as u32)
        .filter(|row| row % 4 != 1)
        .collect();
    let one = streamed_moments(streamed, &rows, false).expect("moments");
    assert_eq!(one, moments(column, &rows));
    let all = streamed_moments(streamed, &rows, true).expect("moments");
    assert_eq!(all, [moments_of_all(column, &rows)]);
    let width = column.width();
    let lower = |places: std::ops::Range<usize>| {
        let values = rows
            .iter()
            .flat_map(|&row| places.clone().map(move |it| row as usize * width + it));
        let mut values: Vec<f64> = values.filter_map(|place| column.number(place)).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
            .get(values.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or(0.0)
    };
    let medians: Vec<f64> = (0..width).map(|it| lower(it..it + 1)).collect();
    assert_eq!(
        lower_medians(streamed, &rows, false).expect("medians"),
        medians
    );
    assert_eq!(
        lower_medians(streamed, &rows, true).expect("medians"),
        [lower(0..width)]
    );
    if let Values::Class { levels, ids } = &column.values {
        let mut counts = vec![0; levels.len()];
        let there = rows.iter().filter(|&&row| !column.is_missing(row as usize));
        there.for_each(|&row| counts[ids[row as usize] as usize] += 1);
        assert_eq!(class_counts(streamed, &rows).expect("counts"), counts);
    }
}

/// What can be asked of a table gives the same in memory and streamed, errors included.
fn check_table(text: &str) {
    let [memory, streamed] = both(text.as_bytes(), As::Csv);
    let (memory, streamed) = match (memory, streamed) {
        (Ok(memory), Ok(streamed)) => (memory, streamed),
        (memory, streamed) => {
            assert_eq!(memory.map(|_| ()), streamed.map(|_| ()), "{text:?}");
            return;
        }
    };
    assert!(streamed.is_streamed());
    assert_eq!(memory.rows(), streamed.rows());
    assert_eq!(memory.file_hash(), streamed.file_hash());
    assert_eq!(memory.columns(), streamed.columns(), "{text:?}");
    let mut names: Vec<String> = memory.columns().into_iter().map(|info| info.name).collect();
    names.push("strange".to_owned());
    for name in &names {
        for missing in [Missing::Allowed, Missing::Refused] {
            let numbers = memory.numeric(name, missing);
            match streamed.stream_numbers(name, missing) {
                Ok(found) => {
                    let column = numbers.expect("numbers in memory, too");
                    check_rows(&found, &column);
                    check_statistics(&found, &column);
                    let hash = data_hash_of(&[AnyColumn::Streamed(&found)]);
                    assert_eq!(hash, Ok(data_hash(&[&column])));
                }
                Err(error) => assert_eq!(numbers.map(|_| ()), Err(error)),
            }
            let levels = memory.category(name, missing);
            assert_eq!(
                streamed.category(name, missing),
                levels,
                "{name} in {text:?}"
            );
            for count in [1, 2, 3] {
                let (one, other) = (
                    memory.class(name, count, missing),
                    streamed.class(name, count, missing),
                );
                assert_eq!(one, other, "{name} in {text:?}");
            }
            assert_eq!(memory.levels(name, missing), streamed.levels(name, missing));
            let Ok(Column {
                values: Values::Class { levels, .. },
                ..
            }) = &levels
            else {
                continue;
            };
            for levels in [&levels[..], &levels[..levels.len() / 2]] {
                let column = memory.category_of(name, levels, missing);
                match streamed.stream_levels(name, levels, missing) {
                    Ok(found) => {
                        let column = column.expect("levels in memory, too");
                        check_rows(&found, &column);
                        check_statistics(&found, &column);
                        let hash = data_hash_of(&[AnyColumn::Streamed(&found)]);
                        assert_eq!(hash, Ok(data_hash(&[&column])));
                    }
                    Err(error) => assert_eq!(column.map(|_| ()), Err(error)),
                }
            }
        }
    }
}

#[test]
fn tables_by_hand() {
    let long = "x".repeat(300);
    for text in [
        "a,b\n1,2\n3,4\n",
        "\u{feff}a;b\r\n1;\"x\"\"y\"\r\n;NA\r\n\r\n\n",
        "a,b\n1,\"two\nlines\"\n2,x\n\"3\n4\",y\n",
        "a\n-0\n0\n007\n7\n+7\n2147483648\n1e3\n.5\n",
        "x_0,x_1,name\n1,2,a\n3.5,,b\n,NA,\n",
        "a,b\n1,2\n3\n",
        "a,b\n1,2\n\n3,4\n",
        "a,a\n1,2\n",
        "a,b\n1,\"open\n2,3\n",
        "a,b\n1, \"x\"\n",
        "a,b\n1,\"x\"y\n",
        "",
        "\n\na\n",
        "a\rb\rc",
        "a\n",
        "a",
        &format!("a,b\n{long},1\n1,{long}\n{long},{long}\n"),
        &format!("a,{long}\n1,2\n"),
    ] {
        check_table(text);
    }
}

#[test]
fn bytes_that_are_no_text() {
    for bytes in [
        &b"\xff\xfea\0"[..],
        b"a,b\n1,2\n3,\xffx\n",
        b"a\n\xc3",
        b"a\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n21\n22\n23\n\xe2\x82\n",
    ] {
        for kind in [As::Csv, As::Text] {
            let [memory, streamed] = both(bytes, kind);
            assert_eq!(memory.map(|_| ()), streamed.map(|_| ()));
        }
    }
}

#[test]
fn columns_of_many_different_values() {
    // Numbers that are first kept as words; and a word behind more numbers than are kept, which takes a second pass.
    let mut text = String::from("number,late,whole,early\n");
    for row in 0..5000 {
        let late = if row == 4500 {
            "stranger".to_owned()
        } else {
            format!("{row}")
        };
        let early = if row == 3 {
            "word".to_owned()
        } else {
            format!("{}", row * 3)
        };
        let number = if row % 1000 == 7 {
            String::new()
        } else {
            format!("{}.25", row)
        };
        text.push_str(&format!("{number},{late},{row},{early}\n"));
    }
    let [memory, streamed] = both(text.as_bytes(), As::Csv).map(|source| source.expect("a table"));
    assert_eq!(memory.columns(), streamed.columns());
    for name in ["number", "whole"] {
        let column = memory.numeric(name, Missing::Allowed).expect("numbers");
        let found = streamed
            .stream_numbers(name, Missing::Allowed)
            .expect("numbers");
        assert_eq!(found.collect(), Ok(column.clone()));
        check_statistics(&found, &column);
        let hash = data_hash_of(&[AnyColumn::Streamed(&found)]);
        assert_eq!(hash, Ok(data_hash(&[&column])));
        assert_eq!(streamed.levels(name, Missing::Allowed), Ok(None));
        let error = streamed
            .category(name, Missing::Allowed)
            .expect_err("too many");
        assert_eq!(error.code, "limit::too-large");
    }
    for name in ["late", "early"] {
        assert_eq!(
            streamed.category(name, Missing::Allowed),
            memory.category(name, Missing::Allowed)
        );
        let error = streamed.stream_numbers(name, Missing::Allowed).map(|_| ());
        assert_eq!(memory.numeric(name, Missing::Allowed).map(|_| ()), error);
    }
}

#[test]
fn pictures_and_texts() {
    for (kind, width) in [
        (0x08, 1),
        (0x09, 1),
        (0x0b, 2),
        (0x0c, 4),
        (0x0d, 4),
        (0x0e, 8),
    ] {
        for shape in [&[40_u32][..], &[9, 3, 5]] {
            let count = shape.iter().product::<u32>() as usize * width;
            let mut bytes = vec![0, 0, kind, shape.len() as u8];
            bytes.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
            bytes.extend((0..count).map(|place| (place * 37 % 120) as u8));
            let [memory, streamed] =
                both(&bytes, As::Idx).map(|source| source.expect("an IDX file"));
            assert_eq!(memory.columns(), streamed.columns());
            let column = memory.numeric("values", Missing::Refused);
            let found = streamed.stream_numbers("values", Missing::Refused);
            let (Ok(column), Ok(found)) = (&column, &found) else {
                // Numbers of f64 that f32 does not hold.
                assert_eq!(column.map(|_| ()), found.map(|_| ()));
                assert_eq!(kind, 0x0e);
                continue;
            };
            check_rows(found, column);
            check_statistics(found, column);
            let hash = data_hash_of(&[AnyColumn::Streamed(found)]);
            assert_eq!(hash, Ok(data_hash(&[column])));
            assert_eq!(
                streamed.category("values", Missing::Refused),
                memory.category("values", Missing::Refused)
            );
            for cut in [1, 5, bytes.len() - 1] {
                let [memory, streamed] = both(&bytes[..cut], As::Idx);
                assert_eq!(memory.map(|_| ()), streamed.map(|_| ()));
            }
            bytes.push(7);
            let [memory, streamed] = both(&bytes, As::Idx);
            assert_eq!(memory.map(|_| ()), streamed.map(|_| ()));
        }
    }
    let text = "\u{feff}In the beginning – größer 字\n".repeat(9);
    let [memory, streamed] = both(text.as_bytes(), As::Text).map(|source| source.expect("a text"));
    assert_eq!(memory.rows(), streamed.rows());
    let column = memory.category("text", Missing::Refused).expect("levels");
    assert_eq!(
        streamed.category("text", Missing::Refused),
        Ok(column.clone())
    );
    let Values::Class { levels, .. } = &column.values else {
        panic!("levels")
    };
    let found = streamed
        .stream_levels("text", levels, Missing::Refused)
        .expect("levels");
    check_rows(&found, &column);
    let hash = data_hash_of(&[AnyColumn::Streamed(&found)]);
    assert_eq!(hash, Ok(data_hash(&[&column])));
    let short = &levels[..levels.len() - 1];
    let error = streamed
        .stream_levels("text", short, Missing::Refused)
        .map(|_| ());
    assert_eq!(
        memory
            .category_of("text", short, Missing::Refused)
            .map(|_| ()),
        error
    );
}

#[test]
fn what_was_tampered_with_is_made_again() {
    let bytes = b"a,b\n1,2\n3,4\n";
    let file = tempfile::NamedTempFile::new_in(folder()).expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    let cache = tempfile::tempdir().expect("a folder");
    let streaming = Streaming {
        folder: Box::leak(cache.path().to_path_buf().into_boxed_path()),
        ..streaming()
    };
    let limits = Limits {
        streaming: Some(streaming),
        ..Limits::default()
    };
    let open = || {
        Open::path(file.path())
            .limits(limits)
            .csv(CsvOptions::default())
    };
    let packed = || {
        let entries = std::fs::read_dir(cache.path()).expect("a folder").flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "rows"));
        assert_eq!(paths.len(), 1, "nothing is left in part");
        paths.remove(0)
    };
    let column = |source: &Source| {
        source
            .numeric("a", Missing::Refused)
            .expect("numbers")
            .values
    };
    let first = open().expect("a table");
    assert_eq!(column(&first), Values::F32(vec![1.0, 3.0]));
    let whole = std::fs::read(packed()).expect("bytes");
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        std::fs::write(packed(), &changed).expect("written");
        // What is in use says so, and is not read on.
        if place == 0 {
            let found = first
                .stream_numbers("a", Missing::Refused)
                .expect("numbers");
            let error = found.collect().expect_err("it was changed");
            assert_eq!(error.code, "data::cache");
        }
        assert_eq!(
            column(&open().expect("a table")),
            Values::F32(vec![1.0, 3.0]),
            "{place}"
        );
    }
    let (count, _) = crate::collect_packed(cache.path(), std::time::Duration::ZERO, true);
    assert_eq!(count, 1);
}

#[test]
fn a_limit_on_packed_rows() {
    let file = tempfile::NamedTempFile::new_in(folder()).expect("a file");
    std::fs::write(file.path(), "a,b\n".to_owned() + &"1,2\n".repeat(1000)).expect("written");
    let cache = tempfile::tempdir().expect("a folder");
    let limits = Limits {
        streaming: Some(Streaming {
            folder: Box::leak(cache.path().to_path_buf().into_boxed_path()),
            cache: 1000,
            ..streaming()
        }),
        ..Limits::default()
    };
    let error = Open::path(file.path())
        .limits(limits)
        .csv(CsvOptions::default());
    assert_eq!(error.expect_err("too large").code, "limit::too-large");
    assert_eq!(
        std::fs::read_dir(cache.path()).expect("a folder").count(),
        0
    );
}

/// Cells as people and machines write them, right and wrong.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-50i32..50).prop_map(|number| number.to_string()),
        4 => (-500i32..500).prop_map(|number| format!("{}", f64::from(number) / 8.0)),
        2 => Just(String::new()),
        1 => Just("NA".to_owned()),
        1 => Just("\"NA\"".to_owned()),
        2 => "[a-c]{1,2}",
        1 => Just("\"a,b\"".to_owned()),
        1 => Just("\"a\nb\"".to_owned()),
        1 => Just(" 7 ".to_owned()),
        1 => "[-+.e0-9\" \r]{0,5}",
        1 => Just("é字".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn tables_at_random(
        rows in proptest::collection::vec(proptest::collection::vec(cell(), 3), 0..40),
        cut in 0usize..400,
        ends in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let mut text = format!("x_0,x_1,kind{ends}");
        for row in &rows {
            text.push_str(&row.join(","));
            text.push_str(ends);
        }
        check_table(&text);
        let cut = text.char_indices().map(|(place, _)| place).take_while(|place| *place <= cut).last();
        check_table(&text[..cut.unwrap_or(0)]);
    }
}
