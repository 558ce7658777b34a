//! Shapes as values: `[row = 14, column = 14]`, parameters of kind `shape`, and the places where they stand for their axes.

use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::expr::Scope;
use crate::limits::MOST_AXES;
use crate::poly::Poly;
use crate::value::{Dim, Eval, Loc, Reported, Value, and_list, shape_text, shown};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::Axis;
use mmh_syntax::ast::{Axis as AxisType, Expr, Let, Name, Param, Type};
use std::collections::BTreeSet;

/// Whether a type is of shapes: `shape`, or `shape[row, column]` for one that has these axes.
pub(crate) fn is_shape(ty: &Type) -> bool {
    matches!(ty, Type::Named { name, .. } if name.text == "shape")
}

/// Whether a value at the top of a file is a shape, as far as its text tells.
fn says_shape(it: &Let) -> bool {
    let mut value = it.value.ungrouped();
    while let Expr::Choice { default, .. } = value {
        value = default.ungrouped();
    }
    it.ty.as_ref().is_some_and(is_shape) || matches!(value, Expr::Shape { .. })
}

/// The number of elements that axes have together.
fn elements(dims: &[Dim]) -> Poly {
    let sizes = dims.iter().map(|dim| &dim.size);
    sizes.fold(Poly::number(1), |product, size| product.multiply(size))
}

/// The axis that stands for those of a shape while a block is checked on its signature: which ones, only callers say.
fn stand_in(name: &str, loc: Loc) -> Dim {
    Dim {
        axis: Axis::new(&format!("...{name}")),
        size: Poly::variable(&format!("{name}.elements")),
        loc,
    }
}

/// Parameters whose defaults the types of others need, in the order written.
pub(crate) fn sizing(params: &[Param]) -> impl Iterator<Item = &Param> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for param in params {
        if let Type::Named {
            axes: Some(axes), ..
        } = &param.ty
        {
            named_in(axes, &mut names);
        }
    }
    // A default may need those of parameters before it.
    for param in params.iter().rev() {
        if let (true, Some(default)) = (names.contains(param.name.text.as_str()), &param.default) {
            named_by(default, &mut names);
        }
    }
    let plain = |param: &&Param| param.default.is_some() && !crate::types::is_tensor(&param.ty);
    let mut found: Vec<&Param> = params.iter().filter(plain).collect();
    found.retain(|param| names.contains(param.name.text.as_str()));
    found.into_iter()
}

fn named_in<'a>(axes: &'a [AxisType], names: &mut BTreeSet<&'a str>) {
    for axis in axes {
        match axis {
            AxisType::Rest(_) => {}
            AxisType::Named { name, size: None } => {
                names.insert(&name.text);
            }
            AxisType::Named {
                size: Some(size), ..
            }
            | AxisType::Size(size) => {
                named_by(size, names);
            }
        }
    }
}

fn named_by<'a>(expr: &'a Expr, names: &mut BTreeSet<&'a str>) {
    crate::program::walk(expr, &mut |e| match e {
        Expr::Path(path) => names.extend(path.names.first().map(|name| name.text.as_str())),
        Expr::Shape { axes, .. } => {
            names.extend(axes.iter().filter_map(named).map(|n| n.text.as_str()))
        }
        _ => {}
    });
}

impl<'p> Cx<'p> {
    /// The axes that a name stands for, if it is that of a shape, and whether the file itself declares it.
    pub(crate) fn named_shape(
        &mut self,
        name: &Name,
        scope: &Scope,
    ) -> Eval<Option<(Vec<Dim>, bool)>> {
        match scope.get(&name.text) {
            Some(Value::Shape(dims)) => return Ok(Some((dims.clone(), false))),
            Some(_) => return Ok(None),
            None => {}
        }
        let program = self.program;
        let Some(index) = program.find(self.source, &name.text) else {
            return match program.broken.may_be_shape(self.source, &name.text) {
                true => Err(Reported),
                false => Ok(None),
            };
        };
        // Torn, it may have been meant to be a shape.
        let (is_let, shape) = match program.let_at(index) {
            Some((it, _)) => (true, says_shape(it)),
            None => (false, false),
        };
        if is_let && program.broken.is_unsure(index) {
            return Err(Reported);
        }
        if !shape {
            return Ok(None);
        }
        match self.top_let(index, name)? {
            Value::Shape(dims) => Ok(Some((dims, true))),
            _ => Ok(None),
        }
    }

