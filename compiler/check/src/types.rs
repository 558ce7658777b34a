//! Types as they are written: what a parameter takes, what a result must be.

use crate::core::Cx;
use crate::expr::Scope;
use crate::poly::Poly;
use crate::shapes::is_shape;
use crate::value::{Dim, Eval, Loc, Reported, Tensor, Value, shown};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::{Axis, DType};
use mmh_syntax::ast::{Axis as AxisType, Expr, Param, Path, Type};

/// Axes that are there without being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hidden {
    Nothing,
    Batch,
}

/// What a type asks of a value.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) dtype: DType,
    pub(crate) dims: Vec<Dim>,
    pub(crate) classes: Option<Poly>,
}

impl Expected {
    /// Whether one number a row fits, under axes of size 1.
    pub(crate) fn is_single(&self) -> bool {
        let own = || self.dims.iter().filter(|dim| dim.axis.as_str() != "batch");
        own().count() > 0 && own().all(|dim| dim.size.integer() == Some(1))
    }
}

/// The words of types.
pub(crate) const WORDS: &[&str] = &[
    "f32", "i32", "bool", "class", "int", "float", "text", "block", "axis", "axes", "shape",
    "range",
];

pub(crate) fn dtype_of(word: &str) -> Option<DType> {
    match word {
        "f32" => Some(DType::F32),
        "i32" | "class" => Some(DType::I32),
        "bool" => Some(DType::Bool),
        _ => None,
    }
}

