//! Bilinear sampling of pictures.

/// The picture at row place `y`, column place `x`: along columns first, then rows, each blend `fma(t, b − a, a)`.
/// `pixel(row, column)` gives the elements, +0 outside.
#[inline(always)]
pub fn bilinear(y: f32, x: f32, pixel: impl Fn(i32, i32) -> f32) -> f32 {
    let (top, left) = (y.floor(), x.floor());
    let (down, across) = (y - top, x - left);
    let (row, column) = (top as i32, left as i32);
    let blend = |t: f32, a: f32, b: f32| t.mul_add(b - a, a);
    let line = |row: i32| {
        blend(
            across,
            pixel(row, column),
            pixel(row, column.wrapping_add(1)),
        )
    };
    blend(down, line(row), line(row.wrapping_add(1)))
}
