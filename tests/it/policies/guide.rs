//! The policy of the guide accepts nothing, whatever is done for its logs.

use std::fs;
use std::path::Path;

use tekseal_harness::{Kyverno, Run, Verdict};

use super::roles::{Gallery, Role, public_key};

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

/// The same about our images, with our key; logs are asked for nothing.
fn about_ours() -> String {
    let key = fs::read_to_string(public_key()).expect("the fixtures are there");
    let body: Vec<_> = key.lines().filter(|line| !line.starts_with('-')).collect();
    let body = body.join("\n                      ");
    let switches = "                    rekor: {ignoreTlog: true}\n                    ctlog: {ignoreSCT: true}\n                    publicKeys: |-\n";
    INDENTED
        .replace("                    publicKeys: |-\n", switches)
        .replace("<your cosign.pub contents>", &body)
        .replace("quay.io/my-org/*", &Gallery::shared().pattern())
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
    fs::write(&file, about_ours()).expect("the folder is ours");
    // Its attestations have no key, so that Kyverno wants certificates for them: of this authority, in place of the public one's.
    Run::new("openssl")
        .folder(folder.path())
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
        .args("-keyout root.key -out root.pem -days 2 -subj /CN=root".split(' '))
        .ok();
    let kyverno = kyverno
        .env("SIGSTORE_ROOT_FILE", folder.path().join("root.pem"))
        .env("SIGSTORE_REKOR_PUBLIC_KEY", public_key())
        .env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", public_key());
    for (role, part) in [
        (Role::Unsigned, "no signatures found"),
        (Role::AttV02, "not found for predicate type"),
        (Role::AttV1, "empty key"),
        (Role::BothTypes, "empty key"),
    ] {
        match kyverno.judge(&file, Gallery::shared().image(role)) {
            Verdict::Accepted => panic!("{role:?} is accepted"),
            Verdict::Refused(reason) => assert!(reason.contains(part), "{role:?}: {reason}"),
        }
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
    assert!(said.stdout.contains("pass: 0, fail: 0"), "{said:?}");
}
