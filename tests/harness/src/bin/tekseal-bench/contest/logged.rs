//! Signatures with witnesses: beside the registry a transparency log gets each, and where the work says so an authority stamps its time.
//!
//! ```text
//!   program ──▶ registry      the signature, under a tag or in a bundle
//!           ──▶ Rekor v1, v2  an entry of it
//!           ──▶ authority     when that was (RFC 3161)
//! ```
//!
//! A program's cost counts only when our verifier has found the entry, and the time, beside the signature, without asking anybody but the
//! registry. Requests are counted through a proxy before each server, and round trips over all of them together.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tekseal_harness::{
    Cosign, Proxy, RekorV2, Run, Seen, Services, Sigstore, TimestampAuthority, sequential_latencies,
};

use super::{Contest, DISTANCE, Player, text, total};
use crate::measure::{Cost, Job};
use crate::report::Row;

/// Which log gets an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// Its promise to take the entry in stands beside the signature under the tag, as cosign 2 has it.
    RekorV1,
    /// Its entry is in the bundle, as cosign 3 has it.
    RekorV2,
}

/// How an image is signed with witnesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) name: &'static str,
    log: Log,
    is_stamped: bool,
}

/// Whether a work is one of [`Logged::ALL`].
pub(crate) fn is_logged(work: &str) -> bool {
    Logged::of_name(work).is_some()
}

impl Logged {
    pub(super) const ALL: [Self; 3] = [
        Self {
            name: "sign-logged-v1",
            log: Log::RekorV1,
            is_stamped: false,
        },
        Self {
            name: "sign-logged-v2",
            log: Log::RekorV2,
            is_stamped: false,
        },
        Self {
            name: "sign-logged-v2-stamped",
            log: Log::RekorV2,
            is_stamped: true,
        },
    ];

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|logged| logged.name == name)
    }
}

/// The running services.
pub(super) struct Witnesses {
    pub(super) sigstore: Option<Sigstore>,
    rekor_v2: Option<RekorV2>,
    authority: Option<TimestampAuthority>,
}

/// Where a program is told that the services are: URLs.
struct Addresses {
    log: String,
    authority: Option<String>,
}

impl Witnesses {
    /// Starts what these works need; what has a database also where others want it.
    ///
    /// # Panics
    ///
    /// When it is not built, or does not come up.
    pub(super) fn start(works: &[&str], is_sigstore_wanted: bool) -> Self {
        let wanted: Vec<_> = Logged::ALL
            .into_iter()
            .filter(|logged| works.contains(&logged.name))
            .collect();
        let needs = |log| wanted.iter().any(|logged| logged.log == log);
        Self {
            sigstore: (is_sigstore_wanted || needs(Log::RekorV1))
                .then(|| Sigstore::start().expect("tests/peers --sigstore was run")),
            rekor_v2: needs(Log::RekorV2)
                .then(|| RekorV2::start().expect("tests/peers --sigstore-basic was run")),
            authority: wanted.iter().any(|logged| logged.is_stamped).then(|| {
                TimestampAuthority::start().expect("tests/peers --sigstore-basic was run")
            }),
        }
    }

    fn rekor_v1(&self) -> &tekseal_harness::RekorV1 {
        &self.sigstore.as_ref().expect("a work needs it").rekor
    }

    fn rekor_v2(&self) -> &RekorV2 {
        self.rekor_v2.as_ref().expect("a work needs it")
    }

    fn authority(&self, logged: Logged) -> Option<&TimestampAuthority> {
        let authority = || self.authority.as_ref().expect("a work needs it");
        logged.is_stamped.then(authority)
    }

    /// `host:port` of the log.
    fn log(&self, logged: Logged) -> &str {
        match logged.log {
            Log::RekorV1 => self.rekor_v1().address(),
            Log::RekorV2 => self.rekor_v2().address(),
        }
    }

