//! What can be asked of `mmhc`, as clap reads it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use mmh_cpu::isa::Isa;
use mmh_runtime::Limit;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Training that is the same, bit for bit, on any machine.
#[derive(Debug, Parser)]
#[command(name = "mmhc", version, propagate_version = true, after_help = EXITS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
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
    /// Replace a value of the recipe; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// End every training there and leave the schedule as it is: "5 steps" or "2 epochs"
    #[arg(long, value_name = "LENGTH", value_parser = limit)]
    pub(crate) limit: Option<Limit>,
    /// Trials of a search that are trained at once; they share the threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) workers: u32,
    /// Workers as threads of this process, or as processes, of which none takes the others with it
    #[arg(long, value_enum, default_value_t = Isolate::Thread)]
    pub(crate) isolate: Isolate,
    /// With `--isolate process`: end a trial that takes longer; it is tried again alone, then the search ends
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) trial_timeout: Option<f64>,
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
    /// Replace a value of the recipe; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// End every training there and leave the schedule as it is: "5 steps" or "2 epochs"
    #[arg(long, value_name = "LENGTH", value_parser = limit)]
    pub(crate) limit: Option<Limit>,
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

/// `mmhc log`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// The run folder
    pub(crate) folder: PathBuf,
    /// States and checkpoints too
    #[arg(long)]
    pub(crate) all: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmhc verify`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArgs {
    /// The run folder
    pub(crate) folder: PathBuf,
    /// Train all anew and compare every state, every metric and the model
    #[arg(long, conflicts_with = "spot")]
    pub(crate) replay: bool,
    /// Do a share of the segments between checkpoints again, chosen at random: "1%"
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) spot: Option<f64>,
    /// Chooses the segments of `--spot` [default: drawn from the system]
    #[arg(long, value_name = "N", requires = "spot")]
    pub(crate) seed: Option<u64>,
    /// The key that must have signed: a file `NAME.pub`, or the name of a key of yours
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// The signatures that there must be
    #[arg(long, value_enum, default_value_t = PolicyName::Hybrid, requires = "key")]
    pub(crate) policy: PolicyName,
    /// A file or folder with the data, found by hash; may be given several times [default: this folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyName {
    /// Ed25519 and ML-DSA-65, both
    Hybrid,
    /// Ed25519 alone
    Ed25519,
}

/// `mmhc sign`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SignArgs {
    /// The run folder
    pub(crate) folder: PathBuf,
    /// The name of the key
    #[arg(long, value_name = "NAME")]
    pub(crate) key: String,
    /// The signatures to make, which whoever verifies must then demand
    #[arg(long, value_enum, default_value_t = PolicyName::Hybrid)]
    pub(crate) policy: PolicyName,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a passphrase comes from.
#[derive(Args, Clone, Debug)]
pub(crate) struct PassphraseArgs {
    /// A file whose first line is the passphrase; `-` reads stdin [default: MMH_PASSPHRASE, or asked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// `mmhc keys`.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) verb: KeysVerb,
}

/// `mmhc keys …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key: NAME.key is encrypted by a passphrase, NAME.pub is for others
    New {
        /// Its name
        name: String,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// List the keys there are
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// `mmhc replay`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArgs {
    /// The run folder
    pub(crate) folder: PathBuf,
    /// Which states, by the steps done before: from A, up to and without B [default: all]
    #[arg(long, value_name = "A..B", value_parser = steps)]
    pub(crate) steps: Option<std::ops::Range<u64>>,
    /// The training [default: the last]
    #[arg(long, value_name = "NAME")]
    pub(crate) training: Option<String>,
    /// A file or folder with the data, found by hash; may be given several times [default: this folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmhc diff`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PairArgs {
    /// A run folder
    pub(crate) a: PathBuf,
    /// Another run folder
    pub(crate) b: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mmhc bisect`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BisectArgs {
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    /// The training [default: the last of the first run]
    #[arg(long, value_name = "NAME")]
    pub(crate) training: Option<String>,
    /// A file or folder with the data, found by hash; may be given several times [default: this folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// Arguments of a verb that is not there yet.
#[derive(Args, Clone, Debug)]
pub(crate) struct Rest {
    /// Whatever the verb will take
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) rest: Vec<OsString>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text
        .split_once('=')
        .map(|(path, value)| (path.trim(), value.trim()));
    match parts {
        Some((path, value)) if !path.is_empty() && !value.is_empty() => {
            Ok((path.to_owned(), value.to_owned()))
        }
        _ => Err("write it as path=value, such as `fit.optimize.lr=1e-3`".to_owned()),
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    let refuse = || "write a number and its unit, such as `5 steps` or `2 epochs`".to_owned();
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(refuse)?;
    let number: u64 = number.parse().map_err(|_| refuse())?;
    match unit.trim() {
        "step" | "steps" => Ok(Limit::Steps(number)),
        "epoch" | "epochs" => Ok(Limit::Epochs(number)),
        _ => Err(refuse()),
    }
}

fn inclusive(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let parts = text.split_once("..");
    match parts.and_then(|(first, last)| Some((number(first)?, number(last)?))) {
        Some((first, last)) if first <= last => Ok(first..=last),
        _ => Err("write the first and the last step, such as `40..60`".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let refuse = || "write a share such as `1%`, above 0% and up to 100%".to_owned();
    let number = text.trim().strip_suffix('%').ok_or_else(refuse)?;
    let percent: f64 = number.trim().parse().map_err(|_| refuse())?;
    match percent > 0.0 && percent <= 100.0 {
        true => Ok(percent / 100.0),
        false => Err(refuse()),
    }
}

fn steps(text: &str) -> Result<std::ops::Range<u64>, String> {
    let refuse = || "write two numbers of steps, the smaller first, such as `100..110`".to_owned();
    let (start, end) = text.trim().split_once("..").ok_or_else(refuse)?;
    let start: u64 = start.parse().map_err(|_| refuse())?;
    let end: u64 = end.parse().map_err(|_| refuse())?;
    match start < end {
        true => Ok(start..end),
        false => Err(refuse()),
    }
}

fn isa(text: &str) -> Result<Isa, String> {
    let isa: Isa = text.parse()?;
    let here = match isa {
        Isa::Scalar => true,
        Isa::Neon => cfg!(target_arch = "aarch64"),
        Isa::Avx2 | Isa::Avx512 => cfg!(target_arch = "x86_64"),
    };
    if here {
        Ok(isa)
    } else {
        let arch = std::env::consts::ARCH;
        Err(format!(
            "{isa} belongs to another family of processors than {arch}"
        ))
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("a temperature is a number from 0".to_owned()),
    }
}

fn log_target(text: &str) -> Result<LogTarget, String> {
    match text.split_once('=') {
        Some(("tensorboard", folder)) if !folder.is_empty() => {
            Ok(LogTarget::TensorBoard(folder.into()))
        }
        Some(("mlflow", url)) if !url.is_empty() => Ok(LogTarget::MlFlow(url.to_owned())),
        _ => Err("write `tensorboard=DIR` or `mlflow=http://HOST:PORT`".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1e9 => Ok(value),
        _ => Err("seconds are a number above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn limits_need_units() {
        assert_eq!(limit("5 steps"), Ok(Limit::Steps(5)));
        assert_eq!(limit(" 1epoch "), Ok(Limit::Epochs(1)));
        for wrong in [
            "",
            "5",
            "steps",
            "-1 steps",
            "1.5 epochs",
            "5 hours",
            "é steps",
            "99999999999999999999 steps",
        ] {
            assert!(limit(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn shares_and_steps_are_read_and_refused() {
        assert_eq!((share("1%"), share("100 %")), (Ok(0.01), Ok(1.0)));
        for wrong in ["", "1", "0%", "101%", "-1%", "nan%", "%"] {
            assert!(share(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(steps("3..7"), Ok(3..7));
        for wrong in ["", "3", "..7", "7..3", "3..3", "a..b", "-1..2"] {
            assert!(steps(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn settings_are_split_at_the_first_sign() {
        assert_eq!(
            setting("a.b = \"x=y\""),
            Ok(("a.b".into(), "\"x=y\"".into()))
        );
        assert!(setting("a").is_err() && setting("=1").is_err() && setting("a=").is_err());
    }

    #[test]
    fn instruction_sets_of_other_processors_are_wrong_usage() {
        assert_eq!(isa("scalar"), Ok(Isa::Scalar));
        assert_eq!(isa("neon").is_ok(), cfg!(target_arch = "aarch64"));
        assert_eq!(isa("avx512").is_ok(), cfg!(target_arch = "x86_64"));
        assert!(isa("sse").is_err());
    }
}
