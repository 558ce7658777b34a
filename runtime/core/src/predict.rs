//! What a trained model says about rows, and texts drawn from it.

use crate::data::{Dataset, columns_read};
use crate::failure::RunFailure;
use crate::files::{Disk, Files};
use crate::model::from_safetensors;
use crate::read::read_rows;
use crate::session::prefix;
use mmh_ir::device::{Device, Executable, Feed, State, Tensor};
use mmh_ir::plan::{ColumnKind, ColumnPlan, DataPlan, StatisticPlan, Training};
use mmh_ir::{DType, Plan};
use mmh_numerics::double;
use mmh_numerics::random::{Component, Key, Seed, Stream};
use serde_json::{Value, json};
use std::path::Path;

/// A plan with the state its run ended with, read from a run folder.
#[derive(Clone, Debug)]
pub struct StoredModel {
    /// The plan.
    pub plan: Plan,
    /// State of each training; optimiser slots are zeros.
    pub states: Vec<State>,
    /// Statistics of each data set.
    pub statistics: Vec<Vec<Tensor>>,
}

impl StoredModel {
    /// Reads `plan`, `model.safetensors` and `statistics.json` of a run folder.
    pub fn read(folder: &Path) -> Result<Self, RunFailure> {
        let read = |name: &str| {
            let path = folder.join(name);
            Disk.read(&path)
                .map_err(|error| RunFailure::io(&path, &error))
        };
        let damaged = |name: &str, reason: String| RunFailure::Damaged {
            path: folder.join(name),
            reason,
        };
        let plan = Plan::from_text(&String::from_utf8_lossy(&read("plan")?))
            .map_err(|e| damaged("plan", e))?;
        let bytes = read("model.safetensors")?;
        let states: Result<Vec<State>, String> = plan
            .trainings
            .iter()
            .map(|training| from_safetensors(&bytes, &training.state, &prefix(&plan, training)))
            .collect();
        let states = states.map_err(|reason| damaged("model.safetensors", reason))?;
        let text = read(STATISTICS)?;
        let statistics = statistics_from_json(&plan, &text)
            .ok_or_else(|| damaged(STATISTICS, "it does not fit the plan".to_owned()))?;
        Ok(Self {
            plan,
            states,
            statistics,
        })
    }

    /// The training of this name with its state, or the last one.
    pub fn training(&self, name: Option<&str>) -> Result<(&Training, &State), RunFailure> {
        let mut pairs = self.plan.trainings.iter().zip(&self.states);
        let found = match name {
            Some(name) => pairs.find(|(training, _)| training.name == name),
            None => pairs.next_back(),
        };
        found.ok_or_else(|| RunFailure::Request("the run has no such training".to_owned()))
    }
}

/// The file of a run folder that holds the statistics of the training rows.
pub(crate) const STATISTICS: &str = "statistics.json";

/// Statistics by data set, as lists of numbers; an f32 is exact in JSON.
pub(crate) fn statistics_to_json(data: &[Dataset]) -> Value {
    let list = |tensor: &Tensor| match tensor {
        Tensor::F32(values) => json!(values),
        Tensor::I32(values) => json!(values),
        Tensor::U8(values) | Tensor::Bool(values) => json!(values),
    };
    json!(
        data.iter()
            .map(|set| set.statistics.iter().map(list).collect())
            .collect::<Vec<Vec<Value>>>()
    )
}

fn statistics_from_json(plan: &Plan, text: &[u8]) -> Option<Vec<Vec<Tensor>>> {
    let sets: Vec<Vec<Vec<f64>>> = serde_json::from_slice(text).ok()?;
    let tensor = |(plan, values): (&StatisticPlan, &Vec<f64>)| {
        let tensor = match plan.ty.dtype {
            DType::F32 => Tensor::F32(values.iter().map(|value| *value as f32).collect()),
            DType::I32 => Tensor::I32(values.iter().map(|value| *value as i32).collect()),
            DType::U8 | DType::Bool => return None,
        };
        (tensor.len() == plan.ty.shape.elements()).then_some(tensor)
    };
    let set = |(plan, values): (&DataPlan, &Vec<Vec<f64>>)| {
        let whole = plan.statistics.len() == values.len();
        plan.statistics
            .iter()
            .zip(values)
            .map(tensor)
            .collect::<Option<Vec<Tensor>>>()
            .filter(|_| whole)
    };
    if plan.data.len() != sets.len() {
        return None;
    }
    plan.data.iter().zip(&sets).map(set).collect()
}

/// The `predict` programs of a training, loaded.
pub struct Predictor<'a> {
    training: &'a Training,
    state: State,
    data: Option<&'a DataPlan>,
    columns: &'a [ColumnPlan],
    statistics: Vec<Tensor>,
    /// By batch size, largest first.
    programs: Vec<(usize, Box<dyn Executable>, Vec<bool>)>,
}

