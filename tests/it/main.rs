//! Proves tekseal from outside: its shape, its bytes, its programs as processes beside the real peers.

mod architecture;
mod bad_input;
mod chain;
mod golden;
mod interop;
mod signers;
mod workshop;
