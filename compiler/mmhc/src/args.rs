//! What can be asked of `mmhc`, as clap reads it.

mod trail;
mod values;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mmh_cpu::isa::Isa;
use mmh_runtime::Limit;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

pub(crate) use trail::{
    BisectArgs, KeysArgs, KeysVerb, LogArgs, PairArgs, PassphraseArgs, PolicyName, ReplayArgs,
    SignArgs, VerifyArgs,
};
use values::{inclusive, isa, limit, log_target, seconds, setting, temperature};

/// Training that is the same, bit for bit, on any machine.
#[derive(Debug, Parser)]
#[command(name = "mmhc", version, propagate_version = true, after_help = EXITS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Memory that a data source may take; larger ones are streamed [default: MMH_DATA_MEMORY, or a quarter of what is there]
    #[arg(long, value_name = "SIZE", global = true, value_parser = crate::streaming::bytes)]
    pub(crate) data_memory: Option<u64>,
}

const EXITS: &str = "Begin with `mmhc new digits`, then `mmhc run digits/digits.mmh`. `mmhc doc` writes the library as a page, \
`mmhc explain CODE` explains a mistake, and `mmhc lsp` is for your editor.

Exit status: 0 done, 1 the recipe or the data is at fault, 2 wrong usage, 3 a device failed, \
130 interrupted.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Begin a recipe that runs, from a template or from a table of yours
    New(NewArgs),
    /// Check a recipe, train, evaluate, and print the hash of the model
    Run(RunArgs),
    /// Check recipes without running anything
    Check(CheckArgs),
    /// Bring recipes into the one layout
    Fmt(FmtArgs),
    /// Explain a code, or list them all
    Explain(ExplainArgs),
    /// Write the library and a recipe as one page to read and search
    Doc(DocArgs),
    /// Print a stage of the compiler
    Show(ShowArgs),
    /// Write the hashes of data and imports to mmh.lock
    Lock(LockArgs),
    /// Draw a fresh seed from the system
    Seed,
    /// List devices, what they were admitted for, and their measured speed
    Devices(DevicesArgs),
    /// Compare every device with the contract, operation by operation, or write the vectors for others to compare
    Conform(ConformArgs),
    /// Ask a trained model about rows, or let it continue a text
    Predict(PredictArgs),
    /// Write what a run came through as hashes, or compare two such proofs
    Proof(ProofArgs),
    /// Read packs of MMH-RS V1
    Legacy(LegacyCommand),
    /// Language server on stdio
    Lsp(Rest),
    /// Print where a model comes from and how its training went
    Log(LogArgs),
    /// Compare two runs: recipe, settings, metrics, parameters, states
    Diff(PairArgs),
    /// Check that a run folder is whole, and that the run comes out again
    Verify(VerifyArgs),
    /// Sign a run folder
    Sign(SignArgs),
    /// Make and list the keys that sign
    Keys(KeysArgs),
    /// Keep runs by content: add, list, get, remove, gc
    Store(crate::store::args::StoreArgs),
    /// Check that everything in the store is whole, and repair it from copies
    Fsck(crate::store::args::FsckArgs),
    /// Name runs of the store, or list their names
    Tag(crate::store::args::TagArgs),
    /// Send runs of the store to a bucket or a folder
    Push(crate::store::args::PushArgs),
    /// Take a run from a bucket or a folder, signed or done again
    Pull(crate::store::args::PullArgs),
    /// Do steps of a run again and print the hash of the state after each
    Replay(ReplayArgs),
    /// Find the first step and operation at which two runs part
    Bisect(BisectArgs),
    /// Serve a model (not in this version)
    Serve(Rest),
    /// Export a model (not in this version)
    Export(Rest),
    /// Import a model (not in this version)
    Import(Rest),
    /// Search on many machines (not in this version; `run` searches on one)
    Search(Rest),
    /// Work for a search on another machine (not in this version)
    Worker(Rest),
    /// Train in federated rounds (not in this version)
    Federate(Rest),
    /// Train trials that come on stdin: what `run --isolate process` starts
    #[command(hide = true)]
    TrialWorker(DeviceArgs),
}

