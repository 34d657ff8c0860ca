//! Trillian, on which Rekor v1 and the log of certificates keep their trees.

use std::path::{Path, PathBuf};

use super::database::Database;
use super::peers::{CREATETREE, TRILLIAN_LOG_SERVER, TRILLIAN_LOG_SIGNER};
use super::service;
use crate::process::Daemon;
use crate::run::Run;

pub(super) struct Peers {
    server: PathBuf,
    signer: PathBuf,
    createtree: PathBuf,
}

impl Peers {
    pub(super) fn find() -> Option<Self> {
        Some(Self {
            server: TRILLIAN_LOG_SERVER.find()?,
            signer: TRILLIAN_LOG_SIGNER.find()?,
            createtree: CREATETREE.find()?,
        })
    }
}

/// A running log server, and the signer that takes in what it is given.
pub(super) struct Trillian {
    server: Daemon,
    signer: Daemon,
    /// Where it is spoken to, in gRPC.
    pub(super) port: u16,
    createtree: PathBuf,
}

impl Trillian {
    pub(super) fn start(peers: &Peers, database: &Database, folder: &Path) -> Self {
        let source = database.source("trillian");
        let flags = |[http, grpc]: [u16; 2]| {
            vec![
                "--quota_system=noop".to_owned(),
                "--storage_system=mysql".to_owned(),
                format!("--mysql_uri={source}"),
                format!("--http_endpoint=127.0.0.1:{http}"),
                format!("--rpc_endpoint=127.0.0.1:{grpc}"),
            ]
        };
        let signing = |ports| {
            let mut flags = flags(ports);
            // Entries wait for it.
            flags.extend(
                [
                    "--force_master",
                    "--sequencer_interval=50ms",
                    "--batch_size=100",
                ]
                .map(str::to_owned),
            );
            flags
        };
        let (server, [_, port]) = service::start(&peers.server, flags, &[], folder, "/healthz");
        let (signer, _) = service::start(&peers.signer, signing, &[], folder, "/healthz");
        Self {
            server,
            signer,
            port,
            createtree: peers.createtree.clone(),
        }
    }

    /// The process ids of both.
    pub(super) fn processes(&self) -> [u32; 2] {
        [self.server.id(), self.signer.id()]
    }

    /// Makes an empty tree and gives its number.
    pub(super) fn make_tree(&self) -> String {
        let run = Run::new(&self.createtree);
        let run = run.arg(format!("--admin_server=127.0.0.1:{}", self.port));
        run.ok().stdout.trim().to_owned()
    }
}
