//! `search` sections: which training, which figure, how trials are proposed and compared.

use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::expr::Scope;
use crate::figures::Followed;
use crate::recipe::{Length, NotYet, Search, Train};
use crate::section::Choice;
use crate::value::{Eval, Loc, Reported, UnitKind, Value};
use mmh_diag::Code;
use mmh_numerics::random::Seed;
use mmh_search::{Method, Propose, Spec};
use mmh_syntax::ast::{Expr, Field, Name, Section, SectionKind};

pub(crate) const SEARCH: &[&str] = &[
    "run", "maximize", "minimize", "method", "propose", "budget", "lag", "where", "memory",
];

pub(crate) const METHODS: &[Choice] = &[
    ("halving", &["rungs", "keep"]),
    ("hyperband", &["rungs", "keep"]),
    ("median", &["rungs", "startup"]),
    ("patience", &["rungs", "wait"]),
    ("threshold", &["rungs", "bound"]),
    ("full", &[]),
];

pub(crate) const PROPOSALS: &[Choice] = &[
    ("tpe", &["startup"]),
    ("cmaes", &["population"]),
    ("sobol", &[]),
    ("random", &[]),
    ("grid", &["points"]),
    ("gp", &["startup"]),
    ("nsga2", &["population"]),
];

/// Random trials ahead of the first that `tpe` estimates, unless the recipe says otherwise.
const STARTUP: usize = 10;

/// Trials of a generation of `nsga2`, unless the recipe says otherwise.
const POPULATION: usize = 50;

/// How many of the newest trials a proposal does not read, unless the recipe says otherwise: so many may run beside it.
const LAG: usize = 3;

/// Points of a site in a grid, unless the recipe says otherwise.
const POINTS: usize = 5;

/// Trials of a search at most.
const MOST_TRIALS: f64 = 1e6;

impl<'p> Cx<'p> {
    /// Checks every `search`. The first that is in order can run; a second cannot in this version.
    pub(crate) fn check_searches(
        &mut self,
        seed: Option<[u8; 32]>,
        trained: &[(usize, &Train)],
        not_yet: &mut Vec<NotYet>,
    ) -> Option<Search> {
        let program = self.program;
        let mut found = None;
        for (number, (_, section, source)) in program.sections(SectionKind::Search).enumerate() {
            self.source = source;
            let name = section.name.as_ref().map_or("", |n| n.text.as_str());
            let seed = Seed(seed.unwrap_or_default());
            let search = self.search(section, name, seed, trained).ok();
            if number == 0 {
                found = search;
            } else {
                not_yet.push(NotYet {
                    section: format!("search {name}"),
                    span: section.name.as_ref().map_or(section.kind_span, |n| n.span),
                });
            }
        }
        found
    }

    fn search(
        &mut self,
        section: &'p Section,
        name: &str,
        seed: Seed,
        trained: &[(usize, &Train)],
    ) -> Eval<Search> {
        let settings = self.settings(section, name, SEARCH);
        let help = "write `run = fit`";
        let run = self.required(&settings, section, name, "run", Code::SettingMissing, help);
        let run = run.and_then(|field| self.training_named(field));
        let followed = self.figures(&settings, section, name, run.as_ref().ok().copied());
        let training = run.as_ref().ok().and_then(|run| {
            let place = trained.iter().position(|(declared, _)| declared == run)?;
            trained.get(place).map(|(_, train)| (place, *train))
        });
        let method = match settings.get("method") {
            Some(field) => self.method(field, training.map(|(_, train)| train)),
            None => Ok((Method::Full, Vec::new())),
        };
        let several = followed.as_ref().is_ok_and(|followed| followed.len() > 1);
        let propose = match settings.get("propose") {
            Some(field) => self.proposals(field),
            None if several => Ok(Propose::Nsga2 {
                population: POPULATION,
            }),
            None => Ok(Propose::Tpe { startup: STARTUP }),
        };
        let help = "write `budget = 64 trials`";
        let budget = self
            .required(
                &settings,
                section,
                name,
                "budget",
                Code::SettingMissing,
                help,
            )
            .and_then(|field| self.trials(field, 1.0));
        let lag = settings
            .get("lag")
            .map_or(Ok(LAG), |field| self.trials(field, 0.0));
        let memory = settings
            .get("memory")
            .map(|field| self.memory(field))
            .transpose();
        let holds = settings
            .get("where")
            .map_or(Ok(true), |field| self.holds(field));
        if crate::space::sites(self.program).is_empty() {
            // Whether there is something to choose is asked of a training that is known.
            if !self.program.broken.is_empty() || run.is_err() {
                return Err(Reported);
            }
            let help = "write a space behind a value: `lr = 3e-3 ~ log(3e-4 .. 3e-2)`";
            return self.fail_at(
                Code::SearchNoSpace,
                section.kind_span,
                format!("`{name}` has nothing to choose"),
                help,
            );
        }
        let (number, train) = training.ok_or(Reported)?;
        let followed = followed?;
        self.same_direction(&followed, train)?;
        let (space, places) = self.search_space(run?)?;
        let ((method, rungs), propose) = (method?, propose?);
        self.fits_figures(&settings, name, &followed, method, propose)?;
        let (objectives, figures) = followed.into_iter().map(Followed::into_parts).unzip();
        let mut spec = Spec {
            name: name.to_owned(),
            seed,
            space,
            objectives,
            rungs: rungs.len() + 1,
            method,
            propose,
            budget: budget?,
            lag: lag?,
        };
        if spec.propose == (Propose::CmaEs { population: 0 }) {
            spec.propose = Propose::CmaEs {
                population: spec.default_population(),
            };
        }
        Ok(Search {
            name: name.to_owned(),
            span: section.name.as_ref().map_or(section.kind_span, |n| n.span),
            training: number,
            spec,
            figures,
            rungs,
            places,
            memory: memory?,
            condition: settings.get("where").map(|field| {
                self.text(Loc {
                    source: self.source,
                    span: field.value.span(),
                })
            }),
            holds: holds?,
        })
    }

