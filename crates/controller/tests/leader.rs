//! One leader at a time, on a real API server that is killed, silent and started again, among replicas that are killed and stopped.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tekseal_cluster::Cluster;
use tekseal_controller::leader::{Election, Leadership, identity};
use tekseal_controller::metrics::Metrics;
use tekseal_harness::{ApiServer, Run, peer_folder};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Set where this binary is a replica in a process of its own.
const KUBECONFIG: &str = "TEKSEAL_TEST_KUBECONFIG";
const NAMESPACE: &str = "TEKSEAL_TEST_NAMESPACE";
const SAID: &str = "TEKSEAL_TEST_SAID";

/// What the issue allows from the end of a leader to the next one.
const FAIL_OVER: Duration = Duration::from_secs(20);

/// A replica in a thread of this process.
struct Replica {
    leadership: watch::Receiver<Leadership>,
    stop: tokio::sync::oneshot::Sender<End>,
    thread: JoinHandle<()>,
}

/// How a replica ends.
enum End {
    Graceful,
    Killed,
}

impl Replica {
    fn start(api: &ApiServer, namespace: &str) -> Self {
        let (kubeconfig, namespace) = (api.kubeconfig(), namespace.to_owned());
        let (sender, receiver) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                let election = stand(&kubeconfig, &namespace).await;
                sender
                    .send(election.leadership())
                    .expect("the test waits for it");
                match stopped.await.expect("the test ends its replicas") {
                    End::Graceful => election.resign().await,
                    End::Killed => drop(election),
                }
            });
        });
        Self {
            leadership: receiver.recv().expect("the replica has begun"),
            stop,
            thread,
        }
    }

    fn leads(&self) -> bool {
        self.leadership.borrow().holds()
    }

    fn end(self, how: End) {
        assert!(self.stop.send(how).is_ok(), "the replica has ended before");
        self.thread.join().expect("the replica does not panic");
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

async fn stand(kubeconfig: &std::path::Path, namespace: &str) -> Election {
    let cluster = Cluster::connect(Some(kubeconfig), "tekseal-controller").await;
    let cluster = cluster.expect("the kubeconfig says where");
    Election::begin(&cluster, namespace, &identity(), &Metrics::new())
}

/// Looks all the time who leads, and keeps how long each did.
struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(usize, Duration, Duration)>>,
    both: Arc<Mutex<Vec<Duration>>>,
}

