//! The examples of the pages, made whole.

use crate::common::Place;
use crate::root;

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) right: bool,
    pub(crate) words: Vec<String>,
    pub(crate) text: String,
}

/// The examples of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let (mut found, mut right) = (Vec::new(), false);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        right |= line == "## Right";
        if let Some(words) = line.strip_prefix("```mmh") {
            let text = lines.by_ref().take_while(|line| *line != "```");
            found.push(Block {
                right,
                words: words.split_whitespace().map(str::to_owned).collect(),
                text: text.map(|line| format!("{line}\n")).collect(),
            });
        }
    }
    found
}

/// The declarations of a text, each from its first line to the line before the next: `("train fit", "train fit {…")`.
fn parts(text: &str) -> Vec<(String, String)> {
    const WORDS: [&str; 12] = [
        "mmh", "seed", "let", "data", "augment", "block", "model", "train", "evaluate", "search",
        "export", "use",
    ];
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut words = line
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty());
        let head = words.next().unwrap_or("");
        let starts = line.starts_with(head) && WORDS.contains(&head);
        match (starts, found.last_mut()) {
            (true, _) | (false, None) => {
                let one = matches!(head, "mmh" | "seed");
                let name = if one { "" } else { words.next().unwrap_or("") };
                found.push((format!("{head} {name}"), line.to_owned()));
            }
            (false, Some(part)) => part.1 += line,
        }
    }
    found
}

/// The settings of a section, one a line: name and line.
fn settings(part: &str) -> Vec<(&str, &str)> {
    let lines = part.split_inclusive('\n').skip(1);
    let settings = lines.filter_map(|line| {
        let name = line.strip_prefix("  ")?.split([' ', ':', '=']).next()?;
        (!name.is_empty() && name != "}").then_some((name, line))
    });
    settings.collect()
}

/// A section with the settings of its namesake that it does not show.
fn completed(part: &str, namesake: &str) -> String {
    let shown: Vec<&str> = settings(part).iter().map(|setting| setting.0).collect();
    let missing: String = settings(namesake)
        .into_iter()
        .filter(|(name, _)| !shown.contains(name))
        .map(|(_, line)| line)
        .collect();
    let (head, rest) = part.split_once('\n').unwrap_or((part, ""));
    format!("{head}\n{missing}{rest}")
}

/// The recipe that an example is a part of.
fn recipe(block: &Block) -> String {
    let bare = block.words.iter().any(|word| word == "bare");
    if block.words.iter().any(|word| word == "whole") {
        return block.text.clone();
    }
    let digits = std::fs::read_to_string(root().join("examples/digits.mmh")).expect("the example");
    let shown = parts(&block.text);
    let mut out = String::new();
    let mut placed = vec![false; shown.len()];
    let without = block
        .words
        .iter()
        .find_map(|word| word.strip_prefix("without="));
    for (name, text) in parts(&digits) {
        if without.is_some_and(|word| name.starts_with(word)) {
            continue;
        }
        let same: Vec<usize> = (0..shown.len()).filter(|at| shown[*at].0 == name).collect();
        if same.is_empty() {
            out += &text;
        }
        for at in same {
            placed[at] = true;
            let section = ["data ", "train ", "evaluate "]
                .iter()
                .any(|word| name.starts_with(word));
            match section && !bare {
                true => out += &completed(&shown[at].1, &text),
                false => out += &shown[at].1,
            }
        }
    }
    let rest = shown.iter().zip(placed).filter(|(_, placed)| !placed);
    out + &rest.map(|((_, text), _)| text.as_str()).collect::<String>()
}

/// A folder with the files that examples read.
pub(crate) fn place() -> Place {
    let place = Place::new();
    let data = root().join("examples/data/digits.csv");
    std::fs::create_dir(place.path("data")).expect("made");
    std::fs::copy(data, place.path("data/digits.csv")).expect("copied");
    place.write(
        "houses.csv",
        "street,rooms,price\nElm,4,200\nOak,,180\nAsh,3,150\nFir,5,240\nYew,2,110\n",
    );
    place.write("points.csv", "x_0,x_1,heap\n1.5,2,0\n2,3,1\n4,1,1\n");
    place.write("mistyped.csv", "x_0,x_1,heap\n1.5,2,0\n2,three,1\n4,1,1\n");
    place.write(
        "half-copied.csv",
        "street,rooms,price\nElm,4,200\nOak,3\nAsh,3,150\nFir,5,240\n",
    );
    place.write(
        "parts.mmh",
        "mmh 1\n\nblock squeeze(x: f32[batch, channel, height, width]) -> like x {\n  x |> _inner\n}\n\nblock _inner(x: f32[batch, channel, height, width]) -> like x {\n  relu(x)\n}\n",
    );
    let idx = |count: u8, rows: u8| {
        let head = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2];
        [&head[..], &vec![7; usize::from(rows) * 4]].concat()
    };
    let labels = [
        0, 0, 8, 1, 0, 0, 0, 20, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1,
    ];
    std::fs::write(place.path("images.idx"), idx(20, 20)).expect("written");
    std::fs::write(place.path("half-a-download.idx"), idx(20, 9)).expect("written");
    std::fs::write(place.path("labels.idx"), labels).expect("written");
    place
}

/// A page's examples of one kind, laid out in a folder: whether there is a recipe to check.
pub(crate) fn lay_out(place: &Place, blocks: &[Block], right: bool) -> bool {
    let mut found = false;
    for block in blocks.iter().filter(|block| block.right == right) {
        let file = block
            .words
            .iter()
            .find_map(|word| word.strip_prefix("file="));
        match file {
            _ if block.words.iter().any(|word| word == "told") => {}
            Some(path) => place.write(path, &block.text),
            None => {
                place.write("recipe.mmh", &recipe(block));
                found = true;
            }
        }
    }
    found
}
