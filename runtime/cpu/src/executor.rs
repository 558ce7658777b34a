//! The device: loads programs, runs their schedules.
#![expect(
    unsafe_code,
    reason = "buffers of a schedule are addressed by pointer into the arena, the state and the feed"
)]

mod band;
mod together;

use crate::contract::Context;
use crate::dots::{are_dots, dots};
use crate::finite::{first_not_finite, walk};
use crate::isa::Isa;
use crate::jit::{Jit, compile};
use crate::launch::{MOST, Map, Memory, run_together};
use crate::memory::AlignedBuffer;
use crate::pool::{FloatEnvironment, Pool};
use crate::reduce::{Entries, Reduction, arg_max};
use crate::steps;
use crate::trace::Trace;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_ir::{DType, Input};
use mmh_lower::schedule::{Home, KernelId, Output, Schedule, Step};
use mmh_lower::{Band, Part, Slicing, lower};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The processor, with a number of threads and an instruction set.
pub struct Cpu {
    pool: Arc<Pool>,
    isa: Isa,
    trace: Option<Arc<Trace>>,
    slicing: Slicing,
}

impl Cpu {
    /// `threads` threads (0: one for every core) and the widest admitted instruction set not above `ceiling`.
    pub fn new(threads: usize, ceiling: Option<Isa>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores } else { threads };
        let pool = Pool::new(threads);
        Self {
            slicing: Slicing::new(pool.threads()),
            pool: Arc::new(pool),
            isa: Isa::best(ceiling),
            trace: None,
        }
    }

    /// Reports the time of every step to `trace`.
    #[must_use]
    pub fn traced(self, trace: Arc<Trace>) -> Self {
        Self {
            trace: Some(trace),
            ..self
        }
    }

    /// Runs steps slice by slice where `slicing` says, which changes no bit.
    #[must_use]
    pub fn sliced(self, slicing: Slicing) -> Self {
        Self { slicing, ..self }
    }

    /// Mean time of every step of a program over `runs` runs, with the step's text, in order.
    ///
    /// # Errors
    /// As loading and running.
    pub fn profile(
        &self,
        program: &Program,
        state: &mut State,
        feed: &Feed,
        runs: u32,
    ) -> Result<Vec<(String, Duration)>, RunError> {
        let mut loaded = self.prepare(program)?;
        loaded.run(state, feed)?;
        let mut times = vec![Duration::ZERO; loaded.schedule.steps.len()];
        for _ in 0..runs {
            loaded.locate(state, feed)?;
            let mut laps = Some(Laps::new(times.len()));
            loaded.steps(&mut laps)?;
            for (step, _, start, end) in laps.into_iter().flat_map(|laps| laps.laps) {
                if let Some(step) = step {
                    times[step] += end - start;
                }
            }
        }
        let texts = loaded.schedule.steps.iter().map(mmh_lower::step_text);
        Ok(texts
            .zip(times.into_iter().map(|t| t / runs.max(1)))
            .collect())
    }

    /// The instruction set in use.
    pub fn instruction_set(&self) -> Isa {
        self.isa
    }
}

impl Device for Cpu {
    fn name(&self) -> &str {
        "cpu"
    }

    fn isa(&self) -> &str {
        self.isa.name()
    }

    fn threads(&self) -> usize {
        self.pool.threads()
    }

    fn load(
        &self,
        program: &Program,
        _state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        Ok(Box::new(self.prepare(program)?))
    }
}

