//! A fork-join pool of a given number of threads.
//!
//! [`Pool::run`] hands task numbers to the calling thread and the workers. A worker joins a job only while it is open,
//! so a worker that the system has not scheduled never holds a job up: with more threads than cores the caller does
//! the work itself.
//!
//! Every thread has a lane: a run of neighbouring task numbers, the same in every job of as many tasks. It works through
//! its own lane first and then helps with the others'. Steps that cut their rows alike so find in a core's cache what
//! that core wrote before: a line that another core has written costs thirty times as much to read.
#![expect(
    unsafe_code,
    reason = "a borrowed closure crosses to threads that outlive it; float control registers"
)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

/// Low bits of the state count the workers inside the job.
const JOINED: u64 = 0xffff;
/// Set while workers may join.
const OPEN: u64 = 1 << 16;
/// One job further.
const EPOCH: u64 = 1 << 17;
/// Set for good when the pool is dropped.
const CLOSED_FOR_GOOD: u64 = 1 << 63;

/// Pauses before a waiting thread gives its core away, when every thread has a core: some hundreds of
/// microseconds, more than the steps between two that share work take. Waking a parked thread costs tens of them.
const SPINS: u32 = 16_000;
/// The same when threads outnumber cores: spinning would then keep the awaited thread from running.
const SPINS_OVERSUBSCRIBED: u32 = 20;
/// Yields between spinning and parking.
const YIELDS: u32 = 4;

thread_local! {
    static INSIDE_TASK: Cell<bool> = const { Cell::new(false) };
}

type Task<'a> = &'a (dyn Fn(usize) + Sync);
type Panic = Box<dyn Any + Send>;

#[derive(Clone, Copy)]
struct Job {
    task: *const (dyn Fn(usize) + Sync),
    count: usize,
}

/// The next task of a lane, on a cache line of its own.
#[repr(align(128))]
struct Lane(AtomicUsize);

struct Shared {
    state: AtomicU64,
    /// One for each thread, the caller first.
    lanes: Vec<Lane>,
    job: UnsafeCell<Option<Job>>,
    caller: Mutex<Option<Thread>>,
    caller_parked: AtomicBool,
    parked: Vec<AtomicBool>,
    panic: Mutex<Option<Panic>>,
    spins: u32,
}

// SAFETY: `job` is written by the caller only while no worker is inside (state closed, none joined) and read by workers
// only after they joined; the state's SeqCst operations order the two. The closure behind the pointer is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the raw pointer is only followed while the caller waits in `run`.
unsafe impl Send for Shared {}

