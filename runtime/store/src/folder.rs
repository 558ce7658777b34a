//! A remote that is the store in another folder, such as a disk that is carried about or a network share.

use crate::remote::{Remote, Sink};
use crate::{Store, StoreFailure};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The store in another folder.
pub struct FolderRemote(pub Store);

/// Bytes that are handed on at a time.
const PART: usize = 1 << 20;

impl Remote for FolderRemote {
    fn name(&self) -> String {
        self.0.root().display().to_string()
    }

    fn size(&self, key: &str) -> Result<Option<u64>, StoreFailure> {
        let path = self.0.root().join(key);
        match std::fs::metadata(&path) {
            Ok(about) => Ok(about.is_file().then_some(about.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreFailure::io(&path, &error)),
        }
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.0.small(key)
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFailure> {
        self.0.replace(key, bytes)
    }

    fn send(&self, _key: &str, path: &Path) -> Result<u64, StoreFailure> {
        let (_, bytes, new) = self.0.put_file(path)?;
        Ok(if new { bytes } else { 0 })
    }

    fn receive(&self, key: &str, from: u64, sink: &mut Sink<'_>) -> Result<(), StoreFailure> {
        let path = self.0.root().join(key);
        let failed = |error: io::Error| StoreFailure::io(&path, &error);
        let mut file = File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let (mut at, mut buffer) = (from, vec![0; PART]);
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                return Ok(());
            }
            sink(at, buffer.get(..count).unwrap_or_default())?;
            at += count as u64;
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreFailure> {
        self.0.names(prefix.trim_end_matches('/'))
    }
}
