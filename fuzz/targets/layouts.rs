//! What registries and folders say of images: manifests, lists of referrers, OCI layouts. Nothing of it brings a reader down, what is written again
//! reads the same, and what is handed on has the digest that it is called by.
//!
//! An input is documents: `index.json`, and blobs. `@2` in one is the digest of the third, and 70000002 its size, so that a change of one leaves the
//! others where they were.

#![no_main]

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tekseal_core::{Digest, cosign};
use tekseal_remote::oci_layout::{OciLayout, Wanted};
use tekseal_remote::registry::Manifest;
use tekseal_remote::store::manifest::ImageManifest;
use tekseal_remote::store::tree::Referrer;
use tekseal_remote::store::{Layers, Source};

/// How many documents are blobs of the layout.
const MOST_BLOBS: usize = 9;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let documents: Vec<&[u8]> = data
        .split(|byte| *byte == 0xff)
        .take(1 + MOST_BLOBS)
        .collect();
    let (index, blobs) = resolved(&documents);
    for blob in blobs.iter().chain([&index]) {
        check_manifest(blob);
        if let Ok(referrers) = Referrer::list(blob) {
            let likely = referrers.iter().filter(|one| one.may_hold_signatures());
            assert!(likely.count() <= referrers.len());
        }
    }
    let folder = laid_out(&index, &blobs);
    let Ok(layout) = OciLayout::open(folder) else {
        return;
    };
    for wanted in [Wanted::Only, Wanted::Tag("img".to_owned())] {
        let Ok(image) = layout.resolve(&wanted) else {
            continue;
        };
        let source = Source::Layout(&layout);
        for tag in [cosign::Tag::Signatures, cosign::Tag::Attestations] {
            if let Ok(layers) = now(Layers::open_in(source, &image, tag)) {
                check_layers(layers);
            }
        }
        if let Ok(layers) = now(Layers::referring_in(source, &image)) {
            check_layers(layers);
        }
    }
});

/// The documents with the digests and sizes of those that they name, which come after them.
fn resolved(documents: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut done: Vec<Vec<u8>> = Vec::with_capacity(documents.len());
    for document in documents.iter().rev() {
        let mut text = String::from_utf8_lossy(document).into_owned();
        for (back, later) in done.iter().enumerate() {
            let number = documents.len() - 1 - back;
            text = text.replace(&format!("@{number}"), Digest::of(later).hex());
            text = text.replace(&format!("7000000{number}"), &later.len().to_string());
        }
        done.push(text.into_bytes());
    }
    let index = done.pop().unwrap_or_default();
    (index, done)
}

fn check_manifest(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        ImageManifest::parse(&Manifest {
            bytes: bytes.to_vec(),
            media_type: String::new(),
            digest: Digest::of(bytes),
        })
    };
    let Ok(manifest) = read(bytes) else {
        return;
    };
    let Ok(written) = manifest.encode() else {
        return;
    };
    let back = read(&written.manifest).expect("it was just written");
    assert_eq!(back.layers().len(), manifest.layers().len());
    for (back, layer) in back.layers().iter().zip(manifest.layers()) {
        assert_eq!(
            (back.digest(), back.size(), back.annotations()),
            (layer.digest(), layer.size(), layer.annotations())
        );
    }
    let again = back.encode().expect("it was just written");
    assert_eq!(again.manifest, written.manifest);
}

fn check_layers(mut layers: Layers<'_>) {
    while let Some(fetched) = now(layers.next()) {
        if let Ok(signed) = fetched.signed {
            assert_eq!(signed.layer_digest().as_str(), fetched.digest);
        }
    }
}

/// A layout of these, in one folder for all inputs.
fn laid_out(index: &[u8], blobs: &[Vec<u8>]) -> &'static Path {
    static FOLDER: OnceLock<std::path::PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let name = format!("tekseal-fuzz-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the folder is ours");
        let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
        fs::write(folder.join("oci-layout"), version).expect("the folder is ours");
        folder
    });
    let place = folder.join("blobs/sha256");
    // There is none before the first input.
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).expect("the folder is ours");
    for blob in blobs {
        fs::write(place.join(Digest::of(blob).hex()), blob).expect("the folder is ours");
    }
    fs::write(folder.join("index.json"), index).expect("the folder is ours");
    folder
}

/// What a future gives that waits for nobody: a folder answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("somebody was waited for");
}
