use super::*;
use crate::public_key::HashAlgorithm;
use crate::random;

const P256_SEC1: &[u8] = include_bytes!("../testdata/p256.sec1.pem");
const P256_PKCS8: &[u8] = include_bytes!("../testdata/p256.pkcs8.pem");
const P384_SEC1: &[u8] = include_bytes!("../testdata/p384.plain.pem");
const P384_PKCS8: &[u8] = include_bytes!("../testdata/p384.pkcs8.pem");
const P521_PKCS8: &[u8] = include_bytes!("../testdata/p521-private.pem");
const RSA_PKCS1: &[u8] = include_bytes!("../testdata/rsa.pkcs1.pem");
const RSA_PKCS8: &[u8] = include_bytes!("../testdata/rsa.plain.pem");
const ED_PKCS8: &[u8] = include_bytes!("../testdata/ed.plain.pem");

/// One key of each kind in PKCS#8, the same as `cosign import-key-pair` wrote it, and its public half.
const OF_EACH_KIND: [(&[u8], &[u8], &[u8]); 4] = [
    (
        P384_PKCS8,
        include_bytes!("../testdata/p384.key"),
        include_bytes!("../testdata/p384.pub"),
    ),
    (
        P521_PKCS8,
        include_bytes!("../testdata/p521-private.key"),
        include_bytes!("../testdata/p521-private.pub"),
    ),
    (
        RSA_PKCS8,
        include_bytes!("../testdata/rsa.key"),
        include_bytes!("../testdata/rsa.pub"),
    ),
    (
        ED_PKCS8,
        include_bytes!("../testdata/ed.key"),
        include_bytes!("../testdata/ed.pub"),
    ),
];

fn plain(pem: &[u8]) -> PrivateKey {
    match KeyFile::from_pem(pem).unwrap_or_else(|e| panic!("a good key: {e}")) {
        KeyFile::Plain(key) => key,
        KeyFile::Encrypted(_) => panic!("the file is not encrypted"),
    }
}

fn error(pem: &[u8]) -> Error {
    KeyFile::from_pem(pem).err().expect("not a supported key")
}

fn content(pem: &[u8]) -> Vec<u8> {
    pem::read(pem, |label| label.ends_with(PKCS8_LABEL))
        .expect("a good file")
        .content
        .to_vec()
}

#[test]
fn sec1_behind_its_parameters_and_pkcs8_are_the_same_key() {
    assert!(P256_SEC1.starts_with(b"-----BEGIN EC PARAMETERS-----"));
    let without = pem::write(SEC1_LABEL, &content(P256_SEC1));
    for (one, other) in [
        (P256_SEC1, P256_PKCS8),
        (without.as_bytes(), P256_PKCS8),
        (P384_SEC1, P384_PKCS8),
        (RSA_PKCS1, RSA_PKCS8),
    ] {
        assert_eq!(plain(one).to_pkcs8(), plain(other).to_pkcs8());
    }
}

#[test]
fn the_pkcs8_form_is_that_of_openssl_and_cosign() {
    assert_eq!(*plain(P256_PKCS8).to_pkcs8(), content(P256_PKCS8));
    let opened = |pem: &[u8]| {
        let KeyFile::Encrypted(key) = KeyFile::from_pem(pem).expect("a good key") else {
            panic!("the file is encrypted");
        };
        key.open(b"test").expect("the right password")
    };
    let der = opened(include_bytes!("../testdata/a.key"));
    assert_eq!(PrivateKey::from_pkcs8(&der).expect("P-256").to_pkcs8(), der);
    for (plain_pem, by_cosign, public) in OF_EACH_KIND {
        let key = plain(plain_pem);
        assert_eq!(*key.to_pkcs8(), content(plain_pem));
        assert_eq!(key.to_pkcs8(), opened(by_cosign));
        assert_eq!(key.public_key().to_pem().as_bytes(), public);
        assert!(key.check_usual().is_ok());
    }
}

