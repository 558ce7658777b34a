//! `mmhc run --profile`: where the time of a run went, as a table and as a trace.

use crate::findings::Finding;
use crate::outcome::{Exit, Failure};
use crate::system;
use mmh_cpu::trace::{Line, Trace};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A run that is being measured.
pub(crate) struct Profile {
    trace: Arc<Trace>,
    began: Instant,
}

impl Profile {
    pub(crate) fn begin() -> Self {
        Self {
            trace: Arc::default(),
            began: Instant::now(),
        }
    }

    /// What the device reports to.
    pub(crate) fn trace(&self) -> &Arc<Trace> {
        &self.trace
    }

    /// Shows the table and writes `trace.json` into the run folder.
    pub(crate) fn end(self, out: &Path, json: bool) -> Result<(), Failure> {
        let whole = self.began.elapsed();
        system::tell(&table(&self.trace.lines(whole), whole));
        let path = out.join("trace.json");
        system::replace(&path, &self.trace.to_chrome())
            .map_err(|error| Failure::of(Finding::file(&path, &error), json, Exit::Fault))?;
        system::tell(&format!(
            "{} opens in https://ui.perfetto.dev\n",
            path.display()
        ));
        Ok(())
    }
}

/// Kinds of steps with their times, longest first.
fn table(lines: &[Line], whole: Duration) -> String {
    let mut out = String::from("where the time went      runs       total      share    each\n");
    for line in lines {
        let seconds = line.time.as_secs_f64();
        let _ = writeln!(
            out,
            "  {:<16} {:>12} {:>9.3} s {:>8.1} % {:>9.1} us",
            line.kind,
            line.count,
            seconds,
            100.0 * seconds / whole.as_secs_f64().max(1e-9),
            1e6 * seconds / line.count.max(1) as f64,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_say_share_and_time_of_each() {
        let line = Line {
            kind: "contract",
            count: 4,
            time: Duration::from_millis(500),
        };
        let text = table(&[line], Duration::from_secs(2));
        let row = text.lines().nth(1).expect("a row");
        let words: Vec<&str> = row.split_whitespace().collect();
        let wanted = ["contract", "4", "0.500", "s", "25.0", "%", "125000.0", "us"];
        assert_eq!(words, wanted);
    }
}