/// `mmhc new`.
#[derive(Args, Clone, Debug)]
pub(crate) struct NewArgs {
    /// A folder to make, with a recipe of that name in it; or, with the ending .mmh, a recipe in a folder that is there
    pub(crate) name: PathBuf,
    /// What to begin with [default: digits]
    #[arg(long, value_enum)]
    pub(crate) template: Option<crate::new::Template>,
    /// A CSV file of yours: the recipe is made to fit its columns
    #[arg(long, value_name = "FILE", conflicts_with = "template")]
    pub(crate) data: Option<PathBuf>,
    /// With --data: the column to predict [default: the last]
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub(crate) target: Option<String>,
}

/// `mmhc doc`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DocArgs {
    /// The recipe; without one, the page holds the language and its library alone
    pub(crate) recipe: Option<PathBuf>,
    /// The page [default: NAME.html, or mmh.html]; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `mmhc run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// The recipe
    pub(crate) recipe: PathBuf,
    /// The run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) changes: ChangeArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Trials of a search that are trained at once; they share the threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) workers: u32,
    /// Workers as threads of this process, or as processes, of which none takes the others with it
    #[arg(long, value_enum, default_value_t = Isolate::Thread)]
    pub(crate) isolate: Isolate,
    /// With `--isolate process`: end a trial that takes longer; it is tried again alone, then the search ends
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) trial_timeout: Option<f64>,
    /// The store that trials of a search are taken from and put into [default: MMH_STORE, or mmh/store in your data folder]
    #[arg(long, value_name = "DIR", conflicts_with = "no_store")]
    pub(crate) store: Option<PathBuf>,
    /// Train every trial of a search here, and leave the store alone
    #[arg(long)]
    pub(crate) no_store: bool,
    /// Log to other programs as well: `tensorboard=DIR` or `mlflow=http://HOST:PORT`; may be given several times
    #[arg(long = "log", value_name = "PROGRAM=PLACE", value_parser = log_target)]
    pub(crate) log: Vec<LogTarget>,
    /// Go on from the last good step in the run folder
    #[arg(long)]
    pub(crate) resume: bool,
    /// Run the defaults where the recipe has a search
    #[arg(long)]
    pub(crate) no_search: bool,
    /// Say where the time went, and write a trace into the run folder
    #[arg(long)]
    pub(crate) profile: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Another program that is told of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogTarget {
    /// TensorBoard's event files in a folder.
    TensorBoard(PathBuf),
    /// An MLflow server.
    MlFlow(String),
}

/// How workers of a search are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Isolate {
    /// As threads
    #[default]
    Thread,
    /// As processes
    Process,
}

/// What is to be otherwise than the recipe has it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ChangeArgs {
    /// Replace a value of the recipe; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// End every training there and leave the schedule as it is: "5 steps" or "2 epochs"
    #[arg(long, value_name = "LENGTH", value_parser = limit)]
    pub(crate) limit: Option<Limit>,
}

/// What is to do the work. None of it changes a bit of the result.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DeviceArgs {
    /// Threads [default: the cores available]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The widest instruction set to use
    #[arg(long, value_name = "ISA", value_parser = isa)]
    pub(crate) isa: Option<Isa>,
    /// The device
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
    /// A drill: the graphics processor is given up after so many training steps
    #[cfg(feature = "gpu")]
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) lose_gpu_after: Option<u64>,
    /// What the recipe wants done twice: one step in so many, by name of training
    #[arg(skip)]
    pub(crate) audit: Vec<(String, u64)>,
}

/// `mmhc proof`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProofArgs {
    /// The recipe; with `--compare` two proofs
    #[arg(required = true, num_args = 1..=2, value_name = "RECIPE")]
    pub(crate) paths: Vec<PathBuf>,
    /// Say whether two proofs are the same, or where they part
    #[arg(long)]
    pub(crate) compare: bool,
    /// The proof [default: NAME.proof]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) changes: ChangeArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Hash the state after each of these steps
    #[arg(long, value_name = "A..B", value_parser = inclusive)]
    pub(crate) steps: Option<RangeInclusive<u64>>,
    /// Hash every value of this step, from 1, instead of states
    #[arg(long, value_name = "STEP", conflicts_with_all = ["steps", "limit"])]
    pub(crate) values: Option<u64>,
    /// The training of `--values`, where there are several
    #[arg(long, value_name = "NAME", requires = "values")]
    pub(crate) training: Option<String>,
    /// Print the proof, or what came of comparing, as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Names of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// The fastest there is
    #[default]
    Auto,
    /// The processor
    Cpu,
    /// A graphics processor
    Gpu,
    /// The reference interpreter
    Interpret,
}

