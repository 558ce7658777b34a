//! The grammar in docs/language/grammar.md is made of the grammar that the parser is built of, and is up to date.
//!
//! `MMH_BLESS=1` writes it anew. Recovery, trivia and the guards that only steer the parser are left out: what is there is
//! what a text without mistakes may hold.

use std::collections::BTreeMap;
use std::path::PathBuf;

const PEST: &str = include_str!("../src/mmh.pest");
const BEGIN: &str = "<!-- made from grammar/src/mmh.pest: begin -->\n```text\n";
const END: &str = "```\n<!-- made from grammar/src/mmh.pest: end -->\n";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/language/grammar.md")
}

/// Rules that say how a mistake is taken, or where a token ends.
fn left_out(rule: &str) -> bool {
    let own = [
        "WHITESPACE",
        "COMMENT",
        "blanks",
        "blank",
        "infix_start",
        "item_start",
        "item_letter",
        "field_start",
        "use_start",
        "seed_start",
        "named",
        "setting",
        "junk",
        "junk_line",
        "parens",
        "brackets",
        "braces",
        "missing",
        "missing_close",
        "bad_number",
        "bad_string",
        "reserved",
    ];
    own.contains(&rule) || rule.ends_with("_junk")
}

/// The rules and their bodies, in order.
fn rules() -> Vec<(String, String)> {
    let lines = PEST.lines().filter(|line| !line.starts_with("//"));
    let rules = lines.filter_map(|line| {
        let (name, body) = line.split_once('=')?;
        let body = body.trim().trim_start_matches(['@', '$', '_', '!']);
        let body = body.strip_prefix('{')?.trim().strip_suffix('}')?;
        Some((name.trim().to_owned(), body.trim().to_owned()))
    });
    rules.collect()
}

/// A grammar's expression.
#[derive(Clone, Debug, PartialEq)]
enum Expr {
    Empty,
    Word(String),
    Sequence(Vec<Expr>),
    Choice(Vec<Expr>),
    Repeated(Box<Expr>, char),
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, text: &str) -> bool {
        self.blank();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn choice(&mut self) -> Expr {
        let mut all = vec![self.sequence()];
        while self.eat("|") {
            all.push(self.sequence());
        }
        all.retain(|part| *part != Expr::Empty);
        match all.len() {
            0 => Expr::Empty,
            1 => all.remove(0),
            _ => Expr::Choice(all),
        }
    }

    fn sequence(&mut self) -> Expr {
        let mut all = Vec::new();
        let mut recovers = false;
        loop {
            self.blank();
            recovers |= self.rest.starts_with("missing ");
            all.push(self.repeated());
            if !self.eat("~") {
                break;
            }
        }
        // Something that is not there, and what is read in its place.
        if recovers && all.len() > 1 {
            return Expr::Empty;
        }
        all.retain(|part| *part != Expr::Empty);
        match all.len() {
            0 => Expr::Empty,
            1 => all.remove(0),
            _ => Expr::Sequence(all),
        }
    }

    fn repeated(&mut self) -> Expr {
        if self.eat("!") || self.eat("&") {
            self.repeated();
            return Expr::Empty;
        }
        let one = self.one();
        let mark = match self.rest.chars().next() {
            Some(mark @ ('*' | '+' | '?')) => mark,
            Some('{') => {
                let (_, rest) = self.rest.split_once('}').expect("a count");
                self.rest = rest;
                return Expr::Repeated(Box::new(one), '+');
            }
            _ => return one,
        };
        self.rest = &self.rest[1..];
        match one {
            Expr::Empty => Expr::Empty,
            one => Expr::Repeated(Box::new(one), mark),
        }
    }

    fn one(&mut self) -> Expr {
        self.blank();
        if self.eat("(") {
            let inner = self.choice();
            assert!(self.eat(")"), "{}", self.rest);
            return inner;
        }
        let quote = self.rest.chars().next().expect("more");
        let end = match quote {
            '"' | '\'' => {
                let mut escaped = false;
                let close = self.rest.char_indices().skip(1).find(|(_, letter)| {
                    let is_end = *letter == quote && !escaped;
                    escaped = *letter == '\\' && !escaped;
                    is_end
                });
                close.expect("a closing quote").0 + 1
            }
            _ => self
                .rest
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .unwrap_or(self.rest.len()),
        };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if quote == '\'' && self.eat("..") {
            let other = self.one();
            let Expr::Word(other) = other else {
                unreachable!("a letter")
            };
            return Expr::Word(format!("{word} … {other}"));
        }
        match word {
            "" => panic!("{}", self.rest),
            "SOI" | "EOI" => Expr::Empty,
            word if left_out(word) => Expr::Empty,
            word => Expr::Word(word.to_owned()),
        }
    }
}