impl<'p> Cx<'p> {
    /// Binds every parameter and the axis names of its type.
    pub(crate) fn bind_params(
        &mut self,
        owner: &str,
        params: &'p [Param],
        values: Vec<(&'p Param, Value, Loc)>,
        scope: &mut Scope,
        hidden: Hidden,
    ) -> Eval<()> {
        let mut failed = false;
        // Numbers first, then shapes: the sizes of axes may name them.
        let (tensors, plain): (Vec<_>, Vec<_>) = values
            .iter()
            .cloned()
            .partition(|(p, _, _)| is_tensor(&p.ty));
        let (shapes, numbers): (Vec<_>, Vec<_>) =
            plain.into_iter().partition(|(p, _, _)| is_shape(&p.ty));
        for (param, value, loc) in numbers {
            let bound = self.plain(&param.ty, value, loc, &param.name.text);
            failed |= bound.is_err();
            scope.set(&param.name.text, bound.unwrap_or(Value::Error));
        }
        for (param, value, loc) in shapes {
            let bound = self.bind_shape(owner, param, value, loc, scope);
            failed |= bound.is_err();
            scope.set(&param.name.text, bound.unwrap_or(Value::Error));
        }
        for param in crate::shapes::sizing(params) {
            if scope.get(&param.name.text).is_none() {
                self.bind_default(owner, param, scope)?;
            }
        }
        for (param, value, loc) in tensors {
            let bound = self.bind_tensor(owner, param, value, loc, scope, hidden);
            failed |= bound.is_err();
            scope.set(&param.name.text, bound.map_or(Value::Error, Value::Tensor));
        }
        if failed { Err(Reported) } else { Ok(()) }
    }

    /// The defaults of parameters not given; call between tensors and body. Sizes of axes are known here.
    pub(crate) fn bind_defaults(
        &mut self,
        owner: &str,
        params: &'p [Param],
        scope: &mut Scope,
    ) -> Eval<()> {
        for param in params {
            if scope.get(&param.name.text).is_none() {
                self.bind_default(owner, param, scope)?;
            }
        }
        Ok(())
    }

    /// The default of one parameter, if it has one.
    pub(crate) fn bind_default(
        &mut self,
        owner: &str,
        param: &'p Param,
        scope: &mut Scope,
    ) -> Eval<()> {
        let Some(default) = &param.default else {
            return Ok(());
        };
        let loc = self.at(default.span());
        let value = self.argument(&param.ty, default, scope)?;
        let value = match is_shape(&param.ty) {
            true => self.bind_shape(owner, param, value, loc, scope)?,
            false => self.plain(&param.ty, value, loc, &param.name.text)?,
        };
        scope.set(&param.name.text, value);
        Ok(())
    }

    pub(crate) fn bind_tensor(
        &mut self,
        owner: &str,
        param: &'p Param,
        value: Value,
        loc: Loc,
        scope: &mut Scope,
        hidden: Hidden,
    ) -> Eval<Tensor> {
        let tensor = match value {
            Value::Unknown => return Err(Reported),
            value => self.as_tensor(value, loc, owner)?,
        };
        let Type::Named {
            name,
            axes: Some(axes),
            ..
        } = &param.ty
        else {
            return self.bind_like(owner, param, tensor, loc, scope);
        };
        if let Some(dtype) = dtype_of(&name.text)
            && dtype != tensor.dtype
        {
            let diagnostic = Diagnostic::error(
                Code::TypeDtype,
                format!(
                    "`{owner}` takes {} as `{}`, and {} arrives",
                    name.text,
                    param.name.text,
                    tensor.text()
                ),
            )
            .at(loc.source, loc.span, "")
            .and(self.source, name.span, "declared here");
            return Err(self.report(diagnostic));
        }
        self.match_axes(owner, param, axes, &tensor, loc, scope, hidden)?;
        self.match_classes(owner, param, axes, &tensor, loc, scope)?;
        Ok(tensor)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "both sides of the comparison and their places"
    )]
    pub(crate) fn match_axes(
        &mut self,
        owner: &str,
        param: &'p Param,
        axes: &'p [AxisType],
        tensor: &Tensor,
        loc: Loc,
        scope: &mut Scope,
        hidden: Hidden,
    ) -> Eval<()> {
        let mut names: Vec<&str> = Vec::new();
        let mut shapes: Vec<(Vec<Dim>, bool)> = Vec::new();
        for axis in axes {
            if let AxisType::Named { name, size } = axis {
                let shape = match size {
                    Some(_) => None,
                    None => self.named_shape(name, scope)?,
                };
                match shape {
                    Some(shape) => shapes.push(shape),
                    None => names.push(&name.text),
                }
            }
        }
        let of_shapes = shapes.iter().flat_map(|(dims, _)| dims);
        names.extend(of_shapes.map(|dim| dim.axis.as_str()));
        let rest = axes.iter().any(|a| matches!(a, AxisType::Rest(_)));
        let extra: Vec<&Dim> = tensor
            .dims
            .iter()
            .filter(|d| {
                let seen = hidden == Hidden::Batch && d.axis.as_str() == "batch";
                !seen && !names.contains(&d.axis.as_str())
            })
            .collect();
        let missing: Vec<&str> = names.iter().copied().filter(|n| !tensor.has(n)).collect();
        if !missing.is_empty() || (!extra.is_empty() && !rest) {
            return self.wrong_axes(owner, param, tensor, loc, &missing, &extra);
        }
        scope.rest = extra.into_iter().cloned().collect();
        for (wanted, declared) in shapes
            .iter()
            .flat_map(|(dims, top)| dims.iter().map(|d| (d, *top)))
        {
            let Some(dim) = tensor.dim(wanted.axis.as_str()) else {
                continue;
            };
            if !self.equal(&wanted.size, &dim.size) {
                return self.wrong_size(owner, param, dim, &wanted.size, loc, wanted.loc);
            }
            if declared {
                scope.set(dim.axis.as_str(), Value::Size(dim.size.clone()));
            }
        }
        for axis in axes {
            if let AxisType::Named { name, size: None } = axis
                && !matches!(scope.get(&name.text), Some(Value::Shape(_)))
                && let Some(dim) = tensor.dim(&name.text)
            {
                if let Some(Value::Size(known)) = scope.get(&name.text)
                    && !self.equal(known, &dim.size)
                {
                    let known = known.clone();
                    let declared = self.at(name.span);
                    return self.wrong_size(owner, param, dim, &known, loc, declared);
                }
                scope.set(&name.text, Value::Size(dim.size.clone()));
            }
        }
        for axis in axes {
            if let AxisType::Named {
                name,
                size: Some(size),
            } = axis
                && let Some(dim) = tensor.dim(&name.text)
            {
                let wanted = self.axis_size(size, scope, &name.text)?;
                if !self.equal(&wanted, &dim.size) {
                    let dim = dim.clone();
                    let declared = self.at(size.span());
                    return self.wrong_size(owner, param, &dim, &wanted, loc, declared);
                }
                scope.set(&name.text, Value::Size(dim.size.clone()));
            }
        }
        Ok(())
    }

