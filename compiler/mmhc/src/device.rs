//! Which device does the work of `run` and `predict`.

use crate::args::{DeviceArgs, DeviceName};
use crate::findings::Finding;
use crate::outcome::{Exit, Failure};
use crate::system;
use mmh_cpu::Cpu;
use mmh_cpu::isa::admit;
use mmh_cpu::trace::Trace;
use mmh_diag::Code;
use mmh_interpret::Interpreter;
use mmh_ir::device::Device;
use std::sync::Arc;

/// The device asked for. An instruction set that is not admitted here is said in one line, and the best below it is used.
/// With a trace, it is told of every step.
pub(crate) fn choose(
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
        DeviceName::Gpu => {
            let message = "GPUs are not in this version";
            let help = "leave `--device` away: the bits are the same on every device";
            Err(Failure::of(
                Finding::error(Code::CapabilityNotYet, message, help),
                json,
                Exit::Fault,
            ))
        }
    }
}

fn cpu(args: &DeviceArgs) -> Cpu {
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
