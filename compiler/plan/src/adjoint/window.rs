//! Windows, always in gather form: every source element collects from the windows that read it, nothing is scattered.
//!
//! *Convolution.* Where a contraction takes the taps of windows away, the adjoint of what is read is ONE contraction of `g`'s
//! adjoint windows with the other operand, over (taps as in the forward contraction, then the other operand's own axes as in `g`).
//!
//! *Windows alone* (pools, moving sums). Their adjoint `a` over (out `o`, tap `t`) is
//! - summed over taps after the adjoint window, where `a` is the same for every tap;
//! - merged, where windows lie side by side;
//! - else laid flat as `f = o·T + t` with `T` taps padded until `T` and the stride have no common factor, so that one window
//!   over `f` finds tap `t` of the window that reads a place exactly where the division is whole; then summed over taps.

use super::Rule;
use crate::autodiff::{NotDifferentiable, Tape, Use};
use crate::builder::{Builder, replaced, windowed};
use mmh_ir::{Axis, Literal, Op, Shape, ValueId, Window};

impl Rule<'_> {
    /// Differentiates a contraction over windows as one; false if operand `n` is none, or is more than that.
    pub(super) fn convolution(
        &self,
        tape: &mut Tape<'_>,
        over: &[Axis],
        n: usize,
        other: usize,
    ) -> bool {
        let (Some(operand), Some(weight)) = (self.operand(n), self.operand(other)) else {
            return false;
        };
        let forward = tape.forward;
        let (patches, weights) = (forward.shape(operand), forward.shape(weight));
        let mut windows: Vec<(&Window, (usize, usize))> = Vec::new();
        let mut source = operand;
        let mut first = operand;
        while let Op::Window(window) = &forward.node(source).op
            && is_convolved(window, over, patches, weights)
            && let Some(&below) = forward.node(source).inputs.first()
        {
            first = source;
            source = below;
            let size = forward.shape(source).size(&window.axis);
            let taps = patches.size(&window.tap);
            windows.push((window, (size.unwrap_or(0), taps.unwrap_or(0))));
        }
        if windows.is_empty() {
            return false;
        }
        let taps = over
            .iter()
            .filter(|axis| windows.iter().any(|(w, _)| &&w.tap == axis));
        let result = &self.node.ty.shape;
        let own = result
            .axes()
            .filter(|a| weights.has(a) && !patches.has(a))
            .cloned();
        let chain: Vec<Axis> = taps.cloned().chain(own).collect();
        let weight = tape.value(weight);
        let shape = forward.shape(source).clone();
        let mut b = self.builder(tape);
        let spread = windows.iter().fold(self.g, |g, (window, sizes)| {
            adjoint_window(&mut b, window, g, *sizes)
        });
        let adjoint = b.contract(spread, weight, &chain, &shape);
        let at = Use {
            node: first,
            operand: 0,
            through: self.value,
        };
        tape.add(source, at, adjoint);
        true
    }

    /// The adjoint of a window that stands alone.
    pub(super) fn window(
        &self,
        tape: &mut Tape<'_>,
        window: &Window,
    ) -> Result<(), NotDifferentiable> {
        if window.stride < 1 {
            return Err(self.not_differentiable("a window that runs backwards has no gradient"));
        }
        let taps = self.node.ty.shape.size(&window.tap).unwrap_or(0);
        let places = self.node.ty.shape.size(&window.out).unwrap_or(0);
        self.one(tape, |b, g, shape| {
            let size = shape.size(&window.axis).unwrap_or(0);
            let same = match &b.graph.node(g).op {
                Op::Broadcast => b.graph.node(g).inputs.first().copied(),
                _ => None,
            };
            let same = same.filter(|&s| {
                !b.graph.shape(s).has(&window.tap) && b.graph.shape(s).has(&window.out)
            });
            if let Some(same) = same {
                return for_all_taps(b, window, same, (size, taps));
            }
            let tiled = window.stride == taps.cast_signed() as i64 && window.dilation == 1;
            if tiled && window.offset == 0 && window.divide == 1 && places * taps <= size {
                return side_by_side(b, window, g, shape);
            }
            overlapping(b, window, g, shape)
        });
        Ok(())
    }
}

/// Whether the contraction takes the window's taps away and keeps its places to itself.
fn is_convolved(window: &Window, over: &[Axis], patches: &Shape, weights: &Shape) -> bool {
    window.stride > 0
        && over.contains(&window.tap)
        && !over.contains(&window.out)
        && patches.has(&window.out)
        && !weights.has(&window.out)
        && (window.axis == window.out || !(weights.has(&window.axis) || patches.has(&window.axis)))
}

