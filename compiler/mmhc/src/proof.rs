//! `mmhc proof`: what a run came through, in a file small enough to be sent; and whether two such files agree.

use crate::args::ProofArgs;
use crate::findings::{Finding, Lines};
use crate::front::{self, Checked};
use crate::outcome::{Exit, Failure, Outcome};
use crate::progress::Progress;
use crate::{device, run, system};
use mmh_check::Recipe;
use mmh_diag::Code;
use mmh_runtime::audit::compare::first_of_all;
use mmh_runtime::proof::{Prover, States};
use mmh_runtime::{Options, RunFailure, Session};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};

/// First word of every proof.
const FORMAT: &str = "mmh proof 1";
/// The largest proof that is read, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// A proof as it is written.
#[derive(Serialize, Deserialize)]
struct Proof {
    format: String,
    recipe_hash: String,
    plan_hash: String,
    data_hash: String,
    seed: String,
    /// None where no training was run to its end.
    model_hash: Option<String>,
    device: String,
    isa: String,
    threads: usize,
    trainings: Vec<States>,
    values: Option<Values>,
}

/// Every value of one step.
#[derive(Serialize, Deserialize)]
struct Values {
    training: String,
    step: u64,
    values: Vec<Value>,
}

/// One value.
#[derive(Serialize, Deserialize)]
struct Value {
    op: String,
    place: Option<String>,
    hash: String,
}

pub(crate) fn proof(args: &ProofArgs) -> Outcome {
    match args.paths.as_slice() {
        [first, second] if args.compare => compare(first, second, args.json),
        [recipe] if !args.compare => prove(recipe, args),
        _ if args.compare => Err(Failure::Usage("`--compare` takes two proofs".into())),
        _ => Err(Failure::Usage(
            "`mmhc proof` takes one recipe; two proofs are compared with `--compare`".into(),
        )),
    }
}

fn prove(recipe_path: &Path, args: &ProofArgs) -> Outcome {
    let json = args.json;
    let out = args.out.clone().unwrap_or_else(|| {
        let name = recipe_path.file_stem().unwrap_or_default();
        PathBuf::from(name).with_extension("proof")
    });
    let checked = front::check(front::open(recipe_path, json)?, &args.changes.set);
    let recipe = checked.recipe(json)?;
    run::runnable(&checked, recipe, true, json)?;
    let plan = checked.plan(json)?;
    let device = device::choose(&args.device, None, json)?;
    let options = Options {
        limit: args.changes.limit,
        ..Options::default()
    };
    let proved = Session::new(&plan, &checked.world.folder, &*device, options).and_then(
        |session| match args.values {
            Some(step) => {
                let place = |origin| place(&checked, recipe, origin);
                values(&session, step, args.training.as_deref(), place)
            }
            None => states(&session, args),
        },
    );
    let proof = proved.map_err(|failure| run::failed(&failure, &checked, recipe, json))?;
    write(&proof, &out, json)
}

/// A proof that holds nothing yet but what it is of and where it was made.
fn empty(session: &Session<'_>) -> Proof {
    let (plan, device) = (session.plan(), session.device());
    Proof {
        format: FORMAT.to_owned(),
        recipe_hash: plan.recipe_hash.clone(),
        plan_hash: plan.hash(),
        data_hash: session.data_hash(),
        seed: plan.seed.clone(),
        model_hash: None,
        device: device.name().to_owned(),
        isa: device.isa().to_owned(),
        threads: device.threads(),
        trainings: Vec::new(),
        values: None,
    }
}

/// Trains, and notes the states on the way and the model.
fn states(session: &Session<'_>, args: &ProofArgs) -> Result<Proof, RunFailure> {
    let mut progress = Progress::new();
    let mut prover = Prover::new(args.steps.clone(), &mut progress);
    let ended = session.run(&mut prover);
    let trainings = prover.states();
    progress.clear();
    Ok(Proof {
        trainings,
        model_hash: Some(ended?.model_hash),
        ..empty(session)
    })
}

