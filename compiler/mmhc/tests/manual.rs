//! Every recipe of the documentation is what the documentation says it is.
//!
//! The words behind ` ```mmh ` say what holds:
//!
//! | words | the block |
//! |---|---|
//! | none | checks without a finding; without its first line it is put behind `mmh 1` and a seed |
//! | `run` | checks, and its training runs some steps |
//! | `run hash=NAME` | gives the same model as every other block of that name, run to the end |
//! | `wrong CODE` | is refused with this code and no other |
//! | `file=PATH` | is a file of the page, which later blocks may use |
//! | `part` | is a part of a recipe, and is read without a mistake |

#![allow(
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod common;

use common::Place;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

struct Block {
    words: Vec<String>,
    text: String,
    line: usize,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(words) = line.strip_prefix("```mmh") else {
            continue;
        };
        let text = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```");
        found.push(Block {
            words: words.split_whitespace().map(str::to_owned).collect(),
            text: text.map(|line| format!("{line}\n")).collect(),
            line: number + 1,
        });
    }
    found
}

/// The pages with recipes: not those of the errors, which have a test of their own.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md")];
    for folder in [root.join("docs"), root.join("docs/language")] {
        let entries = std::fs::read_dir(folder).expect("a folder");
        pages.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages.sort();
    pages
}

fn whole(text: &str) -> String {
    match text.lines().any(|line| line.starts_with("mmh ")) {
        true => text.to_owned(),
        false => format!("mmh 1\n\nseed 1\n\n{text}"),
    }
}

/// Where a page's recipes stand, with the examples' data.
fn place() -> Place {
    let place = Place::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    std::fs::create_dir(place.path("data")).expect("made");
    for file in ["digits.csv", "penguins.csv", "kjv-gospels.txt"] {
        std::fs::copy(data.join(file), place.path("data").join(file)).expect("copied");
    }
    place
}

fn codes(place: &Place) -> Vec<String> {
    let found = place
        .mmhc(&["check", "main.mmh", "--format", "json"])
        .json();
    let found = found["diagnostics"].as_array().expect("a list");
    found
        .iter()
        .map(|found| found["code"].as_str().expect("a code").to_owned())
        .collect()
}

/// What is wrong with a block, if anything.
fn holds(
    place: &Place,
    block: &Block,
    hashes: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let words: Vec<&str> = block.words.iter().map(String::as_str).collect();
    if words == ["part"] {
        let found = mmh_syntax::parse(&format!("mmh 1\n{}", block.text)).diagnostics;
        return match found.is_empty() {
            true => Ok(()),
            false => Err(format!("{found:?}")),
        };
    }
    if let [file] = words.as_slice()
        && let Some(path) = file.strip_prefix("file=")
    {
        place.write(path, &block.text);
        return Ok(());
    }
    place.write("main.mmh", &whole(&block.text));
    let found = codes(place);
    match words.as_slice() {
        ["wrong", code] if found == [*code] => return Ok(()),
        ["wrong", code] => return Err(format!("is to be {code}, and is {found:?}")),
        _ if !found.is_empty() => return Err(format!("{found:?}")),
        [] => return Ok(()),
        ["run"] => {
            let ran = place.mmhc(&["run", "main.mmh", "--limit", "2 steps", "--out", "out"]);
            std::fs::remove_dir_all(place.path("out")).map_err(|error| error.to_string())?;
            return match ran.status {
                0 => Ok(()),
                _ => Err(ran.err),
            };
        }
        _ => {}
    }
    let ["run", name] = words.as_slice() else {
        return Err(format!("{words:?} says nothing"));
    };
    let ran = place
        .mmhc(&["run", "main.mmh", "--json", "--out", "out"])
        .ends(0)
        .json();
    std::fs::remove_dir_all(place.path("out")).map_err(|error| error.to_string())?;
    let hash = ran["model_hash"].as_str().unwrap_or("").to_owned();
    let first = hashes
        .entry((*name).to_owned())
        .or_insert_with(|| hash.clone());
    match *first == hash {
        true => Ok(()),
        false => Err(format!("{name}: {first} and {hash}")),
    }
}

#[test]
fn every_recipe_of_the_documentation_holds() {
    let mut wrong = String::new();
    let mut count = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        let blocks = blocks(&text);
        if blocks.is_empty() {
            continue;
        }
        let place = place();
        let mut hashes = BTreeMap::new();
        for block in &blocks {
            count += 1;
            if let Err(why) = holds(&place, block, &mut hashes) {
                let page = page.file_name().unwrap_or_default().to_string_lossy();
                wrong += &format!("{page}:{}: {why}\n", block.line);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count > 35, "{count} recipes");
}

#[test]
fn recipes_of_the_documentation_are_in_the_one_layout() {
    let mut wrong = String::new();
    for page in pages() {
        for block in blocks(&std::fs::read_to_string(&page).expect("a page")) {
            let text = whole(&block.text);
            let formatted = mmh_syntax::format(&mmh_syntax::parse(&text).tree);
            if formatted != text {
                wrong += &format!("{}:{}:\n{formatted}\n", page.display(), block.line);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
