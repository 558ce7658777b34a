//! IDX files and texts; and no bytes whatever make any reader panic.

use std::io::Write;

use mmh_data::{CsvOptions, DataError, Delimiter, Kind, Missing, Open, Source, Values};
use proptest::prelude::*;

fn idx(code: u8, axes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, axes.len() as u8];
    axes.iter()
        .for_each(|axis| bytes.extend(axis.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn open(bytes: &[u8]) -> Result<Source, DataError> {
    Open::bytes("i.idx", bytes).idx()
}

fn values(bytes: &[u8]) -> Values {
    open(bytes)
        .unwrap()
        .numeric("values", Missing::Refused)
        .unwrap()
        .values
}

#[test]
fn every_type_of_idx() {
    assert_eq!(
        values(&idx(8, &[3], &[0, 7, 255])),
        Values::U8(vec![0, 7, 255])
    );
    assert_eq!(
        values(&idx(9, &[2], &[0xff, 0x7f])),
        Values::I32(vec![-1, 127])
    );
    assert_eq!(
        values(&idx(11, &[2], &[0xff, 0xfe, 1, 0])),
        Values::I32(vec![-2, 256])
    );
    assert_eq!(
        values(&idx(12, &[1], &[0x80, 0, 0, 0])),
        Values::I32(vec![i32::MIN])
    );
    assert_eq!(
        values(&idx(13, &[1], &1.5f32.to_be_bytes())),
        Values::F32(vec![1.5])
    );
    assert_eq!(
        values(&idx(14, &[1], &0.1f64.to_be_bytes())),
        Values::F32(vec![0.1])
    );
}

#[test]
fn idx_has_a_shape_and_classes() {
    let source = open(&idx(8, &[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])).unwrap();
    let column = source.numeric("values", Missing::Refused).unwrap();
    assert_eq!(
        (source.rows(), column.rows(), column.width(), column.shape),
        (2, 2, 6, vec![2, 3])
    );
    assert_eq!(source.columns()[0].kind, Kind::Whole);
    assert_eq!(
        source
            .category("values", Missing::Refused)
            .unwrap_err()
            .code,
        "data::format"
    );
    let labels = open(&idx(8, &[4], &[1, 0, 9, 1])).unwrap();
    let digits = labels.class("values", 10, Missing::Refused).unwrap();
    assert_eq!((digits.classes(), digits.number(2)), (Some(10), Some(9.0)));
    let seen = labels.category("values", Missing::Refused).unwrap();
    assert_eq!(
        seen.values,
        Values::Class {
            levels: vec!["0".into(), "1".into(), "9".into()],
            ids: vec![1, 0, 2, 1]
        }
    );
    let error = labels.class("values", 9, Missing::Refused).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.column.as_deref()),
        ("data::class-range", Some(3), Some("values"))
    );
    let error = labels.numeric("value", Missing::Refused).unwrap_err();
    assert_eq!(
        (error.code, error.help.as_str()),
        ("data::unknown-column", "did you mean `values`?")
    );
}

#[test]
fn idx_cut_anywhere_is_truncated() {
    let whole = idx(11, &[3, 2], &[1; 12]);
    assert!(open(&whole).is_ok());
    for length in 0..whole.len() {
        let error = open(&whole[..length]).unwrap_err();
        assert_eq!(error.code, "data::truncated", "{length}");
        let row = length.checked_sub(12).map(|bytes| bytes as u64 / 4 + 1);
        assert_eq!(error.row, row, "{length}");
    }
}

#[test]
fn broken_idx() {
    let code = |bytes: &[u8]| open(bytes).unwrap_err().code;
    assert_eq!(code(&idx(8, &[1], &[1, 2])), "data::format");
    assert_eq!(code(b"PK\x03\x04...."), "data::format");
    assert_eq!(code(&idx(10, &[1], &[1])), "data::format");
    assert_eq!(code(&idx(8, &[], &[])), "data::format");
    assert_eq!(code(&idx(8, &[1; 9], &[1])), "data::format");
    assert_eq!(code(&idx(8, &[2, 0], &[])), "data::format");
    assert_eq!(code(&idx(14, &[u32::MAX; 8], &[1; 64])), "data::truncated");
    let message = open(&idx(8, &[1], &[1, 2, 3])).unwrap_err().message;
    assert_eq!(message, "2 bytes stand after the 1 values of the header");
    let infinite = idx(
        13,
        &[2, 1],
        &[1f32.to_be_bytes(), f32::INFINITY.to_be_bytes()].concat(),
    );
    let error = open(&infinite)
        .unwrap()
        .numeric("values", Missing::Refused)
        .unwrap_err();
    assert_eq!((error.code, error.row), ("data::not-a-number", Some(2)));
    let overflow = idx(14, &[1], &1e300f64.to_be_bytes());
    assert_eq!(
        open(&overflow)
            .unwrap()
            .numeric("values", Missing::Refused)
            .unwrap_err()
            .code,
        "data::not-a-number"
    );
    let fraction = open(&idx(13, &[1], &[0; 4])).unwrap();
    assert_eq!(
        fraction
            .integer("values", Missing::Refused)
            .unwrap_err()
            .code,
        "data::format"
    );
    assert_eq!(open(&idx(8, &[0], &[])).unwrap().rows(), 0);
}

