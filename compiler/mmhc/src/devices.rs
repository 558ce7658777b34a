//! `mmhc devices`: what can do the work here, why it may, and how fast it was just now.

use crate::args::DevicesArgs;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use mmh_cpu::contract::{Context, Gemm, Operand, Output, gemm};
use mmh_cpu::isa::{Isa, admit};
use mmh_cpu::pool::Pool;
use mmh_diag::Code;
use serde_json::{Value, json};
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rows, columns and depth of the product that is timed.
const SIDE: usize = 512;
/// Bytes of the buffer that is copied: beyond the caches.
const COPIED: usize = 128 << 20;
/// How long a product is repeated.
const TIMED: Duration = Duration::from_millis(120);

/// An instruction set as it was found.
struct Found {
    isa: Isa,
    refusal: Option<String>,
    /// Billions of f32 operations a second on one thread, a multiply-add counted as two.
    single: Option<f64>,
}

pub(crate) fn devices(args: &DevicesArgs) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found: Vec<Found> = Isa::ALL
        .into_iter()
        .filter(of_this_family)
        .map(look)
        .collect();
    let best = Isa::best(None);
    let all = speed(cores, best);
    let bandwidth = bandwidth(cores);
    let adapters = adapters(args.anew);
    match args.json {
        true => {
            let mut document = document(&found, best, cores, all, bandwidth);
            if let Some(devices) = document.get_mut("devices").and_then(Value::as_array_mut) {
                devices.extend(adapters.iter().map(Adapter::document));
            }
            system::say(&format!("{document:#}\n"));
        }
        false => {
            let mut words = words(&found, best, cores, all, bandwidth);
            words.push_str(&graphics(&adapters));
            system::say(&words);
        }
    }
    match all {
        Some(_) => Ok(()),
        None => {
            let finding = Finding::error(
                Code::RunDevice,
                "the processor could not be measured",
                "use `--device interpret`",
            );
            Err(Failure::of(finding, false, Exit::Device))
        }
    }
}

/// A graphics processor as it was found.
struct Adapter {
    name: String,
    driver: String,
    interface: &'static str,
    software: bool,
    /// The rung of each operation; or why the device is refused.
    verdict: Result<String, String>,
    /// GFLOP/s and GB/s.
    speed: Option<[f64; 2]>,
}

#[cfg(feature = "gpu")]
fn adapters(anew: bool) -> Vec<Adapter> {
    let found = crate::gpu::all(anew).into_iter();
    let look = |it: crate::gpu::Looked| Adapter {
        name: it.adapter.name().to_owned(),
        driver: it.adapter.driver(),
        interface: it.adapter.interface(),
        software: it.adapter.is_software(),
        speed: it.speed,
        verdict: it.verdict.map(|gpu| gpu.rungs().to_string()),
    };
    found.map(look).collect()
}

#[cfg(not(feature = "gpu"))]
fn adapters(_: bool) -> Vec<Adapter> {
    Vec::new()
}

/// Lines for people: a graphics processor each, or that there is none.
fn graphics(adapters: &[Adapter]) -> String {
    let none = match cfg!(feature = "gpu") {
        true => "gpu         none: no Vulkan, Metal or Direct3D 12 driver offers one\n",
        false => "gpu         not in this build of mmhc\n",
    };
    match adapters {
        [] => none.to_owned(),
        found => found.iter().map(Adapter::words).collect(),
    }
}

/// What an admitted graphics processor does.
const WORK: &str = "whole steps in f32";

impl Adapter {
    fn document(&self) -> Value {
        json!({
            "device": "gpu",
            "isa": format!("{}: {}", self.interface, self.name),
            "threads": 1,
            "driver": self.driver,
            "software": self.software,
            "admitted": self.verdict.is_ok(),
            "for": self.verdict.as_ref().ok().map(|_| WORK),
            "rung": self.verdict.clone().unwrap_or_else(|refusal| refusal),
            "gflops": self.speed.map(|[gflops, _]| rounded(gflops)),
            "gbytes_per_second": self.speed.map(|[_, gbytes]| rounded(gbytes)),
        })
    }

    fn words(&self) -> String {
        let speed = self.speed.map_or(String::new(), |[gflops, gbytes]| {
            format!(", {gflops:.1} GFLOP/s, {gbytes:.1} GB/s")
        });
        let software = match self.software {
            true => ", played by the processor",
            false => "",
        };
        let verdict = match &self.verdict {
            Ok(rungs) => format!("admitted for {WORK}: {rungs}"),
            Err(refusal) => format!("not used: {refusal}"),
        };
        format!(
            "gpu         {} ({}, {}{software}){speed}\n  {verdict}\n",
            self.name, self.interface, self.driver
        )
    }
}

