//! Push and pull by hash. What is there already is not sent again, and what was cut goes on.
//!
//! Everything that is received is hashed before it has a name. That makes it what was asked for; it does not make it true: whether
//! a run is trusted is for `trusts` to say, before any reference names it.

use crate::content::{hash_file, is_hash};
use crate::manifest::{MOST_BYTES, Manifest};
use crate::refs::{read_reference, read_tag, reference_text, tag_text};
use crate::remote::{Remote, object_key};
use crate::{Kept, Reference, Store, StoreFailure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What a push came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Objects of the runs.
    pub objects: u64,
    /// Objects that were there already.
    pub there: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Tags that were set.
    pub tags: Vec<String>,
}

/// What a pull came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    /// The run.
    pub run: Kept,
    /// Objects that were here already.
    pub here: u64,
    /// Bytes that were received.
    pub bytes: u64,
    /// Data files of the run that the remote does not have.
    pub without: u64,
}

/// Sends runs with their tags. `moves` lets a tag there name another run from now on.
///
/// Errors: an object is damaged here; the remote fails; a tag there names another run.
pub fn push(
    store: &Store,
    remote: &dyn Remote,
    runs: &[Kept],
    moves: bool,
) -> Result<Pushed, StoreFailure> {
    let _lease = store.lease()?;
    let mut pushed = Pushed::default();
    for run in runs {
        for tag in &run.tags {
            check_tag_there(remote, tag, &run.head, moves)?;
        }
    }
    for run in runs {
        let files = run.manifest.files.values().map(|file| &file.blake3);
        // The manifest goes last: who finds it finds all it names.
        for hash in files.chain(&run.reference.data).chain([&run.reference.run]) {
            send(store, remote, hash, &mut pushed)?;
        }
        let reference = Reference {
            kept: true,
            ..run.reference.clone()
        };
        remote.write(
            &format!("refs/runs/{}", run.head),
            reference_text(&reference).as_bytes(),
        )?;
        for tag in &run.tags {
            remote.write(&format!("refs/tags/{tag}"), tag_text(&run.head).as_bytes())?;
            pushed.tags.push(tag.clone());
        }
    }
    Ok(pushed)
}

fn check_tag_there(
    remote: &dyn Remote,
    tag: &str,
    head: &str,
    moves: bool,
) -> Result<(), StoreFailure> {
    let Some(bytes) = remote.read(&format!("refs/tags/{tag}"))? else {
        return Ok(());
    };
    match read_tag(&bytes, tag) {
        Ok(other) if other != head && !moves => Err(StoreFailure::Name {
            name: tag.to_owned(),
            reason: format!(
                "at `{}` it names the run {other}; `--move` gives it to this one",
                remote.name()
            ),
        }),
        _ => Ok(()),
    }
}

fn send(
    store: &Store,
    remote: &dyn Remote,
    hash: &str,
    pushed: &mut Pushed,
) -> Result<(), StoreFailure> {
    pushed.objects += 1;
    let key = object_key(hash);
    let size = store.size(hash).ok_or_else(|| StoreFailure::Missing {
        object: hash.to_owned(),
        of: "it is to be sent".to_owned(),
    })?;
    if remote.size(&key)? == Some(size) {
        pushed.there += 1;
        return Ok(());
    }
    // What is damaged here must not be spread.
    if !store.has_whole(hash)? {
        return Err(StoreFailure::damaged(
            store.place(hash).display().to_string(),
            "its content is not what its name says",
        ));
    }
    pushed.bytes += remote.send(&key, &store.place(hash))?;
    match remote.size(&key)? {
        Some(there) if there == size => Ok(()),
        there => Err(StoreFailure::Remote {
            remote: remote.name(),
            reason: format!("{key} was sent, and it has {there:?} bytes there instead of {size}"),
        }),
    }
}

