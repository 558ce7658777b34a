//! Steps that are done twice: an audit of a device by another, while it works.
//!
//! A device that was right when it was admitted may be wrong later: heat, memory, a driver. An audited training has a share of its
//! steps done again, from the same state, on another device; one bit of the results or of the new state that differs is an error,
//! and nothing of that step is kept. Which steps is drawn, by the number of the step alone, so that it is the same in every run.

use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A device whose training steps are looked at.
pub struct Audited {
    first: Box<dyn Device>,
    second: Arc<dyn Device>,
    /// By name of training: one step in so many.
    every: Vec<(String, u64)>,
    done: Arc<AtomicU64>,
    tell: Box<dyn Fn(u64) + Send + Sync>,
}

impl Audited {
    /// `first` does the work, and `second` does one step in so many again, by name of training. `tell` is called at the end with the
    /// number of steps that were done again, if there were any.
    pub fn new(
        first: Box<dyn Device>,
        second: Box<dyn Device>,
        every: Vec<(String, u64)>,
        tell: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self {
            first,
            second: second.into(),
            every,
            done: Arc::default(),
            tell: Box::new(tell),
        }
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        let done = self.done.load(Ordering::SeqCst);
        if done > 0 {
            (self.tell)(done);
        }
    }
}

impl Device for Audited {
    fn name(&self) -> &str {
        self.first.name()
    }

    fn isa(&self) -> &str {
        self.first.isa()
    }

    fn threads(&self) -> usize {
        self.first.threads()
    }

    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        let first = self.first.load(program, state)?;
        let of = |(name, _): &&(String, u64)| is_step_of(&program.name, name);
        let every = self.every.iter().find(of);
        let Some((_, every)) = every.filter(|_| !program.updates.is_empty()) else {
            return Ok(first);
        };
        Ok(Box::new(Twice {
            first,
            second: self.second.load(program, state)?,
            every: *every,
            names: [
                self.first.name(),
                self.first.isa(),
                self.second.name(),
                self.second.isa(),
            ]
            .map(str::to_owned),
            paths: state.iter().map(|slot| slot.path.clone()).collect(),
            results: program.results.iter().map(|it| it.name.clone()).collect(),
            done: Arc::clone(&self.done),
        }))
    }
}

/// Whether a program is a step of the training of that name.
fn is_step_of(program: &str, training: &str) -> bool {
    let rest = program.strip_prefix(training);
    rest.is_some_and(|rest| rest.starts_with(" step of "))
}

/// Whether step `step`, counted from 0, is done again where one in `every` is. The first always is.
fn is_drawn(step: u32, every: u64) -> bool {
    let mut hasher = blake3::Hasher::new_derive_key("mmh audit 1");
    hasher.update(&step.to_le_bytes());
    let hash = hasher.finalize();
    let word = hash
        .as_bytes()
        .iter()
        .take(8)
        .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    step == 0 || word % every.max(1) == 0
}

struct Twice {
    first: Box<dyn Executable>,
    second: Box<dyn Executable>,
    every: u64,
    names: [String; 4],
    paths: Vec<String>,
    results: Vec<String>,
    done: Arc<AtomicU64>,
}

impl Executable for Twice {
    fn advance(
        &mut self,
        state: &mut State,
        feed: &Feed,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Tensor>, RunError> {
        if !is_drawn(feed.step.cast_unsigned(), self.every) {
            return self.first.advance(state, feed, meanwhile);
        }
        self.first.settle(state)?;
        self.run(state, feed)
    }

    fn settle(&mut self, state: &mut State) -> Result<(), RunError> {
        self.first.settle(state)
    }

    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        if !is_drawn(feed.step.cast_unsigned(), self.every) {
            return self.first.run(state, feed);
        }
        let before = state.clone();
        let mut again = state.clone();
        let results = self.first.run(state, feed);
        let wanted = self.second.run(&mut again, feed);
        let apart = match (&results, &wanted) {
            (Ok(found), Ok(wanted)) => parted(&self.results, found, wanted)
                .or_else(|| parted(&self.paths, &state.slots, &again.slots)),
            // Both say the same of what went wrong, or one is at fault.
            (Err(found), Err(wanted)) if found == wanted => None,
            (Err(RunError::Device(_)), _) => None,
            (_, Err(error)) => Some(format!("the second could not do it: {error}")),
            (Err(error), Ok(_)) => Some(format!("the first could not do it: {error}")),
        };
        let Some(apart) = apart else {
            self.done.fetch_add(1, Ordering::SeqCst);
            return results;
        };
        *state = before;
        let [first, isa, second, second_isa] = &self.names;
        Err(RunError::Device(format!(
            "the audit found {first} ({isa}) and {second} ({second_isa}) apart: {apart}; nothing of this step is kept"
        )))
    }
}

