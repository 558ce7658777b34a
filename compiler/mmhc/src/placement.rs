//! Which processor trains fastest, by trying: some steps of each training on each device, as a run does them, with everything that
//! has to be brought there and back. The choice is outside every hash, as the bits are the same everywhere.

use crate::args::DeviceArgs;
use crate::device;
use mmh_ir::device::{Device, Executable, RunError};
use mmh_ir::plan::{Plan, Program, StateDecl};
use mmh_runtime::observe::StepReport;
use mmh_runtime::{Dataset, Observer, Options, RunFailure, Session};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Steps that are timed at most, after one that is not.
const STEPS: u64 = 5;
/// How long one training is tried on one device, begun steps not counted.
const TRIED: Duration = Duration::from_millis(1_500);
/// A training that is done sooner on the processor is not tried elsewhere.
const WORTH: f64 = 5.0;

/// A device that may take trainings.
pub(crate) struct Candidate {
    /// `cpu (avx2)` and the like.
    pub(crate) name: String,
    device: Box<dyn Device>,
    /// Seconds of a step of each training; why there are none.
    pub(crate) seconds: Vec<Result<f64, String>>,
}

/// The devices that were tried, and which has each training.
pub(crate) struct Placement {
    pub(crate) candidates: Vec<Candidate>,
    /// By number of training, the number of a candidate.
    pub(crate) chosen: Vec<usize>,
}

impl Placement {
    /// Tries every training on the processor and on the admitted graphics processors, those that a processor plays only with
    /// `all`. Without `all`, one that is soon done stays on the processor untried.
    pub(crate) fn measure(
        plan: &Plan,
        data: &Arc<Vec<Dataset>>,
        args: &DeviceArgs,
        all: bool,
    ) -> Self {
        let mut candidates = vec![candidate(Box::new(device::cpu(args)), plan, data)];
        let steps = plan.trainings.iter().map(|training| training.steps as f64);
        let own = candidates.iter().flat_map(|it| &it.seconds);
        let whole: f64 = own
            .zip(steps)
            .map(|(seconds, steps)| seconds.as_ref().map_or(0.0, |s| s * steps))
            .sum();
        if all || whole > WORTH {
            let others = device::graphics(args, all);
            candidates.extend(others.into_iter().map(|it| candidate(it, plan, data)));
        }
        let chosen = (0..plan.trainings.len())
            .map(|n| fastest(&candidates, n))
            .collect();
        Self { candidates, chosen }
    }

    /// A line for each training and device, the chosen one marked.
    pub(crate) fn words(&self, plan: &Plan) -> String {
        let mut out = String::new();
        for ((number, training), chosen) in plan.trainings.iter().enumerate().zip(&self.chosen) {
            let _ = writeln!(
                out,
                "{}: {} steps of {} rows",
                training.name, training.steps, training.batch
            );
            for (at, candidate) in self.candidates.iter().enumerate() {
                let mark = if at == *chosen { "->" } else { "  " };
                let speed = match candidate.seconds.get(number) {
                    Some(Ok(seconds)) => {
                        format!(
                            "{:.3} ms a step, {:.1} s in all",
                            seconds * 1e3,
                            seconds * training.steps as f64
                        )
                    }
                    Some(Err(reason)) => format!("not used: {reason}"),
                    None => String::new(),
                };
                let _ = writeln!(out, "  {mark} {}  {speed}", candidate.name);
            }
        }
        out
    }

    /// The device that has each training where it was chosen.
    pub(crate) fn into_device(self, plan: &Plan) -> Box<dyn Device> {
        let first = self.chosen.first().copied().unwrap_or(0);
        let mut devices: Vec<Box<dyn Device>> =
            self.candidates.into_iter().map(|it| it.device).collect();
        if self.chosen.iter().all(|it| *it == first) && first < devices.len() {
            return devices.swap_remove(first);
        }
        let names = plan.trainings.iter().map(|training| training.name.clone());
        Box::new(Placed {
            by_training: names.zip(self.chosen).collect(),
            devices,
        })
    }
}

fn candidate(device: Box<dyn Device>, plan: &Plan, data: &Arc<Vec<Dataset>>) -> Candidate {
    let seconds = (0..plan.trainings.len()).map(|number| tried(&*device, plan, data, number));
    Candidate {
        name: format!("{} ({})", device.name(), device.isa()),
        seconds: seconds.collect(),
        device,
    }
}

/// The candidate with the fewest seconds a step; the first of equals, and the first where none could be measured.
fn fastest(candidates: &[Candidate], training: usize) -> usize {
    let mut best: Option<(usize, f64)> = None;
    for (at, candidate) in candidates.iter().enumerate() {
        if let Some(Ok(seconds)) = candidate.seconds.get(training)
            && best.is_none_or(|(_, least)| *seconds < least)
        {
            best = Some((at, *seconds));
        }
    }
    best.map_or(0, |(at, _)| at)
}