impl Cpu {
    fn prepare(&self, program: &Program) -> Result<Loaded, RunError> {
        let (schedule, bands) = lower(program).into_bands(program.batch as usize, &self.slicing);
        let wide = schedule.steps.iter().any(|s| match s {
            Step::Map(s) => s.args.len() > MOST,
            Step::Reduce(s) => s.loads.len() + s.results.len() > MOST,
            _ => false,
        });
        if wide {
            return Err(RunError::Device(
                "a kernel has too many operands".to_string(),
            ));
        }
        let mut kernels = schedule.kernels.clone();
        let more: Vec<Option<usize>> = schedule
            .steps
            .iter()
            .map(|step| {
                let Step::Reduce(step) = step else {
                    return None;
                };
                // In rows form a kernel only writes.
                if step.loops.last().is_some_and(|l| l.reduced) {
                    return None;
                }
                let kernel = schedule.kernels[step.kernel.0 as usize].with_mode(step.fold);
                Some(
                    kernels
                        .iter()
                        .position(|k| *k == kernel)
                        .unwrap_or_else(|| {
                            kernels.push(kernel);
                            kernels.len() - 1
                        }),
                )
            })
            .collect();
        let (compiled, jit) = compile(self.isa, &kernels).map_err(RunError::Device)?;
        let bytes: Vec<usize> = schedule.buffers.iter().map(|b| b.dtype.bytes()).collect();
        let ready = schedule.steps.iter().zip(&more).map(|(step, more)| {
            let entry = |kernel: KernelId| compiled[kernel.0 as usize].entry;
            match step {
                Step::Map(s) => {
                    let map = Map::new(entry(s.kernel), &s.loops, &s.args, &bytes);
                    Ready::Map(Box::new(map))
                }
                Step::Reduce(s) => {
                    let write = entry(s.kernel);
                    let more = more.map_or(write, |k| compiled[k].entry);
                    let entries = Entries { write, more };
                    Ready::Reduce(Box::new(Reduction::new(self.isa, entries, s, &bytes)))
                }
                Step::Contract(s) if are_dots(s) => Ready::Dots,
                _ => Ready::Other,
            }
        });
        let ready = ready.collect();
        let trace = self.trace.as_ref().map(|trace| {
            let texts = schedule.steps.iter().map(mmh_lower::step_text).collect();
            let name = format!("program of {} rows", program.batch);
            (Arc::clone(trace), trace.program(name, texts))
        });
        Ok(Loaded {
            trace,
            ready,
            memory: Memory {
                base: vec![std::ptr::null_mut(); bytes.len()],
                elements: schedule.buffers.iter().map(|b| b.elements).collect(),
                bytes: bytes.into(),
            },
            arena: AlignedBuffer::zeroed(schedule.arena.div_ceil(4)),
            together: together::independent(&schedule),
            bands,
            schedule,
            _jit: jit,
            pool: Arc::clone(&self.pool),
            alone: Pool::new(1),
            isa: self.isa,
        })
    }
}

/// A step as far as it can be prepared before its first run.
enum Ready {
    Map(Box<Map>),
    Reduce(Box<Reduction>),
    /// A contraction to single numbers.
    Dots,
    Other,
}

struct Loaded {
    /// Who is told of times, and the number of this program there.
    trace: Option<(Arc<Trace>, usize)>,
    schedule: Schedule,
    /// Steps that run slice by slice, in order.
    bands: Vec<Band>,
    /// Updates that threads take together, in order.
    together: Vec<Range<usize>>,
    /// One for each step.
    ready: Vec<Ready>,
    /// Where buffers lie; looked up anew in every run.
    memory: Memory,
    /// Owns the code that the build did not bring.
    _jit: Option<Jit>,
    arena: AlignedBuffer,
    pool: Arc<Pool>,
    /// For what a slice does on its own thread.
    alone: Pool,
    isa: Isa,
}

// SAFETY: the code generator's memory is only executed from here on, never changed; everything else is Send.
unsafe impl Send for Loaded {}
// SAFETY: as above: nobody uses the code generator again; everything else may be shared.
unsafe impl Sync for Loaded {}

impl Executable for Loaded {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let _environment = FloatEnvironment::enter();
        self.locate(state, feed)?;
        let mut laps = match &self.trace {
            None => None,
            Some(_) => Some(Laps::new(self.schedule.steps.len() + 1)),
        };
        let done = self.steps(&mut laps);
        if let (Some((trace, number)), Some(laps)) = (&self.trace, laps) {
            trace.run(*number, &laps.laps);
        }
        done?;
        let results = self.schedule.results.iter();
        Ok(results.map(|o| collect(&self.memory, o)).collect())
    }
}

