//! The CPU executor: SIMD contractions, kernels by build-time Rust SIMD and Cranelift.
