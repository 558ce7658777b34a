//! `mmhc push` and `mmhc pull`.

use super::args::{PullArgs, PushArgs};
use super::{amount, facts, failed, open, run_json, view};
use crate::audit::{self, Bench};
use crate::findings::{Finding, Report};
use crate::outcome::{Exit, Failure, Outcome};
use crate::progress::Progress;
use crate::sign::{self, Signature};
use crate::system;
use mmh_diag::Code;
use mmh_runtime::audit::{Again, examine};
use mmh_store::{FolderRemote, Kept, Remote, S3, S3Access, Store, StoreFailure, remote_runs};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The place that is meant: s3://BUCKET/PREFIX, or the store in a folder.
pub(crate) fn remote(address: &str, store: &Store, json: bool) -> Result<Box<dyn Remote>, Failure> {
    let fail = |failure: StoreFailure| failed(&failure, json);
    if let Some((scheme, _)) = address.split_once("://") {
        if scheme != "s3" {
            return Err(fail(StoreFailure::Remote {
                remote: address.to_owned(),
                reason: "a remote is s3://BUCKET/PREFIX or a folder".to_owned(),
            }));
        }
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let access = S3Access {
            key: of("AWS_ACCESS_KEY_ID").unwrap_or_default(),
            secret: of("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
            token: of("AWS_SESSION_TOKEN"),
            region: of("AWS_REGION").or_else(|| of("AWS_DEFAULT_REGION")),
            endpoint: of("AWS_ENDPOINT_URL_S3").or_else(|| of("AWS_ENDPOINT_URL")),
        };
        return Ok(Box::new(S3::open(address, &access, store).map_err(fail)?));
    }
    Ok(Box::new(FolderRemote(
        Store::open(Path::new(address)).map_err(fail)?,
    )))
}

pub(crate) fn push(args: &PushArgs) -> Outcome {
    let (store, json) = (open(&args.which)?, args.which.json);
    let fail = |failure: StoreFailure| failed(&failure, json);
    let remote = remote(&args.remote, &store, json)?;
    let mut runs: Vec<Kept> = Vec::new();
    for name in &args.runs {
        runs.push(store.find(name).map_err(fail)?);
    }
    if args.runs.is_empty() {
        for (tag, _) in store.tags().map_err(fail)? {
            let run = store.find(&tag).map_err(fail)?;
            if runs.iter().all(|other| other.head != run.head) {
                runs.push(run);
            }
        }
    }
    if runs.is_empty() {
        return Err(Failure::Usage(
            "no run has a tag: say which to push".to_owned(),
        ));
    }
    let pushed = mmh_store::push(&store, &*remote, &runs, args.moves).map_err(fail)?;
    system::tell(&format!(
        "{} runs, {} objects, {} of them there already, {} sent\n",
        runs.len(),
        pushed.objects,
        pushed.there,
        amount(pushed.bytes)
    ));
    let heads: Vec<&String> = runs.iter().map(|run| &run.head).collect();
    if json {
        let done = json!({
            "remote": remote.name(), "runs": heads, "tags": pushed.tags, "objects": pushed.objects,
            "there": pushed.there, "bytes": pushed.bytes,
        });
        system::say(&format!("{done:#}\n"));
    } else {
        for head in heads {
            system::say(&format!("{head}\n"));
        }
    }
    Ok(())
}

pub(crate) fn pull(args: &PullArgs) -> Outcome {
    let json = args.which.json;
    if !args.remote.contains("://") && !Store::is_at(Path::new(&args.remote)) {
        return Err(failed(
            &StoreFailure::Remote {
                remote: args.remote.clone(),
                reason: "there is no store".to_owned(),
            },
            json,
        ));
    }
    let store = open(&args.which)?;
    let remote = remote(&args.remote, &store, json)?;
    let Some(name) = &args.run else {
        return there(&*remote, json);
    };
    if args.key.is_none() && !args.replay {
        return Err(untrusted(
            format!("`{}` is not taken unchecked from `{}`", name, remote.name()),
            json,
        ));
    }
    let pulled = mmh_store::pull(&store, &*remote, name, |run: &Kept| {
        trusts(&store, run, args).map_err(Refused::ByUs)
    });
    let pulled = pulled.map_err(|refused| match refused {
        Refused::ByStore(failure) => failed(&failure, json),
        Refused::ByUs(failure) => failure,
    })?;
    system::tell(&format!(
        "{} received, {} objects were here\n",
        amount(pulled.bytes),
        pulled.here
    ));
    if pulled.without > 0 {
        system::tell(&format!(
            "note: {} of its data files did not come with it\n",
            pulled.without
        ));
    }
    system::say(&match json {
        true => format!("{:#}\n", run_json(&pulled.run)),
        false => format!("{}\n", pulled.run.head),
    });
    Ok(())
}

/// Why a pull came to nothing.
enum Refused {
    ByStore(StoreFailure),
    ByUs(Failure),
}

impl From<StoreFailure> for Refused {
    fn from(failure: StoreFailure) -> Self {
        Self::ByStore(failure)
    }
}

/// Lists the runs of a remote. What it says of them is what it says, no more.
fn there(remote: &dyn Remote, json: bool) -> Outcome {
    let runs = remote_runs(remote).map_err(|failure| failed(&failure, json))?;
    if json {
        let runs = runs
            .iter()
            .map(|(head, tags)| json!({ "head": head, "tags": tags }));
        let runs: Vec<Value> = runs.collect();
        system::say(&format!(
            "{:#}\n",
            json!({ "remote": remote.name(), "runs": runs })
        ));
        return Ok(());
    }
    for (head, tags) in runs {
        let tags = if tags.is_empty() {
            String::new()
        } else {
            format!("  ({})", tags.join(", "))
        };
        system::say(&format!("{head}{tags}\n"));
    }
    Ok(())
}

fn untrusted(message: String, json: bool) -> Failure {
    let help = "name the key that must have signed it with `--key`, or do all its steps again with `--replay`";
    Failure::of(
        Finding::error(Code::StoreUntrusted, message, help),
        json,
        Exit::Fault,
    )
}

/// Whether a run that was received is one to take: it fits itself, says what its manifest says, and is signed by the key or comes
/// out again.
fn trusts(store: &Store, run: &Kept, args: &PullArgs) -> Result<(), Failure> {
    let json = args.which.json;
    let folder = view(store, run, json)?;
    let found = examine(&folder).map_err(|failure| audit::failed(&failure, json))?;
    let refuse = |report: Report| Failure::Found {
        report,
        json,
        exit: Exit::Fault,
    };
    if !found.changes.is_empty() {
        return Err(refuse(audit::changes(&found)));
    }
    if facts(&found).as_ref() != Some(&run.manifest.facts) {
        let message = format!(
            "what the remote says of the run {} is not what its journal says",
            run.head
        );
        return Err(untrusted(message, json));
    }
    let signed = sign::check(args.key.as_deref(), args.policy, &found, json)?;
    if let Signature::Wrong(report) = signed {
        return Err(refuse(report));
    }
    if !args.replay {
        return Ok(());
    }
    let mut places: Vec<PathBuf> = run
        .reference
        .data
        .iter()
        .map(|hash| store.place(hash))
        .collect();
    match args.data.as_slice() {
        [] => places.push(PathBuf::from(".")),
        more => places.extend(more.iter().cloned()),
    }
    let bench = Bench::new(&found, &places, &args.device, json)?;
    let session = bench.session(json)?;
    let mut progress = Progress::new();
    let again = Again {
        found: &found,
        session: &session,
    };
    let reached = again.everything(&mut progress);
    progress.clear();
    let reached = reached.map_err(|failure| audit::failed(&failure, json))?;
    match reached.differ.first() {
        None => Ok(()),
        Some(what) => {
            let message = format!("`{}`: {what}", run.head);
            let help = "the remote's run is not what this recipe and this data give";
            let finding = Finding::error(Code::AuditNotReproduced, message, help);
            Err(Failure::of(finding, json, Exit::Fault))
        }
    }
}
