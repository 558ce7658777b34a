//! Carries a plan out: data, training, checkpoints, journal, metrics, and the run folder.
//!
//! In flow a [`mmh_ir::Plan`], the folder its data paths start from, and a [`mmh_ir::device::Device`]. Out flow a
//! [`RunSummary`] and a run folder whose content is the same wherever, however fast and after however many interruptions
//! the run was done. Nothing here knows recipes, threads or instruction sets.
//!
//! Read [`Session::run`] first, then [`train::train`].
//!
//! | module | holds |
//! |---|---|
//! | `session` | a run from plan to result |
//! | `train`, `step`, `watch` | the loop, one step, what decides the best model |
//! | `data`, `read`, `split`, `statistics` | files to columns, parts, batches |
//! | `init`, `schedule` | first values of state, numbers of each step |
//! | `evaluate`, `predict`, `probe` | metrics, what a model says, single values of single rows |
//! | `folder`, `files`, `journal`, `checkpoint`, `record` | what is written, and how it stays whole |
//! | `trail`, `state_hash`, `merkle` | hashes of the state as a training goes on |
//! | `prefix` | first steps that another run has done already |
//! | `study` | the folder and the journal of a search |
//! | `audit` | whether a folder is whole, the state after each step |
//! | `audited` | steps that are done again on another device |
//! | `proof` | hashes of states and of single values, for another machine to compare |
//! | `model`, `summary`, `report`, `chart` | hash and file of the model, the result as data and as a page |

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod audit;
pub mod audited;
pub mod chart;
pub mod checkpoint;
pub mod data;
pub mod evaluate;
pub mod failure;
pub mod files;
pub mod folder;
pub mod init;
pub mod journal;
pub mod merkle;
pub mod model;
pub mod observe;
pub mod pack;
pub mod predict;
pub mod prefix;
pub mod probe;
pub mod proof;
mod read;
pub mod record;
mod report;
pub mod schedule;
pub mod session;
pub mod split;
pub mod state_hash;
mod statistics;
pub mod step;
mod streamed;
pub mod study;
pub mod summary;
pub mod trail;
pub mod train;
pub mod watch;
pub mod weights;

pub use chart::escape as escape_html;
pub use data::{Dataset, load_data};
pub use failure::{Culprit, NotFinite, RunFailure};
pub use files::{Disk, Files};
pub use folder::RecipeText;
pub use observe::{Diagnose, Observer, Silent};
pub use predict::{Predictor, Sampling, StoredModel, sample_text};
pub use session::{Limit, Options, Session};
pub use summary::RunSummary;
