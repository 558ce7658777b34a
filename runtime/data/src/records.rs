//! Rows of packed files by place, in any order, with those that are wanted next read ahead.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Code, DataError};
use crate::packed::Packed;
use crate::streamed::{Streamed, unreadable};

/// Threads that wait for a disk: as many rows are asked of it at once.
const READERS: usize = 16;

/// Rows that are worth a thread of their own: where a disk has to be waited for, and where rows come out of the page cache.
const ROWS_OF_A_READER: [usize; 2] = [8, 128];

/// What a row takes at least that a disk was waited for.
const WAITED: Duration = Duration::from_micros(10);

/// Batches that are read ahead at most: more than one training may go through the same rows.
const AHEAD: usize = 4;

/// Bytes between rows that are read along rather than passed over.
const GAP: u64 = 16 << 10;

/// Rows of files, each of `length` bytes, `stride` bytes from one to the next.
///
/// Read by any number of threads. Clones share what is read ahead.
#[derive(Clone)]
pub struct Records {
    inside: Arc<Inside>,
    ahead: Arc<Ahead>,
}

struct Inside {
    file: String,
    parts: Vec<Arc<Packed>>,
    /// Rows ahead of the end of each part.
    ends: Vec<u64>,
    stride: u64,
    length: usize,
    /// The bytes of each part, where all of them fit in memory.
    held: Vec<Vec<u8>>,
}

/// What is read ahead. The readers end with the last clone.
struct Ahead {
    shared: Arc<Shared>,
    inside: Arc<Inside>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    next: u64,
    readers: usize,
    /// Whether the last rows read had to be waited for. It decides who reads, not what.
    waits: bool,
    ends: bool,
}

/// Rows that are wanted soon, cut into pieces.
struct Batch {
    number: u64,
    rows: Vec<u32>,
    pieces: Vec<Piece>,
}

enum Piece {
    Waits(std::ops::Range<usize>),
    IsRead,
    Read(io::Result<Vec<u8>>),
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows of {}", self.inside.file)
    }
}

impl Records {
    /// The rows that a column is taken from, in memory if they take at most `memory` bytes. In a text, `window` says how many
    /// characters a row has, and how many lie from one row's start to the next's.
    ///
    /// Errors: packed rows that are to be in memory cannot be read, or were changed.
    pub fn of(
        column: &Streamed,
        window: Option<(u64, u64)>,
        memory: u64,
    ) -> Result<Records, DataError> {
        let record = column.record() as u64;
        let (length, stride) = window.unwrap_or((1, 1));
        let mut end = 0;
        let ends = column.parts.iter().map(|part| {
            end += part.about.rows;
            end
        });
        let bytes = |part: &Packed| part.about.rows * record;
        let all: u64 = column.parts.iter().map(|part| bytes(part)).sum();
        let mut held = Vec::new();
        for part in column.parts.iter().filter(|_| all <= memory) {
            let mut rows = vec![0; bytes(part) as usize];
            let read = part
                .read(0, &mut rows)
                .and_then(|()| part.check_unchanged());
            read.map_err(|error| unreadable(&column.file, &error))?;
            held.push(rows);
        }
        let inside = Arc::new(Inside {
            file: column.file.clone(),
            held,
            ends: ends.collect(),
            parts: column.parts.clone(),
            stride: stride * record,
            length: (length * record) as usize,
        });
        let ahead = Ahead {
            shared: Arc::default(),
            inside: Arc::clone(&inside),
        };
        Ok(Records {
            inside,
            ahead: Arc::new(ahead),
        })
    }

