//! `mmhc conform`: whether every device here has the contract's bits, case by case; and the file of vectors, for anyone's.

use crate::args::ConformArgs;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::system;
use mmh_conform::{Case, Vector, exhaustive, file};
use mmh_cpu::Cpu;
use mmh_cpu::isa::{Isa, admit};
use mmh_diag::Code;
use mmh_interpret::Interpreter;
use mmh_ir::device::Device;
use mmh_runtime::session::EDITION;
use serde_json::{Value, json};
use std::path::Path;

/// The largest file of vectors that is read, in bytes.
const MOST_BYTES: usize = 256 << 20;
/// Differences of one device that are told one by one.
const TOLD: usize = 5;

/// A device under test.
struct Tested {
    name: String,
    device: Box<dyn Device>,
}

/// What came of a device.
struct Verdict {
    name: String,
    cases: u64,
    differences: Vec<String>,
}

pub(crate) fn conform(args: &ConformArgs) -> Outcome {
    if let Some(path) = &args.write {
        return write(path, args.json);
    }
    let devices = devices(args)?;
    let verdicts = match (&args.check, args.exhaustive) {
        (_, true) => sweep(args, &devices)?,
        (Some(path), false) => compare(&read(path, args.json)?, &devices),
        (None, false) => compare(&made(args.json)?, &devices),
    };
    say(&verdicts, args)
}

/// Processors by instruction set, graphics processors; the interpreter where the right answers come from elsewhere.
fn devices(args: &ConformArgs) -> Result<Vec<Tested>, Failure> {
    let tested = |name: String, device: Box<dyn Device>| Tested { name, device };
    let mut all = Vec::new();
    if args.check.is_some() {
        all.push(tested("interpret".to_owned(), Box::new(Interpreter)));
    }
    // A sweep has threads of its own.
    let threads = if args.exhaustive { 1 } else { 2 };
    for isa in Isa::ALL.into_iter().filter(|isa| admit(*isa).is_ok()) {
        all.push(tested(
            format!("cpu {isa}"),
            Box::new(Cpu::new(threads, Some(isa))),
        ));
    }
    #[cfg(feature = "gpu")]
    for looked in crate::gpu::all(false) {
        // One that was refused is said by `mmhc devices`, and does no work.
        if let Ok(gpu) = looked.verdict {
            all.push(tested(
                format!("gpu {}", looked.adapter.name()),
                Box::new(gpu),
            ));
        }
    }
    if let Some(word) = &args.device {
        all.retain(|it| it.name.contains(word.as_str()));
        if all.is_empty() {
            let message = format!(
                "no device here that may work has `{word}` in its name; `mmhc devices` lists them"
            );
            return Err(Failure::Usage(message));
        }
    }
    Ok(all)
}

/// The suite with the interpreter's answers.
fn made(json: bool) -> Result<Vec<Vector>, Failure> {
    let vector = |case: &Case| Vector::of(case, &Interpreter);
    let all: Result<Vec<Vector>, String> = mmh_conform::cases().iter().map(vector).collect();
    all.map_err(|reason| broken(&reason, json))
}

fn broken(reason: &str, json: bool) -> Failure {
    let message = format!("the suite could not be run: {reason}");
    let help = "this is a mistake of mmhc: please report it with the message";
    Failure::of(
        Finding::error(Code::RunDevice, message, help),
        json,
        Exit::Device,
    )
}

fn write(path: &Path, json: bool) -> Outcome {
    let vectors = made(json)?;
    let text = file::write(&vectors, EDITION);
    system::replace(path, &text)
        .map_err(|error| Failure::of(Finding::file(path, &error), json, Exit::Fault))?;
    system::tell(&format!(
        "{} vectors in {}\n",
        vectors.len(),
        path.display()
    ));
    system::say(&match json {
        true => format!(
            "{}\n",
            json!({ "vectors": vectors.len(), "file": path.display().to_string() })
        ),
        false => format!("{}\n", path.display()),
    });
    Ok(())
}

