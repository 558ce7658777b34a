//! What stays certain of a recipe that cannot be read whole.
//!
//! What a torn declaration means is a guess, so nothing is told of it beyond what could not be read, nothing that uses it is
//! told on that account, and a name that may have been declared where the text is torn is not called unknown. Everything
//! else is checked as usual, so that one bracket left open hides no mistake in another place.

use crate::program::Program;
use crate::value::Loc;
use mmh_diag::{Code, Diagnostic, SourceId, Span};
use mmh_syntax::ast::{Item, Section};
use std::collections::{BTreeMap, BTreeSet};

/// The torn declarations of a recipe and the names that may be lost with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken {
    torn: BTreeMap<usize, Torn>,
    /// Declarations that a name may mean or not: torn ones, and those of one name.
    unsure: BTreeSet<usize>,
    /// By file, the letters where a declaration may have stood, without what is between words: a sign too many splits a
    /// name, a blank too few joins it with the next. [`LIST`] stands where a list is given to a name.
    lost: BTreeMap<SourceId, String>,
    /// Files with a declaration that has no name, or a reserved word in its place: any name may have been that.
    nameless: BTreeSet<SourceId>,
    adrift: bool,
}

/// More letters than these are not searched for names: any name may stand in them.
const MOST_LOST: usize = 16 << 10;

/// Words that a name follows.
const DECLARING: [&str; 4] = ["data", "model", "block", "train"];

/// In what is lost: `= [`, behind the name of what may be a shape.
const LIST: char = '\u{1}';

#[derive(Clone, Debug)]
struct Torn {
    place: Loc,
    /// The settings that could not be read, if the others could.
    parts: Option<Vec<Span>>,
}

impl Broken {
    /// Notes what the mistakes of reading one file tear. `items` are its declarations, in the order of the text, numbered
    /// from `first`.
    pub(crate) fn read(
        &mut self,
        (source, text): (SourceId, &str),
        (first, items): (usize, &[Item]),
        found: &[Diagnostic],
    ) {
        let mut any = false;
        for diagnostic in found.iter().filter(|d| d.is_error()) {
            // The edition says nothing about the declarations.
            if let Some(label) = diagnostic.primary()
                && diagnostic.code != Code::SyntaxEdition
            {
                any = true;
                let at = label.span.start;
                if DECLARING.contains(&label.span.text(text)) {
                    self.nameless.insert(source);
                }
                let torn = torn_by(text, items, at);
                self.adrift |= torn.is_none_or(|(_, item)| !inside(item, at));
                if let Some((nth, item)) = torn {
                    let part = match item {
                        Item::Section(section)
                            if diagnostic.code != Code::SyntaxUnclosed && inside(item, at) =>
                        {
                            Some(part(section, text, at))
                        }
                        _ => None,
                    };
                    self.tear(first + nth, source, item, part);
                    self.tear_above((source, text), (first, items), nth);
                }
            }
        }
        if any {
            self.lose_around(source, text, first, items);
        }
    }

    /// Notes that a part of a declaration, or all of it, could not be read.
    fn tear(&mut self, index: usize, source: SourceId, item: &Item, part: Option<Span>) {
        let span = item.span();
        self.unsure.insert(index);
        let place = Loc { source, span };
        let parts = Some(Vec::new());
        let torn = self.torn.entry(index).or_insert(Torn { place, parts });
        match (part, &mut torn.parts) {
            (Some(part), Some(parts)) => parts.push(part),
            _ => torn.parts = None,
        }
    }

    /// A line that is indented was to go on with what stands above.
    fn tear_above(
        &mut self,
        (source, text): (SourceId, &str),
        (first, items): (usize, &[Item]),
        mut nth: usize,
    ) {
        let indented = |item: &Item| {
            let before = text.get(..item.span().start as usize).unwrap_or("");
            !before.is_empty() && !before.ends_with('\n')
        };
        while nth > 0 && items.get(nth).is_some_and(indented) {
            nth -= 1;
            if let Some(item) = items.get(nth) {
                self.tear(first + nth, source, item, None);
            }
        }
    }

    /// Keeps all that is no whole declaration: there may stand the name of one.
    fn lose_around(&mut self, source: SourceId, text: &str, first: usize, items: &[Item]) {
        let mut end = 0;
        for (nth, item) in items.iter().enumerate() {
            let span = item.span();
            self.lose(source, Span::new(end, span.start).text(text));
            match self.is_torn(first + nth) || matches!(item, Item::Use(_)) {
                true => self.lose(source, span.text(text)),
                false => self.lose(source, " "),
            }
            end = span.end;
        }
        self.lose(source, text.get(end as usize..).unwrap_or(""));
    }

