//! Packs the data of the examples, which `mmhc new` writes out again, into the binary.

use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const FILES: [&str; 3] = ["digits.csv", "penguins.csv", "kjv-gospels.txt"];

fn main() -> io::Result<()> {
    let data = Path::new("../../examples/data");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for file in FILES {
        let from = data.join(file);
        println!("cargo::rerun-if-changed={}", from.display());
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&fs::read(from)?)?;
        fs::write(out.join(format!("{file}.gz")), packed.finish()?)?;
    }
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