#[test]
fn each_kind_signs_what_its_public_half_verifies_and_the_same_each_time() {
    let made = [
        KeyAlgorithm::P256,
        KeyAlgorithm::P384,
        KeyAlgorithm::P521,
        KeyAlgorithm::Ed25519,
    ]
    .map(|kind| {
        let key = PrivateKey::generate(kind, &mut random::system);
        let key = key.unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(key.public_key().algorithm(), kind);
        key
    });
    let found = OF_EACH_KIND.map(|(pem, ..)| plain(pem));
    for key in made.iter().chain(&found) {
        let public = key.public_key();
        for message in [&b"a message"[..], b"", &[7; 100_000]] {
            let signature = key.sign(message).expect("sound");
            assert_eq!(key.sign(message).as_ref(), Some(&signature));
            let sha256 = HashAlgorithm::Sha256;
            assert_eq!(public.verify(sha256, message, &signature), Ok(()));
            assert!(public.verify(sha256, b"another", &signature).is_err());
            match public.algorithm() {
                KeyAlgorithm::Rsa(bits) => assert_eq!(signature.len(), bits / 8),
                KeyAlgorithm::Ed25519 => assert_eq!(signature.len(), 64),
                KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => {
                    let digest = Digest::of(message).to_bytes();
                    assert_eq!(key.sign_digest(&digest), Some(signature));
                    continue;
                }
            }
            assert_eq!(key.sign_digest(&Digest::of(message).to_bytes()), None);
        }
    }
}

/// RFC 6979, A.2.6 and A.2.7: the message `sample` with SHA-256.
#[test]
fn signatures_of_the_larger_curves_are_those_of_rfc_6979() {
    let bytes = |hex: &str| -> Vec<u8> {
        let pairs = (0..hex.len()).step_by(2);
        pairs
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect()
    };
    let signature = |r: &str, s: &str| {
        let number = crate::der::encode_positive;
        encode(
            tag::SEQUENCE,
            &[number(&bytes(r)), number(&bytes(s))].concat(),
        )
    };
    let key = EcKey::<NistP384>::from_scalar(&bytes(
        "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8\
         96d5724e4c70a825f872c9ea60d2edf5",
    ));
    assert_eq!(
        PrivateKey::P384(key.expect("a key")).sign(b"sample"),
        Some(signature(
            "21b13d1e013c7fa1392d03c5f99af8b30c570c6f98d4ea8e354b63a21d3daa33\
             bde1e888e63355d92fa2b3c36d8fb2cd",
            "f3aa443fb107745bf4bd77cb3891674632068a10ca67e3d45db2266fa7d1feeb\
             efdc63eccd1ac42ec0cb8668a4fa0ab0",
        ))
    );
    let key = EcKey::<NistP521>::from_scalar(&bytes(
        "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75\
         caa896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
    ));
    assert_eq!(
        PrivateKey::P521(key.expect("a key")).sign(b"sample"),
        Some(signature(
            "01511bb4d675114fe266fc4372b87682baecc01d3cc62cf2303c92b352601265\
             9d16876e25c7c1e57648f23b73564d67f61c6f14d527d54972810421e7d87589e1a7",
            "004a171143a83163d6df460aaf61522695f207a58b95c0644d87e52aa1a34791\
             6e4f7a72930b1bc06dbe22ce3f58264afd23704cbb63b29b931f7de6c9d949a7ecfc",
        ))
    );
}

#[test]
fn kinds_of_keys_that_are_not_signed_with_are_named() {
    let said = |pem: &[u8]| error(pem).to_string();
    let unsupported = |name: &str| {
        format!(
            "signing with {name} keys is not supported; supported are ECDSA P-256, P-384 and P-521, RSA and Ed25519"
        )
    };
    for (pem, name) in [
        (
            &include_bytes!("../testdata/refused/secp256k1.sec1.pem")[..],
            "secp256k1",
        ),
        (
            include_bytes!("../testdata/refused/secp256k1.pkcs8.pem"),
            "secp256k1",
        ),
        (
            include_bytes!("../testdata/refused/brainpool.pem"),
            "an elliptic curve that is not known here",
        ),
        (include_bytes!("../testdata/refused/x25519.pem"), "X25519"),
        (include_bytes!("../testdata/refused/ed448.pem"), "Ed448"),
        (include_bytes!("../testdata/refused/rsa-pss.pem"), "RSA-PSS"),
        (include_bytes!("../testdata/refused/dsa.pem"), "DSA"),
        (pem::write(DSA_LABEL, b"x").as_bytes(), "DSA"),
    ] {
        assert_eq!(said(pem), unsupported(name));
    }
    for (pem, bits) in [
        (
            &include_bytes!("../testdata/refused/rsa-1024.pem")[..],
            1024,
        ),
        (include_bytes!("../testdata/refused/rsa-2560.pem"), 2560),
    ] {
        assert!(matches!(error(pem), Error::RsaSize(found) if found == bits));
    }
    assert_eq!(
        said(include_bytes!("../testdata/refused/rsa-three-primes.pem")),
        "the RSA key cannot be used: it has more than two primes"
    );
    assert!(matches!(
        error(include_bytes!("../testdata/refused/rsa-exponent-3.pem")),
        Error::Rsa(_)
    ));
}

