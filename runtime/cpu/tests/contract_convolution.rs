//! Convolutions and their gradients equal their definitions, whatever the instruction set, threads and geometry.

mod contract_support;

use contract_support::{Rng, assert_same, contexts, plain_present};
use mmh_cpu::contract::{Axis, Convolution, Weight, convolution, weight_gradient};

fn source(axis: &Axis, output: usize, tap: usize) -> Option<usize> {
    let step = (output * axis.stride) as isize + tap as isize * axis.dilation + axis.offset;
    let (place, rest) = (
        step.div_euclid(axis.divide as isize),
        step.rem_euclid(axis.divide as isize),
    );
    (rest == 0 && (0..axis.input as isize).contains(&place)).then_some(place as usize)
}

/// The element of x that a tap of an output place reads.
fn left(
    geometry: &Convolution,
    x: &[f32],
    [image, row, column]: [usize; 3],
    tap: usize,
    channel: usize,
) -> Option<f32> {
    let Convolution {
        rows,
        columns,
        in_channels,
        ..
    } = geometry;
    let row = source(rows, row, tap / columns.taps)?;
    let column = source(columns, column, tap % columns.taps)?;
    Some(x[((image * rows.input + row) * columns.input + column) * in_channels + channel])
}

fn place(geometry: &Convolution, place: usize) -> [usize; 3] {
    let (rows, columns) = (geometry.rows.output, geometry.columns.output);
    [
        place / (rows * columns),
        place / columns % rows,
        place % columns,
    ]
}

fn expected(geometry: &Convolution, x: &[f32], weight: &Weight<'_>) -> Vec<f32> {
    let (inputs, outputs) = (geometry.in_channels, geometry.out_channels);
    let element = |index: usize| {
        let at = place(geometry, index / outputs);
        plain_present(geometry.taps() * inputs, |k| {
            let (tap, channel) = (k / inputs, k % inputs);
            let right = tap * weight.tap_stride
                + channel * weight.in_stride
                + index % outputs * weight.out_stride;
            Some((left(geometry, x, at, tap, channel)?, weight.data[right]))
        })
    };
    (0..geometry.places() * outputs).map(element).collect()
}

fn expected_gradient(geometry: &Convolution, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (geometry.in_channels, geometry.out_channels);
    let element = |index: usize| {
        let (tap, channel, output) = (
            index / outputs / inputs,
            index / outputs % inputs,
            index % outputs,
        );
        plain_present(geometry.places(), |k| {
            Some((
                left(geometry, x, place(geometry, k), tap, channel)?,
                dy[k * outputs + output],
            ))
        })
    };
    (0..geometry.taps() * inputs * outputs)
        .map(element)
        .collect()
}

fn check_one(rng: &mut Rng, geometry: &Convolution, transposed_weight: bool) {
    let x = rng.values(
        geometry.batch * geometry.rows.input * geometry.columns.input * geometry.in_channels,
    );
    let data = rng.values(geometry.taps() * geometry.in_channels * geometry.out_channels);
    let weight = match transposed_weight {
        true => Weight::of(&geometry.transposed(), &data).transposed(),
        false => Weight::of(geometry, &data),
    };
    let dy = rng.values(geometry.places() * geometry.out_channels);
    let (forward, gradient) = (
        expected(geometry, &x, &weight),
        expected_gradient(geometry, &x, &dy),
    );
    contexts(|context, label| {
        let label = format!("{geometry:?} {label}");
        let mut y = vec![f32::NAN; forward.len()];
        convolution(context, geometry, &x, weight, &mut y).expect("the case fits");
        assert_same(&y, &forward, &label);
        let mut dw = vec![f32::NAN; gradient.len()];
        weight_gradient(context, geometry, &x, &dy, &mut dw).expect("the case fits");
        assert_same(&dw, &gradient, &format!("weight gradient of {label}"));
    });
}

/// A convolution and the convolution of its input gradient.
fn check(rng: &mut Rng, geometry: Convolution) {
    check_one(rng, &geometry, false);
    check_one(rng, &geometry.transposed(), true);
}

