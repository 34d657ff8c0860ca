//! `tekseal-attest --predicate` as a process: files of other tools become attestations, and cosign 2 and 3 take them.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Value, json};
use tekseal_harness::{Cosign, Layout, Output, Proxy, Registry, Run, cosign, digest, fixtures};

use crate::workshop::{PASSWORD, Workshop};

/// A predicate of each type, and the type's URI.
const PREDICATES: [(&str, &str, &str); 10] = [
    ("spdxjson", "spdx.json", "https://spdx.dev/Document"),
    ("cyclonedx", "cyclonedx.json", "https://cyclonedx.org/bom"),
    ("openvex", "openvex.json", "https://openvex.dev/ns"),
    ("spdx", "tag-value.spdx", "https://spdx.dev/Document"),
    (
        "custom",
        "custom.txt",
        "https://cosign.sigstore.dev/attestation/v1",
    ),
    (
        "slsaprovenance",
        "slsa02.json",
        "https://slsa.dev/provenance/v0.2",
    ),
    (
        "slsaprovenance1",
        "slsa1.json",
        "https://slsa.dev/provenance/v1",
    ),
    ("link", "link.json", "https://in-toto.io/Link/v1"),
    (
        "vuln",
        "vuln.json",
        "https://cosign.sigstore.dev/attestation/vuln/v1",
    ),
    ("https://example.com/t", "any.json", "https://example.com/t"),
];

/// With each cosign that reads predicates of this type: none after 2 reads one that is a text.
fn with_each(name: &str, test: impl Fn(&Cosign)) {
    let versions: &[&str] = match name {
        "spdx" => &["2.6.5"],
        _ => &["2.6.5", "3.1.3"],
    };
    for version in versions {
        if let Some(cosign) = cosign(version) {
            test(&cosign);
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    fixtures().join("predicates").join(name)
}

fn attest(shop: &Workshop, name: &str, predicate: &Path) -> Run {
    let (key, _) = shop.plain_key();
    Run::tool("tekseal-attest")
        .env("TEKSEAL_RETRY_FOR", "2")
        .env("SOURCE_DATE_EPOCH", "1772359200")
        .arg("--key")
        .arg(key)
        .args(["--type", name, "--predicate"])
        .arg(predicate)
        .arg(&shop.image)
}

fn verify(shop: &Workshop, name: &str) -> Run {
    let (_, public) = shop.plain_key();
    shop.verify(&public)
        .args(["--only", "attestation", "--type", name])
}

/// The envelope of a layer.
fn envelope(registry: &Registry, layer: &Value) -> Value {
    let digest = layer["digest"].as_str().expect("a digest");
    let bytes = registry.blob("team/app", digest).expect("it is stored");
    serde_json::from_slice(&bytes).expect("an envelope")
}

fn payload(envelope: &Value) -> Vec<u8> {
    let text = envelope["payload"].as_str().expect("a payload");
    let engine = base64::engine::general_purpose::STANDARD;
    engine.decode(text).expect("base64")
}

/// The error line has all of these.
#[track_caller]
fn explains(output: &Output, wanted: &[&str]) {
    let line = output
        .stderr
        .lines()
        .find(|line| line.contains(": error: "));
    for text in wanted {
        let found = line.is_some_and(|line| line.contains(text));
        assert!(found, "expected {text:?} in the error\n{output:?}");
    }
}

#[test]
fn predicates_of_every_type_are_stored_once_and_accepted_by_ours_and_by_cosign() {
    for (name, file, uri) in PREDICATES {
        let shop = Workshop::new();
        let (_, public) = shop.plain_key();
        let said = attest(&shop, name, &fixture(file)).ok();
        assert!(said.stderr.contains("\nstored image="), "{said:?}");
        let layers = shop.layers("att");
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0]["annotations"]["predicateType"], uri, "{name}");
        let said = verify(&shop, name).ok();
        assert!(said.stdout.contains(&format!("type={uri}")), "{said:?}");
        with_each(name, |cosign| {
            let said = cosign.verify_attestation(&public, name, &shop.image, &[]);
            assert_eq!(said.ok().stdout.lines().count(), 1, "{name}");
        });
        let other = verify(&shop, "https://other.example/type").fails_with(1);
        explains(&other, &["the predicate type is", uri]);
        assert!(
            other
                .stderr
                .contains("hint: something is attested, but with another type"),
            "{other:?}"
        );
        let again = attest(&shop, name, &fixture(file)).ok();
        assert!(
            again.stderr.contains("\nalready stored image="),
            "{again:?}"
        );
        assert_eq!(shop.layers("att"), layers);
    }
}

