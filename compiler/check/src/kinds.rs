//! Values without axes beside their type words, and parameters while a block is checked on its signature.

use crate::core::Cx;
use crate::expr::Scope;
use crate::poly::Poly;
use crate::types::{Hidden, WORDS, is_tensor};
use crate::value::{Dim, Eval, Loc, Made, Tensor, UnitKind, Value};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::{Axis, ValueId};
use mmh_syntax::ast::{Axis as AxisType, Param, Type};

impl<'p> Cx<'p> {
    /// A value that a type stands beside.
    pub(crate) fn check_typed(
        &mut self,
        ty: &'p Type,
        value: Value,
        scope: &Scope,
        name: &str,
        loc: Loc,
    ) -> Eval<Value> {
        if !is_tensor(ty) {
            let value = self.plain(ty, value, loc, name)?;
            return self.typed_shape(ty, value, scope, name, loc);
        }
        let expected = self.expected(ty, scope, Hidden::Nothing)?;
        let tensor = self.as_tensor(value, loc, name)?;
        match self.compare(&tensor, &expected) {
            None => Ok(Value::Tensor(tensor)),
            Some(difference) => {
                let diagnostic = Diagnostic::error(
                    Code::ShapeMismatch,
                    format!("`{name}` is not of the shape declared: {difference}"),
                )
                .at(loc.source, loc.span, format!("this is {}", tensor.text()))
                .and(self.source, ty.span(), "declared here");
                Err(self.report(diagnostic))
            }
        }
    }

