//! The contest: what each program has to do, and everything it needs for that.
//!
//! Timed runs talk to the registry directly, one program after another within each round, each round beginning with another one. The
//! requests are counted in runs of their own, through a proxy that answers late, so that requests sent together are seen to overlap.
//! Every signature is put on an image of its own, so that no program finds the work of another.

mod attested;
mod held;
mod logged;
mod payloads;
mod policy;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tekseal_harness::{Cosign, Image, Proxy, Registry, Run, cosign, fixtures};
use tempfile::TempDir;

use self::held::{Held, Safe};
use self::logged::{Logged, Witnesses};
use self::policy::{Judging, Policies};
use crate::measure::{Cost, Job};
use crate::names::chosen;
use crate::report::{self, Row};

pub(crate) use self::held::is_held;
pub(crate) use self::logged::is_logged;
pub(crate) use self::policy::is_policy;

/// What is measured without logs, keys of others and policies, in the order of the table.
const WORKS: [&str; 9] = [
    "sign",
    "sign-plain",
    "sign-only",
    "sign-only-plain",
    "upload-only",
    "verify",
    "verify-offline",
    "start",
    "public-key",
];

const PASSWORD: &str = "benchmark";
const REPOSITORY: &str = "bench/app";
/// Long against the time that a program needs between two requests.
const DISTANCE: Duration = Duration::from_millis(60);

/// A program that takes part.
enum Player {
    Tekseal(PathBuf),
    Cosign(&'static str, Cosign),
}

/// Measured costs, by work and program.
type Costs = BTreeMap<(&'static str, &'static str), Vec<Cost>>;

/// Everything that is ready before the first measurement.
pub(crate) struct Contest {
    folder: TempDir,
    registry: Registry,
    works: Vec<&'static str>,
    witnesses: Witnesses,
    safe: Option<Safe>,
    policies: Option<Policies>,
    players: Vec<Player>,
    key: PathBuf,
    plain: PathBuf,
    /// The image that has one signature, for verification.
    signed: Image,
    images: Cell<usize>,
}

impl Player {
    fn name(&self) -> &'static str {
        match self {
            Self::Tekseal(_) => "tekseal",
            Self::Cosign(name, _) => name,
        }
    }
}

impl Contest {
    /// Makes keys, a registry, and what the chosen works want besides (all of them where none is named), and signs the image to be verified with
    /// the first cosign there is, else with our own programs.
    ///
    /// # Errors
    ///
    /// When a name is not known.
    ///
    /// # Panics
    ///
    /// When a program is missing or fails.
    pub(crate) fn prepare(programs: &Path, works: &[String]) -> Result<Self, String> {
        let known = WORKS
            .into_iter()
            .chain(Logged::ALL.map(|logged| logged.name))
            .chain(Held::ALL.map(|held| held.name))
            .chain(Judging::ALL.map(|judging| judging.name));
        let known: Vec<_> = known.map(|name| (name, name)).collect();
        let works = chosen("work", &known, works)?;
        let programs = programs
            .canonicalize()
            .unwrap_or_else(|e| panic!("{}: {e}: run ./build", programs.display()));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = folder.path().join("bench.key");
        let plain = folder.path().join("plain.pem");
        Run::new(programs.join("tekseal-keygen"))
            .arg("--output-key-prefix")
            .arg(folder.path().join("bench"))
            .env("COSIGN_PASSWORD", PASSWORD)
            .ok();
        Run::new("openssl")
            .args([
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-out",
            ])
            .arg(&plain)
            .ok();
        let registry = Registry::start();
        let policies = Policies::prepare(&works, &programs, &registry, folder.path(), &plain);
        let mut players = vec![Player::Tekseal(programs)];
        for (name, version) in [("cosign2", "2.6.5"), ("cosign3", "3.1.3")] {
            players.extend(cosign(version).map(|cosign| Player::Cosign(name, cosign)));
        }
        let signed = registry.push_image(REPOSITORY, "verified");
        let contest = Self {
            witnesses: Witnesses::start(&works, Held::need_sigstore(&works)),
            safe: Safe::open(&works, folder.path()),
            policies,
            works,
            folder,
            registry,
            players,
            key,
            plain,
            signed,
            images: Cell::new(0),
        };
        let signer = contest.players.get(1).unwrap_or(&contest.players[0]);
        for job in contest.sign(signer, &contest.signed.reference, &contest.key) {
            job.cost();
        }
        Ok(contest)
    }

    /// Prints the version of each program.
    pub(crate) fn print_versions(&self) {
        for player in &self.players {
            match player {
                Player::Tekseal(folder) => {
                    let out = Run::new(folder.join("tekseal-sign")).arg("--version").ok();
                    println!("tekseal: {}", out.stdout.lines().next().unwrap_or_default());
                }
                Player::Cosign(name, cosign) => println!("{name}: {}", cosign.version()),
            }
        }
        if let Some(policies) = &self.policies {
            policies.print_version();
        }
    }

