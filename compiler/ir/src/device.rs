//! What an executor offers: it loads a [`Program`] and runs it on state and a batch.
//!
//! Memory crosses this line as [`Tensor`]s in logical row-major order; what an executor does inside is its own affair, as
//! long as the bits are those of the graph.

use crate::plan::{Program, StateDecl};
use crate::shape::DType;
use std::fmt;

/// Elements in logical row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// f32 elements.
    F32(Vec<f32>),
    /// i32 elements.
    I32(Vec<i32>),
    /// Bytes.
    U8(Vec<u8>),
    /// Truth values, 0 or 1.
    Bool(Vec<u8>),
}

impl Tensor {
    /// `elements` zeros.
    pub fn zeros(dtype: DType, elements: usize) -> Self {
        match dtype {
            DType::F32 => Self::F32(vec![0.0; elements]),
            DType::I32 => Self::I32(vec![0; elements]),
            DType::U8 => Self::U8(vec![0; elements]),
            DType::Bool => Self::Bool(vec![0; elements]),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::I32(_) => DType::I32,
            Self::U8(_) => DType::U8,
            Self::Bool(_) => DType::Bool,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::U8(v) | Self::Bool(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The f32 elements, if it has such.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let Self::F32(v) = self {
            Some(v)
        } else {
            None
        }
    }

    /// The i32 elements, if it has such.
    pub fn as_i32(&self) -> Option<&[i32]> {
        if let Self::I32(v) = self {
            Some(v)
        } else {
            None
        }
    }

    /// The truth values, if it has such.
    pub fn as_bool(&self) -> Option<&[u8]> {
        if let Self::Bool(v) = self {
            Some(v)
        } else {
            None
        }
    }
}

/// All state of a training, by slot.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct State {
    /// One tensor per [`StateDecl`].
    pub slots: Vec<Tensor>,
}

/// What one run of a program is fed with.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// Columns of the data set for the rows of this batch; a column no program reads may be empty.
    pub columns: Vec<Tensor>,
    /// Data-set row numbers.
    pub rows: Vec<i32>,
    /// Global step.
    pub step: i32,
    /// Key of every random site in this epoch.
    pub keys: Vec<[u32; 8]>,
    /// Step scalars.
    pub scalars: Vec<f32>,
    /// Statistics of the data.
    pub statistics: Vec<Tensor>,
}

/// Why a run gave no result. State is untouched.
#[derive(Clone, Debug, PartialEq)]
pub enum RunError {
    /// The guard of this number holds a NaN or infinity.
    NotFinite {
        /// Number in [`Program::guards`].
        guard: usize,
    },
    /// A look-up index lies outside its table.
    IndexRange {
        /// What was looked up.
        what: String,
    },
    /// The device failed.
    Device(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { guard } => write!(f, "guard {guard} is not finite"),
            Self::IndexRange { what } => write!(f, "an index into {what} is out of range"),
            Self::Device(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for RunError {}

/// Something that runs programs.
pub trait Device: Send + Sync {
    /// `interpret`, `cpu`, …
    fn name(&self) -> &str;
    /// The instruction set in use, such as `avx2`.
    fn isa(&self) -> &str;
    /// Threads in use.
    fn threads(&self) -> usize;
    /// Prepares a program whose state slots are `state`.
    fn load(&self, program: &Program, state: &[StateDecl])
    -> Result<Box<dyn Executable>, RunError>;
}

/// A prepared program.
pub trait Executable: Send {
    /// Runs once: reads `state` and `feed`, then writes the updates to `state` (all or none), and gives the results.
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError>;

    /// [`Executable::run`], but the device may keep the new state to itself until [`Executable::settle`]: until then `state` is
    /// that of the last time it was settled, this executable alone goes on from the new one, and nobody else may write `state`.
    /// `meanwhile` is called once while the device works by itself, or not at all.
    ///
    /// On an error the step has not been done: settling gives the state ahead of it.
    fn advance(
        &mut self,
        state: &mut State,
        feed: &Feed,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Tensor>, RunError> {
        let _ = meanwhile;
        self.run(state, feed)
    }

    /// Brings home what [`Executable::advance`] has kept.
    fn settle(&mut self, state: &mut State) -> Result<(), RunError> {
        let _ = state;
        Ok(())
    }
}
