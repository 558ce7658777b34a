//! Expressions: numbers, names, operators, pipes and choices.

use crate::core::{Cx, Memo, Mode};
use crate::poly::Poly;
use crate::value::{Block, Callee, Eval, Loc, Quantity, Reported, Rows, UNITS, Value};
use mmh_diag::{Code, Diagnostic, name_elsewhere, suggest, unit_elsewhere};
use mmh_ir::plan::Part;
use mmh_syntax::ast::{Expr, Item, Name, Path, SectionKind};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The names of a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) names: Vec<(String, Value)>,
    /// Where the last of each name stands, once there are many.
    places: BTreeMap<String, usize>,
    /// The axes that `...` stands for.
    pub(crate) rest: Vec<crate::value::Dim>,
}

/// Names that are looked through one by one.
const FEW: usize = 24;

impl Scope {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let few = self.names.len() <= FEW;
        let last = || self.names.iter().rev().find(|(n, _)| n == name);
        let found = match few {
            true => last(),
            false => self.names.get(*self.places.get(name)?),
        };
        found.map(|(_, value)| value)
    }

    /// The same without some names.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let mut scope = Self {
            rest: self.rest.clone(),
            ..Self::default()
        };
        for (name, value) in &self.names {
            if !names.contains(&name.as_str()) {
                scope.set(name, value.clone());
            }
        }
        scope
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.names.push((name.to_string(), value));
        if self.names.len() > FEW {
            let first = if self.places.is_empty() {
                0
            } else {
                self.names.len() - 1
            };
            for (at, (name, _)) in self.names.iter().enumerate().skip(first) {
                self.places.insert(name.clone(), at);
            }
        }
    }
}

impl<'p> Cx<'p> {
    /// The value of an expression.
    pub(crate) fn expr(&mut self, expr: &'p Expr, scope: &Scope) -> Eval<Value> {
        let loc = self.at(expr.span());
        self.spend(loc)?;
        self.here.push(loc);
        let value = self.expr_inner(expr, scope, loc);
        self.here.pop();
        match value {
            Ok(Value::Error) => Err(Reported),
            other => other,
        }
    }

    pub(crate) fn expr_inner(&mut self, expr: &'p Expr, scope: &Scope, loc: Loc) -> Eval<Value> {
        match expr {
            Expr::Number { text, .. } => self.number(text, loc),
            Expr::Quantity { number, unit, .. } => self.quantity(number, unit, loc),
            Expr::Text(text) => Ok(Value::Text(text.value.clone())),
            Expr::Bool { value, .. } => Ok(Value::Bool(*value)),
            Expr::Path(path) => self.path_value(path, scope),
            Expr::Call(call) => self.call(call, None, scope),
            Expr::List { items, .. } => self.list(items, scope),
            Expr::Shape { axes, .. } => self.shape_literal(axes, scope).map(Value::Shape),
            Expr::Rest(_) => self.fail(
                Code::TypeMismatch,
                loc,
                "`...` is no value",
                "it stands in the bracket of a type",
            ),
            Expr::Unary { op, operand, .. } => {
                let value = self.expr(operand, scope)?;
                self.unary(*op, value, loc)
            }
            Expr::Binary { op, lhs, rhs, .. } => {
                let left = self.expr(lhs, scope);
                let right = self.expr(rhs, scope);
                self.binary(*op, left?, right?, loc)
            }
            Expr::Pipe { lhs, rhs, .. } => {
                let value = self.pipe(lhs, rhs, scope)?;
                let step = self.at(rhs.span());
                self.note_step(step, &value);
                Ok(value)
            }
            Expr::Choice { default, space, .. } => self.choice(default, space, scope, loc),
            Expr::Range { lo, hi, .. } => {
                let lo = self.expr(lo, scope);
                let hi = self.expr(hi, scope);
                Ok(Value::Range(Box::new(lo?), Box::new(hi?)))
            }
            Expr::If {
                condition,
                then,
                otherwise,
                ..
            } => self.conditional(condition, then, otherwise, scope),
            Expr::Section(_) => self.fail(
                Code::TypeMismatch,
                loc,
                "a section is no value here",
                "declare it by name, on its own",
            ),
            Expr::Group { inner, .. } => self.expr(inner, scope),
            Expr::Missing(_) => Err(Reported),
        }
    }

    pub(crate) fn list(&mut self, items: &'p [Expr], scope: &Scope) -> Eval<Value> {
        let values: Vec<Eval<Value>> = items.iter().map(|item| self.expr(item, scope)).collect();
        values
            .into_iter()
            .collect::<Eval<Vec<Value>>>()
            .map(Value::List)
    }