#[test]
fn rsa_keys_that_cosign_would_not_import_are_named() {
    let refused = |pem: &[u8]| match plain(pem).check_usual() {
        Err(error) => error.to_string(),
        Ok(()) => panic!("it is no usual key"),
    };
    assert_eq!(
        refused(include_bytes!("../testdata/refused/rsa-infineon.pem")),
        "the RSA key is not imported: it was made by hardware whose keys can be factored (CVE-2017-15361)"
    );
    assert_eq!(
        refused(include_bytes!("../testdata/refused/rsa-close-primes.pem")),
        "the RSA key is not imported: its primes are too close to one another"
    );
}

#[test]
fn files_that_are_no_usable_private_key_have_their_own_errors() {
    assert!(matches!(
        error(include_bytes!("../testdata/a.pub")),
        Error::PublicKey
    ));
    assert!(matches!(
        error(pem::write(ENCRYPTED_PKCS8_LABEL, b"x").as_bytes()),
        Error::EncryptedPkcs8
    ));
    assert!(
        matches!(error(pem::write("OPENSSH PRIVATE KEY", b"x").as_bytes()), Error::Label(l) if l.starts_with("OPENSSH"))
    );
    assert!(matches!(error(b"hello"), Error::Pem(pem::Error::NoBlock)));
    for label in [PKCS8_LABEL, SEC1_LABEL, RSA_LABEL] {
        assert!(matches!(
            error(pem::write(label, b"x").as_bytes()),
            Error::Malformed
        ));
    }
    let old = pem::write(cosign_key::OLD_LABEL, b"{}");
    assert!(matches!(
        error(old.as_bytes()),
        Error::File(cosign_key::Error::Json(_))
    ));
}

/// Where the scalar of a key begins in its PKCS#8 form, and how long it is.
fn scalar_of(der: &[u8], width: usize) -> std::ops::Range<usize> {
    let head = [tag::OCTET_STRING, width as u8];
    let at = der.windows(2).position(|two| two == head);
    let start = at.expect("it is in there") + head.len();
    start..start + width
}

#[test]
fn a_scalar_of_zero_or_beyond_the_order_is_refused() {
    for (pem, width) in [(P256_PKCS8, 32), (P384_PKCS8, 48), (P521_PKCS8, 66)] {
        let original = content(pem);
        for byte in [0, 0xff] {
            let mut der = original.clone();
            let scalar = scalar_of(&der, width);
            der[scalar].fill(byte);
            assert!(matches!(
                PrivateKey::from_pkcs8(&der),
                Err(Error::Malformed)
            ));
        }
    }
}

#[test]
fn a_scalar_may_have_leading_zeros_or_lack_them() {
    let short = [7; 20];
    let key = EcKey::<NistP256>::from_scalar(&short).expect("a key");
    for zeros in [1, 12, 40] {
        let long = [&vec![0; zeros][..], &short].concat();
        let same = EcKey::<NistP256>::from_scalar(&long).expect("a key");
        assert_eq!(same.to_sec1(), key.to_sec1());
    }
    assert!(EcKey::<NistP256>::from_scalar(&[7; 33]).is_none());
    assert!(EcKey::<NistP256>::from_scalar(&[]).is_none());
}

