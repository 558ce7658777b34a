//! What a checked recipe is: the hand-over to `mmh-plan`.
//!
//! Sizes that depend on the batch stay open here; [`crate::Recipe::forward`] builds the graph of one purpose at one batch
//! size, in forward form (with composites, without gradients).

use crate::core::Cx;
use crate::data::DataSet;
use crate::poly::Poly;
use crate::program::Program;
use crate::value::Loc;
use mmh_diag::{Diagnostic, SourceId, Span};
use mmh_ir::plan::{DataPlan, Metric, Named, OptimiserGroup, Part, Segment, StateDecl, Update};
use mmh_ir::{Graph, Origin};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What one graph is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The training step: random steps run, statistics update, output `loss` (f32, rank 0, a mean over the batch).
    Step,
    /// The `predict` expression in evaluation mode: one output, `predict`.
    Predict,
    /// What the training's `watch` needs, in evaluation mode: [`Forward::metrics`] over per-row outputs.
    Watch,
    /// What evaluation number n needs, in evaluation mode.
    Evaluate(usize),
}

/// A graph before autodiff, with local numbers for state and sites.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// The operations. `Input::State(n)` and `Input::Key(n)` index the lists below; `Input::Column` and
    /// `Input::Statistic` index those of the data set.
    pub graph: Graph,
    /// Parameters and persistent state in order of first use.
    pub state: Vec<StateDecl>,
    /// Paths of random sites in order of first use.
    pub sites: Vec<String>,
    /// Running statistics and their next values (empty outside [`Purpose::Step`]).
    pub updates: Vec<Update>,
    /// Values handed out, by number.
    pub outputs: Vec<Named>,
    /// Metrics over the outputs.
    pub metrics: Vec<Metric>,
}

/// One `train` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// Declared name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// Number of its data set.
    pub data: u32,
    /// The part it trains on.
    pub part: Part,
    /// Rows of that part.
    pub rows: u64,
    /// Rows per step.
    pub batch: u64,
    /// Path of the shuffling site, if it shuffles.
    pub shuffle: Option<String>,
    /// Steps of one epoch: rows / batch, rounded up.
    pub epoch_steps: u64,
    /// Length in steps.
    pub steps: u64,
    /// Optimisers; each parameter belongs to the first group whose path prefix it has (empty prefix: all).
    pub optimisers: Vec<OptimiserSpec>,
    /// Gradient clipping by global norm.
    pub clip: Option<f64>,
    /// Learning-rate schedule.
    pub schedule: Vec<Segment>,
    /// Steps between checkpoints.
    pub checkpoint: u64,
    /// One step in so many is done again on another device.
    pub audit: Option<u64>,
    /// What is rounded.
    pub precision: mmh_ir::plan::Precision,
    /// What decides the best step.
    pub watch: Option<WatchSpec>,
    /// The weights that its parameters begin with, if not with values of their own.
    pub start: Option<StartSpec>,
}

/// A `start` setting.
#[derive(Clone, Debug, PartialEq)]
pub struct StartSpec {
    /// The file, its content pinned.
    pub file: mmh_ir::plan::FilePlan,
    /// Path prefixes of what begins with it; empty for all.
    pub on: Vec<String>,
    /// Element type and sizes of each tensor of the file, by name.
    pub tensors: std::collections::BTreeMap<String, (String, Vec<usize>)>,
    /// Where it stands.
    pub at: (mmh_diag::SourceId, Span),
}

impl StartSpec {
    /// Whether the slot of this path begins with weights of the file.
    pub fn covers(&self, path: &str) -> bool {
        let under = |prefix: &String| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.on.is_empty() || self.on.iter().any(under)
    }

    /// The name of the tensor for a path: the path itself, or, in the model of a run with several trainings, the one that has
    /// it behind a training's name.
    pub fn tensor(&self, path: &str) -> Option<&str> {
        if let Some((name, _)) = self.tensors.get_key_value(path) {
            return Some(name);
        }
        let behind = |name: &&String| {
            let head = name.strip_suffix(path);
            head.is_some_and(|head| head.ends_with('/'))
        };
        let mut found = self.tensors.keys().filter(behind);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

/// One optimiser and the parameters it moves.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimiserSpec {
    /// Hyperparameters.
    pub group: OptimiserGroup,
    /// Path prefixes of its parameters; empty for all that no earlier group has.
    pub on: Vec<String>,
}

/// A `watch` setting.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchSpec {
    /// Number of the data set.
    pub data: u32,
    /// The part.
    pub part: Part,
    /// Rows of that part.
    pub rows: u64,
    /// Larger is better.
    pub maximise: bool,
    /// Steps between measurements.
    pub every: u64,
    /// Measurements without a better one before training stops.
    pub patience: Option<u64>,
}

/// One `evaluate` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluate {
    /// Declared name.
    pub name: String,
    /// Number of the training whose model is measured.
    pub training: usize,
    /// Best by watch, or the last.
    pub best: bool,
    /// Number of the data set.
    pub data: u32,
    /// The part.
    pub part: Part,
    /// Rows of that part.
    pub rows: u64,
}

/// A length as a recipe says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many epochs.
    Epochs(u64),
    /// So many steps.
    Steps(u64),
}

/// A figure that a search may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The best of what the training watches.
    Watch,
    /// Numbers in the parameters.
    Parameters,
    /// Bytes of state and of the largest program, as planned.
    Memory,
    /// Floating-point operations of the prediction of one row.
    Flops,
    /// A metric of an evaluation.
    Metric {
        /// Declared name of the evaluation.
        evaluation: String,
        /// Name of the metric.
        metric: String,
    },
}

