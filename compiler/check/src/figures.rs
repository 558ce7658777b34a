//! What a search follows: the `watch` of its training, metrics of an evaluation, and what is known of a plan by itself.

use crate::core::Cx;
use crate::expr::Scope;
use crate::program::walk;
use crate::recipe::{Figure, Train};
use crate::section::Settings;
use crate::value::{Eval, Loc, Reported};
use mmh_diag::{Code, Diagnostic, SourceId, Span, suggest};
use mmh_ir::plan::Part;
use mmh_search::{Direction, Method, Objective, Propose};
use mmh_syntax::ast::{Expr, Field, Path, Section, SectionKind};

/// Figures that a plan has before it is carried out.
pub(crate) const PLANNED: &[&str] = &["parameters", "memory", "flops"];

const HELP: &str = "write `fit.watch`, a metric such as `check.accuracy`, or one of `parameters`, `memory`, `flops`";

/// A figure that a search follows, and where that is written.
pub(crate) struct Followed {
    figure: Figure,
    direction: Direction,
    loc: Loc,
    /// `maximize` or `minimize`.
    setting: Span,
    /// Whether it is the only figure of its setting.
    alone: bool,
}

impl Followed {
    pub(crate) fn into_parts(self) -> (Objective, Figure) {
        let objective = Objective {
            name: self.figure.name(),
            direction: self.direction,
        };
        (objective, self.figure)
    }
}

