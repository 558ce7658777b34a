//! How long reading and checking take, in one process: `cargo run --release -p mmh-check --example check_speed`.
//!
//! Every figure is the least and the median of many runs on one warm thread. Facts about data come from a file that was
//! read before, as they do in the server.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/generated.rs"]
mod generated;

use common::Folder;
use mmh_check::check;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let only = std::env::args().nth(1);
    let fewer = std::env::args().nth(2).and_then(|runs| runs.parse().ok());
    let digits = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/digits.mmh"
    ));
    let digits = digits.expect("the example is there");
    println!(
        "{:<28} {:>7} {:>10} {:>10}",
        "", "lines", "least, ms", "median, ms"
    );
    for (name, text, runs) in [
        ("digits", digits, 300),
        ("generated, 500 lines", generated::recipe(500), 40),
        ("generated, 10,000 lines", generated::recipe(10_000), 9),
    ] {
        if only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        measure(name, &text, fewer.unwrap_or(runs));
    }
}

fn measure(name: &str, text: &str, runs: usize) {
    let world = Folder::examples(text);
    let found = check(&world, "main.mmh", &[]).diagnostics;
    assert!(found.is_empty(), "{name}: {:?}", found.first());
    let lines = text.lines().count();
    let row = |what: &str, work: &dyn Fn()| {
        let mut times: Vec<f64> = (0..runs).map(|_| time(work)).collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{:<28} {lines:>7} {:>10.3} {:>10.3}",
            format!("{name}: {what}"),
            times[0],
            times[times.len() / 2]
        );
    };
    row("parse", &|| drop(black_box(mmh_syntax::parse(text))));
    let parsed = mmh_syntax::parse(text);
    row("typed tree", &|| drop(black_box(parsed.file())));
    row("format", &|| {
        drop(black_box(mmh_syntax::format(&parsed.tree)))
    });
    row("check", &|| drop(black_box(check(&world, "main.mmh", &[]))));
}

/// Milliseconds.
fn time(work: &dyn Fn()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64() * 1e3
}