impl<'a> Predictor<'a> {
    /// Loads the programs of the training of this name, or of the last one.
    pub fn new(
        model: &'a StoredModel,
        training: Option<&str>,
        device: &dyn Device,
    ) -> Result<Self, RunFailure> {
        let (training, state) = model.training(training)?;
        let state = state.clone();
        let data = model.plan.data.get(training.data as usize);
        let statistics = model
            .statistics
            .get(training.data as usize)
            .cloned()
            .unwrap_or_default();
        let columns = data.map_or(&[][..], |data| data.columns.as_slice());
        let mut programs = Vec::new();
        for program in &training.predict {
            let loaded = device
                .load(program, &training.state)
                .map_err(|error| RunFailure::device(error, "predict"))?;
            programs.push((
                program.batch as usize,
                loaded,
                columns_read(program, columns.len()),
            ));
        }
        programs.sort_by_key(|(batch, _, _)| std::cmp::Reverse(*batch));
        Ok(Self {
            training,
            state,
            data,
            columns,
            statistics,
            programs,
        })
    }

    /// The columns a caller has to give, with their types for one row.
    pub fn inputs(&self) -> Vec<&'a ColumnPlan> {
        self.columns
            .iter()
            .zip(self.read_columns())
            .filter(|(_, read)| *read)
            .map(|(column, _)| column)
            .collect()
    }

    /// Reads the columns that [`Predictor::predict`] needs from a file like those of the data: a table, or an IDX file.
    /// Gives them with the number of rows.
    pub fn read(&self, path: &Path) -> Result<(Vec<Tensor>, usize), RunFailure> {
        let data = self
            .data
            .ok_or_else(|| RunFailure::Plan("the training has no data".to_owned()))?;
        read_rows(data, &self.read_columns(), path)
    }

    fn read_columns(&self) -> Vec<bool> {
        let reads = |column: usize| {
            self.programs
                .iter()
                .any(|(_, _, read)| read.get(column) == Some(&true))
        };
        (0..self.columns.len()).map(reads).collect()
    }

    /// The result of `predict` for `rows` rows. `columns` are by the data set's numbers, row after row; those the model does
    /// not read may be empty.
    ///
    /// Errors: a column of another type or length; a plan without a program for what is left of the rows.
    pub fn predict(&mut self, columns: &[Tensor], rows: usize) -> Result<Tensor, RunFailure> {
        for ((number, plan), read) in self.columns.iter().enumerate().zip(self.read_columns()) {
            let wanted = rows * plan.ty.shape.elements();
            let fits = columns
                .get(number)
                .is_some_and(|given| given.dtype() == plan.ty.dtype && given.len() == wanted);
            if read && !fits {
                return Err(RunFailure::Request(format!(
                    "`{}` must be {} for each of {rows} rows",
                    plan.name, plan.ty
                )));
            }
        }
        let mut found: Option<Tensor> = None;
        let mut start = 0;
        while start < rows {
            let (batch, program, _) = self
                .programs
                .iter_mut()
                .find(|(batch, _, _)| *batch > 0 && *batch <= rows - start)
                .ok_or_else(|| {
                    RunFailure::Request(format!(
                        "`{}` has no program for one row",
                        self.training.name
                    ))
                })?;
            let end = start + *batch;
            let mut feed = Feed {
                rows: (start..end).map(|row| row as i32).collect(),
                statistics: self.statistics.clone(),
                ..Feed::default()
            };
            for (number, plan) in self.columns.iter().enumerate() {
                let width = plan.ty.shape.elements();
                feed.columns.push(part(
                    columns.get(number),
                    plan.ty.dtype,
                    start * width..end * width,
                ));
            }
            let results = program
                .run(&mut self.state, &feed)
                .map_err(|error| RunFailure::device(error, "predict"))?;
            let first = results.into_iter().next();
            let first =
                first.ok_or_else(|| RunFailure::Plan("`predict` gives nothing".to_owned()))?;
            found = Some(match found {
                None => first,
                Some(found) => join(found, first),
            });
            start = end;
        }
        found.ok_or_else(|| RunFailure::Request("there are no rows".to_owned()))
    }
}

fn part(column: Option<&Tensor>, dtype: DType, range: std::ops::Range<usize>) -> Tensor {
    match column {
        Some(Tensor::F32(v)) => Tensor::F32(v.get(range).unwrap_or_default().to_vec()),
        Some(Tensor::I32(v)) => Tensor::I32(v.get(range).unwrap_or_default().to_vec()),
        Some(Tensor::U8(v)) => Tensor::U8(v.get(range).unwrap_or_default().to_vec()),
        Some(Tensor::Bool(v)) => Tensor::Bool(v.get(range).unwrap_or_default().to_vec()),
        None => Tensor::zeros(dtype, 0),
    }
}

fn join(first: Tensor, second: Tensor) -> Tensor {
    match (first, second) {
        (Tensor::F32(mut a), Tensor::F32(b)) => {
            a.extend(b);
            Tensor::F32(a)
        }
        (Tensor::I32(mut a), Tensor::I32(b)) => {
            a.extend(b);
            Tensor::I32(a)
        }
        (Tensor::U8(mut a), Tensor::U8(b)) => {
            a.extend(b);
            Tensor::U8(a)
        }
        (Tensor::Bool(mut a), Tensor::Bool(b)) => {
            a.extend(b);
            Tensor::Bool(a)
        }
        (a, _) => a,
    }
}

