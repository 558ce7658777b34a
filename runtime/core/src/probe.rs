//! Single values of single rows: what a row looks like in an epoch, without the steps before it.

use crate::data::{Dataset, columns_read};
use crate::failure::RunFailure;
use crate::init::initial_state;
use crate::step::fill_feed;
use mmh_ir::device::{Device, Feed, Tensor};
use mmh_ir::plan::{Named, Program, Training};
use mmh_ir::{Input, Op, ValueId};
use mmh_numerics::random::Seed;

/// A value of a training's step program for these rows in this epoch, such as a picture after its augmentation.
///
/// Draws are addressed by row and epoch, so no other row is computed but to fill the batch, and no step is done. Gives the
/// elements row after row, in the logical order of the value with its batch axis first.
///
/// Errors: a value that does not exist, has no batch axis in front, or depends on trained state; a row that is not in the data.
pub fn value_of_rows(
    training: &Training,
    data: &Dataset,
    seed: &Seed,
    device: &dyn Device,
    value: ValueId,
    epoch: u64,
    rows: &[u32],
) -> Result<Tensor, RunFailure> {
    let wrong =
        |what: &str| RunFailure::Request(format!("value {value} of `{}` {what}", training.name));
    let step = training
        .programs
        .first()
        .ok_or_else(|| wrong("is in no program"))?;
    let program =
        only(step, value).ok_or_else(|| wrong("does not exist, or depends on trained state"))?;
    let batch = step.batch as usize;
    let elements = program.graph.shape(value).elements();
    if program.graph.shape(value).0.first().map(|dim| dim.size) != Some(batch) {
        return Err(wrong("has no batch axis in front"));
    }
    let mut loaded = device
        .load(&program, &training.state)
        .map_err(|error| RunFailure::device(error, "probe"))?;
    let mut state = initial_state(&training.state, seed, data.weights_of(&training.name))?;
    let mut feed = Feed {
        step: epoch.saturating_mul(training.epoch_steps) as i32,
        ..Feed::default()
    };
    feed.scalars = vec![0.0; training.scalars.len()];
    fill_feed(&mut feed, training, data, seed, epoch);
    let wanted = columns_read(&program, data.width());
    let mut found = Tensor::zeros(program.graph.ty(value).dtype, 0);
    for chunk in rows.chunks(batch.max(1)) {
        let mut filled = chunk.to_vec();
        filled.resize(batch, chunk.first().copied().unwrap_or(0));
        data.gather(&filled, &wanted, &mut feed.columns)?;
        feed.rows = filled.iter().map(|row| row.cast_signed()).collect();
        let results = loaded
            .run(&mut state, &feed)
            .map_err(|error| RunFailure::device(error, "probe"))?;
        let first = results.first().ok_or_else(|| wrong("was not given"))?;
        append(&mut found, first, elements / batch.max(1) * chunk.len());
    }
    Ok(found)
}

/// The program that gives `value` alone; none if it needs state.
fn only(step: &Program, value: ValueId) -> Option<Program> {
    let node = step.graph.nodes.get(value.index())?;
    let live = step.graph.live(&[value]);
    let needs_state = |(node, live): (&mmh_ir::Node, &bool)| {
        *live && matches!(node.op, Op::Input(Input::State(_)))
    };
    if step.graph.nodes.iter().zip(&live).any(needs_state) || node.ty.shape.rank() == 0 {
        return None;
    }
    // What the value does not need stays in the graph: its numbers are the value's name. A device leaves dead nodes out.
    Some(Program {
        name: format!("{} {value}", step.name),
        batch: step.batch,
        graph: step.graph.clone(),
        updates: Vec::new(),
        results: vec![Named {
            name: value.to_string(),
            value,
        }],
        guards: Vec::new(),
    })
}

fn append(found: &mut Tensor, more: &Tensor, count: usize) {
    match (found, more) {
        (Tensor::F32(found), Tensor::F32(more)) => found.extend(more.iter().take(count)),
        (Tensor::I32(found), Tensor::I32(more)) => found.extend(more.iter().take(count)),
        (Tensor::U8(found), Tensor::U8(more)) | (Tensor::Bool(found), Tensor::Bool(more)) => {
            found.extend(more.iter().take(count));
        }
        (Tensor::F32(_) | Tensor::I32(_) | Tensor::U8(_) | Tensor::Bool(_), _) => {}
    }
}
