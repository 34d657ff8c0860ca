//! Ports for servers that come back at the address at which they were.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that kernels give to whoever asks for any.
const LASTING: Range<u16> = 20_000..30_000;

/// A port of 127.0.0.1 that is free and that nobody is given by chance, neither as a server nor as a client: while a server that was here
/// is gone, its clients must meet nobody else.
///
/// # Panics
///
/// When all are taken.
#[must_use]
pub fn lasting_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    // Processes of tests beside each other begin at different places, and threads of one never get the same.
    let begin = std::process::id().wrapping_mul(97) % u32::from(LASTING.end - LASTING.start);
    let begin = u16::try_from(begin).expect("it is below the number of ports");
    let count = LASTING.end - LASTING.start;
    (0..count)
        .map(|_| {
            let step = COUNT.fetch_add(1, Ordering::Relaxed);
            LASTING.start + ((u32::from(begin) + u32::from(step)) % u32::from(count)) as u16
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("ten thousand ports are not all taken")
}
