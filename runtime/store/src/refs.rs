//! Runs and tags by name.

use crate::content::is_hash;
use crate::manifest::{MOST_BYTES, Manifest};
use crate::{Store, StoreFailure};
use serde::{Deserialize, Serialize};
use std::io;

/// Where a run is, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The object that is its manifest.
    pub run: String,
    /// Objects that are its data and are kept with it. Data may be left out, files may not.
    pub data: Vec<String>,
    /// Whether it is kept for its own sake; otherwise only while a tag or a run that comes from it is.
    pub kept: bool,
}

/// A run of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Hash of its journal's last line.
    pub head: String,
    /// Where it is.
    pub reference: Reference,
    /// What it is.
    pub manifest: Manifest,
    /// Its tags, sorted.
    pub tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag {
    head: String,
}

impl Store {
    /// The reference of a run.
    pub fn reference(&self, head: &str) -> Result<Option<Reference>, StoreFailure> {
        if !is_hash(head) {
            return Ok(None);
        }
        let Some(bytes) = self.small(&format!("refs/runs/{head}"))? else {
            return Ok(None);
        };
        read_reference(&bytes, head).map(Some)
    }

    pub(crate) fn set_reference(
        &self,
        head: &str,
        reference: &Reference,
    ) -> Result<(), StoreFailure> {
        self.replace(
            &format!("refs/runs/{head}"),
            reference_text(reference).as_bytes(),
        )
    }

    /// Heads of all runs that were put here, sorted.
    pub fn heads(&self) -> Result<Vec<String>, StoreFailure> {
        let mut names = self.names("refs/runs")?;
        names.retain(|name| is_hash(name));
        Ok(names)
    }

    /// A run by its head.
    pub fn run(&self, head: &str) -> Result<Option<Kept>, StoreFailure> {
        let Some(reference) = self.reference(head)? else {
            return Ok(None);
        };
        let Some(bytes) = self.read(&reference.run, MOST_BYTES)? else {
            return Err(StoreFailure::Missing {
                object: reference.run,
                of: format!("the manifest of run {head}"),
            });
        };
        let manifest = Manifest::from_bytes(&bytes, &reference.run)?;
        if manifest.facts.head != head {
            return Err(StoreFailure::damaged(
                format!("refs/runs/{head}"),
                "it points to another run",
            ));
        }
        let tags = self.tags()?.into_iter();
        let tags = tags.filter(|(_, of)| of == head).map(|(name, _)| name);
        Ok(Some(Kept {
            head: head.to_owned(),
            reference,
            manifest,
            tags: tags.collect(),
        }))
    }

    /// The run that is meant: by tag, or by the beginning of the hash of its model or its head.
    ///
    /// Errors: there is none; there are several.
    pub fn find(&self, name: &str) -> Result<Kept, StoreFailure> {
        let tags = self.tags()?;
        if let Some((_, head)) = tags.iter().find(|(tag, _)| tag == name) {
            let gone = || StoreFailure::damaged(format!("refs/tags/{name}"), "its run is missing");
            return self.run(head)?.ok_or_else(gone);
        }
        let mut found = Vec::new();
        for head in self.heads()? {
            if let Some(run) = self.run(&head)?.filter(|run| run.manifest.is_called(name)) {
                found.push(run);
            }
        }
        let only = found.pop().ok_or_else(|| StoreFailure::Unknown {
            name: name.to_owned(),
            known: tags.into_iter().map(|(tag, _)| tag).take(8).collect(),
        })?;
        if found.is_empty() {
            return Ok(only);
        }
        found.push(only);
        Err(StoreFailure::Ambiguous {
            name: name.to_owned(),
            heads: found.into_iter().map(|run| run.head).collect(),
        })
    }

    /// No longer keeps a run for its own sake. Its objects go with the next collection, unless a tag or another run needs them.
    pub fn remove(&self, head: &str) -> Result<(), StoreFailure> {
        let _lease = self.lease()?;
        match self.reference(head)? {
            Some(reference) => self.set_reference(
                head,
                &Reference {
                    kept: false,
                    ..reference
                },
            ),
            None => Ok(()),
        }
    }

    /// All tags with the heads they name, sorted.
    pub fn tags(&self) -> Result<Vec<(String, String)>, StoreFailure> {
        let mut tags = Vec::new();
        for name in self.names("refs/tags")? {
            if let Some(bytes) = self.small(&format!("refs/tags/{name}"))? {
                let head = read_tag(&bytes, &name)?;
                tags.push((name, head));
            }
        }
        Ok(tags)
    }

