//! The data sets of `examples/data`, as their licence notes describe them.

use std::path::PathBuf;

use mmh_data::{
    CsvOptions, Missing, Open, Parts, Shares, Source, Values, data_hash, moments, most_frequent,
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/data")
        .join(name)
}

fn table(name: &str, pinned: &str) -> Source {
    Open::path(&path(name))
        .pinned(Some(pinned))
        .csv(CsvOptions::default())
        .unwrap()
}

const DIGITS: &str = "2fec95b3209042298b6af86d3b256be88937d49248d1c44c46f52c41a71872a6";
const PENGUINS: &str = "72d19d16d298e8de71a8a31961254cfc5b7a04e1980824c442738d378ddc1029";
const GOSPELS: &str = "233326d2bccb0ab4f8254ceba0243d9fd0b94c28de6b8b6eb46d4fae8c77cfad";

#[test]
fn digits() {
    let source = table("digits.csv", DIGITS);
    let pixels = source.numeric("pixels", Missing::Refused).unwrap();
    let digit = source.class("digit", 10, Missing::Refused).unwrap();
    assert_eq!(
        (pixels.rows(), &pixels.shape[..], pixels.missing.is_none()),
        (1797, &[8, 8][..], true)
    );
    let first: Vec<_> = (0..8).filter_map(|i| pixels.number(i)).collect();
    assert_eq!(
        (first, digit.number(1)),
        (vec![0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0], Some(1.0))
    );
    let Values::F32(values) = &pixels.values else {
        panic!()
    };
    assert!(
        values
            .iter()
            .all(|&value| (0.0..=16.0).contains(&value) && value % 1.0 == 0.0)
    );

    let order: Vec<u32> = (0..1797).collect();
    let parts = Parts::stratified(
        &digit,
        &order,
        Shares {
            train: 70,
            valid: 15,
            test: 15,
        },
    )
    .unwrap();
    assert_eq!(
        parts.train.len() + parts.valid.len() + parts.test.len(),
        1797
    );
    assert_eq!(moments(&pixels, &parts.train).len(), 64);
    assert_eq!(
        data_hash(&[&pixels, &digit]).to_hex().as_str(),
        DIGITS_CONTENT
    );
}

/// Golden: a change here changes the hash of every run over the digits.
const DIGITS_CONTENT: &str = "8fa2b5aa82a71f2b7b16e648e68aff249dd546a026c892cbdeafc08d3a81b576";

#[test]
fn penguins() {
    let source = table("penguins.csv", PENGUINS);
    let missing: Vec<_> = source.columns().iter().map(|info| info.missing).collect();
    assert_eq!(
        (source.rows(), missing),
        (344, vec![0, 0, 2, 2, 2, 2, 11, 0])
    );
    let species = source.class("species", 3, Missing::Refused).unwrap();
    let Values::Class { levels, .. } = &species.values else {
        panic!()
    };
    assert_eq!(levels, &["Adelie", "Chinstrap", "Gentoo"]);
    let all: Vec<u32> = (0..344).collect();
    assert_eq!(most_frequent(&species, &all), Some(0));
    let error = source.numeric("body_mass_g", Missing::Refused).unwrap_err();
    assert_eq!(
        (error.code, error.line, error.row),
        ("data::missing-value", Some(5), Some(4))
    );
    let mass = source.numeric("body_mass_g", Missing::Allowed).unwrap();
    let found = moments(&mass, &all)[0];
    assert_eq!(found.count, 342);
    assert!(
        (found.mean - 4_201.754_385_964_912).abs() < 1e-9
            && (found.std - 800.781_229_238_492).abs() < 1e-6,
        "{found:?}"
    );
}

#[test]
fn gospels() {
    let source = Open::path(&path("kjv-gospels.txt"))
        .pinned(Some(GOSPELS))
        .text()
        .unwrap();
    let text = source.category("text", Missing::Refused).unwrap();
    assert_eq!((source.rows(), text.classes()), (436_335, Some(61)));
    let parts = Parts::sequential(
        436_335,
        Shares {
            train: 80,
            valid: 10,
            test: 10,
        },
    )
    .unwrap();
    assert_eq!(
        (parts.train.len(), parts.valid.len(), parts.test.len()),
        (349_068, 43_634, 43_633)
    );
    assert_eq!(parts.test.first(), Some(&392_702));
}

/// A file of MNIST, plain or gzip, if it was fetched.
fn mnist(name: &str) -> Option<Source> {
    let found = ["", ".gz"]
        .map(|end| path("mnist").join(format!("{name}{end}")))
        .into_iter()
        .find(|path| path.exists())?;
    Some(Open::path(&found).idx().unwrap())
}

#[test]
fn mnist_where_it_was_fetched() {
    for (part, rows, first) in [("train", 60_000, 5.0), ("t10k", 10_000, 7.0)] {
        let images = mnist(&format!("{part}-images-idx3-ubyte"));
        let labels = mnist(&format!("{part}-labels-idx1-ubyte"));
        let (Some(images), Some(labels)) = (images, labels) else {
            eprintln!("skipped: examples/data/README.md says how to fetch MNIST");
            return;
        };
        let pixels = images.numeric("values", Missing::Refused).unwrap();
        assert_eq!((pixels.rows(), &pixels.shape[..]), (rows, &[28, 28][..]));
        assert!(matches!(pixels.values, Values::U8(_)));
        let digits = labels.class("values", 10, Missing::Refused).unwrap();
        assert_eq!((digits.rows(), digits.number(0)), (rows, Some(first)));
    }
}
