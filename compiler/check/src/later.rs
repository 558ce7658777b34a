//! Sections that are checked but that this version cannot run: `export`, `federate`.

use crate::Way;
use crate::core::Cx;
use crate::expr::Scope;
use crate::recipe::NotYet;
use crate::section::{Choice, Settings};
use crate::value::{Eval, UnitKind, Value};
use mmh_diag::{Code, SourceId};
use mmh_syntax::ast::{Expr, Field, Path, Section, SectionKind};

pub(crate) const EXPORT: &[&str] = &["model", "to", "verify"];
pub(crate) const FEDERATE: &[&str] = &[
    "clients", "local", "invite", "wait", "combine", "privacy", "length", "watch",
];

pub(crate) const TARGETS: &[Choice] = &[("onnx", &["path", "batch"]), ("safetensors", &["path"])];
pub(crate) const VERIFY: &[Choice] = &[("close", &["on", "within"]), ("equal", &["on"])];
pub(crate) const COMBINE: &[Choice] = &[
    ("fedavg", &["weight"]),
    ("median", &[]),
    ("trimmed", &["share"]),
];
pub(crate) const PRIVACY: &[Choice] = &[("gaussian", &["clip", "epsilon", "delta"]), ("none", &[])];

impl<'p> Cx<'p> {
    /// Checks the sections of later versions and lists them.
    pub(crate) fn check_later(&mut self, way: &Way) -> Vec<NotYet> {
        let mut all = Vec::new();
        let program = self.program;
        for kind in [SectionKind::Export, SectionKind::Federate] {
            let reached = program.sections(kind).filter(|it| way.reaches(it.0));
            for (_, section, source) in reached {
                self.source = source;
                let name = section.name.as_ref().map_or("", |n| n.text.as_str());
                let _ = match kind {
                    SectionKind::Export => self.export(section, name, source),
                    _ => self.federate(section, name),
                };
                all.push(NotYet {
                    section: format!("{} {name}", kind.word()),
                    span: section.name.as_ref().map_or(section.kind_span, |n| n.span),
                });
            }
        }
        all
    }

    pub(crate) fn counted_field(&mut self, field: &'p Field, kind: UnitKind) -> Eval<f64> {
        let loc = self.at(field.value.span());
        let value = self.expr(&field.value, &Scope::default())?;
        self.counted(value, loc, &field.name.text, kind)
    }

    pub(crate) fn counted(
        &mut self,
        value: Value,
        loc: crate::value::Loc,
        what: &str,
        kind: UnitKind,
    ) -> Eval<f64> {
        match value {
            Value::Quantity(q) if q.kind == kind => Ok(q.value),
            Value::Size(_) | Value::Float(_) => {
                let text = self.text(loc);
                let help = format!("write `{text} {}`", kind.word());
                self.fail(
                    Code::UnitMissing,
                    loc,
                    format!("`{what}` needs a unit"),
                    help,
                )
            }
            other => {
                let message = format!(
                    "`{what}` is a number of {}, not {}",
                    kind.word(),
                    other.kind()
                );
                self.fail(Code::UnitWrong, loc, message, "")
            }
        }
    }

    // ---- export ----

    fn export(&mut self, section: &'p Section, name: &str, source: SourceId) -> Eval<()> {
        let settings = self.settings(section, name, EXPORT);
        let code = Code::SettingMissing;
        let help = "write `model = fit.best`";
        let model = self.required(&settings, section, name, "model", code, help);
        let model = model.and_then(|field| self.exported(field));
        let help = "write `to = onnx(\"build/model.onnx\")`";
        let to = self.required(&settings, section, name, "to", code, help);
        let to = to.and_then(|field| self.target(field));
        self.source = source;
        let verify = settings.get("verify").map(|field| self.verify(field));
        model.and(to).and(verify.unwrap_or(Ok(())))
    }