    fn method(&mut self, field: &'p Field, train: Option<&Train>) -> Eval<(Method, Vec<Length>)> {
        let scope = Scope::default();
        let (which, bound) = self.chosen(&field.value, METHODS, "method of search", &scope)?;
        let name = METHODS.get(which).map_or("", |(name, _)| name);
        let rungs = match name {
            "full" => Ok(Vec::new()),
            _ => self.rungs(&bound, train),
        };
        let method = match name {
            "halving" => Method::Halving {
                keep: self.keep(&bound)?,
            },
            "hyperband" => Method::Hyperband {
                keep: self.keep(&bound)?,
            },
            "median" => Method::Median {
                startup: self.trials_arg(&bound, "startup", 5, 1.0)?,
            },
            "patience" => Method::Patience {
                rungs: self.count_arg(&bound, "wait", 1)?,
            },
            "threshold" => {
                self.need(&bound, "bound")?;
                Method::Threshold {
                    bound: self.float_arg(&bound, "bound", None)?,
                }
            }
            _ => Method::Full,
        };
        Ok((method, rungs?))
    }

    fn proposals(&mut self, field: &'p Field) -> Eval<Propose> {
        let scope = Scope::default();
        let (which, bound) = self.chosen(&field.value, PROPOSALS, "way to propose", &scope)?;
        match PROPOSALS.get(which).map_or("", |(name, _)| name) {
            "tpe" => Ok(Propose::Tpe {
                startup: self.trials_arg(&bound, "startup", STARTUP, 1.0)?,
            }),
            "cmaes" => Ok(Propose::CmaEs {
                population: self.trials_arg(&bound, "population", 0, 4.0)?,
            }),
            "gp" => Ok(Propose::Gp {
                startup: self.trials_arg(&bound, "startup", STARTUP, 1.0)?,
            }),
            "nsga2" => Ok(Propose::Nsga2 {
                population: self.trials_arg(&bound, "population", POPULATION, 4.0)?,
            }),
            "sobol" => Ok(Propose::Sobol),
            "grid" => Ok(Propose::Grid {
                points: self.count_arg(&bound, "points", POINTS)?,
            }),
            _ => Ok(Propose::Random),
        }
    }

    /// Lengths at which trials are compared ahead of their end. One at the end itself says nothing new.
    fn rungs(&mut self, bound: &Bound<'p, '_>, train: Option<&Train>) -> Eval<Vec<Length>> {
        let (value, loc) = self.need(bound, "rungs")?;
        let Value::List(items) = value else {
            let help = "write `rungs = [3 epochs, 10 epochs]`";
            return self.fail(Code::SettingType, loc, "`rungs` is a list of lengths", help);
        };
        let mut rungs: Vec<Length> = Vec::new();
        let mut before = 0;
        let epoch = train.map_or(1, |train| train.epoch_steps.max(1));
        for item in items {
            let steps = self.steps(item.clone(), loc, "rungs", epoch)?;
            let Some(train) = train else { continue };
            if steps <= before || steps > train.steps {
                let message = match steps <= before {
                    true => "rungs become longer from one to the next".to_owned(),
                    false => format!(
                        "a rung lies beyond the {} steps of `{}`",
                        train.steps, train.name
                    ),
                };
                return self.fail(
                    Code::ValueRange,
                    loc,
                    message,
                    "order them, each below `length`",
                );
            }
            if let Some(watch) = &train.watch
                && steps < watch.every
            {
                let message = format!(
                    "a rung lies ahead of the first measurement, after {} steps",
                    watch.every
                );
                let help = "make the rung longer, or measure more often with `every`";
                return self.fail(Code::ValueRange, loc, message, help);
            }
            before = steps;
            if steps < train.steps {
                rungs.push(match item {
                    Value::Quantity(q) if q.kind == UnitKind::Epochs && q.value.fract() == 0.0 => {
                        Length::Epochs(q.value as u64)
                    }
                    _ => Length::Steps(steps),
                });
            }
        }
        Ok(rungs)
    }