#[test]
fn the_payload_is_cosigns_and_its_attestation_with_the_same_key_is_enough() {
    let Some(cosign) = cosign("2.6.5") else {
        return;
    };
    for (name, file, _) in PREDICATES {
        // Of this type cosign writes the time at which it runs.
        if name == "custom" {
            continue;
        }
        let shop = Workshop::new();
        let (key, _) = cosign.generate_key_pair(&shop.path(""), PASSWORD);
        let predicate = fixture(file);
        cosign
            .attest(&key, PASSWORD, name, &predicate, &shop.image, Layout::Tags)
            .ok();
        let run = Run::tool("tekseal-attest")
            .env("COSIGN_PASSWORD", PASSWORD)
            .arg("--key")
            .arg(&key)
            .args(["--type", name, "--predicate"])
            .arg(&predicate)
            .arg(&shop.image);
        let said = run.ok();
        assert!(
            said.stderr.contains("\nalready stored image="),
            "{name}: {said:?}"
        );
        assert_eq!(shop.layers("att").len(), 1, "{name}");
    }
}

#[test]
fn several_images_and_types_each_get_their_attestation() {
    let shop = Workshop::new();
    let other = shop.registry.push_image("team/other", "v2");
    let tag = format!("{}/team/other:v2", shop.registry.address());
    let results = shop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    let result = |name: &str| fs::read_to_string(results.join(name)).expect("it is written");
    let said = attest(&shop, "spdxjson", &fixture("spdx.json"))
        .arg(&tag)
        .arg(&other.reference)
        .arg("")
        .arg("--results")
        .arg(&results)
        .ok();
    assert_eq!(
        said.stderr.matches("\nstored image=").count(),
        2,
        "{said:?}"
    );
    let at = format!("{}.att", other.digest.replace(':', "-"));
    let manifest = shop.registry.manifest("team/other", &at).expect("stored");
    let app = format!("{}.att", shop.digest.replace(':', "-"));
    let app = shop.registry.manifest("team/app", &app).expect("stored");
    let wanted = [
        shop.registry.reference("team/app", &app.digest),
        shop.registry.reference("team/other", &manifest.digest),
    ];
    assert_eq!(result("ATTESTATIONS"), wanted.join(","));
    assert_eq!(result("SIGNATURES"), "");
    assert_eq!(manifest.json()["layers"].as_array().map(Vec::len), Some(1));

    // Beside each other at the same time, and nobody's is lost.
    let types: Vec<String> = (0..4).map(|n| format!("urn:example:{n}")).collect();
    let running: Vec<_> = types
        .iter()
        .map(|name| attest(&shop, name, &fixture("any.json")).start())
        .collect();
    for one in running {
        one.wait().ok();
    }
    let layers = shop.layers("att");
    for uri in types
        .iter()
        .map(String::as_str)
        .chain(["https://spdx.dev/Document"])
    {
        let of_type = layers
            .iter()
            .filter(|layer| layer["annotations"]["predicateType"] == uri);
        assert_eq!(of_type.count(), 1, "{uri}: {layers:?}");
    }
}

