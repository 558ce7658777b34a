//! How fast files are hashed: `cargo run --release -p mmh-store --example hash_speed FILE [THREADS]`. Prints the hash, as `b3sum`
//! does, and GB/s, the best of five.

use mmh_store::content::{hash_file, hash_file_on};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(path), threads) = (words.next().map(PathBuf::from), words.next()) else {
        eprintln!("usage: hash_speed FILE [THREADS]");
        return ExitCode::from(2);
    };
    let threads = threads.and_then(|threads| threads.parse().ok());
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let began = Instant::now();
        let found = match threads {
            None => hash_file(&path),
            Some(threads) => hash_file_on(&path, threads),
        };
        let seconds = began.elapsed().as_secs_f64();
        match found {
            Ok((hash, bytes)) => {
                best = best.min(seconds / bytes as f64);
                println!("{}  {seconds:.3} s", hash.to_hex());
            }
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{:.2} GB/s", 1e-9 / best);
    ExitCode::SUCCESS
}
