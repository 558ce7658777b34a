//! From the `~` of a recipe to a search space, and from a point of it back to text.

use crate::core::Cx;
use crate::expr::{Scope, as_f64};
use crate::program::{Declared, Program};
use crate::space::{Site, is_bool, sites};
use crate::value::{Eval, Loc, UnitKind, Value};
use mmh_diag::{Code, SourceId, Span};
use mmh_search::{Domain, Point, Setting, Space};
use mmh_syntax::ast::{Expr, Item, SectionKind};
use std::collections::BTreeSet;

/// Where a site of the search space stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The text.
    pub source: SourceId,
    /// The value as it stands, in whose place another is put.
    pub default: Span,
    /// The alternatives of a `choice`; none for ranges.
    pub alternatives: Vec<Alternative>,
    /// What follows a number.
    pub unit: &'static str,
    /// What a number is divided by.
    pub factor: f64,
}

/// One value of a `choice`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// Where it stands.
    pub span: Span,
    /// The word for it that stands nowhere: `bool` draws two.
    pub word: Option<&'static str>,
    /// Whether it is a choice itself.
    pub nested: bool,
}

impl<'p> Cx<'p> {
    /// The space of what training number `run` of the declarations depends on, and where its sites stand.
    pub(crate) fn search_space(&mut self, run: usize) -> Eval<(Space, Vec<Place>)> {
        let program = self.program;
        let all: Vec<Site<'p>> = sites(program);
        let (mut space, mut places) = (Space::default(), Vec::new());
        let mut kept: Vec<&Site<'p>> = Vec::new();
        let used = used(program, run);
        for site in &all {
            if !matters(program, &used, site, run) {
                continue;
            }
            let Some(when) = parent(site, &kept) else {
                continue;
            };
            let (domain, place) = self.domain(site)?;
            let name = unique(&site.name, &space);
            space.sites.push(mmh_search::Site { name, domain, when });
            places.push(place);
            kept.push(site);
        }
        if space.sites.is_empty() {
            let help = "write a space behind a value that the training depends on: `lr = 3e-3 ~ log(3e-4 .. 3e-2)`";
            let span = Span::at(0);
            return self.fail_at(
                Code::SearchNoSpace,
                span,
                "the search has nothing to choose",
                help,
            );
        }
        Ok((space, places))
    }

    fn domain(&mut self, site: &Site<'p>) -> Eval<(Domain, Place)> {
        self.source = site.loc.source;
        let place = Place {
            source: site.loc.source,
            default: site.default.span(),
            alternatives: Vec::new(),
            unit: "",
            factor: 1.0,
        };
        let (name, range) = match site.space.ungrouped() {
            space if is_bool(space) => {
                let alternative = |word| Alternative {
                    span: space.span(),
                    word: Some(word),
                    nested: false,
                };
                return Ok((
                    Domain::Choice(2),
                    Place {
                        alternatives: ["false", "true"].map(alternative).into(),
                        ..place
                    },
                ));
            }
            Expr::Call(call) if call.callee.text() == "choice" => {
                let alternative = |arg: &mmh_syntax::ast::Arg| Alternative {
                    span: arg.value.span(),
                    word: None,
                    nested: matches!(arg.value.ungrouped(), Expr::Choice { .. }),
                };
                let alternatives: Vec<Alternative> = call.args.iter().map(alternative).collect();
                return Ok((
                    Domain::Choice(alternatives.len()),
                    Place {
                        alternatives,
                        ..place
                    },
                ));
            }
            Expr::Call(call) => (call.callee.text(), call.args.first().map(|arg| &arg.value)),
            range @ Expr::Range { .. } => ("uniform".to_owned(), Some(range)),
            _ => return Err(crate::value::Reported),
        };
        let Some(range) = range else {
            return Err(crate::value::Reported);
        };
        let loc = self.at(range.span());
        let Value::Range(low, high) = self.expr(range, &Scope::default())? else {
            return Err(crate::value::Reported);
        };
        let (unit, factor) = self.unit(&low, loc)?;
        let (low, high) = (as_f64(&low), as_f64(&high));
        let domain = match name.as_str() {
            "log" => Domain::Log { low, high },
            "int" => Domain::Whole {
                low: low.ceil() as i64,
                high: high.floor() as i64,
            },
            _ => Domain::Uniform { low, high },
        };
        let finite = low.is_finite() && high.is_finite();
        if !finite || matches!(domain, Domain::Whole { low, high } if low > high) {
            let help = "write two numbers, the smaller one first";
            return self.fail(
                Code::SearchRangeEmpty,
                loc,
                "nothing lies in the range",
                help,
            );
        }
        Ok((
            domain,
            Place {
                unit,
                factor,
                ..place
            },
        ))
    }