    /// Whether a column is taken from these rows.
    pub fn hold(&self, column: &Streamed) -> bool {
        let parts = self.inside.parts.iter().zip(&column.parts);
        self.inside.parts.len() == column.parts.len()
            && parts.into_iter().all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Bytes of a row.
    pub fn length(&self) -> usize {
        self.inside.length
    }

    /// Says which rows will be asked for soon: they are read by other threads meanwhile.
    pub fn expect(&self, rows: &[u32]) {
        if self.inside.held.is_empty() {
            self.ahead.expect(rows);
        }
    }

    /// Puts rows into `out`, one behind another. What it held before is gone.
    ///
    /// Errors: a row that is not there; packed rows that cannot be read, or were changed.
    pub fn read(&self, rows: &[u32], out: &mut Vec<u8>) -> Result<(), DataError> {
        if !self.inside.held.is_empty() {
            let copied = self.inside.copy(rows, out);
            return copied.ok_or_else(|| self.inside.no_such_row());
        }
        let taken = self.ahead.take(rows, out);
        let read = taken.unwrap_or_else(|| {
            out.clear();
            self.inside.read(rows, out)
        });
        let checked = read.and_then(|()| {
            let mut parts = self.inside.parts.iter();
            parts.try_for_each(|part| part.check_unchanged())
        });
        checked.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => self.inside.no_such_row(),
            _ => unreadable(&self.inside.file, &error),
        })
    }
}

impl Inside {
    fn no_such_row(&self) -> DataError {
        let message = "a row asked for is not there".to_owned();
        DataError::new(Code::Format, &self.file, message, "")
    }

    /// Rows out of memory; nothing where one is not there.
    fn copy(&self, rows: &[u32], out: &mut Vec<u8>) -> Option<()> {
        out.clear();
        out.reserve(rows.len() * self.length);
        for &row in rows {
            let row = u64::from(row);
            let number = self.ends.partition_point(|&end| end <= row);
            let before = number
                .checked_sub(1)
                .and_then(|before| self.ends.get(before));
            // The windows of a text reach beyond its rows.
            let number = if self.held.len() == 1 { 0 } else { number };
            let before = before.filter(|_| self.held.len() > 1).copied().unwrap_or(0);
            let start = ((row - before) * self.stride) as usize;
            out.extend_from_slice(self.held.get(number)?.get(start..start + self.length)?);
        }
        Some(())
    }