/// How a rule's name is written: keywords and marks by themselves.
fn written(expr: &Expr, tokens: &BTreeMap<String, String>, inside: bool) -> String {
    match expr {
        Expr::Empty => String::new(),
        Expr::Word(word) => match word.as_str() {
            "ASCII_DIGIT" => "digit".to_owned(),
            "ASCII_HEX_DIGIT" => "hex digit".to_owned(),
            "ASCII_ALPHA" => "letter".to_owned(),
            "ASCII_ALPHANUMERIC" => "letter or digit".to_owned(),
            "ANY" => "any character".to_owned(),
            other => match tokens.get(other) {
                Some(alias) => written(&Expr::Word(alias.clone()), tokens, inside),
                None => other.to_owned(),
            },
        },
        Expr::Sequence(all) => {
            let all: Vec<String> = all.iter().map(|part| written(part, tokens, true)).collect();
            all.join(" ")
        }
        Expr::Choice(all) => {
            let all: Vec<String> = all
                .iter()
                .map(|part| written(part, tokens, false))
                .collect();
            match inside {
                true => format!("( {} )", all.join(" | ")),
                false => all.join(" | "),
            }
        }
        Expr::Repeated(one, mark) => {
            let text = written(one, tokens, true);
            match **one {
                Expr::Sequence(_) => format!("( {text} ){mark}"),
                _ => format!("{text}{mark}"),
            }
        }
    }
}

fn made() -> String {
    let rules = rules();
    let mut tokens = BTreeMap::new();
    let mut parsed = Vec::new();
    for (name, body) in &rules {
        if left_out(name) {
            continue;
        }
        let mut reader = Reader { rest: body };
        let expr = reader.choice();
        assert!(reader.rest.trim().is_empty(), "{name}: {}", reader.rest);
        parsed.push((name, expr));
    }
    // A rule that is one text in quotes is written as that text.
    for (name, expr) in &parsed {
        if let Expr::Word(word) = expr
            && (word.starts_with('"') || name.starts_with("kw_") || *name == "section_start")
        {
            tokens.insert((*name).clone(), word.clone());
        }
    }
    let shown: Vec<_> = parsed
        .iter()
        .filter(|(name, _)| !tokens.contains_key(*name))
        .collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, expr) in shown {
        out += &format!("{name:width$} = {}\n", written(expr, &tokens, false));
    }
    out
}

#[test]
fn the_page_has_the_grammar_of_the_parser() {
    let text = std::fs::read_to_string(page()).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("where the grammar begins");
    let (kept, after) = rest.split_once(END).expect("where it ends");
    let made = made();
    if std::env::var_os("MMH_BLESS").is_some() {
        std::fs::write(page(), format!("{before}{BEGIN}{made}{END}{after}")).expect("written");
        return;
    }
    assert!(
        kept == made,
        "docs/language/grammar.md is not fresh: run `MMH_BLESS=1 cargo test -p mmh-syntax --test reference`\n{made}"
    );
}

#[test]
fn every_rule_that_is_named_is_there() {
    let made = made();
    let known: Vec<&str> = made
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
        .collect();
    for rule in [
        "file",
        "block_item",
        "section",
        "expr",
        "call",
        "number",
        "string",
        "name",
    ] {
        assert!(known.contains(&rule), "{rule}\n{made}");
    }
    assert!(
        made.contains("\"use\"") && made.contains("\"|>\"") && !made.contains("missing"),
        "{made}"
    );
}
