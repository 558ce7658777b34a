//! The next point.

use crate::draws::Draws;
use crate::space::Point;
use crate::spec::Propose;
use crate::study::Study;
use crate::{cma, gp, nsga, sobol, tpe};

impl Study {
    /// Proposal `trial`, at the `attempt`-th go: a function of spec, number and what [`crate::Spec::reads`] allows.
    pub(crate) fn proposal(&mut self, trial: usize, attempt: u64) -> Point {
        match self.spec().propose {
            // A grid is listed ahead.
            Propose::Grid { .. } | Propose::Random => self.random(trial, attempt),
            Propose::Gp { startup } if trial < startup && attempt == 0 => {
                sobol::point(self.spec(), trial as u64)
            }
            Propose::Sobol if attempt == 0 => sobol::point(self.spec(), trial as u64),
            Propose::Sobol => self.random(trial, attempt),
            Propose::Tpe { startup } | Propose::Gp { startup } if trial < startup => {
                self.random(trial, attempt)
            }
            Propose::Tpe { .. } => {
                let seen = self.seen(trial);
                tpe::point(self.spec(), &seen, trial as u64, attempt)
            }
            Propose::Gp { .. } if self.spec().reads(trial) == 0 || attempt >= gp::ATTEMPTS => {
                self.random(trial, attempt)
            }
            Propose::Gp { .. } => gp::point(self, trial, attempt),
            Propose::CmaEs { population } => cma::point(self, population.max(2), trial, attempt),
            Propose::Nsga2 { population } => nsga::point(self, population.max(2), trial, attempt),
        }
    }

    pub(crate) fn random(&self, trial: usize, attempt: u64) -> Point {
        let spec = self.spec();
        let mut draws = Draws::at(&spec.seed, &spec.name, "random", &[trial as u64, attempt]);
        let coordinates: Vec<f64> = spec.space.sites.iter().map(|_| draws.uniform()).collect();
        spec.space.point(&coordinates)
    }
}
