//! Tables: what is read, and what is said of each thing that is wrong.

use std::io::Write;

use mmh_data::{CsvOptions, DataError, Delimiter, Kind, Limits, Missing, Open, Source, Values};

fn open(text: &str) -> Source {
    try_open(text.as_bytes()).unwrap()
}

fn try_open(bytes: &[u8]) -> Result<Source, DataError> {
    Open::bytes("t.csv", bytes).csv(CsvOptions::default())
}

fn floats(source: &Source, name: &str) -> Vec<f32> {
    match source.numeric(name, Missing::Refused).unwrap().values {
        Values::F32(values) => values,
        other => panic!("{other:?}"),
    }
}

fn words(source: &Source, name: &str) -> Vec<String> {
    match source.category(name, Missing::Refused).unwrap().values {
        Values::Class { levels, ids } => {
            ids.iter().map(|&id| levels[id as usize].clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Code, line, row and column of an error, as one text.
fn place(error: &DataError) -> String {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let line = error.line.map(u64::from);
    let column = error.column.clone().unwrap_or_default();
    format!(
        "{} {} {} {column}",
        error.code,
        number(line),
        number(error.row)
    )
}

#[track_caller]
fn wrong(text: &str, expected: &str) -> DataError {
    let error = try_open(text.as_bytes()).unwrap_err();
    assert_eq!(place(&error), expected, "{error}");
    assert_house_voice(&error);
    error
}

#[track_caller]
fn wrong_numbers(text: &str, name: &str, expected: &str) -> DataError {
    let error = open(text).numeric(name, Missing::Refused).unwrap_err();
    assert_eq!(place(&error), expected, "{error}");
    assert_house_voice(&error);
    error
}

fn assert_house_voice(error: &DataError) {
    for text in [&error.message, &error.help] {
        assert!(!text.is_empty() && !text.ends_with('.'), "{error}");
        assert!(
            !text.starts_with(|first: char| first.is_uppercase() && first != 'U' && first != 'I'),
            "{error}"
        );
    }
}

#[test]
fn every_way_of_writing_the_same_table() {
    let plain = "a,b\n1,x\n2.5,y z\n";
    let ways: [Vec<u8>; 9] = [
        plain.into(),
        plain.trim_end().into(),
        plain.replace('\n', "\r\n").into(),
        format!("\u{feff}{plain}").into(),
        plain.replace(',', ";").into(),
        plain.replace(',', "\t").into(),
        "\"a\",\"b\"\r\n 1 , x \r\n\"2.5\" ,\"y z\"\r\n\r\n\n".into(),
        gzip(plain.as_bytes()),
        [gzip(b"a,b\n1,x\n"), gzip(b"2.5,y z\n")].concat(),
    ];
    for way in ways {
        let source = try_open(&way).unwrap();
        assert_eq!(source.rows(), 2);
        assert_eq!(floats(&source, "a"), [1.0, 2.5], "{way:?}");
        assert_eq!(words(&source, "b"), ["x", "y z"], "{way:?}");
    }
}

#[test]
fn quotes_hold_delimiters_lines_and_quotes() {
    let source = open("a,b\n\"1,2\n3\",\"say \"\"hi\"\"\"\n\" NA \",\"\"\"\"\n");
    assert_eq!(words(&source, "a"), ["1,2\n3", " NA "]);
    assert_eq!(words(&source, "b"), ["say \"hi\"", "\""]);
    let error = open("a,b\n\"1\n2\",3\n4,x\n")
        .numeric("b", Missing::Refused)
        .unwrap_err();
    assert_eq!(
        place(&error),
        "data::not-a-number 4 2 b",
        "a line feed inside quotes counts as a line, not as a row"
    );
}

#[test]
fn missing_values() {
    let source = open("a,b,c\n1,x,1\n,NA,2\nNA,\"NA\",3\n\"\",\"\",4\n");
    let a = source.numeric("a", Missing::Allowed).unwrap();
    assert_eq!(a.values, Values::F32(vec![1.0, 0.0, 0.0, 0.0]));
    assert_eq!(
        (0..4).map(|i| a.is_missing(i)).collect::<Vec<_>>(),
        [false, true, true, true]
    );
    let b = source.category("b", Missing::Allowed).unwrap();
    assert_eq!(
        b.values,
        Values::Class {
            levels: vec!["NA".into(), "x".into()],
            ids: vec![1, 0, 0, 0]
        }
    );
    assert_eq!(
        (0..4).map(|i| b.is_missing(i)).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    assert_eq!(source.numeric("c", Missing::Allowed).unwrap().missing, None);
    let error = source.category("b", Missing::Refused).unwrap_err();
    assert_eq!(place(&error), "data::missing-value 3 2 b");
}

#[test]
fn columns_are_listed_with_kinds_and_families() {
    let source = open("p_0,p_1,name,n,f\n1,2.5,x,7,\n2,3,9,-8,NA\n");
    let found: Vec<_> = source
        .columns()
        .into_iter()
        .map(|info| (info.name, info.shape, info.kind, info.missing))
        .collect();
    let expected = [
        ("p_0", vec![], Kind::Whole, 0),
        ("p_1", vec![], Kind::Number, 0),
        ("name", vec![], Kind::Category, 0),
        ("n", vec![], Kind::Whole, 0),
        ("f", vec![], Kind::Whole, 2),
        ("p", vec![2], Kind::Number, 0),
    ];
    assert_eq!(
        found,
        expected.map(|(name, shape, kind, missing)| (name.to_owned(), shape, kind, missing))
    );
    let family = source.numeric("p", Missing::Refused).unwrap();
    assert_eq!(
        (family.shape, family.values),
        (vec![2], Values::F32(vec![1.0, 2.5, 2.0, 3.0]))
    );
}

#[test]
fn without_a_header_columns_are_numbered() {
    let options = CsvOptions {
        header: false,
        delimiter: Delimiter::Comma,
    };
    let source = Open::bytes("t.csv", b"1,2\n3,4\n").csv(options).unwrap();
    assert_eq!(source.rows(), 2);
    assert_eq!(floats(&source, "column_2"), [2.0, 4.0]);
    assert_eq!(floats(&source, "columns"), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn broken_tables() {
    wrong("", "data::truncated - - ");
    wrong("\n\n", "data::truncated - - ");
    wrong("\na,b\n", "data::format 1 - ");
    wrong("a,b\r1,2\r", "data::format 1 - ");
    wrong("a,a\n", "data::format 1 - a");
    let error = wrong("a,b\n1,2\n3\n", "data::ragged-row 3 2 ");
    assert_eq!(error.help, "`b` and what follows it are missing");
    wrong("a,b\n1,2,3\n", "data::ragged-row 2 1 ");
    wrong("a,b\n1,2\n\n3,4\n", "data::ragged-row 3 2 ");
    wrong("a\n1\n\r\n3\n", "data::ragged-row 3 2 ");
    wrong("a,b\n1,\"2\n3,4\n", "data::format 2 1 b");
    wrong("a,b\n1,\"2\"3\n", "data::format 2 1 b");
    wrong("a,b\n1, \"2,3\"\n", "data::format 2 1 b");
    let error = try_open(b"a,b\n1,2\n\xe9,1\n").unwrap_err();
    assert_eq!(
        (place(&error).as_str(), error.message.as_str()),
        ("data::format 3 - ", "the text is not UTF-8, from byte 9 on")
    );
    let error = try_open(b"\xff\xfea\0,\0").unwrap_err();
    assert_eq!(error.message, "the text is UTF-16, from byte 1 on");
}

#[test]
fn broken_numbers() {
    let error = wrong_numbers("a,b\n1,2\n1,two\n", "b", "data::not-a-number 3 2 b");
    assert_eq!(error.message, "`two` is not a number");
    let error = wrong_numbers("a;b\n1;2,5\n", "b", "data::not-a-number 2 1 b");
    assert_eq!(error.help, "write `2.5`");
    wrong_numbers("a\nnan\n", "a", "data::not-a-number 2 1 a");
    wrong_numbers("a\n-inf\n", "a", "data::not-a-number 2 1 a");
    wrong_numbers("a\n0x1p3\n", "a", "data::not-a-number 2 1 a");
    wrong_numbers("a\n1e39\n", "a", "data::not-a-number 2 1 a");
    wrong_numbers("a,b\n1,2\n,2\n", "a", "data::missing-value 3 2 a");
    wrong_numbers("p_0,p_1\n1,2\n1,x\n", "p", "data::not-a-number 3 2 p_1");
    let integer = |text: &str| {
        open(text)
            .integer("a", Missing::Refused)
            .unwrap_err()
            .message
    };
    assert_eq!(integer("a\n1.5\n"), "`1.5` is not a whole number");
    assert_eq!(
        integer("a\n3000000000\n"),
        "`3000000000` does not fit 32 bits"
    );
    let whole = open("a\n-3\n+4\n").integer("a", Missing::Refused).unwrap();
    assert_eq!(whole.values, Values::I32(vec![-3, 4]));
}

#[test]
fn unknown_columns() {
    let source = open("bill_length_mm,species,p_0,p_2\n1,x,1,2\n");
    let help = |name: &str| source.numeric(name, Missing::Refused).unwrap_err();
    assert_eq!(
        help("bill_lenght_mm").help,
        "did you mean `bill_length_mm`?"
    );
    assert_eq!(
        help("colour").help,
        "it has: bill_length_mm, species, p_0, p_2"
    );
    let gap = help("p");
    assert_eq!(
        (gap.code, gap.column.as_deref()),
        ("data::unknown-column", Some("p"))
    );
    assert_eq!(
        gap.message,
        "`p` cannot be taken together: `p_1` is missing"
    );
    assert_eq!(
        source
            .category("nothing", Missing::Refused)
            .unwrap_err()
            .code,
        "data::unknown-column"
    );
}

#[test]
fn classes_and_their_range() {
    let source = open("digit,kind,from_one\n0,b,1\n2,a,2\n10,b,3\n");
    let digit = source.class("digit", 11, Missing::Refused).unwrap();
    assert_eq!((digit.classes(), digit.number(2)), (Some(11), Some(10.0)));
    let error = source.class("digit", 10, Missing::Refused).unwrap_err();
    assert_eq!(
        (place(&error).as_str(), error.message.as_str()),
        (
            "data::class-range 4 3 digit",
            "the label `10` is none of the 10 classes 0 to 9"
        )
    );
    let error = source.class("from_one", 3, Missing::Refused).unwrap_err();
    assert_eq!(
        error.help,
        "labels count from 0, these seem to count from 1"
    );
    let kind = source.class("kind", 2, Missing::Refused).unwrap();
    assert_eq!(
        kind.values,
        Values::Class {
            levels: vec!["a".into(), "b".into()],
            ids: vec![1, 0, 1]
        }
    );
    let error = source.class("kind", 3, Missing::Refused).unwrap_err();
    assert_eq!(
        (place(&error).as_str(), error.help.as_str()),
        ("data::class-range 3 2 kind", "write `class[2]`")
    );
    let levels = ["Adelie".to_owned(), "Gentoo".to_owned()];
    let birds = open("bird\nGentoo\ngentoo\nAdelie\n");
    let error = birds
        .category_of("bird", &levels, Missing::Refused)
        .unwrap_err();
    assert_eq!(
        (place(&error).as_str(), error.help.as_str()),
        ("data::class-range 3 2 bird", "did you mean `Gentoo`?")
    );
    let known = open("bird\nGentoo\n")
        .category_of("bird", &levels, Missing::Refused)
        .unwrap();
    assert_eq!(
        known.number(0),
        Some(1.0),
        "a given list of levels keeps its indices"
    );
    assert_eq!(
        source
            .class("kind", u32::MAX, Missing::Refused)
            .unwrap_err()
            .code,
        "limit::too-large"
    );
    let families = open("p_0,p_1\n1,2\n");
    assert_eq!(
        families.category("p", Missing::Refused).unwrap_err().code,
        "data::format"
    );
}

#[test]
fn limits_stop_what_is_too_large() {
    let limits = Limits {
        stored_bytes: 1000,
        decoded_bytes: 5000,
        fields: 10,
        columns: 5,
        ..Limits::default()
    };
    let open = |bytes: &[u8]| {
        Open::bytes("t.csv", bytes)
            .limits(limits)
            .csv(CsvOptions::default())
    };
    let message = |bytes: &[u8]| {
        let error = open(bytes).unwrap_err();
        assert_eq!(error.code, "limit::too-large");
        error.message
    };
    assert!(open(b"a,b,c,d,e\n1,2,3,4,5\n1,2,3,4,5\n").is_ok());
    assert_eq!(
        message(&[b'1'; 1001]),
        "the file as stored is larger than 1000 bytes"
    );
    assert_eq!(
        message(&gzip(&[b'1'; 100_000])),
        "the file once unpacked is larger than 5000 bytes"
    );
    assert_eq!(
        message(b"a,b,c,d,e\n1,2,3,4,5\n1,2,3,4,5\n1,2,3,4,5\n"),
        "the file has more than 10 fields"
    );
    assert!(message(b"a,b,c,d,e,f\n").starts_with("the table has 6 columns"));
    assert_eq!(
        open(b"a\n1,2,3,4,5,6,7,8\n").unwrap_err().code,
        "data::ragged-row"
    );
}

#[test]
fn limits_hold_for_every_format() {
    let limits = Limits {
        fields: 3,
        ..Limits::default()
    };
    let open = |bytes: &'static [u8]| Open::bytes("f", bytes).limits(limits);
    let code = |opened: Result<Source, DataError>| opened.err().map(|error| error.code);
    assert_eq!(code(open(b"abc").text()), None);
    assert_eq!(code(open(b"abcd").text()), Some("limit::too-large"));
    assert_eq!(code(open(b"\0\0\x08\x01\0\0\0\x04abcd").idx()), None);
    assert_eq!(
        code(open(b"\0\0\x09\x01\0\0\0\x04abcd").idx()),
        Some("limit::too-large")
    );
}

#[test]
fn a_gzip_bomb_stops_at_the_limit() {
    let bomb = gzip(&vec![b'\n'; 64 << 20]);
    let limits = Limits {
        decoded_bytes: 1 << 20,
        ..Limits::default()
    };
    assert!(bomb.len() < 100_000);
    let error = Open::bytes("bomb.gz", &bomb)
        .limits(limits)
        .text()
        .unwrap_err();
    assert_eq!(error.code, "limit::too-large");
}

#[test]
fn gzip_cut_anywhere_is_truncated_and_damaged_is_said() {
    let whole = gzip(b"a,b\n1,2\n3,4\n");
    for length in 2..whole.len() {
        let error = try_open(&whole[..length]).unwrap_err();
        assert_eq!(error.code, "data::truncated", "{length}: {error}");
    }
    let mut damaged = whole.clone();
    let checksum = damaged.len() - 6;
    damaged[checksum] ^= 1;
    assert_eq!(try_open(&damaged).unwrap_err().code, "data::format");
}

#[test]
fn files_and_pinned_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.csv");
    std::fs::write(&path, "a\n1\n").unwrap();
    let hash = blake3::hash(b"a\n1\n").to_hex().to_string();
    let prefixed = format!("blake3:{hash}");
    let csv = |pinned| {
        Open::path(&path)
            .shown_as("data/digits.csv")
            .pinned(pinned)
            .csv(CsvOptions::default())
    };
    assert_eq!(
        csv(Some(&hash)).unwrap().file_hash().to_hex().as_str(),
        hash
    );
    assert!(csv(Some(&prefixed)).is_ok() && csv(None).is_ok());
    let error = csv(Some(
        "0000000000000000000000000000000000000000000000000000000000000000",
    ))
    .unwrap_err();
    assert_eq!(
        (error.code, &*error.file),
        ("data::wrong-hash", "data/digits.csv")
    );
    assert!(error.message.contains(&hash));
    assert_eq!(csv(Some("6c1f")).unwrap_err().code, "data::wrong-hash");

    let missing = Open::path(&folder.path().join("digit.csv"))
        .text()
        .unwrap_err();
    assert_eq!(
        (missing.code, missing.help.as_str()),
        ("data::missing-file", "did you mean `digits.csv`?")
    );
    let error = Open::path(folder.path()).text().unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        ("data::missing-file", "this is a folder, a file is needed")
    );
}