#[test]
fn a_text_is_a_sequence_of_characters() {
    let source = Open::bytes("t.txt", "\u{feff}né\r\nn".as_bytes())
        .text()
        .unwrap();
    let column = source.category("text", Missing::Refused).unwrap();
    let levels = ["\n", "\r", "n", "é"].map(str::to_owned).to_vec();
    assert_eq!(
        column.values,
        Values::Class {
            levels: levels.clone(),
            ids: vec![2, 3, 1, 0, 2]
        }
    );
    assert_eq!(
        (source.rows(), source.columns()[0].kind),
        (5, Kind::Character)
    );
    let error = source
        .category_of("text", &levels[..3], Missing::Refused)
        .unwrap_err();
    assert_eq!(
        (error.code, error.line, error.row),
        ("data::class-range", Some(1), Some(2))
    );
    assert_eq!(
        source.numeric("text", Missing::Refused).unwrap_err().code,
        "data::format"
    );
    assert_eq!(
        source.numeric("words", Missing::Refused).unwrap_err().help,
        "it has: text"
    );
    let error = Open::bytes("t.txt", b"a\nb\n\xff").text().unwrap_err();
    assert_eq!((error.code, error.line), ("data::format", Some(3)));
    assert_eq!(Open::bytes("t.txt", b"").text().unwrap().rows(), 0);
}

/// Asks a source for everything it could give, and holds each answer to its own promises.
fn exercise(source: &Source) {
    for info in source.columns() {
        let name = info.name.as_str();
        let answers = [
            source.numeric(name, Missing::Allowed),
            source.integer(name, Missing::Allowed),
            source.category(name, Missing::Allowed),
            source.class(name, 10, Missing::Refused),
        ];
        for column in answers.into_iter().flatten() {
            assert_eq!(column.values.len(), source.rows() * column.width());
            if let Values::F32(values) = &column.values {
                assert!(values.iter().all(|value| value.is_finite()));
            }
            if let Values::Class { levels, ids } = &column.values {
                assert!(ids.iter().all(|&id| (id as usize) < levels.len().max(1)));
            }
        }
    }
}

fn read_every_way(bytes: &[u8]) {
    for delimiter in [
        Delimiter::Auto,
        Delimiter::Comma,
        Delimiter::Semicolon,
        Delimiter::Tab,
    ] {
        for header in [true, false] {
            let options = CsvOptions { delimiter, header };
            Open::bytes("f", bytes)
                .csv(options)
                .iter()
                .for_each(exercise);
        }
    }
    Open::bytes("f", bytes).idx().iter().for_each(exercise);
    Open::bytes("f", bytes).text().iter().for_each(exercise);
}

fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_every_way(&bytes);
    }

    #[test]
    fn no_nearly_right_table_panics(text in "[ab_0-9.,;\t\"\n\r NAé-]{0,80}") {
        read_every_way(text.as_bytes());
    }

    #[test]
    fn no_nearly_right_idx_panics(
        code in 7u8..16, axes in prop::collection::vec(0u32..5, 0..4), data in prop::collection::vec(any::<u8>(), 0..64)
    ) {
        read_every_way(&idx(code, &axes, &data));
    }

    #[test]
    fn no_damaged_gzip_panics(at in any::<prop::sample::Index>(), with in any::<u8>(), data in ".{0,60}") {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data.as_bytes()).unwrap();
        let mut bytes = encoder.finish().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = with;
        read_every_way(&bytes);
    }

    #[test]
    fn what_is_written_in_quotes_is_read_back(rows in prop::collection::vec([".{1,6}", "[\",;\n\r\t x]{1,6}"], 1..6)) {
        let mut text = "a,b\n".to_owned();
        for [a, b] in &rows {
            text.push_str(&format!("{},{}\r\n", quoted(a), quoted(b)));
        }
        let source = Open::bytes("t.csv", text.as_bytes()).csv(CsvOptions::default()).unwrap();
        for (name, place) in [("a", 0), ("b", 1)] {
            let Values::Class { levels, ids } = source.category(name, Missing::Allowed).unwrap().values else { panic!() };
            let found: Vec<&str> = ids.iter().map(|&id| levels[id as usize].as_str()).collect();
            let expected: Vec<&str> = rows.iter().map(|row| row[place].as_str()).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn numbers_survive_text(values in prop::collection::vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 1..20)) {
        let mut text = "x\n".to_owned();
        values.iter().for_each(|value| text.push_str(&format!("{value:e}\n")));
        let source = Open::bytes("t.csv", text.as_bytes()).csv(CsvOptions::default()).unwrap();
        let Values::F32(found) = source.numeric("x", Missing::Refused).unwrap().values else { panic!() };
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&found), bits(&values));
    }
}
