//! The registry client against the program `docker-registry`, which people run.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tekseal_core::{Digest, Repository};
use tekseal_remote::guard::Guard;
use tekseal_remote::registry::{Access, Blame, Options, Reference, Registry};

/// Ends with the test.
struct Running {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about that here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    /// Starts a registry on a free port and waits until it says that it listens.
    fn start(http: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = free.local_addr().expect("it is bound").to_string();
        drop(free);
        let config = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
             delete:\n    enabled: true\nhttp:\n  addr: {address}\n{http}",
            folder.path().display()
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, config).expect("there is room for a file");
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let mut log = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let listens = log
            .by_ref()
            .any(|line| line.is_ok_and(|line| line.contains("listening on")));
        assert!(listens, "the registry ended before it listened");
        // Read on, or the registry would wait for room in the pipe.
        std::thread::spawn(move || log.count());
        Self {
            process,
            address,
            folder,
        }
    }

    fn repository(&self) -> Repository {
        Repository::parse(&format!("{}/org/app", self.address)).expect("the name is well formed")
    }
}

async fn push(registry: &Registry, repository: &Repository, blob: &[u8]) -> Digest {
    let digest = Digest::of(blob);
    let upload = registry
        .start_upload(repository)
        .await
        .expect("the upload starts");
    registry
        .finish_upload(repository, upload, &digest, blob.to_vec())
        .await
        .expect("the blob is stored");
    digest
}

async fn round_trip(registry: &Registry, repository: &Repository) {
    const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
    let (config, layer) = (b"{}".as_slice(), b"a layer".as_slice());
    let (config_digest, layer_digest) = (
        push(registry, repository, config).await,
        push(registry, repository, layer).await,
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MEDIA_TYPE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"{config_digest}"}},"layers":[{{"mediaType":"application/octet-stream","size":7,"digest":"{layer_digest}"}}]}}"#
    );
    let digest = Digest::of(manifest.as_bytes());
    let absent = registry
        .get_manifest(repository, Reference::Tag("t"))
        .await
        .expect("the registry answers");
    assert!(absent.is_none());
    registry
        .put_manifest(
            repository,
            Reference::Tag("t"),
            MEDIA_TYPE,
            manifest.as_bytes(),
        )
        .await
        .expect("the manifest is stored");
    let head = registry
        .head_manifest(repository, Reference::Tag("t"))
        .await
        .expect("the registry answers");
    let head = head.expect("it was stored");
    assert_eq!(
        (&head.digest, head.size, head.media_type.as_str()),
        (&digest, manifest.len() as u64, MEDIA_TYPE)
    );
    // Whether an image exists, as its digest says.
    for (wanted, is_there) in [(&digest, true), (&Digest::of(b"no"), false)] {
        let head = registry
            .head_manifest(repository, Reference::Digest(wanted))
            .await
            .expect("the registry answers");
        assert_eq!(head.is_some(), is_there, "{wanted}");
    }
    let got = registry
        .get_manifest(repository, Reference::Digest(&digest))
        .await
        .expect("the registry answers");
    assert_eq!(got.expect("it was stored").bytes, manifest.as_bytes());
    assert!(
        registry
            .blob_exists(repository, &layer_digest)
            .await
            .expect("the registry answers")
    );
    assert!(
        !registry
            .blob_exists(repository, &Digest::of(b"no"))
            .await
            .expect("the registry answers")
    );
    assert_eq!(
        registry
            .get_blob(repository, &layer_digest, 7)
            .await
            .expect("it was stored"),
        layer
    );
    // This program has no referrers API.
    assert!(
        registry
            .referrers(repository, &digest)
            .await
            .expect("the registry answers")
            .is_none()
    );
    let missing = manifest.replace(layer_digest.hex(), Digest::of(b"no").hex());
    let refused = registry
        .put_manifest(
            repository,
            Reference::Tag("u"),
            MEDIA_TYPE,
            missing.as_bytes(),
        )
        .await;
    assert!(
        refused
            .expect_err("a layer is missing")
            .has_code("MANIFEST_BLOB_UNKNOWN")
    );
}

