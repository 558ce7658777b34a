//! Calls: arguments find their settings, blocks are unfolded where they are called.

use crate::core::Cx;
use crate::expr::Scope;
use crate::primitives::Primitive;
use crate::types::Hidden;
use crate::value::{Block, Callee, Eval, Loc, Made, Reported, Tensor, Value};
use mmh_diag::{Code, Diagnostic, name_elsewhere, setting_elsewhere, suggest};
use mmh_syntax::ast::{Arg, BlockKind, Call, Expr, Name, Path, Type};

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

/// How the arguments of a call have found their settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    Whole,
    /// They have, and the value that flows in is in error already.
    Poisoned,
    /// One has not, and that is reported.
    Failed,
}

impl<'p> Bound<'p, '_> {
    pub(crate) fn get(&self, name: &str) -> Option<&Given<'p>> {
        self.given.iter().find(|(n, _)| n == name).map(|(_, g)| g)
    }
}

/// The setting a wrong name probably means.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let here = setting_elsewhere(word, known).and_then(|entry| entry.here);
    here.and_then(|here| known.iter().copied().find(|k| *k == here))
        .or_else(|| suggest(word, known.iter().copied()))
}

/// What to do about a setting that is not there, and the name to put in its place, where that is all.
pub(crate) fn advice<'a>(
    word: &str,
    known: &[&'a str],
    takes: String,
) -> (String, Option<&'a str>) {
    match setting_elsewhere(word, known) {
        Some(entry) if !entry.help.is_empty() => (entry.help.to_owned(), None),
        _ => match nearest(word, known) {
            Some(near) => (format!("did you mean `{near}`? {takes}"), Some(near)),
            None => (takes, None),
        },
    }
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

    pub(crate) fn callee(&mut self, path: &'p Path, scope: &Scope) -> Eval<Option<Block>> {
        let Some(name) = path.single() else {
            let help = self.without_module(path);
            return self.fail_at(
                Code::TypeNotCallable,
                path.span,
                format!("`{}` cannot be called", path.text()),
                help,
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

    /// What to write for `nn.Linear` and its like.
    fn without_module(&self, path: &Path) -> String {
        let last = path.names.last().map_or("", |name| name.text.as_str());
        if let Some(entry) = name_elsewhere(last) {
            return entry.help.to_owned();
        }
        let known = crate::primitives::find(last).is_some();
        match known || self.program.find(self.source, last).is_some() {
            true => format!("write `{last}`: no module stands before it"),
            false => "call a block by its name".to_owned(),
        }
    }

    pub(crate) fn call_block(
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
                let (bound, binding) = self.bind(
                    name,
                    primitive.params,
                    primitive.extra,
                    args,
                    piped,
                    scope,
                    loc,
                );
                if binding != Binding::Whole {
                    self.probe(primitive, &bound);
                    return self.kept(primitive.keeps(), primitive.params.first(), &bound);
                }
                let value = self.call_primitive(primitive, &bound, key);
                value.or_else(|_| self.kept(primitive.keeps(), primitive.params.first(), &bound))
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
                let (mut bound, binding) = self.bind(name, &open, false, args, piped, scope, loc);
                for (name, value) in block.given.iter() {
                    bound
                        .given
                        .push((name.clone(), Given::Value(value.clone(), loc)));
                }
                let value = match binding {
                    Binding::Whole => self.unfold(index, declared, source, &bound, key),
                    Binding::Poisoned => {
                        let _ = self.arguments(declared, source, &bound);
                        Err(Reported)
                    }
                    Binding::Failed => Err(Reported),
                };
                let keeps = keeps(declared) && !self.misdeclared.contains(&index);
                value.or_else(|_| self.kept(keeps, names.first(), &bound))
            }
        }
    }

    /// What flows out of a call that failed, if that is sure to have the shape of what flowed in.
    fn kept(&mut self, keeps: bool, first: Option<&&str>, bound: &Bound<'p, '_>) -> Eval<Value> {
        let given = first.and_then(|first| bound.get(first));
        let open = std::mem::take(&mut self.opening);
        match given {
            Some(Given::Value(Value::Tensor(tensor), _)) if keeps && !self.emit => {
                self.assumed |= !open;
                Ok(Value::Tensor(Tensor {
                    made: Made::Plain,
                    ..tensor.clone()
                }))
            }
            _ => Err(Reported),
        }
    }

    /// Finds the mistakes in the arguments of a call that is not made.
    fn probe(&mut self, primitive: &Primitive, bound: &Bound<'p, '_>) {
        for (name, given) in &bound.given {
            let Given::Expr(expr, _) = given else {
                continue;
            };
            let _ = match name.as_str() {
                "block" => self.block_value(expr, bound.scope).map(|_| ()),
                name if NAMES.contains(&name) => Ok(()),
                _ => self.expr(expr, bound.scope).map(|_| ()),
            };
        }
        for (_, expr) in &bound.extra {
            let _ = match primitive.name {
                "map" => self.block_value(expr, bound.scope).map(|_| ()),
                "rename" => Ok(()),
                _ => self.expr(expr, bound.scope).map(|_| ()),
            };
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

    /// Gives every argument its setting.
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
    ) -> (Bound<'p, 's>, Binding) {
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
                if let Some(first) = free.next() {
                    let given = Given::Value(Value::Error, loc);
                    bound.given.push(((*first).to_string(), given));
                }
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
        let binding = match (failed, poison) {
            (true, _) => Binding::Failed,
            (false, true) => Binding::Poisoned,
            (false, false) => Binding::Whole,
        };
        (bound, binding)
    }

    pub(crate) fn unknown_setting(&mut self, owner: &str, given: &Name, params: &[&str]) {
        if self.is_full() {
            return;
        }
        // Which parameters an optimiser moves is no setting of the method itself.
        let shown: Vec<&str> = params.iter().copied().filter(|p| *p != "on").collect();
        let takes = if shown.is_empty() {
            "it takes none".to_string()
        } else {
            format!("it takes: {}", shown.join(", "))
        };
        let (help, near) = advice(&given.text, params, takes);
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
}

/// Settings of primitives that take words, which are no values.
const NAMES: &[&str] = &[
    "over", "from", "along", "shape", "into", "with", "axis", "axes", "key", "causal", "init",
];

/// Whether what a block gives has the shape of what flows into it.
fn keeps(block: &mmh_syntax::ast::Block) -> bool {
    let first = block.params.first().map(|param| param.name.text.as_str());
    match &block.returns {
        Some(Type::Like { of, .. }) => of.single().map(|of| of.text.as_str()) == first,
        Some(Type::Named { .. } | Type::Missing(_)) | None => false,
    }
}

/// A block sees the batch; an augmentation sees one row, and the batch is there unseen.
pub(crate) fn hidden(kind: BlockKind) -> Hidden {
    match kind {
        BlockKind::Augment => Hidden::Batch,
        BlockKind::Block | BlockKind::Model => Hidden::Nothing,
    }
}
