//! From a seed and the path of a draw to its key.

use std::fmt;

const SEED_CONTEXT: &str = "mmh seed 1";
const KEY_CONTEXT: &str = "mmh rng 1";
const TEXT_TAG: u8 = b's';
const NUMBER_TAG: u8 = b'n';

/// The root of all of a run's random numbers: 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub [u8; 32]);

/// Why a text is not 256 bits in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeedError {
    /// The text has this many bytes, not 64.
    Length(usize),
    /// The byte at this offset is no hexadecimal digit.
    Digit(usize),
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedError::Length(found) => write!(f, "a seed in hex has 64 digits, this has {found}"),
            SeedError::Digit(at) => write!(
                f,
                "character {} of the seed is no hexadecimal digit",
                at + 1
            ),
        }
    }
}

impl std::error::Error for SeedError {}

impl Seed {
    /// The seed an integer stands for: its value in 32 bytes, little-endian.
    #[must_use]
    pub fn from_integer(value: u128) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&value.to_le_bytes());
        Self(bytes)
    }

    /// The seed a phrase stands for: BLAKE3's key derivation over its UTF-8 bytes.
    #[must_use]
    pub fn from_phrase(phrase: &str) -> Self {
        Self(blake3::derive_key(SEED_CONTEXT, phrase.as_bytes()))
    }

    /// The seed 64 hexadecimal digits stand for, first digits first byte; either case.
    ///
    /// # Errors
    /// Says which length or which character is wrong.
    pub fn from_hex(text: &str) -> Result<Self, SeedError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(SeedError::Length(digits.len()));
        }
        let mut bytes = [0_u8; 32];
        for (at, &digit) in digits.iter().enumerate() {
            let value = char::from(digit).to_digit(16).ok_or(SeedError::Digit(at))?;
            bytes[at / 2] = bytes[at / 2] << 4 | value as u8;
        }
        Ok(Self(bytes))
    }
}

/// One part of the path of a draw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Component<'a> {
    /// A name: of a declaration, of an axis, of a purpose.
    Text(&'a str),
    /// A number: an epoch, a replicate, an ordinal.
    Number(u64),
}

impl<'a> From<&'a str> for Component<'a> {
    fn from(text: &'a str) -> Self {
        Component::Text(text)
    }
}

impl From<u64> for Component<'_> {
    fn from(number: u64) -> Self {
        Component::Number(number)
    }
}

/// The key of a draw: 256 bits, as the eight words that ChaCha takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key(pub [u32; 8]);

impl Key {
    /// Derives the key of the draw that stands at `path` (BLAKE3, context `mmh rng 1`).
    ///
    /// The material is the seed's 32 bytes, then for each component the length of its payload in bytes as a little-endian
    /// u64 and the payload: `s` and the UTF-8 bytes of a text, or `n` and the eight little-endian bytes of a number.
    #[must_use]
    pub fn derive(seed: &Seed, path: &[Component<'_>]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(&seed.0);
        for component in path {
            match component {
                Component::Text(text) => absorb(&mut hasher, TEXT_TAG, text.as_bytes()),
                Component::Number(number) => absorb(&mut hasher, NUMBER_TAG, &number.to_le_bytes()),
            }
        }
        Self::from_bytes(hasher.finalize().as_bytes())
    }

    /// The key with these bytes: eight little-endian words.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|i| {
            u32::from_le_bytes(std::array::from_fn(|j| bytes[4 * i + j]))
        }))
    }

    /// The bytes of the key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        std::array::from_fn(|i| self.0[i / 4].to_le_bytes()[i % 4])
    }
}

fn absorb(hasher: &mut blake3::Hasher, tag: u8, payload: &[u8]) {
    let length = 1 + payload.len() as u64;
    hasher
        .update(&length.to_le_bytes())
        .update(&[tag])
        .update(payload);
}
