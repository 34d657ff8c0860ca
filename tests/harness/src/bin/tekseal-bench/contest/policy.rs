//! Policies: what it costs to judge images by their signature and their provenance, one image and hundreds in one call.
//!
//! ```text
//!   images ──▶ tekseal-policy check                        one call
//!          ──▶ cosign verify, verify-attestation --policy  two calls, each with all images
//!          ──▶ kyverno apply                               one call, a Pod for each image
//! ```
//!
//! The demand is the same: a signature by a key, and provenance v0.2 by one builder. What the others read of it, Rego and a ClusterPolicy,
//! `tekseal-policy render` writes. Nothing is measured of who does not accept an image, or accepts it although another builder is wanted; and in
//! the runs in which requests are counted everybody must have judged every image.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tekseal_harness::{Image, Kyverno, Output, Proxy, Registry, Run, Verdict};
use tempfile::TempDir;

use super::attested::{self, BUILDER, REPOSITORY};
use super::{Contest, DISTANCE, Player, cost_rows, size, text, total};
use crate::measure::{Cost, Job};
use crate::report::Row;

const FOREIGN_BUILDER: &str = "https://builder.example.org/v1";
const LIST: &str = "images.txt";
const PODS: &str = "pods.yaml";
const CLUSTER_POLICY: &str = "policy.yaml";
const REGO: &str = "policy.rego";
/// With which a registry that has nothing to tell answers the API of referrers of OCI 1.1, which docker-registry 2.8 does not have.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How many images are judged in one call.
#[derive(Clone, Copy)]
pub(super) struct Judging {
    pub(super) name: &'static str,
    images: u32,
}

impl Judging {
    /// Whether a call takes seconds: then it fills its caches itself, and there are few rounds of it.
    fn is_long(self) -> bool {
        self.images > 1
    }
}

/// The most rounds of long calls,
const MOST_ROUNDS: usize = 3;
/// and the seconds after which nobody is asked again: such calls hardly differ, and there are minutes of them.
const SLOW: f64 = 10.0;
/// The requests of long calls are counted with so many images: each image has the same.
const COUNTED: u32 = 50;

/// Whether a work is one of [`Judging::ALL`].
pub(crate) fn is_policy(work: &str) -> bool {
    Judging::ALL.iter().any(|judging| judging.name == work)
}

impl Judging {
    pub(super) const ALL: [Self; 2] = [
        Self {
            name: "policy-check",
            images: 1,
        },
        Self {
            name: "policy-500",
            images: 500,
        },
    ];
}

/// The images, and who judges them besides the programs of the other works.
pub(super) struct Policies {
    works: Vec<Judging>,
    images: Vec<Image>,
    public: PathBuf,
    kyverno: Option<Kyverno>,
}

/// Who judges.
enum Judge<'a> {
    Player(&'a Player),
    Kyverno(&'a Kyverno),
}

impl Judge<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Player(player) => player.name(),
            Self::Kyverno(_) => "kyverno",
        }
    }

    fn bytes(&self) -> f64 {
        let program = match self {
            Self::Player(Player::Tekseal(programs)) => programs.join("tekseal-policy"),
            Self::Player(Player::Cosign(_, cosign)) => cosign.program().to_owned(),
            Self::Kyverno(kyverno) => kyverno.program().to_owned(),
        };
        size(&[program])
    }
}

/// Images at one address and the builder that is wanted, in files for every judge.
struct Question {
    folder: TempDir,
    images: Vec<String>,
    builder: &'static str,
}

impl Question {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Policies {
    /// Makes what these works need; nothing where none is about policies.
    ///
    /// # Panics
    ///
    /// When an image cannot be made.
    pub(super) fn prepare(
        works: &[&str],
        programs: &Path,
        registry: &Registry,
        folder: &Path,
        key: &Path,
    ) -> Option<Self> {
        let wanted = Judging::ALL.into_iter();
        let works: Vec<_> = wanted
            .filter(|judging| works.contains(&judging.name))
            .collect();
        let count = works.iter().map(|judging| judging.images).max()?;
        let public = key.with_extension("pub");
        Run::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(key)
            .arg("-out")
            .arg(&public)
            .ok();
        eprintln!("bench: {count} images are signed and attested");
        Some(Self {
            works,
            images: attested::push(programs, registry, folder, key, count),
            public,
            kyverno: Kyverno::find(),
        })
    }

