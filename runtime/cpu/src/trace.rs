//! Where time goes: sums by kind of step, and the first spans one by one, for people and for trace viewers.
//!
//! Times are read around every step on the thread that runs the program; a step's time is that until all threads have
//! done their part. Where steps run slice by slice, the time of all of them is shared out by what each took of all slices.
//! Nothing here can change a bit.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Spans kept for the trace; sums go on behind them.
const MOST_SPANS: usize = 100_000;

/// Collects times of every program that a device runs.
pub struct Trace {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    programs: Vec<Program>,
    spans: Vec<Span>,
    sums: BTreeMap<&'static str, Sum>,
    inside: Duration,
    runs: u64,
}

/// A loaded program: what its steps are called.
struct Program {
    name: String,
    steps: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    time: Duration,
}

/// A stretch of time; without a step, the whole run of a program.
struct Span {
    program: usize,
    step: Option<usize>,
    kind: &'static str,
    start: Duration,
    time: Duration,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// What kind of step, such as `contract`; `guards`; or `between`: rows, journal, checkpoints, whatever is around programs.
    pub kind: &'static str,
    /// How often such a step ran.
    pub count: u64,
    /// Time of all of them together.
    pub time: Duration,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            inner: Mutex::default(),
        }
    }
}

impl Trace {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a program in; the number by which its runs are reported.
    pub(crate) fn program(&self, name: String, steps: Vec<String>) -> usize {
        let mut inner = self.inner();
        inner.programs.push(Program { name, steps });
        inner.programs.len() - 1
    }

    /// Notes a run of a program: the start and end of each step and what kind it is; `None` for the guards.
    pub(crate) fn run(
        &self,
        program: usize,
        laps: &[(Option<usize>, &'static str, Instant, Instant)],
    ) {
        let (Some(first), Some(last)) = (laps.first(), laps.last()) else {
            return;
        };
        let mut inner = self.inner();
        inner.runs += 1;
        inner.inside += last.3 - first.2;
        let whole = (None, "program", first.2, last.3);
        for &(step, kind, start, end) in laps.iter().chain([&whole]) {
            let time = end - start;
            if kind != "program" {
                let sum = inner.sums.entry(kind).or_default();
                *sum = Sum {
                    count: sum.count + 1,
                    time: sum.time + time,
                };
            }
            if inner.spans.len() < MOST_SPANS {
                inner.spans.push(Span {
                    program,
                    step,
                    kind,
                    start: start - self.began,
                    time,
                });
            }
        }
    }

    /// The table, longest first; `whole` is the time it is a share of.
    pub fn lines(&self, whole: Duration) -> Vec<Line> {
        let inner = self.inner();
        let of = |(kind, sum): (&&'static str, &Sum)| Line {
            kind,
            count: sum.count,
            time: sum.time,
        };
        let mut lines: Vec<Line> = inner.sums.iter().map(of).collect();
        lines.push(Line {
            kind: "between",
            count: inner.runs,
            time: whole.saturating_sub(inner.inside),
        });
        lines.sort_by_key(|line| std::cmp::Reverse(line.time));
        lines
    }

    /// The first spans in the JSON that Perfetto and `chrome://tracing` read, times in microseconds.
    pub fn to_chrome(&self) -> String {
        let inner = self.inner();
        let mut out = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
        out += "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"mmhc\"}}";
        for span in &inner.spans {
            let Some(program) = inner.programs.get(span.program) else {
                continue;
            };
            let (name, detail) = match span.step {
                Some(step) => (
                    span.kind,
                    program.steps.get(step).map_or("", String::as_str),
                ),
                None if span.kind == "program" => (program.name.as_str(), ""),
                None => (span.kind, ""),
            };
            let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
            let _ = write!(
                out,
                ",\n{{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"cat\":\"{}\",\"name\":\"{}\",\"ts\":{:.3},\"dur\":{:.3},\"args\":{{\"step\":\"{}\"}}}}",
                span.kind,
                plain(name),
                micros(span.start),
                micros(span.time),
                plain(detail),
            );
        }
        out += "\n]}\n";
        out
    }
}

/// Text as it may stand between the quotes of JSON.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '\\' => '\'',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_spans_and_what_is_between() {
        let trace = Trace::default();
        let program = trace.program(
            "fit \"64\"".to_owned(),
            vec!["map a".to_owned(), "conv b".to_owned()],
        );
        let start = trace.began;
        let at = |micros| start + Duration::from_micros(micros);
        let laps = [
            (Some(0), "map", at(10), at(15)),
            (Some(1), "conv", at(15), at(40)),
            (None, "guards", at(40), at(41)),
        ];
        trace.run(program, &laps);
        trace.run(program, &laps);
        let lines = trace.lines(Duration::from_micros(100));
        let found: Vec<(&str, u64, u128)> = lines
            .iter()
            .map(|l| (l.kind, l.count, l.time.as_micros()))
            .collect();
        let wanted = [
            ("conv", 2, 50),
            ("between", 2, 38),
            ("map", 2, 10),
            ("guards", 2, 2),
        ];
        assert_eq!(found, wanted);
        let text = trace.to_chrome();
        assert_eq!(text.matches("\"ph\":\"X\"").count(), 8);
        assert!(text.contains("\"name\":\"fit '64'\",\"ts\":10.000,\"dur\":31.000"));
    }
}
