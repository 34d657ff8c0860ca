//! Policies that believe certificates: whose name stands in them, who vouches for it, and which log has an entry of what was signed.
//!
//! Each policy must accept what it names and refuse the same by somebody else; and the policy that names somebody else the other way round, so that
//! none refuses because nothing can satisfy it.

use std::fs;

use tekseal_harness::{Proxy, Services, Sigstore, TufRepository, Verdict};
use tempfile::TempDir;

use super::gallery::Gallery;
use super::logged::NOT_LOGGED;
use super::rendered::{Kind, Peers, Rendered};
use super::roles::Role::*;
use super::table::{
    ANY_V1, ANY_V02, BUNDLE_ANY_V1, BUNDLE_ANY_V02, BUNDLE_SIGNATURE, BUNDLE_V1, NO_BUNDLE,
    NO_SIGNATURE, NO_SIMPLE_SIGNATURE, Row, SIGNATURE, V1_OF_SOURCE, V02_OF_SOURCE, hold_by,
};
use crate::sigstore::artifacts::Who;

const OTHER_NAME: &str = "none of the expected identities matched";
// As Kyverno says it.
const OTHER_SUBJECT: &str = "subject mismatch: expected";
const OTHER_ISSUER: &str = "issuer mismatch: expected";
const NOT_BY_CERTIFICATE: &str = "keyless validation failed for authority";
const OTHER_EMAIL: &str = "Required email \"builder@example.com\" not found";
const NO_CERTIFICATE: &str = "missing dev.sigstore.cosign/certificate annotation";
/// How an ImageValidatingPolicy says it, in its log.
const NO_IDENTITY: &str = "no matching CertificateIdentity found";
/// The same of a log.
pub(super) const NOT_IN_BUNDLE: &str = "not enough verified log entries from transparency log";
const NO_ENTRY: &str = "missing dev.sigstore.cosign/bundle annotation";

/// The policy names the builder.
#[rustfmt::skip]
const BUILDER: &[Row] = &[
    Row { kind: Kind::Kyverno, flags: SIGNATURE, accepts: &[Keyless], refuses: BY_KYVERNO },
    Row { kind: Kind::Kyverno, flags: V1_OF_SOURCE, accepts: &[Keyless], refuses: BY_KYVERNO },
    Row { kind: Kind::Kyverno, flags: V02_OF_SOURCE, accepts: &[Keyless], refuses: BY_KYVERNO },
    Row { kind: Kind::PolicyController, flags: SIGNATURE, accepts: &[Keyless], refuses: BY_POLICY_CONTROLLER },
    Row { kind: Kind::PolicyController, flags: ANY_V1, accepts: &[Keyless], refuses: BY_POLICY_CONTROLLER },
    Row { kind: Kind::PolicyController, flags: ANY_V02, accepts: &[Keyless], refuses: BY_POLICY_CONTROLLER },
];

const BY_KYVERNO: &[(super::roles::Role, &str)] = &[
    (KeylessStranger, OTHER_SUBJECT),
    (KeylessPerson, OTHER_SUBJECT),
    (KeylessUnlogged, NOT_LOGGED),
    (TlogV1, "empty key"),
    (Unsigned, NO_SIGNATURE),
];

const BY_POLICY_CONTROLLER: &[(super::roles::Role, &str)] = &[
    (KeylessStranger, OTHER_NAME),
    (KeylessPerson, OTHER_NAME),
    (KeylessUnlogged, NOT_LOGGED),
    (TlogV1, NOT_BY_CERTIFICATE),
    (Unsigned, NOT_BY_CERTIFICATE),
];

/// The policy names a stranger.
const STRANGER: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V1_OF_SOURCE,
        accepts: &[KeylessStranger],
        refuses: &[(Keyless, OTHER_SUBJECT)],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[KeylessStranger],
        refuses: &[(Keyless, OTHER_NAME)],
    },
];

/// The policy names a person, by the issuer for people.
const PERSON: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V1_OF_SOURCE,
        accepts: &[KeylessPerson],
        refuses: &[(Keyless, OTHER_SUBJECT)],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[KeylessPerson],
        refuses: &[(Keyless, OTHER_NAME)],
    },
    Row {
        kind: Kind::ContainersPolicy,
        flags: SIGNATURE,
        accepts: &[KeylessPerson],
        refuses: BY_NODES,
    },
    Row {
        kind: Kind::Openshift,
        flags: SIGNATURE,
        accepts: &[KeylessPerson],
        refuses: BY_NODES,
    },
];

const BY_NODES: &[(super::roles::Role, &str)] = &[
    (Keyless, "Unexpected Fulcio OIDC issuer"),
    (KeylessUnlogged, NO_ENTRY),
    (TlogV1, NO_CERTIFICATE),
    (Signed, NO_ENTRY),
    (Unsigned, NO_SIMPLE_SIGNATURE),
];