    /// Gives a run a name. One that is taken is moved only if `moves`.
    ///
    /// Errors: it is no name; it is taken by another run.
    pub fn tag(&self, name: &str, head: &str, moves: bool) -> Result<(), StoreFailure> {
        check_tag(name)?;
        let _lease = self.lease()?;
        let tags = self.tags()?;
        let taken = tags.iter().find(|(tag, _)| tag == name);
        if let Some((_, other)) = taken.filter(|(_, other)| other != head && !moves) {
            return Err(StoreFailure::Name {
                name: name.to_owned(),
                reason: format!("it names the run {other}; `--move` gives it to this one"),
            });
        }
        self.replace(&format!("refs/tags/{name}"), tag_text(head).as_bytes())
    }

    /// Takes a tag away. Whether it was there.
    pub fn untag(&self, name: &str) -> Result<bool, StoreFailure> {
        check_tag(name)?;
        let path = self.root().join("refs/tags").join(name);
        match self.files().remove(&path) {
            Ok(()) => {
                let folder = self.root().join("refs/tags");
                let synced = self.files().sync_folder(&folder);
                synced.map_err(|error| StoreFailure::io(&folder, &error))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreFailure::io(&path, &error)),
        }
    }

    pub(crate) fn names(&self, folder: &str) -> Result<Vec<String>, StoreFailure> {
        let folder = self.root().join(folder);
        self.files()
            .list(&folder)
            .map_err(|error| StoreFailure::io(&folder, &error))
    }

    /// The bytes of a small file of the store.
    pub(crate) fn small(&self, name: &str) -> Result<Option<Vec<u8>>, StoreFailure> {
        let path = self.root().join(name);
        match self.files().read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreFailure::io(&path, &error)),
        }
    }
}

/// What a tag may be called: 1 to 100 letters, digits, `.`, `_` and `-`, and nothing that could be taken for a hash.
pub(crate) fn check_tag(name: &str) -> Result<(), StoreFailure> {
    let wrong = |reason: &str| {
        Err(StoreFailure::Name {
            name: name.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        return wrong("a tag is 1 to 100 letters, digits, `.`, `_` and `-`");
    }
    if name.starts_with(['.', '-']) || name.ends_with('.') {
        return wrong("a tag begins with a letter, a digit or `_`, and does not end with `.`");
    }
    if name.len() >= 6 && name.chars().all(|c| c.is_ascii_hexdigit()) {
        return wrong("it could be the beginning of a hash");
    }
    Ok(())
}

pub(crate) fn reference_text(reference: &Reference) -> String {
    format!("{}\n", serde_json::to_string(reference).unwrap_or_default())
}

pub(crate) fn read_reference(bytes: &[u8], head: &str) -> Result<Reference, StoreFailure> {
    let place = || format!("refs/runs/{head}");
    let reference: Reference = serde_json::from_slice(bytes)
        .map_err(|error| StoreFailure::damaged(place(), error.to_string()))?;
    let is_sound = is_hash(&reference.run) && reference.data.iter().all(|hash| is_hash(hash));
    match is_sound {
        false => Err(StoreFailure::damaged(place(), "it names no object")),
        true => Ok(reference),
    }
}

pub(crate) fn tag_text(head: &str) -> String {
    let tag = Tag {
        head: head.to_owned(),
    };
    format!("{}\n", serde_json::to_string(&tag).unwrap_or_default())
}

pub(crate) fn read_tag(bytes: &[u8], name: &str) -> Result<String, StoreFailure> {
    let place = || format!("refs/tags/{name}");
    let tag: Tag = serde_json::from_slice(bytes)
        .map_err(|error| StoreFailure::damaged(place(), error.to_string()))?;
    match is_hash(&tag.head) {
        true => Ok(tag.head),
        false => Err(StoreFailure::damaged(place(), "it names no run")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_plain_names() {
        for name in ["best", "v1.0", "2026-11-25", "_x", "abcde"] {
            assert_eq!(check_tag(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "-x",
            ".x",
            "x.",
            "abcdef",
            "123456",
            "ä",
            &"x".repeat(101),
        ] {
            assert!(check_tag(name).is_err(), "{name}");
        }
    }
}
