//! A real API server: etcd and kube-apiserver with Tekton's types, for one process of tests and gone with it.
//!
//! ```text
//!   programs under test ── kubeconfig ──▶ kube-apiserver (127.0.0.1, a free port, RBAC) ──▶ etcd (a socket in the folder)
//!   tests ── Client (TLS by openssl) ────────┘ │
//!   tests ◀── Audit: who asked for what ───────┘ audit log
//! ```
//!
//! No controller runs beside it: a namespace is never emptied, owners are never followed, and a namespace gets its ServiceAccount
//! from [`Client::namespace`]. What Tekton's controller writes into a run, a test writes ([`Client::put_status`]).
//!
//! With kubelet and Tekton it is a [`Node`], which `tests/cluster/run` starts beside the tests.

mod audit;
mod chains;
mod client;
mod connection;
mod node;
mod peers;

use std::fs;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::client::write_secret;
use self::peers::Peers;
use crate::http::Request;
use crate::process::{Daemon, Folder};
use crate::run::Run;
use crate::tls::Certificates;

pub use self::audit::{ApiRequest, Audit};
pub use self::chains::Chains;
pub use self::client::{Client, Watch, object_path};
pub use self::node::Node;
pub use self::peers::kubectl;

const READY_WITHIN: Duration = Duration::from_secs(90);
const ISSUER: &str = "https://kubernetes.default.svc";
const AUDIT_LOG: &str = "audit.log";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Who shows a token: a ServiceAccount, and whom the token is meant for, where that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct PodAccount<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The audience that the token must have.
    pub audience: Option<&'a str>,
}

/// How an API server shall be.
#[derive(Clone, Debug)]
pub struct ApiSetup {
    flags: Vec<String>,
    is_audited: bool,
    progress: Duration,
}

impl Default for ApiSetup {
    fn default() -> Self {
        Self {
            flags: Vec::new(),
            is_audited: true,
            progress: Duration::from_secs(1),
        }
    }
}

impl ApiSetup {
    /// Adds a flag of kube-apiserver, `--name=value`; a later one of a name wins.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Writes no audit log, for measurements.
    #[must_use]
    pub fn without_audit(mut self) -> Self {
        self.is_audited = false;
        self
    }

    /// How often etcd tells each watch how far it is, 1 s unless this is called: without that, a watch or a list that must be fresh waits in
    /// vain for a quiet type. It costs a fifth of a core each second; clusters have 5 s.
    #[must_use]
    pub fn progress_each(mut self, interval: Duration) -> Self {
        self.progress = interval;
        self
    }

    /// Starts it; `None`, with the reason printed, where a peer is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when a peer is missing and `CI` is `true`.
    #[must_use]
    pub fn start(self) -> Option<ApiServer> {
        let peers = Peers::find()?;
        Some(ApiServer::start_with(self, peers))
    }
}

/// A running API server, used as its administrator through [`Client`]. It ends when this value is dropped, and when the process of the
/// tests ends in whatever way.
pub struct ApiServer {
    admin: Client,
    server: Option<Daemon>,
    etcd: Daemon,
    setup: ApiSetup,
    peers: Peers,
    port: u16,
    names: AtomicU32,
    /// The last to be dropped.
    folder: Folder,
}

impl Deref for ApiServer {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.admin
    }
}

