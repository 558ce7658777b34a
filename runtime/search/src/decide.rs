//! Who goes on at a rung.

use crate::spec::{Cohort, Method};
use crate::study::{Outcome, Study, last};

impl Study {
    /// Decides all that can be decided.
    pub(crate) fn decide(&mut self) {
        self.decide_cohorts();
        for trial in 0..self.trials.len() {
            let Some((rung, outcome)) = self.trials.get(trial).and_then(last) else {
                continue;
            };
            if self.decided(trial, rung).is_some() {
                continue;
            }
            let decision = match outcome {
                Outcome::Diverged { .. } | Outcome::Infeasible { .. } => Some(false),
                Outcome::Value(_) if rung + 1 == self.spec().rungs => Some(false),
                Outcome::Value(value) => self.goes_on(trial, rung, value),
            };
            if let Some(decision) = decision {
                self.set(trial, rung, decision);
            }
        }
    }

    fn decided(&self, trial: usize, rung: usize) -> Option<bool> {
        self.trials.get(trial)?.goes_on.get(rung).copied().flatten()
    }

    fn set(&mut self, trial: usize, rung: usize, decision: bool) {
        let slot = self
            .trials
            .get_mut(trial)
            .and_then(|it| it.goes_on.get_mut(rung));
        if let Some(slot) = slot {
            *slot = Some(decision);
        }
    }

    fn value(&self, trial: usize, rung: usize) -> Option<f64> {
        match self.trials.get(trial)?.results.get(rung)? {
            Some(Outcome::Value(value)) => Some(*value),
            Some(Outcome::Diverged { .. } | Outcome::Infeasible { .. }) | None => None,
        }
    }

    fn goes_on(&self, trial: usize, rung: usize, value: f64) -> Option<bool> {
        match self.spec().method {
            Method::Full => Some(true),
            // Decided for a whole cohort.
            Method::Halving { .. } | Method::Hyperband { .. } => None,
            Method::Median { startup } => self.beats_median(trial, rung, value, startup),
            Method::Patience { rungs } => Some(self.still_improves(trial, rung, rungs)),
            Method::Threshold { bound } => Some(self.loss(value) <= self.loss(bound)),
        }
    }

    /// Reads the trials up to `lag` before it; nothing is known before each of them reached the rung or was stopped.
    fn beats_median(&self, trial: usize, rung: usize, value: f64, startup: usize) -> Option<bool> {
        let mut losses = Vec::new();
        for other in 0..trial.saturating_sub(self.spec().lag) {
            let (reached, _) = self.trials.get(other).and_then(last)?;
            match self.value(other, rung) {
                Some(value) => losses.push(self.loss(value)),
                // It may still come here.
                None if reached < rung && self.decided(other, reached) != Some(false) => {
                    return None;
                }
                None => {}
            }
        }
        if losses.len() < startup.max(1) {
            return Some(true);
        }
        losses.sort_by(f64::total_cmp);
        let median = losses
            .get((losses.len() - 1) / 2)
            .copied()
            .unwrap_or(f64::INFINITY);
        Some(self.loss(value) <= median)
    }

    fn still_improves(&self, trial: usize, rung: usize, patience: usize) -> bool {
        let losses: Vec<f64> = (0..=rung)
            .map(|rung| {
                self.value(trial, rung)
                    .map_or(f64::INFINITY, |value| self.loss(value))
            })
            .collect();
        let (mut best, mut since) = (f64::INFINITY, 0);
        for loss in losses {
            if loss < best {
                (best, since) = (loss, 0);
            } else {
                since += 1;
            }
        }
        since < patience.max(1)
    }

    fn decide_cohorts(&mut self) {
        let (Method::Halving { keep } | Method::Hyperband { keep }) = self.spec().method else {
            return;
        };
        for cohort in self.cohorts.clone() {
            if self.trials.len() < cohort.first + cohort.size {
                break;
            }
            self.decide_cohort(cohort, keep);
        }
    }

    /// At each rung, once every trial that goes there has a result, the best share goes on; ties go to the lowest trial.
    fn decide_cohort(&mut self, cohort: Cohort, keep: f64) {
        let mut there: Vec<usize> = (cohort.first..cohort.first + cohort.size).collect();
        for rung in cohort.rung..self.spec().rungs.saturating_sub(1) {
            let reported = |trial: &usize| {
                let it = self.trials.get(*trial);
                it.and_then(|it| it.results.get(rung))
                    .is_some_and(Option::is_some)
            };
            if !there.iter().all(reported) {
                return;
            }
            let known = |trial: &usize| {
                self.value(*trial, rung)
                    .map(|value| (self.loss(value), *trial))
            };
            let mut ranked: Vec<(f64, usize)> = there.iter().filter_map(known).collect();
            ranked.retain(|(loss, _)| *loss < f64::INFINITY);
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let kept = ((there.len() as f64 * keep + 1e-9) as usize).max(1);
            let mut next: Vec<usize> = ranked.iter().take(kept).map(|(_, trial)| *trial).collect();
            next.sort_unstable();
            for trial in &there {
                self.set(*trial, rung, next.binary_search(trial).is_ok());
            }
            there = next;
        }
    }
}
