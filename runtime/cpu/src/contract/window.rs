//! A padded copy of the part of an input that some output places read, so that no tap is ever outside.

use std::ops::Range;

use super::geometry::Convolution;

/// The columns of a window, and how a place of the window maps to the input.
#[derive(Clone)]
pub(super) struct Frame {
    /// Columns of the window, as input places; may lie outside the input. Only every `stride`-th is kept.
    pub(super) columns: Range<isize>,
    pub(super) stride: usize,
    /// Window places per input place, per axis: above 1, zeros stand between the input's places.
    pub(super) spread: [usize; 2],
}

impl Frame {
    /// Floats in one row of the window.
    pub(super) fn row_length(&self, convolution: &Convolution) -> usize {
        self.columns.len().div_ceil(self.stride) * convolution.in_channels
    }

    /// Whether the input itself can serve: nothing outside it is read.
    pub(super) fn is_inside(&self, convolution: &Convolution, rows: &Range<isize>) -> bool {
        let inside =
            |places: &Range<isize>, input: usize| places.start >= 0 && places.end <= input as isize;
        self.spread == [1, 1]
            && self.stride == 1
            && inside(&self.columns, convolution.columns.input)
            && inside(rows, convolution.rows.input)
    }

    /// Copies window row `row` of one image to `to`, zeros where the input has no place.
    pub(super) fn copy(
        &self,
        convolution: &Convolution,
        image: &[f32],
        row: isize,
        to: &mut [f32],
    ) {
        let row_length = convolution.columns.input * convolution.in_channels;
        match place(row, self.spread[0], convolution.rows.input) {
            Some(row) => self.copy_row(convolution, &image[row * row_length..][..row_length], to),
            None => to.fill(0.0),
        }
    }

    fn copy_row(&self, convolution: &Convolution, row: &[f32], to: &mut [f32]) {
        let channels = convolution.in_channels;
        if self.spread[1] == 1 && self.stride == 1 {
            let input = convolution.columns.input as isize;
            let (start, end) = (
                self.columns.start.clamp(0, input),
                self.columns.end.clamp(0, input),
            );
            let before = ((start - self.columns.start).max(0) as usize * channels).min(to.len());
            let (left, rest) = to.split_at_mut(before);
            let (middle, right) = rest.split_at_mut((end - start) as usize * channels);
            left.fill(0.0);
            middle.copy_from_slice(&row[start as usize * channels..end as usize * channels]);
            right.fill(0.0);
            return;
        }
        for (column, to) in self
            .columns
            .clone()
            .step_by(self.stride)
            .zip(to.chunks_exact_mut(channels.max(1)))
        {
            match place(column, self.spread[1], convolution.columns.input) {
                Some(column) => to.copy_from_slice(&row[column * channels..][..channels]),
                None => to.fill(0.0),
            }
        }
    }
}

/// The input place at a window place, if there is one.
fn place(window: isize, spread: usize, input: usize) -> Option<usize> {
    let window = usize::try_from(window).ok()?;
    (window.is_multiple_of(spread) && window / spread < input).then_some(window / spread)
}
