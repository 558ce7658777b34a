//! A store of runs by content: objects named by their BLAKE3, runs that name objects, references that name runs.
//!
//! In flow run folders, out flow run folders, the same byte for byte; between machines they travel through [`Remote`]s. Nothing
//! here knows what a run means: who adds one hands its facts over, and who pulls one decides whether to trust it.
//!
//! Read [`Store`] first, then `add`.
//!
//! | name in the store | holds |
//! |---|---|
//! | `format` | `mmh store 1` |
//! | `objects/AB/CDEF…` | bytes, named by their BLAKE3; never changed once they have their name |
//! | `refs/runs/HEAD` | the object that is a run's manifest, and which of its data is here; named by its journal's last hash |
//! | `refs/tags/NAME` | the head of a run |
//! | `refs/trials/KEY/NAME` | a training after some steps, for others that begin alike |
//! | `incoming/` | what is being written or received |
//! | `uploads/` | what is being sent |
//! | `damaged/` | what `fsck --repair` took out |
//! | `.lock` | locked shared by who adds, alone by who collects garbage |
//!
//! | module | holds |
//! |---|---|
//! | `store` | opening, leases, objects |
//! | `refs` | runs and tags by name |
//! | `add` | a folder into the store and out of it |
//! | `beginnings` | trainings that others may go on from |
//! | `manifest` | what a run is |
//! | `content` | BLAKE3 of files on all cores |
//! | `collect`, `fsck` | garbage collection; integrity |
//! | `remote`, `folder`, `s3` | the same objects elsewhere |
//! | `transfer` | push and pull, which go on where they were cut |

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

mod add;
mod beginnings;
mod collect;
pub mod content;
mod failure;
mod folder;
mod fsck;
mod manifest;
mod refs;
mod remote;
mod s3;
mod store;
mod transfer;

pub use add::Added;
pub use beginnings::Beginning;
pub use collect::Collected;
pub use failure::StoreFailure;
pub use folder::FolderRemote;
pub use fsck::{Checked, Copies, Problem};
pub use manifest::{Ancestor, DataFile, Facts, Manifest, RunFile};
pub use refs::{Kept, Reference};
pub use remote::{Remote, Sink};
pub use s3::{S3, S3Access};
pub use store::{Lease, Store};
pub use transfer::{Part, Pulled, Pushed, fetch_copy, pull, push, remote_runs};
