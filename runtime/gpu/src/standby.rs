//! A device that is lost in mid-run is followed by another: a step that failed has left the state of the step before, and
//! every device gives the same bits, so the run goes on as if nothing had been.

use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is said once, when the first device fails, with the reason.
type Tell = dyn Fn(&str) + Send + Sync;

/// A device, and the one that takes over when it fails.
pub struct Standby {
    first: Box<dyn Device>,
    second: Arc<dyn Device>,
    failed: Arc<AtomicBool>,
    /// Whether the first device has done anything.
    worked: Arc<AtomicBool>,
    tell: Arc<Tell>,
    /// Names of both, for what the second had a part in.
    names: [String; 2],
}

impl Standby {
    /// `first` does the work until it fails, then `second`.
    pub fn new(
        first: Box<dyn Device>,
        second: Box<dyn Device>,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let both = |a: &str, b: &str| format!("{a}, then {b}");
        Self {
            names: [
                both(first.name(), second.name()),
                both(first.isa(), second.isa()),
            ],
            first,
            second: second.into(),
            failed: Arc::default(),
            worked: Arc::default(),
            tell: Arc::new(tell),
        }
    }

    /// Whether the second device has taken over.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
}

impl Device for Standby {
    fn name(&self) -> &str {
        if self.has_failed() {
            &self.names[0]
        } else {
            self.first.name()
        }
    }

    fn isa(&self) -> &str {
        if self.has_failed() {
            &self.names[1]
        } else {
            self.first.isa()
        }
    }

    fn threads(&self) -> usize {
        if self.has_failed() {
            self.second.threads()
        } else {
            self.first.threads()
        }
    }

    /// A program that the first device refuses is an error, as it may be mended (a smaller batch), until the device has worked:
    /// what fails from then on is taken over.
    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        let first = if self.has_failed() {
            None
        } else {
            match self.first.load(program, state) {
                Err(RunError::Device(reason)) if self.worked.load(Ordering::SeqCst) => {
                    self.failed.store(true, Ordering::SeqCst);
                    (self.tell)(&reason);
                    None
                }
                loaded => Some(loaded?),
            }
        };
        Ok(Box::new(Pair {
            first,
            then: None,
            program: program.clone(),
            slots: state.to_vec(),
            second: Arc::clone(&self.second),
            failed: Arc::clone(&self.failed),
            worked: Arc::clone(&self.worked),
            tell: Arc::clone(&self.tell),
        }))
    }
}

struct Pair {
    first: Option<Box<dyn Executable>>,
    then: Option<Box<dyn Executable>>,
    program: Program,
    slots: Vec<StateDecl>,
    second: Arc<dyn Device>,
    failed: Arc<AtomicBool>,
    worked: Arc<AtomicBool>,
    tell: Arc<Tell>,
}

impl Executable for Pair {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        if !self.failed.load(Ordering::SeqCst)
            && let Some(first) = &mut self.first
        {
            match first.run(state, feed) {
                Err(RunError::Device(reason)) => {
                    if !self.failed.swap(true, Ordering::SeqCst) {
                        (self.tell)(&reason);
                    }
                    self.first = None;
                }
                other => {
                    self.worked.store(true, Ordering::SeqCst);
                    return other;
                }
            }
        }
        if self.then.is_none() {
            self.then = Some(self.second.load(&self.program, &self.slots)?);
        }
        match &mut self.then {
            Some(then) => then.run(state, feed),
            None => Err(RunError::Device("there is no device left".to_string())),
        }
    }
}
