//! A device that is lost in mid-run is followed by another: a step that failed has left the state of the step before, and
//! every device gives the same bits, so the run goes on as if nothing had been. Steps whose state was still on the lost device are done
//! again from the last state that came home.

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
            since: Vec::new(),
            bytes: 0,
        }))
    }
}

/// Bytes of feeds that are remembered between two settlements at most.
const REMEMBERED: usize = 64 << 20;

struct Pair {
    first: Option<Box<dyn Executable>>,
    then: Option<Box<dyn Executable>>,
    program: Program,
    slots: Vec<StateDecl>,
    second: Arc<dyn Device>,
    failed: Arc<AtomicBool>,
    worked: Arc<AtomicBool>,
    tell: Arc<Tell>,
    /// Steps that the first device has done since its state was last brought home: what is to be done again if it is lost.
    since: Vec<Feed>,
    /// Their bytes.
    bytes: usize,
}

impl Pair {
    /// The first device, while it has not failed.
    fn first(&mut self) -> Option<&mut Box<dyn Executable>> {
        match self.failed.load(Ordering::SeqCst) {
            true => None,
            false => self.first.as_mut(),
        }
    }

    /// The first device is lost.
    fn lost(&mut self, reason: &str) {
        if !self.failed.swap(true, Ordering::SeqCst) {
            (self.tell)(reason);
        }
        self.first = None;
    }

    /// A step of the second device, after those that the first took with it.
    fn second(&mut self, state: &mut State, feed: Option<&Feed>) -> Result<Vec<Tensor>, RunError> {
        let then = match &mut self.then {
            Some(then) => then,
            empty => empty.insert(self.second.load(&self.program, &self.slots)?),
        };
        for feed in std::mem::take(&mut self.since) {
            then.run(state, &feed)?;
        }
        self.bytes = 0;
        feed.map_or(Ok(Vec::new()), |feed| then.run(state, feed))
    }

    /// Remembers a step that the first device has done; brings its state home where that would be too much.
    fn remember(&mut self, state: &mut State, feed: &Feed) -> Result<(), RunError> {
        let tensors = feed.columns.iter().chain(&feed.statistics);
        self.bytes += tensors.map(|t| t.len() * t.dtype().bytes()).sum::<usize>();
        self.since.push(feed.clone());
        match self.bytes > REMEMBERED {
            true => self.settle(state),
            false => Ok(()),
        }
    }
}

impl Executable for Pair {
    /// Nothing stays on the device, so nothing is remembered: a failure leaves the state of the step before.
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        self.settle(state)?;
        match self.first().map(|first| first.run(state, feed)) {
            Some(Err(RunError::Device(reason))) => self.lost(&reason),
            Some(other) => {
                self.worked.store(true, Ordering::SeqCst);
                return other;
            }
            None => {}
        }
        self.second(state, Some(feed))
    }

    fn advance(
        &mut self,
        state: &mut State,
        feed: &Feed,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Tensor>, RunError> {
        let done = self
            .first()
            .map(|first| first.advance(state, feed, meanwhile));
        match done {
            Some(Err(RunError::Device(reason))) => self.lost(&reason),
            Some(other) => {
                self.worked.store(true, Ordering::SeqCst);
                let results = other?;
                self.remember(state, feed)?;
                return Ok(results);
            }
            None => {}
        }
        self.second(state, Some(feed))
    }

    fn settle(&mut self, state: &mut State) -> Result<(), RunError> {
        if self.since.is_empty() {
            return Ok(());
        }
        match self.first().map(|first| first.settle(state)) {
            Some(Err(RunError::Device(reason))) => self.lost(&reason),
            Some(Err(other)) => return Err(other),
            Some(Ok(())) => {
                self.since.clear();
                self.bytes = 0;
                return Ok(());
            }
            None => {}
        }
        self.second(state, None).map(|_| ())
    }
}
