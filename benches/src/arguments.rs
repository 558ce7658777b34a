//! What the command line asks for.

use crate::workload::Workload;
use mmh_cpu::isa::Isa;
use std::path::PathBuf;

const USAGE: &str = "usage: mmh-bench --workload a|b|c|d | --recipe FILE [--block STEPS] [--streamed DIR] [--threads N] [--isa scalar|neon|avx2|avx512] \
[--serve | --blocks N | --count STEPS | --trail STEPS] [--data DIR] [--set PATH=VALUE]";

/// What is done with the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// So many blocks, then the median.
    Blocks(usize),
    /// A block for every line on stdin.
    Serve,
    /// So many steps, untimed.
    Count(u64),
    /// A run of so many steps as `mmhc run` does it by default, and what journal and checkpoints took of its time.
    Trail(u64),
}

/// What is timed.
#[derive(Debug)]
pub(crate) enum What {
    /// One of the four.
    Workload(Workload),
    /// A recipe of somebody's.
    Recipe(PathBuf),
}

/// The command line, read.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) what: What,
    /// Steps of a timed block.
    pub(crate) block: usize,
    /// Data are streamed, with their packed rows in this folder.
    pub(crate) streamed: Option<PathBuf>,
    /// 0 for one for each core.
    pub(crate) threads: usize,
    pub(crate) isa: Option<Isa>,
    pub(crate) way: Way,
    /// A folder for recipe and data that outlives this run; what is there already is used again.
    pub(crate) data: Option<PathBuf>,
    /// Settings of the recipe in place of its own, as `mmhc` takes them.
    pub(crate) set: Vec<String>,
}

impl Arguments {
    /// Reads the words behind the program's name; the reason if they make no sense.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut what, mut threads, mut isa, mut data) = (None, 1, None, None);
        let (mut block, mut streamed) = (None, None);
        let mut way = Way::Blocks(7);
        let mut set = Vec::new();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .ok_or_else(|| format!("{word} needs a value\n{USAGE}"))
            };
            match word.as_str() {
                "--workload" => what = Some(What::Workload(value()?.parse()?)),
                "--recipe" => what = Some(What::Recipe(PathBuf::from(value()?))),
                "--block" => block = Some(number(&value()?)?),
                "--streamed" => streamed = Some(PathBuf::from(value()?)),
                "--threads" => threads = number(&value()?)?,
                "--isa" => isa = Some(value()?.parse()?),
                "--blocks" => way = Way::Blocks(number(&value()?)?),
                "--count" => way = Way::Count(number(&value()?)?),
                "--serve" => way = Way::Serve,
                "--trail" => way = Way::Trail(number(&value()?)?),
                "--set" => set.push(value()?),
                "--data" => data = Some(PathBuf::from(value()?)),
                _ => return Err(format!("`{word}` is not known\n{USAGE}")),
            }
        }
        let what = what.ok_or(USAGE)?;
        let usual = match &what {
            What::Workload(workload) => workload.block(),
            What::Recipe(_) => 16,
        };
        Ok(Self {
            what,
            block: block.unwrap_or(usual).max(1),
            streamed,
            threads,
            isa,
            way,
            data,
            set,
        })
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a number"))
}
