//! Where the expected improvement is largest: points at random and around the best trial, the most promising of them led uphill, and at
//! last every alternative of what is not continuous.

use super::coordinates;
use super::linear::{LANES, Lanes};
use super::process::Process;
use super::quasi_newton::{Climb, Limits};
use crate::draws::Draws;
use crate::space::{Domain, Space};

/// Points at random, and around the best trial.
const SCATTERED: usize = 128 * LANES;
const AROUND_BEST: usize = 4 * LANES;

/// Points at random whose improvement is worked out: those that promise most.
const PROMISING: usize = 8 * LANES;

/// Of those led uphill, how many come from around the best trial, and how many there are.
const NEAR: usize = 1;
const STARTS: usize = LANES;

/// How they are led, in lengths of the process.
const CLIMB: Limits = Limits {
    flat: 1e-2,
    longest: 1.0,
    evaluations: 32,
};

/// Rounds of trying alternatives.
const ROUNDS: usize = 8;

/// A point and its log improvement.
type Found = (f64, Vec<f64>);

/// Coordinates of the point with the largest improvement that was met. What is `taken` is not tried again: it would come to the same.
pub(crate) fn highest(
    space: &Space,
    process: &Process,
    best: &[f64],
    taken: &[Vec<f64>],
    draws: &mut Draws,
) -> Vec<f64> {
    let is_taken = |point: &Vec<f64>| taken.contains(point);
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
    starts.extend(most_promising(process, &scattered, STARTS - NEAR));
    let mut all: Vec<Vec<f64>> = starts.into_iter().map(|(_, point)| point).collect();
    all.extend(climbed(space, process, &all));
    let mut found = ranked(process, all.iter().map(|it| snapped(space, it)).collect());
    for (value, point) in &mut found {
        *value = if is_taken(point) {
            f64::NEG_INFINITY
        } else {
            *value
        };
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(4);
    let improved = found
        .into_iter()
        .map(|it| alternatives(space, process, it, &is_taken));
    let new = scattered.iter().find(|point| !is_taken(point));
    let new = new.map_or_else(|| best.to_vec(), Vec::clone);
    let mut highest: Found = (f64::NEG_INFINITY, new);
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

/// Of many points the `count` with the largest improvement among those that promise most.
fn most_promising(process: &Process, points: &[Vec<f64>], count: usize) -> Vec<Found> {
    let mut promised: Vec<(f64, usize)> = Vec::with_capacity(points.len());
    for (number, block) in points.chunks(LANES).enumerate() {
        let found = process.promise(&side_by_side(block));
        let places = (0..block.len()).map(|lane| (found[lane], LANES * number + lane));
        promised.extend(places);
    }
    promised.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let looked_at = promised.iter().take(PROMISING);
    let looked_at = looked_at.map(|(_, place)| points[*place].clone());
    let mut found = ranked(process, looked_at.collect());
    found.truncate(count);
    found
}

/// Points as lanes, by site; where there are fewer, the last stands again.
fn side_by_side(points: &[Vec<f64>]) -> Vec<Lanes> {
    let sites = points.first().map_or(0, Vec::len);
    let lane = |site: usize, lane: usize| points[lane.min(points.len() - 1)][site];
    (0..sites)
        .map(|site| std::array::from_fn(|number| lane(site, number)))
        .collect()
}

/// Leads points uphill, all at once, at the sites that are open and not choices.
fn climbed(space: &Space, process: &Process, starts: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let stretch: Vec<f64> = (0..space.sites.len())
        .map(|site| process.stretch(site))
        .collect();
    let shrunk = |place: &[f64]| -> Vec<f64> {
        let places = place.iter().zip(&stretch);
        places.map(|(z, stretch)| inside(z / stretch)).collect()
    };
    let mut climbs: Vec<Climb> = starts
        .iter()
        .map(|start| {
            let places = start.iter().zip(&stretch);
            let place: Vec<f64> = places.map(|(u, stretch)| u * stretch).collect();
            let sites = place.iter().zip(&stretch).zip(free(space, start));
            let bounds = sites.map(|((z, stretch), free)| match free {
                true => (0.0, *stretch),
                false => (*z, *z),
            });
            let bounds = bounds.collect();
            Climb::new(place, bounds, CLIMB)
        })
        .collect();
    loop {
        let wanted = climbs.iter().enumerate();
        let wanted: Vec<(usize, Vec<f64>)> = wanted
            .filter_map(|(number, climb)| Some((number, shrunk(climb.wants()?))))
            .collect();
        if wanted.is_empty() {
            break;
        }
        for block in wanted.chunks(LANES) {
            let points: Vec<Vec<f64>> = block.iter().map(|(_, point)| point.clone()).collect();
            let mut slopes = vec![[0.0; LANES]; stretch.len()];
            let values = process.log_improvement(&side_by_side(&points), Some(&mut slopes));
            for (lane, (number, _)) in block.iter().enumerate() {
                let sites = slopes.iter().zip(&stretch);
                let slopes = sites.map(|(slope, stretch)| slope[lane] / stretch);
                climbs[*number].tell(values[lane], slopes.collect());
            }
        }
    }
    let found = climbs.into_iter().map(|climb| shrunk(&climb.found().0));
    found.collect()
}

/// The sites that may move: open, and not choices.
fn free(space: &Space, start: &[f64]) -> Vec<bool> {
    let point = space.point(start);
    let sites = space.sites.iter().zip(&point);
    sites
        .map(|(site, setting)| setting.is_some() && !matches!(site.domain, Domain::Choice(_)))
        .collect()
}

/// Tries every alternative of choices, and whole numbers up and down, as long as that helps.
fn alternatives(
    space: &Space,
    process: &Process,
    start: Found,
    is_taken: &dyn Fn(&Vec<f64>) -> bool,
) -> Found {
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
                if other != best.1 && !is_taken(&other) {
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