impl Figure {
    /// The name in results and in the study's hash.
    pub fn name(&self) -> String {
        match self {
            Self::Watch => mmh_search::WATCH.to_owned(),
            Self::Parameters => "parameters".to_owned(),
            Self::Memory => "memory".to_owned(),
            Self::Flops => "flops".to_owned(),
            Self::Metric { evaluation, metric } => format!("{evaluation}.{metric}"),
        }
    }
}

/// A `search` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Declared name.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// Number of the training that trials run.
    pub training: usize,
    /// All that decides the search, but for results.
    pub spec: mmh_search::Spec,
    /// The figures that it follows, in the order of the spec's objectives.
    pub figures: Vec<Figure>,
    /// Lengths at which trials are compared ahead of their end.
    pub rungs: Vec<Length>,
    /// Where each site of the space stands in the text.
    pub places: Vec<crate::choices::Place>,
    /// Bytes that state and programs of a trial may take.
    pub memory: Option<u64>,
    /// The recipe's constraint, as it is written.
    pub condition: Option<String>,
    /// Whether the values as they stand in the recipe fulfil its constraint.
    pub holds: bool,
}

/// A section that is checked but that this version cannot run.
#[derive(Clone, Debug, PartialEq)]
pub struct NotYet {
    /// Such as `search tune`.
    pub section: String,
    /// Where it stands.
    pub span: Span,
}

/// The typed declarations of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Declarations {
    /// `blake3:` hash over the recipe's text, the files it uses and the overrides.
    pub recipe_hash: String,
    /// Root seed.
    pub seed: [u8; 32],
    /// Data sets.
    pub data: Vec<DataPlan>,
    /// Trainings in order.
    pub trainings: Vec<Train>,
    /// Evaluations in order.
    pub evaluations: Vec<Evaluate>,
    /// The search.
    pub search: Option<Search>,
    /// What cannot run yet.
    pub not_yet: Vec<NotYet>,
}

/// A checked recipe: its declarations, and all that is needed to build its graphs.
#[derive(Debug)]
pub struct Recipe {
    /// What it declares.
    pub declarations: Declarations,
    pub(crate) program: Program,
    pub(crate) data: Vec<DataSet>,
    /// Declarations of the trainings and evaluations, by number.
    pub(crate) trainings: Vec<usize>,
    pub(crate) evaluations: Vec<usize>,
    pub(crate) hovers: BTreeMap<Loc, String>,
}

impl Recipe {
    /// The graph of one purpose of training `training` for `batch` rows. Errors are those a batch size brings, such as a
    /// value too large.
    pub fn forward(
        &self,
        training: usize,
        purpose: Purpose,
        batch: u64,
    ) -> Result<Forward, Vec<Diagnostic>> {
        let mut cx = Cx::new(&self.program, self.data.clone());
        cx.emit = true;
        cx.batch = Poly::from(batch);
        let declared = self.trainings.get(training).copied();
        let evaluation = match purpose {
            Purpose::Evaluate(n) => self.evaluations.get(n).copied(),
            Purpose::Step | Purpose::Predict | Purpose::Watch => None,
        };
        let given = declared.and_then(|declared| cx.purpose(declared, evaluation, purpose).ok());
        let Some(given) = given else {
            return Err(cx.diagnostics);
        };
        let updates = match purpose {
            Purpose::Step => cx
                .state_next
                .iter()
                .map(|(slot, value)| Update {
                    slot: *slot as u32,
                    value: *value,
                })
                .collect(),
            Purpose::Predict | Purpose::Watch | Purpose::Evaluate(_) => vec![],
        };
        Ok(Forward {
            graph: cx.graph,
            state: cx.state,
            sites: cx.sites,
            updates,
            outputs: given.outputs,
            metrics: given.metrics,
        })
    }

    /// The place in the user's text that a node came from.
    pub fn origin_span(&self, origin: Origin) -> Option<(SourceId, Span)> {
        let index = origin.0.checked_sub(1)?;
        self.program
            .places
            .get(index as usize)
            .map(|loc| (loc.source, loc.span))
    }

    /// Where the data set of this name is declared.
    pub fn data_span(&self, name: &str) -> Option<(SourceId, Span)> {
        let set = self.data.iter().find(|set| set.name == name)?;
        Some((set.span.source, set.span.span))
    }

    /// The type of what stands at each place of the user's text, for editors.
    pub fn hovers(&self) -> impl Iterator<Item = (Loc, &str)> {
        self.hovers.iter().map(|(loc, text)| (*loc, text.as_str()))
    }

    /// `show types`: every named value with its type, in the order of the text.
    pub fn types(&self) -> String {
        let mut text = String::new();
        for (loc, ty) in &self.hovers {
            let name = self.program.text(*loc);
            let _ = writeln!(text, "{name}: {}", ty.trim_matches('`'));
        }
        for (number, train) in self.declarations.trainings.iter().enumerate() {
            if let Ok(forward) =
                self.forward(number, Purpose::Step, train.batch.min(train.rows).max(1))
            {
                for slot in &forward.state {
                    let _ = writeln!(text, "{}: {}", slot.path, slot.ty);
                }
                for site in &forward.sites {
                    let _ = writeln!(text, "{site}: draws");
                }
            }
        }
        text
    }
}
