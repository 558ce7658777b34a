//! Everything a runtime needs to carry out a recipe.
//!
//! A [`Plan`] is plain data: it serialises, hashes, and names no machine, thread, buffer or source span.

use crate::graph::{Graph, ValueId};
use crate::shape::Type;
use serde::{Deserialize, Serialize};

/// A checked recipe with its data, ready to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Edition of the numerics contract.
    pub edition: u32,
    /// The root seed, 64 hex digits.
    pub seed: String,
    /// `blake3:` hash of the recipe's text with all it uses and every override.
    pub recipe_hash: String,
    /// Data sets, by number.
    pub data: Vec<DataPlan>,
    /// Trainings, in the order they run.
    pub trainings: Vec<Training>,
    /// Evaluations after the trainings, in the order they run.
    pub evaluations: Vec<Evaluation>,
}

impl Plan {
    /// The text form: one JSON document, the same bytes for the same plan.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads the text form back.
    pub fn from_text(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    /// `blake3:` and 64 hex digits over the text form.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("mmh plan 1");
        hasher.update(serde_json::to_string(self).unwrap_or_default().as_bytes());
        format!("blake3:{}", hasher.finalize().to_hex())
    }
}

/// One data set: where it comes from, its columns, its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataPlan {
    /// Declared name.
    pub name: String,
    /// The files and how to read them.
    pub source: SourcePlan,
    /// Columns in the order of [`crate::Input::Column`].
    pub columns: Vec<ColumnPlan>,
    /// Number of rows in all parts together.
    pub rows: u64,
    /// How rows are dealt to parts.
    pub split: SplitPlan,
    /// Statistics in the order of [`crate::Input::Statistic`].
    pub statistics: Vec<StatisticPlan>,
}

/// Files of a data set. Paths are as written in the recipe, relative to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourcePlan {
    /// A table of text, plain or gzip.
    Csv {
        /// The file.
        file: FilePlan,
        /// Separator; `None` finds it out of `,` `;` tab.
        delimiter: Option<char>,
    },
    /// MNIST's IDX files, plain or gzip, joined row by row: each file's rows in order, train files then test files.
    Idx {
        /// Pictures: one file per part, in order.
        images: Vec<FilePlan>,
        /// Labels, as many files.
        labels: Vec<FilePlan>,
    },
    /// A text cut into windows of `window` characters (each with its next characters as target), `stride` apart.
    Text {
        /// The file.
        file: FilePlan,
        /// Characters per row.
        window: u64,
        /// Characters from one row's start to the next's.
        stride: u64,
    },
    /// Bytes cut into rows of `window`, `stride` apart and never across two files of a pack; what is left over at a file's
    /// end is no row.
    Bytes {
        /// The file, or the pack.
        file: FilePlan,
        /// Bytes per row.
        window: u64,
        /// Bytes from one row's start to the next's.
        stride: u64,
    },
}

/// One file with the hash of its bytes as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilePlan {
    /// Path as written.
    pub path: String,
    /// 64 hex digits, as pinned by the recipe or lock, or as found when the plan was made. Of the pack, where it is one.
    pub blake3: String,
    /// Where its content is.
    #[serde(default, skip_serializing_if = "Within::is_plain")]
    pub within: Within,
}

/// Where the content of a data file is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Within {
    /// In the file itself.
    #[default]
    Plain,
    /// In a pack of MMH-RS V1, or in the one that a manifest names: all its files.
    Pack,
    /// In a pack: the file of this name.
    PackFile(String),
}

impl Within {
    /// Whether the file is no pack.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// One column as it is fed to programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnPlan {
    /// Name in the recipe's data section.
    pub name: String,
    /// What it is read from.
    pub kind: ColumnKind,
    /// Element type and axes of one row (no batch axis).
    #[serde(with = "crate::text::type_text")]
    pub ty: Type,
}

/// How a column's values come from its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// Number columns of a table, several of them side by side for a vector. f32; missing fields are NaN.
    Numbers {
        /// Header names, in order.
        fields: Vec<String>,
    },
    /// A category column: the number of its level, i32; missing fields are −1.
    Levels {
        /// Header name.
        field: String,
        /// Levels in order.
        levels: Vec<String>,
    },
    /// Pictures of an IDX source, or rows of bytes: u8.
    Images,
    /// Labels of an IDX source: i32 below `classes`.
    Labels {
        /// Number of classes.
        classes: u32,
    },
    /// Characters of a text window, `ahead` places on: i32 numbers of the vocabulary (sorted distinct characters).
    Characters {
        /// 0 for the window itself, 1 for the next characters.
        ahead: u64,
        /// The vocabulary.
        vocabulary: Vec<char>,
    },
}

