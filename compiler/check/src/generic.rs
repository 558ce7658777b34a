//! Blocks checked on their signatures.

use crate::Way;
use crate::call::hidden;
use crate::core::{Cx, Mode};
use crate::expr::Scope;
use crate::value::{Eval, Value};
use mmh_syntax::ast::{Block, BlockKind, Item, Param};

impl<'p> Cx<'p> {
    /// Checks every block of the user on its signature alone, with sizes that are variables.
    pub(crate) fn check_blocks(&mut self, way: &Way) {
        for index in 0..self.program.declared.len() {
            let library = self
                .program
                .declared
                .get(index)
                .is_none_or(|d| self.program.is_library(d.source));
            if !library && !self.is_full() && way.reaches(index) {
                self.check_block(index);
            }
        }
    }

    /// Checks one block; poisons it if its body is wrong.
    pub(crate) fn check_block(&mut self, index: usize) {
        let program = self.program;
        let Some((block, source)) = program.block(index) else {
            return;
        };
        let before = self.diagnostics.len();
        let model = block.kind == BlockKind::Model;
        let mut inner = Cx::new(program, std::mem::take(&mut self.data));
        inner.source = source;
        inner.spent = self.spent;
        inner.generic = true;
        inner.mode = Mode::Training;
        inner.hovers = self.hovers.take();
        inner.flows = std::mem::take(&mut self.flows);
        inner.types = std::mem::take(&mut self.types);
        inner.frames.push(crate::core::Frame {
            declared: index,
            call: crate::value::Loc::default(),
        });
        inner.symbolic = !model;
        inner.told = self.told + before;
        inner.enter_root(crate::unfold::old_name(block));
        self.lend(&mut inner, model);
        let slots = inner.state.len();
        let checked = inner.generic_body(index, block);
        if checked.is_ok() {
            inner.count_parameters(block, slots);
        }
        inner.lend(self, model);
        self.spent = inner.spent;
        self.data = std::mem::take(&mut inner.data);
        self.hovers = inner.hovers.take();
        self.flows = std::mem::take(&mut inner.flows);
        self.types = std::mem::take(&mut inner.types);
        let tentative: Vec<_> = inner
            .tentative
            .iter()
            .map(|(loc, at)| (*loc, at + before))
            .collect();
        let found = std::mem::take(&mut inner.diagnostics);
        // What its signature leaves open is looked at where it is called.
        let sure = found.is_empty() && program.broken.is_empty();
        let failed = match inner.open {
            true => !sure,
            false => checked.is_err(),
        };
        for diagnostic in found {
            self.report(diagnostic);
        }
        self.tentative.extend(tentative);
        if failed || inner.assumed {
            self.poisoned.insert(index);
        }
    }

    /// Hands over what is known of all blocks; with a model, which has the same parameters wherever it is called, these too.
    fn lend(&mut self, other: &mut Self, model: bool) {
        std::mem::swap(&mut self.poisoned, &mut other.poisoned);
        std::mem::swap(&mut self.misdeclared, &mut other.misdeclared);
        std::mem::swap(&mut self.makes, &mut other.makes);
        std::mem::swap(&mut self.makers, &mut other.makers);
        std::mem::swap(&mut self.symbolic_calls, &mut other.symbolic_calls);
        if model {
            std::mem::swap(&mut self.calls, &mut other.calls);
            std::mem::swap(&mut self.state, &mut other.state);
            std::mem::swap(&mut self.state_values, &mut other.state_values);
            std::mem::swap(&mut self.state_index, &mut other.state_index);
        }
    }

    fn generic_body(&mut self, index: usize, block: &'p Block) -> Eval<()> {
        let mut scope = Scope::default();
        let hidden = hidden(block.kind);
        let mut values = Vec::new();
        let (tensors, numbers): (Vec<_>, Vec<_>) = block
            .params
            .iter()
            .partition(|p| crate::types::is_tensor(&p.ty));
        let (shapes, numbers): (Vec<_>, Vec<_>) = numbers
            .into_iter()
            .partition(|p| crate::shapes::is_shape(&p.ty));
        for param in numbers.into_iter().chain(shapes).chain(tensors) {
            let value = self.generic_value(param, &mut scope, hidden)?;
            let at = self.at(param.name.span);
            if matches!(value, Value::Tensor(_)) {
                self.hover(at, || value.kind());
            }
            values.push((param, value.clone(), at));
            scope.set(&param.name.text, value);
        }
        self.generic_defaults(&block.name.text, &block.params, &scope)?;
        let mut watched = self.watch_call(block, &values);
        if let Some(watched) = &mut watched {
            self.begin_call(watched);
        }
        let value = self.generic_result(index, block, &mut scope);
        if let Some(watched) = watched {
            self.end_call(index, watched, &value);
        }
        value.map(drop)
    }

