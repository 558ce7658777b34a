//! Taking a pack into a recipe as data: a manifest with full hashes, and reading what it or a pin names.

use std::fs;
use std::io::{Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kind::Kind;
use crate::limits::Limits;
use crate::pack::{Layout, Pack};
use crate::unpack::aside;
use crate::verify::{Proof, proof_of};
use crate::walk::{Item, Sink};

const FORMAT: &str = "mmh-legacy-manifest";
const VERSION: u32 = 1;
/// A container is at most this much larger than what it decodes to, in any pack worth reading.
const CONTAINER_SLACK: u64 = 64 << 20;

/// A data manifest: what a pack holds, by full hash, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always `mmh-legacy-manifest`.
    pub format: String,
    /// Always 1.
    pub version: u32,
    /// The pack file.
    pub container: Hashed,
    /// What it decodes to. For F2, the tiny files and then the named files, run together.
    pub payload: Hashed,
    /// The files in it: of F2, or of a benchmark's archive; one without a name for any other payload.
    pub members: Vec<ManifestMember>,
    /// How much the pack itself proved when it was imported.
    pub proof: Proof,
    /// Where it came from.
    pub provenance: Provenance,
}

/// Bytes and their hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashed {
    /// The file, relative to the manifest; a payload has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<PathBuf>,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3, `blake3:` and 64 hex digits.
    pub blake3: String,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestMember {
    /// Its name, where one is stored.
    pub name: Option<String>,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3, `blake3:` and 64 hex digits.
    pub blake3: String,
    /// For F2's blob: how many tiny files are in it, without names and boundaries.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tiny_files: Option<u64>,
}

/// Where a pack came from, as far as it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The format.
    pub kind: Kind,
    /// Which releases wrote it.
    pub writer: String,
    /// F1's id.
    pub content_id: Option<String>,
    /// F1's extension.
    pub extension: Option<String>,
    /// F2's time.
    pub packed_at: Option<String>,
    /// What read it.
    pub reader: String,
}

/// One file of a pack, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, where one is stored. Untrusted.
    pub name: Option<String>,
    /// Its content.
    pub bytes: Vec<u8>,
    /// For F2's blob: how many tiny files are in it, without names and boundaries.
    pub tiny_files: Option<u64>,
}

/// What a pack holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// BLAKE3 of the pack file.
    pub container: ::blake3::Hash,
    /// Its files, in the order of the pack.
    pub members: Vec<Member>,
}

/// Checks the pack at `path` and writes its manifest, beside it as `<path>.manifest.json` unless `to` says otherwise.
/// Importing again gives the same bytes; another file of that name is an error and stays.
pub fn import(path: &Path, to: Option<&Path>, limits: Limits) -> Result<(PathBuf, Manifest)> {
    let target = to.map_or_else(|| with_suffix(path, ".manifest.json"), Path::to_path_buf);
    let manifest = describe(path, &target, limits)?;
    let mut text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Error::from(std::io::Error::other(error)))?;
    text.push(b'\n');
    write_new(&target, &text)?;
    Ok((target, manifest))
}

/// The decoded bytes of the pack at `path`, whose own bytes must have this BLAKE3 hash (64 hex digits, with or without
/// `blake3:`). A manifest may stand for its pack: the pin is that of the pack either way. F2 gives its files run together.
pub fn read_payload(path: &Path, blake3: &str, limits: Limits) -> Result<Vec<u8>> {
    let mut found = find(path, Some(blake3), limits)?;
    let members = collect_members(&mut found.pack, false)?;
    let bytes = members.into_iter().fold(Vec::new(), append);
    if let Some(manifest) = found.manifest {
        let expected = parse_pin(&manifest.payload.blake3)?;
        check_pin("the payload", &expected, ::blake3::hash(&bytes))?;
    }
    Ok(bytes)
}

/// The files of the pack at `path`, pinned as for [`read_payload`] if at all; a benchmark's archive is opened. Where a
/// manifest stands for the pack, every file must be as it says.
pub fn read_members(path: &Path, blake3: Option<&str>, limits: Limits) -> Result<Contents> {
    let mut found = find(path, blake3, limits)?;
    let members = collect_members(&mut found.pack, true)?;
    if let Some(manifest) = found.manifest {
        check_members(&manifest, &members)?;
    }
    Ok(Contents {
        container: found.hash,
        members,
    })
}

