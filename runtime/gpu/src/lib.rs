//! The GPU executor: a whole training step as compute shaders, on devices that proved that they compute the right bits.
//!
//! In flows a [`mmh_ir::plan::Program`], lowered to the schedule that the processor carries out too; out flow the same bits.
//! WGSL promises little about floats, so nothing is taken on trust: each operation goes through a function of
//! [`rungs`] that was found exact on this very device ([`adapters`], `admit`), marks in SPIR-V (`spirv`) or an exclusive or with
//! a run-time zero keep compilers from rewriting what lies between, and every shader is checked once before it is used (`check`).
//!
//! Read `builder` first (how a step becomes text and parameters), then `executor`.

mod admit;
mod builder;
mod check;
mod check_others;
mod check_products;
mod contract;
mod core;
mod device;
mod elementwise;
mod evaluate;
mod executor;
mod kernel;
mod measure;
mod random;
mod reduce;
pub mod rungs;
#[cfg_attr(
    not(any(
        windows,
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd"
    )),
    path = "spirv_none.rs"
)]
mod spirv;
mod standby;
mod tiles;

pub use device::{Adapter, Gpu, adapters};
pub use standby::Standby;
