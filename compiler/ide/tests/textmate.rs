//! The TextMate grammar of the editors' extensions is made of the grammar's own words, and is up to date.
//!
//! `MMH_BLESS=1` writes it anew.

use mmh_syntax::Kind;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The grammar that the parser is built of.
const PEST: &str = include_str!("../../../grammar/src/mmh.pest");

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../grammar/editors/vscode/syntaxes/mmh.tmLanguage.json")
}

/// The words in quotes of the rules whose names begin so.
fn words(rules: &[&str]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for line in PEST.lines() {
        let Some((rule, body)) = line.split_once('=') else {
            continue;
        };
        if !rules.iter().any(|wanted| rule.trim().starts_with(wanted)) {
            continue;
        }
        let quoted = body.split('"').skip(1).step_by(2);
        found.extend(quoted.filter(|word| is_word(word)).map(str::to_owned));
    }
    found.into_iter().collect()
}

fn is_word(word: &str) -> bool {
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn any(words: &[String]) -> String {
    format!("\\b(?:{})\\b", words.join("|"))
}

fn rule(name: &str, pattern: &str) -> Value {
    json!({ "name": name, "match": pattern })
}

fn grammar() -> Value {
    let declaring = words(&["block_word", "section_word"]);
    let flow = words(&["kw_if", "kw_else", "kw_not", "kw_and", "kw_or"]);
    let other = words(&["kw_let", "kw_like"]);
    let units: Vec<String> = mmh_check::editor::units()
        .map(|unit| unit.0.to_owned())
        .filter(|unit| unit != "%")
        .collect();
    let types: Vec<String> = mmh_check::editor::type_words()
        .iter()
        .map(|word| (*word).to_owned())
        .collect();
    let declared = format!("^\\s*({})\\s+([A-Za-z_][A-Za-z0-9_]*)", declaring.join("|"));
    let number = "0x[0-9A-Fa-f_]+|[0-9][0-9_]*(?:\\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?";
    json!({
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "MMH",
        "scopeName": "source.mmh",
        "fileTypes": ["mmh"],
        "patterns": [
            rule("comment.line.documentation.mmh", "///.*$"),
            rule("comment.line.double-slash.mmh", "//(?![A-Za-z0-9_(]).*$"),
            {
                "name": "string.quoted.double.mmh",
                "begin": "\"",
                "end": "\"|$",
                "patterns": [rule("constant.character.escape.mmh", "\\\\[\"\\\\nt]")],
            },
            {
                "match": declared,
                "captures": {
                    "1": { "name": "keyword.declaration.mmh" },
                    "2": { "name": "entity.name.function.mmh" },
                },
            },
            rule("keyword.declaration.mmh", "^\\s*(?:mmh|seed)(?=\\s+[0-9\"])|^\\s*use(?=\\s*\")"),
            rule("keyword.other.mmh", "@key\\b"),
            rule("keyword.control.mmh", &format!("{}(?!\\s*=[^=])", any(&flow))),
            rule("keyword.other.mmh", &any(&other)),
            rule("constant.language.mmh", "\\b(?:true|false)\\b"),
            {
                "match": format!("\\b({number})\\s*({}|%)?", any(&units)),
                "captures": {
                    "1": { "name": "constant.numeric.mmh" },
                    "2": { "name": "keyword.other.unit.mmh" },
                },
            },
            rule("storage.type.mmh", &format!("(?<=:|->)\\s*{}", any(&types))),
            rule("entity.name.function.mmh", "\\b[A-Za-z_][A-Za-z0-9_]*(?=\\()"),
            rule("variable.parameter.mmh", "\\b[A-Za-z_][A-Za-z0-9_]*(?=\\s*=[^=])"),
            rule("keyword.operator.mmh", "\\|>|->|\\.\\.\\.?|[~+*/%<>=!-]"),
        ],
    })
}

#[test]
fn the_file_is_what_the_grammar_says() {
    let made = format!("{:#}\n", grammar());
    if std::env::var_os("MMH_BLESS").is_some() {
        std::fs::write(path(), &made).expect("the file can be written");
    }
    let kept = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(
        kept == made,
        "{} is not fresh: run `MMH_BLESS=1 cargo test -p mmh-ide --test textmate`",
        path().display()
    );
}

#[test]
fn the_words_are_the_parsers() {
    let found = words(&["block_word", "section_word", "kw_"]);
    for word in [
        "block", "model", "augment", "data", "train", "search", "evaluate", "export", "federate",
        "if", "else", "and", "or", "not", "let", "like", "use", "seed", "mmh",
    ] {
        assert!(found.iter().any(|known| known == word), "{word}");
    }
    for (text, word) in [
        (
            "model m(x: f32[a]) -> like x {\n  if true { x } else { not x and x or x }\n}",
            "model",
        ),
        ("let a = if true { 1 } else { 2 }", "else"),
        ("train t {\n}", "train"),
    ] {
        let tree = mmh_syntax::parse(text).tree;
        let keyword = |id| tree.kind(id) == Kind::Keyword && tree.text_of(id) == word;
        assert!(tree.tokens().any(keyword), "{word}");
    }
}
