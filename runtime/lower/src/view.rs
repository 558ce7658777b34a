//! Where the elements of a value lie: a buffer, an offset and a stride for every axis.

use mmh_ir::{Axis, Shape};

/// Number of a buffer in a [`crate::Schedule`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BufferId(pub u32);

impl BufferId {
    /// As an index into [`crate::Schedule::buffers`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One axis of a view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lane {
    /// The axis.
    pub axis: Axis,
    /// Its number of elements.
    pub size: usize,
    /// Elements between neighbours; 0 where the value is repeated.
    pub stride: isize,
}

/// The place of a value's elements, axes in logical order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The memory.
    pub buffer: BufferId,
    /// First element.
    pub offset: usize,
    /// Axes.
    pub lanes: Vec<Lane>,
}

impl View {
    /// A value of `shape` that fills a buffer, axes stored in `layout` order.
    pub fn dense(buffer: BufferId, shape: &Shape, layout: &[Axis]) -> Self {
        let mut stride = 1isize;
        let mut strides: Vec<(Axis, isize)> = Vec::new();
        for axis in layout.iter().rev() {
            strides.push((axis.clone(), stride));
            stride *= shape.size(axis).unwrap_or(1) as isize;
        }
        let find = |axis: &Axis| {
            strides
                .iter()
                .find(|(a, _)| a == axis)
                .map_or(0, |(_, s)| *s)
        };
        let lanes = shape
            .0
            .iter()
            .map(|d| Lane {
                axis: d.axis.clone(),
                size: d.size,
                stride: find(&d.axis),
            })
            .collect();
        Self {
            buffer,
            offset: 0,
            lanes,
        }
    }

    /// The axis of that name.
    pub fn lane(&self, axis: &Axis) -> Option<&Lane> {
        self.lanes.iter().find(|l| &l.axis == axis)
    }

    /// Stride along `axis`, 0 where the view lacks it.
    pub fn stride(&self, axis: &Axis) -> isize {
        self.lane(axis)
            .map_or(0, |l| if l.size == 1 { 0 } else { l.stride })
    }

    /// With axes of `shape`, in its order; new ones repeat.
    pub fn broadcast(&self, shape: &Shape) -> Self {
        let lanes = shape.0.iter().map(|d| {
            let stride = self.lane(&d.axis).map_or(0, |l| l.stride);
            Lane {
                axis: d.axis.clone(),
                size: d.size,
                stride,
            }
        });
        Self {
            lanes: lanes.collect(),
            ..self.clone()
        }
    }

    /// With axis `from` called `to`.
    pub fn rename(&self, from: &Axis, to: &Axis) -> Self {
        let mut view = self.clone();
        for lane in view.lanes.iter_mut().filter(|l| &l.axis == from) {
            lane.axis = to.clone();
        }
        view
    }

    /// Elements `start, start + step, …` (`size` of them) of `axis`.
    pub fn slice(&self, axis: &Axis, start: usize, step: usize, size: usize) -> Self {
        let mut view = self.clone();
        for lane in view.lanes.iter_mut().filter(|l| &l.axis == axis) {
            view.offset = view
                .offset
                .wrapping_add_signed(start as isize * lane.stride);
            lane.stride *= step as isize;
            lane.size = size;
        }
        view
    }

    /// `axis` taken apart into `into` (sizes from `shape`).
    pub fn split(&self, axis: &Axis, into: &[Axis], shape: &Shape) -> Option<Self> {
        let at = self.lanes.iter().position(|l| &l.axis == axis)?;
        let mut stride = self.lanes[at].stride;
        let mut parts = Vec::new();
        for part in into.iter().rev() {
            let size = shape.size(part)?;
            parts.insert(
                0,
                Lane {
                    axis: part.clone(),
                    size,
                    stride,
                },
            );
            stride *= size as isize;
        }
        let mut view = self.clone();
        view.lanes.splice(at..=at, parts);
        Some(view)
    }

    /// `axes` flattened into one, if memory allows.
    pub fn merge(&self, axes: &[Axis], into: &Axis) -> Option<Self> {
        let lanes: Vec<&Lane> = axes.iter().filter_map(|a| self.lane(a)).collect();
        let (size, stride) = merged(&lanes.iter().map(|l| (l.size, l.stride)).collect::<Vec<_>>())?;
        let at = self
            .lanes
            .iter()
            .position(|l| Some(&l.axis) == axes.first())?;
        let mut view = self.clone();
        view.lanes.splice(
            at..at + axes.len(),
            [Lane {
                axis: into.clone(),
                size,
                stride,
            }],
        );
        Some(view)
    }

    /// `axes`, outermost first, as one axis `(size, stride)`, if memory allows.
    pub fn merged(&self, axes: &[Axis]) -> Option<(usize, isize)> {
        merged(
            &axes
                .iter()
                .filter_map(|a| self.lane(a))
                .map(|l| (l.size, l.stride))
                .collect::<Vec<_>>(),
        )
    }

    /// Axes by falling stride: the order in which memory is laid out.
    pub fn memory_order(&self) -> Vec<Axis> {
        let mut lanes: Vec<&Lane> = self.lanes.iter().collect();
        lanes.sort_by_key(|l| std::cmp::Reverse(l.stride.unsigned_abs()));
        lanes.iter().map(|l| l.axis.clone()).collect()
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.lanes.iter().map(|l| l.size).product()
    }
}

/// Neighbouring loop axes as one `(size, stride)`, if the strides allow; size-1 axes do not count.
pub fn merged(lanes: &[(usize, isize)]) -> Option<(usize, isize)> {
    let mut real = lanes.iter().filter(|(size, _)| *size != 1);
    let Some(&(mut size, mut stride)) = real.next() else {
        return Some((1, 0));
    };
    for &(inner_size, inner_stride) in real {
        if stride != inner_stride * inner_size as isize {
            return None;
        }
        size *= inner_size;
        stride = inner_stride;
    }
    Some((size, stride))
}
