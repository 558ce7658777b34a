//! Unpacks one pack into a folder and prints the seconds it took: `speed PACK FOLDER`.

use std::path::Path;
use std::time::Instant;

use mmh_legacy::{Limits, UnpackOptions, unpack};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, pack, folder] = arguments.as_slice() else {
        return Err("usage: speed PACK FOLDER".into());
    };
    let limits = Limits {
        max_output: u64::MAX,
        ..Limits::default()
    };
    let start = Instant::now();
    let unpacked = unpack(
        Path::new(pack),
        Path::new(folder),
        UnpackOptions {
            limits,
            ..UnpackOptions::default()
        },
    )?;
    let bytes: u64 = unpacked.files.iter().map(|file| file.bytes).sum();
    println!("{bytes} bytes in {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}
