//! A study: proposals, results, decisions.

use crate::math;
use crate::pareto;
use crate::space::{Domain, Point, Setting};
use crate::spec::{Cohort, Direction, Method, Objective, Propose, Spec, WATCH};
use crate::{cma, gp, nsga, tpe};
use std::fmt::Write;

/// Proposals that may be refused by the recipe's constraint before a trial counts as infeasible.
const ATTEMPTS: u64 = 64;

/// Points of a grid at most.
const MOST_GRID: usize = 1_000_000;

/// What came of training a trial to a rung.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The figure the search follows; what is not a number is the worst there is.
    Value(f64),
    /// A value stopped being finite after so many steps.
    Diverged {
        /// Steps done.
        step: u64,
    },
    /// The recipe's limits do not allow it: it needs so many bytes, or its constraint refuses it (0).
    Infeasible {
        /// Bytes it would take.
        bytes: u64,
    },
}

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its settings.
    pub point: Point,
    /// What came of it, by rung: of several figures the first.
    pub results: Vec<Option<Outcome>>,
    /// The figures beside the first, once they are known.
    pub others: Vec<f64>,
    /// Whether it goes on from a rung, where that is decided.
    pub(crate) goes_on: Vec<Option<bool>>,
    /// Proposals that the constraint refused before.
    pub(crate) attempt: u64,
    /// The settings on the scale of kernels.
    pub(crate) scaled: Vec<Option<f64>>,
}

impl Trial {
    /// Proposals that the recipe's constraint refused before this one.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Whether the constraint refused this one too: there were no more attempts.
    pub fn is_refused(&self) -> bool {
        self.results
            .contains(&Some(Outcome::Infeasible { bytes: 0 }))
    }
}

/// Where a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Work or a decision is missing.
    Running,
    /// It reached its end.
    Finished,
    /// It was stopped at a rung.
    Stopped,
    /// A value stopped being finite.
    Diverged,
    /// It is not allowed.
    Infeasible,
}

/// A piece of work: train a trial to a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// Number of the trial, from 0.
    pub trial: usize,
    /// The rung to reach, from 0.
    pub rung: usize,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Study {
    spec: Spec,
    total: usize,
    grid: Vec<Point>,
    pub(crate) cohorts: Vec<Cohort>,
    pub(crate) trials: Vec<Trial>,
    pub(crate) cma: cma::Memo,
    pub(crate) nsga: nsga::Memo,
    pub(crate) gp: gp::Memo,
}

/// What a proposal knows of a trial.
pub(crate) struct Seen<'a> {
    pub(crate) point: &'a Point,
    pub(crate) scaled: &'a [Option<f64>],
    pub(crate) number: usize,
    pub(crate) rung: usize,
    /// Small is good; infinite where there is no figure.
    pub(crate) loss: f64,
}

impl Study {
    /// A study without a trial.
    ///
    /// Errors: what is wrong with the spec, in words.
    pub fn new(spec: Spec) -> Result<Self, String> {
        let (mut total, mut grid) = (spec.budget, Vec::new());
        if let Propose::Grid { points } = spec.propose {
            let all = spec.space.grid(points, MOST_GRID);
            grid = all.ok_or_else(|| format!("the grid has more than {MOST_GRID} points"))?;
            if grid.len() > spec.budget {
                let (points, budget) = (grid.len(), spec.budget);
                return Err(format!(
                    "the grid has {points} points, the budget is {budget} trials"
                ));
            }
            total = grid.len();
        }
        if spec.rungs == 0 || total == 0 {
            return Err("it has no trial".to_owned());
        }
        if spec.objectives.is_empty() {
            return Err("it follows no figure".to_owned());
        }
        if spec.objectives.len() > 1 && spec.rungs > 1 {
            return Err("trials of several figures are compared at their end alone".to_owned());
        }
        let cohorts = spec.cohorts(total);
        Ok(Self {
            spec,
            total,
            grid,
            cohorts,
            trials: Vec::new(),
            cma: cma::Memo::default(),
            nsga: nsga::Memo::default(),
            gp: gp::Memo::default(),
        })
    }

    /// What decides it.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The trials proposed so far.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Trials there will be.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Proposes and decides all that is known by now, and gives the work that is needed and not done, in order. `feasible`
    /// is the recipe's constraint.
    pub fn advance(&mut self, feasible: &mut dyn FnMut(&Point) -> bool) -> Vec<Job> {
        loop {
            self.decide();
            if self.trials.len() >= self.total || !self.may_propose(self.trials.len()) {
                break;
            }
            self.propose(feasible);
        }
        (0..self.trials.len())
            .filter_map(|trial| self.job(trial))
            .collect()
    }

