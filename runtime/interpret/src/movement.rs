//! Operations that only move elements.

use crate::operand::{Operand, broken, for_elements, view};
use mmh_ir::device::{RunError, Tensor};
use mmh_ir::{Axis, Shape, Window};
use ndarray::{ArrayD, ArrayViewD, Axis as Place, IxDyn, Slice};

/// Elements `start, start + step, …` along `axis`, as many as `shape` has.
pub(crate) fn slice(
    operand: Operand<'_>,
    axis: &Axis,
    start: usize,
    step: usize,
    shape: &Shape,
) -> Result<Tensor, RunError> {
    let place = place(operand.shape, axis)?;
    let picked = picked(start, step, size(shape, axis)?);
    Ok(for_elements!(operand.tensor, data => {
        let source = view(data, operand.shape)?;
        source.slice_axis(place, picked).iter().copied().collect()
    }))
}

/// Elements at places `before, before + step, …` of `axis`, zeros elsewhere.
pub(crate) fn pad(
    operand: Operand<'_>,
    axis: &Axis,
    before: usize,
    step: usize,
    shape: &Shape,
) -> Result<Tensor, RunError> {
    let place = place(operand.shape, axis)?;
    let picked = picked(before, step, size(operand.shape, axis)?);
    Ok(for_elements!(operand.tensor, data => {
        let mut result = ArrayD::default(IxDyn(&shape.sizes()));
        result.slice_axis_mut(place, picked).assign(&view(data, operand.shape)?);
        elements(result)
    }))
}

fn picked(start: usize, step: usize, count: usize) -> Slice {
    let end = if count == 0 {
        start
    } else {
        start + (count - 1) * step + 1
    };
    Slice::new(
        start.cast_signed(),
        Some(end.cast_signed()),
        step.cast_signed(),
    )
}

/// The operands one behind another along `axis`.
pub(crate) fn concat(operands: &[Operand<'_>], axis: &Axis) -> Result<Tensor, RunError> {
    let first = operands
        .first()
        .ok_or_else(|| broken("nothing to concatenate"))?;
    let place = place(first.shape, axis)?;
    macro_rules! joined {
        ($variant:ident) => {{
            let parts = operands.iter().map(|operand| match operand.tensor {
                Tensor::$variant(data) => view(data, operand.shape),
                _ => Err(broken("element types differ")),
            });
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            let all = ndarray::concatenate(place, &parts).map_err(|e| broken(&e.to_string()))?;
            Ok(Tensor::$variant(elements(all)))
        }};
    }
    match first.tensor {
        Tensor::F32(_) => joined!(F32),
        Tensor::I32(_) => joined!(I32),
        Tensor::U8(_) => joined!(U8),
        Tensor::Bool(_) => joined!(Bool),
    }
}

/// Windows along one axis, as [`Window`] defines them.
pub(crate) fn window(
    operand: Operand<'_>,
    window: &Window,
    shape: &Shape,
) -> Result<Tensor, RunError> {
    let fill = window.fill.0;
    Ok(match operand.tensor {
        Tensor::F32(data) => Tensor::F32(windows(data, operand.shape, window, shape, fill)?),
        Tensor::I32(data) => Tensor::I32(windows(data, operand.shape, window, shape, fill as i32)?),
        Tensor::U8(data) => Tensor::U8(windows(data, operand.shape, window, shape, fill as u8)?),
        Tensor::Bool(data) => Tensor::Bool(windows(
            data,
            operand.shape,
            window,
            shape,
            u8::from(fill != 0.0),
        )?),
    })
}

fn windows<T: Copy>(
    data: &[T],
    from: &Shape,
    window: &Window,
    shape: &Shape,
    fill: T,
) -> Result<Vec<T>, RunError> {
    let source = with_last(view(data, from)?, from, std::slice::from_ref(&window.axis))?;
    let length = size(from, &window.axis)?;
    let mut result = ArrayD::from_elem(IxDyn(&shape.sizes()), fill);
    // The result's other axes follow the operand's order, whatever places the window axes have.
    let rest = from.without(std::slice::from_ref(&window.axis));
    let places = shape.without(&[window.out.clone(), window.tap.clone()]);
    if !rest.axes().eq(places.axes()) {
        return Err(broken("a window keeps the order of the other axes"));
    }
    for out in 0..size(shape, &window.out)? {
        for tap in 0..size(shape, &window.tap)? {
            if let Some(at) = source_place(window, out, tap, length) {
                let mut target = result.view_mut();
                for (place, at) in window_places(shape, window, out, tap)? {
                    target.index_axis_inplace(place, at);
                }
                target.assign(&source.index_axis(Place(rest.rank()), at));
            }
        }
    }
    Ok(elements(result))
}

/// The window axes' places with their indices, the later place first, so that removing one leaves the other.
fn window_places(
    shape: &Shape,
    window: &Window,
    out: usize,
    tap: usize,
) -> Result<[(Place, usize); 2], RunError> {
    let mut places = [
        (place(shape, &window.out)?, out),
        (place(shape, &window.tap)?, tap),
    ];
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.0));
    Ok(places)
}

/// Where element `(out, tap)` is read, if it is not absent.
fn source_place(window: &Window, out: usize, tap: usize, length: usize) -> Option<usize> {
    let (out, tap) = (i64::try_from(out).ok()?, i64::try_from(tap).ok()?);
    let at = out * window.stride + tap * window.dilation + window.offset;
    let whole = at.rem_euclid(window.divide) == 0;
    let at = usize::try_from(at.div_euclid(window.divide)).ok()?;
    (whole && at < length).then_some(at)
}

/// The array with the axes `last` moved behind the others.
fn with_last<'a, T>(
    array: ArrayViewD<'a, T>,
    shape: &Shape,
    last: &[Axis],
) -> Result<ArrayViewD<'a, T>, RunError> {
    let ahead = shape.axes().filter(|axis| !last.contains(axis));
    let order: Option<Vec<usize>> = ahead.chain(last).map(|axis| shape.position(axis)).collect();
    let order = order.ok_or_else(|| broken("an axis is missing"))?;
    Ok(array.permuted_axes(IxDyn(&order)))
}

/// Elements in logical order.
fn elements<T: Copy>(array: ArrayD<T>) -> Vec<T> {
    array.iter().copied().collect()
}

fn place(shape: &Shape, axis: &Axis) -> Result<Place, RunError> {
    let place = shape.position(axis).map(Place);
    place.ok_or_else(|| broken(&format!("axis `{axis}` is missing")))
}

fn size(shape: &Shape, axis: &Axis) -> Result<usize, RunError> {
    let size = shape.size(axis);
    size.ok_or_else(|| broken(&format!("axis `{axis}` is missing")))
}
