//! What can be asked of the store.

use crate::args::{DeviceArgs, PolicyName};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Which store.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Which {
    /// The store [default: MMH_STORE, or mmh/store in your data folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) store: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// `mmhc store`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) verb: StoreVerb,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `mmhc store …`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Put run folders into the store
    Add {
        /// The run folders
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// A file or folder with the data, found by hash; may be given several times [default: this folder]
        #[arg(long, value_name = "PATH")]
        data: Vec<PathBuf>,
        /// Leave the data out
        #[arg(long, conflicts_with = "data")]
        no_data: bool,
    },
    /// List the runs in the store
    List,
    /// Write a run out as a run folder
    Get {
        /// The run: a tag, or the beginning of the hash of its model or head
        run: String,
        /// A folder that is not there or empty
        folder: PathBuf,
    },
    /// No longer keep a run for its own sake; `gc` then takes what nothing else needs
    Remove {
        /// The run
        run: String,
    },
    /// Remove what no kept run and no tag needs
    Gc {
        /// Keep what was written in the last so many hours
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        grace: u32,
        /// Say what would go, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// `mmhc fsck`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FsckArgs {
    /// Take whole copies from there: a run folder, a folder or file with data, another store, or s3://BUCKET/PREFIX; may be given several
    /// times
    #[arg(long, value_name = "FROM")]
    pub(crate) repair: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `mmhc tag`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TagArgs {
    /// The tag; without one, all are listed
    pub(crate) name: Option<String>,
    /// The run: a run folder, which is put into the store, a tag, or the beginning of the hash of its model or head
    #[arg(requires = "name")]
    pub(crate) run: Option<String>,
    /// Take the tag away
    #[arg(long, requires = "name", conflicts_with_all = ["run", "moves"])]
    pub(crate) delete: bool,
    /// Let a tag that is taken name this run from now on
    #[arg(long = "move", requires = "run")]
    pub(crate) moves: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `mmhc push`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PushArgs {
    /// s3://BUCKET/PREFIX, or a folder
    pub(crate) remote: String,
    /// The runs: tags, or the beginnings of hashes [default: all that have a tag]
    pub(crate) runs: Vec<String>,
    /// Let tags there name these runs from now on
    #[arg(long = "move")]
    pub(crate) moves: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `mmhc pull`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PullArgs {
    /// s3://BUCKET/PREFIX, or a folder
    pub(crate) remote: String,
    /// The run: a tag there, or the beginning of the hash of its model or head; without one, the runs there are listed
    pub(crate) run: Option<String>,
    /// The key that must have signed: a file `NAME.pub`, or the name of a key of yours
    #[arg(long, value_name = "KEY", requires = "run")]
    pub(crate) key: Option<String>,
    /// The signatures that there must be
    #[arg(long, value_enum, default_value_t = PolicyName::Hybrid, requires = "key")]
    pub(crate) policy: PolicyName,
    /// Train anew and take the run if every state, every metric and the model come out the same
    #[arg(long, requires = "run")]
    pub(crate) replay: bool,
    /// With --replay: a file or folder with the data, found by hash; may be given several times [default: what came with it, this folder]
    #[arg(long, value_name = "PATH", requires = "replay")]
    pub(crate) data: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) which: Which,
}
