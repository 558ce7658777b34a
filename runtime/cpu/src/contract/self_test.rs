//! The test that an instruction set passes before it works: every tile kernel on constructed traps, bit for bit.

use super::gemm::gemm;
use super::kernel::{Kernels, LINE, WIDE_TILE, kernels_of};
use super::operand::{Gemm, Operand, Output};
use super::scalar::soft_fma;
use super::tiling::Panels;
use super::{Context, K_BLOCK};
use crate::isa::{Isa, Refusal};
use crate::pool::Pool;

/// Operands whose products separate a fused from an unfused multiply-add, single from double rounding, kept from
/// flushed subnormals, and +0 from −0.
const TRAPS: [f32; 17] = [
    1.000_000_1,
    0.999_999_94,
    -1.000_000_1,
    3.0e-23,
    -4.0e-23,
    1.0e-38,
    1.0e-45,
    -2.5,
    0.1,
    4_095.999_8,
    -4_096.0,
    1.0,
    -0.0,
    0.333_333_34,
    -7.000_001,
    5.960_464_5e-8,
    1.5,
];

/// 2 to the power `exponent`, times `scale`.
const fn power(scale: f32, exponent: i32) -> f32 {
    scale * f32::from_bits(((127 + exponent) as u32) << 23)
}

/// `fma` in bits: operands, then the result, from the definition by exact arithmetic.
const FUSED: [(f32, f32, f32, u32); 6] = [
    // (1 + 2⁻²³)² − (1 + 2⁻²²) = 2⁻⁴⁶; unfused it is 0.
    (
        1.0 + f32::EPSILON,
        1.0 + f32::EPSILON,
        -1.0 - 2.0 * f32::EPSILON,
        0x2880_0000,
    ),
    // 2⁻¹⁵² vanishes beside the smallest subnormal; 2⁻¹⁵⁰ makes a tie, which goes to even.
    (
        power(1.0, -76),
        power(1.0, -76),
        f32::from_bits(1),
        0x0000_0001,
    ),
    (
        power(1.0, -75),
        power(1.0, -75),
        f32::from_bits(1),
        0x0000_0002,
    ),
    // Half the smallest subnormal ties to even, which is −0 here.
    (power(-1.0, -75), power(1.0, -75), 0.0, 0x8000_0000),
    // 1 + 2⁻²⁴ + 2⁻⁷⁰ is above the tie; rounded to double first, it would lose its last part and go down.
    (
        power(8_384_513.0, -35),
        power(8_392_705.0, -35),
        1.0,
        0x3f80_0001,
    ),
    (-0.0, 1.0, -0.0, 0x8000_0000),
];

/// Tests the kernels of an instruction set that the processor reports.
pub(crate) fn self_test(isa: Isa) -> Result<(), Refusal> {
    let kernels = kernels_of(isa).ok_or(Refusal::Absent(isa))?;
    let right = |&(a, b, c, bits): &(f32, f32, f32, u32)| soft_fma(a, b, c).to_bits() == bits;
    if !FUSED.iter().all(right) {
        return Err(Refusal::OtherBits(isa, "software fma"));
    }
    let pool = Pool::new(1);
    let context = Context {
        pool: &pool,
        kernels,
    };
    every_tile(&context, kernels)
}

fn every_tile(context: &Context<'_>, kernels: &Kernels) -> Result<(), Refusal> {
    for (place, heights) in kernels.tiles.iter().enumerate() {
        for height in 1..=heights.len() {
            // Odd widths and heights reach the tail of the last vector, transposed operands the copying.
            let n = (place + 1) * kernels.lanes - height % 3;
            let k = if height == 2 { K_BLOCK + 9 } else { 7 };
            if !same(context, height, n, k, height % 2 == 0) {
                return Err(Refusal::OtherBits(kernels.isa, "tiles"));
            }
        }
    }
    // Several panels, read in place: tiles that fetch for the next one.
    let columns = (kernels.tiles.len() + 2) * kernels.lanes;
    let panels = Panels::new(kernels, columns);
    for height in 1..=panels.rows {
        if panels.width >= WIDE_TILE && !same(context, height, columns, LINE + 1, false) {
            return Err(Refusal::OtherBits(kernels.isa, "tiles"));
        }
    }
    Ok(())
}

