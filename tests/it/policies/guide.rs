//! The policy of the guide accepts nothing, whatever is done for its logs.

use std::fs;
use std::path::Path;

use tekseal_harness::{Kyverno, Run, Verdict};

use super::gallery::{Gallery, public_key};
use super::rendered::{Kind, Peers, Rendered};
use super::roles::Role;
use super::table::{NOT_SATISFIED, V1};

/// The guide's policy with the indentation that its printed form lost.
const INDENTED: &str = r#"# Kyverno policy — block any image without a valid Chains signature
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: require-signed-images
spec:
  validationFailureAction: Enforce
  rules:
    - name: check-image-signature
      match:
        resources:
          kinds: [Pod]
      verifyImages:
        - imageReferences:
            - "quay.io/my-org/*"
          attestors:
            - entries:
                - keys:
                    publicKeys: |-
                      -----BEGIN PUBLIC KEY-----
                      <your cosign.pub contents>
                      -----END PUBLIC KEY-----
          attestations:
            - predicateType: https://slsa.dev/provenance/v1
              conditions:
                - all:
                    - key: "{{ builder.id }}"
                      operator: Equals
                      value: "https://tekton.dev/chains/v2"
"#;

const KEYS: &str = "publicKeys: |-";
const TYPE: &str = "- predicateType: https://slsa.dev/provenance/v1";

/// The same about our images, with our key; logs are asked for nothing.
fn about_ours() -> String {
    let key = fs::read_to_string(public_key()).expect("the fixtures are there");
    let body: Vec<_> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let switches = [
        "rekor: {ignoreTlog: true}",
        "ctlog: {ignoreSCT: true}",
        KEYS,
    ];
    let switches = switches.map(|line| format!("{:20}{line}\n", ""));
    INDENTED
        .replace(&format!("{:20}{KEYS}\n", ""), &switches.concat())
        .replace("<your cosign.pub contents>", &body.concat())
        .replace("quay.io/my-org/*", &Gallery::shared().pattern())
}

/// What Kyverno takes an attestation without attestors to mean, written out: anybody with a certificate. With the authority of the test in place of
/// the public one's, which is not reached.
fn written_out(policy: &str, root: &str) -> String {
    let head = [
        (14, "attestors:"),
        (16, "- entries:"),
        (20, "- keyless:"),
        (24, "issuer: \"*\""),
        (24, "subject: \"*\""),
        (
            24,
            "rekor: {url: \"https://rekor.example.com\", ignoreTlog: true}",
        ),
        (24, "ctlog: {ignoreSCT: true}"),
        (24, "roots: |-"),
    ];
    let head = head.map(|(indent, line)| format!("{:indent$}{line}\n", ""));
    let lines = root.lines().map(|line| format!("{:26}{line}\n", ""));
    let text = format!("{TYPE}\n{}{}", head.concat(), lines.collect::<String>());
    policy.replace(&format!("{TYPE}\n"), &text)
}

fn printed() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../deploy/policies/guide/as-printed.yaml");
    fs::read_to_string(path).expect("the guide's policy is there")
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn the_guides_policy_accepts_nothing() {
    let Some(kyverno) = Kyverno::find() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.yaml");
    let write = |text: &str| fs::write(&file, text).expect("the folder is ours");
    write(&about_ours());
    let gallery = Gallery::shared();
    match kyverno.judge(&file, gallery.image(Role::Unsigned)) {
        Verdict::Refused(reason) if reason.contains("no signatures found") => {}
        other => panic!("{other:?}"),
    }
    let said = kyverno.apply(&file, gallery.image(Role::AttV1));
    // As it stands it asks Sigstore who may have a certificate.
    let wanted = "failed to get roots from fulcio";
    assert!(said.stdout.contains(wanted), "{said:?}");

    Run::new("openssl")
        .folder(folder.path())
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
        .args("-keyout root.key -out root.pem -days 2 -subj /CN=root".split(' '))
        .ok();
    let root = fs::read_to_string(folder.path().join("root.pem")).expect("just made");
    write(&written_out(&about_ours(), &root));
    for role in [Role::AttV02, Role::AttV1, Role::BothTypes] {
        match kyverno.judge(&file, gallery.image(role)) {
            Verdict::Refused(reason) if reason.contains("no certificate found on signature") => {}
            other => panic!("{role:?}: {other:?}"),
        }
    }
}

/// The path of v0.2 is nowhere in v1: what the guide demands of the provenance that it names.
#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn the_path_of_the_other_version_is_never_satisfied() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let gallery = Gallery::shared();
    let policy = Rendered::make(Kind::Kyverno, V1, &gallery.pattern());
    let image = gallery.image(Role::AttV1);
    assert_eq!(policy.judge(&peers, image), Verdict::Accepted);
    let file = policy.file();
    let text = fs::read_to_string(&file).expect("it was rendered");
    let other = text.replace("runDetails.builder.id", "builder.id");
    assert_ne!(text, other);
    fs::write(&file, other).expect("the folder is ours");
    match peers.kyverno.judge(&file, image) {
        Verdict::Refused(reason) if reason.contains(NOT_SATISFIED) => {}
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn as_it_is_printed_kyverno_loads_no_rule_and_ends_with_0() {
    let Some(kyverno) = Kyverno::find() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.yaml");
    let text = printed();
    let lines = INDENTED.lines().map(str::trim_start);
    assert!(lines.eq(text.lines()), "{text}");
    fs::write(&file, text).expect("the folder is ours");
    let said = kyverno
        .apply(&file, Gallery::shared().image(Role::Unsigned))
        .ok();
    assert_eq!(said.stdout, "", "no rule, and so no report: {said:?}");
}
