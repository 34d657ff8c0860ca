//! A trial of both keys before anything is pushed: a release that cannot be signed, or that others could not verify, leaves nothing behind.
//!
//! `tekseal-sign` signs a payload of an image that is nowhere, in a folder that goes with the release. It verifies each signature with the
//! public half of the key before it writes it, so the release will verify if that half is the public key of the release.

use std::{panic, thread};

use anyhow::anyhow;
use tekseal_core::{Digest, Payload, Repository};
use tekseal_steps::files::{self, Mode};
use tekseal_steps::handover::{self, PAYLOADS, PayloadEntry, SIGNED, SignedEntry};
use tekseal_steps::{Failure, key_args, log};

use crate::args::Plan;
use crate::programs::Programs;

/// No image: RFC 2606 keeps this name for what is nowhere.
const NOWHERE: &str = "tekseal.invalid/trial";
const FILE: &str = "trial.json";

/// Proves that the private key opens, and that the public key belongs to it.
///
/// # Errors
/// Exit 2 if the password is wrong, if a key cannot be read, or if they are no pair.
pub(crate) fn of_keys(plan: &Plan, programs: &Programs) -> Result<(), Failure> {
    let folder = programs.scratch().join("trial");
    files::make_folder(&folder)?;
    let image = Repository::parse(NOWHERE).map_err(Failure::misuse)?;
    let payload = Payload::simple_signing(&image.at(Digest::of(b"")));
    files::write(&folder.join(FILE), payload.bytes(), Mode::Public)?;
    let entry = PayloadEntry::of(&payload, FILE.to_owned());
    handover::write_index(&folder, PAYLOADS, &[entry])?;
    programs.sign(plan, &folder)?;
    let signed: Vec<SignedEntry> = handover::read_index(&folder, SIGNED, "tekseal-sign")?;

    // A Secret is read on a runtime, and a thread has one at most.
    let public = thread::scope(|threads| {
        let read = || key_args::public_key(&plan.public_key, &programs.cluster(), &[]);
        threads.spawn(read).join()
    });
    let public = public.unwrap_or_else(|cause| panic::resume_unwind(cause))?;
    let by = signed.first().map(|entry| entry.public_key.as_str());
    if by != Some(public.to_pem().as_str()) {
        return Err(Failure::misuse(anyhow!(
            "the public key {} is {}, and {} signs with another one",
            plan.public_key,
            public.fingerprint(),
            plan.key
        ))
        .hint("--public-key names the public half of --key; without it that is the file NAME.pub beside the private key"));
    }
    log::info("tried the keys", &[("key", &public.fingerprint())]);
    Ok(())
}