impl ApiServer {
    /// The one server of this process, started with the first call. Tests take a [namespace](Client::namespace) each.
    /// `None`, with the reason printed, where a peer is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when a peer is missing and `CI` is `true`.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<ApiServer>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A server of one's own, for tests that stop it.
    ///
    /// # Panics
    ///
    /// As [`Self::shared`].
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::setup().start()
    }

    /// A setup to be completed with [`ApiSetup::start`].
    #[must_use]
    pub fn setup() -> ApiSetup {
        ApiSetup::default()
    }

    /// The administrator's kubeconfig: a file that only its owner can read.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// A kubeconfig for whoever has this token.
    ///
    /// # Panics
    ///
    /// When the folder is full.
    #[must_use]
    pub fn kubeconfig_for(&self, token: &str) -> PathBuf {
        let path = self.path(&format!("kubeconfig-{}", self.count()));
        self.with_token(token).write_kubeconfig(&path);
        path
    }

    /// Begins to count requests.
    ///
    /// # Panics
    ///
    /// When the server was started without its audit log.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        assert!(self.setup.is_audited, "this server writes no audit log");
        Audit::begin(&self.admin, self.path(AUDIT_LOG))
    }

    /// Process ids of kube-apiserver (while it runs) and etcd.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let server = self.server.iter().map(Daemon::id);
        server.chain([self.etcd.id()]).collect()
    }

    /// Where everything of it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder of this name in it, for what is to vanish with it.
    ///
    /// # Panics
    ///
    /// When the disk is full.
    #[must_use]
    pub fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path)
            .unwrap_or_else(|e| panic!("{} cannot be made: {e}", path.display()));
        path
    }

    /// Kills kube-apiserver; etcd keeps what it has. The shared server cannot be stopped: it is not mutable.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts kube-apiserver again, at the same address, killing it first where it runs.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.stop();
        let deadline = Instant::now() + READY_WITHIN;
        // Another process may have taken the port for a moment.
        while !self.try_launch() {
            assert!(
                Instant::now() < deadline,
                "port {} is not free again",
                self.port
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn start_with(setup: ApiSetup, peers: Peers) -> Self {
        let folder = Folder::make();
        let at = folder.path().to_owned();
        let etcd = start_etcd(&peers.etcd, &at, setup.progress);
        let ca = Certificates::make_in(&at).ca();
        // kube-apiserver reads the older form of a private key only.
        Run::new("openssl")
            .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout"])
            .args(["-out", "service-accounts.key"])
            .folder(&at)
            .ok();
        let token = token();
        write_secret(
            &at.join("tokens.csv"),
            &format!("{token},admin,admin,system:masters\n"),
        );
        fs::write(at.join("audit-policy.json"), audit::policy().to_string())
            .expect("the folder is ours");

        let port = free_port();
        let mut server = Self {
            admin: client(port, &ca, &at, &token),
            server: None,
            etcd,
            setup,
            peers,
            port,
            names: AtomicU32::new(1),
            folder,
        };
        while !server.try_launch() {
            server.port = free_port();
            server.admin = client(server.port, &ca, &at, &token);
        }
        server.admin.write_kubeconfig(&server.kubeconfig());
        server.install_crds();
        server
    }

    /// Whether it came up; `false` when its port was taken.
    fn try_launch(&mut self) -> bool {
        let mut server = Daemon::start(&self.peers.api_server, self.flags(), self.folder.path());
        let ready = Request::new("GET", "/readyz");
        let deadline = Instant::now() + READY_WITHIN;
        while !self
            .admin
            .send(&ready)
            .is_ok_and(|answer| answer.status == 200)
        {
            if server.has_ended() {
                let story = server.story();
                assert!(
                    story.contains("address already in use"),
                    "kube-apiserver ended\n{story}"
                );
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "kube-apiserver is not ready\n{}\n{}",
                server.story(),
                self.etcd.story()
            );
            thread::sleep(Duration::from_millis(20));
        }
        self.server = Some(server);
        true
    }

    fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = [
            "--etcd-servers=unix://etcd:1",
            "--bind-address=127.0.0.1",
            "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-key-file=service-accounts.key",
            "--service-account-signing-key-file=service-accounts.key",
            // Webhooks of a test are called at the endpoints of their Service: there is no kube-proxy.
            "--enable-aggregator-routing=true",
            // A loopback address cannot be the endpoint of the Service `kubernetes`.
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ]
        .map(str::to_owned)
        .to_vec();
        flags.push(format!("--secure-port={}", self.port));
        flags.push(format!("--service-account-issuer={ISSUER}"));
        if self.setup.is_audited {
            flags.push("--audit-policy-file=audit-policy.json".to_owned());
            flags.push(format!("--audit-log-path={AUDIT_LOG}"));
        }
        flags.extend(self.setup.flags.iter().cloned());
        flags
    }

    /// Teaches the server the types of Tekton, and waits until it serves them.
    fn install_crds(&self) {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.peers.crds)
            .expect("the folder was found")
            .map(|entry| entry.expect("the folder can be read").path())
            .collect();
        files.sort();
        for file in &files {
            let yaml = fs::read(file).expect("the file can be read");
            let request = Request::new("POST", CRDS).body("application/yaml", &yaml);
            let answer = self
                .send(&request)
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(
                answer.status == 201,
                "{}: {}",
                file.display(),
                answer.text()
            );
            let made: Value = serde_json::from_slice(&answer.body).expect("the server writes JSON");
            if made["spec"]["conversion"]["strategy"] == "Webhook" {
                // Tekton's webhook is not here. Every object in storage would make the cache of each other version fail and begin again, ten
                // times a second and for ever.
                let none = json!({"spec": {"conversion": {"strategy": "None", "webhook": null}}});
                self.patch(&object_path(&made), &none);
            }
        }
        let deadline = Instant::now() + READY_WITHIN;
        let missing = || -> Vec<String> {
            let list = self.get(CRDS).expect("the collection is there");
            let crds = list["items"].as_array().cloned().unwrap_or_default();
            assert!(crds.len() >= files.len(), "{} of {files:?}", crds.len());
            let paths = crds.iter().flat_map(served_paths);
            paths.filter(|path| self.get(path).is_none()).collect()
        };
        loop {
            let missing = missing();
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "not served: {missing:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn count(&self) -> u32 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }
}

/// Where the objects of a definition are, in each version that is served.
fn served_paths(crd: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let group = text(&crd["spec"]["group"]);
    let plural = text(&crd["spec"]["names"]["plural"]);
    let versions = crd["spec"]["versions"].as_array();
    let served = versions
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true);
    served
        .map(|version| format!("/apis/{group}/{}/{plural}?limit=1", text(&version["name"])))
        .collect()
}

/// etcd behind two sockets in its folder, so that it needs no ports.
fn start_etcd(program: &Path, folder: &Path, progress: Duration) -> Daemon {
    let progress = format!(
        "--experimental-watch-progress-notify-interval={}ms",
        progress.as_millis()
    );
    let args = [
        "--data-dir=etcd",
        "--listen-client-urls=unix://etcd:1",
        "--advertise-client-urls=unix://etcd:1",
        "--listen-peer-urls=unix://etcd:2",
        "--initial-advertise-peer-urls=unix://etcd:2",
        "--initial-cluster=default=unix://etcd:2",
        "--quota-backend-bytes=4294967296",
        &progress,
        "--logger=zap",
        "--log-level=warn",
    ];
    Daemon::start(program, args, folder)
}

fn client(port: u16, ca: &Path, folder: &Path, token: &str) -> Client {
    let log = folder.join("kube-apiserver.log");
    Client::new(&format!("127.0.0.1:{port}"), ca, &log, token)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    address.port()
}

/// Something that other users of this machine cannot guess.
fn token() -> String {
    let out = Run::new("openssl").args(["rand", "-hex", "16"]).ok();
    out.stdout.trim().to_owned()
}