    fn unit(&mut self, low: &Value, loc: Loc) -> Eval<(&'static str, f64)> {
        let Value::Quantity(q) = low else {
            return Ok(("", 1.0));
        };
        match q.kind {
            UnitKind::Share => Ok(("%", 0.01)),
            UnitKind::Epochs => Ok((" epochs", 1.0)),
            UnitKind::Steps => Ok((" steps", 1.0)),
            UnitKind::Pixels => Ok(("px", 1.0)),
            UnitKind::Angle => Ok(("rad", 1.0)),
            UnitKind::Seconds => Ok((" s", 1.0)),
            UnitKind::Bytes => Ok((" B", 1.0)),
            UnitKind::Clients | UnitKind::Rounds | UnitKind::Trials => {
                let message = format!("a range of {} cannot be searched", q.kind.word());
                self.fail(
                    Code::CapabilityNotYet,
                    loc,
                    message,
                    "list the values: `choice(…)`",
                )
            }
        }
    }
}

/// The declarations that the training and the search may use, by number: those whose name is a word of either, of one of these, and
/// so on. A word in a remark counts as well, so that none is missed.
fn used(program: &Program, run: usize) -> BTreeSet<usize> {
    let is_search = |(_, declared): &(usize, &Declared)| matches!(declared.item.as_ref(), Item::Section(section) if section.kind == SectionKind::Search);
    let searches = program.declared.iter().enumerate().filter(is_search);
    let mut open: Vec<usize> = searches.map(|(index, _)| index).chain([run]).collect();
    let mut used = BTreeSet::new();
    while let Some(index) = open.pop() {
        let Some(declared) = program.declared.get(index) else {
            continue;
        };
        if program.is_library(declared.source) || !used.insert(index) {
            continue;
        }
        let text = program.text(Loc {
            source: declared.source,
            span: declared.item.span(),
        });
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        open.extend(words.filter_map(|word| program.find(declared.source, word)));
    }
    used
}

/// Whether a site can change the training: not in another training, nor in what comes after.
fn matters(program: &Program, used: &BTreeSet<usize>, site: &Site<'_>, run: usize) -> bool {
    let owner = program.declared.iter().enumerate().find(|(_, declared)| {
        declared.source == site.loc.source && covers(declared.item.span(), site.loc.span)
    });
    match owner {
        Some((index, declared)) => match declared.item.as_ref() {
            Item::Section(section) => match section.kind {
                SectionKind::Train => index == run,
                SectionKind::Data => true,
                SectionKind::Search
                | SectionKind::Evaluate
                | SectionKind::Export
                | SectionKind::Federate => false,
            },
            Item::Use(_) | Item::Seed(_) | Item::Let(_) | Item::Block(_) => used.contains(&index),
        },
        None => false,
    }
}

