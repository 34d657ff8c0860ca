//! Each rule: what satisfies it, what does not, and what is said of it.

use serde_json::{Value, json};
use tekseal_harness::Run;

use super::{
    BUILDER, BUILT, COMMIT, EVIL, REPOSITORY, V1, V02, attest, attested, check, failing, judged,
    line, passes, tag, v1, v02,
};
use crate::workshop::{Pipeline, Workshop};

/// Every rule, as an image with provenance v0.2 of the tests satisfies it.
const EVERYTHING: [&str; 15] = [
    "--builder-id",
    BUILDER,
    "--build-type",
    "tekton.dev/v1/PipelineRun",
    "--source-repository",
    REPOSITORY,
    "--source-ref",
    COMMIT,
    "--type",
    "slsaprovenance",
    "--succeeded",
    "--max-age",
    "36500d",
    "--provenance",
    "v0.2",
];

#[test]
fn an_image_that_shows_everything_passes_and_each_line_says_where() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let said = passes(&shop, &EVERYTHING);
    for (rule, wanted) in [
        ("signature", "found \"by SHA256:".to_owned()),
        ("attestation", "found \"by SHA256:".to_owned()),
        ("provenance", "found \"1 of v0.2\"  wanted \"SLSA provenance v0.2\"  where predicateType\n".to_owned()),
        ("builder", format!("found {BUILDER}  wanted {BUILDER}  where predicate.builder.id\n")),
        ("build-type", "where predicate.buildType\n".to_owned()),
        ("source-repository", "found git+https://git.e.../app.git  wanted https://git.examp...acme/app  where predicate.materials[0].uri\n".to_owned()),
        ("source-ref", format!("found {}...", &COMMIT[..17])),
        ("succeeded", "found \"1 of 1 tasks\"  wanted \"all tasks Succeeded\"  where predicate.buildConfig.tasks[*].status".to_owned()),
        ("age", "found \"2026-03-01T10:05:".to_owned()),
        ("type", "found https://slsa.dev/...nce/v0.2  wanted https://slsa.dev/...nce/v0.2".to_owned()),
    ] {
        let line = format!("{}\n", line(&said, rule));
        assert!(line.starts_with("pass  ") && line.contains(&wanted), "{wanted}\n{line}");
        assert!(line.len() <= 140, "{} columns: {line}", line.len());
    }
    let last = said.stdout.lines().last().unwrap_or_default();
    assert_eq!(last, format!("pass  {}  10 of 10 checks", shop.image));
    assert!(
        said.stderr.contains("the transparency log was not checked"),
        "{said:?}"
    );
}

#[test]
fn json_has_the_same_answers() {
    let shop = attested(&[(V02, v02(EVIL))]);
    let said = judged(&shop, &[&BUILT[..], &["--output", "json"]].concat()).fails_with(1);
    let all = said.json();
    assert_eq!(
        (&all["passed"], &all["failed"], &all["unjudged"]),
        (&json!(0), &json!(1), &json!(0))
    );
    let one = &all["images"][0];
    assert_eq!(
        (&one["image"], &one["passed"]),
        (&json!(shop.image), &json!(false))
    );
    let checks = one["checks"].as_array().expect("a list");
    let names: Vec<_> = checks.iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["signature", "attestation", "provenance", "builder"]);
    let att = tag(&shop.digest, "att");
    let layer = shop.layers("att")[0]["digest"].clone();
    assert_eq!(
        checks[3],
        json!({"name": "builder", "passed": false, "found": EVIL, "wanted": BUILDER, "where": "predicate.builder.id",
            "place": format!("tag {att}"), "layer": layer, "statements": 1, "failing": 1})
    );
    assert!(
        said.stderr.contains("error: image ") && said.stderr.contains(" does not pass"),
        "{said:?}"
    );
}

