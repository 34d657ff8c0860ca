//! Randomness as an argument: from the system in the programs, foreseeable in tests.

/// A source of random bytes: fills the whole slice or fails.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), Error>;

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct Error(#[source] pub(crate) getrandom::Error);

/// Fills `bytes` from the system's generator. Pass `&mut tekseal_signing::random::system` where a [`Random`] is wanted.
pub fn system(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(Error)
}
