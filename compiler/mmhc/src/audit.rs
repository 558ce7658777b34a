//! What the verbs that look back at runs have in common: reading folders, finding data, and doing steps again.

use crate::args::DeviceArgs;
use crate::findings::{Finding, Report};
use crate::outcome::{Exit, Failure};
use crate::{device, emit, render, run, system};
use mmh_diag::Code;
use mmh_ir::Plan;
use mmh_ir::device::Device;
use mmh_runtime::audit::{Examined, examine, find_data};
use mmh_runtime::{Dataset, Options, RunFailure, Session, load_data};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A run folder, read; or the words for what is none.
pub(crate) fn open(folder: &Path, json: bool) -> Result<Examined, Failure> {
    if !folder.join("journal").is_file() {
        let message = format!("`{}` is no run folder", folder.display());
        let help = "give the folder that `mmhc run` wrote: it holds `journal` and `plan`";
        let finding = Finding::error(Code::FileNotFound, message, help);
        return Err(Failure::of(finding, json, Exit::Fault));
    }
    examine(folder).map_err(|failure| failed(&failure, json))
}

/// The same, for verbs that cannot work with a folder that was changed.
pub(crate) fn open_whole(folder: &Path, json: bool) -> Result<Examined, Failure> {
    let found = open(folder, json)?;
    match found.changes.is_empty() {
        true => Ok(found),
        false => Err(Failure::Found {
            report: changes(&found),
            json,
            exit: Exit::Fault,
        }),
    }
}

/// A failure of the runtime.
pub(crate) fn failed(failure: &RunFailure, json: bool) -> Failure {
    Failure::of(Finding::from(failure), json, run::exit(failure))
}

/// What was changed in a folder, as findings.
pub(crate) fn changes(found: &Examined) -> Report {
    let finding = |change: &mmh_runtime::audit::Change| {
        let path = found.folder.join(&change.file);
        let message = format!("`{}`: {}", path.display(), change.what);
        Finding::error(
            Code::AuditChanged,
            message,
            "take the folder from a copy you trust, or train again and compare",
        )
    };
    Report {
        findings: found.changes.iter().map(finding).collect(),
        ..Report::default()
    }
}

/// Shows findings on stderr.
pub(crate) fn show(report: Report) {
    system::tell(&render::human(std::slice::from_ref(&report)));
}

/// Findings as plain data, for a JSON document of a verb's own.
pub(crate) fn as_json(report: &Report) -> serde_json::Value {
    emit::json(std::slice::from_ref(report))
        .get("diagnostics")
        .cloned()
        .unwrap_or_default()
}

/// The plan of a folder, its data as found by hash, and the device that does steps again.
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    pub(crate) data: Arc<Vec<Dataset>>,
    pub(crate) device: Box<dyn Device>,
}

impl Bench {
    /// Reads the data that the plan wants out of `places`, or out of this folder.
    pub(crate) fn new(
        found: &Examined,
        places: &[PathBuf],
        how: &DeviceArgs,
        json: bool,
    ) -> Result<Self, Failure> {
        let fail = |failure: RunFailure| failed(&failure, json);
        let plan = found.plan.clone().ok_or_else(|| {
            fail(RunFailure::Damaged {
                path: found.folder.join("plan"),
                reason: "it cannot be read".to_owned(),
            })
        })?;
        let here = [PathBuf::from(".")];
        let places = if places.is_empty() { &here } else { places };
        let located = find_data(&plan, places).map_err(fail)?;
        let data = load_data(&located, Path::new("")).map_err(fail)?;
        Ok(Self {
            plan,
            data: Arc::new(data),
            device: device::choose(how, None, json)?,
        })
    }

    /// A run of the plan that writes nothing.
    pub(crate) fn session(&self, json: bool) -> Result<Session<'_>, Failure> {
        let options = Options {
            cancel: run::cancel_on_signal(),
            ..Options::default()
        };
        Session::with_data(&self.plan, Arc::clone(&self.data), &*self.device, options)
            .map_err(|failure| failed(&failure, json))
    }
}
