use base64::engine::general_purpose::STANDARD;

use super::*;

const A: &[u8] = include_bytes!("../testdata/a.pub");
const P384: &[u8] = include_bytes!("../testdata/p384.pub");
const P521: &[u8] = include_bytes!("../testdata/p521.pub");
const RSA: &[u8] = include_bytes!("../testdata/rsa.pub");
const ED: &[u8] = include_bytes!("../testdata/ed.pub");

fn key(pem: &[u8]) -> PublicKey {
    PublicKey::from_pem(pem).expect("a good key")
}

fn error(pem: &[u8]) -> Error {
    PublicKey::from_pem(pem).expect_err("not a supported key")
}

#[test]
fn keys_of_the_supported_kinds_are_read_and_written_as_they_were() {
    for (pem, algorithm) in [
        (A, KeyAlgorithm::P256),
        (P384, KeyAlgorithm::P384),
        (RSA, KeyAlgorithm::Rsa(2048)),
        (ED, KeyAlgorithm::Ed25519),
    ] {
        assert_eq!(key(pem).algorithm(), algorithm);
        assert_eq!(key(pem).to_pem().as_bytes(), pem);
    }
}

#[test]
fn fingerprints_are_those_that_openssh_prints() {
    assert_eq!(
        key(A).fingerprint(),
        "SHA256:23SEfDOWZ3JZWDs9N5bnpvJXb100SvHvSoBYSMp1GRY"
    );
    assert_eq!(
        key(P384).fingerprint(),
        "SHA256:A3ZQkibqNtAaSVxUDf03FrdPY/JDDP8uiqJrF0ej+II"
    );
    assert_eq!(
        key(RSA).fingerprint(),
        "SHA256:pZ5ujJuHoF6AJkOi7WrnzhoKbPoYwJvtg8feGsTt7lg"
    );
    assert_eq!(
        key(ED).fingerprint(),
        "SHA256:tkpJD7aNaBV7Z7jXiIH+KKHHDsxK9u4JgGrYZu16Q0I"
    );
}

#[test]
fn other_curves_private_keys_and_other_blocks_are_refused_by_name() {
    assert_eq!(
        error(include_bytes!("../testdata/secp256k1.pub")),
        Error::Unsupported("secp256k1")
    );
    assert_eq!(
        error(include_bytes!("../testdata/a.key")).to_string(),
        "this is a private key (ENCRYPTED SIGSTORE PRIVATE KEY); give the public one, cosign.pub"
    );
    assert_eq!(
        error(include_bytes!("../testdata/ed.plain.pem")),
        Error::PrivateKey("PRIVATE KEY".to_owned())
    );
    assert_eq!(
        error(pem::write("CERTIFICATE", b"x").as_bytes()),
        Error::Label("CERTIFICATE".to_owned())
    );
    assert_eq!(error(b"ssh-ed25519 AAAA"), Error::Pem(pem::Error::NoBlock));
}

#[test]
fn compressed_points_and_small_rsa_keys_are_refused() {
    let p256 = der::Algorithm::P256.identifier().expect("it has one");
    let compressed = [&[0x30, 0x39][..], &p256, &[3, 0x22, 0, 2], &[7; 32]].concat();
    assert_eq!(
        PublicKey::from_spki(&compressed),
        Err(Error::CompressedPoint)
    );
    let modulus = [&[2, 0x81, 0x81, 0][..], &[0xff; 128], &[2, 1, 3]].concat();
    let rsa = [&[0x30, 0x81, modulus.len() as u8][..], &modulus].concat();
    let bits = [&[3, 0x81, rsa.len() as u8 + 1, 0][..], &rsa].concat();
    let identifier = [&[0x30, 13, 6, 9][..], der::oid::RSA, &[5, 0]].concat();
    let length = identifier.len() + bits.len();
    let spki = [&[0x30, 0x81, length as u8][..], &identifier, &bits].concat();
    assert_eq!(PublicKey::from_spki(&spki), Err(Error::RsaSize(1024)));
}

#[test]
fn a_key_cut_short_or_followed_by_more_is_an_error() {
    for pem in [A, P384, RSA, ED] {
        let spki = key(pem).spki;
        for length in 0..spki.len() {
            assert!(
                PublicKey::from_spki(&spki[..length]).is_err(),
                "{length} bytes"
            );
        }
        assert_eq!(
            PublicKey::from_spki(&[&spki[..], &[0]].concat()),
            Err(Error::Malformed)
        );
    }
}

#[test]
fn any_changed_bit_of_a_key_is_another_key_or_an_error() {
    for pem in [A, P384, RSA, ED] {
        let original = key(pem);
        for bit in 0..original.spki.len() * 8 {
            let mut spki = original.spki.clone();
            spki[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = PublicKey::from_spki(&spki) {
                assert_ne!(changed, original);
                assert_eq!(
                    changed.verify(HashAlgorithm::Sha256, b"m", b"s"),
                    Err(VerifyError::Invalid)
                );
                assert!(changed.fingerprint().starts_with("SHA256:"));
            }
        }
    }
}

#[test]
fn combinations_that_do_not_exist_are_named() {
    assert_eq!(
        key(A)
            .verify(HashAlgorithm::Sha512, b"", b"")
            .expect_err("no such thing")
            .to_string(),
        "verifying sha512 signatures with an ECDSA P-256 key is not supported"
    );
    assert!(key(P384).supports(HashAlgorithm::Sha512).is_err());
    for hash in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        assert!(key(RSA).supports(hash).is_ok() && key(ED).supports(hash).is_ok());
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }
    assert_eq!(
        "sha224".parse::<HashAlgorithm>(),
        Err(UnsupportedHash("sha224".to_owned()))
    );
}

