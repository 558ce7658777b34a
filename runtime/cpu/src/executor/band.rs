//! Runs a band: every slice through all of its steps.

use super::Loaded;
use crate::contract::Context;
use crate::launch::Memory;
use crate::memory::scratch;
use mmh_ir::device::RunError;
use mmh_lower::{Band, Part};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

impl Loaded {
    /// Runs a band on all threads. With a clock, the time that each of its steps took, all slices together.
    ///
    /// # Errors
    /// That of the lowest slice that fails.
    pub(super) fn band(&self, band: &Band, has_clock: bool) -> Result<Vec<Duration>, RunError> {
        let alone = Context::new(&self.alone, self.isa).map_err(super::refused)?;
        let nanos: Vec<AtomicU64> = band.steps.clone().map(|_| AtomicU64::new(0)).collect();
        let failed: Mutex<Option<(usize, RunError)>> = Mutex::new(None);
        self.pool.run(band.slices, &|slice| {
            let mut own = scratch(band.bytes.div_ceil(size_of::<f32>()));
            let memory = self.of_slice(band, slice, own.as_mut_ptr().cast());
            let part = Part {
                number: slice,
                of: band.slices,
            };
            for (at, nanos) in band.steps.clone().zip(&nanos) {
                let began = has_clock.then(Instant::now);
                if let Err(error) = self.part(&alone, &memory, at, part) {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(first, _)| slice < *first) {
                        *failed = Some((slice, error));
                    }
                    return;
                }
                if let Some(began) = began {
                    nanos.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
                }
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(nanos
                .into_iter()
                .map(|n| Duration::from_nanos(n.into_inner()))
                .collect()),
        }
    }

    /// Where buffers lie for one slice: the band's own ones stand so in the thread's memory that the slice's chunk of each
    /// begins at its place there. Nothing outside the chunk is touched.
    fn of_slice(&self, band: &Band, slice: usize, own: *mut u8) -> Memory {
        let mut memory = self.memory.clone();
        for (buffer, place) in &band.own {
            let b = buffer.index();
            let chunk = memory.elements[b] / band.slices * memory.bytes[b];
            memory.base[b] = own.wrapping_add(*place).wrapping_sub(slice * chunk);
        }
        memory
    }
}
