//! Blocks unfolded where they are called.

use crate::call::{Bound, Given, hidden};
use crate::core::{Cx, Frame};
use crate::expr::Scope;
use crate::value::{Block, Callee, Eval, Loc, Reported, Tensor, Value};
use mmh_diag::{Code, Diagnostic, SourceId};
use mmh_syntax::ast::{Arg, BlockKind, Body, Expr, Let, Param, Type};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Blocks inside each other.
const MOST_FRAMES: usize = 64;

/// A shape that is given ahead of a call, with its setting, and the other arguments.
type Ahead<'p> = (Option<(String, Value)>, Vec<&'p Arg>);

/// The name that paths have for a block: the one it had before it was renamed, if it says so.
pub(crate) fn old_name(block: &mmh_syntax::ast::Block) -> &str {
    block
        .key
        .as_ref()
        .map_or(&block.name.text, |key| &key.name.value)
}

impl<'p> Cx<'p> {
    pub(crate) fn unfold(
        &mut self,
        index: usize,
        block: &'p mmh_syntax::ast::Block,
        source: SourceId,
        bound: &Bound<'p, '_>,
        key: Option<&str>,
    ) -> Eval<Value> {
        if self.frames.iter().any(|f| f.declared == index) {
            return self.fail(
                Code::BlockRecursion,
                bound.loc,
                format!("`{}` contains itself", block.name.text),
                "use `repeat(n, block)` to put blocks one behind another",
            );
        }
        if self.frames.len() > MOST_FRAMES {
            return self.fail(
                Code::LimitTooLarge,
                bound.loc,
                format!("this block stands more than {MOST_FRAMES} blocks deep"),
                "let blocks contain fewer others; `repeat(n, block)` puts them one behind another",
            );
        }
        // Names and paths of its own cost as much as some steps.
        self.spent += 4;
        self.work += 2;
        let mut scope = Scope::default();
        let arguments = self.arguments(block, source, bound);
        let mut watched = match &arguments {
            Ok(values) => self.watch_call(block, values),
            Err(Reported) => None,
        };
        if let Some(watched) = &mut watched {
            if let Some(known) = self.known_call(index, watched) {
                return Ok(known);
            }
            self.begin_call(watched);
        }
        let call = self
            .here
            .last()
            .copied()
            .filter(|h| h.source == bound.loc.source)
            .unwrap_or(bound.loc);
        let before = std::mem::replace(&mut self.source, source);
        self.frames.push(Frame {
            declared: index,
            call,
        });
        // A model's parameters are its own wherever it is called; an augmentation inside another is a step of that one.
        let inner = self.frames.len() > 1;
        let entered = match block.kind {
            BlockKind::Augment if inner => self.enter(old_name(block), key, bound.loc),
            BlockKind::Block => self.enter(old_name(block), key, bound.loc),
            BlockKind::Model | BlockKind::Augment => {
                self.enter_root(old_name(block));
                Ok(())
            }
        };
        let value = match (entered, arguments) {
            (Ok(()), Ok(values)) => self.unfold_with(block, index, values, &mut scope),
            _ => Err(Reported),
        };
        if entered.is_ok() {
            self.leave();
        }
        self.frames.pop();
        self.source = before;
        if let Some(watched) = watched {
            self.end_call(index, watched, &value);
        }
        value
    }