    pub(crate) fn number(&mut self, text: &str, loc: Loc) -> Eval<Value> {
        let whole = match text.strip_prefix("0x") {
            Some(hex) => i128::from_str_radix(hex, 16).ok(),
            None => text.parse::<i128>().ok(),
        };
        if let Some(n) = whole {
            return Ok(Value::Size(Poly::number(n)));
        }
        match text.parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(Value::Float(v)),
            _ => self.fail(
                Code::SyntaxBadNumber,
                loc,
                format!("`{text}` is not a number"),
                "write it as `3`, `0.5` or `3e-4`",
            ),
        }
    }

    pub(crate) fn quantity(&mut self, number: &str, unit: &Name, loc: Loc) -> Eval<Value> {
        let value = match self.number(number, loc)? {
            Value::Size(p) => p.constant().map_or(0.0, |r| r.to_f64()),
            Value::Float(v) => v,
            _ => return Err(Reported),
        };
        let Some((_, kind, factor)) = UNITS.iter().find(|(word, _, _)| *word == unit.text) else {
            let near = unit_elsewhere(&unit.text)
                .or_else(|| suggest(&unit.text, UNITS.iter().map(|u| u.0)));
            let known = || "the units are: epochs, steps, deg, rad, px, s, min, h, %, MiB".into();
            let at = self.at(unit.span);
            let message = format!("`{}` is no unit", unit.text);
            return self.misspelt(Code::UnitWrong, at, message, near, known);
        };
        Ok(Value::Quantity(Quantity {
            value: value * factor,
            kind: *kind,
        }))
    }

    pub(crate) fn choice(
        &mut self,
        default: &'p Expr,
        space: &'p Expr,
        scope: &Scope,
        loc: Loc,
    ) -> Eval<Value> {
        match self.choices.get(&loc).copied() {
            None => self.expr(default, scope),
            Some(nth) => match crate::space::alternative(space, nth) {
                Some(crate::space::Alternative::Written(expr)) => self.expr(expr, scope),
                Some(crate::space::Alternative::Number(n)) => Ok(Value::Size(Poly::number(n))),
                Some(crate::space::Alternative::Truth(truth)) => Ok(Value::Bool(truth)),
                None => self.expr(default, scope),
            },
        }
    }

    pub(crate) fn conditional(
        &mut self,
        condition: &'p Expr,
        then: &'p Expr,
        otherwise: &'p Expr,
        scope: &Scope,
    ) -> Eval<Value> {
        let loc = self.at(condition.span());
        match self.expr(condition, scope)? {
            Value::Bool(true) => self.expr(then, scope),
            Value::Bool(false) => self.expr(otherwise, scope),
            Value::Unknown => {
                let first = self.expr(then, scope);
                let second = self.expr(otherwise, scope);
                second?;
                first
            }
            Value::Tensor(_) => self.fail(
                Code::TypeMismatch,
                loc,
                "`if` decides when the recipe is checked, not for every element",
                "write `where(condition, a, else = b)`",
            ),
            other => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`if` takes true or false, not {}", other.kind()),
                "",
            ),
        }
    }

    pub(crate) fn pipe(&mut self, lhs: &'p Expr, rhs: &'p Expr, scope: &Scope) -> Eval<Value> {
        let loc = self.at(lhs.span());
        let value = self.expr(lhs, scope);
        let piped = value.map(|v| (v, loc));
        match rhs.ungrouped() {
            Expr::Call(call) => {
                let at = self.at(call.span);
                self.here.push(at);
                let result = self.call(call, Some(piped), scope);
                self.here.pop();
                result
            }
            Expr::Path(path) => {
                let at = self.at(path.span);
                self.here.push(at);
                let result = self.call_path(path, piped, scope);
                self.here.pop();
                result
            }
            Expr::Missing(_) => Err(Reported),
            other => {
                let at = self.at(other.span());
                piped?;
                self.fail(
                    Code::TypeNotCallable,
                    at,
                    "`|>` flows into a block, and this is none",
                    "write the name of a block, such as `|> relu`",
                )
            }
        }
    }

    pub(crate) fn path_value(&mut self, path: &'p Path, scope: &Scope) -> Eval<Value> {
        let [head, fields @ ..] = path.names.as_slice() else {
            return Err(Reported);
        };
        let mut value = self.name_value(head, scope)?;
        let mut rest = fields;
        while let [field, deeper @ ..] = rest {
            let used;
            (value, used) = self.field(value, field, deeper)?;
            rest = rest.get(used..).unwrap_or_default();
        }
        let loc = self.at(path.span);
        if let Value::Tensor(t) = &value {
            self.hover(loc, || t.text());
        }
        Ok(value)
    }

    pub(crate) fn name_value(&mut self, name: &Name, scope: &Scope) -> Eval<Value> {
        if let Some(value) = scope.get(&name.text) {
            return match value {
                Value::Error => Err(Reported),
                value => Ok(value.clone()),
            };
        }
        if let Some(index) = self.program.find(self.source, &name.text) {
            return self.declared(index, name);
        }
        match name.text.as_str() {
            "training" => {
                self.asked = true;
                return Ok(if self.generic {
                    Value::Unknown
                } else {
                    Value::Bool(self.mode == Mode::Training)
                });
            }
            "inf" => return Ok(Value::Float(f64::INFINITY)),
            "pi" => return Ok(Value::Float(std::f64::consts::PI)),
            _ => {}
        }
        if let Some(index) = crate::primitives::find(&name.text) {
            return Ok(Value::Block(Block {
                callee: Callee::Primitive(index),
                given: Rc::new(vec![]),
            }));
        }
        self.unknown_name(name, scope)
    }

    pub(crate) fn unknown_name<T>(&mut self, name: &Name, scope: &Scope) -> Eval<T> {
        if self.is_full() || self.program.broken.may_declare(self.source, &name.text) {
            return Err(Reported);
        }
        let (help, near) = match name_elsewhere(&name.text) {
            Some(entry) => (entry.help.to_owned(), entry.here),
            None => {
                let near = self.near_name(&name.text, scope);
                let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                (help, near)
            }
        };
        let message = format!("nothing is called `{}`", name.text);
        let mut diagnostic =
            Diagnostic::error(Code::NameUnknown, message).at(self.source, name.span, "");
        if !help.is_empty() {
            diagnostic = diagnostic.help(help);
        }
        if let Some(near) = near {
            diagnostic = diagnostic.fix(format!("write `{near}`"), name.span, near);
        }
        Err(self.report(diagnostic))
    }

    fn near_name<'n>(&'n self, name: &str, scope: &'n Scope) -> Option<&'n str> {
        let mut known: Vec<&str> = scope.names.iter().map(|(n, _)| n.as_str()).collect();
        known.extend(self.program.names_of(self.source));
        known.extend(self.program.library_names());
        for primitive in crate::primitives::names() {
            known.push(primitive);
        }
        suggest(name, known)
    }

    pub(crate) fn declared(&mut self, index: usize, name: &Name) -> Eval<Value> {
        let Some(declared) = self.program.declared.get(index) else {
            return Err(Reported);
        };
        if self.program.broken.is_unsure(index) {
            return Err(Reported);
        }
        match declared.item.as_ref() {
            Item::Let(_) => self.top_let(index, name),
            Item::Block(_) => Ok(Value::Block(Block {
                callee: Callee::Declared(index),
                given: Rc::new(vec![]),
            })),
            Item::Section(section) => match section.kind {
                SectionKind::Data => match self.data.iter().position(|d| d.declared == index) {
                    Some(number) => Ok(Value::Data(number)),
                    None => Err(Reported),
                },
                SectionKind::Train => Ok(Value::Train(index)),
                SectionKind::Search
                | SectionKind::Evaluate
                | SectionKind::Export
                | SectionKind::Federate => {
                    let loc = self.at(name.span);
                    self.fail(
                        Code::TypeMismatch,
                        loc,
                        format!("`{}` is a section, not a value", name.text),
                        "",
                    )
                }
            },
            Item::Use(_) | Item::Seed(_) => Err(Reported),
        }
    }

    pub(crate) fn top_let(&mut self, index: usize, name: &Name) -> Eval<Value> {
        match self.lets.get(&index) {
            Some(Memo::Done(Value::Error)) => return Err(Reported),
            Some(Memo::Done(value)) => {
                self.used
                    .extend(self.let_slots.get(&index).into_iter().flatten());
                return Ok(value.clone());
            }
            Some(Memo::Running) => {
                let loc = self.at(name.span);
                return self.fail(
                    Code::NameCycle,
                    loc,
                    format!("`{}` needs itself", name.text),
                    "write one of the values on the way as a number",
                );
            }
            None => {}
        }
        let program = self.program;
        let Some((it, source)) = program.let_at(index) else {
            return Err(Reported);
        };
        self.lets.insert(index, Memo::Running);
        let before = std::mem::replace(&mut self.source, source);
        self.enter_root("");
        if let Some(place) = self.places.last_mut() {
            place.pinned = Some(
                it.key
                    .as_ref()
                    .map_or(&it.name.text, |k| &k.name.value)
                    .clone(),
            );
        }
        let mut used = std::mem::take(&mut self.used);
        let value = self.let_value(it, &Scope::default());
        used.extend(&self.used);
        let own = std::mem::replace(&mut self.used, used);
        self.let_slots.insert(index, own);
        self.leave();
        if let Ok(value) = &value {
            let loc = self.at(it.name.span);
            self.hover(loc, || value.kind());
        }
        self.source = before;
        self.lets.insert(
            index,
            Memo::Done(value.as_ref().map_or(Value::Error, Clone::clone)),
        );
        value
    }

    // A field of a value, and how many names it took.
    pub(crate) fn field(
        &mut self,
        value: Value,
        field: &'p Name,
        deeper: &'p [Name],
    ) -> Eval<(Value, usize)> {
        let loc = self.at(field.span);
        match value {
            Value::Data(number) => {
                let part = match field.text.as_str() {
                    "train" => Some(Part::Train),
                    "valid" => Some(Part::Valid),
                    "test" => Some(Part::Test),
                    _ => None,
                };
                if part.is_some() {
                    let rows = self.part(number, part, loc)?;
                    return Ok((rows, 1));
                }
                let classes = deeper.first().filter(|n| n.text == "classes");
                self.data_column(number, field, classes.is_some())
                    .map(|v| (v, 1 + usize::from(classes.is_some())))
            }
            Value::Rows(rows) => self.rows_column(&rows, field).map(|v| (v, 1)),
            Value::Source => {
                let classes = deeper.first().filter(|n| n.text == "classes");
                self.source_column(field, classes.is_some())
                    .map(|v| (v, 1 + usize::from(classes.is_some())))
            }
            Value::Shape(dims) => self.shape_field(&dims, field).map(|v| (v, 1)),
            Value::Unknown => Ok((Value::Unknown, 1)),
            Value::Tensor(t) if field.text == "classes" => match t.classes {
                Some((classes, _)) => Ok((Value::Size(classes), 1)),
                None => self.fail(
                    Code::TypeMismatch,
                    loc,
                    "only a column of type `class` has classes",
                    "",
                ),
            },
            other => {
                let what = one_of(&other);
                self.fail(
                    Code::NameUnknown,
                    loc,
                    format!("{what} has no `{}`", field.text),
                    "",
                )
            }
        }
    }

    pub(crate) fn part(&mut self, number: usize, part: Option<Part>, loc: Loc) -> Eval<Value> {
        let Some(set) = self.data.get(number) else {
            return Err(Reported);
        };
        let which = match part {
            Some(Part::Train) | None => 0,
            Some(Part::Valid) => 1,
            Some(Part::Test) => 2,
        };
        let (name, span) = (set.name.clone(), set.span);
        match set
            .part_rows
            .map(|rows| rows.get(which).copied().unwrap_or(0))
        {
            None if which > 0 && !set.broken => {
                let diagnostic = Diagnostic::error(
                    Code::DataNoSplit,
                    format!(
                        "`{name}` is not split, so it has no `{}` rows",
                        part.map_or("", Part::name)
                    ),
                )
                .at(loc.source, loc.span, "")
                .and(span.source, span.span, "declared here")
                .help(format!(
                    "give `{name}` a split: `split = random(train = 80%, valid = 10%, test = 10%)`"
                ));
                Err(self.report(diagnostic))
            }
            Some(0) => {
                let message = format!("`{name}` has no `{}` rows", part.map_or("", Part::name));
                let diagnostic = Diagnostic::error(Code::DataEmptySplit, message)
                    .at(loc.source, loc.span, "")
                    .and(span.source, span.span, "split here")
                    .help("give that part a share in `split`");
                Err(self.report(diagnostic))
            }
            _ => Ok(Value::Rows(Box::new(Rows {
                data: number,
                part,
                maps: vec![],
                shuffle: None,
                batch: None,
            }))),
        }
    }
}

fn one_of(value: &Value) -> String {
    match value {
        Value::Train(_) => "a training".into(),
        other => other.kind(),
    }
}

pub(crate) fn as_f64(value: &Value) -> f64 {
    match value {
        Value::Size(p) => p.constant().map_or(f64::NAN, |r| r.to_f64()),
        Value::Float(v) => *v,
        Value::Quantity(q) => q.value,
        _ => f64::NAN,
    }
}
