//! A check of what an edit reaches finds what a whole check finds.

mod common;
#[path = "common/generated.rs"]
mod generated;

use common::Folder;
use mmh_check::{Earlier, check, check_again, check_first};
use std::path::Path;

fn recipes() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![("generated".to_owned(), generated::recipe(120))];
    for folder in ["../../examples", "tests/recipes"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        for path in paths.filter(|path| path.extension().is_some_and(|e| e == "mmh")) {
            // The folder of the tests cannot open packs that are not there.
            if path.ends_with("legacy.mmh") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a recipe");
            found.push((path.display().to_string(), text));
        }
    }
    found.sort();
    found
}

/// Numbers that look drawn, the same in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }
}

const PUT: [&str; 16] = [
    "(",
    "}",
    "x",
    "1",
    " + 1",
    ", lr = 2",
    " |> relu",
    " ~ choice(1, 2)",
    "\nlet wide = 3\n",
    "\n",
    "\"",
    "e",
    ".best",
    "block ",
    " // ",
    "softmax |> ",
];

/// A text with one thing changed, as an editor's user might.
fn edited(text: &str, draws: &mut Draws) -> String {
    let boundary = |at: usize| {
        (0..=at)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0)
    };
    let at = boundary(draws.below(text.len()));
    let (before, after) = text.split_at(at);
    match draws.below(5) {
        0 => format!("{before}{}{after}", PUT[draws.below(PUT.len())]),
        1 => before.chars().chain(after.chars().skip(1)).collect(),
        // A word becomes another word of the text.
        2 => {
            let words: Vec<&str> = text
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .collect();
            let word = words[draws.below(words.len())];
            let end = after
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            let start = before
                .rfind(|c: char| !c.is_alphanumeric() && c != '_')
                .map_or(0, |at| boundary(at + 1));
            format!("{}{word}{}", &before[..start], &after[end..])
        }
        // A line goes, or is there twice.
        way => {
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let line = draws.below(lines.len());
            let times = if way == 3 { 0 } else { 2 };
            let all = lines.iter().enumerate();
            all.flat_map(|(at, text)| vec![*text; if at == line { times } else { 1 }])
                .collect()
        }
    }
}

#[test]
fn what_an_edit_reaches_is_all_that_changes() {
    let mut draws = Draws(7);
    let (mut same, mut whole) = (0, 0);
    for (name, original) in recipes() {
        let mut world = Folder::examples("");
        let mut earlier: Option<Earlier> = None;
        let mut text = original.clone();
        for round in 0..400 {
            // Most edits are about the recipe as it was, some about what the last ones made of it.
            let next = edited(
                if draws.below(3) > 0 { &original } else { &text },
                &mut draws,
            );
            world.rewrite(&next);
            let wanted = check(&world, "main.mmh", &[]).diagnostics;
            match earlier
                .as_ref()
                .and_then(|earlier| check_again(&world, "main.mmh", earlier))
            {
                None => whole += 1,
                Some(checked) => {
                    assert_eq!(
                        checked.diagnostics, wanted,
                        "{name}, round {round}:\n{next}"
                    );
                    same += 1;
                }
            }
            if earlier.is_none() || draws.below(8) == 0 {
                let (checked, next) = check_first(&world, "main.mmh");
                assert_eq!(checked.diagnostics, wanted);
                earlier = next.or(earlier);
            }
            text = next;
        }
    }
    assert!(same > 3_000 && whole < same, "{same} of {}", same + whole);
}

#[test]
fn only_what_is_in_reach_is_checked() {
    let text = generated::recipe(400);
    let mut world = Folder::examples(&text);
    let (_, earlier) = check_first(&world, "main.mmh");
    let earlier = earlier.expect("a recipe without a mistake");
    let edited = text.replacen("dropout(rate)", "dropout(rate, 2)", 1);
    world.rewrite(&edited);
    let wanted = check(&world, "main.mmh", &[]).diagnostics;
    let found = check_again(&world, "main.mmh", &earlier).expect("an answer");
    assert_eq!(found.diagnostics, wanted);
    assert!(!wanted.is_empty() && found.recipe.is_none());
}