fn read(path: &Path, json: bool) -> Result<Vec<Vector>, Failure> {
    let unreadable = |error| Failure::of(Finding::file(path, &error), json, Exit::Fault);
    let bytes = system::head(path, MOST_BYTES).map_err(unreadable)?;
    let read = String::from_utf8(bytes).map_err(|_| "it is no text".to_owned());
    read.and_then(|text| file::read(&text, EDITION))
        .map_err(|reason| {
            let message = format!("`{}` is no file of vectors: {reason}", path.display());
            let help = "`mmhc conform --write FILE` makes one";
            Failure::of(
                Finding::error(Code::RunDamaged, message, help),
                json,
                Exit::Fault,
            )
        })
}

fn compare(vectors: &[Vector], devices: &[Tested]) -> Vec<Verdict> {
    let verdict = |tested: &Tested| {
        let difference = |vector: &Vector| match vector.check(&*tested.device) {
            Ok(None) => None,
            Ok(Some(mismatch)) => Some(format!("{}: {mismatch}", vector.case)),
            Err(reason) => Some(format!("{}: {reason}", vector.case)),
        };
        Verdict {
            name: tested.name.clone(),
            cases: vectors.len() as u64,
            differences: vectors.iter().filter_map(difference).collect(),
        }
    };
    devices.iter().map(verdict).collect()
}

/// Functions of one f32 on every f32, or on every so many.
fn sweep(args: &ConformArgs, devices: &[Tested]) -> Result<Vec<Verdict>, Failure> {
    let wanted = match &args.function {
        None => exhaustive::names(),
        Some(name) if exhaustive::function(name).is_some() => vec![name.clone()],
        Some(name) => {
            let message = format!("`{name}` is none of {}", exhaustive::names().join(", "));
            return Err(Failure::Usage(message));
        }
    };
    let mut verdicts: Vec<Verdict> = devices
        .iter()
        .map(|tested| Verdict {
            name: tested.name.clone(),
            cases: 0,
            differences: Vec::new(),
        })
        .collect();
    let own: Vec<&dyn Device> = devices.iter().map(|tested| &*tested.device).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for name in wanted {
        let Some(op) = exhaustive::function(&name) else {
            continue;
        };
        let swept = exhaustive::sweep(op, &Interpreter, &own, args.every, threads);
        let swept = swept.map_err(|reason| broken(&reason, args.json))?;
        system::tell(&format!(
            "{name}: {} inputs\n",
            swept.first().map_or(0, |(inputs, _)| *inputs)
        ));
        for (verdict, (inputs, mismatch)) in verdicts.iter_mut().zip(swept) {
            verdict.cases += inputs;
            verdict
                .differences
                .extend(mismatch.map(|mismatch| format!("{name}: {mismatch}")));
        }
    }
    Ok(verdicts)
}

fn say(verdicts: &[Verdict], args: &ConformArgs) -> Outcome {
    let unit = if args.exhaustive { "inputs" } else { "cases" };
    let failed: Vec<&str> = verdicts
        .iter()
        .filter(|it| !it.differences.is_empty())
        .map(|it| it.name.as_str())
        .collect();
    if args.json {
        let one = |it: &Verdict| -> Value {
            json!({ "device": it.name, unit: it.cases, "same": it.differences.is_empty(), "differences": it.differences })
        };
        let all: Vec<Value> = verdicts.iter().map(one).collect();
        system::say(&format!(
            "{:#}\n",
            json!({ "same": failed.is_empty(), "devices": all })
        ));
    } else {
        system::say(
            &verdicts
                .iter()
                .map(|it| words(it, unit))
                .collect::<String>(),
        );
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} computes other bits than the contract",
        failed.join(", ")
    );
    let help =
        "work with another device (`--device`, `--isa`), and report this with the lines above";
    system::tell(&crate::render::human(&[crate::findings::Report {
        findings: vec![Finding::error(Code::RunDevice, message, help)],
        ..Default::default()
    }]));
    Err(Failure::Said(Exit::Device))
}

fn words(verdict: &Verdict, unit: &str) -> String {
    let Verdict {
        name,
        cases,
        differences,
    } = verdict;
    if differences.is_empty() {
        return format!("same    {name}: {cases} {unit}\n");
    }
    let mut out = format!("OTHER   {name}: {} of {cases} {unit}\n", differences.len());
    for difference in differences.iter().take(TOLD) {
        out.push_str(&format!("  {difference}\n"));
    }
    out
}
