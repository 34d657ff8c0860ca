use std::collections::BTreeMap;

use super::*;
use crate::hints;
use crate::patterns::NamePatterns;
use crate::redact;
use crate::run::MissingChildren;

const HEX: &str = "b29814cf5792e684cd75d6a7fce7a67a11887e312f87ca2ac2496d81f365ff72";
const ON: Overrides<'_> = Overrides {
    formats: None,
    tag_identity: Some(TagIdentity::On),
};

/// A TaskRun with a parameter `version`, and one image for each of these, the first of which is `IMAGE_URL`.
fn run(first: &str, images: &[String]) -> String {
    let run = serde_json::json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "r", "uid": "u"},
        "spec": {"params": [{"name": "version", "value": "2026.11-secret"}]},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": [
            {"name": "IMAGE_URL", "value": first}, {"name": "IMAGE_DIGEST", "value": format!("sha256:{HEX}")},
            {"name": "IMAGES", "value": images.join(",")},
        ]},
    });
    run.to_string()
}

fn config(pairs: &[(&str, &str)]) -> Config {
    let pairs = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
    let map: BTreeMap<_, _> = pairs.collect();
    Config::from_map(&map).expect("a good configuration")
}

fn plan(run: &str, config: &Config, overrides: Overrides<'_>) -> Plan {
    let run =
        CompletedRun::from_json(run.as_bytes(), &[], MissingChildren::Refuse).expect("well formed");
    let observed = hints::observe(&run);
    Plan::of(&run, &observed, config, config.settings(&run), overrides)
}

/// The names that are signed.
fn names(plan: &Plan) -> Vec<String> {
    let named = plan.items.iter().filter_map(|item| match &item.what {
        What::Name(tagged) => Some(tagged.name()),
        What::Run(_) | What::Image(_) => None,
    });
    named.collect()
}

fn left_out(plan: &Plan) -> Vec<String> {
    let left_out = plan.left_out.iter();
    left_out
        .map(|one| format!("{}: {}", one.what, one.reason))
        .collect()
}

