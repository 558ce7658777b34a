//! Literate tests: every `.md` file beside this one holds recipes and what is said about them.
//!
//! A section is a heading, a recipe in ` ```mmh ` (or edits of an example in ` ```edit NAME `: a line
//! `- old` and below it the lines `+ new` that replace it), and the diagnostics in ` ```text `, one a line: `line: code: message / help`. `ok` means none.

mod common;

use common::{Folder, shown};
use mmh_check::check;
use std::path::Path;

struct Case {
    title: String,
    text: String,
    expected: String,
}

fn cases(markdown: &str) -> Vec<Case> {
    let mut found = Vec::new();
    let mut title = String::new();
    let mut text = String::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            title = heading.to_string();
        }
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        let block = block.join("\n") + "\n";
        match info.split_once(' ') {
            Some(("edit", name)) => text = edited(name, &block, &title),
            _ if info == "mmh" => text = block,
            _ if info == "text" => found.push(Case {
                title: title.clone(),
                text: text.clone(),
                expected: block,
            }),
            _ => {}
        }
    }
    found
}

fn edited(name: &str, edits: &str, title: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    let mut text = std::fs::read_to_string(path).unwrap();
    let mut lines = edits.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(from) = line.strip_prefix("- ") else {
            continue;
        };
        assert!(text.contains(from), "{title}: `{from}` is not in {name}");
        let first = lines.next().and_then(|line| line.strip_prefix('+'));
        let mut to = first.unwrap_or("").trim_start_matches(' ').to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with('+')) {
            to = to + "\n" + more[1..].strip_prefix(' ').unwrap_or("");
        }
        text = text.replacen(from, &to, 1);
    }
    text
}

#[test]
fn what_is_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut world = Folder::examples("");
    let mut wrong = String::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let mut count = 0;
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "md"))
    {
        for case in cases(&std::fs::read_to_string(file).unwrap()) {
            count += 1;
            world.rewrite(&case.text);
            let said = shown(&check(&world, "main.mmh", &[]));
            let said = if said.is_empty() {
                "ok\n".to_string()
            } else {
                said.join("\n") + "\n"
            };
            if said != case.expected {
                wrong += &format!(
                    "## {}\n--- expected\n{}--- said\n{said}\n",
                    case.title, case.expected
                );
            }
        }
    }
    assert!(count > 10, "{count} cases");
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Whole recipes by hand; the lines `// gives:` at their head say what they give.
#[test]
fn recipes_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes");
    let mut wrong = String::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let expected: Vec<&str> = text
            .lines()
            .map_while(|l| l.strip_prefix("// gives: "))
            .collect();
        let checked = check(&Folder::examples(&text), "main.mmh", &[]);
        let mut said = shown(&checked);
        if let Some(recipe) = &checked.recipe {
            let forward = recipe
                .forward(0, mmh_check::recipe::Purpose::Step, 8)
                .unwrap();
            forward.graph.verify().unwrap();
            said.insert(0, "ok".into());
        }
        if said != expected {
            wrong += &format!(
                "{}\n--- expected\n{expected:#?}\n--- said\n{said:#?}\n",
                file.display()
            );
        }
    }
    assert!(files.len() >= 10);
    assert!(wrong.is_empty(), "\n{wrong}");
}
