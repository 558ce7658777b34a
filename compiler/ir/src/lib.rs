//! Graph, Kernel and Plan: the boundary between compiler and runtime, as plain data.
