//! Graphics processors: which there are, what each was admitted for, and how fast it was found to be. What was found is
//! remembered by device, driver and version of this program; `mmhc devices` looks anew.

use crate::system;
use mmh_gpu::rungs::Rungs;
use mmh_gpu::{Adapter, Gpu, adapters};
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Program, StateDecl};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An adapter with its admission.
pub(crate) struct Looked {
    pub(crate) adapter: Adapter,
    /// The device, or why it is refused.
    pub(crate) verdict: Result<Gpu, String>,
    /// GFLOP/s and GB/s, where it could be measured.
    pub(crate) speed: Option<[f64; 2]>,
}

/// What is remembered of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Record {
    /// Whether a processor plays it.
    #[serde(default)]
    software: bool,
    /// The rung of each operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rungs: Option<String>,
    /// Why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// GFLOP/s and GB/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speed: Option<[f64; 2]>,
}

/// Every adapter, each admitted or refused. `anew`: tested and measured whatever is remembered.
pub(crate) fn all(anew: bool) -> Vec<Looked> {
    adapters().into_iter().map(|it| look(it, anew)).collect()
}

/// The fastest admitted device, real ones before processors that play one; else why there is none.
pub(crate) fn best() -> Result<Looked, String> {
    let (software, real): (Vec<Adapter>, Vec<Adapter>) =
        adapters().into_iter().partition(Adapter::is_software);
    if software.is_empty() && real.is_empty() {
        return Err("no Vulkan, Metal or Direct3D 12 driver offers one".to_owned());
    }
    let mut refusals = Vec::new();
    for kind in [real, software] {
        let mut admitted: Vec<Looked> = Vec::new();
        for looked in kind.into_iter().map(|it| look(it, false)) {
            match &looked.verdict {
                Ok(_) => admitted.push(looked),
                Err(refusal) => {
                    refusals.push(format!("{} was refused: {refusal}", looked.adapter.name()));
                }
            }
        }
        let gflops = |it: &Looked| it.speed.map_or(0.0, |[gflops, _]| gflops);
        admitted.sort_by(|a, b| gflops(b).total_cmp(&gflops(a)));
        if let Some(first) = admitted.into_iter().next() {
            return Ok(first);
        }
    }
    Err(refusals.join("; "))
}

/// Admits an adapter by what is remembered, else by all tests, and remembers the outcome.
fn look(adapter: Adapter, anew: bool) -> Looked {
    let identity = adapter.identity();
    let record = if anew { None } else { remembered(&identity) };
    let known = record.and_then(|record| known(&adapter, record));
    if let Some((verdict, speed)) = known {
        return Looked {
            adapter,
            verdict,
            speed,
        };
    }
    system::tell(&format!(
        "testing {} ({}) against the reference; what comes of it is remembered\n",
        adapter.name(),
        adapter.interface()
    ));
    let verdict = adapter.admit();
    let speed = verdict.as_ref().ok().and_then(|gpu| gpu.measure().ok());
    remember(
        identity,
        Record {
            software: adapter.is_software(),
            rungs: verdict.as_ref().ok().map(|gpu| gpu.rungs().to_string()),
            refused: verdict.as_ref().err().cloned(),
            speed,
        },
    );
    Looked {
        adapter,
        verdict,
        speed,
    }
}

/// The device, or why it is refused; GFLOP/s and GB/s.
type Known = (Result<Gpu, String>, Option<[f64; 2]>);

/// The device as it is remembered; none where it has to be tested.
fn known(adapter: &Adapter, record: Record) -> Option<Known> {
    if let Some(refused) = record.refused {
        return Some((Err(refused), None));
    }
    let rungs = Rungs::parse(&record.rungs?)?;
    let gpu = adapter.admitted(rungs).ok()?;
    Some((Ok(gpu), record.speed))
}

/// The file of what was found, one JSON object by identity.
fn file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME")
        .or_else(|| set("LOCALAPPDATA"))
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(cache.join("mmhc").join("devices.json"))
}

fn records() -> BTreeMap<String, Record> {
    let text = file().and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// Whether a real graphics processor was admitted here before. No driver is asked, which takes longer than a small training.
pub(crate) fn is_any_known() -> bool {
    records()
        .values()
        .any(|it| !it.software && it.rungs.is_some())
}

fn remembered(identity: &str) -> Option<Record> {
    records().remove(identity)
}

/// Notes a record. Where that fails, the tests are done again next time.
fn remember(identity: String, record: Record) {
    let Some(file) = file() else { return };
    let mut all = records();
    all.insert(identity, record);
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    let is_there = file
        .parent()
        .is_some_and(|folder| std::fs::create_dir_all(folder).is_ok());
    if is_there {
        let _ = system::replace(&file, &format!("{text}\n"));
    }
}

/// A drill: a device that is given up, as a driver does that has lost it, once this many training steps were done.
pub(crate) struct Drill {
    gpu: Arc<Gpu>,
    left: Arc<AtomicU64>,
}

impl Drill {
    pub(crate) fn new(gpu: Gpu, steps: u64) -> Self {
        Self {
            gpu: Arc::new(gpu),
            left: Arc::new(AtomicU64::new(steps)),
        }
    }
}

impl Device for Drill {
    fn name(&self) -> &str {
        self.gpu.name()
    }

    fn isa(&self) -> &str {
        self.gpu.isa()
    }

    fn threads(&self) -> usize {
        self.gpu.threads()
    }

    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        Ok(Box::new(Drilled {
            inner: self.gpu.load(program, state)?,
            trains: !program.updates.is_empty(),
            gpu: Arc::clone(&self.gpu),
            left: Arc::clone(&self.left),
        }))
    }
}

struct Drilled {
    inner: Box<dyn Executable>,
    trains: bool,
    gpu: Arc<Gpu>,
    left: Arc<AtomicU64>,
}

impl Drilled {
    fn count(&self) {
        let one_less = |left: u64| left.checked_sub(1);
        let is_over = self.trains
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_err();
        if is_over {
            self.gpu.lose();
        }
    }
}

impl Executable for Drilled {
    fn run(&mut self, state: &mut State, feed: &Feed) -> Result<Vec<Tensor>, RunError> {
        self.count();
        self.inner.run(state, feed)
    }

    fn advance(
        &mut self,
        state: &mut State,
        feed: &Feed,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<Tensor>, RunError> {
        self.count();
        self.inner.advance(state, feed, meanwhile)
    }

    fn settle(&mut self, state: &mut State) -> Result<(), RunError> {
        self.inner.settle(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back() {
        let record = Record {
            software: false,
            rungs: Some("add native".to_owned()),
            refused: None,
            speed: Some([5.5, 7.25]),
        };
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Record>(&text).expect("a record"),
            record
        );
        let refused: Record =
            serde_json::from_str(r#"{"refused":"fma(0x1) gave 0x2, not 0x3"}"#).expect("a record");
        assert_eq!((refused.rungs, refused.speed), (None, None));
    }
}
