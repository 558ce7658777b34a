//! `mmhc predict`: what a trained model says about rows, or how it continues a text.

use crate::args::PredictArgs;
use crate::findings::Finding;
use crate::outcome::{Exit, Failure, Outcome};
use crate::{device, run, system};
use mmh_diag::Code;
use mmh_ir::device::Tensor;
use mmh_ir::plan::{ColumnKind, MetricKind};
use mmh_numerics::double;
use mmh_numerics::random::Seed;
use mmh_runtime::{Predictor, RunFailure, Sampling, StoredModel, sample_text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(crate) fn predict(args: &PredictArgs) -> Outcome {
    let failed =
        |failure: RunFailure| Failure::of(Finding::from(&failure), args.json, run::exit(&failure));
    let folder = folder(&args.model);
    if !folder.join("plan").is_file() {
        let message = format!("`{}` is no run folder", folder.display());
        let help = "give the folder that `mmhc run` wrote: it holds `plan` and `model.safetensors`";
        return Err(Failure::of(
            Finding::error(Code::FileNotFound, message, help),
            args.json,
            Exit::Fault,
        ));
    }
    let stored = StoredModel::read(&folder).map_err(failed)?;
    let device = device::choose(&args.device, None, args.json)?;
    let mut predictor =
        Predictor::new(&stored, args.training.as_deref(), &*device).map_err(failed)?;
    let text = predictor
        .inputs()
        .iter()
        .any(|column| matches!(column.kind, ColumnKind::Characters { .. }));
    let answer = match text {
        true => continued(&mut predictor, args),
        false => rows(&mut predictor, &stored, args),
    };
    system::say(&answer.map_err(failed)?);
    Ok(())
}

/// The folder of a model that was given as a folder or as the file in it.
fn folder(model: &Path) -> PathBuf {
    match model.is_file() {
        true => model.parent().unwrap_or(Path::new("")).to_path_buf(),
        false => model.to_path_buf(),
    }
}

fn continued(predictor: &mut Predictor<'_>, args: &PredictArgs) -> Result<String, RunFailure> {
    let how = Sampling {
        seed: Seed::from_integer(u128::from(args.seed)),
        length: args.length as usize,
        temperature: args.temperature,
    };
    let drawn = sample_text(predictor, &args.input, &how)?;
    Ok(match args.json {
        true => format!(
            "{:#}\n",
            json!({ "prompt": args.input, "text": drawn, "seed": args.seed, "temperature": args.temperature })
        ),
        false => format!("{}{drawn}\n", args.input),
    })
}

fn rows(
    predictor: &mut Predictor<'_>,
    stored: &StoredModel,
    args: &PredictArgs,
) -> Result<String, RunFailure> {
    let (columns, rows) = predictor.read(Path::new(&args.input))?;
    let found = predictor.predict(&columns, rows)?;
    let values = numbers(&found);
    let width = values.len().checked_div(rows).unwrap_or(0).max(1);
    let classes = classes(stored, args.training.as_deref(), width)?;
    let answers = values
        .chunks(width)
        .enumerate()
        .map(|(row, values)| match &classes {
            Some(classes) => classified(row + 1, values, classes),
            None => json!({ "row": row + 1, "value": plain(values) }),
        });
    if args.json {
        return Ok(format!(
            "{:#}\n",
            json!({ "rows": answers.collect::<Vec<_>>() })
        ));
    }
    Ok(answers.map(|answer| line(&answer)).collect())
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor {
        Tensor::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Tensor::I32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Tensor::U8(values) | Tensor::Bool(values) => {
            values.iter().map(|value| f64::from(*value)).collect()
        }
    }
}

/// Names of the classes that the `width` numbers of a row stand for: those of a table of counts, or of the column of
/// classes that the model does not read; none if the model gives plain numbers.
fn classes(
    stored: &StoredModel,
    training: Option<&str>,
    width: usize,
) -> Result<Option<Vec<String>>, RunFailure> {
    let (training, _) = stored.training(training)?;
    let own = training.watch.iter().map(|watch| &watch.evaluation);
    let others = stored
        .plan
        .evaluations
        .iter()
        .filter(|evaluation| evaluation.training == training.name);
    let metrics = own.chain(others).flat_map(|evaluation| &evaluation.metrics);
    let counted = metrics.filter_map(|metric| match &metric.kind {
        MetricKind::Confusion { classes, .. } => Some(classes.clone()),
        MetricKind::Share(_)
        | MetricKind::Mean(_)
        | MetricKind::RootMean(_)
        | MetricKind::ExpMean(_)
        | MetricKind::BitsMean(_) => None,
    });
    let data = stored.plan.data.get(training.data as usize);
    let columns = data.map_or(&[][..], |data| data.columns.as_slice());
    let declared = columns.iter().filter_map(|column| match &column.kind {
        ColumnKind::Levels { levels, .. } => Some(levels.clone()),
        ColumnKind::Labels { classes } => {
            Some((0..*classes).map(|class| class.to_string()).collect())
        }
        ColumnKind::Numbers { .. } | ColumnKind::Images | ColumnKind::Characters { .. } => None,
    });
    Ok(counted
        .chain(declared)
        .find(|classes| width > 1 && classes.len() == width))
}

/// The likeliest class of a row of logits, the first of equals, with the softmax of all.
fn classified(row: usize, logits: &[f64], classes: &[String]) -> Value {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits
        .iter()
        .map(|logit| double::exp(logit - max))
        .collect();
    let sum: f64 = weights.iter().sum();
    let best = logits.iter().position(|logit| *logit == max).unwrap_or(0);
    let share = |weight: Option<&f64>| weight.copied().unwrap_or(0.0) / sum;
    let all = classes
        .iter()
        .enumerate()
        .map(|(at, class)| (class.clone(), json!(share(weights.get(at)))));
    json!({
        "row": row,
        "class": classes.get(best),
        "probability": share(weights.get(best)),
        "probabilities": all.collect::<serde_json::Map<_, _>>(),
    })
}

/// One number, or a list of several.
fn plain(values: &[f64]) -> Value {
    match values {
        [one] => json!(one),
        many => json!(many),
    }
}

/// A row for people: its number, class and probability, or its value.
fn line(answer: &Value) -> String {
    let get = |name: &str| answer.get(name).unwrap_or(&Value::Null);
    match (get("class").as_str(), get("probability").as_f64()) {
        (Some(class), Some(probability)) => format!("{}\t{class}\t{probability:.4}\n", get("row")),
        _ => format!("{}\t{}\n", get("row"), get("value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_class_is_named() {
        let names = ["a", "b", "c"].map(String::from);
        let answer = classified(3, &[0.0, 1.0, 1.0], &names);
        assert_eq!(line(&answer), "3\tb\t0.4223\n");
        let sum: f64 = answer
            .get("probabilities")
            .and_then(Value::as_object)
            .expect("classes")
            .values()
            .filter_map(Value::as_f64)
            .sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(
            line(&json!({ "row": 1, "value": plain(&[2.5]) })),
            "1\t2.5\n"
        );
    }
}
