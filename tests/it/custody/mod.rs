//! Keys that somebody else holds: what the programs sign with them, and what cosign says of it.

mod aws;
