//! Look-ups by computed places.

use crate::operand::{Operand, broken, for_elements, joined, named, spread};
use mmh_ir::device::{RunError, Tensor};
use mmh_ir::{Axis, Shape};

/// `table[axis = index]`; axes both have are aligned.
pub(crate) fn gather(
    axis: &Axis,
    operands: &[Operand<'_>],
    shape: &Shape,
) -> Result<Tensor, RunError> {
    let [table, index] = operands else {
        return Err(broken("a look-up takes a table and an index"));
    };
    let looked_up = named(table.shape, std::slice::from_ref(axis))?;
    let rows = table.shape.without(std::slice::from_ref(axis));
    let table = table.spread(&joined(&[&rows, &looked_up]))?;
    let length = looked_up.elements();
    let row_numbers: Vec<usize> = (0..rows.elements()).collect();
    let row_numbers = spread(&row_numbers, &rows, shape)?;
    let index = index.i32(shape)?;
    let places = row_numbers.iter().zip(&*index).map(|(row, &i)| {
        let inside = usize::try_from(i).ok().filter(|&i| i < length);
        let inside = inside.map(|i| row * length + i);
        inside.ok_or_else(|| RunError::IndexRange {
            what: format!("`{axis}` of size {length} (the index is {i})"),
        })
    });
    let places = places.collect::<Result<Vec<_>, _>>()?;
    Ok(for_elements!(&*table, data => places.iter().map(|&p| data[p]).collect()))
}

/// 1.0 where the place along the last axis equals the index, else 0.0.
pub(crate) fn one_hot(operand: Operand<'_>, shape: &Shape) -> Result<Tensor, RunError> {
    let size = shape.0.last().map_or(0, |d| d.size);
    let index = operand.i32(operand.shape)?;
    let places = index.iter().flat_map(|&i| {
        (0..size).map(move |place| {
            let equal = usize::try_from(i) == Ok(place);
            if equal { 1.0 } else { 0.0 }
        })
    });
    Ok(Tensor::F32(places.collect()))
}

/// Bilinear samples of an image: along columns first, then rows; outside is +0.
pub(crate) fn sample(
    row: &Axis,
    column: &Axis,
    operands: &[Operand<'_>],
    shape: &Shape,
) -> Result<Tensor, RunError> {
    let [image, row_place, column_place] = operands else {
        return Err(broken("a sample takes an image and two places"));
    };
    let plane = named(image.shape, &[row.clone(), column.clone()])?;
    let others = image.shape.without(&[row.clone(), column.clone()]);
    let data = image.f32(&joined(&[&others, &plane]))?;
    let (height, width) = (plane.0[0].size, plane.0[1].size);
    let planes: Vec<usize> = (0..others.elements()).collect();
    let planes = spread(&planes, &others, shape)?;
    let rows = row_place.f32(shape)?;
    let columns = column_place.f32(shape)?;
    let samples = planes.iter().zip(rows.iter().zip(&*columns));
    let samples = samples.map(|(plane, (&y, &x))| {
        let plane = &data[plane * height * width..(plane + 1) * height * width];
        bilinear(plane, (height, width), y, x)
    });
    Ok(Tensor::F32(samples.collect()))
}

fn bilinear(plane: &[f32], (height, width): (usize, usize), y: f32, x: f32) -> f32 {
    let pixel = |row: i32, column: i32| {
        let row = usize::try_from(row).ok().filter(|&r| r < height);
        let column = usize::try_from(column).ok().filter(|&c| c < width);
        row.zip(column).map_or(0.0, |(r, c)| plane[r * width + c])
    };
    mmh_numerics::sample::bilinear(y, x, pixel)
}