    /// Notes what came of a job. A result that is there already is left as it is.
    pub fn record(&mut self, job: Job, outcome: Outcome) {
        self.record_all(job, outcome, &[]);
    }

    /// Notes what came of a job, with the figures beside the first.
    pub fn record_all(&mut self, job: Job, outcome: Outcome, others: &[f64]) {
        let Some(trial) = self.trials.get_mut(job.trial) else {
            return;
        };
        if let Some(slot) = trial.results.get_mut(job.rung)
            && slot.is_none()
        {
            *slot = Some(outcome);
            trial.others = others.to_vec();
        }
    }

    /// Whether nothing is left to do. Only after [`Study::advance`].
    pub fn is_done(&self) -> bool {
        self.trials.len() == self.total
            && (0..self.total).all(|trial| self.status(trial) != Status::Running)
    }

    /// The best trial so far with its first figure: of those that came furthest the best, of equals the first. Of several
    /// figures the knee of the front: the trial closest to the best of each, as shares of the front's ranges.
    pub fn best(&self) -> Option<(usize, f64)> {
        if self.spec.objectives.len() > 1 {
            let (trials, all) = self.judged();
            let losses: Vec<&[f64]> = all.iter().map(Vec::as_slice).collect();
            let knee = pareto::knee(&losses, pareto::fronts(&losses).first()?)?;
            let trial = *trials.get(knee)?;
            return Some((trial, self.last_value(trial)?.1));
        }
        let mut best: Option<(usize, usize, f64)> = None;
        for number in 0..self.trials.len() {
            let Some((rung, value)) = self.last_value(number) else {
                continue;
            };
            let better = best.is_none_or(|(_, other_rung, other)| {
                rung > other_rung || (rung == other_rung && self.loss(value) < self.loss(other))
            });
            if better && !value.is_nan() {
                best = Some((number, rung, value));
            }
        }
        best.map(|(number, _, value)| (number, value))
    }

    /// The trials that no other one beats in every figure, in order; of one figure the best trial.
    pub fn front(&self) -> Vec<usize> {
        if self.spec.objectives.len() < 2 {
            return self.best().map(|(trial, _)| trial).into_iter().collect();
        }
        let (trials, all) = self.judged();
        let losses: Vec<&[f64]> = all.iter().map(Vec::as_slice).collect();
        let fronts = pareto::fronts(&losses);
        let first = fronts.first().into_iter().flatten();
        first
            .filter_map(|place| trials.get(*place).copied())
            .collect()
    }

    /// The trials that have every figure, with their losses.
    fn judged(&self) -> (Vec<usize>, Vec<Vec<f64>>) {
        let all = (0..self.trials.len()).map(|trial| (trial, self.losses(trial)));
        all.filter(|(_, losses)| losses.iter().all(|loss| *loss < f64::INFINITY))
            .unzip()
    }

    /// Every figure of a trial that came to its end, in the order of the objectives.
    pub fn figures(&self, trial: usize) -> Option<Vec<f64>> {
        let (_, first) = self.last_value(trial)?;
        let others = self.trials.get(trial).map(|it| it.others.as_slice());
        let figures: Vec<f64> = [first].iter().chain(others?).copied().collect();
        (figures.len() == self.spec.objectives.len()).then_some(figures)
    }

    /// A loss for each figure; all are infinite where there is none.
    pub(crate) fn losses(&self, trial: usize) -> Vec<f64> {
        let objectives = &self.spec.objectives;
        match self.figures(trial) {
            None => vec![f64::INFINITY; objectives.len()],
            Some(figures) => {
                let each = objectives.iter().zip(figures);
                each.map(|(objective, figure)| objective.loss(figure))
                    .collect()
            }
        }
    }

    /// Where a trial stands.
    pub fn status(&self, trial: usize) -> Status {
        let Some(found) = self.trials.get(trial) else {
            return Status::Running;
        };
        let Some((rung, outcome)) = last(found) else {
            return Status::Running;
        };
        match (outcome, found.goes_on.get(rung).copied().flatten()) {
            (Outcome::Diverged { .. }, _) => Status::Diverged,
            (Outcome::Infeasible { .. }, _) => Status::Infeasible,
            (Outcome::Value(_), Some(false)) if rung + 1 == self.spec.rungs => Status::Finished,
            (Outcome::Value(_), Some(false)) => Status::Stopped,
            (Outcome::Value(_), _) => Status::Running,
        }
    }

