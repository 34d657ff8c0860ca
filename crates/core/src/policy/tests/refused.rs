//! Drafts that are no rules.

use super::*;

#[test]
fn rules_that_contradict_each_other_or_never_hold_are_refused_by_name() {
    let list = |text: &str| vec![text.to_owned()];
    let text = |text: &str| Some(text.to_owned());
    #[rustfmt::skip]
    let cases = [
        (Draft { builder_ids: list(""), ..Draft::default() }, "the builder id is empty"),
        (Draft { builder_ids: list("https://x\0"), ..Draft::default() }, "a character that is not seen"),
        (Draft { builder_ids: list("https://x y"), ..Draft::default() }, "has a blank"),
        (Draft { builder_ids: list("https://x/*"), ..Draft::default() }, "has a wildcard"),
        (Draft { builder_ids: list(&"x".repeat(MOST_TEXT + 1)), ..Draft::default() }, "has more than 2048 bytes"),
        (Draft { build_types: vec!["t".to_owned(); MOST_VALUES + 1], ..Draft::default() }, "the build type has 101 values"),
        (Draft { predicate_types: list("provenance"), ..Draft::default() }, "is not a URI"),
        (Draft { predicate_types: list(SIGN_PREDICATE), ..Draft::default() }, "that of image signatures"),
        (Draft { source_repository: text(""), ..Draft::default() }, "the source repository is empty"),
        (Draft { source_repository: text("git+.git"), ..Draft::default() }, "the source repository is empty"),
        (Draft { source_repository: text("https://h/r@refs/heads/main"), ..Draft::default() }, "names a ref"),
        (Draft { source_repository: text("git.example.com/acme/app"), ..Draft::default() }, "\"git.example.com/acme/app\" has no scheme"),
        (Draft { source_repository: text("git+git.example.com:8080/app.git"), ..Draft::default() }, "has no scheme"),
        (Draft { source_repository: text("://h/r"), ..Draft::default() }, "has no scheme"),
        (Draft { source_repository: text("https://"), ..Draft::default() }, "has no scheme"),
        (Draft { source_repository: text("git@h/r:x"), ..Draft::default() }, "has no scheme"),
        (Draft { source_repository: text("@h:x"), ..Draft::default() }, "has no scheme"),
        (Draft { source_ref: text("refs/heads/main"), ..Draft::default() }, "without a source repository"),
        (Draft { source_ref: text("main"), ..of_source() }, "neither a commit"),
        (Draft { source_ref: text("refs/"), ..of_source() }, "neither a commit"),
        (Draft { source_ref: text(&"A".repeat(40)), ..of_source() }, "neither a commit"),
        (Draft { source_ref: text(""), ..of_source() }, "the source ref is empty"),
        (Draft { max_age: Some(Duration::ZERO), ..Draft::default() }, "the age is zero"),
        (Draft { provenance: Some(Version::V1), build_types: list("tekton.dev/v1/TaskRun"), ..Draft::default() }, "provenance v1 is asked for"),
        (Draft { provenance: Some(Version::V02), build_types: list("https://tekton.dev/chains/v2/slsa"), ..Draft::default() }, "provenance v0.2 is asked for"),
        (Draft { require_success: true, build_types: list("tekton.dev/v1/TaskRun"), ..Draft::default() }, "does not say how a run ended"),
    ];
    for (draft, wanted) in cases {
        let told = Rules::new(draft).expect_err(wanted).to_string();
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let mixed = Draft {
        provenance: Some(Version::V1),
        build_types: vec![
            "tekton.dev/v1/TaskRun".to_owned(),
            "https://example.com/t".to_owned(),
        ],
        ..Draft::default()
    };
    assert!(Rules::new(mixed).is_ok());
    for address in [
        "git@git.example.com:acme/app.git",
        "git+ssh://git@h/r",
        "file:///srv/app",
    ] {
        let of = Draft {
            source_repository: text(address),
            ..Draft::default()
        };
        assert!(Rules::new(of).is_ok(), "{address}");
    }
    let twice = Draft {
        builder_ids: vec![BUILDER.to_owned(); 2],
        ..Draft::default()
    };
    assert_eq!(rules(twice).builder_ids, [BUILDER]);
    assert!(rules(Draft::default()).is_empty());
}
