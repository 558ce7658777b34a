//! Metrics of a model over a part of a data set.

use crate::data::{Dataset, columns_read};
use crate::failure::RunFailure;
use mmh_ir::device::{Device, Executable, Feed, RunError, State, Tensor};
use mmh_ir::plan::{Evaluation, MetricKind, Program, StateDecl};
use mmh_numerics::{double, reduce};
use serde_json::{Map, Value, json};

/// A prepared evaluation: programs loaded once, run as often as needed.
pub struct Evaluator<'a> {
    plan: &'a Evaluation,
    data: &'a Dataset,
    programs: Vec<(usize, Box<dyn Executable>, Vec<bool>)>,
    feed: Feed,
}

/// The figures of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics(pub Vec<(String, Figure)>);

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// A number.
    Number(f64),
    /// Counts by label (outer) and prediction (inner).
    Table {
        /// Class names.
        classes: Vec<String>,
        /// The counts.
        counts: Vec<Vec<u64>>,
    },
}

impl Metrics {
    /// The first number: what a watch goes by.
    pub fn first_number(&self) -> Option<f64> {
        self.0.iter().find_map(|(_, figure)| match figure {
            Figure::Number(number) => Some(*number),
            Figure::Table { .. } => None,
        })
    }

    /// As JSON, by name; a number that is not finite is null.
    pub fn to_json(&self) -> Value {
        let figure = |figure: &Figure| match figure {
            Figure::Number(number) => json!(number),
            Figure::Table { classes, counts } => json!({ "classes": classes, "counts": counts }),
        };
        Value::Object(
            self.0
                .iter()
                .map(|(name, value)| (name.clone(), figure(value)))
                .collect::<Map<String, Value>>(),
        )
    }
}

impl<'a> Evaluator<'a> {
    /// Loads the programs. `slots` are the state of the training whose model is measured.
    pub fn new(
        plan: &'a Evaluation,
        data: &'a Dataset,
        slots: &[StateDecl],
        device: &dyn Device,
    ) -> Result<Self, RunFailure> {
        let load = |program: &Program| -> Result<_, RunFailure> {
            let place = format!("evaluation `{}`", plan.name);
            let loaded = device
                .load(program, slots)
                .map_err(|error| RunFailure::device(error, &place))?;
            Ok((
                program.batch as usize,
                loaded,
                columns_read(program, data.width()),
            ))
        };
        let programs: Result<Vec<_>, RunFailure> = plan.programs.iter().map(load).collect();
        let feed = Feed {
            statistics: data.statistics.clone(),
            ..Feed::default()
        };
        Ok(Self {
            plan,
            data,
            programs: programs?,
            feed,
        })
    }

    /// Runs over all rows of the part, in row order.
    pub fn run(&mut self, state: &mut State) -> Result<Metrics, RunFailure> {
        let rows = self.data.rows(self.plan.part);
        let mut gathered: Vec<Gathered> = self
            .plan
            .metrics
            .iter()
            .map(|metric| Gathered::new(&metric.kind))
            .collect();
        let size = usize::try_from(self.plan.batch).unwrap_or(usize::MAX);
        let mut batches = rows.chunks(size.max(1)).peekable();
        while let Some(batch) = batches.next() {
            let (_, program, wanted) = self
                .programs
                .iter_mut()
                .find(|(size, _, _)| *size == batch.len())
                .ok_or_else(|| no_program(&self.plan.name, batch.len()))?;
            self.data.gather(batch, wanted, &mut self.feed.columns)?;
            if let Some(next) = batches.peek() {
                self.data.expect(next, wanted);
            }
            self.feed.rows.clear();
            self.feed
                .rows
                .extend(batch.iter().map(|row| row.cast_signed()));
            let place = format!("evaluation `{}`", self.plan.name);
            let results = program
                .run(state, &self.feed)
                .map_err(|error| RunFailure::device(error, &place))?;
            for gathered in &mut gathered {
                gathered
                    .take(&results)
                    .ok_or_else(|| wrong_result(&self.plan.name))?;
            }
        }
        let names = self.plan.metrics.iter().map(|metric| metric.name.clone());
        Ok(Metrics(
            names
                .zip(gathered.into_iter().map(Gathered::finish))
                .collect(),
        ))
    }
}

pub(crate) fn no_program(name: &str, rows: usize) -> RunFailure {
    RunFailure::Plan(format!("`{name}` has no program for {rows} rows"))
}

fn wrong_result(name: &str) -> RunFailure {
    RunFailure::device(
        RunError::IndexRange {
            what: "results or classes".to_owned(),
        },
        &format!("evaluation `{name}`"),
    )
}

/// A metric that is being taken.
enum Gathered<'a> {
    Share {
        result: u32,
        count: u64,
        of: u64,
    },
    Mean {
        kind: &'a MetricKind,
        result: u32,
        sum: Sum,
    },
    Table {
        label: u32,
        predicted: u32,
        classes: &'a [String],
        counts: Vec<Vec<u64>>,
    },
}

