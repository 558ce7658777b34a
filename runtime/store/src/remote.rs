//! The same objects and references elsewhere.

use crate::StoreFailure;
use std::path::Path;

/// Takes bytes that were received, with their offset.
pub type Sink<'a> = dyn FnMut(u64, &[u8]) -> Result<(), StoreFailure> + 'a;

/// A place that holds objects and references under the names they have in a store.
pub trait Remote {
    /// What it is called, without secrets.
    fn name(&self) -> String;

    /// The size of what has this name; none if nothing has.
    fn size(&self, key: &str) -> Result<Option<u64>, StoreFailure>;

    /// Something small, at most 64 MiB; none if it is not there.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreFailure>;

    /// Writes something small whole.
    fn write(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFailure>;

    /// Sends a file; a transfer that was cut goes on where it was. Gives the bytes that were sent.
    fn send(&self, key: &str, path: &Path) -> Result<u64, StoreFailure>;

    /// Receives what has this name from byte `from` on, part by part. Where the remote begins at the start nevertheless, `sink` is told
    /// so by an offset of 0.
    fn receive(&self, key: &str, from: u64, sink: &mut Sink<'_>) -> Result<(), StoreFailure>;

    /// The names under a prefix that ends with `/`, without it; sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreFailure>;
}

/// The name of an object at a remote.
pub(crate) fn object_key(hash: &str) -> String {
    let (folder, name) = hash.split_at_checked(2).unwrap_or(("", hash));
    format!("objects/{folder}/{name}")
}