fn of_this_family(isa: &Isa) -> bool {
    match isa {
        Isa::Scalar => true,
        Isa::Neon => cfg!(target_arch = "aarch64"),
        Isa::Avx2 | Isa::Avx512 => cfg!(target_arch = "x86_64"),
    }
}

fn look(isa: Isa) -> Found {
    let refusal = admit(isa).err().map(|refusal| refusal.to_string());
    let single = match refusal {
        None => speed(1, isa),
        Some(_) => None,
    };
    Found {
        isa,
        refusal,
        single,
    }
}

/// Billions of operations a second of a square product, the best of several.
fn speed(threads: usize, isa: Isa) -> Option<f64> {
    let pool = Pool::new(threads);
    let context = Context::new(&pool, isa).ok()?;
    let size = Gemm::single(SIDE, SIDE, SIDE);
    let (a, b) = (vec![0.5_f32; SIDE * SIDE], vec![0.25_f32; SIDE * SIDE]);
    let mut c = vec![0.0_f32; SIDE * SIDE];
    let operations = 2.0 * (SIDE * SIDE * SIDE) as f64;
    let mut best = f64::INFINITY;
    let began = Instant::now();
    while began.elapsed() < TIMED || best.is_infinite() {
        let once = Instant::now();
        gemm(
            &context,
            &size,
            Operand::rows(&a, SIDE),
            Operand::rows(&b, SIDE),
            Output::rows(&mut c, SIDE),
        )
        .ok()?;
        best = best.min(once.elapsed().as_secs_f64());
        black_box(&c);
    }
    Some(operations / best / 1e9)
}

/// Billions of bytes a second read and written by copying on all threads, the best of several.
fn bandwidth(threads: usize) -> f64 {
    let from = vec![1_u8; COPIED];
    let mut to = vec![0_u8; COPIED];
    let share = COPIED.div_ceil(threads.max(1));
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let once = Instant::now();
        std::thread::scope(|scope| {
            for (from, to) in from.chunks(share).zip(to.chunks_mut(share)) {
                scope.spawn(move || to.copy_from_slice(from));
            }
        });
        best = best.min(once.elapsed().as_secs_f64());
        black_box(&to);
    }
    2.0 * COPIED as f64 / best / 1e9
}

fn document(found: &[Found], best: Isa, cores: usize, all: Option<f64>, bandwidth: f64) -> Value {
    let isa = |found: &Found| {
        json!({
            "isa": found.isa.name(),
            "admitted": found.refusal.is_none(),
            "rung": rung(found),
            "gflops_one_thread": found.single.map(rounded),
        })
    };
    json!({ "devices": [
        {
            "device": "cpu",
            "isa": best.name(),
            "threads": cores,
            "gflops": all.map(rounded),
            "gbytes_per_second": rounded(bandwidth),
            "isas": found.iter().map(isa).collect::<Vec<_>>(),
        },
        { "device": "interpret", "isa": "scalar", "threads": 1, "rung": "it is the definition" },
    ]})
}

/// What an instruction set was admitted by, or why it was not.
fn rung(found: &Found) -> String {
    match &found.refusal {
        None => "self test against the scalar kernels".to_owned(),
        Some(refusal) => refusal.clone(),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn words(found: &[Found], best: Isa, cores: usize, all: Option<f64>, bandwidth: f64) -> String {
    let threads = if cores == 1 { "thread" } else { "threads" };
    let mut out = format!("cpu         {best}, {cores} {threads}");
    if let Some(all) = all {
        let _ = write!(out, ", {all:.1} GFLOP/s");
    }
    let _ = writeln!(out, ", {bandwidth:.1} GB/s");
    for found in found {
        let speed = found.single.map_or(String::new(), |speed| {
            format!(", {speed:.1} GFLOP/s on one thread")
        });
        let word = if found.refusal.is_none() {
            "admitted"
        } else {
            "not used"
        };
        let _ = writeln!(
            out,
            "  {:<9} {word}: {}{speed}",
            found.isa.name(),
            rung(found)
        );
    }
    out.push_str("interpret   scalar, 1 thread: the definition that every device is held to\n");
    out
}
