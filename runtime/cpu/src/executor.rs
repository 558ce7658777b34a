//! The device: loads programs, runs their schedules.
#![expect(
    unsafe_code,
    reason = "buffers of a schedule are addressed by pointer into the arena, the state and the feed"
)]

use crate::contract::Context;
use crate::isa::Isa;
use crate::jit::{Compiled, Jit, compile};
use crate::launch::{MOST, Memory, map};
use crate::memory::AlignedBuffer;
use crate::pool::Pool;
use crate::reduce::{Entries, arg_max, reduce};
use crate::steps;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use mmh_ir::{DType, Input};
use mmh_lower::schedule::{Home, Output, Schedule, Step};
use mmh_lower::{View, lower};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The processor, with a number of threads and an instruction set.
pub struct Cpu {
    pool: Arc<Pool>,
    isa: Isa,
}

impl Cpu {
    /// `threads` threads (0: one for every core) and the widest admitted instruction set not above `ceiling`.
    pub fn new(threads: usize, ceiling: Option<Isa>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores } else { threads };
        Self {
            pool: Arc::new(Pool::new(threads)),
            isa: Isa::best(ceiling),
        }
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
        let keys = words(feed);
        for _ in 0..runs {
            let memory = loaded.memory(state, feed, &keys)?;
            let context = Context::new(&loaded.pool, loaded.isa)
                .map_err(|e| RunError::Device(e.to_string()))?;
            for (at, time) in times.iter_mut().enumerate() {
                let began = Instant::now();
                loaded.step(&context, &memory, at)?;
                *time += began.elapsed();
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
        let schedule = lower(program);
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
        let arena = AlignedBuffer::zeroed(schedule.arena.div_ceil(4));
        Ok(Loaded {
            schedule,
            compiled,
            more,
            _jit: jit,
            arena,
            pool: Arc::clone(&self.pool),
            isa: self.isa,
        })
    }
}

struct Loaded {
    schedule: Schedule,
    compiled: Vec<Compiled>,
    /// Per step, the kernel that folds onto memory.
    more: Vec<Option<usize>>,
    /// Owns the code behind `compiled` that the build did not bring.
    _jit: Option<Jit>,
    arena: AlignedBuffer,
    pool: Arc<Pool>,
    isa: Isa,
}

// SAFETY: the code generator's memory is only executed from here on, never changed; everything else is Send.
unsafe impl Send for Loaded {}

impl Executable for Loaded {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        let keys = words(feed);
        let memory = self.memory(state, feed, &keys)?;
        let context =
            Context::new(&self.pool, self.isa).map_err(|e| RunError::Device(e.to_string()))?;
        for at in 0..self.schedule.commit {
            self.step(&context, &memory, at)?;
        }
        for (guard, view) in self.schedule.guards.iter().enumerate() {
            if !is_finite(&memory, view) {
                return Err(RunError::NotFinite { guard });
            }
        }
        for at in self.schedule.commit..self.schedule.steps.len() {
            self.step(&context, &memory, at)?;
        }
        Ok(self
            .schedule
            .results
            .iter()
            .map(|o| collect(&memory, o))
            .collect())
    }
}

impl Loaded {
    fn step(&self, context: &Context<'_>, memory: &Memory, at: usize) -> Result<(), RunError> {
        match &self.schedule.steps[at] {
            Step::Map(s) => map(
                &self.pool,
                memory,
                self.compiled[s.kernel.0 as usize].entry,
                &s.loops,
                &s.args,
            ),
            Step::Reduce(s) => {
                let write = self.compiled[s.kernel.0 as usize].entry;
                let more = self.more[at].map_or(write, |k| self.compiled[k].entry);
                reduce(&self.pool, memory, Entries { write, more }, s);
            }
            Step::ArgMax(s) => arg_max(memory, s),
            Step::Contract(s) => steps::contract(context, memory, s)?,
            Step::Conv(s) => steps::conv(context, memory, s)?,
            Step::ConvWeight(s) => steps::conv_weight(context, memory, s)?,
            Step::Scatter(s) => steps::scatter(context, memory, s)?,
            Step::Gather(s) => steps::gather(memory, s)?,
            Step::Random(s) => steps::random(&self.pool, memory, s)?,
            Step::Sample(s) => steps::sample(&self.pool, memory, s),
            Step::Window(s) => steps::window(&self.pool, memory, s),
        }
        Ok(())
    }

