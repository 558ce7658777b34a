//! Instruction sets: which the processor reports, and which have proved that they compute the right bits.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::contract::self_test;

/// An instruction set with contraction kernels of its own, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Portable Rust, with a software fused multiply-add where the build target has none.
    Scalar,
    /// 128-bit vectors of AArch64.
    Neon,
    /// 256-bit vectors with FMA of x86-64.
    Avx2,
    /// 512-bit vectors of x86-64.
    Avx512,
}

/// Why an instruction set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The processor, or the system, does not offer it.
    Absent(Isa),
    /// It computed other bits than the scalar kernels; the name of the test case.
    OtherBits(Isa, &'static str),
}

impl Isa {
    /// All instruction sets, narrowest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Neon, Self::Avx2, Self::Avx512];

    /// The name the command line uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether the processor and the system report it. That is no evidence of right bits: see [`admit`].
    pub fn is_reported(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            Self::Avx2 => reported::avx2(),
            Self::Avx512 => reported::avx2() && reported::avx512(),
        }
    }

    /// The widest admitted instruction set not above `ceiling`; `None` sets no ceiling.
    pub fn best(ceiling: Option<Self>) -> Self {
        let below = |isa: &Self| ceiling.is_none_or(|ceiling| *isa <= ceiling);
        let usable = |isa: &Self| below(isa) && admit(*isa).is_ok();
        Self::ALL
            .into_iter()
            .rev()
            .find(usable)
            .unwrap_or(Self::Scalar)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|isa| isa.name() == text);
        found.ok_or_else(|| {
            format!("`{text}` is no instruction set; use scalar, neon, avx2 or avx512")
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(isa) => write!(formatter, "this processor does not offer {isa}"),
            Self::OtherBits(isa, case) => {
                write!(formatter, "{isa} computed wrong bits in the test `{case}`")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// Whether an instruction set may work: it is present and its kernels passed a self test. The test runs once per process
/// and takes less than a millisecond.
pub fn admit(isa: Isa) -> Result<(), Refusal> {
    static VERDICTS: [OnceLock<Result<(), Refusal>>; 4] = [const { OnceLock::new() }; 4];
    let test = || {
        if isa.is_reported() {
            self_test(isa)
        } else {
            Err(Refusal::Absent(isa))
        }
    };
    match isa {
        Isa::Scalar => *VERDICTS[0].get_or_init(test),
        Isa::Neon => *VERDICTS[1].get_or_init(test),
        Isa::Avx2 => *VERDICTS[2].get_or_init(test),
        Isa::Avx512 => *VERDICTS[3].get_or_init(test),
    }
}

#[cfg(target_arch = "x86_64")]
mod reported {
    pub(super) fn avx2() -> bool {
        std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
    }

    pub(super) fn avx512() -> bool {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod reported {
    pub(super) fn avx2() -> bool {
        false
    }

    pub(super) fn avx512() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        Isa::ALL
            .into_iter()
            .for_each(|isa| assert_eq!(isa.name().parse(), Ok(isa)));
        assert!("sse".parse::<Isa>().is_err());
    }

    #[test]
    fn the_best_is_admitted_and_below_its_ceiling() {
        assert_eq!(admit(Isa::best(None)), Ok(()));
        assert_eq!(Isa::best(Some(Isa::Scalar)), Isa::Scalar);
        Isa::ALL
            .into_iter()
            .for_each(|isa| assert!(Isa::best(Some(isa)) <= isa));
    }
}
