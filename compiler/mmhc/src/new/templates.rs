//! The recipes that can be begun with, and their data.

use clap::ValueEnum;
use flate2::read::GzDecoder;
use std::io::{self, Read};

/// What to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// Handwritten digits: a small convolutional net
    Digits,
    /// A table with categories and missing values: penguin species
    Tabular,
    /// A number from a table: how heavy a penguin is
    Regression,
    /// A transformer that writes characters
    Chars,
    /// Digits squeezed into eight numbers and drawn again
    Autoencoder,
}

/// A file of a template: where it goes, and its bytes, packed or as they are.
pub(super) struct File {
    pub(super) path: &'static str,
    packed: bool,
    bytes: &'static [u8],
}

macro_rules! data {
    ($name:literal, $licence:literal) => {
        &[
            File {
                path: concat!("data/", $name),
                packed: true,
                bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
            },
            File {
                path: concat!("data/", $licence),
                packed: false,
                bytes: include_bytes!(concat!("../../../../examples/data/", $licence)),
            },
        ]
    };
}

const DIGITS: &[File] = data!("digits.csv", "digits.LICENSE.md");
const PENGUINS: &[File] = data!("penguins.csv", "penguins.LICENSE.md");
const GOSPELS: &[File] = data!("kjv-gospels.txt", "kjv-gospels.LICENSE.md");

impl Template {
    /// The recipe's text.
    pub(super) const fn recipe(self) -> &'static str {
        match self {
            Self::Digits => include_str!("../../../../examples/digits.mmh"),
            Self::Tabular => include_str!("../../../../examples/tabular.mmh"),
            Self::Regression => include_str!("../../templates/regression.mmh"),
            Self::Chars => include_str!("../../../../examples/chars.mmh"),
            Self::Autoencoder => include_str!("../../templates/autoencoder.mmh"),
        }
    }

    /// What it reads.
    pub(super) const fn files(self) -> &'static [File] {
        match self {
            Self::Digits | Self::Autoencoder => DIGITS,
            Self::Tabular | Self::Regression => PENGUINS,
            Self::Chars => GOSPELS,
        }
    }
}

impl File {
    /// The bytes as they are written.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        if !self.packed {
            return Ok(self.bytes.to_vec());
        }
        let mut bytes = Vec::new();
        GzDecoder::new(self.bytes).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
