//! The text form of a schedule, for people (`show plan`, `show kernel`).

use crate::schedule::{Absent, Home, Schedule, Step};
use std::fmt;

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "schedule arena {} bytes, {} steps, {} kernels",
            self.arena,
            self.steps.len(),
            self.kernels.len()
        )?;
        for (n, buffer) in self.buffers.iter().enumerate() {
            let home = match buffer.home {
                Home::Input(input) => format!("input {input:?}"),
                Home::Arena(at) => format!("at {at}"),
            };
            writeln!(
                f,
                "b{n}: {} x {} {home}",
                buffer.dtype.name(),
                buffer.elements
            )?;
        }
        for (n, step) in self.steps.iter().enumerate() {
            if n == self.commit {
                writeln!(f, "-- guards --")?;
            }
            writeln!(f, "{n}: {}", step_text(step))?;
        }
        for (n, kernel) in self.kernels.iter().enumerate() {
            write!(f, "k{n} = {kernel}")?;
        }
        Ok(())
    }
}

/// One step as a line of text.
pub fn step_text(step: &Step) -> String {
    let args = |list: &[crate::schedule::Arg]| {
        list.iter()
            .map(|a| format!("b{}{:?}", a.buffer.0, a.strides))
            .collect::<Vec<_>>()
            .join(" ")
    };
    match step {
        Step::Map(s) => format!("map k{} {:?} {}", s.kernel.0, s.loops, args(&s.args)),
        Step::Reduce(s) => {
            let loops: Vec<String> = s
                .loops
                .iter()
                .map(|l| format!("{}{}", l.size, if l.reduced { "r" } else { "" }))
                .collect();
            format!(
                "reduce {:?} k{} [{}] {} -> {}",
                s.fold,
                s.kernel.0,
                loops.join(", "),
                args(&s.loads),
                args(&s.results)
            )
        }
        Step::Contract(s) => format!(
            "contract{} {:?} batch {:?} {} {} -> {}",
            match s.absent {
                Absent::Nothing => "",
                Absent::ContractedAfterRow => " (k up to m)",
                Absent::ContractedBeforeRow => " (k from m)",
                Absent::OutputAfterRow => " (n up to m)",
            },
            s.size,
            s.batch,
            args(std::slice::from_ref(&s.a)),
            args(std::slice::from_ref(&s.b)),
            args(std::slice::from_ref(&s.c))
        ),
        Step::Conv(s) => format!(
            "conv batch {} channels {:?} b{} b{} -> b{}",
            s.batch, s.channels, s.x.0, s.w.buffer.0, s.y.0
        ),
        Step::ConvWeight(s) => format!(
            "conv-weight batch {} channels {:?} b{} b{} -> b{}",
            s.batch, s.channels, s.x.0, s.g.0, s.dw.0
        ),
        other => {
            let (reads, writes) = other.buffers();
            format!("{} {reads:?} -> {writes:?}", other.name())
        }
    }
}