/// The window that finds, for a source place and a forward tap, the forward window that reads it there.
fn adjoint_of(window: &Window) -> Window {
    Window {
        axis: window.out.clone(),
        out: window.axis.clone(),
        tap: window.tap.clone(),
        stride: window.divide,
        dilation: -window.dilation,
        offset: -window.offset,
        divide: window.stride,
        fill: Literal(0.0),
    }
}

/// `g` over the window's places, as every source place reads it through every tap.
fn adjoint_window(
    b: &mut Builder<'_>,
    window: &Window,
    g: ValueId,
    (size, taps): (usize, usize),
) -> ValueId {
    let shape = windowed(
        &b.shape(g),
        &window.out,
        (&window.axis, size),
        (&window.tap, taps),
    );
    b.f32(Op::Window(adjoint_of(window)), &[g], shape)
}

/// The adjoint that is `same` for every tap.
fn for_all_taps(
    b: &mut Builder<'_>,
    window: &Window,
    same: ValueId,
    sizes: (usize, usize),
) -> ValueId {
    let read = adjoint_window(b, window, same, sizes);
    b.sum(std::slice::from_ref(&window.tap), read)
}

/// Windows that neither overlap nor leave gaps.
fn side_by_side(b: &mut Builder<'_>, window: &Window, g: ValueId, shape: &Shape) -> ValueId {
    let merged = merged(b, window, g, &window.axis);
    let axis = window.axis.clone();
    let padded = replaced(
        &b.shape(merged),
        &axis,
        &axis,
        shape.size(&axis).unwrap_or(0),
    );
    if b.graph.shape(merged) == &padded {
        return merged;
    }
    b.f32(
        Op::Pad {
            axis,
            before: 0,
            step: 1,
        },
        &[merged],
        padded,
    )
}

/// Windows that overlap, leave gaps or reach over the edge.
fn overlapping(b: &mut Builder<'_>, window: &Window, g: ValueId, shape: &Shape) -> ValueId {
    let taps = b.graph.shape(g).size(&window.tap).unwrap_or(0);
    let (size, wide) = (
        shape.size(&window.axis).unwrap_or(0),
        coprime(taps, window.stride),
    );
    let axis = window.tap.clone();
    let padded = if wide == taps {
        g
    } else {
        let shape = replaced(&b.shape(g), &axis, &axis, wide);
        b.f32(
            Op::Pad {
                axis,
                before: 0,
                step: 1,
            },
            &[g],
            shape,
        )
    };
    let flat = merged(b, window, padded, &window.out);
    let wide = wide.cast_signed() as i64;
    let diagonal = Window {
        stride: window.divide * wide,
        dilation: window.stride - window.dilation * wide,
        offset: -window.offset * wide,
        ..adjoint_of(window)
    };
    let shape = windowed(
        &b.shape(flat),
        &window.out,
        (&window.axis, size),
        (&window.tap, taps),
    );
    let read = b.f32(Op::Window(diagonal), &[flat], shape);
    b.sum(std::slice::from_ref(&window.tap), read)
}

/// Places and taps of `g` as one axis, taps inside.
fn merged(b: &mut Builder<'_>, window: &Window, g: ValueId, into: &Axis) -> ValueId {
    let shape = b.shape(g);
    let mut dims = Vec::with_capacity(shape.rank());
    for dim in &shape.0 {
        if dim.axis == window.tap {
            continue;
        }
        dims.push(dim.clone());
        if dim.axis == window.out {
            dims.extend(shape.0.iter().find(|d| d.axis == window.tap).cloned());
        }
    }
    let ordered = Shape(dims);
    let origin = b.origin;
    let value = b.graph.broadcast(g, &ordered, origin);
    let size = |axis: &Axis| shape.size(axis).unwrap_or(0);
    let rest = ordered.without(std::slice::from_ref(&window.tap));
    let result = replaced(
        &rest,
        &window.out,
        into,
        size(&window.out) * size(&window.tap),
    );
    let axes = vec![window.out.clone(), window.tap.clone()];
    b.f32(
        Op::Merge {
            axes,
            into: into.clone(),
        },
        &[value],
        result,
    )
}

/// The least number from `taps` on that has no factor in common with `stride`.
fn coprime(taps: usize, stride: i64) -> usize {
    let stride = usize::try_from(stride).unwrap_or(1);
    let divisor = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let candidates = taps.max(1)..;
    let mut candidates = candidates.into_iter();
    candidates
        .find(|&n| divisor(n, stride) == 1)
        .unwrap_or(taps)
}
