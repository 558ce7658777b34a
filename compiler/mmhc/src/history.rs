//! The runs that a run comes from, as far as the store has them, and what changed from each to the next.

use crate::diff::lines_apart;
use crate::outcome::Failure;
use crate::{store, system};
use mmh_ir::Plan;
use mmh_runtime::audit::Examined;
use mmh_runtime::audit::compare::{Difference, settings};
use mmh_runtime::journal::{Event, Line, Parent};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;
use std::rc::Rc;

/// Runs that are followed at most.
const MOST_RUNS: usize = 100;
/// Settings that are shown of each.
const MOST_SETTINGS: usize = 6;

/// A run that another one comes from.
pub(crate) struct Ancestor {
    /// How.
    link: Link,
    /// Head of the run that comes from it.
    of: String,
    head: String,
    model_hash: Option<String>,
    tags: Vec<String>,
    /// What its child has otherwise; none where the store does not have it.
    change: Option<Change>,
}

/// How a run comes from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// It took its place in its folder.
    Place,
    /// A training begins with its weights.
    Weights,
}

/// From a run to the one that comes from it.
struct Change {
    same_recipe: bool,
    same_data: bool,
    lines: Vec<String>,
    settings: Vec<Difference>,
}

/// What goes into a run.
struct Inputs {
    recipe_hash: String,
    data_hash: String,
    text: String,
    plan: Option<Plan>,
}

impl Inputs {
    fn read(folder: &Path, recipe_hash: &str, data_hash: &str) -> Self {
        let text = |name: &str| system::read_text(&folder.join(name)).unwrap_or_default();
        Self {
            recipe_hash: recipe_hash.to_owned(),
            data_hash: data_hash.to_owned(),
            text: text("recipe.mmh"),
            plan: Plan::from_text(&text("plan")).ok(),
        }
    }

    fn change(&self, child: &Self) -> Change {
        Change {
            same_recipe: self.recipe_hash == child.recipe_hash,
            same_data: self.data_hash == child.data_hash,
            lines: lines_apart(&self.text, &child.text),
            settings: match (&self.plan, &child.plan) {
                (Some(a), Some(b)) => settings(a, b),
                _ => Vec::new(),
            },
        }
    }
}

/// A run whose ancestors are to be followed.
struct Open {
    link: Link,
    of: String,
    parent: Parent,
    child: Rc<Inputs>,
}

/// The parents of a run by its first line: the run it took the place of, then those whose weights it begins with.
fn parents(start: Option<&Event>) -> Vec<(Link, Parent)> {
    let Some(Event::Start { parent, bases, .. }) = start else {
        return Vec::new();
    };
    let place = parent.iter().map(|parent| (Link::Place, parent.clone()));
    let runs = bases.iter().filter_map(|base| base.run.clone());
    place.chain(runs.map(|run| (Link::Weights, run))).collect()
}

/// The first entry of a journal.
fn first_entry(folder: &Path) -> Option<Event> {
    let text = system::read_text(&folder.join("journal")).ok()?;
    let line: Line = serde_json::from_str(text.lines().next()?).ok()?;
    Some(line.entry)
}

/// The runs that `found` comes from, the nearest first.
pub(crate) fn of(found: &Examined, json: bool) -> Result<Vec<Ancestor>, Failure> {
    let Some(start) = found.start() else {
        return Ok(Vec::new());
    };
    let own = Inputs::read(&found.folder, start.recipe_hash, start.data_hash);
    let mut open: VecDeque<Open> = VecDeque::new();
    let follow = |open: &mut VecDeque<Open>, of: &str, entry: Option<&Event>, child: Inputs| {
        let child = Rc::new(child);
        open.extend(parents(entry).into_iter().map(|(link, parent)| Open {
            link,
            of: of.to_owned(),
            parent,
            child: Rc::clone(&child),
        }));
    };
    let first = found.lines.first().map(|line| &line.entry);
    follow(&mut open, found.head(), first, own);
    let mut ancestors: Vec<Ancestor> = Vec::new();
    while let Some(next) = open.pop_front() {
        if ancestors.len() >= MOST_RUNS {
            break;
        }
        let is_known = ancestors.iter().any(|other| other.head == next.parent.head);
        let mut ancestor = Ancestor {
            link: next.link,
            of: next.of,
            head: next.parent.head,
            model_hash: next.parent.model_hash,
            tags: Vec::new(),
            change: None,
        };
        if let Some((run, folder)) = store::look_into(&ancestor.head, json)? {
            let facts = &run.manifest.facts;
            let inputs = Inputs::read(&folder, &facts.recipe_hash, &facts.data_hash);
            ancestor.tags = run.tags.clone();
            ancestor.change = Some(inputs.change(&next.child));
            // A run that is reached by two ways is shown twice and followed once.
            if !is_known {
                let entry = first_entry(&folder);
                follow(&mut open, &ancestor.head, entry.as_ref(), inputs);
            }
        }
        ancestors.push(ancestor);
    }
    Ok(ancestors)
}

