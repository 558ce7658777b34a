//! A Gaussian process: Matérn 5/2 with a length for every site, fitted by its posterior.

use super::linear::{LANES, Lanes, Matrix, backward, cholesky, forward, inverse, next_row, solve};
use super::quasi_newton::{self, Limits};
use crate::math::{exp, log, normal_cdf, quick_exp, quick_log};

/// Least noise, for matrices that can be inverted.
const LEAST_NOISE: f64 = 1e-6;

/// Where parameters stay, and how they are fitted.
const RANGE: (f64, f64) = (-18.0, 9.0);
const FIT: Limits = Limits {
    flat: 1e-2,
    longest: 2.0,
    evaluations: 50,
};

/// Least variance of a figure that is looked for.
const LEAST_VARIANCE: f64 = 1e-12;

/// Logarithm of √(2π).
const LOG_SQRT_TAU: f64 = 0.918_938_533_204_672_8;

/// Logarithms of inverse squared lengths, of the scale and of the noise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) inverse: Vec<f64>,
    pub(crate) scale: f64,
    pub(crate) noise: f64,
}

/// Where trials were: numbers by site, then by trial.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// Whether a site is a choice, where numbers are the same or not.
    pub(crate) choices: Vec<bool>,
    pub(crate) columns: Vec<Vec<f64>>,
}

impl Inputs {
    /// The squared distances of trial `i` to those before it, each site's times its factor.
    fn distances(&self, i: usize, factors: &[f64]) -> Vec<f64> {
        let mut squares = vec![0.0; i];
        for ((column, choice), factor) in self.columns.iter().zip(&self.choices).zip(factors) {
            let at = column[i];
            if *choice {
                for (square, other) in squares.iter_mut().zip(column) {
                    *square += if *other == at { 0.0 } else { *factor };
                }
            } else {
                for (square, other) in squares.iter_mut().zip(column) {
                    *square += factor * ((other - at) * (other - at));
                }
            }
        }
        squares
    }

    /// `Σ terms[j] · (squared difference of trials i and j)` at every site, added to `sums` lane by lane.
    fn add_differences(&self, i: usize, terms: &[f64], sums: &mut [Lanes]) {
        for ((column, choice), sum) in self.columns.iter().zip(&self.choices).zip(sums) {
            let at = column[i];
            let square = |other: f64| match choice {
                true => f64::from(u8::from(other != at)),
                false => (other - at) * (other - at),
            };
            let (whole, whole_terms) = (column[..i].chunks_exact(LANES), terms.chunks_exact(LANES));
            let rest = whole.remainder().iter().zip(whole_terms.remainder());
            for (lane, (other, term)) in rest.enumerate() {
                sum[lane] += term * square(*other);
            }
            for (others, terms) in whole.zip(whole_terms) {
                for lane in 0..LANES {
                    sum[lane] += terms[lane] * square(others[lane]);
                }
            }
        }
    }
}

/// Matérn's 5/2 function of a squared distance, and its derivative by it.
#[inline(always)]
fn matern(square: f64) -> (f64, f64) {
    let r = (5.0 * square).sqrt();
    let decay = quick_exp(-r);
    (
        (1.0 + r + r * r / 3.0) * decay,
        -5.0 / 6.0 * (1.0 + r) * decay,
    )
}

/// The parameters of a high posterior near `start`, and its logarithm.
pub(crate) fn fitted(start: &Parameters, inputs: &Inputs, targets: &[f64]) -> (Parameters, f64) {
    let sites = start.inverse.len();
    let parameters = |at: &[f64]| Parameters {
        inverse: at[..sites].to_vec(),
        scale: at[sites],
        noise: at[sites + 1],
    };
    let mut at = start.inverse.clone();
    at.extend([start.scale, start.noise]);
    let mut height = |at: &[f64]| posterior(&parameters(at), inputs, targets);
    let bounds = vec![RANGE; at.len()];
    let (at, value) = quasi_newton::highest(at, bounds, FIT, &mut height);
    (parameters(&at), value)
}