impl Loaded {
    fn context(&self) -> Result<Context<'_>, RunError> {
        Context::new(&self.pool, self.isa).map_err(refused)
    }

    /// Runs all steps, the guards ahead of those that write state.
    fn steps(&self, laps: &mut Option<Laps>) -> Result<(), RunError> {
        let context = self.context()?;
        let commit = self.schedule.commit;
        self.some_steps(&context, 0..commit, laps)?;
        let guard = first_not_finite(&self.pool, self.isa, &self.memory, &self.schedule.guards);
        if let Some(laps) = laps {
            laps.step(None, "guards");
        }
        if let Some(guard) = guard {
            return Err(RunError::NotFinite { guard });
        }
        self.some_steps(&context, commit..self.schedule.steps.len(), laps)
    }

    fn some_steps(
        &self,
        context: &Context<'_>,
        steps: Range<usize>,
        laps: &mut Option<Laps>,
    ) -> Result<(), RunError> {
        let mut at = steps.start;
        while at < steps.end {
            if let Ok(band) = self
                .bands
                .binary_search_by_key(&at, |band| band.steps.start)
            {
                let band = &self.bands[band];
                let times = self.band(band, laps.is_some())?;
                if let Some(laps) = laps {
                    laps.band(&self.schedule.steps, band, &times);
                }
                at = band.steps.end;
            } else if let Some(run) = self.updates_at(at).filter(|_| laps.is_none()) {
                // A clock tells them apart, so with one they run one after another.
                let maps: Vec<&Map> = self.ready[run.clone()].iter().filter_map(map).collect();
                run_together(&self.pool, &self.memory, &maps);
                at = run.end;
            } else {
                self.part(context, &self.memory, at, Part::WHOLE)?;
                if let Some(laps) = laps {
                    laps.step(Some(at), self.schedule.steps[at].name());
                }
                at += 1;
            }
        }
        Ok(())
    }

    /// The updates that threads take together, from this step on.
    fn updates_at(&self, at: usize) -> Option<Range<usize>> {
        let found = self.together.binary_search_by_key(&at, |run| run.start);
        self.together.get(found.ok()?).cloned()
    }

    /// Runs a part of a step.
    fn part(
        &self,
        context: &Context<'_>,
        memory: &Memory,
        at: usize,
        part: Part,
    ) -> Result<(), RunError> {
        let pool = context.pool();
        match (&self.schedule.steps[at], &self.ready[at]) {
            (_, Ready::Map(map)) => map.run(pool, memory, part),
            (_, Ready::Reduce(reduction)) => reduction.run(pool, memory, part),
            (Step::Contract(s), Ready::Dots) => dots(pool, self.isa, memory, s, part),
            (Step::Contract(s), _) if part.is_whole() => steps::contract(context, memory, s)?,
            (Step::Contract(s), _) => steps::contract(context, memory, &s.part(part))?,
            (Step::Conv(s), _) => steps::conv(context, memory, s, part)?,
            (Step::Gather(s), _) => steps::gather(pool, memory, s, part)?,
            // The others have no parts.
            (Step::ArgMax(s), _) => arg_max(memory, s),
            (Step::ConvWeight(s), _) => steps::conv_weight(context, memory, s)?,
            (Step::Scatter(s), _) => steps::scatter(context, memory, s)?,
            (Step::Random(s), _) => steps::random(pool, memory, s)?,
            (Step::Sample(s), _) => steps::sample(pool, memory, s),
            (Step::Window(s), _) => steps::window(pool, memory, s),
            // Every one of them was made ready when the program was loaded.
            (Step::Map(_) | Step::Reduce(_), _) => {}
        }
        Ok(())
    }

    /// Finds where every buffer lies in this run; what is fed must have the promised type and length.
    fn locate(&mut self, state: &mut State, feed: &Feed) -> Result<(), RunError> {
        let arena = self.arena.as_mut_ptr().cast::<u8>();
        for (buffer, place) in self.schedule.buffers.iter().zip(&mut self.memory.base) {
            let base = match buffer.home {
                Home::Arena(at) => Some(arena.wrapping_add(at)),
                Home::Input(Input::State(n)) => state
                    .slots
                    .get_mut(n as usize)
                    .and_then(|t| pointer_mut(t, buffer.dtype.value(), buffer.elements)),
                Home::Input(Input::Column(n)) => feed
                    .columns
                    .get(n as usize)
                    .and_then(|t| pointer(t, buffer.dtype.value(), buffer.elements)),
                Home::Input(Input::Statistic(n)) => feed
                    .statistics
                    .get(n as usize)
                    .and_then(|t| pointer(t, buffer.dtype.value(), buffer.elements)),
                Home::Input(Input::Rows) => (feed.rows.len() >= buffer.elements)
                    .then(|| feed.rows.as_ptr().cast_mut().cast()),
                Home::Input(Input::Step) => Some(std::ptr::from_ref(&feed.step).cast_mut().cast()),
                // The words of a key are read as i32.
                Home::Input(Input::Key(n)) => feed
                    .keys
                    .get(n as usize)
                    .map(|k| k.as_ptr().cast_mut().cast()),
                Home::Input(Input::Scalar(n)) => feed
                    .scalars
                    .get(n as usize)
                    .map(|s| std::ptr::from_ref(s).cast_mut().cast()),
            };
            *place = base.ok_or_else(|| {
                RunError::Device(format!(
                    "{:?} does not fit what the program takes",
                    buffer.home
                ))
            })?;
        }
        Ok(())
    }
}

