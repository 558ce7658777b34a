//! Data sets: columns as they are fed, parts, statistics, and batches of rows, in memory or streamed from the disk.

use crate::failure::RunFailure;
use crate::init::stream;
use crate::read::{Decoded, decode};
use crate::split::{self, NEXT, PartRows, text_rows};
use crate::statistics::Statistics;
use crate::streamed::Held;
use crate::weights::Weights;
use mmh_data::{Elements, Limits, Records, Streamed};
use mmh_ir::device::Tensor;
use mmh_ir::plan::{DataPlan, Part, Program, SourcePlan, SplitKind};
use mmh_ir::{Input, Op, Plan};
use mmh_numerics::random::Seed;
use std::path::Path;
use std::sync::Arc;

/// A data set, read and dealt.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Declared name.
    pub name: String,
    /// Rows of train, valid and test, ascending.
    pub parts: PartRows,
    /// Statistics of the training rows, in the plan's order.
    pub statistics: Vec<Tensor>,
    /// blake3 of the decoded content.
    pub hash: blake3::Hash,
    /// Each file as written in the recipe, with the blake3 of its bytes.
    pub files: Vec<(String, String)>,
    /// The weights that trainings on these rows begin with, beside their names.
    pub weights: Vec<(String, Arc<Weights>)>,
    stock: Stock,
}

/// The columns of a data set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stock {
    pub(crate) columns: Vec<Stored>,
    /// The rows on the disk that streamed columns are taken from.
    pub(crate) records: Vec<Records>,
}

/// A column's elements.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    /// `width` elements a row.
    Rows { values: Tensor, width: usize },
    /// Windows into a text: row `r` holds `window` elements from `r · stride + ahead` on.
    Windows {
        text: Arc<[i32]>,
        window: usize,
        stride: usize,
        ahead: usize,
    },
    /// Rows on the disk, from the records of this number.
    Streamed { column: Streamed, records: usize },
    /// The same of a text: of a row's characters, `window` from `ahead` on.
    StreamedWindows {
        column: Streamed,
        records: usize,
        window: usize,
        ahead: usize,
    },
}

/// Reads every data set of a plan. Paths are taken from `base`, the recipe's folder; they may lead out of it (`../data`), as
/// data is only read and its hash is pinned.
pub fn load_data(plan: &Plan, base: &Path) -> Result<Vec<Dataset>, RunFailure> {
    let seed = seed_of(plan)?;
    let sets = plan
        .data
        .iter()
        .map(|data| Dataset::load(data, base, &seed, Limits::of_process()));
    let mut sets = sets.collect::<Result<Vec<Dataset>, RunFailure>>()?;
    for training in &plan.trainings {
        if let Some(file) = &training.start
            && let Some(set) = sets.get_mut(training.data as usize)
        {
            let weights = Arc::new(Weights::load(file, base)?);
            set.weights.push((training.name.clone(), weights));
        }
    }
    Ok(sets)
}

/// The root seed of a plan.
pub(crate) fn seed_of(plan: &Plan) -> Result<Seed, RunFailure> {
    Seed::from_hex(&plan.seed).map_err(|error| RunFailure::Plan(error.to_string()))
}

/// One hash over all data sets: that of the only one, or blake3 (derived for `mmh data sets 1`) over names and hashes.
pub fn data_hash(data: &[Dataset]) -> String {
    let sets: Vec<_> = data
        .iter()
        .map(|set| (set.name.as_str(), set.hash))
        .collect();
    hash_of(&sets)
}

/// The same, of names and hashes in their word form; none where one is no hash.
pub(crate) fn hash_of_sets(sets: &[(&str, &str)]) -> Option<String> {
    let read = |(name, hash): &(&str, &str)| {
        let hash = blake3::Hash::from_hex(hash.strip_prefix("blake3:")?).ok()?;
        Some(((*name).to_owned(), hash))
    };
    let sets: Option<Vec<(String, blake3::Hash)>> = sets.iter().map(read).collect();
    let sets = sets?;
    let sets: Vec<_> = sets
        .iter()
        .map(|(name, hash)| (name.as_str(), *hash))
        .collect();
    Some(hash_of(&sets))
}

