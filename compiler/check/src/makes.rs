//! Which calls make parameters or draws, and so have a path.

use crate::core::Cx;
use crate::expr::Scope;
use crate::value::Value;
use mmh_syntax::ast::{Arg, Expr, Name, Type};

impl<'p> Cx<'p> {
    /// How many calls of a value in a body make parameters or draws.
    pub(crate) fn makers_in(&mut self, expr: &'p Expr, scope: &Scope) -> usize {
        let place = self.at(expr.span());
        if let Some(known) = self.makers.get(&place) {
            return *known;
        }
        let calls = calls(expr);
        // What is passed as a block may make some or not.
        let open = |name: &&'p Name| {
            let value = scope.get(&name.text);
            matches!(value, Some(Value::Block(_) | Value::Unknown | Value::Error))
        };
        let fixed = !calls.iter().any(open);
        let makers = calls.iter().filter(|name| self.makes_by_name(name, scope));
        let count = makers.count();
        if fixed {
            self.makers.insert(place, count);
        }
        count
    }

    pub(crate) fn makes_by_name(&mut self, name: &Name, scope: &Scope) -> bool {
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

    pub(crate) fn makes(&mut self, index: usize) -> bool {
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
            let mut inside = locals.flat_map(calls);
            let inside = inside.any(|name| self.makes_by_name(name, &scope));
            self.source = before;
            takes_block || inside
        });
        self.makes.insert(index, Some(answer));
        answer
    }
}

/// The names that an expression may call.
fn calls(expr: &Expr) -> Vec<&Name> {
    let mut calls: Vec<&Name> = Vec::new();
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
}
