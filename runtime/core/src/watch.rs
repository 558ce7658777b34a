//! What decides the best model, and when to stop early.

use mmh_ir::device::{State, Tensor};
use mmh_ir::plan::{StateDecl, Watch};
use serde_json::Value;

/// Measurements so far and the best state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watching {
    /// Every measurement, in order.
    pub measured: Vec<Measured>,
    /// The best one; the earliest of equals.
    pub best: Option<Best>,
    /// Measurements since the best one.
    pub since_best: u64,
    /// Patience ran out.
    pub stopped: bool,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Steps done.
    pub step: u64,
    /// The watched metric.
    pub value: f64,
}

/// The best measurement with its model.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Steps done.
    pub step: u64,
    /// The watched metric.
    pub value: f64,
    /// All metrics of the watch.
    pub metrics: Value,
    /// The state then; optimiser slots are zeros.
    pub state: State,
}

impl Watching {
    /// Takes a measurement in; true if it is the best so far. A NaN is never best.
    pub(crate) fn take(
        &mut self,
        watch: &Watch,
        at: Measured,
        metrics: Value,
        slots: &[StateDecl],
        state: &State,
    ) -> bool {
        self.measured.push(at);
        let better = match &self.best {
            None => !at.value.is_nan(),
            Some(best) if watch.maximise => at.value > best.value,
            Some(best) => at.value < best.value,
        };
        if better {
            self.since_best = 0;
            self.best = Some(Best {
                step: at.step,
                value: at.value,
                metrics,
                state: model_only(slots, state),
            });
        } else {
            self.since_best += 1;
            self.stopped = watch
                .patience
                .is_some_and(|patience| self.since_best >= patience);
        }
        better
    }
}

fn model_only(slots: &[StateDecl], state: &State) -> State {
    let keep = |(slot, tensor): (&StateDecl, &Tensor)| {
        if crate::model::in_model(slot.role) {
            tensor.clone()
        } else {
            Tensor::zeros(tensor.dtype(), tensor.len())
        }
    };
    State {
        slots: slots.iter().zip(&state.slots).map(keep).collect(),
    }
}