fn hash_of(sets: &[(&str, blake3::Hash)]) -> String {
    if let [(_, only)] = sets {
        return format!("blake3:{}", only.to_hex());
    }
    let mut hasher = blake3::Hasher::new_derive_key("mmh data sets 1");
    for (name, hash) in sets {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(hash.as_bytes());
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

impl Dataset {
    /// The weights that a training begins with, if it does.
    pub(crate) fn weights_of(&self, training: &str) -> Option<&Weights> {
        let mut known = self.weights.iter();
        let found = known.find(|(name, _)| name == training);
        found.map(|(_, weights)| &**weights)
    }

    /// Reads the files of a data set, checks their hashes, deals the rows and takes the statistics.
    pub fn load(
        plan: &DataPlan,
        base: &Path,
        seed: &Seed,
        limits: Limits,
    ) -> Result<Self, RunFailure> {
        let decoded = decode(plan, base, limits)?;
        let parts = deal(plan, &decoded, seed)?;
        let [train, _, _] = &parts;
        let mut taken = Statistics::of(train);
        let statistics: Result<Vec<Tensor>, RunFailure> = plan
            .statistics
            .iter()
            .map(|wanted| taken.take(wanted, decoded.columns.get(wanted.column as usize)))
            .collect();
        let (hash, files) = (decoded.hash, decoded.files.clone());
        Ok(Self {
            name: plan.name.clone(),
            parts,
            statistics: statistics?,
            hash,
            files,
            weights: Vec::new(),
            stock: decoded.store(plan, &limits)?,
        })
    }

    /// The rows of a part, ascending.
    pub fn rows(&self, part: Part) -> &[u32] {
        let [train, valid, test] = &self.parts;
        match part {
            Part::Train => train,
            Part::Valid => valid,
            Part::Test => test,
        }
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.stock.columns.len()
    }

    /// Whether rows are read from the disk when they are needed.
    pub fn is_streamed(&self) -> bool {
        !self.stock.records.is_empty()
    }

    /// Copies `rows` of the columns that `wanted` marks into `out`, whose buffers are used again.
    ///
    /// Errors: a row that the data set does not have; rows on the disk that cannot be read, or were changed.
    pub fn gather(
        &self,
        rows: &[u32],
        wanted: &[bool],
        out: &mut Vec<Tensor>,
    ) -> Result<(), RunFailure> {
        let Stock { columns, records } = &self.stock;
        if out.len() != columns.len() {
            *out = columns.iter().map(Stored::empty).collect();
        }
        let read = self.read(rows, wanted)?;
        for ((column, out), wanted) in columns.iter().zip(out).zip(wanted) {
            let bytes = column.records().and_then(|number| read.get(number));
            let length = column.records().and_then(|number| records.get(number));
            if *wanted {
                let length = length.map_or(1, Records::length);
                let gathered = match bytes {
                    Some(bytes) => column.decode(bytes, length, out)?,
                    None => column.gather(rows, out),
                };
                gathered.ok_or_else(|| {
                    RunFailure::Request(format!("a row asked for is not in `{}`", self.name))
                })?;
            }
        }
        Ok(())
    }

    /// Says which rows will be gathered soon, so that a disk gives them meanwhile.
    pub(crate) fn expect(&self, rows: &[u32], wanted: &[bool]) {
        for (number, records) in self.stock.records.iter().enumerate() {
            if self.reads(number, wanted) {
                records.expect(rows);
            }
        }
    }

    fn reads(&self, records: usize, wanted: &[bool]) -> bool {
        let mut columns = self.stock.columns.iter().zip(wanted);
        columns.any(|(column, wanted)| *wanted && column.records() == Some(records))
    }

    /// The bytes of rows on the disk, by number of records; none where no column that is wanted is taken from them.
    fn read(&self, rows: &[u32], wanted: &[bool]) -> Result<Vec<Vec<u8>>, RunFailure> {
        let mut read = vec![Vec::new(); self.stock.records.len()];
        for (number, (records, bytes)) in self.stock.records.iter().zip(&mut read).enumerate() {
            if self.reads(number, wanted) {
                records.read(rows, bytes)?;
            }
        }
        Ok(read)
    }
}

/// Which of `count` columns a program reads.
pub(crate) fn columns_read(program: &Program, count: usize) -> Vec<bool> {
    let mut read = vec![false; count];
    for node in &program.graph.nodes {
        if let Op::Input(Input::Column(column)) = node.op
            && let Some(mark) = read.get_mut(column as usize)
        {
            *mark = true;
        }
    }
    read
}

fn deal(plan: &DataPlan, decoded: &Decoded, seed: &Seed) -> Result<PartRows, RunFailure> {
    if let (SourcePlan::Text { window, stride, .. }, SplitKind::Sequential) =
        (&plan.source, &plan.split.kind)
    {
        let ranges = text_rows(
            decoded.characters,
            *window,
            *stride,
            split::NEXT,
            plan.split.shares,
        );
        let parts = ranges.map(|rows| rows.filter_map(|row| u32::try_from(row).ok()).collect());
        return split::finish(&plan.name, &plan.split, parts);
    }
    let by = match &plan.split.kind {
        SplitKind::Stratified { by } => {
            let column = decoded.columns.iter().find(|column| column.name() == by);
            column.map(Held::in_memory).transpose()?
        }
        SplitKind::Random | SplitKind::Sequential | SplitKind::Files => None,
    };
    let stream = stream(seed, &plan.split.site);
    split::deal(
        &plan.name,
        &plan.split,
        decoded.rows,
        &stream,
        by.as_deref(),
        decoded.last,
    )
}

impl Stored {
    fn empty(&self) -> Tensor {
        match self {
            Self::Rows { values, .. } => Tensor::zeros(values.dtype(), 0),
            Self::Windows { .. } | Self::StreamedWindows { .. } => Tensor::I32(Vec::new()),
            Self::Streamed { column, .. } => match column.no_elements() {
                Elements::F32(values) => Tensor::F32(values),
                Elements::I32(values) => Tensor::I32(values),
                Elements::U8(values) => Tensor::U8(values),
            },
        }
    }

    /// The number of the records it is taken from, if it is on the disk.
    fn records(&self) -> Option<usize> {
        match self {
            Self::Rows { .. } | Self::Windows { .. } => None,
            Self::Streamed { records, .. } | Self::StreamedWindows { records, .. } => {
                Some(*records)
            }
        }
    }

    /// Elements out of the bytes of rows of `length` bytes each; nothing where `out` is of another kind.
    fn decode(
        &self,
        bytes: &[u8],
        length: usize,
        out: &mut Tensor,
    ) -> Result<Option<()>, RunFailure> {
        match (self, out) {
            (Self::Streamed { column, .. }, out) => {
                let mut elements = match out {
                    Tensor::F32(values) => Elements::F32(std::mem::take(values)),
                    Tensor::I32(values) => Elements::I32(std::mem::take(values)),
                    Tensor::U8(values) => Elements::U8(std::mem::take(values)),
                    Tensor::Bool(_) => return Ok(None),
                };
                column.decode(bytes, &mut elements)?;
                *out = match elements {
                    Elements::F32(values) => Tensor::F32(values),
                    Elements::I32(values) => Tensor::I32(values),
                    Elements::U8(values) => Tensor::U8(values),
                };
                Ok(Some(()))
            }
            (
                Self::StreamedWindows {
                    column,
                    window,
                    ahead,
                    ..
                },
                Tensor::I32(out),
            ) => {
                out.clear();
                let size = length / (window + NEXT as usize);
                for row in bytes.chunks_exact(length) {
                    let characters = row.get(ahead * size..(ahead + window) * size);
                    column.characters(characters.unwrap_or_default(), out);
                }
                Ok(Some(()))
            }
            (_, _) => Ok(None),
        }
    }

    fn gather(&self, rows: &[u32], out: &mut Tensor) -> Option<()> {
        match (self, out) {
            (
                Self::Windows {
                    text,
                    window,
                    stride,
                    ahead,
                },
                Tensor::I32(out),
            ) => {
                out.clear();
                for &row in rows {
                    let start = row as usize * stride + ahead;
                    out.extend_from_slice(text.get(start..start + window)?);
                }
                Some(())
            }
            (
                Self::Rows {
                    values: Tensor::F32(values),
                    width,
                },
                Tensor::F32(out),
            ) => copy(values, *width, rows, out),
            (
                Self::Rows {
                    values: Tensor::I32(values),
                    width,
                },
                Tensor::I32(out),
            ) => copy(values, *width, rows, out),
            (
                Self::Rows {
                    values: Tensor::U8(values),
                    width,
                },
                Tensor::U8(out),
            ) => copy(values, *width, rows, out),
            (_, _) => None,
        }
    }
}

fn copy<T: Copy>(values: &[T], width: usize, rows: &[u32], out: &mut Vec<T>) -> Option<()> {
    out.clear();
    out.reserve(rows.len() * width);
    for &row in rows {
        let start = row as usize * width;
        out.extend_from_slice(values.get(start..start + width)?);
    }
    Some(())
}
