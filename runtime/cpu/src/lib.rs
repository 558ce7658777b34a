//! The CPU executor: SIMD contractions, kernels by build-time Rust SIMD and Cranelift.
//!
//! Tensors flow in and out as `f32` slices. Read [`contract`] first: it holds the strict-order matrix products and
//! convolutions; [`pool`] spreads them over threads, [`isa`] admits an instruction set after a self test, and
//! [`memory`] lends aligned scratch buffers.

pub mod contract;
mod dots;
mod executor;
mod finite;
pub mod isa;
mod jit;
mod launch;
pub mod memory;
pub mod pool;
mod reduce;
mod simd;
mod steps;
pub mod trace;
mod widen;

pub use executor::Cpu;
