//! Did-you-mean.

use mmh_diag::{edit_distance, suggest};

#[test]
fn a_slip_is_mended() {
    assert_eq!(
        suggest("chanel", ["height", "channel", "width"]),
        Some("channel")
    );
    assert_eq!(suggest("tset", ["train", "test"]), Some("test"));
    assert_eq!(suggest("Relu", ["gelu", "relu"]), Some("relu"));
    assert_eq!(
        suggest("crossentropy", ["cross_entropy", "nll"]),
        Some("cross_entropy")
    );
    assert_eq!(suggest("dec", ["decay", "lr"]), None);
}

#[test]
fn a_stranger_is_not() {
    assert_eq!(
        suggest("learning_rate", ["lr", "betas", "epsilon", "decay"]),
        None
    );
    assert_eq!(suggest("q", ["k", "v"]), None);
    assert_eq!(suggest("", ["a"]), None);
    assert_eq!(suggest("x", []), None);
}

#[test]
fn distances() {
    let cases = [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("ab", "ba", 1),
        ("kitten", "sitting", 3),
        ("ä", "a", 1),
    ];
    for (a, b, distance) in cases {
        assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        assert_eq!(edit_distance(b, a), distance, "{b} {a}");
    }
}

/// Each word stands once for what it means, is not its own hint, and says what to do or what to write.
#[test]
fn words_from_elsewhere_are_distinct_and_say_something() {
    let mut seen = std::collections::BTreeSet::new();
    for (kind, entry) in mmh_diag::all_elsewhere() {
        assert!(
            seen.insert((kind, entry.word, entry.here)),
            "{}",
            entry.word
        );
        assert_ne!(entry.here, Some(entry.word));
        assert!(
            entry.here.is_some() || !entry.help.is_empty(),
            "{}",
            entry.word
        );
        assert!(!entry.help.ends_with('.') && entry.help.matches('`').count() % 2 == 0);
        let first = entry.help.chars().next();
        assert!(first.is_none_or(|c| !c.is_uppercase()), "{}", entry.help);
    }
    assert!(seen.len() > 140, "{}", seen.len());
}
