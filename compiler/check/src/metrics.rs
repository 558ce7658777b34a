//! Metrics: per-row outputs of a graph, and what is made of them.

use crate::call::Bound;
use crate::core::{Cx, LossParts};
use crate::expr::Scope;
use crate::section::{Choice, Settings};
use crate::train::Given;
use crate::value::{Eval, Reported, Rows, Tensor};
use mmh_diag::Code;
use mmh_ir::plan::{Metric, MetricKind, Named};
use mmh_ir::{DType, MapOp, ReduceKind};
use mmh_syntax::ast::{Expr, Field};

pub(crate) const METRICS: &[Choice] = &[
    ("accuracy", &["predict", "label", "on"]),
    ("confusion", &["predict", "label", "on"]),
    ("loss", &["on"]),
    ("cross_entropy", &["predict", "label", "on"]),
    ("bits_per_character", &["predict", "label", "on"]),
    ("perplexity", &["predict", "label", "on"]),
    ("mse", &["predict", "target", "on"]),
    ("rmse", &["predict", "target", "on"]),
    ("mae", &["predict", "target", "on"]),
];

/// A model being measured on some rows.
pub(crate) struct Measured<'p, 'a> {
    pub(crate) name: &'a str,
    pub(crate) settings: &'a Settings<'p>,
    pub(crate) rows: &'a Rows,
    pub(crate) scope: Scope,
    /// The training's loss on these rows, once asked for.
    pub(crate) losses: Option<Vec<LossParts>>,
    pub(crate) given: &'a mut Given,
}

impl Measured<'_, '_> {
    fn output(&mut self, name: &str, value: &Tensor) -> u32 {
        if let Some(known) = self
            .given
            .outputs
            .iter()
            .position(|o| o.name == name && o.value == value.id)
        {
            return known as u32;
        }
        self.given.outputs.push(Named {
            name: name.into(),
            value: value.id,
        });
        self.given.outputs.len() as u32 - 1
    }
}

