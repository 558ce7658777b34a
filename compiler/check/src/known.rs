//! Calls whose outcome is known. A model is checked on its signature, then called by its training's step, by what the training
//! watches and by evaluations, nearly always with values of the same types: it is unfolded once. So are blocks that call
//! each other while they are checked on their signatures, where parameters do not count.

use crate::core::{Cx, Mode};
use crate::value::{Eval, Loc, Tensor, Value};
use mmh_syntax::ast::{Block, BlockKind, Param};
use std::collections::BTreeSet;

/// One call and what came of it, without a mistake.
#[derive(Clone, Debug)]
pub(crate) struct KnownCall {
    values: Vec<Tensor>,
    /// The mode and whether sizes were open, where the outcome depends on it.
    context: Option<(Mode, bool)>,
    result: Tensor,
    /// The state it uses, where that stays.
    used: BTreeSet<usize>,
}

/// What a call is watched for while it is unfolded.
pub(crate) struct Watched {
    values: Vec<Tensor>,
    found: usize,
    losses: usize,
    before: (bool, bool, BTreeSet<usize>),
}

fn same(a: &Tensor, b: &Tensor) -> bool {
    let classes = |t: &Tensor| t.classes.as_ref().map(|(count, _)| count.clone());
    a.dtype == b.dtype
        && a.made == b.made
        && a.dims.len() == b.dims.len()
        && a.dims
            .iter()
            .zip(&b.dims)
            .all(|(a, b)| a.axis == b.axis && a.size == b.size)
        && classes(a) == classes(b)
}

impl<'p> Cx<'p> {
    /// What a model gives, if it was called like this before.
    pub(crate) fn known_call(&mut self, index: usize, watched: &Watched) -> Option<Value> {
        let context = (self.mode, self.generic);
        let calls = match self.symbolic {
            true => &self.symbolic_calls,
            false => &self.calls,
        };
        let known = calls.get(&index)?.iter().find(|known| {
            known.context.is_none_or(|it| it == context)
                && known.values.len() == watched.values.len()
                && known
                    .values
                    .iter()
                    .zip(&watched.values)
                    .all(|(a, b)| same(a, b))
        })?;
        self.used.extend(&known.used);
        Some(Value::Tensor(known.result.clone()))
    }

    /// Begins to watch a call, if its outcome may be kept.
    pub(crate) fn watch_call(
        &mut self,
        block: &Block,
        values: &[(&'p Param, Value, Loc)],
    ) -> Option<Watched> {
        let kind = match self.symbolic {
            true => BlockKind::Block,
            false => BlockKind::Model,
        };
        if block.kind != kind || self.emit || values.len() != block.params.len() {
            return None;
        }
        let tensors = values.iter().map(|(_, value, _)| match value {
            Value::Tensor(tensor) => Some(tensor.clone()),
            _ => None,
        });
        Some(Watched {
            values: tensors.collect::<Option<_>>()?,
            found: self.diagnostics.len(),
            losses: self.losses.len(),
            before: (self.asked, self.assumed, BTreeSet::new()),
        })
    }

    /// Forgets, for the time of a watched call, what was seen before it.
    pub(crate) fn begin_call(&mut self, watched: &mut Watched) {
        watched.before.2 = std::mem::take(&mut self.used);
        (self.asked, self.assumed) = (false, false);
    }

    /// Keeps the outcome of a call that was watched.
    pub(crate) fn end_call(&mut self, index: usize, watched: Watched, value: &Eval<Value>) {
        let quiet = self.diagnostics.len() == watched.found
            && self.losses.len() == watched.losses
            && !self.assumed;
        if let (true, Ok(Value::Tensor(result))) = (quiet, value) {
            let used = match self.symbolic {
                true => BTreeSet::new(),
                false => self.used.clone(),
            };
            let context = self.asked.then_some((self.mode, self.generic));
            let calls = match self.symbolic {
                true => &mut self.symbolic_calls,
                false => &mut self.calls,
            };
            calls.entry(index).or_default().push(KnownCall {
                values: watched.values,
                context,
                result: result.clone(),
                used,
            });
        }
        let (asked, assumed, used) = watched.before;
        self.asked |= asked;
        self.assumed |= assumed;
        self.used.extend(used);
    }
}
