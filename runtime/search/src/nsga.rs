//! NSGA-II (Deb et al. 2002): a population that is bred towards the trials that no other one beats.
//!
//! A generation is a function of the generations before it, as in CMA-ES: it reads their figures whole, and each child draws
//! from the address of its own trial. The first generation is a scrambled Sobol sequence. Two parents win tournaments of two,
//! by front, then by room. Numbers are crossed by simulated binary crossover (Deb & Agrawal 1995) and mutated by a polynomial
//! (Deb & Goyal 1996) on the scale on which they are drawn; choices are taken from either parent, and drawn anew where they
//! mutate. A child that is a trial already is made anew.

use crate::draws::Draws;
use crate::math;
use crate::pareto::{crowding, fronts, thinned};
use crate::sobol;
use crate::space::{Domain, Point, Setting, Site};
use crate::study::Study;

/// Whether parents are crossed at all.
const CROSSED: f64 = 0.9;
/// How close children stay to their parents in crossover.
const CROSSOVER: f64 = 10.0;
/// How close children stay to themselves in mutation.
const MUTATION: f64 = 20.0;
/// Goes at a child that is no trial yet.
const GOES: usize = 16;

/// The parents of the newest generation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memo {
    generation: usize,
    parents: Vec<Parent>,
}

#[derive(Clone, Debug)]
struct Parent {
    trial: usize,
    front: usize,
    room: f64,
}

/// The point of `trial`.
pub(crate) fn point(study: &mut Study, population: usize, trial: usize, attempt: u64) -> Point {
    let generation = trial / population;
    if generation == 0 {
        return match attempt {
            0 => sobol::point(study.spec(), trial as u64),
            _ => study.random(trial, attempt),
        };
    }
    bring_up(study, population, generation);
    let spec = study.spec();
    let mut draws = Draws::at(&spec.seed, &spec.name, "nsga2", &[trial as u64, attempt]);
    let mut child = Point::new();
    for _ in 0..GOES {
        child = bred(study, &mut draws);
        if study.trials().iter().all(|known| known.point != child) {
            break;
        }
    }
    child
}

/// Brings the parents to those of `generation`.
fn bring_up(study: &mut Study, population: usize, generation: usize) {
    if study.nsga.generation > generation {
        study.nsga = Memo::default();
    }
    while study.nsga.generation < generation {
        let first = study.nsga.generation * population;
        let mut pool: Vec<usize> = study.nsga.parents.iter().map(|it| it.trial).collect();
        pool.extend(first..first + population);
        pool.sort_unstable();
        let parents = selected(study, &pool, population);
        study.nsga = Memo {
            generation: study.nsga.generation + 1,
            parents,
        };
    }
}

/// The best of a pool: front by front, of the last that has room for some of its members alone the least crowded.
fn selected(study: &Study, pool: &[usize], most: usize) -> Vec<Parent> {
    let all: Vec<Vec<f64>> = pool.iter().map(|trial| study.losses(*trial)).collect();
    let losses: Vec<&[f64]> = all.iter().map(Vec::as_slice).collect();
    let mut parents = Vec::new();
    for (number, front) in fronts(&losses).iter().enumerate() {
        let kept = thinned(&losses, front, most - parents.len());
        let rooms = crowding(&losses, &kept);
        parents.extend(kept.iter().zip(rooms).map(|(place, room)| Parent {
            trial: pool[*place],
            front: number,
            room,
        }));
        if parents.len() == most {
            break;
        }
    }
    parents
}

fn bred(study: &Study, draws: &mut Draws) -> Point {
    let parents = &study.nsga.parents;
    let mut winner = || {
        let mut pick = || &parents[(draws.uniform() * parents.len() as f64) as usize];
        let (a, b) = (pick(), pick());
        let better = (b.front, -b.room).partial_cmp(&(a.front, -a.room));
        let wins = if better == Some(std::cmp::Ordering::Less) {
            b
        } else {
            a
        };
        &study.trials()[wins.trial].point
    };
    let (mother, father) = (winner(), winner());
    let sites = &study.spec().space.sites;
    let crossed = draws.uniform() < CROSSED;
    let rate = 1.0 / sites.len().max(1) as f64;
    let genes = sites.iter().zip(mother.iter().zip(father));
    let settings = genes.map(|(site, (a, b))| gene(site, *a, *b, crossed, rate, draws));
    let settings: Vec<Setting> = settings.collect();
    study.spec().space.open(settings)
}

