//! CMA-ES with negative weights (Hansen 2016, "The CMA evolution strategy: a tutorial") in the unit cube.
//!
//! A generation is a function of the generations before it: its points are drawn from addresses of their own trials, and the
//! update reads the figures of whole generations. Choices have no order and are drawn independently.

use crate::draws::Draws;
use crate::eigen::{Matrix, symmetric};
use crate::math;
use crate::space::{Domain, Point, Space};
use crate::spec::Spec;
use crate::study::Study;
use std::cmp::Reverse;

/// Draws of a point that may fall outside the cube before it is moved to the edge.
const RESAMPLED: u64 = 100;

/// The distribution of the newest generation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memo {
    generation: usize,
    state: Option<State>,
}

#[derive(Clone, Debug)]
struct State {
    mean: Vec<f64>,
    sigma: f64,
    covariance: Matrix,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    /// What is left of the first generation in `path_sigma`, squared.
    left: f64,
    /// Square roots of the covariance's eigenvalues, and its eigenvectors by column.
    scales: Vec<f64>,
    vectors: Matrix,
}

/// Sites that are numbers and always open.
pub(crate) fn dimensions(space: &Space) -> Vec<usize> {
    let numbers = space.sites.iter().enumerate();
    let open = numbers
        .filter(|(_, site)| site.when.is_none() && !matches!(site.domain, Domain::Choice(_)));
    open.map(|(index, _)| index).collect()
}

/// The point of `trial`.
pub(crate) fn point(study: &mut Study, population: usize, trial: usize, attempt: u64) -> Point {
    let generation = trial / population;
    let dimensions = dimensions(&study.spec().space);
    if !dimensions.is_empty() {
        bring_up(study, population, generation, &dimensions);
    }
    let spec = study.spec();
    let mut draws = Draws::at(&spec.seed, &spec.name, "choices", &[trial as u64, attempt]);
    let mut coordinates: Vec<f64> = spec.space.sites.iter().map(|_| draws.uniform()).collect();
    if let Some(state) = &study.cma.state {
        let drawn = draw(spec, state, trial as u64, attempt);
        for (dimension, u) in dimensions.iter().zip(drawn) {
            coordinates[*dimension] = u;
        }
    }
    spec.space.point(&coordinates)
}

/// Brings the state to `generation`.
fn bring_up(study: &mut Study, population: usize, generation: usize, dimensions: &[usize]) {
    if study.cma.state.is_none() || study.cma.generation > generation {
        study.cma = Memo {
            generation: 0,
            state: Some(State::start(dimensions.len())),
        };
    }
    while study.cma.generation < generation {
        let Some(mut state) = study.cma.state.clone() else {
            return;
        };
        let first = study.cma.generation * population;
        let ranked = ranked(study, &state, first, population);
        state.update(&ranked);
        study.cma = Memo {
            generation: study.cma.generation + 1,
            state: Some(state),
        };
    }
}

/// Points of a generation, the best first.
fn ranked(study: &Study, state: &State, first: usize, population: usize) -> Vec<Vec<f64>> {
    let spec = study.spec();
    let mut order: Vec<(Reverse<usize>, f64, usize)> = (first..first + population)
        .map(|trial| match study.last_value(trial) {
            Some((rung, value)) => (Reverse(rung), study.loss(value), trial),
            None => (Reverse(0), f64::INFINITY, trial),
        })
        .collect();
    order.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
    let attempts = |trial: usize| study.trials()[trial].attempt;
    let drawn = order
        .iter()
        .map(|(.., trial)| draw(spec, state, *trial as u64, attempts(*trial)));
    drawn.collect()
}

/// What a trial draws of a distribution, in the unit cube.
fn draw(spec: &Spec, state: &State, trial: u64, attempt: u64) -> Vec<f64> {
    let mut draws = Draws::at(&spec.seed, &spec.name, "cma", &[trial, attempt]);
    let mut point = Vec::new();
    for _ in 0..RESAMPLED {
        let normals: Vec<f64> = state.mean.iter().map(|_| draws.normal()).collect();
        point = state.at(&normals);
        if point.iter().all(|u| (0.0..1.0).contains(u)) {
            break;
        }
    }
    let most = 1.0 - f64::EPSILON / 2.0;
    point.iter().map(|u| u.clamp(0.0, most)).collect()
}

/// Weights and rates that follow from the number of dimensions and of points.
struct Rates {
    weights: Vec<f64>,
    parents: usize,
    effective: f64,
    c1: f64,
    cmu: f64,
    cc: f64,
    c_sigma: f64,
    damping: f64,
    chi: f64,
}