    /// A default must be of the declared kind, whatever callers give. It sees the axes, and the parameters before it.
    fn generic_defaults(&mut self, owner: &str, params: &'p [Param], scope: &Scope) -> Eval<()> {
        let plain = |param: &&Param| param.default.is_some() && !crate::types::is_tensor(&param.ty);
        let open: Vec<&Param> = params.iter().filter(plain).collect();
        for (at, param) in open.iter().enumerate() {
            let later = open.iter().skip(at).map(|p| p.name.text.as_str());
            let mut seen = scope.without(&later.collect::<Vec<_>>());
            if !is_axis(&param.ty) {
                self.bind_default(owner, param, &mut seen)?;
            }
        }
        Ok(())
    }

    fn generic_result(&mut self, index: usize, block: &'p Block, scope: &mut Scope) -> Eval<Value> {
        let hidden = hidden(block.kind);
        let expected = match &block.returns {
            Some(ty) => Some((ty, self.expected(ty, scope, hidden)?)),
            None => None,
        };
        let value = self.body(&block.body, scope, &block.name.text)?;
        let Some((ty, expected)) = expected else {
            return Ok(value);
        };
        let checked = self.check_result(block, ty, &expected, value);
        if checked.is_err() {
            self.misdeclared.insert(index);
        }
        checked
    }

    /// Top-level values that nothing uses are checked too.
    pub(crate) fn check_lets(&mut self, way: &Way) {
        for index in 0..self.program.declared.len() {
            let program = self.program;
            let Some(declared) = program.declared.get(index) else {
                continue;
            };
            if let Item::Let(it) = declared.item.as_ref()
                && !program.is_library(declared.source)
                && way.reaches(index)
            {
                self.source = declared.source;
                let _ = self.name_value(&it.name, &Scope::default());
            }
        }
    }
}

fn is_axis(ty: &mmh_syntax::ast::Type) -> bool {
    matches!(ty, mmh_syntax::ast::Type::Named { name, axes: None, .. } if matches!(name.text.as_str(), "axis" | "axes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{DataFacts, DataFault, SourceRequest, TextFault, World};

    struct Nothing;

    impl World for Nothing {
        fn read_text(&self, _: &str) -> Result<String, TextFault> {
            Ok("mmh 1\n".into())
        }

        fn data_facts(&self, _: &SourceRequest) -> Result<DataFacts, DataFault> {
            Ok(DataFacts::default())
        }

        fn part_rows(
            &self,
            _: &SourceRequest,
            _: &mmh_ir::plan::SplitPlan,
            _: Option<&str>,
        ) -> Result<[u64; 3], DataFault> {
            Ok([0; 3])
        }
    }

    #[test]
    fn the_standard_library_checks_on_its_signatures() {
        let (program, found) = crate::program::load(&Nothing, "main.mmh", &[]);
        assert_eq!(found, vec![]);
        for (name, text) in mmh_std::FILES {
            assert_eq!(mmh_syntax::parse(text).diagnostics, [], "{name}");
        }
        let mut cx = Cx::new(&program, vec![]);
        let mut blocks = 0;
        for index in 0..program.declared.len() {
            if let Some((block, source)) = program.block(index) {
                assert!(
                    program.is_library(source) && block.doc.is_some(),
                    "{}",
                    block.name.text
                );
                cx.check_block(index);
                blocks += 1;
            }
        }
        assert_eq!(cx.diagnostics, vec![]);
        assert!(blocks >= 10 && cx.poisoned.is_empty());
    }

    #[test]
    fn no_name_is_both_a_primitive_and_a_block() {
        let (program, _) = crate::program::load(&Nothing, "main.mmh", &[]);
        let twice: Vec<&str> = program
            .library_names()
            .filter(|n| crate::primitives::find(n).is_some())
            .collect();
        assert_eq!(twice, Vec::<&str>::new());
    }
}