/// `mmhc check`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// The recipes; `-` reads stdin
    #[arg(required = true)]
    pub(crate) recipes: Vec<PathBuf>,
    /// How findings are shown: human on stderr, json and sarif on stdout
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// Apply the changes that mend a mistake; what was read from stdin goes to stdout
    #[arg(long)]
    pub(crate) fix: bool,
}

/// Forms of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// `mmhc fmt`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FmtArgs {
    /// The recipes [default: every .mmh in this folder]; `-` formats stdin to stdout
    pub(crate) recipes: Vec<PathBuf>,
    /// Change nothing; name the recipes that are not in the one layout, with exit status 1
    #[arg(long)]
    pub(crate) check: bool,
}

/// `mmhc explain`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExplainArgs {
    /// Such as `unit::missing`; without it, all are listed
    pub(crate) code: Option<String>,
}

/// `mmhc show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArgs {
    /// The stage
    #[arg(value_enum)]
    pub(crate) stage: Stage,
    /// The recipe; `-` reads stdin. With `model`, `provenance` and `bom` a run: its folder, or its name in the store
    pub(crate) recipe: PathBuf,
    /// Replace a value of the recipe; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// With `plan`: how each program is carried out, in place of the plan's text
    #[arg(long)]
    pub(crate) schedule: bool,
    /// With `plan`: the speed of each training on each device, and which `--device auto` takes
    #[arg(long, conflicts_with = "schedule")]
    pub(crate) placement: bool,
}

/// Stages of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The lossless syntax tree
    Tree,
    /// What every declaration was found to be
    Types,
    /// The programs of each training step, operation by operation
    Graph,
    /// The plan that is run
    Plan,
    /// What a search may choose, how it proposes and compares
    Space,
    /// The fused loops of each training step
    Kernel,
    /// What Cranelift is given (not in this version)
    Clif,
    /// What a GPU is given (not in this version)
    Wgsl,
    /// Of a run: the card of its model
    Model,
    /// Of a run: how it came to be, as SLSA provenance
    Provenance,
    /// Of a run: its bill of materials, as CycloneDX
    Bom,
}

/// `mmhc lock`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LockArgs {
    /// The recipes [default: every .mmh in this folder]
    pub(crate) recipes: Vec<PathBuf>,
}

/// `mmhc devices`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DevicesArgs {
    /// Test and measure graphics processors anew, whatever is remembered of them
    #[arg(long)]
    pub(crate) anew: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmhc conform`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConformArgs {
    /// Write the vectors to a file, and compare nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "exhaustive"])]
    pub(crate) write: Option<PathBuf>,
    /// Compare with the vectors of a file
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
    /// Compare functions of one argument on every f32; takes hours
    #[arg(long, conflicts_with = "check")]
    pub(crate) exhaustive: bool,
    /// With --exhaustive: one f32 of so many
    #[arg(long, value_name = "N", default_value_t = 1, requires = "exhaustive", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) every: u32,
    /// With --exhaustive: this function alone
    #[arg(long, value_name = "NAME", requires = "exhaustive")]
    pub(crate) function: Option<String>,
    /// Devices with this word in their name, such as `avx2` or `gpu` [default: all that may work]
    #[arg(long, value_name = "WORD")]
    pub(crate) device: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmhc predict`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PredictArgs {
    /// The run folder, or the model.safetensors in it
    pub(crate) model: PathBuf,
    /// A CSV or IDX file for models of rows, a text to continue for models of characters
    pub(crate) input: String,
    /// Training whose model is asked [default: the last]
    #[arg(long, value_name = "NAME")]
    pub(crate) training: Option<String>,
    /// Seed of the characters drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Characters to draw
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) length: u32,
    /// How freely characters are drawn; 0 takes the likeliest
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = temperature)]
    pub(crate) temperature: f64,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmhc legacy`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LegacyCommand {
    #[command(flatten)]
    pub(crate) pack: crate::legacy::LegacyArgs,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Arguments of a verb that is not there yet.
#[derive(Args, Clone, Debug)]
pub(crate) struct Rest {
    /// Whatever the verb will take
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) rest: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}
