//! The manifest that holds a bundle, and the list that names it: nothing of both is signed, so neither is believed.

use serde_json::json;

use super::annotated::subject_of_another;
use super::{Accepts, Agrees, Asked, Passes, Row, Says, hold};
use crate::verify::specimen::{INDEX, SIGN, Specimen, Tamper};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const NOTHING: &str = "no signature found";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    // The manifest.
    ("media type of the layer", |s| s.manifest.set("/layers/0/mediaType", json!("application/json")), Says(NOTHING), Agrees),
    ("media type of an envelope", |s| s.manifest.set("/layers/0/mediaType", json!("application/vnd.dsse.envelope.v1+json")), Says(NOTHING), Agrees),
    ("media type of a signature", |s| s.manifest.set("/layers/0/mediaType", json!("application/vnd.dev.cosign.simplesigning.v1+json")), Says("layer has no annotation dev.cosignproject.cosign/signature"), Agrees),
    ("media type of a later bundle", |s| s.manifest.set("/layers/0/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.9+json")), Passes, Agrees),
    ("no layer", |s| s.manifest.set("/layers", json!([])), Says(NOTHING), Agrees),
    ("two layers", |s| s.add_layer(|_| ()), Says("a manifest with a Sigstore bundle has one layer, this one has 2"), Agrees),
    ("another kind of layer beside", |s| s.add_layer(|l| l["mediaType"] = json!("text/plain")), Says("a manifest with a Sigstore bundle has one layer, this one has 2"), Agrees),
    ("subject", |s| s.manifest.set("/subject", subject_of_another()), Passes, Agrees),
    ("no subject", |s| s.manifest.cut("/subject"), Passes, Agrees),
    ("artifactType", |s| s.manifest.set("/artifactType", json!("application/spdx+json")), Passes, Agrees),
    ("no artifactType", |s| s.manifest.cut("/artifactType"), Passes, Agrees),
    ("media type of the configuration", |s| s.manifest.set("/config/mediaType", json!("application/vnd.oci.image.config.v1+json")), Passes, Agrees),
    ("annotation of the content", |s| s.manifest.set("/annotations/dev.sigstore.bundle.content", json!("message-signature")), Passes, Agrees),
    ("annotation of the predicate type", |s| s.manifest.set("/annotations/dev.sigstore.bundle.predicateType", json!("https://spdx.dev/Document")), Passes, Agrees),
    ("no annotations", |s| s.manifest.cut("/annotations"), Passes, Agrees),
    // What the list says.
    ("artifactType of an SBOM in the list", |s| s.listed.set("/artifactType", json!("application/spdx+json")), Says(NOTHING), Accepts("cosign reads whatever is in the list")),
    ("no artifactType in the list", |s| s.listed.cut("/artifactType"), Passes, Agrees),
    ("empty artifactType in the list", |s| s.listed.set("/artifactType", json!("")), Passes, Agrees),
    ("artifactType of a configuration in the list", |s| s.listed.set("/artifactType", json!("application/vnd.oci.empty.v1+json")), Passes, Agrees),
    ("artifactType of a later bundle in the list", |s| s.listed.set("/artifactType", json!("application/vnd.dev.sigstore.bundle.v0.9+json")), Passes, Agrees),
    ("size in the list", |s| s.listed.set("/size", json!(1)), Passes, Agrees),
    ("index in the list", |s| s.listed.set("/mediaType", json!(INDEX)), Says(NOTHING), Accepts("cosign reads whatever is in the list")),
    ("annotations in the list", |s| s.listed.set("/annotations", json!({"dev.sigstore.bundle.predicateType": "https://spdx.dev/Document"})), Passes, Agrees),
    // What is in the layer.
    ("empty layer", |s| s.content.clear(), Says("not a Sigstore bundle that can be used: not a JSON object"), Agrees),
    ("layer with a byte more", |s| s.content.push(b' '), Passes, Agrees),
    ("two bundles in the layer", |s| s.content = s.content.repeat(2), Says("not JSON that every reader understands alike"), Agrees),
];

#[test]
fn what_a_manifest_and_a_list_say_of_a_bundle_is_not_believed() {
    let specimen = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
    assert_eq!(specimen.manifest["layers"][0]["mediaType"], BUNDLE);
    hold(&Asked::of_key(), &specimen, ROWS);
}