    /// What a bracket with sizes, a bracket of names, or an expression is where a shape is wanted. Another kind is left to
    /// whoever wants one.
    pub(crate) fn shape_or_other(&mut self, expr: &'p Expr, scope: &Scope) -> Eval<Value> {
        let items = match expr.ungrouped() {
            Expr::List { items, .. } => items,
            Expr::Shape { axes, .. } => return self.shape_literal(axes, scope).map(Value::Shape),
            _ => return self.expr(expr, scope),
        };
        let mut dims = Vec::new();
        for item in items {
            match item.ungrouped() {
                Expr::Rest(_) => dims.extend(scope.rest.iter().cloned()),
                Expr::Path(path) => match path.single() {
                    Some(name) => self.bare_axis(name, scope, &mut dims)?,
                    None => return self.nameless(item),
                },
                Expr::Missing(_) => return Err(Reported),
                _ => return self.nameless(item),
            }
        }
        Ok(Value::Shape(dims))
    }

    fn nameless<T>(&mut self, size: &Expr) -> Eval<T> {
        let text = self.text(self.at(size.span()));
        self.fail_at(
            Code::TypeMismatch,
            size.span(),
            "an axis has a name",
            format!("write `[name = {text}]`, with a name for each size"),
        )
    }

    /// The axes of `[row = 14, column]`.
    pub(crate) fn shape_literal(&mut self, axes: &'p [AxisType], scope: &Scope) -> Eval<Vec<Dim>> {
        let (mut dims, mut classes) = (Vec::new(), None);
        for axis in axes {
            self.expected_axis(axis, scope, false, &mut dims, &mut classes)?;
        }
        Ok(dims)
    }

    /// A name alone in a bracket: an axis whose size is known here, or a shape, which stands for its axes.
    pub(crate) fn bare_axis(
        &mut self,
        name: &Name,
        scope: &Scope,
        dims: &mut Vec<Dim>,
    ) -> Eval<()> {
        let loc = self.at(name.span);
        if let Some((axes, _)) = self.named_shape(name, scope)? {
            for dim in axes {
                self.add_axis(dim, loc, dims)?;
            }
            return Ok(());
        }
        let size = match scope.get(&name.text) {
            Some(Value::Size(size)) => size.clone(),
            Some(Value::Error) => return Err(Reported),
            _ if name.text == "batch" => self.batch.clone(),
            _ => return self.size_not_given(name, scope),
        };
        let axis = Axis::new(&name.text);
        self.add_axis(Dim { axis, size, loc }, loc, dims)
    }

    /// One more axis, unless there is one of its name.
    pub(crate) fn add_axis(&mut self, dim: Dim, loc: Loc, dims: &mut Vec<Dim>) -> Eval<()> {
        if dims.len() >= MOST_AXES {
            let message = format!("there are more than {MOST_AXES} axes here");
            let help = format!("the most is {MOST_AXES}");
            return self.fail(Code::LimitTooLarge, loc, message, help);
        }
        let Some(first) = dims.iter().find(|d| d.axis == dim.axis) else {
            dims.push(dim);
            return Ok(());
        };
        let mut diagnostic = Diagnostic::error(
            Code::ShapeAxisDuplicate,
            format!("axis `{}` stands twice", dim.axis),
        )
        .at(loc.source, loc.span, "")
        .help("leave one away");
        for place in [first.loc, dim.loc] {
            if place != loc && !place.span.is_empty() {
                diagnostic = diagnostic.and(place.source, place.span, "it stands here");
            }
        }
        Err(self.report(diagnostic))
    }

    fn size_not_given<T>(&mut self, name: &Name, scope: &Scope) -> Eval<T> {
        let known = scope.names.iter();
        let known = known.filter(|(_, value)| matches!(value, Value::Size(_) | Value::Shape(_)));
        let near = suggest(&name.text, known.map(|(name, _)| name.as_str()));
        let given = format!("write `{} = …`", name.text);
        let help = near.map_or(given.clone(), |near| {
            format!("did you mean `{near}`? else {given}")
        });
        self.fail_at(
            Code::NameUnknown,
            name.span,
            format!("the size of axis `{}` is not given", name.text),
            help,
        )
    }

    /// A parameter of kind `shape`: a shape, with the axes that its type names.
    pub(crate) fn bind_shape(
        &mut self,
        owner: &str,
        param: &'p Param,
        value: Value,
        loc: Loc,
        scope: &mut Scope,
    ) -> Eval<Value> {
        let value = self.plain(&param.ty, value, loc, &param.name.text)?;
        if let (
            Value::Shape(dims),
            Type::Named {
                axes: Some(axes), ..
            },
        ) = (&value, &param.ty)
        {
            self.match_shape(owner, param, axes, dims, loc, scope)?;
        }
        Ok(value)
    }