/// Receives a run: by its tag there, or by the beginning of the hash of its model or head. `trusts` is given the run, in the store but not yet
/// named by it, and refuses it with an error of its own.
///
/// Errors: no or several runs are meant; something received is not what was asked for; the remote fails; it is not trusted.
pub fn pull<E: From<StoreFailure>>(
    store: &Store,
    remote: &dyn Remote,
    name: &str,
    trusts: impl FnOnce(&Kept) -> Result<(), E>,
) -> Result<Pulled, E> {
    let _lease = store.lease()?;
    let (head, tag) = find(store, remote, name)?;
    let (reference, manifest, mut bytes) = known(store, remote, &head)?;
    let mut here = 0;
    for file in manifest.files.values() {
        match receive(store, remote, &file.blake3, Some(file.bytes))? {
            Some(0) => here += 1,
            Some(received) => bytes += received,
            None => return Err(missing(remote, &file.blake3).into()),
        }
    }
    let mut held = Vec::new();
    let wanted = &manifest.facts.data;
    for hash in reference
        .data
        .iter()
        .filter(|hash| wanted.iter().any(|data| data.blake3 == **hash))
    {
        if let Some(received) = receive(store, remote, hash, None)? {
            here += u64::from(received == 0);
            bytes += received;
            held.push(hash.clone());
        }
    }
    let without = wanted
        .iter()
        .filter(|data| !held.contains(&data.blake3))
        .count();
    let before = store.reference(&head)?;
    if let Some(before) = &before {
        held.extend(before.data.iter().cloned());
        held.sort_unstable();
        held.dedup();
    }
    let run = Kept {
        head: head.clone(),
        reference: Reference {
            run: reference.run,
            data: held,
            kept: true,
        },
        manifest,
        tags: tag.into_iter().collect(),
    };
    trusts(&run)?;
    for tag in &run.tags {
        let here = store.tags()?;
        if let Some((_, other)) = here
            .iter()
            .find(|(name, other)| name == tag && *other != head)
        {
            return Err(StoreFailure::Name {
                name: tag.clone(),
                reason: format!("here it names the run {other}; take it away with `mmhc tag --delete {tag}` first"),
            }
            .into());
        }
    }
    store.set_reference(&head, &run.reference)?;
    for tag in &run.tags {
        store.replace(&format!("refs/tags/{tag}"), tag_text(&head).as_bytes())?;
    }
    Ok(Pulled {
        run,
        here,
        bytes,
        without: without as u64,
    })
}

/// The runs of a remote by head, with their tags.
pub fn remote_runs(remote: &dyn Remote) -> Result<Vec<(String, Vec<String>)>, StoreFailure> {
    let tags = remote_tags(remote)?;
    let heads = remote.list("refs/runs/")?.into_iter();
    let named = |head: String| {
        let of = tags.iter().filter(|(_, other)| *other == head);
        let of = of.map(|(tag, _)| tag.clone()).collect();
        (head, of)
    };
    Ok(heads.filter(|head| is_hash(head)).map(named).collect())
}

fn remote_tags(remote: &dyn Remote) -> Result<Vec<(String, String)>, StoreFailure> {
    let mut tags = Vec::new();
    for tag in remote.list("refs/tags/")? {
        if crate::refs::check_tag(&tag).is_ok()
            && let Some(bytes) = remote.read(&format!("refs/tags/{tag}"))?
        {
            let head = read_tag(&bytes, &tag)?;
            tags.push((tag, head));
        }
    }
    Ok(tags)
}

/// The head of the run that is meant, and the tag it was asked for by.
fn find(
    store: &Store,
    remote: &dyn Remote,
    name: &str,
) -> Result<(String, Option<String>), StoreFailure> {
    if crate::refs::check_tag(name).is_ok()
        && let Some(bytes) = remote.read(&format!("refs/tags/{name}"))?
    {
        return Ok((read_tag(&bytes, name)?, Some(name.to_owned())));
    }
    let digits = name.strip_prefix("blake3:").unwrap_or(name);
    let heads = remote.list("refs/runs/")?;
    let mut found: Vec<String> = heads
        .iter()
        .filter(|head| is_hash(head) && digits.len() >= 6 && head.starts_with(digits))
        .cloned()
        .collect();
    if found.is_empty() && digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        for head in heads.iter().filter(|head| is_hash(head)) {
            if known(store, remote, head)?.1.is_called(name) {
                found.push(head.clone());
            }
        }
    }
    match found.as_slice() {
        [only] => Ok((only.clone(), None)),
        [] => Err(StoreFailure::Unknown {
            name: name.to_owned(),
            known: remote_tags(remote)?
                .into_iter()
                .map(|(tag, _)| tag)
                .take(8)
                .collect(),
        }),
        _ => Err(StoreFailure::Ambiguous {
            name: name.to_owned(),
            heads: found,
        }),
    }
}

/// The manifest of a run at a remote, and the bytes it took to get it.
fn known(
    store: &Store,
    remote: &dyn Remote,
    head: &str,
) -> Result<(Reference, Manifest, u64), StoreFailure> {
    let wrong = |reason: String| StoreFailure::Remote {
        remote: remote.name(),
        reason,
    };
    let bytes = remote
        .read(&format!("refs/runs/{head}"))?
        .ok_or_else(|| wrong(format!("it has no run {head}")))?;
    let reference = read_reference(&bytes, head).map_err(|failure| wrong(failure.to_string()))?;
    let received = receive(store, remote, &reference.run, None)?
        .ok_or_else(|| missing(remote, &reference.run))?;
    let bytes = store.read(&reference.run, MOST_BYTES)?.unwrap_or_default();
    let manifest = Manifest::from_bytes(&bytes, &reference.run)?;
    match manifest.facts.head == head {
        true => Ok((reference, manifest, received)),
        false => Err(wrong(format!(
            "what it calls the run {head} is another run"
        ))),
    }
}

