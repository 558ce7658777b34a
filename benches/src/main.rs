//! Four workloads, trained by the runtime that `mmhc run` uses, run folder and journal included, and timed step by step.
//!
//! ```sh
//! cargo build --release -p mmhc -p mmh-bench
//! target/release/mmh-bench --workload a --threads 2            # blocks of steps, one JSON line
//! target/release/mmh-bench --workload a --threads 2 --serve    # one block for every line on stdin
//! target/release/mmh-bench --workload a --count 3              # three steps, nothing measured: for callgrind
//! target/release/mmh-bench --workload a --trail 4000        # and what journal and checkpoints took of it
//! target/release/mmh-bench --workload c --set fit.precision=bf16
//! target/release/mmh-bench --recipe my.mmh --streamed rows     # a recipe of yours, its data from the disk
//! ```
//!
//! The recipes stand in `benches/recipes`; `mmhc show plan` compiles them, on data made from a seed. Read [`observe`] for
//! what is timed.

mod arguments;
mod data;
mod observe;
mod workload;

use arguments::{Arguments, Way, What};
use mmh_cpu::Cpu;
use mmh_ir::Plan;
use mmh_ir::device::Device;
use mmh_runtime::{Limit, Options, RunFailure, Session};
use observe::{Timer, peak_mib};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use workload::plan_of;

fn main() -> ExitCode {
    let began = Instant::now();
    match Arguments::read(std::env::args().skip(1)).and_then(|asked| bench(&asked, began)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn bench(asked: &Arguments, began: Instant) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let length = match asked.way {
        Way::Trail(steps) => Some(steps),
        Way::Blocks(_) | Way::Count(_) | Way::Serve => None,
    };
    let (place, name, plan) = match &asked.what {
        What::Workload(workload) => {
            let place = asked.data.as_deref().unwrap_or(folder.path());
            workload.prepare(place, length)?;
            (
                place,
                workload.name().to_owned(),
                workload.plan(place, &asked.set)?,
            )
        }
        What::Recipe(recipe) => {
            let place = recipe.parent().unwrap_or(std::path::Path::new(""));
            let name = recipe.file_stem().unwrap_or_default();
            let plan = plan_of(recipe, &asked.set, asked.streamed.as_deref())?;
            (place, name.to_string_lossy().into_owned(), plan)
        }
    };
    let plan = Plan::from_text(&plan).map_err(|error| error.to_string())?;
    if let Some(folder) = &asked.streamed {
        stream(folder.clone());
    }
    let device = Cpu::new(asked.threads, asked.isa);
    let cancel = Arc::new(AtomicBool::new(false));
    let options = Options {
        out: Some(folder.path().join("run")),
        limit: match asked.way {
            Way::Count(steps) => Some(Limit::Steps(steps)),
            Way::Blocks(_) | Way::Serve | Way::Trail(_) => None,
        },
        checkpoint_seconds: length.and(Options::default().checkpoint_seconds),
        cancel: Arc::clone(&cancel),
        ..Options::default()
    };
    let about = json!({
        "framework": "mmh",
        "version": env!("CARGO_PKG_VERSION"),
        "isa": device.isa(),
        "workload": name,
        "batch": plan.trainings.first().map(|training| training.batch),
        "threads": device.threads(),
        "set": asked.set,
    });
    let mut timer = Timer::new(asked.way, asked.block, about, cancel, began);
    let ended = Session::new(&plan, place, &device, options).and_then(|session| {
        timer.start();
        session.run(&mut timer).map(|_| ())
    });
    match ended {
        Ok(()) | Err(RunFailure::Interrupted { .. }) => {
            timer.finish(peak_mib());
            Ok(())
        }
        Err(failure) => Err(failure.to_string()),
    }
}

/// Has all data streamed, with packed rows in this folder.
fn stream(folder: std::path::PathBuf) {
    mmh_data::Streaming {
        folder: Box::leak(folder.into_boxed_path()),
        memory: 0,
        cache: u64::MAX,
        told: |_| {},
    }
    .use_in_process();
}
