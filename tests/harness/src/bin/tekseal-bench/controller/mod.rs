//! The controllers: ours and Tekton Chains', in turn, each beside an API server, etcd and a registry of its own.
//!
//! A row counts only when sampled images verify: a program that marks runs and signs nothing would be the quickest. Where a work has a log, it
//! must have an entry of every signature. Requests are counted in runs of their own, because an audit log and proxies cost time.

mod arena;
mod log;
mod meter;
mod player;
mod task_run;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use self::arena::{Aim, Arena, Build, Counter, Kinds, Marks};
use self::log::{Log, Version};
use self::meter::{Memory, cpu_s};
use self::player::{Player, Program, Programs};
use crate::names::chosen;
use crate::report::Row;

/// Chains' mark on a run, which ours writes too.
const SIGNED: &str = "chains.tekton.dev/signed";

/// What comes after the mark (Events, garbage collection) belongs to the work.
const AFTERWARDS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(30);
/// Time for a program to start and sign its first run.
const FIRST: Duration = Duration::from_secs(120);
/// Time for each run after that; the slowest row takes a fifth of it.
const EACH: Duration = Duration::from_secs(1);
const OTHERS: usize = 10_000;
const SAMPLES: usize = 3;
/// Of a run an image is signed, and the provenance of it.
const SIGNATURES: usize = 2;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// So many completed runs wait when the program starts; what it signs is logged where there is a log.
    Drain {
        runs: usize,
        others: usize,
        log: Option<Version>,
    },
    /// So many runs are made as fast as can be while the program waits.
    Live { runs: usize },
    /// One run at a time.
    Latency { runs: usize },
    /// Nothing.
    Idle,
}

/// Completed runs that wait, and nothing else.
const fn drain(runs: usize, log: Option<Version>) -> Work {
    Work::Drain {
        runs,
        others: 0,
        log,
    }
}

const WORKS: [(&str, Work); 8] = [
    ("drain-200", drain(200, None)),
    ("drain-1000", drain(1000, None)),
    ("live-200", Work::Live { runs: 200 }),
    ("latency", Work::Latency { runs: 30 }),
    ("idle", Work::Idle),
    (
        "held-10000",
        Work::Drain {
            runs: 200,
            others: OTHERS,
            log: None,
        },
    ),
    ("drain-200-rekor-v1", drain(200, Some(Version::V1))),
    ("drain-200-rekor-v2", drain(200, Some(Version::V2))),
];

impl Work {
    fn log(self) -> Option<Version> {
        match self {
            Self::Drain { log, .. } => log,
            Self::Live { .. } | Self::Latency { .. } | Self::Idle => None,
        }
    }

    /// Whether a program can do it; if not, it is told why.
    fn is_for(self, name: &str, program: Program) -> bool {
        let is_possible = self.log() != Some(Version::V2) || program == Program::Tekseal;
        if !is_possible {
            let program = program.name();
            eprintln!(
                "bench: {name} is without {program}: Tekton Chains writes into logs of the first version alone"
            );
        }
        is_possible
    }
}

/// Works whose requests are counted, and for how many runs; the others send the same for each run. Starting a program sends a few more, which
/// belong to the first.
const COUNTED: [(&str, usize); 4] = [
    ("drain-200", 200),
    ("live-200", 50),
    ("drain-200-rekor-v1", 200),
    ("drain-200-rekor-v2", 200),
];

