//! Programs on the device: one submission a step, all of its memory in one piece, state read back when it is asked for.

use crate::builder::{Launch, Words};
use crate::check;
use crate::contract;
use crate::core::{Core, Stretch, Tape};
use crate::elementwise::{self, GUARDS, LOOKUP_FAILED};
use crate::random;
use crate::reduce;
use mmh_ir::device::{Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_ir::{DType, Input};
use mmh_lower::schedule::{Home, Output, Schedule, Step};
use mmh_lower::view::View;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Words between the starts of buffers are multiples of this.
const ALIGNMENT: usize = 64;

/// Where everything lies in the device's memory, in words; every element takes one.
struct Layout {
    words: Words,
    /// Stretches of the state slots that the program uses, by slot.
    state: Vec<(usize, Stretch)>,
    /// First word for block results of reductions.
    partial: usize,
    total: usize,
}

fn placed(schedule: &Schedule) -> Layout {
    let mut words = vec![0usize; schedule.buffers.len()];
    let mut state = Vec::new();
    let mut top = (GUARDS + schedule.guards.len()).next_multiple_of(ALIGNMENT);
    for (at, buffer) in schedule.buffers.iter().enumerate() {
        if let Home::Input(input) = buffer.home {
            words[at] = top;
            if let Input::State(slot) = input {
                let stretch = Stretch {
                    from: top,
                    count: buffer.elements,
                };
                state.push((slot as usize, stretch));
            }
            top = (top + buffer.elements.max(1)).next_multiple_of(ALIGNMENT);
        }
    }
    // The schedule's arena counts bytes; here truth values and bytes take a word each, so places are spread.
    let narrow = schedule
        .buffers
        .iter()
        .any(|b| matches!(b.home, Home::Arena(_)) && b.dtype.bytes() < 4);
    let spread = if narrow { 1 } else { 4 };
    let mut end = top;
    for (at, buffer) in schedule.buffers.iter().enumerate() {
        if let Home::Arena(byte) = buffer.home {
            words[at] = top + byte / spread;
            end = end.max(words[at] + buffer.elements);
        }
    }
    let partial = end.next_multiple_of(ALIGNMENT);
    let most = schedule.steps.iter().map(|step| match step {
        Step::Reduce(step) => reduce::partial_words(step),
        step => contract::partial_words(step),
    });
    Layout {
        words: Words(words),
        state,
        partial,
        total: partial + most.max().unwrap_or(0),
    }
}

/// The dispatches of a schedule, and how many of them come before guards have spoken.
fn launches(core: &Core, schedule: &Schedule, layout: &Layout) -> (Vec<Launch>, usize) {
    let mut out = Vec::new();
    let mut gated = 0;
    for (number, step) in schedule.steps.iter().enumerate() {
        if number == schedule.commit {
            out.extend(guards(schedule, layout));
            gated = out.len();
        }
        out.extend(of_step(core, schedule, layout, number, step));
    }
    if schedule.commit >= schedule.steps.len() {
        out.extend(guards(schedule, layout));
        gated = out.len();
    }
    (out, gated)
}

fn guards(schedule: &Schedule, layout: &Layout) -> Vec<Launch> {
    let guard = |(number, view): (usize, &View)| {
        let sizes: Vec<usize> = view.lanes.iter().map(|l| l.size).collect();
        let strides: Vec<isize> = view.lanes.iter().map(|l| l.stride).collect();
        let base = layout.words.0[view.buffer.index()] + view.offset;
        elementwise::guard(base, &sizes, &strides, number)
    };
    schedule.guards.iter().enumerate().map(guard).collect()
}

fn of_step(
    core: &Core,
    schedule: &Schedule,
    layout: &Layout,
    number: usize,
    step: &Step,
) -> Vec<Launch> {
    let words = &layout.words;
    let kernel = |id: mmh_lower::schedule::KernelId| &schedule.kernels[id.0 as usize];
    let partial = layout.partial;
    match step {
        Step::Contract(s) => {
            return contract::contract(words, s, contract::of_contract(words, s), partial);
        }
        Step::Conv(s) => return contract::conv(words, s, contract::of_conv(words, s), partial),
        Step::ConvWeight(s) => {
            let tiling = contract::of_conv_weight(words, s);
            return contract::conv_weight(words, s, tiling, partial);
        }
        _ => {}
    }
    vec![match step {
        Step::Map(s) => elementwise::map(words, kernel(s.kernel), s),
        Step::Reduce(s) => {
            return reduce::reduce(words, kernel(s.kernel), s, layout.partial, core.fault);
        }
        Step::ArgMax(s) => elementwise::arg_max(words, s),
        Step::Contract(_) | Step::Conv(_) | Step::ConvWeight(_) => return Vec::new(),
        Step::Scatter(s) => elementwise::scatter(words, s),
        Step::Gather(s) => elementwise::gather(words, s, number),
        Step::Random(s) => random::random(words, s),
        Step::Sample(s) => elementwise::sample(words, s),
        Step::Window(s) => {
            let bytes = schedule.buffers[s.out.buffer.index()].dtype.bytes();
            elementwise::window(words, s, bytes)
        }
    }]
}

/// Turns of its loops that a thread may come to; see [`crate::tiles::REACH`].
const TURNS: usize = 60_000;

/// Refuses steps whose threads would turn more often than every driver is known to let them.
fn turns(schedule: &Schedule) -> Result<(), String> {
    let most = |step: &Step| match step {
        Step::Scatter(s) => s.size[0],
        Step::ArgMax(s) => {
            let reduced = s.loops.iter().filter(|l| l.reduced);
            reduced.map(|l| l.size).product()
        }
        _ => 0,
    };
    match schedule.steps.iter().find(|step| most(step) > TURNS) {
        None => Ok(()),
        Some(step) => Err(format!(
            "a step goes through {} elements one by one, and devices are trusted with {TURNS}: {}; use a smaller batch",
            most(step),
            mmh_lower::step_text(step)
        )),
    }
}

/// A program on the device.
pub(crate) struct Loaded {
    core: Arc<Core>,
    schedule: Schedule,
    layout: Layout,
    tape: Tape,
    /// Flags, results.
    read: Vec<Stretch>,
    /// State slots that the program uses, as they stand in the device's memory, unless they have gone on there.
    held: BTreeMap<usize, Tensor>,
    /// Whether the device's memory holds the state of steps that have not been brought home.
    ahead: bool,
}

impl Loaded {
    pub(crate) fn new(
        core: Arc<Core>,
        program: &Program,
        _state: &[StateDecl],
    ) -> Result<Self, RunError> {
        let schedule = mmh_lower::lower_to_words(program);
        let layout = placed(&schedule);
        turns(&schedule).map_err(RunError::Device)?;
        check::all(&core, &schedule, &layout.words).map_err(RunError::Device)?;
        let (launches, gated) = launches(&core, &schedule, &layout);
        let flags = Stretch {
            from: 0,
            count: GUARDS + schedule.guards.len(),
        };
        let mut read = vec![flags];
        read.extend(schedule.results.iter().map(|output| Stretch {
            from: layout.words.0[output.view.buffer.index()],
            count: schedule.buffers[output.view.buffer.index()].elements,
        }));
        let tape = core
            .tape(
                &launches,
                gated,
                layout.total,
                words_in(&read).max(layout.state.iter().map(|(_, s)| s.count).sum()),
            )
            .map_err(RunError::Device)?;
        Ok(Self {
            core,
            schedule,
            layout,
            tape,
            read,
            held: BTreeMap::new(),
            ahead: false,
        })
    }

    /// Whether steps change the state.
    fn writes(&self) -> bool {
        self.schedule.commit < self.schedule.steps.len()
    }

    /// Brings what has changed since the last run into the device's memory.
    fn feed(&mut self, state: &State, feed: &Feed) -> Result<(), RunError> {
        let flags = vec![0; GUARDS + self.schedule.guards.len()];
        self.core.write(&self.tape, 0, &flags);
        for (at, buffer) in self.schedule.buffers.iter().enumerate() {
            let Home::Input(input) = buffer.home else {
                continue;
            };
            let words = match input {
                // What the device holds is newer.
                Input::State(_) if self.ahead => continue,
                Input::State(n) => {
                    let slot = state.slots.get(n as usize);
                    if same_bits(slot, self.held.get(&(n as usize))) {
                        continue;
                    }
                    if let Some(slot) = slot {
                        self.held.insert(n as usize, slot.clone());
                    }
                    slot.and_then(|t| words_of(t, buffer.dtype.value(), buffer.elements))
                }
                Input::Column(n) => feed
                    .columns
                    .get(n as usize)
                    .and_then(|t| words_of(t, buffer.dtype.value(), buffer.elements)),
                Input::Statistic(n) => feed
                    .statistics
                    .get(n as usize)
                    .and_then(|t| words_of(t, buffer.dtype.value(), buffer.elements)),
                Input::Rows => feed
                    .rows
                    .get(..buffer.elements)
                    .map(|r| r.iter().map(|w| w.cast_unsigned()).collect()),
                Input::Step => Some(vec![feed.step.cast_unsigned()]),
                Input::Key(n) => feed.keys.get(n as usize).map(|k| k.to_vec()),
                Input::Scalar(n) => feed.scalars.get(n as usize).map(|s| vec![s.to_bits()]),
            };
            let Some(words) = words else {
                return Err(RunError::Device(format!(
                    "{input:?} does not fit what the program takes"
                )));
            };
            self.core.write(&self.tape, self.layout.words.0[at], &words);
        }
        Ok(())
    }

    /// What the flags say.
    fn verdict(&self, flags: &[u32]) -> Result<(), RunError> {
        if flags[LOOKUP_FAILED] != 0 {
            let step = &self.schedule.steps[flags[LOOKUP_FAILED] as usize - 1];
            let rows = if let Step::Gather(s) = step {
                s.axis.1
            } else {
                0
            };
            let index = flags[LOOKUP_FAILED + 1].cast_signed();
            return Err(RunError::IndexRange {
                what: format!("a table of {rows} rows (index {index})"),
            });
        }
        match flags[GUARDS..].iter().position(|&flag| flag != 0) {
            Some(guard) => Err(RunError::NotFinite { guard }),
            None => Ok(()),
        }
    }
}

impl Executable for Loaded {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let results = self.advance(state, feed, &mut || ())?;
        self.settle(state)?;
        Ok(results)
    }

    /// One submission; flags and results come back, the state stays.
    fn advance(
        &mut self,
        state: &mut State,
        feed: &Feed,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Tensor>, RunError> {
        self.feed(state, feed)?;
        let words = self
            .core
            .run(&self.tape, &self.read, meanwhile)
            .map_err(RunError::Device)?;
        let (flags, mut rest) = words.split_at(self.read[0].count);
        // A step that failed has written nothing to the state.
        self.verdict(flags)?;
        self.ahead |= self.writes();
        let mut results = Vec::with_capacity(self.schedule.results.len());
        for (output, stretch) in self.schedule.results.iter().zip(&self.read[1..]) {
            let (own, others) = rest.split_at(stretch.count);
            results.push(gathered(output, own));
            rest = others;
        }
        Ok(results)
    }

    fn settle(&mut self, state: &mut State) -> Result<(), RunError> {
        if !self.ahead {
            return Ok(());
        }
        let stretches: Vec<Stretch> = self.layout.state.iter().map(|(_, s)| *s).collect();
        let words = self
            .core
            .read(&self.tape, &stretches)
            .map_err(RunError::Device)?;
        let mut rest = &words[..];
        for (slot, stretch) in &self.layout.state {
            let (own, others) = rest.split_at(stretch.count);
            state.slots[*slot] = tensor(state.slots[*slot].dtype(), own);
            self.held.insert(*slot, state.slots[*slot].clone());
            rest = others;
        }
        self.ahead = false;
        Ok(())
    }
}

/// Words of stretches together.
fn words_in(stretches: &[Stretch]) -> usize {
    stretches.iter().map(|s| s.count).sum()
}

/// Whether both are there with the same elements, zeros told apart by their sign.
fn same_bits(a: Option<&Tensor>, b: Option<&Tensor>) -> bool {
    match (a, b) {
        (Some(Tensor::F32(a)), Some(Tensor::F32(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The elements as words, if type and length are those promised.
fn words_of(tensor: &Tensor, dtype: DType, elements: usize) -> Option<Vec<u32>> {
    if tensor.dtype() != dtype || tensor.len() < elements {
        return None;
    }
    Some(match tensor {
        Tensor::F32(v) => v[..elements].iter().map(|x| x.to_bits()).collect(),
        Tensor::I32(v) => v[..elements].iter().map(|x| x.cast_unsigned()).collect(),
        Tensor::U8(v) | Tensor::Bool(v) => v[..elements].iter().map(|x| u32::from(*x)).collect(),
    })
}

fn tensor(dtype: DType, words: &[u32]) -> Tensor {
    match dtype {
        DType::F32 => Tensor::F32(words.iter().map(|w| f32::from_bits(*w)).collect()),
        DType::I32 => Tensor::I32(words.iter().map(|w| w.cast_signed()).collect()),
        DType::U8 => Tensor::U8(words.iter().map(|w| *w as u8).collect()),
        DType::Bool => Tensor::Bool(words.iter().map(|w| *w as u8).collect()),
    }
}

/// A view's elements in logical order, from the words of its buffer.
fn gathered(output: &Output, buffer: &[u32]) -> Tensor {
    let lanes = &output.view.lanes;
    let mut place = vec![0usize; lanes.len()];
    let mut words = Vec::with_capacity(output.view.elements());
    for _ in 0..output.view.elements() {
        let offset: isize = place
            .iter()
            .zip(lanes)
            .map(|(p, l)| *p as isize * l.stride)
            .sum();
        words.push(buffer[output.view.offset.wrapping_add_signed(offset)]);
        for (at, lane) in lanes.iter().enumerate().rev() {
            place[at] += 1;
            if place[at] < lane.size {
                break;
            }
            place[at] = 0;
        }
    }
    tensor(output.dtype, &words)
}