#[test]
fn layers_of_small_networks() {
    let mut rng = Rng(11);
    let square = |batch, size, taps, stride, padding, in_channels, out_channels| {
        let axis = Axis::forward(size, taps, stride, padding);
        Convolution {
            batch,
            rows: axis,
            columns: axis,
            in_channels,
            out_channels,
        }
    };
    for geometry in [
        square(7, 8, 3, 1, 1, 1, 24),
        square(5, 8, 3, 1, 1, 24, 24),
        square(5, 8, 3, 2, 1, 24, 48),
        square(9, 4, 3, 1, 1, 48, 48),
        square(2, 14, 3, 1, 1, 32, 10),
        square(3, 28, 5, 1, 0, 1, 6),
        square(4, 6, 1, 1, 0, 17, 33),
        square(4, 7, 1, 2, 0, 5, 9),
        square(1, 1, 1, 1, 0, 300, 3),
        square(1, 2, 2, 2, 0, 600, 20),
    ] {
        check(&mut rng, geometry);
    }
}

#[test]
fn random_geometries() {
    let mut rng = Rng(12);
    for _ in 0..120 {
        let mut axis = || {
            let (taps, stride, padding) = (1 + rng.below(4), 1 + rng.below(3), rng.below(3));
            let mut axis = Axis::forward(1 + rng.below(9), taps, stride, padding);
            if rng.below(3) == 0 {
                axis.dilation = [-2, -1, 2, 3][rng.below(4)];
                axis.divide = 1 + rng.below(3);
                axis.output = 1 + rng.below(6);
            }
            axis
        };
        let (rows, columns) = (axis(), axis());
        let geometry = Convolution {
            batch: rng.below(4),
            rows,
            columns,
            in_channels: 1 + rng.below(20),
            out_channels: 1 + rng.below(40),
        };
        check_one(&mut rng, &geometry, false);
        if rng.below(3) == 0 {
            check_one(&mut rng, &geometry.transposed(), true);
        }
    }
}

#[test]
fn images_larger_than_a_window_and_one_axis() {
    let mut rng = Rng(13);
    let line = Axis::forward(700, 5, 2, 2);
    check(
        &mut rng,
        Convolution {
            batch: 2,
            rows: Axis::none(),
            columns: line,
            in_channels: 6,
            out_channels: 8,
        },
    );
    let (rows, columns) = (Axis::forward(40, 3, 1, 1), Axis::forward(45, 3, 2, 1));
    check(
        &mut rng,
        Convolution {
            batch: 1,
            rows,
            columns,
            in_channels: 24,
            out_channels: 5,
        },
    );
    check(
        &mut rng,
        Convolution {
            batch: 1,
            rows,
            columns: Axis::none(),
            in_channels: 700,
            out_channels: 3,
        },
    );
}

#[test]
fn contractions_of_more_than_one_group() {
    let mut rng = Rng(14);
    // 3 · 3 · 8000 = 72,000 contracted indices forward, 260 · 260 = 67,600 in the weight gradient.
    let small = Axis::forward(2, 3, 1, 1);
    check_one(
        &mut rng,
        &Convolution {
            batch: 1,
            rows: small,
            columns: small,
            in_channels: 8000,
            out_channels: 3,
        },
        false,
    );
    let large = Axis::forward(260, 1, 1, 0);
    check_one(
        &mut rng,
        &Convolution {
            batch: 1,
            rows: large,
            columns: large,
            in_channels: 1,
            out_channels: 2,
        },
        false,
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    contexts(|context, _| {
        let axis = Axis::forward(3, 2, 1, 0);
        let geometry = Convolution {
            batch: 1,
            rows: axis,
            columns: axis,
            in_channels: 1,
            out_channels: 1,
        };
        let (x, data, mut y) = ([0.0; 9], [0.0; 4], [0.0; 4]);
        let mut fits = |geometry: &Convolution, x: &[f32], data: &[f32], length: usize| {
            convolution(
                context,
                geometry,
                x,
                Weight::of(geometry, data),
                &mut y[..length],
            )
            .is_ok()
        };
        assert!(fits(&geometry, &x, &data, 4));
        assert!(!fits(&geometry, &x[1..], &data, 4));
        assert!(!fits(&geometry, &x, &data[1..], 4));
        assert!(!fits(&geometry, &x, &data, 3));
        assert!(!fits(
            &Convolution {
                rows: Axis { stride: 0, ..axis },
                ..geometry
            },
            &x,
            &data,
            4
        ));
        assert!(!fits(
            &Convolution {
                rows: Axis {
                    offset: isize::MIN,
                    ..axis
                },
                ..geometry
            },
            &x,
            &data,
            4
        ));
    });
}
