//! `--fix` mends what it says it mends, does nothing new, and is done after once.

use crate::common::{Place, RECIPE};
use crate::example::{blocks, lay_out, place};
use crate::root;
use mmh_diag::Code;
use serde_json::Value;
use std::collections::BTreeSet;

fn findings(place: &Place) -> Vec<Value> {
    let found = place
        .mmhc(&["check", "recipe.mmh", "--format", "json"])
        .json();
    found["diagnostics"].as_array().expect("a list").clone()
}

fn code(found: &Value) -> &str {
    found["code"].as_str().expect("a code")
}

fn has_fix(found: &Value) -> bool {
    found["fixes"]
        .as_array()
        .is_some_and(|fixes| !fixes.is_empty())
}

/// Mends the recipe of a folder; the codes that were mended, or what is wrong with that.
///
/// A fix that would bring about another mistake is not carried out; `all` says that none may be left.
fn mended(place: &Place, all: bool) -> Result<BTreeSet<String>, String> {
    let before = findings(place);
    let codes = |all: &[Value]| {
        all.iter()
            .map(|one| code(one).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let fixable: Vec<Value> = before.iter().filter(|one| has_fix(one)).cloned().collect();
    if fixable.is_empty() {
        return Ok(BTreeSet::new());
    }
    let text = place.read("recipe.mmh");
    place.mmhc(&["check", "recipe.mmh", "--fix"]);
    let once = place.read("recipe.mmh");
    let left = findings(place);
    if all && left.len() + fixable.len() > before.len() {
        return Err(format!("not all was mended: {fixable:?}"));
    }
    // A line that could not be read may say more once it can be.
    let revealed = |one: &&Value| {
        let line = |one: &Value| one["labels"][0]["start"]["line"].clone();
        let torn = |was: &Value| code(was).starts_with("syntax::") && line(was) == line(one);
        !before.iter().any(torn)
    };
    let new: Vec<Value> = left.iter().filter(revealed).cloned().collect();
    let worse = left.len() > before.len() || !codes(&new).is_subset(&codes(&before));
    if worse || (once != text && new.len() == before.len()) {
        return Err(format!("{before:?}\nbecame\n{left:?}\nin\n{once}"));
    }
    place.mmhc(&["check", "recipe.mmh", "--fix"]);
    if place.read("recipe.mmh") != once {
        return Err(format!(
            "a second time changed more:\n{}",
            place.read("recipe.mmh")
        ));
    }
    match once == text {
        true => Ok(BTreeSet::new()),
        false => Ok(codes(&fixable)),
    }
}

/// A text with a remark behind every line.
fn remarked(text: &str) -> String {
    let lines = text.lines().enumerate();
    lines
        .map(|(at, line)| format!("{line} // remark {at}\n"))
        .collect()
}

#[test]
fn what_can_be_mended_is() {
    let (mut wrong, mut mended_codes) = (String::new(), BTreeSet::new());
    for code in Code::ALL {
        let place = place();
        if !lay_out(&place, &blocks(code.page()), false) {
            continue;
        }
        let text = place.read("recipe.mmh");
        match mended(&place, true) {
            Ok(codes) => mended_codes.extend(codes),
            Err(why) => wrong += &format!("{code}: {why}\n"),
        }
        // The same with a remark behind every line: none is lost.
        place.write("recipe.mmh", &remarked(&text));
        if let Err(why) = mended(&place, false) {
            wrong += &format!("{code}, with remarks: {why}\n");
        }
        let kept = place.read("recipe.mmh");
        for at in 0..text.lines().count() {
            if !kept
                .lines()
                .any(|line| line.ends_with(&format!("// remark {at}")))
            {
                wrong += &format!("{code}: remark {at} is lost:\n{kept}\n");
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for code in [
        "setting::unknown",
        "syntax::unclosed",
        "syntax::unexpected",
        "unit::missing",
        "syntax::bad-number",
    ] {
        assert!(mended_codes.contains(code), "{code}: {mended_codes:?}");
    }
}

/// One bracket, comma or word of a recipe is gone or changed.
#[test]
fn slips_are_mended_without_new_mistakes() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).expect("made");
    let data = root().join("examples/data/digits.csv");
    std::fs::copy(data, place.path("data/digits.csv")).expect("copied");
    let digits = std::fs::read_to_string(root().join("examples/digits.mmh")).expect("the example");
    let mut slips = Vec::new();
    for text in [digits.as_str(), RECIPE] {
        for (at, letter) in text.char_indices() {
            if "()[]{},\"=:|>".contains(letter) {
                slips.push(format!("{}{}", &text[..at], &text[at + 1..]));
            }
        }
        for (from, to) in [
            (" = ", " == "),
            ("rows ", "row "),
            ("lr =", "learning_rate ="),
            ("metrics", "metric"),
            (" epochs", ""),
        ] {
            slips.push(text.replacen(from, to, 1));
        }
    }
    let (mut wrong, mut count) = (String::new(), 0);
    for slip in slips {
        place.write("recipe.mmh", &slip);
        match mended(&place, false) {
            Ok(codes) => count += usize::from(!codes.is_empty()),
            Err(why) => wrong += &format!("{slip}\n{why}\n\n"),
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count > 40, "{count}");
}