/// Threads that run tasks together with the caller.
pub struct Pool {
    shared: Arc<Shared>,
    gate: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads, the calling one included; 0 counts as 1. If the system refuses a thread, the pool
    /// is smaller: results never depend on its size.
    pub fn new(threads: usize) -> Self {
        let wanted = threads.clamp(1, JOINED as usize) - 1;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            lanes: (0..=wanted).map(|_| Lane(AtomicUsize::new(0))).collect(),
            job: UnsafeCell::new(None),
            caller: Mutex::new(None),
            caller_parked: AtomicBool::new(false),
            parked: (0..wanted).map(|_| AtomicBool::new(false)).collect(),
            panic: Mutex::new(None),
            spins: if threads > cores {
                SPINS_OVERSUBSCRIBED
            } else {
                SPINS
            },
        });
        let spawn = |place: usize| {
            let shared = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(format!("mmh-{}", place + 1));
            builder.spawn(move || worker(&shared, place)).ok()
        };
        let workers = (0..wanted).map_while(spawn).collect();
        Self {
            shared,
            gate: Mutex::new(()),
            workers,
        }
    }

    /// How many threads run tasks, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0) … task(count - 1)`, each once, in any order and on any thread, and returns when all are done.
    ///
    /// Called from inside a task, or while another thread uses the pool, it runs all of them on the calling thread.
    ///
    /// # Panics
    /// With the panic of a task, after the other threads have stopped.
    pub fn run(&self, count: usize, task: Task<'_>) {
        let _environment = FloatEnvironment::enter();
        if count <= 1 || self.workers.is_empty() || INSIDE_TASK.get() {
            return (0..count).for_each(task);
        }
        let Ok(gate) = self.gate.try_lock() else {
            return (0..count).for_each(task);
        };
        self.open(Job {
            task: erase(task),
            count,
        });
        let own = catch_unwind(AssertUnwindSafe(|| {
            let job = Job {
                task: erase(task),
                count,
            };
            self.shared.work(job, 0)
        }));
        if own.is_err() {
            self.shared.skip_rest(count);
        }
        self.close();
        let theirs = self
            .shared
            .panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(panic) = own.err().or(theirs) {
            // The gate is not poisoned by this: it guards no data and `try_lock` must succeed again.
            drop(gate);
            resume_unwind(panic);
        }
    }

    fn open(&self, job: Job) {
        let shared = &*self.shared;
        // SAFETY: the gate is held and the state is closed with no worker joined, so nobody else touches the job.
        unsafe { *shared.job.get() = Some(job) };
        *shared.caller.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(std::thread::current());
        for (place, lane) in shared.lanes.iter().enumerate() {
            lane.0
                .store(shared.lane(place, job.count).start, Ordering::SeqCst);
        }
        shared.state.fetch_add(EPOCH + OPEN, Ordering::SeqCst);
        for (worker, parked) in self.workers.iter().zip(&shared.parked).take(job.count - 1) {
            if parked.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
    }

    /// Lets no more workers in and waits for those inside.
    fn close(&self) {
        let shared = &*self.shared;
        shared.state.fetch_sub(OPEN, Ordering::SeqCst);
        let mut waited = 0;
        while shared.state.load(Ordering::SeqCst) & JOINED != 0 {
            waited += 1;
            if waited < shared.spins {
                std::hint::spin_loop();
            } else if waited < shared.spins + YIELDS {
                std::thread::yield_now();
            } else {
                shared.caller_parked.store(true, Ordering::SeqCst);
                if shared.state.load(Ordering::SeqCst) & JOINED != 0 {
                    std::thread::park();
                }
                shared.caller_parked.store(false, Ordering::SeqCst);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared
            .state
            .fetch_or(CLOSED_FOR_GOOD, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of tasks, so it has none of its own to report.
            let _ = worker.join();
        }
    }
}

/// Forgets the lifetime of a task. Sound because `run` returns only after every worker has left the job.
fn erase(task: Task<'_>) -> *const (dyn Fn(usize) + Sync) {
    let task: *const (dyn Fn(usize) + Sync + '_) = task;
    // SAFETY: only the lifetime changes; see above for why no one follows the pointer too late.
    unsafe { std::mem::transmute(task) }
}

impl Shared {
    /// The tasks of a thread's lane. With fewer tasks than threads, the first threads have one each.
    fn lane(&self, place: usize, count: usize) -> Range<usize> {
        let lanes = self.lanes.len().min(count).max(1);
        let bound = |place: usize| place.min(lanes) * count / lanes;
        bound(place)..bound(place + 1)
    }

    fn work(&self, job: Job, place: usize) {
        INSIDE_TASK.set(true);
        let leave = Leave;
        let lanes = self.lanes.len();
        for lane in (place..lanes).chain(0..place) {
            let (next, end) = (&self.lanes[lane].0, self.lane(lane, job.count).end);
            // Read first: a lane that is done is not written to any more.
            while next.load(Ordering::Relaxed) < end {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                // SAFETY: the caller waits in `run`, so the closure is alive.
                unsafe { (*job.task)(task) };
            }
        }
        drop(leave);
    }

    /// Leaves what has not begun undone, after a panic.
    fn skip_rest(&self, count: usize) {
        self.lanes
            .iter()
            .for_each(|lane| lane.0.store(count, Ordering::SeqCst));
    }

    /// Waits for a job newer than `seen` and joins it; `None` when the pool is dropped.
    fn join(&self, place: usize, seen: u64) -> Option<u64> {
        let mut waited = 0;
        loop {
            let state = self.state.load(Ordering::SeqCst);
            if state & CLOSED_FOR_GOOD != 0 {
                return None;
            }
            if state & OPEN != 0 && state / EPOCH != seen {
                let joined = self.state.compare_exchange(
                    state,
                    state + 1,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                );
                if joined.is_ok() {
                    return Some(state / EPOCH);
                }
                continue;
            }
            waited += 1;
            if waited < self.spins {
                std::hint::spin_loop();
            } else if waited < self.spins + YIELDS {
                std::thread::yield_now();
            } else {
                self.park(place, state);
            }
        }
    }

    /// Parks until someone unparks, unless the state has changed since `state` was read.
    fn park(&self, place: usize, state: u64) {
        let Some(parked) = self.parked.get(place) else {
            return;
        };
        parked.store(true, Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) == state {
            std::thread::park();
        }
        parked.store(false, Ordering::SeqCst);
    }

    fn leave(&self) {
        let before = self.state.fetch_sub(1, Ordering::SeqCst);
        if before & JOINED == 1 && self.caller_parked.load(Ordering::SeqCst) {
            let caller = self
                .caller
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            if let Some(caller) = caller {
                caller.unpark();
            }
        }
    }
}

/// Marks the thread as outside a task again, also when the task panics.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        INSIDE_TASK.set(false);
    }
}

fn worker(shared: &Shared, place: usize) {
    let _environment = FloatEnvironment::enter();
    let mut seen = 0;
    while let Some(epoch) = shared.join(place, seen) {
        seen = epoch;
        // SAFETY: this worker has joined, so the caller neither writes the job nor returns from `run`.
        let job = unsafe { *shared.job.get() };
        if let Some(job) = job
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| shared.work(job, place + 1)))
        {
            shared.skip_rest(job.count);
            *shared.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
        shared.leave();
    }
}

