//! The expressions of a training, evaluated for one purpose.

use crate::core::{Cx, Mode};
use crate::expr::Scope;
use crate::metrics::Measured;
use crate::recipe::Purpose;
use crate::section::Settings;
use crate::train::Given;
use crate::value::{Eval, Loc, Reported, Rows, Tensor, Value};
use mmh_diag::{Code, Diagnostic, SourceId};
use mmh_ir::plan::{Named, Part};
use mmh_syntax::ast::{Expr, Field, SectionKind};

impl<'p> Cx<'p> {
    /// The rows a training takes.
    pub(crate) fn rows_of(&mut self, field: &'p Field) -> Eval<Rows> {
        let loc = self.at(field.value.span());
        match self.expr(&field.value, &Scope::default())? {
            Value::Rows(rows) => Ok(*rows),
            Value::Data(number) => {
                let name = self
                    .data
                    .get(number)
                    .map_or(String::new(), |d| d.name.clone());
                self.fail(
                    Code::TypeMismatch,
                    loc,
                    format!("`{name}` is a data set, and `rows` are those of one part"),
                    format!("write `{name}.train`"),
                )
            }
            other => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`rows` are rows of data, not {}", other.kind()),
                "start with `digits.train`",
            ),
        }
    }

    /// Binds `rows`, then `predict` and `loss` if the section has them.
    pub(crate) fn forward_scope(
        &mut self,
        name: &str,
        settings: &Settings<'p>,
        rows: &Rows,
        loss: bool,
    ) -> Scope {
        let mut scope = Scope::default();
        scope.set("rows", Value::Rows(Box::new(rows.clone())));
        for field in ["predict", "loss"] {
            if field == "loss" && !loss {
                continue;
            }
            if let Some(setting) = settings.get(field) {
                let root = self.program.training_path(name);
                self.enter_root(&format!("{root}.{field}"));
                let value = self.expr(&setting.value, &scope);
                self.leave();
                if let Ok(value) = &value {
                    let (at, text) = (self.at(setting.name.span), value.kind());
                    self.hover(at, || text);
                }
                self.assumed |= value.is_err();
                scope.set(field, value.unwrap_or(Value::Error));
            }
        }
        scope
    }

    pub(crate) fn loss_value(&mut self, settings: &Settings<'p>, scope: &Scope) -> Eval<Tensor> {
        let Some(field) = settings.get("loss") else {
            return Err(Reported);
        };
        let loc = self.at(field.value.span());
        match scope.get("loss") {
            Some(Value::Tensor(t)) if t.dims.is_empty() && t.dtype == mmh_ir::DType::F32 => {
                Ok(t.clone())
            }
            Some(Value::Tensor(t)) => {
                let (text, axes) = (t.text(), t.axes_text());
                self.fail(
                    Code::ShapeRank,
                    loc,
                    format!("`loss` is one number, and {text} arrives"),
                    format!("take the mean over {axes}"),
                )
            }
            Some(Value::Error) | None => Err(Reported),
            Some(Value::List(_)) => {
                let help = "add them up into one number; alternating phases come later";
                self.fail(
                    Code::CapabilityNotYet,
                    loc,
                    "this version cannot run several losses in turn",
                    help,
                )
            }
            Some(Value::Text(_)) => self.fail(
                Code::SettingType,
                loc,
                "`loss` is computed, not named by a text",
                "write `loss = cross_entropy(predict, rows.label)`",
            ),
            Some(other) => {
                let kind = other.kind();
                self.fail(
                    Code::LossNoGradient,
                    loc,
                    format!("`loss` is {kind}: no parameter reaches it"),
                    "compare the prediction of a model with the rows",
                )
            }
        }
    }

    /// Everything one purpose needs, in the mode it needs.
    pub(crate) fn purpose(
        &mut self,
        training: usize,
        evaluation: Option<usize>,
        purpose: Purpose,
    ) -> Eval<Given> {
        let Some((section, source)) = self.section(training) else {
            return Err(Reported);
        };
        self.source = source;
        let name = section
            .name
            .as_ref()
            .map_or(String::new(), |n| n.text.clone());
        let settings = Self::quiet_settings(section);
        let Some(field) = settings.get("rows") else {
            return Err(Reported);
        };
        let rows = self.rows_of(field)?;
        let mut given = Given::default();
        match purpose {
            Purpose::Step => {
                self.mode = Mode::Training;
                let scope = self.forward_scope(&name, &settings, &rows, true);
                let loss = self.loss_value(&settings, &scope)?;
                given.outputs.push(Named {
                    name: "loss".into(),
                    value: loss.id,
                });
            }
            Purpose::Predict => {
                self.mode = Mode::Evaluation;
                let plain = Rows {
                    maps: vec![],
                    ..rows
                };
                let scope = self.forward_scope(&name, &settings, &plain, false);
                if let Some(Value::Tensor(t)) = scope.get("predict") {
                    given.outputs.push(Named {
                        name: "predict".into(),
                        value: t.id,
                    });
                }
            }
            Purpose::Watch => {
                let Some(field) = settings.get("watch") else {
                    return Err(Reported);
                };
                self.watch(&name, &settings, field, &mut given)?;
            }
            Purpose::Evaluate(_) => {
                let Some(evaluation) = evaluation else {
                    return Err(Reported);
                };
                self.evaluation(evaluation, &name, &settings, source, &mut given)?;
            }
        }
        Ok(given)
    }

    /// The rows a metric is taken on: `on = digits.valid`.
    pub(crate) fn watched_rows(&mut self, field: &'p Field) -> Eval<(Rows, Loc)> {
        let Expr::Call(call) = field.value.ungrouped() else {
            return self.fail_at(
                Code::SettingType,
                field.value.span(),
                "`watch` is a metric over rows",
                "write `accuracy(predict, rows.label, on = digits.valid)`",
            );
        };
        let on = call
            .args
            .iter()
            .find(|a| a.name.as_ref().is_some_and(|n| n.text == "on"));
        let Some(on) = on else {
            return self.fail_at(
                Code::SettingMissing,
                field.value.span(),
                "`watch` does not say on which rows",
                "add `on = digits.valid`",
            );
        };
        let loc = self.at(on.value.span());
        match self.expr(&on.value, &Scope::default())? {
            Value::Rows(rows) => {
                if rows.part == Some(Part::Test) {
                    return self.test_leak(loc, field);
                }
                Ok((*rows, loc))
            }
            other => self.fail(
                Code::TypeMismatch,
                loc,
                format!("`on` takes rows, not {}", other.kind()),
                "write `digits.valid`",
            ),
        }
    }

    pub(crate) fn test_leak<T>(&mut self, loc: Loc, field: &'p Field) -> Eval<T> {
        let searched = self.program.sections(SectionKind::Search).next().is_some();
        let who = if searched { "the search" } else { "training" };
        let diagnostic = Diagnostic::error(
            Code::DataTestLeak,
            format!("{who} would choose by the test rows"),
        )
        .at(
            loc.source,
            loc.span,
            "these rows are for the last measurement only",
        )
        .and(
            self.source,
            field.name.span,
            "this decides which model is kept",
        )
        .help("watch the validation rows: `.valid`");
        Err(self.report(diagnostic))
    }

    pub(crate) fn watch(
        &mut self,
        name: &str,
        settings: &Settings<'p>,
        field: &'p Field,
        given: &mut Given,
    ) -> Eval<Rows> {
        let (rows, _) = self.watched_rows(field)?;
        self.mode = Mode::Evaluation;
        let scope = self.forward_scope(name, settings, &rows, false);
        let mut measured = Measured {
            name,
            settings,
            rows: &rows,
            scope,
            losses: None,
            given,
        };
        self.metric(&field.value, &mut measured)?;
        Ok(rows)
    }

    pub(crate) fn evaluation(
        &mut self,
        evaluation: usize,
        name: &str,
        settings: &Settings<'p>,
        training_source: SourceId,
        given: &mut Given,
    ) -> Eval<()> {
        let Some((section, source)) = self.section(evaluation) else {
            return Err(Reported);
        };
        self.source = source;
        let own = Self::quiet_settings(section);
        let Some(field) = own.get("rows") else {
            return Err(Reported);
        };
        let rows = self.rows_of(field)?;
        let Some(metrics) = own.get("metrics") else {
            return Err(Reported);
        };
        self.mode = Mode::Evaluation;
        self.source = training_source;
        let scope = self.forward_scope(name, settings, &rows, false);
        let mut measured = Measured {
            name,
            settings,
            rows: &rows,
            scope,
            losses: None,
            given,
        };
        let items: Vec<&'p Expr> = match metrics.value.ungrouped() {
            Expr::List { items, .. } => items.iter().collect(),
            one => vec![one],
        };
        let mut failed = false;
        for item in items {
            self.source = source;
            failed |= self.metric(item, &mut measured).is_err();
        }
        if failed { Err(Reported) } else { Ok(()) }
    }

    /// The training's loss on the rows measured, for metrics taken from it.
    pub(crate) fn measured_loss(
        &mut self,
        name: &str,
        settings: &Settings<'p>,
        rows: &Rows,
    ) -> Eval<Vec<crate::core::LossParts>> {
        let Some(field) = settings.get("loss") else {
            return Err(Reported);
        };
        let before = std::mem::take(&mut self.losses);
        let mut scope = Scope::default();
        scope.set("rows", Value::Rows(Box::new(rows.clone())));
        if let Some(predict) = settings.get("predict") {
            let root = self.program.training_path(name);
            self.enter_root(&format!("{root}.predict"));
            let value = self.expr(&predict.value, &scope);
            self.leave();
            scope.set("predict", value.unwrap_or(Value::Error));
        }
        let root = self.program.training_path(name);
        self.enter_root(&format!("{root}.loss"));
        let value = self.expr(&field.value, &scope);
        self.leave();
        let found = std::mem::replace(&mut self.losses, before);
        value.map(|_| found)
    }
}
