//! What the runtime feeds in.

use crate::operand::broken;
use mmh_ir::device::{Feed, RunError, State, Tensor};
use mmh_ir::plan::StateDecl;
use mmh_ir::{Graph, Input, Op, Type};

/// The value of an input node.
pub(crate) fn read(
    input: Input,
    ty: &Type,
    state: &State,
    feed: &Feed,
) -> Result<Tensor, RunError> {
    let tensor = match input {
        Input::Column(n) => feed.columns.get(n as usize).cloned(),
        Input::Rows => Some(Tensor::I32(feed.rows.clone())),
        Input::Step => Some(Tensor::I32(vec![feed.step])),
        Input::Key(n) => feed.keys.get(n as usize).map(|key| {
            let words = key.iter().map(|word| word.cast_signed());
            Tensor::I32(words.collect())
        }),
        Input::State(n) => state.slots.get(n as usize).cloned(),
        Input::Scalar(n) => feed.scalars.get(n as usize).map(|&x| Tensor::F32(vec![x])),
        Input::Statistic(n) => feed.statistics.get(n as usize).cloned(),
    };
    let tensor = tensor.ok_or_else(|| broken(&format!("{input:?} is not fed")))?;
    if tensor.dtype() == ty.dtype && tensor.len() == ty.shape.elements() {
        Ok(tensor)
    } else {
        let found = format!("{} {}", tensor.len(), tensor.dtype().name());
        Err(broken(&format!("{input:?} is fed {found}, not {ty}")))
    }
}

/// Whether every state input has the type of its slot.
pub(crate) fn check(graph: &Graph, state: &[StateDecl]) -> Result<(), RunError> {
    for node in &graph.nodes {
        if let Op::Input(Input::State(n)) = node.op {
            let slot = state.get(n as usize);
            if slot.is_none_or(|slot| slot.ty != node.ty) {
                return Err(broken(&format!("state slot {n} is not {}", node.ty)));
            }
        }
    }
    Ok(())
}