/// An SBOM of about so many bytes, with members in the wrong order at every depth.
fn large_sbom(bytes: usize) -> Vec<u8> {
    let mut text = br#"{"spdxVersion":"SPDX-2.3","packages":["#.to_vec();
    let mut at = 0;
    while text.len() < bytes {
        if at > 0 {
            text.push(b',');
        }
        let package = format!(
            "\n  {{\"name\": \"package-{at}\", \"SPDXID\": \"SPDXRef-{at}\", \"score\": {at}.50, \"checksums\": [{{\"checksumValue\": \"{at:064x}\", \"algorithm\": \"SHA256\"}}], \"description\": \"<b> {} & \\u00e9\"}}",
            "text ".repeat(at % 60)
        );
        text.extend_from_slice(package.as_bytes());
        at += 1;
    }
    text.extend_from_slice(br#"],"SPDXID":"SPDXRef-DOCUMENT","name":"large"}"#);
    text
}

/// What Go makes of it, by another JSON library.
fn sorted(text: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(text).expect("JSON");
    let text = value.to_string();
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .into_bytes()
}

#[test]
fn a_large_predicate_is_attested_in_little_memory() {
    let shop = Workshop::new();
    let sbom = large_sbom(64 << 20);
    let file = shop.file("sbom.json", &sbom);
    let (key, _) = shop.plain_key();
    let tool = tekseal_harness::program("tekseal-attest");
    let attest = || {
        // 40 MiB of data, for a predicate of 64 MiB and an envelope of 85.
        Run::new("sh")
            .args(["-c", "ulimit -d 40960 && exec \"$@\"", "sh"])
            .arg(&tool)
            .arg("--key")
            .arg(&key)
            .args(["--type", "spdxjson", "--predicate"])
            .arg(&file)
            .arg(&shop.image)
            .timeout(std::time::Duration::from_secs(300))
            .ok()
    };
    let said = attest();
    assert!(said.stderr.contains("\nstored image="), "{said:?}");
    let layers = shop.layers("att");
    assert_eq!(layers.len(), 1);
    let payload = payload(&envelope(&shop.registry, &layers[0]));
    let start = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","subject":[{{"name":"{}/team/app","digest":{{"sha256":"{}"}}}}],"predicate":"#,
        shop.registry.address(),
        shop.digest.trim_start_matches("sha256:")
    );
    let wanted = [start.into_bytes(), sorted(&sbom), b"}".to_vec()].concat();
    assert!(payload == wanted, "the payload is another one");
    let said = attest();
    assert!(said.stderr.contains("\nalready stored image="), "{said:?}");
    assert_eq!(shop.layers("att"), layers);
}

#[test]
fn what_did_not_fit_into_memory_verifies_like_everything_else() {
    let shop = Workshop::new();
    let (_, public) = shop.plain_key();
    let small = attest(&shop, "cyclonedx", &fixture("cyclonedx.json")).ok();
    assert!(small.stderr.contains("\nstored image="), "{small:?}");
    let sbom = large_sbom(10 << 20);
    // From a pipe, which cannot be read twice.
    let results = shop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    let run = attest(&shop, "spdxjson", Path::new("-")).stdin(&sbom);
    run.arg("--results-beside")
        .arg(results.join("ATTESTATIONS"))
        .timeout(std::time::Duration::from_secs(120))
        .ok();
    let told = fs::read_to_string(results.join("ATTESTATIONS")).expect("it is written");
    assert!(told.contains("/team/app@sha256:"), "{told}");
    assert_eq!(shop.layers("att").len(), 2, "the other one is kept");
    for name in ["spdxjson", "cyclonedx"] {
        verify(&shop, name).ok();
        with_each(name, |cosign| {
            cosign
                .verify_attestation(&public, name, &shop.image, &[])
                .ok();
        });
    }
    let text: String = String::from_utf8(vec![b'x'; 9 << 20]).expect("ASCII");
    let file = shop.file("text.spdx", format!("{text}<\n"));
    attest(&shop, "spdx", &file).ok();
    let layers = shop.layers("att");
    let payload = payload(&envelope(&shop.registry, &layers[2]));
    let end = br#"x\u003c\n"}"#;
    assert!(payload.ends_with(end), "the text is a string");
    // Two of the type now.
    assert_eq!(verify(&shop, "spdx").ok().stdout.lines().count(), 2);
}

