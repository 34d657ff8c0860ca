//! `tekseal-controller`: signs completed runs by itself, in Tekton Chains' place.

mod args;
mod clock;
mod controller;
mod decide;
mod kept;
mod keys;
mod live;
mod looking;
mod memory;
mod note;
mod prepare;
mod queue;
mod reconcile;
mod registries;
mod room;
mod roots;
mod storing;
mod trouble;
mod watchman;
mod written;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use jiff::Timestamp;
use tekseal_cluster::{Cluster, Events};
use tekseal_controller::health::Health;
use tekseal_controller::leader::{self, Election};
use tekseal_controller::logging;
use tekseal_controller::metrics::Metrics;
use tekseal_controller::server::Server;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::args::Args;
use crate::clock::Clock;
use crate::controller::Controller;
use crate::decide::Ground;
use crate::kept::Kept;
use crate::keys::Keys;
use crate::looking::Looking;
use crate::memory::Memory;
use crate::reconcile::Context;
use crate::registries::Registries;
use crate::room::Room;
use crate::storing::Turns;
use crate::written::Written;

/// Name in Events, as user agent and as field manager.
const PROGRAM: &str = "tekseal-controller";
/// How long a start waits for a configuration: one that is there is read before the first run is decided on.
const FIRST_CONFIGURATION: Duration = Duration::from_secs(10);
/// When a start that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args = Args::parse();
    logging::start(PROGRAM, args.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread can be made");
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = trouble::chain(&*error), "cannot start");
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let health = Arc::new(Health::new());
    let server = Server::bind(args.listen, &metrics, &health);
    let server = server
        .await
        .with_context(|| format!("cannot listen at {}", args.listen))?;
    tracing::info!(address = %server.address()?, "listens");
    tokio::spawn(server.run());
    let cluster = Cluster::connect(args.kubeconfig.as_deref(), PROGRAM).await?;
    let stop = stop()?;
    tokio::select! {
        () = stop => Ok(()),
        ready = prepare(&args, &cluster, metrics, health) => {
            let (context, election) = ready?;
            let controller = Controller::new(context, election.leadership(), usize::from(args.concurrency));
            controller.run(&cluster, &args.scope(), self::stop()?).await;
            election.resign().await;
            tracing::info!("ended");
            Ok(())
        }
    }
}

/// Everything that the work needs. An API server that is not there yet is waited for.
async fn prepare(
    args: &Args,
    cluster: &Cluster,
    metrics: Metrics,
    health: Arc<Health>,
) -> anyhow::Result<(Arc<Context>, Election)> {
    let (memory, clock) = loop {
        let opened = async {
            let memory = Memory::open(cluster, &args.system_namespace).await?;
            Ok::<_, tekseal_cluster::Error>((memory, Clock::read(cluster).await?))
        };
        match opened.await {
            Ok(opened) => break opened,
            Err(error) if error.blame() == tekseal_core::Blame::Outside => {
                tracing::warn!(
                    error = trouble::chain(&error),
                    "the API server is waited for"
                );
                health.beat();
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let source = args.config_source();
    let (sender, settings) = watch::channel(live::State::default());
    let follow = live::follow(
        cluster.clone(),
        source.clone(),
        args.registry_ca.clone(),
        sender,
    );
    tokio::spawn(follow);
    let mut first = settings.clone();
    let read = first.wait_for(|state| state.live.is_some() || state.problem.is_some());
    // What is not read by then is told by the watchman, and runs wait for it.
    let _ = timeout(FIRST_CONFIGURATION, read).await;
    let election = match args.leader_elect {
        true => Election::begin(
            cluster,
            &args.system_namespace,
            &leader::identity(),
            &metrics,
        ),
        false => Election::unopposed(&metrics),
    };
    let context = Arc::new(Context {
        ground: Ground {
            first_start: memory.first_start,
            ignore_before: ignore_before(args, &clock),
        },
        clock,
        memory,
        keys: Keys::new(cluster, &args.signing_secrets),
        registries: Registries::new(
            cluster,
            args.registry_ca.clone(),
            args.insecure_registry.clone(),
        ),
        events: Events::new(cluster, PROGRAM, std::env::var("POD_NAME").ok()),
        settings,
        written: Written::default(),
        room: Room::default(),
        looking: Looking::default(),
        turns: Turns::new(storing::COURTESY),
        labels: Kept::new(reconcile::LABELS, reconcile::MOST_LABELS),
        mended: Notify::new(),
        metrics,
        health,
        cluster: cluster.clone(),
    });
    tokio::spawn(watchman::watch(Arc::clone(&context), source));
    let doubted = Arc::clone(&context);
    tokio::spawn(async move { doubted.memory.follow().await });
    Ok((context, election))
}

/// Before which moment completed runs are left alone. Counted from the start by the API server's clock: ours may be wrong.
fn ignore_before(args: &Args, clock: &Clock) -> Option<Timestamp> {
    let before = args.ignore_completed_before.as_ref()?;
    let now = clock.time(Instant::now()).unwrap_or_else(Timestamp::now);
    Some(before.moment(now))
}

/// Ends at SIGTERM and SIGINT.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
