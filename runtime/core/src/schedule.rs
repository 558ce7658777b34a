//! The numbers the host computes for every step, in f64 by the contract's own functions, rounded to f32 once.

use crate::failure::RunFailure;
use mmh_ir::plan::{Curve, OptimiserGroup, Segment, StepScalar};
use mmh_numerics::double;

/// The powers `β1^t`, `β2^t` of every optimiser group as running products; `[1, 1]` before the first step.
#[derive(Clone, Debug, PartialEq)]
pub struct Powers(pub Vec<[f64; 2]>);

impl Powers {
    /// Those of `t = 0`.
    pub fn new(groups: &[OptimiserGroup]) -> Self {
        Self(vec![[1.0; 2]; groups.len()])
    }

    /// One step on: each power times its β.
    pub fn advance(&mut self, groups: &[OptimiserGroup]) {
        for (powers, group) in self.0.iter_mut().zip(groups) {
            if let OptimiserGroup::Adam { betas, .. } = group {
                let [first, second] = powers;
                let [beta1, beta2] = betas;
                *first *= beta1;
                *second *= beta2;
            }
        }
    }
}

/// Values of the step scalars in the step for which `powers` have been advanced to `t = step + 1`.
pub fn step_scalars(
    scalars: &[StepScalar],
    groups: &[OptimiserGroup],
    schedule: &[Segment],
    step: u64,
    powers: &Powers,
) -> Result<Vec<f32>, RunFailure> {
    let factor = factor(schedule, step);
    scalars
        .iter()
        .map(|scalar| value(*scalar, groups, factor, powers).map(|v| v as f32))
        .collect()
}

fn value(
    scalar: StepScalar,
    groups: &[OptimiserGroup],
    factor: f64,
    powers: &Powers,
) -> Result<f64, RunFailure> {
    match scalar {
        StepScalar::Rate(group) => match groups.get(group as usize) {
            Some(OptimiserGroup::Sgd { lr, .. } | OptimiserGroup::Adam { lr, .. }) => {
                Ok(lr * factor)
            }
            None => Err(no_group(group)),
        },
        StepScalar::AdamRate(group) => {
            let (lr, _, _, [c1, c2]) = adam(group, groups, powers)?;
            Ok(lr * factor * double::sqrt(c2) / c1)
        }
        StepScalar::AdamEpsilon(group) => {
            let (_, epsilon, _, [_, c2]) = adam(group, groups, powers)?;
            Ok(epsilon * double::sqrt(c2))
        }
        StepScalar::DecayFactor(group) => {
            let (lr, _, decay, _) = adam(group, groups, powers)?;
            Ok(1.0 - lr * factor * decay)
        }
    }
}

/// Rate, ε, decay and the corrections `1 − β^t` of an Adam group.
fn adam(
    group: u32,
    groups: &[OptimiserGroup],
    powers: &Powers,
) -> Result<(f64, f64, f64, [f64; 2]), RunFailure> {
    let found = groups.get(group as usize).zip(powers.0.get(group as usize));
    match found {
        Some((
            OptimiserGroup::Adam {
                lr, epsilon, decay, ..
            },
            powers,
        )) => Ok((*lr, *epsilon, *decay, powers.map(|power| 1.0 - power))),
        Some((OptimiserGroup::Sgd { .. }, _)) | None => Err(no_group(group)),
    }
}

fn no_group(group: u32) -> RunFailure {
    RunFailure::Plan(format!(
        "a step scalar needs optimiser group {group} of another kind"
    ))
}

/// The factor on the base rate in `step`, counted from 0. Behind the last segment its end value stays; without segments 1.
pub fn factor(schedule: &[Segment], step: u64) -> f64 {
    let mut inside = step;
    for segment in schedule {
        if inside < segment.steps {
            return at(segment, inside);
        }
        inside -= segment.steps;
    }
    schedule
        .last()
        .map_or(1.0, |segment| at(segment, segment.steps))
}

/// The curve at step `s` of a segment; `s` may be its length, where the curve ends.
fn at(segment: &Segment, s: u64) -> f64 {
    let (place, length) = (s as f64, segment.steps as f64);
    if segment.steps == 0 {
        return 1.0;
    }
    match segment.curve {
        Curve::Warmup => (place + 1.0).min(length) / length,
        Curve::Cosine { floor } => {
            let wave = 1.0 + double::cos(std::f64::consts::PI * place / length);
            floor + (1.0 - floor) * 0.5 * wave
        }
        Curve::Linear { from, to } => from + (to - from) * place / length,
        Curve::Step { every, factor } => {
            double::pow(factor, s.checked_div(every).unwrap_or(0) as f64)
        }
        Curve::Constant => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_follow_each_other() {
        let schedule = [
            Segment {
                steps: 4,
                curve: Curve::Warmup,
            },
            Segment {
                steps: 2,
                curve: Curve::Linear { from: 1.0, to: 0.5 },
            },
            Segment {
                steps: 2,
                curve: Curve::Constant,
            },
        ];
        let factors: Vec<f64> = (0..10).map(|step| factor(&schedule, step)).collect();
        assert_eq!(
            factors,
            [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 1.0, 1.0, 1.0, 1.0]
        );
        assert_eq!(factor(&schedule[..2], 100), 0.5);
        assert_eq!(factor(&schedule[..1], 100), 1.0);
        assert_eq!(factor(&[], 3), 1.0);
    }

    #[test]
    fn adam_corrections_are_running_products() {
        let groups = [OptimiserGroup::Adam {
            lr: 0.002,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            decay: 0.01,
            decoupled: true,
        }];
        let mut powers = Powers::new(&groups);
        powers.advance(&groups);
        powers.advance(&groups);
        let scalars = [
            StepScalar::Rate(0),
            StepScalar::AdamRate(0),
            StepScalar::AdamEpsilon(0),
            StepScalar::DecayFactor(0),
        ];
        let values = step_scalars(&scalars, &groups, &[], 1, &powers).unwrap();
        let (c1, c2) = (1.0 - 0.9_f64 * 0.9, 1.0 - 0.999_f64 * 0.999);
        let wanted = [
            0.002,
            0.002 * c2.sqrt() / c1,
            1e-8 * c2.sqrt(),
            1.0 - 0.002 * 0.01,
        ]
        .map(|x: f64| x as f32);
        assert_eq!(values, wanted);
        assert!(step_scalars(&[StepScalar::AdamRate(1)], &groups, &[], 1, &powers).is_err());
    }
}
