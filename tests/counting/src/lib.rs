//! The system's allocator, counting what one piece of work takes from it: how often, how much, and the most at one time.
//!
//! For benchmarks and tests alone; no program that is released has it. It stands in a crate of its own because it is the only unsafe
//! code of the project. The crate `cap` was rejected: it counts always, with atomic operations, which is a fifth of the time of a
//! statement. Here counting is by thread, so tests beside each other do not disturb it, and costs one load while it is off.
//!
//! ```text
//!   #[global_allocator]
//!   static ALLOCATOR: Counting = Counting;
//!   let (value, used) = measured(|| work());
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator; counts on threads that are inside `measured`.
#[derive(Debug)]
pub struct Counting;

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// How often it asked for memory; growing counts too.
    pub allocations: u64,
    /// How many bytes it asked for altogether; growing counts what was added.
    pub bytes: u64,
    /// The most bytes that it held at one time.
    pub peak: u64,
}

#[derive(Clone, Copy)]
struct Counts {
    used: Used,
    /// What is held now, beyond what was held before. Memory of before may be given back.
    held: i64,
}

thread_local! {
    static COUNTS: Cell<Option<Counts>> = const { Cell::new(None) };
}

/// Does the work and tells what it took, the result included. One within the other is not possible.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Used) {
    let counts = Counts {
        used: Used::default(),
        held: 0,
    };
    COUNTS.set(Some(counts));
    let value = work();
    let used = COUNTS.take().map_or(Used::default(), |counts| counts.used);
    (value, used)
}

/// Notes a change of what is held.
fn note(is_asked: bool, change: i64) {
    let Some(mut counts) = COUNTS.get() else {
        return;
    };
    counts.held += change;
    counts.used.allocations += u64::from(is_asked);
    counts.used.bytes += u64::try_from(change).unwrap_or(0);
    counts.used.peak = counts
        .used
        .peak
        .max(u64::try_from(counts.held).unwrap_or(0));
    COUNTS.set(Some(counts));
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one hands everything on as it came"
)]
// SAFETY: each method hands its arguments to the system's allocator unchanged and returns what that returned.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(true, signed(layout.size()));
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(true, signed(layout.size()));
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(false, -signed(layout.size()));
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(true, signed(size) - signed(layout.size()));
        // SAFETY: the caller's promise is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn what_is_given_back_counts_once_in_the_peak() {
        let (kept, used) = measured(|| {
            drop(std::hint::black_box(vec![1u8; 1000]));
            std::hint::black_box(vec![1u8; 500])
        });
        assert_eq!(kept.len(), 500);
        let wanted = Used {
            allocations: 2,
            bytes: 1500,
            peak: 1000,
        };
        assert_eq!(used, wanted);
    }
}