    fn match_shape(
        &mut self,
        owner: &str,
        param: &'p Param,
        axes: &'p [AxisType],
        dims: &[Dim],
        loc: Loc,
        scope: &mut Scope,
    ) -> Eval<()> {
        let wanted: Vec<&Name> = axes.iter().filter_map(named).collect();
        let rest = axes.iter().any(|axis| matches!(axis, AxisType::Rest(_)));
        let has = |name: &Name| dims.iter().any(|dim| dim.axis.as_str() == name.text);
        let missing: Vec<&str> = wanted
            .iter()
            .filter(|name| !has(name))
            .map(|name| name.text.as_str())
            .collect();
        let known = |dim: &&Dim| wanted.iter().any(|name| name.text == dim.axis.as_str());
        let extra: Vec<&Dim> = dims.iter().filter(|dim| !rest && !known(dim)).collect();
        if !missing.is_empty() || !extra.is_empty() {
            return self.wrong_shape(owner, param, dims, loc, &missing, &extra);
        }
        for axis in axes {
            let AxisType::Named { name, size } = axis else {
                continue;
            };
            let Some(dim) = dims.iter().find(|dim| dim.axis.as_str() == name.text) else {
                continue;
            };
            let known = match (size, scope.get(&name.text)) {
                (Some(size), _) => Some(self.axis_size(size, scope, &name.text)?),
                (None, Some(Value::Size(known))) => Some(known.clone()),
                (None, _) => None,
            };
            if let Some(known) = known.filter(|known| !self.equal(known, &dim.size)) {
                let span = size.as_ref().map_or(name.span, Expr::span);
                let declared = self.at(span);
                return self.wrong_size(owner, param, dim, &known, loc, declared);
            }
            scope.set(&name.text, Value::Size(dim.size.clone()));
        }
        Ok(())
    }

    fn wrong_shape<T>(
        &mut self,
        owner: &str,
        param: &'p Param,
        dims: &[Dim],
        loc: Loc,
        missing: &[&str],
        extra: &[&Dim],
    ) -> Eval<T> {
        let message = self.takes(owner, param, &shape_text(dims));
        let help = match (missing, extra) {
            ([one], [other]) => format!("write `{one} = {}` for `{}`", other.size, other.axis),
            ([], _) => format!(
                "leave `{}` away",
                bare_list(extra.iter().map(|d| d.axis.as_str()))
            ),
            ([..], []) => {
                let sizes: Vec<String> = missing.iter().map(|m| format!("{m} = …")).collect();
                format!("add `{}`", sizes.join(", "))
            }
            _ => format!("it lacks `{}`", bare_list(missing.iter().copied())),
        };
        // A parameter of kind `shape` may have any axes; to pass it on, it must say which.
        let open = dims
            .iter()
            .find_map(|dim| dim.axis.as_str().strip_prefix("..."));
        let help = match open {
            Some(open) => format!("declare `{open}: {}`", self.text(self.at(param.ty.span()))),
            None => help,
        };
        let diagnostic = Diagnostic::error(Code::ShapeMismatch, message)
            .at(loc.source, loc.span, format!("this has {}", axes_of(dims)))
            .help(help);
        self.unlike(param, diagnostic)
    }

    /// A value beside which `shape[row, column]` stands: it has these axes, and where sizes stand there, these.
    pub(crate) fn typed_shape(
        &mut self,
        ty: &'p Type,
        value: Value,
        scope: &Scope,
        name: &str,
        loc: Loc,
    ) -> Eval<Value> {
        let (
            Value::Shape(dims),
            Type::Named {
                axes: Some(axes), ..
            },
        ) = (&value, ty)
        else {
            return Ok(value);
        };
        let rest = axes.iter().any(|axis| matches!(axis, AxisType::Rest(_)));
        let mut differs = None;
        for axis in axes {
            let AxisType::Named { name, size } = axis else {
                continue;
            };
            match (dims.iter().find(|dim| dim.axis.as_str() == name.text), size) {
                (None, _) => differs = Some(format!("axis `{}` is missing", name.text)),
                (Some(dim), Some(size)) => {
                    let wanted = self.axis_size(size, scope, &name.text)?;
                    if !self.equal(&wanted, &dim.size) {
                        differs = Some(format!("{} = {} ≠ {wanted}", dim.axis, dim.size));
                    }
                }
                (Some(_), None) => {}
            }
        }
        let wanted = |dim: &Dim| {
            axes.iter()
                .filter_map(named)
                .any(|n| n.text == dim.axis.as_str())
        };
        if let Some(dim) = dims.iter().find(|dim| !rest && !wanted(dim)) {
            differs = differs.or_else(|| Some(format!("axis `{}` is too many", dim.axis)));
        }
        let Some(differs) = differs else {
            return Ok(value);
        };
        let message = format!("`{name}` is not the shape declared: {differs}");
        let diagnostic = Diagnostic::error(Code::ShapeMismatch, message)
            .at(
                loc.source,
                loc.span,
                format!("this is {}", shape_text(dims)),
            )
            .and(self.source, ty.span(), "declared here")
            .help("change one of the two");
        Err(self.report(diagnostic))
    }

