//! What two independent Rust libraries think of the artifacts that the programs put onto a registry: `sigstore`, which verifies
//! cosign signatures, and `oci-client`, which pulls manifests and blobs and checks their digests.
//!
//! `TEKSEAL_BIN_DIR` must name a folder with the programs.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::{Value, json};
use sigstore::cosign::verification_constraint::{PublicKeyVerifier, VerificationConstraintVec};
use sigstore::cosign::{
    ClientBuilder, CosignCapabilities as _, SignatureLayer, verify_constraints,
};
use sigstore::registry::{Auth, OciReference};
use tekseal_harness::{Image, Registry, Run, digest, fixtures};
use tempfile::TempDir;

const PASSWORD: &str = "second opinion";

/// A registry with an image, two key pairs, and the record of a build of the image.
struct Scene {
    folder: TempDir,
    registry: Registry,
    image: Image,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::start();
        let image = registry.push_image("team/app", "v1");
        let file = fixtures().join("golden/tr-image-simple/input.json");
        let mut run: Value = serde_json::from_slice(&fs::read(file).expect("the fixture is there"))
            .expect("the fixture is JSON");
        run["status"]["results"] = json!([
            {"name": "IMAGE_URL", "type": "string", "value": format!("{}/team/app", registry.address())},
            {"name": "IMAGE_DIGEST", "type": "string", "value": image.digest},
        ]);
        fs::write(folder.path().join("run.json"), run.to_string()).expect("the folder is writable");
        let scene = Self {
            folder,
            registry,
            image,
        };
        for name in ["own", "foreign"] {
            scene
                .tool("tekseal-keygen")
                .arg("--output-key-prefix")
                .arg(scene.path(name))
                .ok();
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tool(&self, name: &str) -> Run {
        assert!(
            std::env::var_os("TEKSEAL_BIN_DIR").is_some(),
            "TEKSEAL_BIN_DIR must name a folder with the programs"
        );
        Run::tool(name).env("COSIGN_PASSWORD", PASSWORD)
    }

    /// Signs and attests the image, in one program.
    fn attest(&self) {
        self.tool("tekseal-attest")
            .arg("--run")
            .arg(self.path("run.json"))
            .arg("--key")
            .arg(self.path("own.key"))
            .ok();
    }

    /// Signs and attests the image, a program for each step.
    fn provenance_sign_upload(&self) {
        let payloads = self.path("payloads");
        self.tool("tekseal-provenance")
            .arg("--run")
            .arg(self.path("run.json"))
            .arg("--out")
            .arg(&payloads)
            .ok();
        self.tool("tekseal-sign")
            .arg("--key")
            .arg(self.path("own.key"))
            .arg(&payloads)
            .ok();
        self.tool("tekseal-upload").arg(&payloads).ok();
    }

    /// The reference of `sha256-….sig` or `sha256-….att` beside the image.
    fn beside(&self, suffix: &str) -> Reference {
        let tag = format!("{}.{suffix}", self.image.digest.replace(':', "-"));
        format!("{}/team/app:{tag}", self.registry.address())
            .parse()
            .expect("it is a reference")
    }
}

/// The signature layers that `sigstore` finds beside the image.
async fn layers_found_by_sigstore(image: &str) -> Vec<SignatureLayer> {
    let protocol = sigstore::registry::ClientProtocol::Http;
    let plain_http = sigstore::registry::ClientConfig {
        protocol,
        ..Default::default()
    };
    let mut client = ClientBuilder::default()
        .with_oci_client_config(plain_http)
        .build()
        .expect("a client");
    let image: OciReference = image.parse().expect("it is a reference");
    client
        .trusted_signature_layers(&Auth::Anonymous, &image)
        .await
        .expect("sigstore finds signatures")
}

/// Whether one of the layers is signed by this public key.
fn verifies(layers: &[SignatureLayer], public_key: &Path) -> bool {
    let pem = fs::read(public_key).expect("keygen wrote a public key");
    let verifier = PublicKeyVerifier::try_from(&pem).expect("sigstore reads the public key");
    let constraints: VerificationConstraintVec = vec![Box::new(verifier)];
    verify_constraints(layers, constraints.iter()).is_ok()
}

/// Pulls a manifest and its layers with `oci-client`, and checks every digest once more.
async fn pulled(reference: &Reference) -> (Value, Vec<Vec<u8>>) {
    let client = Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    });
    let accepted = ["application/vnd.oci.image.manifest.v1+json"];
    let (bytes, named) = client
        .pull_manifest_raw(reference, &RegistryAuth::Anonymous, &accepted)
        .await
        .expect("oci-client pulls the manifest");
    assert_eq!(named, digest(&bytes));
    let (manifest, _) = client
        .pull_image_manifest(reference, &RegistryAuth::Anonymous)
        .await
        .expect("oci-client reads the manifest");
    let config = pull(&client, reference, &manifest.config).await;
    assert!(
        serde_json::from_slice::<Value>(&config).is_ok_and(|config| config.is_object()),
        "the configuration is JSON"
    );
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        layers.push(pull(&client, reference, layer).await);
    }
    (
        serde_json::from_slice(&bytes).expect("the manifest is JSON"),
        layers,
    )
}

async fn pull(client: &Client, reference: &Reference, descriptor: &OciDescriptor) -> Vec<u8> {
    let mut bytes = Vec::new();
    client
        .pull_blob(reference, descriptor, &mut bytes)
        .await
        .expect("oci-client pulls the blob");
    assert_eq!(
        (
            digest(&bytes),
            i64::try_from(bytes.len()).expect("it is small")
        ),
        (descriptor.digest.clone(), descriptor.size)
    );
    bytes
}

#[tokio::test]
async fn sigstore_verifies_our_signature_under_our_key_and_no_other() {
    let scene = Scene::new();
    scene.attest();
    let layers = layers_found_by_sigstore(&scene.image.reference).await;
    assert_eq!(layers.len(), 1);
    assert!(verifies(&layers, &scene.path("own.pub")));
    assert!(!verifies(&layers, &scene.path("foreign.pub")));
}

#[tokio::test]
async fn oci_client_pulls_what_the_separate_steps_have_stored() {
    let scene = Scene::new();
    scene.provenance_sign_upload();
    assert!(verifies(
        &layers_found_by_sigstore(&scene.image.reference).await,
        &scene.path("own.pub")
    ));

    let (manifest, layers) = pulled(&scene.beside("sig")).await;
    let document: Value = serde_json::from_slice(&layers[0]).expect("simple signing is JSON");
    assert_eq!(
        (
            layers.len(),
            &document["critical"]["image"]["docker-manifest-digest"]
        ),
        (1, &json!(scene.image.digest))
    );
    let signature = manifest["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"]
        .as_str()
        .expect("the layer has a signature");
    assert!(STANDARD.decode(signature).is_ok_and(|der| der.len() > 64));

    let (manifest, layers) = pulled(&scene.beside("att")).await;
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.dsse.envelope.v1+json"
    );
    let envelope: Value = serde_json::from_slice(&layers[0]).expect("an envelope is JSON");
    let statement = STANDARD
        .decode(
            envelope["payload"]
                .as_str()
                .expect("an envelope has a payload"),
        )
        .expect("it is base64");
    let statement: Value = serde_json::from_slice(&statement).expect("a statement is JSON");
    let hex = scene.image.digest.trim_start_matches("sha256:");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], hex);
}