    /// A value without axes, as its type word asks.
    pub(crate) fn plain(
        &mut self,
        ty: &'p Type,
        value: Value,
        loc: Loc,
        name: &str,
    ) -> Eval<Value> {
        let Type::Named {
            name: word, axes, ..
        } = ty
        else {
            return Ok(value);
        };
        if matches!(value, Value::Unknown) {
            return Ok(value);
        }
        let fits = match (word.text.as_str(), &value) {
            ("int", Value::Size(p)) => {
                if p.constant().is_some_and(|r| r.under != 1) {
                    return self.inexact(loc, &Scope::default());
                }
                true
            }
            ("float", Value::Quantity(q)) if q.kind == UnitKind::Share => {
                return Ok(Value::Float(q.value));
            }
            ("float", Value::Size(_) | Value::Float(_))
            | ("bool", Value::Bool(_))
            | ("text", Value::Text(_))
            | ("block", Value::Block(_))
            | ("axis" | "axes", Value::Axes(_))
            | ("shape", Value::Shape(_)) => true,
            ("range", value) => return self.range(axes.as_deref(), value.clone(), loc, name),
            ("int" | "float", Value::Quantity(q)) => {
                let what = q.kind.word();
                return self.fail(
                    Code::UnitWrong,
                    loc,
                    format!("`{name}` is a plain number, without {what}"),
                    "",
                );
            }
            ("int" | "float" | "bool" | "text" | "block" | "axis" | "axes" | "shape", _) => false,
            (other, _) => {
                let help = suggest(other, WORDS.iter().copied()).map_or_else(
                    || format!("the types are: {}", WORDS.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                return self.fail_at(
                    Code::TypeMismatch,
                    word.span,
                    format!("`{other}` is no type"),
                    help,
                );
            }
        };
        if fits {
            return Ok(value);
        }
        let article = match word.text.as_str() {
            "int" => "a whole number",
            "float" => "a number",
            "bool" => "true or false",
            "text" => "a text",
            "block" => "a block",
            "shape" => "a shape",
            _ => "axis names",
        };
        let message = format!("`{name}` is {article}, not {}", value.kind());
        let mut diagnostic =
            Diagnostic::error(Code::TypeMismatch, message).at(loc.source, loc.span, "");
        if !self.program.is_library(self.source) {
            diagnostic = diagnostic.and(self.source, ty.span(), "declared here");
        }
        if word.text == "shape" {
            diagnostic =
                diagnostic.help("write axes with their sizes, such as `[row = 8, column = 8]`");
        }
        Err(self.report(diagnostic))
    }

    pub(crate) fn range(
        &mut self,
        unit: Option<&[AxisType]>,
        value: Value,
        loc: Loc,
        name: &str,
    ) -> Eval<Value> {
        let wanted = unit.and_then(|axes| axes.first()).and_then(|a| match a {
            AxisType::Named { name, .. } => crate::value::UNITS.iter().find(|u| u.0 == name.text),
            AxisType::Rest(_) | AxisType::Size(_) => None,
        });
        let Value::Range(lo, hi) = &value else {
            let example = wanted.map_or(String::new(), |u| u.0.to_string());
            return self.fail(
                Code::TypeMismatch,
                loc,
                format!("`{name}` is a range, not {}", value.kind()),
                format!("write it as `-1{example} .. 1{example}`"),
            );
        };
        for end in [lo, hi] {
            match (wanted, end.as_ref()) {
                (Some((_, kind, _)), Value::Quantity(q)) if q.kind == *kind => {}
                (Some((word, _, _)), Value::Size(_) | Value::Float(_)) => {
                    return self.fail(
                        Code::UnitMissing,
                        loc,
                        format!("`{name}` needs a unit"),
                        format!("write both ends in {word}"),
                    );
                }
                (Some((word, _, _)), _) => {
                    return self.fail(
                        Code::UnitWrong,
                        loc,
                        format!("`{name}` is a range of {word}"),
                        format!("write both ends in {word}"),
                    );
                }
                (None, Value::Size(_) | Value::Float(_)) => {}
                (None, other) => {
                    let kind = other.kind();
                    return self.fail(
                        Code::UnitWrong,
                        loc,
                        format!("`{name}` is a range of plain numbers, not {kind}"),
                        "",
                    );
                }
            }
        }
        if crate::expr::as_f64(lo) > crate::expr::as_f64(hi) {
            return self.fail(
                Code::ValueRange,
                loc,
                format!("the range of `{name}` ends before it starts"),
                "write the smaller number first",
            );
        }
        Ok(value)
    }

    /// A parameter's value while a block is checked on its signature alone.
    pub(crate) fn generic_value(
        &mut self,
        param: &'p Param,
        scope: &mut Scope,
        hidden: Hidden,
    ) -> Eval<Value> {
        let Type::Named { name, axes, .. } = &param.ty else {
            let expected = self.expected(&param.ty, scope, Hidden::Nothing)?;
            return Ok(Value::Tensor(Tensor {
                id: ValueId(0),
                dtype: expected.dtype,
                dims: expected.dims,
                classes: None,
                made: Made::Plain,
            }));
        };
        match (name.text.as_str(), axes) {
            ("int", None) => Ok(Value::Size(Poly::variable(&param.name.text))),
            ("float" | "bool" | "text" | "block" | "range", _)
                if axes.is_none() || name.text == "range" =>
            {
                Ok(Value::Unknown)
            }
            ("axis" | "axes", None) => Ok(Value::Unknown),
            ("shape", _) => self.generic_shape(param, scope),
            _ => {
                for axis in axes.iter().flatten() {
                    match axis {
                        AxisType::Named { name, size: None }
                            if scope.get(&name.text).is_none()
                                && self.named_shape(name, scope)?.is_none() =>
                        {
                            let size = if name.text == "batch" {
                                self.batch.clone()
                            } else {
                                Poly::variable(&name.text)
                            };
                            scope.set(&name.text, Value::Size(size));
                        }
                        AxisType::Rest(span) if scope.rest.is_empty() => {
                            let loc = self.at(*span);
                            scope.rest.push(Dim {
                                axis: Axis::new("..."),
                                size: Poly::variable("..."),
                                loc,
                            });
                        }
                        AxisType::Named { .. } | AxisType::Rest(_) | AxisType::Size(_) => {}
                    }
                }
                let expected = self.expected(&param.ty, scope, hidden)?;
                for dim in &expected.dims {
                    scope.set(dim.axis.as_str(), Value::Size(dim.size.clone()));
                }
                let classes = expected.classes.map(|c| (c, self.at(param.ty.span())));
                Ok(Value::Tensor(Tensor {
                    id: ValueId(0),
                    dtype: expected.dtype,
                    dims: expected.dims,
                    classes,
                    made: Made::Plain,
                }))
            }
        }
    }
}
