//! Hyperparameter search as a pure state machine.
//!
//! In flow a [`Spec`] (what may be chosen, how it is proposed, who goes on) and results of trials; out flow [`Job`]s, the
//! pieces of work that are known to be needed, and in the end the best trial and a hash of the whole study. Every proposal
//! and every decision is a function of the spec and of results that the spec itself says may be read, so that neither the
//! number of workers, nor the order in which they end, nor an interruption can change one.
//!
//! Nothing here knows recipes, models, files or threads. Read [`Study`] first, then [`Spec::reads`], which says what a
//! proposal may know.
//!
//! | module | holds |
//! |---|---|
//! | `space` | what may be chosen, and points in it |
//! | `spec` | the methods and what each may read |
//! | `study` | proposals, results, decisions, the best trial |
//! | `decide` | which trials go on at a rung |
//! | `sobol`, `tpe`, `cma`, `gp`, `nsga` | ways to propose |
//! | `pareto` | several figures at once |
//! | `text` | a spec read back from the text that a journal holds |
//! | `math`, `draws`, `eigen` | functions, random numbers and matrices that give the same bits everywhere |

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod cma;
mod decide;
mod direction_numbers;
mod draws;
mod eigen;
mod gp;
pub mod math;
mod nsga;
mod pareto;
mod propose;
mod sobol;
mod space;
mod spec;
mod study;
mod text;
mod tpe;

pub use space::{Domain, Point, Setting, Site, Space};
pub use spec::{Direction, Method, Objective, Propose, Spec, WATCH};
pub use study::{Job, Outcome, Status, Study, Trial};
pub use text::point_text;
