//! Calls: arguments find their settings, blocks are unfolded where they are called.

use crate::core::{Cx, Frame};
use crate::expr::Scope;
use crate::poly::Poly;
use crate::types::Hidden;
use crate::value::{Block, Callee, Eval, Loc, Reported, Tensor, Value};
use mmh_diag::{Code, Diagnostic, SourceId, suggest};
use mmh_ir::Axis;
use mmh_syntax::ast::{Arg, BlockKind, Body, Call, Expr, Name, Param, Path, Type};
use std::rc::Rc;

/// One argument: evaluated already, or still to be read as what its place asks for.
#[derive(Clone, Debug)]
pub(crate) enum Given<'p> {
    Value(Value, Loc),
    Expr(&'p Expr, Loc),
}

impl Given<'_> {
    pub(crate) fn loc(&self) -> Loc {
        match self {
            Given::Value(_, loc) | Given::Expr(_, loc) => *loc,
        }
    }
}

/// A call whose arguments have found their settings.
#[derive(Clone, Debug)]
pub(crate) struct Bound<'p, 's> {
    pub(crate) name: String,
    /// The callee's name.
    pub(crate) loc: Loc,
    pub(crate) given: Vec<(String, Given<'p>)>,
    /// Named arguments that are names of axes or columns.
    pub(crate) extra: Vec<(&'p Name, &'p Expr)>,
    pub(crate) scope: &'s Scope,
}

impl<'p> Bound<'p, '_> {
    pub(crate) fn get(&self, name: &str) -> Option<&Given<'p>> {
        self.given.iter().find(|(n, _)| n == name).map(|(_, g)| g)
    }
}

/// What people write who know it from elsewhere.
const ELSEWHERE: &[(&str, &str)] = &[
    ("learning_rate", "lr"),
    ("rate", "lr"),
    ("weight_decay", "decay"),
    ("wd", "decay"),
    ("eps", "epsilon"),
    ("kernel_size", "kernel"),
    ("filters", "to"),
    ("out_channels", "to"),
    ("out_features", "to"),
    ("optimizer", "optimize"),
    ("optimiser", "optimize"),
    ("epochs", "length"),
    ("batch_size", "rows"),
    ("dim", "over"),
    ("axis", "over"),
    ("axes", "over"),
    ("num_heads", "heads"),
    ("beta1", "betas"),
    ("clip_norm", "clip"),
    ("scheduler", "schedule"),
    ("dataset", "rows"),
    ("sigma", "std"),
];

/// The setting a wrong name probably means.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let alias = ELSEWHERE
        .iter()
        .find(|(other, ours)| *other == word && known.contains(ours))
        .map(|(_, ours)| *ours);
    alias
        .and_then(|ours| known.iter().copied().find(|k| *k == ours))
        .or_else(|| suggest(word, known.iter().copied()))
}

impl<'p> Cx<'p> {
    /// `name(arguments)`, perhaps behind a `|>`.
    pub(crate) fn call(
        &mut self,
        call: &'p Call,
        piped: Option<Eval<(Value, Loc)>>,
        scope: &Scope,
    ) -> Eval<Value> {
        let key = call.key.as_ref().map(|k| k.name.value.as_str());
        let callee = self.callee(&call.callee, scope)?;
        self.call_block(&callee, &call.callee, &call.args, piped, key, scope)
    }

    /// `|> name` without parentheses.
    pub(crate) fn call_path(
        &mut self,
        path: &'p Path,
        piped: Eval<(Value, Loc)>,
        scope: &Scope,
    ) -> Eval<Value> {
        let callee = self.callee(path, scope)?;
        self.call_block(&callee, path, &[], Some(piped), None, scope)
    }

    fn callee(&mut self, path: &'p Path, scope: &Scope) -> Eval<Option<Block>> {
        let Some(name) = path.single() else {
            return self.fail_at(
                Code::TypeNotCallable,
                path.span,
                format!("`{}` cannot be called", path.text()),
                "call a block by its name",
            );
        };
        match self.name_value(name, scope)? {
            Value::Block(block) => Ok(Some(block)),
            Value::Unknown => Ok(None),
            other => self.fail_at(
                Code::TypeNotCallable,
                path.span,
                format!("`{}` is {}, not a block", name.text, other.kind()),
                "",
            ),
        }
    }