    // `class[10, batch]`: as many classes as declared.
    pub(crate) fn match_classes(
        &mut self,
        owner: &str,
        param: &'p Param,
        axes: &'p [AxisType],
        tensor: &Tensor,
        loc: Loc,
        scope: &Scope,
    ) -> Eval<()> {
        let declared = axes.iter().find_map(|a| match a {
            AxisType::Size(size) => Some(size),
            AxisType::Named { .. } | AxisType::Rest(_) => None,
        });
        let (Some(declared), Some((found, _))) = (declared, tensor.classes.clone()) else {
            return Ok(());
        };
        let wanted = self.axis_size(declared, scope, "classes")?;
        if self.equal(&wanted, &found) {
            return Ok(());
        }
        let message = format!(
            "`{owner}` takes {wanted} classes as `{}`, and {found} arrive",
            param.name.text
        );
        let diagnostic = Diagnostic::error(Code::ShapeClassCount, message)
            .at(loc.source, loc.span, format!("{found} classes"))
            .and(self.source, declared.span(), format!("{wanted} classes"))
            .help("write the column's own count: `data.column.classes`");
        Err(self.report(diagnostic))
    }

    pub(crate) fn wrong_axes<T>(
        &mut self,
        owner: &str,
        param: &'p Param,
        tensor: &Tensor,
        loc: Loc,
        missing: &[&str],
        extra: &[&Dim],
    ) -> Eval<T> {
        let message = self.takes(owner, param, &tensor.text());
        let code = if missing.is_empty() || extra.is_empty() {
            Code::ShapeRank
        } else {
            Code::ShapeMismatch
        };
        let help = match (missing, extra) {
            ([one], [other]) => format!(
                "`{}` where `{one}` is wanted: `rename({} = {one})`",
                other.axis, other.axis
            ),
            ([], [..]) => format!(
                "reduce {} first, such as `mean(over = {})`",
                list_of(extra),
                bracket(extra)
            ),
            _ => format!(
                "it lacks {}",
                missing
                    .iter()
                    .map(|m| format!("`{m}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        let diagnostic = Diagnostic::error(code, message)
            .at(
                loc.source,
                loc.span,
                format!("this has {}", tensor.axes_text()),
            )
            .help(help);
        self.unlike(param, diagnostic)
    }

    /// What a call takes, and what comes instead.
    pub(crate) fn takes(&self, owner: &str, param: &'p Param, arrives: &str) -> String {
        format!(
            "`{owner}` takes {} as `{}`, and {arrives} arrives",
            self.text(self.at(param.ty.span())),
            param.name.text,
        )
    }

    /// Reports that an argument is unlike its parameter, with the place of that where it is the user's own.
    pub(crate) fn unlike<T>(&mut self, param: &'p Param, mut diagnostic: Diagnostic) -> Eval<T> {
        if !self.program.is_library(self.source) {
            diagnostic = diagnostic.and(self.source, param.ty.span(), "declared here");
        }
        Err(self.report(diagnostic))
    }

    pub(crate) fn wrong_size<T>(
        &mut self,
        owner: &str,
        param: &'p Param,
        dim: &Dim,
        wanted: &Poly,
        loc: Loc,
        declared: Loc,
    ) -> Eval<T> {
        let message = format!(
            "`{owner}` takes `{}` with {} = {wanted}, and {} = {} arrives",
            param.name.text, dim.axis, dim.axis, dim.size
        );
        let mut diagnostic = Diagnostic::error(Code::ShapeAxisSize, message)
            .at(
                loc.source,
                loc.span,
                format!("this has {} = {}", dim.axis, dim.size),
            )
            .help("change one of the two");
        if !self.program.is_library(declared.source) && declared != loc {
            let what = format!("{} = {wanted}", dim.axis);
            let what = match what == self.text(declared) {
                true => "declared here".to_owned(),
                false => what,
            };
            diagnostic = diagnostic.and(declared.source, declared.span, what);
        }
        Err(self.report(diagnostic))
    }

    pub(crate) fn bind_like(
        &mut self,
        owner: &str,
        param: &'p Param,
        tensor: Tensor,
        loc: Loc,
        scope: &Scope,
    ) -> Eval<Tensor> {
        let expected = self.expected(&param.ty, scope, Hidden::Nothing)?;
        match self.compare(&tensor, &expected) {
            None => Ok(tensor),
            Some(difference) => {
                let message = format!(
                    "`{owner}` takes `{}` in another shape: {difference}",
                    param.name.text
                );
                let mut diagnostic = Diagnostic::error(Code::ShapeNotLike, message).at(
                    loc.source,
                    loc.span,
                    format!("this is {}", tensor.text()),
                );
                if !self.program.is_library(self.source) {
                    diagnostic = diagnostic.and(self.source, param.ty.span(), "declared here");
                }
                Err(self.report(diagnostic))
            }
        }
    }

    /// A size in the bracket of a type: whole and known to be so.
    pub(crate) fn axis_size(&mut self, size: &'p Expr, scope: &Scope, axis: &str) -> Eval<Poly> {
        let loc = self.at(size.span());
        match self.expr(size, scope)? {
            Value::Size(p) => {
                if p.constant().is_some_and(|r| r.under != 1) {
                    return self.inexact(loc, scope);
                }
                if p.constant().is_none() && !p.is_whole(&self.whole) {
                    self.whole.push(p.clone());
                }
                Ok(p)
            }
            Value::Unknown => Ok(Poly::variable(axis)),
            Value::Float(v) => self.fail(
                Code::TypeMismatch,
                loc,
                format!("a size is a whole number, not {v}"),
                "",
            ),
            other => self.fail(
                Code::TypeMismatch,
                loc,
                format!("a size is a whole number, not {}", other.kind()),
                "",
            ),
        }
    }

    /// `height / 2` where height is 7.
    pub(crate) fn inexact<T>(&mut self, loc: Loc, scope: &Scope) -> Eval<T> {
        let text = self.text(loc);
        let mut values: Vec<String> = Vec::new();
        for word in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let top = || match self
                .program
                .find(loc.source, word)
                .map(|i| self.lets.get(&i))
            {
                Some(Some(crate::core::Memo::Done(Value::Size(p)))) => Some(p.clone()),
                _ => None,
            };
            let known = match scope.get(word) {
                Some(Value::Size(p)) => Some(p.clone()),
                Some(_) => None,
                None => top(),
            };
            if let Some(p) = known {
                let shown = format!("{word} = {p}");
                if !values.contains(&shown) {
                    values.push(shown);
                }
            }
        }
        let given = if values.is_empty() {
            String::new()
        } else {
            format!(" for {}", values.join(", "))
        };
        let mut diagnostic = Diagnostic::error(
            Code::ShapeInexactDivision,
            format!("`{text}` is not whole{given}"),
        )
        .at(loc.source, loc.span, "")
        .help("pad, or use `//` on purpose");
        if let Some(frame) = self.frames.last()
            && !frame.call.span.is_empty()
        {
            diagnostic = diagnostic.and(
                frame.call.source,
                frame.call.span,
                "with the sizes of this call",
            );
        }
        Err(self.report(diagnostic))
    }

    /// The shape a type asks for.
    pub(crate) fn expected(
        &mut self,
        ty: &'p Type,
        scope: &Scope,
        hidden: Hidden,
    ) -> Eval<Expected> {
        match ty {
            Type::Missing(_) => Err(Reported),
            Type::Like { of, .. } => {
                let tensor = self.like(of, scope)?;
                Ok(Expected {
                    dtype: tensor.dtype,
                    classes: None,
                    dims: tensor.dims,
                })
            }
            Type::Named { name, axes, .. } => {
                let Some(dtype) = dtype_of(&name.text) else {
                    let help = suggest(&name.text, WORDS.iter().copied())
                        .map_or("write `f32[…]`".to_string(), |n| {
                            format!("did you mean `{n}`?")
                        });
                    return self.fail_at(
                        Code::TypeMismatch,
                        name.span,
                        format!("`{}` is no type of a value with axes", name.text),
                        help,
                    );
                };
                let mut dims = Vec::new();
                if hidden == Hidden::Batch {
                    dims.push(self.batch_dim());
                }
                let mut classes = None;
                for axis in axes.iter().flatten() {
                    self.expected_axis(axis, scope, name.text == "class", &mut dims, &mut classes)?;
                }
                Ok(Expected {
                    dtype,
                    dims,
                    classes,
                })
            }
        }
    }

    pub(crate) fn expected_axis(
        &mut self,
        axis: &'p AxisType,
        scope: &Scope,
        class: bool,
        dims: &mut Vec<Dim>,
        classes: &mut Option<Poly>,
    ) -> Eval<()> {
        match axis {
            AxisType::Rest(_) => dims.extend(
                scope
                    .rest
                    .iter()
                    .filter(|r| r.axis.as_str() != "batch" || dims.is_empty())
                    .cloned()
                    .collect::<Vec<_>>(),
            ),
            AxisType::Size(size) if class && classes.is_none() => {
                *classes = Some(self.axis_size(size, scope, "classes")?)
            }
            AxisType::Size(size) => {
                return self.fail_at(
                    Code::TypeMismatch,
                    size.span(),
                    "an axis has a name",
                    "write `name = size`",
                );
            }
            AxisType::Named { name, size: None } => return self.bare_axis(name, scope, dims),
            AxisType::Named {
                name,
                size: Some(size),
            } => {
                let loc = self.at(name.span.to(size.span()));
                if matches!(scope.get(&name.text), Some(Value::Shape(_))) {
                    return self.fail_at(
                        Code::TypeMismatch,
                        name.span,
                        format!("`{}` is a shape here, so no axis has its name", name.text),
                        format!("write `{}` alone for its axes", name.text),
                    );
                }
                let size = self.axis_size(size, scope, &name.text)?;
                let axis = Axis::new(&name.text);
                return self.add_axis(Dim { axis, size, loc }, loc, dims);
            }
        }
        Ok(())
    }

    pub(crate) fn like(&mut self, of: &'p Path, scope: &Scope) -> Eval<Tensor> {
        match of.single().and_then(|n| scope.get(&n.text)) {
            Some(Value::Tensor(t)) => Ok(t.clone()),
            Some(Value::Error | Value::Unknown) => Err(Reported),
            _ => self.fail_at(
                Code::NameUnknown,
                of.span,
                format!("`like {}` names no parameter with axes", of.text()),
                "name a parameter of this block",
            ),
        }
    }

    /// What differs, in words; nothing if the shapes agree.
    pub(crate) fn compare(&self, tensor: &Tensor, expected: &Expected) -> Option<String> {
        if tensor.dtype != expected.dtype {
            return Some(format!(
                "{} ≠ {}",
                tensor.dtype.name(),
                expected.dtype.name()
            ));
        }
        for dim in &expected.dims {
            match tensor.dims.iter().find(|d| d.axis == dim.axis) {
                None => return Some(format!("axis `{}` is missing", shown(dim.axis.as_str()))),
                Some(found) if !self.equal(&found.size, &dim.size) => {
                    return Some(format!("{} = {} ≠ {}", dim.axis, found.size, dim.size));
                }
                Some(_) => {}
            }
        }
        let extra = tensor
            .dims
            .iter()
            .find(|d| !expected.dims.iter().any(|e| e.axis == d.axis));
        extra.map(|d| format!("axis `{}` is too many", shown(d.axis.as_str())))
    }
}

/// Whether a type is of values with axes.
pub(crate) fn is_tensor(ty: &Type) -> bool {
    match ty {
        Type::Named { name, axes, .. } => {
            axes.is_some() && dtype_of(&name.text).is_some()
                || matches!(name.text.as_str(), "f32" | "i32")
        }
        Type::Like { .. } => true,
        Type::Missing(_) => false,
    }
}

fn list_of(dims: &[&Dim]) -> String {
    crate::value::and_list(dims.iter().map(|d| d.axis.as_str()))
}

fn bracket(dims: &[&Dim]) -> String {
    match dims {
        [one] => one.axis.to_string(),
        many => format!(
            "[{}]",
            many.iter()
                .map(|d| d.axis.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}
