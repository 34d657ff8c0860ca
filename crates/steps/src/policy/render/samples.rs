//! A policy for the tests of the renderers, and values that want to be something else.

use tekseal_core::policy::{Draft, Quantifier, Rules};
use tekseal_core::provenance::Version;
use tekseal_signing::PublicKey;
use tekseal_signing::certificate::SubjectNames;

use super::pattern::Pattern;
use super::policy::{Action, Authority, Layout, Log, Name, Policy, Root, SignedIdentity, Signer};

/// A P-256 key whose private half nobody has.
pub(super) const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWnJrT8ZTiVg6yPZ9CrjkfM+QWBob
cSgezAecW/hVpzn7VIMwOH6gENjczvrC6NMtyKFkfuRsnmHPMjwsc59Ifg==
-----END PUBLIC KEY-----
";

/// Values without blanks, as rules have them, that would break out of one language or another.
pub(super) const HOSTILE: &[&str] = &[
    "urn:\"||true||\"",
    "urn:']||true||['",
    "urn:\\\"}\\nallow{true}",
    "urn:{{request.object.metadata.name}}",
    "urn:#x",
    "urn:x:",
    "urn:-\u{e4}\u{1f512}",
    "urn:$(./../../metadata/name)",
    "urn:`true`",
];

/// Any rules on provenance of this version.
pub(super) fn rules(version: Version, change: impl FnOnce(&mut Draft)) -> Rules {
    let mut draft = Draft {
        provenance: Some(version),
        ..Draft::default()
    };
    change(&mut draft);
    Rules::new(draft).expect("the test's rules")
}

/// Rules on who built, how, and from where.
pub(super) fn all_rules(draft: &mut Draft) {
    let build_type = match draft.provenance {
        Some(Version::V02) => "tekton.dev/v1/PipelineRun",
        Some(Version::V1) | None => "https://tekton.dev/chains/v2/slsa",
    };
    draft.builder_ids = vec!["https://tekton.dev/chains/v2".to_owned()];
    draft.build_types = vec![build_type.to_owned()];
    draft.source_repository = Some("https://git.example/team/app".to_owned());
}

/// The same, where any statement is enough.
pub(super) fn any(draft: &mut Draft) {
    all_rules(draft);
    draft.quantifier = Quantifier::Any;
}

/// A policy of a key.
pub(super) fn policy(rules: Option<Rules>) -> Policy {
    Policy {
        name: "tekseal".to_owned(),
        images: vec![Pattern::parse("registry.example/team/*").expect("a pattern")],
        signer: Some(Signer::Key(
            PublicKey::from_pem(KEY.as_bytes()).expect("a key"),
        )),
        log: None,
        root: None,
        mirror: None,
        layout: Layout::Tags,
        action: Action::Enforce,
        signed_identity: SignedIdentity::MatchRepository,
        files: vec![("--key", "cosign.pub".to_owned())],
        rules,
    }
}

fn log(url: &str) -> Log {
    Log {
        url: Some(url.to_owned()),
        key: KEY.to_owned(),
    }
}

/// The same with a log.
pub(super) fn logged(rules: Option<Rules>) -> Policy {
    Policy {
        log: Some(log("https://rekor.example")),
        ..policy(rules)
    }
}

/// The same of somebody with an e-mail address.
pub(super) fn keyless(rules: Option<Rules>) -> Policy {
    Policy {
        signer: Some(Signer::Identity {
            name: Name::Exact("builder@team.example".to_owned()),
            issuer: Name::Exact("https://issuer.example".to_owned()),
        }),
        root: Some(Root {
            is_public: false,
            logs: vec![log("https://rekor.example")],
            authorities: vec![Authority {
                uri: "https://fulcio.example".to_owned(),
                chain: "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n".to_owned(),
                names: SubjectNames {
                    organization: String::new(),
                    common_name: "team".to_owned(),
                },
            }],
            certificate_logs: vec![log("https://ct.example")],
            timestamp_authorities: Vec::new(),
        }),
        files: Vec::new(),
        ..logged(rules)
    }
}