/// Seconds of a step, the least of some.
fn tried(
    device: &dyn Device,
    plan: &Plan,
    data: &Arc<Vec<Dataset>>,
    number: usize,
) -> Result<f64, String> {
    let cancel = Arc::new(AtomicBool::new(false));
    let options = Options {
        cancel: Arc::clone(&cancel),
        ..Options::default()
    };
    let session = Session::with_data(plan, Arc::clone(data), device, options);
    let session = session.map_err(|failure| failure.to_string())?;
    let mut watch = Stopwatch {
        cancel,
        last: None,
        began: Instant::now(),
        best: f64::INFINITY,
    };
    match session.train_one(number, &mut watch) {
        // It was ended from here, or is short.
        Ok(_) | Err(RunFailure::Interrupted { .. }) if watch.best.is_finite() => Ok(watch.best),
        Ok(_) | Err(RunFailure::Interrupted { .. }) => {
            Err("it is too short to be timed".to_owned())
        }
        Err(failure) => Err(failure.to_string()),
    }
}

/// Times steps from the second on, and ends the training when it has seen enough.
struct Stopwatch {
    cancel: Arc<AtomicBool>,
    last: Option<Instant>,
    began: Instant,
    best: f64,
}

impl Observer for Stopwatch {
    fn step(&mut self, report: &StepReport) {
        let now = Instant::now();
        if let Some(last) = self.last {
            self.best = self.best.min((now - last).as_secs_f64());
        }
        self.last = Some(now);
        let enough = report.step > STEPS || self.began.elapsed() > TRIED;
        // However slow the first step was, one behind it is timed.
        if enough && self.best.is_finite() {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }
}

/// Several devices, each with trainings of its own.
struct Placed {
    devices: Vec<Box<dyn Device>>,
    by_training: Vec<(String, usize)>,
}

impl Placed {
    /// The device of a program: that of the training whose name it begins with, else the first.
    fn of(&self, program: &str) -> Option<&dyn Device> {
        let word = program.split(' ').next().unwrap_or_default();
        let found = self.by_training.iter().find(|(name, _)| name == word);
        let number = found.map_or(0, |(_, number)| *number);
        self.devices.get(number).map(|it| &**it)
    }
}

impl Device for Placed {
    fn name(&self) -> &str {
        "several"
    }

    fn isa(&self) -> &str {
        "by training"
    }

    fn threads(&self) -> usize {
        self.devices.first().map_or(1, |it| it.threads())
    }

    fn load(
        &self,
        program: &Program,
        state: &[StateDecl],
    ) -> Result<Box<dyn Executable>, RunError> {
        match self.of(&program.name) {
            Some(device) => device.load(program, state),
            None => Err(RunError::Device("there is no device".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_interpret::Interpreter;

    fn candidates(seconds: &[&[Result<f64, &str>]]) -> Vec<Candidate> {
        let one = |seconds: &&[Result<f64, &str>]| Candidate {
            name: "one".to_owned(),
            device: Box::new(Interpreter),
            seconds: seconds.iter().map(|it| it.map_err(str::to_owned)).collect(),
        };
        seconds.iter().map(one).collect()
    }

    #[test]
    fn each_training_goes_to_the_fastest_that_could_do_it() {
        let three = candidates(&[
            &[Ok(3.0), Ok(1.0)],
            &[Err("memory"), Ok(2.0)],
            &[Ok(0.5), Ok(1.0)],
        ]);
        assert_eq!((fastest(&three, 0), fastest(&three, 1)), (2, 0));
        assert_eq!(fastest(&candidates(&[&[Err("a")], &[Err("b")]]), 0), 0);
    }

    #[test]
    fn programs_find_the_device_of_their_training() {
        let placed = Placed {
            devices: vec![Box::new(Interpreter), Box::new(device_named("other"))],
            by_training: vec![("fit".to_owned(), 1), ("fitter".to_owned(), 0)],
        };
        let name = |program: &str| placed.of(program).map(|it| it.name().to_owned());
        assert_eq!(name("fit step of 8").as_deref(), Some("other"));
        assert_eq!(name("fit watch of 8").as_deref(), Some("other"));
        assert_eq!(name("fitter step of 8").as_deref(), Some("interpret"));
        assert_eq!(name("final of 8").as_deref(), Some("interpret"));
    }

    struct Named(&'static str);

    fn device_named(name: &'static str) -> Named {
        Named(name)
    }

    impl Device for Named {
        fn name(&self) -> &str {
            self.0
        }
        fn isa(&self) -> &str {
            "none"
        }
        fn threads(&self) -> usize {
            1
        }
        fn load(&self, _: &Program, _: &[StateDecl]) -> Result<Box<dyn Executable>, RunError> {
            Err(RunError::Device("it does nothing".to_owned()))
        }
    }
}
