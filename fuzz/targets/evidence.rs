//! Bundles, trusted roots, answers of logs and annotations of layers: nothing that anybody writes brings a reader down, and what is
//! written again reads the same.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tekseal_core::evidence::LogEntry;
use tekseal_core::{Bundle, Evidence, TrustedRoot, cosign};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let _ = TrustedRoot::parse(data);
    if let Ok(bundle) = Bundle::parse(data) {
        bundle.evidence.entries.iter().for_each(check_entry);
    }
    if let Ok((_, entry)) = LogEntry::of_rekor_v1(data) {
        check_entry(&entry);
    }
    if let Ok(entry) = LogEntry::of_rekor_v2(data) {
        check_entry(&entry);
    }
    if let Ok(annotations) = serde_json::from_slice::<BTreeMap<String, String>>(data)
        && let Ok(evidence) = Evidence::of_annotations(&annotations)
    {
        evidence.entries.iter().for_each(check_entry);
    }
});

fn check_entry(entry: &LogEntry) {
    if let Some(text) = entry.to_cosign_annotation() {
        let annotations = BTreeMap::from([(cosign::BUNDLE_ANNOTATION.to_owned(), text)]);
        let back = Evidence::of_annotations(&annotations).expect("it was just written");
        let back = &back.entries[0];
        assert_eq!(
            (&back.body, &back.log_id, back.log_index, &back.promise),
            (&entry.body, &entry.log_id, entry.log_index, &entry.promise)
        );
    }
    if entry.inclusion.is_some()
        && let Some(text) = entry.to_bundle_json()
    {
        let back = LogEntry::of_rekor_v2(text.as_bytes()).expect("it was just written");
        assert_eq!(
            (&back.body, &back.inclusion),
            (&entry.body, &entry.inclusion)
        );
    }
}
