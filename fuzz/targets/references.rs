//! Image references: what was read is written as it would be read again, and is the same image everywhere it is named.

#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use tekseal_core::{DigestRef, ImageRef, Payload, Repository, SimpleSigning, Subject};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(repository) = Repository::parse(text) {
        check_repository(&repository);
    }
    let Ok(reference) = ImageRef::parse(text) else {
        assert!(DigestRef::parse(text).is_err());
        return;
    };
    check_repository(&reference.repository);
    if is_short(&reference.repository) {
        assert_eq!(
            ImageRef::parse(&reference.to_string()),
            Ok(reference.clone())
        );
    }
    let Ok(image) = DigestRef::parse(text) else {
        assert_eq!(reference.digest, None);
        return;
    };
    assert_eq!(image.repository, reference.repository);
    assert_eq!(Some(&image.digest), reference.digest.as_ref());
    check_image(&image);
});

fn check_repository(repository: &Repository) {
    let text = repository.to_string();
    assert_eq!(
        text,
        format!("{}/{}", repository.registry(), repository.path())
    );
    assert!(!repository.registry().is_empty());
    if is_short(repository) {
        assert_eq!(Repository::parse(&text).as_ref(), Ok(repository));
    }
}

fn check_image(image: &DigestRef) {
    let document = SimpleSigning::of(image);
    assert!(document.is_of(&image.digest));
    let payload = Payload::simple_signing(image);
    let read: SimpleSigning =
        serde_json::from_slice(payload.bytes()).expect("what is signed is read back");
    assert_eq!(read, document);
    let [subject] = payload.subjects() else {
        panic!("a simple-signing document speaks of one image");
    };
    assert_eq!(*subject, Subject::of_image(image));
    if is_short(&image.repository) {
        assert_eq!(subject.image().as_ref(), Some(image));
        assert_eq!(DigestRef::parse(&image.to_string()).as_ref(), Ok(image));
    }
}

/// As in go-containerregistry, the `library/` of Docker Hub does not count when a path is held to its length, so that what is
/// written may be too long to be read again.
fn is_short(repository: &Repository) -> bool {
    repository.path().len() <= 255
}
