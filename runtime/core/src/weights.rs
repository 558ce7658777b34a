//! Weights that a training begins with: a safetensors file, read once, its content pinned by the plan.
//!
//! The file is not trusted: its header is checked before anything is taken from it, its size is limited, and what is no f32,
//! i32, u8 or bool is known by its type alone. Every NaN becomes the canonical one, so that two files of one model hash give
//! one training.

use crate::failure::RunFailure;
use crate::journal::{Event, Parent, read};
use crate::model::tensors_hash;
use mmh_data::{DataError, Limits, Open};
use mmh_ir::DType;
use mmh_ir::device::Tensor;
use mmh_ir::plan::{FilePlan, StateDecl};
use mmh_numerics::canonical_bits;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// A file of weights that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Its path as the recipe has it.
    pub path: String,
    /// blake3 of the file, 64 hex digits.
    pub blake3: String,
    /// Hash of the model that all its tensors make up; none if a type among them is in no model here.
    pub model_hash: Option<String>,
    /// The run whose model it is, if its journal stands beside it.
    pub run: Option<Parent>,
    /// Element type and sizes of each tensor, by name.
    pub types: BTreeMap<String, (String, Vec<usize>)>,
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Reads a file; `shown` is what errors call it, `pinned` the blake3 it must have.
    ///
    /// Errors: those of data files for one that is missing, too large or not the one pinned; `weights::format`.
    pub fn read(path: &Path, shown: &str, pinned: Option<&str>) -> Result<Self, DataError> {
        let open = Open::path(path).shown_as(shown).pinned(pinned);
        let (bytes, hash) = open.limits(Limits::default()).bytes_stored()?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| format(shown, &error))?;
        let (mut types, mut tensors) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in file.iter() {
            let dtype = dtype(view.dtype());
            let word = dtype.map_or_else(
                || view.dtype().to_string().to_lowercase(),
                |dtype| dtype.name().to_owned(),
            );
            types.insert(name.to_owned(), (word, view.shape().to_vec()));
            if let Some(dtype) = dtype {
                tensors.insert(name.to_owned(), elements(dtype, view.data()));
            }
        }
        let model_hash = (types.len() == tensors.len()).then(|| {
            let parts = types.iter().zip(&tensors);
            tensors_hash(parts.map(|((name, (word, sizes)), (_, tensor))| {
                (name.as_str(), word.as_str(), sizes.as_slice(), tensor)
            }))
        });
        Ok(Self {
            path: shown.to_owned(),
            blake3: hash.to_hex().to_string(),
            run: model_hash.as_deref().and_then(|model| run_of(path, model)),
            model_hash,
            types,
            tensors,
        })
    }

    /// The weights that a plan names, from `base`, the recipe's folder.
    pub(crate) fn load(file: &FilePlan, base: &Path) -> Result<Self, RunFailure> {
        let path = base.join(&file.path);
        Self::read(&path, &file.path, Some(&file.blake3)).map_err(RunFailure::Data)
    }

    /// The first value of a slot.
    ///
    /// Errors: no tensor of this name, type and shape; the checker has seen to it that there is one.
    pub(crate) fn tensor(&self, name: &str, slot: &StateDecl) -> Result<Tensor, RunFailure> {
        let wanted = (slot.ty.dtype.name().to_owned(), slot.ty.shape.sizes());
        let found = self.tensors.get(name);
        let found = found.filter(|_| self.types.get(name) == Some(&wanted));
        found.cloned().ok_or_else(|| {
            RunFailure::Plan(format!(
                "`{}` has no tensor `{name}` that is {}",
                self.path, slot.ty
            ))
        })
    }
}

fn format(shown: &str, error: &safetensors::SafeTensorError) -> DataError {
    DataError {
        code: "weights::format",
        file: shown.into(),
        line: None,
        row: None,
        column: None,
        message: format!("it is no safetensors file: {error}"),
        help: "give the `model.safetensors` of a run folder, or a file written by the safetensors library".to_owned(),
    }
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::I32 => DType::I32,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}

fn elements(dtype: DType, bytes: &[u8]) -> Tensor {
    let words = || bytes.as_chunks::<4>().0.iter();
    match dtype {
        DType::F32 => {
            let value = |word: &[u8; 4]| f32::from_bits(canonical_bits(f32::from_le_bytes(*word)));
            Tensor::F32(words().map(value).collect())
        }
        DType::I32 => Tensor::I32(words().map(|word| i32::from_le_bytes(*word)).collect()),
        DType::U8 => Tensor::U8(bytes.to_vec()),
        DType::Bool => Tensor::Bool(bytes.iter().map(|byte| u8::from(*byte != 0)).collect()),
    }
}

/// Bytes of a journal that is looked at, at most: it is not trusted either.
const MOST_JOURNAL: u64 = 256 << 20;

/// The run whose journal stands beside a model, if it ended with that model.
fn run_of(path: &Path, model: &str) -> Option<Parent> {
    let journal = path.with_file_name("journal");
    let about = std::fs::metadata(&journal).ok()?;
    if !about.is_file() || about.len() > MOST_JOURNAL {
        return None;
    }
    let journal = std::fs::read(journal).ok()?;
    let (lines, _) = read::<Event>(&journal).ok()?;
    let (first, last) = (lines.first()?, lines.last()?);
    match (&first.entry, &last.entry) {
        (Event::Start { recipe_hash, .. }, Event::End { model_hash, .. })
            if model_hash == model =>
        {
            Some(Parent {
                head: last.hash.clone(),
                recipe_hash: recipe_hash.clone(),
                model_hash: Some(model_hash.clone()),
            })
        }
        _ => None,
    }
}
