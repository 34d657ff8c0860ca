//! Flags that contradict each other, say nothing, or could never hold: exit 2, and nothing is asked of anybody.

use tekseal_harness::Run;

use super::{BUILDER, BUILT, V02, attested, check, v02};
use crate::workshop::Workshop;

/// An image that is nowhere: whoever asked for it would say so.
const IMAGE: &str = "registry.invalid/team/app@sha256:3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";

#[test]
fn rules_that_cannot_hold_are_refused_by_name_before_anybody_is_asked() {
    let shop = Workshop::new();
    let long = "x".repeat(3000);
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&[], "no rule is given"),
        (&["--only", "attestation"], "no rule is given"),
        (&["--builder-id", ""], "--builder-id"),
        (&["--builder-id", BUILDER, "--source-repository="], "--source-repository"),
        (&["--only", "signature", "--builder-id", BUILDER], "--only signature forbids them"),
        (&["--builder-id", "https://a b"], "has a blank"),
        (&["--builder-id", "https://tekton.dev/*"], "has a wildcard"),
        (&["--builder-id", "https://tekton.dev/\u{200b}chains"], "a character that is not seen"),
        (&["--builder-id", &long], "more than 2048 bytes"),
        (&["--source-ref", "refs/heads/main"], "without a source repository"),
        (&["--source-repository", "https://h/r", "--source-ref", "main"], "neither a commit"),
        (&["--source-repository", "https://h/r@refs/heads/main"], "names a ref"),
        (&["--source-repository", "git.example.com/team/app"], "\"git.example.com/team/app\" has no scheme"),
        (&["--source-repository", "git.example.com/team/app"], "hint: as provenance names it: --source-repository https://git.example.com/team/app"),
        (&["--provenance", "none"], "--provenance none is for render alone"),
        (&["--source-ref", "refs/heads/main"], "hint: give --source-repository too"),
        (&["--builder-id", "https://tekton.dev/*"], "hint: give each value in full"),
        (&["--only", "signature", "--builder-id", BUILDER], "hint: leave out --only signature"),
        (&["--type", "provenance"], "neither a predicate type that cosign names nor a URI"),
        (&["--type", "https://sigstore.dev/cosign/sign/v1"], "that of image signatures"),
        (&["--max-age", "0d"], "the age is zero"),
        (&["--max-age", "soon"], "is no duration"),
        (&["--provenance", "v1", "--build-type", "tekton.dev/v1/PipelineRun"], "provenance v1 is asked for"),
        (&["--succeeded", "--build-type", "https://tekton.dev/chains/v2/slsa"], "does not say how a run ended"),
        (&["--builder-id", BUILDER, "--certificate-identity", "a"], "without --certificate-oidc-issuer"),
        (&["--builder-id", BUILDER, "--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "b"], "--certificate-identity-regexp"),
        (&["--builder-id", BUILDER, "--certificate-identity", "a", "--certificate-oidc-issuer", "b"], "are both given"),
        (&["--builder-id", BUILDER, "--signature-digest-algorithm", "md5"], "--signature-digest-algorithm"),
        (&["--builder-id", BUILDER, "-a", "x", "--only", "signature"], "--only signature forbids them"),
    ];
    for (flags, wanted) in cases {
        let said = check(&shop, flags).arg(IMAGE).fails_with(2);
        assert!(said.stderr.contains(wanted), "{flags:?}: {said:?}");
        assert_eq!(said.stdout, "");
    }
    for flags in [
        &["--provenance", "v3"][..],
        &["--match", "some"],
        &["--concurrency", "0"],
        &["--concurrency", "65"],
    ] {
        check(&shop, &[&BUILT[..], flags].concat())
            .arg(IMAGE)
            .fails_with(2);
    }
}

#[test]
fn without_a_key_or_an_identity_nothing_is_believed() {
    let said = Run::tool("tekseal-policy")
        .arg("check")
        .args(BUILT)
        .arg(IMAGE)
        .fails_with(2);
    assert!(
        said.stderr.contains("neither a key nor an identity"),
        "{said:?}"
    );
    Run::tool("tekseal-policy").fails_with(2);
}

#[test]
fn lists_of_images_that_are_none_are_refused_with_the_line() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let with = |content: &[u8]| {
        let file = shop.file("images.txt", content);
        check(&shop, &BUILT).arg("--images").arg(file)
    };
    let many = format!("{IMAGE}\n").repeat(10_001);
    for (content, wanted) in [
        (&b""[..], "no image is named"),
        (b"\n# only words\n", "no image is named"),
        (
            format!("{} # good\nNOT AN IMAGE\n", shop.image).as_bytes(),
            ", line 2",
        ),
        (format!("{}#good\n", shop.image).as_bytes(), ", line 1"),
        (b"\xff\xfe", "is not UTF-8"),
        (many.as_bytes(), "more than 10000 images"),
        (&vec![b'#'; (4 << 20) + 1], "larger than 4096 KiB"),
    ] {
        let said = with(content).fails_with(2);
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
        assert_eq!(said.stdout, "");
    }
    check(&shop, &BUILT).fails_with(2).says("no image is named");
    check(&shop, &BUILT)
        .args(["--images", "/nowhere/at/all"])
        .fails_with(2);
}
