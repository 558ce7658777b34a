//! Checking again after an edit: only what the edit can have changed.
//!
//! A declaration is checked by its own text and by what it names, and by nothing else. So whatever neither changed nor names,
//! through any number of others, a declaration that did, has no mistake now if it had none before. [`Earlier`] is what a whole
//! check leaves for that: the text of every declaration, and which ones a finding pointed at; those are always checked again,
//! together with all that they name and all that names them. Naming is read off the words of a text, which is more than
//! enough: a word may mean something else, but nothing is meant without its word.
//!
//! What editors show beside the text is not made here, and neither is a recipe.

use crate::core::MOST_SPENT;
use crate::program::{self, Declared, Program};
use crate::report::MOST_DIAGNOSTICS;
use crate::value::Loc;
use crate::world::World;
use crate::{Checked, Way, elaborate};
use mmh_diag::{Code, Diagnostic};
use mmh_syntax::ast::{Item, SectionKind};
use std::collections::{BTreeMap, BTreeSet};

/// What a whole check found out, for the next one.
#[derive(Debug)]
pub struct Earlier {
    /// By file and text: the declarations, as often as they are there.
    items: BTreeMap<(String, String), Known>,
    /// There was an error, so that nothing that comes last was looked at.
    failed: bool,
}

#[derive(Debug, Default)]
struct Known {
    places: Vec<Loc>,
    name: String,
    /// A finding points at it.
    marked: bool,
    /// What it says reaches further than its name.
    wide: bool,
}

/// Steps of an earlier check and of a later one that leave no doubt that the two are no more than one check may take.
const MOST_STEPS: u64 = MOST_SPENT / 2;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct Reach {
    declared: BTreeSet<usize>,
    /// The choices of every training are still to be tried.
    pub(crate) every_choice: bool,
}

impl Reach {
    pub(crate) fn has(&self, index: usize) -> bool {
        self.declared.contains(&index)
    }
}

/// Checks the recipe at `main` whole, and says what the next check may build on; nothing if it cannot be built on.
pub fn check_first(world: &dyn World, main: &str) -> (Checked, Option<Earlier>) {
    let (program, found) = program::load(world, main, &[]);
    let readable = !found.iter().any(Diagnostic::is_error);
    let earlier = readable.then(|| Earlier::of(&program));
    let way = Way::Whole { every_choice: true };
    let (checked, spent) = elaborate(world, program, found, &way);
    let found = &checked.diagnostics;
    let limited = |d: &Diagnostic| d.code == Code::LimitTooLarge;
    let built = found.len() < MOST_DIAGNOSTICS && !found.iter().any(limited) && spent <= MOST_STEPS;
    let earlier = earlier.filter(|_| built).map(|earlier| earlier.with(found));
    (checked, earlier)
}

/// The findings that a whole check would have now, at the price of what changed; nothing if only a whole check can tell.
pub fn check_again(world: &dyn World, main: &str, earlier: &Earlier) -> Option<Checked> {
    let (program, found) = program::load(world, main, &[]);
    if found.iter().any(|d| d.code == Code::LimitTooLarge) {
        return None;
    }
    let reach = earlier.reach(&program)?;
    let (checked, spent) = elaborate(world, program, found, &Way::Again(reach));
    let built = checked.diagnostics.len() < MOST_DIAGNOSTICS && spent <= MOST_STEPS;
    built.then_some(checked)
}

impl Earlier {
    fn of(program: &Program) -> Self {
        let mut items: BTreeMap<(String, String), Known> = BTreeMap::new();
        for (_, declared, path, text) in own(program) {
            let known = items.entry((path.to_owned(), text.to_owned())).or_default();
            known.name = name(&declared.item).to_owned();
            known.wide = is_wide(&declared.item);
            known.places.push(Loc {
                source: declared.source,
                span: declared.item.span(),
            });
        }
        Self {
            items,
            failed: false,
        }
    }

    /// The same, with what was found.
    fn with(mut self, found: &[Diagnostic]) -> Self {
        self.failed = found.iter().any(Diagnostic::is_error);
        for label in found.iter().flat_map(|diagnostic| &diagnostic.labels) {
            for known in self.items.values_mut() {
                known.marked |= known.places.iter().any(|place| {
                    place.source == label.source
                        && place.span.start <= label.span.end
                        && label.span.start <= place.span.end
                });
            }
        }
        self
    }

