//! The reader gives the trees that the grammar in `mmh.pest` defines.

mod oracle;

use mmh_syntax::parse;

const RECIPES: [&str; 3] = [
    include_str!("recipes/digits.mmh"),
    include_str!("recipes/federated.mmh"),
    include_str!("recipes/attention.mmh"),
];

/// What the mutants are made with.
const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\n",
    "=",
    "==",
    ":",
    ",",
    ".",
    "..",
    "...",
    "|>",
    "~",
    "-",
    "->",
    "+",
    "*",
    "/",
    "//",
    "// c\n",
    "/// d\n",
    "%",
    "<=",
    "!",
    "@key",
    "@key \"a\"",
    "0x",
    "0x1f",
    "1.2.3",
    "1.",
    ".5",
    "1e9",
    "1_000",
    "12 deg",
    "3%",
    "\\",
    "\"a",
    "\"a\\n\"",
    "\"\\q\"",
    "\"a\\\n",
    "x",
    "like x",
    "if a { 1 } else { 2 }",
    "if a { 1 } else if b { 2 }",
    "if",
    "else",
    "and",
    "or",
    "not",
    "let",
    "let a = 1\n",
    "let = 3",
    "train",
    "train t {",
    "data {",
    "use \"f\" { a, b }\n",
    "use\n\"f\"",
    "use a",
    "seed 7\n",
    "seed \"a\"",
    "block b(x: f32) {",
    "block",
    "mmh 1\n",
    "f(x)",
    "f (x)",
    "a = 1",
    "a: f32[b]",
    "f32\nb: c",
    "a b :",
    "\u{feff}",
    "\u{a0}",
    "é",
    "\0",
    "\r\n",
    "\t",
    "  ",
    "export e {}",
    "a.b.c",
    "a.",
    "a . b",
    "train {\n a = 1\n}",
];

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

fn same(text: &str) {
    let (ours, theirs) = (parse(text).tree, oracle::tree(text));
    if ours != theirs {
        let (ours, theirs) = (ours.dump(), theirs.dump());
        let at = ours.lines().zip(theirs.lines()).position(|(a, b)| a != b);
        let near = |dump: &str| {
            let lines: Vec<&str> = dump
                .lines()
                .skip(at.unwrap_or(0).saturating_sub(8))
                .take(16)
                .collect();
            lines.join("\n")
        };
        panic!(
            "{text:?}\n--- the reader\n{}\n--- the grammar\n{}",
            near(&ours),
            near(&theirs)
        );
    }
}

#[test]
fn of_right_recipes() {
    for text in RECIPES {
        same(text);
    }
}

#[test]
fn of_every_prefix_and_every_letter_lost() {
    for text in RECIPES {
        for (at, letter) in text.char_indices() {
            same(&text[..at]);
            same(&[&text[..at], &text[at + letter.len_utf8()..]].concat());
        }
    }
}

#[test]
fn of_mutants() {
    let mut numbers = Numbers(11);
    for round in 0..6_000 {
        let text = RECIPES[round % 3];
        let mut words: Vec<&str> = text
            .split_inclusive(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(words.len());
            match numbers.below(4) {
                0 => drop(words.remove(at)),
                1 => words[at] = PIECES[numbers.below(PIECES.len())],
                2 => {
                    let other = numbers.below(words.len());
                    words.swap(at, other);
                }
                _ => words.insert(at, PIECES[numbers.below(PIECES.len())]),
            }
        }
        same(&words.concat());
    }
}

#[test]
fn of_pieces_in_any_order() {
    let mut numbers = Numbers(5);
    for _ in 0..20_000 {
        let count = 1 + numbers.below(12);
        let pieces: Vec<&str> = (0..count)
            .flat_map(|_| {
                [
                    PIECES[numbers.below(PIECES.len())],
                    ["", " "][numbers.below(2)],
                ]
            })
            .collect();
        same(&pieces.concat());
    }
}

#[test]
fn of_expressions_beyond_the_limits() {
    same(&format!("let a = 1{}", " + 1".repeat(2000)));
    same(&format!(
        "let a = f(b, 1{} /* */)",
        " |> g(x) // c\n".repeat(700)
    ));
    same(&format!("let a = {}1{}", "(".repeat(200), ")".repeat(200)));
    same(&format!("let a = {}1", "- not ".repeat(100)));
}