#[test]
fn an_upload_that_breaks_is_made_again_and_a_full_disk_is_told() {
    let shop = Workshop::new();
    let proxy = Proxy::start(shop.registry.back_door());
    let image = shop.image.replace(shop.registry.address(), proxy.address());
    let sbom = large_sbom(9 << 20);
    let file = shop.file("sbom.json", &sbom);
    let (key, _) = shop.plain_key();
    let command = || {
        Run::tool("tekseal-attest")
            .env("TEKSEAL_RETRY_FOR", "20")
            .arg("--key")
            .arg(&key)
            .args(["--type", "spdxjson", "--predicate"])
            .arg(&file)
            .arg(&image)
            .timeout(std::time::Duration::from_secs(120))
    };
    proxy
        .when(|seen| seen.method == "PUT" && seen.size > 9 << 20)
        .first(1)
        .refuse();
    let said = command().ok();
    assert!(said.stderr.contains("\nstored image="), "{said:?}");
    let layers = shop.layers("att");
    let bytes = shop
        .registry
        .blob("team/app", layers[0]["digest"].as_str().expect("a digest"));
    let bytes = bytes.expect("it is stored");
    assert_eq!(digest(&bytes), layers[0]["digest"]);

    let nowhere = command().env("TMPDIR", "/nonexistent").fails_with(3);
    explains(&nowhere, &["temporary file"]);
    assert!(nowhere.stderr.contains("hint: give TMPDIR"), "{nowhere:?}");
}

#[test]
fn bad_predicates_are_refused_and_nothing_is_stored() {
    let shop = Workshop::new();
    let refused = |name: &str, content: &[u8], wanted: &[&str]| {
        let file = shop.file("predicate", content);
        let said = attest(&shop, name, &file).fails_with(2);
        explains(&said, wanted);
        assert!(said.stderr.contains("hint: "), "{said:?}");
    };
    let json = &fs::read(fixture("spdx.json")).expect("the fixture is there")[..];
    refused(
        "spdxjson",
        b"SPDXVersion: SPDX-2.3\n",
        &["spdxjson", "not JSON at byte 0"],
    );
    refused("spdxjson", b"", &["not JSON at byte 0"]);
    refused("cyclonedx", b"[1]", &["not a JSON object"]);
    refused("openvex", &json[..json.len() / 2], &["not JSON at byte"]);
    refused("urn:x:y", b"{\"a\":1,\"a\":2}", &["key \"a\" occurs twice"]);
    refused("urn:x:y", b"{\"a\":\"\\ud800\"}", &["no character"]);
    refused("spdx", b"caf\xe9", &["not UTF-8 at byte 3"]);
    refused("vuln", b"{\"Scanner\":{}}", &["alike", "/Scanner"]);
    refused("link", b"{\"name\":\"n\"}", &["must have", "missing field"]);
    refused(
        "slsaprovenance1",
        &vec![b' '; 17 << 20],
        &["larger than 16 MiB"],
    );
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    refused("urn:x:y", deep.as_bytes(), &["nested deeper"]);
    let told = attest(&shop, "vuln", &fixture("vuln.json")).ok();
    assert!(
        told.stderr.contains("warning: a member is left out")
            && told.stderr.contains("member=/scanner/db/lastUpdate"),
        "{told:?}"
    );
    assert_eq!(shop.layers("att").len(), 1, "only the last");
}

