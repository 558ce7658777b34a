//! The boundary between compiler and runtime, as plain data.
//!
//! What flows in: the typed forward graph that `mmh-check` builds. What flows out: a [`Plan`], which is everything the
//! runtime needs and nothing it does not: no source text, no spans (only opaque [`Origin`]s), no machine facts. Read
//! [`op`] first (the closed table of primitives), then [`graph`], then [`plan`].
//!
//! Invariants: shapes are concrete here; axes are named and unique within a value; a value is defined before it is used;
//! the order of a value's axes is its *logical* order (bits follow it, memory layout does not). [`graph::Graph::verify`]
//! holds them.

pub mod device;
pub mod graph;
pub mod op;
pub mod plan;
pub mod shape;
pub mod text;

pub use graph::{Graph, Node, Origin, ValueId};
pub use op::{Composite, Input, Literal, MapOp, Op, RandomKind, ReduceKind, Window};
pub use plan::Plan;
pub use shape::{Axis, DType, Dim, Shape, Type};
