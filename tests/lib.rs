//! Tests that cross crates: backends against the oracle, golden hashes, layers. The code is in the test targets.
