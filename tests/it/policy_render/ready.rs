//! Every ready policy is what its command renders, to the last byte. `TEKSEAL_BLESS=1` writes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{policies, render};

const KEY: &str = "--images 'registry.example.com/team/*' --key example/cosign.pub";
const LOG: &str = "--rekor-url https://rekor.example.com --rekor-key example/rekor.pub";
const REKOR: &str = "--rekor-url https://rekor.sigstore.dev";
const PUBLIC_LOG: &str = "--trusted-root public-good --rekor-url https://rekor.sigstore.dev";
/// Who signs in a cluster without a key.
const ACCOUNT: &str = "--images 'registry.example.com/team/*' --trusted-root public-good --certificate-identity \
     https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/tekton-chains-controller --certificate-oidc-issuer https://oidc.example.com";
/// Who signs where only e-mail addresses are known.
const PERSON: &str = "--images 'registry.example.com/team/*' --trusted-root public-good --rekor-url https://rekor.sigstore.dev --certificate-identity \
     builder@example.com --certificate-oidc-issuer https://accounts.example.com";
const V02: &str = "--provenance v0.2 --builder-id https://tekton.dev/chains/v2 --build-type tekton.dev/v1/PipelineRun --build-type tekton.dev/v1/TaskRun \
     --source-repository https://git.example.com/team/app";
const V1: &str = "--provenance v1 --builder-id https://tekton.dev/chains/v2 --build-type https://tekton.dev/chains/v2/slsa \
     --build-type https://tekton.dev/chains/v2/slsa-tekton --source-repository https://git.example.com/team/app";
const NONE: &str = "--provenance none";
const ANY: &str = "--match any";
const BUNDLE: &str = "--layout bundle";
/// The policy of the guide, which demands a builder and nothing else.
const GUIDE: &str = "--images 'quay.io/my-org/*' --key example/cosign.pub --provenance v0.2 --builder-id https://tekton.dev/chains/v2 --name require-signed-images";

/// File, kind, flags.
#[rustfmt::skip]
const READY: &[(&str, &str, &[&str])] = &[
    ("guide/repaired.yaml", "kyverno", &[GUIDE]),
    ("kyverno/signature-key.yaml", "kyverno", &[KEY, NONE]),
    ("kyverno/signature-key-bundle.yaml", "kyverno", &[KEY, NONE, BUNDLE]),
    ("kyverno/signature-key-and-log.yaml", "kyverno", &[KEY, LOG, NONE]),
    ("kyverno/v0.2-key.yaml", "kyverno", &[KEY, V02]),
    ("kyverno/v0.2-key-and-log.yaml", "kyverno", &[KEY, LOG, V02]),
    ("kyverno/v0.2-keyless.yaml", "kyverno", &[ACCOUNT, V02]),
    ("kyverno/v1-key.yaml", "kyverno", &[KEY, V1]),
    ("kyverno/v1-key-and-log.yaml", "kyverno", &[KEY, LOG, V1]),
    ("kyverno/v1-keyless.yaml", "kyverno", &[ACCOUNT, V1]),
    ("kyverno/v0.2-key-bundle.yaml", "kyverno", &[KEY, V02, BUNDLE]),
    ("kyverno/v1-key-bundle.yaml", "kyverno", &[KEY, V1, BUNDLE]),
    ("kyverno-image-validating/signature-key.yaml", "kyverno-image-validating", &[KEY, NONE, BUNDLE]),
    ("kyverno-image-validating/v0.2-key.yaml", "kyverno-image-validating", &[KEY, V02, ANY, BUNDLE]),
    ("kyverno-image-validating/v0.2-keyless.yaml", "kyverno-image-validating", &[ACCOUNT, V02, ANY, BUNDLE]),
    ("kyverno-image-validating/v1-key.yaml", "kyverno-image-validating", &[KEY, V1, ANY, BUNDLE]),
    ("kyverno-image-validating/v1-keyless.yaml", "kyverno-image-validating", &[ACCOUNT, V1, ANY, BUNDLE]),
    ("policy-controller/signature-key.yaml", "policy-controller", &[KEY, NONE]),
    ("policy-controller/v0.2-key.yaml", "policy-controller", &[KEY, V02, ANY]),
    ("policy-controller/v0.2-key-and-log.yaml", "policy-controller", &[KEY, PUBLIC_LOG, V02, ANY]),
    ("policy-controller/v0.2-keyless.yaml", "policy-controller", &[ACCOUNT, REKOR, V02, ANY]),
    ("policy-controller/v1-key.yaml", "policy-controller", &[KEY, V1, ANY]),
    ("policy-controller/v1-key-and-log.yaml", "policy-controller", &[KEY, PUBLIC_LOG, V1, ANY]),
    ("policy-controller/v1-keyless.yaml", "policy-controller", &[ACCOUNT, REKOR, V1, ANY]),
    ("policy-controller/trust-root.yaml", "policy-controller-trust-root", &["--trusted-root public-good"]),
    ("openshift/key.yaml", "openshift", &[KEY, NONE]),
    ("openshift/key-and-log.yaml", "openshift", &[KEY, LOG, NONE]),
    ("openshift/keyless.yaml", "openshift", &[PERSON, NONE]),
    ("containers/key.json", "containers-policy", &[KEY, NONE]),
    ("containers/key-and-log.json", "containers-policy", &[KEY, LOG, NONE]),
    ("containers/keyless.json", "containers-policy", &[PERSON, NONE]),
    ("containers/registries.d/tekseal.yaml", "containers-registries", &["--images 'registry.example.com/team/*'"]),
    ("rego/cosign-v0.2.rego", "rego-cosign", &[V02]),
    ("rego/cosign-v1.rego", "rego-cosign", &[V1]),
    ("rego/opa-v0.2.rego", "rego-opa", &["--key example/cosign.pub", V02]),
    ("rego/opa-v1.rego", "rego-opa", &["--key example/cosign.pub", V1]),
    ("rego/opa-keyless.rego", "rego-opa", &["--certificate-identity https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/tekton-chains-controller", "--certificate-oidc-issuer https://oidc.example.com", V1]),
];

