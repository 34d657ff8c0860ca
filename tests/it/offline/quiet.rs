//! No packet is sent: the program runs in a network namespace in which nothing can be reached, and beside a mirror that records who asks.

use tekseal_harness::{Proxy, Registry, Run, TufRepository, program};

use super::{IMAGE, ISSUER, bundle, file, layout_of, oci, samples, verify, write};

/// The program in a network namespace of its own, with nothing in it but a loopback that is down.
fn alone() -> Run {
    let run = Run::new("unshare").env("TEKSEAL_RETRY_FOR", "1");
    let is_root = Run::new("id").arg("-u").ok().stdout.trim() == "0";
    let run = match is_root {
        true => run,
        false => run.arg("--map-root-user"),
    };
    run.arg("--net").arg(program("tekseal-verify"))
}

#[test]
fn bundles_and_folders_are_verified_where_nothing_can_be_reached() {
    let (key, root) = (file("a.pub"), file("trusted_root.json"));
    let flags = ["--offline", "--only", "signature", "--key", &key];
    let trusted = ["--trusted-root", root.as_str(), "--use-signed-timestamps"];
    let nowhere = format!("registry.invalid/app@{IMAGE}");
    let case = "sign-v3-bundle-rekor2-tsa";
    let run = alone()
        .args(flags)
        .args(trusted)
        .arg("--bundle")
        .arg(bundle(case));
    let said = run.arg(&nowhere).ok();
    assert!(said.stdout.starts_with("verified signature "), "{said:?}");
    let layout = layout_of(case);
    let said = alone()
        .args(flags)
        .args(trusted)
        .arg(oci(&layout, ":img"))
        .ok();
    assert!(said.stdout.starts_with("verified signature "), "{said:?}");
    let keyless = layout_of("keyless-v3-bundle-rekor1");
    let identity = "https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/chains-set1";
    let run = alone().args(["--offline", "--only", "signature", "--trusted-root", &root]);
    let run = run.args(["--certificate-identity", identity]);
    let run = run.args(["--certificate-oidc-issuer", ISSUER]);
    run.arg(oci(&keyless, ":img")).ok();
    // The namespace is one: a registry is not reached.
    let registry = Registry::start();
    registry.replay(&samples().join(case), case);
    let image = registry.reference(case, IMAGE);
    verify(&flags[1..3]).arg(&image).ok();
    alone().args(flags).arg(&image).fails_with(3);
}

#[test]
fn with_a_registry_nothing_but_the_registry_is_asked() {
    let case = "sign-v3-bundle-rekor2-tsa";
    let registry = Registry::start();
    registry.replay(&samples().join(case), case);
    let door = Proxy::start(registry.address());
    let root = std::fs::read(file("trusted_root.json")).expect("it is there");
    let repository = TufRepository::new(&root);
    let mirror = repository.serve();
    let folder = tempfile::tempdir().expect("a folder");
    let root = write(folder.path(), "root.json", repository.file("1.root.json"));
    let cache = folder.path().join("cache").display().to_string();
    let url = format!("http://{}", mirror.address());
    let flags = [
        "--only",
        "signature",
        "--tuf-mirror",
        &url,
        "--tuf-root",
        &root,
        "--tuf-cache",
        &cache,
    ];
    let image = format!("{}/{case}@{IMAGE}", door.address());
    // Whoever went another way than these two would be seen by the proxy of the environment.
    let elsewhere = Proxy::start("127.0.0.1:1");
    let proxy = format!("http://{}", elsewhere.address());
    let run = |more: &[&str]| {
        let run = verify(&flags).args(more).arg(&image);
        run.env("HTTPS_PROXY", &proxy)
            .env("HTTP_PROXY", &proxy)
            .ok()
    };
    run(&[]);
    assert!(mirror.count() > 0 && door.count() > 0);
    mirror.forget();
    door.forget();
    run(&["--offline"]);
    assert!(door.count() > 0, "the registry was asked");
    assert_eq!(mirror.count(), 0, "the mirror was not");
    assert_eq!(elsewhere.count(), 0, "nor anybody else");
}
