//! Digests: what was read is in its final form, and reading that gives the same.

#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use tekseal_core::{Digest, hints};

fuzz_target!(|data: &[u8]| {
    let of_content = Digest::of(data);
    assert_eq!(of_content.as_str().parse().as_ref(), Ok(&of_content));
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let digest = text.parse::<Digest>();
    if let Ok(digest) = &digest {
        assert_eq!(digest.to_string(), text);
        assert_eq!(format!("sha256:{}", digest.hex()), text);
    }
    let Ok((algorithm, hex)) = hints::parse_digest(text) else {
        assert!(digest.is_err(), "hints may carry every digest of an image");
        return;
    };
    let length = match algorithm.as_str() {
        "sha1" => 40,
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        other => panic!("{other} is no algorithm of hints"),
    };
    assert_eq!(hex.len(), length);
    assert!(hex.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    let clean = format!("{algorithm}:{hex}");
    assert_eq!(clean.parse::<Digest>().is_ok(), algorithm == "sha256");
    assert_eq!(hints::parse_digest(&clean), Ok((algorithm, hex)));
});