#[test]
fn bad_command_lines_and_images_are_refused() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let file = fixture("spdx.json");
    let command = |words: &[&str]| {
        Run::tool("tekseal-attest")
            .env("TEKSEAL_RETRY_FOR", "0")
            .arg("--key")
            .arg(&key)
            .args(words)
    };
    let path = file.to_str().expect("ASCII");
    let with =
        |words: &[&str]| command(&[&["--predicate", path, "--type", "spdxjson"], words].concat());
    let run = shop.run();
    let both = with(&[&shop.image]).arg("--run").arg(&run).fails_with(2);
    assert!(both.stderr.contains("cannot be used with"), "{both:?}");
    let flags = with(&[&shop.image, "--format", "slsa/v1"]).fails_with(2);
    assert!(flags.stderr.contains("cannot be used with"), "{flags:?}");
    let told = flags.stderr.contains("--format") && !flags.stderr.contains("--children");
    assert!(told, "{flags:?}");
    for words in [
        &["--predicate", path, &shop.image] as &[&str],
        &["--type", "spdxjson", &shop.image],
        &[&shop.image],
        &[],
    ] {
        let said = command(words).fails_with(2);
        assert!(said.stderr.contains("required"), "{said:?}");
    }
    explains(&with(&[]).fails_with(2), &["no image is given"]);
    explains(&with(&[""]).fails_with(2), &["no image is given"]);
    explains(&with(&["team/App"]).fails_with(2), &["team/App"]);
    let unknown = command(&["--predicate", path, "--type", "sbom", &shop.image]).fails_with(2);
    explains(&unknown, &["--type \"sbom\""]);
    let nofile = command(&[
        "--predicate",
        "/nonexistent",
        "--type",
        "spdxjson",
        &shop.image,
    ]);
    explains(&nofile.fails_with(2), &["/nonexistent", "No such file"]);
    let folder = command(&["--predicate", "/", "--type", "spdxjson", &shop.image]);
    explains(&folder.fails_with(2), &["reading the predicate /"]);

    let name = format!("{}/team/app", shop.registry.address());
    let absent = format!("{name}@sha256:{}", "0".repeat(64));
    explains(
        &with(&[&shop.image, &absent]).fails_with(1),
        &[&absent, "does not exist"],
    );
    let untagged = format!("{name}:nothing");
    explains(
        &with(&[&untagged]).fails_with(1),
        &[&untagged, "does not exist"],
    );
    assert_eq!(
        shop.layers("att"),
        Vec::<Value>::new(),
        "nothing was stored"
    );

    // Variables as Tekton gives them: of what is not used, empty.
    let ran = shop
        .attest_command(&run, &key)
        .env("TEKSEAL_PREDICATE", "")
        .env("TEKSEAL_PREDICATE_TYPE", "")
        .env("SOURCE_DATE_EPOCH", "")
        .ok();
    assert!(ran.stderr.contains("\nstored image="), "{ran:?}");
    let by_variables = Run::tool("tekseal-attest")
        .env("TEKSEAL_KEY", &key)
        .env("TEKSEAL_RUN", "")
        .env("TEKSEAL_CONFIG", "")
        .env("TEKSEAL_PREDICATE", &file)
        .env("TEKSEAL_PREDICATE_TYPE", "spdxjson")
        .arg(&shop.image)
        .ok();
    assert!(
        by_variables.stderr.contains("\nstored image="),
        "{by_variables:?}"
    );
}

#[test]
fn a_custom_predicate_tells_its_time() {
    let shop = Workshop::new();
    attest(&shop, "custom", &fixture("custom.txt")).ok();
    let statement = payload(&envelope(&shop.registry, &shop.layers("att")[0]));
    let statement: Value = serde_json::from_slice(&statement).expect("a Statement");
    let text = fs::read_to_string(fixture("custom.txt")).expect("the fixture is there");
    let wanted = json!({"Data": text, "Timestamp": "2026-03-01T10:00:00Z"});
    assert_eq!(statement["predicate"], wanted);
    attest(&shop, "custom", &fixture("custom.txt"))
        .env("SOURCE_DATE_EPOCH", "")
        .ok();
    assert_eq!(
        shop.layers("att").len(),
        2,
        "another time is another attestation"
    );
}

#[test]
fn cosign_3_reads_no_predicate_that_is_a_text_not_even_its_own() {
    let Some(cosign) = cosign("3.1.3") else {
        return;
    };
    for layout in [Layout::Tags, Layout::Bundles] {
        let shop = Workshop::new();
        let (key, public) = cosign.generate_key_pair(&shop.path(""), PASSWORD);
        let file = fixture("tag-value.spdx");
        cosign
            .attest(&key, PASSWORD, "spdx", &file, &shop.image, layout)
            .ok();
        cosign
            .verify_attestation(&public, "spdx", &shop.image, &[])
            .fails_with(1);
    }
}
