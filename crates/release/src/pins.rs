//! Which images manifests must name: every one by digest, in this registry.
//!
//! The source names images of ours by a placeholder, `tekseal-sign`, or where the project keeps them, `registry.example.com/tekseal/sign`.
//! Both are found by what they are called, wherever a manifest names an image, so that no list of places can be incomplete.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tekseal_core::Digest;

use crate::args::Plan;
use crate::images::Released;

/// What images are replaced by.
#[derive(Debug)]
pub(crate) struct Pins {
    /// By the last part of the name.
    images: BTreeMap<String, String>,
    /// Defaults of parameters that name an image.
    defaults: BTreeMap<&'static str, String>,
    version: String,
}

/// Tasks name an image that is not ours in these parameters.
const BUILDER_IMAGE: &str = "BUILDER_IMAGE";
const GIT_IMAGE: &str = "GIT_IMAGE";
const VERSION_LABEL: &str = "app.kubernetes.io/version";
const PROJECT: &str = "tekseal";

impl Pins {
    /// The images that were released, and those that the plan names.
    pub(crate) fn of(plan: &Plan, released: &[Released]) -> Self {
        let images = released.iter();
        Self::new(
            plan,
            images
                .map(|image| (image.name.clone(), image.by_digest()))
                .collect(),
        )
    }

    /// As if images of these names had been released: what is wrong with manifests is known before anything is built.
    pub(crate) fn rehearsed(plan: &Plan, names: &[String]) -> Self {
        let digest = Digest::of(b"");
        let by_digest = |name: &String| format!("{}@{digest}", plan.repository(name));
        let images = names.iter();
        Self::new(
            plan,
            images.map(|name| (name.clone(), by_digest(name))).collect(),
        )
    }

    fn new(plan: &Plan, images: BTreeMap<String, String>) -> Self {
        let mut defaults = BTreeMap::from([(BUILDER_IMAGE, plan.builder_image.clone())]);
        defaults.extend(plan.git_image.clone().map(|image| (GIT_IMAGE, image)));
        Self {
            images,
            defaults,
            version: plan.version.clone(),
        }
    }

    /// What must be changed in a document, as operations of a JSON patch (RFC 6902).
    pub(crate) fn patch(&self, document: &Value) -> Vec<Value> {
        let mut operations = Vec::new();
        visit(document, &mut String::new(), &mut |place, named| {
            let replacement = match named {
                Named::Image(image) => self.images.get(our_name(image)?),
                Named::Default(parameter, _) => self.defaults.get(parameter),
            };
            operations.push(json!({"op": "replace", "path": place, "value": replacement?}));
            Some(())
        });
        if document["metadata"]["labels"].get(VERSION_LABEL).is_some() {
            let path = format!("/metadata/labels/{}", escaped(VERSION_LABEL));
            operations.push(json!({"op": "replace", "path": path, "value": self.version}));
        }
        operations
    }
}

/// Images that a document names without a digest, and where.
pub(crate) fn unpinned(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    visit(document, &mut String::new(), &mut |place, named| {
        let (Named::Image(image) | Named::Default(_, image)) = named;
        // What a parameter names is seen where the parameter is declared.
        if !image.contains("@sha256:") && !image.starts_with("$(") {
            found.push(format!("{image:?} at {place}"));
        }
        Some(())
    });
    found
}

/// What a document names an image by.
#[derive(Clone, Copy)]
enum Named<'a> {
    /// A member `image`.
    Image(&'a str),
    /// The default of a parameter that names an image.
    Default(&'a str, &'a str),
}

