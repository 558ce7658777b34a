//! Recognising a pack by its bytes, and naming what only looks like one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The formats that releases really wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A bare zstd stream, as V1.0.x `pack` wrote it; nothing tells it from any other `.zst` file.
    F0,
    /// A content id and an extension before a zstd stream, as V1.1.0 and V1.2.0 `pack` wrote it.
    F1,
    /// A directory of zstd frames, as `packdir` of all three releases wrote it.
    F2,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F0 => "F0 (bare zstd, V1.0)",
            Self::F1 => "F1 (content id and zstd, V1.1 and V1.2)",
            Self::F2 => "F2 (packed directory, V1.0 to V1.2)",
        })
    }
}

/// How many leading bytes [`sniff`] and [`look_alike`] want to see.
pub const MAGIC_BYTES: usize = 4096;

pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
pub(crate) const F1_V110: &[u8] = b"MMH-RS V1.1.0\n";
pub(crate) const F1_V120: &[u8] = b"MMH-RS V1.2.0\n";
pub(crate) const F2_V10: &[u8] = b"MMH-RS V1.0\n";

/// Recognises a pack by its first bytes (14 are enough); the file's name never counts.
pub fn sniff(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(&ZSTD_MAGIC) {
        Some(Kind::F0)
    } else if bytes.starts_with(F1_V110) || bytes.starts_with(F1_V120) {
        Some(Kind::F1)
    } else if bytes.starts_with(F2_V10) {
        Some(Kind::F2)
    } else {
        None
    }
}

/// Things that were described, prototyped or misnamed, and that no release ever wrote as a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookAlike {
    /// A header that begins like V1's and names a version that wrote no such file.
    UnknownVersion,
    /// `MMH` and binary sizes: the envelope in V1's unused code.
    Envelope,
    /// A CBOR map that names `mmh-rs/3`: the seed pack of the V3 documents.
    CborSeedPack,
    /// `HPC1`: the dump of a later codec experiment in another repository.
    Hpc1,
    /// `0xAA` and a 251-byte pattern: that experiment's other form.
    PatternDump,
    /// A JSON agent state with a `.mmh` name.
    KaiCoreJson,
    /// A recipe of this language.
    Recipe,
}

impl fmt::Display for LookAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownVersion => {
                "this begins like an MMH-RS header, but only `V1.0`, `V1.1.0` and `V1.2.0` ever wrote packs; V2 and V3 published no code and no format"
            }
            Self::Envelope => {
                "this looks like the `MMH` envelope (size, time, codec, tagged chunks) of V1's unused code; no release ever wrote one, and it does not keep the order of its chunks"
            }
            Self::CborSeedPack => {
                "this looks like the CBOR seed pack `mmh-rs/3` of the V3 documents; no writer was ever published and its description contradicts itself"
            }
            Self::Hpc1 => {
                "this looks like an `HPC1` codec dump of the later Exo-Suit repository; it is no MMH-RS release format, and its own writer and reader disagree"
            }
            Self::PatternDump => {
                "this looks like a `0xAA` pattern dump of the later Exo-Suit repository; it is no MMH-RS release format"
            }
            Self::KaiCoreJson => {
                "this is JSON, not a pack; the one such file known, a Kai-Core agent state (`PARADOX_AGENT_SEED.mmh`), can be read as JSON"
            }
            Self::Recipe => "this is a recipe, not a pack; give it to `mmhc check` or `mmhc run`",
        })
    }
}

/// Names what `bytes` only look like; `None` for packs and for everything unknown.
pub fn look_alike(bytes: &[u8]) -> Option<LookAlike> {
    let head = bytes.get(..MAGIC_BYTES).unwrap_or(bytes);
    if sniff(head).is_some() {
        return None;
    }
    if head.starts_with(b"MMH-RS") {
        return Some(LookAlike::UnknownVersion);
    }
    if head.starts_with(b"MMH") && head.get(19).is_some_and(|codec| *codec <= 3) {
        return Some(LookAlike::Envelope);
    }
    if head.starts_with(b"HPC1") {
        return Some(LookAlike::Hpc1);
    }
    let is_cbor_map = head
        .first()
        .is_some_and(|byte| (0xA0..=0xBF).contains(byte));
    if is_cbor_map && contains(head, b"mmh-rs/3") {
        return Some(LookAlike::CborSeedPack);
    }
    if head.first() == Some(&0xAA) && has_pattern(head) {
        return Some(LookAlike::PatternDump);
    }
    if head.first() == Some(&b'{') {
        return Some(LookAlike::KaiCoreJson);
    }
    is_recipe(head).then_some(LookAlike::Recipe)
}

/// Why bytes are no recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What they are instead.
    pub message: String,
    /// What to do with them.
    pub help: &'static str,
}

/// For `run` and `check`: why these bytes are no recipe, when they are a pack or look like one.
pub fn refuse_in_place_of_recipe(bytes: &[u8]) -> Option<Refusal> {
    if let Some(kind) = sniff(bytes) {
        return Some(Refusal {
            message: format!("this is a pack of MMH-RS V1, {kind}, and no recipe"),
            help: "`mmhc legacy inspect` says what is in it, `mmhc legacy import` takes it in as data, and a recipe reads it with `source = legacy(\"…\", blake3 = \"…\")`",
        });
    }
    match look_alike(bytes)? {
        LookAlike::Recipe => None,
        other => Some(Refusal {
            message: format!("this is no recipe: {other}"),
            help: "a recipe is text that starts with `mmh 1`; `mmhc legacy` reads what releases of MMH-RS V1 wrote",
        }),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// A `u32` length, then bytes that repeat with period 251.
fn has_pattern(head: &[u8]) -> bool {
    let Some(body) = head.get(5..).filter(|body| body.len() > 251) else {
        return false;
    };
    body.iter().zip(body.iter().skip(251)).all(|(a, b)| a == b)
}

/// The first line that is neither blank nor a comment is the edition, `mmh 1`.
fn is_recipe(head: &[u8]) -> bool {
    String::from_utf8_lossy(head)
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("//"))
        .and_then(|line| line.strip_prefix("mmh "))
        .is_some_and(|edition| edition.starts_with(|c: char| c.is_ascii_digit()))
}
