//! Whole runs by the binary: killed and gone on with, with wrong numbers and wrong data, and what they leave behind.

mod draws;
mod faults;
mod logs;
mod outputs;
mod prefix;
mod proof;
mod resume;
mod search;
mod second;
mod shared;
mod signatures;
mod study;
mod support;
mod workers;