impl Witness {
    fn of(replicas: &[&Replica]) -> Self {
        let leaderships: Vec<_> = replicas.iter().map(|r| r.leadership.clone()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let both: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let (stopped, seen_both) = (Arc::clone(&stop), Arc::clone(&both));
        let thread = thread::spawn(move || {
            let begun = Instant::now();
            let mut intervals: Vec<(usize, Duration, Duration)> = Vec::new();
            let mut before = None;
            while !stopped.load(Ordering::Relaxed) {
                let now = begun.elapsed();
                let leads: Vec<usize> = (0..leaderships.len())
                    .filter(|&at| leaderships[at].borrow().holds())
                    .collect();
                if leads.len() > 1 {
                    seen_both.lock().expect("nobody panics with it").push(now);
                }
                match (leads.first().copied(), before) {
                    (Some(at), Some(known)) if at == known => {
                        intervals.last_mut().expect("it was begun").2 = now;
                    }
                    (Some(at), _) => intervals.push((at, now, now)),
                    (None, _) => {}
                }
                before = leads.first().copied();
                thread::sleep(Duration::from_millis(1));
            }
            intervals
        });
        Self { stop, thread, both }
    }

    /// Who led from when to when.
    ///
    /// # Panics
    /// If two led at once.
    fn end(self) -> Vec<(usize, Duration, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        let intervals = self.thread.join().expect("the witness does not panic");
        let both = self.both.lock().expect("nobody panics with it");
        assert!(both.is_empty(), "two led at {both:?}: {intervals:?}");
        intervals
    }
}

#[track_caller]
fn within(limit: Duration, what: &str, is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
    begun.elapsed()
}

#[test]
fn another_leads_soon_after_the_leader_is_killed_and_at_once_after_it_stops() {
    let Some(api) = ApiServer::shared() else {
        return;
    };
    let namespace = api.namespace();
    let folder = tempfile();
    let said = folder.join("said");
    let process = Run::new(std::env::current_exe().expect("a process has an executable"))
        .args(["--ignored", "--exact", "replica_of_its_own"])
        .env(KUBECONFIG, api.kubeconfig())
        .env(NAMESPACE, &namespace)
        .env(SAID, &said)
        .env(
            "TEKSEAL_CACHE",
            peer_folder().parent().expect("the peers are in the cache"),
        )
        .timeout(Duration::from_secs(120))
        .start();
    within(FAIL_OVER, "the first replica leads", || said.exists());

    let second = Replica::start(api, &namespace);
    let third = Replica::start(api, &namespace);
    let witness = Witness::of(&[&second, &third]);
    thread::sleep(Duration::from_secs(4));
    assert!(!second.leads() && !third.leads(), "the first is alive");

    process.signal("KILL");
    let took = within(FAIL_OVER, "another leads", || {
        second.leads() || third.leads()
    });
    assert!(
        took > Duration::from_secs(6),
        "the Lease of the dead was not waited for: {took:?}"
    );
    let _ = process.wait();

    let (leader, next) = if second.leads() {
        (second, third)
    } else {
        (third, second)
    };
    let stopped = Instant::now();
    leader.end(End::Graceful);
    within(
        Duration::from_secs(8),
        "the next leads after a graceful stop",
        || next.leads(),
    );
    println!(
        "{took:?} after a kill, {:?} after a stop",
        stopped.elapsed()
    );
    println!("{:?}", witness.end());
    next.end(End::Graceful);
    let lease = api.get(&format!(
        "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/tekseal-controller"
    ));
    let lease = lease.expect("it was made");
    assert_eq!(
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default(),
        ""
    );
    let _ = fs::remove_dir_all(folder);
}

#[test]
#[ignore = "the process that is killed by another_leads_soon_after_the_leader_is_killed_and_at_once_after_it_stops"]
fn replica_of_its_own() {
    let var = |name: &str| std::env::var(name).ok();
    let (Some(kubeconfig), Some(namespace), Some(said)) =
        (var(KUBECONFIG), var(NAMESPACE), var(SAID))
    else {
        return;
    };
    runtime().block_on(async {
        let election = stand(&PathBuf::from(kubeconfig), &namespace).await;
        let mut leadership = election.leadership();
        let leads = leadership.wait_for(|leadership| leadership.holds()).await;
        drop(leads.expect("the election goes on"));
        fs::write(said, "leads").expect("the folder is writable");
        std::future::pending::<()>().await;
    });
}

#[test]
fn two_never_lead_at_once_while_the_api_server_is_silent_or_gone() {
    let Some(mut api) = ApiServer::start() else {
        return;
    };
    let namespace = api.namespace();
    let one = Replica::start(&api, &namespace);
    within(FAIL_OVER, "the first leads", || one.leads());
    let other = Replica::start(&api, &namespace);
    let witness = Witness::of(&[&one, &other]);

    // Silent: connections stand, nothing is answered.
    let server = *api.processes().first().expect("it runs");
    signal("STOP", server);
    let took = within(
        Duration::from_secs(11),
        "the leader stands down by its own clock",
        || !one.leads(),
    );
    assert!(
        took > Duration::from_secs(5),
        "one lost request is no reason: {took:?}"
    );
    thread::sleep(Duration::from_secs(3));
    signal("CONT", server);
    let took = within(FAIL_OVER, "one of them leads again", || {
        one.leads() || other.leads()
    });
    println!("{took:?} after the API server answers again");

    // Gone, and there again.
    api.restart();
    within(FAIL_OVER, "one of them leads still or again", || {
        one.leads() || other.leads()
    });

    // The leader is killed while nobody can be asked.
    let (leader, next) = if one.leads() {
        (one, other)
    } else {
        (other, one)
    };
    api.stop();
    leader.end(End::Killed);
    thread::sleep(Duration::from_secs(2));
    assert!(!next.leads());
    api.restart();
    let took = within(FAIL_OVER, "the next leads", || next.leads());
    println!("{took:?} after the API server is back");
    println!("{:?}", witness.end());
    next.end(End::Graceful);
}

fn signal(name: &str, process: u32) {
    Run::new("kill")
        .args(["-s", name, &process.to_string()])
        .ok();
}

fn tempfile() -> PathBuf {
    let folder = std::env::temp_dir().join(identity());
    fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
    folder
}