    pub(super) fn print_version(&self) {
        if let Some(kyverno) = &self.kyverno {
            println!("kyverno: {}", kyverno.version());
        }
    }

    fn question(
        &self,
        programs: &Path,
        address: &str,
        judging: Judging,
        builder: &'static str,
    ) -> Question {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let wanted = self.images.iter().take(judging.images as usize);
        let images: Vec<_> = wanted
            .map(|image| format!("{address}/{}@{}", image.repository, image.digest))
            .collect();
        let render = |kind: &str, flags: &[&str]| {
            Run::new(programs.join("tekseal-policy"))
                .args(["render", kind])
                .args(flags)
                .args(["--provenance", "v0.2", "--builder-id", builder])
                .ok()
                .stdout
        };
        let scope = format!("{address}/{REPOSITORY}");
        let scope = ["--key", &text(&self.public), "--images", &scope];
        let files = [
            (LIST, images.join("\n")),
            (PODS, Kyverno::pods(&images)),
            (CLUSTER_POLICY, render("kyverno", &scope)),
            (REGO, render("rego-cosign", &[])),
        ];
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("the folder is ours");
        }
        Question {
            folder,
            images,
            builder,
        }
    }
}

impl Contest {
    /// Measures all works about policies.
    ///
    /// # Panics
    ///
    /// When somebody judges an image wrongly.
    pub(super) fn policy_rows(&self, policies: &Policies, rounds: usize) -> Vec<Row> {
        let players = self.players.iter().map(Judge::Player);
        let kyverno = policies.kyverno.iter().map(Judge::Kyverno);
        let judges: Vec<_> = players.chain(kyverno).collect();
        for judge in &judges {
            self.convince(policies, judge);
        }
        let mut rows = Vec::new();
        for &judging in &policies.works {
            let question = self.ask(policies, self.registry.address(), judging, BUILDER);
            let rounds = match judging.is_long() {
                true => rounds.min(MOST_ROUNDS),
                false => rounds,
            };
            let mut costs: Vec<Vec<Cost>> = judges.iter().map(|_| Vec::new()).collect();
            let mut is_slow = vec![false; judges.len()];
            // The first round fills the caches and does not count.
            for round in usize::from(judging.is_long())..=rounds {
                eprintln!("bench: {}, round {round} of {rounds}", judging.name);
                for turn in 0..judges.len() {
                    let at = (round + turn) % judges.len();
                    if is_slow[at] {
                        continue;
                    }
                    let jobs = self.judging(policies, &judges[at], &question);
                    let spent: Vec<_> = jobs.iter().map(Job::cost).collect();
                    let spent = total(&spent);
                    if round > 0 {
                        costs[at].push(spent.share_of_one(judging.images));
                    }
                    if judging.is_long() {
                        is_slow[at] = spent.wall_s > SLOW;
                        let (name, wall) = (judges[at].name(), spent.wall_s);
                        let again = match is_slow[at] {
                            true => "; not again",
                            false => "",
                        };
                        eprintln!("bench: {}, {name}: {wall:.1} s{again}", judging.name);
                    }
                }
            }
            for (judge, costs) in judges.iter().zip(&costs) {
                rows.extend(cost_rows(judging.name, judge.name(), costs));
                rows.extend(self.judging_requests(policies, judging, judge));
                let bytes = vec![judge.bytes()];
                rows.push(Row::of(judging.name, judge.name(), "bytes", bytes));
            }
        }
        rows
    }

    /// Panics unless the judge accepts an image, and refuses it where another builder is wanted.
    fn convince(&self, policies: &Policies, judge: &Judge<'_>) {
        let [one, _] = Judging::ALL;
        let address = self.registry.address();
        let right = self.ask(policies, address, one, BUILDER);
        self.accept(policies, judge, &right);
        let wrong = self.ask(policies, address, one, FOREIGN_BUILDER);
        let verdict = self.verdict(policies, judge, &wrong);
        assert!(
            matches!(verdict, Verdict::Refused(_)),
            "{} accepts a foreign builder",
            judge.name()
        );
    }

    fn accept(&self, policies: &Policies, judge: &Judge<'_>, question: &Question) {
        let verdict = self.verdict(policies, judge, question);
        assert!(
            verdict == Verdict::Accepted,
            "{} does not accept {}…: {verdict:?}",
            judge.name(),
            question.images[0]
        );
    }

