//! Optimisers and learning-rate schedules.

use crate::call::{Bound, Given};
use crate::core::Cx;
use crate::expr::Scope;
use crate::recipe::OptimiserSpec;
use crate::section::Choice;
use crate::value::{Eval, Loc, Reported, Value};
use mmh_diag::{Code, Diagnostic, suggest};
use mmh_ir::plan::{Curve, OptimiserGroup, Segment};
use mmh_syntax::ast::{Expr, Field};

pub(crate) const OPTIMISERS: &[Choice] = &[
    ("sgd", &["lr", "momentum", "nesterov", "decay", "on"]),
    ("adam", &["lr", "betas", "epsilon", "decay", "on"]),
    ("adamw", &["lr", "betas", "epsilon", "decay", "on"]),
];

pub(crate) const SCHEDULES: &[Choice] = &[
    ("warmup", &["length"]),
    ("cosine", &["length", "floor"]),
    ("linear", &["length", "from", "to"]),
    ("step", &["length", "every", "factor"]),
    ("constant", &["length"]),
];

impl<'p> Cx<'p> {
    /// `adamw(lr = 3e-3)`.
    pub(crate) fn optimiser(&mut self, expr: &'p Expr) -> Eval<OptimiserSpec> {
        let scope = Scope::default();
        let (which, bound) = self.chosen(expr, OPTIMISERS, "optimiser", &scope)?;
        let lr = self.positive(&bound, "lr", None)?;
        let decay = self.at_least_zero(&bound, "decay", if which == 2 { 1e-2 } else { 0.0 })?;
        let group = if which == 0 {
            OptimiserGroup::Sgd {
                lr,
                momentum: self.below_one(&bound, "momentum", 0.0)?,
                nesterov: self.bool_arg(&bound, "nesterov", false)?,
                decay,
            }
        } else {
            OptimiserGroup::Adam {
                lr,
                betas: self.betas(&bound)?,
                epsilon: self.positive(&bound, "epsilon", Some(1e-8))?,
                decay,
                decoupled: which == 2,
            }
        };
        let on = self.prefixes(&bound)?;
        Ok(OptimiserSpec { group, on })
    }

    fn number_where(
        &mut self,
        bound: &Bound<'p, '_>,
        name: &str,
        default: Option<f64>,
        holds: fn(f64) -> bool,
        says: &str,
    ) -> Eval<f64> {
        let value = self.float_arg(bound, name, default)?;
        if holds(value) {
            return Ok(value);
        }
        let loc = bound.get(name).map_or(bound.loc, Given::loc);
        self.fail(
            Code::ValueRange,
            loc,
            format!("`{name}` is {says}, not {value}"),
            "",
        )
    }

    fn positive(&mut self, bound: &Bound<'p, '_>, name: &str, default: Option<f64>) -> Eval<f64> {
        self.number_where(
            bound,
            name,
            default,
            |v| v > 0.0 && v.is_finite(),
            "above 0",
        )
    }

    fn at_least_zero(&mut self, bound: &Bound<'p, '_>, name: &str, default: f64) -> Eval<f64> {
        self.number_where(
            bound,
            name,
            Some(default),
            |v| v >= 0.0 && v.is_finite(),
            "0 or more",
        )
    }

    fn below_one(&mut self, bound: &Bound<'p, '_>, name: &str, default: f64) -> Eval<f64> {
        self.number_where(
            bound,
            name,
            Some(default),
            |v| (0.0..1.0).contains(&v),
            "from 0 up to, not including, 1",
        )
    }

    fn betas(&mut self, bound: &Bound<'p, '_>) -> Eval<[f64; 2]> {
        let Some((value, loc)) = self.arg(bound, "betas")? else {
            return Ok([0.9, 0.999]);
        };
        let values: Vec<f64> = match &value {
            Value::List(items) => items.iter().map(crate::expr::as_f64).collect(),
            _ => vec![],
        };
        match values.as_slice() {
            [a, b] if (0.0..1.0).contains(a) && (0.0..1.0).contains(b) => Ok([*a, *b]),
            _ => self.fail(
                Code::ValueRange,
                loc,
                "`betas` are two numbers from 0 up to, not including, 1",
                "write `betas = [0.9, 0.999]`",
            ),
        }
    }