/// The numbers a training computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Parameters are read, contractions fed and delivered in bf16; all else is f32.
    Bf16,
}

impl Precision {
    /// Whether it is f32 throughout.
    pub fn is_full(&self) -> bool {
        *self == Self::F32
    }

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Training rows.
    Train,
    /// Validation rows.
    Valid,
    /// Test rows.
    Test,
}

impl Part {
    /// The name in recipes and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

/// How rows are dealt to parts. Shares are exact fractions of 1,000,000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitPlan {
    /// The rule.
    pub kind: SplitKind,
    /// Shares of train, valid, test in millionths; they sum to at most 1,000,000.
    pub shares: [u32; 3],
    /// Path of the random site that orders the rows.
    pub site: String,
}

/// The rule of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// By a keyed shuffle.
    Random,
    /// By a keyed shuffle within every class of the column.
    Stratified {
        /// Column name in the data section.
        by: String,
    },
    /// Contiguous, in file order.
    Sequential,
    /// Files say it: rows from the last file of an IDX source are test, the rest is dealt by keyed shuffle.
    Files,
}

/// One number or vector computed from a column's training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatisticPlan {
    /// Number of the column.
    pub column: u32,
    /// Which statistic.
    pub kind: StatisticKind,
    /// Element type and axes.
    #[serde(with = "crate::text::type_text")]
    pub ty: Type,
}

/// Statistics, per element of a row, over training rows that are not missing; f64 by §3, rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatisticKind {
    /// Arithmetic mean.
    Mean,
    /// Population standard deviation; 1 where it is 0.
    Deviation,
    /// Lower median.
    Median,
    /// Most frequent level, the lowest of equals.
    Mode,
}

/// One training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Declared name.
    pub name: String,
    /// Number of its data set.
    pub data: u32,
    /// The part it trains on.
    pub part: Part,
    /// Rows per step; the last batch of an epoch may be smaller.
    pub batch: u64,
    /// Path of the site that shuffles rows anew each epoch; `None` keeps file order.
    pub shuffle: Option<String>,
    /// Steps of one epoch.
    pub epoch_steps: u64,
    /// Length in steps.
    pub steps: u64,
    /// Parameters, persistent state and optimiser state, by slot.
    pub state: Vec<StateDecl>,
    /// Paths of random sites, by number of [`crate::Input::Key`]. A site's key in an epoch is that of (path, epoch).
    pub sites: Vec<String>,
    /// Optimiser groups, which step scalars refer to.
    pub groups: Vec<OptimiserGroup>,
    /// Step scalars, by number of [`crate::Input::Scalar`].
    pub scalars: Vec<StepScalar>,
    /// Learning-rate schedule, one segment behind another.
    pub schedule: Vec<Segment>,
    /// One step, for each batch size that occurs: the full batch first.
    pub programs: Vec<Program>,
    /// What decides the best model.
    pub watch: Option<Watch>,
    /// Steps between checkpoints (the end of training is always one).
    pub checkpoint: u64,
    /// The `predict` expression in evaluation mode, for single rows and for batches, for `mmhc predict`.
    pub predict: Vec<Program>,
    /// The weights that slots with [`Init::Stored`] begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<FilePlan>,
    /// What its programs round.
    #[serde(default, skip_serializing_if = "Precision::is_full")]
    pub precision: Precision,
}

/// A slot of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateDecl {
    /// Path, such as `net.conv1.weight`.
    pub path: String,
    /// What it is for.
    pub role: Role,
    /// Type; memory is row-major in this order.
    #[serde(with = "crate::text::type_text")]
    pub ty: Type,
    /// First value.
    pub init: Init,
}

/// What a state slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Trained, and part of the model.
    Parameter,
    /// Updated in the forward pass (running statistics), and part of the model.
    Persistent,
    /// Optimiser moments; kept in checkpoints only.
    Optimiser,
}

/// First value of a state slot. Draws are keyed by the slot's own path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Every element the same.
    Constant(crate::Literal),
    /// Uniform in `[−bound, bound)`.
    Uniform {
        /// Half width.
        bound: crate::Literal,
        /// Path of the draw.
        site: String,
    },
    /// Normal around 0: element = deviation · z.
    Normal {
        /// Standard deviation.
        deviation: crate::Literal,
        /// Path of the draw.
        site: String,
    },
    /// What stands in the training's file of weights.
    Stored {
        /// Name of the tensor there.
        tensor: String,
    },
}