    fn target(&mut self, field: &'p Field) -> Eval<()> {
        let scope = Scope::default();
        let (_, bound) = self.chosen(&field.value, TARGETS, "format to export to", &scope)?;
        match self.need(&bound, "path")? {
            (Value::Text(_), _) => Ok(()),
            (_, loc) => self.fail(
                Code::SettingType,
                loc,
                "the path is a text",
                "write it in quotes",
            ),
        }
    }

    fn verify(&mut self, field: &'p Field) -> Eval<()> {
        let scope = Scope::default();
        let (_, bound) = self.chosen(&field.value, VERIFY, "way to verify", &scope)?;
        let on = match self.need(&bound, "on")? {
            (Value::Rows(_), _) => Ok(()),
            (value, loc) => self.fail(
                Code::SettingType,
                loc,
                format!("`on` takes rows, not {}", value.kind()),
                "write `digits.test`",
            ),
        };
        self.float_arg(&bound, "within", Some(1e-5))?;
        on
    }

    // `fit.best`, `fit.last`, `tune.best`, each perhaps with the name of a model behind it.
    fn exported(&mut self, field: &'p Field) -> Eval<()> {
        let Expr::Path(path) = field.value.ungrouped() else {
            return self.fail_at(
                Code::SettingType,
                field.value.span(),
                "`model` is what a training or a search gives",
                "write `fit.best`",
            );
        };
        let head = path
            .names
            .first()
            .and_then(|n| self.program.find(self.source, &n.text));
        match head.and_then(|h| self.section(h)).map(|(s, _)| s.kind) {
            Some(SectionKind::Search) => self.best_of_search(path),
            _ => self.model_of(field).map(|_| ()),
        }
    }

    fn best_of_search(&mut self, path: &'p Path) -> Eval<()> {
        match path.names.get(1) {
            Some(which) if which.text == "best" => Ok(()),
            Some(which) => self.fail_at(
                Code::NameUnknown,
                which.span,
                format!("a search has no `{}`", which.text),
                "write `.best`",
            ),
            None => self.fail_at(
                Code::SettingType,
                path.span,
                "a search is no model",
                "write `.best` behind it",
            ),
        }
    }

    // ---- federate ----

    fn federate(&mut self, section: &'p Section, name: &str) -> Eval<()> {
        let settings = self.settings(section, name, FEDERATE);
        let needed = [
            ("clients", "write `clients = hospitals`"),
            ("local", "write `local = train { … }`"),
            ("privacy", "write `privacy = none`, or how it is kept"),
            ("length", "write `length = 100 rounds`"),
        ];
        for (setting, help) in needed {
            let _ = self.required(
                &settings,
                section,
                name,
                setting,
                Code::SettingMissing,
                help,
            );
        }
        if let Some(field) = settings.get("length") {
            let _ = self.counted_field(field, UnitKind::Rounds);
        }
        if let Some(field) = settings.get("invite") {
            let _ = self.counted_field(field, UnitKind::Clients);
        }
        if let Some(Field {
            value: Expr::Section(local),
            ..
        }) = settings.get("local")
        {
            self.local(local, name);
        }
        self.federated_calls(&settings)
    }

    fn local(&mut self, local: &'p Section, name: &str) {
        let owner = format!("{name}.local");
        let settings = self.settings(local, &owner, crate::train::TRAIN);
        for (setting, code) in [("loss", Code::TrainNoLoss), ("length", Code::TrainNoLength)] {
            let _ = self.required(
                &settings,
                local,
                &owner,
                setting,
                code,
                "a local training says it like any other",
            );
        }
    }

    fn federated_calls(&mut self, settings: &Settings<'p>) -> Eval<()> {
        let scope = Scope::default();
        for (setting, choices, what) in [
            ("combine", COMBINE, "way to combine"),
            ("privacy", PRIVACY, "kind of privacy"),
        ] {
            if let Some(field) = settings.get(setting) {
                let _ = self.chosen(&field.value, choices, what, &scope);
            }
        }
        Ok(())
    }
}
