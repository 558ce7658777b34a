//! The conformance suite. In flows a device; out flows whether it has the contract's bits, case by case.
//!
//! A [`Case`] is a small graph with operands: [`cases`] has every primitive of the table and the gradient of each that has
//! one. What the reference makes of a case is a [`Vector`]; a file of vectors ([`mod@file`]) is what anyone can check another
//! implementation against, in whatever language it is written. Read [`Case`] first, then [`cases`].

#![forbid(unsafe_code)]

pub mod exhaustive;
pub mod file;
mod maker;
mod orders;
mod others;
mod pointwise;

use mmh_ir::device::{Device, Feed, State, Tensor};
use mmh_ir::plan::{Named, Program};
use mmh_ir::{DType, Graph, Input, Op, ValueId};

pub use file::Vector;
pub use pointwise::ONE_ARGUMENT;

/// A graph with operands, and the values that are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it tests, such as `exp, gradient`.
    pub name: String,
    /// Its operations. Inputs are columns; draws take rows and key 0.
    pub graph: Graph,
    /// Elements of column n by their bits; bytes and truth values take a word each.
    pub operands: Vec<Vec<u32>>,
    /// Row numbers.
    pub rows: Vec<i32>,
    /// Words of key 0.
    pub key: Option<[u32; 8]>,
    /// Values that are compared.
    pub results: Vec<ValueId>,
}

/// Where a device and a vector part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The value.
    pub value: ValueId,
    /// Number of the element in logical order.
    pub element: usize,
    /// Bits that came out.
    pub found: u32,
    /// Bits that are right.
    pub wanted: u32,
    /// Bits of the operands at that place, where each has as many elements as the result.
    pub operands: Vec<u32>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "element {} of {} is {:#010x}, not {:#010x}",
            self.element, self.value, self.found, self.wanted
        )?;
        if self.operands.is_empty() {
            return Ok(());
        }
        let operands: Vec<String> = self.operands.iter().map(|w| format!("{w:#010x}")).collect();
        write!(f, ", of {}", operands.join(", "))
    }
}

/// All cases, in the order of the file.
pub fn cases() -> Vec<Case> {
    let mut all = pointwise::cases();
    all.extend(orders::cases());
    all.extend(others::cases());
    all
}

impl Case {
    /// The results on a device, by their bits, every NaN the same.
    ///
    /// # Errors
    /// Operands that do not fit the graph; the device failed.
    pub fn answers(&self, device: &dyn Device) -> Result<Vec<Vec<u32>>, String> {
        let (program, feed) = (self.program(), self.feed()?);
        let loaded = device.load(&program, &[]);
        let mut loaded = loaded.map_err(|error| error.to_string())?;
        let results = loaded.run(&mut State::default(), &feed);
        let results = results.map_err(|error| error.to_string())?;
        Ok(results.iter().map(words).collect())
    }

    /// The case as a program that updates nothing.
    pub fn program(&self) -> Program {
        let named = |value: &ValueId| Named {
            name: value.to_string(),
            value: *value,
        };
        Program {
            name: self.name.clone(),
            batch: self.rows.len().max(1) as u64,
            graph: self.graph.clone(),
            updates: Vec::new(),
            results: self.results.iter().map(named).collect(),
            guards: Vec::new(),
        }
    }

    fn feed(&self) -> Result<Feed, String> {
        let mut columns = vec![Tensor::F32(Vec::new()); self.operands.len()];
        for node in &self.graph.nodes {
            match node.op {
                Op::Input(Input::Column(n)) => {
                    let found = self
                        .operands
                        .get(n as usize)
                        .zip(columns.get_mut(n as usize));
                    let (words, column) =
                        found.ok_or_else(|| format!("there is no operand {n}"))?;
                    if words.len() != node.ty.shape.elements() {
                        return Err(format!(
                            "operand {n} has {} elements, not {}",
                            words.len(),
                            node.ty
                        ));
                    }
                    *column = tensor(node.ty.dtype, words);
                }
                Op::Input(Input::Rows) if self.rows.len() == node.ty.shape.elements() => {}
                Op::Input(Input::Key(0)) if self.key.is_some() => {}
                Op::Input(input) => return Err(format!("{input:?} is not fed here")),
                _ => {}
            }
        }
        Ok(Feed {
            columns,
            rows: self.rows.clone(),
            keys: self.key.into_iter().collect(),
            ..Feed::default()
        })
    }
}

/// Elements from their bits.
pub(crate) fn tensor(dtype: DType, words: &[u32]) -> Tensor {
    match dtype {
        DType::F32 => Tensor::F32(words.iter().map(|w| f32::from_bits(*w)).collect()),
        DType::I32 => Tensor::I32(words.iter().map(|w| w.cast_signed()).collect()),
        DType::U8 => Tensor::U8(words.iter().map(|w| *w as u8).collect()),
        DType::Bool => Tensor::Bool(words.iter().map(|w| u8::from(*w != 0)).collect()),
    }
}

/// Elements by their bits, every NaN the same.
pub(crate) fn words(tensor: &Tensor) -> Vec<u32> {
    match tensor {
        Tensor::F32(v) => v.iter().map(|x| bits(*x)).collect(),
        Tensor::I32(v) => v.iter().map(|x| x.cast_unsigned()).collect(),
        Tensor::U8(v) | Tensor::Bool(v) => v.iter().map(|x| u32::from(*x)).collect(),
    }
}

/// §1.2 of the contract.
pub(crate) fn bits(x: f32) -> u32 {
    if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }
}
