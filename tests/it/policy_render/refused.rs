//! Flags that mean nothing, contradict each other, or ask a peer for what it cannot hold: exit status 2, and no policy.

use super::render;

const KEY: [&str; 2] = ["--key", "example/cosign.pub"];
const IMAGES: [&str; 2] = ["--images", "registry.example.com/team/*"];
const IDENTITY: [&str; 4] = [
    "--certificate-identity",
    "builder@example.com",
    "--certificate-oidc-issuer",
    "https://issuer.example.com",
];

fn refused(args: &[&str], wanted: &str) {
    let said = render(args).fails_with(2);
    assert!(said.stdout.is_empty(), "{args:?}: {}", said.stdout);
    assert!(said.stderr.contains(wanted), "{args:?}: {}", said.stderr);
}

#[test]
fn flags_that_contradict_each_other_or_say_nothing() {
    let signed = ["--provenance", "none"];
    let base = [&KEY[..], &IMAGES[..], &signed[..]].concat();
    let with = |kind: &'static str, more: &[&'static str]| [&[kind], &base[..], more].concat();
    for (args, wanted) in [
        (
            with("kyverno", &["--builder-id", "urn:b"]),
            "the signature alone, and there are rules",
        ),
        (
            with("kyverno", &["--type", "spdx"]),
            "the signature alone, and there are rules",
        ),
        (
            with("kyverno", &IDENTITY),
            "--key and --certificate-identity are both given",
        ),
        (
            with("kyverno", &["--rekor-url", "https://r.example"]),
            "--rekor-url is given without",
        ),
        (
            with(
                "kyverno",
                &[
                    "--rekor-key",
                    "example/rekor.pub",
                    "--trusted-root",
                    "public-good",
                ],
            ),
            "are both given",
        ),
        (
            with(
                "kyverno",
                &["--rekor-key", "example/rekor.pub", "--rekor-url", "ftp://r"],
            ),
            "no https address",
        ),
        (
            with("kyverno", &["--rekor-key", "README.md"]),
            "key of the log",
        ),
        (
            with(
                "kyverno",
                &[
                    "--trusted-root",
                    "public-good",
                    "--rekor-url",
                    "https://other.example",
                ],
            ),
            "has no log",
        ),
        (
            with("kyverno", &["--tuf-mirror", "https://t.example"]),
            "--tuf-mirror needs --tuf-root",
        ),
        (
            with("kyverno", &["--tuf-root", "example/rekor.pub"]),
            "--tuf-root needs --tuf-mirror",
        ),
        (
            with(
                "kyverno",
                &["--tuf-mirror", "https://t.example", "--tuf-root", "r"],
            ),
            "--tuf-mirror means nothing for kyverno",
        ),
        (
            with(
                "kyverno-image-validating",
                &[
                    "--tuf-mirror",
                    "https://t.example",
                    "--tuf-root",
                    "README.md",
                ],
            ),
            "reading the TUF root README.md",
        ),
        (
            with(
                "kyverno-image-validating",
                &["--tuf-mirror", "ftp://t", "--tuf-root", "README.md"],
            ),
            "no https address",
        ),
        (
            with(
                "kyverno-image-validating",
                &[
                    "--tuf-mirror",
                    "https://t.example",
                    "--tuf-root",
                    "README.md",
                    "--trusted-root",
                    "public-good",
                ],
            ),
            "--tuf-mirror is given with",
        ),
        (with("kyverno", &["--name", "Team"]), "no name of an object"),
        (
            with("kyverno", &["--name", "a\nkind: Pod"]),
            "no name of an object",
        ),
        (
            with("kyverno", &["--signed-identity", "default"]),
            "--signed-identity means nothing for kyverno",
        ),
        (
            with("containers-policy", &["--name", "team"]),
            "--name means nothing",
        ),
        (with("rego-opa", &[]), "--images means nothing for rego-opa"),
        (
            vec![
                "kyverno",
                "--key",
                "example/cosign.pub",
                "--provenance",
                "none",
            ],
            "--images is not given",
        ),
        (
            [&["kyverno"], &IMAGES[..], &signed[..]].concat(),
            "must know who signs",
        ),
        (
            [&["kyverno"], &IMAGES[..], &KEY[..]].concat(),
            "nothing is demanded of attestations",
        ),
        (
            [&["kyverno"], &IMAGES[..], &signed[..], &IDENTITY[..]].concat(),
            "needs --trusted-root",
        ),
        (
            [
                &["kyverno"],
                &IMAGES[..],
                &["--from", "registry.invalid/a/b:1"],
            ]
            .concat(),
            "--from is given without --key",
        ),
        (
            vec!["rego-cosign", "--provenance", "v1", "--action", "audit"],
            "--action means nothing",
        ),
        (
            vec![
                "rego-cosign",
                "--provenance",
                "v1",
                "--key",
                "example/cosign.pub",
            ],
            "who must have signed means nothing",
        ),
        (
            vec![
                "containers-registries",
                "--images",
                "a.example/*",
                "--provenance",
                "v1",
            ],
            "a rule on attestations means nothing",
        ),
        (
            vec![
                "containers-registries",
                "--images",
                "a.example/*",
                "--key",
                "example/cosign.pub",
            ],
            "hint: leave it out: the policy that goes with it says that",
        ),
        (
            vec![
                "containers-registries",
                "--key",
                "example/cosign.pub",
                "--from",
                "registry.invalid/a/b:1",
            ],
            "--from means nothing for containers-registries",
        ),
        (
            vec!["policy-controller-trust-root", "--images", "a.example/*"],
            "hint: the policy that refers to it names the images",
        ),
        (
            with("kyverno", &["--source-ref", "refs/heads/main"]),
            "hint: leave out --provenance none, or the rules",
        ),
        (
            vec![
                "rego-cosign",
                "--provenance",
                "v1",
                "--source-repository",
                "git.example.com/team/app",
            ],
            "--source-repository https://git.example.com/team/app",
        ),
        (vec!["policy-controller-trust-root"], "none is given"),
    ] {
        refused(&args, wanted);
    }
}

