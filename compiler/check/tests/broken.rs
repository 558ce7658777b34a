//! Recipes that cannot be read whole: no mistake is told that is a consequence of another.

mod common;

use common::{Folder, shown};
use mmh_check::check;
use std::collections::BTreeSet;
use std::path::Path;

/// Letters from one slip to the next: primes, so that all sorts of places are met.
const DELETED: usize = 7;
const INSERTED: usize = 61;

const SIGNS: [&str; 12] = [
    "(", ")", "[", "]", "{", "}", "\"", "=", ",", "|>", "~", "\n",
];

fn texts() -> Vec<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["../../examples", "tests/recipes"] {
        let files = std::fs::read_dir(here.join(folder)).unwrap();
        paths.extend(files.map(|file| file.unwrap().path()));
    }
    paths.retain(|path| {
        path.extension().is_some_and(|e| e == "mmh") && !path.ends_with("legacy.mmh")
    });
    paths.sort();
    let texts = paths.iter().map(std::fs::read_to_string);
    texts.map(Result::unwrap).collect()
}

/// The text with a letter away or a sign too many, at every so many places.
fn slips(text: &str) -> Vec<String> {
    let steps = std::env::var_os("MMH_ALL").map_or([DELETED, INSERTED], |_| [1, 3]);
    let places = |step| text.char_indices().map(|(at, _)| at).step_by(step);
    let deleted = places(steps[0]).map(|at| {
        let mut slip = text.to_owned();
        slip.remove(at);
        slip
    });
    let inserted = places(steps[1]).flat_map(|at| {
        SIGNS.iter().map(move |sign| {
            let mut slip = text.to_owned();
            slip.insert_str(at, sign);
            slip
        })
    });
    deleted.chain(inserted).collect()
}

fn without_line(said: &str) -> String {
    said.split_once(": ")
        .map_or(said, |(_, rest)| rest)
        .to_owned()
}

/// A slip that makes a name a reserved word takes that name away: whoever uses it is not told.
#[test]
fn a_name_that_became_a_reserved_word_is_not_missed() {
    let mut world = Folder::examples("");
    let towers = texts().into_iter().find(|it| it.contains("model left("));
    let towers = towers.expect("a recipe with that name");
    world.rewrite(&towers.replacen("model left(", "model let(", 1));
    let said = shown(&check(&world, "main.mmh", &[]));
    let [said] = &said[..] else {
        panic!("{said:#?}");
    };
    assert!(said.contains("`model` needs a name"), "{said}");
}

/// A recipe with one slip has one mistake more: where it cannot be read, nothing new is said but that.
#[test]
fn a_slip_that_cannot_be_read_has_no_consequence() {
    let (mut torn, mut wrong) = (0, Vec::new());
    let mut world = Folder::examples("");
    for text in texts() {
        world.rewrite(&text);
        let before = shown(&check(&world, "main.mmh", &[]));
        let before: BTreeSet<String> = before.iter().map(|one| without_line(one)).collect();
        for slip in slips(&text) {
            world.rewrite(&slip);
            let said = shown(&check(&world, "main.mmh", &[]));
            let (reading, rest): (Vec<_>, Vec<_>) =
                said.into_iter().partition(|one| one.contains(": syntax::"));
            torn += usize::from(!reading.is_empty());
            let new: Vec<String> = rest
                .into_iter()
                .filter(|one| !before.contains(&without_line(one)))
                .collect();
            if !reading.is_empty() && !new.is_empty() {
                wrong.push(format!("{slip}\n{reading:#?}\n{new:#?}"));
            }
        }
    }
    let first = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {torn}\n{first}", wrong.len());
    assert!(torn > 1000, "{torn}");
}
