//! The oracle: runs a Graph op by op, obviously.