/// The log posterior and its slopes: of the marginal likelihood, and of priors on `w = 1/length²` (−0.1/w − 0.1w), on the scale
/// (Γ(2, 1)) and on the noise (Γ(1.1, 30)).
fn posterior(at: &Parameters, inputs: &Inputs, targets: &[f64]) -> (f64, Vec<f64>) {
    let factors: Vec<f64> = at.inverse.iter().map(|it| exp(*it)).collect();
    let (scale, more) = (exp(at.scale), exp(at.noise));
    let noise = more + LEAST_NOISE;
    let (mut values, mut slopes): (Matrix, Matrix) = (Vec::new(), Vec::new());
    for i in 0..targets.len() {
        let squares = inputs.distances(i, &factors);
        let (mut value, mut slope) = (vec![0.0; i + 1], vec![0.0; i]);
        for ((square, value), slope) in squares.iter().zip(&mut value).zip(&mut slope) {
            let found = matern(*square);
            (*value, *slope) = (scale * found.0, scale * found.1);
        }
        value[i] = scale + noise;
        values.push(value);
        slopes.push(slope);
    }
    let lower = cholesky(values.clone());
    let weights = solve(&lower, targets);
    let precision = inverse(&lower);
    let mut sums = vec![[0.0; LANES]; factors.len()];
    let (mut by_scale, mut by_noise) = (1.0 - scale, (0.1 / noise - 30.0) * more);
    for i in 0..targets.len() {
        let own = weights[i] * weights[i] - precision[i][i];
        by_scale += 0.5 * own * scale;
        by_noise += 0.5 * own * more;
        // Each pair stands twice in the matrix.
        let mut terms = vec![0.0; i];
        for (j, term) in terms.iter_mut().enumerate() {
            let factor = weights[i] * weights[j] - precision[i][j];
            by_scale += factor * values[i][j];
            *term = factor * slopes[i][j];
        }
        inputs.add_differences(i, &terms, &mut sums);
    }
    let mut value = at.scale - scale + 0.1 * log(noise) - 30.0 * noise;
    let mut gradient = Vec::with_capacity(factors.len() + 2);
    for (w, lanes) in factors.iter().zip(&sums) {
        value -= 0.1 / w + 0.1 * w;
        gradient.push(0.1 / w - 0.1 * w + w * lanes.iter().sum::<f64>());
    }
    gradient.extend([by_scale, by_noise]);
    for (i, row) in lower.iter().enumerate() {
        value -= 0.5 * weights[i] * targets[i] + log(row[i]);
    }
    (value, gradient)
}

/// A process with its parameters, given trials and what they came to.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    inputs: Inputs,
    pub(crate) parameters: Parameters,
    factors: Vec<f64>,
    scale: f64,
    lower: Matrix,
    weights: Vec<f64>,
    least: f64,
}

impl Process {
    /// Of no trial.
    pub(crate) fn new(parameters: Parameters, choices: Vec<bool>) -> Self {
        let columns = vec![Vec::new(); choices.len()];
        Self {
            inputs: Inputs { choices, columns },
            factors: parameters.inverse.iter().map(|it| exp(*it)).collect(),
            scale: exp(parameters.scale),
            parameters,
            lower: Vec::new(),
            weights: Vec::new(),
            least: f64::INFINITY,
        }
    }

    /// Takes in a trial; what it came to is said by [`Process::tell`].
    pub(crate) fn add(&mut self, input: &[f64]) {
        for (column, value) in self.inputs.columns.iter_mut().zip(input) {
            column.push(*value);
        }
        let squares = self.inputs.distances(self.lower.len(), &self.factors);
        let mut row: Vec<f64> = squares
            .iter()
            .map(|square| self.scale * matern(*square).0)
            .collect();
        row.push(self.scale + exp(self.parameters.noise) + LEAST_NOISE);
        let row = next_row(&self.lower, row);
        self.lower.push(row);
    }

    /// Says what all trials came to.
    pub(crate) fn tell(&mut self, targets: &[f64]) {
        self.weights = solve(&self.lower, targets);
        let less = |least: f64, target: &f64| if *target < least { *target } else { least };
        self.least = targets.iter().fold(f64::INFINITY, less);
    }

    /// What a site's numbers are multiplied by, so that a length of the process is one.
    pub(crate) fn stretch(&self, site: usize) -> f64 {
        self.factors[site].sqrt()
    }

    /// The squared distances of points to all trials.
    fn distances(&self, at: &[Lanes]) -> Vec<Lanes> {
        let mut squares = vec![[0.0; LANES]; self.lower.len()];
        for (site, at) in at.iter().enumerate() {
            let (column, factor) = (&self.inputs.columns[site], self.factors[site]);
            if self.inputs.choices[site] {
                for (square, x) in squares.iter_mut().zip(column) {
                    for lane in 0..LANES {
                        square[lane] += if at[lane] == *x { 0.0 } else { factor };
                    }
                }
            } else {
                for (square, x) in squares.iter_mut().zip(column) {
                    for lane in 0..LANES {
                        square[lane] += factor * ((at[lane] - x) * (at[lane] - x));
                    }
                }
            }
        }
        squares
    }

