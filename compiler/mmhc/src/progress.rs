//! What people see while a run goes on: a bar on a terminal, one line an epoch elsewhere.

use crate::system;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mmh_ir::plan::Part;
use mmh_runtime::Observer;
use mmh_runtime::evaluate::{Figure, Metrics};
use mmh_runtime::observe::{StepReport, TrainingReport, WatchReport};
use std::time::{Duration, Instant};

/// How often the bar is drawn at most.
const DRAWN: Duration = Duration::from_millis(66);

/// Watches a run for people.
pub(crate) struct Progress {
    terminal: bool,
    bar: Option<ProgressBar>,
    drawn: Option<Instant>,
    name: String,
    epoch_steps: u64,
    last: Option<StepReport>,
    /// A step whose line is still to be written: its measurement comes after it.
    pending: Option<StepReport>,
    watch: String,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            terminal: system::stderr_is_terminal(),
            bar: None,
            drawn: None,
            name: String::new(),
            epoch_steps: 1,
            last: None,
            pending: None,
            watch: String::new(),
        }
    }

    /// Takes the bar away, for whatever comes next.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn flush(&mut self) {
        if let Some(step) = self.pending.take() {
            system::tell(&format!("{}\n", self.line(&step)));
        }
    }

    fn line(&self, at: &StepReport) -> String {
        let loss = at
            .loss
            .map_or(String::new(), |loss| format!("  loss {loss:.4}"));
        format!(
            "{}  epoch {}/{}  step {}/{}{loss}{}  {} rows/s",
            self.name,
            at.epoch,
            at.epochs,
            at.step,
            at.total,
            self.watch,
            grouped(at.rows_per_second)
        )
    }

    fn draw(&mut self, at: &StepReport) {
        let Some(bar) = &self.bar else { return };
        if at.step < at.total && self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAWN) {
            return;
        }
        self.drawn = Some(Instant::now());
        let loss = at
            .loss
            .map_or(String::new(), |loss| format!("  loss {loss:.4}"));
        bar.set_position(at.step);
        bar.set_message(format!(
            "epoch {}/{}{loss}{}  {} rows/s",
            at.epoch,
            at.epochs,
            self.watch,
            grouped(at.rows_per_second)
        ));
    }
}

impl Observer for Progress {
    fn training(&mut self, about: &TrainingReport<'_>) {
        self.clear();
        about.name.clone_into(&mut self.name);
        self.epoch_steps = about.epoch_steps.max(1);
        self.watch.clear();
        (self.last, self.pending) = (None, None);
        let from = match about.done {
            0 => String::new(),
            done => format!(", from step {done}"),
        };
        system::tell(&format!(
            "{}: {} rows, {} steps{from}\n",
            about.name, about.rows, about.total
        ));
        if self.terminal {
            let bar =
                ProgressBar::with_draw_target(Some(about.total), ProgressDrawTarget::stderr());
            let bar = match ProgressStyle::with_template(
                // What a narrow terminal has no room for is cut off at the right.
                "{prefix} {bar:24} {pos}/{len}  {eta} left  {wide_msg}",
            ) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            };
            bar.set_prefix(about.name.to_owned());
            bar.set_position(about.done);
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    fn step(&mut self, report: &StepReport) {
        self.last = Some(*report);
        if self.terminal {
            self.draw(report);
            return;
        }
        self.flush();
        if report.step.is_multiple_of(self.epoch_steps) || report.step == report.total {
            self.pending = Some(*report);
        }
    }

    fn watched(&mut self, report: &WatchReport<'_>) {
        let best = if report.best { " (best)" } else { "" };
        self.watch = match figures(report.metrics) {
            figures if figures.is_empty() => String::new(),
            figures => format!("  {}{best}", figures.join(", ")),
        };
        if !self.terminal {
            self.pending = self.last;
        }
        if report.stops {
            self.flush();
            self.clear();
            system::tell(&format!(
                "{}: no better for a while, stopped at step {}\n",
                self.name, report.step
            ));
        }
    }

    fn trained(&mut self, _name: &str, _step: u64) {
        self.flush();
        self.clear();
    }

    fn evaluated(&mut self, _name: &str, _part: Part, _metrics: &Metrics) {}
}

/// The numbers among metrics, such as `accuracy 0.9778`.
fn figures(metrics: &Metrics) -> Vec<String> {
    let number = |(name, figure): &(String, Figure)| match figure {
        Figure::Number(number) => Some(format!("{name} {number:.4}")),
        Figure::Table { .. } => None,
    };
    metrics.0.iter().filter_map(number).collect()
}

/// A count with its thousands set apart.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0.0, 999.4, 1000.0, 1234567.0].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn tables_are_no_figures_of_a_line() {
        let table = Figure::Table {
            classes: vec![],
            counts: vec![],
        };
        let metrics = Metrics(vec![
            ("accuracy".into(), Figure::Number(0.97777)),
            ("confusion".into(), table),
        ]);
        assert_eq!(figures(&metrics), ["accuracy 0.9778"]);
    }
}
