//! Sets of keys that verifiers are given: nothing of them brings a reader down, what is read is written again as the same set, and each key has a time that
//! begins.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tekseal_core::key_set::{KeySet as Document, MOST_KEYS};
use tekseal_signing::{KeySet, PublicKey};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::parse(data) else {
        return;
    };
    assert!((1..=MOST_KEYS).contains(&document.keys.len()));
    for entry in &document.keys {
        let start = entry
            .valid
            .start
            .expect("a key without a beginning is refused");
        assert!(entry.valid.end.is_none_or(|end| end >= start));
        assert!(entry.valid.covers(start));
        assert!(!entry.valid.covers(start - 1));
    }
    let written = document.to_json().expect("the times were read");
    assert!(Document::is_meant(written.as_bytes()));
    let back = Document::parse(written.as_bytes()).expect("it was just written");
    assert_eq!(back, document);
    let again = back.to_json().expect("the times were read");
    assert_eq!(again, written);
    let Ok(set) = KeySet::new(&document) else {
        return;
    };
    assert_eq!(set.keys().len(), document.keys.len());
    for entry in set.keys() {
        assert!(set.entries(&entry.key).count() >= 1);
        let pem = entry.key.to_pem();
        let back = PublicKey::from_pem(pem.as_bytes()).expect("it was just written");
        assert_eq!(back, entry.key);
    }
});
