//! How a search is done: all that decides it beside the results of trials.

use crate::space::Space;
use mmh_numerics::random::Seed;

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Declared name: part of the address of every draw.
    pub name: String,
    /// Root seed.
    pub seed: Seed,
    /// What may be chosen.
    pub space: Space,
    /// The figures that are followed: one, or several of which none decides alone.
    pub objectives: Vec<Objective>,
    /// Where trials are compared before their end: the number of rungs, the end among them.
    pub rungs: usize,
    /// Who goes on at a rung.
    pub method: Method,
    /// How points are proposed.
    pub propose: Propose,
    /// Trials at most.
    pub budget: usize,
    /// A proposal, and a decision about a trial, reads trials more than so many numbers before it.
    pub lag: usize,
}

/// A figure that a search follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    /// Its name; [`WATCH`] is the one that is known ahead of a trial's end.
    pub name: String,
    /// Which are better.
    pub direction: Direction,
}

/// The name of the figure that a training measures as it goes on.
pub const WATCH: &str = "watch";

/// Which figures are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Large ones.
    Maximise,
    /// Small ones.
    Minimise,
}

/// Who goes on at a rung.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Every trial goes to its end.
    Full,
    /// Synchronous successive halving (Jamieson & Talwalkar 2016) over all trials: of those at a rung a share goes on.
    Halving {
        /// The share, in (0, 1).
        keep: f64,
    },
    /// Hyperband (Li et al. 2018): brackets of successive halving, each starting a rung higher with fewer trials.
    Hyperband {
        /// The share of each bracket, in (0, 1).
        keep: f64,
    },
    /// A trial goes on unless it is worse at a rung than the median of those before it.
    Median {
        /// Trials that must have reached the rung before any is stopped there.
        startup: usize,
    },
    /// A trial goes on unless so many rungs in a row brought nothing better.
    Patience {
        /// Rungs without a better figure.
        rungs: usize,
    },
    /// A trial goes on while its figure is not worse than a bound.
    Threshold {
        /// The bound.
        bound: f64,
    },
}

/// How points are proposed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Propose {
    /// Every point of a grid, in order.
    Grid {
        /// Points of a site that cannot be listed.
        points: usize,
    },
    /// Independent points.
    Random,
    /// A scrambled Sobol sequence (Joe & Kuo 2008).
    Sobol,
    /// The multivariate tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023).
    Tpe {
        /// Random trials ahead of the first that is estimated.
        startup: usize,
    },
    /// Expected improvement under a Gaussian process (Jones et al. 1998).
    Gp {
        /// Random trials ahead of the first that is modelled.
        startup: usize,
    },
    /// NSGA-II (Deb et al. 2002), for several figures. Its generations are made whole, like those of CMA-ES.
    Nsga2 {
        /// Trials of a generation.
        population: usize,
    },
    /// Covariance matrix adaptation (Hansen 2016). Its generations are made whole: it reads the generations before.
    CmaEs {
        /// Trials of a generation.
        population: usize,
    },
}

/// Trials that are compared with each other from one rung to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cohort {
    /// The first trial.
    pub(crate) first: usize,
    /// How many there are.
    pub(crate) size: usize,
    /// The rung to which they are trained before the first comparison.
    pub(crate) rung: usize,
}

impl Objective {
    /// What a training measures as it goes on.
    pub fn watch(direction: Direction) -> Self {
        Self {
            name: WATCH.to_owned(),
            direction,
        }
    }

    /// A figure as a loss: small is good, no number is the worst.
    pub(crate) fn loss(&self, value: f64) -> f64 {
        match self.direction {
            _ if value.is_nan() => f64::INFINITY,
            Direction::Maximise => -value,
            Direction::Minimise => value,
        }
    }
}

impl Spec {
    /// Which first figures are better.
    pub fn direction(&self) -> Direction {
        let first = self.objectives.first();
        first.map_or(Direction::Minimise, |objective| objective.direction)
    }

    /// The cohorts of successive halving and Hyperband; none for other methods.
    pub(crate) fn cohorts(&self, budget: usize) -> Vec<Cohort> {
        match self.method {
            Method::Halving { .. } => vec![Cohort {
                first: 0,
                size: budget,
                rung: 0,
            }],
            Method::Hyperband { keep } => brackets(budget, self.rungs, keep),
            Method::Full
            | Method::Median { .. }
            | Method::Patience { .. }
            | Method::Threshold { .. } => Vec::new(),
        }
    }

    /// How many trials, counted from the first, proposal `trial` may read.
    ///
    /// All but the last `lag` before it. CMA-ES and NSGA-II read the generations before their own, grid, random and Sobol
    /// read none.
    pub fn reads(&self, trial: usize) -> usize {
        match self.propose {
            Propose::Grid { .. } | Propose::Random | Propose::Sobol => 0,
            Propose::Tpe { startup } | Propose::Gp { startup } if trial < startup => 0,
            Propose::Tpe { .. } | Propose::Gp { .. } => trial.saturating_sub(self.lag),
            Propose::CmaEs { population } | Propose::Nsga2 { population } => {
                trial - trial % population.max(1)
            }
        }
    }
}

/// Brackets of Hyperband, cycle after cycle until the budget is used up.
fn brackets(budget: usize, rungs: usize, keep: f64) -> Vec<Cohort> {
    let rungs = rungs.max(1);
    let mut sizes = Vec::new();
    for rung in 0..rungs {
        // A bracket that starts `rung` rungs up has (R / (R − rung)) · keep^(rung + 1 − R) trials, rounded up.
        let halvings = rungs - 1 - rung;
        let growth = (0..halvings).fold(1.0, |product, _| product / keep);
        let share = rungs as f64 / (halvings + 1) as f64;
        sizes.push(((share * growth - 1e-9).ceil() as usize).max(1));
    }
    let mut cohorts = Vec::new();
    let mut first = 0;
    while first < budget {
        for (rung, size) in sizes.iter().enumerate() {
            let size = (*size).min(budget - first);
            if size > 0 {
                cohorts.push(Cohort { first, size, rung });
                first += size;
            }
        }
    }
    cohorts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_follow_the_paper() {
        // R = 81, eta = 3 of the paper: five rungs, brackets of 81, 34, 15, 8, 5 trials.
        let sizes: Vec<(usize, usize)> = brackets(143, 5, 1.0 / 3.0)
            .iter()
            .map(|it| (it.size, it.rung))
            .collect();
        assert_eq!(sizes, [(81, 0), (34, 1), (15, 2), (8, 3), (5, 4)]);
        let all: usize = brackets(200, 3, 0.5).iter().map(|it| it.size).sum();
        assert_eq!(all, 200);
    }
}