    /// What the logarithm of the expected improvement would be at points if of all trials the closest alone made them less uncertain:
    /// never too low, and much quicker to find.
    pub(crate) fn promise(&self, at: &[Lanes]) -> Lanes {
        let (mut mean, mut nearest) = ([0.0; LANES], [0.0; LANES]);
        for (squares, weight) in self.distances(at).iter().zip(&self.weights) {
            for lane in 0..LANES {
                let value = self.scale * matern(squares[lane]).0;
                mean[lane] += value * weight;
                nearest[lane] = if value > nearest[lane] {
                    value
                } else {
                    nearest[lane]
                };
            }
        }
        let noisy = self.scale + exp(self.parameters.noise) + LEAST_NOISE;
        let deviation = nearest.map(|value| {
            let variance = self.scale - value * value / noisy;
            variance.max(LEAST_VARIANCE).sqrt()
        });
        std::array::from_fn(|lane| {
            quick_log(deviation[lane]) + gain((self.least - mean[lane]) / deviation[lane]).log
        })
    }

    /// The logarithm of the expected improvement over the smallest target at as many points as there are lanes; with `slopes`, its
    /// slope at every site, 0 at choices.
    pub(crate) fn log_improvement(&self, at: &[Lanes], slopes: Option<&mut [Lanes]>) -> Lanes {
        let mut mean = [0.0; LANES];
        let mut half = self.distances(at);
        let mut derivatives = vec![[0.0; LANES]; half.len()];
        for ((half, derivative), weight) in half.iter_mut().zip(&mut derivatives).zip(&self.weights)
        {
            for lane in 0..LANES {
                let (value, slope) = matern(half[lane]);
                (half[lane], derivative[lane]) = (self.scale * value, self.scale * slope);
                mean[lane] += half[lane] * weight;
            }
        }
        forward(&self.lower, &mut half);
        let mut explained = [0.0; LANES];
        for half in &half {
            for lane in 0..LANES {
                explained[lane] += half[lane] * half[lane];
            }
        }
        let deviation =
            explained.map(|explained| (self.scale - explained).max(LEAST_VARIANCE).sqrt());
        let gains: [Gain; LANES] =
            std::array::from_fn(|lane| gain((self.least - mean[lane]) / deviation[lane]));
        if let Some(slopes) = slopes {
            backward(&self.lower, &mut half);
            self.slopes(at, &gains, &deviation, (&half, &mut derivatives), slopes);
        }
        std::array::from_fn(|lane| quick_log(deviation[lane]) + gains[lane].log)
    }

    /// The slopes at `at`, out of `K⁻¹·k` and the derivatives of the kernel by squared distances.
    fn slopes(
        &self,
        at: &[Lanes],
        gains: &[Gain; LANES],
        deviation: &Lanes,
        (solved, derivatives): (&[Lanes], &mut [Lanes]),
        slopes: &mut [Lanes],
    ) {
        let by_mean: Lanes = std::array::from_fn(|lane| -gains[lane].below / deviation[lane]);
        let by_half: Lanes =
            std::array::from_fn(|lane| gains[lane].at / (deviation[lane] * deviation[lane]));
        for ((derivative, solved), weight) in derivatives.iter_mut().zip(solved).zip(&self.weights)
        {
            for lane in 0..LANES {
                derivative[lane] *= by_mean[lane] * weight - by_half[lane] * solved[lane];
            }
        }
        for (site, slope) in slopes.iter_mut().enumerate() {
            let (column, at) = (&self.inputs.columns[site], &at[site]);
            let mut sum = [0.0; LANES];
            if !self.inputs.choices[site] {
                for (derivative, x) in derivatives.iter().zip(column) {
                    for lane in 0..LANES {
                        sum[lane] += derivative[lane] * (at[lane] - x);
                    }
                }
            }
            *slope = sum.map(|sum| 2.0 * self.factors[site] * sum);
        }
    }
}

/// Of the improvement in deviations, `h(z) = φ(z) + z·Φ(z)`: its logarithm, and `Φ(z)/h(z)` and `φ(z)/h(z)`.
#[derive(Clone, Copy)]
struct Gain {
    log: f64,
    below: f64,
    at: f64,
}

