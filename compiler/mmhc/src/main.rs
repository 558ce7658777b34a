//! The `mmhc` command.

fn main() {}
