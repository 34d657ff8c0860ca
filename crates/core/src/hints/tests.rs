use super::*;
use crate::run::MissingChildren;

const HEX: &str = "b29814cf5792e684cd75d6a7fce7a67a11887e312f87ca2ac2496d81f365ff72";

/// Reads the hints in these results of a TaskRun and gives them to a check.
fn with_results(results: &str, check: impl FnOnce(&Observed<'_>)) {
    let text = format!(
        r#"{{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{{"name":"r"}},"status":{{
        "conditions":[{{"type":"Succeeded","status":"True"}}],"results":{results}}}}}"#
    );
    let run = CompletedRun::from_json(text.as_bytes(), &[], MissingChildren::Refuse)
        .expect("the test's run is well formed");
    check(&observe(&run));
}

/// What became of each result, as text.
fn outcomes(observed: &Observed<'_>) -> Vec<String> {
    let findings = observed.own.results.findings.iter();
    findings
        .map(|f| format!("{} {}", f.name, f.outcome))
        .collect()
}

#[test]
fn pairs_are_joined_by_prefix_and_half_a_pair_is_ignored() {
    let results = format!(
        r#"[{{"name":"a-IMAGE_URL","value":"quay.io/o/a:1 \n"}},{{"name":"b-IMAGE_URL","value":"quay.io/o/b"}},
            {{"name":"a-IMAGE_DIGEST","value":"sha256:{HEX}"}},{{"name":"plain","value":"x"}}]"#
    );
    with_results(&results, |observed| {
        let images = observed.images(RunKind::TaskRun);
        let names: Vec<_> = images.iter().map(ToString::to_string).collect();
        assert_eq!(names, [format!("quay.io/o/a@sha256:{HEX}")]);
        assert_eq!(
            outcomes(observed),
            [
                "a-IMAGE_URL used",
                "b-IMAGE_URL ignored: is alone: there is no result b-IMAGE_DIGEST with a value",
                "a-IMAGE_DIGEST used",
            ]
        );
    });
}

#[test]
fn every_way_to_be_no_hint_is_told() {
    let results = format!(
        r#"[{{"name":"IMAGE_URL","value":"quay.io/o/a@sha256:{HEX}"}},{{"name":"IMAGE_DIGEST","value":"sha256:{HEX}"}},
            {{"name":"x-IMAGE_URL","value":["a"]}},{{"name":"image-url","value":"quay.io/o/a"}},{{"name":"IMAGE_REF","value":"quay.io/o/a"}},
            {{"name":"o-ARTIFACT_OUTPUTS","value":"text"}},{{"name":"d-ARTIFACT_OUTPUTS","value":{{"uri":"u","digest":"sha256:1"}}}},
            {{"name":"IMAGES","value":"quay.io/o/a@sha256:{HEX},quay.io/o/B@sha256:{HEX}"}},
            {{"name":"b-ARTIFACT_OUTPUTS","value":{{"uri":"pkg:npm/x","digest":"sha512:{HEX}{HEX}","isBuildArtifact":"true"}}}},
            {{"name":"CHAINS-GIT_COMMIT","value":""}}]"#
    );
    with_results(&results, |observed| {
        let told = outcomes(observed);
        let wanted = [
            "IMAGE_URL invalid: image reference",
            "IMAGE_DIGEST invalid: image reference",
            "x-IMAGE_URL ignored: has no value, or one that is no text",
            "image-url ignored: is no hint: it is nearly IMAGE_URL",
            "o-ARTIFACT_OUTPUTS invalid: is not an object with non-empty uri and digest",
            "d-ARTIFACT_OUTPUTS invalid: digest \"sha256:1\" is not 64 lower-case hexadecimal digits",
            "IMAGES invalid: repository \"o/B\"",
            "b-ARTIFACT_OUTPUTS ignored: gets no image signature: image reference",
            "CHAINS-GIT_COMMIT invalid: its value is no text, or empty",
        ];
        assert_eq!(told.len(), wanted.len(), "{told:#?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.starts_with(wanted), "{told} wanted {wanted}");
        }
    });
}

#[test]
fn equal_artifacts_are_merged() {
    let results = format!(
        r#"[{{"name":"IMAGES","value":"quay.io/o/a@sha256:{HEX},quay.io/o/a:2@sha256:{HEX}"}},
            {{"name":"x-ARTIFACT_OUTPUTS","value":{{"uri":"quay.io/o/a","digest":"sha256:{HEX}"}}}},
            {{"name":"in-ARTIFACT_INPUTS","value":{{"uri":"pkg:x","digest":"SHA256: {HEX}"}}}}]"#
    );
    with_results(&results, |observed| {
        assert_eq!(observed.images(RunKind::TaskRun).len(), 1);
        assert_eq!(observed.subjects_of_outputs(DeepInspection::Off).len(), 1);
        let input = &observed.own.results.inputs[0];
        assert_eq!(input.digest.get("sha256").map(String::as_str), Some(HEX));
    });
}

#[test]
fn tags_are_kept_beside_the_images_that_chains_drops_them_from() {
    let results = format!(
        r#"[{{"name":"IMAGE_URL","value":"quay.io/o/a:1.0 "}},{{"name":"IMAGE_DIGEST","value":"sha256:{HEX}"}},
            {{"name":"b_IMAGE_URL","value":"host:5000/bb"}},{{"name":"b_IMAGE_DIGEST","value":"sha256:{HEX}"}},
            {{"name":"c_IMAGE_URL","value":"quay.io/o/c:-no"}},{{"name":"c_IMAGE_DIGEST","value":"sha256:{HEX}"}},
            {{"name":"IMAGES","value":"quay.io/o/a:1.0@sha256:{HEX},quay.io/o/a:2@sha256:{HEX}\nquay.io/o/d@sha256:{HEX}"}},
            {{"name":"x-ARTIFACT_OUTPUTS","value":{{"uri":"quay.io/o/e:3","digest":"sha256:{HEX}","isBuildArtifact":"true"}}}}]"#
    );
    with_results(&results, |observed| {
        let hints = &observed.own.results;
        let names: Vec<_> = hints.tagged.iter().map(|image| image.name()).collect();
        assert_eq!(names, ["quay.io/o/a:1.0", "quay.io/o/a:2", "quay.io/o/e:3"]);
        let images: Vec<_> = hints
            .images
            .iter()
            .map(|image| image.repository.to_string())
            .collect();
        assert_eq!(
            images,
            [
                "quay.io/o/a",
                "host:5000/bb",
                "quay.io/o/c",
                "quay.io/o/d",
                "quay.io/o/e"
            ]
        );
    });
}