/// Whether a product of traps has the bits of the definition.
fn same(context: &Context<'_>, m: usize, n: usize, k: usize, transposed: bool) -> bool {
    let trap = |place: usize| TRAPS[place % TRAPS.len()];
    let a: Vec<f32> = (0..m * k)
        .map(|place| trap(place * 5 + place / 11))
        .collect();
    let b: Vec<f32> = (0..k * n)
        .map(|place| trap(place * 3 + place / 7))
        .collect();
    let operand = |data, rows, columns| match transposed {
        true => Operand::transposed(data, rows),
        false => Operand::rows(data, columns),
    };
    let (left, right) = (operand(&a, m, k), operand(&b, k, n));
    let mut c = vec![f32::NAN; m * n];
    if gemm(
        context,
        &Gemm::single(m, n, k),
        left,
        right,
        Output::rows(&mut c, n),
    )
    .is_err()
    {
        return false;
    }
    let expected = definition(&left, &right, k, soft_fma);
    (0..m * n).all(|place| c[place].to_bits() == expected(place / n, place % n).to_bits())
}

/// An element of a product, with any fused multiply-add.
fn definition<'a>(
    left: &'a Operand<'a>,
    right: &'a Operand<'a>,
    k: usize,
    fma: fn(f32, f32, f32) -> f32,
) -> impl Fn(usize, usize) -> f32 {
    let element = |operand: &Operand<'_>, i: usize, j: usize| {
        operand.data[i * operand.row_stride + j * operand.column_stride]
    };
    move |i, j| {
        let block = |start: usize| {
            let indices = start..k.min(start + K_BLOCK);
            indices.fold(0.0, |sum, l| {
                fma(element(left, i, l), element(right, l, j), sum)
            })
        };
        (0..k)
            .step_by(K_BLOCK)
            .fold(0.0, |sum: f32, start| sum + block(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::kernel::{SCALAR, WIDE};
    use crate::contract::{Axis, Convolution, Weight, convolution, weight_gradient};

    #[test]
    fn the_literals_are_the_bits_of_fma() {
        for (a, b, c, bits) in FUSED {
            assert_eq!(a.mul_add(b, c).to_bits(), bits, "fma({a:e}, {b:e}, {c:e})");
        }
    }

    #[test]
    fn traps_tell_a_fused_from_an_unfused_chain() {
        let mut different = 0;
        for (a, b) in TRAPS.into_iter().flat_map(|a| TRAPS.map(|b| (a, b))) {
            different += TRAPS
                .into_iter()
                .filter(|&c| soft_fma(a, b, c) != a * b + c)
                .count();
        }
        assert!(different > 200, "{different}");
    }

    #[test]
    fn tiles_in_the_shape_of_avx512_are_right() {
        let pool = Pool::new(2);
        let [wide, narrow] = [&WIDE, &SCALAR].map(|kernels| Context {
            pool: &pool,
            kernels,
        });
        assert_eq!(every_tile(&wide, &WIDE), Ok(()));
        let sizes = [
            (41, 37, 69),
            (3, 100, 5),
            (130, 33, 300),
            (27, 5, 1),
            (14, 64, 2),
        ];
        assert!(
            sizes
                .into_iter()
                .all(|(m, n, k)| same(&wide, m, n, k, true) && same(&wide, m, n, k, false))
        );
        let values = |count: usize| {
            (0..count)
                .map(|place| TRAPS[place * 5 % TRAPS.len()])
                .collect::<Vec<_>>()
        };
        for (size, stride, channels, out_channels) in [
            (8, 1, 24, 48),
            (8, 2, 24, 48),
            (5, 1, 3, 10),
            (50, 1, 9, 17),
        ] {
            let axis = Axis::forward(size, 3, stride, 1);
            let geometry = Convolution {
                batch: 3,
                rows: axis,
                columns: axis,
                in_channels: channels,
                out_channels,
            };
            let (x, data) = (
                values(3 * size * size * channels),
                values(9 * channels * out_channels),
            );
            let dy = values(geometry.places() * out_channels);
            let bits = |context: &Context<'_>| {
                let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), data.clone());
                let weight = Weight::of(&geometry, &data);
                convolution(context, &geometry, &x, weight, &mut y).expect("sizes fit");
                convolution(
                    context,
                    &geometry.transposed(),
                    &dy,
                    weight.transposed(),
                    &mut dx,
                )
                .expect("sizes fit");
                weight_gradient(context, &geometry, &x, &dy, &mut dw).expect("sizes fit");
                [y, dx, dw]
                    .concat()
                    .into_iter()
                    .map(f32::to_bits)
                    .collect::<Vec<_>>()
            };
            assert!(bits(&wide) == bits(&narrow), "{geometry:?}");
        }
    }

    #[test]
    fn reported_instruction_sets_pass_within_a_millisecond_or_so() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_reported()) {
            let start = std::time::Instant::now();
            assert_eq!(self_test(isa), Ok(()));
            println!("{isa}: {:?}", start.elapsed());
        }
    }
}
