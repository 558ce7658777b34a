//! The numerics contract as scalar reference code: functions, reductions, random numbers.
