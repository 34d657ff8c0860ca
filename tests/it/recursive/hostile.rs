//! Indexes that somebody made to hurt: nothing is signed, nothing passes, and little is read.

use serde_json::{Value, json};
use tekseal_harness::{Proxy, Run, digest};

use super::{
    INDEX, MANIFEST, Part, Shop, index_of, is_empty, plain_key, put_index, verified, verify,
};

/// Hands out an index that the registry itself would not take, and gives its digest.
fn telling(shop: &Shop, entries: &[Value]) -> (Proxy, String) {
    let bytes = index_of(entries);
    let digest = digest(&bytes);
    let proxy = Proxy::start(shop.workshop.registry.address());
    let path = format!("/manifests/{digest}");
    proxy.when(move |seen| seen.path.ends_with(&path)).answer(
        200,
        &[("Content-Type", INDEX)],
        &bytes,
    );
    (proxy, digest)
}

/// Provenance, attest, attest of a predicate and verify all say no, with this reason, and leave nothing.
#[track_caller]
fn refused(shop: &Shop, address: &str, index: &str, wanted: &str) {
    let folder = shop.workshop.path("hostile");
    let run = shop.run_of(address, index);
    let image = format!("{address}/team/app@{index}");
    let tags = shop.workshop.registry.tags("team/app");
    let provenance = Run::tool("tekseal-provenance")
        .env("TEKSEAL_RETRY_FOR", "1")
        .arg("--run")
        .arg(&run)
        .arg("--out")
        .arg(&folder)
        .args(["--recursive", "children"]);
    let attest = shop.workshop.attest_command(&run, &plain_key().0);
    let flags = ["--recursive", "all"];
    for run in [
        provenance,
        attest.args(flags),
        shop.predicate(&flags).arg(&image),
        verify(&plain_key().1, &flags).arg(&image),
    ] {
        let said = run.fails_with(1);
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
        assert_eq!(said.stdout, "");
    }
    is_empty(&folder);
    assert_eq!(shop.workshop.registry.tags("team/app"), tags);
}

fn amd(shop: &Shop) -> Part {
    let manifest = shop.workshop.registry.manifest("team/app", &shop.amd);
    Part {
        digest: shop.amd.clone(),
        size: manifest.expect("it is there").bytes.len(),
        media_type: MANIFEST,
    }
}

#[test]
fn ten_thousand_children_are_counted_and_none_is_read() {
    let shop = Shop::open();
    let entry = |number: u32| {
        let digest = digest(&number.to_be_bytes());
        json!({"mediaType": MANIFEST, "digest": digest, "size": 7})
    };
    let entries: Vec<Value> = (0..10_000).map(entry).collect();
    let (proxy, index) = telling(&shop, &entries);
    refused(&shop, proxy.address(), &index, "more than 1000 manifests");
    // Four programs, of which one asks for nothing but the index.
    assert_eq!(proxy.count(), 4, "{:?}", proxy.seen());
}

#[test]
fn a_child_that_is_gone_is_not_passed_over() {
    let shop = Shop::open();
    let registry = &shop.workshop.registry;
    registry.delete_manifest("team/app", &shop.arm);
    let wanted = "though an index lists it";
    refused(&shop, registry.address(), &shop.index, wanted);
    // What stands at a URL is not in the repository, and is not asked for.
    let elsewhere = Proxy::start(registry.address());
    let mut entry = amd(&shop).entry("linux/amd64");
    entry["digest"] = digest(b"elsewhere").into();
    entry["urls"] = json!([format!("http://{}/x", elsewhere.address())]);
    let (proxy, index) = telling(&shop, &[entry]);
    refused(&shop, proxy.address(), &index, wanted);
    assert_eq!(elsewhere.count(), 0);
    // Nor is the index itself signed, or verified, where it is not there.
    let absent = digest(b"absent");
    refused(&shop, registry.address(), &absent, "does not exist");
}