fn map(ready: &Ready) -> Option<&Map> {
    match ready {
        Ready::Map(map) => Some(map),
        _ => None,
    }
}

fn refused(why: impl std::fmt::Display) -> RunError {
    RunError::Device(why.to_string())
}

/// When the steps of a run were done.
struct Laps {
    laps: Vec<(Option<usize>, &'static str, Instant, Instant)>,
    start: Instant,
}

impl Laps {
    fn new(count: usize) -> Self {
        Self {
            laps: Vec::with_capacity(count),
            start: Instant::now(),
        }
    }

    /// A step has ended, or the guards have.
    fn step(&mut self, step: Option<usize>, kind: &'static str) {
        let end = Instant::now();
        self.laps.push((step, kind, self.start, end));
        self.start = end;
    }

    /// A band has ended: its time is shared out by what each step took of all slices' time.
    fn band(&mut self, steps: &[Step], band: &Band, times: &[Duration]) {
        let end = Instant::now();
        let all = times.iter().sum::<Duration>().as_secs_f64().max(1e-9);
        let scale = (end - self.start).as_secs_f64() / all;
        for (at, time) in band.steps.clone().zip(times) {
            let until = (self.start + time.mul_f64(scale)).min(end);
            let kind = steps[at].name();
            self.laps.push((Some(at), kind, self.start, until));
            self.start = until;
        }
        self.start = end;
    }
}

fn pointer(tensor: &Tensor, dtype: DType, elements: usize) -> Option<*mut u8> {
    let fits = tensor.dtype() == dtype && tensor.len() >= elements;
    fits.then(|| match tensor {
        Tensor::F32(v) => v.as_ptr().cast_mut().cast(),
        Tensor::I32(v) => v.as_ptr().cast_mut().cast(),
        Tensor::U8(v) | Tensor::Bool(v) => v.as_ptr().cast_mut(),
    })
}

fn pointer_mut(tensor: &mut Tensor, dtype: DType, elements: usize) -> Option<*mut u8> {
    let fits = tensor.dtype() == dtype && tensor.len() >= elements;
    fits.then(|| match tensor {
        Tensor::F32(v) => v.as_mut_ptr().cast(),
        Tensor::I32(v) => v.as_mut_ptr().cast(),
        Tensor::U8(v) | Tensor::Bool(v) => v.as_mut_ptr(),
    })
}

fn collect(memory: &Memory, output: &Output) -> Tensor {
    let base = memory.base[output.view.buffer.index()];
    let mut offsets = Vec::with_capacity(output.view.elements());
    walk(&output.view, |at| {
        offsets.push(output.view.offset.wrapping_add_signed(at))
    });
    // SAFETY: a view addresses elements of its buffer only, of the output's type.
    unsafe {
        match output.dtype {
            DType::F32 => Tensor::F32(
                offsets
                    .iter()
                    .map(|&o| base.cast::<f32>().add(o).read())
                    .collect(),
            ),
            DType::I32 => Tensor::I32(
                offsets
                    .iter()
                    .map(|&o| base.cast::<i32>().add(o).read())
                    .collect(),
            ),
            DType::U8 => Tensor::U8(offsets.iter().map(|&o| base.add(o).read()).collect()),
            DType::Bool => Tensor::Bool(offsets.iter().map(|&o| base.add(o).read()).collect()),
        }
    }
}
