//! Keys that somebody else holds: Vault signs, or Fulcio certifies a key of the moment; one image and many in one process.
//!
//! ```text
//!   program ──▶ Vault         the public key once, a call for each signature
//!           ──▶ Fulcio        a certificate, for all that a process signs
//!           ──▶ Rekor v1      an entry of each signature, where there is a certificate
//!           ──▶ registry      the signatures, under tags
//! ```
//!
//! A cost counts only when what was made verifies: what is stored by `tekseal-verify`, without asking anybody but the registry, and what is in a
//! folder by OpenSSL. Requests are counted in runs of their own, through a proxy before each server, and calls of Vault in the same runs by what
//! its audit log has.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_harness::{
    Cosign, Proxy, Run, Seen, Services, Sigstore, Vault, audited_requests, sequential_latencies,
};

use super::{Contest, DISTANCE, Player, cost_rows, text, total};
use crate::measure::{Cost, Job};
use crate::report::Row;

const KEY: &str = "bench";
const REFERENCE: &str = "hashivault://bench";
const SERVICE_ACCOUNT: (&str, &str) = ("team", "builder");
const IDENTITY: &str = "https://kubernetes.io/namespaces/team/serviceaccounts/builder";

/// Who holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Vault,
    Fulcio,
}

/// How many images are signed in one call, and with whose key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) name: &'static str,
    holder: Holder,
    images: u32,
    /// Whether the signatures go onto the registry; else they stay in a folder, which cosign cannot.
    is_stored: bool,
    /// What takes half a minute is not done as often as what takes half a second.
    most_rounds: usize,
}

/// Whether a work is one of [`Held::ALL`].
pub(crate) fn is_held(work: &str) -> bool {
    Held::ALL.iter().any(|held| held.name == work)
}

impl Held {
    pub(super) const ALL: [Self; 5] = [
        Self {
            name: "sign-vault",
            holder: Holder::Vault,
            images: 1,
            is_stored: true,
            most_rounds: usize::MAX,
        },
        Self {
            name: "sign-vault-20",
            holder: Holder::Vault,
            images: 20,
            is_stored: true,
            most_rounds: 3,
        },
        Self {
            name: "sign-vault-1000",
            holder: Holder::Vault,
            images: 1000,
            is_stored: false,
            most_rounds: 3,
        },
        Self {
            name: "sign-keyless",
            holder: Holder::Fulcio,
            images: 1,
            is_stored: true,
            most_rounds: usize::MAX,
        },
        Self {
            name: "keyless-batch-100",
            holder: Holder::Fulcio,
            images: 100,
            is_stored: true,
            most_rounds: 1,
        },
    ];

    /// Whether one of these works needs the services with a database.
    pub(super) fn need_sigstore(works: &[&str]) -> bool {
        let mut wanted = Self::ALL
            .iter()
            .filter(|held| held.holder == Holder::Fulcio);
        wanted.any(|held| works.contains(&held.name))
    }
}

/// A running Vault with a key.
pub(super) struct Safe {
    vault: Vault,
    token: String,
    audit: PathBuf,
    public: PathBuf,
}

impl Safe {
    /// One where a work needs it.
    ///
    /// # Panics
    ///
    /// When it is not built, or does not come up.
    pub(super) fn open(works: &[&str], folder: &Path) -> Option<Self> {
        let mut wanted = Held::ALL.iter().filter(|held| held.holder == Holder::Vault);
        if !wanted.any(|held| works.contains(&held.name)) {
            return None;
        }
        let vault = Vault::start().expect("tests/peers --sigstore was run");
        vault.make_key(KEY, "ecdsa-p256");
        vault.make_policy(KEY);
        let key = vault.ask("GET", &format!("transit/keys/{KEY}"), &Value::Null);
        let key: Value = serde_json::from_slice(&key.body).expect("Vault speaks JSON");
        let public = folder.join("vault.pub");
        let pem = key["data"]["keys"]["1"]["public_key"].as_str();
        fs::write(&public, pem.expect("it has the key")).expect("the folder is ours");
        Some(Self {
            token: vault.token(&[KEY], "1h"),
            audit: vault.audited(),
            public,
            vault,
        })
    }

