//! Sets of public keys: nothing that stands in one brings a reader down, what is written again reads the same, and each key is found with the times that
//! stand beside it.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tekseal_core::KeySet as Document;
use tekseal_signing::KeySet;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::parse(data) else {
        return;
    };
    let text = document.to_json().expect("its times were read");
    assert!(Document::is_meant(text.as_bytes()));
    let back = Document::parse(text.as_bytes()).expect("it was just written");
    assert_eq!(back, document);
    let Ok(set) = KeySet::new(&document) else {
        return;
    };
    assert_eq!(set.keys().len(), document.keys.len());
    for (dated, entry) in set.keys().iter().zip(&document.keys) {
        assert_eq!(dated.valid, entry.valid);
        assert!(set.entries(&dated.key).any(|found| found == dated));
        let start = entry.valid.start.expect("each has a beginning");
        assert!(dated.valid.covers(start));
    }
});