    /// Notes that a file may declare what is named in a text.
    pub(crate) fn lose(&mut self, source: SourceId, text: &str) {
        let lost = self.lost.entry(source).or_default();
        if lost.len() <= MOST_LOST {
            let end = text == " ";
            let mut gives = false;
            for letter in text.chars() {
                if gives && letter == '[' {
                    lost.push(LIST);
                }
                gives = letter == '=' || gives && letter.is_whitespace();
                if end || letter.is_alphanumeric() || letter == '_' {
                    lost.push(letter);
                }
            }
        }
    }

    /// Whether a declaration, or a part of it, could not be read.
    pub(crate) fn is_torn(&self, index: usize) -> bool {
        self.torn.contains_key(&index)
    }

    /// Whether something stands outside of every declaration.
    pub(crate) fn is_adrift(&self) -> bool {
        self.adrift
    }

    /// Notes that a declaration shares its name with another.
    pub(crate) fn doubt(&mut self, index: usize) {
        self.unsure.insert(index);
    }

    /// Whether a declaration is not to be built on.
    pub(crate) fn is_unsure(&self, index: usize) -> bool {
        self.unsure.contains(&index)
    }

    /// Whether a file may declare a name where it could not be read.
    pub(crate) fn may_declare(&self, source: SourceId, name: &str) -> bool {
        let lost = self.lost.get(&source);
        self.nameless.contains(&source)
            || lost.is_some_and(|lost| lost.len() > MOST_LOST || lost.contains(name))
    }

    /// Whether a file may declare a name as a shape where it could not be read.
    pub(crate) fn may_be_shape(&self, source: SourceId, name: &str) -> bool {
        let lost = self.lost.get(&source);
        let declares = |lost: &String| {
            let mut found = lost.match_indices(name);
            found.any(|(at, _)| {
                lost.get(at + name.len()..)
                    .is_some_and(|r| r.starts_with(LIST))
            })
        };
        lost.is_some_and(|lost| lost.len() > MOST_LOST || declares(lost))
    }

    /// Whether everything there is has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.torn.is_empty() && self.lost.is_empty()
    }

    /// Whether a mistake is found in what could not be read.
    pub(crate) fn hides(&self, diagnostic: &Diagnostic) -> bool {
        let tears = |torn: &Torn| {
            let mut labels = diagnostic.labels.iter();
            labels.any(|label| {
                let here =
                    label.source == torn.place.source && torn.place.span.touches(label.span.start);
                here && match &torn.parts {
                    None => true,
                    Some(_) if !is_closed(diagnostic.code) => true,
                    Some(parts) => parts.iter().any(|part| overlap(*part, label.span)),
                }
            })
        };
        self.torn.values().any(tears)
    }
}

/// Mistakes of one setting that the others of its section have no part in.
fn is_closed(code: Code) -> bool {
    matches!(
        code,
        Code::SettingUnknown
            | Code::UnitMissing
            | Code::UnitWrong
            | Code::UnitMixed
            | Code::SearchLogFromZero
            | Code::SearchRangeEmpty
    )
}

/// The declaration that a mistake at a place tears: the one around it, or the one it was to go on with.
fn torn_by<'i>(text: &str, items: &'i [Item], at: u32) -> Option<(usize, &'i Item)> {
    let nth = items.partition_point(|item| item.span().start <= at);
    let nth = nth.checked_sub(1)?;
    let item = items.get(nth)?;
    let end = item.span().end;
    let between = Span::new(end, at).text(text);
    if at <= end || between.matches('\n').count() < 2 {
        return Some((nth, item));
    }
    let line = between.rfind('\n').map_or(end, |n| end + n as u32 + 1);
    let goes_on = text
        .get(line as usize..)?
        .starts_with([' ', '\t', ')', ']', '}']);
    goes_on.then_some((nth, item))
}

fn inside(item: &Item, at: u32) -> bool {
    item.span().touches(at)
}

/// The setting at a place, with all of its line and the lines beside it: a line too many splits a word.
fn part(section: &Section, text: &str, at: u32) -> Span {
    let (before, after) = text.split_at_checked(at as usize).unwrap_or((text, ""));
    let start = before.rmatch_indices('\n').nth(1).map_or(0, |(n, _)| n + 1);
    let end = after.match_indices('\n').nth(1);
    let end = end.map_or(text.len(), |(n, _)| at as usize + n);
    let lines = Span::new(start as u32, end as u32);
    let mut fields = section.fields.iter().map(|field| field.span);
    let field = fields.find(|span| span.touches(at));
    field.map_or(lines, |field| field.to(lines))
}

fn overlap(a: Span, b: Span) -> bool {
    a.start <= b.end && b.start <= a.end
}

impl Program {
    /// Whether a name of a file stands for something that could not be read, so that nothing is to be said about it.
    pub(crate) fn is_lost(&self, source: SourceId, name: &str) -> bool {
        match self.find(source, name) {
            Some(index) => self.broken.is_unsure(index),
            None => self.broken.may_declare(source, name),
        }
    }
}