#[test]
fn each_rule_refuses_what_does_not_satisfy_it() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    for (flags, rule) in [
        (&["--builder-id", EVIL][..], "builder"),
        (&["--build-type", "tekton.dev/v1/TaskRun"], "build-type"),
        (
            &["--source-repository", "https://git.example.com/acme/app2"],
            "source-repository",
        ),
        (
            &[
                "--source-repository",
                REPOSITORY,
                "--source-ref",
                "refs/heads/main",
            ],
            "source-ref",
        ),
        (&["--max-age", "1h"], "age"),
        (&["--type", "slsaprovenance1"], "type"),
        (&["--provenance", "v1"], "provenance"),
    ] {
        assert_eq!(failing(&shop, flags), [rule], "{flags:?}");
    }
    for (flags, rule) in [
        (["--type", "slsaprovenance1"], "type"),
        (["--provenance", "v1"], "provenance"),
    ] {
        let said = judged(&shop, &flags).fails_with(1);
        let found = format!("found \"only {V02}\"");
        assert!(line(&said, rule).contains(&found), "{said:?}");
    }
    let either = ["--builder-id", EVIL, "--builder-id", BUILDER];
    passes(&shop, &either);
    passes(&shop, &["--builder-id", &format!("{EVIL},{BUILDER}")]);
}

#[test]
fn both_versions_are_read_by_the_same_flags() {
    let flags = [
        &BUILT[..],
        &["--source-repository", REPOSITORY, "--source-ref", COMMIT],
    ]
    .concat();
    let both = attested(&[(V02, v02(BUILDER)), (V1, v1(BUILDER))]);
    let said = passes(&both, &flags);
    assert!(
        line(&said, "provenance").contains("\"1 of v0.2, 1 of v1\""),
        "{said:?}"
    );
    passes(&both, &["--type", "slsaprovenance,slsaprovenance1"]);
    let said = passes(&both, &[&flags[..], &["--provenance", "v1"]].concat());
    assert!(
        line(&said, "builder").contains("predicate.runDetails.builder.id"),
        "{said:?}"
    );

    // One of them is foreign: it counts unless the other is asked for.
    let mixed = attested(&[(V02, v02(EVIL)), (V1, v1(BUILDER))]);
    assert_eq!(failing(&mixed, &BUILT), ["builder"]);
    passes(&mixed, &[&BUILT[..], &["--provenance", "v1"]].concat());
    passes(&mixed, &[&BUILT[..], &["--match", "any"]].concat());
}

#[test]
fn of_two_statements_all_count_or_any_one_that_satisfies_every_rule() {
    let failed = {
        let mut failed = v02(BUILDER);
        failed["buildConfig"]["tasks"][0]["status"] = json!("Failed");
        failed
    };
    let shop = attested(&[(V02, failed), (V02, v02(EVIL))]);
    let flags = [&BUILT[..], &["--succeeded"]].concat();
    let said = judged(&shop, &flags).fails_with(1);
    assert_eq!(super::failed(&said), ["builder", "succeeded"]);
    assert!(
        line(&said, "builder").ends_with("failing 1 of 2"),
        "{said:?}"
    );
    // Each rule is satisfied by one of them, and none satisfies both.
    let any = [&flags[..], &["--match", "any"]].concat();
    assert_eq!(failing(&shop, &any).len(), 1);
    attest(&shop, &shop.image, V02, &v02(BUILDER));
    passes(&shop, &any);
    assert_eq!(failing(&shop, &flags), ["builder", "succeeded"]);
}