    /// Where every buffer lies in this run; what is fed must have the promised type and length.
    fn memory(
        &mut self,
        state: &mut State,
        feed: &Feed,
        keys: &[Vec<i32>],
    ) -> Result<Memory, RunError> {
        let mut memory = Memory {
            base: Vec::new(),
            bytes: Vec::new(),
            elements: Vec::new(),
        };
        let arena = self.arena.as_mut_ptr().cast::<u8>();
        for buffer in &self.schedule.buffers {
            let base = match buffer.home {
                Home::Arena(at) => Some(arena.wrapping_add(at)),
                Home::Input(Input::State(n)) => state
                    .slots
                    .get_mut(n as usize)
                    .and_then(|t| pointer_mut(t, buffer.dtype, buffer.elements)),
                Home::Input(Input::Column(n)) => feed
                    .columns
                    .get(n as usize)
                    .and_then(|t| pointer(t, buffer.dtype, buffer.elements)),
                Home::Input(Input::Statistic(n)) => feed
                    .statistics
                    .get(n as usize)
                    .and_then(|t| pointer(t, buffer.dtype, buffer.elements)),
                Home::Input(Input::Rows) => (feed.rows.len() >= buffer.elements)
                    .then(|| feed.rows.as_ptr().cast_mut().cast()),
                Home::Input(Input::Step) => Some(std::ptr::from_ref(&feed.step).cast_mut().cast()),
                Home::Input(Input::Key(n)) => {
                    keys.get(n as usize).map(|k| k.as_ptr().cast_mut().cast())
                }
                Home::Input(Input::Scalar(n)) => feed
                    .scalars
                    .get(n as usize)
                    .map(|s| std::ptr::from_ref(s).cast_mut().cast()),
            };
            let Some(base) = base else {
                return Err(RunError::Device(format!(
                    "{:?} does not fit what the program takes",
                    buffer.home
                )));
            };
            memory.base.push(base);
            memory.bytes.push(buffer.dtype.bytes());
            memory.elements.push(buffer.elements);
        }
        Ok(memory)
    }
}

/// Keys as the i32 words that programs read.
fn words(feed: &Feed) -> Vec<Vec<i32>> {
    feed.keys
        .iter()
        .map(|k| k.iter().map(|w| w.cast_signed()).collect())
        .collect()
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

/// Calls `each` with the element offset of every element of a view, in logical order.
fn walk(view: &View, mut each: impl FnMut(isize)) {
    let mut place = vec![0usize; view.lanes.len()];
    for _ in 0..view.elements() {
        each(
            place
                .iter()
                .zip(&view.lanes)
                .map(|(p, l)| *p as isize * l.stride)
                .sum(),
        );
        for (at, lane) in view.lanes.iter().enumerate().rev() {
            place[at] += 1;
            if place[at] < lane.size {
                break;
            }
            place[at] = 0;
        }
    }
}

fn is_finite(memory: &Memory, view: &View) -> bool {
    let base = memory.base[view.buffer.index()].cast::<f32>();
    let elements = memory.elements[view.buffer.index()];
    if view.elements() == elements && view.offset == 0 {
        // SAFETY: the whole buffer, of f32 elements.
        let all = unsafe { std::slice::from_raw_parts(base, elements) };
        return all.chunks(1024).all(|c| {
            c.iter().fold(0u32, |seen, x| {
                seen | u32::from(x.to_bits() & 0x7f80_0000 == 0x7f80_0000)
            }) == 0
        });
    }
    let mut finite = true;
    // SAFETY: a view addresses elements of its buffer only.
    walk(view, |at| {
        finite &= unsafe { base.wrapping_add(view.offset).wrapping_offset(at).read() }.is_finite()
    });
    finite
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
