//! Expected improvement under a Gaussian process (Jones et al. 1998): Matérn 5/2, a length for every site.
//!
//! Lengths, scale and noise are those of the largest posterior under priors that keep them moderate. They are fitted anew each time that
//! the trials seen are a thirty-second more; in between, trials are added to the process as it is. So they are a function of what
//! was seen at certain proposals, which are made in order. The improvement is made large from random points and from around the best
//! one, and no settings are proposed a second time. The first trials are points of Sobol's sequence.

mod ascent;
mod linear;
mod process;
mod quasi_newton;

use crate::draws::Draws;
use crate::space::{Domain, Point, Space};
use crate::study::{Seen, Study};
use process::{Inputs, Parameters, Process};

/// Trials that are modelled at most: the best half of so many, and the newest.
const MOST_SEEN: usize = 400;

/// Trials are a `1 / GROWTH` more when parameters are fitted again.
const GROWTH: usize = 32;

/// Up to so many trials a fit is tried from nothing as well.
const FEW: usize = 64;

/// Proposals of a trial that are made by the process: where the recipe refuses all of them, the others are drawn.
pub(crate) const ATTEMPTS: u64 = 8;

/// What is kept from one proposal to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memo {
    model: Option<Model>,
}

/// A process, and what it was made of.
#[derive(Clone, Debug)]
struct Model {
    process: Process,
    /// Trials seen when its parameters were fitted.
    fitted: usize,
    /// Trials seen by now.
    seen: usize,
    /// Numbers of the trials in it, in order.
    trials: Vec<usize>,
    /// Where the best of them was.
    best: Vec<f64>,
}

/// The point of `trial`.
pub(crate) fn point(study: &mut Study, trial: usize, attempt: u64) -> Point {
    let memo = std::mem::take(&mut study.gp);
    let seen = study.seen(trial);
    let model = Model::after(memo.model, &study.spec().space, &seen);
    let spec = study.spec();
    let mut draws = Draws::at(&spec.seed, &spec.name, "gp", &[trial as u64, attempt]);
    let taken: Vec<Vec<f64>> = study
        .trials()
        .iter()
        .take(trial)
        .map(|it| coordinates(&spec.space, &it.point))
        .collect();
    let (process, best) = (&model.process, &model.best);
    let found = ascent::highest(&spec.space, process, best, &taken, &mut draws);
    let point = spec.space.point(&found);
    study.gp.model = Some(model);
    point
}

impl Model {
    /// The model of what is `seen`, given the one of an earlier proposal.
    fn after(before: Option<Self>, space: &Space, seen: &[Seen<'_>]) -> Self {
        let mut model = match before {
            Some(model) if seen.len() < model.fitted + (model.fitted / GROWTH).max(1) => model,
            before => Self::fitted(before.map(|model| model.process.parameters), space, seen),
        };
        for it in &seen[model.seen.min(seen.len())..] {
            model.process.add(&coordinates(space, it.point));
            model.trials.push(it.number);
        }
        model.seen = seen.len();
        // Trials stand at the place of their number.
        let kept: Vec<&Seen<'_>> = model.trials.iter().map(|number| &seen[*number]).collect();
        let targets = standardised(&kept);
        model.process.tell(&targets);
        let mut best = 0;
        for (place, target) in targets.iter().enumerate() {
            if *target < targets[best] {
                best = place;
            }
        }
        model.best = kept
            .get(best)
            .map_or_else(Vec::new, |it| coordinates(space, it.point));
        model
    }

    /// A model whose parameters are fitted to what is `seen`, starting from those `before`.
    fn fitted(before: Option<Parameters>, space: &Space, seen: &[Seen<'_>]) -> Self {
        let is_choice = |domain| matches!(domain, Domain::Choice(_));
        let choices: Vec<bool> = space.sites.iter().map(|it| is_choice(it.domain)).collect();
        let kept = kept(seen);
        let points: Vec<Vec<f64>> = kept.iter().map(|it| coordinates(space, it.point)).collect();
        let column = |site: usize| points.iter().map(|point| point[site]).collect();
        let inputs = Inputs {
            columns: (0..choices.len()).map(column).collect(),
            choices: choices.clone(),
        };
        let targets = standardised(&kept);
        let afresh = || {
            let start = Parameters {
                inverse: vec![0.0; choices.len()],
                scale: 0.0,
                noise: -4.0,
            };
            process::fitted(&start, &inputs, &targets)
        };
        let parameters = match before {
            None => afresh().0,
            Some(before) => {
                let onward = process::fitted(&before, &inputs, &targets);
                match (kept.len() <= FEW).then(afresh) {
                    Some(afresh) if afresh.1 > onward.1 => afresh.0,
                    _ => onward.0,
                }
            }
        };
        let mut process = Process::new(parameters, choices);
        for point in &points {
            process.add(point);
        }
        Self {
            process,
            fitted: seen.len(),
            seen: seen.len(),
            trials: kept.iter().map(|it| it.number).collect(),
            best: Vec::new(),
        }
    }
}

/// The best and the newest of many trials, in the order of their numbers.
fn kept<'a>(seen: &'a [Seen<'a>]) -> Vec<&'a Seen<'a>> {
    if seen.len() <= MOST_SEEN {
        return seen.iter().collect();
    }
    let mut ranked: Vec<&Seen<'_>> = seen.iter().collect();
    ranked.sort_by(|a, b| a.loss.total_cmp(&b.loss).then(a.number.cmp(&b.number)));
    let newest = seen.len() - MOST_SEEN / 2;
    let good = ranked.iter().take(MOST_SEEN / 2).map(|it| it.number);
    let good: std::collections::BTreeSet<usize> = good.collect();
    seen.iter()
        .enumerate()
        .filter(|(place, it)| *place >= newest || good.contains(&it.number))
        .map(|(_, it)| it)
        .collect()
}

/// Losses with mean 0 and deviation 1; what has no figure is as bad as the worst.
fn standardised(seen: &[&Seen<'_>]) -> Vec<f64> {
    let finite = || {
        seen.iter()
            .map(|it| it.loss)
            .filter(|loss| loss.is_finite())
    };
    let worst = finite().fold(
        f64::NEG_INFINITY,
        |worst, loss| if loss > worst { loss } else { worst },
    );
    let worst = if worst.is_finite() { worst } else { 0.0 };
    let losses: Vec<f64> = seen
        .iter()
        .map(|it| if it.loss.is_finite() { it.loss } else { worst })
        .collect();
    let count = losses.len().max(1) as f64;
    let mean = losses.iter().sum::<f64>() / count;
    let variance = losses
        .iter()
        .map(|loss| (loss - mean) * (loss - mean))
        .sum::<f64>()
        / count;
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    losses
        .iter()
        .map(|loss| (loss - mean) / deviation)
        .collect()
}

/// A point in the unit cube; a closed site lies in the middle.
fn coordinates(space: &Space, point: &Point) -> Vec<f64> {
    let sites = space.sites.iter().zip(point);
    sites
        .map(|(site, setting)| setting.map_or(0.5, |setting| site.domain.coordinate(setting)))
        .collect()
}
