//! Several signers at once on one image: registries have no compare-and-swap, and still no signature may be lost.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tekseal_harness::{Proxy, Run};

use crate::workshop::Workshop;

/// Six keys, made once for a test; each in a plain file so that the signers really start together.
fn keys(shop: &Workshop) -> Vec<(PathBuf, PathBuf)> {
    (0..6)
        .map(|at| {
            let (key, public) = (
                shop.path(&format!("k{at}.pem")),
                shop.path(&format!("k{at}.pub")),
            );
            let new = [
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
            ];
            Run::new("openssl").args(new).arg(&key).ok();
            Run::new("openssl")
                .args(["pkey", "-pubout", "-in"])
                .arg(&key)
                .arg("-out")
                .arg(&public)
                .ok();
            (key, public)
        })
        .collect()
}

#[test]
fn six_signers_at_once_lose_no_signature() {
    for _ in 0..5 {
        let shop = Workshop::new();
        let keys = keys(&shop);
        let run = shop.run();
        thread::scope(|scope| {
            for (key, _) in &keys {
                scope.spawn(|| {
                    shop.attest_command(&run, key)
                        .args(["--retry-for", "60"])
                        .ok()
                });
            }
        });
        assert_eq!((shop.layers("sig").len(), shop.layers("att").len()), (6, 6));
        for (_, public) in &keys {
            shop.verify(public).ok();
        }
    }
}

#[test]
fn the_same_signer_run_twice_leaves_one_signature() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    shop.attest(&key);
    let before = (shop.layers("sig"), shop.layers("att"));
    shop.attest(&key);
    assert_eq!(before, (shop.layers("sig"), shop.layers("att")));
    assert_eq!((before.0.len(), before.1.len()), (1, 1));
    shop.verify(&public).ok();
}

#[test]
fn a_first_signature_takes_six_requests_and_one_to_confirm() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let proxy = Proxy::start(shop.registry.address());
    // Far enough that requests sent together are seen together.
    proxy.delay_each(Duration::from_millis(100));
    let payloads = shop.path("payloads");
    let run = shop.run_at(proxy.address());
    Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(&run)
        .arg("--out")
        .arg(&payloads)
        .ok();
    // Only the image signature, so that one tag is written.
    let index: Vec<serde_json::Value> = serde_json::from_slice(
        &std::fs::read(payloads.join("payloads.json")).expect("just written"),
    )
    .expect("JSON");
    let only: Vec<_> = index
        .into_iter()
        .filter(|entry| entry["kind"] == "simplesigning")
        .collect();
    std::fs::write(
        payloads.join("payloads.json"),
        serde_json::to_vec(&only).expect("JSON"),
    )
    .expect("ours");
    Run::tool("tekseal-sign")
        .arg("--key")
        .arg(&key)
        .arg(&payloads)
        .ok();
    Run::tool("tekseal-upload").arg(&payloads).ok();
    let seen: Vec<_> = proxy
        .seen()
        .iter()
        .map(|one| format!("{} {}", one.method, one.path))
        .collect();
    assert_eq!(seen.len(), 7, "{seen:#?}");
    assert_eq!(
        seen.iter().filter(|one| one.starts_with("HEAD ")).count(),
        1,
        "{seen:#?}"
    );
    assert_eq!(
        proxy.sequential_latencies(),
        4,
        "three to publish and one to confirm: {seen:#?}"
    );
    assert_eq!(shop.layers("sig").len(), 1);
}
