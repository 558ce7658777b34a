//! Measures the worst error of every one-argument function over all 2³² inputs and prints the table of `docs/numerics.md`.
//!
//! `cargo run --release -p mmh-numerics --example errors -- [step] [function …]`: `step` 1 takes every input (minutes; faster
//! with `RUSTFLAGS=-Ctarget-cpu=native`), 64 every 64th.

#[path = "../tests/reference/mod.rs"]
mod reference;

use std::thread;

use reference::{FUNCTIONS, Function, error_in_ulp};

/// What was found over some inputs.
#[derive(Clone, Copy, Default)]
struct Found {
    worst: f64,
    at: u32,
    inputs: u64,
    correctly_rounded: u64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let step = arguments
        .next()
        .map_or(64, |text| text.parse().expect("the step is an integer"));
    let names: Vec<String> = arguments.collect();
    println!(
        "| function | worst error in ulp | published bound | at | correctly rounded |\n|---|---|---|---|---|"
    );
    for function in FUNCTIONS
        .iter()
        .filter(|f| names.is_empty() || names.iter().any(|n| n == f.name))
    {
        let found = measure(function, step);
        let (x, share) = (
            f32::from_bits(found.at),
            found.correctly_rounded as f64 / found.inputs as f64,
        );
        println!(
            "| `{}` | {:.3} | {} | {x:e} | {:.2} % |",
            function.name,
            found.worst,
            function.bound,
            100.0 * share
        );
    }
}

fn measure(function: &Function, step: u64) -> Found {
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|t| scope.spawn(move || measure_part(function, t * step, threads * step)))
            .collect();
        workers
            .into_iter()
            .map(|w| w.join().expect("a worker ends"))
            .fold(Found::default(), merged)
    })
}

fn measure_part(function: &Function, first: u64, step: u64) -> Found {
    let mut found = Found::default();
    for bits in (first..1 << 32).step_by(step as usize) {
        let x = f32::from_bits(bits as u32);
        let (value, exact) = ((function.ours)(x), (function.reference)(f64::from(x)));
        let error = error_in_ulp(value, exact);
        found.inputs += 1;
        found.correctly_rounded += u64::from(
            error == 0.0
                || mmh_numerics::canonical_bits(value)
                    == mmh_numerics::canonical_bits(exact as f32),
        );
        if error > found.worst {
            (found.worst, found.at) = (error, bits as u32);
        }
    }
    found
}

fn merged(a: Found, b: Found) -> Found {
    let worse = if b.worst > a.worst { b } else { a };
    Found {
        inputs: a.inputs + b.inputs,
        correctly_rounded: a.correctly_rounded + b.correctly_rounded,
        ..worse
    }
}
