//! What both versions of cosign say of the images by themselves: the roles are what they are called.

use std::path::Path;

use tekseal_harness::{Cosign, Output, Verdict, cosign};

use super::gallery::{Gallery, public_key};
use super::roles::{BUILDER, Role, Role::*};

const V02: &str = "slsaprovenance";
const V1: &str = "slsaprovenance1";
const NONE: &str = "none of the attestations matched the predicate type";
/// By its URI cosign does not read a type as one that it knows, whose empty members are texts.
const V02_URI: &str = "https://slsa.dev/provenance/v0.2";
const V1_URI: &str = "https://slsa.dev/provenance/v1";

/// A type of attestation, which roles have one that is accepted, and which not and why.
type Row = (
    &'static str,
    &'static [Role],
    &'static [(Role, &'static str)],
);

/// `verify` without a type, `verify-attestation` with one.
fn ask(cosign: &Cosign, kind: Option<&str>, extra: &[&str], role: Role) -> Output {
    let (key, image) = (public_key(), Gallery::shared().image(role));
    match kind {
        Some(kind) => cosign.verify_attestation(&key, kind, image, extra),
        None => cosign.verify(&key, image, extra),
    }
}

/// What cosign says. Of what it would have liked to ask, and then did without, it warns.
#[track_caller]
pub(super) fn judged(said: &Output) -> Verdict {
    if said.code() == Some(0) {
        return Verdict::Accepted;
    }
    let lines = said.stderr.lines();
    let lines = lines.filter(|line| !line.starts_with("WARNING: "));
    Verdict::refused(lines.collect::<Vec<_>>().join("\n"))
}

/// A refusal says why, and not that something was not reached.
#[track_caller]
fn refused(said: &Output, part: &str) {
    match judged(said) {
        Verdict::Accepted => panic!("accepted\n{said:?}"),
        Verdict::Refused(reason) => assert!(reason.contains(part), "{part:?}\n{said:?}"),
    }
}

fn with_each(test: impl Fn(&Cosign)) {
    ["2.6.5", "3.1.3"]
        .into_iter()
        .filter_map(cosign)
        .for_each(|cosign| test(&cosign));
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn signatures_under_tags() {
    with_each(|cosign| {
        for role in [Signed, SignedTagIdentity, AttV02, AttV1, EveryLayoutV1] {
            ask(cosign, None, &both_layouts(cosign, role), role).ok();
        }
        for (role, code) in [(Unsigned, 10), (OtherKey, 12), (Tampered, 12)] {
            let said = ask(cosign, None, &[], role).fails_with(code);
            refused(&said, "");
        }
    });
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn attestations_under_tags() {
    let rows: [Row; 4] = [
        (
            V02,
            &[AttV02, BothTypes, AttOnlyV02, AttV02Evil],
            &[
                (AttV1, NONE),
                (AttOtherKey, "signatures do not match threshold"),
                (Signed, "no matching attestations"),
            ],
        ),
        (
            V1,
            &[AttV1, BothTypes, EveryLayoutV1],
            &[
                (AttV02, NONE),
                (AttOtherKey, "signatures do not match threshold"),
                (AttReplayed, "no matching attestations"),
                (Signed, "no matching attestations"),
            ],
        ),
        (V1_URI, &[AttV1, BothTypes], &[(AttV02, NONE)]),
        ("slsaprovenance02", &[AttV02, BothTypes], &[(AttV1, NONE)]),
    ];
    with_each(|cosign| {
        for (kind, accepts, refuses) in rows {
            for role in accepts {
                ask(cosign, Some(kind), &both_layouts(cosign, *role), *role).ok();
            }
            for (role, part) in refuses {
                refused(&ask(cosign, Some(kind), &[], *role), part);
            }
        }
    });
}

/// Why policies are rego: for CUE a builder that is not there is as good as the right one. `written` has the same images for rego.
#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn cue_is_content_with_what_is_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy = folder.path().join("policy.cue");
    let text = format!("predicate: builder: id: \"{BUILDER}\"\n");
    std::fs::write(&policy, text).expect("the folder is ours");
    let policy = policy.to_str().expect("temporary folders are UTF-8");
    with_each(|cosign| {
        let asked = |role| ask(cosign, Some(V02_URI), &["--policy", policy], role);
        for role in [AttV02, BothTypes, NoBuilder] {
            asked(role).ok();
        }
        for role in [AttV02Evil, AttV02Mixed] {
            refused(&asked(role), "1 validation errors occurred");
        }
    });
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn bundles() {
    with_each(|cosign| {
        let extra = both_layouts(cosign, BundleV1);
        for kind in [None, Some(V1)] {
            ask(cosign, kind, &extra, BundleV1).ok();
            refused(&ask(cosign, kind, &extra, BundleOtherKey), "");
        }
        ask(cosign, None, &extra, BundleSigOnly).ok();
        refused(&ask(cosign, Some(V1), &extra, BundleSigOnly), "");
    });
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn entries_of_a_log() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let quick = Gallery::shared();
    let verify = |cosign: &Cosign, key: &Path, image: &str| {
        cosign
            .run("verify")
            .arg("--offline")
            .arg("--key")
            .arg(key)
            .arg(image)
            .env("SIGSTORE_REKOR_PUBLIC_KEY", sigstore.rekor.public_key())
            .run()
    };
    with_each(|cosign| {
        for role in [TlogV02, TlogV1] {
            verify(cosign, &public_key(), logged.image(role)).ok();
        }
        let said = verify(cosign, &public_key(), quick.image(Signed));
        refused(&said, "offline verification failed");
    });
}

/// cosign 2 wants a trusted root for every bundle, whatever is in it.
fn both_layouts(cosign: &Cosign, role: Role) -> Vec<&'static str> {
    const ROOT: &str = concat!(
        "--trusted-root=",
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/cosign-samples/keys/trusted_root.json"
    );
    let is_bundle = matches!(role, EveryLayoutV1 | BundleV1 | BundleSigOnly);
    match cosign.major() {
        2 if is_bundle => vec![ROOT],
        _ => vec![],
    }
}