/// How a text is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Root of the draws; equal seeds give equal texts.
    pub seed: Seed,
    /// Characters to draw.
    pub length: usize,
    /// Divides the logits; 0 takes the likeliest character, the first of equals.
    pub temperature: f64,
}

/// Draws a text from a model of characters that continues `prompt`; the prompt is not part of it.
///
/// The context is the last `window` characters. While it is shorter it stands at the window's start, as a causal model needs;
/// what follows is the first character of the vocabulary. Character `i` is drawn by u64 draw `i` of the stream of (seed,
/// `sample`): with weights `exp((logit − max) / temperature)` in f64, the first whose running sum exceeds the draw's part.
///
/// Errors: a model that is not one of characters; a prompt that is empty or has characters outside the vocabulary.
pub fn sample_text(
    predictor: &mut Predictor<'_>,
    prompt: &str,
    how: &Sampling,
) -> Result<String, RunFailure> {
    let wrong = |what: &str| RunFailure::Request(what.to_owned());
    let place = predictor
        .columns
        .iter()
        .position(|column| matches!(column.kind, ColumnKind::Characters { ahead: 0, .. }));
    let place = place.ok_or_else(|| wrong("the model is not one of characters"))?;
    let plan = predictor
        .columns
        .get(place)
        .ok_or_else(|| wrong("the model is not one of characters"))?;
    let ColumnKind::Characters { vocabulary, .. } = &plan.kind else {
        return Err(wrong("the model is not one of characters"));
    };
    let window = plan.ty.shape.elements();
    let mut text: Vec<i32> = Vec::new();
    for c in prompt.chars() {
        let known = vocabulary.binary_search(&c);
        text.push(
            known.map_err(|_| wrong(&format!("{c:?} is not in the model's vocabulary")))? as i32,
        );
    }
    if text.is_empty() {
        return Err(wrong("a text needs at least one character to start from"));
    }
    let stream = Stream::new(Key::derive(&how.seed, &[Component::Text("sample")]), 0);
    let mut drawn = String::new();
    for number in 0..how.length {
        let context = text
            .get(text.len().saturating_sub(window)..)
            .unwrap_or_default();
        let last = context.len().saturating_sub(1);
        let mut padded = context.to_vec();
        padded.resize(window, 0);
        let mut columns = vec![Tensor::I32(Vec::new()); predictor.columns.len()];
        if let Some(column) = columns.get_mut(place) {
            *column = Tensor::I32(padded);
        }
        let logits = predictor.predict(&columns, 1)?;
        let logits = logits
            .as_f32()
            .ok_or_else(|| wrong("`predict` does not give logits"))?;
        let logits = at_place(logits, vocabulary.len(), window, last);
        let logits =
            logits.ok_or_else(|| wrong("`predict` does not give a logit for every character"))?;
        let chosen = choose(logits, how.temperature, stream.double_word(number as u64));
        text.push(chosen as i32);
        drawn.extend(vocabulary.get(chosen));
    }
    Ok(drawn)
}

/// Logits for what follows place `last`, where the model gives them for every place or for the end alone.
fn at_place(logits: &[f32], classes: usize, window: usize, last: usize) -> Option<&[f32]> {
    if logits.len() == classes {
        return Some(logits);
    }
    if logits.len() != classes.checked_mul(window)? {
        return None;
    }
    logits.get(last * classes..(last + 1) * classes)
}

fn choose(logits: &[f32], temperature: f64, draw: u64) -> usize {
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, logit| {
        mmh_numerics::max(*logit, max)
    });
    if temperature <= 0.0 {
        return logits.iter().position(|logit| *logit == max).unwrap_or(0);
    }
    let weight = |logit: &f32| double::exp((f64::from(*logit) - f64::from(max)) / temperature);
    let sums: Vec<f64> = logits
        .iter()
        .scan(0.0, |sum, logit| {
            *sum += weight(logit);
            Some(*sum)
        })
        .collect();
    let part = (draw >> 11) as f64 / (1_u64 << 53) as f64 * sums.last().copied().unwrap_or(0.0);
    sums.iter()
        .position(|sum| *sum > part)
        .unwrap_or(logits.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        assert_eq!(choose(&[1.0, 3.0, 3.0], 0.0, u64::MAX), 1);
        let logits = [0.0, f32::NEG_INFINITY, 0.0];
        let half = 1_u64 << 63;
        assert_eq!(
            [0, half - 1, half, u64::MAX].map(|draw| choose(&logits, 1.0, draw)),
            [0, 0, 2, 2]
        );
        let cold = [1.0, 0.0];
        assert_eq!(choose(&cold, 0.01, u64::MAX - (1 << 40)), 0);
    }

    #[test]
    fn logits_by_place() {
        let logits = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(at_place(&logits, 2, 2, 0), Some(&logits[..2]));
        assert_eq!(at_place(&logits, 4, 2, 0), Some(&logits[..]));
        assert_eq!(at_place(&logits, 3, 2, 0), None);
    }
}