/// Trains up to a step, and notes every value of it.
fn values(
    session: &Session<'_>,
    step: u64,
    training: Option<&str>,
    place: impl Fn(mmh_ir::Origin) -> Option<String>,
) -> Result<Proof, RunFailure> {
    let (training, values) = session.values(training, step)?;
    let values = values.into_iter().map(|value| Value {
        op: value.text,
        place: place(value.origin),
        hash: value.hash,
    });
    Ok(Proof {
        values: Some(Values {
            training,
            step,
            values: values.collect(),
        }),
        ..empty(session)
    })
}

fn write(proof: &Proof, out: &Path, json: bool) -> Outcome {
    let text = serde_json::to_string_pretty(proof).unwrap_or_default();
    system::replace(out, &format!("{text}\n"))
        .map_err(|error| Failure::of(Finding::file(out, &error), json, Exit::Fault))?;
    let states: usize = proof.trainings.iter().map(|it| it.steps.len()).sum();
    let values = proof.values.as_ref().map_or(0, |it| it.values.len());
    system::tell(&match values {
        0 => format!("{states} states in {}\n", out.display()),
        _ => format!("{values} values in {}\n", out.display()),
    });
    match json {
        true => system::say(&format!("{text}\n")),
        false => system::say(&format!("{}\n", out.display())),
    }
    Ok(())
}

/// File, line and column of the recipe that an operation came from.
fn place(checked: &Checked, recipe: &Recipe, origin: mmh_ir::Origin) -> Option<String> {
    let (source, span) = recipe.origin_span(origin)?;
    let file = checked.report.source(source)?;
    let (line, column) = Lines::new(&file.text).place(span.start);
    // Where the recipe lies is no matter of the proof.
    let name = Path::new(&file.name)
        .file_name()?
        .to_string_lossy()
        .into_owned();
    Some(format!("{name}:{line}:{column}"))
}

fn read(path: &Path, json: bool) -> Result<Proof, Failure> {
    let unreadable = |error| Failure::of(Finding::file(path, &error), json, Exit::Fault);
    let bytes = system::head(path, MOST_BYTES as usize).map_err(unreadable)?;
    let damaged = |reason: String| {
        let message = format!("`{}` is no proof: {reason}", path.display());
        let help = "make it again with `mmhc proof RECIPE`";
        Failure::of(
            Finding::error(Code::RunDamaged, message, help),
            json,
            Exit::Fault,
        )
    };
    let proof: Proof =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    match proof.format == FORMAT {
        true => Ok(proof),
        false => Err(damaged(format!("its format is not `{FORMAT}`"))),
    }
}

/// Where two proofs part.
struct Parting {
    message: String,
    help: String,
    about: serde_json::Value,
}

fn compare(first: &Path, second: &Path, json: bool) -> Outcome {
    let (a, b) = (read(first, json)?, read(second, json)?);
    let parted = other_runs(&a, &b)
        .or_else(|| values_apart(&a, &b))
        .or_else(|| states_apart(&a, &b))
        .or_else(|| models_apart(&a, &b));
    let Some(parting) = parted else {
        return match compared(&a, &b) {
            0 => Err(differ(
                "they have nothing in common to compare",
                "make both with the same `--steps` or `--values`",
                json,
            )),
            count => {
                system::tell(&format!(
                    "{count} hashes are the same, of {} and {}\n",
                    made_on(&a),
                    made_on(&b)
                ));
                system::say(&match json {
                    true => format!("{}\n", json!({ "same": true, "hashes": count })),
                    false => "same\n".to_owned(),
                });
                Ok(())
            }
        };
    };
    if json {
        let mut about = parting.about;
        if let Some(fields) = about.as_object_mut() {
            fields.insert("same".into(), false.into());
            fields.insert("message".into(), parting.message.into());
            fields.insert("help".into(), parting.help.into());
        }
        system::say(&format!("{about}\n"));
        return Err(Failure::Said(Exit::Fault));
    }
    Err(differ(&parting.message, &parting.help, json))
}

fn differ(message: &str, help: &str, json: bool) -> Failure {
    Failure::of(
        Finding::error(Code::RunProofsDiffer, message, help),
        json,
        Exit::Fault,
    )
}

fn made_on(proof: &Proof) -> String {
    let word = if proof.threads == 1 {
        "thread"
    } else {
        "threads"
    };
    format!("{} ({}, {} {word})", proof.device, proof.isa, proof.threads)
}

