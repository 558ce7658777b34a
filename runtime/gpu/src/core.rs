//! An open device: pipelines by their text, memory, and the carrying out of dispatches.

use crate::builder::Launch;
use crate::rungs::{Fault, Keep, Rungs, prelude};
use crate::spirv::{self, Exact};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor,
    BindGroupLayoutEntry, BindingResource, BindingType, Buffer, BufferBinding, BufferBindingType,
    BufferDescriptor, BufferUsages, ComputePipeline, ComputePipelineDescriptor, PipelineLayout,
    PipelineLayoutDescriptor, ShaderModule, ShaderModuleDescriptor, ShaderSource, ShaderStages,
};

/// Workgroups along a side of a grid at most, on every device.
const GRID: usize = 65_535;

/// The device with what all programs on it share.
pub(crate) struct Core {
    device: wgpu::Device,
    queue: wgpu::Queue,
    bindings: BindGroupLayout,
    layout: PipelineLayout,
    pub(crate) rungs: Rungs,
    pub(crate) fault: Option<Fault>,
    prelude: String,
    /// Shaders are handed over as SPIR-V with these options, where expressions are marked.
    exact: Option<Exact>,
    pipelines: Mutex<BTreeMap<String, ComputePipeline>>,
    /// The first thing that went wrong and was not asked for.
    said: Arc<Mutex<Option<String>>>,
    lost: Arc<AtomicBool>,
}

/// Dispatches over one piece of memory, ready to be repeated.
pub(crate) struct Tape {
    steps: Vec<Dispatch>,
    pub(crate) memory: Buffer,
    group: BindGroup,
    back: Buffer,
}

struct Dispatch {
    pipeline: ComputePipeline,
    offset: u32,
    grid: [u32; 2],
}

