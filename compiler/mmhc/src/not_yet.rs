//! Verbs and sections that this version does not have, and what to do instead.

use crate::args::Rest;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use mmh_diag::Code;

/// The answer to a verb that is not there.
pub(crate) fn verb(name: &str, rest: &Rest) -> Outcome {
    let json = rest.rest.iter().any(|word| word == "--json");
    let message = format!("`mmhc {name}` is not in this version");
    Err(Failure::of(
        Finding::error(Code::CapabilityNotYet, message, instead(name)),
        json,
        Exit::Fault,
    ))
}

fn instead(verb: &str) -> &'static str {
    match verb {
        "serve" => "ask the model with `mmhc predict`, which has `--json`",
        "export" => "take `model.safetensors` from the run folder: every framework reads it",
        "import" => "train the model here; weights of elsewhere cannot be read yet",
        "search" | "worker" => {
            "`mmhc run` runs the search of a recipe, on one machine with `--workers N`"
        }
        "federate" => "train on one machine with a `train` section",
        _ => "`mmhc --help` lists what there is",
    }
}

/// What to do about a section that cannot run.
pub(crate) fn instead_of_section(section: &str) -> &'static str {
    match section.split_whitespace().next() {
        Some("search") => "keep one `search` in a recipe, or run the defaults with `--no-search`",
        Some("export") => "leave the section away and take `model.safetensors` from the run folder",
        Some("federate") => {
            "leave the section away, or train on one machine with a `train` section"
        }
        _ => "leave the section away",
    }
}