/// Proofs of different plans, which have nothing to prove about each other.
fn other_runs(a: &Proof, b: &Proof) -> Option<Parting> {
    if a.plan_hash == b.plan_hash && a.data_hash == b.data_hash {
        return None;
    }
    let differ: Vec<&str> = [
        ("the recipe", a.recipe_hash != b.recipe_hash),
        ("the data", a.data_hash != b.data_hash),
        ("the seed", a.seed != b.seed),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect();
    let what = match differ.is_empty() {
        true => "the plan".to_owned(),
        false => differ.join(" and "),
    };
    let ending = if differ.len() > 1 { "" } else { "s" };
    Some(Parting {
        message: format!("these are proofs of two different runs: {what} differ{ending}"),
        help:
            "make both of one recipe, with the same `--set`, the same data and one version of mmhc"
                .into(),
        about: json!({ "differs": what }),
    })
}

fn values_apart(a: &Proof, b: &Proof) -> Option<Parting> {
    let (a, b) = (a.values.as_ref()?, b.values.as_ref()?);
    if (&a.training, a.step) != (&b.training, b.step) {
        return None;
    }
    let mut pairs = a.values.iter().zip(&b.values);
    let (value, _) = pairs.find(|(a, b)| a.hash != b.hash)?;
    let place = value
        .place
        .as_ref()
        .map_or(String::new(), |place| format!(", from {place}"));
    Some(Parting {
        message: format!("they part in step {} of `{}`, first in `{}`{place}", a.step, a.training, value.op),
        help: "one of the devices computes this operation wrongly: `mmhc devices` tests them; `--device interpret` is the reference".into(),
        about: json!({ "training": a.training, "step": a.step, "op": value.op, "place": value.place }),
    })
}

fn states_apart(a: &Proof, b: &Proof) -> Option<Parting> {
    a.trainings.iter().find_map(|a| {
        let b = b.trainings.iter().find(|b| b.training == a.training)?;
        let parting = first_of_all(&a.steps, &b.steps);
        Some(apart(&a.training, parting.same, parting.apart?))
    })
}

/// States that are the same after `same` steps and others after `step`.
fn apart(training: &str, same: Option<u64>, step: u64) -> Parting {
    let about = json!({ "training": training, "step": step, "same": same });
    let (message, help) = match (same, step) {
        (_, 0) => (
            format!("they part in the first values of `{training}`, ahead of any step"),
            "the random numbers differ: `mmhc devices` tests the device".to_owned(),
        ),
        (same, step) if same == Some(step - 1) => (
            format!("they part in step {step} of `{training}`"),
            format!(
                "make both again with `--values {step}` and compare those: that names the operation"
            ),
        ),
        (same, step) => {
            let first = same.unwrap_or(0);
            (
                format!(
                    "they part in one of the steps {} to {step} of `{training}`",
                    first + 1
                ),
                format!(
                    "make both again with `--steps {first}..{step}` and compare those: that names the step"
                ),
            )
        }
    };
    Parting {
        message,
        help,
        about,
    }
}

fn models_apart(a: &Proof, b: &Proof) -> Option<Parting> {
    let (one, other) = (a.model_hash.as_ref()?, b.model_hash.as_ref()?);
    (one != other).then(|| Parting {
        message: "the models differ, and no state that both proofs hold does".into(),
        help: "make both with the same `--limit` and without `--steps`".into(),
        about: json!({ "model_hash": [one, other] }),
    })
}

/// How many hashes both have.
fn compared(a: &Proof, b: &Proof) -> usize {
    let states = a.trainings.iter().filter_map(|a| {
        let b = b.trainings.iter().find(|b| b.training == a.training)?;
        Some(
            a.steps
                .keys()
                .filter(|step| b.steps.contains_key(step))
                .count(),
        )
    });
    let values = match (&a.values, &b.values) {
        (Some(a), Some(b)) if (&a.training, a.step) == (&b.training, b.step) => a.values.len(),
        _ => 0,
    };
    let model = usize::from(a.model_hash.is_some() && b.model_hash.is_some());
    states.sum::<usize>() + values + model
}
