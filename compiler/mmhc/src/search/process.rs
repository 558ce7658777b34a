//! Workers as processes of their own, so that a crash, or a process that the system kills for its memory, takes no more with
//! it than the piece of work at hand.
//!
//! Orders go to a worker's stdin and answers come from its stdout, one JSON document a line. A worker whose stdin ends saves a
//! checkpoint and ends, so that none outlives the search it works for.

use super::trained::{Order, Trained, bits, number, train};
use super::workers::Task;
use crate::args::{DeviceArgs, DeviceName};
use crate::outcome::{Exit, Failure, Outcome as Ended};
use crate::{device, streaming, system};
use mmh_ir::Plan;
use mmh_runtime::{Dataset, RecipeText, RunFailure, load_data};
use mmh_search::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The hidden verb of a worker.
pub(crate) const VERB: &str = "trial-worker";

/// How often a worker's keeper looks whether the search was cancelled.
const LOOKS: Duration = Duration::from_millis(50);

/// How long a worker that was asked to end may take for its checkpoint.
const FAREWELL: Duration = Duration::from_secs(60);

/// An order with all that a process needs.
#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    order: Order,
    /// The folder that data paths start from.
    base: PathBuf,
    plan: String,
    text: String,
    used: Vec<(String, String)>,
}

/// What a worker answers. Numbers stand as the hex digits of their bits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Value {
        value: String,
        measured: Vec<String>,
        curve: Vec<(u64, String)>,
    },
    Diverged(u64),
    Interrupted(u64),
    DiskFull(PathBuf),
    File(PathBuf, String),
    Damaged(PathBuf, String),
    Busy(PathBuf),
    Failed(String),
}

impl From<Result<Trained, RunFailure>> for Answer {
    fn from(result: Result<Trained, RunFailure>) -> Self {
        match result {
            Ok(trained) => match trained.outcome {
                Outcome::Diverged { step } => Self::Diverged(step),
                Outcome::Infeasible { bytes } => Self::Failed(format!("it needs {bytes} B")),
                Outcome::Value(value) => Self::Value {
                    value: bits(value),
                    measured: trained.measured.into_iter().map(bits).collect(),
                    curve: trained
                        .curve
                        .into_iter()
                        .map(|(step, value)| (step, bits(value)))
                        .collect(),
                },
            },
            Err(RunFailure::Interrupted { step }) => Self::Interrupted(step),
            Err(RunFailure::DiskFull { path }) => Self::DiskFull(path),
            Err(RunFailure::File { path, reason }) => Self::File(path, reason),
            Err(RunFailure::Damaged { path, reason }) => Self::Damaged(path, reason),
            Err(RunFailure::Busy { path }) => Self::Busy(path),
            Err(RunFailure::Device(reason)) => Self::Failed(reason),
            Err(other) => Self::Failed(other.to_string()),
        }
    }
}

impl Answer {
    fn result(self) -> Result<Trained, RunFailure> {
        let nothing = |outcome| Trained {
            outcome,
            measured: Vec::new(),
            curve: Vec::new(),
        };
        match self {
            Self::Value {
                value,
                measured,
                curve,
            } => {
                let strange = || RunFailure::Device("a worker answered with no number".to_owned());
                let measured: Option<Vec<f64>> = measured.iter().map(|it| number(it)).collect();
                let curve: Option<Vec<(u64, f64)>> = curve
                    .iter()
                    .map(|(step, value)| Some((*step, number(value)?)))
                    .collect();
                Ok(Trained {
                    outcome: Outcome::Value(number(&value).ok_or_else(strange)?),
                    measured: measured.ok_or_else(strange)?,
                    curve: curve.ok_or_else(strange)?,
                })
            }
            Self::Diverged(step) => Ok(nothing(Outcome::Diverged { step })),
            Self::Interrupted(step) => Err(RunFailure::Interrupted { step }),
            Self::DiskFull(path) => Err(RunFailure::DiskFull { path }),
            Self::File(path, reason) => Err(RunFailure::File { path, reason }),
            Self::Damaged(path, reason) => Err(RunFailure::Damaged { path, reason }),
            Self::Busy(path) => Err(RunFailure::Busy { path }),
            Self::Failed(reason) => Err(RunFailure::Device(reason)),
        }
    }
}

