//! `train` and `evaluate` sections.

use crate::core::{Cx, Mode};
use crate::expr::Scope;
use crate::recipe::{Evaluate, OptimiserSpec, Purpose, Train, WatchSpec};
use crate::section::{Choice, Settings};
use crate::value::{Eval, Reported, Rows, UnitKind, Value};
use mmh_diag::{Code, Diagnostic, SourceId};
use mmh_ir::plan::{Named, Part, Precision};
use mmh_syntax::ast::{BinaryOp, Expr, Field, Name, Section};

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
    "audit",
    "accumulate",
    "average",
    "start",
    "precision",
    "shards",
];
/// Number formats of a training, in the order of [`Precision`].
pub(crate) const PRECISIONS: &[Choice] = &[("f32", &[]), ("bf16", &[])];
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
        match found.item.as_ref() {
            mmh_syntax::ast::Item::Section(section) => Some((section, found.source)),
            _ => None,
        }
    }

    pub(crate) fn quiet_settings(section: &'p Section) -> Settings<'p> {
        Settings {
            // Of two of one name the first counts.
            fields: section
                .fields
                .iter()
                .rev()
                .map(|field| (field.name.text.as_str(), field))
                .collect(),
        }
    }

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
        self.assumed = rows.is_err() || loss_field.is_err();
        if let Ok((rows, ..)) = &rows {
            self.mode = Mode::Training;
            self.used.clear();
            let scope = self.forward_scope(&name, &settings, rows, loss_field.is_ok());
            if loss_field.is_ok()
                && self.loss_value(&settings, &scope).is_ok()
                && !self.assumed
                && self.used_parameters().next().is_none()
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
        if let (Ok(field), Ok(steps)) = (length_field, &steps) {
            self.flow(self.at(field.value.span()), || format!("{steps} steps"));
        }
        let start = self.start(&settings);
        let optimisers = self.optimisers(section, &settings, &name);
        let schedule = match settings.get("schedule") {
            Some(field) => self.schedule(field, epoch, steps.as_ref().ok().copied()),
            None => Ok(vec![]),
        };
        let clip = self.clip(&settings);
        let checkpoint = settings
            .get("checkpoint")
            .map_or(Ok(epoch.max(1)), |f| self.steps_field(f, epoch));
        let audit = self.audit(&settings, epoch);
        let precision = self.precision(&settings);
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
            shuffle: rows
                .shuffle
                .map(|_| format!("{}.rows.shuffle", self.program.training_path(&name))),
            epoch_steps,
            steps: steps?,
            optimisers: optimisers?,
            clip: clip?,
            schedule: schedule?,
            checkpoint: checkpoint?,
            audit: audit?,
            precision: precision?,
            watch: watch?,
            start: start?,
        };
        let failed = self
            .diagnostics
            .iter()
            .skip(before)
            .any(Diagnostic::is_error);
        if failed { Err(Reported) } else { Ok(train) }
    }

    pub(crate) fn not_yet(&mut self, settings: &Settings<'p>) {
        let later = [
            (
                "accumulate",
                "raise `batch(n)`: rows of a step are one batch",
            ),
            ("average", "keep the best checkpoint with `watch`"),
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

    pub(crate) fn train_rows(
        &mut self,
        section: &'p Section,
        settings: &Settings<'p>,
        name: &str,
    ) -> Eval<(Rows, u64, u64)> {
        let help = "write `rows = digits.train |> shuffle |> batch(64)`";
        let field = self.required(settings, section, name, "rows", Code::SettingMissing, help)?;
        let mut rows = self.rows_of(field)?;
        let loc = self.at(field.value.span());
        // What is computed of the rows is checked all the same.
        if rows.part == Some(Part::Test) {
            let diagnostic =
                Diagnostic::error(Code::DataTestLeak, "training would see the test rows")
                    .at(
                        loc.source,
                        loc.span,
                        "these rows are for the last measurement only",
                    )
                    .help("train on `.train`");
            self.report(diagnostic);
            rows.part = Some(Part::Train);
        }
        let Some(size) = rows.batch else {
            let _: Eval<()> = self.fail(
                Code::SettingMissing,
                loc,
                "`rows` does not say how many make a step",
                "add `|> batch(64)`",
            );
            return Ok((rows, 0, 0));
        };
        let count = self
            .data
            .get(rows.data)
            .map_or(0, |d| d.rows_in(rows.part.unwrap_or(Part::Train)));
        Ok((rows, size, count.div_ceil(size)))
    }

    pub(crate) fn steps_field(&mut self, field: &'p Field, epoch: u64) -> Eval<u64> {
        let loc = self.at(field.value.span());
        let value = self.expr(&field.value, &Scope::default())?;
        self.steps(value, loc, &field.name.text, epoch)
    }

    /// `audit = 1/1000 steps`: one step in so many.
    fn audit(&mut self, settings: &Settings<'p>, epoch: u64) -> Eval<Option<u64>> {
        let Some(field) = settings.get("audit") else {
            return Ok(None);
        };
        if let Expr::Binary {
            op: BinaryOp::Divide,
            lhs,
            rhs,
            ..
        } = &field.value
            && matches!(&**lhs, Expr::Number { text, .. } if text == "1")
        {
            let loc = self.at(rhs.span());
            let value = self.expr(rhs, &Scope::default())?;
            return self.steps(value, loc, "audit", epoch).map(Some);
        }
        self.fail_at(
            Code::SettingType,
            field.value.span(),
            "`audit` is a share of the steps",
            "write `audit = 1/1000 steps`: one step in a thousand is done again on another device",
        )
    }

    /// `precision = bf16`.
    fn precision(&mut self, settings: &Settings<'p>) -> Eval<Precision> {
        let Some(field) = settings.get("precision") else {
            return Ok(Precision::F32);
        };
        let scope = Scope::default();
        let (which, _) = self.chosen(&field.value, PRECISIONS, "precision", &scope)?;
        Ok(if which == 0 {
            Precision::F32
        } else {
            Precision::Bf16
        })
    }

    pub(crate) fn clip(&mut self, settings: &Settings<'p>) -> Eval<Option<f64>> {
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

    pub(crate) fn watch_spec(
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
    pub(crate) fn patience(&mut self, field: &'p Field, epoch: u64, every: u64) -> Eval<u64> {
        let loc = self.at(field.value.span());
        match self.expr(&field.value, &Scope::default())? {
            Value::Quantity(q) if matches!(q.kind, UnitKind::Epochs | UnitKind::Steps) => {
                let steps = self.steps(Value::Quantity(q), loc, "patience", epoch)?;
                Ok(steps.div_ceil(every.max(1)))
            }
            value => self.steps(value, loc, "patience", epoch),
        }
    }

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
        let Some(number) = trainings.iter().position(|t| *t == training) else {
            self.metric_names(metrics?);
            self.mapped(&rows?);
            return Err(Reported);
        };
        let (rows, _) = (rows?, metrics?);
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

    /// Applies the maps of rows where there is no model to measure.
    fn mapped(&mut self, rows: &Rows) {
        for (column, _, loc) in &rows.maps {
            let name = Name {
                text: column.clone(),
                span: loc.span,
            };
            let _ = self.rows_column(rows, &name);
        }
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
        // The best of a search is the best model of what it runs, with the settings it chose.
        let searched = self.searched_by(training);
        if searched.is_some() && which.text != "best" {
            return self.fail_at(
                Code::NameUnknown,
                which.span,
                format!("a search has no `{}`", which.text),
                "write `.best`",
            );
        }
        let training = searched.unwrap_or(training);
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
            other => {
                let message = format!("`{}` has no `{other}`", training.text);
                let near = mmh_diag::suggest(other, ["best", "last"]);
                let at = self.at(which.span);
                self.misspelt(Code::NameUnknown, at, message, near, || help.to_owned())
            }
        }
    }

    pub(crate) fn optimisers(
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
        let items: Vec<&'p Expr> = match self.settled(&field.value).ungrouped() {
            Expr::List { items, .. } => items.iter().collect(),
            one => vec![one],
        };
        let specs: Vec<Eval<OptimiserSpec>> =
            items.into_iter().map(|item| self.optimiser(item)).collect();
        specs.into_iter().collect()
    }
}