    /// How often the key was read, and how often it signed.
    fn calls(&self) -> [usize; 2] {
        let audit = |operation, path: &str| audited_requests(&self.audit, operation, path);
        [
            audit("read", &format!("transit/keys/{KEY}")),
            audit("update", &format!("transit/sign/{KEY}/sha2-256")),
        ]
    }
}

/// Where a program is told that the services are: URLs.
struct Addresses {
    vault: String,
    fulcio: String,
    log: String,
}

impl Contest {
    /// Measures all works with keys of others.
    ///
    /// # Panics
    ///
    /// When something fails, or does not verify.
    pub(super) fn held_rows(&self, rounds: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for held in Held::ALL {
            if !self.works.contains(&held.name) {
                continue;
            }
            let players: Vec<_> = self
                .players
                .iter()
                .filter(|player| held.is_stored || matches!(player, Player::Tekseal(_)))
                .collect();
            let rounds = rounds.min(held.most_rounds);
            let mut costs: Vec<Vec<Cost>> = players.iter().map(|_| Vec::new()).collect();
            // The first round fills the caches and does not count; where a round is long there are enough images to fill them.
            for round in usize::from(held.images > 1)..=rounds {
                eprintln!("bench: {}, round {round} of {rounds}", held.name);
                for turn in 0..players.len() {
                    let at = (round + turn) % players.len();
                    let cost = self.sign_held(players[at], held);
                    if round > 0 {
                        costs[at].push(cost.share_of_one(held.images));
                    }
                }
            }
            for (player, costs) in players.iter().zip(&costs) {
                rows.extend(cost_rows(held.name, player.name(), costs));
                rows.extend(self.requests_held(player, held));
            }
        }
        rows
    }

    fn direct(&self) -> Addresses {
        let sigstore = self.witnesses.sigstore.as_ref();
        let url = |of: fn(&Sigstore) -> String| sigstore.map(of).unwrap_or_default();
        Addresses {
            vault: self
                .safe
                .as_ref()
                .map(|safe| safe.vault.url())
                .unwrap_or_default(),
            fulcio: url(|sigstore| sigstore.fulcio.url()),
            log: url(|sigstore| sigstore.rekor.url()),
        }
    }

    fn sigstore(&self) -> &Sigstore {
        let sigstore = self.witnesses.sigstore.as_ref();
        sigstore.expect("it was started for this work")
    }

    fn safe(&self) -> &Safe {
        self.safe.as_ref().expect("it was started for this work")
    }

    /// Images that nobody has signed; of what stays in a folder names are enough.
    fn unsigned(&self, held: Held) -> Vec<String> {
        let count = 0..held.images;
        match held.is_stored {
            true => count.map(|_| self.fresh().reference).collect(),
            false => count
                .map(|at| format!("{}/bench/app@sha256:{at:064x}", self.registry.address()))
                .collect(),
        }
    }

    fn sign_held(&self, player: &Player, held: Held) -> Cost {
        let images = self.unsigned(held);
        let (jobs, folder) = self.holding(player, held, &images, &self.direct());
        let costs: Vec<_> = jobs.iter().map(Job::cost).collect();
        self.verify_held(held, &images, folder.as_deref());
        total(&costs)
    }