/// A worker process and what it says.
struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

/// A place for a worker process: there is one as long as there is work, and a new one after it died.
pub(crate) struct Keeper {
    args: DeviceArgs,
    /// The longest that a piece of work may take.
    most: Option<Duration>,
    worker: Option<Worker>,
}

impl Keeper {
    pub(crate) fn new(args: DeviceArgs, most: Option<Duration>) -> Self {
        Self {
            args,
            most,
            worker: None,
        }
    }

    /// Has a task done.
    pub(crate) fn train(&mut self, task: &Task) -> Result<Trained, RunFailure> {
        let failed = |what: &str, error: &std::io::Error| {
            RunFailure::Device(format!("a worker process {what}: {error}"))
        };
        let letter = Letter {
            order: task.order.clone(),
            base: task.base.clone(),
            plan: task.instance.plan.to_text(),
            text: task.instance.texts.text.clone(),
            used: task.instance.texts.used.clone(),
        };
        let mut line =
            serde_json::to_string(&letter).map_err(|error| RunFailure::Plan(error.to_string()))?;
        line.push('\n');
        if self.worker.is_none() {
            let started = self
                .start()
                .map_err(|error| failed("does not start", &error))?;
            self.worker = Some(started);
        }
        let Some(worker) = &mut self.worker else {
            return Err(RunFailure::Device("there is no worker process".to_owned()));
        };
        if let Some(orders) = &mut worker.orders
            && orders
                .write_all(line.as_bytes())
                .and_then(|()| orders.flush())
                .is_err()
        {
            return Err(self.bury());
        }
        self.answer(&task.cancel)
    }

    fn start(&self) -> std::io::Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(VERB).args(words(&self.args));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (tell, answers) = channel();
        let output = child.stdout.take();
        std::thread::Builder::new().spawn(move || {
            let lines = output.into_iter().flat_map(|it| BufReader::new(it).lines());
            for line in lines.map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Worker {
            orders: child.stdin.take(),
            child,
            answers,
        })
    }

    /// Waits for the answer; asks the worker to end where the search is cancelled, and ends it where it takes too long.
    fn answer(&mut self, cancel: &AtomicBool) -> Result<Trained, RunFailure> {
        let began = Instant::now();
        let mut asked: Option<Instant> = None;
        loop {
            let Some(worker) = &mut self.worker else {
                return Err(RunFailure::Interrupted { step: 0 });
            };
            let answered = worker.answers.recv_timeout(LOOKS);
            let late = self.most.is_some_and(|most| began.elapsed() > most) && asked.is_none();
            match answered {
                Ok(line) if !late => {
                    let answer: Result<Answer, _> = serde_json::from_str(&line);
                    let strange = |_| RunFailure::Device("a worker answered strangely".to_owned());
                    return answer.map_err(strange)?.result();
                }
                Err(RecvTimeoutError::Disconnected) if asked.is_some() => {
                    self.bury();
                    return Err(RunFailure::Interrupted { step: 0 });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.bury()),
                // An answer after the time is over is none: which one comes in time would depend on the machine's load.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            if cancel.load(Ordering::Relaxed) && asked.is_none() {
                worker.orders = None;
                asked = Some(Instant::now());
            }
            if asked.is_some_and(|asked| asked.elapsed() > FAREWELL) {
                self.bury();
                return Err(RunFailure::Interrupted { step: 0 });
            }
            if let Some(most) = self.most.filter(|_| late) {
                self.bury();
                let seconds = most.as_secs_f64();
                let reason =
                    format!("a trial took longer than the {seconds} s of `--trial-timeout`");
                return Err(RunFailure::Device(reason));
            }
        }
    }

    /// Ends the worker, if it is not gone already, and says how it went.
    fn bury(&mut self) -> RunFailure {
        let Some(mut worker) = self.worker.take() else {
            return RunFailure::Device("a worker process is gone".to_owned());
        };
        worker.orders = None;
        // Where its output ended it is ending by itself, for a reason of its own.
        let ended = (0..20).find_map(|_| match worker.child.try_wait() {
            Ok(None) => {
                std::thread::sleep(Duration::from_millis(10));
                None
            }
            ended => Some(ended),
        });
        let status = match ended {
            Some(Ok(Some(status))) => status.to_string(),
            _ => {
                let _ = worker.child.kill();
                let waited = worker.child.wait();
                waited.map_or_else(|error| error.to_string(), |status| status.to_string())
            }
        };
        RunFailure::Device(format!(
            "a worker process ended in the middle of its work ({status}); out of memory is a frequent reason"
        ))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(worker) = &mut self.worker {
            worker.orders = None;
            let _ = worker.child.wait();
        }
    }
}

