//! How much memory and time a registry can make the program use.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use tekseal_harness::{Output, Proxy, Registry, Run, Seen, digest};

use super::specimen::{INDEX, MANIFEST, SIGN, SIGNATURE, Specimen, list, tag};
use super::{IMAGE, by_key, error, replayed};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What a step may have, and more than it ever needs for what cosign writes.
const LIMIT_MIB: f64 = 64.0;

/// Runs it, and tells the most memory that it had, in MiB.
pub(crate) fn measured(run: Run) -> (Output, f64) {
    let start = Instant::now();
    let mut running = run.start();
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0.0_f64;
    while !running.has_ended() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or_default() / 1024.0);
    }
    println!("{peak} MiB at the most, {:?}", start.elapsed());
    (running.wait(), peak)
}

/// A manifest of nearly 4 MiB in which each layer is a signature, and none is there.
fn large(salt: usize) -> Vec<u8> {
    let layer = |at: usize| {
        json!({
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "size": 7,
            "digest": digest(&at.to_be_bytes()),
            "annotations": {SIGNATURE: format!("{at}{}", "s".repeat(3800))},
        })
    };
    let layers: Vec<Value> = (salt..salt + 990).map(layer).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": digest(b"{}")},
    });
    manifest.to_string().into_bytes()
}

/// A proxy that lists these manifests, and hands out the large ones.
fn telling(registry: &Registry, listed: &[Value], large: Vec<Vec<u8>>) -> Proxy {
    let proxy = Proxy::start(registry.address());
    let fallback = format!("/manifests/{}", tag(""));
    let is_list = move |seen: &Seen| seen.path.ends_with(&fallback);
    proxy
        .when(is_list)
        .answer(200, &[("Content-Type", INDEX)], &list(listed));
    for bytes in large {
        let path = format!("/manifests/{}", digest(&bytes));
        let is_it = move |seen: &Seen| seen.path.ends_with(&path);
        proxy
            .when(is_it)
            .answer(200, &[("Content-Type", MANIFEST)], &bytes);
    }
    proxy
}

fn entry(digest: &str) -> Value {
    json!({"mediaType": MANIFEST, "size": 900, "digest": digest})
}

#[test]
fn however_much_is_listed_memory_stays_within_a_limit() {
    let registry = Registry::start();
    replayed(&registry, "unsigned");
    replayed(&registry, "sign-v2-notlog");
    let small: Vec<_> = (0..24_000_usize)
        .map(|at| entry(&digest(&at.to_be_bytes())))
        .collect();
    let manifests: Vec<_> = (0..16).map(|at| large(at * 1000)).collect();
    let several: Vec<_> = manifests
        .iter()
        .map(|bytes| entry(&digest(bytes)))
        .collect();
    let same = vec![several[0].clone(); 1000];
    #[rustfmt::skip]
    let cases = [
        ("a list of 4 MB", small, vec![], "24000 manifests name the image as their subject"),
        ("16 manifests of 4 MB", several, manifests.clone(), "those of all referrers together have more than 8388608 bytes"),
        ("the same manifest of 4 MB, a thousand times", same, manifests[..1].to_vec(), "not found"),
    ];
    for (name, listed, large, wanted) in cases {
        let proxy = telling(&registry, &listed, large);
        let at = |case: &str| format!("{}/{case}@{IMAGE}", proxy.address());
        let (said, peak) = measured(by_key(&[]).arg(at("unsigned")));
        assert_eq!(said.code(), Some(1), "{name}: {said:?}");
        assert!(error(&said).contains(wanted), "{name}: {said:?}");
        assert!(peak < LIMIT_MIB, "{name}: {peak} MiB");
        // One that turns out to be large is asked for a second time.
        let most = proxy.count_of("GET", &format!("/manifests/{}", digest(&manifests[0])));
        assert!(most <= 2, "{name}: read {most} times");
        let (said, peak) = measured(by_key(&[]).arg(at("sign-v2-notlog")));
        assert_eq!(said.code(), Some(0), "{name}: {said:?}");
        assert!(peak < LIMIT_MIB, "{name}: {peak} MiB");
    }
}

#[test]
fn large_manifests_take_no_room_from_a_small_one_that_is_good() {
    let registry = Registry::start();
    let good = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
    good.publish(&registry, "good");
    let manifests: Vec<_> = (0..4).map(|at| large(at * 1000)).collect();
    let mut listed: Vec<_> = manifests
        .iter()
        .map(|bytes| entry(&digest(bytes)))
        .collect();
    listed.push(good.descriptor());
    let proxy = telling(&registry, &listed, manifests);
    let image = format!("{}/good@{IMAGE}", proxy.address());
    by_key(&[]).arg(image).ok();
}