/// A paragraph for people; nothing where there is no ancestor.
pub(crate) fn words(ancestors: &[Ancestor]) -> String {
    let mut out = String::new();
    for ancestor in ancestors {
        let short = |hash: &str| {
            let digits = hash.strip_prefix("blake3:").unwrap_or(hash);
            shown(&digits.chars().take(16).collect::<String>())
        };
        let model = ancestor
            .model_hash
            .as_deref()
            .map_or("none".to_owned(), short);
        let tags = match ancestor.tags.as_slice() {
            [] => String::new(),
            tags => format!("  ({})", tags.join(", ")),
        };
        let (of, head) = (short(&ancestor.of), short(&ancestor.head));
        let link = match ancestor.link {
            Link::Place => "takes the place of",
            Link::Weights => "begins with the weights of",
        };
        let _ = writeln!(out, "{of} {link} {head}  model {model}{tags}");
        match &ancestor.change {
            None => out.push_str("     not in the store: what changed from it is not known\n"),
            Some(change) => out.push_str(&change_words(change)),
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn change_words(change: &Change) -> String {
    let mut out = String::new();
    if change.same_recipe && change.same_data {
        out.push_str("     the same recipe and data\n");
    }
    if !change.same_data {
        out.push_str("     other data\n");
    }
    if !change.lines.is_empty() {
        let added = change
            .lines
            .iter()
            .filter(|line| line.starts_with('+'))
            .count();
        let taken = change
            .lines
            .iter()
            .filter(|line| line.starts_with('-'))
            .count();
        let _ = writeln!(out, "     recipe: +{added} −{taken} lines");
    }
    for it in change.settings.iter().take(MOST_SETTINGS) {
        let brief = |value: &Value| value.to_string().chars().take(60).collect::<String>();
        let _ = writeln!(
            out,
            "     {}  {} → {}",
            shown(&it.path),
            shown(&brief(&it.a)),
            shown(&brief(&it.b))
        );
    }
    if change.settings.len() > MOST_SETTINGS {
        let more = change.settings.len() - MOST_SETTINGS;
        let _ = writeln!(out, "     and {more} settings more; `mmhc diff` shows all");
    }
    out
}

/// The same as plain data.
pub(crate) fn document(ancestors: &[Ancestor]) -> Value {
    let change = |change: &Change| {
        let settings = change.settings.iter();
        let settings = settings.map(|it| json!({ "path": it.path, "a": it.a, "b": it.b }));
        json!({
            "same_recipe": change.same_recipe,
            "same_data": change.same_data,
            "recipe": change.lines,
            "settings": settings.collect::<Vec<_>>(),
        })
    };
    let ancestor = |it: &Ancestor| {
        json!({
            "of": it.of,
            "link": match it.link {
                Link::Place => "place",
                Link::Weights => "weights",
            },
            "head": it.head, "model_hash": it.model_hash, "tags": it.tags,
            "in_store": it.change.is_some(), "change": it.change.as_ref().map(change),
        })
    };
    Value::Array(ancestors.iter().map(ancestor).collect())
}

/// Text out of a folder that may be anybody's, fit for a terminal.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
