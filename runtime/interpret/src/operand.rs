//! A value with its shape, and how it lies along another shape.

use mmh_ir::device::{RunError, Tensor};
use mmh_ir::{Axis, Shape};
use ndarray::{ArrayViewD, IxDyn};
use std::borrow::Cow;

/// A value as an operation sees it.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) tensor: &'a Tensor,
    pub(crate) shape: &'a Shape,
}

/// `$body` for the elements of a tensor of any type, giving a tensor of the same type.
macro_rules! for_elements {
    ($tensor:expr, $data:ident => $body:expr) => {
        match $tensor {
            Tensor::F32($data) => Tensor::F32($body),
            Tensor::I32($data) => Tensor::I32($body),
            Tensor::U8($data) => Tensor::U8($body),
            Tensor::Bool($data) => Tensor::Bool($body),
        }
    };
}
pub(crate) use for_elements;

impl<'a> Operand<'a> {
    /// The operand in the axes of `shape`, repeated along those it lacks.
    pub(crate) fn spread(&self, shape: &Shape) -> Result<Cow<'a, Tensor>, RunError> {
        if self.shape == shape {
            return Ok(Cow::Borrowed(self.tensor));
        }
        Ok(Cow::Owned(
            for_elements!(self.tensor, data => spread(data, self.shape, shape)?),
        ))
    }

    /// The f32 elements in the axes of `shape`.
    pub(crate) fn f32(&self, shape: &Shape) -> Result<Cow<'a, [f32]>, RunError> {
        match self.spread(shape)? {
            Cow::Borrowed(Tensor::F32(data)) => Ok(Cow::Borrowed(data)),
            Cow::Owned(Tensor::F32(data)) => Ok(Cow::Owned(data)),
            _ => Err(broken("the operand is not f32")),
        }
    }

    /// The i32 elements in the axes of `shape`.
    pub(crate) fn i32(&self, shape: &Shape) -> Result<Cow<'a, [i32]>, RunError> {
        match self.spread(shape)? {
            Cow::Borrowed(Tensor::I32(data)) => Ok(Cow::Borrowed(data)),
            Cow::Owned(Tensor::I32(data)) => Ok(Cow::Owned(data)),
            _ => Err(broken("the operand is not i32")),
        }
    }
}

/// Elements as an array of `shape`.
pub(crate) fn view<'a, T>(data: &'a [T], shape: &Shape) -> Result<ArrayViewD<'a, T>, RunError> {
    ArrayViewD::from_shape(IxDyn(&shape.sizes()), data).map_err(|e| broken(&e.to_string()))
}

/// Elements of an array over `from`, in logical order of `to`, repeated along axes that only `to` has.
pub(crate) fn spread<T: Copy>(data: &[T], from: &Shape, to: &Shape) -> Result<Vec<T>, RunError> {
    let source = view(data, from)?;
    let order: Vec<usize> = to.axes().filter_map(|axis| from.position(axis)).collect();
    if order.len() != from.rank() {
        return Err(broken("an axis would be lost"));
    }
    let mut source = source.permuted_axes(IxDyn(&order));
    for (place, axis) in to.axes().enumerate() {
        if !from.has(axis) {
            source = source.insert_axis(ndarray::Axis(place));
        }
    }
    let wide = source.broadcast(IxDyn(&to.sizes()));
    let wide = wide.ok_or_else(|| broken("sizes differ"))?;
    Ok(wide.iter().copied().collect())
}

/// The axes of `shape` that `keep` says, in order.
pub(crate) fn filtered(shape: &Shape, keep: impl Fn(&Axis) -> bool) -> Shape {
    Shape(shape.0.iter().filter(|d| keep(&d.axis)).cloned().collect())
}

/// The axes `names` with their sizes in `shape`, in the order of `names`.
pub(crate) fn named(shape: &Shape, names: &[Axis]) -> Result<Shape, RunError> {
    let dims = names.iter().map(|name| {
        let dim = shape.0.iter().find(|d| &d.axis == name).cloned();
        dim.ok_or_else(|| broken("an axis is missing"))
    });
    dims.collect::<Result<Vec<_>, _>>().map(Shape)
}

/// Axes of both, one behind the other.
pub(crate) fn joined(parts: &[&Shape]) -> Shape {
    Shape(parts.iter().flat_map(|s| s.0.iter().cloned()).collect())
}

/// A program that does not hold its invariants.
pub(crate) fn broken(reason: &str) -> RunError {
    RunError::Device(reason.to_string())
}
