//! `train` and `evaluate` sections.

use crate::core::{Cx, Mode};
use crate::expr::Scope;
use crate::metrics::Measured;
use crate::recipe::{Evaluate, OptimiserSpec, Purpose, Train, WatchSpec};
use crate::section::Settings;
use crate::value::{Eval, Loc, Reported, Rows, Tensor, UnitKind, Value};
use mmh_diag::{Code, Diagnostic, SourceId};
use mmh_ir::plan::{Named, Part};
use mmh_syntax::ast::{Expr, Field, Section, SectionKind};

pub(crate) const TRAIN: &[&str] = &[
    "rows",
    "predict",
    "loss",
    "optimize",
    "schedule",
    "length",
    "clip",
    "watch",
    "every",
    "patience",
    "checkpoint",
    "accumulate",
    "average",
    "start",
    "shards",
];
pub(crate) const EVALUATE: &[&str] = &["model", "rows", "metrics"];

/// What one training or evaluation gives out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) outputs: Vec<Named>,
    pub(crate) metrics: Vec<mmh_ir::plan::Metric>,
}

impl<'p> Cx<'p> {
    /// The settings of a section, unreported.
    pub(crate) fn section(&self, declared: usize) -> Option<(&'p Section, SourceId)> {
        let found = self.program.declared.get(declared)?;
        match &found.item {
            mmh_syntax::ast::Item::Section(section) => Some((section, found.source)),
            _ => None,
        }
    }