/// One setting of a child. Every gene takes as many draws, whatever becomes of it.
fn gene(
    site: &Site,
    mother: Option<Setting>,
    father: Option<Setting>,
    crossed: bool,
    rate: f64,
    draws: &mut Draws,
) -> Setting {
    let [side, spread, mutates, how] = [(); 4].map(|()| draws.uniform());
    let domain = site.domain;
    // A site that is closed in both has nothing to hand on.
    let Some(own) = mother.or(father) else {
        return domain.at(how);
    };
    let other = match father {
        Some(father) if crossed => father,
        _ => own,
    };
    if let Domain::Choice(_) = domain {
        return match (mutates < rate, side < 0.5) {
            (true, _) => domain.at(how),
            (false, true) => other,
            (false, false) => own,
        };
    }
    let (a, b) = (domain.coordinate(own), domain.coordinate(other));
    // Half of all genes are crossed, the others swapped or not (Deb & Agrawal 1995).
    let mixed = match (side < 0.5, a == b) {
        (_, true) => a,
        (true, false) => between(a, b, side * 2.0, spread),
        (false, false) if spread < 0.5 => b,
        (false, false) => a,
    };
    let u = if mutates < rate {
        mutated(mixed, how)
    } else {
        mixed
    };
    if u == a && mixed == a {
        // Not by way of the coordinate, which may round.
        return own;
    }
    if u == b && mixed == b {
        return other;
    }
    domain.at(u.clamp(0.0, 1.0 - f64::EPSILON / 2.0))
}

/// A child of two coordinates by simulated binary crossover within [0, 1].
fn between(a: f64, b: f64, side: f64, u: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    let gap = high - low;
    let child = |room: f64, sign: f64| {
        let beta = 1.0 + 2.0 * room / gap;
        let alpha = 2.0 - power(beta, -(CROSSOVER + 1.0));
        let spread = if u <= 1.0 / alpha {
            power(u * alpha, 1.0 / (CROSSOVER + 1.0))
        } else {
            power(1.0 / (2.0 - u * alpha), 1.0 / (CROSSOVER + 1.0))
        };
        0.5 * (low + high + sign * spread * gap)
    };
    match side < 0.5 {
        true => child(low, -1.0),
        false => child(1.0 - high, 1.0),
    }
}

/// A coordinate moved by a polynomial mutation within [0, 1].
fn mutated(x: f64, u: f64) -> f64 {
    let exponent = 1.0 / (MUTATION + 1.0);
    if u < 0.5 {
        let inner = 2.0 * u + (1.0 - 2.0 * u) * power(1.0 - x, MUTATION + 1.0);
        x + power(inner, exponent) - 1.0
    } else {
        let inner = 2.0 * (1.0 - u) + (2.0 * u - 1.0) * power(x, MUTATION + 1.0);
        x + 1.0 - power(inner, exponent)
    }
}

/// `x ^ y` for `x` from 0.
fn power(x: f64, y: f64) -> f64 {
    if x > 0.0 {
        math::exp(y * math::log(x))
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stay_in_the_cube() {
        let grid = [0.0, 1e-9, 0.1, 0.5, 0.9, 1.0 - 1e-9];
        for a in grid {
            for u in grid {
                let moved = mutated(a, u);
                assert!((-1e-12..=1.0 + 1e-12).contains(&moved), "{a} {u}: {moved}");
                for b in grid.iter().filter(|b| **b != a) {
                    for side in [0.2, 0.7] {
                        let child = between(a, *b, side, u);
                        assert!(
                            (-1e-9..=1.0 + 1e-9).contains(&child),
                            "{a} {b} {u}: {child}"
                        );
                    }
                }
            }
        }
        assert!((mutated(0.3, 0.5) - 0.3).abs() < 1e-12);
    }
}
