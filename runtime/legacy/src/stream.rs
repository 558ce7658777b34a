//! Streams of decoded chunks; large ones are decoded and hashed on threads of their own, in a fixed number of buffers.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::frame::{FrameDecoder, OUTPUT_BYTES};

/// Buffers that go round between the threads.
const BUFFERS: usize = 8;

/// A stream of bytes that lends one chunk after the other; `None` at its checked end.
pub(crate) trait Chunks {
    /// The next chunk, never empty.
    fn next_chunk(&mut self) -> Result<Option<&[u8]>>;
}

/// A stream that may be hashed on its way.
pub(crate) trait Payload: Chunks {
    /// SHA-256 of all chunks lent, if it was asked for; the stream has ended.
    fn digest(&mut self) -> Result<Option<[u8; 32]>>;
}

/// Decodes and hashes on the caller's thread.
pub(crate) struct Inline<R> {
    decoder: FrameDecoder<R>,
    hasher: Option<Sha256>,
}

impl<R: Read> Inline<R> {
    pub(crate) fn new(decoder: FrameDecoder<R>, hashed: bool) -> Self {
        Self {
            decoder,
            hasher: hashed.then(Sha256::new),
        }
    }
}

impl<R: Read> Chunks for Inline<R> {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        let chunk = self.decoder.next_chunk()?;
        if let (Some(hasher), Some(chunk)) = (&mut self.hasher, chunk) {
            hasher.update(chunk);
        }
        Ok(chunk)
    }
}

impl<R: Read> Payload for Inline<R> {
    fn digest(&mut self) -> Result<Option<[u8; 32]>> {
        Ok(self.hasher.take().map(|hasher| hasher.finalize().into()))
    }
}

/// A buffer, filled up to a count, that the writer and the hasher read at the same time.
type Shared = (Arc<Vec<u8>>, usize);

/// Decodes on one thread and hashes on another. Each buffer goes back to the decoder from whoever is done with it last.
pub(crate) struct Threaded<'scope> {
    filled: Receiver<Result<(Vec<u8>, usize)>>,
    empty: SyncSender<Vec<u8>>,
    hasher: Option<(SyncSender<Shared>, ScopedJoinHandle<'scope, [u8; 32]>)>,
    current: Option<Arc<Vec<u8>>>,
}

impl<'scope> Threaded<'scope> {
    /// Starts decoding; the threads stop when the stream is dropped.
    pub(crate) fn spawn<R>(
        scope: &'scope Scope<'scope, '_>,
        mut decoder: FrameDecoder<R>,
        hashed: bool,
    ) -> Self
    where
        R: Read + Send + 'scope,
    {
        let (send_filled, filled) = sync_channel(BUFFERS);
        let (empty, take_empty) = sync_channel::<Vec<u8>>(BUFFERS);
        for _ in 0..BUFFERS {
            recycle(&empty, Arc::new(vec![0; OUTPUT_BYTES]));
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
        let hasher = hashed.then(|| spawn_hasher(scope, empty.clone()));
        Self {
            filled,
            empty,
            hasher,
            current: None,
        }
    }
}

/// Hashes buffers until nobody sends any more.
fn spawn_hasher<'scope>(
    scope: &'scope Scope<'scope, '_>,
    empty: SyncSender<Vec<u8>>,
) -> (SyncSender<Shared>, ScopedJoinHandle<'scope, [u8; 32]>) {
    let (sender, receiver) = sync_channel::<Shared>(BUFFERS);
    let handle = scope.spawn(move || {
        let mut hasher = Sha256::new();
        while let Ok((buffer, count)) = receiver.recv() {
            hasher.update(buffer.get(..count).unwrap_or(&buffer));
            recycle(&empty, buffer);
        }
        hasher.finalize().into()
    });
    (sender, handle)
}

/// Gives a buffer back if this was its last reader. The channel has room for all there are, so this never waits; it
/// fails when the decoder has ended, and then the buffer is not needed.
fn recycle(empty: &SyncSender<Vec<u8>>, buffer: Arc<Vec<u8>>) {
    if let Some(buffer) = Arc::into_inner(buffer) {
        let _ = empty.send(buffer);
    }
}

impl Chunks for Threaded<'_> {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        if let Some(buffer) = self.current.take() {
            recycle(&self.empty, buffer);
        }
        let Ok(message) = self.filled.recv() else {
            return Ok(None);
        };
        let (buffer, count) = message?;
        let buffer = Arc::new(buffer);
        if let Some((hasher, _)) = &self.hasher {
            hasher
                .send((Arc::clone(&buffer), count))
                .map_err(|_| thread_ended())?;
        }
        let buffer = self.current.insert(buffer);
        Ok(buffer.get(..count).filter(|chunk| !chunk.is_empty()))
    }
}

impl Payload for Threaded<'_> {
    fn digest(&mut self) -> Result<Option<[u8; 32]>> {
        let Some((sender, handle)) = self.hasher.take() else {
            return Ok(None);
        };
        drop(sender);
        handle.join().map(Some).map_err(|_| thread_ended())
    }
}

fn thread_ended() -> Error {
    Error::from(std::io::Error::other("a worker thread ended early"))
}
