//! Keys of every kind that cosign verifies: made by openssl, imported by cosign and by ours, signed with by both, and verified by the other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_harness::{Cosign, Layout, Run, cosign, fixtures};

use crate::workshop::{PASSWORD, Workshop};

/// A kind of key: how ours names it, what openssl is told, and over which hash cosign signs with it where that is not SHA-256.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    openssl: &'static [&'static str],
    hash_of_cosign: Option<&'static str>,
    is_verified_of_cosign: bool,
}

const fn kind(name: &'static str, openssl: &'static [&'static str]) -> Kind {
    Kind {
        name,
        openssl,
        hash_of_cosign: None,
        is_verified_of_cosign: true,
    }
}

pub(crate) const KINDS: [Kind; 7] = [
    kind("p256", &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    Kind {
        hash_of_cosign: Some("sha384"),
        ..kind("p384", &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"])
    },
    Kind {
        hash_of_cosign: Some("sha512"),
        ..kind("p521", &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"])
    },
    // What cosign signs with Ed25519 is Ed25519ph, which it does not verify itself.
    Kind {
        is_verified_of_cosign: false,
        ..kind("ed25519", &["ED25519"])
    },
    kind("rsa-2048", &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    kind("rsa-3072", &["RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    kind("rsa-4096", &["RSA", "-pkeyopt", "rsa_keygen_bits:4096"]),
];

impl Kind {
    /// A new key in PKCS#8.
    pub(crate) fn by_openssl(&self, shop: &Workshop) -> PathBuf {
        let path = shop.path(&format!("{}.pem", self.name));
        Run::new("openssl")
            .args(["genpkey", "-algorithm"])
            .args(self.openssl)
            .arg("-out")
            .arg(&path)
            .ok();
        path
    }

    /// The same in the form that openssl wrote earlier; nothing for Ed25519, which has none.
    fn traditional(&self, shop: &Workshop, pkcs8: &Path) -> Option<PathBuf> {
        if self.name == "ed25519" {
            return None;
        }
        let path = shop.path(&format!("{}.traditional.pem", self.name));
        Run::new("openssl")
            .args(["pkey", "-traditional", "-in"])
            .arg(pkcs8)
            .arg("-out")
            .arg(&path)
            .ok();
        let text = fs::read_to_string(&path).expect("just written");
        let label = if self.name.starts_with("rsa") {
            "RSA"
        } else {
            "EC"
        };
        assert!(text.starts_with(&format!("-----BEGIN {label} PRIVATE KEY-----")));
        Some(path)
    }
}

fn keygen(prefix: &Path) -> Run {
    Run::tool("tekseal-keygen")
        .arg("--output-key-prefix")
        .arg(prefix)
        .env("COSIGN_PASSWORD", PASSWORD)
}

pub(crate) fn import(shop: &Workshop, pem: &Path, name: &str) -> (PathBuf, PathBuf) {
    let prefix = shop.path(name);
    keygen(&prefix).arg("--import").arg(pem).ok();
    (prefix.with_extension("key"), prefix.with_extension("pub"))
}

fn cosigns() -> impl Iterator<Item = Cosign> {
    ["2.6.5", "3.1.3"].into_iter().filter_map(cosign)
}

/// cosign 2 wants a trusted root for every bundle, whatever is in it.
fn root_for_bundles(cosign: &Cosign) -> Vec<String> {
    if cosign.major() > 2 {
        return Vec::new();
    }
    let root = fixtures().join("cosign-samples/keys/trusted_root.json");
    vec![format!("--trusted-root={}", root.display())]
}

/// Both commands of both versions of cosign accept what ours signed, without a word about algorithms.
fn cosign_accepts(public: &Path, image: &str, layout: &str) {
    for cosign in cosigns() {
        let extra = match layout {
            "bundle" => root_for_bundles(&cosign),
            _ => Vec::new(),
        };
        let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
        cosign.verify(public, image, &extra).ok();
        cosign
            .verify_attestation(public, "slsaprovenance", image, &extra)
            .ok();
    }
}

#[test]
fn both_versions_of_cosign_accept_what_is_signed_with_a_key_of_any_kind_in_any_layout() {
    for kind in &KINDS {
        let shop = Workshop::new();
        let pem = kind.by_openssl(&shop);
        let (key, public) = import(&shop, &pem, "ours");
        let by_openssl = Run::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(&pem);
        assert_eq!(
            by_openssl.ok().stdout,
            fs::read_to_string(&public).expect("just written"),
            "{}",
            kind.name
        );
        for layout in ["tags", "bundle"] {
            let shop = Workshop::new();
            let attest = || {
                let run = shop.attest_command(&shop.run(), &key);
                run.args(["--layout", layout]).ok()
            };
            attest();
            cosign_accepts(&public, &shop.image, layout);
            shop.verify(&public).ok();
            // The same bytes again, so nothing is added.
            let said = attest();
            assert!(!said.stderr.contains("\nstored"), "{}: {said:?}", kind.name);
            assert!(said.stderr.contains("already stored"), "{said:?}");
        }
    }
}

#[test]
fn an_imported_key_is_the_same_to_ours_and_to_cosign_whatever_its_form() {
    for kind in &KINDS {
        let shop = Workshop::new();
        let pem = kind.by_openssl(&shop);
        let (key, public) = import(&shop, &pem, "ours");
        let read = |path: &Path| fs::read(path).expect("just written");
        if let Some(traditional) = kind.traditional(&shop, &pem) {
            let (_, same) = import(&shop, &traditional, "traditional");
            assert_eq!(read(&same), read(&public), "{}", kind.name);
            shop.attest(&traditional);
        } else {
            shop.attest(&pem);
        }
        shop.verify(&public).ok();
        for cosign in cosigns() {
            let prefix = shop.path(&format!("cosign-{}", cosign.major()));
            let (theirs, same) = cosign.import_key_pair(&pem, &prefix, PASSWORD);
            assert_eq!(read(&same), read(&public), "{}", kind.name);
            // Ours reads its file, and it reads ours.
            let said = shop.attest_command(&shop.run(), &theirs).ok();
            assert!(said.stderr.contains("already stored"), "{said:?}");
            let told = cosign
                .run("public-key")
                .arg("--key")
                .arg(&key)
                .env("COSIGN_PASSWORD", PASSWORD)
                .ok();
            assert_eq!(told.stdout.as_bytes(), read(&public), "{}", kind.name);
        }
    }
}

#[test]
fn what_cosign_signs_with_a_key_of_any_kind_is_accepted_over_the_hash_that_it_takes() {
    for kind in &KINDS {
        for cosign in cosigns() {
            let layouts: &[Layout] = match cosign.major() {
                2 => &[Layout::Tags],
                _ => &[Layout::Tags, Layout::Bundles],
            };
            for layout in layouts {
                let shop = Workshop::new();
                let pem = kind.by_openssl(&shop);
                let (key, public) = import(&shop, &pem, "ours");
                cosign.sign(&key, PASSWORD, &shop.image, *layout).ok();
                let verify = || shop.verify(&public).args(["--only", "signature"]);
                let flags: Vec<&str> = match kind.hash_of_cosign {
                    Some(hash) => {
                        let said = verify().fails_with(1);
                        let wanted = format!("try --signature-digest-algorithm {hash}");
                        assert!(said.stderr.contains(&wanted), "{said:?}");
                        vec!["--signature-digest-algorithm", hash]
                    }
                    None => Vec::new(),
                };
                let mut extra = flags.clone();
                let root = root_for_bundles(&cosign);
                if *layout == Layout::Bundles {
                    extra.extend(root.iter().map(String::as_str));
                }
                let theirs = cosign.verify(&public, &shop.image, &extra);
                match kind.is_verified_of_cosign {
                    true => {
                        verify().args(&flags).ok();
                        theirs.ok();
                    }
                    false => {
                        let said = verify().fails_with(1);
                        assert!(said.stderr.contains("Ed25519ph"), "{said:?}");
                        assert_ne!(theirs.code(), Some(0), "{theirs:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_new_key_of_each_kind_is_one_to_cosign() {
    for kind in KINDS.iter().filter(|kind| !kind.name.starts_with("rsa")) {
        let shop = Workshop::new();
        let prefix = shop.path("new");
        keygen(&prefix).args(["--algorithm", kind.name]).ok();
        let (key, public) = (prefix.with_extension("key"), prefix.with_extension("pub"));
        shop.attest(&key);
        cosign_accepts(&public, &shop.image, "tags");
        for cosign in cosigns() {
            let told = cosign.run("public-key").arg("--key").arg(&key);
            let told = told.env("COSIGN_PASSWORD", PASSWORD).ok();
            let wanted = fs::read_to_string(&public).expect("just written");
            assert_eq!(told.stdout, wanted, "{}", kind.name);
        }
    }
    let shop = Workshop::new();
    let refused = keygen(&shop.path("rsa")).env("TEKSEAL_ALGORITHM", "rsa-3072");
    refused
        .fails_with(2)
        .says("openssl genrsa -out KEY.pem 3072");
    let refused = keygen(&shop.path("none")).args(["--algorithm", "secp256k1"]);
    refused
        .fails_with(2)
        .says("unknown kind of key \"secp256k1\"");
    for name in ["rsa.key", "rsa.pub", "none.key", "none.pub"] {
        assert!(!shop.path(name).exists(), "{name}");
    }
}

#[test]
fn keys_that_no_verifier_of_images_takes_are_refused_by_name() {
    let shop = Workshop::new();
    let make = |name: &str, args: &[&str]| {
        let path = shop.path(name);
        Run::new("openssl").args(args).arg("-out").arg(&path).ok();
        path
    };
    let genpkey =
        |name: &str, args: &[&str]| make(name, &[&["genpkey", "-algorithm"], args].concat());
    let dsa = make(
        "dsa.params",
        &[
            "genpkey",
            "-genparam",
            "-algorithm",
            "DSA",
            "-pkeyopt",
            "dsa_paramgen_bits:1024",
        ],
    );
    let dsa = {
        let path = shop.path("dsa.pem");
        let run = Run::new("openssl")
            .args(["genpkey", "-paramfile"])
            .arg(&dsa);
        run.arg("-out").arg(&path).ok();
        path
    };
    let unsupported = |name: &str| format!("signing with {name} keys is not supported");
    let cases = [
        (
            genpkey("1024.pem", &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
            "an RSA key of 1024 bits is not supported".to_owned(),
        ),
        (
            genpkey("2560.pem", &["RSA", "-pkeyopt", "rsa_keygen_bits:2560"]),
            "an RSA key of 2560 bits is not supported".to_owned(),
        ),
        (
            genpkey("k1.pem", &["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"]),
            unsupported("secp256k1"),
        ),
        (genpkey("x.pem", &["X25519"]), unsupported("X25519")),
        (genpkey("448.pem", &["ED448"]), unsupported("Ed448")),
        (
            genpkey("pss.pem", &["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]),
            unsupported("RSA-PSS"),
        ),
        (dsa, unsupported("DSA")),
    ];
    for (pem, wanted) in cases {
        let prefix = shop.path("refused");
        let refused = keygen(&prefix).arg("--import").arg(&pem);
        refused.fails_with(2).says(&wanted);
        assert!(!prefix.with_extension("key").exists(), "{wanted}");
        shop.attest_command(&shop.run(), &pem)
            .fails_with(2)
            .says(&wanted);
        assert!(shop.layers("sig").is_empty(), "{wanted}");
    }
    let (key, _) = shop.key_pair("encrypted");
    let refused = keygen(&shop.path("refused")).arg("--import").arg(&key);
    refused.fails_with(2).says("it is encrypted already");
    let pem = genpkey("good.pem", &["ED25519"]);
    let both = keygen(&shop.path("refused")).arg("--import").arg(&pem);
    both.env("TEKSEAL_ALGORITHM", "p256")
        .fails_with(2)
        .says("--import and --algorithm exclude one another");
}

#[test]
fn each_kind_goes_through_the_steps_one_by_one() {
    for kind in &KINDS {
        let shop = Workshop::new();
        let pem = kind.by_openssl(&shop);
        let (_, public) = import(&shop, &pem, "ours");
        let folder = shop.path("payloads");
        Run::tool("tekseal-provenance")
            .arg("--run")
            .arg(shop.run())
            .arg("--out")
            .arg(&folder)
            .ok();
        Run::tool("tekseal-sign")
            .arg(&folder)
            .arg("--key")
            .arg(&pem)
            .ok();
        let signed = fs::read(folder.join("signed.json")).expect("just written");
        let signed: Value = serde_json::from_slice(&signed).expect("JSON");
        assert!(signed[0].get("digestAlgorithm").is_none(), "it is SHA-256");
        Run::tool("tekseal-upload")
            .arg(&folder)
            .arg("--key")
            .arg(&public)
            .ok();
        shop.verify(&public).ok();
    }
}
