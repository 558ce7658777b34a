//! Blocks checked on their signatures, and recipes checked for every choice of a search.

use crate::Way;
use crate::call::hidden;
use crate::core::{Cx, Mode};
use crate::expr::Scope;
use crate::recipe::Purpose;
use crate::space::{Site, alternatives, sites};
use crate::value::{Eval, Value};
use mmh_diag::{Code, Diagnostic};
use mmh_syntax::ast::{Block, Item};

const MOST_COMBINATIONS: usize = 256;

impl<'p> Cx<'p> {
    /// Checks every block of the user on its signature alone, with sizes that are variables.
    pub(crate) fn check_blocks(&mut self, way: &Way) {
        for index in 0..self.program.declared.len() {
            let library = self
                .program
                .declared
                .get(index)
                .is_none_or(|d| self.program.is_library(d.source));
            if !library && way.reaches(index) {
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
        inner.enter_root(&block.name.text);
        inner.poisoned.clone_from(&self.poisoned);
        inner.misdeclared.clone_from(&self.misdeclared);
        let checked = inner.generic_body(index, block);
        if checked.is_ok() {
            inner.count_parameters(block);
        }
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
        for diagnostic in found {
            self.report(diagnostic);
        }
        self.tentative.extend(tentative);
        self.misdeclared
            .extend(std::mem::take(&mut inner.misdeclared));
        if (checked.is_err() || inner.assumed) && self.diagnostics.len() > before {
            self.poisoned.insert(index);
        }
    }

    fn generic_body(&mut self, index: usize, block: &'p Block) -> Eval<()> {
        let mut scope = Scope::default();
        let hidden = hidden(block.kind);
        let (tensors, numbers): (Vec<_>, Vec<_>) = block
            .params
            .iter()
            .partition(|p| crate::types::is_tensor(&p.ty));
        for param in numbers.into_iter().chain(tensors) {
            let value = self.generic_value(param, &mut scope, hidden)?;
            if let Some(default) = &param.default
                && !matches!(value, Value::Tensor(_))
                && !is_axis(&param.ty)
            {
                // A default must be of the declared kind, whatever callers give.
                let loc = self.at(default.span());
                let given = self.expr(default, &scope)?;
                self.plain(&param.ty, given, loc, &param.name.text)?;
            }
            let at = self.at(param.name.span);
            if matches!(value, Value::Tensor(_)) {
                self.hover(at, || value.kind());
            }
            scope.set(&param.name.text, value);
        }
        let expected = match &block.returns {
            Some(ty) => Some((ty, self.expected(ty, &scope, hidden)?)),
            None => None,
        };
        let value = self.body(&block.body, &mut scope, &block.name.text)?;
        if let Some((ty, expected)) = expected {
            let checked = self.check_result(block, ty, &expected, value);
            if checked.is_err() {
                self.misdeclared.insert(index);
            }
            checked?;
        }
        Ok(())
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

/// Re-elaborates every training for every choice; a failure names the variable and what breaks.
pub(crate) fn check_choices(cx: &mut Cx<'_>, trainings: &[usize]) {
    let program = cx.program;
    let found = sites(program);
    let discrete: Vec<(&Site<'_>, usize)> = found
        .iter()
        .filter_map(|s| alternatives(s.space).map(|n| (s, n)))
        .filter(|(_, n)| *n > 0)
        .collect();
    if discrete.is_empty() {
        return;
    }
    // One variable at a time names the culprit; combinations find what only two together break.
    for (site, count) in &discrete {
        let verdicts: Vec<Option<Diagnostic>> = (0..*count)
            .map(|nth| attempt(cx, trainings, &[(site, nth)]))
            .collect();
        if cx.is_spent() {
            return unchecked(cx, site);
        }
        if verdicts.iter().any(Option::is_some) {
            counterexample(cx, site, &verdicts);
            return;
        }
    }
    let total = discrete
        .iter()
        .try_fold(1usize, |product, (_, n)| product.checked_mul(*n));
    if discrete.len() < 2 || total.is_none_or(|t| t > MOST_COMBINATIONS) {
        return;
    }
    for number in 0..total.unwrap_or(0) {
        let mut rest = number;
        let mut picks = Vec::new();
        for (site, count) in &discrete {
            picks.push((*site, rest % count));
            rest /= count;
        }
        if cx.is_spent() {
            return;
        }
        if let Some(cause) = attempt(cx, trainings, &picks) {
            combination(cx, &picks, &cause);
            return;
        }
    }
}

/// Says that there are more choices than can be tried here.
fn unchecked(cx: &mut Cx<'_>, site: &Site<'_>) {
    let message = format!(
        "from `{}` on, the choices are too many to be tried one by one",
        site.name
    );
    let diagnostic = Diagnostic::warning(Code::LimitTooLarge, message)
        .at(site.space_loc.source, site.space_loc.span, "")
        .help("a choice that breaks the model is found when it is drawn; fewer choices are checked before");
    cx.report(diagnostic);
}

fn attempt(
    cx: &mut Cx<'_>,
    trainings: &[usize],
    picks: &[(&Site<'_>, usize)],
) -> Option<Diagnostic> {
    let mut inner = Cx::new(cx.program, std::mem::take(&mut cx.data));
    inner.spent = cx.spent;
    inner.choices = picks.iter().map(|(site, nth)| (site.loc, *nth)).collect();
    for training in trainings {
        let _ = inner.purpose(*training, None, Purpose::Step);
    }
    cx.data = std::mem::take(&mut inner.data);
    cx.spent = inner.spent;
    if cx.is_spent() {
        return None;
    }
    inner.diagnostics.into_iter().find(Diagnostic::is_error)
}

fn shown(cx: &Cx<'_>, site: &Site<'_>, nth: usize) -> String {
    match crate::space::alternative(site.space, nth) {
        Some(crate::space::Alternative::Written(expr)) => cx.text(crate::value::Loc {
            source: site.loc.source,
            span: expr.span(),
        }),
        Some(crate::space::Alternative::Number(n)) => n.to_string(),
        None => String::new(),
    }
}

fn counterexample(cx: &mut Cx<'_>, site: &Site<'_>, verdicts: &[Option<Diagnostic>]) {
    let broken = verdicts.iter().filter(|v| v.is_some()).count();
    let marks: Vec<String> = verdicts
        .iter()
        .enumerate()
        .map(|(nth, v)| {
            format!(
                "{} {}",
                shown(cx, site, nth),
                if v.is_some() { "✗" } else { "✓" }
            )
        })
        .collect();
    let verb = if broken == 1 { "breaks" } else { "break" };
    let count = if broken == 1 {
        "one".to_string()
    } else {
        broken.to_string()
    };
    let message = format!(
        "{count} of {} choices of `{}` {verb} the model: {}",
        verdicts.len(),
        site.name,
        marks.join(" ")
    );
    let cause = verdicts.iter().flatten().next();
    let mut diagnostic = Diagnostic::error(Code::SearchShapeCounterexample, message).at(
        site.space_loc.source,
        site.space_loc.span,
        "",
    );
    if let Some(cause) = cause {
        if let Some(label) = cause.primary() {
            diagnostic = diagnostic.and(label.source, label.span, cause.message.clone());
        }
        diagnostic = diagnostic.help(format!("leave out what breaks: {}", cause.message));
    }
    cx.report(diagnostic);
}

fn combination(cx: &mut Cx<'_>, picks: &[(&Site<'_>, usize)], cause: &Diagnostic) {
    let values: Vec<String> = picks
        .iter()
        .map(|(site, nth)| format!("{} = {}", site.name, shown(cx, site, *nth)))
        .collect();
    let message = format!(
        "these choices together break the model: {} ✗",
        values.join(", ")
    );
    let mut diagnostic = Diagnostic::error(Code::SearchShapeCounterexample, message)
        .help(format!("leave one of them out: {}", cause.message));
    for (i, (site, _)) in picks.iter().enumerate() {
        diagnostic = if i == 0 {
            diagnostic.at(site.space_loc.source, site.space_loc.span, "")
        } else {
            diagnostic.and(
                site.space_loc.source,
                site.space_loc.span,
                "together with this",
            )
        };
    }
    cx.report(diagnostic);
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
