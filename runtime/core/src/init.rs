//! First values of state: every element has its own address, so no slot can change another's.

use crate::failure::RunFailure;
use crate::weights::Weights;
use mmh_ir::DType;
use mmh_ir::device::{State, Tensor};
use mmh_ir::plan::{Init, StateDecl};
use mmh_numerics::Scalar;
use mmh_numerics::random::{Component, Key, Seed, Stream, from_range, normals};

/// The state a training starts from, by slot; `weights` are those of its file, if it has one.
///
/// Uniform element `i` is word `i` of the stream of (site, nonce 0) on `[−bound, bound)`; normal element `i` is `deviation`
/// times normal `i` of it.
pub fn initial_state(
    slots: &[StateDecl],
    seed: &Seed,
    weights: Option<&Weights>,
) -> Result<State, RunFailure> {
    let first = |slot: &StateDecl| match &slot.init {
        Init::Stored { tensor } => {
            let missing = || RunFailure::Plan(format!("there are no weights for `{}`", slot.path));
            weights.ok_or_else(missing)?.tensor(tensor, slot)
        }
        Init::Constant(_) | Init::Uniform { .. } | Init::Normal { .. } => initial(slot, seed),
    };
    let slots: Result<Vec<Tensor>, RunFailure> = slots.iter().map(first).collect();
    Ok(State { slots: slots? })
}

fn initial(slot: &StateDecl, seed: &Seed) -> Result<Tensor, RunFailure> {
    let elements = slot.ty.shape.elements();
    if slot.ty.dtype != DType::F32 {
        return match slot.init {
            Init::Constant(value) if value.0 == 0.0 => Ok(Tensor::zeros(slot.ty.dtype, elements)),
            Init::Constant(_)
            | Init::Uniform { .. }
            | Init::Normal { .. }
            | Init::Stored { .. } => Err(RunFailure::Plan(format!(
                "state `{}` is {} and starts from something else than 0",
                slot.path,
                slot.ty.dtype.name()
            ))),
        };
    }
    let mut values = vec![0.0; elements];
    match &slot.init {
        Init::Constant(value) => values.fill(value.0),
        Init::Uniform { bound, site } => fill_uniform(&mut values, bound.0, &stream(seed, site)),
        Init::Normal { deviation, site } => {
            normals(&stream(seed, site), 0, &mut values);
            for value in &mut values {
                *value *= deviation.0;
            }
        }
        // Taken from the file above.
        Init::Stored { .. } => {}
    }
    Ok(Tensor::F32(values))
}

fn fill_uniform(values: &mut [f32], bound: f32, stream: &Stream) {
    let mut words = vec![0; values.len()];
    stream.fill(0, &mut words);
    for (value, word) in values.iter_mut().zip(words) {
        *value = from_range(&mut Scalar, word.cast_signed(), -bound, bound);
    }
}

/// The stream of a site that draws once in a run.
pub(crate) fn stream(seed: &Seed, site: &str) -> Stream {
    Stream::new(Key::derive(seed, &[Component::Text(site)]), 0)
}

/// The key of a site in an epoch.
pub(crate) fn epoch_key(seed: &Seed, site: &str, epoch: u64) -> Key {
    Key::derive(seed, &[Component::Text(site), Component::Number(epoch)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_ir::plan::Role;
    use mmh_ir::{Literal, Shape, Type};

    fn slot(path: &str, n: usize, init: Init) -> StateDecl {
        StateDecl {
            path: path.into(),
            role: Role::Parameter,
            ty: Type::f32(Shape::of(&[("n", n)])),
            init,
        }
    }

    #[test]
    fn elements_have_addresses() {
        let seed = Seed::from_integer(7);
        let uniform = |n| {
            slot(
                "a",
                n,
                Init::Uniform {
                    bound: Literal(0.5),
                    site: "a".into(),
                },
            )
        };
        let normal = |n| {
            slot(
                "b",
                n,
                Init::Normal {
                    deviation: Literal(0.1),
                    site: "b".into(),
                },
            )
        };
        let long = initial_state(&[uniform(1001), normal(1001)], &seed, None).unwrap();
        let short = initial_state(&[normal(17), uniform(17)], &seed, None).unwrap();
        let (u, n) = (
            long.slots[0].as_f32().unwrap(),
            long.slots[1].as_f32().unwrap(),
        );
        assert_eq!(&u[..17], short.slots[1].as_f32().unwrap());
        assert_eq!(&n[..17], short.slots[0].as_f32().unwrap());
        assert!(
            u.iter().all(|x| (-0.5..0.5).contains(x))
                && u.iter().any(|x| *x < -0.4)
                && u.iter().any(|x| *x > 0.4)
        );
        let square = n.iter().map(|x| f64::from(x * x)).sum::<f64>() / 1001.0;
        assert!((0.008..0.012).contains(&square), "{square}");
        assert_ne!(
            initial_state(&[uniform(17)], &Seed::from_integer(8), None)
                .unwrap()
                .slots[0],
            short.slots[1]
        );
    }
}
