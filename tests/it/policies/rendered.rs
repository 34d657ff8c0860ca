//! A policy of a kind, rendered by our program into files, and the peer that judges by them.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_harness::{Cosign, Kyverno, Opa, PolicyJson, PolicyTester, Run, Verdict, cosign};
use tempfile::TempDir;

use super::gallery::public_key;

/// What our program renders, by what it is called there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Kyverno's ClusterPolicy.
    Kyverno,
    /// Kyverno's ImageValidatingPolicy.
    KyvernoImageValidating,
    /// The ClusterImagePolicy of sigstore's policy-controller.
    PolicyController,
    /// The ClusterImagePolicy of OpenShift.
    Openshift,
    /// policy.json and registries.d.
    ContainersPolicy,
    /// Rego for `cosign verify-attestation --policy`.
    RegoCosign,
    /// Rego for OPA over what `tekseal-verify` prints.
    RegoOpa,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kyverno => "kyverno",
            Self::KyvernoImageValidating => "kyverno-image-validating",
            Self::PolicyController => "policy-controller",
            Self::Openshift => "openshift",
            Self::ContainersPolicy => "containers-policy",
            Self::RegoCosign => "rego-cosign",
            Self::RegoOpa => "rego-opa",
        }
    }
}

/// The programs that enforce.
pub(super) struct Peers {
    pub(super) kyverno: Kyverno,
    pub(super) tester: PolicyTester,
    pub(super) policy_json: PolicyJson,
    pub(super) opa: Opa,
    cosigns: [Cosign; 2],
}

impl Peers {
    /// All of them; `None`, with the reason printed, where one is missing.
    pub(super) fn find() -> Option<Self> {
        Some(Self {
            kyverno: Kyverno::find()?,
            tester: PolicyTester::find()?,
            policy_json: PolicyJson::find()?,
            opa: Opa::find()?,
            cosigns: [cosign("2.6.5")?, cosign("3.1.3")?],
        })
    }
}

/// Files of a policy.
pub(super) struct Rendered {
    kind: Kind,
    folder: TempDir,
    /// The types of provenance that the flags speak of, as cosign calls them.
    types: &'static [&'static str],
    /// What `tekseal-verify` is told, whose output rego judges.
    asked: Vec<String>,
}

impl Rendered {
    /// Renders a policy about these images, with our key and these flags.
    #[track_caller]
    pub(super) fn make(kind: Kind, flags: &[&str], images: &str) -> Self {
        let key = public_key();
        let key = key.to_str().expect("the tests are at a path of UTF-8");
        Self::by(kind, &["--key", key], flags, images)
    }