    /// Counts the requests of one call.
    fn requests_held(&self, player: &Player, held: Held) -> Vec<Row> {
        let registry = Proxy::start(self.registry.back_door());
        let mut proxies = vec![("registry_requests", &registry)];
        let mut at = self.direct();
        let (vault, fulcio, log);
        match held.holder {
            Holder::Vault => {
                vault = Proxy::start(self.safe().vault.address());
                at.vault = format!("http://{}", vault.address());
                proxies.push(("vault_requests", &vault));
            }
            Holder::Fulcio => {
                fulcio = Proxy::start(self.sigstore().fulcio.address());
                log = Proxy::start(self.sigstore().rekor.address());
                at.fulcio = format!("http://{}", fulcio.address());
                at.log = format!("http://{}", log.address());
                proxies.push(("fulcio_requests", &fulcio));
                proxies.push(("log_requests", &log));
            }
        }
        let images: Vec<_> = match held.is_stored {
            true => (0..held.images)
                .map(|_| registry.reference(&self.fresh()))
                .collect(),
            false => self.unsigned(held),
        };
        let (jobs, folder) = self.holding(player, held, &images, &at);
        if held.images == 1 {
            for (_, proxy) in &proxies {
                proxy.delay_each(DISTANCE);
            }
        }
        let before = self.safe.as_ref().map(Safe::calls);
        for job in &jobs {
            job.cost();
        }
        let after = self.safe.as_ref().map(Safe::calls);
        let seen: Vec<(_, Vec<Seen>)> = proxies
            .iter()
            .map(|(metric, proxy)| (*metric, proxy.seen()))
            .collect();
        self.verify_held(held, &images, folder.as_deref());
        #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
        let row =
            |metric, count: usize| Row::of(held.name, player.name(), metric, vec![count as f64]);
        let mut rows = Vec::new();
        if held.images == 1 {
            let all: Vec<_> = seen.iter().flat_map(|(_, seen)| seen.clone()).collect();
            rows.push(row("round_trips", sequential_latencies(&all)));
        }
        rows.extend(seen.iter().map(|(metric, seen)| row(metric, seen.len())));
        if held.holder == Holder::Vault
            && let (Some([reads, signs]), Some([reads_after, signs_after])) = (before, after)
        {
            rows.push(row("key_reads", reads_after - reads));
            rows.push(row("sign_calls", signs_after - signs));
        }
        rows
    }

    /// What signs these images: a job for each program that has to run, and the folder that ours leaves the signatures in.
    fn holding(
        &self,
        player: &Player,
        held: Held,
        images: &[String],
        at: &Addresses,
    ) -> (Vec<Job>, Option<PathBuf>) {
        match player {
            Player::Tekseal(programs) => {
                let folder = self.payloads(programs, images);
                let jobs = self.hold(programs, held, &text(&folder), at);
                (jobs, Some(folder))
            }
            Player::Cosign(_, cosign) => {
                (vec![self.hold_with_cosign(cosign, held, images, at)], None)
            }
        }
    }

    fn hold(&self, programs: &Path, held: Held, folder: &str, at: &Addresses) -> Vec<Job> {
        let (sign, upload) = (
            programs.join("tekseal-sign"),
            programs.join("tekseal-upload"),
        );
        let mut jobs = match held.holder {
            Holder::Vault => vec![
                self.entering(
                    Job::new(&sign, ["--layout", "tags", "--key", REFERENCE, folder]),
                    at,
                ),
                Job::new(&upload, ["--layout", "tags", folder]),
            ],
            Holder::Fulcio => {
                let root = text(&self.keyless_root());
                let token = text(&self.token());
                let certified = ["--fulcio-url", &at.fulcio, "--identity-token", &token];
                let rooted = ["--trusted-root", &root, folder];
                let logged = ["--layout", "tags", "--tlog", "v1", "--rekor-url", &at.log];
                vec![
                    Job::new(
                        &sign,
                        ["--layout", "tags"]
                            .into_iter()
                            .chain(certified)
                            .chain(rooted),
                    ),
                    Job::new(&upload, logged.into_iter().chain(rooted)),
                ]
            }
        };
        if !held.is_stored {
            jobs.truncate(1);
        }
        jobs
    }

