//! A typed column: one value, or one vector of values, a row.

/// Which elements of a column are marked; one bit an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` elements, none marked.
    pub fn new(len: usize) -> Self {
        Bitmap {
            words: vec![0; len.div_ceil(64)],
            len,
        }
    }

    /// Whether element `i` is marked; false past the end.
    pub fn get(&self, i: usize) -> bool {
        i < self.len
            && self
                .words
                .get(i / 64)
                .is_some_and(|word| word >> (i % 64) & 1 == 1)
    }

    /// Marks element `i`; nothing happens past the end.
    pub fn set(&mut self, i: usize) {
        if i < self.len
            && let Some(word) = self.words.get_mut(i / 64)
        {
            *word |= 1 << (i % 64);
        }
    }

    /// How many elements are marked.
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// The number of elements, marked or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bits, element i in bit i mod 64 of word i / 64; bits past the end are 0.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

/// The elements of a column, row after row, each row in row-major order of the column's shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers, each rounded once from what the file holds; finite; +0 where missing.
    F32(Vec<f32>),
    /// Bytes, kept as bytes so that pictures stay small.
    U8(Vec<u8>),
    /// Whole numbers; 0 where missing.
    I32(Vec<i32>),
    /// Categories: indices into `levels`; 0 where missing.
    Class {
        /// The names of the categories, sorted: as numbers if all are whole numbers, else by their UTF-8 bytes.
        levels: Vec<String>,
        /// One index a row.
        ids: Vec<u32>,
    },
}

impl Values {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::U8(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::Class { ids, .. } => ids.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named column of `rows()` rows with `width()` elements each.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name it was asked for by.
    pub name: String,
    /// The axes of one row; empty for one value a row.
    pub shape: Vec<u32>,
    /// The elements.
    pub values: Values,
    /// Which elements are missing; `None` where none is.
    pub missing: Option<Bitmap>,
}

impl Column {
    /// Elements a row: the product of the shape, 1 for an empty one.
    pub fn width(&self) -> usize {
        self.shape.iter().map(|&size| size as usize).product()
    }

    /// Rows: elements divided by the width.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width()).unwrap_or(0)
    }

    /// Whether element `i` (row · width + place in the row) is missing.
    pub fn is_missing(&self, i: usize) -> bool {
        self.missing.as_ref().is_some_and(|missing| missing.get(i))
    }

    /// Element `i` as an exact f64, a class as its index; `None` if missing or past the end.
    pub fn number(&self, i: usize) -> Option<f64> {
        if self.is_missing(i) {
            return None;
        }
        match &self.values {
            Values::F32(values) => values.get(i).map(|&value| f64::from(value)),
            Values::U8(values) => values.get(i).map(|&value| f64::from(value)),
            Values::I32(values) => values.get(i).map(|&value| f64::from(value)),
            Values::Class { ids, .. } => ids.get(i).map(|&id| f64::from(id)),
        }
    }

    /// The number of classes; `None` for a column of numbers.
    pub fn classes(&self) -> Option<usize> {
        match &self.values {
            Values::Class { levels, .. } => Some(levels.len()),
            Values::F32(_) | Values::U8(_) | Values::I32(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_keeps_to_its_length() {
        let mut bits = Bitmap::new(65);
        bits.set(0);
        bits.set(64);
        bits.set(65);
        assert_eq!(
            (bits.count(), bits.len(), bits.words()),
            (2, 65, &[1, 1][..])
        );
        assert!(bits.get(64) && !bits.get(63) && !bits.get(65) && !bits.get(usize::MAX));
    }

    #[test]
    fn a_column_knows_rows_and_width() {
        let mut missing = Bitmap::new(8);
        missing.set(3);
        let column = Column {
            name: "x".into(),
            shape: vec![2, 2],
            values: Values::U8(vec![1, 2, 3, 0, 5, 6, 7, 8]),
            missing: Some(missing),
        };
        assert_eq!(
            (column.width(), column.rows(), column.classes()),
            (4, 2, None)
        );
        assert_eq!(
            (column.number(2), column.number(3), column.number(8)),
            (Some(3.0), None, None)
        );
    }
}
