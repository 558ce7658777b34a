//! What can be asked about the history of a run: its log, checks, signatures and replays.

use super::DeviceArgs;
use super::values::{share, steps};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

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
