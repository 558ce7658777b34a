//! Following the chain of a journal, past what is broken, to say what was done to it.

use super::Change;
use crate::journal::{FIRST, Line, parse};
use serde::de::DeserializeOwned;

/// Changes that are named at most: one mistake must not fill the screen.
const MOST: usize = 12;

/// The lines of the journal `file` that can be read, and what is wrong with the chain.
pub(crate) fn follow<E: DeserializeOwned>(file: &str, bytes: &[u8]) -> (Vec<Line<E>>, Vec<Change>) {
    let (mut lines, mut wrong) = (Vec::<Line<E>>::new(), Vec::<String>::new());
    let whole = bytes.last().is_none_or(|last| *last == b'\n');
    let texts: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (at, text) in texts.iter().enumerate() {
        let place = at + 1;
        if place == texts.len() && !whole {
            wrong.push(format!("line {place} is torn: the file was cut short"));
            break;
        }
        match parse(text.strip_suffix(b"\n").unwrap_or(text)) {
            Ok((line, true)) => {
                wrong.extend(follows(&lines, &line, place));
                lines.push(line);
            }
            Ok((line, false)) => {
                wrong.push(format!(
                    "line {place} was changed: its content is not what its hash says"
                ));
                lines.push(line);
            }
            Err(reason) => wrong.push(format!("line {place} is no line of a journal: {reason}")),
        }
    }
    if lines.is_empty() {
        wrong.push("it holds no line".to_owned());
    }
    wrong.truncate(MOST);
    let change = |what| Change {
        file: file.to_owned(),
        what,
    };
    (lines, wrong.into_iter().map(change).collect())
}

/// What is wrong with the place of a line whose own hash is right.
fn follows<E>(before: &[Line<E>], line: &Line<E>, place: usize) -> Option<String> {
    let (prev, wanted) = before
        .last()
        .map_or((FIRST, 0), |last| (last.hash.as_str(), last.n + 1));
    if line.prev == prev && line.n == wanted {
        return None;
    }
    if let Some(first) = before.iter().position(|known| known.hash == line.hash) {
        return Some(format!("line {place} repeats line {}", first + 1));
    }
    if line.n > wanted {
        return Some(match line.n - wanted {
            1 => format!(
                "a line is missing ahead of line {place}: number {wanted} was removed or moved"
            ),
            _ => format!(
                "lines are missing ahead of line {place}: numbers {wanted} to {} were removed or moved",
                line.n - 1
            ),
        });
    }
    if line.n < wanted {
        return Some(format!(
            "line {place} stands in the wrong place: it is number {}, and {wanted} is due",
            line.n
        ));
    }
    Some(format!(
        "line {place} does not follow the line before, which was exchanged or written anew"
    ))
}
