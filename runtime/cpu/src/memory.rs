//! Aligned buffers, and scratch memory that each thread keeps between calls.
#![expect(
    unsafe_code,
    reason = "aligned allocation goes through the raw allocator"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer in bytes: one cache line, and one 512-bit vector.
pub const ALIGNMENT: usize = 64;

/// A zero-initialised `f32` buffer that starts on a cache line.
pub struct AlignedBuffer {
    pointer: NonNull<f32>,
    length: usize,
}

// SAFETY: the buffer owns its memory alone, and `f32` may move and be shared between threads.
unsafe impl Send for AlignedBuffer {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// A buffer of `length` zeros.
    ///
    /// # Panics
    /// If the size in bytes exceeds `isize::MAX`.
    pub fn zeroed(length: usize) -> Self {
        let layout = Self::layout(length);
        if layout.size() == 0 {
            return Self {
                pointer: NonNull::dangling(),
                length: 0,
            };
        }
        // SAFETY: the layout has a size above zero.
        let raw = unsafe { alloc_zeroed(layout) }.cast::<f32>();
        let Some(pointer) = NonNull::new(raw) else {
            handle_alloc_error(layout)
        };
        Self { pointer, length }
    }

    fn layout(length: usize) -> Layout {
        let layout = Layout::array::<f32>(length).and_then(|layout| layout.align_to(ALIGNMENT));
        layout.expect("a buffer is smaller than the address space")
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: a length above zero means `zeroed` allocated with this same layout.
            unsafe { dealloc(self.pointer.as_ptr().cast(), Self::layout(self.length)) }
        }
    }
}

impl Deref for AlignedBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the memory holds `length` initialised floats and lives as long as `self`. A dangling pointer of
        // length 0 is aligned for `f32`.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.length) }
    }
}

/// Idle buffers a thread keeps; more than a contraction ever borrows at once.
const IDLE_LIMIT: usize = 12;

thread_local! {
    static IDLE: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// A borrowed buffer that goes back to its thread's store when dropped. Its content is unspecified, but initialised.
pub struct Scratch {
    buffer: ManuallyDrop<AlignedBuffer>,
}

/// Borrows a buffer of at least `length` floats from this thread's store.
pub fn scratch(length: usize) -> Scratch {
    let buffer = IDLE.with_borrow_mut(|idle| {
        let fitting = idle
            .iter()
            .enumerate()
            .filter(|(_, buffer)| buffer.len() >= length);
        let best = fitting
            .min_by_key(|(_, buffer)| buffer.len())
            .map(|(place, _)| place);
        best.map(|place| idle.swap_remove(place))
    });
    let buffer =
        buffer.unwrap_or_else(|| AlignedBuffer::zeroed(length.next_power_of_two().max(1024)));
    Scratch {
        buffer: ManuallyDrop::new(buffer),
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: the buffer is taken once, here, and `self` is not used again.
        let buffer = unsafe { ManuallyDrop::take(&mut self.buffer) };
        // A thread that is ending has no store any more; the buffer is then freed.
        let _ = IDLE.try_with(|idle| {
            let mut idle = idle.borrow_mut();
            idle.push(buffer);
            if idle.len() > IDLE_LIMIT {
                let smallest = idle
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, buffer)| buffer.len());
                if let Some(place) = smallest.map(|(place, _)| place) {
                    idle.swap_remove(place);
                }
            }
        });
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zero() {
        for length in [0, 1, 17, 4096] {
            let buffer = AlignedBuffer::zeroed(length);
            assert_eq!(buffer.len(), length);
            assert!(length == 0 || buffer.as_ptr().addr().is_multiple_of(ALIGNMENT));
            assert!(buffer.iter().all(|&x| x.to_bits() == 0));
        }
    }

    #[test]
    fn scratch_is_lent_again() {
        let first = scratch(5000).as_ptr();
        assert_eq!(scratch(4000).as_ptr(), first);
        let (mut left, mut right) = (scratch(5000), scratch(5000));
        assert_ne!(left.as_mut_ptr(), right.as_mut_ptr());
    }
}