fn missing(remote: &dyn Remote, hash: &str) -> StoreFailure {
    StoreFailure::Missing {
        object: hash.to_owned(),
        of: format!("`{}` names it and does not have it", remote.name()),
    }
}

/// Receives an object unless it is here; gives the bytes that came, none if the remote does not have it.
pub(crate) fn receive(
    store: &Store,
    remote: &dyn Remote,
    hash: &str,
    wanted: Option<u64>,
) -> Result<Option<u64>, StoreFailure> {
    if store.has_whole(hash)? {
        return Ok(Some(0));
    }
    let Some(part) = fetch_part(store, remote, hash, wanted)? else {
        return Ok(None);
    };
    let synced = store.files().append(&part.path, b"", true);
    synced.map_err(|error| StoreFailure::io(&part.path, &error))?;
    store.adopt(&part.path, hash)?;
    Ok(Some(part.received))
}

/// What was received of an object, whole and hashed, without its name.
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Bytes that came just now.
    received: u64,
    _locked: Option<File>,
}

/// A copy of an object from a remote, beside the objects; none if the remote does not have it.
pub fn fetch_copy(
    store: &Store,
    remote: &dyn Remote,
    hash: &str,
) -> Result<Option<Part>, StoreFailure> {
    fetch_part(store, remote, hash, None)
}

fn fetch_part(
    store: &Store,
    remote: &dyn Remote,
    hash: &str,
    wanted: Option<u64>,
) -> Result<Option<Part>, StoreFailure> {
    let key = object_key(hash);
    let Some(size) = remote.size(&key)? else {
        return Ok(None);
    };
    let wrong =
        |reason: &str| StoreFailure::damaged(format!("{}: object {hash}", remote.name()), reason);
    if wanted.is_some_and(|wanted| wanted != size) {
        return Err(wrong("it has another size there than the run says"));
    }
    let (part, locked) = part(store, hash)?;
    let start = fs::metadata(&part).map_or(0, |about| about.len());
    let start = if start > size { 0 } else { start };
    let mut received = fetch(store, remote, &key, &part, start, size)?;
    let is_whole = |part: &Path| {
        let found = hash_file(part).map_err(|error| StoreFailure::io(part, &error))?;
        Ok::<_, StoreFailure>(found.0.to_hex().as_str() == hash)
    };
    if start > 0 && !is_whole(&part)? {
        // What an earlier transfer left was not its beginning.
        received += fetch(store, remote, &key, &part, 0, size)?;
    }
    if !is_whole(&part)? {
        let _ = fs::remove_file(&part);
        return Err(wrong("what came is not what its name says"));
    }
    Ok(Some(Part {
        path: part,
        received,
        _locked: locked,
    }))
}

/// Receives the rest of an object into its part.
fn fetch(
    store: &Store,
    remote: &dyn Remote,
    key: &str,
    part: &Path,
    start: u64,
    size: u64,
) -> Result<u64, StoreFailure> {
    let (mut at, mut received) = (start, 0);
    let io = |error: std::io::Error| StoreFailure::io(part, &error);
    if start == 0 {
        store.files().write(part, b"").map_err(io)?;
    }
    if start == size {
        return Ok(0);
    }
    remote.receive(key, start, &mut |offset, bytes| {
        if offset != at {
            // The remote began elsewhere than asked.
            store.files().truncate(part, offset.min(at)).map_err(io)?;
            at = offset.min(at);
        }
        if offset != at || at + bytes.len() as u64 > size {
            return Err(StoreFailure::Remote {
                remote: remote.name(),
                reason: format!("{key}: more came than there is"),
            });
        }
        store.files().append(part, bytes, false).map_err(io)?;
        at += bytes.len() as u64;
        received += bytes.len() as u64;
        Ok(())
    })?;
    Ok(received)
}

/// Where an object is received: the part an earlier transfer left, unless another process is at it.
fn part(store: &Store, hash: &str) -> Result<(PathBuf, Option<File>), StoreFailure> {
    let path = store.root().join("incoming").join(format!("{hash}.part"));
    let failed = |error: std::io::Error| StoreFailure::io(&path, &error);
    store.make_folder(&store.root().join("incoming"))?;
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok((path, Some(file))),
        Err(_) => Ok((store.fresh()?, None)),
    }
}
