//! Autodiff, fusion, schedule and memory: from a Recipe to a Plan.