/// The policy names the person, and another issuer.
const PERSON_OF_CLUSTER: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V1_OF_SOURCE,
        accepts: &[],
        refuses: &[(KeylessPerson, OTHER_ISSUER)],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[],
        refuses: &[(KeylessPerson, OTHER_NAME)],
    },
    Row {
        kind: Kind::ContainersPolicy,
        flags: SIGNATURE,
        accepts: &[],
        refuses: &[
            (KeylessPerson, "Unexpected Fulcio OIDC issuer"),
            (Keyless, OTHER_EMAIL),
        ],
    },
    Row {
        kind: Kind::Openshift,
        flags: SIGNATURE,
        accepts: &[],
        refuses: &[
            (KeylessPerson, "Unexpected Fulcio OIDC issuer"),
            (Keyless, OTHER_EMAIL),
        ],
    },
];

/// The policy names the builder, and rego sees whatever anybody with a certificate has signed.
const REGO: &[Row] = &[
    Row {
        kind: Kind::RegoOpa,
        flags: V1_OF_SOURCE,
        accepts: &[Keyless, BundleKeyless],
        refuses: &[
            (KeylessStranger, "is false"),
            (KeylessPerson, "is false"),
            (BundleKeylessStranger, "is false"),
            (KeylessUnlogged, NOT_LOGGED),
            (TlogV1, "no certificate found on signature"),
        ],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V02_OF_SOURCE,
        accepts: &[Keyless, BundleKeyless],
        refuses: &[(KeylessStranger, "is false")],
    },
];

/// The policy names the person.
const REGO_OF_PERSON: &[Row] = &[Row {
    kind: Kind::RegoOpa,
    flags: V1_OF_SOURCE,
    accepts: &[KeylessPerson, BundleKeylessPerson],
    refuses: &[(Keyless, "is false")],
}];

/// The policy names the person, and another issuer.
const REGO_OF_PERSON_OF_CLUSTER: &[Row] = &[Row {
    kind: Kind::RegoOpa,
    flags: V1_OF_SOURCE,
    accepts: &[],
    refuses: &[
        (KeylessPerson, "is false"),
        (BundleKeylessPerson, "is false"),
    ],
}];

/// Where no log was asked for.
const REGO_WITHOUT_LOG: &[Row] = &[Row {
    kind: Kind::RegoOpa,
    flags: V1_OF_SOURCE,
    accepts: &[],
    refuses: &[(Keyless, "is false"), (BundleKeyless, "is false")],
}];

/// In bundles, with what a mirror says.
const BUNDLES: &[Row] = &[
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_SIGNATURE,
        accepts: &[BundleKeyless],
        refuses: BY_IMAGE_VALIDATING,
    },
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_ANY_V1,
        accepts: &[BundleKeyless],
        refuses: BY_IMAGE_VALIDATING,
    },
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_ANY_V02,
        accepts: &[BundleKeyless],
        refuses: BY_IMAGE_VALIDATING,
    },
];

const BY_IMAGE_VALIDATING: &[(super::roles::Role, &str)] = &[
    (BundleKeylessStranger, NO_IDENTITY),
    (BundleKeylessPerson, NO_IDENTITY),
    (BundleKeylessUnlogged, NOT_IN_BUNDLE),
    (BundleLogged, "transparency log certificate does not match"),
    (Keyless, "is not signed"),
    (Unsigned, "is not signed"),
];

const BUNDLES_OF_STRANGER: &[Row] = &[Row {
    kind: Kind::KyvernoImageValidating,
    flags: BUNDLE_ANY_V1,
    accepts: &[BundleKeylessStranger],
    refuses: &[(BundleKeyless, NO_IDENTITY)],
}];

const BUNDLES_OF_PERSON: &[Row] = &[Row {
    kind: Kind::KyvernoImageValidating,
    flags: BUNDLE_ANY_V1,
    accepts: &[BundleKeylessPerson],
    refuses: &[(BundleKeyless, NO_IDENTITY)],
}];

const BUNDLES_OF_PERSON_OF_CLUSTER: &[Row] = &[Row {
    kind: Kind::KyvernoImageValidating,
    flags: BUNDLE_ANY_V1,
    accepts: &[],
    refuses: &[(BundleKeylessPerson, NO_IDENTITY)],
}];

/// In bundles, by the trusted root that Kyverno itself has.
const PUBLIC: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: BUNDLE_SIGNATURE,
        accepts: &[BundleKeyless],
        refuses: BY_PUBLIC,
    },
    Row {
        kind: Kind::Kyverno,
        flags: BUNDLE_V1,
        accepts: &[BundleKeyless],
        refuses: BY_PUBLIC,
    },
];

const BY_PUBLIC: &[(super::roles::Role, &str)] = &[
    (BundleKeylessStranger, NO_BUNDLE),
    (BundleKeylessPerson, NO_BUNDLE),
    (BundleKeylessUnlogged, NO_BUNDLE),
    (BundleLogged, NO_BUNDLE),
    (Unsigned, NO_BUNDLE),
];

/// A trusted root with one log and one authority, and a mirror that has it.
pub(super) struct Mirrored {
    folder: TempDir,
    mirror: Proxy,
}