fn covers(outer: Span, inner: Span) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The site and alternative in which a site stands; nothing where it stands in a value that another site replaces.
#[allow(
    clippy::option_option,
    reason = "open, open for one alternative, and left out"
)]
fn parent(site: &Site<'_>, kept: &[&Site<'_>]) -> Option<Option<(usize, usize)>> {
    let around = kept.iter().enumerate().rev().find(|(_, outer)| {
        outer.loc.source == site.loc.source && covers(outer.loc.span, site.loc.span)
    });
    let Some((index, outer)) = around else {
        return Some(None);
    };
    let Expr::Call(call) = outer.space.ungrouped() else {
        return None;
    };
    let within = call
        .args
        .iter()
        .position(|arg| covers(arg.value.span(), site.loc.span));
    within.map(|alternative| Some((index, alternative)))
}

fn unique(name: &str, space: &Space) -> String {
    let taken = |name: &str| space.sites.iter().any(|site| site.name == name);
    let mut found = name.to_owned();
    let mut number = 2;
    while taken(&found) {
        found = format!("{name} {number}");
        number += 1;
    }
    found
}

/// The texts of a recipe with the settings of a point in place of the values that stood there.
///
/// `texts` are the recipe's sources by [`SourceId`].
pub fn chosen_texts(
    texts: &[String],
    space: &Space,
    places: &[Place],
    point: &Point,
) -> Vec<String> {
    let mut out = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let source = SourceId(number as u32);
        let whole = Span {
            start: 0,
            end: text.len() as u32,
        };
        let renderer = Renderer {
            text,
            source,
            space,
            places,
            point,
        };
        out.push(renderer.render(whole, None));
    }
    out
}

/// A setting as it is written in a recipe.
pub fn setting_text(texts: &[String], place: &Place, setting: Setting) -> String {
    match setting {
        Setting::Real(x) => format!("{:?}{}", x / place.factor, place.unit),
        Setting::Whole(x) => format!("{x}{}", place.unit),
        Setting::Choice(k) => {
            let text = texts
                .get(place.source.0 as usize)
                .map_or("", String::as_str);
            let written = |it: &Alternative| match it.word {
                Some(word) => Some(word),
                None => text.get(it.span.start as usize..it.span.end as usize),
            };
            let alternative = place.alternatives.get(k);
            alternative.and_then(written).unwrap_or_default().to_owned()
        }
    }
}

struct Renderer<'a> {
    text: &'a str,
    source: SourceId,
    space: &'a Space,
    places: &'a [Place],
    point: &'a Point,
}

impl Renderer<'_> {
    /// The text of `span` with the sites directly below `owner` replaced.
    fn render(&self, span: Span, owner: Option<(usize, usize)>) -> String {
        let mut inside: Vec<(usize, &Place)> = (self.places.iter().enumerate())
            .filter(|(index, place)| {
                place.source == self.source
                    && covers(span, place.default)
                    && self
                        .space
                        .sites
                        .get(*index)
                        .is_some_and(|site| site.when == owner)
            })
            .collect();
        inside.sort_by_key(|(_, place)| place.default.start);
        let mut out = String::new();
        let mut at = span.start;
        for (index, place) in inside {
            out.push_str(self.plain(Span {
                start: at,
                end: place.default.start,
            }));
            out.push_str(&self.value(index, place));
            at = place.default.end;
        }
        out.push_str(self.plain(Span {
            start: at,
            end: span.end,
        }));
        out
    }

    fn plain(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    fn value(&self, index: usize, place: &Place) -> String {
        match self.point.get(index).copied().flatten() {
            None => self.plain(place.default).to_owned(),
            Some(Setting::Real(x)) => format!("{:?}{}", x / place.factor, place.unit),
            Some(Setting::Whole(x)) => format!("{x}{}", place.unit),
            Some(Setting::Choice(k)) => match place.alternatives.get(k) {
                None => self.plain(place.default).to_owned(),
                Some(Alternative {
                    word: Some(word), ..
                }) => (*word).to_owned(),
                Some(alternative) => {
                    let text = self.render(alternative.span, Some((index, k)));
                    if alternative.nested {
                        format!("({text})")
                    } else {
                        text
                    }
                }
            },
        }
    }
}