    /// A parameter of kind `shape` while a block is checked on its signature alone.
    pub(crate) fn generic_shape(&mut self, param: &'p Param, scope: &mut Scope) -> Eval<Value> {
        let loc = self.at(param.name.span);
        let Type::Named {
            axes: Some(axes), ..
        } = &param.ty
        else {
            return Ok(Value::Shape(vec![stand_in(&param.name.text, loc)]));
        };
        let (mut dims, mut classes) = (Vec::new(), None);
        for axis in axes {
            match axis {
                AxisType::Rest(_) => {
                    self.add_axis(stand_in(&param.name.text, loc), loc, &mut dims)?
                }
                AxisType::Named { .. } | AxisType::Size(_) => {
                    if let AxisType::Named { name, size: None } = axis
                        && scope.get(&name.text).is_none()
                    {
                        scope.set(&name.text, Value::Size(Poly::variable(&name.text)));
                    }
                    self.expected_axis(axis, scope, false, &mut dims, &mut classes)?;
                }
            }
        }
        for dim in &dims {
            scope.set(dim.axis.as_str(), Value::Size(dim.size.clone()));
        }
        Ok(Value::Shape(dims))
    }

    /// The axes of a setting that takes a shape; a bare name is one axis.
    pub(crate) fn shape_arg(
        &mut self,
        bound: &Bound<'p, '_>,
        name: &str,
    ) -> Eval<Option<Vec<Dim>>> {
        let (value, loc) = match bound.get(name) {
            None => return Ok(None),
            Some(Given::Value(value, loc)) => (value.clone(), *loc),
            Some(Given::Expr(expr, loc)) => {
                if let Expr::Path(path) = expr.ungrouped()
                    && let Some(name) = path.single()
                    && !matches!(bound.scope.get(&name.text), Some(Value::Unknown))
                {
                    let mut dims = Vec::new();
                    self.bare_axis(name, bound.scope, &mut dims)?;
                    return Ok(Some(dims));
                }
                (self.shape_or_other(expr, bound.scope)?, *loc)
            }
        };
        match value {
            Value::Shape(dims) => Ok(Some(dims)),
            Value::Unknown => self.left_open(),
            Value::Error => Err(Reported),
            other => self.fail(
                Code::SettingType,
                loc,
                format!("`{name}` is a shape, not {}", other.kind()),
                "write axes with their sizes, such as `[row = 8, column = 8]`",
            ),
        }
    }

    /// `target.row`, and `target.elements`, which is the product of all sizes.
    pub(crate) fn shape_field(&mut self, dims: &[Dim], field: &Name) -> Eval<Value> {
        if field.text == "elements" {
            return Ok(Value::Size(elements(dims)));
        }
        if let Some(dim) = dims.iter().find(|dim| dim.axis.as_str() == field.text) {
            return Ok(Value::Size(dim.size.clone()));
        }
        // Which axes the shape has, the callers of this block say.
        let open = dims
            .iter()
            .find_map(|dim| dim.axis.as_str().strip_prefix("..."));
        if let Some(shape) = open {
            return Ok(Value::Size(Poly::variable(&format!(
                "{shape}.{}",
                field.text
            ))));
        }
        let names = dims.iter().map(|dim| dim.axis.as_str());
        let near = suggest(&field.text, names.chain(["elements"]));
        let help = near.map_or_else(
            || format!("it has {}; `elements` is their product", axes_of(dims)),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!(
            "the shape {} has no axis `{}`",
            shape_text(dims),
            field.text
        );
        let diagnostic = Diagnostic::error(Code::ShapeAxisUnknown, message)
            .at(self.source, field.span, "")
            .help(help);
        let diagnostic = self.with_call(diagnostic);
        Err(self.report(diagnostic))
    }

    /// Shows the call whose arguments are at fault, where a mistake lies in the body of a block.
    pub(crate) fn with_call(&self, diagnostic: Diagnostic) -> Diagnostic {
        let call = self.frames.last().map(|frame| frame.call);
        match call.filter(|call| !call.span.is_empty() && !self.program.is_library(call.source)) {
            Some(call) => diagnostic.and(call.source, call.span, "with what this call gives"),
            None => diagnostic,
        }
    }
}

fn named(axis: &AxisType) -> Option<&Name> {
    match axis {
        AxisType::Named { name, .. } => Some(name),
        AxisType::Rest(_) | AxisType::Size(_) => None,
    }
}

fn bare_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join("`, `")
}

fn axes_of(dims: &[Dim]) -> String {
    match dims.is_empty() {
        true => "no axes".to_owned(),
        false => and_list(dims.iter().map(|dim| shown(dim.axis.as_str()))),
    }
}
