//! The formatter: one layout, nothing lost, nothing changed.

use mmh_syntax::{Kind, NodeId, Tree, format, parse, skeleton};
use proptest::prelude::*;

const RECIPES: [&str; 3] = [
    include_str!("recipes/digits.mmh"),
    include_str!("recipes/federated.mmh"),
    include_str!("recipes/attention.mmh"),
];

fn comments(tree: &Tree) -> Vec<String> {
    let comment = |id| matches!(tree.kind(id), Kind::Comment | Kind::Doc);
    tree.tokens()
        .filter(|id| comment(*id))
        .map(|id| tree.text_of(id).trim_end().to_string())
        .collect()
}

/// Formats a text and holds the result to what is promised.
fn formatted(text: &str) -> String {
    let tree = parse(text).tree;
    let once = format(&tree);
    let again = parse(&once).tree;
    assert_eq!(skeleton(&tree), skeleton(&again), "{text:?}\n{once}");
    assert_eq!(comments(&tree), comments(&again), "{text:?}\n{once}");
    assert_eq!(format(&again), once, "twice is not once: {text:?}");
    for broken in broken(&tree) {
        assert!(once.contains(broken), "touched: {broken:?}\n{once}");
    }
    once
}

/// The texts of declarations that hold a mistake.
fn broken(tree: &Tree) -> Vec<&str> {
    let wrong = tree.nodes().filter(|id| tree.kind(*id).is_error());
    let mut tops: Vec<NodeId> = wrong
        .filter_map(|id| tree.ancestors(id).filter(|up| *up != Tree::ROOT).last())
        .collect();
    tops.dedup();
    tops.into_iter().map(|id| tree.text_of(id).trim()).collect()
}

#[test]
fn the_recipes_are_fixed_points() {
    for text in RECIPES {
        assert_eq!(formatted(text), text);
    }
}

#[test]
fn layout_comes_back_after_it_is_lost() {
    for text in RECIPES {
        let lost: String = text
            .lines()
            .map(|line| format!("{}\n", line.trim_start()))
            .collect();
        assert_eq!(formatted(&lost), text);
        assert_eq!(formatted(&text.replace('\n', "\r\n")), text);
    }
}

#[test]
fn gaps_and_columns() {
    let cases = [
        ("mmh   1\nlet a=1+2", "mmh 1\nlet a = 1 + 2\n"),
        ("mmh 1 seed 3", "mmh 1\nseed 3\n"),
        (
            "mmh 1\n\n\n\nlet a = [ 1,2 , 3 ]\n\n",
            "mmh 1\n\nlet a = [1, 2, 3]\n",
        ),
        ("mmh 1\nlet a = h //2 % 3", "mmh 1\nlet a = h//2 % 3\n"),
        (
            "mmh 1\nlet a = - 12deg..12  deg",
            "mmh 1\nlet a = -12deg .. 12 deg\n",
        ),
        (
            "mmh 1\nlet a = not( b )and c<=d",
            "mmh 1\nlet a = not (b) and c <= d\n",
        ),
        (
            "mmh 1\ndata d{\n\n  a=1\n  long:int=2\n\n  b=3 // c\n  ccc=4\n\n}",
            "mmh 1\ndata d {\n  a = 1\n  long: int = 2\n\n  b   = 3 // c\n  ccc = 4\n}\n",
        ),
        (
            "mmh 1\nlet a = f(\nb,\n  c = [\n1\n]\n)",
            "mmh 1\nlet a = f(\n  b,\n  c = [\n    1\n  ]\n)\n",
        ),
        (
            "mmh 1\n@key \"b\"\n  let a = x.y",
            "mmh 1\n@key \"b\"\nlet a = x.y\n",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).diagnostics, [], "{text}");
        assert_eq!(formatted(text), expected, "{text}");
    }
}

/// A comment in every gap of a recipe comes through, wherever it is.
#[test]
fn a_comment_between_any_two_words_survives() {
    for text in RECIPES {
        let tree = parse(text).tree;
        let ends: Vec<usize> = tree.tokens().map(|id| tree.span(id).end as usize).collect();
        for (number, end) in ends.into_iter().enumerate().step_by(3) {
            let wanted = format!("comment {number}");
            let out = formatted(&format!("{} // {wanted}\n{}", &text[..end], &text[end..]));
            // Inside a text in quotes or another comment it is part of that.
            assert!(out.contains(&wanted), "{wanted}\n{out}");
        }
    }
}

#[test]
fn a_broken_declaration_is_left_alone() {
    let broken = "data  d {\n a   = (1\n  b=2\n}";
    assert_eq!(
        formatted(&format!("mmh   1\n{broken}\nlet  x=1")),
        format!("mmh 1\n{broken}\nlet x = 1\n")
    );
}

#[test]
fn a_long_file_is_formatted_in_time() {
    let text = format!("mmh 1\n{}", "// c\nlet a=1\n".repeat(16_000));
    let start = std::time::Instant::now();
    let once = format(&parse(&text).tree);
    assert!(once.ends_with("// c\nlet a = 1\n"));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn mutants_keep_their_meaning() {
    for text in RECIPES {
        for (at, letter) in text.char_indices().step_by(5) {
            formatted(&text[..at]);
            formatted(&format!(
                "{}{}",
                &text[..at],
                &text[at + letter.len_utf8()..]
            ));
            for inserted in ["(", "}", "\n", " ", "// c\n", "|>"] {
                formatted(&format!("{}{inserted}{}", &text[..at], &text[at..]));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn token_soup(tokens in prop::collection::vec(prop::sample::select(vec![
        "let a = ", "b", "(", ")", "[", "]", "{", "}", ", ", ": ", "= ", "|> ", "~ ", "+ ", "- ", "//2", "// c\n", "/// d\n",
        "\n", "\n\n", " ", "1", "2px", "f(", "train t {", "train {", "if ", "else ", "block g(x: int) -> like x {", "@key \"k\" ",
        "not ", "\"s\"",
    ]), 0..50)) {
        formatted(&format!("mmh 1\n{}", tokens.concat()));
    }
}

#[test]
fn every_recipe_here_is_as_the_formatter_leaves_it() {
    let mut seen = 0;
    for folder in [
        "examples",
        "stdlib",
        "benches/recipes",
        "compiler/check/tests/recipes",
    ] {
        let folder = format!("{}/../{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "mmh") {
                let text = std::fs::read_to_string(&path).expect("a recipe");
                assert_eq!(formatted(&text), text, "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "{seen} recipes");
}