    /// Measures everything.
    pub(crate) fn rows(&self, rounds: usize) -> Vec<Row> {
        let mut costs = Costs::new();
        let is_other = |work: &&&str| !is_policy(work) && !is_held(work);
        let has_others = self.works.iter().any(|work| is_other(&work));
        // The first round fills the caches and does not count.
        for round in (0..=rounds).filter(|_| has_others) {
            eprintln!("bench: round {round} of {rounds}");
            let mut measured = Costs::new();
            for turn in 0..self.players.len() {
                self.round(
                    &self.players[(round + turn) % self.players.len()],
                    &mut measured,
                );
            }
            if round > 0 {
                for (place, mut cost) in measured {
                    costs.entry(place).or_default().append(&mut cost);
                }
            }
        }
        let mut rows = Vec::new();
        for &work in &self.works {
            for player in &self.players {
                let Some(costs) = costs.get(&(work, player.name())) else {
                    continue;
                };
                rows.extend(cost_rows(work, player.name(), costs));
                rows.extend(self.requests(player, work));
                rows.push(Row::of(
                    work,
                    player.name(),
                    "bytes",
                    vec![self.bytes(player, work)],
                ));
            }
        }
        // What opening the encrypted key costs.
        report::add_difference(&mut rows, "derive", ("sign-only", "sign-only-plain"));
        rows.extend(self.held_rows(rounds));
        if let Some(policies) = &self.policies {
            rows.extend(self.policy_rows(policies, rounds));
        }
        rows
    }

    /// Everything that is wanted, once by one player.
    fn round(&self, player: &Player, costs: &mut Costs) {
        let wants = |works: &[&str]| self.works.iter().any(|work| works.contains(work));
        let mut note = |work, cost| {
            if wants(&[work]) {
                costs.entry((work, player.name())).or_default().push(cost);
            }
        };
        let sign = |key| {
            let jobs = self.sign(player, &self.fresh().reference, key);
            jobs.iter().map(Job::cost).collect::<Vec<_>>()
        };
        if wants(&["sign", "sign-only", "upload-only"]) {
            let signed = sign(&self.key);
            note("sign", total(&signed));
            if let [only, upload] = signed[..] {
                note("sign-only", only);
                note("upload-only", upload);
            }
        }
        if wants(&["verify"]) {
            note("verify", self.verify(player, &self.signed.reference).cost());
        }
        if wants(&["verify-offline"]) {
            note("verify-offline", offline(player).cost());
        }
        if wants(&["start"]) {
            note("start", start(player).cost());
        }
        match player {
            Player::Tekseal(_) if wants(&["sign-plain", "sign-only-plain"]) => {
                let plain = sign(&self.plain);
                note("sign-plain", total(&plain));
                note("sign-only-plain", plain[0]);
            }
            Player::Cosign(_, cosign) if wants(&["public-key"]) => note(
                "public-key",
                self.command(cosign, &["public-key", "--key", &text(&self.key)])
                    .cost(),
            ),
            Player::Tekseal(_) | Player::Cosign(..) => {}
        }
        for logged in Logged::ALL {
            if wants(&[logged.name])
                && let Some(cost) = self.sign_logged(player, logged)
            {
                note(logged.name, cost);
            }
        }
    }

    /// Counts the requests of one piece of work; nothing for work without a registry.
    fn requests(&self, player: &Player, work: &'static str) -> Vec<Row> {
        if let Some(logged) = Logged::of_name(work) {
            return self.requests_logged(player, logged);
        }
        let key = if work.ends_with("plain") {
            &self.plain
        } else {
            &self.key
        };
        let proxy = Proxy::start(self.registry.back_door());
        let jobs = match work {
            // tekseal-sign talks to nobody, so these are the requests of tekseal-upload alone.
            "sign" | "sign-plain" | "upload-only" => {
                self.sign(player, &proxy.reference(&self.fresh()), key)
            }
            "verify" => vec![self.verify(player, &proxy.reference(&self.signed))],
            _ => return Vec::new(),
        };
        proxy.delay_each(DISTANCE);
        for job in &jobs {
            job.cost();
        }
        #[expect(clippy::cast_precision_loss, reason = "a few requests")]
        let row = |metric, count: usize| Row::of(work, player.name(), metric, vec![count as f64]);
        vec![
            row("requests", proxy.count()),
            row("round_trips", proxy.sequential_latencies()),
            row("connections", proxy.connections()),
        ]
    }

    /// The size of the programs that the work needs.
    fn bytes(&self, player: &Player, work: &str) -> f64 {
        let files = match (player, work) {
            (Player::Cosign(_, cosign), _) => vec![cosign.program().to_owned()],
            (Player::Tekseal(folder), work)
                if is_logged(work) || ["sign", "sign-plain"].contains(&work) =>
            {
                vec![folder.join("tekseal-sign"), folder.join("tekseal-upload")]
            }
            (Player::Tekseal(folder), "upload-only") => vec![folder.join("tekseal-upload")],
            (Player::Tekseal(folder), "verify" | "verify-offline") => {
                vec![folder.join("tekseal-verify")]
            }
            (Player::Tekseal(folder), _) => vec![folder.join("tekseal-sign")],
        };
        size(&files)
    }

    fn fresh(&self) -> Image {
        self.images.set(self.images.get() + 1);
        self.registry
            .push_image(REPOSITORY, &format!("n{}", self.images.get()))
    }

