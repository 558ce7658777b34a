//! Trials in the store, for this search and others: what one has trained, none trains again.
//!
//! Trainings that begin alike have one key: a hash of all that decides their steps, without their lengths. A trial that was trained to a
//! rung is put there; one that is about to be trained looks for the furthest that is as its own would be, and goes on from there. Every
//! file is checked by its hash, and the run folder that it makes like any other's; what does not fit is trained.

use super::trials::Instance;
use crate::args::RunArgs;
use crate::store::args::Which;
use crate::{store, system};
use mmh_runtime::data::data_hash;
use mmh_runtime::prefix::{fits, offer};
use mmh_store::Store;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The store of a search, if it uses one.
pub(crate) struct Shared {
    store: Option<Store>,
    /// Whether it was said that the store cannot be used.
    said: AtomicBool,
}

/// What one looks for.
pub(crate) struct Wanted<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) training: usize,
    /// Steps that are known without the store.
    pub(crate) known: u64,
    /// Steps that it is to do.
    pub(crate) end: u64,
    /// Where what is found is put.
    pub(crate) place: &'a Path,
}

impl Shared {
    /// The store that the arguments name, or no store.
    pub(crate) fn open(args: &RunArgs) -> Self {
        let which = Which {
            store: args.store.clone(),
            json: args.json,
        };
        let (store, said) = match args.no_store {
            true => (None, true),
            false => match store::open(&which) {
                Ok(store) => (Some(store), false),
                Err(_) => (None, false),
            },
        };
        let shared = Self {
            store,
            said: AtomicBool::new(said),
        };
        if shared.store.is_none() {
            shared.complain("it cannot be opened; `--store DIR` says where it is");
        }
        shared
    }

    /// A run folder with steps of a trial beyond what is known, out of the store.
    pub(crate) fn find(&self, wanted: &Wanted<'_>) -> Option<PathBuf> {
        let store = self.store.as_ref()?;
        let instance = wanted.instance;
        let all = match store.beginnings(&instance.key) {
            Ok(all) => all,
            Err(failure) => {
                self.complain(&failure.to_string());
                return None;
            }
        };
        let data = data_hash(&instance.data);
        for beginning in all {
            if beginning.steps <= wanted.known {
                break;
            }
            if beginning.steps > wanted.end {
                continue;
            }
            // What an earlier search left there is none of this one's.
            let _ = std::fs::remove_dir_all(wanted.place);
            if let Err(failure) = store.get_beginning(&beginning, wanted.place) {
                self.refuse(&failure.to_string());
                continue;
            }
            let plan = (&instance.plan, wanted.training);
            if fits(wanted.place, beginning.steps, plan, &data) {
                return Some(wanted.place.to_path_buf());
            }
        }
        let _ = std::fs::remove_dir_all(wanted.place);
        None
    }

    /// Puts a trial there that was trained in a run folder. That it cannot be is no failure of the trial.
    pub(crate) fn keep(&self, instance: &Instance, training: usize, folder: &Path) {
        let Some(store) = &self.store else { return };
        let Some(name) = instance.plan.trainings.get(training).map(|it| &it.name) else {
            return;
        };
        let Some(offer) = offer(folder, training, name) else {
            return;
        };
        let (key, hash) = (&instance.key, &instance.plan_hash);
        if let Err(failure) = store.put_beginning(key, offer.steps, hash, folder, &offer.files) {
            self.complain(&failure.to_string());
        }
    }

    /// Says once that the store is of no use.
    fn complain(&self, reason: &str) {
        if !self.said.swap(true, Ordering::Relaxed) {
            system::tell(&format!(
                "note: trials are not shared by the store: {reason}\n"
            ));
        }
    }

    fn refuse(&self, reason: &str) {
        system::tell(&format!(
            "note: a trial of the store is not used, and trained instead: {reason}; `mmhc fsck` looks at the store\n"
        ));
    }
}
