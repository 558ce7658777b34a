//! A file block after block, read, hashed and unpacked on a thread of its own while the blocks before are taken apart.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::BLOCK;
use crate::error::DataError;
use crate::stored::broken_gzip;

/// Blocks that wait to be taken apart.
const WAITING: usize = 2;

/// Bytes of a block that is handed on. In tests every row is cut somewhere.
const HANDED: usize = if cfg!(test) { 61 } else { BLOCK };

/// The unpacked content of a file, in order.
pub(crate) struct Blocks {
    blocks: Receiver<io::Result<Vec<u8>>>,
    reader: Option<JoinHandle<blake3::Hash>>,
    shown: String,
}

/// Hashes what is read through it.
struct Hashed {
    file: File,
    hasher: blake3::Hasher,
}

impl Read for Hashed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(out)?;
        self.hasher.update(out.get(..length).unwrap_or_default());
        Ok(length)
    }
}

impl Blocks {
    /// Begins to read; `shown` names the file in errors.
    pub(crate) fn of(file: File, shown: &str) -> io::Result<Blocks> {
        let (send, blocks) = sync_channel(WAITING);
        let reader = std::thread::Builder::new().name("mmh data".to_owned());
        Ok(Blocks {
            blocks,
            reader: Some(reader.spawn(move || read_all(file, &send))?),
            shown: shown.to_owned(),
        })
    }

    /// Adds the next block to `out`; false at the end.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, DataError> {
        match self.blocks.recv() {
            Ok(Ok(block)) => {
                out.extend_from_slice(&block);
                Ok(true)
            }
            Ok(Err(error)) => Err(broken_gzip(&self.shown, &error)),
            Err(_) => Ok(false),
        }
    }

    /// The blake3 of the bytes as stored, once all is read; none if the reader came to grief.
    pub(crate) fn hash(mut self) -> Option<blake3::Hash> {
        self.reader.take()?.join().ok()
    }
}

fn read_all(file: File, send: &SyncSender<io::Result<Vec<u8>>>) -> blake3::Hash {
    let hashed = Hashed {
        file,
        hasher: blake3::Hasher::new(),
    };
    let mut stored = BufReader::with_capacity(BLOCK, hashed);
    let packed =
        io::BufRead::fill_buf(&mut stored).is_ok_and(|start| start.starts_with(&[0x1f, 0x8b]));
    if packed {
        let mut unpacked = flate2::bufread::MultiGzDecoder::new(stored);
        send_all(&mut unpacked, send);
        return unpacked.into_inner().into_inner().hasher.finalize();
    }
    send_all(&mut stored, send);
    stored.into_inner().hasher.finalize()
}

fn send_all(from: &mut impl Read, send: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = Vec::with_capacity(HANDED);
        let read = from.take(HANDED as u64).read_to_end(&mut block);
        let sent = match read {
            Ok(0) => return,
            Ok(_) => send.send(Ok(block)),
            Err(error) => {
                // Whoever takes the blocks stops at an error.
                let _ = send.send(Err(error));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
