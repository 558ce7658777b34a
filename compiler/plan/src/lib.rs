//! From a checked recipe to a plan.
//!
//! What flows in: the typed declarations and forward graphs of `mmh-check`. What flows out: an [`mmh_ir::Plan`], which a
//! runtime can carry out without knowing the recipe. Read [`differentiate`] first: it turns a forward graph with composites
//! into primitives with every gradient as an expression.
//!
//! Bits are defined by the graph as [`differentiate`] and the optimiser write it; [`simplify`] runs behind them and is exact
//! on all inputs.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod adjoint;
mod autodiff;
mod builder;
mod lower;

pub use autodiff::{Differentiated, NotDifferentiable, differentiate};