/// The first value in which two lists differ, with the element and its bits.
fn parted(names: &[String], found: &[Tensor], wanted: &[Tensor]) -> Option<String> {
    let mut pairs = found.iter().zip(wanted).zip(names);
    pairs.find_map(|((found, wanted), name)| {
        let (found, wanted) = (words(found), words(wanted));
        let at = (0..found.len().max(wanted.len())).find(|&at| found.get(at) != wanted.get(at))?;
        let bits = |words: &[u32]| {
            words
                .get(at)
                .map_or("missing".to_owned(), |word| format!("{word:#010x}"))
        };
        Some(format!(
            "element {at} of `{name}` is {} and {}",
            bits(&found),
            bits(&wanted)
        ))
    })
}

/// Elements by their bits, every NaN the same.
fn words(tensor: &Tensor) -> Vec<u32> {
    match tensor {
        Tensor::F32(v) => v.iter().map(|x| mmh_numerics::canonical_bits(*x)).collect(),
        Tensor::I32(v) => v.iter().map(|x| x.cast_unsigned()).collect(),
        Tensor::U8(v) | Tensor::Bool(v) => v.iter().map(|x| u32::from(*x)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_ir::plan::{Init, Named, Role, Update};
    use mmh_ir::{DType, Graph, Input, Literal, MapOp, Op, Origin, Shape, Type};
    use std::sync::Mutex;

    /// Doubles its one slot; from the step given on, one bit too many.
    struct Doubling(i32);

    impl Device for Doubling {
        fn name(&self) -> &str {
            "doubling"
        }
        fn isa(&self) -> &str {
            "scalar"
        }
        fn threads(&self) -> usize {
            1
        }
        fn load(&self, _: &Program, _: &[StateDecl]) -> Result<Box<dyn Executable>, RunError> {
            Ok(Box::new(Doubling(self.0)))
        }
    }

    impl Executable for Doubling {
        fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
            if let Some(Tensor::F32(values)) = state.slots.first_mut() {
                for value in values.iter_mut() {
                    *value *= 2.0;
                }
                if feed.step >= self.0 {
                    values[1] = f32::from_bits(values[1].to_bits() + 1);
                }
            }
            Ok(vec![])
        }
    }

    fn program() -> (Program, Vec<StateDecl>) {
        let mut graph = Graph::default();
        let ty = Type::new(DType::F32, Shape::of(&[("a", 2)]));
        let x = graph.push(Op::Input(Input::State(0)), vec![], ty.clone(), Origin(0));
        let y = graph.map(MapOp::Add, &[x, x], Origin(0));
        let program = Program {
            name: "fit step of 1".into(),
            batch: 1,
            graph,
            updates: vec![Update { slot: 0, value: y }],
            results: Vec::<Named>::new(),
            guards: vec![],
        };
        let slot = StateDecl {
            path: "net.weight".into(),
            role: Role::Parameter,
            ty,
            init: Init::Constant(Literal(1.0)),
        };
        (program, vec![slot])
    }

    /// Steps until the audit stops it, the state then, and the steps that were done again.
    fn steps(wrong_from: i32, every: u64) -> (i32, State, u64, String) {
        let told = Arc::new(Mutex::new(0));
        let count = Arc::clone(&told);
        let (program, slots) = program();
        let audited = Audited::new(
            Box::new(Doubling(wrong_from)),
            Box::new(Doubling(i32::MAX)),
            vec![("fit".into(), every)],
            move |n| *count.lock().expect("alone") = n,
        );
        let mut loaded = audited.load(&program, &slots).expect("loads");
        let mut state = State {
            slots: vec![Tensor::F32(vec![1e-30, 3e-30])],
        };
        let (mut step, mut said) = (0, String::new());
        while step < 100 && said.is_empty() {
            let feed = Feed {
                step,
                ..Feed::default()
            };
            match loaded.run(&mut state, &feed) {
                Ok(_) => step += 1,
                Err(error) => said = error.to_string(),
            }
        }
        drop(audited);
        let told = *told.lock().expect("alone");
        (step, state, told, said)
    }

    #[test]
    fn a_right_device_is_looked_at_and_goes_on() {
        let (step, _, told, said) = steps(i32::MAX, 10);
        assert_eq!((step, said.as_str()), (100, ""));
        assert!((4..=25).contains(&told), "{told}");
        assert_eq!(steps(i32::MAX, 1).2, 100);
    }

    #[test]
    fn a_device_that_turns_wrong_is_stopped_with_the_place_and_leaves_nothing() {
        let (step, state, _, said) = steps(7, 1);
        assert_eq!(step, 7);
        assert!(
            said.contains("element 1 of `net.weight`") && said.contains("doubling"),
            "{said}"
        );
        let whole = Tensor::F32(vec![1e-30 * 128.0, 3e-30 * 128.0]);
        assert_eq!(state.slots, [whole]);
        // It is met sooner or later where one step in ten is looked at.
        assert!((7..60).contains(&steps(7, 10).0));
    }
}