impl Rates {
    fn new(dimensions: usize, population: usize) -> Self {
        let (n, lambda) = (dimensions as f64, population as f64);
        let parents = population / 2;
        let raw: Vec<f64> = (1..=population)
            .map(|rank| math::log((lambda + 1.0) / 2.0) - math::log(rank as f64))
            .collect();
        let (best, rest) = raw.split_at(parents);
        let effect = |part: &[f64]| {
            let sum: f64 = part.iter().sum();
            let squares: f64 = part.iter().map(|w| w * w).sum();
            sum * sum / squares
        };
        let (effective, effective_rest) = (effect(best), effect(rest));
        let c1 = 2.0 / ((n + 1.3) * (n + 1.3) + effective);
        let cmu = 2.0 * (effective - 2.0 + 1.0 / effective) / ((n + 2.0) * (n + 2.0) + effective);
        let cmu = cmu.min(1.0 - c1 - 1e-8);
        let alpha = (1.0 + c1 / cmu)
            .min(1.0 + 2.0 * effective_rest / (effective + 2.0))
            .min((1.0 - c1 - cmu) / (n * cmu));
        let positive: f64 = raw.iter().filter(|w| **w > 0.0).sum();
        let negative: f64 = raw.iter().filter(|w| **w < 0.0).map(|w| -w).sum();
        let scaled = |w: &f64| {
            if *w >= 0.0 {
                w / positive
            } else {
                alpha * w / negative
            }
        };
        let c_sigma = (effective + 2.0) / (n + effective + 5.0);
        let excess = ((effective - 1.0) / (n + 1.0)).sqrt() - 1.0;
        Self {
            weights: raw.iter().map(scaled).collect(),
            parents,
            effective,
            c1,
            cmu,
            cc: (4.0 + effective / n) / (n + 4.0 + 2.0 * effective / n),
            c_sigma,
            damping: 1.0 + 2.0 * excess.max(0.0) + c_sigma,
            chi: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }
}

#[allow(clippy::needless_range_loop, reason = "formulas over rows and columns")]
impl State {
    /// The middle of the cube, a sixth of it wide.
    fn start(n: usize) -> Self {
        let unit: Matrix = (0..n)
            .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
            .collect();
        Self {
            mean: vec![0.5; n],
            sigma: 1.0 / 6.0,
            covariance: unit.clone(),
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            left: 1.0,
            scales: vec![1.0; n],
            vectors: unit,
        }
    }

    fn at(&self, normals: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> = normals
            .iter()
            .zip(&self.scales)
            .map(|(z, d)| z * d)
            .collect();
        let direction = self.vectors.iter().map(|row| dot(row, &scaled));
        direction
            .zip(&self.mean)
            .map(|(y, mean)| mean + self.sigma * y)
            .collect()
    }

    /// `C^(−1/2) · y`.
    fn whitened(&self, y: &[f64]) -> Vec<f64> {
        let n = y.len();
        let along: Vec<f64> = (0..n)
            .map(|k| (0..n).map(|i| self.vectors[i][k] * y[i]).sum::<f64>() / self.scales[k])
            .collect();
        self.vectors.iter().map(|row| dot(row, &along)).collect()
    }

    /// One generation on.
    fn update(&mut self, points: &[Vec<f64>]) {
        let n = self.mean.len();
        let rates = Rates::new(n, points.len());
        let steps: Vec<Vec<f64>> = points
            .iter()
            .map(|x| {
                x.iter()
                    .zip(&self.mean)
                    .map(|(x, mean)| (x - mean) / self.sigma)
                    .collect()
            })
            .collect();
        let mut mean_step = vec![0.0; n];
        for (step, weight) in steps.iter().zip(&rates.weights).take(rates.parents) {
            for (sum, y) in mean_step.iter_mut().zip(step) {
                *sum += weight * y;
            }
        }
        for (mean, step) in self.mean.iter_mut().zip(&mean_step) {
            *mean += self.sigma * step;
        }
        let white = self.whitened(&mean_step);
        let scale = (rates.c_sigma * (2.0 - rates.c_sigma) * rates.effective).sqrt();
        for (path, y) in self.path_sigma.iter_mut().zip(&white) {
            *path = (1.0 - rates.c_sigma) * *path + scale * y;
        }
        let length = dot(&self.path_sigma, &self.path_sigma).sqrt();
        self.left *= (1.0 - rates.c_sigma) * (1.0 - rates.c_sigma);
        let expected = rates.chi * (1.0 - self.left).sqrt();
        let stalled = length >= (1.4 + 2.0 / (n as f64 + 1.0)) * expected;
        let open = if stalled { 0.0 } else { 1.0 };
        let scale = open * (rates.cc * (2.0 - rates.cc) * rates.effective).sqrt();
        for (path, y) in self.path_c.iter_mut().zip(&mean_step) {
            *path = (1.0 - rates.cc) * *path + scale * y;
        }
        self.turn(&rates, &steps, open);
        let growth = math::exp(rates.c_sigma / rates.damping * (length / rates.chi - 1.0));
        self.sigma = (self.sigma * growth).clamp(1e-12, 1e3);
    }

    /// The covariance and its roots.
    fn turn(&mut self, rates: &Rates, steps: &[Vec<f64>], open: f64) {
        let n = self.mean.len();
        let weights: Vec<f64> = rates
            .weights
            .iter()
            .zip(steps)
            .map(|(weight, step)| {
                if *weight >= 0.0 {
                    return *weight;
                }
                let white = self.whitened(step);
                weight * n as f64 / (dot(&white, &white) + 1e-8)
            })
            .collect();
        let total: f64 = rates.weights.iter().sum();
        let kept = 1.0 + rates.c1 * (1.0 - open) * rates.cc * (2.0 - rates.cc)
            - rates.c1
            - rates.cmu * total;
        for i in 0..n {
            for j in 0..=i {
                let mut rank_mu = 0.0;
                for (weight, step) in weights.iter().zip(steps) {
                    rank_mu += weight * step[i] * step[j];
                }
                let value = kept * self.covariance[i][j]
                    + rates.c1 * self.path_c[i] * self.path_c[j]
                    + rates.cmu * rank_mu;
                self.covariance[i][j] = value;
                self.covariance[j][i] = value;
            }
        }
        let (values, vectors) = symmetric(&self.covariance);
        self.scales = values.iter().map(|value| value.max(1e-16).sqrt()).collect();
        self.vectors = vectors;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
