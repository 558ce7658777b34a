//! The training loop: data order, schedules, checkpoints, journal, run folders.