    pub(crate) fn unfold_with(
        &mut self,
        block: &'p mmh_syntax::ast::Block,
        index: usize,
        values: Vec<(&'p Param, Value, Loc)>,
        scope: &mut Scope,
    ) -> Eval<Value> {
        let hidden = hidden(block.kind);
        let (owner, params) = (&block.name.text, &block.params);
        self.bind_params(owner, params, values, scope, hidden)?;
        self.bind_defaults(owner, params, scope)?;
        let expected = match &block.returns {
            Some(ty) => Some(self.expected(ty, scope, hidden)?),
            None => None,
        };
        let value = match self.poisoned.contains(&index) {
            true => Err(Reported),
            false => self.body(&block.body, scope, &block.name.text),
        };
        match (&block.returns, expected, value) {
            (Some(_), Some(expected), Err(Reported)) => self.assume(index, expected),
            (Some(ty), Some(expected), Ok(value)) => {
                let checked = self.check_result(block, ty, &expected, value);
                if checked.is_err() {
                    self.misdeclared.insert(index);
                }
                checked
            }
            (_, _, value) => value,
        }
    }

    /// What a block declares to give, where a mistake keeps it from being made.
    fn assume(&mut self, index: usize, expected: crate::types::Expected) -> Eval<Value> {
        if self.emit || self.misdeclared.contains(&index) {
            return Err(Reported);
        }
        self.assumed = true;
        let loc = self.here.last().copied().unwrap_or_default();
        Ok(Value::Tensor(Tensor {
            id: mmh_ir::ValueId(0),
            dtype: expected.dtype,
            dims: expected.dims,
            classes: expected.classes.map(|classes| (classes, loc)),
            made: crate::value::Made::Plain,
        }))
    }

    pub(crate) fn arguments(
        &mut self,
        block: &'p mmh_syntax::ast::Block,
        source: SourceId,
        bound: &Bound<'p, '_>,
    ) -> Eval<Vec<(&'p Param, Value, Loc)>> {
        let mut values = Vec::new();
        let mut failed = false;
        for param in &block.params {
            match bound.get(&param.name.text) {
                Some(Given::Value(value, loc)) => values.push((param, value.clone(), *loc)),
                Some(Given::Expr(expr, loc)) => match self.argument(&param.ty, expr, bound.scope) {
                    Ok(value) => values.push((param, value, *loc)),
                    Err(Reported) => failed = true,
                },
                None if param.default.is_some() => {}
                None => {
                    let message = format!("`{}` needs `{}`", block.name.text, param.name.text);
                    let mut diagnostic = Diagnostic::error(Code::SettingMissing, message).at(
                        bound.loc.source,
                        bound.loc.span,
                        "",
                    );
                    if !self.program.is_library(source) {
                        diagnostic = diagnostic.and(source, param.span, "declared here");
                    }
                    let help = match &param.ty {
                        Type::Named { axes: Some(_), .. } | Type::Like { .. } => {
                            format!("pipe a value into it: `x |> {}`", block.name.text)
                        }
                        Type::Named { .. } | Type::Missing(_) => {
                            format!("give it: `{}({} = …)`", block.name.text, param.name.text)
                        }
                    };
                    self.report(diagnostic.help(help));
                    failed = true;
                }
            }
        }
        if failed { Err(Reported) } else { Ok(values) }
    }

    /// An argument, read as its type asks: axis names and blocks are not looked up as values.
    pub(crate) fn argument(&mut self, ty: &Type, expr: &'p Expr, scope: &Scope) -> Eval<Value> {
        match ty {
            Type::Named {
                name, axes: None, ..
            } if name.text == "axis" || name.text == "axes" => {
                let names = self.axis_names(expr, scope)?;
                Ok(Value::Axes(names.into_iter().map(|(n, _)| n).collect()))
            }
            Type::Named {
                name, axes: None, ..
            } if name.text == "block" => self.block_value(expr, scope).map(Value::Block),
            Type::Named { name, .. } if name.text == "shape" => self.shape_or_other(expr, scope),
            Type::Named { .. } | Type::Like { .. } | Type::Missing(_) => self.expr(expr, scope),
        }
    }

    /// A block by name, or with some settings given: `layer(heads = 4)`.
    pub(crate) fn block_value(&mut self, expr: &'p Expr, scope: &Scope) -> Eval<Block> {
        let loc = self.at(expr.span());
        match expr.ungrouped() {
            Expr::Call(call) => {
                let Some(block) = self.callee(&call.callee, scope)? else {
                    return self.left_open();
                };
                let mut given: Vec<(String, Value)> = block.given.as_ref().clone();
                let known = self.param_names(&block);
                let (named, args) = self.new_axes(&block, &known, &call.args, scope)?;
                given.extend(named);
                for arg in args {
                    let Some(name) = &arg.name else {
                        // The first parameter is what flows in, so places count from the second.
                        let open: Vec<&String> = known
                            .iter()
                            .skip(1)
                            .filter(|n| !given.iter().any(|(g, _)| g == *n))
                            .collect();
                        match open.first() {
                            Some(param) => {
                                let value = self.given_early(&block, param, &arg.value, scope)?;
                                given.push(((*param).clone(), value));
                            }
                            None => {
                                return self.fail_at(
                                    Code::TypeArgumentCount,
                                    arg.span,
                                    "there is no setting left for this value",
                                    "",
                                );
                            }
                        }
                        continue;
                    };
                    if !known.contains(&name.text) {
                        let known: Vec<&str> = known.iter().map(String::as_str).collect();
                        let owner = call.callee.text();
                        self.unknown_setting(&owner, name, &known);
                        return Err(Reported);
                    }
                    let value = self.given_early(&block, &name.text, &arg.value, scope)?;
                    given.push((name.text.clone(), value));
                }
                Ok(Block {
                    callee: block.callee,
                    given: Rc::new(given),
                })
            }
            _ => match self.expr(expr, scope)? {
                Value::Block(block) => Ok(block),
                Value::Unknown => self.left_open(),
                other => self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("a block is needed here, not {}", other.kind()),
                    "write its name, such as `relu`",
                ),
            },
        }
    }

