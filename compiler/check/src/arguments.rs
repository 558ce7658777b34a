//! The arguments of primitives: read as what their place asks for.

use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::expr::Scope;
use crate::poly::Poly;
use crate::value::{Dim, Eval, Loc, Reported, Tensor, Value};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::Axis;
use mmh_syntax::ast::Expr;

/// The names of a shape's axes.
fn named_dims(dims: &[Dim], loc: Loc) -> Vec<(String, Loc)> {
    let names = dims.iter().map(|dim| dim.axis.to_string());
    names.map(|name| (name, loc)).collect()
}

impl<'p> Cx<'p> {
    /// The value of a setting, if given.
    pub(crate) fn arg(&mut self, bound: &Bound<'p, '_>, name: &str) -> Eval<Option<(Value, Loc)>> {
        match bound.get(name) {
            None => Ok(None),
            Some(Given::Value(Value::Error, _)) => Err(Reported),
            Some(Given::Value(value, loc)) => Ok(Some((value.clone(), *loc))),
            Some(Given::Expr(expr, loc)) => self.expr(expr, bound.scope).map(|v| Some((v, *loc))),
        }
    }

    /// The value of a setting that must be given.
    pub(crate) fn need(&mut self, bound: &Bound<'p, '_>, name: &str) -> Eval<(Value, Loc)> {
        match self.arg(bound, name)? {
            Some(value) => Ok(value),
            None => {
                let help = format!("write `{}({name} = …)`", bound.name);
                self.fail(
                    Code::SettingMissing,
                    bound.loc,
                    format!("`{}` needs `{name}`", bound.name),
                    help,
                )
            }
        }
    }

    pub(crate) fn tensor_arg(&mut self, bound: &Bound<'p, '_>, name: &str) -> Eval<Tensor> {
        let (value, loc) = match self.arg(bound, name)? {
            Some(value) => value,
            None => {
                let help = format!("pipe it in: `x |> {}(…)`", bound.name);
                return self.fail(
                    Code::SettingMissing,
                    bound.loc,
                    format!("`{}` needs a value to work on", bound.name),
                    help,
                );
            }
        };
        self.as_tensor(value, loc, &bound.name)
    }

    /// What a block's signature leaves open: its callers say it, and it is looked at there.
    pub(crate) fn left_open<T>(&mut self) -> Eval<T> {
        (self.open, self.opening) = (true, true);
        Err(Reported)
    }

