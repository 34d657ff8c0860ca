//! Images in folders.

use std::fs;

use serde_json::{Value, json};
use tekseal_harness::{Registry, Run, cosign, digest};

use super::{IMAGE, blob, file, layout_of, oci, refused, samples, verify, write};

const UNLOGGED: &str = "--insecure-ignore-tlog";

#[test]
fn what_a_registry_held_is_verified_from_a_folder() {
    let root = file("trusted_root.json");
    let trusted = ["--trusted-root", &root];
    #[rustfmt::skip]
    let cases: &[(&str, &str, &[&str], &str)] = &[
        ("sign-v2-notlog", "signature", &[], "tag"),
        ("sign-v2-rekor1", "signature", &trusted, "tag"),
        ("sign-v2-oci11", "signature", &[], "referrer"),
        ("sign-v3-bundle-rekor2-tsa", "signature", &trusted, "referrer"),
        ("attest-v2-rekor1-dsse", "attestation", &trusted, "tag"),
        ("attest-v3-bundle-rekor1", "attestation", &trusted, "referrer"),
    ];
    for (case, only, flags, place) in cases {
        let layout = layout_of(case);
        for image in [
            oci(&layout, ":img"),
            oci(&layout, ""),
            oci(&layout, &format!("@{IMAGE}")),
        ] {
            let run = verify(&["--only", only, "-o", "json", UNLOGGED]).args(*flags);
            let said = run.arg(&image).ok();
            let reports: Value = serde_json::from_str(&said.stdout).expect("JSON");
            assert_eq!(reports[0]["image"], oci(&layout, &format!("@{IMAGE}")));
            let kind = format!("{only}s");
            let found = reports[0][kind].as_array().expect("a list");
            assert!(!found.is_empty(), "{case}");
            assert!(found.iter().all(|one| one[place].is_string()), "{found:?}");
        }
        let other = file("b.pub");
        let run = Run::tool("tekseal-verify");
        let run = run
            .args(["--key", &other, "--only", only, UNLOGGED])
            .arg(oci(&layout, ":img"));
        refused(run, 1, &format!("no valid {only}"));
    }
}

#[test]
fn what_cosign_saved_is_verified_from_its_folder() {
    let registry = Registry::start();
    for (version, cases) in [
        (
            "2.6.5",
            [
                "sign-v2-notlog",
                "sign-and-attest-v2-rekor1",
                "attest-v2-notlog",
            ],
        ),
        (
            "3.1.3",
            [
                "sign-v2-notlog",
                "sign-v3-bundle-notlog",
                "attest-v3-bundle-notlog",
            ],
        ),
    ] {
        let Some(cosign) = cosign(version) else {
            return;
        };
        for case in cases {
            let name = format!("{case}-{}", cosign.major());
            registry.replay(&samples().join(case), &name);
            let folder = tempfile::tempdir().expect("a folder");
            let saved = folder.path().join("saved");
            let image = registry.reference(&name, IMAGE);
            cosign.run("save").arg("--dir").arg(&saved).arg(&image).ok();
            let only = if case.starts_with("attest") {
                "attestation"
            } else {
                "signature"
            };
            let flags = ["--only", only, UNLOGGED];
            let said = verify(&flags).arg("--local-image").arg(&saved).ok();
            let line = format!("verified {only} image=oci:{}@{IMAGE}", saved.display());
            assert!(said.stdout.starts_with(&line), "{version} {case}: {said:?}");
            verify(&flags).arg(format!("oci:{}", saved.display())).ok();
        }
    }
}

/// The path of an image is printed beside what was verified of it.
#[test]
fn the_path_of_a_folder_forges_no_line_and_no_pair() {
    let layout = layout_of("sign-v2-notlog");
    let flags = ["--only", "signature", UNLOGGED];
    let beside = tempfile::tempdir().expect("a folder");
    let named = |name: &str| {
        let path = beside.path().join(name);
        std::os::unix::fs::symlink(layout.path(), &path).expect("the folder is ours");
        path.display().to_string()
    };
    let forged = named("a\nverified signature image=team-app");
    let wanted = "has a character that is not seen";
    refused(verify(&flags).arg(format!("oci:{forged}:img")), 2, wanted);
    refused(verify(&flags).arg("--local-image").arg(&forged), 2, wanted);
    let spaced = named("a key=SHA256:of-somebody-else");
    let said = verify(&flags).arg(format!("oci:{spaced}:img")).ok();
    let line = format!("verified signature image=\"oci:{spaced}@{IMAGE}\" key=SHA256:");
    assert!(said.stdout.starts_with(&line), "{said:?}");
    assert_eq!(said.stdout.lines().count(), 1, "{said:?}");
}