impl<'a> Gathered<'a> {
    fn new(kind: &'a MetricKind) -> Self {
        match kind {
            MetricKind::Share(result) => Self::Share {
                result: *result,
                count: 0,
                of: 0,
            },
            MetricKind::Mean(result)
            | MetricKind::RootMean(result)
            | MetricKind::ExpMean(result)
            | MetricKind::BitsMean(result) => Self::Mean {
                kind,
                result: *result,
                sum: Sum::default(),
            },
            MetricKind::Confusion {
                label,
                predicted,
                classes,
            } => Self::Table {
                label: *label,
                predicted: *predicted,
                classes,
                counts: vec![vec![0; classes.len()]; classes.len()],
            },
        }
    }

    fn take(&mut self, results: &[Tensor]) -> Option<()> {
        match self {
            Self::Share { result, count, of } => {
                let values = results.get(*result as usize)?.as_bool()?;
                *count += values.iter().filter(|value| **value != 0).count() as u64;
                *of += values.len() as u64;
            }
            Self::Mean { result, sum, .. } => {
                for value in results.get(*result as usize)?.as_f32()? {
                    sum.add(*value);
                }
            }
            Self::Table {
                label,
                predicted,
                counts,
                ..
            } => {
                let labels = results.get(*label as usize)?.as_i32()?;
                let predictions = results.get(*predicted as usize)?.as_i32()?;
                for (label, predicted) in labels.iter().zip(predictions) {
                    let row = counts.get_mut(usize::try_from(*label).ok()?)?;
                    *row.get_mut(usize::try_from(*predicted).ok()?)? += 1;
                }
            }
        }
        Some(())
    }

    fn finish(self) -> Figure {
        match self {
            Self::Share { count, of, .. } => Figure::Number(count as f64 / of as f64),
            Self::Table {
                classes, counts, ..
            } => Figure::Table {
                classes: classes.to_vec(),
                counts,
            },
            Self::Mean { kind, sum, .. } => {
                let mean = sum.mean();
                Figure::Number(match kind {
                    MetricKind::RootMean(_) => double::sqrt(mean),
                    MetricKind::ExpMean(_) => double::exp(mean),
                    MetricKind::BitsMean(_) => mean / std::f64::consts::LN_2,
                    MetricKind::Mean(_) | MetricKind::Share(_) | MetricKind::Confusion { .. } => {
                        mean
                    }
                })
            }
        }
    }
}

/// A sum in the contract's order over elements that come one by one: f64, blocks of 4,096, then their results.
#[derive(Default)]
struct Sum {
    block: Vec<f32>,
    results: Vec<f64>,
    count: u64,
}

impl Sum {
    fn add(&mut self, value: f32) {
        if self.block.len() == reduce::BLOCK {
            self.close();
        }
        self.block.push(value);
        self.count += 1;
    }

    fn close(&mut self) {
        let block = &self.block;
        let sum = reduce::sum_f64(block.len(), |i| {
            block.get(i).map_or(0.0, |value| f64::from(*value))
        });
        self.results.push(sum);
        self.block.clear();
    }

    fn mean(mut self) -> f64 {
        let count = self.count as f64;
        if self.count > 0 {
            self.close();
        }
        let results = &self.results;
        reduce::sum_f64(results.len(), |i| results.get(i).copied().unwrap_or(0.0)) / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_by_pieces_is_the_contracts_sum() {
        let element = |i: usize| ((i * 2_654_435_761) % 1_000_003) as f32 * 1e-3 - 300.0;
        for n in [1, 63, 4096, 4097, 20_000, 4096 * 3] {
            let mut sum = Sum::default();
            (0..n).for_each(|i| sum.add(element(i)));
            let whole = reduce::sum_f64(n, |i| f64::from(element(i)));
            assert_eq!(sum.mean().to_bits(), (whole / n as f64).to_bits(), "{n}");
        }
    }

    #[test]
    fn figures() {
        let take = |kind: &MetricKind, results: &[Tensor]| {
            let mut gathered = Gathered::new(kind);
            gathered.take(results).map(|()| gathered.finish())
        };
        let truths = [Tensor::Bool(vec![1, 0, 1, 1])];
        assert_eq!(
            take(&MetricKind::Share(0), &truths),
            Some(Figure::Number(0.75))
        );
        assert_eq!(take(&MetricKind::Mean(0), &truths), None);
        let numbers = [Tensor::F32(vec![4.0, 14.0])];
        assert_eq!(
            take(&MetricKind::RootMean(0), &numbers),
            Some(Figure::Number(3.0))
        );
        assert_eq!(
            take(&MetricKind::BitsMean(0), &numbers),
            Some(Figure::Number(9.0 / std::f64::consts::LN_2))
        );
        let pairs = [Tensor::I32(vec![0, 1, 1]), Tensor::I32(vec![1, 1, 1])];
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let confusion = MetricKind::Confusion {
            label: 0,
            predicted: 1,
            classes: classes.clone(),
        };
        let counts = vec![vec![0, 1], vec![0, 2]];
        assert_eq!(
            take(&confusion, &pairs),
            Some(Figure::Table { classes, counts })
        );
        assert_eq!(
            take(&confusion, &[Tensor::I32(vec![2]), Tensor::I32(vec![0])]),
            None
        );
    }
}
