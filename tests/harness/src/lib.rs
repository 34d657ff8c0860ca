//! Everything that tests and the benchmark need from outside the programs, as real processes and real protocols on loopback.
//!
//! ```text
//!   Run ──▶ program under test ──▶ Proxy ──▶ Registry (the real docker-registry)
//!                                    │
//!                    records, delays, gates, faults, bearer tokens
//!   Cosign, buildah: the peers whose verdict counts
//!   Kyverno, PolicyTester, PolicyJson, Opa: what enforces policies
//!   RekorV2, TimestampAuthority, Sigstore: what stands behind signatures
//!   Vault: what holds keys for others; SoftHsm: a token that holds keys; Spire: who says who a process is
//!   GoogleKms, AzureVault: what clouds' key management services say, as they document it
//!   Aws: an imitation of its key management, where there is no real one; Moto: one by others
//!   ApiServer: the real kube-apiserver, with Tekton's types; Node: with kubelet, containerd and Tekton beside it
//! ```
//!
//! Nothing here uses the project's own crates, so that a fault of theirs cannot hide behind the same fault here. Failures panic: this is
//! code for tests, and a panic with the whole story is the best answer there.

mod aws;
mod clock;
mod clouds;
mod cluster;
mod cosign;
mod http;
mod image;
mod peers;
mod policies;
mod port;
mod process;
mod proxy;
mod registry;
mod run;
mod sigstore;
mod softhsm;
mod spire;
mod tls;
mod tuf;
mod vault;

pub use aws::{AWS_REGION, Aws, Moto};
pub use clock::{Clock, dynamic_program};
pub use clouds::{AzureVault, GoogleKms, KeyKind, TestKey};
pub use cluster::{
    ApiRequest, ApiServer, ApiSetup, Audit, Chains, Client, Node, PodAccount, Watch, kubectl,
    object_path,
};
pub use cosign::{Cosign, Layout, cosign};
pub use http::{Answer, Request, request};
pub use image::{Image, Index};
pub use peers::{buildah, fixtures, peer_folder};
pub use policies::{Kyverno, Opa, PolicyJson, PolicyTester, Verdict};
pub use port::lasting_port;
pub use process::Daemon;
pub use proxy::{Bearer, Gate, Moment, Proxy, Rule, Seen, sequential_latencies};
pub use registry::{Manifest, PASSWORD, Registry, Setup, USER};
pub use run::{Output, Run, Running, program};
pub use sigstore::{
    Certifier, Certifying, ClusterIssuer, Fulcio, Issuer, RekorV1, RekorV2, Services, Sigstore,
    TimestampAuthority, service_account_claims, unsigned_token,
};
pub use softhsm::SoftHsm;
pub use spire::Spire;
pub use tls::Certificates;
pub use tuf::{TufKey, TufRepository, signed};
pub use vault::{JwtKey, Vault, audited_requests};

/// The outcome of work that waits for nothing, such as signing with a key that is here.
///
/// # Panics
/// If it waits.
pub fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(outcome) => outcome,
        std::task::Poll::Pending => panic!("it was to be done at once, and waits for something"),
    }
}

/// SHA-256 of these bytes as registries write it, `sha256:` and 64 hex digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("sha256:{hex}")
}
