//! Streams of decoded chunks; large ones are decoded and hashed on threads of their own, in a fixed number of buffers.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::frame::{FrameDecoder, OUTPUT_BYTES};

/// Buffers that travel between two threads.
const BUFFERS: usize = 4;

/// A stream of bytes that lends one chunk after the other; `None` at its checked end.
pub(crate) trait Chunks {
    /// The next chunk, never empty.
    fn next_chunk(&mut self) -> Result<Option<&[u8]>>;
}

/// A buffer and how much of it is filled.
type Filled = (Vec<u8>, usize);

/// A stream that another thread decodes.
pub(crate) struct Threaded {
    filled: Receiver<Result<Filled>>,
    empty: SyncSender<Vec<u8>>,
    current: Option<Vec<u8>>,
}

impl Threaded {
    /// Starts decoding; it stops when the stream is dropped.
    pub(crate) fn spawn<'scope, R>(
        scope: &'scope Scope<'scope, '_>,
        mut decoder: FrameDecoder<R>,
    ) -> Self
    where
        R: Read + Send + 'scope,
    {
        let (send_filled, filled) = sync_channel(BUFFERS);
        let (empty, take_empty) = sync_channel::<Vec<u8>>(BUFFERS);
        for _ in 0..BUFFERS {
            // The channel holds BUFFERS, so this neither blocks nor fails.
            let _ = empty.send(vec![0; OUTPUT_BYTES]);
        }
        scope.spawn(move || {
            while let Ok(mut buffer) = take_empty.recv() {
                let outcome = decoder.fill(&mut buffer);
                let is_last = !matches!(&outcome, Ok(count) if *count == buffer.len());
                let message = outcome.map(|count| (buffer, count));
                if send_filled.send(message).is_err() || is_last {
                    break;
                }
            }
        });
        Self {
            filled,
            empty,
            current: None,
        }
    }
}

impl Chunks for Threaded {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        if let Some(buffer) = self.current.take() {
            // A decoder that has ended no longer takes buffers.
            let _ = self.empty.send(buffer);
        }
        let Ok(message) = self.filled.recv() else {
            return Ok(None);
        };
        let (buffer, count) = message?;
        let buffer = self.current.insert(buffer);
        Ok(buffer.get(..count).filter(|chunk| !chunk.is_empty()))
    }
}

/// SHA-256 of a stream, computed beside it.
pub(crate) enum Hasher<'scope> {
    /// On the caller's thread.
    Inline(Box<Sha256>),
    /// On a thread of its own.
    Threaded {
        chunks: SyncSender<Filled>,
        empty: Receiver<Vec<u8>>,
        handle: ScopedJoinHandle<'scope, [u8; 32]>,
    },
}

impl<'scope> Hasher<'scope> {
    pub(crate) fn inline() -> Self {
        Self::Inline(Box::default())
    }

    pub(crate) fn spawn(scope: &'scope Scope<'scope, '_>) -> Self {
        let (chunks, take_chunks) = sync_channel::<Filled>(BUFFERS);
        let (give_empty, empty) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            let _ = give_empty.send(Vec::with_capacity(OUTPUT_BYTES));
        }
        let handle = scope.spawn(move || {
            let mut hasher = Sha256::new();
            while let Ok((buffer, count)) = take_chunks.recv() {
                hasher.update(buffer.get(..count).unwrap_or(&buffer));
                if give_empty.send(buffer).is_err() {
                    break;
                }
            }
            hasher.finalize().into()
        });
        Self::Threaded {
            chunks,
            empty,
            handle,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Inline(hasher) => hasher.update(bytes),
            Self::Threaded { chunks, empty, .. } => {
                let mut buffer = empty.recv().map_err(|_| thread_ended())?;
                buffer.clear();
                buffer.extend_from_slice(bytes);
                chunks
                    .send((buffer, bytes.len()))
                    .map_err(|_| thread_ended())?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<[u8; 32]> {
        match self {
            Self::Inline(hasher) => Ok(hasher.finalize().into()),
            Self::Threaded {
                chunks,
                empty,
                handle,
            } => {
                drop(chunks);
                drop(empty);
                handle.join().map_err(|_| thread_ended())
            }
        }
    }
}

fn thread_ended() -> Error {
    Error::from(std::io::Error::other("a worker thread ended early"))
}