    fn call_block(
        &mut self,
        callee: &Option<Block>,
        path: &'p Path,
        args: &'p [Arg],
        piped: Option<Eval<(Value, Loc)>>,
        key: Option<&str>,
        scope: &Scope,
    ) -> Eval<Value> {
        let loc = self.at(path.span);
        let name = path.single().map_or("", |n| n.text.as_str());
        let Some(block) = callee else {
            return piped
                .transpose()?
                .map_or(Ok(Value::Unknown), |(value, _)| Ok(value));
        };
        match block.callee {
            Callee::Primitive(index) => {
                let Some(primitive) = crate::primitives::TABLE.get(index) else {
                    return Err(Reported);
                };
                let (bound, poison) = self.bind(
                    name,
                    primitive.params,
                    primitive.extra,
                    args,
                    piped,
                    scope,
                    loc,
                )?;
                if poison {
                    return Err(Reported);
                }
                self.call_primitive(primitive, &bound, key)
            }
            Callee::Declared(index) => {
                let program = self.program;
                let Some((declared, source)) = program.block(index) else {
                    return Err(Reported);
                };
                let names: Vec<&str> = declared
                    .params
                    .iter()
                    .map(|p| p.name.text.as_str())
                    .collect();
                let given: Vec<&str> = block.given.iter().map(|(n, _)| n.as_str()).collect();
                let open: Vec<&str> = names
                    .iter()
                    .copied()
                    .filter(|n| !given.contains(n))
                    .collect();
                let (mut bound, poison) = self.bind(name, &open, false, args, piped, scope, loc)?;
                for (name, value) in block.given.iter() {
                    bound
                        .given
                        .push((name.clone(), Given::Value(value.clone(), loc)));
                }
                if poison {
                    return Err(Reported);
                }
                self.unfold(index, declared, source, &bound, key)
            }
        }
    }

    pub(crate) fn call_primitive(
        &mut self,
        primitive: &'static crate::primitives::Primitive,
        bound: &Bound<'p, '_>,
        key: Option<&str>,
    ) -> Eval<Value> {
        if !primitive.makes {
            return (primitive.run)(self, bound);
        }
        self.enter(primitive.name, key, bound.loc)?;
        let value = (primitive.run)(self, bound);
        self.leave();
        value
    }

    /// A block applied to one value, as `repeat` and `map` do.
    pub(crate) fn apply(
        &mut self,
        block: &Block,
        value: Value,
        loc: Loc,
        scope: &Scope,
    ) -> Eval<Value> {
        match block.callee {
            Callee::Primitive(index) => {
                let Some(primitive) = crate::primitives::TABLE.get(index) else {
                    return Err(Reported);
                };
                let first = primitive.params.first().copied().unwrap_or("x");
                let mut given = vec![(first.to_string(), Given::Value(value, loc))];
                given.extend(
                    block
                        .given
                        .iter()
                        .map(|(n, v)| (n.clone(), Given::Value(v.clone(), loc))),
                );
                let bound = Bound {
                    name: primitive.name.to_string(),
                    loc,
                    given,
                    extra: vec![],
                    scope,
                };
                self.call_primitive(primitive, &bound, None)
            }
            Callee::Declared(index) => {
                let program = self.program;
                let Some((declared, source)) = program.block(index) else {
                    return Err(Reported);
                };
                let first = declared
                    .params
                    .iter()
                    .map(|p| &p.name.text)
                    .find(|n| !block.given.iter().any(|(g, _)| g == *n));
                let Some(first) = first else {
                    return self.fail(
                        Code::TypeArgumentCount,
                        loc,
                        format!("`{}` takes nothing more", declared.name.text),
                        "",
                    );
                };
                let mut given = vec![(first.clone(), Given::Value(value, loc))];
                given.extend(
                    block
                        .given
                        .iter()
                        .map(|(n, v)| (n.clone(), Given::Value(v.clone(), loc))),
                );
                let bound = Bound {
                    name: declared.name.text.clone(),
                    loc,
                    given,
                    extra: vec![],
                    scope,
                };
                self.unfold(index, declared, source, &bound, None)
            }
        }
    }

