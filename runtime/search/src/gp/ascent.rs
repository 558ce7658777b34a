//! Where the expected improvement is largest: points at random and around the best trial, the most promising of them led uphill, and at
//! last every alternative of what is not continuous.

use super::coordinates;
use super::linear::{LANES, Lanes};
use super::process::Process;
use crate::draws::Draws;
use crate::space::{Domain, Space};

/// Points at random, and around the best trial.
const SCATTERED: usize = 64 * LANES;
const AROUND_BEST: usize = 8 * LANES;

/// Of those led uphill, how many come from around the best trial.
const NEAR: usize = 1;

/// Steps uphill, the first, the shortest and the longest.
const STEPS: usize = 60;
const FIRST: f64 = 0.02;
const SHORTEST: f64 = 1e-7;
const LONGEST: f64 = 0.2;

/// Rounds of trying alternatives.
const ROUNDS: usize = 8;

/// A point and its log improvement.
type Found = (f64, Vec<f64>);

/// Coordinates of the point with the largest improvement that was met.
pub(crate) fn highest(
    space: &Space,
    process: &Process,
    best: &[f64],
    draws: &mut Draws,
) -> Vec<f64> {
    let scattered: Vec<Vec<f64>> = (0..SCATTERED)
        .map(|_| {
            let point: Vec<f64> = space.sites.iter().map(|_| draws.uniform()).collect();
            snapped(space, &point)
        })
        .collect();
    let around: Vec<Vec<f64>> = (0..AROUND_BEST)
        .map(|number| {
            let width = [0.1, 0.03, 0.01, 0.003][number % 4];
            let moved = best.iter().map(|u| inside(u + width * draws.normal()));
            snapped(space, &moved.collect::<Vec<f64>>())
        })
        .collect();
    let mut starts = ranked(process, around);
    starts.truncate(NEAR);
    starts.extend(ranked(process, scattered).into_iter().take(LANES - NEAR));
    let mut all: Vec<Vec<f64>> = starts.iter().map(|(_, point)| point.clone()).collect();
    all.extend(climbed(space, process, &all));
    let mut found = ranked(process, all.iter().map(|it| snapped(space, it)).collect());
    found.truncate(4);
    let improved = found.into_iter().map(|it| alternatives(space, process, it));
    let mut highest: Found = (f64::NEG_INFINITY, best.to_vec());
    for found in improved {
        if found.0 > highest.0 {
            highest = found;
        }
    }
    highest.1
}

fn inside(u: f64) -> f64 {
    u.clamp(0.0, 1.0 - f64::EPSILON / 2.0)
}

/// Coordinates of what would be tried there.
fn snapped(space: &Space, point: &[f64]) -> Vec<f64> {
    coordinates(space, &space.point(point))
}

/// Points by their improvement, the largest first, of equals the first.
fn ranked(process: &Process, points: Vec<Vec<f64>>) -> Vec<Found> {
    let mut values = Vec::with_capacity(points.len());
    for block in points.chunks(LANES) {
        let found = process.log_improvement(&side_by_side(block), None);
        values.extend_from_slice(&found[..block.len()]);
    }
    let mut ranked: Vec<Found> = values.into_iter().zip(points).collect();
    // The sort is stable.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked
}

/// Points as lanes, by site; where there are fewer, the last stands again.
fn side_by_side(points: &[Vec<f64>]) -> Vec<Lanes> {
    let sites = points.first().map_or(0, Vec::len);
    let lane = |site: usize, lane: usize| points[lane.min(points.len() - 1)][site];
    (0..sites)
        .map(|site| std::array::from_fn(|number| lane(site, number)))
        .collect()
}

/// Leads points uphill, all at once: steps whose lengths follow the signs of the slopes, at the sites that are open and not choices.
fn climbed(space: &Space, process: &Process, starts: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let free: Vec<Lanes> = free(space, starts);
    let mut at = side_by_side(starts);
    let mut best = (at.clone(), [f64::NEG_INFINITY; LANES]);
    let sites = at.len();
    let mut lengths = vec![[FIRST; LANES]; sites];
    let mut before = vec![[0.0; LANES]; sites];
    let mut slopes = vec![[0.0; LANES]; sites];
    for _ in 0..STEPS {
        let values = process.log_improvement(&at, Some(&mut slopes));
        for lane in 0..LANES {
            if values[lane] > best.1[lane] {
                best.1[lane] = values[lane];
                for (best, at) in best.0.iter_mut().zip(&at) {
                    best[lane] = at[lane];
                }
            }
        }
        for site in 0..sites {
            for lane in 0..LANES {
                let slope = slopes[site][lane] * free[site][lane];
                let agree = slope * before[site][lane];
                let length = &mut lengths[site][lane];
                if agree > 0.0 {
                    *length = (*length * 1.4).min(LONGEST);
                } else if agree < 0.0 {
                    *length = (*length * 0.4).max(SHORTEST);
                }
                before[site][lane] = slope;
                let step = if slope > 0.0 {
                    *length
                } else if slope < 0.0 {
                    -*length
                } else {
                    0.0
                };
                at[site][lane] = inside(at[site][lane] + step);
            }
        }
    }
    let lane = |lane: usize| best.0.iter().map(|site| site[lane]).collect();
    (0..starts.len()).map(lane).collect()
}

/// 1 at sites that may move, 0 at choices and closed sites.
fn free(space: &Space, starts: &[Vec<f64>]) -> Vec<Lanes> {
    let open: Vec<Vec<f64>> = starts
        .iter()
        .map(|start| {
            let point = space.point(start);
            let sites = space.sites.iter().zip(&point);
            sites
                .map(|(site, setting)| {
                    let moves = setting.is_some() && !matches!(site.domain, Domain::Choice(_));
                    f64::from(u8::from(moves))
                })
                .collect()
        })
        .collect();
    side_by_side(&open)
}

/// Tries every alternative of choices, and whole numbers up and down, as long as that helps.
fn alternatives(space: &Space, process: &Process, start: Found) -> Found {
    let mut best = start;
    for _ in 0..ROUNDS {
        let mut others = Vec::new();
        for (index, site) in space.sites.iter().enumerate() {
            let at = best.1[index];
            let moves: Vec<f64> = match site.domain {
                Domain::Choice(n) => (0..n).map(|k| (k as f64 + 0.5) / n as f64).collect(),
                Domain::Whole { low, high } => {
                    let width = 1.0 / (high as f64 - low as f64 + 1.0);
                    vec![at - width, at + width]
                }
                Domain::Uniform { .. } | Domain::Log { .. } => Vec::new(),
            };
            for u in moves {
                let mut other = best.1.clone();
                other[index] = inside(u);
                let other = snapped(space, &other);
                if other != best.1 {
                    others.push(other);
                }
            }
        }
        match ranked(process, others).into_iter().next() {
            Some(found) if found.0 > best.0 => best = found,
            _ => break,
        }
    }
    best
}
