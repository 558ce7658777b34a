//! How a verb ends.

use crate::findings::{Finding, Report};
use crate::{emit, render, system};
use std::process::ExitCode;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// The recipe or the data is at fault.
    Fault,
    /// Wrong usage.
    Usage,
    /// A device failed, or this program did.
    Device,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Fault => 1,
            Self::Usage => 2,
            Self::Device => 3,
            Self::Interrupted => 130,
        }
    }

    /// The status of a pack's verb.
    pub(crate) const fn of_legacy(status: u8) -> Self {
        match status {
            0 => Self::Done,
            _ => Self::Fault,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// All has been said.
    Said(Exit),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// Findings still to be shown, on stdout too if JSON was asked for.
    Found {
        report: Report,
        json: bool,
        exit: Exit,
    },
}

/// A verb's end.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// One finding without a place.
    pub(crate) fn of(finding: Finding, json: bool, exit: Exit) -> Self {
        let report = Report {
            findings: vec![finding],
            ..Report::default()
        };
        Self::Found { report, json, exit }
    }

    /// Says what is left to say and gives the exit status.
    pub(crate) fn report(self) -> Exit {
        match self {
            Self::Said(exit) => exit,
            Self::Usage(message) => {
                system::tell(&format!(
                    "error: {message}\n\nFor more information, try '--help'.\n"
                ));
                Exit::Usage
            }
            Self::Found { report, json, exit } => {
                system::tell(&render::human(std::slice::from_ref(&report)));
                if json {
                    system::say(&format!("{:#}\n", emit::json(&[report])));
                }
                exit
            }
        }
    }
}