/// Hyperparameters of one optimiser, in f64 as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimiserGroup {
    /// Stochastic gradient descent.
    Sgd {
        /// Learning rate before the schedule.
        lr: f64,
        /// Momentum, 0 for none.
        momentum: f64,
        /// Nesterov's variant.
        nesterov: bool,
        /// L2 added to the gradient.
        decay: f64,
    },
    /// Adam and AdamW.
    Adam {
        /// Learning rate before the schedule.
        lr: f64,
        /// First and second moment decay.
        betas: [f64; 2],
        /// Added to the root.
        epsilon: f64,
        /// Weight decay.
        decay: f64,
        /// Decay apart from the gradient (AdamW).
        decoupled: bool,
    },
}

/// A number the host computes for every step, in f64, rounded to f32 once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepScalar {
    /// `lr` after the schedule.
    Rate(u32),
    /// Adam's `α = lr·√c2 / c1`.
    AdamRate(u32),
    /// Adam's `ε′ = ε·√c2`.
    AdamEpsilon(u32),
    /// AdamW's `1 − lr·λ`.
    DecayFactor(u32),
}

/// One stretch of a learning-rate schedule: a factor on the base rate as a function of the step inside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Steps it lasts.
    pub steps: u64,
    /// Its curve.
    pub curve: Curve,
}

/// Curves with `s` the step inside the segment from 0, `n` its length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Curve {
    /// `(s + 1) / n`
    Warmup,
    /// `floor + (1 − floor)·½·(1 + cos(π·s/n))`
    Cosine {
        /// Value at the end.
        floor: f64,
    },
    /// `from + (to − from)·s/n`
    Linear {
        /// Factor at the start.
        from: f64,
        /// Factor at the end.
        to: f64,
    },
    /// `factor^⌊s / every⌋`
    Step {
        /// Steps between drops.
        every: u64,
        /// Factor of each drop.
        factor: f64,
    },
    /// 1
    Constant,
}

/// One compiled function: a graph with the places the runtime writes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Name for people.
    pub name: String,
    /// Rows it takes.
    pub batch: u64,
    /// The operations, free of composites.
    #[serde(with = "crate::text::graph_text")]
    pub graph: Graph,
    /// State slots and the values that replace them, all at once at the end.
    pub updates: Vec<Update>,
    /// Values handed back, by number.
    pub results: Vec<Named>,
    /// Values that must be finite, or the step fails before any update.
    pub guards: Vec<Named>,
}

/// A state slot and its next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The slot.
    pub slot: u32,
    /// Its next value.
    pub value: ValueId,
}

/// A value with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Such as `loss` or `gradient of net.conv1.weight`.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// What decides which step is best, and when to stop early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// How it is measured.
    pub evaluation: Evaluation,
    /// Larger is better.
    pub maximise: bool,
    /// Steps between measurements (also measured at the end).
    pub every: u64,
    /// Measurements without a better one before training stops.
    pub patience: Option<u64>,
}

/// Metrics of a model over a part of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Declared name, or that of the training.
    pub name: String,
    /// Name of the training whose model is measured.
    pub training: String,
    /// Best by watch, or the last.
    pub best: bool,
    /// Number of the data set.
    pub data: u32,
    /// The part.
    pub part: Part,
    /// Rows per call; one more program serves the rest.
    pub batch: u64,
    /// The programs: the full batch first. They update nothing.
    pub programs: Vec<Program>,
    /// What is computed from their results.
    pub metrics: Vec<Metric>,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Name in `metrics`.
    pub name: String,
    /// How results become one figure.
    pub kind: MetricKind,
}

/// How per-row results become a figure. Numbers are those of [`Program::results`]; means are one §3 sum over all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricKind {
    /// Share of true values of a bool result.
    Share(u32),
    /// Mean of an f32 result over all elements.
    Mean(u32),
    /// Square root of the mean.
    RootMean(u32),
    /// `exp` of the mean.
    ExpMean(u32),
    /// Mean divided by `ln 2`: nats to bits.
    BitsMean(u32),
    /// Table of counts by label and prediction (i32 results).
    Confusion {
        /// Result with the label.
        label: u32,
        /// Result with the prediction.
        predicted: u32,
        /// Class names.
        classes: Vec<String>,
    },
}