/// Words of memory `from .. from + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from: usize,
    pub(crate) count: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(crate) fn open(
        adapter: &wgpu::Adapter,
        rungs: Rungs,
        fault: Option<Fault>,
    ) -> Result<Self, String> {
        let mut features = wgpu::Features::empty();
        if rungs.needs_doubles() {
            features |= wgpu::Features::SHADER_F64 | wgpu::Features::SHADER_INT64;
        }
        let mut exact = None;
        if rungs.keep() == Keep::Marked {
            let modes = spirv::offered(adapter).ok_or("the driver takes no SPIR-V")?;
            let doubles = rungs.needs_doubles();
            exact = Some(Exact { doubles, modes });
            features |= wgpu::Features::PASSTHROUGH_SHADERS;
        }
        let descriptor = wgpu::DeviceDescriptor {
            required_features: features,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| e.to_string())?;
        let (said, lost) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let (words, gone) = (Arc::clone(&said), Arc::clone(&lost));
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&words).get_or_insert_with(|| error.to_string());
        }));
        let words = Arc::clone(&said);
        device.set_device_lost_callback(move |_, reason| {
            gone.store(true, Ordering::SeqCst);
            lock(&words).get_or_insert(format!("the device was lost: {reason}"));
        });
        let entry = |binding, read_only, has_dynamic_offset| BindGroupLayoutEntry {
            binding,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer {
                ty: BufferBindingType::Storage { read_only },
                has_dynamic_offset,
                min_binding_size: None,
            },
            count: None,
        };
        let bindings = device.create_bind_group_layout(&BindGroupLayoutDescriptor {
            label: None,
            // The memory is there twice: by words, and by fours.
            entries: &[
                entry(0, false, false),
                entry(1, true, true),
                entry(2, false, false),
            ],
        });
        let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        Ok(Self {
            device,
            queue,
            bindings,
            layout,
            rungs,
            fault,
            prelude: prelude(&rungs, fault),
            exact,
            pipelines: Mutex::default(),
            said,
            lost,
        })
    }

    /// What went wrong since the last call, if anything.
    fn verdict(&self) -> Result<(), String> {
        match lock(&self.said).take() {
            Some(words) => Err(words),
            None if self.lost.load(Ordering::SeqCst) => Err("the device was lost".to_string()),
            None => Ok(()),
        }
    }

    /// Gives the device up, as a driver does that has lost it.
    pub(crate) fn lose(&self) {
        self.device.destroy();
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Bytes that one piece of memory may have.
    fn most(&self) -> u64 {
        let limits = self.device.limits();
        limits
            .max_buffer_size
            .min(limits.max_storage_buffer_binding_size)
    }

    /// Whether a shader of this text was compiled before.
    pub(crate) fn knows(&self, source: &str) -> bool {
        lock(&self.pipelines).contains_key(source)
    }

    /// Forgets a shader, so that it is compiled and checked again.
    pub(crate) fn forget(&self, source: &str) {
        lock(&self.pipelines).remove(source);
    }

    fn pipeline(&self, source: &str) -> Result<ComputePipeline, String> {
        if let Some(pipeline) = lock(&self.pipelines).get(source) {
            return Ok(pipeline.clone());
        }
        let text = format!("{}{source}", self.prelude);
        let module = self.module(text)?;
        let pipeline = self
            .device
            .create_compute_pipeline(&ComputePipelineDescriptor {
                label: None,
                layout: Some(&self.layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            });
        self.verdict()?;
        lock(&self.pipelines).insert(source.to_string(), pipeline.clone());
        Ok(pipeline)
    }

    /// The compiled text, by the way that was found to hold.
    #[allow(unsafe_code, reason = "wgpu cannot say NoContraction")]
    fn module(&self, text: String) -> Result<ShaderModule, String> {
        let Some(exact) = self.exact else {
            return Ok(self.device.create_shader_module(ShaderModuleDescriptor {
                label: None,
                source: ShaderSource::Wgsl(text.into()),
            }));
        };
        let words = spirv::module(&text, exact)?;
        let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
            entry_points: vec![wgpu::PassthroughShaderEntryPoint {
                name: "main".into(),
                workgroup_size: (0, 0, 0),
            }]
            .into(),
            spirv: Some(words.into()),
            ..Default::default()
        };
        // SAFETY: the module was made from a text of this crate that was validated as WGSL, with bounds checks, and differs from
        // what wgpu itself would make of it by decorations, execution modes that the driver offers, and the checks of divisors and of
        // loops, whose ends and divisors are sizes that the host has set (`builder`, `contract`).
        Ok(unsafe { self.device.create_shader_module_passthrough(descriptor) })
    }

    /// Prepares dispatches over `words` words of memory, of which `read` words at most are read back; those from `gated` on
    /// write nothing once a flag was raised.
    pub(crate) fn tape(
        &self,
        launches: &[Launch],
        gated: usize,
        words: usize,
        read: usize,
    ) -> Result<Tape, String> {
        let most = self.most();
        let bytes = (words * 4) as u64;
        if bytes > most || words > u32::MAX as usize {
            return Err(format!(
                "the program needs {} MiB of the device's memory in one piece, it allows {} MiB; use a smaller batch",
                bytes >> 20,
                most >> 20
            ));
        }
        let alignment =
            (self.device.limits().min_storage_buffer_offset_alignment as usize / 4).max(1);
        let longest = launches.iter().map(|l| l.params.len()).max().unwrap_or(4);
        let mut params: Vec<u32> = Vec::new();
        let mut steps = Vec::new();
        for (at, launch) in launches.iter().enumerate() {
            let groups = launch.groups();
            if groups == 0 {
                continue;
            }
            let across = groups.min(GRID);
            params.resize(params.len().next_multiple_of(alignment), 0);
            let offset = params.len();
            params.extend_from_slice(&launch.params);
            params[offset..offset + 4].copy_from_slice(&[
                0,
                u32::from(at >= gated),
                across as u32,
                launch.count as u32,
            ]);
            steps.push(Dispatch {
                pipeline: self.pipeline(&launch.source)?,
                offset: (offset * 4) as u32,
                grid: [across as u32, groups.div_ceil(across) as u32],
            });
        }
        params.resize(params.len() + longest, 0);
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let memory = self.buffer(words.max(16).next_multiple_of(4), storage);
        let of_steps = self.buffer(params.len(), BufferUsages::STORAGE | BufferUsages::COPY_DST);
        self.queue.write_buffer(&of_steps, 0, &bytes_of(&params));
        let back = self.buffer(read.max(1), BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let group = self.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &self.bindings,
            entries: &[
                BindGroupEntry {
                    binding: 0,
                    resource: memory.as_entire_binding(),
                },
                BindGroupEntry {
                    binding: 1,
                    resource: BindingResource::Buffer(BufferBinding {
                        buffer: &of_steps,
                        offset: 0,
                        size: std::num::NonZeroU64::new((longest * 4) as u64),
                    }),
                },
                BindGroupEntry {
                    binding: 2,
                    resource: memory.as_entire_binding(),
                },
            ],
        });
        self.verdict()?;
        Ok(Tape {
            steps,
            memory,
            group,
            back,
        })
    }

    fn buffer(&self, words: usize, usage: BufferUsages) -> Buffer {
        self.device.create_buffer(&BufferDescriptor {
            label: None,
            size: (words * 4) as u64,
            usage,
            mapped_at_creation: false,
        })
    }

    /// Writes words of memory ahead of the next run.
    pub(crate) fn write(&self, tape: &Tape, at: usize, words: &[u32]) {
        if !words.is_empty() {
            self.queue
                .write_buffer(&tape.memory, (at * 4) as u64, &bytes_of(words));
        }
    }

    /// One submission: all dispatches, then `read` copied back, one stretch behind the other. `meanwhile` is called while the
    /// device is at work.
    pub(crate) fn run(
        &self,
        tape: &Tape,
        read: &[Stretch],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<u32>, String> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for step in &tape.steps {
                pass.set_pipeline(&step.pipeline);
                pass.set_bind_group(0, &tape.group, &[step.offset]);
                pass.dispatch_workgroups(step.grid[0], step.grid[1], 1);
            }
        }
        self.submitted(encoder, tape, read, meanwhile)
    }

    /// `read` copied back, one stretch behind the other.
    pub(crate) fn read(&self, tape: &Tape, read: &[Stretch]) -> Result<Vec<u32>, String> {
        let encoder = self.device.create_command_encoder(&Default::default());
        self.submitted(encoder, tape, read, &mut || ())
    }

    fn submitted(
        &self,
        mut encoder: wgpu::CommandEncoder,
        tape: &Tape,
        read: &[Stretch],
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<u32>, String> {
        let mut at = 0;
        for stretch in read.iter().filter(|s| s.count > 0) {
            let (from, count) = ((stretch.from * 4) as u64, (stretch.count * 4) as u64);
            encoder.copy_buffer_to_buffer(&tape.memory, from, &tape.back, at, count);
            at += count;
        }
        self.queue.submit([encoder.finish()]);
        self.verdict()?;
        if at == 0 {
            return Ok(Vec::new());
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        tape.back
            .map_async(wgpu::MapMode::Read, 0..at, move |result| {
                let _ = sender.send(result);
            });
        meanwhile();
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|e| e.to_string())?;
        self.verdict()?;
        match receiver.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the device gave no answer".to_string()),
        }
        let view = tape
            .back
            .get_mapped_range(0..at)
            .map_err(|e| e.to_string())?;
        let words = view
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        drop(view);
        tape.back.unmap();
        Ok(words)
    }
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}