/// Shows each naming of an image with its JSON pointer.
fn visit<'a>(
    value: &'a Value,
    place: &mut String,
    see: &mut impl FnMut(&str, Named<'a>) -> Option<()>,
) {
    let length = place.len();
    match value {
        Value::Object(members) => {
            let parameter = members
                .get("name")
                .and_then(Value::as_str)
                .filter(|name| [BUILDER_IMAGE, GIT_IMAGE].contains(name));
            for (key, member) in members {
                place.push('/');
                place.push_str(&escaped(key));
                match (key.as_str(), member, parameter) {
                    ("image", Value::String(image), _) => see(place, Named::Image(image)),
                    ("default", Value::String(image), Some(parameter)) => {
                        see(place, Named::Default(parameter, image))
                    }
                    _ => {
                        visit(member, place, see);
                        None
                    }
                };
                place.truncate(length);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                place.push_str(&format!("/{at}"));
                visit(item, place, see);
                place.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A member's name in a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// What an image of ours is called: `sign` of `tekseal-sign` and of `registry.example.com/tekseal/sign:0.1.0`.
fn our_name(image: &str) -> Option<&str> {
    let name = image.split('@').next().unwrap_or_default();
    let (path, last) = name.rsplit_once('/').unwrap_or(("", name));
    let last = last.split(':').next().unwrap_or_default();
    match path {
        "" => last.strip_prefix(PROJECT)?.strip_prefix('-'),
        _ if path.rsplit('/').next() == Some(PROJECT) => Some(last),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_ours_are_known_by_placeholder_and_by_path() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (image, name) in [
            ("tekseal-sign", Some("sign")),
            ("tekseal-buildah-push:0.1.0", Some("buildah-push")),
            (
                "registry.example.com/tekseal/controller:0.1.0",
                Some("controller"),
            ),
            ("localhost:5000/tekseal/sign", Some("sign")),
            (
                &format!("registry.example.com/tekseal/verify@{digest}"),
                Some("verify"),
            ),
            ("registry.example.com/team/sign", None),
            ("registry.example.com/nottekseal/sign", None),
            ("sign", None),
            ("tekseal", None),
            ("$(params.BUILDER_IMAGE)", None),
        ] {
            assert_eq!(our_name(image), name, "{image}");
        }
    }

    #[test]
    fn every_image_is_replaced_wherever_it_is_named() {
        let pins = Pins {
            images: BTreeMap::from([("sign".to_owned(), "r.example/sign@sha256:01".to_owned())]),
            defaults: BTreeMap::from([(BUILDER_IMAGE, "r.example/buildah@sha256:02".to_owned())]),
            version: "9".to_owned(),
        };
        let task = json!({
            "metadata": {"name": "build", "labels": {VERSION_LABEL: "0.1.0", "a/b": "c"}},
            "spec": {
                "params": [{"name": "IMAGE", "default": "x"}, {"name": BUILDER_IMAGE, "default": "buildah:latest"}, {"name": GIT_IMAGE, "default": "git:1"}],
                "steps": [{"image": "tekseal-sign"}, {"image": "$(params.BUILDER_IMAGE)"}],
                "sidecars": [{"image": "registry.example.com/tekseal/sign:1", "a~b/c": {"image": "tekseal-sign"}}],
            },
        });
        let patch = pins.patch(&task);
        let value = |path: &str| {
            patch
                .iter()
                .find(|operation| operation["path"] == path)
                .map(|operation| operation["value"].clone())
        };
        assert_eq!(
            value("/spec/steps/0/image"),
            Some(json!("r.example/sign@sha256:01"))
        );
        assert_eq!(
            value("/spec/sidecars/0/image"),
            Some(json!("r.example/sign@sha256:01"))
        );
        assert_eq!(
            value("/spec/sidecars/0/a~0b~1c/image"),
            Some(json!("r.example/sign@sha256:01"))
        );
        assert_eq!(
            value("/spec/params/1/default"),
            Some(json!("r.example/buildah@sha256:02"))
        );
        assert_eq!(
            value("/metadata/labels/app.kubernetes.io~1version"),
            Some(json!("9"))
        );
        assert_eq!(patch.len(), 5, "{patch:?}");
    }

    #[test]
    fn an_image_without_digest_is_found() {
        let task = json!({"spec": {
            "params": [{"name": GIT_IMAGE, "default": "git:1"}, {"name": BUILDER_IMAGE, "default": "r/b@sha256:00"}],
            "steps": [{"image": "r/x@sha256:00"}, {"image": "$(params.BUILDER_IMAGE)"}, {"image": "busybox"}],
        }});
        assert_eq!(
            unpinned(&task),
            [
                "\"git:1\" at /spec/params/0/default",
                "\"busybox\" at /spec/steps/2/image"
            ]
        );
    }
}