    /// Adds rows to `out`. Rows that stand close behind each other are read at once.
    fn read(&self, rows: &[u32], out: &mut Vec<u8>) -> io::Result<()> {
        out.reserve(rows.len() * self.length);
        let mut span = Vec::new();
        let mut rest = rows;
        while let Some((&first, _)) = rest.split_first() {
            let (part, start) = self.place(first)?;
            let bytes = part.about.rows * part.about.record;
            let close = rest.windows(2).take_while(|pair| self.is_close(pair));
            // A span takes at most as much again as its rows.
            let (here, later) = rest.split_at(1 + close.count());
            let last = here.last().copied().unwrap_or(first);
            let end = start + u64::from(last - first) * self.stride + self.length as u64;
            if end > bytes {
                // It reaches into the next part, or beyond the end: row by row.
                self.read_one(part, start, bytes, out)?;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            if here.len() == 1 {
                self.read_one(part, start, bytes, out)?;
            } else {
                span.resize((end - start) as usize, 0);
                part.read(start, &mut span)?;
                for row in here {
                    let at = (u64::from(row - first) * self.stride) as usize;
                    out.extend_from_slice(span.get(at..at + self.length).unwrap_or_default());
                }
            }
            rest = later;
        }
        Ok(())
    }

    fn is_close(&self, pair: &[u32]) -> bool {
        let [one, next] = pair else { return false };
        let apart = u64::from(next.saturating_sub(*one)) * self.stride;
        one < next && apart <= (2 * self.length as u64).min(self.length as u64 + GAP)
    }

    fn read_one(&self, part: &Packed, start: u64, bytes: u64, out: &mut Vec<u8>) -> io::Result<()> {
        if start + self.length as u64 > bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let before = out.len();
        out.resize(before + self.length, 0);
        part.read(start, out.get_mut(before..).unwrap_or_default())
    }

    /// The part that holds a row, and the place of its first byte there.
    fn place(&self, row: u32) -> io::Result<(&Packed, u64)> {
        let row = u64::from(row);
        if let [only] = self.parts.as_slice() {
            return Ok((only, row * self.stride));
        }
        let number = self.ends.partition_point(|&end| end <= row);
        let part = self.parts.get(number).ok_or(io::ErrorKind::InvalidInput)?;
        let before = number
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        Ok((part, (row - before.copied().unwrap_or(0)) * self.stride))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ahead {
    fn expect(&self, rows: &[u32]) {
        let mut state = self.shared.lock();
        if rows.is_empty() || state.batches.iter().any(|batch| batch.rows == rows) {
            return;
        }
        // One that nobody came for, and that no reader is at work on, makes room.
        if state.batches.len() >= AHEAD {
            let idle = |batch: &Batch| !batch.pieces.iter().any(|it| matches!(it, Piece::IsRead));
            match state.batches.iter().position(idle) {
                Some(old) => drop(state.batches.remove(old)),
                None => return,
            }
        }
        let [waiting, cached] = ROWS_OF_A_READER;
        let share = if state.waits { waiting } else { cached };
        let pieces = rows.len().div_ceil(share).clamp(1, READERS);
        let size = rows.len().div_ceil(pieces);
        let cut = |piece: usize| piece * size..rows.len().min((piece + 1) * size);
        let (number, rows) = (state.next, rows.to_vec());
        state.next += 1;
        state.batches.push_back(Batch {
            number,
            pieces: (0..pieces).map(cut).map(Piece::Waits).collect(),
            rows,
        });
        while state.readers < pieces {
            let (shared, inside) = (Arc::clone(&self.shared), Arc::clone(&self.inside));
            let reader = std::thread::Builder::new().name("mmh rows".to_owned());
            // They read, and call nothing deep.
            let reader = reader.stack_size(128 << 10);
            if reader.spawn(move || work(&shared, &inside)).is_err() {
                break;
            }
            state.readers += 1;
        }
        if state.readers == 0 {
            state.batches.pop_back();
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// What was read ahead of these rows; nothing where they were not expected.
    fn take(&self, rows: &[u32], out: &mut Vec<u8>) -> Option<io::Result<()>> {
        let mut state = self.shared.lock();
        let known = state.batches.iter().find(|batch| batch.rows == rows)?;
        let number = known.number;
        loop {
            let place = state
                .batches
                .iter()
                .position(|batch| batch.number == number)?;
            let is_whole =
                |batch: &Batch| batch.pieces.iter().all(|it| matches!(it, Piece::Read(_)));
            if !state.batches.get(place).is_some_and(is_whole) {
                state = self.shared.wait(state);
                continue;
            }
            let batch = state.batches.remove(place)?;
            drop(state);
            out.clear();
            for piece in batch.pieces {
                let Piece::Read(read) = piece else { continue };
                match read {
                    Ok(bytes) => out.extend_from_slice(&bytes),
                    Err(error) => return Some(Err(error)),
                }
            }
            return Some(Ok(()));
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
    }
}

impl State {
    /// A piece that waits: its batch, its place there, its rows.
    fn piece(&mut self) -> Option<(u64, usize, Vec<u32>)> {
        for batch in &mut self.batches {
            for (place, piece) in batch.pieces.iter_mut().enumerate() {
                if let Piece::Waits(range) = piece {
                    let rows = batch.rows.get(range.clone()).unwrap_or_default().to_vec();
                    *piece = Piece::IsRead;
                    return Some((batch.number, place, rows));
                }
            }
        }
        None
    }
}

fn work(shared: &Shared, inside: &Inside) {
    let mut state = shared.lock();
    while !state.ends {
        let Some((number, place, rows)) = state.piece() else {
            state = shared.wait(state);
            continue;
        };
        drop(state);
        let (mut bytes, began) = (Vec::new(), Instant::now());
        let read = inside.read(&rows, &mut bytes).map(|()| bytes);
        let taken = began.elapsed();
        state = shared.lock();
        state.waits = taken > WAITED * u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let batch = state
            .batches
            .iter_mut()
            .find(|batch| batch.number == number);
        if let Some(piece) = batch.and_then(|batch| batch.pieces.get_mut(place)) {
            *piece = Piece::Read(read);
        }
        shared.changed.notify_all();
    }
}