/// Round to nearest even, subnormals kept, on this thread until dropped; then the former setting again.
///
/// A host program (a Python library, say) may have switched flush-to-zero on.
pub struct FloatEnvironment {
    former: u64,
}

impl FloatEnvironment {
    /// Sets the environment of the numerics contract on the calling thread.
    pub fn enter() -> Self {
        let former = control::read();
        if former & control::MODE != control::STANDARD & control::MODE {
            control::write(control::STANDARD);
        }
        Self { former }
    }
}

impl Drop for FloatEnvironment {
    fn drop(&mut self) {
        if self.former & control::MODE != control::STANDARD & control::MODE {
            control::write(self.former);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// All exceptions masked, round to nearest, FTZ and DAZ off.
    pub(super) const STANDARD: u64 = 0x1f80;
    /// Everything but the sticky exception flags.
    pub(super) const MODE: u64 = 0xffc0;

    pub(super) fn read() -> u64 {
        let mut value = 0u32;
        // SAFETY: stores the 32-bit control register at the given address.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut value, options(nostack, preserves_flags)) };
        u64::from(value)
    }

    pub(super) fn write(value: u64) {
        let value = value as u32;
        // SAFETY: loads a value with no reserved bit: `STANDARD`, or one that `read` returned.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &value, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    /// No trap, round to nearest, no flush to zero.
    pub(super) const STANDARD: u64 = 0;
    /// AHP, DN, FZ, RMode, FZ16 and the three modes of FEAT_AFP.
    pub(super) const MODE: u64 = 0x07c8_0007;

    pub(super) fn read() -> u64 {
        let value;
        // SAFETY: reads the floating-point control register.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    pub(super) fn write(value: u64) {
        // SAFETY: 0, or a value that `read` returned.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) const STANDARD: u64 = 0;
    pub(super) const MODE: u64 = 0;

    pub(super) fn read() -> u64 {
        STANDARD
    }

    pub(super) fn write(_value: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of_tasks(pool: &Pool, count: usize) -> usize {
        let sum = AtomicUsize::new(0);
        pool.run(count, &|task| {
            sum.fetch_add(task + 1, Ordering::Relaxed);
        });
        sum.into_inner()
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [0, 1, 2, 3, 7] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads.max(1));
            for round in 0..2000 {
                let count = round % 17;
                assert_eq!(sum_of_tasks(&pool, count), count * (count + 1) / 2);
            }
        }
    }

    #[test]
    fn lanes_hold_every_task_once() {
        let pool = Pool::new(5);
        for count in 0..40 {
            let lanes = (0..5).flat_map(|place| pool.shared.lane(place, count));
            assert!(lanes.eq(0..count), "{count} tasks");
        }
        assert_eq!(pool.shared.lane(1, 2), 1..2);
    }

    #[test]
    fn parked_workers_wake() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(3));
            let ran = Mutex::new(std::collections::BTreeSet::new());
            pool.run(3, &|_| {
                ran.lock()
                    .expect("not poisoned")
                    .insert(std::thread::current().name().map(String::from));
                std::thread::sleep(std::time::Duration::from_millis(20));
            });
            assert!(ran.into_inner().expect("not poisoned").len() > 1);
        }
    }

    #[test]
    fn nested_and_concurrent_runs_finish() {
        let pool = Pool::new(3);
        let total = AtomicUsize::new(0);
        pool.run(5, &|_| {
            total.fetch_add(sum_of_tasks(&pool, 4), Ordering::Relaxed);
        });
        assert_eq!(total.into_inner(), 50);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..500).for_each(|_| assert_eq!(sum_of_tasks(&pool, 6), 21)));
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        for bad in 0..4 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(4, &|task| assert_ne!(task, bad))
            }));
            assert!(result.is_err());
            assert_eq!(sum_of_tasks(&pool, 10), 55);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn flush_to_zero_of_the_host_is_switched_off_and_restored() {
        let subnormal = std::hint::black_box(1e-40f32);
        let host = control::read();
        control::write(host | 0x8040);
        let flushed = std::hint::black_box(subnormal * std::hint::black_box(0.5));
        let environment = FloatEnvironment::enter();
        let kept = std::hint::black_box(subnormal * std::hint::black_box(0.5));
        drop(environment);
        let restored = control::read() & 0x8040;
        control::write(host);
        assert_eq!((flushed, restored), (0.0, 0x8040));
        assert!(kept > 0.0);
    }
}