    /// The last figure of a trial and its rung.
    pub fn last_value(&self, trial: usize) -> Option<(usize, f64)> {
        match self.trials.get(trial).and_then(last)? {
            (rung, Outcome::Value(value)) => Some((rung, value)),
            (_, Outcome::Diverged { .. } | Outcome::Infeasible { .. }) => None,
        }
    }

    /// A figure as a loss: small is good, no number is the worst.
    pub(crate) fn loss(&self, value: f64) -> f64 {
        let first = self.spec.objectives.first();
        first.map_or(f64::INFINITY, |objective| objective.loss(value))
    }

    /// The cohort of a trial.
    pub(crate) fn cohort(&self, trial: usize) -> Option<Cohort> {
        let mut found = self.cohorts.iter();
        found
            .find(|it| (it.first..it.first + it.size).contains(&trial))
            .copied()
    }

    fn first_rung(&self, trial: usize) -> usize {
        self.cohort(trial).map_or(0, |cohort| cohort.rung)
    }

    fn job(&self, trial: usize) -> Option<Job> {
        let found = self.trials.get(trial)?;
        match last(found) {
            None => Some(Job {
                trial,
                rung: self.first_rung(trial),
            }),
            Some((rung, _)) if found.goes_on.get(rung) == Some(&Some(true)) => Some(Job {
                trial,
                rung: rung + 1,
            }),
            Some(_) => None,
        }
    }

    /// Whether all that proposal `trial` reads is there.
    fn may_propose(&self, trial: usize) -> bool {
        let cohort = self.cohort(trial).map_or(usize::MAX, |cohort| cohort.first);
        (0..self.spec.reads(trial)).all(|other| match other >= cohort {
            true => self.trials.get(other).is_some_and(|it| last(it).is_some()),
            false => self.status(other) != Status::Running,
        })
    }

    /// What proposal `trial` reads, in the order of trials: of its own cohort the first rung alone.
    pub(crate) fn seen(&self, trial: usize) -> Vec<Seen<'_>> {
        let cohort = self.cohort(trial).map_or(usize::MAX, |cohort| cohort.first);
        let read = self.trials.iter().enumerate().take(self.spec.reads(trial));
        read.map(|(number, it)| {
            let result = match number >= cohort {
                true => first(it),
                false => last(it),
            };
            let (rung, loss) = match result {
                Some((rung, Outcome::Value(value))) => (rung, self.loss(value)),
                Some((_, Outcome::Diverged { .. } | Outcome::Infeasible { .. })) | None => {
                    (0, f64::INFINITY)
                }
            };
            Seen {
                point: &it.point,
                scaled: &it.scaled,
                number,
                rung,
                loss,
            }
        })
        .collect()
    }

    fn propose(&mut self, feasible: &mut dyn FnMut(&Point) -> bool) {
        let trial = self.trials.len();
        let rungs = self.spec.rungs;
        let mut results = vec![None; rungs];
        let attempts = if self.grid.is_empty() { ATTEMPTS } else { 1 };
        let mut point = Point::new();
        let (mut allowed, mut attempt) = (false, 0);
        for go in 0..attempts {
            attempt = go;
            point = match self.grid.get(trial) {
                Some(point) => point.clone(),
                None => self.proposal(trial, attempt),
            };
            allowed = feasible(&point);
            if allowed {
                break;
            }
        }
        if !allowed {
            let first = self.first_rung(trial);
            if let Some(slot) = results.get_mut(first) {
                *slot = Some(Outcome::Infeasible { bytes: 0 });
            }
        }
        let scaled = tpe::scaled(&self.spec.space, &point);
        self.trials.push(Trial {
            scaled,
            point,
            results,
            others: Vec::new(),
            goes_on: vec![None; rungs],
            attempt,
        });
    }

    /// All that was proposed and came of it, as text that is the same for the same study.
    pub fn account(&self) -> String {
        let mut text = self.spec.text();
        for (number, trial) in self.trials.iter().enumerate() {
            let _ = write!(text, "trial {number}");
            for setting in &trial.point {
                let _ = match setting {
                    None => write!(text, " -"),
                    Some(Setting::Choice(k)) => write!(text, " c{k}"),
                    Some(Setting::Whole(x)) => write!(text, " w{x}"),
                    Some(Setting::Real(x)) => write!(text, " r{:016x}", x.to_bits()),
                };
            }
            for outcome in &trial.results {
                let _ = match outcome {
                    None => write!(text, " ."),
                    Some(Outcome::Value(value)) => write!(text, " v{:016x}", canonical(*value)),
                    Some(Outcome::Diverged { step }) => write!(text, " d{step}"),
                    Some(Outcome::Infeasible { bytes }) => write!(text, " i{bytes}"),
                };
            }
            for figure in &trial.others {
                let _ = write!(text, " +{:016x}", canonical(*figure));
            }
            text.push('\n');
        }
        if let Some((number, value)) = self.best() {
            let _ = writeln!(text, "best {number} {:016x}", canonical(value));
        }
        text
    }

    /// `blake3:` and 64 hex digits over [`Study::account`].
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("mmh study 1");
        hasher.update(self.account().as_bytes());
        format!("blake3:{}", hasher.finalize().to_hex())
    }
}

