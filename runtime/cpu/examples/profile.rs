//! Where the time of a training step goes: `cargo run --release -p mmh-cpu --example profile -- PLAN [THREADS] [RUNS]`.
//!
//! PLAN is the `plan` of a run folder. State and data are made up; times do not depend on them.

use mmh_cpu::Cpu;
use mmh_ir::device::{Feed, State, Tensor};
use mmh_ir::{DType, Input, Op, Plan, Type};
use std::collections::BTreeMap;
use std::time::Duration;

fn made_up(ty: &Type, batch: usize) -> Tensor {
    let n = ty.shape.elements() * batch;
    let value = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 8) % 1000) as f32 / 5000.0 + 0.01;
    match ty.dtype {
        DType::F32 => Tensor::F32((0..n).map(value).collect()),
        DType::I32 => Tensor::I32((0..n).map(|i| (i % 3) as i32).collect()),
        DType::U8 => Tensor::U8((0..n).map(|i| (i % 251) as u8).collect()),
        DType::Bool => Tensor::Bool((0..n).map(|i| (i % 2) as u8).collect()),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("which plan?")?;
    let threads = args.next().map_or(Ok(1), |t| t.parse())?;
    let runs: u32 = args.next().map_or(Ok(20), |t| t.parse())?;
    let plan = Plan::from_text(&std::fs::read_to_string(path)?)?;
    let training = plan.trainings.first().ok_or("no training")?;
    let program = training.programs.first().ok_or("no program")?;
    let batch = program.batch as usize;
    let data = &plan.data[training.data as usize];
    let mut state = State {
        slots: training.state.iter().map(|s| made_up(&s.ty, 1)).collect(),
    };
    let rank0 = |n: usize| vec![0.01f32; n];
    let feed = Feed {
        columns: data.columns.iter().map(|c| made_up(&c.ty, batch)).collect(),
        rows: (0..batch as i32).collect(),
        step: 3,
        keys: vec![[7; 8]; training.sites.len()],
        scalars: rank0(training.scalars.len()),
        statistics: data.statistics.iter().map(|s| made_up(&s.ty, 1)).collect(),
    };
    let inputs = program
        .graph
        .nodes
        .iter()
        .filter(|n| matches!(n.op, Op::Input(Input::State(_))))
        .count();
    let cpu = Cpu::new(threads, None);
    let steps = cpu.profile(program, &mut state, &feed, runs)?;
    let mut kinds: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
    let mut sorted: Vec<&(String, Duration)> = steps.iter().collect();
    sorted.sort_by_key(|(_, t)| std::cmp::Reverse(*t));
    for (text, time) in &sorted {
        let kind = text.split(' ').next().unwrap_or_default().to_string();
        let entry = kinds.entry(kind).or_default();
        *entry = (entry.0 + 1, entry.1 + *time);
    }
    for (text, time) in sorted.iter().take(28) {
        println!(
            "{:9.1} us  {}",
            time.as_secs_f64() * 1e6,
            text.chars().take(150).collect::<String>()
        );
    }
    let total: Duration = steps.iter().map(|(_, t)| *t).sum();
    for (kind, (count, time)) in kinds {
        println!(
            "{kind:12} {count:4} steps {:9.1} us {:5.1} %",
            time.as_secs_f64() * 1e6,
            100.0 * time.as_secs_f64() / total.as_secs_f64()
        );
    }
    println!(
        "{inputs} state slots, {} threads, {:.3} ms a step",
        cpu_threads(&cpu),
        total.as_secs_f64() * 1e3
    );
    Ok(())
}

fn cpu_threads(cpu: &Cpu) -> usize {
    mmh_ir::device::Device::threads(cpu)
}