#[test]
fn a_pipeline_run_of_chains_shows_that_it_succeeded_where_its_format_does() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let digest = shop.registry.push_image("demo/app", "1.0").digest;
    let pipeline = Pipeline::of(shop.registry.address(), &digest);
    let image = shop.registry.reference("demo/app", &digest);
    let run = |kind: &str| {
        shop.attest_command(&pipeline.path("pipelinerun.json"), &key)
            .arg("--children")
            .arg(pipeline.path("children"))
            .args(["--deep-inspection", "--format", kind])
            .ok();
    };
    run("slsa/v1");
    let repository = "https://git.example.com/team/app";
    let flags = [
        "--only",
        "attestation",
        "--succeeded",
        "--source-repository",
        repository,
    ];
    check(&shop, &flags).arg(&image).ok();
    run("slsa/v2alpha4");
    let said = check(&shop, &flags).arg(&image).fails_with(1);
    assert_eq!(super::failed(&said), ["succeeded"]);
    assert!(
        line(&said, "succeeded").contains("a build type that does not tell"),
        "{said:?}"
    );
}

#[test]
fn signature_and_attestation_are_both_wanted_unless_it_is_said_which() {
    let unsigned = Workshop::new();
    attest(&unsigned, &unsigned.image, V02, &v02(BUILDER));
    assert_eq!(failing(&unsigned, &BUILT), ["signature"]);
    passes(
        &unsigned,
        &[&BUILT[..], &["--only", "attestation"]].concat(),
    );

    let signed = attested(&[]);
    let said = judged(&signed, &BUILT).fails_with(1);
    assert_eq!(
        super::failed(&said),
        ["attestation", "provenance", "builder"]
    );
    assert!(
        line(&said, "attestation").contains("no attestation found"),
        "{said:?}"
    );
    let said = passes(&signed, &["--only", "signature"]);
    assert_eq!(said.stdout.lines().count(), 2, "{said:?}");
}

#[test]
fn an_image_in_a_folder_is_checked_without_a_registry() {
    let Some(cosign) = tekseal_harness::cosign("2.6.5") else {
        return;
    };
    let shop = attested(&[(V02, v02(BUILDER))]);
    let saved = shop.path("saved");
    cosign
        .run("save")
        .arg("--dir")
        .arg(&saved)
        .arg(&shop.image)
        .ok();
    let folder = format!("oci:{}", saved.display());
    let said = check(&shop, &BUILT).arg(&folder).arg(&shop.image).ok();
    let wanted = format!("pass  {folder}@{}  4 of 4 checks", shop.digest);
    assert!(said.stdout.contains(&wanted), "{said:?}");
    assert!(
        said.stdout.ends_with("pass  2 of 2 images pass\n"),
        "{said:?}"
    );
}

#[test]
fn the_desk_program_has_it_and_a_tag_is_resolved() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let (_, public) = shop.plain_key();
    let tagged = format!("{}/team/app:1", shop.registry.address());
    let said = Run::tool("tekseal")
        .args(["policy", "check", "--key"])
        .arg(&public)
        .args(BUILT)
        .arg(tagged)
        .ok();
    assert!(
        said.stdout
            .contains(&format!("pass  {}  4 of 4", shop.image)),
        "{said:?}"
    );
}

#[test]
fn flags_come_from_the_environment_too() {
    let shop = attested(&[(V02, v02(EVIL))]);
    let (_, public) = shop.plain_key();
    let said = Run::tool("tekseal-policy")
        .arg("check")
        .env("TEKSEAL_PUBLIC_KEY", public.as_os_str())
        .env(
            "TEKSEAL_POLICY_BUILDER_ID",
            format!("{BUILDER},https://b.example.com"),
        )
        .env("TEKSEAL_POLICY_SUCCEEDED", "")
        .env("TEKSEAL_POLICY_SOURCE_REF", "")
        .env("TEKSEAL_POLICY_MAX_AGE", "")
        .env("TEKSEAL_POLICY_MATCH", "")
        .env("IMAGE", &shop.image)
        .env("TEKSEAL_OUTPUT", "json")
        .run()
        .fails_with(1);
    let checks: Vec<Value> = said.json()["images"][0]["checks"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert_eq!(
        checks[3]["wanted"],
        format!("https://b.example.com or {BUILDER}")
    );
}