    /// What an edit reaches; nothing if that may be anything.
    fn reach(&self, program: &Program) -> Option<Reach> {
        let mut left: BTreeMap<(&str, &str), (usize, &Known)> = self
            .items
            .iter()
            .map(|((path, text), known)| {
                ((path.as_str(), text.as_str()), (known.places.len(), known))
            })
            .collect();
        let (mut declared, mut marked) = (BTreeSet::new(), BTreeSet::new());
        for (index, it, path, text) in own(program) {
            match left.get_mut(&(path, text)) {
                Some((count, known)) if *count > 0 => {
                    *count -= 1;
                    // A search looks at every choice of the recipe, whoever names it.
                    if known.marked || is_search(&it.item) {
                        marked.insert(index);
                    }
                }
                _ if is_wide(&it.item) => return None,
                _ => {
                    declared.insert(index);
                    if is_search(&it.item) {
                        marked.insert(index);
                    }
                }
            }
        }
        let gone = left.values().filter(|(count, _)| *count > 0);
        let gone: Vec<&Known> = gone.map(|(_, known)| *known).collect();
        if gone.iter().any(|known| known.wide) {
            return None;
        }
        let lost: BTreeSet<&str> = gone.iter().map(|known| known.name.as_str()).collect();
        let words = Words::of(program, &lost);
        words.sink(&mut marked);
        declared.append(&mut marked);
        words.spread(&mut declared, lost);
        Some(Reach {
            declared,
            every_choice: self.failed,
        })
    }
}

/// A declaration that says more than what its name stands for.
fn is_wide(item: &Item) -> bool {
    matches!(item, Item::Use(_) | Item::Seed(_))
}

fn is_search(item: &Item) -> bool {
    matches!(item, Item::Section(section) if section.kind == SectionKind::Search)
}

fn name(item: &Item) -> &str {
    item.name().map_or("", |name| name.text.as_str())
}

/// The declarations that are not the library's, each with its number, its file and its text.
fn own(program: &Program) -> impl Iterator<Item = (usize, &Declared, &str, &str)> {
    let all = program.declared.iter().enumerate();
    all.filter_map(|(index, declared)| {
        let source = program.sources.get(declared.source.0 as usize)?;
        let text = declared.item.span().text(&source.text);
        (!source.library).then_some((index, declared, source.path.as_str(), text))
    })
}

/// Who names whom.
struct Words<'p> {
    /// By number: a declaration's name, and the names in its text.
    items: Vec<(usize, &'p str, BTreeSet<&'p str>)>,
}

impl<'p> Words<'p> {
    fn of(program: &'p Program, lost: &BTreeSet<&'p str>) -> Self {
        let mut names = lost.clone();
        names.extend(own(program).map(|(_, declared, ..)| name(&declared.item)));
        let items = own(program).map(|(index, declared, _, text)| {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            let words = words.filter(|word| names.contains(word));
            (index, name(&declared.item), words.collect())
        });
        Self {
            items: items.collect(),
        }
    }

    /// Adds all that these name, and so on.
    fn sink(&self, found: &mut BTreeSet<usize>) {
        let named = |found: &BTreeSet<usize>| {
            let those = self.items.iter().filter(|item| found.contains(&item.0));
            those
                .flat_map(|item| item.2.iter().copied())
                .collect::<BTreeSet<_>>()
        };
        let mut before = 0;
        while found.len() > before {
            before = found.len();
            let names = named(found);
            let more = self.items.iter().filter(|item| names.contains(item.1));
            found.extend(more.map(|item| item.0));
        }
    }

    /// Adds all that names one of these or one of `names`, and so on.
    fn spread(&self, found: &mut BTreeSet<usize>, mut names: BTreeSet<&'p str>) {
        names.extend(
            self.items
                .iter()
                .filter(|item| found.contains(&item.0))
                .map(|item| item.1),
        );
        let mut before = usize::MAX;
        while names.len() != before {
            before = names.len();
            for (index, own, words) in &self.items {
                if !found.contains(index) && !words.is_disjoint(&names) {
                    found.insert(*index);
                    names.insert(own);
                }
            }
        }
    }
}