#[test]
fn a_folder_is_refused_for_what_was_done_to_it() {
    let flags = ["--only", "signature", UNLOGGED];
    let layout = layout_of("sign-v2-notlog");
    let path = layout.path();
    let index = fs::read(path.join("index.json")).expect("it is there");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let entries = index["manifests"].as_array().expect("a list");
    let is_signature = |entry: &&Value| entry.to_string().contains(".sig");
    let signature = entries.iter().find(is_signature).expect("there is one");
    let name = |value: &Value| format!("blobs/sha256/{}", &value.as_str().expect("a digest")[7..]);
    let manifest = name(&signature["digest"]);
    let bytes = fs::read(path.join(&manifest)).expect("it is there");
    let layers: Value = serde_json::from_slice(&bytes).expect("JSON");
    let layer = name(&layers["layers"][0]["digest"]);
    let image = oci(&layout, ":img");
    let check = |code, wanted: &str| drop(refused(verify(&flags).arg(&image), code, wanted));
    let content = fs::read(path.join(&layer)).expect("it is there");

    write(path, &layer, vec![b' '; content.len()]);
    check(1, "has digest sha256:");
    write(path, &layer, [&content[..], b" "].concat());
    check(1, "bytes, more than");
    fs::remove_file(path.join(&layer)).expect("it is there");
    check(1, "there is no blob");
    std::os::unix::fs::symlink("/etc/passwd", path.join(&layer)).expect("a link");
    check(1, "is, or lies behind, a link");
    fs::remove_file(path.join(&layer)).expect("it is there");
    write(path, &layer, &content);
    verify(&flags).arg(&image).ok();

    let mut longer = signature.clone();
    longer["size"] = json!(1);
    let mut changed = index.clone();
    let at = entries
        .iter()
        .position(|entry| entry == signature)
        .expect("it is one");
    changed["manifests"][at] = longer;
    write(path, "index.json", changed.to_string());
    check(1, "bytes, wanted 1");
    changed["manifests"][at]["digest"] = json!("sha512:00");
    write(path, "index.json", changed.to_string());
    check(1, "has no digest that is supported");
    write(path, "index.json", "{");
    check(2, "index.json is malformed");
    write(path, "index.json", index.to_string());
    // What is named, and is not there.
    let mut other = layers.clone();
    other["layers"][0]["digest"] = json!(digest(b"nothing"));
    let other = other.to_string();
    write(path, &blob(other.as_bytes()), &other);
    changed["manifests"][at]["digest"] = json!(digest(other.as_bytes()));
    changed["manifests"][at]["size"] = json!(other.len());
    write(path, "index.json", changed.to_string());
    check(1, "there is no blob");
}

#[test]
fn words_that_mean_nothing_together_are_refused() {
    let layout = layout_of("sign-v2-notlog");
    let image = oci(&layout, "");
    let bundle = super::bundle("sign-v3-bundle-notlog").display().to_string();
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&[&image, "registry.invalid/app@sha256:00"], "some images are in folders and some in registries"),
        (&["--bundle", &bundle, &image], "--bundle is given for an image in a folder"),
        (&["--recursive=all", &image], "--recursive is given for an image in a folder"),
        (&["oci:/nowhere"], "cannot open the folder"),
        (&["oci:"], "is not of the form oci:PATH"),
        (&["--local-image", &image], "cannot open the folder"),
        (&[&format!("{image}:2")], "no image is named \"2\""),
        (&[&format!("{image}@sha256:00")], "the digest of oci:"),
    ];
    for (args, wanted) in cases {
        refused(verify(args), 2, wanted);
    }
}
