//! Expected improvement under a Gaussian process (Jones et al. 1998): Matérn 5/2, a length for every site.
//!
//! Lengths, scale and noise are those of the largest posterior under priors that keep them moderate; the improvement is made
//! large from random points and from around the best ones by a pattern search. Everything is done anew for each proposal, so
//! that it is a function of what was seen alone.

use crate::draws::Draws;
use crate::eigen::Matrix;
use crate::math::{exp, log, normal_cdf};
use crate::space::{Domain, Point, Space};
use crate::spec::Spec;
use crate::study::Seen;

/// Trials that are modelled at most: the best half of so many, and the newest.
const MOST_SEEN: usize = 160;

/// Steps of the fit.
const FIT_STEPS: usize = 40;

/// Points of which the most promising are improved.
const SCATTERED: usize = 256;
const AROUND_BEST: usize = 64;
const IMPROVED: usize = 4;

/// Least noise, for matrices that can be inverted.
const LEAST_NOISE: f64 = 1e-6;

/// The point of `trial`.
pub(crate) fn point(spec: &Spec, seen: &[Seen<'_>], trial: u64, attempt: u64) -> Point {
    let space = &spec.space;
    let mut draws = Draws::at(&spec.seed, &spec.name, "gp", &[trial, attempt]);
    let kept = kept(seen);
    let inputs: Vec<Vec<f64>> = kept.iter().map(|it| coordinates(space, it.point)).collect();
    let model = Process::fit(space, inputs, &standardised(&kept));
    let best = model.best_input();
    let mut starts: Vec<(f64, Vec<f64>)> = Vec::new();
    for number in 0..SCATTERED + AROUND_BEST {
        let coordinates: Vec<f64> = match number < SCATTERED {
            true => space.sites.iter().map(|_| draws.uniform()).collect(),
            false => {
                let width = if number % 2 == 0 { 0.1 } else { 0.02 };
                best.iter()
                    .map(|u| inside(u + width * draws.normal()))
                    .collect()
            }
        };
        let snapped = snapped(space, &coordinates);
        starts.push((model.log_improvement(&snapped), snapped));
    }
    // The first of equals stays first: the sort is stable.
    starts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut chosen: Option<(f64, Vec<f64>)> = None;
    for (value, start) in starts.into_iter().take(IMPROVED) {
        let found = improved(space, &model, value, start);
        if chosen.as_ref().is_none_or(|(most, _)| found.0 > *most) {
            chosen = Some(found);
        }
    }
    space.point(&chosen.unwrap_or_default().1)
}

fn inside(u: f64) -> f64 {
    u.clamp(0.0, 1.0 - f64::EPSILON / 2.0)
}

/// The best and the newest of many trials, in the order of their numbers.
fn kept<'a>(seen: &'a [Seen<'a>]) -> Vec<&'a Seen<'a>> {
    if seen.len() <= MOST_SEEN {
        return seen.iter().collect();
    }
    let mut ranked: Vec<&Seen<'_>> = seen.iter().collect();
    ranked.sort_by(|a, b| a.loss.total_cmp(&b.loss).then(a.number.cmp(&b.number)));
    let newest = seen.len() - MOST_SEEN / 2;
    let good: Vec<usize> = ranked
        .iter()
        .take(MOST_SEEN / 2)
        .map(|it| it.number)
        .collect();
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

/// Coordinates of what would be tried there.
fn snapped(space: &Space, coordinates: &[f64]) -> Vec<f64> {
    self::coordinates(space, &space.point(coordinates))
}

/// A pattern search: every site up and down, by steps that become smaller; choices by every alternative.
fn improved(space: &Space, model: &Process, value: f64, start: Vec<f64>) -> (f64, Vec<f64>) {
    let (mut best, mut at) = (value, start);
    let mut step = 0.1;
    while step > 5e-4 {
        let mut moved = false;
        for (index, site) in space.sites.iter().enumerate() {
            let moves: Vec<f64> = match site.domain {
                Domain::Choice(n) => (0..n).map(|k| (k as f64 + 0.5) / n as f64).collect(),
                Domain::Whole { low, high } => {
                    let width = (1.0 / (high as f64 - low as f64 + 1.0)).max(step);
                    vec![inside(at[index] - width), inside(at[index] + width)]
                }
                Domain::Uniform { .. } | Domain::Log { .. } => {
                    vec![inside(at[index] - step), inside(at[index] + step)]
                }
            };
            for u in moves {
                let mut other = at.clone();
                other[index] = u;
                let other = snapped(space, &other);
                let value = model.log_improvement(&other);
                if value > best {
                    (best, at, moved) = (value, other, true);
                }
            }
        }
        if !moved {
            step /= 3.0;
        }
    }
    (best, at)
}

/// Logarithms of inverse squared lengths, of the scale and of the noise.
#[derive(Clone, Debug)]
struct Parameters {
    inverse: Vec<f64>,
    scale: f64,
    noise: f64,
}

/// A fitted process.
struct Process {
    choices: Vec<bool>,
    parameters: Parameters,
    inputs: Vec<Vec<f64>>,
    targets: Vec<f64>,
    lower: Matrix,
    weights: Vec<f64>,
}

impl Process {
    fn fit(space: &Space, inputs: Vec<Vec<f64>>, targets: &[f64]) -> Self {
        let choices: Vec<bool> = space
            .sites
            .iter()
            .map(|site| matches!(site.domain, Domain::Choice(_)))
            .collect();
        let start = Parameters {
            inverse: vec![0.0; choices.len()],
            scale: 0.0,
            noise: -4.0,
        };
        let squares = squares(&inputs, &choices);
        let parameters = climbed(start, &squares, targets);
        let kernel = kernel(&parameters, &squares);
        let lower = cholesky(&kernel);
        let weights = solve(&lower, targets);
        Self {
            choices,
            parameters,
            inputs,
            targets: targets.to_vec(),
            lower,
            weights,
        }
    }

    fn best_input(&self) -> Vec<f64> {
        let pairs = self.inputs.iter().zip(&self.targets);
        let best = pairs.fold(
            None,
            |best: Option<(&Vec<f64>, f64)>, (input, target)| match best {
                Some((_, least)) if least <= *target => best,
                _ => Some((input, *target)),
            },
        );
        best.map_or_else(Vec::new, |(input, _)| input.clone())
    }

    /// Logarithm of the expected improvement over the smallest target.
    fn log_improvement(&self, at: &[f64]) -> f64 {
        let inverse: Vec<f64> = self.parameters.inverse.iter().map(|it| exp(*it)).collect();
        let scale = exp(self.parameters.scale);
        let row: Vec<f64> = self
            .inputs
            .iter()
            .map(|input| {
                let mut square = 0.0;
                for (index, (a, b)) in input.iter().zip(at).enumerate() {
                    square += inverse[index] * difference(*a, *b, self.choices[index]);
                }
                scale * matern(square).0
            })
            .collect();
        let mean: f64 = row.iter().zip(&self.weights).map(|(k, w)| k * w).sum();
        let half = forward(&self.lower, &row);
        let explained: f64 = half.iter().map(|x| x * x).sum();
        let deviation = (scale - explained).max(1e-12).sqrt();
        let least = self.targets.iter().fold(
            f64::INFINITY,
            |least, t| if *t < least { *t } else { least },
        );
        log(deviation) + log_gain((least - mean) / deviation)
    }
}

/// `log(φ(z) + z·Φ(z))`.
fn log_gain(z: f64) -> f64 {
    let log_density = -0.5 * z * z - 0.918_938_533_204_672_8;
    if z > -6.0 {
        return log(exp(log_density) + z * normal_cdf(z));
    }
    // The series of Mills' ratio.
    let square = z * z;
    log_density - 2.0 * log(-z) + log(1.0 - 3.0 / square + 15.0 / (square * square))
}

/// Squared difference at a site; of choices whether they differ.
fn difference(a: f64, b: f64, choice: bool) -> f64 {
    if choice {
        f64::from(u8::from(a != b))
    } else {
        (a - b) * (a - b)
    }
}

/// Matérn's 5/2 function of a squared distance, and its derivative by it.
fn matern(square: f64) -> (f64, f64) {
    let r = (5.0 * square).sqrt();
    let decay = exp(-r);
    (
        (1.0 + r + r * r / 3.0) * decay,
        -5.0 / 6.0 * (1.0 + r) * decay,
    )
}

/// For each pair `j < i` the squared differences at every site.
fn squares(inputs: &[Vec<f64>], choices: &[bool]) -> Vec<Vec<Vec<f64>>> {
    let pair = |a: &Vec<f64>, b: &Vec<f64>| {
        let sites = a.iter().zip(b).zip(choices);
        sites
            .map(|((a, b), choice)| difference(*a, *b, *choice))
            .collect::<Vec<f64>>()
    };
    let row = |i: usize| {
        inputs[..i]
            .iter()
            .map(|other| pair(&inputs[i], other))
            .collect()
    };
    (0..inputs.len()).map(row).collect()
}

fn distance(squares: &[f64], inverse: &[f64]) -> f64 {
    squares
        .iter()
        .zip(inverse)
        .map(|(square, inverse)| square * inverse)
        .sum()
}

fn kernel(parameters: &Parameters, squares: &[Vec<Vec<f64>>]) -> Matrix {
    let inverse: Vec<f64> = parameters.inverse.iter().map(|it| exp(*it)).collect();
    let (scale, noise) = (exp(parameters.scale), exp(parameters.noise) + LEAST_NOISE);
    let row = |(i, pairs): (usize, &Vec<Vec<f64>>)| {
        let mut row: Vec<f64> = pairs
            .iter()
            .map(|pair| scale * matern(distance(pair, &inverse)).0)
            .collect();
        row.push(scale + noise);
        debug_assert_eq!(row.len(), i + 1);
        row
    };
    squares.iter().enumerate().map(row).collect()
}

/// The lower triangle `L` with `L·Lᵀ` the matrix, which is given by its lower triangle.
fn cholesky(matrix: &Matrix) -> Matrix {
    let mut lower: Matrix = Vec::with_capacity(matrix.len());
    for (i, row) in matrix.iter().enumerate() {
        let mut new: Vec<f64> = Vec::with_capacity(i + 1);
        for j in 0..=i {
            let other: &[f64] = if j == i { &new } else { &lower[j] };
            let mut sum = row[j];
            for (a, b) in new.iter().zip(other).take(j) {
                sum -= a * b;
            }
            new.push(if j == i {
                sum.max(1e-12).sqrt()
            } else {
                sum / lower[j][j]
            });
        }
        lower.push(new);
    }
    lower
}

/// `L⁻¹·b`.
fn forward(lower: &Matrix, b: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(b.len());
    for (i, row) in lower.iter().enumerate() {
        let known: f64 = row.iter().zip(&x).map(|(l, x)| l * x).sum();
        x.push((b[i] - known) / row[i]);
    }
    x
}

/// `(L·Lᵀ)⁻¹·b`.
fn solve(lower: &Matrix, b: &[f64]) -> Vec<f64> {
    let mut x = forward(lower, b);
    for i in (0..x.len()).rev() {
        x[i] /= lower[i][i];
        let value = x[i];
        for (j, known) in x.iter_mut().enumerate().take(i) {
            *known -= lower[i][j] * value;
        }
    }
    x
}

/// The inverse of `L·Lᵀ`, its lower triangle.
fn inverse(lower: &Matrix) -> Matrix {
    let n = lower.len();
    // Columns of L⁻¹, each from its diagonal on.
    let mut columns: Matrix = Vec::with_capacity(n);
    for j in 0..n {
        let mut column: Vec<f64> = vec![1.0 / lower[j][j]];
        for i in j + 1..n {
            let known: f64 = lower[i][j..i].iter().zip(&column).map(|(l, x)| l * x).sum();
            column.push(-known / lower[i][i]);
        }
        columns.push(column);
    }
    (0..n)
        .map(|i| {
            let entry = |j: usize| {
                columns[i]
                    .iter()
                    .zip(&columns[j][i - j..])
                    .map(|(a, b)| a * b)
                    .sum()
            };
            (0..=i).map(entry).collect()
        })
        .collect()
}

/// Steps uphill whose lengths follow the signs of the gradient (Riedmiller & Braun 1993).
fn climbed(start: Parameters, squares: &[Vec<Vec<f64>>], targets: &[f64]) -> Parameters {
    let count = start.inverse.len() + 2;
    let mut at = start;
    let (mut steps, mut before) = (vec![0.3; count], vec![0.0; count]);
    for _ in 0..FIT_STEPS {
        let gradient = gradient(&at, squares, targets);
        for (index, slope) in gradient.iter().enumerate() {
            let agree = slope * before[index];
            steps[index] = if agree > 0.0 {
                (steps[index] * 1.3_f64).min(1.0)
            } else if agree < 0.0 {
                steps[index] * 0.5
            } else {
                steps[index]
            };
            before[index] = *slope;
            let step = if *slope > 0.0 {
                steps[index]
            } else if *slope < 0.0 {
                -steps[index]
            } else {
                0.0
            };
            let value = match index.checked_sub(at.inverse.len()) {
                None => &mut at.inverse[index],
                Some(0) => &mut at.scale,
                Some(_) => &mut at.noise,
            };
            *value = (*value + step).clamp(-12.0, 9.0);
        }
    }
    at
}

/// Slopes of the log posterior: of the marginal likelihood, and of priors on `w = 1/length²` (−0.1/w − 0.1w), on the scale
/// (Γ(2, 1)) and on the noise (Γ(1.1, 30)).
fn gradient(at: &Parameters, squares: &[Vec<Vec<f64>>], targets: &[f64]) -> Vec<f64> {
    let inverse_lengths: Vec<f64> = at.inverse.iter().map(|it| exp(*it)).collect();
    let (scale, noise) = (exp(at.scale), exp(at.noise));
    let lower = cholesky(&kernel(at, squares));
    let weights = solve(&lower, targets);
    let precision = inverse(&lower);
    let mut slopes: Vec<f64> = inverse_lengths.iter().map(|w| 0.1 / w - 0.1 * w).collect();
    let (mut by_scale, mut by_noise) = (1.0 - scale, 0.1 - 30.0 * noise);
    for (i, pairs) in squares.iter().enumerate() {
        let own = weights[i] * weights[i] - precision[i][i];
        by_scale += 0.5 * own * scale;
        by_noise += 0.5 * own * noise;
        for (j, pair) in pairs.iter().enumerate() {
            // Each pair stands twice in the matrix.
            let factor = (weights[i] * weights[j] - precision[i][j]) * scale;
            let (value, slope) = matern(distance(pair, &inverse_lengths));
            by_scale += factor * value;
            for ((sum, square), w) in slopes.iter_mut().zip(pair).zip(&inverse_lengths) {
                *sum += factor * slope * w * square;
            }
        }
    }
    slopes.extend([by_scale, by_noise]);
    slopes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Vec<Vec<f64>> {
        (0..8)
            .map(|i| vec![0.1 * f64::from(i), f64::from(i * i % 7) / 7.0])
            .collect()
    }

    fn targets() -> Vec<f64> {
        inputs().iter().map(|x| 3.0 * x[0] - x[1] * x[1]).collect()
    }

    fn posterior(at: &Parameters) -> f64 {
        let squares = squares(&inputs(), &[false; 2]);
        let lower = cholesky(&kernel(at, &squares));
        let weights = solve(&lower, &targets());
        let fit: f64 = weights.iter().zip(&targets()).map(|(w, t)| w * t).sum();
        let determinant: f64 = lower.iter().enumerate().map(|(i, row)| log(row[i])).sum();
        let (scale, noise) = (exp(at.scale), exp(at.noise));
        let lengths: f64 = at
            .inverse
            .iter()
            .map(|w| -0.1 / exp(*w) - 0.1 * exp(*w))
            .sum();
        -0.5 * fit - determinant + lengths + at.scale - scale + 0.1 * at.noise - 30.0 * noise
    }

    #[test]
    fn slopes_are_those_of_the_posterior() {
        let at = Parameters {
            inverse: vec![0.3, -0.4],
            scale: 0.2,
            noise: -3.0,
        };
        let slopes = gradient(&at, &squares(&inputs(), &[false; 2]), &targets());
        let h = 1e-5;
        for (index, slope) in slopes.iter().enumerate() {
            let moved = |by: f64| {
                let mut at = at.clone();
                match index {
                    0 | 1 => at.inverse[index] += by,
                    2 => at.scale += by,
                    _ => at.noise += by,
                }
                posterior(&at)
            };
            let wanted = (moved(h) - moved(-h)) / (2.0 * h);
            assert!(
                (slope - wanted).abs() < 1e-4 * (1.0 + wanted.abs()),
                "{index}: {slope} {wanted}"
            );
        }
    }

    #[test]
    fn inverses_are_inverse() {
        let squares = squares(&inputs(), &[false; 2]);
        let at = Parameters {
            inverse: vec![0.0; 2],
            scale: 0.0,
            noise: -2.0,
        };
        let matrix = kernel(&at, &squares);
        let inverse = inverse(&cholesky(&matrix));
        let full = |m: &Matrix, i: usize, j: usize| if i >= j { m[i][j] } else { m[j][i] };
        for i in 0..8 {
            for j in 0..8 {
                let sum: f64 = (0..8)
                    .map(|k| full(&matrix, i, k) * full(&inverse, k, j))
                    .sum();
                assert!((sum - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn gains_join_where_the_formula_changes() {
        let (a, b) = (log_gain(-6.0 + 1e-9), log_gain(-6.0 - 1e-9));
        assert!((a - b).abs() < 5e-3, "{a} {b}");
        assert!((log_gain(0.0) - log(0.398_942_280_401_432_7)).abs() < 1e-12);
    }
}
