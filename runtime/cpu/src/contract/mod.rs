//! Strict-order contractions: matrix products, convolutions, their gradients, and the one-hot product.
//!
//! `f32` slices flow in, `f32` slices flow out, and every output element has one definition (numerics contract,
//! "Contractions"): inside blocks of [`K_BLOCK`] contracted indices, counted over the flattened logical index, a chain
//! `acc = fma(a[k], b[k], acc)` from +0 with k ascending; block results added left to right; results of groups of
//! [`K_GROUP`] indices added left to right; then `s + 0.0`. Tile shapes, packing, vector width and thread count cannot
//! be seen in the bits. NaN payloads are not defined.
//!
//! Read [`gemm`] first: it splits a product into regions and walks one region. `kernel.rs` holds the tile kernel,
//! written once over `vector.rs` and compiled per instruction set.
#![expect(
    unsafe_code,
    reason = "SIMD kernels address operands by pointer; the public functions check all bounds first"
)]

mod convolution;
mod gemm;
mod geometry;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operand;
mod scalar;
mod scatter;
mod self_test;
mod tiling;
mod trim;
mod turned;
mod unfold;
mod vector;
mod weight_gradient;
mod window;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

pub use convolution::convolution;
pub use gemm::gemm;
pub use geometry::{Axis, Convolution, Weight};
pub use operand::{Absent, Gemm, Operand, Output};
pub use scatter::scatter_rows;
pub(crate) use self_test::self_test;
pub use weight_gradient::weight_gradient;

use crate::isa::{Isa, Refusal, admit};
use crate::pool::Pool;
use kernel::Kernels;

/// Contracted indices in a block: one unbroken chain of fused multiply-adds.
pub const K_BLOCK: usize = 256;
/// Contracted indices in a group of blocks: the second level of summation.
pub const K_GROUP: usize = 65_536;

/// What a contraction runs on: threads and an admitted instruction set.
#[derive(Clone, Copy)]
pub struct Context<'p> {
    pool: &'p Pool,
    kernels: &'static Kernels,
}

impl<'p> Context<'p> {
    /// A context on `pool`, with kernels for `isa`, which is admitted first.
    pub fn new(pool: &'p Pool, isa: Isa) -> Result<Self, Refusal> {
        admit(isa)?;
        let kernels = kernel::kernels_of(isa).ok_or(Refusal::Absent(isa))?;
        Ok(Self { pool, kernels })
    }

    /// The threads.
    pub fn pool(&self) -> &'p Pool {
        self.pool
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.kernels.isa
    }
}

/// Why a contraction was not run: its sizes do not fit its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// A buffer is shorter than its sizes and strides reach; the buffer's role.
    TooShort(&'static str),
    /// Two output elements share a place.
    Overlapping,
    /// The geometry of a convolution is impossible; what is wrong with it.
    Geometry(&'static str),
    /// An index points outside the table; its position.
    Index(usize),
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(role) => write!(
                formatter,
                "the buffer of the {role} is too short for its sizes and strides"
            ),
            Self::Overlapping => write!(
                formatter,
                "the strides of the output make two elements share a place"
            ),
            Self::Geometry(what) => write!(formatter, "impossible convolution: {what}"),
            Self::Index(position) => write!(
                formatter,
                "the index at position {position} is outside the table"
            ),
        }
    }
}

impl std::error::Error for Misfit {}
