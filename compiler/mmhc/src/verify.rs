//! `mmhc verify`: is a run folder whole, and does the run come out again?

use crate::args::VerifyArgs;
use crate::audit::{self, Bench};
use crate::findings::{Finding, Report};
use crate::outcome::{Exit, Failure, Outcome};
use crate::progress::Progress;
use crate::search::verify::{Followed, Repeated};
use crate::sign::{self, Signature};
use crate::{search, system};
use mmh_diag::Code;
use mmh_numerics::random::Seed;
use mmh_runtime::audit::{
    Again, Examined, ExaminedStudy, Reached, STUDY_JOURNAL, Spot, examine_study,
};
use serde_json::{Value, json};
use std::fmt::Write;

/// What doing steps again came to.
enum Done {
    Nothing,
    Everything(Reached),
    Spots(Spot, u128),
}

/// A run that was read, and the search it came from.
struct Whole {
    run: Examined,
    study: Option<(ExaminedStudy, Followed)>,
    repeated: Option<Repeated>,
}

pub(crate) fn verify(args: &VerifyArgs) -> Outcome {
    let mut found = Whole::open(args)?;
    if !found.run.changes.is_empty() {
        let report = audit::changes(&found.run);
        if args.json {
            let verdict = document(&found, "changed", &Done::Nothing, &report);
            system::say(&format!("{verdict:#}\n"));
        }
        audit::show(report);
        return Err(Failure::Said(Exit::Fault));
    }
    let signed = sign::check(args.key.as_deref(), args.policy, &found.run, args.json)?;
    if let Signature::Wrong(report) = signed {
        if args.json {
            let verdict = document(&found, "not-authentic", &Done::Nothing, &report);
            system::say(&format!("{verdict:#}\n"));
        }
        audit::show(report);
        return Err(Failure::Said(Exit::Fault));
    }
    let done = again(args, &mut found)?;
    let report = differences(&done, &found);
    let verdict = match (&signed, report.findings.is_empty()) {
        (_, false) => "not-reproduced",
        (Signature::Right { .. }, true) => "authentic",
        (_, true) => "consistent",
    };
    if args.json {
        let document = document(&found, verdict, &done, &report);
        system::say(&format!("{document:#}\n"));
    } else if report.findings.is_empty() {
        system::say(&words(&found, verdict, &done));
        system::say(&signed.words());
    }
    for note in &found.run.notes {
        system::tell(&format!(
            "note: {}\n",
            note.escape_debug().to_string().replace("\\'", "'")
        ));
    }
    if report.findings.is_empty() {
        return Ok(());
    }
    audit::show(report);
    Err(Failure::Said(Exit::Fault))
}

impl Whole {
    /// Reads the run, and the search it came from; what was changed there is told with what was changed in the run.
    fn open(args: &VerifyArgs) -> Result<Self, Failure> {
        // The best trial's run is put into the folder when the search ends.
        let is_under_way = args.folder.join(STUDY_JOURNAL).is_file();
        let mut run = match is_under_way && !args.folder.join("journal").is_file() {
            true => Examined::nothing(&args.folder),
            false => audit::open(&args.folder, args.json)?,
        };
        let study = examine_study(&run).map_err(|failure| audit::failed(&failure, args.json))?;
        let study = study.map(|mut study| {
            let followed = search::verify::follow(&mut study, &run);
            run.changes.append(&mut study.changes);
            run.notes.append(&mut study.notes);
            (study, followed)
        });
        Ok(Self {
            run,
            study,
            repeated: None,
        })
    }
}

/// Does steps again, as asked.
fn again(args: &VerifyArgs, whole: &mut Whole) -> Result<Done, Failure> {
    if !args.replay && args.spot.is_none() {
        return Ok(Done::Nothing);
    }
    let number = match args.spot {
        None => None,
        Some(_) => Some(args.seed.map_or_else(drawn, |seed| Ok(u128::from(seed)))?),
    };
    if let Some((study, _)) = &whole.study {
        whole.repeated = Some(search::verify::repeat(args, study, number)?);
    }
    // The checkpoints of a search's best run are in the folder of its trial.
    let best = whole.study.as_ref().and_then(|(study, _)| {
        let plan = whole.run.start()?.plan_hash;
        study.trials.get(plan)
    });
    let found = best.unwrap_or(&whole.run);
    if whole.study.is_some() && found.end().is_none() {
        return Ok(Done::Nothing);
    }
    let bench = Bench::new(found, &args.data, &args.device, args.json)?;
    let session = bench.session(args.json)?;
    let again = Again {
        found,
        session: &session,
    };
    let mut progress = Progress::new();
    let done = match (args.spot, number) {
        (Some(share), Some(number)) => {
            let seed = Seed::from_integer(number);
            let spot = again.spots(share, &seed, &mut progress);
            spot.map(|spot| Done::Spots(spot, number))
        }
        _ => again.everything(&mut progress).map(Done::Everything),
    };
    progress.clear();
    done.map_err(|failure| audit::failed(&failure, args.json))
}