    fn keep(&mut self, bound: &Bound<'p, '_>) -> Eval<f64> {
        let keep = self.float_arg(bound, "keep", Some(1.0 / 3.0))?;
        if keep > 0.0 && keep < 1.0 {
            return Ok(keep);
        }
        let loc = bound.get("keep").map_or(bound.loc, Given::loc);
        let help = "write `keep = 1 / 3`";
        self.fail(
            Code::ValueRange,
            loc,
            "`keep` is a share between 0 and 1",
            help,
        )
    }

    /// A number of trials.
    fn trials(&mut self, field: &'p Field, least: f64) -> Eval<usize> {
        let loc = self.at(field.value.span());
        let value = self.counted_field(field, UnitKind::Trials)?;
        self.whole(value, loc, &field.name.text, least)
    }

    fn trials_arg(
        &mut self,
        bound: &Bound<'p, '_>,
        name: &str,
        or: usize,
        least: f64,
    ) -> Eval<usize> {
        let Some((value, loc)) = self.arg(bound, name)? else {
            return Ok(or);
        };
        let value = self.counted(value, loc, name, UnitKind::Trials)?;
        self.whole(value, loc, name, least)
    }

    /// A number without a unit, from 1.
    fn count_arg(&mut self, bound: &Bound<'p, '_>, name: &str, or: usize) -> Eval<usize> {
        let Some((value, loc)) = self.arg(bound, name)? else {
            return Ok(or);
        };
        let value = self.float_of(value, loc, name)?;
        self.whole(value, loc, name, 1.0)
    }

    fn whole(&mut self, value: f64, loc: Loc, name: &str, least: f64) -> Eval<usize> {
        if value.fract() == 0.0 && (least..=MOST_TRIALS).contains(&value) {
            return Ok(value as usize);
        }
        let message = format!("`{name}` is a whole number from {least} to {MOST_TRIALS}");
        self.fail(Code::ValueRange, loc, message, "")
    }

    fn memory(&mut self, field: &'p Field) -> Eval<u64> {
        let loc = self.at(field.value.span());
        match self.expr(&field.value, &Scope::default())? {
            Value::Quantity(q) if q.kind == UnitKind::Bytes && q.value >= 1.0 => Ok(q.value as u64),
            other => {
                let message = format!("`memory` is a number of bytes, not {}", other.kind());
                self.fail(Code::UnitWrong, loc, message, "write `memory = 512 MiB`")
            }
        }
    }

    fn holds(&mut self, field: &'p Field) -> Eval<bool> {
        let loc = self.at(field.value.span());
        match self.expr(&field.value, &Scope::default())? {
            Value::Bool(holds) => Ok(holds),
            other => {
                let message = format!("`where` is true or false, not {}", other.kind());
                let help = "write a condition over values, such as `where = wide * depth <= 96`";
                self.fail(Code::SettingType, loc, message, help)
            }
        }
    }

    fn training_named(&mut self, field: &'p Field) -> Eval<usize> {
        let loc = self.at(field.value.span());
        match self.expr(&field.value, &Scope::default())? {
            Value::Train(index) => Ok(index),
            other => self.fail(
                Code::SettingType,
                loc,
                format!("`{}` is a training, not {}", field.name.text, other.kind()),
                "write the name of a `train` section",
            ),
        }
    }

    /// The training whose best model `tune.best` is, if `name` is a search.
    pub(crate) fn searched_by(&mut self, name: &Name) -> Option<&'p Name> {
        let declared = self.program.find(self.source, &name.text)?;
        if self.program.broken.is_unsure(declared) {
            return None;
        }
        let (section, _) = self.section(declared)?;
        if section.kind != SectionKind::Search {
            return None;
        }
        let run = section.fields.iter().find(|f| f.name.text == "run")?;
        match run.value.ungrouped() {
            Expr::Path(path) => path.names.first(),
            _ => None,
        }
    }
}