    /// What puts one signature of `image` onto the registry: a job for each program that has to run.
    fn sign(&self, player: &Player, image: &str, key: &Path) -> Vec<Job> {
        match player {
            Player::Tekseal(programs) => self.sign_and_upload(programs, image, key, &[]),
            Player::Cosign(name, cosign) => {
                let mut args = vec!["sign", "--yes", "--tlog-upload=false"];
                if *name == "cosign3" {
                    args.extend(["--use-signing-config=false", "--new-bundle-format=false"]);
                }
                let key = text(key);
                args.extend(["--key", &key, image]);
                vec![self.command(cosign, &args)]
            }
        }
    }

    /// Our two programs, the second one with these flags.
    fn sign_and_upload(
        &self,
        programs: &Path,
        image: &str,
        key: &Path,
        flags: &[&str],
    ) -> Vec<Job> {
        let folder = text(&self.payload(programs, image));
        let sign = Job::new(
            &programs.join("tekseal-sign"),
            ["--key", &text(key), &folder],
        )
        .env("COSIGN_PASSWORD", PASSWORD);
        let flags = flags.iter().copied().chain([folder.as_str()]);
        vec![sign, Job::new(&programs.join("tekseal-upload"), flags)]
    }

    fn verify(&self, player: &Player, image: &str) -> Job {
        let public = text(&self.key.with_extension("pub"));
        match player {
            Player::Tekseal(programs) => Job::new(
                &programs.join("tekseal-verify"),
                ["--only", "signature", "--key", &public, image],
            ),
            Player::Cosign(_, cosign) => self.command(
                cosign,
                &[
                    "verify",
                    "--insecure-ignore-tlog=true",
                    "--key",
                    &public,
                    image,
                ],
            ),
        }
    }

    /// A cosign command that finds neither settings nor logins.
    fn command(&self, cosign: &Cosign, args: &[&str]) -> Job {
        let home = text(self.folder.path());
        Job::new(cosign.program(), args)
            .env("HOME", &home)
            .env("TUF_ROOT", &format!("{home}/tuf"))
            .env("COSIGN_PASSWORD", PASSWORD)
    }
}

/// Verifies a recorded provenance in a bundle, with its entry of a log, and asks nobody. cosign is given the image's manifest as the file that was
/// attested.
fn offline(player: &Player) -> Job {
    const CASE: &str = "attest-v3-bundle-rekor1";
    const BUNDLE: &str = "e408d063ee0b289a824ead3cd03d2073a1cd703654a1c063b04713887a697242";
    const IMAGE: &str = "3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";
    let samples = fixtures().join("cosign-samples");
    let key = text(&samples.join("keys/a.pub"));
    let root = text(&samples.join("keys/trusted_root.json"));
    let bundle = text(&samples.join(CASE).join("blobs").join(BUNDLE));
    let given = [
        "--key",
        &key,
        "--trusted-root",
        &root,
        "--bundle",
        &bundle,
        "--type",
        "slsaprovenance1",
    ];
    match player {
        Player::Tekseal(programs) => {
            let image = format!("registry.invalid/app@sha256:{IMAGE}");
            let own = ["--offline", "--only", "attestation"];
            let args = own.into_iter().chain(given).chain([image.as_str()]);
            Job::new(&programs.join("tekseal-verify"), args)
        }
        Player::Cosign(_, cosign) => {
            let manifest = samples.join(CASE).join(format!("manifests/{IMAGE}.json"));
            let manifest = text(&manifest);
            let own = ["verify-blob-attestation", "--new-bundle-format=true"];
            let args = own.into_iter().chain(given).chain([manifest.as_str()]);
            Job::new(cosign.program(), args).env("HOME", "/nonexistent")
        }
    }
}

fn start(player: &Player) -> Job {
    match player {
        Player::Tekseal(programs) => Job::new(&programs.join("tekseal-sign"), ["--version"]),
        Player::Cosign(_, cosign) => {
            Job::new(cosign.program(), ["version"]).env("HOME", "/nonexistent")
        }
    }
}

/// What the runs of a program cost.
fn cost_rows(work: &'static str, program: &'static str, costs: &[Cost]) -> Vec<Row> {
    let row = |metric, pick: fn(&Cost) -> f64| {
        Row::of(work, program, metric, costs.iter().map(pick).collect())
    };
    vec![
        row("wall_s", |cost| cost.wall_s),
        row("cpu_s", |cost| cost.cpu_s),
        row("peak_mib", |cost| cost.peak_mib),
    ]
}

/// The bytes of these files together.
fn size(files: &[PathBuf]) -> f64 {
    let sizes = files.iter().map(fs::metadata);
    let size: u64 = sizes.map(|data| data.map_or(0, |data| data.len())).sum();
    #[expect(
        clippy::cast_precision_loss,
        reason = "programs are smaller than 2^53 bytes"
    )]
    let size = size as f64;
    size
}

fn total(costs: &[Cost]) -> Cost {
    costs
        .iter()
        .fold(Cost::default(), |sum, cost| sum.then(*cost))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
