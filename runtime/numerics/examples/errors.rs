//! Measures the worst error of every one-argument function over all 2³² inputs and prints the table of `docs/numerics.md`.
//!
//! `cargo run --release -p mmh-numerics --example errors -- [step] [function …]`: `step` 1 takes every input (minutes; faster
//! with `RUSTFLAGS=-Ctarget-cpu=native`), 64 every 64th.

#[path = "../tests/reference/mod.rs"]
mod reference;

use std::thread;

use mmh_numerics::functions::scalar;
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
    if names.is_empty() || names.iter().any(|n| n == "pow") {
        println!(
            "| `pow` | {:.3} | sampled |",
            worst_of_pow(u64::from(u32::MAX) / step / 16)
        );
    }
}

/// The worst error of `pow` over pairs with results of every size.
fn worst_of_pow(pairs: u64) -> f64 {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut worst = 0.0;
    for pair in 0..pairs {
        // Half of the bases are near 1, where the logarithm cancels.
        let x = f32::from_bits(if pair % 2 == 0 {
            next()
        } else {
            0x3f00_0000 + next() % 0x0100_0000
        });
        let reach = 104.0 / reference::log(f64::from(x)).abs().max(1e-7);
        let y = (reach * (f64::from(next()) / 1_073_741_824.0 - 1.0)) as f32;
        let error = error_in_ulp(
            scalar::pow(x, y),
            reference::pow(f64::from(x), f64::from(y)),
        );
        worst = error.max(worst);
    }
    worst
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