    /// The services of a work, and no others.
    fn services(&self, logged: Logged) -> Services<'_> {
        let services = match logged.log {
            Log::RekorV1 => Services::none().with_rekor_v1(self.rekor_v1()),
            Log::RekorV2 => Services::none().with_rekor_v2(self.rekor_v2()),
        };
        match self.authority(logged) {
            Some(authority) => services.with_timestamps(authority),
            None => services,
        }
    }

    /// Where the services are themselves.
    fn direct(&self, logged: Logged) -> Addresses {
        Addresses {
            log: format!("http://{}", self.log(logged)),
            authority: self.authority(logged).map(TimestampAuthority::url),
        }
    }

    /// A signing configuration with the services of a work where `at` says.
    fn signing_config(&self, logged: Logged, at: &Addresses) -> Value {
        let direct = self.direct(logged);
        let quoted = |url: &String| format!("\"{url}\"");
        let config = self.services(logged).signing_config().to_string();
        let mut config = config.replace(&quoted(&direct.log), &quoted(&at.log));
        if let (Some(from), Some(to)) = (&direct.authority, &at.authority) {
            config = config.replace(&quoted(from), &quoted(to));
        }
        serde_json::from_str(&config).expect("a URL has nothing that JSON quotes")
    }
}

impl Contest {
    /// What one signature costs a program; nothing where it cannot be had of it.
    ///
    /// # Panics
    ///
    /// When our verifier does not find what should be there.
    pub(super) fn sign_logged(&self, player: &Player, logged: Logged) -> Option<Cost> {
        let image = self.fresh().reference;
        let at = self.witnesses.direct(logged);
        let jobs = self.logging(player, logged, &image, &at)?;
        let costs: Vec<_> = jobs.iter().map(Job::cost).collect();
        self.verify_logged(logged, &image);
        Some(total(&costs))
    }

    /// Counts the requests of one signature.
    pub(super) fn requests_logged(&self, player: &Player, logged: Logged) -> Vec<Row> {
        let registry = Proxy::start(self.registry.back_door());
        let log = Proxy::start(self.witnesses.log(logged));
        let behind = self.witnesses.authority(logged);
        let authority = behind.map(|behind| (behind, Proxy::start(behind.address())));
        let through = |(behind, proxy): &(&TimestampAuthority, Proxy)| {
            behind.url().replace(behind.address(), proxy.address())
        };
        let at = Addresses {
            log: format!("http://{}", log.address()),
            authority: authority.as_ref().map(through),
        };
        let image = registry.reference(&self.fresh());
        let Some(jobs) = self.logging(player, logged, &image, &at) else {
            return Vec::new();
        };
        let mut proxies = vec![("registry_requests", &registry), ("log_requests", &log)];
        proxies.extend(
            authority
                .iter()
                .map(|(_, proxy)| ("authority_requests", proxy)),
        );
        for (_, proxy) in &proxies {
            proxy.delay_each(DISTANCE);
        }
        for job in &jobs {
            job.cost();
        }
        let seen: Vec<(_, Vec<Seen>, _)> = proxies
            .iter()
            .map(|(metric, proxy)| (*metric, proxy.seen(), proxy.connections()))
            .collect();
        self.verify_logged(logged, &image);
        let all: Vec<_> = seen.iter().flat_map(|(_, seen, _)| seen.clone()).collect();
        #[expect(clippy::cast_precision_loss, reason = "a few requests")]
        let row =
            |metric, count: usize| Row::of(logged.name, player.name(), metric, vec![count as f64]);
        let mut rows = vec![
            row("requests", all.len()),
            row("round_trips", sequential_latencies(&all)),
            row("connections", seen.iter().map(|(.., count)| count).sum()),
        ];
        rows.extend(seen.iter().map(|(metric, seen, _)| row(metric, seen.len())));
        rows
    }