impl<'p> Cx<'p> {
    /// Checks the names of metrics where there is no model to measure.
    pub(crate) fn metric_names(&mut self, field: &'p Field) {
        let items: Vec<&'p Expr> = match field.value.ungrouped() {
            Expr::List { items, .. } => items.iter().collect(),
            one => vec![one],
        };
        for item in items {
            let scope = Scope::default();
            let _ = self.chosen(item, METRICS, "metric", &scope);
        }
    }

    /// Adds the outputs and the figure of one metric.
    pub(crate) fn metric(&mut self, expr: &'p Expr, measured: &mut Measured<'p, '_>) -> Eval<()> {
        let scope = measured.scope.clone();
        let (which, bound) = self.chosen(expr, METRICS, "metric", &scope)?;
        let Some((name, _)) = METRICS.get(which) else {
            return Err(Reported);
        };
        let kind = match *name {
            "accuracy" => {
                let (predicted, label) = self.classified(&bound, measured)?;
                let correct = self.map(MapOp::Eq, &[&predicted, &label])?;
                MetricKind::Share(measured.output("correct", &correct))
            }
            "confusion" => {
                let (predicted, label) = self.classified(&bound, measured)?;
                let classes = self.class_names(&label);
                MetricKind::Confusion {
                    label: measured.output("label", &label),
                    predicted: measured.output("predicted", &predicted),
                    classes,
                }
            }
            "loss" => {
                let parts = self.loss_parts(&bound, measured)?;
                MetricKind::Mean(measured.output("loss", &parts.each))
            }
            "cross_entropy" | "bits_per_character" | "perplexity" => {
                let each = self.entropy(&bound, measured)?;
                let number = measured.output("cross entropy", &each);
                match *name {
                    "perplexity" => MetricKind::ExpMean(number),
                    "bits_per_character" => MetricKind::BitsMean(number),
                    _ => MetricKind::Mean(number),
                }
            }
            _ => {
                let (predicted, target) = self.numbers_of(&bound, measured)?;
                let difference = self.map(MapOp::Sub, &[&predicted, &target])?;
                if *name == "mae" {
                    let each = self.map(MapOp::Abs, &[&difference])?;
                    MetricKind::Mean(measured.output("absolute error", &each))
                } else {
                    let each = self.map(MapOp::Mul, &[&difference, &difference])?;
                    let number = measured.output("squared error", &each);
                    if *name == "rmse" {
                        MetricKind::RootMean(number)
                    } else {
                        MetricKind::Mean(number)
                    }
                }
            }
        };
        measured.given.metrics.push(Metric {
            name: (*name).into(),
            kind,
        });
        Ok(())
    }

    // Prediction and target: as given, or those of the training's only loss.
    fn operands(
        &mut self,
        bound: &Bound<'p, '_>,
        measured: &mut Measured<'p, '_>,
        second: &str,
    ) -> Eval<(Tensor, Tensor)> {
        if bound.get("predict").is_some() {
            self.need(bound, second)?;
            let predicted = self.float_tensor(bound, "predict")?;
            return Ok((predicted, self.tensor_arg(bound, second)?));
        }
        let parts = self.loss_parts(bound, measured)?;
        Ok((parts.predicted, parts.target))
    }

    fn loss_parts(
        &mut self,
        bound: &Bound<'p, '_>,
        measured: &mut Measured<'p, '_>,
    ) -> Eval<LossParts> {
        if measured.losses.is_none() {
            let here = self.source;
            let found = self.measured_loss(measured.name, measured.settings, measured.rows);
            self.source = here;
            measured.losses = Some(found?);
        }
        match measured.losses.as_deref() {
            Some([one]) => Ok(one.clone()),
            _ => {
                let message = format!(
                    "`{}` does not know which prediction it measures",
                    bound.name
                );
                self.fail(
                    Code::SettingMissing,
                    bound.loc,
                    message,
                    "give both: `accuracy(predict, rows.label)`",
                )
            }
        }
    }

    fn classified(
        &mut self,
        bound: &Bound<'p, '_>,
        measured: &mut Measured<'p, '_>,
    ) -> Eval<(Tensor, Tensor)> {
        let (scores, label) = self.operands(bound, measured, "label")?;
        if label.dtype != DType::I32 {
            return self.fail(
                Code::TypeDtype,
                bound.loc,
                format!(
                    "`{}` compares classes, and {} arrives",
                    bound.name,
                    label.text()
                ),
                "for numbers use `mae` or `rmse`",
            );
        }
        let class = crate::primitives::class_axis(self, &scores, &label, bound)?;
        let best = self.reduce(
            ReduceKind::ArgMax,
            &scores,
            std::slice::from_ref(&class.axis),
        )?;
        let label = self.broadcast(&label, &best.dims.clone())?;
        Ok((best, label))
    }

    fn entropy(&mut self, bound: &Bound<'p, '_>, measured: &mut Measured<'p, '_>) -> Eval<Tensor> {
        if bound.get("predict").is_some() {
            let (scores, label) = self.operands(bound, measured, "label")?;
            let class = crate::primitives::class_axis(self, &scores, &label, bound)?;
            let dims: Vec<_> = scores
                .dims
                .iter()
                .filter(|d| d.axis != class.axis)
                .cloned()
                .collect();
            let label = self.broadcast(&label, &dims)?;
            let op = mmh_ir::Op::Composite(mmh_ir::Composite::CrossEntropy { class: class.axis });
            return self.push(op, &[&scores, &label], DType::F32, dims);
        }
        let parts = self.loss_parts(bound, measured)?;
        if parts.name == "cross_entropy" {
            return Ok(parts.each);
        }
        self.fail(
            Code::TypeMismatch,
            bound.loc,
            format!(
                "`{}` needs a training by cross-entropy, and this one is by {}",
                bound.name, parts.name
            ),
            "use `mae` or `rmse`",
        )
    }

    fn numbers_of(
        &mut self,
        bound: &Bound<'p, '_>,
        measured: &mut Measured<'p, '_>,
    ) -> Eval<(Tensor, Tensor)> {
        let (predicted, target) = self.operands(bound, measured, "target")?;
        if target.dtype != DType::F32 {
            return self.fail(
                Code::TypeDtype,
                bound.loc,
                format!(
                    "`{}` compares numbers, and {} arrives",
                    bound.name,
                    target.text()
                ),
                "for classes use `accuracy`",
            );
        }
        Ok((predicted, target))
    }

    fn class_names(&self, label: &Tensor) -> Vec<String> {
        let count = label
            .classes
            .as_ref()
            .and_then(|(c, _)| c.integer())
            .unwrap_or(0);
        let named = label.classes.as_ref().and_then(|(_, loc)| {
            let columns = self.data.iter().flat_map(|d| &d.columns);
            columns
                .into_iter()
                .find(|c| c.loc.source == loc.source && c.loc.span.touches(loc.span.start))
                .map(|c| c.levels.clone())
        });
        match named {
            Some(levels) if levels.len() as i128 == count => levels,
            _ => (0..count).map(|n| n.to_string()).collect(),
        }
    }
}
