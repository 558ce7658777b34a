//! Workers that train trials, as threads or as processes. Each has a device of its own.

use super::process::Keeper;
use super::shared::Shared;
use super::trained::{Order, Trained, train};
use super::trials::Instance;
use crate::args::{DeviceArgs, Isolate};
use mmh_ir::device::Device;
use mmh_runtime::RunFailure;
use mmh_runtime::prefix::taken;
use mmh_search::Job;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

/// Stack of a worker, which lowers programs by recursion; only what is used is mapped.
const STACK: usize = 64 << 20;

/// A piece of work.
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) instance: Arc<Instance>,
    pub(crate) order: Order,
    /// The folder that data paths start from.
    pub(crate) base: PathBuf,
    /// Whether its first steps lie in the store.
    pub(crate) is_stored: bool,
    pub(crate) cancel: Arc<AtomicBool>,
}

/// What came of it.
pub(crate) struct Done {
    pub(crate) job: Job,
    pub(crate) plan_hash: String,
    /// Steps that were taken from the store.
    pub(crate) stored: u64,
    pub(crate) result: Result<Trained, RunFailure>,
}

/// Makes a device with so many threads.
pub(crate) type MakeDevice<'a> = &'a (dyn Fn(&DeviceArgs) -> Option<Box<dyn Device>> + Sync);

/// How workers work.
#[derive(Clone, Copy)]
pub(crate) struct Crew<'a> {
    pub(crate) count: usize,
    pub(crate) args: &'a DeviceArgs,
    pub(crate) isolate: Isolate,
    /// The longest that a piece of work may take, in a process.
    pub(crate) most: Option<Duration>,
    pub(crate) device: MakeDevice<'a>,
    /// Where what was trained is kept for others.
    pub(crate) shared: &'a Shared,
}

/// Starts workers that share the threads and take tasks until there are no more.
pub(crate) fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    crew: Crew<'env>,
    tasks: &'env Mutex<Receiver<Task>>,
    done: &Sender<Done>,
) -> std::io::Result<Vec<ScopedJoinHandle<'scope, ()>>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = crew.args.threads.map_or(cores, usize::from) / crew.count;
    let own = DeviceArgs {
        threads: Some(threads.clamp(1, 1024) as u16),
        ..crew.args.clone()
    };
    let worker = |_| {
        let (own, done) = (own.clone(), done.clone());
        let builder = std::thread::Builder::new().stack_size(STACK);
        builder.spawn_scoped(scope, move || match crew.isolate {
            Isolate::Thread => in_thread(crew, &own, tasks, &done),
            Isolate::Process => {
                let mut keeper = Keeper::new(own, crew.most);
                work(crew.shared, tasks, &done, |task| keeper.train(task));
            }
        })
    };
    (0..crew.count).map(worker).collect()
}

fn in_thread(
    crew: Crew<'_>,
    args: &DeviceArgs,
    tasks: &Mutex<Receiver<Task>>,
    done: &Sender<Done>,
) {
    // The same arguments gave a device before.
    let Some(device) = (crew.device)(args) else {
        return;
    };
    work(crew.shared, tasks, done, |task| {
        let instance = &task.instance;
        train(
            &task.order,
            &instance.plan,
            &instance.data,
            &instance.texts,
            &*device,
            &task.cancel,
        )
    });
}

/// Takes tasks until there are no more.
fn work(
    shared: &Shared,
    tasks: &Mutex<Receiver<Task>>,
    done: &Sender<Done>,
    mut train: impl FnMut(&Task) -> Result<Trained, RunFailure>,
) {
    loop {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = next else { return };
        let trained = catch_unwind(AssertUnwindSafe(|| train(&task)));
        let result = trained.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(RunFailure::Device(said.unwrap_or_else(|| {
                "it stopped for an unknown reason".to_owned()
            })))
        });
        let place = &task.order.place;
        let taken = taken(place);
        if result.is_ok() && taken < task.order.end {
            shared.keep(&task.instance, task.order.training, place);
        }
        let stored = if task.is_stored { taken } else { 0 };
        let plan_hash = task.instance.plan_hash.clone();
        let done = done.send(Done {
            job: task.job,
            plan_hash,
            stored,
            result,
        });
        if done.is_err() {
            return;
        }
    }
}
