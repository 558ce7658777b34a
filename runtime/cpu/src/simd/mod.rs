//! Kernels that were compiled when this crate was, for every instruction set it knows.
//!
//! In flows a [`Kernel`]; out flows its code, if the text of exactly this kernel, but for constants that can be handed over
//! at run time, stands in `hot/*.kernel`. `build.rs`
//! turns those texts into Rust over [`lanes::Lanes`], whose vectors are as wide as the instruction set; the code generator
//! of [`crate::jit`] takes all other kernels, at 128 bits. Read [`find`] first.
#![expect(
    unsafe_code,
    reason = "vector instructions, over memory the caller vouches for"
)]

mod check;
#[cfg(test)]
mod evaluate;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::isa::Isa;
use crate::jit::{Code, Entry};
use mmh_lower::kernel::{Kernel, PARAMETERS};

/// A kernel with its code for every instruction set of the build target.
struct Hot {
    /// [`Kernel::key`] of the text.
    key: u64,
    text: &'static str,
    entries: &'static [(Isa, Entry)],
}

mod generated {
    #![allow(
        non_snake_case,
        unused_variables,
        unused_mut,
        clippy::all,
        unsafe_op_in_unsafe_fn,
        reason = "generated"
    )]
    use super::{Hot, Isa};
    include!(concat!(env!("OUT_DIR"), "/hot.rs"));
}

/// The code of `kernel` for `isa`, if it was compiled and the instruction set computes what it should.
pub(crate) fn find(isa: Isa, kernel: &Kernel) -> Option<Code> {
    let (kernel, bits) = kernel.lifted();
    let text = kernel.to_string();
    let at = generated::HOT
        .binary_search_by_key(&Kernel::key(&text), |hot| hot.key)
        .ok()?;
    let hot = generated::HOT.get(at).filter(|hot| hot.text == text)?;
    let (_, entry) = hot.entries.iter().find(|(of, _)| *of == isa)?;
    let constants: [i32; PARAMETERS] =
        std::array::from_fn(|n| bits.get(n).map_or(0, |bits| bits.cast_signed()));
    check::is_sound(isa).then_some(Code {
        function: *entry,
        constants,
    })
}
