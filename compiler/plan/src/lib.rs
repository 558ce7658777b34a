//! From a checked recipe to a plan.
//!
//! What flows in: the typed declarations and forward graphs of `mmh-check`. What flows out: an [`mmh_ir::Plan`], which a
//! runtime can carry out without knowing the recipe. Read [`plan`] first; it calls [`differentiate`] (forward graph with
//! composites → primitives with every gradient as an expression), the optimisers, and [`simplify`].
//!
//! Bits are defined by the graph as [`differentiate`] and the optimisers write it; [`simplify`] runs behind them and is exact
//! on all inputs.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod adjoint;
mod assemble;
mod autodiff;
mod builder;
mod lower;
mod optimise;
mod precision;
mod simplify;
mod step;

pub use assemble::{Source, plan};
pub use autodiff::{Differentiated, NotDifferentiable, differentiate};
pub use simplify::simplify;
pub use step::{Model, StepPlan, evaluation_program, step_program};