    /// The same with other flags for who must have signed.
    #[track_caller]
    pub(super) fn by<S: AsRef<str>>(
        kind: Kind,
        signer: &[S],
        flags: &[&str],
        images: &str,
    ) -> Self {
        let signer: Vec<_> = signer.iter().map(AsRef::as_ref).collect();
        let signer = &signer[..];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let render = |kind: &str, flags: &[&str]| {
            let run = Run::tool("tekseal-policy").args(["render", kind]);
            run.args(flags).ok().stdout
        };
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it is in the folder")).expect("it is ours");
            fs::write(path, text).expect("the folder is ours");
        };
        let scope: &[&str] = &["--images", images];
        // Rego is asked about whatever it is given, and cosign is told the key itself.
        let given = match kind {
            Kind::RegoCosign => flags.to_vec(),
            Kind::RegoOpa => [signer, flags].concat(),
            _ => [signer, scope, flags].concat(),
        };
        write("policy", &render(kind.name(), &given));
        if kind == Kind::ContainersPolicy {
            write(
                "registries.d/policy.yaml",
                &render("containers-registries", scope),
            );
        }
        let root = given.iter().position(|flag| *flag == "--trusted-root");
        if let (Kind::PolicyController, Some(at)) = (kind, root) {
            let root = render("policy-controller-trust-root", &given[at..at + 2]);
            write("trust-root.yaml", &root);
        }
        let has = |name: &str| flags.contains(&name);
        let types: &[&str] = match (has("v0.2"), has("v1")) {
            (true, _) => &["slsaprovenance"],
            (_, true) => &["slsaprovenance1"],
            _ => &[],
        };
        Self {
            kind,
            folder,
            types,
            asked: signer.iter().map(|&flag| flag.to_owned()).collect(),
        }
    }

    /// The same, where `tekseal-verify` is told otherwise who must have signed: less strictly, so that rego is what decides.
    pub(super) fn asking(mut self, asked: &[String]) -> Self {
        self.asked = asked.to_owned();
        self
    }

    /// The policy itself. A file's ending is what Kyverno knows policies by.
    pub(super) fn file(&self) -> PathBuf {
        let ending = match self.kind {
            Kind::Kyverno
            | Kind::KyvernoImageValidating
            | Kind::PolicyController
            | Kind::Openshift => "yaml",
            Kind::ContainersPolicy => "json",
            Kind::RegoCosign | Kind::RegoOpa => "rego",
        };
        let path = self.folder.path().join(format!("policy.{ending}"));
        fs::copy(self.folder.path().join("policy"), &path).expect("the folder is ours");
        path
    }

    /// What its peer says of an image.
    #[track_caller]
    pub(super) fn judge(&self, peers: &Peers, image: &str) -> Verdict {
        let file = self.file();
        match self.kind {
            Kind::Kyverno | Kind::KyvernoImageValidating => peers.kyverno.judge(&file, image),
            Kind::PolicyController => {
                let root = self.folder.path().join("trust-root.yaml");
                let root = root.is_file().then_some(root.as_path());
                peers.tester.judge(&file, root, image)
            }
            Kind::ContainersPolicy => {
                let registries = self.folder.path().join("registries.d");
                peers.policy_json.judge(&file, &registries, image)
            }
            Kind::Openshift => {
                let (policy, registries) = self.configured_by_openshift(peers);
                peers.policy_json.judge(&policy, &registries, image)
            }
            Kind::RegoCosign => self.judged_by_cosign(peers, image),
            Kind::RegoOpa => self.judged_by_opa(peers, image),
        }
    }

    /// Both versions must agree.
    #[track_caller]
    fn judged_by_cosign(&self, peers: &Peers, image: &str) -> Verdict {
        let [kind] = self.types else {
            panic!("cosign wants to be told the one type of the attestation");
        };
        let policy = self.file();
        let policy = policy.to_str().expect("temporary folders are UTF-8");
        let judged = |cosign: &Cosign| {
            let said = cosign.verify_attestation(&public_key(), kind, image, &["--policy", policy]);
            super::cosign::judged(&said)
        };
        let [second, third] = peers.cosigns.each_ref().map(judged);
        assert_eq!(
            second == Verdict::Accepted,
            third == Verdict::Accepted,
            "cosign 2 and 3 do not agree\n{second:?}\n{third:?}"
        );
        second
    }

    /// Rego sees what was verified; what was not, never gets there.
    #[track_caller]
    fn judged_by_opa(&self, peers: &Peers, image: &str) -> Verdict {
        let mut run = Run::tool("tekseal-verify")
            .args(&self.asked)
            .args(["--output", "json"])
            .env("TEKSEAL_RETRY_FOR", "1");
        for kind in self.types {
            run = run.args(["--type", kind]);
        }
        let said = run.arg(image).run();
        if said.code() != Some(0) {
            return Verdict::refused(said.stderr);
        }
        peers
            .opa
            .judge(&self.file(), "data.tekseal.allow", &said.stdout)
    }

    /// What the machine-config operator of OpenShift writes on nodes for a ClusterImagePolicy.
    fn configured_by_openshift(&self, peers: &Peers) -> (PathBuf, PathBuf) {
        let policy = peers.opa.yaml(&self.file());
        assert_eq!(policy["apiVersion"], "config.openshift.io/v1");
        assert_eq!(policy["kind"], "ClusterImagePolicy");
        let spec = &policy["spec"];
        let mut rule = json!({
            "type": "sigstoreSigned",
            "signedIdentity": {"type": match spec["policy"]["signedIdentity"]["matchPolicy"].as_str() {
                Some("MatchRepository") => "matchRepository",
                Some("MatchRepoDigestOrExact") | None => "matchRepoDigestOrExact",
                other => panic!("not expected here: {other:?}"),
            }},
        });
        // Bytes are base64 of PEM there, and in this JSON too.
        let root = &spec["policy"]["rootOfTrust"];
        match root["policyType"].as_str() {
            Some("PublicKey") => {
                let key = &root["publicKey"];
                rule["keyData"] = pem(&key["keyData"], "PUBLIC KEY");
                if !key["rekorKeyData"].is_null() {
                    rule["rekorPublicKeyData"] = pem(&key["rekorKeyData"], "PUBLIC KEY");
                }
            }
            Some("FulcioCAWithRekor") => {
                let keyless = &root["fulcioCAWithRekor"];
                rule["rekorPublicKeyData"] = pem(&keyless["rekorKeyData"], "PUBLIC KEY");
                rule["fulcio"] = json!({
                    "caData": pem(&keyless["fulcioCAData"], "CERTIFICATE"),
                    "oidcIssuer": keyless["fulcioSubject"]["oidcIssuer"],
                    "subjectEmail": keyless["fulcioSubject"]["signedEmail"],
                });
            }
            other => panic!("not expected here: {other:?}"),
        }
        let scopes = spec["scopes"].as_array().expect("scopes are a list");
        let scopes = scopes.iter().map(|scope| scope.as_str().expect("text"));
        let rules: serde_json::Map<_, _> = scopes
            .clone()
            .map(|scope| (scope.to_owned(), json!([rule])))
            .collect();
        let places: serde_json::Map<_, _> = scopes
            .map(|scope| (scope.to_owned(), json!({"use-sigstore-attachments": true})))
            .collect();
        let folder = self.folder.path().join("node");
        let registries = folder.join("registries.d");
        fs::create_dir_all(&registries).expect("the folder is ours");
        let write = |path: PathBuf, value: Value| {
            fs::write(&path, value.to_string()).expect("the folder is ours");
            path
        };
        let policy = json!({"default": [{"type": "reject"}], "transports": {"docker": rules}});
        write(
            registries.join("sigstore-registries.yaml"),
            json!({"docker": places}),
        );
        (write(folder.join("policy.json"), policy), registries)
    }
}

/// A key or a certificate of an OpenShift policy, held to be PEM in base64.
fn pem(value: &Value, label: &str) -> Value {
    let text = value.as_str().expect("it is text");
    let decoded = STANDARD.decode(text).expect("it is base64");
    assert!(decoded.starts_with(format!("-----BEGIN {label}-----").as_bytes()));
    text.into()
}