/// Numbers by the name of their metric.
type Numbers = Vec<(&'static str, f64)>;
/// All numbers of a work, program and metric.
type Values = BTreeMap<(&'static str, &'static str, &'static str), Vec<f64>>;

/// What takes part in what.
pub(crate) struct Match {
    works: Vec<(&'static str, Work)>,
    players: Vec<Program>,
    programs: Programs,
}

impl Match {
    /// Chooses works and programs by name; all of them where none is named. Chains is left out, with a word, where it was not built.
    ///
    /// # Errors
    ///
    /// When a name is not known, or a named program is not there.
    pub(crate) fn new(
        works: &[String],
        programs: &[String],
        own: PathBuf,
        chains: Option<PathBuf>,
    ) -> Result<Self, String> {
        let own = own
            .canonicalize()
            .map_err(|e| format!("{}: {e}: run ./build", own.display()))?;
        let all = WORKS.map(|(name, work)| (name, (name, work)));
        let works = chosen("work", &all, works)?;
        let all = Program::ALL.map(|program| (program.name(), program));
        let mut players = chosen("program", &all, programs)?;
        let folders = Programs { own, chains };
        if let Some(missing) = players.iter().find(|player| !folders.has(**player)) {
            let missing = missing.name();
            if !programs.is_empty() || players[0] == Program::Tekseal && missing == "tekseal" {
                return Err(format!("{missing} is not built"));
            }
            eprintln!("bench: warning: {missing} is not built and is left out");
        }
        players.retain(|player| folders.has(*player));
        Ok(Self {
            works,
            players,
            programs: folders,
        })
    }

    /// Measures everything, and prints each number as a line of JSON once it is known.
    pub(crate) fn rows(&self, rounds: usize) -> Vec<Row> {
        let mut values = Values::new();
        let mut note = |work, program: Program, round: usize, numbers: Numbers| {
            for (metric, value) in numbers {
                let program = program.name();
                let line = json!({"work": work, "program": program, "metric": metric, "round": round, "value": value});
                println!("{line}");
                let all = values.entry((work, program, metric)).or_default();
                all.push(value);
            }
        };
        for round in 1..=rounds {
            for &(name, work) in &self.works {
                for turn in 0..self.players.len() {
                    // Each round begins with another one.
                    let program = self.players[(round + turn - 1) % self.players.len()];
                    if !work.is_for(name, program) {
                        continue;
                    }
                    eprintln!(
                        "bench: round {round} of {rounds}: {name}, {}",
                        program.name()
                    );
                    note(name, program, round, self.measure(work, program));
                }
            }
        }
        for (name, runs) in COUNTED {
            let Some(&(_, work)) = self.works.iter().find(|work| work.0 == name) else {
                continue;
            };
            for &program in &self.players {
                if !work.is_for(name, program) {
                    continue;
                }
                eprintln!("bench: counting requests: {name}, {}", program.name());
                note(name, program, 0, self.count(work, program, runs));
            }
        }
        self.in_order(&values)
    }

    fn in_order(&self, values: &Values) -> Vec<Row> {
        let mut rows = Vec::new();
        for (work, _) in &self.works {
            for player in &self.players {
                let of_both = values
                    .iter()
                    .filter(|((w, p, _), _)| w == work && *p == player.name());
                rows.extend(of_both.map(|((_, program, metric), all)| {
                    Row::of(work, program, metric, all.clone())
                }));
            }
        }
        rows
    }

    fn measure(&self, work: Work, program: Program) -> Numbers {
        let arena = Arena::new(Aim::Measure, work.log());
        self.programs.prepare(program, &arena);
        match work {
            Work::Drain { runs, others, .. } => self.drain(&arena, program, runs, others),
            Work::Live { runs } => self.live(&arena, program, runs),
            Work::Latency { runs } => self.latency(&arena, program, runs),
            Work::Idle => self.idle(&arena, program),
        }
    }

    /// Runs wait when the program starts; what it costs to start is counted.
    fn drain(&self, arena: &Arena, program: Program, runs: usize, others: usize) -> Numbers {
        arena.hold_others(others);
        let builds = arena.push("run", runs);
        arena.complete(&builds);
        let mut marks = arena.marks();
        arena.settle(&[]);
        let cost = Cost::begin(arena);
        let start = Instant::now();
        let player = self.programs.start(program, arena);
        let last = wait(&mut marks, runs, &player);
        let numbers = cost.end(&player, runs);
        self.sample(program, arena, &builds);
        let mut all = vec![("runs_per_s", rate(runs, last - start))];
        all.extend(numbers);
        all
    }

    fn live(&self, arena: &Arena, program: Program, runs: usize) -> Numbers {
        let builds = arena.push("run", runs);
        let (player, mut marks) = self.warm_up(arena, program);
        let cost = Cost::of_player(arena, &player);
        let start = Instant::now();
        let (completed, last) = thread::scope(|scope| {
            let load = scope.spawn(|| arena.complete(&builds));
            let last = wait(&mut marks, runs + 1, &player);
            (load.join().expect("the load does not panic"), last)
        });
        let numbers = cost.end(&player, runs);
        self.sample(program, arena, &builds);
        let waited = completed
            .iter()
            .map(|(name, completed)| waited(&marks, name, *completed));
        let mut all = vec![("runs_per_s", rate(runs, last - start))];
        all.extend(latencies(waited.collect()));
        all.extend(numbers);
        all
    }

    fn latency(&self, arena: &Arena, program: Program, runs: usize) -> Numbers {
        let builds = arena.push("run", runs);
        let (player, mut marks) = self.warm_up(arena, program);
        let cost = Cost::of_player(arena, &player);
        let mut all = Vec::new();
        for (number, build) in builds.iter().enumerate() {
            let completed = arena.complete_one(build);
            wait(&mut marks, number + 2, &player);
            all.push(waited(&marks, &build.name, completed));
            thread::sleep(PAUSE);
        }
        let numbers = cost.end(&player, runs);
        self.sample(program, arena, &builds);
        let mut rows = latencies(all);
        rows.extend(numbers);
        rows
    }

    fn idle(&self, arena: &Arena, program: Program) -> Numbers {
        let (player, _) = self.warm_up(arena, program);
        let before = cpu_s(player.id());
        thread::sleep(IDLE);
        let used = cpu_s(player.id()) - before;
        let memory = Memory::of(player.id());
        vec![
            ("idle_cpu_s", used),
            ("peak_mib", memory.peak_mib),
            ("rss_mib", memory.resident_mib),
        ]
    }

    /// Starts a program and has it sign one run, so that it is ready and its key is open.
    fn warm_up(&self, arena: &Arena, program: Program) -> (Player, Marks) {
        let first = arena.push("first", 1);
        let mut marks = arena.marks();
        let player = self.programs.start(program, arena);
        arena.complete(&first);
        wait(&mut marks, 1, &player);
        self.sample(program, arena, &first);
        arena.settle(&[player.id()]);
        (player, marks)
    }

    fn count(&self, work: Work, program: Program, runs: usize) -> Numbers {
        let arena = Arena::new(Aim::Count, work.log());
        self.programs.prepare(program, &arena);
        let builds = arena.push("run", runs);
        let is_live = matches!(work, Work::Live { .. });
        let (counter, player) = if is_live {
            let (player, mut marks) = self.warm_up(&arena, program);
            let counter = arena.count();
            arena.complete(&builds);
            wait(&mut marks, runs + 1, &player);
            (counter, player)
        } else {
            arena.complete(&builds);
            let mut marks = arena.marks();
            let counter = arena.count();
            let player = self.programs.start(program, &arena);
            wait(&mut marks, runs, &player);
            (counter, player)
        };
        thread::sleep(AFTERWARDS);
        drop(player);
        let numbers = told(&counter, program, runs);
        self.sample(program, &arena, &builds);
        numbers
    }

    /// Panics unless some of these builds are really signed, and every one is logged where there is a log.
    fn sample(&self, program: Program, arena: &Arena, builds: &[Build]) {
        let step = (builds.len() - 1) / (SAMPLES - 1);
        let sampled: Vec<_> = builds.iter().step_by(step.max(1)).collect();
        self.programs.verify(program, arena, &sampled);
        let Some(log) = arena.log() else { return };
        let (entries, wanted) = (log.entries(), SIGNATURES * builds.len());
        assert!(
            usize::try_from(entries).is_ok_and(|entries| entries >= wanted),
            "the log has {entries} entries, and {wanted} signatures were made"
        );
    }
}

/// What was used before a measurement.
struct Cost<'a> {
    arena: &'a Arena,
    servers_s: f64,
    log_s: f64,
    player_s: f64,
}

impl<'a> Cost<'a> {
    /// Everything of a program that is yet to be started.
    fn begin(arena: &'a Arena) -> Self {
        Self {
            arena,
            servers_s: arena.cpu_s(),
            log_s: arena.log().map_or(0.0, Log::cpu_s),
            player_s: 0.0,
        }
    }

    /// What a program that runs uses from now on.
    fn of_player(arena: &'a Arena, player: &Player) -> Self {
        Self {
            player_s: cpu_s(player.id()),
            ..Self::begin(arena)
        }
    }

    fn end(self, player: &Player, runs: usize) -> Numbers {
        thread::sleep(AFTERWARDS);
        let memory = Memory::of(player.id());
        let mut all = vec![
            (
                "cpu_s_per_run",
                (cpu_s(player.id()) - self.player_s) / number(runs),
            ),
            ("peak_mib", memory.peak_mib),
            ("rss_mib", memory.resident_mib),
            (
                "others_cpu_s_per_run",
                (self.arena.cpu_s() - self.servers_s) / number(runs),
            ),
        ];
        if let Some(log) = self.arena.log() {
            let used = log.cpu_s() - self.log_s;
            all.push(("log_cpu_s_per_run", used / number(runs)));
        }
        all
    }
}

/// The requests of a program, also by kind, for people.
fn told(counter: &Counter<'_>, program: Program, runs: usize) -> Numbers {
    let sum = |kinds: &Kinds| number(kinds.values().sum::<usize>()) / number(runs);
    let mut all = vec![
        (
            "API server",
            "api_requests",
            counter.of_api(program.agent()),
        ),
        ("registry", "registry_requests", counter.of_registry()),
    ];
    let log = counter.of_log();
    all.extend(log.map(|kinds| ("log", "log_requests", kinds)));
    for (server, _, kinds) in &all {
        let each: Vec<_> = kinds
            .iter()
            .map(|(kind, count)| format!("{kind} {:.2}", number(*count) / number(runs)))
            .collect();
        eprintln!("bench: to the {server} for each run: {}", each.join(", "));
    }
    all.iter()
        .map(|(_, metric, kinds)| (*metric, sum(kinds)))
        .collect()
}

/// # Panics
///
/// With the story of the program, when the runs are not signed in time.
fn wait(marks: &mut Marks, count: usize, player: &Player) -> Instant {
    let time = FIRST + EACH * u32::try_from(count).expect("a few thousand runs");
    let last = marks.wait_for(count, time);
    last.unwrap_or_else(|problem| panic!("{problem}\n{}", player.story()))
}

fn waited(marks: &Marks, name: &str, completed: Instant) -> f64 {
    // The mark may be seen before the thread that wrote the status has its answer.
    let time = marks.seen()[name].saturating_duration_since(completed);
    time.as_secs_f64()
}

fn latencies(mut all: Vec<f64>) -> Numbers {
    all.sort_by(f64::total_cmp);
    let at = |percent: usize| all[((all.len() - 1) * percent).div_ceil(100)];
    vec![("latency_p50_s", at(50)), ("latency_p95_s", at(95))]
}

fn rate(runs: usize, time: Duration) -> f64 {
    number(runs) / time.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand runs")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let all = (1..=30).rev().map(f64::from).collect();
        let [(_, p50), (_, p95)] = latencies(all)[..] else {
            panic!("two numbers");
        };
        assert_eq!((p50, p95), (16.0, 29.0));
    }
}