fn gain(z: f64) -> Gain {
    let log_density = -0.5 * z * z - LOG_SQRT_TAU;
    if z > -6.0 {
        let (density, below) = (quick_exp(log_density), normal_cdf(z));
        let value = density + z * below;
        return Gain {
            log: quick_log(value),
            below: below / value,
            at: density / value,
        };
    }
    // The series of Mills' ratio.
    let square = z * z;
    let fourth = square * square;
    let sum = 1.0 - 3.0 / square + 15.0 / fourth - 105.0 / (fourth * square);
    Gain {
        log: log_density - 2.0 * quick_log(-z) + quick_log(sum),
        below: -z * (1.0 - 1.0 / square + 3.0 / fourth - 15.0 / (fourth * square)) / sum,
        at: square / sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        let column = |f: fn(i32) -> f64| (0..24).map(f).collect();
        Inputs {
            choices: vec![false, false, true],
            columns: vec![
                column(|i| 0.04 * f64::from(i)),
                column(|i| f64::from(i * i % 7) / 7.0),
                column(|i| f64::from(i % 3)),
            ],
        }
    }

    fn targets() -> Vec<f64> {
        let columns = inputs().columns;
        (0..24)
            .map(|i| 3.0 * columns[0][i] - columns[1][i] * columns[1][i] + 0.2 * columns[2][i])
            .collect()
    }

    fn parameters() -> Parameters {
        Parameters {
            inverse: vec![0.3, -0.4, 0.1],
            scale: 0.2,
            noise: -3.0,
        }
    }

    #[test]
    fn slopes_are_those_of_the_posterior() {
        let at = parameters();
        let value = |at: &Parameters| posterior(at, &inputs(), &targets()).0;
        let slopes = posterior(&at, &inputs(), &targets()).1;
        let h = 1e-5;
        for (index, slope) in slopes.iter().enumerate() {
            let moved = |by: f64| {
                let mut at = at.clone();
                match index {
                    0..=2 => at.inverse[index] += by,
                    3 => at.scale += by,
                    _ => at.noise += by,
                }
                value(&at)
            };
            let wanted = (moved(h) - moved(-h)) / (2.0 * h);
            assert!(
                (slope - wanted).abs() < 1e-4 * (1.0 + wanted.abs()),
                "{index}: {slope} {wanted}"
            );
        }
    }

    #[test]
    fn slopes_are_those_of_the_improvement() {
        let (inputs, targets) = (inputs(), targets());
        let mut process = Process::new(parameters(), inputs.choices.clone());
        for trial in 0..24 {
            let point: Vec<f64> = inputs.columns.iter().map(|column| column[trial]).collect();
            process.add(&point);
        }
        process.tell(&targets);
        let at: Vec<Lanes> = (0..3)
            .map(|site| {
                std::array::from_fn(|lane| match site {
                    2 => (lane % 3) as f64,
                    _ => 0.03 + 0.06 * lane as f64 + 0.1 * f64::from(site),
                })
            })
            .collect();
        let mut slopes = vec![[0.0; LANES]; 3];
        let values = process.log_improvement(&at, Some(&mut slopes));
        for (promise, value) in process.promise(&at).iter().zip(values) {
            assert!(
                *promise >= value && promise.is_finite(),
                "{promise} {value}"
            );
        }
        assert_eq!(process.log_improvement(&at, None), values);
        assert_eq!(slopes[2], [0.0; LANES]);
        let h = 1e-6;
        for site in 0..2 {
            let moved = |by: f64| {
                let mut at = at.clone();
                at[site] = at[site].map(|u| u + by);
                process.log_improvement(&at, None)
            };
            let (more, less) = (moved(h), moved(-h));
            for lane in 0..LANES {
                let wanted = (more[lane] - less[lane]) / (2.0 * h);
                let slope = slopes[site][lane];
                assert!(
                    (slope - wanted).abs() < 1e-3 * (1.0 + wanted.abs()),
                    "{site} {lane}: {slope} {wanted}"
                );
            }
        }
    }

    #[test]
    fn gains_join_where_the_formula_changes() {
        let (a, b) = (gain(-6.0 + 1e-9), gain(-6.0 - 1e-9));
        for (a, b) in [(a.log, b.log), (a.below / b.below, 1.0), (a.at / b.at, 1.0)] {
            assert!((a - b).abs() < 2e-2, "{a} {b}");
        }
        assert!((gain(0.0).log - log(0.398_942_280_401_432_7)).abs() < 1e-12);
    }
}
