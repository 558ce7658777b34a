//! The CPU executor gives the interpreter's bits on random graphs, for every thread count and instruction set here.

mod attention;
mod graphs;

use graphs::{Case, compare, grow, grow_narrow, run};
use mmh_cpu::Cpu;
use mmh_cpu::isa::Isa;
use mmh_interpret::Interpreter;
use mmh_lower::Slicing;

#[test]
fn random_graphs_have_the_oracles_bits() {
    let count = std::env::var("MMH_GRAPHS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(150u64);
    all_agree((0..count).map(grow));
}

/// What runs in bf16: rounded operands, results that several read, memory of two bytes wherever it is chosen.
#[test]
fn random_graphs_in_bf16_have_the_oracles_bits() {
    all_agree((0..150).map(grow_narrow));
}

#[test]
fn random_attention_has_the_oracles_bits() {
    all_agree((0..40).map(attention::attend));
}

fn all_agree(cases: impl Iterator<Item = Case>) {
    let oracle = Interpreter;
    let mut devices: Vec<(String, Cpu)> = Vec::new();
    for threads in [1, 2, 5] {
        devices.push((format!("threads {threads}"), Cpu::new(threads, None)));
    }
    for threads in [1, 2] {
        // A program of one row has no slices; see below.
        let sliced = Cpu::new(threads, None).sliced(Slicing::wherever(threads));
        devices.push((format!("in slices, threads {threads}"), sliced));
    }
    for isa in Isa::ALL
        .into_iter()
        .filter(|i| mmh_cpu::isa::admit(*i).is_ok())
    {
        devices.push((isa.name().to_string(), Cpu::new(2, Some(isa))));
    }
    for case in cases {
        let want = run(&oracle, &case);
        for (name, device) in &devices {
            compare(device, &case, &want, name);
        }
    }
}

#[test]
fn slices_of_bands_have_the_oracles_bits() {
    let count = 300;
    let cut = |mut case: Case| {
        // Sizes of axes are small numbers: this has them as divisors.
        case.program.batch = 60;
        case
    };
    let has_bands = |case: &Case| {
        let slicing = Slicing::wherever(1);
        let schedule = mmh_lower::lower(&case.program);
        let (_, bands) = schedule.into_bands(60, &slicing);
        !bands.is_empty()
    };
    let cases = (0..count).map(grow).chain((0..60).map(attention::attend));
    let cases = cases.chain((0..150).map(grow_narrow));
    let cases: Vec<Case> = cases.map(cut).filter(has_bands).collect();
    assert!(cases.len() > 60, "{} of {count} have bands", cases.len());
    all_agree(cases.into_iter());
}
