//! `default ~ space`: what a search may draw from, and whether every choice keeps the shapes.

use crate::core::Cx;
use crate::expr::{Scope, as_f64};
use crate::program::{Program, walk_item};
use crate::section::Choice;
use crate::value::{Eval, Loc, Value};
use mmh_diag::{Code, Diagnostic, space_elsewhere};
use mmh_syntax::ast::{Expr, Item, SectionKind};

/// One `~` of the recipe.
#[derive(Clone, Debug)]
pub(crate) struct Site<'p> {
    pub(crate) loc: Loc,
    pub(crate) name: String,
    /// The section and setting whose value it is, whole.
    pub(crate) field: Option<(SectionKind, &'p str)>,
    pub(crate) default: &'p Expr,
    pub(crate) space: &'p Expr,
    pub(crate) space_loc: Loc,
}

/// A value other than the default.
pub(crate) enum Alternative<'p> {
    Written(&'p Expr),
    Number(i128),
    Truth(bool),
}

pub(crate) const SPACES: &[Choice] = &[
    ("choice", &[]),
    ("uniform", &["range"]),
    ("log", &["range"]),
    ("int", &["range"]),
    ("bool", &[]),
];

const MOST_WHOLE: i128 = 64;

/// Every `~` of the user's files.
pub(crate) fn sites(program: &Program) -> Vec<Site<'_>> {
    let mut found = Vec::new();
    for declared in &program.declared {
        if program.is_library(declared.source) {
            continue;
        }
        let owner = declared
            .item
            .name()
            .map_or(String::new(), |n| n.text.clone());
        let is_let = matches!(*declared.item, Item::Let(_));
        let mut names: Vec<(mmh_diag::Span, String)> = Vec::new();
        if !is_let {
            name_places(&declared.item, &mut names);
        }
        walk_item(&declared.item, &mut |e| {
            if let Expr::Choice {
                default,
                space,
                span,
                ..
            } = e
            {
                let inner = names
                    .iter()
                    .rev()
                    .find(|(s, _)| s.start <= span.start && span.end <= s.end);
                let name = match (is_let, inner) {
                    (true, _) | (false, None) => owner.clone(),
                    (false, Some((_, n))) => n.clone(),
                };
                found.push(Site {
                    loc: Loc {
                        source: declared.source,
                        span: *span,
                    },
                    name,
                    field: field_of(&declared.item, *span),
                    default,
                    space,
                    space_loc: Loc {
                        source: declared.source,
                        span: space.span(),
                    },
                });
            }
        });
    }
    found
}

fn field_of(item: &Item, span: mmh_diag::Span) -> Option<(SectionKind, &str)> {
    let Item::Section(section) = item else {
        return None;
    };
    let mut fields = section.fields.iter();
    let field = fields.find(|field| field.value.ungrouped().span() == span)?;
    Some((section.kind, &field.name.text))
}

// The settings and arguments of a declaration, outer before inner.
fn name_places(item: &Item, names: &mut Vec<(mmh_diag::Span, String)>) {
    if let Item::Section(section) = item {
        for field in &section.fields {
            names.push((field.span, field.name.text.clone()));
        }
    }
    walk_item(item, &mut |e| {
        if let Expr::Call(call) = e {
            let callee = call.callee.text();
            // An alternative has the name of what it is for.
            let space = SPACES.iter().any(|(name, _)| *name == callee);
            for arg in call.args.iter().filter(|_| !space) {
                let name = arg
                    .name
                    .as_ref()
                    .map_or_else(|| call.callee.text(), |n| n.text.clone());
                names.push((arg.span, name));
            }
        }
    });
}

/// Whether a space is `bool`, which draws `false` or `true`.
pub(crate) fn is_bool(space: &Expr) -> bool {
    match space.ungrouped() {
        Expr::Path(path) => path.text() == "bool",
        Expr::Call(call) => call.callee.text() == "bool" && call.args.is_empty(),
        _ => false,
    }
}

/// The values of a space that can be listed, as alternatives `0..n`.
pub(crate) fn alternatives(space: &Expr) -> Option<usize> {
    match space.ungrouped() {
        space if is_bool(space) => Some(2),
        Expr::Call(call) => match call.callee.text().as_str() {
            "choice" => Some(call.args.len()),
            "int" => whole_range(call.args.first().map(|a| &a.value)?)
                .map(|(lo, hi)| (hi - lo + 1) as usize),
            _ => None,
        },
        range @ Expr::Range { .. } => whole_range(range).map(|(lo, hi)| (hi - lo + 1) as usize),
        _ => None,
    }
}

fn whole_range(range: &Expr) -> Option<(i128, i128)> {
    let Expr::Range { lo, hi, .. } = range.ungrouped() else {
        return None;
    };
    let number = |e: &Expr| match e.ungrouped() {
        Expr::Number { text, .. } => text.parse::<i128>().ok(),
        _ => None,
    };
    let (lo, hi) = (number(lo)?, number(hi)?);
    (lo <= hi && hi - lo < MOST_WHOLE).then_some((lo, hi))
}

/// Alternative `nth` of a space.
pub(crate) fn alternative(space: &Expr, nth: usize) -> Option<Alternative<'_>> {
    match space.ungrouped() {
        space if is_bool(space) => Some(Alternative::Truth(nth == 1)),
        Expr::Call(call) if call.callee.text() == "choice" => {
            call.args.get(nth).map(|a| Alternative::Written(&a.value))
        }
        Expr::Call(call) => whole_range(call.args.first().map(|a| &a.value)?)
            .map(|(lo, _)| Alternative::Number(lo + nth as i128)),
        range => whole_range(range).map(|(lo, _)| Alternative::Number(lo + nth as i128)),
    }
}