    fn ask(
        &self,
        policies: &Policies,
        address: &str,
        judging: Judging,
        builder: &'static str,
    ) -> Question {
        let Player::Tekseal(programs) = &self.players[0] else {
            unreachable!("ours is the first");
        };
        policies.question(programs, address, judging, builder)
    }

    fn verdict(&self, policies: &Policies, judge: &Judge<'_>, question: &Question) -> Verdict {
        if let Judge::Kyverno(kyverno) = judge {
            return kyverno.judge_all(&question.file(CLUSTER_POLICY), &question.images);
        }
        let jobs = self.judging(policies, judge, question);
        let said = jobs.iter().map(Job::said);
        let mut refusals = said.filter(|said| said.code() != Some(0));
        let reason = |said: Output| {
            // Of what it would have liked to ask, and did without, cosign warns.
            let lines = said.stderr.lines();
            let lines = lines.filter(|line| !line.starts_with("WARNING: "));
            lines.collect::<Vec<_>>().join("\n")
        };
        refusals
            .next()
            .map_or(Verdict::Accepted, |said| Verdict::refused(reason(said)))
    }

    /// Counts the requests of one call, through a proxy before the registry as it is and, for one image, also as OCI 1.1 has it.
    fn judging_requests(
        &self,
        policies: &Policies,
        judging: Judging,
        judge: &Judge<'_>,
    ) -> Vec<Row> {
        let counted = Judging {
            images: judging.images.min(COUNTED),
            ..judging
        };
        let through = |proxy: &Proxy, delay: Duration| {
            let question = self.ask(policies, proxy.address(), counted, BUILDER);
            proxy.delay_each(delay);
            self.accept(policies, judge, &question);
        };
        #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
        let row = |metric, count: usize, of: u32| {
            let share = count as f64 / f64::from(of);
            Row::of(judging.name, judge.name(), metric, vec![share])
        };
        let proxy = Proxy::start(self.registry.back_door());
        if judging.is_long() {
            through(&proxy, Duration::ZERO);
            return vec![
                row("requests", proxy.count(), counted.images),
                row("connections", proxy.connections(), 1),
            ];
        }
        through(&proxy, DISTANCE);
        let modern = Proxy::start(self.registry.back_door());
        let nothing = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
        modern
            .on("GET", "/referrers/")
            .answer(200, &[("Content-Type", INDEX)], nothing.as_bytes());
        through(&modern, Duration::ZERO);
        vec![
            row("requests", proxy.count(), 1),
            row("requests_oci_1_1", modern.count(), 1),
            row("round_trips", proxy.sequential_latencies(), 1),
            row("connections", proxy.connections(), 1),
        ]
    }

    /// What answers the question: a job for each program that has to run.
    fn judging(&self, policies: &Policies, judge: &Judge<'_>, question: &Question) -> Vec<Job> {
        let public = text(&policies.public);
        let images = question.images.iter().map(String::as_str);
        match judge {
            Judge::Player(Player::Tekseal(programs)) => {
                let list = text(&question.file(LIST));
                let mut args = vec!["check", "--key", &public, "--provenance", "v0.2"];
                args.extend(["--builder-id", question.builder]);
                match &question.images[..] {
                    [image] => args.push(image),
                    _ => args.extend(["--images", &list, "--concurrency", "8"]),
                }
                vec![Job::new(&programs.join("tekseal-policy"), args)]
            }
            Judge::Player(Player::Cosign(_, cosign)) => {
                let rego = text(&question.file(REGO));
                let signed = ["verify"];
                let attested = [
                    "verify-attestation",
                    "--type",
                    "slsaprovenance",
                    "--policy",
                    &rego,
                ];
                let job = |command: &[&str]| {
                    let mut args = command.to_vec();
                    args.extend(["--insecure-ignore-tlog=true", "--key", &public]);
                    args.extend(images.clone());
                    self.command(cosign, &args)
                };
                vec![job(&signed), job(&attested)]
            }
            Judge::Kyverno(kyverno) => {
                let (policy, pods) = (question.file(CLUSTER_POLICY), question.file(PODS));
                let args = Kyverno::arguments(&policy, &pods);
                let args = args.iter().map(|arg| arg.to_string_lossy());
                let job = Job::new(kyverno.program(), args).env("HOME", &text(self.folder.path()));
                let env = Kyverno::environment();
                let job = env
                    .iter()
                    .fold(job, |job, (name, value)| job.env(name, value));
                vec![job]
            }
        }
    }
}