fn check_members(manifest: &Manifest, members: &[Member]) -> Result<()> {
    if members.len() != manifest.members.len() {
        return Err(manifest_error(
            "it lists another number of files than the pack holds",
        ));
    }
    for (member, described) in members.iter().zip(&manifest.members) {
        if member.name != described.name {
            return Err(manifest_error("it lists other names than the pack holds"));
        }
        let expected = parse_pin(&described.blake3)?;
        check_pin(
            "a file of the pack",
            &expected,
            ::blake3::hash(&member.bytes),
        )?;
    }
    Ok(())
}

/// The files of an opened pack, decoded into memory and checked as far as the format allows; a benchmark's archive is
/// opened if `open_archive`.
pub fn collect_members<R: Read + Seek + Send>(
    pack: &mut Pack<R>,
    open_archive: bool,
) -> Result<Vec<Member>> {
    let mut members = Collected::default();
    pack.walk(open_archive, &mut members)?;
    Ok(members.members)
}

fn append(mut all: Vec<u8>, member: Member) -> Vec<u8> {
    if all.is_empty() {
        return member.bytes;
    }
    all.extend_from_slice(&member.bytes);
    all
}

/// A pack in memory, so that what was hashed is what is decoded.
struct Found {
    pack: Pack<Cursor<Vec<u8>>>,
    hash: ::blake3::Hash,
    /// What stands for the pack, if it is a manifest.
    manifest: Option<Manifest>,
}

/// Reads the pack at `path`, or the one that the manifest there names, and checks the pins there are.
fn find(path: &Path, pin: Option<&str>, limits: Limits) -> Result<Found> {
    let pin = pin.map(parse_pin).transpose()?;
    let mut bytes = read_bounded(path, limits)?;
    let manifest = Manifest::parse(&bytes)?;
    let mut expected = pin.clone();
    if let Some(manifest) = &manifest {
        let named = parse_pin(&manifest.container.blake3)?;
        if pin.is_some_and(|pin| pin != named) {
            return Err(Error::PinMismatch {
                what: "the pack that the manifest names",
                expected: format!("blake3:{}", expected.unwrap_or_default()),
                actual: manifest.container.blake3.clone(),
            });
        }
        let container = manifest.container.path.as_deref();
        let container = container.ok_or_else(|| manifest_error("it names no pack"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        bytes = read_bounded(&folder.join(container), limits)?;
        expected = Some(named);
    }
    let hash = ::blake3::hash(&bytes);
    if let Some(expected) = expected {
        check_pin("the pack", &expected, hash)?;
    }
    Ok(Found {
        pack: Pack::open(Cursor::new(bytes), limits)?,
        hash,
        manifest,
    })
}

impl Manifest {
    /// Parses a manifest; `None` where the bytes are none.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        if bytes.first() != Some(&b'{') {
            return Ok(None);
        }
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else {
            return Ok(None);
        };
        if value.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Ok(None);
        }
        let manifest: Self =
            serde_json::from_value(value).map_err(|error| manifest_error(&error.to_string()))?;
        if manifest.version != VERSION {
            return Err(manifest_error("its version is not 1"));
        }
        Ok(Some(manifest))
    }
}

fn manifest_error(message: &str) -> Error {
    Error::Document {
        what: "data manifest",
        message: message.to_owned(),
    }
}

fn describe(path: &Path, target: &Path, limits: Limits) -> Result<Manifest> {
    let mut pack = Pack::open_path(path, limits)?;
    let mut hasher = ::blake3::Hasher::new();
    pack.reader.rewind()?;
    hasher
        .update_reader(&mut pack.reader)
        .map_err(|error| Error::io(path, error))?;
    let container = Hashed {
        path: Some(relative(path, target)?),
        bytes: pack.len,
        blake3: labelled(hasher.finalize()),
    };
    let mut hashes = Hashes::default();
    let walked = pack.walk(false, &mut hashes)?;
    let payload = Hashed {
        path: None,
        bytes: walked.payload_bytes,
        blake3: labelled(hashes.all.finalize()),
    };
    if hashes.has_archive {
        hashes = Hashes::default();
        pack.walk(true, &mut hashes)?;
    }
    Ok(Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        container,
        payload,
        members: hashes.members,
        proof: proof_of(&pack.layout),
        provenance: provenance(&pack.layout),
    })
}