    fn quiet_settings(section: &'p Section) -> Settings<'p> {
        Settings {
            fields: section.fields.iter().collect(),
        }
    }

    // ---- the expressions of a training ----

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
    fn forward_scope(
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
                self.enter_root(&format!("{name}.{field}"));
                let value = self.expr(&setting.value, &scope);
                self.leave();
                if let Ok(value) = &value {
                    let (at, text) = (self.at(setting.name.span), value.kind());
                    self.hover(at, || text);
                }
                scope.set(field, value.unwrap_or(Value::Error));
            }
        }
        scope
    }

    fn loss_value(&mut self, settings: &Settings<'p>, scope: &Scope) -> Eval<Tensor> {
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
    fn watched_rows(&mut self, field: &'p Field) -> Eval<(Rows, Loc)> {
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

    fn test_leak<T>(&mut self, loc: Loc, field: &'p Field) -> Eval<T> {
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

    fn watch(
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

    fn evaluation(
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
            self.enter_root(&format!("{name}.predict"));
            let value = self.expr(&predict.value, &scope);
            self.leave();
            scope.set("predict", value.unwrap_or(Value::Error));
        }
        self.enter_root(&format!("{name}.loss"));
        let value = self.expr(&field.value, &scope);
        self.leave();
        let found = std::mem::replace(&mut self.losses, before);
        value.map(|_| found)
    }

    // ---- checking a train section ----

    /// Checks a training whole; nothing if a part that others need is wrong.
    pub(crate) fn check_train(&mut self, declared: usize) -> Eval<Train> {
        let Some((section, source)) = self.section(declared) else {
            return Err(Reported);
        };
        self.source = source;
        let name = section
            .name
            .as_ref()
            .map_or(String::new(), |n| n.text.clone());
        let span = section.name.as_ref().map_or(section.kind_span, |n| n.span);
        let settings = self.settings(section, &name, TRAIN);
        let before = self.diagnostics.len();
        self.not_yet(&settings);
        let rows = self.train_rows(section, &settings, &name);
        let loss_help = "write `loss = cross_entropy(predict, rows.label)`";
        let loss_field = self.required(
            &settings,
            section,
            &name,
            "loss",
            Code::TrainNoLoss,
            loss_help,
        );
        let length_help = "write `length = 30 epochs`, or a number of steps";
        let length_field = self.required(
            &settings,
            section,
            &name,
            "length",
            Code::TrainNoLength,
            length_help,
        );
        if let Ok((rows, ..)) = &rows {
            self.mode = Mode::Training;
            let scope = self.forward_scope(&name, &settings, rows, loss_field.is_ok());
            if loss_field.is_ok()
                && self.loss_value(&settings, &scope).is_ok()
                && self
                    .state
                    .iter()
                    .all(|s| s.role != mmh_ir::plan::Role::Parameter)
            {
                let at = settings.get("loss").map_or(span, |f| f.value.span());
                let _: Eval<()> = self.fail_at(
                    Code::LossNoGradient,
                    at,
                    "no parameter reaches the loss",
                    "compare the prediction of a model with the rows",
                );
            }
        }
        let epoch = rows.as_ref().map_or(0, |(_, _, epoch)| *epoch);
        let steps = length_field.and_then(|field| self.steps_field(field, epoch));
        let optimisers = self.optimisers(section, &settings, &name);
        let schedule = match settings.get("schedule") {
            Some(field) => self.schedule(field, epoch, steps.as_ref().ok().copied()),
            None => Ok(vec![]),
        };
        let clip = self.clip(&settings);
        let checkpoint = settings
            .get("checkpoint")
            .map_or(Ok(epoch.max(1)), |f| self.steps_field(f, epoch));
        let watch = self.watch_spec(&name, &settings, epoch);
        let (rows, size, epoch_steps) = rows?;
        let data = rows.data;
        let train = Train {
            name: name.clone(),
            span,
            data: data as u32,
            part: rows.part.unwrap_or(Part::Train),
            rows: self
                .data
                .get(data)
                .map_or(0, |d| d.rows_in(rows.part.unwrap_or(Part::Train))),
            batch: size,
            shuffle: rows.shuffle.map(|_| format!("{name}.rows.shuffle")),
            epoch_steps,
            steps: steps?,
            optimisers: optimisers?,
            clip: clip?,
            schedule: schedule?,
            checkpoint: checkpoint?,
            watch: watch?,
        };
        let failed = self
            .diagnostics
            .iter()
            .skip(before)
            .any(Diagnostic::is_error);
        if failed { Err(Reported) } else { Ok(train) }
    }

    fn not_yet(&mut self, settings: &Settings<'p>) {
        let later = [
            (
                "accumulate",
                "raise `batch(n)`: rows of a step are one batch",
            ),
            ("average", "keep the best checkpoint with `watch`"),
            (
                "start",
                "train from the first values; `length` may be longer",
            ),
            ("shards", "one shard computes the whole batch"),
        ];
        for (name, instead) in later {
            if let Some(field) = settings.get(name) {
                let _: Eval<()> = self.fail_at(
                    Code::CapabilityNotYet,
                    field.name.span,
                    format!("this version cannot run `{name}`"),
                    instead,
                );
            }
        }
    }

    fn train_rows(
        &mut self,
        section: &'p Section,
        settings: &Settings<'p>,
        name: &str,
    ) -> Eval<(Rows, u64, u64)> {
        let help = "write `rows = digits.train |> shuffle |> batch(64)`";
        let field = self.required(settings, section, name, "rows", Code::SettingMissing, help)?;
        let rows = self.rows_of(field)?;
        let loc = self.at(field.value.span());
        if rows.part == Some(Part::Test) {
            let diagnostic =
                Diagnostic::error(Code::DataTestLeak, "training would see the test rows")
                    .at(
                        loc.source,
                        loc.span,
                        "these rows are for the last measurement only",
                    )
                    .help("train on `.train`");
            return Err(self.report(diagnostic));
        }
        let Some(size) = rows.batch else {
            return self.fail(
                Code::SettingMissing,
                loc,
                "`rows` does not say how many make a step",
                "add `|> batch(64)`",
            );
        };
        let count = self
            .data
            .get(rows.data)
            .map_or(0, |d| d.rows_in(rows.part.unwrap_or(Part::Train)));
        Ok((rows, size, count.div_ceil(size)))
    }

    fn steps_field(&mut self, field: &'p Field, epoch: u64) -> Eval<u64> {
        let loc = self.at(field.value.span());
        let value = self.expr(&field.value, &Scope::default())?;
        self.steps(value, loc, &field.name.text, epoch)
    }

    fn clip(&mut self, settings: &Settings<'p>) -> Eval<Option<f64>> {
        let Some(field) = settings.get("clip") else {
            return Ok(None);
        };
        let clip = self.float_field(field, &Scope::default())?;
        if clip > 0.0 {
            return Ok(Some(clip));
        }
        self.fail_at(
            Code::ValueRange,
            field.value.span(),
            "`clip` is the largest length of the gradient, above 0",
            "write `clip = 1.0`, or leave it away",
        )
    }

    fn watch_spec(
        &mut self,
        name: &str,
        settings: &Settings<'p>,
        epoch: u64,
    ) -> Eval<Option<WatchSpec>> {
        let every = settings
            .get("every")
            .map_or(Ok(epoch.max(1)), |f| self.steps_field(f, epoch));
        let Some(field) = settings.get("watch") else {
            for lonely in ["every", "patience"] {
                if let Some(field) = settings.get(lonely) {
                    let _: Eval<()> = self.fail_at(
                        Code::SettingMissing,
                        field.name.span,
                        format!("`{lonely}` needs `watch`: nothing is measured"),
                        "add `watch = accuracy(predict, rows.label, on = digits.valid)`",
                    );
                    return Err(Reported);
                }
            }
            return Ok(None);
        };
        let mut given = Given::default();
        let source = self.source;
        let rows = self.watch(name, settings, field, &mut given);
        self.mode = Mode::Training;
        self.source = source;
        let every = every?;
        let patience = match settings.get("patience") {
            None => None,
            Some(field) => Some(self.patience(field, epoch, every)?),
        };
        let rows = rows?;
        let part = rows.part.unwrap_or(Part::Valid);
        let maximise = given
            .metrics
            .first()
            .is_some_and(|m| matches!(m.kind, mmh_ir::plan::MetricKind::Share(_)));
        Ok(Some(WatchSpec {
            data: rows.data as u32,
            part,
            rows: self.data.get(rows.data).map_or(0, |d| d.rows_in(part)),
            maximise,
            every,
            patience,
        }))
    }

    // Measurements without a better one; a time is turned into measurements.
    fn patience(&mut self, field: &'p Field, epoch: u64, every: u64) -> Eval<u64> {
        let loc = self.at(field.value.span());
        match self.expr(&field.value, &Scope::default())? {
            Value::Quantity(q) if matches!(q.kind, UnitKind::Epochs | UnitKind::Steps) => {
                let steps = self.steps(Value::Quantity(q), loc, "patience", epoch)?;
                Ok(steps.div_ceil(every.max(1)))
            }
            value => self.steps(value, loc, "patience", epoch),
        }
    }

    // ---- evaluate ----

    /// Checks an evaluation; `trainings` are the declarations of those that are in order.
    pub(crate) fn check_evaluate(
        &mut self,
        declared: usize,
        trainings: &[usize],
    ) -> Eval<Evaluate> {
        let Some((section, source)) = self.section(declared) else {
            return Err(Reported);
        };
        self.source = source;
        let name = section
            .name
            .as_ref()
            .map_or(String::new(), |n| n.text.clone());
        let settings = self.settings(section, &name, EVALUATE);
        let model = self.required(
            &settings,
            section,
            &name,
            "model",
            Code::SettingMissing,
            "write `model = fit.best` or `model = fit.last`",
        );
        let rows = self.required(
            &settings,
            section,
            &name,
            "rows",
            Code::SettingMissing,
            "write `rows = digits.test`",
        );
        let metrics = self.required(
            &settings,
            section,
            &name,
            "metrics",
            Code::SettingMissing,
            "write `metrics = [accuracy]`",
        );
        let rows = rows.and_then(|field| self.rows_of(field));
        let model = model.and_then(|field| self.model_of(field));
        if let (Err(Reported), Ok(field)) = (&model, &metrics) {
            self.metric_names(field);
        }
        let (training, best) = model?;
        let (rows, _) = (rows?, metrics?);
        let Some(number) = trainings.iter().position(|t| *t == training) else {
            return Err(Reported);
        };
        self.purpose(training, Some(declared), Purpose::Evaluate(0))?;
        let part = rows.part.unwrap_or(Part::Test);
        Ok(Evaluate {
            name,
            training: number,
            best,
            data: rows.data as u32,
            part,
            rows: self.data.get(rows.data).map_or(0, |d| d.rows_in(part)),
        })
    }

    /// `fit.best` or `fit.last`.
    pub(crate) fn model_of(&mut self, field: &'p Field) -> Eval<(usize, bool)> {
        let loc = self.at(field.value.span());
        let help = "write `fit.best` or `fit.last`, with the name of a training";
        let Expr::Path(path) = field.value.ungrouped() else {
            return self.fail(
                Code::SettingType,
                loc,
                "`model` is what a training gives",
                help,
            );
        };
        let [training, which, ..] = path.names.as_slice() else {
            return self.fail(
                Code::SettingType,
                loc,
                "`model` is what a training gives",
                help,
            );
        };
        let index = match self.name_value(training, &Scope::default())? {
            Value::Train(index) => index,
            other => {
                return self.fail(
                    Code::SettingType,
                    loc,
                    format!("`{}` is {}, not a training", training.text, other.kind()),
                    help,
                );
            }
        };
        let watches = self
            .section(index)
            .is_some_and(|(s, _)| s.fields.iter().any(|f| f.name.text == "watch"));
        match which.text.as_str() {
            "best" if watches => Ok((index, true)),
            "best" => {
                let help = format!(
                    "write `{}.last`, or give `{}` a `watch`",
                    training.text, training.text
                );
                self.fail_at(
                    Code::NameUnknown,
                    which.span,
                    format!("`{}` watches nothing, so it has no best", training.text),
                    help,
                )
            }
            "last" => Ok((index, false)),
            other => self.fail_at(
                Code::NameUnknown,
                which.span,
                format!("`{}` has no `{other}`", training.text),
                help,
            ),
        }
    }

    fn optimisers(
        &mut self,
        section: &'p Section,
        settings: &Settings<'p>,
        name: &str,
    ) -> Eval<Vec<OptimiserSpec>> {
        let field = self.required(
            settings,
            section,
            name,
            "optimize",
            Code::SettingMissing,
            "write `optimize = adamw(lr = 1e-3)`",
        )?;
        let items: Vec<&'p Expr> = match field.value.ungrouped() {
            Expr::List { items, .. } => items.iter().collect(),
            one => vec![one],
        };
        let specs: Vec<Eval<OptimiserSpec>> =
            items.into_iter().map(|item| self.optimiser(item)).collect();
        specs.into_iter().collect()
    }
}