/// What no command renders.
const WRITTEN: &[&str] = &[
    "README.md",
    "example/cosign.pub",
    "example/rekor.pub",
    "guide/README.md",
    "guide/as-printed.yaml",
];

fn words(flags: &[&str]) -> Vec<String> {
    let words = flags.iter().flat_map(|flags| flags.split_whitespace());
    words
        .map(|word| word.trim_matches('\'').to_owned())
        .collect()
}

#[test]
fn every_ready_policy_is_what_its_command_renders() {
    let blesses = std::env::var_os("TEKSEAL_BLESS").is_some_and(|value| value == "1");
    let readme = fs::read_to_string(policies().join("README.md")).unwrap_or_default();
    for (file, kind, flags) in READY {
        let words = words(flags);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let text = render(&[&[*kind], &words[..]].concat()).ok().stdout;
        let path = policies().join(file);
        if blesses {
            fs::create_dir_all(path.parent().expect("it is in a folder"))
                .expect("the project is writable");
            fs::write(&path, &text).expect("the project is writable");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, text, "{file}: TEKSEAL_BLESS=1 writes it");
        let first = text.lines().next().unwrap_or_default();
        let Some(command) = first.strip_prefix("# tekseal-policy ") else {
            // In JSON no comment can stand.
            assert!(file.ends_with(".json"), "{file} begins {first}");
            assert!(readme.contains(&format!("`{file}`")), "{file}");
            continue;
        };
        // The command that stands there renders the same, byte for byte.
        let command = command
            .strip_prefix("render ")
            .expect("that is the command");
        let again: Vec<_> = words_of(command);
        let again: Vec<_> = again.iter().map(String::as_str).collect();
        assert_eq!(render(&again).ok().stdout, text, "{file}");
    }
}

/// The words of a command without blanks in them.
fn words_of(command: &str) -> Vec<String> {
    words(&[command])
}

#[test]
fn nothing_else_lies_among_the_ready_policies() {
    let mut there = BTreeSet::new();
    files(&policies(), "", &mut there);
    let ready = READY.iter().map(|(file, ..)| (*file).to_owned());
    let written = WRITTEN.iter().map(|file| (*file).to_owned());
    let wanted: BTreeSet<_> = ready.chain(written).collect();
    assert_eq!(there, wanted);
}

fn files(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("it is there") {
        let entry = entry.expect("it can be read");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => files(&entry.path(), &format!("{name}/"), found),
            false => {
                found.insert(name);
            }
        }
    }
}