impl<'p> Cx<'p> {
    /// What stands for a choice: the value ahead of `~`, or the alternative that is tried.
    pub(crate) fn settled(&self, expr: &'p Expr) -> &'p Expr {
        let Expr::Choice {
            default,
            space,
            span,
            ..
        } = expr.ungrouped()
        else {
            return expr;
        };
        let nth = self.choices.get(&self.at(*span)).copied();
        match nth.and_then(|nth| alternative(space, nth)) {
            Some(Alternative::Written(chosen)) => self.settled(chosen),
            Some(Alternative::Number(_) | Alternative::Truth(_)) | None => self.settled(default),
        }
    }

    /// A space by a name that it has elsewhere.
    fn space_elsewhere(&mut self, space: &Expr) -> Eval<()> {
        let name = match space {
            Expr::Call(call) => &call.callee,
            Expr::Path(path) => path,
            _ => return Ok(()),
        };
        let word = name.names.last().map_or("", |name| name.text.as_str());
        let Some(known) = space_elsewhere(word) else {
            return Ok(());
        };
        let at = self.at(name.span);
        let message = format!("`{}` is no space to draw from", self.text(at));
        let mut diagnostic =
            Diagnostic::error(Code::NameUnknown, message).at(at.source, at.span, "");
        if let (Some(here), Expr::Call(_)) = (known.here, space) {
            diagnostic = diagnostic.fix(format!("write `{here}`"), at.span, here);
        }
        Err(self.report(diagnostic.help(known.help)))
    }

    /// Checks a space on its own.
    pub(crate) fn check_space(&mut self, site: &Site<'p>) -> Eval<()> {
        self.source = site.loc.source;
        self.space_elsewhere(site.space.ungrouped())?;
        let scope = Scope::default();
        let (name, range) = match site.space.ungrouped() {
            Expr::Range { .. } => ("uniform", site.space),
            Expr::Missing(_) => return Ok(()),
            space if is_bool(space) => {
                return match self.expr(site.default, &scope)? {
                    Value::Bool(_) => Ok(()),
                    other => self.fail(
                        Code::TypeMismatch,
                        site.loc,
                        format!(
                            "`bool` draws `true` or `false`, and {} stands here",
                            other.kind()
                        ),
                        "write `true ~ bool`",
                    ),
                };
            }
            Expr::Call(call) if call.callee.text() == "choice" => {
                if call.args.is_empty() {
                    return self.fail(
                        Code::SearchRangeEmpty,
                        site.space_loc,
                        "`choice` has nothing to choose from",
                        "list the values: `choice(16, 24, 32)`",
                    );
                }
                for arg in &call.args {
                    if let Some(given) = &arg.name {
                        self.unknown_setting("choice", given, &[]);
                    }
                    let listed = site.field.map_or(&[][..], |(kind, setting)| {
                        crate::editor::setting_choices(kind, setting)
                    });
                    match listed.is_empty() {
                        true => self.expr(&arg.value, &scope).map(|_| ())?,
                        false => self
                            .chosen(&arg.value, listed, "value of this setting", &scope)
                            .map(|_| ())?,
                    }
                }
                return Ok(());
            }
            Expr::Path(path) if SPACES.iter().any(|(name, _)| path.text() == *name) => {
                let name = path.text();
                let help = match name.as_str() {
                    "choice" => "list the values: `choice(16, 24, 32)`".to_owned(),
                    _ => format!("write `{name}(1 .. 10)`"),
                };
                let message = format!("`{name}` says nothing to draw from");
                return self.fail(Code::SettingMissing, site.space_loc, message, help);
            }
            Expr::Call(call) => {
                let (which, bound) =
                    self.chosen(site.space, SPACES, "space to draw from", &scope)?;
                let _ = bound;
                match (SPACES.get(which), call.args.first()) {
                    (Some((name, _)), Some(arg)) => (*name, &arg.value),
                    (Some((name, _)), None) => {
                        return self.fail(
                            Code::SettingMissing,
                            site.space_loc,
                            format!("`{name}` needs a range"),
                            format!("write `{name}(1 .. 10)`"),
                        );
                    }
                    (None, _) => return Ok(()),
                }
            }
            _ => {
                let text = self.text(site.space_loc);
                return self.fail(
                    Code::TypeMismatch,
                    site.space_loc,
                    format!("`{text}` is no space to draw from"),
                    "write `choice(…)`, `uniform(a .. b)`, `log(a .. b)`, `int(a .. b)` or `bool`",
                );
            }
        };
        let loc = self.at(range.span());
        match self.expr(range, &scope)? {
            Value::Range(lo, hi) => {
                let (a, b) = (as_f64(&lo), as_f64(&hi));
                if name == "log" && a <= 0.0 {
                    return self.fail(
                        Code::SearchLogFromZero,
                        loc,
                        "a `log` range cannot start at zero",
                        "start at a small number, such as `1e-4`, or draw with `uniform`",
                    );
                }
                if a > b {
                    return self.fail(
                        Code::SearchRangeEmpty,
                        loc,
                        "the range ends before it starts",
                        "write the smaller number first",
                    );
                }
                Ok(())
            }
            other => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`{name}` draws from a range, not {}", other.kind()),
                format!("write `{name}(1 .. 10)`"),
            ),
        }
    }
}
