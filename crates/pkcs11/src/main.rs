//! A KMS plugin for keys in PKCS#11 tokens: hardware security modules, smart cards, SoftHSM.
//!
//! ```text
//!   caller ─ arguments, message ─▶ serve ─ pkcs11: URI ─▶ uri ─▶ token ─ dlopen ─▶ the maker's module
//!          ◀─ one JSON answer ────       ◀─ SubjectPublicKeyInfo, DER signature ── asn1
//! ```
//!
//! It is started by cosign and by tekseal's programs, once for each call (`tekseal_signing::kms_plugin` has the messages). Modules are shared libraries,
//! so this program cannot be a static one, and is a program of its own: nothing of a maker's is ever loaded into a process that has another key, or
//! a network.

mod asn1;
mod error;
mod serve;
mod token;
mod uri;

use std::process::ExitCode;

fn main() -> ExitCode {
    serve::main()
}