    pub(crate) fn as_tensor(&mut self, value: Value, loc: Loc, owner: &str) -> Eval<Tensor> {
        match self.read(value)? {
            Value::Tensor(t) => Ok(t),
            Value::Unknown => self.left_open(),
            Value::Error => Err(Reported),
            value @ (Value::Float(_) | Value::Size(_)) => self.lift(&value, None, loc),
            Value::Rows(_) => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`{owner}` takes one column, not whole rows"),
                "name the column: `rows.image`",
            ),
            other => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`{owner}` takes a value with axes, not {}", other.kind()),
                "",
            ),
        }
    }

    /// Like [`Self::tensor_arg`], of f32 elements.
    pub(crate) fn float_tensor(&mut self, bound: &Bound<'p, '_>, name: &str) -> Eval<Tensor> {
        let tensor = self.tensor_arg(bound, name)?;
        if tensor.dtype == mmh_ir::DType::F32 {
            return Ok(tensor);
        }
        let loc = bound.get(name).map_or(bound.loc, Given::loc);
        self.no_words(&tensor, loc)?;
        let message = format!("`{}` takes f32, and {} arrives", bound.name, tensor.text());
        self.fail(
            Code::TypeDtype,
            loc,
            message,
            "turn it into f32 with `float`, or a class into a vector with `embed` or `one_hot`",
        )
    }

    pub(crate) fn size_of(&mut self, value: Value, loc: Loc, what: &str) -> Eval<Poly> {
        match value {
            Value::Size(p) => {
                if p.constant().is_some_and(|r| r.under != 1) {
                    return self.inexact(loc, &Scope::default());
                }
                Ok(p)
            }
            Value::Unknown => Ok(Poly::variable(what)),
            Value::Error => Err(Reported),
            Value::Quantity(q) => self.fail(
                Code::UnitWrong,
                loc,
                format!("`{what}` is a plain number, without {}", q.kind.word()),
                "",
            ),
            other => self.fail(
                Code::SettingType,
                loc,
                format!("`{what}` is a whole number, not {}", other.kind()),
                "",
            ),
        }
    }

    pub(crate) fn size_arg(
        &mut self,
        bound: &Bound<'p, '_>,
        name: &str,
        default: Option<i128>,
    ) -> Eval<Poly> {
        match (self.arg(bound, name)?, default) {
            (None, Some(default)) => Ok(Poly::number(default)),
            (None, None) => self.need(bound, name).map(|_| Poly::number(1)),
            (Some((value, loc)), _) => self.size_of(value, loc, name),
        }
    }

    /// A number; a percentage is a share.
    pub(crate) fn float_arg(
        &mut self,
        bound: &Bound<'p, '_>,
        name: &str,
        default: Option<f64>,
    ) -> Eval<f64> {
        match (self.arg(bound, name)?, default) {
            (None, Some(default)) => Ok(default),
            (None, None) => self.need(bound, name).map(|_| 0.0),
            (Some((value, loc)), _) => self.float_of(value, loc, name),
        }
    }

    pub(crate) fn float_of(&mut self, value: Value, loc: Loc, what: &str) -> Eval<f64> {
        match value {
            Value::Size(p) => Ok(p.constant().map_or(1.0, |r| r.to_f64())),
            Value::Float(v) => Ok(v),
            Value::Quantity(q) if q.kind == crate::value::UnitKind::Share => Ok(q.value),
            Value::Quantity(q) => self.fail(
                Code::UnitWrong,
                loc,
                format!("`{what}` is a plain number, without {}", q.kind.word()),
                "",
            ),
            Value::Unknown => Ok(0.5),
            Value::Error => Err(Reported),
            other => self.fail(
                Code::SettingType,
                loc,
                format!("`{what}` is a number, not {}", other.kind()),
                "",
            ),
        }
    }

    pub(crate) fn bool_arg(
        &mut self,
        bound: &Bound<'p, '_>,
        name: &str,
        default: bool,
    ) -> Eval<bool> {
        match self.arg(bound, name)? {
            None => Ok(default),
            Some((Value::Bool(b), _)) => Ok(b),
            Some((Value::Unknown, _)) => Ok(default),
            Some((other, loc)) => self.fail(
                Code::SettingType,
                loc,
                format!("`{name}` is true or false, not {}", other.kind()),
                "",
            ),
        }
    }

    /// Axis names: `[height, width]`, or one, or a parameter of type `axis`.
    pub(crate) fn axis_names(&mut self, expr: &'p Expr, scope: &Scope) -> Eval<Vec<(String, Loc)>> {
        let loc = self.at(expr.span());
        match expr.ungrouped() {
            Expr::List { items, .. } => {
                let mut all = Vec::new();
                for item in items {
                    all.extend(self.axis_names(item, scope)?);
                }
                Ok(all)
            }
            Expr::Path(path) => match path.single() {
                Some(name) => match scope.get(&name.text) {
                    Some(Value::Axes(names)) => {
                        Ok(names.iter().map(|n| (n.clone(), loc)).collect())
                    }
                    // A parameter of a block that is checked on its signature: callers say which axes these are.
                    Some(Value::Unknown) => self.left_open(),
                    _ => Ok(match self.named_shape(name, scope)? {
                        Some((dims, _)) => named_dims(&dims, loc),
                        None => vec![(name.text.clone(), loc)],
                    }),
                },
                None => self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{}` is no axis name", path.text()),
                    "an axis is one word",
                ),
            },
            Expr::Rest(_) if scope.rest.is_empty() => Ok(vec![("...".to_string(), loc)]),
            Expr::Rest(_) => Ok(scope
                .rest
                .iter()
                .map(|d| (d.axis.to_string(), loc))
                .collect()),
            Expr::Missing(_) => Err(Reported),
            _ => {
                let text = self.text(loc);
                self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{text}` is no axis name"),
                    "name axes, such as `[height, width]`",
                )
            }
        }
    }

    pub(crate) fn axes_arg(
        &mut self,
        bound: &Bound<'p, '_>,
        name: &str,
    ) -> Eval<Option<Vec<(String, Loc)>>> {
        match bound.get(name) {
            None => Ok(None),
            Some(Given::Expr(expr, _)) => self.axis_names(expr, bound.scope).map(Some),
            Some(Given::Value(Value::Axes(names), loc)) => {
                Ok(Some(names.iter().map(|n| (n.clone(), *loc)).collect()))
            }
            Some(Given::Value(Value::Shape(dims), loc)) => Ok(Some(named_dims(dims, *loc))),
            Some(Given::Value(Value::Error, _)) => Err(Reported),
            Some(Given::Value(_, loc)) => self.fail(
                Code::SettingType,
                *loc,
                format!("`{name}` takes axis names"),
                "",
            ),
        }
    }

    /// Axes that a value must have, each once.
    pub(crate) fn axes_of(
        &mut self,
        tensor: &Tensor,
        names: &[(String, Loc)],
        owner: &str,
    ) -> Eval<Vec<Axis>> {
        let mut axes: Vec<Axis> = Vec::new();
        for (name, loc) in names {
            if name == "..." && tensor.dims.iter().all(|d| d.axis.as_str() != "...") {
                return self.fail(
                    Code::ShapeAxisUnknown,
                    *loc,
                    "`...` is no axis here",
                    "name the axes",
                );
            }
            if !tensor.has(name) {
                let near = suggest(name, tensor.dims.iter().map(|d| d.axis.as_str()));
                let help = near.map_or_else(
                    || format!("it has {}", tensor.axes_text()),
                    |n| format!("did you mean `{n}`?"),
                );
                let message = format!(
                    "`{owner}` finds no axis `{}` in {}",
                    crate::value::shown(name),
                    tensor.text()
                );
                let mut diagnostic = Diagnostic::error(Code::ShapeAxisUnknown, message)
                    .at(loc.source, loc.span, "")
                    .help(help);
                match (self.text(*loc) == *name, near) {
                    (true, Some(near)) => {
                        diagnostic = diagnostic.fix(format!("write `{near}`"), loc.span, near);
                    }
                    (true, None) => {}
                    (false, _) => diagnostic = self.with_call(diagnostic),
                }
                return Err(self.report(diagnostic));
            }
            if axes.iter().any(|a| a.as_str() == name) {
                return self.fail(
                    Code::ShapeAxisDuplicate,
                    *loc,
                    format!("`{name}` is named twice"),
                    "leave one away",
                );
            }
            axes.push(Axis::new(name));
        }
        Ok(axes)
    }
}