    fn hold_with_cosign(
        &self,
        cosign: &Cosign,
        held: Held,
        images: &[String],
        at: &Addresses,
    ) -> Job {
        let mut args = vec!["sign".to_owned(), "--yes".to_owned()];
        if cosign.major() > 2 {
            args.extend(
                ["--use-signing-config=false", "--new-bundle-format=false"].map(str::to_owned),
            );
        }
        match held.holder {
            Holder::Vault => {
                args.extend(["--tlog-upload=false", "--key", REFERENCE].map(str::to_owned));
            }
            Holder::Fulcio => {
                args.extend([
                    format!("--fulcio-url={}", at.fulcio),
                    format!("--rekor-url={}", at.log),
                    format!("--identity-token={}", text(&self.token())),
                ]);
                if cosign.major() > 2 {
                    args.push(format!("--trusted-root={}", text(&self.keyless_root())));
                }
            }
        }
        args.extend(images.iter().cloned());
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let job = self.command(cosign, &args);
        match held.holder {
            Holder::Vault => self.entering(job, at),
            // What cosign 2 is told in variables the other one reads from its trusted root.
            Holder::Fulcio => {
                let Sigstore { rekor, fulcio, .. } = self.sigstore();
                job.env("SIGSTORE_REKOR_PUBLIC_KEY", &text(rekor.public_key()))
                    .env("SIGSTORE_ROOT_FILE", &text(&fulcio.root()))
                    .env(
                        "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
                        &text(fulcio.log_public_key()),
                    )
            }
        }
    }

    /// The same command, which can get into Vault.
    fn entering(&self, job: Job, at: &Addresses) -> Job {
        job.env("VAULT_ADDR", &at.vault)
            .env("VAULT_TOKEN", &self.safe().token)
    }

    fn token(&self) -> PathBuf {
        let (namespace, name) = SERVICE_ACCOUNT;
        let token = self
            .sigstore()
            .issuer
            .service_account_token(namespace, name);
        let path = self.folder.path().join("identity.token");
        fs::write(&path, token).expect("the folder is ours");
        path
    }

    /// A trusted root with the services of the work, and no others.
    fn keyless_root(&self) -> PathBuf {
        let Sigstore { rekor, fulcio, .. } = self.sigstore();
        let services = Services::none().with_rekor_v1(rekor).with_fulcio(fulcio);
        self.write("root-keyless.json", &services.trusted_root())
    }

    /// Panics unless each image has its signature.
    fn verify_held(&self, held: Held, images: &[String], folder: Option<&Path>) {
        let Player::Tekseal(programs) = &self.players[0] else {
            unreachable!("ours is the first");
        };
        if !held.is_stored {
            let folder = folder.expect("ours alone leaves signatures in a folder");
            return self.verify_folder(folder, images.len());
        }
        let run =
            Run::new(programs.join("tekseal-verify")).args(["--only", "signature", "--offline"]);
        let run = match held.holder {
            Holder::Vault => run.arg("--key").arg(&self.safe().public),
            Holder::Fulcio => run
                .args(["--certificate-identity", IDENTITY])
                .arg("--certificate-oidc-issuer")
                .arg(self.sigstore().issuer.cluster())
                .arg("--trusted-root")
                .arg(self.keyless_root()),
        };
        run.args(images).ok();
    }

    /// Panics unless so many payloads of a folder have a signature by the key, as OpenSSL sees it.
    fn verify_folder(&self, folder: &Path, count: usize) {
        let index = fs::read(folder.join("signed.json")).expect("it was signed");
        let index: Vec<Value> = serde_json::from_slice(&index).expect("the index is JSON");
        assert_eq!(index.len(), count, "each payload has a signature");
        for entry in &index {
            let name = |member: &str| folder.join(entry[member].as_str().expect("a name"));
            let binary = folder.join("signature.der");
            Run::new("openssl")
                .args(["base64", "-d", "-A", "-in"])
                .arg(name("signature"))
                .arg("-out")
                .arg(&binary)
                .ok();
            Run::new("openssl")
                .args(["dgst", "-sha256", "-verify"])
                .arg(&self.safe().public)
                .arg("-signature")
                .arg(&binary)
                .arg(name("file"))
                .ok();
        }
    }
}