#[test]
fn what_is_not_what_the_index_says_is_refused() {
    let shop = Shop::open();
    let good = amd(&shop).entry("linux/amd64");
    let with = |name: &str, value: Value| {
        let mut entry = good.clone();
        entry[name] = value;
        entry
    };
    let foreign = "application/vnd.oci.image.layer.v1.tar+gzip";
    let mut index = good.clone();
    index["digest"] = shop.nested.clone().into();
    let size = shop.workshop.registry.manifest("team/app", &shop.nested);
    index["size"] = size.expect("it is there").bytes.len().into();
    for (entries, wanted) in [
        (vec![with("size", 1.into())], "bytes that the index says"),
        (
            vec![with("size", 99_999.into())],
            "bytes that the index says",
        ),
        (vec![with("size", (-1).into())], "entry 0 of the index"),
        (vec![with("mediaType", foreign.into())], "only images and"),
        (vec![with("mediaType", INDEX.into())], "is listed as"),
        (vec![index], "is listed as"),
        (vec![with("digest", "sha512:00".into())], "entry 0 of"),
        (
            vec![good.clone(), with("size", 1.into())],
            "more than once, and not alike",
        ),
        (vec![good.clone(), json!("x")], "entry 1 of the index"),
    ] {
        let (proxy, digest) = telling(&shop, &entries);
        refused(&shop, proxy.address(), &digest, wanted);
    }
}

#[test]
fn indexes_in_one_another_have_an_end() {
    let shop = Shop::open();
    let registry = &shop.workshop.registry;
    let mut nested = amd(&shop);
    for _ in 0..5 {
        nested = put_index(registry, &[nested.entry("linux/amd64")]);
    }
    refused(
        &shop,
        registry.address(),
        &nested.digest,
        "more than 4 deep",
    );
}

#[test]
fn a_manifest_that_is_listed_many_times_is_one() {
    let shop = Shop::open();
    let registry = &shop.workshop.registry;
    let amd = amd(&shop);
    let mut entries = vec![amd.entry("linux/amd64"); 500];
    entries.push(amd.entry("linux/386"));
    let index = put_index(registry, &entries);
    let run = shop.run_of(registry.address(), &index.digest);
    let attest = shop.workshop.attest_command(&run, &plain_key().0);
    let said = attest.args(["--recursive", "all"]).ok();
    assert_eq!(
        said.stderr.matches("\nstored image=").count(),
        3,
        "{said:?}"
    );
    let flags = [
        "-o",
        "json",
        "--only",
        "signature",
        "--recursive",
        "children",
    ];
    let said = verify(&plain_key().1, &flags)
        .arg(shop.image(&index.digest))
        .ok();
    let wanted = (shop.amd.clone(), "linux/amd64,linux/386".to_owned());
    assert_eq!(verified(&said), [wanted]);
}

#[test]
fn an_index_of_nothing_passes_for_nothing() {
    let shop = Shop::open();
    let registry = &shop.workshop.registry;
    let index = put_index(registry, &[]);
    let run = shop.run_of(registry.address(), &index.digest);
    let children = ["--recursive", "children"];
    let attest = |flags: &[&str]| {
        let attest = shop.workshop.attest_command(&run, &plain_key().0);
        attest.args(flags)
    };
    let said = attest(&children).fails_with(1);
    assert!(said.stderr.contains("lists nothing"), "{said:?}");
    attest(&["--recursive", "all"]).ok();
    let image = shop.image(&index.digest);
    verify(&plain_key().1, &["--recursive", "all"])
        .arg(&image)
        .ok();
    verify(&plain_key().1, &children).arg(&image).fails_with(1);
}

#[test]
fn a_registry_that_fails_is_the_outside_s_fault_and_nothing_is_signed() {
    let shop = Shop::open();
    let proxy = Proxy::start(shop.workshop.registry.address());
    let path = format!("/manifests/{}", shop.arm);
    proxy
        .when(move |seen| seen.path.ends_with(&path))
        .answer(503, &[], b"");
    let run = shop.run_of(proxy.address(), &shop.index);
    let attest = shop.workshop.attest_command(&run, &plain_key().0);
    attest.args(["--recursive", "all"]).fails_with(3);
    assert!(shop.with("sig").is_empty() && shop.with("att").is_empty());
    let flags = ["--only", "signature", "--recursive", "all"];
    verify(&plain_key().1, &flags)
        .arg(format!("{}/team/app@{}", proxy.address(), shop.index))
        .fails_with(3);
}
