//! Documents of TUF repositories: nothing that a mirror shows brings a reader down, and nothing that nobody signed is taken.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tekseal_signing::tuf::{Cached, Known, Root};

/// That of Sigstore's public instance. What follows from it only its keys can sign.
const ROOT: &[u8] = include_bytes!("../../crates/signing/src/tuf/testdata/15.root.json");

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    static FIRST: OnceLock<Root> = OnceLock::new();
    let root = FIRST.get_or_init(|| Root::first(ROOT).expect("it is Sigstore's"));
    // Whoever makes a root of their own may sign it themselves.
    if let Ok(other) = Root::first(data) {
        assert!(other.next_version() >= other.version());
    }
    assert!(root.next(data).is_err(), "nobody has signed it");
    let current = root.current(0).expect("it has not expired then");
    let known = current.known(Cached {
        timestamp: Some(data),
        snapshot: Some(data),
        targets: Some(data),
    });
    for known in [&known, &Known::default()] {
        assert!(
            current.timestamp(data, known).is_err(),
            "nobody has signed it"
        );
    }
});
