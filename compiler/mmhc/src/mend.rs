//! `mmhc check --fix`: the changes that findings name, one by one, each kept only if it mends.
//!
//! A fix is a guess at what was meant. It is tried on the texts in memory and the recipe is checked again: the finding must be
//! gone, and no error may have come in its place that nothing mends. So a recipe never gets worse, and mending it twice is
//! mending it once. Files are written at the end.

use crate::findings::{Finding, Report, apply};
use crate::front::{self, Checked};
use crate::outcome::{Exit, Failure};
use crate::system;
use crate::world::{Disk, Draft};
use mmh_diag::{Code, Diagnostic, Edit, SourceId, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Fixes of one recipe at most.
const MOST_FIXES: usize = 256;

/// Mends what can be mended, and gives what is left.
pub(crate) fn mended(recipe: &Path) -> Result<Report, Failure> {
    let world = front::open(recipe, false)?;
    let mut draft = Draft {
        disk: &world,
        texts: BTreeMap::new(),
    };
    let done = draft.mend();
    let mut given = None;
    for (path, text) in draft.texts {
        if path == "<stdin>" {
            given = Some(text);
            continue;
        }
        let path = world.folder.join(path);
        let written = system::replace(&path, &text);
        written.map_err(|error| Failure::of(Finding::file(&path, &error), false, Exit::Fault))?;
    }
    let world = match (recipe.as_os_str() == "-", given) {
        (true, Some(text)) => Disk::of(recipe, Some(text)),
        (true, None) => world,
        (false, _) => front::open(recipe, false)?,
    };
    Ok(finish(front::check(world, &[]), done))
}

fn finish(checked: Checked, done: usize) -> Report {
    if checked.world.main == "<stdin>" {
        system::say(&checked.texts.text);
    }
    if done > 0 {
        let word = if done == 1 { "fix" } else { "fixes" };
        system::tell(&format!("{done} {word} applied\n"));
    }
    checked.report
}

impl Draft<'_> {
    fn check(&self) -> mmh_check::Checked {
        mmh_check::check(self, &self.disk.main, &[])
    }

    /// Applies one fix after the other; their number.
    fn mend(&mut self) -> usize {
        let mut checked = self.check();
        let mut refused = BTreeSet::new();
        let mut done = 0;
        while done < MOST_FIXES {
            let better = checked.diagnostics.iter().find_map(|found| {
                let name = (found.code, found.message.clone());
                if refused.contains(&name) {
                    return None;
                }
                let tried = self.tried(&checked, found);
                if tried.is_none() && !found.fixes.is_empty() {
                    refused.insert(name);
                }
                tried
            });
            let Some((path, text, next)) = better else {
                break;
            };
            self.texts.insert(path, text);
            checked = next;
            done += 1;
        }
        done
    }

    /// The file and the text that a finding's first fix makes, and what is found then; nothing if that is no better.
    fn tried(
        &self,
        before: &mmh_check::Checked,
        found: &Diagnostic,
    ) -> Option<(String, String, mmh_check::Checked)> {
        let (label, fix) = (found.primary()?, found.fixes.first()?);
        let source = before.sources.get(label.source.0 as usize)?;
        let text = apply(&source.text, &fix.edits).filter(|text| *text != source.text)?;
        if source.library {
            return None;
        }
        let mut texts = self.texts.clone();
        texts.insert(source.path.clone(), text.clone());
        let draft = Draft {
            disk: self.disk,
            texts,
        };
        let after = draft.check();
        let lines = lines_of(&text, &fix.edits, found);
        let mends = mends(&before.diagnostics, found, &after.diagnostics);
        let spoils = spoils(&before.diagnostics, &after.diagnostics, label.source, lines);
        (mends && !spoils).then_some((source.path.clone(), text, after))
    }
}

/// Whether a finding is gone without another in its place. What could not be read may have hidden mistakes that now show, and
/// so may a name that nobody knew: as many then show as it was, at most.
fn mends(before: &[Diagnostic], found: &Diagnostic, after: &[Diagnostic]) -> bool {
    let errors = |all: &[Diagnostic]| all.iter().filter(|d| d.is_error()).count();
    let reading = |all: &[Diagnostic]| {
        let those = all.iter().filter(|d| d.code.family() == "syntax");
        those.count()
    };
    let hides = matches!(found.code, Code::NameUnknown | Code::ShapeAxisUnknown);
    match found.code.family() {
        "syntax" => reading(after) < reading(before),
        _ if hides => !after.contains(found) && errors(after) <= errors(before),
        _ => after.len() < before.len() && errors(after) <= errors(before),
    }
}

/// Whether a change brought an error, on the lines it touched, that nothing mends: then it was not what was meant.
fn spoils(before: &[Diagnostic], after: &[Diagnostic], source: SourceId, lines: Span) -> bool {
    let known = |found: &Diagnostic| {
        let mut same = before.iter().filter(|d| d.code == found.code);
        same.any(|d| d.message == found.message)
    };
    let new = after.iter().filter(|d| d.is_error() && d.fixes.is_empty());
    let mut new = new
        .filter(|found| !known(found))
        .flat_map(|found| &found.labels);
    new.any(|label| {
        label.source == source && label.span.start <= lines.end && lines.start <= label.span.end
    })
}

/// The lines of a text, made by edits, that they and the finding they mend are about; both are places of the text before.
fn lines_of(text: &str, edits: &[Edit], found: &Diagnostic) -> Span {
    let source = found.primary().map(|label| label.source);
    let labels = found
        .labels
        .iter()
        .filter(|label| Some(label.source) == source);
    let starts = edits.iter().map(|edit| edit.span.start);
    let start = starts.chain(labels.map(|label| label.span.start)).min();
    let start = start.unwrap_or(0) as usize;
    let end = edits.iter().map(|edit| edit.span.end).max().unwrap_or(0) as usize;
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let removed: usize = edits.iter().map(|edit| edit.span.len() as usize).sum();
    let end = (end + added).saturating_sub(removed);
    let (before, after) = (
        text.get(..start).unwrap_or(text),
        text.get(end..).unwrap_or(""),
    );
    let first = before.rfind('\n').map_or(0, |at| at + 1);
    let last = after.find('\n').map_or(text.len(), |at| end + at);
    Span::new(first as u32, last.max(first) as u32)
}