fn provenance(layout: &Layout) -> Provenance {
    let mut provenance = Provenance {
        kind: layout.kind(),
        writer: String::new(),
        content_id: None,
        extension: None,
        packed_at: None,
        reader: concat!("mmh-legacy ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    match layout {
        Layout::Bare { .. } => {
            "MMH-RS V1.0 `pack`, or any other zstd writer".clone_into(&mut provenance.writer)
        }
        Layout::Tagged { header, .. } => {
            provenance.writer = format!("MMH-RS V{} `pack`", header.release.number());
            provenance.content_id = Some(header.content_id.to_string());
            provenance.extension = Some(header.extension.clone());
        }
        Layout::Directory { header, .. } => {
            "MMH-RS V1.0 to V1.2 `packdir`".clone_into(&mut provenance.writer);
            provenance.packed_at = Some(header.packed_at.clone());
        }
    }
    provenance
}

/// Hashes everything, and every item by itself.
#[derive(Default)]
struct Hashes {
    all: ::blake3::Hasher,
    item: ::blake3::Hasher,
    members: Vec<ManifestMember>,
    has_archive: bool,
}

impl Sink for Hashes {
    fn begin(&mut self, item: Item<'_>) -> Result<()> {
        self.item.reset();
        self.has_archive |= item == Item::Whole { archive: true };
        let (name, tiny_files) = name_of(item);
        self.members.push(ManifestMember {
            name,
            bytes: 0,
            blake3: String::new(),
            tiny_files,
        });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.all.update(bytes);
        self.item.update(bytes);
        if let Some(member) = self.members.last_mut() {
            member.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(member) = self.members.last_mut() {
            member.blake3 = labelled(self.item.finalize());
        }
        Ok(())
    }
}

/// Keeps everything in memory.
#[derive(Default)]
struct Collected {
    members: Vec<Member>,
}

impl Sink for Collected {
    fn begin(&mut self, item: Item<'_>) -> Result<()> {
        let (name, tiny_files) = name_of(item);
        self.members.push(Member {
            name,
            bytes: Vec::new(),
            tiny_files,
        });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(member) = self.members.last_mut() {
            member.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

fn name_of(item: Item<'_>) -> (Option<String>, Option<u64>) {
    match item {
        Item::Whole { .. } => (None, None),
        Item::TinyBlob { files } => (None, Some(files)),
        Item::File { name } | Item::Member { name } => (Some(name.to_owned()), None),
    }
}

fn labelled(hash: ::blake3::Hash) -> String {
    format!("blake3:{}", hash.to_hex())
}

/// The 64 digits of a pin, in lowercase.
fn parse_pin(pin: &str) -> Result<String> {
    let digits = pin.strip_prefix("blake3:").unwrap_or(pin);
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::BadPin {
            pin: pin.to_owned(),
        });
    }
    Ok(digits.to_ascii_lowercase())
}

fn check_pin(what: &'static str, pin: &str, actual: ::blake3::Hash) -> Result<()> {
    if actual.to_hex().as_str() == pin {
        return Ok(());
    }
    Err(Error::PinMismatch {
        what,
        expected: format!("blake3:{pin}"),
        actual: labelled(actual),
    })
}

fn read_bounded(path: &Path, limits: Limits) -> Result<Vec<u8>> {
    let limit = limits.max_output.saturating_add(CONTAINER_SLACK);
    let file = fs::File::open(path).map_err(|error| Error::io(path, error))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io(path, error))?;
    if bytes.len() as u64 > limit {
        return Err(Error::OutputTooLarge {
            limit: limits.max_output,
        });
    }
    Ok(bytes)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How `target`'s folder calls `path`: its bare name where they lie together, or the whole way.
fn relative(path: &Path, target: &Path) -> Result<PathBuf> {
    let whole = |path: &Path| std::path::absolute(path).map_err(|error| Error::io(path, error));
    let (path, target) = (whole(path)?, whole(target)?);
    Ok(match path.file_name() {
        Some(name) if path.parent() == target.parent() => PathBuf::from(name),
        Some(_) | None => path,
    })
}

/// Writes a file aside and names it; the same bytes there already are as good.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() {
        return Err(Error::OutputExists {
            path: path.to_path_buf(),
        });
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = aside(folder).map_err(|error| Error::io(folder, error))?;
    file.write_all(bytes)
        .map_err(|error| Error::io(path, error))?;
    file.into_temp_path()
        .persist_noclobber(path)
        .map_err(|error| Error::io(path, error.error))
}
