//! Decides when to attest.
fn main() {}
