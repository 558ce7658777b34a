//! The result of a run, as `mmhc run --json` prints it.

use mmh_ir::plan::Part;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The result of a run. Hashes are `blake3:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Hash of the recipe.
    pub recipe_hash: String,
    /// Hash of the plan.
    pub plan_hash: String,
    /// Hash of the data's content.
    pub data_hash: String,
    /// Hash of the model.
    pub model_hash: String,
    /// Root seed, 64 hex digits.
    pub seed: String,
    /// Steps of all trainings together.
    pub steps: u64,
    /// Metrics by section, part and name.
    pub metrics: Map<String, Value>,
    /// Device that did the work.
    pub device: String,
    /// Instruction set.
    pub isa: String,
    /// Threads.
    pub threads: u64,
    /// Wall time of the process that finished the run.
    pub seconds: f64,
    /// The run folder.
    pub out: Option<String>,
}

impl RunSummary {
    /// What is the same wherever and however the run is done.
    pub fn lasting(&self) -> Value {
        json!({
            "recipe_hash": self.recipe_hash,
            "plan_hash": self.plan_hash,
            "data_hash": self.data_hash,
            "model_hash": self.model_hash,
            "seed": self.seed,
            "steps": self.steps,
            "metrics": self.metrics,
        })
    }
}

/// Adds metrics under section and part.
pub(crate) fn put(metrics: &mut Map<String, Value>, section: &str, part: Part, found: Value) {
    let section = metrics
        .entry(section.to_owned())
        .or_insert_with(|| json!({}));
    if let Value::Object(parts) = section {
        match (parts.get_mut(part.name()), found) {
            (Some(Value::Object(known)), Value::Object(found)) => known.extend(found),
            (_, found) => {
                parts.insert(part.name().to_owned(), found);
            }
        }
    }
}
