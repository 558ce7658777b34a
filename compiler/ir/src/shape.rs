//! Named axes, sizes and element types.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The name of an axis, such as `batch` or `channel`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Axis(Arc<str>);

impl Axis {
    /// An axis called `name`.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Axis {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One axis with its size in elements.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dim {
    /// The axis.
    pub axis: Axis,
    /// Its number of elements.
    pub size: usize,
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.axis, self.size)
    }
}

/// The axes of a value, outermost first, in logical order: element numbers count in this order, whatever the memory layout.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// The shape without axes: one element.
    pub fn scalar() -> Self {
        Self(Vec::new())
    }

    /// A shape from `(axis, size)` pairs.
    pub fn of(dims: &[(&str, usize)]) -> Self {
        Self(
            dims.iter()
                .map(|(axis, size)| Dim {
                    axis: Axis::new(axis),
                    size: *size,
                })
                .collect(),
        )
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.0.iter().map(|d| d.size).product()
    }

    /// Place of `axis`, outermost 0.
    pub fn position(&self, axis: &Axis) -> Option<usize> {
        self.0.iter().position(|d| &d.axis == axis)
    }

    /// Size of `axis`, if the shape has it.
    pub fn size(&self, axis: &Axis) -> Option<usize> {
        self.0.iter().find(|d| &d.axis == axis).map(|d| d.size)
    }

    /// Whether the shape has `axis`.
    pub fn has(&self, axis: &Axis) -> bool {
        self.position(axis).is_some()
    }

    /// The axes, outermost first.
    pub fn axes(&self) -> impl Iterator<Item = &Axis> {
        self.0.iter().map(|d| &d.axis)
    }

    /// The sizes, outermost first.
    pub fn sizes(&self) -> Vec<usize> {
        self.0.iter().map(|d| d.size).collect()
    }

    /// The shape without the axes of `gone`, order kept.
    pub fn without(&self, gone: &[Axis]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|d| !gone.contains(&d.axis))
                .cloned()
                .collect(),
        )
    }

    /// This shape followed by the axes that only `other` has. Sizes of shared axes must agree (the caller checks).
    pub fn union(&self, other: &Self) -> Self {
        let mut dims = self.0.clone();
        dims.extend(other.0.iter().filter(|d| !self.has(&d.axis)).cloned());
        Self(dims)
    }

    /// Row-major strides in elements, in axis order.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for i in (1..self.rank()).rev() {
            strides[i - 1] = strides[i] * self.0[i].size;
        }
        strides
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// The type of one element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// Two's complement 32-bit integer; ChaCha words are carried in it bit by bit.
    I32,
    /// Unsigned byte, in data columns only.
    U8,
    /// Truth value, stored as one byte 0 or 1.
    Bool,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::U8 | Self::Bool => 1,
        }
    }

    /// The name in text forms.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }
}

/// Element type and axes of a value.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Type {
    /// Element type.
    pub dtype: DType,
    /// Axes in logical order.
    pub shape: Shape,
}

impl Type {
    /// A type of `dtype` elements over `shape`.
    pub fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype, shape }
    }

    /// An `f32` value over `shape`.
    pub fn f32(shape: Shape) -> Self {
        Self::new(DType::F32, shape)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype.name())?;
        if self.shape.rank() == 0 {
            return Ok(());
        }
        f.write_str("[")?;
        for (i, dim) in self.shape.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} = {}", dim.axis, dim.size)?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
