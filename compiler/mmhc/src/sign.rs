//! `mmhc sign`, and what `mmhc verify` says of signatures.

use crate::args::{PolicyName, SignArgs};
use crate::findings::{Finding, Report};
use crate::outcome::{Exit, Failure, Outcome};
use crate::{audit, card, keys, system};
use mmh_diag::Code;
use mmh_runtime::audit::Examined;
use mmh_sign::{FOLDER, Head, Policy, SignError, Signed, TrailRoot};
use serde_json::json;

pub(crate) fn sign(args: &SignArgs) -> Outcome {
    let found = audit::open_whole(&args.folder, args.json)?;
    let facts = facts(&found).ok_or_else(|| audit::not_ended(args.json))?;
    let (ring, _) = keys::ring()?;
    ring.held(&args.key)
        .map_err(|error| keys::refused(&error, args.json))?;
    let passphrase = keys::ask(&args.passphrase, false)?;
    let key = ring
        .open(&args.key, &passphrase)
        .map_err(|error| keys::refused(&error, args.json))?;
    let id = key
        .public()
        .map_err(|error| keys::refused(&error, args.json))?
        .id();
    mmh_sign::sign(&args.folder, &facts, &key, policy(args.policy))
        .map_err(|error| failed(&error, args.json))?;
    match args.json {
        true => system::say(&format!(
            "{:#}\n",
            json!({ "folder": args.folder.display().to_string(), "key": id, "model_hash": facts.model_hash })
        )),
        false => system::say(&format!("{id}\n")),
    }
    system::tell(&format!("signed {}\n", args.folder.display()));
    Ok(())
}

pub(crate) fn failed(error: &SignError, json: bool) -> Failure {
    let finding = Finding::error(
        Code::AuditSignature,
        error.to_string(),
        "check that the folder is there and may be used",
    );
    Failure::of(finding, json, Exit::Fault)
}

fn policy(name: PolicyName) -> Policy {
    match name {
        PolicyName::Hybrid => Policy::Hybrid,
        PolicyName::Ed25519 => Policy::Classical,
    }
}

/// What a signature vouches for, as the journal has it; none while the run has not ended.
pub(crate) fn facts(found: &Examined) -> Option<Signed> {
    let (start, end) = (found.start()?, found.end()?);
    let trails = end.trails.iter().map(|trail| TrailRoot {
        training: trail.training.clone(),
        marks: trail.marks,
        root: trail.root.clone(),
    });
    Some(Signed {
        model_hash: end.model_hash.to_owned(),
        recipe_hash: start.recipe_hash.to_owned(),
        plan_hash: start.plan_hash.to_owned(),
        data_hash: start.data_hash.to_owned(),
        seed: start.seed.to_owned(),
        steps: end.steps,
        journal: Head {
            hash: found.head().to_owned(),
            lines: found.lines.len() as u64,
        },
        trails: trails.collect(),
        described: card::described(found),
    })
}

/// What is to be said of a folder's signatures.
pub(crate) enum Signature {
    /// There is none, and none was asked for.
    None,
    /// There is one, and no key was given to check it with.
    Unchecked,
    /// The key signed this folder.
    Right {
        /// The key's id.
        key: String,
        /// The names of the algorithms.
        algorithms: String,
    },
    /// It is missing or wrong.
    Wrong(Report),
}

impl Signature {
    /// A line for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::None | Self::Wrong(_) => {
                "  not signed: it is consistent, not authentic; who can write all of it can make up another\n".to_owned()
            }
            Self::Unchecked => {
                "  signed, but not checked: say with `--key` whose signature it must be; until then it is consistent, not authentic\n"
                    .to_owned()
            }
            Self::Right { key, algorithms } => format!("  signed by {key} ({algorithms})\n"),
        }
    }
}

/// Checks the signatures of a folder, if there is a key that must have made them.
pub(crate) fn check(
    key: Option<&str>,
    wanted: PolicyName,
    found: &Examined,
    json: bool,
) -> Result<Signature, Failure> {
    let Some(key) = key else {
        let signed = found.folder.join(FOLDER).join("signature.json").exists();
        return Ok(if signed {
            Signature::Unchecked
        } else {
            Signature::None
        });
    };
    let key = keys::public(key, json)?;
    let facts = facts(found).ok_or_else(|| audit::not_ended(json))?;
    let checked = mmh_sign::check(&found.folder, &facts, &key, policy(wanted));
    let checked = checked.map_err(|error| failed(&error, json))?;
    let faults = match checked {
        None => vec![(FOLDER.to_owned(), "it is not signed".to_owned())],
        Some(checked) if checked.faults.is_empty() => {
            let names: Vec<&str> = checked.algorithms.iter().map(|it| it.name()).collect();
            return Ok(Signature::Right {
                key: checked.key,
                algorithms: names.join(" and "),
            });
        }
        Some(checked) => checked.faults,
    };
    let finding = |(file, why): &(String, String)| {
        let message = format!("`{}`: {why}", found.folder.join(file).display());
        let help = "take the folder from its signer again, and the public key by a way you trust";
        Finding::error(Code::AuditSignature, message, help)
    };
    Ok(Signature::Wrong(Report {
        findings: faults.iter().map(finding).collect(),
        ..Report::default()
    }))
}