#[test]
fn what_hinders_policy_controller_is_told_at_once_and_the_way_out_covers_the_image() {
    let one = ["--images", "registry.example.com/team/app"];
    let v1 = ["--provenance", "v1"];
    let said = render(&[&["policy-controller"], &KEY[..], &one, &v1].concat()).fails_with(2);
    for told in [
        "team/app alone",
        "any statement",
        "--images 'registry.example.com/team/app*'",
        "--images 'registry.example.com/team/*'",
        "--match any",
    ] {
        assert!(said.stderr.contains(told), "{told}: {said:?}");
    }
    let covered = [
        "--images",
        "registry.example.com/team/app*",
        "--match",
        "any",
    ];
    let said = render(&[&["policy-controller"], &KEY[..], &v1, &covered].concat()).ok();
    assert!(
        said.stdout
            .contains("glob: \"registry.example.com/team/app**\"\n"),
        "{said:?}"
    );
}

#[test]
fn the_help_names_every_provenance_and_an_identity_without_a_log_those_there_are() {
    let help = render(&["--help"]).ok();
    assert!(help.stdout.contains("- none:"), "{help:?}");
    let said = render(
        &[
            &["policy-controller"],
            &IMAGES[..],
            &IDENTITY,
            &["--trusted-root", "public-good", "--provenance", "none"],
        ]
        .concat(),
    )
    .fails_with(2);
    assert!(
        said.stderr.contains("needs the one log")
            && said.stderr.contains("https://rekor.sigstore.dev"),
        "{said:?}"
    );
}

#[test]
fn patterns_that_are_none() {
    for (pattern, wanted) in [
        ("*", "names no registry"),
        ("team/app", "names no registry"),
        ("registry.example.com/*/app", "has a * elsewhere"),
        ("registry.example.com/team/app:1", "names a tag or a digest"),
        ("registry.example.com/Team/*", "names no repositories"),
        (
            "registry.example.com/team/{{ x }}*",
            "names no repositories",
        ),
        (
            "registry.example.com/team\"\n- \"*",
            "names no repositories",
        ),
        ("registry.example.com/\"team\"/*", "names no repositories"),
    ] {
        let flags = ["--images", pattern, "--provenance", "none"];
        refused(&[&["kyverno"], &KEY[..], &flags[..]].concat(), wanted);
    }
}

#[test]
fn values_that_are_not_seen_as_they_are() {
    for value in ["a b", "urn:\u{200b}x", "urn:x\ny", "urn:\u{202e}x", "urn:*"] {
        let flags = ["--provenance", "v1", "--builder-id", value];
        let args = [&["kyverno"], &KEY[..], &IMAGES[..], &flags[..]].concat();
        refused(&args, "the builder id");
    }
    let flags = [
        "--provenance",
        "v1",
        "--builder-id",
        "urn:{{request.object}}",
    ];
    let args = [&["kyverno"], &KEY[..], &IMAGES[..], &flags[..]].concat();
    refused(&args, "kyverno cannot hold the value of --builder-id");
}

#[test]
fn what_a_peer_cannot_hold_is_named_with_what_to_do_instead() {
    let base = [&KEY[..], &IMAGES[..]].concat();
    for (kind, flags, wanted, instead) in [
        (
            "kyverno",
            &["--provenance", "v1", "--match", "any"][..],
            "any statement",
            "leave out --match any",
        ),
        (
            "kyverno",
            &["--builder-id", "urn:b"],
            "which provenance",
            "give --provenance v0.2",
        ),
        (
            "kyverno",
            &["--provenance", "v1", "--succeeded"],
            "--succeeded",
            "tekseal-policy check",
        ),
        (
            "kyverno",
            &[
                "--provenance",
                "none",
                "--layout",
                "bundle",
                "--rekor-key",
                "example/rekor.pub",
            ],
            "of your own for bundles",
            "--layout tags",
        ),
        (
            "kyverno-image-validating",
            &[
                "--provenance",
                "none",
                "--layout",
                "bundle",
                "--rekor-key",
                "example/rekor.pub",
            ],
            "from a TUF repository alone",
            "--tuf-mirror",
        ),
        (
            "kyverno-image-validating",
            &["--provenance", "v1"],
            "cosign's tags",
            "--layout bundle",
        ),
        (
            "kyverno-image-validating",
            &["--provenance", "none"],
            "also an attestation",
            "--layout bundle",
        ),
        (
            "kyverno-image-validating",
            &["--provenance", "v1", "--layout", "bundle"],
            "one statement of several",
            "--match any",
        ),
        (
            "policy-controller",
            &["--provenance", "v1"],
            "any statement",
            "tekseal-policy check",
        ),
        (
            "policy-controller",
            &["--provenance", "none", "--layout", "bundle"],
            "reads no bundles",
            "--layout tags",
        ),
        (
            "openshift",
            &["--provenance", "v1"],
            "looks at no attestation",
            "--provenance none",
        ),
        (
            "openshift",
            &["--provenance", "none", "--action", "audit"],
            "only report",
            "tekseal-policy check",
        ),
        (
            "containers-policy",
            &["--provenance", "v0.2"],
            "looks at no attestation",
            "--provenance none",
        ),
    ] {
        let args = [&[kind], &base[..], flags].concat();
        refused(&args, &format!("error: {kind} "));
        refused(&args, wanted);
        refused(&args, instead);
    }
}