/// The arguments of a worker's device.
fn words(args: &DeviceArgs) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if let Some(threads) = args.threads {
        add("--threads", threads.to_string());
    }
    if let Some(isa) = args.isa {
        add("--isa", isa.to_string());
    }
    let device = match args.device {
        DeviceName::Auto => "auto",
        DeviceName::Cpu => "cpu",
        DeviceName::Gpu => "gpu",
        DeviceName::Interpret => "interpret",
    };
    add("--device", device.to_owned());
    if let Some(memory) = streaming::asked() {
        add("--data-memory", memory.to_string());
    }
    words
}

/// `mmhc trial-worker`: what a worker process does.
pub(crate) fn work(args: &DeviceArgs) -> Ended {
    let device = device::choose(args, None, false)?;
    let cancel = Arc::new(AtomicBool::new(false));
    // Ctrl-C goes to every process of a terminal. The search decides what becomes of it.
    let _ = ctrlc::set_handler(|| {});
    let (tell, letters) = channel();
    let ended = Arc::clone(&cancel);
    let reader = std::thread::Builder::new().spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    if reader.is_err() {
        return Err(Failure::Said(Exit::Device));
    }
    let mut known: BTreeMap<String, Arc<Vec<Dataset>>> = BTreeMap::new();
    for line in letters {
        let result = answer(&line, &*device, &cancel, &mut known);
        let answer = serde_json::to_string(&Answer::from(result)).unwrap_or_default();
        system::say(&format!("{answer}\n"));
    }
    Ok(())
}

fn answer(
    line: &str,
    device: &dyn mmh_ir::device::Device,
    cancel: &Arc<AtomicBool>,
    known: &mut BTreeMap<String, Arc<Vec<Dataset>>>,
) -> Result<Trained, RunFailure> {
    let letter: Letter =
        serde_json::from_str(line).map_err(|error| RunFailure::Plan(error.to_string()))?;
    let plan = Plan::from_text(&letter.plan).map_err(RunFailure::Plan)?;
    let data = data(&plan, &letter.base, known)?;
    let recipe = RecipeText {
        text: letter.text,
        used: letter.used,
    };
    train(&letter.order, &plan, &data, &recipe, device, cancel)
}

/// The data of a plan; plans with the same data share it.
fn data(
    plan: &Plan,
    base: &Path,
    known: &mut BTreeMap<String, Arc<Vec<Dataset>>>,
) -> Result<Arc<Vec<Dataset>>, RunFailure> {
    let starts: Vec<_> = plan.trainings.iter().map(|it| &it.start).collect();
    let key = serde_json::to_string(&(&plan.data, starts)).unwrap_or_default();
    if let Some(data) = known.get(&key) {
        return Ok(Arc::clone(data));
    }
    let data = Arc::new(load_data(plan, base)?);
    known.insert(key, Arc::clone(&data));
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_through_as_they_are() {
        let trained = Trained {
            outcome: Outcome::Value(0.1),
            measured: vec![f64::INFINITY, -0.0],
            curve: vec![(3, 0.25), (6, 0.1)],
        };
        let through = |result: Result<Trained, RunFailure>| {
            let line = serde_json::to_string(&Answer::from(result)).expect("JSON");
            serde_json::from_str::<Answer>(&line)
                .expect("an answer")
                .result()
        };
        assert_eq!(through(Ok(trained.clone())), Ok(trained));
        for failure in [
            RunFailure::Interrupted { step: 7 },
            RunFailure::DiskFull { path: "a".into() },
            RunFailure::Busy { path: "b".into() },
            RunFailure::Device("it broke".to_owned()),
        ] {
            assert_eq!(through(Err(failure.clone())), Err(failure));
        }
    }
}