    /// The axes that a call names beside its settings, as the shape they make, and the other arguments.
    fn new_axes(
        &mut self,
        block: &Block,
        known: &[String],
        args: &'p [Arg],
        scope: &Scope,
    ) -> Eval<Ahead<'p>> {
        let primitive = match block.callee {
            Callee::Primitive(index) => crate::primitives::TABLE.get(index),
            Callee::Declared(_) => None,
        };
        let takes = primitive.is_some_and(|p| p.extra && p.params.contains(&"shape"));
        let is_axis = |arg: &&Arg| {
            let name = arg.name.as_ref();
            takes && name.is_some_and(|name| !known.contains(&name.text))
        };
        let (axes, args): (Vec<&'p Arg>, Vec<&'p Arg>) = args.iter().partition(is_axis);
        let mut dims = Vec::new();
        for arg in &axes {
            if let Some(name) = &arg.name {
                let loc = self.at(arg.span);
                let size = self.axis_size(&arg.value, scope, &name.text)?;
                let axis = mmh_ir::Axis::new(&name.text);
                self.add_axis(crate::value::Dim { axis, size, loc }, loc, &mut dims)?;
            }
        }
        let shape = (!axes.is_empty()).then(|| ("shape".to_owned(), Value::Shape(dims)));
        Ok((shape, args))
    }

    /// The value of a setting that is given ahead of the call.
    fn given_early(
        &mut self,
        block: &Block,
        setting: &str,
        expr: &'p Expr,
        scope: &Scope,
    ) -> Eval<Value> {
        let program = self.program;
        match block.callee {
            Callee::Declared(index) => {
                let params = program.block(index).map(|(block, _)| &block.params);
                let param = params
                    .into_iter()
                    .flatten()
                    .find(|p| p.name.text == setting);
                match param {
                    Some(param) => self.argument(&param.ty, expr, scope),
                    None => self.expr(expr, scope),
                }
            }
            Callee::Primitive(_) => match setting {
                "shape" => self.shape_or_other(expr, scope),
                "block" => self.block_value(expr, scope).map(Value::Block),
                "over" | "from" | "along" | "into" | "axis" | "axes" => {
                    let names = self.axis_names(expr, scope)?;
                    Ok(Value::Axes(
                        names.into_iter().map(|(name, _)| name).collect(),
                    ))
                }
                _ => self.expr(expr, scope),
            },
        }
    }

    pub(crate) fn param_names(&self, block: &Block) -> Vec<String> {
        match block.callee {
            Callee::Primitive(index) => crate::primitives::TABLE
                .get(index)
                .map_or_else(Vec::new, |p| {
                    p.params.iter().map(|n| (*n).to_string()).collect()
                }),
            Callee::Declared(index) => self.program.block(index).map_or_else(Vec::new, |(b, _)| {
                b.params.iter().map(|p| p.name.text.clone()).collect()
            }),
        }
    }

    pub(crate) fn body(&mut self, body: &'p Body, scope: &mut Scope, owner: &str) -> Eval<Value> {
        let mut locals: BTreeSet<&str> = BTreeSet::new();
        for local in &body.locals {
            if !locals.insert(&local.name.text) {
                let _: Eval<()> = self.fail_at(
                    Code::NameDuplicate,
                    local.name.span,
                    format!("`{}` is declared twice", local.name.text),
                    "give one of them another name",
                );
            }
            let single = self.makers_in(&local.value, scope) == 1;
            if single && let Some(place) = self.places.last_mut() {
                place.pinned = Some(
                    local
                        .key
                        .as_ref()
                        .map_or(&local.name.text, |k| &k.name.value)
                        .clone(),
                );
            }
            let value = self.let_value(local, scope);
            if let Some(place) = self.places.last_mut() {
                place.pinned = None;
            }
            let loc = self.at(local.name.span);
            if let Ok(value) = &value {
                self.hover(loc, || value.kind());
            }
            scope.set(&local.name.text, value.unwrap_or(Value::Error));
        }
        match &body.result {
            Some(result) => self.expr(result, scope),
            None => self.fail_at(
                Code::BlockNoResult,
                body.span,
                format!("`{owner}` ends without a result"),
                "end it with the value it gives",
            ),
        }
    }

    /// The value of a `let`, as the type beside it asks.
    pub(crate) fn let_value(&mut self, it: &'p Let, scope: &Scope) -> Eval<Value> {
        let Some(ty) = &it.ty else {
            return self.expr(&it.value, scope);
        };
        let value = self.argument(ty, &it.value, scope)?;
        let at = self.at(it.value.span());
        self.check_typed(ty, value, scope, &it.name.text, at)
    }

    pub(crate) fn check_result(
        &mut self,
        block: &'p mmh_syntax::ast::Block,
        ty: &'p Type,
        expected: &crate::types::Expected,
        value: Value,
    ) -> Eval<Value> {
        let result = block
            .body
            .result
            .as_ref()
            .map_or(block.body.span, |r| r.span());
        let loc = self.at(result);
        let Value::Tensor(tensor) = value else {
            if matches!(value, Value::Unknown) || expected.dims.is_empty() {
                return Ok(value);
            }
            return self.fail(
                Code::ShapeMismatch,
                loc,
                format!(
                    "`{}` gives {}, not a value with axes",
                    block.name.text,
                    value.kind()
                ),
                "",
            );
        };
        match self.compare(&tensor, expected) {
            None => self.ordered(tensor, expected).map(Value::Tensor),
            Some(difference) => {
                let (code, message) = match ty {
                    Type::Like { of, .. } => (
                        Code::ShapeNotLike,
                        format!(
                            "`{}` does not give the shape of `{}`: {difference}",
                            block.name.text,
                            of.text()
                        ),
                    ),
                    Type::Named { .. } | Type::Missing(_) => (
                        Code::ShapeMismatch,
                        format!(
                            "`{}` does not give the shape it declares: {difference}",
                            block.name.text
                        ),
                    ),
                };
                let last = last_step(block.body.result.as_ref());
                let at = last.map_or(loc, |span| self.at(span));
                let diagnostic = Diagnostic::error(code, message)
                    .at(at.source, at.span, format!("this is {}", tensor.text()))
                    .and(self.source, ty.span(), "declared here")
                    .help("change one of the two");
                let diagnostic = self.with_call(diagnostic);
                let before = self.diagnostics.len();
                self.report(diagnostic);
                if block.kind == BlockKind::Model && tensor.dims.len() == expected.dims.len() {
                    // A wrong number of classes is explained where the labels are compared.
                    if self.diagnostics.len() > before {
                        self.tentative
                            .extend(tensor.dims.iter().map(|d| (d.loc, before)));
                    }
                    return Ok(Value::Tensor(tensor));
                }
                Err(Reported)
            }
        }
    }

    pub(crate) fn ordered(
        &mut self,
        tensor: Tensor,
        expected: &crate::types::Expected,
    ) -> Eval<Tensor> {
        let dims: Option<Vec<_>> = expected
            .dims
            .iter()
            .map(|d| tensor.dims.iter().find(|t| t.axis == d.axis).cloned())
            .collect();
        match dims {
            Some(dims) if dims.len() == tensor.dims.len() => {
                let mut out = self.broadcast(&tensor, &dims)?;
                out.made = tensor.made;
                out.classes = tensor.classes;
                Ok(out)
            }
            _ => Ok(tensor),
        }
    }
}

// The last step of a pipe: what gave the result its shape.
fn last_step(result: Option<&Expr>) -> Option<mmh_diag::Span> {
    match result?.ungrouped() {
        Expr::Pipe { rhs, .. } => Some(rhs.span()),
        other => Some(other.span()),
    }
}