#[test]
fn a_public_half_of_another_key_is_refused() {
    for pem in [P256_PKCS8, P384_PKCS8, P521_PKCS8] {
        let mut der = content(pem);
        *der.last_mut().expect("it has bytes") ^= 1;
        assert!(matches!(
            PrivateKey::from_pkcs8(&der),
            Err(Error::PublicHalf)
        ));
    }
    // Version 2 of PKCS#8 has the public key behind the private one.
    let key = plain(ED_PKCS8);
    let with_public = |public: &[u8]| {
        let der = content(ED_PKCS8);
        let bits = encode(tag::PRIMITIVE_1, &[&[0][..], public].concat());
        let inner = Reader::new(&der).value(tag::SEQUENCE).expect("a key");
        let content = [&[2, 1, 1][..], &inner[3..], &bits].concat();
        PrivateKey::from_pkcs8(&encode(tag::SEQUENCE, &content))
    };
    let own = with_public(&key.public_bits()).unwrap_or_else(|e| panic!("its own: {e}"));
    assert_eq!(own.to_pkcs8(), key.to_pkcs8());
    assert!(matches!(with_public(&[7; 32]), Err(Error::PublicHalf)));
}

#[test]
fn rsa_numbers_that_do_not_belong_together_are_refused() {
    let der = content(RSA_PKCS1);
    for at in [20, 200, 600, 700, 850, 1000, 1100] {
        let mut changed = der.clone();
        changed[at] ^= 1;
        assert!(
            RsaKey::from_der(&changed).is_err(),
            "byte {at} of another key"
        );
    }
}

#[test]
fn a_curve_inside_that_is_another_than_outside_is_refused() {
    let inside = content(P384_SEC1);
    let key = encode(tag::OCTET_STRING, &inside);
    let around = |algorithm: Algorithm| {
        let identifier = algorithm.identifier().expect("it has one");
        let content = [&[2, 1, 0][..], &identifier, &key].concat();
        PrivateKey::from_pkcs8(&encode(tag::SEQUENCE, &content))
    };
    assert!(around(Algorithm::P384).is_ok());
    for other in [Algorithm::P256, Algorithm::Rsa, Algorithm::Ed25519] {
        assert!(around(other).is_err());
    }
}

type Read = fn(&[u8]) -> Result<PrivateKey, Error>;

#[test]
fn no_changed_bit_and_no_part_of_a_plain_key_gives_another_key() {
    let sec1: Read = |der| PrivateKey::from_sec1(der, None);
    let pkcs8: Read = PrivateKey::from_pkcs8;
    for (der, read) in [
        (content(P256_PKCS8), pkcs8),
        (content(P256_SEC1), sec1),
        (content(P384_SEC1), sec1),
        (content(P521_PKCS8), pkcs8),
    ] {
        let original = read(&der).expect("unchanged").to_pkcs8();
        for bit in 0..der.len() * 8 {
            let mut changed = der.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // The version is the one bit that says nothing about the key.
            assert!(
                read(&changed).map_or(true, |key| key.to_pkcs8() == original),
                "bit {bit}"
            );
        }
        for length in 0..der.len() {
            assert!(read(&der[..length]).is_err(), "{length} bytes");
        }
    }
}

#[test]
fn nothing_that_is_made_of_a_key_panics_and_no_part_of_one_is_read() {
    let rsa: Read = |der| RsaKey::from_der(der).map(PrivateKey::Rsa);
    let pkcs8: Read = PrivateKey::from_pkcs8;
    for (der, read) in [
        (content(RSA_PKCS1), rsa),
        (content(RSA_PKCS8), pkcs8),
        (content(ED_PKCS8), pkcs8),
    ] {
        let step = if der.len() > 500 { 11 } else { 1 };
        for bit in (0..der.len() * 8).step_by(step) {
            let mut changed = der.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(key) = read(&changed) {
                assert!(key.sign(b"x").is_some(), "bit {bit}");
            }
        }
        for length in 0..der.len() {
            assert!(read(&der[..length]).is_err(), "{length} bytes");
        }
        assert!(read(&[&der[..], &[0]].concat()).is_err());
    }
}
