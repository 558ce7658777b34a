//! Limited-memory BFGS (Nocedal 1980): uphill by slopes, of which the last few tell how the hill is curved.

use std::collections::VecDeque;

/// Steps that are remembered.
const MEMORY: usize = 10;

/// Slopes below this are flat.
const FLAT: f64 = 1e-2;

/// The most that one number changes in a step.
const LONGEST: f64 = 2.0;

/// Where numbers stay.
const RANGE: (f64, f64) = (-18.0, 9.0);

/// The height of a place, and its slopes.
type Height<'a> = dyn FnMut(&[f64]) -> (f64, Vec<f64>) + 'a;

/// A step: how the place and the slopes changed, and one over their product.
struct Step {
    place: Vec<f64>,
    slopes: Vec<f64>,
    inverse: f64,
}

/// A high place near `start` and its height, by so many evaluations at most.
pub(crate) fn highest(
    start: Vec<f64>,
    evaluations: usize,
    height: &mut Height<'_>,
) -> (Vec<f64>, f64) {
    let mut at = start;
    let (mut value, mut slopes) = height(&at);
    let mut memory: VecDeque<Step> = VecDeque::new();
    let mut left = evaluations.saturating_sub(1);
    while left > 0 && largest(&slopes) > FLAT {
        let mut way = direction(&memory, &slopes);
        if dot(&way, &slopes) <= 0.0 {
            memory.clear();
            way.clone_from(&slopes);
        }
        let rise = dot(&way, &slopes);
        let mut length = match memory.is_empty() {
            true => (1.0 / dot(&slopes, &slopes).sqrt()).min(1.0),
            false => 1.0,
        };
        length *= (LONGEST / (length * largest(&way))).min(1.0);
        let next = loop {
            if left == 0 {
                return (at, value);
            }
            left -= 1;
            let place = moved(&at, &way, length);
            let found = height(&place);
            if found.0 >= value + 1e-4 * length * rise {
                break (place, found.0, found.1);
            }
            length *= 0.5;
        };
        let place = difference(&next.0, &at);
        let change = difference(&slopes, &next.2);
        let product = dot(&place, &change);
        if product > 1e-10 * dot(&change, &change) {
            memory.push_back(Step {
                place,
                slopes: change,
                inverse: 1.0 / product,
            });
            if memory.len() > MEMORY {
                memory.pop_front();
            }
        }
        (at, value, slopes) = next;
    }
    (at, value)
}

/// The slopes times what the memory knows of the inverse of the curvature.
fn direction(memory: &VecDeque<Step>, slopes: &[f64]) -> Vec<f64> {
    let mut way = slopes.to_vec();
    let mut shares = Vec::with_capacity(memory.len());
    for step in memory.iter().rev() {
        let share = step.inverse * dot(&step.place, &way);
        add(&mut way, -share, &step.slopes);
        shares.push(share);
    }
    if let Some(last) = memory.back() {
        let scale = 1.0 / (last.inverse * dot(&last.slopes, &last.slopes));
        for x in &mut way {
            *x *= scale;
        }
    }
    for (step, share) in memory.iter().zip(shares.iter().rev()) {
        let other = step.inverse * dot(&step.slopes, &way);
        add(&mut way, share - other, &step.place);
    }
    way
}

fn moved(at: &[f64], way: &[f64], length: f64) -> Vec<f64> {
    let pairs = at.iter().zip(way);
    pairs
        .map(|(x, w)| (x + length * w).clamp(RANGE.0, RANGE.1))
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += factor * b;
    }
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn largest(a: &[f64]) -> f64 {
    a.iter()
        .fold(0.0, |most, x| if x.abs() > most { x.abs() } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_ridge_is_climbed() {
        // Rosenbrock's function turned over; its top is at (1, 1).
        let mut count = 0;
        let mut height = |x: &[f64]| {
            count += 1;
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            let slopes = vec![2.0 * a + 40.0 * b * x[0], -20.0 * b];
            (-(a * a + 10.0 * b * b), slopes)
        };
        let (at, value) = highest(vec![-1.2, 1.0], 100, &mut height);
        assert!(
            value > -1e-4 && (at[0] - 1.0).abs() < 0.02,
            "{at:?} {value}"
        );
        assert!(count < 60, "{count}");
    }
}