#[test]
fn a_name_is_signed_beside_its_image_where_somebody_asks_for_it() {
    let run = run("quay.io/o/a:1.0", &[]);
    let off = plan(&run, &config(&[]), Overrides::default());
    assert_eq!((off.items.len(), off.left_out.len()), (2, 0));
    let by_key = config(&[("tekseal.tag-identity", "true")]);
    let by_key = plan(&run, &by_key, Overrides::default());
    for on in [by_key, plan(&run, &config(&[]), ON)] {
        assert_eq!(names(&on), ["quay.io/o/a:1.0"]);
        assert!(on.left_out.is_empty(), "{:?}", on.left_out);
        let (image, name) = (&on.items[1], &on.items[2]);
        assert_eq!(image.places, name.places, "both in one manifest");
        let [image, name] = [image, name].map(|item| item.payload.as_ref().expect("it is made"));
        assert_eq!(image.subjects(), name.subjects());
        assert_eq!((image.name(), name.name()), (None, Some("quay.io/o/a:1.0")));
        let text = String::from_utf8_lossy(name.bytes());
        assert!(
            text.contains(r#""docker-reference":"quay.io/o/a:1.0""#),
            "{text}"
        );
        assert!(image.as_statement().is_some() && name.as_statement().is_none());
    }
    let by_flag = Overrides {
        tag_identity: Some(TagIdentity::Off),
        ..ON
    };
    let by_flag = plan(&run, &config(&[("tekseal.tag-identity", "true")]), by_flag);
    assert_eq!(names(&by_flag), [""; 0], "the flag goes before the key");
}

#[test]
fn an_image_without_a_tag_is_told_and_signed_as_ever() {
    let digests: Vec<_> = (0..3)
        .map(|n| format!("quay.io/o/b{n}@sha256:{HEX}"))
        .collect();
    for first in ["quay.io/o/a", "host:5000/aa", "quay.io/o/a:.bad"] {
        let plan = plan(&run(first, &digests), &config(&[]), ON);
        assert_eq!((names(&plan).len(), plan.items.len()), (0, 5));
        let said = left_out(&plan);
        assert!(
            said.len() == 1
                && said[0].ends_with(&format!(
                    "@sha256:{HEX}, and of 3 more, under a name with a tag: the results give it no tag, or none that may be shown"
                )),
            "{said:?}"
        );
    }
}

#[test]
fn a_name_goes_under_the_tag_of_signatures_and_nowhere_else() {
    let run = run("quay.io/o/a:1.0", &[]);
    let both = config(&[
        ("storage.oci.encoding-format", "dsse,sigstore-bundle"),
        ("artifacts.oci.storage", "oci,tekton"),
    ]);
    let both = plan(&run, &both, ON);
    let places: Vec<_> = both.items[2]
        .places
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(places, [format!("registry quay.io/o/a:sha256-{HEX}.sig")]);
    assert_eq!(both.items[1].places.len(), 3);
    for (key, value, why) in [
        (
            "storage.oci.encoding-format",
            "sigstore-bundle",
            NO_NAME_IN_BUNDLE,
        ),
        (
            "artifacts.oci.storage",
            "tekton",
            "artifacts.oci.storage has no oci",
        ),
    ] {
        let plan = plan(&run, &config(&[(key, value)]), ON);
        assert_eq!(names(&plan), [""; 0]);
        assert!(left_out(&plan)[0].contains(why), "{:?}", plan.left_out);
    }
    let off = config(&[("artifacts.oci.signer", "none")]);
    let off = plan(&run, &off, ON);
    assert_eq!(names(&off), [""; 0], "no image is signed, so no name is");
}

#[test]
fn there_are_no_more_names_than_readers_take() {
    let of = |image: usize, count: usize| {
        (0..count).map(move |n| format!("quay.io/o/b{image}:{n}@sha256:{HEX}"))
    };
    let one = plan(
        &run("quay.io/o/a:1.0", &of(0, 40).collect::<Vec<_>>()),
        &config(&[]),
        ON,
    );
    assert_eq!(names(&one).len(), 17);
    assert!(
        left_out(&one)[0]
            .ends_with("there are 24 names more than 16 of an image and 1024 of a run")
    );
    let many: Vec<_> = (0..100).flat_map(|image| of(image, 16)).collect();
    let many = plan(&run("quay.io/o/a:1.0", &many), &config(&[]), ON);
    assert_eq!(names(&many).len(), 1024);
    assert_eq!(many.left_out.len(), 1);
}

#[test]
fn a_tag_with_a_redacted_value_is_not_signed() {
    for (first, count) in [
        ("quay.io/o/a:2026.11-secret", 0),
        ("quay.io/o/a:v2026.11-secret-1", 0),
        ("quay.io/o/a:1.0", 1),
    ] {
        let run = run(first, &[]);
        let run = CompletedRun::from_json(run.as_bytes(), &[], MissingChildren::Refuse)
            .expect("well formed");
        let mut observed = hints::observe(&run);
        let mut shown = run.clone();
        let patterns = NamePatterns::parse("version").expect("a pattern");
        let redacted = redact::redact(&mut shown, &patterns).expect("one value");
        observed.hide_inputs(&redacted);
        let config = config(&[]);
        let plan = Plan::of(&shown, &observed, &config, config.settings(&run), ON);
        assert_eq!(names(&plan).len(), count, "{first}");
        assert_eq!(plan.left_out.len(), 1 - count);
        let text = format!("{:?}{:?}", plan.items, plan.left_out);
        assert!(!text.contains("2026.11-secret"), "{text}");
    }
}

#[test]
fn a_repository_that_is_none_is_told_without_what_may_be_a_credential() {
    for text in [
        "https://u:geheim@registry.example/team",
        "u:geheim@registry.example/team",
        "https://geheim@registry.example/team",
    ] {
        let config = config(&[("storage.oci.repository", text)]);
        let refusal = config.repository().expect_err(text);
        assert!(refusal.contains("not shown"), "{refusal}");
        let plan = plan(&run("quay.io/o/a:1.0", &[]), &config, ON);
        let told = format!("{refusal}{:?}{:?}", plan.items, plan.left_out);
        assert!(told.contains("storage.oci.repository"), "{told}");
        assert!(!told.contains("geheim"), "{told}");
    }
    let upper = config(&[("storage.oci.repository", "registry.example/UPPER")]);
    let refusal = upper.repository().expect_err("it is none");
    assert!(refusal.contains("UPPER"), "{refusal}");
}
