//! Keys that others hold: what ours signs with them cosign verifies, and the other way round.

mod aws;
mod azure;
mod gcp;
mod plugin;
mod spiffe;
mod vault;
mod vault_https;
