//! Several controllers of which one works: each run is signed exactly once, whoever ends in whatever way.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{Proxy, Request, Run, Running, lasting_port, request};

use super::stand::{CONTROLLER, OCI, SIGNED, Stand, annotation, is_signed_once, results_at, time};

/// From the end of a leader to the next run that is signed.
const FAIL_OVER: Duration = Duration::from_secs(20);
/// From a leader's orderly end; a Lease that is not given back holds for 12 s.
const HAND_OVER: Duration = Duration::from_secs(10);
const BEGUN: Duration = Duration::from_secs(60);

/// A controller that stands for election, and whose figures can be read.
pub(super) struct Replica {
    process: Running,
    address: String,
}

impl Replica {
    /// Starts this build of the controller.
    pub(super) fn start(stand: &Stand, controller: Run) -> Self {
        let address = format!("127.0.0.1:{}", lasting_port());
        let process = stand
            .watching(controller)
            .args(["--listen", &address])
            .start();
        Self { process, address }
    }

    /// Starts a replica and waits until it leads.
    #[track_caller]
    pub(super) fn leading(stand: &Stand, controller: Run) -> Self {
        Self::start(stand, controller).until("tekseal_leader 1")
    }

    /// Starts a replica and waits until it is ready while another one leads.
    #[track_caller]
    pub(super) fn standing_by(stand: &Stand, controller: Run) -> Self {
        let replica = Self::start(stand, controller).until("tekseal_leader 0");
        let deadline = Instant::now() + BEGUN;
        while replica.get("/readyz").is_none() {
            assert!(Instant::now() < deadline, "it is not ready");
            sleep(Duration::from_millis(20));
        }
        assert!(!replica.leads(), "another one leads");
        replica
    }

    pub(super) fn leads(&self) -> bool {
        self.says("tekseal_leader 1")
    }

    /// Ends it as a node ends that loses its power.
    pub(super) fn kill(self) -> String {
        self.end("KILL").1
    }

    /// Ends it with a signal; gives its exit status and what it said.
    pub(super) fn end(self, signal: &str) -> (Option<i32>, String) {
        self.process.signal(signal);
        let out = self.process.wait();
        (out.code(), out.stderr)
    }

    fn says(&self, line: &str) -> bool {
        let figures = self.get("/metrics").unwrap_or_default();
        figures.lines().any(|figure| figure == line)
    }

    #[track_caller]
    pub(super) fn until(self, line: &str) -> Self {
        let deadline = Instant::now() + BEGUN;
        while !self.says(line) {
            if Instant::now() >= deadline {
                panic!("not {line}\n{}", self.kill());
            }
            sleep(Duration::from_millis(20));
        }
        self
    }

    /// What is there, if it is and all is well.
    fn get(&self, path: &str) -> Option<String> {
        let answer = request(&self.address, &Request::new("GET", path)).ok()?;
        (answer.status == 200).then(|| answer.text())
    }
}

/// Waits until another run is signed than those that were when the leader had ended, and gives how long that took.
#[track_caller]
pub(super) fn next_is_signed(stand: &Stand, limit: Duration, ended: Instant) -> Duration {
    // What it had sent may arrive after its end.
    sleep(Duration::from_millis(500));
    let before = stand.marked().len();
    while stand.marked().len() == before {
        let took = ended.elapsed();
        assert!(took < limit, "nothing was signed within {limit:?}");
        sleep(Duration::from_millis(20));
    }
    ended.elapsed()
}

/// Runs and their images, a second's work for each few of them, in a registry that is far away.
struct Backlog<'a> {
    stand: &'a Stand,
    runs: Vec<(Value, String, String)>,
}

impl<'a> Backlog<'a> {
    const SIZE: usize = 40;

    fn of(stand: &'a Stand, name: &str, address: &str) -> Self {
        let image = |at| {
            let repository = format!("{name}/app-{at}");
            let digest = stand.registry.push_image(&repository, "1").digest;
            let run = stand.created(&format!("{name}-{at}"));
            (run, repository, digest)
        };
        let images: Vec<_> = (0..Self::SIZE).map(image).collect();
        let complete = |(run, repository, digest): (Value, String, String)| {
            let results = results_at(address, &repository, &digest);
            (stand.complete(run, results), repository, digest)
        };
        let runs = images.into_iter().map(complete).collect();
        Self { stand, runs }
    }

    /// Waits until a few more than `before` are signed: most of this backlog is not.
    #[track_caller]
    fn is_in_work(&self, before: usize) {
        let deadline = Instant::now() + BEGUN;
        while self.stand.marked().len() < before + 3 {
            assert!(Instant::now() < deadline, "nothing is signed");
            sleep(Duration::from_millis(5));
        }
    }

    fn is_signed_once(&self) {
        for (run, repository, digest) in &self.runs {
            let run = self
                .stand
                .wait(run, |run| annotation(run, SIGNED).is_some());
            is_signed_once(&run, &self.stand.registry, repository, digest);
        }
    }
}

#[test]
fn another_controller_goes_on_where_the_leader_was_killed_or_stopped() {
    let Some(stand) = Stand::new() else { return };
    let far = Proxy::start(stand.registry.address());
    far.delay_each(Duration::from_millis(100));
    let listed = format!("{},{}", stand.registry.address(), far.address());
    stand.configure(&[OCI, &[("tekseal.registries", &listed)]].concat());
    let controller = || Run::tool(CONTROLLER).args(["--concurrency", "4"]);

    // Nothing was ever signed in this cluster: whatever the second must know of the first it has to learn while it stands by.
    let first = Replica::leading(&stand, controller());
    let second = Replica::standing_by(&stand, controller());
    let backlog = Backlog::of(&stand, "killed", far.address());
    backlog.is_in_work(0);
    // The first that the second looks at when it leads: it must know by then that this mark is the first one's.
    let newest = stand.complete_at(stand.created("newest"), json!([]), &time("1 minute"));
    stand.wait_marked(&newest);
    assert!(first.leads() && !second.leads());
    let killed = Instant::now();
    first.kill();
    let left = 1 + Backlog::SIZE - stand.marked().len();
    assert!(left > Backlog::SIZE / 4, "only {left} were left");
    let took = next_is_signed(&stand, FAIL_OVER, killed);
    println!("{took:?} after the leader was killed, with {left} left");
    backlog.is_signed_once();
    stand.nothing_is_called_forged();

    let third = Replica::standing_by(&stand, controller());
    let backlog = Backlog::of(&stand, "stopped", far.address());
    backlog.is_in_work(1 + Backlog::SIZE);
    assert!(second.leads() && !third.leads());
    let (status, said) = second.end("TERM");
    let stopped = Instant::now();
    assert_eq!(status, Some(0), "{said}");
    let left = 1 + 2 * Backlog::SIZE - stand.marked().len();
    assert!(left > Backlog::SIZE / 4, "only {left} were left");
    let took = next_is_signed(&stand, HAND_OVER, stopped);
    println!("{took:?} after the leader was stopped, with {left} left");
    backlog.is_signed_once();
    stand.nothing_is_called_forged();
    assert!(third.leads());
}