#[test]
fn kinds_of_keys_have_plain_names() {
    for (name, algorithm) in [
        ("p256", KeyAlgorithm::P256),
        ("p384", KeyAlgorithm::P384),
        ("p521", KeyAlgorithm::P521),
        ("ed25519", KeyAlgorithm::Ed25519),
        ("rsa-3072", KeyAlgorithm::Rsa(3072)),
    ] {
        assert_eq!(name.parse(), Ok(algorithm));
    }
    for other in ["", "P256", "rsa", "rsa-1024", "secp256k1"] {
        let refused = other.parse::<KeyAlgorithm>();
        assert_eq!(refused, Err(UnknownAlgorithm(other.to_owned())));
    }
}

#[test]
fn digests_are_verified_as_their_messages_are() {
    for line in include_str!("../testdata/signatures.txt").lines() {
        let [name, hash, signature] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("three words: {line}")
        };
        let key = match name {
            "p384" => key(P384),
            "p521" => key(P521),
            "rsa" => key(RSA),
            _ => key(ED),
        };
        let hash: HashAlgorithm = hash.parse().expect("a supported hash");
        let signature = STANDARD.decode(signature).expect("base64");
        let verify = |message: &[u8], signature: &[u8]| {
            key.verify_digest(hash, &hash.digest(message), signature)
        };
        let found = verify(b"a message", &signature);
        match key.algorithm() {
            KeyAlgorithm::Rsa(_) | KeyAlgorithm::Ed25519 => {
                assert!(
                    matches!(found, Err(VerifyError::Unsupported { .. })),
                    "{line}"
                );
            }
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => {
                assert_eq!(found, Ok(()), "{line}");
                let other = verify(b"a massage", &signature);
                assert_eq!(other, Err(VerifyError::Invalid));
                // No other spelling of a signature is taken, and none is read beyond its end.
                for changed in [[&signature[..], &[0]].concat(), signature[1..].to_vec()] {
                    assert_eq!(verify(b"a message", &changed), Err(VerifyError::Invalid));
                }
            }
        }
    }
}

/// Signatures that forgers try: numbers of zero, of the order and beyond, negative, and in other spellings than DER.
#[test]
fn forged_ecdsa_signatures_are_refused() {
    let integer = |content: &[u8]| der::encode(der::tag::INTEGER, content);
    let pair = |r: &[u8], s: &[u8]| {
        let both = [integer(r), integer(s)].concat();
        der::encode(der::tag::SEQUENCE, &both)
    };
    for (pem, width) in [(A, 32), (P384, 48), (P521, 66)] {
        let key = key(pem);
        let large = [&[0x7f][..], &vec![0xff; width - 1]].concat();
        let larger = vec![0x7f; width + 1];
        let one: &[u8] = &[1];
        for (r, s) in [
            (&[0][..], &[0][..]),
            (&[0], one),
            (one, &[0]),
            (one, one),
            (&[0xff], one),
            (&large, &large),
            (&larger, one),
            (&[0, 1], one),
            (&[], one),
        ] {
            let signature = pair(r, s);
            for hash in HashAlgorithm::ALL {
                let digest = hash.digest(b"a message");
                let refused = key.verify_digest(hash, &digest, &signature);
                assert_eq!(refused, Err(VerifyError::Invalid), "{r:x?} {s:x?}");
                if key.supports(hash).is_ok() {
                    let refused = key.verify(hash, b"a message", &signature);
                    assert_eq!(refused, Err(VerifyError::Invalid), "{r:x?} {s:x?}");
                }
            }
        }
    }
}

#[test]
fn signatures_made_with_openssl_verify_and_changed_ones_do_not() {
    for line in include_str!("../testdata/signatures.txt").lines() {
        let [name, hash, signature] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("three words: {line}")
        };
        let key = key(match name {
            "p384" => P384,
            "p521" => P521,
            "rsa" => RSA,
            "ed" => ED,
            _ => panic!("another key: {name}"),
        });
        let hash = hash.parse().expect("a supported hash");
        let mut signature = STANDARD.decode(signature).expect("base64");
        assert_eq!(key.verify(hash, b"a message", &signature), Ok(()), "{line}");
        assert_eq!(
            key.verify(hash, b"a massage", &signature),
            Err(VerifyError::Invalid)
        );
        let last = signature.len() - 1;
        signature[last] ^= 1;
        assert_eq!(
            key.verify(hash, b"a message", &signature),
            Err(VerifyError::Invalid)
        );
        assert_eq!(
            key.verify(hash, b"a message", &signature[..last]),
            Err(VerifyError::Invalid)
        );
        assert_eq!(
            key.verify(hash, b"a message", b""),
            Err(VerifyError::Invalid)
        );
    }
}
