//! `tekseal-controller`: signs completed runs by itself, in Tekton Chains' place.

mod args;
mod controller;
mod decide;
mod keys;
mod live;
mod memory;
mod note;
mod prepare;
mod queue;
mod reconcile;
mod registries;
mod trouble;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use jiff::Timestamp;
use tekseal_cluster::{Cluster, Events};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::Args;
use crate::controller::Controller;
use crate::decide::Ground;
use crate::keys::Keys;
use crate::memory::Memory;
use crate::reconcile::Context;
use crate::registries::Registries;

/// Name in Events, as user agent and as field manager.
const PROGRAM: &str = "tekseal-controller";

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt().json().init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread can be made");
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = trouble::chain(&error), "cannot start");
            ExitCode::from(3)
        }
    }
}

async fn run(args: Args) -> Result<(), tekseal_cluster::Error> {
    let cluster = Cluster::connect(args.kubeconfig.as_deref(), PROGRAM).await?;
    let memory = Memory::open(&cluster, &args.system_namespace).await?;
    let (sender, settings) = watch::channel(live::State::default());
    tokio::spawn(live::follow(cluster.clone(), args.config_source(), sender));
    let mut first = settings.clone();
    // A configuration that is there is read before the first run is decided on.
    let read = first.wait_for(|state| state.live.is_some() || state.problem.is_some());
    let _ = tokio::time::timeout(std::time::Duration::from_secs(30), read).await;
    let context = Context {
        ground: Ground {
            first_start: memory.first_start,
            ignore_before: args
                .ignore_completed_before
                .as_ref()
                .map(|b| b.moment(Timestamp::now())),
        },
        memory,
        keys: Keys::new(&cluster, &args.signing_secrets),
        registries: Registries::new(
            &cluster,
            args.registry_ca.clone(),
            args.insecure_registry.clone(),
        ),
        events: Events::new(&cluster, PROGRAM, std::env::var("POD_NAME").ok()),
        settings,
        images: tokio::sync::Mutex::default(),
        cluster: cluster.clone(),
    };
    let controller = Controller::new(Arc::new(context), usize::from(args.concurrency));
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened for");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be listened for");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    controller.run(&cluster, &args.scope(), stop).await;
    Ok(())
}
