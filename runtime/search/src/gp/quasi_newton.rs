//! Limited-memory BFGS (Nocedal 1980) between bounds: uphill by slopes, of which the last few tell how the hill is curved. Numbers at a
//! bound that would leave it stand still (Bertsekas 1982).

use std::collections::VecDeque;

/// Steps that are remembered.
const MEMORY: usize = 10;

/// Share of the rise that the slopes promise which a step must bring.
const SUFFICIENT: f64 = 1e-4;

/// How a hill is climbed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Slopes not above this are flat.
    pub(crate) flat: f64,
    /// The most that one number changes in a step.
    pub(crate) longest: f64,
    /// Evaluations at most.
    pub(crate) evaluations: usize,
}

/// The height of a place, and its slopes.
type Height<'a> = dyn FnMut(&[f64]) -> (f64, Vec<f64>) + 'a;

/// A step: how the place and the slopes changed, and one over their product.
#[derive(Clone, Debug)]
struct Step {
    place: Vec<f64>,
    slopes: Vec<f64>,
    inverse: f64,
}

/// One way uphill. It says where it wants the height, so that many can be asked for at once.
#[derive(Clone, Debug)]
pub(crate) struct Climb {
    limits: Limits,
    bounds: Vec<(f64, f64)>,
    left: usize,
    at: Vec<f64>,
    value: f64,
    slopes: Vec<f64>,
    memory: VecDeque<Step>,
    way: Vec<f64>,
    length: f64,
    place: Vec<f64>,
}

impl Climb {
    /// From `start`, which lies between the bounds.
    pub(crate) fn new(start: Vec<f64>, bounds: Vec<(f64, f64)>, limits: Limits) -> Self {
        Self {
            limits,
            bounds,
            left: limits.evaluations,
            at: start.clone(),
            value: f64::NEG_INFINITY,
            slopes: Vec::new(),
            memory: VecDeque::new(),
            way: Vec::new(),
            length: 0.0,
            place: start,
        }
    }

    /// Where the height is wanted; nowhere if the climb is over.
    pub(crate) fn wants(&self) -> Option<&[f64]> {
        (self.left > 0).then_some(&self.place)
    }

    /// The highest place so far and its height.
    pub(crate) fn found(self) -> (Vec<f64>, f64) {
        (self.at, self.value)
    }

    /// Says the height where it was wanted, and the slopes there.
    pub(crate) fn tell(&mut self, value: f64, slopes: Vec<f64>) {
        self.left -= 1;
        if self.slopes.is_empty() {
            (self.value, self.slopes) = (value, slopes);
            return self.turn();
        }
        let moved = difference(&self.place, &self.at);
        let rise = dot(&moved, &self.slopes);
        if value >= self.value + SUFFICIENT * rise {
            self.learn(moved, &slopes);
            (self.value, self.slopes) = (value, slopes);
            self.at.clone_from(&self.place);
            return self.turn();
        }
        // The top of the parabola through both heights with the slope at the first.
        let top = 0.5 * rise / (rise + self.value - value);
        self.length *= if top > 0.1 { top.min(0.5) } else { 0.1 };
        self.step();
    }

    /// Remembers how slopes changed along a step.
    fn learn(&mut self, place: Vec<f64>, slopes: &[f64]) {
        let slopes = difference(&self.slopes, slopes);
        let product = dot(&place, &slopes);
        if product > 1e-10 * dot(&slopes, &slopes) {
            self.memory.push_back(Step {
                place,
                slopes,
                inverse: 1.0 / product,
            });
            if self.memory.len() > MEMORY {
                self.memory.pop_front();
            }
        }
    }

    /// Chooses the way from here.
    fn turn(&mut self) {
        let bounds = self.bounds.iter().zip(&self.at);
        let free: Vec<bool> = bounds
            .zip(&self.slopes)
            .map(|(((low, high), at), slope)| {
                (*slope > 0.0 && at < high) || (*slope < 0.0 && at > low)
            })
            .collect();
        let only_free = |numbers: &mut Vec<f64>| {
            for (number, free) in numbers.iter_mut().zip(&free) {
                *number = if *free { *number } else { 0.0 };
            }
        };
        let mut slopes = self.slopes.clone();
        only_free(&mut slopes);
        if largest(&slopes) <= self.limits.flat {
            self.left = 0;
            return;
        }
        self.way = direction(&self.memory, &slopes);
        only_free(&mut self.way);
        if dot(&self.way, &slopes) <= 0.0 {
            self.memory.clear();
            self.way.clone_from(&slopes);
        }
        self.length = match self.memory.is_empty() {
            true => (1.0 / dot(&slopes, &slopes).sqrt()).min(1.0),
            false => 1.0,
        };
        self.length *= (self.limits.longest / (self.length * largest(&self.way))).min(1.0);
        self.step();
    }

    /// Wants the height one length along the way; the climb is over where that is here.
    fn step(&mut self) {
        let places = self.at.iter().zip(&self.way).zip(&self.bounds);
        self.place = places
            .map(|((at, way), (low, high))| (at + self.length * way).clamp(*low, *high))
            .collect();
        if self.place == self.at {
            self.left = 0;
        }
    }
}

/// A high place near `start` and its height.
pub(crate) fn highest(
    start: Vec<f64>,
    bounds: Vec<(f64, f64)>,
    limits: Limits,
    height: &mut Height<'_>,
) -> (Vec<f64>, f64) {
    let mut climb = Climb::new(start, bounds, limits);
    while let Some(place) = climb.wants() {
        let (value, slopes) = height(place);
        climb.tell(value, slopes);
    }
    climb.found()
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

    const LIMITS: Limits = Limits {
        flat: 1e-2,
        longest: 2.0,
        evaluations: 100,
    };

    /// Rosenbrock's function turned over; its top is at (1, 1).
    fn ridge(x: &[f64]) -> (f64, Vec<f64>) {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        let slopes = vec![2.0 * a + 40.0 * b * x[0], -20.0 * b];
        (-(a * a + 10.0 * b * b), slopes)
    }

    #[test]
    fn a_bent_ridge_is_climbed() {
        let mut count = 0;
        let mut height = |x: &[f64]| {
            count += 1;
            ridge(x)
        };
        let bounds = vec![(-18.0, 9.0); 2];
        let (at, value) = highest(vec![-1.2, 1.0], bounds, LIMITS, &mut height);
        assert!(
            value > -1e-4 && (at[0] - 1.0).abs() < 0.02,
            "{at:?} {value}"
        );
        assert!(count < 60, "{count}");
    }

    #[test]
    fn bounds_are_kept_and_followed() {
        // Where the first number may be 0.5 at most, the top is (0.5, 0.25).
        let bounds = vec![(-2.0, 0.5), (-2.0, 2.0)];
        let (at, _) = highest(vec![-1.2, 1.0], bounds, LIMITS, &mut ridge);
        assert_eq!(at[0], 0.5);
        assert!((at[1] - 0.25).abs() < 1e-3, "{at:?}");
        let corner = highest(vec![0.0; 2], vec![(0.0, 0.0); 2], LIMITS, &mut ridge);
        assert_eq!(corner.0, [0.0, 0.0]);
    }
}
