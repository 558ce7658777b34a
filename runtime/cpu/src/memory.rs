//! Aligned buffers, and scratch memory that each thread keeps between calls.
#![expect(
    unsafe_code,
    reason = "aligned allocation goes through the raw allocator"
)]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer in bytes: one cache line, and one 512-bit vector.
pub const ALIGNMENT: usize = 64;

/// Size and alignment of a large page in bytes. Buffers of several live on such pages: a step that reads memory across its
/// rows, or for the first time in a while, otherwise waits for the table of pages more than for the memory.
const LARGE_PAGE: usize = 2 << 20;

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
        let raw = unsafe {
            if layout.align() == LARGE_PAGE {
                zeroed_on_large_pages(layout)
            } else {
                alloc_zeroed(layout)
            }
        };
        let Some(pointer) = NonNull::new(raw.cast::<f32>()) else {
            handle_alloc_error(layout)
        };
        Self { pointer, length }
    }

    fn layout(length: usize) -> Layout {
        let floats = Layout::array::<f32>(length);
        let layout = floats.and_then(|layout| {
            let is_large = layout.size() >= 2 * LARGE_PAGE;
            layout.align_to(if is_large { LARGE_PAGE } else { ALIGNMENT })
        });
        layout.expect("a buffer is smaller than the address space")
    }
}

/// Zeros on large pages, where the system has them to give; null if it has no memory.
///
/// # Safety
/// As [`alloc`]: the layout has a size above zero.
unsafe fn zeroed_on_large_pages(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's contract; what is written and advised on is the allocation.
    unsafe {
        let raw = alloc(layout);
        if !raw.is_null() {
            // The advice comes before the first touch, which decides the size of a page. A system that does not take it
            // gives small ones.
            #[cfg(target_os = "linux")]
            let _ =
                rustix::mm::madvise(raw.cast(), layout.size(), rustix::mm::Advice::LinuxHugepage);
            raw.write_bytes(0, layout.size());
        }
        raw
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
        for length in [0, 1, 17, 4096, LARGE_PAGE / 2 + 5] {
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
