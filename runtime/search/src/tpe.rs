//! The multivariate tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023).
//!
//! Trials seen so far are split into the better tenth and the rest. Each half is a mixture of product kernels, one kernel a
//! trial and one for the whole space. Of 32 points drawn from the better half, the one that the better half holds likelier
//! than the rest by the largest factor is proposed. Constants are those of the papers and of common use, but for the number
//! of points, for which 24 is common: more of them find slightly smaller values, and cost little here.

use crate::draws::Draws;
use crate::math::{exp, log, log_sum_exp, normal_cdf, normal_mass, normal_quantile, quick_log};
use crate::space::{Domain, Point, Setting, Space};
use crate::spec::Spec;
use crate::study::Seen;
use std::cmp::Reverse;

/// Points that are drawn and weighed.
pub(crate) const CANDIDATES: usize = 32;

/// Trials in the better part at most.
const MOST_GOOD: usize = 25;

/// The newest trials that count in full; older ones fade.
const FULL_WEIGHT: usize = 25;

const LOG_SQRT_TAU: f64 = 0.918_938_533_204_672_8;

/// The point of `trial`.
pub(crate) fn point(spec: &Spec, seen: &[Seen<'_>], trial: u64, attempt: u64) -> Point {
    let space = &spec.space;
    let (good, rest) = split(seen);
    let good = Mixture::new(space, &good);
    let rest = Mixture::new(space, &rest);
    let mut draws = Draws::at(&spec.seed, &spec.name, "tpe", &[trial, attempt]);
    let mut best: Option<(f64, Vec<f64>)> = None;
    for _ in 0..CANDIDATES {
        let candidate = good.draw(&mut draws);
        let open = open(space, &candidate);
        let gain = good.log_density(&candidate, &open) - rest.log_density(&candidate, &open);
        if best.as_ref().is_none_or(|(most, _)| gain > *most) {
            best = Some((gain, candidate));
        }
    }
    let (_, chosen) = best.unwrap_or_default();
    let settings = space
        .sites
        .iter()
        .zip(&chosen)
        .map(|(site, x)| setting(site.domain, *x));
    space.open(settings.collect())
}

/// A trial's settings on the scale of the kernels.
type Scaled<'a> = &'a [Option<f64>];

/// The better trials and the others, each in the order of their numbers.
fn split<'a>(seen: &'a [Seen<'a>]) -> (Vec<Scaled<'a>>, Vec<Scaled<'a>>) {
    let mut ranked: Vec<&Seen<'_>> = seen.iter().collect();
    ranked.sort_by(|a, b| {
        let by_loss = a.loss.total_cmp(&b.loss).then(a.number.cmp(&b.number));
        Reverse(a.rung).cmp(&Reverse(b.rung)).then(by_loss)
    });
    let count = seen.len().div_ceil(10).min(MOST_GOOD);
    let mut good: Vec<usize> = ranked.iter().take(count).map(|it| it.number).collect();
    good.sort_unstable();
    let is_good = |it: &&Seen<'_>| good.binary_search(&it.number).is_ok();
    let (good, rest): (Vec<_>, Vec<_>) = seen.iter().partition(is_good);
    let points = |part: Vec<&'a Seen<'a>>| part.into_iter().map(|it| it.scaled).collect();
    (points(good), points(rest))
}

/// A setting on the scale on which kernels are laid: logarithms of `log` ranges, numbers of alternatives.
fn internal(setting: Setting, domain: Domain) -> f64 {
    match (setting, domain) {
        (Setting::Real(x), Domain::Log { .. }) => log(x),
        (Setting::Real(x), _) => x,
        (Setting::Whole(x), _) => x as f64,
        (Setting::Choice(k), _) => k as f64,
    }
}

/// All settings of a point on that scale.
pub(crate) fn scaled(space: &Space, point: &Point) -> Vec<Option<f64>> {
    let sites = space.sites.iter().zip(point);
    sites
        .map(|(site, setting)| setting.map(|setting| internal(setting, site.domain)))
        .collect()
}

fn setting(domain: Domain, x: f64) -> Setting {
    match domain {
        Domain::Choice(n) => Setting::Choice((x as usize).min(n.saturating_sub(1))),
        Domain::Uniform { low, high } => Setting::Real(x.clamp(low, high)),
        Domain::Log { low, high } => Setting::Real(exp(x).clamp(low, high)),
        Domain::Whole { low, high } => Setting::Whole((x as i64).clamp(low, high)),
    }
}

/// Which sites are open for a candidate.
fn open(space: &Space, candidate: &[f64]) -> Vec<bool> {
    let mut open: Vec<bool> = Vec::with_capacity(candidate.len());
    for site in &space.sites {
        let is = site.when.is_none_or(|(parent, alternative)| {
            open.get(parent) == Some(&true) && candidate.get(parent) == Some(&(alternative as f64))
        });
        open.push(is);
    }
    open
}

/// A mixture of product kernels. The last kernel is the prior over the whole space.
struct Mixture {
    weights: Vec<f64>,
    sites: Vec<Kernels>,
    /// Logarithm of each kernel's weight over the product of its factors, where no site is conditional.
    constants: Option<Vec<f64>>,
}

/// The factors of all kernels at one site.
enum Kernels {
    /// Normal distributions cut off at the ends of the range; whole numbers are intervals of width 1.
    Normal {
        low: f64,
        high: f64,
        whole: bool,
        means: Vec<f64>,
        inverse: Vec<f64>,
        masses: Vec<f64>,
    },
    /// A probability for each alternative: `plain` where it was not seen, and `seen` where it was.
    Categories {
        count: usize,
        chosen: Vec<Option<usize>>,
        plain: f64,
        seen: f64,
    },
}

impl Mixture {
    fn new(space: &Space, points: &[Scaled<'_>]) -> Self {
        let mut weights = fading(points.len());
        weights.push(1.0);
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        let sites: Vec<Kernels> = space
            .sites
            .iter()
            .enumerate()
            .map(|(index, site)| {
                let column = points
                    .iter()
                    .map(|point| point.get(index).copied().flatten());
                Kernels::new(site.domain, &column.collect::<Vec<_>>())
            })
            .collect();
        let constants = (!space.is_conditional()).then(|| constants(&weights, &sites, None));
        Self {
            weights,
            sites,
            constants,
        }
    }

    /// Draws a kernel, then each site of it.
    fn draw(&self, draws: &mut Draws) -> Vec<f64> {
        let u = draws.uniform();
        let (mut kernel, mut sum) = (self.weights.len() - 1, 0.0);
        for (index, weight) in self.weights.iter().enumerate() {
            sum += weight;
            if u < sum {
                kernel = index;
                break;
            }
        }
        self.sites
            .iter()
            .map(|site| site.draw(kernel, draws.uniform()))
            .collect()
    }

    /// Logarithm of the density at a point, over the open sites alone.
    fn log_density(&self, point: &[f64], open: &[bool]) -> f64 {
        let mut terms = match &self.constants {
            Some(constants) => constants.clone(),
            None => constants(&self.weights, &self.sites, Some(open)),
        };
        for ((site, x), open) in self.sites.iter().zip(point).zip(open) {
            if *open {
                site.add(*x, &mut terms);
            }
        }
        log_sum_exp(&mut terms)
    }
}

/// Weights of trials by age: the newest count in full, older ones fade linearly.
fn fading(count: usize) -> Vec<f64> {
    let old = count.saturating_sub(FULL_WEIGHT);
    let least = 1.0 / count.max(1) as f64;
    let step = if old > 1 {
        (1.0 - least) / (old - 1) as f64
    } else {
        0.0
    };
    (0..count)
        .map(|i| {
            if i < old {
                least + step * i as f64
            } else {
                1.0
            }
        })
        .collect()
}

/// For each kernel the logarithm of its weight over the product of what its factors are divided by.
fn constants(weights: &[f64], sites: &[Kernels], open: Option<&[bool]>) -> Vec<f64> {
    let mut terms: Vec<f64> = weights.iter().map(|weight| quick_log(*weight)).collect();
    let mut product = vec![1.0; weights.len()];
    let mut factors = 0;
    for (index, site) in sites.iter().enumerate() {
        let Kernels::Normal {
            inverse,
            masses,
            whole,
            ..
        } = site
        else {
            continue;
        };
        if open.is_some_and(|open| open.get(index) != Some(&true)) {
            continue;
        }
        for ((product, inverse), mass) in product.iter_mut().zip(inverse).zip(masses) {
            *product *= if *whole { 1.0 / mass } else { inverse / mass };
        }
        for term in &mut terms {
            *term -= if *whole { 0.0 } else { LOG_SQRT_TAU };
        }
        factors += 1;
        // A product of some more could leave the range of doubles.
        if factors % 8 == 0 {
            take_in(&mut terms, &mut product);
        }
    }
    take_in(&mut terms, &mut product);
    terms
}

fn take_in(terms: &mut [f64], product: &mut [f64]) {
    for (term, product) in terms.iter_mut().zip(product) {
        *term += quick_log(*product);
        *product = 1.0;
    }
}

impl Kernels {
    fn new(domain: Domain, column: &[Option<f64>]) -> Self {
        let (low, high, whole) = match domain {
            Domain::Choice(count) => return Self::categories(count, column),
            Domain::Uniform { low, high } => (low, high, false),
            Domain::Log { low, high } => (log(low), log(high), false),
            Domain::Whole { low, high } => (low as f64 - 0.5, high as f64 + 0.5, true),
        };
        let (mut means, mut inverse) = widths(column, low, high);
        means.push(0.5 * (low + high));
        inverse.push(1.0 / (high - low).max(1e-300));
        let mass = |(mean, inverse): (&f64, &f64)| {
            normal_mass((low - mean) * inverse, (high - mean) * inverse).max(1e-300)
        };
        let masses = means.iter().zip(&inverse).map(mass).collect();
        Self::Normal {
            low,
            high,
            whole,
            means,
            inverse,
            masses,
        }
    }

    fn categories(count: usize, column: &[Option<f64>]) -> Self {
        let chosen = column.iter().map(|it| it.map(|k| k as usize));
        let chosen: Vec<Option<usize>> = chosen.chain([None]).collect();
        let share = 1.0 / chosen.len() as f64;
        let sum = 1.0 + share * count as f64;
        Self::Categories {
            count,
            chosen,
            plain: share / sum,
            seen: (1.0 + share) / sum,
        }
    }

    fn draw(&self, kernel: usize, u: f64) -> f64 {
        match self {
            Self::Normal {
                low,
                high,
                whole,
                means,
                inverse,
                ..
            } => {
                let (mean, inverse) = (means[kernel], inverse[kernel]);
                let (a, b) = (
                    normal_cdf((low - mean) * inverse),
                    normal_cdf((high - mean) * inverse),
                );
                let x = (mean + normal_quantile(a + u * (b - a)) / inverse).clamp(*low, *high);
                if *whole {
                    x.round().clamp(low + 0.5, high - 0.5)
                } else {
                    x
                }
            }
            Self::Categories {
                count,
                chosen,
                plain,
                ..
            } => match chosen[kernel] {
                None => (u * *count as f64).floor(),
                // Below `count · plain` all are alike; what is above belongs to the one that was seen.
                Some(_) if u < plain * *count as f64 => (u / plain).floor(),
                Some(seen) => seen as f64,
            },
        }
    }

    /// Adds the logarithm of each kernel's factor at `x`, but for what [`constants`] holds.
    fn add(&self, x: f64, terms: &mut [f64]) {
        match self {
            Self::Normal {
                whole: false,
                means,
                inverse,
                ..
            } => {
                for ((term, mean), inverse) in terms.iter_mut().zip(means).zip(inverse) {
                    let z = (x - mean) * inverse;
                    *term -= 0.5 * z * z;
                }
            }
            Self::Normal { means, inverse, .. } => {
                for ((term, mean), inverse) in terms.iter_mut().zip(means).zip(inverse) {
                    let (a, b) = ((x - 0.5 - mean) * inverse, (x + 0.5 - mean) * inverse);
                    *term += quick_log(normal_mass(a, b).max(1e-300));
                }
            }
            Self::Categories {
                count,
                chosen,
                plain,
                seen,
            } => {
                let even = -log(*count as f64);
                let (plain, seen) = (log(*plain), log(*seen));
                for (term, chosen) in terms.iter_mut().zip(chosen) {
                    *term += match chosen {
                        None => even,
                        Some(k) if *k as f64 == x => seen,
                        Some(_) => plain,
                    };
                }
            }
        }
    }
}

/// Means and inverse widths of the kernels of a column. A kernel is as wide as the larger gap to its neighbours, within
/// limits; where a trial has no value, it is as wide as the range.
fn widths(known: &[Option<f64>], low: f64, high: f64) -> (Vec<f64>, Vec<f64>) {
    let range = (high - low).max(1e-300);
    let mut sorted: Vec<(f64, usize)> = known
        .iter()
        .enumerate()
        .filter_map(|(i, x)| x.map(|x| (x, i)))
        .collect();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let least = range / (known.len() as f64 + 2.0).min(100.0);
    let mut means = vec![0.5 * (low + high); known.len()];
    let mut inverse = vec![1.0 / range; known.len()];
    for (place, (x, index)) in sorted.iter().enumerate() {
        let before = place
            .checked_sub(1)
            .and_then(|it| sorted.get(it))
            .map(|it| x - it.0);
        let after = sorted.get(place + 1).map(|it| it.0 - x);
        // The ends of the range count as neighbours only of a value that has no other.
        let width = match (before, after) {
            (Some(before), Some(after)) => before.max(after),
            (Some(gap), None) | (None, Some(gap)) => gap,
            (None, None) => (x - low).max(high - x),
        };
        means[*index] = *x;
        inverse[*index] = 1.0 / width.clamp(least, range);
    }
    (means, inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_fade_with_age() {
        assert_eq!(fading(3), [1.0; 3]);
        let weights = fading(30);
        assert_eq!(
            (weights[0], weights[4], weights[29]),
            (1.0 / 30.0, 1.0, 1.0)
        );
        assert!(weights.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn densities_are_those_of_what_is_drawn() {
        // The mean of 1 / density over draws is the volume of the space.
        let site = |domain| crate::Site {
            name: String::new(),
            domain,
            when: None,
        };
        let space = Space {
            sites: vec![
                site(Domain::Uniform {
                    low: 2.0,
                    high: 5.0,
                }),
                site(Domain::Whole { low: 1, high: 4 }),
                site(Domain::Choice(3)),
            ],
        };
        let seen: Vec<Point> = (0..6)
            .map(|i| space.point(&[0.1 * f64::from(i), 0.4, 0.9]))
            .collect();
        let scaled: Vec<Vec<Option<f64>>> = seen.iter().map(|it| scaled(&space, it)).collect();
        let rows: Vec<Scaled<'_>> = scaled.iter().map(Vec::as_slice).collect();
        let mixture = Mixture::new(&space, &rows);
        let mut draws = Draws::at(&mmh_numerics::random::Seed::from_integer(3), "", "", &[]);
        let count = 40_000;
        let volume: f64 = (0..count)
            .map(|_| {
                let point = mixture.draw(&mut draws);
                exp(-mixture.log_density(&point, &[true; 3])) / f64::from(count)
            })
            .sum();
        assert!((volume / 36.0 - 1.0).abs() < 0.05, "{volume}");
    }
}
