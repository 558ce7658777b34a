//! The geometry of a convolution: which input place each tap of each output place reads.

use std::ops::Range;

use super::Misfit;

/// One spatial axis, in gather form: tap `t` of output place `o` reads input place
/// `(o · stride + t · dilation + offset) / divide`, if that is whole and inside the input; else the term is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Places of the input.
    pub input: usize,
    /// Places of the output.
    pub output: usize,
    /// Places of the kernel.
    pub taps: usize,
    /// Steps from one output place to the next.
    pub stride: usize,
    /// Steps from one tap to the next.
    pub dilation: isize,
    /// Where tap 0 of output 0 stands; minus the padding for a plain convolution.
    pub offset: isize,
    /// Steps per input place; the stride of the plain convolution whose input gradient this is, else 1.
    pub divide: usize,
}

impl Axis {
    /// A plain convolution with `padding` absent places on each side.
    pub fn forward(input: usize, taps: usize, stride: usize, padding: usize) -> Self {
        let room = (input + 2 * padding + 1).saturating_sub(taps);
        let output = room.div_ceil(stride.max(1));
        Self {
            input,
            output,
            taps,
            stride,
            dilation: 1,
            offset: -(padding as isize),
            divide: 1,
        }
    }

    /// An axis of length 1, for convolutions over fewer axes.
    pub fn none() -> Self {
        Self::forward(1, 1, 1, 0)
    }

    /// The axis of the input gradient: the same pairs of places, gathered from the other side.
    pub fn transposed(self) -> Self {
        Self {
            input: self.output,
            output: self.input,
            taps: self.taps,
            stride: self.divide,
            dilation: -self.dilation,
            offset: -self.offset,
            divide: self.stride,
        }
    }

    /// The place `(o · stride + t · dilation + offset)` before the division.
    pub(super) fn step(&self, output: usize, tap: usize) -> isize {
        (output * self.stride) as isize + tap as isize * self.dilation + self.offset
    }

    /// The steps that the given outputs reach, over all taps.
    pub(super) fn steps(&self, outputs: Range<usize>) -> Range<isize> {
        let ends = [
            self.step(outputs.start, 0),
            self.step(outputs.start, self.taps - 1),
        ];
        let width = ((outputs.len() - 1) * self.stride) as isize;
        ends[0].min(ends[1])..ends[0].max(ends[1]) + width + 1
    }

    /// How many phases of outputs differ in the taps that are present.
    pub(super) fn phases(&self) -> usize {
        self.divide / greatest_common_divisor(self.stride, self.divide)
    }

    fn check(&self) -> Result<(), Misfit> {
        const LARGEST: usize = 1 << 28;
        let sizes = [self.input, self.output, self.taps, self.stride, self.divide];
        let steps = [self.dilation.unsigned_abs(), self.offset.unsigned_abs()];
        if self.taps == 0 || self.stride == 0 || self.divide == 0 {
            return Err(Misfit::Geometry("taps, stride and divide must be positive"));
        }
        let small = sizes.iter().chain(&steps).all(|&size| size <= LARGEST);
        if small {
            Ok(())
        } else {
            Err(Misfit::Geometry("a size exceeds 2^28"))
        }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// A convolution over channels-last images: x `[batch, row, column, in]`, weight `[row tap, column tap, in, out]`,
/// y `[batch, row, column, out]`. The contracted index is (row tap, column tap, in).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// The axis of rows.
    pub rows: Axis,
    /// The axis of columns.
    pub columns: Axis,
    /// Channels of x.
    pub in_channels: usize,
    /// Channels of y.
    pub out_channels: usize,
}

impl Convolution {
    /// The convolution that gathers the input gradient from the output gradient, with [`Weight::transposed`].
    pub fn transposed(self) -> Self {
        Self {
            batch: self.batch,
            rows: self.rows.transposed(),
            columns: self.columns.transposed(),
            in_channels: self.out_channels,
            out_channels: self.in_channels,
        }
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.rows.taps * self.columns.taps
    }

    /// Output places of all images.
    pub fn places(&self) -> usize {
        self.batch * self.rows.output * self.columns.output
    }

    pub(super) fn input_length(&self) -> Option<usize> {
        product(&[
            self.batch,
            self.rows.input,
            self.columns.input,
            self.in_channels,
        ])
    }

    pub(super) fn output_length(&self) -> Option<usize> {
        product(&[
            self.batch,
            self.rows.output,
            self.columns.output,
            self.out_channels,
        ])
    }

    pub(super) fn weight_length(&self) -> Option<usize> {
        product(&[
            self.rows.taps,
            self.columns.taps,
            self.in_channels,
            self.out_channels,
        ])
    }

    pub(super) fn check(&self) -> Result<(), Misfit> {
        self.rows.check()?;
        self.columns.check()
    }
}

fn product(sizes: &[usize]) -> Option<usize> {
    let length = sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size));
    length.filter(|&length| length <= isize::MAX as usize / size_of::<f32>())
}

pub(super) fn check_length(
    role: &'static str,
    length: usize,
    needed: Option<usize>,
) -> Result<(), Misfit> {
    if needed.is_some_and(|needed| needed <= length) {
        Ok(())
    } else {
        Err(Misfit::TooShort(role))
    }
}

/// A weight to read: element (tap, in, out) lies at `tap · tap_stride + in · in_stride + out · out_stride`.
#[derive(Clone, Copy)]
pub struct Weight<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Elements from one tap to the next, row taps outermost.
    pub tap_stride: usize,
    /// Elements from one contracted channel to the next.
    pub in_stride: usize,
    /// Elements from one output channel to the next.
    pub out_stride: usize,
}

impl<'a> Weight<'a> {
    /// The stored weight of a convolution, `[row tap, column tap, in, out]`.
    pub fn of(convolution: &Convolution, data: &'a [f32]) -> Self {
        let (inputs, outputs) = (convolution.in_channels, convolution.out_channels);
        Self {
            data,
            tap_stride: inputs * outputs,
            in_stride: outputs,
            out_stride: 1,
        }
    }

    /// The same weight as the input gradient reads it, with its channels exchanged.
    pub fn transposed(self) -> Self {
        Self {
            in_stride: self.out_stride,
            out_stride: self.in_stride,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(axis: &Axis, output: usize, tap: usize) -> Option<usize> {
        let step = axis.step(output, tap);
        let place = step.div_euclid(axis.divide as isize);
        let whole = step.rem_euclid(axis.divide as isize) == 0;
        (whole && (0..axis.input as isize).contains(&place)).then_some(place as usize)
    }

    #[test]
    fn transposing_keeps_the_pairs() {
        for (input, taps, stride, padding) in [
            (8, 3, 1, 1),
            (8, 3, 2, 1),
            (7, 4, 3, 2),
            (5, 1, 2, 0),
            (28, 5, 1, 0),
        ] {
            let axis = Axis::forward(input, taps, stride, padding);
            let back = axis.transposed();
            assert_eq!(back.transposed(), axis);
            for tap in 0..taps {
                for output in 0..axis.output {
                    for place in 0..input {
                        let forth = source(&axis, output, tap) == Some(place);
                        assert_eq!(forth, source(&back, place, tap) == Some(output));
                    }
                }
            }
        }
    }

    #[test]
    fn forward_sizes_are_the_usual_ones() {
        assert_eq!(Axis::forward(8, 3, 1, 1).output, 8);
        assert_eq!(Axis::forward(8, 3, 2, 1).output, 4);
        assert_eq!(Axis::forward(28, 5, 1, 0).output, 24);
        assert_eq!(Axis::forward(2, 5, 1, 1).output, 0);
    }
}