    /// Gives every argument its setting. The flag says that a piped value is already in error.
    #[expect(clippy::too_many_arguments, reason = "a call has these parts")]
    pub(crate) fn bind<'s>(
        &mut self,
        name: &str,
        params: &[&str],
        extra: bool,
        args: &'p [Arg],
        piped: Option<Eval<(Value, Loc)>>,
        scope: &'s Scope,
        loc: Loc,
    ) -> Eval<(Bound<'p, 's>, bool)> {
        let mut bound = Bound {
            name: name.to_string(),
            loc,
            given: vec![],
            extra: vec![],
            scope,
        };
        let mut free = params.iter();
        let mut failed = false;
        let mut poison = false;
        match piped {
            Some(Ok((value, at))) => match free.next() {
                Some(first) => bound
                    .given
                    .push(((*first).to_string(), Given::Value(value, at))),
                None => {
                    let _: Eval<()> = self.fail(
                        Code::TypeArgumentCount,
                        loc,
                        format!("`{name}` takes no value"),
                        "",
                    );
                    failed = true;
                }
            },
            Some(Err(Reported)) => {
                free.next();
                poison = true;
            }
            None => {}
        }
        for arg in args {
            let at = self.at(arg.value.span());
            let Some(given) = &arg.name else {
                let taken = free.find(|p| !bound.given.iter().any(|(n, _)| n == *p));
                match taken {
                    Some(param) => bound
                        .given
                        .push(((*param).to_string(), Given::Expr(&arg.value, at))),
                    None if !failed => {
                        let help = if params.is_empty() {
                            "it takes none".to_string()
                        } else {
                            format!("it takes: {}", params.join(", "))
                        };
                        let _: Eval<()> = self.fail(
                            Code::TypeArgumentCount,
                            at,
                            format!("`{name}` takes no value here"),
                            help,
                        );
                        failed = true;
                    }
                    None => {}
                }
                continue;
            };
            if bound.given.iter().any(|(n, _)| *n == given.text)
                || bound.extra.iter().any(|(n, _)| n.text == given.text)
            {
                let _: Eval<()> = self.fail_at(
                    Code::SettingDuplicate,
                    given.span,
                    format!("`{}` is given twice", given.text),
                    "leave one away",
                );
                failed = true;
            } else if params.contains(&given.text.as_str()) {
                bound
                    .given
                    .push((given.text.clone(), Given::Expr(&arg.value, at)));
            } else if extra {
                bound.extra.push((given, &arg.value));
            } else {
                self.unknown_setting(name, given, params);
                failed = true;
            }
        }
        if failed {
            Err(Reported)
        } else {
            Ok((bound, poison))
        }
    }

    pub(crate) fn unknown_setting(&mut self, owner: &str, given: &Name, params: &[&str]) {
        // Which parameters an optimiser moves is no setting of the method itself.
        let shown: Vec<&str> = params.iter().copied().filter(|p| *p != "on").collect();
        let takes = if shown.is_empty() {
            "it takes none".to_string()
        } else {
            format!("it takes: {}", shown.join(", "))
        };
        let near = nearest(&given.text, params);
        let help = near.map_or(takes.clone(), |near| {
            format!("did you mean `{near}`? {takes}")
        });
        let mut diagnostic = Diagnostic::error(
            Code::SettingUnknown,
            format!("`{owner}` has no setting `{}`", given.text),
        )
        .at(self.source, given.span, "")
        .help(help);
        if let Some(near) = near {
            diagnostic = diagnostic.fix(format!("write `{near}`"), given.span, near);
        }
        self.report(diagnostic);
    }

    // ---- blocks ----

    fn unfold(
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
        let mut scope = Scope::default();
        let arguments = self.arguments(block, source, bound);
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
            BlockKind::Augment if inner => self.enter(&block.name.text, key, bound.loc),
            BlockKind::Block => self.enter(
                &block.name.text,
                key.or(block.key.as_ref().map(|k| k.name.value.as_str())),
                bound.loc,
            ),
            BlockKind::Model | BlockKind::Augment => {
                let root = block
                    .key
                    .as_ref()
                    .map_or(&block.name.text, |k| &k.name.value);
                self.enter_root(root);
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
        value
    }

    fn unfold_with(
        &mut self,
        block: &'p mmh_syntax::ast::Block,
        index: usize,
        values: Vec<(&'p Param, Value, Loc)>,
        scope: &mut Scope,
    ) -> Eval<Value> {
        let hidden = hidden(block.kind);
        self.bind_params(&block.name.text, values, scope, hidden)?;
        self.bind_defaults(&block.params, scope)?;
        if self.poisoned.contains(&index) {
            return Err(Reported);
        }
        let expected = match &block.returns {
            Some(ty) => Some(self.expected(ty, scope, hidden)?),
            None => None,
        };
        let value = self.body(&block.body, scope, &block.name.text)?;
        match (&block.returns, expected) {
            (Some(ty), Some(expected)) => self.check_result(block, ty, &expected, value),
            _ => Ok(value),
        }
    }

    fn arguments(
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
    fn argument(&mut self, ty: &Type, expr: &'p Expr, scope: &Scope) -> Eval<Value> {
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
            Type::Named { .. } | Type::Like { .. } | Type::Missing(_) => self.expr(expr, scope),
        }
    }

    /// A block by name, or with some settings given: `layer(heads = 4)`.
    pub(crate) fn block_value(&mut self, expr: &'p Expr, scope: &Scope) -> Eval<Block> {
        let loc = self.at(expr.span());
        match expr.ungrouped() {
            Expr::Call(call) => {
                let Some(block) = self.callee(&call.callee, scope)? else {
                    return Err(Reported);
                };
                let mut given: Vec<(String, Value)> = block.given.as_ref().clone();
                let known = self.param_names(&block);
                for arg in &call.args {
                    let Some(name) = &arg.name else {
                        // The first parameter is what flows in, so places count from the second.
                        let open: Vec<&String> = known
                            .iter()
                            .skip(1)
                            .filter(|n| !given.iter().any(|(g, _)| g == *n))
                            .collect();
                        match open.first() {
                            Some(param) => {
                                given.push(((*param).clone(), self.expr(&arg.value, scope)?))
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
                    given.push((name.text.clone(), self.expr(&arg.value, scope)?));
                }
                Ok(Block {
                    callee: block.callee,
                    given: Rc::new(given),
                })
            }
            _ => match self.expr(expr, scope)? {
                Value::Block(block) => Ok(block),
                Value::Unknown => Err(Reported),
                other => self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("a block is needed here, not {}", other.kind()),
                    "write its name, such as `relu`",
                ),
            },
        }
    }

    fn param_names(&self, block: &Block) -> Vec<String> {
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
        let mut locals: Vec<&str> = Vec::new();
        for local in &body.locals {
            if locals.contains(&local.name.text.as_str()) {
                let _: Eval<()> = self.fail_at(
                    Code::NameDuplicate,
                    local.name.span,
                    format!("`{}` is declared twice", local.name.text),
                    "give one of them another name",
                );
            }
            locals.push(&local.name.text);
            let single = self.makers(&local.value, scope) == 1;
            if single && let Some(place) = self.places.last_mut() {
                place.pinned = Some(
                    local
                        .key
                        .as_ref()
                        .map_or(&local.name.text, |k| &k.name.value)
                        .clone(),
                );
            }
            let value = self
                .expr(&local.value, scope)
                .and_then(|value| match &local.ty {
                    Some(ty) => {
                        let at = self.at(local.value.span());
                        self.check_typed(ty, value, scope, &local.name.text, at)
                    }
                    None => Ok(value),
                });
            if let Some(place) = self.places.last_mut() {
                place.pinned = None;
            }
            let loc = self.at(local.name.span);
            if let Ok(value) = &value {
                let text = value.kind();
                self.hover(loc, || text);
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

    fn ordered(&mut self, tensor: Tensor, expected: &crate::types::Expected) -> Eval<Tensor> {
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

    // ---- arguments of primitives ----

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

    pub(crate) fn as_tensor(&mut self, value: Value, loc: Loc, owner: &str) -> Eval<Tensor> {
        match self.read(value)? {
            Value::Tensor(t) => Ok(t),
            Value::Unknown | Value::Error => Err(Reported),
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
                    _ => Ok(vec![(name.text.clone(), loc)]),
                },
                None => self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{}` is no axis name", path.text()),
                    "an axis is one word",
                ),
            },
            Expr::Rest(_) => Ok(vec![("...".to_string(), loc)]),
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
                return self.fail(
                    Code::ShapeAxisUnknown,
                    *loc,
                    format!("`{owner}` finds no axis `{name}` in {}", tensor.text()),
                    help,
                );
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

    // ---- which calls have parameters or draws ----

    /// How many calls of an expression make parameters or draws.
    pub(crate) fn makers(&mut self, expr: &'p Expr, scope: &Scope) -> usize {
        let mut calls: Vec<&'p Name> = Vec::new();
        // `init = normal(std = 0.02)` names a spread, not a draw of its own.
        let mut inits: Vec<mmh_diag::Span> = Vec::new();
        crate::program::walk(expr, &mut |e| match e {
            Expr::Call(call) => {
                calls.extend(call.callee.single());
                let named = |a: &&Arg| a.name.as_ref().is_some_and(|n| n.text == "init");
                inits.extend(call.args.iter().filter(named).map(|a| a.span));
            }
            Expr::Path(path) => calls.extend(path.single()),
            _ => {}
        });
        calls.retain(|n| {
            !inits
                .iter()
                .any(|s| s.start <= n.span.start && n.span.end <= s.end)
        });
        calls
            .into_iter()
            .filter(|name| self.makes_by_name(name, scope))
            .count()
    }

    fn makes_by_name(&mut self, name: &Name, scope: &Scope) -> bool {
        match scope.get(&name.text) {
            Some(Value::Block(_)) => return true,
            Some(_) => return false,
            None => {}
        }
        match self.program.find(self.source, &name.text) {
            Some(index) => self.makes(index),
            None => crate::primitives::find(&name.text)
                .and_then(|i| crate::primitives::TABLE.get(i))
                .is_some_and(|p| p.makes),
        }
    }

    fn makes(&mut self, index: usize) -> bool {
        match self.makes.get(&index) {
            Some(known) => return known.unwrap_or(false),
            None => self.makes.insert(index, None),
        };
        let program = self.program;
        let answer = program.block(index).is_some_and(|(block, source)| {
            let before = std::mem::replace(&mut self.source, source);
            let scope = Scope::default();
            let takes_block = block
                .params
                .iter()
                .any(|p| matches!(&p.ty, Type::Named { name, .. } if name.text == "block"));
            let locals = block
                .body
                .locals
                .iter()
                .map(|l| &l.value)
                .chain(&block.body.result);
            let inside: usize = locals.map(|e| self.makers(e, &scope)).sum();
            self.source = before;
            takes_block || inside > 0
        });
        self.makes.insert(index, Some(answer));
        answer
    }
}

/// A block sees the batch; an augmentation sees one row, and the batch is there unseen.
pub(crate) fn hidden(kind: BlockKind) -> Hidden {
    match kind {
        BlockKind::Augment => Hidden::Batch,
        BlockKind::Block | BlockKind::Model => Hidden::Nothing,
    }
}

// The last step of a pipe: what gave the result its shape.
fn last_step(result: Option<&Expr>) -> Option<mmh_diag::Span> {
    match result?.ungrouped() {
        Expr::Pipe { rhs, .. } => Some(rhs.span()),
        other => Some(other.span()),
    }
}