fn options() -> Options {
    Options {
        access: Access::PullPush,
        ..Options::default()
    }
}

#[tokio::test]
#[ignore = "needs the program docker-registry"]
async fn what_is_written_is_read_back() {
    let running = Running::start("");
    let registry = Registry::new(options()).expect("the options are fine");
    round_trip(&registry, &running.repository()).await;
}

#[tokio::test]
#[ignore = "needs the program docker-registry"]
async fn a_guard_lets_a_listed_registry_be_used_and_no_other() {
    let running = Running::start("");
    let guarded = |allowed: &str| {
        let guard = Guard::new(&[allowed], &["127.0.0.1:6443"]);
        let guard = Some(guard.expect("the entries are well formed"));
        Registry::new(Options { guard, ..options() }).expect("the options are fine")
    };
    let listed = guarded(&format!("{}/org", running.address));
    round_trip(&listed, &running.repository()).await;
    let refused = guarded("registry.example")
        .start_upload(&running.repository())
        .await
        .expect_err("it is not listed");
    assert_eq!(refused.blame(), Blame::Setting);
}

#[tokio::test]
#[ignore = "needs the program docker-registry"]
async fn what_is_written_over_tls_is_read_back() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let http = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        data.join("server.cert").display(),
        data.join("server.key").display()
    );
    let running = Running::start(&http);
    let registry = Registry::new(Options {
        ca: vec![data.join("ca.pem")],
        ..options()
    })
    .expect("the options are fine");
    round_trip(&registry, &running.repository()).await;
    let plain = Registry::new(Options {
        retry_for: Duration::ZERO,
        ..options()
    })
    .expect("the options are fine");
    let refused = plain
        .start_upload(&running.repository())
        .await
        .expect_err("it speaks https");
    assert_eq!(refused.status(), Some(400));
}

#[tokio::test]
#[ignore = "needs the program docker-registry"]
async fn a_password_protected_registry_lets_the_right_user_in() {
    // `user:pass`; `htpasswd -Bbn user pass` makes such a line.
    const USERS: &str = "user:$2b$04$dDzRyCfovlWLh0YV8ZcsGut6MvthfhsJSxqaOyuCHfjVHOHJfDYQu\n";
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let users = folder.path().join("htpasswd");
    fs::write(&users, USERS).expect("there is room for a file");
    let running = Running::start(&format!(
        "auth:\n  htpasswd:\n    realm: r\n    path: {}\n",
        users.display()
    ));
    let mut with_login = options();
    let config = format!(
        r#"{{"auths":{{"{}/org":{{"auth":"dXNlcjpwYXNz"}}}}}}"#,
        running.address
    );
    with_login
        .credentials
        .add("the-file", config.as_bytes())
        .expect("the file is well formed");
    let registry = Registry::new(with_login).expect("the options are fine");
    round_trip(&registry, &running.repository()).await;
    let nobody = Registry::new(options()).expect("the options are fine");
    let refused = nobody
        .start_upload(&running.repository())
        .await
        .expect_err("nobody is not let in");
    assert_eq!(refused.status(), Some(401));
}

#[tokio::test]
#[ignore = "needs the program docker-registry"]
async fn equal_blobs_sent_at_the_same_time_are_all_stored() {
    let running = Running::start("");
    let registry = Registry::new(options()).expect("the options are fine");
    let repository = running.repository();
    let blob = vec![7; 1 << 20];
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (registry, repository, blob) = (registry.clone(), repository.clone(), blob.clone());
        tasks.push(tokio::spawn(async move {
            push(&registry, &repository, &blob).await
        }));
    }
    for task in tasks {
        task.await.expect("the push succeeds");
    }
    let found = registry
        .get_blob(&repository, &Digest::of(&blob), 1 << 20)
        .await
        .expect("it was stored");
    assert_eq!(found, blob);
    assert!(running.folder.path().join("docker").is_dir());
}