impl Spec {
    /// Everything that decides the search, as text.
    pub fn text(&self) -> String {
        let mut text = format!("search {:?}\nseed ", self.name);
        for byte in self.seed.0 {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        for site in &self.space.sites {
            let _ = write!(text, "site {:?} ", site.name);
            let _ = match site.domain {
                Domain::Choice(n) => write!(text, "choice {n}"),
                Domain::Uniform { low, high } => write!(text, "uniform {}", bits(&[low, high])),
                Domain::Log { low, high } => write!(text, "log {}", bits(&[low, high])),
                Domain::Whole { low, high } => write!(text, "whole {low} {high}"),
            };
            if let Some((parent, alternative)) = site.when {
                let _ = write!(text, " when {parent} {alternative}");
            }
            text.push('\n');
        }
        let direction = match self.objectives.as_slice() {
            [only] if only.name == WATCH => word(only.direction).to_owned(),
            several => {
                let each = several.iter().map(Objective::text);
                each.collect::<Vec<_>>().join(" ")
            }
        };
        let method = match self.method {
            Method::Full => "full".to_owned(),
            Method::Halving { keep } => format!("halving {}", bits(&[keep])),
            Method::Hyperband { keep } => format!("hyperband {}", bits(&[keep])),
            Method::Median { startup } => format!("median {startup}"),
            Method::Patience { rungs } => format!("patience {rungs}"),
            Method::Threshold { bound } => format!("threshold {}", bits(&[bound])),
        };
        let propose = match self.propose {
            Propose::Grid { points } => format!("grid {points}"),
            Propose::Random => "random".to_owned(),
            Propose::Sobol => "sobol".to_owned(),
            Propose::Tpe { startup } => format!("tpe {startup} of {}", tpe::CANDIDATES),
            Propose::Gp { startup } => format!("gp {startup}"),
            Propose::CmaEs { population } => format!("cmaes {population}"),
            Propose::Nsga2 { population } => format!("nsga2 {population}"),
        };
        let (rungs, budget, lag) = (self.rungs, self.budget, self.lag);
        let _ = writeln!(
            text,
            "{direction} rungs {rungs}\n{method}\n{propose}\nbudget {budget} lag {lag}"
        );
        text
    }

    /// The size of a generation of CMA-ES unless said otherwise: `4 + ⌊3 ln n⌋` for `n` numbers.
    pub fn default_population(&self) -> usize {
        let numbers = cma::dimensions(&self.space).len().max(1);
        4 + (3.0 * math::log(numbers as f64)) as usize
    }
}

impl Objective {
    fn text(&self) -> String {
        format!("{} {:?}", word(self.direction), self.name)
    }
}

fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Maximise => "maximise",
        Direction::Minimise => "minimise",
    }
}

fn bits(values: &[f64]) -> String {
    let words: Vec<String> = values
        .iter()
        .map(|value| format!("{:016x}", value.to_bits()))
        .collect();
    words.join(" ")
}

fn canonical(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits() & !(1 << 63)
    } else {
        value.to_bits()
    }
}

/// The last result of a trial and its rung.
pub(crate) fn last(trial: &Trial) -> Option<(usize, Outcome)> {
    let mut found = trial.results.iter().enumerate().rev();
    found.find_map(|(rung, outcome)| outcome.map(|outcome| (rung, outcome)))
}

fn first(trial: &Trial) -> Option<(usize, Outcome)> {
    let mut found = trial.results.iter().enumerate();
    found.find_map(|(rung, outcome)| outcome.map(|outcome| (rung, outcome)))
}