    /// What puts one witnessed signature of `image` onto the registry; nothing where the program cannot do that.
    fn logging(
        &self,
        player: &Player,
        logged: Logged,
        image: &str,
        at: &Addresses,
    ) -> Option<Vec<Job>> {
        match player {
            Player::Tekseal(programs) => {
                let root = text(&self.trusted_root(logged));
                let (layout, version) = match logged.log {
                    Log::RekorV1 => ("tags", "v1"),
                    Log::RekorV2 => ("bundle", "v2"),
                };
                let mut flags = vec!["--layout", layout, "--tlog", version];
                flags.extend(["--rekor-url", &at.log, "--trusted-root", &root]);
                flags.extend(at.authority.iter().flat_map(|url| ["--timestamp-url", url]));
                Some(self.sign_and_upload(programs, image, &self.key, &flags))
            }
            Player::Cosign(_, cosign) => {
                let key = text(&self.key);
                let mut args = vec!["sign", "--yes", "--key", &key];
                let files = self.trust(cosign, logged, at)?;
                args.extend(files.iter().map(String::as_str));
                args.push(image);
                let job = self.command(cosign, &args);
                Some(vec![self.with_keys(job, cosign, logged)])
            }
        }
    }

    /// The flags that tell a cosign which services it shall use and believe; nothing where it cannot use them.
    fn trust(&self, cosign: &Cosign, logged: Logged, at: &Addresses) -> Option<Vec<String>> {
        let flags = match (cosign.major(), logged.log) {
            (2, Log::RekorV1) => vec![format!("--rekor-url={}", at.log)],
            // It sends a log of the second version what that takes no more.
            (2, Log::RekorV2) => return None,
            (_, Log::RekorV1) => vec![
                format!("--rekor-url={}", at.log),
                "--use-signing-config=false".to_owned(),
                "--new-bundle-format=false".to_owned(),
                format!("--trusted-root={}", text(&self.trusted_root(logged))),
            ],
            (_, Log::RekorV2) => {
                let config = self.witnesses.signing_config(logged, at);
                let config = self.write("config.json", &config);
                vec![
                    format!("--signing-config={}", text(&config)),
                    format!("--trusted-root={}", text(&self.trusted_root(logged))),
                ]
            }
        };
        Some(flags)
    }

    /// cosign 2 reads no trusted root where it writes no bundle: files that variables name tell it whom it believes.
    fn with_keys(&self, job: Job, cosign: &Cosign, logged: Logged) -> Job {
        if cosign.major() > 2 || logged.log == Log::RekorV2 {
            return job;
        }
        let sigstore = self.witnesses.sigstore.as_ref().expect("a work needs it");
        job.env(
            "SIGSTORE_REKOR_PUBLIC_KEY",
            &text(sigstore.rekor.public_key()),
        )
        .env("SIGSTORE_ROOT_FILE", &text(&sigstore.fulcio.root()))
        .env(
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
            &text(sigstore.fulcio.log_public_key()),
        )
    }

    /// Panics unless the signature of `image` has its entry, and its time, beside it.
    fn verify_logged(&self, logged: Logged, image: &str) {
        let Player::Tekseal(programs) = &self.players[0] else {
            unreachable!("ours is the first");
        };
        let mut run = Run::new(programs.join("tekseal-verify"))
            .args(["--only", "signature", "--offline", "--key"])
            .arg(self.key.with_extension("pub"))
            .arg("--trusted-root")
            .arg(self.trusted_root(logged));
        if logged.is_stamped {
            run = run.arg("--use-signed-timestamps");
        }
        run.arg(image).ok();
    }

    /// A trusted root with the services of a work alone, so that no other entry and no other time would do.
    fn trusted_root(&self, logged: Logged) -> PathBuf {
        let root = self.witnesses.services(logged).trusted_root();
        self.write(&format!("root-{}.json", logged.name), &root)
    }

    pub(super) fn write(&self, name: &str, json: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, json.to_string()).expect("the folder is ours");
        path
    }
}
