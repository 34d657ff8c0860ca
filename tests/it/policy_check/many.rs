//! Hundreds of images in one call: lists, bounded requests and connections, and what one bad image means for the others.

use serde_json::json;
use tekseal_harness::{Proxy, Registry};

use super::{BUILDER, BUILT, EVIL, V1, V02, attest, attested, check, v1, v02};
use crate::verify::measured;

/// A proxy before a registry with the API of referrers, which docker-registry does not have.
fn modern(registry: &Registry) -> Proxy {
    let proxy = Proxy::start(registry.address());
    let index = "application/vnd.oci.image.index.v1+json";
    let list = json!({"schemaVersion": 2, "mediaType": index, "manifests": []}).to_string();
    proxy
        .on("GET", "/referrers/")
        .answer(200, &[("Content-Type", index)], list.as_bytes());
    proxy
}

#[test]
fn a_signature_and_two_attestations_cost_six_requests() {
    let shop = attested(&[(V02, v02(BUILDER)), (V1, v1(BUILDER))]);
    let proxy = modern(&shop.registry);
    let image = shop.image.replace(shop.registry.address(), proxy.address());
    let (said, peak) = measured(check(&shop, &BUILT).arg(&image));
    said.ok();
    let seen: Vec<_> = proxy.seen().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(peak < 40.0, "{peak} MiB, unoptimised");
}

#[test]
fn hundreds_of_images_share_a_few_connections_and_come_in_order() {
    let good = attested(&[(V02, v02(BUILDER))]);
    let evil = good.registry.push_image("team/evil", "1");
    attest(&good, &evil.reference, V02, &v02(EVIL));
    let proxy = modern(&good.registry);
    let at_proxy = |image: &str| image.replace(good.registry.address(), proxy.address());
    let (good_image, evil_image) = (at_proxy(&good.image), at_proxy(&evil.reference));
    let mut list = String::from("# the images of a cluster\r\n\r\n");
    for at in 0..300 {
        let image = if at == 150 { &evil_image } else { &good_image };
        let comment = if at % 2 == 0 { "# good" } else { "" };
        list.push_str(&format!("  {image}  {comment}\r\n"));
    }
    let file = good.file("images.txt", &list);
    let flags = [&BUILT[..], &["--only", "attestation", "--concurrency", "4"]].concat();
    let run = check(&good, &flags).arg("--images").arg(&file);
    let (said, peak) = measured(run);
    let said = said.fails_with(1);
    let ends: Vec<_> = said
        .stdout
        .lines()
        .filter(|line| line.ends_with(" checks"))
        .collect();
    assert_eq!(ends.len(), 300);
    let failed: Vec<_> = ends
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("FAIL"))
        .collect();
    assert!(
        matches!(&failed[..], [(150, line)] if line.contains(&evil_image)),
        "{failed:?}"
    );
    assert!(said.stdout.ends_with("FAIL  299 of 300 images pass\n"));
    assert!(
        said.stderr
            .contains("1 of 300 images do not pass, the first is "),
        "{}",
        said.stderr
    );
    assert!(
        !said.stderr.contains('\r'),
        "no progress where stderr is no terminal"
    );
    assert!(proxy.count() <= 300 * 3, "{}", proxy.count());
    assert!(proxy.connections() <= 4 * 4, "{}", proxy.connections());
    assert!(peak < 40.0, "{peak} MiB");
}

#[test]
fn images_come_from_the_command_line_then_from_the_standard_input() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let tagged = format!("{}/team/app:1", shop.registry.address());
    let run = check(&shop, &BUILT)
        .args(["--images", "-", "--output", "json"])
        .arg(&shop.image)
        .stdin(format!("{tagged}\t# as it is named\n#\n"));
    let all = run.ok().json();
    assert_eq!((&all["passed"], &all["failed"]), (&json!(2), &json!(0)));
    let second = &all["images"][1];
    assert_eq!(
        (&second["image"], &second["given"]),
        (&json!(shop.image), &json!(tagged))
    );
}

#[test]
fn what_could_be_judged_is_told_although_a_registry_is_down() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let nowhere = format!("127.0.0.1:1/team/app@sha256:{}", "a".repeat(64));
    let both = [nowhere.as_str(), shop.image.as_str()];
    let said = check(&shop, &BUILT).args(both).fails_with(3);
    assert!(
        said.stdout
            .contains(&format!("????  {nowhere}  not judged: ")),
        "{said:?}"
    );
    assert!(
        said.stdout
            .contains(&format!("pass  {}  4 of 4", shop.image)),
        "{said:?}"
    );
    assert!(
        said.stdout
            .ends_with("????  1 of 2 images passes, 1 not judged\n"),
        "{said:?}"
    );
    assert!(
        said.stdout
            .contains(&format!("\nimage {}\npass  signature ", shop.image)),
        "{said:?}"
    );
    // Why is told once.
    assert!(!said.stdout.contains("FAIL"), "{said:?}");
    assert!(
        said.stderr.contains(&format!(
            "error: 1 of 2 images could not be judged, the first is {nowhere}\n"
        )),
        "{said:?}"
    );
    let json = check(&shop, &BUILT)
        .args(["-o", "json"])
        .args(both)
        .fails_with(3)
        .json();
    assert_eq!(json["images"][0]["passed"], json!(null));
    assert!(json["images"][0]["error"].is_string(), "{json}");
    assert_eq!(json["images"][0]["given"], nowhere);
    assert_eq!(json["unjudged"], 1);
    // «No» is an answer whatever else is.
    let said = check(&shop, &["--builder-id", EVIL])
        .args(both)
        .fails_with(1);
    assert!(
        said.stdout
            .ends_with("FAIL  0 of 2 images pass, 1 not judged\n"),
        "{said:?}"
    );
    assert!(
        said.stderr.contains("1 of 2 images do not pass") && said.stderr.contains("hint: "),
        "{said:?}"
    );
}