impl Mirrored {
    pub(super) fn of(sigstore: &Sigstore) -> Self {
        let services = Services::none()
            .with_rekor_v1(&sigstore.rekor)
            .with_fulcio(&sigstore.fulcio);
        let trusted = services.trusted_root().to_string();
        let repository = TufRepository::new(trusted.as_bytes());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, content: &[u8]| {
            fs::write(folder.path().join(name), content).expect("the folder is ours");
        };
        write("trusted_root.json", trusted.as_bytes());
        write("root.json", repository.file("1.root.json"));
        let mirror = repository.serve();
        Self { folder, mirror }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn url(&self) -> String {
        format!("http://{}", self.mirror.address())
    }

    /// Flags of a policy that reads the mirror.
    pub(super) fn flags(&self) -> [String; 4] {
        let (url, root) = (self.url(), self.file("root.json"));
        ["--tuf-mirror".into(), url, "--tuf-root".into(), root]
    }

    /// Flags of a policy that has what the trusted root says.
    fn written_out(&self) -> [String; 2] {
        ["--trusted-root".into(), self.file("trusted_root.json")]
    }
}

/// Flags of a policy for somebody with a certificate.
fn named(name: &str, issuer: &str, trust: &[String]) -> Vec<String> {
    let named = ["--certificate-identity", name, "--certificate-oidc-issuer"];
    let named = named.into_iter().chain([issuer]).map(str::to_owned);
    named.chain(trust.iter().cloned()).collect()
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_name_and_who_vouches_for_it_must_both_be_right() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let trust = Mirrored::of(sigstore);
    let trust = trust.written_out();
    let images = |role| logged.or_shared(role);
    for (who, rows) in [
        (Who::Builder, BUILDER),
        (Who::Stranger, STRANGER),
        (Who::Person, PERSON),
    ] {
        let signer = named(who.name(), &who.issuer(&sigstore.issuer), &trust);
        hold_by(rows, &signer, images);
    }
    let signer = named(Who::Person.name(), &sigstore.issuer.cluster(), &trust);
    hold_by(PERSON_OF_CLUSTER, &signer, images);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn rego_over_what_somebody_with_a_certificate_signed() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let trust = Mirrored::of(sigstore);
    let trust = trust.written_out();
    let anybody = |more: &[&str]| {
        let names = "--certificate-identity-regexp .* --certificate-oidc-issuer-regexp .*";
        let words = names.split(' ').chain(more.iter().copied());
        let words: Vec<_> = words.map(str::to_owned).chain(trust.clone()).collect();
        words
    };
    let (people, cluster) = (sigstore.issuer.people(), sigstore.issuer.cluster());
    let (with_log, without_log): (&[&str], &[&str]) = (&[], &["--insecure-ignore-tlog"]);
    for (rows, who, issuer, more) in [
        (REGO, Who::Builder, &cluster, with_log),
        (REGO_OF_PERSON, Who::Person, &people, with_log),
        (REGO_OF_PERSON_OF_CLUSTER, Who::Person, &cluster, with_log),
        (REGO_WITHOUT_LOG, Who::Builder, &cluster, without_log),
    ] {
        let signer = named(who.name(), issuer, &trust);
        let render = |row: &Row| {
            let policy = Rendered::by(row.kind, &signer, row.flags, "");
            policy.asking(&anybody(more))
        };
        super::table::hold_rendered(rows, render, |role| logged.or_shared(role));
    }
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn certificates_in_bundles_by_a_mirror() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let mirror = Mirrored::of(sigstore);
    for (who, rows) in [
        (Who::Builder, BUNDLES),
        (Who::Stranger, BUNDLES_OF_STRANGER),
        (Who::Person, BUNDLES_OF_PERSON),
    ] {
        let signer = named(who.name(), &who.issuer(&sigstore.issuer), &mirror.flags());
        hold_by(rows, &signer, |role| logged.or_shared(role));
    }
    let cluster = sigstore.issuer.cluster();
    let signer = named(Who::Person.name(), &cluster, &mirror.flags());
    hold_by(BUNDLES_OF_PERSON_OF_CLUSTER, &signer, |role| {
        logged.or_shared(role)
    });
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn certificates_in_bundles_by_what_kyverno_takes_for_the_public_instance() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let Some(peers) = Peers::find() else {
        return;
    };
    let (who, issuer) = (Who::Builder, sigstore.issuer.cluster());
    let mirror = Mirrored::of(sigstore);
    let pattern = Gallery::shared().pattern();
    let images = |role| logged.or_shared(role);
    // What a policy has it read of a mirror, it takes for the public instance later: as its controllers do that were told of one.
    let signer = named(who.name(), &issuer, &mirror.flags());
    let kind = Kind::KyvernoImageValidating;
    let first = Rendered::by(kind, &signer, BUNDLE_SIGNATURE, &pattern);
    let verdict = first.judge(&peers, &images(BundleKeyless));
    assert_eq!(verdict, Verdict::Accepted);
    let public = ["--trusted-root".to_owned(), "public-good".to_owned()];
    let signer = named(who.name(), &issuer, &public);
    let render = |row: &Row| Rendered::by(row.kind, &signer, row.flags, &pattern);
    super::table::hold_with(&peers, PUBLIC, render, images);
}