    pub(crate) fn prefixes(&mut self, bound: &Bound<'p, '_>) -> Eval<Vec<String>> {
        let Some(Given::Expr(expr, _)) = bound.get("on") else {
            return Ok(vec![]);
        };
        let items: Vec<&'p Expr> = match expr.ungrouped() {
            Expr::List { items, .. } => items.iter().collect(),
            one => vec![one],
        };
        let mut all = Vec::new();
        for item in items {
            let loc = self.at(item.span());
            let Expr::Path(path) = item.ungrouped() else {
                return self.fail(
                    Code::SettingType,
                    loc,
                    "`on` takes paths of parameters",
                    "write `on = net.body`",
                );
            };
            let text = path.text();
            let there = self.used_parameters().any(|s| {
                s.path == text
                    || s.path
                        .strip_prefix(&text)
                        .is_some_and(|r| r.starts_with('.'))
            });
            let any = self.used_parameters().next().is_some();
            if !there && any && !self.assumed {
                return self.no_parameter(&text, loc);
            }
            all.push(text);
        }
        Ok(all)
    }

    fn no_parameter<T>(&mut self, text: &str, loc: Loc) -> Eval<T> {
        let mut known: Vec<String> = Vec::new();
        for slot in self.used_parameters() {
            let mut path = String::new();
            for part in slot.path.split('.') {
                path = if path.is_empty() {
                    part.to_string()
                } else {
                    format!("{path}.{part}")
                };
                if !known.contains(&path) {
                    known.push(path.clone());
                }
            }
        }
        let near = suggest(text, known.iter().map(String::as_str)).map(str::to_string);
        let depth = text.split('.').count();
        let beside: Vec<&str> = known
            .iter()
            .filter(|k| k.split('.').count() == depth)
            .map(String::as_str)
            .take(8)
            .collect();
        let help = near.map_or_else(
            || format!("there are: {}", beside.join(", ")),
            |n| format!("did you mean `{n}`?"),
        );
        self.fail(
            Code::NameUnknown,
            loc,
            format!("no parameter is called `{text}`"),
            help,
        )
    }

    /// `[warmup(2 epochs), cosine(28 epochs)]`.
    pub(crate) fn schedule(
        &mut self,
        field: &'p Field,
        epoch: u64,
        total: Option<u64>,
    ) -> Eval<Vec<Segment>> {
        let items: Vec<&'p Expr> = match field.value.ungrouped() {
            Expr::List { items, .. } => items.iter().collect(),
            one => vec![one],
        };
        let segments: Vec<Eval<Segment>> = items
            .into_iter()
            .map(|item| self.segment(item, epoch, total))
            .collect();
        let segments: Vec<Segment> = segments.into_iter().collect::<Eval<_>>()?;
        let sum: u64 = segments
            .iter()
            .map(|s| s.steps)
            .fold(0, u64::saturating_add);
        if let Some(total) = total.filter(|t| *t != sum) {
            let word = if sum > total {
                "cut off"
            } else {
                "over early; its last value stays"
            };
            let diagnostic = Diagnostic::warning(
                Code::TrainScheduleLength,
                format!("the schedule lasts {sum} steps, the training {total}: it is {word}"),
            )
            .at(self.source, field.value.span(), format!("{sum} steps"))
            .help("make the parts of `schedule` add up to `length`");
            self.report(diagnostic);
        }
        Ok(segments)
    }

    fn segment(&mut self, expr: &'p Expr, epoch: u64, total: Option<u64>) -> Eval<Segment> {
        let scope = Scope::default();
        let (which, bound) = self.chosen(expr, SCHEDULES, "schedule", &scope)?;
        let steps = match self.arg(&bound, "length")? {
            Some((value, loc)) => self.steps(value, loc, &bound.name.clone(), epoch)?,
            // One curve alone lasts as long as the training.
            None => total.ok_or(Reported)?,
        };
        let curve = match which {
            0 => Curve::Warmup,
            1 => Curve::Cosine {
                floor: self.at_least_zero(&bound, "floor", 0.0)?,
            },
            2 => Curve::Linear {
                from: self.at_least_zero(&bound, "from", 1.0)?,
                to: self.at_least_zero(&bound, "to", 0.0)?,
            },
            3 => {
                let (value, loc) = self.need(&bound, "every")?;
                Curve::Step {
                    every: self.steps(value, loc, "every", epoch)?,
                    factor: self.at_least_zero(&bound, "factor", 0.1)?,
                }
            }
            _ => Curve::Constant,
        };
        Ok(Segment { steps, curve })
    }
}
