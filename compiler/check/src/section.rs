//! What all sections share: closed settings, calls out of a closed list, numbers with units.

use crate::call::{Binding, Bound, advice, nearest};
use crate::core::Cx;
use crate::expr::Scope;
use crate::value::{Eval, Loc, Reported, UnitKind, Value};
use mmh_diag::{Code, Diagnostic, name_elsewhere, suggest};
use mmh_syntax::ast::{Expr, Field, Section};
use std::collections::{BTreeMap, BTreeSet};

/// A name that may be called in one place, and its settings.
pub(crate) type Choice = (&'static str, &'static [&'static str]);

/// The settings of a section, each once.
pub(crate) struct Settings<'p> {
    pub(crate) fields: BTreeMap<&'p str, &'p Field>,
}

impl<'p> Settings<'p> {
    /// All of them, in the order written.
    pub(crate) fn in_order(&self) -> Vec<&'p Field> {
        let mut fields: Vec<&'p Field> = self.fields.values().copied().collect();
        fields.sort_by_key(|field| field.span.start);
        fields
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'p Field> {
        self.fields.get(name).copied()
    }
}

impl<'p> Cx<'p> {
    /// Sorts out unknown and doubled settings.
    pub(crate) fn settings(
        &mut self,
        section: &'p Section,
        owner: &str,
        known: &[&str],
    ) -> Settings<'p> {
        let mut fields: BTreeMap<&'p str, &'p Field> = BTreeMap::new();
        let allowed: BTreeSet<&str> = known.iter().copied().collect();
        for field in &section.fields {
            if let Some(first) = fields.get(field.name.text.as_str()) {
                let diagnostic = Diagnostic::error(
                    Code::SettingDuplicate,
                    format!("`{}` is given twice", field.name.text),
                )
                .at(self.source, field.name.span, "again here")
                .and(self.source, first.name.span, "first here")
                .help("leave one away");
                self.report(diagnostic);
            } else if allowed.contains(field.name.text.as_str()) {
                fields.insert(&field.name.text, field);
            } else if !self.is_full() {
                self.unknown_field(owner, field, known);
            }
        }
        Settings { fields }
    }

    pub(crate) fn unknown_field(&mut self, owner: &str, field: &Field, known: &[&str]) {
        let takes = format!("it takes: {}", known.join(", "));
        let (help, near) = advice(&field.name.text, known, takes);
        let mut diagnostic = Diagnostic::error(
            Code::SettingUnknown,
            format!("`{owner}` has no setting `{}`", field.name.text),
        )
        .at(self.source, field.name.span, "")
        .help(help);
        if let Some(near) = near {
            diagnostic = diagnostic.fix(format!("write `{near}`"), field.name.span, near);
        }
        self.report(diagnostic);
    }

    /// A setting that must be there.
    pub(crate) fn required(
        &mut self,
        settings: &Settings<'p>,
        section: &Section,
        owner: &str,
        name: &str,
        code: Code,
        help: &str,
    ) -> Eval<&'p Field> {
        match settings.get(name) {
            Some(field) => Ok(field),
            None => {
                // A misspelt setting has been named already.
                let known = |name: &str| settings.get(name).is_some();
                let misspelt = section
                    .fields
                    .iter()
                    .any(|f| !known(&f.name.text) && nearest(&f.name.text, &[name]) == Some(name));
                if misspelt {
                    return Err(Reported);
                }
                let span = section.name.as_ref().map_or(section.kind_span, |n| n.span);
                self.fail_at(code, span, format!("`{owner}` has no `{name}`"), help)
            }
        }
    }

    /// A call, or a bare name, out of a closed list.
    pub(crate) fn chosen<'s>(
        &mut self,
        expr: &'p Expr,
        choices: &[Choice],
        what: &str,
        scope: &'s Scope,
    ) -> Eval<(usize, Bound<'p, 's>)> {
        let expr = self.settled(expr);
        let loc = self.at(expr.span());
        let (name, args, at): (&str, &'p [mmh_syntax::ast::Arg], Loc) = match expr.ungrouped() {
            Expr::Call(call) => (
                call.callee.single().map_or("", |n| n.text.as_str()),
                &call.args,
                self.at(call.callee.span),
            ),
            Expr::Path(path) => (path.single().map_or("", |n| n.text.as_str()), &[], loc),
            Expr::Missing(_) => return Err(Reported),
            _ => ("", &[], loc),
        };
        let names: Vec<&str> = choices.iter().map(|c| c.0).collect();
        let Some(index) = choices.iter().position(|c| c.0 == name) else {
            return Err(self.not_chosen(expr, at, &names, what));
        };
        let params = choices.get(index).map_or(&[][..], |c| c.1);
        match self.bind(name, params, false, args, None, scope, at) {
            (bound, Binding::Whole) => Ok((index, bound)),
            _ => Err(Reported),
        }
    }

    fn not_chosen(&mut self, expr: &Expr, at: Loc, names: &[&str], what: &str) -> Reported {
        let (written, quoted) = match expr.ungrouped() {
            Expr::Call(call) => (call.callee.names.last(), None),
            Expr::Path(path) => (path.names.last(), None),
            Expr::Text(text) => (None, Some(text.value.as_str())),
            _ => (None, None),
        };
        let word = quoted
            .or(written.map(|name| name.text.as_str()))
            .unwrap_or("");
        let here = name_elsewhere(word).filter(|e| e.here.is_some_and(|h| names.contains(&h)));
        let exact = names.iter().copied().find(|name| *name == word);
        let near = exact.or(here.and_then(|e| e.here)).or_else(|| {
            let small = word.to_lowercase();
            suggest(&small, names.iter().copied())
        });
        let known = format!("there are: {}", names.join(", "));
        let help = match (here, near) {
            (_, Some(near)) if quoted.is_some() => {
                format!("write it without quotes: `{near}`; {known}")
            }
            (Some(here), _) => format!("{}; {known}", here.help),
            (None, Some(near)) => format!("did you mean `{near}`? {known}"),
            (None, None) => name_elsewhere(word).map_or(known, |e| e.help.to_owned()),
        };
        let message = format!("`{}` is no {what}", self.text(at));
        let mut diagnostic =
            Diagnostic::error(Code::NameUnknown, message).at(at.source, at.span, "");
        if let Some(near) = near {
            diagnostic = diagnostic.fix(format!("write `{near}`"), at.span, near);
        }
        self.report(diagnostic.help(help))
    }

    /// A length of time in steps; `per_epoch` is 0 where epochs are not known.
    pub(crate) fn steps(
        &mut self,
        value: Value,
        loc: Loc,
        what: &str,
        per_epoch: u64,
    ) -> Eval<u64> {
        let (number, kind) = match value {
            Value::Quantity(q) if matches!(q.kind, UnitKind::Epochs | UnitKind::Steps) => {
                (q.value, q.kind)
            }
            Value::Quantity(q) => {
                return self.fail(
                    Code::UnitWrong,
                    loc,
                    format!(
                        "`{what}` is a number of epochs or steps, not of {}",
                        q.kind.word()
                    ),
                    "",
                );
            }
            Value::Size(_) | Value::Float(_) => return self.no_unit(&value, loc, what, per_epoch),
            Value::Unknown | Value::Error => return Err(Reported),
            other => {
                return self.fail(
                    Code::SettingType,
                    loc,
                    format!(
                        "`{what}` is a number of epochs or steps, not {}",
                        other.kind()
                    ),
                    "write `30 epochs` or `600 steps`",
                );
            }
        };
        let steps = if kind == UnitKind::Epochs {
            number * per_epoch as f64
        } else {
            number
        };
        let rounded = (steps + 0.5).floor();
        if !(1.0..1e15).contains(&rounded) {
            if per_epoch == 0 && kind == UnitKind::Epochs && number > 0.0 {
                return Err(Reported);
            }
            return self.fail(
                Code::ValueRange,
                loc,
                format!("`{what}` is less than one step, or too long"),
                "",
            );
        }
        Ok(rounded as u64)
    }

    fn no_unit<T>(&mut self, value: &Value, loc: Loc, what: &str, per_epoch: u64) -> Eval<T> {
        let text = self.text(loc);
        let epochs = crate::expr::as_f64(value);
        let here = if per_epoch > 0 && epochs.is_finite() {
            format!(" (here {} steps)", (epochs * per_epoch as f64).round())
        } else {
            String::new()
        };
        let diagnostic = Diagnostic::error(Code::UnitMissing, format!("`{what}` needs a unit"))
            .at(loc.source, loc.span, "")
            .help(format!("write `{text} epochs`{here} or `{text} steps`"))
            .fix(
                format!("write `{text} epochs`"),
                loc.span,
                format!("{text} epochs"),
            );
        Err(self.report(diagnostic))
    }

    /// A setting that is a number.
    pub(crate) fn float_field(&mut self, field: &'p Field, scope: &Scope) -> Eval<f64> {
        let loc = self.at(field.value.span());
        let value = self.expr(&field.value, scope)?;
        self.float_of(value, loc, &field.name.text)
    }
}