#[test]
fn an_index_whose_images_have_large_tags_costs_little_more_than_one_image() {
    let registry = Registry::start();
    let proxy = Proxy::start(registry.address());
    let tell = |name: String, kind: &str, bytes: &[u8]| {
        let path = format!("/manifests/{name}");
        let is_it = move |seen: &Seen| seen.path.ends_with(&path);
        proxy
            .when(is_it)
            .answer(200, &[("Content-Type", kind)], bytes);
    };
    let mut entries = Vec::new();
    for at in 0..8 {
        let child =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"at": at}, "layers": []})
                .to_string();
        let own = digest(child.as_bytes());
        tell(own.clone(), MANIFEST, child.as_bytes());
        // Without the annotation the contents are not asked for, which would take long.
        let large = String::from_utf8(large(at * 1000)).expect("JSON");
        let large = large.replace(SIGNATURE, "unsigned");
        for suffix in [".sig", ".att"] {
            let tag = own.replace(':', "-") + suffix;
            tell(tag, MANIFEST, large.as_bytes());
        }
        entries.push(json!({"mediaType": MANIFEST, "digest": own, "size": child.len()}));
    }
    let index = list(&entries);
    tell(digest(&index), INDEX, &index);
    let image = format!("{}/team/app@{}", proxy.address(), digest(&index));
    let key = super::file("a.pub");
    let (said, peak) = measured(super::verify(&["--key", &key, "--recursive", "all"]).arg(image));
    assert_eq!(said.code(), Some(1), "{said:?}");
    assert!(said.stderr.contains("layer has no annotation"), "{said:?}");
    assert_eq!(said.stderr.matches("not verified").count(), 8, "{said:?}");
    // Both tags of four images may have been read and wait for their turn.
    assert!(peak < LIMIT_MIB + 16.0, "{peak} MiB");
}

/// Layers that are as large as they may be in the time of a test, and what their contents cost besides their bytes.
#[test]
fn a_large_layer_costs_little_more_than_its_bytes() {
    const LARGE: usize = 16 << 20;
    const LARGE_MIB: f64 = 16.0;
    let registry = Registry::start();
    let fill = |beginning: &str, item: &str, end: &str| {
        let items = item.repeat((LARGE - beginning.len() - end.len()) / item.len());
        format!("{beginning}{items}{end}").into_bytes()
    };
    let bundle = |member: &str| format!("{{\"mediaType\":\"{MEDIA_TYPE}\",\"{member}\":");
    let envelope = "{\"payloadType\":\"application/vnd.in-toto+json\",\"payload\":\"";
    let signed = "\",\"signatures\":[{\"sig\":\"AAAA\"}]}";
    let key = "\"verificationMaterial\":{\"publicKey\":{\"hint\":\"a\"}}";
    let in_bundle = |end: &str| format!("{signed},{key}{end}");
    #[rustfmt::skip]
    let cases: &[(&str, &str, Vec<u8>)] = &[
        ("spaces", "not a JSON object", vec![b' '; LARGE]),
        ("braces", "not JSON that every reader understands alike", vec![b'{'; LARGE]),
        ("empty lists", "more than 8192 values", fill(&(bundle("a") + "["), "[],", "0]}")),
        ("numbers", "more than 8192 values", fill(&(bundle("a") + "["), "1,", "1]}")),
        ("escapes", "verificationMaterial is missing", fill(&(bundle("a") + "\""), "\\u0061", "\"}")),
        ("payload", "no signature found", fill(&(bundle("dsseEnvelope") + envelope), "AAAA", &in_bundle("}"))),
    ];
    for (at, (name, wanted, content)) in cases.iter().enumerate() {
        let mut specimen = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
        specimen.content = content.clone();
        let image = specimen.publish(&registry, &format!("large-{at}"));
        let (said, peak) = measured(by_key(&[]).arg(image));
        assert_eq!(said.code(), Some(1), "{name}: {said:?}");
        assert!(error(&said).contains(wanted), "{name}: {said:?}");
        assert!(peak < LIMIT_MIB + 2.0 * LARGE_MIB, "{name}: {peak} MiB");
    }
}
