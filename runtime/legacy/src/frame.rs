//! Whole zstd frames (RFC 8878), decoded in fixed memory, that must end exactly where their span ends.

use std::io::Read;

use serde::Serialize;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::error::{Error, Result};
use crate::kind::ZSTD_MAGIC;
use crate::limits::Limits;
use crate::stream::Chunks;

/// What zstd's own tool reads and writes at once; also the size of a block.
const INPUT_BYTES: usize = 256 << 10;
pub(crate) const OUTPUT_BYTES: usize = 512 << 10;
/// Magic, descriptor, window, dictionary id and content size at their longest.
const LONGEST_HEADER: usize = 18;

/// What the first bytes of a zstd frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FrameHeader {
    /// Bytes of history the decoder must keep.
    pub window: u64,
    /// Decoded size in bytes, where the frame tells.
    pub content_size: Option<u64>,
    /// Whether 32 bits of XXH64 follow the frame; V1 wrote none.
    pub checksum: bool,
    /// Whether a dictionary is needed; V1 used none.
    pub dictionary: bool,
}

impl FrameHeader {
    /// Parses a frame header from its magic on; `None` where it is cut off or no frame.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&ZSTD_MAGIC)?;
        let descriptor = take(&mut rest, 1)? as u8;
        let single_segment = descriptor & 0x20 != 0;
        let window_descriptor = if single_segment {
            None
        } else {
            Some(take(&mut rest, 1)?)
        };
        let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let dictionary = take(&mut rest, dictionary_bytes)? != 0;
        let content_bytes = match descriptor >> 6 {
            0 => usize::from(single_segment),
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let raw_size = take(&mut rest, content_bytes)?;
        let content_size = match content_bytes {
            0 => None,
            2 => Some(raw_size + 256),
            _ => Some(raw_size),
        };
        let window = match window_descriptor {
            Some(byte) => {
                let base = 1_u64 << (10 + (byte >> 3));
                base + (base >> 3) * (byte & 7)
            }
            None => raw_size,
        };
        Some(Self {
            window,
            content_size,
            checksum: descriptor & 4 != 0,
            dictionary,
        })
    }
}

/// Takes a little-endian number of `count` bytes, at most 8.
fn take(rest: &mut &[u8], count: usize) -> Option<u64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(
        head.iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

/// Decodes the frames of one span.
pub(crate) struct FrameDecoder<R> {
    reader: R,
    /// Where in the file the next byte from `reader` lies.
    offset: u64,
    /// Bytes of the span still in `reader`.
    unread: u64,
    input: Vec<u8>,
    start: usize,
    end: usize,
    decoder: Decoder<'static>,
    between_frames: bool,
    frames: u64,
    produced: u64,
    limits: Limits,
    output: Vec<u8>,
}

impl<R: Read> FrameDecoder<R> {
    /// `reader` stands at `offset`; the span has `len` bytes.
    pub(crate) fn new(reader: R, offset: u64, len: u64, limits: Limits) -> Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(limits.window_log.clamp(10, 31)))?;
        let input_bytes = usize::try_from(len).map_or(INPUT_BYTES, |len| len.min(INPUT_BYTES));
        Ok(Self {
            reader,
            offset,
            unread: len,
            input: vec![0; input_bytes],
            start: 0,
            end: 0,
            decoder,
            between_frames: true,
            frames: 0,
            produced: 0,
            limits,
            output: Vec::new(),
        })
    }

    /// Fills `output` from the frames; fewer than its length only at the end.
    pub(crate) fn fill(&mut self, output: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(space) = output.get_mut(filled..).filter(|space| !space.is_empty()) {
            if self.between_frames && !self.begin_frame()? {
                break;
            }
            if self.start == self.end {
                self.refill()?;
            }
            let written = self.step(space)?;
            self.limits.allow_output(self.produced)?;
            filled += written;
        }
        Ok(filled)
    }

    /// Checks the next frame's header; `false` at the end of the span.
    fn begin_frame(&mut self) -> Result<bool> {
        if self.end - self.start < LONGEST_HEADER {
            self.refill()?;
        }
        let bytes = &self.input[self.start..self.end];
        if bytes.is_empty() && self.frames > 0 {
            return Ok(false);
        }
        let offset = self.offset - bytes.len() as u64;
        let seen = bytes.len().min(ZSTD_MAGIC.len());
        if bytes[..seen] != ZSTD_MAGIC[..seen] {
            return Err(Error::TrailingBytes { offset });
        }
        let header = FrameHeader::parse(bytes).ok_or(Error::Truncated {
            offset: offset + bytes.len() as u64,
        })?;
        let limit = self.limits.window_bytes();
        if header.window > limit {
            return Err(Error::WindowTooLarge {
                window: header.window,
                limit,
            });
        }
        let promised = self
            .produced
            .saturating_add(header.content_size.unwrap_or(0));
        self.limits.allow_output(promised)?;
        if self.frames > 0 {
            self.decoder.reinit()?;
        }
        self.between_frames = false;
        Ok(true)
    }

    /// One call of the decoder; returns the bytes written to `space`.
    fn step(&mut self, space: &mut [u8]) -> Result<usize> {
        let mut input = InBuffer::around(&self.input[self.start..self.end]);
        let mut output = OutBuffer::around(space);
        let hint = self
            .decoder
            .run(&mut input, &mut output)
            .map_err(|error| Error::Frame {
                message: error.to_string(),
            })?;
        let (read, written) = (input.pos(), output.pos());
        self.start += read;
        self.produced += written as u64;
        if hint == 0 {
            self.between_frames = true;
            self.frames += 1;
        } else if read == 0 && written == 0 && self.unread == 0 {
            return Err(Error::Truncated {
                offset: self.offset,
            });
        }
        Ok(written)
    }

    /// Moves what is left to the front and reads more of the span behind it.
    fn refill(&mut self) -> Result<()> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < self.input.len() && self.unread > 0 {
            let room = (self.input.len() - self.end)
                .min(usize::try_from(self.unread).unwrap_or(usize::MAX));
            let read = match self.reader.read(&mut self.input[self.end..self.end + room]) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if read == 0 {
                return Err(Error::Truncated {
                    offset: self.offset,
                });
            }
            self.end += read;
            self.offset += read as u64;
            self.unread -= read as u64;
        }
        Ok(())
    }
}

impl<R: Read> Chunks for FrameDecoder<R> {
    fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        let mut output = std::mem::take(&mut self.output);
        // The first chunk starts small, so that a pack of a few bytes costs a few pages.
        let wanted = if self.produced == 0 {
            16 << 10
        } else {
            OUTPUT_BYTES
        };
        output.resize(wanted, 0);
        let filled = self.fill(&mut output);
        self.output = output;
        let filled = filled?;
        Ok(self.output.get(..filled).filter(|chunk| !chunk.is_empty()))
    }
}
