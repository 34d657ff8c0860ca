//! Which repository and which commit of it.

use super::*;

#[test]
fn a_repository_is_one_with_and_without_git_and_nothing_else_is() {
    let of = |uri: &str| {
        let materials = json!([{"uri": uri, "digest": {"sha1": COMMIT}}]);
        only(
            of_source(),
            PROVENANCE_V02,
            &with(&v02(), "/materials", materials),
        )
        .passed
    };
    for uri in rules(of_source()).source_uris() {
        assert!(of(&uri), "{uri}");
        assert!(same_repository(REPOSITORY, &uri), "{uri}");
        assert!(of(&format!("{uri}@refs/heads/main")), "{uri}");
    }
    let app = REPOSITORY;
    for (reference, of_app) in [
        ("refs/heads/main", true),
        ("refs/tags/v1.0", true),
        ("refs/heads/a/b_c+d", true),
        ("refs/../../evil/repo", false),
        ("refs/..%2f../evil", false),
        ("refs/./heads/main", false),
        ("refs/heads//main", false),
        ("refs/heads/main/", false),
        ("refs/heads/.main", false),
        ("refs/heads/main.lock", false),
        ("refs/heads/a..b", false),
        ("refs/heads/main.", false),
        ("refs/heads/x\\..\\evil", false),
        ("refs/heads/x?y", false),
        ("refs/heads/x#y", false),
        ("refs/heads/x:y", false),
        ("refs/heads/x~1", false),
        ("refs/heads/x^", false),
        ("refs/heads/x y", false),
        ("refs/x@evil.example/repo", false),
        ("refs/heads/evil.git", false),
        ("refs/", false),
    ] {
        for uri in [
            format!("{app}@{reference}"),
            format!("git+{app}.git@{reference}"),
        ] {
            assert_eq!(of(&uri), of_app, "{uri}");
            assert_eq!(same_repository(app, &uri), of_app, "{uri}");
            assert_eq!(repository_of(&uri) == app, of_app, "{uri}");
        }
    }
    // As Chains writes what a run was given as its URL.
    assert!(!of(&format!("git+{app}@refs/../../evil/repo.git")));
    for uri in [
        "https://evil.example.com/x?git+https://git.example.com/acme/app",
        "https://evil.example.com/x#https://git.example.com/acme/app",
        "https://git.example.com/acme/app@evil.example.com/x",
        "https://git.example.com@refs/acme/app",
        "https://git.example.com/acme/app/",
        "https://git.example.com/acme/app2",
        "https://git.example.com/acme/App",
        "https://git.example.com/acme/app.git.git",
        "git+git+https://git.example.com/acme/app",
        "https://git.example.com/acme/app?x@refs/heads/main",
        "https://git.example.com/acme/app\0",
        "http://git.example.com/acme/app",
        "https://user@git.example.com/acme/app",
        "https://git.example.com/acme/../evil/app",
        "git@git.example.com:acme/app",
        "",
    ] {
        assert!(!of(uri), "{uri}");
        assert!(!same_repository(REPOSITORY, uri), "{uri}");
    }
}

#[test]
fn where_the_source_is_another_the_answer_names_some() {
    let materials = |count: usize| -> Value {
        let git = (0..count).map(|at| json!({"uri": format!("git+https://evil.example.com/{at}")}));
        let image = json!({"uri": "oci://registry.example.com/tools"});
        git.chain([image]).collect()
    };
    let found = |count| {
        let predicate = with(&v02(), "/materials", materials(count));
        only(of_source(), PROVENANCE_V02, &predicate).found
    };
    assert_eq!(found(0), "no repository");
    assert_eq!(found(1), "git+https://evil.example.com/0");
    assert!(found(5).ends_with("git+https://evil.example.com/2 and 2 more"));
}

#[test]
fn a_ref_is_a_commit_or_a_full_name_and_all_materials_of_the_repository_have_it() {
    let of = |reference: &str, materials: Value| {
        let draft = Draft {
            source_ref: Some(reference.to_owned()),
            ..of_source()
        };
        let one = [statement(
            PROVENANCE_V02,
            &with(&v02(), "/materials", materials),
        )];
        passes(draft, &one)
    };
    let at = |uri: &str, digest: Value| json!({"uri": uri, "digest": digest});
    let other = "f".repeat(40);
    assert!(of(COMMIT, json!([at(REPOSITORY, json!({"sha1": COMMIT}))])));
    assert!(of(
        COMMIT,
        json!([at(REPOSITORY, json!({"gitCommit": COMMIT}))])
    ));
    let sha256 = "a".repeat(64);
    let both = json!({"sha1": COMMIT, "sha256": sha256});
    assert!(of(COMMIT, json!([at(REPOSITORY, both.clone())])));
    assert!(of(&sha256, json!([at(REPOSITORY, both)])));
    let main = format!("git+{REPOSITORY}.git@refs/heads/main");
    assert!(of("refs/heads/main", json!([at(&main, json!({}))])));

    assert!(!of("refs/heads/mai", json!([at(&main, json!({}))])));
    assert!(!of(
        "refs/heads/main",
        json!([at(REPOSITORY, json!({"sha1": COMMIT}))])
    ));
    assert!(!of(COMMIT, json!([at(REPOSITORY, json!({}))])));
    assert!(!of(COMMIT, json!([at(REPOSITORY, json!({"md5": COMMIT}))])));
    assert!(!of(
        COMMIT,
        json!([at(REPOSITORY, json!({"sha1": COMMIT.to_uppercase()}))])
    ));
    let two_names = json!({"sha1": COMMIT, "gitCommit": other});
    assert!(!of(COMMIT, json!([at(REPOSITORY, two_names)])));
    let elsewhere = at("https://evil.example.com/x", json!({"sha1": COMMIT}));
    assert!(!of(
        COMMIT,
        json!([elsewhere, at(REPOSITORY, json!({"sha1": other}))])
    ));
    let two = json!([
        at(REPOSITORY, json!({"sha1": COMMIT})),
        at(&main, json!({"sha1": other}))
    ]);
    assert!(!of(COMMIT, two));
}
