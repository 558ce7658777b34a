//! Timing from inside the training loop: an observer that is told of every step.
//!
//! A block's time runs from the end of the step before it to the end of its last step: rows gathered, scalars computed,
//! the program run, guards checked, the journal written. What happens between blocks is not counted.

use crate::arguments::Way;
use mmh_runtime::Observer;
use mmh_runtime::observe::{StepReport, TrainingReport};
use serde_json::{Value, json};
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Steps ahead of the first block.
const WARM: u64 = 6;

/// Counts steps, measures blocks, and ends the run.
pub(crate) struct Timer {
    way: Way,
    block: usize,
    about: Value,
    cancel: Arc<AtomicBool>,
    began: Instant,
    loaded: f64,
    first: f64,
    steps: u64,
    start: Option<Instant>,
    inside: usize,
    times: Vec<f64>,
    loss: Option<f32>,
    /// When the run began, and when its trainings did.
    run: Option<(Instant, Instant)>,
    /// What recording took, and when the training ended.
    recorded: Option<(Duration, Instant)>,
}

impl Timer {
    pub(crate) fn new(
        way: Way,
        block: usize,
        about: Value,
        cancel: Arc<AtomicBool>,
        began: Instant,
    ) -> Self {
        Self {
            way,
            block,
            about,
            cancel,
            began,
            loaded: 0.0,
            first: 0.0,
            steps: 0,
            start: None,
            inside: 0,
            times: Vec::new(),
            loss: None,
            run: None,
            recorded: None,
        }
    }

    /// The run begins: data is read and the plan is there.
    pub(crate) fn start(&mut self) {
        let now = Instant::now();
        self.run = Some((now, now));
    }

    /// Prints the facts of the run and `more` as one line.
    fn say(&self, more: Value) {
        let mut line = self.about.clone();
        if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        println!("{line}");
    }

    fn facts(&self) -> Value {
        json!({
            "import_s": self.loaded,
            "first_step_s": self.first,
            "peak_rss_mib": peak_mib(),
            "loss": self.loss,
        })
    }

    /// Begins the next block, or ends the run.
    fn next(&mut self) {
        let go_on = match self.way {
            Way::Serve => std::io::stdin()
                .lock()
                .read_line(&mut String::new())
                .is_ok_and(|bytes| bytes > 0),
            Way::Blocks(blocks) => self.times.len() < blocks,
            Way::Count(_) | Way::Trail(_) => return,
        };
        if go_on {
            self.inside = 0;
            self.start = Some(Instant::now());
        } else {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }

    fn block_done(&mut self, seconds: f64) {
        let time = seconds * 1e3 / self.block as f64;
        self.times.push(time);
        if self.way == Way::Serve {
            self.say(json!({ "ms_per_step": time }));
        }
        self.next();
    }

    /// The last line.
    pub(crate) fn finish(mut self, peak: f64) {
        self.times.sort_by(f64::total_cmp);
        let mut facts = self.facts();
        facts["done"] = json!(true);
        facts["peak_rss_mib"] = json!(peak);
        if let Way::Blocks(_) = self.way {
            facts["ms_per_step"] = json!(self.times.get(self.times.len() / 2));
            facts["ms_min"] = json!(self.times.first());
        }
        if let (Way::Trail(steps), Some((began, trains)), Some((spent, ended))) =
            (self.way, self.run, self.recorded)
        {
            let training = ended.duration_since(trains).as_secs_f64();
            facts["steps"] = json!(steps);
            facts["training_s"] = json!(training);
            facts["recording_s"] = json!(spent.as_secs_f64());
            facts["recording_share"] = json!(spent.as_secs_f64() / training);
            // The folder is begun ahead of the training, and the model and report are written after it.
            let around = trains.duration_since(began) + ended.elapsed();
            facts["begin_and_end_s"] = json!(around.as_secs_f64());
        }
        self.say(facts);
    }
}

impl Observer for Timer {
    fn training(&mut self, _about: &TrainingReport<'_>) {
        self.loaded = self.began.elapsed().as_secs_f64();
        if let Some((_, trains)) = &mut self.run {
            *trains = Instant::now();
        }
    }

    fn recorded(&mut self, _name: &str, spent: Duration) {
        self.recorded = Some((spent, Instant::now()));
    }

    fn step(&mut self, report: &StepReport) {
        self.steps += 1;
        self.loss = report.loss;
        if self.steps == 1 {
            self.first = self.began.elapsed().as_secs_f64() - self.loaded;
        }
        if let Some(start) = self.start {
            self.inside += 1;
            if self.inside == self.block {
                self.block_done(start.elapsed().as_secs_f64());
            }
        } else if self.steps == WARM {
            if self.way == Way::Serve {
                let mut facts = self.facts();
                facts["ready"] = json!(true);
                self.say(facts);
            }
            self.next();
        }
    }
}

/// The most memory this process has held, in MiB; 0 where the system does not say.
pub(crate) fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
