//! Sobol's sequence, scrambled: linear matrix scrambling and a digital shift (Matoušek 1998), drawn for each dimension.

use crate::direction_numbers::DIRECTIONS;
use crate::draws::Draws;
use crate::space::Point;
use crate::spec::Spec;

/// Bits of a coordinate.
const BITS: usize = 32;

/// Point `index` of the search's sequence. Sites beyond the table of direction numbers draw independently.
pub(crate) fn point(spec: &Spec, index: u64) -> Point {
    let coordinates: Vec<f64> = (0..spec.space.sites.len())
        .map(|dimension| match directions(dimension) {
            Some(directions) => scrambled(spec, dimension as u64, &directions, index),
            None => {
                let path = [index, dimension as u64];
                Draws::at(&spec.seed, &spec.name, "sobol beyond", &path).uniform()
            }
        })
        .collect();
    spec.space.point(&coordinates)
}

/// The direction numbers of a dimension, as 32-bit fractions.
fn directions(dimension: usize) -> Option<[u32; BITS]> {
    let mut numbers = [0u32; BITS];
    if dimension == 0 {
        for (i, number) in numbers.iter_mut().enumerate() {
            *number = 1 << (BITS - 1 - i);
        }
        return Some(numbers);
    }
    let (degree, polynomial, initial) = DIRECTIONS.get(dimension - 1)?;
    let degree = *degree as usize;
    for i in 0..BITS {
        numbers[i] = match initial.get(i) {
            Some(m) => m << (BITS - 1 - i),
            None => {
                let old = numbers[i - degree];
                (1..degree).fold(old ^ (old >> degree), |number, k| {
                    let taken = polynomial >> (degree - 1 - k) & 1;
                    number ^ (numbers[i - k] * taken)
                })
            }
        };
    }
    Some(numbers)
}

/// Coordinate `index` of a plain sequence, as a fraction of 2³².
fn plain(directions: &[u32; BITS], index: u64) -> u32 {
    let taken = directions
        .iter()
        .enumerate()
        .filter(|(bit, _)| index >> bit & 1 == 1);
    taken.fold(0, |sum, (_, number)| sum ^ number)
}

fn scrambled(spec: &Spec, dimension: u64, directions: &[u32; BITS], index: u64) -> f64 {
    let mut draws = Draws::at(&spec.seed, &spec.name, "sobol", &[dimension]);
    let value = plain(directions, index);
    let mut mixed = 0u32;
    for row in 0..BITS {
        // Row `row` of a lower triangular matrix over the bits, ones on its diagonal.
        let diagonal = 1u32 << (BITS - 1 - row);
        let above = !(diagonal | (diagonal - 1));
        let mask = (draws.word() as u32 & above) | diagonal;
        mixed |= ((mask & value).count_ones() & 1) << (BITS - 1 - row);
    }
    let shift = draws.word();
    (f64::from(mixed ^ shift as u32) + 0.5) / (1u64 << 32) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Domain, Setting, Site, Space};
    use crate::spec::{Direction, Method, Propose};
    use mmh_numerics::random::Seed;

    #[test]
    fn the_sequence_is_the_published_one() {
        // The first points of dimensions 1, 2, 3 in Joe & Kuo's notes, in natural order.
        let at = |dimension: usize, index: u64| {
            f64::from(plain(&directions(dimension).expect("in the table"), index)) / 4_294_967_296.0
        };
        let points: Vec<[f64; 3]> = (0..4).map(|i| [at(0, i), at(1, i), at(2, i)]).collect();
        assert_eq!(
            points,
            [[0.0; 3], [0.5; 3], [0.25, 0.75, 0.75], [0.75, 0.25, 0.25]]
        );
    }

    #[test]
    fn scrambling_keeps_every_interval_balanced() {
        let unit = Domain::Uniform {
            low: 0.0,
            high: 1.0,
        };
        let site = |n: usize| Site {
            name: n.to_string(),
            domain: unit,
            when: None,
        };
        let dimensions = DIRECTIONS.len() + 3;
        let spec = Spec {
            name: "s".into(),
            seed: Seed::from_integer(1),
            space: Space {
                sites: (0..dimensions).map(site).collect(),
            },
            objectives: vec![crate::Objective::watch(Direction::Minimise)],
            rungs: 1,
            method: Method::Full,
            propose: Propose::Sobol,
            budget: 64,
            lag: 0,
        };
        let points: Vec<Point> = (0..64).map(|index| point(&spec, index)).collect();
        for dimension in 0..=DIRECTIONS.len() {
            let mut counts = [0; 64];
            for point in &points {
                let Some(Setting::Real(x)) = point[dimension] else {
                    panic!("a number")
                };
                counts[(x * 64.0) as usize] += 1;
            }
            assert_eq!(counts, [1; 64], "dimension {dimension}");
        }
    }
}