impl<'p> Cx<'p> {
    /// The figures in the order in which they are written.
    pub(crate) fn figures(
        &mut self,
        settings: &Settings<'p>,
        section: &'p Section,
        name: &str,
        run: Option<usize>,
    ) -> Eval<Vec<Followed>> {
        let mut all: Vec<Followed> = Vec::new();
        let mut wrong = false;
        for field in settings.in_order() {
            let direction = match field.name.text.as_str() {
                "maximize" => Direction::Maximise,
                "minimize" => Direction::Minimise,
                _ => continue,
            };
            let items: Vec<&'p Expr> = match field.value.ungrouped() {
                Expr::List { items, .. } => items.iter().collect(),
                one => vec![one],
            };
            for item in &items {
                let Ok(figure) = self.figure(item, run) else {
                    wrong = true;
                    continue;
                };
                let followed = Followed {
                    figure,
                    direction,
                    loc: self.at(item.span()),
                    setting: field.name.span,
                    alone: items.len() == 1,
                };
                match all.iter().find(|known| known.figure == followed.figure) {
                    Some(first) => wrong |= self.named_twice(&followed, first),
                    None => all.push(followed),
                }
            }
        }
        if wrong {
            return Err(Reported);
        }
        if all.is_empty() {
            let (code, help) = (Code::SettingMissing, "write `maximize = fit.watch`");
            self.required(settings, section, name, "maximize", code, help)?;
            let loc = self.at(section.kind_span);
            return self.fail(Code::SettingMissing, loc, "a search follows a figure", HELP);
        }
        Ok(all)
    }

    fn named_twice(&mut self, again: &Followed, first: &Followed) -> bool {
        let text = self.text(again.loc);
        let message = format!("`{text}` is followed twice");
        let diagnostic = Diagnostic::error(Code::SettingDuplicate, message)
            .at(again.loc.source, again.loc.span, "again here")
            .and(first.loc.source, first.loc.span, "first here")
            .help("leave one away: a figure is made large or small, not both");
        self.report(diagnostic);
        true
    }

    fn figure(&mut self, expr: &'p Expr, run: Option<usize>) -> Eval<Figure> {
        let loc = self.at(expr.span());
        let what = "a search follows figures";
        let Expr::Path(path) = expr.ungrouped() else {
            return self.fail(Code::SettingType, loc, what, HELP);
        };
        let head = path.names.first();
        if head.is_some_and(|head| self.program.is_lost(self.source, &head.text)) {
            return Err(Reported);
        }
        match path.names.as_slice() {
            [name] => self.planned(path, &name.text, loc, run),
            [head, which, ..] => match self.program.find(self.source, &head.text) {
                Some(declared) => self.measured_figure(declared, path, &which.text, loc, run),
                None => {
                    self.name_value(head, &Scope::default())?;
                    Err(Reported)
                }
            },
            [] => self.fail(Code::SettingType, loc, what, HELP),
        }
    }

    fn planned(
        &mut self,
        path: &'p Path,
        name: &str,
        loc: Loc,
        run: Option<usize>,
    ) -> Eval<Figure> {
        match name {
            "parameters" => Ok(Figure::Parameters),
            "memory" => Ok(Figure::Memory),
            "flops" => {
                let section = run.and_then(|run| self.section(run));
                let silent = section.is_some_and(|(section, _)| {
                    section.fields.iter().all(|f| f.name.text != "predict")
                });
                if silent {
                    let message =
                        "`flops` are those of a prediction, and the training has no `predict`";
                    let help = "name what it predicts: `predict = net(rows.image)`";
                    return self.fail(Code::SettingMissing, loc, message, help);
                }
                Ok(Figure::Flops)
            }
            _ => {
                if self.program.find(self.source, name).is_some() {
                    let message = format!("`{name}` is no figure");
                    return self.fail(Code::SettingType, loc, message, HELP);
                }
                let Some(near) = suggest(name, PLANNED.iter().copied()) else {
                    let message = format!("nothing measures `{name}`");
                    return self.fail(Code::NameUnknown, loc, message, HELP);
                };
                let diagnostic =
                    Diagnostic::error(Code::NameUnknown, format!("nothing measures `{name}`"))
                        .at(self.source, path.span, "")
                        .help(format!("did you mean `{near}`?"))
                        .fix(format!("write `{near}`"), path.span, near);
                Err(self.report(diagnostic))
            }
        }
    }

    /// `fit.watch`, or a metric of an evaluation of the training that is run; never a figure of test rows.
    fn measured_figure(
        &mut self,
        declared: usize,
        path: &'p Path,
        which: &str,
        loc: Loc,
        run: Option<usize>,
    ) -> Eval<Figure> {
        let head = path.names.first().map_or("", |name| name.text.as_str());
        let Some((section, source)) = self.section(declared) else {
            let message = format!("`{head}` is no section that measures");
            return self.fail(Code::SettingType, loc, message, HELP);
        };
        match section.kind {
            SectionKind::Train => self.watched(section, declared, head, which, loc, run),
            SectionKind::Evaluate => {
                self.keeps_test_rows(section, source, loc)?;
                self.evaluated(section, head, which, loc, run)
            }
            _ => {
                let message = format!("`{head}` is no section that measures");
                self.fail(Code::SettingType, loc, message, HELP)
            }
        }
    }

    fn watched(
        &mut self,
        section: &'p Section,
        declared: usize,
        head: &str,
        which: &str,
        loc: Loc,
        run: Option<usize>,
    ) -> Eval<Figure> {
        if which != "watch" {
            let message = format!("`{head}` has no figure `{which}`");
            return self.fail(
                Code::NameUnknown,
                loc,
                message,
                format!("write `{head}.watch`"),
            );
        }
        if !section.fields.iter().any(|f| f.name.text == "watch") {
            let message = format!("`{head}` watches nothing");
            return self.fail(Code::NameUnknown, loc, message, "give it a `watch`");
        }
        if run.is_some_and(|run| run != declared) {
            let message = format!("trials run another training than `{head}`");
            let help = "follow the `watch` of the training in `run`";
            return self.fail(Code::SettingType, loc, message, help);
        }
        Ok(Figure::Watch)
    }

    fn keeps_test_rows(&mut self, section: &'p Section, source: SourceId, loc: Loc) -> Eval<()> {
        let rows = section.fields.iter().find(|f| f.name.text == "rows");
        let Some(rows) = rows.filter(|rows| reads_test(rows)) else {
            return Ok(());
        };
        let message = "the search would choose by the test rows";
        let diagnostic = Diagnostic::error(Code::DataTestLeak, message)
            .at(self.source, loc.span, "this decides which trial wins")
            .help("measure on the validation rows: `.valid`")
            .and(
                source,
                rows.value.span(),
                "these rows are for the last measurement only",
            );
        Err(self.report(diagnostic))
    }

    /// A number among the metrics of an evaluation.
    fn evaluated(
        &mut self,
        section: &'p Section,
        head: &str,
        which: &str,
        loc: Loc,
        run: Option<usize>,
    ) -> Eval<Figure> {
        let field = |name: &str| section.fields.iter().find(|f| f.name.text == name);
        let mut named: Vec<&str> = Vec::new();
        if let Some(metrics) = field("metrics") {
            let items: Vec<&Expr> = match metrics.value.ungrouped() {
                Expr::List { items, .. } => items.iter().collect(),
                one => vec![one],
            };
            named.extend(items.into_iter().filter_map(metric_name));
        }
        if which == "confusion" || !named.contains(&which) {
            named.retain(|name| *name != "confusion");
            let message = match which {
                "confusion" => format!("`{head}.confusion` is a table, not a figure"),
                _ => format!("`{head}` does not measure `{which}`"),
            };
            let help = match named.as_slice() {
                [] => format!("name it among the `metrics` of `{head}`"),
                [first, ..] => format!(
                    "write `{head}.{first}`, or name another among the `metrics` of `{head}`"
                ),
            };
            return self.fail(Code::NameUnknown, loc, message, help);
        }
        // Whatever is wrong with its model is said where that is checked.
        let trained = field("model").and_then(|model| self.trained(model));
        if let (Some(run), Some(trained)) = (run, trained)
            && run != trained
        {
            let message = format!("`{head}` measures another training than trials run");
            let help = "measure the model of the training in `run`";
            return self.fail(Code::SettingType, loc, message, help);
        }
        Ok(Figure::Metric {
            evaluation: head.to_owned(),
            metric: which.to_owned(),
        })
    }

    /// The declaration of the training whose model is named.
    fn trained(&mut self, model: &'p Field) -> Option<usize> {
        let Expr::Path(path) = model.value.ungrouped() else {
            return None;
        };
        let name = path.names.first()?;
        let training = self.searched_by(name).unwrap_or(name);
        self.program.find(self.source, &training.text)
    }

    /// The best of a trial is the best by its watch, so that search and watch must agree on what is better.
    pub(crate) fn same_direction(&mut self, followed: &[Followed], train: &Train) -> Eval<()> {
        let maximise = train.watch.as_ref().is_some_and(|watch| watch.maximise);
        let Some(watch) = followed.iter().find(|it| it.figure == Figure::Watch) else {
            return Ok(());
        };
        if (watch.direction == Direction::Maximise) == maximise {
            return Ok(());
        }
        let (wanted, size) = if maximise {
            ("maximize", "large")
        } else {
            ("minimize", "small")
        };
        let name = &train.name;
        let message = format!("`{name}.watch` is better when it is {size}");
        let mut diagnostic = Diagnostic::error(Code::ValueRange, message)
            .at(self.source, watch.setting, "")
            .help(format!("write `{wanted} = {name}.watch`"));
        if watch.alone && followed.len() == 1 {
            diagnostic = diagnostic.fix(format!("write `{wanted}`"), watch.setting, wanted);
        }
        Err(self.report(diagnostic))
    }

    /// Whether method and proposals can do with the figures.
    pub(crate) fn fits_figures(
        &mut self,
        settings: &Settings<'p>,
        name: &str,
        followed: &[Followed],
        method: Method,
        propose: Propose,
    ) -> Eval<()> {
        let written = |cx: &Self, setting: &str| {
            let field = settings.get(setting);
            field.map(|field| (cx.at(field.value.span()), called(&field.value)))
        };
        if let [_, second, ..] = followed
            && let Propose::Tpe { .. } | Propose::Gp { .. } | Propose::CmaEs { .. } = propose
            && let Some((loc, by)) = written(self, "propose")
        {
            let message = format!(
                "`{by}` learns from one figure, and `{name}` follows {}",
                followed.len()
            );
            let diagnostic = Diagnostic::error(Code::SearchFigures, message)
                .at(self.source, loc.span, "")
                .and(second.loc.source, second.loc.span, "the second figure")
                .help("write `propose = nsga2`; `random`, `sobol` and `grid` can do as well");
            return Err(self.report(diagnostic));
        }
        let late = followed
            .iter()
            .find(|it| it.figure != Figure::Watch || followed.len() > 1);
        if let Some(late) = late
            && method != Method::Full
            && let Some((loc, by)) = written(self, "method")
        {
            let message = match followed.len() {
                1 => format!(
                    "`{by}` compares trials ahead of their end, where this figure is not known"
                ),
                n => format!("`{by}` compares trials by one figure, and `{name}` follows {n}"),
            };
            let diagnostic = Diagnostic::error(Code::SearchFigures, message)
                .at(self.source, loc.span, "")
                .and(late.loc.source, late.loc.span, "known at the end")
                .help("write `method = full`, or follow the `watch` alone");
            return Err(self.report(diagnostic));
        }
        Ok(())
    }
}

/// The name by which a metric is asked for.
fn metric_name(expr: &Expr) -> Option<&str> {
    match expr.ungrouped() {
        Expr::Path(path) => path.single().map(|name| name.text.as_str()),
        Expr::Call(call) => call.callee.single().map(|name| name.text.as_str()),
        _ => None,
    }
}

/// What a setting calls, for a message.
fn called(expr: &Expr) -> String {
    metric_name(expr).unwrap_or_default().to_owned()
}

/// Whether the rows of a section are those of the test part, as written.
fn reads_test(field: &Field) -> bool {
    let mut found = false;
    walk(&field.value, &mut |e| {
        if let Expr::Path(path) = e {
            found |= path
                .names
                .get(1)
                .is_some_and(|n| n.text == Part::Test.name());
        }
    });
    found
}
