//! The real docker-registry (2.8, no referrers API) on a free loopback port, and what tests do to its content.
//!
//! ```text
//!   programs under test ──▶ front: as configured (plain, basic auth, TLS) ─┐
//!   tests               ──▶ back:  plain http, no questions               ─┴─▶ one storage folder
//! ```
//!
//! The back door exists so that tests need neither TLS nor logins. A plain registry has one server for both.

mod server;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use self::server::Server;
use crate::digest;
use crate::http::{Answer, Request, request};
use crate::image::MANIFEST;
use crate::port::lasting_port;
use crate::process;
use crate::tls::Certificates;

/// The user of a registry that asks for one.
pub const USER: &str = "tester";
/// The password of [`USER`].
pub const PASSWORD: &str = "swordfish-42";
/// [`PASSWORD`] as bcrypt, the only form that docker-registry reads; the low cost is for speed.
const HTPASSWD: &str = "tester:$2y$05$abcdefghijklmnopqrstuuG48s1FJv2FCKAoCVP2BeVXXveWFUOaa\n";

const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// How a registry shall be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    basic_auth: bool,
    tls: bool,
    client_certificate: bool,
    port: u16,
    host: Option<Ipv4Addr>,
}

impl Setup {
    /// The back door, which is all of a plain registry, is at a port that no other process is given by chance, so that it can be
    /// [killed](Registry::kill) and [started again](Registry::restart).
    #[must_use]
    pub fn with_lasting_port(mut self) -> Self {
        self.port = lasting_port();
        self
    }

    /// The front listens at this address in place of loopback, so that others reach it too: pods of a node, for example.
    #[must_use]
    pub fn with_host(mut self, host: Ipv4Addr) -> Self {
        self.host = Some(host);
        self
    }

    /// The front asks for [`USER`] and [`PASSWORD`] with a `Basic` challenge.
    #[must_use]
    pub fn with_basic_auth(mut self) -> Self {
        self.basic_auth = true;
        self
    }

    /// The front speaks TLS with a certificate of a private authority.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The front speaks TLS and talks only to clients with a certificate of the same authority.
    #[must_use]
    pub fn with_client_certificate(mut self) -> Self {
        self.client_certificate = true;
        self.with_tls()
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When docker-registry is not installed or does not come up.
    #[must_use]
    pub fn start(self) -> Registry {
        self.start_with(Folder::Own(
            tempfile::tempdir().expect("a temporary folder"),
        ))
    }

    /// Starts it with everything of it in a folder that is there, and that the caller removes.
    ///
    /// # Panics
    ///
    /// When docker-registry is not installed or does not come up.
    #[must_use]
    pub fn start_in(self, folder: &Path) -> Registry {
        self.start_with(Folder::Given(folder.to_owned()))
    }

    fn start_with(self, folder: Folder) -> Registry {
        let back = Server::start(folder.path(), "back", (Ipv4Addr::LOCALHOST, self.port), "");
        let certificates = self.tls.then(Certificates::make);
        let mut extra = String::new();
        if let Some(made) = &certificates {
            let (certificate, key) = made.server();
            extra += &format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                certificate.display(),
                key.display()
            );
            if self.client_certificate {
                extra += &format!("    clientcas: [{}]\n", made.ca().display());
            }
        }
        if self.basic_auth {
            let file = folder.path().join("htpasswd");
            fs::write(&file, HTPASSWD).expect("the temporary folder is writable");
            extra += &format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                file.display()
            );
        }
        let host = self.host.unwrap_or(Ipv4Addr::LOCALHOST);
        let has_front = self.host.is_some() || !extra.is_empty();
        let front = has_front.then(|| Server::start(folder.path(), "front", (host, 0), &extra));
        Registry {
            front,
            back,
            certificates,
            folder,
            port: self.port,
        }
    }
}

/// A manifest as the registry has it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Exact bytes.
    pub bytes: Vec<u8>,
    /// Its content type.
    pub media_type: String,
    /// Digest of `bytes`.
    pub digest: String,
}

impl Manifest {
    /// The manifest as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("a manifest is JSON")
    }
}

/// A running registry. It ends when this value is dropped, and also when the process of the tests ends.
pub struct Registry {
    front: Option<Server>,
    back: Server,
    certificates: Option<Certificates>,
    folder: Folder,
    /// 0 where it does not last.
    port: u16,
}

/// Where everything of a registry lies.
enum Folder {
    Own(TempDir),
    /// Removed also where nobody drops it.
    Swept(process::Folder),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Swept(folder) => folder.path(),
            Self::Given(folder) => folder,
        }
    }
}

impl Registry {
    /// Starts a registry with plain http that asks for no login.
    #[must_use]
    pub fn start() -> Self {
        Self::setup().start()
    }

