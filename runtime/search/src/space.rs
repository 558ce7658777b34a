//! What may be chosen, and points in it.

use crate::math;

/// A search space: its sites in the order of the recipe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    /// The places where a value is chosen. A site that depends on another comes after it.
    pub sites: Vec<Site>,
}

/// One place where a value is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Its name, for people and for the study's hash.
    pub name: String,
    /// What may be drawn.
    pub domain: Domain,
    /// The site and its alternative that open this one; always open if there is none.
    pub when: Option<(usize, usize)>,
}

/// What may be drawn at a site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// One of so many alternatives, without an order.
    Choice(usize),
    /// A number from `low` to `high`.
    Uniform {
        /// Smallest.
        low: f64,
        /// Largest.
        high: f64,
    },
    /// A number from `low` to `high`, its logarithm spread evenly; `low` is above 0.
    Log {
        /// Smallest.
        low: f64,
        /// Largest.
        high: f64,
    },
    /// A whole number from `low` to `high`, both included.
    Whole {
        /// Smallest.
        low: i64,
        /// Largest.
        high: i64,
    },
}

/// What was drawn at a site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// The number of an alternative.
    Choice(usize),
    /// A number.
    Real(f64),
    /// A whole number.
    Whole(i64),
}

/// One setting a site; `None` where a site is closed.
pub type Point = Vec<Option<Setting>>;

impl Domain {
    /// The setting at `u` of [0, 1).
    pub fn at(self, u: f64) -> Setting {
        match self {
            Self::Choice(n) => Setting::Choice(((u * n as f64) as usize).min(n.saturating_sub(1))),
            Self::Uniform { low, high } => Setting::Real((low + u * (high - low)).clamp(low, high)),
            Self::Log { low, high } => {
                let (a, b) = (math::log(low), math::log(high));
                Setting::Real(math::exp(a + u * (b - a)).clamp(low, high))
            }
            Self::Whole { low, high } => {
                let count = (i128::from(high) - i128::from(low) + 1).max(1);
                let step = ((u * count as f64) as i128).clamp(0, count - 1);
                Setting::Whole((i128::from(low) + step) as i64)
            }
        }
    }

    /// Where a setting lies in [0, 1]: the middle of what [`Domain::at`] maps to it.
    pub fn coordinate(self, setting: Setting) -> f64 {
        let place = |x: f64, low: f64, high: f64| {
            if high > low {
                (x - low) / (high - low)
            } else {
                0.5
            }
        };
        match (self, setting) {
            (Self::Choice(n), Setting::Choice(k)) => (k as f64 + 0.5) / n.max(1) as f64,
            (Self::Uniform { low, high }, Setting::Real(x)) => place(x, low, high),
            (Self::Log { low, high }, Setting::Real(x)) => {
                place(math::log(x), math::log(low), math::log(high))
            }
            (Self::Whole { low, high }, Setting::Whole(x)) => {
                (x as f64 - low as f64 + 0.5) / (high as f64 - low as f64 + 1.0)
            }
            _ => 0.5,
        }
    }

    /// The settings of a grid: all that can be listed, else `points` spread evenly, both ends among them.
    pub fn grid(self, points: usize) -> Vec<Setting> {
        let spread = |at: &dyn Fn(f64) -> Setting| -> Vec<Setting> {
            match points {
                0 | 1 => vec![at(0.5)],
                _ => (0..points)
                    .map(|i| at(i as f64 / (points - 1) as f64))
                    .collect(),
            }
        };
        match self {
            Self::Choice(n) => (0..n).map(Setting::Choice).collect(),
            Self::Whole { low, high } => {
                let count = i128::from(high) - i128::from(low) + 1;
                if count <= points.max(2) as i128 {
                    return (low..=high).map(Setting::Whole).collect();
                }
                let width = (high as f64) - (low as f64);
                spread(&|u| Setting::Whole(low.saturating_add((u * width + 0.5) as i64).min(high)))
            }
            // An end is the number that was written, not one that a logarithm and its inverse came to.
            Self::Uniform { low, high } | Self::Log { low, high } => spread(&|u| match u {
                0.0 => Setting::Real(low),
                1.0 => Setting::Real(high),
                _ => self.at(u),
            }),
        }
    }
}

impl Space {
    /// The point at coordinates in [0, 1), one a site; closed sites are left out.
    pub fn point(&self, coordinates: &[f64]) -> Point {
        let drawn = self.sites.iter().zip(coordinates);
        self.open(drawn.map(|(site, u)| site.domain.at(*u)).collect())
    }

    /// Takes out what stands at closed sites.
    pub fn open(&self, settings: Vec<Setting>) -> Point {
        let mut point: Point = Vec::with_capacity(settings.len());
        for (site, setting) in self.sites.iter().zip(settings) {
            let open = site.when.is_none_or(|(parent, alternative)| {
                point.get(parent) == Some(&Some(Setting::Choice(alternative)))
            });
            point.push(open.then_some(setting));
        }
        point
    }

    /// Whether some sites are open for some choices only.
    pub fn is_conditional(&self) -> bool {
        self.sites.iter().any(|site| site.when.is_some())
    }

    /// Points of the whole grid, a closed site counted once; `None` if there are more than `most`.
    pub(crate) fn grid(&self, points: usize, most: usize) -> Option<Vec<Point>> {
        let mut all: Vec<Point> = vec![Vec::new()];
        for site in &self.sites {
            let settings = site.domain.grid(points);
            let mut longer = Vec::new();
            for point in all {
                let open = site.when.is_none_or(|(parent, alternative)| {
                    point.get(parent) == Some(&Some(Setting::Choice(alternative)))
                });
                let choices: Vec<Option<Setting>> = match open {
                    true => settings.iter().copied().map(Some).collect(),
                    false => vec![None],
                };
                for choice in choices {
                    longer.push(point.iter().copied().chain([choice]).collect());
                }
            }
            if longer.len() > most {
                return None;
            }
            all = longer;
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_domain_are_in_it() {
        let log = Domain::Log {
            low: 1e-4,
            high: 1e-1,
        };
        let whole = Domain::Whole { low: -3, high: 3 };
        for u in [0.0, 0.5, 1.0 - f64::EPSILON / 2.0] {
            assert!(matches!(log.at(u), Setting::Real(x) if (1e-4..=1e-1).contains(&x)));
            assert!(matches!(whole.at(u), Setting::Whole(x) if (-3..=3).contains(&x)));
        }
        assert_eq!(whole.at(0.0), Setting::Whole(-3));
        assert_eq!(whole.at(0.999_999), Setting::Whole(3));
    }

    #[test]
    fn the_ends_of_a_grid_are_those_that_were_written() {
        let (low, high) = (3e-4, 3e-2);
        for domain in [Domain::Log { low, high }, Domain::Uniform { low, high }] {
            let grid = domain.grid(3);
            assert_eq!(grid.first(), Some(&Setting::Real(low)));
            assert_eq!(grid.last(), Some(&Setting::Real(high)));
        }
    }

    #[test]
    fn a_grid_lists_closed_sites_once() {
        let site = |name: &str, domain, when| Site {
            name: name.into(),
            domain,
            when,
        };
        let unit = Domain::Uniform {
            low: 0.0,
            high: 1.0,
        };
        let space = Space {
            sites: vec![
                site("a", Domain::Choice(3), None),
                site("b", unit, Some((0, 1))),
            ],
        };
        let grid = space.grid(4, 100).expect("few points");
        assert_eq!(grid.len(), 1 + 4 + 1);
        assert_eq!(space.grid(4, 5), None);
    }
}