/// A seed that who made the run could not know.
fn drawn() -> Result<u128, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::Usage(format!(
            "the system gives no random numbers ({error}); give some with `--seed`"
        ))
    })?;
    Ok(u128::from(u64::from_le_bytes(bytes)))
}

fn differences(done: &Done, found: &Whole) -> Report {
    let differ: &[String] = match done {
        Done::Nothing => &[],
        Done::Everything(reached) => &reached.differ,
        Done::Spots(spot, _) => &spot.reached.differ,
    };
    let trials = found.repeated.as_ref().map(|it| it.differ.as_slice());
    let trials = trials.unwrap_or_default();
    let finding = |what: &String| {
        Finding::error(
            Code::AuditNotReproduced,
            format!("`{}`: {what}", found.run.folder.display()),
            "the folder does not hold what this recipe and this data give",
        )
    };
    Report {
        findings: trials.iter().chain(differ).map(finding).collect(),
        ..Report::default()
    }
}

fn document(whole: &Whole, verdict: &str, done: &Done, report: &Report) -> Value {
    let found = &whole.run;
    let change =
        |change: &mmh_runtime::audit::Change| json!({ "file": change.file, "what": change.what });
    let again = match done {
        Done::Nothing => Value::Null,
        Done::Everything(reached) => json!({
            "kind": "replay", "steps": reached.steps, "of": reached.of, "differ": reached.differ,
        }),
        Done::Spots(spot, seed) => json!({
            "kind": "spot",
            "seed": seed.to_string(),
            "steps": spot.reached.steps,
            "of": spot.reached.of,
            "segments": spot.segments,
            "segments_of": spot.of,
            "segments_always": spot.always,
            "detects_one_false_segment": spot.detection(1),
            "differ": spot.reached.differ,
        }),
    };
    json!({
        "folder": found.folder.display().to_string(),
        "verdict": verdict,
        "finished": found.end().is_some(),
        "changes": found.changes.iter().map(change).collect::<Vec<_>>(),
        "notes": found.notes,
        "files": found.files,
        "lines": found.lines.len(),
        "states": found.marks,
        "head": found.head(),
        "model_hash": found.model_hash(),
        "again": again,
        "study": whole.study.as_ref().map(|(_, followed)| followed.document()),
        "trials_again": whole.repeated.as_ref().map(Repeated::document),
        "diagnostics": audit::as_json(report),
    })
}

fn words(whole: &Whole, verdict: &str, done: &Done) -> String {
    let found = &whole.run;
    let mut out = format!("{}: {verdict}\n", found.folder.display());
    let _ = writeln!(
        out,
        "  {} files, {} lines of the journal, {} states of the training agree",
        found.files,
        found.lines.len(),
        found.marks
    );
    if let Some(model) = found.model_hash() {
        let _ = writeln!(out, "  model {model}");
    }
    if let Some((_, followed)) = &whole.study {
        out += &followed.words();
    }
    if let Some(repeated) = &whole.repeated {
        out += &repeated.words();
    }
    match done {
        Done::Nothing => {}
        Done::Everything(reached) => {
            let _ = writeln!(
                out,
                "  all {} steps were done again: every state, every metric and the model came out the same",
                reached.steps
            );
        }
        Done::Spots(spot, seed) => {
            let _ = writeln!(
                out,
                "  {} of {} segments between checkpoints were done again, {} of {} steps: all came out the same",
                spot.segments, spot.of, spot.reached.steps, spot.reached.of
            );
            let _ = writeln!(out, "  {}", chances(spot));
            let _ = writeln!(out, "  chosen by --seed {seed}");
        }
    }
    out
}

/// How likely a false segment was to be found.
fn chances(spot: &Spot) -> String {
    let middle = spot.of - spot.always;
    let percent = |chance: f64| format!("{:.1} %", chance * 100.0);
    match middle {
        0 => "every segment was done: one that was made up would have been found".to_owned(),
        _ => {
            let tenth = middle.div_ceil(10);
            let mut text = format!(
                "had one segment been made up, it would have been found with {}; the first and the last are always done",
                percent(spot.detection(1))
            );
            if tenth > 1 {
                let _ = write!(
                    text,
                    "; {tenth} of them, with {}",
                    percent(spot.detection(tenth))
                );
            }
            text
        }
    }
}