    /// The one of this process, plain, started with the first call: for tests that leave alone what others put there.
    ///
    /// # Panics
    ///
    /// When docker-registry is not installed or does not come up.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<(Registry, process::Folder)> = OnceLock::new();
        let (registry, _) = SHARED.get_or_init(|| {
            let folder = process::Folder::make();
            (Self::setup().start_in(folder.path()), folder)
        });
        registry
    }

    /// The registry with plain http and no login that somebody else runs at this address.
    ///
    /// # Panics
    ///
    /// When there is no temporary folder.
    #[must_use]
    pub fn at(address: &str) -> Self {
        Self {
            front: None,
            back: Server::at(address),
            certificates: None,
            folder: Folder::Swept(process::Folder::make()),
            port: 0,
        }
    }

    /// A setup to be completed with [`Setup::start`].
    #[must_use]
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// `127.0.0.1:port` for the programs under test.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.front.as_ref().unwrap_or(&self.back).address
    }

    /// `127.0.0.1:port` where tests get in with plain http and no login.
    #[must_use]
    pub fn back_door(&self) -> &str {
        &self.back.address
    }

    /// Process ids of its servers; none when somebody else runs it.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let servers = self.front.iter().chain([&self.back]);
        servers.filter_map(|server| server.process).collect()
    }

    /// Stops a plain registry in whatever it does: connections are still made, by the kernel, and nothing is answered.
    ///
    /// # Panics
    ///
    /// When somebody else runs it.
    pub fn freeze(&self) {
        self.back.freeze();
    }

    /// Lets a [frozen](Self::freeze) registry go on.
    ///
    /// # Panics
    ///
    /// When somebody else runs it.
    pub fn thaw(&self) {
        self.back.signal(Signal::SIGCONT);
    }

    /// Kills a plain registry; its storage stays.
    ///
    /// # Panics
    ///
    /// When somebody else runs it.
    pub fn kill(&self) {
        self.back.signal(Signal::SIGKILL);
    }

    /// Starts a [killed](Self::kill) registry again, at the same address, with the same storage.
    ///
    /// # Panics
    ///
    /// When it has no [lasting port](Setup::with_lasting_port), and when it does not come up.
    pub fn restart(&mut self) {
        assert!(self.port != 0, "another may have its port by now");
        self.back = Server::start(
            self.folder.path(),
            "back",
            (Ipv4Addr::LOCALHOST, self.port),
            "",
        );
    }

    /// The certificates, where it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// `address/repository@digest`.
    #[must_use]
    pub fn reference(&self, repository: &str, digest: &str) -> String {
        format!("{}/{repository}@{digest}", self.address())
    }

    /// A folder for `DOCKER_CONFIG` whose `config.json` holds the login for this address.
    ///
    /// # Panics
    ///
    /// When the temporary folder is not writable.
    #[must_use]
    pub fn docker_config(&self, address: &str) -> PathBuf {
        use base64::Engine as _;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let folder = self
            .folder
            .path()
            .join(format!("docker-{}", address.replace(['/', ':'], "-")));
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let text = serde_json::json!({"auths": {address: {"auth": auth}}}).to_string();
        fs::write(folder.join("config.json"), text).expect("the temporary folder is writable");
        folder
    }

    /// Sends a request through the back door.
    ///
    /// # Panics
    ///
    /// When the registry does not answer.
    #[must_use]
    pub fn send(&self, what: &Request) -> Answer {
        request(self.back_door(), what).unwrap_or_else(|e| {
            panic!(
                "{} {}: {e}\nlog of the registry:\n{}",
                what.method,
                what.target,
                self.back.log()
            )
        })
    }

    /// Reads a manifest by tag or digest; `None` when it is absent. docker-registry answers 500 to whoever reads a tag in the moment in which it
    /// is written, so that is asked again, as clients do.
    ///
    /// # Panics
    ///
    /// When the registry answers anything but 200 and 404.
    #[must_use]
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        let get = Request::new("GET", &format!("/v2/{repository}/manifests/{reference}"))
            .header("Accept", MANIFEST_TYPES);
        let mut answer = self.send(&get);
        for _ in 0..3 {
            if answer.status != 500 {
                break;
            }
            thread::sleep(Duration::from_millis(50));
            answer = self.send(&get);
        }
        if answer.status == 404 {
            return None;
        }
        let answer = expect(answer, 200, "reading a manifest");
        let media_type = answer.header("content-type").unwrap_or_default().to_owned();
        Some(Manifest {
            digest: digest(&answer.body),
            bytes: answer.body,
            media_type,
        })
    }

    /// Writes a manifest by tag or digest and gives its digest.
    ///
    /// # Panics
    ///
    /// When the registry refuses it.
    pub fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> String {
        let answer = self.send(
            &Request::new("PUT", &format!("/v2/{repository}/manifests/{reference}"))
                .body(media_type, bytes),
        );
        expect(
            answer,
            201,
            &format!("writing manifest {reference} of {repository}"),
        );
        digest(bytes)
    }

    /// Deletes a manifest by digest, and with it the tags that point at it.
    ///
    /// # Panics
    ///
    /// When the registry refuses.
    pub fn delete_manifest(&self, repository: &str, digest: &str) {
        expect(
            self.send(&Request::new(
                "DELETE",
                &format!("/v2/{repository}/manifests/{digest}"),
            )),
            202,
            "deleting a manifest",
        );
    }

    /// Reads a blob; `None` when it is absent.
    ///
    /// # Panics
    ///
    /// When the registry answers anything but 200 and 404.
    #[must_use]
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        let answer = self.send(&Request::new(
            "GET",
            &format!("/v2/{repository}/blobs/{digest}"),
        ));
        (answer.status != 404).then(|| expect(answer, 200, "reading a blob").body)
    }

    /// Writes a blob and gives its digest.
    ///
    /// # Panics
    ///
    /// When the registry refuses it.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let started = expect(
            self.send(&Request::new(
                "POST",
                &format!("/v2/{repository}/blobs/uploads/"),
            )),
            202,
            "starting an upload",
        );
        let location = started
            .header("location")
            .expect("an upload has a location");
        let target = location
            .split_once(self.back_door())
            .map_or(location, |(_, target)| target);
        let join = if target.contains('?') { '&' } else { '?' };
        let put = Request::new("PUT", &format!("{target}{join}digest={digest}"))
            .body("application/octet-stream", bytes);
        expect(self.send(&put), 201, "writing a blob");
        digest
    }

    /// The tags of a repository, sorted; none when there is no such repository.
    ///
    /// # Panics
    ///
    /// When the registry answers anything but 200 and 404.
    #[must_use]
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let answer = self.send(&Request::new("GET", &format!("/v2/{repository}/tags/list")));
        if answer.status == 404 {
            return Vec::new();
        }
        let list: Value = serde_json::from_slice(&expect(answer, 200, "listing tags").body)
            .expect("a list of tags is JSON");
        let mut tags: Vec<String> =
            serde_json::from_value(list["tags"].clone()).unwrap_or_default();
        tags.sort();
        tags
    }

    /// Puts a recorded repository (`tags.json`, `manifests/`, `blobs/`: one case of `fixtures/cosign-samples`) under this name.
    ///
    /// # Panics
    ///
    /// When the folder is not such a recording, or the registry refuses it.
    pub fn replay(&self, case: &Path, repository: &str) {
        for (name, bytes) in files(&case.join("blobs")) {
            assert_eq!(
                self.push_blob(repository, &bytes),
                format!("sha256:{name}"),
                "a recorded blob has the digest it is named after"
            );
        }
        let mut waiting: BTreeMap<String, Vec<u8>> = files(&case.join("manifests")).collect();
        let manifests = waiting.clone();
        // An index is refused until the manifests it names are there.
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|name, bytes| {
                self.send(&put(repository, &format!("sha256:{}", stem(name)), bytes))
                    .status
                    != 201
            });
            assert!(
                waiting.len() < before,
                "the registry refuses these manifests of {}: {:?}",
                case.display(),
                waiting.keys()
            );
        }
        let tags = fs::read(case.join("tags.json")).expect("a recording has tags.json");
        let tags: BTreeMap<String, String> =
            serde_json::from_slice(&tags).expect("tags.json is a map of strings");
        for (tag, digest) in tags {
            let bytes = &manifests[&format!("{}.json", digest.trim_start_matches("sha256:"))];
            expect(
                self.send(&put(repository, &tag, bytes)),
                201,
                "tagging a recorded manifest",
            );
        }
    }
}

fn put(repository: &str, reference: &str, bytes: &[u8]) -> Request {
    let value: Value = serde_json::from_slice(bytes).expect("a recorded manifest is JSON");
    Request::new("PUT", &format!("/v2/{repository}/manifests/{reference}"))
        .body(value["mediaType"].as_str().unwrap_or(MANIFEST), bytes)
}

fn stem(name: &str) -> &str {
    name.trim_end_matches(".json")
}

fn files(folder: &Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| {
        let entry = entry.expect("a readable folder");
        (
            entry.file_name().to_string_lossy().into_owned(),
            fs::read(entry.path()).expect("a readable file"),
        )
    })
}

#[track_caller]
fn expect(answer: Answer, status: u16, doing: &str) -> Answer {
    assert!(
        answer.status == status,
        "{doing}: the registry answered {}: {}",
        answer.status,
        answer.text()
    );
    answer
}

#[cfg(test)]
mod tests;
