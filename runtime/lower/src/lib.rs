//! From a Program to a Schedule: fusion into kernels, layouts, steps and buffers.
//!
//! In flows a [`mmh_ir::plan::Program`]; out flows a [`Schedule`], which any executor can carry out with the bits of the
//! graph. Nothing here reads or writes data. Read [`lower`] first, then [`kernel`].
//!
//! A value is either *inline* (a pointwise expression computed wherever it is needed), a *view* (the elements of a buffer
//! in another order) or *buffered*. Pointwise roots and reductions over the same loops that read the same memory share a
//! kernel.

pub mod bands;
mod causal;
mod contraction;
mod decide;
mod expand;
mod group;
pub mod kernel;
mod kernel_text;
mod lowering;
mod memory;
mod nodes;
pub mod schedule;
pub mod slices;
mod sooner;
mod steps;
mod text;
pub mod view;

pub use bands::{Band, Slicing};
pub use lowering::{lower, lower_to_words};
pub use schedule::Schedule;
pub use slices::Part;
pub use text::step_text;
pub use view::{BufferId, View};
