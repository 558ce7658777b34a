//! Where a NaN or infinity was born.

use crate::values;
use mmh_ir::device::{Feed, RunError, State, Tensor};
use mmh_ir::plan::Program;
use mmh_ir::{Graph, Op, ValueId};

/// The node where the NaN or infinity of the first tripped guard was born; `None` if no guard trips.
///
/// Among the nodes that guard needs, in order: the first that is not finite while its operands are, or has a NaN while its
/// operands have none. (A −∞ put there on purpose, as masks do, is a constant and so not the first.) If there is none, the
/// fault was fed in: the first input that is not finite.
///
/// # Errors
/// Those of [`values`].
pub fn trace(program: &Program, state: &State, feed: &Feed) -> Result<Option<ValueId>, RunError> {
    let all = values(program, state, feed)?;
    let tensor = |value: ValueId| all.get(value.index());
    let mut guards = program.guards.iter().map(|g| g.value);
    let Some(tripped) = guards.find(|&g| tensor(g).is_some_and(|t| !is_finite(t))) else {
        return Ok(None);
    };
    let live = program.graph.live(&[tripped]);
    let needed = || program.graph.values().filter(|v| live[v.index()]);
    let born = needed().find(|&v| is_born(&program.graph, v, &all));
    let fed = || {
        needed().find(|&v| {
            let input = matches!(program.graph.node(v).op, Op::Input(_));
            input && tensor(v).is_some_and(|t| !is_finite(t))
        })
    };
    Ok(Some(born.or_else(fed).unwrap_or(tripped)))
}

fn is_born(graph: &Graph, value: ValueId, all: &[Tensor]) -> bool {
    let node = graph.node(value);
    if matches!(node.op, Op::Input(_) | Op::Constant(_)) {
        return false;
    }
    let tensor = |value: ValueId| all.get(value.index());
    let every = |holds: fn(&Tensor) -> bool| {
        let mut operands = node.inputs.iter();
        operands.all(|&input| tensor(input).is_some_and(holds))
    };
    let Some(result) = tensor(value) else {
        return false;
    };
    (!is_finite(result) && every(is_finite)) || (has_nan(result) && every(|t| !has_nan(t)))
}

/// Whether there is neither NaN nor infinity.
pub(crate) fn is_finite(tensor: &Tensor) -> bool {
    match tensor {
        Tensor::F32(data) => data.iter().all(|x| x.is_finite()),
        Tensor::I32(_) | Tensor::U8(_) | Tensor::Bool(_) => true,
    }
}

fn has_nan(tensor: &Tensor) -> bool {
    match tensor {
        Tensor::F32(data) => data.iter().any(|x| x.is_nan()),
        Tensor::I32(_) | Tensor::U8(_) | Tensor::Bool(_) => false,
    }
}
