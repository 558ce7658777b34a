//! Which device does the work of `run` and `predict`.

use crate::args::{DeviceArgs, DeviceName};
use crate::findings::Finding;
use crate::outcome::{Exit, Failure};
use crate::system;
use mmh_cpu::Cpu;
use mmh_cpu::isa::{Isa, admit};
use mmh_cpu::trace::Trace;
use mmh_diag::Code;
use mmh_interpret::Interpreter;
use mmh_ir::device::Device;
use mmh_runtime::audited::Audited;
use std::sync::Arc;

/// The device asked for. An instruction set that is not admitted here is said in one line, and the best below it is used.
/// With a trace, it is told of every step.
pub(crate) fn choose(
    args: &DeviceArgs,
    trace: Option<&Arc<Trace>>,
    json: bool,
) -> Result<Box<dyn Device>, Failure> {
    let device = alone(args, trace, json)?;
    Ok(audited(device, args))
}

/// A device whose steps are done again on another, as the recipe wants: on the processor, or where it is the processor itself
/// on its scalar kernels; where it is those, by the interpreter.
pub(crate) fn audited(device: Box<dyn Device>, args: &DeviceArgs) -> Box<dyn Device> {
    if args.audit.is_empty() {
        return device;
    }
    let second: Box<dyn Device> = match (device.name(), device.isa()) {
        ("cpu", "scalar") => Box::new(Interpreter),
        ("cpu", _) => Box::new(Cpu::new(device.threads(), Some(Isa::Scalar))),
        _ => Box::new(cpu(args)),
    };
    let by = format!("{} ({})", second.name(), second.isa());
    let tell = move |steps: u64| {
        let ending = if steps == 1 { "" } else { "s" };
        system::tell(&format!(
            "audit: {steps} step{ending} done again on {by}, bit for bit the same\n"
        ));
    };
    Box::new(Audited::new(device, second, args.audit.clone(), tell))
}

/// The graphics processors that may be tried, each with the processor standing by; those a processor plays only with `all`.
#[cfg(feature = "gpu")]
pub(crate) fn graphics(args: &DeviceArgs, all: bool) -> Vec<Box<dyn Device>> {
    if !all && !crate::gpu::is_any_known() {
        return Vec::new();
    }
    let found = crate::gpu::all(false).into_iter();
    let real = found.filter(|looked| all || !looked.adapter.is_software());
    real.filter_map(|looked| Some(with_standby(looked.verdict.ok()?, args)))
        .collect()
}

#[cfg(not(feature = "gpu"))]
pub(crate) fn graphics(_: &DeviceArgs, _: bool) -> Vec<Box<dyn Device>> {
    Vec::new()
}

/// Whether there is more than the processor to choose from.
pub(crate) fn is_a_choice(args: &DeviceArgs) -> bool {
    #[cfg(feature = "gpu")]
    let is_known = crate::gpu::is_any_known();
    #[cfg(not(feature = "gpu"))]
    let is_known = false;
    args.device == DeviceName::Auto && is_known
}

fn alone(
    args: &DeviceArgs,
    trace: Option<&Arc<Trace>>,
    json: bool,
) -> Result<Box<dyn Device>, Failure> {
    match args.device {
        DeviceName::Interpret if trace.is_some() => {
            let message =
                "`--profile` measures the processor's steps, and the interpreter has none";
            let help = "leave `--device interpret` away: the bits are the same on every device";
            Err(Failure::of(
                Finding::error(Code::CapabilityNotYet, message, help),
                json,
                Exit::Fault,
            ))
        }
        DeviceName::Interpret => Ok(Box::new(Interpreter)),
        DeviceName::Auto | DeviceName::Cpu => Ok(match trace {
            Some(trace) => Box::new(cpu(args).traced(Arc::clone(trace))),
            None => Box::new(cpu(args)),
        }),
        DeviceName::Gpu if trace.is_some() => {
            let message =
                "`--profile` measures the processor's steps, not those of a graphics processor";
            let help = "leave `--device gpu` away: the bits are the same on every device";
            Err(Failure::of(
                Finding::error(Code::CapabilityNotYet, message, help),
                json,
                Exit::Fault,
            ))
        }
        DeviceName::Gpu => gpu(args, json),
    }
}

/// The fastest admitted graphics processor, with the processor standing by.
#[cfg(feature = "gpu")]
fn gpu(args: &DeviceArgs, json: bool) -> Result<Box<dyn Device>, Failure> {
    let best = crate::gpu::best().and_then(|looked| looked.verdict);
    best.map(|gpu| with_standby(gpu, args)).map_err(|reason| {
        let message = format!("no graphics processor may be used: {reason}");
        let help = "leave `--device` away: the bits are the same on every device; `mmhc devices` lists what there is";
        Failure::of(Finding::error(Code::RunDevice, message, help), json, Exit::Device)
    })
}

#[cfg(not(feature = "gpu"))]
fn gpu(_: &DeviceArgs, json: bool) -> Result<Box<dyn Device>, Failure> {
    let message = "this mmhc was built without graphics processors";
    let help = "build it with `cargo build --release -p mmhc`, which has them; or leave `--device` away: the bits are the same on every device";
    let finding = Finding::error(Code::CapabilityNotYet, message, help);
    Err(Failure::of(finding, json, Exit::Fault))
}

/// A graphics processor; where it fails in mid-run, the processor goes on.
#[cfg(feature = "gpu")]
fn with_standby(gpu: mmh_gpu::Gpu, args: &DeviceArgs) -> Box<dyn Device> {
    let tell = |reason: &str| {
        system::tell(&format!(
            "warning: the graphics processor failed ({}); the processor goes on from the last good step, with the same bits\n",
            reason.trim_end()
        ));
    };
    let first: Box<dyn Device> = match args.lose_gpu_after {
        Some(steps) => Box::new(crate::gpu::Drill::new(gpu, steps)),
        None => Box::new(gpu),
    };
    Box::new(mmh_gpu::Standby::new(first, Box::new(cpu(args)), tell))
}

pub(crate) fn cpu(args: &DeviceArgs) -> Cpu {
    let cpu = Cpu::new(args.threads.map_or(0, usize::from), args.isa);
    if let Some(ceiling) = args.isa
        && let Err(refusal) = admit(ceiling)
    {
        system::tell(&format!(
            "warning: {refusal}; using {}, which gives the same bits\n",
            cpu.instruction_set()
        ));
    }
    cpu
}
