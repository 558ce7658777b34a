//! What the verbs that look back at runs have in common: reading folders, finding data, and doing steps again.

use crate::args::DeviceArgs;
use crate::findings::{Finding, Report};
use crate::outcome::{Exit, Failure};
use crate::{device, emit, render, run, store, system};
use mmh_diag::Code;
use mmh_ir::Plan;
use mmh_ir::device::Device;
use mmh_runtime::audit::{Examined, examine, find_data, inputs_of};
use mmh_runtime::{Dataset, Options, RunFailure, Session, load_data};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A run, read: in its folder, or in the store by its name there.
pub(crate) fn open(name: &Path, json: bool) -> Result<Examined, Failure> {
    match store::locate(name, json)? {
        Some(folder) => open_folder(&folder, json),
        None => open_folder(name, json),
    }
}

/// A run folder, read; or the words for what is none.
pub(crate) fn open_folder(folder: &Path, json: bool) -> Result<Examined, Failure> {
    if !folder.join("journal").is_file() {
        let message = format!(
            "`{}` is no run folder, and no run of the store",
            folder.display()
        );
        let help = "give the folder that `mmhc run` wrote, which holds `journal` and `plan`, or a name that `mmhc store list` shows";
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

/// The failure of what wants a run that has ended.
pub(crate) fn not_ended(json: bool) -> Failure {
    let failure = RunFailure::Request(
        "the run has not ended; go on with `mmhc run --resume` first".to_owned(),
    );
    failed(&failure, json)
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

/// Where the store keeps data of a plan.
fn kept(plan: &Plan) -> Vec<PathBuf> {
    let Some(store) = store::known() else {
        return Vec::new();
    };
    let files = inputs_of(plan).into_iter();
    let held = files.filter(|(_, file)| store.size(&file.blake3).is_some());
    held.map(|(_, file)| store.place(&file.blake3)).collect()
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
        let located = find_data(&plan, &[&kept(&plan)[..], places].concat()).map_err(fail)?;
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
